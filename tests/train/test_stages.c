/* test_stages.c: what changes within a run: freezing and thawing, stages, averages, learnt weights, bad
 * numbers; each resumed at every step with the bits of a run never stopped. */
#include "support_train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "berth/file.h"
#include "berth/h5.h"

static berth_status run_list(const struct world *w, const char *run, bool resume, int64_t stop_at,
                             const char *const *o) {
    return run_whole(w, run, resume, stop_at, o[0], o[0] ? o[1] : NULL, o[0] && o[1] ? o[2] : NULL,
                     o[0] && o[1] && o[2] ? o[3] : NULL, o[0] && o[1] && o[2] && o[3] ? o[4] : NULL, NULL);
}

/* All datasets but texts and "state" (which counts bytes of files that hold times). */
static void assert_same_checkpoint(const char *a, const char *b) {
    struct berth_h5 *x = NULL, *y = NULL;
    size_t compared = 0;
    assert_done(berth_h5_open(&x, a, "checkpoint", 9));
    assert_done(berth_h5_open(&y, b, "checkpoint", 9));
    assert_int_equal(berth_h5_dataset_count(x), berth_h5_dataset_count(y));
    for (size_t i = 0; i < berth_h5_dataset_count(x); i++) {
        const struct berth_h5_dataset *d = berth_h5_dataset(x, i), *e = berth_h5_find(y, d->name);
        if (d->is_text || strcmp(d->name, "state") == 0) continue;
        if (e == NULL || d->count != e->count) fail_msg("%s: '%s' differs in size", b, d->name);
        if (d->count > 0 && memcmp(d->data, e->data, (size_t)d->count * berth_h5_type_size(d->type)) != 0)
            fail_msg("%s and %s differ in '%s'", a, b, d->name);
        compared++;
    }
    assert_true(compared >= 8);
    berth_h5_close(x);
    berth_h5_close(y);
}

/* A run of 12 steps, and one stopped and resumed after each of them: same model, checkpoint, scores. */
static void check_resumes(struct world *w, const char *name, const char *const *overrides) {
    char whole[64], part[64], x[160], y[160];
    snprintf(whole, sizeof whole, "%s-whole", name);
    if (run_list(w, whole, false, 0, overrides) != BERTH_OK) fail_msg("%s: %s", name, berth_error_text());
    for (int64_t step = 1; step < 12; step += 1 + (step > 4)) {
        snprintf(part, sizeof part, "%s-%d", name, (int)step);
        assert_int_equal(run_list(w, part, false, step, overrides), BERTH_E_STOPPED);
        if (run_list(w, part, true, 0, overrides) != BERTH_OK) fail_msg("%s: %s", part, berth_error_text());
        static const char *const files[] = {"best/model.safetensors", "finished.json"};
        for (int i = 0; i < 2; i++) {
            snprintf(x, sizeof x, "%s/%s", whole, files[i]);
            snprintf(y, sizeof y, "%s/%s", part, files[i]);
            assert_same_file(world_path(w, x), world_path(w, y));
        }
        snprintf(x, sizeof x, "%s/checkpoints/step-12.h5", whole);
        snprintf(y, sizeof y, "%s/checkpoints/step-12.h5", part);
        assert_same_checkpoint(world_path(w, x), world_path(w, y));
    }
}

static void test_resume_over_phases(void **state) {
    check_resumes(*state, "phases",
                  (const char *const[]){
                      "freeze=[{select: backbone, until: 3 steps}, {select: heads.slots, from: 1 epoch}, "
                      "{select: embeddings, until: 2 epochs}]",
                      "train.accumulate=2", "train.ema=0.9", NULL});
}

static void test_resume_over_stages(void **state) {
    struct world *w = *state;
    check_resumes(
        w, "stages",
        (const char *const[]){"stages=[{name: first, tasks: [intent], train: {steps: 5, lr: 1.0e-2}}, {name: "
                              "second, start: best, train: {steps: 7, optimizer: sgd}, freeze: [{select: "
                              "embeddings, until: 3 steps}], weighting: {method: uncertainty}}]",
                              "evaluate.every=2 steps", NULL});
    assert_true(berth_file_exists(world_path(w, "stages-whole/stages/first/model.safetensors")));
}

