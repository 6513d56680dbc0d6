/* test_cuda_host.c: the execution layer of the CUDA kernels: what it computes, and each mistake that it must
 * find.
 *
 * Built three times: plain, under the sanitizers, with the race detector. What only one of them finds is
 * expected of that one alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>

#include "berth/kernels_cuda.h"
#include "cuda/probe_kernels.h"

#if defined(__SANITIZE_ADDRESS__)
enum { ASAN = 1 };
#else
enum { ASAN = 0 };
#endif

static const enum berth_cuda_host_order orders[] = {BERTH_CUDA_HOST_FORWARD, BERTH_CUDA_HOST_REVERSE,
                                                    BERTH_CUDA_HOST_RANDOM};
enum { ORDERS = 3, X = 256 };

static float *new_x(void) {
    float *x = malloc(X * sizeof *x);
    assert_non_null(x);
    for (int i = 0; i < X; i++)
        x[i] = (float)i;
    return x;
}

/* The kernel fails in every order, and the text holds `text`. */
static void expect_found(enum bad_kernel which, const char *text) {
    for (int i = 0; i < ORDERS; i++) {
        float *x = new_x();
        berth_cuda_host_set_order(orders[i], 3);
        assert_int_equal(bad_launch(which, x), BERTH_CUDA_E_HOST);
        if (strstr(berth_cuda_host_error(), text) == NULL)
            fail_msg("order %d: expected '%s' in '%s'", i, text, berth_cuda_host_error());
        free(x);
    }
}

/* The result differs between orders, or holds a NaN: what a comparison with the reference finds. */
static void expect_wrong(enum bad_kernel which, int from, int count) {
    float *first = NULL;
    int wrong = 0;
    for (int i = 0; i < ORDERS; i++) {
        float *x = new_x();
        berth_cuda_host_set_order(orders[i], 3);
        assert_int_equal(bad_launch(which, x), BERTH_CUDA_OK);
        for (int k = from; k < from + count; k++)
            wrong += isnan(x[k]) || (first != NULL && first[k] != x[k]);
        if (first == NULL)
            first = x;
        else
            free(x);
    }
    free(first);
    assert_true(wrong > 0);
}

static void test_barriers(void **state) {
    (void)state;
    expect_found(BAD_DIVERGENT_BARRIER, "divergent barrier: __syncthreads at");
    expect_found(BAD_DIVERGENT_BARRIER, "probe_kernels.cu:");
    expect_found(BAD_EARLY_RETURN, "returned");
    expect_found(BAD_LATE_RETURN, "returned");
    expect_found(BAD_DEADLOCK, "deadlock: 64 of 64 threads live");
    berth_cuda_host_set_order(BERTH_CUDA_HOST_FORWARD, 0);
    float *x = new_x();
    assert_int_equal(bad_launch(BAD_EARLY_RETURN, x), BERTH_CUDA_E_HOST);
    assert_non_null(strstr(berth_cuda_host_error(), "after 1 of 64 threads returned"));
    assert_int_equal(bad_launch(BAD_LATE_RETURN, x), BERTH_CUDA_E_HOST);
    assert_non_null(strstr(berth_cuda_host_error(), "returned while 63 threads wait in __syncthreads"));
    free(x);
}

static void test_warp_operations(void **state) {
    (void)state;
    expect_found(BAD_DIVERGENT_WARP, "divergent warp operation");
    expect_found(BAD_MASK, "is not in the mask 55555555");
    expect_found(BAD_SOURCE_LANE, "reads lane 20, which is not in the mask 0000ffff");
}

/* A random order's report names the seed, and the seed gives the order again. */
static void test_seed_is_printed(void **state) {
    (void)state;
    char first[256];
    float *x = new_x();
    berth_cuda_host_set_order(BERTH_CUDA_HOST_RANDOM, 77);
    assert_int_equal(bad_launch(BAD_EARLY_RETURN, x), BERTH_CUDA_E_HOST);
    snprintf(first, sizeof first, "%s", berth_cuda_host_error());
    assert_non_null(strstr(first, "(order random:77)"));
    berth_cuda_host_set_order(BERTH_CUDA_HOST_RANDOM, 77);
    assert_int_equal(bad_launch(BAD_EARLY_RETURN, x), BERTH_CUDA_E_HOST);
    assert_string_equal(first, berth_cuda_host_error());
    free(x);
}

