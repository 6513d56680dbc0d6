/* test_added_tokens.c: tokenizer.json of the reference's own making, with added tokens of all flags, gives its
 * ids, places, words and decoded texts; what berth lacks is refused; the files of older folders; saving. */
#include <stdio.h>

#include "text/support_golden.h"
#include "text/text_priv.h"

static const char *const names[] = {"plain", "flags", "normalized", "cased", "prefix"};
enum { FILES = sizeof names / sizeof *names };

static char *golden_json(const char *name, size_t *size) {
    char file[128];
    snprintf(file, sizeof file, "tests/golden/tokenizers/%s.json", name);
    char *path = text_source_path(file), *text = text_read(path, size);
    free(path);
    return text;
}

static berth_status load_json(struct berth_tokenizer **out, const char *text) {
    char *folder = text_folder_make();
    free(text_write(folder, "tokenizer.json", text, strlen(text)));
    berth_status status = berth_tokenizer_load(out, folder);
    text_folder_remove(folder);
    return status;
}

static const struct berth_tokenizer *by_name(void *user, const char *name) {
    struct berth_tokenizer **tokenizers = user;
    for (size_t i = 0; i < FILES; i++)
        if (strcmp(names[i], name) == 0) return tokenizers[i];
    fail_msg("no tokenizer '%s'", name);
    return NULL;
}

static void golden_rows(void **state) {
    struct golden_counts counts = golden_check_rows("added_tokens.tsv", by_name, *state);
    assert_true(counts.texts > 1500 && counts.decoded > 500);
}

/* What is saved and loaded again gives the same, and has the same digest; different tokenizers have different
 * ones. */
static void saved_folders_keep_added_tokens(void **state) {
    struct berth_tokenizer **tokenizers = *state, *back[FILES] = {NULL};
    for (size_t i = 0; i < FILES; i++) {
        char *folder = text_folder_make();
        assert_done(berth_tokenizer_save(tokenizers[i], folder));
        assert_done(berth_tokenizer_load(&back[i], folder));
        struct berth_hash128 a = berth_tokenizer_digest(tokenizers[i]), b = berth_tokenizer_digest(back[i]);
        if (memcmp(&a, &b, sizeof a) != 0) fail_msg("%s: another digest once saved", names[i]);
        for (size_t k = 0; k < i; k++) {
            b = berth_tokenizer_digest(tokenizers[k]);
            assert_memory_not_equal(&a, &b, sizeof a);
        }
        text_folder_remove(folder);
    }
    golden_check_rows("added_tokens.tsv", by_name, back);
    for (size_t i = 0; i < FILES; i++)
        berth_tokenizer_free(back[i]);
}

/* The flags file without its tokenizer.json: vocabulary and tokenizer_config.json alone say the same. */
static void folders_without_json_know_added_tokens(void **state) {
    struct berth_tokenizer **tokenizers = *state, *back = NULL;
    char *folder = text_folder_make(), *json = text_path(folder, "tokenizer.json");
    assert_done(berth_tokenizer_save(tokenizers[1], folder));
    assert_int_equal(remove(json), 0);
    assert_done(berth_tokenizer_load(&back, folder));
    assert_int_equal(berth_tokenizer_size(back), berth_tokenizer_size(tokenizers[1]));
    struct berth_hash128 a = berth_tokenizer_digest(tokenizers[1]), b = berth_tokenizer_digest(back);
    /* "##" and decoding are the defaults of such a folder, the flags those of the file. */
    assert_memory_equal(&a, &b, sizeof a);
    berth_tokenizer_free(back);
    free(json);
    text_folder_remove(folder);
}

/* ------------------------------------------------------------------ refusals */

/* The plain file with one text replaced by another. */
static char *changed(const char *what, const char *by) {
    size_t size = 0;
    char *text = golden_json("plain", &size), *found = strstr(text, what), *out = NULL;
    if (found == NULL) fail_msg("plain.json holds no %s", what);
    assert_true(asprintf(&out, "%.*s%s%s", (int)(found - text), text, by, found + strlen(what)) > 0);
    free(text);
    return out;
}

