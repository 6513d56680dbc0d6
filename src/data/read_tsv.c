/* read_tsv.c: tab-separated columns, one row a line, no quoting (GLUE's form).
 *
 * With a header, line 1 names the columns and a column may be given by name or by number from 0; without one,
 * by number only. Every line has as many columns as the first.
 */
#include "data/data_priv.h"

#include <stdlib.h>
#include <string.h>

struct tsv_state {
    size_t columns;
    size_t text, text_pair;
    char **cells; /* [columns] into the line */
    size_t cell_capacity;
    size_t label[]; /* [label_count] column of each label */
};

static berth_status check_column(const struct source_spec *spec, const struct column *column) {
    if (spec->header || column->number >= 0) return BERTH_OK;
    return berth_config_fail(spec->config, column->key,
                             "found the name '%s', expected a column's number from 0, since the source has "
                             "'header: false'",
                             column->name);
}

static berth_status tsv_check(struct source_spec *spec) {
    BERTH_TRY(check_column(spec, &spec->text));
    if (spec->has_pair) BERTH_TRY(check_column(spec, &spec->text_pair));
    for (size_t i = 0; i < spec->label_count; i++)
        BERTH_TRY(check_column(spec, &spec->labels[i].column));
    return BERTH_OK;
}

/* Cuts the current line at its tabs. */
static berth_status split_cells(struct tsv_state *s, struct line_cursor *l, size_t *count) {
    *count = 0;
    for (char *cell = l->text; cell;) {
        BERTH_TRY(berth_grow(&s->cells, &s->cell_capacity, *count + 1, sizeof *s->cells));
        s->cells[(*count)++] = cell;
        cell = strchr(cell, '\t');
        if (cell) *cell++ = 0;
    }
    return BERTH_OK;
}

static berth_status find_column(size_t *out, const struct tsv_state *s, const struct text_file *file,
                                const struct column *column) {
    if (column->number >= 0) {
        if ((size_t)column->number >= s->columns)
            BERTH_FAIL(BERTH_E_FORMAT, "%s:1: found %zu column%s, expected at least %lld for column %lld (%s)",
                       file->path, s->columns, s->columns == 1 ? "" : "s", (long long)column->number + 1,
                       (long long)column->number, column->key);
        *out = (size_t)column->number;
        return BERTH_OK;
    }
    for (size_t i = 0; i < s->columns; i++) {
        if (strcmp(s->cells[i], column->name) != 0) continue;
        *out = i;
        return BERTH_OK;
    }
    struct berth_str found;
    berth_str_init(&found);
    for (size_t i = 0; i < s->columns; i++)
        berth_str_addf(&found, "%s'%s'", i ? ", " : "", s->cells[i]);
    const char *nearest = berth_nearest(column->name, (const char *const *)s->cells, s->columns);
    berth_status status = berth_error_set(
        BERTH_E_FORMAT, __FILE__, __LINE__, "%s:1: found the columns %s, expected one named '%s' (%s)%s%s%s",
        file->path, found.failed ? "?" : found.data, column->name, column->key,
        nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
    berth_str_deinit(&found);
    return status;
}

static berth_status tsv_open(struct reader *r) {
    const struct source_spec *spec = r->spec;
    struct tsv_state *s = NULL;
    BERTH_TRY(berth_calloc(&s, 1, sizeof *s + spec->label_count * sizeof s->label[0]));
    r->state = s;
    bool more = false;
    BERTH_TRY(line_next(&r->lines[0], &more));
    if (!more) BERTH_FAIL(BERTH_E_FORMAT, "%s:1: found no line, expected at least one row", r->files[0].path);
    BERTH_TRY(split_cells(s, &r->lines[0], &s->columns));
    if (spec->header)
        for (size_t i = 0; i < s->columns; i++) {
            char *name = reader_trim(s->cells[i]);
            if (name) s->cells[i] = name;
        }
    BERTH_TRY(find_column(&s->text, s, &r->files[0], &spec->text));
    if (spec->has_pair) BERTH_TRY(find_column(&s->text_pair, s, &r->files[0], &spec->text_pair));
    for (size_t i = 0; i < spec->label_count; i++)
        BERTH_TRY(find_column(&s->label[i], s, &r->files[0], &spec->labels[i].column));
    if (!spec->header) { /* the line read is a row: read it again */
        struct line_cursor again;
        line_cursor_init(&again, &r->files[0]);
        line_cursor_deinit(&r->lines[0]);
        r->lines[0] = again;
    }
    return BERTH_OK;
}

static berth_status tsv_next(struct reader *r, bool *more) {
    const struct source_spec *spec = r->spec;
    struct tsv_state *s = r->state;
    struct line_cursor *l = &r->lines[0];
    BERTH_TRY(line_next(l, more));
    if (!*more) return BERTH_OK;
    size_t count = 0;
    BERTH_TRY(split_cells(s, l, &count));
    if (count != s->columns)
        BERTH_FAIL(BERTH_E_FORMAT, "%s:%lld: found %zu column%s, expected %zu", r->files[0].path,
                   (long long)l->line, count, count == 1 ? "" : "s", s->columns);
    r->row.line = l->line;
    r->row.text = s->cells[s->text];
    r->row.text_pair = spec->has_pair ? s->cells[s->text_pair] : NULL;
    r->row.pre_split = false;
    int64_t words = spec->by_words ? word_total(r->row.text, strlen(r->row.text)) : 0;
    for (size_t i = 0; i < spec->label_count; i++) {
        char *cell = s->cells[s->label[i]];
        r->row.labels[i] = reader_trim(cell);
        if (spec->labels[i].kind != BERTH_TASK_TAGGING || !r->row.labels[i]) continue;
        int64_t tags = word_total(cell, strlen(cell));
        if (tags != words)
            BERTH_FAIL(BERTH_E_FORMAT,
                       "%s:%lld: found %lld tag%s in column '%s', expected %lld (words of column '%s')",
                       r->files[0].path, (long long)l->line, (long long)tags, tags == 1 ? "" : "s",
                       spec->labels[i].column.name, (long long)words, spec->text.name);
    }
    return BERTH_OK;
}

static void tsv_close(struct reader *r) {
    struct tsv_state *s = r->state;
    if (s) free(s->cells);
}

const struct reader_format reader_tsv = {.name = "tsv",
                                         .has_columns = true,
                                         .check = tsv_check,
                                         .open = tsv_open,
                                         .next = tsv_next,
                                         .close = tsv_close};
