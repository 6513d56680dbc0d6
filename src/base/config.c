/* config.c: loading (parse, override, check) and the getters.
 *
 * Values stay texts in the tree; a getter parses the text of the node, or the table's default, each time it is
 * asked. The check has been through all of them, so a value that does not parse here is a mistake of ours. */
#include <stdlib.h>
#include <string.h>

#include "base/base_priv.h"
#include "berth/file.h"

/* Takes out what is null, so that later a node means: the user gave this. */
static void drop_nulls(struct ytree_node *node) {
    struct ytree_node *child = node->first;
    node->first = node->last = NULL;
    node->count = 0;
    while (child != NULL) {
        struct ytree_node *next = child->next;
        if (!ytree_is_null(child)) {
            drop_nulls(child);
            ytree_append(node, child);
        }
        child = next;
    }
}

berth_status berth_config_parse(struct berth_config **out, const char *name, const char *text, size_t size,
                                const char *const *overrides, size_t override_count) {
    berth_status status = BERTH_OK;
    struct berth_config *c = NULL;
    char *held_name = NULL;
    BERTH_TRY(berth_calloc(&c, 1, sizeof *c));
    berth_arena_init(&c->arena);
    BERTH_TRY_OUT(berth_arena_strndup(&c->arena, &held_name, name, strlen(name)));
    c->name = held_name;
    struct ytree_source source = {.name = held_name};
    BERTH_TRY_OUT(ytree_parse(&c->root, &c->arena, &source, text, size));
    if (c->root == NULL) BERTH_FAIL_OUT(BERTH_E_USAGE, "%s: the file is empty, expected a configuration", name);
    if (c->root->kind != YTREE_MAP)
        BERTH_FAIL_OUT(BERTH_E_USAGE, "%s:%d:%d: expected keys with values ('key: value'), found %s", name,
                       c->root->line, c->root->column,
                       c->root->kind == YTREE_LIST ? "a list" : "a single text");
    for (size_t i = 0; i < override_count; i++)
        BERTH_TRY_OUT(conf_override(c, overrides[i]));
    BERTH_TRY_OUT(conf_check(c));
    drop_nulls(c->root);
    *out = c;
    c = NULL;
out:
    berth_config_free(c);
    return status;
}

berth_status berth_config_load(struct berth_config **out, const char *path, const char *const *overrides,
                               size_t override_count) {
    char *text = NULL;
    size_t size = 0;
    berth_status status = berth_file_read(&text, &size, path);
    if (status == BERTH_E_IO) return berth_error_context(BERTH_E_USAGE, "configuration");
    if (status != BERTH_OK) return status;
    status = berth_config_parse(out, path, text, size, overrides, override_count);
    free(text);
    return status;
}

void berth_config_free(struct berth_config *c) {
    if (c == NULL) return;
    berth_arena_deinit(&c->arena);
    free(c);
}

const struct ytree_node *conf_find(const struct berth_config *c, const char *path) {
    const struct ytree_node *node = c->root;
    while (node != NULL && *path != '\0') {
        if (*path == '[') {
            char *end = NULL;
            unsigned long index = strtoul(path + 1, &end, 10);
            if (*end != ']') return NULL;
            bool single = node->kind == YTREE_SCALAR && index == 0; /* one value is a list of one */
            if (!single) node = node->kind == YTREE_LIST ? ytree_entry(node, index) : NULL;
            path = end + 1;
        } else {
            char name[CONF_PATH];
            size_t n = strcspn(path, ".[");
            if (n >= sizeof name) return NULL;
            memcpy(name, path, n);
            name[n] = '\0';
            node = ytree_child(node, name);
            path += n;
        }
        if (*path == '.') path++;
    }
    return node;
}

/* A section that has required keys and is not given takes its defaults with it. */
static bool section_absent(const struct berth_config *c, const char *path) {
    char section[CONF_PATH];
    const char *dot = strrchr(path, '.');
    if (dot == NULL) return false;
    conf_format_path(section, "%.*s", (int)(dot - path), path);
    if (conf_find(c, section) != NULL) return false;
    const struct berth_key *row = conf_key(section);
    if (row == NULL || row->type != BERTH_KEY_SECTION) return true; /* an entry that is not there */
    for (size_t i = 0; i < berth_config_key_count; i++) {
        if (conf_is_child(&berth_config_keys[i], row->path) && berth_config_keys[i].required) return true;
    }
    return section_absent(c, section);
}

const char *conf_default(const struct berth_config *c, const struct berth_key *row, const char *path) {
    if (row->default_value == NULL || section_absent(c, path)) return NULL;
    if (row->unless != NULL) {
        char other[CONF_PATH];
        const char *dot = strrchr(path, '.');
        int length = dot == NULL ? 0 : (int)(dot - path + 1);
        conf_format_path(other, "%.*s%s", length, path, conf_last_name(row->unless));
        if (conf_find(c, other) != NULL) return NULL;
    }
    return row->default_value;
}

static const struct berth_key *known_key(const char *path) {
    const struct berth_key *row = conf_key(path);
    BERTH_ASSERT_MSG(row != NULL, "'%s' is not in the table of keys", path);
    return row;
}

