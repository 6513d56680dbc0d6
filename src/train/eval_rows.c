/* eval_rows.c: outputs of sentence-level heads by the row they belong to.
 *
 * A row may lie in a batch as several sequences (windows of a long text), which need not stand in one batch:
 * outputs are added up by row and divided by the number of sequences when all were seen, so a row counts once,
 * whatever the batch size. With one sequence a row nothing is changed. */
#include <stdlib.h>

#include "train/evaluate_priv.h"

int64_t eval_row(const struct eval_task *t, const struct berth_batch *b, int64_t sequence) {
    const struct eval_source *source = &t->sources[b->source[sequence]];
    const int64_t row = b->source_row[sequence];
    return source->row_base + (source->set->origin != NULL ? source->set->origin[row] : row);
}

berth_status eval_rows_begin(struct eval_task *t) {
    const size_t rows = (size_t)t->row_count;
    if (t->width == 0) t->width = berth_head_width(t->model, t->head);
    BERTH_TRY(berth_calloc(&t->outputs, rows * (size_t)t->width, sizeof *t->outputs));
    BERTH_TRY(berth_calloc(&t->parts, rows, sizeof *t->parts));
    return berth_calloc(&t->label, rows, sizeof *t->label);
}

berth_status eval_rows_add(struct eval_task *t, const struct berth_batch *b, const float *outputs) {
    const struct berth_items *items = &b->items[t->head];
    const int64_t width = t->width;
    if (t->target == NULL && items->width > 0) {
        t->target_width = items->width;
        BERTH_TRY(berth_calloc(&t->target, (size_t)(t->row_count * items->width), sizeof *t->target));
    }
    for (int64_t i = 0; i < items->count; i++) {
        const int64_t row = eval_row(t, b, items->index[i]);
        for (int64_t k = 0; k < width; k++)
            t->outputs[row * width + k] += outputs[i * width + k];
        t->parts[row]++;
        t->label[row] = items->label[i];
        for (int64_t k = 0; k < items->width; k++)
            t->target[row * items->width + k] = items->target[i * items->width + k];
    }
    return BERTH_OK;
}

berth_status eval_rows_join(struct eval_task *t, int64_t **row_of, int64_t *count) {
    const int64_t width = t->width;
    int64_t kept = 0;
    BERTH_TRY(berth_calloc(row_of, (size_t)t->row_count, sizeof **row_of));
    for (int64_t row = 0; row < t->row_count; row++) {
        if (t->parts[row] == 0 || t->label[row] == BERTH_LABEL_MISSING) continue;
        for (int64_t k = 0; k < width; k++) {
            const float sum = t->outputs[row * width + k];
            t->outputs[kept * width + k] = t->parts[row] > 1 ? sum / (float)t->parts[row] : sum;
        }
        for (int64_t k = 0; k < t->target_width; k++)
            t->target[kept * t->target_width + k] = t->target[row * t->target_width + k];
        t->label[kept] = t->label[row];
        (*row_of)[kept++] = row;
    }
    *count = t->rows = kept;
    return BERTH_OK;
}
