/* gemm_cuda.c: choices of cuBLASLt's algorithms, and products by them.
 *
 * The library counts in columns, berth in rows: what is [m, n] here is its transpose there, so
 *
 *     C = op(A) op(B)  becomes  Cᵀ = op(B)ᵀ op(A)ᵀ      first factor B, second A, sizes n, m, k
 *
 * and a factor is marked as transposed where its rows in memory run along the summed index. The bias, one
 * number a column here, is one a row there: what the library's epilogue adds.
 *
 * Packed batches have another number of tokens T in each step. T is m of the forms NT and NN and k of TN, and
 * in each of them the count of columns (there) of two of the three matrices. A choice is made for a bucket of
 * T, its upper end, and serves every T in it, so choices are few and are all made early. The library is asked
 * whether the algorithm takes the very sizes; where it does not, they have a choice of their own (exact). */
#include "device/cuda/gemm_cuda.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All that a choice depends on; T, m or k, is its bucket's. No padding: compared as bytes. */
struct choice_key {
    int64_t m, n, k, lda, ldb, ldc;
    int32_t form, accumulate, bias, c_dtype, ab_dtype, alignment, exact, unused;
};
struct choice {
    struct choice_key key;
    bool made;    /* the slot is taken */
    int64_t fits; /* the T that it was last found to take, and that the layouts are set to; 0: none */
    cublasLtMatmulAlgo_t algorithm;
    cublasLtMatmulDesc_t product; /* NULL until first used: restored choices */
    cublasLtMatrixLayout_t first, second, result;
};

struct gemm_cuda {
    const struct cublaslt_api *api;
    cublasLtHandle_t handle;
    void *workspace;
    bool tf32;
    struct choice *table; /* [capacity] open addressing; a power of two, at most half full */
    size_t count, capacity;
};

static size_t hash_key(const struct choice_key *key) {
    return (size_t)berth_hash(key, sizeof *key).low;
}

/* The slot of a key: its own, or the free one where it belongs. */
static struct choice *find_slot(struct choice *table, size_t capacity, const struct choice_key *key) {
    size_t at = hash_key(key) & (capacity - 1);
    while (table[at].made && memcmp(&table[at].key, key, sizeof *key) != 0)
        at = (at + 1) & (capacity - 1);
    return &table[at];
}

static berth_status reserve_slot(struct gemm_cuda *g) {
    struct choice *table = NULL;
    if (2 * (g->count + 1) <= g->capacity) return BERTH_OK;
    size_t capacity = g->capacity > 0 ? 2 * g->capacity : 256;
    BERTH_TRY(berth_calloc(&table, capacity, sizeof *table));
    for (size_t i = 0; i < g->capacity; i++)
        if (g->table[i].made) *find_slot(table, capacity, &g->table[i].key) = g->table[i];
    free(g->table);
    g->table = table;
    g->capacity = capacity;
    return BERTH_OK;
}

static void release(const struct cublaslt_api *api, struct choice *c) {
    if (c->product != NULL) api->MatmulDescDestroy(c->product);
    if (c->first != NULL) api->MatrixLayoutDestroy(c->first);
    if (c->second != NULL) api->MatrixLayoutDestroy(c->second);
    if (c->result != NULL) api->MatrixLayoutDestroy(c->result);
    c->product = NULL;
    c->first = c->second = c->result = NULL;
}

berth_status gemm_cuda_open(struct gemm_cuda **out, void *workspace, bool tf32) {
    berth_status status = BERTH_OK;
    struct gemm_cuda *g = NULL;
    *out = NULL;
    BERTH_TRY_OUT(berth_calloc(&g, 1, sizeof *g));
    g->workspace = workspace;
    g->tf32 = tf32;
    BERTH_TRY_OUT(cublaslt_load(&g->api));
    BERTH_TRY_OUT(CUBLASLT_CALL(g->api, Create(&g->handle)));
    *out = g;
    g = NULL;
out:
    gemm_cuda_close(g);
    return status;
}

static void drop_choices(struct gemm_cuda *g) {
    for (size_t i = 0; i < g->capacity; i++)
        if (g->table[i].made) release(g->api, &g->table[i]);
    free(g->table);
    g->table = NULL;
    g->count = g->capacity = 0;
}

void gemm_cuda_set_tf32(struct gemm_cuda *g, bool tf32) {
    if (g->tf32 == tf32) return;
    drop_choices(g);
    g->tf32 = tf32;
}

void gemm_cuda_close(struct gemm_cuda *g) {
    if (g == NULL) return;
    drop_choices(g);
    if (g->handle != NULL) g->api->Destroy(g->handle);
    free(g);
}

