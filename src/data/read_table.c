/* read_table.c: rows of cells, one column a field: what tsv and csv share.
 *
 * With a header the first record names the columns and a column may be given by name or by number from 0;
 * without one, by number only. Every record has as many cells as the first.
 */
#include "data/data_priv.h"

#include <stdlib.h>
#include <string.h>

static berth_status check_column(const struct source_spec *spec, const struct column *column) {
    if (spec->header || column->number >= 0) return BERTH_OK;
    return spec_fail(
        spec, column->key,
        "found the name '%s', expected a column's number from 0, since the source has 'header: false'",
        column->name);
}

berth_status table_check(struct source_spec *spec) {
    for (size_t i = 0; i < FIELD_OF_LABELS + spec->label_count; i++) {
        const struct column *column = spec_column(spec, i);
        if (column) BERTH_TRY(check_column(spec, column));
    }
    return BERTH_OK;
}

berth_status table_add_cell(struct table *t, char *text, size_t size) {
    if (t->cell_count == t->cell_capacity)
        BERTH_TRY(berth_grow(&t->cells, &t->cell_capacity, t->cell_count + 1, sizeof *t->cells));
    t->cells[t->cell_count++] = (struct table_cell){text, size};
    return BERTH_OK;
}

/* "FILE:LINE: found the columns 'a', 'b', expected one named 'c' (KEY); did you mean 'b'?" */
static berth_status fail_name(const struct reader *r, const struct table *t, const struct column *column) {
    const char **names = NULL;
    struct berth_str found;
    berth_str_init(&found);
    berth_status status = berth_calloc(&names, t->columns, sizeof *names);
    for (size_t i = 0; status == BERTH_OK && i < t->columns; i++) {
        names[i] = t->cells[i].text;
        berth_str_addf(&found, "%s'%s'", i ? ", " : "", names[i]);
    }
    if (status == BERTH_OK) {
        const char *nearest = berth_nearest(column->name, names, t->columns);
        status = berth_error_set(BERTH_E_FORMAT, __FILE__, __LINE__,
                                 "%s:%lld: found the columns %s, expected one named '%s' (%s)%s%s%s",
                                 r->files[0].path, (long long)t->line, found.failed ? "?" : found.data,
                                 column->name, column->key, nearest ? "; did you mean '" : "",
                                 nearest ? nearest : "", nearest ? "'?" : "");
    }
    berth_str_deinit(&found);
    free(names);
    return status;
}

static berth_status find_column(size_t *out, const struct reader *r, const struct table *t,
                                const struct column *column) {
    if (column->number >= 0) {
        if ((size_t)column->number >= t->columns)
            BERTH_FAIL(BERTH_E_FORMAT,
                       "%s:%lld: found %zu column%s, expected at least %lld for column %lld (%s)",
                       r->files[0].path, (long long)t->line, t->columns, t->columns == 1 ? "" : "s",
                       (long long)column->number + 1, (long long)column->number, column->key);
        *out = (size_t)column->number;
        return BERTH_OK;
    }
    size_t found = 0;
    for (size_t i = 0; i < t->columns; i++)
        if (strcmp(t->cells[i].text, column->name) == 0 && found++ == 0) *out = i;
    if (found == 0) return fail_name(r, t, column);
    if (found > 1)
        BERTH_FAIL(BERTH_E_FORMAT, "%s:%lld: found %zu columns named '%s', expected one (%s)", r->files[0].path,
                   (long long)t->line, found, column->name, column->key);
    return BERTH_OK;
}

berth_status table_open(struct reader *r, struct table *t) {
    bool more = false;
    BERTH_TRY(berth_calloc(&t->where, r->field_count, sizeof *t->where));
    BERTH_TRY(t->record(r, t, &more));
    if (!more)
        BERTH_FAIL(BERTH_E_FORMAT, "%s:1: found no line, expected %s", r->files[0].path,
                   r->spec->header ? "a header with the names of columns" : "at least one row");
    t->columns = t->cell_count;
    t->held = !r->spec->header;
    for (size_t i = 0; i < r->field_count; i++) {
        const struct column *column = spec_column(r->spec, i);
        if (column) BERTH_TRY(find_column(&t->where[i], r, t, column));
    }
    return BERTH_OK;
}

berth_status table_next(struct reader *r, struct table *t, bool *more) {
    *more = true;
    if (!t->held) BERTH_TRY(t->record(r, t, more));
    t->held = false;
    if (!*more) return BERTH_OK;
    if (t->cell_count != t->columns)
        BERTH_FAIL(BERTH_E_FORMAT, "%s:%lld: found %zu column%s, expected %zu", r->files[0].path,
                   (long long)t->line, t->cell_count, t->cell_count == 1 ? "" : "s", t->columns);
    r->line = t->line;
    for (size_t i = 0; i < r->field_count; i++) {
        if (!spec_column(r->spec, i)) continue;
        struct table_cell *cell = &t->cells[t->where[i]];
        field_set(&r->fields[i], cell->text, cell->size);
    }
    return BERTH_OK;
}

void table_deinit(struct table *t) {
    free(t->cells);
    free(t->where);
}
