/* cmd_eval.c: `berth eval`: a trained model's scores on a split of a configuration's data.
 *
 * The configuration says which sources and tasks; labels are numbered as the model's heads number them. */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "berth/file.h"
#include "cli/eval_priv.h"

/* CONFIG, or RUN/config.yaml when the next argument is an override or absent. *path is owned by the caller;
 * *used counts the positional arguments taken. */
static berth_status choose_config(char **path, int *used, const struct cli_args *args) {
    *used = 1;
    if (args->positional_count > 1 &&
        (!strchr(args->positional[1], '=') || berth_file_exists(args->positional[1]))) {
        *used = 2;
        return berth_strdup(path, args->positional[1]);
    }
    BERTH_TRY(berth_path_join(path, args->positional[0], "config.yaml"));
    if (berth_file_exists(*path)) return BERTH_OK;
    berth_status status =
        berth_error_set(BERTH_E_USAGE, __FILE__, __LINE__,
                        "eval: CONFIG is missing, and %s is not there to stand for it", *path);
    free(*path);
    *path = NULL;
    return status;
}

/* Of --data and its options, or a file. *path is owned by the caller. */
static berth_status load_config(struct berth_config **out, char **path, const struct cli_args *args,
                                const char *split) {
    static const char *const of_data[] = {"label",     "input",     "column",  "pair-column",
                                          "no-header", "delimiter", "encoding"};
    int used = 1;
    if (cli_value(args, "data"))
        return eval_config_of_data(out, args, split, args->positional + 1,
                                   (size_t)(args->positional_count - 1));
    for (size_t i = 0; i < sizeof of_data / sizeof of_data[0]; i++)
        if (cli_value(args, of_data[i]))
            BERTH_FAIL(BERTH_E_USAGE, "eval: --%s goes with --data FILE", of_data[i]);
    BERTH_TRY(choose_config(path, &used, args));
    return berth_config_load(out, *path, args->positional + used, (size_t)(args->positional_count - used));
}

/* To standard output as lines or as JSON, and as JSON to a file. */
static berth_status tell_scores(const struct cli_args *args, const struct berth_scores *scores) {
    berth_status status = BERTH_OK;
    const char *file = cli_value(args, "details");
    struct berth_str s;
    berth_str_init(&s);
    berth_scores_add_json(&s, scores, -1);
    if (s.failed) BERTH_FAIL_OUT(BERTH_E_MEMORY, "out of memory while writing the scores");
    if (file) BERTH_TRY_OUT(berth_file_put(file, s.data, s.length));
    if (cli_flag(args, "json"))
        BERTH_TRY_OUT(cli_out_str(&s));
    else
        BERTH_TRY_OUT(cli_scores_print(scores));
out:
    berth_str_deinit(&s);
    return status;
}

static berth_status evaluate(struct cli_model *m, const struct berth_config *config, enum berth_split split,
                             const struct cli_args *args) {
    berth_status status = BERTH_OK;
    struct berth_data *data = NULL;
    const char **metrics = NULL;
    struct berth_scores scores;
    berth_scores_init(&scores);
    size_t tasks = (size_t)m->model->head_count;
    BERTH_TRY_OUT(berth_data_open(&data, config, m->tokenizer, m->tasks, tasks, 1u << split));
    BERTH_TRY_OUT(berth_calloc(&metrics, tasks, sizeof metrics[0]));
    for (size_t i = 0; i < tasks; i++) {
        const char *name = m->tasks[i].name, *own = NULL, *known = NULL;
        if (berth_config_has_f(config, "tasks.%s.metric", name))
            own = berth_config_string_f(config, "tasks.%s.metric", name);
        metrics[i] = berth_metric_of(m->tasks[i].kind, own, &known);
        if (metrics[i] == NULL)
            BERTH_FAIL_OUT(BERTH_E_USAGE, "eval: tasks.%s.metric: '%s' is no metric of a %s task; it has %s",
                           name, own, berth_task_kind_name(m->tasks[i].kind), known);
    }
    const struct berth_evaluate_options how = {.metric_of = metrics,
                                               .batch_size = berth_config_int(config, "evaluate.batch_size")};
    BERTH_TRY_OUT(berth_evaluate(&scores, m->model, m->tape, data, split, &how));
    if (scores.count == 0)
        BERTH_FAIL_OUT(BERTH_E_USAGE, "eval: no source of the configuration has a %s split",
                       berth_split_name(split));
    BERTH_TRY_OUT(tell_scores(args, &scores));
out:
    berth_scores_deinit(&scores);
    free(metrics);
    berth_data_free(data);
    return status;
}

