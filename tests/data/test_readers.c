/* test_readers.c: files through readers and packing, what configurations must say, and public files read whole;
 * single files of each format, good and bad, are in test_samples.c. */
#include "data/support_data.h"

#include "data/data_priv.h"

#define TSV_TASKS "tasks: {mood: {type: classification, source: r, label: label}}\n"
#define TSV "data: {r: {format: tsv, text: sentence, train: r.tsv}}\n" TSV_TASKS
#define TSV_PLAIN                                                                                              \
    "data: {r: {format: tsv, text: 0, header: false, train: r.tsv}}\n"                                         \
    "tasks: {mood: {type: classification, source: r, label: 1}}\n"
#define TSV_TAGS                                                                                               \
    "data: {r: {format: tsv, text: text, train: r.tsv}}\n"                                                     \
    "tasks: {tags: {type: tagging, source: r, label: tags}}\n"
#define LINES                                                                                                  \
    "data: {r: {format: lines, train: r.txt}}\n"                                                               \
    "tasks: {mood: {type: classification, source: r, label: label}}\n"
#define SEQ                                                                                                    \
    "data: {s: {format: seqfiles, train: s}}\n"                                                                \
    "tasks: {intent: {type: classification, source: s, label: label}, slots: {type: tagging, source: s, "      \
    "label: seq.out}}\n"

static void put_seq(const struct data_world *w, const char *in, const char *out, const char *label) {
    world_put(w, "s/seq.in", in);
    world_put(w, "s/seq.out", out);
    world_put(w, "s/label", label);
}

/* The label of a row of the first source's training split, by name; "-": missing. */
static const char *label_name(const struct berth_data *d, size_t task, int64_t row) {
    int32_t label = berth_data_source(d, 0)->split[BERTH_TRAIN].labels[task][row];
    return label < 0 ? "-" : berth_data_task(d, task)->labels.names[label];
}

static int64_t row_tokens(const struct berth_data *d, int64_t row) {
    const struct berth_dataset *set = &berth_data_source(d, 0)->split[BERTH_TRAIN];
    return set->offset[row + 1] - set->offset[row];
}

static void tsv_reads_columns_by_name_and_number(void **state) {
    struct data_world w;
    (void)state;
    world_make(&w);
    /* a byte order mark, CRLF, a label between spaces, an empty text, a missing label, no end of the last line
     */
    world_put(&w, "r.tsv",
              "\xEF\xBB\xBFid\tsentence\tlabel\r\n1\tgood film\t pos \r\n2\t\tneg\n3\tbad\t\n4\tthe film\tpos");
    struct berth_data *d = world_open(&w, TSV);
    assert_int_equal(berth_data_source(d, 0)->split[BERTH_TRAIN].rows, 4);
    assert_string_equal(label_name(d, 0, 0), "pos");
    assert_string_equal(label_name(d, 0, 1), "neg");
    assert_string_equal(label_name(d, 0, 2), "-");
    assert_string_equal(label_name(d, 0, 3), "pos");
    assert_int_equal(row_tokens(d, 0), 4);
    assert_int_equal(row_tokens(d, 1), 2); /* [CLS] [SEP] */
    assert_int_equal(berth_data_task(d, 0)->labels.count, 2);
    berth_data_free(d);
    world_put(&w, "r.tsv", "good film\tpos\nbad film\tneg\n");
    d = world_open(&w, TSV_PLAIN);
    assert_int_equal(berth_data_source(d, 0)->split[BERTH_TRAIN].rows, 2);
    assert_string_equal(label_name(d, 0, 1), "neg");
    berth_data_free(d);
    world_remove(&w);
}

static void files_must_be_there(void **state) {
    struct data_world w;
    (void)state;
    world_make(&w);
    world_refuses(&w, TSV, BERTH_E_IO, "@/r.tsv: cannot be opened: No such file or directory");
    world_put(&w, "r.tsv", "sentence\tlabel\n");
    world_refuses(&w, TSV, BERTH_E_FORMAT, "@/r.tsv:2: found the end of the file, expected at least one row");
    world_put(&w, "r.tsv", "sentence\tlabel\ngood\t\nbad\t\n");
    world_refuses(
        &w, TSV, BERTH_E_USAGE,
        "test.yaml:2:56: tasks.mood.label: task 'mood': no row of the training split carries a label");
    assert_ok(berth_make_folders(world_path(&w, "r.txt")));
    world_refuses(&w, LINES, BERTH_E_IO, "@/r.txt: is a folder, expected a file");
    world_remove(&w);
}