static void test_resume_with_learnt_weights(void **state) {
    check_resumes(*state, "weights",
                  (const char *const[]){"weighting.method=uncertainty", "weighting.rate=0.05",
                                        "train.optimizer=lion", "sampling.mix=step", NULL});
}

/* What each method remembers, in phases, over stages, with accumulation. */
static void test_resume_with_gradients_of_tasks(void **state) {
    struct world *w = *state;
    check_resumes(w, "dwa", (const char *const[]){"weighting.method=dwa", "weighting.window=2", NULL});
    check_resumes(w, "gradnorm",
                  (const char *const[]){"weighting.method=gradnorm", "weighting.rate=0.05",
                                        "train.accumulate=2", "freeze=[{select: layers.0, until: 3 steps}]",
                                        NULL});
    check_resumes(w, "representation",
                  (const char *const[]){"weighting.method=gradnorm", "weighting.gradients=representation",
                                        "weighting.rate=0.05", "train.optimizer=sgd", NULL});
    check_resumes(w, "pcgrad",
                  (const char *const[]){"weighting.method=pcgrad", "sampling.mix=all",
                                        "freeze=[{select: embeddings, until: 5 steps}]", NULL});
}

/* ---- what a phase does */

static bool is_same(const struct berth_model *m, const float *before, const char *prefix) {
    bool same = true;
    for (int i = 0; i < m->parameter_count; i++) {
        const struct berth_parameter *p = &m->parameters[i];
        if (strncmp(p->name, prefix, strlen(prefix)) != 0) continue;
        same &= memcmp(before + p->offset, m->values + p->offset, (size_t)p->count * sizeof(float)) == 0;
    }
    return same;
}

static void test_thaw_and_freeze(void **state) {
    struct world_run r;
    run_make(&r, *state, "thaw",
             "freeze=[{select: backbone, until: 2 steps}, {select: heads.intent, from: 3 steps}]", NULL);
    struct berth_trainer *t = r.trainer;
    struct berth_model *m = t->model;
    size_t frozen_bytes = t->device->bytes_now;
    float *start = model_values(m, NULL), *then = NULL;
    int word = berth_model_find(m, "embeddings.word_embeddings.weight"),
        head = berth_model_find(m, "heads.intent.weight");
    assert_done(berth_trainer_start(t, false));
    for (int step = 0; step < 5; step++) {
        assert_true((t->store->gradients[word] == NULL) == (step < 2));
        assert_true((t->store->gradients[head] == NULL) == (step >= 3));
        if (step == 2) assert_true(is_same(m, start, "embeddings.") && is_same(m, start, "encoder."));
        if (step == 3) then = model_values(m, NULL);
        assert_done(train_step(t));
        assert_done(phase_update(t));
    }
    assert_false(is_same(m, start, "encoder."));
    assert_true(is_same(m, then, "heads.intent"));
    assert_false(is_same(m, then, "heads.slots"));
    assert_int_equal(t->store->steps[word], 3);
    assert_true(t->device->bytes_now >
                frozen_bytes); /* frozen, the backbone owned neither gradient nor state */
    free(start);
    free(then);
    run_free(&r);
}

/* A frozen tensor that is written to all the same is named at the end of the run. */
static void test_frozen_digest(void **state) {
    struct world_run r;
    run_make(&r, *state, "digest", "freeze=[{select: layers.0}]", NULL);
    struct berth_model *m = r.trainer->model;
    int victim = berth_model_find(m, "encoder.layer.0.intermediate.dense.bias");
    assert_done(berth_trainer_start(r.trainer, false));
    m->values[m->parameters[victim].offset] += 1.0f;
    assert_int_equal(berth_trainer_run(r.trainer), BERTH_E_NUMERIC);
    assert_text_has(berth_error_text(),
                    "the frozen parameter 'encoder.layer.0.intermediate.dense.bias' has changed");
    run_free(&r);
}

/* ---- learnt weights */

