/* reader.c: what all formats share: the registry, mapped files, and the meaning of a row's fields.
 *
 * A format finds the fields of a row; here they become texts and labels. A label that is missing (an empty
 * cell, null) is NULL: it is never guessed. Lists come as lists (jsonl), or are made of a text: a tagging label
 * is split at white space, a multilabel one at the source's separator. Messages read FILE:LINE: found ...,
 * expected ... .
 */
#include "data/data_priv.h"

#include <stdlib.h>
#include <string.h>

static const struct reader_format *const FORMATS[] = {
    &reader_tsv, &reader_csv, &reader_jsonl, &reader_conll, &reader_lines, &reader_seqfiles, &reader_text};

const struct reader_format *reader_find(const char *name) {
    for (size_t i = 0; i < sizeof FORMATS / sizeof FORMATS[0]; i++)
        if (strcmp(FORMATS[i]->name, name) == 0) return FORMATS[i];
    return NULL;
}

berth_status reader_map_files(struct text_file *files, size_t *count, const struct source_spec *spec,
                              const char *path) {
    const char *names[READER_MAX_FILES];
    size_t members = spec->format->members ? spec->format->members(spec, names) : 0;
    *count = members ? members : 1;
    for (size_t i = 0; i < *count; i++) {
        if (members)
            BERTH_TRY(berth_path_join(&files[i].path, path, names[i]));
        else
            BERTH_TRY(berth_strdup(&files[i].path, path));
        BERTH_TRY(berth_file_map(&files[i].map, files[i].path));
        if (files[i].map.size == 0)
            BERTH_FAIL(BERTH_E_FORMAT, "%s:1: found an empty file, expected at least one row", files[i].path);
    }
    return BERTH_OK;
}

void reader_unmap_file(struct text_file *file) {
    berth_file_unmap(&file->map);
    free(file->path);
    memset(file, 0, sizeof *file);
}

berth_status reader_open(struct reader *r, const struct source_spec *spec, const struct text_file *files,
                         size_t file_count) {
    memset(r, 0, sizeof *r);
    r->spec = spec;
    r->files = files;
    r->file_count = file_count;
    for (size_t i = 0; i < file_count; i++)
        BERTH_TRY(line_cursor_init(&r->lines[i], &files[i], spec->encoding));
    r->row.label_count = spec->label_count;
    r->field_count = FIELD_OF_LABELS + spec->label_count;
    BERTH_TRY(berth_calloc(&r->row.labels, spec->label_count, sizeof *r->row.labels));
    BERTH_TRY(berth_calloc(&r->fields, r->field_count, sizeof *r->fields));
    BERTH_TRY(berth_calloc(&r->converted, spec->label_count, sizeof *r->converted));
    BERTH_TRY(berth_calloc(&r->found_tags, spec->label_count, sizeof *r->found_tags));
    BERTH_TRY(berth_calloc(&r->lists, spec->label_count, sizeof *r->lists));
    for (size_t i = 0; i < spec->label_count; i++) {
        berth_str_init(&r->lists[i]);
        berth_str_init(&r->converted[i]);
    }
    return spec->format->open ? spec->format->open(r) : BERTH_OK;
}

void reader_close(struct reader *r) {
    if (r->state && r->spec->format->close) r->spec->format->close(r);
    for (size_t i = 0; r->lists && i < r->spec->label_count; i++) {
        berth_str_deinit(&r->lists[i]);
        berth_str_deinit(&r->converted[i]);
    }
    free(r->lists);
    free(r->converted);
    free(r->found_tags);
    free(r->fields);
    free(r->state);
    free(r->row.labels);
    for (size_t i = 0; i < r->file_count; i++)
        line_cursor_deinit(&r->lines[i]);
    memset(r, 0, sizeof *r);
}

void field_set(struct field *f, char *text, size_t size) {
    f->kind = FIELD_TEXT;
    f->text = text;
    f->size = size;
}

static void add_item(struct berth_str *list, const char *text, size_t size) {
    static const char end[] = {BERTH_LIST_END};
    berth_str_addn(list, text, size);
    berth_str_addn(list, end, 1);
}

