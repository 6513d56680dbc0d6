/* batch.h: what a batch is: the one thing that data makes and the model reads.
 *
 * Packed, never padded: B sequences lie back to back in T rows.
 *
 *     tokens     [CLS] book a table [SEP] [CLS] great film [SEP]          T = 9
 *     positions    0    1   2   3     4     0     1    2     3
 *     cu_seqlens   0                        5                    9        B = 2
 *
 * Each task has its items: what its head computes in this batch. A sentence-level item is a sequence (its index
 * in the batch), a token-level item is a packed row (a word's first piece). Items of one task are distinct.
 *
 *     berth_batch_reset(b, task_count);
 *     berth_batch_add_sequence(b, ids, segments, n, ordinal, source, row);
 *     berth_batch_add_item(b, task, index_or_row, label);
 *     berth_batch_finish(b);                    // cu_seqlens, order and positions are ready
 *
 * Losses. An optimizer step draws `step_rows` rows, split in one or more batches (accumulation); of these
 * `task_rows` carry a label for the task, in `task_items` labelled items. With weight w the task's part of the
 * step's loss is  w * share * (sum of item losses / task_items), share = task_rows / step_rows for mixed
 * batches and 1 where one_share says so (mix: step and all).
 */
#ifndef BERTH_BATCH_H
#define BERTH_BATCH_H

#include "berth/base.h"

/* What an item of each kind carries (K labels of the task):
 *     kind            index      label               target            pair, negative
 *     classification  sequence   class               -                 -
 *     tagging         row        class               -                 -
 *     multilabel      sequence   0: labelled         [K] 0 or 1 each   -
 *     regression      sequence   0: labelled         [1] the number    -
 *     similarity      sequence   0: labelled         [1] the number    pair: the sequence it is compared with
 *     contrastive     sequence   0                   -                 pair: its positive; negative: a hard one, or -1
 *     mlm             row        the token before    -                 -
 * label -1: not labelled, whatever the kind. Tagging items of one sequence lie together in the order of its words. */
enum berth_task_kind {
    BERTH_TASK_CLASSIFICATION,
    BERTH_TASK_TAGGING,
    BERTH_TASK_MULTILABEL,
    BERTH_TASK_REGRESSION,
    BERTH_TASK_SIMILARITY,
    BERTH_TASK_CONTRASTIVE,
    BERTH_TASK_MLM,
    BERTH_TASK_KIND_COUNT
};
const char *berth_task_kind_name(enum berth_task_kind kind);
/* BERTH_TASK_KIND_COUNT: no such kind. */
enum berth_task_kind berth_task_kind_find(const char *name);

struct berth_item {
    int32_t index, label, pair, negative; /* pair and negative -1: none */
    const float *target;                  /* [width of the task's items]; NULL: zeros */
};

struct berth_items {
    int64_t count;
    int64_t capacity;
    int32_t *index;     /* [count] sequence (sentence-level) or packed row (token-level) */
    int32_t *label;     /* [count] class, or -1: not labelled */
    int32_t *pair;      /* [count] */
    int32_t *negative;  /* [count] */
    float *target;      /* [count, width] */
    int64_t width;      /* numbers of an item's target; 0 by a reset */
    int64_t target_capacity;
    int64_t task_rows;  /* of the whole optimizer step: rows with a label for this task */
    int64_t task_items; /* of the whole optimizer step: labelled items */
};

struct berth_batch {
    int64_t tokens_count;    /* T */
    int64_t sequence_count;  /* B */
    int64_t max_length;      /* of a sequence */
    int64_t step_rows;       /* rows of the whole optimizer step, all its batches */
    bool one_task;           /* mix: step */
    bool one_share;          /* mix: step and all: a task's share is 1, whatever its rows are */
    int32_t *tokens;         /* [T] */
    int32_t *positions;      /* [T] */
    int32_t *segments;       /* [T] */
    int32_t *token_order;    /* [T] rows sorted by (token, row): for the embedding's gradient */
    int32_t *position_order; /* [T] */
    int32_t *segment_order;  /* [T] */
    int32_t *row_ordinal;    /* [T] the ordinal of the row's sequence */
    int32_t *cu_seqlens;     /* [B+1] */
    int32_t *ordinal;        /* [B] in the optimizer step: what dropout is keyed by */
    int32_t *source;         /* [B] where the sequence came from: for evaluation and prediction */
    int64_t *source_row;     /* [B] */
    int task_count;
    struct berth_items *items; /* [task_count] */
    int32_t *scratch;          /* [T] private: for sorting */
    int64_t token_capacity, sequence_capacity;
    int task_capacity;
};

