/* test_ops.c: every operation of the table against double precision, on every instruction set, forward and
 * backward; and its speed.
 *
 *     test_ops [test|perf|cuda-host|cuda] [regex of titles]
 *
 * cuda-host runs the CUDA kernels on the CPU, cuda on a GPU (77 where there is none), in fp32 and bf16;
 * BERTH_OPS_MOST=N leaves out the cases with more than N floats of tensors or N multiply-adds / 16 (sanitizers,
 * the race detector and compute-sanitizer are slow).
 *
 * What is checked of each case: support_ops.h. perf prints, for shapes of BERT-base (H=768) and MiniLM (H=384),
 * the best of several runs: GFLOP/s or GB/s. */
#include <math.h>
#include <omp.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(BERTH_HAVE_CUDA)
#include <cuda_runtime_api.h>
#endif

#include "berth/kernels_cuda.h"
#include "device/device_priv.h"
#include "ops/support_ops.h"

static const struct op_case *const test_lists[] = {cases_flat,  cases_act,  cases_gemm,  cases_norm,
                                                   cases_embed, cases_loss, cases_heads, cases_attention,
                                                   cases_optim, cases_fused};
static const struct op_case *const perf_lists[] = {perf_flat,  perf_act,  perf_gemm,  perf_norm,
                                                   perf_embed, perf_loss, perf_heads, perf_attention,
                                                   perf_optim, perf_fused};
enum { LISTS = sizeof test_lists / sizeof test_lists[0] };

static const char *const isa_names[] = {"base", "avx2", "avx512"};
/* The same bits are wanted in each way of running: with several threads, or, for CUDA kernels on the CPU, with
 * the threads of a block in several orders. */
struct way {
    const char *name;
    int threads;
    enum berth_cuda_host_order order;
    uint64_t seed;
};
static const struct way thread_ways[] = {{"1 thread", 1, 0, 0}, {"2 threads", 2, 0, 0}, {"4 threads", 4, 0, 0}};
static const struct way order_ways[] = {{"order forward", 1, BERTH_CUDA_HOST_FORWARD, 0},
                                        {"order reverse", 1, BERTH_CUDA_HOST_REVERSE, 0},
                                        {"order random:20", 1, BERTH_CUDA_HOST_RANDOM, 20}};
static const struct way repeat_ways[] = {
    {"first run", 1, 0, 0}, {"second run", 1, 0, 0}, {"third run", 1, 0, 0}};
enum { WAYS = 3 };

/* A table of operations under test: an instruction set's own, or the device as opened. */
struct table {
    const char *name;
    struct berth_ops ops;
    berth_stream *stream;
    const struct way *ways;
    enum berth_dtype dtype;
};

struct totals {
    int cases, left_out, runs, failures;
};

static void report(struct totals *totals, const char *title, const char *table, const char *way,
                   const char *text) {
    totals->failures++;
    printf("FAIL %s (%s, %s): %s\n", title, table, way, text);
}

static void set_way(const struct way *way) {
    omp_set_num_threads(way->threads);
#if defined(BERTH_CUDA_HOST)
    berth_cuda_host_set_order(way->order, way->seed);
#endif
}

/* ------------------------------------------------------------------ the double backward */

/* Σ dy·y over the outputs of the gradient check. */
static double objective(struct op_ctx *x) {
    const struct op_kind *kind = x->c->kind;
    double sum = 0;
    kind->forward(x);
    for (int i = 0; i < 3 && kind->outputs[i].value != NULL; i++) {
        const struct op_tensor *y = op_find(x, kind->outputs[i].value),
                               *dy = op_find(x, kind->outputs[i].gradient);
        for (int64_t j = 0; j < y->rows * y->columns; j++)
            sum += y->d[j] * dy->d[j];
    }
    return sum;
}

