/* test_device.c: opening by name, memory and its count, errors of operations, prepared products. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "device/device_priv.h"
#include "device/onednn_shim.h"

static struct berth_device *open_device(const char *name) {
    struct berth_device *dev = NULL;
    if (berth_device_open(&dev, name) != BERTH_OK) fail_msg("%s: %s", name, berth_error_text());
    return dev;
}

static void test_open_by_name(void **state) {
    (void)state;
    struct berth_device *dev = open_device("cpu"), *any = open_device("auto"), *cuda = NULL;
    const bool gpu = berth_device_open(&cuda, "cuda") == BERTH_OK;
    assert_string_equal(dev->backend->name, "cpu");
    assert_true(dev->backend->host_memory);
    assert_string_equal(any->backend->name, gpu ? "cuda" : "cpu");
    berth_device_close(cuda);
    berth_device_close(any);
    berth_device_close(dev);
    berth_device_close(NULL);
}

static void test_missing_devices(void **state) {
    (void)state;
    struct berth_device *dev = NULL;
    /* One line says what is missing: the build's CUDA, the driver, a GPU, or one of that number. */
    berth_status status = berth_device_open(&dev, "cuda:4096");
    assert_true(status == BERTH_E_UNSUPPORTED || status == BERTH_E_USAGE);
    assert_null(dev);
    assert_true(strstr(berth_error_text(), "this build has no CUDA") || strstr(berth_error_text(), "NVIDIA driver") ||
                strstr(berth_error_text(), "no NVIDIA GPU") || strstr(berth_error_text(), "there are"));
    assert_null(strchr(berth_error_text(), '\n'));
    assert_int_equal(berth_device_open(&dev, "cuda:x"), BERTH_E_USAGE);
    assert_int_equal(berth_device_open(&dev, "tpu"), BERTH_E_USAGE);
    assert_non_null(strstr(berth_error_text(), "tpu"));
}

static void test_instruction_set_override(void **state) {
    (void)state;
    struct berth_device *dev = NULL;
    struct berth_str about;
    setenv("BERTH_CPU_ISA", "base", 1);
    dev = open_device("cpu");
    berth_str_init(&about);
    berth_device_describe(dev, &about);
    assert_non_null(strstr(about.data, "kernels: base"));
    assert_non_null(strstr(about.data, "oneDNN"));
    berth_str_deinit(&about);
    berth_device_close(dev);
    setenv("BERTH_CPU_ISA", "sse9", 1);
    assert_int_equal(berth_device_open(&dev, "cpu"), BERTH_E_USAGE);
    assert_non_null(strstr(berth_error_text(), "sse9"));
    unsetenv("BERTH_CPU_ISA");
}

static void test_memory_is_counted(void **state) {
    (void)state;
    struct berth_device *dev = open_device("cpu");
    const size_t sizes[] = {0, 1, 100, (size_t)5 << 20};
    char *block[4] = {NULL};
    size_t total = 0;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(berth_device_alloc(dev, &block[i], sizes[i]), BERTH_OK);
        assert_int_equal((uintptr_t)block[i] % 64, 0);
        assert_int_equal(berth_device_zero(dev, block[i], sizes[i]), BERTH_OK);
        total += sizes[i];
        assert_int_equal(dev->bytes_now, total);
    }
    const char text[8] = "packed";
    char back[8] = "";
    assert_int_equal(berth_device_upload(dev, block[3], text, sizeof text), BERTH_OK);
    assert_int_equal(berth_device_copy(dev, block[2], block[3], sizeof text), BERTH_OK);
    assert_int_equal(berth_device_download(dev, back, block[2], sizeof text), BERTH_OK);
    assert_string_equal(back, "packed");
    assert_int_equal(berth_device_synchronize(dev), BERTH_OK);
    for (int i = 0; i < 4; i++)
        berth_device_free(dev, block[i], sizes[i]);
    berth_device_free(dev, NULL, 10);
    assert_int_equal(dev->bytes_now, 0);
    assert_int_equal(dev->bytes_peak, total);
    assert_int_equal(berth_device_alloc(dev, &block[0], SIZE_MAX - 100), BERTH_E_MEMORY);
    assert_int_equal(berth_device_alloc(dev, &block[0], SIZE_MAX / 4), BERTH_E_MEMORY);
    assert_int_equal(dev->bytes_now, 0);
    berth_device_close(dev);
}

