/* step_memory.c: device memory of one step: taken and given back many times, all of it free again at the next
 * step.
 *
 *     block 0  [qkv.......|hole..|x....|hole............]      block 1  [up.........|hole]
 *
 * A request gets the smallest hole that fits, its front cut off; among equal holes the one freed last, whose
 * lines are most likely in a cache. A range given back grows together with the holes beside it. Sizes are
 * multiples of UNIT, so the blocks of a step fit each other exactly: an encoder layer's tensors come in four or
 * five sizes, and a gradient takes the place of the activation that was used last. Holes are few (tens), a walk
 * over them costs far less than any operation.
 *
 * The first steps find out how much is needed: each request that no hole satisfies asks the device for a block.
 * The next step has one block of their summed size instead, which also ends their fragmentation; a block is
 * never given up for a smaller one, so the requests end.
 *
 * Under the address sanitizer, holes are poisoned: a use after free within the arena is reported
 * like one of the heap. */
#include <stdlib.h>
#include <string.h>

#include "tape/tape_priv.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

#define UNIT ((size_t)256)            /* sizes and the distance of addresses */
#define LEAST_BLOCK ((size_t)2 << 20) /* one huge page */
#define GROWTH 8                      /* a new block is at least 1/GROWTH of what is held */

static void mark_free(const struct step_memory *m, const struct step_range *r, bool is_free) {
#if defined(__SANITIZE_ADDRESS__)
    /* no GPU's memory under this sanitizer: all of it has a shadow */
    if (is_free && !m->open) {
        ASAN_POISON_MEMORY_REGION(r->start, r->size);
    } else {
        ASAN_UNPOISON_MEMORY_REGION(r->start, r->size);
    }
#else
    (void)m, (void)r, (void)is_free;
#endif
}

static berth_status rounded(size_t *out, size_t bytes, size_t unit) {
    if (bytes > SIZE_MAX / 2) BERTH_FAIL(BERTH_E_MEMORY, "out of memory: %zu bytes of step memory", bytes);
    *out = bytes == 0 ? unit : (bytes + unit - 1) / unit * unit;
    return BERTH_OK;
}

void step_memory_init(struct step_memory *m, struct berth_device *dev) {
    *m = (struct step_memory){.dev = dev};
}

static void free_blocks(struct step_memory *m) {
    for (size_t i = 0; i < m->block_count; i++) {
        mark_free(m, &m->blocks[i], false);
        berth_device_free(m->dev, m->blocks[i].start, m->blocks[i].size);
    }
    m->block_count = m->hole_count = 0;
    m->held = 0;
}

void step_memory_deinit(struct step_memory *m) {
    free_blocks(m);
    free(m->blocks);
    free(m->holes);
    *m = (struct step_memory){0};
}

/* Room in the list for what a give-back of every live range could add, and for one block more: giving back
 * never needs memory. */
static berth_status reserve(struct step_memory *m) {
    const size_t most = m->live + m->block_count + 3;
    BERTH_TRY(berth_grow(&m->blocks, &m->block_capacity, m->block_count + 1, sizeof *m->blocks));
    return berth_grow(&m->holes, &m->hole_capacity, most, sizeof *m->holes);
}

static berth_status add_block(struct step_memory *m, size_t size) {
    struct step_range block = {.size = size};
    BERTH_TRY(berth_device_alloc(m->dev, &block.start, size));
    m->requests++;
    m->held += size;
    m->blocks[m->block_count++] = block;
    m->holes[m->hole_count++] = block;
    mark_free(m, &block, true);
    return BERTH_OK;
}

/* A block with room for `size`: as much as the step before had, or a share of what is held; where the device
 * has not that much, only what is needed. */
