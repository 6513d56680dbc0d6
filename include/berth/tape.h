/* tape.h: a tape-based autograd engine over a device's operations.
 *
 * Operations are recorded as they run; backward walks the record in reverse. A tensor is a view of memory it does
 * not own: parameters belong to the caller, the rest to the tape's step memory, which tape_reset takes back.
 *
 *     berth_tape_reset(tape, training);
 *     struct berth_tensor *x, *h, *y, *rows, *loss;
 *     BERTH_TRY(berth_op_embedding(tape, &x, tok, pos, seg, &ids));
 *     BERTH_TRY(berth_op_linear(tape, &h, x, w, NULL));               // h = x wT
 *     BERTH_TRY(berth_op_bias_act(tape, &y, h, bias, BERTH_ACT_GELU));
 *     BERTH_TRY(berth_op_cross_entropy(tape, &rows, y, labels, NULL, 0.0f));
 *     BERTH_TRY(berth_op_scaled_sum(tape, &loss, rows, 1.0f / n));
 *     BERTH_TRY(berth_tape_backward(tape, loss));                     // parameters' grad += dloss/dparameter
 *
 * Pruning: a tensor needs a gradient when it is a parameter with a gradient buffer, or was computed from one. An
 * operation whose inputs need none is not recorded, saves nothing, and its inputs' memory returns to the tape as
 * soon as they are dropped (berth_tape_drop).
 * Accumulation: the first contribution to an activation's gradient is written (=), later ones added (+=);
 * parameters' gradients are always added to: the caller zeroes them once an optimizer step.
 * Memory: one arena of device memory; step memory is handed out from its free ranges, gradients of activations
 * return as soon as they were used. An activation lives until the caller dropped it and the record is done with it.
 * After the first steps of a size no memory is asked of the system (berth_tape_allocations counts). One tape is
 * used by one thread.
 */
#ifndef BERTH_TAPE_H
#define BERTH_TAPE_H

#include "berth/device.h"

struct berth_tensor {
    void *data;
    void *grad; /* same shape; parameters: float, the caller's; NULL: none */
    int64_t split;    /* parameters: floats from one group's gradient to the next one's; 0: grad is of all rows */
    const void *half; /* parameters: data in bf16, the caller's; NULL: none. For products with bf16 activations */
    enum berth_dtype dtype;
    int rank;
    int64_t shape[4];
    bool needs_grad;
    bool is_parameter;
    bool grad_written; /* activations: the gradient holds something */
    bool dropped;      /* the caller does not use it any more */
    int references;    /* recorded nodes that still read data in backward */
    size_t bytes;      /* of data when the tape owns it, else 0 */
};

struct berth_tape;

berth_status berth_tape_create(struct berth_tape **out, struct berth_device *dev) BERTH_CHECKED;
void berth_tape_free(struct berth_tape *tape);
/* Begins a step: all tensors of the step before are gone. record: false for inference (nothing is saved). A step
 * that had to ask the device for more is followed by one request for a single block of the whole size. */
void berth_tape_reset(struct berth_tape *tape, bool record);
/* Asks the device for one block of step memory now, so that steps which need no more ask for nothing. Before the first
 * step, or between two. Less is no error where the device has not that much: steps then ask for what they need. */
void berth_tape_reserve(struct berth_tape *tape, size_t bytes);
/* Graphs go on using memory that the tape has back: under the address sanitizer none of it is poisoned. Before its first
 * step. */
void berth_tape_open(struct berth_tape *tape);
struct berth_device *berth_tape_device(struct berth_tape *tape);
size_t berth_tape_memory(const struct berth_tape *tape);       /* bytes held from the device */
int64_t berth_tape_allocations(const struct berth_tape *tape); /* requests to the device since creation */
int64_t berth_tape_recorded(const struct berth_tape *tape);    /* operations on the record now */

/* A tensor over memory of the caller (device memory). grad NULL: constant or frozen. */
berth_status berth_tape_parameter(struct berth_tape *tape, struct berth_tensor **out, float *data, float *grad,
                                  int rank, const int64_t *shape) BERTH_CHECKED;
/* Gives a parameter its values in bf16 as well (device memory, same shape). */
void berth_tape_parameter_half(struct berth_tensor *parameter, const void *half);
/* Step memory with a copy of host bytes; on a device with host memory the pointer itself (no copy): it must then
 * live until the next reset. */
berth_status berth_tape_upload(struct berth_tape *tape, const void **out, const void *host,
                               size_t bytes) BERTH_CHECKED;
/* An uninitialised step tensor / raw step memory. */
berth_status berth_tape_tensor(struct berth_tape *tape, struct berth_tensor **out, enum berth_dtype dtype, int rank,
                               const int64_t *shape) BERTH_CHECKED;
