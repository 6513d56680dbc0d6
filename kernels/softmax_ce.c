/* softmax_ce.c: softmax cross-entropy with class weights w, smoothing s and masked rows (label -1).
 *
 *     lse = log Σ_k e^z[k]
 *     loss = (1-s) w[y] (lse - z[y]) + s/K Σ_k w[k] (lse - z[k])
 *     dz[j] = dloss ((1-s) w[y] (p[j] - [j = y]) + s/K (W p[j] - w[j]))       p = e^(z - lse), W = Σ w
 *
 *     focal: loss = -w[y] (1 - p)^g log p, p = p[y]
 *            dz[j] = dloss w[y] ((1 - p)^g - g p (1 - p)^(g-1) log p) (p[j] - [j = y])
 *
 * The maximum is taken out first, so no logit overflows. One thread does a row. */
#include <math.h>

#include "common.h"

/* log Σ e^z of one row */
static float row_lse(const float *z, int64_t classes) {
    float top = z[0];
#pragma omp simd reduction(max : top)
    for (int64_t k = 0; k < classes; k++)
        top = z[k] > top ? z[k] : top;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t k = 0; k < classes; k++)
        sum += berth_exp(z[k] - top);
    return top + logf(sum);
}

static int cross_entropy_forward(float *loss, float *lse, const void *logits, const int32_t *labels,
                                 const float *class_weight, int64_t rows, int64_t classes, float smoothing,
                                 enum berth_dtype dtype, berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32) return BERTH_CPU_E_DTYPE;
#pragma omp parallel for schedule(static) if (rows * classes > 1024)
    for (int64_t r = 0; r < rows; r++) {
        const float *z = (const float *)logits + r * classes;
        const float log_sum = row_lse(z, classes);
        lse[r] = log_sum;
        const int32_t y = labels[r];
        if (y < 0) {
            loss[r] = 0;
            continue;
        }
        const float weight = class_weight == NULL ? 1.0f : class_weight[y];
        float value = (1.0f - smoothing) * weight * (log_sum - z[y]);
        if (smoothing != 0.0f) {
            float spread = 0;
            for (int64_t k = 0; k < classes; k++)
                spread += (class_weight == NULL ? 1.0f : class_weight[k]) * (log_sum - z[k]);
            value += smoothing / (float)classes * spread;
        }
        loss[r] = value;
    }
    return BERTH_CPU_OK;
}

static float weight_total(const float *class_weight, int64_t classes) {
    if (class_weight == NULL) return (float)classes;
    double sum = 0;
    for (int64_t k = 0; k < classes; k++)
        sum += (double)class_weight[k];
    return (float)sum;
}

static int cross_entropy_backward(void *dlogits, const float *dloss, const void *logits, const float *lse,
                                  const int32_t *labels, const float *class_weight, int64_t rows,
                                  int64_t classes, float smoothing, enum berth_dtype dtype,
                                  berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32) return BERTH_CPU_E_DTYPE;
    const float share = smoothing / (float)classes, total = weight_total(class_weight, classes);
#pragma omp parallel for schedule(static) if (rows * classes > 1024)
    for (int64_t r = 0; r < rows; r++) {
        const float *z = (const float *)logits + r * classes;
        float *dz = (float *)dlogits + r * classes;
        const int32_t y = labels[r];
        if (y < 0) {
            memset(dz, 0, (size_t)classes * sizeof(float));
            continue;
        }
        const float hard = (1.0f - smoothing) * (class_weight == NULL ? 1.0f : class_weight[y]);
        const float scale = dloss[r] * (hard + share * total), flat = dloss[r] * share, shift = lse[r];
        if (class_weight == NULL) {
#pragma omp simd
            for (int64_t k = 0; k < classes; k++)
                dz[k] = scale * berth_exp(z[k] - shift) - flat;
        } else {
#pragma omp simd
            for (int64_t k = 0; k < classes; k++)
                dz[k] = scale * berth_exp(z[k] - shift) - flat * class_weight[k];
        }
        dz[y] -= dloss[r] * hard;
    }
    return BERTH_CPU_OK;
}

/* 1 - p and log p of the labelled class; 1 - p without cancellation near p = 1. */
static double row_miss(const float *z, float lse, int32_t y, double *log_p) {
    *log_p = (double)z[y] - (double)lse;
    if (*log_p > 0) *log_p = 0; /* lse is rounded */
    return -expm1(*log_p);
}

static int focal_forward(float *loss, float *lse, const void *logits, const int32_t *labels,
                         const float *class_weight, int64_t rows, int64_t classes, float gamma,
                         enum berth_dtype dtype, berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32) return BERTH_CPU_E_DTYPE;
#pragma omp parallel for schedule(static) if (rows * classes > 1024)
    for (int64_t r = 0; r < rows; r++) {
        const float *z = (const float *)logits + r * classes;
        const int32_t y = labels[r];
        double log_p = 0;
        lse[r] = row_lse(z, classes);
        loss[r] = 0;
        if (y < 0) continue;
        const double miss = row_miss(z, lse[r], y, &log_p);
        loss[r] =
            (float)(-(class_weight == NULL ? 1.0 : (double)class_weight[y]) * pow(miss, (double)gamma) * log_p);
    }
    return BERTH_CPU_OK;
}

static int focal_backward(void *dlogits, const float *dloss, const void *logits, const float *lse,
                          const int32_t *labels, const float *class_weight, int64_t rows, int64_t classes,
                          float gamma, enum berth_dtype dtype, berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32) return BERTH_CPU_E_DTYPE;
#pragma omp parallel for schedule(static) if (rows * classes > 1024)
    for (int64_t r = 0; r < rows; r++) {
        const float *z = (const float *)logits + r * classes;
        float *dz = (float *)dlogits + r * classes;
        const int32_t y = labels[r];
        const double g = (double)gamma;
        double log_p = 0;
        if (y < 0) {
            memset(dz, 0, (size_t)classes * sizeof(float));
            continue;
        }
        const double miss = row_miss(z, lse[r], y, &log_p);
        const double bend = miss > 0 ? g * exp(log_p) * pow(miss, g - 1) * log_p : 0;
        const float slope = (float)((double)dloss[r] * (class_weight == NULL ? 1.0 : (double)class_weight[y]) *
                                    (pow(miss, g) - bend));
        const float shift = lse[r];
#pragma omp simd
        for (int64_t k = 0; k < classes; k++)
            dz[k] = slope * berth_exp(z[k] - shift);
        dz[y] = -slope * (float)miss;
    }
    return BERTH_CPU_OK;
}

void BERTH_CPU_TABLE(softmax_ce)(struct berth_ops *ops) {
    ops->cross_entropy_forward = cross_entropy_forward;
    ops->cross_entropy_backward = cross_entropy_backward;
    ops->focal_forward = focal_forward;
    ops->focal_backward = focal_backward;
}
