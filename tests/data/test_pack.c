/* test_pack.c: rows survive packing, packs are reused by digest, changed and damaged ones are made again, and
 * labels are laid over the task's map. */
#include "data/support_data.h"

#include <stdio.h>

#include "berth/json.h"
#include "data/data_priv.h"

#define TALK                                                                                                   \
    "data: {talk: {format: seqfiles, train: [a, b], dev: c}}\n"                                                \
    "tasks: {intent: {type: classification, source: talk, label: label},\n"                                    \
    "        slots: {type: tagging, source: talk, label: seq.out}}\n"

static void put_part(const struct data_world *w, const char *name, const char *in, const char *out,
                     const char *label) {
    char path[64];
    snprintf(path, sizeof path, "%s/seq.in", name);
    world_put(w, path, in);
    snprintf(path, sizeof path, "%s/seq.out", name);
    world_put(w, path, out);
    snprintf(path, sizeof path, "%s/label", name);
    world_put(w, path, label);
}

static void put_talk(const struct data_world *w) {
    put_part(w, "a", "book a table for two\nplay music\n", "O O O O B-n\nO B-m\n", "book\nplay\n");
    put_part(w, "b", "the book\n", "O B-a\n", "find\n");
    put_part(w, "c", "play a film\nbook two\n", "O O B-film\nO B-n\n", "watch\nbook\n");
}

static int32_t id(const struct data_world *w, const char *token) {
    int32_t found = berth_tokenizer_find(w->tokenizer, token);
    assert_true(found >= 0);
    return found;
}

static void rows_survive_packing(void **state) {
    (void)state;
    struct data_world w;
    world_make(&w);
    put_talk(&w);
    struct berth_data *d = world_open(&w, TALK);
    const struct berth_source *source = berth_data_source(d, 0);
    const struct berth_dataset *set = &source->split[BERTH_TRAIN];
    assert_string_equal(source->name, "talk");
    assert_true(source->has[BERTH_TRAIN] && source->has[BERTH_DEV] && !source->has[BERTH_TEST]);
    assert_int_equal(set->rows, 3); /* both folders, one after the other */
    const int32_t tokens[] = {2,
                              id(&w, "book"),
                              id(&w, "a"),
                              id(&w, "table"),
                              id(&w, "for"),
                              id(&w, "two"),
                              3,
                              2,
                              id(&w, "play"),
                              id(&w, "music"),
                              3,
                              2,
                              id(&w, "the"),
                              id(&w, "book"),
                              3};
    const int64_t offset[] = {0, 7, 11, 15}, word_offset[] = {0, 5, 7, 9};
    assert_int_equal(set->token_count, 15);
    assert_memory_equal(set->tokens, tokens, sizeof tokens);
    assert_memory_equal(set->offset, offset, sizeof offset);
    assert_memory_equal(set->word_offset, word_offset, sizeof word_offset);
    const struct berth_task *intent = berth_data_task(d, 0), *slots = berth_data_task(d, 1);
    assert_int_equal(berth_data_task_count(d), 2);
    assert_int_equal(berth_data_task_source(d, 1), 0);
    const int32_t intents[] = {0, 2, 1}, tags[] = {0, 0, 0, 0, 3, 0, 2, 0, 1};
    assert_int_equal(intent->labels.count, 3); /* book find play */
    assert_int_equal(slots->labels.count, 4);  /* O B-a B-m B-n */
    assert_memory_equal(set->labels[0], intents, sizeof intents);
    assert_memory_equal(set->labels[1], tags, sizeof tags);
    /* labels that only dev has: unknown, counted, told */
    const struct berth_dataset *dev = &source->split[BERTH_DEV];
    assert_int_equal(dev->labels[0][0], BERTH_LABEL_UNKNOWN);
    assert_int_equal(dev->labels[0][1], 0);
    assert_int_equal(dev->labels[1][2], BERTH_LABEL_UNKNOWN);
    assert_int_equal(dev->unknown_labels[0], 1);
    assert_int_equal(dev->unknown_labels[1], 1);
    assert_int_equal(set->unknown_labels[0], 0);
    assert_non_null(strstr(w.log,
                           "task 'intent': 1 label of talk dev is not among the 3 known ones (the first: "
                           "'watch') and counts as wrong"));
    berth_data_free(d);
    world_remove(&w);
}

