/* tokenizer_json.c: the reference library's tokenizer.json, as far as it describes what berth does.
 *
 * Taken: model WordPiece; normalizer BertNormalizer with clean_text; pre_tokenizer BertPreTokenizer;
 * post_processor TemplateProcessing or BertProcessing of BERT's form; decoder WordPiece or none; added tokens
 * with all flags. Padding and truncation are left aside: how long rows are is the configuration's to say.
 * Anything else would give other ids, so it is BERTH_E_UNSUPPORTED: what was found, what berth has. */
#include <stdlib.h>
#include <string.h>

#include "berth/json.h"
#include "text/text_priv.h"

struct json_file {
    struct tokenizer_parts *parts;
    const struct berth_json *json;
    const char *name;
};

static berth_status refuse(const struct json_file *f, const char *what, const char *found, const char *has) {
    BERTH_FAIL(BERTH_E_UNSUPPORTED, "%s: the %s is %.60s; berth has %s alone", f->name, what, found, has);
}

/* The type of a section; "absent" for one that is null or not there. */
static berth_status read_type(const struct json_file *f, const char *section, const char **type) {
    char path[64];
    snprintf(path, sizeof path, "%s.type", section);
    *type = "absent";
    return berth_json_has(f->json, section) ? berth_json_string(type, f->json, path) : BERTH_OK;
}

static berth_status expect_flag(const struct json_file *f, const char *path, bool by_default, bool wanted) {
    bool value = by_default;
    BERTH_TRY(berth_json_bool_or(&value, f->json, path, by_default));
    if (value == wanted) return BERTH_OK;
    BERTH_FAIL(BERTH_E_UNSUPPORTED, "%s: '%s' is %s; berth has %s alone", f->name, path,
               value ? "true" : "false", wanted ? "true" : "false");
}

/* ------------------------------------------------------------------ vocabulary */

struct numbered {        /* the vocabulary by id; texts are the document's */
    const char **tokens; /* [count] */
    size_t count;
    const char *name;
};

static berth_status number_token(void *user, const char *token, int64_t id) {
    struct numbered *n = user;
    if (n->tokens[id] != NULL)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: 'model.vocab': the tokens '%.60s' and '%.60s' both have id %lld",
                   n->name, n->tokens[id], token, (long long)id);
    n->tokens[id] = token;
    return BERTH_OK;
}

static berth_status read_vocab(const struct json_file *f) {
    berth_status status = BERTH_OK;
    struct numbered n = {.count = berth_json_count(f->json, "model.vocab"), .name = f->name};
    if (n.count == 0)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: 'model.vocab' is empty or missing, expected tokens with ids", f->name);
    BERTH_TRY_OUT(berth_calloc(&n.tokens, n.count, sizeof *n.tokens));
    BERTH_TRY_OUT(berth_json_each_int(f->json, "model.vocab", 0, (int64_t)n.count - 1, number_token, &n));
    for (size_t i = 0; i < n.count; i++) /* as many tokens as ids, none twice: every id is there */
        BERTH_TRY_OUT(tokenizer_parts_add_token(f->parts, n.tokens[i], strlen(n.tokens[i])));
out:
    free(n.tokens);
    return status;
}

static berth_status read_model(const struct json_file *f) {
    struct tokenizer_parts *p = f->parts;
    const char *type = NULL, *text = NULL;
    int64_t max_chars = 100;
    if (berth_json_has(f->json, "model.type") || !berth_json_has(f->json, "model.continuing_subword_prefix"))
        BERTH_TRY(berth_json_string(&type, f->json, "model.type")); /* files of 2020 lack it */
    if (type != NULL && strcmp(type, "WordPiece") != 0) return refuse(f, "model", type, "WordPiece");
    BERTH_TRY(read_vocab(f));
    BERTH_TRY(berth_json_string_or(&text, f->json, "model.unk_token", "[UNK]"));
    BERTH_TRY(berth_arena_strndup(&p->arena, (char **)&p->special_names[SPECIAL_UNK], text, strlen(text)));
    BERTH_TRY(berth_json_string_or(&text, f->json, "model.continuing_subword_prefix", "##"));
    BERTH_TRY(berth_arena_strndup(&p->arena, (char **)&p->prefix, text, strlen(text)));
    BERTH_TRY(berth_json_int_or(&max_chars, f->json, "model.max_input_chars_per_word", 100, 1, 1000000));
    p->options.max_word_chars = (int)max_chars;
    return BERTH_OK;
}

