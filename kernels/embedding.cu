/* embedding.cu: the sum of three table rows, and its backward without atomics; see embedding.c.
 *
 * Backward: `order` lists the tokens by (id, t), so the tokens of one table row are a run of it. Two kernels
 * share the runs, each skips the other's: short runs (at most RUN tokens: nearly all of the token table)     a
 * warp a run, rows added one after another long runs (segments, positions, frequent words)                    a
 * block a run and 64 columns: 32 groups walk every 32nd row, their sums are added in order A table of two rows
 * over 16,384 tokens is 512 rows a group then, not 16,384. */
#include "common.cuh"

enum {
    RUN = 32,
    RUN_WARPS = 8,
    LONG_COLUMNS = 64,
    LONG_GROUPS = 32,
    LONG_THREADS = LONG_GROUPS * LONG_COLUMNS / PACK
};
enum { SCAN = 64 }; /* positions of `order` that a block of the long kernel looks at */

struct embedding_in {
    const float *token, *position, *segment;
    const int32_t *ids, *pos, *seg;
};

static __device__ __forceinline__ void add_row(pack &sum, const float *table, const pack_grid &g,
                                               const pack_place &at, int32_t row) {
    pack p;
    load_any(p, table + (int64_t)row * g.columns + at.column, at.n, g.wide);
#pragma unroll
    for (int i = 0; i < PACK; i++)
        sum.v[i] += p.v[i];
}

template <class T> static __global__ void embedding_forward_kernel(pack_grid g, T *y, embedding_in in) {
    EACH_PACK (i, g) {
        const pack_place at = place_of(g, i);
        pack sum;
        load_any(sum, in.token + (int64_t)in.ids[at.row] * g.columns + at.column, at.n, g.wide);
        add_row(sum, in.position, g, at, in.pos[at.row]);
        if (in.segment != nullptr) add_row(sum, in.segment, g, at, in.seg == nullptr ? 0 : in.seg[at.row]);
        store_any(y + at.at, sum, at.n, g.wide);
    }
}

static int embedding_forward(void *y, const float *token, const float *position, const float *segment,
                             const int32_t *ids, const int32_t *pos, const int32_t *seg, int64_t rows,
                             int64_t hidden, enum berth_dtype dtype, berth_stream *stream) {
    const pack_grid g = row_packs(rows, hidden, wide_rows(hidden, y, token, position, segment));
    const embedding_in in = {token, position, segment, ids, pos, seg};
    if (dtype == BERTH_F32) return launch_packs(embedding_forward_kernel<float>, g, stream, (float *)y, in);
    if (dtype != BERTH_BF16) return BERTH_CUDA_E_DTYPE;
    return launch_packs(embedding_forward_kernel<bf16>, g, stream, (bf16 *)y, in);
}

/* ------------------------------------------------------------------ backward */

struct run_list {
    const int32_t *ids, *order;
    int64_t rows, hidden;
    bool wide;
};

/* Whether a run of more than RUN tokens, or of fewer, begins at i. */
static __device__ __forceinline__ bool begins(const run_list &r, int64_t i, bool long_run) {
    const int32_t id = r.ids[r.order[i]];
    if (i > 0 && r.ids[r.order[i - 1]] == id) return false;
    return (i + RUN < r.rows && r.ids[r.order[i + RUN]] == id) == long_run;
}

template <class T>
static __device__ __forceinline__ void add_pack(pack &sum, const T *row, int64_t column, int n, bool wide) {
    pack p;
    load_any(p, row + column, n, wide);
#pragma unroll
    for (int k = 0; k < PACK; k++)
        sum.v[k] += p.v[k];
}