void berth_batch_init(struct berth_batch *b);
void berth_batch_deinit(struct berth_batch *b);
/* Empties; keeps memory. */
berth_status berth_batch_reset(struct berth_batch *b, int task_count) BERTH_CHECKED;
/* segments NULL: all 0. length >= 1. */
berth_status berth_batch_add_sequence(struct berth_batch *b, const int32_t *tokens, const int32_t *segments,
                                      int64_t length, int32_t ordinal, int32_t source,
                                      int64_t source_row) BERTH_CHECKED;
berth_status berth_batch_add_item(struct berth_batch *b, int task, int32_t index, int32_t label) BERTH_CHECKED;
/* Targets of the task's items have `width` numbers; before its first item, after a reset. */
void berth_batch_set_width(struct berth_batch *b, int task, int64_t width);
berth_status berth_batch_put_item(struct berth_batch *b, int task, const struct berth_item *item) BERTH_CHECKED;
berth_status berth_batch_finish(struct berth_batch *b) BERTH_CHECKED;

/* ---- a batch arranged by task: the sequences of one task lie together, so that its rows are one range.
 * A sequence with items of several tasks stands there once for each; sequences without items are left out. */
struct berth_arrangement {
    struct berth_batch batch;
    int64_t *starts; /* [task_count + 1] packed rows: task t's are starts[t] .. starts[t+1]-1 */
    int32_t *place, *sequence_of; /* private */
    size_t starts_capacity, place_capacity, row_capacity;
};
void berth_arrangement_init(struct berth_arrangement *a);
void berth_arrangement_deinit(struct berth_arrangement *a);
/* wanted [task_count]: tasks whose items are taken, the others' parts are empty; rows [task_count]: whether a task's
 * items are packed rows. Replaces what was there; keeps memory. */
berth_status berth_arrangement_make(struct berth_arrangement *a, const struct berth_batch *in, const bool *wanted,
                                    const bool *rows) BERTH_CHECKED;

/* ---- labels: names <-> class numbers, stored with the model */
struct berth_labels {
    char **names; /* [count], owned */
    size_t count; /* K */
    size_t capacity;
    void *index; /* private: hash table */
};
void berth_labels_init(struct berth_labels *l);
void berth_labels_deinit(struct berth_labels *l);
/* The class of a name, added when new. out may be NULL. */
berth_status berth_labels_add(struct berth_labels *l, const char *name, int32_t *out) BERTH_CHECKED;
int32_t berth_labels_find(const struct berth_labels *l, const char *name); /* -1: none */
/* Sorts bytewise and renumbers ("O" first when it is there): numbering does not depend on the order of rows. */
berth_status berth_labels_sort(struct berth_labels *l) BERTH_CHECKED;
/* `to` is initialised; what it held is replaced. */
berth_status berth_labels_copy(struct berth_labels *to, const struct berth_labels *from) BERTH_CHECKED;
bool berth_labels_equal(const struct berth_labels *a, const struct berth_labels *b);

/* ---- tag schemes: how a sequence of tags marks entities
 *     PLAIN  no entities: a tag says what its word is (parts of speech)
 *     IO     I-X I-X O          neighbours of one type are one entity
 *     BIO    B-X I-X O          an entity begins with B
 *     IOB1   I-X I-X B-X        B only where an entity follows another of its type
 *     BIOES  B-X I-X E-X, S-X   the last word is E, a single one S
 *     BILOU  the same with L and U */
enum berth_tag_scheme {
    BERTH_TAGS_PLAIN,
    BERTH_TAGS_IO,
    BERTH_TAGS_BIO,
    BERTH_TAGS_IOB1,
    BERTH_TAGS_BIOES,
    BERTH_TAGS_BILOU,
    BERTH_TAG_SCHEME_COUNT
};
const char *berth_tag_scheme_name(enum berth_tag_scheme scheme); /* "plain", "io", "bio", ... */
/* BERTH_TAG_SCHEME_COUNT: no such scheme. */
enum berth_tag_scheme berth_tag_scheme_find(const char *name);
/* What a tag says: *kind is 'O' outside, else one of B I E S (L and U are E and S of BILOU), *type the text behind
 * "B-", "" for a bare letter. False: no tag of an entity scheme. */
bool berth_tag_parse(const char *tag, char *kind, const char **type);
/* Whether `to` may follow `from` in the scheme; from NULL: at the start of a sentence, to NULL: at its end. For
 * constrained decoding, and for telling inconsistent tags. Tags that are none of the scheme's may stand anywhere. */
bool berth_tag_allowed(enum berth_tag_scheme scheme, const char *from, const char *to);

/* ---- tasks: what data and model both must know of one */
struct berth_task {
    char *name; /* owned */
    enum berth_task_kind kind;
    enum berth_tag_scheme scheme; /* tagging; else PLAIN */
    struct berth_labels labels;
};
void berth_task_deinit(struct berth_task *task);

#endif /* BERTH_BATCH_H */