static void tsv_tags_belong_to_words(void **state) {
    struct data_world w;
    (void)state;
    world_make(&w);
    /* a no-break space parts words; a row without tags; words of several pieces */
    world_put(&w, "r.tsv", "text\ttags\n  good\xC2\xA0 filmx was \tB-q O  O\nthe film\t\n");
    struct berth_data *d = world_open(&w, TSV_TAGS);
    const struct berth_dataset *set = &berth_data_source(d, 0)->split[BERTH_TRAIN];
    assert_int_equal(set->rows, 2);
    assert_int_equal(set->word_count, 5);
    /* [CLS] good film ##x was [SEP] */
    assert_int_equal(set->word_token[0], 1);
    assert_int_equal(set->word_token[1], 2);
    assert_int_equal(set->word_token[2], 4);
    assert_int_equal(row_tokens(d, 0), 6);
    const struct berth_labels *labels = &berth_data_task(d, 0)->labels;
    assert_int_equal(labels->count, 2);
    assert_string_equal(labels->names[0], "O");
    assert_string_equal(labels->names[1], "B-q");
    const int32_t expected[5] = {1, 0, 0, BERTH_LABEL_MISSING, BERTH_LABEL_MISSING};
    assert_memory_equal(set->labels[0], expected, sizeof expected);
    berth_data_free(d);
    world_remove(&w);
}

static void lines_hold_label_and_text(void **state) {
    struct data_world w;
    (void)state;
    world_make(&w);
    world_put(&w, "r.txt", "1 good film\r\n0\tbad \n1 \n");
    struct berth_data *d = world_open(&w, LINES);
    assert_int_equal(berth_data_source(d, 0)->split[BERTH_TRAIN].rows, 3);
    assert_string_equal(label_name(d, 0, 0), "1");
    assert_string_equal(label_name(d, 0, 1), "0");
    assert_int_equal(row_tokens(d, 0), 4);
    assert_int_equal(row_tokens(d, 2), 2);
    berth_data_free(d);
    world_remove(&w);
}

static void seqfiles_belong_together(void **state) {
    struct data_world w;
    (void)state;
    world_make(&w);
    put_seq(&w, "book  a table\n play music \r\n", "O O  B-what\nO O\n", "book \nplay\n");
    struct berth_data *d = world_open(&w, SEQ);
    const struct berth_dataset *set = &berth_data_source(d, 0)->split[BERTH_TRAIN];
    assert_int_equal(set->rows, 2);
    assert_int_equal(set->word_count, 5);
    assert_string_equal(label_name(d, 0, 0), "book");
    assert_string_equal(berth_data_task(d, 1)->labels.names[0], "O");
    assert_int_equal(set->labels[1][2], 1);
    berth_data_free(d);
    world_remove(&w);
}

static void configuration_must_fit_the_format(void **state) {
    struct data_world w;
    (void)state;
    world_make(&w);
    world_refuses(
        &w,
        "data: {reviews: {format: lines, train: r.txt}}\n"
        "tasks: {mood: {type: classification, source: review, label: label}}\n",
        BERTH_E_USAGE,
        "test.yaml:2:46: tasks.mood.source: no source of `data` is named 'review'; did you mean 'reviews'?");
    world_refuses(
        &w,
        "data: {r: {format: lines, train: r.txt}}\n"
        "tasks: {t: {type: tagging, source: r, label: label}}\n",
        BERTH_E_USAGE,
        "test.yaml:2:46: tasks.t.label: format lines holds one label a row, no tags: a tagging task needs "
        "conll, seqfiles, tsv, csv or jsonl");
    world_refuses(
        &w,
        "data: {s: {format: seqfiles, train: s}}\n"
        "tasks: {t: {type: tagging, source: s, label: label}}\n",
        BERTH_E_USAGE,
        "test.yaml:2:46: tasks.t.label: found 'label', expected 'seq.out', which is what a tagging task reads "
        "of seqfiles");
    world_refuses(
        &w,
        "data: {s: {format: seqfiles, train: s}}\n"
        "tasks: {t: {type: classification, source: s, label: seq.out}}\n",
        BERTH_E_USAGE,
        "test.yaml:2:53: tasks.t.label: found 'seq.out', expected 'label', which is what a classification task "
        "reads of seqfiles");
    world_refuses(&w,
                  "data: {r: {format: lines, text: 1, train: r.txt}}\n"
                  "tasks: {t: {type: classification, source: r, label: label}}\n",
                  BERTH_E_USAGE,
                  "test.yaml:1:33: data.r.text: format lines has no columns: leave this key out");
    world_refuses(
        &w,
        "data: {r: {format: tsv, header: false, train: r.tsv}}\n"
        "tasks: {t: {type: classification, source: r, label: label}}\n",
        BERTH_E_USAGE,
        "test.yaml:2:53: tasks.t.label: found the name 'label', expected a column's number from 0, since the "
        "source has 'header: false'");
    world_refuses(&w,
                  "data: {r: {format: lines, dev: r.txt}}\n"
                  "tasks: {t: {type: classification, source: r, label: label}}\n",
                  BERTH_E_IO, "@/r.txt: cannot be opened: No such file or directory");
    world_put(&w, "r.txt", "1 good\n");
    world_refuses(
        &w,
        "data: {r: {format: lines, dev: r.txt}}\n"
        "tasks: {t: {type: classification, source: r, label: label}}\n",
        BERTH_E_USAGE,
        "test.yaml:2:53: tasks.t.label: task 't' has no labels to learn: source 'r' names no training split "
        "(data.r.train)");
    world_remove(&w);
}

