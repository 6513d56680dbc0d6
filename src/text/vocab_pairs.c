/* vocab_pairs.c: pairs of neighbouring symbols.
 *
 * A hash table finds a pair by its symbols, a heap holds pairs by count. An entry of the heap whose count is no
 * longer true is put back with the true one when it comes up (counts mostly fall). Equal counts: the pair whose
 * first, then second piece comes earlier bytewise, so the order depends on nothing but the text.
 *
 * The words of a pair are a chain of chunks in one array of 16-byte units; chunks that are done with are used
 * again by pairs that need the same size.
 *
 *     chunk of class k:  head | 2^k units of 4 words each        classes 0, 1, 2 ... as the pair's list grows
 */
#include <string.h>

#include "text/vocab_priv.h"

enum { CHUNK_CLASSES = 10, UNIT_WORDS = 4 };

struct chunk_head {
    int64_t next; /* unit of the next chunk, -1: none */
    int32_t used; /* words */
    int32_t class;
};
_Static_assert(sizeof(struct chunk_head) == UNIT_WORDS * sizeof(int32_t), "a head is a unit");
_Static_assert(CHUNK_CLASSES <= sizeof((struct vocab_pairs *)0)->free_chunks / sizeof(int64_t),
               "a list a class");

struct heap_entry {
    int64_t count;
    int32_t pair;
};

void vocab_pairs_init(struct vocab_pairs *p, struct vocab_memory *memory, const struct text_map *symbols) {
    *p = (struct vocab_pairs){.memory = memory, .symbols = symbols};
    vocab_array_init(&p->pairs, sizeof(struct vocab_pair));
    vocab_array_init(&p->slots, sizeof(int32_t));
    vocab_array_init(&p->chunks, sizeof(struct chunk_head));
    vocab_array_init(&p->heap, sizeof(struct heap_entry));
    vocab_array_init(&p->raised, sizeof(int32_t));
    for (int k = 0; k < CHUNK_CLASSES; k++)
        p->free_chunks[k] = -1;
}

void vocab_pairs_deinit(struct vocab_pairs *p) {
    vocab_array_deinit(p->memory, &p->pairs);
    vocab_array_deinit(p->memory, &p->slots);
    vocab_array_deinit(p->memory, &p->chunks);
    vocab_array_deinit(p->memory, &p->heap);
    vocab_array_deinit(p->memory, &p->raised);
}

/* ------------------------------------------------------------------ lists of words */

static struct chunk_head *head_of(const struct vocab_pairs *p, int64_t chunk) {
    return (struct chunk_head *)p->chunks.data + chunk;
}

static int32_t *words_of(const struct vocab_pairs *p, int64_t chunk) {
    return (int32_t *)(void *)(head_of(p, chunk) + 1);
}

static berth_status chunk_make(struct vocab_pairs *p, int32_t class, int64_t *out) {
    if (p->free_chunks[class] >= 0) {
        *out = p->free_chunks[class];
        p->free_chunks[class] = head_of(p, *out)->next;
    } else {
        size_t units = 1 + ((size_t)1 << class);
        BERTH_TRY(vocab_array_grow(p->memory, &p->chunks, p->chunk_used + units));
        *out = (int64_t)p->chunk_used;
        p->chunk_used += units;
    }
    *head_of(p, *out) = (struct chunk_head){.next = -1, .class = class};
    return BERTH_OK;
}

static berth_status add_word(struct vocab_pairs *p, int32_t index, int32_t word) {
    int64_t last = vocab_pair_of(p, index)->last_chunk;
    struct chunk_head *head = last >= 0 ? head_of(p, last) : NULL;
    if (head != NULL && words_of(p, last)[head->used - 1] == word) return BERTH_OK; /* again in the same word */
    if (head == NULL || head->used == UNIT_WORDS << head->class) {
        int32_t class = head == NULL ? 0 : head->class < CHUNK_CLASSES - 1 ? head->class + 1 : head->class;
        int64_t made = 0;
        BERTH_TRY(chunk_make(p, class, &made));
        struct vocab_pair *pair = vocab_pair_of(p, index);
        if (last >= 0)
            head_of(p, last)->next = made;
        else
            pair->first_chunk = made;
        pair->last_chunk = last = made;
    }
    words_of(p, last)[head_of(p, last)->used++] = word;
    return BERTH_OK;
}

int64_t vocab_pair_take_words(struct vocab_pairs *p, int32_t index) {
    struct vocab_pair *pair = vocab_pair_of(p, index);
    int64_t first = pair->first_chunk;
    pair->first_chunk = pair->last_chunk = -1;
    return first;
}

int32_t vocab_chunk_count(const struct vocab_pairs *p, int64_t chunk) {
    return head_of(p, chunk)->used;
}

int32_t vocab_chunk_word(const struct vocab_pairs *p, int64_t chunk, int32_t at) {
    return words_of(p, chunk)[at];
}

int64_t vocab_chunk_free(struct vocab_pairs *p, int64_t chunk) {
    struct chunk_head *head = head_of(p, chunk);
    int64_t next = head->next;
    head->next = p->free_chunks[head->class];
    p->free_chunks[head->class] = chunk;
    return next;
}

/* ------------------------------------------------------------------ pairs */

