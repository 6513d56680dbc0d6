/* test_vocab_train.c: a vocabulary worked out by hand, order of files and of ties, limits, errors. */
#include <stdio.h>
#include <unistd.h>

#include "text/support_text.h"

/* Trains on the texts, a line at a time. */
static berth_status train(struct berth_tokenizer **out, const char *const *texts, size_t count,
                          struct berth_vocab_options options, struct berth_vocab_spilled *spilled) {
    berth_status status = BERTH_OK;
    struct berth_vocab *v = NULL;
    *out = NULL;
    BERTH_TRY(berth_vocab_create(&v, &options));
    for (size_t i = 0; i < count; i++) {
        for (const char *line = texts[i]; *line != '\0';) {
            size_t size = strcspn(line, "\n");
            BERTH_TRY_OUT(berth_vocab_add(v, line, size));
            line += size + (line[size] == '\n');
        }
    }
    BERTH_TRY_OUT(berth_vocab_finish(v, out));
    if (spilled != NULL) *spilled = berth_vocab_spilled(v);
out:
    berth_vocab_free(v);
    return status;
}

static struct berth_vocab_options wanted(int64_t size) {
    return (struct berth_vocab_options){
        .size = size, .min_frequency = 2, .alphabet_limit = 1000, .lowercase = true};
}

static void expect_tokens(const struct berth_tokenizer *t, const char *want) {
    struct berth_str got;
    berth_str_init(&got);
    for (size_t i = 0; i < berth_tokenizer_size(t); i++)
        berth_str_addf(&got, "%s%s", i > 0 ? " " : "", berth_tokenizer_token(t, (int32_t)i));
    assert_string_equal(got.data, want);
    berth_str_deinit(&got);
}

static void example_by_hand(void **state) {
    (void)state;
    /* Words: low 5, lower 2, newest 6, widest 3. Pairs ##e ##s and ##s ##t stand 9 times, and "##e" comes
     * first; then ##es ##t 9. Next l ##o and ##o ##w 7 each ("##o" before "l"), l ##ow 7, then six times
     * ##e ##w, ##ew ##est, n ##ewest by the order of their bytes. */
    static const char *const text =
        "low low LOW low low lower lower\nnewest newest newest newest newest newest\nwidest widest Widest\n";
    struct berth_tokenizer *t = NULL;
    assert_done(train(&t, &text, 1, wanted(35), NULL));
    expect_tokens(t, "[PAD] [UNK] [CLS] [SEP] [MASK] d e i l n o r s t w "
                     "##d ##e ##i ##o ##r ##s ##t ##w "
                     "##es ##est ##ow low ##ew ##ewest newest ##dest ##idest widest ##er lower");
    berth_tokenizer_free(t);
}

static void stops_at_size_and_frequency(void **state) {
    (void)state;
    static const char *const text = "aaaa aaaa bcbc bcbc bcbc\nxyz\n";
    struct berth_tokenizer *t = NULL;
    assert_done(train(&t, &text, 1, wanted(17), NULL));
    assert_int_equal(berth_tokenizer_size(t), 17);
    berth_tokenizer_free(t);
    struct berth_vocab_options o = wanted(1000);
    assert_done(train(&t, &text, 1, o, NULL)); /* pairs that stand once are not merged */
    assert_true(berth_tokenizer_find(t, "bcbc") > 0 && berth_tokenizer_find(t, "aaaa") > 0);
    assert_int_equal(berth_tokenizer_find(t, "xy"), -1);
    berth_tokenizer_free(t);
    o.min_frequency = 3;
    assert_done(train(&t, &text, 1, o, NULL));
    assert_true(berth_tokenizer_find(t, "bcbc") > 0);
    assert_int_equal(berth_tokenizer_find(t, "aaaa"), -1);
    assert_true(berth_tokenizer_find(t, "##aa") > 0); /* ##a ##a stands 4 times */
    berth_tokenizer_free(t);
    o.min_frequency = 1;
    assert_done(train(&t, &text, 1, o, NULL));
    assert_true(berth_tokenizer_find(t, "xyz") > 0);
    berth_tokenizer_free(t);
}

static void alphabet_limit_keeps_the_frequent(void **state) {
    (void)state;
    static const char *const text = "ab ab ab ac zz";
    struct berth_vocab_options o = wanted(100);
    o.alphabet_limit = 2; /* a 4, b 3; c 1 and z 2 fall away */
    o.min_frequency = 10;
    struct berth_tokenizer *t = NULL;
    assert_done(train(&t, &text, 1, o, NULL));
    expect_tokens(t, "[PAD] [UNK] [CLS] [SEP] [MASK] a b ##b");
    berth_tokenizer_free(t);
    static const char *const tie = "d c b a"; /* equal counts: the smaller code points stay */
    assert_done(train(&t, &tie, 1, o, NULL));
    expect_tokens(t, "[PAD] [UNK] [CLS] [SEP] [MASK] a b");
    berth_tokenizer_free(t);
}

