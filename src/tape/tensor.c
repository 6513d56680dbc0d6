/* tensor.c: tensors, and what happens to their gradients.
 *
 * The life of an activation's memory:
 *
 *     data    from its operation  until  the caller dropped it and no node on the record will read it
 *     grad    from the first contribution in backward  until  its producer's backward is done
 *
 * A contribution is written where it is the first and added where it is not. A parameter's gradient is the
 * caller's, and always added to. */
#include <stdio.h>
#include <string.h>

#include "tape/tape_priv.h"

/* ------------------------------------------------------------------ shapes */

int64_t tensor_count(const struct berth_tensor *t) {
    int64_t count = 1;
    for (int i = 0; i < t->rank; i++)
        count *= t->shape[i];
    return count;
}

size_t tensor_bytes(const struct berth_tensor *t) {
    return (size_t)tensor_count(t) * berth_dtype_size(t->dtype);
}

bool tensor_same_shape(const struct berth_tensor *a, const struct berth_tensor *b) {
    if (a->rank != b->rank || a->dtype != b->dtype) return false;
    for (int i = 0; i < a->rank; i++) {
        if (a->shape[i] != b->shape[i]) return false;
    }
    return true;
}

bool tensor_is_vector(const struct berth_tensor *t, int64_t length) {
    return t->rank >= 1 && t->shape[t->rank - 1] == length && tensor_count(t) == length;
}

bool tensor_wants(const struct berth_tensor *t) {
    return t != NULL && t->needs_grad;
}

struct tensor_text tensor_describe(const struct berth_tensor *t) {
    struct tensor_text out = {"nothing"};
    if (t == NULL) return out;
    int n = snprintf(out.text, sizeof out.text, "%s [", berth_dtype_name(t->dtype));
    for (int i = 0; i < t->rank && n < (int)sizeof out.text; i++)
        n += snprintf(out.text + n, sizeof out.text - (size_t)n, "%s%lld", i > 0 ? ", " : "",
                      (long long)t->shape[i]);
    if (n < (int)sizeof out.text) (void)snprintf(out.text + n, sizeof out.text - (size_t)n, "]");
    return out;
}

void tensor_check_input(const struct berth_tensor *t, const char *op, const char *name) {
    BERTH_ASSERT_MSG(t != NULL, "%s: %s is missing", op, name);
    BERTH_ASSERT_MSG(t->data != NULL && !t->dropped, "%s: %s, %s, was dropped before", op, name,
                     tensor_describe(t).text);
}

/* ------------------------------------------------------------------ making and dropping */

static berth_status new_tensor(struct berth_tape *tape, struct berth_tensor **out, enum berth_dtype dtype,
                               int rank, const int64_t *shape) {
    BERTH_ASSERT_MSG(rank >= 0 && rank <= 4, "rank %d", rank);
    const size_t slab = tape->tensor_count / TENSORS_A_SLAB;
    if (slab == tape->slab_count) {
        BERTH_TRY(berth_grow(&tape->slabs, &tape->slab_capacity, slab + 1, sizeof *tape->slabs));
        BERTH_TRY(berth_calloc(&tape->slabs[slab], 1, sizeof *tape->slabs[slab]));
        tape->slab_count++;
    }
    struct berth_tensor *t = &tape->slabs[slab]->tensors[tape->tensor_count++ % TENSORS_A_SLAB];
    *t = (struct berth_tensor){.dtype = dtype, .rank = rank};
    for (int i = 0; i < rank; i++) {
        BERTH_ASSERT_MSG(shape[i] >= 0, "dimension %d is %lld", i, (long long)shape[i]);
        t->shape[i] = shape[i];
    }
    *out = t;
    return BERTH_OK;
}

berth_status berth_tape_parameter(struct berth_tape *tape, struct berth_tensor **out, float *data, float *grad,
                                  int rank, const int64_t *shape) {
    struct berth_tensor *t = NULL;
    BERTH_ASSERT_MSG(data != NULL, "a parameter without data");
    BERTH_TRY(new_tensor(tape, &t, BERTH_F32, rank, shape));
    t->data = data;
    t->grad = grad;
    t->is_parameter = true;
    t->needs_grad = grad != NULL;
    *out = t;
    return BERTH_OK;
}

void berth_tape_parameter_split(struct berth_tensor *parameter, int64_t stride) {
    BERTH_ASSERT_MSG(parameter->is_parameter && stride >= 0, "%s, stride %lld", tensor_describe(parameter).text,
                     (long long)stride);
    parameter->split = stride;
}

void berth_tape_parameter_half(struct berth_tensor *parameter, const void *half) {
    BERTH_ASSERT_MSG(parameter->is_parameter, "%s is no parameter", tensor_describe(parameter).text);
    parameter->half = half;
}

berth_status berth_tape_upload(struct berth_tape *tape, const void **out, const void *host, size_t bytes) {
    void *p = NULL;
    if (tape->dev->backend->host_memory) {
        *out = host;
        return BERTH_OK;
    }
    BERTH_TRY(step_memory_alloc(&tape->memory, &p, bytes));
    if (bytes > 0) BERTH_TRY(berth_device_upload(tape->dev, p, host, bytes));
    *out = p;
    return BERTH_OK;
}

berth_status berth_tape_tensor(struct berth_tape *tape, struct berth_tensor **out, enum berth_dtype dtype,
                               int rank, const int64_t *shape) {
    struct berth_tensor *t = NULL;
    BERTH_TRY(new_tensor(tape, &t, dtype, rank, shape));
    const size_t bytes = tensor_bytes(t);
    BERTH_TRY(step_memory_alloc(&tape->memory, &t->data, bytes));
    t->bytes = bytes > 0 ? bytes : 1; /* 0 would say that the tape owns nothing */
    *out = t;
    return BERTH_OK;
}

