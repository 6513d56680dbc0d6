/* dropout.c: y = x mask / share kept. The mask is a pure function of (seed, step, site, example, position,
 * column), see philox.h, so backward is the same map applied to dy, and nothing is stored.
 *
 * A dropped element is x * 0, so a NaN or an infinity stays visible instead of being dropped. */
#include "common.h"

static int dropout_rows(void *y, const void *x, int64_t rows, int64_t hidden,
                        const struct berth_dropout *dropout, enum berth_dtype dtype, berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32 && dtype != BERTH_BF16) return BERTH_CPU_E_DTYPE;
    const int half = dtype == BERTH_BF16;
    if (!berth_dropout_active(dropout)) {
        if (y != x && rows > 0) memcpy(y, x, (size_t)(rows * hidden) * (half ? 2 : 4));
        return BERTH_CPU_OK;
    }
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < rows; t++) {
        const uint32_t ordinal = (uint32_t)dropout->ordinal[t], position = (uint32_t)dropout->position[t];
        if (half)
            berth_dropout_row((uint16_t *)y + t * hidden, (const uint16_t *)x + t * hidden, hidden, dropout,
                              ordinal, position, 1);
        else
            berth_dropout_row((float *)y + t * hidden, (const float *)x + t * hidden, hidden, dropout, ordinal,
                              position, 0);
    }
    return BERTH_CPU_OK;
}

void BERTH_CPU_TABLE(dropout)(struct berth_ops *ops) {
    ops->dropout = dropout_rows;
}
