/* pack_read.c: opening a packed file, and the cache folder.
 *
 * The digest of the file tells damage; what the numbers mean is checked as well before anything is indexed by
 * them. A damaged file of the cache is not fatal: it is named in the log and made again.
 */
#include "data/data_priv.h"

#include <stdlib.h>
#include <string.h>

#include "berth/json.h"

static berth_status read_names(struct berth_labels *out, const struct berth_json *meta, size_t label) {
    char path[64];
    snprintf(path, sizeof path, "labels[%zu].names", label);
    size_t count = berth_json_count(meta, path);
    for (size_t i = 0; i < count; i++) {
        const char *name = NULL;
        snprintf(path, sizeof path, "labels[%zu].names[%zu]", label, i);
        BERTH_TRY(berth_json_string(&name, meta, path));
        BERTH_TRY(berth_labels_add(out, name, NULL));
    }
    if (out->count != count)
        BERTH_FAIL(BERTH_E_FORMAT, "found %zu different names of label %zu, expected %zu", out->count, label,
                   count);
    return BERTH_OK;
}

/* A vector of a known length; missing where it is 0. */
static berth_status view(const struct berth_h5 *file, const char *name, enum berth_h5_type type,
                         int64_t expected, const void *out_pointer) {
    int64_t count = 0;
    if (expected == 0 && !berth_h5_find(file, name)) return BERTH_OK;
    BERTH_TRY(berth_h5_view(file, name, type, out_pointer, &count));
    if (count != expected)
        BERTH_FAIL(BERTH_E_FORMAT, "dataset '%s': found %lld elements, expected %lld", name, (long long)count,
                   (long long)expected);
    return BERTH_OK;
}

static berth_status check_offsets(const int64_t *offset, int64_t rows, int64_t total, int64_t least,
                                  int64_t most, const char *name) {
    bool good = offset[0] == 0 && offset[rows] == total;
    for (int64_t r = 0; good && r < rows; r++) {
        good = offset[r + 1] >= offset[r] && offset[r + 1] <= total;
        int64_t length = good ? offset[r + 1] - offset[r] : 0;
        good = good && length >= least && length <= most;
    }
    if (!good) BERTH_FAIL(BERTH_E_FORMAT, "dataset '%s': not the starts of %lld rows", name, (long long)rows);
    return BERTH_OK;
}

static berth_status check_values(const struct pack *p, size_t vocabulary) {
    const struct berth_dataset *d = &p->view;
    for (int64_t i = 0; i < d->token_count; i++)
        if (d->tokens[i] < 0 || (size_t)d->tokens[i] >= vocabulary || d->segments[i] > 1)
            BERTH_FAIL(BERTH_E_FORMAT, "token %lld: found %d (segment %d), expected one of %zu tokens",
                       (long long)i, d->tokens[i], d->segments[i], vocabulary);
    for (int64_t r = 0; r < d->rows; r++) {
        int64_t length = d->offset[r + 1] - d->offset[r], last = 0;
        for (int64_t w = d->word_offset[r]; w < d->word_offset[r + 1]; w++) {
            int32_t token = d->word_token[w];
            if (token == -1) continue;
            if (token <= last || token >= length)
                BERTH_FAIL(BERTH_E_FORMAT, "word %lld of row %lld: found token %d, expected one in %lld..%lld",
                           (long long)(w - d->word_offset[r]), (long long)r, token, (long long)last + 1,
                           (long long)length - 1);
            last = token;
        }
    }
    return BERTH_OK;
}

static berth_status read_labels(struct pack *p, const struct source_spec *spec, const struct berth_json *meta) {
    BERTH_TRY(berth_calloc(&p->names, spec->label_count, sizeof *p->names));
    BERTH_TRY(berth_calloc(&p->labels, spec->label_count, sizeof *p->labels));
    p->label_count = spec->label_count;
    for (size_t i = 0; i < spec->label_count; i++) {
        char name[40];
        bool tagging = spec->labels[i].kind == BERTH_TASK_TAGGING;
        int64_t count = tagging ? p->view.word_count : p->view.rows;
        snprintf(name, sizeof name, "labels/%zu", i);
        BERTH_TRY(view(p->file, name, BERTH_H5_I32, count, &p->labels[i]));
        BERTH_TRY(read_names(&p->names[i], meta, i));
        for (int64_t k = 0; k < count; k++)
            if (p->labels[i][k] < -1 || p->labels[i][k] >= (int64_t)p->names[i].count)
                BERTH_FAIL(BERTH_E_FORMAT, "dataset '%s': found label %d, expected less than %zu", name,
                           p->labels[i][k], p->names[i].count);
    }
    return BERTH_OK;
}