static void what_berth_lacks_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *what, *by;
        berth_status code;
        const char *message;
    } cases[] = {
        {"\"BertNormalizer\"", "\"NFC\"", BERTH_E_UNSUPPORTED,
         "tokenizer.json: the normalizer is NFC; berth has BertNormalizer alone"},
        {"\"clean_text\":true", "\"clean_text\":false", BERTH_E_UNSUPPORTED,
         "'normalizer.clean_text' is false"},
        {"{\"type\":\"BertPreTokenizer\"}", "null", BERTH_E_UNSUPPORTED,
         "the pre_tokenizer is absent; berth has BertPreTokenizer alone"},
        {"\"BertPreTokenizer\"", "\"ByteLevel\"", BERTH_E_UNSUPPORTED, "the pre_tokenizer is ByteLevel"},
        {"\"type\":\"WordPiece\",\"unk", "\"type\":\"BPE\",\"unk", BERTH_E_UNSUPPORTED,
         "the model is BPE; berth has WordPiece alone"},
        {"\"TemplateProcessing\"", "\"RobertaProcessing\"", BERTH_E_UNSUPPORTED,
         "the post_processor is RobertaProc"},
        {"{\"Sequence\":{\"id\":\"B\",\"type_id\":1}}", "{\"Sequence\":{\"id\":\"B\",\"type_id\":0}}",
         BERTH_E_UNSUPPORTED, "'post_processor.pair[3]' is not BERT's"},
        {"{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},", "", BERTH_E_UNSUPPORTED,
         "post_processor's templates have 2 and 5 entries"},
        {"\"ids\":[2]", "\"ids\":[3]", BERTH_E_FORMAT,
         "'post_processor.special_tokens.[CLS].ids[0]' is 3, which is '[SEP]'; expected the id of '[CLS]'"},
        {"\"decoder\":{\"type\":\"WordPiece\"", "\"decoder\":{\"type\":\"Metaspace\"", BERTH_E_UNSUPPORTED,
         "the decoder is Metaspace"},
        {"\"a\":5,", "\"a\":6,", BERTH_E_FORMAT, "both have id 6"},
        {"\"a\":5,", "\"a\":5000,", BERTH_E_FORMAT, "'a': expected a whole number from 0 to"},
        {"\"a\":5,", "\"a\":\"5\",", BERTH_E_FORMAT, "'a': expected a whole number from 0 to"},
        {"{\"id\":0,\"content\":\"[PAD]\"", "{\"id\":9,\"content\":\"[PAD]\"", BERTH_E_FORMAT,
         "the added token '[PAD]' has id 9, but 0 in the vocabulary"},
        {"{\"id\":0,\"content\":\"[PAD]\"", "{\"id\":77,\"content\":\"<x>\"", BERTH_E_FORMAT,
         "the added token '<x>' has id 77; expected 58, the next one free"},
        {"\"content\":\"[PAD]\"", "\"content\":\"[UNK]\"", BERTH_E_FORMAT,
         "the added token '[UNK]' stands twice"},
        {"\"version\"", "version", BERTH_E_FORMAT, "not valid JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct berth_tokenizer *t = NULL;
        char *text = changed(cases[i].what, cases[i].by);
        berth_status status = load_json(&t, text);
        if (status != cases[i].code || strstr(berth_error_text(), cases[i].message) == NULL)
            fail_msg("%s for %s: %s: %s", cases[i].by, cases[i].what, berth_status_name(status),
                     berth_error_text());
        assert_null(t);
        free(text);
    }
}

