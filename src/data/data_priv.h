/* data_priv.h: what the files of the data part share.
 *
 *     read_priv.h   sources as configured, readers: files -> rows
 *     row_encoder   a row's text -> [CLS] tokens [SEP] and word positions
 *     pack          rows -> packed HDF5 file -> mapped view
 *     plan          the rows of an epoch in order, cut into steps
 */
#ifndef BERTH_DATA_PRIV_H
#define BERTH_DATA_PRIV_H

#include "berth/data.h"
#include "berth/h5.h"
#include "data/read_priv.h"

/* ---- encoding of a row */

struct row_word {
    int32_t start, end; /* bytes of the text */
    int32_t token;      /* index within the row of its first piece; -1: cut off, or no pieces */
    bool cut;
};

struct row_encoder {
    const struct berth_tokenizer *tokenizer; /* borrowed */
    int64_t max_length;
    struct berth_encoding text, pair;
    size_t length; /* tokens of the row encoded last */
    int32_t *tokens;
    int32_t *segments;
    size_t token_capacity, segment_capacity;
    struct row_word *words; /* [word_count] */
    size_t word_count, word_capacity;
    bool cut; /* the row was longer than max_length */
};
void row_encoder_init(struct row_encoder *e, const struct berth_tokenizer *t, int64_t max_length);
void row_encoder_deinit(struct row_encoder *e);
/* How a text falls into words: not at all (it is encoded whole, and word_count is 0); at white space, each
 * encoded on its own; or as the items of a list, a row that came pre-split. */
enum row_words { ROW_WHOLE, ROW_BY_SPACE, ROW_BY_LIST };
/* pair NULL: none. */
berth_status row_encode(struct row_encoder *e, const char *text, const char *pair,
                        enum row_words words) BERTH_CHECKED;
/* How many tokens of each text stay when `room` is there for both: the longer one is cut first, as the
 * reference's fast tokenizer does. */
void row_cut(size_t *text, size_t *pair, size_t room);

/* ---- packed files */

#define PACK_VERSION 1

struct pack {
    struct berth_h5 *file;     /* the map that the view borrows from */
    struct berth_dataset view; /* labels and unknown_labels are not set here */
    size_t label_count;
    struct berth_labels *names; /* [label_count] local labels */
    const int32_t **labels;     /* [label_count] local label of each row or word, -1: missing */
};
/* The key of a split's pack: bytes of its files, the tokenizer, the settings, the layout's version. */
berth_status pack_key(char out[33], const struct source_spec *spec, const struct text_file *files,
                      size_t file_count, const struct berth_tokenizer *t, int64_t max_length) BERTH_CHECKED;
/* Writes the packed file. files: [path_count * per_path] in the order of paths. */
berth_status pack_write(const char *out_path, const struct source_spec *spec, enum berth_split split,
                        const struct text_file *files, size_t per_path, const struct berth_tokenizer *t,
                        int64_t max_length) BERTH_CHECKED;
/* Opens and checks; BERTH_E_FORMAT when damaged. */
berth_status pack_open(struct pack *out, const char *path, const struct source_spec *spec, int64_t max_length,
                       size_t vocabulary) BERTH_CHECKED;
void pack_close(struct pack *p);
/* Opens the split's packed file from the cache folder, or makes it. *path is owned by the caller. */
berth_status pack_obtain(struct pack *out, char **path, bool *made, const struct source_spec *spec,
                         enum berth_split split, const char *cache_folder, const struct berth_tokenizer *t,
                         int64_t max_length) BERTH_CHECKED;

/* ---- feeding */

struct plan_entry { /* one row that may be drawn */
    int64_t row;
    int32_t source;
    int32_t length; /* tokens */
};

struct plan {            /* an epoch */
    int64_t *order;      /* [entry_count] entries, in the order of steps */
    int64_t *step_first; /* [step_count + 1] into order */
    int32_t *step_group; /* [step_count] */
    int64_t step_count;
    int64_t epoch; /* -1: not made */
};

struct step_key {
    uint32_t key;
    int64_t step;
};

struct sampler {
    struct berth_feeder_options options;
    struct plan_entry *entries; /* [entry_count] grouped: all rows, or each task's rows */
    int64_t entry_count;
    int64_t *group_first; /* [group_count + 1] */
    size_t group_count;
    int32_t max_length; /* of an entry */
    /* work space of plan_make */
    int64_t *scratch;           /* [entry_count] */
    int64_t *step_first;        /* [entry_count + 1] */
    int32_t *step_group;        /* [entry_count] */
    struct step_key *step_keys; /* [entry_count] */
    int64_t *group_at;          /* [group_count] */
    int64_t *counts;            /* [max_length + 2] */
};
/* True when a task's loss has an item of this training row. */
bool row_feeds_task(const struct berth_data *d, size_t task, int64_t row);
/* Deinit after a failure too. */
berth_status sampler_init(struct sampler *s, const struct berth_data *d,
                          const struct berth_feeder_options *options) BERTH_CHECKED;
void sampler_deinit(struct sampler *s);
berth_status plan_init(struct plan *p, const struct sampler *s) BERTH_CHECKED;
void plan_deinit(struct plan *p);
/* Makes the plan of an epoch: a pure function of the entries, the options and the epoch; allocates nothing. */
void plan_make(struct plan *p, struct sampler *s, int64_t epoch);

struct segment_buffer {
    int32_t *values; /* owned */
    size_t capacity;
};
/* Adds a row's sequence and its items, counting labelled ones into task_rows and task_items. only_task -1: all
 * tasks of its source. keep_unlabelled: also items without a known label (evaluation). */
berth_status batcher_add_row(struct berth_batch *b, const struct berth_data *d, size_t source,
                             enum berth_split split, int64_t row, int32_t ordinal, int only_task,
                             bool keep_unlabelled, struct segment_buffer *segments) BERTH_CHECKED;

/* ---- data.c */
struct data_task {
    struct berth_task task;
    size_t source;
    size_t label; /* index in the source's packs */
};
struct data_source {
    struct berth_source view;
    char *name;
    struct pack packs[BERTH_SPLIT_COUNT];
    char *paths[BERTH_SPLIT_COUNT];
    bool made[BERTH_SPLIT_COUNT];
    int32_t **mapped[BERTH_SPLIT_COUNT]; /* [task_count] owned label arrays */
};
struct berth_data {
    struct data_source *sources; /* [source_count] */
    size_t source_count;
    struct data_task *tasks; /* [task_count] */
    size_t task_count;
};

#endif /* BERTH_DATA_PRIV_H */
