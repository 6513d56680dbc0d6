/* plan_sizes.c: memory and disk that a run will take, worked out from shapes before anything is trained.
 *
 *   values, average      4 bytes an element of the model
 *   gradients, state     4 bytes an element of what some phase of some stage trains
 *   task gradients       where the weighting asks for them: task_gradients.h
 *   sums of parts        deterministic: strict: one more of both a level of the tree (ranks.c)
 *   step                 of the batch with the most tokens that sizes allow (T, the longest rows together):
 * what a trained layer keeps for its backward pass, T (8H + 2F + A + 4) floats (query, key, value and
 *                        attention's output 4H, two norms' inputs and outputs 4H, both sides of the activation
 * 2F), the layer at work with its gradients, T (8H + 3F), and the heads' logits three times. Where no layer of
 * the encoder is trained only one layer is at work. train.recompute: a trained layer but the highest keeps its
 * input alone, T H snapshot             a checkpoint waits in memory for the disk: as large as its file
 *
 * Against the device's own count of its peak this was within a quarter on the models of the tests. Data lie in
 * files that are mapped, and the program and its libraries take some 100 MB more. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "berth/file.h"
#include "train/train_priv.h"

static int descending(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x < y) - (x > y);
}

/* How often a row of the source is in a batch: once for each masked language model, and once for all other tasks. */
static int32_t copies_of(const struct berth_data *data, size_t source) {
    int32_t masked = 0, plain = 0;
    for (size_t i = 0; i < berth_data_task_count(data); i++) {
        if (!berth_data_task_reads(data, i, source)) continue;
        if (berth_data_task(data, i)->kind == BERTH_TASK_MLM)
            masked++;
        else
            plain = 1;
    }
    return masked + plain > 0 ? masked + plain : 1;
}

/* Lengths, in a batch, of all training rows that some task reads, the longest first. */
static berth_status row_lengths(int32_t **out, int64_t *count, const struct berth_trainer *t) {
    int32_t *list = NULL;
    int64_t rows = 0, n = 0;
    for (size_t s = 0; s < berth_data_source_count(t->data); s++)
        if (berth_data_source(t->data, s)->has[BERTH_TRAIN])
            rows += berth_data_source(t->data, s)->split[BERTH_TRAIN].rows;
    BERTH_TRY(berth_calloc(&list, (size_t)rows + 1, sizeof *list));
    for (size_t s = 0; s < berth_data_source_count(t->data); s++) {
        const struct berth_source *source = berth_data_source(t->data, s);
        const struct berth_dataset *set = &source->split[BERTH_TRAIN];
        const int32_t copies = copies_of(t->data, s);
        for (int64_t r = 0; source->has[BERTH_TRAIN] && r < set->rows; r++)
            list[n++] = copies * (int32_t)(set->offset[r + 1] - set->offset[r]);
    }
    qsort(list, (size_t)n, sizeof *list, descending);
    *out = list;
    *count = n;
    return BERTH_OK;
}

/* Tokens of the largest batch that a stage can draw. */
static int64_t largest_batch(const struct berth_trainer *t, const struct stage *s, const int32_t *lengths,
                             int64_t rows) {
    const struct berth_config *c = s->config;
    int64_t parts = ranks_parts(t, c), tokens = 0;
    if (berth_config_has(c, "train.batch_tokens")) {
        int64_t budget = berth_config_int(c, "train.batch_tokens");
        tokens =
            budget / parts + (rows > 0 ? lengths[0] : 0); /* a part ends behind the row that lies on its edge */
        return tokens < budget || parts > 1 ? tokens : budget;
    }
    int64_t size = (berth_config_int(c, "train.batch_size") + parts - 1) / parts;
    for (int64_t i = 0; i < size && i < rows; i++)
        tokens += lengths[i];
    return tokens;
}