static void test_missing_barriers(void **state) {
    (void)state;
    if (berth_cuda_host_detects_races()) {
        expect_found(BAD_MISSING_LAST, "race in shared memory");
        /* the text says race, or that nobody wrote what is read: whichever the order shows first */
        expect_found(BAD_MISSING_SYNCWARP, "shared memory");
        expect_found(BAD_MISSING_BARRIER, "shared memory");
        return;
    }
    expect_wrong(BAD_MISSING_BARRIER, 0, 64);
    expect_wrong(BAD_MISSING_SYNCWARP, 0, 32);
    expect_wrong(BAD_MISSING_LAST, 0, 64);
}

static void test_unwritten_and_weak_waits(void **state) {
    (void)state;
    if (berth_cuda_host_detects_races()) {
        expect_found(BAD_UNWRITTEN, "that nobody wrote");
        expect_found(BAD_WEAK_WAIT, "whose asynchronous copy was not waited for");
    } else {
        expect_wrong(BAD_UNWRITTEN, 0, 1);
        expect_wrong(BAD_WEAK_WAIT, 128, 32);
    }
    expect_found(BAD_NO_WAIT, "asynchronous copies not waited for");
}

static void test_alignment(void **state) {
    (void)state;
    expect_found(BAD_MISALIGNED, "misaligned vector load of 16 bytes");
    expect_found(BAD_MISALIGNED_COPY, "misaligned asynchronous copy");
    expect_found(BAD_MISALIGNED_ROW, "misaligned row of ldmatrix");
}

/* Runs in a child; returns whether a sanitizer stopped it at the access. */
static int dies_of_sanitizer(enum bad_kernel which) {
    int ends[2], code = 0;
    char text[4096];
    size_t used = 0;
    fflush(stdout);
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 2);
        float *x = malloc(X * sizeof *x);
        _exit(x == NULL ? 3 : bad_launch(which, x));
    }
    close(ends[1]);
    for (ssize_t n = 1; n > 0 && used + 1 < sizeof text; used += n > 0 ? (size_t)n : 0)
        n = read(ends[0], text + used, sizeof text - 1 - used);
    text[used] = '\0';
    close(ends[0]);
    waitpid(child, &code, 0);
    return WIFEXITED(code) && WEXITSTATUS(code) != 0 &&
           (strstr(text, "AddressSanitizer") != NULL || strstr(text, "out of bounds for type") != NULL);
}

static void test_bounds(void **state) {
    (void)state;
    berth_cuda_host_set_order(BERTH_CUDA_HOST_FORWARD, 0);
    if (ASAN) {
        assert_true(dies_of_sanitizer(BAD_STATIC_BOUNDS));
        assert_true(dies_of_sanitizer(BAD_DYNAMIC_BOUNDS));
        assert_true(dies_of_sanitizer(BAD_GLOBAL_BOUNDS));
    } else {
        expect_found(BAD_STATIC_BOUNDS, "written out of bounds, 0 bytes behind a static array");
        expect_found(BAD_DYNAMIC_BOUNDS, "written out of bounds, 0 bytes behind the dynamic array");
    }
}

static void test_launches(void **state) {
    (void)state;
    expect_found(BAD_GRID, "invalid launch: grid (1,1,1), block (2048,1,1)");
    expect_found(BAD_SHARED_SIZE, "1048576 bytes of shared memory");
    /* a failed launch leaves nothing behind */
    float out[12] = {0};
    assert_int_equal(probe_indices(out), BERTH_CUDA_OK);
    assert_string_equal(berth_cuda_host_error(), "");
}

/* ------------------------------------------------------------------ what it computes */

static void test_shuffles(void **state) {
    (void)state;
    for (int order = 0; order < ORDERS; order++) {
        float out[196];
        berth_cuda_host_set_order(orders[order], 9);
        assert_int_equal(probe_shuffles(out), BERTH_CUDA_OK);
        for (int lane = 0; lane < 32; lane++) {
            const int expected[6] = {3,
                                     (lane & ~7) + 3,
                                     lane ^ 5,
                                     lane + 4 < 32 ? lane + 4 : lane,
                                     lane < 4 ? lane : lane - 4,
                                     lane % 16 + 3 < 16 ? lane + 3 : lane};
            for (int i = 0; i < 6; i++)
                assert_int_equal((int)out[lane * 6 + i], 10 * expected[i]);
        }
        assert_true(out[192] == 1 && out[193] == 1 && out[194] == 1);
        assert_true(out[195] == 32);
    }
}

