/* cases_gemm.c: matrix products: three forms, bias, accumulation, leading dimensions longer than the rows. */
#include <stdlib.h>

#include "ops/ref_ops.h"
#include "ops/support_ops.h"

enum { BIAS = 1, ACCUMULATE = 2, STRIDED = 4 };
enum { M, N, K, FORM };

static int64_t extra(const struct op_ctx *x) {
    return x->c->flags & STRIDED ? 5 : 0;
}

static int64_t a_rows(const struct op_ctx *x) {
    return x->c->s[FORM] == BERTH_GEMM_TN ? x->c->s[K] : x->c->s[M];
}

static int64_t a_columns(const struct op_ctx *x) {
    return x->c->s[FORM] == BERTH_GEMM_TN ? x->c->s[M] : x->c->s[K];
}

static int64_t b_rows(const struct op_ctx *x) {
    return x->c->s[FORM] == BERTH_GEMM_NT ? x->c->s[N] : x->c->s[K];
}

static int64_t b_columns(const struct op_ctx *x) {
    return x->c->s[FORM] == BERTH_GEMM_NT ? x->c->s[K] : x->c->s[N];
}

static void build(struct op_ctx *x) {
    const int64_t *s = x->c->s;
    op_input(x, "a", a_rows(x), a_columns(x) + extra(x));
    op_input(x, "b", b_rows(x), b_columns(x) + extra(x));
    if (x->c->flags & BIAS) op_input(x, "bias", 1, s[N]);
    /* With a leading dimension, the columns behind a row of c must stay: an added output shows that. */
    struct op_tensor *c = x->c->flags & (ACCUMULATE | STRIDED) ? op_added(x, "c", s[M], s[N] + extra(x))
                                                               : op_output(x, "c", s[M], s[N]);
    c->tolerance = 2e-6;
    op_activations(x, "a b c");
}

/* The columns that belong to the matrix, back to back. */
static double *dense(struct op_ctx *x, const double *from, int64_t rows, int64_t columns) {
    double *to = NULL;
    BERTH_ASSERT(berth_calloc(&to, (size_t)(rows * columns), sizeof *to) == BERTH_OK);
    for (int64_t i = 0; i < rows * columns; i++)
        to[i] = from[i / columns * (columns + extra(x)) + i % columns];
    return to;
}

static void forward(struct op_ctx *x) {
    const int64_t *s = x->c->s;
    struct op_tensor *out = op_find(x, "c");
    double *a = dense(x, op_d(x, "a"), a_rows(x), a_columns(x));
    double *b = dense(x, op_d(x, "b"), b_rows(x), b_columns(x));
    double *c = dense(x, out->first, s[M], s[N]);
    ref_gemm(c, a, b, x->c->flags & BIAS ? op_d(x, "bias") : NULL, s[M], s[N], s[K],
             (enum berth_gemm_form)s[FORM], x->c->flags & ACCUMULATE);
    for (int64_t i = 0; i < s[M] * (s[N] + extra(x)); i++)
        out->d[i] = out->first[i];
    for (int64_t i = 0; i < s[M] * s[N]; i++)
        out->d[i / s[N] * (s[N] + extra(x)) + i % s[N]] = c[i];
    free(a);
    free(b);
    free(c);
}

static int call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    const int64_t *s = x->c->s;
    return ops->gemm(op_a(x, "c"), op_a(x, "a"), op_a(x, "b"), x->c->flags & BIAS ? op_f(x, "bias") : NULL,
                     s[M], s[N], s[K], a_columns(x) + extra(x), b_columns(x) + extra(x), s[N] + extra(x),
                     (enum berth_gemm_form)s[FORM], (x->c->flags & ACCUMULATE) != 0, x->dtype, x->dtype,
                     stream);
}

static double flops(const struct op_ctx *x) {
    return 2.0 * (double)x->c->s[M] * (double)x->c->s[N] * (double)x->c->s[K];
}

static const struct op_kind gemm = {.name = "gemm",
                                    .sizes = "M N K form",
                                    .flags = "bias add strided",
                                    .build = build,
                                    .forward = forward,
                                    .steps = {{"product", call, flops, NULL}}};

#define FORMS(m, n, k, flags)                                                                                  \
    {&gemm, {m, n, k, 0}, flags}, {&gemm, {m, n, k, 1}, flags}, {                                              \
        &gemm, {m, n, k, 2}, flags                                                                             \
    }
const struct op_case cases_gemm[] = {FORMS(1, 1, 1, 0),
                                     FORMS(3, 2, 24, BIAS),
                                     FORMS(17, 40, 24, ACCUMULATE),
                                     FORMS(1, 768, 768, BIAS),
                                     FORMS(17, 7, 768, BIAS),
                                     FORMS(33, 9, 500, 0),     /* one row is left, TN: it is strided */
                                     FORMS(40, 1, 2000, BIAS), /* one column */
                                     FORMS(1, 300, 400, STRIDED),
                                     FORMS(300, 1, 400, STRIDED),
                                     FORMS(70, 513, 200, 0), /* one column of tiles is one column */
                                     FORMS(257, 72, 100, 0),
                                     FORMS(257, 100, 40, STRIDED),
                                     FORMS(300, 384, 384, BIAS),
                                     FORMS(12, 768, 257, 0),
                                     FORMS(7, 768, 257, ACCUMULATE),
                                     FORMS(130, 513, 270, BIAS | ACCUMULATE),
                                     FORMS(129, 260, 515, STRIDED | ACCUMULATE | BIAS),
                                     FORMS(100, 40, 0, BIAS),
                                     FORMS(0, 40, 24, 0),
                                     FORMS(48, 64, 1030, ACCUMULATE),
                                     {0}};

#define LAYER(t, n, k)                                                                                         \
    {&gemm, {t, n, k, 0}, BIAS}, {&gemm, {t, k, n, 1}, 0}, {                                                   \
        &gemm, {n, k, t, 2}, ACCUMULATE                                                                        \
    }
#define MODEL(t, h) LAYER(t, 3 * (h), h), LAYER(t, h, h), LAYER(t, 4 * (h), h), LAYER(t, h, 4 * (h))
const struct op_case perf_gemm[] = {
    MODEL(386, 384),    MODEL(700, 384),   MODEL(1024, 384),    MODEL(386, 768),     MODEL(1024, 768),
    LAYER(386, 7, 384), LAYER(32, 7, 384), LAYER(32, 384, 384), LAYER(32, 768, 768), {0}};
