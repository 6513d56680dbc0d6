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

/* ------------------------------------------------------------------ parts */

void tokenizer_parts_init(struct tokenizer_parts *p) {
    *p = (struct tokenizer_parts){.options = tokenizer_default_options()};
    berth_arena_init(&p->arena);
}

void tokenizer_parts_deinit(struct tokenizer_parts *p) {
    free(p->tokens);
    free(p->added);
    berth_arena_deinit(&p->arena);
    *p = (struct tokenizer_parts){0};
}

berth_status tokenizer_parts_add_token(struct tokenizer_parts *p, const char *text, size_t size) {
    BERTH_TRY(berth_grow(&p->tokens, &p->capacity, p->count + 1, sizeof *p->tokens));
    BERTH_TRY(berth_arena_strndup(&p->arena, &p->tokens[p->count], text, size));
    p->count++;
    return BERTH_OK;
}

struct added_token *tokenizer_parts_find_added(const struct tokenizer_parts *p, const char *content) {
    for (size_t i = 0; i < p->added_count; i++)
        if (strcmp(p->added[i].content, content) == 0) return &p->added[i];
    return NULL;
}

berth_status tokenizer_parts_add_added(struct tokenizer_parts *p, const struct added_token *token) {
    char *content = NULL;
    BERTH_TRY(berth_grow(&p->added, &p->added_capacity, p->added_count + 1, sizeof *p->added));
    BERTH_TRY(berth_arena_strndup(&p->arena, &content, token->content, strlen(token->content)));
    p->added[p->added_count] = *token;
    p->added[p->added_count++].content = content;
    return BERTH_OK;
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
    BERTH_FAIL(BERTH_E_FORMAT, "%s:%d: the token '%.60s' stands twice, first in line %d; expected each once",
               where, worst + 1, tokens[worst], first + 1);
}

static berth_status build_trie(struct berth_tokenizer *t, const char *where) {
    berth_status status = BERTH_OK;
    int32_t *order = NULL;
    BERTH_TRY_OUT(berth_calloc(&order, t->vocab_count, sizeof *order));
    for (size_t i = 0; i < t->vocab_count; i++)
        order[i] = (int32_t)i;
    qsort_r(order, t->vocab_count, sizeof *order, compare_tokens, t->tokens);
    BERTH_TRY_OUT(check_duplicates(t->tokens, order, t->vocab_count, where));
    BERTH_TRY_OUT(vocab_trie_build(&t->trie, t->tokens, order, t->vocab_count, t->prefix));
out:
    free(order);
    return status;
}

static berth_status find_specials(struct berth_tokenizer *t, const struct tokenizer_parts *p,
                                  const char *where) {
    for (int i = 0; i < SPECIAL_COUNT; i++) {
        const char *name = p->special_names[i] != NULL ? p->special_names[i] : special_default_names[i];
        BERTH_TRY(berth_arena_strndup(&t->arena, &t->special_names[i], name, strlen(name)));
        t->special_ids[i] = name[0] == '\0' ? -1 : berth_tokenizer_find(t, name);
        bool needed = i == SPECIAL_UNK || i == SPECIAL_CLS || i == SPECIAL_SEP;
        if (needed && t->special_ids[i] < 0)
            BERTH_FAIL(BERTH_E_FORMAT, "%s: no line '%s' among %zu; expected the special tokens %s, %s and %s",
                       where, name, t->count, special_default_names[SPECIAL_UNK],
                       special_default_names[SPECIAL_CLS], special_default_names[SPECIAL_SEP]);
    }
    return BERTH_OK;
}

/* Of the algorithm: raise it whenever the same text and vocabulary may give other ids (or other word borders)
 * than before. Packed data and checkpoints know a tokenizer by its digest, so older ones are then not taken for
 * new. */
#define TOKENIZER_VERSION 1

/* A token as it is when nothing is said of it: special, kept whole wherever it stands. */
static bool is_plain_special(const struct berth_tokenizer *t, const struct added_token *a) {
    bool named = false;
    for (int i = 0; i < SPECIAL_COUNT; i++)
        named |= t->special_ids[i] == a->id;
    return named && a->special && !a->normalized && !a->single_word && !a->lstrip && !a->rstrip;
}

