/* cli_priv.h: what the commands share: the table of commands, options, the console, results, lines, models.
 *
 * Results go to standard output (cli_out_*), everything else to standard error (cli_console_*). A command is
 * one file cmd_NAME.c that defines one `const struct cli_command cli_NAME` and has one row in main.c's table.
 * Commands return a berth_status; main.c prints the recorded error, one line a mistake, and turns it into the
 * exit code.
 */
#ifndef BERTH_CLI_PRIV_H
#define BERTH_CLI_PRIV_H

#include "berth/base.h"
#include "berth/config.h"
#include "berth/model.h"
#include "berth/tags.h"
#include "berth/train.h"

/* ---- commands and their options */
struct cli_args;

struct cli_option {
    const char *name;  /* without the dashes; NULL ends a list */
    const char *value; /* what stands behind it in the help, "FILE"; NULL: a flag */
    const char *help;
};

struct cli_command {
    const char *name;
    const char *usage;   /* what follows the name: "CONFIG [key=value ...]" */
    const char *summary; /* one line */
    const char *details; /* paragraphs of `berth NAME --help` */
    const struct cli_option *options;
    int min_positional, max_positional; /* max -1: any number */
    berth_status (*run)(const struct cli_args *args);
};

extern const struct cli_command cli_train, cli_eval, cli_predict, cli_embed, cli_tokenize, cli_vocab, cli_pack,
    cli_config, cli_data, cli_inspect, cli_doctor, cli_convert, cli_report;

/* main.c's table. */
const struct cli_command *const *cli_commands(int *count);
/* The manual page (roff) and the completion script, from the same tables as the help. */
void cli_man_page(struct berth_str *out);
void cli_completion(struct berth_str *out);

#define CLI_MAX_OPTIONS 32
struct cli_args {
    const struct cli_command *command;
    const char **positional; /* [positional_count] borrowed from argv; the array is owned */
    int positional_count;
    const char *values[CLI_MAX_OPTIONS]; /* by the command's options; flags: "" when given; NULL: not given */
    bool help, verbose;
};

/* argv begins behind the command's name. Options may stand anywhere: --name value, --name=value; "--" ends
 * them, "-" is a positional. Unknown options (naming the nearest), missing values and wrong counts are
 * BERTH_E_USAGE. */
berth_status cli_args_parse(struct cli_args *out, const struct cli_command *command, int argc,
                            char **argv) BERTH_CHECKED;
void cli_args_deinit(struct cli_args *args);
bool cli_flag(const struct cli_args *args, const char *name);
const char *cli_value(const struct cli_args *args, const char *name); /* NULL: not given */
/* *out keeps its value when the option was not given. Bad values are BERTH_E_USAGE. */
berth_status cli_int(const struct cli_args *args, const char *name, int64_t min, int64_t max,
                     int64_t *out) BERTH_CHECKED;
/* choices: "tsv|json"; *out is the number of the word given. */
berth_status cli_choice(const struct cli_args *args, const char *name, const char *choices,
                        int *out) BERTH_CHECKED;
/* The help page of a command. */
void cli_command_help(struct berth_str *out, const struct cli_command *command);

/* ---- the console: standard error, with at most one bar that is redrawn in place on its last line */
void cli_console_init(void);
bool cli_console_is_terminal(void);
int cli_console_width(void); /* columns of the terminal; 80 where they cannot be told */
/* A line of its own; a bar on the screen gives way. */
void cli_console_line(const char *fmt, ...) BERTH_PRINTF(1, 2);
/* Several lines, printed as they are. */
void cli_console_text(const char *text);
/* Draws or redraws the bar, cut to the terminal's width. Only on a terminal. */
void cli_console_bar(const char *text);
void cli_console_log(void *user, enum berth_log_level level, const char *line); /* a berth_log_sink */

