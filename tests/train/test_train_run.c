/* test_train_run.c: whole runs in a small world: learning, freezing, mixing, selection, the run folder, bad
 * numbers. */
#include "support_train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "berth/file.h"
#include "berth/json.h"

static void run_started(struct world_run *r) {
    assert_done(berth_trainer_start(r->trainer, false));
    assert_done(berth_trainer_run(r->trainer));
}

/* 32 rows of three tasks are learnt by heart, mixed and one task a step. With one task a step the reviews have
 * a seventh of the steps, so it takes twice as many. With these settings each of 8 and 12 seeds had learnt all
 * rows at half of the steps; at a rate of 1e-2 and 300 steps, or with less, 2 of 8 had not, one task a step. */
static void test_memorises(void **state) {
    static const char *const mixes[] = {"sampling.mix=batch", "sampling.mix=step"};
    for (int i = 0; i < 2; i++) {
        struct world_run r;
        run_make(&r, *state, i == 0 ? "mixed" : "one_task", mixes[i],
                 i == 0 ? "train.steps=300" : "train.steps=600", "evaluate.every=150 steps",
                 "checkpoint.every=150 steps", "model.dropout=0", "model.attention_dropout=0", "train.lr=5e-3",
                 "tasks.feeling.weight=3", NULL);
        run_started(&r);
        const struct berth_scores *dev = berth_trainer_dev_scores(r.trainer);
        const struct berth_scores *test = berth_trainer_test_scores(r.trainer);
        if (!(r.last_loss < 0.1 * r.first_loss))
            fail_msg("%s: loss went from %g to %g", mixes[i], r.first_loss, r.last_loss);
        if (berth_scores_find(test, "mean", "metric") != 1.0)
            fail_msg("%s: mean %g, intent %g, slots %g, feeling %g", mixes[i],
                     berth_scores_find(test, "mean", "metric"), berth_scores_find(test, "intent", "accuracy"),
                     berth_scores_find(test, "slots", "span_f1"),
                     berth_scores_find(test, "feeling", "accuracy"));
        assert_true(berth_scores_find(dev, "feeling", "rows") == 8.0);
        assert_string_equal(test->list[0].task, "intent");
        assert_string_equal(test->list[0].split, "test");
        run_free(&r);
    }
}

static bool name_begins(const struct berth_model *m, int i, const char *prefix) {
    return strncmp(m->parameters[i].name, prefix, strlen(prefix)) == 0;
}

/* Frozen parameters keep their bits and own no gradient; the others learn. */
static void check_frozen(struct world *w, const char *run, const char *rules,
                         bool (*frozen)(const struct berth_model *, int)) {
    struct world_run r;
    run_make(&r, w, run, rules, "train.steps=6", "train.weight_decay=0.1", "evaluate.every=100 steps", NULL);
    const struct berth_model *m = r.trainer->model;
    float *before = model_values(m, NULL);
    int64_t trained = 0;
    run_started(&r);
    for (int i = 0; i < m->parameter_count; i++) {
        const struct berth_parameter *p = &m->parameters[i];
        bool same = memcmp(before + p->offset, m->values + p->offset, (size_t)p->count * sizeof(float)) == 0;
        if (same != frozen(m, i)) fail_msg("%s: %s %s", rules, p->name, same ? "did not learn" : "changed");
        if (!frozen(m, i)) trained += p->count;
        if (frozen(m, i)) assert_null(r.trainer->store->gradients[i]);
    }
    assert_true(r.trainer->store->grad_total <= trained + 16 * m->parameter_count);
    free(before);
    run_free(&r);
}
static bool in_backbone(const struct berth_model *m, int i) {
    return m->parameters[i].owner == 0;
}
static bool in_intent(const struct berth_model *m, int i) {
    return name_begins(m, i, "heads.intent.");
}
static bool in_lower_half(const struct berth_model *m, int i) {
    return name_begins(m, i, "embeddings.") || name_begins(m, i, "encoder.layer.0.");
}
static void test_freezing(void **state) {
    check_frozen(*state, "frozen_backbone", "freeze=[{select: backbone}]", in_backbone);
    check_frozen(*state, "frozen_head", "freeze=[{select: heads.intent}]", in_intent);
    check_frozen(*state, "frozen_half", "freeze=[{select: embeddings}, {select: layers.0}]", in_lower_half);
}

