/* test_weighting.c: each weighting against its formula, in double, from losses and gradients of runs without
 * it. The rate of the parameters is 0 where gradients are compared: then step n of every run sees the same
 * rows, masks and values. */
#include "support_train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TASKS = 3, STEPS = 5 };
static const char *const NAMES[TASKS] = {"intent", "slots", "feeling"};

/* Gradients of share_k m_k by all trained parameters, step by step, as the store lays them out. */
struct walks {
    float *g[STEPS][TASKS];
    double loss[STEPS][TASKS], share[STEPS][TASKS];
    bool active[STEPS][TASKS];
    int64_t count;
    bool *shared; /* [count] of the backbone */
};

static void mark_shared(struct walks *x, const struct berth_trainer *t) {
    x->count = t->store->grad_total;
    x->shared = calloc((size_t)x->count, sizeof *x->shared);
    for (int i = 0; i < t->model->parameter_count; i++) {
        const struct berth_parameter *p = &t->model->parameters[i];
        if (p->owner != 0 || !t->store->trainable[i]) continue;
        for (int64_t j = 0; j < p->count; j++)
            x->shared[t->store->gradients[i] - t->store->grads + j] = true;
    }
}

/* One run a task, its weight 1 and the others' 0. */
static void walk_alone(struct walks *x, const struct world *w, const char *accumulate, const char *freeze) {
    memset(x, 0, sizeof *x);
    for (int k = 0; k < TASKS; k++) {
        struct world_run r;
        char weight[TASKS][48];
        for (int i = 0; i < TASKS; i++)
            snprintf(weight[i], sizeof weight[i], "tasks.%s.weight=%d", NAMES[i], i == k);
        run_make(&r, w, "unused", "train.lr=0", "train.batch_size=10", weight[0], weight[1], weight[2],
                 accumulate, freeze, NULL);
        struct berth_trainer *t = r.trainer;
        if (k == 0) mark_shared(x, t);
        for (int s = 0; s < STEPS; s++) {
            assert_done(train_step(t));
            x->g[s][k] = malloc((size_t)x->count * sizeof(float));
            memcpy(x->g[s][k], t->store->grads, (size_t)x->count * sizeof(float));
            x->loss[s][k] = t->task_loss[k];
            x->share[s][k] = t->share[k];
            x->active[s][k] = t->active[k + 1];
        }
        run_free(&r);
    }
}

static void walks_free(struct walks *x) {
    for (int s = 0; s < STEPS; s++)
        for (int k = 0; k < TASKS; k++)
            free(x->g[s][k]);
    free(x->shared);
}

static double shared_product(const struct walks *x, const double *a, const float *b) {
    double sum = 0;
    for (int64_t i = 0; i < x->count; i++)
        if (x->shared[i]) sum += a[i] * (double)b[i];
    return sum;
}

/* ---- pcgrad */

/* Yu et al., algorithm 1, with the vectors themselves; *conflicts counts the projections. */
static void project(const struct walks *x, int s, uint64_t seed, double *out, int *conflicts) {
    double *p = calloc((size_t)x->count, sizeof *p);
    for (int64_t i = 0; i < x->count; i++)
        out[i] = (double)x->g[s][0][i] + (double)x->g[s][1][i] + (double)x->g[s][2][i];
    for (int64_t i = 0; i < x->count; i++)
        if (x->shared[i]) out[i] = 0;
    for (int k = 0; k < TASKS; k++) {
        int64_t order[TASKS];
        size_t others = 0;
        if (!x->active[s][k]) continue;
        for (int j = 0; j < TASKS; j++)
            if (j != k && x->active[s][j]) order[others++] = j;
        berth_random_permute(seed + (uint64_t)k * UINT64_C(0x9E3779B97F4A7C15), BERTH_PURPOSE_WEIGHTING,
                             (uint32_t)s, order, others);
        for (int64_t i = 0; i < x->count; i++)
            p[i] = (double)x->g[s][k][i];
        for (size_t n = 0; n < others; n++) {
            const float *g = x->g[s][order[n]];
            double own = 0;
            const double product = shared_product(x, p, g);
            for (int64_t i = 0; i < x->count; i++)
                if (x->shared[i]) own += (double)g[i] * (double)g[i];
            if (!(product < 0)) continue;
            ++*conflicts;
            for (int64_t i = 0; i < x->count; i++)
                p[i] -= product / own * (double)g[i];
        }
        for (int64_t i = 0; i < x->count; i++)
            if (x->shared[i]) out[i] += p[i];
    }
    free(p);
}

