/* test_faults.c: the n-th write, flush, rename, cut or allocation of a short run fails, for n = 1, 2, ... until
 * there is no n-th. Each time there is a line about it, and the run resumes to the bits of one that nothing
 * befell. */
#include "train/support_train.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "berth/file.h"
#include "support_fault.h"

#define SETTINGS                                                                                               \
    "train.steps=4", "train.batch_size=16", "evaluate.every=2 steps", "checkpoint.every=2 steps",              \
        "log.every=2 steps"

static int warnings; /* lines of the log */
static void count_warning(void *user, enum berth_log_level level, const char *line) {
    (void)user, (void)level;
    if (line[0] != '\0') warnings++;
}

static bool stop_at_three(void *user) {
    const struct berth_trainer *const *t = user;
    return (*t)->state.step >= 3;
}

/* As run_whole, but making the configuration and the trainer may fail, too. cache: the folder of packed data,
 * within the world. */
static berth_status try_run(const struct world *w, const char *cache, bool resume, bool stop) {
    char output[600], folder[600], data[600], vocab[600];
    const char *const list[] = {SETTINGS, "device=cpu", output, folder, data, vocab};
    struct berth_config *c = NULL;
    struct berth_trainer *t = NULL;
    const struct berth_observer observer = {.user = &t, .stop_requested = stop ? stop_at_three : NULL};
    snprintf(output, sizeof output, "output=%s", world_path(w, "run"));
    snprintf(folder, sizeof folder, "cache=%s", world_path(w, cache));
    snprintf(data, sizeof data, "data_folder=%s", w->folder);
    snprintf(vocab, sizeof vocab, "model.vocab=%s", world_path(w, "vocab.txt"));
    berth_status status = berth_config_load(&c, w->config, list, sizeof list / sizeof list[0]);
    if (status == BERTH_OK) status = berth_trainer_create(&t, c, &observer);
    if (status == BERTH_OK) status = berth_trainer_start(t, resume);
    if (status == BERTH_OK) status = berth_trainer_run(t);
    berth_trainer_free(t);
    berth_config_free(c);
    return status;
}

static void assert_same_end(const struct world *w) {
    assert_same_file(world_path(w, "whole/best/model.safetensors"),
                     world_path(w, "run/best/model.safetensors"));
    assert_same_file(world_path(w, "whole/finished.json"), world_path(w, "run/finished.json"));
    char *a = read_metrics(world_path(w, "whole/metrics.jsonl")),
         *b = read_metrics(world_path(w, "run/metrics.jsonl"));
    assert_string_equal(a, b);
    free(a);
    free(b);
    int64_t step = 0;
    assert_done(berth_checkpoint_newest(world_path(w, "run"), &step));
    assert_int_equal(step, 4);
}

/* Allocations refused without a word: of input that was prepared ahead (so by that thread and by no other) and
 * that the run did not come to: it took a step less than was prepared. Its end must be the same all the same.
 */
static int64_t unheard;

/* One run (stopped: the going on of a run that was stopped, with lines behind its checkpoint) with its n-th
 * operation failing, then resumed; false: there is no n-th. */
static bool one_fault(const struct world *w, enum fault_kind kind, int64_t n, const char *cache, bool stopped) {
    int64_t count = 0;
    assert_done(berth_remove_tree(world_path(w, "run")));
    if (strcmp(cache, "cache") != 0) assert_done(berth_remove_tree(world_path(w, cache)));
    if (stopped) {
        assert_int_equal(try_run(w, cache, false, true), BERTH_E_STOPPED);
        assert_done(berth_file_append_line(world_path(w, "run/metrics.jsonl"), "{\"type\":\"step\",\"st"));
        assert_done(berth_file_append_line(world_path(w, "run/events.out.tfevents.berth"), "half a record"));
    }
    warnings = 0;
    berth_error_clear();
    faults_arm(kind, n);
    berth_status status = try_run(w, cache, stopped, false);
    bool fired = faults_disarm(&count);
    if (!fired) {
        assert_done(status);
        return false;
    }
    const char *text = berth_error_text();
    if (status == BERTH_OK && warnings == 0) {
        if (kind != FAULT_ALLOCATION || strcmp(faults_thread(), "berth-input") != 0)
            fail_msg("fault %d, %lld, in thread %s: nobody said a word", kind, (long long)n, faults_thread());
        unheard++;
    }
    if (status != BERTH_OK && (text[0] == '\0' || strchr(text, '\n') != NULL))
        fail_msg("fault %d, %lld: expected one line, found '%s'", kind, (long long)n, text);
    if (getenv("FAULTS_SHOW") != NULL)
        fprintf(stderr, "%d %lld: %s\n", kind, (long long)n, status == BERTH_OK ? "(a warning)" : text);
    status = try_run(w, cache, true, false);
    if (status != BERTH_OK) fail_msg("fault %d, %lld: not resumed: %s", kind, (long long)n, berth_error_text());
    assert_same_end(w);
    return true;
}

