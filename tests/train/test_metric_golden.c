/* test_metric_golden.c: metrics against scikit-learn's, scipy's and seqeval's numbers
 * (scripts/make_metric_golden.py). */
#include "support_train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "berth/json.h"
#include "berth/metrics.h"

enum { MOST = 64 };

static struct berth_json *golden;

static double number_at(const char *list, size_t i, const char *key) {
    char path[96];
    double value = NAN;
    snprintf(path, sizeof path, "%s[%zu].%s", list, i, key);
    assert_done(berth_json_number(&value, golden, path));
    return value;
}

static size_t length_at(const char *list, size_t i, const char *key) {
    char path[96];
    snprintf(path, sizeof path, "%s[%zu].%s", list, i, key);
    return berth_json_count(golden, path);
}

static double item_at(const char *list, size_t i, const char *key, size_t k) {
    char item[48];
    snprintf(item, sizeof item, "%s[%zu]", key, k);
    return number_at(list, i, item);
}

static void expect(const char *what, size_t i, double found, double expected) {
    if (!(fabs(found - expected) < 1e-9))
        fail_msg("case %zu: %s %.12g, expected %.12g", i, what, found, expected);
}

static void class_metrics(void **state) {
    (void)state;
    const size_t cases = berth_json_count(golden, "classes");
    assert_true(cases >= 20);
    for (size_t i = 0; i < cases; i++) {
        int64_t right[8] = {0}, gold[8] = {0}, predicted[8] = {0};
        const size_t n = length_at("classes", i, "gold");
        for (size_t k = 0; k < n; k++) {
            const int g = (int)item_at("classes", i, "gold", k), p = (int)item_at("classes", i, "said", k);
            gold[g]++;
            predicted[p]++;
            right[g] += g == p;
        }
        const struct berth_class_counts c = {(int64_t)number_at("classes", i, "classes"), (int64_t)n, right,
                                             gold, predicted};
        struct berth_class_scores s;
        berth_class_score(&s, &c, false);
        expect("accuracy", i, s.accuracy, number_at("classes", i, "accuracy"));
        expect("macro_f1", i, s.macro_f1, number_at("classes", i, "macro_f1"));
        expect("micro_f1", i, s.micro_f1, number_at("classes", i, "micro_f1"));
        expect("weighted_f1", i, s.weighted_f1, number_at("classes", i, "weighted_f1"));
        expect("precision", i, s.macro_precision, number_at("classes", i, "precision"));
        expect("recall", i, s.macro_recall, number_at("classes", i, "recall"));
        expect("matthews", i, s.matthews, number_at("classes", i, "matthews"));
    }
}

static void number_metrics(void **state) {
    (void)state;
    const size_t cases = berth_json_count(golden, "numbers");
    assert_true(cases >= 20);
    for (size_t i = 0; i < cases; i++) {
        float x[MOST], y[MOST];
        bool positive[MOST];
        double spearman = NAN, auc = NAN;
        const size_t n = length_at("numbers", i, "x");
        for (size_t k = 0; k < n; k++) {
            char path[96];
            x[k] = (float)item_at("numbers", i, "x", k);
            y[k] = (float)item_at("numbers", i, "y", k);
            snprintf(path, sizeof path, "numbers[%zu].positive[%zu]", i, k);
            assert_done(berth_json_bool_or(&positive[k], golden, path, false));
        }
        assert_done(berth_spearman(&spearman, x, y, (int64_t)n));
        assert_done(berth_roc_auc(&auc, x, 1, positive, (int64_t)n));
        expect("pearson", i, berth_pearson(x, y, (int64_t)n), number_at("numbers", i, "pearson"));
        expect("spearman", i, spearman, number_at("numbers", i, "spearman"));
        expect("auc", i, auc, number_at("numbers", i, "auc"));
    }
}

static size_t split(char *text, const char **tags) {
    size_t n = 0;
    char *rest = NULL;
    for (char *tag = strtok_r(text, " ", &rest); tag != NULL; tag = strtok_r(NULL, " ", &rest))
        tags[n++] = tag;
    return n;
}

static void span_metrics(void **state) {
    (void)state;
    const size_t cases = berth_json_count(golden, "spans");
    assert_true(cases >= 40);
    for (size_t i = 0; i < cases; i++) {
        struct berth_span_counts plain = {0}, strict = {0};
        bool bioes = false;
        char path[96];
        snprintf(path, sizeof path, "spans[%zu].bioes", i);
        assert_done(berth_json_bool_or(&bioes, golden, path, false));
        for (size_t r = 0; r < length_at("spans", i, "gold"); r++) {
            char text[2][256];
            const char *tags[2][MOST], *value = NULL;
            size_t words = 0;
            for (int side = 0; side < 2; side++) {
                snprintf(path, sizeof path, "spans[%zu].%s[%zu]", i, side == 0 ? "gold" : "said", r);
                assert_done(berth_json_string(&value, golden, path));
                snprintf(text[side], sizeof text[side], "%s", value);
                words = split(text[side], tags[side]);
            }
            berth_span_count(&plain, tags[0], tags[1], words, BERTH_SPANS_DEFAULT);
            berth_span_count(&strict, tags[0], tags[1], words, bioes ? BERTH_SPANS_BIOES : BERTH_SPANS_BIO);
        }
        expect("span f1", i, berth_span_f1(&plain), number_at("spans", i, "f1"));
        expect("strict span f1", i, berth_span_f1(&strict), number_at("spans", i, "strict_f1"));
    }
}

static int open_golden(void **state) {
    char path[512];
    const char *root = getenv("BERTH_SOURCE_DIR");
    (void)state;
    snprintf(path, sizeof path, "%s/tests/golden/metrics.json", root != NULL ? root : ".");
    assert_done(berth_json_load(&golden, path));
    return 0;
}

static int close_golden(void **state) {
    (void)state;
    berth_json_free(golden);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(class_metrics),
        cmocka_unit_test(number_metrics),
        cmocka_unit_test(span_metrics),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
