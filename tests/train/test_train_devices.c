/* test_train_devices.c: runs on the device cuda-host (the CUDA kernels executed on the CPU, with memory that
 * the host cannot touch) beside runs on the CPU: bf16, checkpoints that move, memory asked for while training.
 *
 * Skipped (77) in a build without the device. */
#include "support_train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 64 };
struct losses {
    double list[MOST];
    int count;
};

static void keep_loss(void *user, const struct berth_progress *p) {
    struct losses *l = user;
    if (l->count < MOST) l->list[l->count++] = p->loss;
}

/* 20 steps with dropout; the loss of each, and test scores. */
static void train(struct losses *l, double *score, void **state, const char *run, const char *device,
                  const char *precision) {
    struct world_run r;
    memset(l, 0, sizeof *l);
    run_make(&r, *state, run, device, precision, "train.steps=20", "log.every=1 steps",
             "evaluate.every=20 steps", NULL);
    r.trainer->observer.user = l;
    r.trainer->observer.progress = keep_loss;
    r.trainer->observer.scores = NULL;
    r.trainer->observer.note = NULL;
    r.trainer->observer.stop_requested = NULL;
    assert_done(berth_trainer_start(r.trainer, false));
    assert_done(berth_trainer_run(r.trainer));
    *score = berth_scores_find(berth_trainer_test_scores(r.trainer), "mean", "metric");
    run_free(&r);
}

static double worst_difference(const struct losses *a, const struct losses *b) {
    double worst = 0;
    assert_int_equal(a->count, 20);
    assert_int_equal(b->count, 20);
    for (int i = 0; i < 20; i++)
        worst = fmax(worst, fabs(a->list[i] - b->list[i]) / a->list[i]);
    return worst;
}

/* bf16 beside the CPU's bf16, or where its processor has no units for it beside fp32: the losses of 20 steps.
 * Seen were 0.016% and 0.010%. */
static void test_bf16_beside_the_cpu(void **state) {
    struct losses cpu, host, single;
    double cpu_score = 0, host_score = 0, score = 0;
    struct berth_device *dev = NULL;
    assert_done(berth_device_open(&dev, "cpu"));
    const bool units = berth_device_supports(dev, "gemm", BERTH_BF16);
    berth_device_close(dev);
    train(&single, &score, state, "single", "device=cpu", "precision=fp32");
    train(&host, &host_score, state, "host_half", "device=cuda-host", "precision=bf16");
    const double beside_single = worst_difference(&single, &host);
    print_message("bf16 on cuda-host beside fp32: losses differ by up to %.2g\n", beside_single);
    assert_true(beside_single > 1e-6 && beside_single < 2e-3);
    assert_true(fabs(score - host_score) < 0.1);
    if (!units) return;
    train(&cpu, &cpu_score, state, "cpu_half", "device=cpu", "precision=bf16");
    const double beside = worst_difference(&cpu, &host);
    print_message("bf16 on cuda-host beside bf16 on the CPU: losses differ by up to %.2g\n", beside);
    assert_true(beside < 1e-3);
    assert_true(fabs(cpu_score - host_score) < 0.1);
}

/* cpu -> cuda-host -> cpu ends where cpu alone ends, within rounding. */
static void test_a_checkpoint_moves_there_and_back(void **state) {
    static const char *const devices[] = {"device=cpu", "device=cuda-host", "device=cpu"};
    struct world_run r;
    int64_t count = 0;
    double apart = 0, size = 0;
    assert_done(run_whole(*state, "stays", false, 0, "device=cpu", NULL));
    for (int i = 0; i < 3; i++) {
        berth_status status = run_whole(*state, "moves", i > 0, i < 2 ? 4 * (i + 1) : 0, devices[i], NULL);
        if (i < 2)
            assert_int_equal(status, BERTH_E_STOPPED);
        else
            assert_done(status);
    }
    float *values[2];
    for (int i = 0; i < 2; i++) { /* the last checkpoints, as the CPU reads them */
        run_make(&r, *state, i == 0 ? "stays" : "moves", "device=cpu", NULL);
        int64_t step = 0;
        bool found = false;
        assert_done(berth_checkpoint_newest(berth_config_string(r.config, "output"), &step));
        assert_int_equal(step, 12);
        assert_done(run_folder_init(&r.trainer->folder, berth_config_string(r.config, "output")));
        assert_done(checkpoint_restore(r.trainer, &found));
        assert_true(found);
        values[i] = model_values(r.trainer->model, &count);
        run_free(&r);
    }
    for (int64_t i = 0; i < count; i++) {
        apart += pow((double)values[0][i] - (double)values[1][i], 2);
        size += pow((double)values[0][i], 2);
    }
    print_message("a moved run differs by %.2g of the values' norm\n", sqrt(apart / size));
    assert_true(apart > 0 && sqrt(apart / size) < 1e-4);
    free(values[0]);
    free(values[1]);
}