static int64_t step_floats(const struct berth_trainer *t, const struct stage *s, const bool *trained,
                           int64_t tokens) {
    const struct berth_model_config *c = &t->model->config;
    int64_t lowest = c->layers + 1, classes = 0;
    for (int p = 0; p < t->model->parameter_count; p++)
        if (trained[p] && t->model->parameters[p].stage < lowest) lowest = t->model->parameters[p].stage;
    int64_t first = lowest > 0 ? lowest - 1 : 0, kept = first < c->layers ? c->layers - first : 0;
    for (int i = 0; i < t->model->head_count; i++)
        if (s->tasks[i]) classes += (int64_t)t->model->heads[i].task.labels.count;
    const int64_t inputs =
        s->recipe.recompute && kept > 1 ? kept - 1 : 0; /* layers of which only the input is kept */
    return tokens * ((kept - inputs) * (8 * c->hidden + 2 * c->intermediate + c->heads + 4) +
                     inputs * c->hidden + 8 * c->hidden + 3 * c->intermediate + 3 * classes);
}

static int64_t largest(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* Whether a stage's weighting asks for gradients of each task, by the parameters or the representation. */
static bool by_task(const struct stage *s, const char *what) {
    return weighting_needs_gradients(s->config) &&
           strcmp(berth_config_string(s->config, "weighting.gradients"), what) == 0;
}

static int64_t tasks_of(const struct berth_trainer *t, const struct stage *s) {
    int64_t count = 0;
    for (size_t i = 0; i < t->task_count; i++)
        count += s->tasks[i];
    return count;
}

/* How often a sequence is passed, at most: where the batch is arranged by task, once for each task of its
 * source. */
static int64_t passed_times(const struct berth_trainer *t, const struct stage *s) {
    int64_t most = 1;
    if (!by_task(s, "parameters")) return most;
    for (size_t source = 0; source < berth_data_source_count(t->data); source++) {
        int64_t times = 0;
        for (size_t i = 0; i < t->task_count; i++)
            times += s->tasks[i] && berth_data_task_reads(t->data, i, source);
        most = largest(most, times);
    }
    return most;
}

static berth_status add_stage(struct plan_sizes *out, const struct berth_trainer *t, size_t index,
                              bool *trained, const int32_t *lengths, int64_t rows) {
    const struct stage *s = &t->stages[index];
    int64_t elements = 0;
    plan_trained(t, index, trained);
    for (int p = 0; p < t->model->parameter_count; p++)
        if (trained[p]) elements += t->model->parameters[p].count;
    out->gradients = largest(out->gradients, 4 * elements);
    out->state = largest(out->state, 4 * elements * berth_optimizer_states(s->recipe.optimizer.kind));
    if (s->recipe.optimizer.ema > 0) out->average = 4 * t->model->total;
    const int64_t tokens = largest_batch(t, s, lengths, rows);
    out->tokens = largest(out->tokens, tokens);
    out->step = largest(out->step, 4 * step_floats(t, s, trained, tokens * passed_times(t, s)));
    if (by_task(s, "representation"))
        out->task_gradients =
            largest(out->task_gradients, 4 * tasks_of(t, s) * tokens * t->model->config.hidden);
    if (by_task(s, "parameters")) {
        const int64_t met = tokens * ranks_parts(t, s->config), all = t->model->config.vocab_size;
        const bool whole = t->comm->size > 1 || ranks_by_parts(t); /* as task_walk.c has it */
        out->task_gradients =
            largest(out->task_gradients, 4 * berth_task_gradients_floats(t->model, trained, s->tasks,
                                                                         met < all && !whole ? met : all));
    }
    out->parts =
        largest(out->parts, ranks_levels(t, s->config) *
                                (out->gradients + (by_task(s, "parameters") ? out->task_gradients : 0)));
    return BERTH_OK;
}

berth_status plan_sizes_estimate(struct plan_sizes *out, const struct berth_trainer *t) {
    berth_status status = BERTH_OK;
    int32_t *lengths = NULL;
    bool *trained = NULL;
    int64_t rows = 0, keep = 0, steps = 0;
    const int64_t overhead =
        12288 + 160 * t->model->parameter_count; /* datasets begin at pages; texts, digests */
    memset(out, 0, sizeof *out);
    BERTH_TRY_OUT(berth_calloc(&trained, (size_t)t->model->parameter_count, sizeof *trained));
    BERTH_TRY_OUT(row_lengths(&lengths, &rows, t));
    out->values = 4 * t->model->total;
    for (size_t i = 0; i < t->stage_count; i++) {
        BERTH_TRY_OUT(add_stage(out, t, i, trained, lengths, rows));
        const struct recipe *r = &t->stages[i].recipe;
        steps += r->total_steps;
        keep = largest(keep,
                       r->keep + r->keep_best + (r->on_nan == ON_NAN_REWIND) +
                           (r->keep_every > 0 ? steps / r->keep_every : 0)); /* multiples are never removed */
    }
    out->checkpoint = out->snapshot = out->values + out->state + out->average + overhead;
    out->model = out->values;
    out->needed = (keep + 1) * out->checkpoint + ((int64_t)t->stage_count + 1) * out->model;
out:
    free(lengths);
    free(trained);
    return status;
}

/* 22713216 -> "22.71 M" */
static void add_amount(struct berth_str *s, int64_t n) {
    if (n >= 1000000000)
        berth_str_addf(s, "%.2f GB", (double)n / 1e9);
    else if (n >= 1000000)
        berth_str_addf(s, "%.2f MB", (double)n / 1e6);
    else
        berth_str_addf(s, "%.1f kB", (double)n / 1e3);
}

static void add_named(struct berth_str *s, const char *name, int64_t n) {
    if (n == 0) return;
    berth_str_addf(s, "%s ", name);
    add_amount(s, n);
}

int64_t plan_free_disk(const struct berth_trainer *t) {
    char path[4096];
    struct statvfs fs;
    snprintf(path, sizeof path, "%s",
             berth_config_given(t->config, "output") ? berth_config_string(t->config, "output") : ".");
    while (statvfs(path, &fs) != 0) { /* the nearest folder above that is there */
        char *slash = strrchr(path, '/');
        if (errno != ENOENT && errno != ENOTDIR) return -1;
        if (slash == NULL)
            snprintf(path, sizeof path, ".");
        else if (slash == path)
            path[1] = '\0';
        else
            *slash = '\0';
    }
    double bytes = (double)fs.f_bavail * (double)fs.f_frsize;
    return bytes < 0x1p62 ? (int64_t)bytes : INT64_MAX / 2;
}

berth_status plan_add_sizes(struct berth_str *s, const struct berth_trainer *t) {
    struct plan_sizes sizes;
    int64_t disk = plan_free_disk(t);
    BERTH_TRY(plan_sizes_estimate(&sizes, t));
    berth_str_add(s, "memory, from shapes: about ");
    add_amount(s, sizes.values + sizes.gradients + sizes.task_gradients + sizes.parts + sizes.state +
                      sizes.average + sizes.step + sizes.snapshot);
    add_named(s, ": values", sizes.values);
    add_named(s, ", gradients", sizes.gradients);
    add_named(s, ", gradients of each task", sizes.task_gradients);
    add_named(s, ", sums of parts", sizes.parts);
    add_named(s, ", optimizer state", sizes.state);
    add_named(s, ", average", sizes.average);
    add_named(s, ", activations of the largest batch", sizes.step);
    add_named(s, ", a checkpoint on its way", sizes.snapshot);
    berth_str_add(s, "\ndisk: a checkpoint takes ");
    add_amount(s, sizes.checkpoint);
    berth_str_add(s, ", a model ");
    add_amount(s, sizes.model);
    berth_str_add(s, ", all that is kept at a time ");
    add_amount(s, sizes.needed);
    if (disk >= 0) berth_str_add(s, "; free are ");
    if (disk >= 0) add_amount(s, disk);
    berth_str_add(s, disk >= 0 && disk < sizes.needed ? ": NOT ENOUGH\n" : "\n");
    return BERTH_OK;
}

berth_status plan_check_disk(const struct berth_trainer *t, int64_t free_bytes) {
    struct plan_sizes sizes;
    struct berth_str text;
    BERTH_TRY(plan_sizes_estimate(&sizes, t));
    if (free_bytes < 0 || free_bytes >= sizes.needed) return BERTH_OK;
    berth_str_init(&text);
    add_amount(&text, sizes.needed);
    berth_str_add(&text, ", the disk has ");
    add_amount(&text, free_bytes);
    berth_status status = berth_error_set(
        BERTH_E_IO, __FILE__, __LINE__,
        "run folder '%s': checkpoints and models need up to %s free; lower checkpoint.keep or name another "
        "folder with output=DIR",
        berth_config_string(t->config, "output"), text.data != NULL ? text.data : "more than there is");
    berth_str_deinit(&text);
    return status;
}
