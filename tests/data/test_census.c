/* test_census.c: what `berth data` counts, on files whose counts are known. */
#include "data/support_data.h"

#include <math.h>
#include <stdio.h>

#include "berth/census.h"

static struct berth_census *take(const struct data_world *w, struct berth_data **d, const char *body) {
    struct berth_census *census = NULL;
    struct berth_config *c = world_config(w, body);
    assert_ok(berth_data_open(d, c, w->tokenizer, NULL, 0, BERTH_ALL_SPLITS));
    assert_ok(berth_census_take(&census, *d, c, w->tokenizer));
    berth_config_free(c);
    return census;
}

static void lengths_and_duplicates(void **state) {
    (void)state;
    struct data_world w;
    struct berth_data *d = NULL;
    world_make(&w);
    w.max_length = 6; /* four pieces */
    world_put(&w, "train.tsv",
              "text\tlabel\n"
              "good film\tx\n"      /* 4 tokens */
              "good film\ty\n"      /* again */
              "Good  film!\tx\n"    /* folded; the sign is [UNK], a piece: 5 tokens */
              "a b c d\tx\n"        /* 6: fits */
              "a b c d e\ty\n"      /* 7: cut */
              "a b c d e f g\t\n"); /* 9: cut, without a label */
    world_put(&w, "dev.tsv", "text\tlabel\ngood film\tz\na, b; c d\ty\nbad film\tx\nbad film\tz\n");
    world_put(&w, "other.tsv", "text\tlabel\nbad film\tx\nbad book\ty\nbad book\ty\n");
    struct berth_census *c =
        take(&w, &d,
             "data: {r: {format: tsv, text: text, train: train.tsv, dev: dev.tsv},\n"
             "       o: {format: tsv, text: text, train: other.tsv}, unread: {format: text, train: none.txt}}\n"
             "tasks: {t: {type: classification, source: [r, o], label: label}}\n");
    const struct berth_census_split *train = &c->sources[0][BERTH_TRAIN], *dev = &c->sources[0][BERTH_DEV];
    assert_false(c->sources[0][BERTH_TEST].there);
    assert_false(c->sources[2][BERTH_TRAIN].there);
    assert_int_equal(train->rows, 6);
    assert_int_equal(train->tokens, 4 + 4 + 5 + 6 + 7 + 9);
    assert_int_equal(train->rows_cut, 2);
    assert_int_equal(train->longest, 9);
    assert_int_equal(train->lengths[4], 2);
    assert_int_equal(train->lengths[8], 0);
    assert_int_equal(berth_census_percentile(train, 0.5), 5);
    assert_int_equal(berth_census_percentile(train, 1), 9);
    assert_int_equal(train->repeats[BERTH_CENSUS_EXACT], 1);
    assert_int_equal(train->repeats[BERTH_CENSUS_FOLDED], 2);
    assert_int_equal(train->shared[BERTH_CENSUS_EXACT][BERTH_DEV], 2);
    assert_int_equal(train->shared[BERTH_CENSUS_FOLDED][BERTH_DEV], 4); /* three good films, a b c d */
    assert_int_equal(dev->shared[BERTH_CENSUS_EXACT][BERTH_TRAIN], 1);
    assert_int_equal(dev->shared[BERTH_CENSUS_FOLDED][BERTH_TRAIN], 2);
    assert_int_equal(c->leak_count, 1);
    assert_int_equal(c->leaks[0].source, 0);
    assert_int_equal(c->leaks[0].training, 1);
    assert_int_equal(c->leaks[0].rows[BERTH_CENSUS_EXACT], 2); /* both bad films of dev */
    const struct berth_census_labels *l = &train->tasks[0], *unseen = &dev->tasks[0];
    assert_int_equal(l->rows, 5);
    assert_int_equal(l->missing, 1);
    assert_int_equal(l->counts[0], 3);
    assert_int_equal(l->counts[1], 2);
    assert_int_equal(unseen->unseen.count, 1);
    assert_string_equal(unseen->unseen.names[0], "z");
    assert_int_equal(unseen->unseen_counts[0], 2);
    assert_int_equal(unseen->counts[0] + unseen->counts[1], 2);
    berth_census_free(c);
    berth_data_free(d);
    world_remove(&w);
}

/* Tags and windows: rows and words count once, entities go across windows. */
static void tags_over_windows(void **state) {
    (void)state;
    static const char *const overflows[] = {"cut", "windows"};
    for (int i = 0; i < 2; i++) {
        struct data_world w;
        struct berth_data *d = NULL;
        char body[512];
        world_make(&w);
        w.max_length = 6;
        world_put(&w, "train.tsv",
                  "text\ttags\n"
                  "a b c d e f\tB-x I-x B-y I-y I-y O\n"
                  "a b\tI-x O\n" /* out of place */
                  "a b c\tO O O\n"
                  "a b c d e f g h\t\n");
        world_put(&w, "dev.tsv", "text\ttags\na b\tB-x B-z\n");
        snprintf(
            body, sizeof body,
            "data: {r: {format: tsv, text: text, train: train.tsv, dev: dev.tsv, overflow: %s, stride: 1}}\n"
            "tasks: {t: {type: tagging, source: r, label: tags}}\n",
            overflows[i]);
        struct berth_census *c = take(&w, &d, body);
        const struct berth_census_split *train = &c->sources[0][BERTH_TRAIN];
        const struct berth_census_labels *l = &train->tasks[0], *dev = &c->sources[0][BERTH_DEV].tasks[0];
        assert_int_equal(train->rows, 4);
        assert_int_equal(train->rows_cut, 2);
        assert_int_equal(train->tokens, 8 + 4 + 5 + 10);
        assert_int_equal(l->rows, 3);
        assert_int_equal(l->missing, 1);
        assert_int_equal(l->words, 11);
        assert_int_equal(l->words_missing, 8);
        assert_int_equal(l->counts[0], 5); /* O */
        assert_int_equal(l->types.count, 2);
        assert_int_equal(l->type_counts[berth_labels_find(&l->types, "x")], 2);
        assert_int_equal(l->type_counts[berth_labels_find(&l->types, "y")], 1);
        assert_int_equal(l->odd, 1);
        assert_non_null(strstr(l->odd_first, "train.tsv:3: word 1: I-x behind the beginning of the sentence"));
        assert_int_equal(dev->unseen.count, 1);
        assert_string_equal(dev->unseen.names[0], "B-z");
        assert_int_equal(dev->odd, 0);
        assert_null(dev->odd_first);
        berth_census_free(c);
        berth_data_free(d);
        world_remove(&w);
    }
}

