/* attention_bf16.cu: attention in bf16 on tensor cores (mma.sync m16n8k16, fp32 sums); see attention.cuh.
 *
 * A warp has 16 rows: queries (forward, dQ) or keys (dK, dV). Its scores against the NT groups of eight columns
 * of a tile lie in registers in the layout of mma's result: of group n a lane has (lane/4, 2 (lane%4) + 0, 1)
 * and the same eight rows below. Two groups of results, packed to bf16, are one factor of the next product.
 * Rows of shared memory are 16 bytes longer than a head, so the eight rows of an ldmatrix fall on different
 * banks. Long sequences: blocks of four warps, tiles of the other side in two buffers, filled by asynchronous
 * copies while the other is in use. */
#include "attention.cuh"

enum { WARPS = 4, THREADS = WARPS * WARP, ROWS = 16, BLOCK_ROWS = WARPS * ROWS };

static const float LOG2E = 1.44269504f;

template <int D> constexpr int stride_of = D + PACK;
/* Rows of a tile of the other side: with a head of 128 the sums need the registers. */
template <int D> constexpr int tile_rows = D == 128 ? 32 : 64;

/* dst[rows][D + 8] = `inside` rows of src, zeros behind them; by `threads` threads. To be waited for. */
template <int D>
static __device__ __forceinline__ void load_rows(bf16 *dst, const bf16 *src, int64_t stride, int rows,
                                                 int inside, const attention_args &a, int thread, int threads) {
    for (int i = thread; i < rows * (D / PACK); i += threads) {
        const int r = i / (D / PACK), c = i % (D / PACK) * PACK;
        const bool valid = r < inside && c < a.head_size;
        const bf16 *from = valid ? src + r * stride + c : src;
        bf16 *to = dst + r * stride_of<D> + c;
        if (a.wide) {
            async_copy16(to, from, valid);
        } else {
#pragma unroll
            for (int k = 0; k < PACK; k++)
                to[k] = valid && c + k < a.head_size ? from[k] : __float2bfloat16(0.0f);
        }
    }
}

/* s = a bᵀ: 16 rows at a, NT groups of eight rows at b */
template <int D, int NT>
static __device__ __forceinline__ void score_product(float (&s)[NT][4], const bf16 *a, const bf16 *b,
                                                     int lane) {
#pragma unroll
    for (int n = 0; n < NT; n++)
        s[n][0] = s[n][1] = s[n][2] = s[n][3] = 0.0f;
#pragma unroll
    for (int k = 0; k < D / 16; k++) {
        uint32_t fa[4], fb[4];
        ldmatrix_x4(fa, a + lane % 16 * stride_of<D> + k * 16 + lane / 16 * 8);
#pragma unroll
        for (int n = 0; n < NT; n += 2) {
            ldmatrix_x4(fb, b + (n * 8 + lane % 8 + lane / 16 * 8) * stride_of<D> + k * 16 + lane / 8 % 2 * 8);
            mma_bf16(s[n], fa, fb[0], fb[1]);
            mma_bf16(s[n + 1], fa, fb[2], fb[3]);
        }
    }
}

/* o += p b: p the scores of NT groups, rounded to bf16; b their NT * 8 rows */
template <int D, int NT>
static __device__ __forceinline__ void add_product(float (&o)[D / 8][4], const float (&p)[NT][4], const bf16 *b,
                                                   int lane) {
#pragma unroll
    for (int k = 0; k < NT / 2; k++) {
        const uint32_t fa[4] = {pair_bf16(p[2 * k][0], p[2 * k][1]), pair_bf16(p[2 * k][2], p[2 * k][3]),
                                pair_bf16(p[2 * k + 1][0], p[2 * k + 1][1]),
                                pair_bf16(p[2 * k + 1][2], p[2 * k + 1][3])};
#pragma unroll
        for (int n = 0; n < D / 8; n += 2) {
            uint32_t fb[4];
            ldmatrix_x4_trans(fb, b + (k * 16 + lane % 16) * stride_of<D> + n * 8 + lane / 16 * 8);
            mma_bf16(o[n], fa, fb[0], fb[1]);
            mma_bf16(o[n + 1], fa, fb[2], fb[3]);
        }
    }
}

