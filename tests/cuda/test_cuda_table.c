/* test_cuda_table.c: the device cuda-host as a backend: no operation is missing, errors are told in words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "berth/device.h"
#include "berth/kernels_cuda.h"

static struct berth_device *open_host(void) {
    struct berth_device *dev = NULL;
    if (berth_device_open(&dev, "cuda-host") != BERTH_OK) fail_msg("%s", berth_error_text());
    return dev;
}

/* struct berth_ops is pointers to functions alone: a slot that no family fills would be a call of NULL. */
static void test_no_slot_is_empty(void **state) {
    (void)state;
    struct berth_device *dev = open_host();
    const size_t slots = sizeof dev->ops / sizeof(void (*)(void));
    assert_int_equal(sizeof dev->ops % sizeof(void (*)(void)), 0);
    for (size_t i = 0; i < slots; i++) {
        void *slot;
        memcpy(&slot, (const char *)&dev->ops + i * sizeof slot, sizeof slot);
        if (slot == NULL) fail_msg("slot %zu of %zu of the table has no CUDA kernel", i, slots);
    }
    berth_device_close(dev);
}

static void test_errors_in_words(void **state) {
    (void)state;
    struct berth_device *dev = open_host();
    float x[8] = {0};
    assert_int_equal(BERTH_OP(dev, add(x, x, 8, (enum berth_dtype)7, dev->stream)), BERTH_E_DEVICE);
    assert_non_null(strstr(berth_error_text(), "add on cuda-host: element type not supported"));
    assert_int_equal(BERTH_OP(dev, layernorm_forward(x, NULL, x, x, x, NULL, x, x, 1, 1 << 20, 1e-5f, NULL,
                                                     BERTH_F32, dev->stream)),
                     BERTH_E_DEVICE);
    assert_non_null(strstr(berth_error_text(), "layernorm_forward on cuda-host: a size beyond"));
    berth_device_close(dev);
}

static void test_it_says_what_it_is(void **state) {
    (void)state;
    struct berth_device *dev = open_host();
    struct berth_str about;
    berth_str_init(&about);
    berth_device_describe(dev, &about);
    assert_non_null(strstr(about.data, "device: cuda-host"));
    assert_non_null(strstr(about.data, "kernels: CUDA, executed on the CPU"));
    assert_non_null(strstr(about.data, "matrix products: oneDNN"));
    berth_str_deinit(&about);
    berth_device_close(dev);
}

/* Numbers that bf16 holds come back as they were; halfway between two goes to the even one. */
static void casts_round_to_nearest(void **state) {
    (void)state;
    enum { COUNT = 37 };
    struct berth_device *dev = NULL;
    float x[COUNT], back[COUNT];
    uint16_t half[COUNT];
    assert_int_equal(berth_device_open(&dev, "cuda-host"), BERTH_OK);
    for (int i = 0; i < COUNT; i++)
        x[i] = (float)(i - 18) * 0.25f;
    x[1] = 1.0f + 0x1p-8f;     /* between 1 and 1 + 2^-7: to 1 */
    x[2] = 1.0f + 3 * 0x1p-8f; /* between 1 + 2^-7 and 1 + 2^-6: to 1 + 2^-6 */
    assert_int_equal(BERTH_OP(dev, cast(half, x, COUNT, BERTH_BF16, BERTH_F32, dev->stream)), BERTH_OK);
    assert_int_equal(BERTH_OP(dev, cast(back, half, COUNT, BERTH_F32, BERTH_BF16, dev->stream)), BERTH_OK);
    x[1] = 1.0f;
    x[2] = 1.0f + 0x1p-6f;
    assert_memory_equal(back, x, sizeof x);
    berth_device_close(dev);
}

/* Kernel, launcher, grid, block and numbers; the second launch of two. */
static void a_failing_kernel_is_named(void **state) {
    (void)state;
    struct berth_device *dev = open_host();
    float x[40] = {0};
    berth_cuda_host_fail_launch("scale_kernel:2");
    assert_int_equal(BERTH_OP(dev, scale(x, 2.0f, 40, dev->stream)), BERTH_OK);
    assert_int_equal(BERTH_OP(dev, fill(x, 2.0f, 40, dev->stream)), BERTH_OK);
    assert_int_equal(BERTH_OP(dev, scale(x, 2.0f, 40, dev->stream)), BERTH_E_DEVICE);
    static const char *const parts[] = {
        "scale on cuda-host: scale_kernel in scale: grid (1,1,1), block (256,1,1)", "numbers 1 40",
        "emulated failure"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strstr(berth_error_text(), parts[i]) == NULL)
            fail_msg("expected '%s' in '%s'", parts[i], berth_error_text());
    assert_null(strchr(berth_error_text(), '\n'));
    assert_int_equal(BERTH_OP(dev, scale(x, 2.0f, 40, dev->stream)), BERTH_OK);
    berth_cuda_host_fail_launch(NULL);
    berth_device_close(dev);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_slot_is_empty), cmocka_unit_test(casts_round_to_nearest),
        cmocka_unit_test(test_errors_in_words), cmocka_unit_test(a_failing_kernel_is_named),
        cmocka_unit_test(test_it_says_what_it_is)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
