/* gelu_01.cu: GELU as its formula says: one element a thread, Φ by erff. The bias' column by a division. */
#include "common.cuh"

enum { GELU_01_THREADS = 256 };

template <class T>
static __global__ void gelu_01_forward_kernel(T *y, const T *x, const float *bias, int64_t n, int64_t columns) {
    const int64_t i = (int64_t)blockIdx.x * GELU_01_THREADS + threadIdx.x;
    if (i >= n) return;
    const float v = to_float(x[i]) + (bias == nullptr ? 0.0f : bias[i % columns]);
    from_float(y + i, 0.5f * v * (1.0f + erff(v * 0.707106781f)));
}

template <class T>
static __global__ void gelu_01_backward_kernel(T *dx, const T *dy, const T *x, const float *bias, int64_t n,
                                               int64_t columns) {
    const int64_t i = (int64_t)blockIdx.x * GELU_01_THREADS + threadIdx.x;
    if (i >= n) return;
    const float v = to_float(x[i]) + (bias == nullptr ? 0.0f : bias[i % columns]);
    const float slope = 0.5f * (1.0f + erff(v * 0.707106781f)) + v * 0.398942280f * expf(-0.5f * v * v);
    from_float(dx + i, to_float(dy[i]) * slope);
}

static dim3 gelu_01_grid(int64_t n) {
    return dim3((unsigned)ceil_div(n, GELU_01_THREADS));
}

static int gelu_01_forward(void *y, const void *x, const float *bias, int64_t rows, int64_t columns,
                           enum berth_activation kind, enum berth_dtype dtype, berth_stream *stream) {
    const int64_t n = rows * columns;
    if (kind != BERTH_ACT_GELU) return BERTH_CUDA_E_SHAPE;
    if (n == 0) return BERTH_CUDA_OK;
    if (dtype == BERTH_F32)
        return launch(gelu_01_forward_kernel<float>, gelu_01_grid(n), dim3(GELU_01_THREADS), 0, stream,
                      (float *)y, (const float *)x, bias, n, columns);
    return launch(gelu_01_forward_kernel<bf16>, gelu_01_grid(n), dim3(GELU_01_THREADS), 0, stream, (bf16 *)y,
                  (const bf16 *)x, bias, n, columns);
}

static int gelu_01_backward(void *dx, const void *dy, const void *x, const float *bias, int64_t rows,
                            int64_t columns, enum berth_activation kind, enum berth_dtype dtype,
                            berth_stream *stream) {
    const int64_t n = rows * columns;
    if (kind != BERTH_ACT_GELU) return BERTH_CUDA_E_SHAPE;
    if (n == 0) return BERTH_CUDA_OK;
    if (dtype == BERTH_F32)
        return launch(gelu_01_backward_kernel<float>, gelu_01_grid(n), dim3(GELU_01_THREADS), 0, stream,
                      (float *)dx, (const float *)dy, (const float *)x, bias, n, columns);
    return launch(gelu_01_backward_kernel<bf16>, gelu_01_grid(n), dim3(GELU_01_THREADS), 0, stream, (bf16 *)dx,
                  (const bf16 *)dy, (const bf16 *)x, bias, n, columns);
}

BERTH_CUDA_TABLE(gelu_01)(struct berth_ops *ops) {
    ops->act_forward = gelu_01_forward;
    ops->act_backward = gelu_01_backward;
}