/* specs_read must fail with exactly this text. */
static void specs_refuse(const struct data_world *w, const char *body, const char *text) {
    struct specs specs;
    struct berth_config *c = world_config(w, body);
    assert_int_equal(specs_read(&specs, c), BERTH_E_USAGE);
    assert_string_equal(berth_error_text(), text);
    specs_deinit(&specs);
    berth_config_free(c);
}

#define TWO "data: {a: {format: tsv, train: a.tsv}, b: {format: tsv, train: b.tsv}}\n"

static void tasks_read_several_sources(void **state) {
    struct data_world w;
    struct specs specs;
    (void)state;
    world_make(&w);
    struct berth_config *c = world_config(
        &w, TWO "tasks:\n"
                "  x: {type: classification, source: [b, a], label: [mood, 1]}\n"
                "  y: {type: tagging, source: [a, b], label: tags, scheme: io, convert_to: bio}\n");
    assert_ok(specs_read(&specs, c));
    assert_int_equal(specs.tasks[0].source_count, 2);
    assert_int_equal(specs.tasks[0].sources[0].source, 1);
    assert_int_equal(specs.tasks[0].sources[1].source, 0);
    assert_int_equal(specs.tasks[1].sources[0].label, 1);
    const struct label_spec *first = &specs.sources[1].labels[0], *second = &specs.sources[0].labels[0];
    assert_string_equal(first->column.name, "mood");
    assert_int_equal(first->column.number, -1);
    assert_string_equal(first->column.key, "tasks.x.label[0]");
    assert_int_equal(second->column.number, 1);
    const struct label_spec *tags = &specs.sources[1].labels[1];
    assert_string_equal(tags->column.name, "tags");
    assert_string_equal(tags->column.key, "tasks.y.label");
    assert_int_equal(tags->scheme, BERTH_TAGS_IO);
    assert_int_equal(tags->convert_to, BERTH_TAGS_BIO);
    assert_true(specs.sources[0].by_words && specs.sources[1].by_words);
    specs_deinit(&specs);
    berth_config_free(c);
    specs_refuse(
        &w, TWO "tasks: {x: {type: classification, source: [a, b], label: [m, n, o]}}\n",
        "test.yaml:2:58: tasks.x.label: found 3 columns, expected one, or one for each of the 2 sources");
    specs_refuse(&w, TWO "tasks: {x: {type: classification, source: [a, c], label: m}}\n",
                 "test.yaml:2:47: tasks.x.source[1]: no source of `data` is named 'c'");
    specs_refuse(&w, TWO "tasks: {x: {type: classification, source: [a, a], label: m}}\n",
                 "test.yaml:2:47: tasks.x.source[1]: the source 'a' stands twice");
    specs_refuse(
        &w, TWO "tasks: {x: {type: classification, source: a}}\n",
        "test.yaml:2:19: tasks.x.type: found 'classification' without the key 'label', expected the column "
        "of the label");
    specs_refuse(&w, TWO "tasks: {x: {type: classification, source: a, label: m, scheme: io}}\n",
                 "test.yaml:2:64: tasks.x.scheme: a classification task has no tags: leave this key out");
    specs_refuse(
        &w, TWO "tasks: {x: {type: tagging, source: a, label: m, convert_to: io}}\n",
        "test.yaml:2:61: tasks.x.convert_to: found 'io' without the scheme that the files have, expected "
        "tasks.x.scheme as one of io, bio, iob1, bioes, bilou");
    world_remove(&w);
}

