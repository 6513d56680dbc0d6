/* test_cuda_host_memory.c: the memory of the device cuda-host: the host cannot touch it, copies and kernels
 * can; it ends with one clear line; blocks do not overlap.
 *
 * Skipped (77) in a build without the device. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "berth/device.h"

static struct berth_device *dev;

static void done(berth_status status) {
    if (status != BERTH_OK) fail_msg("%s", berth_error_text());
}

/* Whether a child that runs `what` over `p` ends by itself. */
static bool survives(void (*what)(volatile float *p), float *p) {
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);                                /* not cmocka's, which goes on */
        if (freopen("/dev/null", "w", stderr) == NULL) _exit(3); /* a sanitizer's report */
        what(p);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void read_it(volatile float *p) {
    (void)*p;
}

static void write_it(volatile float *p) {
    *p = 1.0f;
}

static void test_the_host_cannot_touch_it(void **state) {
    (void)state;
    float *p = NULL, here[100], *mine = here;
    done(berth_device_alloc(dev, &p, sizeof here));
    done(BERTH_OP(dev, fill(p, 2.0f, 100, dev->stream)));
    assert_true(survives(read_it, mine) && survives(write_it, mine));
    if (survives(read_it, p)) fail_msg("the host read device memory");
    if (survives(write_it, p)) fail_msg("the host wrote device memory");
    done(berth_device_download(dev, here, p, sizeof here));
    for (int i = 0; i < 100; i++)
        assert_true(here[i] == 2.0f);
    /* products and failed operations close it again, too */
    done(BERTH_OP(
        dev, gemm(p, p, p + 16, NULL, 2, 2, 4, 4, 4, 2, BERTH_GEMM_NT, 0, BERTH_F32, BERTH_F32, dev->stream)));
    assert_int_equal(BERTH_OP(dev, add(p, p, 8, (enum berth_dtype)7, dev->stream)), BERTH_E_DEVICE);
    if (survives(read_it, p)) fail_msg("device memory stayed open");
    berth_device_free(dev, p, sizeof here);
}

static void test_fresh_memory_is_no_number(void **state) {
    (void)state;
    float *p = NULL, x = 0;
    done(berth_device_alloc(dev, &p, sizeof x));
    done(berth_device_download(dev, &x, p, sizeof x));
    assert_true(x != x);
    done(berth_device_zero(dev, p, sizeof x));
    done(berth_device_download(dev, &x, p, sizeof x));
    assert_true(x == 0.0f);
    berth_device_free(dev, p, sizeof x);
}

/* 300 steps of taking and giving back blocks of 1 byte to 3 MB: each keeps what was written into it. */
static void test_blocks_keep_apart(void **state) {
    (void)state;
    enum { SLOTS = 16 };
    static unsigned char buffer[3 << 20];
    unsigned char *p[SLOTS] = {NULL};
    size_t size[SLOTS] = {0};
    for (uint64_t i = 0; i < 300; i++) {
        const size_t slot = berth_random_below(5, BERTH_PURPOSE_TEST, 0, 2 * i, SLOTS);
        if (p[slot] != NULL) {
            done(berth_device_download(dev, buffer, p[slot], size[slot]));
            for (size_t k = 0; k < size[slot]; k++)
                if (buffer[k] != slot)
                    fail_msg("step %d: byte %zu of block %zu was overwritten", (int)i, k, slot);
            berth_device_free(dev, p[slot], size[slot]);
            p[slot] = NULL;
            continue;
        }
        const uint64_t most = i % 10 == 0 ? sizeof buffer : 5000;
        size[slot] = 1 + berth_random_below(5, BERTH_PURPOSE_TEST, 1, 2 * i + 1, most);
        done(berth_device_alloc(dev, &p[slot], size[slot]));
        assert_int_equal((uintptr_t)p[slot] % 256, 0);
        memset(buffer, (int)slot, size[slot]);
        done(berth_device_upload(dev, p[slot], buffer, size[slot]));
    }
    for (size_t slot = 0; slot < SLOTS; slot++)
        berth_device_free(dev, p[slot], size[slot]);
    assert_int_equal(dev->bytes_now, 0);
}

static void test_memory_that_ends(void **state) {
    (void)state;
    float *p = NULL, *q = NULL;
    const size_t bytes = (size_t)3 << 20;
    setenv("BERTH_CUDA_HOST_MEMORY", "4", 1);
    done(berth_device_alloc(dev, &p, bytes));
    assert_int_equal(berth_device_alloc(dev, &q, bytes), BERTH_E_MEMORY);
    const char *text = berth_error_text();
    assert_null(strchr(text, '\n'));
    static const char *const parts[] = {"device cuda-host: out of device memory: 3.0 MiB were asked for",
                                        "of 4.0 MiB are free", "3.1 MiB are held by this run",
                                        "lower train.batch_size or train.batch_tokens"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strstr(text, parts[i]) == NULL) fail_msg("'%s' is not in: %s", parts[i], text);
    unsetenv("BERTH_CUDA_HOST_MEMORY");
    berth_device_free(dev, p, bytes);
}

static void test_tf32_is_refused(void **state) {
    (void)state;
    done(berth_device_set_tf32(dev, false));
    assert_int_equal(berth_device_set_tf32(dev, true), BERTH_E_UNSUPPORTED);
    assert_non_null(strstr(berth_error_text(), "device cuda-host has no tf32"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_host_cannot_touch_it), cmocka_unit_test(test_fresh_memory_is_no_number),
        cmocka_unit_test(test_blocks_keep_apart),        cmocka_unit_test(test_memory_that_ends),
        cmocka_unit_test(test_tf32_is_refused),
    };
    if (berth_device_open(&dev, "cuda-host") != BERTH_OK) {
        print_message("skipped: %s\n", berth_error_text());
        return 77;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    berth_device_close(dev);
    return failed;
}
