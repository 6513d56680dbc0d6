/* tokenizer.c: a vocabulary and its options into a tokenizer; look-ups. */
#include <stdlib.h>
#include <string.h>

#include "text/text_priv.h"
#include "text/unicode_tables.h"

const char *const special_default_names[SPECIAL_COUNT] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
const char *const special_config_keys[SPECIAL_COUNT] = {"pad_token", "unk_token", "cls_token", "sep_token",
                                                        "mask_token"};

struct berth_tokenizer_options tokenizer_default_options(void) {
    return (struct berth_tokenizer_options){
        .lowercase = true, .strip_accents = -1, .split_cjk = true, .max_word_chars = 100};
}

void tokenizer_set_options(struct berth_tokenizer *t, const struct berth_tokenizer_options *options) {
    t->options = *options;
    t->strip = options->strip_accents < 0 ? options->lowercase : options->strip_accents != 0;
    t->single_lead = -1;
    for (uint32_t b = 0; b < 256; b++) {
        uint8_t flags = b < 0x80 ? unicode_kind_of(b).flags : 0;
        bool upper = b < 0x80 && unicode_lower_of(b) != NULL;
        t->fold[b] = (uint8_t)(upper && options->lowercase ? unicode_lower_of(b)[1] : b);
        t->byte_class[b] = b >= 0x80 || (flags & UNICODE_REMOVE) ? BYTE_OTHER
                           : flags & UNICODE_WHITE               ? BYTE_SPACE
                           : flags & UNICODE_PUNCT               ? BYTE_PUNCT
                                                                 : BYTE_WORD;
    }
}

enum special_name tokenizer_special_at(const struct berth_tokenizer *t, const char *text, size_t size,
                                       size_t at, size_t *length) {
    enum special_name best = SPECIAL_COUNT;
    *length = 0;
    for (int i = 0; i < SPECIAL_COUNT; i++) {
        if (t->special_ids[i] < 0 || t->special_names[i][0] != text[at]) continue;
        size_t n = strlen(t->special_names[i]);
        if (n > *length && n <= size - at && memcmp(text + at, t->special_names[i], n) == 0) {
            best = (enum special_name)i;
            *length = n;
        }
    }
    return best;
}

/* ------------------------------------------------------------------ building */

static int compare_tokens(const void *a, const void *b, void *user) {
    char *const *tokens = user;
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    int order = strcmp(tokens[x], tokens[y]);
    return order != 0 ? order : (x > y) - (x < y);
}

static berth_status check_duplicates(char *const *tokens, const int32_t *order, size_t count,
                                     const char *where) {
    int32_t worst = INT32_MAX, first = 0;
    for (size_t i = 1; i < count; i++) {
        if (order[i] < worst && strcmp(tokens[order[i]], tokens[order[i - 1]]) == 0) {
            worst = order[i];
            first = order[i - 1];
        }
    }
    if (worst == INT32_MAX) return BERTH_OK;
    BERTH_FAIL(BERTH_E_FORMAT, "%s:%d: the token '%.60s' stands twice, first in line %d; expected each once", where,
               worst + 1, tokens[worst], first + 1);
}

static berth_status build_trie(struct berth_tokenizer *t, const char *where) {
    berth_status status = BERTH_OK;
    int32_t *order = NULL;
    BERTH_TRY_OUT(berth_calloc(&order, t->count, sizeof *order));
    for (size_t i = 0; i < t->count; i++)
        order[i] = (int32_t)i;
    qsort_r(order, t->count, sizeof *order, compare_tokens, t->tokens);
    BERTH_TRY_OUT(check_duplicates(t->tokens, order, t->count, where));
    BERTH_TRY_OUT(vocab_trie_build(&t->trie, t->tokens, order, t->count));
out:
    free(order);
    return status;
}

