/* cases_act.c: activations with and without the bias of the layer before. */
#include "ops/ref_ops.h"
#include "ops/support_ops.h"

enum { BIAS = 1, IN_PLACE = 2, WIDE = 4 }; /* WIDE: arguments of +-30 */
enum { T, N, KIND };

static void build(struct op_ctx *x) {
    const double reach = x->c->flags & WIDE ? 30 : 6;
    op_range(x, op_input(x, "x", x->c->s[T], x->c->s[N]), -reach, reach);
    op_input(x, "bias", 1, x->c->s[N]);
    op_input(x, "dy", x->c->s[T], x->c->s[N]);
    op_output(x, "y", x->c->s[T], x->c->s[N]);
    op_output(x, "dx", x->c->s[T], x->c->s[N]);
    op_activations(x, "x dy y dx");
}

static enum berth_activation kind_of(const struct op_ctx *x) {
    return (enum berth_activation)x->c->s[KIND];
}

static double argument(struct op_ctx *x, int64_t i) {
    return op_d(x, "x")[i] + (x->c->flags & BIAS ? op_d(x, "bias")[i % x->c->s[N]] : 0);
}

static void forward(struct op_ctx *x) {
    for (int64_t i = 0; i < x->c->s[T] * x->c->s[N]; i++)
        op_d(x, "y")[i] = ref_activation(argument(x, i), kind_of(x));
}

static void backward(struct op_ctx *x) {
    for (int64_t i = 0; i < x->c->s[T] * x->c->s[N]; i++)
        op_d(x, "dx")[i] = op_d(x, "dy")[i] * ref_activation_slope(argument(x, i), kind_of(x));
}

static const float *bias_of(struct op_ctx *x) {
    return x->c->flags & BIAS ? op_f(x, "bias") : NULL;
}

static int call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    void *y = op_a(x, "y"), *in = op_a(x, "x");
    if (x->c->flags & IN_PLACE) {
        op_copy(x, "y", "x");
        in = y;
    }
    return ops->act_forward(y, in, bias_of(x), x->c->s[T], x->c->s[N], kind_of(x), x->dtype, stream);
}

static int back_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    void *dx = op_a(x, "dx"), *dy = op_a(x, "dy");
    if (x->c->flags & IN_PLACE) {
        op_copy(x, "dx", "dy");
        dy = dx;
    }
    return ops->act_backward(dx, dy, op_a(x, "x"), bias_of(x), x->c->s[T], x->c->s[N], kind_of(x), x->dtype,
                             stream);
}

static double bytes(const struct op_ctx *x) {
    return (double)x->c->s[T] * (double)x->c->s[N] * 8;
}

static double back_bytes(const struct op_ctx *x) {
    return (double)x->c->s[T] * (double)x->c->s[N] * 12;
}

static const struct op_kind activation = {
    .name = "activation",
    .sizes = "T N kind",
    .flags = "bias in-place wide",
    .build = build,
    .forward = forward,
    .backward = backward,
    .steps = {{"forward", call, NULL, bytes}, {"backward", back_call, NULL, back_bytes}},
    .outputs = {{"y", "dy"}},
    .inputs = {{"x", "dx"}}};

#define KINDS(t, n, flags)                                                                                     \
    {&activation, {t, n, 0}, flags}, {&activation, {t, n, 1}, flags}, {&activation, {t, n, 2}, flags},         \
        {&activation, {t, n, 3}, flags}, {&activation, {t, n, 4}, flags}, {                                    \
        &activation, {t, n, 5}, flags                                                                          \
    }
const struct op_case cases_act[] = {KINDS(1, 24, 0),
                                    KINDS(3, 40, BIAS),
                                    KINDS(17, 100, BIAS | IN_PLACE),
                                    KINDS(257, 40, IN_PLACE),
                                    KINDS(3, 7, WIDE),
                                    KINDS(19, 4200, BIAS | WIDE),
                                    KINDS(0, 24, BIAS),
                                    {0}};
const struct op_case perf_act[] = {
    {&activation, {386, 1536, BERTH_ACT_GELU}, 0},     {&activation, {1024, 3072, BERTH_ACT_GELU}, 0},
    {&activation, {1024, 3072, BERTH_ACT_GELU}, BIAS}, {&activation, {1024, 3072, BERTH_ACT_GELU_TANH}, 0},
    {&activation, {32, 768, BERTH_ACT_TANH}, 0},       {0}};
