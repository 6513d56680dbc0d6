/* config_check.c: a tree against the table of keys. Every mistake is found in one pass and reported as a line
 * of its own, in the order of the file; nothing is changed. */
#include <string.h>

#include "base/base_priv.h"

enum { REPORTED_ERRORS = 50 };

struct checker {
    const struct berth_config *c;
    struct berth_str out;
    size_t shown; /* bytes of `out` that are finished lines */
    size_t errors;
};

void conf_add_place(struct berth_str *out, const char *name, const struct ytree_node *node, bool at_key) {
    if (node->origin != NULL)
        berth_str_addf(out, "command line: '%s': ", node->origin);
    else if (node->line == 0)
        berth_str_addf(out, "%s: ", name);
    else if (at_key)
        berth_str_addf(out, "%s:%d:%d: ", name, node->key_line, node->key_column);
    else
        berth_str_addf(out, "%s:%d:%d: ", name, node->line, node->column);
}

/* Ends the line begun last, if there is one. */
static void end_line(struct checker *k) {
    if (k->out.length > k->shown && !k->out.failed) status_show_controls(k->out.data + k->shown);
    k->shown = k->out.length;
}

/* Begins a line at a node; false when enough has been reported. */
static bool begin_error(struct checker *k, const struct ytree_node *node, bool at_key) {
    k->errors++;
    if (k->errors > REPORTED_ERRORS) return false;
    end_line(k);
    if (k->out.length > 0) berth_str_add(&k->out, "\n");
    k->shown = k->out.length;
    conf_add_place(&k->out, k->c->name, node, at_key);
    return true;
}

/* What was found, at most 60 bytes of it, cut between characters. */
static void add_found(struct berth_str *out, const struct ytree_node *node) {
    if (node->kind != YTREE_SCALAR) {
        berth_str_add(out, node->kind == YTREE_MAP ? "a map" : "a list");
    } else if (ytree_is_empty(node) || ytree_is_null(node)) {
        berth_str_add(out, "nothing");
    } else {
        size_t n = strlen(node->text);
        bool cut = n > 60;
        if (cut) {
            for (n = 60; n > 0 && ((unsigned char)node->text[n] & 0xC0) == 0x80;)
                n--;
        }
        berth_str_addf(out, "%s'%.*s%s'", node->plain ? "" : "the quoted text ", (int)n, node->text,
                       cut ? "..." : "");
    }
}

static void report_value(struct checker *k, const struct ytree_node *node, const char *path,
                         const struct berth_key *row, const char *hint) {
    if (!begin_error(k, node, false)) return;
    berth_str_addf(&k->out, "'%s': expected ", path);
    conf_expected(&k->out, row);
    berth_str_add(&k->out, ", found ");
    add_found(&k->out, node);
    berth_str_add(&k->out, hint);
}

/* Names of the keys of a section; returns how many. */
static size_t section_keys(const char *pattern, const char **names, size_t capacity) {
    size_t count = 0;
    for (size_t i = 0; i < berth_config_key_count && count < capacity; i++) {
        if (conf_is_child(&berth_config_keys[i], pattern))
            names[count++] = conf_last_name(berth_config_keys[i].path);
    }
    return count;
}

static void report_unknown(struct checker *k, const struct ytree_node *node, const char *pattern,
                           const char *section, const char *path) {
    const char *names[64];
    size_t count = section_keys(pattern, names, 64);
    if (!begin_error(k, node, true)) return;
    berth_str_addf(&k->out, "key '%s' is not known", path);
    const char *dot = section[0] == '\0' ? "" : ".";
    const char *near = berth_nearest(node->key, names, count);
    if (near != NULL) {
        berth_str_addf(&k->out, "; did you mean '%s%s%s'?", section, dot, near);
        return;
    }
    for (size_t i = 0; i < berth_config_key_count; i++) { /* the right key in the wrong section */
        const char *other = berth_config_keys[i].path;
        if (strcmp(conf_last_name(other), node->key) == 0) {
            berth_str_addf(&k->out, "; did you mean '%s'?", other);
            return;
        }
    }
    berth_str_addf(&k->out, "; known %s%s%s: ", section[0] == '\0' ? "at the top" : "in '", section,
                   section[0] == '\0' ? "" : "'");
    for (size_t i = 0; i < count; i++)
        berth_str_addf(&k->out, "%s%s", i > 0 ? ", " : "", names[i]);
}

