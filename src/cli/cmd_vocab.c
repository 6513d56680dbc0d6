/* cmd_vocab.c: `berth vocab`: trains a WordPiece vocabulary from text files.
 *
 * Files are read through the readers of training files, so what is plain, gzip or zstd, what is not UTF-8 and
 * what a column holds is judged as everywhere else. Without --input each file is text, a line at a time; with
 * --column the files whose names say that they have columns are read by them.
 *
 * A vocabulary decides what the ids of every model and packed file made with it mean: one that is there is
 * replaced with --force alone. */
#include <stdlib.h>
#include <string.h>

#include "berth/data.h"
#include "berth/file.h"
#include "cli/cli_priv.h"

enum { LEAST_MEMORY = 1 << 20 };

struct vocab {
    const struct cli_args *args;
    struct berth_vocab_options options;
    struct berth_texts_options texts;
    const char *column;
    struct berth_vocab *trainer;
    int64_t files, lines;
};

/* ------------------------------------------------------------------ options */

/* "512MiB", "2GB", a plain number of bytes. */
static berth_status read_bytes(const struct cli_args *args, const char *name, int64_t least, int64_t *out) {
    static const struct {
        const char *name;
        int64_t bytes;
    } units[] = {{"", 1},
                 {"B", 1},
                 {"kB", 1000},
                 {"KB", 1000},
                 {"KiB", 1 << 10},
                 {"MB", 1000000},
                 {"MiB", 1 << 20},
                 {"GB", 1000000000},
                 {"GiB", 1 << 30},
                 {"TB", INT64_C(1000000000000)},
                 {"TiB", INT64_C(1) << 40}};
    const char *text = cli_value(args, name);
    if (text == NULL) return BERTH_OK;
    size_t digits = strspn(text, "0123456789.");
    char number[32];
    double value = 0;
    if (digits < sizeof number) {
        memcpy(number, text, digits);
        number[digits] = '\0';
        for (size_t i = 0; i < sizeof units / sizeof *units && berth_parse_double(number, &value); i++) {
            value *= (double)units[i].bytes;
            if (strcmp(units[i].name, text + digits) != 0 || value < (double)least || value > 1e15) continue;
            *out = (int64_t)value;
            return BERTH_OK;
        }
    }
    BERTH_FAIL(BERTH_E_USAGE, "%s: --%s %s: expected a size of at least %lld MiB, such as 512MiB or 2GiB",
               args->command->name, name, text, (long long)(least >> 20));
}

static berth_status read_options(struct vocab *v) {
    const struct cli_args *args = v->args;
    struct berth_vocab_options *o = &v->options;
    int lowercase = 0;
    *o = (struct berth_vocab_options){
        .min_frequency = 2, .alphabet_limit = 1000, .lowercase = true, .memory = INT64_C(1) << 30};
    if (!cli_flag(args, "size"))
        BERTH_FAIL(BERTH_E_USAGE, "vocab: --size N is missing: the wanted number of entries");
    if (!cli_flag(args, "out")) BERTH_FAIL(BERTH_E_USAGE, "vocab: --out DIR is missing: the folder to write");
    if (args->positional_count == 0 && !cli_flag(args, "files"))
        BERTH_FAIL(BERTH_E_USAGE, "vocab: too few arguments; usage: berth vocab %s", args->command->usage);
    BERTH_TRY(cli_int(args, "size", 10, 10000000, &o->size));
    BERTH_TRY(cli_int(args, "min-frequency", 1, 1000000000, &o->min_frequency));
    BERTH_TRY(cli_int(args, "alphabet", 1, 0x110000, &o->alphabet_limit));
    BERTH_TRY(cli_choice(args, "lowercase", "true|false", &lowercase));
    BERTH_TRY(read_bytes(args, "memory", LEAST_MEMORY, &o->memory));
    o->lowercase = lowercase == 0;
    v->column = cli_value(args, "column");
    v->texts.encoding = cli_value(args, "encoding");
    return BERTH_OK;
}

static berth_status check_target(const char *folder, bool force) {
    char *path = NULL;
    BERTH_TRY(berth_path_join(&path, folder, "vocab.txt"));
    berth_status status = BERTH_OK;
    if (!force && berth_file_exists(path))
        status = berth_error_set(BERTH_E_EXISTS, __FILE__, __LINE__,
                                 "%s: is there already, and models made with it need it as it is; take another "
                                 "folder, or --force to replace it",
                                 path);
    free(path);
    return status;
}

