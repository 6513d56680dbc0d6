/* augment_swap.c: words that change places (random swap: Wei and Zou, "EDA", 2019). What moves is a block: an
 * entity as a whole, or a word outside of all; each with the probability changes places with another one of its
 * text. */
#include "data/augment_priv.h"

/* Whether a word goes on with an entity of the word before it, by any task. */
static bool is_joined(const struct augment_row *r, size_t word) {
    const struct augment_tag *before = augment_tags_of(r, word - 1), *now = augment_tags_of(r, word);
    for (size_t k = 0; before && now && k < r->source->tagging_count; k++)
        if (now[k].entity >= 0 && now[k].entity == before[k].entity) return true;
    return false;
}

static size_t block_end(const struct augment_row *r, size_t at) {
    size_t end = at + 1;
    while (end < r->word_count && r->words[end].part == r->words[at].part && is_joined(r, end))
        end++;
    return end;
}

/* The first word of each block of a text that may move. */
static berth_status find_blocks(struct augment_row *r, size_t first, size_t end, size_t *count) {
    *count = 0;
    BERTH_TRY(berth_grow(&r->blocks, &r->block_capacity, end - first, sizeof *r->blocks));
    for (size_t at = first; at < end;) {
        size_t next = block_end(r, at);
        bool fixed = false;
        for (size_t i = at; i < next; i++)
            fixed = fixed || r->words[i].fixed;
        if (!fixed) r->blocks[(*count)++] = (uint32_t)at;
        at = next;
    }
    return BERTH_OK;
}

/* Each text has positions of its own: `first` is its first word. */
static void swap_blocks(struct augment_row *r, const struct augment_op *self, double probability, size_t first,
                        size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint64_t position = (uint64_t)first << 32 | 2 * i;
        if (augment_unit(r, self, position) >= probability) continue;
        size_t j = (size_t)augment_below(r, self, position + 1, count - 1);
        j += j >= i; /* another one */
        uint32_t held = r->blocks[i];
        r->blocks[i] = r->blocks[j];
        r->blocks[j] = held;
    }
}

/* The words of a text with its blocks in their new order; fixed ones in their places. */
static size_t lay_out(struct augment_row *r, size_t first, size_t end) {
    size_t block = 0, to = first;
    for (size_t at = first; at < end;) {
        size_t next = block_end(r, at), from = at, from_end = next;
        bool fixed = false;
        for (size_t i = at; i < next; i++)
            fixed = fixed || r->words[i].fixed;
        if (!fixed) {
            from = r->blocks[block++];
            from_end = block_end(r, from);
        }
        for (size_t i = from; i < from_end; i++)
            r->other[to++] = r->words[i];
        at = next;
    }
    return to;
}

static berth_status apply(struct augment_row *r, const struct augment_op *self, double probability) {
    size_t count = 0;
    BERTH_TRY(berth_grow(&r->other, &r->other_capacity, r->word_count, sizeof *r->other));
    for (size_t first = 0, end; first < r->word_count; first = end) {
        for (end = first; end < r->word_count && r->words[end].part == r->words[first].part;)
            end++;
        BERTH_TRY(find_blocks(r, first, end, &count));
        if (count >= 2) swap_blocks(r, self, probability, first, count);
        BERTH_ASSERT_EQ(lay_out(r, first, end), end);
    }
    augment_take_other(r, r->word_count);
    return BERTH_OK;
}

const struct augment_op augment_swap = {.name = "swap", .stream = 2, .apply = apply};
