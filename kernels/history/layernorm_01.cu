/* layernorm_01.cu: forward, a block a row, one element a thread and step; pre goes to memory and is read from
 * there again for the mean, the variance and the result. */
#include "common.cuh"

enum { NORM_01_WARPS = 8, NORM_01_THREADS = NORM_01_WARPS * WARP };

template <class T> struct norm_01_args {
    T *y, *pre;
    float *mean, *rstd;
    const T *x, *residual;
    const float *gamma, *beta;
    int64_t hidden;
    float eps, keep_scale;
    struct berth_dropout dropout;
};

template <class T> static __global__ void layernorm_01_kernel(norm_01_args<T> a) {
    BERTH_SHARED(float, part, [NORM_01_WARPS]);
    const int64_t row = blockIdx.x, at = row * a.hidden;
    T *pre = a.pre == nullptr ? a.y + at : a.pre + at;
    float sum = 0.0f, square = 0.0f;
    for (int64_t j = threadIdx.x; j < a.hidden; j += NORM_01_THREADS) {
        float v = to_float(a.x[at + j]);
        if (a.dropout.threshold != 0) {
            const struct berth_dropout &d = a.dropout;
            const uint32_t keep =
                berth_dropout_keep8(d.key[0], d.key[1], d.key[2], (uint32_t)d.ordinal[row], d.site, 0,
                                    (uint32_t)d.position[row], (uint32_t)(j / PACK), d.threshold);
            v *= keep >> (j % PACK) & 1 ? a.keep_scale : 0.0f;
        }
        if (a.residual != nullptr) v += to_float(a.residual[at + j]);
        from_float(pre + j, v);
        sum += to_float(pre[j]);
    }
    const float mean = block_sum<NORM_01_WARPS>(sum, part) / (float)a.hidden;
    for (int64_t j = threadIdx.x; j < a.hidden; j += NORM_01_THREADS)
        square += (to_float(pre[j]) - mean) * (to_float(pre[j]) - mean);
    const float rstd = 1.0f / sqrtf(block_sum<NORM_01_WARPS>(square, part) / (float)a.hidden + a.eps);
    for (int64_t j = threadIdx.x; j < a.hidden; j += NORM_01_THREADS)
        from_float(a.y + at + j, (to_float(pre[j]) - mean) * rstd * a.gamma[j] + a.beta[j]);
    if (threadIdx.x == 0 && a.mean != nullptr) a.mean[row] = mean;
    if (threadIdx.x == 0 && a.rstd != nullptr) a.rstd[row] = rstd;
}

template <class T>
static int layernorm_01_of(void *y, void *pre, float *mean, float *rstd, const void *x, const void *residual,
                           const float *gamma, const float *beta, int64_t rows, int64_t hidden, float eps,
                           const struct berth_dropout *dropout, berth_stream *stream) {
    norm_01_args<T> a = {(T *)y, (T *)pre, mean,   rstd, (const T *)x, (const T *)residual,
                         gamma,  beta,     hidden, eps,  1.0f,         dropout_value(dropout)};
    a.keep_scale = berth_dropout_scale(a.dropout.threshold);
    return launch(layernorm_01_kernel<T>, dim3((unsigned)rows), dim3(NORM_01_THREADS), 0, stream, a);
}

static int layernorm_01(void *y, void *pre, float *mean, float *rstd, const void *x, const void *residual,
                        const float *gamma, const float *beta, int64_t rows, int64_t hidden, float eps,
                        const struct berth_dropout *dropout, enum berth_dtype dtype, berth_stream *stream) {
    if (rows == 0) return BERTH_CUDA_OK;
    if (dtype == BERTH_F32)
        return layernorm_01_of<float>(y, pre, mean, rstd, x, residual, gamma, beta, rows, hidden, eps, dropout,
                                      stream);
    return layernorm_01_of<bf16>(y, pre, mean, rstd, x, residual, gamma, beta, rows, hidden, eps, dropout,
                                 stream);
}

BERTH_CUDA_TABLE(layernorm_01)(struct berth_ops *ops) {
    ops->layernorm_forward = layernorm_01;
}