/* Temporary files: in --temp, else TMPDIR, else beside the folder to write (the nearest folder above it that is
 * there already). *out is owned by the caller. */
static berth_status find_temp(char **out, const struct cli_args *args) {
    const char *folder = cli_value(args, "temp"), *environment = getenv("TMPDIR");
    if (folder != NULL && !berth_is_folder(folder))
        BERTH_FAIL(BERTH_E_USAGE, "vocab: --temp %s: is not a folder", folder);
    if (folder == NULL && environment != NULL && berth_is_folder(environment)) folder = environment;
    if (folder != NULL) return berth_path_join(out, folder, "berth-vocab");
    char *above = NULL;
    BERTH_TRY(berth_strdup(&above, cli_value(args, "out")));
    char *slash = NULL;
    do {
        slash = strrchr(above, '/');
        if (slash != NULL) slash[slash == above] = '\0';
    } while (slash != NULL && slash > above && !berth_is_folder(above));
    berth_status status = berth_path_join(out, slash != NULL ? above : ".", "berth-vocab");
    free(above);
    return status;
}

/* ------------------------------------------------------------------ reading */

/* The format that a file's name tells, its compression aside; NULL: none with columns. */
static const char *format_of(const char *path) {
    static const char *const endings[] = {"", ".gz", ".zst"}, *const formats[] = {"tsv", "csv", "jsonl"};
    for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
        for (size_t e = 0; e < sizeof endings / sizeof *endings; e++) {
            char pattern[16];
            snprintf(pattern, sizeof pattern, "*.%s%s", formats[f], endings[e]);
            if (berth_glob(pattern, path)) return formats[f];
        }
    }
    return NULL;
}

/* A list of words is its items: what parts them would be dropped, and not split at. */
static berth_status add_text(struct vocab *v, const char *text, bool list) {
    if (!list) return berth_vocab_add(v->trainer, text, strlen(text));
    for (; *text != '\0'; text++) {
        const char *end = strchrnul(text, BERTH_LIST_END);
        BERTH_TRY(berth_vocab_add(v->trainer, text, (size_t)(end - text)));
        text = end;
        if (*end == '\0') break;
    }
    return BERTH_OK;
}

static berth_status read_file(struct vocab *v, const char *path) {
    berth_status status = BERTH_OK;
    struct berth_texts_options o = v->texts;
    struct berth_texts *texts = NULL;
    const struct berth_row *row = NULL;
    o.format = cli_value(v->args, "input");
    if (o.format == NULL && v->column != NULL) o.format = format_of(path);
    if (o.format != NULL) {
        o.text = v->column;
        o.text_pair = cli_value(v->args, "pair-column");
        o.delimiter = cli_value(v->args, "delimiter");
        o.no_header = cli_flag(v->args, "no-header");
    }
    BERTH_TRY(berth_texts_open(&texts, path, &o));
    for (;;) {
        BERTH_TRY_OUT(berth_texts_next(texts, &row));
        if (row == NULL) break;
        status = add_text(v, row->text, row->pre_split);
        if (status == BERTH_OK && row->text_pair != NULL) status = add_text(v, row->text_pair, row->pre_split);
        if (status != BERTH_OK) {
            berth_error_context(status, "%s:%lld", path, (long long)row->line);
            goto out;
        }
        v->lines++;
    }
    v->files++;
out:
    berth_texts_close(texts);
    return status;
}

/* The files that --files lists, one path a line. */
static berth_status read_listed(struct vocab *v, const char *list) {
    berth_status status = BERTH_OK;
    struct cli_lines in = {0};
    struct cli_window w = {0};
    BERTH_TRY_OUT(cli_lines_open(&in, list));
    for (;;) {
        BERTH_TRY_OUT(cli_lines_window(&in, &w, CLI_WINDOW));
        if (w.count == 0) break;
        for (size_t i = 0; i < w.count; i++)
            if (w.lines[i][0] != '\0') BERTH_TRY_OUT(read_file(v, w.lines[i]));
    }
out:
    cli_window_deinit(&w);
    cli_lines_close(&in);
    return status;
}

