/* pack_read.c: opening a packed file.
 *
 * The digest of the file tells damage; what the numbers mean is checked as well before anything is indexed by
 * them. The checks walk the mapped file from front to back; nothing of it is copied.
 */
#include "data/data_priv.h"

#include <math.h>
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

/* Labels of one kind: what must be there, and that it stays within the names. */
static berth_status read_label(struct pack *p, size_t index, enum berth_task_kind kind,
                               const struct berth_json *meta) {
    struct pack_labels *l = &p->labels[index];
    int64_t rows = p->view.rows, count = kind == BERTH_TASK_TAGGING ? p->view.word_count : rows;
    char name[40];
    bool numbers = kind == BERTH_TASK_REGRESSION || kind == BERTH_TASK_SIMILARITY;
    BERTH_TRY(read_names(&l->names, meta, index));
    bool named = kind == BERTH_TASK_CLASSIFICATION || kind == BERTH_TASK_TAGGING;
    int64_t most = named ? (int64_t)l->names.count : 1;
    snprintf(name, sizeof name, "labels/%zu", index);
    BERTH_TRY(view(p->file, name, BERTH_H5_I32, count, &l->values));
    for (int64_t k = 0; k < count; k++)
        if (l->values[k] < -1 || l->values[k] >= most)
            BERTH_FAIL(BERTH_E_FORMAT, "dataset '%s': found label %d, expected less than %lld", name,
                       l->values[k], (long long)most);
    snprintf(name, sizeof name, "numbers/%zu", index);
    if (numbers) BERTH_TRY(view(p->file, name, BERTH_H5_F32, rows, &l->numbers));
    for (int64_t r = 0; numbers && r < rows; r++)
        if (!isfinite(l->numbers[r]))
            BERTH_FAIL(BERTH_E_FORMAT, "dataset '%s': row %lld is not a finite number", name, (long long)r);
    if (kind != BERTH_TASK_MULTILABEL) return BERTH_OK;
    snprintf(name, sizeof name, "set_offset/%zu", index);
    BERTH_TRY(view(p->file, name, BERTH_H5_I64, rows + 1, &l->set_offset));
    int64_t total = l->set_offset[rows];
    if (total < 0)
        BERTH_FAIL(BERTH_E_FORMAT, "dataset '%s': found %lld, expected none below 0", name, (long long)total);
    BERTH_TRY(check_offsets(l->set_offset, rows, total, 0, (int64_t)l->names.count, name));
    snprintf(name, sizeof name, "set_values/%zu", index);
    BERTH_TRY(view(p->file, name, BERTH_H5_I32, total, &l->set_values));
    for (int64_t k = 0; k < total; k++)
        if (l->set_values[k] < 0 || (size_t)l->set_values[k] >= l->names.count)
            BERTH_FAIL(BERTH_E_FORMAT, "dataset '%s': found label %d, expected less than %zu", name,
                       l->set_values[k], l->names.count);
    return BERTH_OK;
}

static berth_status read_labels(struct pack *p, const struct source_spec *spec, const struct berth_json *meta) {
    BERTH_TRY(berth_calloc(&p->labels, spec->label_count, sizeof *p->labels));
    p->label_count = spec->label_count;
    for (size_t i = 0; i < spec->label_count; i++)
        BERTH_TRY(read_label(p, i, spec->labels[i].kind, meta));
    return BERTH_OK;
}

/* Text rows count up from 0, the windows of one together. */
static berth_status check_origin(const struct berth_dataset *d) {
    for (int64_t r = 0; r < d->rows; r++) {
        int64_t before = r > 0 ? d->origin[r - 1] : -1;
        if (d->origin[r] == before + 1 || (r > 0 && d->origin[r] == before)) continue;
        BERTH_FAIL(BERTH_E_FORMAT, "dataset 'origin': found %lld after %lld", (long long)d->origin[r],
                   (long long)before);
    }
    if (d->origin[d->rows - 1] != d->source_rows - 1)
        BERTH_FAIL(BERTH_E_FORMAT, "dataset 'origin': found %lld rows, expected %lld",
                   (long long)d->origin[d->rows - 1] + 1, (long long)d->source_rows);
    return BERTH_OK;
}

