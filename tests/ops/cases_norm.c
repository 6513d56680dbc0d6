/* cases_norm.c: layer normalisation with dropout and residual, and dropout alone. */
#include <math.h>
#include <string.h>

#include "ops/ref_ops.h"
#include "ops/support_ops.h"

enum { DROPOUT = 1, RESIDUAL = 2, ADD_RESIDUAL = 4, IN_PLACE = 8 };
enum { T, H, B };

static const float eps = 0.03125f; /* large, so that leaving it out shows; exact in float */

/* Sequences of T tokens in all: B of them, the last one takes the rest. */
static void build_rows(struct op_ctx *x, float p) {
    const int64_t tokens = x->c->s[T], sequences = x->c->s[B];
    int32_t *cu = op_ints(x, sequences + 1);
    for (int64_t b = 0; b <= sequences; b++)
        cu[b] = (int32_t)(b == sequences ? tokens : tokens * b / sequences);
    op_dropout_rows(x, cu, sequences, p, false);
    if (!x->reference) return;
    struct op_tensor *kept = op_input(x, "kept", tokens, x->c->s[H]);
    for (int64_t i = 0; i < tokens * x->c->s[H]; i++) {
        const int64_t t = i / x->c->s[H], j = i % x->c->s[H];
        const bool keep =
            op_kept(x, (uint32_t)x->dropout.ordinal[t], 0, (uint32_t)x->dropout.position[t], (uint32_t)j);
        kept->d[i] = keep ? 65536.0 / (65536.0 - x->dropout.threshold) : 0.0;
    }
}

static const struct berth_dropout *dropout_of(const struct op_ctx *x) {
    return x->c->flags & DROPOUT ? &x->dropout : NULL;
}

static const double *kept_of(struct op_ctx *x) {
    return x->c->flags & DROPOUT ? op_d(x, "kept") : NULL;
}

static void norm_build(struct op_ctx *x) {
    const int64_t t = x->c->s[T], h = x->c->s[H];
    build_rows(x, 0.1f);
    op_input(x, "x", t, h);
    op_range(x, op_input(x, "residual", t, h), -2, 3);
    op_range(x, op_input(x, "gamma", 1, h), 0.5, 1.5);
    op_input(x, "beta", 1, h);
    op_input(x, "dy", t, h);
    op_output(x, "y", t, h);
    op_output(x, "pre", t, h);
    op_output(x, "mean", t, 1)->tolerance = 4e-6; /* means nearly cancel */
    op_output(x, "rstd", t, 1);
    op_output(x, "dx", t, h)->tolerance = 4e-6;
    struct op_tensor *dres =
        x->c->flags & ADD_RESIDUAL ? op_added(x, "dres", t, h) : op_output(x, "dres", t, h);
    dres->tolerance = 4e-6;
    op_added(x, "dgamma", 1, h);
    op_added(x, "dbeta", 1, h);
    op_activations(x, "x residual dy y pre dx dres");
}

static void norm_forward(struct op_ctx *x) {
    ref_layernorm(op_d(x, "y"), op_d(x, "pre"), op_d(x, "mean"), op_d(x, "rstd"), op_d(x, "x"),
                  x->c->flags & RESIDUAL ? op_d(x, "residual") : NULL, op_d(x, "gamma"), op_d(x, "beta"),
                  kept_of(x), x->c->s[T], x->c->s[H], (double)eps);
}

static void norm_backward(struct op_ctx *x) {
    struct op_tensor *dres = op_find(x, "dres");
    ref_layernorm_backward(op_d(x, "dx"), dres->d, op_d(x, "dgamma"), op_d(x, "dbeta"), op_d(x, "dy"),
                           op_d(x, "pre"), op_d(x, "gamma"), kept_of(x), x->c->s[T], x->c->s[H], (double)eps);
    for (int64_t i = 0; i < dres->rows * dres->columns; i++)
        dres->d[i] += dres->first[i];
}

static int norm_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    return ops->layernorm_forward(op_a(x, "y"), op_a(x, "pre"), op_f(x, "mean"), op_f(x, "rstd"), op_a(x, "x"),
                                  x->c->flags & RESIDUAL ? op_a(x, "residual") : NULL, op_f(x, "gamma"),
                                  op_f(x, "beta"), x->c->s[T], x->c->s[H], eps, dropout_of(x), x->dtype,
                                  stream);
}

static int norm_back_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    void *dy = op_a(x, "dy"), *dx = op_a(x, "dx");
    if (x->c->flags & IN_PLACE) {
        op_copy(x, "dx", "dy");
        dy = dx;
    }
    return ops->layernorm_backward(dx, op_a(x, "dres"), dy, op_a(x, "pre"), op_f(x, "mean"), op_f(x, "rstd"),
                                   op_f(x, "gamma"), x->c->s[T], x->c->s[H], (x->c->flags & ADD_RESIDUAL) != 0,
                                   dropout_of(x), x->dtype, stream);
}