/* Every n of the kind; `least`: there are as many at least, or the shim does not see them. */
static void all_faults(void **state, enum fault_kind kind, int64_t least) {
    const struct world *w = *state;
    int64_t n = 1;
    while (one_fault(w, kind, n, "cache", false))
        n++;
    fprintf(stderr, "fault %d: each of %lld failed once\n", kind, (long long)n - 1);
    assert_true(n - 1 >= least);
}

static void test_writes(void **state) {
    all_faults(state, FAULT_WRITE, 60);
}
static void test_flushes(void **state) {
    all_faults(state, FAULT_FLUSH, 20);
}
static void test_renames(void **state) {
    all_faults(state, FAULT_RENAME, 5);
}

/* A run that goes on: its files are cut back, its left-overs removed. */
static void test_going_on(void **state) {
    static const enum fault_kind kinds[] = {FAULT_CUT, FAULT_RENAME, FAULT_FLUSH, FAULT_WRITE};
    const struct world *w = *state;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        int64_t n = 1;
        while (one_fault(w, kinds[k], n, "cache", true))
            n += kinds[k] == FAULT_WRITE ? 5 : 1;
        fprintf(stderr, "going on, fault %d: up to number %lld\n", kinds[k], (long long)n - 1);
        assert_true(n >= 3);
    }
}

/* The packing of data, whose files are kept beside the run. */
static void test_packing(void **state) {
    static const enum fault_kind kinds[] = {FAULT_WRITE, FAULT_FLUSH, FAULT_RENAME};
    const struct world *w = *state;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        int64_t packing = 0, all = 0, step = kinds[k] == FAULT_WRITE ? 7 : 1;
        assert_done(berth_remove_tree(world_path(w, "run")));
        assert_done(berth_remove_tree(world_path(w, "fresh")));
        faults_arm(kinds[k], 0);
        assert_done(try_run(w, "fresh", false, false));
        faults_disarm(&all);
        assert_done(berth_remove_tree(world_path(w, "run")));
        faults_arm(kinds[k], 0);
        assert_done(try_run(w, "fresh", false, false));
        faults_disarm(&packing);
        packing = all - packing; /* the first `packing` operations of a run with an empty cache */
        assert_true(packing >= 6);
        for (int64_t n = 1; n <= packing; n += step)
            assert_true(one_fault(w, kinds[k], n, "fresh", false));
    }
}

/* Thousands: some hundred of them, at a stride that is prime to their patterns, and every one of the first
 * fifty. */
static void test_allocations(void **state) {
    const struct world *w = *state;
    int64_t count = 0, tried = 0;
    assert_done(berth_remove_tree(world_path(w, "run")));
    faults_arm(FAULT_ALLOCATION, 0);
    assert_done(try_run(w, "cache", false, false));
    faults_disarm(&count);
    assert_true(count > 1000);
    int64_t stride = count / 250 | 1;
    const char *from = getenv("FAULTS_FROM");
    for (int64_t n = from != NULL ? atoll(from) : 1; n <= count; n += n < 50 ? 1 : stride, tried++)
        one_fault(w, FAULT_ALLOCATION, n, "cache", false);
    fprintf(stderr, "allocations: %lld of %lld failed once, %lld of input that was not taken\n",
            (long long)tried, (long long)count, (long long)unheard);
}

static int setup(void **state) {
    /* Hundreds of runs, each with dozens of flushes: memory where there is some. */
    if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    if (world_setup(state) != 0) return -1;
    const struct world *w = *state;
    berth_log_set(count_warning, NULL, BERTH_LOG_WARN);
    if (try_run(w, "cache", false, false) != BERTH_OK) return -1;
    return rename(world_path(w, "run"), world_path(w, "whole"));
}

int main(int argc, char **argv) {
    if (argc > 1) cmocka_set_test_filter(argv[1]); /* test_faults "*allocations" */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flushes), cmocka_unit_test(test_renames), cmocka_unit_test(test_going_on),
        cmocka_unit_test(test_writes),  cmocka_unit_test(test_packing), cmocka_unit_test(test_allocations),
    };
    return cmocka_run_group_tests_name("faults", tests, setup, world_teardown);
}
