/* weighting.c: the factor of each task's loss in a step: sum over tasks of share_t (w_t m_t + r_t).
 *
 *     fixed         w = tasks.NAME.weight, r = 0
 *     equal         w = 1, r = 0
 *     uncertainty   w = 1 / (2 exp(s_t)), r = s_t / 2      Kendall et al., arXiv 1705.07115, with s the
 * logarithm of the variance, as LibMTL's UW has it: s starts at -0.5 and is learnt with the run's optimizer;
 *                   d/ds = share_t (1/2 - m_t / (2 exp(s_t))), so s tends to log m_t
 *
 * To add a method: its functions and a row in `kinds`, and its word in the choices of weighting.method
 * (config_keys.c). What a method learns is one value a task, in device memory with optimizer state like any
 * parameter; the part "weighting" of a checkpoint holds it (state_parts.c). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/train_priv.h"

static void fixed_weights(const struct weighting *w, const struct weighting_step *step, double *out) {
    for (size_t i = 0; i < w->task_count; i++)
        out[i] = step->active[i] ? w->fixed[i] : 0.0;
}

static void equal_weights(const struct weighting *w, const struct weighting_step *step, double *out) {
    for (size_t i = 0; i < w->task_count; i++)
        out[i] = step->active[i] ? 1.0 : 0.0;
}

static void uncertainty_weights(const struct weighting *w, const struct weighting_step *step, double *out) {
    for (size_t i = 0; i < w->task_count; i++)
        out[i] = step->active[i] ? exp(-(double)w->host[i]) / 2.0 : 0.0;
}

static double uncertainty_term(double s) {
    return s / 2.0;
}

static double uncertainty_slope(double s, double task_loss) {
    return (1.0 - task_loss * exp(-s)) / 2.0;
}

static const struct weighting_kind kinds[] = {
    {.name = "fixed", .takes_fixed = true, .weights = fixed_weights},
    {.name = "equal", .weights = equal_weights},
    {.name = "uncertainty",
     .learns = true,
     .first = -0.5,
     .weights = uncertainty_weights,
     .term = uncertainty_term,
     .slope = uncertainty_slope},
};

static berth_status make_learnt(struct weighting *w) {
    size_t bytes = w->task_count * sizeof(float);
    const float one = 1.0f;
    BERTH_TRY(berth_calloc(&w->host, w->task_count, sizeof *w->host));
    BERTH_TRY(berth_calloc(&w->steps, w->task_count, sizeof *w->steps));
    float **buffers[] = {&w->values, &w->gradients, &w->state[0], &w->state[1]};
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++) {
        BERTH_TRY(berth_device_alloc(w->device, buffers[i], bytes));
        BERTH_TRY(berth_device_zero(w->device, *buffers[i], bytes));
    }
    BERTH_TRY(berth_device_alloc(w->device, &w->one, sizeof one));
    BERTH_TRY(berth_device_upload(w->device, w->one, &one, sizeof one));
    for (size_t i = 0; i < w->task_count; i++)
        w->host[i] = (float)w->kind->first;
    return berth_device_upload(w->device, w->values, w->host, bytes);
}

berth_status weighting_init(struct weighting *w, const struct berth_config *c,
                            const struct berth_optimizer *optimizer, struct berth_device *dev) {
    const char *method = berth_config_string(c, "weighting.method");
    memset(w, 0, sizeof *w);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i].name, method) == 0) w->kind = &kinds[i];
    }
    BERTH_ASSERT_MSG(w->kind != NULL, "weighting.method '%s' has no row", method);
    w->optimizer = *optimizer;
    w->device = dev;
    w->lr = berth_config_number(c, "weighting.rate");
    w->task_count = berth_config_count(c, "tasks");
    BERTH_TRY(berth_calloc(&w->fixed, w->task_count, sizeof *w->fixed));
    for (size_t i = 0; i < w->task_count; i++) {
        char path[128];
        snprintf(path, sizeof path, "tasks.%s.weight", berth_config_name(c, "tasks", i));
        w->fixed[i] = berth_config_number(c, path);
        if (w->fixed[i] != 1.0 && !w->kind->takes_fixed)
            return berth_config_fail(c, path, "%g: weights belong to weighting.method fixed; '%s' sets its own",
                                     w->fixed[i], method);
    }
    return w->kind->learns ? make_learnt(w) : BERTH_OK;
}

void weighting_deinit(struct weighting *w) {
    size_t bytes = w->task_count * sizeof(float);
    float *buffers[] = {w->values, w->gradients, w->state[0], w->state[1]};
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++)
        if (buffers[i] != NULL) berth_device_free(w->device, buffers[i], bytes);
    if (w->one != NULL) berth_device_free(w->device, w->one, sizeof *w->one);
    free(w->fixed);
    free(w->host);
    free(w->steps);
    memset(w, 0, sizeof *w);
}

double weighting_terms(const struct weighting *w, const struct weighting_step *step) {
    double sum = 0;
    for (size_t i = 0; w->kind->learns && i < w->task_count; i++)
        if (step->active[i]) sum += step->share[i] * w->kind->term((double)w->host[i]);
    return sum;
}

berth_status weighting_learn(struct weighting *w, const struct weighting_step *step, double factor) {
    size_t bytes = w->task_count * sizeof(float);
    if (!w->kind->learns) return BERTH_OK;
    for (size_t i = 0; i < w->task_count; i++) {
        double slope = step->active[i] ? w->kind->slope((double)w->host[i], step->task_loss[i]) : 0.0;
        w->host[i] = (float)(step->active[i] ? step->share[i] * slope : 0.0); /* the values come back below */
    }
    BERTH_TRY(berth_device_upload(w->device, w->gradients, w->host, bytes));
    for (size_t i = 0; i < w->task_count; i++) {
        if (!step->active[i]) continue;
        float *const state[2] = {w->state[0] + i, w->state[1] + i};
        BERTH_TRY(optimizer_apply(w->device, &w->optimizer, w->values + i, state, w->gradients + i, w->one, 1,
                                  w->lr * factor, 0.0, ++w->steps[i]));
    }
    return weighting_restored(w);
}

berth_status weighting_restored(struct weighting *w) {
    if (!w->kind->learns) return BERTH_OK;
    return berth_device_download(w->device, w->host, w->values, w->task_count * sizeof(float));
}
