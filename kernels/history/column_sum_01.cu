/* column_sum_01.cu: a thread a column, which walks all rows: a warp reads 32 neighbours, but 768 columns are 24
 * warps. */
#include "common.cuh"

enum { COLUMN_01_THREADS = 128 };

template <class T>
static __global__ void column_sum_01_kernel(float *out, const T *x, int64_t rows, int64_t columns,
                                            int accumulate) {
    const int64_t j = (int64_t)blockIdx.x * COLUMN_01_THREADS + threadIdx.x;
    if (j >= columns) return;
    float sum = 0.0f, part = 0.0f; /* 64 rows a part: the error of a long column stays that of a short one */
    for (int64_t t = 0; t < rows; t++) {
        part += to_float(x[t * columns + j]);
        if (t % 64 == 63 || t == rows - 1) sum += part, part = 0.0f;
    }
    out[j] = accumulate ? out[j] + sum : sum;
}

static int column_sum_01(float *out, const void *x, void *workspace, int64_t rows, int64_t columns,
                         int accumulate, enum berth_dtype dtype, berth_stream *stream) {
    (void)workspace;
    const dim3 grid((unsigned)ceil_div(columns, COLUMN_01_THREADS));
    if (columns == 0) return BERTH_CUDA_OK;
    if (dtype == BERTH_F32)
        return launch(column_sum_01_kernel<float>, grid, dim3(COLUMN_01_THREADS), 0, stream, out,
                      (const float *)x, rows, columns, accumulate);
    return launch(column_sum_01_kernel<bf16>, grid, dim3(COLUMN_01_THREADS), 0, stream, out, (const bf16 *)x,
                  rows, columns, accumulate);
}

BERTH_CUDA_TABLE(column_sum_01)(struct berth_ops *ops) {
    ops->column_sum = column_sum_01;
}