/* A pooler that no head uses is left alone: neither trained nor decayed. */
static void test_unused_pooler(void **state) {
    struct world_run r;
    run_make(&r, *state, "no_pooler", "tasks.intent.pooling=cls", "train.steps=3", NULL);
    int pooler = berth_model_find(r.trainer->model, "pooler.dense.weight");
    assert_true(pooler >= 0);
    assert_false(r.trainer->store->trainable[pooler]);
    run_free(&r);
}

/* Everything frozen: a run that only evaluates. */
static void test_all_frozen(void **state) {
    assert_int_equal(
        run_whole(*state, "all_frozen", false, 0, "freeze=[{select: \"*\"}]", "train.steps=2", NULL), BERTH_OK);
}

/* ---- the run folder */

static void test_folder_holds(void **state) {
    struct world *w = *state;
    static const char *const files[] = {
        "config.yaml",    "log.txt",          "metrics.jsonl",          "finished.json",
        "best/vocab.txt", "best/config.json", "best/model.safetensors", "checkpoints/step-12.h5"};
    assert_int_equal(run_whole(w, "folder", false, 0, NULL), BERTH_OK);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char name[128];
        snprintf(name, sizeof name, "folder/%s", files[i]);
        if (!berth_file_exists(world_path(w, name))) fail_msg("%s is missing", name);
    }
    assert_true(
        berth_file_exists(world_path(w, "folder/checkpoints/step-8.h5"))); /* keep: 3 of 1, 4, 5, 8, 10, 12 */
    assert_false(berth_file_exists(world_path(w, "folder/checkpoints/step-4.h5")));
    int64_t step = 0;
    assert_done(berth_checkpoint_newest(world_path(w, "folder"), &step));
    assert_int_equal(step, 12);
    /* a second run is refused, a resumed finished one is over at once and changes nothing */
    char *before = read_metrics(world_path(w, "folder/metrics.jsonl"));
    assert_int_equal(run_whole(w, "folder", false, 0, NULL), BERTH_E_EXISTS);
    assert_non_null(strstr(berth_error_text(), "--resume"));
    assert_int_equal(run_whole(w, "folder", true, 0, NULL), BERTH_OK);
    char *after = read_metrics(world_path(w, "folder/metrics.jsonl"));
    assert_string_equal(before, after);
    free(before);
    free(after);
}

static void test_metrics_lines(void **state) {
    struct world *w = *state;
    int64_t steps = 0, evaluations = 0, tests = 0;
    assert_int_equal(run_whole(w, "metrics", false, 0, NULL), BERTH_OK);
    char *text = read_metrics(world_path(w, "metrics/metrics.jsonl")), *rest = NULL;
    for (char *p = text; (p = strstr(p, "second\":,")) != NULL;) /* what read_metrics took out */
        memcpy(p, "secon\":1,", 9);
    for (char *p = text; (p = strstr(p, "utilisation\":,")) != NULL;)
        memcpy(p, "utilisatio\":1,", 14);
    for (char *p = text; (p = strstr(p, "input_wait\":,")) != NULL;)
        memcpy(p, "input_wai\":1,", 13);
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        struct berth_json *j = NULL;
        const char *type = NULL;
        double number = 0;
        assert_done(berth_json_parse(&j, "line", line, strlen(line)));
        assert_done(berth_json_string(&type, j, "type"));
        if (strcmp(type, "step") == 0) {
            assert_done(berth_json_number(&number, j, "tasks.intent.loss"));
            assert_true(number > 0);
            assert_done(berth_json_number(&number, j, "tasks.slots.weight"));
            assert_true(number == 1);
            assert_true(berth_json_has(j, "input_wai"));
            assert_done(berth_json_number(&number, j, "grad_norm"));
            steps++;
        } else {
            const char *split = NULL;
            assert_done(berth_json_string(&split, j, "split"));
            assert_done(berth_json_number(&number, j, "scores.slots.span_f1"));
            assert_done(berth_json_number(&number, j, "scores.mean.metric"));
            assert_true(berth_json_has(j, "best"));
            evaluations += strcmp(split, "dev") == 0;
            tests += strcmp(split, "test") == 0;
        }
        berth_json_free(j);
    }
    assert_int_equal(steps, 6); /* 3, 5 (evaluation), 6, 9, 10 (evaluation), 12 */
    assert_int_equal(evaluations, 3);
    assert_int_equal(tests, 1);
    free(text);
}

