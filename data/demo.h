/* demo.h: what the files of the demo's data share: sentences by grammar and seed (demo_data.c). */
#ifndef DEMO_H
#define DEMO_H

#include "berth/base.h"

enum { DEMO_TRAIN, DEMO_DEV, DEMO_TEST, DEMO_SPLITS };
extern const char *const demo_split_names[DEMO_SPLITS];

struct demo_core {
    const char *label;
    const char *text; /* {tag=kind}: an entity; {-=kind}: a word of a list without a tag */
};
struct demo_grammar {
    const struct demo_core *cores;
    size_t core_count;
    const char *const *before, *const *after; /* ended by NULL */
};
struct demo_sentence {
    struct berth_str words, tags; /* separated by single spaces */
    const char *label;
    size_t core; /* of the grammar's */
    size_t word_count;
};
struct demo_generator {
    uint64_t seed;
    uint32_t stream;
    uint64_t position;
};
struct demo_grammar demo_assistant(void);
struct demo_grammar demo_reviews(void);
uint64_t demo_draw(struct demo_generator *g, size_t bound);
/* A sentence of a core and a frame that belong together to this split. */
void demo_make(struct demo_sentence *s, const struct demo_grammar *grammar, int split, struct demo_generator *g);
/* A sentence of this core in a frame drawn from `frames`, its values drawn from `values`. */
void demo_make_core(struct demo_sentence *s, const struct demo_grammar *grammar, int split, size_t core,
                    struct demo_generator *frames, struct demo_generator *values);
void demo_sentence_deinit(struct demo_sentence *s);
/* Writes OUT_DIR/FOLDER/SPLIT.tsv. */
berth_status demo_put_table(const char *out, const char *folder, int split, const struct berth_str *text) BERTH_CHECKED;

/* demo_more.c: sets for other kinds of heads, of the same sentences. */
berth_status demo_write_items(const char *out, int split, int rows, uint64_t seed) BERTH_CHECKED;
berth_status demo_write_pairs(const char *out, int split, int rows, uint64_t seed) BERTH_CHECKED;
berth_status demo_write_search(const char *out, int split, int rows, uint64_t seed) BERTH_CHECKED;

#endif /* DEMO_H */
