/* cases_flat.c: sums and simple elementwise operations. The kind `scale` is the example to copy. */
#include <math.h>

#include "ops/ref_ops.h"
#include "ops/support_ops.h"

enum { N };

static double bytes4(const struct op_ctx *x) {
    return (double)x->c->s[N] * 4;
}

static double bytes8(const struct op_ctx *x) {
    return (double)x->c->s[N] * 8;
}

static double bytes12(const struct op_ctx *x) {
    return (double)x->c->s[N] * 12;
}

/* ------------------------------------------------------------------ scale: x *= 3 */

static void scale_build(struct op_ctx *x) {
    op_added(x, "x", 1, x->c->s[N]);
}

static void scale_forward(struct op_ctx *x) {
    struct op_tensor *t = op_find(x, "x");
    for (int64_t i = 0; i < x->c->s[N]; i++)
        t->d[i] = t->first[i] * 3;
}

static int scale_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    return ops->scale(op_f(x, "x"), 3.0f, x->c->s[N], stream);
}

static const struct op_kind scale = {.name = "scale",
                                     .sizes = "N",
                                     .build = scale_build,
                                     .forward = scale_forward,
                                     .steps = {{"scale", scale_call, NULL, bytes8}}};

/* ------------------------------------------------------------------ fill, add, broadcast */

static void simple_build(struct op_ctx *x) {
    op_input(x, "x", 1, x->c->s[N]);
    op_input(x, "dloss", 1, 1);
    op_output(x, "filled", 1, x->c->s[N]);
    op_output(x, "spread", 1, x->c->s[N]);
    op_added(x, "sum", 1, x->c->s[N]);
    op_activations(x, "x sum");
}

static void simple_forward(struct op_ctx *x) {
    for (int64_t i = 0; i < x->c->s[N]; i++) {
        op_d(x, "filled")[i] = -2.5;
        op_d(x, "spread")[i] = op_d(x, "dloss")[0] * 0.25;
        op_d(x, "sum")[i] = op_find(x, "sum")->first[i] + op_d(x, "x")[i];
    }
}

static int fill_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    return ops->fill(op_f(x, "filled"), -2.5f, x->c->s[N], stream);
}

static int add_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    return ops->add(op_a(x, "sum"), op_a(x, "x"), x->c->s[N], x->dtype, stream);
}

static int broadcast_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    return ops->broadcast(op_f(x, "spread"), op_f(x, "dloss"), x->c->s[N], 0.25f, stream);
}

/* An element type that nobody has is refused, with its own error number. */
static bool refuses_unknown(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    const enum berth_dtype unknown = (enum berth_dtype)7;
    if (ops->add(op_f(x, "sum"), op_f(x, "x"), x->c->s[N], unknown, stream) == BERTH_CPU_E_DTYPE ||
        x->c->s[N] == 0)
        return true;
    snprintf(x->message, sizeof x->message, "add of an unknown element type is not refused");
    return false;
}

static const struct op_kind simple = {.name = "elementwise",
                                      .sizes = "N",
                                      .build = simple_build,
                                      .forward = simple_forward,
                                      .steps = {{"fill", fill_call, NULL, bytes4},
                                                {"add", add_call, NULL, bytes12},
                                                {"broadcast", broadcast_call, NULL, bytes4}},
                                      .property = refuses_unknown};

/* ------------------------------------------------------------------ sums of a flat array */

enum { ACCUMULATE = 1 };

static void sums_build(struct op_ctx *x) {
    op_range(x, op_input(x, "x", 1, x->c->s[N]), -1, 2);
    op_input(x, "y", 1, x->c->s[N]);
    op_output(x, "squares", 1, 1)->tolerance = 1e-7;
    op_output(x, "dot", 1, 1)->absolute = 1e-6; /* the sum may cancel; in float only when it is handed back */
    if (x->c->flags & ACCUMULATE)
        op_added(x, "sum", 1, 1);
    else
        op_output(x, "sum", 1, 1);
}

static void sums_forward(struct op_ctx *x) {
    struct op_tensor *sum = op_find(x, "sum");
    double squares = 0, plain = 0;
    for (int64_t i = 0; i < x->c->s[N]; i++) {
        squares += pow(op_d(x, "x")[i], 2);
        plain += op_d(x, "x")[i];
    }
    op_d(x, "squares")[0] = squares;
    op_d(x, "dot")[0] = 0;
    for (int64_t i = 0; i < x->c->s[N]; i++)
        op_d(x, "dot")[0] += op_d(x, "x")[i] * op_d(x, "y")[i];
    sum->d[0] = 0.125 * plain + (x->c->flags & ACCUMULATE ? sum->first[0] : 0);
}