/* ---- results: standard output. A failed write is BERTH_E_IO. */
berth_status cli_out(const char *data, size_t size) BERTH_CHECKED;
berth_status cli_out_f(const char *fmt, ...) BERTH_PRINTF(1, 2) BERTH_CHECKED;
/* Writes and resets; a failed string is BERTH_E_MEMORY. */
berth_status cli_out_str(struct berth_str *s) BERTH_CHECKED;
berth_status cli_out_flush(void) BERTH_CHECKED;
/* The reader went away (a closed pipe): main ends as other programs of a pipeline do, without a message. */
bool cli_out_closed(void);

/* ---- scores */
/* "task\tsplit\tmetric\tvalue" lines on standard output. */
berth_status cli_scores_print(const struct berth_scores *scores) BERTH_CHECKED;
/* Tells of a run: plan, progress (a bar on a terminal, else plain lines), scores, notes. */
struct berth_observer cli_observer(bool (*stop_requested)(void *user));

/* ---- lines of a file or of standard input, a window at a time */
struct cli_lines {
    int fd;
    const char *name; /* for messages; borrowed */
    char *buffer;
    size_t begin, end, capacity;
    bool at_end;
};
struct cli_window {
    char **lines;  /* [count] owned; without their line ends, zero-ended; zero bytes inside are made 0x01, which
                      the  tokenizer drops alike */
    size_t *sizes; /* [count] bytes */
    size_t count, capacity, size_capacity;
};
/* path NULL or "-": standard input. */
berth_status cli_lines_open(struct cli_lines *in, const char *path) BERTH_CHECKED;
void cli_lines_close(struct cli_lines *in);
/* Waits for one line, then takes as many as are there without waiting, at most `most`; count 0 at the end. So a
 * program that writes a line and waits for the answer gets it. Empties the window first. */
berth_status cli_lines_window(struct cli_lines *in, struct cli_window *w, size_t most) BERTH_CHECKED;
void cli_window_deinit(struct cli_window *w);
/* Cuts a line at its first tab: *pair is what follows, or NULL. */
void cli_split_pair(char *line, const char **pair);

/* ---- texts in any format that training reads, a window at a time */
#define CLI_WINDOW 256                     /* lines read ahead */
#define CLI_BATCH 32                       /* rows a forward pass */
#define CLI_WINDOW_ROWS 4096               /* rows read ahead, that are put in order of length */
#define CLI_WINDOW_BYTES ((size_t)8 << 20) /* and their bytes */
#define CLI_MOST_KEPT 64                   /* columns of --keep */
struct cli_texts {
    struct berth_texts *texts;
    const char *name;  /* for messages; borrowed */
    bool tabs;         /* a tab parts the texts of a pair */
    const char **keep; /* [keep_count] names of the columns to keep; owned */
    size_t keep_count;
    char *keep_text;
    int64_t rows;        /* read so far */
    berth_status failed; /* what reading met behind the rows handed out; told at the next call */
    char *failure;       /* its text; owned */
};
struct cli_row {
    struct berth_row row; /* text, text_pair, pre_split, line; labels: the kept columns, NULL: missing */
    const char *text;     /* as it is shown: of a pre-split row the words with a space between */
    size_t size;          /* bytes of the texts */
};
struct cli_rows {             /* a window */
    struct berth_arena arena; /* owns the texts */
    struct cli_row *rows;     /* [count] */
    struct cli_row **order;   /* [count] by length, the longest first (ties by place) */
    size_t count, capacity, order_capacity, bytes;
};
/* The options of a command that reads texts, for its table; what it takes where --input and --encoding are not
 * given. */
