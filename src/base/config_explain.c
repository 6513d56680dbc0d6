/* config_explain.c: the table of keys as text: one key for `berth config --explain`, all of them as the
 * reference page docs/configuration.md. */
#include <stdlib.h>
#include <string.h>

#include "base/base_priv.h"

/* Patterns as users read them: "tasks.*.type" is written "tasks.NAME.type". */
static void add_path(struct berth_str *out, const char *pattern) {
    for (const char *p = pattern; *p != '\0'; p++) {
        if (*p == '*')
            berth_str_add(out, "NAME");
        else
            berth_str_addn(out, p, 1);
    }
}

static bool is_container(const struct berth_key *row) {
    return row->type == BERTH_KEY_SECTION || row->type == BERTH_KEY_NAMED || row->type == BERTH_KEY_LIST;
}

static void explain_row(struct berth_str *out, const struct berth_key *row) {
    if (out->length > 0) berth_str_add(out, "\n");
    add_path(out, row->path);
    berth_str_addf(out, "\n  %s\n", row->help);
    berth_str_add(out, "  value:   ");
    conf_expected(out, row);
    berth_str_add(out, "\n");
    if (row->unit[0] != '\0') berth_str_addf(out, "  unit:    %s\n", row->unit);
    if (row->default_value != NULL)
        berth_str_addf(out, "  default: %s\n", row->default_value);
    else if (row->required)
        berth_str_add(out, "  required\n");
    else if (!is_container(row))
        berth_str_add(out, "  default: none\n");
    if (row->unless != NULL) berth_str_addf(out, "  not with %s\n", row->unless);
}

/* "tasks.ner" and "freeze[0]" are entries: no rows of their own. Writes their pattern ("tasks.*"). */
static bool entry_pattern(const char *path, char out[CONF_PATH]) {
    size_t length = strlen(path);
    for (size_t i = 0; i < berth_config_key_count; i++) {
        const struct berth_key *row = &berth_config_keys[i];
        size_t n = strlen(row->path);
        if (length <= n || strncmp(row->path, path, n) != 0) continue;
        const char *rest = path + n;
        bool named = row->type == BERTH_KEY_NAMED && rest[0] == '.' && strpbrk(rest + 1, ".[") == NULL;
        bool listed = row->type == BERTH_KEY_LIST && rest[0] == '[' && rest[strlen(rest) - 1] == ']';
        if (!named && !listed) continue;
        conf_format_path(out, "%s%s", row->path, named ? ".*" : "[]");
        return true;
    }
    return false;
}

static bool lies_below(const char *path, const char *section) {
    size_t n = strlen(section);
    return strncmp(path, section, n) == 0 && (path[n] == '.' || path[n] == '[');
}

/* What is near: whole paths first, then a last name that is spelt the same. */
static const char *nearest_path(const char *path) {
    const char **paths = NULL;
    const size_t count = berth_config_key_count;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(conf_last_name(berth_config_keys[i].path), conf_last_name(path)) == 0)
            return berth_config_keys[i].path;
    }
    if (berth_calloc(&paths, count, sizeof *paths) != BERTH_OK) return NULL;
    for (size_t i = 0; i < count; i++)
        paths[i] = berth_config_keys[i].path;
    const char *near = berth_nearest(path, paths, count);
    free(paths);
    return near;
}

berth_status berth_config_explain(struct berth_str *out, const char *path) {
    char pattern[CONF_PATH];
    const struct berth_key *row = conf_key(path);
    if (row != NULL) {
        conf_format_path(pattern, "%s", row->path);
        explain_row(out, row);
    } else if (strlen(path) >= CONF_PATH || !entry_pattern(path, pattern)) {
        const char *near = nearest_path(path);
        if (near != NULL) BERTH_FAIL(BERTH_E_USAGE, "key '%s' is not known; did you mean '%s'?", path, near);
        BERTH_FAIL(BERTH_E_USAGE, "key '%s' is not known; `berth config --reference` lists all keys", path);
    }
    if (row == NULL || is_container(row)) {
        for (size_t i = 0; i < berth_config_key_count; i++) {
            if (lies_below(berth_config_keys[i].path, pattern)) explain_row(out, &berth_config_keys[i]);
        }
    }
    if (out->failed) BERTH_FAIL(BERTH_E_MEMORY, "out of memory while explaining '%s'", path);
    return BERTH_OK;
}

