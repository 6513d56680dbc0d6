/* encode_batch.c: many inputs as a model reads them, in parallel.
 *
 *     inputs   [ block 0 | block 1 | ... ]     blocks are runs of inputs, taken by threads as they come free
 *     results  [ rows 0  | rows 1  | ... ]     one a block, then put behind one another
 *
 * A row depends on its input alone, so neither threads nor blocks change a bit of the result. */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "text/text_priv.h"

enum { SPECIAL_SEQUENCE = 2, ERROR_SIZE = 512 };

struct block {
    size_t first, last; /* inputs */
    struct berth_encoded rows;
    berth_status status;
    char error[ERROR_SIZE];
};

struct worker { /* memory of one thread */
    struct berth_encoding text, pair;
    struct text_spans text_windows, pair_windows;
};

/* ------------------------------------------------------------------ berth_encoded */

void berth_encoded_init(struct berth_encoded *e) {
    *e = (struct berth_encoded){0};
}

void berth_encoded_deinit(struct berth_encoded *e) {
    free(e->offset);
    free(e->input);
    free(e->ids);
    free(e->start);
    free(e->end);
    free(e->word);
    free(e->segment);
    free(e->sequence);
    berth_encoded_init(e);
}

static size_t larger(size_t needed, size_t capacity) {
    size_t twice = capacity < 16 ? 32 : capacity * 2;
    return needed > twice ? needed : twice;
}

static berth_status make_room(struct berth_encoded *e, size_t rows, size_t count) {
    if (e->rows + rows + 1 > e->row_capacity) {
        size_t capacity = larger(e->rows + rows + 1, e->row_capacity);
        BERTH_TRY(berth_realloc(&e->offset, capacity, sizeof *e->offset));
        BERTH_TRY(berth_realloc(&e->input, capacity, sizeof *e->input));
        e->row_capacity = capacity;
    }
    if (e->count + count > e->capacity) {
        size_t capacity = larger(e->count + count, e->capacity);
        BERTH_TRY(berth_realloc(&e->ids, capacity, sizeof *e->ids));
        BERTH_TRY(berth_realloc(&e->start, capacity, sizeof *e->start));
        BERTH_TRY(berth_realloc(&e->end, capacity, sizeof *e->end));
        BERTH_TRY(berth_realloc(&e->word, capacity, sizeof *e->word));
        BERTH_TRY(berth_realloc(&e->segment, capacity, sizeof *e->segment));
        BERTH_TRY(berth_realloc(&e->sequence, capacity, sizeof *e->sequence));
        e->capacity = capacity;
    }
    return BERTH_OK;
}

static void put_special(struct berth_encoded *out, int32_t id, uint8_t segment) {
    size_t i = out->count++;
    out->ids[i] = id;
    out->start[i] = out->end[i] = 0;
    out->word[i] = -1;
    out->segment[i] = segment;
    out->sequence[i] = SPECIAL_SEQUENCE;
}

static void put_pieces(struct berth_encoded *out, const struct berth_encoding *e, struct text_span span,
                       uint8_t segment) {
    size_t n = span.last - span.first, at = out->count;
    if (n == 0) return;
    memcpy(out->ids + at, e->ids + span.first, n * sizeof *e->ids);
    memcpy(out->start + at, e->start + span.first, n * sizeof *e->start);
    memcpy(out->end + at, e->end + span.first, n * sizeof *e->end);
    memcpy(out->word + at, e->word + span.first, n * sizeof *e->word);
    memset(out->segment + at, segment, n);
    memset(out->sequence + at, segment, n);
    out->count += n;
}

/* ------------------------------------------------------------------ one input */

static berth_status encode_text(const struct berth_tokenizer *t, struct berth_encoding *e,
                                const struct berth_text *texts, size_t count, bool words, bool characters) {
    berth_encoding_reset(e);
    for (size_t i = 0; i < count; i++) {
        size_t first = e->count;
        if (words) {
            BERTH_TRY(berth_tokenizer_encode_word(t, e, texts[i].text, texts[i].size, (int32_t)i));
        } else {
            BERTH_TRY(berth_tokenizer_encode(t, e, texts[i].text, texts[i].size));
        }
        if (characters) berth_encoding_to_characters(e, first, texts[i].text, texts[i].size);
    }
    return BERTH_OK;
}

