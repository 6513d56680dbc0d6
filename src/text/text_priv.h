/* text_priv.h: what the files of text share. Order of reading: tokenizer.c (loading), pretokenize.c (a text
 * into words), normalize.c (the slow way of a word that is not plain ASCII), wordpiece.c (a word into pieces). */
#ifndef BERTH_TEXT_PRIV_H
#define BERTH_TEXT_PRIV_H

#include "berth/text.h"

/* ------------------------------------------------------------------ vocab_trie.c */

/* All tokens as a double-array trie (Aoe, IEEE TSE 15(9), 1989): the child of node s by byte b is
 * n = nodes[s].base + b, and it is one where nodes[n].check == s. Node 0 is the root. */
struct trie_node {
    int32_t base;
    int32_t check; /* parent; -1: free */
    int32_t id;    /* of the token that ends here; -1: none */
};
struct vocab_trie {
    struct trie_node *nodes; /* [size], with 256 free ones at the end, so that no step leaves the array */
    size_t size;
    int32_t suffix_root; /* the node of "##"; -1: no token continues a word */
};
/* tokens[order[0..count)] ascend bytewise and are distinct; empty ones are left out. */
berth_status vocab_trie_build(struct vocab_trie *trie, char *const *tokens, const int32_t *order,
                              size_t count) BERTH_CHECKED;
void vocab_trie_deinit(struct vocab_trie *trie);

static inline int32_t vocab_trie_step(const struct vocab_trie *trie, int32_t node, uint8_t byte) {
    int32_t next = trie->nodes[node].base + byte;
    return trie->nodes[next].check == node ? next : -1;
}

/* ------------------------------------------------------------------ tokenizer */

enum special_name { SPECIAL_PAD, SPECIAL_UNK, SPECIAL_CLS, SPECIAL_SEP, SPECIAL_MASK, SPECIAL_COUNT };
extern const char *const special_default_names[SPECIAL_COUNT];
extern const char *const special_config_keys[SPECIAL_COUNT];

enum byte_class { BYTE_WORD, BYTE_SPACE, BYTE_PUNCT, BYTE_OTHER /* removed, or not ASCII */ };

struct berth_tokenizer {
    struct berth_tokenizer_options options;
    bool strip; /* strip_accents resolved */
    char **tokens; /* [count] owned, in the arena */
    size_t count;
    struct berth_arena arena;
    struct vocab_trie trie;
    char *special_names[SPECIAL_COUNT]; /* in the arena */
    int32_t special_ids[SPECIAL_COUNT]; /* -1: not in the vocabulary */
    uint8_t byte_class[256];
    uint8_t fold[256]; /* ASCII lower-case where options.lowercase, else the byte itself */
    bool special_lead[256]; /* bytes that a special token begins with */
    int single_lead;        /* the one such byte, -1 when there are several */
    struct berth_hash128 digest;
};

/* Which special token stands at text[at]: the longest; SPECIAL_COUNT: none. */
enum special_name tokenizer_special_at(const struct berth_tokenizer *t, const char *text, size_t size,
                                       size_t at, size_t *length);
/* Takes tokens (pointers into the arena given, moved into the tokenizer) and builds everything from them.
 * `where` names the source in messages. On failure the arena is released too. */
berth_status tokenizer_create(struct berth_tokenizer **out, struct berth_arena *arena, char **tokens,
                              size_t count, const char *const *special_names,
                              const struct berth_tokenizer_options *options, const char *where) BERTH_CHECKED;

/* ------------------------------------------------------------------ normalize.c */

struct text_char {
    uint32_t code;
    int32_t start, end; /* bytes of the text it came from */
    uint8_t combining_class;
    bool joined; /* a later character of a decomposition: shares the place of the one before */
};

struct berth_text_scratch {
    struct text_char *chars;
    size_t count, capacity;
    struct text_char *sorted;
    size_t sorted_capacity;
    char *bytes;         /* one word in UTF-8 */
    int32_t *byte_start; /* where each of its bytes came from */
    int32_t *byte_end;
    size_t bytes_capacity, start_capacity, end_capacity;
};
berth_status scratch_get(struct berth_encoding *e) BERTH_CHECKED;
void scratch_free(struct berth_text_scratch *scratch);

/* text[from, to) cleaned, CJK characters apart, accents stripped where asked: scratch->chars. Not yet lower-cased
 * (lower-casing makes no space and no punctuation, so it can wait until the words are written). The part must
 * begin and end at white space, ASCII punctuation or an end of the text: nothing moves across these. */
berth_status normalize_part(const struct berth_tokenizer *t, struct berth_text_scratch *scratch,
                            const char *text, size_t from, size_t to) BERTH_CHECKED;

/* ------------------------------------------------------------------ wordpiece.c, encoding.c */

/* Makes room for `more` further pieces. */
berth_status encoding_reserve(struct berth_encoding *e, size_t more) BERTH_CHECKED;
static inline void encoding_push(struct berth_encoding *e, int32_t id, int32_t start, int32_t end, int32_t word) {
    e->ids[e->count] = id;
    e->start[e->count] = start;
    e->end[e->count] = end;
    e->word[e->count] = word;
    e->count++;
}
/* Greedy longest-match pieces of a normalised word (fold is applied to its bytes), or [UNK]; offsets are bytes of
 * the word plus `at`. Room for `size` pieces must have been reserved (1 for an empty one). */
void wordpiece_append(const struct berth_tokenizer *t, struct berth_encoding *e, const char *word, size_t size,
                      const uint8_t *fold, int32_t at, int32_t word_index);

/* ------------------------------------------------------------------ pretokenize.c */

/* Words of a normalised text for counting: as encode, but each word is given in UTF-8 before it is cut. */
typedef berth_status text_word_fn(void *user, const char *word, size_t size);
berth_status pretokenize_words(const struct berth_tokenizer *t, struct berth_encoding *scratch_owner,
                               const char *text, size_t size, text_word_fn *fn, void *user) BERTH_CHECKED;

/* ------------------------------------------------------------------ tokenizer.c */

/* Byte tables and defaults from options: enough for pretokenize_words, without a vocabulary. */
void tokenizer_set_options(struct berth_tokenizer *t, const struct berth_tokenizer_options *options);
struct berth_tokenizer_options tokenizer_default_options(void);

#endif /* BERTH_TEXT_PRIV_H */
