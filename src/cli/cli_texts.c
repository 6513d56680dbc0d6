/* cli_texts.c: the texts that a command reads, in any format that training reads, a window at a time.
 *
 * A window waits for its first row only: what else has already arrived goes along. So a file is read in full
 * windows, and a program that sends one line and waits is answered at once. Memory holds one window: it ends at
 * a number of rows or of bytes, whatever comes first.
 *
 * Without --input a row is a line, and a tab parts the two texts of a pair. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli_priv.h"

/* "a,b" -> {"a", "b"}; names and their array lie in one block each. */
static berth_status split_names(struct cli_texts *in, const char *list) {
    size_t count = 1;
    if (!list) return BERTH_OK;
    for (const char *p = list; *p; p++)
        count += *p == ',';
    BERTH_TRY(berth_strdup(&in->keep_text, list));
    BERTH_TRY(berth_calloc(&in->keep, count, sizeof in->keep[0]));
    char *at = in->keep_text;
    for (size_t i = 0; i < count; i++) {
        in->keep[i] = at;
        at += strcspn(at, ",");
        if (*at == ',') *at++ = '\0';
        if (in->keep[i][0] == '\0') BERTH_FAIL(BERTH_E_USAGE, "--keep %s: the name of a column is empty", list);
    }
    in->keep_count = count;
    if (count > CLI_MOST_KEPT)
        BERTH_FAIL(BERTH_E_USAGE, "--keep: %zu columns, at most %d", count, CLI_MOST_KEPT);
    return BERTH_OK;
}

berth_status cli_texts_open(struct cli_texts *in, const struct cli_args *args, const char *path, bool keeps) {
    memset(in, 0, sizeof *in);
    in->name = path && strcmp(path, "-") != 0 ? path : "standard input";
    struct berth_texts_options o = {
        .format = cli_value(args, "input"),
        .text = cli_value(args, "column"),
        .text_pair = cli_value(args, "pair-column"),
        .no_header = cli_flag(args, "no-header"),
        .delimiter = cli_value(args, "delimiter"),
        .encoding = cli_value(args, "encoding") ? cli_value(args, "encoding") : "replace",
    };
    in->tabs = o.format == NULL;
    if (keeps) BERTH_TRY(split_names(in, cli_value(args, "keep")));
    o.keep = in->keep;
    o.keep_count = in->keep_count;
    berth_status status = berth_texts_open(&in->texts, path, &o);
    if (status != BERTH_E_USAGE) return status;
    return berth_error_context(status, "%s", args->command->name);
}

void cli_texts_close(struct cli_texts *in) {
    if (in->texts && berth_texts_replaced(in->texts) > 0)
        cli_console_line("berth: warning: %s: %lld characters are not UTF-8 and were read as U+FFFD", in->name,
                         (long long)berth_texts_replaced(in->texts));
    berth_texts_close(in->texts);
    free(in->keep);
    free(in->keep_text);
    free(in->failure);
    memset(in, 0, sizeof *in);
}

/* ---- windows */

void cli_rows_deinit(struct cli_rows *w) {
    berth_arena_deinit(&w->arena);
    free(w->rows);
    free(w->order);
    memset(w, 0, sizeof *w);
}

static berth_status copy_text(struct cli_rows *w, const char **out, const char *text, size_t *size) {
    char *copy = NULL;
    *out = NULL;
    if (!text) return BERTH_OK;
    size_t n = strlen(text);
    BERTH_TRY(berth_arena_strndup(&w->arena, &copy, text, n));
    *out = copy;
    *size += n;
    return BERTH_OK;
}

/* The words of a list with a space between. */
static berth_status join_words(struct cli_rows *w, const char **out, const char *list) {
    size_t n = strlen(list);
    char *text = NULL;
    BERTH_TRY(berth_arena_strndup(&w->arena, &text, list, n > 0 ? n - 1 : 0)); /* without the last end */
    for (char *p = text; *p; p++)
        if (*p == BERTH_LIST_END) *p = ' ';
    *out = text;
    return BERTH_OK;
}

