/* attention_f32.cu: attention in fp32, on the ordinary cores; see attention.cuh.
 *
 * Long sequences: tiles of 32 queries by 32 keys, 128 threads. Thread (y, x), y = 0..15, x = 0..7, has the
 * scores of rows y and y + 16 against columns x, x + 8, x + 16, x + 24, and of the products the columns x + 8
 * i. Rows of shared memory are one float longer than a tile's, so a warp's reads fall on different banks. */
#include "attention.cuh"

enum { TILE = 32, THREADS = 128, LANES = 8, HALF = 16 };

typedef float score_tile[TILE][TILE + 1];
template <int D> using row_tile = float[TILE][D + 1];

/* dst[TILE][D] = rows of src, zeros behind the last row and column; by `threads` threads from `thread` on */
template <int D>
static __device__ __forceinline__ void load_tile(row_tile<D> &dst, const float *src, int64_t stride, int rows,
                                                 int head_size, int thread, int threads) {
    for (int i = thread; i < TILE * D; i += threads) {
        const int r = i / D, c = i % D;
        dst[r][c] = r < rows && c < head_size ? src[r * stride + c] : 0.0f;
    }
}

/* s[i][j] = Σ_c a[y + 16 i][c] b[x + 8 j][c] */
template <int D>
static __device__ __forceinline__ void scores(float (&s)[2][4], const row_tile<D> &a, const row_tile<D> &b,
                                              int y, int x) {
#pragma unroll
    for (int j = 0; j < 4; j++)
        s[0][j] = s[1][j] = 0.0f;
#pragma unroll 4
    for (int c = 0; c < D; c++) {
        const float a0 = a[y][c], a1 = a[y + HALF][c];
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const float v = b[x + LANES * j][c];
            s[0][j] += a0 * v;
            s[1][j] += a1 * v;
        }
    }
}

/* o[i][n] += Σ_k p[y + 16 i][k] b[k][x + 8 n] */
template <int D>
static __device__ __forceinline__ void add_product(float (&o)[2][D / LANES], const score_tile &p,
                                                   const row_tile<D> &b, int y, int x) {
    for (int k = 0; k < TILE; k++) {
        const float p0 = p[y][k], p1 = p[y + HALF][k];
#pragma unroll
        for (int n = 0; n < D / LANES; n++) {
            const float v = b[k][x + LANES * n];
            o[0][n] += p0 * v;
            o[1][n] += p1 * v;
        }
    }
}

template <int D> static __device__ __forceinline__ void zero(float (&o)[2][D / LANES]) {
#pragma unroll
    for (int n = 0; n < D / LANES; n++)
        o[0][n] = o[1][n] = 0.0f;
}

/* to[r][c] = factor o, rows y and y + 16 below `rows` */
template <int D>
static __device__ __forceinline__ void store_rows(float *to, int64_t stride, const float (&o)[2][D / LANES],
                                                  float factor0, float factor1, int rows, int head_size, int y,
                                                  int x) {
#pragma unroll
    for (int n = 0; n < D / LANES; n++) {
        const int c = x + LANES * n;
        if (c < head_size && y < rows) to[y * stride + c] = o[0][n] * factor0;
        if (c < head_size && y + HALF < rows) to[(y + HALF) * stride + c] = o[1][n] * factor1;
    }
}

/* Decisions of rows y, y + 16 (queries) against the tile's keys: bit 4 i + j of the answer is the pair (y + 16
 * i, x + 8 j). The eight threads of a row draw its eight blocks, one each. */
static __device__ __forceinline__ uint32_t tile_keeps(const pair_dropout &d, int query0, int key0, int y,
                                                      int x) {
    if (d.threshold == 0) return 0xFFu;
    const uint32_t mine = keep_pairs(d, query0 + y + HALF * (x / 4), key0 / PACK + x % 4);
    uint32_t bits = 0;
#pragma unroll
    for (int from = 0; from < LANES; from++)
        bits |= (__shfl_sync(ALL_LANES, mine, from, LANES) >> x & 1) << from;
    return bits;
}

