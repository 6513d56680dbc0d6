/* test_encode_batch.c: whole rows equal to the reference's (tests/golden/tokenizer_rows.tsv): pairs,
 * truncation, windows, given words; the same for any number of threads; refusals. */
#include <stdio.h>

#include "text/support_random_text.h"
#include "text/support_text.h"

enum { MAX_WORDS = 32, MAX_CELLS = 16 };

/* One input of the golden file, cut out of its line. */
struct golden_input {
    struct berth_encode_options options;
    struct berth_text first[MAX_WORDS], second[MAX_WORDS];
    struct berth_text_input input;
};

static size_t cut_words(char *text, size_t size, bool words, struct berth_text *out) {
    size_t count = 0;
    for (size_t at = 0; at <= size;) {
        const char *end = words ? memchr(text + at, 0x1F, size - at) : NULL;
        size_t length = end != NULL ? (size_t)(end - text) - at : size - at;
        assert_true(count < MAX_WORDS);
        out[count++] = (struct berth_text){text + at, length};
        at += length + 1;
    }
    return count;
}

static void read_input(struct golden_input *g, char *cells[]) {
    *g = (struct golden_input){.options = {.no_special = cells[1][0] == '0',
                                           .truncation = (enum berth_truncation)atoi(cells[2]),
                                           .max_length = atoi(cells[3]),
                                           .from_left = cells[4][0] == '1',
                                           .windows = cells[5][0] == '1',
                                           .stride = atoi(cells[6]),
                                           .characters = true}};
    g->input.words = cells[7][0] == '1';
    g->input.first = g->first;
    g->input.first_count = cut_words(cells[8], text_unescape(cells[8]), g->input.words, g->first);
    if (strcmp(cells[9], "-") == 0) return;
    g->input.second = g->second;
    g->input.second_count = cut_words(cells[9], text_unescape(cells[9]), g->input.words, g->second);
}

static void compare_row(const struct berth_encoded *e, size_t row, char *cells[], int line) {
    static const char *const names[] = {"ids", "starts", "ends", "words", "segments", "sequences"};
    const int32_t *columns[] = {e->ids, e->start, e->end, e->word};
    size_t from = (size_t)e->offset[row], count = (size_t)e->offset[row + 1] - from;
    for (int c = 0; c < 6; c++) {
        int32_t want[256];
        size_t wanted = text_numbers(cells[1 + c], want, 256);
        if (count != wanted)
            fail_msg("tokenizer_rows.tsv:%d: %zu %s, expected %zu", line, count, names[c], wanted);
        for (size_t i = 0; i < count; i++) {
            int32_t got = c < 4 ? columns[c][from + i] : (c == 4 ? e->segment : e->sequence)[from + i];
            if (got != want[i])
                fail_msg("tokenizer_rows.tsv:%d: %s %zu is %d, expected %d", line, names[c], i, got, want[i]);
        }
    }
}

static void golden_rows(void **state) {
    char *path = text_source_path("tests/golden/tokenizer_rows.tsv");
    size_t size = 0, row = 0;
    char *text = text_read(path, &size), *rest = text, *line = NULL;
    struct golden_input g;
    struct berth_encoded e;
    berth_encoded_init(&e);
    int rows = 0, errors = 0;
    berth_status status = BERTH_OK;
    for (int number = 1; (line = strsep(&rest, "\n")) != NULL; number++) {
        char *cells[MAX_CELLS] = {NULL};
        size_t count = 0;
        while (count < MAX_CELLS && line != NULL)
            cells[count++] = strsep(&line, "\t");
        if (strcmp(cells[0], "input") == 0 || cells[0][0] == '\0') {
            if (status == BERTH_OK) assert_int_equal(row, e.rows); /* none too many of the input before */
            if (cells[0][0] == '\0') break;
            assert_int_equal(count, 10);
            read_input(&g, cells);
            row = e.rows = 0;
            status = berth_tokenizer_encode_batch(*state, &e, &g.input, 1, &g.options);
        } else if (strcmp(cells[0], "error") == 0) {
            if (status == BERTH_OK) fail_msg("tokenizer_rows.tsv:%d: an error is expected", number);
            errors++;
        } else if (strcmp(cells[0], "row") == 0) {
            if (status != BERTH_OK) fail_msg("tokenizer_rows.tsv:%d: %s", number, berth_error_text());
            if (row >= e.rows) fail_msg("tokenizer_rows.tsv:%d: only %zu rows", number, e.rows);
            assert_int_equal(e.input[row], 0);
            compare_row(&e, row++, cells, number);
            rows++;
        }
    }
    assert_true(rows > 900 && errors > 100);
    berth_encoded_deinit(&e);
    free(text);
    free(path);
}

/* ------------------------------------------------------------------ many at once */

enum { LINES = 5000 };

static void make_inputs(struct berth_str *all, struct berth_text *texts, struct berth_text_input *inputs) {
    size_t ends[LINES];
    for (size_t i = 0; i < LINES; i++) {
        random_text_line(all, RANDOM_TEXT_SEED, i);
        ends[i] = all->length;
    }
    for (size_t i = 0; i < LINES; i++) {
        size_t from = i == 0 ? 0 : ends[i - 1];
        texts[i] = (struct berth_text){all->data + from, ends[i] - from};
        inputs[i] = (struct berth_text_input){.first = &texts[i], .first_count = 1};
        if (i % 3 == 1) inputs[i].second = &texts[i - 1], inputs[i].second_count = 1;
    }
}

