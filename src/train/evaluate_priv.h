/* evaluate_priv.h: what evaluate.c and the kinds' files eval_*.c share.
 *
 * A source's split is read batch by batch. Of each task a kind gathers what its metrics are made of (add), and makes
 * them when all rows were seen (finish):
 *
 *     sentence-level kinds    the sum of a row's outputs over its sequences (windows), the row's label or target
 *     tags                    the answer for each word
 *     contrastive             the vectors of anchor and positive
 *     mlm                     how many tokens were told right
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
struct eval_source { /* one of the sources that carry a task */
    const struct berth_dataset *set; /* borrowed; NULL: the source does not carry the task, or has no such split */
    int64_t row_base, word_base;     /* where its text rows and words begin among the task's */
};
struct eval_task { /* one task on one split, over all its sources */
    const struct eval_kind *kind; /* NULL: no source of the task has the split */
    struct berth_model *model;    /* borrowed */
    int head;
    const char *metric; /* its own */
    enum berth_tag_scheme scheme; /* of the gold tags, whether decoding keeps to it or not */
    bool tune;          /* thresholds are to be chosen by these rows, and set in the model */
    struct eval_source *sources; /* [sources of the data] */
    size_t source_count;
    int64_t row_count, word_count; /* of all sources; rows are those of the text files */
    int64_t rows;                  /* labelled ones */
    double loss;                   /* sum over loss_items items */
    int64_t loss_items;
    uint8_t *verdict; /* [row_count] enum eval_verdict, for frame accuracy; NULL: no such kind */
    struct berth_answers answers;
    /* sentence-level kinds */
    int64_t width;        /* of a row's outputs */
    float *outputs;       /* [row_count, width] sums */
    int32_t *parts;       /* [row_count] sequences added */
    int32_t *label;       /* [row_count] */
    float *target;        /* [row_count, target_width] */
    int64_t target_width;
    /* tags: [word_count] answers, -1: none. mlm: right ones counted */
    int32_t *words;
    int64_t right;
    /* results, in the order they are told */
    struct {
        const char *name;
        double value;
    } values[EVAL_VALUES];
    int value_count;
    struct berth_str details; /* JSON of this task for the report; empty: none */
};

/* One file each (eval_*.c), one row in evaluate.c. */
struct eval_kind {
    enum berth_task_kind kind;
    const char *metrics; /* "accuracy|macro_f1|...": what tasks.NAME.metric may be; the first without one */
    bool has_verdict;
    berth_status (*begin)(struct eval_task *t);
    /* outputs of the batch's items, on the host */
    berth_status (*add)(struct eval_task *t, const struct berth_batch *b, const float *outputs);
    berth_status (*finish)(struct eval_task *t);
};
extern const struct eval_kind eval_classification; /* eval_class.c */
extern const struct eval_kind eval_tagging;        /* eval_tags.c */
extern const struct eval_kind eval_multilabel;     /* eval_labels.c */
extern const struct eval_kind eval_regression;     /* eval_numbers.c */
extern const struct eval_kind eval_similarity;
extern const struct eval_kind eval_contrastive;    /* eval_pairs.c */
extern const struct eval_kind eval_mlm;            /* eval_mlm.c */

/* ---- details (eval_details.c): pieces of a task's JSON object */
struct details_mistake {
    int32_t gold, answered;
    int64_t count;
};
/* {"KEY": NAME, "support", "predicted", "correct", "precision", "recall", "f1"} */
void details_counts(struct berth_str *s, const char *key, const char *name, int64_t support, int64_t predicted,
                    int64_t correct);
/* "mistakes": [{"gold", "answered", "count"}], the most frequent ones. list: one entry a wrong row, or several rows
 * already together; it is put in another order. */
void details_mistakes(struct berth_str *s, struct details_mistake *list, int64_t count,
                      const struct berth_labels *labels);
/* "NAME": {"mean", "deviation" (of a sample), "min", "q05", "q25", "median", "q75", "q95", "max"}; sorts the values. */
void details_spread(struct berth_str *s, const char *name, double *values, int64_t count);

void eval_put(struct eval_task *t, const char *metric, double value);
/* The row of the task that a sequence of the batch belongs to. */
int64_t eval_row(const struct eval_task *t, const struct berth_batch *b, int64_t sequence);
/* Sentence-level kinds: begin and add, and the means of what was added: outputs, labels and targets of the labelled
 * rows, moved together to the front, row_of[i] the row of the i-th; *count of them. */
berth_status eval_rows_begin(struct eval_task *t) BERTH_CHECKED;
berth_status eval_rows_add(struct eval_task *t, const struct berth_batch *b, const float *outputs) BERTH_CHECKED;
berth_status eval_rows_join(struct eval_task *t, int64_t **row_of, int64_t *count) BERTH_CHECKED;

#endif /* EVALUATE_PRIV_H */