/* Where separate sequences begin within their row; each has at least two tokens. */
static berth_status check_sequences(const struct berth_dataset *d, int64_t max_length) {
    for (int64_t r = 0; r < d->rows; r++) {
        int64_t length = d->offset[r + 1] - d->offset[r], pair = d->pair_at[r], negative = d->negative_at[r];
        int64_t second = pair > 0 ? pair : negative, third = pair > 0 && negative > 0 ? negative : length;
        bool good = pair >= 0 && negative >= 0;
        if (good && second > 0)
            good = second >= 2 && third - second >= 2 && (third == length || length - third >= 2) &&
                   second <= max_length && third - second <= max_length && length - third <= max_length;
        else
            good = good && length <= max_length;
        if (!good)
            BERTH_FAIL(BERTH_E_FORMAT, "row %lld: found sequences at %lld and %lld of %lld tokens",
                       (long long)r, (long long)pair, (long long)negative, (long long)length);
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
    BERTH_TRY_OUT(berth_json_int(&d->source_rows, meta, "source_rows", 1, d->rows));
    BERTH_TRY_OUT(berth_json_int(&d->token_count, meta, "tokens", 1, most));
    BERTH_TRY_OUT(berth_json_int(&d->word_count, meta, "words", 0, most));
    BERTH_TRY_OUT(berth_json_int(&d->rows_cut, meta, "rows_cut", 0, most));
    BERTH_TRY_OUT(berth_json_int(&d->words_cut, meta, "words_cut", 0, most));
    BERTH_TRY_OUT(view(p->file, "tokens", BERTH_H5_I32, d->token_count, &d->tokens));
    BERTH_TRY_OUT(view(p->file, "segments", BERTH_H5_U8, d->token_count, &d->segments));
    BERTH_TRY_OUT(view(p->file, "offset", BERTH_H5_I64, d->rows + 1, &d->offset));
    BERTH_TRY_OUT(view(p->file, "word_offset", BERTH_H5_I64, d->rows + 1, &d->word_offset));
    BERTH_TRY_OUT(view(p->file, "word_token", BERTH_H5_I32, d->word_count, &d->word_token));
    BERTH_TRY_OUT(
        check_offsets(d->offset, d->rows, d->token_count, 2, max_length * (spec->separate ? 3 : 1), "offset"));
    BERTH_TRY_OUT(check_offsets(d->word_offset, d->rows, d->word_count, 0, d->word_count, "word_offset"));
    BERTH_TRY_OUT(check_values(p, vocabulary));
    if (spec->overflow == OVERFLOW_WINDOWS) {
        BERTH_TRY_OUT(view(p->file, "origin", BERTH_H5_I64, d->rows, &d->origin));
        BERTH_TRY_OUT(check_origin(d));
    } else if (d->source_rows != d->rows) {
        BERTH_FAIL_OUT(BERTH_E_FORMAT, "found %lld rows of %lld text rows", (long long)d->rows,
                       (long long)d->source_rows);
    }
    if (spec->separate) {
        BERTH_TRY_OUT(view(p->file, "pair_at", BERTH_H5_I32, d->rows, &d->pair_at));
        BERTH_TRY_OUT(view(p->file, "negative_at", BERTH_H5_I32, d->rows, &d->negative_at));
        BERTH_TRY_OUT(check_sequences(d, max_length));
    }
    BERTH_TRY_OUT(read_labels(p, spec, meta));
    BERTH_TRY_OUT(read_report_init(&p->report, spec->label_count));
    BERTH_TRY_OUT(read_report_read_json(&p->report, meta, "report"));
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
    for (size_t i = 0; p->labels && i < p->label_count; i++)
        berth_labels_deinit(&p->labels[i].names);
    free(p->labels);
    read_report_deinit(&p->report);
    berth_h5_close(p->file);
    memset(p, 0, sizeof *p);
}