berth_status tensor_output(struct berth_tape *tape, struct berth_tensor **out, enum berth_dtype dtype, int rank,
                           int64_t d0, int64_t d1) {
    return berth_tape_tensor(tape, out, dtype, rank, (const int64_t[]){d0, d1});
}

berth_status tensor_view(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x) {
    BERTH_TRY(new_tensor(tape, out, x->dtype, x->rank, x->shape));
    (*out)->data = x->data;
    return BERTH_OK;
}

void tensor_settle(struct berth_tape *tape, struct berth_tensor *t) {
    if (!t->dropped || t->references > 0 || t->bytes == 0) return;
    step_memory_free(&tape->memory, t->data, t->bytes);
    t->data = NULL;
    t->bytes = 0;
}

void berth_tape_drop(struct berth_tape *tape, struct berth_tensor *t) {
    if (t == NULL || t->is_parameter) return;
    t->dropped = true;
    tensor_settle(tape, t);
}

/* ------------------------------------------------------------------ gradients */

berth_status tape_gradient(struct berth_tape *tape, struct berth_tensor *t, void **to, int *accumulate) {
    *accumulate = t->is_parameter || t->grad_written;
    if (!*accumulate) {
        BERTH_TRY(step_memory_alloc(&tape->memory, &t->grad, tensor_bytes(t)));
        t->grad_written = true;
    }
    *to = t->grad;
    return BERTH_OK;
}

void *tape_take_gradient(struct berth_tensor *out) {
    BERTH_ASSERT_MSG(!out->is_parameter && out->grad != NULL, "%s has no gradient to take",
                     tensor_describe(out).text);
    void *memory = out->grad;
    out->grad = NULL;
    out->grad_written = false;
    return memory;
}

berth_status tape_give_gradient(struct berth_tape *tape, struct berth_tensor *t, void *contribution) {
    if (!t->is_parameter && !t->grad_written) {
        t->grad = contribution;
        t->grad_written = true;
        return BERTH_OK;
    }
    BERTH_TRY(BERTH_OP(tape->dev, add(t->grad, contribution, tensor_count(t), t->dtype, tape->dev->stream)));
    tape_discard(tape, t, contribution);
    return BERTH_OK;
}

berth_status tape_copy_gradient(struct berth_tape *tape, struct berth_tensor *t, const void *contribution) {
    void *to = NULL;
    int accumulate = 0;
    BERTH_TRY(tape_gradient(tape, t, &to, &accumulate));
    if (!accumulate) return berth_device_copy(tape->dev, to, contribution, tensor_bytes(t));
    return BERTH_OP(tape->dev, add(to, contribution, tensor_count(t), t->dtype, tape->dev->stream));
}

void tape_discard(struct berth_tape *tape, const struct berth_tensor *t, void *memory) {
    step_memory_free(&tape->memory, memory, tensor_bytes(t));
}

bool tape_part(const struct berth_tape *tape, const struct tape_node *node,
               const struct berth_tensor *parameter, int64_t rows, int i, struct tape_part *part) {
    *part = (struct tape_part){0, rows, 0};
    if (parameter->split == 0 || tape->groups == 0) return i == 0;
    if (node->group >= 0) {
        part->offset = node->group * parameter->split;
        return i == 0;
    }
    if (i >= tape->groups) return false;
    BERTH_ASSERT_EQ(tape->starts[tape->groups], rows);
    part->first = tape->starts[i];
    part->rows = tape->starts[i + 1] - part->first;
    part->offset = i * parameter->split;
    return true;
}

float *tape_parameter_gradient(const struct tape_node *node, const struct berth_tensor *parameter,
                               const char *op) {
    if (!tensor_wants(parameter)) return NULL;
    BERTH_ASSERT_MSG(parameter->is_parameter, "%s: %s is no parameter", op, tensor_describe(parameter).text);
    if (parameter->split == 0) return parameter->grad;
    BERTH_ASSERT_MSG(node->group >= 0, "%s: a split parameter over the rows of all groups", op);
    return (float *)parameter->grad + node->group * parameter->split;
}

berth_status tape_add_columns(struct berth_tape *tape, const struct tape_node *node, struct berth_tensor *bias,
                              const void *x, int64_t rows, int64_t columns, enum berth_dtype dtype) {
    void *workspace = NULL;
    const size_t bytes = tape->dev->ops.column_sum_workspace(rows, columns), row = berth_dtype_size(dtype);
    struct tape_part part;
    BERTH_TRY(step_memory_alloc(&tape->memory, &workspace, bytes));
    for (int i = 0; tape_part(tape, node, bias, rows, i, &part); i++) {
        if (part.rows == 0) continue;
        const void *from = (const char *)x + (size_t)(part.first * columns) * row;
        BERTH_TRY(BERTH_OP(tape->dev, column_sum((float *)bias->grad + part.offset, from, workspace, part.rows,
                                                 columns, 1, dtype, tape->dev->stream)));
    }
    step_memory_free(&tape->memory, workspace, bytes);
    return BERTH_OK;
}

struct berth_dropout tape_dropout(const struct berth_tape_dropout *dropout) {
    if (dropout == NULL || dropout->rate <= 0.0f) return (struct berth_dropout){0};
    const uint32_t threshold = berth_dropout_threshold(dropout->rate);
    return (struct berth_dropout){.threshold = threshold > 0 ? threshold : 1, /* a rate above 0 is never none */
                                  .site = dropout->site,
                                  .key = dropout->key,
                                  .ordinal = dropout->ordinal,
                                  .position = dropout->position};
}