static void test_uncertainty_formula(void **state) {
    struct world_run r;
    run_make(&r, *state, "uncertain", "weighting.method=uncertainty", "weighting.rate=0.02", "train.warmup=0",
             "train.schedule=constant", NULL);
    struct berth_trainer *t = r.trainer;
    double s[3] = {-0.5, -0.5, -0.5}, m[3] = {0}, v[3] = {0};
    int n[3] = {0};
    for (int step = 0; step < 6; step++) {
        double before[3], loss = 0;
        memcpy(before, s, sizeof s);
        assert_done(train_step(t));
        for (int i = 0; i < 3; i++) {
            if (!t->active[i + 1]) continue;
            double w = exp(-before[i]) / 2;
            loss += t->share[i] * (w * t->task_loss[i] + before[i] / 2);
            if (fabs(t->weights[i] - w) > 1e-6 * w) fail_msg("weight %g, expected %g", t->weights[i], w);
            double g = t->share[i] * (0.5 - t->task_loss[i] * w);
            n[i]++;
            m[i] = 0.9 * m[i] + 0.1 * g;
            v[i] = 0.999 * v[i] + 0.001 * g * g;
            s[i] -= 0.02 * m[i] / (1 - pow(0.9, n[i])) / (sqrt(v[i] / (1 - pow(0.999, n[i]))) + 1e-8);
            if (fabs(s[i] - (double)t->weighting.host[i]) > 1e-5)
                fail_msg("step %d task %d: s %g, expected %g", step, i, (double)t->weighting.host[i], s[i]);
        }
        if (fabs(loss - t->loss) > 1e-6 * fabs(loss)) fail_msg("loss %.9g, expected %.9g", t->loss, loss);
    }
    run_free(&r);
}

static void test_weights_are_refused(void **state) {
    static const char *const methods[] = {"weighting.method=uncertainty", "weighting.method=equal"};
    for (int i = 0; i < 2; i++) {
        struct berth_config *c = world_config(*state, methods[i], "tasks.slots.weight=2", NULL);
        struct berth_trainer *t = NULL;
        assert_int_equal(berth_trainer_create(&t, c, NULL), BERTH_E_USAGE);
        assert_text_has(berth_error_text(), "tasks.slots.weight: 2: weights belong to weighting.method fixed");
        berth_config_free(c);
    }
}

/* ---- bad numbers */

/* Breaks a value before step `at`, mends it after: the numbers of one step are bad. */
static berth_status run_with_bad_step(struct world_run *r, int64_t at) {
    struct berth_trainer *t = r->trainer;
    struct berth_model *m = t->model;
    int bias = berth_model_find(m, "heads.slots.bias");
    float *value = NULL, kept = 0;
    while (stage_step(t) < t->recipe.total_steps) {
        bool bad = t->state.step + 1 == at;
        value = m->values + m->parameters[bias].offset;
        kept = *value;
        if (bad) *value = NAN;
        berth_status status = train_step(t);
        if (bad && t->recipe.on_nan != ON_NAN_REWIND) *value = kept;
        BERTH_TRY(status);
        if (t->state.step % 4 == 0) {
            t->state.rewind_step = t->state.step;
            BERTH_TRY(checkpoint_write(t));
        }
    }
    return BERTH_OK;
}

static void test_bad_step_is_skipped(void **state) {
    struct world_run r;
    run_make(&r, *state, "skip", "train.on_nan=skip", "train.nan_limit=3", NULL);
    assert_done(berth_trainer_start(r.trainer, false));
    assert_done(run_with_bad_step(&r, 6));
    assert_int_equal(r.trainer->state.step, 12);
    assert_int_equal(r.trainer->state.bad_steps, 0);
    int word = berth_model_find(r.trainer->model, "embeddings.word_embeddings.weight");
    assert_int_equal(r.trainer->store->steps[word], 11); /* nothing was learnt from one */
    run_free(&r);
    /* a model that is broken for good does not run on for ever */
    run_make(&r, *state, "skip_all", "train.on_nan=skip", "train.nan_limit=3", NULL);
    struct berth_model *m = r.trainer->model;
    m->values[m->parameters[berth_model_find(m, "heads.slots.bias")].offset] = NAN;
    assert_done(berth_trainer_start(r.trainer, false));
    assert_int_equal(berth_trainer_run(r.trainer), BERTH_E_NUMERIC);
    assert_text_has(berth_error_text(), "step 3: loss of task 'slots' is nan");
    assert_text_has(berth_error_text(), "3 bad steps in a row");
    run_free(&r);
}

