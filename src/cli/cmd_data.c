/* cmd_data.c: `berth data`: what lies in the files of a configuration. */
#include "cli/cli_priv.h"
#include "cli/data_view_priv.h"

static berth_status run(const struct cli_args *args) {
    berth_status status = BERTH_OK;
    struct berth_config *config = NULL;
    struct berth_tokenizer *tokenizer = NULL;
    struct data_view v = {.data = NULL};
    struct berth_str s;
    berth_str_init(&s);
    BERTH_TRY_OUT(berth_config_load(&config, args->positional[0], args->positional + 1,
                                    (size_t)args->positional_count - 1));
    BERTH_TRY_OUT(berth_tokenizer_from_config(&tokenizer, config));
    BERTH_TRY_OUT(berth_data_open(&v.data, config, tokenizer, NULL, 0, BERTH_ALL_SPLITS));
    BERTH_TRY_OUT(berth_census_take(&v.census, v.data, config, tokenizer));
    v.max_length = berth_config_int(config, "model.max_length");
    if (cli_flag(args, "json"))
        data_add_json(&s, &v);
    else
        BERTH_TRY_OUT(data_add_text(&s, &v));
    BERTH_TRY_OUT(cli_out_str(&s));
out:
    berth_str_deinit(&s);
    berth_census_free(v.census);
    berth_data_free(v.data);
    berth_tokenizer_free(tokenizer);
    berth_config_free(config);
    return status;
}

static const struct cli_option options[] = {{"json", NULL, "one JSON object with all counts, nothing left out"},
                                            {NULL, NULL, NULL}};

const struct cli_command cli_data = {
    .name = "data",
    .usage = "CONFIG [key=value ...]",
    .summary = "what lies in the data of CONFIG: lengths, labels, duplicates, what does not fit",
    .details = "Reads (and packs) every split of every source and prints: rows and tokens, a histogram of "
               "lengths before\n"
               "cutting and the share that model.max_length cuts, texts that come more than once within and "
               "between splits\n"
               "(the same bytes; and without case, white space and punctuation), and for each task the balance "
               "of its labels,\n"
               "rows without one, labels that training lacks, entities by type, and tags that do not fit their "
               "scheme.",
    .options = options,
    .min_positional = 1,
    .max_positional = -1,
    .run = run,
};