template <int D> static __device__ __forceinline__ void zero(float (&o)[D / 8][4]) {
#pragma unroll
    for (int n = 0; n < D / 8; n++)
        o[n][0] = o[n][1] = o[n][2] = o[n][3] = 0.0f;
}

/* Rows lane/4 and lane/4 + 8 of the warp's 16, where below `inside`. */
template <int D>
static __device__ __forceinline__ void store_rows(bf16 *to, int64_t stride, const float (&o)[D / 8][4],
                                                  float factor0, float factor1, int inside,
                                                  const attention_args &a, int lane) {
    const float factor[2] = {factor0, factor1};
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int r = lane / 4 + 8 * i;
        bf16 *row = to + r * stride + lane % 4 * 2;
        const int left = r < inside ? a.head_size - lane % 4 * 2 : 0; /* columns from the lane's first on */
        if (a.wide) {
#pragma unroll
            for (int n = 0; n < D / 8; n++)
                if (n * 8 < left)
                    vector_store(row + n * 8, pair_bf16(o[n][2 * i] * factor[i], o[n][2 * i + 1] * factor[i]));
        } else {
#pragma unroll
            for (int n = 0; n < D / 8; n++) {
                if (n * 8 < left) from_float(row + n * 8, o[n][2 * i] * factor[i]);
                if (n * 8 + 1 < left) from_float(row + n * 8 + 1, o[n][2 * i + 1] * factor[i]);
            }
        }
    }
}

/* ------------------------------------------------------------------ dropout in the layout of the results */

/* Factors of the scores: 0 or `kept`. Rows are queries from `query` (the warp's first), columns keys from
 * `key`. Lane t of the four that share two rows draws the blocks 4 i + t of both; they exchange them. */
template <int NT, class F>
static __device__ __forceinline__ void each_keep(const pair_dropout &d, int query, int key, int lane, F apply) {
    constexpr int WORDS = (NT + 3) / 4;
    uint32_t drawn[WORDS];
#pragma unroll
    for (int i = 0; i < WORDS; i++) {
        const int block = key / 8 + 4 * i + lane % 4;
        drawn[i] = keep_pairs(d, query + lane / 4, block) | keep_pairs(d, query + lane / 4 + 8, block) << 8;
    }
#pragma unroll
    for (int n = 0; n < NT; n++) {
        const uint32_t word = __shfl_sync(ALL_LANES, drawn[n / 4], lane / 4 * 4 + n % 4) >> (lane % 4 * 2);
        apply(n, 0, (word & 1) != 0);
        apply(n, 1, (word >> 1 & 1) != 0);
        apply(n, 2, (word >> 8 & 1) != 0);
        apply(n, 3, (word >> 9 & 1) != 0);
    }
}

/* The same with keys as rows and queries as columns: a lane draws, for query lane % 8 of the groups 4 i + lane
 * / 8, the two blocks of the warp's 16 keys. */
template <int NT, class F>
static __device__ __forceinline__ void each_keep_transposed(const pair_dropout &d, int query, int key, int lane,
                                                            F apply) {
    constexpr int WORDS = (NT + 3) / 4;
    uint32_t drawn[WORDS];
#pragma unroll
    for (int i = 0; i < WORDS; i++) {
        const int q = query + (4 * i + lane / 8) * 8 + lane % 8;
        drawn[i] = keep_pairs(d, q, key / 8) | keep_pairs(d, q, key / 8 + 1) << 8;
    }
#pragma unroll
    for (int n = 0; n < NT; n++)
#pragma unroll
        for (int e = 0; e < 2; e++) {
            const uint32_t word =
                __shfl_sync(ALL_LANES, drawn[n / 4], n % 4 * 8 + lane % 4 * 2 + e) >> (lane / 4);
            apply(n, e, (word & 1) != 0);
            apply(n, 2 + e, (word >> 8 & 1) != 0);
        }
}

/* ------------------------------------------------------------------ a warp's work on one tile */