static void text_is_normalised_as_in_encoding(void **state) {
    (void)state;
    static const char *const text = "Caf\xC3\xA9 CAFE\tcafe, \xE4\xB8\xAD\xE6\x96\x87 [SEP]\r\n";
    struct berth_vocab_options o = wanted(100);
    struct berth_tokenizer *t = NULL;
    assert_done(train(&t, &text, 1, o, NULL));
    assert_true(berth_tokenizer_find(t, "cafe") > 0 && berth_tokenizer_find(t, ",") > 0);
    assert_true(berth_tokenizer_find(t, "\xE4\xB8\xAD") > 0);
    assert_int_equal(berth_tokenizer_find(t, "##\xE6\x96\x87"), -1); /* CJK characters stand alone */
    assert_true(berth_tokenizer_find(t, "[") > 0 && berth_tokenizer_find(t, "##e") > 0);
    assert_true(berth_tokenizer_get_options(t).lowercase);
    berth_tokenizer_free(t);
    o.lowercase = false;
    assert_done(train(&t, &text, 1, o, NULL));
    assert_true(berth_tokenizer_find(t, "C") > 0 && berth_tokenizer_find(t, "##\xC3\xA9") > 0);
    assert_false(berth_tokenizer_get_options(t).lowercase);
    berth_tokenizer_free(t);
}

static void texts_and_their_order_do_not_matter(void **state) {
    (void)state;
    static const char *const apart[] = {"the cat sat on the mat\n", "the dog ate the cat\nthat sat\n", "",
                                        "a mat"};
    static const char *const other[] = {"a mat", "that sat\nthe dog ate the cat\nthe cat sat on the mat"};
    struct berth_tokenizer *a = NULL, *b = NULL;
    assert_done(train(&a, apart, 4, wanted(60), NULL));
    assert_done(train(&b, other, 2, wanted(60), NULL));
    struct berth_hash128 x = berth_tokenizer_digest(a), y = berth_tokenizer_digest(b);
    assert_memory_equal(&x, &y, sizeof x);
    berth_tokenizer_free(a);
    berth_tokenizer_free(b);
}

/* Words of 1 to 7 letters, some letters much more frequent than others, ten to a line. */
static void add_made_up_words(struct berth_str *text, int words) {
    uint32_t x = 1;
    for (int i = 0; i < words; i++) {
        x = x * 1664525u + 1013904223u;
        int letters = 1 + (int)(x >> 13) % 7;
        for (int k = 0; k < letters; k++) {
            x = x * 1664525u + 1013904223u;
            berth_str_addf(text, "%c", 'a' + (int)((x >> 20) % 9 * (x >> 28) / 9));
        }
        berth_str_add(text, i % 10 == 9 ? "\n" : " ");
    }
    assert_false(text->failed);
}

/* The same training as plainly as it can be said: pieces are texts, pairs are counted anew before each merge.
 */
enum { NAIVE_WORDS = 400, NAIVE_TOKENS = 200 };
typedef char piece[16];
struct naive {
    piece words[NAIVE_WORDS][8];
    int lengths[NAIVE_WORDS], count;
};

static int naive_pair_count(const struct naive *n, const char *left, const char *right) {
    int count = 0;
    for (int w = 0; w < n->count; w++)
        for (int k = 0; k + 1 < n->lengths[w]; k++)
            count += strcmp(n->words[w][k], left) == 0 && strcmp(n->words[w][k + 1], right) == 0;
    return count;
}

/* The best pair's count; its pieces into left and right. */
static int naive_best(const struct naive *n, piece left, piece right) {
    int best = 0;
    for (int w = 0; w < n->count; w++) {
        for (int k = 0; k + 1 < n->lengths[w]; k++) {
            const char *a = n->words[w][k], *b = n->words[w][k + 1];
            int count = naive_pair_count(n, a, b), order = strcmp(a, left);
            if (order == 0) order = strcmp(b, right);
            if (count < best || (count == best && (best == 0 || order >= 0))) continue;
            best = count;
            memcpy(left, a, sizeof(piece));
            memcpy(right, b, sizeof(piece));
        }
    }
    return best;
}

