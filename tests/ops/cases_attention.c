/* cases_attention.c: attention over packed sequences: B sequences of lengths 1..M (the first has M). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ref_ops.h"
#include "ops/support_ops.h"

enum { DROPOUT = 1, FULL = 2, LARGE = 4 }; /* FULL: every sequence has length M. LARGE: scores of +-hundreds */
enum { B, M, A, D };
enum { CU }; /* x->ints */

static int64_t tokens_of(const struct op_ctx *x) {
    return x->ints[CU][x->c->s[B]];
}

static double scale_of(const struct op_ctx *x) {
    return 1 / sqrt((double)x->c->s[D]);
}

static void draw_kept(struct op_ctx *x, const int32_t *cu) {
    const int64_t *s = x->c->s, pairs = ref_pair(cu, s[A], s[B], 0, 0, 0);
    double *kept = op_input(x, "kept", pairs, 1)->d;
    for (int64_t b = 0; b < s[B]; b++)
        for (int64_t h = 0; h < s[A]; h++)
            for (int64_t q = 0; q < cu[b + 1] - cu[b]; q++)
                for (int64_t k = 0; k < cu[b + 1] - cu[b]; k++)
                    kept[ref_pair(cu, s[A], b, h, q, k)] =
                        op_kept(x, (uint32_t)x->dropout.ordinal[b], (uint32_t)h, (uint32_t)q, (uint32_t)k)
                            ? 65536.0 / (65536.0 - x->dropout.threshold)
                            : 0.0;
}

/* ref_pair of sequence B counts all pairs; its length is read past the end, so give it one more entry. */
static void build(struct op_ctx *x) {
    const int64_t *s = x->c->s;
    int32_t *cu = op_ints(x, s[B] + 2);
    if (x->c->flags & FULL)
        for (int64_t b = 0; b <= s[B]; b++)
            cu[b] = (int32_t)(b * s[M]);
    const int64_t tokens = x->c->flags & FULL ? s[B] * s[M] : op_lengths(x, cu, s[B], s[M]);
    cu[s[B] + 1] = cu[s[B]];
    op_dropout_rows(x, cu, s[B], 0.1f, true);
    if (x->reference && x->c->flags & DROPOUT) draw_kept(x, cu);
    struct op_tensor *qkv = op_input(x, "qkv", tokens, 3 * s[A] * s[D]);
    if (x->c->flags & LARGE) op_range(x, qkv, -12, 12);
    op_input(x, "dout", tokens, s[A] * s[D]);
    op_output(x, "out", tokens, s[A] * s[D])->tolerance = x->c->flags & LARGE ? 2e-4 : 1e-6;
    op_output(x, "lse", tokens, s[A])->tolerance = 2e-6;
    op_output(x, "dqkv", tokens, 3 * s[A] * s[D])->tolerance = x->c->flags & LARGE ? 5e-4 : 2e-6;
    op_find(x, "dqkv")->bf16 = x->c->flags & LARGE ? 3e-2 : 8e-3; /* of scores of 300, bf16 keeps 2^-9 */
    op_activations(x, "qkv dout out dqkv");
}

static const double *kept_of(struct op_ctx *x) {
    return x->c->flags & DROPOUT ? op_d(x, "kept") : NULL;
}

static void forward(struct op_ctx *x) {
    ref_attention(op_d(x, "out"), op_d(x, "lse"), op_d(x, "qkv"), kept_of(x), x->ints[CU], x->c->s[B],
                  x->c->s[A], x->c->s[D], scale_of(x));
}

static void backward(struct op_ctx *x) {
    ref_attention_backward(op_d(x, "dqkv"), op_d(x, "dout"), op_d(x, "qkv"), kept_of(x), x->ints[CU],
                           x->c->s[B], x->c->s[A], x->c->s[D], scale_of(x));
}

static const struct berth_dropout *dropout_of(const struct op_ctx *x) {
    return x->c->flags & DROPOUT ? &x->dropout : NULL;
}

static int call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    const int64_t *s = x->c->s, tokens = tokens_of(x);
    void *workspace = op_workspace(x, ops->attention_workspace(tokens, s[B], s[M], s[A], s[D], 0));
    return ops->attention_forward(op_a(x, "out"), op_f(x, "lse"), op_a(x, "qkv"), x->ints[CU], workspace,
                                  tokens, s[B], s[M], s[A], s[D], (float)scale_of(x), dropout_of(x), x->dtype,
                                  stream);
}

static int back_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    const int64_t *s = x->c->s, tokens = tokens_of(x);
    void *workspace = op_workspace(x, ops->attention_workspace(tokens, s[B], s[M], s[A], s[D], 1));
    return ops->attention_backward(op_a(x, "dqkv"), op_a(x, "dout"), op_a(x, "qkv"), op_a(x, "out"),
                                   op_f(x, "lse"), x->ints[CU], workspace, tokens, s[B], s[M], s[A], s[D],
                                   (float)scale_of(x), dropout_of(x), x->dtype, stream);
}

