/* eval_labels.c: several labels a row, each a yes or no: a label is answered where its probability reaches the
 * head's threshold. With tuning the threshold is first chosen by these rows, among 0.01, 0.02, ..., 0.99: the
 * one with the best own metric (micro F1 where that does not depend on it), of equal ones the nearest to one
 * half. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/evaluate_priv.h"

struct label_counts {
    struct berth_class_counts c;
    int64_t exact; /* rows with all labels right */
};

static void count_labels(struct eval_task *t, int64_t rows, float threshold, struct label_counts *out) {
    const int64_t classes = t->width;
    memset(out->c.right, 0, 3 * (size_t)classes * sizeof *out->c.right); /* the three lie together */
    out->c.total = rows * classes;
    out->exact = 0;
    for (int64_t i = 0; i < rows; i++) {
        bool exact = true;
        for (int64_t k = 0; k < classes; k++) {
            const float target = t->target[i * classes + k];
            const bool said = t->answers.scores[i * classes + k] >= threshold, is = target > 0.5f;
            if (target < 0) continue;
            out->c.gold[k] += is;
            out->c.predicted[k] += said;
            out->c.right[k] += is && said;
            exact = exact && is == said;
        }
        out->exact += exact;
    }
}

static double own_score(const struct eval_task *t, const struct label_counts *n, int64_t rows) {
    struct berth_class_scores s;
    berth_class_score(&s, &n->c, true);
    if (strcmp(t->metric, "macro_f1") == 0) return s.macro_f1;
    if (strcmp(t->metric, "weighted_f1") == 0) return s.weighted_f1;
    if (strcmp(t->metric, "accuracy") == 0) return rows > 0 ? (double)n->exact / (double)rows : 0;
    return s.micro_f1;
}

static float tuned_threshold(struct eval_task *t, int64_t rows, struct label_counts *n) {
    float best = 0.5f;
    double most = -1;
    for (int step = 0; step < 99; step++) { /* 0.50, 0.51, 0.49, 0.52, ... */
        const float threshold = (float)(50 + (step % 2 ? 1 : -1) * ((step + 1) / 2)) / 100.0f;
        count_labels(t, rows, threshold, n);
        const double score = own_score(t, n, rows);
        if (score > most) {
            most = score;
            best = threshold;
        }
    }
    return best;
}

/* Mean over the labels that some row has and another has not. */
static berth_status labels_auc(const struct eval_task *t, int64_t rows, double *out) {
    berth_status status = BERTH_OK;
    bool *positive = NULL;
    float *scores = NULL;
    double sum = 0, counted = 0;
    BERTH_TRY_OUT(berth_calloc(&positive, (size_t)rows, sizeof *positive));
    BERTH_TRY_OUT(berth_calloc(&scores, (size_t)rows, sizeof *scores));
    for (int64_t k = 0; k < t->width; k++) {
        double auc = (double)NAN;
        int64_t known = 0;
        for (int64_t i = 0; i < rows; i++) {
            if (t->target[i * t->width + k] < 0) continue;
            positive[known] = t->target[i * t->width + k] > 0.5f;
            scores[known++] = t->answers.scores[i * t->width + k];
        }
        BERTH_TRY_OUT(berth_roc_auc(&auc, scores, 1, positive, known));
        if (isnan(auc)) continue;
        sum += auc;
        counted += 1;
    }
    *out = counted > 0 ? sum / counted : (double)NAN;
out:
    free(positive);
    free(scores);
    return status;
}

static void put_details(struct eval_task *t, const struct berth_class_counts *c, float threshold) {
    struct berth_str *s = &t->details;
    const struct berth_labels *labels = &t->model->heads[t->head].task.labels;
    berth_str_add(s, "{\"classes\": [");
    for (int64_t k = 0; k < c->classes; k++) {
        berth_str_add(s, k > 0 ? ", " : "");
        details_counts(s, "label", labels->names[k], c->gold[k], c->predicted[k], c->right[k]);
    }
    berth_str_addf(s, "], \"threshold\": %.6g}", (double)threshold);
}

static berth_status finish(struct eval_task *t) {
    berth_status status = BERTH_OK;
    struct berth_head *head = &t->model->heads[t->head];
    const int64_t classes = t->width;
    int64_t *row_of = NULL, *counts = NULL, rows = 0;
    double auc = (double)NAN;
    struct berth_class_scores s;
    BERTH_TRY_OUT(eval_rows_join(t, &row_of, &rows));
    BERTH_TRY_OUT(berth_model_answer(t->model, t->head, t->outputs, rows, NULL, &t->answers));
    BERTH_TRY_OUT(berth_calloc(&counts, 3 * (size_t)classes, sizeof *counts));
    struct label_counts n = {
        .c = {
            .classes = classes, .right = counts, .gold = counts + classes, .predicted = counts + 2 * classes}};
    if (t->tune && rows > 0) head->threshold = tuned_threshold(t, rows, &n);
    const float threshold = berth_head_threshold(head);
    count_labels(t, rows, threshold, &n);
    berth_class_score(&s, &n.c, true);
    BERTH_TRY_OUT(labels_auc(t, rows, &auc));
    for (int64_t i = 0; i < rows; i++) {
        bool exact = true;
        for (int64_t k = 0; k < classes; k++)
            exact = exact &&
                    (t->answers.scores[i * classes + k] >= threshold) == (t->target[i * classes + k] > 0.5f);
        t->verdict[row_of[i]] = exact ? VERDICT_RIGHT : VERDICT_WRONG;
    }
    eval_put(t, "micro_f1", rows > 0 ? s.micro_f1 : (double)NAN);
    eval_put(t, "macro_f1", rows > 0 ? s.macro_f1 : (double)NAN);
    eval_put(t, "weighted_f1", rows > 0 ? s.weighted_f1 : (double)NAN);
    eval_put(t, "precision", rows > 0 ? s.micro_precision : (double)NAN);
    eval_put(t, "recall", rows > 0 ? s.micro_recall : (double)NAN);
    eval_put(t, "accuracy", rows > 0 ? (double)n.exact / (double)rows : (double)NAN);
    eval_put(t, "auc", auc);
    eval_put(t, "threshold", (double)threshold);
    put_details(t, &n.c, threshold);
out:
    free(row_of);
    free(counts);
    return status;
}

const struct eval_kind eval_multilabel = {
    .kind = BERTH_TASK_MULTILABEL,
    .metrics = "micro_f1|macro_f1|weighted_f1|precision|recall|accuracy|auc",
    .has_verdict = true,
    .begin = eval_rows_begin,
    .add = eval_rows_add,
    .finish = finish,
};
