/* wordpiece.c: a word into the longest pieces of the vocabulary, from left to right.
 *
 * From each position the trie is walked as far as it goes and the last token seen on the way is taken; later
 * pieces are looked up from the node of "##". A word that cannot be cut to its end, or of more characters than
 * the limit, is [UNK] as a whole. Both text and tokens are valid UTF-8, so pieces end at characters. */
#include "text/text_priv.h"

static size_t count_chars(const char *word, size_t size) {
    size_t chars = 0;
    for (size_t i = 0; i < size; i++)
        chars += ((uint8_t)word[i] & 0xC0) != 0x80;
    return chars;
}

/* The longest token at word[from..), from `node`: its id (-1: none) and where it ends. */
static inline int32_t longest(const struct vocab_trie *trie, int32_t node, const char *word, size_t from,
                              size_t size, const uint8_t *fold, size_t *end) {
    const struct trie_node *nodes = trie->nodes;
    int32_t best = -1;
    for (size_t i = from; i < size; i++) {
        int32_t next = nodes[node].base + fold[(uint8_t)word[i]];
        if (nodes[next].check != node) break;
        node = next;
        if (nodes[node].id >= 0) {
            best = nodes[node].id;
            *end = i + 1;
        }
    }
    return best;
}

void wordpiece_append(const struct berth_tokenizer *t, struct berth_encoding *e, const char *word, size_t size,
                      const uint8_t *fold, int32_t at, int32_t word_index) {
    size_t first = e->count;
    size_t limit = (size_t)t->options.max_word_chars;
    bool whole = size <= limit || count_chars(word, size) <= limit;
    int32_t node = 0;
    for (size_t from = 0; whole && from < size;) {
        size_t end = from;
        int32_t id = node < 0 ? -1 : longest(&t->trie, node, word, from, size, fold, &end);
        if (id < 0) {
            whole = false;
            break;
        }
        encoding_push(e, id, at + (int32_t)from, at + (int32_t)end, word_index);
        from = end;
        node = t->trie.suffix_root;
    }
    if (!whole) {
        e->count = first;
        encoding_push(e, t->special_ids[SPECIAL_UNK], at, at + (int32_t)size, word_index);
    }
}
