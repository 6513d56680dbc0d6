/* eval_pairs.c: contrastive tasks: each anchor looks for its positive among the positives of its block, BLOCK
 * rows in the order of the files (so neither the batch size nor the order of reading matters). A positive's
 * rank is one more than the number of those that are nearer to the anchor.
 *
 *     accuracy  share of rank 1          mrr  mean of 1 / rank
 *
 * The loss is that of training, whose negatives are those of a batch: it does depend on evaluate.batch_size. */
#include <math.h>
#include <stdlib.h>

#include "train/evaluate_priv.h"

enum { BLOCK = 1000 };

static berth_status begin(struct eval_task *t) {
    t->width = 2 * berth_head_width(t->model, t->head); /* anchor, positive */
    return eval_rows_begin(t);
}

/* Outputs: vectors of all anchors, then of all positives (model.h). */
static berth_status add(struct eval_task *t, const struct berth_batch *b, const float *outputs) {
    const struct berth_items *items = &b->items[t->head];
    const int64_t size = t->width / 2;
    for (int64_t i = 0; i < items->count; i++) {
        const int64_t row = eval_row(t, b, items->index[i]);
        for (int64_t k = 0; k < size; k++) {
            t->outputs[row * t->width + k] += outputs[i * size + k];
            t->outputs[row * t->width + size + k] += outputs[(items->count + i) * size + k];
        }
        t->parts[row]++;
        t->label[row] = items->label[i];
    }
    return BERTH_OK;
}

static double cosine(const float *a, const float *b, int64_t size) {
    double sum = 0;
    for (int64_t k = 0; k < size; k++)
        sum += (double)a[k] * (double)b[k];
    return sum;
}

/* How many find their positive among the nearest. */
static void put_details(struct eval_task *t, const int64_t *rank, int64_t rows) {
    static const int64_t at[] = {1, 3, 5, 10, 100};
    berth_str_add(&t->details, "{\"ranks\": [");
    for (size_t k = 0; k < sizeof at / sizeof at[0]; k++) {
        int64_t found = 0;
        for (int64_t i = 0; i < rows; i++)
            found += rank[i] <= at[k];
        berth_str_addf(&t->details, "%s{\"at\": %lld, \"share\": ", k > 0 ? ", " : "", (long long)at[k]);
        if (rows > 0)
            berth_str_addf(&t->details, "%.9g}", (double)found / (double)rows);
        else
            berth_str_add(&t->details, "null}");
    }
    berth_str_add(&t->details, "]}");
}

static berth_status finish(struct eval_task *t) {
    const int64_t size = t->width / 2;
    int64_t *row_of = NULL, *rank = NULL, rows = 0, first_ranks = 0;
    double inverse = 0;
    berth_status status = BERTH_OK;
    BERTH_TRY_OUT(eval_rows_join(t, &row_of, &rows));
    BERTH_TRY_OUT(berth_calloc(&rank, (size_t)rows, sizeof *rank));
#pragma omp parallel for schedule(dynamic, 16)
    for (int64_t i = 0; i < rows; i++) {
        const int64_t begin_row = i / BLOCK * BLOCK, end = begin_row + BLOCK < rows ? begin_row + BLOCK : rows;
        const float *anchor = t->outputs + i * t->width;
        const double own = cosine(anchor, anchor + size, size);
        rank[i] = 1;
        for (int64_t j = begin_row; j < end; j++)
            if (j != i) rank[i] += cosine(anchor, t->outputs + j * t->width + size, size) > own;
    }
    for (int64_t i = 0; i < rows; i++) {
        first_ranks += rank[i] == 1;
        inverse += 1 / (double)rank[i];
    }
    eval_put(t, "accuracy", rows > 0 ? (double)first_ranks / (double)rows : (double)NAN);
    eval_put(t, "mrr", rows > 0 ? inverse / (double)rows : (double)NAN);
    put_details(t, rank, rows);
out:
    free(row_of);
    free(rank);
    return status;
}

const struct eval_kind eval_contrastive = {
    .kind = BERTH_TASK_CONTRASTIVE,
    .metrics = "accuracy|mrr",
    .begin = begin,
    .add = add,
    .finish = finish,
};
