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
    assert_done(berth_h5_open(&x, a, "checkpoint", 1));
    assert_done(berth_h5_open(&y, b, "checkpoint", 1));
    assert_int_equal(berth_h5_dataset_count(x), berth_h5_dataset_count(y));
    for (size_t i = 0; i < berth_h5_dataset_count(x); i++) {
        const struct berth_h5_dataset *d = berth_h5_dataset(x, i), *e = berth_h5_find(y, d->name);
        assert_non_null(e);
        assert_int_equal(d->count, e->count);
        if (strcmp(d->name, "meta") == 0) continue; /* names the device and its threads */
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

/* A damaged or cut checkpoint is passed over; without a good one the run starts anew. */
static void test_damaged_checkpoints(void **state) {
    struct world *w = *state;
    int64_t step = 0;
    assert_int_equal(run_whole(w, "bad", false, 9, SETTINGS, NULL), BERTH_E_STOPPED); /* 4, 8, 9 */
    flip_byte(world_path(w, "bad/checkpoints/step-9.h5"), 20000);
    assert_done(berth_checkpoint_newest(world_path(w, "bad"), &step));
    assert_int_equal(step, 8);
    assert_done(berth_file_truncate(world_path(w, "bad/checkpoints/step-8.h5"), 9000));
    assert_done(berth_checkpoint_newest(world_path(w, "bad"), &step));
    assert_int_equal(step, 4);
    assert_int_equal(run_whole(w, "bad", true, 0, SETTINGS, NULL), BERTH_OK);
    assert_same_run(w, "whole", "bad");

    assert_int_equal(run_whole(w, "worse", false, 3, SETTINGS, NULL), BERTH_E_STOPPED);
    assert_done(berth_file_truncate(world_path(w, "worse/checkpoints/step-3.h5"), 0));
    assert_done(berth_checkpoint_newest(world_path(w, "worse"), &step));
    assert_int_equal(step, -1);
    assert_int_equal(run_whole(w, "worse", true, 0, SETTINGS, NULL), BERTH_OK);
    assert_same_run(w, "whole", "worse");
}

/* What a killed process leaves behind: half a metrics line, temporary files, lines of steps that are taken
 * again. */
static void test_left_overs_of_a_kill(void **state) {
    struct world *w = *state;
    assert_int_equal(run_whole(w, "killed", false, 6, SETTINGS, NULL), BERTH_E_STOPPED);
    assert_done(berth_file_append_line(world_path(w, "killed/metrics.jsonl"), "{\"type\":\"step\",\"st"));
    world_write(w, "killed/checkpoints/step-8.h5.tmp.123", "half");
    assert_done(berth_make_folders(world_path(w, "killed/best.tmp.77")));
    world_write(w, "killed/best.tmp.77/model.safetensors", "half");
    assert_int_equal(rename(world_path(w, "killed/best"), world_path(w, "killed/best.old.5")), 0);
    assert_int_equal(run_whole(w, "killed", true, 0, SETTINGS, NULL), BERTH_OK);
    assert_same_run(w, "whole", "killed");
    assert_false(berth_file_exists(world_path(w, "killed/checkpoints/step-8.h5.tmp.123")));
    assert_false(berth_file_exists(world_path(w, "killed/best.tmp.77")));
    assert_false(berth_file_exists(world_path(w, "killed/best.old.5")));
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
    /* what does not change the result may change */
    assert_int_equal(run_whole(w, "other", true, 0, SETTINGS, "checkpoint.keep=1", "threads=1", NULL),
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stop_at_each_step),         cmocka_unit_test(test_stop_after_every_step),
        cmocka_unit_test(test_stop_with_one_task_a_step), cmocka_unit_test(test_early_stopped_run_resumes),
        cmocka_unit_test(test_damaged_checkpoints),       cmocka_unit_test(test_left_overs_of_a_kill),
        cmocka_unit_test(test_end_is_repeated),           cmocka_unit_test(test_other_configuration),
        cmocka_unit_test(test_resume_without_a_folder),   cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests_name("train_resume", tests, setup, world_teardown);
}