static berth_status put_row(const struct berth_tokenizer *t, struct berth_encoded *out, const struct worker *w,
                            struct text_span text, const struct text_span *pair, bool special) {
    size_t length = text.last - text.first + (pair != NULL ? pair->last - pair->first : 0);
    BERTH_TRY(make_room(out, 1, length + 3));
    if (special) put_special(out, t->special_ids[SPECIAL_CLS], 0);
    put_pieces(out, &w->text, text, 0);
    if (special) put_special(out, t->special_ids[SPECIAL_SEP], 0);
    if (pair != NULL) put_pieces(out, &w->pair, *pair, 1);
    if (pair != NULL && special) put_special(out, t->special_ids[SPECIAL_SEP], 1);
    out->rows++;
    out->offset[out->rows] = (int64_t)out->count;
    return BERTH_OK;
}

static berth_status put_rows(const struct berth_tokenizer *t, struct berth_encoded *out, struct worker *w,
                             bool paired, bool special) {
    const struct text_span *a = w->text_windows.list, *b = w->pair_windows.list;
    BERTH_TRY(put_row(t, out, w, a[0], paired ? &b[0] : NULL, special));
    for (size_t i = 1; i < w->text_windows.count; i++) {
        BERTH_TRY(put_row(t, out, w, a[i], paired ? &b[0] : NULL, special));
        for (size_t k = 1; paired && k < w->pair_windows.count; k++)
            BERTH_TRY(put_row(t, out, w, a[i], &b[k], special));
    }
    for (size_t k = 1; paired && k < w->pair_windows.count; k++)
        BERTH_TRY(put_row(t, out, w, a[0], &b[k], special));
    return BERTH_OK;
}

static berth_status encode_input(const struct berth_tokenizer *t, struct berth_encoded *out, struct worker *w,
                                 const struct berth_text_input *in, const struct berth_encode_options *o) {
    bool paired = in->second != NULL;
    size_t special = o->no_special ? 0 : paired ? 3 : 2;
    size_t room = o->truncation == BERTH_TRUNCATE_NEVER ? SIZE_MAX : (size_t)o->max_length - special;
    BERTH_TRY(encode_text(t, &w->text, in->first, in->first_count, in->words, o->characters));
    size_t kept = w->text.count, kept_pair = 0;
    if (paired) BERTH_TRY(encode_text(t, &w->pair, in->second, in->second_count, in->words, o->characters));
    if (paired) kept_pair = w->pair.count;
    BERTH_TRY(truncate_lengths(&kept, paired ? &kept_pair : NULL, room, o->truncation));
    BERTH_TRY(truncate_windows(&w->text_windows, w->text.count, kept, o));
    if (paired) BERTH_TRY(truncate_windows(&w->pair_windows, w->pair.count, kept_pair, o));
    return put_rows(t, out, w, paired, special > 0);
}

/* ------------------------------------------------------------------ blocks */

static berth_status encode_block(const struct berth_tokenizer *t, struct block *b, struct worker *w,
                                 const struct berth_text_input *inputs, const struct berth_encode_options *o) {
    BERTH_TRY(make_room(&b->rows, 0, 0));
    b->rows.offset[0] = 0;
    for (size_t i = b->first; i < b->last; i++) {
        size_t rows = b->rows.rows;
        BERTH_TRY_CTX(encode_input(t, &b->rows, w, &inputs[i], o), "%s %lld", o->unit != NULL ? o->unit : "input",
                      (long long)i + o->first_number);
        for (; rows < b->rows.rows; rows++)
            b->rows.input[rows] = (int32_t)i;
    }
    return BERTH_OK;
}

static void append(struct berth_encoded *out, const struct berth_encoded *part) {
    size_t n = part->count, at = out->count;
    for (size_t r = 0; r < part->rows; r++) {
        out->input[out->rows + r] = part->input[r];
        out->offset[out->rows + r + 1] = (int64_t)at + part->offset[r + 1];
    }
    out->rows += part->rows;
    out->count += n;
    if (n == 0) return;
    memcpy(out->ids + at, part->ids, n * sizeof *out->ids);
    memcpy(out->start + at, part->start, n * sizeof *out->start);
    memcpy(out->end + at, part->end, n * sizeof *out->end);
    memcpy(out->word + at, part->word, n * sizeof *out->word);
    memcpy(out->segment + at, part->segment, n);
    memcpy(out->sequence + at, part->sequence, n);
}

