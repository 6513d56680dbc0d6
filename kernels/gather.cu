/* gather.cu: between the packed tokens [T, H] and a head's own rows [R, H]; see gather.c. Rows of one call are
 * distinct, so adding back touches each once. A mean is summed by 16 groups of threads, in order. */
#include "common.cuh"

enum { POOL_COLUMNS = 64, POOL_GROUPS = 16, POOL_THREADS = POOL_GROUPS * POOL_COLUMNS / PACK };

template <class T> static __global__ void gather_kernel(pack_grid g, T *y, const T *x, const int32_t *rows) {
    EACH_PACK (i, g) {
        const pack_place at = place_of(g, i);
        pack p;
        load_any(p, x + (int64_t)rows[at.row] * g.columns + at.column, at.n, g.wide);
        store_any(y + at.at, p, at.n, g.wide);
    }
}

template <class T>
static __global__ void scatter_add_kernel(pack_grid g, T *dx, const T *dy, const int32_t *rows) {
    EACH_PACK (i, g) {
        const pack_place at = place_of(g, i);
        T *to = dx + (int64_t)rows[at.row] * g.columns + at.column;
        pack p, q;
        load_any(p, to, at.n, g.wide);
        load_any(q, dy + at.at, at.n, g.wide);
#pragma unroll
        for (int k = 0; k < PACK; k++)
            p.v[k] += q.v[k];
        store_any(to, p, at.n, g.wide);
    }
}

static int gather_rows(void *y, const void *x, const int32_t *rows, int64_t count, int64_t hidden,
                       enum berth_dtype dtype, berth_stream *stream) {
    const pack_grid g = row_packs(count, hidden, wide_rows(hidden, y, x));
    if (dtype == BERTH_F32)
        return launch_packs(gather_kernel<float>, g, stream, (float *)y, (const float *)x, rows);
    if (dtype != BERTH_BF16) return BERTH_CUDA_E_DTYPE;
    return launch_packs(gather_kernel<bf16>, g, stream, (bf16 *)y, (const bf16 *)x, rows);
}

static int scatter_add_rows(void *dx, const void *dy, const int32_t *rows, int64_t count, int64_t hidden,
                            enum berth_dtype dtype, berth_stream *stream) {
    const pack_grid g = row_packs(count, hidden, wide_rows(hidden, dx, dy));
    if (dtype == BERTH_F32)
        return launch_packs(scatter_add_kernel<float>, g, stream, (float *)dx, (const float *)dy, rows);
    if (dtype != BERTH_BF16) return BERTH_CUDA_E_DTYPE;
    return launch_packs(scatter_add_kernel<bf16>, g, stream, (bf16 *)dx, (const bf16 *)dy, rows);
}

/* ------------------------------------------------------------------ mean pooling */

struct pool_args {
    const int32_t *seqs, *cu_seqlens;
    int64_t hidden;
    bool wide;
};

/* This thread's pack of columns, and its sequence's rows [first, end). */
struct pool_place {
    int64_t first, end, column;
    int group, lane, n;
    float share;
};

static __device__ __forceinline__ pool_place pool_of(const pool_args &a) {
    pool_place p;
    const int32_t sequence = a.seqs[blockIdx.x];
    p.first = a.cu_seqlens[sequence];
    p.end = a.cu_seqlens[sequence + 1];
    p.group = (int)threadIdx.x / (POOL_COLUMNS / PACK);
    p.lane = (int)threadIdx.x % (POOL_COLUMNS / PACK);
    p.column = (int64_t)blockIdx.y * POOL_COLUMNS + p.lane * PACK;
    p.n = p.column >= a.hidden ? 0 : a.hidden - p.column < PACK ? (int)(a.hidden - p.column) : PACK;
    p.share = p.end > p.first ? 1.0f / (float)(p.end - p.first) : 0.0f;
    return p;
}

