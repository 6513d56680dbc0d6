/* tags.h: what tags of words mean: kinds and types, and the entities that they mark.
 *
 *     I  -city        a tag: its kind is the first letter, its type what stands behind the first '-'
 *
 *     struct berth_entity_cursor c;
 *     struct berth_entity e;
 *     berth_entities_begin(&c, tags, words, BERTH_SPANS_DEFAULT);
 *     while (berth_entity_next(&c, &e)) use(e.begin, e.end, e.type);
 *
 * The one place that knows: evaluation counts by it, prediction prints by it. Schemes: enum berth_tag_scheme. */
#ifndef BERTH_TAGS_H
#define BERTH_TAGS_H

#include "berth/batch.h"

struct berth_tag {
    char kind;        /* B I E S O (L and U of BILOU are E and S), or another first letter; a missing tag is O */
    const char *type; /* borrowed from the tag; "_" when there is none */
};
struct berth_tag berth_tag_read(const char *tag /* or NULL: outside */);

/* How entities are read off tags.
 *   default  as conlleval does (CoNLL-2000 shared task), whose rule seqeval's default mode follows: an entity
 * begins at B or S, at I or E behind O, E or S, and wherever the type changes BIO      B-X I-X ... alone; an I
 * that does not continue an entity of its type is none (seqeval: strict, IOB2) BIOES    B-X I-X ... E-X and S-X
 * alone (seqeval: strict, IOBES) */
enum berth_spans { BERTH_SPANS_DEFAULT, BERTH_SPANS_BIO, BERTH_SPANS_BIOES };

struct berth_entity {
    size_t begin, end; /* words; end excluded */
    const char *type;  /* borrowed */
};
struct berth_entity_cursor { /* private, but on the caller's stack */
    const char *const *tags;
    size_t words, at, begin;
    enum berth_spans spans;
};
/* tags [words], an entry may be NULL: outside. Borrowed. */
void berth_entities_begin(struct berth_entity_cursor *c, const char *const *tags, size_t words,
                          enum berth_spans spans);
/* The next entity from left to right; false when there is none. */
bool berth_entity_next(struct berth_entity_cursor *c, struct berth_entity *out);

struct berth_span_counts {
    int64_t gold, predicted, correct;
};
/* Adds one sentence's entities; correct ones have the same type at the same words on both sides. */
void berth_span_count(struct berth_span_counts *counts, const char *const *gold, const char *const *predicted,
                      size_t words, enum berth_spans spans);
double berth_span_f1(const struct berth_span_counts *counts);

#endif /* BERTH_TAGS_H */
