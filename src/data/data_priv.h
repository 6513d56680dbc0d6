/* data_priv.h: what the files of the data part share.
 *
 *     read_priv.h   sources as configured, readers: files -> rows
 *     row_encoder   a row's text -> [CLS] tokens [SEP] and word positions
 *     pack          rows -> packed HDF5 file -> mapped view
 *     row_draw      a row as it is fed: sequences and items of a batch (sample_priv.h: which rows, in which
 * order)
 */
#ifndef BERTH_DATA_PRIV_H
#define BERTH_DATA_PRIV_H

#include "berth/data.h"
#include "berth/h5.h"
#include "data/read_priv.h"

/* ---- encoding of a row */

struct row_word {
    int32_t start, end; /* bytes of the text */
    int32_t token;      /* index within its sequence of its first piece; -1: cut off, or no pieces */
    bool cut;
};

/* One packed row: the whole text row, or one window of it. */
struct row_part {
    size_t token_first, token_count; /* of the encoder's tokens */
    size_t word_first, word_count;   /* of its words: those that this part owns */
};

struct row_encoder {
    const struct berth_tokenizer *tokenizer; /* borrowed */
    int64_t max_length;
    struct berth_encoding text, pair, negative;
    size_t length; /* tokens of the row encoded last, all its sequences and windows */
    int32_t *tokens;
    int32_t *segments;
    size_t token_capacity, segment_capacity;
    struct row_word *words; /* [word_count] */
    size_t word_count, word_capacity;
    struct row_part *parts; /* [part_count] */
    size_t part_count, part_capacity;
    size_t pair_at, negative_at; /* separate sequences: first token of each; 0: none */
    size_t whole;                /* tokens that nothing would have been cut of */
    bool cut;                    /* the row was longer than max_length */
};
void row_encoder_init(struct row_encoder *e, const struct berth_tokenizer *t, int64_t max_length);
void row_encoder_deinit(struct row_encoder *e);
/* How a text falls into words: not at all (it is encoded whole, and word_count is 0); at white space, each
 * encoded on its own; or as the items of a list, a row that came pre-split. */
enum row_words { ROW_WHOLE, ROW_BY_SPACE, ROW_BY_LIST };
/* pair NULL: none. */
berth_status row_encode(struct row_encoder *e, const char *text, const char *pair,
                        enum row_words words) BERTH_CHECKED;
/* The same as separate sequences, each cut to max_length, in one run of tokens; negative NULL: none. */
berth_status row_encode_separate(struct row_encoder *e, const char *text, const char *pair,
                                 const char *negative, enum row_words words) BERTH_CHECKED;
/* The same as windows: a part each. stride: tokens that neighbours share. */
berth_status row_encode_windows(struct row_encoder *e, const char *text, const char *pair, enum row_words words,
                                int64_t stride) BERTH_CHECKED;
/* How many tokens of each text stay when `room` is there for both: the longer one is cut first, as the
 * reference's fast tokenizer does. */
void row_cut(size_t *text, size_t *pair, size_t room);
/* For these two: starts a row (encodes the texts, forgets the one before), and one more sequence's tokens. */
berth_status row_begin(struct row_encoder *e, const char *text, const char *pair, const char *negative,
                       enum row_words words) BERTH_CHECKED;
berth_status row_put(struct row_encoder *e, const int32_t *first, size_t first_count, const int32_t *second,
                     size_t second_count, bool has_second) BERTH_CHECKED;

/* ---- packed files */

#define PACK_VERSION 3

/* The files behind one split of a source, mapped. */
struct source_files {
    struct text_file *list;       /* [count], owned: path after path */
    struct berth_hash128 *digest; /* [count], owned */
    size_t count, per_path;
};
/* Maps what the split's paths hold; every path of a source has the same number of files. files is zeroed; unmap after
 * a failure too. */
berth_status source_files_map(struct source_files *files, const struct source_spec *spec,
                              enum berth_split split) BERTH_CHECKED;
void source_files_unmap(struct source_files *files, const struct source_spec *spec, enum berth_split split);

#define SPOOL_BYTES ((size_t)1 << 20)

struct spool {
    enum berth_h5_type type;
    size_t size;        /* bytes of an element */
    const char *beside; /* borrowed: the packed file's path; temporary files lie in its folder */
    char *buffer;
    size_t used, capacity;
    int fd; /* -1: everything is in the buffer */
    int64_t count;
};
void spool_init(struct spool *s, enum berth_h5_type type, const char *beside);
void spool_deinit(struct spool *s);
berth_status spool_add(struct spool *s, const void *data, size_t count) BERTH_CHECKED;
/* As a dataset of the name; none where the spool is empty. map: new numbers of values >= 0 (I32), or NULL. The
 * spool is used up. */
