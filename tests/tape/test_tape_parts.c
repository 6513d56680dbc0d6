/* test_tape_parts.c: parts of a walk: gradients by groups of rows, segments computed again, taps. */
#include <string.h>

#include "support_tape.h"

enum { ROWS = 9, WIDTH = 8, COLUMNS = 5, GROUPS = 3, STRIDE = 64 };
static const int64_t STARTS[GROUPS + 1] = {0, 4, 4, ROWS}; /* one group has no rows */

static float input[ROWS * WIDTH], weight[WIDTH * WIDTH], bias[COLUMNS], gain[COLUMNS], shift[COLUMNS];
static float grads[4][GROUPS * STRIDE]; /* of weight, bias, gain, shift */

/* norm(gelu(x wT + b)) of rows first .. first+count-1; stride 0: parameters are not split. */
static struct berth_tensor *build(struct berth_tape *tape, int64_t first, int64_t count, int64_t stride) {
    struct berth_tensor *x = NULL, *p[4] = {NULL}, *product = NULL, *active = NULL, *y = NULL, *loss = NULL;
    float *const data[4] = {weight, bias, gain, shift};
    check_ok(berth_tape_tensor(tape, &x, BERTH_F32, 2, (const int64_t[]){count, WIDTH}));
    memcpy(x->data, input + first * WIDTH, (size_t)(count * WIDTH) * sizeof(float));
    for (int i = 0; i < 4; i++) {
        const int64_t shape[2] = {COLUMNS, WIDTH};
        check_ok(berth_tape_parameter(tape, &p[i], data[i], grads[i], i == 0 ? 2 : 1, shape));
        berth_tape_parameter_split(p[i], stride);
    }
    check_ok(berth_op_linear(tape, &product, x, p[0], p[1]));
    check_ok(berth_op_bias_act(tape, &active, product, NULL, BERTH_ACT_GELU));
    check_ok(berth_op_layernorm(tape, &y, active, NULL, p[2], p[3], 1e-5f, NULL));
    check_ok(berth_op_bias_act(tape, &active, y, NULL, BERTH_ACT_TANH));
    check_ok(berth_op_scaled_sum(tape, &loss, active, 0.5f));
    return loss;
}

static void test_groups_are_walks_of_their_own(void **state) {
    (void)state;
    struct berth_tape *tape = NULL;
    static float split[4][GROUPS * STRIDE];
    check_ok(berth_tape_create(&tape, dev));
    random_fill(input, ROWS * WIDTH, 1, 1);
    random_fill(weight, COLUMNS * WIDTH, 2, 0.5);
    random_fill(bias, COLUMNS, 3, 0.5);
    random_fill(gain, COLUMNS, 4, 0.5);
    memset(grads, 0, sizeof grads);
    berth_tape_reset(tape, true);
    berth_tape_split(tape, STARTS, GROUPS);
    check_ok(berth_tape_backward(tape, build(tape, 0, ROWS, STRIDE)));
    memcpy(split, grads, sizeof grads);
    for (int g = 0; g < GROUPS; g++) {
        const int64_t rows = STARTS[g + 1] - STARTS[g];
        memset(grads, 0, sizeof grads);
        berth_tape_reset(tape, true);
        if (rows > 0) check_ok(berth_tape_backward(tape, build(tape, STARTS[g], rows, 0)));
        for (int i = 0; i < 4; i++) /* the same bits; nothing behind the group's own */
            assert_memory_equal(split[i] + g * STRIDE, grads[i], STRIDE * sizeof(float));
    }
    /* operations of one group alone */
    berth_tape_reset(tape, true);
    berth_tape_split(tape, STARTS, GROUPS);
    memset(split, 0, sizeof split);
    memcpy(split[0] + STRIDE, grads[0], STRIDE * sizeof(float)); /* of the last group, walked alone just now */
    memset(grads, 0, sizeof grads);
    berth_tape_group(tape, 1);
    check_ok(berth_tape_backward(tape, build(tape, STARTS[2], ROWS - STARTS[2], STRIDE)));
    assert_memory_equal(split[0], grads[0], sizeof grads[0]);
    berth_tape_free(tape);
}

/* ---- segments */

struct part {
    struct berth_tape *tape;
    int runs, fails_at;
};

