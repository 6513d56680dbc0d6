/* test_train_threads.c: a run with all of its threads at work: parallel loops, input prepared ahead, a checkpoint
 * written after every step. What it ends with is what one thread ends with; under the thread sanitizer (scripts/test.sh)
 * it is clean. */
#include "support_train.h"

#include <stdlib.h>
#include <unistd.h>

#define BUSY                                                                                                           \
    "checkpoint.every=1 steps", "evaluate.every=3 steps", "log.every=2 steps", "train.accumulate=2", "train.ema=0.9", \
        "weighting.method=uncertainty", "train.batch_size=16", "model.new.hidden=64"

static void test_busy(void **state) {
    struct world *w = *state;
    assert_done(run_whole(w, "one", false, 0, "threads=1", BUSY, NULL));
    assert_done(run_whole(w, "four", false, 0, "threads=4", BUSY, NULL));
    assert_same_file(world_path(w, "one/best/model.safetensors"), world_path(w, "four/best/model.safetensors"));
    assert_same_file(world_path(w, "one/finished.json"), world_path(w, "four/finished.json"));
}

/* Stopped while a checkpoint is on its way, and going on. */
static void test_stopped(void **state) {
    struct world *w = *state;
    for (int64_t stop = 1; stop < 12; stop += 4) {
        char name[32], best[96];
        snprintf(name, sizeof name, "stopped %d", (int)stop);
        assert_int_equal(run_whole(w, name, false, stop, "threads=4", BUSY, NULL), BERTH_E_STOPPED);
        assert_done(run_whole(w, name, true, 0, "threads=2", BUSY, NULL));
        snprintf(best, sizeof best, "%s/best/model.safetensors", name);
        assert_same_file(world_path(w, "one/best/model.safetensors"), world_path(w, best));
    }
}

static int setup(void **state) {
    if (access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1); /* dozens of checkpoints, each flushed */
    return world_setup(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_busy), cmocka_unit_test(test_stopped)};
    return cmocka_run_group_tests_name("train_threads", tests, setup, world_teardown);
}
