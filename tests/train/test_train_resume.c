/* test_train_resume.c: a run stopped at any step and resumed ends with the bits of one that never stopped. */
#include "support_train.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "berth/file.h"
#include "berth/h5.h"

/* The datasets of two checkpoints that make up the state. */
static void assert_same_checkpoint(const char *a, const char *b) {
    struct berth_h5 *x = NULL, *y = NULL;
    assert_done(berth_h5_open(&x, a, "checkpoint", 2));
    assert_done(berth_h5_open(&y, b, "checkpoint", 2));
    assert_int_equal(berth_h5_dataset_count(x), berth_h5_dataset_count(y));
    for (size_t i = 0; i < berth_h5_dataset_count(x); i++) {
        const struct berth_h5_dataset *d = berth_h5_dataset(x, i), *e = berth_h5_find(y, d->name);
        assert_non_null(e);
        assert_int_equal(d->count, e->count);
        if (strcmp(d->name, "digests") == 0) continue; /* of the state, too */
        /* Of the state, all but the size of metrics.jsonl: a speed may have more digits. */
        if (strcmp(d->name, "state") == 0) {
            const int64_t *p = d->data, *q = e->data;
            for (int64_t k = 0; k < d->count; k++) {
                if (k != 6 && p[k] != q[k])
                    fail_msg("state[%lld]: %lld, %lld", (long long)k, (long long)p[k], (long long)q[k]);
            }
            continue;
        }
        if (d->count > 0 && memcmp(d->data, e->data, (size_t)d->count * berth_h5_type_size(d->type)) != 0)
            fail_msg("%s and %s differ in '%s'", a, b, d->name);
    }
    berth_h5_close(x);
    berth_h5_close(y);
}

static void assert_same_run(const struct world *w, const char *a, const char *b) {
    char x[96], y[96];
    snprintf(x, sizeof x, "%s/best/model.safetensors", a);
    snprintf(y, sizeof y, "%s/best/model.safetensors", b);
    assert_same_file(world_path(w, x), world_path(w, y));
    snprintf(x, sizeof x, "%s/checkpoints/step-12.h5", a);
    snprintf(y, sizeof y, "%s/checkpoints/step-12.h5", b);
    assert_same_checkpoint(world_path(w, x), world_path(w, y));
    snprintf(x, sizeof x, "%s/finished.json", a);
    snprintf(y, sizeof y, "%s/finished.json", b);
    assert_same_file(world_path(w, x), world_path(w, y));
    snprintf(x, sizeof x, "%s/metrics.jsonl", a);
    snprintf(y, sizeof y, "%s/metrics.jsonl", b);
    char *p = read_metrics(world_path(w, x)), *q = read_metrics(world_path(w, y));
    assert_string_equal(p, q);
    free(p);
    free(q);
}

#define SETTINGS "evaluate.every=5 steps", "checkpoint.every=4 steps", "train.accumulate=2"

static int setup(void **state) {
    if (world_setup(state) != 0) return -1;
    assert_int_equal(run_whole(*state, "whole", false, 0, SETTINGS, NULL), BERTH_OK);
    return 0;
}

static void test_stop_at_each_step(void **state) {
    struct world *w = *state;
    for (int64_t step = 1; step < 12; step++) {
        char run[32];
        snprintf(run, sizeof run, "stop%d", (int)step);
        assert_int_equal(run_whole(w, run, false, step, SETTINGS, NULL), BERTH_E_STOPPED);
        assert_non_null(strstr(berth_error_text(), "--resume"));
        assert_int_equal(run_whole(w, run, true, 0, SETTINGS, NULL), BERTH_OK);
        assert_same_run(w, "whole", run);
    }
}

static void test_stop_after_every_step(void **state) {
    int64_t step = 1;
    while (run_whole(*state, "often", true, step, SETTINGS, NULL) == BERTH_E_STOPPED)
        step++;
    assert_int_equal(step, 12);
    assert_same_run(*state, "whole", "often");
}

