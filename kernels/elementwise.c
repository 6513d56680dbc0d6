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
    if (dtype == BERTH_BF16) {
#pragma omp parallel for simd schedule(static)
        for (int64_t i = 0; i < n; i++)
            berth_put(y, i, berth_get(y, i, 1) + berth_get(x, i, 1), 1);
        return BERTH_CPU_OK;
    }
    if (dtype != BERTH_F32) return BERTH_CPU_E_DTYPE;
    float *to = y;
    const float *from = x;
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; i++)
        to[i] += from[i];
    return BERTH_CPU_OK;
}

static int cast(void *y, const void *x, int64_t n, enum berth_dtype y_dtype, enum berth_dtype x_dtype,
                berth_stream *stream) {
    (void)stream;
    if (y_dtype == BERTH_BF16 && x_dtype == BERTH_F32) {
#pragma omp parallel for simd schedule(static)
        for (int64_t i = 0; i < n; i++)
            berth_put(y, i, berth_get(x, i, 0), 1);
    } else if (y_dtype == BERTH_F32 && x_dtype == BERTH_BF16) {
#pragma omp parallel for simd schedule(static)
        for (int64_t i = 0; i < n; i++)
            berth_put(y, i, berth_get(x, i, 1), 0);
    } else {
        return BERTH_CPU_E_DTYPE;
    }
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
    ops->cast = cast;
    ops->scale = scale;
    ops->broadcast = broadcast;
}
