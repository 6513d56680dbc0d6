/* test_train_gradients.c: the gradient of one step: cut into parts or not, mixed or one task a step, and the
 * loss that it belongs to. With a rate of 0 a step leaves the values as they are and its gradients in the
 * store. */
#include "support_train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Runs `steps` steps; *gradients are those of the last one. */
static int64_t gradients_after(struct world *w, float **gradients, double *loss, int steps,
                               const char *accumulate, const char *dropout, const char *mix) {
    struct world_run r;
    char attention[64];
    snprintf(attention, sizeof attention, "model.attention_%s", dropout);
    char hidden[64];
    snprintf(hidden, sizeof hidden, "model.%s", dropout);
    run_make(&r, w, "unused", "train.lr=0", "train.batch_size=16", "tasks.slots.weight=0.7", accumulate, hidden,
             attention, mix, NULL);
    struct berth_store *s = r.trainer->store;
    for (int i = 0; i < steps; i++)
        assert_done(train_step(r.trainer));
    int64_t count = s->grad_total;
    *gradients = malloc((size_t)count * sizeof **gradients);
    memcpy(*gradients, s->grads, (size_t)count * sizeof **gradients);
    *loss = r.trainer->loss;
    run_free(&r);
    return count;
}

static double relative_difference(const float *a, const float *b, int64_t count) {
    double difference = 0, size = 0;
    for (int64_t i = 0; i < count; i++) {
        difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        size += (double)a[i] * a[i];
    }
    assert_true(size > 0);
    return sqrt(difference / size);
}

/* ---- a step row by row: the reference */

/* A communicator that says nothing: a rank of sixteen is left with the gradient of its own part, one row,
 * weighed as a part of the whole step. */
static berth_status no_sum(struct berth_comm *c, struct berth_device *dev, float *data, int64_t n) {
    (void)c, (void)dev, (void)data, (void)n;
    return BERTH_OK;
}
static berth_status no_sum_host(struct berth_comm *c, double *data, int64_t n) {
    (void)c, (void)data, (void)n;
    return BERTH_OK;
}
static berth_status no_broadcast(struct berth_comm *c, void *data, size_t bytes) {
    (void)c, (void)data, (void)bytes;
    return BERTH_OK;
}
static berth_status no_barrier(struct berth_comm *c) {
    (void)c;
    return BERTH_OK;
}
static void no_fail(struct berth_comm *c, berth_status status, const char *text) {
    (void)c, (void)status, (void)text;
}
static const struct berth_comm_table silent = {.name = "silent",
                                               .sum = no_sum,
                                               .sum_host = no_sum_host,
                                               .broadcast = no_broadcast,
                                               .barrier = no_barrier,
                                               .fail = no_fail,
                                               .close = no_barrier};

enum { ROWS = 16 };

/* sum: of the rows' gradients, in double; size: of their magnitudes, element by element. */
static void sum_of_rows(struct world *w, double *sum, double *size, int64_t count, int steps,
                        const char *dropout, const char *mix) {
    char hidden[64], attention[64];
    const char *const list[] = {
        "train.lr=0", "train.batch_size=16", "tasks.slots.weight=0.7", hidden, attention, mix};
    snprintf(hidden, sizeof hidden, "model.%s", dropout);
    snprintf(attention, sizeof attention, "model.attention_%s", dropout);
    memset(sum, 0, (size_t)count * sizeof *sum);
    memset(size, 0, (size_t)count * sizeof *size);
    for (int row = 0; row < ROWS; row++) {
        struct berth_comm rank = {.table = &silent, .rank = row, .size = ROWS};
        struct berth_config *c = world_config_list(w, list, sizeof list / sizeof list[0]);
        struct berth_trainer *t = NULL;
        assert_done(berth_trainer_create_rank(&t, c, NULL, &rank));
        assert_int_equal(t->store->grad_total, count);
        for (int i = 0; i < steps; i++)
            assert_done(train_step(t));
        for (int64_t i = 0; i < count; i++) {
            sum[i] += (double)t->store->grads[i];
            size[i] += fabs((double)t->store->grads[i]);
        }
        berth_trainer_free(t);
        berth_config_free(c);
    }
}

