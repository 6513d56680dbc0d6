/* test_scan.c: evaluation sees every row once, longest first, with every item; typed text becomes the same row.
 */
#include "data/support_data.h"

#include <stdio.h>

#define BODY                                                                                                   \
    "data: {r: {format: tsv, text: text, train: r.tsv, dev: dev.tsv}}\n"                                       \
    "tasks: {other: {type: classification, source: r, label: label},\n"                                        \
    "        slots: {type: tagging, source: r, label: tags}}\n"

static struct berth_data *make_data(struct data_world *w) {
    struct berth_str s = {0};
    w->max_length = 9;
    world_put(w, "r.tsv", "text\tlabel\ttags\ngood film\tx\tO B-a\n");
    berth_str_add(&s, "text\tlabel\ttags\n");
    for (int i = 0; i < 50; i++) { /* 0..11 words; every third row has a label that training lacks, or none */
        int words = (i * 7) % 12;
        for (int k = 0; k < words; k++)
            berth_str_add(&s, k ? " film" : "film");
        berth_str_addf(&s, "\t%s\t", i % 3 == 0 ? "x" : i % 3 == 1 ? "y" : "");
        for (int k = 0; k < words && i % 5 != 0; k++)
            berth_str_addf(&s, "%s%s", k ? " " : "", k % 3 == 0 ? "B-a" : k % 3 == 1 ? "B-b" : "O");
        berth_str_add(&s, "\n");
    }
    assert_false(s.failed);
    world_put(w, "dev.tsv", s.data);
    berth_str_deinit(&s);
    return world_open(w, BODY);
}

static void every_row_comes_once(void **state) {
    (void)state;
    struct data_world w;
    world_make(&w);
    struct berth_data *d = make_data(&w);
    const struct berth_dataset *set = &berth_data_source(d, 0)->split[BERTH_DEV];
    const int64_t sizes[] = {1, 7, 50, 1000};
    assert_int_equal(set->rows, 50);
    assert_true(set->words_cut > 0);
    for (size_t k = 0; k < 4; k++) {
        struct berth_scan *scan = NULL;
        const struct berth_batch *b = NULL;
        int seen[50] = {0};
        int64_t last = INT64_MAX, slots = 0, batches = 0;
        assert_ok(berth_scan_create(&scan, d, 0, BERTH_DEV, sizes[k]));
        for (;;) {
            assert_ok(berth_scan_next(scan, &b));
            if (!b) break;
            batches++;
            int64_t labelled = 0;
            assert_int_equal(b->items[0].count, b->sequence_count);
            assert_int_equal(b->step_rows, b->sequence_count);
            for (int64_t s = 0; s < b->sequence_count; s++) {
                int64_t length = b->cu_seqlens[s + 1] - b->cu_seqlens[s], row = b->source_row[s];
                assert_true(length <= last);
                last = length;
                seen[row]++;
                assert_int_equal(b->items[0].index[s], s);
                assert_int_equal(b->items[0].label[s], row % 3 == 0   ? 0
                                                       : row % 3 == 1 ? BERTH_LABEL_UNKNOWN
                                                                      : BERTH_LABEL_MISSING);
                labelled += row % 3 == 0;
            }
            assert_int_equal(b->items[0].task_rows, labelled);
            assert_int_equal(b->items[0].task_items, labelled);
            for (int64_t i = 0; i < b->items[1].count; i++) {
                int64_t s = 0;
                while (b->cu_seqlens[s + 1] <= b->items[1].index[i])
                    s++;
                int64_t row = b->source_row[s],
                        word = b->items[1].index[i] - b->cu_seqlens[s] - 1; /* one piece each */
                assert_int_equal(b->items[1].label[i], set->labels[1][set->word_offset[row] + word]);
            }
            slots += b->items[1].count;
        }
        assert_int_equal(slots, set->word_count - set->words_cut);
        assert_int_equal(batches, (50 + sizes[k] - 1) / sizes[k]);
        for (int r = 0; r < 50; r++)
            assert_int_equal(seen[r], 1);
        assert_ok(berth_scan_next(scan, &b)); /* stays at the end */
        assert_null(b);
        berth_scan_free(scan);
    }
    berth_data_free(d);
    world_remove(&w);
}