static void test_stop_with_one_task_a_step(void **state) {
    assert_int_equal(run_whole(*state, "tasks", false, 0, "sampling.mix=step", "train.batch_size=3", NULL),
                     BERTH_OK);
    assert_int_equal(run_whole(*state, "tasks7", false, 7, "sampling.mix=step", "train.batch_size=3", NULL),
                     BERTH_E_STOPPED);
    assert_int_equal(run_whole(*state, "tasks7", true, 0, "sampling.mix=step", "train.batch_size=3", NULL),
                     BERTH_OK);
    assert_same_run(*state, "tasks", "tasks7");
}

#define ALTERED                                                                                                \
    SETTINGS, "data.talk.augment.entity=0.5", "data.talk.augment.delete=0.2", "data.talk.augment.swap=0.2",    \
        "data.mood.augment.mask=0.3", "sampling.units.mood.ratio=3", "sampling.units.mood.more=augmentation"

/* Rows altered at random are the same rows after a stop, at any thread count; and they are altered. */
static void test_altered_rows_resume(void **state) {
    struct world *w = *state;
    assert_int_equal(run_whole(w, "altered", false, 0, ALTERED, NULL), BERTH_OK);
    for (int64_t step = 1; step < 12; step += 3) {
        char run[32];
        snprintf(run, sizeof run, "altered%d", (int)step);
        assert_int_equal(run_whole(w, run, false, step, ALTERED, "threads=3", NULL), BERTH_E_STOPPED);
        assert_int_equal(run_whole(w, run, true, 0, ALTERED, NULL), BERTH_OK);
        assert_same_run(w, "altered", run);
    }
    assert_int_equal(run_whole(w, "repeated", false, 0, SETTINGS, "sampling.units.mood.ratio=3", NULL),
                     BERTH_OK);
    char *with = read_metrics(world_path(w, "altered/metrics.jsonl"));
    char *without = read_metrics(world_path(w, "repeated/metrics.jsonl"));
    assert_string_not_equal(with, without);
    free(with);
    free(without);
}

static void test_early_stopped_run_resumes(void **state) {
    /* stopped while it waits for its end by patience */
    assert_int_equal(run_whole(*state, "early", false, 0, "train.lr=0", "evaluate.every=2 steps",
                               "evaluate.patience=3", NULL),
                     BERTH_OK);
    assert_int_equal(run_whole(*state, "early5", false, 5, "train.lr=0", "evaluate.every=2 steps",
                               "evaluate.patience=3", NULL),
                     BERTH_E_STOPPED);
    assert_int_equal(run_whole(*state, "early5", true, 0, "train.lr=0", "evaluate.every=2 steps",
                               "evaluate.patience=3", NULL),
                     BERTH_OK);
    assert_same_file(world_path(*state, "early/finished.json"), world_path(*state, "early5/finished.json"));
}

static void flip_byte(const char *path, int64_t offset) {
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, (long)offset, SEEK_SET), 0);
    int c = fgetc(f);
    assert_int_equal(fseek(f, (long)offset, SEEK_SET), 0);
    assert_true(fputc(c ^ 0x40, f) != EOF);
    assert_int_equal(fclose(f), 0);
}