/* Older and other spellings that mean the same. */
static void what_means_the_same_is_taken(void **state) {
    struct berth_tokenizer **tokenizers = *state;
    static const char *const cases[][2] = {
        {"{\"type\":\"WordPiece\",\"unk", "{\"unk"},
        {"\"truncation\":null", "\"truncation\":{\"max_length\":4}"},
        {"\"padding\":null", "\"padding\":{\"strategy\":\"BatchLongest\"}"},
        {"{\"id\":0,\"content\":\"[PAD]\",", "{\"id\":0,\"content\":\"[PAD]\",\"x\":1,"},
    };
    struct berth_hash128 a = berth_tokenizer_digest(tokenizers[0]), b;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct berth_tokenizer *t = NULL;
        char *text = changed(cases[i][0], cases[i][1]);
        assert_done(load_json(&t, text));
        b = berth_tokenizer_digest(t);
        assert_memory_equal(&a, &b, sizeof a);
        berth_tokenizer_free(t);
        free(text);
    }
    /* The processor of BERT's own type in place of the template. */
    size_t size = 0;
    char *text = golden_json("plain", &size), *from = strstr(text, "{\"type\":\"TemplateProcessing\"");
    char *to = strstr(text, ",\"decoder\""), *other = NULL;
    assert_true(from != NULL && to > from);
    assert_true(asprintf(&other,
                         "%.*s{\"type\":\"BertProcessing\",\"sep\":[\"[SEP]\",3],\"cls\":[\"[CLS]\",2]}%s",
                         (int)(from - text), text, to) > 0);
    struct berth_tokenizer *t = NULL;
    assert_done(load_json(&t, other));
    b = berth_tokenizer_digest(t);
    assert_memory_equal(&a, &b, sizeof a);
    berth_tokenizer_free(t);
    free(other);
    free(text);
}

/* ------------------------------------------------------------------ folders */

#define VOCAB "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n##b\n"

struct folder_file {
    const char *name, *text;
};

static berth_status load_folder(struct berth_tokenizer **out, const struct folder_file *files) {
    char *folder = text_folder_make();
    for (; files->name != NULL; files++)
        free(text_write(folder, files->name, files->text, strlen(files->text)));
    berth_status status = berth_tokenizer_load(out, folder);
    text_folder_remove(folder);
    return status;
}
#define FOLDER(out, ...) load_folder(out, (const struct folder_file[]){__VA_ARGS__, {NULL, NULL}})

static void expect_ids(struct berth_tokenizer *t, const char *text, const char *want) {
    struct berth_encoding e;
    int32_t ids[64];
    berth_encoding_init(&e);
    assert_done(berth_tokenizer_encode(t, &e, text, strlen(text)));
    size_t wanted = text_numbers(want, ids, 64);
    assert_int_equal(e.count, wanted);
    assert_memory_equal(e.ids, ids, wanted * sizeof *ids);
    berth_encoding_deinit(&e);
    berth_tokenizer_free(t);
}

static void older_folders(void **state) {
    (void)state;
    struct berth_tokenizer *t = NULL;
    assert_done(FOLDER(&t, {"vocab.txt", VOCAB}, {"added_tokens.json", "{\"<y>\": 9, \"<X>\": 8}"}));
    assert_int_equal(berth_tokenizer_size(t), 10);
    assert_int_equal(berth_tokenizer_find(t, "<y>"), 9);
    assert_string_equal(berth_tokenizer_token(t, 8), "<X>");
    expect_ids(t, "a<Y><x>b ab", "5 9 8 6 5 7"); /* normalised: found whatever the case */
    assert_done(FOLDER(&t, {"vocab.txt", VOCAB}, {"added_tokens.json", "{\"<X>\": 8}"},
                       {"special_tokens_map.json", "{\"additional_special_tokens\": [\"<X>\"], \"mask_token\":"
                                                   " {\"content\": \"[MASK]\", \"lstrip\": true}}"}));
    expect_ids(t, "a<x> <X>b  [MASK]a", "5 1 1 1 8 6 4 5"); /* special: as it stands */
    assert_done(FOLDER(
        &t, {"vocab.txt", VOCAB},
        {"tokenizer_config.json",
         "{\"added_tokens_decoder\": {\"8\": {\"content\": \"<X>\", \"special\": true, \"rstrip\": true},"
         "\"5\": {\"content\": \"a\", \"normalized\": false, \"single_word\": true}}}"}));
    expect_ids(t, "<X>  a ab.a", "8 5 5 7 1 5");
    /* Tokens that no list numbers come behind the vocabulary. */
    assert_done(FOLDER(&t, {"vocab.txt", VOCAB},
                       {"special_tokens_map.json", "{\"additional_special_tokens\": [\"<X>\"]}"}));
    expect_ids(t, "<X>", "8");
}

