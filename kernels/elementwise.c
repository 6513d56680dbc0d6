/* elementwise.c: one value in, one value out, nothing shared between elements. */
#include "common.h"

static int fill(float *x, float value, int64_t n, berth_stream *stream) {
    (void)stream;
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; i++)
        x[i] = value;
    return BERTH_CPU_OK;
}

static int add(void *y, const void *x, int64_t n, enum berth_dtype dtype, berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32) return BERTH_CPU_E_DTYPE;
    float *to = y;
    const float *from = x;
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; i++)
        to[i] += from[i];
    return BERTH_CPU_OK;
}

static int scale(float *x, float factor, int64_t n, berth_stream *stream) {
    (void)stream;
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; i++)
        x[i] *= factor;
    return BERTH_CPU_OK;
}

static int broadcast(float *y, const float *dloss, int64_t n, float factor, berth_stream *stream) {
    return fill(y, dloss[0] * factor, n, stream);
}

void BERTH_CPU_TABLE(elementwise)(struct berth_ops *ops) {
    ops->fill = fill;
    ops->add = add;
    ops->scale = scale;
    ops->broadcast = broadcast;
}
