/* gemm_ref.c: the plain matrix product: the reference of the tests, the fall-back without a library, and the
 * product of small sizes, where a library's call costs more than the work.
 *
 *     c = op(a) op(b) (+ bias) (+ c)          NT: Σ_k a[m,k] b[n,k]   NN: Σ_k a[m,k] b[k,n]   TN: Σ_k a[k,m]
 * b[k,n]
 *
 * A work item is a block of ROWS x PANEL of c. For each DEPTH of k the panel of b is packed (transposed for NT)
 * on the stack, with zeros behind the last column, and multiplied by tile.h; c is kept in a tile on the stack,
 * so nothing outside [m, n] is read or written. An element is one chain over k in order. */
#include "tile.h"

#define ROWS 48
#define PANEL (TILE_VECS * BERTH_VEC)
#define DEPTH 128

/* panel[depth, PANEL] = columns [n0, n0 + width) of op(b), rows [k0, k0 + depth) */
static void pack_panel(float *panel, const float *b, int64_t ldb, enum berth_gemm_form form, int64_t n0,
                       int64_t width, int64_t k0, int64_t depth) {
    if (form == BERTH_GEMM_NT) {
        for (int64_t j = 0; j < PANEL; j++)
            for (int64_t i = 0; i < depth; i++)
                panel[i * PANEL + j] = j < width ? b[(n0 + j) * ldb + k0 + i] : 0.0f;
        return;
    }
    for (int64_t i = 0; i < depth; i++)
        for (int64_t j = 0; j < PANEL; j++)
            panel[i * PANEL + j] = j < width ? b[(k0 + i) * ldb + n0 + j] : 0.0f;
}

static void block_product(float *c, const float *a, const float *b, const float *bias, int64_t rows,
                          int64_t width, int64_t n0, int64_t k, int64_t lda, int64_t ldb, int64_t ldc,
                          enum berth_gemm_form form, int accumulate) {
    float panel[DEPTH * PANEL], tile[ROWS * PANEL];
    const int64_t a_row = form == BERTH_GEMM_TN ? 1 : lda, a_k = form == BERTH_GEMM_TN ? lda : 1;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < PANEL; j++)
            tile[r * PANEL + j] =
                j >= width ? 0.0f : (accumulate ? c[r * ldc + j] : 0.0f) + (bias == NULL ? 0.0f : bias[n0 + j]);
    for (int64_t k0 = 0; k0 < k; k0 += DEPTH) {
        const int64_t depth = berth_min(DEPTH, k - k0);
        pack_panel(panel, b, ldb, form, n0, width, k0, depth);
        tile_product(tile, PANEL, a + k0 * a_k, a_row, a_k, panel, PANEL, rows, PANEL, depth, 1);
    }
    for (int64_t r = 0; r < rows; r++)
        memcpy(c + r * ldc, tile + r * PANEL, (size_t)width * sizeof(float));
}

static int gemm(void *c, const void *a, const void *b, const float *bias, int64_t m, int64_t n, int64_t k,
                int64_t lda, int64_t ldb, int64_t ldc, enum berth_gemm_form form, int accumulate,
                enum berth_dtype c_dtype, enum berth_dtype ab_dtype, berth_stream *stream) {
    (void)stream;
    if (c_dtype != BERTH_F32 || ab_dtype != BERTH_F32) return BERTH_CPU_E_DTYPE;
    const int64_t row_blocks = (m + ROWS - 1) / ROWS, panels = (n + PANEL - 1) / PANEL;
    const int64_t a_row = form == BERTH_GEMM_TN ? 1 : lda;
#pragma omp parallel for collapse(2) schedule(static) if (m * n * k > 16384)
    for (int64_t j = 0; j < panels; j++) {
        for (int64_t i = 0; i < row_blocks; i++) {
            const int64_t m0 = i * ROWS, n0 = j * PANEL;
            block_product((float *)c + m0 * ldc + n0, (const float *)a + m0 * a_row, b, bias,
                          berth_min(ROWS, m - m0), berth_min(PANEL, n - n0), n0, k, lda, ldb, ldc, form,
                          accumulate);
        }
    }
    return BERTH_CPU_OK;
}

void BERTH_CPU_TABLE(gemm_ref)(struct berth_ops *ops) {
    ops->gemm = gemm;
}
