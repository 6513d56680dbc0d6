/* cli_model.c: from a path on the command line to a model that is ready to run: device, weights, vocabulary,
 * tape. */
#include <stdlib.h>
#include <string.h>

#include "berth/file.h"
#include "cli/cli_priv.h"

/* Whether FOLDER/NAME is there. */
static berth_status holds(bool *out, const char *folder, const char *name) {
    char *path = NULL;
    BERTH_TRY(berth_path_join(&path, folder, name));
    *out = berth_file_exists(path);
    free(path);
    return BERTH_OK;
}

berth_status cli_model_folder(char **out, const char *path) {
    *out = NULL;
    if (!berth_file_exists(path))
        BERTH_FAIL(BERTH_E_IO, "%s: no such folder; expected a model or a run folder", path);
    if (!berth_is_folder(path)) BERTH_FAIL(BERTH_E_IO, "%s: a file; expected a model or a run folder", path);
    bool is_model = false, has_best = false, is_run = false;
    BERTH_TRY(holds(&is_model, path, "config.json"));
    if (is_model) return berth_strdup(out, path);
    BERTH_TRY(holds(&has_best, path, "best/config.json"));
    if (has_best) return berth_path_join(out, path, "best");
    BERTH_TRY(holds(&is_run, path, "config.yaml"));
    if (is_run)
        BERTH_FAIL(BERTH_E_IO, "%s: this run has no best/ model yet; let it reach its first evaluation", path);
    BERTH_FAIL(BERTH_E_IO, "%s: neither a model folder (no config.json) nor a run folder (no best/)", path);
}

/* Exactly the named heads, in this order: batches number their tasks so. */
static berth_status choose_heads(struct berth_model *m, const char *folder, const char *const *heads,
                                 size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (berth_model_find_head(m, heads[i]) >= 0) continue;
        struct berth_str list;
        berth_str_init(&list);
        for (int k = 0; k < m->head_count; k++)
            berth_str_addf(&list, "%s%s", k ? ", " : "", m->heads[k].task.name);
        berth_status status =
            berth_error_set(BERTH_E_USAGE, __FILE__, __LINE__, "%s: has no head named '%s'; its heads: %s",
                            folder, heads[i], list.length > 0 ? list.data : "none");
        berth_str_deinit(&list);
        return status;
    }
    BERTH_TRY(berth_model_keep_heads(m, heads, count));
    return berth_model_order_heads(m, heads, count);
}

berth_status cli_model_open(struct cli_model *out, const char *path, const char *device,
                            const char *const *heads, size_t head_count) {
    berth_status status = BERTH_OK;
    char *folder = NULL;
    memset(out, 0, sizeof *out);
    BERTH_TRY_OUT(cli_model_folder(&folder, path));
    BERTH_TRY_OUT(berth_device_open(&out->device, device));
    BERTH_TRY_OUT(berth_model_load(&out->model, out->device, folder));
    if (heads) BERTH_TRY_OUT(choose_heads(out->model, folder, heads, head_count));
    BERTH_TRY_OUT(berth_tokenizer_load(&out->tokenizer, folder));
    BERTH_TRY_OUT(berth_model_check_tokenizer(out->model, out->tokenizer, folder));
    BERTH_TRY_OUT(berth_model_allocate(out->model, 0));
    BERTH_TRY_OUT(berth_tape_create(&out->tape, out->device));
    BERTH_TRY_OUT(berth_calloc(&out->tasks, (size_t)out->model->head_count, sizeof out->tasks[0]));
    for (int i = 0; i < out->model->head_count; i++)
        out->tasks[i] = out->model->heads[i].task;
out:
    free(folder);
    return status;
}

void cli_model_close(struct cli_model *m) {
    free(m->tasks);
    berth_tape_free(m->tape);
    berth_tokenizer_free(m->tokenizer);
    berth_model_free(m->model);
    berth_device_close(m->device);
    memset(m, 0, sizeof *m);
}

const char *cli_device(const struct cli_args *args) {
    const char *name = cli_value(args, "device");
    return name ? name : "auto";
}

berth_status cli_precision(const struct cli_args *args, struct cli_model *m) {
    int choice = 0;
    BERTH_TRY(cli_choice(args, "precision", "fp32|bf16", &choice));
    return choice == 1 ? berth_model_set_precision(m->model, BERTH_BF16) : BERTH_OK;
}

berth_status cli_max_length(const struct cli_args *args, const struct cli_model *m, int64_t *out) {
    *out = m->model->config.positions;
    return cli_int(args, "max-length", 3, m->model->config.positions, out);
}
