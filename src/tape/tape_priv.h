/* tape_priv.h: what the files of the tape share.
 *
 *     step_memory.c   device memory of a step          tape.c       the record: reset, record, save
 *     tensor.c        tensors, shapes, gradients       backward.c   the walk back
 *     gradcheck.c     analytic against numeric         op_*.c       an operation's shapes, forward and backward
 *
 * An operation's forward computes into step memory; when an input needs a gradient (tape_needs) it records a
 * node, says which tensors' data backward will read (tape_save) and hands over its own step memory (tape_keep).
 * Its backward finds the gradient of its output in node->out->grad, and contributes to the gradients of those
 * inputs that need one: by tape_gradient where the kernel can add, by tape_take_gradient and tape_give_gradient
 * where it writes. What the node saved and kept, and its output's gradient, are freed behind it. */
#ifndef BERTH_TAPE_PRIV_H
#define BERTH_TAPE_PRIV_H

#include "berth/tape.h"

/* The operations: enum TAPE_UPPER, name, op_NAME_backward. */
#define TAPE_OP_MAP(X)                                                                                         \
    X(EMBEDDING, embedding)                                                                                    \
    X(LINEAR, linear)                                                                                          \
    X(SEGMENT, segment)                                                                                        \
    X(TAP, tap)                                                                                                \
    X(CAST, cast)                                                                                              \
    X(BIAS_ACT, bias_act)                                                                                      \
    X(LAYERNORM, layernorm)                                                                                    \
    X(DROPOUT, dropout)                                                                                        \
    X(ATTENTION, attention)                                                                                    \
    X(GATHER_ROWS, gather_rows)                                                                                \
    X(MEAN_POOL, mean_pool)                                                                                    \
    X(CROSS_ENTROPY, cross_entropy)                                                                            \
    X(FOCAL, focal)                                                                                            \
    X(BCE, bce)                                                                                                \
    X(ERROR, error)                                                                                            \
    X(NORMALIZE, normalize)                                                                                    \
    X(ROW_DOT, row_dot)                                                                                        \
    X(COSENT, cosent)                                                                                          \
    X(CRF, crf)                                                                                                \
    X(MIX, mix)                                                                                                \
    X(SCALE, scale)                                                                                            \
    X(SCALED_SUM, scaled_sum)                                                                                  \
    X(ADD, add)

enum tape_op {
#define X(upper, name) TAPE_##upper,
    TAPE_OP_MAP(X)
#undef X
        TAPE_OPS
};

/* ------------------------------------------------------------------ memory of a step (step_memory.c) */

struct step_range {
    unsigned char *start;
    size_t size;
};

struct step_memory {
    struct berth_device *dev;
    struct step_range *blocks; /* asked of the device */
    size_t block_count, block_capacity;
    struct step_range *holes; /* free ranges, none two of them neighbours in one block */
    size_t hole_count, hole_capacity;
    size_t live;       /* ranges handed out */
    size_t used, peak; /* bytes handed out now, and the most since the last reset */
    size_t held;       /* bytes of blocks */
    size_t planned;    /* bytes of the next block at least */
    int64_t requests;  /* to the device */
    bool open;         /* graphs use it beyond what is handed out: holes are not poisoned */
};

void step_memory_init(struct step_memory *m, struct berth_device *dev);
void step_memory_deinit(struct step_memory *m);
/* 64-byte aligned device memory, not zeroed; a valid pointer for 0 bytes too. */
berth_status step_memory_alloc(struct step_memory *m, void *out_pointer, size_t bytes) BERTH_CHECKED;
/* bytes as they were asked for; NULL is allowed. */
void step_memory_free(struct step_memory *m, void *pointer, size_t bytes);
void step_memory_reset(struct step_memory *m);
/* One free block of at least `bytes` in place of those that are held; after a reset. What the device has not is not had. */
void step_memory_reserve(struct step_memory *m, size_t bytes);

/* ------------------------------------------------------------------ the record */

enum { TAPE_INPUTS = 4, TAPE_SAVED = 2, TAPE_KEPT = 3, TAPE_ARGUMENTS = 96, TENSORS_A_SLAB = 128 };

/* Step memory that a node owns. */
struct tape_kept {
    void *data;
    size_t bytes;
};

struct tape_node {
    enum tape_op op;
    int group; /* whose rows it works on; -1: packed rows of all */
    struct berth_tensor *out;
    struct berth_tensor *in[TAPE_INPUTS]; /* NULL: not given */
    struct berth_tensor *saved[TAPE_SAVED];
    int saved_count;
    struct tape_kept kept[TAPE_KEPT]; /* the operation's meaning */
    _Alignas(16) unsigned char arguments[TAPE_ARGUMENTS];
};

struct tensor_slab {
    struct berth_tensor tensors[TENSORS_A_SLAB];
};

struct berth_tape {
    struct berth_device *dev;
    bool recording;
    bool walked;           /* backward has used the record up */
    const int64_t *starts; /* [groups + 1] */
    int groups, group;     /* groups 0: gradients are not split */
    struct step_memory memory;
    struct tensor_slab **slabs; /* tensors keep their address while a step lasts */
    size_t slab_count, slab_capacity, tensor_count;
    struct tape_node *nodes;
    size_t node_count, node_capacity;
};

