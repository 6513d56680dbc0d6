/* layernorm.cu: layer normalisation fused with dropout and residual; formulas in layernorm.c.
 *
 * Up to 1,024 columns a row belongs to a warp and stays in its registers (PACKS packs of eight a lane), so each
 * array moves once. Longer rows, and those not wide, belong to a block and lie in shared memory. Statistics are
 * of the values as they are saved: with bf16, pre is rounded first, so backward is the derivative of what
 * forward computed. Variance in two passes; sums by butterflies, whose order is fixed. Parameter gradients:
 * column_sums.cuh.
 *
 * embedding_norm_forward is the same kernels with rows gathered from tables: BERT's embeddings in one pass. */
#include "column_sums.cuh"

enum { ROW_WARPS = 4, BLOCK_WARPS = 8, BLOCK_THREADS = BLOCK_WARPS * WARP, MOST_COLUMNS = 11776 };

struct norm_args {
    int64_t rows;
    int hidden;
    float eps;
    struct berth_dropout dropout;
    float keep_scale;
};

/* ------------------------------------------------------------------ forward */

static inline void add_launch_argument(launch_numbers &n, const norm_args &a) {
    add_launch_number(n, a.rows);
    add_launch_number(n, a.hidden);
}

template <class T> struct norm_in {
    static constexpr bool DROPS_RESULT = false; /* dropout is of x */
    const T *x, *residual;
    const float *gamma, *beta;
};

/* BERT's embeddings: pre is gathered, dropout is of y. */
template <class T> struct embed_in {
    static constexpr bool DROPS_RESULT = true;
    const float *token, *position, *segment;
    const int32_t *ids, *pos, *seg;
    const float *gamma, *beta;
};

template <class T> struct norm_out {
    T *y, *pre;
    float *mean, *rstd;
};

/* The pack of pre = dropout(x) + residual, as an array of T holds it. */
template <bool WIDE, class T>
static __device__ __forceinline__ void load_pre(pack &p, const norm_in<T> &in, const norm_args &a, int64_t row,
                                                int index, int n) {
    const int64_t at = row * a.hidden + index * PACK;
    load_pack<WIDE>(p, in.x + at, n);
    if (a.dropout.threshold != 0) drop_pack(p, a.dropout, a.keep_scale, row, (uint32_t)index);
    if (in.residual != nullptr) {
        pack r;
        load_pack<WIDE>(r, in.residual + at, n);
#pragma unroll
        for (int i = 0; i < PACK; i++)
            p.v[i] += r.v[i];
    }
#pragma unroll
    for (int i = 0; i < PACK; i++)
        p.v[i] = rounded(p.v[i], (const T *)nullptr);
}

template <bool WIDE>
static __device__ __forceinline__ void add_table_pack(pack &p, const float *table, int64_t row, int hidden,
                                                      int index, int n) {
    pack r;
    load_pack<WIDE>(r, table + row * hidden + index * PACK, n);
#pragma unroll
    for (int i = 0; i < PACK; i++)
        p.v[i] += r.v[i];
}

/* The pack of pre = token + position + segment, as an array of T holds it. */
template <bool WIDE, class T>
static __device__ __forceinline__ void load_pre(pack &p, const embed_in<T> &in, const norm_args &a, int64_t row,
                                                int index, int n) {
    load_pack<WIDE>(p, in.token + (int64_t)in.ids[row] * a.hidden + index * PACK, n);
    add_table_pack<WIDE>(p, in.position, in.pos[row], a.hidden, index, n);
    if (in.segment != nullptr)
        add_table_pack<WIDE>(p, in.segment, in.seg == nullptr ? 0 : in.seg[row], a.hidden, index, n);
#pragma unroll
    for (int i = 0; i < PACK; i++)
        p.v[i] = rounded(p.v[i], (const T *)nullptr);
}

/* y of one pack. */
template <bool WIDE, class T, class IN>
static __device__ __forceinline__ void store_normal(const norm_out<T> &out, const IN &in, const pack &p,
                                                    const norm_args &a, int64_t row, int index, int n,
                                                    float mean, float rstd) {
    pack gamma, beta, y;
    load_pack<WIDE>(gamma, in.gamma + index * PACK, n);
    load_pack<WIDE>(beta, in.beta + index * PACK, n);
#pragma unroll
    for (int i = 0; i < PACK; i++)
        y.v[i] = (p.v[i] - mean) * rstd * gamma.v[i] + beta.v[i];
    if (IN::DROPS_RESULT && a.dropout.threshold != 0)
        drop_pack(y, a.dropout, a.keep_scale, row, (uint32_t)index);
    store_pack<WIDE>(out.y + row * a.hidden + index * PACK, y, n);
}

