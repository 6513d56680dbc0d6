/* vocab_priv.h: what the two files of vocabulary training share. */
#ifndef BERTH_TEXT_VOCAB_PRIV_H
#define BERTH_TEXT_VOCAB_PRIV_H

#include "text/text_priv.h"

/* A map from text to a number; entries keep the order of their first appearance. */
struct text_entry {
    char *text; /* in the map's arena */
    size_t size;
    uint64_t hash;
    int64_t value; /* 0 at first */
};
struct text_map {
    struct text_entry *entries; /* [count] */
    size_t count, capacity;
    int32_t *slots; /* [slot_count], a power of two: entry + 1, 0 is free; linear probing */
    size_t slot_count;
    struct berth_arena arena;
};
void text_map_init(struct text_map *m);
void text_map_deinit(struct text_map *m);
/* The entry of a text, added where it is new. */
berth_status text_map_at(struct text_map *m, const char *text, size_t size, size_t *out_index) BERTH_CHECKED;

/* Words of all files with their counts, sorted by text. The map takes no further look-ups. */
berth_status vocab_count_words(struct text_map *words, const char *const *files, size_t file_count,
                               bool lowercase) BERTH_CHECKED;

#endif /* BERTH_TEXT_VOCAB_PRIV_H */
