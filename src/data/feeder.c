/* feeder.c: optimizer steps as batches; its state is two integers.
 *
 * A step's rows are numbered 0.. in the plan's order: these ordinals key dropout, so they depend neither on how
 * the step is split nor on where a row lies in a batch. Splitting keeps the order: by rows when batch_size
 * rules, by tokens when batch_tokens does. Within a batch the rows are then gathered by source.
 */
#include "data/data_priv.h"

#include <stdlib.h>

struct berth_feeder {
    const struct berth_data *data; /* borrowed */
    struct sampler sampler;
    struct plan plan;  /* of `epoch` */
    struct plan other; /* of an epoch that was asked about */
    int64_t epoch, steps_done;
    int64_t prepared_epoch;
    struct berth_batch *batches; /* [accumulate] */
    int batch_count;
    int *part; /* [part_capacity] the batch of each row of the step */
    size_t part_capacity;
    int32_t *ordinal; /* [ordinal_capacity] of each row's first sequence */
    size_t ordinal_capacity;
    struct row_buffers buffers;
};

berth_status berth_feeder_create(struct berth_feeder **out, const struct berth_data *d,
                                 const struct berth_feeder_options *options) {
    berth_status status = BERTH_OK;
    struct berth_feeder *f = NULL;
    BERTH_ASSERT_MSG(options->accumulate >= 1, "accumulate %d", options->accumulate);
    BERTH_TRY(berth_calloc(&f, 1, sizeof *f));
    f->data = d;
    BERTH_TRY_OUT(berth_calloc(&f->batches, (size_t)options->accumulate, sizeof *f->batches));
    BERTH_TRY_OUT(sampler_init(&f->sampler, d, options));
    BERTH_TRY_OUT(plan_init(&f->plan, &f->sampler));
    BERTH_TRY_OUT(plan_init(&f->other, &f->sampler));
    *out = f;
    f = NULL;
out:
    berth_feeder_free(f);
    return status;
}

void berth_feeder_free(struct berth_feeder *f) {
    if (!f) return;
    for (int i = 0; f->batches && i < f->sampler.options.accumulate; i++)
        berth_batch_deinit(&f->batches[i]);
    free(f->batches);
    free(f->part);
    free(f->ordinal);
    row_buffers_deinit(&f->buffers);
    plan_deinit(&f->plan);
    plan_deinit(&f->other);
    sampler_deinit(&f->sampler);
    free(f);
}

static const struct plan *plan_of(struct berth_feeder *f, int64_t epoch) {
    if (f->plan.epoch == epoch) return &f->plan;
    if (f->other.epoch != epoch) plan_make(&f->other, &f->sampler, epoch);
    return &f->other;
}

berth_status berth_feeder_epoch_steps(struct berth_feeder *f, int64_t epoch, int64_t *out) {
    const struct sampler *s = &f->sampler;
    BERTH_ASSERT(epoch >= 0);
    if (s->options.batch_tokens == 0) { /* the same in every epoch */
        *out = 0;
        for (size_t g = 0; g < s->group_count; g++)
            *out +=
                (s->group_first[g + 1] - s->group_first[g] + s->options.batch_size - 1) / s->options.batch_size;
        return BERTH_OK;
    }
    *out = plan_of(f, epoch)->step_count;
    return BERTH_OK;
}

/* Which batch each of the step's rows goes to, never decreasing. */
static berth_status part_step(struct berth_feeder *f, const int64_t *rows, int64_t count) {
    const struct sampler *s = &f->sampler;
    int64_t parts = s->options.accumulate, total = 0, before = 0;
    bool by_tokens = s->options.batch_size == 0;
    BERTH_TRY(berth_grow(&f->part, &f->part_capacity, (size_t)count, sizeof *f->part));
    for (int64_t i = 0; i < count; i++)
        total += by_tokens ? s->entries[rows[i]].length : 1;
    for (int64_t i = 0; i < count; i++) {
        int64_t size = by_tokens ? s->entries[rows[i]].length : 1;
        f->part[i] = (int)((2 * before + size) * parts / (2 * total)); /* where the row's middle lies */
        before += size;
    }
    return BERTH_OK;
}

/* Ordinals: the step's sequences are numbered in the order of its rows. */
static berth_status number_step(struct berth_feeder *f, const int64_t *rows, int64_t count,
                                const struct task_choice *choice) {
    BERTH_TRY(berth_grow(&f->ordinal, &f->ordinal_capacity, (size_t)count, sizeof *f->ordinal));
    int32_t next = 0;
    for (int64_t i = 0; i < count; i++) {
        const struct plan_entry *entry = &f->sampler.entries[rows[i]];
        f->ordinal[i] = next;
        next += row_sequence_count(f->data, (size_t)entry->source, BERTH_TRAIN, entry->row, choice);
    }
    return BERTH_OK;
}