#define CLI_TEXT_OPTIONS(input_default, encoding_default)                                                      \
    {"input", "FORMAT", "tsv, csv, jsonl, conll, seqfiles, lines, text (default: " input_default ")"},         \
        {"column", "COLUMN", "the text's column: its name, or its number from 0 (default 0; jsonl: text)"},    \
        {"pair-column", "COLUMN", "the column of a second text"},                                              \
        {"no-header", NULL, "tsv, csv: the first line is a row, columns go by number"},                        \
        {"delimiter", "WORD", "between columns: tab, comma, semicolon, ... (as data.NAME.delimiter)"}, {       \
        "encoding", "strict|replace|windows-1252",                                                             \
            "what is not UTF-8: an error, U+FFFD, or a letter (default: " encoding_default ")"                 \
    }
/* path NULL or "-": standard input; compressed files and pipes, too. keeps: the command has the option --keep.
 */
berth_status cli_texts_open(struct cli_texts *in, const struct cli_args *args, const char *path,
                            bool keeps) BERTH_CHECKED;
void cli_texts_close(struct cli_texts *in); /* warns of replaced characters */
/* Waits for one row, then takes as many as are there without waiting; count 0 at the end. Empties the window
 * first. A mistake in the file is returned when the rows before it have been handed out. */
berth_status cli_texts_window(struct cli_texts *in, struct cli_rows *w, size_t most_rows,
                              size_t most_bytes) BERTH_CHECKED;
berth_status cli_rows_order(struct cli_rows *w) BERTH_CHECKED;
void cli_rows_deinit(struct cli_rows *w);

/* ---- models */
struct cli_model {
    struct berth_device *device;
    struct berth_model *model;
    struct berth_tokenizer *tokenizer;
    struct berth_tape *tape;
    struct berth_task *tasks; /* [model->head_count] views of the heads' tasks; borrowed from the model */
};
/* A model folder itself, or the best/ of a run folder. Owned by the caller. */
berth_status cli_model_folder(char **out, const char *path) BERTH_CHECKED;
/* Opens device, weights, vocabulary and tape of a model or run folder; heads NULL: all of the folder's, else
 * exactly these names in this order. */
berth_status cli_model_open(struct cli_model *out, const char *path, const char *device,
                            const char *const *heads, size_t head_count) BERTH_CHECKED;
void cli_model_close(struct cli_model *m);
/* --device, or "auto". */
#define CLI_DEVICE_OPTION                                                                                      \
    { "device", "NAME", "auto (default), cpu, cuda, cuda:N" }
const char *cli_device(const struct cli_args *args);
/* --precision: what an opened model computes in; fp32 where it is not given. */
#define CLI_PRECISION_OPTION                                                                                   \
    { "precision", "fp32|bf16", "what the backbone computes in (default fp32)" }
berth_status cli_precision(const struct cli_args *args, struct cli_model *m) BERTH_CHECKED;
/* The longest sequence: --max-length, checked against the model's positions. */
berth_status cli_max_length(const struct cli_args *args, const struct cli_model *m, int64_t *out) BERTH_CHECKED;

/* A text as a cell of TSV: tabs, line ends and ends of list items become spaces (the last end nothing). */
void cli_add_cell(struct berth_str *out, const char *text, size_t size);
/* A number for JSON, by six digits; what is not finite is null. */
void cli_add_json_number(struct berth_str *out, double value);
/* Adds text as a JSON string; bad UTF-8 becomes U+FFFD. */
void cli_add_json_text(struct berth_str *out, const char *text, size_t size);

/* ---- inspect, one kind of file each */
berth_status cli_inspect_model(const char *folder) BERTH_CHECKED;
berth_status cli_inspect_weights(const char *path) BERTH_CHECKED;
/* row >= 0: that row of packed data alone; vocabulary: whose pieces it shows. */
berth_status cli_inspect_h5(const char *path, int64_t row, const char *vocabulary) BERTH_CHECKED;
struct berth_h5;
berth_status cli_inspect_pack(struct berth_str *s, const struct berth_h5 *file, int64_t row,
                              const char *vocabulary) BERTH_CHECKED;
berth_status cli_inspect_run(const char *folder) BERTH_CHECKED;

#endif /* BERTH_CLI_PRIV_H */
