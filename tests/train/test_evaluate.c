/* test_evaluate.c: what counts in an evaluation, with a model whose answers are known: heads without weights
 * answer with the class of their largest bias, whatever the text. */
#include "support_train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "berth/file.h"
#include "berth/json.h"

/* Makes a head answer with one class always; its probability is p1 / (p1 + K - 1) with p1 = e. */
static void answer_always(struct berth_model *m, const char *head, const char *label) {
    char name[64];
    int at = berth_model_find_head(m, head);
    assert_true(at >= 0);
    int32_t class = berth_labels_find(&m->heads[at].task.labels, label);
    assert_true(class >= 0);
    snprintf(name, sizeof name, "heads.%s.weight", head);
    struct berth_parameter *p = &m->parameters[berth_model_find(m, name)];
    memset(m->values + p->offset, 0, (size_t)p->count * sizeof(float));
    snprintf(name, sizeof name, "heads.%s.bias", head);
    p = &m->parameters[berth_model_find(m, name)];
    memset(m->values + p->offset, 0, (size_t)p->count * sizeof(float));
    m->values[p->offset + class] = 1.0f;
}

static void write_rows(const struct world *w, const char *folder, const char *in, const char *out,
                       const char *label) {
    char name[96];
    assert_done(berth_make_folders(world_path(w, folder)));
    snprintf(name, sizeof name, "%s/seq.in", folder);
    world_write(w, name, in);
    snprintf(name, sizeof name, "%s/seq.out", folder);
    world_write(w, name, out);
    snprintf(name, sizeof name, "%s/label", folder);
    world_write(w, name, label);
}

static double score_of(const struct berth_scores *s, const char *task, const char *metric) {
    double value = berth_scores_find(s, task, metric);
    if (isnan(value)) fail_msg("no %s of %s", metric, task);
    return value;
}

static void expect(const struct berth_scores *s, const char *task, const char *metric, double value) {
    double found = score_of(s, task, metric);
    if (fabs(found - value) > 1e-6) fail_msg("%s of %s: %.9g, expected %.9g", metric, task, found, value);
}

static void evaluate_with(struct world *w, struct world_run *r, struct berth_scores *s,
                          const char *slots_answer, const char *batch) {
    run_make(r, w, "unused", "data.talk.dev=dev", "data.mood.dev=mood_dev.tsv", "model.max_length=8", batch,
             NULL);
    answer_always(r->trainer->model, "intent", "weather");
    answer_always(r->trainer->model, "slots", slots_answer);
    answer_always(r->trainer->model, "feeling", "good");
    berth_scores_init(s);
    const struct berth_evaluate_options how = {.metric_of = r->trainer->recipe.metric_of,
                                               .batch_size = r->trainer->recipe.evaluate_batch};
    assert_done(berth_evaluate(s, r->trainer->model, r->trainer->tape, r->trainer->data, BERTH_DEV, &how));
}

/* Labels that training never saw, and a sentence that is longer than max_length = 8 (six words and two marks).
 */
static void write_dev(const struct world *w) {
    write_rows(w, "dev",
               "will it rain in paris\n"
               "book a table in rome\n"
               "play music in oslo tomorrow\n"
               "will it rain in oslo at noon in paris tomorrow\n",
               "O O O O B-city\n"
               "O B-thing I-thing O B-city\n"
               "O O O B-city B-time\n"
               "O O O O B-city B-time I-time O B-city B-time\n",
               "weather\nreserve\nplay\nweather\n");
    world_write(w, "mood_dev.tsv",
                "sentence\tlabel\ngood film\tgood\nbad film\tbad\nthe food\tsoso\nnot bad\tgood\n");
}

static double detail(const struct berth_json *j, const char *path) {
    double value = (double)NAN;
    assert_done(berth_json_number_or(&value, j, path, (double)NAN));
    return value;
}