static void known_maps_are_kept(void **state) {
    (void)state;
    struct data_world w;
    struct berth_task known[2] = {{.name = "slots", .kind = BERTH_TASK_TAGGING},
                                  {.name = "intent", .kind = BERTH_TASK_CLASSIFICATION}};
    world_make(&w);
    put_talk(&w);
    berth_labels_init(&known[0].labels);
    berth_labels_init(&known[1].labels);
    assert_ok(berth_labels_add(&known[0].labels, "O", NULL));
    assert_ok(berth_labels_add(&known[0].labels, "B-film", NULL));
    assert_ok(berth_labels_add(&known[1].labels, "watch", NULL));
    struct berth_config *c = world_config(&w, TALK);
    struct berth_data *d = NULL;
    assert_ok(berth_data_open(&d, c, w.tokenizer, known, 2, 1u << BERTH_DEV));
    const struct berth_source *source = berth_data_source(d, 0);
    assert_false(source->has[BERTH_TRAIN]);
    assert_null(berth_data_file(d, 0, BERTH_TRAIN));
    assert_int_equal(source->split[BERTH_DEV].labels[0][0], 0);
    assert_int_equal(source->split[BERTH_DEV].labels[0][1], BERTH_LABEL_UNKNOWN);
    assert_int_equal(source->split[BERTH_DEV].labels[1][2], 1);
    assert_true(berth_labels_equal(&berth_data_task(d, 0)->labels, &known[1].labels));
    /* training needs a training split */
    struct berth_feeder *f = NULL;
    const struct berth_feeder_options options = {.seed = 1, .batch_size = 2, .accumulate = 1};
    assert_int_equal(berth_feeder_create(&f, d, &options), BERTH_E_USAGE);
    assert_string_equal(berth_error_text(),
                        "data.talk.train: task 'intent' is to be trained, but its source has no "
                        "training split");
    berth_data_free(d);
    /* only one of two is known, and training is not read */
    assert_int_equal(berth_data_open(&d, c, w.tokenizer, known, 1, 1u << BERTH_DEV), BERTH_E_USAGE);
    assert_non_null(strstr(berth_error_text(), "tasks.intent.label: task 'intent' has no label map"));
    known[0].kind = BERTH_TASK_CLASSIFICATION;
    assert_int_equal(berth_data_open(&d, c, w.tokenizer, known, 2, 1u << BERTH_DEV), BERTH_E_USAGE);
    assert_non_null(strstr(berth_error_text(),
                           "task 'slots' is of type tagging, but the model's head of that name is of "
                           "type classification"));
    berth_config_free(c);
    berth_labels_deinit(&known[0].labels);
    berth_labels_deinit(&known[1].labels);
    world_remove(&w);
}

/* True when the training split was packed by this opening. */
static bool packs_anew(const struct data_world *w, const char *body) {
    struct berth_data *d = world_open(w, body);
    bool made = berth_data_was_packed(d, 0, BERTH_TRAIN);
    assert_true(berth_file_exists(berth_data_file(d, 0, BERTH_TRAIN)));
    berth_data_free(d);
    return made;
}