template <class T> static __global__ void embedding_short_runs_kernel(float *dtable, const T *dy, run_list r) {
    const int64_t i = (int64_t)blockIdx.x * RUN_WARPS + threadIdx.x / WARP;
    if (i >= r.rows || !begins(r, i, false)) return;
    const int32_t id = r.ids[r.order[i]];
    for (int64_t column = (int64_t)(threadIdx.x % WARP) * PACK; column < r.hidden; column += WARP * PACK) {
        const int n = r.hidden - column < PACK ? (int)(r.hidden - column) : PACK;
        float *to = dtable + (int64_t)id * r.hidden + column;
        pack sum;
#pragma unroll
        for (int k = 0; k < PACK; k++)
            sum.v[k] = 0.0f;
        for (int64_t at = i; at < r.rows && r.ids[r.order[at]] == id; at++)
            add_pack(sum, dy + (int64_t)r.order[at] * r.hidden, column, n, r.wide);
        add_pack(sum, to, 0, n, r.wide);
        store_any(to, sum, n, r.wide);
    }
}

template <class T> static __global__ void embedding_long_runs_kernel(float *dtable, const T *dy, run_list r) {
    BERTH_SHARED(float, met, [LONG_GROUPS][LONG_COLUMNS + 1]);
    const int group = (int)threadIdx.x / (LONG_COLUMNS / PACK), lane = (int)threadIdx.x % (LONG_COLUMNS / PACK);
    const int64_t first = (int64_t)blockIdx.x * SCAN, block = (int64_t)blockIdx.y * LONG_COLUMNS;
    const int64_t column = block + lane * PACK;
    const int n = column >= r.hidden ? 0 : r.hidden - column < PACK ? (int)(r.hidden - column) : PACK;
    for (int64_t i = first; i < first + SCAN && i < r.rows; i++) {
        if (!begins(r, i, true)) continue; /* the same for all threads */
        const int32_t id = r.ids[r.order[i]];
        pack sum;
#pragma unroll
        for (int k = 0; k < PACK; k++)
            sum.v[k] = 0.0f;
        for (int64_t at = i + group; n > 0 && at < r.rows && r.ids[r.order[at]] == id; at += LONG_GROUPS)
            add_pack(sum, dy + (int64_t)r.order[at] * r.hidden, column, n, r.wide);
        __syncthreads();
#pragma unroll
        for (int k = 0; k < PACK; k++)
            met[group][lane * PACK + k] = sum.v[k];
        __syncthreads();
        if (threadIdx.x < LONG_COLUMNS && block + threadIdx.x < r.hidden) {
            float total = 0.0f;
            for (int k = 0; k < LONG_GROUPS; k++)
                total += met[k][threadIdx.x];
            dtable[(int64_t)id * r.hidden + block + threadIdx.x] += total;
        }
    }
}

template <class T> static int add_runs(float *dtable, const T *dy, const run_list &r, berth_stream *stream) {
    const int error = launch(embedding_short_runs_kernel<T>, dim3((unsigned)ceil_div(r.rows, RUN_WARPS)),
                             dim3(RUN_WARPS * WARP), 0, stream, dtable, dy, r);
    if (error != 0 || r.rows <= RUN) return error;
    return launch(embedding_long_runs_kernel<T>,
                  dim3((unsigned)ceil_div(r.rows, SCAN), (unsigned)ceil_div(r.hidden, LONG_COLUMNS)),
                  dim3(LONG_THREADS), 0, stream, dtable, dy, r);
}

static int embedding_backward(float *dtable, const void *dy, const int32_t *ids, const int32_t *order,
                              int64_t rows, int64_t hidden, enum berth_dtype dtype, berth_stream *stream) {
    const run_list r = {ids, order, rows, hidden, wide_rows(hidden, dtable, dy)};
    if (rows == 0) return BERTH_CUDA_OK;
    if (dtype == BERTH_F32) return add_runs(dtable, (const float *)dy, r, stream);
    if (dtype != BERTH_BF16) return BERTH_CUDA_E_DTYPE;
    return add_runs(dtable, (const bf16 *)dy, r, stream);
}

BERTH_CUDA_TABLE(embedding)(struct berth_ops *ops) {
    ops->embedding_forward = embedding_forward;
    ops->embedding_backward = embedding_backward;
}
