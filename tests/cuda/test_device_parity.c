/* test_device_parity.c: a device against the reference library's numbers, forward and backward.
 *
 *     test_device_parity cuda-host | cuda      77 where the device is not there
 *
 * The golden cases of tests/model/test_parity.c, every tensor downloaded, so a device may have memory of its
 * own. Bounds in fp32: 1e-5 of a tensor, for a gradient at most 1e-6 of the norm of all; in bf16 those of the
 * CPU. */
#include <math.h>
#include <stdio.h>

#include "model/support_golden.h"

static const char *device_name = "cuda-host";

struct verdict {
    const struct golden *g;
    int tensors;
    double worst;
};

static void compare(void *user, const char *name, const float *x, int64_t count) {
    struct verdict *v = user;
    const struct golden_distance d = golden_compare(v->g, name, x, count);
    const double all = strncmp(name, "grad.", 5) == 0 ? v->g->all_gradients : 0.0;
    if (!(d.distance <= 1e-5 * d.norm || (all > 0.0 && d.distance <= 1e-6 * all)))
        fail_msg("%s on %s: distance %.3g, norm %.3g, relative %.3g", name, device_name, d.distance, d.norm,
                 d.distance / d.norm);
    if (strstr(name, ".key.bias") == NULL && d.distance / d.norm > v->worst) v->worst = d.distance / d.norm;
    v->tensors++;
}

static const char *const NAMES[] = {"bert32", "bert40", "distil24", "relu24", "silu24"};
enum { CASES = sizeof NAMES / sizeof NAMES[0] };

static void fp32_is_the_reference(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++) {
        struct golden g;
        struct verdict v = {.g = &g};
        golden_open_on(&g, device_name, NAMES[i], NULL);
        golden_run(&g, compare, &v);
        print_message("%s on %s: %d tensors, the worst %.2g off\n", NAMES[i], device_name, v.tensors, v.worst);
        assert_true(v.tensors > 30);
        golden_close(&g);
    }
}

static void bf16_is_near_the_reference(void **state) {
    (void)state;
    static const struct half_bounds most = {1e-2, 1e-2, 3e-3, 1.5e-2, 4e-2};
    for (int i = 0; i < 3; i++) {
        struct golden g;
        golden_open_on(&g, device_name, NAMES[i], NULL);
        parity_check_half(&g, NAMES[i], &most);
        golden_close(&g);
    }
}

/* The gradients of a training step with dropout; freed by the caller. */
static float *step_of(enum berth_dtype precision, uint64_t seed, size_t *bytes) {
    struct golden g;
    struct gradients grads;
    struct berth_tensor *logits[8], *losses[8], *loss = NULL;
    float *values = NULL;
    golden_open_on(&g, device_name, "bert32", NULL);
    check_ok(berth_model_set_precision(g.model, precision));
    gradients_init(&grads, g.model);
    const struct berth_forward_options options = {
        .training = true, .seed = seed, .step = 1, .gradients = grads.pointers};
    berth_tape_reset(g.tape, true);
    check_ok(total_loss(g.model, g.tape, &g.batch, &options, losses, logits, &loss));
    check_ok(berth_tape_backward(g.tape, loss));
    *bytes = (size_t)g.model->total * sizeof *values;
    check_ok(berth_calloc(&values, (size_t)g.model->total, sizeof *values));
    check_ok(berth_device_download(g.device, values, grads.buffer, *bytes));
    gradients_deinit(&grads, g.model);
    golden_close(&g);
    return values;
}

static void a_step_repeats_bit_for_bit(void **state) {
    (void)state;
    for (int half = 0; half < 2; half++) {
        const enum berth_dtype precision = half ? BERTH_BF16 : BERTH_F32;
        size_t bytes = 0;
        float *first = step_of(precision, 3, &bytes), *again = step_of(precision, 3, &bytes),
              *other = step_of(precision, 4, &bytes);
        assert_memory_equal(first, again, bytes);
        assert_true(memcmp(first, other, bytes) != 0); /* dropout was there */
        free(first);
        free(again);
        free(other);
    }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(fp32_is_the_reference),
                                       cmocka_unit_test(bf16_is_near_the_reference),
                                       cmocka_unit_test(a_step_repeats_bit_for_bit)};
    struct berth_device *dev = NULL;
    if (argc > 1) device_name = argv[1];
    const berth_status opened = berth_device_open(&dev, device_name);
    if (opened != BERTH_OK) {
        fprintf(stderr, "test_device_parity: %s%s\n", opened == BERTH_E_UNSUPPORTED ? "skipped: " : "",
                berth_error_text());
        return opened == BERTH_E_UNSUPPORTED ? 77 : 1;
    }
    berth_device_close(dev);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
