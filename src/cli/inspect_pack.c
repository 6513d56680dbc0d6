/* inspect_pack.c: a packed data set: where it came from, what it holds, and one row of it.
 *
 * The file's digest was right when it was opened; what its numbers mean is checked where they are used. */
#include <string.h>

#include "berth/data.h"
#include "berth/file.h"
#include "berth/h5.h"
#include "berth/json.h"
#include "cli/cli_priv.h"

struct pack_view {
    const struct berth_h5 *file;
    struct berth_json *meta;
    const struct berth_tokenizer *tokenizer; /* NULL: pieces are not shown */
    struct berth_str *s;
};

/* ---- where it came from */

static berth_status add_texts(struct pack_view *v) {
    static const char *const keys[] = {"berth", "source", "split", "format", "overflow", "tokenizer"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const char *text = NULL;
        BERTH_TRY(berth_json_string_or(&text, v->meta, keys[i], ""));
        if (text[0] == '\0') continue;
        berth_str_addf(v->s, "%s\t", keys[i]);
        cli_add_json_text(v->s, text, strlen(text));
        berth_str_add(v->s, "\n");
    }
    return BERTH_OK;
}

static berth_status add_numbers(struct pack_view *v) {
    static const char *const keys[] = {"max_length", "stride", "limit",    "seed",  "source_rows",
                                       "rows",       "tokens", "rows_cut", "words", "words_cut"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        int64_t value = 0;
        BERTH_TRY(berth_json_int_or(&value, v->meta, keys[i], -1, -1, INT64_MAX / 2));
        if (value >= 0) berth_str_addf(v->s, "%s\t%lld\n", keys[i], (long long)value);
    }
    return BERTH_OK;
}

static berth_status add_files(struct pack_view *v) {
    for (size_t i = 0; i < berth_json_count(v->meta, "files"); i++) {
        char key[64];
        const char *path = NULL, *digest = NULL;
        int64_t bytes = 0;
        snprintf(key, sizeof key, "files[%zu].path", i);
        BERTH_TRY(berth_json_string(&path, v->meta, key));
        snprintf(key, sizeof key, "files[%zu].digest", i);
        BERTH_TRY(berth_json_string(&digest, v->meta, key));
        snprintf(key, sizeof key, "files[%zu].bytes", i);
        BERTH_TRY(berth_json_int(&bytes, v->meta, key, 0, INT64_MAX / 2));
        berth_str_add(v->s, "file\t");
        cli_add_json_text(v->s, path, strlen(path));
        berth_str_addf(v->s, "\t%lld bytes\t%s\n", (long long)bytes, digest);
    }
    return BERTH_OK;
}

static berth_status label_text(const char **out, const struct pack_view *v, size_t label, const char *what) {
    char key[96];
    snprintf(key, sizeof key, "labels[%zu].%s", label, what);
    return berth_json_string(out, v->meta, key);
}

static size_t name_count(const struct pack_view *v, size_t label) {
    char key[64];
    snprintf(key, sizeof key, "labels[%zu].names", label);
    return berth_json_count(v->meta, key);
}

/* A label map: number, column, kind, how many names, the names. */
static berth_status add_labels(struct pack_view *v) {
    for (size_t i = 0; i < berth_json_count(v->meta, "labels"); i++) {
        const char *column = NULL, *kind = NULL;
        BERTH_TRY(label_text(&column, v, i, "column"));
        BERTH_TRY(label_text(&kind, v, i, "kind"));
        berth_str_addf(v->s, "label\t%zu\t", i);
        cli_add_json_text(v->s, column, strlen(column));
        berth_str_addf(v->s, "\t%s\t%zu names\t[", kind, name_count(v, i));
        for (size_t k = 0; k < name_count(v, i); k++) {
            char what[48];
            const char *name = NULL;
            snprintf(what, sizeof what, "names[%zu]", k);
            BERTH_TRY(label_text(&name, v, i, what));
            berth_str_add(v->s, k ? ", " : "");
            berth_str_add_json(v->s, name);
        }
        berth_str_add(v->s, "]\n");
    }
    return BERTH_OK;
}

static berth_status add_provenance(struct pack_view *v) {
    char hex[33];
    int64_t replaced = 0;
    berth_hash_hex(berth_h5_digest(v->file), hex);
    berth_str_addf(v->s, "digest\t%s\n", hex);
    BERTH_TRY(add_texts(v));
    BERTH_TRY(add_numbers(v));
    BERTH_TRY(berth_json_int_or(&replaced, v->meta, "report.replaced.count", 0, 0, INT64_MAX / 2));
    berth_str_addf(v->s, "replaced\t%lld\n", (long long)replaced);
    BERTH_TRY(add_files(v));
    return add_labels(v);
}

