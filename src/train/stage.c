/* stage.c: the stages of a run. Without `stages` a run is one stage, the whole configuration.
 *
 *     stage 0 | steps 0 .. N0 | best -> RUN/stages/NAME
 *     stage 1 | steps N0 ..   | best -> RUN/best             the last one
 *
 * A stage begins with the parameters of the one before, and with everything else new: its own recipe, rows and
 * their order, optimizer state, weighting, best score and patience. Steps are counted over the whole run (they
 * key dropout and name checkpoints); schedules, durations and epochs count from the stage's beginning. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "berth/file.h"
#include "train/train_priv.h"

static berth_status read_tasks(struct stage *s, const struct berth_trainer *t, size_t index) {
    const struct berth_config *c = t->config;
    size_t named = berth_config_count_f(c, "stages[%zu].tasks", index);
    for (size_t i = 0; i < t->task_count; i++)
        s->tasks[i] = named == 0;
    for (size_t k = 0; k < named; k++) {
        const char *name = berth_config_item_f(c, k, "stages[%zu].tasks", index);
        size_t i = 0;
        while (i < t->task_count && strcmp(berth_config_name(c, "tasks", i), name) != 0)
            i++;
        if (i == t->task_count) {
            char path[64];
            snprintf(path, sizeof path, "stages[%zu].tasks", index);
            return berth_config_fail(c, path, "'%s' is not one of the tasks", name);
        }
        s->tasks[i] = true;
    }
    return BERTH_OK;
}

/* Names become folders and tell stages apart. */
static berth_status check_name(const struct berth_trainer *t, size_t index) {
    const char *name = t->stages[index].name;
    char path[64];
    snprintf(path, sizeof path, "stages[%zu].name", index);
    if (strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") != strlen(name) ||
        strlen(name) > 64)
        return berth_config_fail(t->config, path, "'%s': expected 1 to 64 letters, digits, '_' and '-'", name);
    for (size_t i = 0; i < index; i++) {
        if (strcmp(t->stages[i].name, name) == 0)
            return berth_config_fail(t->config, path, "'%s' is the name of stage %zu already", name, i + 1);
    }
    return BERTH_OK;
}

static berth_status read_stage(struct berth_trainer *t, size_t index, bool listed) {
    struct stage *s = &t->stages[index];
    s->name = "";
    s->config = t->config;
    BERTH_TRY(berth_calloc(&s->tasks, t->task_count, sizeof *s->tasks));
    if (!listed) {
        memset(s->tasks, true, t->task_count * sizeof *s->tasks);
        return recipe_read(&s->recipe, s->config);
    }
    s->name = berth_config_string_f(t->config, "stages[%zu].name", index);
    BERTH_TRY(check_name(t, index));
    s->from_best = strcmp(berth_config_string_f(t->config, "stages[%zu].start", index), "best") == 0;
    BERTH_TRY(read_tasks(s, t, index));
    BERTH_TRY(berth_config_stage(&s->own, t->config, index));
    s->config = s->own;
    return recipe_read(&s->recipe, s->config);
}

berth_status stages_read(struct berth_trainer *t) {
    size_t listed = berth_config_count(t->config, "stages");
    t->stage_count = listed > 0 ? listed : 1;
    BERTH_TRY(berth_calloc(&t->stages, t->stage_count, sizeof *t->stages));
    for (size_t i = 0; i < t->stage_count; i++)
        BERTH_TRY(read_stage(t, i, listed > 0));
    for (size_t i = 0; i < t->stage_count; i++) {
        int parts = ranks_parts(t, t->stages[i].config);
        BERTH_TRY(ranks_check(t, t->stages[i].config));
        if (parts > t->most_parts) t->most_parts = parts;
    }
    t->recipe = t->stages[0].recipe;
    return BERTH_OK;
}

void stages_deinit(struct berth_trainer *t) {
    for (size_t i = 0; t->stages != NULL && i < t->stage_count; i++) {
        struct stage *s = &t->stages[i];
        freeze_deinit(&s->freeze);
        recipe_deinit(&s->recipe);
        free(s->tasks);
        free(s->rules);
        berth_config_free(s->own);
    }
    free(t->stages);
    t->stages = NULL;
}

berth_status stage_feeder(struct berth_feeder **out, const struct berth_trainer *t, size_t stage) {
    const struct stage *s = &t->stages[stage];
    const struct berth_config *c = s->config;
    bool by_tokens = berth_config_has(c, "train.batch_tokens");
    const struct berth_feeder_options options = {
        .seed = s->recipe.seed + stage * UINT64_C(0x9E3779B97F4A7C15),
        .tasks = s->tasks,
        .config = c,
        .batch_size = by_tokens ? 0 : berth_config_int(c, "train.batch_size"),
        .batch_tokens = by_tokens ? berth_config_int(c, "train.batch_tokens") : 0,
        .accumulate = ranks_parts(t, c),
        .rank = t->comm->rank,
        .ranks = t->comm->size,
    };
    return berth_feeder_create(out, t->data, &options);
}

