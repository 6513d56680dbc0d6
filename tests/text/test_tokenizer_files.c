/* test_tokenizer_files.c: vocabulary files good and bad, model folders, options, digests, saving. */
#include <stdio.h>

#include "text/support_text.h"

/* Loads a vocabulary from these bytes; the folder is removed again. */
static berth_status load_bytes(struct berth_tokenizer **out, const char *bytes, size_t size,
                               const struct berth_tokenizer_options *options) {
    char *folder = text_folder_make();
    char *path = text_write(folder, "vocab.txt", bytes, size);
    berth_status status = berth_tokenizer_load_vocab(out, path, options);
    free(path);
    text_folder_remove(folder);
    return status;
}
#define LOAD(out, text, options) load_bytes(out, text, sizeof(text) - 1, options)

static void expect_ids(const struct berth_tokenizer *t, const char *text, const char *want) {
    struct berth_encoding e;
    struct berth_str got;
    berth_encoding_init(&e);
    berth_str_init(&got);
    assert_done(berth_tokenizer_encode(t, &e, text, strlen(text)));
    berth_str_add(&got, "");
    for (size_t i = 0; i < e.count; i++)
        berth_str_addf(&got, "%s%s", i > 0 ? " " : "", berth_tokenizer_token(t, e.ids[i]));
    if (strcmp(got.length > 0 ? got.data : "", want) != 0)
        fail_msg("'%s' became '%s', expected '%s'", text, got.data, want);
    berth_str_deinit(&got);
    berth_encoding_deinit(&e);
}

#define SPECIALS "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"

static void line_ends_and_byte_order_mark(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t size;
    } files[] = {
#define FILE_OF(text) {text, sizeof(text) - 1}
        FILE_OF(SPECIALS "the\n##s\n"),
        FILE_OF(SPECIALS "the\n##s"),
        FILE_OF("[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\n[MASK]\r\nthe\r\n##s\r\n"),
        FILE_OF("\xEF\xBB\xBF" SPECIALS "the\n##s\n"),
    };
    struct berth_hash128 first = {0};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct berth_tokenizer *t = NULL;
        assert_done(load_bytes(&t, files[i].text, files[i].size, NULL));
        assert_int_equal(berth_tokenizer_size(t), 7);
        assert_int_equal(berth_tokenizer_find(t, "the"), 5);
        assert_int_equal(berth_tokenizer_find(t, "##s"), 6);
        expect_ids(t, "THE thes", "the the ##s");
        struct berth_hash128 digest = berth_tokenizer_digest(t);
        if (i == 0) first = digest;
        assert_memory_equal(&digest, &first, sizeof digest);
        berth_tokenizer_free(t);
    }
}

static void bad_vocabularies(void **state) {
    (void)state;
    struct berth_tokenizer *t = NULL;
    assert_fails(LOAD(&t, "", NULL), BERTH_E_FORMAT, "vocab.txt: empty; expected one token a line");
    assert_fails(LOAD(&t, SPECIALS "a\nb\nc\nb\na\n", NULL), BERTH_E_FORMAT,
                 "vocab.txt:9: the token 'b' stands twice, first in line 7");
    assert_fails(LOAD(&t, SPECIALS "a\n\nb\n\n", NULL), BERTH_E_FORMAT,
                 "vocab.txt:9: the token '' stands twice, first in line 7");
    assert_fails(LOAD(&t, "[PAD]\n[CLS]\n[SEP]\n", NULL), BERTH_E_FORMAT, "vocab.txt: no line '[UNK]' among 3");
    assert_fails(LOAD(&t, "[PAD]\n[UNK]\n[SEP]\n", NULL), BERTH_E_FORMAT, "vocab.txt: no line '[CLS]' among 3");
    assert_fails(LOAD(&t, "[UNK]\n[CLS]\n", NULL), BERTH_E_FORMAT, "vocab.txt: no line '[SEP]' among 2");
    assert_fails(LOAD(&t, SPECIALS "ab\xFF\n", NULL), BERTH_E_FORMAT,
                 "vocab.txt:6: byte 3 is 0xFF, which is not UTF-8");
    assert_fails(LOAD(&t, SPECIALS "a\0b\n", NULL), BERTH_E_FORMAT, "vocab.txt:6: a zero byte in a token");
    assert_fails(berth_tokenizer_load_vocab(&t, "/nonexistent/vocab.txt", NULL), BERTH_E_IO,
                 "/nonexistent/vocab.txt");
    struct berth_tokenizer_options options = text_options(true, -1, true);
    options.max_word_chars = 0;
    assert_fails(LOAD(&t, SPECIALS, &options), BERTH_E_USAGE, "max_word_chars is 0");
    assert_null(t);
}

