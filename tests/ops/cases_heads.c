/* cases_heads.c: losses of heads: focal, binary cross-entropy, errors of numbers, rows of length one and their
 * products, CoSENT, the CRF (against every path alone where they can be counted), the mix of layers. */
#include <math.h>
#include <string.h>

#include "ops/ref_heads.h"
#include "ops/support_ops.h"

enum { R, K };
enum { LABELS, CU, ALPHA };
enum { WEIGHTS = 1, SMOOTH = 2, MASKED = 4, LARGE = 8, GAMMA = 16 };

static int32_t *draw_labels(struct op_ctx *x, int64_t rows, int64_t classes) {
    int32_t *labels = op_ints(x, rows);
    for (int64_t i = 0; i < rows; i++)
        labels[i] = x->c->flags & MASKED && i % 3 == 1 ? -1 : (int32_t)op_below(x, classes);
    return labels;
}

static bool flag(const struct op_ctx *x, unsigned bit) {
    return (x->c->flags & bit) != 0;
}

static double *weights_d(struct op_ctx *x) {
    return flag(x, WEIGHTS) ? op_d(x, "weight") : NULL;
}

static float *weights_f(struct op_ctx *x) {
    return flag(x, WEIGHTS) ? op_f(x, "weight") : NULL;
}

static double row_bytes(const struct op_ctx *x) {
    return (double)x->c->s[R] * (double)x->c->s[K] * 8;
}

/* ------------------------------------------------------------------ focal */

static double focus(const struct op_ctx *x) {
    return flag(x, GAMMA) ? 2 : 0.5;
}

static void focal_build(struct op_ctx *x) {
    const int64_t r = x->c->s[R], k = x->c->s[K];
    draw_labels(x, r, k);
    op_range(x, op_input(x, "z", r, k), flag(x, LARGE) ? -60 : -3, flag(x, LARGE) ? 60 : 3);
    op_range(x, op_input(x, "weight", 1, k), 0.5, 2);
    op_input(x, "dloss", r, 1);
    op_output(x, "loss", r, 1)->tolerance = 3e-6;
    op_output(x, "lse", r, 1);
    struct op_tensor *dz = op_output(x, "dz", r, k);
    dz->tolerance = 5e-6;
    dz->absolute = 2e-7;
    op_activations(x, "z dz");
}

static void focal_forward(struct op_ctx *x) {
    ref_focal(op_d(x, "loss"), op_d(x, "lse"), op_d(x, "z"), x->ints[LABELS], weights_d(x), x->c->s[R],
              x->c->s[K], focus(x));
}

static void focal_backward(struct op_ctx *x) {
    ref_focal_backward(op_d(x, "dz"), op_d(x, "dloss"), op_d(x, "z"), x->ints[LABELS], weights_d(x), x->c->s[R],
                       x->c->s[K], focus(x));
}

static int focal_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    return ops->focal_forward(op_f(x, "loss"), op_f(x, "lse"), op_a(x, "z"), x->ints[LABELS], weights_f(x),
                              x->c->s[R], x->c->s[K], (float)focus(x), x->dtype, stream);
}

static int focal_back(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    return ops->focal_backward(op_a(x, "dz"), op_f(x, "dloss"), op_a(x, "z"), op_f(x, "lse"), x->ints[LABELS],
                               weights_f(x), x->c->s[R], x->c->s[K], (float)focus(x), x->dtype, stream);
}

static const struct op_kind focal = {
    .name = "focal",
    .sizes = "R K",
    .flags = "weights smooth masked large two",
    .build = focal_build,
    .forward = focal_forward,
    .backward = focal_backward,
    .steps = {{"forward", focal_call, NULL, row_bytes}, {"backward", focal_back, NULL, row_bytes}},
    .outputs = {{"loss", "dloss"}},
    .inputs = {{"z", "dz"}}};

/* ------------------------------------------------------------------ binary cross-entropy */

