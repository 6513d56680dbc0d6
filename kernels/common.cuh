/* common.cuh: what the CUDA kernels share: packs of eight elements, warp sums in fixed order, dropout.
 *
 * A pack is eight neighbouring elements of a row in fp32 registers: one or two 16-byte accesses, and exactly
 * one call of the dropout generator. Rows whose length is no multiple of eight, or whose address is not on 16
 * bytes, take the same kernels with WIDE = false, one element at a time. Element types: float and bf16;
 * arithmetic is fp32 always, a bf16 result is rounded once, when it is stored. */
#ifndef BERTH_KERNELS_COMMON_CUH
#define BERTH_KERNELS_COMMON_CUH

#include "cuda.cuh"

enum { PACK = 8, WARP = 32 };

static const unsigned ALL_LANES = 0xFFFFFFFFu;

/* ------------------------------------------------------------------ launchers' helpers (host side) */

static inline int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

/* Whether rows of `columns` elements of these arrays (NULL allowed) can be read 16 bytes at a time. */
template <class... P> static inline bool wide_rows(int64_t columns, const P *...arrays) {
    const uintptr_t bits = (uintptr_t(0) | ... | (uintptr_t)arrays);
    return columns % PACK == 0 && bits % 16 == 0;
}

/* Blocks for n work items of one thread each; kernels walk on with a stride of the whole grid. */
static inline unsigned grid_of(int64_t n, int threads) {
    const int64_t blocks = ceil_div(n, threads);
    return (unsigned)(blocks < 1 ? 1 : blocks > 65536 ? 65536 : blocks);
}

/* The dropout as a kernel takes it: by value, threshold 0 for none. */
static inline struct berth_dropout dropout_value(const struct berth_dropout *dropout) {
    const struct berth_dropout none = {0, 0, nullptr, nullptr, nullptr};
    return dropout == nullptr ? none : *dropout;
}

/* ------------------------------------------------------------------ packs */

struct pack {
    float v[PACK];
};

static __device__ __forceinline__ float to_float(float x) {
    return x;
}

static __device__ __forceinline__ float to_float(bf16 x) {
    return __bfloat162float(x);
}

static __device__ __forceinline__ void from_float(float *to, float x) {
    *to = x;
}

static __device__ __forceinline__ void from_float(bf16 *to, float x) {
    *to = __float2bfloat16(x);
}

/* x as it will be when read back from an array of T. */
static __device__ __forceinline__ float rounded(float x, const float *) {
    return x;
}

static __device__ __forceinline__ float rounded(float x, const bf16 *) {
    return __bfloat162float(__float2bfloat16(x));
}

/* Two floats as a pair of bf16, the first in the low half. */
static __device__ __forceinline__ uint32_t pair_bf16(float low, float high) {
    return (uint32_t)__bfloat16_as_ushort(__float2bfloat16(low)) |
           (uint32_t)__bfloat16_as_ushort(__float2bfloat16(high)) << 16;
}

static __device__ __forceinline__ float low_bf16(uint32_t pair) {
    return __uint_as_float(pair << 16);
}

static __device__ __forceinline__ float high_bf16(uint32_t pair) {
    return __uint_as_float(pair & 0xFFFF0000u);
}

static __device__ __forceinline__ void load_wide(pack &p, const float *from) {
    const float4 a = vector_load<float4>(from), b = vector_load<float4>(from + 4);
    p.v[0] = a.x, p.v[1] = a.y, p.v[2] = a.z, p.v[3] = a.w;
    p.v[4] = b.x, p.v[5] = b.y, p.v[6] = b.z, p.v[7] = b.w;
}

static __device__ __forceinline__ void load_wide(pack &p, const bf16 *from) {
    const uint4 a = vector_load<uint4>(from);
    p.v[0] = low_bf16(a.x), p.v[1] = high_bf16(a.x), p.v[2] = low_bf16(a.y), p.v[3] = high_bf16(a.y);
    p.v[4] = low_bf16(a.z), p.v[5] = high_bf16(a.z), p.v[6] = low_bf16(a.w), p.v[7] = high_bf16(a.w);
}

static __device__ __forceinline__ void store_wide(float *to, const pack &p) {
    float4 a, b;
    a.x = p.v[0], a.y = p.v[1], a.z = p.v[2], a.w = p.v[3];
    b.x = p.v[4], b.y = p.v[5], b.z = p.v[6], b.w = p.v[7];
    vector_store(to, a);
    vector_store(to + 4, b);
}

static __device__ __forceinline__ void store_wide(bf16 *to, const pack &p) {
    uint4 a;
    a.x = pair_bf16(p.v[0], p.v[1]), a.y = pair_bf16(p.v[2], p.v[3]);
    a.z = pair_bf16(p.v[4], p.v[5]), a.w = pair_bf16(p.v[6], p.v[7]);
    vector_store(to, a);
}

/* The pack at `from`, of which n elements are inside the row; the others are zero. */
template <bool WIDE, class T> static __device__ __forceinline__ void load_pack(pack &p, const T *from, int n) {
    if constexpr (WIDE) {
        load_wide(p, from);
    } else {
#pragma unroll
        for (int i = 0; i < PACK; i++)
            p.v[i] = i < n ? to_float(from[i]) : 0.0f;
    }
}

template <bool WIDE, class T> static __device__ __forceinline__ void store_pack(T *to, const pack &p, int n) {
    if constexpr (WIDE) {
        store_wide(to, p);
    } else {
#pragma unroll
        for (int i = 0; i < PACK; i++)
            if (i < n) from_float(to + i, p.v[i]);
    }
}