template <class T> static __global__ void mean_pool_forward_kernel(T *y, const T *x, pool_args a) {
    BERTH_SHARED(float, met, [POOL_GROUPS][POOL_COLUMNS + 1]);
    const pool_place p = pool_of(a);
    pack sum;
#pragma unroll
    for (int k = 0; k < PACK; k++)
        sum.v[k] = 0.0f;
    for (int64_t t = p.first + p.group; t < p.end && p.n > 0; t += POOL_GROUPS) {
        pack q;
        load_any(q, x + t * a.hidden + p.column, p.n, a.wide);
#pragma unroll
        for (int k = 0; k < PACK; k++)
            sum.v[k] += q.v[k];
    }
#pragma unroll
    for (int k = 0; k < PACK; k++)
        met[p.group][p.lane * PACK + k] = sum.v[k];
    __syncthreads();
    const int64_t column = (int64_t)blockIdx.y * POOL_COLUMNS + threadIdx.x;
    if (threadIdx.x >= POOL_COLUMNS || column >= a.hidden) return;
    float total = 0.0f;
    for (int k = 0; k < POOL_GROUPS; k++)
        total += met[k][threadIdx.x];
    from_float(y + (int64_t)blockIdx.x * a.hidden + column, total * p.share);
}

template <class T> static __global__ void mean_pool_backward_kernel(T *dx, const T *dy, pool_args a) {
    const pool_place p = pool_of(a);
    if (p.n == 0) return;
    pack d;
    load_any(d, dy + (int64_t)blockIdx.x * a.hidden + p.column, p.n, a.wide);
    for (int64_t t = p.first + p.group; t < p.end; t += POOL_GROUPS) {
        pack q;
        load_any(q, dx + t * a.hidden + p.column, p.n, a.wide);
#pragma unroll
        for (int k = 0; k < PACK; k++)
            q.v[k] += d.v[k] * p.share;
        store_any(dx + t * a.hidden + p.column, q, p.n, a.wide);
    }
}

static dim3 pool_grid(int64_t count, int64_t hidden) {
    return dim3((unsigned)count, (unsigned)ceil_div(hidden, POOL_COLUMNS));
}

static int mean_pool_forward(void *y, const void *x, const int32_t *seqs, const int32_t *cu_seqlens,
                             int64_t count, int64_t hidden, enum berth_dtype dtype, berth_stream *stream) {
    const pool_args a = {seqs, cu_seqlens, hidden, wide_rows(hidden, y, x)};
    if (count == 0) return BERTH_CUDA_OK;
    if (dtype == BERTH_F32)
        return launch(mean_pool_forward_kernel<float>, pool_grid(count, hidden), dim3(POOL_THREADS), 0, stream,
                      (float *)y, (const float *)x, a);
    if (dtype != BERTH_BF16) return BERTH_CUDA_E_DTYPE;
    return launch(mean_pool_forward_kernel<bf16>, pool_grid(count, hidden), dim3(POOL_THREADS), 0, stream,
                  (bf16 *)y, (const bf16 *)x, a);
}

static int mean_pool_backward(void *dx, const void *dy, const int32_t *seqs, const int32_t *cu_seqlens,
                              int64_t count, int64_t hidden, enum berth_dtype dtype, berth_stream *stream) {
    const pool_args a = {seqs, cu_seqlens, hidden, wide_rows(hidden, dx, dy)};
    if (count == 0) return BERTH_CUDA_OK;
    if (dtype == BERTH_F32)
        return launch(mean_pool_backward_kernel<float>, pool_grid(count, hidden), dim3(POOL_THREADS), 0, stream,
                      (float *)dx, (const float *)dy, a);
    if (dtype != BERTH_BF16) return BERTH_CUDA_E_DTYPE;
    return launch(mean_pool_backward_kernel<bf16>, pool_grid(count, hidden), dim3(POOL_THREADS), 0, stream,
                  (bf16 *)dx, (const bf16 *)dy, a);
}

BERTH_CUDA_TABLE(gather)(struct berth_ops *ops) {
    ops->gather_rows = gather_rows;
    ops->scatter_add_rows = scatter_add_rows;
    ops->mean_pool_forward = mean_pool_forward;
    ops->mean_pool_backward = mean_pool_backward;
}
