/* test_tape_ops.c: each operation through the tape, in a small graph y(p0, p1, ...) with a random cotangent c:
 *
 *     f = Σ c y, in double           gradient of every value of every parameter against (f(+h) - f(-h)) / 2h
 *
 * and for every graph: each subset of frozen parameters gives the same gradients for the others; nothing is
 * recorded where all are frozen; the bits do not depend on the number of threads, nor on a repetition; all step
 * memory is back after backward. A graph drops every tensor but y. To add one: a build function and a row in
 * `graphs`. */
#include "support_tape.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

enum { T = 11, H = 24, F = 36, K = 3, HEADS = 4, V = 9, PARAMETERS = 4, LARGEST = 3 * H * H, CHECKED = 150 };

typedef berth_status build_graph(struct berth_tape *t, struct berth_tensor **p, struct berth_tensor **y);

struct graph {
    const char *name;
    build_graph *build;
    int recorded;                 /* operations on the record when everything needs a gradient */
    int64_t shape[PARAMETERS][2]; /* second dimension 0: a vector */
};

/* Sequences of 1, 4 and 6 tokens. */
static const int32_t cu_seqlens[] = {0, 1, 5, 11};
static const int32_t row_ordinal[T] = {0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2};
static const int32_t positions[T] = {0, 0, 1, 2, 3, 0, 1, 2, 3, 4, 5};
static const int32_t ordinals[] = {0, 1, 2};
static const int32_t labels[T] = {0, 1, 2, -1, 1, 0, 2, 2, 1, 0, 1};
static const int32_t tokens[T] = {3, 3, 1, 0, 8, 3, 2, 2, 2, 7, 0};
static const int32_t segments[T] = {0, 0, 1, 1, 0, 1, 0, 0, 1, 1, 0};
static const int32_t picked[3] = {9, 0, 4}, reversed[3] = {2, 0, 1};
static const uint32_t key[3] = {17, 0, 4};
static const float weights[K] = {0.5f, 1.0f, 2.0f};

static const struct berth_tape_dropout rows_mask = {0.3f, 3, key, row_ordinal, positions};
static const struct berth_tape_dropout attention_mask = {0.3f, 4, key, ordinals, NULL};

/* ------------------------------------------------------------------ the graphs */

static berth_status linear(struct berth_tape *t, struct berth_tensor **p, struct berth_tensor **y) {
    return berth_op_linear(t, y, p[0], p[1], p[2]);
}

/* b = (x w1ᵀ) w2ᵀ: dx of an activation is written, not added */
static berth_status linear_twice(struct berth_tape *t, struct berth_tensor **p, struct berth_tensor **y) {
    struct berth_tensor *a = NULL;
    BERTH_TRY(berth_op_linear(t, &a, p[0], p[1], NULL));
    BERTH_TRY(berth_op_linear(t, y, a, p[2], NULL));
    berth_tape_drop(t, a);
    return BERTH_OK;
}

static berth_status activated(struct berth_tape *t, struct berth_tensor **p, struct berth_tensor **y,
                              enum berth_activation kind) {
    struct berth_tensor *a = NULL;
    BERTH_TRY(berth_op_linear(t, &a, p[0], p[1], NULL));
    BERTH_TRY(berth_op_bias_act(t, y, a, p[2], kind));
    berth_tape_drop(t, a);
    return BERTH_OK;
}

static berth_status act_none(struct berth_tape *t, struct berth_tensor **p, struct berth_tensor **y) {
    return activated(t, p, y, BERTH_ACT_NONE);
}

static berth_status act_gelu(struct berth_tape *t, struct berth_tensor **p, struct berth_tensor **y) {
    return activated(t, p, y, BERTH_ACT_GELU);
}

static berth_status act_gelu_tanh(struct berth_tape *t, struct berth_tensor **p, struct berth_tensor **y) {
    return activated(t, p, y, BERTH_ACT_GELU_TANH);
}

static berth_status act_silu(struct berth_tape *t, struct berth_tensor **p, struct berth_tensor **y) {
    return activated(t, p, y, BERTH_ACT_SILU);
}

/* x itself is a parameter, and read twice; no bias */
static berth_status act_of_parameter(struct berth_tape *t, struct berth_tensor **p, struct berth_tensor **y) {
    struct berth_tensor *a = NULL, *b = NULL;
    BERTH_TRY(berth_op_bias_act(t, &a, p[0], p[1], BERTH_ACT_TANH));
    BERTH_TRY(berth_op_bias_act(t, &b, p[0], NULL, BERTH_ACT_SILU));
    BERTH_TRY(berth_op_add(t, y, a, b));
    berth_tape_drop(t, a);
    berth_tape_drop(t, b);
    return BERTH_OK;
}

