/* tensor.c: tensors of a tape: made, named by shape, dropped. */
#include <inttypes.h>

#include "tape/tape_priv.h"

int64_t tensor_count(const struct berth_tensor *t) {
    int64_t count = 1;
    for (int i = 0; i < t->rank; i++) count *= t->shape[i];
    return count;
}

size_t tensor_bytes(const struct berth_tensor *t) {
    return (size_t)tensor_count(t) * berth_dtype_size(t->dtype);
}

const char *tensor_shape_text(const struct berth_tensor *t) {
    static _Thread_local char texts[4][96];
    static _Thread_local unsigned next;
    char *text = texts[next++ % 4];
    size_t used = (size_t)snprintf(text, sizeof texts[0], "[");
    for (int i = 0; i < t->rank; i++)
        used += (size_t)snprintf(text + used, sizeof texts[0] - used, "%s%" PRId64, i ? ", " : "", t->shape[i]);
    snprintf(text + used, sizeof texts[0] - used, "]");
    return text;
}

/* Slabs of tensors keep their addresses; a reset reuses them. */
static berth_status new_tensor(struct berth_tape *tape, struct berth_tensor **out, enum berth_dtype dtype,
                               int rank, const int64_t *shape) {
    BERTH_ASSERT_MSG(rank >= 1 && rank <= 4, "rank %d", rank);
    size_t slab = tape->tensor_count / TAPE_SLAB;
    if (slab == tape->slab_count) {
        BERTH_TRY(berth_grow(&tape->tensor_slabs, &tape->slab_capacity, slab + 1, sizeof *tape->tensor_slabs));
        BERTH_TRY(berth_calloc(&tape->tensor_slabs[slab], TAPE_SLAB, sizeof **tape->tensor_slabs));
        tape->slab_count++;
    }
    struct berth_tensor *t = &tape->tensor_slabs[slab][tape->tensor_count % TAPE_SLAB];
    *t = (struct berth_tensor){.dtype = dtype, .rank = rank};
    for (int i = 0; i < rank; i++) t->shape[i] = shape[i];
    tape->tensor_count++;
    *out = t;
    return BERTH_OK;
}

berth_status berth_tape_tensor(struct berth_tape *tape, struct berth_tensor **out, enum berth_dtype dtype, int rank,
                               const int64_t *shape) {
    struct berth_tensor *t = NULL;
    BERTH_TRY(new_tensor(tape, &t, dtype, rank, shape));
    t->bytes = tensor_bytes(t);
    BERTH_TRY(step_memory_take(&tape->memory, &t->data, t->bytes));
    t->held = true;
    *out = t;
    return BERTH_OK;
}

berth_status berth_tape_parameter(struct berth_tape *tape, struct berth_tensor **out, float *data, float *grad,
                                  int rank, const int64_t *shape) {
    struct berth_tensor *t = NULL;
    BERTH_TRY(new_tensor(tape, &t, BERTH_F32, rank, shape));
    t->data = data;
    t->grad = grad;
    t->is_parameter = true;
    t->needs_grad = grad != NULL;
    *out = t;
    return BERTH_OK;
}

void tensor_release_data(struct berth_tape *tape, struct berth_tensor *t) {
    if (t->is_parameter || t->held || t->references > 0 || !t->data) return;
    step_memory_give(&tape->memory, t->data, t->bytes);
    t->data = NULL;
}

void berth_tape_drop(struct berth_tape *tape, struct berth_tensor *t) {
    if (!t || t->is_parameter || !t->held) return;
    t->held = false;
    tensor_release_data(tape, t);
}
