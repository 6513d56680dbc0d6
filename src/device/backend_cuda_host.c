/* backend_cuda_host.c: the device cuda-host: the CUDA kernels executed on the CPU (kernels/host/), the CPU's
 * matrix products.
 *
 * For tests and for work on kernels where there is no GPU: every operation is the same source that a GPU runs,
 * one thread of one block at a time, so it is some hundred times slower than the CPU's own kernels. Device
 * memory is closed to the host (cuda_host_memory.h): what works here without a fault does not touch a GPU's
 * either. Products of bf16 are computed in fp32 from widened copies and rounded once; their bias is rounded to
 * the result's type first, as cuBLASLt takes it. */
#include <stdlib.h>
#include <string.h>

#include "berth/bf16.h"
#include "berth/kernels_cuda.h"
#include "device/cuda_host_memory.h"
#include "device/device_priv.h"
#include "device/onednn_shim.h"

#if defined(BERTH_CUDA_HOST)

enum { WIDE_A, WIDE_B, WIDE_C, WIDE_BIAS, WIDE };

/* What this backend's berth_stream is. */
struct host_stream {
    struct berth_cuda_stream cuda; /* first: kernels read it */
    berth_stream *gemm;            /* prepared products of the CPU */
    float *wide[WIDE];             /* a, b, c, bias of a product in fp32 */
    size_t wide_bytes[WIDE];
    struct berth_cuda_host_list *list; /* of the graph that is being kept */
};

#define ENTER_FAMILY(family) berth_cuda_host_table_##family(ops);

static void fill_table(struct berth_ops *ops) {
    BERTH_CUDA_FAMILY_MAP(ENTER_FAMILY)
}

/* ------------------------------------------------------------------ matrix products */

/* Room for a product's factor `i` in fp32; NULL where there is no memory. */
static float *wide_room(struct host_stream *s, int i, int64_t count) {
    const size_t bytes = (size_t)count * sizeof(float);
    if (bytes > s->wide_bytes[i]) {
        free(s->wide[i]);
        s->wide[i] = malloc(bytes);
        s->wide_bytes[i] = s->wide[i] == NULL ? 0 : bytes;
    }
    return s->wide[i];
}

/* The last element of a row-major matrix lies at (rows - 1) * ld + columns. */
static int64_t span(int64_t rows, int64_t columns, int64_t ld) {
    return rows == 0 || columns == 0 ? 0 : (rows - 1) * ld + columns;
}

static const float *widen(struct host_stream *s, int i, const void *from, int64_t count) {
    float *to = wide_room(s, i, count + 1);
    for (int64_t k = 0; to != NULL && k < count; k++)
        to[k] = berth_float_of_bf16(((const uint16_t *)from)[k]);
    return to;
}

static int gemm_bf16(void *c, const void *a, const void *b, const float *bias, int64_t m, int64_t n, int64_t k,
                     int64_t lda, int64_t ldb, int64_t ldc, enum berth_gemm_form form, int accumulate,
                     enum berth_dtype c_dtype, struct host_stream *s) {
    const int64_t a_count = form == BERTH_GEMM_TN ? span(k, m, lda) : span(m, k, lda);
    const int64_t b_count = form == BERTH_GEMM_NT ? span(n, k, ldb) : span(k, n, ldb);
    const float *wide_a = widen(s, WIDE_A, a, a_count), *wide_b = widen(s, WIDE_B, b, b_count);
    if (wide_a == NULL || wide_b == NULL) return BERTH_CUDA_E_LIBRARY;
    if (c_dtype == BERTH_F32)
        return gemm_cpu(c, wide_a, wide_b, bias, m, n, k, lda, ldb, ldc, form, accumulate, BERTH_F32, BERTH_F32,
                        s->gemm);
    float *wide_c = wide_room(s, WIDE_C, m * n + 1), *wide_bias = wide_room(s, WIDE_BIAS, n);
    if (wide_c == NULL || wide_bias == NULL) return BERTH_CUDA_E_LIBRARY;
    for (int64_t j = 0; bias != NULL && j < n; j++)
        wide_bias[j] = berth_float_of_bf16(berth_bf16_of_float(bias[j]));
    const int error = gemm_cpu(wide_c, wide_a, wide_b, bias == NULL ? NULL : wide_bias, m, n, k, lda, ldb, n,
                               form, 0, BERTH_F32, BERTH_F32, s->gemm);
    for (int64_t i = 0; i < m * n; i++) {
        uint16_t *to = (uint16_t *)c + i / n * ldc + i % n;
        *to = berth_bf16_of_float(wide_c[i] + (accumulate ? berth_float_of_bf16(*to) : 0.0f));
    }
    return error;
}

