/* data.h: from text files to batches: readers, packed data, sampling, batching.
 *
 *     struct berth_data *d;
 *     BERTH_TRY(berth_data_open(&d, config, tokenizer, NULL, 0, BERTH_ALL_SPLITS)); // or reuses the cache
 *     struct berth_feeder *f;
 *     BERTH_TRY(berth_feeder_create(&f, d, &options));
 *     for (int64_t step = 0; step < total; step++) {
 *         BERTH_TRY(berth_feeder_next(f));                           // one optimizer step
 *         for (int i = 0; i < berth_feeder_batch_count(f); i++) use(berth_feeder_batch(f, i));
 *     }
 *
 * A source is where rows come from; one source may carry labels of several tasks. A row holds [CLS] text [SEP]
 * (text_pair [SEP]) cut to max_length (longest first for pairs), its words, and its labels.
 * Labels are numbered from the training split (sorted, "O" first) unless given; a label that is not known
 * becomes BERTH_LABEL_UNKNOWN: counted, reported, and wrong whatever is predicted. To train with such labels is
 * refused.
 */
#ifndef BERTH_DATA_H
#define BERTH_DATA_H

#include "berth/batch.h"
#include "berth/config.h"
#include "berth/text.h"

enum berth_split { BERTH_TRAIN, BERTH_DEV, BERTH_TEST, BERTH_SPLIT_COUNT };
const char *berth_split_name(enum berth_split split); /* "train", "dev", "test" */

#define BERTH_LABEL_MISSING (-1)
#define BERTH_LABEL_UNKNOWN (-2)

/* One split of one source, packed; a read-only view of a file that is mapped. A packed row is a row of the text
 * files, or with `overflow: windows` one window of it; the windows of a text row lie one after the other, and
 * each of its words belongs to exactly one of them. Arrays [task] are NULL where the source does not carry the
 * task. */
struct berth_dataset {
    int64_t rows;        /* R */
    int64_t source_rows; /* rows of the text files; fewer than R where windows are */
    int64_t token_count;
    int64_t word_count;
    const int64_t *offset;      /* [R+1] first token of a row */
    const int32_t *tokens;      /* [token_count] special tokens included */
    const uint8_t *segments;    /* [token_count] */
    const int64_t *word_offset; /* [R+1] first word of a row */
    const int32_t *word_token;  /* [word_count] index within the row of the word's first piece; -1: cut off, or
                                   without pieces. Words are kept where a tagging task reads the source, and of
                                   seqfiles */
    const int64_t *origin;      /* [R] the text row, from 0; NULL: row r is text row r */
    const int32_t *pair_at;     /* [R] separate sequences (similarity, contrastive): index within the row of the
                                   pair's first token; 0: none; NULL: a row is one sequence */
    const int32_t *negative_at; /* [R] the same for the negative */
    const int32_t *const *labels; /* [task] classification [R] and tagging [word_count]: the label; other kinds
                                     [R]: 0 where the row is labelled; mlm: NULL */
    const float *const *numbers;  /* [task] regression and similarity: [R] */
    const int64_t *const *set_offset; /* [task] multilabel: [R+1] into set_values */
    const int32_t *const *set_values; /* [task] multilabel: the labels of the rows */
    int64_t rows_cut;                 /* text rows longer than max_length that lost tokens */
    int64_t words_cut;                /* of word_count */
    int64_t *unknown_labels;          /* [tasks] */
};

struct berth_source {
    const char *name;
    bool has[BERTH_SPLIT_COUNT];
    struct berth_dataset split[BERTH_SPLIT_COUNT];
};

struct berth_data; /* owns sources, tasks, maps */

/* Which splits to open: bits 1 << BERTH_TRAIN, ... */
#define BERTH_ALL_SPLITS 7u

/* Opens what the configuration names, packing what is not in the cache folder (`cache`) under its digest of
 * source bytes, tokenizer and settings. known: tasks whose label maps are given (a trained model's), matched by
 * name; the rest number theirs from the training split. A source that no task reads is left out: it is listed
 * with no splits and its files are not opened. Errors name file, line, column. A named split's file
 * must exist and hold at least one row. Borrows the tokenizer only during the call. */