static void packs_are_reused_by_digest(void **state) {
    (void)state;
    struct data_world w;
    world_make(&w);
    put_talk(&w);
    assert_true(packs_anew(&w, TALK));
    assert_int_equal(world_cached(&w), 2);
    assert_false(packs_anew(&w, TALK));
    assert_int_equal(world_cached(&w), 2);
    /* another name of a task: the same pack */
    assert_false(packs_anew(&w, "data: {talk: {format: seqfiles, train: [a, b]}}\n"
                                "tasks: {other: {type: classification, source: talk, label: label},\n"
                                "        tags: {type: tagging, source: talk, label: seq.out}}\n"));
    /* another setting, fewer labels, another order of paths, another byte: another pack */
    w.max_length = 15;
    assert_true(packs_anew(&w, TALK));
    w.max_length = 16;
    assert_true(packs_anew(&w, "data: {talk: {format: seqfiles, train: [a, b]}}\n"
                               "tasks: {other: {type: classification, source: talk, label: label}}\n"));
    assert_true(packs_anew(&w, "data: {talk: {format: seqfiles, train: [b, a]}}\n"
                               "tasks: {intent: {type: classification, source: talk, label: label},\n"
                               "        slots: {type: tagging, source: talk, label: seq.out}}\n"));
    put_part(&w, "b", "the book\n", "O B-a\n", "fine\n");
    assert_true(packs_anew(&w, TALK));
    put_part(&w, "b", "the book\n", "O B-a\n", "find\n");
    assert_false(packs_anew(&w, TALK));
    world_remove(&w);
}

static void damaged_packs_are_made_again(void **state) {
    (void)state;
    struct data_world w;
    world_make(&w);
    put_talk(&w);
    struct berth_data *d = world_open(&w, TALK);
    char path[1024], *good = NULL, *again = NULL;
    size_t size = 0, again_size = 0;
    snprintf(path, sizeof path, "%s", berth_data_file(d, 0, BERTH_TRAIN));
    berth_data_free(d);
    assert_ok(berth_file_read(&good, &size, path));
    for (int damage = 0; damage < 3; damage++) {
        char *bad = malloc(size);
        memcpy(bad, good, size);
        bad[size - 5000 + (size_t)damage] ^= 1;
        assert_ok(berth_file_put(path, bad, damage == 1 ? size / 2 : damage == 2 ? 0 : size));
        free(bad);
        w.log[0] = 0;
        assert_true(packs_anew(&w, TALK));
        assert_non_null(strstr(w.log, "the cache holds a damaged file, which is made again: "));
        assert_ok(berth_file_read(&again, &again_size, path));
        assert_int_equal(again_size, size);
        assert_memory_equal(again, good, size); /* packing is repeatable to the byte */
        free(again);
    }
    free(good);
    world_remove(&w);
}

/* A pack whose digest is right and whose numbers are not is not believed. */
static void impossible_numbers_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int32_t tokens[4];
        int64_t offset[3];
        int32_t labels[2];
    } cases[] = {{"good", {2, 3, 2, 3}, {0, 2, 4}, {0, -1}},
                 {"token", {2, 9999, 2, 3}, {0, 2, 4}, {0, 0}},
                 {"negative", {2, -3, 2, 3}, {0, 2, 4}, {0, 0}},
                 {"offset", {2, 3, 2, 3}, {0, 6, 4}, {0, 0}},
                 {"overflow", {2, 3, 2, 3}, {0, INT64_MIN, 4}, {0, 0}},
                 {"end", {2, 3, 2, 3}, {0, 2, 5}, {0, 0}},
                 {"label", {2, 3, 2, 3}, {0, 2, 4}, {0, 1}},
                 {"below", {2, 3, 2, 3}, {0, 2, 4}, {0, -2}}};
    struct data_world w;
    struct specs specs;
    struct read_report report;
    struct berth_str meta;
    world_make(&w);
    struct berth_config *c = world_config(&w, "data: {r: {format: lines, train: r.txt}}\n"
                                              "tasks: {t: {type: classification, source: r, label: label}}\n");
    assert_ok(specs_read(&specs, c));
    berth_str_init(&meta);
    assert_ok(read_report_init(&report, 1));
    berth_str_add(&meta,
                  "{\"rows\":2,\"source_rows\":2,\"tokens\":4,\"words\":0,\"rows_cut\":0,\"words_cut\":0,"
                  "\"labels\":[{\"names\":[\"x\"]}],\"report\":");
    read_report_add_json(&meta, &report);
    berth_str_add(&meta, "}");
    assert_false(meta.failed);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct berth_h5_writer *h = NULL;
        struct pack p;
        const int64_t four = 4, three = 3, two = 2, words[3] = {0, 0, 0};
        const uint8_t segments[4] = {0};
        const char *path = world_path(&w, "x.h5");
        assert_ok(berth_h5_create(&h, path, "pack", PACK_VERSION));
        assert_ok(berth_h5_put(h, "tokens", BERTH_H5_I32, 1, &four, cases[i].tokens));
        assert_ok(berth_h5_put(h, "segments", BERTH_H5_U8, 1, &four, segments));
        assert_ok(berth_h5_put(h, "offset", BERTH_H5_I64, 1, &three, cases[i].offset));
        assert_ok(berth_h5_put(h, "word_offset", BERTH_H5_I64, 1, &three, words));
        assert_ok(berth_h5_put(h, "labels/0", BERTH_H5_I32, 1, &two, cases[i].labels));
        assert_ok(berth_h5_put_text(h, "meta", meta.data));
        assert_ok(berth_h5_commit(&h));
        berth_status status = pack_open(&p, path, &specs.sources[0], 16, berth_tokenizer_size(w.tokenizer));
        if (status != (i == 0 ? BERTH_OK : BERTH_E_FORMAT))
            fail_msg("case '%s': %s: %s", cases[i].name, berth_status_name(status), berth_error_text());
        if (i > 0) assert_non_null(strstr(berth_error_text(), "x.h5: "));
        if (i == 0) pack_close(&p);
    }
    read_report_deinit(&report);
    berth_str_deinit(&meta);
    specs_deinit(&specs);
    berth_config_free(c);
    world_remove(&w);
}