static berth_status norm_of_parameter(struct berth_tape *t, struct berth_tensor **p, struct berth_tensor **y) {
    return berth_op_layernorm(t, y, p[0], p[3], p[1], p[2], 1e-5f, NULL);
}

/* norm(dropout(a w) + a), a = x w: two readers of a, the product's memory becomes pre */
static berth_status norm_residual(struct berth_tape *t, struct berth_tensor **p, struct berth_tensor **y,
                                  const struct berth_tape_dropout *dropout) {
    struct berth_tensor *a = NULL, *h = NULL;
    BERTH_TRY(berth_op_linear(t, &a, p[0], p[1], NULL));
    BERTH_TRY(berth_op_linear(t, &h, a, p[1], NULL));
    BERTH_TRY(berth_op_layernorm(t, y, h, a, p[2], p[3], 1e-5f, dropout));
    berth_tape_drop(t, h);
    berth_tape_drop(t, a);
    return BERTH_OK;
}

static berth_status norm_plain(struct berth_tape *t, struct berth_tensor **p, struct berth_tensor **y) {
    return norm_residual(t, p, y, NULL);
}

static berth_status norm_dropout(struct berth_tape *t, struct berth_tensor **p, struct berth_tensor **y) {
    return norm_residual(t, p, y, &rows_mask);
}

/* norm(dropout(c) + c w), c a constant: only the residual needs a gradient, in which dropout has no part */
static berth_status norm_of_constant(struct berth_tape *t, struct berth_tensor **p, struct berth_tensor **y) {
    struct berth_tensor *a = NULL, *b = NULL, *c = NULL, *x = NULL;
    BERTH_TRY(berth_tape_tensor(t, &x, BERTH_F32, 2, (const int64_t[]){T, H}));
    random_fill(x->data, T * H, 50, 0.5);
    BERTH_TRY(berth_op_linear(t, &a, x, p[0], NULL));
    BERTH_TRY(berth_op_bias_act(t, &b, a, NULL, BERTH_ACT_TANH));
    BERTH_TRY(berth_op_layernorm(t, &c, x, a, p[1], p[2], 1e-5f, &rows_mask));
    BERTH_TRY(berth_op_add(t, y, b, c));
    berth_tape_drop(t, a);
    berth_tape_drop(t, b);
    berth_tape_drop(t, c);
    return BERTH_OK;
}

/* x of the norm is read by two more operations, one before and one that needs its data: pre gets its own memory
 */
static berth_status norm_of_shared(struct berth_tape *t, struct berth_tensor **p, struct berth_tensor **y) {
    struct berth_tensor *a = NULL, *b = NULL, *c = NULL;
    BERTH_TRY(berth_op_linear(t, &a, p[0], p[1], NULL));
    BERTH_TRY(berth_op_linear(t, &b, a, p[1], NULL));
    BERTH_TRY(berth_op_layernorm(t, &c, a, NULL, p[2], p[3], 1e-5f, &rows_mask));
    BERTH_TRY(berth_op_add(t, y, c, b));
    berth_tape_drop(t, b);
    berth_tape_drop(t, c);
    return BERTH_OK;
}

static berth_status attend(struct berth_tape *t, struct berth_tensor **p, struct berth_tensor **y,
                           const struct berth_tape_dropout *dropout) {
    struct berth_tensor *qkv = NULL;
    BERTH_TRY(berth_op_linear(t, &qkv, p[0], p[1], p[2]));
    BERTH_TRY(berth_op_attention(t, y, qkv, cu_seqlens, 3, 6, HEADS, dropout));
    berth_tape_drop(t, qkv);
    return BERTH_OK;
}

static berth_status attention(struct berth_tape *t, struct berth_tensor **p, struct berth_tensor **y) {
    return attend(t, p, y, NULL);
}

static berth_status attention_dropout(struct berth_tape *t, struct berth_tensor **p, struct berth_tensor **y) {
    return attend(t, p, y, &attention_mask);
}

/* qkv read by two attentions: the second contribution is added */
static berth_status attention_shared(struct berth_tape *t, struct berth_tensor **p, struct berth_tensor **y) {
    struct berth_tensor *qkv = NULL, *a = NULL, *b = NULL;
    BERTH_TRY(berth_op_linear(t, &qkv, p[0], p[1], NULL));
    BERTH_TRY(berth_op_attention(t, &a, qkv, cu_seqlens, 3, 6, HEADS, &attention_mask));
    BERTH_TRY(berth_op_attention(t, &b, qkv, cu_seqlens, 3, 6, 2, NULL));
    BERTH_TRY(berth_op_add(t, y, a, b));
    berth_tape_drop(t, qkv);
    berth_tape_drop(t, a);
    berth_tape_drop(t, b);
    return BERTH_OK;
}