berth_status spool_put(struct spool *s, struct berth_h5_writer *w, const char *name,
                       const int32_t *map) BERTH_CHECKED;

struct pack_labels {           /* of one label that tasks ask of the source */
    struct berth_labels names; /* sorted; classification, tagging, multilabel */
    const int32_t *values;     /* [R], tagging [words]: label in `names`; other kinds 0; -1: missing */
    const float *numbers;      /* [R] regression, similarity */
    const int64_t *set_offset; /* [R+1] multilabel */
    const int32_t *set_values;
};

struct pack {
    struct berth_h5 *file;     /* the map that the view borrows from */
    struct berth_dataset view; /* what hangs on tasks is not set here */
    size_t label_count;
    struct pack_labels *labels; /* [label_count] */
    struct read_report report;  /* of its rows */
};
/* Settings as JSON members, without braces. */
berth_status pack_settings(struct berth_str *s, const struct source_spec *spec, enum berth_split split,
                           const struct berth_tokenizer *t, int64_t max_length) BERTH_CHECKED;
/* The key of a split's pack: bytes of its files, the tokenizer, the settings, the layout's version. Fills in
 * the files' digests. */
berth_status pack_key(char out[33], struct source_files *files, const struct source_spec *spec,
                      enum berth_split split, const struct berth_tokenizer *t,
                      int64_t max_length) BERTH_CHECKED;
/* Writes the packed file. */
berth_status pack_write(const char *out_path, const struct source_spec *spec, enum berth_split split,
                        const struct source_files *files, const struct berth_tokenizer *t,
                        int64_t max_length) BERTH_CHECKED;
/* Opens and checks; BERTH_E_FORMAT when damaged. */
berth_status pack_open(struct pack *out, const char *path, const struct source_spec *spec, int64_t max_length,
                       size_t vocabulary) BERTH_CHECKED;
void pack_close(struct pack *p);
/* Opens the split's packed file from the cache folder, or makes it. *path is owned by the caller. */
berth_status pack_obtain(struct pack *out, char **path, bool *made, const struct source_spec *spec,
                         enum berth_split split, const char *cache_folder, const struct berth_tokenizer *t,
                         int64_t max_length) BERTH_CHECKED;

/* ---- rows on their way into a pack */

struct held_row { /* owned by the chunk's arena */
    const char *text, *pair, *negative;
    const char **labels; /* [label_count] NULL: missing */
    enum row_words words;
    const char *file; /* for messages */
    int64_t line;
};
struct row_chunk {
    struct berth_arena arena;
    struct held_row *rows;
    size_t count;
    size_t bytes;
};

struct label_column { /* one label that tasks ask of the source */
    struct berth_labels names;
    struct spool values, numbers, set_offset, set_values;
    int32_t *set; /* the labels of the row at hand */
    size_t set_count, set_capacity;
};
struct row_walk;
struct pack_builder {
    const struct source_spec *spec; /* borrowed */
    struct spool tokens, segments, offset, word_offset, word_token, origin, pair_at, negative_at;
    struct label_column *labels; /* [label_count] */
    int64_t rows, source_rows, rows_cut, words_cut;
    struct row_chunk chunk;
    struct row_encoder *encoders; /* one a row of the chunk */
    char *name;                   /* one label, ended by a zero byte */
    size_t name_capacity;
    uint8_t *narrow; /* segments as bytes */
    size_t narrow_capacity;
};
/* path: where the packed file will be. Deinit after a failure too. */
berth_status pack_builder_init(struct pack_builder *b, const struct source_spec *spec, const char *path,
                               const struct berth_tokenizer *t, int64_t max_length) BERTH_CHECKED;
void pack_builder_deinit(struct pack_builder *b);
/* All rows of the walk. */
berth_status pack_builder_add(struct pack_builder *b, struct row_walk *walk) BERTH_CHECKED;

/* Walks the rows of a split: those of its files that belong to it. */
struct row_walk {
    const struct source_spec *spec;
    enum berth_split split;
    const struct source_files *files;
    struct reader reader;
    size_t path; /* next to open */
    bool open;
    int64_t path_rows;          /* rows read of the open path, of whatever split */
    int64_t seen;               /* rows of the split handed out or passed over by the limit */
    const uint8_t *kept;        /* bit a row of the split, or NULL: all */
    struct read_report *report; /* borrowed; NULL: none; the caller sets it */
    struct berth_str work;
};
void row_walk_begin(struct row_walk *w, const struct source_spec *spec, enum berth_split split,
                    const struct source_files *files, const uint8_t *kept);
