/* op_cast.c: y = x in another element type        dx (+)= dy in x's own type
 *
 * Between parts of a graph that compute in float and those whose activations are bf16. Nothing is saved. */
#include "tape/tape_priv.h"

berth_status berth_op_cast(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                           enum berth_dtype dtype) {
    struct berth_tensor *y = NULL;
    struct tape_node *node = NULL;
    tensor_check_input(x, "cast", "x");
    *out = x;
    if (x->dtype == dtype) return BERTH_OK;
    BERTH_TRY(berth_tape_tensor(tape, &y, dtype, x->rank, x->shape));
    if (tensor_count(x) > 0)
        BERTH_TRY(
            BERTH_OP(tape->dev, cast(y->data, x->data, tensor_count(x), dtype, x->dtype, tape->dev->stream)));
    *out = y;
    return tape_needs(tape, &x, 1) ? tape_record(tape, &node, TAPE_CAST, y, &x, 1) : BERTH_OK;
}

berth_status op_cast_backward(struct berth_tape *tape, struct tape_node *node) {
    struct berth_tensor *x = node->in[0], *y = node->out;
    void *dx = NULL;
    BERTH_TRY(step_memory_alloc(&tape->memory, &dx, tensor_bytes(x)));
    BERTH_TRY(BERTH_OP(tape->dev, cast(dx, y->grad, tensor_count(x), x->dtype, y->dtype, tape->dev->stream)));
    return tape_give_gradient(tape, x, dx);
}
