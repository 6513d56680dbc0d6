/* phase.c: what is frozen now. A phase is a stretch of steps in which the same parameters are trained.
 *
 * Between two phases the store is laid out anew: what freezes gives its gradient and state back, what thaws
 * gets them, with zeros. Frozen tensors have a digest from the moment they froze; it is compared when the phase
 * ends. */
#include <stdlib.h>
#include <string.h>

#include "train/train_priv.h"

/* A pooler that feeds no head gets no gradient; frozen, it is not decayed either. */
static berth_status freeze_unused_pooler(const struct berth_trainer *t, bool *frozen) {
    int count = 0;
    if (!t->model->config.pooler) return BERTH_OK;
    for (int i = 0; i < t->model->head_count; i++) {
        const struct berth_head *head = &t->model->heads[i];
        if (berth_task_kind_pools(head->task.kind) && head->pooling == BERTH_POOL_POOLER &&
            stage_now(t)->tasks[i])
            return BERTH_OK;
    }
    return berth_model_select(t->model, "pooler", frozen, &count);
}

static berth_status frozen_now(const struct berth_trainer *t, bool *frozen) {
    const struct stage *stage = stage_now(t);
    freeze_at(&stage->freeze, stage_step(t), t->epochs, frozen);
    for (int p = 0; p < t->model->parameter_count; p++) {
        int owner = t->model->parameters[p].owner;
        if (owner > 0 && !stage->tasks[owner - 1]) frozen[p] = true; /* its task is not trained in this stage */
    }
    return freeze_unused_pooler(t, frozen);
}

berth_status phase_digest(const struct berth_trainer *t, int parameter, uint64_t *out) {
    float *values = NULL;
    size_t count = (size_t)t->model->parameters[parameter].count;
    if (t->device->backend->host_memory) {
        *out =
            berth_hash(t->model->values + t->model->parameters[parameter].offset, count * sizeof *values).low;
        return BERTH_OK;
    }
    BERTH_TRY(berth_calloc(&values, count, sizeof *values));
    berth_status status = berth_model_get(t->model, parameter, values);
    *out = berth_hash(values, count * sizeof *values).low;
    free(values);
    return status;
}

berth_status phase_check_digests(const struct berth_trainer *t) {
    for (int p = 0; p < t->model->parameter_count; p++) {
        uint64_t now = 0;
        if (t->store->trainable[p]) continue;
        BERTH_TRY(phase_digest(t, p, &now));
        if (now == t->digests[p]) continue;
        BERTH_FAIL(BERTH_E_NUMERIC, "step %lld: the frozen parameter '%s' has changed since it was frozen",
                   (long long)t->state.step, t->model->parameters[p].name);
    }
    return BERTH_OK;
}

void phase_frozen(const struct berth_trainer *t, int64_t *elements, char hex[33]) {
    *elements = 0;
    for (int p = 0; p < t->model->parameter_count; p++)
        if (!t->store->trainable[p]) *elements += t->model->parameters[p].count;
    berth_hash_hex(berth_hash(t->digests, (size_t)t->model->parameter_count * sizeof *t->digests), hex);
}

/* A head that keeps its values over an encoder that moves away from under it. */
static void warn_of_stranded_heads(const struct berth_trainer *t) {
    bool encoder_moves = false;
    for (int p = 0; p < t->model->parameter_count; p++)
        encoder_moves |= t->model->parameters[p].owner == 0 && t->store->trainable[p];
    for (int h = 0; encoder_moves && h < t->model->head_count; h++) {
        bool learns = false, has = false; /* a head may have no values of its own */
        for (int p = 0; p < t->model->parameter_count; p++) {
            if (t->model->parameters[p].owner != h + 1) continue;
            has = true;
            learns |= t->store->trainable[p];
        }
        if (has && !learns && stage_now(t)->tasks[h])
            berth_log(BERTH_LOG_WARN,
                      "step %lld: head '%s' is frozen while the encoder under it learns: its scores may fall",
                      (long long)t->state.step, t->task_names[h]);
    }
}

static berth_status build_store(struct berth_trainer *t) {
    struct berth_rule *rules = stage_now(t)->rules;
    task_walk_forget(t);
    for (int p = 0; p < t->model->parameter_count; p++)
        rules[p].frozen = t->frozen[p];
    if (t->store == NULL)
        BERTH_TRY(berth_store_create(&t->store, t->model, rules, &t->recipe.optimizer));
    else
        BERTH_TRY(berth_store_change(&t->store, rules));
    return BERTH_OK;
}

berth_status phase_update(struct berth_trainer *t) {
    size_t count = (size_t)t->model->parameter_count;
    bool same = t->store != NULL, all = true;
    BERTH_TRY(frozen_now(t, t->frozen));
    for (size_t p = 0; p < count; p++) {
        same &= t->store != NULL && t->store->trainable[p] == !t->frozen[p];
        all &= t->frozen[p];
    }
    if (same) return BERTH_OK;
    if (t->store != NULL) BERTH_TRY(phase_check_digests(t));
    BERTH_TRY(build_store(t));
    for (size_t p = 0; p < count; p++) {
        t->digests[p] = 0;
        if (t->frozen[p]) BERTH_TRY(phase_digest(t, (int)p, &t->digests[p]));
    }
    if (all) berth_log(BERTH_LOG_WARN, "every parameter is frozen: nothing will be learnt");
    warn_of_stranded_heads(t);
    return BERTH_OK;
}
