/* test_gradcheck.c: the gradient of a whole encoder with two heads, dropout on, against differences of its
 * loss; its bits for any number of threads; and that the check itself can fail. */
#include "support_tape.h"

#include <math.h>
#include <omp.h>
#include <string.h>

static const struct encoder_sizes sizes = {
    .layers = 2, .hidden = 40, .heads = 5, .inner = 72, .most_tokens = 200, .rate = 0.15f};

/* Directions with a slope well above the loss's rounding; at h the best of what rounding (1/h) and curvature
 * (h²) leave. */
static void test_encoder_along_directions(void **state) {
    (void)state;
    struct tape_encoder e;
    struct berth_tape *tape = NULL;
    double worst = 0;
    int checked = 0;
    encoder_open(&e, sizes);
    encoder_batch(&e, (const int64_t[]){1, 17, 30, 4, 9}, 5);
    check_ok(berth_tape_create(&tape, dev));
    for (int i = 0; i < e.count; i++) {
        struct encoder_parameter *p = &e.parameters[i];
        float *const before = test_calloc((size_t)p->count, sizeof(float));
        memcpy(before, p->data, (size_t)p->count * sizeof(float));
        for (uint64_t seed = 0; seed < 2; seed++) {
            double error = INFINITY, analytic = 0, numeric = 0;
            for (float h = 4e-3f; h > 2e-4f; h *= 0.5f) {
                check_ok(berth_tape_check_direction(tape, encoder_build, &e, p->data, p->grad, p->count, seed,
                                                    h, &analytic, &numeric));
                /* the smallest slope that counts: a loss rounds to about 2e-7, so a difference to 2e-7 / h */
                error = fmin(error, fabs(analytic - numeric) / fmax(fabs(analytic), 1e-2));
            }
            if (!(error < 5e-3))
                fail_msg("%s, direction %d: analytic %g, numeric %g", p->name, (int)seed, analytic, numeric);
            worst = fmax(worst, error);
            checked++;
        }
        assert_memory_equal(before, p->data, (size_t)p->count * sizeof(float));
        test_free(before);
    }
    print_message("%d directions of %d parameters, largest relative error %.1e\n", checked, e.count, worst);
    berth_tape_free(tape);
    encoder_close(&e);
}

static void test_encoder_bits(void **state) {
    (void)state;
    struct tape_encoder e;
    struct berth_tape *tape = NULL;
    struct berth_hash128 first = {0, 0};
    const int threads = omp_get_max_threads();
    encoder_open(&e,
                 (struct encoder_sizes){
                     .layers = 2, .hidden = 96, .heads = 4, .inner = 192, .most_tokens = 700, .rate = 0.1f});
    check_ok(berth_tape_create(&tape, dev));
    for (int run = 0; run < 5; run++) {
        struct berth_tensor *loss = NULL;
        encoder_batch_of(&e, run == 3 ? 41 : 700, 60); /* another batch between: memory lies elsewhere */
        omp_set_num_threads(run < 3 ? run + 1 : 2);
        encoder_zero_gradients(&e);
        berth_tape_reset(tape, true);
        check_ok(encoder_build(tape, &loss, &e));
        check_ok(berth_tape_backward(tape, loss));
        const struct berth_hash128 hash = encoder_gradient_hash(&e);
        if (run == 0) first = hash;
        if ((memcmp(&hash, &first, sizeof hash) == 0) != (run != 3)) fail_msg("run %d: other bits", run);
    }
    omp_set_num_threads(threads);
    berth_tape_free(tape);
    encoder_close(&e);
}

/* loss = Σ tanh(p) + Σ tanh(p as a constant): half of its slope is missing from the gradient. */
struct wrong {
    float data[16], grad[16];
    bool hidden;
};

static berth_status build_wrong(struct berth_tape *tape, struct berth_tensor **loss, void *user) {
    struct wrong *w = user;
    struct berth_tensor *p = NULL, *constant = NULL, *a = NULL, *b = NULL, *sum = NULL;
    const int64_t shape[2] = {4, 4};
    BERTH_TRY(berth_tape_parameter(tape, &p, w->data, w->grad, 2, shape));
    BERTH_TRY(berth_tape_parameter(tape, &constant, w->data, w->hidden ? NULL : w->grad, 2, shape));
    BERTH_TRY(berth_op_bias_act(tape, &a, p, NULL, BERTH_ACT_TANH));
    BERTH_TRY(berth_op_bias_act(tape, &b, constant, NULL, BERTH_ACT_TANH));
    BERTH_TRY(berth_op_add(tape, &sum, a, b));
    return berth_op_scaled_sum(tape, loss, sum, 1.0f);
}

static void test_the_check_finds_a_wrong_gradient(void **state) {
    (void)state;
    struct wrong w = {.hidden = false};
    struct berth_tape *tape = NULL;
    double analytic = 0, numeric = 0;
    random_fill(w.data, 16, 3, 0.5);
    check_ok(berth_tape_create(&tape, dev));
    check_ok(
        berth_tape_check_direction(tape, build_wrong, &w, w.data, w.grad, 16, 1, 1e-2f, &analytic, &numeric));
    assert_true(fabs(numeric) > 0.1 && fabs(analytic - numeric) < 1e-3 * fabs(numeric));
    w.hidden = true;
    check_ok(
        berth_tape_check_direction(tape, build_wrong, &w, w.data, w.grad, 16, 1, 1e-2f, &analytic, &numeric));
    assert_true(fabs(analytic - 0.5 * numeric) < 1e-3 * fabs(numeric));
    berth_tape_free(tape);
}

static berth_status build_refused(struct berth_tape *tape, struct berth_tensor **loss, void *user) {
    (void)tape, (void)loss, (void)user;
    BERTH_FAIL(BERTH_E_NUMERIC, "no such graph");
}

static void test_an_error_of_the_graph_passes(void **state) {
    (void)state;
    struct wrong w = {.hidden = false};
    struct berth_tape *tape = NULL;
    double analytic = 0, numeric = 0;
    check_ok(berth_tape_create(&tape, dev));
    assert_int_equal(
        berth_tape_check_direction(tape, build_refused, &w, w.data, w.grad, 16, 1, 1e-2f, &analytic, &numeric),
        BERTH_E_NUMERIC);
    assert_string_equal(berth_error_text(), "no such graph");
    berth_tape_free(tape);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encoder_along_directions),
        cmocka_unit_test(test_encoder_bits),
        cmocka_unit_test(test_the_check_finds_a_wrong_gradient),
        cmocka_unit_test(test_an_error_of_the_graph_passes),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