/* The caller will not use this tensor again (it may still be on the record). Optional: frees memory early. Twice, or
 * NULL, is allowed; an operation over a dropped tensor is a mistake. */
void berth_tape_drop(struct berth_tape *tape, struct berth_tensor *t);
/* Walks back from a scalar: d loss/d loss = 1. Once a step: it uses up the record, and later operations of the step
 * are not recorded. Data of tensors that were not dropped stay readable. A loss that needs no gradient: nothing. */
berth_status berth_tape_backward(struct berth_tape *tape, struct berth_tensor *loss) BERTH_CHECKED;
/* Walks back from several tensors with given gradients (device memory, same shapes; only read). */
berth_status berth_tape_backward_from(struct berth_tape *tape, struct berth_tensor *const *outputs,
                                      const void *const *gradients, int count) BERTH_CHECKED;

/* ---- gradients by groups of rows (tasks). Activations are walked back once over all rows; only the sums that make a
 * split parameter's gradient are taken a group at a time, each into the group's own buffer.
 * starts [groups + 1], host memory that lives until the next reset: group g's packed rows are starts[g] ..
 * starts[g+1]-1. After the reset, before the first operation; each reset ends it. */
void berth_tape_split(struct berth_tape *tape, const int64_t *starts, int groups);
/* Rows of the operations from here on: -1 the packed rows of all groups (as it begins), g: rows of group g alone. */
void berth_tape_group(struct berth_tape *tape, int group);
/* The parameter's gradient of group g lies at grad + g * stride (floats). */
void berth_tape_parameter_split(struct berth_tensor *parameter, int64_t stride);
/* *out is x; in backward its gradient (float, x's shape) is also written to `gradient`, device memory of the caller,
 * which stays as it is where no gradient comes. Recorded whether x needs a gradient or not. */
berth_status berth_op_tap(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                          float *gradient) BERTH_CHECKED;

/* ---- computing again instead of keeping. run computes y from x by operations of the tape; in forward nothing of it is
 * kept but x, in backward it runs once more, recorded. It must do the same both times (user, and all that it reads,
 * live until the walk back is done), use no other tensor that needs a gradient but parameters and x, and may drop x.
 * trains: it has parameters with a gradient; without, and with an x that needs none, it runs once and that is all. The
 * same bits as without: what is computed, and the order of every sum, are the same. */
typedef berth_status berth_segment_run(void *user, struct berth_tensor *x, struct berth_tensor **y);
berth_status berth_op_segment(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x, bool trains,
                              berth_segment_run *run, void *user) BERTH_CHECKED;

/* ---- dropout of a step: which mask. rate 0 means none. */
struct berth_tape_dropout {
    float rate;
    uint32_t site;
    const uint32_t *key;     /* device memory [3]: seed low, seed high, step */
    const int32_t *ordinal;  /* device memory [rows], attention: [B] */
    const int32_t *position; /* device memory [rows] */
};

/* ---- operations; inputs may be NULL where said. Shapes are asserted (they are berth's own doing). */
struct berth_embedding_rows { /* device memory */
    const int32_t *tokens, *positions, *segments;                   /* [T]; segments NULL with seg NULL */
    const int32_t *token_order, *position_order, *segment_order;    /* [T]; split: sorted within each group */
    const int32_t *token_rows; /* [T] rows of the tokens' gradients; NULL: the tokens themselves */
    int64_t count;                                                  /* T */
};
/* [T, H] = token[V, H] + position[P, H] + segment[S, H] (seg NULL: without) */
berth_status berth_op_embedding(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *token,
                                struct berth_tensor *position, struct berth_tensor *segment,
                                const struct berth_embedding_rows *rows) BERTH_CHECKED;
/* dropout(layernorm(embedding)): the three operations in one pass; dropout may be NULL. */
berth_status berth_op_embedding_norm(struct berth_tape *tape, struct berth_tensor **out,
                                     struct berth_tensor *token, struct berth_tensor *position,
                                     struct berth_tensor *segment, struct berth_tensor *gamma,
                                     struct berth_tensor *beta, const struct berth_embedding_rows *rows,
                                     float eps, const struct berth_tape_dropout *dropout) BERTH_CHECKED;
/* [T, N] = x[T, H] w[N, H]ᵀ (+ bias[N]). x bf16: w's bf16 copy is used, sums are float, the output is bf16; gradients of
 * w and bias are float. */
