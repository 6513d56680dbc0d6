/* test_metrics.c: entities against the counts of a reference implementation (seqeval 1.2.2, default mode),
 * softmax, the learning rate over a run. */
#include "support_train.h"

#include "berth/tags.h"

#include <math.h>
#include <string.h>

/* gold tags, predicted tags, {entities in gold, in predicted, in both}; made with seqeval's get_entities */
static const struct {
    const char *gold, *predicted;
    struct berth_span_counts counts;
} CASES[] = {
    {"O O", "O O", {0, 0, 0}},
    {"B-a I-a O", "B-a I-a O", {1, 1, 1}},
    {"I-a I-a", "B-a I-a", {1, 1, 1}},
    {"B-a B-a", "B-a I-a", {2, 1, 0}},
    {"B-a I-b", "B-a B-b", {2, 2, 2}},
    {"B-a I-a I-a", "B-a I-a O", {1, 1, 0}},
    {"O", "B-a", {0, 1, 0}},
    {"B-a", "O", {1, 0, 0}},
    {"S-b E-a", "S-b E-a", {2, 2, 2}},
    {"B I", "B I", {1, 1, 1}},
    {"I-a-b I I-a E-a", "B B-a B E-a", {3, 4, 0}},
    {"B-a B-b I-b I-b", "B-a B-a I-b I-b", {2, 3, 1}},
    {"B-b O O B-a I-b O I-a", "I-a O B-b B-b I-b B-b B-a", {4, 5, 1}},
    {"B-a O I-a B B-b", "B-a x-a S-b B B-b", {4, 4, 2}},
    {"I-b I-b B-b I-b B-a", "O I-b B-a I-a I-b", {3, 3, 0}},
    {"O B-a I-b I-a I-a O O", "O B-b I-b B-b O O O", {3, 2, 0}},
    {"I-a-b I-a-b O", "I-a-b I-a-b O", {1, 1, 1}},
    {"I-b B-a O I-a O", "I-b B-a O I-a O", {3, 3, 3}},
    {"I-a B-a O I-a I-a I-a B-a", "B-b B-a B-b I-b O I-b B-a", {4, 5, 2}},
    {"B-b I-b S-b I-b I I-b I E-a", "B-b I-b S-b I-b x-a I-b E-a E-a", {7, 7, 5}},
    {"I-a I-b I-a B-b O I-b O O", "I-a I-a I-a B-b O I-b O O", {5, 3, 2}},
    {"B-b O O I-b B-a", "B-b O B-a I-b O", {3, 3, 2}},
    {"I-a-b E-a E-a", "B-b E-a I-a", {3, 3, 2}},
    {"I-a B-a I-b", "I-a B-a I-b", {3, 3, 3}},
    {"B-a I-a I-b B-a I-a I-a O", "I-a I-a I-b B-a B-b I-a O", {3, 5, 2}},
    {"I-a-b S-b O S-b I-a B-b", "I-a-b I-a-b S-b S-b B-b B-b", {5, 5, 2}},
    {"I-b I-a I-b I-a B-a O", "I-a I-a I-b I-a I-b B-b", {5, 5, 2}},
    {"O O B-b O B-a I-b I-a", "O O B-b O O I-b I-a", {4, 3, 3}},
    {"I B O E-a B-b B-b B-a I B-a", "I I-a O E-a B-b B-b B-b I B-a", {8, 8, 6}},
    {"O B-b I-a O O B-a", "O B-b I-a O I-b B-a", {3, 4, 3}},
    {"B-a I-a O I-a B-b", "I-b I-a O B-b B-b", {3, 4, 1}},
    {"O S-b B-a I-a-b I-a O E-a", "O I B-a I-a-b O O E-a", {5, 4, 3}},
    {"I-a B-b B-b B-b O B-a B-a I-b", "I-a B-b B-a B-b I-a B-a I-a I-b", {7, 7, 4}},
    {"O I-b B-b O I-a I-b I-b O", "O I-b B-b O I-a I-b B-b O", {4, 5, 3}},
    {"E-a B-a O", "x-a B-a I-b", {2, 2, 1}},
    {"I-a O O I-b I-b I-b B-a", "I-a I-b O I-b I-b B-a B-a", {3, 5, 2}},
    {"I-b B-b I-a I-a I-b B-b", "I-b B-b I-a I-a B-b B-a", {5, 5, 4}},
    {"I-a-b I-a-b x-a I x-a B", "I-a-b I-a-b I-a I I I-a-b", {5, 4, 2}},
    {"B-a B-a I-a B-a B-a I-b I-b I-a", "I-b I-a B-b B-a B-a B-a I-b I-a", {6, 8, 3}},
    {"B-b B-a B-a I-b I-a B-a I-a B-b B-a", "B-b I-b B-a I-b I-b B-a O B-b O", {8, 5, 2}},
};

static size_t split_tags(char *text, const char **tags) {
    size_t n = 0;
    char *rest = NULL;
    for (char *tag = strtok_r(text, " ", &rest); tag != NULL; tag = strtok_r(NULL, " ", &rest)) {
        bool as_null = strcmp(tag, "O") == 0 && n % 2 == 0; /* NULL means outside, too */
        tags[n++] = as_null ? NULL : tag;
    }
    return n;
}

