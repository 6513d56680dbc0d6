/* task_walk.c: the step's part in gradients of each task (task_gradients.h): made when a weighting asks for
 * them, for the parameters that the phase at hand trains; filled by the batches of a step; handed to the
 * weighting. */
#include <stdlib.h>
#include <string.h>

#include "train/train_priv.h"

static bool asked(const struct berth_trainer *t) {
    return t->weighting.kind->gradients;
}

/* Several parts that are summed in a tree, or several ranks: the tasks' gradients lie in one buffer then, all of
 * which is summed, token rows too, which differ between ranks. */
static bool summed(const struct berth_trainer *t) {
    return asked(t) && (t->comm->size > 1 || ranks_by_parts(t));
}

berth_status task_walk_begin(struct berth_trainer *t) {
    if (!asked(t)) return BERTH_OK;
    if (t->split == NULL) {
        const struct berth_task_gradient_options options = {
            .gradients = t->store->gradients,
            .trained = t->store->trainable,
            .wanted = stage_now(t)->tasks,
            .representation = t->weighting.representation,
            .dense = summed(t),
        };
        BERTH_TRY(berth_task_gradients_create(&t->split, t->model, &options));
    }
    return berth_task_gradients_begin(t->split);
}

struct ranks_buffer task_walk_buffer(const struct berth_trainer *t) {
    struct ranks_buffer out = {NULL, 0};
    if (summed(t)) out.data = berth_task_gradients_buffer(t->split, &out.count);
    return out;
}

berth_status task_walk_batch(struct berth_trainer *t, const struct berth_batch **batch,
                             struct berth_forward_options *options) {
    if (!asked(t)) return BERTH_OK;
    options->task_gradients = t->split;
    return berth_task_gradients_arrange(t->split, *batch, batch);
}

berth_status task_walk_after(struct berth_trainer *t) {
    return asked(t) ? berth_task_gradients_walked(t->split) : BERTH_OK;
}

berth_status task_walk_end(struct berth_trainer *t) {
    const struct weighting_kind *kind = t->weighting.kind;
    if (!asked(t)) return BERTH_OK;
    BERTH_TRY(berth_task_gradients_gram(t->split, t->gram));
    if (t->weighting.representation) /* of disjoint rows: products add up */
        BERTH_TRY(berth_comm_sum_host(t->comm, t->gram, (int64_t)(t->task_count * t->task_count)));
    for (size_t i = 0; i < t->task_count; i++)
        t->coefficients[i] = 1.0;
    const struct weighting_step step = weighting_step_of(t);
    if (kind->combine != NULL) kind->combine(&t->weighting, &step, t->coefficients);
    return t->weighting.representation ? BERTH_OK : berth_task_gradients_combine(t->split, t->coefficients);
}

void task_walk_forget(struct berth_trainer *t) {
    berth_task_gradients_free(t->split);
    t->split = NULL;
}

berth_status task_walk_check(const struct berth_trainer *t, size_t stage, const struct weighting *w) {
    berth_status status = BERTH_OK;
    const struct berth_model *m = t->model;
    bool *trained = NULL, shared = w->representation;
    if (!w->kind->gradients) return BERTH_OK;
    BERTH_TRY(berth_calloc(&trained, (size_t)m->parameter_count, sizeof *trained));
    plan_trained(t, stage, trained);
    shared |= berth_task_gradients_floats(m, trained, w->trained, 1) > 0;
    free(trained);
    if (!shared)
        status = berth_config_fail(t->stages[stage].config, "weighting.method",
                                   "%s: there is no shared parameter that is trained: nothing to balance",
                                   w->kind->name);
    for (int i = 0; status == BERTH_OK && w->representation && i < m->head_count; i++) {
        if (!w->trained[i] || m->heads[i].reads == BERTH_READS_LAST) continue;
        status = berth_config_fail(
            t->stages[stage].config, "weighting.gradients",
            "representation: the head of task '%s' does not read the last layer alone: parameters",
            m->heads[i].task.name);
    }
    return status;
}