/* The same with the choice at run time, for kernels where it costs nothing to speak of. */
template <class T> static __device__ __forceinline__ void load_any(pack &p, const T *from, int n, bool wide) {
    if (wide && n == PACK)
        load_pack<true>(p, from, n);
    else
        load_pack<false>(p, from, n);
}

template <class T> static __device__ __forceinline__ void store_any(T *to, const pack &p, int n, bool wide) {
    if (wide && n == PACK)
        store_pack<true>(to, p, n);
    else
        store_pack<false>(to, p, n);
}

/* ------------------------------------------------------------------ loops over packs */

/* Arrays as packs, one thread a pack: [rows, columns] where a row matters, else one long row. */
struct pack_grid {
    int64_t total;   /* packs in all */
    int64_t columns; /* of a row */
    uint32_t packs;  /* of a row; 0: one row only */
    bool wide;
};

struct pack_place {
    int64_t row, at; /* row, and the offset of the first element in the array */
    uint32_t index;  /* pack within the row */
    int64_t column;
    int n; /* elements inside the row */
};

static inline pack_grid flat_packs(int64_t n, bool wide) {
    return pack_grid{ceil_div(n, PACK), n, 0, wide};
}

static inline pack_grid row_packs(int64_t rows, int64_t columns, bool wide) {
    return pack_grid{rows * ceil_div(columns, PACK), columns, (uint32_t)ceil_div(columns, PACK), wide};
}

/* 32-bit division is several times faster than 64-bit; launchers refuse more than PACKS_MOST packs of rows. */
static const int64_t PACKS_MOST = (int64_t)1 << 31;

static __device__ __forceinline__ pack_place place_of(const pack_grid &g, int64_t i) {
    pack_place p;
    p.row = g.packs == 0 ? 0 : (int64_t)((uint32_t)i / g.packs);
    p.index = g.packs == 0 ? (uint32_t)i : (uint32_t)i - (uint32_t)p.row * g.packs;
    p.column = g.packs == 0 ? i * PACK : (int64_t)p.index * PACK;
    p.at = p.row * g.columns + p.column;
    p.n = g.columns - p.column < PACK ? (int)(g.columns - p.column) : PACK;
    return p;
}

enum { FLAT_THREADS = 256 };

/* for (i over the packs of this thread) */
#define EACH_PACK(i, grid)                                                                                     \
    for (int64_t i = (int64_t)blockIdx.x * FLAT_THREADS + threadIdx.x; i < (grid).total;                       \
         i += (int64_t)gridDim.x * FLAT_THREADS)

static inline void add_launch_argument(launch_numbers &n, const pack_grid &g) {
    add_launch_number(n, g.packs == 0 ? 1 : g.total / g.packs);
    add_launch_number(n, g.columns);
}

template <class... P, class... A>
static inline int launch_packs_named(const launch_site &site, void (*kernel)(P...), const pack_grid &g,
                                     berth_stream *stream, A... arguments) {
    if (g.total == 0) return BERTH_CUDA_OK;
    if (g.packs != 0 && g.total > PACKS_MOST) return BERTH_CUDA_E_SHAPE;
    return launch_named(site, kernel, dim3(grid_of(g.total, FLAT_THREADS)), dim3(FLAT_THREADS), 0, stream, g,
                        arguments...);
}
#define launch_packs(...) launch_packs_named(launch_site{#__VA_ARGS__, __func__}, __VA_ARGS__)

/* Alignment alone: for arrays without rows. */
template <class... P> static inline bool wide_flat(const P *...arrays) {
    return wide_rows(PACK, arrays...);
}

/* ------------------------------------------------------------------ sums in fixed order */

static __device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
    for (int by = WARP / 2; by > 0; by /= 2)
        x += __shfl_xor_sync(ALL_LANES, x, by);
    return x;
}

static __device__ __forceinline__ double warp_sum(double x) {
#pragma unroll
    for (int by = WARP / 2; by > 0; by /= 2)
        x += __shfl_xor_sync(ALL_LANES, x, by);
    return x;
}

static __device__ __forceinline__ float warp_max(float x) {
#pragma unroll
    for (int by = WARP / 2; by > 0; by /= 2)
        x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, by));
    return x;
}

/* The sum over a block of WARPS warps, to every thread; `part` is shared memory of WARPS values. */
template <int WARPS, class T> static __device__ __forceinline__ T block_sum(T x, T *part) {
    x = warp_sum(x);
    __syncthreads(); /* the last use of part is over */
    if (threadIdx.x % WARP == 0) part[threadIdx.x / WARP] = x;
    __syncthreads();
    x = part[0];
#pragma unroll
    for (int w = 1; w < WARPS; w++)
        x += part[w];
    return x;
}

/* ------------------------------------------------------------------ dropout */

/* x dropped or scaled: the row's pack `index`, of a hidden activation. */
static __device__ __forceinline__ void drop_pack(pack &p, const struct berth_dropout &d, float scale,
                                                 int64_t row, uint32_t index) {
    const uint32_t keep = berth_dropout_keep8(d.key[0], d.key[1], d.key[2], (uint32_t)d.ordinal[row], d.site, 0,
                                              (uint32_t)d.position[row], index, d.threshold);
#pragma unroll
    for (int i = 0; i < PACK; i++)
        p.v[i] *= keep >> i & 1 ? scale : 0.0f;
}

#endif /* BERTH_KERNELS_COMMON_CUH */