/* Running softmax of the lane's two rows; sums over its own columns, tops over the row. */
struct softmax_state {
    float top[2], sum[2];
};

static __device__ __forceinline__ float four_max(float v) {
    v = fmaxf(v, __shfl_xor_sync(ALL_LANES, v, 1));
    return fmaxf(v, __shfl_xor_sync(ALL_LANES, v, 2));
}

static __device__ __forceinline__ float four_sum(float v) {
    v += __shfl_xor_sync(ALL_LANES, v, 1);
    return v + __shfl_xor_sync(ALL_LANES, v, 2);
}

/* Forward: queries from `query` at q, `keys` of the tile's keys from `key` on inside the sequence. */
template <int D, int NT>
static __device__ __forceinline__ void forward_tile(float (&o)[D / 8][4], softmax_state &st, const bf16 *q,
                                                    const bf16 *k, const bf16 *v, int query, int key, int keys,
                                                    float scale, const pair_dropout &drop, int lane) {
    const float factor = scale * LOG2E;
    float s[NT][4];
    score_product<D, NT>(s, q, k, lane);
    float top[2] = {st.top[0], st.top[1]};
#pragma unroll
    for (int n = 0; n < NT; n++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            if (n * 8 + lane % 4 * 2 + e % 2 >= keys) s[n][e] = -INFINITY;
            top[e / 2] = fmaxf(top[e / 2], s[n][e]);
        }
    float shrink[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        top[i] = four_max(top[i]);
        shrink[i] = fast_exp2((st.top[i] - top[i]) * factor);
        st.top[i] = top[i];
        st.sum[i] *= shrink[i];
    }
#pragma unroll
    for (int n = 0; n < D / 8; n++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            o[n][e] *= shrink[e / 2];
#pragma unroll
    for (int n = 0; n < NT; n++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            s[n][e] = fast_exp2((s[n][e] - top[e / 2]) * factor);
            st.sum[e / 2] += s[n][e];
        }
    if (drop.threshold != 0)
        each_keep<NT>(drop, query, key, lane, [&](int n, int e, bool keep) {
            if (!keep) s[n][e] = 0.0f;
        });
    add_product<D, NT>(o, s, v, lane);
}

/* dQ (without its factor scale): lse times log2 e, delta of the lane's two rows. */
template <int D, int NT>
static __device__ __forceinline__ void dq_tile(float (&dq)[D / 8][4], const bf16 *q, const bf16 *dout,
                                               const bf16 *k, const bf16 *v, const float (&lse2)[2],
                                               const float (&delta)[2], int query, int key, int keys,
                                               const attention_args &a, const pair_dropout &drop, int lane) {
    const float factor = a.scale * LOG2E;
    float s[NT][4], dp[NT][4];
    score_product<D, NT>(s, q, k, lane);
    score_product<D, NT>(dp, dout, v, lane);
    if (drop.threshold != 0)
        each_keep<NT>(drop, query, key, lane,
                      [&](int n, int e, bool keep) { dp[n][e] = keep ? dp[n][e] * a.keep_scale : 0.0f; });
#pragma unroll
    for (int n = 0; n < NT; n++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            const bool inside = n * 8 + lane % 4 * 2 + e % 2 < keys;
            const float p = inside ? fast_exp2(s[n][e] * factor - lse2[e / 2]) : 0.0f;
            s[n][e] = p * (dp[n][e] - delta[e / 2]);
        }
    add_product<D, NT>(dq, s, k, lane);
}

/* dK (without scale) and dV of the warp's 16 keys from `key`; lse2 and delta of the tile's queries in shared
 * memory. */
template <int D, int NT>
static __device__ __forceinline__ void dkv_tile(float (&dk)[D / 8][4], float (&dv)[D / 8][4], const bf16 *k,
                                                const bf16 *v, const bf16 *q, const bf16 *dout,
                                                const float *lse2, const float *delta, int query, int key,
                                                const attention_args &a, const pair_dropout &drop, int lane) {
    const float factor = a.scale * LOG2E;
    float s[NT][4], dp[NT][4];
    score_product<D, NT>(s, k, q, lane);
    score_product<D, NT>(dp, v, dout, lane);
#pragma unroll
    for (int n = 0; n < NT; n++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            const int column = n * 8 + lane % 4 * 2 + e % 2;
            s[n][e] = fast_exp2(s[n][e] * factor - lse2[column]);
        }
    /* dp becomes dS; s becomes the dropped probabilities */
    if (drop.threshold == 0) {
#pragma unroll
        for (int n = 0; n < NT; n++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                dp[n][e] = s[n][e] * (dp[n][e] - delta[n * 8 + lane % 4 * 2 + e % 2]);
    } else {
        each_keep_transposed<NT>(drop, query, key, lane, [&](int n, int e, bool keep) {
            const float kept = keep ? a.keep_scale : 0.0f;
            dp[n][e] = s[n][e] * (kept * dp[n][e] - delta[n * 8 + lane % 4 * 2 + e % 2]);
            s[n][e] *= kept;
        });
    }
    add_product<D, NT>(dv, s, dout, lane);
    add_product<D, NT>(dk, dp, q, lane);
}

/* out and lse of the warp's rows when all keys are done. */
template <int D>
static __device__ __forceinline__ void
finish_forward(bf16 *out, float *lse, const float (&o)[D / 8][4], const softmax_state &st, int query,
               int inside, const attention_item &it, const attention_args &a, int lane) {
    const float sum[2] = {four_sum(st.sum[0]), four_sum(st.sum[1])};
    store_rows<D>(out + it.out + query * it.width, it.width, o, a.keep_scale / sum[0], a.keep_scale / sum[1],
                  inside, a, lane);
    if (lse == nullptr || lane % 4 != 0) return;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int r = lane / 4 + 8 * i;
        if (r < inside) lse[(it.first + query + r) * a.heads + it.head] = st.top[i] * a.scale + logf(sum[i]);
    }
}

/* ------------------------------------------------------------------ long: a block a tile of 64 rows */

template <int D> struct forward_shared {
    bf16 q[BLOCK_ROWS * stride_of<D>];
    bf16 k[2][64 * stride_of<D>], v[2][64 * stride_of<D>];
};

template <int D>
static __device__ __forceinline__ void load_keys(bf16 *k, bf16 *v, const bf16 *qkv, const attention_item &it,
                                                 int key0, int rows, const attention_args &a) {
    load_rows<D>(k, qkv + it.k + key0 * it.row, it.row, rows, it.length - key0, a, (int)threadIdx.x, THREADS);
    load_rows<D>(v, qkv + it.v + key0 * it.row, it.row, rows, it.length - key0, a, (int)threadIdx.x, THREADS);
}

/* Blocks a multiprocessor at least, which bounds a thread's registers (65536 / (THREADS blocks)). NOTE: without
 * a number ptxas takes 96 registers on sm_86 and sm_89 with a head of 32 and spills. */
template <int D> constexpr int forward_blocks = D == 128 ? 2 : 4;

template <int D>
static __global__ void __launch_bounds__(THREADS, forward_blocks<D>)
    attention_bf16_forward_kernel(bf16 *out, float *lse, const bf16 *qkv, attention_args a) {
    BERTH_DYNAMIC_SHARED(forward_shared<D>, sm);
    constexpr int KEYS = 64;
    int tile;
    const attention_item it = tile_item(a, BLOCK_ROWS, &tile);
    const int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
    const int query0 = tile * BLOCK_ROWS, query = query0 + warp * ROWS;
    if (it.length <= SHORT || query0 >= it.length) return; /* the whole block */
    const pair_dropout drop = pair_dropout_of(a, it);
    softmax_state st = {{-INFINITY, -INFINITY}, {0.0f, 0.0f}};
    float o[D / 8][4];
    zero<D>(o);
    load_rows<D>(sm->q, qkv + it.q + query0 * it.row, it.row, BLOCK_ROWS, it.length - query0, a,
                 (int)threadIdx.x, THREADS);
    load_keys<D>(sm->k[0], sm->v[0], qkv, it, 0, KEYS, a);
    async_copy_commit();
    for (int key0 = 0, turn = 0; key0 < it.length; key0 += KEYS, turn ^= 1) {
        if (key0 + KEYS < it.length)
            load_keys<D>(sm->k[turn ^ 1], sm->v[turn ^ 1], qkv, it, key0 + KEYS, KEYS, a);
        async_copy_commit();
        async_copy_wait<1>();
        __syncthreads();
        if (query < it.length)
            forward_tile<D, KEYS / 8>(o, st, sm->q + warp * ROWS * stride_of<D>, sm->k[turn], sm->v[turn],
                                      query, key0, it.length - key0, a.scale, drop, lane);
        __syncthreads(); /* before this buffer is filled again */
    }
    async_copy_wait<0>();
    if (query < it.length) finish_forward<D>(out, lse, o, st, query, it.length - query, it, a, lane);
}

template <int D> struct backward_shared {
    bf16 x[BLOCK_ROWS * stride_of<D>], y[BLOCK_ROWS * stride_of<D>]; /* of the block: q and dout, or k and v */
    bf16 p[2][tile_rows<D> * stride_of<D>], r[2][tile_rows<D> * stride_of<D>]; /* k and v, or q and dout */
    float lse2[2][tile_rows<D>], delta[2][tile_rows<D>];
};

template <int D>
static __global__ void __launch_bounds__(THREADS)
    attention_bf16_dq_kernel(bf16 *dqkv, const bf16 *dout, const bf16 *qkv, const float *lse,
                             const float *delta, attention_args a) {
    BERTH_DYNAMIC_SHARED(backward_shared<D>, sm);
    constexpr int KEYS = tile_rows<D>;
    int tile;
    const attention_item it = tile_item(a, BLOCK_ROWS, &tile);
    const int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
    const int query0 = tile * BLOCK_ROWS, query = query0 + warp * ROWS;
    if (it.length <= SHORT || query0 >= it.length) return;
    const pair_dropout drop = pair_dropout_of(a, it);
    float dq[D / 8][4], row_lse[2], row_delta[2];
    zero<D>(dq);
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int q = query + lane / 4 + 8 * i;
        const int64_t at = (it.first + q) * a.heads + it.head;
        row_lse[i] = q < it.length ? lse[at] * LOG2E : 0.0f;
        row_delta[i] = q < it.length ? delta[at] : 0.0f;
    }
    load_rows<D>(sm->x, qkv + it.q + query0 * it.row, it.row, BLOCK_ROWS, it.length - query0, a,
                 (int)threadIdx.x, THREADS);
    load_rows<D>(sm->y, dout + it.out + query0 * it.width, it.width, BLOCK_ROWS, it.length - query0, a,
                 (int)threadIdx.x, THREADS);
    load_keys<D>(sm->p[0], sm->r[0], qkv, it, 0, KEYS, a);
    async_copy_commit();
    for (int key0 = 0, turn = 0; key0 < it.length; key0 += KEYS, turn ^= 1) {
        if (key0 + KEYS < it.length)
            load_keys<D>(sm->p[turn ^ 1], sm->r[turn ^ 1], qkv, it, key0 + KEYS, KEYS, a);
        async_copy_commit();
        async_copy_wait<1>();
        __syncthreads();
        if (query < it.length)
            dq_tile<D, KEYS / 8>(dq, sm->x + warp * ROWS * stride_of<D>, sm->y + warp * ROWS * stride_of<D>,
                                 sm->p[turn], sm->r[turn], row_lse, row_delta, query, key0, it.length - key0, a,
                                 drop, lane);
        __syncthreads();
    }
    async_copy_wait<0>();
    store_rows<D>(dqkv + it.q + query * it.row, it.row, dq, a.scale, a.scale, it.length - query, a, lane);
}

