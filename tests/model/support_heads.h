/* support_heads.h: a small model with a head of each kind, and a batch with items for all of them. */
#ifndef SUPPORT_HEADS_H
#define SUPPORT_HEADS_H

#include "model/support_model.h"

/* Sequences 0..3 are alone, 4..9 three pairs of the contrastive task (the middle one with the hard negative
 * 10), 11..14 two pairs of the similarity tasks. */
enum { SEQUENCES = 15, HEADS = 13 };
extern const int64_t BENCH_LENGTHS[SEQUENCES];
enum { INTENT, TOPIC, LABELS, NUMBER, HUBER, SLOTS, CHAIN, ALIKE, ORDER, SEARCH, WORDS, MIXED, SECOND };

struct bench {
    struct berth_device *device;
    struct berth_tape *tape;
    struct berth_model *model;
    struct berth_batch batch;
    float *grads, **pointers;
    struct berth_forward_options options;
    struct berth_tensor *outputs[HEADS], *losses[HEADS];
    int only; /* the one head whose loss counts; -1: all */
};

void bench_begin(struct bench *b);
void bench_end(struct bench *b);
void bench_put(struct berth_batch *b, int head, int32_t index, int32_t label, int32_t pair, int32_t negative,
               const float *target);
/* The mean of each head's labelled items, added up; of the one head `only`. user: the bench. */
berth_status bench_rebuild(struct berth_tape *tape, struct berth_tensor **loss, void *user);
void bench_inference(struct bench *b, const bool *wanted);

#endif /* SUPPORT_HEADS_H */