static void test_locked_folder(void **state) {
    struct world_run r;
    run_make(&r, *state, "locked", NULL);
    assert_done(berth_trainer_start(r.trainer, false));
    assert_int_equal(run_whole(*state, "locked", true, 0, NULL), BERTH_E_EXISTS);
    assert_non_null(strstr(berth_error_text(), "in use"));
    run_free(&r);
    assert_int_equal(run_whole(*state, "locked", true, 0, NULL), BERTH_OK); /* the lock went with its owner */
}

static void test_patience(void **state) {
    struct world_run r;
    run_make(&r, *state, "patience", "train.lr=0", "train.steps=40", "evaluate.every=2 steps",
             "evaluate.patience=3", NULL);
    run_started(&r);
    assert_int_equal(r.trainer->state.step, 8); /* best at 2, then 4, 6, 8 without a better one */
    assert_int_equal(r.trainer->state.best_step, 2);
    assert_int_equal(r.evaluations, 5); /* four on dev, one on test */
    run_free(&r);
}

static void test_without_dev(void **state) {
    struct world *w = *state;
    assert_int_equal(run_whole(w, "no_dev", false, 0, "data.talk.dev=null", "data.mood.dev=null", NULL),
                     BERTH_OK);
    assert_true(berth_file_exists(world_path(w, "no_dev/best/model.safetensors")));
}

/* Dev rows of one task carry no label: the mean is that of the others, and its score cannot choose. */
static void test_dev_without_labels(void **state) {
    struct world *w = *state;
    struct world_run r;
    struct berth_trainer *t = NULL;
    world_write(w, "bare.tsv", "sentence\tlabel\nthe film was good\t\nvery bad food\t\n");
    run_make(&r, w, "bare_dev", "data.mood.dev=bare.tsv", "evaluate.patience=1", "train.lr=1e-2", NULL);
    run_started(&r);
    const struct berth_scores *dev = berth_trainer_dev_scores(r.trainer);
    double mean = berth_scores_find(dev, "mean", "metric");
    double others =
        (berth_scores_find(dev, "intent", "accuracy") + berth_scores_find(dev, "slots", "span_f1")) / 2;
    if (!(fabs(mean - others) < 1e-12)) fail_msg("mean %g, of the labelled tasks %g", mean, others);
    assert_true(r.trainer->state.best_step > 0);
    run_free(&r);

    struct berth_config *c = world_config(w, "data.mood.dev=bare.tsv", "evaluate.metric=feeling", NULL);
    assert_int_equal(berth_trainer_create(&t, c, NULL), BERTH_E_USAGE);
    assert_text_has(berth_error_text(), "evaluate.metric");
    assert_text_has(berth_error_text(), "no dev row carries its label");
    berth_config_free(c);
    c = world_config(w, "data.mood.dev=bare.tsv", "data.talk.dev=null", NULL);
    assert_int_equal(berth_trainer_create(&t, c, NULL), BERTH_E_USAGE);
    assert_text_has(berth_error_text(), "evaluate.metric");
    berth_config_free(c);
}

/* A source that no task reads is left alone. */
static void test_unread_source(void **state) {
    assert_int_equal(run_whole(*state, "unread", false, 0, "train.steps=2",
                               "data.spare={format: tsv, text: sentence, dev: mood.tsv}", NULL),
                     BERTH_OK);
    assert_int_equal(run_whole(*state, "unread_train", false, 0, "train.steps=2",
                               "data.spare={format: tsv, text: sentence, train: mood.tsv}", NULL),
                     BERTH_OK);
}

/* ---- durations */

static void test_durations(void **state) {
    struct world_run r;
    run_make(&r, *state, "durations", "train.steps=null", "train.epochs=2.5", "evaluate.every=0.5 epochs",
             "checkpoint.every=1 epoch", "checkpoint.keep=9", NULL);
    assert_int_equal(r.trainer->recipe.total_steps, 10); /* 32 rows in batches of 8: 4 steps an epoch */
    run_started(&r);
    assert_int_equal(r.evaluations, 5 + 1);
    assert_true(berth_file_exists(world_path(*state, "durations/checkpoints/step-4.h5")));
    assert_true(berth_file_exists(world_path(*state, "durations/checkpoints/step-8.h5")));
    assert_true(berth_file_exists(world_path(*state, "durations/checkpoints/step-10.h5")));
    run_free(&r);
}