static struct berth_hash128 digest_rows(const struct berth_encoded *e) {
    struct berth_hasher *hasher = NULL;
    assert_done(berth_hasher_create(&hasher));
    berth_hasher_add(hasher, e->offset, (e->rows + 1) * sizeof *e->offset);
    berth_hasher_add(hasher, e->input, e->rows * sizeof *e->input);
    const int32_t *columns[] = {e->ids, e->start, e->end, e->word};
    for (int c = 0; c < 4; c++)
        berth_hasher_add(hasher, columns[c], e->count * sizeof **columns);
    berth_hasher_add(hasher, e->segment, e->count);
    berth_hasher_add(hasher, e->sequence, e->count);
    return berth_hasher_end(hasher);
}

static void threads_change_nothing(void **state) {
    static struct berth_text texts[LINES];
    static struct berth_text_input inputs[LINES];
    struct berth_str all;
    struct berth_encoded e;
    berth_str_init(&all);
    berth_encoded_init(&e);
    make_inputs(&all, texts, inputs);
    struct berth_encode_options o = {
        .truncation = BERTH_LONGEST_FIRST, .max_length = 12, .windows = true, .stride = 2};
    struct berth_hash128 first = {0};
    static const int threads[] = {1, 2, 3, 8};
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
        o.threads = threads[i];
        assert_done(berth_tokenizer_encode_batch(*state, &e, inputs, LINES, &o));
        assert_true(e.rows > LINES);
        struct berth_hash128 hash = digest_rows(&e);
        if (i == 0) first = hash;
        assert_memory_equal(&hash, &first, sizeof hash);
    }
    for (size_t r = 0; r < e.rows; r++) {
        assert_true(r == 0 || e.input[r] == e.input[r - 1] || e.input[r] == e.input[r - 1] + 1);
        assert_in_range(e.offset[r + 1] - e.offset[r], 2, 12);
    }
    assert_int_equal(e.input[e.rows - 1], LINES - 1);
    assert_done(berth_tokenizer_encode_batch(*state, &e, inputs, 0, &o));
    assert_int_equal(e.rows, 0);
    assert_int_equal(e.offset[0], 0);
    berth_encoded_deinit(&e);
    berth_str_deinit(&all);
}

/* Threads find errors in any order; the first input's is told. */
static void first_refusal_is_told(void **state) {
    static struct berth_text_input inputs[300];
    struct berth_text text = {"a b c d e f g h", 15}, brief = {"a", 1};
    struct berth_encoded e;
    berth_encoded_init(&e);
    for (size_t i = 0; i < 300; i++) /* the second text alone gives way, and is too short from input 137 on */
        inputs[i] = (struct berth_text_input){&text, i < 137 ? &text : &brief, 1, 1, false};
    struct berth_encode_options o = {.truncation = BERTH_ONLY_SECOND, .max_length = 12, .threads = 4};
    assert_done(berth_tokenizer_encode_batch(*state, &e, inputs, 137, &o));
    o.max_length = 11;
    for (int i = 0; i < 5; i++)
        assert_fails(berth_tokenizer_encode_batch(*state, &e, inputs, 300, &o), BERTH_E_FORMAT,
                     "input 0: 8 tokens too long, but the second text, which alone may be cut, has only 8");
    o.max_length = 12;
    inputs[137].second = NULL;
    assert_done(berth_tokenizer_encode_batch(*state, &e, inputs, 200, &o)); /* "a" fits */
    inputs[150].first = inputs[150].second = inputs[151].first = &text;
    inputs[151].second = NULL;
    o.max_length = 9;
    assert_fails(berth_tokenizer_encode_batch(*state, &e, inputs + 151, 20, &o), BERTH_E_FORMAT,
                 "input 0: 1 tokens too long and only the second text may be cut, but there is none");
    berth_encoded_deinit(&e);
}

static void options_that_leave_no_room(void **state) {
    struct berth_text text = {"a b c d e f g h", 15};
    struct berth_text_input one = {&text, NULL, 1, 0, false}, two = {&text, &text, 1, 1, false};
    struct berth_encoded e;
    berth_encoded_init(&e);
    struct berth_encode_options o = {.truncation = BERTH_LONGEST_FIRST, .max_length = 3, .windows = true};
    assert_done(berth_tokenizer_encode_batch(*state, &e, &one, 1, &o));
    assert_int_equal(e.rows, 8);
    assert_fails(berth_tokenizer_encode_batch(*state, &e, &two, 1, &o), BERTH_E_USAGE,
                 "max_length is 3, expected more than the 3 special tokens of a row");
    o.stride = 1;
    assert_fails(berth_tokenizer_encode_batch(*state, &e, &one, 1, &o), BERTH_E_USAGE,
                 "stride is 1, expected 0 to 0: less than the text tokens of a row");
    o.max_length = 9; /* three tokens each */
    o.stride = 3;
    assert_fails(berth_tokenizer_encode_batch(*state, &e, &two, 1, &o), BERTH_E_FORMAT,
                 "input 0: a stride of 3, but only 3 tokens of a text of 8 fit beside the rest");
    o.stride = -1;
    assert_fails(berth_tokenizer_encode_batch(*state, &e, &one, 1, &o), BERTH_E_USAGE, "stride is -1");
    berth_encoded_deinit(&e);
}

static int load(void **state) {
    *state = text_golden_tokenizer(0);
    return 0;
}

static int unload(void **state) {
    berth_tokenizer_free(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_rows),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(first_refusal_is_told),
        cmocka_unit_test(options_that_leave_no_room),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
