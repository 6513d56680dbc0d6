/* cmd_train.c: `berth train`: trains what a configuration says, into a run folder.
 *
 * Signals: SIGTERM, SIGINT and SIGUSR1 (what schedulers send before the end of a job's time) set a flag that
 * the loop reads between steps: it writes a checkpoint and the program ends with 75. A second SIGINT ends it at
 * once. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli_priv.h"

static volatile sig_atomic_t stop_flag;

static void on_signal(int number) {
    if (stop_flag && number == SIGINT) {
        signal(SIGINT, SIG_DFL);
        raise(SIGINT);
    }
    stop_flag = 1;
}

static bool stop_requested(void *user) {
    (void)user;
    return stop_flag != 0;
}

static void watch_signals(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
}

static berth_status print_plan(struct berth_trainer *trainer) {
    char *plan = NULL;
    BERTH_TRY(berth_trainer_plan(trainer, &plan));
    berth_status status = cli_out(plan, strlen(plan));
    free(plan);
    return status;
}

static berth_status run(const struct cli_args *args) {
    berth_status status = BERTH_OK;
    struct berth_config *config = NULL;
    struct berth_trainer *trainer = NULL;
    struct berth_observer observer = cli_observer(stop_requested);
    BERTH_TRY_OUT(berth_config_load(&config, args->positional[0], args->positional + 1,
                                    (size_t)args->positional_count - 1));
    if (!cli_flag(args, "dry-run")) watch_signals();
    BERTH_TRY_OUT(berth_trainer_create(&trainer, config, &observer));
    if (cli_flag(args, "dry-run")) {
        BERTH_TRY_OUT(print_plan(trainer));
        goto out;
    }
    BERTH_TRY_OUT(berth_trainer_start(trainer, cli_flag(args, "resume")));
    BERTH_TRY_OUT(berth_trainer_run(trainer));
    BERTH_TRY_OUT(cli_scores_print(berth_trainer_dev_scores(trainer)));
    BERTH_TRY_OUT(cli_scores_print(berth_trainer_test_scores(trainer)));
out:
    berth_trainer_free(trainer);
    berth_config_free(config);
    return status;
}

static const struct cli_option options[] = {
    {"resume", NULL, "go on from the run folder's newest good checkpoint; start when there is none"},
    {"dry-run", NULL, "print the plan (tasks, rows, shares, parameters, steps) and write no run folder"},
    {NULL, NULL, NULL},
};

const struct cli_command cli_train = {
    .name = "train",
    .usage = "CONFIG [key=value ...] [--resume] [--dry-run]",
    .summary = "train one backbone and its heads as CONFIG says",
    .details =
        "Trains what the YAML file CONFIG says into its run folder (`output`), which must not exist yet "
        "unless\n"
        "--resume is given. key=value overrides a setting by its path: train.lr=3e-5 tasks.ner.weight=2\n"
        "\n"
        "Standard error tells of the plan, progress and scores; at the end the last dev and test scores stand "
        "on\n"
        "standard output as lines of task, split, metric, value. The best model lies in RUN/best.\n"
        "\n"
        "SIGTERM, SIGINT and SIGUSR1 end the run after the step at hand with a checkpoint and exit code 75;\n"
        "the same command with --resume goes on and ends with the same bits as a run never stopped.",
    .options = options,
    .min_positional = 1,
    .max_positional = -1,
    .run = run,
};
