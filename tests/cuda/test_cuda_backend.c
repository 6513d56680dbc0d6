/* test_cuda_backend.c: the device `cuda`, its own source, on the machine of stub_cuda.h: products, copies,
 * errors, choices of algorithms, a run. What only a GPU can show (its kernels, its libraries, its speed) is not
 * shown here. */
#include "train/support_train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "berth/file.h"
#include "cuda/stub_cuda.h"

static struct berth_device *open_cuda(void) {
    struct berth_device *dev = NULL;
    assert_done(berth_device_open(&dev, "cuda"));
    return dev;
}

static void assert_nothing_left(void) {
    if (stub.graphs != 0) fail_msg("left: %d graphs", (int)stub.graphs);
    if (stub.events != 0 || stub.streams != 0 || stub.pinned != 0 || stub.blocks != 0 || stub.descriptors != 0)
        fail_msg("left: %d events, %d streams, %d pinned blocks, %d device blocks, %d descriptors of cuBLASLt",
                 (int)stub.events, (int)stub.streams, (int)stub.pinned, (int)stub.blocks,
                 (int)stub.descriptors);
}

/* ------------------------------------------------------------------ what is missing */

static void refused(berth_status expected, const char *name, const char *text) {
    struct berth_device *dev = NULL;
    assert_int_equal(berth_device_open(&dev, name), expected);
    assert_null(dev);
    assert_text_has(berth_error_text(), text);
    assert_null(strchr(berth_error_text(), '\n'));
    assert_nothing_left();
}

static void test_what_is_missing(void **state) {
    (void)state;
    struct berth_device *dev = NULL;
    stub_reset();
    stub.count_error = cudaErrorInsufficientDriver;
    refused(BERTH_E_UNSUPPORTED, "cuda", "device cuda: no NVIDIA driver, or one too old for this build's CUDA");
    stub.count_error = cudaErrorNoDevice;
    refused(BERTH_E_UNSUPPORTED, "cuda", "device cuda: no NVIDIA GPU is visible");
    assert_done(berth_device_open(&dev, "auto"));
    assert_string_equal(dev->backend->name, "cpu");
    berth_device_close(dev);
    stub_reset();
    refused(BERTH_E_USAGE, "cuda:3", "device cuda:3: there is one GPU, cuda:0");
    stub.devices = 2;
    refused(BERTH_E_USAGE, "cuda:3", "device cuda:3: there are 2 GPUs, cuda:0 to cuda:1");
    stub.major = 7, stub.minor = 5, stub.name = "Tesla T4";
    refused(BERTH_E_UNSUPPORTED, "cuda",
            "device cuda:0: Tesla T4 has compute capability 7.5, expected 8.0 or newer");
    assert_done(berth_device_open(&dev, "auto"));
    assert_string_equal(dev->backend->name, "cpu");
    berth_device_close(dev);
    stub_reset();
    stub.memory = 16 << 20;
    refused(BERTH_E_MEMORY, "cuda", "device cuda:0: out of device memory: 32.0 MiB were asked for");
}

static void test_memory_that_ends(void **state) {
    (void)state;
    void *p = NULL, *q = NULL;
    stub_reset();
    stub.memory = 64 << 20;
    struct berth_device *dev = open_cuda();
    assert_done(berth_device_alloc(dev, &p, 20 << 20));
    assert_int_equal(berth_device_alloc(dev, &q, 40 << 20), BERTH_E_MEMORY);
    assert_text_has(berth_error_text(),
                    "device cuda:0: out of device memory: 40.0 MiB were asked for, 11.9 of 64.0 MiB are "
                    "free, 20.0 MiB are held by this run; lower train.batch_size");
    berth_device_free(dev, p, 20 << 20);
    berth_device_close(dev);
    assert_nothing_left();
}

/* ------------------------------------------------------------------ copies */

/* Memory given to an upload is the caller's again when it returns: it is filled with something else at once.
 * The queue copies as late as it may. */