static int squares_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    double *out = op_block(x, sizeof *out);
    *out = NAN;
    const int error = ops->sum_squares(out, op_f(x, "x"), x->c->s[N], stream);
    if (!op_wait(x)) return -1;
    op_f(x, "squares")[0] = (float)*out;
    return error;
}

static int dot_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    double out = NAN;
    const int error = ops->dot(&out, op_f(x, "x"), op_f(x, "y"), x->c->s[N], stream);
    op_f(x, "dot")[0] = (float)out;
    return error;
}

static int sum_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    return ops->scaled_sum(op_f(x, "sum"), op_f(x, "x"), x->c->s[N], 0.125f, (x->c->flags & ACCUMULATE) != 0,
                           stream);
}

static const struct op_kind sums = {.name = "sums",
                                    .sizes = "N",
                                    .flags = "add",
                                    .build = sums_build,
                                    .forward = sums_forward,
                                    .steps = {{"squares", squares_call, NULL, bytes4},
                                              {"dot", dot_call, NULL, bytes4},
                                              {"sum", sum_call, NULL, bytes4}}};

/* ------------------------------------------------------------------ column sums */

enum { ROWS, COLUMNS };

static void column_build(struct op_ctx *x) {
    op_input(x, "x", x->c->s[ROWS], x->c->s[COLUMNS]);
    struct op_tensor *out = x->c->flags & ACCUMULATE ? op_added(x, "out", 1, x->c->s[COLUMNS])
                                                     : op_output(x, "out", 1, x->c->s[COLUMNS]);
    out->tolerance = 2e-6;
    op_activations(x, "x");
}

static void column_forward(struct op_ctx *x) {
    struct op_tensor *out = op_find(x, "out");
    for (int64_t j = 0; j < x->c->s[COLUMNS]; j++) {
        out->d[j] = x->c->flags & ACCUMULATE ? out->first[j] : 0;
        for (int64_t t = 0; t < x->c->s[ROWS]; t++)
            out->d[j] += op_d(x, "x")[t * x->c->s[COLUMNS] + j];
    }
}

static int column_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    void *workspace = op_workspace(x, ops->column_sum_workspace(x->c->s[ROWS], x->c->s[COLUMNS]));
    return ops->column_sum(op_f(x, "out"), op_a(x, "x"), workspace, x->c->s[ROWS], x->c->s[COLUMNS],
                           (x->c->flags & ACCUMULATE) != 0, x->dtype, stream);
}

static double column_bytes(const struct op_ctx *x) {
    return (double)x->c->s[ROWS] * (double)x->c->s[COLUMNS] * 4;
}

static const struct op_kind column_sum = {.name = "column_sum",
                                          .sizes = "T N",
                                          .flags = "add",
                                          .build = column_build,
                                          .forward = column_forward,
                                          .steps = {{"sum", column_call, NULL, column_bytes}}};

#define LENGTHS(kind, flags)                                                                                   \
    {&kind, {0}, flags}, {&kind, {1}, flags}, {&kind, {17}, flags}, {&kind, {4099}, flags}, {                  \
        &kind, {100003}, flags                                                                                 \
    }
const struct op_case cases_flat[] = {LENGTHS(scale, 0),
                                     LENGTHS(simple, 0),
                                     LENGTHS(sums, 0),
                                     LENGTHS(sums, ACCUMULATE),
                                     {&sums, {5000011}, 0},
                                     {&column_sum, {0, 24}, 0},
                                     {&column_sum, {0, 24}, ACCUMULATE},
                                     {&column_sum, {1, 7}, 0},
                                     {&column_sum, {17, 100}, ACCUMULATE},
                                     {&column_sum, {257, 768}, ACCUMULATE},
                                     {&column_sum, {1000, 40}, 0},
                                     {0}};
const struct op_case perf_flat[] = {{&simple, {20000000}, 0},
                                    {&scale, {20000000}, 0},
                                    {&sums, {20000000}, 0},
                                    {&column_sum, {1024, 3072}, 0},
                                    {&column_sum, {386, 384}, 0},
                                    {&column_sum, {386, 1536}, 0},
                                    {0}};