/* The next row in w->reader.row; *more is false after the last. */
berth_status row_walk_next(struct row_walk *w, bool *more) BERTH_CHECKED;
void row_walk_end(struct row_walk *w);
/* Whose paths hold the split's rows, and whether it has any. */
enum berth_split split_files(const struct source_spec *spec, enum berth_split split);
bool split_is_there(const struct source_spec *spec, enum berth_split split);
/* Which split a row belongs to where `split` is given, and the key by which a limit chooses: functions of the
 * seed and the row's texts alone. */
berth_status row_split_of(enum berth_split *out, const struct source_spec *spec, const struct berth_row *row,
                          struct berth_str *work) BERTH_CHECKED;
berth_status row_limit_key(uint32_t *out, const struct source_spec *spec, const struct berth_row *row,
                           struct berth_str *work) BERTH_CHECKED;
/* Lower case, white space collapsed; texts of a row with 0x1E between. Replaces what s holds. */
berth_status row_normalised(struct berth_str *s, const char *text, const char *pair,
                            const char *negative) BERTH_CHECKED;
/* The rows that a limit keeps, as bits in the order of the walk; NULL where there is no limit or it keeps all.
 */
berth_status limit_choose(uint8_t **out, const struct source_spec *spec, enum berth_split split,
                          const struct source_files *files) BERTH_CHECKED;
/* split, limit, overflow, stride of a source; then, when all tasks are known, whether its texts are sequences
 * of their own. */
berth_status source_options_read(struct source_spec *spec) BERTH_CHECKED;
berth_status source_options_check(struct source_spec *spec, const struct specs *specs) BERTH_CHECKED;

/* ---- feeding */

/* True when a task's loss may have an item of this training row. */
bool row_feeds_task(const struct berth_data *d, size_t task, size_t source, int64_t row);
struct row_buffers {
    int32_t *segments; /* owned */
    size_t segment_capacity;
    int32_t *tokens;
    size_t token_capacity;
    int32_t *labels;
    size_t label_capacity;
    float *target;
    size_t target_capacity;
    struct augment_row *augment; /* owned; NULL: no row was altered yet */
};
void row_buffers_deinit(struct row_buffers *r);

struct augmenter;
struct row_draw { /* one row as it is fed */
    size_t source;
    enum berth_split split;
    int64_t row;
    uint32_t epoch;                    /* what is drawn at random in a row is keyed by these two */
    uint32_t occurrence;               /* of the row in the epoch */
    const struct augmenter *augmenter; /* NULL: rows stay as they are */
    bool repeats_altered;              /* sampling.units.*.more: augmentation */
};
#define EVALUATION_EPOCH UINT32_MAX

/* Empties b and sets the widths of its targets. */
berth_status batcher_begin(struct berth_batch *b, const struct berth_data *d) BERTH_CHECKED;
struct task_choice {
    int only;          /* >= 0: this task alone */
    const bool *tasks; /* [tasks] else those that are true; NULL: all */
};
bool task_chosen(const struct task_choice *choice, size_t task);
/* How many sequences a row adds. */
int32_t row_sequence_count(const struct berth_data *d, size_t source, enum berth_split split, int64_t row,
                           const struct task_choice *choice);
/* Adds a row's sequences and its items, counting labelled ones into task_rows and task_items. The sequences get
 * the ordinals from *ordinal on, which moves past them. keep_unlabelled: also items without a known label
 * (evaluation). */
berth_status batcher_add_row(struct berth_batch *b, const struct berth_data *d, const struct row_draw *draw,
                             int32_t *ordinal, const struct task_choice *choice, bool keep_unlabelled,
                             struct row_buffers *buffers) BERTH_CHECKED;

/* ---- augment.c: rows altered */

enum { AUGMENT_OPS = 5 };
struct augment_options { /* data.NAME.augment */
    bool on;
    bool share_given;
    double share;
    double probability[AUGMENT_OPS];
};
berth_status augment_read(struct augment_options *out, const struct source_spec *spec,
                          const struct berth_tokenizer *t) BERTH_CHECKED;
/* [V] 1: a piece that continues a word ("##..."); owned by the caller. */
berth_status augment_continues(uint8_t **out, const struct berth_tokenizer *t) BERTH_CHECKED;
/* *out is NULL where no source with training rows asks for it. Borrows d. Used by several threads at once. */
berth_status augmenter_create(struct augmenter **out, const struct berth_data *d, uint64_t seed) BERTH_CHECKED;
void augmenter_free(struct augmenter *a);

/* With which probability a draw is altered: with `more: augmentation` or not, of a row that came before in the epoch or
 * not. */
double augment_share(const struct augment_options *o, bool repeats_altered, bool again);