#define NER "data: {n: {format: conll, train: n.train, dev: n.dev}}\n"
#define NER_TASK "tasks: {ner: {type: tagging, source: n, label: 1"

static void log_has(const struct data_world *w, const char *line) {
    char expected[512];
    size_t used = 0;
    for (const char *p = line; *p; p++)
        used += (size_t)snprintf(expected + used, sizeof expected - used, "%.*s", *p == '@' ? 1000 : 1,
                                 *p == '@' ? w->folder : p);
    if (!strstr(w->log, expected)) fail_msg("the log has no '%s':\n%s", expected, w->log);
}

/* The scheme is told from the training rows, and what does not fit is said, when a pack is used again, too. */
static void tags_out_of_place_are_reported(void **state) {
    (void)state;
    for (int turn = 0; turn < 2; turn++) {
        static struct data_world w;
        if (turn == 0) {
            world_make(&w);
            world_put(&w, "n.train",
                      "the B-x\nfilm I-x\n\nfilm O\nwas I-y\n\nbad I-x\nnot B-y\n\nbad B-x\nfor B-x\n");
            world_put(&w, "n.dev", "the B-x\n\nfilm E-x\n");
        }
        w.log[0] = 0;
        w.warnings = 0;
        struct berth_data *d = world_open(&w, NER NER_TASK "}}\n");
        assert_int_equal(berth_data_task(d, 0)->scheme, BERTH_TAGS_BIO);
        assert_int_equal(berth_data_was_packed(d, 0, BERTH_TRAIN), turn == 0);
        log_has(&w, "task 'ner': the scheme of its tags is bio");
        log_has(&w,
                "task 'ner': 2 tags of n train do not fit the scheme bio (the first: @/n.train:4: word 2: I-y "
                "behind O)");
        log_has(
            &w,
            "task 'ner': 1 tag of n dev does not fit the scheme bio (the first: @/n.dev:3: word 1: E-x behind "
            "the beginning of the sentence)");
        assert_int_equal(w.warnings, 3); /* and E-x is not among the known labels */
        berth_data_free(d);
        if (turn == 1) {
            d = world_open(&w, NER NER_TASK ", scheme: bioes}}\n");
            assert_int_equal(berth_data_task(d, 0)->scheme, BERTH_TAGS_BIOES);
            berth_data_free(d);
            d = world_open(&w, NER NER_TASK ", scheme: io, convert_to: bio}}\n");
            assert_int_equal(berth_data_task(d, 0)->scheme, BERTH_TAGS_BIO);
            assert_true(berth_labels_find(&berth_data_task(d, 0)->labels, "B-y") > 0);
            assert_int_equal(berth_labels_find(&berth_data_task(d, 0)->labels, "I-y"), -1);
            berth_data_free(d);
            world_remove(&w);
        }
    }
}

static void replaced_characters_are_reported(void **state) {
    struct data_world w;
    (void)state;
    world_make(&w);
    world_put(&w, "r.tsv", "sentence\tlabel\ngood\tpos\nb\xFF\xFE\tneg\n");
    struct berth_data *d =
        world_open(&w, "data: {r: {format: tsv, text: sentence, train: r.tsv, encoding: replace}}\n" TSV_TASKS);
    log_has(&w, "r train: 2 bad characters were replaced by U+FFFD (the first: @/r.tsv:3)");
    berth_data_free(d);
    world_remove(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tsv_reads_columns_by_name_and_number),
        cmocka_unit_test(files_must_be_there),
        cmocka_unit_test(tsv_tags_belong_to_words),
        cmocka_unit_test(lines_hold_label_and_text),
        cmocka_unit_test(seqfiles_belong_together),
        cmocka_unit_test(configuration_must_fit_the_format),
        cmocka_unit_test(tasks_read_several_sources),
        cmocka_unit_test(tags_out_of_place_are_reported),
        cmocka_unit_test(replaced_characters_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