berth_status berth_data_open(struct berth_data **out, const struct berth_config *c,
                             const struct berth_tokenizer *tokenizer, const struct berth_task *known,
                             size_t known_count, unsigned splits) BERTH_CHECKED;
void berth_data_free(struct berth_data *d);

size_t berth_data_source_count(const struct berth_data *d);
const struct berth_source *berth_data_source(const struct berth_data *d, size_t index);
size_t berth_data_task_count(const struct berth_data *d); /* the configuration's tasks, in its order */
const struct berth_task *berth_data_task(const struct berth_data *d, size_t index);
/* The sources that carry a task's labels, in the order in which they are named. */
size_t berth_data_task_source_count(const struct berth_data *d, size_t task);
size_t berth_data_task_source_at(const struct berth_data *d, size_t task, size_t index);
bool berth_data_task_reads(const struct berth_data *d, size_t task, size_t source);
size_t berth_data_task_source(const struct berth_data *d, size_t task); /* the first */
/* The packed file behind a split (for `berth pack` to name); NULL when the split is absent. */
const char *berth_data_file(const struct berth_data *d, size_t source, enum berth_split split);
/* True when the file was made by this call, false when the cache had it. */
bool berth_data_was_packed(const struct berth_data *d, size_t source, enum berth_split split);

/* ---- the order of training */
struct berth_feeder_options {
    uint64_t seed;
    const struct berth_config *config; /* whose section `sampling` holds (a stage's); NULL: the data's own */
    bool one_task;                     /* mix: step, whatever the configuration says */
    int64_t batch_size;                /* rows an optimizer step; 0: batch_tokens decides */
    int64_t batch_tokens;              /* tokens an optimizer step at most; 0: batch_size decides */
    int accumulate;                    /* parts an optimizer step is split in, over all ranks */
    const bool *tasks; /* [tasks] those that train; borrowed during create; NULL: all. Rows that feed none of
                          them are not drawn, and batches have no items of the others */
    int rank,
        ranks; /* this rank's parts are [rank*P/ranks, (rank+1)*P/ranks) of P = accumulate; 0, 0: one rank */
    bool synchronous; /* no thread: a step is prepared when it is taken; the bits are the same */
};

struct berth_feeder;

/* Draws are shared between units, which are sources, or tasks with mix: step, as the section `sampling` of the
 * configuration says (the data holds it). By default every training row that carries a label of some task that
 * trains is drawn once an epoch. Which rows, and in which order, is a pure function of (seed, epoch). Rows are
 * shuffled over all units; within a window of 64 steps rows of near length are put together; then the steps of
 * the window are shuffled. With mix: step a step draws rows of one task only and feeds that head alone; tasks
 * are interleaved by a shuffled order. With mix: all every step has the same number of rows of each source.
 * With both batch_size and batch_tokens both limits hold; a row longer than batch_tokens is a step of its own,
 * and rows count as they are before they are altered. An ordinal is the sequence's place in the step, however
 * the step is split. Within a batch rows of one source lie together. Steps are prepared ahead by a thread of
 * the feeder's own; memory: 4 to 12 bytes a row drawn. A task none of whose sources has a training split, and
 * training labels that a given label map does not hold, are BERTH_E_USAGE. One feeder is used by one thread.
 * Borrows d. */
berth_status berth_feeder_create(struct berth_feeder **out, const struct berth_data *d,
                                 const struct berth_feeder_options *options) BERTH_CHECKED;
void berth_feeder_free(struct berth_feeder *f);
/* Optimizer steps of an epoch (0-based); with batch_tokens it differs between epochs. */
berth_status berth_feeder_epoch_steps(struct berth_feeder *f, int64_t epoch, int64_t *out) BERTH_CHECKED;
/* Takes the next optimizer step; going past an epoch's end begins the next. */
berth_status berth_feeder_next(struct berth_feeder *f) BERTH_CHECKED;
/* Any batch of the step, this rank's or not: for what stands in each of them of the whole step (step_rows, one_share,
 * task_rows and task_items). */
