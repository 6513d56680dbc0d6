/* cmd_convert.c: `berth convert`: a model folder in another form: weights in half the bytes, or as what
 * sentence-transformers loads. */
#include <stdlib.h>
#include <string.h>

#include "berth/file.h"
#include "cli/cli_priv.h"

/* Options that say how sentences are embedded go with that form alone. */
static berth_status read_sentences(struct berth_save_options *o, const struct cli_args *args,
                                   const struct cli_model *m) {
    static const enum berth_pooling POOLINGS[] = {BERTH_POOL_MEAN, BERTH_POOL_CLS, BERTH_POOL_POOLER};
    static const char *const NAMES[] = {"pooling", "normalize", "max-length"};
    int pooling = 0;
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        if (!o->sentences && cli_value(args, NAMES[i]) != NULL)
            BERTH_FAIL(BERTH_E_USAGE, "convert: --%s goes with --to sentence-transformers", NAMES[i]);
    }
    BERTH_TRY(cli_choice(args, "pooling", "mean|cls|pooler", &pooling));
    o->pooling = POOLINGS[pooling];
    o->normalize = cli_flag(args, "normalize");
    return cli_max_length(args, m, &o->max_length);
}

static berth_status run(const struct cli_args *args) {
    berth_status status = BERTH_OK;
    struct cli_model m = {0};
    struct berth_save_options options = {.dtype = BERTH_WEIGHTS_F32};
    int dtype = 0, form = 0;
    const char *out = cli_value(args, "out");
    static const enum berth_weight_type TYPES[] = {BERTH_WEIGHTS_F32, BERTH_WEIGHTS_F16, BERTH_WEIGHTS_BF16};
    if (out == NULL) BERTH_FAIL(BERTH_E_USAGE, "convert: --out FOLDER is missing");
    BERTH_TRY(cli_choice(args, "dtype", "f32|f16|bf16", &dtype));
    BERTH_TRY(cli_choice(args, "to", "berth|sentence-transformers", &form));
    options.dtype = TYPES[dtype];
    options.sentences = form == 1;
    if (berth_file_exists(out))
        BERTH_FAIL(BERTH_E_EXISTS, "%s: exists; a converted model is written to a new folder", out);
    BERTH_TRY_OUT(cli_model_open(&m, args->positional[0], "cpu", NULL, 0));
    BERTH_TRY_OUT(read_sentences(&options, args, &m));
    BERTH_TRY_OUT(berth_model_save_as(m.model, m.tokenizer, &options, out));
    cli_console_line("written: %s", out);
out:
    cli_model_close(&m);
    return status;
}

static const struct cli_option options[] = {
    {"out", "FOLDER", "the folder to write; it may not exist yet"},
    {"dtype", "f32|f16|bf16", "number format of the weights (default f32)"},
    {"to", "berth|sentence-transformers",
     "berth (default), or sentence-transformers: also what that library needs to embed"},
    {"pooling", "mean|cls|pooler", "sentence-transformers: how tokens become one vector (default mean)"},
    {"normalize", NULL, "sentence-transformers: embeddings of length 1"},
    {"max-length", "N", "sentence-transformers: tokens at most (default: the model's positions)"},
    {NULL, NULL, NULL},
};

const struct cli_command cli_convert = {
    .name = "convert",
    .usage = "MODEL --out FOLDER [--dtype f32|f16|bf16] [--to berth|sentence-transformers]",
    .summary = "a model folder in another number format, or for another library",
    .details =
        "Reads a model or run folder (safetensors or pytorch_model.bin, in one file or several) and writes it "
        "anew: config.json,\n"
        "model.safetensors, the tokenizer's files and all heads. A folder with one classification head on the "
        "pooler, or one\n"
        "tagging head, loads in the reference library's class for it; any folder loads in AutoModel.",
    .options = options,
    .min_positional = 1,
    .max_positional = 1,
    .run = run,
};