/* A damaged or cut checkpoint is passed over; where none is good the run does not begin anew over them. */
static void test_damaged_checkpoints(void **state) {
    struct world *w = *state;
    int64_t step = 0;
    /* 8, 9 and, of the best model, 5 */
    assert_int_equal(run_whole(w, "bad", false, 9, SETTINGS, NULL), BERTH_E_STOPPED);
    flip_byte(world_path(w, "bad/checkpoints/step-9.h5"), 20000);
    assert_done(berth_checkpoint_newest(world_path(w, "bad"), &step));
    assert_int_equal(step, 8);
    assert_done(berth_file_truncate(world_path(w, "bad/checkpoints/step-8.h5"), 9000));
    assert_done(berth_checkpoint_newest(world_path(w, "bad"), &step));
    assert_int_equal(step, 5);
    assert_int_equal(run_whole(w, "bad", true, 0, SETTINGS, NULL), BERTH_OK);
    assert_same_run(w, "whole", "bad");

    assert_int_equal(run_whole(w, "worse", false, 3, SETTINGS, NULL), BERTH_E_STOPPED);
    assert_done(berth_file_truncate(world_path(w, "worse/checkpoints/step-3.h5"), 0));
    assert_int_equal(unlink(world_path(w, "worse/checkpoints/step-1.h5")), 0);
    assert_done(berth_checkpoint_newest(world_path(w, "worse"), &step));
    assert_int_equal(step, -1);
    char *before = read_metrics(world_path(w, "worse/metrics.jsonl"));
    assert_int_equal(run_whole(w, "worse", true, 0, SETTINGS, NULL), BERTH_E_FORMAT);
    assert_text_has(berth_error_text(), "no checkpoint can be read, the newest: ");
    assert_text_has(berth_error_text(), "step-3.h5");
    assert_null(strchr(berth_error_text(), '\n'));
    char *after = read_metrics(world_path(w, "worse/metrics.jsonl"));
    assert_string_equal(before, after);
    free(before);
    free(after);
    assert_int_equal(unlink(world_path(w, "worse/checkpoints/step-3.h5")), 0);
    assert_int_equal(run_whole(w, "worse", true, 0, SETTINGS, NULL), BERTH_OK);
    assert_same_run(w, "whole", "worse");
}

/* A checkpoint of a later version is not damage: the one before it must not be taken. */
static void test_newer_checkpoint(void **state) {
    struct world *w = *state;
    struct berth_h5_writer *h5 = NULL;
    int64_t step = 0;
    assert_int_equal(run_whole(w, "newer", false, 5, SETTINGS, NULL), BERTH_E_STOPPED);
    assert_done(berth_h5_create(&h5, world_path(w, "newer/checkpoints/step-6.h5"), "checkpoint", 99));
    assert_done(berth_h5_put_text(h5, "meta", "{}"));
    assert_done(berth_h5_commit(&h5));
    assert_int_equal(berth_checkpoint_newest(world_path(w, "newer"), &step), BERTH_E_VERSION);
    assert_int_equal(run_whole(w, "newer", true, 0, SETTINGS, NULL), BERTH_E_VERSION);
    assert_text_has(berth_error_text(), "step-6.h5: written by a newer berth: version 99");
    assert_true(berth_file_exists(world_path(w, "newer/checkpoints/step-6.h5")));
}

/* What a killed process leaves behind: half a metrics line, temporary files, lines of steps that are taken
 * again. */
static void test_left_overs_of_a_kill(void **state) {
    struct world *w = *state;
    assert_int_equal(run_whole(w, "killed", false, 6, SETTINGS, NULL), BERTH_E_STOPPED);
    assert_done(berth_file_append_line(world_path(w, "killed/metrics.jsonl"), "{\"type\":\"step\",\"st"));
    world_write(w, "killed/checkpoints/step-8.h5.tmp.123", "half");
    world_write(w, "killed/finished.json.tmp.host-12-a9f", "half");
    world_write(w, "killed/notes.tmp.1", "the user's own");
    world_write(w, "killed/checkpoints/step-x.h5.tmp.1", "the user's own");
    assert_done(berth_make_folders(world_path(w, "killed/best.tmp.77")));
    world_write(w, "killed/best.tmp.77/model.safetensors", "half");
    assert_int_equal(rename(world_path(w, "killed/best"), world_path(w, "killed/best.old.5")), 0);
    assert_int_equal(run_whole(w, "killed", true, 0, SETTINGS, NULL), BERTH_OK);
    assert_same_run(w, "whole", "killed");
    assert_false(berth_file_exists(world_path(w, "killed/checkpoints/step-8.h5.tmp.123")));
    assert_false(berth_file_exists(world_path(w, "killed/finished.json.tmp.host-12-a9f")));
    assert_true(berth_file_exists(world_path(w, "killed/notes.tmp.1")));
    assert_true(berth_file_exists(world_path(w, "killed/checkpoints/step-x.h5.tmp.1")));
    assert_false(berth_file_exists(world_path(w, "killed/best.tmp.77")));
    assert_false(berth_file_exists(world_path(w, "killed/best.old.5")));
}

