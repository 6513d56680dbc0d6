/* test_tokenizer.c: ids, places and words equal to the reference's (tests/golden/tokenizer.tsv), for rows
 * written by hand, for random lines by digest. */
#include <stdio.h>

#include "text/support_golden.h"
#include "text/support_random_text.h"
#include "text/support_text.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RANDOM_LINES 100000 /* the sanitizers are slow: the first digests only */
#else
#define RANDOM_LINES 1000000
#endif

enum { SETTINGS = 4, MAX_IDS = 4096 };

static const struct berth_tokenizer *of_setting(void *user, const char *setting) {
    struct berth_tokenizer **tokenizers = user;
    return tokenizers[atoi(setting)];
}

static void golden_rows(void **state) {
    struct golden_counts counts = golden_check_rows("tokenizer.tsv", of_setting, *state);
    assert_true(counts.texts > 800 && counts.decoded > 30);
}

/* ------------------------------------------------------------------ random lines */

struct digest_marks {
    int64_t lines[8];
    char hex[8][33];
    int count;
};

static void note_digest(struct golden_row *row, void *user) {
    struct digest_marks *marks = user;
    if (strcmp(row->fields[0], "digest") != 0) return;
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
        assert_done(berth_tokenizer_encode(of_setting[i % SETTINGS], &e, line.length > 0 ? line.data : "",
                                           line.length));
        add_line(hasher, &e);
    }
    berth_encoding_deinit(&e);
    berth_str_deinit(&line);
    return berth_hasher_end(hasher);
}

static void random_unicode_by_digest(void **state) {
    struct digest_marks marks = {.count = 0};
    golden_each_row("tokenizer.tsv", note_digest, &marks);
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
        cmocka_unit_test(golden_rows),
        cmocka_unit_test(random_unicode_by_digest),
        cmocka_unit_test(threads_agree),
        };
    return cmocka_run_group_tests(tests, load_all, free_all);
}
