/* optim.cu: the optimizers over flat arrays, one pass each; formulas in optim.c. A thread a pack of eight:
 * AdamW moves 28 bytes a parameter. grad_scale is read on the device, so clipping needs no host round trip. */
#include "common.cuh"

struct adamw_args {
    float lr, beta1, beta2, eps, decay, rest1, rest2, per1, per2;
};

/* half: nullptr, or the parameters' copy in bf16 */
static __global__ void adamw_kernel(pack_grid g, float *p, bf16 *half, float *m, float *v, const float *grad,
                                    const float *grad_scale, adamw_args c) {
    const float scale = grad_scale[0];
    if (scale != scale) return;
    EACH_PACK (i, g) {
        const pack_place at = place_of(g, i);
        pack param, mean, square, d;
        load_any(param, p + at.at, at.n, g.wide);
        load_any(mean, m + at.at, at.n, g.wide);
        load_any(square, v + at.at, at.n, g.wide);
        load_any(d, grad + at.at, at.n, g.wide);
#pragma unroll
        for (int k = 0; k < PACK; k++) {
            const float x = scale * d.v[k];
            mean.v[k] = c.beta1 * mean.v[k] + c.rest1 * x;
            square.v[k] = c.beta2 * square.v[k] + c.rest2 * x * x;
            param.v[k] -=
                c.lr * (mean.v[k] * c.per1 / (sqrtf(square.v[k] * c.per2) + c.eps) + c.decay * param.v[k]);
        }
        store_any(p + at.at, param, at.n, g.wide);
        if (half != nullptr) store_any(half + at.at, param, at.n, g.wide);
        store_any(m + at.at, mean, at.n, g.wide);
        store_any(v + at.at, square, at.n, g.wide);
    }
}

static int adamw_half(float *p, void *half, float *m, float *v, const float *g, const float *grad_scale,
                      int64_t n, float lr, float beta1, float beta2, float eps, float decay, float correction1,
                      float correction2, berth_stream *stream) {
    const adamw_args c = {
        lr, beta1, beta2, eps, decay, 1.0f - beta1, 1.0f - beta2, 1.0f / correction1, 1.0f / correction2};
    const bool wide = wide_flat(p, m, v, g) && wide_flat(half);
    return launch_packs(adamw_kernel, flat_packs(n, wide), stream, p, (bf16 *)half, m, v, g, grad_scale, c);
}

static int adamw(float *p, float *m, float *v, const float *g, const float *grad_scale, int64_t n, float lr,
                 float beta1, float beta2, float eps, float decay, float correction1, float correction2,
                 berth_stream *stream) {
    return adamw_half(p, nullptr, m, v, g, grad_scale, n, lr, beta1, beta2, eps, decay, correction1,
                      correction2, stream);
}

/* own, ahead: what g' and the new m weigh in the step */
struct sgd_args {
    float lr, momentum, own, ahead, decay;
};

static __global__ void sgd_kernel(pack_grid g, float *p, float *m, const float *grad, const float *grad_scale,
                                  sgd_args c) {
    const float scale = grad_scale[0];
    if (scale != scale) return;
    EACH_PACK (i, g) {
        const pack_place at = place_of(g, i);
        pack param, mean, d;
        load_any(param, p + at.at, at.n, g.wide);
        load_any(mean, m + at.at, at.n, g.wide);
        load_any(d, grad + at.at, at.n, g.wide);
#pragma unroll
        for (int k = 0; k < PACK; k++) {
            const float x = scale * d.v[k] + c.decay * param.v[k];
            mean.v[k] = c.momentum * mean.v[k] + x;
            param.v[k] -= c.lr * (c.own * x + c.ahead * mean.v[k]);
        }
        store_any(p + at.at, param, at.n, g.wide);
        store_any(m + at.at, mean, at.n, g.wide);
    }
}

static int sgd(float *p, float *m, const float *g, const float *grad_scale, int64_t n, float lr, float momentum,
               int nesterov, float decay, berth_stream *stream) {
    const sgd_args c = {lr, momentum, nesterov ? 1.0f : 0.0f, nesterov ? momentum : 1.0f, decay};
    return launch_packs(sgd_kernel, flat_packs(n, wide_flat(p, m, g)), stream, p, m, g, grad_scale, c);
}

struct lion_args {
    float lr, beta1, beta2, decay;
};

static __global__ void lion_kernel(pack_grid g, float *p, float *m, const float *grad, const float *grad_scale,
                                   lion_args c) {
    const float scale = grad_scale[0];
    if (scale != scale) return;
    EACH_PACK (i, g) {
        const pack_place at = place_of(g, i);
        pack param, mean, d;
        load_any(param, p + at.at, at.n, g.wide);
        load_any(mean, m + at.at, at.n, g.wide);
        load_any(d, grad + at.at, at.n, g.wide);
#pragma unroll
        for (int k = 0; k < PACK; k++) {
            const float x = scale * d.v[k];
            const float ahead = c.beta1 * mean.v[k] + (1.0f - c.beta1) * x;
            const float sign = (ahead > 0.0f ? 1.0f : 0.0f) - (ahead < 0.0f ? 1.0f : 0.0f);
            mean.v[k] = c.beta2 * mean.v[k] + (1.0f - c.beta2) * x;
            param.v[k] -= c.lr * (sign + c.decay * param.v[k]);
        }
        store_any(p + at.at, param, at.n, g.wide);
        store_any(m + at.at, mean, at.n, g.wide);
    }
}

static int lion(float *p, float *m, const float *g, const float *grad_scale, int64_t n, float lr, float beta1,
                float beta2, float decay, berth_stream *stream) {
    const lion_args c = {lr, beta1, beta2, decay};
    return launch_packs(lion_kernel, flat_packs(n, wide_flat(p, m, g)), stream, p, m, g, grad_scale, c);
}

static __global__ void average_kernel(pack_grid g, float *e, const float *p, float rate) {
    EACH_PACK (i, g) {
        const pack_place at = place_of(g, i);
        pack mean, param;
        load_any(mean, e + at.at, at.n, g.wide);
        load_any(param, p + at.at, at.n, g.wide);
#pragma unroll
        for (int k = 0; k < PACK; k++)
            mean.v[k] += rate * (param.v[k] - mean.v[k]);
        store_any(e + at.at, mean, at.n, g.wide);
    }
}

static int average(float *e, const float *p, int64_t n, float rate, berth_stream *stream) {
    return launch_packs(average_kernel, flat_packs(n, wide_flat(e, p)), stream, e, p, rate);
}

/* Σ squares in their order, by one thread: there is one a group of parameters. */
static __global__ void clip_kernel(float *scale, double *norm, const double *squares, int64_t count,
                                   double most) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += squares[i];
    const double root = sqrt(sum), share = most > 0 ? most / (root + 1e-6) : 1.0;
    norm[0] = root;
    scale[0] = !(root < (double)INFINITY) ? nanf("") : share < 1.0 ? (float)share : 1.0f;
}

static int clip(float *scale, double *norm, const double *squares, int64_t count, double most,
                berth_stream *stream) {
    return launch(clip_kernel, dim3(1), dim3(1), 0, stream, scale, norm, squares, count, most);
}

BERTH_CUDA_TABLE(optim)(struct berth_ops *ops) {
    ops->adamw = adamw;
    ops->adamw_half = adamw_half;
    ops->clip = clip;
    ops->sgd = sgd;
    ops->lion = lion;
    ops->average = average;
}