/* --resume with a folder that is not a run's changes nothing in it. */
static void test_folder_of_others(void **state) {
    struct world *w = *state;
    assert_done(berth_make_folders(world_path(w, "photos/best.tmp.1")));
    world_write(w, "photos/best.tmp.1/sea.jpg", "x");
    assert_int_equal(run_whole(w, "photos", true, 0, SETTINGS, NULL), BERTH_E_EXISTS);
    assert_text_has(berth_error_text(), "holds 'best.tmp.1' and no config.yaml");
    assert_true(berth_file_exists(world_path(w, "photos/best.tmp.1/sea.jpg")));
    assert_false(berth_file_exists(world_path(w, "photos/.lock")));
    assert_false(berth_file_exists(world_path(w, "photos/checkpoints")));
    /* one with a config.yaml of its own */
    assert_done(berth_make_folders(world_path(w, "site/best.tmp.1")));
    world_write(w, "site/config.yaml", "title: my pages\n");
    assert_int_equal(run_whole(w, "site", true, 0, SETTINGS, NULL), BERTH_E_USAGE);
    assert_true(berth_file_exists(world_path(w, "site/best.tmp.1")));
    /* checkpoints whose config.yaml is gone */
    assert_int_equal(run_whole(w, "bare", false, 3, SETTINGS, NULL), BERTH_E_STOPPED);
    assert_int_equal(unlink(world_path(w, "bare/config.yaml")), 0);
    assert_int_equal(run_whole(w, "bare", true, 0, SETTINGS, NULL), BERTH_E_EXISTS);
    assert_true(berth_file_exists(world_path(w, "bare/checkpoints/step-3.h5")));
    /* killed before its config.yaml was there */
    assert_done(berth_make_folders(world_path(w, "begun/checkpoints")));
    world_write(w, "begun/.lock", "");
    world_write(w, "begun/config.yaml.tmp.h-1-2", "half");
    assert_int_equal(run_whole(w, "begun", true, 0, SETTINGS, NULL), BERTH_OK);
    assert_same_run(w, "whole", "begun");
    assert_false(berth_file_exists(world_path(w, "begun/config.yaml.tmp.h-1-2")));
}

/* ---- what a run was made from */

/* Puts `to` in the place of the only `from` in a file of the world; returns what the file held. */
static char *replace(const struct world *w, const char *name, const char *from, const char *to) {
    char *text = NULL;
    size_t size = 0;
    struct berth_str s;
    berth_str_init(&s);
    assert_done(berth_file_read(&text, &size, world_path(w, name)));
    char *at = strstr(text, from);
    if (at == NULL) fail_msg("'%s' is not in %s:\n%s", from, name, text);
    berth_str_addn(&s, text, (size_t)(at - text));
    berth_str_addf(&s, "%s%s", to, at + strlen(from));
    world_write(w, name, s.data);
    berth_str_deinit(&s);
    return text;
}

static void put_back(const struct world *w, const char *name, char *text) {
    world_write(w, name, text);
    free(text);
}

static void assert_not_resumed(const struct world *w, const char *run, const char *why) {
    assert_int_equal(run_whole(w, run, true, 0, SETTINGS, NULL), BERTH_E_USAGE);
    assert_text_has(berth_error_text(), why);
}

