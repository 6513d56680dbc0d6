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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frame_accuracy), cmocka_unit_test(test_perplexity),
        cmocka_unit_test(test_known_answers),  cmocka_unit_test(test_spans_with_cut_words),
        cmocka_unit_test(test_own_metric),
    };
    return cmocka_run_group_tests_name("evaluate", tests, world_setup, world_teardown);
}
