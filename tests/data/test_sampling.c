/* test_sampling.c: which rows an epoch draws under each scheme, mix, size and epoch; that threads, ranks and
 * resuming change nothing. */
#include "data/support_data.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "data/data_priv.h"

#define SMALL 30
#define LARGE 90
#define SOURCES                                                                                                \
    "data: {small: {format: tsv, text: text, train: small.tsv}, large: {format: tsv, text: text, train: "      \
    "large.tsv}}\n"                                                                                            \
    "tasks: {s: {type: classification, source: small, label: label},\n"                                        \
    "        l: {type: classification, source: large, label: label}}\n"

/* Rows of 1..9 words; two in ten rows are of class x. */
static void put_rows(const struct data_world *w, const char *name, int rows) {
    struct berth_str s = {0};
    berth_str_add(&s, "text\tlabel\n");
    for (int i = 0; i < rows; i++) {
        for (int k = 0; k <= (i * 7) % 9; k++)
            berth_str_addf(&s, "%c ", 'a' + (i + k) % 26);
        berth_str_addf(&s, "\t%s\n", i % 10 < 2 ? "x" : "y");
    }
    world_put(w, name, s.data);
    berth_str_deinit(&s);
}

static struct berth_data *open_with(const struct data_world *w, const char *sampling) {
    char body[1024];
    put_rows(w, "small.tsv", SMALL);
    put_rows(w, "large.tsv", LARGE);
    snprintf(body, sizeof body, SOURCES "sampling: {%s}\n", sampling);
    return world_open(w, body);
}

static struct berth_feeder *feeder_of(const struct berth_data *d, struct berth_feeder_options o) {
    struct berth_feeder *f = NULL;
    if (o.seed == 0) o.seed = 3;
    if (o.accumulate == 0) o.accumulate = 1;
    if (o.batch_size == 0 && o.batch_tokens == 0) o.batch_size = 8;
    assert_ok(berth_feeder_create(&f, d, &o));
    return f;
}

struct seen {
    int small[SMALL], large[LARGE];
    int64_t rows[2], steps;
    int64_t least[2], most[2]; /* rows of a source in a step */
    int64_t items[2], class_x;
};

/* Adds an epoch. */
static void run_epoch(struct seen *t, struct berth_feeder *f, int64_t epoch) {
    int64_t steps = 0;
    assert_ok(berth_feeder_restore(f, epoch, 0));
    assert_ok(berth_feeder_epoch_steps(f, epoch, &steps));
    if (t->steps == 0) t->least[0] = t->least[1] = INT64_MAX;
    for (int64_t i = 0; i < steps; i++) {
        int64_t rows[2] = {0};
        assert_ok(berth_feeder_next(f));
        assert_int_equal(berth_feeder_epoch(f), epoch);
        for (int k = 0; k < berth_feeder_batch_count(f); k++) {
            const struct berth_batch *b = berth_feeder_batch(f, k);
            for (int64_t s = 0; s < b->sequence_count; s++) {
                rows[b->source[s]]++;
                (*(b->source[s] == 0 ? &t->small[b->source_row[s]] : &t->large[b->source_row[s]]))++;
            }
            for (int task = 0; task < 2; task++) {
                t->items[task] += b->items[task].count;
                for (int64_t n = 0; task == 1 && n < b->items[1].count; n++)
                    t->class_x += b->items[1].label[n] == 0;
            }
        }
        for (int s = 0; s < 2; s++) {
            t->rows[s] += rows[s];
            t->least[s] = rows[s] < t->least[s] ? rows[s] : t->least[s];
            t->most[s] = rows[s] > t->most[s] ? rows[s] : t->most[s];
        }
    }
    t->steps += steps;
}

static void spread(const int *counts, int n, int *least, int *most) {
    *least = *most = counts[0];
    for (int i = 1; i < n; i++) {
        *least = counts[i] < *least ? counts[i] : *least;
        *most = counts[i] > *most ? counts[i] : *most;
    }
}

