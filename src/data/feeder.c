/* feeder.c: optimizer steps as batches; its state is two integers. */
#include <stdlib.h>

#include "data/sample_priv.h"

/* A prefetch_next. */
static berth_status produce(void *user, struct prepared *out) {
    return producer_next(user, out);
}

struct berth_feeder {
    struct sampler sampler;
    struct producer producer;
    struct plan asked;         /* of an epoch that was asked about */
    struct prefetch *prefetch; /* NULL: steps are prepared when they are taken */
    struct prepared own;       /* without prefetch */
    const struct prepared *step;
    int64_t epoch, steps_done; /* of the steps taken */
    double waited;
    int64_t waits;
};

berth_status berth_feeder_create(struct berth_feeder **out, const struct berth_data *d,
                                 const struct berth_feeder_options *options) {
    berth_status status = BERTH_OK;
    struct berth_feeder *f = NULL;
    BERTH_ASSERT_MSG(options->accumulate >= 1, "accumulate %d", options->accumulate);
    BERTH_ASSERT_MSG(options->rank >= 0 && (options->rank == 0 || options->rank < options->ranks),
                     "rank %d of %d", options->rank, options->ranks);
    BERTH_TRY(berth_calloc(&f, 1, sizeof *f));
    f->asked.epoch = -1;
    BERTH_TRY_OUT(sampler_init(&f->sampler, d, options));
    f->producer.sampler = &f->sampler;
    BERTH_TRY_OUT(plan_init(&f->producer.plan, &f->sampler));
    if (options->synchronous)
        BERTH_TRY_OUT(prepared_init(&f->own, options->accumulate));
    else
        BERTH_TRY_OUT(prefetch_create(&f->prefetch, produce, &f->producer, options->accumulate));
    *out = f;
    f = NULL;
out:
    berth_feeder_free(f);
    return status;
}

void berth_feeder_free(struct berth_feeder *f) {
    if (!f) return;
    prefetch_free(f->prefetch); /* the thread first: it uses the rest */
    prepared_deinit(&f->own);
    plan_deinit(&f->producer.plan);
    plan_deinit(&f->asked);
    sampler_deinit(&f->sampler);
    free(f);
}

berth_status berth_feeder_epoch_steps(struct berth_feeder *f, int64_t epoch, int64_t *out) {
    const struct sampler *s = &f->sampler;
    int64_t batch = s->options.batch_size;
    BERTH_ASSERT(epoch >= 0);
    *out = 0;
    if (s->mix == MIX_ALL) {
        *out = s->units[0].draws / s->units[0].step_rows;
    } else if (s->options.batch_tokens == 0) { /* the same in every epoch */
        for (size_t u = 0; s->mix == MIX_STEP && u < s->unit_count; u++)
            *out += (s->units[u].draws + batch - 1) / batch;
        if (s->mix == MIX_BATCH) *out = (s->draw_count + batch - 1) / batch;
    } else {
        if (!f->asked.order) BERTH_TRY(plan_init(&f->asked, s));
        if (f->asked.epoch != epoch) BERTH_TRY(plan_make(&f->asked, s, epoch));
        *out = f->asked.step_count;
    }
    return BERTH_OK;
}

berth_status berth_feeder_next(struct berth_feeder *f) {
    double waited = 0;
    f->step = NULL;
    if (f->prefetch) {
        BERTH_TRY(prefetch_take(f->prefetch, &f->step, &waited));
    } else {
        double begin = berth_time_seconds();
        BERTH_TRY(producer_next(&f->producer, &f->own));
        f->step = &f->own;
        waited = berth_time_seconds() - begin;
    }
    f->waited += waited;
    f->waits += waited > 0;
    f->epoch = f->step->epoch;
    f->steps_done = f->step->steps_done;
    return BERTH_OK;
}

int berth_feeder_batch_count(const struct berth_feeder *f) {
    return f->step ? f->step->filled_count : 0;
}

int berth_feeder_batch_part(const struct berth_feeder *f, int index) {
    BERTH_ASSERT_MSG(f->step && index >= 0 && index < f->step->filled_count, "batch %d of %d", index,
                     berth_feeder_batch_count(f));
    return f->step->filled[index];
}