static double bce_gamma(const struct op_ctx *x) {
    return flag(x, GAMMA) ? 2 : 0;
}

static double bce_smoothing(const struct op_ctx *x) {
    return flag(x, SMOOTH) ? 0.125 : 0;
}

static void bce_build(struct op_ctx *x) {
    const int64_t r = x->c->s[R], k = x->c->s[K];
    draw_labels(x, r, k);
    op_range(x, op_input(x, "z", r, k), flag(x, LARGE) ? -12 : -3, flag(x, LARGE) ? 12 : 3);
    struct op_tensor *target = op_input(x, "target", r, k);
    for (int64_t i = 0; i < r * k; i++) {
        const float value = flag(x, MASKED) && (i % 5 == 2 || i / k == 3) ? -1.0f : (float)op_below(x, 2);
        target->f[i] = target->start[i] = value;
        if (x->reference) target->d[i] = target->first[i] = (double)value;
    }
    op_range(x, op_input(x, "weight", 1, k), 0.5, 2);
    op_input(x, "dloss", r, 1);
    op_output(x, "loss", r, 1)->tolerance = 1e-6;
    op_output(x, "dz", r, k)->tolerance = 1e-6;
    op_activations(x, "z dz");
}

static void bce_forward(struct op_ctx *x) {
    ref_bce(op_d(x, "loss"), op_d(x, "z"), op_d(x, "target"), x->ints[LABELS], weights_d(x), x->c->s[R],
            x->c->s[K], bce_smoothing(x), bce_gamma(x));
}

static void bce_backward(struct op_ctx *x) {
    ref_bce_backward(op_d(x, "dz"), op_d(x, "dloss"), op_d(x, "z"), op_d(x, "target"), x->ints[LABELS],
                     weights_d(x), x->c->s[R], x->c->s[K], bce_smoothing(x), bce_gamma(x));
}

static int bce_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    return ops->bce_forward(op_f(x, "loss"), op_a(x, "z"), op_f(x, "target"), x->ints[LABELS], weights_f(x),
                            x->c->s[R], x->c->s[K], (float)bce_smoothing(x), (float)bce_gamma(x), x->dtype,
                            stream);
}

static int bce_back(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    return ops->bce_backward(op_a(x, "dz"), op_f(x, "dloss"), op_a(x, "z"), op_f(x, "target"), x->ints[LABELS],
                             weights_f(x), x->c->s[R], x->c->s[K], (float)bce_smoothing(x), (float)bce_gamma(x),
                             x->dtype, stream);
}

static const struct op_kind bce = {
    .name = "bce",
    .sizes = "R K",
    .flags = "weights smooth masked large focal",
    .build = bce_build,
    .forward = bce_forward,
    .backward = bce_backward,
    .steps = {{"forward", bce_call, NULL, row_bytes}, {"backward", bce_back, NULL, row_bytes}},
    .outputs = {{"loss", "dloss"}},
    .inputs = {{"z", "dz"}}};

/* ------------------------------------------------------------------ a number against its target; CoSENT */

static void number_build(struct op_ctx *x) {
    const int64_t r = x->c->s[R];
    draw_labels(x, r, 1);
    op_range(x, op_input(x, "y", r, 1), -1, 1);
    op_range(x, op_input(x, "target", r, 1), -2, 2);
    if (flag(x, LARGE)) { /* many equal targets */
        struct op_tensor *t = op_find(x, "target");
        for (int64_t i = 0; i < r; i++) {
            t->f[i] = t->start[i] = (float)(i % 4);
            if (x->reference) t->d[i] = t->first[i] = (double)(i % 4);
        }
    }
    op_input(x, "dloss", r, 1);
    op_output(x, "loss", r, 1);
    op_output(x, "dy", r, 1)->tolerance = 2e-6;
}

static void error_build(struct op_ctx *x) {
    number_build(x);
    op_activations(x, "y dy");
}

