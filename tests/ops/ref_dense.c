/* ref_dense.c: products, layer normalisation and activations in double. */
#include <math.h>

#include "ops/ref_ops.h"

void ref_gemm(double *c, const double *a, const double *b, const double *bias, int64_t m, int64_t n, int64_t k,
              enum berth_gemm_form form, int accumulate) {
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t t = 0; t < k; t++) {
                const double left = form == BERTH_GEMM_TN ? a[t * m + i] : a[i * k + t];
                const double right = form == BERTH_GEMM_NT ? b[j * k + t] : b[t * n + j];
                sum += left * right;
            }
            if (bias) sum += bias[j];
            if (accumulate) sum += c[i * n + j];
            c[i * n + j] = sum;
        }
    }
}

static void moments(const double *row, int64_t n, double eps, double *mean, double *rstd) {
    double sum = 0, square = 0;
    for (int64_t j = 0; j < n; j++)
        sum += row[j];
    *mean = sum / (double)n;
    for (int64_t j = 0; j < n; j++)
        square += (row[j] - *mean) * (row[j] - *mean);
    *rstd = 1 / sqrt(square / (double)n + eps);
}

void ref_layernorm(double *y, double *pre, double *mean, double *rstd, const double *x, const double *residual,
                   const double *gamma, const double *beta, const double *kept, int64_t rows, int64_t hidden,
                   double eps) {
    for (int64_t t = 0; t < rows; t++) {
        for (int64_t j = 0; j < hidden; j++) {
            const int64_t i = t * hidden + j;
            pre[i] = x[i] * (kept ? kept[i] : 1) + (residual ? residual[i] : 0);
        }
        moments(pre + t * hidden, hidden, eps, &mean[t], &rstd[t]);
        for (int64_t j = 0; j < hidden; j++)
            y[t * hidden + j] = (pre[t * hidden + j] - mean[t]) * rstd[t] * gamma[j] + beta[j];
    }
}

void ref_layernorm_backward(double *dx, double *dresidual, double *dgamma_add, double *dbeta_add,
                            const double *dy, const double *pre, const double *gamma, const double *kept,
                            int64_t rows, int64_t hidden, double eps) {
    for (int64_t t = 0; t < rows; t++) {
        const double *p = pre + t * hidden, *d = dy + t * hidden;
        double mean, rstd, g_mean = 0, gx_mean = 0;
        moments(p, hidden, eps, &mean, &rstd);
        for (int64_t j = 0; j < hidden; j++) {
            const double xhat = (p[j] - mean) * rstd;
            g_mean += d[j] * gamma[j] / (double)hidden;
            gx_mean += d[j] * gamma[j] * xhat / (double)hidden;
            dgamma_add[j] += d[j] * xhat;
            dbeta_add[j] += d[j];
        }
        for (int64_t j = 0; j < hidden; j++) {
            const int64_t i = t * hidden + j;
            const double dpre = rstd * (d[j] * gamma[j] - g_mean - (p[j] - mean) * rstd * gx_mean);
            dresidual[i] = dpre;
            dx[i] = dpre * (kept ? kept[i] : 1);
        }
    }
}

static const double pi = 3.14159265358979323846;

double ref_activation(double x, enum berth_activation kind) {
    switch (kind) {
    case BERTH_ACT_NONE:
        return x;
    case BERTH_ACT_GELU:
        return x * 0.5 * erfc(-x / sqrt(2));
    case BERTH_ACT_GELU_TANH:
        return 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * pow(x, 3))));
    case BERTH_ACT_RELU:
        return x > 0 ? x : 0;
    case BERTH_ACT_SILU:
        return x / (1 + exp(-x));
    case BERTH_ACT_TANH:
        return tanh(x);
    }
    return NAN;
}

double ref_activation_slope(double x, enum berth_activation kind) {
    switch (kind) {
    case BERTH_ACT_NONE:
        return 1;
    case BERTH_ACT_GELU:
        return 0.5 * erfc(-x / sqrt(2)) + x * exp(-x * x / 2) / sqrt(2 * pi);
    case BERTH_ACT_GELU_TANH: {
        const double u = sqrt(2 / pi) * (x + 0.044715 * pow(x, 3)),
                     du = sqrt(2 / pi) * (1 + 3 * 0.044715 * x * x);
        return 0.5 * (1 + tanh(u)) + 0.5 * x * du / pow(cosh(u), 2);
    }
    case BERTH_ACT_RELU:
        return x > 0;
    case BERTH_ACT_SILU:
        return (1 + exp(-x) + x * exp(-x)) / pow(1 + exp(-x), 2);
    case BERTH_ACT_TANH:
        return 1 / pow(cosh(x), 2);
    }
    return NAN;
}
