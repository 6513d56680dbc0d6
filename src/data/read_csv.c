/* read_csv.c: RFC 4180. A field may stand in double quotes; then it may hold the delimiter, line breaks (kept
 * as they are) and quotes, which are doubled. A quote elsewhere is an error, not a guess. Empty lines are left
 * out where a record has several fields. The delimiter is ',' unless the source names another.
 */
#include "data/data_priv.h"

#include <stdlib.h>
#include <string.h>

#define FIELD_MOST ((size_t)64 << 20)

struct csv_state {
    struct table table; /* first: table functions are given it */
    char delimiter;
    struct berth_str text; /* cells of a record with quotes, each ended by a zero byte */
    size_t *starts;        /* [start_count] of each cell in text */
    size_t start_count, start_capacity;
};

/* A line without quotes is cut in place. */
static berth_status split_plain(struct table *t, struct line_cursor *l, char delimiter) {
    for (char *cell = l->text, *end = l->text + l->length; cell;) {
        char *stop = memchr(cell, delimiter, (size_t)(end - cell));
        char *next = stop ? stop + 1 : NULL;
        if (!stop) stop = end;
        BERTH_TRY(table_add_cell(t, cell, (size_t)(stop - cell)));
        *stop = 0;
        cell = next;
    }
    return BERTH_OK;
}

static berth_status begin_cell(struct csv_state *s) {
    BERTH_TRY(berth_grow(&s->starts, &s->start_capacity, s->start_count + 1, sizeof *s->starts));
    s->starts[s->start_count++] = s->text.length;
    return BERTH_OK;
}

static void end_cell(struct csv_state *s) {
    berth_str_addn(&s->text, "", 1);
}

/* The part of a quoted field in this line, from *at behind its quote; *closed when its end is there. */
static void add_quoted(struct csv_state *s, const struct line_cursor *l, size_t *at, bool *closed) {
    *closed = false;
    while (*at < l->length) {
        const char *from = l->text + *at;
        const char *quote = memchr(from, '"', l->length - *at);
        size_t n = quote ? (size_t)(quote - from) : l->length - *at;
        berth_str_addn(&s->text, from, n);
        *at += n + (quote ? 1 : 0);
        if (!quote) return;
        if (l->text[*at] != '"') { /* the line ends in a zero byte */
            *closed = true;
            return;
        }
        berth_str_addn(&s->text, "\"", 1);
        (*at)++;
    }
}

/* A quoted field, over as many lines as it takes; *at is behind its first quote, then behind its last. */
static berth_status read_quoted(struct csv_state *s, struct line_cursor *l, size_t *at) {
    const char *path = l->stream.file->path;
    long long first_line = (long long)l->line;
    size_t first_column = *at, begin = s->text.length;
    bool closed = false, more = true;
    for (;;) {
        add_quoted(s, l, at, &closed);
        if (closed) return BERTH_OK;
        if (s->text.length - begin > FIELD_MOST)
            BERTH_FAIL(BERTH_E_FORMAT,
                       "%s:%lld:%zu: found a quoted field of more than %zu MiB, expected its closing quote",
                       path, first_line, first_column, FIELD_MOST >> 20);
        berth_str_add(&s->text, l->end_size == 2 ? "\r\n" : l->end_size == 1 ? "\n" : "");
        BERTH_TRY(line_next(l, &more));
        if (!more)
            BERTH_FAIL(BERTH_E_FORMAT,
                       "%s:%lld:%zu: found a quoted field without an end, expected its closing quote", path,
                       first_line, first_column);
        *at = 0;
    }
}

static berth_status read_plain(struct csv_state *s, const struct line_cursor *l, size_t *at) {
    const char *from = l->text + *at;
    const char *stop = memchr(from, s->delimiter, l->length - *at);
    size_t n = stop ? (size_t)(stop - from) : l->length - *at;
    const char *quote = memchr(from, '"', n);
    if (quote)
        BERTH_FAIL(
            BERTH_E_FORMAT,
            "%s:%lld:%zu: found a quote inside a field, expected the whole field in quotes and its own quotes "
            "doubled",
            l->stream.file->path, (long long)l->line, (size_t)(quote - l->text) + 1);
    berth_str_addn(&s->text, from, n);
    *at += n;
    return BERTH_OK;
}

static berth_status split_quoted(struct csv_state *s, struct line_cursor *l) {
    size_t at = 0;
    berth_str_reset(&s->text);
    s->start_count = 0;
    for (;;) {
        BERTH_TRY(begin_cell(s));
        bool quoted = l->text[at] == '"';
        if (quoted) {
            at++;
            BERTH_TRY(read_quoted(s, l, &at));
        } else {
            BERTH_TRY(read_plain(s, l, &at));
        }
        end_cell(s);
        if (at == l->length) break;
        if (l->text[at] != s->delimiter) /* behind a quoted field alone */
            BERTH_FAIL(
                BERTH_E_FORMAT,
                "%s:%lld:%zu: found text behind a closing quote, expected the delimiter or the end of the line",
                l->stream.file->path, (long long)l->line, at + 1);
        at++;
    }
    if (s->text.failed) BERTH_FAIL(BERTH_E_MEMORY, "out of memory");
    for (size_t i = 0; i < s->start_count; i++) {
        size_t end = i + 1 < s->start_count ? s->starts[i + 1] : s->text.length;
        BERTH_TRY(table_add_cell(&s->table, s->text.data + s->starts[i], end - s->starts[i] - 1));
    }
    return BERTH_OK;
}

static berth_status csv_record(struct reader *r, struct table *t, bool *more) {
    struct csv_state *s = r->state;
    struct line_cursor *l = &r->lines[0];
    do {
        BERTH_TRY(line_next(l, more));
        if (!*more) return BERTH_OK;
    } while (l->length == 0 && t->columns != 1);
    t->line = l->line;
    t->cell_count = 0;
    return memchr(l->text, '"', l->length) ? split_quoted(s, l) : split_plain(t, l, s->delimiter);
}

static berth_status csv_open(struct reader *r) {
    struct csv_state *s = NULL;
    BERTH_TRY(berth_calloc(&s, 1, sizeof *s));
    r->state = s;
    berth_str_init(&s->text);
    s->delimiter = r->spec->delimiter ? r->spec->delimiter[0] : ',';
    s->table.record = csv_record;
    return table_open(r, &s->table);
}

static berth_status csv_next(struct reader *r, bool *more) {
    struct csv_state *s = r->state;
    return table_next(r, &s->table, more);
}

static void csv_close(struct reader *r) {
    struct csv_state *s = r->state;
    table_deinit(&s->table);
    berth_str_deinit(&s->text);
    free(s->starts);
}

const struct reader_format reader_csv = {.name = "csv",
                                         .has_columns = true,
                                         .has_header = true,
                                         .has_delimiter = true,
                                         .check = table_check,
                                         .open = csv_open,
                                         .next = csv_next,
                                         .close = csv_close};
