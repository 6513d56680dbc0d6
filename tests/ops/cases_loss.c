/* cases_loss.c: softmax cross-entropy: class weights, smoothing, masked rows. */
#include "ops/ref_ops.h"
#include "ops/support_ops.h"

enum { WEIGHTS = 1, SMOOTH = 2, MASKED = 4, LARGE = 8 };
enum { R, K };
enum { LABELS };

static void build(struct op_ctx *x) {
    const int64_t r = x->c->s[R], k = x->c->s[K];
    int32_t *labels = op_ints(x, r);
    for (int64_t i = 0; i < r; i++)
        labels[i] = x->c->flags & MASKED && i % 3 == 1 ? -1 : (int32_t)op_below(x, k);
    op_range(x, op_input(x, "z", r, k), x->c->flags & LARGE ? -500 : -3, x->c->flags & LARGE ? 500 : 3);
    op_range(x, op_input(x, "weight", 1, k), 0.5, 2);
    op_input(x, "dloss", r, 1);
    op_output(x, "loss", r, 1)->tolerance = 2e-6;
    op_output(x, "lse", r, 1);
    struct op_tensor *dz = op_output(x, "dz", r, k);
    dz->tolerance = x->c->flags & LARGE ? 5e-5 : 2e-6;
    dz->absolute = 1e-7; /* of a single class: p - 1 is zero but for rounding */
    op_activations(x, "z dz");
}

static double smoothing(const struct op_ctx *x) {
    return x->c->flags & SMOOTH ? 0.125 : 0; /* a number that float holds */
}

static void forward(struct op_ctx *x) {
    ref_cross_entropy(op_d(x, "loss"), op_d(x, "lse"), op_d(x, "z"), x->ints[LABELS],
                      x->c->flags & WEIGHTS ? op_d(x, "weight") : NULL, x->c->s[R], x->c->s[K], smoothing(x));
}

static void backward(struct op_ctx *x) {
    ref_cross_entropy_backward(op_d(x, "dz"), op_d(x, "dloss"), op_d(x, "z"), x->ints[LABELS],
                               x->c->flags & WEIGHTS ? op_d(x, "weight") : NULL, x->c->s[R], x->c->s[K],
                               smoothing(x));
}

static int call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    return ops->cross_entropy_forward(op_f(x, "loss"), op_f(x, "lse"), op_a(x, "z"), x->ints[LABELS],
                                      x->c->flags & WEIGHTS ? op_f(x, "weight") : NULL, x->c->s[R], x->c->s[K],
                                      (float)smoothing(x), x->dtype, stream);
}

static int back_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    return ops->cross_entropy_backward(op_a(x, "dz"), op_f(x, "dloss"), op_a(x, "z"), op_f(x, "lse"),
                                       x->ints[LABELS], x->c->flags & WEIGHTS ? op_f(x, "weight") : NULL,
                                       x->c->s[R], x->c->s[K], (float)smoothing(x), x->dtype, stream);
}

static double bytes(const struct op_ctx *x) {
    return (double)x->c->s[R] * (double)x->c->s[K] * 4;
}

static double back_bytes(const struct op_ctx *x) {
    return 2 * bytes(x);
}

static const struct op_kind cross_entropy = {
    .name = "cross_entropy",
    .sizes = "R K",
    .flags = "weights smooth masked large",
    .build = build,
    .forward = forward,
    .backward = backward,
    .steps = {{"forward", call, NULL, bytes}, {"backward", back_call, NULL, back_bytes}},
    .outputs = {{"loss", "dloss"}},
    .inputs = {{"z", "dz"}}};

const struct op_case cases_loss[] = {{&cross_entropy, {0, 7}, 0},
                                     {&cross_entropy, {1, 2}, 0},
                                     {&cross_entropy, {3, 7}, WEIGHTS},
                                     {&cross_entropy, {17, 72}, SMOOTH | MASKED},
                                     {&cross_entropy, {257, 7}, WEIGHTS | SMOOTH | MASKED},
                                     {&cross_entropy, {100, 2}, MASKED},
                                     {&cross_entropy, {5, 1}, SMOOTH},
                                     {&cross_entropy, {3, 3000}, 0},
                                     {&cross_entropy, {40, 72}, LARGE},
                                     {0}};
const struct op_case perf_loss[] = {
    {&cross_entropy, {32, 7}, 0}, {&cross_entropy, {386, 72}, 0}, {&cross_entropy, {128, 30522}, 0}, {0}};
