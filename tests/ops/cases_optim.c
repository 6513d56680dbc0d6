/* cases_optim.c: what the optimizers do to parameters. */
#include <math.h>
#include <string.h>

#include "ops/support_ops.h"

enum { N };

/* ------------------------------------------------------------------ AdamW, the third step of a run */

static const double lr = 0.01, beta1 = 0.9, beta2 = 0.999, eps = 1e-6, decay = 0.01;

static void adamw_build(struct op_ctx *x) {
    op_input(x, "g", 1, x->c->s[N]);
    op_range(x, op_input(x, "clip", 1, 1), 0.5, 1);
    op_added(x, "p", 1, x->c->s[N]);
    op_added(x, "m", 1, x->c->s[N]);
    op_range(x, op_added(x, "v", 1, x->c->s[N]), 0, 1);
}

static void adamw_forward(struct op_ctx *x) {
    struct op_tensor *p = op_find(x, "p"), *m = op_find(x, "m"), *v = op_find(x, "v");
    for (int64_t i = 0; i < x->c->s[N]; i++) {
        const double g = op_d(x, "g")[i] * op_d(x, "clip")[0];
        m->d[i] = beta1 * m->first[i] + (1 - beta1) * g;
        v->d[i] = beta2 * v->first[i] + (1 - beta2) * g * g;
        const double m_hat = m->d[i] / (1 - pow(beta1, 3)), v_hat = v->d[i] / (1 - pow(beta2, 3));
        p->d[i] = p->first[i] - lr * (m_hat / (sqrt(v_hat) + eps) + decay * p->first[i]);
    }
}

static int adamw_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    return ops->adamw(op_f(x, "p"), op_f(x, "m"), op_f(x, "v"), op_f(x, "g"), op_f(x, "clip"), x->c->s[N],
                      (float)lr, (float)beta1, (float)beta2, (float)eps, (float)decay,
                      (float)(1 - pow(beta1, 3)), (float)(1 - pow(beta2, 3)), stream);
}

static double adamw_bytes(const struct op_ctx *x) {
    return (double)x->c->s[N] * 28;
}

static const struct op_kind adamw = {.name = "adamw",
                                     .sizes = "N",
                                     .build = adamw_build,
                                     .forward = adamw_forward,
                                     .steps = {{"update", adamw_call, NULL, adamw_bytes}}};

/* The same with the copy in bf16, and the factor by clip: of norms 3, 4 and 12, so 13, at most 6.5 or without a
 * limit; not a number: nothing changes. */
enum { CLIPPED = 1, NOT_FINITE = 2 };

static void half_build(struct op_ctx *x) {
    adamw_build(x);
    op_output(x, "half", 1, x->c->s[N]);
    op_output(x, "scale", 1, 1)->tolerance = 1e-6;
    op_output(x, "norm", 1, 1);
    op_activations(x, "half");
    if (x->dtype == BERTH_F32) op_find(x, "half")->tolerance = 4e-3; /* a copy is bf16 all the same */
}

static void half_forward(struct op_ctx *x) {
    const bool finite = !(x->c->flags & NOT_FINITE);
    op_d(x, "norm")[0] = finite ? 13 : -1;
    op_d(x, "scale")[0] = !finite ? -1 : x->c->flags & CLIPPED ? 6.5 / (13 + 1e-6) : 1;
    op_d(x, "clip")[0] = op_d(x, "scale")[0];
    adamw_forward(x);
    static const char *const names[] = {"p", "m", "v"};
    for (int i = 0; i < 3 && !finite; i++)
        for (int64_t k = 0; k < x->c->s[N]; k++)
            op_d(x, names[i])[k] = op_find(x, names[i])->first[k];
    for (int64_t k = 0; k < x->c->s[N]; k++)
        op_d(x, "half")[k] = finite ? op_d(x, "p")[k] : 7;
}

static float float_of_half(uint16_t half) {
    const uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static int half_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    const int64_t n = x->c->s[N];
    double *squares = op_block(x, 4 * sizeof *squares), *norm = squares + 3;
    uint16_t *half = op_block(x, (size_t)(n + 1) * sizeof *half);
    squares[0] = 9, squares[1] = x->c->flags & NOT_FINITE ? (double)INFINITY : 16, squares[2] = 144;
    for (int64_t i = 0; i < n; i++)
        half[i] = 0x40E0; /* 7 */
    int error = ops->clip(op_f(x, "scale"), norm, squares, 3, x->c->flags & CLIPPED ? 6.5 : 0, stream);
    error |= ops->adamw_half(op_f(x, "p"), half, op_f(x, "m"), op_f(x, "v"), op_f(x, "g"), op_f(x, "scale"), n,
                             (float)lr, (float)beta1, (float)beta2, (float)eps, (float)decay,
                             (float)(1 - pow(beta1, 3)), (float)(1 - pow(beta2, 3)), stream);
    if (error != 0 || !op_wait(x)) return error != 0 ? error : -1;
    op_f(x, "norm")[0] = isfinite(*norm) ? (float)*norm : -1;
    if (isnan(op_f(x, "scale")[0])) op_f(x, "scale")[0] = -1;
    for (int64_t i = 0; i < n; i++)
        if (x->dtype == BERTH_F32)
            op_f(x, "half")[i] = float_of_half(half[i]);
        else
            ((uint16_t *)op_a(x, "half"))[i] = half[i];
    return 0;
}

