/* data_priv.h: what the files of the data part share.
 *
 *     source_spec   what the configuration says of one source: format, columns, the labels that tasks want
 *     text_file     one mapped source file; its bytes give both the pack's key and the rows
 *     reader        rows of one path, by a reader_format's functions
 *     row_encoder   a row's text -> [CLS] tokens [SEP] and word positions
 *     pack          rows -> packed HDF5 file -> mapped view
 *     plan          the rows of an epoch in order, cut into steps
 */
#ifndef BERTH_DATA_PRIV_H
#define BERTH_DATA_PRIV_H

#include "berth/data.h"
#include "berth/file.h"
#include "berth/h5.h"

/* ---- words: white space is Unicode's White_Space */

struct word_cursor {
    const char *text; /* valid or invalid UTF-8; borrowed */
    size_t size;
    size_t at;
    size_t start, end; /* bytes of the word found last */
};
/* Finds the next run of characters that are not white space; false at the end. */
bool word_next(struct word_cursor *w);
int64_t word_total(const char *text, size_t size);

/* ---- sources as the configuration describes them */

struct column {
    const char *key;  /* configuration path it came from: for messages */
    const char *name; /* as written */
    int64_t number;   /* >= 0: by number; -1: by name */
};

struct label_spec {
    size_t task; /* index in the configuration */
    enum berth_task_kind kind;
    struct column column;
};

struct source_spec {
    const struct berth_config *config; /* borrowed */
    const char *name;
    const struct reader_format *format;
    bool header;
    bool has_pair;
    bool by_words; /* text is split at white space and encoded word by word */
    struct column text, text_pair;
    struct label_spec *labels; /* [label_count] in the order of tasks */
    size_t label_count;
    const char *const *paths[BERTH_SPLIT_COUNT]; /* [path_count] with the data folder in front */
    size_t path_count[BERTH_SPLIT_COUNT];        /* 0: the split is not named */
};

struct specs {
    struct berth_arena arena;    /* owns what the specs point to */
    struct source_spec *sources; /* [source_count] */
    size_t source_count;
    struct task_spec {
        const char *name;
        enum berth_task_kind kind;
        size_t source;
        size_t label; /* index in the source's labels */
    } * tasks;        /* [task_count] */
    size_t task_count;
    int64_t max_length;
};
/* Reads `data` and `tasks` and checks what they mean together; errors are at the key. */
berth_status specs_read(struct specs *out, const struct berth_config *c) BERTH_CHECKED;
void specs_deinit(struct specs *s);

/* ---- readers */

#define READER_MAX_FILES 3

struct text_file {
    char *path; /* owned */
    struct berth_file_map map;
};

struct line_cursor {
    const struct text_file *file;
    size_t at;
    int64_t line; /* 1-based number of the line read last */
    char *text;   /* that line, ended by a zero byte, without its line end; owned */
    size_t length;
    size_t capacity;
};
void line_cursor_init(struct line_cursor *l, const struct text_file *file); /* skips a byte order mark */
void line_cursor_deinit(struct line_cursor *l);
/* *more is false after the last line. Invalid UTF-8 and zero bytes are BERTH_E_FORMAT. */
berth_status line_next(struct line_cursor *l, bool *more) BERTH_CHECKED;

struct reader {
    const struct source_spec *spec; /* borrowed */
    const struct text_file *files;  /* [file_count] of one path */
    size_t file_count;
    struct line_cursor lines[READER_MAX_FILES];
    struct berth_row row;
    void *state; /* the format's own; owned */
};

struct reader_format {
    const char *name;
    bool has_columns; /* takes the keys text, text_pair, header */
    /* Checks columns and kinds that the tasks ask for; may fill in spec->by_words. */
    berth_status (*check)(struct source_spec *spec);
    /* Names of the files inside the folder `path` that this spec needs, or count 0: the path itself. */
    size_t (*members)(const struct source_spec *spec, const char *names[READER_MAX_FILES]);
    berth_status (*open)(struct reader *r); /* (optional) reads a header */
    berth_status (*next)(struct reader *r, bool *more);
    void (*close)(struct reader *r); /* (optional) frees state */
};
extern const struct reader_format reader_tsv;
extern const struct reader_format reader_lines;
extern const struct reader_format reader_seqfiles;
/* NULL: not known. */
const struct reader_format *reader_find(const char *name);

/* Maps the files of one path; an empty one is BERTH_E_FORMAT. files has room for READER_MAX_FILES and is zeroed
 * by the caller, who unmaps each, after a failure too. */
berth_status reader_map_files(struct text_file *files, size_t *count, const struct source_spec *spec,
                              const char *path) BERTH_CHECKED;
void reader_unmap_file(struct text_file *file);
berth_status reader_open(struct reader *r, const struct source_spec *spec, const struct text_file *files,
                         size_t file_count) BERTH_CHECKED;
/* The next row in r->row; *more is false after the last. */
berth_status reader_next(struct reader *r, bool *more) BERTH_CHECKED;
void reader_close(struct reader *r);
/* Cuts ASCII spaces and tabs off both ends in place. NULL when nothing is left. */
char *reader_trim(char *cell);

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
/* pair NULL: none. by_words: the text's words are found and encoded one by one, else word_count is 0. */
berth_status row_encode(struct row_encoder *e, const char *text, const char *pair, bool by_words) BERTH_CHECKED;
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
