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
static void pack_panel(float *panel, const void *b, int64_t ldb, enum berth_gemm_form form, int64_t n0,
                       int64_t width, int64_t k0, int64_t depth, int half) {
    if (form == BERTH_GEMM_NT) {
        for (int64_t j = 0; j < PANEL; j++)
            for (int64_t i = 0; i < depth; i++)
                panel[i * PANEL + j] = j < width ? berth_get(b, (n0 + j) * ldb + k0 + i, half) : 0.0f;
        return;
    }
    for (int64_t i = 0; i < depth; i++)
        for (int64_t j = 0; j < PANEL; j++)
            panel[i * PANEL + j] = j < width ? berth_get(b, (k0 + i) * ldb + n0 + j, half) : 0.0f;
}

struct product {
    const void *a, *b;
    const float *bias;
    int64_t k, lda, ldb, ldc;
    enum berth_gemm_form form;
    int accumulate, half, half_c;
};

/* The block of c whose first element is row m0, column n0. */
static void block_product(void *c, const struct product *p, int64_t m0, int64_t rows, int64_t n0,
                          int64_t width) {
    float panel[DEPTH * PANEL], tile[ROWS * PANEL], left[ROWS * DEPTH];
    const int64_t a_row = p->form == BERTH_GEMM_TN ? 1 : p->lda, a_k = p->form == BERTH_GEMM_TN ? p->lda : 1;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < PANEL; j++)
            tile[r * PANEL + j] =
                j >= width ? 0.0f
                           : (p->accumulate ? berth_get(c, (m0 + r) * p->ldc + n0 + j, p->half_c) : 0.0f) +
                                 (p->bias == NULL ? 0.0f : p->bias[n0 + j]);
    for (int64_t k0 = 0; k0 < p->k; k0 += DEPTH) {
        const int64_t depth = berth_min(DEPTH, p->k - k0);
        pack_panel(panel, p->b, p->ldb, p->form, n0, width, k0, depth, p->half);
        if (!p->half) {
            tile_product(tile, PANEL, (const float *)p->a + m0 * a_row + k0 * a_k, a_row, a_k, panel, PANEL,
                         rows, PANEL, depth, 1);
            continue;
        }
        for (int64_t r = 0; r < rows; r++)
            for (int64_t i = 0; i < depth; i++)
                left[r * DEPTH + i] = berth_get(p->a, (m0 + r) * a_row + (k0 + i) * a_k, 1);
        tile_product(tile, PANEL, left, DEPTH, 1, panel, PANEL, rows, PANEL, depth, 1);
    }
    for (int64_t r = 0; r < rows; r++)
        berth_narrow(berth_to(c, (m0 + r) * p->ldc + n0, p->half_c), tile + r * PANEL, width, p->half_c);
}

static int known(enum berth_dtype dtype) {
    return dtype == BERTH_F32 || dtype == BERTH_BF16;
}

static int gemm(void *c, const void *a, const void *b, const float *bias, int64_t m, int64_t n, int64_t k,
                int64_t lda, int64_t ldb, int64_t ldc, enum berth_gemm_form form, int accumulate,
                enum berth_dtype c_dtype, enum berth_dtype ab_dtype, berth_stream *stream) {
    (void)stream;
    if (!known(c_dtype) || !known(ab_dtype)) return BERTH_CPU_E_DTYPE;
    const struct product p = {
        a, b, bias, k, lda, ldb, ldc, form, accumulate, ab_dtype == BERTH_BF16, c_dtype == BERTH_BF16};
    const int64_t row_blocks = (m + ROWS - 1) / ROWS, panels = (n + PANEL - 1) / PANEL;
#pragma omp parallel for collapse(2) schedule(static) if (m * n * k > 16384)
    for (int64_t j = 0; j < panels; j++) {
        for (int64_t i = 0; i < row_blocks; i++) {
            const int64_t m0 = i * ROWS, n0 = j * PANEL;
            block_product(c, &p, m0, berth_min(ROWS, m - m0), n0, berth_min(PANEL, n - n0));
        }
    }
    return BERTH_CPU_OK;
}

void BERTH_CPU_TABLE(gemm_ref)(struct berth_ops *ops) {
    ops->gemm = gemm;
}
