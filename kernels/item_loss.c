/* item_loss.c: losses of numbers that stand alone: yes/no answers, and a number against its target.
 *
 *     bce     l = w t' (1-p)^g softplus(-z) + (1-t') p^g softplus(z)                      p = sigmoid(z)
 *             dl/dz = -w t' (1-p)^g (1-p + g p softplus(-z)) + (1-t') p^g (p + g (1-p) softplus(z))
 *     error   e², |e|, or huber's; the slope of |e| at 0 is 0
 *
 * One element costs an exponential and a logarithm in double: heads are narrow. One thread does a row. */
#include <math.h>

#include "common.h"

/* log(1 + e^z) */
static double softplus(double z) {
    return z > 0 ? z + log1p(exp(-z)) : log1p(exp(z));
}

static double power(double base, double exponent) {
    return exponent == 0 ? 1 : pow(base, exponent);
}

/* Loss of one answer; *slope unless NULL. target -1 never comes here. */
static double answer_loss(double z, double target, double weight, double gamma, double *slope) {
    const double p = 1 / (1 + exp(-z)), miss = 1 / (1 + exp(z)); /* 1 - p */
    const double yes = softplus(-z), no = softplus(z);           /* -log p, -log (1 - p) */
    const double yes_scale = weight * target * power(miss, gamma), no_scale = (1 - target) * power(p, gamma);
    if (slope != NULL) *slope = no_scale * (p + gamma * miss * no) - yes_scale * (miss + gamma * p * yes);
    return yes_scale * yes + no_scale * no;
}

static int64_t known_targets(const float *targets, int64_t classes) {
    int64_t n = 0;
    for (int64_t k = 0; k < classes; k++)
        n += targets[k] >= 0;
    return n;
}

static int bce_forward(float *loss, const void *logits, const float *targets, const int32_t *labels,
                       const float *positive_weight, int64_t rows, int64_t classes, float smoothing,
                       float gamma, enum berth_dtype dtype, berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32) return BERTH_CPU_E_DTYPE;
#pragma omp parallel for schedule(static) if (rows * classes > 1024)
    for (int64_t r = 0; r < rows; r++) {
        const float *z = (const float *)logits + r * classes, *t = targets + r * classes;
        const int64_t known = known_targets(t, classes);
        double sum = 0;
        for (int64_t k = 0; k < classes && labels[r] >= 0; k++) {
            if (t[k] < 0) continue;
            sum += answer_loss((double)z[k], (double)t[k] * (1 - (double)smoothing) + (double)smoothing / 2,
                               positive_weight == NULL ? 1 : (double)positive_weight[k], (double)gamma, NULL);
        }
        loss[r] = known > 0 ? (float)(sum / (double)known) : 0;
    }
    return BERTH_CPU_OK;
}

static int bce_backward(void *dlogits, const float *dloss, const void *logits, const float *targets,
                        const int32_t *labels, const float *positive_weight, int64_t rows, int64_t classes,
                        float smoothing, float gamma, enum berth_dtype dtype, berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32) return BERTH_CPU_E_DTYPE;
#pragma omp parallel for schedule(static) if (rows * classes > 1024)
    for (int64_t r = 0; r < rows; r++) {
        const float *z = (const float *)logits + r * classes, *t = targets + r * classes;
        float *dz = (float *)dlogits + r * classes;
        const int64_t known = known_targets(t, classes);
        for (int64_t k = 0; k < classes; k++) {
            double slope = 0;
            if (labels[r] >= 0 && t[k] >= 0)
                answer_loss((double)z[k], (double)t[k] * (1 - (double)smoothing) + (double)smoothing / 2,
                            positive_weight == NULL ? 1 : (double)positive_weight[k], (double)gamma, &slope);
            dz[k] = known > 0 ? (float)((double)dloss[r] * slope / (double)known) : 0;
        }
    }
    return BERTH_CPU_OK;
}

static int error_forward(float *loss, const void *y, const float *target, const int32_t *labels, int64_t rows,
                         enum berth_error_kind kind, float delta, enum berth_dtype dtype,
                         berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32) return BERTH_CPU_E_DTYPE;
    for (int64_t r = 0; r < rows; r++) {
        const float e = fabsf(((const float *)y)[r] - target[r]);
        float value = kind == BERTH_ERROR_SQUARED ? e * e : e;
        if (kind == BERTH_ERROR_HUBER) value = e <= delta ? 0.5f * e * e : delta * (e - 0.5f * delta);
        loss[r] = labels[r] < 0 ? 0 : value;
    }
    return BERTH_CPU_OK;
}

static int error_backward(void *dy, const float *dloss, const void *y, const float *target,
                          const int32_t *labels, int64_t rows, enum berth_error_kind kind, float delta,
                          enum berth_dtype dtype, berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32) return BERTH_CPU_E_DTYPE;
    for (int64_t r = 0; r < rows; r++) {
        const float e = ((const float *)y)[r] - target[r], sign = (float)((e > 0) - (e < 0));
        float slope = kind == BERTH_ERROR_SQUARED ? 2 * e : sign;
        if (kind == BERTH_ERROR_HUBER) slope = fabsf(e) <= delta ? e : delta * sign;
        ((float *)dy)[r] = labels[r] < 0 ? 0 : dloss[r] * slope;
    }
    return BERTH_CPU_OK;
}

void BERTH_CPU_TABLE(item_loss)(struct berth_ops *ops) {
    ops->bce_forward = bce_forward;
    ops->bce_backward = bce_backward;
    ops->error_forward = error_forward;
    ops->error_backward = error_backward;
}