static void test_mma(void **state) {
    (void)state;
    float a[16 * 16], b[8 * 16], d[16 * 8];
    for (int i = 0; i < 16 * 16; i++)
        a[i] = (float)((i * 7 + 3) % 31 - 15) / 8;
    for (int i = 0; i < 8 * 16; i++)
        b[i] = (float)((i * 11 + 5) % 29 - 14) / 4;
    for (int trans = 0; trans < 2; trans++) {
        berth_cuda_host_set_order(orders[1 + trans], 5);
        assert_int_equal(probe_mma(d, a, b, trans), BERTH_CUDA_OK);
        for (int i = 0; i < 16 * 8; i++) {
            float sum = 0; /* exact: small multiples of 1/32 */
            for (int k = 0; k < 16; k++)
                sum += a[i / 8 * 16 + k] * (trans ? b[k * 8 + i % 8] : b[i % 8 * 16 + k]);
            assert_true(d[i] == sum);
        }
    }
}

static void test_bf16(void **state) {
    (void)state;
    const float in[] = {0.0f,    -0.0f,    1.0f,      1.00390625f, 1.01171875f, 1.004f,   -1.00390625f,
                        3.4e38f, INFINITY, -INFINITY, NAN,         1e-40f,      65504.0f, 0.1f};
    const float expected[] = {0.0f,     -0.0f,    1.0f,      1.0f, 1.015625f, 1.0078125f, -1.0f,
                              INFINITY, INFINITY, -INFINITY, NAN,  0x1p-133f, 65536.0f,   0.10009765625f};
    enum { COUNT = sizeof in / sizeof in[0] };
    float out[COUNT];
    assert_int_equal(probe_bf16(out, in, COUNT), BERTH_CUDA_OK);
    for (int i = 0; i < COUNT; i++) {
        if (isnan(expected[i]))
            assert_true(isnan(out[i]));
        else
            assert_true(out[i] == expected[i] || fabsf(out[i] - expected[i]) <= 1e-44f);
    }
}

static void test_indices_and_order(void **state) {
    (void)state;
    float out[12] = {0}, ran[1 + 4 * 64];
    assert_int_equal(probe_indices(out), BERTH_CUDA_OK);
    for (int i = 0; i < 12; i++)
        assert_true(out[i] == 1);
    for (int order = 0; order < ORDERS; order++) {
        int seen[4 * 64] = {0}, sorted = 0;
        berth_cuda_host_set_order(orders[order], 4);
        assert_int_equal(probe_order(ran), BERTH_CUDA_OK);
        for (int i = 1; i <= 4 * 64; i++) {
            seen[(int)ran[i] / 1000 * 64 + (int)ran[i] % 1000]++;
            sorted += i > 1 && ran[i] > ran[i - 1];
        }
        for (int i = 0; i < 4 * 64; i++)
            assert_int_equal(seen[i], 1);
        if (orders[order] == BERTH_CUDA_HOST_FORWARD) assert_int_equal(sorted, 255);
        if (orders[order] == BERTH_CUDA_HOST_REVERSE) assert_true(ran[1] == 3063);
        if (orders[order] == BERTH_CUDA_HOST_RANDOM) assert_true(sorted > 60 && sorted < 200);
    }
}

static void test_copies(void **state) {
    (void)state;
    for (int order = 0; order < ORDERS; order++) {
        float *x = new_x(), y[X];
        float *aligned = aligned_alloc(64, X * sizeof *x);
        assert_non_null(aligned);
        memcpy(aligned, x, X * sizeof *x);
        berth_cuda_host_set_order(orders[order], 4);
        assert_int_equal(probe_copies(y, aligned), BERTH_CUDA_OK);
        for (int i = 0; i < X; i++)
            assert_true(y[i] == (i / 4 % 2 == 0 ? x[i] : 0.0f));
        free(x);
        free(aligned);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_barriers),
        cmocka_unit_test(test_warp_operations),
        cmocka_unit_test(test_seed_is_printed),
        cmocka_unit_test(test_missing_barriers),
        cmocka_unit_test(test_unwritten_and_weak_waits),
        cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_launches),
        cmocka_unit_test(test_shuffles),
        cmocka_unit_test(test_mma),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_indices_and_order),
        cmocka_unit_test(test_copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