/* What stands behind the scores of the rows above. */
static void expect_details(const char *text) {
    struct berth_json *j = NULL;
    static const struct {
        const char *path;
        double value;
    } expected[] = {
        {"intent.unknown", 1},            /* "reserve" */
        {"intent.classes[2].support", 2}, /* weather */
        {"intent.classes[2].predicted", 4},
        {"intent.classes[2].correct", 2},
        {"intent.classes[2].precision", 0.5},
        {"intent.classes[2].recall", 1},
        {"intent.classes[1].support", 1}, /* play */
        {"intent.classes[1].recall", 0},
        {"intent.confusion[2][2]", 2},
        {"intent.confusion[1][2]", 1},
        {"intent.confusion[1][1]", 0},
        {"intent.mistakes[0].count", 1},
        {"slots.entities[0].support", 5}, /* city */
        {"slots.entities[0].predicted", 0},
        {"slots.entities[1].support", 3}, /* time */
        {"feeling.confusion[0][1]", 1},   /* bad taken for good */
        {"feeling.unknown", 1},
    };
    assert_done(berth_json_parse(&j, "details", text, strlen(text)));
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        if (detail(j, expected[i].path) != expected[i].value)
            fail_msg("%s: %g, expected %g, in %s", expected[i].path, detail(j, expected[i].path),
                     expected[i].value, text);
    assert_int_equal(berth_json_count(j, "intent.mistakes"), 1);
    berth_json_free(j);
}

static void test_known_answers(void **state) {
    static const char *const batches[] = {"evaluate.batch_size=1", "evaluate.batch_size=3",
                                          "evaluate.batch_size=64"};
    struct world *w = *state;
    write_dev(w);
    for (int i = 0; i < 3; i++) {
        struct world_run r;
        struct berth_scores s;
        evaluate_with(w, &r, &s, "O", batches[i]);
        expect(&s, "intent", "accuracy", 2 / 4.0); /* "reserve" is wrong whatever is said */
        expect(&s, "intent", "rows", 4);
        expect(&s, "intent", "loss", (2 * (log(M_E + 2) - 1) + log(M_E + 2)) / 3); /* three known labels */
        expect(&s, "feeling", "accuracy", 2 / 4.0);
        expect(&s, "feeling", "loss", (2 * (log(M_E + 1) - 1) + log(M_E + 1)) / 3);
        expect(&s, "slots", "span_f1", 0);
        expect(&s, "slots", "span_recall", 0);
        expect(&s, "slots", "word_accuracy", 13 / 25.0); /* of 14 O, one is cut off */
        expect(&s, "slots", "rows", 4);
        expect(&s, "mean", "metric", (0.5 + 0 + 0.5) / 3);
        assert_true(isnan(berth_scores_find(&s, "slots", "span_precision"))); /* nothing was predicted */
        expect_details(s.details);
        assert_string_equal(s.list[0].metric, "accuracy");
        assert_string_equal(s.list[0].split, "dev");
        assert_string_equal(s.list[s.count - 1].task, "mean");
        berth_scores_deinit(&s);
        run_free(&r);
    }
}

/* Every word that was not cut off is a city of its own; cut ones are missed. */
static void test_spans_with_cut_words(void **state) {
    struct world *w = *state;
    struct world_run r;
    struct berth_scores s;
    write_dev(w);
    evaluate_with(w, &r, &s, "B-city", "evaluate.batch_size=2");
    /* predicted 5 + 5 + 5 + 6; gold 1 + 2 (one of them unknown) + 2 + 4; right: the four cities that were not
     * cut off */
    expect(&s, "slots", "span_precision", 4 / 21.0);
    expect(&s, "slots", "span_recall", 4 / 9.0);
    expect(&s, "slots", "span_f1", 2 * 4 / 30.0);
    expect(&s, "slots", "word_accuracy", 4 / 25.0);
    berth_scores_deinit(&s);
    run_free(&r);
}

/* A metric of the configuration's choice comes first and makes the mean; a split that is not there gives no
 * score. */
