/* optim.c: what is done to parameters, in one pass over flat arrays.
 *
 *     adamw    (Loshchilov & Hutter, arXiv 1711.05101)      28 bytes move a parameter: read p m v g, write p m
 * v g' = grad_scale[0] g m  = b1 m + (1-b1) g'        v = b2 v + (1-b2) g'² p -= lr (m / c1 / (sqrt(v / c2) +
 * eps) + decay p) sgd      g' = grad_scale[0] g + decay p,  m = mu m + g',  p -= lr (nesterov ? g' + mu m : m)
 * 20 bytes lion     (Chen et al., arXiv 2302.06675)                                                          20
 * bytes p -= lr (sign(b1 m + (1-b1) g') + decay p),  m = b2 m + (1-b2) g' average  e += rate (p - e) 12 bytes
 *
 * Memory sets the speed. Plain stores: streaming stores were measured slower where the line was just read. */
#include <math.h>

#include "common.h"

#define CHUNK 4096 /* parameters of a work item; fixed, so the vector loop begins at the same places always */

struct coefficients {
    float lr, beta1, beta2, eps, decay;
    float rest1, rest2; /* 1 - beta */
    float per1, per2;   /* 1 / correction */
};

static void adamw_update(float *restrict p, float *restrict m, float *restrict v, const float *restrict g,
                         float grad_scale, int64_t n, const struct coefficients *coefficients) {
    const struct coefficients c = *coefficients;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const float grad = grad_scale * g[i];
        const float mean = c.beta1 * m[i] + c.rest1 * grad;
        const float square = c.beta2 * v[i] + c.rest2 * grad * grad;
        m[i] = mean;
        v[i] = square;
        p[i] -= c.lr * (mean * c.per1 / (sqrtf(square * c.per2) + c.eps) + c.decay * p[i]);
    }
}

static int adamw_half(float *p, void *half, float *m, float *v, const float *g, const float *grad_scale,
                      int64_t n, float lr, float beta1, float beta2, float eps, float decay, float correction1,
                      float correction2, berth_stream *stream) {
    (void)stream;
    const struct coefficients c = {
        lr, beta1, beta2, eps, decay, 1.0f - beta1, 1.0f - beta2, 1.0f / correction1, 1.0f / correction2};
    const float scale = grad_scale[0];
    if (isnan(scale)) return BERTH_CPU_OK;
#pragma omp parallel for schedule(static)
    for (int64_t first = 0; first < n; first += CHUNK) {
        const int64_t count = berth_min(CHUNK, n - first);
        adamw_update(p + first, m + first, v + first, g + first, scale, count, &c);
        for (int64_t i = first; half != NULL && i < first + count; i++)
            berth_put(half, i, p[i], 1);
    }
    return BERTH_CPU_OK;
}

static int adamw(float *p, float *m, float *v, const float *g, const float *grad_scale, int64_t n, float lr,
                 float beta1, float beta2, float eps, float decay, float correction1, float correction2,
                 berth_stream *stream) {
    return adamw_half(p, NULL, m, v, g, grad_scale, n, lr, beta1, beta2, eps, decay, correction1, correction2,
                      stream);
}

/* own, ahead: what g' and the new m weigh in the step: 0, 1; with nesterov 1, momentum. */
static void sgd_update(float *restrict p, float *restrict m, const float *restrict g, float grad_scale,
                       int64_t n, float lr, float momentum, float own, float ahead, float decay) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const float grad = grad_scale * g[i] + decay * p[i];
        const float mean = momentum * m[i] + grad;
        m[i] = mean;
        p[i] -= lr * (own * grad + ahead * mean);
    }
}

static int sgd(float *p, float *m, const float *g, const float *grad_scale, int64_t n, float lr, float momentum,
               int nesterov, float decay, berth_stream *stream) {
    (void)stream;
    const float scale = grad_scale[0], own = nesterov ? 1.0f : 0.0f, ahead = nesterov ? momentum : 1.0f;
    if (isnan(scale)) return BERTH_CPU_OK;
#pragma omp parallel for schedule(static)
    for (int64_t first = 0; first < n; first += CHUNK)
        sgd_update(p + first, m + first, g + first, scale, berth_min(CHUNK, n - first), lr, momentum, own,
                   ahead, decay);
    return BERTH_CPU_OK;
}

static void lion_update(float *restrict p, float *restrict m, const float *restrict g, float grad_scale,
                        int64_t n, float lr, float beta1, float beta2, float decay) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const float grad = grad_scale * g[i];
        const float ahead = beta1 * m[i] + (1.0f - beta1) * grad;
        const float sign = (ahead > 0.0f ? 1.0f : 0.0f) - (ahead < 0.0f ? 1.0f : 0.0f);
        m[i] = beta2 * m[i] + (1.0f - beta2) * grad;
        p[i] -= lr * (sign + decay * p[i]);
    }
}

static int lion(float *p, float *m, const float *g, const float *grad_scale, int64_t n, float lr, float beta1,
                float beta2, float decay, berth_stream *stream) {
    (void)stream;
    const float scale = grad_scale[0];
    if (isnan(scale)) return BERTH_CPU_OK;
#pragma omp parallel for schedule(static)
    for (int64_t first = 0; first < n; first += CHUNK)
        lion_update(p + first, m + first, g + first, scale, berth_min(CHUNK, n - first), lr, beta1, beta2,
                    decay);
    return BERTH_CPU_OK;
}

static void average_update(float *restrict e, const float *restrict p, int64_t n, float rate) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        e[i] += rate * (p[i] - e[i]);
}

static int average(float *e, const float *p, int64_t n, float rate, berth_stream *stream) {
    (void)stream;
#pragma omp parallel for schedule(static)
    for (int64_t first = 0; first < n; first += CHUNK)
        average_update(e + first, p + first, berth_min(CHUNK, n - first), rate);
    return BERTH_CPU_OK;
}

static int clip(float *scale, double *norm, const double *squares, int64_t count, double most,
                berth_stream *stream) {
    (void)stream;
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += squares[i];
    const double root = sqrt(sum), share = most > 0 ? most / (root + 1e-6) : 1.0;
    norm[0] = root;
    scale[0] = !isfinite(root) ? NAN : share < 1.0 ? (float)share : 1.0f;
    return BERTH_CPU_OK;
}

void BERTH_CPU_TABLE(optim)(struct berth_ops *ops) {
    ops->adamw = adamw;
    ops->adamw_half = adamw_half;
    ops->clip = clip;
    ops->sgd = sgd;
    ops->lion = lion;
    ops->average = average;
}
