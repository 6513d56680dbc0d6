/* weight_pcgrad.c: projecting conflicting gradients (Yu et al., arXiv 2001.06782).
 *
 *     for each task i:   p = g_i
 *         for the other tasks j in random order:   where p·g_j < 0:   p -= (p·g_j / g_j·g_j) g_j
 *     gradient of the shared parameters = Σ_i p_i
 *
 * p stays a sum Σ_k a_k g_k, so p·g_j = Σ_k a_k gram[k, j]: all of it is done with the K x K products of the
 * gradients. What is not shared keeps the gradient of the sum of losses, whose weights are 1. */
#include "train/weighting_priv.h"

static void weights(struct weighting *w, const struct weighting_step *step, double *out) {
    for (size_t i = 0; i < w->task_count; i++)
        out[i] = step->active[i] ? 1.0 : 0.0;
}

/* a: coefficients of a projected gradient; order: of the other tasks. */
static void project(const struct weighting *w, const double *gram, const int64_t *order, size_t others,
                    double *a) {
    const size_t n = w->task_count;
    for (size_t k = 0; k < others; k++) {
        const size_t j = (size_t)order[k];
        const double own = gram[j * n + j];
        double product = 0;
        for (size_t l = 0; l < n; l++)
            product += a[l] * gram[l * n + j];
        if (product < 0 && own > 0) a[j] -= product / own;
    }
}

static void combine(struct weighting *w, const struct weighting_step *step, double *out) {
    const size_t n = w->task_count;
    double *a = w->scratch;
    for (size_t i = 0; i < n; i++)
        out[i] = 0;
    for (size_t i = 0; i < n; i++) {
        size_t others = 0;
        if (!step->active[i]) continue;
        for (size_t j = 0; j < n; j++) {
            a[j] = j == i;
            if (j != i && step->active[j]) w->order[others++] = (int64_t)j;
        }
        berth_random_permute(step->seed + i * UINT64_C(0x9E3779B97F4A7C15), BERTH_PURPOSE_WEIGHTING,
                             step->run_step, w->order, others);
        project(w, step->gram, w->order, others, a);
        for (size_t k = 0; k < n; k++)
            out[k] += a[k];
    }
}

const struct weighting_kind weighting_pcgrad = {
    .name = "pcgrad", .keys = WEIGHTING_GRADIENTS, .gradients = true, .weights = weights, .combine = combine};
