/* weight_uncertainty.c: homoscedastic uncertainty (Kendall et al., arXiv 1705.07115).
 *
 *     w = 1 / (2 exp(s)), r = s / 2        d/ds = share (1/2 - m / (2 exp(s))), so s tends to log m
 *
 * s is the logarithm of the variance, as LibMTL's UW has it: it starts at -0.5 and is learnt with the run's
 * optimizer. */
#include <math.h>

#include "train/weighting_priv.h"

static void weights(struct weighting *w, const struct weighting_step *step, double *out) {
    for (size_t i = 0; i < w->task_count; i++)
        out[i] = step->active[i] ? exp(-(double)w->host[i]) / 2.0 : 0.0;
}

static double term(double s) {
    return s / 2.0;
}

static void slopes(struct weighting *w, const struct weighting_step *step, double *out) {
    for (size_t i = 0; i < w->task_count; i++)
        out[i] = step->active[i] ? step->share[i] * (1.0 - step->task_loss[i] * exp(-(double)w->host[i])) / 2.0
                                 : 0.0;
}

const struct weighting_kind weighting_uncertainty = {.name = "uncertainty",
                                                     .keys = WEIGHTING_RATE,
                                                     .learns = true,
                                                     .first = -0.5,
                                                     .weights = weights,
                                                     .term = term,
                                                     .slopes = slopes};