/* The kind of error stands in the second size. */
static void error_forward(struct op_ctx *x) {
    for (int64_t r = 0; r < x->c->s[R]; r++)
        op_d(x, "loss")[r] = x->ints[LABELS][r] < 0 ? 0
                                                    : ref_error(op_d(x, "y")[r] - op_d(x, "target")[r],
                                                                (enum berth_error_kind)x->c->s[1], 0.75);
}

static void error_backward(struct op_ctx *x) {
    for (int64_t r = 0; r < x->c->s[R]; r++)
        op_d(x, "dy")[r] = x->ints[LABELS][r] < 0
                               ? 0
                               : op_d(x, "dloss")[r] * ref_error_slope(op_d(x, "y")[r] - op_d(x, "target")[r],
                                                                       (enum berth_error_kind)x->c->s[1], 0.75);
}

static int error_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    return ops->error_forward(op_f(x, "loss"), op_a(x, "y"), op_f(x, "target"), x->ints[LABELS], x->c->s[R],
                              (enum berth_error_kind)x->c->s[1], 0.75f, x->dtype, stream);
}

static int error_back(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    return ops->error_backward(op_a(x, "dy"), op_f(x, "dloss"), op_a(x, "y"), op_f(x, "target"),
                               x->ints[LABELS], x->c->s[R], (enum berth_error_kind)x->c->s[1], 0.75f, x->dtype,
                               stream);
}

static const struct op_kind error = {.name = "error",
                                     .sizes = "R kind",
                                     .flags = "weights smooth masked",
                                     .build = error_build,
                                     .forward = error_forward,
                                     .backward = error_backward,
                                     .steps = {{"forward", error_call}, {"backward", error_back}},
                                     .outputs = {{"loss", "dloss"}},
                                     .inputs = {{"y", "dy"}}};

static void cosent_build(struct op_ctx *x) {
    number_build(x);
    op_output(x, "lse", 1, 1);
    op_find(x, "dy")->tolerance = 1e-5;
}

static double cosent_scale(const struct op_ctx *x) {
    return (double)x->c->s[1];
}

static void cosent_forward(struct op_ctx *x) {
    const double loss =
        ref_cosent(op_d(x, "y"), op_d(x, "target"), x->ints[LABELS], x->c->s[R], cosent_scale(x));
    op_d(x, "lse")[0] = loss;
    for (int64_t r = 0; r < x->c->s[R]; r++)
        op_d(x, "loss")[r] = x->ints[LABELS][r] < 0 ? 0 : loss;
}

static void cosent_backward(struct op_ctx *x) {
    ref_cosent_backward(op_d(x, "dy"), op_d(x, "dloss"), op_d(x, "y"), op_d(x, "target"), x->ints[LABELS],
                        x->c->s[R], cosent_scale(x));
}

static int cosent_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    return ops->cosent_forward(op_f(x, "loss"), op_f(x, "lse"), op_f(x, "y"), op_f(x, "target"),
                               x->ints[LABELS], x->c->s[R], (float)cosent_scale(x), stream);
}

static int cosent_back(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    return ops->cosent_backward(op_f(x, "dy"), op_f(x, "dloss"), op_f(x, "y"), op_f(x, "target"),
                                x->ints[LABELS], op_f(x, "lse"), x->c->s[R], (float)cosent_scale(x), stream);
}

static const struct op_kind cosent = {.name = "cosent",
                                      .sizes = "R scale",
                                      .flags = "weights smooth masked ties",
                                      .build = cosent_build,
                                      .forward = cosent_forward,
                                      .backward = cosent_backward,
                                      .steps = {{"forward", cosent_call}, {"backward", cosent_back}},
                                      .outputs = {{"loss", "dloss"}},
                                      .inputs = {{"y", "dy"}}};

/* ------------------------------------------------------------------ normalize, row_dot */

