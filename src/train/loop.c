/* loop.c: a run, from top to bottom: step after step, and what follows each. Every rank (ranks.c) runs all of
 * it.
 *
 *   step:   zero the gradients
 *           for each of this rank's batches of the step:
 *               forward once: the backbone over all rows, each head over its own items
 *               loss  += sum over tasks of  w_t share_t (sum of item losses / labelled items of the whole step)
 *               backward: gradients += dloss
 *           sum gradients and losses over the ranks
 *           a loss that is not finite ends the run before anything was changed, or is passed over: train.on_nan
 *           the optimizer over the owners that took part; what the weighting learns; the average of the values
 *   after:  report, evaluate, write a checkpoint, or stop, whatever is due at this step; freeze and thaw
 *   stage after stage; then the end
 *
 * Dropout is keyed by the optimizer step and the row's ordinal in it, so cutting a step into other batches
 * gives the same masks. The order "evaluate, then checkpoint" makes a checkpoint hold the evaluation of its own
 * step. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/train_priv.h"

/* What the step at hand holds of each task, and each task's factor. The numbers are those of the whole step and
 * stand in each of its batches. */
struct weighting_step weighting_step_of(const struct berth_trainer *t) {
    int64_t epoch = 0, taken = 0;
    berth_feeder_state(t->feeder, &epoch, &taken);
    return (struct weighting_step){
        .active = t->active + 1,
        .share = t->share,
        .task_loss = t->task_loss,
        .gram = t->weighting.kind->gradients ? t->gram : NULL,
        .step = stage_step(t),
        .epoch = epoch,
        .seed = t->recipe.seed,
        .run_step = (uint32_t)t->state.step,
    };
}

static void weigh_tasks(struct berth_trainer *t) {
    const bool *trained = stage_now(t)->tasks;
    const struct berth_batch *step_batch = berth_feeder_step_batch(t->feeder);
    t->active[0] = false;
    for (size_t i = 0; i < t->task_count; i++) {
        t->items[i] = 0;
        t->share[i] = 0;
        if (step_batch->items[i].task_items > 0) {
            t->items[i] = step_batch->items[i].task_items;
            t->share[i] = step_batch->one_share
                              ? 1.0
                              : (double)step_batch->items[i].task_rows / (double)step_batch->step_rows;
        }
        t->active[i + 1] = t->items[i] > 0 && trained[i];
        t->active[0] |= t->active[i + 1];
    }
    for (size_t i = 0; i <= t->task_count; i++)
        t->owners[i] = i == 0 && t->active[0];
    for (size_t i = 0; i < t->task_count; i++)
        t->owners[berth_head_owner(t->model, (int)i) + 1] |= t->active[i + 1];
    const struct weighting_step step = weighting_step_of(t);
    t->weighting.kind->weights(&t->weighting, &step, t->weights);
}

/* Forward and backward of one batch; the sums of item losses go to the part's place in t->losses. */
static berth_status run_batch(struct berth_trainer *t, const struct berth_batch *batch, int part_index) {
    float *losses = t->losses + (size_t)part_index * t->task_count;
    struct berth_tensor *total = NULL;
    struct berth_forward_options options = {
        .training = true,
        .frozen_dropout = t->recipe.frozen_dropout,
        .recompute = t->recipe.recompute,
        .seed = t->recipe.seed,
        .step = (uint32_t)t->state.step,
        .gradients = t->store->gradients,
        .wanted = t->active + 1,
        .graphs = t->graphs,
    };
    BERTH_TRY(task_walk_batch(t, &batch, &options));
    if (batch->sequence_count == 0) return BERTH_OK; /* arranged by task, and no task has an item in it */
    berth_tape_reset(t->tape, true);
    BERTH_TRY(berth_model_forward(t->model, t->tape, batch, &options, t->logits));
    for (size_t i = 0; i < t->task_count; i++) {
        struct berth_tensor *rows = NULL, *part = NULL, *sum = NULL;
        if (t->logits[i] == NULL || !t->active[i + 1]) continue;
        float scale = (float)(1.0 / (double)t->items[i]);
        BERTH_TRY(berth_model_head_loss(t->model, t->tape, (int)i, t->logits[i], batch, &rows));
        BERTH_TRY(BERTH_OP(t->device,
                           scaled_sum(losses + i, rows->data, rows->shape[0], scale, 1, t->device->stream)));
        BERTH_TRY(berth_op_scaled_sum(t->tape, &part, rows, (float)(t->weights[i] * t->share[i]) * scale));
        if (total != NULL) BERTH_TRY(berth_op_add(t->tape, &sum, total, part));
        total = total != NULL ? sum : part;
    }
    if (total != NULL && total->needs_grad) {
        BERTH_TRY(berth_tape_backward(t->tape, total));
        BERTH_TRY(berth_model_graphs_backward(t->graphs));
    }
    return task_walk_after(t);
}