static void check_pcgrad(struct world *w, const char *accumulate, const char *freeze, int *conflicts) {
    struct walks x;
    struct world_run r;
    walk_alone(&x, w, accumulate, freeze);
    double *expected = malloc((size_t)x.count * sizeof *expected);
    run_make(&r, w, "unused", "train.lr=0", "train.batch_size=10", "weighting.method=pcgrad", accumulate,
             freeze, NULL);
    for (int s = 0; s < STEPS; s++) {
        double off = 0, size = 0;
        assert_done(train_step(r.trainer));
        project(&x, s, r.trainer->recipe.seed, expected, conflicts);
        for (int64_t i = 0; i < x.count; i++) {
            off += pow((double)r.trainer->store->grads[i] - expected[i], 2);
            size += pow(expected[i], 2);
        }
        if (!(sqrt(off) <= 1e-5 * sqrt(size))) fail_msg("step %d: off by %g of %g", s, sqrt(off), sqrt(size));
    }
    free(expected);
    run_free(&r);
    walks_free(&x);
}

static void test_pcgrad_projects(void **state) {
    int conflicts = 0;
    check_pcgrad(*state, "train.accumulate=1", "freeze=[]", &conflicts);
    check_pcgrad(*state, "train.accumulate=2", "freeze=[{select: embeddings}, {select: layers.0}]", &conflicts);
    assert_true(conflicts > 0); /* or nothing was tested */
}

/* ---- gradnorm */

struct balance {
    double w[TASKS], first[TASKS];
};

/* One step of Chen et al., algorithm 1, with plain descent: norm_k = |∇ share_k m_k|. */
static void balance_step(struct balance *b, const double *norm, const double *loss, const bool *active,
                         double rate) {
    double mean = 0, falls = 0, n = 0, sum = 0;
    for (int k = 0; k < TASKS; k++) {
        if (!active[k]) continue;
        if (b->first[k] == 0) b->first[k] = loss[k];
        mean += b->w[k] * norm[k];
        falls += loss[k] / b->first[k];
        n++;
    }
    for (int k = 0; k < TASKS; k++) {
        if (active[k]) {
            const double target = mean / n * pow(loss[k] / b->first[k] * n / falls, 1.5);
            const double off = b->w[k] * norm[k] - target;
            b->w[k] -= rate * norm[k] * (double)((off > 0) - (off < 0));
        }
        sum += b->w[k];
    }
    for (int k = 0; k < TASKS; k++)
        b->w[k] *= TASKS / sum;
}

static void compare_weights(const struct berth_trainer *t, const double *expected, double tolerance) {
    for (int k = 0; k < TASKS; k++) {
        const double wanted = t->active[k + 1] ? expected[k] : 0;
        if (fabs(t->weights[k] - wanted) > tolerance * fabs(wanted))
            fail_msg("step %lld, %s: weight %.9g, expected %.9g", (long long)t->state.step, NAMES[k],
                     t->weights[k], wanted);
    }
}

static void test_gradnorm_balances_parameters(void **state) {
    struct walks x;
    struct world_run r;
    struct balance b = {.w = {1, 1, 1}};
    double farthest = 0;
    walk_alone(&x, *state, "train.accumulate=2", "freeze=[]");
    run_make(&r, *state, "unused", "train.lr=0", "train.batch_size=10", "train.accumulate=2",
             "train.optimizer=sgd", "train.momentum=0", "train.schedule=constant", "train.warmup=0",
             "weighting.method=gradnorm", "weighting.rate=0.1", NULL);
    for (int s = 0; s < STEPS; s++) {
        double norm[TASKS];
        for (int k = 0; k < TASKS; k++) {
            double sum = 0;
            for (int64_t i = 0; i < x.count; i++)
                sum += x.shared[i] ? (double)x.g[s][k][i] * (double)x.g[s][k][i] : 0;
            norm[k] = sqrt(sum);
        }
        assert_done(train_step(r.trainer));
        compare_weights(r.trainer, b.w, 1e-5);
        balance_step(&b, norm, x.loss[s], x.active[s], 0.1);
        for (int k = 0; k < TASKS; k++)
            farthest = fmax(farthest, fabs(b.w[k] - 1));
    }
    assert_true(farthest > 0.05); /* or nothing was learnt */
    run_free(&r);
    walks_free(&x);
}

