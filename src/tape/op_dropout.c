/* op_dropout.c: y = mask x / share kept; dx is the same map of dy, in dy's place. */
#include "tape/tape_priv.h"

berth_status berth_op_dropout(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                              const struct berth_tape_dropout *dropout) {
    struct berth_dropout mask;
    if (!tape_dropout_set(&mask, dropout)) {
        *out = x;
        return BERTH_OK;
    }
    BERTH_ASSERT_MSG(x->rank == 2, "x %s", tensor_shape_text(x));
    struct berth_tensor *y = NULL;
    BERTH_TRY(berth_tape_tensor(tape, &y, x->dtype, 2, x->shape));
    BERTH_TRY(BERTH_OP(tape->dev, dropout(y->data, x->data, x->shape[0], x->shape[1], &mask, x->dtype,
                                          tape->dev->stream)));
    if (tape_needs_grad(tape, &x, 1)) {
        struct tape_node *node = NULL;
        BERTH_TRY(tape_record(tape, &node, TAPE_OP_dropout, y));
        node->in[0] = x;
        node->dropout = mask;
        node->has_dropout = true;
    }
    *out = y;
    return BERTH_OK;
}

berth_status tape_backward_dropout(struct berth_tape *tape, struct tape_node *node) {
    struct berth_tensor *x = node->in[0], *y = node->out;
    BERTH_TRY(BERTH_OP(tape->dev, dropout(y->grad, y->grad, x->shape[0], x->shape[1], &node->dropout, x->dtype,
                                          tape->dev->stream)));
    return tape_grad_pass(tape, x, y);
}
