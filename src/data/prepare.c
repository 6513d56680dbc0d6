/* prepare.c: a step of the plan as batches.
 *
 * A step's sequences are numbered 0.. in the plan's order: these ordinals key dropout, so they depend neither
 * on how the step is split nor on where a row lies in a batch. Splitting keeps the order: by rows when
 * batch_size rules, by tokens when batch_tokens does. Within a batch the rows are then gathered by source.
 *
 * Of several ranks each has its own parts, but all are filled: a task's rows and items are counted over the
 * whole step, and what a row gives is known when it was fed. */
#include <stdlib.h>
#include <string.h>

#include "data/sample_priv.h"

berth_status prepared_init(struct prepared *p, int parts) {
    memset(p, 0, sizeof *p);
    BERTH_TRY(berth_calloc(&p->batches, (size_t)parts, sizeof *p->batches));
    p->parts = parts;
    return berth_calloc(&p->filled, (size_t)parts, sizeof *p->filled);
}

void prepared_deinit(struct prepared *p) {
    for (int i = 0; p->batches && i < p->parts; i++)
        berth_batch_deinit(&p->batches[i]);
    free(p->batches);
    free(p->filled);
    free(p->part);
    free(p->ordinal);
    row_buffers_deinit(&p->buffers);
    memset(p, 0, sizeof *p);
}

/* Which part each of the step's rows goes to, never decreasing. */
static berth_status part_step(struct prepared *p, const struct sampler *s, const uint32_t *rows,
                              int64_t count) {
    int64_t parts = p->parts, total = 0, before = 0;
    bool by_tokens = s->options.batch_size == 0;
    BERTH_TRY(berth_grow(&p->part, &p->part_capacity, (size_t)count, sizeof *p->part));
    for (int64_t i = 0; i < count; i++)
        total += by_tokens ? row_length(s, rows[i]) : 1;
    for (int64_t i = 0; i < count; i++) {
        int64_t size = by_tokens ? row_length(s, rows[i]) : 1;
        p->part[i] = (int)((2 * before + size) * parts / (2 * total)); /* where the row's middle lies */
        before += size;
    }
    return BERTH_OK;
}

static berth_status number_step(struct prepared *p, const struct sampler *s, const uint32_t *rows,
                                int64_t count, const struct task_choice *choice) {
    BERTH_TRY(berth_grow(&p->ordinal, &p->ordinal_capacity, (size_t)count, sizeof *p->ordinal));
    int32_t next = 0;
    for (int64_t i = 0; i < count; i++) {
        int32_t source = row_source(s, rows[i]);
        p->ordinal[i] = next;
        next += row_sequence_count(s->data, (size_t)source, BERTH_TRAIN, (int64_t)rows[i] - s->base[source],
                                   choice);
    }
    return BERTH_OK;
}

/* Rows [first, end) of the step as one batch, source by source. */
static berth_status fill_batch(struct prepared *p, const struct sampler *s, const struct plan *plan,
                               int64_t start, int64_t first, int64_t end, const struct task_choice *choice) {
    const uint32_t *rows = plan->order + start;
    struct berth_batch *b = &p->batches[p->part[first]];
    b->one_task = choice->only >= 0;
    b->one_share = s->mix != MIX_BATCH;
    for (size_t source = 0; source < s->data->source_count; source++) {
        for (int64_t i = first; i < end; i++) {
            if ((size_t)row_source(s, rows[i]) != source) continue;
            const struct row_draw draw = {.source = source,
                                          .split = BERTH_TRAIN,
                                          .row = (int64_t)rows[i] - s->base[source],
                                          .epoch = (uint32_t)plan->epoch,
                                          .occurrence = plan->occurrence ? plan->occurrence[start + i] : 0,
                                          .augmenter = s->augmenter,
                                          .repeats_altered = choice->only >= 0 ? s->task_altered[choice->only]
                                                                               : s->source_altered[source]};
            BERTH_TRY(batcher_add_row(b, s->data, &draw, &p->ordinal[i], choice, false, &p->buffers));
        }
    }
    return berth_batch_finish(b);
}

/* task_rows and task_items were counted a batch; they are the whole step's. */
static void share_counts(struct prepared *p, size_t tasks, int64_t rows) {
    for (size_t t = 0; t < tasks; t++) {
        int64_t task_rows = 0, task_items = 0;
        for (int i = 0; i < p->parts; i++) {
            task_rows += p->batches[i].items[t].task_rows;
            task_items += p->batches[i].items[t].task_items;
        }
        for (int i = 0; i < p->parts; i++) {
            p->batches[i].items[t].task_rows = task_rows;
            p->batches[i].items[t].task_items = task_items;
        }
    }
    for (int i = 0; i < p->parts; i++)
        p->batches[i].step_rows = rows;
}

berth_status prepare_step(struct prepared *p, const struct sampler *s, const struct plan *plan, int64_t step) {
    const struct plan_step *at = &plan->steps[step];
    const uint32_t *rows = plan->order + at->first;
    const struct task_choice choice = {.only = at->unit >= 0 ? s->units[at->unit].task : -1, .tasks = s->tasks};
    int ranks = s->options.ranks > 0 ? s->options.ranks : 1;
    int own_first = s->options.rank * p->parts / ranks, own_end = (s->options.rank + 1) * p->parts / ranks;
    BERTH_TRY(part_step(p, s, rows, at->count));
    BERTH_TRY(number_step(p, s, rows, at->count, &choice));
    for (int i = 0; i < p->parts; i++)
        BERTH_TRY(batcher_begin(&p->batches[i], s->data));
    p->filled_count = 0;
    for (int64_t first = 0, end; first < at->count; first = end) {
        for (end = first; end < at->count && p->part[end] == p->part[first];)
            end++;
        BERTH_TRY(fill_batch(p, s, plan, at->first, first, end, &choice));
        if (p->part[first] >= own_first && p->part[first] < own_end)
            p->filled[p->filled_count++] = p->part[first];
    }
    share_counts(p, s->data->task_count, at->count);
    p->epoch = plan->epoch;
    p->steps_done = step + 1;
    return BERTH_OK;
}

berth_status producer_next(struct producer *p, struct prepared *out) {
    if (p->plan.epoch != p->epoch) BERTH_TRY(plan_make(&p->plan, p->sampler, p->epoch));
    if (p->steps_done >= p->plan.step_count) {
        BERTH_TRY(plan_make(&p->plan, p->sampler, p->epoch + 1));
        p->epoch++;
        p->steps_done = 0;
    }
    BERTH_TRY(prepare_step(out, p->sampler, &p->plan, p->steps_done));
    p->steps_done++;
    return BERTH_OK;
}
