/* similarity.cu: rows of length one, products of rows, and the ranking loss over them; formulas in
 * similarity.c. A warp does a row, sums in double. CoSENT looks at all pairs: forward in one block, whose
 * threads walk the pairs and add up in order; backward a warp a row. */
#include "common.cuh"

enum { ROW_WARPS = 4, PAIR_WARPS = 8, PAIR_THREADS = PAIR_WARPS * WARP };

static const float LEAST_NORM = 1e-12f;

/* This warp's row, or -1. */
static __device__ __forceinline__ int64_t row_of(int64_t rows) {
    const int64_t row = (int64_t)blockIdx.x * ROW_WARPS + threadIdx.x / WARP;
    return row < rows ? row : -1;
}

template <class T>
static __device__ __forceinline__ double row_product(const T *a, const T *b, int64_t hidden, int lane) {
    double sum = 0;
    for (int64_t j = lane; j < hidden; j += WARP)
        sum += (double)to_float(a[j]) * (double)to_float(b[j]);
    return warp_sum(sum);
}

template <class T>
static __global__ void normalize_forward_kernel(T *y, float *norm, const T *x, int64_t rows, int64_t hidden,
                                                float scale) {
    const int lane = (int)threadIdx.x % WARP;
    const int64_t row = row_of(rows);
    if (row < 0) return;
    const T *in = x + row * hidden;
    const float length = (float)sqrt(row_product(in, in, hidden, lane));
    const float n = length > LEAST_NORM ? length : LEAST_NORM;
    if (lane == 0) norm[row] = n;
    for (int64_t j = lane; j < hidden; j += WARP)
        from_float(y + row * hidden + j, to_float(in[j]) * (scale / n));
}

template <class T>
static __global__ void normalize_backward_kernel(T *dx, const T *dy, const T *y, const float *norm,
                                                 int64_t rows, int64_t hidden, float scale) {
    const int lane = (int)threadIdx.x % WARP;
    const int64_t row = row_of(rows);
    if (row < 0) return;
    const T *g = dy + row * hidden, *u = y + row * hidden;
    const double product = row_product(u, g, hidden, lane);
    const float factor = scale / norm[row];
    const float along = norm[row] > LEAST_NORM ? (float)(product / ((double)scale * (double)scale)) : 0.0f;
    for (int64_t j = lane; j < hidden; j += WARP)
        from_float(dx + row * hidden + j, factor * (to_float(g[j]) - to_float(u[j]) * along));
}

template <class T>
static __global__ void row_dot_forward_kernel(float *y, const T *a, const T *b, int64_t rows, int64_t hidden) {
    const int64_t row = row_of(rows);
    if (row < 0) return;
    const double sum = row_product(a + row * hidden, b + row * hidden, hidden, (int)threadIdx.x % WARP);
    if (threadIdx.x % WARP == 0) y[row] = (float)sum;
}

template <class T>
static __global__ void row_dot_backward_kernel(T *da, T *db, const float *dy, const T *a, const T *b,
                                               int64_t rows, int64_t hidden) {
    const int64_t row = row_of(rows);
    if (row < 0) return;
    for (int64_t j = threadIdx.x % WARP; j < hidden; j += WARP) {
        const int64_t at = row * hidden + j;
        if (da != nullptr) from_float(da + at, dy[row] * to_float(b[at]));
        if (db != nullptr) from_float(db + at, dy[row] * to_float(a[at]));
    }
}

static dim3 row_grid(int64_t rows) {
    return dim3((unsigned)ceil_div(rows, ROW_WARPS));
}

#define ROW_BLOCK dim3(ROW_WARPS *WARP)

static int normalize_forward(void *y, float *norm, const void *x, int64_t rows, int64_t hidden, float scale,
                             enum berth_dtype dtype, berth_stream *stream) {
    if (rows == 0) return BERTH_CUDA_OK;
    if (dtype == BERTH_F32)
        return launch(normalize_forward_kernel<float>, row_grid(rows), ROW_BLOCK, 0, stream, (float *)y, norm,
                      (const float *)x, rows, hidden, scale);
    if (dtype != BERTH_BF16) return BERTH_CUDA_E_DTYPE;
    return launch(normalize_forward_kernel<bf16>, row_grid(rows), ROW_BLOCK, 0, stream, (bf16 *)y, norm,
                  (const bf16 *)x, rows, hidden, scale);
}

static int normalize_backward(void *dx, const void *dy, const void *y, const float *norm, int64_t rows,
                              int64_t hidden, float scale, enum berth_dtype dtype, berth_stream *stream) {
    if (rows == 0) return BERTH_CUDA_OK;
    if (dtype == BERTH_F32)
        return launch(normalize_backward_kernel<float>, row_grid(rows), ROW_BLOCK, 0, stream, (float *)dx,
                      (const float *)dy, (const float *)y, norm, rows, hidden, scale);
    if (dtype != BERTH_BF16) return BERTH_CUDA_E_DTYPE;
    return launch(normalize_backward_kernel<bf16>, row_grid(rows), ROW_BLOCK, 0, stream, (bf16 *)dx,
                  (const bf16 *)dy, (const bf16 *)y, norm, rows, hidden, scale);
}

