/* cmd_pack.c: `berth pack`: packs the data of a configuration and names each file. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli_priv.h"

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
    BERTH_TRY_OUT(berth_tokenizer_from_config(&tokenizer, config));
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