/* The parameters of step 4 come back at the bad step 7; rows of steps 5 to 7 are not seen again. */
static void test_bad_step_rewinds(void **state) {
    struct world_run r;
    run_make(&r, *state, "rewind", "train.on_nan=rewind", "checkpoint.every=4 steps",
             "freeze=[{select: embeddings, until: 5 steps}]", "train.ema=0.9", NULL);
    struct berth_trainer *t = r.trainer;
    struct berth_model *m = t->model;
    float *at4 = NULL;
    int bias = berth_model_find(m, "heads.slots.bias"),
        word = berth_model_find(m, "embeddings.word_embeddings.weight");
    assert_done(berth_trainer_start(t, false));
    for (int step = 1; step <= 7; step++) {
        if (step == 7) m->values[m->parameters[bias].offset] = NAN;
        assert_done(train_step(t));
        assert_done(phase_update(t));
        if (step != 4) continue;
        t->state.rewind_step = 4;
        assert_done(checkpoint_write(t));
        at4 = model_values(m, NULL);
    }
    assert_memory_equal(at4, m->values, (size_t)m->total * sizeof *at4);
    assert_int_equal(t->state.step, 7);
    assert_int_equal(t->store->steps[bias], 4);
    assert_int_equal(t->store->steps[word], 0); /* thawed at 5, after the checkpoint: begins anew */
    assert_non_null(t->store->gradients[word]);
    assert_done(train_step(t));
    assert_int_equal(t->state.step, 8);
    free(at4);
    run_free(&r);
    run_make(&r, *state, "rewind_none", "train.on_nan=rewind", NULL);
    m = r.trainer->model;
    m->values[m->parameters[bias].offset] = NAN;
    assert_done(berth_trainer_start(r.trainer, false));
    assert_int_equal(berth_trainer_run(r.trainer), BERTH_E_NUMERIC);
    assert_text_has(berth_error_text(), "there is no checkpoint to go back to yet");
    run_free(&r);
}

/* Over a whole run: the value breaks after step 6, in a run never stopped and in one stopped by a signal at
 * step 5, whose own checkpoint must not be taken in the place of that of step 4. */
struct breaker {
    struct berth_trainer *trainer;
    int64_t stop_at;
};

static bool break_and_stop(void *user) {
    struct breaker *b = user;
    struct berth_model *m = b->trainer->model;
    if (b->trainer->state.step == 6)
        m->values[m->parameters[berth_model_find(m, "heads.slots.bias")].offset] = NAN;
    return b->stop_at > 0 && b->trainer->state.step == b->stop_at;
}

static berth_status run_broken(const struct world *w, const char *run, bool resume, int64_t stop_at) {
    struct breaker b = {.stop_at = stop_at};
    const struct berth_observer observer = {.user = &b, .stop_requested = break_and_stop};
    char output[600];
    snprintf(output, sizeof output, "output=%s/%s", w->folder, run);
    struct berth_config *c = world_config(w, output, "train.on_nan=rewind", "checkpoint.every=4 steps",
                                          "evaluate.every=99 steps", NULL);
    assert_done(berth_trainer_create(&b.trainer, c, &observer));
    berth_status status = berth_trainer_start(b.trainer, resume);
    if (status == BERTH_OK) status = berth_trainer_run(b.trainer);
    berth_trainer_free(b.trainer);
    berth_config_free(c);
    return status;
}

static void test_rewind_is_repeated(void **state) {
    struct world *w = *state;
    char *log = NULL;
    assert_int_equal(run_broken(w, "broken", false, 0), BERTH_OK);
    assert_int_equal(run_broken(w, "broken5", false, 5), BERTH_E_STOPPED);
    assert_int_equal(run_broken(w, "broken5", true, 0), BERTH_OK);
    assert_same_file(world_path(w, "broken/best/model.safetensors"),
                     world_path(w, "broken5/best/model.safetensors"));
    assert_same_checkpoint(world_path(w, "broken/checkpoints/step-12.h5"),
                           world_path(w, "broken5/checkpoints/step-12.h5"));
    assert_done(berth_file_read(&log, NULL, world_path(w, "broken/log.txt")));
    assert_text_has(log, "step 7: loss of task 'slots' is nan");
    assert_text_has(log, "parameters and optimizer state are those of step 4 again");
    free(log);
}

