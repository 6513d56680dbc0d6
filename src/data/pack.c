/* pack.c: rows -> a packed HDF5 file.
 *
 *     tokens       i32 [tokens]      all rows back to back, special tokens included
 *     segments     u8  [tokens]
 *     offset       i64 [rows + 1]    first token of a row
 *     word_offset  i64 [rows + 1]    first word of a row; words are kept where a tagging task reads the source
 *     word_token   i32 [words]       index within the row of a word's first piece; -1: cut off or without
 * pieces labels/N     i32 [rows]        of the N-th label that tasks ask of the source; tagging: [words]; -1:
 * missing meta         JSON: counts, the names of the labels, and where all came from
 *
 * Labels are numbered within the file, in the order they appear; a task's own numbering is laid over them when
 * the file is opened, so packed files depend on no label map. The file's name holds its key: the digest of the
 * bytes of the source files, of the tokenizer, of the settings and of this layout's version. So a changed file
 * or setting is another pack, and a pack once made is never changed.
 */
#include "data/data_priv.h"

#include <stdlib.h>
#include <string.h>

struct label_column {
    struct berth_labels names;
    int32_t *values;
    size_t count, capacity;
};

struct builder {
    int32_t *tokens;
    size_t token_count, token_capacity;
    uint8_t *segments;
    size_t segment_capacity;
    int64_t *offset;
    size_t offset_capacity;
    int64_t *word_offset;
    size_t word_offset_capacity;
    int32_t *word_token;
    size_t word_count, word_capacity;
    struct label_column *labels; /* [label_count] */
    size_t label_count;
    size_t rows;
    int64_t rows_cut, words_cut;
    char *tag; /* one tag, ended by a zero byte */
    size_t tag_capacity;
};

static void builder_deinit(struct builder *b) {
    free(b->tokens);
    free(b->segments);
    free(b->offset);
    free(b->word_offset);
    free(b->word_token);
    for (size_t i = 0; i < b->label_count; i++) {
        berth_labels_deinit(&b->labels[i].names);
        free(b->labels[i].values);
    }
    free(b->labels);
    free(b->tag);
}

/* Settings as text, so that what goes into a key can be read (it is also in the file's meta). */
static berth_status settings_text(struct berth_str *s, const struct source_spec *spec,
                                  const struct berth_tokenizer *t, int64_t max_length) {
    char hex[33];
    berth_hash_hex(berth_tokenizer_digest(t), hex);
    berth_str_addf(s, "\"layout\":%d,\"tokenizer\":\"%s\",\"max_length\":%lld,", PACK_VERSION, hex,
                   (long long)max_length);
    spec_add_settings(s, spec);
    if (s->failed) BERTH_FAIL(BERTH_E_MEMORY, "out of memory");
    return BERTH_OK;
}

berth_status pack_key(char out[33], const struct source_spec *spec, const struct text_file *files,
                      size_t file_count, const struct berth_tokenizer *t, int64_t max_length) {
    berth_status status = BERTH_OK;
    struct berth_hasher *hasher = NULL;
    struct berth_str s;
    berth_str_init(&s);
    BERTH_TRY_OUT(settings_text(&s, spec, t, max_length));
    BERTH_TRY_OUT(berth_hasher_create(&hasher));
    berth_hasher_add(hasher, s.data, s.length);
    for (size_t i = 0; i < file_count; i++) {
        uint64_t size = files[i].map.size;
        berth_hasher_add(hasher, &size, sizeof size);
        berth_hasher_add(hasher, files[i].map.data, files[i].map.size);
    }
    berth_hash_hex(berth_hasher_end(hasher), out);
out:
    berth_str_deinit(&s);
    return status;
}

static berth_status add_label(struct builder *b, struct label_column *column, const char *name, size_t length) {
    int32_t value = BERTH_LABEL_MISSING;
    if (name) {
        BERTH_TRY(berth_grow(&b->tag, &b->tag_capacity, length + 1, 1));
        memcpy(b->tag, name, length);
        b->tag[length] = 0;
        BERTH_TRY(berth_labels_add(&column->names, b->tag, &value));
    }
    BERTH_TRY(berth_grow(&column->values, &column->capacity, column->count + 1, sizeof *column->values));
    column->values[column->count++] = value;
    return BERTH_OK;
}