enum { H = 1 };

static void rows_build(struct op_ctx *x) {
    const int64_t r = x->c->s[R], h = x->c->s[H];
    op_range(x, op_input(x, "x", r, h), -2, 2);
    op_input(x, "b", r, h);
    op_input(x, "dy", r, h);
    op_input(x, "ddot", r, 1);
    op_output(x, "y", r, h);
    op_output(x, "norm", r, 1);
    op_output(x, "dx", r, h)->tolerance = 2e-6;
    struct op_tensor *dot = op_output(x, "dot", r, 1);
    dot->tolerance = 2e-6;
    dot->absolute = 1e-6;
    op_output(x, "da", r, h);
    op_output(x, "db", r, h);
    op_activations(x, "x b dy y dx da db");
}

static void rows_forward(struct op_ctx *x) {
    const int64_t h = x->c->s[H];
    ref_normalize(op_d(x, "y"), op_d(x, "norm"), op_d(x, "x"), x->c->s[R], h, 20);
    memset(op_d(x, "dot"), 0, (size_t)x->c->s[R] * sizeof(double));
    for (int64_t i = 0; i < x->c->s[R] * h; i++)
        op_d(x, "dot")[i / h] += op_d(x, "x")[i] * op_d(x, "b")[i];
}

static void rows_backward(struct op_ctx *x) {
    const int64_t h = x->c->s[H];
    ref_normalize_backward(op_d(x, "dx"), op_d(x, "dy"), op_d(x, "x"), x->c->s[R], h, 20);
    for (int64_t i = 0; i < x->c->s[R] * h; i++) {
        op_d(x, "da")[i] = op_d(x, "ddot")[i / h] * op_d(x, "b")[i];
        op_d(x, "db")[i] = op_d(x, "ddot")[i / h] * op_d(x, "x")[i];
    }
}

static int normalize_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    const int64_t r = x->c->s[R], h = x->c->s[H];
    const int status =
        ops->normalize_forward(op_a(x, "y"), op_f(x, "norm"), op_a(x, "x"), r, h, 20, x->dtype, stream);
    return status != 0 ? status
                       : ops->normalize_backward(op_a(x, "dx"), op_a(x, "dy"), op_a(x, "y"), op_f(x, "norm"), r,
                                                 h, 20, x->dtype, stream);
}

static int dot_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    const int64_t r = x->c->s[R], h = x->c->s[H];
    int status = ops->row_dot_forward(op_f(x, "dot"), op_a(x, "x"), op_a(x, "b"), r, h, x->dtype, stream);
    status |= ops->row_dot_backward(op_a(x, "da"), NULL, op_f(x, "ddot"), op_a(x, "x"), op_a(x, "b"), r, h,
                                    x->dtype, stream);
    return status | ops->row_dot_backward(NULL, op_a(x, "db"), op_f(x, "ddot"), op_a(x, "x"), op_a(x, "b"), r,
                                          h, x->dtype, stream);
}

/* A row of zeros has no direction: y is 0, and what comes back is finite. */
static bool zero_row(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    float *zero = op_block(x, 17 * sizeof *zero), *y = zero + 4, *dy = zero + 8, *dx = zero + 12,
          *norm = zero + 16;
    dy[0] = 1, dy[3] = -1;
    int status = ops->normalize_forward(y, norm, zero, 1, 4, 1, BERTH_F32, stream);
    status |= ops->normalize_backward(dx, dy, y, norm, 1, 4, 1, BERTH_F32, stream);
    if (!op_wait(x)) return false;
    bool good = status == 0;
    for (int i = 0; i < 4; i++)
        good = good && y[i] == 0 && isfinite(dx[i]);
    if (!good) snprintf(x->message, sizeof x->message, "a row of zeros: %g %g, gradient %g", y[0], y[3], dx[0]);
    return good;
}