/* Queries of one tile with their lse (times log2 e) and delta; zeros behind the last. */
template <int D>
static __device__ __forceinline__ void
load_queries(backward_shared<D> *sm, int turn, const bf16 *dout, const bf16 *qkv, const float *lse,
             const float *delta, const attention_item &it, int query0, const attention_args &a) {
    load_rows<D>(sm->p[turn], qkv + it.q + query0 * it.row, it.row, tile_rows<D>, it.length - query0, a,
                 (int)threadIdx.x, THREADS);
    load_rows<D>(sm->r[turn], dout + it.out + query0 * it.width, it.width, tile_rows<D>, it.length - query0, a,
                 (int)threadIdx.x, THREADS);
    if ((int)threadIdx.x >= tile_rows<D>) return;
    const int q = query0 + (int)threadIdx.x;
    const int64_t at = (it.first + q) * a.heads + it.head;
    sm->lse2[turn][threadIdx.x] = q < it.length ? lse[at] * LOG2E : 0.0f;
    sm->delta[turn][threadIdx.x] = q < it.length ? delta[at] : 0.0f;
}

template <int D>
static __global__ void __launch_bounds__(THREADS)
    attention_bf16_dkv_kernel(bf16 *dqkv, const bf16 *dout, const bf16 *qkv, const float *lse,
                              const float *delta, attention_args a) {
    BERTH_DYNAMIC_SHARED(backward_shared<D>, sm);
    constexpr int QUERIES = tile_rows<D>;
    int tile;
    const attention_item it = tile_item(a, BLOCK_ROWS, &tile);
    const int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
    const int key0 = tile * BLOCK_ROWS, key = key0 + warp * ROWS;
    if (it.length <= SHORT || key0 >= it.length) return;
    const pair_dropout drop = pair_dropout_of(a, it);
    float dk[D / 8][4], dv[D / 8][4];
    zero<D>(dk);
    zero<D>(dv);
    load_keys<D>(sm->x, sm->y, qkv, it, key0, BLOCK_ROWS, a);
    load_queries<D>(sm, 0, dout, qkv, lse, delta, it, 0, a);
    async_copy_commit();
    for (int query0 = 0, turn = 0; query0 < it.length; query0 += QUERIES, turn ^= 1) {
        if (query0 + QUERIES < it.length)
            load_queries<D>(sm, turn ^ 1, dout, qkv, lse, delta, it, query0 + QUERIES, a);
        async_copy_commit();
        async_copy_wait<1>();
        __syncthreads();
        if (key < it.length)
            dkv_tile<D, QUERIES / 8>(dk, dv, sm->x + warp * ROWS * stride_of<D>,
                                     sm->y + warp * ROWS * stride_of<D>, sm->p[turn], sm->r[turn],
                                     sm->lse2[turn], sm->delta[turn], query0, key, a, drop, lane);
        __syncthreads();
    }
    async_copy_wait<0>();
    store_rows<D>(dqkv + it.k + key * it.row, it.row, dk, a.scale, a.scale, it.length - key, a, lane);
    store_rows<D>(dqkv + it.v + key * it.row, it.row, dv, 1.0f, 1.0f, it.length - key, a, lane);
}