static berth_status embed(struct berth_tape *t, struct berth_tensor **p, struct berth_tensor **y) {
    static int32_t order[3][T];
    order_by_id(order[0], tokens, T);
    order_by_id(order[1], positions, T);
    order_by_id(order[2], segments, T);
    const struct berth_embedding_rows rows = {tokens,   positions, segments, order[0],
                                              order[1], order[2],  NULL,     T};
    return berth_op_embedding(t, y, p[0], p[1], p[2], &rows);
}

static berth_status dropped(struct berth_tape *t, struct berth_tensor **p, struct berth_tensor **y) {
    struct berth_tensor *a = NULL;
    BERTH_TRY(berth_op_linear(t, &a, p[0], p[1], NULL));
    BERTH_TRY(berth_op_dropout(t, y, a, &rows_mask));
    berth_tape_drop(t, a);
    return BERTH_OK;
}

/* tokens gathered, sequences' means beside them, and a product: three readers of one tensor */
static berth_status gather_and_pool(struct berth_tape *t, struct berth_tensor **p, struct berth_tensor **y) {
    struct berth_tensor *a = NULL, *b = NULL, *c = NULL, *d = NULL, *e = NULL, *sum = NULL;
    BERTH_TRY(berth_op_linear(t, &a, p[0], p[1], NULL));
    BERTH_TRY(berth_op_gather_rows(t, &b, a, picked, 3));
    BERTH_TRY(berth_op_mean_pool(t, &c, a, reversed, cu_seqlens, 3));
    BERTH_TRY(berth_op_linear(t, &d, a, p[1], NULL));
    berth_tape_drop(t, a);
    BERTH_TRY(berth_op_gather_rows(t, &e, d, reversed, 3));
    BERTH_TRY(berth_op_add(t, &sum, b, c));
    BERTH_TRY(berth_op_add(t, y, e, sum));
    struct berth_tensor *const all[] = {b, c, d, e, sum};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        berth_tape_drop(t, all[i]);
    return BERTH_OK;
}

/* three losses, two over the same logits and one of no rows */
static berth_status losses(struct berth_tape *t, struct berth_tensor **p, struct berth_tensor **y) {
    struct berth_tensor *z = NULL, *a = NULL, *b = NULL, *c = NULL, *none = NULL, *sum[4] = {0};
    BERTH_TRY(berth_op_linear(t, &z, p[0], p[1], p[2]));
    BERTH_TRY(berth_op_cross_entropy(t, &a, z, labels, NULL, 0.0f));
    BERTH_TRY(berth_op_cross_entropy(t, &b, z, segments, weights, 0.1f));
    BERTH_TRY(berth_op_gather_rows(t, &none, z, NULL, 0));
    BERTH_TRY(berth_op_cross_entropy(t, &c, none, NULL, NULL, 0.0f));
    BERTH_TRY(berth_op_scaled_sum(t, &sum[0], a, 0.25f));
    BERTH_TRY(berth_op_scaled_sum(t, &sum[1], b, -0.5f));
    BERTH_TRY(berth_op_scaled_sum(t, &sum[2], c, 1.0f));
    BERTH_TRY(berth_op_add(t, &sum[3], sum[0], sum[1]));
    BERTH_TRY(berth_op_add(t, y, sum[2], sum[3]));
    struct berth_tensor *const all[] = {z, a, b, c, none, sum[0], sum[1], sum[2], sum[3]};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        berth_tape_drop(t, all[i]);
    return BERTH_OK;
}

/* y = (x + x) + x, of an activation and summed twice more */
static berth_status sums(struct berth_tape *t, struct berth_tensor **p, struct berth_tensor **y) {
    struct berth_tensor *a = NULL, *b = NULL, *c = NULL, *s = NULL, *r = NULL;
    BERTH_TRY(berth_op_bias_act(t, &a, p[0], p[1], BERTH_ACT_TANH));
    BERTH_TRY(berth_op_add(t, &b, a, a));
    BERTH_TRY(berth_op_add(t, &c, b, a));
    BERTH_TRY(berth_op_scaled_sum(t, &s, c, 0.5f));
    BERTH_TRY(berth_op_scaled_sum(t, &r, a, 2.0f));
    BERTH_TRY(berth_op_add(t, y, s, r));
    struct berth_tensor *const all[] = {a, b, c, s, r};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        berth_tape_drop(t, all[i]);
    return BERTH_OK;
}

