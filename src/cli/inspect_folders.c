/* inspect_folders.c: what a model folder or a run folder holds. */
#include <stdlib.h>
#include <string.h>

#include "berth/file.h"
#include "cli/cli_priv.h"

static void add_config(struct berth_str *s, const struct berth_model *m) {
    const struct berth_model_config *c = &m->config;
    static const char *const activations[] = {"none", "gelu", "gelu_new", "relu", "silu", "tanh"};
    berth_str_addf(s, "type\t%s\nlayers\t%lld\nhidden\t%lld\nattention heads\t%lld\nintermediate\t%lld\n",
                   c->model_type, (long long)c->layers, (long long)c->hidden, (long long)c->heads,
                   (long long)c->intermediate);
    berth_str_addf(s, "vocabulary\t%lld\npositions\t%lld\nsegments\t%lld\nactivation\t%s\npooler\t%s\n",
                   (long long)c->vocab_size, (long long)c->positions, (long long)c->segments,
                   activations[c->activation], c->pooler ? "yes" : "no");
}

static void add_heads(struct berth_str *s, const struct berth_model *m) {
    for (int i = 0; i < m->head_count; i++) {
        const struct berth_head *h = &m->heads[i];
        const struct berth_task *task = &h->task;
        berth_str_addf(s, "head\t%s\t%s\t%s\t%zu labels:", task->name, berth_task_kind_name(task->kind),
                       berth_task_kind_pools(task->kind) ? berth_pooling_name(h->pooling) : "-", task->labels.count);
        for (size_t k = 0; k < task->labels.count; k++)
            berth_str_addf(s, " %s", task->labels.names[k]);
        berth_str_add(s, "\n");
    }
}

static berth_status add_parameters(struct berth_str *s, const struct berth_model *m) {
    int64_t total = 0, backbone = 0;
    for (int i = 0; i < m->parameter_count; i++) {
        const struct berth_parameter *p = &m->parameters[i];
        float *values = NULL;
        char hex[33];
        BERTH_TRY(berth_calloc(&values, (size_t)p->count, sizeof values[0]));
        berth_status status = berth_model_get(m, i, values);
        if (status == BERTH_OK) berth_hash_hex(berth_hash(values, (size_t)p->count * sizeof values[0]), hex);
        free(values);
        BERTH_TRY(status);
        berth_str_addf(s, "parameter\t%s\t[%lld", p->name, (long long)p->shape[0]);
        if (p->rank == 2) berth_str_addf(s, ", %lld", (long long)p->shape[1]);
        berth_str_addf(s, "]\t%lld\t%s%s\n", (long long)p->count, hex, p->loaded ? "" : "\tnot in the folder");
        total += p->count;
        if (p->owner == 0) backbone += p->count;
    }
    berth_str_addf(s, "parameters\t%lld\nbackbone\t%lld\n", (long long)total, (long long)backbone);
    return BERTH_OK;
}

berth_status cli_inspect_model(const char *folder) {
    berth_status status = BERTH_OK;
    struct berth_device *device = NULL;
    struct berth_model *m = NULL;
    struct berth_str s;
    berth_str_init(&s);
    BERTH_TRY_OUT(berth_device_open(&device, "cpu"));
    BERTH_TRY_OUT(berth_model_load(&m, device, folder));
    BERTH_TRY_OUT(berth_model_allocate(m, 0));
    add_config(&s, m);
    add_heads(&s, m);
    BERTH_TRY_OUT(add_parameters(&s, m));
    BERTH_TRY_OUT(cli_out_str(&s));
out:
    berth_str_deinit(&s);
    berth_model_free(m);
    berth_device_close(device);
    return status;
}

/* RUN/checkpoints/step-N.h5, each with its datasets' digests; a damaged one is named and passed over. */
static berth_status print_checkpoints(const char *folder) {
    berth_status status = BERTH_OK;
    char *checkpoints = NULL, **names = NULL;
    size_t count = 0;
    BERTH_TRY_OUT(berth_path_join(&checkpoints, folder, "checkpoints"));
    if (!berth_is_folder(checkpoints)) goto out;
    BERTH_TRY_OUT(berth_list_folder(&names, &count, checkpoints));
    for (size_t i = 0; i < count; i++) {
        if (!berth_glob("step-*.h5", names[i])) continue;
        char *path = NULL;
        BERTH_TRY_OUT(berth_path_join(&path, checkpoints, names[i]));
        status = cli_out_f("checkpoint\t%s\n", path);
        if (status == BERTH_OK) {
            status = cli_inspect_h5(path, -1, NULL);
            if (status != BERTH_OK && !cli_out_closed()) {
                cli_console_line("berth: warning: %s", berth_error_text());
                status = BERTH_OK;
            }
        }
        free(path);
        if (status != BERTH_OK) goto out;
    }
out:
    berth_names_free(names, count);
    free(checkpoints);
    return status;
}

berth_status cli_inspect_run(const char *folder) {
    berth_status status = BERTH_OK;
    int64_t step = -1;
    char *best = NULL;
    BERTH_TRY_OUT(berth_checkpoint_newest(folder, &step));
    BERTH_TRY_OUT(berth_path_join(&best, folder, "best"));
    BERTH_TRY_OUT(cli_out_f("run\t%s\n", folder));
    if (step >= 0)
        BERTH_TRY_OUT(cli_out_f("newest checkpoint\tstep %lld\n", (long long)step));
    else
        BERTH_TRY_OUT(cli_out_f("newest checkpoint\tnone\n"));
    BERTH_TRY_OUT(print_checkpoints(folder));
    if (berth_is_folder(best)) {
        BERTH_TRY_OUT(cli_out_f("best\t%s\n", best));
        BERTH_TRY_OUT(cli_inspect_model(best));
    }
out:
    free(best);
    return status;
}
