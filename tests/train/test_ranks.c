/* test_ranks.c: two and four ranks, as threads of the test, against one: the same losses and values within
 * rounding, the same bits where sums go part by part; one that fails; another number of ranks goes on. */
#include "support_train.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "berth/file.h"

struct member {
    struct berth_comm *comm;
    pthread_t thread;
    struct berth_config *config;
    struct berth_trainer *trainer;
    bool resume;
    int64_t stop_at, spoil_at; /* steps; 0: never; spoil_at below 0: a value becomes NaN */
    berth_status status;
    char text[512];
    uint64_t digest; /* of the values at the end */
};

/* Asked of every rank after every step. Rank 1 alone wishes to stop; or its values change by themselves. */
static bool wishes(void *user) {
    struct member *m = user;
    struct berth_trainer *t = m->trainer;
    if (m->spoil_at > 0 && t->state.step == m->spoil_at) t->model->values[t->model->parameters[0].offset] += 1;
    /* of the position table: every row reads it */
    if (m->spoil_at < 0 && t->state.step == -m->spoil_at)
        t->model->values[t->model->parameters[1].offset] = NAN;
    return m->stop_at > 0 && t->state.step >= m->stop_at;
}

static void *run_member(void *user) {
    struct member *m = user;
    const struct berth_observer observer = {.user = m, .stop_requested = wishes};
    m->status = berth_trainer_create_rank(&m->trainer, m->config, &observer, m->comm);
    if (m->status == BERTH_OK) m->status = berth_trainer_start(m->trainer, m->resume);
    if (m->status == BERTH_OK) m->status = berth_trainer_run(m->trainer);
    snprintf(m->text, sizeof m->text, "%s", m->status == BERTH_OK ? "" : berth_error_text());
    if (m->trainer != NULL)
        m->digest = berth_hash(m->trainer->model->values, (size_t)m->trainer->model->total * sizeof(float)).low;
    berth_trainer_free(m->trainer);
    m->trainer = NULL;
    return NULL;
}

static struct member members[4];

/* A run of `ranks` in folder RUN; list: overrides. stop_at, spoil_at are rank 1's. */
static berth_status run_ranks(const struct world *w, const char *run, int ranks, bool resume, int64_t stop_at,
                              int64_t spoil_at, const char *const *list, size_t count) {
    struct berth_comm *comms[4] = {berth_comm_one()};
    char output[600];
    const char *all[24] = {output};
    snprintf(output, sizeof output, "output=%s/%s", w->folder, run);
    for (size_t i = 0; i < count; i++)
        all[1 + i] = list[i];
    if (ranks > 1) assert_done(berth_comm_threads(comms, ranks));
    for (int r = 0; r < ranks; r++) {
        members[r] =
            (struct member){.comm = comms[r], .config = world_config_list(w, all, count + 1), .resume = resume};
        if (r == ranks - 1) members[r].stop_at = stop_at;
        if (r == ranks - 1) members[r].spoil_at = spoil_at;
    }
    for (int r = 0; r < ranks; r++)
        assert_int_equal(pthread_create(&members[r].thread, NULL, run_member, &members[r]), 0);
    for (int r = 0; r < ranks; r++)
        pthread_join(members[r].thread, NULL);
    for (int r = 0; r < ranks; r++) {
        assert_done(berth_comm_close(comms[r]));
        berth_config_free(members[r].config);
    }
    return members[0].status;
}

#define LIST(...)                                                                                              \
    (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)

static void assert_alike(int ranks) {
    for (int r = 0; r < ranks; r++) {
        if (members[r].status != members[0].status) fail_msg("rank %d: %s", r, members[r].text);
        assert_int_equal(members[r].digest, members[0].digest);
    }
}

/* The numbers of metrics.jsonl behind "loss": one after the other; their count. */
static size_t losses_of(const struct world *w, const char *run, double *out, size_t most) {
    char name[96];
    size_t n = 0;
    snprintf(name, sizeof name, "%s/metrics.jsonl", run);
    char *text = read_metrics(world_path(w, name));
    for (const char *p = text; (p = strstr(p, "\"loss\":")) != NULL && n < most; p += 7)
        out[n++] = strtod(p + 7, NULL);
    free(text);
    return n;
}

