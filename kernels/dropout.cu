/* dropout.cu: y = x mask / share kept; forward and backward are the same map. See dropout.c. */
#include "common.cuh"

template <class T>
static __global__ void dropout_kernel(pack_grid g, T *y, const T *x, struct berth_dropout d, float keep_scale) {
    EACH_PACK (i, g) {
        const pack_place at = place_of(g, i);
        pack p;
        load_any(p, x + at.at, at.n, g.wide);
        if (d.threshold != 0) drop_pack(p, d, keep_scale, at.row, at.index);
        store_any(y + at.at, p, at.n, g.wide);
    }
}

static int dropout_rows(void *y, const void *x, int64_t rows, int64_t hidden,
                        const struct berth_dropout *dropout, enum berth_dtype dtype, berth_stream *stream) {
    const struct berth_dropout d = dropout_value(dropout);
    const float keep_scale = berth_dropout_scale(d.threshold);
    if (d.threshold == 0 && y == x) return BERTH_CUDA_OK;
    const pack_grid g = row_packs(rows, hidden, wide_rows(hidden, y, x));
    if (dtype == BERTH_F32)
        return launch_packs(dropout_kernel<float>, g, stream, (float *)y, (const float *)x, d, keep_scale);
    if (dtype != BERTH_BF16) return BERTH_CUDA_E_DTYPE;
    return launch_packs(dropout_kernel<bf16>, g, stream, (bf16 *)y, (const bf16 *)x, d, keep_scale);
}

BERTH_CUDA_TABLE(dropout)(struct berth_ops *ops) {
    ops->dropout = dropout_rows;
}
