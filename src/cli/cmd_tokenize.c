/* cmd_tokenize.c: `berth tokenize`: the token ids of each line of text, and back. */
#include <stdlib.h>
#include <string.h>

#include "berth/file.h"
#include "cli/tokenize_priv.h"

enum { LINES = 8192 }; /* of a window: enough for threads to share */

struct tokenize {
    struct berth_tokenizer *tokenizer;
    struct tokenize_style style;
    struct berth_encode_options options;
    bool pair, words, decode, skip_special;
    struct cli_lines in;
    struct cli_window window;
    int64_t line; /* number of the window's first */
    struct berth_text *texts;
    size_t text_count, text_capacity;
    struct berth_text_input *inputs;
    size_t input_capacity;
    struct berth_encoded rows;
    struct berth_str out;
};

/* ------------------------------------------------------------------ inputs */

/* Words of a text for --words: what stands between spaces; places in `texts`, since that array may move. */
static berth_status add_texts(struct tokenize *k, const char *text, size_t size, size_t *count) {
    size_t at = 0;
    *count = 0;
    while (at < size || (!k->words && *count == 0)) {
        size_t end = at;
        while (end < size && !(k->words && text[end] == ' '))
            end++;
        if (end > at || !k->words) {
            BERTH_TRY(berth_grow(&k->texts, &k->text_capacity, k->text_count + 1, sizeof *k->texts));
            k->texts[k->text_count++] = (struct berth_text){text + at, end - at};
            ++*count;
        }
        at = end + 1;
    }
    return BERTH_OK;
}

static berth_status add_input(struct tokenize *k, size_t i) {
    const char *line = k->window.lines[i], *tab = k->pair ? strchr(line, '\t') : NULL;
    size_t size = k->window.sizes[i], first = tab != NULL ? (size_t)(tab - line) : size;
    struct berth_text_input *in = &k->inputs[i];
    *in = (struct berth_text_input){.words = k->words};
    BERTH_TRY(add_texts(k, line, first, &in->first_count));
    return tab != NULL ? add_texts(k, tab + 1, size - first - 1, &in->second_count) : BERTH_OK;
}

static berth_status encode_window(struct tokenize *k) {
    BERTH_TRY(berth_grow(&k->inputs, &k->input_capacity, k->window.count, sizeof *k->inputs));
    k->text_count = 0;
    for (size_t i = 0; i < k->window.count; i++)
        BERTH_TRY(add_input(k, i));
    const struct berth_text *at = k->texts;
    static const struct berth_text none;
    for (size_t i = 0; i < k->window.count; i++) {
        struct berth_text_input *in = &k->inputs[i];
        bool paired = k->pair && strchr(k->window.lines[i], '\t') != NULL;
        in->first = in->first_count > 0 ? at : &none;
        at += in->first_count;
        in->second = paired ? in->second_count > 0 ? at : &none : NULL;
        at += in->second_count;
    }
    k->options.first_number = k->line;
    BERTH_TRY_CTX(berth_tokenizer_encode_batch(k->tokenizer, &k->rows, k->inputs, k->window.count, &k->options),
                  "%s", k->in.name);
    return tokenize_print(k->tokenizer, &k->style, &k->rows, k->line, k->options.threads);
}

/* ------------------------------------------------------------------ ids to text */

static berth_status decode_line(struct tokenize *k, char *line, int64_t number) {
    berth_status status = BERTH_OK;
    int32_t *ids = NULL;
    size_t count = 0, capacity = 0;
    for (char *word = strtok(line, " \t"); word != NULL; word = strtok(NULL, " \t")) {
        int64_t id = 0;
        if (!berth_parse_int64(word, &id) || id < 0 || id > INT32_MAX)
            BERTH_FAIL_OUT(BERTH_E_FORMAT, "%s:%lld: '%.40s', expected a token id", k->in.name,
                           (long long)number, word);
        BERTH_TRY_OUT(berth_grow(&ids, &capacity, count + 1, sizeof *ids));
        ids[count++] = (int32_t)id;
    }
    status = berth_tokenizer_decode(k->tokenizer, &k->out, ids, count, k->skip_special);
    if (status != BERTH_OK) berth_error_context(status, "%s:%lld", k->in.name, (long long)number);
    berth_str_add(&k->out, "\n");
out:
    free(ids);
    return status;
}

static berth_status decode_window(struct tokenize *k) {
    berth_str_reset(&k->out);
    for (size_t i = 0; i < k->window.count; i++)
        BERTH_TRY(decode_line(k, k->window.lines[i], k->line + (int64_t)i));
    BERTH_TRY(cli_out_str(&k->out));
    return cli_out_flush();
}

/* ------------------------------------------------------------------ the command */

/* A model or run folder, or a folder that holds a tokenizer alone. */
static berth_status load_tokenizer(struct berth_tokenizer **out, const char *path) {
    char *vocab = NULL, *json = NULL, *folder = NULL;
    BERTH_TRY(berth_path_join(&vocab, path, "vocab.txt"));
    berth_status status = berth_path_join(&json, path, "tokenizer.json");
    if (status == BERTH_OK)
        status = berth_file_exists(vocab) || berth_file_exists(json) ? berth_strdup(&folder, path)
                                                                     : cli_model_folder(&folder, path);
    if (status == BERTH_OK) status = berth_tokenizer_load(out, folder);
    free(vocab);
    free(json);
    free(folder);
    return status;
}