/* The same with rows as keys and columns as queries. A warp has the keys of two blocks of eight. */
static __device__ __forceinline__ uint32_t tile_keeps_transposed(const pair_dropout &d, int query0, int key0,
                                                                 int y, int x) {
    if (d.threshold == 0) return 0xFFu;
    const int lane = (int)threadIdx.x % WARP, block = (key0 + y) / PACK;
    const uint32_t mine =
        keep_pairs(d, query0 + lane, block) | keep_pairs(d, query0 + lane, block + HALF / PACK) << PACK;
    uint32_t bits = 0;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const uint32_t word = __shfl_sync(ALL_LANES, mine, x + LANES * j) >> (y % PACK);
        bits |= (word & 1) << j | (word >> PACK & 1) << (4 + j);
    }
    return bits;
}

/* Over the eight threads of a row. */
static __device__ __forceinline__ float eight_max(float v) {
#pragma unroll
    for (int by = LANES / 2; by > 0; by /= 2)
        v = fmaxf(v, __shfl_xor_sync(ALL_LANES, v, by));
    return v;
}

static __device__ __forceinline__ float eight_sum(float v) {
#pragma unroll
    for (int by = LANES / 2; by > 0; by /= 2)
        v += __shfl_xor_sync(ALL_LANES, v, by);
    return v;
}

/* ------------------------------------------------------------------ long: forward */

template <int D> struct forward_shared {
    row_tile<D> q, kv;
    score_tile p;
};

/* Scores of one tile -> dropped e^(s - top) in p; top, sum and o of the two rows brought to the new maximum. */
template <int D>
static __device__ __forceinline__ void softmax_tile(score_tile &p, float (&s)[2][4], float (&top)[2],
                                                    float (&sum)[2], float (&o)[2][D / LANES], float scale,
                                                    int keys, uint32_t keeps, int y, int x) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
        float largest = top[i];
#pragma unroll
        for (int j = 0; j < 4; j++) {
            s[i][j] = x + LANES * j < keys ? s[i][j] * scale : -INFINITY;
            largest = fmaxf(largest, s[i][j]);
        }
        largest = eight_max(largest);
        const float shrink = expf(top[i] - largest);
        top[i] = largest;
        sum[i] *= shrink;
#pragma unroll
        for (int n = 0; n < D / LANES; n++)
            o[i][n] *= shrink;
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const float e = expf(s[i][j] - largest);
            sum[i] += e;
            p[y + HALF * i][x + LANES * j] = keeps >> (4 * i + j) & 1 ? e : 0.0f;
        }
    }
}

template <int D>
static __global__ void __launch_bounds__(THREADS)
    attention_f32_forward_kernel(float *out, float *lse, const float *qkv, attention_args a) {
    BERTH_DYNAMIC_SHARED(forward_shared<D>, sm);
    int tile;
    const attention_item it = tile_item(a, TILE, &tile);
    const int query0 = tile * TILE, y = (int)threadIdx.x / LANES, x = (int)threadIdx.x % LANES;
    if (it.length <= SHORT || query0 >= it.length) return; /* the whole block */
    const pair_dropout drop = pair_dropout_of(a, it);
    const int rows = it.length - query0;
    float o[2][D / LANES], top[2] = {-INFINITY, -INFINITY}, sum[2] = {0.0f, 0.0f};
    zero<D>(o);
    load_tile<D>(sm->q, qkv + it.q + query0 * it.row, it.row, rows, a.head_size, (int)threadIdx.x, THREADS);
    for (int key0 = 0; key0 < it.length; key0 += TILE) {
        const int keys = it.length - key0;
        float s[2][4];
        load_tile<D>(sm->kv, qkv + it.k + key0 * it.row, it.row, keys, a.head_size, (int)threadIdx.x, THREADS);
        __syncthreads();
        scores<D>(s, sm->q, sm->kv, y, x);
        softmax_tile<D>(sm->p, s, top, sum, o, a.scale, keys, tile_keeps(drop, query0, key0, y, x), y, x);
        __syncthreads();
        load_tile<D>(sm->kv, qkv + it.v + key0 * it.row, it.row, keys, a.head_size, (int)threadIdx.x, THREADS);
        __syncthreads();
        add_product<D>(o, sm->p, sm->kv, y, x);
        __syncthreads();
    }
    sum[0] = eight_sum(sum[0]);
    sum[1] = eight_sum(sum[1]);
    store_rows<D>(out + it.out + query0 * it.width, it.width, o, a.keep_scale / sum[0], a.keep_scale / sum[1],
                  rows, a.head_size, y, x);
    if (lse == nullptr || x != 0) return;
#pragma unroll
    for (int i = 0; i < 2; i++)
        if (y + HALF * i < rows)
            lse[(it.first + query0 + y + HALF * i) * a.heads + it.head] = top[i] + logf(sum[i]);
}