const struct berth_batch *berth_feeder_step_batch(const struct berth_feeder *f);
/* This rank's batches of the step: at most its parts; empty ones are left out. Borrowed until the next step. */
int berth_feeder_batch_count(const struct berth_feeder *f);
const struct berth_batch *berth_feeder_batch(const struct berth_feeder *f, int index);
int berth_feeder_batch_part(const struct berth_feeder *f, int index); /* which of the `accumulate` parts */
int64_t berth_feeder_epoch(const struct berth_feeder *f);             /* of the step taken last */
/* The state is two integers: epoch, and steps of it already taken. Any step can be reached without those
 * before. */
void berth_feeder_state(const struct berth_feeder *f, int64_t *epoch, int64_t *steps_done);
berth_status berth_feeder_restore(struct berth_feeder *f, int64_t epoch, int64_t steps_done) BERTH_CHECKED;
/* Seconds that steps waited for their input so far, and how many had to (the first always does). steps may be
 * NULL. */
double berth_feeder_waited(const struct berth_feeder *f, int64_t *steps);

/* For the plan: what an epoch draws. */
struct berth_feeder_unit {
    const char *name; /* of the source or task; borrowed from the data */
    bool is_task;
    int64_t rows;   /* that can be drawn */
    int64_t draws;  /* an epoch */
    double share;   /* of all draws */
    double repeats; /* draws / rows */
    double altered; /* share of its draws that data.*.augment alters, on average */
};
/* The operations of data.*.augment in their order; NULL behind the last. */
const char *berth_augmentation_name(size_t index);
size_t berth_feeder_unit_count(const struct berth_feeder *f);
struct berth_feeder_unit berth_feeder_unit(const struct berth_feeder *f, size_t index);
struct berth_feeder_task {
    int64_t rows; /* training rows that feed it */
    double draws; /* of them an epoch, on average */
    double share; /* factor of its mean loss in the loss of a step, on average */
    double repeats;
};
struct berth_feeder_task berth_feeder_task(const struct berth_feeder *f, size_t task);

/* ---- the order of evaluation: all rows of one source's split, longest first, `batch_size` sequences a batch;
 * items of every task that the source carries (all words that were not cut off, all sequences), labels
 * included. source/source_row of the batch tell where each sequence belongs; a row may have several (its pair,
 * its negative, the corrupted copy for mlm, whose draw is the same at every evaluation). */
struct berth_scan;
berth_status berth_scan_create(struct berth_scan **out, const struct berth_data *d, size_t source,
                               enum berth_split split, int64_t batch_size) BERTH_CHECKED;
void berth_scan_free(struct berth_scan *s);
/* *out is NULL after the last batch; borrowed until the next call. */
berth_status berth_scan_next(struct berth_scan *s, const struct berth_batch **out) BERTH_CHECKED;

/* ---- readers: rows of one file (or of the three files of seqfiles), used by pack; one row_reader a format */
/* A list is its items, each followed by BERTH_LIST_END; "" is the empty list. Labels by kind:
 *     classification           the label
 *     regression, similarity   a number that berth_parse_double takes
 *     tagging                  a list of tags, one a word; an empty item: that word has none
 *     multilabel               a list of labels
 *     contrastive, mlm         "" when the row serves the task */
#define BERTH_LIST_END '\x1F'
struct berth_row {
    const char *text;          /* ended by a zero byte, valid UTF-8, borrowed until the next row */
    const char *text_pair;     /* or NULL */
    const char *text_negative; /* a text unlike `text`, for contrastive tasks; or NULL */
    bool pre_split;            /* text is a list of words; else words lie between white space */
    size_t label_count;
    const char **labels; /* [label_count] as asked at opening; NULL: missing */
    int64_t line;        /* 1-based, for messages */
};