static const struct op_kind rows = {
    .name = "normalize_dot",
    .sizes = "R H",
    .build = rows_build,
    .forward = rows_forward,
    .backward = rows_backward,
    .steps = {{"normalize", normalize_call, NULL, row_bytes}, {"row_dot", dot_call, NULL, row_bytes}},
    .outputs = {{"y", "dy"}},
    .inputs = {{"x", "dx"}},
    .property = zero_row};

/* ------------------------------------------------------------------ CRF: sizes are sequences, classes, longest
 */

enum { S, CLASSES, LONGEST };
enum { PATHS = 1 }; /* against every path alone */

static void crf_build(struct op_ctx *x) {
    const int64_t s = x->c->s[S], k = x->c->s[CLASSES];
    int32_t *spare = op_ints(x, 0); /* LABELS comes first and needs the length */
    (void)spare;
    int32_t *cu = op_ints(x, s + 1);
    const int64_t r = op_lengths(x, cu, s, x->c->s[LONGEST]);
    op_ints(x, 2 * r * k);
    int32_t *labels = op_ints(x, r);
    for (int64_t i = 0; i < r; i++)
        labels[i] = flag(x, MASKED) && i % 3 == 1 ? -1 : (int32_t)op_below(x, k);
    const double range = flag(x, LARGE) ? 30 : 2;
    op_range(x, op_input(x, "z", r, k), -range, range);
    op_range(x, op_input(x, "T", k, k), -1, 1);
    op_range(x, op_input(x, "start", 1, k), -1, 1);
    op_range(x, op_input(x, "end", 1, k), -1, 1);
    op_input(x, "dloss", r, 1);
    op_output(x, "loss", r, 1)->absolute = 2e-6 * range;
    struct op_tensor *dz = op_output(x, "dz", r, k);
    dz->tolerance = 1e-5;
    dz->absolute = 2e-6;
    const char *const tables[] = {"dT", "dstart", "dend"};
    for (int i = 0; i < 3; i++) {
        struct op_tensor *t = op_added(x, tables[i], i == 0 ? k : 1, k);
        t->tolerance = 1e-5;
        t->absolute = 5e-6;
    }
    op_activations(x, "z dz");
}

enum { CRF_LABELS = 3 };

static struct ref_crf chain(struct op_ctx *x, int64_t s) {
    const int32_t *cu = x->ints[CU];
    return (struct ref_crf){.z = op_d(x, "z") + cu[s] * x->c->s[CLASSES],
                            .transitions = op_d(x, "T"),
                            .start = op_d(x, "start"),
                            .end = op_d(x, "end"),
                            .words = cu[s + 1] - cu[s],
                            .classes = x->c->s[CLASSES]};
}

static void crf_forward(struct op_ctx *x) {
    const int32_t *cu = x->ints[CU];
    memset(op_d(x, "loss"), 0, (size_t)cu[x->c->s[S]] * sizeof(double));
    for (int64_t s = 0; s < x->c->s[S]; s++) {
        const struct ref_crf c = chain(x, s);
        const int32_t *labels = x->ints[CRF_LABELS] + cu[s];
        op_d(x, "loss")[cu[s]] = flag(x, PATHS) ? ref_crf_paths(&c, NULL) - ref_crf_paths(&c, labels)
                                                : ref_crf_sum(&c, NULL) - ref_crf_sum(&c, labels);
    }
}

static void crf_backward(struct op_ctx *x) {
    const int32_t *cu = x->ints[CU];
    memset(op_d(x, "dz"), 0, (size_t)(cu[x->c->s[S]] * x->c->s[CLASSES]) * sizeof(double));
    for (int64_t s = 0; s < x->c->s[S]; s++) {
        const struct ref_crf c = chain(x, s);
        double *dz = op_d(x, "dz") + cu[s] * c.classes, factor = op_d(x, "dloss")[cu[s]];
        ref_crf_slope(&c, NULL, factor, dz, op_d(x, "dT"), op_d(x, "dstart"), op_d(x, "dend"));
        ref_crf_slope(&c, x->ints[CRF_LABELS] + cu[s], -factor, dz, op_d(x, "dT"), op_d(x, "dstart"),
                      op_d(x, "dend"));
    }
}

