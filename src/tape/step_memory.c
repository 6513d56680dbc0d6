/* step_memory.c: device memory of a step.
 *
 *     chunk 0 [block|block|block|.......free.......]   chunk 1 [...]      blocks are cut from the front
 *     lists:  98304 bytes -> a, b      393216 bytes -> c                  given back: kept by exact size
 *
 * A take looks in the list of its size first, then cuts from the chunks. The shapes of a step are few and repeat
 * from layer to layer, so exact sizes match. A reset empties the lists and cuts anew from the first chunk: nothing
 * is fragmented from one step to the next, and once the largest step was seen the device is not asked again.
 */
#include <stdlib.h>

#include "tape/tape_priv.h"

#define STEP_ALIGN 256u
#define STEP_CHUNK ((size_t)32 << 20) /* least size of a chunk */

static size_t block_size(size_t bytes) {
    return bytes == 0 ? STEP_ALIGN : (bytes + STEP_ALIGN - 1) / STEP_ALIGN * STEP_ALIGN;
}

void step_memory_init(struct step_memory *m, struct berth_device *dev) {
    *m = (struct step_memory){.dev = dev};
}

void step_memory_deinit(struct step_memory *m) {
    for (size_t i = 0; i < m->chunk_count; i++) berth_device_free(m->dev, m->chunks[i].base, m->chunks[i].size);
    for (size_t i = 0; i < m->list_made; i++) free(m->lists[i].blocks);
    free(m->chunks);
    free(m->lists);
    *m = (struct step_memory){0};
}

void step_memory_reset(struct step_memory *m) {
    for (size_t i = 0; i < m->chunk_count; i++) m->chunks[i].used = 0;
    m->list_count = 0;
    m->chunk_now = 0;
}

static struct step_list *find_list(struct step_memory *m, size_t size) {
    for (size_t i = 0; i < m->list_count; i++)
        if (m->lists[i].size == size) return &m->lists[i];
    return NULL;
}

static berth_status add_chunk(struct step_memory *m, size_t size) {
    BERTH_TRY(berth_grow(&m->chunks, &m->chunk_capacity, m->chunk_count + 1, sizeof *m->chunks));
    struct step_chunk *chunk = &m->chunks[m->chunk_count];
    /* Grow by a share of what is held: few chunks, and little lost at their ends. */
    size_t bytes = size > STEP_CHUNK ? size : STEP_CHUNK;
    if (bytes < m->held / 4) bytes = m->held / 4 / STEP_ALIGN * STEP_ALIGN;
    *chunk = (struct step_chunk){.size = bytes};
    BERTH_TRY_CTX(berth_device_alloc(m->dev, &chunk->base, bytes),
                  "activations of a step (%zu MiB held; a smaller batch or max_length needs less)", m->held >> 20);
    m->chunk_count++;
    m->held += bytes;
    m->allocations++;
    return BERTH_OK;
}

berth_status step_memory_take(struct step_memory *m, void *out_pointer, size_t bytes) {
    void **out = out_pointer;
    size_t size = block_size(bytes);
    struct step_list *list = find_list(m, size);
    if (list && list->count > 0) {
        *out = list->blocks[--list->count];
        return BERTH_OK;
    }
    while (m->chunk_now < m->chunk_count && m->chunks[m->chunk_now].size - m->chunks[m->chunk_now].used < size)
        m->chunk_now++;
    if (m->chunk_now == m->chunk_count) BERTH_TRY(add_chunk(m, size));
    struct step_chunk *chunk = &m->chunks[m->chunk_now];
    *out = chunk->base + chunk->used;
    chunk->used += size;
    return BERTH_OK;
}

void step_memory_give(struct step_memory *m, void *pointer, size_t bytes) {
    if (!pointer) return;
    size_t size = block_size(bytes);
    struct step_list *list = find_list(m, size);
    if (!list) {
        /* No memory for book-keeping: the block is lost until the reset, nothing else. */
        if (berth_grow(&m->lists, &m->list_capacity, m->list_count + 1, sizeof *m->lists) != BERTH_OK) return;
        list = &m->lists[m->list_count++];
        if (m->list_count > m->list_made) {
            *list = (struct step_list){0};
            m->list_made = m->list_count;
        }
        list->size = size;
        list->count = 0;
    }
    if (berth_grow(&list->blocks, &list->capacity, list->count + 1, sizeof *list->blocks) != BERTH_OK) return;
    list->blocks[list->count++] = pointer;
}
