/* pack_rows.c: rows -> the vectors of a pack.
 *
 *     row_walk ─▶ chunk of texts ─▶ encoded in parallel, a row an encoder ─▶ added in order ─▶ spools
 *
 * A chunk holds at most CHUNK_ROWS rows or CHUNK_BYTES of text, so memory does not grow with the source, and
 * the order of rows does not depend on the number of threads. */
#include "data/data_priv.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK_ROWS = 256, CHUNK_BYTES = 4 << 20 };

berth_status pack_builder_init(struct pack_builder *b, const struct source_spec *spec, const char *path,
                               const struct berth_tokenizer *t, int64_t max_length) {
    memset(b, 0, sizeof *b);
    b->spec = spec;
    spool_init(&b->tokens, BERTH_H5_I32, path);
    spool_init(&b->segments, BERTH_H5_U8, path);
    spool_init(&b->offset, BERTH_H5_I64, path);
    spool_init(&b->word_offset, BERTH_H5_I64, path);
    spool_init(&b->word_token, BERTH_H5_I32, path);
    spool_init(&b->origin, BERTH_H5_I64, path);
    spool_init(&b->pair_at, BERTH_H5_I32, path);
    spool_init(&b->negative_at, BERTH_H5_I32, path);
    berth_arena_init(&b->chunk.arena);
    BERTH_TRY(berth_calloc(&b->labels, spec->label_count, sizeof *b->labels));
    for (size_t i = 0; i < spec->label_count; i++) {
        spool_init(&b->labels[i].values, BERTH_H5_I32, path);
        spool_init(&b->labels[i].numbers, BERTH_H5_F32, path);
        spool_init(&b->labels[i].set_offset, BERTH_H5_I64, path);
        spool_init(&b->labels[i].set_values, BERTH_H5_I32, path);
    }
    BERTH_TRY(berth_calloc(&b->encoders, CHUNK_ROWS, sizeof *b->encoders));
    for (size_t i = 0; i < CHUNK_ROWS; i++)
        row_encoder_init(&b->encoders[i], t, max_length);
    BERTH_TRY(berth_calloc(&b->chunk.rows, CHUNK_ROWS, sizeof *b->chunk.rows));
    const int64_t zero = 0;
    BERTH_TRY(spool_add(&b->offset, &zero, 1));
    return spool_add(&b->word_offset, &zero, 1);
}

void pack_builder_deinit(struct pack_builder *b) {
    struct spool *spools[] = {&b->tokens,     &b->segments, &b->offset,  &b->word_offset,
                              &b->word_token, &b->origin,   &b->pair_at, &b->negative_at};
    for (size_t i = 0; i < sizeof spools / sizeof spools[0]; i++)
        spool_deinit(spools[i]);
    for (size_t i = 0; b->labels && i < b->spec->label_count; i++) {
        berth_labels_deinit(&b->labels[i].names);
        spool_deinit(&b->labels[i].values);
        spool_deinit(&b->labels[i].numbers);
        spool_deinit(&b->labels[i].set_offset);
        spool_deinit(&b->labels[i].set_values);
        free(b->labels[i].set);
    }
    for (size_t i = 0; b->encoders && i < CHUNK_ROWS; i++)
        row_encoder_deinit(&b->encoders[i]);
    free(b->encoders);
    free(b->labels);
    free(b->chunk.rows);
    berth_arena_deinit(&b->chunk.arena);
    free(b->name);
    free(b->narrow);
}

/* ---- a chunk */

static berth_status hold_text(struct row_chunk *c, const char **out, const char *text) {
    char *copy = NULL;
    *out = NULL;
    if (!text) return BERTH_OK;
    size_t size = strlen(text);
    BERTH_TRY(berth_arena_strndup(&c->arena, &copy, text, size));
    c->bytes += size;
    *out = copy;
    return BERTH_OK;
}

