/* workbench.c: the CUDA kernels and their earlier versions, checked and timed.
 *
 *     workbench list                         kernels, versions, ideas
 *     workbench check [REGEX] [--device D]   each against the double-precision references; D: cuda-host
 * (default), cuda workbench time [REGEX]                 on a GPU alone (77 without one): time, GB/s or
 * TFLOP/s, and the share of the machine's own ceiling: a copy of the same number of bytes, bf16 products
 *
 * REGEX is matched with "KERNEL VERSION". Version 0 is today's, in kernels/; 1, 2, ... are files of
 * kernels/history/, each entered in a table of operations over today's. Cases are those of tests/ops. Timing:
 * best and median of 30 launches, the second-level cache overwritten before each, between two events on the
 * stream. Arguments lie in managed memory, which the GPU has taken over after the first launch; at most 2 GiB
 * of it are used. */
#include <math.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#if defined(BERTH_HAVE_CUDA)
#include <cuda_runtime_api.h>
#endif

#include "berth/kernels_cuda.h"
#include "device/device_priv.h"
#include "ops/support_ops.h"

enum { SKIPPED = 77, RUNS = 30, SIZES_OF_CASE = 4 };

#define HISTORY_MAP(X) X(gelu_01) X(column_sum_01) X(layernorm_01)
#define DECLARE(name)                                                                                          \
    void berth_cuda_host_table_##name(struct berth_ops *ops);                                                  \
    void berth_cuda_table_##name(struct berth_ops *ops);
HISTORY_MAP(DECLARE)

typedef void enter_table(struct berth_ops *ops);
#if defined(BERTH_HAVE_CUDA)
#define TABLES(name) berth_cuda_host_table_##name, berth_cuda_table_##name
#else
#define TABLES(name) berth_cuda_host_table_##name, NULL
#endif

/* A kernel in one version: what it is checked by, and one case that it is timed on. `bytes`: of memory that
 * moves, an element of the case's first two sizes, in bf16 (fp32 for optimizers); 0: products count. */
struct entry {
    const char *kernel;
    int version;
    const char *idea;
    const char *kind;           /* of tests/ops */
    const char *step;           /* NULL: all of the kind's */
    enter_table *host, *device; /* NULL: today's */
    int64_t sizes[SIZES_OF_CASE];
    unsigned flags;
    double bytes;
    enum berth_dtype dtype;
};