static void assert_near(const struct world *w, const char *a, const char *b, double bound) {
    double x[200], y[200], worst = 0;
    size_t n = losses_of(w, a, x, 200), m = losses_of(w, b, y, 200);
    assert_true(n == m && n >= 8);
    for (size_t i = 0; i < n; i++)
        worst = fmax(worst, fabs(x[i] - y[i]) / (fabs(x[i]) + 1e-3));
    if (!(worst <= bound))
        fail_msg("losses of %s and %s differ by up to %.3g, expected at most %.3g", a, b, worst, bound);
}

static void assert_same_end(const struct world *w, const char *a, const char *b) {
    char x[96], y[96];
    snprintf(x, sizeof x, "%s/best/model.safetensors", a);
    snprintf(y, sizeof y, "%s/best/model.safetensors", b);
    assert_same_file(world_path(w, x), world_path(w, y));
    snprintf(x, sizeof x, "%s/metrics.jsonl", a);
    snprintf(y, sizeof y, "%s/metrics.jsonl", b);
    char *p = read_metrics(world_path(w, x)), *q = read_metrics(world_path(w, y));
    assert_string_equal(p, q);
    free(p);
    free(q);
    snprintf(x, sizeof x, "%s/finished.json", a);
    snprintf(y, sizeof y, "%s/finished.json", b);
    assert_same_file(world_path(w, x), world_path(w, y));
}

/* All that a run may have: an average, learnt weights, a head that some steps lack, thawing. lr is low, so that
 * the rounding of sums is all that a difference grows from. */
#define RICH                                                                                                   \
    "train.ema=0.9", "weighting.method=uncertainty", "train.lr=2e-4", "train.head_lr=5e-4",                    \
        "train.clip_norm=0.5", "freeze=[{select: layers.0, until: 5 steps}]", "checkpoint.every=3 steps",      \
        "evaluate.every=4 steps"

static void test_same_losses(void **state) {
    const struct world *w = *state;
    assert_done(run_ranks(w, "one", 1, false, 0, 0, LIST(RICH)));
    assert_done(run_ranks(w, "two", 2, false, 0, 0, LIST(RICH)));
    assert_alike(2);
    assert_near(w, "one", "two", 1e-4);
    assert_done(run_ranks(w, "two again", 2, false, 0, 0, LIST(RICH)));
    assert_same_end(w, "two", "two again");
    assert_done(run_ranks(w, "three", 3, false, 0, 0, LIST(RICH)));
    assert_alike(3);
    assert_near(w, "one", "three", 1e-4);
}

/* batch_tokens, so that parts have different numbers of rows; one row of a step leaves ranks without any. */
static void test_uneven(void **state) {
    const struct world *w = *state;
    assert_done(
        run_ranks(w, "tokens 1", 1, false, 0, 0,
                  LIST("train={steps: 12, batch_tokens: 40, lr: 2.0e-4, warmup: 2}", "sampling.mix=step")));
    assert_done(
        run_ranks(w, "tokens 2", 2, false, 0, 0,
                  LIST("train={steps: 12, batch_tokens: 40, lr: 2.0e-4, warmup: 2}", "sampling.mix=step")));
    assert_alike(2);
    assert_near(w, "tokens 1", "tokens 2", 1e-4);
    assert_done(run_ranks(w, "single 1", 1, false, 0, 0, LIST("train.batch_size=1", "train.lr=2e-4")));
    assert_done(run_ranks(w, "single 4", 4, false, 0, 0, LIST("train.batch_size=1", "train.lr=2e-4")));
    assert_alike(4);
    assert_same_end(w, "single 1", "single 4"); /* one row: nothing is summed */
}

#define STRICT RICH, "deterministic=strict", "train.accumulate=4"

static void test_strict_same_bits(void **state) {
    const struct world *w = *state;
    assert_done(run_ranks(w, "strict 1", 1, false, 0, 0, LIST(STRICT)));
    assert_done(run_ranks(w, "strict 2", 2, false, 0, 0, LIST(STRICT)));
    assert_alike(2);
    assert_same_end(w, "strict 1", "strict 2");
    assert_done(run_ranks(w, "strict 4", 4, false, 0, 0, LIST(STRICT)));
    assert_same_end(w, "strict 1", "strict 4");
    assert_int_equal(run_ranks(w, "strict 3", 3, false, 0, 0, LIST(STRICT)), BERTH_E_USAGE);
    assert_text_has(members[0].text, "4 parts of a step on 3 ranks: deterministic: strict");
    assert_false(berth_is_folder(world_path(w, "strict 3")));
}