/* item losses of one product, weighted differently */
static berth_status head_losses(struct berth_tape *t, struct berth_tensor **p, struct berth_tensor **y) {
    static const float targets[T * K] = {1, 0, 1,  0, 0, 1, -1, 1, 1, 0, 1, 0, 1, 1, 0, 0, 0,
                                         1, 1, -1, 0, 1, 0, 0,  0, 1, 1, 0, 0, 1, 1, 0, 0};
    struct berth_tensor *z = NULL, *focal = NULL, *bce = NULL, *a = NULL, *b = NULL;
    BERTH_TRY(berth_op_linear(t, &z, p[0], p[1], p[2]));
    BERTH_TRY(berth_op_focal(t, &focal, z, labels, weights, 2.0f));
    BERTH_TRY(berth_op_bce(t, &bce, z, targets, labels, weights, 0.1f, 1.5f));
    BERTH_TRY(berth_op_scaled_sum(t, &a, focal, 0.5f));
    BERTH_TRY(berth_op_scaled_sum(t, &b, bce, 0.25f));
    BERTH_TRY(berth_op_add(t, y, a, b));
    struct berth_tensor *const all[] = {z, focal, bce, a, b};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        berth_tape_drop(t, all[i]);
    return BERTH_OK;
}

/* cosines of rows and their losses: s = |a||b| products; CoSENT and squared errors of the same numbers */
static berth_status similarities(struct berth_tape *t, struct berth_tensor **p, struct berth_tensor **y) {
    static const float target[T] = {0.1f, 0.9f, 0.9f, 0.5f, -0.3f, 0.2f, 1, 0, 0.4f, 0.4f, -1};
    struct berth_tensor *a = NULL, *u = NULL, *v = NULL, *s = NULL, *loss[2] = {0}, *sum[3] = {0};
    BERTH_TRY(berth_op_linear(t, &a, p[0], p[1], NULL));
    BERTH_TRY(berth_op_normalize(t, &u, a, 1.0f));
    BERTH_TRY(berth_op_normalize(t, &v, p[2], 3.0f));
    BERTH_TRY(berth_op_row_dot(t, &s, u, v));
    BERTH_TRY(berth_op_cosent(t, &loss[0], s, target, labels, 2.0f));
    BERTH_TRY(berth_op_error(t, &loss[1], s, target, labels, BERTH_ERROR_SQUARED, 0.0f));
    BERTH_TRY(berth_op_scaled_sum(t, &sum[0], loss[0], 0.1f));
    BERTH_TRY(berth_op_scaled_sum(t, &sum[1], loss[1], 0.3f));
    BERTH_TRY(berth_op_scale(t, &sum[2], sum[1], -2.0f));
    BERTH_TRY(berth_op_add(t, y, sum[0], sum[2]));
    struct berth_tensor *const all[] = {a, u, v, s, loss[0], loss[1], sum[0], sum[1], sum[2]};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        berth_tape_drop(t, all[i]);
    return BERTH_OK;
}

/* a product of two activations, as in-batch negatives have it: x and w both come from the same rows */
static berth_status cross_scores(struct berth_tape *t, struct berth_tensor **p, struct berth_tensor **y) {
    struct berth_tensor *a = NULL, *b = NULL, *u = NULL, *v = NULL, *z = NULL;
    BERTH_TRY(berth_op_normalize(t, &a, p[0], 2.0f));
    BERTH_TRY(berth_op_linear(t, &b, a, p[1], NULL));
    BERTH_TRY(berth_op_gather_rows(t, &u, b, picked, 3));
    BERTH_TRY(berth_op_gather_rows(t, &v, b, reversed, 3));
    BERTH_TRY(berth_op_linear(t, &z, u, v, NULL));
    BERTH_TRY(berth_op_cross_entropy(t, y, z, reversed, NULL, 0.0f));
    struct berth_tensor *const all[] = {a, b, u, v, z};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        berth_tape_drop(t, all[i]);
    return BERTH_OK;
}

/* sequences of 1, 4 and 6 words; the second has a missing tag */
static berth_status chain(struct berth_tape *t, struct berth_tensor **p, struct berth_tensor **y) {
    return berth_op_crf(t, y, p[0], p[1], p[2], p[3], labels, cu_seqlens, 3);
}

/* three layers mixed, the first read by the others too */
static berth_status mixed(struct berth_tape *t, struct berth_tensor **p, struct berth_tensor **y) {
    struct berth_tensor *h[3] = {0}, *m[2] = {0};
    BERTH_TRY(berth_op_linear(t, &h[0], p[0], p[1], NULL));
    BERTH_TRY(berth_op_linear(t, &h[1], h[0], p[1], NULL));
    BERTH_TRY(berth_op_linear(t, &h[2], h[1], p[1], NULL));
    BERTH_TRY(berth_op_mix(t, &m[0], NULL, h[0], p[2], p[3], 0));
    BERTH_TRY(berth_op_mix(t, &m[1], m[0], h[1], p[2], p[3], 1));
    BERTH_TRY(berth_op_mix(t, y, m[1], h[2], p[2], p[3], 2));
    struct berth_tensor *const all[] = {h[0], h[1], h[2], m[0], m[1]};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        berth_tape_drop(t, all[i]);
    return BERTH_OK;
}