static const struct entry entries[] = {
    {"gelu",
     0,
     "packs of eight, tail polynomial for erf",
     "activation",
     "forward",
     NULL,
     NULL,
     {16384, 3072, 1},
     1,
     4,
     1},
    {"gelu",
     1,
     "one element a thread, erff",
     "activation",
     "forward",
     TABLES(gelu_01),
     {16384, 3072, 1},
     1,
     4,
     1},
    {"gelu-backward",
     0,
     "packs of eight, slope from the same exponential",
     "activation",
     "backward",
     NULL,
     NULL,
     {16384, 3072, 1},
     1,
     6,
     1},
    {"gelu-backward",
     1,
     "one element a thread, erff",
     "activation",
     "backward",
     TABLES(gelu_01),
     {16384, 3072, 1},
     1,
     6,
     1},
    {"column_sum",
     0,
     "chunks of rows over all multiprocessors, parts added in order",
     "column_sum",
     NULL,
     NULL,
     NULL,
     {65536, 3072},
     0,
     2,
     1},
    {"column_sum", 1, "a thread a column", "column_sum", NULL, TABLES(column_sum_01), {65536, 3072}, 0, 2, 1},
    {"layernorm",
     0,
     "a warp a row, the row in registers: each array moves once",
     "layernorm",
     "forward",
     NULL,
     NULL,
     {16384, 768, 128},
     3,
     8,
     1},
    {"layernorm",
     1,
     "a block a row, pre read again from memory",
     "layernorm",
     "forward",
     TABLES(layernorm_01),
     {16384, 768, 128},
     3,
     8,
     1},
    {"layernorm-backward", 0, "a warp a row", "layernorm", "backward", NULL, NULL, {16384, 768, 128}, 3, 8, 1},
    {"layernorm-params",
     0,
     "column sums of two kinds",
     "layernorm",
     "params",
     NULL,
     NULL,
     {16384, 768, 128},
     3,
     4,
     1},
    {"dropout", 0, "eight decisions a generator call", "dropout", NULL, NULL, NULL, {65536, 768, 128}, 0, 4, 1},
    {"embedding_norm",
     0,
     "gather, normalise and drop in one pass",
     "embedding_norm",
     "forward",
     NULL,
     NULL,
     {16384, 768, 30522, 128},
     3,
     8,
     1},
    {"embedding-backward",
     0,
     "runs of the sorted ids",
     "embedding",
     "backward",
     NULL,
     NULL,
     {16384, 768, 30522},
     1,
     6,
     1},
    {"cross_entropy", 0, "a warp a row", "cross_entropy", NULL, NULL, NULL, {2048, 30522}, 0, 6, 1},
    {"attention-128",
     0,
     "tiles of 64, mma.sync, online softmax",
     "attention",
     "forward",
     NULL,
     NULL,
     {128, 128, 12, 64},
     3,
     0,
     1},
    {"attention-128-backward",
     0,
     "dQ and dK/dV apart, scores twice",
     "attention",
     "backward",
     NULL,
     NULL,
     {128, 128, 12, 64},
     3,
     0,
     1},
    {"attention-512",
     0,
     "tiles of 64, mma.sync, online softmax",
     "attention",
     "forward",
     NULL,
     NULL,
     {32, 512, 12, 64},
     3,
     0,
     1},
    {"attention-512-backward",
     0,
     "dQ and dK/dV apart, scores twice",
     "attention",
     "backward",
     NULL,
     NULL,
     {32, 512, 12, 64},
     3,
     0,
     1},
    {"attention-short",
     0,
     "a warp a sequence and head",
     "attention",
     "forward",
     NULL,
     NULL,
     {1024, 24, 12, 64},
     1,
     0,
     1},
    {"attention-short-backward",
     0,
     "a warp a sequence and head",
     "attention",
     "backward",
     NULL,
     NULL,
     {1024, 24, 12, 64},
     1,
     0,
     1},
    {"gemm", 0, "cuBLASLt, fp32 sums", "gemm", NULL, NULL, NULL, {16384, 3072, 768, 0}, 0, 0, 1},
    {"adamw", 0, "one pass over flat arrays", "adamw", NULL, NULL, NULL, {20000000, 1}, 0, 28, 0},
};
enum { ENTRIES = sizeof entries / sizeof entries[0] };

static const struct op_case *const lists[] = {cases_act,  cases_norm,  cases_embed,     cases_loss, cases_gemm,
                                              cases_flat, cases_optim, cases_attention, cases_fused};
enum { LISTS = sizeof lists / sizeof lists[0] };

static bool chosen(const struct entry *e, const regex_t *filter) {
    char name[96];
    snprintf(name, sizeof name, "%s %d", e->kernel, e->version);
    return filter == NULL || regexec(filter, name, 0, NULL, 0) == 0;
}

/* ------------------------------------------------------------------ list */

static int list(void) {
    for (int i = 0; i < ENTRIES; i++)
        printf("%-26s %d  %s\n", entries[i].kernel, entries[i].version, entries[i].idea);
    return 0;
}

/* ------------------------------------------------------------------ check */

struct count {
    int cases, refused, failures;
};

/* One case of one version; a shape or kind that an earlier version does not take is no failure of it. */
static void check_case(const struct entry *e, const struct op_case *c, enum berth_dtype dtype,
                       const struct berth_ops *ops, berth_stream *stream, struct count *count) {
    struct op_ctx x;
    char title[160];
    bool good = true, refused = false;
    double floats = 0;
    op_title(c, title, sizeof title);
    op_open(&x, c, true, dtype);
    for (int i = 0; i < x.tensors; i++)
        floats += (double)(x.tensor[i].rows * x.tensor[i].columns);
    if (floats > 120000) { /* the table of operations runs the long ones */
        op_close(&x);
        return;
    }
    c->kind->forward(&x);
    if (c->kind->backward != NULL) c->kind->backward(&x);
    op_restart(&x);
    for (int i = 0; i < OP_STEPS && c->kind->steps[i].call != NULL && good && !refused; i++) {
        const int error = c->kind->steps[i].call(&x, ops, stream);
        refused = error == BERTH_CUDA_E_SHAPE && e->version > 0;
        good = error == 0 && op_wait(&x) && op_guards(&x);
        if (error != 0) snprintf(x.message, sizeof x.message, "%s returned %d", c->kind->steps[i].name, error);
    }
    op_collect(&x);
    for (int i = 0; good && i < x.tensors; i++)
        if (x.tensor[i].output) good = op_compare(&x, &x.tensor[i]);
    count->cases += !refused;
    count->refused += refused;
    if (!good && !refused) {
        count->failures++;
        printf("FAIL %s %d, %s in %s: %s\n", e->kernel, e->version, title, berth_dtype_name(dtype), x.message);
    }
    op_close(&x);
}