static bool in_range(const struct berth_key *row, double value) {
    return row->min > row->max || (value >= row->min && value <= row->max);
}

/* A scalar against the row; false and a hint when it does not fit. */
static bool scalar_fits(const struct berth_key *row, const struct ytree_node *node, const char **hint) {
    bool flag = false;
    int64_t whole = 0;
    double number = 0;
    struct berth_duration duration;
    *hint = "";
    if (node->kind != YTREE_SCALAR || node->text[0] == '\0' || ytree_is_null(node)) return false;
    if (row->type != BERTH_KEY_CHOICE && conf_has_choice(row->choices, node->text)) return true;
    switch (row->type) {
    case BERTH_KEY_BOOL:
        return node->plain && conf_parse_bool(node->text, &flag);
    case BERTH_KEY_INT:
        return node->plain && berth_parse_int64(node->text, &whole) && in_range(row, (double)whole);
    case BERTH_KEY_NUMBER:
    case BERTH_KEY_NUMBERS:
        return node->plain && berth_parse_double(node->text, &number) && in_range(row, number);
    case BERTH_KEY_CHOICE:
        return conf_has_choice(row->choices, node->text);
    case BERTH_KEY_COLUMN:
    case BERTH_KEY_COLUMNS:
        return !node->plain || node->text[0] != '-' || !conf_is_index(node->text + 1);
    case BERTH_KEY_DURATION:
        return conf_parse_duration(node->text, &duration, hint);
    default:
        return true; /* a text */
    }
}

static void check_scalar(struct checker *k, const struct berth_key *row, const struct ytree_node *node,
                         const char *path) {
    const char *hint = "";
    if (scalar_fits(row, node, &hint)) return;
    char suggestion[64] = "";
    if (row->type == BERTH_KEY_CHOICE && node->kind == YTREE_SCALAR) {
        char words[256];
        const char *list[32];
        size_t count = 0;
        snprintf(words, sizeof words, "%s", row->choices);
        char *rest = NULL;
        for (char *w = strtok_r(words, "|", &rest); w != NULL && count < 32; w = strtok_r(NULL, "|", &rest))
            list[count++] = w;
        const char *near = berth_nearest(node->text, list, count);
        if (near != NULL) snprintf(suggestion, sizeof suggestion, "; did you mean '%s'?", near);
        hint = suggestion;
    }
    report_value(k, node, path, row, hint);
}

static void check_list_of_scalars(struct checker *k, const struct berth_key *row, const struct ytree_node *node,
                                  const char *path) {
    if (node->kind != YTREE_LIST) {
        check_scalar(k, row, node, path);
        return;
    }
    if (node->count == 0) report_value(k, node, path, row, " without entries");
    size_t i = 0;
    for (const struct ytree_node *n = node->first; n != NULL; n = n->next, i++) {
        char entry[CONF_PATH];
        conf_format_path(entry, "%s[%zu]", path, i);
        const char *hint = "";
        if (!scalar_fits(row, n, &hint)) report_value(k, n, entry, row, hint);
    }
}

static void check_map(struct checker *k, const struct ytree_node *map, const char *pattern, const char *path);

static bool name_is_good(const char *name) {
    size_t length = strlen(name);
    return length >= 1 && length <= 64 &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") == length;
}

/* The maps of a named map or of a list of maps. */
static void check_entries(struct checker *k, const struct berth_key *row, const struct ytree_node *node,
                          const char *path) {
    bool named = row->type == BERTH_KEY_NAMED;
    char pattern[CONF_PATH], entry[CONF_PATH];
    conf_format_path(pattern, "%s%s", row->path, named ? ".*" : "[]");
    if (row->required && node->count == 0) report_value(k, node, path, row, " without entries");
    size_t i = 0;
    for (const struct ytree_node *n = node->first; n != NULL; n = n->next, i++) {
        if (named && !name_is_good(n->key)) {
            if (begin_error(k, n, true))
                berth_str_addf(&k->out,
                               "'%s': the name '%.80s' is not allowed: 1 to 64 letters, digits, '_' and '-'",
                               path, n->key);
            continue;
        }
        if (named && ytree_is_null(n)) continue;
        if (named)
            conf_format_path(entry, "%s.%s", path, n->key);
        else
            conf_format_path(entry, "%s[%zu]", path, i);
        if (n->kind == YTREE_MAP || ytree_is_empty(n)) {
            check_map(k, n, pattern, entry);
        } else if (begin_error(k, n, false)) {
            berth_str_addf(&k->out, "'%s': expected a map of keys, found ", entry);
            add_found(&k->out, n);
        }
    }
}

