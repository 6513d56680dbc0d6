/* optimizer.c: one step over the store's segments, and the optimizers, a row each.
 *
 *   norm   = sqrt(sum over the active segments of sum g^2)         each segment's sum in double on the device,
 *                                                                  added up here in the order of segments
 *   scale  = min(1, clip / (norm + 1e-6))
 *   t_p   += 1 for each parameter p of an active owner; adamw: c1 = 1 - b1^t_p, c2 = 1 - b2^t_p
 *
 * An owner is the backbone or one head. A head whose task is absent from a step is not touched: a moment that
 * decays without a gradient, or a decayed weight, would make a rare task's head shrink between its own steps.
 * Steps are counted a parameter: what thaws later begins its own count, as its moments begin with zeros.
 *
 * To add an optimizer: its operation (kernels/optim.c), a step function and a row here, its kind in train.h,
 * its word in train.optimizer (config_keys.c). */
#include <math.h>
#include <string.h>

#include "train/train_priv.h"

struct update { /* what a row gets */
    struct berth_device *dev;
    const struct berth_optimizer *o;
    float *p, *const *state;
    const float *g, *grad_scale;
    int64_t n;
    float lr, decay;
    double t; /* step count, this step included */
};

struct optimizer_row {
    const char *name;
    int states;
    berth_status (*step)(const struct update *u);
};

static berth_status step_adamw(const struct update *u) {
    const float correction1 = (float)(1.0 - pow(u->o->beta1, u->t)),
                correction2 = (float)(1.0 - pow(u->o->beta2, u->t));
    return BERTH_OP(u->dev, adamw(u->p, u->state[0], u->state[1], u->g, u->grad_scale, u->n, u->lr,
                                  (float)u->o->beta1, (float)u->o->beta2, (float)u->o->eps, u->decay,
                                  correction1, correction2, u->dev->stream));
}

static berth_status step_sgd(const struct update *u) {
    return BERTH_OP(u->dev, sgd(u->p, u->state[0], u->g, u->grad_scale, u->n, u->lr, (float)u->o->momentum,
                                u->o->nesterov, u->decay, u->dev->stream));
}

static berth_status step_lion(const struct update *u) {
    return BERTH_OP(u->dev, lion(u->p, u->state[0], u->g, u->grad_scale, u->n, u->lr, (float)u->o->beta1,
                                 (float)u->o->beta2, u->decay, u->dev->stream));
}

static const struct optimizer_row rows[BERTH_OPTIMIZER_COUNT] = {
    [BERTH_OPTIMIZER_ADAMW] = {"adamw", 2, step_adamw},
    [BERTH_OPTIMIZER_SGD] = {"sgd", 1, step_sgd},
    [BERTH_OPTIMIZER_LION] = {"lion", 1, step_lion},
};

berth_status optimizer_apply(struct berth_device *dev, const struct berth_optimizer *o, float *p,
                             float *const state[2], const float *g, const float *grad_scale, int64_t n,
                             double lr, double decay, int64_t t) {
    const struct update u = {
        .dev = dev,
        .o = o,
        .p = p,
        .state = state,
        .g = g,
        .grad_scale = grad_scale,
        .n = n,
        .lr = (float)lr,
        .decay = (float)decay,
        .t = (double)t,
    };
    return rows[o->kind].step(&u);
}

const char *berth_optimizer_name(enum berth_optimizer_kind kind) {
    BERTH_ASSERT(kind < BERTH_OPTIMIZER_COUNT);
    return rows[kind].name;
}

enum berth_optimizer_kind berth_optimizer_find(const char *name) {
    int kind = 0;
    while (kind < BERTH_OPTIMIZER_COUNT && strcmp(rows[kind].name, name) != 0)
        kind++;
    return (enum berth_optimizer_kind)kind;
}

int berth_optimizer_states(enum berth_optimizer_kind kind) {
    BERTH_ASSERT(kind < BERTH_OPTIMIZER_COUNT);
    return rows[kind].states;
}

/* Norm and factor of all gradients, computed by the device: the host does not wait for them before the update.
 */
static berth_status clip_gradients(struct berth_store *s, const bool *active_owner) {
    struct berth_device *dev = s->model->device;
    int64_t count = 0;
    for (int i = 0; i < s->segment_count; i++) {
        const struct berth_segment *g = &s->segments[i];
        if (!active_owner[g->owner]) continue;
        BERTH_TRY(
            BERTH_OP(dev, sum_squares(s->squares + count++, s->grads + g->grad_offset, g->count, dev->stream)));
    }
    return BERTH_OP(dev, clip(s->grad_scale, s->squares + s->model->parameter_count, s->squares, count,
                              s->optimizer.clip_norm, dev->stream));
}

/* A norm that is not finite is known here when the update is over; with it the update has changed nothing. */
berth_status berth_store_step(struct berth_store *s, double factor, const bool *active_owner,
                              double *grad_norm) {
    struct berth_device *dev = s->model->device;
    BERTH_TRY(clip_gradients(s, active_owner));
    for (int i = 0; i < s->segment_count; i++) {
        const struct berth_segment *g = &s->segments[i];
        if (!active_owner[g->owner]) continue;
        float *const state[2] = {s->state[0] + g->grad_offset,
                                 s->state[1] != NULL ? s->state[1] + g->grad_offset : NULL};
        BERTH_TRY(optimizer_apply(dev, &s->optimizer, s->model->values + g->value_offset, state,
                                  s->grads + g->grad_offset, s->grad_scale, g->count, g->lr * factor,
                                  g->weight_decay, s->steps[g->first] + 1));
    }
    BERTH_TRY(berth_device_download(dev, grad_norm, s->squares + s->model->parameter_count, sizeof *grad_norm));
    if (!isfinite(*grad_norm)) BERTH_FAIL(BERTH_E_NUMERIC, "the gradient's norm is %g", *grad_norm);
    for (int i = 0; i < s->segment_count; i++) {
        const struct berth_segment *g = &s->segments[i];
        for (int p = g->first; active_owner[g->owner] && p < g->first + g->parameter_count; p++)
            s->steps[p]++;
    }
    return BERTH_OK;
}

berth_status berth_store_average(struct berth_store *s, int64_t steps_before) {
    struct berth_device *dev = s->model->device;
    if (s->average == NULL) return BERTH_OK;
    double early = (1.0 + (double)steps_before) / (10.0 + (double)steps_before);
    float rate = (float)(1.0 - (early < s->optimizer.ema ? early : s->optimizer.ema));
    for (int i = 0; i < s->segment_count; i++) {
        const struct berth_segment *g = &s->segments[i];
        BERTH_TRY(BERTH_OP(dev, average(s->average + g->value_offset, s->model->values + g->value_offset,
                                        g->count, rate, dev->stream)));
    }
    return BERTH_OK;
}
