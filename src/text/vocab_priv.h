/* vocab_priv.h: what the files of vocabulary training share.
 *
 *     lines ─▶ vocab_words.c: words counted ─▶ vocab_runs.c: sorted runs, merged ─▶ vocab_train.c: alphabet,
 * merges over vocab_pairs.c
 *
 * All that grows with the text is under one budget of memory (vocab_store.c): past it, words go to sorted runs
 * of a temporary file, and arrays of the training into files that are mapped, so the system may page them out.
 * Where something lies never changes what is computed. */
#ifndef BERTH_TEXT_VOCAB_PRIV_H
#define BERTH_TEXT_VOCAB_PRIV_H

#include "text/text_priv.h"

/* ------------------------------------------------------------------ vocab_store.c */

struct vocab_memory {
    int64_t limit;    /* bytes that arrays may take in memory; 0: no limit */
    int64_t used;     /* by arrays that lie in memory */
    const char *temp; /* temporary files are "TEMP.tmp..."; borrowed */
    int64_t files;    /* made so far, for tests */
};
/* A growing array; its elements are not zeroed. `data` moves when it grows. */
struct vocab_array {
    void *data;
    size_t capacity; /* elements */
    size_t size;     /* bytes an element */
    int fd;          /* of the file it is mapped from; -1: in memory */
};
void vocab_array_init(struct vocab_array *a, size_t size);
void vocab_array_deinit(struct vocab_memory *m, struct vocab_array *a);
/* Makes room for `needed` elements; capacity doubles. A full disk is BERTH_E_IO here, never later. */
berth_status vocab_array_grow(struct vocab_memory *m, struct vocab_array *a, size_t needed) BERTH_CHECKED;
/* A file without a name: gone with its descriptor, however the process ends. */
berth_status vocab_temp_file(struct vocab_memory *m, int *out_fd) BERTH_CHECKED;

/* ------------------------------------------------------------------ vocab_words.c */

/* A map from text to a number; entries keep the order of their first appearance. */
struct text_entry {
    char *text; /* in the map's arena, ended by a zero byte */
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
/* Bytes it takes once one more text is in it, roughly. */
int64_t text_map_bytes(const struct text_map *m);
/* Sorts the entries bytewise. The map takes no further look-ups. */
void text_map_sort(struct text_map *m);

/* ------------------------------------------------------------------ vocab_runs.c */

/* Sorted runs of words with their counts, one behind the other in a temporary file. */
struct vocab_run {
    int64_t begin, end; /* bytes of the file */
};
struct vocab_runs {
    int fd; /* -1: nothing has been spilled */
    int64_t size;
    struct vocab_run *list; /* [count] owned */
    size_t count, capacity;
    int64_t passes; /* merges of all runs so far, for tests */
};
void vocab_runs_init(struct vocab_runs *r);
void vocab_runs_deinit(struct vocab_runs *r);
/* Sorts the map's words and writes them as a run; the map is empty then. */
berth_status vocab_runs_spill(struct vocab_runs *r, struct vocab_memory *m,
                              struct text_map *words) BERTH_CHECKED;
/* Merges until one run holds each word once. */
berth_status vocab_runs_merge(struct vocab_runs *r, struct vocab_memory *m) BERTH_CHECKED;

/* All words in the order of their bytes, each once: from a sorted map, or from the one run. */
struct vocab_word {
    const char *text; /* until the next call; not ended by a zero byte */
    size_t size;
    int64_t count;
};
struct vocab_reader {
    const struct text_map *map; /* or NULL */
    size_t next;                /* of the map */
    int fd;
    int64_t at, end; /* bytes of the file not yet in the buffer */
    char *buffer;    /* owned */
    size_t first, filled, capacity;
};
void vocab_reader_map(struct vocab_reader *r, const struct text_map *map);
void vocab_reader_run(struct vocab_reader *r, int fd, struct vocab_run run);
void vocab_reader_deinit(struct vocab_reader *r);
/* *more false: that was all. */
berth_status vocab_reader_next(struct vocab_reader *r, struct vocab_word *out, bool *more) BERTH_CHECKED;

/* ------------------------------------------------------------------ vocab_pairs.c */

/* Pairs of neighbouring symbols, the words each stands in, and the order in which they are merged. */
struct vocab_pair {
    int32_t left, right; /* symbols */
    int64_t count;
    int64_t first_chunk, last_chunk; /* of the words where it was ever made; -1: none */
    int64_t touched;                 /* number of the last merge that raised it */
};
struct vocab_pairs {
    struct vocab_memory *memory;
    const struct text_map *symbols; /* borrowed: their texts decide between equal counts */
    struct vocab_array pairs;       /* struct vocab_pair */
    size_t count;
    struct vocab_array slots; /* int32: pair + 1 by hash of (left, right) */
    size_t slot_count;
    struct vocab_array chunks; /* lists of words */
    size_t chunk_used;         /* units */
    int64_t free_chunks[16];   /* by size; -1: none */
    struct vocab_array heap;   /* struct heap_entry */
    size_t heap_count;
    struct vocab_array raised; /* int32: pairs raised by the present merge */
    size_t raised_count;
    int64_t merge; /* its number */
};
void vocab_pairs_init(struct vocab_pairs *p, struct vocab_memory *memory, const struct text_map *symbols);
void vocab_pairs_deinit(struct vocab_pairs *p);
static inline struct vocab_pair *vocab_pair_of(const struct vocab_pairs *p, int32_t index) {
    return (struct vocab_pair *)p->pairs.data + index;
}
/* The pair of two symbols, added where it is new. */
berth_status vocab_pair_at(struct vocab_pairs *p, int32_t left, int32_t right, int32_t *out) BERTH_CHECKED;
/* Adds a word's count to a pair; notes the word, and the pair as raised. */
berth_status vocab_pair_raise(struct vocab_pairs *p, int32_t index, int64_t count, int32_t word) BERTH_CHECKED;
/* Ends a merge, or the first counting: raised pairs may come next. */
berth_status vocab_pairs_settle(struct vocab_pairs *p) BERTH_CHECKED;
/* The best pair with its true count; false when none is left. */
berth_status vocab_pairs_best(struct vocab_pairs *p, int32_t *out, bool *found) BERTH_CHECKED;
/* The words of a pair, which forgets them: chunk by chunk, the first one given here (-1: none), the next ones
 * by freeing the one before. Places in a chunk hold while pairs are raised, addresses do not. */
int64_t vocab_pair_take_words(struct vocab_pairs *p, int32_t index);
int32_t vocab_chunk_count(const struct vocab_pairs *p, int64_t chunk);
int32_t vocab_chunk_word(const struct vocab_pairs *p, int64_t chunk, int32_t at);
int64_t vocab_chunk_free(struct vocab_pairs *p, int64_t chunk);

#endif /* BERTH_TEXT_VOCAB_PRIV_H */
