/* selection.c: which model of a run is the best, when to stop early, and the end of a run.
 *
 * Only dev chooses. A score counts as better when it is greater (a loss or a perplexity: lower), so of equal
 * ones the earlier stays. The best model is exported to RUN/best the moment it is found; a run killed after
 * that and before its next checkpoint finds it again when it resumes, with the same bits. Where the values have
 * an average (train.ema), that is what is evaluated and exported. Each stage has a best of its own (stage.c).
 * Test rows are opened and read once, after the end, with the weights that RUN/best holds. */
#include <math.h>
#include <stdlib.h>

#include "train/train_priv.h"

static bool any_source_has(const struct berth_data *data, enum berth_split split) {
    for (size_t i = 0; i < berth_data_source_count(data); i++) {
        if (berth_data_source(data, i)->has[split]) return true;
    }
    return false;
}

/* The mean is that over the tasks which the stage trains. */
static double selecting_score(const struct berth_trainer *t) {
    int task = t->recipe.best_task;
    double sum = 0;
    int count = 0;
    if (task >= 0) {
        double score = berth_scores_find(&t->dev_scores, t->task_names[task], t->recipe.metric_of[task]);
        return scores_lower_is_better(t->recipe.metric_of[task]) ? -score : score;
    }
    for (size_t i = 0; i < t->task_count; i++) {
        double value = berth_scores_find(&t->dev_scores, t->task_names[i], t->recipe.metric_of[i]);
        if (!stage_now(t)->tasks[i] || isnan(value) || scores_lower_is_better(t->recipe.metric_of[i])) continue;
        sum += value;
        count++;
    }
    return count > 0 ? sum / count : (double)NAN;
}

static berth_status export_model(struct berth_trainer *t) {
    char *folder = NULL;
    t->state.best_step = t->state.step;
    if (!ranks_first(t)) return BERTH_OK;
    BERTH_TRY(stage_best_folder(&folder, t));
    berth_store_exchange(t->store);
    berth_status status = berth_model_save(t->model, t->tokenizer, folder);
    berth_store_exchange(t->store);
    free(folder);
    if (status != BERTH_OK) return berth_error_context(status, "exporting the model");
    return BERTH_OK;
}

/* Thresholds of multi-label heads are chosen by the dev rows, each time anew: an export holds those of its
 * evaluation. */
static berth_status evaluate_dev(struct berth_trainer *t, struct berth_scores *out) {
    const struct berth_evaluate_options options = {
        .metric_of = t->recipe.metric_of, .batch_size = t->recipe.evaluate_batch, .tune = true};
    berth_store_exchange(t->store);
    berth_status status = berth_evaluate(out, t->model, t->tape, t->data, BERTH_DEV, &options);
    berth_store_exchange(t->store);
    return status;
}

/* Whether a row of the source's split carries the task's label; every row serves masked language modelling. */
static bool is_labelled(const struct berth_data *data, size_t task, const struct berth_source *source,
                        enum berth_split split) {
    const struct berth_dataset *set = &source->split[split];
    enum berth_task_kind kind = berth_data_task(data, task)->kind;
    if (!source->has[split]) return false;
    if (kind == BERTH_TASK_MLM) return set->rows > 0;
    int64_t count = kind == BERTH_TASK_TAGGING ? set->word_count : set->rows;
    for (int64_t i = 0; i < count; i++) {
        if (set->labels[task][i] != BERTH_LABEL_MISSING) return true;
    }
    return false;
}

berth_status selection_check(const struct berth_trainer *t) {
    int chosen = t->recipe.best_task;
    bool can_choose = false;
    for (size_t i = 0; i < t->task_count; i++) {
        for (size_t n = 0; n < berth_data_task_source_count(t->data, i); n++) {
            const struct berth_source *source =
                berth_data_source(t->data, berth_data_task_source_at(t->data, i, n));
            bool labelled = is_labelled(t->data, i, source, BERTH_DEV);
            if (source->has[BERTH_DEV] && !labelled)
                berth_log(
                    BERTH_LOG_WARN,
                    "task '%s': no row of source '%s', split dev carries its label; the mean leaves it out",
                    t->task_names[i], source->name);
            if (chosen < 0 || (size_t)chosen == i) can_choose |= labelled;
        }
    }
    if (can_choose || !any_source_has(t->data, BERTH_DEV)) return BERTH_OK;
    if (chosen < 0)
        return berth_config_fail(t->config, "evaluate.metric",
                                 "'mean' chooses the best model, but no dev row carries a label of any task");
    return berth_config_fail(t->config, "evaluate.metric",
                             "'%s' chooses the best model, but no dev row carries its label",
                             t->task_names[chosen]);
}

