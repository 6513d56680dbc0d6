/* tokenizer_load.c: a folder or a vocabulary file into a tokenizer.
 *
 *     tokenizer.json         the whole tokenizer, where it is there      (tokenizer_json.c)
 *     vocab.txt              else the vocabulary; beside a tokenizer.json it must agree with it
 *     tokenizer_config.json  options and special tokens: what it gives holds over the above
 *     special_tokens_map.json, added_tokens.json: older folders          (tokenizer_config.c)
 *
 * vocab.txt has one token a line, the line number (from 0) is the id; LF or CRLF; the last line may lack its
 * break; a byte order mark in front is skipped. An empty line is a token that nothing matches: it keeps its id.
 */
#include <stdlib.h>
#include <string.h>

#include "berth/file.h"
#include "text/text_priv.h"

static berth_status add_line(struct tokenizer_parts *p, const char *line, size_t length, const char *path) {
    if (length > 0 && line[length - 1] == '\r') length--;
    size_t good = berth_utf8_check(line, length);
    if (good < length)
        BERTH_FAIL(BERTH_E_FORMAT,
                   "%s:%zu: byte %zu is 0x%02X, which is not UTF-8; expected a UTF-8 vocabulary", path,
                   p->count + 1, good + 1, (uint8_t)line[good]);
    if (memchr(line, '\0', length) != NULL)
        BERTH_FAIL(BERTH_E_FORMAT, "%s:%zu: a zero byte in a token; expected text", path, p->count + 1);
    return tokenizer_parts_add_token(p, line, length);
}

static berth_status read_vocab(struct tokenizer_parts *p, const char *path) {
    berth_status status = BERTH_OK;
    char *text = NULL;
    size_t size = 0;
    BERTH_TRY_OUT(berth_file_read(&text, &size, path));
    size_t at = size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    while (at < size) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t length = end == NULL ? size - at : (size_t)(end - text) - at;
        BERTH_TRY_OUT(add_line(p, text + at, length, path));
        at += length + 1;
    }
    if (p->count == 0) BERTH_FAIL_OUT(BERTH_E_FORMAT, "%s: empty; expected one token a line", path);
out:
    free(text);
    return status;
}

/* A vocab.txt beside a tokenizer.json says the same; of tokens that were only added it may know the first ones.
 */
static berth_status compare_vocab(const struct tokenizer_parts *p, const char *path) {
    berth_status status = BERTH_OK;
    struct tokenizer_parts file;
    tokenizer_parts_init(&file);
    BERTH_TRY_OUT(read_vocab(&file, path));
    if (file.count < p->count)
        BERTH_FAIL_OUT(BERTH_E_FORMAT, "%s: %zu tokens, but tokenizer.json beside it has %zu", path, file.count,
                       p->count);
    for (size_t i = 0; i < file.count; i++) {
        const char *other = i < p->count ? p->tokens[i] : NULL;
        for (size_t k = 0; other == NULL && k < p->added_count; k++)
            if (p->added[k].id == (int32_t)i) other = p->added[k].content;
        if (other == NULL || strcmp(file.tokens[i], other) != 0)
            BERTH_FAIL_OUT(BERTH_E_FORMAT,
                           "%s:%zu: the token '%.60s', but tokenizer.json beside it has '%.60s' for id %zu",
                           path, i + 1, file.tokens[i], other == NULL ? "" : other, i);
    }
out:
    tokenizer_parts_deinit(&file);
    return status;
}

berth_status berth_tokenizer_load_vocab(struct berth_tokenizer **out, const char *vocab_path,
                                        const struct berth_tokenizer_options *options) {
    berth_status status = BERTH_OK;
    struct tokenizer_parts parts;
    tokenizer_parts_init(&parts);
    if (options != NULL) parts.options = *options;
    if (parts.options.max_word_chars < 1)
        BERTH_FAIL_OUT(BERTH_E_USAGE, "max_word_chars is %d, expected at least 1",
                       parts.options.max_word_chars);
    BERTH_TRY_OUT(read_vocab(&parts, vocab_path));
    BERTH_TRY_OUT(tokenizer_create(out, &parts, vocab_path));
out:
    tokenizer_parts_deinit(&parts);
    return status;
}

static berth_status read_json(struct tokenizer_parts *p, const char *path) {
    char *text = NULL;
    size_t size = 0;
    BERTH_TRY(berth_file_read(&text, &size, path));
    berth_status status = tokenizer_json_read(p, path, text, size);
    free(text);
    return status;
}

berth_status berth_tokenizer_load(struct berth_tokenizer **out, const char *folder) {
    berth_status status = BERTH_OK;
    char *vocab = NULL, *json = NULL;
    struct tokenizer_parts parts;
    tokenizer_parts_init(&parts);
    BERTH_TRY_OUT(berth_path_join(&vocab, folder, "vocab.txt"));
    BERTH_TRY_OUT(berth_path_join(&json, folder, "tokenizer.json"));
    bool has_json = berth_file_exists(json);
    if (has_json) {
        BERTH_TRY_OUT(read_json(&parts, json));
        if (berth_file_exists(vocab)) BERTH_TRY_OUT(compare_vocab(&parts, vocab));
    } else {
        BERTH_TRY_OUT(read_vocab(&parts, vocab));
    }
    BERTH_TRY_OUT(tokenizer_config_read(&parts, folder, has_json));
    BERTH_TRY_OUT(tokenizer_create(out, &parts, has_json ? json : vocab));
out:
    tokenizer_parts_deinit(&parts);
    free(vocab);
    free(json);
    return status;
}
