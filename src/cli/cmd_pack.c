/* cmd_pack.c: `berth pack`: packs the data of a configuration and names each file. */
#include <stdlib.h>
#include <string.h>

#include "berth/file.h"
#include "cli/cli_priv.h"

/* The tokenizer that `berth train` would take, without the weights. */
static berth_status load_tokenizer(struct berth_tokenizer **out, const struct berth_config *config) {
    if (!berth_config_given(config, "model.new")) {
        if (!berth_config_given(config, "model.backbone"))
            return berth_config_fail(config, "model.backbone",
                                     "no backbone is given, so no vocabulary to pack with");
        return berth_tokenizer_load(out, berth_config_string(config, "model.backbone"));
    }
    if (!berth_config_given(config, "model.vocab"))
        return berth_config_fail(config, "model.vocab", "a model from scratch (model.new) needs a vocabulary");
    const char *path = berth_config_string(config, "model.vocab");
    if (berth_is_folder(path)) return berth_tokenizer_load(out, path);
    const struct berth_tokenizer_options options = {
        .lowercase = berth_config_bool(config, "model.lowercase"),
        .strip_accents = -1,
        .split_cjk = true,
        .max_word_chars = 100,
    };
    return berth_tokenizer_load_vocab(out, path, &options);
}

static berth_status print_files(const struct berth_data *data) {
    for (size_t i = 0; i < berth_data_source_count(data); i++) {
        const struct berth_source *source = berth_data_source(data, i);
        for (int split = 0; split < BERTH_SPLIT_COUNT; split++) {
            if (!source->has[split]) continue;
            const struct berth_dataset *set = &source->split[split];
            BERTH_TRY(cli_out_f("%s\t%s\t%lld\t%lld\t%s\t%s\n", source->name, berth_split_name(split),
                                (long long)set->rows, (long long)set->token_count,
                                berth_data_was_packed(data, i, split) ? "made" : "reused",
                                berth_data_file(data, i, split)));
            if (set->rows_cut > 0)
                cli_console_line("berth: note: %s %s: %lld of %lld rows were cut to the model's max_length",
                                 source->name, berth_split_name(split), (long long)set->rows_cut,
                                 (long long)set->rows);
        }
    }
    return BERTH_OK;
}

static berth_status run(const struct cli_args *args) {
    berth_status status = BERTH_OK;
    struct berth_config *config = NULL;
    struct berth_tokenizer *tokenizer = NULL;
    struct berth_data *data = NULL;
    BERTH_TRY_OUT(berth_config_load(&config, args->positional[0], args->positional + 1,
                                    (size_t)args->positional_count - 1));
    BERTH_TRY_OUT(load_tokenizer(&tokenizer, config));
    BERTH_TRY_OUT(berth_data_open(&data, config, tokenizer, NULL, 0, BERTH_ALL_SPLITS));
    BERTH_TRY_OUT(print_files(data));
out:
    berth_data_free(data);
    berth_tokenizer_free(tokenizer);
    berth_config_free(config);
    return status;
}

static const struct cli_option options[] = {{NULL, NULL, NULL}};

const struct cli_command cli_pack = {
    .name = "pack",
    .usage = "CONFIG [key=value ...]",
    .summary = "read, tokenize and pack the data of CONFIG into its cache",
    .details =
        "Packs every split of every source and prints one line each: source, split, rows, tokens, made or "
        "reused,\n"
        "file. `berth train` does the same by itself; packed files are reused as long as data, vocabulary and\n"
        "settings are the same.",
    .options = options,
    .min_positional = 1,
    .max_positional = -1,
    .run = run,
};
