/* backward.c: the reverse walk.
 *
 * Nodes are run last to first; one whose output has no gradient (nothing of the loss came through it) is passed over.
 * The first contribution to an activation's gradient is written, later ones are added in the order of the walk, so
 * sums have a fixed order. Parameters' gradients are always added to. Memory goes back as soon as it was used:
 * after a node its own, its output's gradient, and the inputs that no other node reads.
 */
#include "tape/tape_priv.h"

static tape_backward_fn *const backward_of[] = {
#define X(name) tape_backward_##name,
    TAPE_OP_MAP(X)
#undef X
};

static void give_grad(struct berth_tape *tape, struct berth_tensor *t) {
    if (t->is_parameter || !t->grad) return;
    step_memory_give(&tape->memory, t->grad, tensor_bytes(t));
    t->grad = NULL;
}

berth_status tape_grad(struct berth_tape *tape, struct berth_tensor *t, int *accumulate) {
    if (t->is_parameter) {
        *accumulate = 1;
        return BERTH_OK;
    }
    *accumulate = t->grad_written;
    if (!t->grad) BERTH_TRY(step_memory_take(&tape->memory, &t->grad, tensor_bytes(t)));
    t->grad_written = true;
    return BERTH_OK;
}

berth_status tape_grad_zeroed(struct berth_tape *tape, struct berth_tensor *t) {
    int accumulate = 0;
    BERTH_TRY(tape_grad(tape, t, &accumulate));
    if (!accumulate) BERTH_TRY(berth_device_zero(tape->dev, t->grad, tensor_bytes(t)));
    return BERTH_OK;
}

berth_status tape_grad_pass(struct berth_tape *tape, struct berth_tensor *t, struct berth_tensor *out) {
    BERTH_ASSERT_MSG(tensor_bytes(t) == tensor_bytes(out), "%s and %s", tensor_shape_text(t),
                     tensor_shape_text(out));
    if (!t->is_parameter && !t->grad_written) {
        t->grad = out->grad;
        t->grad_written = true;
        out->grad = NULL;
        return BERTH_OK;
    }
    return BERTH_OP(tape->dev, add(t->grad, out->grad, tensor_count(t), t->dtype, tape->dev->stream));
}

berth_status tape_bias_grad(struct berth_tape *tape, struct berth_tensor *bias, const void *dy, int64_t rows,
                            int64_t columns, enum berth_dtype dtype) {
    struct berth_device *dev = tape->dev;
    int accumulate = 0;
    BERTH_TRY(tape_grad(tape, bias, &accumulate));
    size_t bytes = dev->ops.column_sum_workspace(rows, columns);
    void *workspace = NULL;
    BERTH_TRY(step_memory_take(&tape->memory, &workspace, bytes));
    BERTH_TRY(BERTH_OP(dev, column_sum(bias->grad, dy, workspace, rows, columns, accumulate, dtype, dev->stream)));
    step_memory_give(&tape->memory, workspace, bytes);
    return BERTH_OK;
}

static void finish_node(struct berth_tape *tape, struct tape_node *node) {
    for (int i = 0; i < 3; i++) {
        step_memory_give(&tape->memory, node->mem[i], node->mem_bytes[i]);
        if (node->saved[i]) {
            node->saved[i]->references--;
            tensor_release_data(tape, node->saved[i]);
        }
    }
    give_grad(tape, node->out);
}

static berth_status walk(struct berth_tape *tape) {
    while (tape->node_count > 0) {
        struct tape_node *node = &tape->nodes[--tape->node_count];
        if (node->out->grad_written) BERTH_TRY_CTX(backward_of[node->op](tape, node), "backward of %s",
                                                   tape_op_name(node->op));
        finish_node(tape, node);
    }
    return BERTH_OK;
}

berth_status berth_tape_backward(struct berth_tape *tape, struct berth_tensor *loss) {
    BERTH_ASSERT_MSG(tensor_count(loss) == 1, "a loss of shape %s", tensor_shape_text(loss));
    if (!loss->needs_grad) return BERTH_OK; /* everything below is frozen */
    int accumulate = 0;
    BERTH_TRY(tape_grad(tape, loss, &accumulate));
    BERTH_TRY(BERTH_OP(tape->dev, fill(loss->grad, 1.0f, 1, tape->dev->stream)));
    return walk(tape);
}

berth_status berth_tape_backward_from(struct berth_tape *tape, struct berth_tensor *const *outputs,
                                      const void *const *gradients, int count) {
    for (int i = 0; i < count; i++) {
        if (!outputs[i]->needs_grad) continue;
        int accumulate = 0;
        BERTH_TRY(tape_grad(tape, outputs[i], &accumulate));
        if (accumulate)
            BERTH_TRY(BERTH_OP(tape->dev, add(outputs[i]->grad, gradients[i], tensor_count(outputs[i]),
                                              outputs[i]->dtype, tape->dev->stream)));
        else
            BERTH_TRY(berth_device_copy(tape->dev, outputs[i]->grad, gradients[i], tensor_bytes(outputs[i])));
    }
    return walk(tape);
}