/* By the representation: the norms are the trainer's own, which test_task_gradients checks. */
static void test_gradnorm_balances_the_representation(void **state) {
    struct world_run r;
    struct balance b = {.w = {1, 1, 1}};
    run_make(&r, *state, "unused", "train.batch_size=10", "train.optimizer=sgd", "train.momentum=0",
             "train.schedule=constant", "train.warmup=0", "weighting.method=gradnorm", "weighting.rate=0.5",
             "weighting.gradients=representation", "freeze=[{select: backbone}]", NULL);
    struct berth_trainer *t = r.trainer;
    for (int s = 0; s < STEPS; s++) {
        double norm[TASKS];
        assert_done(train_step(t));
        compare_weights(t, b.w, 1e-5);
        for (int k = 0; k < TASKS; k++) {
            norm[k] = t->active[k + 1] ? sqrt(t->gram[k * TASKS + k]) / t->weights[k] : 0;
            assert_true(!t->active[k + 1] || norm[k] > 0);
        }
        balance_step(&b, norm, t->task_loss, t->active + 1, 0.5);
    }
    run_free(&r);
}

/* ---- dwa */

static void check_dwa(struct world *w, const char *window, const char *mix, int64_t steps_a_window) {
    struct world_run r;
    double sum[TASKS] = {0}, count[TASKS] = {0}, last[TASKS] = {0}, before[TASKS] = {0},
           expected[TASKS] = {1, 1, 1};
    double farthest = 0;
    int64_t now = 0;
    run_make(&r, w, "unused", "train.steps=40", "train.lr=1e-2", "weighting.method=dwa",
             "weighting.temperature=0.5", window, mix, NULL);
    struct berth_trainer *t = r.trainer;
    for (int64_t s = 0; s < 14; s++) {
        assert_done(train_step(t));
        int64_t epoch = 0, taken = 0;
        berth_feeder_state(t->feeder, &epoch, &taken);
        const int64_t at = steps_a_window > 0 ? s / steps_a_window : epoch;
        if (at != now) { /* the step that has just been taken began a window */
            double total = 0;
            for (int k = 0; k < TASKS; k++) {
                if (count[k] > 0) before[k] = last[k];
                if (count[k] > 0) last[k] = sum[k] / count[k];
                sum[k] = count[k] = 0;
                expected[k] = exp((before[k] > 0 ? last[k] / before[k] : 1) / 0.5);
                total += expected[k];
            }
            for (int k = 0; k < TASKS; k++) {
                expected[k] *= TASKS / total;
                farthest = fmax(farthest, fabs(expected[k] - 1));
            }
            now = at;
        }
        compare_weights(t, expected, 1e-12);
        for (int k = 0; k < TASKS; k++) {
            sum[k] += t->active[k + 1] ? t->task_loss[k] : 0;
            count[k] += t->active[k + 1];
        }
    }
    assert_true(now >= 2 && farthest > 1e-3);
    run_free(&r);
}

static void test_dwa_follows_the_losses(void **state) {
    check_dwa(*state, "weighting.window=0", "sampling.mix=batch", 0);
    check_dwa(*state, "weighting.window=3", "sampling.mix=batch", 3);
    check_dwa(*state, "weighting.window=4", "sampling.mix=step", 4);
}

/* The least temperature there is: one task has all the weight, and no number overflows. */
static void test_dwa_is_finite(void **state) {
    struct world_run r;
    run_make(&r, *state, "unused", "weighting.method=dwa", "weighting.temperature=0.001", "weighting.window=1",
             "train.lr=1e-2", NULL);
    for (int s = 0; s < 6; s++) {
        double sum = 0;
        bool all = true;
        assert_done(train_step(r.trainer));
        for (int k = 0; k < TASKS; k++) {
            assert_true(isfinite(r.trainer->weights[k]));
            sum += r.trainer->weights[k];
            all &= r.trainer->active[k + 1];
        }
        if (all) assert_true(fabs(sum - TASKS) < 1e-9);
    }
    run_free(&r);
}

/* A part of a step without an item of any task: nothing is passed, the step goes on. */
static void test_parts_without_items(void **state) {
    static const char *const gradients[] = {"weighting.gradients=parameters",
                                            "weighting.gradients=representation"};
    for (int i = 0; i < 2; i++) {
        struct world_run r;
        bool seen = false;
        run_make(&r, *state, "unused", "weighting.method=gradnorm", gradients[i], "train.batch_size=4",
                 "train.accumulate=4", "tasks.words={type: mlm, source: talk, mask: 0.01}",
                 "stages=[{name: only, tasks: [feeling, words], train: {steps: 12}}]", NULL);
        struct berth_trainer *t = r.trainer;
        for (int s = 0; s < 12; s++) {
            assert_done(train_step(t));
            for (int b = 0; b < berth_feeder_batch_count(t->feeder); b++) {
                const struct berth_batch *batch = berth_feeder_batch(t->feeder, b);
                int64_t items = 0;
                for (int k = 0; k < batch->task_count; k++)
                    items += batch->items[k].count;
                seen |= batch->sequence_count > 0 && items == 0;
            }
        }
        assert_true(seen); /* or nothing was tested */
        run_free(&r);
    }
}