static void meta_tells_where_it_came_from(void **state) {
    (void)state;
    struct data_world w;
    world_make(&w);
    put_talk(&w);
    struct berth_data *d = world_open(&w, TALK);
    struct berth_h5 *file = NULL;
    struct berth_json *j = NULL;
    const char *text = NULL, *value = NULL;
    int64_t number = 0;
    assert_ok(berth_h5_open(&file, berth_data_file(d, 0, BERTH_TRAIN), "pack", PACK_VERSION));
    assert_ok(berth_h5_text(file, "meta", &text));
    assert_ok(berth_json_parse(&j, "meta", text, strlen(text)));
    assert_ok(berth_json_int(&number, j, "rows", 0, 100));
    assert_int_equal(number, 3);
    assert_int_equal(berth_json_count(j, "files"), 6);
    assert_ok(berth_json_string(&value, j, "files[3].path"));
    assert_string_equal(value, world_path(&w, "b/seq.in"));
    assert_ok(berth_json_int(&number, j, "files[3].bytes", 0, 100));
    assert_int_equal(number, 9);
    assert_ok(berth_json_string(&value, j, "berth"));
    assert_string_equal(value, BERTH_VERSION);
    char hex[33];
    berth_hash_hex(berth_tokenizer_digest(w.tokenizer), hex);
    assert_ok(berth_json_string(&value, j, "tokenizer"));
    assert_string_equal(value, hex);
    berth_json_free(j);
    berth_h5_close(file);
    berth_data_free(d);
    world_remove(&w);
}

static void long_rows_are_cut(void **state) {
    (void)state;
    struct data_world w;
    world_make(&w);
    w.max_length = 6;
    world_put(&w, "r.tsv",
              "a\tb\tt\nthe film was good but not great\tbad\tO O O O O O O\n"
              "the film qqq\tthe book was bad\tO O O\n");
    struct berth_data *d = world_open(&w, "data: {r: {format: tsv, text: a, train: r.tsv}}\n"
                                          "tasks: {t: {type: tagging, source: r, label: t}}\n");
    const struct berth_dataset *set = &berth_data_source(d, 0)->split[BERTH_TRAIN];
    assert_int_equal(set->rows_cut, 2); /* of the second row only later pieces of qqq */
    assert_int_equal(set->words_cut, 3);
    const int32_t word_token[] = {1, 2, 3, 4, -1, -1, -1, 1, 2, 3};
    assert_memory_equal(set->word_token, word_token, sizeof word_token);
    berth_data_free(d);
    /* Room for 5 tokens of both: of 7 and 1 stay 4 and 1, of 5 and 4 stay 3 and 2. */
    w.max_length = 8;
    d = world_open(&w, "data: {r: {format: tsv, text: a, text_pair: b, train: r.tsv}}\n"
                       "tasks: {t: {type: classification, source: r, label: t}}\n");
    set = &berth_data_source(d, 0)->split[BERTH_TRAIN];
    const uint8_t segments[] = {0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1};
    assert_int_equal(set->token_count, 16);
    assert_int_equal(set->word_count, 0);
    assert_memory_equal(set->segments, segments, sizeof segments);
    assert_int_equal(set->tokens[6], id(&w, "bad"));
    assert_int_equal(set->tokens[7], 3);
    berth_data_free(d);
    world_remove(&w);
}