static void test_refused_operation_is_named(void **state) {
    (void)state;
    struct berth_device *dev = open_device("cpu");
    float x[4] = {0};
    assert_int_equal(BERTH_OP(dev, fill(x, 2.0f, 4, dev->stream)), BERTH_OK);
    assert_true(x[3] == 2.0f);
    assert_int_equal(BERTH_OP(dev, cast(x, x, 4, BERTH_F32, BERTH_F32, dev->stream)), BERTH_E_DEVICE);
    assert_non_null(strstr(berth_error_text(), "cast on cpu"));
    assert_non_null(strstr(berth_error_text(), "element type not supported"));
    assert_int_equal(
        BERTH_OP(dev, gemm(x, x, x, NULL, 1, 1, 1, 1, 1, 1, BERTH_GEMM_NT, 0, BERTH_F32, BERTH_F32, NULL)),
        BERTH_E_DEVICE);
    assert_non_null(strstr(berth_error_text(), "stream"));
    assert_true(dev->backend->supports(dev, "gemm", BERTH_F32));
    assert_false(dev->backend->supports(dev, "embedding_forward", BERTH_BF16));
    berth_device_close(dev);
}

/* Every slot of the table is filled: a missing one would be found only when a model first used it. */
static void test_table_is_complete(void **state) {
    (void)state;
    struct berth_device *dev = open_device("cpu");
    void *slots[sizeof(struct berth_ops) / sizeof(void *)];
    memcpy(slots, &dev->ops, sizeof slots);
    for (size_t i = 0; i < sizeof slots / sizeof slots[0]; i++)
        if (slots[i] == NULL) fail_msg("slot %zu of struct berth_ops is empty", i);
    berth_device_close(dev);
}

/* Over many row counts the prepared products stay few, and repeating a call prepares nothing. */
static void test_prepared_products_stay_few(void **state) {
    (void)state;
    struct berth_device *dev = open_device("cpu");
    enum { ROWS = 700, K = 96, N = 128 };
    float *a = calloc(ROWS * K, sizeof *a), *b = calloc(N * K, sizeof *b), *c = calloc(ROWS * N, sizeof *c);
    float *db = calloc(N * K, sizeof *db);
    assert_true(a != NULL && b != NULL && c != NULL && db != NULL);
    for (int pass = 0; pass < 2; pass++) {
        const int64_t before = gemm_cpu_prepared(dev->stream);
        for (int64_t m = 1; m <= ROWS; m++) {
            assert_int_equal(BERTH_OP(dev, gemm(c, a, b, NULL, m, N, K, K, K, N, BERTH_GEMM_NT, 0, BERTH_F32,
                                                BERTH_F32, dev->stream)),
                             BERTH_OK);
            assert_int_equal(BERTH_OP(dev, gemm(db, c, a, NULL, N, K, m, N, K, K, BERTH_GEMM_TN, 1, BERTH_F32,
                                                BERTH_F32, dev->stream)),
                             BERTH_OK);
        }
        const int64_t prepared = gemm_cpu_prepared(dev->stream) - before;
        if (prepared > (pass == 0 ? 400 : 0))
            fail_msg("pass %d prepared %lld products", pass, (long long)prepared);
    }
    free(a);
    free(b);
    free(c);
    free(db);
    berth_device_close(dev);
}

static void test_element_types(void **state) {
    (void)state;
    assert_int_equal(berth_dtype_size(BERTH_F32), 4);
    assert_int_equal(berth_dtype_size(BERTH_BF16), 2);
    assert_string_equal(berth_dtype_name(BERTH_BF16), "bf16");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_by_name),
        cmocka_unit_test(test_missing_devices),
        cmocka_unit_test(test_instruction_set_override),
        cmocka_unit_test(test_memory_is_counted),
        cmocka_unit_test(test_refused_operation_is_named),
        cmocka_unit_test(test_table_is_complete),
        cmocka_unit_test(test_prepared_products_stay_few),
        cmocka_unit_test(test_element_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