static size_t hash_of(int32_t left, int32_t right) {
    uint64_t x = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    x = (x ^ x >> 31) * 0x9E3779B97F4A7C15u;
    return (size_t)(x ^ x >> 29);
}

/* Where the pair is in the slots, or the free place where it belongs. */
static size_t find_slot(const struct vocab_pairs *p, const int32_t *slots, size_t slot_count, int32_t left,
                        int32_t right) {
    size_t at = hash_of(left, right) & (slot_count - 1);
    for (; slots[at] != 0; at = (at + 1) & (slot_count - 1)) {
        const struct vocab_pair *pair = vocab_pair_of(p, slots[at] - 1);
        if (pair->left == left && pair->right == right) break;
    }
    return at;
}

static berth_status enlarge_slots(struct vocab_pairs *p) {
    size_t slot_count = p->slot_count == 0 ? 4096 : p->slot_count * 2;
    struct vocab_array larger;
    vocab_array_init(&larger, sizeof(int32_t));
    BERTH_TRY(vocab_array_grow(p->memory, &larger, slot_count));
    int32_t *slots = larger.data;
    memset(slots, 0, slot_count * sizeof *slots);
    for (size_t i = 0; i < p->count; i++) {
        const struct vocab_pair *pair = vocab_pair_of(p, (int32_t)i);
        slots[find_slot(p, slots, slot_count, pair->left, pair->right)] = (int32_t)i + 1;
    }
    vocab_array_deinit(p->memory, &p->slots);
    p->slots = larger;
    p->slot_count = slot_count;
    return BERTH_OK;
}

berth_status vocab_pair_at(struct vocab_pairs *p, int32_t left, int32_t right, int32_t *out) {
    if ((p->count + 1) * 2 > p->slot_count) BERTH_TRY(enlarge_slots(p));
    int32_t *slot = (int32_t *)p->slots.data + find_slot(p, p->slots.data, p->slot_count, left, right);
    if (*slot == 0) {
        if (p->count >= INT32_MAX / 2) BERTH_FAIL(BERTH_E_MEMORY, "more than 2^30 pairs of pieces");
        BERTH_TRY(vocab_array_grow(p->memory, &p->pairs, p->count + 1));
        *vocab_pair_of(p, (int32_t)p->count) = (struct vocab_pair){
            .left = left, .right = right, .first_chunk = -1, .last_chunk = -1, .touched = -1};
        *slot = (int32_t)++p->count;
    }
    *out = *slot - 1;
    return BERTH_OK;
}

berth_status vocab_pair_raise(struct vocab_pairs *p, int32_t index, int64_t count, int32_t word) {
    struct vocab_pair *pair = vocab_pair_of(p, index);
    pair->count += count;
    bool first = pair->touched != p->merge;
    pair->touched = p->merge;
    BERTH_TRY(add_word(p, index, word));
    if (!first) return BERTH_OK;
    BERTH_TRY(vocab_array_grow(p->memory, &p->raised, p->raised_count + 1));
    ((int32_t *)p->raised.data)[p->raised_count++] = index;
    return BERTH_OK;
}

/* ------------------------------------------------------------------ heap */

/* Whether a comes out before b. */
static bool before(const struct vocab_pairs *p, struct heap_entry a, struct heap_entry b) {
    if (a.count != b.count) return a.count > b.count;
    const struct vocab_pair *x = vocab_pair_of(p, a.pair), *y = vocab_pair_of(p, b.pair);
    const struct text_entry *symbols = p->symbols->entries;
    int order = strcmp(symbols[x->left].text, symbols[y->left].text);
    if (order == 0) order = strcmp(symbols[x->right].text, symbols[y->right].text);
    return order < 0;
}

static berth_status heap_push(struct vocab_pairs *p, struct heap_entry entry) {
    BERTH_TRY(vocab_array_grow(p->memory, &p->heap, p->heap_count + 1));
    struct heap_entry *heap = p->heap.data;
    size_t at = p->heap_count++;
    while (at > 0 && before(p, entry, heap[(at - 1) / 2])) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = entry;
    return BERTH_OK;
}

static struct heap_entry heap_pop(struct vocab_pairs *p) {
    struct heap_entry *heap = p->heap.data, top = heap[0], last = heap[--p->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= p->heap_count) break;
        if (child + 1 < p->heap_count && before(p, heap[child + 1], heap[child])) child++;
        if (!before(p, heap[child], last)) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return top;
}

berth_status vocab_pairs_settle(struct vocab_pairs *p) {
    const int32_t *raised = p->raised.data;
    for (size_t i = 0; i < p->raised_count; i++)
        BERTH_TRY(heap_push(p, (struct heap_entry){vocab_pair_of(p, raised[i])->count, raised[i]}));
    p->raised_count = 0;
    p->merge++;
    return BERTH_OK;
}

berth_status vocab_pairs_best(struct vocab_pairs *p, int32_t *out, bool *found) {
    *found = false;
    while (p->heap_count > 0) {
        struct heap_entry top = heap_pop(p);
        int64_t count = vocab_pair_of(p, top.pair)->count;
        if (count == top.count && count > 0) {
            *out = top.pair;
            *found = true;
            return BERTH_OK;
        }
        if (count > 0 && count < top.count) BERTH_TRY(heap_push(p, (struct heap_entry){count, top.pair}));
    }
    return BERTH_OK;
}
