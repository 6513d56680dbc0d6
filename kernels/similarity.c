/* similarity.c: rows of length one, products of rows, and the ranking loss over them.
 *
 *     normalize   y = s x / n, n = max(|x|, 1e-12)        dx = s/n (dy - u (u·dy)), u = y/s;   n at its least:
 * s/n dy row_dot     y = Σ_j a_j b_j                         da = dy b, db = dy a cosent      L = log(1 +
 * Σ_{t_i > t_j} e^(s (y_j - y_i)))      (Su Jianlin 2022, as sentence-transformers has it) dy_i = D s (Σ_{j:
 * t_j > t_i} e^(s (y_i - y_j) - L) - Σ_{j: t_i > t_j} e^(s (y_j - y_i) - L)), D = Σ dloss of the rows that
 * count
 *
 * Sums of a row run in double. CoSENT looks at all pairs, rows² of them: a thread does a row, the row sums are
 * added in order. */
#include <math.h>

#include "common.h"

#define LEAST_NORM 1e-12f

static int normalize_forward(void *y, float *norm, const void *x, int64_t rows, int64_t hidden, float scale,
                             enum berth_dtype dtype, berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32) return BERTH_CPU_E_DTYPE;
#pragma omp parallel for schedule(static) if (rows * hidden > 32768)
    for (int64_t r = 0; r < rows; r++) {
        const float *in = (const float *)x + r * hidden;
        float *out = (float *)y + r * hidden;
        double square = 0;
#pragma omp simd reduction(+ : square)
        for (int64_t j = 0; j < hidden; j++)
            square += (double)in[j] * (double)in[j];
        const float length = (float)sqrt(square);
        norm[r] = length > LEAST_NORM ? length : LEAST_NORM;
        const float factor = scale / norm[r];
#pragma omp simd
        for (int64_t j = 0; j < hidden; j++)
            out[j] = in[j] * factor;
    }
    return BERTH_CPU_OK;
}

static int normalize_backward(void *dx, const void *dy, const void *y, const float *norm, int64_t rows,
                              int64_t hidden, float scale, enum berth_dtype dtype, berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32) return BERTH_CPU_E_DTYPE;
#pragma omp parallel for schedule(static) if (rows * hidden > 32768)
    for (int64_t r = 0; r < rows; r++) {
        const float *g = (const float *)dy + r * hidden, *u = (const float *)y + r * hidden;
        float *out = (float *)dx + r * hidden;
        double dot = 0;
#pragma omp simd reduction(+ : dot)
        for (int64_t j = 0; j < hidden; j++)
            dot += (double)u[j] * (double)g[j];
        const float factor = scale / norm[r];
        const float along = norm[r] > LEAST_NORM ? (float)(dot / ((double)scale * (double)scale)) : 0;
#pragma omp simd
        for (int64_t j = 0; j < hidden; j++)
            out[j] = factor * (g[j] - u[j] * along);
    }
    return BERTH_CPU_OK;
}

static int row_dot_forward(float *y, const void *a, const void *b, int64_t rows, int64_t hidden,
                           enum berth_dtype dtype, berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32) return BERTH_CPU_E_DTYPE;
#pragma omp parallel for schedule(static) if (rows * hidden > 32768)
    for (int64_t r = 0; r < rows; r++) {
        const float *p = (const float *)a + r * hidden, *q = (const float *)b + r * hidden;
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t j = 0; j < hidden; j++)
            sum += (double)p[j] * (double)q[j];
        y[r] = (float)sum;
    }
    return BERTH_CPU_OK;
}

static void scale_row(float *to, const float *from, float factor, int64_t n) {
#pragma omp simd
    for (int64_t j = 0; j < n; j++)
        to[j] = factor * from[j];
}

static int row_dot_backward(void *da, void *db, const float *dy, const void *a, const void *b, int64_t rows,
                            int64_t hidden, enum berth_dtype dtype, berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32) return BERTH_CPU_E_DTYPE;
#pragma omp parallel for schedule(static) if (rows * hidden > 32768)
    for (int64_t r = 0; r < rows; r++) {
        if (da != NULL) scale_row((float *)da + r * hidden, (const float *)b + r * hidden, dy[r], hidden);
        if (db != NULL) scale_row((float *)db + r * hidden, (const float *)a + r * hidden, dy[r], hidden);
    }
    return BERTH_CPU_OK;
}

/* Σ e^(scale (y[j] - y[i]) - shift) over the rows j that should lie below row i. */
static double below_sum(const float *y, const float *target, const int32_t *labels, int64_t i, int64_t rows,
                        double scale, double shift) {
    double sum = 0;
    for (int64_t j = 0; j < rows; j++)
        if (labels[j] >= 0 && target[i] > target[j]) sum += exp(scale * ((double)y[j] - (double)y[i]) - shift);
    return sum;
}

static double above_sum(const float *y, const float *target, const int32_t *labels, int64_t i, int64_t rows,
                        double scale, double shift) {
    double sum = 0;
    for (int64_t j = 0; j < rows; j++)
        if (labels[j] >= 0 && target[j] > target[i]) sum += exp(scale * ((double)y[i] - (double)y[j]) - shift);
    return sum;
}

static int cosent_forward(float *loss, float *lse, const float *y, const float *target, const int32_t *labels,
                          int64_t rows, float scale, berth_stream *stream) {
    (void)stream;
    double top = 0; /* the largest exponent, that of the 1 included */
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < rows && labels[i] >= 0; j++) {
            const double exponent = (double)scale * ((double)y[j] - (double)y[i]);
            if (labels[j] >= 0 && target[i] > target[j] && exponent > top) top = exponent;
        }
    }
    double sum = exp(-top);
    for (int64_t r = 0; r < rows; r++)
        if (labels[r] >= 0) sum += below_sum(y, target, labels, r, rows, (double)scale, top);
    lse[0] = (float)(top + log(sum));
    for (int64_t r = 0; r < rows; r++)
        loss[r] = labels[r] >= 0 ? lse[0] : 0;
    return BERTH_CPU_OK;
}

static int cosent_backward(float *dy, const float *dloss, const float *y, const float *target,
                           const int32_t *labels, const float *lse, int64_t rows, float scale,
                           berth_stream *stream) {
    (void)stream;
    double factor = 0;
    for (int64_t r = 0; r < rows; r++)
        factor += labels[r] >= 0 ? (double)dloss[r] : 0;
    factor *= (double)scale;
#pragma omp parallel for schedule(static) if (rows > 64)
    for (int64_t r = 0; r < rows; r++) {
        dy[r] = 0;
        if (labels[r] < 0) continue;
        const double above = above_sum(y, target, labels, r, rows, (double)scale, (double)lse[0]);
        dy[r] =
            (float)(factor * (above - below_sum(y, target, labels, r, rows, (double)scale, (double)lse[0])));
    }
    return BERTH_CPU_OK;
}

void BERTH_CPU_TABLE(similarity)(struct berth_ops *ops) {
    ops->normalize_forward = normalize_forward;
    ops->normalize_backward = normalize_backward;
    ops->row_dot_forward = row_dot_forward;
    ops->row_dot_backward = row_dot_backward;
    ops->cosent_forward = cosent_forward;
    ops->cosent_backward = cosent_backward;
}