static berth_status hold_row(struct pack_builder *b, const struct reader *r) {
    struct row_chunk *c = &b->chunk;
    struct held_row *held = &c->rows[c->count];
    const struct berth_row *row = &r->row;
    BERTH_TRY(hold_text(c, &held->text, row->text));
    BERTH_TRY(hold_text(c, &held->pair, row->text_pair));
    BERTH_TRY(hold_text(c, &held->negative, row->text_negative));
    BERTH_TRY(berth_arena_alloc(&c->arena, &held->labels, b->spec->label_count, sizeof *held->labels));
    for (size_t i = 0; i < b->spec->label_count; i++)
        BERTH_TRY(hold_text(c, &held->labels[i], row->labels[i]));
    held->words = row->pre_split ? ROW_BY_LIST : b->spec->by_words ? ROW_BY_SPACE : ROW_WHOLE;
    held->file = r->files[0].path;
    held->line = row->line;
    c->count++;
    return BERTH_OK;
}

static berth_status encode_row(struct row_encoder *e, const struct source_spec *spec,
                               const struct held_row *row) {
    if (spec->separate) return row_encode_separate(e, row->text, row->pair, row->negative, row->words);
    if (spec->overflow == OVERFLOW_WINDOWS)
        return row_encode_windows(e, row->text, row->pair, row->words, spec->stride);
    return row_encode(e, row->text, row->pair, row->words);
}

/* Errors are a thread's own; the first row's is carried over to the caller. */
static berth_status encode_chunk(struct pack_builder *b) {
    int64_t failed = INT64_MAX, count = (int64_t)b->chunk.count;
    berth_status first = BERTH_OK;
    char text[1024] = "";
#pragma omp parallel for schedule(dynamic, 8) if (count >= 32)
    for (int64_t i = 0; i < count; i++) {
        berth_status status = encode_row(&b->encoders[i], b->spec, &b->chunk.rows[i]);
        if (status == BERTH_OK) continue;
#pragma omp critical(berth_pack_error)
        if (i < failed) {
            failed = i;
            first = status;
            snprintf(text, sizeof text, "%s", berth_error_text());
        }
    }
    if (first == BERTH_OK) return BERTH_OK;
    const struct held_row *row = &b->chunk.rows[failed];
    return berth_error_set(first, __FILE__, __LINE__, "%s:%lld: %s", row->file, (long long)row->line, text);
}

/* ---- labels */

static berth_status name_of(struct pack_builder *b, struct label_column *column, const char *text,
                            size_t length, int32_t *out) {
    BERTH_TRY(berth_grow(&b->name, &b->name_capacity, length + 1, 1));
    memcpy(b->name, text, length);
    b->name[length] = 0;
    return berth_labels_add(&column->names, b->name, out);
}

static berth_status add_tags(struct pack_builder *b, struct label_column *column, const char *text,
                             const struct row_encoder *e) {
    struct word_cursor w = {.text = text, .size = text ? strlen(text) : 0, .list = true};
    for (size_t k = 0; k < e->word_count; k++) {
        int32_t value = BERTH_LABEL_MISSING;
        if (text && word_next(&w) && w.end > w.start)
            BERTH_TRY(name_of(b, column, text + w.start, w.end - w.start, &value));
        BERTH_TRY(spool_add(&column->values, &value, 1));
    }
    return BERTH_OK;
}

/* A label that a row names twice counts once. */
static berth_status read_set(struct pack_builder *b, struct label_column *column, const char *text) {
    struct word_cursor w = {.text = text, .size = text ? strlen(text) : 0, .list = true};
    column->set_count = 0;
    while (text && word_next(&w)) {
        int32_t value = 0;
        size_t k = 0;
        BERTH_TRY(name_of(b, column, text + w.start, w.end - w.start, &value));
        while (k < column->set_count && column->set[k] != value)
            k++;
        if (k < column->set_count) continue;
        BERTH_TRY(berth_grow(&column->set, &column->set_capacity, column->set_count + 1, sizeof *column->set));
        column->set[column->set_count++] = value;
    }
    return BERTH_OK;
}

