/* plan.c: what a run will do, as text: sources; stage by stage tasks, parameters (plan_parameters.c) and steps;
 * memory and disk (plan_sizes.c). */
#include <stdlib.h>
#include <string.h>

#include "train/train_priv.h"

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
        if (berth_config_has_f(t->config, "data.%s.test", source->name) ||
            berth_config_number_f(t->config, "data.%s.split.test", source->name) > 0)
            berth_str_addf(s, "%-*s  %-5s  %10s\n", width, source->name, "test", "read when the run is over");
    }
}

/* The weights of a stage's first step, every task being there. */
static berth_status first_weights(const struct berth_trainer *t, const struct stage *stage, double *out) {
    berth_status status = BERTH_OK;
    bool *active = NULL;
    struct weighting w;
    BERTH_TRY(weighting_init(&w, stage->config, &stage->recipe.optimizer, stage->tasks, t->device));
    BERTH_TRY_OUT(berth_calloc(&active, t->task_count, sizeof *active));
    memset(active, true, t->task_count * sizeof *active);
    const struct weighting_step step = {.active = active};
    w.kind->weights(&w, &step, out);
out:
    free(active);
    weighting_deinit(&w);
    return status;
}

/* What is drawn: sources, with mix: step tasks, and how often their rows come. epochs: of the stage. */
static void add_draws(struct berth_str *s, const struct berth_feeder *feeder, double epochs, int width) {
    berth_str_addf(s, "%-*s  %-6s  %10s  %10s  %7s  %11s  %12s\n", width, "drawn of", "", "rows", "an epoch",
                   "share", "times a row", "in the stage");
    for (size_t i = 0; i < berth_feeder_unit_count(feeder); i++) {
        const struct berth_feeder_unit u = berth_feeder_unit(feeder, i);
        berth_str_addf(s, "%-*s  %-6s  %10lld  %10lld  %7.3f  %11.3g  %12.3g", width, u.name,
                       u.is_task ? "task" : "source", (long long)u.rows, (long long)u.draws, u.share, u.repeats,
                       u.repeats * epochs);
        if (u.altered > 0) berth_str_addf(s, "  %.1f %% altered", 100 * u.altered);
        berth_str_add(s, "\n");
    }
}

/* Which of a source's draws are altered, and how. */
static void add_augmentation(struct berth_str *s, const struct berth_config *c,
                             const struct berth_feeder *feeder, const char *source) {
    bool repeats_only = false;
    const char *separator = ": ";
    if (!berth_config_has_f(c, "data.%s.augment", source)) return;
    for (size_t i = 0; i < berth_feeder_unit_count(feeder); i++) {
        const struct berth_feeder_unit u = berth_feeder_unit(feeder, i);
        if (strcmp(u.name, source) != 0 || !berth_config_has_f(c, "sampling.units.%s.more", source)) continue;
        repeats_only = strcmp(berth_config_string_f(c, "sampling.units.%s.more", source), "augmentation") == 0;
    }
    berth_str_addf(s, "altered of source %s: ", source);
    if (berth_config_has_f(c, "data.%s.augment.share", source))
        berth_str_addf(s, "%.3g of its draws", berth_config_number_f(c, "data.%s.augment.share", source));
    else
        berth_str_add(s, repeats_only ? "a row's second and later draws of an epoch" : "all of its draws");
    for (size_t i = 0; berth_augmentation_name(i) != NULL; i++) {
        double p = berth_config_number_f(c, "data.%s.augment.%s", source, berth_augmentation_name(i));
        if (p <= 0) continue;
        berth_str_addf(s, "%s%s %g", separator, berth_augmentation_name(i), p);
        separator = ", ";
    }
    berth_str_add(s, "\n");
}

/* repeats: how often the stage feeds a task's row to it, on average. share: the factor of a task's mean loss in
 * the loss of a step, beside its weight (train.h): over an epoch of mixed steps on average the part of the
 * drawn rows that feed the task; 1 where a step is of one task or of all. */
static berth_status add_tasks(struct berth_str *s, const struct berth_trainer *t, const struct stage *stage,
                              const struct berth_feeder *feeder, double epochs, int width) {
    berth_status status = BERTH_OK;
    bool one_task = strcmp(berth_config_string(stage->config, "sampling.mix"), "step") == 0;
    double *weights = NULL;
    BERTH_TRY_OUT(berth_calloc(&weights, t->task_count, sizeof *weights));
    BERTH_TRY_OUT(first_weights(t, stage, weights));
    berth_str_addf(s, "%-*s  %-14s  %7s  %10s  %7s  %7s  %7s  %14s\n", width, "task", "type", "labels", "rows",
                   "repeats", "share", "weight", "share x weight");
    for (size_t i = 0; i < t->task_count; i++) {
        const struct berth_task *task = berth_data_task(t->data, i);
        const struct berth_feeder_task drawn = berth_feeder_task(feeder, i);
        berth_str_addf(s, "%-*s  %-14s  %7zu", width, task->name, berth_task_kind_name(task->kind),
                       task->labels.count);
        if (stage->tasks[i])
            berth_str_addf(s, "  %10lld  %7.3g  %7.3f  %7.4g  %14.3f\n", (long long)drawn.rows,
                           drawn.repeats * epochs, drawn.share, weights[i], drawn.share * weights[i]);
        else
            berth_str_addf(s, "  %10s  %7s  %7s  %7s  %14s\n", "-", "-", "-", "-", "not trained");
    }
    if (one_task) berth_str_add(s, "each step draws rows of one task, and its loss is that task's alone\n");
    berth_str_add(s, "\n");
    add_draws(s, feeder, epochs, width);
    for (size_t i = 0; i < berth_data_source_count(t->data); i++)
        add_augmentation(s, stage->config, feeder, berth_data_source(t->data, i)->name);
out:
    free(weights);
    return status;
}

