/* fuzz_wordpiece.c: any bytes become ids within the vocabulary, at places that ascend within the text; decoding
 * takes every id back. The first byte picks one of the golden file's four settings and whether the text is a
 * given word. */
#include "berth/file.h"
#include "fuzz/support_fuzz.h"
#include "text/text_priv.h"

enum { SETTINGS = 4, TOKENIZERS = 6 };
static struct berth_tokenizer *tokenizers[TOKENIZERS];

static void load_added(struct berth_tokenizer **out, const char *name) {
    struct tokenizer_parts parts;
    char *text = NULL;
    size_t size = 0;
    tokenizer_parts_init(&parts);
    FUZZ_SETUP(berth_file_read(&text, &size, fuzz_source_path(name)));
    FUZZ_SETUP(tokenizer_json_read(&parts, name, text, size));
    FUZZ_SETUP(tokenizer_create(out, &parts, name));
    tokenizer_parts_deinit(&parts);
    free(text);
}

int LLVMFuzzerInitialize(int *count, char ***arguments) {
    (void)count;
    (void)arguments;
    static const struct berth_tokenizer_options options[SETTINGS] = {
        {true, -1, true, 100}, {false, -1, true, 100}, {true, 0, true, 100}, {false, 1, false, 100}};
    for (int i = 0; i < SETTINGS; i++)
        FUZZ_SETUP(berth_tokenizer_load_vocab(
            &tokenizers[i], fuzz_source_path("tests/golden/tokenizer_vocab.txt"), &options[i]));
    load_added(&tokenizers[4], "tests/golden/tokenizers/flags.json");
    load_added(&tokenizers[5], "tests/golden/tokenizers/normalized.json");
    return 0;
}

static void check_places(const struct berth_tokenizer *t, const struct berth_encoding *e, size_t size) {
    for (size_t i = 0; i < e->count; i++) {
        FUZZ_CHECK(e->ids[i] >= 0 && (size_t)e->ids[i] < berth_tokenizer_size(t));
        FUZZ_CHECK(e->start[i] >= 0 && e->start[i] <= e->end[i] && (size_t)e->end[i] <= size);
        if (i == 0) continue;
        FUZZ_CHECK(e->start[i] >= e->start[i - 1] && e->end[i] >= e->end[i - 1]);
        FUZZ_CHECK(e->word[i] == e->word[i - 1] || e->word[i] == e->word[i - 1] + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    const struct berth_tokenizer *t = tokenizers[(data[0] & 63) % TOKENIZERS];
    bool as_word = (data[0] & 64) != 0;
    const char *text = (const char *)data + 1;
    static struct berth_encoding e; /* kept from run to run, as a program keeps them from line to line */
    static struct berth_str back;
    size--;
    berth_encoding_reset(&e);
    berth_str_reset(&back);
    if (as_word) {
        FUZZ_SETUP(berth_tokenizer_encode_word(t, &e, text, size, 7));
    } else {
        FUZZ_SETUP(berth_tokenizer_encode(t, &e, text, size));
    }
    check_places(t, &e, size);
    for (size_t i = 0; as_word && i < e.count; i++)
        FUZZ_CHECK(e.word[i] == 7);
    FUZZ_SETUP(berth_tokenizer_decode(t, &back, e.ids, e.count, false));
    FUZZ_CHECK(back.length == 0 || berth_utf8_check(back.data, back.length) == back.length);
    return 0;
}