static berth_status read_added(const struct json_file *f) {
    size_t count = berth_json_count(f->json, "added_tokens");
    for (size_t i = 0; i < count; i++) {
        struct added_token token = {0};
        int64_t id = 0;
        char path[64];
        const struct {
            const char *key;
            bool *flag;
        } flags[] = {{"single_word", &token.single_word},
                     {"lstrip", &token.lstrip},
                     {"rstrip", &token.rstrip},
                     {"normalized", &token.normalized},
                     {"special", &token.special}};
        snprintf(path, sizeof path, "added_tokens[%zu].id", i);
        BERTH_TRY(berth_json_int(&id, f->json, path, 0, INT32_MAX / 2));
        token.id = (int32_t)id;
        snprintf(path, sizeof path, "added_tokens[%zu].content", i);
        BERTH_TRY(berth_json_string(&token.content, f->json, path));
        for (size_t k = 0; k < sizeof flags / sizeof *flags; k++) {
            snprintf(path, sizeof path, "added_tokens[%zu].%s", i, flags[k].key);
            BERTH_TRY(berth_json_bool_or(flags[k].flag, f->json, path, false));
        }
        if (token.content[0] == '\0') continue; /* as the reference */
        if (tokenizer_parts_find_added(f->parts, token.content) != NULL)
            BERTH_FAIL(BERTH_E_FORMAT, "%s: the added token '%.60s' stands twice", f->name, token.content);
        BERTH_TRY(tokenizer_parts_add_added(f->parts, &token));
    }
    return BERTH_OK;
}

/* ------------------------------------------------------------------ the steps */

static berth_status read_normalizer(const struct json_file *f) {
    struct berth_tokenizer_options *o = &f->parts->options;
    const char *type = NULL;
    bool strip = false;
    BERTH_TRY(read_type(f, "normalizer", &type));
    if (strcmp(type, "BertNormalizer") != 0) return refuse(f, "normalizer", type, "BertNormalizer");
    BERTH_TRY(expect_flag(f, "normalizer.clean_text", true, true));
    BERTH_TRY(berth_json_bool_or(&o->split_cjk, f->json, "normalizer.handle_chinese_chars", true));
    BERTH_TRY(berth_json_bool_or(&o->lowercase, f->json, "normalizer.lowercase", true));
    o->strip_accents = -1;
    if (berth_json_has(f->json, "normalizer.strip_accents")) {
        BERTH_TRY(berth_json_bool_or(&strip, f->json, "normalizer.strip_accents", false));
        o->strip_accents = strip;
    }
    return BERTH_OK;
}

static berth_status read_decoder(const struct json_file *f) {
    const char *type = NULL, *prefix = NULL;
    bool clean = true;
    BERTH_TRY(read_type(f, "decoder", &type));
    if (strcmp(type, "absent") == 0) {
        f->parts->plain_decoding = true;
        return BERTH_OK;
    }
    if (strcmp(type, "WordPiece") != 0) return refuse(f, "decoder", type, "WordPiece");
    BERTH_TRY(berth_json_string_or(&prefix, f->json, "decoder.prefix", "##"));
    if (strcmp(prefix, f->parts->prefix) != 0)
        BERTH_FAIL(BERTH_E_UNSUPPORTED,
                   "%s: the decoder's prefix is '%.20s' and the model's '%.20s'; berth has one for both",
                   f->name, prefix, f->parts->prefix);
    BERTH_TRY(berth_json_bool_or(&clean, f->json, "decoder.cleanup", true));
    f->parts->keep_spaces = !clean;
    return BERTH_OK;
}

/* One entry of a template: a special token (its name goes to *name, and must be the same everywhere) or a text.
 */
static berth_status read_template_entry(const struct json_file *f, const char *list, size_t i, const char *text,
                                        int64_t segment, const char **name) {
    char path[96];
    const char *found = NULL;
    int64_t type_id = 0;
    snprintf(path, sizeof path, "post_processor.%s[%zu].%s.id", list, i,
             text != NULL ? "Sequence" : "SpecialToken");
    BERTH_TRY(berth_json_string_or(&found, f->json, path, ""));
    snprintf(path, sizeof path, "post_processor.%s[%zu].%s.type_id", list, i,
             text != NULL ? "Sequence" : "SpecialToken");
    BERTH_TRY(berth_json_int_or(&type_id, f->json, path, 0, 0, 1000));
    bool right = type_id == segment && (text != NULL ? strcmp(found, text) == 0 : found[0] != '\0');
    if (text == NULL && *name != NULL) right &= strcmp(found, *name) == 0;
    if (!right)
        BERTH_FAIL(BERTH_E_UNSUPPORTED,
                   "%s: 'post_processor.%s[%zu]' is not BERT's; berth has [CLS] A [SEP] and [CLS] A "
                   "[SEP] B [SEP] with segment 1 from B on",
                   f->name, list, i);
    if (text == NULL) *name = found;
    return BERTH_OK;
}

