/* cmd_tokenize.c: `berth tokenize`: the token ids of each line of text. */
#include <stdlib.h>
#include <string.h>

#include "berth/file.h"
#include "cli/cli_priv.h"

struct tokenize_style {
    bool special, offsets, tokens;
};

static void add_token(struct berth_str *out, const struct berth_tokenizer *t,
                      const struct tokenize_style *style, int32_t id, int32_t start, int32_t end, bool first) {
    if (!first) berth_str_add(out, " ");
    if (style->tokens)
        berth_str_add(out, berth_tokenizer_token(t, id));
    else
        berth_str_addf(out, "%d", (int)id);
    if (style->offsets) berth_str_addf(out, ":%d-%d", (int)start, (int)end);
}

static berth_status print_window(const struct berth_tokenizer *t, const struct tokenize_style *style,
                                 const struct cli_window *w, struct berth_encoding *e, struct berth_str *out) {
    struct berth_special_tokens special = berth_tokenizer_special(t);
    for (size_t i = 0; i < w->count; i++) {
        berth_encoding_reset(e);
        BERTH_TRY(berth_tokenizer_encode(t, e, w->lines[i], w->sizes[i]));
        bool first = true;
        if (style->special) {
            add_token(out, t, style, special.cls, 0, 0, true);
            first = false;
        }
        for (size_t k = 0; k < e->count; k++) {
            add_token(out, t, style, e->ids[k], e->start[k], e->end[k], first);
            first = false;
        }
        if (style->special) add_token(out, t, style, special.sep, 0, 0, false);
        berth_str_add(out, "\n");
    }
    BERTH_TRY(cli_out_str(out));
    return cli_out_flush();
}

/* A model or run folder, or a folder that holds a vocabulary alone. */
static berth_status load_tokenizer(struct berth_tokenizer **out, const char *path) {
    char *vocab = NULL, *folder = NULL;
    BERTH_TRY(berth_path_join(&vocab, path, "vocab.txt"));
    berth_status status =
        berth_file_exists(vocab) ? berth_strdup(&folder, path) : cli_model_folder(&folder, path);
    if (status == BERTH_OK) status = berth_tokenizer_load(out, folder);
    free(vocab);
    free(folder);
    return status;
}

static berth_status run(const struct cli_args *args) {
    berth_status status = BERTH_OK;
    struct berth_tokenizer *t = NULL;
    struct cli_lines in = {0};
    struct cli_window window = {0};
    struct berth_encoding e;
    struct berth_str out;
    struct tokenize_style style = {!cli_flag(args, "no-special"), cli_flag(args, "offsets"),
                                   cli_flag(args, "tokens")};
    berth_encoding_init(&e);
    berth_str_init(&out);
    BERTH_TRY_OUT(cli_lines_open(&in, args->positional_count > 1 ? args->positional[1] : NULL));
    BERTH_TRY_OUT(load_tokenizer(&t, args->positional[0]));
    for (;;) {
        BERTH_TRY_OUT(cli_lines_window(&in, &window, CLI_WINDOW));
        if (window.count == 0) break;
        BERTH_TRY_OUT(print_window(t, &style, &window, &e, &out));
    }
out:
    berth_str_deinit(&out);
    berth_encoding_deinit(&e);
    cli_window_deinit(&window);
    cli_lines_close(&in);
    berth_tokenizer_free(t);
    return status;
}

static const struct cli_option options[] = {
    {"no-special", NULL, "leave [CLS] and [SEP] out"},
    {"tokens", NULL, "the pieces' text instead of their ids"},
    {"offsets", NULL, "behind each id where it stands in the line: ID:START-END, in bytes, end excluded"},
    {NULL, NULL, NULL},
};

const struct cli_command cli_tokenize = {
    .name = "tokenize",
    .usage = "MODEL [FILE|-] [--no-special] [--tokens] [--offsets]",
    .summary = "the token ids of each line of text",
    .details = "Prints one line of ids, separated by spaces, for each line of FILE (or standard input). MODEL "
               "is a model\n"
               "folder, a run folder (its best/), or any folder that holds a vocab.txt. Nothing is cut off.",
    .options = options,
    .min_positional = 1,
    .max_positional = 2,
    .run = run,
};
