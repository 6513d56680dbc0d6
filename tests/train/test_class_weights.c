/* test_class_weights.c: the numbers of tasks.*.class_weights, counted from the training rows: balanced is
 * n / (K n_c) as scikit-learn's, effective is (1 - beta) / (1 - beta^n_c) scaled to a mean of one (Cui et al.,
 * CVPR 2019, equation 2), of several labels the rows without a label to those with it. */
#include <math.h>
#include <string.h>

#include "support_train.h"

/* good 6, bad 2 and fair 1 rows. */
static void write_rows(const struct world *w) {
    world_write(
        w, "few.tsv",
        "sentence\tlabel\tkinds\ngood film\tgood\tfilm\ngood food\tgood\tfood,film\nvery good\tgood\tfilm\n"
        "good music\tgood\tmusic\na good table\tgood\tfilm\nwas good\tgood\tfilm\nbad film\tbad\tfilm\n"
        "bad food\tbad\tfood\nthe food\tfair\tfilm\n");
}

static double weight_of(const struct world_run *r, const char *task, const char *label) {
    const struct berth_model *m = r->trainer->model;
    const struct berth_head *h = &m->heads[berth_model_find_head(m, task)];
    const int32_t class = berth_labels_find(&h->task.labels, label);
    if (h->class_weights == NULL || class < 0) fail_msg("no weight of '%s' in task %s", label, task);
    return (double)h->class_weights[class];
}

static void expect(const struct world_run *r, const char *task, const char *label, double expected) {
    const double found = weight_of(r, task, label);
    if (!(fabs(found - expected) < 1e-6 * expected))
        fail_msg("%s, %s: weight %.9g, expected %.9g", task, label, found, expected);
}

static void make(struct world_run *r, struct world *w, const char *one, const char *two) {
    write_rows(w);
    run_make(r, w, "unused", "data.mood.train=few.tsv", "data.mood.dev=few.tsv", "data.mood.test=few.tsv", one,
             two, NULL);
}

static void balanced_is_n_over_k_n_c(void **state) {
    struct world_run r;
    make(&r, *state, "tasks.feeling.class_weights=balanced", NULL);
    expect(&r, "feeling", "good", 9 / (3 * 6.0));
    expect(&r, "feeling", "bad", 9 / (3 * 2.0));
    expect(&r, "feeling", "fair", 9 / (3 * 1.0));
    run_free(&r);
}

static void effective_number_of_samples(void **state) {
    struct world_run r;
    const double beta = 0.9, good = (1 - beta) / (1 - pow(beta, 6)), bad = (1 - beta) / (1 - pow(beta, 2)),
                 fair = 1;
    make(&r, *state, "tasks.feeling.class_weights=effective", "tasks.feeling.effective_beta=0.9");
    expect(&r, "feeling", "good", 3 * good / (good + bad + fair));
    expect(&r, "feeling", "bad", 3 * bad / (good + bad + fair));
    expect(&r, "feeling", "fair", 3 * fair / (good + bad + fair));
    run_free(&r);
    make(&r, *state, "tasks.feeling.class_weights=effective", "tasks.feeling.effective_beta=0"); /* all alike */
    expect(&r, "feeling", "good", 1);
    expect(&r, "feeling", "fair", 1);
    run_free(&r);
}

static void given_ones_and_none(void **state) {
    struct world_run r;
    make(&r, *state, "tasks.feeling.class_weights=[bad=2.5, fair=0]", NULL);
    expect(&r, "feeling", "good", 1);
    expect(&r, "feeling", "bad", 2.5);
    assert_true(weight_of(&r, "feeling", "fair") == 0);
    run_free(&r);
    make(&r, *state, "tasks.feeling.weight=1", NULL);
    assert_null(r.trainer->model->heads[berth_model_find_head(r.trainer->model, "feeling")].class_weights);
    run_free(&r);
}

/* film 7 of 9 rows, food 2, music 1: the positive side of a label is weighed by those without it. */
static void of_several_labels(void **state) {
    struct world_run r;
    struct world *w = *state;
    write_rows(w);
    run_make(&r, w, "unused", "data.mood.train=few.tsv", "data.mood.dev=few.tsv", "data.mood.test=few.tsv",
             "tasks.feeling={type: multilabel, source: mood, label: kinds, class_weights: balanced}", NULL);
    expect(&r, "feeling", "film", 2 / 7.0);
    expect(&r, "feeling", "food", 7 / 2.0);
    expect(&r, "feeling", "music", 8 / 1.0);
    run_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(balanced_is_n_over_k_n_c),
        cmocka_unit_test(effective_number_of_samples),
        cmocka_unit_test(given_ones_and_none),
        cmocka_unit_test(of_several_labels),
    };
    return cmocka_run_group_tests_name("class_weights", tests, world_setup, world_teardown);
}
