/* gather.c: between the packed tokens [T, H] and a head's own rows [R, H].
 *
 * Rows of one call are distinct, so adding rows back needs no order: each is touched once. A mean over a
 * sequence is a sum in the order of its tokens, divided once:
 *
 *     y[r] = 1/n Σ_{t in sequence seqs[r]} x[t]          dx[t] += dy[r] / n */
#include "common.h"

/* Rows below this many floats in all are not worth waking the other threads for. */
#define GATHER_PARALLEL_FLOATS 32768
#define BLOCK 256 /* columns of a mean summed at a time */

/* to[j] += share from[j] */
BERTH_INLINE void add_row(void *to, const void *from, int64_t hidden, float share, const int half) {
#pragma omp simd
    for (int64_t j = 0; j < hidden; j++)
        berth_put(to, j, berth_get(to, j, half) + berth_get(from, j, half) * share, half);
}

/* y = share Σ of rows first .. end-1 of x, summed in float */
BERTH_INLINE void mean_row(void *y, const void *x, int64_t first, int64_t end, int64_t hidden, float share,
                           const int half) {
    for (int64_t at = 0; at < hidden; at += BLOCK) {
        float sum[BLOCK] = {0};
        const int64_t width = berth_min(BLOCK, hidden - at);
        for (int64_t t = first; t < end; t++) {
            const void *in = berth_at(x, t * hidden + at, half);
#pragma omp simd
            for (int64_t j = 0; j < width; j++)
                sum[j] += berth_get(in, j, half);
        }
#pragma omp simd
        for (int64_t j = 0; j < width; j++)
            berth_put(y, at + j, sum[j] * share, half);
    }
}

static int gather_rows(void *y, const void *x, const int32_t *rows, int64_t count, int64_t hidden,
                       enum berth_dtype dtype, berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32 && dtype != BERTH_BF16) return BERTH_CPU_E_DTYPE;
    const int half = dtype == BERTH_BF16;
#pragma omp parallel for schedule(static) if (count * hidden > GATHER_PARALLEL_FLOATS)
    for (int64_t r = 0; r < count; r++)
        memcpy(berth_to(y, r * hidden, half), berth_at(x, rows[r] * hidden, half),
               (size_t)hidden * (half ? 2 : 4));
    return BERTH_CPU_OK;
}

static int scatter_add_rows(void *dx, const void *dy, const int32_t *rows, int64_t count, int64_t hidden,
                            enum berth_dtype dtype, berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32 && dtype != BERTH_BF16) return BERTH_CPU_E_DTYPE;
    const int half = dtype == BERTH_BF16;
#pragma omp parallel for schedule(static) if (count * hidden > GATHER_PARALLEL_FLOATS)
    for (int64_t r = 0; r < count; r++) {
        if (half)
            add_row((uint16_t *)dx + rows[r] * hidden, (const uint16_t *)dy + r * hidden, hidden, 1.0f, 1);
        else
            add_row((float *)dx + rows[r] * hidden, (const float *)dy + r * hidden, hidden, 1.0f, 0);
    }
    return BERTH_CPU_OK;
}

static int mean_pool_forward(void *y, const void *x, const int32_t *seqs, const int32_t *cu_seqlens,
                             int64_t count, int64_t hidden, enum berth_dtype dtype, berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32 && dtype != BERTH_BF16) return BERTH_CPU_E_DTYPE;
    const int half = dtype == BERTH_BF16;
#pragma omp parallel for schedule(dynamic, 1)
    for (int64_t r = 0; r < count; r++) {
        const int64_t first = cu_seqlens[seqs[r]], end = cu_seqlens[seqs[r] + 1];
        const float share = end > first ? 1.0f / (float)(end - first) : 0.0f;
        if (half)
            mean_row((uint16_t *)y + r * hidden, x, first, end, hidden, share, 1);
        else
            mean_row((float *)y + r * hidden, x, first, end, hidden, share, 0);
    }
    return BERTH_CPU_OK;
}

static int mean_pool_backward(void *dx, const void *dy, const int32_t *seqs, const int32_t *cu_seqlens,
                              int64_t count, int64_t hidden, enum berth_dtype dtype, berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32 && dtype != BERTH_BF16) return BERTH_CPU_E_DTYPE;
    const int half = dtype == BERTH_BF16;
#pragma omp parallel for schedule(dynamic, 1)
    for (int64_t r = 0; r < count; r++) {
        const int64_t first = cu_seqlens[seqs[r]], end = cu_seqlens[seqs[r] + 1];
        const float share = end > first ? 1.0f / (float)(end - first) : 0.0f;
        for (int64_t t = first; t < end; t++) {
            if (half)
                add_row((uint16_t *)dx + t * hidden, (const uint16_t *)dy + r * hidden, hidden, share, 1);
            else
                add_row((float *)dx + t * hidden, (const float *)dy + r * hidden, hidden, share, 0);
        }
    }
    return BERTH_CPU_OK;
}

void BERTH_CPU_TABLE(gather)(struct berth_ops *ops) {
    ops->gather_rows = gather_rows;
    ops->scatter_add_rows = scatter_add_rows;
    ops->mean_pool_forward = mean_pool_forward;
    ops->mean_pool_backward = mean_pool_backward;
}
