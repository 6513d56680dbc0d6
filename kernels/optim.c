/* optim.c: AdamW (Loshchilov & Hutter, arXiv 1711.05101) in one pass over four flat arrays.
 *
 *     g' = grad_scale[0] g
 *     m  = b1 m + (1-b1) g'        v = b2 v + (1-b2) g'²
 *     p -= lr (m / c1 / (sqrt(v / c2) + eps) + decay p)
 *
 * 28 bytes move a parameter (read p m v g, write p m v), so memory sets the speed. Plain stores: streaming
 * stores were measured slower where the line was just read. */
#include <math.h>

#include "common.h"

#define CHUNK 4096 /* parameters of a work item; fixed, so the vector loop begins at the same places always */

struct coefficients {
    float lr, beta1, beta2, eps, decay;
    float rest1, rest2; /* 1 - beta */
    float per1, per2;   /* 1 / correction */
};

static void update(float *restrict p, float *restrict m, float *restrict v, const float *restrict g,
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

static int adamw(float *p, float *m, float *v, const float *g, const float *grad_scale, int64_t n, float lr,
                 float beta1, float beta2, float eps, float decay, float correction1, float correction2,
                 berth_stream *stream) {
    (void)stream;
    const struct coefficients c = {
        lr, beta1, beta2, eps, decay, 1.0f - beta1, 1.0f - beta2, 1.0f / correction1, 1.0f / correction2};
    const float scale = grad_scale[0];
#pragma omp parallel for schedule(static)
    for (int64_t first = 0; first < n; first += CHUNK)
        update(p + first, m + first, v + first, g + first, scale, berth_min(CHUNK, n - first), &c);
    return BERTH_CPU_OK;
}

void BERTH_CPU_TABLE(optim)(struct berth_ops *ops) {
    ops->adamw = adamw;
}