static berth_status plan_stage(struct berth_trainer *t, size_t index) {
    berth_status status = BERTH_OK;
    struct stage *s = &t->stages[index];
    struct weighting weighting;
    struct berth_feeder *feeder = NULL;
    BERTH_TRY(freeze_read(&s->freeze, s->config, t->model));
    BERTH_TRY(berth_calloc(&s->rules, (size_t)t->model->parameter_count, sizeof *s->rules));
    BERTH_TRY(param_rules_read(s->rules, &s->recipe, s->config, t->model));
    status = weighting_init(&weighting, s->config, &s->recipe.optimizer, s->tasks, t->device);
    if (status == BERTH_OK) status = task_walk_check(t, index, &weighting);
    weighting_deinit(&weighting);
    BERTH_TRY(status);
    BERTH_TRY_OUT(stage_feeder(&feeder, t, index));
    BERTH_TRY_OUT(recipe_plan_steps(&s->recipe, s->config, feeder));
    if (index == 0) { /* the run begins with it */
        t->feeder = feeder;
        feeder = NULL;
    }
out:
    berth_feeder_free(feeder);
    return status;
}

berth_status stages_plan(struct berth_trainer *t) {
    for (size_t i = 0; i < t->stage_count; i++)
        BERTH_TRY(plan_stage(t, i));
    return BERTH_OK;
}

berth_status stage_enter(struct berth_trainer *t) {
    struct run_state *state = &t->state;
    size_t index = (size_t)state->stage;
    const struct stage *s = &t->stages[index];
    t->recipe = s->recipe;
    t->recipe_config = s->config;
    t->parts = ranks_parts(t, s->config);
    t->total_steps = state->stage_begin;
    for (size_t i = index; i < t->stage_count; i++)
        t->total_steps += t->stages[i].recipe.total_steps;
    state->best_step = state->evaluated_step = state->rewind_step = -1;
    state->best_score = -(double)INFINITY;
    state->bad = state->bad_steps = 0;
    weighting_deinit(&t->weighting);
    BERTH_TRY(weighting_init(&t->weighting, s->config, &s->recipe.optimizer, s->tasks, t->device));
    if (t->feeder == NULL) BERTH_TRY(stage_feeder(&t->feeder, t, index));
    t->epoch_steps = 0;
    t->epochs = 0;
    BERTH_TRY(position_update(t));
    task_walk_forget(t);
    berth_store_free(t->store);
    t->store = NULL;
    return phase_update(t);
}

/* The parameters of a model folder of this run. */
static berth_status take_best(struct berth_trainer *t, const char *folder) {
    berth_status status = BERTH_OK;
    struct berth_model *best = NULL;
    BERTH_TRY_OUT(berth_model_load(&best, t->device, folder));
    BERTH_TRY_OUT(berth_model_order_heads(best, t->task_names, t->task_count));
    BERTH_TRY_OUT(berth_model_allocate(best, t->recipe.seed));
    BERTH_ASSERT_EQ(best->total, t->model->total);
    BERTH_TRY_OUT(berth_device_copy(t->device, t->model->values, best->values,
                                    (size_t)best->total * sizeof *best->values));
out:
    berth_model_free(best);
    if (status != BERTH_OK) return berth_error_context(status, "%s", folder);
    return BERTH_OK;
}

berth_status stage_best_folder(char **out, const struct berth_trainer *t) {
    char *stages = NULL;
    if ((size_t)t->state.stage + 1 == t->stage_count) return berth_strdup(out, t->folder.best);
    BERTH_TRY(berth_path_join(&stages, t->folder.path, "stages"));
    berth_status status = berth_make_folders(stages);
    if (status == BERTH_OK) status = berth_path_join(out, stages, stage_now(t)->name);
    free(stages);
    return status;
}

berth_status stage_next(struct berth_trainer *t) {
    berth_status status = BERTH_OK;
    char *best = NULL;
    BERTH_TRY(phase_check_digests(t));
    BERTH_TRY(berth_comm_barrier(t->comm)); /* rank 0 has exported the best */
    if (t->stages[t->state.stage + 1].from_best) {
        BERTH_TRY(stage_best_folder(&best, t));
        status = take_best(t, best);
        free(best);
        BERTH_TRY(status);
    }
    t->state.stage++;
    t->state.stage_begin = t->state.step;
    t->state.stage_tokens = t->state.tokens;
    berth_feeder_free(t->feeder);
    t->feeder = NULL;
    t->input_seen = 0;
    BERTH_TRY(stage_enter(t));
    record_note(t, "stage '%s' (%lld of %zu) begins after step %lld", stage_now(t)->name,
                (long long)t->state.stage + 1, t->stage_count, (long long)t->state.step);
    return BERTH_OK;
}
