/* main.c: the table of commands, help, and the way from a status to an exit code.
 *
 *     0 done   1 failed   2 wrong usage or configuration   75 stopped by a signal, a checkpoint was written
 *
 * A command's mistake is printed as "berth: TEXT", one line a mistake, on standard error.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli_priv.h"

static const struct cli_command *const commands[] = {
    &cli_train, &cli_eval,   &cli_predict, &cli_embed,  &cli_tokenize, &cli_vocab,  &cli_pack,
    &cli_data,  &cli_config, &cli_inspect, &cli_doctor, &cli_convert,  &cli_report,
};
enum { COMMAND_COUNT = sizeof commands / sizeof commands[0] };

const struct cli_command *const *cli_commands(int *count) {
    *count = COMMAND_COUNT;
    return commands;
}

static const struct cli_command *find_command(const char *name) {
    for (int i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i]->name, name) == 0) return commands[i];
    return NULL;
}

static berth_status unknown_command(const char *name) {
    const char *names[COMMAND_COUNT + 1];
    for (int i = 0; i < COMMAND_COUNT; i++)
        names[i] = commands[i]->name;
    names[COMMAND_COUNT] = "help";
    const char *nearest = berth_nearest(name, names, COMMAND_COUNT + 1);
    if (nearest) BERTH_FAIL(BERTH_E_USAGE, "command '%s' is not known; did you mean '%s'?", name, nearest);
    BERTH_FAIL(BERTH_E_USAGE, "command '%s' is not known; `berth help` lists all", name);
}

static berth_status print_overview(void) {
    struct berth_str s;
    berth_str_init(&s);
    berth_str_add(&s, "berth " BERTH_VERSION ": one shared BERT backbone under several task heads\n\n"
                      "usage: berth COMMAND [ARGUMENTS]\n\n");
    for (int i = 0; i < COMMAND_COUNT; i++)
        berth_str_addf(&s, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    berth_str_add(
        &s, "  help       this text, or the page of a command: berth help COMMAND; --man and --completion\n"
            "             print the manual page and bash's completion\n\n"
            "`berth COMMAND --help` tells of a command, `berth config --explain KEY` of a setting.\n"
            "Results go to standard output, everything else to standard error.\n"
            "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 75 stopped by a signal with\n"
            "a checkpoint written.\n");
    berth_status status = cli_out_str(&s);
    berth_str_deinit(&s);
    return status;
}

static berth_status print_help(const struct cli_command *command) {
    struct berth_str s;
    berth_str_init(&s);
    cli_command_help(&s, command);
    berth_status status = cli_out_str(&s);
    berth_str_deinit(&s);
    return status;
}

static berth_status print_page(void (*make)(struct berth_str *out)) {
    struct berth_str s;
    berth_str_init(&s);
    make(&s);
    berth_status status = cli_out_str(&s);
    berth_str_deinit(&s);
    return status;
}

static berth_status run_help(int argc, char **argv) {
    if (argc < 1) return print_overview();
    if (strcmp(argv[0], "--man") == 0) return print_page(cli_man_page);
    if (strcmp(argv[0], "--completion") == 0) return print_page(cli_completion);
    const struct cli_command *command = find_command(argv[0]);
    if (!command) return unknown_command(argv[0]);
    return print_help(command);
}

static berth_status run_command(const struct cli_command *command, int argc, char **argv) {
    struct cli_args args;
    berth_status status = cli_args_parse(&args, command, argc, argv);
    if (status == BERTH_OK) {
        enum berth_log_level level = args.verbose ? BERTH_LOG_DEBUG : BERTH_LOG_WARN;
        berth_log_set(cli_console_log, NULL, level);
        status = args.help ? print_help(command) : command->run(&args);
    }
    cli_args_deinit(&args);
    return status;
}

static berth_status dispatch(int argc, char **argv) {
    if (argc < 2) {
        BERTH_TRY(print_overview());
        BERTH_FAIL(BERTH_E_USAGE, "a command is missing");
    }
    const char *name = argv[1];
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return run_help(argc - 2, argv + 2);
    if (strcmp(name, "--version") == 0 || strcmp(name, "version") == 0)
        return cli_out_f("berth %s\n", BERTH_VERSION);
    const struct cli_command *command = find_command(name);
    if (!command) return unknown_command(name);
    return run_command(command, argc - 2, argv + 2);
}

/* A recorded text may hold several mistakes, one a line. */
static void print_error(berth_status status) {
    const char *text = berth_error_text();
    if (*text == '\0') text = berth_status_text(status);
    while (*text) {
        size_t n = strcspn(text, "\n");
        if (n > 0) cli_console_line("berth: %.*s", (int)n, text);
        text += n;
        if (*text == '\n') text++;
    }
    berth_log(BERTH_LOG_DEBUG, "%s, raised at %s", berth_status_name(status), berth_error_place());
}

/* Threads that wait at the end of a parallel loop spin for milliseconds by default before they sleep. Where
 * other programs want the processors too, a spinning thread keeps the one it waits for from running: beside one
 * other busy program on 2 processors, 60 training steps took more than twice as long. The thread library reads
 * its settings when it is loaded, so the program starts itself once more with a short spin; the user's own
 * setting is left alone. */
static void shorten_spin(char **argv) {
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY")) return;
    char path[4096]; /* by its real name, so that the process list shows that */
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length <= 0 || setenv("GOMP_SPINCOUNT", "1000", 1) != 0) return;
    path[length] = '\0';
    execv(path, argv);
}

int main(int argc, char **argv) {
    shorten_spin(argv);
    signal(SIGPIPE,
           SIG_IGN); /* a closed pipe is an error of a write, so a run does not die of its log's reader */
    signal(SIGXFSZ, SIG_IGN); /* a file too large for the user's limit, too */
    cli_console_init();
    berth_log_set(cli_console_log, NULL, BERTH_LOG_WARN);
    berth_status status = dispatch(argc, argv);
    if (status == BERTH_OK) status = cli_out_flush();
    if (status == BERTH_OK) return 0;
    if (cli_out_closed()) {
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
    }
    print_error(status);
    return berth_status_exit_code(status);
}