static berth_status run(const struct cli_args *args) {
    berth_status status = BERTH_OK;
    static const enum berth_split splits[] = {BERTH_DEV, BERTH_TEST, BERTH_TRAIN};
    int choice = 1;
    char *path = NULL;
    struct berth_config *config = NULL;
    const char **names = NULL;
    struct cli_model m = {0};
    BERTH_TRY(cli_choice(args, "split", "dev|test|train", &choice));
    BERTH_TRY_OUT(load_config(&config, &path, args, berth_split_name(splits[choice])));
    int threads = (int)berth_config_int(config, "threads"); /* before the device, which makes room for each */
    omp_set_num_threads(threads > 0 ? threads : berth_thread_count());
    size_t count = berth_config_count(config, "tasks");
    BERTH_TRY_OUT(berth_calloc(&names, count, sizeof names[0]));
    for (size_t i = 0; i < count; i++)
        names[i] = berth_config_name(config, "tasks", i);
    BERTH_TRY_OUT(cli_model_open(&m, args->positional[0], berth_config_string(config, "device"), names, count));
    BERTH_TRY_OUT(berth_precision_from_config(m.model, config));
    BERTH_TRY_OUT(berth_attention_from_config(m.model, config, false));
    BERTH_TRY_OUT(evaluate(&m, config, splits[choice], args));
out:
    cli_model_close(&m);
    free(names);
    berth_config_free(config);
    free(path);
    return status;
}

static const struct cli_option options[] = {
    {"split", "dev|test|train", "which rows to score (default test)"},
    {"data", "FILE", "score these rows instead of a configuration's (a folder: --input seqfiles)"},
    {"label", "HEAD=COLUMN[,...]", "with --data: which heads to score, and where their labels stand"},
    CLI_TEXT_OPTIONS("tsv", "strict"),
    {"json", NULL, "one JSON object instead of lines: the scores, and what stands behind them"},
    {"details", "FILE", "write that object to FILE as well"},
    {NULL, NULL, NULL},
};

const struct cli_command cli_eval = {
    .name = "eval",
    .usage = "RUN_OR_MODEL [CONFIG | --data FILE --label HEAD=COLUMN] [key=value ...] [--split dev|test|train] "
             "[...]",
    .summary = "score a trained model on the data that CONFIG names",
    .details =
        "Scores a model folder, or a run folder's best/, on the sources and tasks of CONFIG. Without "
        "CONFIG a run\n"
        "folder's own config.yaml is taken. Prints lines of task, split, metric, value, separated by "
        "tabs; a task's\n"
        "own metric comes first. Words that were cut off count as missed, labels the model does not "
        "know as wrong.\n"
        "\n"
        "With --data no configuration is needed: --input (default tsv), --column and the like say how FILE is "
        "read,\n"
        "--label names the heads and their columns; in conll files a name is a comment's (\"# KEY: label\"). "
        "Here\n"
        "--encoding is strict by default.\n"
        "\n"
        "json: {\"split\", \"scores\": {TASK: {METRIC: value}}, \"details\": {TASK: {...}}}; details hold the "
        "classes' or\n"
        "entities' support, predicted, correct, precision, recall and f1, confusion matrices (gold by "
        "predicted), the\n"
        "most frequent mistakes, the spread of residuals. A run folder holds the same of its best model: "
        "\n"
        "evaluation-dev.json and evaluation-test.json.",
    .options = options,
    .min_positional = 1,
    .max_positional = -1,
    .run = run,
};
