/* ref_ops.h: the operations in double precision, written from their formulas (kernels.h) with no eye to the
 * kernels. Plain loops; gradients are added (+=) where the name says so. Packed [T, 3, A, D] and row-major
 * arrays as everywhere. `kept` arrays hold dropout's factors, 0 or the scale; NULL means 1. */
#ifndef BERTH_TESTS_REF_OPS_H
#define BERTH_TESTS_REF_OPS_H

#include <stdint.h>

#include "berth/kernels.h"

void ref_gemm(double *c, const double *a, const double *b, const double *bias, int64_t m, int64_t n, int64_t k,
              enum berth_gemm_form form, int accumulate);

void ref_layernorm(double *y, double *pre, double *mean, double *rstd, const double *x, const double *residual,
                   const double *gamma, const double *beta, const double *kept, int64_t rows, int64_t hidden,
                   double eps);
void ref_layernorm_backward(double *dx, double *dresidual, double *dgamma_add, double *dbeta_add,
                            const double *dy, const double *pre, const double *gamma, const double *kept,
                            int64_t rows, int64_t hidden, double eps);

double ref_activation(double x, enum berth_activation kind);
double ref_activation_slope(double x, enum berth_activation kind);

void ref_attention(double *out, double *lse, const double *qkv, const double *kept /* [pairs, A] or NULL */,
                   const int32_t *cu, int64_t sequences, int64_t heads, int64_t head_size, double scale);
void ref_attention_backward(double *dqkv, const double *dout, const double *qkv, const double *kept,
                            const int32_t *cu, int64_t sequences, int64_t heads, int64_t head_size,
                            double scale);
/* The place of (head, query, key) of sequence b in `kept`. */
int64_t ref_pair(const int32_t *cu, int64_t heads, int64_t b, int64_t head, int64_t query, int64_t key);

void ref_embedding(double *y, const double *token, const double *position, const double *segment,
                   const int32_t *ids, const int32_t *pos, const int32_t *seg, int64_t rows, int64_t hidden);
void ref_embedding_backward(double *dtable_add, const double *dy, const int32_t *ids, int64_t rows,
                            int64_t hidden);
void ref_mean_pool(double *y, const double *x, const int32_t *seqs, const int32_t *cu, int64_t count,
                   int64_t hidden);
void ref_mean_pool_backward(double *dx_add, const double *dy, const int32_t *seqs, const int32_t *cu,
                            int64_t count, int64_t hidden);

void ref_cross_entropy(double *loss, double *lse, const double *z, const int32_t *labels, const double *weight,
                       int64_t rows, int64_t classes, double smoothing);
void ref_cross_entropy_backward(double *dz, const double *dloss, const double *z, const int32_t *labels,
                                const double *weight, int64_t rows, int64_t classes, double smoothing);

#endif /* BERTH_TESTS_REF_OPS_H */