static cudaDataType_t library_type(enum berth_dtype dtype) {
    return dtype == BERTH_BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

static berth_status make_layout(const struct cublaslt_api *api, cublasLtMatrixLayout_t *out,
                                enum berth_dtype dtype, bool swapped, int64_t rows, int64_t columns,
                                int64_t ld) {
    return CUBLASLT_CALL(api, MatrixLayoutCreate(out, library_type(dtype), (uint64_t)(swapped ? columns : rows),
                                                 (uint64_t)(swapped ? rows : columns), ld));
}

/* The number of tokens among a product's sizes. */
static int64_t *tokens_of(struct choice_key *key) {
    return key->form == BERTH_GEMM_TN ? &key->k : &key->m;
}

/* The upper end of T's bucket: an eighth of a power of two, at least 64. */
static int64_t bucket_of(int64_t tokens) {
    int64_t step = 64;
    while (step * 16 <= tokens)
        step *= 2;
    return (tokens + step - 1) / step * step;
}

/* Makes the layouts those of a product of T tokens. */
static berth_status set_tokens(const struct cublaslt_api *api, const struct choice *c, int64_t tokens) {
    const uint64_t columns = (uint64_t)tokens;
    const cublasLtMatrixLayout_t other = c->key.form == BERTH_GEMM_TN ? c->first : c->result;
    BERTH_TRY(CUBLASLT_CALL(
        api, MatrixLayoutSetAttribute(c->second, CUBLASLT_MATRIX_LAYOUT_COLS, &columns, sizeof columns)));
    return CUBLASLT_CALL(
        api, MatrixLayoutSetAttribute(other, CUBLASLT_MATRIX_LAYOUT_COLS, &columns, sizeof columns));
}

/* Descriptors of a product; the bias's pointer is set at each call. */
static berth_status describe(const struct gemm_cuda *g, struct choice *c) {
    const struct choice_key *key = &c->key;
    const struct cublaslt_api *api = g->api;
    const enum berth_dtype c_dtype = (enum berth_dtype)key->c_dtype, ab_dtype = (enum berth_dtype)key->ab_dtype;
    const bool first_transposed = key->form == BERTH_GEMM_NT, second_transposed = key->form == BERTH_GEMM_TN;
    const cublasOperation_t first = first_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasOperation_t second = second_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasLtEpilogue_t epilogue = key->bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
    const cudaDataType_t bias_type = library_type(c_dtype);
    const cublasComputeType_t compute =
        g->tf32 && ab_dtype == BERTH_F32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    BERTH_TRY(CUBLASLT_CALL(api, MatmulDescCreate(&c->product, compute, CUDA_R_32F)));
    BERTH_TRY(CUBLASLT_CALL(
        api, MatmulDescSetAttribute(c->product, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first)));
    BERTH_TRY(CUBLASLT_CALL(
        api, MatmulDescSetAttribute(c->product, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second)));
    BERTH_TRY(CUBLASLT_CALL(
        api, MatmulDescSetAttribute(c->product, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue)));
    BERTH_TRY(CUBLASLT_CALL(api, MatmulDescSetAttribute(c->product, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE,
                                                        &bias_type, sizeof bias_type)));
    BERTH_TRY(make_layout(api, &c->first, ab_dtype, first_transposed, key->n, key->k, key->ldb));
    BERTH_TRY(make_layout(api, &c->second, ab_dtype, second_transposed, key->k, key->m, key->lda));
    return make_layout(api, &c->result, c_dtype, false, key->n, key->m, key->ldc);
}

static berth_status set_bias(const struct cublaslt_api *api, const struct choice *c, const void *bias) {
    return CUBLASLT_CALL(
        api, MatmulDescSetAttribute(c->product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias));
}

/* The heuristics' first algorithm that fits the workspace and the memory's alignment. */
static berth_status choose(const struct gemm_cuda *g, struct choice *c) {
    const struct cublaslt_api *api = g->api;
    berth_status status = BERTH_OK;
    cublasLtMatmulPreference_t preference = NULL;
    cublasLtMatmulHeuristicResult_t result;
    const size_t bytes = GEMM_CUDA_WORKSPACE;
    const uint32_t alignment = (uint32_t)c->key.alignment;
    static const cublasLtMatmulPreferenceAttributes_t aligned[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    int found = 0;
    BERTH_TRY(CUBLASLT_CALL(api, MatmulPreferenceCreate(&preference)));
    BERTH_TRY_OUT(
        CUBLASLT_CALL(api, MatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                        &bytes, sizeof bytes)));
    for (size_t i = 0; i < sizeof aligned / sizeof aligned[0]; i++)
        BERTH_TRY_OUT(CUBLASLT_CALL(
            api, MatmulPreferenceSetAttribute(preference, aligned[i], &alignment, sizeof alignment)));
    BERTH_TRY_OUT(
        CUBLASLT_CALL(api, MatmulAlgoGetHeuristic(g->handle, c->product, c->first, c->second, c->result,
                                                  c->result, preference, 1, &result, &found)));
    if (found == 0)
        BERTH_FAIL_OUT(BERTH_E_DEVICE, "cuBLASLt has no algorithm for a product of %lld x %lld x %lld",
                       (long long)c->key.m, (long long)c->key.n, (long long)c->key.k);
    c->algorithm = result.algo;
out:
    api->MatmulPreferenceDestroy(preference);
    return status;
}

/* The greatest power of two up to 16 that divides an address. */
static int32_t alignment_of(const void *pointer) {
    const uintptr_t bits = (uintptr_t)pointer | 16;
    return (int32_t)(bits & (~bits + 1));
}

/* Of all matrices and the bias, which the epilogue reads in vectors as well. */
static int32_t least_alignment(const struct gemm_cuda_product *p) {
    const void *const pointers[] = {p->a, p->b, p->c, p->bias}; /* NULL has every alignment */
    int32_t least = 16;
    for (size_t i = 0; i < sizeof pointers / sizeof pointers[0]; i++)
        if (alignment_of(pointers[i]) < least) least = alignment_of(pointers[i]);
    return least;
}

/* Whether the choice takes T tokens; then its layouts are set to them. */
static berth_status takes(const struct gemm_cuda *g, struct choice *c, int64_t tokens, bool *fits) {
    cublasLtMatmulHeuristicResult_t result;
    *fits = c->fits == tokens;
    if (*fits) return BERTH_OK;
    BERTH_TRY(set_tokens(g->api, c, tokens));
    c->fits = 0;
    const cublasStatus_t answer = g->api->MatmulAlgoCheck(g->handle, c->product, c->first, c->second, c->result,
                                                          c->result, &c->algorithm, &result);
    if (answer != CUBLAS_STATUS_NOT_SUPPORTED && answer != CUBLAS_STATUS_INVALID_VALUE)
        BERTH_TRY(cublaslt_check(g->api, answer, "cublasLtMatmulAlgoCheck", __FILE__, __LINE__));
    *fits = answer == CUBLAS_STATUS_SUCCESS && result.workspaceSize <= GEMM_CUDA_WORKSPACE;
    if (*fits) c->fits = tokens;
    return BERTH_OK;
}

/* The choice of a key: found, or made. */
static berth_status obtain(struct gemm_cuda *g, const struct choice_key *key, const void *bias,
                           struct choice **out) {
    berth_status status = BERTH_OK;
    BERTH_TRY(reserve_slot(g));
    struct choice *slot = find_slot(g->table, g->capacity, key);
    struct choice fresh = {.key = *key, .made = true};
    *out = slot;
    if (slot->product != NULL) return BERTH_OK;
    BERTH_TRY_OUT(describe(g, &fresh));
    if (bias != NULL) BERTH_TRY_OUT(set_bias(g->api, &fresh, bias)); /* some heuristics look at it */
    if (slot->made)                                                  /* restored */
        fresh.algorithm = slot->algorithm;
    else
        BERTH_TRY_OUT(choose(g, &fresh));
    g->count += !slot->made;
    *slot = fresh;
out:
    if (status != BERTH_OK) release(g->api, &fresh);
    return status;
}

static struct choice_key key_of(const struct gemm_cuda_product *p) {
    return (struct choice_key){.m = p->m,
                               .n = p->n,
                               .k = p->k,
                               .lda = p->lda,
                               .ldb = p->ldb,
                               .ldc = p->ldc,
                               .form = (int32_t)p->form,
                               .accumulate = p->accumulate,
                               .bias = p->bias != NULL,
                               .c_dtype = (int32_t)p->c_dtype,
                               .ab_dtype = (int32_t)p->ab_dtype,
                               .alignment = least_alignment(p)};
}

/* The choice that serves a product, its layouts set to it. */
static berth_status obtain_fitting(struct gemm_cuda *g, const struct gemm_cuda_product *p,
                                   struct choice **out) {
    struct choice_key key = key_of(p);
    const int64_t tokens = *tokens_of(&key);
    bool fits = false;
    *tokens_of(&key) = bucket_of(tokens);
    BERTH_TRY(obtain(g, &key, p->bias, out));
    BERTH_TRY(takes(g, *out, tokens, &fits));
    if (fits) return BERTH_OK;
    *tokens_of(&key) = tokens;
    key.exact = 1;
    BERTH_TRY(obtain(g, &key, p->bias, out));
    BERTH_TRY(takes(g, *out, tokens, &fits));
    if (!fits)
        BERTH_FAIL(BERTH_E_DEVICE,
                   "cuBLASLt does not take its own algorithm for a product of %lld x %lld x %lld",
                   (long long)p->m, (long long)p->n, (long long)p->k);
    return BERTH_OK;
}

berth_status gemm_cuda_run(struct gemm_cuda *g, const struct gemm_cuda_product *p, void *stream) {
    const float one = 1.0f, beta = p->accumulate ? 1.0f : 0.0f;
    struct choice *c = NULL;
    if (p->m == 0 || p->n == 0) return BERTH_OK;
    BERTH_TRY(obtain_fitting(g, p, &c));
    if (p->bias != NULL) BERTH_TRY(set_bias(g->api, c, p->bias));
    return CUBLASLT_CALL(g->api, Matmul(g->handle, c->product, &one, p->b, c->first, p->a, c->second, &beta,
                                        p->c, c->result, p->c, c->result, &c->algorithm, g->workspace,
                                        GEMM_CUDA_WORKSPACE, (cudaStream_t)stream));
}

/* ------------------------------------------------------------------ choices as text
 *
 *     cublasLt 130100 tf32 0
 *     m n k lda ldb ldc form accumulate bias c_dtype ab_dtype alignment exact : eight hexadecimal words */

#define ALGORITHM_WORDS 8
static_assert(sizeof(cublasLtMatmulAlgo_t) == ALGORITHM_WORDS * sizeof(uint64_t),
              "an algorithm is eight words");

berth_status gemm_cuda_choices(const struct gemm_cuda *g, struct berth_str *out) {
    berth_str_addf(out, "cublasLt %zu tf32 %d\n", g->api->GetVersion(), g->tf32);
    for (size_t i = 0; i < g->capacity; i++) {
        const struct choice_key *k = &g->table[i].key;
        if (!g->table[i].made) continue;
        berth_str_addf(out, "%lld %lld %lld %lld %lld %lld %d %d %d %d %d %d %d :", (long long)k->m,
                       (long long)k->n, (long long)k->k, (long long)k->lda, (long long)k->ldb,
                       (long long)k->ldc, k->form, k->accumulate, k->bias, k->c_dtype, k->ab_dtype,
                       k->alignment, k->exact);
        for (int w = 0; w < ALGORITHM_WORDS; w++)
            berth_str_addf(out, " %016llx", (unsigned long long)g->table[i].algorithm.data[w]);
        berth_str_add(out, "\n");
    }
    if (out->failed) BERTH_FAIL(BERTH_E_MEMORY, "out of memory");
    return BERTH_OK;
}

static bool read_line(struct choice *c, const char *line) {
    struct choice_key *k = &c->key;
    long long sizes[6];
    unsigned long long words[ALGORITHM_WORDS];
    int used = 0;
    if (sscanf(line, "%lld %lld %lld %lld %lld %lld %d %d %d %d %d %d %d :%n", &sizes[0], &sizes[1], &sizes[2],
               &sizes[3], &sizes[4], &sizes[5], &k->form, &k->accumulate, &k->bias, &k->c_dtype, &k->ab_dtype,
               &k->alignment, &k->exact, &used) != 13 ||
        used == 0)
        return false;
    if (sscanf(line + used, "%llx %llx %llx %llx %llx %llx %llx %llx", &words[0], &words[1], &words[2],
               &words[3], &words[4], &words[5], &words[6], &words[7]) != ALGORITHM_WORDS)
        return false;
    k->m = sizes[0], k->n = sizes[1], k->k = sizes[2], k->lda = sizes[3], k->ldb = sizes[4], k->ldc = sizes[5];
    for (int w = 0; w < ALGORITHM_WORDS; w++)
        c->algorithm.data[w] = words[w];
    c->made = true;
    return true;
}

berth_status gemm_cuda_restore(struct gemm_cuda *g, const char *text, bool *used) {
    size_t version = 0;
    int tf32 = 0;
    *used = false;
    if (sscanf(text, "cublasLt %zu tf32 %d", &version, &tf32) != 2)
        BERTH_FAIL(BERTH_E_FORMAT, "choices of cuBLASLt: found '%.40s', expected 'cublasLt VERSION tf32 0|1'",
                   text);
    if (version != g->api->GetVersion() || (tf32 != 0) != g->tf32) return BERTH_OK;
    int64_t number = 1;
    for (const char *line = strchr(text, '\n'); line != NULL && line[1] != '\0'; line = strchr(line, '\n')) {
        struct choice c = {.made = false};
        line++;
        number++;
        if (!read_line(&c, line))
            BERTH_FAIL(BERTH_E_FORMAT, "choices of cuBLASLt: line %lld is not a choice", (long long)number);
        BERTH_TRY(reserve_slot(g));
        struct choice *slot = find_slot(g->table, g->capacity, &c.key);
        if (slot->made) continue; /* already in use */
        *slot = c;
        g->count++;
    }
    *used = true;
    return BERTH_OK;
}