/* The first sequence alone gives the bits it had among the others. */
static bool alone(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    const int64_t *s = x->c->s, last = s[B] - 1, first = x->ints[CU][last], tokens = x->ints[CU][s[B]] - first;
    const int64_t width = s[A] * s[D];
    int32_t *cu = op_block(x, 2 * sizeof *cu);
    struct berth_dropout dropout = x->dropout;
    if (call(x, ops, stream) != 0 || back_call(x, ops, stream) != 0) return false;
    if (!op_wait(x)) return false; /* before the workspace of the calls goes */
    float *out = op_block(x, (size_t)(tokens * width) * sizeof *out);
    float *dqkv = op_block(x, (size_t)(3 * tokens * width) * sizeof *dqkv);
    cu[1] = (int32_t)tokens;
    dropout.ordinal += last;
    const struct berth_dropout *drop = x->c->flags & DROPOUT ? &dropout : NULL;
    const float *qkv = op_f(x, "qkv") + first * 3 * width;
    void *workspace = op_workspace(x, ops->attention_workspace(tokens, 1, tokens, s[A], s[D], 1));
    ops->attention_forward(out, NULL, qkv, cu, workspace, tokens, 1, tokens, s[A], s[D], (float)scale_of(x),
                           drop, BERTH_F32, stream);
    ops->attention_backward(dqkv, op_f(x, "dout") + first * width, qkv, op_f(x, "out") + first * width,
                            op_f(x, "lse") + first * s[A], cu, workspace, tokens, 1, tokens, s[A], s[D],
                            (float)scale_of(x), drop, BERTH_F32, stream);
    if (!op_wait(x)) return false;
    const bool same =
        memcmp(out, op_f(x, "out") + first * width, (size_t)(tokens * width) * sizeof *out) == 0 &&
        memcmp(dqkv, op_f(x, "dqkv") + 3 * first * width, (size_t)(3 * tokens * width) * sizeof *out) == 0;
    if (!same)
        snprintf(x->message, sizeof x->message, "the last sequence alone gives other bits than in the batch");
    return same && op_guards(x);
}

static double pairs_flops(const struct op_ctx *x, double products) {
    double pairs = 0;
    for (int64_t b = 0; b < x->c->s[B]; b++)
        pairs += pow(x->ints[CU][b + 1] - x->ints[CU][b], 2);
    return products * 2 * pairs * (double)(x->c->s[A] * x->c->s[D]);
}

static double flops(const struct op_ctx *x) {
    return pairs_flops(x, 2);
}

static double back_flops(const struct op_ctx *x) {
    return pairs_flops(x, 5);
}

static const struct op_kind attention = {
    .name = "attention",
    .sizes = "B M A D",
    .flags = "dropout full large",
    .build = build,
    .forward = forward,
    .backward = backward,
    .steps = {{"forward", call, flops, NULL}, {"backward", back_call, back_flops, NULL}},
    .outputs = {{"out", "dout"}},
    .inputs = {{"qkv", "dqkv"}},
    .property = alone};
/* The same without central differences, whose cost grows with the square of the length. */
static const struct op_kind attention_long = {
    .name = "attention-long",
    .sizes = "B M A D",
    .flags = "dropout full large",
    .build = build,
    .forward = forward,
    .backward = backward,
    .steps = {{"forward", call, flops, NULL}, {"backward", back_call, back_flops, NULL}},
    .property = alone};

const struct op_case cases_attention[] = {{&attention, {1, 1, 1, 8}, 0},
                                          {&attention, {1, 2, 2, 24}, DROPOUT},
                                          {&attention, {3, 12, 2, 32}, 0},
                                          {&attention, {3, 12, 12, 64}, DROPOUT},
                                          {&attention, {5, 35, 3, 10}, DROPOUT},
                                          {&attention, {4, 17, 1, 100}, 0},
                                          {&attention, {100, 1, 2, 32}, DROPOUT},
                                          {&attention, {2, 49, 2, 64}, DROPOUT | FULL},
                                          {&attention, {2, 100, 2, 40}, DROPOUT},
                                          {&attention, {6, 33, 2, 64}, DROPOUT},
                                          {&attention, {3, 40, 2, 128}, DROPOUT},
                                          {&attention, {4, 31, 1, 128}, 0},
                                          {&attention, {9, 16, 3, 64}, DROPOUT | FULL},
                                          {&attention_long, {2, 257, 2, 32}, DROPOUT},
                                          {&attention_long, {2, 130, 1, 128}, DROPOUT},
                                          {&attention_long, {1, 512, 1, 64}, DROPOUT},
                                          {&attention_long, {2, 40, 1, 64}, LARGE},
                                          {0}};
const struct op_case perf_attention[] = {{&attention, {32, 20, 12, 32}, 0},
                                         {&attention, {32, 20, 12, 32}, DROPOUT},
                                         {&attention, {32, 20, 12, 64}, DROPOUT},
                                         {&attention, {8, 128, 12, 32}, FULL},
                                         {&attention, {8, 128, 12, 64}, FULL},
                                         {&attention, {8, 128, 12, 64}, FULL | DROPOUT},
                                         {&attention, {2, 512, 12, 64}, FULL},
                                         {&attention, {2, 512, 12, 64}, FULL | DROPOUT},
                                         {0}};