static void test_own_metric(void **state) {
    struct world *w = *state;
    struct world_run r;
    struct berth_scores s;
    write_dev(w);
    run_make(&r, w, "unused", "data.talk.dev=dev", "data.mood.dev=null", "tasks.slots.metric=accuracy", NULL);
    answer_always(r.trainer->model, "intent", "weather");
    answer_always(r.trainer->model, "slots", "O");
    berth_scores_init(&s);
    const struct berth_evaluate_options how = {.metric_of = r.trainer->recipe.metric_of, .batch_size = 4};
    assert_done(berth_evaluate(&s, r.trainer->model, r.trainer->tape, r.trainer->data, BERTH_DEV, &how));
    expect(&s, "slots", "accuracy", 14 / 25.0);
    expect(&s, "mean", "metric", (0.5 + 14 / 25.0) / 2);
    assert_true(isnan(berth_scores_find(&s, "feeling", "accuracy")));
    for (size_t i = 1; i < s.count; i++) {
        if (strcmp(s.list[i].task, "slots") == 0 && strcmp(s.list[i - 1].task, "intent") == 0)
            assert_string_equal(s.list[i].metric, "accuracy");
    }
    berth_scores_deinit(&s);
    run_free(&r);
}

/* Of a row's tasks all must be right: intent always "weather", every word outside. */
static void test_frame_accuracy(void **state) {
    struct world *w = *state;
    struct world_run r;
    struct berth_scores s;
    write_rows(w, "dev", "will it rain\nplay music\nwill it rain in paris\nrain tomorrow\nwill it\n",
               "O O O\nO O\nO O O O B-city\nO B-time\nO O\n", "weather\nplay\nweather\nplay\nweather\n");
    world_write(w, "mood_dev.tsv", "sentence\tlabel\ngood film\tgood\n");
    evaluate_with(w, &r, &s, "O", "evaluate.batch_size=2");
    expect(&s, "intent", "accuracy", 3 / 5.0);
    expect(&s, "slots", "word_accuracy", 12 / 14.0);
    expect(&s, "talk", "frame_accuracy", 2 / 5.0);
    berth_scores_deinit(&s);
    run_free(&r);
}

/* A model of zeros finds every token as likely: e to the mean loss is the size of the vocabulary. */
static void test_perplexity(void **state) {
    struct world *w = *state;
    struct world_run r;
    struct berth_scores s;
    run_make(&r, w, "unused", "tasks.words={type: mlm, source: talk, mask: 0.3}", NULL);
    struct berth_model *m = r.trainer->model;
    memset(m->values, 0, (size_t)m->total * sizeof *m->values);
    const struct berth_evaluate_options how = {.metric_of = r.trainer->recipe.metric_of,
                                               .batch_size = r.trainer->recipe.evaluate_batch};
    berth_scores_init(&s);
    assert_done(berth_evaluate(&s, m, r.trainer->tape, r.trainer->data, BERTH_DEV, &how));
    const double perplexity = score_of(&s, "words", "perplexity"), size = (double)m->config.vocab_size;
    if (!(fabs(perplexity - size) < 1e-4 * size)) fail_msg("perplexity %.9g of %g tokens", perplexity, size);
    expect(&s, "words", "loss", log(size));
    assert_true(score_of(&s, "words", "rows") > 10);
    berth_scores_deinit(&s);
    run_free(&r);
}

/* The strict count reads the tags as the rows have them, though decoding is free. */
static void test_strict_scheme(void **state) {
    struct world *w = *state;
    struct world_run r;
    struct berth_scores s;
    write_dev(w);
    run_make(&r, w, "unused", "data.talk.dev=dev", "tasks.slots.scheme=bio", "tasks.slots.convert_to=bioes",
             "tasks.slots.constrained=false", NULL);
    answer_always(r.trainer->model, "intent", "weather");
    answer_always(r.trainer->model, "slots", "S-city");
    answer_always(r.trainer->model, "feeling", "good");
    berth_scores_init(&s);
    const struct berth_evaluate_options how = {.metric_of = r.trainer->recipe.metric_of, .batch_size = 4};
    assert_done(berth_evaluate(&s, r.trainer->model, r.trainer->tape, r.trainer->data, BERTH_DEV, &how));
    expect(&s, "slots", "span_f1", 2 * 5 / (25 + 9.0)); /* 25 words, five of nine entities are cities */
    expect(&s, "slots", "strict_span_f1", 2 * 5 / (25 + 8.0)); /* what training never saw is no whole entity */
    berth_scores_deinit(&s);
    run_free(&r);
}