static void typed_text_is_the_same_row(void **state) {
    (void)state;
    struct data_world w;
    struct berth_batch b;
    struct berth_word_span *words = NULL;
    size_t count = 0;
    world_make(&w);
    struct berth_data *d = make_data(&w);
    const struct berth_dataset *set = &berth_data_source(d, 0)->split[BERTH_TRAIN];
    const struct berth_task tasks[] = {*berth_data_task(d, 0), *berth_data_task(d, 1)};
    berth_batch_init(&b);
    assert_ok(berth_batch_reset(&b, 2));
    assert_ok(berth_data_add_text(&b, w.tokenizer, 9, "good film", NULL, tasks, 2, 0, &words, &count));
    assert_int_equal(b.tokens_count, set->token_count);
    assert_memory_equal(b.tokens, set->tokens, (size_t)set->token_count * sizeof(int32_t));
    assert_int_equal(count, 2);
    assert_int_equal(words[1].token, set->word_token[1]);
    free(words);
    /* words of several pieces, one without pieces (a control character), one cut off; a pair */
    const char *text = " Zzz \x01  film\tqqqq good ";
    assert_ok(berth_data_add_text(&b, w.tokenizer, 9, text, NULL, tasks, 2, 1, &words, &count));
    const struct berth_word_span expected[] = {
        {1, 4, 1, false}, {5, 6, -1, false}, {8, 12, 4, false}, {13, 17, 5, false}, {18, 22, -1, true}};
    assert_int_equal(count, 5);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(words[i].start, expected[i].start);
        assert_int_equal(words[i].end, expected[i].end);
        assert_int_equal(words[i].token, expected[i].token);
        assert_int_equal(words[i].cut, expected[i].cut); /* a word without pieces is not cut off */
    }
    assert_int_equal(b.tokens_count, 4 + 9 + 0);
    assert_int_equal(b.items[0].count, 2);
    assert_int_equal(b.items[0].index[1], 1);
    assert_int_equal(b.items[0].label[1], BERTH_LABEL_MISSING);
    const int32_t index[] = {1, 2, 4 + 1, 4 + 4, 4 + 5};
    assert_int_equal(b.items[1].count, 5);
    assert_memory_equal(b.items[1].index, index, sizeof index);
    free(words);
    assert_ok(berth_data_add_text(&b, w.tokenizer, 9, "the film", "was good", tasks, 1, 2, &words, &count));
    assert_int_equal(count, 0); /* no task is token-level */
    free(words);
    const int32_t segments[] = {0, 0, 0, 0, 1, 1, 1};
    assert_int_equal(b.tokens_count, 20);
    assert_memory_equal(b.segments + 13, segments, sizeof segments);
    assert_ok(berth_data_add_text(&b, w.tokenizer, 9, "", NULL, NULL, 0, 3, NULL, NULL));
    assert_ok(berth_batch_finish(&b));
    assert_int_equal(b.sequence_count, 4);
    assert_int_equal(b.tokens_count, 22);
    assert_int_equal(b.source_row[3], 3);
    berth_batch_deinit(&b);
    berth_data_free(d);
    world_remove(&w);
}

/* Words of a list keep white space inside them, empty ones have no token; ids as a pack of the same rows has.
 */
static void pre_split_words_stay_as_they_are(void **state) {
    (void)state;
    struct data_world w;
    struct berth_batch b;
    struct berth_word_span *words = NULL;
    size_t count = 0;
    world_make(&w);
    w.max_length = 9;
    world_put(&w, "p.jsonl",
              "{\"w\": [\"good film\", \"\", \"zz\", \"film\", \"qqqq\"], \"t\": [\"O\", \"O\", \"O\", \"O\", "
              "\"O\"]}\n");
    struct berth_data *d = world_open(&w, "data: {r: {format: jsonl, text: w, train: p.jsonl}}\n"
                                          "tasks: {slots: {type: tagging, source: r, label: t}}\n");
    const struct berth_dataset *set = &berth_data_source(d, 0)->split[BERTH_TRAIN];
    const struct berth_task *task = berth_data_task(d, 0);
    const struct berth_row row = {.text = "good film\x1F\x1Fzz\x1F"
                                          "film\x1Fqqqq\x1F",
                                  .pre_split = true};
    berth_batch_init(&b);
    assert_ok(berth_batch_reset(&b, 1));
    assert_ok(berth_data_add_row(&b, w.tokenizer, 9, &row, task, 1, 0, &words, &count));
    assert_int_equal(count, 5);
    assert_int_equal(set->word_count, 5);
    assert_int_equal(b.tokens_count, set->token_count);
    assert_memory_equal(b.tokens, set->tokens, (size_t)b.tokens_count * sizeof(int32_t));
    const struct berth_word_span expected[] = {
        {0, 9, 1, false}, {10, 10, -1, false}, {11, 13, 3, false}, {14, 18, 5, false}, {19, 23, 6, false}};
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(words[i].start, expected[i].start);
        assert_int_equal(words[i].end, expected[i].end);
        assert_int_equal(words[i].token, expected[i].token);
        assert_int_equal(words[i].token, set->word_token[i]);
        assert_false(words[i].cut);
    }
    assert_int_equal(b.items[0].count, 4); /* the empty word has no token */
    free(words);
    /* without a token-level task the words are the list's all the same: a space is no end of one */
    const struct berth_row again = {.text = "good\x1F"
                                            "film\x1F",
                                    .text_pair = "zz",
                                    .pre_split = true};
    assert_ok(berth_data_add_row(&b, w.tokenizer, 9, &again, NULL, 0, 1, &words, &count));
    assert_int_equal(count, 2);
    assert_int_equal(words[1].token, 2);
    assert_int_equal(b.cu_seqlens[2] - b.cu_seqlens[1], 7);
    free(words);
    berth_batch_deinit(&b);
    berth_data_free(d);
    world_remove(&w);
}

