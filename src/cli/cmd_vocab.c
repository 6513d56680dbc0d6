/* cmd_vocab.c: `berth vocab`: trains a WordPiece vocabulary from text files.
 *
 * The trainer reads whole lines of files. With --column one column of each *.tsv file is copied to a temporary
 * file first, which has no name left by the time it is read, so nothing stays behind whatever happens.
 *
 * A vocabulary decides what the ids of every model and packed file made with it mean: one that is there is
 * replaced with --force alone. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "berth/file.h"
#include "cli/cli_priv.h"

struct column {
    const char *name; /* as given */
    bool by_number;
    int64_t number;
};

/* The `number`-th tab-separated field of a line. */
static const char *find_field(const char *line, int64_t number, size_t *size) {
    for (;; number--) {
        size_t n = strcspn(line, "\t");
        if (number == 0) {
            *size = n;
            return line;
        }
        if (line[n] == '\0') return NULL;
        line += n + 1;
    }
}

/* The number of the column that a header line calls `name`. */
static berth_status find_column(int64_t *out, const char *header, const char *name, const char *path) {
    for (int64_t i = 0;; i++) {
        size_t n = 0;
        const char *field = find_field(header, i, &n);
        if (!field) BERTH_FAIL(BERTH_E_FORMAT, "%s:1: the header has no column '%s'", path, name);
        if (strlen(name) == n && memcmp(field, name, n) == 0) {
            *out = i;
            return BERTH_OK;
        }
    }
}

static berth_status copy_column(FILE *to, const char *path, const struct column *column) {
    berth_status status = BERTH_OK;
    struct cli_lines in = {0};
    struct cli_window w = {0};
    int64_t line = 0, number = column->number;
    BERTH_TRY_OUT(cli_lines_open(&in, path));
    for (;;) {
        BERTH_TRY_OUT(cli_lines_window(&in, &w, CLI_WINDOW));
        if (w.count == 0) break;
        for (size_t i = 0; i < w.count; i++) {
            if (++line == 1 && !column->by_number) {
                BERTH_TRY_OUT(find_column(&number, w.lines[i], column->name, path));
                continue;
            }
            size_t n = 0;
            const char *field = find_field(w.lines[i], number, &n);
            if (!field)
                BERTH_FAIL_OUT(BERTH_E_FORMAT, "%s:%lld: no column %lld in this line", path, (long long)line,
                               (long long)number);
            if (fwrite(field, 1, n, to) != n || fputc('\n', to) == EOF)
                BERTH_FAIL_OUT(BERTH_E_IO, "temporary file: %s", strerror(errno));
        }
    }
out:
    cli_window_deinit(&w);
    cli_lines_close(&in);
    return status;
}

/* Puts, in place of the *.tsv files, one temporary file without a name that holds their column: read as
 * /dev/fd/N. paths [*count] is cut accordingly. */
static berth_status extract(FILE **out, const struct column *column, const char **paths, size_t *count,
                            char fd_path[32]) {
    size_t kept = 0;
    *out = tmpfile();
    if (!*out) BERTH_FAIL(BERTH_E_IO, "temporary file: %s", strerror(errno));
    for (size_t i = 0; i < *count; i++) {
        if (berth_glob("*.tsv", paths[i]))
            BERTH_TRY(copy_column(*out, paths[i], column));
        else
            paths[kept++] = paths[i];
    }
    if (kept == *count)
        BERTH_FAIL(BERTH_E_USAGE, "vocab: --column %s: none of the files is a *.tsv", column->name);
    if (fflush(*out) != 0) BERTH_FAIL(BERTH_E_IO, "temporary file: %s", strerror(errno));
    snprintf(fd_path, 32, "/dev/fd/%d", fileno(*out));
    paths[kept++] = fd_path;
    *count = kept;
    return BERTH_OK;
}

static berth_status read_options(const struct cli_args *args, struct berth_vocab_options *o,
                                 struct column *column) {
    int lowercase = 0;
    *o = (struct berth_vocab_options){.size = 0, .min_frequency = 2, .alphabet_limit = 1000, .lowercase = true};
    if (!cli_flag(args, "size"))
        BERTH_FAIL(BERTH_E_USAGE, "vocab: --size N is missing: the wanted number of entries");
    if (!cli_flag(args, "out")) BERTH_FAIL(BERTH_E_USAGE, "vocab: --out DIR is missing: the folder to write");
    BERTH_TRY(cli_int(args, "size", 10, 10000000, &o->size));
    BERTH_TRY(cli_int(args, "min-frequency", 1, 1000000000, &o->min_frequency));
    BERTH_TRY(cli_choice(args, "lowercase", "true|false", &lowercase));
    o->lowercase = lowercase == 0;
    *column = (struct column){.name = cli_value(args, "column")};
    column->by_number = column->name && berth_parse_int64(column->name, &column->number);
    if (column->by_number && column->number < 0)
        BERTH_FAIL(BERTH_E_USAGE, "vocab: --column %s: columns are numbered from 0", column->name);
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

static berth_status run(const struct cli_args *args) {
    berth_status status = BERTH_OK;
    struct berth_vocab_options o;
    struct column column;
    struct berth_tokenizer *t = NULL;
    FILE *extracted = NULL;
    char fd_path[32];
    const char **files = NULL;
    size_t count = (size_t)args->positional_count;
    BERTH_TRY(read_options(args, &o, &column));
    const char *folder = cli_value(args, "out");
    BERTH_TRY(check_target(folder, cli_flag(args, "force")));
    BERTH_TRY_OUT(berth_calloc(&files, count, sizeof files[0]));
    memcpy(files, args->positional, count * sizeof files[0]);
    if (column.name) BERTH_TRY_OUT(extract(&extracted, &column, files, &count, fd_path));
    BERTH_TRY_OUT(berth_vocab_train(&t, files, count, &o));
    BERTH_TRY_OUT(berth_make_folders(folder));
    BERTH_TRY_OUT(berth_tokenizer_save(t, folder));
    if ((int64_t)berth_tokenizer_size(t) < o.size)
        cli_console_line("berth: note: the text gives %zu entries, fewer than the %lld asked for",
                         berth_tokenizer_size(t), (long long)o.size);
    BERTH_TRY_OUT(cli_out_f("%s/vocab.txt\t%zu\n", folder, berth_tokenizer_size(t)));
out:
    if (extracted) fclose(extracted);
    free(files);
    berth_tokenizer_free(t);
    return status;
}

static const struct cli_option options[] = {
    {"size", "N", "entries wanted, special tokens included"},
    {"out", "DIR", "the folder to write: vocab.txt and the tokenizer's other files"},
    {"force", NULL, "replace a vocabulary that is there"},
    {"lowercase", "true|false", "lower-case and strip accents (default true)"},
    {"min-frequency", "N", "pairs seen less often are not merged (default 2)"},
    {"column", "NAME|K",
     "of *.tsv files this column alone: by the header's name, or K from 0 without a header"},
    {NULL, NULL, NULL},
};

const struct cli_command cli_vocab = {
    .name = "vocab",
    .usage = "FILE... --size N --out DIR [--lowercase true|false] [--min-frequency N] [--column NAME|K] [--force]",
    .summary = "train a WordPiece vocabulary from text files",
    .details =
        "Trains a WordPiece vocabulary on all text of the files and writes it as a folder that `vocab:` of a\n"
        "configuration and `berth tokenize` understand. The same files give the same vocabulary.",
    .options = options,
    .min_positional = 1,
    .max_positional = -1,
    .run = run,
};