static berth_status add_labels(struct builder *b, const struct source_spec *spec, const struct berth_row *row,
                               size_t words) {
    for (size_t i = 0; i < spec->label_count; i++) {
        struct label_column *column = &b->labels[i];
        const char *text = row->labels[i];
        if (spec->labels[i].kind == BERTH_TASK_CLASSIFICATION) {
            BERTH_TRY(add_label(b, column, text, text ? strlen(text) : 0));
            continue;
        }
        struct word_cursor w = {.text = text, .size = text ? strlen(text) : 0, .list = true};
        for (size_t k = 0; k < words; k++) {
            bool here = text && word_next(&w) && w.end > w.start;
            BERTH_TRY(add_label(b, column, here ? text + w.start : NULL, here ? w.end - w.start : 0));
        }
    }
    return BERTH_OK;
}

static berth_status add_row(struct builder *b, const struct source_spec *spec, const struct row_encoder *e,
                            const struct berth_row *row) {
    size_t end = b->token_count + e->length, word_end = b->word_count + e->word_count;
    BERTH_TRY(berth_grow(&b->tokens, &b->token_capacity, end, sizeof *b->tokens));
    BERTH_TRY(berth_grow(&b->segments, &b->segment_capacity, end, sizeof *b->segments));
    BERTH_TRY(berth_grow(&b->word_token, &b->word_capacity, word_end, sizeof *b->word_token));
    BERTH_TRY(berth_grow(&b->offset, &b->offset_capacity, b->rows + 2, sizeof *b->offset));
    BERTH_TRY(berth_grow(&b->word_offset, &b->word_offset_capacity, b->rows + 2, sizeof *b->word_offset));
    for (size_t i = 0; i < e->length; i++) {
        b->tokens[b->token_count + i] = e->tokens[i];
        b->segments[b->token_count + i] = (uint8_t)e->segments[i];
    }
    for (size_t i = 0; i < e->word_count; i++) {
        b->word_token[b->word_count + i] = e->words[i].token;
        b->words_cut += e->words[i].cut;
    }
    BERTH_TRY(add_labels(b, spec, row, e->word_count));
    b->offset[b->rows] = (int64_t)b->token_count;
    b->word_offset[b->rows] = (int64_t)b->word_count;
    b->token_count = end;
    b->word_count = word_end;
    b->rows++;
    b->offset[b->rows] = (int64_t)end;
    b->word_offset[b->rows] = (int64_t)word_end;
    b->rows_cut += e->cut;
    return BERTH_OK;
}

/* All rows of one path. */
static berth_status add_path(struct builder *b, const struct source_spec *spec, const struct text_file *files,
                             size_t file_count, struct row_encoder *e) {
    berth_status status = BERTH_OK;
    struct reader r;
    size_t before = b->rows;
    bool more = true;
    BERTH_TRY_OUT(reader_open(&r, spec, files, file_count));
    for (;;) {
        BERTH_TRY_OUT(reader_next(&r, &more));
        if (!more) break;
        enum row_words words = r.row.pre_split ? ROW_BY_LIST : spec->by_words ? ROW_BY_SPACE : ROW_WHOLE;
        BERTH_TRY_OUT(row_encode(e, r.row.text, r.row.text_pair, words));
        BERTH_TRY_OUT(add_row(b, spec, e, &r.row));
    }
    if (b->rows == before)
        BERTH_FAIL_OUT(BERTH_E_FORMAT, "%s:%lld: found the end of the file, expected at least one row",
                       files[0].path, (long long)r.lines[0].line + 1);
out:
    reader_close(&r);
    return status;
}