static berth_status read_pack(struct pack *p, const char *path, const struct source_spec *spec,
                              int64_t max_length, size_t vocabulary) {
    berth_status status = BERTH_OK;
    struct berth_json *meta = NULL;
    const char *text = NULL;
    struct berth_dataset *d = &p->view;
    BERTH_TRY_OUT(berth_h5_text(p->file, "meta", &text));
    BERTH_TRY_OUT(berth_json_parse(&meta, "meta", text, strlen(text)));
    const int64_t most = INT64_MAX / 16;
    BERTH_TRY_OUT(berth_json_int(&d->rows, meta, "rows", 1, most));
    BERTH_TRY_OUT(berth_json_int(&d->token_count, meta, "tokens", 1, most));
    BERTH_TRY_OUT(berth_json_int(&d->word_count, meta, "words", 0, most));
    BERTH_TRY_OUT(berth_json_int(&d->rows_cut, meta, "rows_cut", 0, most));
    BERTH_TRY_OUT(berth_json_int(&d->words_cut, meta, "words_cut", 0, most));
    BERTH_TRY_OUT(view(p->file, "tokens", BERTH_H5_I32, d->token_count, &d->tokens));
    BERTH_TRY_OUT(view(p->file, "segments", BERTH_H5_U8, d->token_count, &d->segments));
    BERTH_TRY_OUT(view(p->file, "offset", BERTH_H5_I64, d->rows + 1, &d->offset));
    BERTH_TRY_OUT(view(p->file, "word_offset", BERTH_H5_I64, d->rows + 1, &d->word_offset));
    BERTH_TRY_OUT(view(p->file, "word_token", BERTH_H5_I32, d->word_count, &d->word_token));
    BERTH_TRY_OUT(check_offsets(d->offset, d->rows, d->token_count, 2, max_length, "offset"));
    BERTH_TRY_OUT(check_offsets(d->word_offset, d->rows, d->word_count, 0, d->word_count, "word_offset"));
    BERTH_TRY_OUT(check_values(p, vocabulary));
    BERTH_TRY_OUT(read_labels(p, spec, meta));
out:
    berth_json_free(meta);
    if (status != BERTH_OK) return berth_error_context(status, "%s", path);
    return status;
}

berth_status pack_open(struct pack *out, const char *path, const struct source_spec *spec, int64_t max_length,
                       size_t vocabulary) {
    memset(out, 0, sizeof *out);
    BERTH_TRY(berth_h5_open(&out->file, path, "pack", PACK_VERSION));
    berth_status status = read_pack(out, path, spec, max_length, vocabulary);
    if (status != BERTH_OK) pack_close(out);
    return status;
}

void pack_close(struct pack *p) {
    for (size_t i = 0; p->names && i < p->label_count; i++)
        berth_labels_deinit(&p->names[i]);
    free(p->names);
    free(p->labels);
    berth_h5_close(p->file);
    memset(p, 0, sizeof *p);
}

/* FOLDER/SOURCE-SPLIT-KEY.h5; characters of the source's name that do not belong into a file name become "_".
 */
static berth_status pack_path(char **out, const char *folder, const struct source_spec *spec,
                              enum berth_split split, const char *key) {
    berth_status status = BERTH_OK;
    struct berth_str s;
    berth_str_init(&s);
    for (const char *p = spec->name; *p; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
                     *p == '_' || *p == '-';
        berth_str_addn(&s, plain ? p : "_", 1);
    }
    berth_str_addf(&s, "-%s-%s.h5", berth_split_name(split), key);
    if (s.failed) BERTH_FAIL_OUT(BERTH_E_MEMORY, "out of memory");
    BERTH_TRY_OUT(berth_path_join(out, folder, s.data));
out:
    berth_str_deinit(&s);
    return status;
}

/* Opens a file that the cache has; *found is false when there is none or it is damaged. */
static berth_status open_cached(struct pack *out, bool *found, const char *path, const struct source_spec *spec,
                                int64_t max_length, size_t vocabulary) {
    *found = false;
    if (!berth_file_exists(path)) return BERTH_OK;
    berth_status status = pack_open(out, path, spec, max_length, vocabulary);
    if (status == BERTH_E_FORMAT || status == BERTH_E_VERSION) {
        berth_log(BERTH_LOG_WARN, "the cache holds a %s file, which is made again: %s",
                  status == BERTH_E_FORMAT ? "damaged" : "newer",
                  berth_error_text());
        berth_error_clear();
        return BERTH_OK;
    }
    *found = status == BERTH_OK;
    return status;
}

berth_status pack_obtain(struct pack *out, char **path, bool *made, const struct source_spec *spec,
                         enum berth_split split, const char *cache_folder, const struct berth_tokenizer *t,
                         int64_t max_length) {
    berth_status status = BERTH_OK;
    size_t paths = spec->path_count[split], per_path = 1;
    struct text_file *files = NULL; /* READER_MAX_FILES slots a path, then moved together */
    char key[33];
    bool found = false;
    double start = berth_time_seconds();
    BERTH_TRY(berth_calloc(&files, paths * READER_MAX_FILES, sizeof *files));
    for (size_t i = 0; i < paths; i++) /* every path of a source has the same number of files */
        BERTH_TRY_OUT(reader_map_files(files + i * per_path, &per_path, spec, spec->paths[split][i]));
    BERTH_TRY_OUT(pack_key(key, spec, files, paths * per_path, t, max_length));
    BERTH_TRY_OUT(pack_path(path, cache_folder, spec, split, key));
    BERTH_TRY_OUT(open_cached(out, &found, *path, spec, max_length, berth_tokenizer_size(t)));
    *made = !found;
    if (!found) {
        BERTH_TRY_OUT(berth_make_folders(cache_folder));
        BERTH_TRY_OUT(pack_write(*path, spec, split, files, per_path, t, max_length));
        BERTH_TRY_OUT(pack_open(out, *path, spec, max_length, berth_tokenizer_size(t)));
    }
    berth_log(BERTH_LOG_INFO, "%s %s: %lld rows, %lld tokens, %lld rows cut: %s %s (%.2f s)", spec->name,
              berth_split_name(split), (long long)out->view.rows, (long long)out->view.token_count,
              (long long)out->view.rows_cut, found ? "reused" : "made", *path, berth_time_seconds() - start);
out:
    for (size_t i = 0; i < paths * READER_MAX_FILES; i++)
        reader_unmap_file(&files[i]);
    free(files);
    return status;
}
