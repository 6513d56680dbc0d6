/* test_tokenizer.c: ids, places and words equal to the reference's (tests/golden/tokenizer.tsv), for rows written
 * by hand, for random lines by digest, and for public vectors when BERTH_TEST_DATA is set. */
#include <stdio.h>

#include "text/support_random_text.h"
#include "text/support_text.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RANDOM_LINES 100000 /* the sanitizers are slow: the first digests only */
#else
#define RANDOM_LINES 1000000
#endif

enum { SETTINGS = 4, MAX_IDS = 4096 };

struct row {
    char *fields[8];
    int line;
};

/* \xNN to bytes, in place; the size. */
static size_t unescape(char *text) {
    size_t n = 0;
    for (const char *p = text; *p != '\0'; n++) {
        unsigned byte = 0;
        if (p[0] == '\\' && sscanf(p, "\\x%2x", &byte) == 1) {
            text[n] = (char)byte;
            p += 4;
        } else {
            text[n] = *p++;
        }
    }
    text[n] = '\0';
    return n;
}

static size_t numbers(const char *text, int32_t *out) {
    size_t count = 0;
    char *end = NULL;
    for (const char *p = text; *p != '\0'; p = *end == ' ' ? end + 1 : end) {
        assert_true(count < MAX_IDS);
        out[count++] = (int32_t)strtol(p, &end, 10);
        assert_true(end > p);
    }
    return count;
}

/* Calls check for each row of the golden file of one of two kinds; returns how many. */
static int each_row(const char *kind, const char *or_kind, void (*check)(struct row *, void *), void *user) {
    char *path = text_source_path("tests/golden/tokenizer.tsv");
    size_t size = 0;
    char *text = text_read(path, &size), *rest = text, *line = NULL;
    int rows = 0;
    for (int number = 1; (line = strsep(&rest, "\n")) != NULL; number++) {
        struct row row = {.line = number};
        size_t count = 0;
        while (count < 8 && line != NULL)
            row.fields[count++] = strsep(&line, "\t");
        if (strcmp(row.fields[0], kind) != 0 && strcmp(row.fields[0], or_kind) != 0) continue;
        check(&row, user);
        rows++;
    }
    free(text);
    free(path);
    return rows;
}

static void compare(const struct row *row, const char *what, const int32_t *got, size_t count, const char *text) {
    int32_t want[MAX_IDS];
    size_t wanted = numbers(text, want);
    for (size_t i = 0; i < count && i < wanted; i++)
        if (got[i] != want[i])
            fail_msg("tokenizer.tsv:%d: %s %zu is %d, expected %d (setting %s)", row->line, what, i, got[i], want[i],
                     row->fields[1]);
    if (count != wanted)
        fail_msg("tokenizer.tsv:%d: %zu %s, expected %zu (setting %s)", row->line, count, what, wanted, row->fields[1]);
}

static void check_text(struct row *row, void *user) {
    struct berth_tokenizer **of_setting = user;
    const struct berth_tokenizer *t = of_setting[atoi(row->fields[1])];
    size_t size = unescape(row->fields[2]);
    char *exact = malloc(size + 1); /* a copy that ends where the text ends, for the sanitizer */
    assert_non_null(exact);
    memcpy(exact, row->fields[2], size);
    exact = realloc(exact, size > 0 ? size : 1);
    struct berth_encoding e;
    berth_encoding_init(&e);
    if (strcmp(row->fields[0], "word") == 0) {
        assert_done(berth_tokenizer_encode_word(t, &e, exact, size, 0));
    } else {
        assert_done(berth_tokenizer_encode(t, &e, exact, size));
    }
    compare(row, "ids", e.ids, e.count, row->fields[3]);
    compare(row, "starts", e.start, e.count, row->fields[4]);
    compare(row, "ends", e.end, e.count, row->fields[5]);
    compare(row, "words", e.word, e.count, row->fields[6]);
    berth_encoding_deinit(&e);
    free(exact);
}

static void golden_texts_and_words(void **state) {
    assert_true(each_row("text", "word", check_text, *state) > 800);
}

static void check_decode(struct row *row, void *user) {
    struct berth_tokenizer **of_setting = user;
    int32_t ids[MAX_IDS];
    size_t count = numbers(row->fields[3], ids), size = unescape(row->fields[2]);
    struct berth_str out;
    berth_str_init(&out);
    assert_done(berth_tokenizer_decode(of_setting[0], &out, ids, count, strcmp(row->fields[0], "skip") == 0));
    if (out.length != size || (size > 0 && memcmp(out.data, row->fields[2], size) != 0))
        fail_msg("tokenizer.tsv:%d: decoded to '%s', expected '%s'", row->line, out.data, row->fields[2]);
    berth_str_deinit(&out);
}

static void golden_decoding(void **state) {
    assert_true(each_row("decode", "skip", check_decode, *state) > 30);
}

/* ------------------------------------------------------------------ random lines */

struct digest_marks {
    int64_t lines[8];
    char hex[8][33];
    int count;
};

static void note_digest(struct row *row, void *user) {
    struct digest_marks *marks = user;
    assert_true(marks->count < 8 && strlen(row->fields[2]) == 32);
    marks->lines[marks->count] = atoll(row->fields[1]);
    memcpy(marks->hex[marks->count++], row->fields[2], 33);
}