static const struct graph graphs[] = {
    {"linear", linear, 1, {{T, H}, {F, H}, {F}}},
    {"linear_twice", linear_twice, 2, {{T, H}, {F, H}, {K, F}}},
    {"act_none", act_none, 2, {{T, H}, {F, H}, {F}}},
    {"act_gelu", act_gelu, 2, {{T, H}, {F, H}, {F}}},
    {"act_gelu_tanh", act_gelu_tanh, 2, {{T, H}, {F, H}, {F}}},
    {"act_silu", act_silu, 2, {{T, H}, {F, H}, {F}}},
    {"act_of_parameter", act_of_parameter, 3, {{T, H}, {H}}},
    {"norm_of_parameter", norm_of_parameter, 1, {{T, H}, {H}, {H}, {T, H}}},
    {"norm_plain", norm_plain, 3, {{T, H}, {H, H}, {H}, {H}}},
    {"norm_dropout", norm_dropout, 3, {{T, H}, {H, H}, {H}, {H}}},
    {"norm_of_constant", norm_of_constant, 4, {{H, H}, {H}, {H}}},
    {"norm_of_shared", norm_of_shared, 4, {{T, H}, {H, H}, {H}, {H}}},
    {"attention", attention, 2, {{T, H}, {3 * H, H}, {3 * H}}},
    {"attention_dropout", attention_dropout, 2, {{T, H}, {3 * H, H}, {3 * H}}},
    {"attention_shared", attention_shared, 4, {{T, H}, {3 * H, H}}},
    {"embedding", embed, 1, {{V, H}, {6, H}, {2, H}}},
    {"dropout", dropped, 2, {{T, H}, {H, H}}},
    {"gather_and_pool", gather_and_pool, 7, {{T, H}, {H, H}}},
    {"losses", losses, 10, {{T, H}, {K, H}, {K}}},
    {"sums", sums, 6, {{T, H}, {H}}},
    {"head_losses", head_losses, 6, {{T, H}, {K, H}, {K}}},
    {"similarities", similarities, 10, {{T, H}, {H, H}, {T, H}}},
    {"cross_scores", cross_scores, 6, {{T, H}, {H, H}}},
    {"crf", chain, 1, {{T, K}, {K, K}, {K}, {K}}},
    {"mix", mixed, 6, {{T, H}, {H, H}, {3}, {1}}},
};
enum { GRAPHS = sizeof graphs / sizeof graphs[0] };

/* ------------------------------------------------------------------ running one */

struct bench {
    const struct graph *g;
    struct berth_tape *tape;
    float *data[PARAMETERS], *grad[PARAMETERS];
    int64_t count[PARAMETERS];
    int parameters;
    float cotangent[T * 3 * H];
};

static void open_bench(struct bench *b, const struct graph *g) {
    *b = (struct bench){.g = g};
    check_ok(berth_tape_create(&b->tape, dev));
    for (int i = 0; i < PARAMETERS && g->shape[i][0] > 0; i++) {
        b->count[i] = g->shape[i][0] * (g->shape[i][1] > 0 ? g->shape[i][1] : 1);
        assert_true(b->count[i] <= LARGEST);
        b->data[i] = test_calloc((size_t)b->count[i], sizeof(float));
        b->grad[i] = test_calloc((size_t)b->count[i], sizeof(float));
        random_fill(b->data[i], b->count[i], (uint32_t)i, 0.5);
        b->parameters++;
    }
    random_fill(b->cotangent, T * 3 * H, 99, 1.0);
}

static void close_bench(struct bench *b) {
    for (int i = 0; i < b->parameters; i++) {
        test_free(b->data[i]);
        test_free(b->grad[i]);
    }
    berth_tape_free(b->tape);
}

/* needs: bit i: parameter i has a gradient */
static struct berth_tensor *build(struct bench *b, bool record, unsigned needs) {
    struct berth_tensor *p[PARAMETERS] = {0}, *y = NULL;
    berth_tape_reset(b->tape, record);
    for (int i = 0; i < b->parameters; i++)
        check_ok(berth_tape_parameter(b->tape, &p[i], b->data[i], needs >> i & 1u ? b->grad[i] : NULL,
                                      b->g->shape[i][1] > 0 ? 2 : 1, b->g->shape[i]));
    check_ok(b->g->build(b->tape, p, &y));
    assert_true(tensor_count(y) <= T * 3 * H);
    return y;
}

static double value(struct bench *b) {
    const struct berth_tensor *y = build(b, false, 0);
    const float *data = y->data;
    double sum = 0;
    assert_int_equal(berth_tape_recorded(b->tape), 0);
    for (int64_t i = 0; i < tensor_count(y); i++)
        sum += (double)b->cotangent[i] * (double)data[i];
    return sum;
}