/* ---- cadence */

static void test_evaluations_by_tokens(void **state) {
    struct world_run r;
    run_make(&r, *state, "by_tokens", "evaluate.every=150 tokens", NULL);
    assert_done(berth_trainer_start(r.trainer, false));
    assert_done(berth_trainer_run(r.trainer));
    int64_t expected = r.trainer->state.tokens / 150 + (r.trainer->state.tokens % 150 != 0); /* and the end */
    assert_true(expected > 3 && expected < 12);
    assert_int_equal(r.evaluations, expected + 1); /* and test */
    run_free(&r);
}

/* Evaluations by the clock are told and change nothing: the bits of a run that evaluates at its end alone. */
static void test_evaluations_by_the_clock(void **state) {
    struct world *w = *state;
    struct world_run r;
    assert_int_equal(run_whole(w, "at_end", false, 0, "evaluate.every=99 steps", NULL), BERTH_OK);
    run_make(&r, w, "by_clock", "evaluate.every=0.0001 s", NULL);
    assert_done(berth_trainer_start(r.trainer, false));
    assert_done(berth_trainer_run(r.trainer));
    assert_true(r.evaluations > 5);
    assert_int_equal(r.trainer->state.best_step, 12);
    run_free(&r);
    assert_same_file(world_path(w, "at_end/best/model.safetensors"),
                     world_path(w, "by_clock/best/model.safetensors"));
    assert_same_checkpoint(world_path(w, "at_end/checkpoints/step-12.h5"),
                           world_path(w, "by_clock/checkpoints/step-12.h5"));
    struct berth_config *c = world_config(w, "evaluate.every=1 min", "evaluate.patience=2", NULL);
    struct berth_trainer *t = NULL;
    assert_int_equal(berth_trainer_create(&t, c, NULL), BERTH_E_USAGE);
    assert_text_has(berth_error_text(), "choose nothing");
    berth_config_free(c);
}

/* ---- test rows */

struct late_test {
    const struct world *w;
    int64_t notes;
};

/* Test files that cannot be read until the run says that its last checkpoint stands. */
static void mend_test(void *user, const char *line) {
    struct late_test *l = user;
    if (strstr(line, "step-12.h5") == NULL) return;
    world_write(l->w, "late.tsv", "sentence\tlabel\nthe film was good\tgood\nvery bad food\tbad\n");
    l->notes++;
}

static void test_rows_of_test_are_read_last(void **state) {
    struct world *w = *state;
    struct late_test late = {.w = w};
    const struct berth_observer observer = {.user = &late, .note = mend_test};
    struct berth_trainer *t = NULL;
    char output[600];
    snprintf(output, sizeof output, "output=%s/late", w->folder);
    world_write(w, "late.tsv", "no header that names a sentence\n\xff\xfe\n");
    struct berth_config *c = world_config(w, "data.mood.test=late.tsv", "data.talk.test=null", output, NULL);
    assert_done(berth_trainer_create(&t, c, &observer));
    assert_done(berth_trainer_start(t, false));
    assert_done(berth_trainer_run(t));
    assert_true(late.notes > 0);
    assert_true(berth_scores_find(berth_trainer_test_scores(t), "feeling", "rows") == 2.0);
    berth_trainer_free(t);
    berth_config_free(c);
}

/* ---- stages in the plan, and what a stage trains */