/* ---- one row */

static berth_status view(const struct pack_view *v, const char *name, enum berth_h5_type type, int64_t needed,
                         const void *out_pointer) {
    int64_t count = 0;
    BERTH_TRY(berth_h5_view(v->file, name, type, out_pointer, &count));
    if (count < needed)
        BERTH_FAIL(BERTH_E_FORMAT, "dataset '%s': found %lld elements, expected at least %lld", name,
                   (long long)count, (long long)needed);
    return BERTH_OK;
}

/* [*first, *end) of a row by a dataset of offsets. */
static berth_status range_of(const struct pack_view *v, const char *name, int64_t row, int64_t *first,
                             int64_t *end) {
    const int64_t *offset = NULL;
    BERTH_TRY(view(v, name, BERTH_H5_I64, row + 2, &offset));
    *first = offset[row];
    *end = offset[row + 1];
    if (*first < 0 || *end < *first)
        BERTH_FAIL(BERTH_E_FORMAT, "dataset '%s': found %lld..%lld for row %lld", name, (long long)*first,
                   (long long)*end, (long long)row);
    return BERTH_OK;
}

/* The name behind a number of a label map; "-": not labelled. */
static berth_status add_name(const struct pack_view *v, size_t label, int32_t value) {
    char what[48];
    const char *name = NULL;
    if (value < 0) {
        berth_str_add(v->s, "-");
        return BERTH_OK;
    }
    snprintf(what, sizeof what, "names[%d]", value);
    BERTH_TRY(label_text(&name, v, label, what));
    cli_add_json_text(v->s, name, strlen(name));
    return BERTH_OK;
}

static berth_status add_set(const struct pack_view *v, size_t label, int64_t row) {
    char name[48];
    int64_t first = 0, end = 0;
    const int32_t *values = NULL;
    snprintf(name, sizeof name, "set_offset/%zu", label);
    BERTH_TRY(range_of(v, name, row, &first, &end));
    snprintf(name, sizeof name, "set_values/%zu", label);
    if (end > first) BERTH_TRY(view(v, name, BERTH_H5_I32, end, &values));
    for (int64_t k = first; k < end; k++) {
        berth_str_add(v->s, k > first ? "\t" : "");
        BERTH_TRY(add_name(v, label, values[k]));
    }
    return BERTH_OK;
}

/* What the row is labelled with, but for tags. */
static berth_status add_row_labels(const struct pack_view *v, int64_t row) {
    for (size_t i = 0; i < berth_json_count(v->meta, "labels"); i++) {
        const char *column = NULL, *kind = NULL;
        char name[48];
        const int32_t *values = NULL;
        BERTH_TRY(label_text(&column, v, i, "column"));
        BERTH_TRY(label_text(&kind, v, i, "kind"));
        if (strcmp(kind, "tagging") == 0) continue;
        berth_str_addf(v->s, "label\t%zu\t", i);
        cli_add_json_text(v->s, column, strlen(column));
        berth_str_addf(v->s, "\t%s\t", kind);
        snprintf(name, sizeof name, "labels/%zu", i);
        BERTH_TRY(view(v, name, BERTH_H5_I32, row + 1, &values));
        bool number = strcmp(kind, "regression") == 0 || strcmp(kind, "similarity") == 0;
        if (values[row] < 0) {
            berth_str_add(v->s, "-");
        } else if (number) {
            const float *numbers = NULL;
            snprintf(name, sizeof name, "numbers/%zu", i);
            BERTH_TRY(view(v, name, BERTH_H5_F32, row + 1, &numbers));
            berth_str_addf(v->s, "%.9g", (double)numbers[row]);
        } else if (strcmp(kind, "multilabel") == 0) {
            BERTH_TRY(add_set(v, i, row));
        } else if (strcmp(kind, "classification") == 0) {
            BERTH_TRY(add_name(v, i, values[row]));
        } else {
            berth_str_add(v->s, "labelled");
        }
        berth_str_add(v->s, "\n");
    }
    return BERTH_OK;
}

/* A word's tags, one a tagging label. */
static berth_status add_tags(const struct pack_view *v, int64_t word) {
    for (size_t i = 0; i < berth_json_count(v->meta, "labels"); i++) {
        const char *kind = NULL;
        char name[48];
        const int32_t *values = NULL;
        BERTH_TRY(label_text(&kind, v, i, "kind"));
        if (strcmp(kind, "tagging") != 0) continue;
        snprintf(name, sizeof name, "labels/%zu", i);
        BERTH_TRY(view(v, name, BERTH_H5_I32, word + 1, &values));
        berth_str_add(v->s, "\t");
        BERTH_TRY(add_name(v, i, values[word]));
    }
    return BERTH_OK;
}