/* Draws of one epoch, and that over four epochs no row of a source comes two times more often than another. */
static void schemes_share_the_draws(void **state) {
    (void)state;
    static const struct {
        const char *sampling;
        int64_t small, large;
    } cases[] = {
        {"scheme: proportional", 30, 90},
        {"scheme: uniform", 60, 60},
        {"scheme: temperature, temperature: 1", 30, 90},
        {"scheme: temperature, temperature: 2", 44, 76}, /* 1 : 1.732 */
        {"scheme: temperature, temperature: 1, cap: 60", 40, 80},
        {"scheme: shares, units: {small: {share: 3}, large: {share: 1}}", 90, 30},
        {"scheme: shares, units: {small: {share: 1}, large: {share: 0}}", 120, 0},
        {"scheme: proportional, epoch: smallest", 30, 90},
        {"scheme: uniform, epoch: smallest", 30, 30},
        {"scheme: uniform, epoch: largest", 90, 90},
        {"scheme: uniform, epoch: steps, epoch_steps: 5", 20, 20},
        {"units: {small: {rows: 75}}", 75, 90},
        {"units: {small: {ratio: 2}}", 60, 90},
        {"units: {small: {ratio: 1, ratio_of: largest}}", 90, 90},
        {"units: {large: {ratio: 0.5, ratio_of: smallest}}", 30, 15},
        {"units: {large: {rows: 17, fewer: fixed}}", 30, 17},
        {"mix: step", 30, 90},
        {"mix: step, scheme: uniform", 60, 60},
        {"mix: step, units: {s: {ratio: 3}}", 90, 90},
        {"mix: all", 30, 90},
        {"mix: all, scheme: uniform", 60, 60},
    };
    struct data_world w;
    world_make(&w);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct berth_data *d = open_with(&w, cases[i].sampling);
        struct berth_feeder *f = feeder_of(d, (struct berth_feeder_options){0});
        struct seen t = {0};
        int least = 0, most = 0;
        run_epoch(&t, f, 0);
        if (t.rows[0] != cases[i].small || t.rows[1] != cases[i].large)
            fail_msg("%s: %lld and %lld rows, expected %lld and %lld", cases[i].sampling, (long long)t.rows[0],
                     (long long)t.rows[1], (long long)cases[i].small, (long long)cases[i].large);
        for (int64_t e = 1; e < 4; e++)
            run_epoch(&t, f, e);
        assert_int_equal(t.rows[1], 4 * cases[i].large);
        spread(t.small, SMALL, &least, &most);
        assert_true(most - least <= 1);
        spread(t.large, LARGE, &least, &most);
        if (strstr(cases[i].sampling, "fixed")) { /* the same rows every epoch */
            assert_int_equal(least, 0);
            for (int r = 0; r < LARGE; r++)
                assert_true(t.large[r] == 0 || t.large[r] == 4);
        } else {
            assert_true(most - least <= 1); /* fresh ones every epoch */
        }
        double shares = 0;
        for (size_t u = 0; u < berth_feeder_unit_count(f); u++)
            shares += berth_feeder_unit(f, u).share;
        assert_true(fabs(shares - 1) < 1e-12);
        struct berth_feeder_task task = berth_feeder_task(f, 1);
        assert_true(fabs(task.draws - (double)cases[i].large) < 1e-9);
        assert_int_equal(task.rows, LARGE);
        berth_feeder_free(f);
        berth_data_free(d);
    }
    world_remove(&w);
}

static void every_step_holds_all_sources(void **state) {
    (void)state;
    struct data_world w;
    world_make(&w);
    struct berth_data *d = open_with(&w, "mix: all");
    struct berth_feeder *f = feeder_of(d, (struct berth_feeder_options){.accumulate = 2});
    struct seen t = {0};
    run_epoch(&t, f, 0);
    assert_true(t.least[0] == 2 && t.most[0] == 2 && t.least[1] == 6 && t.most[1] == 6);
    assert_true(berth_feeder_batch(f, 0)->one_share && !berth_feeder_batch(f, 0)->one_task);
    assert_true(berth_feeder_task(f, 0).share == 1 && berth_feeder_task(f, 1).share == 1);
    berth_feeder_free(f);
    struct berth_feeder_options few = {.seed = 1, .batch_size = 1, .accumulate = 1};
    assert_int_equal(berth_feeder_create(&f, d, &few), BERTH_E_USAGE);
    assert_string_equal(berth_error_text(), "sampling.mix: 'all' puts rows of all 2 sources in every step; "
                                            "train.batch_size is only 1");
    few = (struct berth_feeder_options){.seed = 1, .batch_tokens = 100, .accumulate = 1};
    assert_int_equal(berth_feeder_create(&f, d, &few), BERTH_E_USAGE);
    berth_data_free(d);
    world_remove(&w);
}

