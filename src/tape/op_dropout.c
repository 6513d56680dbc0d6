/* op_dropout.c: y[T, H] = x mask / share kept        dx (+)= dy mask / share kept
 *
 * The mask is a function of the step and the element (philox.h): nothing is saved. */
#include "tape/tape_priv.h"

berth_status op_dropout_record(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                               const struct berth_tape_dropout *dropout) {
    const struct berth_dropout mask = tape_dropout(dropout);
    struct berth_tensor *y = NULL;
    tensor_check_input(x, "dropout", "x");
    BERTH_ASSERT_MSG(x->rank == 2, "dropout: x %s", tensor_describe(x).text);
    BERTH_TRY(tensor_output(tape, &y, x->dtype, 2, x->shape[0], x->shape[1]));
    *out = y;
    if (!tape_needs(tape, &x, 1)) return BERTH_OK;
    struct tape_node *node = NULL;
    BERTH_TRY(tape_record(tape, &node, TAPE_DROPOUT, y, &x, 1));
    tape_set_arguments(node, &mask, sizeof mask);
    return BERTH_OK;
}

berth_status berth_op_dropout(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                              const struct berth_tape_dropout *dropout) {
    const struct berth_dropout mask = tape_dropout(dropout);
    BERTH_TRY(op_dropout_record(tape, out, x, dropout));
    if (x->shape[0] == 0) return BERTH_OK;
    return BERTH_OP(tape->dev, dropout((*out)->data, x->data, x->shape[0], x->shape[1], &mask, x->dtype,
                                       tape->dev->stream));
}

berth_status op_dropout_backward(struct berth_tape *tape, struct tape_node *node) {
    struct berth_tensor *x = node->in[0];
    const struct berth_dropout *mask = (const void *)node->arguments;
    void *d = node->out->grad; /* in place: dy's memory becomes dx */
    BERTH_TRY(BERTH_OP(tape->dev, dropout(d, d, x->shape[0], x->shape[1], mask, x->dtype, tape->dev->stream)));
    return tape_give_gradient(tape, x, tape_take_gradient(node->out));
}
