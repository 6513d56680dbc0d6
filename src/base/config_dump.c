/* config_dump.c: the effective configuration as YAML, in the order of the table.
 *
 * Numbers are written as the user wrote them, texts plain where that cannot be misread and in double quotes
 * otherwise, so that loading the text again gives the same values: load(dump(c)) = c. Keys without a value,
 * and sections without keys, are left out. */
#include <string.h>

#include "base/base_priv.h"

struct dumper {
    struct berth_str out;
    const struct berth_config *c;
    bool changed_only;
    bool dash; /* the next line begins an entry of a list */
};

static void begin_line(struct dumper *d, int indent) {
    berth_str_addf(&d->out, "%*s%s", d->dash ? indent - 2 : indent, "", d->dash ? "- " : "");
    d->dash = false;
}

/* Letters that stand for themselves anywhere within a plain text; single spaces within are allowed too. */
static bool is_plain_text(const char *text) {
    static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./";
    bool word = false;
    if (text[0] == '\0' || strchr(first, text[0]) == NULL) return false;
    if (strcmp(text, "null") == 0 || conf_parse_bool(text, &word)) return false;
    for (const char *p = text; *p != '\0'; p++) {
        bool inner_space = *p == ' ' && p[1] != '\0' && p[1] != ' ';
        if (strchr(first, *p) == NULL && strchr("-+=@~*", *p) == NULL && !inner_space) return false;
    }
    return strncmp(text, "...", 3) != 0;
}

/* Double quotes. Escaped: what YAML calls not printable, and the line breaks beyond ASCII, which it would fold.
 */
static void add_quoted(struct berth_str *out, const char *text) {
    berth_str_add(out, "\"");
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        unsigned code = 0; /* of a three-byte sequence */
        if ((*p & 0xF0) == 0xE0) code = (*p & 0x0Fu) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu);
        if (*p == '"' || *p == '\\') {
            berth_str_addf(out, "\\%c", *p);
        } else if (*p == '\n') {
            berth_str_add(out, "\\n");
        } else if (*p == '\t') {
            berth_str_add(out, "\\t");
        } else if (*p < 0x20 || *p == 0x7F) {
            berth_str_addf(out, "\\x%02x", *p);
        } else if (*p == 0xC2 && p[1] < 0xA0) {
            berth_str_addf(out, "\\x%02x", *++p);
        } else if (code == 0x2028 || code == 0x2029 || code == 0xFEFF || code >= 0xFFFE) {
            berth_str_addf(out, "\\u%04x", code);
            p += 2;
        } else {
            berth_str_addn(out, (const char *)p, 1);
        }
    }
    berth_str_add(out, "\"");
}

/* `plain`: it was written without quotes (a default counts as such). */
static void add_value(struct berth_str *out, const struct berth_key *row, const char *text, bool plain) {
    bool is_column = row->type == BERTH_KEY_COLUMN || row->type == BERTH_KEY_COLUMNS;
    bool is_text = row->type == BERTH_KEY_STRING || row->type == BERTH_KEY_STRINGS || is_column ||
                   row->type == BERTH_KEY_CHOICE;
    bool number_like = is_column && conf_is_index(text);
    if (is_text && (!is_plain_text(text) || (number_like && !plain)))
        add_quoted(out, text);
    else
        berth_str_add(out, text);
}

static void child_path(char out[CONF_PATH], const char *path, const struct berth_key *row) {
    conf_format_path(out, "%s%s%s", path, path[0] == '\0' ? "" : ".", conf_last_name(row->path));
}

/* The text that is written for a key without entries; NULL when nothing is. */
static const char *scalar_text(const struct dumper *d, const struct berth_key *row, const char *path) {
    const struct ytree_node *node = conf_find(d->c, path);
    if (node != NULL) return node->text;
    return d->changed_only ? NULL : conf_default(d->c, row, path);
}

/* Whether a section, at this path, has anything to be written. */
static bool has_content(const struct dumper *d, const char *pattern, const char *path) {
    for (size_t i = 0; i < berth_config_key_count; i++) {
        const struct berth_key *row = &berth_config_keys[i];
        char child[CONF_PATH];
        if (!conf_is_child(row, pattern)) continue;
        child_path(child, path, row);
        const struct ytree_node *node = conf_find(d->c, child);
        switch (row->type) {
        case BERTH_KEY_SECTION:
            if (has_content(d, row->path, child)) return true;
            break;
        case BERTH_KEY_NAMED:
        case BERTH_KEY_LIST:
            if (node != NULL && node->count > 0) return true;
            break;
        default:
            if (scalar_text(d, row, child) != NULL) return true;
        }
    }
    return false;
}

static void dump_section(struct dumper *d, const char *pattern, const char *path, int indent);