/* ------------------------------------------------------------------ short: a warp a sequence and head */

template <int D> constexpr int short_warps = D == 128 ? 2 : 4;

template <int D> struct short_forward_shared {
    bf16 q[SHORT * stride_of<D>], k[SHORT * stride_of<D>], v[SHORT * stride_of<D>];
};

template <int D> struct short_backward_shared {
    bf16 q[SHORT * stride_of<D>], k[SHORT * stride_of<D>], v[SHORT * stride_of<D>], dout[SHORT * stride_of<D>];
    float lse2[SHORT], delta[SHORT];
};

template <int D, int NT>
static __device__ __forceinline__ void short_forward(bf16 *out, float *lse, const short_forward_shared<D> *sm,
                                                     const attention_item &it, const attention_args &a,
                                                     const pair_dropout &drop, int lane) {
    for (int query = 0; query < it.length; query += ROWS) {
        softmax_state st = {{-INFINITY, -INFINITY}, {0.0f, 0.0f}};
        float o[D / 8][4];
        zero<D>(o);
        forward_tile<D, NT>(o, st, sm->q + query * stride_of<D>, sm->k, sm->v, query, 0, it.length, a.scale,
                            drop, lane);
        finish_forward<D>(out, lse, o, st, query, it.length - query, it, a, lane);
    }
}

