/* evaluate_priv.h: what evaluate.c and the kinds' files eval_*.c share.
 *
 * A source's split is read batch by batch. Of each task a kind gathers what its metrics are made of (add), and makes
 * them when all rows were seen (finish):
 *
 *     sentence-level kinds    the sum of a row's outputs over its sequences (windows), the row's label or target
 *     tags                    the answer for each word
 */
#ifndef EVALUATE_PRIV_H
#define EVALUATE_PRIV_H

#include "berth/metrics.h"
#include "train/train_priv.h"

/* SHARE: on 0..1 (correlations on -1..1), part of the mean over tasks. LOW: the lower the better, no part of it. */
enum metric_scale { METRIC_SHARE, METRIC_LOW, METRIC_PLAIN };
struct metric {
    const char *name;
    enum metric_scale scale;
};
const struct metric *metric_find(const char *name); /* NULL: none of that name */

enum eval_verdict { VERDICT_NONE, VERDICT_WRONG, VERDICT_RIGHT };

enum { EVAL_VALUES = 16 };
struct eval_task { /* one task on one split */
    const struct eval_kind *kind;
    struct berth_model *model; /* borrowed */
    int head;
    const char *metric;              /* its own */
    const struct berth_dataset *set; /* borrowed */
    int64_t rows;                    /* labelled ones */
    double loss;                     /* sum over loss_items items */
    int64_t loss_items;
    uint8_t *verdict;                /* [rows of the split] enum eval_verdict, for frame accuracy; NULL: no such kind */
    struct berth_answers answers;
    /* sentence-level kinds */
    float *outputs;         /* [rows of the split, width] sums */
    int32_t *parts;         /* [rows of the split] sequences added */
    int32_t *label;         /* [rows of the split] */
    float *target;          /* [rows of the split, target_width] */
    int64_t target_width;
    /* tags */
    int32_t *words;         /* [words of the split] answers; -1: none */
    /* results, in the order they are told */
    struct {
        const char *name;
        double value;
    } values[EVAL_VALUES];
    int value_count;
};

/* One file each (eval_*.c), one row in evaluate.c. */
struct eval_kind {
    enum berth_task_kind kind;
    const char *metrics; /* "accuracy|macro_f1|...": what tasks.NAME.metric may be; the first without one */
    bool has_verdict;
    berth_status (*begin)(struct eval_task *t);
    /* outputs [items, width] of the batch's items, on the host */
    berth_status (*add)(struct eval_task *t, const struct berth_batch *b, const float *outputs);
    berth_status (*finish)(struct eval_task *t);
};
extern const struct eval_kind eval_classification; /* eval_class.c */
extern const struct eval_kind eval_tagging;        /* eval_tags.c */

void eval_put(struct eval_task *t, const char *metric, double value);
/* Sentence-level kinds: begin and add, and the means of what was added: outputs of the labelled rows, moved together to
 * the front, row_of[i] the row of the i-th; *count of them. */
berth_status eval_rows_begin(struct eval_task *t) BERTH_CHECKED;
berth_status eval_rows_add(struct eval_task *t, const struct berth_batch *b, const float *outputs) BERTH_CHECKED;
berth_status eval_rows_join(struct eval_task *t, int64_t **row_of, int64_t *count) BERTH_CHECKED;

#endif /* EVALUATE_PRIV_H */
