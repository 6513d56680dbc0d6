/* op_loss.c: from logits to one number.
 *
 *     cross_entropy   y[r] = item loss of logits[r]   dlogits[r] (+)= dy[r] (softmax(logits[r]) - target[r])
 *     scaled_sum      y = scale Σ x                   dx[i] (+)= scale dy
 *     add             y = a + b                       da (+)= dy, db (+)= dy
 *
 * Cross entropy saves its logits and lse [R]; the others save nothing. Item losses are float whatever the
 * logits are. */
#include "tape/tape_priv.h"

struct loss_arguments {
    const int32_t *labels;     /* [R] */
    const float *class_weight; /* [K] or NULL */
    float smoothing;
};

enum { KEPT_LSE };

berth_status berth_op_cross_entropy(struct berth_tape *tape, struct berth_tensor **out,
                                    struct berth_tensor *logits, const int32_t *labels,
                                    const float *class_weight, float smoothing) {
    struct berth_tensor *y = NULL;
    void *lse = NULL;
    const struct loss_arguments a = {labels, class_weight, smoothing};
    tensor_check_input(logits, "cross_entropy", "logits");
    BERTH_ASSERT_MSG(logits->rank == 2 && logits->shape[1] > 0, "cross_entropy: logits %s",
                     tensor_describe(logits).text);
    const int64_t rows = logits->shape[0], classes = logits->shape[1];
    const size_t lse_bytes = (size_t)rows * sizeof(float);
    BERTH_TRY(tensor_output(tape, &y, BERTH_F32, 1, rows, 0));
    BERTH_TRY(step_memory_alloc(&tape->memory, &lse, lse_bytes));
    if (rows > 0)
        BERTH_TRY(
            BERTH_OP(tape->dev, cross_entropy_forward(y->data, lse, logits->data, labels, class_weight, rows,
                                                      classes, smoothing, logits->dtype, tape->dev->stream)));
    *out = y;
    if (!tape_needs(tape, &logits, 1)) {
        step_memory_free(&tape->memory, lse, lse_bytes);
        return BERTH_OK;
    }
    struct tape_node *node = NULL;
    BERTH_TRY(tape_record(tape, &node, TAPE_CROSS_ENTROPY, y, &logits, 1));
    tape_set_arguments(node, &a, sizeof a);
    tape_save(node, logits);
    tape_keep(node, KEPT_LSE, lse, lse_bytes);
    return BERTH_OK;
}

berth_status op_cross_entropy_backward(struct berth_tape *tape, struct tape_node *node) {
    struct berth_tensor *logits = node->in[0];
    const struct loss_arguments *a = (const void *)node->arguments;
    void *dlogits = NULL;
    BERTH_TRY(step_memory_alloc(&tape->memory, &dlogits, tensor_bytes(logits)));
    BERTH_TRY(BERTH_OP(tape->dev,
                       cross_entropy_backward(dlogits, node->out->grad, logits->data, node->kept[KEPT_LSE].data,
                                              a->labels, a->class_weight, logits->shape[0], logits->shape[1],
                                              a->smoothing, logits->dtype, tape->dev->stream)));
    return tape_give_gradient(tape, logits, dlogits);
}

berth_status berth_op_scaled_sum(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                                 float scale) {
    struct berth_tensor *y = NULL;
    tensor_check_input(x, "scaled_sum", "x");
    BERTH_ASSERT_MSG(x->dtype == BERTH_F32, "scaled_sum: x %s", tensor_describe(x).text);
    BERTH_TRY(tensor_output(tape, &y, BERTH_F32, 1, 1, 0));
    BERTH_TRY(BERTH_OP(tape->dev, scaled_sum(y->data, x->data, tensor_count(x), scale, 0, tape->dev->stream)));
    *out = y;
    if (!tape_needs(tape, &x, 1)) return BERTH_OK;
    struct tape_node *node = NULL;
    BERTH_TRY(tape_record(tape, &node, TAPE_SCALED_SUM, y, &x, 1));
    tape_set_arguments(node, &scale, sizeof scale);
    return BERTH_OK;
}

berth_status op_scaled_sum_backward(struct berth_tape *tape, struct tape_node *node) {
    struct berth_tensor *x = node->in[0];
    const float *scale = (const void *)node->arguments;
    void *dx = NULL;
    if (tensor_count(x) == 0) return BERTH_OK;
    BERTH_TRY(step_memory_alloc(&tape->memory, &dx, tensor_bytes(x)));
    BERTH_TRY(BERTH_OP(tape->dev, broadcast(dx, node->out->grad, tensor_count(x), *scale, tape->dev->stream)));
    return tape_give_gradient(tape, x, dx);
}

berth_status berth_op_add(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *a,
                          struct berth_tensor *b) {
    struct berth_tensor *y = NULL;
    struct berth_tensor *const inputs[2] = {a, b};
    tensor_check_input(a, "add", "a");
    tensor_check_input(b, "add", "b");
    BERTH_ASSERT_MSG(tensor_same_shape(a, b), "add: a %s, b %s", tensor_describe(a).text,
                     tensor_describe(b).text);
    BERTH_TRY(berth_tape_tensor(tape, &y, a->dtype, a->rank, a->shape));
    BERTH_TRY(berth_device_copy(tape->dev, y->data, a->data, tensor_bytes(a)));
    if (tensor_count(a) > 0)
        BERTH_TRY(BERTH_OP(tape->dev, add(y->data, b->data, tensor_count(a), a->dtype, tape->dev->stream)));
    *out = y;
    if (!tape_needs(tape, inputs, 2)) return BERTH_OK;
    struct tape_node *node = NULL;
    return tape_record(tape, &node, TAPE_ADD, y, inputs, 2);
}

berth_status op_add_backward(struct berth_tape *tape, struct tape_node *node) {
    struct berth_tensor *a = node->in[0], *b = node->in[1];
    if (!tensor_wants(b)) return tape_give_gradient(tape, a, tape_take_gradient(node->out));
    if (tensor_wants(a)) BERTH_TRY(tape_copy_gradient(tape, a, node->out->grad));
    return tape_give_gradient(tape, b, tape_take_gradient(node->out));
}
