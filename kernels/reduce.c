/* reduce.c: sums over many elements, the same for any number of threads.
 *
 *     column_sum   out[j] (+)= Σ_t x[t, j]          sum_squares   out = Σ x²
 *     scaled_sum   out (+)= s Σ x               dot          out = Σ x y
 *
 * A sum is cut in chunks whose size follows from the sizes alone; one thread sums a chunk in order, and the
 * partial sums are added in the order of the chunks. Short chunks also keep rounding low: the error grows with
 * ROW_CHUNK + T / ROW_CHUNK instead of T. */
#include "common.h"

#define ROW_CHUNK 64     /* rows of a partial column sum */
#define COLUMN_BLOCK 256 /* columns of one work item: 1 KiB of a row */
#define PARTS 1024       /* at most so many partial sums of a flat array */
#define PART_UNIT 4096   /* a flat array's chunk is a multiple of this */

static int64_t row_chunks(int64_t rows) {
    return (rows + ROW_CHUNK - 1) / ROW_CHUNK;
}

static size_t column_sum_workspace(int64_t rows, int64_t columns) {
    return (size_t)(row_chunks(rows) * columns) * sizeof(float);
}

/* parts[c, j] = Σ of rows of chunk c, columns [first, first + width) */
BERTH_INLINE void sum_chunk(float *part, const void *x, int64_t rows, int64_t columns, int64_t width,
                            const int half) {
    float sum[COLUMN_BLOCK] = {0};
    for (int64_t t = 0; t < rows; t++) {
        const void *row = berth_at(x, t * columns, half);
#pragma omp simd
        for (int64_t j = 0; j < width; j++)
            sum[j] += berth_get(row, j, half);
    }
    memcpy(part, sum, (size_t)width * sizeof(float));
}

static int column_sum(float *out, const void *x, void *workspace, int64_t rows, int64_t columns, int accumulate,
                      enum berth_dtype dtype, berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32 && dtype != BERTH_BF16) return BERTH_CPU_E_DTYPE;
    const int half = dtype == BERTH_BF16;
    float *parts = workspace; /* [chunks, N] */
    const int64_t chunks = row_chunks(rows), blocks = (columns + COLUMN_BLOCK - 1) / COLUMN_BLOCK;
#pragma omp parallel
    {
#pragma omp for collapse(2) schedule(static)
        for (int64_t chunk = 0; chunk < chunks; chunk++) {
            for (int64_t block = 0; block < blocks; block++) {
                const int64_t first = block * COLUMN_BLOCK, t = chunk * ROW_CHUNK;
                const int64_t count = berth_min(ROW_CHUNK, rows - t),
                              width = berth_min(COLUMN_BLOCK, columns - first);
                const void *from = berth_at(x, t * columns + first, half);
                float *part = parts + chunk * columns + first;
                if (half)
                    sum_chunk(part, from, count, columns, width, 1);
                else
                    sum_chunk(part, from, count, columns, width, 0);
            }
        }
#pragma omp for schedule(static)
        for (int64_t block = 0; block < blocks; block++) {
            const int64_t first = block * COLUMN_BLOCK, width = berth_min(COLUMN_BLOCK, columns - first);
            float sum[COLUMN_BLOCK] = {0};
            for (int64_t chunk = 0; chunk < chunks; chunk++)
                for (int64_t j = 0; j < width; j++)
                    sum[j] += parts[chunk * columns + first + j];
            for (int64_t j = 0; j < width; j++)
                out[first + j] = accumulate ? out[first + j] + sum[j] : sum[j];
        }
    }
    return BERTH_CPU_OK;
}

/* Length of the chunks that a flat array of n is cut in: at most PARTS of them. */
static int64_t part_length(int64_t n) {
    const int64_t least = (n + PARTS - 1) / PARTS;
    return berth_max(PART_UNIT, (least + PART_UNIT - 1) / PART_UNIT * PART_UNIT);
}

static int dot(double *out, const float *x, const float *y, int64_t n, berth_stream *stream) {
    (void)stream;
    double parts[PARTS];
    const int64_t length = part_length(n), count = (n + length - 1) / length;
#pragma omp parallel for schedule(static)
    for (int64_t c = 0; c < count; c++) {
        const int64_t first = c * length, end = berth_min(n, first + length);
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = first; i < end; i++)
            sum += (double)x[i] * (double)y[i];
        parts[c] = sum;
    }
    double total = 0;
    for (int64_t c = 0; c < count; c++)
        total += parts[c];
    out[0] = total;
    return BERTH_CPU_OK;
}

static int sum_squares(double *out, const float *x, int64_t n, berth_stream *stream) {
    return dot(out, x, x, n, stream);
}

static int scaled_sum(float *out, const float *x, int64_t n, float scale, int accumulate,
                      berth_stream *stream) {
    (void)stream;
    double parts[PARTS];
    const int64_t length = part_length(n), count = (n + length - 1) / length;
#pragma omp parallel for schedule(static) if (count > 1)
    for (int64_t c = 0; c < count; c++) {
        const int64_t first = c * length, end = berth_min(n, first + length);
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = first; i < end; i++)
            sum += (double)x[i];
        parts[c] = sum;
    }
    double total = 0;
    for (int64_t c = 0; c < count; c++)
        total += parts[c];
    out[0] = (float)(scale * total + (accumulate ? (double)out[0] : 0.0));
    return BERTH_CPU_OK;
}

void BERTH_CPU_TABLE(reduce)(struct berth_ops *ops) {
    ops->column_sum_workspace = column_sum_workspace;
    ops->column_sum = column_sum;
    ops->sum_squares = sum_squares;
    ops->dot = dot;
    ops->scaled_sum = scaled_sum;
}