struct fed_row { /* a row that is not the pack's; borrowed from an augment_row until its next one */
    const int32_t *tokens;
    const uint8_t *segments;
    int64_t length;
    int64_t pair_at, negative_at; /* as of struct berth_dataset; 0: none */
    const int32_t *word_token;    /* [word_count] */
    int64_t word_count;
    const int32_t *const *labels; /* [tasks] tagging: [word_count]; others NULL */
};
struct augment_row;
/* The row altered; NULL: it stays as it is. *work: NULL at first, then owned by the caller. */
berth_status augment_row_make(const struct fed_row **out, struct augment_row **work,
                              const struct row_draw *draw) BERTH_CHECKED;
void augment_row_free(struct augment_row *r);

/* ---- masked language modelling */
struct mask_key {
    uint64_t seed;
    uint32_t stream; /* of source and epoch */
    uint64_t row;    /* row and occurrence */
};
/* tokens[count] -> out[count]; where a token is to be told, labels[i] is the token before, else -1. */
void mask_tokens(int32_t *out, int32_t *labels, const int32_t *tokens, int64_t count,
                 const struct mask_key *key, double share, const struct berth_special_tokens *special,
                 int32_t vocabulary);

/* ---- schemes.c */
struct data_task;
/* The scheme of a tagging task's tags: the model's, or as declared or converted, or told from the training
 * rows. Logs it, and for each split how many tags do not fit. Other kinds: PLAIN. */
berth_status task_find_scheme(enum berth_tag_scheme *out, const struct berth_data *d, const struct specs *specs,
                              size_t task, const struct berth_task *given) BERTH_CHECKED;
/* The scheme of the tags as they stand in the files, told from the training rows where neither the configuration nor
 * the model says it. */
berth_status task_scheme_in_files(enum berth_tag_scheme *out, const struct berth_data *d,
                                  const struct specs *specs, size_t task,
                                  const struct berth_task *given) BERTH_CHECKED;
/* Logs what reading told of a split beside its tags. */
void split_log_report(const char *source, enum berth_split split, const struct read_report *report);

/* ---- sampling_config.c */

enum sampling_mix { MIX_BATCH, MIX_STEP, MIX_ALL };
enum sampling_epoch { EPOCH_ALL, EPOCH_SMALLEST, EPOCH_LARGEST, EPOCH_STEPS };
enum size_of { SIZE_OWN, SIZE_SMALLEST, SIZE_LARGEST };

struct unit_options { /* sampling.units.NAME */
    char *name;       /* owned */
    double share;     /* below 0: not given */
    int64_t rows;     /* 0: not given */
    double ratio;     /* 0: not given */
    enum size_of of;
    bool fixed;    /* fewer rows: the same ones every epoch */
    bool altered;  /* more rows: by augmentation, not by repetition */
    char *balance; /* owned; a task whose classes are drawn equally often; NULL: none */
};

struct sampling_scheme;
struct sampling { /* the section of the configuration */
    const struct sampling_scheme *scheme;
    double temperature;
    int64_t cap; /* 0: none */
    enum sampling_mix mix;
    enum sampling_epoch epoch;
    int64_t epoch_steps;
    struct unit_options *units; /* [unit_count] those that the configuration names */
    size_t unit_count;
};
berth_status sampling_read(struct sampling *out, const struct berth_config *c) BERTH_CHECKED;
void sampling_deinit(struct sampling *s);

/* ---- data.c */
struct data_task {
    struct berth_task task;
    struct task_source *sources; /* [source_count] */
    size_t source_count;
    double mask; /* mlm: share of tokens to be told */
};
struct split_labels { /* [tasks] each; what a task's map made of the pack's labels */
    const int32_t **labels;
    const float **numbers;
    const int64_t **set_offset;
    const int32_t **set_values;
    int32_t **owned; /* arrays that could not be borrowed from the pack */
    int32_t **owned_sets;
};
struct data_source {
    struct berth_source view;
    char *name;
    uint32_t stream; /* of its name: keys what is drawn in its rows */
    bool separate;
    struct pack packs[BERTH_SPLIT_COUNT];
    char *paths[BERTH_SPLIT_COUNT];
    bool made[BERTH_SPLIT_COUNT];
    struct split_labels mapped[BERTH_SPLIT_COUNT];
    struct augment_options augment;
};
struct berth_data {
    struct data_source *sources; /* [source_count] */
    size_t source_count;
    struct data_task *tasks; /* [task_count] */
    size_t task_count;
    uint64_t seed;
    struct sampling sampling;
    struct berth_special_tokens special;
    int32_t vocabulary;
    int64_t max_length;
    uint8_t *continues; /* [vocabulary] 1: a piece that goes on with a word */
};
/* NULL: the task does not read the source. */
const struct task_source *data_task_of(const struct berth_data *d, size_t task, size_t source);
/* The labels of all tasks, by their maps. */
berth_status labels_lay_over(struct berth_data *d, size_t source) BERTH_CHECKED;
void split_labels_deinit(struct split_labels *m, size_t task_count);

#endif /* BERTH_DATA_PRIV_H */
