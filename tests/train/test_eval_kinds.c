/* test_eval_kinds.c: what the kinds' files make of answers, against scikit-learn's and seqeval's numbers
 * (scripts/make_metric_golden.py): reciprocal ranks, several labels and their threshold, words' tags. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "berth/json.h"
#include "support_train.h"
#include "train/evaluate_priv.h"

enum { MOST = 512 };

static struct berth_json *golden;

static double number_at(const char *list, size_t i, const char *key) {
    char path[96];
    double value = NAN;
    snprintf(path, sizeof path, "%s[%zu].%s", list, i, key);
    assert_done(berth_json_number_or(&value, golden, path, (double)NAN));
    return value;
}

static int64_t numbers_at(double *out, const char *list, size_t i, const char *key) {
    char path[96];
    snprintf(path, sizeof path, "%s[%zu].%s", list, i, key);
    const size_t count = berth_json_count(golden, path);
    assert_true(count > 0 && count <= MOST);
    for (size_t k = 0; k < count; k++) {
        char item[48];
        snprintf(item, sizeof item, "%s[%zu]", key, k);
        out[k] = number_at(list, i, item);
    }
    return (int64_t)count;
}

/* A model of one head, which the kinds ask for labels and width. */
static struct berth_model *model_of(enum berth_task_kind kind, const char *const *labels, int count,
                                    int64_t width) {
    struct berth_model *m = calloc(1, sizeof *m);
    m->heads = calloc(1, sizeof *m->heads);
    m->head_count = 1;
    m->heads[0].task.kind = kind;
    m->config.hidden = width;
    berth_labels_init(&m->heads[0].task.labels);
    for (int i = 0; i < count; i++)
        assert_done(berth_labels_add(&m->heads[0].task.labels, labels[i], NULL));
    return m;
}

static void model_drop(struct berth_model *m) {
    berth_labels_deinit(&m->heads[0].task.labels);
    free(m->heads);
    free(m);
}

static void expect(const struct eval_task *t, size_t i, const char *metric, double expected) {
    for (int k = 0; k < t->value_count; k++) {
        if (strcmp(t->values[k].name, metric) != 0) continue;
        const double found = t->values[k].value;
        if (isnan(found) && isnan(expected)) return;
        if (!(fabs(found - expected) < 1e-9))
            fail_msg("case %zu: %s %.12g, expected %.12g", i, metric, found, expected);
        return;
    }
    fail_msg("case %zu: no %s", i, metric);
}

static void task_drop(struct eval_task *t) {
    berth_answers_deinit(&t->answers);
    berth_str_deinit(&t->details);
    free(t->outputs);
    free(t->parts);
    free(t->label);
    free(t->target);
    free(t->verdict);
    free(t->words);
}

/* A task of so many rows, each seen once. */
static void task_make(struct eval_task *t, struct berth_model *m, const struct eval_kind *kind,
                      const char *metric, int64_t rows) {
    *t = (struct eval_task){.kind = kind, .model = m, .metric = metric, .row_count = rows};
    berth_answers_init(&t->answers);
    berth_str_init(&t->details);
    t->verdict = calloc((size_t)rows + 1, sizeof *t->verdict);
}

static void reciprocal_ranks(void **state) {
    (void)state;
    const size_t cases = berth_json_count(golden, "ranks");
    assert_true(cases >= 20);
    for (size_t i = 0; i < cases; i++) {
        double a[MOST], p[MOST];
        struct eval_task t;
        const int64_t size = (int64_t)number_at("ranks", i, "size"),
                      count = numbers_at(a, "ranks", i, "anchor");
        numbers_at(p, "ranks", i, "positive");
        struct berth_model *m = model_of(BERTH_TASK_CONTRASTIVE, NULL, 0, size);
        task_make(&t, m, &eval_contrastive, "mrr", count / size);
        assert_done(eval_contrastive.begin(&t));
        for (int64_t row = 0; row < count / size; row++) {
            for (int64_t k = 0; k < size; k++) {
                t.outputs[row * 2 * size + k] = (float)a[row * size + k];
                t.outputs[row * 2 * size + size + k] = (float)p[row * size + k];
            }
            t.parts[row] = 1;
            t.label[row] = 0;
        }
        assert_done(eval_contrastive.finish(&t));
        expect(&t, i, "accuracy", number_at("ranks", i, "accuracy"));
        expect(&t, i, "mrr", number_at("ranks", i, "mrr"));
        task_drop(&t);
        model_drop(m);
    }
}