static void naive_merge(struct naive *n, const piece left, const piece right, const piece made) {
    piece a, b;
    memcpy(a, left, sizeof a);
    memcpy(b, right, sizeof b);
    for (int w = 0; w < n->count; w++) {
        int kept = 0;
        for (int k = 0; k < n->lengths[w]; k++) {
            piece *row = n->words[w];
            bool here = k + 1 < n->lengths[w] && strcmp(row[k], a) == 0 && strcmp(row[k + 1], b) == 0;
            memmove(row[kept++], here ? made : row[k], sizeof(piece));
            k += here;
        }
        n->lengths[w] = kept;
    }
}

static void merges_as_a_plain_recount(void **state) {
    (void)state;
    struct berth_str text;
    berth_str_init(&text);
    add_made_up_words(&text, NAIVE_WORDS);
    const char *const file = text.data;
    struct berth_tokenizer *t = NULL;
    assert_done(train(&t, &file, 1, wanted(NAIVE_TOKENS), NULL));
    struct naive *n = calloc(1, sizeof *n);
    assert_non_null(n);
    for (char *rest = text.data, *word = NULL; (word = strsep(&rest, " \n")) != NULL;) {
        if (word[0] == '\0') continue;
        for (int k = 0; word[k] != '\0'; k++)
            snprintf(n->words[n->count][k], sizeof(piece), "%s%c", k > 0 ? "##" : "", word[k]);
        n->lengths[n->count++] = (int)strlen(word);
    }
    int32_t id = 5; /* the alphabet comes first: letters, then letters behind "##" */
    while (strlen(berth_tokenizer_token(t, id)) == 1 || strlen(berth_tokenizer_token(t, id)) == 3)
        id++;
    assert_in_range(id, 15, 40);
    int merges = 0;
    piece left = "", right = "";
    while (id < (int32_t)berth_tokenizer_size(t) && naive_best(n, left, right) >= 2) {
        piece made = "";
        assert_true(snprintf(made, sizeof made, "%s%s", left, right + (right[0] == '#' ? 2 : 0)) <
                    (int)sizeof made);
        bool known = berth_tokenizer_find(t, made) >= 0 && berth_tokenizer_find(t, made) < id;
        if (!known && strcmp(berth_tokenizer_token(t, id), made) != 0)
            fail_msg("token %d is '%s', expected '%s'", id, berth_tokenizer_token(t, id), made);
        id += !known;
        merges++;
        naive_merge(n, left, right, made);
        left[0] = right[0] = '\0';
    }
    print_message("%d merges, %zu tokens\n", merges, berth_tokenizer_size(t));
    assert_int_equal(id, berth_tokenizer_size(t));
    assert_true(merges > 100);
    free(n);
    berth_tokenizer_free(t);
    berth_str_deinit(&text);
}

static void larger_vocabularies_go_on_from_smaller(void **state) {
    (void)state;
    struct berth_str text;
    berth_str_init(&text);
    add_made_up_words(&text, 20000);
    const char *const file = text.data;
    struct berth_tokenizer *small = NULL, *large = NULL;
    assert_done(train(&small, &file, 1, wanted(300), NULL));
    assert_done(train(&large, &file, 1, wanted(1200), NULL));
    assert_int_equal(berth_tokenizer_size(small), 300);
    assert_int_equal(berth_tokenizer_size(large), 1200);
    for (int32_t i = 0; i < 300; i++)
        assert_string_equal(berth_tokenizer_token(small, i), berth_tokenizer_token(large, i));
    struct berth_encoding few, many;
    berth_encoding_init(&few);
    berth_encoding_init(&many);
    assert_done(berth_tokenizer_encode(large, &few, text.data, text.length));
    assert_done(berth_tokenizer_encode(small, &many, text.data, text.length));
    assert_true(few.count < many.count);
    for (size_t i = 0; i < many.count; i++)
        assert_int_not_equal(many.ids[i], berth_tokenizer_special(small).unk);
    berth_encoding_deinit(&few);
    berth_encoding_deinit(&many);
    berth_tokenizer_free(small);
    berth_tokenizer_free(large);
    berth_str_deinit(&text);
}

static void expect_same(const struct berth_tokenizer *a, const struct berth_tokenizer *b) {
    assert_int_equal(berth_tokenizer_size(a), berth_tokenizer_size(b));
    for (int32_t i = 0; i < (int32_t)berth_tokenizer_size(a); i++)
        assert_string_equal(berth_tokenizer_token(a, i), berth_tokenizer_token(b, i));
}

/* From a handful of bytes (a run a few words, so many that runs are merged in several passes) to all in memory.
 */