static int check(const regex_t *filter, struct berth_device *dev) {
    const bool gpu = strcmp(dev->backend->name, "cuda") == 0;
    int failures = 0, all = 0;
    for (int i = 0; i < ENTRIES; i++) {
        const struct entry *e = &entries[i];
        struct berth_ops ops = dev->ops;
        struct count count = {0};
        if (!chosen(e, filter)) continue;
        if (e->host != NULL) (gpu ? e->device : e->host)(&ops);
        for (int k = 0; k < LISTS; k++)
            for (const struct op_case *c = lists[k]; c->kind != NULL; c++)
                for (int half = 0; half <= (int)e->dtype && strcmp(c->kind->name, e->kind) == 0; half++)
                    check_case(e, c, half ? BERTH_BF16 : BERTH_F32, &ops, dev->stream, &count);
        printf("%-26s %d  %3d cases, %d failures%s\n", e->kernel, e->version, count.cases, count.failures,
               count.refused > 0 ? "; it does not take the others" : "");
        failures += count.failures + (count.cases == 0);
        all += count.cases;
    }
    printf("%d cases on %s, %d failures\n", all, dev->backend->name, failures);
    return failures > 0 || all == 0;
}

/* ------------------------------------------------------------------ time */

#if defined(BERTH_HAVE_CUDA)
static const struct op_kind *kind_of(const struct entry *e) {
    for (int i = 0; i < LISTS; i++)
        for (const struct op_case *c = lists[i]; c->kind != NULL; c++)
            if (strcmp(c->kind->name, e->kind) == 0) return c->kind;
    BERTH_ASSERT_MSG(false, "workbench: %s: no kind %s", e->kernel, e->kind);
    return NULL;
}

static void *managed_alloc(size_t bytes) {
    void *block = NULL;
    return cudaMallocManaged(&block, bytes, cudaMemAttachGlobal) == cudaSuccess ? block : NULL;
}

static void managed_free(void *pointer) {
    cudaFree(pointer);
}

static const char *gpu_wait(void) {
    const cudaError_t error = cudaDeviceSynchronize();
    return error == cudaSuccess ? NULL : cudaGetErrorString(error);
}

