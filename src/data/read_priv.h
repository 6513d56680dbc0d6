/* read_priv.h: from the configuration to sources, and from their files to rows.
 *
 *     source_spec    what the configuration says of one source: format, columns, the labels that tasks want
 *     text_file      one mapped source file; its bytes give both the pack's key and the rows
 *     reader_format  cuts a file into the fields of a row: text, pair, negative, labels
 *     reader         gives the fields their meaning: lists, numbers, what is missing; the same for all formats
 */
#ifndef BERTH_READ_PRIV_H
#define BERTH_READ_PRIV_H

#include "berth/data.h"
#include "berth/file.h"

/* ---- words: white space is Unicode's White_Space */

struct word_cursor {
    const char *text; /* valid or invalid UTF-8; borrowed */
    size_t size;
    bool list; /* the items of a list (they may be empty), not what lies between white space */
    size_t at;
    size_t start, end; /* bytes of the word found last */
};
/* Finds the next word; false at the end. */
bool word_next(struct word_cursor *w);
int64_t word_total(const char *text, size_t size, bool list);

/* ---- sources as the configuration describes them */

struct column {
    const char *key;  /* configuration path it came from: for messages */
    const char *name; /* as written; NULL: none */
    int64_t number;   /* >= 0: by number; -1: by name */
};

struct label_spec {
    size_t task; /* index in the configuration */
    enum berth_task_kind kind;
    struct column column;             /* name NULL: contrastive and mlm tasks, which have none */
    bool from_comment;                /* the column's name is the key of comment lines */
    bool kept;                        /* it is handed on as it stands, text or list */
    enum berth_tag_scheme scheme;     /* declared; BERTH_TAG_SCHEME_COUNT: to be told from the tags */
    enum berth_tag_scheme convert_to; /* BERTH_TAG_SCHEME_COUNT: tags stay as they are */
};

enum text_encoding { ENCODING_STRICT, ENCODING_REPLACE, ENCODING_WINDOWS_1252 };
enum overflow { OVERFLOW_CUT, OVERFLOW_ERROR, OVERFLOW_WINDOWS };

struct source_spec {
    const struct berth_config *config; /* borrowed; NULL: not from a configuration */
    const char *name;
    const struct reader_format *format;
    bool header;
    bool has_pair, has_negative;
    bool by_words;   /* text is split at white space and encoded word by word */
    bool keep_empty; /* format text: lines without a word are rows too */
    struct column text, text_pair, text_negative;
    const char *separator; /* between the labels of a cell */
    bool separator_given;  /* not the key's default */
    const char *delimiter; /* between columns: one byte, or NULL: the format's own */
    enum text_encoding encoding;
    struct label_spec *labels; /* [label_count] in the order of tasks */
    size_t label_count;
    bool separate; /* text, pair and negative are sequences of their own (similarity, contrastive) */
    enum overflow overflow;
    int64_t stride;                        /* tokens that a window shares with the one before it */
    bool split_given;                      /* dev and test are parts of the train paths' rows */
    double split_share[BERTH_SPLIT_COUNT]; /* of dev and test */
    int64_t limit[BERTH_SPLIT_COUNT];      /* rows kept; 0: all */
    uint64_t seed;
    const char *const *paths[BERTH_SPLIT_COUNT]; /* [path_count] with the data folder in front */
    size_t path_count[BERTH_SPLIT_COUNT];        /* 0: the split is not named */
};

struct task_source {
    size_t source; /* index */
    size_t label;  /* index in the source's labels */
};

struct task_spec {
    const char *name;
    enum berth_task_kind kind;
    struct task_source *sources; /* [source_count] in the order of the configuration */
    size_t source_count;         /* >= 1 */
};

