/* weight_gradnorm.c: GradNorm (Chen et al., arXiv 1711.02257): tasks that learn slowly pull harder.
 *
 *     G_k = |∇ share_k w_k m_k|, mean Ḡ          over the tasks of the step
 *     r_k = (m_k / m_k(0)) / mean of these       m_k(0): of the first step that held the task
 *     d/dw_k |G_k - Ḡ r_k^α| = ±G_k / w_k        Ḡ r_k^α is taken as a constant
 *
 * w starts at 1 and is learnt with the run's optimizer at weighting.rate; then all are scaled so that they sum
 * up to the number of tasks. The gradient is by the shared parameters or by the shared representation
 * (weighting.gradients); α is weighting.alpha. A weight never falls below LEAST, from where a task that has
 * lost its pull comes back.
 *
 * Memory: m_k(0) a task, 0: not met yet. */
#include <math.h>

#include "train/weighting_priv.h"

#define LEAST 1e-3f

static void weights(struct weighting *w, const struct weighting_step *step, double *out) {
    for (size_t i = 0; i < w->task_count; i++)
        out[i] = step->active[i] ? (double)w->host[i] : 0.0;
}

static double norm(const struct weighting *w, const struct weighting_step *step, size_t i) {
    return sqrt(step->gram[i * w->task_count + i]);
}

static double relative_loss(const struct weighting *w, const struct weighting_step *step, size_t i) {
    const double first = w->memory[i];
    return first > 0 ? step->task_loss[i] / first : 1.0;
}

static void slopes(struct weighting *w, const struct weighting_step *step, double *out) {
    double mean_norm = 0, mean_loss = 0, count = 0;
    for (size_t i = 0; i < w->task_count; i++) {
        if (!step->active[i]) continue;
        mean_norm += norm(w, step, i);
        mean_loss += relative_loss(w, step, i);
        count += 1;
    }
    for (size_t i = 0; i < w->task_count; i++) {
        out[i] = 0;
        if (!step->active[i] || !(mean_loss > 0)) continue;
        const double g = norm(w, step, i), rate = relative_loss(w, step, i) * count / mean_loss;
        const double off = g - mean_norm / count * pow(rate, w->alpha);
        out[i] = (off > 0 ? 1.0 : off < 0 ? -1.0 : 0.0) * g / (double)w->host[i];
    }
}

static void settle(struct weighting *w, float *values) {
    double sum = 0;
    for (size_t i = 0; i < w->task_count; i++) {
        if (!w->trained[i]) continue;
        if (!(values[i] > LEAST)) values[i] = LEAST;
        sum += (double)values[i];
    }
    for (size_t i = 0; i < w->task_count; i++)
        if (w->trained[i]) values[i] = (float)((double)values[i] * w->trained_count / sum);
}

static void remember(struct weighting *w, const struct weighting_step *step) {
    for (size_t i = 0; i < w->task_count; i++)
        if (step->active[i] && !(w->memory[i] > 0)) w->memory[i] = step->task_loss[i];
}

const struct weighting_kind weighting_gradnorm = {.name = "gradnorm",
                                                  .keys =
                                                      WEIGHTING_RATE | WEIGHTING_GRADIENTS | WEIGHTING_ALPHA,
                                                  .learns = true,
                                                  .first = 1.0,
                                                  .gradients = true,
                                                  .memory_a_task = 1,
                                                  .weights = weights,
                                                  .slopes = slopes,
                                                  .settle = settle,
                                                  .remember = remember};