static void check_value(struct checker *k, const struct berth_key *row, const struct ytree_node *node,
                        const char *path) {
    enum ytree_kind wanted = row->type == BERTH_KEY_LIST ? YTREE_LIST : YTREE_MAP;
    switch (row->type) {
    case BERTH_KEY_SECTION:
    case BERTH_KEY_NAMED:
    case BERTH_KEY_LIST:
        if (node->kind != wanted && !ytree_is_empty(node))
            report_value(k, node, path, row, "");
        else if (row->type == BERTH_KEY_SECTION)
            check_map(k, node, row->path, path);
        else
            check_entries(k, row, node, path);
        break;
    case BERTH_KEY_STRINGS:
    case BERTH_KEY_NUMBERS:
    case BERTH_KEY_COLUMNS:
        check_list_of_scalars(k, row, node, path);
        break;
    default:
        check_scalar(k, row, node, path);
    }
}

static const struct ytree_node *given_child(const struct ytree_node *map, const char *key) {
    const struct ytree_node *n = ytree_child(map, key);
    return n == NULL || ytree_is_null(n) ? NULL : n;
}

/* Required keys that are missing, and pairs that exclude each other. */
static void check_presence(struct checker *k, const struct ytree_node *map, const char *pattern,
                           const char *path) {
    const char *dot = path[0] == '\0' ? "" : ".";
    for (size_t i = 0; i < berth_config_key_count; i++) {
        const struct berth_key *row = &berth_config_keys[i];
        if (!conf_is_child(row, pattern)) continue;
        const char *name = conf_last_name(row->path);
        const struct ytree_node *node = given_child(map, name);
        if (node == NULL && row->required && begin_error(k, map, true)) {
            if (path[0] != '\0') berth_str_addf(&k->out, "'%s': ", path);
            berth_str_addf(&k->out, "the required key '%s' is missing: ", name);
            conf_expected(&k->out, row);
        }
        if (node == NULL || row->unless == NULL) continue;
        const char *other_name = conf_last_name(row->unless);
        const struct ytree_node *other = given_child(map, other_name);
        if (other != NULL && begin_error(k, node->origin != NULL ? node : other, true))
            berth_str_addf(&k->out, "'%s%s%s' and '%s%s%s' exclude each other; leave one out", path, dot, name,
                           path, dot, other_name);
    }
}

/* `map` may be an empty scalar ("train:"): a section without keys. */
static void check_map(struct checker *k, const struct ytree_node *map, const char *pattern, const char *path) {
    for (const struct ytree_node *n = map->first; n != NULL; n = n->next) {
        char child[CONF_PATH], child_pattern[CONF_PATH];
        const char *dot = path[0] == '\0' ? "" : ".";
        conf_format_path(child, "%s%s%.80s", path, dot, n->key);
        conf_format_path(child_pattern, "%s%s%.80s", pattern, dot, n->key);
        const struct berth_key *row = strpbrk(n->key, ".[*") == NULL ? conf_key(child_pattern) : NULL;
        if (row == NULL)
            report_unknown(k, n, pattern, path, child);
        else if (!ytree_is_null(n))
            check_value(k, row, n, child);
    }
    check_presence(k, map, pattern, path);
}

berth_status conf_check(const struct berth_config *c) {
    struct checker k = {.c = c};
    berth_str_init(&k.out);
    struct ytree_node root = *c->root;
    root.line = 0; /* what is missing at the top is missing in the file, not in a line */
    check_map(&k, &root, "", "");
    end_line(&k);
    if (k.errors > REPORTED_ERRORS)
        berth_str_addf(&k.out, "\n%s: %zu more errors", c->name, k.errors - REPORTED_ERRORS);
    berth_status status = BERTH_OK;
    if (k.out.failed)
        status = berth_error_set(BERTH_E_MEMORY, __FILE__, __LINE__, "%s: out of memory", c->name);
    else if (k.errors > 0)
        status = berth_error_set_lines(BERTH_E_USAGE, __FILE__, __LINE__, k.out.data);
    berth_str_deinit(&k.out);
    return status;
}
