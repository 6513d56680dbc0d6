/* stub_cublaslt.c: cuBLASLt of stub_cuda.h. Layouts are columns first; an algorithm is a number made from the
 * sizes that it was asked for, and refuses what was not promised: another alignment, more workspace, columns on
 * the list. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "berth/kernels_cuda.h"
#include "cuda/stub_cuda.h"
#include "device/cuda/cuda_libs.h"
#include "device/cuda_host_memory.h"

enum { MAGIC = 0x5B1A5 };

struct layout {
    cudaDataType type;
    uint64_t rows, columns;
    int64_t ld;
};
struct product {
    cublasComputeType_t compute;
    cublasOperation_t transposed[2];
    cublasLtEpilogue_t epilogue;
    cudaDataType bias_type;
    const void *bias;
};
struct preference {
    uint64_t workspace;
    uint32_t alignment[4];
};

#define FAILS_SOMETIMES                                                                                        \
    if (stub_fails()) return CUBLAS_STATUS_INTERNAL_ERROR

static cublasStatus_t create(void *out, const void *from, size_t size) {
    void *made = malloc(size);
    if (stub_fails() || made == NULL) {
        free(made);
        return CUBLAS_STATUS_ALLOC_FAILED;
    }
    memcpy(made, from, size);
    memcpy(out, &made, sizeof made);
    stub.descriptors++;
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t destroy(void *p) {
    stub.descriptors--;
    free(p);
    return CUBLAS_STATUS_SUCCESS;
}

static size_t get_version(void) {
    return stub.cublaslt_version;
}
static const char *status_string(cublasStatus_t status) {
    return status == CUBLAS_STATUS_SUCCESS ? "CUBLAS_STATUS_SUCCESS" : "an error of the stub";
}
static cublasStatus_t handle_create(cublasLtHandle_t *out) {
    const int nothing = 0;
    return create(out, &nothing, sizeof nothing);
}
static cublasStatus_t handle_destroy(cublasLtHandle_t handle) {
    return destroy(handle);
}
static cublasStatus_t product_create(cublasLtMatmulDesc_t *out, cublasComputeType_t compute,
                                     cudaDataType_t scale) {
    const struct product p = {.compute = compute, .epilogue = CUBLASLT_EPILOGUE_DEFAULT};
    return scale == CUDA_R_32F ? create(out, &p, sizeof p) : CUBLAS_STATUS_NOT_SUPPORTED;
}
static cublasStatus_t product_destroy(cublasLtMatmulDesc_t p) {
    return destroy(p);
}
static cublasStatus_t product_set(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute,
                                  const void *value, size_t size) {
    struct product *p = (struct product *)(void *)desc;
    void *to = attribute == CUBLASLT_MATMUL_DESC_TRANSA           ? (void *)&p->transposed[0]
               : attribute == CUBLASLT_MATMUL_DESC_TRANSB         ? (void *)&p->transposed[1]
               : attribute == CUBLASLT_MATMUL_DESC_EPILOGUE       ? (void *)&p->epilogue
               : attribute == CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE ? (void *)&p->bias_type
               : attribute == CUBLASLT_MATMUL_DESC_BIAS_POINTER   ? (void *)&p->bias
                                                                  : NULL;
    FAILS_SOMETIMES;
    if (to == NULL ||
        size != (attribute == CUBLASLT_MATMUL_DESC_BIAS_POINTER ? sizeof p->bias : sizeof(int32_t)))
        return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(to, value, size);
    return CUBLAS_STATUS_SUCCESS;
}
static cublasStatus_t layout_create(cublasLtMatrixLayout_t *out, cudaDataType type, uint64_t rows,
                                    uint64_t columns, int64_t ld) {
    const struct layout l = {type, rows, columns, ld};
    return ld >= (int64_t)rows ? create(out, &l, sizeof l) : CUBLAS_STATUS_INVALID_VALUE;
}
static cublasStatus_t layout_destroy(cublasLtMatrixLayout_t l) {
    return destroy(l);
}
static cublasStatus_t layout_set(cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t attribute,
                                 const void *value, size_t size) {
    struct layout *l = (struct layout *)(void *)layout;
    FAILS_SOMETIMES;
    if (attribute != CUBLASLT_MATRIX_LAYOUT_COLS || size != sizeof l->columns)
        return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(&l->columns, value, size);
    return CUBLAS_STATUS_SUCCESS;
}
static cublasStatus_t preference_create(cublasLtMatmulPreference_t *out) {
    const struct preference p = {.alignment = {256, 256, 256, 256}};
    return create(out, &p, sizeof p);
}
static cublasStatus_t preference_destroy(cublasLtMatmulPreference_t p) {
    return destroy(p);
}
static cublasStatus_t preference_set(cublasLtMatmulPreference_t preference,
                                     cublasLtMatmulPreferenceAttributes_t attribute, const void *value,
                                     size_t size) {
    struct preference *p = (struct preference *)(void *)preference;
    FAILS_SOMETIMES;
    if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES && size == sizeof p->workspace)
        memcpy(&p->workspace, value, size);
    else if (attribute >= CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES &&
             attribute <= CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES && size == sizeof p->alignment[0])
        memcpy(&p->alignment[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value, size);
    else
        return CUBLAS_STATUS_INVALID_VALUE;
    return CUBLAS_STATUS_SUCCESS;
}

/* Whether the three layouts make a product of the descriptor. */
static bool sizes_agree(const struct product *p, const struct layout *a, const struct layout *b,
                        const struct layout *d) {
    const bool ta = p->transposed[0] == CUBLAS_OP_T, tb = p->transposed[1] == CUBLAS_OP_T;
    return (ta ? a->columns : a->rows) == d->rows && (tb ? b->rows : b->columns) == d->columns &&
           (ta ? a->rows : a->columns) == (tb ? b->columns : b->rows) && a->type == b->type;
}

