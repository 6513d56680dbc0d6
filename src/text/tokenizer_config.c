/* tokenizer_config.c: what the files beside a vocabulary say: tokenizer_config.json, special_tokens_map.json,
 * added_tokens.json.
 *
 * Added tokens stand in tokenizer_config.json's added_tokens_decoder (an object by id), or in older folders in
 * added_tokens.json (content to id), their flags in special_tokens_map.json where they are special. A special
 * token is a text, or an object with the text under "content" and flags beside it. */
#include <stdlib.h>
#include <string.h>

#include "berth/file.h"
#include "berth/json.h"
#include "text/text_priv.h"

/* The flags at `path`; absent ones keep what *token holds. */
static berth_status read_flags(const struct berth_json *j, const char *path, struct added_token *token) {
    const struct {
        const char *key;
        bool *flag;
    } flags[] = {{"single_word", &token->single_word},
                 {"lstrip", &token->lstrip},
                 {"rstrip", &token->rstrip},
                 {"normalized", &token->normalized},
                 {"special", &token->special}};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        char key[128];
        snprintf(key, sizeof key, "%s.%s", path, flags[i].key);
        BERTH_TRY(berth_json_bool_or(flags[i].flag, j, key, *flags[i].flag));
    }
    return BERTH_OK;
}

/* The special token at `path`, a text or an object; *content is NULL when it is absent. Entered as an added
 * token unless there is one of that content, whose flags then stand. */
static berth_status read_special(struct tokenizer_parts *p, const struct berth_json *j, const char *path,
                                 const char **content) {
    char key[128];
    struct added_token token = {.id = -1, .special = true};
    *content = NULL;
    if (!berth_json_has(j, path)) return BERTH_OK;
    snprintf(key, sizeof key, "%s.content", path);
    bool object = berth_json_has(j, key);
    BERTH_TRY(berth_json_string(&token.content, j, object ? key : path));
    if (object) BERTH_TRY(read_flags(j, path, &token));
    token.special = true;
    struct added_token *known = tokenizer_parts_find_added(p, token.content);
    if (known == NULL && token.content[0] != '\0') {
        BERTH_TRY(tokenizer_parts_add_added(p, &token));
        known = &p->added[p->added_count - 1];
    }
    if (known != NULL) known->special = true;
    *content = known != NULL ? known->content : "";
    return BERTH_OK;
}

static berth_status read_specials(struct tokenizer_parts *p, const struct berth_json *j) {
    const char *content = NULL;
    for (int i = 0; i < SPECIAL_COUNT; i++) {
        BERTH_TRY(read_special(p, j, special_config_keys[i], &content));
        if (content != NULL) p->special_names[i] = content;
    }
    static const char *const lists[] = {"additional_special_tokens", "extra_special_tokens"};
    for (size_t l = 0; l < 2; l++) {
        size_t count = berth_json_count(j, lists[l]);
        if (count > 0 && berth_json_key(j, lists[l], 0) != NULL)
            continue; /* an object: names for the reference's API */
        for (size_t i = 0; i < count; i++) {
            char path[64];
            snprintf(path, sizeof path, "%s[%zu]", lists[l], i);
            BERTH_TRY(read_special(p, j, path, &content));
        }
    }
    return BERTH_OK;
}

