/* arena.c: a bump arena.
 *
 *     head -> block n [used......|free]  -> block n-1 [used..|lost]  -> ... -> NULL
 *
 * Blocks are 16 KiB and double up to 1 MiB; a request larger than a block gets one of its own. Memory is
 * zeroed when the block is made, once, and no piece is handed out twice. Every piece is aligned to 16 bytes. */
#include <stdlib.h>
#include <string.h>

#include "berth/base.h"

enum { ARENA_ALIGN = 16, ARENA_FIRST_BLOCK = 16384, ARENA_LARGEST_BLOCK = 1 << 20 };

struct berth_arena_block {
    struct berth_arena_block *next;
    size_t capacity; /* bytes of data */
    size_t used;
    _Alignas(16) unsigned char data[];
};

void berth_arena_init(struct berth_arena *arena) {
    arena->head = NULL;
    arena->used = 0;
}

void berth_arena_deinit(struct berth_arena *arena) {
    struct berth_arena_block *block = arena->head;
    while (block != NULL) {
        struct berth_arena_block *next = block->next;
        free(block);
        block = next;
    }
    berth_arena_init(arena);
}

static berth_status arena_new_block(struct berth_arena *arena, size_t needed) {
    size_t capacity = ARENA_FIRST_BLOCK;
    if (arena->head != NULL && arena->head->capacity * 2 > capacity) capacity = arena->head->capacity * 2;
    if (capacity > ARENA_LARGEST_BLOCK) capacity = ARENA_LARGEST_BLOCK;
    if (capacity < needed) capacity = needed;
    size_t bytes = 0;
    struct berth_arena_block *block = NULL;
    if (!__builtin_add_overflow(capacity, sizeof *block, &bytes)) block = calloc(1, bytes);
    if (block == NULL) BERTH_FAIL(BERTH_E_MEMORY, "out of memory: %zu bytes were asked for", needed);
    block->capacity = capacity;
    block->next = arena->head;
    arena->head = block;
    return BERTH_OK;
}

berth_status berth_arena_alloc(struct berth_arena *arena, void *out_pointer, size_t count, size_t size) {
    size_t bytes = 0;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX - ARENA_ALIGN)
        BERTH_FAIL(BERTH_E_MEMORY, "out of memory: %zu elements of %zu bytes were asked for", count, size);
    bytes = bytes == 0 ? ARENA_ALIGN : (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    if (arena->head == NULL || arena->head->capacity - arena->head->used < bytes)
        BERTH_TRY(arena_new_block(arena, bytes));
    void *p = arena->head->data + arena->head->used;
    arena->head->used += bytes;
    arena->used += bytes;
    memcpy(out_pointer, &p, sizeof p);
    return BERTH_OK;
}

berth_status berth_arena_strndup(struct berth_arena *arena, char **out, const char *text, size_t length) {
    if (length == SIZE_MAX) BERTH_FAIL(BERTH_E_MEMORY, "out of memory: %zu bytes were asked for", length);
    BERTH_TRY(berth_arena_alloc(arena, out, length + 1, 1));
    if (length > 0) memcpy(*out, text, length);
    return BERTH_OK;
}