/* data: magic, alignment, workspace, columns of b and of the result that it was chosen for */
static cublasStatus_t get_heuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                    cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                    cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                    cublasLtMatmulPreference_t preference, int most,
                                    cublasLtMatmulHeuristicResult_t *result, int *found) {
    const struct preference *p = (const void *)preference;
    const struct layout *lb = (const void *)b, *ld = (const void *)d;
    FAILS_SOMETIMES;
    if (handle == NULL || c != d || most < 1 || !sizes_agree((const void *)desc, (const void *)a, lb, ld))
        return CUBLAS_STATUS_INVALID_VALUE;
    stub.heuristics++;
    memset(result, 0, sizeof *result);
    result->algo.data[0] = MAGIC;
    result->algo.data[1] = p->alignment[0];
    result->algo.data[2] = p->workspace;
    result->algo.data[3] = lb->columns;
    result->algo.data[4] = ld->columns;
    result->workspaceSize = p->workspace;
    *found = 1;
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t check_algorithm(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                      cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                      cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                      const cublasLtMatmulAlgo_t *algorithm,
                                      cublasLtMatmulHeuristicResult_t *result) {
    const struct layout *lb = (const void *)b, *ld = (const void *)d;
    FAILS_SOMETIMES;
    if (handle == NULL || c != d || algorithm->data[0] != MAGIC ||
        !sizes_agree((const void *)desc, (const void *)a, lb, ld))
        return CUBLAS_STATUS_INVALID_VALUE;
    const bool own = algorithm->data[3] == lb->columns && algorithm->data[4] == ld->columns;
    if (stub.refused != 0 && !own &&
        (lb->columns == (uint64_t)stub.refused || ld->columns == (uint64_t)stub.refused))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    result->workspaceSize = algorithm->data[2];
    return CUBLAS_STATUS_SUCCESS;
}

/* ------------------------------------------------------------------ the product */

static double value_at(const void *p, cudaDataType type, int64_t at, bool tf32) {
    uint32_t bits;
    float value;
    if (type == CUDA_R_16BF)
        bits = (uint32_t)((const uint16_t *)p)[at] << 16;
    else
        memcpy(&bits, (const float *)p + at, sizeof bits);
    if (tf32) bits = (bits + 0x1000u) & ~0x1FFFu;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

static void store(void *p, cudaDataType type, int64_t at, double value) {
    const float single = (float)value;
    uint32_t bits;
    memcpy(&bits, &single, sizeof bits);
    if (type == CUDA_R_16BF)
        ((uint16_t *)p)[at] = (uint16_t)((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
    else
        ((float *)p)[at] = single;
}

static double element(const void *p, const struct layout *l, bool transposed, int64_t row, int64_t column,
                      bool tf32) {
    return value_at(p, l->type, transposed ? column + row * l->ld : row + column * l->ld, tf32);
}

/* Descriptors as they are at the call. */
struct kept_product {
    struct product p;
    struct layout la, lb, ld;
    const void *a, *b;
    void *d;
    int64_t inner;
    double factor, old;
};

static int multiply(void *argument) {
    const struct kept_product *k = argument;
    const bool ta = k->p.transposed[0] == CUBLAS_OP_T, tb = k->p.transposed[1] == CUBLAS_OP_T;
    const bool tf32 = k->p.compute == CUBLAS_COMPUTE_32F_FAST_TF32,
               biased = k->p.epilogue == CUBLASLT_EPILOGUE_BIAS;
    stub_flush();
    cuda_host_memory_open();
    for (int64_t j = 0; j < (int64_t)k->ld.columns; j++)
        for (int64_t i = 0; i < (int64_t)k->ld.rows; i++) {
            double sum = 0;
            for (int64_t n = 0; n < k->inner; n++)
                sum += element(k->a, &k->la, ta, i, n, tf32) * element(k->b, &k->lb, tb, n, j, tf32);
            sum *= k->factor;
            if (biased) sum += value_at(k->p.bias, k->p.bias_type, i, false);
            if (k->old != 0) sum += k->old * element(k->d, &k->ld, false, i, j, false);
            store(k->d, k->ld.type, i + j * k->ld.ld, sum);
        }
    cuda_host_memory_close();
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t matmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha,
                             const void *a, cublasLtMatrixLayout_t a_desc, const void *b,
                             cublasLtMatrixLayout_t b_desc, const void *beta, const void *c,
                             cublasLtMatrixLayout_t c_desc, void *d, cublasLtMatrixLayout_t d_desc,
                             const cublasLtMatmulAlgo_t *algorithm, void *workspace, size_t bytes,
                             cudaStream_t stream) {
    const struct product *p = (const void *)desc;
    const struct layout *la = (const void *)a_desc, *lb = (const void *)b_desc, *ld = (const void *)d_desc;
    const bool ta = p->transposed[0] == CUBLAS_OP_T, biased = p->epilogue == CUBLASLT_EPILOGUE_BIAS;
    const int64_t inner = (int64_t)(ta ? la->rows : la->columns);
    const double old = (double)*(const float *)beta, factor = (double)*(const float *)alpha;
    cublasLtMatmulHeuristicResult_t result;
    FAILS_SOMETIMES;
    if (stream == NULL || c != d || (uintptr_t)workspace % 256 != 0 || bytes < algorithm->data[2] ||
        check_algorithm(handle, desc, a_desc, b_desc, c_desc, d_desc, algorithm, &result) !=
            CUBLAS_STATUS_SUCCESS)
        return CUBLAS_STATUS_INVALID_VALUE;
    const uintptr_t all = (uintptr_t)a | (uintptr_t)b | (uintptr_t)d | (biased ? (uintptr_t)p->bias : 0);
    if (all % algorithm->data[1] != 0 || (biased && (p->bias == NULL || p->bias_type != ld->type)))
        return CUBLAS_STATUS_INVALID_VALUE;
    stub.matmuls++;
    stub.last_compute = p->compute;
    const struct kept_product kept = {.p = *p,
                                      .la = *la,
                                      .lb = *lb,
                                      .ld = *ld,
                                      .a = a,
                                      .b = b,
                                      .d = d,
                                      .inner = inner,
                                      .factor = factor,
                                      .old = old};
    if (!berth_cuda_host_recording()) return (cublasStatus_t)multiply((void *)(uintptr_t)&kept);
    return berth_cuda_host_keep(multiply, &kept, sizeof kept) == 0 ? CUBLAS_STATUS_SUCCESS
                                                                   : CUBLAS_STATUS_ALLOC_FAILED;
}

/* ------------------------------------------------------------------ in place of cuda_libs.c */

berth_status cublaslt_load(const struct cublaslt_api **out) {
    static const struct cublaslt_api api = {
        .GetVersion = get_version,
        .GetStatusString = status_string,
        .Create = handle_create,
        .Destroy = handle_destroy,
        .Matmul = matmul,
        .MatmulDescCreate = product_create,
        .MatmulDescDestroy = product_destroy,
        .MatmulDescSetAttribute = product_set,
        .MatrixLayoutCreate = layout_create,
        .MatrixLayoutDestroy = layout_destroy,
        .MatrixLayoutSetAttribute = layout_set,
        .MatmulPreferenceCreate = preference_create,
        .MatmulPreferenceDestroy = preference_destroy,
        .MatmulPreferenceSetAttribute = preference_set,
        .MatmulAlgoGetHeuristic = get_heuristic,
        .MatmulAlgoCheck = check_algorithm,
    };
    *out = &api;
    return BERTH_OK;
}

berth_status cublaslt_check(const struct cublaslt_api *api, cublasStatus_t status, const char *call,
                            const char *file, int line) {
    if (status == CUBLAS_STATUS_SUCCESS) return BERTH_OK;
    return berth_error_set(BERTH_E_DEVICE, file, line, "%.*s: %s", (int)strcspn(call, "("), call,
                           api->GetStatusString(status));
}

berth_status cudnn_load(const struct cudnn_api **out) {
    *out = NULL;
    BERTH_FAIL(BERTH_E_UNSUPPORTED, "cuDNN: cannot load libcudnn.so.%d: the stub has none", CUDNN_MAJOR);
}

berth_status cudnn_check(const struct cudnn_api *api, cudnnStatus_t status, const char *call, const char *file,
                         int line) {
    (void)api;
    return status == CUDNN_STATUS_SUCCESS ? BERTH_OK : berth_error_set(BERTH_E_DEVICE, file, line, "%s", call);
}
