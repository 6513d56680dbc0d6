/* test_public_data.c: public data sets read whole: rows, words and labels are those that their SOURCE.md
 * counts. */
#include "data/support_data.h"

#include "data/data_priv.h"

#define MOST 96

struct tally {
    int64_t rows, words;
    struct tally_task {
        size_t count; /* different labels */
        char names[MOST][64];
        int64_t times[MOST];
    } tasks[2];
};

static void count_label(struct tally_task *t, const char *name, size_t size) {
    size_t i = 0;
    while (i < t->count && (strlen(t->names[i]) != size || memcmp(t->names[i], name, size) != 0))
        i++;
    if (i == t->count) {
        assert_true(t->count++ < MOST && size < sizeof t->names[0]);
        memcpy(t->names[i], name, size);
    }
    t->times[i]++;
}

static void count_row(struct tally *t, const struct source_spec *spec, const struct berth_row *row) {
    t->rows++;
    t->words += word_total(row->text, strlen(row->text), row->pre_split);
    for (size_t i = 0; i < row->label_count; i++) {
        const char *text = row->labels[i];
        assert_non_null(text);
        struct word_cursor w = {.text = text, .size = strlen(text), .list = true};
        if (spec->labels[i].kind != BERTH_TASK_TAGGING)
            count_label(&t->tasks[i], text, strlen(text));
        else
            while (word_next(&w))
                count_label(&t->tasks[i], text + w.start, w.end - w.start);
    }
}

/* Counts all rows of a file or folder below BERTH_TEST_DATA. */
static void read_whole(struct tally *t, const char *source, const char *tasks, const char *path) {
    struct berth_config *c = NULL;
    struct berth_str s;
    struct specs specs;
    struct text_file files[READER_MAX_FILES] = {0};
    size_t file_count = 0;
    struct reader r;
    bool more = true;
    memset(t, 0, sizeof *t);
    berth_str_init(&s);
    berth_str_addf(&s, "data: {s: {%s, train: %s}}\ntasks: {%s}\noutput: x\nmodel: {backbone: none}\n", source,
                   path, tasks);
    assert_ok(berth_config_parse(&c, "test.yaml", s.data, s.length, NULL, 0));
    assert_ok(specs_read(&specs, c));
    const struct source_spec *spec = &specs.sources[0];
    assert_ok(reader_map_files(files, &file_count, spec, public_data(path)));
    assert_ok(reader_open(&r, spec, files, file_count));
    for (;;) {
        assert_ok(reader_next(&r, &more));
        if (!more) break;
        count_row(t, spec, &r.row);
    }
    reader_close(&r);
    for (size_t i = 0; i < READER_MAX_FILES; i++)
        reader_unmap_file(&files[i]);
    specs_deinit(&specs);
    berth_config_free(c);
    berth_str_deinit(&s);
}

static int64_t times(const struct tally *t, size_t task, const char *name) {
    for (size_t i = 0; i < t->tasks[task].count; i++)
        if (strcmp(t->tasks[task].names[i], name) == 0) return t->tasks[task].times[i];
    return 0;
}

static void snips(void **state) {
    static const struct {
        const char *path;
        int64_t rows;
        size_t tags;
    } cases[] = {{"snips/train", 13084, 72}, {"snips/dev", 700, 70}, {"snips/test", 700, 70}};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct tally t;
        read_whole(
            &t, "format: seqfiles",
            "i: {type: classification, source: s, label: label}, t: {type: tagging, source: s, label: seq.out}",
            cases[i].path);
        assert_int_equal(t.rows, cases[i].rows);
        assert_int_equal(t.tasks[0].count, 7);
        assert_int_equal(t.tasks[1].count, cases[i].tags);
    }
}

static void sst2_phrases(void **state) {
    static const struct {
        const char *path;
        int64_t rows;
    } cases[] = {
        {"sst2/phrases/train.tsv", 60614}, {"sst2/phrases/dev.tsv", 6735}, {"sst2/phrases/test.tsv", 872}};
    struct tally t;
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        read_whole(&t, "format: tsv, text: sentence", "i: {type: classification, source: s, label: label}",
                   cases[i].path);
        assert_int_equal(t.rows, cases[i].rows);
        assert_int_equal(t.tasks[0].count, 2);
    }
    assert_int_equal(times(&t, 0, "1"), 444);
    assert_int_equal(times(&t, 0, "0"), 428);
}

static void sst2_sentences(void **state) {
    static const struct {
        const char *path;
        int64_t positive, negative;
    } cases[] = {{"sst2/sentences/stsa.binary.train", 3610, 3310},
                 {"sst2/sentences/stsa.binary.dev", 444, 428}};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct tally t;
        read_whole(&t, "format: lines", "i: {type: classification, source: s, label: label}", cases[i].path);
        assert_int_equal(t.rows, cases[i].positive + cases[i].negative);
        assert_int_equal(times(&t, 0, "1"), cases[i].positive);
        assert_int_equal(times(&t, 0, "0"), cases[i].negative);
    }
}

static void wikigold(void **state) {
    struct tally t;
    (void)state;
    read_whole(&t, "format: conll, text: 0", "e: {type: tagging, source: s, label: 1}",
               "wikigold/wikigold.conll.txt");
    assert_int_equal(t.rows, 1696);
    assert_int_equal(t.words, 39007);
    assert_int_equal(t.tasks[0].count, 5);
    assert_int_equal(times(&t, 0, "I-PER"), 1634);
    assert_int_equal(times(&t, 0, "I-LOC"), 1447);
    assert_int_equal(times(&t, 0, "I-ORG"), 1958);
    assert_int_equal(times(&t, 0, "I-MISC"), 1392);
    assert_int_equal(times(&t, 0, "O"), 32721 - 145); /* 145 lines -DOCSTART- carry one */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snips),
        cmocka_unit_test(sst2_phrases),
        cmocka_unit_test(sst2_sentences),
        cmocka_unit_test(wikigold),
    };
    const char *folder = getenv("BERTH_TEST_DATA");
    if (!folder || !folder[0]) return 77; /* not run */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
