/* batch_tasks.c: a batch arranged by task, for gradients of each task by itself.
 *
 *     in   s0 (A)  s1 (A, B)  s2 (B)  s3 (nothing)             out   s0 s1 | s1 s2
 *     starts (packed rows)                                            A      B
 *
 * A sequence stands in the part of each task that has an item of it, so one of two tasks stands there twice,
 * under the same ordinal: dropout falls on both alike. */
#include <stdlib.h>
#include <string.h>

#include "berth/batch.h"

void berth_arrangement_init(struct berth_arrangement *a) {
    memset(a, 0, sizeof *a);
    berth_batch_init(&a->batch);
}

void berth_arrangement_deinit(struct berth_arrangement *a) {
    berth_batch_deinit(&a->batch);
    free(a->starts);
    free(a->place);
    free(a->sequence_of);
    memset(a, 0, sizeof *a);
}

/* The sequence that an item's index (a sequence, or a packed row) means. */
static int32_t sequence_of_item(const struct berth_arrangement *a, bool rows, int32_t index) {
    return rows ? a->sequence_of[index] : index;
}

/* A sequence of `in` into the part at hand, where it does not stand there yet. */
static berth_status take_sequence(struct berth_arrangement *a, const struct berth_batch *in, int32_t sequence) {
    const int32_t first = in->cu_seqlens[sequence];
    if (a->place[sequence] >= 0) return BERTH_OK;
    a->place[sequence] = (int32_t)a->batch.sequence_count;
    return berth_batch_add_sequence(&a->batch, in->tokens + first, in->segments + first,
                                    in->cu_seqlens[sequence + 1] - first, in->ordinal[sequence],
                                    in->source[sequence], in->source_row[sequence]);
}

/* An old index in the new batch; -1 stays. */
static int32_t placed(const struct berth_arrangement *a, const struct berth_batch *in, bool rows,
                      int32_t index) {
    if (index < 0) return index;
    const int32_t sequence = sequence_of_item(a, rows, index);
    if (!rows) return a->place[sequence];
    return a->batch.cu_seqlens[a->place[sequence]] + index - in->cu_seqlens[sequence];
}

static berth_status arrange_task(struct berth_arrangement *a, const struct berth_batch *in, int task,
                                 bool rows) {
    const struct berth_items *items = &in->items[task];
    for (int64_t s = 0; s < in->sequence_count; s++)
        a->place[s] = -1;
    for (int64_t i = 0; i < items->count; i++) {
        const int32_t list[] = {items->index[i], items->pair[i], items->negative[i]};
        for (size_t k = 0; k < sizeof list / sizeof list[0]; k++)
            if (list[k] >= 0) BERTH_TRY(take_sequence(a, in, sequence_of_item(a, rows, list[k])));
    }
    for (int64_t i = 0; i < items->count; i++) {
        const struct berth_item item = {
            .index = placed(a, in, rows, items->index[i]),
            .label = items->label[i],
            .pair = placed(a, in, rows, items->pair[i]),
            .negative = placed(a, in, rows, items->negative[i]),
            .target = items->width > 0 ? items->target + i * items->width : NULL,
        };
        BERTH_TRY(berth_batch_put_item(&a->batch, task, &item));
    }
    return BERTH_OK;
}

static berth_status reserve(struct berth_arrangement *a, const struct berth_batch *in) {
    const size_t tasks = (size_t)in->task_count + 1;
    BERTH_TRY(berth_grow(&a->starts, &a->starts_capacity, tasks, sizeof *a->starts));
    BERTH_TRY(berth_grow(&a->place, &a->place_capacity, (size_t)in->sequence_count, sizeof *a->place));
    return berth_grow(&a->sequence_of, &a->row_capacity, (size_t)in->tokens_count, sizeof *a->sequence_of);
}

berth_status berth_arrangement_make(struct berth_arrangement *a, const struct berth_batch *in,
                                    const bool *wanted, const bool *rows) {
    struct berth_batch *out = &a->batch;
    BERTH_TRY(reserve(a, in));
    BERTH_TRY(berth_batch_reset(out, in->task_count));
    for (int64_t s = 0; s < in->sequence_count; s++)
        for (int32_t t = in->cu_seqlens[s]; t < in->cu_seqlens[s + 1]; t++)
            a->sequence_of[t] = (int32_t)s;
    out->step_rows = in->step_rows;
    out->one_task = in->one_task;
    out->one_share = in->one_share;
    for (int task = 0; task < in->task_count; task++) {
        a->starts[task] = out->tokens_count;
        berth_batch_set_width(out, task, in->items[task].width);
        if (wanted[task]) BERTH_TRY(arrange_task(a, in, task, rows[task]));
        out->items[task].task_rows = in->items[task].task_rows;
        out->items[task].task_items = in->items[task].task_items;
    }
    a->starts[in->task_count] = out->tokens_count;
    return berth_batch_finish(out);
}
