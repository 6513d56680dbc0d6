/* task_gradients_priv.h: the gradients of each task: task_gradients.c makes and fills the buffers,
 * gradient_products.c is what is done with them.
 *
 *     gradients of the caller   | tokens |  position ... last layer, pooler  | heads ...
 *     buffer, group 0                    [ span floats                     ]
 *             group 1                    [                                 ]     and so on
 *     rows, group 0             [rows of the token table: those of the tokens that the step met]
 *           group 1             [the same tokens in the same order             ]     and so on
 *
 * A group is a wanted task. Rows of all groups are of the same tokens, in the order in which the step first met them, so
 * that products are those of two arrays; several batches of a step add up. `dense`: the token table lies in the span. */
#ifndef TASK_GRADIENTS_PRIV_H
#define TASK_GRADIENTS_PRIV_H

#include "model/model_priv.h"

struct berth_task_gradients {
    struct berth_model *m;
    float **gradients; /* [parameter_count] the caller's places */
    bool *shared;      /* [parameter_count] split by task */
    bool *trained;     /* [parameter_count] of those: they count */
    bool representation;
    int groups;
    int *head_of;  /* [groups] */
    int *group_of; /* [head_count], -1: not wanted */
    bool dense;    /* the token table lies in the span */
    bool as_rows;  /* the token table's gradient is kept as rows */
    float *base;   /* the caller's: where the span begins; NULL: nothing shared is trained but the token table */
    int64_t span;  /* floats */
    float *buffer; /* [groups, span] device */
    float *rows;   /* [groups, capacity, H] device */
    int64_t capacity, used;
    int32_t *row_of;                  /* [V] token -> row, -1: none yet */
    int32_t *tokens;                  /* [V] row -> token */
    struct berth_arrangement arranged;
    int64_t *starts;                  /* [groups + 1] packed rows */
    bool *wanted, *items_are_rows;    /* [head_count] */
    int32_t *lists;                   /* [4, T]: token rows; orders of tokens, positions, segments, each group's together */
    int32_t *scratch;                 /* host */
    size_t list_capacity, scratch_capacity;
    float *hidden;                    /* [groups, T, H] step memory: gradients by the representation */
    int64_t hidden_count;             /* T H */
    double *products;                 /* [groups, groups, 2] device */
    double *host_products;            /* the same */
    double *gram;                     /* [groups, groups] representation: of the batches walked */
};

#endif /* TASK_GRADIENTS_PRIV_H */
