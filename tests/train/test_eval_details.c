/* test_eval_details.c: the pieces of an evaluation's details against numbers worked out by hand (quantiles:
 * those of numpy.percentile), and the whole as JSON that can be read back. */
#include "support_train.h"

#include <math.h>

#include "berth/json.h"
#include "train/evaluate_priv.h"

static struct berth_json *parse(struct berth_str *s) {
    struct berth_json *j = NULL;
    assert_false(s->failed);
    assert_done(berth_json_parse(&j, "details", s->data, s->length));
    berth_str_deinit(s);
    return j;
}

static void expect(const struct berth_json *j, const char *path, double value) {
    double found = (double)NAN;
    assert_done(berth_json_number_or(&found, j, path, (double)NAN));
    if (isnan(value) ? !isnan(found) : !(fabs(found - value) < 1e-8))
        fail_msg("%s: %.12g, expected %.12g", path, found, value);
}

static void expect_text(const struct berth_json *j, const char *path, const char *value) {
    const char *found = NULL;
    assert_done(berth_json_string(&found, j, path));
    assert_string_equal(found, value);
}

static void test_counts(void **state) {
    (void)state;
    struct berth_str s;
    berth_str_init(&s);
    berth_str_add(&s, "[");
    details_counts(&s, "label", "a \"b\"", 8, 5, 4);
    berth_str_add(&s, ", ");
    details_counts(&s, "type", "never", 0, 0, 0);
    berth_str_add(&s, "]");
    struct berth_json *j = parse(&s);
    expect_text(j, "[0].label", "a \"b\"");
    expect_text(j, "[1].type", "never");
    expect(j, "[0].support", 8);
    expect(j, "[0].predicted", 5);
    expect(j, "[0].correct", 4);
    expect(j, "[0].precision", 0.8);
    expect(j, "[0].recall", 0.5);
    expect(j, "[0].f1", 8 / 13.0);
    expect(j, "[1].precision", (double)NAN); /* null */
    expect(j, "[1].f1", (double)NAN);
    berth_json_free(j);
}

static void test_mistakes_come_by_number(void **state) {
    (void)state;
    char *names[] = {"a", "b", "c"};
    const struct berth_labels labels = {.names = names, .count = 3};
    struct details_mistake list[] = {{0, 1, 1}, {2, 0, 1}, {0, 2, 1}, {2, 0, 1},
                                     {0, 1, 1}, {2, 0, 1}, {1, 0, 1}};
    struct berth_str s;
    berth_str_init(&s);
    berth_str_add(&s, "{");
    details_mistakes(&s, list, 7, &labels);
    berth_str_add(&s, "}");
    struct berth_json *j = parse(&s);
    static const struct {
        const char *gold, *answered;
        int count;
    } expected[] = {{"c", "a", 3}, {"a", "b", 2}, {"a", "c", 1}, {"b", "a", 1}};
    assert_int_equal(berth_json_count(j, "mistakes"), 4);
    for (int i = 0; i < 4; i++) {
        char at[64];
        snprintf(at, sizeof at, "mistakes[%d].gold", i);
        expect_text(j, at, expected[i].gold);
        snprintf(at, sizeof at, "mistakes[%d].answered", i);
        expect_text(j, at, expected[i].answered);
        snprintf(at, sizeof at, "mistakes[%d].count", i);
        expect(j, at, expected[i].count);
    }
    berth_json_free(j);
}

static void test_spread(void **state) {
    (void)state;
    double values[] = {3, -1, 4, 1.5, 9, -2.5, 6}, one[] = {2.25};
    struct berth_str s;
    berth_str_init(&s);
    berth_str_add(&s, "{");
    details_spread(&s, "many", values, 7);
    berth_str_add(&s, ", ");
    details_spread(&s, "one", one, 1);
    berth_str_add(&s, ", ");
    details_spread(&s, "none", NULL, 0);
    berth_str_add(&s, "}");
    struct berth_json *j = parse(&s);
    expect(j, "many.mean", 20 / 7.0);
    expect(j, "many.deviation", 3.96562611403); /* numpy.std(ddof=1) */
    expect(j, "many.min", -2.5);
    expect(j, "many.q05", -2.05);
    expect(j, "many.q25", 0.25);
    expect(j, "many.median", 3);
    expect(j, "many.q75", 5);
    expect(j, "many.q95", 8.1);
    expect(j, "many.max", 9);
    expect(j, "one.median", 2.25);
    expect(j, "one.q95", 2.25);
    expect(j, "one.deviation", (double)NAN);
    expect(j, "none.mean", (double)NAN);
    expect(j, "none.max", (double)NAN);
    berth_json_free(j);
}

static void test_whole(void **state) {
    (void)state;
    struct berth_score list[] = {{"intent", "dev", "accuracy", 0.25},
                                 {"intent", "dev", "loss", (double)NAN},
                                 {"slots", "dev", "span_f1", 1},
                                 {"mean", "dev", "metric", 0.625}};
    char details[] = "{\"intent\": {\"unknown\": 3}}";
    const struct berth_scores scores = {.list = list, .count = 4, .details = details}, none = {.list = NULL};
    struct berth_str s;
    berth_str_init(&s);
    berth_scores_add_json(&s, &scores, 12);
    assert_int_equal(s.data[s.length - 1], '\n');
    struct berth_json *j = parse(&s);
    expect_text(j, "split", "dev");
    expect(j, "step", 12);
    expect(j, "scores.intent.accuracy", 0.25);
    expect(j, "scores.intent.loss", (double)NAN);
    expect(j, "scores.slots.span_f1", 1);
    expect(j, "scores.mean.metric", 0.625);
    expect(j, "details.intent.unknown", 3);
    berth_json_free(j);
    berth_str_init(&s);
    berth_scores_add_json(&s, &none, -1);
    j = parse(&s);
    assert_false(berth_json_has(j, "step"));
    assert_int_equal(berth_json_count(j, "scores"), 0);
    berth_json_free(j);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_mistakes_come_by_number),
        cmocka_unit_test(test_spread),
        cmocka_unit_test(test_whole),
    };
    return cmocka_run_group_tests_name("eval_details", tests, NULL, NULL);
}