/* Gradients of the parameters in `needs`; returns how many operations were recorded. */
static int64_t walk_back(struct bench *b, unsigned needs) {
    for (int i = 0; i < b->parameters; i++)
        memset(b->grad[i], 0, (size_t)b->count[i] * sizeof(float));
    struct berth_tensor *y = build(b, true, needs);
    const int64_t recorded = berth_tape_recorded(b->tape);
    const void *cotangent = b->cotangent;
    if (y->needs_grad != (recorded > 0))
        fail_msg("%s, needs %x: %d recorded, result %s a gradient", b->g->name, needs, (int)recorded,
                 y->needs_grad ? "needs" : "needs not");
    check_ok(berth_tape_backward_from(b->tape, &y, &cotangent, 1));
    berth_tape_drop(b->tape, y);
    if (b->tape->memory.used != 0)
        fail_msg("%s, needs %x: %zu bytes of step memory are still out after backward", b->g->name, needs,
                 b->tape->memory.used);
    assert_int_equal(berth_tape_recorded(b->tape), 0);
    return recorded;
}

/* |analytic - numeric| / |numeric| over the values of parameter i, of large ones every so manieth. */
static double relative_error(struct bench *b, int i) {
    const float h = 4e-3f;
    double error = 0, size = 0;
    for (int64_t j = 0; j < b->count[i]; j += 1 + b->count[i] / CHECKED) {
        float *const at = &b->data[i][j];
        const float start = *at, up = start + h, down = start - h;
        *at = up;
        const double above = value(b);
        *at = down;
        const double below = value(b);
        *at = start;
        const double numeric = (above - below) / ((double)up - (double)down);
        error += pow(numeric - (double)b->grad[i][j], 2);
        size += pow(numeric, 2);
    }
    return sqrt(error / size);
}

static void test_gradients_against_differences(void **state) {
    (void)state;
    double worst = 0;
    for (int k = 0; k < GRAPHS; k++) {
        struct bench b;
        open_bench(&b, &graphs[k]);
        const int64_t recorded = walk_back(&b, (1u << b.parameters) - 1);
        if (recorded != graphs[k].recorded)
            fail_msg("%s: %d operations recorded, expected %d", graphs[k].name, (int)recorded,
                     graphs[k].recorded);
        for (int i = 0; i < b.parameters; i++) {
            const double error = relative_error(&b, i);
            worst = fmax(worst, error);
            if (!(error <= 5e-4))
                fail_msg("%s, parameter %d: the gradient is off by %.2g of its size", graphs[k].name, i, error);
        }
        close_bench(&b);
    }
    print_message("%d graphs, largest relative error of a gradient: %.1e\n", (int)GRAPHS, worst);
}

static void test_frozen_parameters(void **state) {
    (void)state;
    for (int k = 0; k < GRAPHS; k++) {
        struct bench b;
        float all[PARAMETERS][LARGEST];
        open_bench(&b, &graphs[k]);
        const unsigned full = (1u << b.parameters) - 1;
        (void)walk_back(&b, full);
        for (int i = 0; i < b.parameters; i++)
            memcpy(all[i], b.grad[i], (size_t)b.count[i] * sizeof(float));
        for (unsigned needs = 0; needs < full; needs++) {
            const int64_t recorded = walk_back(&b, needs);
            if ((recorded > 0) != (needs != 0) || recorded > graphs[k].recorded)
                fail_msg("%s, needs %x: %d operations recorded", graphs[k].name, needs, (int)recorded);
            for (int i = 0; i < b.parameters; i++) {
                for (int64_t j = 0; j < b.count[i]; j++) {
                    const float expected = needs >> i & 1u ? all[i][j] : 0.0f;
                    if (b.grad[i][j] != expected)
                        fail_msg("%s, needs %x: parameter %d, value %d is %.9g, expected %.9g", graphs[k].name,
                                 needs, i, (int)j, (double)b.grad[i][j], (double)expected);
                }
            }
        }
        close_bench(&b);
    }
}

static void test_threads_and_repetition_give_the_same_bits(void **state) {
    (void)state;
    const int threads = omp_get_max_threads();
    for (int k = 0; k < GRAPHS; k++) {
        struct bench b;
        float first[PARAMETERS][LARGEST];
        open_bench(&b, &graphs[k]);
        for (int run = 0; run < 4; run++) {
            omp_set_num_threads(run < 3 ? run + 1 : 1);
            (void)walk_back(&b, (1u << b.parameters) - 1);
            for (int i = 0; i < b.parameters; i++) {
                const size_t bytes = (size_t)b.count[i] * sizeof(float);
                if (run == 0) memcpy(first[i], b.grad[i], bytes);
                if (memcmp(first[i], b.grad[i], bytes) != 0)
                    fail_msg("%s, run %d: other bits in the gradient of parameter %d", graphs[k].name, run, i);
            }
        }
        close_bench(&b);
    }
    omp_set_num_threads(threads);
}