/* ------------------------------------------------------------------ long: backward */

template <int D> struct backward_shared {
    row_tile<D> q, dout, k, v;
    score_tile p, ds;
    float lse[TILE], delta[TILE];
};

template <int D>
static __global__ void __launch_bounds__(THREADS)
    attention_f32_dq_kernel(float *dqkv, const float *dout, const float *qkv, const float *lse,
                            const float *delta, attention_args a) {
    BERTH_DYNAMIC_SHARED(backward_shared<D>, sm);
    int tile;
    const attention_item it = tile_item(a, TILE, &tile);
    const int query0 = tile * TILE, y = (int)threadIdx.x / LANES, x = (int)threadIdx.x % LANES;
    if (it.length <= SHORT || query0 >= it.length) return;
    const pair_dropout drop = pair_dropout_of(a, it);
    const int rows = it.length - query0;
    float dq[2][D / LANES], row_lse[2], row_delta[2];
    zero<D>(dq);
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const bool inside = y + HALF * i < rows;
        const int64_t at = (it.first + query0 + y + HALF * i) * a.heads + it.head;
        row_lse[i] = inside ? lse[at] : 0.0f;
        row_delta[i] = inside ? delta[at] : 0.0f;
    }
    load_tile<D>(sm->q, qkv + it.q + query0 * it.row, it.row, rows, a.head_size, (int)threadIdx.x, THREADS);
    load_tile<D>(sm->dout, dout + it.out + query0 * it.width, it.width, rows, a.head_size, (int)threadIdx.x,
                 THREADS);
    for (int key0 = 0; key0 < it.length; key0 += TILE) {
        const int keys = it.length - key0;
        float s[2][4], dp[2][4];
        load_tile<D>(sm->k, qkv + it.k + key0 * it.row, it.row, keys, a.head_size, (int)threadIdx.x, THREADS);
        load_tile<D>(sm->v, qkv + it.v + key0 * it.row, it.row, keys, a.head_size, (int)threadIdx.x, THREADS);
        __syncthreads();
        scores<D>(s, sm->q, sm->k, y, x);
        scores<D>(dp, sm->dout, sm->v, y, x);
        const uint32_t keeps = tile_keeps(drop, query0, key0, y, x);
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int j = 0; j < 4; j++) {
                const float p = x + LANES * j < keys ? expf(a.scale * s[i][j] - row_lse[i]) : 0.0f;
                const float kept = keeps >> (4 * i + j) & 1 ? a.keep_scale * dp[i][j] : 0.0f;
                sm->ds[y + HALF * i][x + LANES * j] = a.scale * p * (kept - row_delta[i]);
            }
        __syncthreads();
        add_product<D>(dq, sm->ds, sm->k, y, x);
        __syncthreads();
    }
    store_rows<D>(dqkv + it.q + query0 * it.row, it.row, dq, 1.0f, 1.0f, rows, a.head_size, y, x);
}

