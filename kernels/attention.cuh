/* attention.cuh: between attention.cu (launchers) and its two versions, attention_f32.cu and attention_bf16.cu.
 *
 * Formulas in attention.c. A sequence of at most SHORT tokens belongs, head by head, to one warp, several a
 * block, and no tile is filled up beyond the next 16 rows; longer ones are cut in tiles of queries (forward,
 * dQ) or keys (dK and dV), a block each, which walk the other side with an online softmax. Which path a
 * sequence takes follows from its own length, so its bits do not depend on the others. Where lengths differ
 * both kernels are launched and each leaves the other's sequences at once.
 *
 * Backward recomputes the scores twice, once for dQ and once for dK and dV (7 products instead of 5): nothing
 * is added by two blocks, so the order of every sum is fixed, without atomics or partial sums in memory.
 *
 * Head sizes: 32, 64 and 128 as they are, others up to 128 as the next of these with zeros. */
#ifndef BERTH_KERNELS_ATTENTION_CUH
#define BERTH_KERNELS_ATTENTION_CUH

#include "common.cuh"

enum { SHORT = 32 };

struct attention_args {
    const int32_t *cu_seqlens;
    int64_t sequences, max_length;
    int heads, head_size;
    float scale;
    bool wide; /* rows can be read 16 bytes at a time */
    struct berth_dropout dropout;
    float keep_scale;
};

struct attention_forward_in {
    void *out;
    float *lse;
    const void *qkv;
};

struct attention_backward_in {
    void *dqkv;
    const void *dout, *qkv, *out;
    const float *lse;
    float *delta; /* [T, A] Σ_d dout out; of sequences longer than SHORT */
};

#if defined(__CUDACC__)
#define ATTENTION(name) berth_cuda_attention_##name
#else
#define ATTENTION(name) berth_cuda_host_attention_##name
#endif
int ATTENTION(f32_forward)(const attention_forward_in &in, const attention_args &a, berth_stream *stream);
int ATTENTION(f32_backward)(const attention_backward_in &in, const attention_args &a, berth_stream *stream);
int ATTENTION(bf16_forward)(const attention_forward_in &in, const attention_args &a, berth_stream *stream);
int ATTENTION(bf16_backward)(const attention_backward_in &in, const attention_args &a, berth_stream *stream);

/* ------------------------------------------------------------------ one sequence and head */

/* Element offsets; rows of qkv and dqkv are `row` elements apart, those of out and dout `width`. */
struct attention_item {
    int64_t first; /* row of the packed arrays */
    int length, head;
    int64_t sequence;
    int64_t row, width;
    int64_t q, k, v, out; /* offsets of the first row */
};

static __device__ __forceinline__ attention_item item_of(const attention_args &a, int64_t sequence, int head) {
    attention_item it;
    it.first = a.cu_seqlens[sequence];
    it.length = (int)(a.cu_seqlens[sequence + 1] - it.first);
    it.head = head;
    it.sequence = sequence;
    it.width = (int64_t)a.heads * a.head_size;
    it.row = 3 * it.width;
    it.q = it.first * it.row + (int64_t)head * a.head_size;
    it.k = it.q + it.width;
    it.v = it.k + it.width;
    it.out = it.first * it.width + (int64_t)head * a.head_size;
    return it;
}

/* Of the launch (tiles * sequences, heads): this block's item and tile. */
static __device__ __forceinline__ attention_item tile_item(const attention_args &a, int tile_rows, int *tile) {
    const int64_t tiles = (a.max_length + tile_rows - 1) / tile_rows;
    *tile = (int)(blockIdx.x % (unsigned)tiles);
    return item_of(a, (int64_t)(blockIdx.x / (unsigned)tiles), (int)blockIdx.y);
}

static inline dim3 tile_blocks(const attention_args &a, int tile_rows) {
    return dim3((unsigned)(ceil_div(a.max_length, tile_rows) * a.sequences), (unsigned)a.heads);
}

/* Of the launch (ceil(sequences * heads / warps)): this warp's index among the items. */
static __device__ __forceinline__ int64_t warp_item(int warps) {
    return (int64_t)blockIdx.x * warps + threadIdx.x / WARP;
}

static inline dim3 short_blocks(const attention_args &a, int warps) {
    return dim3((unsigned)ceil_div(a.sequences * a.heads, warps));
}

/* ------------------------------------------------------------------ dropout of probabilities */

struct pair_dropout {
    uint32_t seed0, seed1, step, ordinal, site, head, threshold;
};

static __device__ __forceinline__ pair_dropout pair_dropout_of(const attention_args &a,
                                                               const attention_item &it) {
    const struct berth_dropout &d = a.dropout;
    pair_dropout p = {0, 0, 0, 0, d.site, (uint32_t)it.head, d.threshold};
    if (d.threshold == 0) return p;
    p.seed0 = d.key[0], p.seed1 = d.key[1], p.step = d.key[2];
    p.ordinal = (uint32_t)d.ordinal[it.sequence];
    return p;
}

/* Eight decisions: query against keys [8 block, 8 block + 8). */
static __device__ __forceinline__ uint32_t keep_pairs(const pair_dropout &d, int query, int block) {
    return berth_dropout_keep8(d.seed0, d.seed1, d.step, d.ordinal, d.site, d.head, (uint32_t)query,
                               (uint32_t)block, d.threshold);
}

#endif /* BERTH_KERNELS_ATTENTION_CUH */