static void test_spans_as_reference(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        char gold[128], predicted[128];
        const char *g[16], *p[16];
        struct berth_span_counts c = {0};
        snprintf(gold, sizeof gold, "%s", CASES[i].gold);
        snprintf(predicted, sizeof predicted, "%s", CASES[i].predicted);
        size_t words = split_tags(gold, g);
        assert_int_equal(words, split_tags(predicted, p));
        berth_span_count(&c, g, p, words, BERTH_SPANS_DEFAULT);
        if (memcmp(&c, &CASES[i].counts, sizeof c) != 0)
            fail_msg("gold '%s', predicted '%s': counted %lld %lld %lld, expected %lld %lld %lld",
                     CASES[i].gold, CASES[i].predicted, (long long)c.gold, (long long)c.predicted,
                     (long long)c.correct, (long long)CASES[i].counts.gold,
                     (long long)CASES[i].counts.predicted, (long long)CASES[i].counts.correct);
    }
}

static void test_span_f1(void **state) {
    (void)state;
    const struct berth_span_counts none = {0}, some = {.gold = 5, .predicted = 3, .correct = 2};
    assert_true(berth_span_f1(&none) == 0.0);
    assert_true(fabs(berth_span_f1(&some) - 0.5) < 1e-15); /* 2 * 2 / (5 + 3) */
}

static void test_argmax_softmax(void **state) {
    (void)state;
    const float row[4] = {1.0f, 3.0f, 3.0f, -100.0f}, large[2] = {3e38f, -3e38f};
    int32_t best = -1;
    float probability = 0;
    berth_argmax_softmax(row, 4, &best, &probability);
    assert_int_equal(best, 1); /* of equal ones the first */
    assert_true(fabs(probability - 1.0 / (2.0 + exp(-2.0) + exp(-103.0))) < 1e-7);
    berth_argmax_softmax(large, 2, &best, &probability);
    assert_int_equal(best, 0);
    assert_true(probability == 1.0f);
    berth_argmax_softmax(row, 1, &best, NULL);
    assert_int_equal(best, 0);
}

static double factor(enum berth_schedule_kind kind, int64_t step, int64_t total, int64_t warmup, double least,
                     double power) {
    const struct berth_schedule s = {
        .kind = kind, .total = total, .warmup = warmup, .min_ratio = least, .power = power};
    return berth_schedule_factor(&s, step);
}

static void test_schedule(void **state) {
    (void)state;
    const double linear[] = {0.25, 0.5, 0.75, 1.0, 1.0, 5 / 6.0, 4 / 6.0, 3 / 6.0, 2 / 6.0, 1 / 6.0};
    for (int64_t step = 0; step < 10; step++) {
        double l = factor(BERTH_SCHEDULE_LINEAR, step, 10, 4, 0, 1);
        double c = factor(BERTH_SCHEDULE_CONSTANT, step, 10, 4, 0, 1);
        double p = factor(BERTH_SCHEDULE_POLYNOMIAL, step, 10, 4, 0.1, 2);
        double x = step < 4 ? 0 : (double)(step - 4) / 6.0;
        double cosine = step < 4 ? linear[step] : 0.2 + 0.8 * (1 + cos(3.14159265358979323846 * x)) / 2;
        if (fabs(l - linear[step]) > 1e-15) fail_msg("linear at step %d: %.17g", (int)step, l);
        if (c != (step < 4 ? linear[step] : 1.0)) fail_msg("constant at step %d: %.17g", (int)step, c);
        double wanted = step < 4 ? linear[step] : 0.1 + 0.9 * (1 - x) * (1 - x);
        if (fabs(p - wanted) > 1e-15) fail_msg("polynomial at step %d: %.17g", (int)step, p);
        if (fabs(factor(BERTH_SCHEDULE_COSINE, step, 10, 4, 0.2, 1) - cosine) > 1e-14)
            fail_msg("cosine at step %d", (int)step);
    }
    assert_true(factor(BERTH_SCHEDULE_LINEAR, 0, 8, 0, 0, 1) == 1.0);
    assert_true(factor(BERTH_SCHEDULE_LINEAR, 8, 8, 0, 0, 1) == 0.0);
    assert_true(factor(BERTH_SCHEDULE_LINEAR, 7, 8, 8, 0, 1) == 1.0);
    assert_true(factor(BERTH_SCHEDULE_INVERSE_SQRT, 4, 100, 4, 0, 1) == 1.0);
    assert_true(fabs(factor(BERTH_SCHEDULE_INVERSE_SQRT, 16, 100, 4, 0, 1) - 0.5) < 1e-15);
    assert_true(factor(BERTH_SCHEDULE_INVERSE_SQRT, 99, 100, 1, 0.3, 1) == 0.3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spans_as_reference),
        cmocka_unit_test(test_span_f1),
        cmocka_unit_test(test_argmax_softmax),
        cmocka_unit_test(test_schedule),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
