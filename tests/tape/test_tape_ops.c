/* Each operation's gradient through the tape against central differences of the loss, in small graphs whose every
 * input is a parameter; pruning; several readers of one tensor. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "berth/tape.h"

enum { T = 11, H = 24, F = 36, K = 3, HEADS = 4, V = 9, PARAMS = 8 };

/* What a case builds from; sequences of 1, 4 and 6 tokens. */
struct graph {
    float *data[PARAMS], *grad[PARAMS];
    int64_t shape[PARAMS][2];
    int count;
    berth_status (*build)(struct berth_tape *tape, struct graph *g, struct berth_tensor **p,
                          struct berth_tensor **y);
    float *projection; /* [K, columns of y]: constant */
    bool dropout;
};

static const int32_t cu_seqlens[] = {0, 1, 5, 11};
static const int32_t row_ordinal[T] = {0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2};
static const int32_t positions[T] = {0, 0, 1, 2, 3, 0, 1, 2, 3, 4, 5};
static const int32_t ordinals[] = {0, 1, 2};
static const int32_t labels[T] = {0, 1, 2, -1, 1, 0, 2, 2, 1, 0, 1};
static const int32_t tokens[T] = {3, 3, 1, 0, 8, 3, 2, 2, 2, 7, 0};
static const int32_t token_order[T] = {3, 10, 2, 6, 7, 8, 0, 1, 5, 9, 4};
static const int32_t position_order[T] = {0, 1, 5, 2, 6, 3, 7, 4, 8, 9, 10};
static const uint32_t dropout_key[3] = {17, 0, 4};

static struct berth_device *dev;

static void ok(berth_status status) {
    if (status != BERTH_OK) fail_msg("%s (%s)", berth_error_text(), berth_error_place());
}

static struct berth_tape_dropout mask(const struct graph *g, uint32_t site, bool attention) {
    return (struct berth_tape_dropout){.rate = g->dropout ? 0.3f : 0.0f,
                                       .site = site,
                                       .key = dropout_key,
                                       .ordinal = attention ? ordinals : row_ordinal,
                                       .position = positions};
}

static berth_status rebuild(struct berth_tape *tape, struct berth_tensor **loss, void *user) {
    struct graph *g = user;
    struct berth_tensor *p[PARAMS] = {0}, *y = NULL, *w = NULL, *logits = NULL, *items = NULL;
    berth_tape_reset(tape, true);
    for (int i = 0; i < g->count; i++)
        BERTH_TRY(berth_tape_parameter(tape, &p[i], g->data[i], g->grad[i], 2, g->shape[i]));
    BERTH_TRY(g->build(tape, g, p, &y));
    BERTH_TRY(berth_tape_parameter(tape, &w, g->projection, NULL, 2, (int64_t[]){K, y->shape[1]}));
    BERTH_TRY(berth_op_linear(tape, &logits, y, w, NULL));
    BERTH_TRY(berth_op_cross_entropy(tape, &items, logits, labels, NULL, 0.1f));
    return berth_op_scaled_sum(tape, loss, items, 0.25f);
}

static void fill(float *x, int64_t n, uint32_t stream, double scale) {
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)(scale * berth_random_normal(5, BERTH_PURPOSE_TEST, stream, (uint64_t)i));
}

static void graph_init(struct graph *g, const int64_t (*shapes)[2], int count) {
    *g = (struct graph){.count = count, .build = g->build, .dropout = g->dropout};
    for (int i = 0; i < count; i++) {
        int64_t n = shapes[i][0] * shapes[i][1];
        memcpy(g->shape[i], shapes[i], sizeof g->shape[i]);
        g->data[i] = test_calloc((size_t)n, sizeof(float));
        g->grad[i] = test_calloc((size_t)n, sizeof(float));
        fill(g->data[i], n, (uint32_t)i, 0.5);
    }
    g->projection = test_calloc(K * V * H, sizeof(float));
    fill(g->projection, K * V * H, 99, 0.5);
}

static void graph_deinit(struct graph *g) {
    for (int i = 0; i < g->count; i++) {
        test_free(g->data[i]);
        test_free(g->grad[i]);
    }
    test_free(g->projection);
}

static void check(const char *name, struct graph *g, const int64_t (*shapes)[2], int count) {
    struct berth_tape *tape = NULL;
    graph_init(g, shapes, count);
    ok(berth_tape_create(&tape, dev));
    for (int i = 0; i < count; i++)
        for (uint64_t seed = 0; seed < 3; seed++) {
            double analytic = 0.0, numeric = 0.0;
            for (int j = 0; j < count; j++)
                memset(g->grad[j], 0, (size_t)(g->shape[j][0] * g->shape[j][1]) * sizeof(float));
            ok(berth_tape_check_direction(tape, rebuild, g, g->data[i], g->grad[i], g->shape[i][0] * g->shape[i][1],
                                          seed, 2e-3f, &analytic, &numeric));
            double scale = fmax(fabs(analytic), fabs(numeric));
            if (fabs(analytic - numeric) > 2e-2 * scale + 2e-3)
                fail_msg("%s, parameter %d, direction %d: analytic %g, numeric %g", name, i, (int)seed, analytic,
                         numeric);
        }
    berth_tape_free(tape);
    graph_deinit(g);
}