template <int D>
static __global__ void __launch_bounds__(THREADS)
    attention_f32_dkv_kernel(float *dqkv, const float *dout, const float *qkv, const float *lse,
                             const float *delta, attention_args a) {
    BERTH_DYNAMIC_SHARED(backward_shared<D>, sm);
    int tile;
    const attention_item it = tile_item(a, TILE, &tile);
    const int key0 = tile * TILE, y = (int)threadIdx.x / LANES, x = (int)threadIdx.x % LANES;
    if (it.length <= SHORT || key0 >= it.length) return;
    const pair_dropout drop = pair_dropout_of(a, it);
    const int keys = it.length - key0;
    float dk[2][D / LANES], dv[2][D / LANES];
    zero<D>(dk);
    zero<D>(dv);
    load_tile<D>(sm->k, qkv + it.k + key0 * it.row, it.row, keys, a.head_size, (int)threadIdx.x, THREADS);
    load_tile<D>(sm->v, qkv + it.v + key0 * it.row, it.row, keys, a.head_size, (int)threadIdx.x, THREADS);
    for (int query0 = 0; query0 < it.length; query0 += TILE) {
        const int rows = it.length - query0;
        float s[2][4], dp[2][4];
        load_tile<D>(sm->q, qkv + it.q + query0 * it.row, it.row, rows, a.head_size, (int)threadIdx.x, THREADS);
        load_tile<D>(sm->dout, dout + it.out + query0 * it.width, it.width, rows, a.head_size, (int)threadIdx.x,
                     THREADS);
        if (threadIdx.x < TILE) {
            const bool inside = (int)threadIdx.x < rows;
            const int64_t at = (it.first + query0 + threadIdx.x) * a.heads + it.head;
            sm->lse[threadIdx.x] = inside ? lse[at] : 0.0f;
            sm->delta[threadIdx.x] = inside ? delta[at] : 0.0f;
        }
        __syncthreads();
        scores<D>(s, sm->k, sm->q, y, x);
        scores<D>(dp, sm->v, sm->dout, y, x);
        const uint32_t keeps = tile_keeps_transposed(drop, query0, key0, y, x);
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int j = 0; j < 4; j++) {
                const int query = x + LANES * j;
                const float p = query < rows ? expf(a.scale * s[i][j] - sm->lse[query]) : 0.0f;
                const float kept = keeps >> (4 * i + j) & 1 ? a.keep_scale : 0.0f;
                sm->p[y + HALF * i][query] = p * kept;
                sm->ds[y + HALF * i][query] = a.scale * p * (kept * dp[i][j] - sm->delta[query]);
            }
        __syncthreads();
        add_product<D>(dv, sm->p, sm->dout, y, x);
        add_product<D>(dk, sm->ds, sm->q, y, x);
        __syncthreads();
    }
    store_rows<D>(dqkv + it.k + key0 * it.row, it.row, dk, 1.0f, 1.0f, keys, a.head_size, y, x);
    store_rows<D>(dqkv + it.v + key0 * it.row, it.row, dv, 1.0f, 1.0f, keys, a.head_size, y, x);
}

/* ------------------------------------------------------------------ short: a warp a sequence and head
 * Lane j is key j for scores, and columns j, j + 32, ... for products. */

template <int D> struct short_forward_shared { row_tile<D> q, k, v; };
template <int D> struct short_backward_shared {
    row_tile<D> q, k, v, dout;
    score_tile p, ds;
};

/* Decisions of eight queries from `query` on: lane 4 q + b has block b of query q. */
static __device__ __forceinline__ uint32_t short_draw(const pair_dropout &d, int query, int lane) {
    return d.threshold == 0 ? 0xFFu : keep_pairs(d, query + lane / 4, lane % 4);
}

static __device__ __forceinline__ bool short_keep(uint32_t drawn, int query, int lane) {
    return __shfl_sync(ALL_LANES, drawn, query % 8 * 4 + lane / 8) >> (lane % 8) & 1;
}

template <int D>
static __device__ __forceinline__ float row_dot(const row_tile<D> &a, int row, const row_tile<D> &b, int lane) {
    float sum = 0.0f;
    for (int c = 0; c < D; c++)
        sum += a[row][c] * b[lane][c];
    return sum;
}

