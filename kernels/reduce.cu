/* reduce.cu: sums over many elements in a fixed order; see reduce.c. Column sums: column_sums.cuh; flat sums:
 * flat_sums.cuh, with the parts in the stream's scratch. */
#include "column_sums.cuh"
#include "flat_sums.cuh"

template <class T, bool WIDE>
static __global__ void column_sum_kernel(float *parts, const T *x, int64_t rows, int64_t columns,
                                         int64_t chunk_rows) {
    sum_chunk<1>(parts, rows, columns, chunk_rows, [&](pack(&value)[1], int64_t row, int64_t column, int n) {
        load_pack<WIDE>(value[0], x + row * columns + column, n);
    });
}

static size_t column_sum_workspace(int64_t rows, int64_t columns) {
    return (size_t)(sum_chunks(rows) * columns) * sizeof(float);
}

template <class T>
static int column_parts(float *parts, const void *x, int64_t rows, int64_t columns, berth_stream *stream) {
    return launch(wide_rows(columns, x) ? column_sum_kernel<T, true> : column_sum_kernel<T, false>,
                  sum_grid(rows, columns), dim3(SUM_THREADS), 0, stream, parts, (const T *)x, rows, columns,
                  sum_chunk_rows(rows));
}

static int column_sum(float *out, const void *x, void *workspace, int64_t rows, int64_t columns, int accumulate,
                      enum berth_dtype dtype, berth_stream *stream) {
    float *parts = (float *)workspace;
    int error = BERTH_CUDA_OK;
    if (columns == 0) return BERTH_CUDA_OK;
    if (dtype != BERTH_F32 && dtype != BERTH_BF16) return BERTH_CUDA_E_DTYPE;
    if (rows > 0)
        error = dtype == BERTH_F32 ? column_parts<float>(parts, x, rows, columns, stream)
                                   : column_parts<bf16>(parts, x, rows, columns, stream);
    return error != 0 ? error : sum_parts(out, parts, sum_chunks(rows), columns, columns, accumulate, stream);
}

/* ------------------------------------------------------------------ flat sums */

template <bool SQUARES>
static __global__ void flat_sum_kernel(double *parts, const float *x, int64_t n, int64_t length, bool wide) {
    sum_part(parts, n, length, [&](int64_t i, int count) {
        pack p;
        double sum = 0;
        load_any(p, x + i, count, wide);
#pragma unroll
        for (int j = 0; j < PACK; j++)
            sum += SQUARES ? (double)p.v[j] * (double)p.v[j] : (double)p.v[j];
        return sum;
    });
}

static __global__ void dot_kernel(double *parts, const float *x, const float *y, int64_t n, int64_t length,
                                  bool wide) {
    dot_part(parts, x, y, n, length, wide);
}

static __global__ void finish_double_kernel(double *out, const double *parts, int count) {
    const double total = total_of(parts, count);
    if (threadIdx.x == 0) out[0] = total;
}

static __global__ void finish_sum_kernel(float *out, const double *parts, int count, float scale,
                                         int accumulate) {
    const double total = total_of(parts, count);
    if (threadIdx.x == 0) out[0] = (float)((double)scale * total + (accumulate ? (double)out[0] : 0.0));
}

/* The parts of x in the stream's scratch. */
template <bool SQUARES> static int flat_parts(const float *x, int64_t n, berth_stream *stream) {
    if (n == 0) return BERTH_CUDA_OK;
    return launch(flat_sum_kernel<SQUARES>, dim3((unsigned)part_count(n)), dim3(FLAT_SUM_THREADS), 0, stream,
                  scratch_of(stream), x, n, part_length(n), wide_flat(x));
}

static int sum_squares(double *out, const float *x, int64_t n, berth_stream *stream) {
    const int error = flat_parts<true>(x, n, stream);
    if (error != 0) return error;
    return launch(finish_double_kernel, dim3(1), dim3(FLAT_SUM_THREADS), 0, stream, out, scratch_of(stream),
                  part_count(n));
}

static int dot(double *out, const float *x, const float *y, int64_t n, berth_stream *stream) {
    int error = BERTH_CUDA_OK;
    if (n > 0)
        error = launch(dot_kernel, dim3((unsigned)part_count(n)), dim3(FLAT_SUM_THREADS), 0, stream,
                       scratch_of(stream), x, y, n, part_length(n), wide_flat(x, y));
    if (error != 0) return error;
    return launch(finish_double_kernel, dim3(1), dim3(FLAT_SUM_THREADS), 0, stream, out, scratch_of(stream),
                  part_count(n));
}

static int scaled_sum(float *out, const float *x, int64_t n, float scale, int accumulate,
                      berth_stream *stream) {
    const int error = flat_parts<false>(x, n, stream);
    if (error != 0) return error;
    return launch(finish_sum_kernel, dim3(1), dim3(FLAT_SUM_THREADS), 0, stream, out, scratch_of(stream),
                  part_count(n), scale, accumulate);
}

BERTH_CUDA_TABLE(reduce)(struct berth_ops *ops) {
    ops->column_sum_workspace = column_sum_workspace;
    ops->column_sum = column_sum;
    ops->sum_squares = sum_squares;
    ops->dot = dot;
    ops->scaled_sum = scaled_sum;
}