static berth_status find_specials(struct berth_tokenizer *t, const char *const *names, const char *where) {
    int leads = 0;
    for (int i = 0; i < SPECIAL_COUNT; i++) {
        const char *name = names != NULL && names[i] != NULL ? names[i] : special_default_names[i];
        BERTH_TRY(berth_arena_strndup(&t->arena, &t->special_names[i], name, strlen(name)));
        t->special_ids[i] = name[0] == '\0' ? -1 : berth_tokenizer_find(t, name);
        bool needed = i == SPECIAL_UNK || i == SPECIAL_CLS || i == SPECIAL_SEP;
        if (needed && t->special_ids[i] < 0)
            BERTH_FAIL(BERTH_E_FORMAT, "%s: no line '%s' among %zu; expected the special tokens %s, %s and %s",
                       where, name, t->count, special_default_names[SPECIAL_UNK],
                       special_default_names[SPECIAL_CLS], special_default_names[SPECIAL_SEP]);
        if (t->special_ids[i] < 0 || t->special_lead[(uint8_t)name[0]]) continue;
        t->special_lead[(uint8_t)name[0]] = true;
        t->single_lead = leads++ == 0 ? (uint8_t)name[0] : -1;
    }
    return BERTH_OK;
}

/* Of the algorithm: raise it whenever the same text and vocabulary may give other ids (or other word borders) than
 * before. Packed data and checkpoints know a tokenizer by its digest, so older ones are then not taken for new. */
#define TOKENIZER_VERSION 1

static berth_status make_digest(struct berth_tokenizer *t) {
    struct berth_hasher *hasher = NULL;
    BERTH_TRY(berth_hasher_create(&hasher));
    int32_t numbers[5 + SPECIAL_COUNT] = {TOKENIZER_VERSION, t->options.lowercase, t->strip, t->options.split_cjk,
                                          t->options.max_word_chars};
    memcpy(numbers + 5, t->special_ids, sizeof t->special_ids);
    berth_hasher_add(hasher, unicode_tables_source, strlen(unicode_tables_source) + 1);
    berth_hasher_add(hasher, numbers, sizeof numbers);
    for (size_t i = 0; i < t->count; i++)
        berth_hasher_add(hasher, t->tokens[i], strlen(t->tokens[i]) + 1);
    t->digest = berth_hasher_end(hasher);
    return BERTH_OK;
}

berth_status tokenizer_create(struct berth_tokenizer **out, struct berth_arena *arena, char **tokens,
                              size_t count, const char *const *special_names,
                              const struct berth_tokenizer_options *options, const char *where) {
    berth_status status = BERTH_OK;
    struct berth_tokenizer *t = NULL;
    BERTH_TRY_OUT(berth_calloc(&t, 1, sizeof *t));
    t->arena = *arena;
    berth_arena_init(arena);
    t->tokens = tokens;
    t->count = count;
    tokenizer_set_options(t, options);
    BERTH_TRY_OUT(build_trie(t, where));
    BERTH_TRY_OUT(find_specials(t, special_names, where));
    BERTH_TRY_OUT(make_digest(t));
    *out = t;
    t = NULL;
out:
    berth_tokenizer_free(t);
    berth_arena_deinit(arena);
    return status;
}

void berth_tokenizer_free(struct berth_tokenizer *t) {
    if (t == NULL) return;
    vocab_trie_deinit(&t->trie);
    berth_arena_deinit(&t->arena);
    free(t);
}

/* ------------------------------------------------------------------ questions */

size_t berth_tokenizer_size(const struct berth_tokenizer *t) {
    return t->count;
}

const char *berth_tokenizer_token(const struct berth_tokenizer *t, int32_t id) {
    return id < 0 || (size_t)id >= t->count ? NULL : t->tokens[id];
}

int32_t berth_tokenizer_find(const struct berth_tokenizer *t, const char *token) {
    int32_t node = 0;
    for (const char *p = token; *p != '\0' && node >= 0; p++)
        node = vocab_trie_step(&t->trie, node, (uint8_t)*p);
    return node < 0 ? -1 : t->trie.nodes[node].id;
}

struct berth_special_tokens berth_tokenizer_special(const struct berth_tokenizer *t) {
    return (struct berth_special_tokens){.pad = t->special_ids[SPECIAL_PAD],
                                         .unk = t->special_ids[SPECIAL_UNK],
                                         .cls = t->special_ids[SPECIAL_CLS],
                                         .sep = t->special_ids[SPECIAL_SEP],
                                         .mask = t->special_ids[SPECIAL_MASK]};
}

struct berth_tokenizer_options berth_tokenizer_get_options(const struct berth_tokenizer *t) {
    return t->options;
}

struct berth_hash128 berth_tokenizer_digest(const struct berth_tokenizer *t) {
    return t->digest;
}