/* Gradients and losses of the step that the feeder prepared. */
static berth_status run_batches(struct berth_trainer *t) {
    BERTH_TRY(berth_device_zero(t->device, t->losses, (size_t)t->parts * t->task_count * sizeof *t->losses));
    BERTH_TRY(task_walk_begin(t));
    const struct ranks_buffer gradients[2] = {{t->store->grads, t->store->grad_total}, task_walk_buffer(t)};
    BERTH_TRY(ranks_accumulate(t, gradients, 2, run_batch));
    BERTH_TRY(ranks_numbers(t, t->task_loss));
    t->loss = 0;
    for (size_t i = 0; i < t->task_count; i++) {
        if (!t->active[i + 1]) t->task_loss[i] = (double)NAN;
        if (t->active[i + 1]) t->loss += t->weights[i] * t->share[i] * t->task_loss[i];
    }
    const struct weighting_step step = weighting_step_of(t);
    t->loss += weighting_terms(&t->weighting, &step);
    return task_walk_end(t);
}

static const char *last_checkpoint(const struct berth_trainer *t) {
    return t->checkpoint != NULL ? t->checkpoint : "none";
}

static berth_status check_losses(const struct berth_trainer *t) {
    for (size_t i = 0; i < t->task_count; i++) {
        if (!t->active[i + 1] || isfinite(t->task_loss[i])) continue;
        BERTH_FAIL(BERTH_E_NUMERIC,
                   "step %lld: loss of task '%s' is %s; nothing was changed; last checkpoint: %s",
                   (long long)t->state.step + 1, t->task_names[i], isnan(t->task_loss[i]) ? "nan" : "infinite",
                   last_checkpoint(t));
    }
    return BERTH_OK;
}

static berth_status update_parameters(struct berth_trainer *t) {
    const struct recipe *r = &t->recipe;
    const struct weighting_step step = weighting_step_of(t);
    double factor = berth_schedule_factor(&r->schedule, stage_step(t));
    t->lr = r->lr * factor;
    t->grad_norm = 0;
    if (!t->active[0]) return BERTH_OK;
    berth_status status = berth_store_step(t->store, factor, t->owners, &t->grad_norm);
    if (status == BERTH_E_NUMERIC)
        BERTH_FAIL(BERTH_E_NUMERIC,
                   "step %lld: the gradient's norm is %s; nothing was changed; last checkpoint: %s",
                   (long long)t->state.step + 1, isnan(t->grad_norm) ? "nan" : "infinite", last_checkpoint(t));
    BERTH_TRY(status);
    BERTH_TRY(weighting_learn(&t->weighting, &step, factor));
    return berth_store_average(t->store, stage_step(t));
}

/* A step that changed nothing, its numbers being bad: what train.on_nan says. */
static berth_status pass_over(struct berth_trainer *t, berth_status status) {
    const struct recipe *r = &t->recipe;
    if (status != BERTH_E_NUMERIC || r->on_nan == ON_NAN_STOP) return status;
    if (++t->state.bad_steps >= r->nan_limit)
        return berth_error_context(status, "%lld bad steps in a row (train.nan_limit)",
                                   (long long)t->state.bad_steps);
    record_note(t, "%s; on_nan: %s", berth_error_text(), r->on_nan == ON_NAN_SKIP ? "skip" : "rewind");
    if (r->on_nan == ON_NAN_REWIND) BERTH_TRY(rewind_parameters(t));
    return BERTH_OK;
}

