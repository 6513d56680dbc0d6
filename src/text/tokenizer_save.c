/* tokenizer_save.c: the four files from which the reference libraries load the same tokenizer.
 *
 * vocab.txt and tokenizer_config.json say everything; special_tokens_map.json and tokenizer.json say it again
 * for readers that look only there. */
#include <stdlib.h>
#include <string.h>

#include "berth/file.h"
#include "text/text_priv.h"

static const char *truth(bool value) {
    return value ? "true" : "false";
}

static const char *strip_text(const struct berth_tokenizer *t) {
    return t->options.strip_accents < 0 ? "null" : truth(t->options.strip_accents != 0);
}

/* "key": "name", one for each special token of the vocabulary. */
static void add_specials(const struct berth_tokenizer *t, struct berth_str *s) {
    bool first = true;
    for (int i = 0; i < SPECIAL_COUNT; i++) {
        if (t->special_ids[i] < 0) continue;
        berth_str_addf(s, "%s  \"%s\": ", first ? "" : ",\n", special_config_keys[i]);
        berth_str_add_json(s, t->special_names[i]);
        first = false;
    }
}

static void write_vocab(const struct berth_tokenizer *t, struct berth_str *s) {
    for (size_t i = 0; i < t->vocab_count; i++) {
        berth_str_add(s, t->tokens[i]);
        berth_str_add(s, "\n");
    }
}

/* Content and flags, as both files write them. */
static void add_added(const struct added_token *a, struct berth_str *s) {
    berth_str_add(s, "\"content\": ");
    berth_str_add_json(s, a->content);
    berth_str_addf(
        s, ", \"single_word\": %s, \"lstrip\": %s, \"rstrip\": %s, \"normalized\": %s, \"special\": %s}",
        truth(a->single_word), truth(a->lstrip), truth(a->rstrip), truth(a->normalized), truth(a->special));
}

static void write_config(const struct berth_tokenizer *t, struct berth_str *s) {
    berth_str_add(s, "{\n");
    add_specials(t, s);
    berth_str_add(s, ",\n  \"added_tokens_decoder\": {");
    for (size_t i = 0; i < t->added_count; i++) {
        berth_str_addf(s, "%s\n    \"%d\": {", i == 0 ? "" : ",", (int)t->added[i].id);
        add_added(&t->added[i], s);
    }
    berth_str_add(s, "\n  }");
    berth_str_addf(s,
                   ",\n  \"do_lower_case\": %s,\n  \"strip_accents\": %s,\n  \"tokenize_chinese_chars\": %s,\n"
                   "  \"max_input_chars_per_word\": %d,\n  \"clean_up_tokenization_spaces\": false,\n"
                   "  \"tokenizer_class\": \"BertTokenizer\"\n}\n",
                   truth(t->options.lowercase), strip_text(t), truth(t->options.split_cjk),
                   t->options.max_word_chars);
}

static void write_map(const struct berth_tokenizer *t, struct berth_str *s) {
    berth_str_add(s, "{\n");
    add_specials(t, s);
    berth_str_add(s, "\n}\n");
}

static void add_template_token(const struct berth_tokenizer *t, struct berth_str *s, int name, int segment) {
    berth_str_add(s, "{\"SpecialToken\": {\"id\": ");
    berth_str_add_json(s, t->special_names[name]);
    berth_str_addf(s, ", \"type_id\": %d}}", segment);
}