static berth_status end_list(struct berth_str *list, const char **out) {
    if (list->failed) BERTH_FAIL(BERTH_E_MEMORY, "out of memory");
    *out = list->data ? list->data : "";
    return BERTH_OK;
}

berth_status field_set_words(struct field *f, struct berth_str *list, const char *text, size_t size) {
    struct word_cursor w = {.text = text, .size = size};
    const char *unused = NULL;
    berth_str_reset(list);
    berth_str_add(list, "");
    while (word_next(&w))
        add_item(list, text + w.start, w.end - w.start);
    BERTH_TRY(end_list(list, &unused));
    f->kind = FIELD_LIST;
    f->text = list->data;
    f->size = list->length;
    return BERTH_OK;
}

/* ---- the meaning of fields */

/* A column as messages name it: "column 'tags'", "column 2", "'seq.out'". */
struct column_name {
    char text[160];
};
static struct column_name name_column(const struct reader *r, size_t field) {
    struct column_name out;
    const struct column *column = spec_column(r->spec, field);
    bool columns = r->spec->format->has_columns;
    if (!column || !column->name)
        snprintf(out.text, sizeof out.text, "the text");
    else if (column->number >= 0 && columns)
        snprintf(out.text, sizeof out.text, "column %lld", (long long)column->number);
    else
        snprintf(out.text, sizeof out.text, "%s'%.120s'", columns ? "column " : "", column->name);
    return out;
}

static berth_status fail_field(const struct reader *r, size_t field, const char *found, const char *expected) {
    BERTH_FAIL(BERTH_E_FORMAT, "%s:%lld: %s: found %s, expected %s", r->files[r->fields[field].file].path,
               (long long)r->line, name_column(r, field).text, found, expected);
}

static berth_status fail_field_text(const struct reader *r, size_t field, const char *expected) {
    char found[96];
    const char *text = r->fields[field].text;
    size_t n = strlen(text);
    for (n = n > 60 ? 60 : n; n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80;)
        n--;
    snprintf(found, sizeof found, "'%.*s%s'", (int)n, text, text[n] ? "..." : "");
    return fail_field(r, field, found, expected);
}

/* Cuts ASCII spaces and tabs off both ends in place; false when nothing is left. */
static bool trim(struct field *f) {
    while (f->size > 0 && (*f->text == ' ' || *f->text == '\t')) {
        f->text++;
        f->size--;
    }
    while (f->size > 0 && (f->text[f->size - 1] == ' ' || f->text[f->size - 1] == '\t'))
        f->size--;
    f->text[f->size] = 0;
    return f->size > 0;
}

/* Parts of a cell between separators, without the spaces round them; empty parts are left out. */
static berth_status split_labels(struct berth_str *list, const struct field *f, const char *separator,
                                 const char **out) {
    size_t step = strlen(separator);
    berth_str_reset(list);
    for (const char *at = f->text; at;) {
        const char *end = strstr(at, separator);
        size_t size = end ? (size_t)(end - at) : strlen(at);
        const char *next = end ? end + step : NULL;
        while (size > 0 && (*at == ' ' || *at == '\t')) {
            at++;
            size--;
        }
        while (size > 0 && (at[size - 1] == ' ' || at[size - 1] == '\t'))
            size--;
        if (size > 0) add_item(list, at, size);
        at = next;
    }
    return end_list(list, out);
}

static berth_status read_tags(struct reader *r, size_t label, const char **out) {
    size_t field = FIELD_OF_LABELS + label;
    struct field *f = &r->fields[field];
    if (f->kind == FIELD_TEXT) {
        if (!trim(f)) return BERTH_OK;
        BERTH_TRY(field_set_words(f, &r->lists[label], f->text, f->size));
    }
    *out = f->text;
    int64_t tags = word_total(*out, strlen(*out), true);
    int64_t words = word_total(r->row.text, strlen(r->row.text), r->row.pre_split);
    if (tags != words)
        BERTH_FAIL(BERTH_E_FORMAT, "%s:%lld: found %lld tag%s in %s, expected %lld (words of %s)",
                   r->files[f->file].path, (long long)r->line, (long long)tags, tags == 1 ? "" : "s",
                   name_column(r, field).text, (long long)words, name_column(r, FIELD_OF_TEXT).text);
    r->found_tags[label] = *out;
    enum berth_tag_scheme to = r->spec->labels[label].convert_to;
    if (to == BERTH_TAG_SCHEME_COUNT) return BERTH_OK;
    tags_convert(&r->converted[label], *out, to);
    return end_list(&r->converted[label], out);
}