static int norm_param_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    void *workspace = op_workspace(x, ops->layernorm_param_workspace(x->c->s[T], x->c->s[H]));
    return ops->layernorm_param_backward(op_f(x, "dgamma"), op_f(x, "dbeta"), op_a(x, "dy"), op_a(x, "pre"),
                                         op_f(x, "mean"), op_f(x, "rstd"), workspace, x->c->s[T], x->c->s[H],
                                         x->dtype, stream);
}

/* Variants of the call give the same values: nothing saved, in place, only one of the gradients. */
static bool norm_variants(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    const size_t bytes = (size_t)(x->c->s[T] * x->c->s[H]) * sizeof(float);
    const float *residual = x->c->flags & RESIDUAL ? op_f(x, "residual") : NULL;
    float *y = op_f(x, "y"), *pre = op_f(x, "pre"), *dx = op_f(x, "dx"), *dres = op_f(x, "dres");
    if (bytes == 0) return true;
    if (norm_call(x, ops, stream) != 0 || norm_back_call(x, ops, stream) != 0) return false;
    /* dx holds the forward's result without saving, dres with pre in x's memory */
    ops->layernorm_forward(dx, NULL, NULL, NULL, op_f(x, "x"), residual, op_f(x, "gamma"), op_f(x, "beta"),
                           x->c->s[T], x->c->s[H], eps, dropout_of(x), BERTH_F32, stream);
    if (!op_wait(x)) return false; /* pre is the host's to write */
    memcpy(pre, op_f(x, "x"), bytes);
    ops->layernorm_forward(dres, pre, op_f(x, "mean"), op_f(x, "rstd"), pre, residual, op_f(x, "gamma"),
                           op_f(x, "beta"), x->c->s[T], x->c->s[H], eps, dropout_of(x), BERTH_F32, stream);
    if (!op_wait(x)) return false;
    if (memcmp(dx, y, bytes) != 0 || memcmp(dres, y, bytes) != 0) {
        snprintf(x->message, sizeof x->message, "forward without saving, or with pre in place, differs");
        return false;
    }
    op_restart(x);
    norm_call(x, ops, stream);
    norm_back_call(x, ops, stream);
    ops->layernorm_backward(y, NULL, op_f(x, "dy"), pre, op_f(x, "mean"), op_f(x, "rstd"), op_f(x, "gamma"),
                            x->c->s[T], x->c->s[H], 0, dropout_of(x), BERTH_F32, stream);
    if (!op_wait(x)) return false;
    for (int64_t i = 0; i < x->c->s[T] * x->c->s[H]; i++) {
        if (fabsf(y[i] - dx[i]) <= 1e-5f * (1 + fabsf(dx[i]))) continue;
        snprintf(x->message, sizeof x->message, "dx without dresidual: %g and %g at %lld", (double)y[i],
                 (double)dx[i], (long long)i);
        return false;
    }
    return true;
}

static double norm_bytes(const struct op_ctx *x) {
    return (double)x->c->s[T] * (double)x->c->s[H] * 16;
}

static double param_bytes(const struct op_ctx *x) {
    return (double)x->c->s[T] * (double)x->c->s[H] * 8;
}

static const struct op_kind layernorm = {
    .name = "layernorm",
    .sizes = "T H B",
    .flags = "dropout residual add in-place",
    .build = norm_build,
    .forward = norm_forward,
    .backward = norm_backward,
    .steps = {{"forward", norm_call, NULL, norm_bytes},
              {"backward", norm_back_call, NULL, norm_bytes},
              {"params", norm_param_call, NULL, param_bytes}},
    .outputs = {{"y", "dy"}},
    .inputs = {{"x", "dx"}, {"gamma", "dgamma"}, {"beta", "dbeta"}, {"residual", "dres"}},
    .property = norm_variants};

/* Without a residual its gradient is still that of pre, so there is nothing to check it against. */
static const struct op_kind layernorm_alone = {.name = "layernorm-alone",
                                               .sizes = "T H B",
                                               .flags = "dropout residual add in-place",
                                               .build = norm_build,
                                               .forward = norm_forward,
                                               .backward = norm_backward,
                                               .steps = {{"forward", norm_call, NULL, norm_bytes},
                                                         {"backward", norm_back_call, NULL, norm_bytes},
                                                         {"params", norm_param_call, NULL, param_bytes}},
                                               .outputs = {{"y", "dy"}},
                                               .inputs = {{"x", "dx"}, {"gamma", "dgamma"}, {"beta", "dbeta"}}};

/* ------------------------------------------------------------------ dropout alone */

static const float drop_share = 0.3f;

static void drop_build(struct op_ctx *x) {
    build_rows(x, drop_share);
    op_range(x, op_input(x, "x", x->c->s[T], x->c->s[H]), 0.5, 1.5); /* no zeros: the result shows the mask */
    op_output(x, "y", x->c->s[T], x->c->s[H])->tolerance = 1e-7;
    op_activations(x, "x y");
}

static void drop_forward(struct op_ctx *x) {
    for (int64_t i = 0; i < x->c->s[T] * x->c->s[H]; i++)
        op_d(x, "y")[i] = op_d(x, "x")[i] * op_d(x, "kept")[i];
}