struct specs {
    struct berth_arena arena;    /* owns what the specs point to */
    struct source_spec *sources; /* [source_count] */
    size_t source_count;
    struct task_spec *tasks; /* [task_count] */
    size_t task_count;
    int64_t max_length;
};
/* Reads `data` and `tasks` and checks what they mean together; errors are at the key. */
berth_status specs_read(struct specs *out, const struct berth_config *c) BERTH_CHECKED;
void specs_deinit(struct specs *s);
/* All settings of a source that what its reader gives depends on, as members of a JSON object. */
void spec_add_settings(struct berth_str *s, const struct source_spec *spec);
/* berth_config_fail at a key of the source's configuration. */
berth_status spec_fail(const struct source_spec *spec, const char *key, const char *fmt, ...)
    BERTH_PRINTF(3, 4);
/* From the words of a key's value. */
berth_status spec_set_delimiter(struct source_spec *spec, const char *key, const char *text) BERTH_CHECKED;
bool spec_set_encoding(struct source_spec *spec, const char *name); /* false: there is no such */
/* Whether labels of this kind are read from a column. */
bool kind_has_label(enum berth_task_kind kind);

/* ---- files, streams, lines */

#define READER_MAX_FILES 3

struct text_file {
    char *path; /* owned */
    struct berth_file_map map;
    bool piped; /* instead of a map: bytes come from fd, which stays open */
    int fd;
};

enum stream_kind { STREAM_PLAIN, STREAM_GZIP, STREAM_ZSTD };

/* The text of a file as it comes, decompressed. */
struct text_stream {
    const struct text_file *file;
    const unsigned char *at, *end; /* ready to be read; the reader moves `at` */
    bool ended;                    /* nothing comes behind `end` */
    enum stream_kind kind;
    unsigned char *buffer; /* owned; used up to `used` */
    size_t used, capacity;
    const unsigned char *input; /* [input_size] not decoded yet */
    size_t input_size;
    int64_t input_used; /* bytes of the file behind us */
    bool input_ended;
    unsigned char *pipe_buffer;
    struct stream_decoder *decoder;
};
/* Tells the file's type by its first bytes. Other compressed types, and UTF-16, are BERTH_E_FORMAT. Close it
 * after a failure too. */
berth_status stream_open(struct text_stream *s, const struct text_file *file) BERTH_CHECKED;
/* Adds bytes behind `end` (which moves, as `at` does), or sets `ended`. A damaged or cut archive is
 * BERTH_E_FORMAT. */
berth_status stream_more(struct text_stream *s) BERTH_CHECKED;
void stream_close(struct text_stream *s);

struct line_cursor {
    struct text_stream stream;
    enum text_encoding encoding;
    int64_t line; /* 1-based number of the line read last */
    char *text;   /* that line in UTF-8, ended by a zero byte, without its line end; owned */
    size_t length;
    size_t capacity;
    size_t end_size;  /* bytes of its line end: 0 (the last line), 1 (LF) or 2 (CRLF) */
    int64_t replaced; /* characters replaced so far, and where the first one was */
    int64_t replaced_line;
};
/* Skips a byte order mark. Deinit after a failure too. */
berth_status line_cursor_init(struct line_cursor *l, const struct text_file *file,
                              enum text_encoding encoding) BERTH_CHECKED;
void line_cursor_deinit(struct line_cursor *l);
/* *more is false after the last line. What the encoding does not allow, zero bytes, and lines beyond 256 MiB
 * are BERTH_E_FORMAT. */
berth_status line_next(struct line_cursor *l, bool *more) BERTH_CHECKED;
/* Whether the next line can be had without waiting for a pipe. */
bool line_is_ready(const struct line_cursor *l);

/* ---- what reading tells beside the rows */

#define CENSUS_LETTERS 7 /* B I E S L U, and all others but O */
#define CENSUS_ODD 3

struct counted {
    int64_t count;
    char *first; /* place of the first, as messages have it; owned; NULL: none */
};

struct tag_census { /* of the tags of one label */
    int64_t words;  /* that carry a tag */
    struct counted letters[CENSUS_LETTERS];
    struct counted odd[CENSUS_ODD]; /* tags out of place, by scheme */
};

