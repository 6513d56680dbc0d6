/* eval_numbers.c: a number a row against its target: regression, and the cosines of pairs. */
#include <math.h>
#include <stdlib.h>

#include "train/evaluate_priv.h"

/* Targets, answers, and how far the answers are off. */
static berth_status put_details(struct eval_task *t, int64_t rows) {
    static const char *const names[] = {"targets", "answers", "residuals"};
    double *values = NULL;
    BERTH_TRY(berth_calloc(&values, (size_t)rows, sizeof *values));
    for (int which = 0; which < 3; which++) {
        for (int64_t i = 0; i < rows; i++) {
            const double target = t->target[i], answer = t->outputs[i];
            values[i] = which == 0 ? target : which == 1 ? answer : answer - target;
        }
        berth_str_add(&t->details, which == 0 ? "{" : ", ");
        details_spread(&t->details, names[which], values, rows);
    }
    berth_str_add(&t->details, "}");
    free(values);
    return BERTH_OK;
}

static berth_status finish(struct eval_task *t) {
    berth_status status = BERTH_OK;
    int64_t *row_of = NULL, rows = 0;
    double squares = 0, sizes = 0, spearman = (double)NAN;
    BERTH_TRY_OUT(eval_rows_join(t, &row_of, &rows));
    for (int64_t i = 0; i < rows; i++) {
        const double e = (double)t->outputs[i] - (double)t->target[i];
        squares += e * e;
        sizes += fabs(e);
    }
    if (rows > 0) BERTH_TRY_OUT(berth_spearman(&spearman, t->outputs, t->target, rows));
    eval_put(t, "spearman", spearman);
    eval_put(t, "pearson", rows > 0 ? berth_pearson(t->outputs, t->target, rows) : (double)NAN);
    eval_put(t, "mse", rows > 0 ? squares / (double)rows : (double)NAN);
    eval_put(t, "mae", rows > 0 ? sizes / (double)rows : (double)NAN);
    BERTH_TRY_OUT(put_details(t, rows));
out:
    free(row_of);
    return status;
}

const struct eval_kind eval_regression = {
    .kind = BERTH_TASK_REGRESSION,
    .metrics = "pearson|spearman|mse|mae",
    .begin = eval_rows_begin,
    .add = eval_rows_add,
    .finish = finish,
};

const struct eval_kind eval_similarity = {
    .kind = BERTH_TASK_SIMILARITY,
    .metrics = "spearman|pearson|mse|mae",
    .begin = eval_rows_begin,
    .add = eval_rows_add,
    .finish = finish,
};
