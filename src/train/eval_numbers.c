/* eval_numbers.c: a number a row against its target: regression, and the cosines of pairs. */
#include <math.h>
#include <stdlib.h>

#include "train/evaluate_priv.h"

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