static void numbers_sets_and_pairs(void **state) {
    (void)state;
    struct data_world w;
    struct berth_data *d = NULL;
    world_make(&w);
    w.max_length = 8;
    world_put(&w, "n.tsv",
              "a\tb\tn\ts\n"
              "good\tgood film was bad\t1\tp,q\n"
              "good\ta b c d e f g\t3\tp\n" /* the pair is cut: 9 tokens */
              "bad\tfilm\t\t\n");
    world_put(&w, "raw.txt", "caf\xe9\nplain\n");
    struct berth_census *c = take(
        &w, &d,
        "data: {s: {format: tsv, text: a, text_pair: b, train: n.tsv},\n"
        "       m: {format: tsv, text: a, train: n.tsv}, r: {format: text, train: raw.txt, encoding: "
        "replace}}\n"
        "tasks: {sim: {type: similarity, source: s, label: n}, num: {type: regression, source: m, label: n},\n"
        "        set: {type: multilabel, source: m, label: s}, lm: {type: mlm, source: r}}\n");
    const struct berth_census_split *s = &c->sources[0][BERTH_TRAIN], *m = &c->sources[1][BERTH_TRAIN];
    assert_int_equal(s->tokens, 6 + 9 + 3);
    assert_int_equal(s->rows_cut, 1);
    assert_int_equal(s->repeats[BERTH_CENSUS_EXACT], 0); /* the pair is part of the text */
    assert_int_equal(m->repeats[BERTH_CENSUS_EXACT], 1);
    assert_int_equal(s->tasks[0].rows, 2);
    assert_true(fabs(s->tasks[0].mean - 2) < 1e-12 && fabs(s->tasks[0].deviation - 1) < 1e-12);
    assert_true(fabs(m->tasks[1].least - 1) < 1e-12 && fabs(m->tasks[1].most - 3) < 1e-12);
    assert_int_equal(m->tasks[2].counts[0], 2);
    assert_int_equal(m->tasks[2].counts[1], 1);
    assert_int_equal(m->tasks[2].missing, 1);
    assert_false(m->tasks[0].there);
    assert_int_equal(c->sources[2][BERTH_TRAIN].replaced, 1);
    assert_int_equal(c->sources[2][BERTH_TRAIN].tasks[3].rows, 2);
    berth_census_free(c);
    berth_data_free(d);
    world_remove(&w);
}

/* The counts that the folders' SOURCE.md states. */
static void public_sets(void **state) {
    (void)state;
    struct data_world w;
    struct berth_data *d = NULL;
    char body[8192], folder[1024];
    snprintf(folder, sizeof folder, "%s", public_data("wikigold"));
    *strrchr(folder, '/') = 0;
    world_make(&w);
    snprintf(body, sizeof body,
             "data: {g: {format: conll, train: %s/wikigold/wikigold.conll.txt, split: {dev: 0.1, test: 0.1}},\n"
             "       s: {format: seqfiles, train: %s/snips/train, dev: %s/snips/dev, test: %s/snips/test},\n"
             "       b: {format: lines, train: %s/sst2/sentences/stsa.binary.train, dev: "
             "%s/sst2/sentences/stsa.binary.dev}}\n"
             "tasks: {ner: {type: tagging, source: g, label: 1}, slots: {type: tagging, source: s, label: "
             "seq.out},\n"
             "        mood: {type: classification, source: b, label: label}}\n",
             folder, folder, folder, folder, folder, folder);
    struct berth_census *c = take(&w, &d, body);
    int64_t rows = 0, words = 0, shared = 0;
    for (int k = 0; k < BERTH_SPLIT_COUNT; k++) {
        const struct berth_census_split *split = &c->sources[0][k];
        rows += split->rows;
        words += split->tasks[0].words;
        for (int other = 0; other < BERTH_SPLIT_COUNT; other++)
            shared +=
                split->shared[BERTH_CENSUS_EXACT][other]; /* a split by content keeps duplicates on one side */
    }
    assert_int_equal(rows, 1696);
    assert_int_equal(words, 39007);
    assert_int_equal(shared, 0);
    assert_int_equal(c->sources[1][BERTH_TRAIN].rows, 13084);
    assert_int_equal(c->sources[1][BERTH_DEV].rows, 700);
    assert_int_equal(c->sources[1][BERTH_TEST].rows, 700);
    assert_int_equal(c->sources[2][BERTH_TRAIN].rows, 6920);
    assert_int_equal(c->sources[2][BERTH_DEV].rows, 872);
    berth_census_free(c);
    berth_data_free(d);
    world_remove(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lengths_and_duplicates),
        cmocka_unit_test(tags_over_windows),
        cmocka_unit_test(numbers_sets_and_pairs),
        cmocka_unit_test(public_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