static int gemm_opened(void *c, const void *a, const void *b, const float *bias, int64_t m, int64_t n,
                       int64_t k, int64_t lda, int64_t ldb, int64_t ldc, enum berth_gemm_form form,
                       int accumulate, enum berth_dtype c_dtype, enum berth_dtype ab_dtype,
                       berth_stream *stream) {
    struct host_stream *s = (struct host_stream *)(void *)stream;
    int error;
    if (ab_dtype == BERTH_F32 && c_dtype == BERTH_F32)
        error = gemm_cpu(c, a, b, bias, m, n, k, lda, ldb, ldc, form, accumulate, c_dtype, ab_dtype, s->gemm);
    else if (ab_dtype == BERTH_BF16)
        error = gemm_bf16(c, a, b, bias, m, n, k, lda, ldb, ldc, form, accumulate, c_dtype, s);
    else
        return BERTH_CUDA_E_DTYPE;
    return error == 0 ? BERTH_CUDA_OK : BERTH_CUDA_E_LIBRARY;
}

struct kept_product {
    void *c;
    const void *a, *b;
    const float *bias;
    int64_t m, n, k, lda, ldb, ldc;
    enum berth_gemm_form form;
    int accumulate;
    enum berth_dtype c_dtype, ab_dtype;
    berth_stream *stream;
};

static int run_product(void *argument) {
    const struct kept_product *p = argument;
    cuda_host_memory_open();
    const int error = gemm_opened(p->c, p->a, p->b, p->bias, p->m, p->n, p->k, p->lda, p->ldb, p->ldc, p->form,
                                  p->accumulate, p->c_dtype, p->ab_dtype, p->stream);
    cuda_host_memory_close();
    return error;
}

static int gemm_host(void *c, const void *a, const void *b, const float *bias, int64_t m, int64_t n, int64_t k,
                     int64_t lda, int64_t ldb, int64_t ldc, enum berth_gemm_form form, int accumulate,
                     enum berth_dtype c_dtype, enum berth_dtype ab_dtype, berth_stream *stream) {
    if (berth_cuda_host_recording()) {
        const struct kept_product p = {c,   a,   b,    bias,       m,       n,        k,     lda,
                                       ldb, ldc, form, accumulate, c_dtype, ab_dtype, stream};
        return berth_cuda_host_keep(run_product, &p, sizeof p);
    }
    cuda_host_memory_open();
    const int error =
        gemm_opened(c, a, b, bias, m, n, k, lda, ldb, ldc, form, accumulate, c_dtype, ab_dtype, stream);
    cuda_host_memory_close();
    return error;
}

/* ------------------------------------------------------------------ open, memory */

static void host_close(struct berth_device *dev) {
    struct host_stream *s = dev->state;
    if (s == NULL) return;
    gemm_cpu_close(s->gemm);
    for (int i = 0; i < WIDE; i++)
        free(s->wide[i]);
    cuda_host_memory_give(s->cuda.scratch);
    free(s);
}

static berth_status host_open(struct berth_device *dev, int index) {
    berth_status status = BERTH_OK;
    struct berth_ops cpu;
    (void)index;
    BERTH_TRY_OUT(berth_calloc(&dev->state, 1, sizeof(struct host_stream)));
    struct host_stream *s = dev->state;
    berth_cuda_host_set_hooks(cuda_host_memory_open, cuda_host_memory_close);
    BERTH_TRY_OUT(cuda_host_memory_take(&s->cuda.scratch, BERTH_CUDA_SCRATCH));
    if (!cpu_isa_fill("avx512", &cpu) && !cpu_isa_fill("avx2", &cpu) && !cpu_isa_fill("base", &cpu))
        BERTH_FAIL_OUT(BERTH_E_UNSUPPORTED, "device cuda-host: no CPU kernels");
    BERTH_TRY_OUT(gemm_cpu_open(&s->gemm, &cpu, false));
    fill_table(&dev->ops);
    dev->ops.gemm = gemm_host;
    dev->stream = (berth_stream *)(void *)s;
out:
    if (status != BERTH_OK) {
        host_close(dev);
        dev->state = NULL;
    }
    return status;
}

