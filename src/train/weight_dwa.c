/* weight_dwa.c: dynamic weight average (Liu et al., arXiv 1803.10704, section 3.2).
 *
 *     w_k = K exp(r_k / T) / Σ_i exp(r_i / T),    r_k = L_k(n-1) / L_k(n-2)
 *
 * L_k(n) is the mean of task k's loss over the steps of window n that held it: a window is an epoch, or
 * weighting.window steps. T is weighting.temperature, K the number of tasks that are trained. w = 1 through the
 * first two windows; r_k = 1 for a task that was not met in two of them yet.
 *
 * Memory: the window at hand; a task: sum and number of its losses there, its mean of the last window that held
 * it and of the one before (0: none). */
#include <math.h>

#include "train/weighting_priv.h"

enum { WINDOW, HEAD };
enum { SUM, COUNT, LAST, BEFORE, FIELDS };

static double *of_task(struct weighting *w, size_t task) {
    return w->memory + HEAD + FIELDS * task;
}

static void close_window(struct weighting *w) {
    for (size_t i = 0; i < w->task_count; i++) {
        double *m = of_task(w, i);
        if (m[COUNT] > 0) {
            m[BEFORE] = m[LAST];
            m[LAST] = m[SUM] / m[COUNT];
        }
        m[SUM] = m[COUNT] = 0;
    }
}

static void weights(struct weighting *w, const struct weighting_step *step, double *out) {
    const double window = (double)(w->window > 0 ? step->step / w->window : step->epoch);
    double sum = 0, most = 0;
    if (window != w->memory[WINDOW]) close_window(w);
    w->memory[WINDOW] = window;
    for (size_t i = 0; i < w->task_count; i++) {
        const double *m = of_task(w, i);
        w->scratch[i] = (m[BEFORE] > 0 ? m[LAST] / m[BEFORE] : 1.0) / w->temperature;
        if (w->trained[i] && w->scratch[i] > most) most = w->scratch[i];
    }
    for (size_t i = 0; i < w->task_count; i++) {
        w->scratch[i] = w->trained[i] ? exp(w->scratch[i] - most) : 0; /* at most 1: no overflow */
        sum += w->scratch[i];
    }
    for (size_t i = 0; i < w->task_count; i++)
        out[i] = step->active[i] ? w->trained_count * w->scratch[i] / sum : 0.0;
}

static void remember(struct weighting *w, const struct weighting_step *step) {
    for (size_t i = 0; i < w->task_count; i++) {
        if (!step->active[i]) continue;
        of_task(w, i)[SUM] += step->task_loss[i];
        of_task(w, i)[COUNT] += 1;
    }
}

const struct weighting_kind weighting_dwa = {.name = "dwa",
                                             .keys = WEIGHTING_TEMPERATURE | WEIGHTING_WINDOW,
                                             .memory = HEAD,
                                             .memory_a_task = FIELDS,
                                             .weights = weights,
                                             .remember = remember};
