/* test_train_graphs.c: the encoder's passes as graphs, on the device cuda-host: a launch does what the passes
 * do that it was kept from, bit for bit, with other lengths, masks and rates each step; nothing is asked of the
 * device; what is frozen may change; beside runs without graphs numbers differ by rounding.
 *
 * Skipped (77) in a build without the device. */
#include "model/model_priv.h"
#include "support_train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 20 };

struct watch {
    struct berth_trainer *t;
    bool runs; /* every pass is run, none is kept */
    double losses[STEPS + 1], rates[STEPS + 1];
    int64_t allocations[STEPS + 1], kept[STEPS + 1], launches[STEPS + 1];
};

static bool after_step(void *user) {
    struct watch *w = user;
    const int64_t step = w->t->state.step;
    if (step > STEPS) return false;
    w->losses[step] = w->t->loss;
    w->rates[step] = w->t->lr;
    w->allocations[step] = w->t->device->allocations;
    if (w->t->graphs != NULL) berth_model_graphs_count(w->t->graphs, &w->kept[step], &w->launches[step]);
    return false;
}

/* 20 steps; the values at the end, freed by the caller. */
static float *train(struct watch *w, void **state, const char *run, const char *graphs, const char *more,
                    int64_t *count) {
    struct world_run r;
    const bool runs = w->runs;
    memset(w, 0, sizeof *w);
    run_make(&r, *state, run, "device=cuda-host",
             "train={steps: 20, batch_size: 12, accumulate: 2, lr: 2.0e-3, warmup: 4}", graphs, more, NULL);
    w->t = r.trainer;
    if (runs) graph_keep_none(r.trainer->graphs);
    r.trainer->observer = (struct berth_observer){.user = w, .stop_requested = after_step};
    assert_done(berth_trainer_start(r.trainer, false));
    assert_done(berth_trainer_run(r.trainer));
    float *values = model_values(r.trainer->model, count);
    run_free(&r);
    return values;
}

static void compare(void **state, const char *name, const char *more) {
    struct watch launched = {0}, run = {.runs = true}, plain = {0};
    char folder[64];
    int64_t count = 0;
    snprintf(folder, sizeof folder, "%s_launched", name);
    float *a = train(&launched, state, folder, "graphs=on", more, &count);
    snprintf(folder, sizeof folder, "%s_run", name);
    float *b = train(&run, state, folder, "graphs=on", more, &count);
    snprintf(folder, sizeof folder, "%s_plain", name);
    float *c = train(&plain, state, folder, "graphs=off", more, &count);
    assert_true(launched.rates[1] != launched.rates[STEPS]);
    for (int i = 1; i <= STEPS; i++) {
        if (launched.losses[i] != run.losses[i])
            fail_msg("%s, step %d: %.17g launched, %.17g run", name, i, launched.losses[i], run.losses[i]);
        if (!(fabs(launched.losses[i] - plain.losses[i]) < 1e-3 * plain.losses[i]))
            fail_msg("%s, step %d: %.9g with graphs, %.9g without", name, i, launched.losses[i],
                     plain.losses[i]);
    }
    assert_memory_equal(a, b, (size_t)count * sizeof *a);
    print_message("%s: %d graphs kept, %d launches in %d steps\n", name, (int)launched.kept[STEPS],
                  (int)launched.launches[STEPS], (int)STEPS);
    assert_true(launched.kept[STEPS] >= 2 && launched.launches[STEPS] > STEPS);
    assert_int_equal(run.launches[STEPS], 0);
    assert_int_equal(plain.launches[STEPS], 0);
    free(a);
    free(b);
    free(c);
}

static void test_a_launch_is_the_pass(void **state) {
    compare(state, "fp32", "precision=fp32");
}

static void test_a_launch_is_the_pass_in_bf16(void **state) {
    compare(state, "bf16", "precision=bf16");
}

/* Layers that thaw change the parameters' gradients: graphs of before are not launched over them. */
static void test_what_is_frozen_changes(void **state) {
    compare(state, "thaw",
            "freeze=[{select: embeddings, until: 6 steps}, {select: layers.0, until: 13 steps}]");
}

/* Once the graphs of the buckets at hand are kept, steps ask for nothing. */
static void test_nothing_is_asked_for(void **state) {
    struct watch w = {0};
    int64_t count = 0;
    free(train(&w, state, "counted", "graphs=on", "precision=fp32", &count));
    for (int i = 2; i <= STEPS; i++)
        if (w.allocations[i] != w.allocations[i - 1])
            fail_msg("step %d made %d requests", i, (int)(w.allocations[i] - w.allocations[i - 1]));
}