berth_status selection_evaluate(struct berth_trainer *t) {
    t->state.evaluated_step = t->state.step;
    if (!any_source_has(t->data, BERTH_DEV)) return BERTH_OK;
    double score = 0;
    if (ranks_first(t)) {
        BERTH_TRY(evaluate_dev(t, &t->dev_scores));
        score = selecting_score(t);
    }
    BERTH_TRY(berth_comm_broadcast(t->comm, &score, sizeof score));
    bool best = score > t->state.best_score;
    t->state.bad = best ? 0 : t->state.bad + 1;
    if (best) {
        t->state.best_score = score;
        BERTH_TRY(export_model(t));
        if (ranks_first(t)) BERTH_TRY(details_write(t, &t->dev_scores));
    }
    return ranks_first(t) ? record_scores(t, t->state.step, &t->dev_scores, best) : BERTH_OK;
}

berth_status selection_show(struct berth_trainer *t) {
    struct berth_scores scores;
    t->last_evaluation = t->clock;
    if (!any_source_has(t->data, BERTH_DEV) || !ranks_first(t)) return BERTH_OK;
    berth_scores_init(&scores);
    berth_status status = evaluate_dev(t, &scores);
    if (status == BERTH_OK) status = record_scores(t, t->state.step, &scores, false);
    berth_scores_deinit(&scores);
    return status;
}

static bool patience_is_out(const struct berth_trainer *t) {
    return t->recipe.patience > 0 && t->state.bad >= t->recipe.patience;
}

bool selection_done(const struct berth_trainer *t) {
    return stage_step(t) >= t->recipe.total_steps || patience_is_out(t);
}

berth_status selection_end_stage(struct berth_trainer *t) {
    if (t->state.evaluated_step != t->state.step) { /* a stage of no steps */
        BERTH_TRY(selection_evaluate(t));
        BERTH_TRY(checkpoint_write(t));
    }
    if (stage_step(t) < t->recipe.total_steps)
        record_note(t, "stopped early after step %lld: %lld evaluations without a better one",
                    (long long)t->state.step, (long long)t->state.bad);
    return t->state.best_step < 0 ? export_model(t) : BERTH_OK;
}

/* Opens the test rows: here and nowhere else. */
static berth_status open_test(struct berth_trainer *t) {
    berth_status status = BERTH_OK;
    struct berth_task *known = NULL;
    if (t->test_data != NULL) return BERTH_OK;
    BERTH_TRY(berth_calloc(&known, t->task_count, sizeof *known));
    for (size_t i = 0; i < t->task_count; i++)
        known[i] = t->model->heads[i].task;
    status = berth_data_open(&t->test_data, t->config, t->tokenizer, known, t->task_count, 1u << BERTH_TEST);
    free(known);
    return status;
}

static bool names_test(const struct berth_trainer *t) {
    for (size_t i = 0; i < t->task_count; i++) {
        for (size_t n = 0; n < berth_data_task_source_count(t->data, i); n++) {
            size_t source = berth_data_task_source_at(t->data, i, n);
            if (berth_config_has_f(t->config, "data.%s.test", berth_data_source(t->data, source)->name))
                return true;
        }
    }
    return false;
}

/* Scores test with the exported model: what a user of the folder will get. */
static berth_status score_test(struct berth_trainer *t) {
    berth_status status = BERTH_OK;
    struct berth_model *best = NULL;
    const struct berth_evaluate_options options = {.metric_of = t->recipe.metric_of,
                                                   .batch_size = t->recipe.evaluate_batch};
    if (!names_test(t)) return BERTH_OK;
    BERTH_TRY_OUT(open_test(t));
    BERTH_TRY_OUT(berth_model_load(&best, t->device, t->folder.best));
    status = berth_model_order_heads(best, t->task_names, t->task_count);
    if (status != BERTH_OK) berth_error_context(status, "%s", t->folder.best);
    BERTH_TRY_OUT(status);
    BERTH_TRY_OUT(berth_model_allocate(best, t->recipe.seed));
    BERTH_TRY_OUT(berth_evaluate(&t->test_scores, best, t->tape, t->test_data, BERTH_TEST, &options));
    BERTH_TRY_OUT(details_write(t, &t->test_scores));
    BERTH_TRY_OUT(record_scores(t, t->state.best_step, &t->test_scores, false));
out:
    berth_model_free(best);
    return status;
}

berth_status selection_finish(struct berth_trainer *t) {
    BERTH_TRY(phase_check_digests(t));
    if (!ranks_first(t)) {
        t->finished = true;
        return BERTH_OK;
    }
    BERTH_TRY(checkpoint_wait(t));
    BERTH_TRY(score_test(t));
    BERTH_TRY(finished_write(t));
    t->finished = true;
    record_note(t, "finished: the model of step %lld is in %s", (long long)t->state.best_step, t->folder.best);
    return BERTH_OK;
}
