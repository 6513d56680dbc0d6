/* eval_data.c: `berth eval MODEL --data FILE`: a configuration made of options, for data that no configuration
 * names.
 *
 *     --data f.tsv --input tsv --column text --label intent=label,mood=4
 *
 *     data:  {given: {format: tsv, text: "text", test: "f.tsv"}}
 *     tasks: {intent: {type: classification, source: given, label: "label"}, mood: {..., label: 4}}
 *
 * Overrides (key=value) may change what was made. The model says each head's kind. Of a run folder max_length
 * is the run's. */
#include <stdlib.h>
#include <string.h>

#include "berth/file.h"
#include "cli/eval_priv.h"

struct maker {
    const struct cli_args *args;
    const struct berth_model *model;
    const char *format;
    struct berth_str yaml;
};

static bool is_number(const char *text) {
    return text[0] != '\0' && strspn(text, "0123456789") == strlen(text);
}

/* A column: by number where it is one and the format has such. */
static void add_column(struct maker *m, const char *key, const char *name) {
    berth_str_addf(&m->yaml, ", %s: ", key);
    if (is_number(name) && strcmp(m->format, "jsonl") != 0)
        berth_str_add(&m->yaml, name);
    else
        berth_str_add_json(&m->yaml, name);
}

static void add_source(struct maker *m, const char *file, const char *split) {
    const struct cli_args *a = m->args;
    static const char *const words[][2] = {{"delimiter", "delimiter"}, {"encoding", "encoding"}};
    berth_str_addf(&m->yaml, "data: {given: {format: %s, %s: ", m->format, split);
    berth_str_add_json(&m->yaml, file);
    if (cli_value(a, "column"))
        add_column(m, "text", cli_value(a, "column"));
    else if (strcmp(m->format, "jsonl") == 0)
        berth_str_add(&m->yaml, ", text: text");
    if (cli_value(a, "pair-column")) add_column(m, "text_pair", cli_value(a, "pair-column"));
    if (cli_flag(a, "no-header")) berth_str_add(&m->yaml, ", header: false");
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (!cli_value(a, words[i][0])) continue;
        berth_str_addf(&m->yaml, ", %s: ", words[i][1]);
        berth_str_add_json(&m->yaml, cli_value(a, words[i][0]));
    }
    berth_str_add(&m->yaml, "}}\n");
}

static berth_status fail_head(const struct maker *m, const char *label) {
    struct berth_str list;
    berth_str_init(&list);
    for (int i = 0; i < m->model->head_count; i++)
        berth_str_addf(&list, "%s%s", i ? ", " : "", m->model->heads[i].task.name);
    berth_status status = berth_error_set(
        BERTH_E_USAGE, __FILE__, __LINE__,
        "eval: --label %s: expected HEAD=COLUMN,... (of a model with one head the column alone); heads: %s",
        label, list.length > 0 ? list.data : "none");
    berth_str_deinit(&list);
    return status;
}

/* One item of --label: HEAD=COLUMN, HEAD (kinds that have no label), or COLUMN. */
static berth_status add_task(struct maker *m, const char *all, const char *item, bool first) {
    berth_status status = BERTH_OK;
    const char *equals = strchr(item, '='), *column = equals ? equals + 1 : NULL;
    char *name = NULL;
    BERTH_TRY(berth_strndup(&name, item, equals ? (size_t)(equals - item) : strlen(item)));
    int head = berth_model_find_head(m->model, name);
    if (head < 0 && !equals && m->model->head_count == 1) head = 0, column = item;
    if (head < 0 || (column && column[0] == '\0')) BERTH_TRY_OUT(fail_head(m, all));
    const struct berth_task *task = &m->model->heads[head].task;
    const bool unlabelled = task->kind == BERTH_TASK_MLM || task->kind == BERTH_TASK_CONTRASTIVE;
    if (!column && !unlabelled) BERTH_TRY_OUT(fail_head(m, all));
    berth_str_addf(&m->yaml, "%s%s: {type: %s, source: given", first ? "tasks: {" : ", ", task->name,
                   berth_task_kind_name(task->kind));
    if (column && strcmp(m->format, "conll") == 0 && !is_number(column)) {
        berth_str_add(&m->yaml, ", comment: ");
        berth_str_add_json(&m->yaml, column);
    } else if (column) {
        add_column(m, "label", column);
    }
    berth_str_add(&m->yaml, "}");
out:
    free(name);
    return status;
}

static berth_status add_tasks(struct maker *m, const char *labels) {
    berth_status status = BERTH_OK;
    char *text = NULL;
    BERTH_TRY(berth_strdup(&text, labels));
    bool first = true;
    for (char *at = text, *item; (item = strsep(&at, ",")) != NULL; first = false)
        BERTH_TRY_OUT(add_task(m, labels, item, first));
    berth_str_add(&m->yaml, "}\n");
out:
    free(text);
    return status;
}

/* model: {backbone, max_length}: that of the run, or the model's positions. */
static berth_status add_model(struct maker *m, const char *folder) {
    berth_status status = BERTH_OK;
    struct berth_config *run = NULL;
    char *path = NULL;
    int64_t length = m->model->config.positions;
    BERTH_TRY_OUT(berth_path_join(&path, m->args->positional[0], "config.yaml"));
    if (berth_file_exists(path)) {
        BERTH_TRY_OUT(berth_config_load(&run, path, NULL, 0));
        length = berth_config_int(run, "model.max_length");
    }
    berth_str_add(&m->yaml, "model: {backbone: ");
    berth_str_add_json(&m->yaml, folder);
    berth_str_addf(&m->yaml, ", max_length: %lld}\n", (long long)length);
out:
    berth_config_free(run);
    free(path);
    return status;
}

berth_status eval_config_of_data(struct berth_config **out, const struct cli_args *args, const char *split,
                                 const char *const *overrides, size_t override_count) {
    berth_status status = BERTH_OK;
    struct berth_device *device = NULL;
    struct berth_model *model = NULL;
    char *folder = NULL;
    struct maker m = {.args = args, .format = cli_value(args, "input") ? cli_value(args, "input") : "tsv"};
    berth_str_init(&m.yaml);
    if (!cli_value(args, "label")) BERTH_FAIL_OUT(BERTH_E_USAGE, "eval: --data needs --label HEAD=COLUMN,...");
    BERTH_TRY_OUT(cli_model_folder(&folder, args->positional[0]));
    BERTH_TRY_OUT(berth_device_open(&device, "cpu"));
    BERTH_TRY_OUT(berth_model_load(&model, device, folder));
    m.model = model;
    BERTH_TRY_OUT(add_model(&m, folder));
    add_source(&m, cli_value(args, "data"), split);
    BERTH_TRY_OUT(add_tasks(&m, cli_value(args, "label")));
    if (m.yaml.failed) BERTH_FAIL_OUT(BERTH_E_MEMORY, "out of memory");
    BERTH_TRY_OUT(berth_config_parse(out, "--data", m.yaml.data, m.yaml.length, overrides, override_count));
out:
    berth_str_deinit(&m.yaml);
    berth_model_free(model);
    berth_device_close(device);
    free(folder);
    return status;
}