berth_status train_step(struct berth_trainer *t) {
    double begin = berth_time_seconds();
    BERTH_TRY(berth_feeder_next(t->feeder));
    weigh_tasks(t);
    BERTH_TRY(run_batches(t));
    berth_status status = check_losses(t);
    if (status == BERTH_OK) status = update_parameters(t);
    bool good = status == BERTH_OK;
    BERTH_TRY(pass_over(t, status));
    if (good) t->state.bad_steps = 0;
    t->state.step++;
    t->tokens_before = t->state.tokens;
    BERTH_TRY(position_update(t));
    if (good) record_step(t, berth_time_seconds() - begin);
    return BERTH_OK;
}

/* Whether an evaluation that may choose is due; by the clock there is none. */
static bool evaluation_due(const struct berth_trainer *t) {
    return t->recipe.evaluate_every.unit != BERTH_SECONDS && position_due(t, t->recipe.evaluate_every, 0);
}

/* Reports, evaluations and checkpoints that are due after a step. */
static berth_status after_step(struct berth_trainer *t) {
    const struct recipe *r = &t->recipe;
    bool last = stage_step(t) >= r->total_steps;
    BERTH_TRY(ranks_agree(t));
    if (last || evaluation_due(t)) {
        BERTH_TRY(record_report(t));
        BERTH_TRY(selection_evaluate(t));
        last = selection_done(t);
    } else if (r->evaluate_every.unit == BERTH_SECONDS &&
               position_due(t, r->evaluate_every, t->last_evaluation)) {
        BERTH_TRY(selection_show(t));
    }
    if (position_due(t, r->log_every, t->last_log)) BERTH_TRY(record_report(t));
    bool stop = t->asked_to_stop && !(last && (size_t)t->state.stage + 1 == t->stage_count);
    BERTH_TRY(phase_update(t));
    BERTH_TRY(checkpoint_poll(t));
    bool scheduled = last || stage_step(t) == 1 || checkpoint_scheduled(t);
    if (scheduled && r->on_nan == ON_NAN_REWIND) t->state.rewind_step = t->state.step;
    if (scheduled || stop || checkpoint_due(t)) BERTH_TRY(checkpoint_write(t));
    if (!stop) return BERTH_OK;
    BERTH_TRY(checkpoint_wait(t));
    BERTH_FAIL(BERTH_E_STOPPED, "stopped after step %lld; --resume goes on from %s", (long long)t->state.step,
               last_checkpoint(t));
}

/* Device memory of the largest batch, asked for before the first step. A quarter more: the estimate's error. On
 * the CPU the first steps find out what is needed. */
static berth_status reserve_step_memory(struct berth_trainer *t) {
    struct plan_sizes sizes;
    if (t->device->backend->host_memory) return BERTH_OK;
    BERTH_TRY(plan_sizes_estimate(&sizes, t));
    if (t->graphs != NULL) sizes.step /= 2; /* the encoder's is the graphs' own */
    berth_tape_reserve(t->tape, (size_t)(sizes.step + sizes.step / 4));
    return BERTH_OK;
}

static berth_status run_steps(struct berth_trainer *t) {
    char *plan = NULL;
    BERTH_TRY(berth_trainer_plan(t, &plan));
    record_plan(t, plan);
    free(plan);
    BERTH_TRY(speed_measure_peak(t));
    record_note(
        t,
        "peak of this device: %.1f GFLOP/s (one large matrix product, measured now); model FLOP utilisation "
        "counts against it",
        t->peak_flops / 1e9);
    BERTH_TRY(reserve_step_memory(t));
    BERTH_TRY(ranks_agree(t));
    t->last_log = t->last_checkpoint = t->last_evaluation = t->clock;
    for (;;) {
        while (!selection_done(t)) {
            BERTH_TRY(train_step(t));
            BERTH_TRY(after_step(t));
        }
        BERTH_TRY(selection_end_stage(t));
        if ((size_t)t->state.stage + 1 == t->stage_count) break;
        BERTH_TRY(stage_next(t));
    }
    return selection_finish(t);
}

berth_status berth_trainer_run(struct berth_trainer *t) {
    BERTH_ASSERT_MSG(t->started, "berth_trainer_start comes first");
    if (t->finished) return BERTH_OK;
    berth_status status = run_steps(t);
    if (status != BERTH_OK && status != BERTH_E_STOPPED) berth_comm_fail(t->comm, status, berth_error_text());
    record_input(t);
    if (status != BERTH_OK) record_failure(t);
    return status;
}
