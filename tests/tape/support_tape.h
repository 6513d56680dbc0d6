/* support_tape.h: what the tests of the tape share: a small encoder with two heads, and checks.
 *
 *     struct tape_encoder e;
 *     encoder_open(&e, (struct encoder_sizes){.layers = 2, ...});
 *     encoder_batch(&e, (const int64_t[]){1, 5, 3}, 3);
 *     check_ok(encoder_build(tape, &loss, &e));       // fits berth_rebuild
 *
 * The encoder is a post-norm one as the model's, with every operation of the tape in it: the sequences' first
 * rows go to one head, the means of all sequences to another, and the two losses are added. All memory is from
 * test_calloc, so cmocka reports what is not closed. */
#ifndef BERTH_TESTS_SUPPORT_TAPE_H
#define BERTH_TESTS_SUPPORT_TAPE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tape/tape_priv.h"

/* The CPU, opened for a group of tests: cmocka_run_group_tests(tests, open_device, close_device). */
extern struct berth_device *dev;
int open_device(void **state);
int close_device(void **state);

void check_ok(berth_status status);
/* Runs `body` in a child, which must abort with `text` in its message. */
void check_abort(void (*body)(void *user), void *user, const char *text);
/* Normal values times `scale`. */
void random_fill(float *x, int64_t n, uint32_t stream, double scale);
/* order[]: 0..n-1 sorted by (ids[t], t) */
void order_by_id(int32_t *order, const int32_t *ids, int64_t n);

struct encoder_sizes {
    int64_t layers, hidden, heads, inner, most_tokens;
    float rate;     /* of every dropout */
    int64_t frozen; /* 0: nothing; 1: embeddings; 1 + n: the first n layers as well */
};

struct encoder_parameter {
    char name[24];
    int rank;
    int64_t shape[2], count, stage; /* stage 0: embeddings, 1 + l: layer l, 1 + layers: heads */
    float *data, *grad;             /* device memory */
};

enum { ENCODER_PARAMETERS = 256, ENCODER_VOCABULARY = 37, ENCODER_POSITIONS = 64, ENCODER_CLASSES = 5 };

struct tape_encoder {
    struct encoder_sizes s;
    struct encoder_parameter parameters[ENCODER_PARAMETERS];
    int count;
    int64_t tokens, sequences, longest;
    /* arrays of the batch: [T], [B+1], [B] */
    int32_t *token, *position, *segment, *token_order, *position_order, *segment_order, *row_ordinal;
    int32_t *cu_seqlens, *ordinal, *label, *first_row, *sequence;
    uint32_t key[3];
    float class_weight[ENCODER_CLASSES];
};

void encoder_open(struct tape_encoder *e, struct encoder_sizes sizes);
void encoder_close(struct tape_encoder *e);
/* A batch of sequences with these lengths; tokens and labels depend on nothing else. */
void encoder_batch(struct tape_encoder *e, const int64_t *lengths, int64_t sequences);
/* As many sequences of up to `longest` tokens as make exactly `tokens`. */
void encoder_batch_of(struct tape_encoder *e, int64_t tokens, int64_t longest);
berth_status encoder_build(struct berth_tape *tape, struct berth_tensor **loss, void *encoder);
void encoder_zero_gradients(struct tape_encoder *e);
/* All gradients, one behind the other, hashed. */
struct berth_hash128 encoder_gradient_hash(const struct tape_encoder *e);

#endif /* BERTH_TESTS_SUPPORT_TAPE_H */
