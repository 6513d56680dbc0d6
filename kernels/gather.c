/* gather.c: between the packed tokens [T, H] and a head's own rows [R, H].
 *
 * Rows of one call are distinct, so adding rows back needs no order: each is touched once. A mean over a
 * sequence is a sum in the order of its tokens, divided once:
 *
 *     y[r] = 1/n Σ_{t in sequence seqs[r]} x[t]          dx[t] += dy[r] / n */
#include "common.h"

/* Rows below this many floats in all are not worth waking the other threads for. */
#define GATHER_PARALLEL_FLOATS 32768

static int gather_rows(void *y, const void *x, const int32_t *rows, int64_t count, int64_t hidden,
                       enum berth_dtype dtype, berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32) return BERTH_CPU_E_DTYPE;
#pragma omp parallel for schedule(static) if (count * hidden > GATHER_PARALLEL_FLOATS)
    for (int64_t r = 0; r < count; r++)
        memcpy((float *)y + r * hidden, (const float *)x + rows[r] * hidden, (size_t)hidden * sizeof(float));
    return BERTH_CPU_OK;
}

static int scatter_add_rows(void *dx, const void *dy, const int32_t *rows, int64_t count, int64_t hidden,
                            enum berth_dtype dtype, berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32) return BERTH_CPU_E_DTYPE;
#pragma omp parallel for schedule(static) if (count * hidden > GATHER_PARALLEL_FLOATS)
    for (int64_t r = 0; r < count; r++) {
        float *to = (float *)dx + rows[r] * hidden;
        const float *from = (const float *)dy + r * hidden;
#pragma omp simd
        for (int64_t j = 0; j < hidden; j++)
            to[j] += from[j];
    }
    return BERTH_CPU_OK;
}

static int mean_pool_forward(void *y, const void *x, const int32_t *seqs, const int32_t *cu_seqlens,
                             int64_t count, int64_t hidden, enum berth_dtype dtype, berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32) return BERTH_CPU_E_DTYPE;
#pragma omp parallel for schedule(dynamic, 1)
    for (int64_t r = 0; r < count; r++) {
        const int64_t first = cu_seqlens[seqs[r]], end = cu_seqlens[seqs[r] + 1];
        const float share = end > first ? 1.0f / (float)(end - first) : 0.0f;
        float *out = (float *)y + r * hidden;
        memset(out, 0, (size_t)hidden * sizeof(float));
        for (int64_t t = first; t < end; t++) {
            const float *in = (const float *)x + t * hidden;
#pragma omp simd
            for (int64_t j = 0; j < hidden; j++)
                out[j] += in[j];
        }
#pragma omp simd
        for (int64_t j = 0; j < hidden; j++)
            out[j] *= share;
    }
    return BERTH_CPU_OK;
}

static int mean_pool_backward(void *dx, const void *dy, const int32_t *seqs, const int32_t *cu_seqlens,
                              int64_t count, int64_t hidden, enum berth_dtype dtype, berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32) return BERTH_CPU_E_DTYPE;
#pragma omp parallel for schedule(dynamic, 1)
    for (int64_t r = 0; r < count; r++) {
        const int64_t first = cu_seqlens[seqs[r]], end = cu_seqlens[seqs[r] + 1];
        const float share = end > first ? 1.0f / (float)(end - first) : 0.0f;
        const float *in = (const float *)dy + r * hidden;
        for (int64_t t = first; t < end; t++) {
            float *out = (float *)dx + t * hidden;
#pragma omp simd
            for (int64_t j = 0; j < hidden; j++)
                out[j] += in[j] * share;
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