static const char intro[] =
    "<!-- generated from src/base/config_keys.c by `berth config --reference`; change that table, not this "
    "page -->\n"
    "# Configuration\n"
    "\n"
    "A run is described by one YAML file: `berth train CONFIG [key=value ...]`. Every key that is read stands "
    "on\n"
    "this page. An unknown key, a wrong type or a value out of range is an error with file, line and column, "
    "and\n"
    "nothing starts. `berth config CONFIG` checks a file and prints it with all defaults filled in;\n"
    "`berth config --explain KEY` prints the entry of one key.\n"
    "\n"
    "- `key=value` on the command line overrides the file by path: `train.lr=3e-5`, `tasks.ner.weight=2`,\n"
    "  `freeze[0].select=embeddings`. The value is read as YAML, so lists and maps are possible; `key=null` "
    "takes\n"
    "  the default.\n"
    "- NAME is a name that you choose: 1 to 64 letters, digits, `_` and `-`.\n"
    "- Durations are written `500 steps`, `1 epoch`, `0.5 epochs`, `30 s`, `10 min` or `2 h`.\n"
    "- true and false may also be written yes/no and on/off.\n"
    "- Files are UTF-8, of at most 1 MiB, without anchors, aliases and tags.\n";

/* Text inside a Markdown table's cell. */
static void add_cell(struct berth_str *out, const char *text) {
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '|')
            berth_str_add(out, "\\|");
        else
            berth_str_addn(out, p, 1);
    }
}

static void reference_row(struct berth_str *out, const struct berth_key *row) {
    struct berth_str value;
    berth_str_init(&value);
    conf_expected(&value, row);
    berth_str_add(out, "| `");
    add_path(out, row->path);
    berth_str_add(out, "` | ");
    add_cell(out, value.data != NULL ? value.data : "");
    out->failed = out->failed || value.failed;
    berth_str_deinit(&value);
    if (row->default_value != NULL)
        berth_str_addf(out, " | `%s` | ", row->default_value);
    else
        berth_str_add(out, row->required ? " | required | " : " |  | ");
    add_cell(out, row->unit);
    berth_str_add(out, " | ");
    add_cell(out, row->help);
    if (row->unless != NULL) berth_str_addf(out, " Not together with `%s`.", row->unless);
    berth_str_add(out, " |\n");
}

static const char table_head[] = "| key | value | default | unit | what it does |\n|---|---|---|---|---|\n";

berth_status berth_config_reference(struct berth_str *out) {
    berth_str_add(out, intro);
    berth_str_add(out, "\n## General\n\n");
    berth_str_add(out, table_head);
    for (size_t i = 0; i < berth_config_key_count; i++) {
        const struct berth_key *row = &berth_config_keys[i];
        if (conf_is_child(row, "") && !is_container(row)) reference_row(out, row);
    }
    for (size_t i = 0; i < berth_config_key_count; i++) {
        const struct berth_key *section = &berth_config_keys[i];
        if (!conf_is_child(section, "") || !is_container(section)) continue;
        berth_str_addf(out, "\n## %s\n\n%s%s\n\n", section->path, section->help,
                       section->required ? " Required." : "");
        berth_str_add(out, table_head);
        for (size_t j = 0; j < berth_config_key_count; j++) {
            if (lies_below(berth_config_keys[j].path, section->path)) reference_row(out, &berth_config_keys[j]);
        }
    }
    if (out->failed) BERTH_FAIL(BERTH_E_MEMORY, "out of memory while writing the reference page");
    return BERTH_OK;
}