static void test_stage_trains_its_tasks(void **state) {
    struct world_run r;
    char *plan = NULL;
    run_make(
        &r, *state, "transfer",
        "stages=[{name: talk, tasks: [intent, slots], train: {epochs: 1, steps: null}}, {name: mood, tasks: "
        "[feeling], train: {steps: 4}, freeze: [{select: layers.0}]}]",
        "evaluate.every=2 steps", NULL);
    struct berth_trainer *t = r.trainer;
    int feeling = berth_model_find(t->model, "heads.feeling.weight"),
        intent = berth_model_find(t->model, "heads.intent.weight");
    assert_int_equal(t->stages[0].recipe.total_steps, 3); /* 24 rows by 8 */
    assert_int_equal(t->total_steps, 7);
    assert_null(t->store->gradients[feeling]);
    assert_done(berth_trainer_plan(t, &plan));
    assert_text_has(plan, "== stage 1 of 2: 'talk'; trains intent, slots");
    assert_text_has(plan, "== stage 2 of 2: 'mood'; trains feeling; starts from the last model of 'talk'");
    assert_text_has(plan, "not trained");
    free(plan);
    float *start = model_values(t->model, NULL);
    assert_done(berth_trainer_start(t, false));
    assert_done(berth_trainer_run(t));
    assert_int_equal(t->state.step, 7);
    assert_non_null(t->store->gradients[feeling]);
    assert_null(t->store->gradients[intent]);
    assert_false(is_same(t->model, start, "heads.intent") || is_same(t->model, start, "heads.feeling"));
    /* every stage evaluates every task: at steps 2, 3 of the first, 2, 4 of the second, and test */
    assert_int_equal(r.evaluations, 5);
    assert_true(berth_scores_find(berth_trainer_dev_scores(t), "intent", "rows") == 24.0);
    free(start);
    run_free(&r);
}

/* ---- sizes */

/* What the plan expects against what the device counted: within a quarter; the file within a tenth. */
static void check_sizes(struct world *w, const char *run, const char *freeze, const char *other) {
    struct world_run r;
    struct plan_sizes s;
    char *data = NULL;
    size_t bytes = 0;
    run_make(&r, w, run, "model.new={layers: 3, hidden: 256, heads: 4, intermediate: 1024, positions: 32}",
             "train.batch_size=24", "train.steps=3", freeze, other, NULL);
    assert_done(plan_sizes_estimate(&s, r.trainer));
    assert_done(berth_trainer_start(r.trainer, false));
    assert_done(berth_trainer_run(r.trainer));
    double expected = (double)(s.values + s.gradients + s.state + s.average + s.step + s.task_gradients);
    double peak =
        (double)r.trainer->device->bytes_peak - (double)s.values; /* of the best model, loaded for test */
    assert_done(berth_file_read(&data, &bytes, r.trainer->checkpoint));
    if (expected / peak < 0.75 || expected / peak > 1.25)
        fail_msg("%s: expected %.0f bytes, measured %.0f", run, expected, peak);
    if ((double)s.checkpoint / (double)bytes < 0.9 || (double)s.checkpoint / (double)bytes > 1.1)
        fail_msg("%s: a checkpoint of %zu bytes, expected %lld", run, bytes, (long long)s.checkpoint);
    assert_done(plan_check_disk(r.trainer, s.needed));
    assert_int_equal(plan_check_disk(r.trainer, s.needed - 1), BERTH_E_IO);
    assert_text_has(berth_error_text(), "the disk has");
    free(data);
    run_free(&r);
}

static void test_expected_sizes(void **state) {
    check_sizes(*state, "sizes", "freeze=[]", "train.ema=0.9");
    check_sizes(*state, "sizes_frozen", "freeze=[{select: embeddings}, {select: layers.0-1}]",
                "train.optimizer=sgd");
    check_sizes(*state, "sizes_recompute", "train.recompute=layers", "train.optimizer=sgd");
    check_sizes(*state, "sizes_by_task", "weighting.method=pcgrad", "train.optimizer=sgd");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resume_over_phases),
        cmocka_unit_test(test_resume_over_stages),
        cmocka_unit_test(test_resume_with_gradients_of_tasks),
        cmocka_unit_test(test_resume_with_learnt_weights),
        cmocka_unit_test(test_thaw_and_freeze),
        cmocka_unit_test(test_frozen_digest),
        cmocka_unit_test(test_uncertainty_formula),
        cmocka_unit_test(test_weights_are_refused),
        cmocka_unit_test(test_bad_step_is_skipped),
        cmocka_unit_test(test_bad_step_rewinds),
        cmocka_unit_test(test_rewind_is_repeated),
        cmocka_unit_test(test_evaluations_by_tokens),
        cmocka_unit_test(test_evaluations_by_the_clock),
        cmocka_unit_test(test_rows_of_test_are_read_last),
        cmocka_unit_test(test_stage_trains_its_tasks),
        cmocka_unit_test(test_expected_sizes),
    };
    return cmocka_run_group_tests_name("stages", tests, world_setup, world_teardown);
}