/* Rows [first, end) of the step as one batch, source by source. */
static berth_status fill_batch(struct berth_feeder *f, struct berth_batch *b, const int64_t *rows,
                               int64_t first, int64_t end, const struct task_choice *choice) {
    BERTH_TRY(batcher_begin(b, f->data));
    b->one_task = choice->only >= 0;
    for (size_t source = 0; source < f->data->source_count; source++) {
        for (int64_t i = first; i < end; i++) {
            const struct plan_entry *entry = &f->sampler.entries[rows[i]];
            const struct row_draw draw = {
                .source = source, .split = BERTH_TRAIN, .row = entry->row, .epoch = (uint32_t)f->epoch};
            if ((size_t)entry->source != source) continue;
            BERTH_TRY(batcher_add_row(b, f->data, &draw, &f->ordinal[i], choice, false, &f->buffers));
        }
    }
    return berth_batch_finish(b);
}

/* task_rows and task_items were counted a batch; they are the whole step's. */
static void share_counts(struct berth_feeder *f, int64_t rows) {
    for (size_t t = 0; t < f->data->task_count; t++) {
        int64_t task_rows = 0, task_items = 0;
        for (int i = 0; i < f->batch_count; i++) {
            task_rows += f->batches[i].items[t].task_rows;
            task_items += f->batches[i].items[t].task_items;
        }
        for (int i = 0; i < f->batch_count; i++) {
            f->batches[i].items[t].task_rows = task_rows;
            f->batches[i].items[t].task_items = task_items;
        }
    }
    for (int i = 0; i < f->batch_count; i++)
        f->batches[i].step_rows = rows;
}

berth_status berth_feeder_next(struct berth_feeder *f) {
    if (f->plan.epoch != f->epoch) plan_make(&f->plan, &f->sampler, f->epoch);
    if (f->steps_done >= f->plan.step_count) {
        plan_make(&f->plan, &f->sampler, ++f->epoch);
        f->steps_done = 0;
    }
    const int64_t *rows = f->plan.order + f->plan.step_first[f->steps_done];
    int64_t count = f->plan.step_first[f->steps_done + 1] - f->plan.step_first[f->steps_done];
    const struct task_choice choice = {.only = f->sampler.options.one_task ? f->plan.step_group[f->steps_done]
                                                                           : -1};
    BERTH_TRY(number_step(f, rows, count, &choice));
    BERTH_TRY(part_step(f, rows, count));
    f->batch_count = 0;
    for (int64_t first = 0, end; first < count; first = end) {
        for (end = first; end < count && f->part[end] == f->part[first];)
            end++;
        BERTH_TRY(fill_batch(f, &f->batches[f->batch_count], rows, first, end, &choice));
        f->batch_count++;
    }
    share_counts(f, count);
    f->prepared_epoch = f->epoch;
    f->steps_done++;
    return BERTH_OK;
}

int berth_feeder_batch_count(const struct berth_feeder *f) {
    return f->batch_count;
}

const struct berth_batch *berth_feeder_batch(const struct berth_feeder *f, int index) {
    BERTH_ASSERT_MSG(index >= 0 && index < f->batch_count, "batch %d of %d", index, f->batch_count);
    return &f->batches[index];
}

int64_t berth_feeder_epoch(const struct berth_feeder *f) {
    return f->prepared_epoch;
}

void berth_feeder_state(const struct berth_feeder *f, int64_t *epoch, int64_t *steps_done) {
    *epoch = f->epoch;
    *steps_done = f->steps_done;
}

berth_status berth_feeder_restore(struct berth_feeder *f, int64_t epoch, int64_t steps_done) {
    if (epoch < 0 || epoch > UINT32_MAX || steps_done < 0)
        BERTH_FAIL(BERTH_E_FORMAT,
                   "the order of training: found epoch %lld and %lld steps, expected none below 0",
                   (long long)epoch, (long long)steps_done);
    plan_make(&f->plan, &f->sampler, epoch);
    if (steps_done > f->plan.step_count)
        BERTH_FAIL(BERTH_E_FORMAT,
                   "the order of training: found %lld steps done of epoch %lld, which has %lld with this data",
                   (long long)steps_done, (long long)epoch, (long long)f->plan.step_count);
    f->epoch = epoch;
    f->prepared_epoch = epoch;
    f->steps_done = steps_done;
    f->batch_count = 0;
    return BERTH_OK;
}