/* ---- rows for prediction: adds [CLS] text [SEP] (pair [SEP]) to a batch, cut to max_length, with one item a
 * task: sentence-level tasks the sequence, token-level tasks each word that was not cut off, mlm tasks each
 * [MASK]. Where a task compares texts (similarity, contrastive) text and pair are added as two sequences in
 * front of it, or instead of it where all tasks do so; without a pair such a task has no item. All sequences
 * carry the same ordinal and row. Of the row text, text_pair and pre_split are read. Words are the items of the
 * list of a pre-split row; of another what lies between white space where any of the tasks is token-level, and
 * none else. Words are encoded one by one, as training does for pre-split rows and for the sources of
 * token-level tasks: from a text encoded whole the ids differ only where a control character stands between
 * words, which the tokenizer drops and does not split at. words: start and end byte of each word in row->text;
 * owned by the caller (free). words and word_count may be NULL. */
struct berth_word_span {
    int32_t start, end; /* bytes of the text */
    int32_t token;      /* row within the sequence of its first piece; -1: cut off or without pieces */
    bool cut;           /* cut off */
};
berth_status berth_data_add_row(struct berth_batch *b, const struct berth_tokenizer *t, int64_t max_length,
                                const struct berth_row *row, const struct berth_task *tasks, size_t task_count,
                                int32_t ordinal, struct berth_word_span **words,
                                size_t *word_count) BERTH_CHECKED;
/* The same for a row that may be longer than max_length. windows: it is added as several sequences, one behind the
 * other, as `overflow: windows` has it (`stride` tokens are shared by neighbours): sentence-level tasks have an item
 * for each, each word stands in one of them, masks are those of the first. A row with a pair that a task compares is
 * cut. A row of more than max_windows sequences is BERTH_E_FORMAT. */
struct berth_row_limits {
    int64_t max_length;
    bool windows;
    int64_t stride, max_windows;
};
struct berth_added_row {
    struct berth_word_span *words; /* [word_count] owned by the caller */
    size_t word_count;
    int64_t tokens; /* that the row has, special ones included, were nothing cut off */
    bool cut;       /* tokens were cut off */
};
berth_status berth_data_add_long_row(struct berth_batch *b, const struct berth_tokenizer *t,
                                     const struct berth_row_limits *limits, const struct berth_row *row,
                                     const struct berth_task *tasks, size_t task_count, int32_t ordinal,
                                     struct berth_added_row *out) BERTH_CHECKED;
/* The same of a text that is not pre-split; pair NULL: none. */
berth_status berth_data_add_text(struct berth_batch *b, const struct berth_tokenizer *t, int64_t max_length,
                                 const char *text, const char *pair, const struct berth_task *tasks,
                                 size_t task_count, int32_t ordinal, struct berth_word_span **words,
                                 size_t *word_count) BERTH_CHECKED;

/* ---- texts of a file, for prediction: through the same readers, without labels. All NULL and false: a text a
 * line, in UTF-8 (empty lines are texts, too). Compressed files are told by their content. */
struct berth_texts_options {
    const char *format;    /* tsv, csv, jsonl, conll, seqfiles, lines (the label is dropped), text */
    const char *text;      /* column: a name, or digits: its number; NULL: 0, in jsonl "text" */
    const char *text_pair; /* column of a second text; NULL: none */
    bool no_header;        /* tsv, csv */
    const char *delimiter; /* as data.NAME.delimiter */
    const char *encoding;  /* as data.NAME.encoding; NULL: strict */
    const char *const *keep; /* [keep_count] further columns, which become the row's labels as the file has them: texts,
                                or lists (items ended by BERTH_LIST_END) where the format has such */
    size_t keep_count;
};
struct berth_texts;
/* path NULL or "-": standard input. Pipes and terminals are read as they come; files are mapped. Mistakes in
 * the options name --input, --column, --pair-column, --keep, --delimiter, --encoding. Borrows the options' texts. */
berth_status berth_texts_open(struct berth_texts **out, const char *path,
                              const struct berth_texts_options *options) BERTH_CHECKED;
/* *row is NULL at the end; else valid until the next call. */
berth_status berth_texts_next(struct berth_texts *t, const struct berth_row **row) BERTH_CHECKED;
/* Whether the next line is there, so that `next` need not wait for a pipe (a row of several lines may still
 * wait). */
bool berth_texts_ready(const struct berth_texts *t);
int64_t berth_texts_replaced(const struct berth_texts *t); /* characters so far, with encoding replace */
void berth_texts_close(struct berth_texts *t);

#endif /* BERTH_DATA_H */