/* A row's label stands at each of its parts. */
static berth_status add_label(struct pack_builder *b, size_t index, const struct held_row *row,
                              const struct row_encoder *e) {
    struct label_column *column = &b->labels[index];
    enum berth_task_kind kind = b->spec->labels[index].kind;
    const char *text = row->labels[index];
    int32_t value = text ? 0 : BERTH_LABEL_MISSING;
    double number = 0;
    if (kind == BERTH_TASK_TAGGING) return add_tags(b, column, text, e);
    if (kind == BERTH_TASK_CLASSIFICATION && text) BERTH_TRY(name_of(b, column, text, strlen(text), &value));
    if (kind == BERTH_TASK_MULTILABEL) BERTH_TRY(read_set(b, column, text));
    bool has_number = kind == BERTH_TASK_REGRESSION || kind == BERTH_TASK_SIMILARITY;
    if (has_number && text && !berth_parse_double(text, &number))
        BERTH_FAIL(BERTH_E_FORMAT, "%s:%lld: found '%s', expected a number", row->file, (long long)row->line,
                   text);
    float rounded = (float)number;
    for (size_t p = 0; p < e->part_count; p++) {
        BERTH_TRY(spool_add(&column->values, &value, 1));
        if (has_number) BERTH_TRY(spool_add(&column->numbers, &rounded, 1));
        if (kind != BERTH_TASK_MULTILABEL) continue;
        if (column->set_offset.count == 0) {
            const int64_t zero = 0;
            BERTH_TRY(spool_add(&column->set_offset, &zero, 1));
        }
        BERTH_TRY(spool_add(&column->set_values, column->set, column->set_count));
        BERTH_TRY(spool_add(&column->set_offset, &column->set_values.count, 1));
    }
    return BERTH_OK;
}

/* ---- rows */

static berth_status add_part(struct pack_builder *b, const struct row_encoder *e, const struct row_part *part) {
    BERTH_TRY(spool_add(&b->tokens, e->tokens + part->token_first, part->token_count));
    BERTH_TRY(berth_grow(&b->narrow, &b->narrow_capacity, part->token_count, 1));
    for (size_t i = 0; i < part->token_count; i++)
        b->narrow[i] = (uint8_t)e->segments[part->token_first + i];
    BERTH_TRY(spool_add(&b->segments, b->narrow, part->token_count));
    for (size_t i = 0; i < part->word_count; i++)
        BERTH_TRY(spool_add(&b->word_token, &e->words[part->word_first + i].token, 1));
    BERTH_TRY(spool_add(&b->offset, &b->tokens.count, 1));
    BERTH_TRY(spool_add(&b->word_offset, &b->word_token.count, 1));
    if (b->spec->overflow == OVERFLOW_WINDOWS) BERTH_TRY(spool_add(&b->origin, &b->source_rows, 1));
    if (!b->spec->separate) return BERTH_OK;
    const int32_t at[] = {(int32_t)e->pair_at, (int32_t)e->negative_at};
    BERTH_TRY(spool_add(&b->pair_at, &at[0], 1));
    return spool_add(&b->negative_at, &at[1], 1);
}

static berth_status add_row(struct pack_builder *b, const struct held_row *row, const struct row_encoder *e) {
    if (b->spec->overflow == OVERFLOW_ERROR && e->cut)
        BERTH_FAIL(
            BERTH_E_FORMAT,
            "%s:%lld: found a row of %zu tokens, expected at most %lld (model.max_length; data.%s.overflow is "
            "error)",
            row->file, (long long)row->line, e->whole, (long long)e->max_length, b->spec->name);
    for (size_t i = 0; i < e->part_count; i++)
        BERTH_TRY(add_part(b, e, &e->parts[i]));
    for (size_t i = 0; i < b->spec->label_count; i++)
        BERTH_TRY(add_label(b, i, row, e));
    for (size_t i = 0; i < e->word_count; i++)
        b->words_cut += e->words[i].cut;
    b->rows += (int64_t)e->part_count;
    b->rows_cut += e->cut;
    b->source_rows++;
    return BERTH_OK;
}

berth_status pack_builder_add(struct pack_builder *b, struct row_walk *walk) {
    bool more = true;
    while (more) {
        struct row_chunk *c = &b->chunk;
        berth_arena_deinit(&c->arena);
        berth_arena_init(&c->arena);
        c->count = c->bytes = 0;
        while (c->count < CHUNK_ROWS && c->bytes < CHUNK_BYTES) {
            BERTH_TRY(row_walk_next(walk, &more));
            if (!more) break;
            BERTH_TRY(hold_row(b, &walk->reader));
        }
        BERTH_TRY(encode_chunk(b));
        for (size_t i = 0; i < c->count; i++)
            BERTH_TRY(add_row(b, &c->rows[i], &b->encoders[i]));
    }
    return BERTH_OK;
}
