/* flat_sums.cuh: sums over a flat array in a fixed order.
 *
 * The array is cut in at most PARTS chunks whose length follows from n alone; a block sums a chunk in double
 * and leaves a part, then one block adds the parts. */
#ifndef BERTH_KERNELS_FLAT_SUMS_CUH
#define BERTH_KERNELS_FLAT_SUMS_CUH

#include "common.cuh"

enum { PARTS = 1024, PART_UNIT = 4096, SUM_WARPS = 8, FLAT_SUM_THREADS = SUM_WARPS * WARP };
static_assert(PARTS * sizeof(double) <= BERTH_CUDA_SCRATCH, "the scratch holds all parts");

static inline int64_t part_length(int64_t n) {
    const int64_t least = ceil_div(n, PARTS);
    return least <= PART_UNIT ? (int64_t)PART_UNIT : ceil_div(least, PART_UNIT) * PART_UNIT;
}

static inline int part_count(int64_t n) {
    return (int)ceil_div(n, part_length(n));
}

/* parts[block] = Σ over the block's chunk of term(i, count): the sum of up to eight elements from i on */
template <class TERM>
static __device__ __forceinline__ void sum_part(double *parts, int64_t n, int64_t length, TERM term) {
    BERTH_SHARED(double, met, [SUM_WARPS]);
    const int64_t first = (int64_t)blockIdx.x * length, end = first + length < n ? first + length : n;
    double sum = 0;
    for (int64_t i = first + (int64_t)threadIdx.x * PACK; i < end; i += FLAT_SUM_THREADS * PACK)
        sum += term(i, end - i < PACK ? (int)(end - i) : PACK);
    sum = block_sum<SUM_WARPS>(sum, met);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

/* parts[block] = Σ x·y over the block's chunk, in double */
template <class T>
static __device__ __forceinline__ void dot_part(double *parts, const T *x, const T *y, int64_t n, int64_t length,
                                                bool wide) {
    sum_part(parts, n, length, [&](int64_t i, int count) {
        pack p, q;
        double sum = 0;
        load_any(p, x + i, count, wide);
        load_any(q, y + i, count, wide);
#pragma unroll
        for (int j = 0; j < PACK; j++)
            sum += (double)p.v[j] * (double)q.v[j];
        return sum;
    });
}

/* Σ parts, to every thread of the one block */
static __device__ __forceinline__ double total_of(const double *parts, int count) {
    BERTH_SHARED(double, met, [SUM_WARPS]);
    double sum = 0;
    for (int c = (int)threadIdx.x; c < count; c += FLAT_SUM_THREADS)
        sum += parts[c];
    return block_sum<SUM_WARPS>(sum, met);
}

/* The stream's own memory, for what lives within one operation. */
static inline double *scratch_of(berth_stream *stream) {
    return (double *)((const struct berth_cuda_stream *)stream)->scratch;
}

#endif /* BERTH_KERNELS_FLAT_SUMS_CUH */
