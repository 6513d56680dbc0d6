/* ref_heads.c: losses of heads in double, plainly. */
#include "ops/ref_heads.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static double log_sum(const double *z, int64_t n) {
    double top = -INFINITY, sum = 0;
    for (int64_t k = 0; k < n; k++)
        top = fmax(top, z[k]);
    for (int64_t k = 0; k < n; k++)
        sum += exp(z[k] - top);
    return top + log(sum);
}

void ref_focal(double *loss, double *lse, const double *z, const int32_t *labels, const double *weight,
               int64_t rows, int64_t classes, double gamma) {
    for (int64_t r = 0; r < rows; r++) {
        lse[r] = log_sum(z + r * classes, classes);
        loss[r] = 0;
        if (labels[r] < 0) continue;
        const double log_p = z[r * classes + labels[r]] - lse[r];
        loss[r] = -(weight ? weight[labels[r]] : 1) * pow(1 - exp(log_p), gamma) * log_p;
    }
}

void ref_focal_backward(double *dz, const double *dloss, const double *z, const int32_t *labels,
                        const double *weight, int64_t rows, int64_t classes, double gamma) {
    for (int64_t r = 0; r < rows; r++) {
        const double *row = z + r * classes, lse = log_sum(row, classes);
        for (int64_t j = 0; j < classes; j++) {
            dz[r * classes + j] = 0;
            if (labels[r] < 0) continue;
            const double p = exp(row[labels[r]] - lse);
            const double along_p = gamma * pow(1 - p, gamma - 1) * log(p) - pow(1 - p, gamma) / p;
            const double slope = p * ((j == labels[r]) - exp(row[j] - lse)); /* of p */
            dz[r * classes + j] = dloss[r] * (weight ? weight[labels[r]] : 1) * along_p * slope;
        }
    }
}

static double sigmoid(double z) {
    return 1 / (1 + exp(-z));
}

static double known(const double *targets, int64_t classes) {
    double n = 0;
    for (int64_t k = 0; k < classes; k++)
        n += targets[k] >= 0;
    return n;
}

void ref_bce(double *loss, const double *z, const double *targets, const int32_t *labels, const double *weight,
             int64_t rows, int64_t classes, double smoothing, double gamma) {
    for (int64_t r = 0; r < rows; r++) {
        loss[r] = 0;
        for (int64_t k = 0; k < classes && labels[r] >= 0; k++) {
            const double t = targets[r * classes + k], p = sigmoid(z[r * classes + k]);
            if (t < 0) continue;
            const double soft = t * (1 - smoothing) + smoothing / 2;
            loss[r] -= ((weight ? weight[k] : 1) * soft * pow(1 - p, gamma) * log(p) +
                        (1 - soft) * pow(p, gamma) * log(1 - p)) /
                       known(targets + r * classes, classes);
        }
    }
}

void ref_bce_backward(double *dz, const double *dloss, const double *z, const double *targets,
                      const int32_t *labels, const double *weight, int64_t rows, int64_t classes,
                      double smoothing, double gamma) {
    for (int64_t i = 0; i < rows * classes; i++) {
        const int64_t r = i / classes, k = i % classes;
        const double t = targets[i], p = sigmoid(z[i]), soft = t * (1 - smoothing) + smoothing / 2;
        dz[i] = 0;
        if (labels[r] < 0 || t < 0) continue;
        const double yes =
            gamma * pow(1 - p, gamma - 1) * log(p) - pow(1 - p, gamma) / p; /* d/dp of -(1-p)^g log p */
        const double no = -gamma * pow(p, gamma - 1) * log(1 - p) + pow(p, gamma) / (1 - p);
        dz[i] = dloss[r] * ((weight ? weight[k] : 1) * soft * yes + (1 - soft) * no) * p * (1 - p) /
                known(targets + r * classes, classes);
    }
}

double ref_error(double e, enum berth_error_kind kind, double delta) {
    if (kind == BERTH_ERROR_SQUARED) return e * e;
    if (kind == BERTH_ERROR_ABSOLUTE) return fabs(e);
    return fabs(e) <= delta ? e * e / 2 : delta * (fabs(e) - delta / 2);
}

double ref_error_slope(double e, enum berth_error_kind kind, double delta) {
    const double sign = (e > 0) - (e < 0);
    if (kind == BERTH_ERROR_SQUARED) return 2 * e;
    return kind == BERTH_ERROR_ABSOLUTE ? sign : fabs(e) <= delta ? e : delta * sign;
}

void ref_normalize(double *y, double *norm, const double *x, int64_t rows, int64_t hidden, double scale) {
    for (int64_t r = 0; r < rows; r++) {
        double square = 0;
        for (int64_t j = 0; j < hidden; j++)
            square += x[r * hidden + j] * x[r * hidden + j];
        norm[r] = fmax(sqrt(square), 1e-12);
        for (int64_t j = 0; j < hidden; j++)
            y[r * hidden + j] = scale * x[r * hidden + j] / norm[r];
    }
}

void ref_normalize_backward(double *dx, const double *dy, const double *x, int64_t rows, int64_t hidden,
                            double scale) {
    for (int64_t r = 0; r < rows; r++) {
        double square = 0, dot = 0;
        for (int64_t j = 0; j < hidden; j++) {
            square += x[r * hidden + j] * x[r * hidden + j];
            dot += x[r * hidden + j] * dy[r * hidden + j];
        }
        for (int64_t j = 0; j < hidden; j++)
            dx[r * hidden + j] =
                scale * (dy[r * hidden + j] / sqrt(square) - x[r * hidden + j] * dot / pow(square, 1.5));
    }
}