const char *tape_op_name(enum tape_op op);
/* Whether an operation over these inputs is to be recorded. Entries may be NULL. */
bool tape_needs(const struct berth_tape *tape, struct berth_tensor *const *inputs, int count);
/* Appends a node; out needs a gradient from now on. *node is valid until the next record. */
berth_status tape_record(struct berth_tape *tape, struct tape_node **node, enum tape_op op,
                         struct berth_tensor *out, struct berth_tensor *const *inputs, int count) BERTH_CHECKED;
/* Copies an operation's arguments into its node; `size` is checked against the room. */
void tape_set_arguments(struct tape_node *node, const void *arguments, size_t size);
/* Backward of this node will read t's data. */
void tape_save(struct tape_node *node, struct berth_tensor *t);
/* The node takes step memory, freed behind its backward. */
void tape_keep(struct tape_node *node, int slot, void *data, size_t bytes);
/* Ends the use of what the node saved and kept, and of its output's gradient. */
void tape_release(struct berth_tape *tape, struct tape_node *node);
/* Ends the use of one saved tensor before the node's end, so that its memory serves the node itself. */
void tape_release_saved(struct berth_tape *tape, struct tape_node *node, struct berth_tensor *t);

/* ------------------------------------------------------------------ tensors (tensor.c) */

int64_t tensor_count(const struct berth_tensor *t); /* elements */
size_t tensor_bytes(const struct berth_tensor *t);
bool tensor_same_shape(const struct berth_tensor *a, const struct berth_tensor *b);
bool tensor_is_vector(const struct berth_tensor *t, int64_t length); /* [N], or [1, N] */
/* Needs a gradient; false for NULL. */
bool tensor_wants(const struct berth_tensor *t);

struct tensor_text {
    char text[96];
};
/* "f32 [12, 384]", "nothing" for NULL: for messages. */
struct tensor_text tensor_describe(const struct berth_tensor *t);

/* A mistake of the caller when an input is gone: dropped, or taken by layernorm. */
void tensor_check_input(const struct berth_tensor *t, const char *op, const char *name);
/* A step tensor of one or two dimensions. */
berth_status tensor_output(struct berth_tape *tape, struct berth_tensor **out, enum berth_dtype dtype, int rank,
                           int64_t d0, int64_t d1) BERTH_CHECKED;
/* A tensor over x's data, of x's type and shape; nothing is freed with it. */
berth_status tensor_view(struct berth_tape *tape, struct berth_tensor **out,
                         struct berth_tensor *x) BERTH_CHECKED;
/* Frees data that nobody needs any more. */
void tensor_settle(struct berth_tape *tape, struct berth_tensor *t);

/* The memory where a contribution to t's gradient goes: *accumulate says whether to add to it or to write it.
 */
berth_status tape_gradient(struct berth_tape *tape, struct berth_tensor *t, void **to,
                           int *accumulate) BERTH_CHECKED;
/* Takes the gradient's memory out of a node's output; the caller gives it on or frees it (tape_discard). */
void *tape_take_gradient(struct berth_tensor *out);
/* A whole contribution to t's gradient in step memory of t's size: becomes the gradient, or is added and freed.
 */
berth_status tape_give_gradient(struct berth_tape *tape, struct berth_tensor *t,
                                void *contribution) BERTH_CHECKED;
/* A contribution that stays the caller's: copied, or added. */
berth_status tape_copy_gradient(struct berth_tape *tape, struct berth_tensor *t,
                                const void *contribution) BERTH_CHECKED;
/* Frees memory of t's size. */
void tape_discard(struct berth_tape *tape, const struct berth_tensor *t, void *memory);
/* A share of a parameter's gradient: rows first .. first+rows-1 of the node's, summed at grad + offset. */
struct tape_part {
    int64_t first, rows, offset;
};
/* Share number i of `rows` rows; false behind the last one. */
bool tape_part(const struct berth_tape *tape, const struct tape_node *node,
               const struct berth_tensor *parameter, int64_t rows, int i, struct tape_part *part);
/* Where the whole of a node's contribution to a parameter's gradient goes; NULL: it wants none. Split
 * parameters: of a node that works on rows of one group. */
float *tape_parameter_gradient(const struct tape_node *node, const struct berth_tensor *parameter,
                               const char *op);
/* bias' gradient += column sums of x [T, N], in shares */
berth_status tape_add_columns(struct berth_tape *tape, const struct tape_node *node, struct berth_tensor *bias,
                              const void *x, int64_t rows, int64_t columns,
                              enum berth_dtype dtype) BERTH_CHECKED;

/* The kernel's form of a dropout; threshold 0 (none) for NULL. */
struct berth_dropout tape_dropout(const struct berth_tape_dropout *dropout);

/* ------------------------------------------------------------------ backward of the operations */

#define X(upper, name)                                                                                         \
    berth_status op_##name##_backward(struct berth_tape *tape, struct tape_node *node) BERTH_CHECKED;
TAPE_OP_MAP(X)
#undef X

/* ---- outputs and nodes of operations, not yet computed: for those that are computed with others in one pass */
struct norm_saved {
    void *x;                 /* x's data before pre took its memory */
    void *pre, *mean, *rstd; /* where the forward saves; NULL: nothing is saved */
};
berth_status op_layernorm_record(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                                 struct berth_tensor *residual, struct berth_tensor *gamma,
                                 struct berth_tensor *beta, const struct berth_tape_dropout *dropout,
                                 struct norm_saved *saved) BERTH_CHECKED;
berth_status op_dropout_record(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                               const struct berth_tape_dropout *dropout) BERTH_CHECKED;

#endif /* BERTH_TAPE_PRIV_H */