struct read_report {
    struct counted replaced; /* characters, by encoding: replace */
    struct tag_census *tags; /* [label_count] of the spec */
    size_t label_count;
};
struct berth_json;
berth_status read_report_init(struct read_report *r, size_t label_count) BERTH_CHECKED;
void read_report_deinit(struct read_report *r); /* what is zeroed may be given, too */
/* Counts the tags (a list) of a sentence. */
berth_status read_report_tags(struct read_report *r, size_t label, const char *path, int64_t line,
                              const char *tags) BERTH_CHECKED;
berth_status read_report_replaced(struct read_report *r, const char *path, int64_t line,
                                  int64_t count) BERTH_CHECKED;
/* As a JSON object, and back from the member `path` into a report that has just been initialised. */
void read_report_add_json(struct berth_str *s, const struct read_report *r);
berth_status read_report_read_json(struct read_report *r, const struct berth_json *j,
                                   const char *path) BERTH_CHECKED;
/* The scheme that the tags are of. */
enum berth_tag_scheme tag_census_scheme(const struct tag_census *c);
/* How many tags do not fit a scheme, and where the first stands (NULL: none). */
int64_t tag_census_odd(const struct tag_census *c, enum berth_tag_scheme scheme, const char **first);
berth_status tag_census_merge(struct tag_census *to, const struct tag_census *from) BERTH_CHECKED;
/* The tags of a sentence (a list) in another scheme; the list replaces what `out` held. */
void tags_convert(struct berth_str *out, const char *tags, enum berth_tag_scheme to);

/* ---- readers */

enum field_kind { FIELD_MISSING, FIELD_TEXT, FIELD_LIST };

/* What a format found for one of the fields of a row. */
struct field {
    enum field_kind kind; /* reset to missing before each row */
    size_t file;          /* index of the reader's file that it stands in: for messages */
    char *text;           /* ended by a zero byte, borrowed; the reader trims it in place */
    size_t size;
};
/* Order of a reader's fields. */
enum { FIELD_OF_TEXT, FIELD_OF_PAIR, FIELD_OF_NEGATIVE, FIELD_OF_LABELS };

struct reader {
    const struct source_spec *spec; /* borrowed */
    const struct text_file *files;  /* [file_count] of one path */
    size_t file_count;
    struct line_cursor lines[READER_MAX_FILES];
    struct field *fields; /* [field_count] what the format fills in */
    size_t field_count;   /* FIELD_OF_LABELS + the spec's labels */
    int64_t line;         /* of the row, filled in by the format */
    struct berth_row row;
    struct berth_str *lists;     /* [label_count] lists made of texts */
    struct berth_str *converted; /* [label_count] tags in another scheme */
    const char **found_tags;     /* [label_count] tags of the row as the file has them; NULL: none */
    void *state;                 /* the format's own; owned */
};

struct reader_format {
    const char *name;
    bool has_columns;   /* takes the keys text, text_pair, negative */
    bool has_header;    /* takes the key header */
    bool has_delimiter; /* takes the key delimiter */
    bool has_comments;  /* tasks may take a label from comment lines: the key comment */
    bool has_lists;     /* its lists come as lists: a text is one label */
    /* Checks columns and kinds that the tasks ask for; may fill in spec->by_words. */
    berth_status (*check)(struct source_spec *spec);
    /* Names of the files inside the folder `path` that this spec needs, or count 0: the path itself. */
    size_t (*members)(const struct source_spec *spec, const char *names[READER_MAX_FILES]);
    berth_status (*open)(struct reader *r); /* (optional) reads a header */
    /* Fills in r->fields and r->line. */
    berth_status (*next)(struct reader *r, bool *more);
    void (*close)(struct reader *r); /* (optional) frees what the state owns */
};
extern const struct reader_format reader_tsv;
extern const struct reader_format reader_csv;
extern const struct reader_format reader_jsonl;
extern const struct reader_format reader_conll;
extern const struct reader_format reader_lines;
extern const struct reader_format reader_seqfiles;
extern const struct reader_format reader_text;
/* NULL: not known. */
const struct reader_format *reader_find(const char *name);