/* ---- rows that are longer than max_length, as windows; a source that only evaluates */

#define WINDOWS                                                                                                \
    "data.talk.dev=dev", "data.mood.dev=mood_dev.tsv", "model.max_length=8", "data.talk.overflow=windows",     \
        "data.talk.stride=2", "data.more={format: seqfiles, dev: more, overflow: windows, stride: 1}",         \
        "tasks.intent.source=[talk, more]", "tasks.slots.source=[talk, more]"

static void write_more(const struct world *w) {
    write_rows(w, "more",
               "will it rain in rome tomorrow\n"
               "book a table in paris at noon in rome tomorrow at noon in oslo\n"
               "play some music\n",
               "O O O O B-city B-time\n"
               "O O O O B-city B-time I-time O B-city B-time B-time I-time O B-city\n"
               "O O O\n",
               "weather\nbook\nplay\n");
}

static void evaluate_run(struct world_run *r, struct berth_scores *s, int64_t batch_size) {
    berth_scores_init(s);
    const struct berth_evaluate_options how = {.metric_of = r->trainer->recipe.metric_of,
                                               .batch_size = batch_size};
    assert_done(berth_evaluate(s, r->trainer->model, r->trainer->tape, r->trainer->data, BERTH_DEV, &how));
}

/* No word is cut off, rows of both sources count once. */
static void test_windows_of_two_sources(void **state) {
    struct world *w = *state;
    struct world_run r;
    write_dev(w);
    write_more(w);
    run_make(&r, w, "unused", WINDOWS, NULL);
    assert_false(berth_data_source(r.trainer->data, 2)->has[BERTH_TRAIN]);
    assert_true(berth_data_source(r.trainer->data, 2)->split[BERTH_DEV].rows > 4); /* windows there are */
    answer_always(r.trainer->model, "intent", "weather");
    answer_always(r.trainer->model, "slots", "B-city");
    answer_always(r.trainer->model, "feeling", "good");
    for (int64_t batch = 1; batch < 40; batch *= 3) {
        struct berth_scores s;
        evaluate_run(&r, &s, batch);
        expect(&s, "intent", "rows", 7);
        expect(&s, "intent", "accuracy", 3 / 7.0);
        expect(&s, "slots", "rows", 7);
        /* every word is a city: 5 + 5 + 5 + 10 and 6 + 14 + 3 words; 5 + 4 cities; entities: 9 and 8 */
        expect(&s, "slots", "span_precision", 9 / 48.0);
        expect(&s, "slots", "span_recall", 9 / 17.0);
        expect(&s, "slots", "word_accuracy", 9 / 48.0);
        expect(&s, "talk", "frame_accuracy", 0);
        expect(&s, "more", "frame_accuracy", 0);
        berth_scores_deinit(&s);
    }
    run_free(&r);
}

/* The same from the outputs of every window, gathered by hand. */
struct by_hand {
    int64_t rows, right, words, words_right;
};

static int64_t largest(const float *values, int64_t n) {
    int64_t best = 0;
    for (int64_t k = 1; k < n; k++)
        if (values[k] > values[best]) best = k;
    return best;
}