berth_status berth_op_linear(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                             struct berth_tensor *w, struct berth_tensor *bias) BERTH_CHECKED;
/* x in another element type; its gradient goes back in x's own. The same type: *out is x itself. */
berth_status berth_op_cast(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                           enum berth_dtype dtype) BERTH_CHECKED;
/* [T, N] = f(x + bias); bias may be NULL */
berth_status berth_op_bias_act(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                               struct berth_tensor *bias, enum berth_activation kind) BERTH_CHECKED;
/* [T, H] = layernorm(dropout(x) + residual); residual and dropout may be NULL. x is dropped: its memory is reused. */
berth_status berth_op_layernorm(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                                struct berth_tensor *residual, struct berth_tensor *gamma,
                                struct berth_tensor *beta, float eps,
                                const struct berth_tape_dropout *dropout) BERTH_CHECKED;
/* mask x / share kept; rate 0: *out is x itself */
berth_status berth_op_dropout(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                              const struct berth_tape_dropout *dropout) BERTH_CHECKED;
/* [T, H] from qkv [T, 3H]; heads A, D = H/A, scale 1/sqrt(D) */
berth_status berth_op_attention(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *qkv,
                                const int32_t *cu_seqlens, int64_t sequences, int64_t max_length, int64_t heads,
                                const struct berth_tape_dropout *dropout) BERTH_CHECKED;
/* [R, H] = x[rows]; rows in device memory, distinct */
berth_status berth_op_gather_rows(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                                  const int32_t *rows, int64_t count) BERTH_CHECKED;
/* [R, H]: mean over the tokens of sequences seqs[R] */
berth_status berth_op_mean_pool(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                                const int32_t *seqs, const int32_t *cu_seqlens, int64_t count) BERTH_CHECKED;
/* [R] item losses of logits [R, K]; labels in device memory, -1 masked */
berth_status berth_op_cross_entropy(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *logits,
                                    const int32_t *labels, const float *class_weight, float smoothing) BERTH_CHECKED;
/* [R] focal losses of logits [R, K]; labels as above */
berth_status berth_op_focal(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *logits,
                            const int32_t *labels, const float *class_weight, float gamma) BERTH_CHECKED;
/* [R] binary cross-entropies of logits [R, K] against targets [R, K] (negative: masked); positive_weight [K] or NULL */
berth_status berth_op_bce(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *logits,
                          const float *targets, const int32_t *labels, const float *positive_weight, float smoothing,
                          float gamma) BERTH_CHECKED;
/* [R] losses of numbers y [R, 1] against target [R]; delta: huber's */
berth_status berth_op_error(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *y,
                            const float *target, const int32_t *labels, enum berth_error_kind kind,
                            float delta) BERTH_CHECKED;
/* [R, H] = scale x / |x|, a row at a time */
berth_status berth_op_normalize(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                                float scale) BERTH_CHECKED;
/* [R, 1] float: a·b of each row of a and b [R, H] */
berth_status berth_op_row_dot(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *a,
                              struct berth_tensor *b) BERTH_CHECKED;
/* [R] CoSENT of numbers y [R, 1]: each row that is not masked has the whole loss */
berth_status berth_op_cosent(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *y,
                             const float *target, const int32_t *labels, float scale) BERTH_CHECKED;
/* [R] of logits [R, K]: a sequence's loss at its first row, 0 at the others; transitions [K, K], start and end [K] are
 * parameters; cu_items [S+1] in device memory, every sequence has a row */
berth_status berth_op_crf(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *logits,
                          struct berth_tensor *transitions, struct berth_tensor *start, struct berth_tensor *end,
                          const int32_t *labels, const int32_t *cu_items, int64_t sequences) BERTH_CHECKED;
/* [T, H] = prior + gamma softmax(w)[layer] x; prior NULL: without; w [layers] and gamma [1] are parameters */
berth_status berth_op_mix(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *prior,
                          struct berth_tensor *x, struct berth_tensor *w, struct berth_tensor *gamma,
                          int64_t layer) BERTH_CHECKED;
/* factor x, of x's shape; float */
berth_status berth_op_scale(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                            float factor) BERTH_CHECKED;
/* [1] = scale Σ x */
berth_status berth_op_scaled_sum(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                                 float scale) BERTH_CHECKED;
/* [1] = a + b */
berth_status berth_op_add(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *a,
                          struct berth_tensor *b) BERTH_CHECKED;

/* ---- check of a whole graph: rebuild() records it anew (the tape was reset) and gives its loss; compares the
 * analytic gradient of one parameter with (loss(+h) - loss(-h)) / 2h, every value of it moved up or down by h as
 * `seed` draws. Writes both to *analytic and *numeric. data is restored, grad holds the gradient afterwards. */
typedef berth_status berth_rebuild(struct berth_tape *tape, struct berth_tensor **loss, void *user);
berth_status berth_tape_check_direction(struct berth_tape *tape, berth_rebuild *rebuild, void *user, float *data,
                                        float *grad, int64_t count, uint64_t seed, float h, double *analytic,
                                        double *numeric) BERTH_CHECKED;

#endif /* BERTH_TAPE_H */