static void test_uploads_may_be_overwritten(void **state) {
    (void)state;
    enum { MOST = 9 << 20, ROUNDS = 12 };
    static unsigned char source[MOST], back[MOST];
    static const size_t sizes[] = {1, 4096, (4 << 20) - 1, 4 << 20, (4 << 20) + 1, MOST};
    unsigned char *p[ROUNDS];
    stub_reset();
    struct berth_device *dev = open_cuda();
    for (int i = 0; i < ROUNDS; i++) {
        const size_t bytes = sizes[i % 6];
        assert_done(berth_device_alloc(dev, &p[i], bytes));
        memset(source, i + 1, bytes);
        source[bytes - 1] = 77;
        assert_done(berth_device_upload(dev, p[i], source, bytes));
        memset(source, 0xEE, bytes);
    }
    for (int i = 0; i < ROUNDS; i++) {
        const size_t bytes = sizes[i % 6];
        assert_done(berth_device_download(dev, back, p[i], bytes));
        for (size_t k = 0; k < bytes; k++)
            if (back[k] != (k == bytes - 1 ? 77 : i + 1)) fail_msg("upload %d: byte %zu is %d", i, k, back[k]);
        berth_device_free(dev, p[i], bytes);
    }
    berth_device_close(dev);
    assert_nothing_left();
}

/* ------------------------------------------------------------------ products */

static float random_value(uint64_t *at) {
    return (float)berth_random_below(9, BERTH_PURPOSE_TEST, 1, (*at)++, 2001) / 1000.0f - 1.0f;
}

static uint16_t half_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