/* Elements of the row in pack `index`: 8, fewer at the end, 0 behind it. */
static __device__ __forceinline__ int pack_count(int hidden, int index) {
    const int left = hidden - index * PACK;
    return left < 0 ? 0 : left > PACK ? PACK : left;
}

static __device__ __forceinline__ float square_sum(const pack &p, float mean, int n) {
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < PACK; i++)
        sum += i < n ? (p.v[i] - mean) * (p.v[i] - mean) : 0.0f;
    return sum;
}

static __device__ __forceinline__ float plain_sum(const pack &p) {
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < PACK; i++)
        sum += p.v[i];
    return sum;
}

template <class T, int PACKS, class IN>
static __global__ void layernorm_forward_warp_kernel(norm_out<T> out, IN in, norm_args a) {
    const int lane = (int)threadIdx.x % WARP;
    const int64_t row = (int64_t)blockIdx.x * ROW_WARPS + threadIdx.x / WARP;
    if (row >= a.rows) return; /* a whole warp, and no block barrier follows */
    pack p[PACKS];
    float sum = 0.0f, square = 0.0f;
#pragma unroll
    for (int k = 0; k < PACKS; k++) {
        const int index = k * WARP + lane, n = pack_count(a.hidden, index);
        if (n == 0) continue;
        load_pre<true>(p[k], in, a, row, index, n);
        if (out.pre != nullptr) store_pack<true>(out.pre + row * a.hidden + index * PACK, p[k], n);
        sum += plain_sum(p[k]);
    }
    const float mean = warp_sum(sum) / (float)a.hidden;
#pragma unroll
    for (int k = 0; k < PACKS; k++) {
        const int n = pack_count(a.hidden, k * WARP + lane);
        if (n > 0) square += square_sum(p[k], mean, n);
    }
    const float rstd = 1.0f / sqrtf(warp_sum(square) / (float)a.hidden + a.eps);
#pragma unroll
    for (int k = 0; k < PACKS; k++) {
        const int index = k * WARP + lane, n = pack_count(a.hidden, index);
        if (n > 0) store_normal<true>(out, in, p[k], a, row, index, n, mean, rstd);
    }
    if (lane == 0 && out.mean != nullptr) out.mean[row] = mean;
    if (lane == 0 && out.rstd != nullptr) out.rstd[row] = rstd;
}

template <class T, bool WIDE, class IN>
static __global__ void layernorm_forward_block_kernel(norm_out<T> out, IN in, norm_args a) {
    BERTH_DYNAMIC_SHARED(pack, held);
    BERTH_SHARED(float, part, [BLOCK_WARPS]);
    const int64_t row = blockIdx.x;
    const int packs = (a.hidden + PACK - 1) / PACK;
    float sum = 0.0f, square = 0.0f;
    for (int index = (int)threadIdx.x; index < packs; index += BLOCK_THREADS) {
        const int n = pack_count(a.hidden, index);
        pack p;
        load_pre<WIDE>(p, in, a, row, index, n);
        if (out.pre != nullptr) store_pack<WIDE>(out.pre + row * a.hidden + index * PACK, p, n);
        sum += plain_sum(p);
        held[index] = p; /* read again by the same thread alone */
    }
    const float mean = block_sum<BLOCK_WARPS>(sum, part) / (float)a.hidden;
    for (int index = (int)threadIdx.x; index < packs; index += BLOCK_THREADS)
        square += square_sum(held[index], mean, pack_count(a.hidden, index));
    const float rstd = 1.0f / sqrtf(block_sum<BLOCK_WARPS>(square, part) / (float)a.hidden + a.eps);
    for (int index = (int)threadIdx.x; index < packs; index += BLOCK_THREADS)
        store_normal<WIDE>(out, in, held[index], a, row, index, pack_count(a.hidden, index), mean, rstd);
    if (threadIdx.x == 0 && out.mean != nullptr) out.mean[row] = mean;
    if (threadIdx.x == 0 && out.rstd != nullptr) out.rstd[row] = rstd;
}

/* ------------------------------------------------------------------ backward */

template <class T> struct norm_back {
    T *dx, *dresidual;
    const T *dy, *pre;
    const float *mean, *rstd, *gamma;
    int accumulate;
};