/* Maps the files of one path; an empty one is BERTH_E_FORMAT. files has room for READER_MAX_FILES and is zeroed
 * by the caller, who unmaps each, after a failure too. */
berth_status reader_map_files(struct text_file *files, size_t *count, const struct source_spec *spec,
                              const char *path) BERTH_CHECKED;
void reader_unmap_file(struct text_file *file);
/* Close the reader after a failure too. */
berth_status reader_open(struct reader *r, const struct source_spec *spec, const struct text_file *files,
                         size_t file_count) BERTH_CHECKED;
/* The next row in r->row; *more is false after the last. */
berth_status reader_next(struct reader *r, bool *more) BERTH_CHECKED;
/* Adds what the row at hand tells to a report that was initialised for the spec's labels; at the end of the
 * files, what they tell. Several readers may add to one report. */
berth_status reader_report_row(const struct reader *r, struct read_report *report) BERTH_CHECKED;
berth_status reader_report_end(const struct reader *r, struct read_report *report) BERTH_CHECKED;
void reader_close(struct reader *r);

/* The column behind a field; NULL: the spec has none there. */
const struct column *spec_column(const struct source_spec *spec, size_t field);
void field_set(struct field *f, char *text, size_t size);
/* The words of a text as a list, which `list` keeps. */
berth_status field_set_words(struct field *f, struct berth_str *list, const char *text,
                             size_t size) BERTH_CHECKED;

/* ---- tables: what tsv and csv share, once a record is cut into cells */

struct table {
    berth_status (*record)(struct reader *r, struct table *t,
                           bool *more); /* fills in cells, cell_count, line */
    struct table_cell {
        char *text; /* ended by a zero byte */
        size_t size;
    } * cells;
    size_t cell_count, cell_capacity;
    int64_t line;   /* where the record begins */
    size_t columns; /* of the first record */
    size_t *where;  /* [field_count] column of each field */
    bool held;      /* the record read last is still to be given */
};
berth_status table_check(struct source_spec *spec) BERTH_CHECKED;
berth_status table_open(struct reader *r, struct table *t) BERTH_CHECKED;
berth_status table_next(struct reader *r, struct table *t, bool *more) BERTH_CHECKED;
void table_deinit(struct table *t);
berth_status table_add_cell(struct table *t, char *text, size_t size) BERTH_CHECKED;

/* ---- JSON: a strict scanner (RFC 8259) over one value, in place */

enum json_type { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json_scan {
    char *at, *end;       /* *end is a zero byte; strings are unescaped in place behind `at` */
    bool replace;         /* a lone surrogate becomes U+FFFD; else it is an error */
    const char *found;    /* after a failure: what stands at `at` (NULL: the sign there) */
    const char *expected; /* after a failure */
};
void json_space(struct json_scan *s);
/* What the value at `at` is by its first sign; false: none begins there. */
bool json_peek(struct json_scan *s, enum json_type *type);
/* All below move `at` behind what they read and return false on a mistake. */
bool json_skip(struct json_scan *s, int depth); /* any value */
/* A string, unescaped, ended by a zero byte where its quote was. It holds no zero character. */
bool json_string(struct json_scan *s, char **text, size_t *size);
/* The name of a member and the colon behind it. The name may hold zero characters. */
bool json_name(struct json_scan *s, char **text, size_t *size);
/* A number, true, false or null: the text as written, not ended by a zero byte. */
bool json_word(struct json_scan *s, char **text, size_t *size);
/* The sign, with white space in front of it. */
bool json_sign(struct json_scan *s, char sign, const char *expected);

#endif /* BERTH_READ_PRIV_H */