static berth_status copy_row(struct cli_texts *in, struct cli_rows *w, const struct berth_row *from) {
    BERTH_TRY(berth_grow(&w->rows, &w->capacity, w->count + 1, sizeof w->rows[0]));
    struct cli_row *to = &w->rows[w->count];
    const char *text = NULL;
    size_t kept = 0;
    memset(to, 0, sizeof *to);
    to->row.pre_split = from->pre_split;
    to->row.line = from->line;
    BERTH_TRY(copy_text(w, &text, from->text, &to->size));
    BERTH_TRY(copy_text(w, &to->row.text_pair, from->text_pair, &to->size));
    to->row.text = text;
    if (in->tabs && strchr(text, '\t')) cli_split_pair((char *)(uintptr_t)text, &to->row.text_pair);
    to->text = text;
    if (to->row.pre_split) BERTH_TRY(join_words(w, &to->text, text));
    if (in->keep_count > 0) {
        BERTH_TRY(berth_arena_alloc(&w->arena, &to->row.labels, in->keep_count, sizeof to->row.labels[0]));
        for (size_t i = 0; i < in->keep_count; i++)
            BERTH_TRY(copy_text(w, &to->row.labels[i], from->labels[i], &kept));
        to->row.label_count = in->keep_count;
    }
    w->bytes += to->size + kept + sizeof *to;
    w->count++;
    return BERTH_OK;
}

berth_status cli_texts_window(struct cli_texts *in, struct cli_rows *w, size_t most_rows, size_t most_bytes) {
    berth_arena_deinit(&w->arena);
    berth_arena_init(&w->arena);
    w->count = w->bytes = 0;
    if (in->failure) return berth_error_set(in->failed, __FILE__, __LINE__, "%s", in->failure);
    while (w->count < most_rows && w->bytes < most_bytes) {
        const struct berth_row *row = NULL;
        if (w->count > 0 && !berth_texts_ready(in->texts)) break;
        berth_status status = berth_texts_next(in->texts, &row);
        if (status != BERTH_OK && w->count > 0) { /* first the rows before it */
            in->failed = status;
            BERTH_TRY(berth_strdup(&in->failure, berth_error_text()));
            break;
        }
        BERTH_TRY(status);
        if (!row) break;
        BERTH_TRY(copy_row(in, w, row));
    }
    in->rows += (int64_t)w->count;
    return BERTH_OK;
}

/* ---- the order of work */

static int longer_first(const void *a, const void *b) {
    const struct cli_row *x = *(const struct cli_row *const *)a, *y = *(const struct cli_row *const *)b;
    if (x->size != y->size) return x->size < y->size ? 1 : -1;
    return x < y ? -1 : x > y; /* rows lie in one array */
}

berth_status cli_rows_order(struct cli_rows *w) {
    BERTH_TRY(berth_grow(&w->order, &w->order_capacity, w->count, sizeof w->order[0]));
    for (size_t i = 0; i < w->count; i++)
        w->order[i] = &w->rows[i];
    if (w->count > 1) qsort(w->order, w->count, sizeof w->order[0], longer_first);
    return BERTH_OK;
}

/* ---- texts as cells and as JSON */

void cli_add_cell(struct berth_str *out, const char *text, size_t size) {
    for (size_t at = 0; at < size;) {
        size_t n = 0;
        while (at + n < size && !strchr("\t\r\n\x1F", text[at + n]))
            n++;
        berth_str_addn(out, text + at, n);
        at += n;
        if (at < size && !(text[at] == BERTH_LIST_END && at + 1 == size)) berth_str_add(out, " ");
        at++;
    }
}

void cli_add_json_number(struct berth_str *out, double value) {
    if (isfinite(value))
        berth_str_addf(out, "%.6g", value);
    else
        berth_str_add(out, "null");
}

void cli_add_json_text(struct berth_str *out, const char *text, size_t size) {
    struct berth_str clean;
    berth_str_init(&clean);
    size_t at = 0;
    while (at < size) {
        size_t good = berth_utf8_check(text + at, size - at);
        if (good > 0) berth_str_addn(&clean, text + at, good);
        at += good;
        if (at == size) break;
        size_t length = 1;
        bool valid = false;
        berth_utf8_decode(text + at, size - at, &length, &valid);
        berth_str_add(&clean, "\xEF\xBF\xBD");
        at += length;
    }
    berth_str_add_json(out, clean.length > 0 ? clean.data : "");
    out->failed |= clean.failed;
    berth_str_deinit(&clean);
}