double ref_cosent(const double *y, const double *target, const int32_t *labels, int64_t rows, double scale) {
    double sum = 1;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < rows; j++)
            if (labels[i] >= 0 && labels[j] >= 0 && target[i] > target[j]) sum += exp(scale * (y[j] - y[i]));
    return log(sum);
}

void ref_cosent_backward(double *dy, const double *dloss, const double *y, const double *target,
                         const int32_t *labels, int64_t rows, double scale) {
    const double sum = exp(ref_cosent(y, target, labels, rows, scale));
    double factor = 0;
    memset(dy, 0, (size_t)rows * sizeof *dy);
    for (int64_t i = 0; i < rows; i++)
        factor += labels[i] >= 0 ? dloss[i] : 0;
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < rows; j++) {
            if (labels[i] < 0 || labels[j] < 0 || !(target[i] > target[j])) continue;
            const double slope = factor * scale * exp(scale * (y[j] - y[i])) / sum;
            dy[j] += slope;
            dy[i] -= slope;
        }
    }
}

/* ---- CRF */

static bool agrees(const int32_t *labels, int64_t word, int64_t tag) {
    return labels == NULL || labels[word] < 0 || labels[word] == tag;
}

double ref_crf_paths(const struct ref_crf *c, const int32_t *labels) {
    int64_t path[16] = {0};
    double sum = 0;
    for (bool more = true; more;) {
        double score = c->start[path[0]] + c->end[path[c->words - 1]];
        bool counts = true;
        for (int64_t t = 0; t < c->words; t++) {
            score += c->z[t * c->classes + path[t]];
            if (t > 0) score += c->transitions[path[t - 1] * c->classes + path[t]];
            counts = counts && agrees(labels, t, path[t]);
        }
        if (counts) sum += exp(score);
        int64_t at = 0;
        while (at < c->words && ++path[at] == c->classes)
            path[at++] = 0;
        more = at < c->words;
    }
    return log(sum);
}

/* alpha and beta [words, classes] in plain logarithms. */
static void messages(const struct ref_crf *c, const int32_t *labels, double *alpha, double *beta) {
    const int64_t n = c->words, k = c->classes;
    double *terms = malloc((size_t)k * sizeof *terms);
    for (int64_t t = 0; t < n; t++) {
        for (int64_t j = 0; j < k; j++) {
            for (int64_t i = 0; i < k && t > 0; i++)
                terms[i] = alpha[(t - 1) * k + i] + c->transitions[i * k + j];
            const double before = t > 0 ? log_sum(terms, k) : c->start[j];
            alpha[t * k + j] = agrees(labels, t, j) ? before + c->z[t * k + j] : -INFINITY;
        }
    }
    for (int64_t t = n - 1; t >= 0; t--) {
        for (int64_t i = 0; i < k; i++) {
            for (int64_t j = 0; j < k && t < n - 1; j++)
                terms[j] = agrees(labels, t + 1, j)
                               ? c->transitions[i * k + j] + c->z[(t + 1) * k + j] + beta[(t + 1) * k + j]
                               : -INFINITY;
            beta[t * k + i] = t < n - 1 ? log_sum(terms, k) : c->end[i];
        }
    }
    free(terms);
}

static double total(const struct ref_crf *c, const double *alpha) {
    const int64_t k = c->classes;
    double sum = 0, top = -INFINITY;
    for (int64_t j = 0; j < k; j++)
        top = fmax(top, alpha[(c->words - 1) * k + j] + c->end[j]);
    for (int64_t j = 0; j < k; j++)
        sum += exp(alpha[(c->words - 1) * k + j] + c->end[j] - top);
    return top + log(sum);
}

double ref_crf_sum(const struct ref_crf *c, const int32_t *labels) {
    const size_t n = (size_t)(c->words * c->classes);
    double *alpha = malloc(2 * n * sizeof *alpha);
    messages(c, labels, alpha, alpha + n);
    const double sum = total(c, alpha);
    free(alpha);
    return sum;
}

void ref_crf_slope(const struct ref_crf *c, const int32_t *labels, double factor, double *dz,
                   double *dtransitions, double *dstart, double *dend) {
    const int64_t k = c->classes, n = c->words;
    double *alpha = malloc((size_t)(2 * n * k) * sizeof *alpha), *beta = alpha + n * k;
    messages(c, labels, alpha, beta);
    const double sum = total(c, alpha);
    for (int64_t t = 0; t < n; t++) {
        for (int64_t j = 0; j < k; j++) {
            const double p = factor * exp(alpha[t * k + j] + beta[t * k + j] - sum);
            dz[t * k + j] += p;
            if (t == 0) dstart[j] += p;
            if (t == n - 1) dend[j] += p;
            for (int64_t i = 0; i < k && t > 0; i++)
                if (agrees(labels, t, j))
                    dtransitions[i * k + j] += factor * exp(alpha[(t - 1) * k + i] + c->transitions[i * k + j] +
                                                            c->z[t * k + j] + beta[t * k + j] - sum);
        }
    }
    free(alpha);
}