template <int D, int WARPS>
static __global__ void attention_f32_short_forward_kernel(float *out, float *lse, const float *qkv,
                                                          attention_args a) {
    BERTH_DYNAMIC_SHARED(short_forward_shared<D>, all);
    const int lane = (int)threadIdx.x % WARP;
    const int64_t index = warp_item(WARPS);
    if (index >= a.sequences * a.heads) return;
    const attention_item it = item_of(a, index / a.heads, (int)(index % a.heads));
    if (it.length > SHORT || it.length == 0) return; /* a whole warp, and no block barrier follows */
    const pair_dropout drop = pair_dropout_of(a, it);
    short_forward_shared<D> *sm = all + threadIdx.x / WARP;
    load_tile<D>(sm->q, qkv + it.q, it.row, it.length, a.head_size, lane, WARP);
    load_tile<D>(sm->k, qkv + it.k, it.row, it.length, a.head_size, lane, WARP);
    load_tile<D>(sm->v, qkv + it.v, it.row, it.length, a.head_size, lane, WARP);
    __syncwarp();
    uint32_t drawn = 0;
    for (int query = 0; query < it.length; query++) {
        const float s = lane < it.length ? a.scale * row_dot<D>(sm->q, query, sm->k, lane) : -INFINITY;
        const float top = warp_max(s), e = expf(s - top), sum = warp_sum(e);
        if (query % 8 == 0) drawn = short_draw(drop, query, lane);
        const float p = short_keep(drawn, query, lane) ? e * (a.keep_scale / sum) : 0.0f;
        float o[D / WARP];
#pragma unroll
        for (int n = 0; n < D / WARP; n++)
            o[n] = 0.0f;
        for (int key = 0; key < it.length; key++) {
            const float share = __shfl_sync(ALL_LANES, p, key);
#pragma unroll
            for (int n = 0; n < D / WARP; n++)
                o[n] += share * sm->v[key][lane + WARP * n];
        }
#pragma unroll
        for (int n = 0; n < D / WARP; n++)
            if (lane + WARP * n < a.head_size) out[it.out + query * it.width + lane + WARP * n] = o[n];
        if (lane == 0 && lse != nullptr) lse[(it.first + query) * a.heads + it.head] = top + logf(sum);
    }
}

/* to[row][lane + 32 n] = Σ_k p(k) b[k][..] */
template <int D, class P>
static __device__ __forceinline__ void short_product(float *to, const row_tile<D> &b, int terms, int head_size,
                                                     int lane, P p) {
    float o[D / WARP];
#pragma unroll
    for (int n = 0; n < D / WARP; n++)
        o[n] = 0.0f;
    for (int k = 0; k < terms; k++) {
        const float share = p(k);
#pragma unroll
        for (int n = 0; n < D / WARP; n++)
            o[n] += share * b[k][lane + WARP * n];
    }
#pragma unroll
    for (int n = 0; n < D / WARP; n++)
        if (lane + WARP * n < head_size) to[lane + WARP * n] = o[n];
}

