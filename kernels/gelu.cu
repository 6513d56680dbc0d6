/* gelu.cu: activations with the bias of the layer before; formulas in gelu.c.
 *
 * Memory moves 8 (fp32) or 4 (bf16) bytes an element forward, so the arithmetic must stay near 30 instructions
 * an element: Φ comes from its tail, a polynomial of degree 9 and one exponential, as on the CPU, not from erf.
 * The kind is the same for all threads, so its branch costs nothing. A thread a pack of eight. */
#include "common.cuh"

/* Φ(-z) e^(z²/2) for z >= 0; see berth_normal_tail in common.h. */
static __device__ __forceinline__ float normal_tail(float z) {
    const float t = 1.0f / (0.28f * z + 1.0f);
    float q = 2.27908839e-2f;
    q = q * t - 8.33633641e-2f;
    q = q * t + 6.97768307e-2f;
    q = q * t + 2.08438413e-2f;
    q = q * t + 5.32614478e-2f;
    q = q * t + 9.20777794e-2f;
    q = q * t + 1.00930522e-1f;
    q = q * t + 1.11994819e-1f;
    q = q * t + 1.11687266e-1f;
    return q * t;
}

static __device__ __forceinline__ float gelu(float x) {
    const float tail = normal_tail(fabsf(x)) * expf(-0.5f * x * x);
    return x * (x < 0.0f ? tail : 1.0f - tail);
}

static __device__ __forceinline__ float gelu_slope(float x) {
    const float e = expf(-0.5f * x * x), tail = normal_tail(fabsf(x)) * e;
    return (x < 0.0f ? tail : 1.0f - tail) + x * (0.398942280f * e);
}

static __device__ __forceinline__ float gelu_tanh(float x) {
    return 0.5f * x * (1.0f + tanhf(0.797884561f * (x + 0.044715f * x * x * x)));
}

static __device__ __forceinline__ float gelu_tanh_slope(float x) {
    const float t = tanhf(0.797884561f * (x + 0.044715f * x * x * x));
    const float inner = 0.797884561f * (1.0f + 0.134145f * x * x);
    return 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * inner;
}

static __device__ __forceinline__ float silu_slope(float x) {
    const float s = 1.0f / (1.0f + expf(-x));
    return s * (1.0f + x * (1.0f - s));
}

static __device__ __forceinline__ void activate(pack &p, enum berth_activation kind) {
#pragma unroll
    for (int i = 0; i < PACK; i++) {
        const float x = p.v[i];
        switch (kind) {
        case BERTH_ACT_NONE:
            break;
        case BERTH_ACT_GELU:
            p.v[i] = gelu(x);
            break;
        case BERTH_ACT_GELU_TANH:
            p.v[i] = gelu_tanh(x);
            break;
        case BERTH_ACT_RELU:
            p.v[i] = x > 0.0f ? x : 0.0f * x; /* keeps NaN */
            break;
        case BERTH_ACT_SILU:
            p.v[i] = x / (1.0f + expf(-x));
            break;
        case BERTH_ACT_TANH:
            p.v[i] = tanhf(x);
            break;
        }
    }
}

static __device__ __forceinline__ void multiply_slope(pack &d, const pack &p, enum berth_activation kind) {
#pragma unroll
    for (int i = 0; i < PACK; i++) {
        const float x = p.v[i];
        switch (kind) {
        case BERTH_ACT_NONE:
            break;
        case BERTH_ACT_GELU:
            d.v[i] *= gelu_slope(x);
            break;
        case BERTH_ACT_GELU_TANH:
            d.v[i] *= gelu_tanh_slope(x);
            break;
        case BERTH_ACT_RELU:
            d.v[i] *= x > 0.0f ? 1.0f : 0.0f;
            break;
        case BERTH_ACT_SILU:
            d.v[i] *= silu_slope(x);
            break;
        case BERTH_ACT_TANH:
            d.v[i] *= 1.0f - tanhf(x) * tanhf(x);
            break;
        }
    }
}

static __device__ __forceinline__ void add_bias(pack &p, const float *bias, const pack_place &at, bool wide) {
    pack b;
    load_any(b, bias + at.column, at.n, wide);
#pragma unroll
    for (int i = 0; i < PACK; i++)
        p.v[i] += b.v[i];
}

template <class T>
static __global__ void act_forward_kernel(pack_grid g, T *y, const T *x, const float *bias,
                                          enum berth_activation kind) {
    EACH_PACK (i, g) {
        const pack_place at = place_of(g, i);
        pack p;
        load_any(p, x + at.at, at.n, g.wide);
        if (bias != nullptr) add_bias(p, bias, at, g.wide);
        activate(p, kind);
        store_any(y + at.at, p, at.n, g.wide);
    }
}

template <class T>
static __global__ void act_backward_kernel(pack_grid g, T *dx, const T *dy, const T *x, const float *bias,
                                           enum berth_activation kind) {
    EACH_PACK (i, g) {
        const pack_place at = place_of(g, i);
        pack p, d;
        load_any(p, x + at.at, at.n, g.wide);
        load_any(d, dy + at.at, at.n, g.wide);
        if (bias != nullptr) add_bias(p, bias, at, g.wide);
        multiply_slope(d, p, kind);
        store_any(dx + at.at, d, at.n, g.wide);
    }
}

/* Without a bias rows do not matter. */
static pack_grid packs_of(int64_t rows, int64_t columns, const float *bias, bool wide, bool flat_wide) {
    return bias == nullptr ? flat_packs(rows * columns, flat_wide) : row_packs(rows, columns, wide);
}

static int act_forward(void *y, const void *x, const float *bias, int64_t rows, int64_t columns,
                       enum berth_activation kind, enum berth_dtype dtype, berth_stream *stream) {
    const pack_grid g = packs_of(rows, columns, bias, wide_rows(columns, y, x, bias), wide_flat(y, x));
    if (dtype == BERTH_F32)
        return launch_packs(act_forward_kernel<float>, g, stream, (float *)y, (const float *)x, bias, kind);
    if (dtype != BERTH_BF16) return BERTH_CUDA_E_DTYPE;
    return launch_packs(act_forward_kernel<bf16>, g, stream, (bf16 *)y, (const bf16 *)x, bias, kind);
}

static int act_backward(void *dx, const void *dy, const void *x, const float *bias, int64_t rows,
                        int64_t columns, enum berth_activation kind, enum berth_dtype dtype,
                        berth_stream *stream) {
    const pack_grid g =
        packs_of(rows, columns, bias, wide_rows(columns, dx, dy, x, bias), wide_flat(dx, dy, x));
    if (dtype == BERTH_F32)
        return launch_packs(act_backward_kernel<float>, g, stream, (float *)dx, (const float *)dy,
                            (const float *)x, bias, kind);
    if (dtype != BERTH_BF16) return BERTH_CUDA_E_DTYPE;
    return launch_packs(act_backward_kernel<bf16>, g, stream, (bf16 *)dx, (const bf16 *)dy, (const bf16 *)x,
                        bias, kind);
}

BERTH_CUDA_TABLE(gelu)(struct berth_ops *ops) {
    ops->act_forward = act_forward;
    ops->act_backward = act_backward;
}