template <int D>
static __global__ void attention_bf16_short_forward_kernel(bf16 *out, float *lse, const bf16 *qkv,
                                                           attention_args a) {
    BERTH_DYNAMIC_SHARED(short_forward_shared<D>, all);
    const int lane = (int)threadIdx.x % WARP;
    const int64_t index = warp_item(short_warps<D>);
    if (index >= a.sequences * a.heads) return;
    const attention_item it = item_of(a, index / a.heads, (int)(index % a.heads));
    if (it.length > SHORT || it.length == 0) return; /* a whole warp, and no block barrier follows */
    const pair_dropout drop = pair_dropout_of(a, it);
    short_forward_shared<D> *sm = all + threadIdx.x / WARP;
    const int rows = it.length <= ROWS ? ROWS : 2 * ROWS;
    load_rows<D>(sm->q, qkv + it.q, it.row, rows, it.length, a, lane, WARP);
    load_rows<D>(sm->k, qkv + it.k, it.row, rows, it.length, a, lane, WARP);
    load_rows<D>(sm->v, qkv + it.v, it.row, rows, it.length, a, lane, WARP);
    async_copy_commit();
    async_copy_wait<0>();
    __syncwarp();
    if (rows == ROWS)
        short_forward<D, 2>(out, lse, sm, it, a, drop, lane);
    else
        short_forward<D, 4>(out, lse, sm, it, a, drop, lane);
}