static double norm(const double *x, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += x[i] * x[i];
    return sqrt(sum);
}

static double distance(const float *a, const double *b, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return sqrt(sum);
}

/* The same rows in one batch or in four: the masks hang on a row's ordinal in the step, so dropout changes
 * nothing, and what differs is the order of sums.
 *
 * Whether it is that is told by a reference that has no order: each row's gradient by itself, the sixteen added
 * in double. A sum of n terms, in any order, lies within (n - 1) u of the sum of their magnitudes of the true
 * one (Higham, Accuracy and Stability, 4.2; u = 2^-24), so that is the measure, for both ways of cutting. Rows
 * that pull against each other make it large beside the gradient: a unit was 0.7e-7 to 1.3e-7 of a mixed step's
 * gradient, up to 9.8e-7 of one of one task. */
static void test_accumulate_is_the_same_step(void **state) {
    static const char *const dropouts[] = {"dropout=0", "dropout=0.3"}, *const mixes[] = {"sampling.mix=batch",
                                                                                          "sampling.mix=step"};
    for (int k = 0; k < 4; k++) {
        for (int steps = 1; steps <= 3; steps++) {
            float *whole = NULL, *parts = NULL;
            double loss = 0, loss_of_parts = 0;
            const char *dropout = dropouts[k % 2], *mix = mixes[k / 2];
            int64_t count = gradients_after(*state, &whole, &loss, steps, "train.accumulate=1", dropout, mix);
            assert_int_equal(count, gradients_after(*state, &parts, &loss_of_parts, steps, "train.accumulate=4",
                                                    dropout, mix));
            double *sum = calloc((size_t)count, sizeof *sum), *size = calloc((size_t)count, sizeof *size);
            sum_of_rows(*state, sum, size, count, steps, dropout, mix);
            double unit = norm(size, count) * 0x1p-24, of_whole = distance(whole, sum, count) / unit,
                   of_parts = distance(parts, sum, count) / unit;
            if (!(of_whole <= ROWS - 1 &&
                  of_parts <= ROWS - 1)) /* 0.2 to 3.1 seen; a wrong share or mask: 10,000 */
                fail_msg("%s, %s, step %d: in units of %.2g of the gradient: whole %.2f, in parts %.2f",
                         dropout, mix, steps, unit / norm(sum, count), of_whole, of_parts);
            if (fabs(loss - loss_of_parts) > 1e-6 * loss) fail_msg("losses %.9g and %.9g", loss, loss_of_parts);
            free(whole);
            free(parts);
            free(sum);
            free(size);
        }
    }
}

static void test_dropout_changes_the_gradient(void **state) {
    float *with = NULL, *without = NULL;
    double loss = 0;
    int64_t count =
        gradients_after(*state, &with, &loss, 1, "train.accumulate=1", "dropout=0.3", "sampling.mix=batch");
    gradients_after(*state, &without, &loss, 1, "train.accumulate=1", "dropout=0", "sampling.mix=batch");
    assert_true(relative_difference(with, without, count) > 0.01);
    free(with);
    free(without);
}

/* loss = sum of w_t (rows labelled for t / rows) m_t in a mixed step, w_t m_t in a step of one task. */
static void check_loss(struct world *w, const char *mix, bool one_task) {
    struct world_run r;
    const double weights[3] = {1.0, 0.7, 2.5};
    run_make(&r, w, "unused", mix, "train.lr=0", "tasks.slots.weight=0.7", "tasks.feeling.weight=2.5", NULL);
    struct berth_trainer *t = r.trainer;
    for (int step = 0; step < 8; step++) {
        int64_t rows = 0, labelled[3] = {0}, held = 0;
        double expected = 0;
        assert_done(train_step(t));
        for (int b = 0; b < berth_feeder_batch_count(t->feeder); b++) {
            const struct berth_batch *batch = berth_feeder_batch(t->feeder, b);
            rows += batch->sequence_count;
            for (int64_t s = 0; s < batch->sequence_count; s++) {
                bool talk = strcmp(berth_data_source(t->data, (size_t)batch->source[s])->name, "talk") == 0;
                labelled[0] += talk;
                labelled[1] += talk;
                labelled[2] += !talk;
            }
        }
        for (int i = 0; i < 3; i++) {
            if (isnan(t->task_loss[i])) continue;
            held++;
            expected += weights[i] * (one_task ? 1.0 : (double)labelled[i] / (double)rows) * t->task_loss[i];
        }
        assert_true(one_task ? held == 1 : held >= 1);
        if (fabs(expected - t->loss) > 1e-12 * expected)
            fail_msg("%s: loss %.17g, expected %.17g", mix, t->loss, expected);
        assert_true(t->grad_norm > 0);
    }
    run_free(&r);
}
static void test_loss_of_a_step(void **state) {
    check_loss(*state, "sampling.mix=batch", false);
    check_loss(*state, "sampling.mix=step", true);
}

