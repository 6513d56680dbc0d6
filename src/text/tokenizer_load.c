/* tokenizer_load.c: vocab.txt and tokenizer_config.json.
 *
 * vocab.txt has one token a line, the line number (from 0) is the id; LF or CRLF; the last line may lack its
 * break; a byte order mark in front is skipped. An empty line is a token that nothing matches: it keeps its id. */
#include <stdlib.h>
#include <string.h>

#include "berth/file.h"
#include "berth/json.h"
#include "text/text_priv.h"

static berth_status add_line(struct berth_arena *arena, char ***tokens, size_t *capacity, size_t *count,
                             const char *line, size_t length, const char *path) {
    if (length > 0 && line[length - 1] == '\r') length--;
    size_t good = berth_utf8_check(line, length);
    if (good < length)
        BERTH_FAIL(BERTH_E_FORMAT, "%s:%zu: byte %zu is 0x%02X, which is not UTF-8; expected a UTF-8 vocabulary",
                   path, *count + 1, good + 1, (uint8_t)line[good]);
    if (memchr(line, '\0', length) != NULL)
        BERTH_FAIL(BERTH_E_FORMAT, "%s:%zu: a zero byte in a token; expected text", path, *count + 1);
    BERTH_TRY(berth_grow(tokens, capacity, *count + 1, sizeof **tokens));
    BERTH_TRY(berth_arena_strndup(arena, &(*tokens)[*count], line, length));
    ++*count;
    return BERTH_OK;
}

static berth_status load_named(struct berth_tokenizer **out, const char *path, const char *const *names,
                               const struct berth_tokenizer_options *options) {
    berth_status status = BERTH_OK;
    char *text = NULL, **tokens = NULL, **kept = NULL;
    size_t size = 0, count = 0, capacity = 0;
    struct berth_arena arena;
    berth_arena_init(&arena);
    BERTH_TRY_OUT(berth_file_read(&text, &size, path));
    size_t at = size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    while (at < size) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t length = end == NULL ? size - at : (size_t)(end - text) - at;
        BERTH_TRY_OUT(add_line(&arena, &tokens, &capacity, &count, text + at, length, path));
        at += length + 1;
    }
    if (count == 0) BERTH_FAIL_OUT(BERTH_E_FORMAT, "%s: empty; expected one token a line", path);
    if (count > INT32_MAX / 2) BERTH_FAIL_OUT(BERTH_E_FORMAT, "%s: %zu lines, too many", path, count);
    BERTH_TRY_OUT(berth_arena_alloc(&arena, &kept, count, sizeof *kept));
    memcpy(kept, tokens, count * sizeof *kept);
    BERTH_TRY_OUT(tokenizer_create(out, &arena, kept, count, names, options, path));
out:
    berth_arena_deinit(&arena);
    free(tokens);
    free(text);
    return status;
}

berth_status berth_tokenizer_load_vocab(struct berth_tokenizer **out, const char *vocab_path,
                                        const struct berth_tokenizer_options *options) {
    struct berth_tokenizer_options defaults = tokenizer_default_options();
    if (options == NULL) options = &defaults;
    if (options->max_word_chars < 1)
        BERTH_FAIL(BERTH_E_USAGE, "max_word_chars is %d, expected at least 1", options->max_word_chars);
    return load_named(out, vocab_path, NULL, options);
}

/* A special token is a text, or an object with the text under "content". */
static berth_status read_config(const struct berth_json *config, struct berth_tokenizer_options *options,
                                const char *names[SPECIAL_COUNT]) {
    bool strip = false;
    int64_t max_chars = 100;
    BERTH_TRY(berth_json_int_or(&max_chars, config, "max_input_chars_per_word", 100, 1, 1000000));
    options->max_word_chars = (int)max_chars;
    BERTH_TRY(berth_json_bool_or(&options->lowercase, config, "do_lower_case", true));
    BERTH_TRY(berth_json_bool_or(&options->split_cjk, config, "tokenize_chinese_chars", true));
    if (berth_json_has(config, "strip_accents")) {
        BERTH_TRY(berth_json_bool_or(&strip, config, "strip_accents", false));
        options->strip_accents = strip;
    }
    for (int i = 0; i < SPECIAL_COUNT; i++) {
        char key[40];
        snprintf(key, sizeof key, "%s.content", special_config_keys[i]);
        if (!berth_json_has(config, key)) snprintf(key, sizeof key, "%s", special_config_keys[i]);
        BERTH_TRY(berth_json_string_or(&names[i], config, key, special_default_names[i]));
    }
    return BERTH_OK;
}

berth_status berth_tokenizer_load(struct berth_tokenizer **out, const char *folder) {
    berth_status status = BERTH_OK;
    char *vocab = NULL, *config_path = NULL;
    struct berth_json *config = NULL;
    struct berth_tokenizer_options options = tokenizer_default_options();
    const char *names[SPECIAL_COUNT] = {NULL};
    BERTH_TRY_OUT(berth_path_join(&vocab, folder, "vocab.txt"));
    BERTH_TRY_OUT(berth_path_join(&config_path, folder, "tokenizer_config.json"));
    if (berth_file_exists(config_path)) {
        BERTH_TRY_OUT(berth_json_load(&config, config_path));
        BERTH_TRY_OUT(read_config(config, &options, names));
    }
    BERTH_TRY_OUT(load_named(out, vocab, names, &options));
out:
    berth_json_free(config);
    free(config_path);
    free(vocab);
    return status;
}