/* g = dy gamma and xhat of one pack; zeros behind the row's end. */
template <bool WIDE, class T>
static __device__ __forceinline__ void load_back(pack &g, pack &xhat, const norm_back<T> &b, const norm_args &a,
                                                 int64_t row, int index, int n, float mean, float rstd) {
    const int64_t at = row * a.hidden + index * PACK;
    pack gamma;
    load_pack<WIDE>(g, b.dy + at, n);
    load_pack<WIDE>(gamma, b.gamma + index * PACK, n);
    load_pack<WIDE>(xhat, b.pre + at, n);
#pragma unroll
    for (int i = 0; i < PACK; i++) {
        g.v[i] *= gamma.v[i];
        xhat.v[i] = i < n ? (xhat.v[i] - mean) * rstd : 0.0f;
    }
}

static __device__ __forceinline__ float dot(const pack &x, const pack &y) {
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < PACK; i++)
        sum += x.v[i] * y.v[i];
    return sum;
}

template <bool WIDE, class T>
static __device__ __forceinline__ void store_back(const norm_back<T> &b, const pack &g, const pack &xhat,
                                                  const norm_args &a, int64_t row, int index, int n, float c0,
                                                  float c1, float rstd) {
    const int64_t at = row * a.hidden + index * PACK;
    pack d;
#pragma unroll
    for (int i = 0; i < PACK; i++)
        d.v[i] = rstd * (g.v[i] - c0 - xhat.v[i] * c1);
    if (b.dresidual != nullptr) {
        pack sum = d;
        if (b.accumulate) {
            load_pack<WIDE>(sum, b.dresidual + at, n);
#pragma unroll
            for (int i = 0; i < PACK; i++)
                sum.v[i] += d.v[i];
        }
        store_pack<WIDE>(b.dresidual + at, sum, n);
    }
    if (b.dx == nullptr) return;
    if (a.dropout.threshold != 0) drop_pack(d, a.dropout, a.keep_scale, row, (uint32_t)index);
    store_pack<WIDE>(b.dx + at, d, n);
}

template <class T, int PACKS>
static __global__ void layernorm_backward_warp_kernel(norm_back<T> b, norm_args a) {
    const int lane = (int)threadIdx.x % WARP;
    const int64_t row = (int64_t)blockIdx.x * ROW_WARPS + threadIdx.x / WARP;
    if (row >= a.rows) return;
    const float mean = b.mean[row], rstd = b.rstd[row];
    pack g[PACKS], xhat[PACKS];
    float sum = 0.0f, product = 0.0f;
#pragma unroll
    for (int k = 0; k < PACKS; k++) {
        const int index = k * WARP + lane, n = pack_count(a.hidden, index);
        if (n == 0) continue;
        load_back<true>(g[k], xhat[k], b, a, row, index, n, mean, rstd);
        sum += plain_sum(g[k]);
        product += dot(g[k], xhat[k]);
    }
    const float c0 = warp_sum(sum) / (float)a.hidden, c1 = warp_sum(product) / (float)a.hidden;
#pragma unroll
    for (int k = 0; k < PACKS; k++) {
        const int index = k * WARP + lane, n = pack_count(a.hidden, index);
        if (n > 0) store_back<true>(b, g[k], xhat[k], a, row, index, n, c0, c1, rstd);
    }
}

template <class T, bool WIDE>
static __global__ void layernorm_backward_block_kernel(norm_back<T> b, norm_args a) {
    BERTH_SHARED(float, part, [BLOCK_WARPS]);
    const int64_t row = blockIdx.x;
    const int packs = (a.hidden + PACK - 1) / PACK;
    const float mean = b.mean[row], rstd = b.rstd[row];
    float sum = 0.0f, product = 0.0f;
    for (int index = (int)threadIdx.x; index < packs; index += BLOCK_THREADS) {
        pack g, xhat;
        load_back<WIDE>(g, xhat, b, a, row, index, pack_count(a.hidden, index), mean, rstd);
        sum += plain_sum(g);
        product += dot(g, xhat);
    }
    const float c0 = block_sum<BLOCK_WARPS>(sum, part) / (float)a.hidden;
    const float c1 = block_sum<BLOCK_WARPS>(product, part) / (float)a.hidden;
    for (int index = (int)threadIdx.x; index < packs; index += BLOCK_THREADS) {
        const int n = pack_count(a.hidden, index);
        pack g, xhat;
        load_back<WIDE>(g, xhat, b, a, row, index, n, mean, rstd); /* again, from the cache */
        store_back<WIDE>(b, g, xhat, a, row, index, n, c0, c1, rstd);
    }
}

/* ------------------------------------------------------------------ parameters */

