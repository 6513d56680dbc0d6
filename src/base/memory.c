/* memory.c: allocation with an error in place of NULL.
 *
 * Out-pointers are `void *` so that a caller passes &pointer of any type; they are written by memcpy, which
 * keeps the aliasing rules. */
#include <stdlib.h>
#include <string.h>

#include "berth/base.h"

static berth_status out_of_memory(size_t count, size_t size) {
    BERTH_FAIL(BERTH_E_MEMORY, "out of memory: %zu elements of %zu bytes were asked for", count, size);
}

berth_status berth_calloc(void *out_pointer, size_t count, size_t size) {
    size_t bytes = 0;
    if (__builtin_mul_overflow(count, size, &bytes)) return out_of_memory(count, size);
    void *p = bytes == 0 ? calloc(1, 1) : calloc(count, size);
    if (p == NULL) return out_of_memory(count, size);
    memcpy(out_pointer, &p, sizeof p);
    return BERTH_OK;
}

berth_status berth_realloc(void *inout_pointer, size_t count, size_t size) {
    void *old = NULL;
    memcpy(&old, inout_pointer, sizeof old);
    size_t bytes = 0;
    if (__builtin_mul_overflow(count, size, &bytes)) return out_of_memory(count, size);
    void *p = realloc(old, bytes == 0 ? 1 : bytes);
    if (p == NULL) return out_of_memory(count, size);
    memcpy(inout_pointer, &p, sizeof p);
    return BERTH_OK;
}

berth_status berth_strdup(char **out, const char *text) {
    return berth_strndup(out, text, strlen(text));
}

berth_status berth_strndup(char **out, const char *text, size_t length) {
    char *copy = NULL;
    size_t bytes = 0;
    if (__builtin_add_overflow(length, 1, &bytes)) return out_of_memory(length, 1);
    BERTH_TRY(berth_calloc(&copy, bytes, 1));
    if (length > 0) memcpy(copy, text, length);
    *out = copy;
    return BERTH_OK;
}

berth_status berth_grow(void *inout_pointer, size_t *inout_capacity, size_t needed, size_t size) {
    if (needed <= *inout_capacity) return BERTH_OK;
    size_t capacity = *inout_capacity < 16 ? 16 : *inout_capacity;
    while (capacity < needed) {
        if (__builtin_mul_overflow(capacity, 2, &capacity)) return out_of_memory(needed, size);
    }
    BERTH_TRY(berth_realloc(inout_pointer, capacity, size));
    *inout_capacity = capacity;
    return BERTH_OK;
}