/* The derivative along a random direction of each input, by central difference and by backward's gradient. */
static void check_gradient(struct op_ctx *x, const char *title, struct totals *totals) {
    const struct op_kind *kind = x->c->kind;
    const double step = 1e-5;
    for (int i = 0; i < 5 && kind->inputs[i].value != NULL; i++) {
        struct op_tensor *v = op_find(x, kind->inputs[i].value), *g = op_find(x, kind->inputs[i].gradient);
        const int64_t n = v->rows * v->columns;
        double slope = 0, size = 0;
        double *keep = malloc((size_t)(n + 1) * sizeof *keep), *along = malloc((size_t)(n + 1) * sizeof *along);
        BERTH_ASSERT(keep != NULL && along != NULL);
        for (int64_t j = 0; j < n; j++) {
            keep[j] = v->d[j];
            along[j] = 2 * berth_random_unit(3, BERTH_PURPOSE_TEST, 9, (uint64_t)j) - 1;
            const double term = (g->d[j] - g->first[j]) * along[j];
            slope += term;
            size += fabs(term);
        }
        for (int64_t j = 0; j < n; j++)
            v->d[j] = keep[j] + step * along[j];
        const double above = objective(x);
        for (int64_t j = 0; j < n; j++)
            v->d[j] = keep[j] - step * along[j];
        const double below = objective(x), measured = (above - below) / (2 * step);
        for (int64_t j = 0; j < n; j++)
            v->d[j] = keep[j];
        free(keep);
        free(along);
        if (fabs(measured - slope) <= 1e-6 * size + 1e-8 * fabs(above)) continue;
        char text[160];
        snprintf(text, sizeof text, "reference %s: %.9g along a direction, central difference %.9g", g->name,
                 slope, measured);
        report(totals, title, "double", "reference", text);
    }
    kind->forward(x);
}

/* ------------------------------------------------------------------ the tables */

/* What the execution layer says of the last launch. */
static const char *detail(const struct table *table) {
    (void)table;
#if defined(BERTH_CUDA_HOST)
    if (table->ways == order_ways) return berth_cuda_host_error();
#endif
    return "";
}

static bool run_steps(struct op_ctx *x, const struct table *table, const struct way *way) {
    set_way(way);
    op_restart(x);
    for (int i = 0; i < OP_STEPS && x->c->kind->steps[i].call != NULL; i++) {
        const int error = x->c->kind->steps[i].call(x, &table->ops, table->stream);
        if (error != 0) {
            snprintf(x->message, sizeof x->message, "%s returned %d%s%s", x->c->kind->steps[i].name, error,
                     table->ways == order_ways ? ": " : "", detail(table));
            return false;
        }
        if (!op_wait(x)) {
            const size_t used = strlen(x->message);
            snprintf(x->message + used, sizeof x->message - used, " (%s)", x->c->kind->steps[i].name);
            return false;
        }
        if (!op_guards(x)) return false;
    }
    op_collect(x);
    return true;
}

static bool all_close(struct op_ctx *x) {
    for (int i = 0; i < x->tensors; i++)
        if (x->tensor[i].output && !op_compare(x, &x->tensor[i])) return false;
    return true;
}

static float **keep_outputs(const struct op_ctx *x) {
    float **kept = calloc((size_t)x->tensors + 1, sizeof *kept);
    BERTH_ASSERT(kept != NULL);
    for (int i = 0; i < x->tensors; i++) {
        const size_t bytes = (size_t)(x->tensor[i].rows * x->tensor[i].columns) * sizeof(float);
        kept[i] = malloc(bytes + 1);
        BERTH_ASSERT(kept[i] != NULL);
        memcpy(kept[i], x->tensor[i].f, bytes);
    }
    return kept;
}

static void free_outputs(const struct op_ctx *x, float **kept) {
    for (int i = 0; i < x->tensors; i++)
        free(kept[i]);
    free(kept);
}

