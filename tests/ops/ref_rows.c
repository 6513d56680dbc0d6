/* ref_rows.c: embeddings, pooling and cross-entropy in double. */
#include <math.h>

#include "ops/ref_ops.h"

void ref_embedding(double *y, const double *token, const double *position, const double *segment,
                   const int32_t *ids, const int32_t *pos, const int32_t *seg, int64_t rows, int64_t hidden) {
    for (int64_t t = 0; t < rows; t++)
        for (int64_t j = 0; j < hidden; j++)
            y[t * hidden + j] = token[ids[t] * hidden + j] + position[pos[t] * hidden + j] +
                                (segment ? segment[seg[t] * hidden + j] : 0);
}

void ref_embedding_backward(double *dtable_add, const double *dy, const int32_t *ids, int64_t rows,
                            int64_t hidden) {
    for (int64_t t = 0; t < rows; t++)
        for (int64_t j = 0; j < hidden; j++)
            dtable_add[ids[t] * hidden + j] += dy[t * hidden + j];
}

void ref_mean_pool(double *y, const double *x, const int32_t *seqs, const int32_t *cu, int64_t count,
                   int64_t hidden) {
    for (int64_t r = 0; r < count; r++) {
        for (int64_t j = 0; j < hidden; j++) {
            double sum = 0;
            for (int32_t t = cu[seqs[r]]; t < cu[seqs[r] + 1]; t++)
                sum += x[t * hidden + j];
            y[r * hidden + j] = sum / (cu[seqs[r] + 1] - cu[seqs[r]]);
        }
    }
}

void ref_mean_pool_backward(double *dx_add, const double *dy, const int32_t *seqs, const int32_t *cu,
                            int64_t count, int64_t hidden) {
    for (int64_t r = 0; r < count; r++)
        for (int32_t t = cu[seqs[r]]; t < cu[seqs[r] + 1]; t++)
            for (int64_t j = 0; j < hidden; j++)
                dx_add[t * hidden + j] += dy[r * hidden + j] / (cu[seqs[r] + 1] - cu[seqs[r]]);
}

static double log_sum(const double *z, int64_t classes) {
    double top = z[0], sum = 0;
    for (int64_t k = 1; k < classes; k++)
        top = fmax(top, z[k]);
    for (int64_t k = 0; k < classes; k++)
        sum += exp(z[k] - top);
    return top + log(sum);
}

void ref_cross_entropy(double *loss, double *lse, const double *z, const int32_t *labels, const double *weight,
                       int64_t rows, int64_t classes, double smoothing) {
    for (int64_t r = 0; r < rows; r++) {
        const double *row = z + r * classes;
        lse[r] = log_sum(row, classes);
        loss[r] = 0;
        if (labels[r] < 0) continue;
        loss[r] = (1 - smoothing) * (weight ? weight[labels[r]] : 1) * (lse[r] - row[labels[r]]);
        for (int64_t k = 0; k < classes; k++)
            loss[r] += smoothing / (double)classes * (weight ? weight[k] : 1) * (lse[r] - row[k]);
    }
}

void ref_cross_entropy_backward(double *dz, const double *dloss, const double *z, const int32_t *labels,
                                const double *weight, int64_t rows, int64_t classes, double smoothing) {
    for (int64_t r = 0; r < rows; r++) {
        const double *row = z + r * classes, lse = log_sum(row, classes);
        for (int64_t j = 0; j < classes; j++) {
            double slope = 0;
            for (int64_t k = 0; k < classes && labels[r] >= 0; k++) {
                const double share = smoothing / (double)classes + (k == labels[r] ? 1 - smoothing : 0);
                slope += share * (weight ? weight[k] : 1) * (exp(row[j] - lse) - (j == k));
            }
            dz[r * classes + j] = dloss[r] * slope;
        }
    }
}