/* A run that is stopped and resumed keeps its graphs anew, and ends with the same bits. */
static void test_resume(void **state) {
    const char *const steps = "train={steps: 12, batch_size: 8, lr: 2.0e-3}";
    assert_done(run_whole(*state, "whole", false, 0, "device=cuda-host", "graphs=on", steps, NULL));
    assert_int_equal(run_whole(*state, "parts", false, 5, "device=cuda-host", "graphs=on", steps, NULL),
                     BERTH_E_STOPPED);
    assert_done(run_whole(*state, "parts", true, 0, "device=cuda-host", "graphs=on", steps, NULL));
    assert_same_file(world_path(*state, "whole/best/model.safetensors"),
                     world_path(*state, "parts/best/model.safetensors"));
}

/* Graphs made with next to no arena: passes find out what they need, and a later one is kept. */
static void test_an_arena_that_is_too_small(void **state) {
    static const char *const large =
        "model.new={layers: 2, hidden: 64, heads: 2, intermediate: 768, positions: 32}";
    float *values[2];
    int64_t count = 0;
    for (int i = 0; i < 2; i++) {
        struct world_run r;
        int64_t kept = 0, launches = 0;
        const struct berth_graph_limits limits = {
            .max_tokens = 4000, .max_sequences = 400, .max_length = 16, .bytes = 1};
        run_make(&r, *state, i == 0 ? "roomy" : "small", "device=cuda-host", "graphs=on", large,
                 "train={steps: 8, batch_size: 32, lr: 1.0e-3}", NULL);
        if (i == 1) {
            berth_model_graphs_free(r.trainer->graphs);
            assert_done(berth_model_graphs_create(&r.trainer->graphs, r.trainer->model, &limits));
        }
        assert_done(berth_trainer_start(r.trainer, false));
        assert_done(berth_trainer_run(r.trainer));
        berth_model_graphs_count(r.trainer->graphs, &kept, &launches);
        assert_true(launches >= 6);
        values[i] = model_values(r.trainer->model, &count);
        run_free(&r);
    }
    assert_memory_equal(values[0], values[1], (size_t)count * sizeof(float));
    free(values[0]);
    free(values[1]);
}

/* A row of a masked language model and another task is twice in a batch: within what was planned all the same.
 */
static void test_rows_that_are_there_twice(void **state) {
    struct watch w = {0};
    int64_t count = 0;
    free(train(
        &w, state, "twice", "graphs=on",
        "tasks={intent: {type: classification, source: talk, label: label}, words: {type: mlm, source: talk}}",
        &count));
    assert_true(w.launches[STEPS] > STEPS);
}

/* BERTH_SYNC=1 is there to name an operation: none is launched within a graph. */
static void test_operations_that_are_waited_for(void **state) {
    struct watch w = {0};
    int64_t count = 0;
    setenv("BERTH_SYNC", "1", 1);
    free(train(&w, state, "waits", "graphs=on", "precision=fp32", &count));
    unsetenv("BERTH_SYNC");
    assert_int_equal(w.launches[STEPS], 0);
}

/* No batch is filled up beyond what is said: what attention's plans and the inputs have room for. */
static void test_how_far_batches_are_filled(void **state) {
    (void)state;
    for (int64_t tokens = 1; tokens < 5000; tokens += 7) {
        int64_t most = tokens, sequences = 20;
        berth_graph_filled(&most, &sequences);
        assert_true(most >= tokens && most <= tokens + (tokens < 1024 ? 63 : tokens / 8));
        assert_true(sequences >= 20 + most - tokens && sequences < 2 * (20 + 512));
    }
}

static void test_devices_without_graphs(void **state) {
    struct berth_trainer *t = NULL;
    struct berth_config *c = world_config(*state, "device=cpu", "graphs=on", NULL);
    assert_int_equal(berth_trainer_create(&t, c, NULL), BERTH_E_USAGE);
    assert_text_has(berth_error_text(), "device cpu has no graphs");
    berth_config_free(c);
}

int main(void) {
    struct berth_device *dev = NULL;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_launch_is_the_pass),
        cmocka_unit_test(test_a_launch_is_the_pass_in_bf16),
        cmocka_unit_test(test_what_is_frozen_changes),
        cmocka_unit_test(test_nothing_is_asked_for),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_how_far_batches_are_filled),
        cmocka_unit_test(test_an_arena_that_is_too_small),
        cmocka_unit_test(test_rows_that_are_there_twice),
        cmocka_unit_test(test_operations_that_are_waited_for),
        cmocka_unit_test(test_devices_without_graphs),
    };
    if (berth_device_open(&dev, "cuda-host") != BERTH_OK) {
        print_message("skipped: %s\n", berth_error_text());
        return 77;
    }
    berth_device_close(dev);
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
