/* tape_priv.h: the record behind tape.h.
 *
 * Life of an activation's memory:
 *
 *     made by an operation ──▶ held by the caller ──berth_tape_drop──▶ nobody's: back to the step memory
 *                                    │                                     ▲
 *                                    └── references: recorded nodes that ──┘ (the last one's backward is done)
 *                                        read its data in backward
 *
 * A node owns the step memory in mem[]; once its backward has run it gives back mem[], its references, and its
 * output's gradient (unless that memory became its input's gradient).
 */
#ifndef BERTH_TAPE_PRIV_H
#define BERTH_TAPE_PRIV_H

#include "berth/tape.h"

/* ---- step memory: device memory handed out by size, all taken back at a reset (step_memory.c) */
struct step_chunk {
    char *base;
    size_t size, used;
};
struct step_list { /* free blocks of one size */
    size_t size;
    void **blocks;
    size_t count, capacity;
};
struct step_memory {
    struct berth_device *dev; /* borrowed */
    struct step_chunk *chunks;
    size_t chunk_count, chunk_capacity, chunk_now;
    struct step_list *lists;
    size_t list_count, list_made, list_capacity; /* in this step; ever, their arrays are reused */
    size_t held;         /* bytes of all chunks */
    int64_t allocations; /* requests to the device */
};
void step_memory_init(struct step_memory *m, struct berth_device *dev);
void step_memory_deinit(struct step_memory *m);
void step_memory_reset(struct step_memory *m);
/* 256-byte aligned, not zeroed; zero bytes are allowed. */
berth_status step_memory_take(struct step_memory *m, void *out_pointer, size_t bytes) BERTH_CHECKED;
/* bytes as asked at the take. NULL is allowed. */
void step_memory_give(struct step_memory *m, void *pointer, size_t bytes);

/* ---- the record */
#define TAPE_OP_MAP(X)                                                                                       \
    X(linear) X(embedding) X(bias_act) X(layernorm) X(dropout) X(attention) X(gather_rows) X(mean_pool)      \
    X(cross_entropy) X(scaled_sum) X(add)
enum tape_op {
#define X(name) TAPE_OP_##name,
    TAPE_OP_MAP(X)
#undef X
        TAPE_OP_COUNT
};

struct tape_node {
    enum tape_op op;
    struct berth_tensor *in[5];
    struct berth_tensor *saved[3]; /* tensors whose data backward reads: each holds one reference */
    struct berth_tensor *out;
    void *mem[3];
    size_t mem_bytes[3];
    struct berth_dropout dropout;
    bool has_dropout;
    union {
        struct berth_embedding_rows embedding;
        struct {
            const int32_t *cu_seqlens;
            int64_t sequences, max_length, heads;
            float scale;
        } attention;
        struct {
            const int32_t *rows, *cu_seqlens;
            int64_t count;
        } rows;
        struct {
            const int32_t *labels;
            const float *class_weight;
            float smoothing;
        } loss;
        enum berth_activation activation;
        float scale;
    } u;
};

#define TAPE_SLAB 256
struct berth_tape {
    struct berth_device *dev;
    struct step_memory memory;
    bool record;
    struct berth_tensor **tensor_slabs; /* [slab_count] of TAPE_SLAB tensors: addresses stay while tensors are added */
    size_t slab_count, slab_capacity, tensor_count;
    struct tape_node *nodes;
    size_t node_count, node_capacity;
};

typedef berth_status tape_backward_fn(struct berth_tape *tape, struct tape_node *node);
#define X(name) tape_backward_fn tape_backward_##name;
TAPE_OP_MAP(X)
#undef X
const char *tape_op_name(enum tape_op op);

/* True when an operation over these inputs (NULLs allowed) goes on the record. */
bool tape_needs_grad(const struct berth_tape *tape, struct berth_tensor *const *inputs, int count);
/* Appends a node and marks `out` as needing a gradient. */
berth_status tape_record(struct berth_tape *tape, struct tape_node **node, enum tape_op op,
                         struct berth_tensor *out) BERTH_CHECKED;
/* Keeps a tensor's data for the node's backward. */
void tape_save(struct tape_node *node, int slot, struct berth_tensor *t);
/* Step memory owned by the node. */
berth_status tape_node_memory(struct berth_tape *tape, struct tape_node *node, int slot, size_t bytes) BERTH_CHECKED;

/* Gives the data back when neither the caller nor a node needs it. */
void tensor_release_data(struct berth_tape *tape, struct berth_tensor *t);
int64_t tensor_count(const struct berth_tensor *t);
size_t tensor_bytes(const struct berth_tensor *t);
/* "[61, 384]" in a buffer that the next few calls of this thread reuse: for messages. */
const char *tensor_shape_text(const struct berth_tensor *t);

/* The memory of t's gradient, allocated when needed; *accumulate: it holds something already (parameters: always). */
berth_status tape_grad(struct berth_tape *tape, struct berth_tensor *t, int *accumulate) BERTH_CHECKED;
/* As tape_grad, zeroed when it held nothing: for operations that only add. */
berth_status tape_grad_zeroed(struct berth_tape *tape, struct berth_tensor *t) BERTH_CHECKED;
/* out's gradient, changed in place, becomes (or is added to) that of t: same shape and type. */
berth_status tape_grad_pass(struct berth_tape *tape, struct berth_tensor *t, struct berth_tensor *out) BERTH_CHECKED;

/* bias' gradient += column sums of dy[rows, columns]. */
berth_status tape_bias_grad(struct berth_tape *tape, struct berth_tensor *bias, const void *dy, int64_t rows,
                            int64_t columns, enum berth_dtype dtype) BERTH_CHECKED;

/* The kernels' form of a dropout; rate 0 or NULL: none. */
bool tape_dropout_set(struct berth_dropout *to, const struct berth_tape_dropout *from);

#endif /* BERTH_TAPE_PRIV_H */