static void add_steps(struct berth_str *s, const struct stage *stage, int64_t epoch_steps) {
    const struct recipe *r = &stage->recipe;
    const struct berth_optimizer *o = &r->optimizer;
    berth_str_addf(s, "steps: %lld an epoch, %lld together, %lld of warm-up; schedule %s",
                   (long long)epoch_steps, (long long)r->total_steps, (long long)r->schedule.warmup,
                   berth_schedule_name(r->schedule.kind));
    if (r->schedule.min_ratio > 0) berth_str_addf(s, " down to %g of the rate", r->schedule.min_ratio);
    berth_str_addf(s, ", %s, clip at %g", berth_optimizer_name(o->kind), o->clip_norm);
    if (o->ema > 0) berth_str_addf(s, ", average %g", o->ema);
    berth_str_addf(s, "; weighting %s", berth_config_string(stage->config, "weighting.method"));
    if (weighting_needs_gradients(stage->config))
        berth_str_addf(s, ", by each task's gradient by the shared %s",
                       berth_config_string(stage->config, "weighting.gradients"));
    berth_str_add(s, "\n");
    if (r->evaluate_every.unit == BERTH_SECONDS)
        berth_str_add(s, "evaluations go by the clock and choose nothing: the model at the end is the best\n");
}

static void add_stage_head(struct berth_str *s, const struct berth_trainer *t, size_t index) {
    const struct stage *stage = &t->stages[index];
    const char *separator = "";
    if (t->stage_count == 1) return;
    berth_str_addf(s, "== stage %zu of %zu: '%s'; trains ", index + 1, t->stage_count, stage->name);
    for (size_t i = 0; i < t->task_count; i++) {
        if (!stage->tasks[i]) continue;
        berth_str_addf(s, "%s%s", separator, t->task_names[i]);
        separator = ", ";
    }
    if (index > 0)
        berth_str_addf(s, "; starts from the %s model of '%s'", stage->from_best ? "best" : "last",
                       t->stages[index - 1].name);
    berth_str_add(s, "\n");
}

static berth_status add_stage(struct berth_str *s, struct berth_trainer *t, size_t index, int width) {
    berth_status status = BERTH_OK;
    struct berth_feeder *own = NULL, *feeder = t->feeder;
    int64_t epoch_steps = 0;
    add_stage_head(s, t, index);
    if (index != (size_t)t->state.stage) BERTH_TRY_OUT(stage_feeder(&own, t, index));
    if (own != NULL) feeder = own;
    BERTH_TRY_OUT(berth_feeder_epoch_steps(feeder, 0, &epoch_steps));
    double epochs = epoch_steps > 0 ? (double)t->stages[index].recipe.total_steps / (double)epoch_steps : 0;
    BERTH_TRY_OUT(add_tasks(s, t, &t->stages[index], feeder, epochs, width));
    berth_str_add(s, "\n");
    BERTH_TRY_OUT(plan_add_parameters(s, t, index, width));
    berth_str_add(s, "\n");
    add_steps(s, &t->stages[index], epoch_steps);
out:
    berth_feeder_free(own);
    return status;
}

berth_status berth_trainer_plan(struct berth_trainer *t, char **out) {
    berth_status status = BERTH_OK;
    struct berth_str s, device;
    int width = widest_name(t);
    berth_str_init(&s);
    berth_str_init(&device);
    add_sources(&s, t, width);
    berth_str_add(&s, "\n");
    for (size_t i = 0; i < t->stage_count; i++)
        BERTH_TRY_OUT(add_stage(&s, t, i, width));
    if (t->comm->size > 1)
        berth_str_addf(&s, "ranks: %d over %s, each with its part of every step; memory is that of one\n",
                       t->comm->size, t->comm->table->name);
    BERTH_TRY_OUT(plan_add_sizes(&s, t));
    berth_device_describe(t->device, &device);
    berth_str_add(&s, device.data != NULL ? device.data : "");
    if (s.length > 0 && s.data != NULL && s.data[s.length - 1] != '\n') berth_str_add(&s, "\n");
out:
    s.failed |= device.failed;
    berth_str_deinit(&device);
    if (status == BERTH_OK) return berth_str_take(&s, out);
    berth_str_deinit(&s);
    return status;
}