static void classes_are_balanced(void **state) {
    (void)state;
    struct data_world w;
    world_make(&w);
    struct berth_data *d = open_with(&w, "units: {large: {balance: l}}");
    struct berth_feeder *f = feeder_of(d, (struct berth_feeder_options){0});
    struct seen t = {0};
    run_epoch(&t, f, 0);
    assert_int_equal(t.rows[1], LARGE);
    assert_int_equal(t.class_x, LARGE / 2); /* 18 of 90 rows are of class x */
    for (int64_t e = 1; e < 6; e++)
        run_epoch(&t, f, e);
    for (int r = 0; r < LARGE; r++)
        assert_int_equal(t.large[r] >= 15, r % 10 < 2); /* 270 / 18 = 15 times, 270 / 72 = 3 or 4 */
    berth_feeder_free(f);
    berth_data_free(d);
    d = open_with(&w, "units: {large: {balance: s}}");
    const struct berth_feeder_options o = {.seed = 1, .batch_size = 8, .accumulate = 1};
    assert_int_equal(berth_feeder_create(&f, d, &o), BERTH_E_USAGE);
    assert_string_equal(berth_error_text(),
                        "sampling.units.large.balance: found 's', expected a classification task that "
                        "rows of 'large' feed");
    berth_data_free(d);
    world_remove(&w);
}

static void tasks_that_do_not_train_draw_nothing(void **state) {
    (void)state;
    struct data_world w;
    world_make(&w);
    const bool tasks[] = {false, true};
    for (int step = 0; step < 2; step++) {
        struct berth_data *d = open_with(&w, step ? "mix: step" : "mix: batch");
        struct berth_feeder *f = feeder_of(d, (struct berth_feeder_options){.tasks = tasks});
        struct seen t = {0};
        run_epoch(&t, f, 0);
        assert_true(t.rows[0] == 0 && t.rows[1] == LARGE && t.items[0] == 0 && t.items[1] == LARGE);
        berth_feeder_free(f);
        berth_data_free(d);
    }
    world_remove(&w);
}

/* What a step holds, as a number. */
static uint64_t digest_step(const struct berth_feeder *f) {
    uint64_t h = 1469598103934665603ULL;
    for (int k = 0; k < berth_feeder_batch_count(f); k++) {
        const struct berth_batch *b = berth_feeder_batch(f, k);
        h = (h ^ (uint64_t)berth_feeder_batch_part(f, k)) * 1099511628211ULL;
        for (int64_t i = 0; i < b->tokens_count; i++)
            h = (h ^ (uint64_t)b->tokens[i] ^ (uint64_t)b->row_ordinal[i] << 32) * 1099511628211ULL;
        for (int t = 0; t < b->task_count; t++)
            for (int64_t i = 0; i < b->items[t].count; i++)
                h = (h ^ (uint64_t)b->items[t].label[i] ^ (uint64_t)b->items[t].task_items << 20) *
                    1099511628211ULL;
    }
    return h;
}

/* With and without the thread, and from any step on, the same steps. */
static void any_step_can_be_reached(void **state) {
    (void)state;
    static const char *const samplings[] = {"mix: batch", "scheme: uniform, epoch: largest",
                                            "mix: step, scheme: temperature, temperature: 3",
                                            "mix: all, units: {small: {ratio: 2.3}}"};
    struct data_world w;
    world_make(&w);
    for (size_t k = 0; k < 8; k++) {
        bool tokens = k >= 4 && k < 7;
        struct berth_feeder_options o = {
            .accumulate = 2, .batch_tokens = tokens ? 60 : 0, .batch_size = tokens ? 0 : 8};
        struct berth_data *d = open_with(&w, samplings[k % 4]);
        uint64_t wanted[200];
        int64_t epochs[200], done[200], count = 0;
        o.synchronous = true;
        struct berth_feeder *f = feeder_of(d, o);
        while (count < 60) {
            assert_ok(berth_feeder_next(f));
            wanted[count] = digest_step(f);
            berth_feeder_state(f, &epochs[count], &done[count]);
            count++;
        }
        assert_true(epochs[count - 1] >= 1);
        berth_feeder_free(f);
        o.synchronous = false;
        f = feeder_of(d, o);
        for (int64_t i = 0; i < count; i++) {
            assert_ok(berth_feeder_next(f));
            assert_true(digest_step(f) == wanted[i]);
        }
        for (int64_t i = 0; i + 1 < count; i += 7) {
            assert_ok(berth_feeder_restore(f, epochs[i], done[i]));
            for (int64_t n = 1; n <= 3 && i + n < count; n++) {
                assert_ok(berth_feeder_next(f));
                assert_true(digest_step(f) == wanted[i + n]);
            }
        }
        berth_feeder_free(f);
        berth_data_free(d);
    }
    world_remove(&w);
}

