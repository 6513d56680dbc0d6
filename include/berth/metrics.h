/* metrics.h: the numbers that the field reports, from plain arrays; nothing here knows of tasks or models.
 *
 * What scikit-learn, scipy and seqeval return for the same input, ties and empty classes included
 * (scripts/make_metric_golden.py). Undefined ones are NaN where the reference's are, and 0 where it says 0. */
#ifndef BERTH_METRICS_H
#define BERTH_METRICS_H

#include "berth/tags.h"

/* Of answers over K classes: right[k] answered k and were k, gold[k] were k, predicted[k] answered k. */
struct berth_class_counts {
    int64_t classes;                   /* K */
    int64_t total;                     /* rows (several labels a row: rows times K) */
    int64_t *right, *gold, *predicted; /* [K] */
};
struct berth_class_scores {
    double accuracy;                                /* rows right, of one class a row */
    double macro_precision, macro_recall, macro_f1; /* means over classes */
    double micro_precision, micro_recall, micro_f1; /* of the sums over classes */
    double weighted_f1;                             /* mean weighted by gold */
    double matthews; /* correlation of Matthews (1975), for K classes as Gorodkin (2004) has it */
};
/* all_classes: the mean over classes counts those that neither stand in gold nor were answered (0 each: several
 * labels a row); else it passes over them (one class a row). */
void berth_class_score(struct berth_class_scores *out, const struct berth_class_counts *counts,
                       bool all_classes);

double berth_pearson(const float *x, const float *y, int64_t count);
/* Pearson's of the ranks, ties sharing their mean rank. */
berth_status berth_spearman(double *out, const float *x, const float *y, int64_t count) BERTH_CHECKED;
/* Area under the ROC curve: the share of pairs of a positive and another row that the scores put in this order,
 * a tie counting half. NaN where one side is empty. positive [count]; scores are `stride` apart. */
berth_status berth_roc_auc(double *out, const float *scores, int64_t stride, const bool *positive,
                           int64_t count) BERTH_CHECKED;

#endif /* BERTH_METRICS_H */