static berth_status read_template(const struct json_file *f, const char **cls, const char **sep) {
    size_t single = berth_json_count(f->json, "post_processor.single");
    size_t pair = berth_json_count(f->json, "post_processor.pair");
    if (single != 3 || pair != 5)
        BERTH_FAIL(BERTH_E_UNSUPPORTED,
                   "%s: post_processor's templates have %zu and %zu entries; berth has BERT's of 3 "
                   "and 5 alone",
                   f->name, single, pair);
    BERTH_TRY(read_template_entry(f, "single", 0, NULL, 0, cls));
    BERTH_TRY(read_template_entry(f, "single", 1, "A", 0, NULL));
    BERTH_TRY(read_template_entry(f, "single", 2, NULL, 0, sep));
    BERTH_TRY(read_template_entry(f, "pair", 0, NULL, 0, cls));
    BERTH_TRY(read_template_entry(f, "pair", 1, "A", 0, NULL));
    BERTH_TRY(read_template_entry(f, "pair", 2, NULL, 0, sep));
    BERTH_TRY(read_template_entry(f, "pair", 3, "B", 1, NULL));
    return read_template_entry(f, "pair", 4, NULL, 1, sep);
}

/* The id that the file writes for [CLS] or [SEP] is the token's. */
static berth_status check_special_id(const struct json_file *f, const char *path, const char *token) {
    const struct tokenizer_parts *p = f->parts;
    int64_t id = 0;
    BERTH_TRY(berth_json_int(&id, f->json, path, 0, INT32_MAX / 2));
    const char *there = (size_t)id < p->count ? p->tokens[id] : NULL;
    for (size_t i = 0; there == NULL && i < p->added_count; i++)
        if (p->added[i].id == id) there = p->added[i].content;
    if (there != NULL && strcmp(there, token) == 0) return BERTH_OK;
    BERTH_FAIL(BERTH_E_FORMAT, "%s: '%s' is %lld, which is '%.60s'; expected the id of '%.60s'", f->name, path,
               (long long)id, there == NULL ? "" : there, token);
}

static berth_status read_post_processor(const struct json_file *f) {
    struct tokenizer_parts *p = f->parts;
    const char *type = NULL, *names[2] = {NULL, NULL};
    BERTH_TRY(read_type(f, "post_processor", &type));
    bool template = strcmp(type, "TemplateProcessing") == 0;
    if (template) {
        BERTH_TRY(read_template(f, &names[0], &names[1]));
    } else if (strcmp(type, "BertProcessing") == 0) {
        BERTH_TRY(berth_json_string(&names[0], f->json, "post_processor.cls[0]"));
        BERTH_TRY(berth_json_string(&names[1], f->json, "post_processor.sep[0]"));
    } else {
        return refuse(f, "post_processor", type, "TemplateProcessing and BertProcessing");
    }
    for (int i = 0; i < 2; i++) {
        char path[256];
        snprintf(path, sizeof path,
                 template ? "post_processor.special_tokens.%.100s.ids[0]" : "post_processor.%s[1]",
                 template ? names[i]
                 : i == 0 ? "cls"
                          : "sep");
        BERTH_TRY(check_special_id(f, path, names[i]));
        BERTH_TRY(berth_arena_strndup(&p->arena, (char **)&p->special_names[i == 0 ? SPECIAL_CLS : SPECIAL_SEP],
                                      names[i], strlen(names[i])));
    }
    return BERTH_OK;
}

berth_status tokenizer_json_read(struct tokenizer_parts *p, const char *name, const char *text, size_t size) {
    berth_status status = BERTH_OK;
    struct berth_json *j = NULL;
    const char *type = NULL;
    BERTH_TRY(berth_json_parse(&j, name, text, size));
    struct json_file f = {.parts = p, .json = j, .name = name};
    BERTH_TRY_OUT(read_model(&f));
    BERTH_TRY_OUT(read_added(&f));
    BERTH_TRY_OUT(read_normalizer(&f));
    BERTH_TRY_OUT(read_type(&f, "pre_tokenizer", &type));
    if (strcmp(type, "BertPreTokenizer") != 0) {
        status = refuse(&f, "pre_tokenizer", type, "BertPreTokenizer");
        goto out;
    }
    BERTH_TRY_OUT(read_post_processor(&f));
    BERTH_TRY_OUT(read_decoder(&f));
out:
    berth_json_free(j);
    return status;
}