/* ---- what is said before a run */

static void refused(struct world *w, const char *method, const char *other, const char *third,
                    const char *text) {
    struct berth_config *c = world_config(w, method, other, third, NULL);
    struct berth_trainer *t = NULL;
    assert_int_equal(berth_trainer_create(&t, c, NULL), BERTH_E_USAGE);
    assert_text_has(berth_error_text(), text);
    berth_config_free(c);
}

static void test_what_cannot_be_is_refused(void **state) {
    refused(*state, "weighting.method=pcgrad", "sampling.mix=step", NULL,
            "sampling.mix: step: a step of one task");
    refused(*state, "weighting.method=pcgrad", "weighting.gradients=representation", NULL,
            "weighting.gradients: representation: weighting.method pcgrad puts");
    refused(*state, "weighting.method=gradnorm", "freeze=[{select: backbone}]", NULL,
            "weighting.method: gradnorm: there is no shared parameter that is trained");
    refused(*state, "weighting.method=gradnorm", "weighting.gradients=representation", "tasks.slots.layer=1",
            "the head of task 'slots' does not read the last layer alone");
    refused(*state, "weighting.method=dwa", "tasks.slots.weight=2", NULL,
            "weights belong to weighting.method fixed");
    refused(*state, "weighting.method=fixed", "weighting.alpha=1", NULL,
            "weighting.alpha: weighting.method fixed does not read it");
    refused(*state, "weighting.method=uncertainty", "weighting.temperature=1", NULL,
            "uncertainty does not read it");
    refused(*state, "weighting.method=dwa", "weighting.gradients=representation", NULL, "dwa does not read it");
    refused(*state, "weighting.method=pcgrad", "weighting.rate=0.1", NULL, "pcgrad does not read it");
    refused(*state, "weighting.method=gradnorm", "weighting.window=7", NULL, "gradnorm does not read it");
    /* as the effective configuration of a run has it: with their own values they may stand there */
    struct berth_config *c =
        world_config(*state, "weighting.alpha=1.5", "weighting.window=0", "weighting.rate=0.001", NULL);
    struct berth_trainer *t = NULL;
    assert_done(berth_trainer_create(&t, c, NULL));
    berth_trainer_free(t);
    berth_config_free(c);
}

static void test_the_plan_says_it(void **state) {
    struct world_run r;
    char *plan = NULL;
    run_make(&r, *state, "unused", "weighting.method=pcgrad", NULL);
    assert_done(berth_trainer_plan(r.trainer, &plan));
    assert_text_has(plan, "; weighting pcgrad, by each task's gradient by the shared parameters");
    assert_text_has(plan, ", gradients of each task ");
    free(plan);
    run_free(&r);
}

/* Lengths and factors stand in the metrics. */
static void test_the_metrics_tell_it(void **state) {
    assert_done(run_whole(*state, "told", false, 0, "weighting.method=pcgrad", "train.steps=4",
                          "log.every=1 step", NULL));
    char *text = read_metrics(world_path(*state, "told/metrics.jsonl"));
    const char *at = strstr(text, "\"gradient\":");
    assert_non_null(at);
    assert_true(strtod(at + strlen("\"gradient\":"), NULL) > 0);
    assert_text_has(at, ",\"coefficient\":");
    free(text);
    assert_done(run_whole(*state, "untold", false, 0, "weighting.method=dwa", "train.steps=4", NULL));
    text = read_metrics(world_path(*state, "untold/metrics.jsonl"));
    assert_null(strstr(text, "\"gradient\":"));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_metrics_tell_it),
        cmocka_unit_test(test_pcgrad_projects),
        cmocka_unit_test(test_gradnorm_balances_parameters),
        cmocka_unit_test(test_gradnorm_balances_the_representation),
        cmocka_unit_test(test_dwa_follows_the_losses),
        cmocka_unit_test(test_dwa_is_finite),
        cmocka_unit_test(test_parts_without_items),
        cmocka_unit_test(test_what_cannot_be_is_refused),
        cmocka_unit_test(test_the_plan_says_it),
    };
    return cmocka_run_group_tests_name("weighting", tests, world_setup, world_teardown);
}