static berth_status join(struct berth_encoded *out, const struct block *blocks, size_t block_count) {
    size_t rows = 0, count = 0;
    for (size_t i = 0; i < block_count; i++) {
        if (blocks[i].status != BERTH_OK) BERTH_FAIL(blocks[i].status, "%s", blocks[i].error);
        rows += blocks[i].rows.rows;
        count += blocks[i].rows.count;
    }
    out->rows = out->count = 0;
    BERTH_TRY(make_room(out, rows, count));
    out->offset[0] = 0;
    for (size_t i = 0; i < block_count; i++)
        append(out, &blocks[i].rows);
    return BERTH_OK;
}

static berth_status check_options(const struct berth_encode_options *o, bool paired) {
    if (o->truncation == BERTH_TRUNCATE_NEVER) return BERTH_OK;
    int64_t special = o->no_special ? 0 : paired ? 3 : 2;
    if (o->max_length <= special)
        BERTH_FAIL(BERTH_E_USAGE, "max_length is %lld, expected more than the %lld special tokens of a row",
                   (long long)o->max_length, (long long)special);
    if (o->stride < 0 || (o->windows && o->stride >= o->max_length - special))
        BERTH_FAIL(BERTH_E_USAGE, "stride is %lld, expected 0 to %lld: less than the text tokens of a row",
                   (long long)o->stride, (long long)(o->max_length - special - 1));
    return BERTH_OK;
}

/* Blocks of about equal bytes. */
static size_t cut_blocks(struct block *blocks, size_t most, const struct berth_text_input *inputs,
                         size_t count) {
    size_t total = 0, seen = 0, used = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < count; i++) {
            size_t bytes = 16;
            for (size_t k = 0; k < inputs[i].first_count; k++)
                bytes += inputs[i].first[k].size;
            for (size_t k = 0; inputs[i].second != NULL && k < inputs[i].second_count; k++)
                bytes += inputs[i].second[k].size;
            if (pass == 0) {
                total += bytes;
                continue;
            }
            if (used == 0 || seen * most >= total * used) blocks[used++].first = i;
            blocks[used - 1].last = i + 1;
            seen += bytes;
        }
    }
    return used;
}

berth_status berth_tokenizer_encode_batch(const struct berth_tokenizer *t, struct berth_encoded *out,
                                          const struct berth_text_input *inputs, size_t count,
                                          const struct berth_encode_options *options) {
    berth_status status = BERTH_OK;
    struct block *blocks = NULL;
    int threads = options->threads > 0 ? options->threads : omp_get_max_threads();
    size_t most = threads == 1 ? 1 : (size_t)threads * 4, block_count = 0;
    bool paired = false;
    for (size_t i = 0; i < count; i++)
        paired |= inputs[i].second != NULL;
    if (count > INT32_MAX) BERTH_FAIL(BERTH_E_UNSUPPORTED, "%zu inputs at once, at most 2^31 can be", count);
    BERTH_TRY(check_options(options, paired));
    BERTH_TRY_OUT(berth_calloc(&blocks, most, sizeof *blocks));
    block_count = cut_blocks(blocks, most, inputs, count);
#pragma omp parallel num_threads(threads) if (block_count > 1)
    {
        struct worker w = {0};
#pragma omp for schedule(dynamic, 1)
        for (size_t i = 0; i < block_count; i++) {
            blocks[i].status = encode_block(t, &blocks[i], &w, inputs, options);
            if (blocks[i].status != BERTH_OK) snprintf(blocks[i].error, ERROR_SIZE, "%s", berth_error_text());
        }
        berth_encoding_deinit(&w.text);
        berth_encoding_deinit(&w.pair);
        free(w.text_windows.list);
        free(w.pair_windows.list);
    }
    BERTH_TRY_OUT(join(out, blocks, block_count));
out:
    for (size_t i = 0; i < block_count; i++)
        berth_encoded_deinit(&blocks[i].rows);
    free(blocks);
    return status;
}
