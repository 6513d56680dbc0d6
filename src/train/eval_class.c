/* eval_class.c: classification: one class a row. A label that training never saw is a class of its own, which
 * is never answered: such a row is wrong. */
#include <math.h>
#include <stdlib.h>

#include "train/evaluate_priv.h"

/* Mean over the classes that both stand in gold and do not fill it: one against the rest; of two classes the
 * second alone, as it is reported everywhere. */
static berth_status class_auc(double *out, const struct eval_task *t, int64_t classes, int64_t count) {
    berth_status status = BERTH_OK;
    bool *positive = NULL;
    double sum = 0, counted = 0;
    BERTH_TRY_OUT(berth_calloc(&positive, (size_t)count, sizeof *positive));
    for (int64_t k = classes == 2 ? 1 : 0; k < classes; k++) {
        double auc = (double)NAN;
        for (int64_t i = 0; i < count; i++)
            positive[i] = t->label[i] == k;
        BERTH_TRY_OUT(berth_roc_auc(&auc, t->answers.scores + k, classes, positive, count));
        if (isnan(auc)) continue;
        sum += auc;
        counted += 1;
    }
    *out = counted > 0 ? sum / counted : (double)NAN;
out:
    free(positive);
    return status;
}

static void put_scores(struct eval_task *t, const struct berth_class_counts *c, double auc) {
    struct berth_class_scores s;
    const bool any = t->rows > 0;
    berth_class_score(&s, c, false);
    eval_put(t, "accuracy", any ? s.accuracy : (double)NAN);
    eval_put(t, "macro_f1", any ? s.macro_f1 : (double)NAN);
    eval_put(t, "micro_f1", any ? s.micro_f1 : (double)NAN);
    eval_put(t, "weighted_f1", any ? s.weighted_f1 : (double)NAN);
    eval_put(t, "precision", any ? s.macro_precision : (double)NAN);
    eval_put(t, "recall", any ? s.macro_recall : (double)NAN);
    eval_put(t, "matthews", any ? s.matthews : (double)NAN);
    eval_put(t, "auc", auc);
}

/* Gold by answered; of more classes than a page can show the list of mistakes must do. */
static void add_confusion(struct eval_task *t, int64_t classes, int64_t count) {
    enum { MOST = 100 };
    struct berth_str *s = &t->details;
    const struct berth_labels *labels = &t->model->heads[t->head].task.labels;
    if (classes > MOST) return;
    berth_str_add(s, ", \"labels\": [");
    for (int64_t k = 0; k < classes; k++) {
        berth_str_add(s, k > 0 ? ", " : "");
        berth_str_add_json(s, labels->names[k]);
    }
    berth_str_add(s, "], \"confusion\": [");
    for (int64_t gold = 0; gold < classes; gold++) {
        int64_t row[MOST] = {0};
        for (int64_t i = 0; i < count; i++)
            if (t->label[i] == gold) row[t->answers.label[i]]++;
        berth_str_add(s, gold > 0 ? ", [" : "[");
        for (int64_t k = 0; k < classes; k++)
            berth_str_addf(s, "%s%lld", k > 0 ? ", " : "", (long long)row[k]);
        berth_str_add(s, "]");
    }
    berth_str_add(s, "]");
}

static berth_status put_details(struct eval_task *t, const struct berth_class_counts *c, int64_t count) {
    struct berth_str *s = &t->details;
    const struct berth_labels *labels = &t->model->heads[t->head].task.labels;
    const int64_t classes = c->classes - 1; /* without that of unknown labels */
    struct details_mistake *wrong = NULL;
    int64_t wrong_count = 0;
    BERTH_TRY(berth_calloc(&wrong, (size_t)count, sizeof *wrong));
    for (int64_t i = 0; i < count; i++)
        if (t->label[i] >= 0 && t->label[i] != t->answers.label[i])
            wrong[wrong_count++] =
                (struct details_mistake){.gold = t->label[i], .answered = t->answers.label[i], .count = 1};
    berth_str_add(s, "{\"classes\": [");
    for (int64_t k = 0; k < classes; k++) {
        berth_str_add(s, k > 0 ? ", " : "");
        details_counts(s, "label", labels->names[k], c->gold[k], c->predicted[k], c->right[k]);
    }
    berth_str_addf(s, "], \"unknown\": %lld, ", (long long)c->gold[classes]);
    details_mistakes(s, wrong, wrong_count, labels);
    add_confusion(t, classes, count);
    berth_str_add(s, "}");
    free(wrong);
    return BERTH_OK;
}

static berth_status finish(struct eval_task *t) {
    berth_status status = BERTH_OK;
    const int64_t classes = berth_head_width(t->model, t->head);
    int64_t *row_of = NULL, *counts = NULL, rows = 0;
    double auc = (double)NAN;
    BERTH_TRY_OUT(eval_rows_join(t, &row_of, &rows));
    BERTH_TRY_OUT(berth_model_answer(t->model, t->head, t->outputs, rows, NULL, &t->answers));
    BERTH_TRY_OUT(berth_calloc(&counts, 3 * (size_t)(classes + 1), sizeof *counts));
    struct berth_class_counts c = {.classes = classes + 1, /* the last one: labels that training never saw */
                                   .total = rows,
                                   .right = counts,
                                   .gold = counts + classes + 1,
                                   .predicted = counts + 2 * (classes + 1)};
    for (int64_t i = 0; i < rows; i++) {
        const int64_t gold = t->label[i] >= 0 ? t->label[i] : classes, said = t->answers.label[i];
        c.gold[gold]++;
        c.predicted[said]++;
        c.right[gold] += gold == said;
        t->verdict[row_of[i]] = gold == said ? VERDICT_RIGHT : VERDICT_WRONG;
    }
    BERTH_TRY_OUT(class_auc(&auc, t, classes, rows));
    put_scores(t, &c, auc);
    BERTH_TRY_OUT(put_details(t, &c, rows));
out:
    free(row_of);
    free(counts);
    return status;
}

const struct eval_kind eval_classification = {
    .kind = BERTH_TASK_CLASSIFICATION,
    .metrics = "accuracy|macro_f1|micro_f1|weighted_f1|precision|recall|matthews|auc",
    .has_verdict = true,
    .begin = eval_rows_begin,
    .add = eval_rows_add,
    .finish = finish,
};
