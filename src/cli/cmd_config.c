/* cmd_config.c: `berth config`: checks a configuration, prints it in full, explains keys, writes the reference
 * page. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli_priv.h"

static berth_status print_made(berth_status (*make)(struct berth_str *out, const char *path),
                               const char *path) {
    struct berth_str s;
    berth_str_init(&s);
    berth_status status = make(&s, path);
    if (status == BERTH_OK && s.length > 0 && s.data[s.length - 1] != '\n') berth_str_add(&s, "\n");
    if (status == BERTH_OK) status = cli_out_str(&s);
    berth_str_deinit(&s);
    return status;
}

static berth_status make_reference(struct berth_str *out, const char *path) {
    (void)path;
    return berth_config_reference(out);
}

static berth_status print_effective(const struct cli_args *args) {
    struct berth_config *config = NULL;
    char *text = NULL;
    BERTH_TRY(berth_config_load(&config, args->positional[0], args->positional + 1,
                                (size_t)args->positional_count - 1));
    berth_status status = berth_config_dump(&text, config, cli_flag(args, "changed"));
    if (status == BERTH_OK) status = cli_out(text, strlen(text));
    free(text);
    berth_config_free(config);
    return status;
}

static berth_status run(const struct cli_args *args) {
    const char *key = cli_value(args, "explain");
    if (cli_flag(args, "reference")) return print_made(make_reference, NULL);
    if (key) return print_made(berth_config_explain, key);
    if (args->positional_count == 0)
        BERTH_FAIL(BERTH_E_USAGE, "config: CONFIG is missing; usage: berth config %s", args->command->usage);
    return print_effective(args);
}

static const struct cli_option options[] = {
    {"explain", "KEY", "what a key does, its type, unit and default; a section: all below it"},
    {"reference", NULL, "the reference page of all keys, in Markdown"},
    {"changed", NULL, "leave defaults out"},
    {NULL, NULL, NULL},
};

const struct cli_command cli_config = {
    .name = "config",
    .usage = "CONFIG [key=value ...] [--changed] | --explain KEY | --reference",
    .summary = "check a configuration, print it in full, explain a key",
    .details = "Checks CONFIG with its overrides and prints the effective configuration, defaults filled in, "
               "as YAML that\n"
               "gives the same again. --explain and --reference need no CONFIG.",
    .options = options,
    .min_positional = 0,
    .max_positional = -1,
    .run = run,
};
