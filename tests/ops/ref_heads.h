/* ref_heads.h: losses of heads in double, from their formulas (kernels.h); slopes are those of one term. */
#ifndef BERTH_TESTS_REF_HEADS_H
#define BERTH_TESTS_REF_HEADS_H

#include <stdint.h>

#include "berth/kernels.h"

void ref_focal(double *loss, double *lse, const double *z, const int32_t *labels, const double *weight,
               int64_t rows, int64_t classes, double gamma);
void ref_focal_backward(double *dz, const double *dloss, const double *z, const int32_t *labels,
                        const double *weight, int64_t rows, int64_t classes, double gamma);
void ref_bce(double *loss, const double *z, const double *targets, const int32_t *labels, const double *weight,
             int64_t rows, int64_t classes, double smoothing, double gamma);
void ref_bce_backward(double *dz, const double *dloss, const double *z, const double *targets,
                      const int32_t *labels, const double *weight, int64_t rows, int64_t classes,
                      double smoothing, double gamma);
double ref_error(double e, enum berth_error_kind kind, double delta);
double ref_error_slope(double e, enum berth_error_kind kind, double delta);
void ref_normalize(double *y, double *norm, const double *x, int64_t rows, int64_t hidden, double scale);
void ref_normalize_backward(double *dx, const double *dy, const double *x, int64_t rows, int64_t hidden,
                            double scale);
double ref_cosent(const double *y, const double *target, const int32_t *labels, int64_t rows, double scale);
void ref_cosent_backward(double *dy, const double *dloss, const double *y, const double *target,
                         const int32_t *labels, int64_t rows, double scale);

/* A CRF of one sequence: log Σ e^score over the paths that agree with the labels (NULL: all). */
struct ref_crf {
    const double *z, *transitions, *start, *end;
    int64_t words, classes;
};
double ref_crf_paths(const struct ref_crf *c,
                     const int32_t *labels); /* every path alone: classes^words of them */
double ref_crf_sum(const struct ref_crf *c, const int32_t *labels); /* by the forward algorithm */
/* Adds factor times the gradient of that. */
void ref_crf_slope(const struct ref_crf *c, const int32_t *labels, double factor, double *dz,
                   double *dtransitions, double *dstart, double *dend);

#endif /* BERTH_TESTS_REF_HEADS_H */