static void test_changed_data(void **state) {
    struct world *w = *state;
    assert_int_equal(run_whole(w, "data", false, 5, SETTINGS, NULL), BERTH_E_STOPPED);
    char *mood = replace(w, "mood.tsv", "bad music\tbad", "bad food\tbad"); /* as many rows, the same labels */
    assert_not_resumed(w, "data", "source 'mood', split train: the data changed since this run began");
    assert_not_resumed(w, "whole", "source 'mood', split train: the data changed since this run began");
    put_back(w, "mood.tsv", mood);
    char *vocab = replace(w, "vocab.txt", "\nnoon\n", "\nmoon\n");
    assert_not_resumed(w, "data", "the tokenizer changed since this run began");
    put_back(w, "vocab.txt", vocab);
    assert_int_equal(run_whole(w, "data", true, 0, SETTINGS, NULL), BERTH_OK);
    assert_same_run(w, "whole", "data");
}

static berth_status run_on(const struct world *w, const char *run, bool resume, int64_t stop_at) {
    char backbone[600];
    snprintf(backbone, sizeof backbone, "model.backbone=%s/base/best", w->folder);
    return run_whole(w, run, resume, stop_at, "model.new=null", "model.vocab=null", backbone, NULL);
}

/* A backbone's folder decides of the order of labels and of the model's configuration. */
static void test_changed_backbone(void **state) {
    struct world *w = *state;
    assert_int_equal(run_whole(w, "base", false, 0, "train.steps=3", NULL), BERTH_OK);
    assert_int_equal(run_on(w, "tuned", false, 5), BERTH_E_STOPPED);
    char *heads = replace(w, "base/best/berth_heads.json", "\"bad\"", "\"swap\"");
    free(replace(w, "base/best/berth_heads.json", "\"good\"", "\"bad\""));
    free(replace(w, "base/best/berth_heads.json", "\"swap\"", "\"good\""));
    assert_int_equal(run_on(w, "tuned", true, 0), BERTH_E_USAGE);
    assert_text_has(berth_error_text(), "task 'feeling': the list of labels changed");
    put_back(w, "base/best/berth_heads.json", heads);
    char *config = replace(w, "base/best/config.json", "\"hidden_act\": \"gelu\"", "\"hidden_act\": \"relu\"");
    assert_int_equal(run_on(w, "tuned", true, 0), BERTH_E_USAGE);
    assert_text_has(berth_error_text(), "the backbone's activation changed");
    put_back(w, "base/best/config.json", config);
    assert_int_equal(run_on(w, "tuned", true, 0), BERTH_OK);
}

/* Killed after the last checkpoint and before the end was marked. */
static void test_end_is_repeated(void **state) {
    struct world *w = *state;
    assert_int_equal(run_whole(w, "end", false, 0, SETTINGS, NULL), BERTH_OK);
    assert_int_equal(unlink(world_path(w, "end/finished.json")), 0);
    assert_int_equal(run_whole(w, "end", true, 0, SETTINGS, NULL), BERTH_OK);
    assert_same_run(w, "whole", "end");
}

static void test_other_configuration(void **state) {
    struct world *w = *state;
    struct world_run r;
    assert_int_equal(run_whole(w, "other", false, 5, SETTINGS, NULL), BERTH_E_STOPPED);
    run_make(&r, w, "other", SETTINGS, "train.lr=1e-3", NULL);
    assert_int_equal(berth_trainer_start(r.trainer, true), BERTH_E_USAGE);
    if (strstr(berth_error_text(), "'train.lr'") == NULL) fail_msg("%s", berth_error_text());
    run_free(&r);
    run_make(&r, w, "other", SETTINGS, "freeze=[{select: embeddings}]", NULL);
    assert_int_equal(berth_trainer_start(r.trainer, true), BERTH_E_USAGE);
    if (strstr(berth_error_text(), "freeze") == NULL) fail_msg("%s", berth_error_text());
    run_free(&r);
    /* which checkpoint is gone back to does change the result where that is asked for */
    assert_int_equal(run_whole(w, "rewinds", false, 5, SETTINGS, "train.on_nan=rewind", NULL), BERTH_E_STOPPED);
    run_make(&r, w, "rewinds", "train.accumulate=2", "evaluate.every=5 steps", "train.on_nan=rewind",
             "checkpoint.every=3 steps", NULL);
    assert_int_equal(berth_trainer_start(r.trainer, true), BERTH_E_USAGE);
    if (strstr(berth_error_text(), "checkpoint.every") == NULL) fail_msg("%s", berth_error_text());
    run_free(&r);
    /* what does not change the result may change, and a number may be written in another way */
    assert_int_equal(run_whole(w, "other", true, 0, SETTINGS, "checkpoint.keep=1", "threads=1",
                               "train.lr=0.002", "train.warmup=2.0", "tasks.intent.weight=1.00",
                               "frozen_dropout=false", NULL),
                     BERTH_OK);
    assert_same_file(world_path(w, "whole/best/model.safetensors"),
                     world_path(w, "other/best/model.safetensors"));
}

