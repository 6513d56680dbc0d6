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

/* What every rank does; rank 0 alone is heard. */
static berth_status run_rank(const struct cli_args *args, const struct berth_config *config,
                             struct berth_comm *comm) {
    berth_status status = BERTH_OK;
    struct berth_trainer *trainer = NULL;
    struct berth_observer observer = cli_observer(stop_requested);
    bool dry = cli_flag(args, "dry-run"), heard = comm->rank == 0;
    if (heard && !dry) watch_signals();
    if (!heard) berth_log_set(NULL, NULL, BERTH_LOG_ERROR);
    BERTH_TRY_OUT(berth_trainer_create_rank(&trainer, config, &observer, comm));
    if (dry) {
        if (heard) BERTH_TRY_OUT(print_plan(trainer));
        goto out;
    }
    BERTH_TRY_OUT(berth_trainer_start(trainer, cli_flag(args, "resume")));
    BERTH_TRY_OUT(berth_trainer_run(trainer));
    if (!heard) goto out;
    BERTH_TRY_OUT(cli_scores_print(berth_trainer_dev_scores(trainer)));
    BERTH_TRY_OUT(cli_scores_print(berth_trainer_test_scores(trainer)));
out:
    berth_trainer_free(trainer);
    return status;
}

static berth_status run(const struct cli_args *args) {
    berth_status status = BERTH_OK;
    struct berth_config *config = NULL;
    struct berth_comm *comm = NULL;
    int64_t ranks = 1;
    BERTH_TRY_OUT(cli_int(args, "ranks", 1, BERTH_COMM_MAX, &ranks));
    BERTH_TRY_OUT(berth_config_load(&config, args->positional[0], args->positional + 1,
                                    (size_t)args->positional_count - 1));
    BERTH_TRY_OUT(berth_comm_fork(&comm, (int)ranks));
    status = run_rank(args, config, comm);
out:
    berth_config_free(config);
    if (comm == NULL) return status;
    bool heard = comm->rank == 0;
    berth_status others = berth_comm_close(comm); /* a failure that rank 0 did not meet */
    if (!heard)
        exit(status == BERTH_E_STOPPED ? 0 : berth_status_exit_code(status)); /* rank 0 speaks for all */
    if (status == BERTH_OK && others != BERTH_OK) /* rank 0 has come to the run's end: all is there */
        berth_log(BERTH_LOG_WARN, "the run is finished; after it %s", berth_error_text());
    return status;
}

static const struct cli_option options[] = {
    {"resume", NULL, "go on from the run folder's newest good checkpoint; start when there is none"},
    {"ranks", "N", "train with N processes of this machine, each on its part of every step (default 1)"},
    {"dry-run", NULL, "print the plan (tasks, rows, shares, parameters, steps) and write no run folder"},
    {NULL, NULL, NULL},
};

const struct cli_command cli_train = {
    .name = "train",
    .usage = "CONFIG [key=value ...] [--resume] [--ranks N] [--dry-run]",
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
        "the same command with --resume goes on and ends with the same bits as a run never stopped.\n"
        "\n"
        "--ranks N starts N processes that share the machine's threads (or `threads` each) and exchange "
        "gradients\n"
        "through shared memory. A step's batch_size is that of all together; train.accumulate, rounded up to "
        "a\n"
        "multiple of N, is the number of parts it is cut in. Another N may go on with the same run folder.",
    .options = options,
    .min_positional = 1,
    .max_positional = -1,
    .run = run,
};