static int crf_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    const int64_t s = x->c->s[S], k = x->c->s[CLASSES], r = x->ints[CU][s];
    return ops->crf_forward(op_f(x, "loss"), (float *)x->ints[ALPHA], op_a(x, "z"), op_f(x, "T"),
                            op_f(x, "start"), op_f(x, "end"), x->ints[CRF_LABELS], x->ints[CU],
                            op_workspace(x, ops->crf_workspace(r, s, k, 0)), r, s, k, x->dtype, stream);
}

static int crf_back(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    const int64_t s = x->c->s[S], k = x->c->s[CLASSES], r = x->ints[CU][s];
    return ops->crf_backward(op_a(x, "dz"), op_f(x, "dT"), op_f(x, "dstart"), op_f(x, "dend"), op_f(x, "dloss"),
                             op_a(x, "z"), (float *)x->ints[ALPHA], op_f(x, "T"), op_f(x, "start"),
                             op_f(x, "end"), x->ints[CRF_LABELS], x->ints[CU],
                             op_workspace(x, ops->crf_workspace(r, s, k, 1)), r, s, k, x->dtype, stream);
}

static const struct op_kind crf = {.name = "crf",
                                   .sizes = "S K longest",
                                   .flags = "paths smooth masked large",
                                   .build = crf_build,
                                   .forward = crf_forward,
                                   .backward = crf_backward,
                                   .steps = {{"forward", crf_call}, {"backward", crf_back}},
                                   .outputs = {{"loss", "dloss"}},
                                   .inputs = {{"z", "dz"}, {"T", "dT"}, {"start", "dstart"}, {"end", "dend"}}};

/* ------------------------------------------------------------------ mix: sizes are n, layers, layer */

enum { N, LAYERS, LAYER };
enum { PRIOR = 1, ADD = 2 };

static void mix_build(struct op_ctx *x) {
    const int64_t n = x->c->s[N];
    op_input(x, "prior", 1, n);
    op_input(x, "x", 1, n);
    op_input(x, "w", 1, x->c->s[LAYERS]);
    op_input(x, "gamma", 1, 1);
    op_input(x, "dy", 1, n);
    op_output(x, "y", 1, n);
    if (flag(x, ADD))
        op_added(x, "dx", 1, n);
    else
        op_output(x, "dx", 1, n);
    op_added(x, "dw", 1, x->c->s[LAYERS])->absolute = 1e-5;
    op_added(x, "dgamma", 1, 1)->absolute = 1e-5;
    op_activations(x, "prior x dy y dx");
}

static double share(struct op_ctx *x, int64_t layer) {
    double sum = 0;
    for (int64_t k = 0; k < x->c->s[LAYERS]; k++)
        sum += exp(op_d(x, "w")[k]);
    return exp(op_d(x, "w")[layer]) / sum;
}

static void mix_forward(struct op_ctx *x) {
    for (int64_t i = 0; i < x->c->s[N]; i++)
        op_d(x, "y")[i] = (flag(x, PRIOR) ? op_d(x, "prior")[i] : 0) +
                          op_d(x, "gamma")[0] * share(x, x->c->s[LAYER]) * op_d(x, "x")[i];
}

static void mix_backward(struct op_ctx *x) {
    const double s = share(x, x->c->s[LAYER]), gamma = op_d(x, "gamma")[0];
    struct op_tensor *dx = op_find(x, "dx");
    double dot = 0;
    for (int64_t i = 0; i < x->c->s[N]; i++) {
        dot += op_d(x, "dy")[i] * op_d(x, "x")[i];
        dx->d[i] = dx->first[i] * flag(x, ADD) + gamma * s * op_d(x, "dy")[i];
    }
    op_d(x, "dgamma")[0] += s * dot;
    for (int64_t k = 0; k < x->c->s[LAYERS]; k++)
        op_d(x, "dw")[k] += gamma * s * ((k == x->c->s[LAYER]) - share(x, k)) * dot;
}

