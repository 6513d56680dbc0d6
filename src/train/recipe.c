/* recipe.c: what the configuration says of a run, as numbers; meanings that the table of keys cannot check. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/train_priv.h"

static berth_status read_metrics(struct recipe *r, const struct berth_config *c) {
    size_t tasks = berth_config_count(c, "tasks");
    BERTH_TRY(berth_calloc(&r->metric_of, tasks, sizeof *r->metric_of));
    for (size_t i = 0; i < tasks; i++) {
        const char *name = berth_config_name(c, "tasks", i);
        const char *own = NULL, *known = NULL;
        char path[128];
        snprintf(path, sizeof path, "tasks.%s.metric", name);
        const char *type = berth_config_string_f(c, "tasks.%s.type", name);
        if (berth_config_has(c, path)) own = berth_config_string(c, path);
        r->metric_of[i] = berth_metric_of(berth_task_kind_find(type), own, &known);
        if (r->metric_of[i] == NULL)
            return berth_config_fail(c, path, "'%s' is no metric of a %s task; it has %s", own, type, known);
    }
    return BERTH_OK;
}

static berth_status read_selection(struct recipe *r, const struct berth_config *c) {
    const char *metric = berth_config_string(c, "evaluate.metric");
    r->best_task = -1;
    for (size_t i = 0; i < berth_config_count(c, "tasks"); i++) {
        const char *name = berth_config_name(c, "tasks", i);
        if (strcmp(metric, name) != 0) continue;
        r->best_task = (int)i;
        bool has_dev = false;
        for (size_t k = 0; k < berth_config_count_f(c, "tasks.%s.source", name); k++)
            has_dev = has_dev ||
                      berth_config_has_f(c, "data.%s.dev", berth_config_item_f(c, k, "tasks.%s.source", name));
        if (!has_dev)
            return berth_config_fail(c, "evaluate.metric", "'%s': its source '%s' has no dev rows", metric,
                                     berth_config_item_f(c, 0, "tasks.%s.source", name));
    }
    if (r->best_task < 0 && strcmp(metric, "mean") != 0)
        return berth_config_fail(c, "evaluate.metric", "'%s' is neither 'mean' nor a task", metric);
    r->patience = berth_config_int(c, "evaluate.patience");
    r->evaluate_batch = berth_config_int(c, "evaluate.batch_size");
    return BERTH_OK;
}

static berth_status read_durations(struct recipe *r, const struct berth_config *c) {
    r->evaluate_every = berth_config_duration(c, "evaluate.every");
    r->checkpoint_every = berth_config_duration(c, "checkpoint.every");
    r->log_every = berth_config_duration(c, "log.every");
    if (r->evaluate_every.unit == BERTH_SECONDS && r->patience > 0)
        return berth_config_fail(
            c, "evaluate.patience",
            "evaluations by the clock ('%s') choose nothing, so that a run can be repeated: patience goes by "
            "evaluate.every in steps, tokens or epochs",
            berth_config_string(c, "evaluate.every"));
    if (r->on_nan == ON_NAN_REWIND && r->checkpoint_every.unit == BERTH_SECONDS)
        return berth_config_fail(
            c, "train.on_nan",
            "rewind takes the last checkpoint, and those of checkpoint.every '%s' lie where the "
            "clock says: name steps or epochs there",
            berth_config_string(c, "checkpoint.every"));
    return BERTH_OK;
}

static enum on_nan read_on_nan(const struct berth_config *c) {
    const char *word = berth_config_string(c, "train.on_nan");
    return strcmp(word, "skip") == 0 ? ON_NAN_SKIP : strcmp(word, "rewind") == 0 ? ON_NAN_REWIND : ON_NAN_STOP;
}

static void read_optimizer(struct recipe *r, const struct berth_config *c) {
    r->optimizer = (struct berth_optimizer){
        .kind = berth_optimizer_find(berth_config_string(c, "train.optimizer")),
        .beta1 = berth_config_number(c, "train.beta1"),
        .beta2 = berth_config_number(c, "train.beta2"),
        .eps = berth_config_number(c, "train.eps"),
        .momentum = berth_config_number(c, "train.momentum"),
        .nesterov = berth_config_bool(c, "train.nesterov"),
        .clip_norm = berth_config_number(c, "train.clip_norm"),
        .ema = berth_config_number(c, "train.ema"),
    };
    r->lr = berth_config_number(c, "train.lr");
    r->head_lr = berth_config_has(c, "train.head_lr") ? berth_config_number(c, "train.head_lr") : r->lr;
    r->layer_decay = berth_config_number(c, "train.layer_decay");
    r->weight_decay = berth_config_number(c, "train.weight_decay");
    r->schedule.kind = berth_schedule_find(berth_config_string(c, "train.schedule"));
    r->schedule.min_ratio = berth_config_number(c, "train.min_lr_ratio");
    r->schedule.power = berth_config_number(c, "train.power");
    BERTH_ASSERT(r->optimizer.kind < BERTH_OPTIMIZER_COUNT && r->schedule.kind < BERTH_SCHEDULE_COUNT);
}

berth_status recipe_read(struct recipe *r, const struct berth_config *c) {
    memset(r, 0, sizeof *r);
    r->seed = (uint64_t)berth_config_int(c, "seed");
    r->frozen_dropout = berth_config_bool(c, "frozen_dropout");
    r->recompute = strcmp(berth_config_string(c, "train.recompute"), "layers") == 0;
    read_optimizer(r, c);
    r->keep = berth_config_int(c, "checkpoint.keep");
    r->keep_every = berth_config_int(c, "checkpoint.keep_every");
    r->tensorboard = berth_config_bool(c, "log.tensorboard");
    r->keep_best = berth_config_bool(c, "checkpoint.best");
    r->on_nan = read_on_nan(c);
    r->nan_limit = berth_config_int(c, "train.nan_limit");
    if (berth_config_has(c, "train.batch_tokens") &&
        berth_config_int(c, "train.batch_tokens") < berth_config_int(c, "model.max_length"))
        return berth_config_fail(
            c, "train.batch_tokens", "%s is less than one sequence of model.max_length, %s",
            berth_config_string(c, "train.batch_tokens"), berth_config_string(c, "model.max_length"));
    BERTH_TRY(read_metrics(r, c));
    BERTH_TRY(read_selection(r, c));
    return read_durations(r, c);
}

void recipe_deinit(struct recipe *r) {
    free(r->metric_of);
    memset(r, 0, sizeof *r);
}

berth_status recipe_plan_steps(struct recipe *r, const struct berth_config *c, struct berth_feeder *f) {
    r->total_steps = 0;
    if (berth_config_given(c, "train.steps")) {
        r->total_steps = berth_config_int(c, "train.steps");
    } else {
        double epochs = berth_config_number(c, "train.epochs");
        for (int64_t e = 0; (double)e < epochs; e++) {
            int64_t steps = 0;
            double share = epochs - (double)e;
            BERTH_TRY(berth_feeder_epoch_steps(f, e, &steps));
            r->total_steps += share >= 1.0 ? steps : (int64_t)ceil(share * (double)steps - 1e-9);
        }
    }
    double warmup = berth_config_number(c, "train.warmup");
    r->schedule.total = r->total_steps;
    r->schedule.warmup = (int64_t)llround(warmup < 1.0 ? warmup * (double)r->total_steps : warmup);
    if (r->schedule.warmup > r->total_steps)
        return berth_config_fail(c, "train.warmup", "%lld steps are more than the run has, %lld",
                                 (long long)r->schedule.warmup, (long long)r->total_steps);
    return BERTH_OK;
}
