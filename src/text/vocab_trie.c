/* vocab_trie.c: building the double-array trie of a vocabulary.
 *
 * Nodes are placed in the order of a depth-first walk over the sorted tokens: the tokens of one node are a
 * range [low, high) that share the first `depth` bytes. For a node with children bytes c1..ck the first base is
 * taken for which all base + ci are free. Searching begins at the first free place, and moves on for good when
 * nearly all places behind it are taken, so that building stays near linear. */
#include <stdlib.h>
#include <string.h>

#include "text/text_priv.h"

struct builder {
    struct trie_node *nodes;
    size_t capacity;
    size_t used; /* places below this may be taken */
    size_t first_free;
    char *const *tokens;
    const int32_t *order;
};

struct range {
    int32_t node;
    size_t low, high, depth;
};

static berth_status make_room(struct builder *b, size_t needed) {
    if (needed <= b->capacity) return BERTH_OK;
    size_t capacity = b->capacity < 1024 ? 1024 : b->capacity * 2;
    if (capacity < needed) capacity = needed;
    if (capacity > INT32_MAX - 512) BERTH_FAIL(BERTH_E_FORMAT, "a vocabulary of more than 2^31 bytes");
    BERTH_TRY(berth_realloc(&b->nodes, capacity, sizeof *b->nodes));
    for (size_t i = b->capacity; i < capacity; i++)
        b->nodes[i] = (struct trie_node){.base = 0, .check = -1, .id = -1};
    b->capacity = capacity;
    return BERTH_OK;
}

/* The distinct bytes at `depth` of the range's tokens, ascending; tokens that end there come first and are
 * skipped by the caller. */
static size_t child_bytes(const struct builder *b, const struct range *r, uint8_t bytes[256]) {
    size_t count = 0;
    for (size_t i = r->low; i < r->high; i++) {
        uint8_t byte = (uint8_t)b->tokens[b->order[i]][r->depth];
        if (count == 0 || bytes[count - 1] != byte) bytes[count++] = byte;
    }
    return count;
}

static berth_status find_base(struct builder *b, const uint8_t *bytes, size_t count, int32_t *out) {
    size_t taken = 0, tried = 0;
    size_t place = b->first_free > bytes[0] ? b->first_free : (size_t)bytes[0] + 1;
    for (;; place++) {
        BERTH_TRY(make_room(b, place + 512));
        tried++;
        if (b->nodes[place].check >= 0) {
            taken++;
            continue;
        }
        size_t base = place - bytes[0];
        size_t i = 1;
        while (i < count && b->nodes[base + bytes[i]].check < 0)
            i++;
        if (i == count) {
            if (taken * 20 >= tried * 19) b->first_free = place;
            *out = (int32_t)base;
            return BERTH_OK;
        }
    }
}

static berth_status place_children(struct builder *b, struct range **stack, size_t *capacity, size_t *depth) {
    struct range r = (*stack)[--*depth];
    while (r.low < r.high && b->tokens[b->order[r.low]][r.depth] == '\0') {
        b->nodes[r.node].id = b->order[r.low];
        r.low++;
    }
    if (r.low == r.high) return BERTH_OK;
    uint8_t bytes[256];
    size_t count = child_bytes(b, &r, bytes);
    int32_t base = 0;
    BERTH_TRY(find_base(b, bytes, count, &base));
    b->nodes[r.node].base = base;
    BERTH_TRY(berth_grow(stack, capacity, *depth + count, sizeof **stack));
    size_t low = r.low;
    for (size_t i = 0; i < count; i++) {
        int32_t child = base + bytes[i];
        b->nodes[child].check = r.node;
        if ((size_t)child >= b->used) b->used = (size_t)child + 1;
        size_t high = low;
        while (high < r.high && (uint8_t)b->tokens[b->order[high]][r.depth] == bytes[i])
            high++;
        (*stack)[(*depth)++] = (struct range){child, low, high, r.depth + 1};
        low = high;
    }
    return BERTH_OK;
}

berth_status vocab_trie_build(struct vocab_trie *trie, char *const *tokens, const int32_t *order, size_t count,
                              const char *prefix) {
    berth_status status = BERTH_OK;
    struct builder b = {.tokens = tokens, .order = order, .used = 1, .first_free = 1};
    struct range *stack = NULL;
    size_t capacity = 0, depth = 0, low = 0;
    while (low < count && tokens[order[low]][0] == '\0')
        low++;
    BERTH_TRY_OUT(make_room(&b, 1024));
    b.nodes[0].check = INT32_MAX; /* taken, and nobody's child */
    BERTH_TRY_OUT(berth_grow(&stack, &capacity, 1, sizeof *stack));
    stack[depth++] = (struct range){0, low, count, 0};
    while (depth > 0)
        BERTH_TRY_OUT(place_children(&b, &stack, &capacity, &depth));
    BERTH_TRY_OUT(make_room(&b, b.used + 512));
    trie->nodes = b.nodes;
    trie->size = b.used + 512;
    b.nodes = NULL;
    trie->suffix_root = 0;
    for (const char *p = prefix; *p != '\0' && trie->suffix_root >= 0; p++)
        trie->suffix_root = vocab_trie_step(trie, trie->suffix_root, (uint8_t)*p);
out:
    free(stack);
    free(b.nodes);
    return status;
}

void vocab_trie_deinit(struct vocab_trie *trie) {
    free(trie->nodes);
    *trie = (struct vocab_trie){0};
}
