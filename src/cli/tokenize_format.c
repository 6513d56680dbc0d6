/* tokenize_format.c: rows of tokens as lines of text: plain, or an object of JSON each.
 *
 * Writing numbers takes longer than finding them, so rows are written in parallel too: runs of rows, each into
 * a text of its own, printed in order. */
#include <omp.h>
#include <stdlib.h>

#include "cli/tokenize_priv.h"

static void add_number(struct berth_str *out, int64_t value) {
    char digits[24];
    size_t at = sizeof digits;
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        digits[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (value < 0) digits[--at] = '-';
    berth_str_addn(out, digits + at, sizeof digits - at);
}

static void add_plain_row(struct berth_str *out, const struct berth_tokenizer *t,
                          const struct tokenize_style *style, const struct berth_encoded *e, size_t row) {
    for (int64_t i = e->offset[row]; i < e->offset[row + 1]; i++) {
        if (i > e->offset[row]) berth_str_addn(out, " ", 1);
        if (style->tokens) {
            berth_str_add(out, berth_tokenizer_token(t, e->ids[i]));
        } else {
            add_number(out, e->ids[i]);
        }
        if (style->offsets) berth_str_addf(out, ":%d-%d", (int)e->start[i], (int)e->end[i]);
    }
    berth_str_addn(out, "\n", 1);
}

static void add_list(struct berth_str *out, const char *name, const int32_t *values, int64_t from, int64_t to) {
    berth_str_addf(out, ", \"%s\": [", name);
    for (int64_t i = from; i < to; i++) {
        if (i > from) berth_str_addn(out, ", ", 2);
        add_number(out, values[i]);
    }
    berth_str_addn(out, "]", 1);
}

static void add_json_row(struct berth_str *out, const struct berth_tokenizer *t, const struct berth_encoded *e,
                         size_t row, int64_t line) {
    int64_t from = e->offset[row], to = e->offset[row + 1];
    berth_str_addf(out, "{\"line\": %lld", (long long)(line + e->input[row]));
    add_list(out, "ids", e->ids, from, to);
    berth_str_add(out, ", \"tokens\": [");
    for (int64_t i = from; i < to; i++) {
        if (i > from) berth_str_addn(out, ", ", 2);
        berth_str_add_json(out, berth_tokenizer_token(t, e->ids[i]));
    }
    berth_str_add(out, "], \"offsets\": [");
    for (int64_t i = from; i < to; i++)
        berth_str_addf(out, "%s[%d, %d]", i > from ? ", " : "", (int)e->start[i], (int)e->end[i]);
    berth_str_add(out, "]");
    add_list(out, "words", e->word, from, to);
    berth_str_add(out, ", \"segments\": [");
    for (int64_t i = from; i < to; i++)
        berth_str_addf(out, "%s%d", i > from ? ", " : "", e->segment[i]);
    berth_str_add(out, "]}\n");
}

berth_status tokenize_print(const struct berth_tokenizer *t, const struct tokenize_style *style,
                            const struct berth_encoded *rows, int64_t line, int threads) {
    berth_status status = BERTH_OK;
    struct berth_str *parts = NULL;
    if (threads == 0) threads = omp_get_max_threads();
    size_t count = threads == 1 || rows->count < 4096 ? 1 : (size_t)threads * 2;
    BERTH_TRY(berth_calloc(&parts, count, sizeof *parts));
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1) if (count > 1)
    for (size_t p = 0; p < count; p++) {
        berth_str_init(&parts[p]);
        for (size_t r = rows->rows * p / count; r < rows->rows * (p + 1) / count; r++) {
            if (style->json) {
                add_json_row(&parts[p], t, rows, r, line);
            } else {
                add_plain_row(&parts[p], t, style, rows, r);
            }
        }
    }
    for (size_t p = 0; p < count && status == BERTH_OK; p++)
        if (parts[p].failed || parts[p].length > 0) status = cli_out_str(&parts[p]);
    for (size_t p = 0; p < count; p++)
        berth_str_deinit(&parts[p]);
    free(parts);
    return status == BERTH_OK ? cli_out_flush() : status;
}