static void add_by_hand(struct by_hand *t, struct world_run *r, size_t source) {
    const struct berth_dataset *set = &berth_data_source(r->trainer->data, source)->split[BERTH_DEV];
    const struct berth_forward_options options = {.training = false};
    struct berth_tensor *logits[3] = {NULL};
    struct berth_scan *scan = NULL;
    double sums[64][8] = {{0}};
    int32_t gold[64];
    assert_true(set->source_rows <= 64);
    assert_done(berth_scan_create(&scan, r->trainer->data, source, BERTH_DEV, 1));
    for (;;) { /* one window a batch */
        const struct berth_batch *b = NULL;
        assert_done(berth_scan_next(scan, &b));
        if (b == NULL) break;
        berth_tape_reset(r->trainer->tape, false);
        assert_done(berth_model_forward(r->trainer->model, r->trainer->tape, b, &options, logits));
        int64_t row = set->origin[b->source_row[0]], classes = logits[0]->shape[1], tags = logits[1]->shape[1];
        const float *values = logits[0]->data, *words = logits[1]->data;
        for (int64_t k = 0; k < classes; k++)
            sums[row][k] += values[k];
        gold[row] = b->items[0].label[0];
        for (int64_t i = 0; i < b->items[1].count; i++) {
            t->words++;
            t->words_right += largest(words + i * tags, tags) == b->items[1].label[i];
        }
    }
    berth_scan_free(scan);
    for (int64_t row = 0; row < set->source_rows; row++) {
        float mean[8];
        for (int k = 0; k < 3; k++)
            mean[k] = (float)sums[row][k]; /* the largest sum is the largest mean */
        t->rows++;
        t->right += largest(mean, 3) == gold[row];
    }
}

static void test_windows_are_joined(void **state) {
    struct world *w = *state;
    struct world_run r;
    write_dev(w);
    write_more(w);
    for (int seed = 1; seed <= 4; seed++) {
        char setting[32];
        struct by_hand hand = {0};
        snprintf(setting, sizeof setting, "seed=%d", seed);
        run_make(&r, w, "unused", WINDOWS, "tasks.slots.constrained=false", setting, NULL);
        for (int64_t i = 0; i < r.trainer->model->total; i++) /* answers that differ from window to window */
            r.trainer->model->values[i] *= 3;
        add_by_hand(&hand, &r, 0);
        add_by_hand(&hand, &r, 2);
        assert_int_equal(hand.rows, 7);
        assert_int_equal(hand.words, 48);
        for (int64_t batch = 1; batch < 40; batch *= 3) {
            struct berth_scores s;
            evaluate_run(&r, &s, batch);
            expect(&s, "intent", "accuracy", (double)hand.right / 7);
            expect(&s, "slots", "word_accuracy", (double)hand.words_right / 48);
            berth_scores_deinit(&s);
        }
        run_free(&r);
    }
}

/* limit_eval, and a row too long where that is an error. */
static void test_limits_and_errors(void **state) {
    struct world *w = *state;
    struct world_run r;
    struct berth_scores s;
    write_dev(w);
    write_more(w);
    run_make(&r, w, "unused", WINDOWS, "data.more.limit_eval=2", "data.talk.limit_eval=3", NULL);
    evaluate_run(&r, &s, 4);
    expect(&s, "intent", "rows", 5);
    expect(&s, "slots", "rows", 5);
    berth_scores_deinit(&s);
    run_free(&r);
    struct berth_trainer *t = NULL;
    struct berth_config *c = world_config(w, "output=unused", "model.max_length=8", "data.talk.dev=dev",
                                          "data.talk.overflow=error", NULL);
    assert_int_equal(berth_trainer_create(&t, c, NULL), BERTH_E_FORMAT);
    assert_text_has(berth_error_text(), "talk/seq.in:4: found a row of 9 tokens, expected at most 8");
    assert_null(t);
    berth_config_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),          cmocka_unit_test(test_spans_with_cut_words),
        cmocka_unit_test(test_own_metric),             cmocka_unit_test(test_frame_accuracy),
        cmocka_unit_test(test_perplexity),             cmocka_unit_test(test_strict_scheme),
        cmocka_unit_test(test_windows_of_two_sources), cmocka_unit_test(test_windows_are_joined),
        cmocka_unit_test(test_limits_and_errors),
    };
    return cmocka_run_group_tests_name("evaluate", tests, world_setup, world_teardown);
}