/* A row in windows: sequences, words and items as a pack of the same rows has them; too many windows are
 * refused. */
static void long_rows_are_windows(void **state) {
    (void)state;
    struct data_world w;
    struct berth_batch b;
    struct berth_added_row added;
    world_make(&w);
    w.max_length = 6;
    world_put(
        &w, "p.jsonl",
        "{\"w\": \"good film zz film qqqq good film the film\", \"t\": \"O O O O O O O O O\", \"c\": \"x\"}\n");
    struct berth_data *d = world_open(
        &w, "data: {r: {format: jsonl, text: w, train: p.jsonl, overflow: windows, stride: 2}}\n"
            "tasks: {slots: {type: tagging, source: r, label: t}, kind: {type: classification, source: r, "
            "label: c}}\n");
    const struct berth_dataset *set = &berth_data_source(d, 0)->split[BERTH_TRAIN];
    const struct berth_task tasks[] = {*berth_data_task(d, 0), *berth_data_task(d, 1)};
    const struct berth_row row = {.text = "good film zz film qqqq good film the film"};
    struct berth_row_limits limits = {.max_length = 6, .windows = true, .stride = 2, .max_windows = 100};
    assert_true(set->rows > 2);
    berth_batch_init(&b);
    assert_ok(berth_batch_reset(&b, 2));
    assert_ok(berth_data_add_long_row(&b, w.tokenizer, &limits, &row, tasks, 2, 7, &added));
    assert_int_equal(b.sequence_count, set->rows);
    assert_int_equal(b.tokens_count, set->token_count);
    assert_memory_equal(b.tokens, set->tokens, (size_t)b.tokens_count * sizeof(int32_t));
    for (int64_t s = 0; s < b.sequence_count; s++) {
        assert_int_equal(b.ordinal[s], 7);
        assert_int_equal(b.cu_seqlens[s + 1], set->offset[s + 1]);
        assert_int_equal(b.items[1].index[s], s);
    }
    assert_int_equal(b.items[1].count, set->rows);
    assert_int_equal(b.items[0].count, 9);
    assert_int_equal(added.word_count, 9);
    assert_false(added.cut);
    for (int64_t r = 0; r < set->rows; r++)
        for (int64_t i = set->word_offset[r]; i < set->word_offset[r + 1]; i++) {
            assert_int_equal(added.words[i].token, set->word_token[i]);
            assert_int_equal(b.items[0].index[i], set->offset[r] + set->word_token[i]);
        }
    free(added.words);
    limits.windows = false; /* cut: the plain case */
    assert_ok(berth_data_add_long_row(&b, w.tokenizer, &limits, &row, tasks, 2, 8, &added));
    assert_true(added.cut);
    assert_int_equal(b.sequence_count, set->rows + 1);
    assert_true(added.words[8].cut && added.words[8].token == -1);
    free(added.words);
    limits.windows = true;
    limits.max_windows = 2;
    assert_int_equal(berth_data_add_long_row(&b, w.tokenizer, &limits, &row, tasks, 2, 9, &added),
                     BERTH_E_FORMAT);
    assert_non_null(strstr(berth_error_text(), "expected at most 2 windows"));
    berth_batch_deinit(&b);
    berth_data_free(d);
    world_remove(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_comes_once),
        cmocka_unit_test(long_rows_are_windows),
        cmocka_unit_test(typed_text_is_the_same_row),
        cmocka_unit_test(pre_split_words_stay_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