static bool same_bits(struct op_ctx *x, float **kept) {
    for (int i = 0; i < x->tensors; i++) {
        const struct op_tensor *t = &x->tensor[i];
        for (int64_t j = 0; j < t->rows * t->columns; j++) {
            if (memcmp(&t->f[j], &kept[i][j], sizeof(float)) == 0) continue;
            snprintf(x->message, sizeof x->message, "%s[%lld,%lld]: %.9g, the first way %.9g", t->name,
                     (long long)(j / t->columns), (long long)(j % t->columns), (double)t->f[j],
                     (double)kept[i][j]);
            return false;
        }
    }
    return true;
}

static void test_table(struct op_ctx *x, const struct table *table, const char *title, struct totals *totals) {
    float **one = NULL;
    for (int i = 0; i < WAYS; i++) {
        const struct way *way = &table->ways[i];
        totals->runs++;
        const bool ran = run_steps(x, table, way);
        if (!ran || (i == 0 && !all_close(x)) || (i > 0 && one != NULL && !same_bits(x, one)))
            report(totals, title, table->name, way->name, x->message);
        if (i == 0 && ran) one = keep_outputs(x);
    }
    if (one != NULL) free_outputs(x, one);
    set_way(&table->ways[1]);
    op_restart(x);
    if (x->dtype == BERTH_F32 && x->c->kind->property != NULL &&
        !x->c->kind->property(x, &table->ops, table->stream))
        report(totals, title, table->name, table->ways[1].name, x->message);
}

/* Whether the case is too long for a slow build: `most` floats, 16 times as many multiply-adds. 0: no limit. */
static bool too_long(struct op_ctx *x, double most) {
    double floats = 0, work = 0;
    for (int i = 0; i < x->tensors; i++)
        floats += (double)(x->tensor[i].rows * x->tensor[i].columns);
    for (int i = 0; i < OP_STEPS && x->c->kind->steps[i].call != NULL; i++)
        if (x->c->kind->steps[i].flops != NULL) work += x->c->kind->steps[i].flops(x) / 2;
    return most > 0 && (floats > most || work > 16 * most);
}

static bool has_activations(const struct op_ctx *x) {
    for (int i = 0; i < x->tensors; i++)
        if (x->tensor[i].activation) return true;
    return false;
}

/* One case on the tables of one element type. */
static void test_case(const struct op_case *c, const struct table *tables, int count, enum berth_dtype dtype,
                      double most, struct totals *totals) {
    char title[160];
    struct op_ctx x;
    op_title(c, title, sizeof title);
    op_open(&x, c, true, dtype);
    if (too_long(&x, most) || (dtype == BERTH_BF16 && !has_activations(&x))) {
        totals->left_out++;
        op_close(&x);
        return;
    }
    totals->cases++;
    c->kind->forward(&x);
    if (c->kind->backward != NULL) {
        c->kind->backward(&x);
        if (dtype == BERTH_F32) check_gradient(&x, title, totals);
    }
    for (int i = 0; i < count; i++)
        if (tables[i].dtype == dtype) test_table(&x, &tables[i], title, totals);
    op_close(&x);
}

/* ------------------------------------------------------------------ speed */

static double best_seconds(struct op_ctx *x, const struct op_step *step, const struct table *table) {
    double best = 1e30, spent = 0;
    for (int run = 0; run < 200 && (spent < 0.25 || run < 5); run++) {
        const double start = berth_time_seconds();
        if (step->call(x, &table->ops, table->stream) != 0) return 0;
        const double took = berth_time_seconds() - start;
        spent += took;
        if (run > 0 && took < best) best = took;
    }
    return best;
}

static void perf_case(const struct op_case *c, const struct table *table, int threads) {
    char title[160];
    struct op_ctx x;
    op_title(c, title, sizeof title);
    omp_set_num_threads(threads);
    op_open(&x, c, false, BERTH_F32);
    for (int i = 0; i < OP_STEPS && c->kind->steps[i].call != NULL; i++) {
        const struct op_step *step = &c->kind->steps[i];
        const double seconds = best_seconds(&x, step, table);
        printf("%-8s %-54s %-9s %9.1f us", table->name, title, step->name, seconds * 1e6);
        if (step->flops != NULL) printf(" %8.1f GFLOP/s", step->flops(&x) / seconds * 1e-9);
        if (step->bytes != NULL) printf(" %8.1f GB/s", step->bytes(&x) / seconds * 1e-9);
        printf("\n");
    }
    op_close(&x);
}