static float of_half(uint16_t half) {
    const uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

struct matrix {
    float *host; /* rounded to the type */
    unsigned char *device;
    size_t bytes;
    int64_t rows, columns, ld;
    enum berth_dtype dtype;
    size_t skip; /* elements before the first: alignment */
};

static void make_matrix(struct berth_device *dev, struct matrix *m, uint64_t *at) {
    const size_t count = (size_t)(m->rows * m->ld), width = berth_dtype_size(m->dtype);
    m->bytes = (count + m->skip) * width;
    m->host = calloc(count + m->skip, sizeof *m->host);
    uint16_t *half = calloc(count + m->skip, sizeof *half);
    for (size_t i = 0; i < count + m->skip; i++) {
        m->host[i] = random_value(at);
        half[i] = half_of(m->host[i]);
        if (m->dtype == BERTH_BF16) m->host[i] = of_half(half[i]);
    }
    assert_done(berth_device_alloc(dev, &m->device, m->bytes));
    assert_done(berth_device_upload(dev, m->device, m->dtype == BERTH_BF16 ? (void *)half : m->host, m->bytes));
    free(half);
}

static void *data_of(const struct matrix *m) {
    return m->device + m->skip * berth_dtype_size(m->dtype);
}

static double at_of(const struct matrix *m, int64_t row, int64_t column) {
    return (double)m->host[(size_t)(row * m->ld + column) + m->skip];
}

static void free_matrix(struct berth_device *dev, struct matrix *m) {
    berth_device_free(dev, m->device, m->bytes);
    free(m->host);
}

static void compare(struct berth_device *dev, const struct matrix *c, const struct matrix *a,
                    const struct matrix *b, const struct matrix *bias, int64_t inner, enum berth_gemm_form form,
                    bool accumulate) {
    void *found = calloc(1, c->bytes);
    assert_done(berth_device_download(dev, found, c->device, c->bytes));
    for (int64_t i = 0; i < c->rows; i++)
        for (int64_t j = 0; j < c->ld; j++) {
            double expected = 0;
            for (int64_t k = 0; j < c->columns && k < inner; k++)
                expected += (form == BERTH_GEMM_TN ? at_of(a, k, i) : at_of(a, i, k)) *
                            (form == BERTH_GEMM_NT ? at_of(b, j, k) : at_of(b, k, j));
            if (bias != NULL && j < c->columns)
                expected +=
                    c->dtype == BERTH_BF16 ? (double)of_half(half_of(bias->host[j])) : (double)bias->host[j];
            if (accumulate || j >= c->columns)
                expected += at_of(c, i, j); /* beyond the columns nothing changes */
            const size_t at = (size_t)(i * c->ld + j) + c->skip;
            const float got = c->dtype == BERTH_BF16 ? of_half(((uint16_t *)found)[at]) : ((float *)found)[at];
            const double bound = c->dtype == BERTH_BF16 ? fabs(expected) / 200 + 1e-6 : 1e-5;
            if (!(fabs(expected - (double)got) <= bound))
                fail_msg("form %d, [%d, %d] of [%d, %d]: %g, expected %g", (int)form, (int)i, (int)j,
                         (int)c->rows, (int)c->columns, (double)got, expected);
        }
    free(found);
}

static void one_product(struct berth_device *dev, uint64_t round, uint64_t *at) {
    const enum berth_gemm_form form = (enum berth_gemm_form)(round % 3);
    const bool with_bias = form == BERTH_GEMM_NT && round / 3 % 2 == 0,
               accumulate = !with_bias && round % 2 == 0;
    const enum berth_dtype ab = round / 6 % 2 == 0 ? BERTH_F32 : BERTH_BF16;
    const enum berth_dtype out = form == BERTH_GEMM_TN ? BERTH_F32 : ab;
    int64_t size[3];
    for (uint64_t i = 0; i < 3; i++)
        size[i] =
            1 + (int64_t)berth_random_below(11, BERTH_PURPOSE_TEST, (uint32_t)i, round, i == 0 ? 150 : 40);
    const int64_t m = size[0], n = size[1], k = size[2], pad = (int64_t)(round % 5);
    struct matrix a = {
        .rows = form == BERTH_GEMM_TN ? k : m, .columns = form == BERTH_GEMM_TN ? m : k, .dtype = ab};
    struct matrix b = {
        .rows = form == BERTH_GEMM_NT ? n : k, .columns = form == BERTH_GEMM_NT ? k : n, .dtype = ab};
    struct matrix c = {.rows = m, .columns = n, .dtype = out}, bias = {.rows = 1, .columns = n, .ld = n};
    a.ld = a.columns + pad, b.ld = b.columns + 2 * pad, c.ld = c.columns + pad;
    a.skip = round % 4, b.skip = round % 3, c.skip = round % 2;
    make_matrix(dev, &a, at), make_matrix(dev, &b, at), make_matrix(dev, &c, at), make_matrix(dev, &bias, at);
    assert_done(BERTH_OP(dev, gemm(data_of(&c), data_of(&a), data_of(&b), with_bias ? data_of(&bias) : NULL, m,
                                   n, k, a.ld, b.ld, c.ld, form, accumulate, out, ab, dev->stream)));
    compare(dev, &c, &a, &b, with_bias ? &bias : NULL, k, form, accumulate);
    free_matrix(dev, &a), free_matrix(dev, &b), free_matrix(dev, &c), free_matrix(dev, &bias);
}

/* Forms, sizes, leading dimensions, alignments, element types, bias and accumulation drawn at random. */
static void test_products(void **state) {
    (void)state;
    uint64_t at = 0;
    stub_reset();
    stub.refused =
        64; /* a bucket's choice does not take its upper end's neighbours of 64 columns: their own is made */
    struct berth_device *dev = open_cuda();
    for (uint64_t round = 0; round < 120; round++)
        one_product(dev, round, &at);
    assert_int_equal(stub.matmuls, 120);
    berth_device_close(dev);
    assert_nothing_left();
}

static void product_of_rows(struct berth_device *dev, int64_t rows, float *c, float *a, float *b) {
    assert_done(BERTH_OP(
        dev, gemm(c, a, b, NULL, rows, 8, 16, 16, 16, 8, BERTH_GEMM_NT, 0, BERTH_F32, BERTH_F32, dev->stream)));
}

/* 400 numbers of tokens need a few choices; where the library refuses one for certain sizes they get one more.
 */
static void test_choices_are_few(void **state) {
    (void)state;
    float *a = NULL, *b = NULL, *c = NULL;
    stub_reset();
    stub.refused = 333;
    struct berth_device *dev = open_cuda();
    assert_done(berth_device_alloc(dev, &a, 400 * 16 * 4));
    assert_done(berth_device_alloc(dev, &b, 8 * 16 * 4));
    assert_done(berth_device_alloc(dev, &c, 400 * 8 * 4));
    for (int64_t rows = 1; rows <= 400; rows++)
        product_of_rows(dev, rows, c, a, b);
    product_of_rows(dev, 333, c, a, b);
    assert_int_equal(stub.heuristics, 7 + 1); /* 64, 128, ..., 448, and 333 */
    berth_device_free(dev, a, 400 * 16 * 4);
    berth_device_free(dev, b, 8 * 16 * 4);
    berth_device_free(dev, c, 400 * 8 * 4);
    berth_device_close(dev);
    assert_nothing_left();
}

static void test_tf32(void **state) {
    (void)state;
    float *p = NULL, x[3] = {1.0f + 0x1p-11f, 1.0f, 0}; /* 11 bits of fraction: tf32 has 10 */
    stub_reset();
    struct berth_device *dev = open_cuda();
    assert_done(berth_device_alloc(dev, &p, sizeof x));
    for (int on = 1; on >= 0; on--) {
        assert_done(berth_device_set_tf32(dev, on));
        assert_done(berth_device_upload(dev, p, x, sizeof x));
        assert_done(BERTH_OP(dev, gemm(p + 2, p, p + 1, NULL, 1, 1, 1, 1, 1, 1, BERTH_GEMM_NT, 0, BERTH_F32,
                                       BERTH_F32, dev->stream)));
        assert_int_equal(stub.last_compute, on ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F);
        float y = 0;
        assert_done(berth_device_download(dev, &y, p + 2, sizeof y));
        if (!on) assert_true(y == x[0]);
        if (on) assert_true(y != x[0] && fabsf(y - x[0]) < 0x1p-10f);
    }
    berth_device_free(dev, p, sizeof x);
    berth_device_close(dev);
    assert_nothing_left();
}

/* ------------------------------------------------------------------ the n-th call fails */

/* Opens, copies there and back, multiplies, closes. */
static berth_status short_life(void) {
    berth_status status = BERTH_OK;
    struct berth_device *dev = NULL;
    float *p = NULL, x[64] = {1, 2, 3};
    BERTH_TRY(berth_device_open(&dev, "cuda"));
    BERTH_TRY_OUT(berth_device_alloc(dev, &p, sizeof x));
    BERTH_TRY_OUT(berth_device_upload(dev, p, x, sizeof x));
    BERTH_TRY_OUT(berth_device_zero(dev, p + 32, 64));
    BERTH_TRY_OUT(BERTH_OP(dev, gemm(p + 32, p, p + 16, p + 8, 4, 4, 4, 4, 4, 4, BERTH_GEMM_NT, 0, BERTH_F32,
                                     BERTH_F32, dev->stream)));
    BERTH_TRY_OUT(berth_device_copy(dev, p + 48, p + 32, 64));
    BERTH_TRY_OUT(berth_device_download(dev, x, p, sizeof x));
    BERTH_TRY_OUT(berth_device_synchronize(dev));
out:
    stub.fail_at = 0; /* nobody hears of what fails in the end */
    berth_device_free(dev, p, sizeof x);
    berth_device_close(dev);
    return status;
}

static void test_each_call_may_fail(void **state) {
    (void)state;
    int64_t n = 1;
    for (;; n++) {
        stub_reset();
        stub.fail_at = n;
        berth_status status = short_life();
        assert_nothing_left();
        if (stub.failed_calls == 0) {
            assert_done(status);
            break;
        }
        if (status == BERTH_OK) fail_msg("call %d failed, and nobody heard", (int)n);
        assert_true(status == BERTH_E_DEVICE || status == BERTH_E_MEMORY);
        if (strstr(berth_error_text(), "cuda") == NULL && strstr(berth_error_text(), "cublas") == NULL)
            fail_msg("call %d: the message names no call: %s", (int)n, berth_error_text());
        assert_null(strchr(berth_error_text(), '\n'));
    }
    print_message("%d calls failed, one after the other\n", (int)n - 1);
    assert_true(n > 25);
}

/* ------------------------------------------------------------------ a kernel that fails */

static berth_status three_kernels(void) {
    berth_status status = BERTH_OK;
    struct berth_device *dev = open_cuda();
    float *p = NULL, x[8];
    BERTH_TRY_OUT(berth_device_alloc(dev, &p, sizeof x));
    BERTH_TRY_OUT(BERTH_OP(dev, fill(p, 1.0f, 8, dev->stream)));
    BERTH_TRY_OUT(BERTH_OP(dev, scale(p, 2.0f, 8, dev->stream)));
    BERTH_TRY_OUT(BERTH_OP(dev, add(p, p, 4, BERTH_F32, dev->stream)));
    BERTH_TRY_OUT(berth_device_download(dev, x, p, sizeof x));
out:
    berth_device_free(dev, p, sizeof x);
    berth_device_close(dev);
    return status;
}

/* It is seen where the host waits next, which says how to find it; and then it is named. */
static void test_a_failing_kernel_is_named(void **state) {
    (void)state;
    stub_reset();
    stub.fault_at = 2;
    assert_int_equal(three_kernels(), BERTH_E_DEVICE);
    assert_string_equal(
        berth_error_text(),
        "cudaMemcpyAsync: an illegal memory access was encountered (cudaErrorIllegalAddress); an operation "
        "before it failed (the last kernel: stub_kernel): BERTH_SYNC=1 in the environment names it");
    stub_reset();
    stub.fault_at = 2;
    setenv("BERTH_SYNC", "1", 1);
    assert_int_equal(three_kernels(), BERTH_E_DEVICE);
    unsetenv("BERTH_SYNC");
    assert_text_has(berth_error_text(), "scale on cuda: cudaStreamSynchronize: an illegal memory access");
    assert_nothing_left();
}

/* ------------------------------------------------------------------ runs */

struct seen {
    double losses[32];
    int count;
    char notes[4096];
};

static void keep_loss(void *user, const struct berth_progress *p) {
    struct seen *s = user;
    if (s->count < 32) s->losses[s->count++] = p->loss;
}

static void keep_note(void *user, const char *line) {
    struct seen *s = user;
    strncat(s->notes, line, sizeof s->notes - strlen(s->notes) - 2);
    strcat(s->notes, "\n");
}

static bool stop_at_four(void *user) {
    struct seen *s = user;
    return s->count == 4;
}

static berth_status train(struct seen *seen, void **state, const char *run, bool resume, bool stop,
                          const char *a, const char *b) {
    struct world_run r;
    memset(seen, 0, sizeof *seen);
    run_make(&r, *state, run, "log.every=1 steps", "train.steps=12", a, b, NULL);
    r.trainer->observer = (struct berth_observer){
        .user = seen, .progress = keep_loss, .note = keep_note, .stop_requested = stop ? stop_at_four : NULL};
    berth_status status = berth_trainer_start(r.trainer, resume);
    if (status == BERTH_OK) status = berth_trainer_run(r.trainer);
    run_free(&r);
    return status;
}

static char *choices_of(void **state, const char *run) {
    char path[128], *text = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "%s/choices.txt", run);
    assert_done(berth_file_read(&text, &size, world_path(*state, path)));
    return text;
}