static void odd_vocabularies(void **state) {
    (void)state;
    struct berth_tokenizer *t = NULL;
    /* No token continues a word; an empty line keeps its id; no [PAD], no [MASK]. */
    assert_done(LOAD(&t, "[UNK]\n\n[CLS]\n[SEP]\na\nab\n", NULL));
    struct berth_special_tokens special = berth_tokenizer_special(t);
    assert_int_equal(special.unk, 0);
    assert_int_equal(special.cls, 2);
    assert_int_equal(special.sep, 3);
    assert_int_equal(special.pad, -1);
    assert_int_equal(special.mask, -1);
    assert_string_equal(berth_tokenizer_token(t, 1), "");
    assert_null(berth_tokenizer_token(t, 6));
    assert_null(berth_tokenizer_token(t, -1));
    assert_int_equal(berth_tokenizer_find(t, ""), -1);
    assert_int_equal(berth_tokenizer_find(t, "abc"), -1);
    expect_ids(t, "a ab aa abb [SEP][MASK]", "a ab [UNK] [UNK] [SEP] [UNK] [UNK] [UNK]");
    berth_tokenizer_free(t);
    berth_tokenizer_free(NULL);
}

static void options_change_ids_and_digest(void **state) {
    (void)state;
    static const char vocab[] = SPECIALS "A\na\né\n##é\n中\n##中\nÉ\n##a\n##A\n";
    static const struct {
        bool lowercase;
        int strip;
        bool cjk;
        int max_chars;
        const char *want;
    } cases[] = {
        {true, -1, true, 100, "a a 中 a"},      {false, -1, true, 100, "A ##é 中 É"},
        {true, 0, true, 100, "a ##é 中 é"},     {false, 1, true, 100, "A ##A 中 [UNK]"},
        {false, -1, false, 100, "A ##é ##中 É"}, {false, -1, false, 2, "[UNK] É"},
    };
    struct berth_hash128 seen[8];
    size_t count = sizeof cases / sizeof *cases;
    for (size_t i = 0; i < count; i++) {
        struct berth_tokenizer_options o = {cases[i].lowercase, cases[i].strip, cases[i].cjk, cases[i].max_chars};
        struct berth_tokenizer *t = NULL;
        assert_done(LOAD(&t, vocab, &o));
        struct berth_tokenizer_options back = berth_tokenizer_get_options(t);
        assert_memory_equal(&back.max_word_chars, &o.max_word_chars, sizeof o.max_word_chars);
        assert_int_equal(back.lowercase, o.lowercase);
        assert_int_equal(back.strip_accents, o.strip_accents);
        assert_int_equal(back.split_cjk, o.split_cjk);
        expect_ids(t, i == 0 ? "A A中 A" : i == 3 ? "AA中 É" : "Aé中 É", cases[i].want);
        seen[i] = berth_tokenizer_digest(t);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(&seen[k], &seen[i], sizeof *seen);
        berth_tokenizer_free(t);
    }
}

static void word_indices_and_appending(void **state) {
    (void)state;
    struct berth_tokenizer *t = NULL;
    struct berth_encoding e;
    assert_done(LOAD(&t, SPECIALS "un\n##aff\n##able\n!\n", NULL));
    berth_encoding_init(&e);
    assert_done(berth_tokenizer_encode(t, &e, "unaffable!", 10));
    assert_done(berth_tokenizer_encode_word(t, &e, "Unable!", 7, 41));
    assert_done(berth_tokenizer_encode_word(t, &e, "\xC2\xAD", 2, 42)); /* a soft hyphen: no pieces */
    assert_done(berth_tokenizer_encode_word(t, &e, "", 0, 43));
    static const int32_t starts[] = {0, 2, 5, 9, 0, 2, 6}, ends[] = {2, 5, 9, 10, 2, 6, 7};
    static const int32_t words[] = {0, 0, 0, 1, 41, 41, 41};
    assert_int_equal(e.count, 7);
    assert_memory_equal(e.start, starts, sizeof starts);
    assert_memory_equal(e.end, ends, sizeof ends);
    assert_memory_equal(e.word, words, sizeof words);
    const int32_t *kept = e.ids;
    berth_encoding_reset(&e);
    assert_int_equal(e.count, 0);
    assert_done(berth_tokenizer_encode(t, &e, "un", 2));
    assert_ptr_equal(e.ids, kept);
    berth_encoding_deinit(&e);
    assert_null(e.ids);
    berth_tokenizer_free(t);
}

static void decoding_refuses_unknown_ids(void **state) {
    (void)state;
    struct berth_tokenizer *t = NULL;
    struct berth_str out;
    berth_str_init(&out);
    assert_done(LOAD(&t, SPECIALS, NULL));
    int32_t ids[] = {0, 5}, negative = -1;
    assert_fails(berth_tokenizer_decode(t, &out, ids, 2, false), BERTH_E_FORMAT,
                 "token id 5 at place 1, expected 0 to 4");
    assert_fails(berth_tokenizer_decode(t, &out, &negative, 1, true), BERTH_E_FORMAT, "token id -1 at place 0");
    berth_str_deinit(&out);
    berth_tokenizer_free(t);
}

