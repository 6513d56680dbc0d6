/* vocab_words.c: the map from text to number under vocabulary training. */
#include <stdlib.h>
#include <string.h>

#include "text/vocab_priv.h"

void text_map_init(struct text_map *m) {
    *m = (struct text_map){0};
    berth_arena_init(&m->arena);
}

void text_map_deinit(struct text_map *m) {
    free(m->entries);
    free(m->slots);
    berth_arena_deinit(&m->arena);
}

static berth_status enlarge(struct text_map *m) {
    size_t slot_count = m->slot_count == 0 ? 1024 : m->slot_count * 2;
    int32_t *slots = NULL;
    if (slot_count > INT32_MAX) BERTH_FAIL(BERTH_E_MEMORY, "more than 2^30 distinct words");
    BERTH_TRY(berth_calloc(&slots, slot_count, sizeof *slots));
    for (size_t i = 0; i < m->count; i++) {
        size_t at = m->entries[i].hash & (slot_count - 1);
        while (slots[at] != 0)
            at = (at + 1) & (slot_count - 1);
        slots[at] = (int32_t)i + 1;
    }
    free(m->slots);
    m->slots = slots;
    m->slot_count = slot_count;
    return BERTH_OK;
}

berth_status text_map_at(struct text_map *m, const char *text, size_t size, size_t *out_index) {
    if ((m->count + 1) * 2 > m->slot_count) BERTH_TRY(enlarge(m));
    uint64_t hash = berth_hash(text, size).low;
    size_t at = hash & (m->slot_count - 1);
    for (; m->slots[at] != 0; at = (at + 1) & (m->slot_count - 1)) {
        const struct text_entry *e = &m->entries[m->slots[at] - 1];
        if (e->hash == hash && e->size == size && memcmp(e->text, text, size) == 0) {
            *out_index = (size_t)m->slots[at] - 1;
            return BERTH_OK;
        }
    }
    BERTH_TRY(berth_grow(&m->entries, &m->capacity, m->count + 1, sizeof *m->entries));
    struct text_entry *e = &m->entries[m->count];
    *e = (struct text_entry){.hash = hash, .size = size};
    BERTH_TRY(berth_arena_strndup(&m->arena, &e->text, text, size));
    m->slots[at] = (int32_t)++m->count;
    *out_index = m->count - 1;
    return BERTH_OK;
}

int64_t text_map_bytes(const struct text_map *m) {
    return (int64_t)(m->capacity * sizeof *m->entries + m->slot_count * sizeof *m->slots + m->arena.used);
}

static int by_text(const void *a, const void *b) {
    const struct text_entry *x = a, *y = b;
    return strcmp(x->text, y->text);
}

void text_map_sort(struct text_map *m) {
    if (m->count > 0) qsort(m->entries, m->count, sizeof *m->entries, by_text);
    free(m->slots);
    m->slots = NULL;
    m->slot_count = 0;
}
