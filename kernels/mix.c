/* mix.c: one layer's part of a learnt mix of layers.
 *
 *     y = prior + g s[l] x,  s = softmax(w)           dx (+)= g s[l] dy
 *     dw[k] += g s[l] ([k = l] - s[k]) (dy·x)         dg += s[l] (dy·x)
 *
 * The product dy·x runs in chunks fixed by n, in double, added in order. */
#include <math.h>

#include "common.h"

#define PARTS 1024
#define PART_UNIT 4096

static double soften(const float *w, int64_t layers, int64_t layer) {
    double top = (double)w[0], sum = 0;
    for (int64_t k = 1; k < layers; k++)
        top = (double)w[k] > top ? (double)w[k] : top;
    for (int64_t k = 0; k < layers; k++)
        sum += exp((double)w[k] - top);
    return exp((double)w[layer] - top) / sum;
}

static int mix_forward(void *y, const void *prior, const void *x, const float *w, const float *gamma, int64_t n,
                       int64_t layers, int64_t layer, enum berth_dtype dtype, berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32) return BERTH_CPU_E_DTYPE;
    const float factor = (float)((double)gamma[0] * soften(w, layers, layer));
    const float *before = prior, *in = x;
    float *out = y;
    if (prior == NULL) {
#pragma omp parallel for simd schedule(static)
        for (int64_t i = 0; i < n; i++)
            out[i] = factor * in[i];
    } else {
#pragma omp parallel for simd schedule(static)
        for (int64_t i = 0; i < n; i++)
            out[i] = before[i] + factor * in[i];
    }
    return BERTH_CPU_OK;
}

static size_t mix_workspace(int64_t n) {
    (void)n;
    return PARTS * sizeof(double);
}

static double dot(double *parts, const float *a, const float *b, int64_t n) {
    const int64_t length = berth_max(PART_UNIT, berth_round_up((n + PARTS - 1) / PARTS, PART_UNIT));
    const int64_t count = (n + length - 1) / length;
#pragma omp parallel for schedule(static) if (count > 1)
    for (int64_t c = 0; c < count; c++) {
        const int64_t end = berth_min(n, (c + 1) * length);
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = c * length; i < end; i++)
            sum += (double)a[i] * (double)b[i];
        parts[c] = sum;
    }
    double total = 0;
    for (int64_t c = 0; c < count; c++)
        total += parts[c];
    return total;
}

static int mix_backward(void *dx, float *dw, float *dgamma, const void *dy, const void *x, const float *w,
                        const float *gamma, void *workspace, int64_t n, int64_t layers, int64_t layer,
                        int accumulate, enum berth_dtype dtype, berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32) return BERTH_CPU_E_DTYPE;
    const double share = soften(w, layers, layer);
    const float factor = (float)((double)gamma[0] * share), *g = dy;
    if (dw != NULL || dgamma != NULL) {
        const double product = dot(workspace, dy, x, n);
        for (int64_t k = 0; dw != NULL && k < layers; k++)
            dw[k] += (float)((double)gamma[0] * share * ((k == layer) - soften(w, layers, k)) * product);
        if (dgamma != NULL) dgamma[0] += (float)(share * product);
    }
    float *out = dx;
    if (dx == NULL) return BERTH_CPU_OK;
    if (accumulate) {
#pragma omp parallel for simd schedule(static)
        for (int64_t i = 0; i < n; i++)
            out[i] += factor * g[i];
    } else {
#pragma omp parallel for simd schedule(static)
        for (int64_t i = 0; i < n; i++)
            out[i] = factor * g[i];
    }
    return BERTH_CPU_OK;
}

void BERTH_CPU_TABLE(mix)(struct berth_ops *ops) {
    ops->mix_forward = mix_forward;
    ops->mix_workspace = mix_workspace;
    ops->mix_backward = mix_backward;
}