/* The last rank alone is asked to stop: all do, and another number of ranks goes on. */
static void test_stop_and_go_on(void **state) {
    const struct world *w = *state;
    assert_int_equal(run_ranks(w, "moved", 2, false, 5, 0, LIST(STRICT)), BERTH_E_STOPPED);
    assert_alike(2);
    assert_text_has(members[0].text, "stopped after step 5");
    assert_int_equal(run_ranks(w, "moved", 4, true, 8, 0, LIST(STRICT)), BERTH_E_STOPPED);
    assert_done(run_ranks(w, "moved", 1, true, 0, 0, LIST(STRICT)));
    assert_same_end(w, "strict 1", "moved");
    assert_int_equal(run_ranks(w, "loose", 2, false, 5, 0, LIST(RICH)), BERTH_E_STOPPED);
    assert_done(run_ranks(w, "loose", 1, true, 0, 0, LIST(RICH)));
    assert_near(w, "one", "loose", 1e-4);
    char *log = NULL;
    size_t size = 0;
    assert_done(berth_file_read(&log, &size, world_path(w, "loose/log.txt")));
    assert_text_has(log, "going on with 1 ranks, the checkpoint is of 2: sums go in another order");
    free(log);
}

/* Stages that start from the best model of the one before, which rank 0 alone writes. */
static void test_stages(void **state) {
    const struct world *w = *state;
    const char *const stages = "stages=[{name: a, tasks: [intent], train: {steps: 6}}, "
                               "{name: b, start: best, train: {steps: 6}}]";
    assert_done(run_ranks(w, "stages 1", 1, false, 0, 0, LIST(stages, STRICT)));
    assert_done(run_ranks(w, "stages 2", 2, false, 0, 0, LIST(stages, STRICT)));
    assert_alike(2);
    assert_same_end(w, "stages 1", "stages 2");
}

/* Weightings by each task's gradient, whose buffers are summed as the gradients are. */
static void test_task_gradients(void **state) {
    static const char *const all[][3] = {{"pcgrad", "parameters", "strict"},
                                         {"gradnorm", "parameters", "strict"},
                                         {"gradnorm", "representation", "on"}};
    const struct world *w = *state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        char one[32], two[32], weighting[96], bits[32];
        const bool strict = strcmp(all[i][2], "strict") == 0;
        const char *const list[] = {weighting, bits, "train.lr=2e-4", "train.accumulate=4"};
        snprintf(one, sizeof one, "tasks %d 1", (int)i);
        snprintf(two, sizeof two, "tasks %d 2", (int)i);
        snprintf(bits, sizeof bits, "deterministic=%s", all[i][2]);
        snprintf(weighting, sizeof weighting, "weighting={method: %s, gradients: %s}", all[i][0], all[i][1]);
        assert_done(run_ranks(w, one, 1, false, 0, 0, list, 4));
        assert_done(run_ranks(w, two, 2, false, 0, 0, list, 4));
        assert_alike(2);
        if (strict) assert_same_end(w, one, two);
        assert_near(w, one, two, 1e-4);
    }
    assert_int_equal(run_ranks(w, "never", 2, false, 0, 0,
                               LIST("weighting={method: gradnorm, gradients: representation}",
                                    "deterministic=strict", "train.accumulate=2")),
                     BERTH_E_USAGE);
    assert_text_has(members[0].text, "representation: its products are summed rank by rank");
}

/* A rank whose values go astray is found at the next checkpoint, before it is written. */
static void test_astray(void **state) {
    const struct world *w = *state;
    int64_t newest = -1;
    assert_int_equal(run_ranks(w, "astray", 2, false, 0, 4, LIST(RICH)), BERTH_E_NUMERIC);
    assert_text_has(members[0].text, "step 4: the values of rank 1 are not those of rank 0");
    assert_done(berth_checkpoint_newest(world_path(w, "astray"), &newest));
    assert_int_equal(newest, 3);
}