static void folders_that_contradict_themselves(void **state) {
    (void)state;
    struct berth_tokenizer *t = NULL;
    assert_fails(FOLDER(&t, {"vocab.txt", VOCAB}, {"added_tokens.json", "{\"a\": 9}"}), BERTH_E_FORMAT,
                 "the added token 'a' has id 9, but 5 in the vocabulary");
    assert_fails(FOLDER(&t, {"vocab.txt", VOCAB}, {"added_tokens.json", "{\"<x>\": 10}"}), BERTH_E_FORMAT,
                 "the added token '<x>' has id 10; expected 8, the next one free");
    assert_fails(FOLDER(&t, {"vocab.txt", VOCAB}, {"added_tokens.json", "{\"<x>\": 2}"}), BERTH_E_FORMAT,
                 "the added token '<x>' has id 2; expected 8");
    assert_fails(FOLDER(&t, {"vocab.txt", VOCAB}, {"added_tokens.json", "{\"\xCC\x81\": 8}"}), BERTH_E_FORMAT,
                 "is nothing once it is normalised");
    assert_fails(FOLDER(&t, {"vocab.txt", VOCAB}, {"added_tokens.json", "{\"<x>\": \"8\"}"}), BERTH_E_FORMAT,
                 "added_tokens.json: '<x>': expected a whole number");
    assert_fails(
        FOLDER(&t, {"vocab.txt", VOCAB}, {"tokenizer_config.json", "{\"added_tokens_decoder\": {\"x\": {}}}"}),
        BERTH_E_FORMAT, "tokenizer_config.json: 'added_tokens_decoder': the key 'x', expected an id");
    size_t size = 0;
    char *json = golden_json("plain", &size);
    assert_fails(FOLDER(&t, {"vocab.txt", VOCAB}, {"tokenizer.json", json}), BERTH_E_FORMAT,
                 "vocab.txt: 8 tokens, but tokenizer.json beside it has 58");
    struct berth_str vocab;
    berth_str_init(&vocab);
    assert_done(load_json(&t, json));
    for (int32_t i = 0; i < 58; i++)
        berth_str_addf(&vocab, "%s\n", i == 41 ? "other" : berth_tokenizer_token(t, i));
    berth_tokenizer_free(t);
    t = NULL;
    assert_fails(FOLDER(&t, {"vocab.txt", vocab.data}, {"tokenizer.json", json}), BERTH_E_FORMAT,
                 "vocab.txt:42: the token 'other', but tokenizer.json beside it has");
    assert_null(t);
    berth_str_deinit(&vocab);
    free(json);
}

/* tokenizer_config.json holds over tokenizer.json, as in the reference. */
static void configuration_holds_over_json(void **state) {
    (void)state;
    size_t size = 0;
    char *json = golden_json("plain", &size);
    struct berth_tokenizer *t = NULL;
    assert_done(FOLDER(&t, {"tokenizer.json", json}, {"tokenizer_config.json", "{\"do_lower_case\": false}"}));
    assert_false(berth_tokenizer_get_options(t).lowercase);
    assert_int_equal(berth_tokenizer_get_options(t).max_word_chars, 12);
    expect_ids(t, "Hello hello", "1 44");
    free(json);
}

static int load_all(void **state) {
    static struct berth_tokenizer *tokenizers[FILES];
    for (size_t i = 0; i < FILES; i++) {
        size_t size = 0;
        char *text = golden_json(names[i], &size);
        assert_done(load_json(&tokenizers[i], text));
        free(text);
    }
    *state = tokenizers;
    return 0;
}

static int free_all(void **state) {
    struct berth_tokenizer **tokenizers = *state;
    for (size_t i = 0; i < FILES; i++)
        berth_tokenizer_free(tokenizers[i]);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_rows),
        cmocka_unit_test(saved_folders_keep_added_tokens),
        cmocka_unit_test(folders_without_json_know_added_tokens),
        cmocka_unit_test(what_berth_lacks_is_refused),
        cmocka_unit_test(what_means_the_same_is_taken),
        cmocka_unit_test(older_folders),
        cmocka_unit_test(folders_that_contradict_themselves),
        cmocka_unit_test(configuration_holds_over_json),
    };
    return cmocka_run_group_tests(tests, load_all, free_all);
}