const struct berth_batch *berth_feeder_batch(const struct berth_feeder *f, int index) {
    return &f->step->batches[berth_feeder_batch_part(f, index)];
}

const struct berth_batch *berth_feeder_step_batch(const struct berth_feeder *f) {
    BERTH_ASSERT(f->step);
    return &f->step->batches[f->step->part[0]]; /* that of the first row */
}

int64_t berth_feeder_epoch(const struct berth_feeder *f) {
    return f->epoch;
}

void berth_feeder_state(const struct berth_feeder *f, int64_t *epoch, int64_t *steps_done) {
    *epoch = f->epoch;
    *steps_done = f->steps_done;
}

double berth_feeder_waited(const struct berth_feeder *f, int64_t *steps) {
    if (steps) *steps = f->waits;
    return f->waited;
}

berth_status berth_feeder_restore(struct berth_feeder *f, int64_t epoch, int64_t steps_done) {
    struct producer *p = &f->producer;
    if (epoch < 0 || epoch > UINT32_MAX || steps_done < 0)
        BERTH_FAIL(BERTH_E_FORMAT,
                   "the order of training: found epoch %lld and %lld steps, expected none below 0",
                   (long long)epoch, (long long)steps_done);
    if (f->prefetch) prefetch_stop(f->prefetch);
    f->step = NULL;
    BERTH_TRY(plan_make(&p->plan, &f->sampler, epoch));
    if (steps_done > p->plan.step_count)
        BERTH_FAIL(BERTH_E_FORMAT,
                   "the order of training: found %lld steps done of epoch %lld, which has %lld with this data",
                   (long long)steps_done, (long long)epoch, (long long)p->plan.step_count);
    p->epoch = f->epoch = epoch;
    p->steps_done = f->steps_done = steps_done;
    return BERTH_OK;
}

size_t berth_feeder_unit_count(const struct berth_feeder *f) {
    return f->sampler.unit_count;
}

/* On average over the unit's draws, its sources by their rows. */
static double altered_share(const struct sampler *s, const struct unit *u) {
    double sum = 0, rows = 0;
    double again = u->draws > u->rows ? 1 - (double)u->rows / (double)u->draws : 0;
    for (size_t i = 0; i < s->data->source_count; i++) {
        const struct data_source *source = &s->data->sources[i];
        bool own = u->task < 0 ? source->name == u->name : data_task_of(s->data, (size_t)u->task, i) != NULL;
        if (!own || !source->view.has[BERTH_TRAIN]) continue;
        bool altered = u->task < 0 ? s->source_altered[i] : s->task_altered[u->task];
        double n = (double)source->view.split[BERTH_TRAIN].rows;
        sum += n * (again * augment_share(&source->augment, altered, true) +
                    (1 - again) * augment_share(&source->augment, altered, false));
        rows += n;
    }
    return rows > 0 ? sum / rows : 0;
}

struct berth_feeder_unit berth_feeder_unit(const struct berth_feeder *f, size_t index) {
    BERTH_ASSERT(index < f->sampler.unit_count);
    const struct unit *u = &f->sampler.units[index];
    return (struct berth_feeder_unit){.name = u->name,
                                      .is_task = u->task >= 0,
                                      .rows = u->rows,
                                      .draws = u->draws,
                                      .share = (double)u->draws / (double)f->sampler.draw_count,
                                      .repeats = (double)u->draws / (double)u->rows,
                                      .altered = altered_share(&f->sampler, u)};
}

struct berth_feeder_task berth_feeder_task(const struct berth_feeder *f, size_t task) {
    const struct sampler *s = &f->sampler;
    struct berth_feeder_task out = {0};
    BERTH_ASSERT(task < s->data->task_count);
    for (size_t i = 0; i < s->unit_count; i++) {
        const struct unit *u = &s->units[i];
        out.rows += u->fed[task];
        out.draws += (double)u->draws * (double)u->fed[task] / (double)u->all_rows;
    }
    if (out.rows > 0) out.repeats = out.draws / (double)out.rows;
    out.share = s->mix == MIX_BATCH ? out.draws / (double)s->draw_count : out.rows > 0 ? 1 : 0;
    return out;
}
