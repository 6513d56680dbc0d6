/* op_loss.c: item losses of softmax cross-entropy, their scaled sum, and the sum of two scalars. */
#include "tape/tape_priv.h"

berth_status berth_op_cross_entropy(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *logits,
                                    const int32_t *labels, const float *class_weight, float smoothing) {
    BERTH_ASSERT_MSG(logits->rank == 2, "logits %s", tensor_shape_text(logits));
    int64_t rows = logits->shape[0], classes = logits->shape[1];
    struct berth_tensor *y = NULL;
    BERTH_TRY(berth_tape_tensor(tape, &y, BERTH_F32, 1, &rows));
    size_t bytes = (size_t)rows * sizeof(float);
    struct tape_node *node = NULL;
    void *lse = NULL;
    if (tape_needs_grad(tape, &logits, 1)) {
        BERTH_TRY(tape_record(tape, &node, TAPE_OP_cross_entropy, y));
        node->in[0] = logits;
        node->u.loss.labels = labels;
        node->u.loss.class_weight = class_weight;
        node->u.loss.smoothing = smoothing;
        tape_save(node, 0, logits);
        BERTH_TRY(tape_node_memory(tape, node, 0, bytes));
        lse = node->mem[0];
    } else {
        BERTH_TRY(step_memory_take(&tape->memory, &lse, bytes));
    }
    BERTH_TRY(BERTH_OP(tape->dev, cross_entropy_forward(y->data, lse, logits->data, labels, class_weight, rows,
                                                        classes, smoothing, logits->dtype, tape->dev->stream)));
    if (!node) step_memory_give(&tape->memory, lse, bytes);
    *out = y;
    return BERTH_OK;
}

berth_status tape_backward_cross_entropy(struct berth_tape *tape, struct tape_node *node) {
    struct berth_tensor *logits = node->in[0];
    BERTH_ASSERT_MSG(!logits->grad_written, "logits %s feed one loss", tensor_shape_text(logits));
    int accumulate = 0;
    BERTH_TRY(tape_grad(tape, logits, &accumulate));
    return BERTH_OP(tape->dev, cross_entropy_backward(logits->grad, node->out->grad, logits->data, node->mem[0],
                                                      node->u.loss.labels, node->u.loss.class_weight,
                                                      logits->shape[0], logits->shape[1], node->u.loss.smoothing,
                                                      logits->dtype, tape->dev->stream));
}

berth_status berth_op_scaled_sum(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                                 float scale) {
    struct berth_tensor *y = NULL;
    BERTH_TRY(berth_tape_tensor(tape, &y, BERTH_F32, 1, (int64_t[]){1}));
    BERTH_TRY(BERTH_OP(tape->dev, scaled_sum(y->data, x->data, tensor_count(x), scale, 0, tape->dev->stream)));
    if (tape_needs_grad(tape, &x, 1)) {
        struct tape_node *node = NULL;
        BERTH_TRY(tape_record(tape, &node, TAPE_OP_scaled_sum, y));
        node->in[0] = x;
        node->u.scale = scale;
    }
    *out = y;
    return BERTH_OK;
}

berth_status tape_backward_scaled_sum(struct berth_tape *tape, struct tape_node *node) {
    struct berth_tensor *x = node->in[0];
    BERTH_ASSERT_MSG(!x->grad_written, "item losses %s feed one sum", tensor_shape_text(x));
    int accumulate = 0;
    BERTH_TRY(tape_grad(tape, x, &accumulate));
    return BERTH_OP(tape->dev, broadcast(x->grad, node->out->grad, tensor_count(x), node->u.scale,
                                         tape->dev->stream));
}

berth_status berth_op_add(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *a,
                          struct berth_tensor *b) {
    BERTH_ASSERT_MSG(tensor_count(a) == tensor_count(b) && a->dtype == b->dtype, "a %s, b %s",
                     tensor_shape_text(a), tensor_shape_text(b));
    struct berth_tensor *y = NULL;
    BERTH_TRY(berth_tape_tensor(tape, &y, a->dtype, a->rank, a->shape));
    BERTH_TRY(berth_device_copy(tape->dev, y->data, a->data, tensor_bytes(a)));
    BERTH_TRY(BERTH_OP(tape->dev, add(y->data, b->data, tensor_count(b), b->dtype, tape->dev->stream)));
    if (tape_needs_grad(tape, (struct berth_tensor *[]){a, b}, 2)) {
        struct tape_node *node = NULL;
        BERTH_TRY(tape_record(tape, &node, TAPE_OP_add, y));
        node->in[0] = a;
        node->in[1] = b;
    }
    *out = y;
    return BERTH_OK;
}

berth_status tape_backward_add(struct berth_tape *tape, struct tape_node *node) {
    for (int i = 0; i < 2; i++) {
        struct berth_tensor *x = node->in[i];
        if (!x->needs_grad) continue;
        int accumulate = 0;
        BERTH_TRY(tape_grad(tape, x, &accumulate));
        if (accumulate)
            BERTH_TRY(BERTH_OP(tape->dev, add(x->grad, node->out->grad, tensor_count(x), x->dtype,
                                              tape->dev->stream)));
        else
            BERTH_TRY(berth_device_copy(tape->dev, x->grad, node->out->grad, tensor_bytes(x)));
    }
    return BERTH_OK;
}
