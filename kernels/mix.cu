/* mix.cu: one layer's part of a learnt mix of layers; formulas in mix.c. The factor gamma softmax(w)[layer] is
 * computed once, by one thread, into the stream's scratch. */
#include "flat_sums.cuh"

struct mix_args {
    const float *w, *gamma;
    int layers, layer;
};

static __device__ __forceinline__ double share_of(const mix_args &a, int layer) {
    double top = (double)a.w[0], sum = 0;
    for (int k = 1; k < a.layers; k++)
        top = fmax(top, (double)a.w[k]);
    for (int k = 0; k < a.layers; k++)
        sum += exp((double)a.w[k] - top);
    return exp((double)a.w[layer] - top) / sum;
}

static __global__ void mix_factor_kernel(double *factor, mix_args a) {
    factor[0] = (double)a.gamma[0] * share_of(a, a.layer);
}

/* y = prior + factor x; prior NULL: 0 */
template <class T>
static __global__ void mix_add_kernel(pack_grid g, T *y, const T *prior, const T *x, const double *factor) {
    const float f = (float)factor[0];
    EACH_PACK (i, g) {
        const pack_place at = place_of(g, i);
        pack p, q;
        load_any(p, x + at.at, at.n, g.wide);
        if (prior != nullptr) load_any(q, prior + at.at, at.n, g.wide);
#pragma unroll
        for (int k = 0; k < PACK; k++)
            p.v[k] = prior == nullptr ? f * p.v[k] : q.v[k] + f * p.v[k];
        store_any(y + at.at, p, at.n, g.wide);
    }
}

template <class T>
static int add_scaled(void *y, const void *prior, const void *x, const double *factor, int64_t n,
                      berth_stream *stream) {
    return launch_packs(mix_add_kernel<T>, flat_packs(n, wide_flat(y, prior, x)), stream, (T *)y,
                        (const T *)prior, (const T *)x, factor);
}

static int mix_forward(void *y, const void *prior, const void *x, const float *w, const float *gamma, int64_t n,
                       int64_t layers, int64_t layer, enum berth_dtype dtype, berth_stream *stream) {
    const mix_args a = {w, gamma, (int)layers, (int)layer};
    double *factor = scratch_of(stream);
    if (dtype != BERTH_F32 && dtype != BERTH_BF16) return BERTH_CUDA_E_DTYPE;
    const int error = launch(mix_factor_kernel, dim3(1), dim3(1), 0, stream, factor, a);
    if (error != 0) return error;
    return dtype == BERTH_F32 ? add_scaled<float>(y, prior, x, factor, n, stream)
                              : add_scaled<bf16>(y, prior, x, factor, n, stream);
}

static size_t mix_workspace(int64_t n) {
    (void)n;
    return PARTS * sizeof(double);
}

template <class T>
static __global__ void mix_dot_kernel(double *parts, const T *x, const T *y, int64_t n, int64_t length,
                                      bool wide) {
    dot_part(parts, x, y, n, length, wide);
}

static __global__ void mix_slopes_kernel(float *dw, float *dgamma, const double *parts, int count, mix_args a) {
    const double product = total_of(parts, count), share = share_of(a, a.layer);
    if (dw != nullptr)
        for (int k = (int)threadIdx.x; k < a.layers; k += FLAT_SUM_THREADS)
            dw[k] +=
                (float)((double)a.gamma[0] * share * ((k == a.layer ? 1.0 : 0.0) - share_of(a, k)) * product);
    if (dgamma != nullptr && threadIdx.x == 0) dgamma[0] += (float)(share * product);
}

template <class T>
static int make_slopes(float *dw, float *dgamma, const void *dy, const void *x, double *parts, int64_t n,
                       const mix_args &a, berth_stream *stream) {
    const int error =
        n == 0 ? BERTH_CUDA_OK
               : launch(mix_dot_kernel<T>, dim3((unsigned)part_count(n)), dim3(FLAT_SUM_THREADS), 0, stream,
                        parts, (const T *)dy, (const T *)x, n, part_length(n), wide_flat(dy, x));
    if (error != 0) return error;
    return launch(mix_slopes_kernel, dim3(1), dim3(FLAT_SUM_THREADS), 0, stream, dw, dgamma,
                  (const double *)parts, part_count(n), a);
}

static int mix_backward(void *dx, float *dw, float *dgamma, const void *dy, const void *x, const float *w,
                        const float *gamma, void *workspace, int64_t n, int64_t layers, int64_t layer,
                        int accumulate, enum berth_dtype dtype, berth_stream *stream) {
    const mix_args a = {w, gamma, (int)layers, (int)layer};
    double *factor = scratch_of(stream), *parts = (double *)workspace;
    int error = BERTH_CUDA_OK;
    if (dtype != BERTH_F32 && dtype != BERTH_BF16) return BERTH_CUDA_E_DTYPE;
    if (dw != nullptr || dgamma != nullptr)
        error = dtype == BERTH_F32 ? make_slopes<float>(dw, dgamma, dy, x, parts, n, a, stream)
                                   : make_slopes<bf16>(dw, dgamma, dy, x, parts, n, a, stream);
    if (error != 0 || dx == nullptr) return error;
    error = launch(mix_factor_kernel, dim3(1), dim3(1), 0, stream, factor, a);
    if (error != 0) return error;
    const void *prior = accumulate ? dx : nullptr;
    return dtype == BERTH_F32 ? add_scaled<float>(dx, prior, dy, factor, n, stream)
                              : add_scaled<bf16>(dx, prior, dy, factor, n, stream);
}

BERTH_CUDA_TABLE(mix)(struct berth_ops *ops) {
    ops->mix_forward = mix_forward;
    ops->mix_workspace = mix_workspace;
    ops->mix_backward = mix_backward;
}
