/* read_tsv.c: tab-separated columns, one row a line, no quoting (GLUE's form). */
#include "data/data_priv.h"

#include <string.h>

/* Cuts the next line at its tabs. */
static berth_status tsv_record(struct reader *r, struct table *t, bool *more) {
    struct line_cursor *l = &r->lines[0];
    BERTH_TRY(line_next(l, more));
    if (!*more) return BERTH_OK;
    t->line = l->line;
    t->cell_count = 0;
    for (char *cell = l->text, *end = l->text + l->length; cell;) {
        char *tab = memchr(cell, '\t', (size_t)(end - cell));
        char *stop = tab ? tab : end;
        BERTH_TRY(table_add_cell(t, cell, (size_t)(stop - cell)));
        *stop = 0;
        cell = tab ? tab + 1 : NULL;
    }
    return BERTH_OK;
}

static berth_status tsv_open(struct reader *r) {
    struct table *t = NULL;
    BERTH_TRY(berth_calloc(&t, 1, sizeof *t));
    r->state = t;
    t->record = tsv_record;
    return table_open(r, t);
}

static berth_status tsv_next(struct reader *r, bool *more) {
    return table_next(r, r->state, more);
}

static void tsv_close(struct reader *r) {
    table_deinit(r->state);
}

const struct reader_format reader_tsv = {.name = "tsv",
                                         .has_columns = true,
                                         .has_header = true,
                                         .check = table_check,
                                         .open = tsv_open,
                                         .next = tsv_next,
                                         .close = tsv_close};