template <int D, int NT>
static __device__ __forceinline__ void short_backward(bf16 *dqkv, const short_backward_shared<D> *sm,
                                                      const attention_item &it, const attention_args &a,
                                                      const pair_dropout &drop, int lane) {
    for (int row = 0; row < it.length; row += ROWS) {
        const int at = row * stride_of<D>;
        const float row_lse[2] = {sm->lse2[row + lane / 4], sm->lse2[row + lane / 4 + 8]};
        const float row_delta[2] = {sm->delta[row + lane / 4], sm->delta[row + lane / 4 + 8]};
        float dx[D / 8][4], dv[D / 8][4];
        zero<D>(dx);
        dq_tile<D, NT>(dx, sm->q + at, sm->dout + at, sm->k, sm->v, row_lse, row_delta, row, 0, it.length, a,
                       drop, lane);
        store_rows<D>(dqkv + it.q + row * it.row, it.row, dx, a.scale, a.scale, it.length - row, a, lane);
        zero<D>(dx);
        zero<D>(dv);
        dkv_tile<D, NT>(dx, dv, sm->k + at, sm->v + at, sm->q, sm->dout, sm->lse2, sm->delta, 0, row, a, drop,
                        lane);
        store_rows<D>(dqkv + it.k + row * it.row, it.row, dx, a.scale, a.scale, it.length - row, a, lane);
        store_rows<D>(dqkv + it.v + row * it.row, it.row, dv, 1.0f, 1.0f, it.length - row, a, lane);
    }
}

/* Σ_d dout out of one row. */
static __device__ __forceinline__ float row_delta_of(const bf16 *dout, const bf16 *out,
                                                     const attention_args &a) {
    float sum = 0.0f;
    for (int c = 0; c < a.head_size; c += PACK) {
        const int n = a.head_size - c < PACK ? a.head_size - c : PACK;
        pack x, y;
        load_any(x, dout + c, n, a.wide);
        load_any(y, out + c, n, a.wide);
#pragma unroll
        for (int k = 0; k < PACK; k++)
            sum += x.v[k] * y.v[k];
    }
    return sum;
}