/* Text of the value at a path; NULL when it has none. */
static const char *value_text(const struct berth_config *c, const char *path) {
    const struct berth_key *row = known_key(path);
    const struct ytree_node *node = conf_find(c, path);
    return node != NULL ? node->text : conf_default(c, row, path);
}

static const char *must_have(const struct berth_config *c, const char *path) {
    const char *text = value_text(c, path);
    BERTH_ASSERT_MSG(text != NULL, "'%s' has no value; ask berth_config_has first", path);
    return text;
}

static void must_be(const char *path, enum berth_key_type type) {
    enum berth_key_type found = known_key(path)->type;
    BERTH_ASSERT_MSG(found == type, "'%s' is of type %d, asked for as %d", path, (int)found, (int)type);
}

bool berth_config_has(const struct berth_config *c, const char *path) {
    return conf_find(c, path) != NULL || (conf_key(path) != NULL && value_text(c, path) != NULL);
}

bool berth_config_given(const struct berth_config *c, const char *path) {
    return conf_find(c, path) != NULL;
}

bool berth_config_bool(const struct berth_config *c, const char *path) {
    bool value = false;
    must_be(path, BERTH_KEY_BOOL);
    BERTH_ASSERT(conf_parse_bool(must_have(c, path), &value));
    return value;
}

int64_t berth_config_int(const struct berth_config *c, const char *path) {
    int64_t value = 0;
    must_be(path, BERTH_KEY_INT);
    const char *text = must_have(c, path);
    BERTH_ASSERT_MSG(berth_parse_int64(text, &value), "'%s' holds the word '%s'", path, text);
    return value;
}

double berth_config_number(const struct berth_config *c, const char *path) {
    double value = 0;
    enum berth_key_type type = known_key(path)->type;
    BERTH_ASSERT_MSG(type == BERTH_KEY_NUMBER || type == BERTH_KEY_INT, "'%s' is no number", path);
    const char *text = must_have(c, path);
    BERTH_ASSERT_MSG(berth_parse_double(text, &value), "'%s' holds the word '%s'", path, text);
    return value;
}

const char *berth_config_string(const struct berth_config *c, const char *path) {
    enum berth_key_type type = known_key(path)->type;
    BERTH_ASSERT_MSG(type != BERTH_KEY_SECTION && type != BERTH_KEY_NAMED && type != BERTH_KEY_LIST,
                     "'%s' is no single value", path);
    return must_have(c, path);
}

size_t berth_config_count(const struct berth_config *c, const char *path) {
    enum berth_key_type type = known_key(path)->type;
    const struct ytree_node *node = conf_find(c, path);
    if (type == BERTH_KEY_STRINGS || type == BERTH_KEY_NUMBERS || type == BERTH_KEY_COLUMNS) {
        if (node == NULL) return value_text(c, path) != NULL ? 1 : 0;
        return node->kind == YTREE_SCALAR ? 1 : node->count;
    }
    BERTH_ASSERT_MSG(type == BERTH_KEY_NAMED || type == BERTH_KEY_LIST, "'%s' has no entries", path);
    return node == NULL ? 0 : node->count;
}

const char *berth_config_name(const struct berth_config *c, const char *path, size_t index) {
    must_be(path, BERTH_KEY_NAMED);
    BERTH_ASSERT(index < berth_config_count(c, path));
    return ytree_entry(conf_find(c, path), index)->key;
}

const char *berth_config_item(const struct berth_config *c, const char *path, size_t index) {
    BERTH_ASSERT(index < berth_config_count(c, path));
    const struct ytree_node *node = conf_find(c, path);
    if (node == NULL || node->kind == YTREE_SCALAR) return must_have(c, path);
    return ytree_entry(node, index)->text;
}

bool berth_config_is_number(const struct berth_config *c, const char *path) {
    const struct ytree_node *node = conf_find(c, path);
    if (node != NULL) return node->kind == YTREE_SCALAR && node->plain && conf_is_index(node->text);
    const char *text = must_have(c, path);
    return conf_is_index(text);
}

struct berth_duration berth_config_duration(const struct berth_config *c, const char *path) {
    struct berth_duration value = {0};
    const char *hint = "";
    must_be(path, BERTH_KEY_DURATION);
    const char *text = must_have(c, path);
    BERTH_ASSERT_MSG(conf_parse_duration(text, &value, &hint), "'%s'%s", text, hint);
    return value;
}

berth_status berth_config_fail(const struct berth_config *c, const char *path, const char *fmt, ...) {
    struct berth_str s;
    char text[4096];
    va_list args;
    va_start(args, fmt);
    int written = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (written < 0) snprintf(text, sizeof text, "%s", fmt);
    berth_str_init(&s);
    const struct ytree_node *node = conf_find(c, path);
    if (node != NULL)
        conf_add_place(&s, c->name, node, false);
    else
        berth_str_addf(&s, "%s: ", c->name);
    berth_status status = berth_error_set(BERTH_E_USAGE, __FILE__, __LINE__, "%s%s: %s",
                                          s.failed || s.data == NULL ? "" : s.data, path, text);
    berth_str_deinit(&s);
    return status;
}