static double half_bytes(const struct op_ctx *x) {
    return (double)x->c->s[N] * 30;
}

static const struct op_kind adamw_half = {.name = "adamw_half",
                                          .sizes = "N",
                                          .flags = "clipped infinite",
                                          .build = half_build,
                                          .forward = half_forward,
                                          .steps = {{"update", half_call, NULL, half_bytes}}};

/* ------------------------------------------------------------------ SGD, Lion, averages */

enum { NESTEROV = 1 };

static void momentum_build(struct op_ctx *x) {
    op_input(x, "g", 1, x->c->s[N]);
    op_range(x, op_input(x, "clip", 1, 1), 0.5, 1);
    op_added(x, "p", 1, x->c->s[N]);
    op_added(x, "m", 1, x->c->s[N]);
}

static void sgd_forward(struct op_ctx *x) {
    struct op_tensor *p = op_find(x, "p"), *m = op_find(x, "m");
    for (int64_t i = 0; i < x->c->s[N]; i++) {
        const double g = op_d(x, "g")[i] * op_d(x, "clip")[0] + decay * p->first[i];
        m->d[i] = beta1 * m->first[i] + g;
        p->d[i] = p->first[i] - lr * (x->c->flags & NESTEROV ? g + beta1 * m->d[i] : m->d[i]);
    }
}

static int sgd_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    return ops->sgd(op_f(x, "p"), op_f(x, "m"), op_f(x, "g"), op_f(x, "clip"), x->c->s[N], (float)lr,
                    (float)beta1, (x->c->flags & NESTEROV) != 0, (float)decay, stream);
}

static void lion_forward(struct op_ctx *x) {
    struct op_tensor *p = op_find(x, "p"), *m = op_find(x, "m");
    for (int64_t i = 0; i < x->c->s[N]; i++) {
        const double g = op_d(x, "g")[i] * op_d(x, "clip")[0];
        const double ahead = beta1 * m->first[i] + (1 - beta1) * g;
        m->d[i] = beta2 * m->first[i] + (1 - beta2) * g;
        p->d[i] = p->first[i] - lr * ((ahead > 0) - (ahead < 0) + decay * p->first[i]);
    }
}

static int lion_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    return ops->lion(op_f(x, "p"), op_f(x, "m"), op_f(x, "g"), op_f(x, "clip"), x->c->s[N], (float)lr,
                     (float)beta1, (float)beta2, (float)decay, stream);
}

static double momentum_bytes(const struct op_ctx *x) {
    return (double)x->c->s[N] * 20;
}

static const struct op_kind sgd = {.name = "sgd",
                                   .sizes = "N",
                                   .flags = "nesterov",
                                   .build = momentum_build,
                                   .forward = sgd_forward,
                                   .steps = {{"update", sgd_call, NULL, momentum_bytes}}};
static const struct op_kind lion = {.name = "lion",
                                    .sizes = "N",
                                    .build = momentum_build,
                                    .forward = lion_forward,
                                    .steps = {{"update", lion_call, NULL, momentum_bytes}}};

static void average_build(struct op_ctx *x) {
    op_input(x, "p", 1, x->c->s[N]);
    op_added(x, "e", 1, x->c->s[N]);
}

static void average_forward(struct op_ctx *x) {
    struct op_tensor *e = op_find(x, "e");
    for (int64_t i = 0; i < x->c->s[N]; i++)
        e->d[i] = e->first[i] + 0.25 * (op_d(x, "p")[i] - e->first[i]);
}

static int average_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    return ops->average(op_f(x, "e"), op_f(x, "p"), x->c->s[N], 0.25f, stream);
}

static double average_bytes(const struct op_ctx *x) {
    return (double)x->c->s[N] * 12;
}

static const struct op_kind average = {.name = "average",
                                       .sizes = "N",
                                       .build = average_build,
                                       .forward = average_forward,
                                       .steps = {{"update", average_call, NULL, average_bytes}}};

#define LENGTHS(kind, flags)                                                                                   \
    {&kind, {0}, flags}, {&kind, {1}, flags}, {&kind, {17}, flags}, {&kind, {4099}, flags}, {                  \
        &kind, {100003}, flags                                                                                 \
    }
const struct op_case cases_optim[] = {LENGTHS(adamw, 0),
                                      LENGTHS(adamw_half, CLIPPED),
                                      LENGTHS(adamw_half, 0),
                                      LENGTHS(adamw_half, NOT_FINITE),
                                      LENGTHS(sgd, 0),
                                      LENGTHS(sgd, NESTEROV),
                                      LENGTHS(lion, 0),
                                      LENGTHS(average, 0),
                                      {0}};
const struct op_case perf_optim[] = {{&adamw, {20000000}, 0},   {&adamw_half, {20000000}, CLIPPED},
                                     {&sgd, {20000000}, 0},     {&lion, {20000000}, 0},
                                     {&average, {20000000}, 0}, {0}};