static berth_status make_digest(struct berth_tokenizer *t) {
    struct berth_hasher *hasher = NULL;
    BERTH_TRY(berth_hasher_create(&hasher));
    int32_t numbers[5 + SPECIAL_COUNT] = {TOKENIZER_VERSION, t->options.lowercase, t->strip,
                                          t->options.split_cjk, t->options.max_word_chars};
    memcpy(numbers + 5, t->special_ids, sizeof t->special_ids);
    berth_hasher_add(hasher, unicode_tables_source, strlen(unicode_tables_source) + 1);
    berth_hasher_add(hasher, numbers, sizeof numbers);
    for (size_t i = 0; i < t->count; i++)
        berth_hasher_add(hasher, t->tokens[i], strlen(t->tokens[i]) + 1);
    if (strcmp(t->prefix, "##") != 0) berth_hasher_add(hasher, t->prefix, strlen(t->prefix) + 1);
    for (size_t i = 0; i < t->added_count; i++) {
        const struct added_token *a = &t->added[i];
        int32_t flags[] = {a->id, a->special, a->normalized, a->single_word, a->lstrip, a->rstrip};
        if (!is_plain_special(t, a)) berth_hasher_add(hasher, flags, sizeof flags);
    }
    t->digest = berth_hasher_end(hasher);
    return BERTH_OK;
}