/* A value of one rank is no number: the loss of all is none, and all do what train.on_nan says. */
static void test_nan(void **state) {
    const struct world *w = *state;
    assert_int_equal(run_ranks(w, "nan", 2, false, 0, -2, LIST(RICH)), BERTH_E_NUMERIC);
    assert_int_equal(members[1].status, BERTH_E_NUMERIC);
    assert_text_has(members[0].text, "step 3: loss of task '");
    assert_int_equal(run_ranks(w, "nan skip", 2, false, 0, -2, LIST(RICH, "train.on_nan=skip")),
                     BERTH_E_NUMERIC);
    assert_text_has(members[0].text, "the values of rank 1 are not those of rank 0"); /* nothing was mended */
    assert_done(run_ranks(w, "nan rewind", 2, false, 0, -2, LIST(RICH, "train.on_nan=rewind")));
    assert_alike(2);
}

/* The folder is there already: rank 0 is refused, and the others hear of it. */
static void test_refused(void **state) {
    const struct world *w = *state;
    assert_int_equal(run_ranks(w, "two", 2, false, 0, 0, LIST(RICH)), BERTH_E_EXISTS);
    assert_int_equal(members[1].status, BERTH_E_EXISTS);
    assert_text_has(members[1].text, "rank 0: ");
    assert_done(run_ranks(w, "two", 2, true, 0, 0, LIST(RICH))); /* finished */
}

static int setup(void **state) {
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1); /* dozens of checkpoints, each flushed */
    return world_setup(state);
}

/* How a step is summed is part of a checkpoint: strict goes on from strict. */
static void test_other_sums(void **state) {
    const struct world *w = *state;
    char *log = NULL;
    size_t size = 0;
    assert_int_equal(run_ranks(w, "sums", 1, false, 5, 0, LIST(RICH, "train.accumulate=4")), BERTH_E_STOPPED);
    assert_int_equal(run_ranks(w, "sums", 1, true, 0, 0, LIST(STRICT)), BERTH_E_USAGE);
    assert_text_has(members[0].text, "made with deterministic: on, which sums a step's parts in another order");
    assert_done(run_ranks(w, "sums", 1, true, 0, 0, LIST(RICH, "train.accumulate=4")));
    assert_int_equal(run_ranks(w, "back", 1, false, 5, 0, LIST(STRICT)), BERTH_E_STOPPED);
    assert_done(run_ranks(w, "back", 1, true, 0, 0, LIST(RICH, "train.accumulate=4")));
    assert_done(berth_file_read(&log, &size, world_path(w, "back/log.txt")));
    assert_text_has(log, "going on with deterministic: on, the checkpoint is of strict");
    free(log);
}

/* In-batch negatives are those of a part: with other parts it would be another run. */
static void test_rows_of_a_part(void **state) {
    const struct world *w = *state;
    const char *const pairs[] = {"tasks={near: {type: contrastive, source: pairs}}",
                                 "data={pairs: {format: tsv, text: a, text_pair: b, train: pairs.tsv}}",
                                 "evaluate.every=100 steps"};
    world_write(w, "pairs.tsv",
                "a\tb\nthe film was good\ta good film\nplay some music\tmusic\nbook a table\ta table\nbad "
                "food\tthe food "
                "was bad\nwill it rain\train tomorrow\nvery good\tgood\n");
    assert_int_equal(run_ranks(w, "pairs", 1, false, 5, 0, pairs, 3), BERTH_E_STOPPED);
    assert_int_equal(run_ranks(w, "pairs", 2, true, 0, 0, pairs, 3), BERTH_E_USAGE);
    assert_text_has(members[0].text,
                    "made by 1 ranks, 1 parts a step, here 2: task 'near' compares the rows of a part");
    assert_done(run_ranks(w, "pairs", 1, true, 0, 0, pairs, 3));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_losses),      cmocka_unit_test(test_uneven),
        cmocka_unit_test(test_strict_same_bits), cmocka_unit_test(test_stop_and_go_on),
        cmocka_unit_test(test_stages),           cmocka_unit_test(test_task_gradients),
        cmocka_unit_test(test_astray),           cmocka_unit_test(test_nan),
        cmocka_unit_test(test_other_sums),       cmocka_unit_test(test_rows_of_a_part),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests_name("ranks", tests, setup, world_teardown);
}