static int by_value(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

struct timer {
    cudaStream_t stream;
    cudaEvent_t begin, end;
    void *flush;
    size_t flush_bytes;
    double copy_bytes_a_second, flops_a_second;
};

/* Microseconds of `call`: the median of RUNS; the best in *best. 0: it fails. */
static double measure(const struct timer *t, int (*call)(void *), void *user, float *best) {
    float taken[RUNS];
    for (int run = -3; run < RUNS; run++) {
        cudaMemsetAsync(t->flush, run & 0xFF, t->flush_bytes, t->stream);
        cudaEventRecord(t->begin, t->stream);
        if (call(user) != 0) return 0;
        cudaEventRecord(t->end, t->stream);
        if (cudaEventSynchronize(t->end) != cudaSuccess) return 0;
        float ms = 0;
        cudaEventElapsedTime(&ms, t->begin, t->end);
        if (run >= 0) taken[run] = ms * 1000;
    }
    qsort(taken, RUNS, sizeof taken[0], by_value);
    *best = taken[0];
    return (double)taken[RUNS / 2];
}

struct bytes_copied {
    const struct timer *t;
    void *to, *from;
    size_t bytes;
};

static int copy_call(void *user) {
    const struct bytes_copied *c = user;
    return (int)cudaMemcpyAsync(c->to, c->from, c->bytes, cudaMemcpyDeviceToDevice, c->t->stream);
}

struct product {
    struct berth_device *dev;
    void *c, *a, *b;
    int64_t n;
};

static int product_call(void *user) {
    const struct product *p = user;
    return p->dev->ops.gemm(p->c, p->a, p->b, NULL, p->n, p->n, p->n, p->n, p->n, p->n, BERTH_GEMM_NT, 0,
                            BERTH_BF16, BERTH_BF16, p->dev->stream);
}

/* Bytes a second, read and written, of a copy that moves `moved` bytes. */
static double copy_rate(const struct timer *t, double moved) {
    struct bytes_copied c = {.t = t, .bytes = (size_t)(moved / 2) & ~(size_t)255};
    float best = 0;
    double us = 0;
    if (cudaMalloc(&c.to, c.bytes) == cudaSuccess && cudaMalloc(&c.from, c.bytes) == cudaSuccess)
        us = measure(t, copy_call, &c, &best);
    cudaFree(c.to);
    cudaFree(c.from);
    return us > 0 ? 2.0 * (double)c.bytes / us * 1e6 : 0;
}

/* FLOP a second of bf16 products of random numbers, 8192 a side. */
static double product_rate(const struct timer *t, struct berth_device *dev) {
    struct product p = {.dev = dev, .n = 8192};
    const size_t count = (size_t)p.n * (size_t)p.n, bytes = count * 2;
    float best = 0;
    double us = 0;
    uint16_t *host = malloc(bytes);
    if (host != NULL && cudaMalloc(&p.c, bytes) == cudaSuccess && cudaMalloc(&p.a, bytes) == cudaSuccess &&
        cudaMalloc(&p.b, bytes) == cudaSuccess) {
        for (size_t i = 0; i < count; i++) /* of both signs, between 2^-7 and 2 */
            host[i] =
                (uint16_t)(berth_random_u32(1, BERTH_PURPOSE_TEST, 3, i / 2) >> (i % 2 * 16) & 0x83FF) | 0x3C00;
        cudaMemcpy(p.a, host, bytes, cudaMemcpyHostToDevice);
        cudaMemcpy(p.b, host, bytes, cudaMemcpyHostToDevice);
        us = measure(t, product_call, &p, &best);
    }
    free(host);
    cudaFree(p.a);
    cudaFree(p.b);
    cudaFree(p.c);
    return us > 0 ? 2.0 * pow((double)p.n, 3) / us * 1e6 : 0;
}

struct timed {
    struct op_ctx *x;
    const struct op_step *step;
    const struct berth_ops *ops;
    berth_stream *stream;
};

static int step_call(void *user) {
    const struct timed *t = user;
    return t->step->call(t->x, t->ops, t->stream);
}

static int time_step(const struct entry *e, struct op_ctx *x, const struct op_step *step,
                     const struct berth_ops *ops, struct berth_device *dev, const struct timer *t) {
    struct timed timed = {x, step, ops, dev->stream};
    float best = 0;
    const double us = measure(t, step_call, &timed, &best);
    if (us <= 0) {
        printf("%-26s %d  %-10s FAILED: %s\n", e->kernel, e->version, step->name, berth_cuda_launch_error());
        return 1;
    }
    if (e->bytes > 0) {
        const double moved = e->bytes * (double)(e->sizes[0] * e->sizes[1]), own = copy_rate(t, moved);
        const double wanted = moved >= 200e6 && strcmp(e->kernel, "layernorm-backward") != 0 &&
                                      strncmp(e->kernel, "column_sum", 10) != 0
                                  ? 85
                                  : 75;
        printf("%-26s %d  %-10s %9.1f us (best %.1f)  %8.0f GB/s  %5.1f%% of a copy of %.0f MB (%.0f GB/s); "
               "wanted %.0f%%\n",
               e->kernel, e->version, step->name, us, (double)best, moved / us * 1e-3,
               100 * moved / us * 1e6 / own, moved * 1e-6, own * 1e-9, wanted);
    } else {
        const double flops = step->flops == NULL ? 0 : step->flops(x);
        printf("%-26s %d  %-10s %9.1f us (best %.1f)  %8.1f TFLOP/s  %5.1f%% of the product of 8192\n",
               e->kernel, e->version, step->name, us, (double)best, flops / us * 1e-6,
               100 * flops / us * 1e6 / t->flops_a_second);
    }
    fflush(stdout);
    return 0;
}

static int time_entry(const struct entry *e, struct berth_device *dev, const struct timer *t) {
    struct op_case c = {.kind = kind_of(e), .flags = e->flags};
    struct berth_ops ops = dev->ops;
    struct op_ctx x;
    int failed = 0;
    memcpy(c.s, e->sizes, sizeof e->sizes);
    if (e->device != NULL) e->device(&ops);
    op_open(&x, &c, false, e->dtype);
    for (int i = 0; i < OP_STEPS && c.kind->steps[i].call != NULL; i++) {
        /* those before it once, as it may read what they save */
        if (e->step != NULL && strcmp(c.kind->steps[i].name, e->step) != 0)
            failed |= c.kind->steps[i].call(&x, &ops, dev->stream) != 0;
        else
            failed |= time_step(e, &x, &c.kind->steps[i], &ops, dev, t);
        if (e->step != NULL && strcmp(c.kind->steps[i].name, e->step) == 0) break;
    }
    op_close(&x);
    return failed;
}

static int time_all(const regex_t *filter, struct berth_device *dev) {
    struct timer t = {.stream = (cudaStream_t)((struct berth_cuda_stream *)(void *)dev->stream)->stream,
                      .flush_bytes = (size_t)256 << 20};
    int failed = 0;
    if (cudaMalloc(&t.flush, t.flush_bytes) != cudaSuccess || cudaEventCreate(&t.begin) != cudaSuccess ||
        cudaEventCreate(&t.end) != cudaSuccess) {
        fprintf(stderr, "workbench: no device memory or events\n");
        return 1;
    }
    op_memory = (struct op_memory){managed_alloc, managed_free, gpu_wait};
    t.copy_bytes_a_second = copy_rate(&t, 2147483648.0);
    t.flops_a_second = product_rate(&t, dev);
    printf("ceilings: copy of 2 GiB moved %.0f GB/s; bf16 product of 8192 %.1f TFLOP/s\n",
           t.copy_bytes_a_second * 1e-9, t.flops_a_second * 1e-12);
    for (int i = 0; i < ENTRIES; i++)
        if (chosen(&entries[i], filter)) failed |= time_entry(&entries[i], dev, &t);
    cudaEventDestroy(t.begin);
    cudaEventDestroy(t.end);
    cudaFree(t.flush);
    return failed;
}
#else
static int time_all(const regex_t *filter, struct berth_device *dev) {
    (void)filter, (void)dev;
    return SKIPPED;
}
#endif

/* ------------------------------------------------------------------ main */

static int usage(void) {
    fprintf(stderr, "usage: workbench list | check [REGEX] [--device cuda-host|cuda] | time [REGEX]\n");
    return 2;
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "", *device = "cuda-host", *pattern = NULL;
    const bool times = strcmp(mode, "time") == 0;
    struct berth_device *dev = NULL;
    regex_t filter;
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--device") == 0 && i + 1 < argc)
            device = argv[++i];
        else if (pattern == NULL && argv[i][0] != '-')
            pattern = argv[i];
        else
            return usage();
    }
    if (strcmp(mode, "list") == 0) return list();
    if (!times && strcmp(mode, "check") != 0) return usage();
    if (pattern != NULL && regcomp(&filter, pattern, REG_EXTENDED | REG_NOSUB) != 0) {
        fprintf(stderr, "workbench: bad regex %s\n", pattern);
        return 2;
    }
    if (times) device = "cuda";
    const berth_status opened = berth_device_open(&dev, device);
    if (opened != BERTH_OK) {
        fprintf(stderr, "workbench: %s%s\n", opened == BERTH_E_UNSUPPORTED ? "not run: " : "",
                berth_error_text());
        return opened == BERTH_E_UNSUPPORTED ? SKIPPED : 1;
    }
    const regex_t *f = pattern == NULL ? NULL : &filter;
    const int result = times ? time_all(f, dev) : check(f, dev);
    berth_device_close(dev);
    if (pattern != NULL) regfree(&filter);
    fflush(stdout);
    return result;
}