/* The ranks' parts are those of one rank; counts are the whole step's. */
static void ranks_share_a_step(void **state) {
    (void)state;
    struct data_world w;
    world_make(&w);
    struct berth_data *d = open_with(&w, "mix: batch");
    struct berth_feeder *one = feeder_of(d, (struct berth_feeder_options){.accumulate = 4});
    struct berth_feeder *ranks[2];
    for (int r = 0; r < 2; r++)
        ranks[r] = feeder_of(d, (struct berth_feeder_options){.accumulate = 4, .rank = r, .ranks = 2});
    for (int step = 0; step < 40; step++) {
        int next = 0;
        assert_ok(berth_feeder_next(one));
        for (int r = 0; r < 2; r++) {
            assert_ok(berth_feeder_next(ranks[r]));
            for (int k = 0; k < berth_feeder_batch_count(ranks[r]); k++, next++) {
                const struct berth_batch *a = berth_feeder_batch(one, next),
                                         *b = berth_feeder_batch(ranks[r], k);
                assert_int_equal(berth_feeder_batch_part(one, next), berth_feeder_batch_part(ranks[r], k));
                assert_int_equal(berth_feeder_batch_part(ranks[r], k) / 2, r);
                assert_int_equal(a->tokens_count, b->tokens_count);
                assert_memory_equal(a->tokens, b->tokens, (size_t)a->tokens_count * sizeof *a->tokens);
                assert_memory_equal(a->ordinal, b->ordinal, (size_t)a->sequence_count * sizeof *a->ordinal);
                assert_int_equal(a->step_rows, b->step_rows);
                for (int t = 0; t < 2; t++) {
                    assert_int_equal(a->items[t].task_items, b->items[t].task_items);
                    assert_int_equal(a->items[t].task_rows, b->items[t].task_rows);
                }
            }
        }
        assert_int_equal(next, berth_feeder_batch_count(one));
    }
    for (int r = 0; r < 2; r++)
        berth_feeder_free(ranks[r]);
    berth_feeder_free(one);
    berth_data_free(d);
    world_remove(&w);
}

/* A step of training takes far longer than preparing one: then only the first waits (an idle machine's measure;
 * a busy one may delay the thread now and then). */
static void steps_do_not_wait(void **state) {
    (void)state;
    struct data_world w;
    world_make(&w);
    struct berth_data *d = open_with(&w, "mix: batch");
    struct berth_feeder *f = feeder_of(d, (struct berth_feeder_options){0});
    int64_t waits = 0;
    for (int i = 0; i < 60; i++) {
        assert_ok(berth_feeder_next(f));
        usleep(3000);
    }
    double seconds = berth_feeder_waited(f, &waits);
    assert_true(seconds >= 0 && waits >= 0);
    assert_true(waits <= 15);
    berth_feeder_free(f);
    berth_data_free(d);
    world_remove(&w);
}

static void mistakes_are_told(void **state) {
    (void)state;
    struct data_world w;
    world_make(&w);
    put_rows(&w, "small.tsv", SMALL);
    put_rows(&w, "large.tsv", LARGE);
    world_refuses(&w, SOURCES "sampling: {units: {smal: {rows: 3}}}\n", BERTH_E_USAGE,
                  "test.yaml:4:26: sampling.units.smal: no source is named 'smal'; did you mean 'small'? (with "
                  "mix: batch the "
                  "units are sources)");
    world_refuses(
        &w, SOURCES "sampling: {mix: step, units: {small: {rows: 3}}}\n", BERTH_E_USAGE,
        "test.yaml:4:38: sampling.units.small: no task is named 'small' (with mix: step the units are tasks)");
    world_refuses(&w, SOURCES "sampling: {epoch: steps}\n", BERTH_E_USAGE,
                  "test.yaml:4:19: sampling.epoch: 'steps' needs the key 'epoch_steps' beside it");
    world_refuses(&w, SOURCES "sampling: {units: {small: {share: 0.5}}}\n", BERTH_E_USAGE,
                  "test.yaml:4:35: sampling.units.small.share: shares are given, but the scheme is "
                  "'proportional', which works "
                  "them out: choose 'scheme: shares' or leave them out");
    struct berth_data *d = open_with(&w, "scheme: shares, units: {small: {share: 0.5}}");
    struct berth_feeder *f = NULL;
    const struct berth_feeder_options o = {.seed = 1, .batch_size = 8, .accumulate = 1};
    assert_int_equal(berth_feeder_create(&f, d, &o), BERTH_E_USAGE);
    assert_string_equal(berth_error_text(),
                        "sampling.units.large.share: missing, expected a number: with 'scheme: shares' "
                        "every part has one");
    berth_data_free(d);
    world_remove(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schemes_share_the_draws), cmocka_unit_test(every_step_holds_all_sources),
        cmocka_unit_test(classes_are_balanced),    cmocka_unit_test(tasks_that_do_not_train_draw_nothing),
        cmocka_unit_test(any_step_can_be_reached), cmocka_unit_test(ranks_share_a_step),
        cmocka_unit_test(steps_do_not_wait),       cmocka_unit_test(mistakes_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