/* 12 steps with dropout beside the device cuda-host: the same kernels, other products. */
static void test_a_run_beside_cuda_host(void **state) {
    static const char *const precisions[] = {"precision=fp32", "precision=bf16"};
    for (int i = 0; i < 2; i++) {
        struct seen cuda, host;
        char run[32];
        snprintf(run, sizeof run, "cuda%d", i);
        stub_reset();
        assert_done(train(&cuda, state, run, false, false, "device=cuda", precisions[i]));
        assert_nothing_left();
        snprintf(run, sizeof run, "host%d", i);
        assert_done(train(&host, state, run, false, false, "device=cuda-host", precisions[i]));
        assert_int_equal(cuda.count, 12);
        for (int k = 0; k < 12; k++)
            if (!(fabs(cuda.losses[k] - host.losses[k]) < (i == 0 ? 1e-5 : 1e-3) * host.losses[k]))
                fail_msg("%s, step %d: %.9g, on cuda-host %.9g", precisions[i], k + 1, cuda.losses[k],
                         host.losses[k]);
    }
}

/* What was chosen before a stop is not chosen again after it; the folder and the checkpoint hold it, with its
 * makers. */
static void test_choices_are_made_once(void **state) {
    struct seen seen;
    stub_reset();
    assert_done(train(&seen, state, "whole", false, false, "device=cuda", "precision=fp32"));
    const int64_t all = stub.heuristics;
    char *whole = choices_of(state, "whole");
    assert_text_has(
        whole,
        "gpu Stub H200, compute capability 9.0, 132 multiprocessors\nlibraries cublasLt 130100, cudnn 0\n"
        "cublasLt 130100 tf32 0\n");
    stub_reset();
    assert_int_equal(train(&seen, state, "parts", false, true, "device=cuda", "precision=fp32"),
                     BERTH_E_STOPPED);
    const int64_t before = stub.heuristics;
    stub_reset();
    assert_done(train(&seen, state, "parts", true, false, "device=cuda", "precision=fp32"));
    print_message("choices: %d in one run; %d before a stop, %d after it\n", (int)all, (int)before,
                  (int)stub.heuristics);
    assert_true(before > 20 &&
                stub.heuristics < before / 2); /* evaluations come after the stop, with other shapes */
    char *parts = choices_of(state, "parts");
    assert_int_equal(strlen(whole), strlen(parts)); /* the same choices, perhaps in another order */
    assert_null(strstr(seen.notes, "chooses anew"));
    assert_same_file(world_path(*state, "whole/best/model.safetensors"),
                     world_path(*state, "parts/best/model.safetensors"));
    free(whole);
    free(parts);
}