/* ------------------------------------------------------------------ what it says of itself */

static const char *host_error_text(int error) {
    switch (error) {
    case BERTH_CUDA_OK:
        return "done";
    case BERTH_CUDA_E_DTYPE:
        return "element type not supported by the CUDA kernels";
    case BERTH_CUDA_E_SHAPE:
        return "a size beyond what the CUDA kernels hold";
    case BERTH_CUDA_E_LIBRARY:
        return "the CPU's matrix product refused";
    case BERTH_CUDA_E_HOST:
        return berth_cuda_host_error();
    default:
        return "unknown error";
    }
}

static void host_describe(const struct berth_device *dev, struct berth_str *out) {
    (void)dev;
    berth_str_addf(out, "processor: %s\n", berth_cpu_name());
    berth_str_addf(out, "kernels: CUDA, executed on the CPU%s\n",
                   berth_cuda_host_detects_races() ? " under the race detector" : "");
    berth_str_add(out, "matrix products: ");
    onednn_describe(out);
    berth_str_add(out, "\n");
}

static berth_status host_alloc(struct berth_device *dev, void **out, size_t bytes) {
    (void)dev;
    return cuda_host_memory_take(out, bytes);
}

static void host_free(struct berth_device *dev, void *pointer, size_t bytes) {
    (void)dev, (void)bytes;
    cuda_host_memory_give(pointer);
}

/* A copy, or zeros where from is NULL. */
struct kept_copy {
    void *to;
    const void *from;
    size_t bytes;
};

static int run_copy(void *argument) {
    const struct kept_copy *c = argument;
    cuda_host_memory_open();
    if (c->from == NULL)
        memset(c->to, 0, c->bytes);
    else if (c->to != c->from)
        memmove(c->to, c->from, c->bytes);
    cuda_host_memory_close();
    return BERTH_CUDA_OK;
}

static berth_status do_copy(struct kept_copy c) {
    if (c.bytes == 0) return BERTH_OK;
    if (!berth_cuda_host_recording()) return run_copy(&c) == BERTH_CUDA_OK ? BERTH_OK : BERTH_E_DEVICE;
    if (berth_cuda_host_keep(run_copy, &c, sizeof c) != BERTH_CUDA_OK)
        BERTH_FAIL(BERTH_E_MEMORY, "out of memory");
    return BERTH_OK;
}

static berth_status host_copy(struct berth_device *dev, void *to, const void *from, size_t bytes) {
    (void)dev;
    return do_copy((struct kept_copy){to, from, bytes});
}

static berth_status host_zero(struct berth_device *dev, void *pointer, size_t bytes) {
    (void)dev;
    return do_copy((struct kept_copy){pointer, NULL, bytes});
}

/* ------------------------------------------------------------------ graphs: the execution layer's lists */

static berth_status host_graph_begin(struct berth_device *dev) {
    struct host_stream *s = dev->state;
    if (berth_cuda_host_list_new(&s->list) != BERTH_CUDA_OK) BERTH_FAIL(BERTH_E_MEMORY, "out of memory");
    berth_cuda_host_record(s->list);
    return BERTH_OK;
}

static berth_status host_graph_end(struct berth_device *dev, void **out) {
    struct host_stream *s = dev->state;
    berth_cuda_host_record(NULL);
    *out = s->list;
    s->list = NULL;
    return BERTH_OK;
}

static berth_status host_graph_launch(struct berth_device *dev, void *graph) {
    return berth_device_check(dev, berth_cuda_host_replay(graph), "graph", __FILE__, __LINE__);
}

static void host_graph_free(struct berth_device *dev, void *graph) {
    (void)dev;
    berth_cuda_host_list_free(graph);
}

static berth_status host_synchronize(struct berth_device *dev) {
    (void)dev;
    return BERTH_OK;
}

const struct berth_backend backend_cuda_host = {
    .name = "cuda-host",
    .host_memory = false,
    .open = host_open,
    .close = host_close,
    .alloc = host_alloc,
    .free = host_free,
    .upload = host_copy,
    .download = host_copy,
    .copy = host_copy,
    .zero = host_zero,
    .synchronize = host_synchronize,
    .graph_begin = host_graph_begin,
    .graph_end = host_graph_end,
    .graph_launch = host_graph_launch,
    .graph_free = host_graph_free,
    .error_text = host_error_text,
    .describe = host_describe,
};

#endif
