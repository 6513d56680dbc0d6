/* config_override.c: "path=value" from the command line into the tree.
 *
 * The value is read as YAML. Steps of the path that are not there are made: a name in a map, or the entry one
 * past the end of a list. What is made or replaced remembers the override, so errors name it instead of a line
 * of the file. Whether the path is a known key is the check's business, which comes after all overrides. */
#include <string.h>

#include "base/base_priv.h"

struct step {
    char *name; /* NULL: an entry of a list */
    size_t index;
};

static berth_status refuse(const char *text, const char *what) {
    BERTH_FAIL(BERTH_E_USAGE, "command line: '%s': %s", text, what);
}

/* "tasks.ner.weight", "freeze[0].select" -> steps; at most YTREE_DEPTH of them. */
static berth_status split_path(struct berth_config *c, const char *text, size_t length, struct step *steps,
                               size_t *out_count) {
    size_t count = 0, at = 0;
    while (at < length) {
        if (count == YTREE_DEPTH) return refuse(text, "the key has more than 32 steps");
        struct step *step = &steps[count];
        *step = (struct step){0};
        if (text[at] == '[') {
            size_t digits = strspn(text + at + 1, "0123456789");
            if (count == 0 || digits == 0 || digits > 6 || text[at + 1 + digits] != ']')
                return refuse(text, "expected the number of an entry in brackets, as in freeze[0].select=...");
            for (size_t i = 0; i < digits; i++)
                step->index = step->index * 10 + (size_t)(text[at + 1 + i] - '0');
            at += digits + 2;
        } else {
            size_t n = strcspn(text + at, ".[=");
            if (n == 0) return refuse(text, "the key has an empty step");
            BERTH_TRY(berth_arena_strndup(&c->arena, &step->name, text + at, n));
            at += n;
        }
        count++;
        if (at >= length) break;
        if (text[at] == '.') {
            at++;
            if (at == length) return refuse(text, "the key has an empty step");
        } else if (text[at] != '[') {
            return refuse(text, "expected '.' after ']'");
        }
    }
    *out_count = count;
    return BERTH_OK;
}

/* The child that a step names, made when it is not there. `parent` becomes a map or list when it has no value.
 */
static berth_status take_step(struct berth_config *c, struct ytree_node *parent, const struct step *step,
                              const char *text, struct ytree_node **out) {
    enum ytree_kind wanted = step->name != NULL ? YTREE_MAP : YTREE_LIST;
    if (ytree_is_null(parent) || ytree_is_empty(parent)) {
        parent->kind = wanted;
        parent->text = "";
        parent->origin = text;
    }
    if (parent->kind != wanted) {
        char what[160];
        snprintf(what, sizeof what, "'%.60s' is %s, not a %s", parent->key != NULL ? parent->key : "it",
                 parent->kind == YTREE_SCALAR ? "a value"
                 : parent->kind == YTREE_MAP  ? "a map"
                                              : "a list",
                 wanted == YTREE_MAP ? "map" : "list");
        return refuse(text, what);
    }
    struct ytree_node *child =
        step->name != NULL ? ytree_child(parent, step->name) : ytree_entry(parent, step->index);
    if (child == NULL) {
        if (step->name == NULL && step->index != parent->count) {
            char what[160];
            snprintf(what, sizeof what, "there is no entry %zu; the list has %zu, the next is [%zu]",
                     step->index, parent->count, parent->count);
            return refuse(text, what);
        }
        if (parent->count == YTREE_ENTRIES) return refuse(text, "more than 4096 entries");
        BERTH_TRY(berth_arena_alloc(&c->arena, &child, 1, sizeof *child));
        child->kind = YTREE_SCALAR;
        child->plain = true;
        child->text = "";
        child->key = step->name;
        child->origin = text;
        ytree_append(parent, child);
    }
    *out = child;
    return BERTH_OK;
}

berth_status conf_override(struct berth_config *c, const char *given) {
    char *text = NULL;
    BERTH_TRY(berth_arena_strndup(&c->arena, &text, given, strlen(given)));
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text) return refuse(text, "expected key=value, as in train.lr=3e-5");
    struct ytree_source source = {.name = "command line", .origin = text};
    struct ytree_node *value = NULL;
    BERTH_TRY(ytree_parse(&value, &c->arena, &source, equals + 1, strlen(equals + 1)));
    if (value == NULL) return refuse(text, "there is no value; key=null takes the default");
    struct step steps[YTREE_DEPTH];
    size_t count = 0;
    BERTH_TRY(split_path(c, text, (size_t)(equals - text), steps, &count));
    struct ytree_node *node = c->root;
    for (size_t i = 0; i < count; i++)
        BERTH_TRY(take_step(c, node, &steps[i], text, &node));
    node->kind = value->kind;
    node->plain = value->plain;
    node->text = value->text;
    node->origin = text;
    node->first = value->first;
    node->last = value->last;
    node->count = value->count;
    return BERTH_OK;
}