/* The reference's fast tokenizer (tokenizers 0.23.3, truncation "longest_first"), counts kept of (text, pair).
 */
static void pairs_are_cut_as_the_reference_cuts(void **state) {
    (void)state;
    static const size_t cases[][5] = {{5, 5, 5, 2, 3}, {5, 6, 4, 3, 2},  {5, 4, 6, 2, 3},  {5, 9, 1, 4, 1},
                                      {5, 1, 9, 1, 4}, {5, 0, 9, 0, 5},  {5, 9, 0, 5, 0},  {5, 2, 3, 2, 3},
                                      {6, 5, 5, 3, 3}, {6, 5, 6, 3, 3},  {6, 6, 5, 3, 3},  {7, 4, 4, 3, 4},
                                      {7, 3, 5, 3, 4}, {7, 20, 5, 4, 3}, {7, 5, 20, 3, 4}, {1, 3, 3, 0, 1},
                                      {1, 4, 3, 1, 0}, {1, 3, 4, 0, 1},  {1, 0, 4, 0, 1},  {12, 12, 13, 6, 6}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t text = cases[i][1], pair = cases[i][2];
        row_cut(&text, &pair, cases[i][0]);
        if (text != cases[i][3] || pair != cases[i][4])
            fail_msg("room %zu for %zu and %zu: kept %zu and %zu, expected %zu and %zu", cases[i][0],
                     cases[i][1], cases[i][2], text, pair, cases[i][3], cases[i][4]);
    }
}

/* A saved head's labels and a training split that has others. */
static void training_refuses_labels_that_a_saved_head_lacks(void **state) {
    (void)state;
    struct data_world w;
    struct berth_task known[2] = {{.name = "slots", .kind = BERTH_TASK_TAGGING},
                                  {.name = "intent", .kind = BERTH_TASK_CLASSIFICATION}};
    static const char *const TAGS[] = {"O", "B-n", "B-m"}, *const INTENTS[] = {"book", "play"};
    const struct berth_feeder_options options = {.seed = 1, .batch_size = 2, .accumulate = 1};
    struct berth_feeder *f = NULL;
    struct berth_data *d = NULL;
    world_make(&w);
    put_talk(&w);
    for (int i = 0; i < 2; i++)
        berth_labels_init(&known[i].labels);
    for (int i = 0; i < 3; i++)
        assert_ok(berth_labels_add(&known[0].labels, TAGS[i], NULL));
    for (int i = 0; i < 2; i++)
        assert_ok(berth_labels_add(&known[1].labels, INTENTS[i], NULL));
    struct berth_config *c = world_config(&w, TALK);
    assert_ok(berth_data_open(&d, c, w.tokenizer, known, 2, BERTH_ALL_SPLITS)); /* scoring may count them */
    assert_int_equal(berth_data_source(d, 0)->split[BERTH_TRAIN].unknown_labels[0], 1);
    assert_int_equal(berth_feeder_create(&f, d, &options), BERTH_E_USAGE);
    assert_string_equal(
        berth_error_text(),
        "data.talk.train: row 3: task 'intent': the label 'find' is not among the 2 of the model's "
        "head of that name (1 such label in all); to learn other labels give the task another name: "
        "it gets a new head");
    berth_data_free(d);
    assert_ok(berth_labels_add(&known[1].labels, "find", NULL));
    assert_ok(berth_data_open(&d, c, w.tokenizer, known, 2, BERTH_ALL_SPLITS));
    assert_int_equal(berth_feeder_create(&f, d, &options), BERTH_E_USAGE);
    assert_non_null(strstr(berth_error_text(), "row 3: task 'slots': the label 'B-a' is not among the 3"));
    berth_data_free(d);
    assert_ok(berth_labels_add(&known[0].labels, "B-a", NULL)); /* dev still has others */
    assert_ok(berth_data_open(&d, c, w.tokenizer, known, 2, BERTH_ALL_SPLITS));
    assert_int_equal(berth_data_source(d, 0)->split[BERTH_DEV].unknown_labels[0], 1);
    assert_ok(berth_feeder_create(&f, d, &options));
    berth_feeder_free(f);
    berth_data_free(d);
    berth_config_free(c);
    for (int i = 0; i < 2; i++)
        berth_labels_deinit(&known[i].labels);
    world_remove(&w);
}