static void test_resume_without_a_folder(void **state) {
    assert_int_equal(run_whole(*state, "fresh", true, 0, SETTINGS, NULL), BERTH_OK);
    assert_same_run(*state, "whole", "fresh");
}

/* One thread and several: the same bits. */
static void test_threads(void **state) {
    assert_int_equal(run_whole(*state, "one_thread", false, 0, SETTINGS, "threads=1", NULL), BERTH_OK);
    assert_int_equal(run_whole(*state, "five_threads", false, 0, SETTINGS, "threads=5", NULL), BERTH_OK);
    assert_same_run(*state, "one_thread", "five_threads");
}

/* Test rows that cannot be read are met when all else is done: one line, and once they are mended the run comes
 * to its end without a step more. */
static void test_malformed_test_rows(void **state) {
    static const char bad[] = "sentence\tlabel\nthe film was good\tgood\n\xff\xfe was bad\tbad\n",
                      *const good = "sentence\tlabel\nthe film was good\tgood\nthe food was bad\tbad\n";
    struct world *w = *state;
    world_write(w, "test.tsv", bad);
    assert_int_equal(run_whole(w, "mended", false, 0, SETTINGS, "data.mood.test=test.tsv", NULL),
                     BERTH_E_FORMAT);
    assert_text_has(berth_error_text(), "test.tsv:3");
    assert_null(strchr(berth_error_text(), '\n'));
    assert_false(berth_file_exists(world_path(w, "mended/finished.json")));
    char *before = read_metrics(world_path(w, "mended/metrics.jsonl"));
    assert_int_equal(run_whole(w, "mended", true, 0, SETTINGS, "data.mood.test=test.tsv", NULL),
                     BERTH_E_FORMAT);
    world_write(w, "test.tsv", good);
    assert_int_equal(run_whole(w, "mended", true, 0, SETTINGS, "data.mood.test=test.tsv", NULL), BERTH_OK);
    char *after = read_metrics(world_path(w, "mended/metrics.jsonl"));
    assert_memory_equal(before, after, strlen(before)); /* the scores of test are one line more */
    assert_text_has(after + strlen(before), "\"split\":\"test\"");
    assert_same_file(world_path(w, "whole/best/model.safetensors"),
                     world_path(w, "mended/best/model.safetensors"));
    free(before);
    free(after);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_malformed_test_rows),
        cmocka_unit_test(test_stop_at_each_step),
        cmocka_unit_test(test_stop_after_every_step),
        cmocka_unit_test(test_stop_with_one_task_a_step),
        cmocka_unit_test(test_altered_rows_resume),
        cmocka_unit_test(test_early_stopped_run_resumes),
        cmocka_unit_test(test_damaged_checkpoints),
        cmocka_unit_test(test_left_overs_of_a_kill),
        cmocka_unit_test(test_end_is_repeated),
        cmocka_unit_test(test_other_configuration),
        cmocka_unit_test(test_resume_without_a_folder),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_newer_checkpoint),
        cmocka_unit_test(test_folder_of_others),
        cmocka_unit_test(test_changed_data),
        cmocka_unit_test(test_changed_backbone),
    };
    return cmocka_run_group_tests_name("train_resume", tests, setup, world_teardown);
}