static void add_line(struct berth_hasher *hasher, const struct berth_encoding *e) {
    int32_t count = (int32_t)e->count;
    berth_hasher_add(hasher, &count, sizeof count);
    berth_hasher_add(hasher, e->ids, e->count * sizeof *e->ids);
    berth_hasher_add(hasher, e->start, e->count * sizeof *e->start);
    berth_hasher_add(hasher, e->end, e->count * sizeof *e->end);
    berth_hasher_add(hasher, e->word, e->count * sizeof *e->word);
}

static struct berth_hash128 random_digest(struct berth_tokenizer **of_setting, int64_t lines) {
    struct berth_hasher *hasher = NULL;
    struct berth_str line;
    struct berth_encoding e;
    berth_str_init(&line);
    berth_encoding_init(&e);
    assert_done(berth_hasher_create(&hasher));
    for (int64_t i = 0; i < lines; i++) {
        berth_str_reset(&line);
        berth_encoding_reset(&e);
        random_text_line(&line, RANDOM_TEXT_SEED, (uint64_t)i);
        assert_false(line.failed);
        assert_done(berth_tokenizer_encode(of_setting[i % SETTINGS], &e, line.length > 0 ? line.data : "", line.length));
        add_line(hasher, &e);
    }
    berth_encoding_deinit(&e);
    berth_str_deinit(&line);
    return berth_hasher_end(hasher);
}

static void random_unicode_by_digest(void **state) {
    struct digest_marks marks = {.count = 0};
    each_row("digest", "digest", note_digest, &marks);
    int compared = 0;
    for (int i = 0; i < marks.count; i++) {
        if (marks.lines[i] > RANDOM_LINES) continue;
        char hex[33];
        berth_hash_hex(random_digest(*state, marks.lines[i]), hex);
        if (strcmp(hex, marks.hex[i]) != 0)
            fail_msg("%lld random lines: digest %s, expected %s", (long long)marks.lines[i], hex, marks.hex[i]);
        compared++;
    }
    assert_true(compared >= 2);
}

/* Threads share a tokenizer; their results do not depend on each other. */
static void threads_agree(void **state) {
    struct berth_tokenizer **of_setting = *state;
    enum { THREADS = 4, LINES = 2000 };
    struct berth_hash128 hashes[THREADS], alone = random_digest(of_setting, LINES);
#pragma omp parallel for num_threads(THREADS)
    for (int i = 0; i < THREADS; i++)
        hashes[i] = random_digest(of_setting, LINES);
    for (int i = 0; i < THREADS; i++)
        assert_memory_equal(&hashes[i], &alone, sizeof alone);
}

/* ------------------------------------------------------------------ public data */

static void public_vectors(void **state) {
    (void)state;
    char *vocab = text_data_path("bert-vocab/bert-base-uncased-vocab.txt");
    char *in_path = text_data_path("tokenizer-stress/llamacpp-bert-vectors/ggml-vocab-bert-bge.gguf.inp");
    char *out_path = text_data_path("tokenizer-stress/llamacpp-bert-vectors/ggml-vocab-bert-bge.gguf.out");
    if (vocab == NULL) skip();
    struct berth_tokenizer *t = NULL;
    struct berth_encoding e;
    assert_done(berth_tokenizer_load_vocab(&t, vocab, NULL));
    berth_encoding_init(&e);
    size_t size = 0;
    char *input = text_read(in_path, &size), *output = text_read(out_path, &size), *rest = output;
    const char *mark = "\n__ggml_vocab_test__\n";
    int cases = 0;
    for (char *at = input, *next = NULL; at != NULL; at = next, cases++) {
        char *line = strsep(&rest, "\n"), *end = strstr(at, mark);
        int32_t want[MAX_IDS];
        assert_non_null(line);
        size_t wanted = numbers(line[0] == ' ' ? line + 1 : line, want);
        size_t length = end == NULL ? strlen(at) : (size_t)(end - at);
        if (end == NULL && length > 0 && at[length - 1] == '\n') length--;
        berth_encoding_reset(&e);
        assert_done(berth_tokenizer_encode(t, &e, at, length));
        if (e.count != wanted || (wanted > 0 && memcmp(e.ids, want, wanted * sizeof *want) != 0))
            fail_msg("input %d: %zu ids, expected %zu: %s", cases, e.count, wanted, line);
        next = end == NULL ? NULL : end + strlen(mark);
    }
    assert_int_equal(cases, 47);
    berth_encoding_deinit(&e);
    berth_tokenizer_free(t);
    free(input);
    free(output);
    free(vocab);
    free(in_path);
    free(out_path);
}

static int load_all(void **state) {
    static struct berth_tokenizer *of_setting[SETTINGS];
    for (int i = 0; i < SETTINGS; i++)
        of_setting[i] = text_golden_tokenizer(i);
    *state = of_setting;
    return 0;
}

static int free_all(void **state) {
    struct berth_tokenizer **of_setting = *state;
    for (int i = 0; i < SETTINGS; i++)
        berth_tokenizer_free(of_setting[i]);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_texts_and_words),   cmocka_unit_test(golden_decoding),
        cmocka_unit_test(random_unicode_by_digest), cmocka_unit_test(threads_agree),
        cmocka_unit_test(public_vectors),
    };
    return cmocka_run_group_tests(tests, load_all, free_all);
}