/* With header names "1" and "0", column number 1 and the column called 1 are two columns. */
static void column_numbers_and_names_have_packs_of_their_own(void **state) {
    (void)state;
    struct data_world w;
    world_make(&w);
    world_put(&w, "r.tsv", "1\t0\tl\ngood\tbad\tx\n");
    const char *number = "data: {r: {format: tsv, header: true, text: 1, train: r.tsv}}\n"
                         "tasks: {t: {type: classification, source: r, label: l}}\n";
    const char *name = "data: {r: {format: tsv, header: true, text: \"1\", train: r.tsv}}\n"
                       "tasks: {t: {type: classification, source: r, label: l}}\n";
    struct berth_data *d = world_open(&w, number);
    assert_int_equal(berth_data_source(d, 0)->split[BERTH_TRAIN].tokens[1], id(&w, "bad"));
    berth_data_free(d);
    d = world_open(&w, name);
    assert_int_equal(berth_data_source(d, 0)->split[BERTH_TRAIN].tokens[1], id(&w, "good"));
    berth_data_free(d);
    world_remove(&w);
}

static void sources_without_tasks_are_left_out(void **state) {
    (void)state;
    struct data_world w;
    world_make(&w);
    world_put(&w, "r.txt", "1 good\n0 bad\n");
    struct berth_data *d =
        world_open(&w, "data: {q: {format: lines, train: missing}, r: {format: lines, train: r.txt}}\n"
                       "tasks: {t: {type: classification, source: r, label: label}}\n");
    assert_int_equal(berth_data_source_count(d), 2);
    assert_false(berth_data_source(d, 0)->has[BERTH_TRAIN]);
    assert_int_equal(berth_data_source(d, 1)->split[BERTH_TRAIN].rows, 2);
    assert_non_null(strstr(w.log, "data.q: no task reads this source; it is left out"));
    assert_int_equal(w.warnings, 0); /* dropping a task is no mistake */
    const struct berth_feeder_options options = {.seed = 1, .batch_size = 2, .accumulate = 1};
    struct berth_feeder *f = NULL;
    assert_ok(berth_feeder_create(&f, d, &options));
    berth_feeder_free(f);
    berth_data_free(d);
    world_remove(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_survive_packing),
        cmocka_unit_test(known_maps_are_kept),
        cmocka_unit_test(packs_are_reused_by_digest),
        cmocka_unit_test(damaged_packs_are_made_again),
        cmocka_unit_test(impossible_numbers_are_refused),
        cmocka_unit_test(meta_tells_where_it_came_from),
        cmocka_unit_test(long_rows_are_cut),
        cmocka_unit_test(pairs_are_cut_as_the_reference_cuts),
        cmocka_unit_test(training_refuses_labels_that_a_saved_head_lacks),
        cmocka_unit_test(column_numbers_and_names_have_packs_of_their_own),
        cmocka_unit_test(sources_without_tasks_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