static int mix_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    return ops->mix_forward(op_a(x, "y"), flag(x, PRIOR) ? op_a(x, "prior") : NULL, op_a(x, "x"), op_f(x, "w"),
                            op_f(x, "gamma"), x->c->s[N], x->c->s[LAYERS], x->c->s[LAYER], x->dtype, stream);
}

static int mix_back(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream) {
    return ops->mix_backward(op_a(x, "dx"), op_f(x, "dw"), op_f(x, "dgamma"), op_a(x, "dy"), op_a(x, "x"),
                             op_f(x, "w"), op_f(x, "gamma"), op_workspace(x, ops->mix_workspace(x->c->s[N])),
                             x->c->s[N], x->c->s[LAYERS], x->c->s[LAYER], flag(x, ADD), x->dtype, stream);
}

static const struct op_kind mix = {.name = "mix",
                                   .sizes = "n layers layer",
                                   .flags = "prior add",
                                   .build = mix_build,
                                   .forward = mix_forward,
                                   .backward = mix_backward,
                                   .steps = {{"forward", mix_call}, {"backward", mix_back}},
                                   .outputs = {{"y", "dy"}},
                                   .inputs = {{"x", "dx"}, {"w", "dw"}, {"gamma", "dgamma"}}};

const struct op_case cases_heads[] = {{&focal, {0, 7}, 0},
                                      {&focal, {3, 7}, WEIGHTS | GAMMA},
                                      {&focal, {257, 5}, MASKED},
                                      {&focal, {40, 72}, LARGE | GAMMA},
                                      {&bce, {0, 4}, 0},
                                      {&bce, {1, 1}, 0},
                                      {&bce, {17, 9}, WEIGHTS | SMOOTH | MASKED},
                                      {&bce, {120, 30}, GAMMA | MASKED},
                                      {&bce, {40, 12}, LARGE},
                                      {&error, {0, BERTH_ERROR_SQUARED}, 0},
                                      {&error, {33, BERTH_ERROR_SQUARED}, MASKED},
                                      {&error, {33, BERTH_ERROR_ABSOLUTE}, MASKED},
                                      {&error, {33, BERTH_ERROR_HUBER}, MASKED},
                                      {&cosent, {1, 20}, 0},
                                      {&cosent, {9, 20}, MASKED},
                                      {&cosent, {130, 20}, LARGE},
                                      {&cosent, {30, 1}, LARGE | MASKED},
                                      {&rows, {0, 8}, 0},
                                      {&rows, {3, 7}, 0},
                                      {&rows, {120, 384}, 0},
                                      {&crf, {1, 1, 1}, PATHS},
                                      {&crf, {3, 2, 6}, PATHS},
                                      {&crf, {5, 4, 5}, PATHS | MASKED},
                                      {&crf, {20, 9, 12}, 0},
                                      {&crf, {9, 37, 20}, MASKED},
                                      {&crf, {3, 5, 40}, LARGE},
                                      {&mix, {7, 1, 0}, 0},
                                      {&mix, {1000, 5, 2}, PRIOR},
                                      {&mix, {300000, 13, 12}, PRIOR | ADD},
                                      {0}};
const struct op_case perf_heads[] = {{&focal, {386, 72}, 0},
                                     {&bce, {32, 100}, 0},
                                     {&cosent, {64, 20}, 0},
                                     {&crf, {32, 72, 24}, 0},
                                     {&rows, {64, 768}, 0},
                                     {&mix, {386 * 768, 13, 3}, PRIOR},
                                     {0}};