/* ---- one builder an operation */
static berth_status build_linear(struct berth_tape *t, struct graph *g, struct berth_tensor **p,
                                 struct berth_tensor **y) {
    (void)g;
    return berth_op_linear(t, y, p[0], p[1], p[2]);
}
static void test_linear(void **state) {
    (void)state;
    struct graph g = {.build = build_linear};
    check("linear", &g, (const int64_t[][2]){{T, H}, {F, H}, {1, F}}, 3);
}

static enum berth_activation activation;
static berth_status build_act(struct berth_tape *t, struct graph *g, struct berth_tensor **p,
                              struct berth_tensor **y) {
    (void)g;
    struct berth_tensor *h = NULL;
    BERTH_TRY(berth_op_linear(t, &h, p[0], p[1], NULL));
    BERTH_TRY(berth_op_bias_act(t, y, h, p[2], activation));
    berth_tape_drop(t, h);
    return BERTH_OK;
}
static void test_bias_act(void **state) {
    (void)state;
    const enum berth_activation kinds[] = {BERTH_ACT_GELU, BERTH_ACT_GELU_TANH, BERTH_ACT_SILU, BERTH_ACT_TANH};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct graph g = {.build = build_act};
        activation = kinds[i];
        check("bias_act", &g, (const int64_t[][2]){{T, H}, {F, H}, {1, F}}, 3);
    }
}

/* norm(dropout(x w) + x): two readers of x, the product's memory kept in place */
static berth_status build_norm(struct berth_tape *t, struct graph *g, struct berth_tensor **p,
                               struct berth_tensor **y) {
    struct berth_tensor *a = NULL, *h = NULL;
    struct berth_tape_dropout d = mask(g, 3, false);
    BERTH_TRY(berth_op_linear(t, &a, p[0], p[1], NULL));
    BERTH_TRY(berth_op_linear(t, &h, a, p[1], NULL));
    BERTH_TRY(berth_op_layernorm(t, y, h, a, p[2], p[3], 1e-5f, &d));
    berth_tape_drop(t, h);
    berth_tape_drop(t, a);
    return BERTH_OK;
}
static void test_layernorm(void **state) {
    (void)state;
    for (int dropout = 0; dropout < 2; dropout++) {
        struct graph g = {.build = build_norm, .dropout = dropout};
        check("layernorm", &g, (const int64_t[][2]){{T, H}, {H, H}, {1, H}, {1, H}}, 4);
    }
}

static berth_status build_attention(struct berth_tape *t, struct graph *g, struct berth_tensor **p,
                                    struct berth_tensor **y) {
    struct berth_tensor *qkv = NULL;
    struct berth_tape_dropout d = mask(g, 4, true);
    BERTH_TRY(berth_op_linear(t, &qkv, p[0], p[1], p[2]));
    BERTH_TRY(berth_op_attention(t, y, qkv, cu_seqlens, 3, 6, HEADS, &d));
    berth_tape_drop(t, qkv);
    return BERTH_OK;
}
static void test_attention(void **state) {
    (void)state;
    for (int dropout = 0; dropout < 2; dropout++) {
        struct graph g = {.build = build_attention, .dropout = dropout};
        check("attention", &g, (const int64_t[][2]){{T, H}, {3 * H, H}, {1, 3 * H}}, 3);
    }
}

static berth_status build_embedding(struct berth_tape *t, struct graph *g, struct berth_tensor **p,
                                    struct berth_tensor **y) {
    (void)g;
    static const int32_t segments[T] = {0, 0, 1, 1, 0, 1, 0, 0, 1, 1, 0};
    static const int32_t segment_order[T] = {0, 1, 4, 6, 7, 10, 2, 3, 5, 8, 9};
    struct berth_embedding_rows rows = {tokens, positions, segments, token_order, position_order, segment_order, T};
    return berth_op_embedding(t, y, p[0], p[1], p[2], &rows);
}
static void test_embedding(void **state) {
    (void)state;
    struct graph g = {.build = build_embedding};
    check("embedding", &g, (const int64_t[][2]){{V, H}, {6, H}, {2, H}}, 3);
}

/* tokens gathered, and the mean of a sequence beside them: three readers of one tensor */
static berth_status build_gather(struct berth_tape *t, struct graph *g, struct berth_tensor **p,
                                 struct berth_tensor **y) {
    static const int32_t rows[3] = {9, 0, 4}, seqs[3] = {2, 0, 1};
    struct berth_tape_dropout d = mask(g, 7, false);
    struct berth_tensor *h = NULL, *a = NULL, *b = NULL, *masked = NULL;
    BERTH_TRY(berth_op_linear(t, &h, p[0], p[1], NULL));
    BERTH_TRY(berth_op_dropout(t, &masked, h, &d));
    BERTH_TRY(berth_op_gather_rows(t, &a, masked, rows, 3));
    BERTH_TRY(berth_op_mean_pool(t, &b, masked, seqs, cu_seqlens, 3));
    return berth_op_add(t, y, a, b);
}
static void test_gather_and_pool(void **state) {
    (void)state;
    for (int dropout = 0; dropout < 2; dropout++) {
        struct graph g = {.build = build_gather, .dropout = dropout};
        check("gather, mean_pool, dropout, add", &g, (const int64_t[][2]){{T, H}, {H, H}}, 2);
    }
}

