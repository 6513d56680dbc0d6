/* specs.c: `data` and `tasks` of the configuration, read once into plain structs and checked for what they mean
 * together: a task's source exists, its label is one that the source's format carries. */
#include "data/data_priv.h"

#include <string.h>

static const char *const SPLIT_NAMES[BERTH_SPLIT_COUNT] = {"train", "dev", "test"};

const char *berth_split_name(enum berth_split split) {
    BERTH_ASSERT((size_t)split < BERTH_SPLIT_COUNT);
    return SPLIT_NAMES[split];
}

/* "data.NAME.key" in the arena. */
static berth_status make_key(struct berth_arena *arena, const char **out, const char *section, const char *name,
                             const char *key) {
    struct berth_str s;
    char *copy = NULL;
    berth_status status = BERTH_OK;
    berth_str_init(&s);
    berth_str_addf(&s, "%s.%s.%s", section, name, key);
    if (s.failed) BERTH_FAIL_OUT(BERTH_E_MEMORY, "out of memory");
    BERTH_TRY_OUT(berth_arena_strndup(arena, &copy, s.data, s.length));
    *out = copy;
out:
    berth_str_deinit(&s);
    return status;
}

static berth_status read_column(struct column *out, const struct berth_config *c, struct berth_arena *arena,
                                const char *section, const char *name, const char *key) {
    BERTH_TRY(make_key(arena, &out->key, section, name, key));
    out->name = berth_config_string(c, out->key);
    out->number = -1;
    if (berth_config_is_number(c, out->key) && !berth_parse_int64(out->name, &out->number))
        return berth_config_fail(c, out->key, "found '%s', expected a column's number from 0", out->name);
    return BERTH_OK;
}

/* Relative paths start at the data folder. */
static berth_status place_path(const char **out, struct berth_arena *arena, const char *folder,
                               const char *path) {
    struct berth_str s;
    char *copy = NULL;
    berth_status status = BERTH_OK;
    berth_str_init(&s);
    if (path[0] != '/' && strcmp(folder, ".") != 0) {
        berth_str_add(&s, folder);
        if (s.length > 0 && s.data[s.length - 1] != '/') berth_str_add(&s, "/");
    }
    berth_str_add(&s, path);
    if (s.failed) BERTH_FAIL_OUT(BERTH_E_MEMORY, "out of memory");
    BERTH_TRY_OUT(berth_arena_strndup(arena, &copy, s.data, s.length));
    *out = copy;
out:
    berth_str_deinit(&s);
    return status;
}

static berth_status read_paths(struct source_spec *spec, enum berth_split split, struct berth_arena *arena) {
    const struct berth_config *c = spec->config;
    const char *key = NULL;
    BERTH_TRY(make_key(arena, &key, "data", spec->name, SPLIT_NAMES[split]));
    if (!berth_config_has(c, key)) return BERTH_OK;
    size_t count = berth_config_count(c, key);
    if (count == 0) return berth_config_fail(c, key, "found an empty list, expected at least one path");
    const char **paths = NULL;
    BERTH_TRY(berth_arena_alloc(arena, &paths, count, sizeof *paths));
    for (size_t i = 0; i < count; i++)
        BERTH_TRY(
            place_path(&paths[i], arena, berth_config_string(c, "data_folder"), berth_config_item(c, key, i)));
    spec->paths[split] = paths;
    spec->path_count[split] = count;
    return BERTH_OK;
}

/* Whether the key of a source holds what the table of keys says anyway: the effective configuration of a run writes
 * defaults out, and must be readable again. */
static bool holds_default(const struct berth_config *c, const char *key, const char *column) {
    char pattern[64];
    snprintf(pattern, sizeof pattern, "data.*.%s", column);
    for (size_t i = 0; i < berth_config_key_count; i++) {
        const struct berth_key *k = &berth_config_keys[i];
        if (strcmp(k->path, pattern) != 0 || !k->default_value) continue;
        if (k->type == BERTH_KEY_BOOL) return berth_config_bool(c, key) == (strcmp(k->default_value, "true") == 0);
        return strcmp(berth_config_string(c, key), k->default_value) == 0;
    }
    return false;
}