/* ---- what is refused, and bad numbers */

static void test_refused_settings(void **state) {
    static const struct {
        const char *override, *text;
    } bad[] = {
        {"freeze=[{select: pooler, until: 10 s}]", "freeze[0].until"},
        {"train.groups=[{select: layers.9, lr: 1}]", "train.groups[0].select"},
        {"stages=[{name: a, tasks: [nothing]}]", "stages[0].tasks"},
        {"stages=[{name: a}, {name: a}]", "stages[1].name"},
        {"evaluate.metric=nothing", "neither 'mean' nor a task"},
        {"tasks.intent.metric=span_f1", "tasks.intent.metric"},
        {"model.max_length=64", "positions"},
        {"model.new.heads=3", "multiple"},
        {"train.warmup=13", "warm"},
        {"train.batch_tokens=17", "less than one sequence"},
        {"freeze=[{select: layers.2}]", "freeze[0].select"},
        {"data.mood.train=null", "data.mood"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        bool by_tokens = strncmp(bad[i].override, "train.batch_tokens", 18) == 0;
        struct berth_config *c = world_config(
            *state, bad[i].override, by_tokens ? "train.batch_size=null" : NULL, "model.max_length=20", NULL);
        struct berth_trainer *t = NULL;
        berth_status status = berth_trainer_create(&t, c, NULL);
        if (status != BERTH_E_USAGE || strstr(berth_error_text(), bad[i].text) == NULL) {
            fail_msg("%s: %s: %s", bad[i].override, berth_status_name(status), berth_error_text());
        }
        berth_config_free(c);
    }
}

static void test_output_is_needed(void **state) {
    struct berth_config *c = world_config(*state, NULL);
    struct berth_trainer *t = NULL;
    assert_done(berth_trainer_create(&t, c, NULL)); /* a plan needs no folder */
    assert_int_equal(berth_trainer_start(t, false), BERTH_E_USAGE);
    assert_non_null(strstr(berth_error_text(), "output"));
    berth_trainer_free(t);
    berth_config_free(c);
}

static void test_nan_loss_stops(void **state) {
    struct world *w = *state;
    struct world_run r;
    run_make(&r, w, "nan", NULL);
    struct berth_model *m = r.trainer->model;
    int bias = berth_model_find(m, "heads.slots.bias");
    m->values[m->parameters[bias].offset] = NAN;
    float *before = model_values(m, NULL);
    assert_done(berth_trainer_start(r.trainer, false));
    assert_int_equal(berth_trainer_run(r.trainer), BERTH_E_NUMERIC);
    const char *text = berth_error_text();
    if (strstr(text, "step 1: loss of task 'slots' is nan; nothing was changed; last checkpoint: none") == NULL)
        fail_msg("%s", text);
    assert_memory_equal(before, m->values, (size_t)m->total * sizeof *before);
    free(before);
    run_free(&r);
}

static void test_plan_tells(void **state) {
    static const char *const parts[] = {"talk",           "mood",   "24",         "intent",
                                        "share x weight", "0.250",  "embeddings", "layers.1",
                                        "heads.feeling",  "frozen", "4 an epoch", "12 together"};
    struct world_run r;
    char *text = NULL;
    run_make(&r, *state, "plan", "freeze=[{select: layers.0}]", NULL);
    assert_done(berth_trainer_plan(r.trainer, &text));
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (strstr(text, parts[i]) == NULL) fail_msg("'%s' is not in the plan:\n%s", parts[i], text);
    }
    assert_false(berth_file_exists(world_path(*state, "plan")));
    free(text);
    run_free(&r);
}

static void assert_plan(const struct world *w, const char *part, const char *override, const char *other) {
    struct world_run r;
    char *text = NULL;
    run_make(&r, w, "plans", override, other, NULL);
    assert_done(berth_trainer_plan(r.trainer, &text));
    assert_text_has(text, part);
    free(text);
    run_free(&r);
}

static void assert_plan_lacks(const struct world *w, const char *part, const char *override,
                              const char *other) {
    struct world_run r;
    char *text = NULL;
    run_make(&r, w, "plans", override, other, NULL);
    assert_done(berth_trainer_plan(r.trainer, &text));
    if (strstr(text, part) != NULL) fail_msg("'%s' is in: %s", part, text);
    free(text);
    run_free(&r);
}