/* ---- pruning */
static void test_frozen_inputs_record_nothing(void **state) {
    (void)state;
    struct graph g = {.build = build_norm};
    struct berth_tape *tape = NULL;
    struct berth_tensor *loss = NULL;
    graph_init(&g, (const int64_t[][2]){{T, H}, {H, H}, {1, H}, {1, H}}, 4);
    ok(berth_tape_create(&tape, dev));
    ok(rebuild(tape, &loss, &g));
    assert_int_equal(berth_tape_recorded(tape), 6);
    float *grads[4];
    memcpy(grads, g.grad, sizeof grads);
    for (int i = 0; i < 4; i++) g.grad[i] = NULL;
    ok(rebuild(tape, &loss, &g));
    assert_int_equal(berth_tape_recorded(tape), 0);
    assert_false(loss->needs_grad);
    ok(berth_tape_backward(tape, loss));
    /* only the norm's gain learns: the products below it stay off the record */
    g.grad[2] = grads[2];
    ok(rebuild(tape, &loss, &g));
    assert_int_equal(berth_tape_recorded(tape), 4);
    ok(berth_tape_backward(tape, loss));
    double sum = 0.0;
    for (int i = 0; i < H; i++) sum += fabs((double)grads[2][i]);
    assert_true(sum > 0.0);
    memcpy(g.grad, grads, sizeof grads);
    berth_tape_free(tape);
    graph_deinit(&g);
}

static void test_gradients_add_up_over_backwards(void **state) {
    (void)state;
    struct graph g = {.build = build_linear};
    struct berth_tape *tape = NULL;
    struct berth_tensor *loss = NULL;
    float once[F * H];
    graph_init(&g, (const int64_t[][2]){{T, H}, {F, H}, {1, F}}, 3);
    ok(berth_tape_create(&tape, dev));
    ok(rebuild(tape, &loss, &g));
    ok(berth_tape_backward(tape, loss));
    memcpy(once, g.grad[1], sizeof once);
    ok(rebuild(tape, &loss, &g));
    ok(berth_tape_backward(tape, loss));
    for (int i = 0; i < F * H; i++)
        if (fabsf(g.grad[1][i] - 2.0f * once[i]) > 1e-6f + 1e-5f * fabsf(once[i]))
            fail_msg("element %d: %g after two walks, %g after one", i, (double)g.grad[1][i], (double)once[i]);
    berth_tape_free(tape);
    graph_deinit(&g);
}

/* A head without items in this batch: zero rows pass through. */
static void test_no_rows(void **state) {
    (void)state;
    struct graph g = {.build = build_linear};
    struct berth_tape *tape = NULL;
    graph_init(&g, (const int64_t[][2]){{T, H}, {K, H}, {1, K}}, 3);
    ok(berth_tape_create(&tape, dev));
    berth_tape_reset(tape, true);
    struct berth_tensor *x = NULL, *w = NULL, *b = NULL, *picked = NULL, *y = NULL, *items = NULL, *loss = NULL;
    ok(berth_tape_parameter(tape, &x, g.data[0], g.grad[0], 2, g.shape[0]));
    ok(berth_tape_parameter(tape, &w, g.data[1], g.grad[1], 2, g.shape[1]));
    ok(berth_tape_parameter(tape, &b, g.data[2], g.grad[2], 2, g.shape[2]));
    ok(berth_op_gather_rows(tape, &picked, x, labels, 0));
    ok(berth_op_linear(tape, &y, picked, w, b));
    ok(berth_op_cross_entropy(tape, &items, y, labels, NULL, 0.0f));
    ok(berth_op_scaled_sum(tape, &loss, items, 1.0f));
    ok(berth_tape_backward(tape, loss));
    assert_true(*(float *)loss->data == 0.0f);
    for (int i = 0; i < K * H; i++) assert_true(g.grad[1][i] == 0.0f);
    berth_tape_free(tape);
    graph_deinit(&g);
}

static int open_device(void **state) {
    (void)state;
    return berth_device_open(&dev, "cpu") != BERTH_OK;
}
static int close_device(void **state) {
    (void)state;
    berth_device_close(dev);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_bias_act),
        cmocka_unit_test(test_layernorm),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_embedding),
        cmocka_unit_test(test_gather_and_pool),
        cmocka_unit_test(test_frozen_inputs_record_nothing),
        cmocka_unit_test(test_gradients_add_up_over_backwards),
        cmocka_unit_test(test_no_rows),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