/* [CLS] A [SEP], and [CLS] A [SEP] B [SEP] with segment 1 from B on. */
static void add_template(const struct berth_tokenizer *t, struct berth_str *s) {
    berth_str_add(s, "  \"post_processor\": {\"type\": \"TemplateProcessing\",\n    \"single\": [");
    for (int pair = 0; pair < 2; pair++) {
        if (pair == 1) berth_str_add(s, "],\n    \"pair\": [");
        add_template_token(t, s, SPECIAL_CLS, 0);
        berth_str_add(s, ", {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}, ");
        add_template_token(t, s, SPECIAL_SEP, 0);
        if (pair == 0) continue;
        berth_str_add(s, ", {\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}, ");
        add_template_token(t, s, SPECIAL_SEP, 1);
    }
    berth_str_add(s, "],\n    \"special_tokens\": {");
    for (int i = SPECIAL_CLS; i <= SPECIAL_SEP; i++) {
        if (i > SPECIAL_CLS) berth_str_add(s, ", ");
        berth_str_add_json(s, t->special_names[i]);
        berth_str_add(s, ": {\"id\": ");
        berth_str_add_json(s, t->special_names[i]);
        berth_str_addf(s, ", \"ids\": [%d], \"tokens\": [", t->special_ids[i]);
        berth_str_add_json(s, t->special_names[i]);
        berth_str_add(s, "]}");
    }
    berth_str_add(s, "}},\n");
}

static void add_decoder(const struct berth_tokenizer *t, struct berth_str *s) {
    if (t->plain_decoding) {
        berth_str_add(s, "  \"decoder\": null,\n");
        return;
    }
    berth_str_add(s, "  \"decoder\": {\"type\": \"WordPiece\", \"prefix\": ");
    berth_str_add_json(s, t->prefix);
    berth_str_addf(s, ", \"cleanup\": %s},\n", truth(!t->keep_spaces));
}

static void write_json(const struct berth_tokenizer *t, struct berth_str *s) {
    berth_str_add(s, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n"
                     "  \"added_tokens\": [");
    for (size_t i = 0; i < t->added_count; i++) { /* by id, as the format wants it */
        berth_str_addf(s, "%s\n    {\"id\": %d, ", i == 0 ? "" : ",", (int)t->added[i].id);
        add_added(&t->added[i], s);
    }
    berth_str_addf(s,
                   "\n  ],\n  \"normalizer\": {\"type\": \"BertNormalizer\", \"clean_text\": true, "
                   "\"handle_chinese_chars\": %s, \"strip_accents\": %s, \"lowercase\": %s},\n"
                   "  \"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"},\n",
                   truth(t->options.split_cjk), strip_text(t), truth(t->options.lowercase));
    add_template(t, s);
    add_decoder(t, s);
    berth_str_add(s, "  \"model\": {\"type\": \"WordPiece\", \"unk_token\": ");
    berth_str_add_json(s, t->special_names[SPECIAL_UNK]);
    berth_str_add(s, ", \"continuing_subword_prefix\": ");
    berth_str_add_json(s, t->prefix);
    berth_str_addf(s, ", \"max_input_chars_per_word\": %d,\n    \"vocab\": {", t->options.max_word_chars);
    for (size_t i = 0; i < t->vocab_count; i++) {
        berth_str_add(s, i == 0 ? "\n      " : ",\n      ");
        berth_str_add_json(s, t->tokens[i]);
        berth_str_addf(s, ": %zu", i);
    }
    berth_str_add(s, "\n    }\n  }\n}\n");
}

static berth_status put(const struct berth_tokenizer *t, const char *folder, const char *name,
                        void (*write)(const struct berth_tokenizer *, struct berth_str *)) {
    berth_status status = BERTH_OK;
    char *path = NULL;
    struct berth_str text;
    berth_str_init(&text);
    BERTH_TRY_OUT(berth_path_join(&path, folder, name));
    write(t, &text);
    if (text.failed)
        BERTH_FAIL_OUT(BERTH_E_MEMORY, "%s: out of memory while writing %zu tokens", path, t->count);
    BERTH_TRY_OUT(berth_file_put(path, text.data, text.length));
out:
    berth_str_deinit(&text);
    free(path);
    return status;
}

berth_status berth_tokenizer_save(const struct berth_tokenizer *t, const char *folder) {
    BERTH_TRY(berth_make_folders(folder));
    BERTH_TRY(put(t, folder, "vocab.txt", write_vocab));
    BERTH_TRY(put(t, folder, "tokenizer_config.json", write_config));
    BERTH_TRY(put(t, folder, "special_tokens_map.json", write_map));
    return put(t, folder, "tokenizer.json", write_json);
}