static berth_status grow(struct step_memory *m, size_t size) {
    size_t wanted = m->held / GROWTH > m->planned ? m->held / GROWTH : m->planned, least = 0;
    BERTH_TRY(rounded(&wanted, wanted > size ? wanted : size, LEAST_BLOCK));
    BERTH_TRY(rounded(&least, size, LEAST_BLOCK));
    m->planned = 0;
    if (wanted > least && add_block(m, wanted) == BERTH_OK) return BERTH_OK;
    return add_block(m, least);
}

void step_memory_reserve(struct step_memory *m, size_t bytes) {
    size_t size = 0;
    if (bytes <= m->held || rounded(&size, bytes, LEAST_BLOCK) != BERTH_OK) return;
    free_blocks(m);
    if (reserve(m) != BERTH_OK || add_block(m, size) != BERTH_OK)
        berth_error_clear(); /* steps ask for what they need */
}

/* The smallest hole of at least `size`, the latest among equals; hole_count when there is none. */
static size_t find_hole(const struct step_memory *m, size_t size) {
    size_t best = m->hole_count;
    for (size_t i = m->hole_count; i-- > 0;) {
        if (m->holes[i].size < size) continue;
        if (best == m->hole_count || m->holes[i].size < m->holes[best].size) best = i;
        if (m->holes[best].size == size) break;
    }
    return best;
}

berth_status step_memory_alloc(struct step_memory *m, void *out_pointer, size_t bytes) {
    size_t size = 0;
    BERTH_TRY(rounded(&size, bytes, UNIT));
    BERTH_TRY(reserve(m));
    size_t at = find_hole(m, size);
    if (at == m->hole_count) BERTH_TRY(grow(m, size));
    struct step_range *hole = &m->holes[at];
    const struct step_range taken = {hole->start, size};
    hole->start += size;
    hole->size -= size;
    if (hole->size == 0) *hole = m->holes[--m->hole_count];
    mark_free(m, &taken, false);
    m->live++;
    m->used += size;
    if (m->used > m->peak) m->peak = m->used;
    memcpy(out_pointer, &taken.start, sizeof taken.start);
    return BERTH_OK;
}

static const struct step_range *block_of(const struct step_memory *m, const unsigned char *p) {
    for (size_t i = 0; i < m->block_count; i++) {
        if (p >= m->blocks[i].start && p < m->blocks[i].start + m->blocks[i].size) return &m->blocks[i];
    }
    BERTH_ASSERT_MSG(false, "%p is not memory of the tape", (const void *)p);
    return NULL;
}

void step_memory_free(struct step_memory *m, void *pointer, size_t bytes) {
    if (pointer == NULL) return;
    struct step_range r = {pointer, bytes == 0 ? UNIT : (bytes + UNIT - 1) / UNIT * UNIT};
    const struct step_range *block = block_of(m, r.start);
    BERTH_ASSERT_MSG(r.size <= m->used && m->live > 0, "%zu bytes given back of %zu", r.size, m->used);
    m->live--;
    m->used -= r.size;
    mark_free(m, &r, true);
    for (size_t i = m->hole_count; i-- > 0;) {
        const struct step_range *hole = &m->holes[i];
        const bool before = hole->start + hole->size == r.start && hole->start >= block->start;
        const bool behind = r.start + r.size == hole->start && hole->start < block->start + block->size;
        BERTH_ASSERT_MSG(hole->start >= r.start + r.size || hole->start + hole->size <= r.start,
                         "%p (%zu bytes) was given back twice", pointer, bytes);
        if (!before && !behind) continue;
        if (before) r.start = hole->start;
        r.size += hole->size;
        m->holes[i] = m->holes[--m->hole_count];
    }
    m->holes[m->hole_count++] = r;
}

void step_memory_reset(struct step_memory *m) {
    m->live = 0;
    m->used = m->peak = 0;
    if (m->block_count > 1) {
        m->planned = m->held;
        free_blocks(m);
        return;
    }
    m->hole_count = m->block_count;
    for (size_t i = 0; i < m->block_count; i++) {
        m->holes[i] = m->blocks[i];
        mark_free(m, &m->blocks[i], true);
    }
}