/* A stage: what the user gave, as it was given. */
static void dump_given(struct dumper *d, const struct ytree_node *map, int indent) {
    for (const struct ytree_node *n = map->first; n != NULL; n = n->next) {
        if (map->kind == YTREE_LIST && n->count > 0) { /* its first line begins with the dash */
            d->dash = true;
            dump_given(d, n, indent + 2);
            continue;
        }
        begin_line(d, indent);
        berth_str_addf(&d->out, "%s%s", map->kind == YTREE_MAP ? n->key : "-",
                       map->kind == YTREE_MAP ? ":" : "");
        if (n->kind == YTREE_SCALAR) {
            berth_str_add(&d->out, " ");
            if (n->plain) /* what was plain can be plain again */
                berth_str_add(&d->out, n->text);
            else
                add_quoted(&d->out, n->text);
            berth_str_add(&d->out, "\n");
        } else if (n->count == 0) {
            berth_str_add(&d->out, n->kind == YTREE_MAP ? " {}\n" : " []\n");
        } else {
            berth_str_add(&d->out, "\n");
            dump_given(d, n, indent + 2);
        }
    }
}

static void dump_entries(struct dumper *d, const struct berth_key *row, const struct ytree_node *node,
                         const char *path, int indent) {
    char pattern[CONF_PATH], entry[CONF_PATH];
    bool named = row->type == BERTH_KEY_NAMED;
    conf_format_path(pattern, "%s%s", row->path, named ? ".*" : "[]");
    size_t i = 0;
    for (const struct ytree_node *n = node->first; n != NULL; n = n->next, i++) {
        if (named)
            conf_format_path(entry, "%s.%s", path, n->key);
        else
            conf_format_path(entry, "%s[%zu]", path, i);
        if (strcmp(row->path, "stages") == 0) {
            d->dash = true;
            dump_given(d, n, indent + 2);
            continue;
        }
        bool content = has_content(d, pattern, entry);
        if (named) {
            begin_line(d, indent);
            /* quoted always where a name could be read as something else: "123", "on", "-" */
            if (is_plain_text(n->key))
                berth_str_add(&d->out, n->key);
            else
                add_quoted(&d->out, n->key);
            berth_str_add(&d->out, content ? ":\n" : ": {}\n");
        } else {
            d->dash = true;
        }
        if (content) {
            dump_section(d, pattern, entry, indent + 2);
        } else if (!named) {
            begin_line(d, indent + 2);
            berth_str_add(&d->out, "{}\n");
        }
    }
}

/* "key: value", or a list of values in a line each. */
static void dump_scalar(struct dumper *d, const struct berth_key *row, const char *path, int indent) {
    const struct ytree_node *node = conf_find(d->c, path);
    const char *text = scalar_text(d, row, path);
    if (text == NULL) return;
    begin_line(d, indent);
    berth_str_addf(&d->out, "%s:", conf_last_name(row->path));
    if (node != NULL && node->kind == YTREE_LIST) {
        berth_str_add(&d->out, "\n");
        for (const struct ytree_node *n = node->first; n != NULL; n = n->next) {
            berth_str_addf(&d->out, "%*s- ", indent + 2, "");
            add_value(&d->out, row, n->text, n->plain);
            berth_str_add(&d->out, "\n");
        }
        return;
    }
    berth_str_add(&d->out, " ");
    add_value(&d->out, row, text, node == NULL || node->plain);
    berth_str_add(&d->out, "\n");
}

static void dump_section(struct dumper *d, const char *pattern, const char *path, int indent) {
    for (size_t i = 0; i < berth_config_key_count; i++) {
        const struct berth_key *row = &berth_config_keys[i];
        char child[CONF_PATH];
        if (!conf_is_child(row, pattern)) continue;
        child_path(child, path, row);
        const struct ytree_node *node = conf_find(d->c, child);
        bool entries = row->type == BERTH_KEY_NAMED || row->type == BERTH_KEY_LIST;
        if (row->type != BERTH_KEY_SECTION && !entries) {
            dump_scalar(d, row, child, indent);
            continue;
        }
        if (entries ? node == NULL || node->count == 0 : !has_content(d, row->path, child)) continue;
        begin_line(d, indent);
        berth_str_addf(&d->out, "%s:\n", conf_last_name(row->path));
        if (entries)
            dump_entries(d, row, node, child, indent + 2);
        else
            dump_section(d, row->path, child, indent + 2);
    }
}

berth_status berth_config_dump(char **out, const struct berth_config *c, bool changed_only) {
    struct dumper d = {.c = c, .changed_only = changed_only};
    berth_str_init(&d.out);
    dump_section(&d, "", "", 0);
    return berth_str_take(&d.out, out);
}