static int drop_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    return ops->dropout(op_a(x, "y"), op_a(x, "x"), x->c->s[T], x->c->s[H], &x->dropout, x->dtype, stream);
}

/* The mask bit by bit; the share kept within five deviations; the same mask for the same example elsewhere in
 * the batch; threshold 0 changes nothing. */
static bool drop_mask(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    const int64_t tokens = x->c->s[T], hidden = x->c->s[H], n = tokens * hidden;
    float *y = op_f(x, "y");
    int64_t kept = 0;
    if (n == 0) return true;
    drop_call(x, ops, stream);
    if (!op_wait(x)) return false;
    for (int64_t i = 0; i < n; i++) {
        const bool keep = op_d(x, "kept")[i] != 0;
        kept += keep;
        if (keep == (y[i] != 0)) continue;
        snprintf(x->message, sizeof x->message, "mask[%lld,%lld] is %d, philox.h says %d",
                 (long long)(i / hidden), (long long)(i % hidden), y[i] != 0, keep);
        return false;
    }
    const double share = 1 - (double)x->dropout.threshold / 65536, mean = share * (double)n;
    if (fabs((double)kept - mean) > 5 * sqrt(mean * (1 - share)) + 1) {
        snprintf(x->message, sizeof x->message, "%lld of %lld kept, expected %.0f", (long long)kept,
                 (long long)n, mean);
        return false;
    }
    /* the last row alone, as row 0 of a batch of one token */
    struct berth_dropout moved = x->dropout;
    float *row = op_f(x, "y");
    moved.ordinal += tokens - 1;
    moved.position += tokens - 1;
    ops->dropout(row, op_f(x, "x") + (tokens - 1) * hidden, 1, hidden, &moved, BERTH_F32, stream);
    if (!op_wait(x)) return false;
    for (int64_t j = 0; j < hidden; j++) {
        if ((row[j] != 0) == (op_d(x, "kept")[(tokens - 1) * hidden + j] != 0)) continue;
        snprintf(x->message, sizeof x->message, "the mask of a row changes with its place, column %lld",
                 (long long)j);
        return false;
    }
    moved.threshold = 0;
    ops->dropout(y, op_f(x, "x"), tokens, hidden, &moved, BERTH_F32, stream);
    if (!op_wait(x)) return false;
    if (memcmp(y, op_f(x, "x"), (size_t)n * sizeof(float)) == 0) return true;
    snprintf(x->message, sizeof x->message, "threshold 0 changes values");
    return false;
}

static double drop_bytes(const struct op_ctx *x) {
    return (double)x->c->s[T] * (double)x->c->s[H] * 8;
}

static const struct op_kind dropout = {.name = "dropout",
                                       .sizes = "T H B",
                                       .build = drop_build,
                                       .forward = drop_forward,
                                       .steps = {{"forward", drop_call, NULL, drop_bytes}},
                                       .property = drop_mask};

#define NORM(t, h, b)                                                                                          \
    {&layernorm_alone, {t, h, b}, 0}, {&layernorm, {t, h, b}, RESIDUAL | DROPOUT},                             \
        {&layernorm, {t, h, b}, RESIDUAL | ADD_RESIDUAL},                                                      \
        {&layernorm, {t, h, b}, DROPOUT | RESIDUAL | ADD_RESIDUAL | IN_PLACE}, {                               \
        &layernorm_alone, {t, h, b}, DROPOUT                                                                   \
    }
const struct op_case cases_norm[] = {NORM(1, 24, 1),
                                     NORM(3, 40, 3),
                                     NORM(17, 100, 2),
                                     NORM(257, 100, 4),
                                     NORM(130, 768, 9),
                                     {&layernorm, {5, 256, 2}, RESIDUAL | DROPOUT},
                                     {&layernorm, {5, 384, 2}, RESIDUAL | DROPOUT | ADD_RESIDUAL},
                                     {&layernorm, {3, 1024, 1}, RESIDUAL | DROPOUT | IN_PLACE},
                                     {&layernorm, {3, 2056, 1}, RESIDUAL | DROPOUT | ADD_RESIDUAL},
                                     {&layernorm, {0, 24, 1}, RESIDUAL | DROPOUT},
                                     {&dropout, {0, 24, 1}, 0},
                                     {&dropout, {1, 24, 1}, 0},
                                     {&dropout, {3, 7, 1}, 0},
                                     {&dropout, {17, 100, 3}, 0},
                                     {&dropout, {257, 768, 5}, 0},
                                     {0}};
const struct op_case perf_norm[] = {{&layernorm, {386, 384, 32}, RESIDUAL},
                                    {&layernorm, {386, 384, 32}, RESIDUAL | DROPOUT},
                                    {&layernorm, {1024, 768, 8}, RESIDUAL},
                                    {&layernorm, {1024, 768, 8}, RESIDUAL | DROPOUT},
                                    {&dropout, {386, 384, 32}, 0},
                                    {&dropout, {1024, 768, 8}, 0},
                                    {0}};
