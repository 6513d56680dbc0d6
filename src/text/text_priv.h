/* text_priv.h: what the files of text share. Order of reading: tokenizer.c (loading), pretokenize.c (a text
 * into words), normalize.c (the slow way of a word that is not plain ASCII), wordpiece.c (a word into pieces). */
#ifndef BERTH_TEXT_PRIV_H
#define BERTH_TEXT_PRIV_H

#include "berth/text.h"

/* ------------------------------------------------------------------ vocab_trie.c */

/* Tokens as a double-array trie (Aoe, IEEE TSE 15(9), 1989): the child of node s by byte b is
 * n = nodes[s].base + b, and it is one where nodes[n].check == s. Node 0 is the root. */
struct trie_node {
    int32_t base;
    int32_t check; /* parent; -1: free */
    int32_t id;    /* of the token that ends here; -1: none */
};
struct vocab_trie {
    struct trie_node *nodes; /* [size], with 256 free ones at the end, so that no step leaves the array */
    size_t size;
    int32_t suffix_root; /* the node of the prefix given ("##"); -1: no token continues a word */
};
/* tokens[order[0..count)] ascend bytewise and are distinct; empty ones are left out. */
berth_status vocab_trie_build(struct vocab_trie *trie, char *const *tokens, const int32_t *order, size_t count,
                              const char *prefix) BERTH_CHECKED;
void vocab_trie_deinit(struct vocab_trie *trie);

static inline int32_t vocab_trie_step(const struct vocab_trie *trie, int32_t node, uint8_t byte) {
    int32_t next = trie->nodes[node].base + byte;
    return trie->nodes[next].check == node ? next : -1;
}

/* ------------------------------------------------------------------ added_tokens.c */

/* A token that is looked for in the text before words are cut: the special ones, and those added to a vocabulary
 * later. As in the reference: `normalized` ones are looked for in the normalised text (and are themselves normalised
 * for that), the others in the text as it stands, which comes first; at one place the longest is taken; `single_word`
 * does not stand beside \w; `lstrip`, `rstrip` take the white space before or behind along. */
struct added_token {
    const char *content;
    const char *pattern; /* what is looked for: the content, normalised where `normalized`; set by tokenizer_create */
    int32_t id;
    bool special, normalized, single_word, lstrip, rstrip;
};
struct added_set { /* those that are looked for in one of the two texts */
    struct vocab_trie trie; /* of patterns; its ids are indices of `tokens` */
    const struct added_token **tokens; /* [count] borrowed */
    size_t count;
    bool lead[256];  /* bytes that a pattern begins with */
    int single_lead; /* the one such byte, -1 when there are several */
};
struct added_match {
    const struct added_token *token;
    size_t start, stop; /* with the white space taken along */
};
/* patterns[count] belong to tokens[count]; of equal patterns the special token is taken, else the smaller id. */
berth_status added_set_build(struct added_set *set, const struct added_token *const *tokens, char *const *patterns,
                             size_t count) BERTH_CHECKED;
void added_set_deinit(struct added_set *set);
/* The next match at *scan or later, of which text before `from` is taken already; false: none. *scan moves on. */
bool added_next(const struct added_set *set, const char *text, size_t size, size_t from, size_t *scan,
                struct added_match *match);

/* ------------------------------------------------------------------ tokenizer */

enum special_name { SPECIAL_PAD, SPECIAL_UNK, SPECIAL_CLS, SPECIAL_SEP, SPECIAL_MASK, SPECIAL_COUNT };
extern const char *const special_default_names[SPECIAL_COUNT];
extern const char *const special_config_keys[SPECIAL_COUNT];

/* What files say about a tokenizer, gathered. All texts lie in the arena. */
struct tokenizer_parts {
    struct berth_arena arena;
    struct berth_tokenizer_options options;
    char **tokens; /* [count] the model's vocabulary by id; owned */
    size_t count, capacity;
    const char *special_names[SPECIAL_COUNT]; /* NULL: the default's */
    struct added_token *added; /* [added_count] owned; ids are checked by tokenizer_create */
    size_t added_count, added_capacity;
    const char *prefix; /* of pieces that continue a word; NULL: "##" */
    bool plain_decoding; /* tokens with spaces between, nothing more */
    bool keep_spaces;    /* decoding leaves the space before . , ? ! */
};
void tokenizer_parts_init(struct tokenizer_parts *p);
void tokenizer_parts_deinit(struct tokenizer_parts *p);
berth_status tokenizer_parts_add_token(struct tokenizer_parts *p, const char *text, size_t size) BERTH_CHECKED;
/* The entry of this content, NULL when there is none. */
struct added_token *tokenizer_parts_find_added(const struct tokenizer_parts *p, const char *content);
/* Copies the content. */
berth_status tokenizer_parts_add_added(struct tokenizer_parts *p, const struct added_token *token) BERTH_CHECKED;