/* ------------------------------------------------------------------ single properties */

static void test_gradients_of_parameters_add_up_over_steps(void **state) {
    (void)state;
    struct bench b;
    float once[F * H];
    open_bench(&b, &graphs[0]);
    (void)walk_back(&b, 7);
    memcpy(once, b.grad[1], sizeof once);
    struct berth_tensor *y = build(&b, true, 7);
    const void *cotangent = b.cotangent;
    check_ok(berth_tape_backward_from(b.tape, &y, &cotangent, 1));
    for (int i = 0; i < F * H; i++) {
        if (fabsf(b.grad[1][i] - 2.0f * once[i]) > 1e-6f + 1e-5f * fabsf(once[i]))
            fail_msg("value %d: %g after two walks, %g after one", i, (double)b.grad[1][i], (double)once[i]);
    }
    close_bench(&b);
}

/* Several outputs, one of them given twice and one above another: as the sum of their cotangents. */
static void test_backward_from_several_outputs(void **state) {
    (void)state;
    struct bench b;
    struct berth_tensor *x = NULL, *a = NULL, *y = NULL;
    open_bench(&b, &graphs[0]);
    berth_tape_reset(b.tape, true);
    check_ok(berth_tape_parameter(b.tape, &x, b.data[0], b.grad[0], 2, b.g->shape[0]));
    check_ok(berth_op_bias_act(b.tape, &a, x, NULL, BERTH_ACT_NONE));
    check_ok(berth_op_add(b.tape, &y, a, a));
    struct berth_tensor *const outputs[] = {y, a, y};
    const void *const gradients[] = {b.cotangent, b.cotangent, b.cotangent};
    check_ok(berth_tape_backward_from(b.tape, outputs, gradients, 3));
    for (int i = 0; i < T * H; i++) { /* 2 (c + c) + c */
        const float expected = 5.0f * b.cotangent[i];
        assert_true(fabsf(b.grad[0][i] - expected) <= 1e-5f * fabsf(expected));
    }
    close_bench(&b);
}

static void test_backward_from_a_loss(void **state) {
    (void)state;
    struct bench b;
    open_bench(&b, &graphs[0]);
    struct berth_tensor *x = NULL, *loss = NULL, *after = NULL;
    berth_tape_reset(b.tape, true);
    check_ok(berth_tape_parameter(b.tape, &x, b.data[0], b.grad[0], 2, b.g->shape[0]));
    check_ok(berth_op_scaled_sum(b.tape, &loss, x, 0.25f));
    check_ok(berth_tape_backward(b.tape, loss));
    for (int i = 0; i < T * H; i++)
        assert_true(b.grad[0][i] == 0.25f);
    /* the record is used up; what is computed now is not recorded, and the loss can still be read */
    check_ok(berth_op_scaled_sum(b.tape, &after, loss, 2.0f));
    assert_false(after->needs_grad);
    assert_int_equal(berth_tape_recorded(b.tape), 0);
    assert_true(*(const float *)after->data == 2.0f * *(const float *)loss->data);
    /* a loss of frozen parts alone: backward does nothing */
    berth_tape_reset(b.tape, true);
    check_ok(berth_tape_parameter(b.tape, &x, b.data[0], NULL, 2, b.g->shape[0]));
    check_ok(berth_op_scaled_sum(b.tape, &loss, x, 0.25f));
    assert_int_equal(berth_tape_recorded(b.tape), 0);
    check_ok(berth_tape_backward(b.tape, loss));
    close_bench(&b);
}

/* A head without items in this batch: zero rows pass, and its gradients stay as they were. */
static void test_no_rows(void **state) {
    (void)state;
    struct bench b;
    open_bench(&b, &graphs[0]);
    struct berth_tensor *p[3] = {0}, *rows = NULL, *dry = NULL, *y = NULL, *items = NULL, *loss = NULL,
                        *pooled = NULL;
    berth_tape_reset(b.tape, true);
    for (int i = 0; i < 3; i++)
        check_ok(berth_tape_parameter(b.tape, &p[i], b.data[i], b.grad[i], i < 2 ? 2 : 1, b.g->shape[i]));
    check_ok(berth_op_gather_rows(b.tape, &rows, p[0], labels, 0));
    check_ok(berth_op_mean_pool(b.tape, &pooled, rows, labels, cu_seqlens, 0));
    check_ok(berth_op_dropout(b.tape, &dry, pooled, &rows_mask));
    check_ok(berth_op_linear(b.tape, &y, dry, p[1], p[2]));
    check_ok(berth_op_cross_entropy(b.tape, &items, y, labels, NULL, 0.0f));
    check_ok(berth_op_scaled_sum(b.tape, &loss, items, 1.0f));
    assert_int_equal(berth_tape_recorded(b.tape), 6);
    check_ok(berth_tape_backward(b.tape, loss));
    assert_true(*(const float *)loss->data == 0.0f);
    for (int i = 0; i < 3; i++) {
        for (int64_t j = 0; j < b.count[i]; j++)
            assert_true(b.grad[i][j] == 0.0f);
    }
    close_bench(&b);
}

