/* column_sums.cuh: sums over rows, column by column, in a fixed order: bias, gain and shift gradients.
 *
 *     pass 1   block (x: 64 columns, y: chunk of rows): 32 groups of eight threads, a thread one pack of
 * columns; a group walks rows g, g + 32, ... of the chunk; the groups' sums meet in shared memory pass 2 block
 * of 32 columns x 8: the chunks' sums, eight interleaved series, then those in order
 *
 * The chunk's length follows from the count of rows alone. A warp reads four rows of 64 neighbouring columns.
 */
#ifndef BERTH_KERNELS_COLUMN_SUMS_CUH
#define BERTH_KERNELS_COLUMN_SUMS_CUH

#include "common.cuh"

enum { SUM_COLUMNS = 64, SUM_GROUPS = 32, SUM_THREADS = SUM_GROUPS * SUM_COLUMNS / PACK };

static inline int64_t sum_chunk_rows(int64_t rows) {
    return rows <= 4096 ? 64 : rows <= 32768 ? 128 : 256;
}

static inline int64_t sum_chunks(int64_t rows) {
    return ceil_div(rows, sum_chunk_rows(rows));
}

/* The sums of one chunk, KINDS values a column: parts[chunk, kind, columns]. read(values, row, first column, n)
 * gives the KINDS packs of a row. */
template <int KINDS, class READ>
static __device__ __forceinline__ void sum_chunk(float *parts, int64_t rows, int64_t columns,
                                                 int64_t chunk_rows, READ read) {
    BERTH_SHARED(float, met, [SUM_GROUPS][SUM_COLUMNS + 1]);
    const int group = (int)threadIdx.x / (SUM_COLUMNS / PACK), lane = (int)threadIdx.x % (SUM_COLUMNS / PACK);
    const int64_t column = (int64_t)blockIdx.x * SUM_COLUMNS + lane * PACK;
    const int64_t first = (int64_t)blockIdx.y * chunk_rows;
    const int64_t end = first + chunk_rows < rows ? first + chunk_rows : rows;
    const int n = column >= columns ? 0 : columns - column < PACK ? (int)(columns - column) : PACK;
    pack sum[KINDS];
#pragma unroll
    for (int k = 0; k < KINDS; k++)
#pragma unroll
        for (int i = 0; i < PACK; i++)
            sum[k].v[i] = 0.0f;
    for (int64_t row = first + group; row < end && n > 0; row += SUM_GROUPS) {
        pack value[KINDS];
        read(value, row, column, n);
#pragma unroll
        for (int k = 0; k < KINDS; k++)
#pragma unroll
            for (int i = 0; i < PACK; i++)
                sum[k].v[i] += value[k].v[i];
    }
#pragma unroll
    for (int k = 0; k < KINDS; k++) {
        if (k > 0) __syncthreads();
#pragma unroll
        for (int i = 0; i < PACK; i++)
            met[group][lane * PACK + i] = sum[k].v[i];
        __syncthreads();
        const int64_t at = (int64_t)blockIdx.x * SUM_COLUMNS + threadIdx.x;
        if (threadIdx.x < SUM_COLUMNS && at < columns) {
            float total = 0.0f;
            for (int g = 0; g < SUM_GROUPS; g++)
                total += met[g][threadIdx.x];
            parts[((int64_t)blockIdx.y * KINDS + k) * columns + at] = total;
        }
    }
}

/* out[j] (+)= Σ_chunk parts[chunk * stride + j] */
static __global__ void sum_parts_kernel(float *out, const float *parts, int64_t chunks, int64_t stride,
                                        int64_t columns, int accumulate) {
    BERTH_SHARED(float, met, [8][WARP]);
    const int64_t column = (int64_t)blockIdx.x * WARP + threadIdx.x;
    float sum = 0.0f;
    if (column < columns)
        for (int64_t c = threadIdx.y; c < chunks; c += 8)
            sum += parts[c * stride + column];
    met[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y != 0 || column >= columns) return;
    float total = 0.0f;
#pragma unroll
    for (int g = 0; g < 8; g++)
        total += met[g][threadIdx.x];
    out[column] = accumulate ? out[column] + total : total;
}

static inline dim3 sum_grid(int64_t rows, int64_t columns) {
    return dim3((unsigned)ceil_div(columns, SUM_COLUMNS), (unsigned)sum_chunks(rows));
}

static inline int sum_parts(float *out, const float *parts, int64_t chunks, int64_t stride, int64_t columns,
                            int accumulate, berth_stream *stream) {
    return launch(sum_parts_kernel, dim3((unsigned)ceil_div(columns, WARP)), dim3(WARP, 8), 0, stream, out,
                  parts, chunks, stride, columns, accumulate);
}

#endif /* BERTH_KERNELS_COLUMN_SUMS_CUH */