/* tokenizer_json.c: the text of a tokenizer.json; what berth does not do is BERTH_E_UNSUPPORTED. */
berth_status tokenizer_json_read(struct tokenizer_parts *p, const char *name, const char *text,
                                 size_t size) BERTH_CHECKED;
/* tokenizer_config.c: tokenizer_config.json, special_tokens_map.json, added_tokens.json of a folder, each where it is
 * there. has_json: a tokenizer.json has been read, so the last two do not count. */
berth_status tokenizer_config_read(struct tokenizer_parts *p, const char *folder, bool has_json) BERTH_CHECKED;

enum byte_class { BYTE_WORD, BYTE_SPACE, BYTE_PUNCT, BYTE_OTHER /* removed, or not ASCII */ };

struct berth_tokenizer {
    struct berth_tokenizer_options options;
    bool strip; /* strip_accents resolved */
    char **tokens; /* [count] owned, in the arena: the model's vocabulary, then tokens that were only added */
    size_t count, vocab_count;
    struct berth_arena arena;
    struct vocab_trie trie; /* of the model's vocabulary */
    char *prefix;           /* "##" */
    bool plain_decoding, keep_spaces;
    char *special_names[SPECIAL_COUNT]; /* in the arena */
    int32_t special_ids[SPECIAL_COUNT]; /* -1: not in the vocabulary */
    struct added_token *added; /* [added_count] by id, in the arena */
    size_t added_count;
    struct added_set raw_added, normalized_added;
    uint8_t byte_class[256];
    uint8_t fold[256]; /* ASCII lower-case where options.lowercase, else the byte itself */
    struct berth_hash128 digest;
};

/* The entry of an added token by id; NULL: none. */
const struct added_token *tokenizer_added_of(const struct berth_tokenizer *t, int32_t id);
/* Builds everything from the parts, whose arena moves into the tokenizer. `where` names the source in messages. */
berth_status tokenizer_create(struct berth_tokenizer **out, struct tokenizer_parts *parts,
                              const char *where) BERTH_CHECKED;

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

/* ------------------------------------------------------------------ truncate.c */

struct text_span {
    size_t first, last; /* pieces [first, last) */
};
struct text_spans { /* windows of one text; list[0] is what cutting alone keeps */
    struct text_span *list;
    size_t count, capacity;
};
/* How many pieces of each text stay when both have `room`; pair NULL: one text. BERTH_E_FORMAT when the
 * strategy cannot make them fit. */
berth_status truncate_lengths(size_t *text, size_t *pair, size_t room,
                              enum berth_truncation truncation) BERTH_CHECKED;
/* The windows of `kept` of `length` pieces. */
berth_status truncate_windows(struct text_spans *out, size_t length, size_t kept,
                              const struct berth_encode_options *o) BERTH_CHECKED;

/* ------------------------------------------------------------------ pretokenize.c */

/* The whole text normalised, as UTF-8 into `out`. */
berth_status pretokenize_normalized(const struct berth_tokenizer *t, struct berth_encoding *scratch_owner,
                                    const char *text, size_t size, struct berth_str *out) BERTH_CHECKED;

/* Words of a normalised text for counting: as encode, but each word is given in UTF-8 before it is cut. */
typedef berth_status text_word_fn(void *user, const char *word, size_t size);
berth_status pretokenize_words(const struct berth_tokenizer *t, struct berth_encoding *scratch_owner,
                               const char *text, size_t size, text_word_fn *fn, void *user) BERTH_CHECKED;

/* ------------------------------------------------------------------ tokenizer.c */

/* Byte tables and defaults from options: enough for pretokenize_words, without a vocabulary. */
void tokenizer_set_options(struct berth_tokenizer *t, const struct berth_tokenizer_options *options);
struct berth_tokenizer_options tokenizer_default_options(void);

#endif /* BERTH_TEXT_PRIV_H */