/* The gradient of a mixed step along a random direction is the slope of the very loss that is reported. */
static void test_gradient_is_of_the_reported_loss(void **state) {
    struct world *w = *state;
    float *gradients = NULL;
    double at = 0, slope = 0, side[2] = {0};
    const double h = 1e-2;
    int64_t count =
        gradients_after(w, &gradients, &at, 1, "train.accumulate=1", "dropout=0", "sampling.mix=batch");
    for (int k = 0; k < 2; k++) {
        struct world_run r;
        run_make(&r, w, "unused", "train.lr=0", "train.batch_size=16", "tasks.slots.weight=0.7",
                 "model.dropout=0", "model.attention_dropout=0", NULL);
        const struct berth_store *s = r.trainer->store;
        assert_int_equal(s->grad_total, count);
        double norm = 0;
        slope = 0;
        for (int64_t i = 0; i < count; i++)
            norm += (double)gradients[i] * gradients[i];
        norm = sqrt(norm);
        for (int i = 0; i < s->segment_count; i++) { /* along the gradient itself: the slope is its norm */
            const struct berth_segment *g = &s->segments[i];
            for (int64_t e = 0; e < g->count; e++)
                r.trainer->model->values[g->value_offset + e] +=
                    (float)((k == 0 ? h : -h) * gradients[g->grad_offset + e] / norm);
        }
        slope = norm;
        assert_done(train_step(r.trainer));
        side[k] = r.trainer->loss;
        run_free(&r);
    }
    double numeric = (side[0] - side[1]) / (2 * h);
    if (fabs(numeric - slope) > 2e-3 * slope)
        fail_msg("slope %.9g by differences, %.9g by the gradient", numeric, slope);
    free(gradients);
}

/* A run whose layers are computed again in backward ends with the same bits, with gradients by task as well. */
static void test_recomputing_changes_no_bit(void **state) {
    static const char *const methods[] = {"weighting.method=fixed", "weighting.method=pcgrad"};
    for (int i = 0; i < 2; i++) {
        char name[2][48];
        for (int recompute = 0; recompute < 2; recompute++) {
            snprintf(name[recompute], sizeof name[0], "recompute-%d-%d/best/model.safetensors", i, recompute);
            char run[32];
            snprintf(run, sizeof run, "recompute-%d-%d", i, recompute);
            assert_done(run_whole(*state, run, false, 0, methods[i],
                                  recompute ? "train.recompute=layers" : "train.recompute=none",
                                  "train.accumulate=2", NULL));
        }
        assert_same_file(world_path(*state, name[0]), world_path(*state, name[1]));
    }
    /* so a run may go on without what it began with */
    assert_int_equal(
        run_whole(*state, "recompute-part", false, 5, "train.recompute=layers", "train.accumulate=2", NULL),
        BERTH_E_STOPPED);
    assert_done(run_whole(*state, "recompute-part", true, 0, "train.accumulate=2", NULL));
    assert_same_file(world_path(*state, "recompute-0-0/best/model.safetensors"),
                     world_path(*state, "recompute-part/best/model.safetensors"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recomputing_changes_no_bit),
        cmocka_unit_test(test_accumulate_is_the_same_step),
        cmocka_unit_test(test_dropout_changes_the_gradient),
        cmocka_unit_test(test_loss_of_a_step),
        cmocka_unit_test(test_gradient_is_of_the_reported_loss),
    };
    return cmocka_run_group_tests_name("train_gradients", tests, world_setup, world_teardown);
}