static berth_status run_part(void *user, struct berth_tensor *x, struct berth_tensor **y) {
    struct part *p = user;
    struct berth_tensor *w = NULL, *product = NULL;
    if (++p->runs == p->fails_at) BERTH_FAIL(BERTH_E_DEVICE, "a device that is gone");
    BERTH_TRY(berth_tape_parameter(p->tape, &w, weight, grads[0], 2, (const int64_t[]){WIDTH, WIDTH}));
    BERTH_TRY(berth_op_linear(p->tape, &product, x, w, NULL));
    BERTH_TRY(berth_op_bias_act(p->tape, y, product, NULL, BERTH_ACT_GELU));
    berth_tape_drop(p->tape, product);
    berth_tape_drop(p->tape, x);
    return BERTH_OK;
}

/* Two segments, one above the other; the status of the walk. */
static berth_status walk_segments(struct part *p, bool record, bool keep) {
    struct berth_tensor *x = NULL, *middle = NULL, *y = NULL, *loss = NULL;
    memset(grads, 0, sizeof grads);
    berth_tape_reset(p->tape, record);
    check_ok(berth_tape_tensor(p->tape, &x, BERTH_F32, 2, (const int64_t[]){ROWS, WIDTH}));
    memcpy(x->data, input, sizeof input);
    if (keep) check_ok(run_part(p, x, &middle));
    if (keep) check_ok(run_part(p, middle, &y));
    if (!keep) check_ok(berth_op_segment(p->tape, &middle, x, true, run_part, p));
    if (!keep) check_ok(berth_op_segment(p->tape, &y, middle, true, run_part, p));
    check_ok(berth_op_scaled_sum(p->tape, &loss, y, 1.0f));
    return berth_tape_backward(p->tape, loss);
}

static void test_segments_run_again(void **state) {
    (void)state;
    static float kept[GROUPS * STRIDE];
    struct part p = {0};
    check_ok(berth_tape_create(&p.tape, dev));
    random_fill(weight, WIDTH * WIDTH, 5, 0.5);
    check_ok(walk_segments(&p, true, true));
    memcpy(kept, grads[0], sizeof kept);
    p.runs = 0;
    check_ok(walk_segments(&p, true, false));
    assert_int_equal(p.runs, 4);
    assert_memory_equal(kept, grads[0], sizeof kept);
    p.runs = 0;
    check_ok(walk_segments(&p, false, false)); /* inference: once each */
    assert_int_equal(p.runs, 2);
    p = (struct part){.tape = p.tape, .fails_at = 4};
    assert_int_equal(walk_segments(&p, true, false), BERTH_E_DEVICE);
    assert_non_null(strstr(berth_error_text(), "backward of segment"));
    p = (struct part){.tape = p.tape};
    check_ok(walk_segments(&p, true, false)); /* the next step works */
    assert_memory_equal(kept, grads[0], sizeof kept);
    berth_tape_free(p.tape);
}

/* ---- taps */

static void test_a_tap_sees_the_gradient(void **state) {
    (void)state;
    struct berth_tape *tape = NULL;
    struct berth_tensor *x = NULL, *seen = NULL, *unused = NULL, *other = NULL, *loss = NULL;
    float found[WIDTH] = {0}, none[WIDTH] = {0};
    check_ok(berth_tape_create(&tape, dev));
    for (int record = 0; record < 2; record++) {
        berth_tape_reset(tape, record);
        check_ok(berth_tape_tensor(tape, &x, BERTH_F32, 2, (const int64_t[]){1, WIDTH}));
        memcpy(x->data, input, sizeof found);
        check_ok(berth_op_tap(tape, &seen, x, found)); /* of a tensor that needs no gradient itself */
        check_ok(berth_op_tap(tape, &unused, x, none));
        check_ok(berth_op_bias_act(tape, &other, unused, NULL, BERTH_ACT_GELU));
        assert_ptr_equal(seen->data, x->data);
        if (record) berth_tape_drop(tape, x); /* else seen is x */
        check_ok(berth_op_scaled_sum(tape, &loss, seen, 3.0f));
        berth_tape_drop(tape, seen);
        check_ok(berth_tape_backward(tape, loss));
        for (int i = 0; i < WIDTH; i++)
            assert_true(found[i] == (record ? 3.0f : 0.0f) && none[i] == 0.0f);
    }
    berth_tape_free(tape);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups_are_walks_of_their_own),
        cmocka_unit_test(test_segments_run_again),
        cmocka_unit_test(test_a_tap_sees_the_gradient),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
