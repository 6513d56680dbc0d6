/* plan.c: what a run will do, as text: sources, tasks, parameters, steps. */
#include <stdlib.h>
#include <string.h>

#include "train/train_priv.h"

/* 22713216 -> "22.71 M" */
static void add_amount(struct berth_str *s, int64_t n) {
    if (n >= 1000000)
        berth_str_addf(s, "%.2f M", (double)n / 1e6);
    else if (n >= 10000)
        berth_str_addf(s, "%.1f k", (double)n / 1e3);
    else
        berth_str_addf(s, "%lld", (long long)n);
}

static int widest_name(const struct berth_trainer *t) {
    size_t widest = 10;
    for (size_t i = 0; i < t->task_count; i++) {
        if (strlen(t->task_names[i]) + 6 > widest) widest = strlen(t->task_names[i]) + 6;
    }
    for (size_t i = 0; i < berth_data_source_count(t->data); i++) {
        size_t n = strlen(berth_data_source(t->data, i)->name);
        if (n > widest) widest = n;
    }
    return (int)widest;
}

static void add_sources(struct berth_str *s, const struct berth_trainer *t, int width) {
    berth_str_addf(s, "%-*s  %-5s  %10s  %12s  %12s\n", width, "source", "split", "rows", "tokens", "rows cut");
    for (size_t i = 0; i < berth_data_source_count(t->data); i++) {
        const struct berth_source *source = berth_data_source(t->data, i);
        for (int split = 0; split < BERTH_SPLIT_COUNT; split++) {
            const struct berth_dataset *set = &source->split[split];
            if (!source->has[split]) continue;
            berth_str_addf(s, "%-*s  %-5s  %10lld  %12lld  %12lld\n", width, source->name,
                           berth_split_name((enum berth_split)split), (long long)set->rows,
                           (long long)set->token_count, (long long)set->rows_cut);
        }
    }
}

/* Whether a training row carries a label that the task can learn: of a word that was not cut off, for tags. */
static bool feeds(const struct berth_trainer *t, size_t task, const struct berth_dataset *set, int64_t row) {
    const int32_t *labels = set->labels[task];
    if (labels == NULL) return false;
    if (berth_data_task(t->data, task)->kind != BERTH_TASK_TAGGING) return labels[row] >= 0;
    for (int64_t w = set->word_offset[row]; w < set->word_offset[row + 1]; w++) {
        if (labels[w] >= 0 && set->word_token[w] >= 0) return true;
    }
    return false;
}

/* Rows that feed each task, and all rows that feed one or more: those that an epoch draws. */
static void count_rows(const struct berth_trainer *t, int64_t *rows /* [task_count] */, int64_t *drawn) {
    *drawn = 0;
    for (size_t s = 0; s < berth_data_source_count(t->data); s++) {
        const struct berth_source *source = berth_data_source(t->data, s);
        const struct berth_dataset *set = &source->split[BERTH_TRAIN];
        for (int64_t r = 0; source->has[BERTH_TRAIN] && r < set->rows; r++) {
            bool any = false;
            for (size_t i = 0; i < t->task_count; i++) {
                if (!berth_data_task_reads(t->data, i, s) || !feeds(t, i, set, r)) continue;
                rows[i]++;
                any = true;
            }
            *drawn += any;
        }
    }
}

/* share: the factor of a task's mean loss in the loss of a step, beside its weight (train.h): over an epoch of
 * mixed steps on average the part of the drawn rows that feed the task; 1 where a step is of one task. */
static berth_status add_tasks(struct berth_str *s, const struct berth_trainer *t, int width) {
    bool one_task = strcmp(berth_config_string(t->config, "sampling.mix"), "step") == 0;
    int64_t *all_rows = NULL, drawn = 0;
    BERTH_TRY(berth_calloc(&all_rows, t->task_count, sizeof *all_rows));
    count_rows(t, all_rows, &drawn);
    berth_str_addf(s, "%-*s  %-14s  %7s  %10s  %7s  %7s  %14s\n", width, "task", "type", "labels", "rows",
                   "share", "weight", "share x weight");
    for (size_t i = 0; i < t->task_count; i++) {
        const struct berth_task *task = berth_data_task(t->data, i);
        int64_t rows = all_rows[i];
        double share = one_task ? 1.0 : drawn > 0 ? (double)rows / (double)drawn : 0.0;
        double weight = t->weighting.fixed[i];
        berth_str_addf(s, "%-*s  %-14s  %7zu  %10lld  %7.3f  %7g  %14.3f\n", width, task->name,
                       berth_task_kind_name(task->kind), task->labels.count, (long long)rows, share, weight,
                       share * weight);
    }
    if (one_task) berth_str_add(s, "each step draws rows of one task, and its loss is that task's alone\n");
    free(all_rows);
    return BERTH_OK;
}