static berth_status read_label(struct reader *r, size_t label) {
    size_t field = FIELD_OF_LABELS + label;
    enum berth_task_kind kind = r->spec->labels[label].kind;
    struct field *f = &r->fields[field];
    const char **out = &r->row.labels[label];
    double number = 0;
    *out = NULL;
    if (r->spec->labels[label].kept) {
        if (f->kind != FIELD_MISSING) *out = f->text;
        return BERTH_OK;
    }
    if (!kind_has_label(kind)) {
        if (kind == BERTH_TASK_MLM || r->row.text_pair) *out = "";
        return BERTH_OK;
    }
    if (f->kind == FIELD_MISSING) return BERTH_OK;
    if (kind == BERTH_TASK_TAGGING) return read_tags(r, label, out);
    if (f->kind == FIELD_LIST && kind != BERTH_TASK_MULTILABEL)
        return fail_field(r, field, "a list", kind == BERTH_TASK_CLASSIFICATION ? "one label" : "a number");
    if (f->kind == FIELD_LIST) {
        *out = f->text;
        return BERTH_OK;
    }
    if (!trim(f)) return BERTH_OK;
    if (kind == BERTH_TASK_MULTILABEL && r->spec->format->has_lists && !r->spec->separator_given)
        return fail_field_text(r, field, "a list, or the key separator for texts that hold several labels");
    if (kind == BERTH_TASK_MULTILABEL) return split_labels(&r->lists[label], f, r->spec->separator, out);
    if (kind != BERTH_TASK_CLASSIFICATION && !berth_parse_double(f->text, &number))
        return fail_field_text(r, field, "a number");
    if (kind == BERTH_TASK_SIMILARITY && !r->row.text_pair) return BERTH_OK; /* nothing to compare with */
    *out = f->text;
    return BERTH_OK;
}

berth_status reader_next(struct reader *r, bool *more) {
    struct berth_row *row = &r->row;
    for (size_t i = 0; i < r->field_count; i++)
        r->fields[i].kind = FIELD_MISSING;
    BERTH_TRY(r->spec->format->next(r, more));
    if (!*more) return BERTH_OK;
    for (size_t i = 0; i < row->label_count; i++)
        r->found_tags[i] = NULL;
    struct field *text = &r->fields[FIELD_OF_TEXT], *pair = &r->fields[FIELD_OF_PAIR];
    struct field *negative = &r->fields[FIELD_OF_NEGATIVE];
    row->line = r->line;
    if (text->kind == FIELD_MISSING) return fail_field(r, FIELD_OF_TEXT, "nothing", "a text");
    row->text = text->text;
    row->pre_split = text->kind == FIELD_LIST;
    if (pair->kind == FIELD_LIST) return fail_field(r, FIELD_OF_PAIR, "a list", "a text");
    if (negative->kind == FIELD_LIST) return fail_field(r, FIELD_OF_NEGATIVE, "a list", "a text");
    row->text_pair = pair->kind == FIELD_TEXT ? pair->text : NULL;
    row->text_negative = negative->kind == FIELD_TEXT && negative->size > 0 ? negative->text : NULL;
    for (size_t i = 0; i < row->label_count; i++)
        BERTH_TRY(read_label(r, i));
    return BERTH_OK;
}

berth_status reader_report_row(const struct reader *r, struct read_report *report) {
    for (size_t i = 0; i < r->row.label_count; i++) {
        const char *path = r->files[r->fields[FIELD_OF_LABELS + i].file].path;
        if (r->found_tags[i]) BERTH_TRY(read_report_tags(report, i, path, r->line, r->found_tags[i]));
    }
    return BERTH_OK;
}

berth_status reader_report_end(const struct reader *r, struct read_report *report) {
    for (size_t i = 0; i < r->file_count; i++)
        BERTH_TRY(
            read_report_replaced(report, r->files[i].path, r->lines[i].replaced_line, r->lines[i].replaced));
    return BERTH_OK;
}
