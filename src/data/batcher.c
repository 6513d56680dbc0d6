/* batcher.c: one row of a data set as a sequence of a batch, with the items of the tasks that learn from it. */
#include "data/data_priv.h"

bool row_feeds_task(const struct berth_data *d, size_t task, int64_t row) {
    const struct berth_dataset *set = &d->sources[d->tasks[task].source].view.split[BERTH_TRAIN];
    const int32_t *labels = set->labels[task];
    if (d->tasks[task].task.kind == BERTH_TASK_CLASSIFICATION) return labels[row] >= 0;
    for (int64_t w = set->word_offset[row]; w < set->word_offset[row + 1]; w++)
        if (labels[w] >= 0 && set->word_token[w] >= 0) return true;
    return false;
}

/* Counts the row towards its task only where it has a labelled item. */
static berth_status add_task(struct berth_batch *b, const struct berth_dataset *set, enum berth_task_kind kind,
                             int task, int64_t row, int64_t first_row, bool keep_unlabelled) {
    const int32_t *labels = set->labels[task];
    struct berth_items *items = &b->items[task];
    int64_t labelled = 0;
    if (kind == BERTH_TASK_CLASSIFICATION) {
        labelled = labels[row] >= 0;
        if (labelled || keep_unlabelled)
            BERTH_TRY(berth_batch_add_item(b, task, (int32_t)(b->sequence_count - 1), labels[row]));
    } else {
        for (int64_t w = set->word_offset[row]; w < set->word_offset[row + 1]; w++) {
            if (set->word_token[w] < 0 || (labels[w] < 0 && !keep_unlabelled)) continue;
            BERTH_TRY(berth_batch_add_item(b, task, (int32_t)(first_row + set->word_token[w]), labels[w]));
            labelled += labels[w] >= 0;
        }
    }
    items->task_rows += labelled > 0;
    items->task_items += labelled;
    return BERTH_OK;
}

berth_status batcher_add_row(struct berth_batch *b, const struct berth_data *d, size_t source,
                             enum berth_split split, int64_t row, int32_t ordinal, int only_task,
                             bool keep_unlabelled, struct segment_buffer *segments) {
    const struct berth_dataset *set = &d->sources[source].view.split[split];
    int64_t first = set->offset[row], length = set->offset[row + 1] - first, first_row = b->tokens_count;
    BERTH_TRY(berth_grow(&segments->values, &segments->capacity, (size_t)length, sizeof *segments->values));
    for (int64_t i = 0; i < length; i++)
        segments->values[i] = set->segments[first + i];
    BERTH_TRY(berth_batch_add_sequence(b, set->tokens + first, segments->values, length, ordinal,
                                       (int32_t)source, row));
    for (size_t t = 0; t < d->task_count; t++) {
        if (d->tasks[t].source != source || (only_task >= 0 && (size_t)only_task != t)) continue;
        BERTH_TRY(add_task(b, set, d->tasks[t].task.kind, (int)t, row, first_row, keep_unlabelled));
    }
    return BERTH_OK;
}
