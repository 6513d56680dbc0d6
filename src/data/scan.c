/* scan.c: all rows of a split, longest first, for evaluation.
 *
 * Longest first: rows of near length share a batch, and the largest memory is asked for at the start.
 */
#include "data/data_priv.h"

#include <stdlib.h>

struct berth_scan {
    const struct berth_data *data; /* borrowed */
    size_t source;
    enum berth_split split;
    int64_t batch_size;
    int64_t *order; /* [rows] */
    int64_t next;
    struct berth_batch batch;
    struct row_buffers buffers;
};

/* Rows by length, longest first, equal lengths in their order: a counting sort. */
static berth_status sort_rows(struct berth_scan *s, const struct berth_dataset *set) {
    int64_t longest = 0;
    int64_t *first = NULL;
    for (int64_t r = 0; r < set->rows; r++) {
        int64_t length = set->offset[r + 1] - set->offset[r];
        if (length > longest) longest = length;
    }
    BERTH_TRY(berth_calloc(&s->order, (size_t)set->rows, sizeof *s->order));
    BERTH_TRY(berth_calloc(&first, (size_t)longest + 2, sizeof *first));
    for (int64_t r = 0; r < set->rows; r++)
        first[longest - (set->offset[r + 1] - set->offset[r]) + 1]++;
    for (int64_t k = 0; k <= longest; k++)
        first[k + 1] += first[k];
    for (int64_t r = 0; r < set->rows; r++)
        s->order[first[longest - (set->offset[r + 1] - set->offset[r])]++] = r;
    free(first);
    return BERTH_OK;
}

berth_status berth_scan_create(struct berth_scan **out, const struct berth_data *d, size_t source,
                               enum berth_split split, int64_t batch_size) {
    BERTH_ASSERT(source < d->source_count && d->sources[source].view.has[split] && batch_size > 0);
    struct berth_scan *s = NULL;
    BERTH_TRY(berth_calloc(&s, 1, sizeof *s));
    s->data = d;
    s->source = source;
    s->split = split;
    s->batch_size = batch_size;
    berth_batch_init(&s->batch);
    berth_status status = sort_rows(s, &d->sources[source].view.split[split]);
    if (status != BERTH_OK) {
        berth_scan_free(s);
        return status;
    }
    *out = s;
    return BERTH_OK;
}

void berth_scan_free(struct berth_scan *s) {
    if (!s) return;
    berth_batch_deinit(&s->batch);
    row_buffers_deinit(&s->buffers);
    free(s->order);
    free(s);
}

berth_status berth_scan_next(struct berth_scan *s, const struct berth_batch **out) {
    int64_t rows = s->data->sources[s->source].view.split[s->split].rows;
    *out = NULL;
    if (s->next >= rows) return BERTH_OK;
    BERTH_TRY(batcher_begin(&s->batch, s->data));
    int64_t count = rows - s->next < s->batch_size ? rows - s->next : s->batch_size;
    const struct task_choice all = {.only = -1};
    int32_t ordinal = 0;
    for (int64_t i = 0; i < count; i++) {
        const struct row_draw draw = {
            .source = s->source, .split = s->split, .row = s->order[s->next + i], .epoch = EVALUATION_EPOCH};
        BERTH_TRY(batcher_add_row(&s->batch, s->data, &draw, &ordinal, &all, true, &s->buffers));
    }
    s->next += count;
    s->batch.step_rows = count;
    BERTH_TRY(berth_batch_finish(&s->batch));
    *out = &s->batch;
    return BERTH_OK;
}
