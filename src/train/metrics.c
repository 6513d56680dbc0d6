/* metrics.c: the formulas behind metrics.h, and the names of all metrics.
 *
 *     F1        2 right / (gold + predicted), 0 where both are 0
 *     Matthews  (c s - Σ p_k t_k) / sqrt((s² - Σ p_k²) (s² - Σ t_k²)), c right of s rows, t gold, p predicted;
 * 0 where the root is 0 AUC       (Σ ranks of the positives - P (P + 1) / 2) / (P N), ties sharing their mean
 * rank (Mann-Whitney)
 *
 * Sums run in double, in the order of the arrays. */
#include "berth/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/evaluate_priv.h"

static double ratio(double part, double whole) {
    return whole > 0 ? part / whole : 0.0;
}

void berth_class_score(struct berth_class_scores *out, const struct berth_class_counts *c, bool all_classes) {
    double right = 0, gold = 0, predicted = 0, crossed = 0, gold_squares = 0, predicted_squares = 0,
           counted = 0;
    memset(out, 0, sizeof *out);
    for (int64_t k = 0; k < c->classes; k++) {
        const double r = (double)c->right[k], g = (double)c->gold[k], p = (double)c->predicted[k];
        const double f1 = ratio(2 * r, g + p);
        right += r;
        gold += g;
        predicted += p;
        crossed += g * p;
        gold_squares += g * g;
        predicted_squares += p * p;
        out->weighted_f1 += f1 * g;
        if (!all_classes && g + p == 0) continue;
        counted += 1;
        out->macro_precision += ratio(r, p);
        out->macro_recall += ratio(r, g);
        out->macro_f1 += f1;
    }
    const double s = (double)c->total, root = sqrt((s * s - predicted_squares) * (s * s - gold_squares));
    out->accuracy = ratio(right, s);
    out->macro_precision = ratio(out->macro_precision, counted);
    out->macro_recall = ratio(out->macro_recall, counted);
    out->macro_f1 = ratio(out->macro_f1, counted);
    out->micro_precision = ratio(right, predicted);
    out->micro_recall = ratio(right, gold);
    out->micro_f1 = ratio(2 * right, gold + predicted);
    out->weighted_f1 = ratio(out->weighted_f1, gold);
    out->matthews = root > 0 ? (right * s - crossed) / root : 0.0;
}

static double pearson_of(const double *x, const double *y, int64_t count) {
    double mx = 0, my = 0, xx = 0, yy = 0, xy = 0;
    for (int64_t i = 0; i < count; i++) {
        mx += x[i] / (double)count;
        my += y[i] / (double)count;
    }
    for (int64_t i = 0; i < count; i++) {
        xx += (x[i] - mx) * (x[i] - mx);
        yy += (y[i] - my) * (y[i] - my);
        xy += (x[i] - mx) * (y[i] - my);
    }
    return count >= 2 && xx > 0 && yy > 0 ? xy / sqrt(xx) / sqrt(yy) : (double)NAN;
}

double berth_pearson(const float *x, const float *y, int64_t count) {
    double mx = 0, my = 0, xx = 0, yy = 0, xy = 0;
    for (int64_t i = 0; i < count; i++) {
        mx += (double)x[i];
        my += (double)y[i];
    }
    mx /= (double)count;
    my /= (double)count;
    for (int64_t i = 0; i < count; i++) {
        const double a = (double)x[i] - mx, b = (double)y[i] - my;
        xx += a * a;
        yy += b * b;
        xy += a * b;
    }
    return count >= 2 && xx > 0 && yy > 0 ? xy / sqrt(xx) / sqrt(yy) : (double)NAN;
}

struct ranked {
    float value;
    int64_t at;
};

static int compare_ranked(const void *pa, const void *pb) {
    const struct ranked *a = pa, *b = pb;
    if (a->value != b->value) return a->value < b->value ? -1 : 1;
    return a->at < b->at ? -1 : a->at > b->at;
}

/* ranks[i] = rank of x[i] from 1, equal ones their mean. */
static berth_status rank(double *ranks, const float *x, int64_t stride, int64_t count) {
    struct ranked *sorted = NULL;
    BERTH_TRY(berth_calloc(&sorted, (size_t)count, sizeof *sorted));
    for (int64_t i = 0; i < count; i++)
        sorted[i] = (struct ranked){.value = x[i * stride], .at = i};
    if (count > 1) qsort(sorted, (size_t)count, sizeof *sorted, compare_ranked);
    for (int64_t first = 0, end; first < count; first = end) {
        for (end = first + 1; end < count && !(sorted[end].value > sorted[first].value); end++) {
        }
        for (int64_t i = first; i < end; i++)
            ranks[sorted[i].at] = (double)(first + 1 + end) / 2;
    }
    free(sorted);
    return BERTH_OK;
}

berth_status berth_spearman(double *out, const float *x, const float *y, int64_t count) {
    berth_status status = BERTH_OK;
    double *rx = NULL, *ry = NULL;
    BERTH_TRY_OUT(berth_calloc(&rx, (size_t)count, sizeof *rx));
    BERTH_TRY_OUT(berth_calloc(&ry, (size_t)count, sizeof *ry));
    BERTH_TRY_OUT(rank(rx, x, 1, count));
    BERTH_TRY_OUT(rank(ry, y, 1, count));
    *out = pearson_of(rx, ry, count);
out:
    free(rx);
    free(ry);
    return status;
}

berth_status berth_roc_auc(double *out, const float *scores, int64_t stride, const bool *positive,
                           int64_t count) {
    double *ranks = NULL, sum = 0, positives = 0;
    BERTH_TRY(berth_calloc(&ranks, (size_t)count, sizeof *ranks));
    berth_status status = rank(ranks, scores, stride, count);
    for (int64_t i = 0; status == BERTH_OK && i < count; i++) {
        if (!positive[i]) continue;
        sum += ranks[i];
        positives += 1;
    }
    free(ranks);
    const double others = (double)count - positives;
    *out = positives > 0 && others > 0 ? (sum - positives * (positives + 1) / 2) / (positives * others)
                                       : (double)NAN;
    return status;
}

/* ---- names */

static const struct metric METRICS[] = {
    {"accuracy", METRIC_SHARE},
    {"span_f1", METRIC_SHARE},
    {"span_precision", METRIC_SHARE},
    {"span_recall", METRIC_SHARE},
    {"strict_span_f1", METRIC_SHARE},
    {"word_accuracy", METRIC_SHARE},
    {"token_f1", METRIC_SHARE},
    {"macro_f1", METRIC_SHARE},
    {"micro_f1", METRIC_SHARE},
    {"weighted_f1", METRIC_SHARE},
    {"precision", METRIC_SHARE},
    {"recall", METRIC_SHARE},
    {"matthews", METRIC_SHARE},
    {"auc", METRIC_SHARE},
    {"pearson", METRIC_SHARE},
    {"spearman", METRIC_SHARE},
    {"frame_accuracy", METRIC_SHARE},
    {"mrr", METRIC_SHARE},
    {"mse", METRIC_LOW},
    {"mae", METRIC_LOW},
    {"perplexity", METRIC_LOW},
    {"loss", METRIC_LOW},
    {"threshold", METRIC_PLAIN},
    {"rows", METRIC_PLAIN},
    {"metric", METRIC_SHARE},
};

const struct metric *metric_find(const char *name) {
    for (size_t i = 0; i < sizeof METRICS / sizeof METRICS[0]; i++) {
        if (strcmp(METRICS[i].name, name) == 0) return &METRICS[i];
    }
    return NULL;
}