static berth_status read_all(struct vocab *v) {
    const struct cli_args *args = v->args;
    bool columns = v->column == NULL || cli_flag(args, "input") || cli_flag(args, "files");
    for (int i = 0; i < args->positional_count; i++)
        columns = columns || format_of(args->positional[i]) != NULL;
    if (!columns)
        BERTH_FAIL(BERTH_E_USAGE,
                   "vocab: --column %s: none of the files is a *.tsv, *.csv or *.jsonl; say what they "
                   "are with --input",
                   v->column);
    for (int i = 0; i < args->positional_count; i++)
        BERTH_TRY(read_file(v, args->positional[i]));
    return cli_flag(args, "files") ? read_listed(v, cli_value(args, "files")) : BERTH_OK;
}

/* ------------------------------------------------------------------ the command */

static berth_status run(const struct cli_args *args) {
    berth_status status = BERTH_OK;
    struct vocab v = {.args = args};
    struct berth_tokenizer *t = NULL;
    char *temp = NULL;
    BERTH_TRY(read_options(&v));
    const char *folder = cli_value(args, "out");
    BERTH_TRY(check_target(folder, cli_flag(args, "force")));
    BERTH_TRY_OUT(find_temp(&temp, args));
    v.options.temp = temp;
    BERTH_TRY_OUT(berth_vocab_create(&v.trainer, &v.options));
    BERTH_TRY_OUT(read_all(&v));
    status = berth_vocab_finish(v.trainer, &t);
    if (status != BERTH_OK) {
        berth_error_context(status, "%lld files, %lld texts", (long long)v.files, (long long)v.lines);
        goto out;
    }
    struct berth_vocab_spilled s = berth_vocab_spilled(v.trainer);
    if (s.files > 0)
        berth_log(BERTH_LOG_INFO,
                  "more than the memory allowed: %lld temporary files, %lld merges of words, %.1f MB",
                  (long long)s.files, (long long)s.passes, (double)s.bytes / 1e6);
    BERTH_TRY_OUT(berth_make_folders(folder));
    BERTH_TRY_OUT(berth_tokenizer_save(t, folder));
    if ((int64_t)berth_tokenizer_size(t) < v.options.size)
        cli_console_line("berth: note: the text gives %zu entries, fewer than the %lld asked for",
                         berth_tokenizer_size(t), (long long)v.options.size);
    BERTH_TRY_OUT(cli_out_f("%s/vocab.txt\t%zu\n", folder, berth_tokenizer_size(t)));
out:
    berth_tokenizer_free(t);
    berth_vocab_free(v.trainer);
    free(temp);
    return status;
}

static const struct cli_option options[] = {
    {"size", "N", "entries wanted, special tokens included"},
    {"out", "DIR", "the folder to write: vocab.txt and the tokenizer's other files"},
    {"force", NULL, "replace a vocabulary that is there"},
    {"lowercase", "true|false", "lower-case and strip accents (default true)"},
    {"min-frequency", "N", "pairs seen less often are not merged (default 2)"},
    {"alphabet", "N", "single characters kept, the most frequent ones (default 1000)"},
    {"files", "LIST", "a file with one path a line (-: standard input): as many files as you like"},
    {"column", "COLUMN", "of *.tsv, *.csv, *.jsonl this column alone: its name, or its number from 0"},
    {"pair-column", "COLUMN", "the column of a second text"},
    {"no-header", NULL, "tsv, csv: the first line is a row, columns go by number"},
    {"delimiter", "WORD", "between columns: tab, comma, semicolon, ... (as data.NAME.delimiter)"},
    {"input", "FORMAT",
     "what all files are: tsv, csv, jsonl, conll, seqfiles, lines, text (default: by their names)"},
    {"encoding", "strict|replace|windows-1252", "what is not UTF-8: an error (default), U+FFFD, or a letter"},
    {"memory", "SIZE", "for words and training, 512MiB or 2GiB (default 1GiB); what is beyond it goes to disk"},
    {"temp", "DIR", "folder of temporary files (default: TMPDIR, else beside DIR of --out)"},
    {NULL, NULL, NULL},
};

const struct cli_command cli_vocab = {
    .name = "vocab",
    .usage = "FILE... --size N --out DIR [--lowercase true|false] [--min-frequency N] [--column COLUMN] "
             "[--memory SIZE] [--force] [...]",
    .summary = "train a WordPiece vocabulary from text files",
    .details =
        "Trains a WordPiece vocabulary on all text of the files (plain, gzip or zstd; - is standard input) "
        "and\n"
        "writes it as a folder that `vocab:` of a configuration, `berth tokenize` and the reference library\n"
        "understand. The same texts give the same vocabulary, whatever their order and the memory allowed.",
    .options = options,
    .min_positional = 0,
    .max_positional = -1,
    .run = run,
};