template <class T, bool WIDE>
static __global__ void layernorm_param_kernel(float *parts, const T *dy, const T *pre, const float *mean,
                                              const float *rstd, int64_t rows, int64_t hidden,
                                              int64_t chunk_rows) {
    sum_chunk<2>(parts, rows, hidden, chunk_rows, [&](pack(&value)[2], int64_t row, int64_t column, int n) {
        const float mu = mean[row], scale = rstd[row];
        load_pack<WIDE>(value[1], dy + row * hidden + column, n);
        load_pack<WIDE>(value[0], pre + row * hidden + column, n);
#pragma unroll
        for (int i = 0; i < PACK; i++)
            value[0].v[i] = value[1].v[i] * ((value[0].v[i] - mu) * scale);
    });
}

/* ------------------------------------------------------------------ launchers */

static dim3 row_grid(int64_t rows) {
    return dim3((unsigned)ceil_div(rows, ROW_WARPS));
}

template <int PACKS, class T, class IN>
static int forward_warp(const norm_out<T> &out, const IN &in, const norm_args &a, berth_stream *stream) {
    return launch(layernorm_forward_warp_kernel<T, PACKS, IN>, row_grid(a.rows), dim3(ROW_WARPS * WARP), 0,
                  stream, out, in, a);
}

template <class T, class IN>
static int forward(const norm_out<T> &out, const IN &in, const norm_args &a, bool wide, berth_stream *stream) {
    const int64_t packs = ceil_div(a.hidden, PACK);
    if (wide && packs <= 1 * WARP) return forward_warp<1>(out, in, a, stream);
    if (wide && packs <= 2 * WARP) return forward_warp<2>(out, in, a, stream);
    if (wide && packs <= 3 * WARP) return forward_warp<3>(out, in, a, stream);
    if (wide && packs <= 4 * WARP) return forward_warp<4>(out, in, a, stream);
    const size_t bytes = (size_t)packs * sizeof(pack);
    return launch(wide ? layernorm_forward_block_kernel<T, true, IN>
                       : layernorm_forward_block_kernel<T, false, IN>,
                  dim3((unsigned)a.rows), dim3(BLOCK_THREADS), bytes, stream, out, in, a);
}

static norm_args args_of(int64_t rows, int64_t hidden, float eps, const struct berth_dropout *dropout) {
    norm_args a = {rows, (int)hidden, eps, dropout_value(dropout), 1.0f};
    a.keep_scale = berth_dropout_scale(a.dropout.threshold);
    return a;
}

static int layernorm_forward(void *y, void *pre, float *mean, float *rstd, const void *x, const void *residual,
                             const float *gamma, const float *beta, int64_t rows, int64_t hidden, float eps,
                             const struct berth_dropout *dropout, enum berth_dtype dtype,
                             berth_stream *stream) {
    if (rows == 0) return BERTH_CUDA_OK;
    if (hidden > MOST_COLUMNS) return BERTH_CUDA_E_SHAPE;
    const norm_args a = args_of(rows, hidden, eps, dropout);
    const bool wide = wide_rows(hidden, x, residual, (const void *)gamma, (const void *)beta, y, pre);
    if (dtype == BERTH_F32)
        return forward(norm_out<float>{(float *)y, (float *)pre, mean, rstd},
                       norm_in<float>{(const float *)x, (const float *)residual, gamma, beta}, a, wide, stream);
    if (dtype != BERTH_BF16) return BERTH_CUDA_E_DTYPE;
    return forward(norm_out<bf16>{(bf16 *)y, (bf16 *)pre, mean, rstd},
                   norm_in<bf16>{(const bf16 *)x, (const bf16 *)residual, gamma, beta}, a, wide, stream);
}

static int embedding_norm_forward(void *y, void *pre, float *mean, float *rstd, const float *token,
                                  const float *position, const float *segment, const float *gamma,
                                  const float *beta, const int32_t *ids, const int32_t *pos, const int32_t *seg,
                                  int64_t rows, int64_t hidden, float eps, const struct berth_dropout *dropout,
                                  enum berth_dtype dtype, berth_stream *stream) {
    if (rows == 0) return BERTH_CUDA_OK;
    if (hidden > MOST_COLUMNS) return BERTH_CUDA_E_SHAPE;
    const norm_args a = args_of(rows, hidden, eps, dropout);
    const bool wide = wide_rows(hidden, token, position, segment, gamma, beta) && wide_rows(hidden, y, pre);
    if (dtype == BERTH_F32)
        return forward(norm_out<float>{(float *)y, (float *)pre, mean, rstd},
                       embed_in<float>{token, position, segment, ids, pos, seg, gamma, beta}, a, wide, stream);
    if (dtype != BERTH_BF16) return BERTH_CUDA_E_DTYPE;
    return forward(norm_out<bf16>{(bf16 *)y, (bf16 *)pre, mean, rstd},
                   embed_in<bf16>{token, position, segment, ids, pos, seg, gamma, beta}, a, wide, stream);
}