static berth_status read_options(struct tokenize *k, const struct cli_args *args) {
    struct berth_encode_options *o = &k->options;
    int truncation = 0, format = 0;
    int64_t threads = 0;
    o->unit = "line";
    BERTH_TRY(cli_int(args, "max-length", 1, INT32_MAX, &o->max_length));
    BERTH_TRY(cli_int(args, "stride", 0, INT32_MAX, &o->stride));
    BERTH_TRY(cli_int(args, "threads", 1, 1024, &threads));
    BERTH_TRY(cli_choice(args, "truncation", "longest_first|only_first|only_second", &truncation));
    BERTH_TRY(cli_choice(args, "format", "ids|json", &format));
    const char *cutting[] = {"truncation", "stride", "windows", "from-left"};
    for (size_t i = 0; i < sizeof cutting / sizeof *cutting; i++)
        if (cli_flag(args, cutting[i]) && o->max_length == 0)
            BERTH_FAIL(BERTH_E_USAGE, "tokenize: --%s needs --max-length N: nothing is cut off without it",
                       cutting[i]);
    if (cli_flag(args, "stride") && !cli_flag(args, "windows"))
        BERTH_FAIL(BERTH_E_USAGE,
                   "tokenize: --stride needs --windows: it is what a window repeats of the one before");
    if (cli_flag(args, "skip-special") && !cli_flag(args, "decode"))
        BERTH_FAIL(BERTH_E_USAGE,
                   "tokenize: --skip-special goes with --decode; --no-special leaves [CLS] and [SEP] out");
    if (o->max_length > 0) o->truncation = (enum berth_truncation)(BERTH_LONGEST_FIRST + truncation);
    o->no_special = cli_flag(args, "no-special");
    o->from_left = cli_flag(args, "from-left");
    o->windows = cli_flag(args, "windows");
    o->characters = cli_flag(args, "characters");
    o->threads = (int)threads;
    k->style = (struct tokenize_style){cli_flag(args, "tokens"), cli_flag(args, "offsets") || o->characters,
                                       format == 1};
    k->pair = cli_flag(args, "pair");
    k->words = cli_flag(args, "words");
    k->decode = cli_flag(args, "decode");
    k->skip_special = cli_flag(args, "skip-special");
    return BERTH_OK;
}

static berth_status run(const struct cli_args *args) {
    berth_status status = BERTH_OK;
    struct tokenize k = {.line = 1};
    berth_encoded_init(&k.rows);
    berth_str_init(&k.out);
    BERTH_TRY_OUT(read_options(&k, args));
    BERTH_TRY_OUT(cli_lines_open(&k.in, args->positional_count > 1 ? args->positional[1] : NULL));
    BERTH_TRY_OUT(load_tokenizer(&k.tokenizer, args->positional[0]));
    for (;; k.line += (int64_t)k.window.count) {
        BERTH_TRY_OUT(cli_lines_window(&k.in, &k.window, LINES));
        if (k.window.count == 0) break;
        BERTH_TRY_OUT(k.decode ? decode_window(&k) : encode_window(&k));
    }
out:
    berth_str_deinit(&k.out);
    berth_encoded_deinit(&k.rows);
    free(k.texts);
    free(k.inputs);
    cli_window_deinit(&k.window);
    cli_lines_close(&k.in);
    berth_tokenizer_free(k.tokenizer);
    return status;
}

static const struct cli_option options[] = {
    {"no-special", NULL, "leave [CLS] and [SEP] out"},
    {"tokens", NULL, "the pieces' text instead of their ids"},
    {"offsets", NULL, "behind each id where it stands in the line: ID:START-END, in bytes, end excluded"},
    {"characters", NULL, "the same in characters"},
    {"format", "ids|json", "json: an object a row with line, ids, tokens, offsets, words, segments"},
    {"pair", NULL, "a line is two texts with a tab between"},
    {"words", NULL, "a text is words with spaces between, cut as given; offsets count within the word"},
    {"max-length", "N", "cut rows to N tokens, special ones included"},
    {"truncation", "STRATEGY", "longest_first (default), only_first, only_second"},
    {"from-left", NULL, "cut at the beginning instead of the end"},
    {"windows", NULL, "what is cut off follows in rows of its own"},
    {"stride", "N", "with --windows: tokens that a row repeats of the one before"},
    {"threads", "N", "threads to use (default: all processors); the output is the same"},
    {"decode", NULL, "the other way: lines of ids, the text of each"},
    {"skip-special", NULL, "with --decode: leave special tokens out"},
    {NULL, NULL, NULL},
};

const struct cli_command cli_tokenize = {
    .name = "tokenize",
    .usage = "MODEL [FILE|-] [--tokens] [--offsets] [--format ids|json] [--pair] [--words] [--max-length N] "
             "[--windows] [--decode] [...]",
    .summary = "the token ids of each line of text, and back",
    .details =
        "Prints one line of ids, separated by spaces, for each line of FILE (or standard input). MODEL "
        "is a model\n"
        "folder, a run folder (its best/), or any folder that holds a tokenizer.json or a vocab.txt. Nothing\n"
        "is cut off unless --max-length says so.",
    .options = options,
    .min_positional = 1,
    .max_positional = 2,
    .run = run,
};