static int by_id(const void *a, const void *b) {
    const struct added_token *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* Gives ids to added tokens, and checks those that files gave: a token of the vocabulary has its id there, the
 * others follow behind without a gap. */
static berth_status number_added(struct tokenizer_parts *p, const struct berth_tokenizer *vocabulary,
                                 const char *where) {
    int32_t next = (int32_t)p->count;
    for (size_t i = 0; i < p->added_count; i++) {
        struct added_token *a = &p->added[i];
        int32_t known = berth_tokenizer_find(vocabulary, a->content);
        if (known >= 0 && a->id >= 0 && a->id != known)
            BERTH_FAIL(BERTH_E_FORMAT, "%s: the added token '%.60s' has id %d, but %d in the vocabulary", where,
                       a->content, a->id, known);
        if (known >= 0) a->id = known;
        if (a->id >= next) next = a->id + 1;
    }
    for (size_t i = 0; i < p->added_count; i++)
        if (p->added[i].id < 0) p->added[i].id = next++;
    if (p->added_count > 0) qsort(p->added, p->added_count, sizeof *p->added, by_id);
    for (size_t i = 0, expected = p->count; i < p->added_count; i++) {
        const struct added_token *a = &p->added[i];
        bool inside = (size_t)a->id < p->count && strcmp(p->tokens[a->id], a->content) == 0;
        if (inside && (i == 0 || a->id != a[-1].id)) continue;
        if ((size_t)a->id != expected++)
            BERTH_FAIL(BERTH_E_FORMAT, "%s: the added token '%.60s' has id %d; expected %zu, the next one free",
                       where, a->content, a->id, expected - 1);
    }
    return BERTH_OK;
}

/* The patterns of one of the two sets. */
static berth_status build_set(struct berth_tokenizer *t, struct added_set *set, bool normalized,
                              const char *where) {
    berth_status status = BERTH_OK;
    const struct added_token **tokens = NULL;
    char **patterns = NULL;
    size_t count = 0;
    struct berth_encoding work;
    struct berth_str text;
    berth_encoding_init(&work);
    berth_str_init(&text);
    BERTH_TRY_OUT(berth_calloc(&tokens, t->added_count, sizeof *tokens));
    BERTH_TRY_OUT(berth_calloc(&patterns, t->added_count, sizeof *patterns));
    for (size_t i = 0; i < t->added_count; i++) {
        struct added_token *a = &t->added[i];
        if (a->normalized != normalized) continue;
        berth_str_reset(&text);
        berth_str_add(&text, a->content);
        if (normalized) {
            berth_str_reset(&text);
            BERTH_TRY_OUT(pretokenize_normalized(t, &work, a->content, strlen(a->content), &text));
        }
        if (text.failed) BERTH_FAIL_OUT(BERTH_E_MEMORY, "%s: out of memory", where);
        if (text.length == 0)
            BERTH_FAIL_OUT(BERTH_E_FORMAT,
                           "%s: the added token '%.60s' (id %d) is nothing once it is normalised", where,
                           a->content, a->id);
        tokens[count] = a;
        BERTH_TRY_OUT(berth_arena_strndup(&t->arena, &patterns[count], text.data, text.length));
        a->pattern = patterns[count++];
    }
    BERTH_TRY_OUT(added_set_build(set, tokens, patterns, count));
out:
    free(tokens);
    free(patterns);
    berth_str_deinit(&text);
    berth_encoding_deinit(&work);
    return status;
}

/* A named special token that neither the vocabulary nor a list of added tokens has is not made up: the
 * vocabulary lacks it (find_specials says so where it is needed). */
static void drop_missing(struct tokenizer_parts *p, const struct berth_tokenizer *vocabulary) {
    size_t kept = 0;
    for (size_t i = 0; i < p->added_count; i++) {
        bool named = false;
        for (int k = 0; k < SPECIAL_COUNT; k++)
            named |= p->special_names[k] != NULL && strcmp(p->special_names[k], p->added[i].content) == 0;
        if (named && p->added[i].id < 0 && berth_tokenizer_find(vocabulary, p->added[i].content) < 0) continue;
        p->added[kept++] = p->added[i];
    }
    p->added_count = kept;
}

/* All tokens by id, and the added ones, into the tokenizer's arena. */
static berth_status take_added(struct berth_tokenizer *t, struct tokenizer_parts *p, const char *where) {
    for (int i = 0; i < SPECIAL_COUNT; i++) { /* special tokens are kept whole even when no file says so */
        const char *name = p->special_names[i] != NULL ? p->special_names[i] : special_default_names[i];
        struct added_token token = {.content = name, .id = -1, .special = true};
        if (tokenizer_parts_find_added(p, name) != NULL || berth_tokenizer_find(t, name) < 0) continue;
        BERTH_TRY(tokenizer_parts_add_added(p, &token));
    }
    drop_missing(p, t);
    BERTH_TRY(number_added(p, t, where));
    size_t count = p->count;
    for (size_t i = 0; i < p->added_count; i++)
        if ((size_t)p->added[i].id >= count) count = (size_t)p->added[i].id + 1;
    char **tokens = NULL;
    BERTH_TRY(berth_arena_alloc(&p->arena, &tokens, count, sizeof *tokens));
    memcpy(tokens, p->tokens, p->count * sizeof *tokens);
    for (size_t i = 0; i < p->added_count; i++)
        if ((size_t)p->added[i].id >= p->count)
            BERTH_TRY(berth_arena_strndup(&p->arena, &tokens[p->added[i].id], p->added[i].content,
                                          strlen(p->added[i].content)));
    BERTH_TRY(berth_arena_alloc(&p->arena, &t->added, p->added_count, sizeof *t->added));
    if (p->added_count > 0) memcpy(t->added, p->added, p->added_count * sizeof *t->added);
    t->added_count = p->added_count;
    t->tokens = tokens;
    t->count = count;
    return BERTH_OK;
}

berth_status tokenizer_create(struct berth_tokenizer **out, struct tokenizer_parts *p, const char *where) {
    berth_status status = BERTH_OK;
    struct berth_tokenizer *t = NULL;
    if (p->count == 0 || p->count > INT32_MAX / 2)
        BERTH_FAIL_OUT(BERTH_E_FORMAT, "%s: %zu tokens, expected 1 to 2^30", where, p->count);
    BERTH_TRY_OUT(berth_calloc(&t, 1, sizeof *t));
    t->tokens = p->tokens; /* for the while */
    t->count = t->vocab_count = p->count;
    const char *prefix = p->prefix != NULL ? p->prefix : "##";
    BERTH_TRY_OUT(berth_arena_strndup(&p->arena, &t->prefix, prefix, strlen(prefix)));
    t->plain_decoding = p->plain_decoding;
    t->keep_spaces = p->keep_spaces;
    tokenizer_set_options(t, &p->options);
    BERTH_TRY_OUT(build_trie(t, where));
    BERTH_TRY_OUT(take_added(t, p, where));
    t->arena = p->arena;
    berth_arena_init(&p->arena);
    BERTH_TRY_OUT(find_specials(t, p, where));
    BERTH_TRY_OUT(build_set(t, &t->raw_added, false, where));
    BERTH_TRY_OUT(build_set(t, &t->normalized_added, true, where));
    BERTH_TRY_OUT(make_digest(t));
    *out = t;
    t = NULL;
out:
    berth_tokenizer_free(t);
    return status;
}

void berth_tokenizer_free(struct berth_tokenizer *t) {
    if (t == NULL) return;
    vocab_trie_deinit(&t->trie);
    added_set_deinit(&t->raw_added);
    added_set_deinit(&t->normalized_added);
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
    if (node >= 0 && t->trie.nodes[node].id >= 0) return t->trie.nodes[node].id;
    for (size_t id = t->vocab_count; id < t->count; id++)
        if (strcmp(t->tokens[id], token) == 0) return (int32_t)id;
    return -1;
}

const struct added_token *tokenizer_added_of(const struct berth_tokenizer *t, int32_t id) {
    size_t low = 0, high = t->added_count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (t->added[mid].id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low < t->added_count && t->added[low].id == id ? &t->added[low] : NULL;
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