static berth_status read_source(struct source_spec *spec, struct berth_arena *arena) {
    const struct berth_config *c = spec->config;
    const char *key = NULL;
    BERTH_TRY(make_key(arena, &key, "data", spec->name, "format"));
    spec->format = reader_find(berth_config_string(c, key));
    if (!spec->format) /* the table of keys allows a format that has no reader */
        return berth_config_fail(c, key, "format '%s' has no reader", berth_config_string(c, key));
    if (spec->format->has_columns) {
        spec->header = berth_config_bool_f(c, "data.%s.header", spec->name);
        BERTH_TRY(read_column(&spec->text, c, arena, "data", spec->name, "text"));
        spec->has_pair = berth_config_has_f(c, "data.%s.text_pair", spec->name);
        if (spec->has_pair) BERTH_TRY(read_column(&spec->text_pair, c, arena, "data", spec->name, "text_pair"));
    } else {
        static const char *const columns[] = {"text", "text_pair", "header"};
        for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) {
            BERTH_TRY(make_key(arena, &key, "data", spec->name, columns[i]));
            if (berth_config_given(c, key) && !holds_default(c, key, columns[i]))
                return berth_config_fail(c, key, "format %s has no columns: leave this key out",
                                         spec->format->name);
        }
    }
    for (int split = 0; split < BERTH_SPLIT_COUNT; split++)
        BERTH_TRY(read_paths(spec, (enum berth_split)split, arena));
    return BERTH_OK;
}

static berth_status find_source(size_t *out, struct specs *s, const struct berth_config *c, const char *key) {
    const char *wanted = berth_config_string(c, key);
    for (size_t i = 0; i < s->source_count; i++) {
        if (strcmp(s->sources[i].name, wanted) != 0) continue;
        *out = i;
        return BERTH_OK;
    }
    const char **names = NULL;
    BERTH_TRY(berth_arena_alloc(&s->arena, &names, s->source_count, sizeof *names));
    for (size_t i = 0; i < s->source_count; i++)
        names[i] = s->sources[i].name;
    const char *nearest = berth_nearest(wanted, names, s->source_count);
    return berth_config_fail(c, key, "no source of `data` is named '%s'%s%s%s", wanted,
                             nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

static berth_status read_tasks(struct specs *s, const struct berth_config *c) {
    for (size_t i = 0; i < s->task_count; i++) {
        struct task_spec *task = &s->tasks[i];
        task->name = berth_config_name(c, "tasks", i);
        const char *kind = berth_config_string_f(c, "tasks.%s.type", task->name);
        task->kind = strcmp(kind, berth_task_kind_name(BERTH_TASK_TAGGING)) == 0 ? BERTH_TASK_TAGGING
                                                                                 : BERTH_TASK_CLASSIFICATION;
        const char *key = NULL;
        BERTH_TRY(make_key(&s->arena, &key, "tasks", task->name, "source"));
        BERTH_TRY(find_source(&task->source, s, c, key));
        struct source_spec *spec = &s->sources[task->source];
        task->label = spec->label_count;
        struct label_spec *label = &spec->labels[spec->label_count++];
        label->task = i;
        label->kind = task->kind;
        BERTH_TRY(read_column(&label->column, c, &s->arena, "tasks", task->name, "label"));
        if (task->kind == BERTH_TASK_TAGGING) spec->by_words = true;
    }
    return BERTH_OK;
}

berth_status specs_read(struct specs *out, const struct berth_config *c) {
    memset(out, 0, sizeof *out);
    berth_arena_init(&out->arena);
    out->max_length = berth_config_int(c, "model.max_length");
    out->source_count = berth_config_count(c, "data");
    out->task_count = berth_config_count(c, "tasks");
    BERTH_TRY(berth_arena_alloc(&out->arena, &out->sources, out->source_count, sizeof *out->sources));
    BERTH_TRY(berth_arena_alloc(&out->arena, &out->tasks, out->task_count, sizeof *out->tasks));
    for (size_t i = 0; i < out->source_count; i++) {
        struct source_spec *spec = &out->sources[i];
        spec->config = c;
        spec->name = berth_config_name(c, "data", i);
        BERTH_TRY(berth_arena_alloc(&out->arena, &spec->labels, out->task_count, sizeof *spec->labels));
        BERTH_TRY(read_source(spec, &out->arena));
    }
    BERTH_TRY(read_tasks(out, c));
    for (size_t i = 0; i < out->source_count; i++)
        BERTH_TRY(out->sources[i].format->check(&out->sources[i]));
    return BERTH_OK;
}

void specs_deinit(struct specs *s) {
    berth_arena_deinit(&s->arena);
    memset(s, 0, sizeof *s);
}