template <int D>
static __global__ void attention_bf16_short_backward_kernel(bf16 *dqkv, const bf16 *dout, const bf16 *qkv,
                                                            const bf16 *out, const float *lse,
                                                            attention_args a) {
    BERTH_DYNAMIC_SHARED(short_backward_shared<D>, all);
    const int lane = (int)threadIdx.x % WARP;
    const int64_t index = warp_item(short_warps<D>);
    if (index >= a.sequences * a.heads) return;
    const attention_item it = item_of(a, index / a.heads, (int)(index % a.heads));
    if (it.length > SHORT || it.length == 0) return;
    const pair_dropout drop = pair_dropout_of(a, it);
    short_backward_shared<D> *sm = all + threadIdx.x / WARP;
    const int rows = it.length <= ROWS ? ROWS : 2 * ROWS;
    load_rows<D>(sm->q, qkv + it.q, it.row, rows, it.length, a, lane, WARP);
    load_rows<D>(sm->k, qkv + it.k, it.row, rows, it.length, a, lane, WARP);
    load_rows<D>(sm->v, qkv + it.v, it.row, rows, it.length, a, lane, WARP);
    load_rows<D>(sm->dout, dout + it.out, it.width, rows, it.length, a, lane, WARP);
    async_copy_commit();
    const bool inside = lane < it.length;
    const int64_t at = it.out + lane * it.width;
    sm->lse2[lane] = inside ? lse[(it.first + lane) * a.heads + it.head] * LOG2E : 0.0f;
    sm->delta[lane] = inside ? row_delta_of(dout + at, out + at, a) : 0.0f;
    async_copy_wait<0>();
    __syncwarp();
    if (rows == ROWS)
        short_backward<D, 2>(dqkv, sm, it, a, drop, lane);
    else
        short_backward<D, 4>(dqkv, sm, it, a, drop, lane);
}

/* ------------------------------------------------------------------ launches */

template <int D> static int forward(const attention_forward_in &in, const attention_args &a, berth_stream *s) {
    bf16 *out = (bf16 *)in.out;
    const bf16 *qkv = (const bf16 *)in.qkv;
    int error = launch(attention_bf16_short_forward_kernel<D>, short_blocks(a, short_warps<D>),
                       dim3(short_warps<D> * WARP), short_warps<D> * sizeof(short_forward_shared<D>), s, out,
                       in.lse, qkv, a);
    if (error == 0 && a.max_length > SHORT)
        error = launch(attention_bf16_forward_kernel<D>, tile_blocks(a, BLOCK_ROWS), dim3(THREADS),
                       sizeof(forward_shared<D>), s, out, in.lse, qkv, a);
    return error;
}

template <int D>
static int backward(const attention_backward_in &in, const attention_args &a, berth_stream *s) {
    bf16 *dqkv = (bf16 *)in.dqkv;
    const bf16 *dout = (const bf16 *)in.dout, *qkv = (const bf16 *)in.qkv;
    int error = launch(attention_bf16_short_backward_kernel<D>, short_blocks(a, short_warps<D>),
                       dim3(short_warps<D> * WARP), short_warps<D> * sizeof(short_backward_shared<D>), s, dqkv,
                       dout, qkv, (const bf16 *)in.out, in.lse, a);
    if (error != 0 || a.max_length <= SHORT) return error;
    error = launch(attention_bf16_dq_kernel<D>, tile_blocks(a, BLOCK_ROWS), dim3(THREADS),
                   sizeof(backward_shared<D>), s, dqkv, dout, qkv, in.lse, (const float *)in.delta, a);
    if (error != 0) return error;
    return launch(attention_bf16_dkv_kernel<D>, tile_blocks(a, BLOCK_ROWS), dim3(THREADS),
                  sizeof(backward_shared<D>), s, dqkv, dout, qkv, in.lse, (const float *)in.delta, a);
}

int ATTENTION(bf16_forward)(const attention_forward_in &in, const attention_args &a, berth_stream *stream) {
    if (a.head_size <= 32) return forward<32>(in, a, stream);
    return a.head_size <= 64 ? forward<64>(in, a, stream) : forward<128>(in, a, stream);
}

int ATTENTION(bf16_backward)(const attention_backward_in &in, const attention_args &a, berth_stream *stream) {
    if (a.head_size <= 32) return backward<32>(in, a, stream);
    return a.head_size <= 64 ? backward<64>(in, a, stream) : backward<128>(in, a, stream);
}