/* ------------------------------------------------------------------ main */

static int fill_tables(struct table *tables, struct berth_device *dev) {
    int count = 0;
    for (size_t i = 0; i < sizeof isa_names / sizeof isa_names[0]; i++) {
        if (!cpu_isa_fill(isa_names[i], &tables[count].ops)) {
            printf("not on this processor: %s\n", isa_names[i]);
            continue;
        }
        tables[count].ways = thread_ways;
        tables[count++].name = isa_names[i];
    }
    tables[count++] = (struct table){dev->backend->name, dev->ops, dev->stream, thread_ways, BERTH_F32};
    if (!berth_device_supports(dev, "gemm", BERTH_BF16)) printf("not on this processor: products in bf16\n");
    for (int i = count - 1, f32 = count; i >= 0;
         i--) { /* plain kernels take bf16 everywhere, the library may not */
        if (i == f32 - 1 && !berth_device_supports(dev, "gemm", BERTH_BF16)) continue;
        tables[count] = tables[i];
        tables[count++].dtype = BERTH_BF16;
    }
    return count;
}

static int fill_cuda_host(struct table *tables, struct berth_device *dev) {
    tables[0] = (struct table){"cuda-host f32", dev->ops, dev->stream, order_ways, BERTH_F32};
    tables[1] = (struct table){"cuda-host bf16", dev->ops, dev->stream, order_ways, BERTH_BF16};
    return 2;
}

/* ------------------------------------------------------------------ a GPU */

#if defined(BERTH_HAVE_CUDA)
/* NOTE: pinned memory of the host, which the GPU reads and writes over the bus: both sides see one address, as
 * with managed memory, without its pages that wander and its limits in virtual machines. */
static void *pinned_alloc(size_t bytes) {
    void *block = NULL;
    return cudaHostAlloc(&block, bytes, cudaHostAllocPortable | cudaHostAllocMapped) == cudaSuccess ? block
                                                                                                    : NULL;
}

static void pinned_free(void *pointer) {
    cudaFreeHost(pointer);
}

static const char *gpu_wait(void) {
    const cudaError_t error = cudaDeviceSynchronize();
    return error == cudaSuccess ? NULL : cudaGetErrorString(error);
}

static void use_gpu_memory(void) {
    op_memory = (struct op_memory){pinned_alloc, pinned_free, gpu_wait};
}
#else
static void use_gpu_memory(void) {
}
#endif

static int fill_cuda(struct table *tables, struct berth_device *dev) {
    use_gpu_memory();
    tables[0] = (struct table){"cuda f32", dev->ops, dev->stream, repeat_ways, BERTH_F32};
    tables[1] = (struct table){"cuda bf16", dev->ops, dev->stream, repeat_ways, BERTH_BF16};
    return 2;
}

/* ------------------------------------------------------------------ modes */

enum mode { MODE_TEST, MODE_PERF, MODE_CUDA_HOST, MODE_CUDA };
static const struct {
    const char *name, *device;
    int (*fill)(struct table *tables, struct berth_device *dev);
} modes[] = {{"test", "cpu", fill_tables},
             {"perf", "cpu", fill_tables},
             {"cuda-host", "cuda-host", fill_cuda_host},
             {"cuda", "cuda", fill_cuda}};
enum { MODES = sizeof modes / sizeof modes[0], SKIPPED = 77 };

/* Kinds that the CPU computes in bf16 as well: what a backbone is made of. */
static const char *const cpu_half[] = {"gemm",           "column_sum",  "activation", "layernorm",
                                       "dropout",        "gather",      "mean_pool",  "attention",
                                       "attention-long", "elementwise", NULL};