/* An operation that the device refuses: its error passes, named; the next step works. */
static void test_error_of_the_device(void **state) {
    (void)state;
    struct bench b;
    open_bench(&b, &graphs[0]);
    struct berth_tensor *x = NULL, *y = NULL;
    berth_tape_reset(b.tape, true);
    check_ok(berth_tape_tensor(b.tape, &x, BERTH_BF16, 2, (const int64_t[]){T, H}));
    static const int32_t classes[T] = {0};
    assert_int_equal(berth_op_cross_entropy(b.tape, &y, x, classes, NULL, 0.0f), BERTH_E_DEVICE);
    if (strstr(berth_error_text(), "cross_entropy_forward") == NULL) fail_msg("%s", berth_error_text());
    (void)walk_back(&b, 7);
    close_bench(&b);
}

/* ------------------------------------------------------------------ mistakes of the caller */

static void wrong_width(void *user) {
    struct bench *b = user;
    struct berth_tensor *x = NULL, *w = NULL, *y = NULL;
    berth_tape_reset(b->tape, true);
    check_ok(berth_tape_tensor(b->tape, &x, BERTH_F32, 2, (const int64_t[]){5, 7}));
    check_ok(berth_tape_tensor(b->tape, &w, BERTH_F32, 2, (const int64_t[]){3, 8}));
    (void)!berth_op_linear(b->tape, &y, x, w, NULL);
}

static void use_after_drop(void *user) {
    struct bench *b = user;
    struct berth_tensor *x = NULL, *y = NULL;
    berth_tape_reset(b->tape, true);
    check_ok(berth_tape_tensor(b->tape, &x, BERTH_F32, 2, (const int64_t[]){5, 7}));
    berth_tape_drop(b->tape, x);
    (void)!berth_op_bias_act(b->tape, &y, x, NULL, BERTH_ACT_GELU);
}

static void use_after_norm(void *user) {
    struct bench *b = user;
    struct berth_tensor *x = NULL, *gamma = NULL, *y = NULL;
    berth_tape_reset(b->tape, true);
    check_ok(berth_tape_tensor(b->tape, &x, BERTH_F32, 2, (const int64_t[]){1, H}));
    memset(x->data, 0, H * sizeof(float));
    check_ok(berth_tape_parameter(b->tape, &gamma, b->data[2], NULL, 1, (const int64_t[]){H}));
    check_ok(berth_op_layernorm(b->tape, &y, x, NULL, gamma, gamma, 1e-5f, NULL));
    (void)!berth_op_add(b->tape, &y, x, x);
}

static void walk_twice(void *user) {
    struct bench *b = user;
    struct berth_tensor *x = NULL, *y = NULL;
    berth_tape_reset(b->tape, true);
    check_ok(berth_tape_parameter(b->tape, &x, b->data[0], b->grad[0], 2, b->g->shape[0]));
    check_ok(berth_op_scaled_sum(b->tape, &y, x, 1.0f));
    check_ok(berth_tape_backward(b->tape, y));
    (void)!berth_tape_backward(b->tape, y);
}

static void loss_of_two(void *user) {
    struct bench *b = user;
    struct berth_tensor *y = build(b, true, 7);
    (void)!berth_tape_backward(b->tape, y);
}

static void test_mistakes_abort_with_shapes(void **state) {
    (void)state;
    struct bench b;
    open_bench(&b, &graphs[0]);
    check_abort(wrong_width, &b, "linear: x f32 [5, 7], w f32 [3, 8]");
    check_abort(use_after_drop, &b, "bias_act: x, f32 [5, 7], was dropped before");
    check_abort(use_after_norm, &b, "add: a, f32 [1, 24], was dropped before");
    check_abort(walk_twice, &b, "one backward a step");
    check_abort(loss_of_two, &b, "a loss is one float, this is f32 [11, 36]");
    close_bench(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients_against_differences),
        cmocka_unit_test(test_frozen_parameters),
        cmocka_unit_test(test_threads_and_repetition_give_the_same_bits),
        cmocka_unit_test(test_gradients_of_parameters_add_up_over_steps),
        cmocka_unit_test(test_backward_from_several_outputs),
        cmocka_unit_test(test_backward_from_a_loss),
        cmocka_unit_test(test_no_rows),
        cmocka_unit_test(test_error_of_the_device),
        cmocka_unit_test(test_mistakes_abort_with_shapes),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
