/* predict_priv.h: the parts of `berth predict`.
 *
 *     cmd_predict.c      options, windows of rows, the answers in the order of the rows
 *     predict_batch.c    rows -> one pass -> what each head says of each row
 *     predict_format.c   that as a TSV or a JSON line
 *     predict_conll.c    that as a sentence of CoNLL lines
 */
#ifndef BERTH_PREDICT_PRIV_H
#define BERTH_PREDICT_PRIV_H

#include "cli/cli_priv.h"

struct cli_said {         /* what one head says of one row; views of the batch's answers */
    int64_t first;        /* its first item among the head's */
    int64_t count;        /* its items: one, or a word each (those with a first piece), ...; 0: not asked */
    int64_t width;        /* columns of scores */
    const int32_t *label; /* [count] as the rest: berth_answers of these items */
    const float *score;   /* [count] */
    const float *scores;  /* [count, width] */
    const char **tags;    /* [words of the row] owned; a word without a tag is "O"; NULL: no tagging head */
};
struct predict_row {
    const struct cli_row *row; /* borrowed */
    struct berth_added_row added;
    int64_t words_cut;
    struct cli_said *said; /* [heads] owned */
};
struct predict_batch {
    struct cli_model *m;            /* borrowed */
    struct berth_row_limits limits; /* set by the caller, as `wanted` is */
    bool *wanted;                   /* [heads] */
    int64_t batches;                /* run so far */
    /* of the batch run last */
    struct predict_row *rows; /* [row_count] in the order given */
    size_t row_count, row_capacity;
    struct berth_batch batch;
    struct berth_tensor **logits;  /* [heads] */
    struct berth_answers *answers; /* [heads] */
    float *host;                   /* one head's outputs */
    size_t host_capacity;
};
/* Deinit after a failure, too. */
berth_status predict_batch_init(struct predict_batch *p, struct cli_model *m) BERTH_CHECKED;
void predict_batch_deinit(struct predict_batch *p);
/* Runs the first rows of the list, at most `most`, as many as make up one batch: *used of them. */
berth_status predict_batch_run(struct predict_batch *p, struct cli_row *const *rows, size_t most,
                               size_t *used) BERTH_CHECKED;

enum predict_column { PREDICT_COLUMN_UNKNOWN, PREDICT_COLUMN_TEXT, PREDICT_COLUMN_WORDS };
struct predict_style {
    const struct cli_model *m;
    const bool *wanted;      /* [heads] */
    const char *const *keep; /* [keep_count] names of the kept columns */
    size_t keep_count;
    const enum predict_column *columns; /* [keep_count] how the input has them */
    bool all;                           /* probabilities of all classes, of every word's tag */
};
/* Each adds what stands for one row. */
void predict_tsv(struct berth_str *out, const struct predict_style *style, const struct predict_row *r);
void predict_json(struct berth_str *out, const struct predict_style *style, const struct predict_row *r);
void predict_conll(struct berth_str *out, const struct predict_style *style, const struct predict_row *r);
void predict_tsv_header(struct berth_str *out, const struct predict_style *style);
/* The cells of a TSV line that are one head's, tabs between. */
void predict_cells(struct berth_str *out, const struct predict_style *style, const struct predict_row *r,
                   int head);

#endif /* BERTH_PREDICT_PRIV_H */