static void add_piece(const struct pack_view *v, int32_t id) {
    const char *piece = v->tokenizer ? berth_tokenizer_token(v->tokenizer, id) : NULL;
    if (piece)
        cli_add_json_text(v->s, piece, strlen(piece));
    else
        berth_str_add(v->s, "-");
}

/* A line a token: place, id, piece, segment, and where a word begins its number and tags. Words without a token
 * follow. */
static berth_status add_tokens(const struct pack_view *v, int64_t row) {
    int64_t first = 0, end = 0, word = 0, word_end = 0;
    const int32_t *tokens = NULL, *word_token = NULL;
    const uint8_t *segments = NULL;
    BERTH_TRY(range_of(v, "offset", row, &first, &end));
    BERTH_TRY(range_of(v, "word_offset", row, &word, &word_end));
    BERTH_TRY(view(v, "tokens", BERTH_H5_I32, end, &tokens));
    BERTH_TRY(view(v, "segments", BERTH_H5_U8, end, &segments));
    if (word_end > word) BERTH_TRY(view(v, "word_token", BERTH_H5_I32, word_end, &word_token));
    for (int64_t i = first; i < end; i++) {
        berth_str_addf(v->s, "token\t%lld\t%d\t", (long long)(i - first), tokens[i]);
        add_piece(v, tokens[i]);
        berth_str_addf(v->s, "\t%d", segments[i]);
        for (int64_t w = word; w < word_end; w++) {
            if (word_token[w] != i - first) continue;
            berth_str_addf(v->s, "\t%lld", (long long)(w - word));
            BERTH_TRY(add_tags(v, w));
        }
        berth_str_add(v->s, "\n");
    }
    for (int64_t w = word; w < word_end; w++) {
        if (word_token[w] >= 0) continue;
        berth_str_addf(v->s, "word\t%lld\tno token", (long long)(w - word));
        BERTH_TRY(add_tags(v, w));
        berth_str_add(v->s, "\n");
    }
    return BERTH_OK;
}

static berth_status add_row(const struct pack_view *v, int64_t row) {
    int64_t rows = 0, text_row = row;
    BERTH_TRY(berth_json_int(&rows, v->meta, "rows", 0, INT64_MAX / 2));
    if (row >= rows)
        BERTH_FAIL(BERTH_E_USAGE, "--row: found %lld, expected a row from 0 to %lld", (long long)row,
                   (long long)rows - 1);
    if (berth_h5_find(v->file, "origin")) {
        const int64_t *origin = NULL;
        BERTH_TRY(view(v, "origin", BERTH_H5_I64, row + 1, &origin));
        text_row = origin[row];
    }
    berth_str_addf(v->s, "row\t%lld\tof %lld\ttext row %lld\n", (long long)row, (long long)rows,
                   (long long)text_row);
    BERTH_TRY(add_row_labels(v, row));
    return add_tokens(v, row);
}

/* ---- the tokenizer */

static berth_status open_tokenizer(struct berth_tokenizer **out, const struct pack_view *v, const char *path) {
    const char *wanted = NULL;
    char hex[33];
    if (berth_is_folder(path))
        BERTH_TRY(berth_tokenizer_load(out, path));
    else
        BERTH_TRY(berth_tokenizer_load_vocab(out, path, NULL));
    berth_hash_hex(berth_tokenizer_digest(*out), hex);
    BERTH_TRY(berth_json_string(&wanted, v->meta, "tokenizer"));
    if (strcmp(hex, wanted) != 0)
        BERTH_FAIL(BERTH_E_USAGE,
                   "%s: another tokenizer than the pack was made with: its digest is %s, expected %s", path,
                   hex, wanted);
    return BERTH_OK;
}

berth_status cli_inspect_pack(struct berth_str *s, const struct berth_h5 *file, int64_t row,
                              const char *vocabulary) {
    berth_status status = BERTH_OK;
    struct berth_tokenizer *tokenizer = NULL;
    struct pack_view v = {.file = file, .s = s};
    const char *meta = NULL;
    BERTH_TRY_OUT(berth_h5_text(file, "meta", &meta));
    BERTH_TRY_OUT(berth_json_parse(&v.meta, "meta", meta, strlen(meta)));
    if (vocabulary) BERTH_TRY_OUT(open_tokenizer(&tokenizer, &v, vocabulary));
    v.tokenizer = tokenizer;
    BERTH_TRY_OUT(row >= 0 ? add_row(&v, row) : add_provenance(&v));
out:
    berth_tokenizer_free(tokenizer);
    berth_json_free(v.meta);
    return status;
}