static bool cpu_has_half(const struct op_case *c) {
    for (size_t i = 0; cpu_half[i] != NULL; i++)
        if (strcmp(cpu_half[i], c->kind->name) == 0) return true;
    return false;
}

static void walk(enum mode mode, const regex_t *filter, const struct table *tables, int count, int threads,
                 struct totals *totals) {
    const char *limit = getenv("BERTH_OPS_MOST");
    const double most = limit == NULL ? 0 : atof(limit);
    for (int list = 0; list < LISTS; list++) {
        for (const struct op_case *c = (mode == MODE_PERF ? perf_lists : test_lists)[list]; c->kind != NULL;
             c++) {
            char title[160];
            op_title(c, title, sizeof title);
            if (filter != NULL && regexec(filter, title, 0, NULL, 0) != 0) continue;
            if (mode == MODE_PERF)
                perf_case(c, &tables[count - 1], threads);
            else
                test_case(c, tables, count, BERTH_F32, most, totals);
            if (mode >= MODE_CUDA_HOST || (mode == MODE_TEST && cpu_has_half(c)))
                test_case(c, tables, count, BERTH_BF16, most, totals);
        }
    }
}

/* More threads than processors, on a machine that others use too: waiting threads must sleep, not spin. OpenMP
 * reads that before main, so the program starts itself again once. */
static void wait_asleep(char **argv) {
    if (getenv("OMP_WAIT_POLICY") != NULL) return;
    setenv("OMP_WAIT_POLICY", "passive", 1);
    execv("/proc/self/exe", argv); /* on failure the tests run as they are, only slower */
}

static enum mode mode_of(int argc, char **argv, const char **pattern) {
    for (int i = 0; i < MODES && argc > 1; i++) {
        if (strcmp(argv[1], modes[i].name) != 0) continue;
        *pattern = argc > 2 ? argv[2] : NULL;
        return (enum mode)i;
    }
    *pattern = argc > 1 ? argv[1] : NULL;
    return MODE_TEST;
}

static void describe(const struct berth_device *dev) {
    struct berth_str about;
    berth_str_init(&about);
    berth_device_describe(dev, &about);
    if (!about.failed) printf("%s", about.data);
    berth_str_deinit(&about);
}

int main(int argc, char **argv) {
    struct table tables[8] = {0};
    struct totals totals = {0};
    struct berth_device *dev = NULL;
    regex_t filter;
    const char *pattern = NULL;
    const enum mode mode = mode_of(argc, argv, &pattern);
    const int threads = omp_get_max_threads();
    if (pattern != NULL && regcomp(&filter, pattern, REG_EXTENDED | REG_NOSUB) != 0) {
        fprintf(stderr, "test_ops: bad regex %s\n", pattern);
        return 2;
    }
    if (mode != MODE_PERF) wait_asleep(argv);
    if (mode != MODE_PERF) omp_set_num_threads(thread_ways[2].threads); /* room for as many as will run */
    const berth_status opened = berth_device_open(&dev, modes[mode].device);
    if (opened != BERTH_OK) {
        const bool absent = mode == MODE_CUDA && opened == BERTH_E_UNSUPPORTED;
        fprintf(stderr, "test_ops: %s%s\n", absent ? "skipped: " : "", berth_error_text());
        return absent ? SKIPPED : 1;
    }
    describe(dev);
    const double start = berth_time_seconds();
    const int count = modes[mode].fill(tables, dev);
    walk(mode, pattern == NULL ? NULL : &filter, tables, count, threads, &totals);
    if (mode != MODE_PERF)
        printf("%d cases, %d left out, %d runs, %d failures, %.1f s\n", totals.cases, totals.left_out,
               totals.runs, totals.failures, berth_time_seconds() - start);
    if (pattern != NULL) regfree(&filter);
    berth_device_close(dev);
    fflush(stdout);
    return totals.failures > 0 || (mode != MODE_PERF && totals.cases == 0) ? 1 : 0;
}