static void test_another_machine(void **state) {
    struct seen seen;
    static const char *const text = "these are no choices";
    bool used = true;
    stub_reset();
    assert_int_equal(train(&seen, state, "moved", false, true, "device=cuda", "precision=fp32"),
                     BERTH_E_STOPPED);
    stub.multiprocessors = 78;
    assert_int_equal(train(&seen, state, "moved", true, true, "device=cuda", "deterministic=strict"),
                     BERTH_E_USAGE);
    assert_text_has(berth_error_text(), "strict refuses");
    assert_int_equal(train(&seen, state, "moved", true, true, "device=cuda", "deterministic=on"),
                     BERTH_E_STOPPED);
    assert_text_has(
        seen.notes,
        "choices of algorithms (gpu Stub H200, compute capability 9.0, 132 multiprocessors) are not "
        "this device's: it chooses anew, bits may differ");
    assert_done(train(&seen, state, "moved", true, false, "device=cpu", "deterministic=on"));
    assert_text_has(seen.notes, "are not this device's");
    struct berth_device *dev = open_cuda();
    struct berth_str own;
    berth_str_init(&own);
    assert_int_equal(berth_device_restore_choices(dev, text, &used), BERTH_E_FORMAT);
    assert_true(!used && strstr(berth_error_text(), text) != NULL);
    assert_done(berth_device_choices(dev, &own));
    assert_done(berth_device_restore_choices(dev, own.data, &used));
    assert_true(used);
    berth_str_add(&own, "1 2 3 no choice\n");
    assert_int_equal(berth_device_restore_choices(dev, own.data, &used), BERTH_E_FORMAT);
    berth_str_deinit(&own);
    stub.cublaslt_version++;
    berth_device_close(dev);
    assert_nothing_left();
}