/* ------------------------------------------------------------------ folders */

static berth_status load_folder(struct berth_tokenizer **out, const char *vocab, const char *config) {
    char *folder = text_folder_make();
    if (vocab != NULL) free(text_write(folder, "vocab.txt", vocab, strlen(vocab)));
    if (config != NULL) free(text_write(folder, "tokenizer_config.json", config, strlen(config)));
    berth_status status = berth_tokenizer_load(out, folder);
    text_folder_remove(folder);
    return status;
}

static void folders_with_and_without_configuration(void **state) {
    (void)state;
    static const char vocab[] = SPECIALS "a\nA\n<s>\n</s>\n<unk>\n";
    struct berth_tokenizer *t = NULL;
    assert_done(load_folder(&t, vocab, NULL));
    assert_true(berth_tokenizer_get_options(t).lowercase);
    expect_ids(t, "A [CLS]", "a [CLS]");
    berth_tokenizer_free(t);

    assert_done(load_folder(&t, vocab,
                            "{\"do_lower_case\": false, \"strip_accents\": null, \"tokenize_chinese_chars\": false,"
                            " \"unk_token\": \"<unk>\", \"cls_token\": {\"content\": \"<s>\", \"lstrip\": false},"
                            " \"sep_token\": \"</s>\", \"model_max_length\": 1000000000000000019884624838656}"));
    struct berth_tokenizer_options o = berth_tokenizer_get_options(t);
    assert_false(o.lowercase || o.split_cjk);
    assert_int_equal(o.strip_accents, -1);
    assert_int_equal(berth_tokenizer_special(t).cls, 7);
    assert_int_equal(berth_tokenizer_special(t).unk, 9);
    expect_ids(t, "A<s>a</s>b[MASK]", "A <s> a </s> <unk> [MASK]");
    berth_tokenizer_free(t);

    assert_done(load_folder(&t, vocab, "{\"strip_accents\": false}"));
    assert_int_equal(berth_tokenizer_get_options(t).strip_accents, 0);
    berth_tokenizer_free(t);
    t = NULL;

    assert_fails(load_folder(&t, NULL, NULL), BERTH_E_IO, "vocab.txt");
    assert_fails(load_folder(&t, vocab, "{\"do_lower_case\": 1}"), BERTH_E_FORMAT, "do_lower_case");
    assert_fails(load_folder(&t, vocab, "{\"strip_accents\": \"no\"}"), BERTH_E_FORMAT, "strip_accents");
    assert_fails(load_folder(&t, vocab, "{\"unk_token\": 3}"), BERTH_E_FORMAT, "unk_token");
    assert_fails(load_folder(&t, vocab, "{"), BERTH_E_FORMAT, "tokenizer_config.json");
    assert_fails(load_folder(&t, vocab, "{\"unk_token\": \"[unk]\"}"), BERTH_E_FORMAT, "no line '[unk]'");
    assert_null(t);
}

static void saved_folder_loads_the_same(void **state) {
    (void)state;
    static const struct berth_tokenizer_options cases[] = {
        {true, -1, true, 100}, {false, 1, false, 100}, {true, 0, true, 50}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct berth_tokenizer *t = NULL, *back = NULL;
        assert_done(LOAD(&t, SPECIALS "a\n\"quoted\\\"\n\té\n中\n\xF0\x9F\x98\x80\n\x7F\n", &cases[i]));
        char *folder = text_folder_make();
        assert_done(berth_tokenizer_save(t, folder));
        static const char *const names[] = {"special_tokens_map.json", "tokenizer.json", "tokenizer_config.json"};
        for (size_t k = 0; k < 3; k++) {
            struct berth_json *j = NULL;
            char *path = text_path(folder, names[k]);
            assert_done(berth_json_load(&j, path));
            if (k == 1) {
                int64_t id = -1;
                assert_int_equal(berth_json_count(j, "model.vocab"), 11);
                assert_done(berth_json_int(&id, j, "model.vocab.\"quoted\\\"", 0, 100));
                assert_int_equal(id, 6);
            }
            berth_json_free(j);
            free(path);
        }
        assert_done(berth_tokenizer_load(&back, folder));
        struct berth_hash128 a = berth_tokenizer_digest(t), b = berth_tokenizer_digest(back);
        assert_memory_equal(&a, &b, sizeof a);
        assert_int_equal(berth_tokenizer_get_options(back).strip_accents, cases[i].strip_accents);
        berth_tokenizer_free(back);
        berth_tokenizer_free(t);
        text_folder_remove(folder);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(line_ends_and_byte_order_mark), cmocka_unit_test(bad_vocabularies),
        cmocka_unit_test(odd_vocabularies),              cmocka_unit_test(options_change_ids_and_digest),
        cmocka_unit_test(word_indices_and_appending),    cmocka_unit_test(decoding_refuses_unknown_ids),
        cmocka_unit_test(folders_with_and_without_configuration),
        cmocka_unit_test(saved_folder_loads_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
