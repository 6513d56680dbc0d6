/* cli_args.c: options of the commands: one small table-driven parser, and the help page made from the same
 * table. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli_priv.h"

static int option_count(const struct cli_command *command) {
    int n = 0;
    while (command->options && command->options[n].name)
        n++;
    BERTH_ASSERT(n <= CLI_MAX_OPTIONS);
    return n;
}

/* Number of the option named by the first `length` bytes of name; -1: none. */
static int find_option(const struct cli_command *command, const char *name, size_t length) {
    int n = option_count(command);
    for (int i = 0; i < n; i++) {
        const char *known = command->options[i].name;
        if (strlen(known) == length && memcmp(known, name, length) == 0) return i;
    }
    return -1;
}

static berth_status unknown_option(const struct cli_command *command, const char *name, size_t length) {
    const char *names[CLI_MAX_OPTIONS + 2];
    int n = option_count(command);
    for (int i = 0; i < n; i++)
        names[i] = command->options[i].name;
    names[n] = "help";
    names[n + 1] = "verbose";
    char *text = NULL;
    BERTH_TRY(berth_strndup(&text, name, length));
    const char *nearest = berth_nearest(text, names, (size_t)n + 2);
    berth_status status = nearest
                              ? berth_error_set(BERTH_E_USAGE, __FILE__, __LINE__,
                                                "%s: option '--%s' is not known; did you mean '--%s'?",
                                                command->name, text, nearest)
                              : berth_error_set(BERTH_E_USAGE, __FILE__, __LINE__,
                                                "%s: option '--%s' is not known; `berth %s --help` lists all",
                                                command->name, text, command->name);
    free(text);
    return status;
}

/* Reads the option at argv[*i]; moves *i over its value. */
static berth_status parse_option(struct cli_args *args, int argc, char **argv, int *i) {
    const struct cli_command *command = args->command;
    const char *name = argv[*i] + 2;
    size_t length = strcspn(name, "=");
    const char *value = name[length] == '=' ? name + length + 1 : NULL;
    bool is_help = length == 4 && memcmp(name, "help", 4) == 0;
    bool is_verbose = length == 7 && memcmp(name, "verbose", 7) == 0;
    int index = find_option(command, name, length);
    if (!is_help && !is_verbose && index < 0) return unknown_option(command, name, length);
    bool takes_value = index >= 0 && command->options[index].value;
    if (!takes_value) {
        if (value)
            BERTH_FAIL(BERTH_E_USAGE, "%s: option '--%.*s' takes no value", command->name, (int)length, name);
        args->help |= is_help;
        args->verbose |= is_verbose;
        if (index >= 0) args->values[index] = "";
        return BERTH_OK;
    }
    if (!value && *i + 1 < argc) value = argv[++*i];
    if (!value)
        BERTH_FAIL(BERTH_E_USAGE, "%s: option '--%s' needs a value: --%s %s", command->name, name, name,
                   command->options[index].value);
    args->values[index] = value;
    return BERTH_OK;
}

berth_status cli_args_parse(struct cli_args *out, const struct cli_command *command, int argc, char **argv) {
    memset(out, 0, sizeof *out);
    out->command = command;
    BERTH_TRY(berth_calloc(&out->positional, (size_t)argc + 1, sizeof out->positional[0]));
    bool options_ended = false;
    for (int i = 0; i < argc; i++) {
        const char *arg = argv[i];
        if (options_ended || arg[0] != '-' || arg[1] == '\0') {
            out->positional[out->positional_count++] = arg;
        } else if (strcmp(arg, "--") == 0) {
            options_ended = true;
        } else if (arg[1] == '-') {
            BERTH_TRY(parse_option(out, argc, argv, &i));
        } else if (strcmp(arg, "-h") == 0) {
            out->help = true;
        } else if (strcmp(arg, "-v") == 0) {
            out->verbose = true;
        } else {
            BERTH_FAIL(BERTH_E_USAGE, "%s: option '%s' is not known; options are words: --name", command->name,
                       arg);
        }
    }
    if (out->help) return BERTH_OK;
    if (out->positional_count < command->min_positional)
        BERTH_FAIL(BERTH_E_USAGE, "%s: too few arguments; usage: berth %s %s", command->name, command->name,
                   command->usage);
    if (command->max_positional >= 0 && out->positional_count > command->max_positional)
        BERTH_FAIL(BERTH_E_USAGE, "%s: '%s' is one argument too many; usage: berth %s %s", command->name,
                   out->positional[command->max_positional], command->name, command->usage);
    return BERTH_OK;
}

void cli_args_deinit(struct cli_args *args) {
    free(args->positional);
    args->positional = NULL;
}

const char *cli_value(const struct cli_args *args, const char *name) {
    int index = find_option(args->command, name, strlen(name));
    BERTH_ASSERT_MSG(index >= 0, "%s has no option --%s", args->command->name, name);
    return args->values[index];
}

bool cli_flag(const struct cli_args *args, const char *name) {
    return cli_value(args, name) != NULL;
}

berth_status cli_int(const struct cli_args *args, const char *name, int64_t min, int64_t max, int64_t *out) {
    const char *text = cli_value(args, name);
    if (!text) return BERTH_OK;
    int64_t value = 0;
    if (!berth_parse_int64(text, &value) || value < min || value > max)
        BERTH_FAIL(BERTH_E_USAGE, "%s: --%s %s: expected a whole number from %lld to %lld", args->command->name,
                   name, text, (long long)min, (long long)max);
    *out = value;
    return BERTH_OK;
}

berth_status cli_choice(const struct cli_args *args, const char *name, const char *choices, int *out) {
    const char *text = cli_value(args, name);
    if (!text) return BERTH_OK;
    int number = 0;
    for (const char *at = choices; *at; number++) {
        size_t n = strcspn(at, "|");
        if (strlen(text) == n && memcmp(text, at, n) == 0) {
            *out = number;
            return BERTH_OK;
        }
        at += n;
        if (*at == '|') at++;
    }
    BERTH_FAIL(BERTH_E_USAGE, "%s: --%s %s: expected %s", args->command->name, name, text, choices);
}

static void add_option(struct berth_str *out, const char *left, const char *help) {
    if (strlen(left) > 26)
        berth_str_addf(out, "  %s\n  %-26s %s\n", left, "", help);
    else
        berth_str_addf(out, "  %-26s %s\n", left, help);
}

void cli_command_help(struct berth_str *out, const struct cli_command *command) {
    berth_str_addf(out, "usage: berth %s %s\n\n%s\n", command->name, command->usage, command->details);
    berth_str_add(out, "\nOptions\n");
    int n = option_count(command);
    for (int i = 0; i < n; i++) {
        const struct cli_option *o = &command->options[i];
        char left[96];
        snprintf(left, sizeof left, "--%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
        add_option(out, left, o->help);
    }
    add_option(out, "--verbose, -v", "more messages, down to where an error was raised");
    add_option(out, "--help, -h", "this page");
}