static int row_dot_forward(float *y, const void *a, const void *b, int64_t rows, int64_t hidden,
                           enum berth_dtype dtype, berth_stream *stream) {
    if (rows == 0) return BERTH_CUDA_OK;
    if (dtype == BERTH_F32)
        return launch(row_dot_forward_kernel<float>, row_grid(rows), ROW_BLOCK, 0, stream, y, (const float *)a,
                      (const float *)b, rows, hidden);
    if (dtype != BERTH_BF16) return BERTH_CUDA_E_DTYPE;
    return launch(row_dot_forward_kernel<bf16>, row_grid(rows), ROW_BLOCK, 0, stream, y, (const bf16 *)a,
                  (const bf16 *)b, rows, hidden);
}

static int row_dot_backward(void *da, void *db, const float *dy, const void *a, const void *b, int64_t rows,
                            int64_t hidden, enum berth_dtype dtype, berth_stream *stream) {
    if (rows == 0) return BERTH_CUDA_OK;
    if (dtype == BERTH_F32)
        return launch(row_dot_backward_kernel<float>, row_grid(rows), ROW_BLOCK, 0, stream, (float *)da,
                      (float *)db, dy, (const float *)a, (const float *)b, rows, hidden);
    if (dtype != BERTH_BF16) return BERTH_CUDA_E_DTYPE;
    return launch(row_dot_backward_kernel<bf16>, row_grid(rows), ROW_BLOCK, 0, stream, (bf16 *)da, (bf16 *)db,
                  dy, (const bf16 *)a, (const bf16 *)b, rows, hidden);
}

/* ------------------------------------------------------------------ CoSENT */

struct cosent_args {
    const float *y, *target;
    const int32_t *labels;
    int64_t rows;
    double scale;
};

/* Whether row i should lie above row j. */
static __device__ __forceinline__ bool above(const cosent_args &a, int64_t i, int64_t j) {
    return a.labels[i] >= 0 && a.labels[j] >= 0 && a.target[i] > a.target[j];
}

/* scale (y[j] - y[i]) */
static __device__ __forceinline__ double exponent(const cosent_args &a, int64_t i, int64_t j) {
    return a.scale * ((double)a.y[j] - (double)a.y[i]);
}

static __device__ __forceinline__ double block_max(double x, double *met) {
#pragma unroll
    for (int by = WARP / 2; by > 0; by /= 2)
        x = fmax(x, __shfl_xor_sync(ALL_LANES, x, by));
    if (threadIdx.x % WARP == 0) met[threadIdx.x / WARP] = x;
    __syncthreads();
#pragma unroll
    for (int w = 0; w < PAIR_WARPS; w++)
        x = fmax(x, met[w]);
    return x;
}

static __global__ void cosent_forward_kernel(float *loss, float *lse, cosent_args a) {
    BERTH_SHARED(double, met, [PAIR_WARPS]);
    double top = 0, sum = 0; /* the largest exponent, that of the 1 included */
    for (int64_t pair = threadIdx.x; pair < a.rows * a.rows; pair += PAIR_THREADS) {
        const int64_t i = pair / a.rows, j = pair % a.rows;
        if (above(a, i, j)) top = fmax(top, exponent(a, i, j));
    }
    top = block_max(top, met);
    for (int64_t pair = threadIdx.x; pair < a.rows * a.rows; pair += PAIR_THREADS) {
        const int64_t i = pair / a.rows, j = pair % a.rows;
        if (above(a, i, j)) sum += exp(exponent(a, i, j) - top);
    }
    sum = block_sum<PAIR_WARPS>(sum, met) + exp(-top);
    const float value = (float)(top + log(sum));
    if (threadIdx.x == 0) lse[0] = value;
    for (int64_t r = threadIdx.x; r < a.rows; r += PAIR_THREADS)
        loss[r] = a.labels[r] >= 0 ? value : 0.0f;
}

static __global__ void cosent_backward_kernel(float *dy, const float *dloss, const float *lse, cosent_args a) {
    const int lane = (int)threadIdx.x % WARP;
    const int64_t row = row_of(a.rows);
    if (row < 0) return;
    double factor = 0, sum = 0;
    for (int64_t r = lane; r < a.rows; r += WARP) {
        factor += a.labels[r] >= 0 ? (double)dloss[r] : 0.0;
        if (above(a, r, row)) sum += exp(exponent(a, r, row) - (double)lse[0]);
        if (above(a, row, r)) sum -= exp(exponent(a, row, r) - (double)lse[0]);
    }
    factor = warp_sum(factor) * a.scale;
    sum = warp_sum(sum);
    if (lane == 0) dy[row] = a.labels[row] >= 0 ? (float)(factor * sum) : 0.0f;
}

static int cosent_forward(float *loss, float *lse, const float *y, const float *target, const int32_t *labels,
                          int64_t rows, float scale, berth_stream *stream) {
    const cosent_args a = {y, target, labels, rows, (double)scale};
    return launch(cosent_forward_kernel, dim3(1), dim3(PAIR_THREADS), 0, stream, loss, lse, a);
}

static int cosent_backward(float *dy, const float *dloss, const float *y, const float *target,
                           const int32_t *labels, const float *lse, int64_t rows, float scale,
                           berth_stream *stream) {
    const cosent_args a = {y, target, labels, rows, (double)scale};
    if (rows == 0) return BERTH_CUDA_OK;
    return launch(cosent_backward_kernel, row_grid(rows), ROW_BLOCK, 0, stream, dy, dloss, lse, a);
}

BERTH_CUDA_TABLE(similarity)(struct berth_ops *ops) {
    ops->normalize_forward = normalize_forward;
    ops->normalize_backward = normalize_backward;
    ops->row_dot_forward = row_dot_forward;
    ops->row_dot_backward = row_dot_backward;
    ops->cosent_forward = cosent_forward;
    ops->cosent_backward = cosent_backward;
}