template <int D, int WARPS>
static __global__ void attention_f32_short_backward_kernel(float *dqkv, const float *dout, const float *qkv,
                                                           const float *out, const float *lse,
                                                           attention_args a) {
    BERTH_DYNAMIC_SHARED(short_backward_shared<D>, all);
    const int lane = (int)threadIdx.x % WARP;
    const int64_t index = warp_item(WARPS);
    if (index >= a.sequences * a.heads) return;
    const attention_item it = item_of(a, index / a.heads, (int)(index % a.heads));
    if (it.length > SHORT || it.length == 0) return;
    const pair_dropout drop = pair_dropout_of(a, it);
    short_backward_shared<D> *sm = all + threadIdx.x / WARP;
    load_tile<D>(sm->q, qkv + it.q, it.row, it.length, a.head_size, lane, WARP);
    load_tile<D>(sm->k, qkv + it.k, it.row, it.length, a.head_size, lane, WARP);
    load_tile<D>(sm->v, qkv + it.v, it.row, it.length, a.head_size, lane, WARP);
    load_tile<D>(sm->dout, dout + it.out, it.width, it.length, a.head_size, lane, WARP);
    __syncwarp();
    uint32_t drawn = 0;
    for (int query = 0; query < it.length; query++) {
        float part = 0.0f;
        for (int c = lane; c < a.head_size; c += WARP)
            part += sm->dout[query][c] * out[it.out + query * it.width + c];
        const float delta = warp_sum(part), row_lse = lse[(it.first + query) * a.heads + it.head];
        const float s = a.scale * row_dot<D>(sm->q, query, sm->k, lane);
        const float dp = row_dot<D>(sm->dout, query, sm->v, lane);
        if (query % 8 == 0) drawn = short_draw(drop, query, lane);
        const float kept = short_keep(drawn, query, lane) ? a.keep_scale : 0.0f;
        const float p = lane < it.length ? expf(s - row_lse) : 0.0f;
        sm->p[query][lane] = p * kept;
        sm->ds[query][lane] = a.scale * p * (kept * dp - delta);
    }
    __syncwarp();
    for (int row = 0; row < it.length; row++) {
        const int64_t at = row * it.row;
        short_product<D>(dqkv + it.q + at, sm->k, it.length, a.head_size, lane,
                         [&](int k) { return sm->ds[row][k]; });
        short_product<D>(dqkv + it.k + at, sm->q, it.length, a.head_size, lane,
                         [&](int k) { return sm->ds[k][row]; });
        short_product<D>(dqkv + it.v + at, sm->dout, it.length, a.head_size, lane,
                         [&](int k) { return sm->p[k][row]; });
    }
}

/* ------------------------------------------------------------------ launches */

template <int D> static int forward(const attention_forward_in &in, const attention_args &a, berth_stream *s) {
    constexpr int WARPS = D == 32 ? 4 : D == 64 ? 2 : 1;
    float *out = (float *)in.out;
    const float *qkv = (const float *)in.qkv;
    int error = launch(attention_f32_short_forward_kernel<D, WARPS>, short_blocks(a, WARPS), dim3(WARPS * WARP),
                       WARPS * sizeof(short_forward_shared<D>), s, out, in.lse, qkv, a);
    if (error == 0 && a.max_length > SHORT)
        error = launch(attention_f32_forward_kernel<D>, tile_blocks(a, TILE), dim3(THREADS),
                       sizeof(forward_shared<D>), s, out, in.lse, qkv, a);
    return error;
}

template <int D>
static int backward(const attention_backward_in &in, const attention_args &a, berth_stream *s) {
    constexpr int WARPS = D == 128 ? 1 : 2;
    float *dqkv = (float *)in.dqkv;
    const float *dout = (const float *)in.dout, *qkv = (const float *)in.qkv;
    int error =
        launch(attention_f32_short_backward_kernel<D, WARPS>, short_blocks(a, WARPS), dim3(WARPS * WARP),
               WARPS * sizeof(short_backward_shared<D>), s, dqkv, dout, qkv, (const float *)in.out, in.lse, a);
    if (error != 0 || a.max_length <= SHORT) return error;
    error = launch(attention_f32_dq_kernel<D>, tile_blocks(a, TILE), dim3(THREADS), sizeof(backward_shared<D>),
                   s, dqkv, dout, qkv, in.lse, (const float *)in.delta, a);
    if (error != 0) return error;
    return launch(attention_f32_dkv_kernel<D>, tile_blocks(a, TILE), dim3(THREADS), sizeof(backward_shared<D>),
                  s, dqkv, dout, qkv, in.lse, (const float *)in.delta, a);
}

int ATTENTION(f32_forward)(const attention_forward_in &in, const attention_args &a, berth_stream *stream) {
    if (a.head_size <= 32) return forward<32>(in, a, stream);
    return a.head_size <= 64 ? forward<64>(in, a, stream) : forward<128>(in, a, stream);
}

int ATTENTION(f32_backward)(const attention_backward_in &in, const attention_args &a, berth_stream *stream) {
    if (a.head_size <= 32) return backward<32>(in, a, stream);
    return a.head_size <= 64 ? backward<64>(in, a, stream) : backward<128>(in, a, stream);
}