/* Stages of the forward pass are the groups; each head is one of its own. */
static void group_name(char *out, size_t size, const struct berth_trainer *t, int stage, int owner) {
    int64_t layers = t->model->config.layers;
    if (owner > 0)
        snprintf(out, size, "heads.%s", t->task_names[owner - 1]);
    else if (stage == 0)
        snprintf(out, size, "embeddings");
    else if (stage <= layers)
        snprintf(out, size, "layers.%d", stage - 1);
    else
        snprintf(out, size, "pooler");
}

static void add_parameters(struct berth_str *s, const struct berth_trainer *t, int width) {
    const struct berth_model *m = t->model;
    int64_t total = 0, all_trained = 0;
    berth_str_addf(s, "%-*s  %12s  %12s  %9s  %9s\n", width, "parameters", "all", "trained", "lr", "decay");
    for (int i = 0; i < m->parameter_count;) {
        const struct berth_parameter *first = &m->parameters[i];
        int64_t count = 0, trained = 0, decayed = 0;
        char name[96];
        for (; i < m->parameter_count && m->parameters[i].stage == first->stage &&
               m->parameters[i].owner == first->owner;
             i++) {
            count += m->parameters[i].count;
            if (!t->store->trainable[i]) continue;
            trained += m->parameters[i].count;
            if (m->parameters[i].decays) decayed += m->parameters[i].count;
        }
        group_name(name, sizeof name, t, first->stage, first->owner);
        berth_str_addf(s, "%-*s  %12lld  %12lld", width, name, (long long)count, (long long)trained);
        if (trained > 0)
            berth_str_addf(s, "  %9.2e  %9g\n", first->owner > 0 ? t->recipe.head_lr : t->recipe.lr,
                           decayed > 0 ? t->recipe.adamw.weight_decay : 0.0);
        else
            berth_str_addf(s, "  %9s  %9s\n", "frozen", "-");
        total += count;
        all_trained += trained;
    }
    berth_str_addf(s, "%-*s  %12lld  %12lld\n", width, "together", (long long)total, (long long)all_trained);
}

static berth_status add_steps(struct berth_str *s, struct berth_trainer *t) {
    const struct recipe *r = &t->recipe;
    int64_t epoch_steps = 0;
    BERTH_TRY(berth_feeder_epoch_steps(t->feeder, 0, &epoch_steps));
    berth_str_addf(s, "steps: %lld an epoch, %lld together, %lld of warm-up; schedule %s, clip at %g\n",
                   (long long)epoch_steps, (long long)r->total_steps, (long long)r->warmup_steps,
                   r->schedule == BERTH_SCHEDULE_LINEAR ? "linear" : "constant", r->adamw.clip_norm);
    berth_str_add(s, "memory: values ");
    add_amount(s, t->model->total * (int64_t)sizeof(float));
    berth_str_add(s, "B, gradients ");
    add_amount(s, t->store->grad_total * (int64_t)sizeof(float));
    berth_str_add(s, "B, moments ");
    add_amount(s, 2 * t->store->grad_total * (int64_t)sizeof(float));
    berth_str_add(s, "B; a checkpoint takes ");
    add_amount(s, (t->model->total + 2 * t->store->grad_total) * (int64_t)sizeof(float));
    berth_str_add(s, "B\n");
    return BERTH_OK;
}

berth_status berth_trainer_plan(struct berth_trainer *t, char **out) {
    struct berth_str s, device;
    int width = widest_name(t);
    berth_str_init(&s);
    berth_str_init(&device);
    add_sources(&s, t, width);
    berth_str_add(&s, "\n");
    berth_status status = add_tasks(&s, t, width);
    berth_str_add(&s, "\n");
    add_parameters(&s, t, width);
    berth_str_add(&s, "\n");
    if (status == BERTH_OK) status = add_steps(&s, t);
    berth_device_describe(t->device, &device);
    berth_str_add(&s, device.data != NULL ? device.data : "");
    if (s.length > 0 && s.data != NULL && s.data[s.length - 1] != '\n') berth_str_add(&s, "\n");
    berth_str_deinit(&device);
    if (status == BERTH_OK) return berth_str_take(&s, out);
    berth_str_deinit(&s);
    return status;
}