template <int PACKS, class T>
static int backward_warp(const norm_back<T> &b, const norm_args &a, berth_stream *stream) {
    return launch(layernorm_backward_warp_kernel<T, PACKS>, row_grid(a.rows), dim3(ROW_WARPS * WARP), 0, stream,
                  b, a);
}

template <class T> static int backward(const norm_back<T> &b, const norm_args &a, berth_stream *stream) {
    const bool wide = wide_rows(a.hidden, b.dx, b.dresidual, b.dy, b.pre, b.gamma);
    const int64_t packs = ceil_div(a.hidden, PACK);
    if (wide && packs <= 1 * WARP) return backward_warp<1>(b, a, stream);
    if (wide && packs <= 2 * WARP) return backward_warp<2>(b, a, stream);
    if (wide && packs <= 3 * WARP) return backward_warp<3>(b, a, stream);
    if (wide && packs <= 4 * WARP) return backward_warp<4>(b, a, stream);
    return launch(wide ? layernorm_backward_block_kernel<T, true> : layernorm_backward_block_kernel<T, false>,
                  dim3((unsigned)a.rows), dim3(BLOCK_THREADS), 0, stream, b, a);
}

static int layernorm_backward(void *dx, void *dresidual, const void *dy, const void *pre, const float *mean,
                              const float *rstd, const float *gamma, int64_t rows, int64_t hidden,
                              int accumulate_residual, const struct berth_dropout *dropout,
                              enum berth_dtype dtype, berth_stream *stream) {
    if (rows == 0 || (dx == nullptr && dresidual == nullptr)) return BERTH_CUDA_OK;
    const norm_args a = args_of(rows, hidden, 0.0f, dropout);
    if (dtype == BERTH_F32)
        return backward(norm_back<float>{(float *)dx, (float *)dresidual, (const float *)dy, (const float *)pre,
                                         mean, rstd, gamma, accumulate_residual},
                        a, stream);
    if (dtype != BERTH_BF16) return BERTH_CUDA_E_DTYPE;
    return backward(norm_back<bf16>{(bf16 *)dx, (bf16 *)dresidual, (const bf16 *)dy, (const bf16 *)pre, mean,
                                    rstd, gamma, accumulate_residual},
                    a, stream);
}

static size_t layernorm_param_workspace(int64_t rows, int64_t hidden) {
    return (size_t)(2 * sum_chunks(rows) * hidden) * sizeof(float);
}

template <class T>
static int params(float *parts, const void *dy, const void *pre, const float *mean, const float *rstd,
                  int64_t rows, int64_t hidden, berth_stream *stream) {
    return launch(wide_rows(hidden, dy, pre) ? layernorm_param_kernel<T, true>
                                             : layernorm_param_kernel<T, false>,
                  sum_grid(rows, hidden), dim3(SUM_THREADS), 0, stream, parts, (const T *)dy, (const T *)pre,
                  mean, rstd, rows, hidden, sum_chunk_rows(rows));
}

static int layernorm_param_backward(float *dgamma, float *dbeta, const void *dy, const void *pre,
                                    const float *mean, const float *rstd, void *workspace, int64_t rows,
                                    int64_t hidden, enum berth_dtype dtype, berth_stream *stream) {
    float *parts = (float *)workspace; /* [chunks, 2, H] */
    const int64_t chunks = sum_chunks(rows);
    if (rows == 0 || (dgamma == nullptr && dbeta == nullptr)) return BERTH_CUDA_OK;
    if (dtype != BERTH_F32 && dtype != BERTH_BF16) return BERTH_CUDA_E_DTYPE;
    int error = dtype == BERTH_F32 ? params<float>(parts, dy, pre, mean, rstd, rows, hidden, stream)
                                   : params<bf16>(parts, dy, pre, mean, rstd, rows, hidden, stream);
    if (error == 0 && dgamma != nullptr)
        error = sum_parts(dgamma, parts, chunks, 2 * hidden, hidden, 1, stream);
    if (error == 0 && dbeta != nullptr)
        error = sum_parts(dbeta, parts + hidden, chunks, 2 * hidden, hidden, 1, stream);
    return error;
}

BERTH_CUDA_TABLE(layernorm)(struct berth_ops *ops) {
    ops->layernorm_forward = layernorm_forward;
    ops->embedding_norm_forward = embedding_norm_forward;
    ops->layernorm_backward = layernorm_backward;
    ops->layernorm_param_workspace = layernorm_param_workspace;
    ops->layernorm_param_backward = layernorm_param_backward;
}