static berth_status read_decoder(struct tokenizer_parts *p, const struct berth_json *j, const char *name) {
    size_t count = berth_json_count(j, "added_tokens_decoder");
    for (size_t i = 0; i < count; i++) {
        const char *key = berth_json_key(j, "added_tokens_decoder", i);
        int64_t id = -1;
        char path[96], content[112];
        struct added_token token = {0};
        if (key == NULL || strlen(key) > 12 || !berth_parse_int64(key, &id) || id < 0 || id > INT32_MAX)
            BERTH_FAIL(BERTH_E_FORMAT, "%s: 'added_tokens_decoder': the key '%.40s', expected an id", name,
                       key == NULL ? "" : key);
        snprintf(path, sizeof path, "added_tokens_decoder.%s", key);
        snprintf(content, sizeof content, "%s.content", path);
        BERTH_TRY(berth_json_string(&token.content, j, content));
        token.id = (int32_t)id;
        token.normalized = true; /* the reference's default, where `special` is not said */
        bool special = false;
        snprintf(content, sizeof content, "%s.special", path);
        BERTH_TRY(berth_json_bool_or(&special, j, content, false));
        if (special) token.normalized = false;
        BERTH_TRY(read_flags(j, path, &token));
        const struct added_token *known = tokenizer_parts_find_added(p, token.content);
        if (known == NULL) {
            BERTH_TRY(tokenizer_parts_add_added(p, &token));
        } else if (known->id >= 0 && known->id != token.id) {
            BERTH_FAIL(BERTH_E_FORMAT, "%s: the added token '%.60s' has id %d, but %d in tokenizer.json", name,
                       token.content, token.id, known->id);
        }
    }
    return BERTH_OK;
}

static berth_status read_options(struct tokenizer_parts *p, const struct berth_json *j, bool has_json) {
    bool strip = false;
    int64_t max_chars = p->options.max_word_chars;
    if (!has_json)
        BERTH_TRY(berth_json_int_or(&max_chars, j, "max_input_chars_per_word", max_chars, 1, 1000000));
    p->options.max_word_chars = (int)max_chars;
    BERTH_TRY(berth_json_bool_or(&p->options.lowercase, j, "do_lower_case", p->options.lowercase));
    BERTH_TRY(berth_json_bool_or(&p->options.split_cjk, j, "tokenize_chinese_chars", p->options.split_cjk));
    if (berth_json_has(j, "strip_accents")) {
        BERTH_TRY(berth_json_bool_or(&strip, j, "strip_accents", false));
        p->options.strip_accents = strip;
    }
    return BERTH_OK;
}

/* ------------------------------------------------------------------ files */

/* NULL when the file is not there. */
static berth_status load_beside(struct berth_json **out, char **path, const char *folder, const char *name) {
    *out = NULL;
    BERTH_TRY(berth_path_join(path, folder, name));
    return berth_file_exists(*path) ? berth_json_load(out, *path) : BERTH_OK;
}

static berth_status add_listed(void *user, const char *content, int64_t id) {
    struct tokenizer_parts *p = user;
    struct added_token token = {.content = content, .id = (int32_t)id, .normalized = true};
    struct added_token *known = tokenizer_parts_find_added(p, content);
    if (known == NULL) return tokenizer_parts_add_added(p, &token);
    known->id = (int32_t)id;
    return BERTH_OK;
}

static berth_status read_older(struct tokenizer_parts *p, const char *folder) {
    berth_status status = BERTH_OK;
    struct berth_json *map = NULL, *list = NULL;
    char *map_path = NULL, *list_path = NULL;
    BERTH_TRY_OUT(load_beside(&map, &map_path, folder, "special_tokens_map.json"));
    if (map != NULL) BERTH_TRY_OUT(read_specials(p, map));
    BERTH_TRY_OUT(load_beside(&list, &list_path, folder, "added_tokens.json"));
    if (list != NULL) BERTH_TRY_OUT(berth_json_each_int(list, "", 0, INT32_MAX / 2, add_listed, p));
out:
    berth_json_free(map);
    berth_json_free(list);
    free(map_path);
    free(list_path);
    return status;
}

berth_status tokenizer_config_read(struct tokenizer_parts *p, const char *folder, bool has_json) {
    berth_status status = BERTH_OK;
    struct berth_json *j = NULL;
    char *path = NULL;
    BERTH_TRY_OUT(load_beside(&j, &path, folder, "tokenizer_config.json"));
    bool decoder = j != NULL && berth_json_has(j, "added_tokens_decoder");
    if (decoder) BERTH_TRY_OUT(read_decoder(p, j, path));
    if (!decoder && !has_json) BERTH_TRY_OUT(read_older(p, folder));
    if (j != NULL) {
        BERTH_TRY_OUT(read_options(p, j, has_json));
        BERTH_TRY_OUT(read_specials(p, j));
    }
out:
    berth_json_free(j);
    free(path);
    return status;
}