static berth_status write_meta(struct berth_h5_writer *w, const struct builder *b,
                               const struct source_spec *spec, enum berth_split split,
                               const struct text_file *files, size_t file_count,
                               const struct berth_tokenizer *t, int64_t max_length) {
    berth_status status = BERTH_OK;
    struct berth_str s;
    berth_str_init(&s);
    berth_str_add(&s, "{\"berth\":\"" BERTH_VERSION "\",\"source\":");
    berth_str_add_json(&s, spec->name);
    berth_str_addf(&s, ",\"split\":\"%s\",\"rows\":%zu,\"tokens\":%zu,\"words\":%zu,", berth_split_name(split),
                   b->rows, b->token_count, b->word_count);
    berth_str_addf(&s, "\"rows_cut\":%lld,\"words_cut\":%lld,", (long long)b->rows_cut,
                   (long long)b->words_cut);
    BERTH_TRY_OUT(settings_text(&s, spec, t, max_length));
    berth_str_add(&s, ",\"files\":[");
    for (size_t i = 0; i < file_count; i++) {
        berth_str_add(&s, i ? ",{\"path\":" : "{\"path\":");
        berth_str_add_json(&s, files[i].path);
        berth_str_addf(&s, ",\"bytes\":%zu}", files[i].map.size);
    }
    berth_str_add(&s, "],\"labels\":[");
    for (size_t i = 0; i < b->label_count; i++) {
        berth_str_add(&s, i ? ",{\"column\":" : "{\"column\":");
        berth_str_add_json(&s, spec->labels[i].column.name);
        berth_str_addf(&s, ",\"kind\":\"%s\",\"names\":[", berth_task_kind_name(spec->labels[i].kind));
        for (size_t k = 0; k < b->labels[i].names.count; k++) {
            if (k) berth_str_add(&s, ",");
            berth_str_add_json(&s, b->labels[i].names.names[k]);
        }
        berth_str_add(&s, "]}");
    }
    berth_str_add(&s, "]}");
    if (s.failed) BERTH_FAIL_OUT(BERTH_E_MEMORY, "out of memory");
    BERTH_TRY_OUT(berth_h5_put_text(w, "meta", s.data));
out:
    berth_str_deinit(&s);
    return status;
}

/* Datasets without elements are left out: the reader takes a missing one for empty. */
static berth_status put_vector(struct berth_h5_writer *w, const char *name, enum berth_h5_type type,
                               size_t count, const void *data) {
    if (count == 0) return BERTH_OK;
    int64_t dims[1] = {(int64_t)count};
    return berth_h5_put(w, name, type, 1, dims, data);
}

static berth_status write_vectors(struct berth_h5_writer *w, const struct builder *b) {
    BERTH_TRY(put_vector(w, "tokens", BERTH_H5_I32, b->token_count, b->tokens));
    BERTH_TRY(put_vector(w, "segments", BERTH_H5_U8, b->token_count, b->segments));
    BERTH_TRY(put_vector(w, "offset", BERTH_H5_I64, b->rows + 1, b->offset));
    BERTH_TRY(put_vector(w, "word_offset", BERTH_H5_I64, b->rows + 1, b->word_offset));
    BERTH_TRY(put_vector(w, "word_token", BERTH_H5_I32, b->word_count, b->word_token));
    for (size_t i = 0; i < b->label_count; i++) {
        char name[40];
        snprintf(name, sizeof name, "labels/%zu", i);
        BERTH_TRY(put_vector(w, name, BERTH_H5_I32, b->labels[i].count, b->labels[i].values));
    }
    return BERTH_OK;
}

berth_status pack_write(const char *out_path, const struct source_spec *spec, enum berth_split split,
                        const struct text_file *files, size_t per_path, const struct berth_tokenizer *t,
                        int64_t max_length) {
    berth_status status = BERTH_OK;
    struct berth_h5_writer *w = NULL;
    struct builder b;
    struct row_encoder e;
    memset(&b, 0, sizeof b);
    row_encoder_init(&e, t, max_length);
    BERTH_TRY_OUT(berth_calloc(&b.labels, spec->label_count, sizeof *b.labels));
    b.label_count = spec->label_count;
    for (size_t i = 0; i < spec->path_count[split]; i++)
        BERTH_TRY_OUT(add_path(&b, spec, files + i * per_path, per_path, &e));
    BERTH_TRY_OUT(berth_h5_create(&w, out_path, "pack", PACK_VERSION));
    BERTH_TRY_OUT(write_vectors(w, &b));
    BERTH_TRY_OUT(write_meta(w, &b, spec, split, files, spec->path_count[split] * per_path, t, max_length));
    BERTH_TRY_OUT(berth_h5_commit(&w));
out:
    berth_h5_abort(&w);
    row_encoder_deinit(&e);
    builder_deinit(&b);
    return status;
}