static void the_budget_changes_nothing(void **state) {
    (void)state;
    static const int64_t budgets[] = {1, 9000, 40000, 300000, 2000000};
    static const char *const far = "\xE4\xB8\xAD caf\xC3\xA9 zz\xC5\xBE zz\xC5\xBE aa\n";
    char *folder = text_folder_make(), *temp = text_path(folder, "vocab");
    struct berth_str text;
    struct berth_tokenizer *all = NULL, *t = NULL;
    struct berth_vocab_spilled spilled;
    berth_str_init(&text);
    add_made_up_words(&text, 20000);
    const char *const texts[] = {text.data, far, text.data}, *const turned[] = {far, text.data, text.data};
    assert_done(train(&all, texts, 3, wanted(1500), &spilled));
    assert_int_equal(spilled.files, 0);
    for (size_t i = 0; i < sizeof budgets / sizeof *budgets; i++) {
        struct berth_vocab_options o = wanted(1500);
        o.memory = budgets[i];
        o.temp = temp;
        assert_done(train(&t, i % 2 == 0 ? texts : turned, 3, o, &spilled));
        expect_same(all, t);
        print_message("budget %lld: %lld files, %lld passes over runs, %lld bytes at the end\n",
                      (long long)budgets[i], (long long)spilled.files, (long long)spilled.passes,
                      (long long)spilled.bytes);
        if (i == 0) assert_true(spilled.passes >= 3); /* more than 64 * 64 runs */
        if (i <= 2) assert_true(spilled.passes >= 1 && spilled.files > spilled.passes && spilled.bytes > 0);
        if (i == 3) assert_true(spilled.files > 0);
        berth_tokenizer_free(t);
    }
    berth_tokenizer_free(all);
    berth_str_deinit(&text);
    free(temp);
    assert_int_equal(rmdir(folder), 0); /* nothing was left in it */
    free(folder);
}

static void a_word_longer_than_every_buffer(void **state) {
    (void)state;
    enum { LONG = 200000 };
    char *folder = text_folder_make(), *temp = text_path(folder, "vocab"), *text = malloc(2 * LONG + 64);
    struct berth_tokenizer *a = NULL, *b = NULL;
    struct berth_vocab_options o = wanted(60);
    memset(text, 'x', LONG);
    memcpy(text + LONG, " abc xyz ", 9);
    memset(text + LONG + 9, 'x', LONG);
    memcpy(text + 2 * LONG + 9, " xyz abc abd", 13);
    const char *const file = text;
    assert_done(train(&a, &file, 1, o, NULL));
    o.memory = 1;
    o.temp = temp;
    assert_done(train(&b, &file, 1, o, NULL));
    expect_same(a, b);
    assert_true(berth_tokenizer_find(a, "##xxxxxxxx") > 0);
    berth_tokenizer_free(a);
    berth_tokenizer_free(b);
    free(text);
    free(temp);
    assert_int_equal(rmdir(folder), 0);
    free(folder);
}

static void a_folder_that_takes_no_files(void **state) {
    (void)state;
    static const char *const text = "many different words that need a run of their own\n";
    struct berth_vocab_options o = wanted(100);
    struct berth_tokenizer *t = NULL;
    o.memory = 1;
    o.temp = "/nonexistent/vocab";
    assert_fails(train(&t, &text, 1, o, NULL), BERTH_E_IO, "/nonexistent/vocab: cannot be created: ");
    assert_null(t);
}

static void bad_wishes(void **state) {
    (void)state;
    static const char *const text = "hello world\n", *const nothing = " \n\t\n";
    struct berth_tokenizer *t = NULL;
    assert_fails(
        train(&t, &text, 1, wanted(10), NULL), BERTH_E_USAGE,
        "vocabulary size 10 is too small: special tokens and an alphabet of 7 characters already need 17");
    assert_fails(train(&t, &text, 1, wanted(0), NULL), BERTH_E_USAGE, "vocabulary size 0");
    assert_fails(train(&t, &nothing, 1, wanted(100), NULL), BERTH_E_FORMAT,
                 "no words to train a vocabulary from");
    assert_null(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(example_by_hand),
        cmocka_unit_test(stops_at_size_and_frequency),
        cmocka_unit_test(alphabet_limit_keeps_the_frequent),
        cmocka_unit_test(text_is_normalised_as_in_encoding),
        cmocka_unit_test(texts_and_their_order_do_not_matter),
        cmocka_unit_test(merges_as_a_plain_recount),
        cmocka_unit_test(larger_vocabularies_go_on_from_smaller),
        cmocka_unit_test(the_budget_changes_nothing),
        cmocka_unit_test(a_word_longer_than_every_buffer),
        cmocka_unit_test(a_folder_that_takes_no_files),
        cmocka_unit_test(bad_wishes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