/* Multiples of keep_every are never removed: 12 of them in 12 steps. */
static void test_plan_disk(void **state) {
    struct plan_sizes sizes[2];
    for (int i = 0; i < 2; i++) {
        struct world_run r;
        run_make(&r, *state, "plans", i == 0 ? "checkpoint.keep_every=0" : "checkpoint.keep_every=1", NULL);
        assert_done(plan_sizes_estimate(&sizes[i], r.trainer));
        run_free(&r);
    }
    assert_true(sizes[1].needed - sizes[0].needed == 12 * sizes[0].checkpoint);
}

/* The share is the factor in the loss: of drawn rows in mixed batches, 1 where a step is of one task. */
static void test_plan_shares(void **state) {
    struct world *w = *state;
    world_write(w, "half.tsv",
                "sentence\tlabel\nthe film was good\tgood\nthe film was bad\tbad\na\t\nthe\t\n"
                "food\t\nmusic\t\nnoon\t\nrome\t\n");
    assert_plan(w, "         2        3    0.077        1           0.077\n", "data.mood.train=half.tsv", NULL);
    assert_plan(w, "         8     1.71    1.000        3           3.000\n", "sampling.mix=step",
                "tasks.feeling.weight=3");
    assert_plan(w, "rows of one task", "sampling.mix=step", NULL);
    /* rows, an epoch, share, times a row, in the stage: 12 steps of 8 rows are 2 epochs of 48 */
    assert_plan(w, "mood           source           8          24    0.500            3             6\n",
                "sampling.units.mood={ratio: 3}", NULL);
    assert_plan(w, "feeling        task             8           8    0.143            1          1.71\n",
                "sampling.mix=step", NULL);
    assert_plan(w, "altered of source mood: all of its draws: delete 0.25, swap 0.5\n",
                "data.mood.augment={delete: 0.25, swap: 0.5}", NULL);
    assert_plan(w, "altered of source mood: a row's second and later draws of an epoch: mask 0.5\n",
                "data.mood.augment={mask: 0.5}", "sampling.units.mood={ratio: 2, more: augmentation}");
    assert_plan(w, ", sums of parts ", "deterministic=strict", "train.accumulate=4");
    assert_plan_lacks(w, ", sums of parts ", "deterministic=strict", "train.accumulate=1");
    assert_plan(w, "altered of source mood: 0.3 of its draws: mask 0.5\n",
                "data.mood.augment={mask: 0.5, share: 0.3}", NULL);
}

/* A trained model goes on under another configuration: its heads come along, unnamed ones are dropped. */
static void test_from_trained_model(void **state) {
    struct world *w = *state;
    struct world_run r;
    char backbone[600];
    assert_int_equal(run_whole(w, "first", false, 0, NULL), BERTH_OK);
    snprintf(backbone, sizeof backbone, "model.backbone=%s/first/best", w->folder);
    run_make(&r, w, "second", "model.new=null", "model.vocab=null", backbone, "tasks.slots=null", NULL);
    const struct berth_model *m = r.trainer->model;
    assert_int_equal(m->head_count, 2);
    assert_string_equal(m->heads[0].task.name, "intent");
    assert_string_equal(m->heads[1].task.name, "feeling");
    assert_true(m->parameters[berth_model_find(m, "heads.feeling.weight")].loaded);
    run_started(&r);
    run_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memorises),          cmocka_unit_test(test_freezing),
        cmocka_unit_test(test_unused_pooler),      cmocka_unit_test(test_all_frozen),
        cmocka_unit_test(test_folder_holds),       cmocka_unit_test(test_metrics_lines),
        cmocka_unit_test(test_locked_folder),      cmocka_unit_test(test_patience),
        cmocka_unit_test(test_without_dev),        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_refused_settings),   cmocka_unit_test(test_output_is_needed),
        cmocka_unit_test(test_nan_loss_stops),     cmocka_unit_test(test_plan_tells),
        cmocka_unit_test(test_from_trained_model), cmocka_unit_test(test_plan_shares),
        cmocka_unit_test(test_plan_disk),          cmocka_unit_test(test_dev_without_labels),
        cmocka_unit_test(test_unread_source),
    };
    return cmocka_run_group_tests_name("train_run", tests, world_setup, world_teardown);
}
