/* specs.c: `data` and `tasks` of the configuration, read once into plain structs and checked for what they mean
 * together: a task's sources exist, its label is one that their formats carry. */
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

/* Fills in what stands at out->key, `text`. */
static berth_status set_column(struct column *out, const struct berth_config *c, const char *text) {
    out->name = text;
    out->number = -1;
    if (berth_config_is_number(c, out->key) && !berth_parse_int64(out->name, &out->number))
        return berth_config_fail(c, out->key, "found '%s', expected a column's number from 0", out->name);
    return BERTH_OK;
}

static berth_status read_column(struct column *out, const struct source_spec *spec, struct berth_arena *arena,
                                const char *key) {
    BERTH_TRY(make_key(arena, &out->key, "data", spec->name, key));
    return set_column(out, spec->config, berth_config_string(spec->config, out->key));
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

/* Whether the key of a source holds what the table of keys says anyway: the effective configuration of a run
 * writes defaults out, and must be readable again. */
static bool holds_default(const struct berth_config *c, const char *key, const char *column) {
    char pattern[64];
    snprintf(pattern, sizeof pattern, "data.*.%s", column);
    for (size_t i = 0; i < berth_config_key_count; i++) {
        const struct berth_key *k = &berth_config_keys[i];
        if (strcmp(k->path, pattern) != 0 || !k->default_value) continue;
        if (k->type == BERTH_KEY_BOOL)
            return berth_config_bool(c, key) == (strcmp(k->default_value, "true") == 0);
        return strcmp(berth_config_string(c, key), k->default_value) == 0;
    }
    return false;
}

/* "comma" is ',', and so on; other texts stand for themselves. */
static const char *sign_of(const char *text) {
    static const char *const words[][2] = {
        {"comma", ","}, {"semicolon", ";"}, {"pipe", "|"}, {"space", " "}, {"tab", "\t"}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(words[i][0], text) == 0) return words[i][1];
    return text;
}

/* Keys that the source's format has no use for. */
static berth_status refuse_keys(const struct source_spec *spec, struct berth_arena *arena) {
    const struct reader_format *f = spec->format;
    const struct {
        const char *key;
        bool used;
        const char *why;
    } keys[] = {
        {"text", f->has_columns, "no columns"},
        {"text_pair", f->has_columns, "no columns"},
        {"negative", f->has_columns, "no columns"},
        {"header", f->has_header, f->has_columns ? "no header line" : "no columns"},
        {"delimiter", f->has_delimiter, "no delimiter to choose"},
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const char *key = NULL;
        if (keys[i].used) continue;
        BERTH_TRY(make_key(arena, &key, "data", spec->name, keys[i].key));
        if (berth_config_given(spec->config, key) && !holds_default(spec->config, key, keys[i].key))
            return berth_config_fail(spec->config, key, "format %s has %s: leave this key out", f->name,
                                     keys[i].why);
    }
    return BERTH_OK;
}

berth_status spec_set_delimiter(struct source_spec *spec, const char *key, const char *text) {
    const char *d = spec->delimiter = sign_of(text);
    if (strlen(d) == 1 && (d[0] & 0x80) == 0 && !strchr("\"\r\n", d[0])) return BERTH_OK;
    return spec_fail(
        spec, key,
        "found '%s', expected tab, comma, semicolon, pipe, space, or one ASCII sign that is no quote", text);
}

bool spec_set_encoding(struct source_spec *spec, const char *name) {
    static const char *const names[] = {"strict", "replace", "windows-1252"}; /* as enum text_encoding */
    for (int i = 0; i < 3; i++) {
        if (strcmp(names[i], name) != 0) continue;
        spec->encoding = (enum text_encoding)i;
        return true;
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
    BERTH_TRY(refuse_keys(spec, arena));
    BERTH_TRY(make_key(arena, &key, "data", spec->name, "delimiter"));
    if (berth_config_given(c, key)) BERTH_TRY(spec_set_delimiter(spec, key, berth_config_string(c, key)));
    BERTH_ASSERT(spec_set_encoding(spec, berth_config_string_f(c, "data.%s.encoding", spec->name)));
    BERTH_TRY(make_key(arena, &key, "data", spec->name, "separator"));
    spec->separator_given = berth_config_given(c, key);
    spec->separator = sign_of(berth_config_string_f(c, "data.%s.separator", spec->name));
    if (spec->format->has_header) spec->header = berth_config_bool_f(c, "data.%s.header", spec->name);
    if (spec->format->has_columns) {
        BERTH_TRY(read_column(&spec->text, spec, arena, "text"));
        spec->has_pair = berth_config_has_f(c, "data.%s.text_pair", spec->name);
        if (spec->has_pair) BERTH_TRY(read_column(&spec->text_pair, spec, arena, "text_pair"));
        spec->has_negative = berth_config_has_f(c, "data.%s.negative", spec->name);
        if (spec->has_negative) BERTH_TRY(read_column(&spec->text_negative, spec, arena, "negative"));
    }
    for (int split = 0; split < BERTH_SPLIT_COUNT; split++)
        BERTH_TRY(read_paths(spec, (enum berth_split)split, arena));
    return source_options_read(spec);
}

/* ---- tasks */

bool kind_has_label(enum berth_task_kind kind) {
    return kind != BERTH_TASK_CONTRASTIVE && kind != BERTH_TASK_MLM;
}

static berth_status find_source(size_t *out, struct specs *s, const struct berth_config *c, const char *key,
                                const char *wanted) {
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

/* "tasks.NAME.key", and "[index]" behind it where a list stands there. */
static berth_status item_key(const char **out, struct specs *s, const struct berth_config *c, const char *task,
                             const char *key, size_t index) {
    char item[64];
    BERTH_TRY(make_key(&s->arena, out, "tasks", task, key));
    if (!berth_config_given(c, *out) || berth_config_count(c, *out) < 2) return BERTH_OK;
    snprintf(item, sizeof item, "%s[%zu]", key, index);
    return make_key(&s->arena, out, "tasks", task, item);
}

/* tasks.NAME.scheme and convert_to. */
static berth_status read_schemes(struct label_spec *label, const struct berth_config *c, const char *task,
                                 struct berth_arena *arena) {
    const char *scheme = NULL, *convert = NULL;
    BERTH_TRY(make_key(arena, &scheme, "tasks", task, "scheme"));
    BERTH_TRY(make_key(arena, &convert, "tasks", task, "convert_to"));
    label->scheme = berth_tag_scheme_find(berth_config_string(c, scheme));      /* "auto": none */
    label->convert_to = berth_tag_scheme_find(berth_config_string(c, convert)); /* "none": none */
    bool converts = label->convert_to != BERTH_TAG_SCHEME_COUNT;
    bool declared = label->scheme != BERTH_TAG_SCHEME_COUNT;
    if (label->kind != BERTH_TASK_TAGGING && (converts || declared))
        return berth_config_fail(c, declared ? scheme : convert, "a %s task has no tags: leave this key out",
                                 berth_task_kind_name(label->kind));
    if (converts && (!declared || label->scheme == BERTH_TAGS_PLAIN))
        return berth_config_fail(c, convert,
                                 "found '%s' without the scheme that the files have, expected "
                                 "tasks.%s.scheme as one of io, bio, iob1, bioes, bilou",
                                 berth_tag_scheme_name(label->convert_to), task);
    return BERTH_OK;
}

static berth_status read_label(struct label_spec *label, const struct source_spec *spec, struct specs *s,
                               const char *task, size_t index) {
    const struct berth_config *c = spec->config;
    const char *list = NULL, *comment = NULL;
    BERTH_TRY(make_key(&s->arena, &list, "tasks", task, "label"));
    BERTH_TRY(make_key(&s->arena, &comment, "tasks", task, "comment"));
    BERTH_TRY(item_key(&label->column.key, s, c, task, "label", index));
    BERTH_TRY(read_schemes(label, c, task, &s->arena));
    label->column.number = -1;
    label->from_comment = spec->format->has_comments && berth_config_given(c, comment);
    if (label->from_comment) {
        label->column.key = comment;
        label->column.name = berth_config_string(c, comment);
    } else if (berth_config_given(c, list)) {
        if (!kind_has_label(label->kind))
            return berth_config_fail(c, list, "a %s task has no labels: leave this key out",
                                     berth_task_kind_name(label->kind));
        size_t count = berth_config_count(c, list);
        BERTH_TRY(set_column(&label->column, c, berth_config_item(c, list, count > 1 ? index : 0)));
    } else if (kind_has_label(label->kind)) {
        BERTH_TRY(make_key(&s->arena, &list, "tasks", task, "type"));
        return berth_config_fail(c, list,
                                 "found '%s' without the key 'label', expected the column of the label",
                                 berth_task_kind_name(label->kind));
    }
    bool pairs = label->kind == BERTH_TASK_SIMILARITY || label->kind == BERTH_TASK_CONTRASTIVE;
    if (pairs && !spec->has_pair) {
        BERTH_TRY(item_key(&list, s, c, task, "source", index));
        return berth_config_fail(c, list, "a %s task reads two texts, but source '%s' has no text_pair%s",
                                 berth_task_kind_name(label->kind), spec->name,
                                 spec->format->has_columns ? "" : " (its format has no columns)");
    }
    return BERTH_OK;
}

/* tasks.NAME.comment must have a use. */
static berth_status check_comment(struct specs *s, const struct berth_config *c, const struct task_spec *task,
                                  const char *sources) {
    const char *key = NULL;
    size_t source = 0;
    bool used = false;
    BERTH_TRY(make_key(&s->arena, &key, "tasks", task->name, "comment"));
    if (!berth_config_given(c, key)) return BERTH_OK;
    if (task->kind == BERTH_TASK_TAGGING || !kind_has_label(task->kind))
        return berth_config_fail(c, key, "a %s task has no label of the sentence: leave this key out",
                                 berth_task_kind_name(task->kind));
    for (size_t i = 0; i < task->source_count; i++) {
        BERTH_TRY(find_source(&source, s, c, sources, berth_config_item(c, sources, i)));
        used = used || s->sources[source].format->has_comments;
    }
    if (used) return BERTH_OK;
    return berth_config_fail(c, key,
                             "comment lines stand in conll files alone: leave this key out, or use label");
}

static berth_status read_task(struct specs *s, const struct berth_config *c, size_t index) {
    struct task_spec *task = &s->tasks[index];
    const char *sources = NULL, *labels = NULL;
    task->name = berth_config_name(c, "tasks", index);
    task->kind = berth_task_kind_find(berth_config_string_f(c, "tasks.%s.type", task->name));
    BERTH_ASSERT(task->kind != BERTH_TASK_KIND_COUNT);
    BERTH_TRY(make_key(&s->arena, &sources, "tasks", task->name, "source"));
    BERTH_TRY(make_key(&s->arena, &labels, "tasks", task->name, "label"));
    task->source_count = berth_config_count(c, sources);
    BERTH_TRY(check_comment(s, c, task, sources));
    size_t label_count = berth_config_given(c, labels) ? berth_config_count(c, labels) : 0;
    if (label_count > 1 && label_count != task->source_count)
        return berth_config_fail(c, labels,
                                 "found %zu columns, expected one, or one for each of the %zu source%s",
                                 label_count, task->source_count, task->source_count == 1 ? "" : "s");
    BERTH_TRY(berth_arena_alloc(&s->arena, &task->sources, task->source_count, sizeof *task->sources));
    for (size_t i = 0; i < task->source_count; i++) {
        struct task_source *at = &task->sources[i];
        const char *key = NULL;
        BERTH_TRY(item_key(&key, s, c, task->name, "source", i));
        BERTH_TRY(find_source(&at->source, s, c, key, berth_config_item(c, sources, i)));
        for (size_t k = 0; k < i; k++)
            if (task->sources[k].source == at->source)
                return berth_config_fail(c, key, "the source '%s' stands twice", s->sources[at->source].name);
        struct source_spec *spec = &s->sources[at->source];
        at->label = spec->label_count++;
        struct label_spec *label = &spec->labels[at->label];
        label->task = index;
        label->kind = task->kind;
        BERTH_TRY(read_label(label, spec, s, task->name, i));
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
    for (size_t i = 0; i < out->task_count; i++)
        BERTH_TRY(read_task(out, c, i));
    for (size_t i = 0; i < out->source_count; i++)
        BERTH_TRY(out->sources[i].format->check(&out->sources[i]));
    for (size_t i = 0; i < out->source_count; i++)
        BERTH_TRY(source_options_check(&out->sources[i], out));
    return BERTH_OK;
}

void specs_deinit(struct specs *s) {
    berth_arena_deinit(&s->arena);
    memset(s, 0, sizeof *s);
}

/* ---- what other files ask of a spec */

/* A column called 1 and column number 1 are two things of one spelling. */
static void add_column(struct berth_str *s, const char *key, const struct column *column) {
    berth_str_addf(s, ",\"%s\":", key);
    berth_str_add_json(s, column->name ? column->name : "");
    berth_str_addf(s, ",\"%s_by_number\":%s", key, column->number >= 0 ? "true" : "false");
}

static const char *scheme_text(enum berth_tag_scheme scheme) {
    return scheme == BERTH_TAG_SCHEME_COUNT ? "" : berth_tag_scheme_name(scheme);
}

void spec_add_settings(struct berth_str *s, const struct source_spec *spec) {
    berth_str_addf(s, "\"format\":\"%s\",\"by_words\":%s,\"header\":%s,\"separator\":", spec->format->name,
                   spec->by_words ? "true" : "false", spec->header ? "true" : "false");
    berth_str_add_json(s, spec->separator);
    berth_str_addf(s, ",\"separator_given\":%s,\"encoding\":%d,\"delimiter\":",
                   spec->separator_given ? "true" : "false", (int)spec->encoding);
    berth_str_add_json(s, spec->delimiter ? spec->delimiter : "");
    if (spec->format->has_columns) add_column(s, "text", &spec->text);
    if (spec->has_pair) add_column(s, "text_pair", &spec->text_pair);
    if (spec->has_negative) add_column(s, "negative", &spec->text_negative);
    berth_str_add(s, ",\"asked\":[");
    for (size_t i = 0; i < spec->label_count; i++) {
        const struct label_spec *label = &spec->labels[i];
        berth_str_addf(s, "%s{\"kind\":\"%s\"", i ? "," : "", berth_task_kind_name(label->kind));
        add_column(s, "label", &label->column);
        berth_str_addf(s, ",\"comment\":%s", label->from_comment ? "true" : "false");
        berth_str_addf(s, ",\"scheme\":\"%s\",\"convert_to\":\"%s\"}", scheme_text(label->scheme),
                       scheme_text(label->convert_to));
    }
    berth_str_add(s, "]");
}

berth_status spec_fail(const struct source_spec *spec, const char *key, const char *fmt, ...) {
    char text[2048];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (spec->config) return berth_config_fail(spec->config, key, "%s", text);
    BERTH_FAIL(BERTH_E_USAGE, "%s: %s", key, text);
}

const struct column *spec_column(const struct source_spec *spec, size_t field) {
    switch (field) {
    case FIELD_OF_TEXT:
        return &spec->text;
    case FIELD_OF_PAIR:
        return spec->has_pair ? &spec->text_pair : NULL;
    case FIELD_OF_NEGATIVE:
        return spec->has_negative ? &spec->text_negative : NULL;
    default:
        BERTH_ASSERT(field - FIELD_OF_LABELS < spec->label_count);
        return kind_has_label(spec->labels[field - FIELD_OF_LABELS].kind)
                   ? &spec->labels[field - FIELD_OF_LABELS].column
                   : NULL;
    }
}