struct count {
    struct berth_trainer *t;
    int64_t at[MOST];
};

static bool count_allocations(void *user) {
    struct count *c = user;
    if (c->t->state.step < MOST) c->at[c->t->state.step] = c->t->device->allocations;
    return false;
}

/* Between the first step and the last nothing is asked of the device, evaluations and checkpoints included. */
static void test_no_memory_is_asked_for_while_training(void **state) {
    static const char *const batches[] = {"train={steps: 20, batch_size: 8}",
                                          "train={steps: 20, batch_tokens: 96, accumulate: 2}"};
    for (int b = 0; b < 2; b++) {
        struct world_run r;
        struct count c = {0};
        run_make(&r, *state, b == 0 ? "counted" : "counted_tokens", "device=cuda-host", batches[b],
                 "weighting.method=uncertainty", NULL);
        c.t = r.trainer;
        r.trainer->observer = (struct berth_observer){.user = &c, .stop_requested = count_allocations};
        assert_done(berth_trainer_start(r.trainer, false));
        assert_done(berth_trainer_run(r.trainer));
        assert_true(c.at[1] > 0);
        for (int i = 2; i <= 20; i++)
            if (c.at[i] != c.at[i - 1])
                fail_msg("%s: step %d made %d requests", batches[b], i, (int)(c.at[i] - c.at[i - 1]));
        assert_int_equal(berth_tape_allocations(r.trainer->tape),
                         1); /* the block asked for before the first step */
        run_free(&r);
    }
}

/* A run that does not fit says so in one line, before anything is trained. */
static void test_a_run_that_does_not_fit(void **state) {
    struct berth_trainer *t = NULL;
    setenv("BERTH_CUDA_HOST_MEMORY", "1", 1);
    struct berth_config *large = world_config(
        *state, "device=cuda-host", "model.new={layers: 2, hidden: 256, heads: 2, intermediate: 1024}", NULL);
    assert_int_equal(berth_trainer_create(&t, large, NULL), BERTH_E_MEMORY);
    assert_text_has(berth_error_text(), "device cuda-host: out of device memory: ");
    assert_text_has(berth_error_text(), "of 1.0 MiB are free");
    assert_null(strchr(berth_error_text(), '\n'));
    unsetenv("BERTH_CUDA_HOST_MEMORY");
    berth_config_free(large);
}

/* tf32 and the fallback on a device without it. */
static void test_tf32_elsewhere(void **state) {
    struct world_run r;
    struct berth_trainer *t = NULL;
    struct berth_config *c = world_config(*state, "precision=tf32", NULL);
    assert_int_equal(berth_trainer_create(&t, c, NULL), BERTH_E_USAGE);
    assert_text_has(berth_error_text(), "device cpu has no tf32");
    assert_text_has(berth_error_text(), "precision");
    berth_config_free(c);
    run_make(&r, *state, "tf32", "precision=tf32", "precision_fallback=fp32", NULL);
    run_free(&r);
}

int main(void) {
    struct berth_device *dev = NULL;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bf16_beside_the_cpu),
        cmocka_unit_test(test_a_checkpoint_moves_there_and_back),
        cmocka_unit_test(test_no_memory_is_asked_for_while_training),
        cmocka_unit_test(test_a_run_that_does_not_fit),
        cmocka_unit_test(test_tf32_elsewhere),
    };
    if (berth_device_open(&dev, "cuda-host") != BERTH_OK) {
        print_message("skipped: %s\n", berth_error_text());
        return 77;
    }
    berth_device_close(dev);
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