/* At one half, then with the threshold chosen by the rows. */
static void check_labels(size_t i, bool tune) {
    static const char *const NAMES[] = {"w", "x", "y", "z"}, *const METRICS[] = {"micro_f1",    "macro_f1",
                                                                                 "weighted_f1", "precision",
                                                                                 "recall",      "accuracy",
                                                                                 "auc"};
    double target[MOST], logits[MOST];
    struct eval_task t;
    const int64_t classes = (int64_t)number_at("labels", i, "classes"),
                  count = numbers_at(target, "labels", i, "target");
    numbers_at(logits, "labels", i, "logits");
    struct berth_model *m = model_of(BERTH_TASK_MULTILABEL, NAMES, (int)classes, 1);
    task_make(&t, m, &eval_multilabel, "macro_f1", count / classes);
    t.tune = tune;
    assert_done(eval_rows_begin(&t));
    if (t.target == NULL) t.target = calloc((size_t)count, sizeof *t.target);
    t.target_width = classes;
    for (int64_t k = 0; k < count; k++) {
        t.outputs[k] = (float)logits[k];
        t.target[k] = (float)target[k];
        t.parts[k / classes] = 1;
        t.label[k / classes] = 0;
    }
    assert_done(eval_multilabel.finish(&t));
    if (tune) {
        expect(&t, i, "macro_f1", number_at("labels", i, "tuned_macro_f1"));
        assert_true(fabs((double)m->heads[0].threshold - number_at("labels", i, "threshold")) < 1e-6);
    }
    for (size_t k = 0; !tune && k < sizeof METRICS / sizeof METRICS[0]; k++)
        expect(&t, i, METRICS[k], number_at("labels", i, METRICS[k]));
    task_drop(&t);
    model_drop(m);
}

static void several_labels(void **state) {
    (void)state;
    const size_t cases = berth_json_count(golden, "labels");
    int moved = 0;
    assert_true(cases >= 25);
    for (size_t i = 0; i < cases; i++) {
        check_labels(i, false);
        check_labels(i, true);
        moved += number_at("labels", i, "threshold") != 0.5;
    }
    assert_true(moved > 5); /* there was something to choose */
}

static void words_tags(void **state) {
    (void)state;
    static const char *const TAGS[] = {"O", "B-a", "I-a", "B-b", "I-b"};
    const size_t cases = berth_json_count(golden, "words");
    assert_true(cases >= 30);
    for (size_t i = 0; i < cases; i++) {
        double lengths[MOST], gold[MOST], said[MOST];
        int64_t offset[MOST + 1] = {0};
        int32_t labels[MOST];
        struct eval_task t;
        const int64_t rows = numbers_at(lengths, "words", i, "lengths"),
                      words = numbers_at(gold, "words", i, "gold");
        numbers_at(said, "words", i, "said");
        struct berth_model *m = model_of(BERTH_TASK_TAGGING, TAGS, 5, 1);
        task_make(&t, m, &eval_tagging, "span_f1", rows);
        t.word_count = words;
        assert_done(eval_tagging.begin(&t));
        for (int64_t r = 0; r < rows; r++)
            offset[r + 1] = offset[r] + (int64_t)lengths[r];
        for (int64_t w = 0; w < words; w++) {
            labels[w] = (int32_t)gold[w];
            t.words[w] = (int32_t)said[w];
        }
        const int32_t *const of_task[1] = {labels};
        const struct berth_dataset set = {
            .rows = rows, .source_rows = rows, .word_count = words, .word_offset = offset, .labels = of_task};
        struct eval_source source = {.set = &set};
        t.sources = &source;
        t.source_count = 1;
        assert_done(eval_tagging.finish(&t));
        expect(&t, i, "token_f1", number_at("words", i, "token_f1"));
        expect(&t, i, "word_accuracy", number_at("words", i, "accuracy"));
        expect(&t, i, "span_f1", number_at("words", i, "span_f1"));
        task_drop(&t);
        model_drop(m);
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
        cmocka_unit_test(reciprocal_ranks),
        cmocka_unit_test(several_labels),
        cmocka_unit_test(words_tags),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