/* The stream's capture: the same numbers launched as run, products included. */
static void test_graphs(void **state) {
    struct seen with, without;
    stub_reset();
    assert_done(train(&with, state, "graphs", false, false, "device=cuda", "graphs=on"));
    assert_nothing_left();
    print_message("%d launches of graphs in 12 steps\n", (int)stub.graph_launches);
    assert_true(stub.graph_launches > 12);
    stub_reset();
    assert_done(train(&without, state, "no_graphs", false, false, "device=cuda", "graphs=off"));
    for (int i = 0; i < 12; i++)
        if (!(fabs(with.losses[i] - without.losses[i]) < 1e-4 * without.losses[i]))
            fail_msg("step %d: %.9g with graphs, %.9g without", i + 1, with.losses[i], without.losses[i]);
}

static void test_attention_without_cudnn(void **state) {
    struct berth_trainer *t = NULL;
    struct berth_str about;
    stub_reset();
    struct berth_config *asked = world_config(*state, "device=cuda", "precision=bf16", "attention=cudnn", NULL);
    assert_int_equal(berth_trainer_create(&t, asked, NULL), BERTH_E_USAGE);
    assert_text_has(berth_error_text(), "attention: cudnn: cuDNN: cannot load libcudnn.so.9");
    struct berth_config *any = world_config(*state, "device=cuda", "precision=bf16", "attention=auto", NULL);
    assert_done(berth_trainer_create(&t, any, NULL));
    berth_str_init(&about);
    berth_device_describe(t->device, &about);
    assert_text_has(about.data, "attention: own kernels (cuDNN: cannot load");
    berth_str_deinit(&about);
    berth_trainer_free(t);
    berth_config_free(any);
    berth_config_free(asked);
    assert_nothing_left();
}

static void test_no_memory_is_asked_for_while_training(void **state) {
    struct world_run r;
    stub_reset();
    run_make(&r, *state, "counted", "device=cuda", NULL);
    assert_done(berth_trainer_start(r.trainer, false));
    assert_done(berth_trainer_run(r.trainer));
    assert_int_equal(berth_tape_allocations(r.trainer->tape), 1);
    run_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_missing),
        cmocka_unit_test(test_memory_that_ends),
        cmocka_unit_test(test_uploads_may_be_overwritten),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_choices_are_few),
        cmocka_unit_test(test_tf32),
        cmocka_unit_test(test_each_call_may_fail),
        cmocka_unit_test(test_a_failing_kernel_is_named),
        cmocka_unit_test(test_a_run_beside_cuda_host),
        cmocka_unit_test(test_choices_are_made_once),
        cmocka_unit_test(test_another_machine),
        cmocka_unit_test(test_graphs),
        cmocka_unit_test(test_attention_without_cudnn),
        cmocka_unit_test(test_no_memory_is_asked_for_while_training),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
