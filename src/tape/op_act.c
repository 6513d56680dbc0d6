/* op_act.c: y[T, N] = f(x + b),  dx = dy f'(x + b),  db += Σ_t dx[t]
 *
 * x is kept, y is not: the derivative is of x. dx takes dy's place in memory. */
#include "tape/tape_priv.h"

berth_status berth_op_bias_act(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                               struct berth_tensor *bias, enum berth_activation kind) {
    BERTH_ASSERT_MSG(x->rank == 2 && (!bias || tensor_count(bias) == x->shape[1]), "x %s, bias %s",
                     tensor_shape_text(x), bias ? tensor_shape_text(bias) : "none");
    struct berth_tensor *y = NULL;
    BERTH_TRY(berth_tape_tensor(tape, &y, x->dtype, 2, x->shape));
    BERTH_TRY(BERTH_OP(tape->dev, act_forward(y->data, x->data, bias ? bias->data : NULL, x->shape[0], x->shape[1],
                                              kind, x->dtype, tape->dev->stream)));
    if (tape_needs_grad(tape, (struct berth_tensor *[]){x, bias}, 2)) {
        struct tape_node *node = NULL;
        BERTH_TRY(tape_record(tape, &node, TAPE_OP_bias_act, y));
        node->in[0] = x;
        node->in[1] = bias;
        node->u.activation = kind;
        tape_save(node, 0, x);
    }
    *out = y;
    return BERTH_OK;
}

berth_status tape_backward_bias_act(struct berth_tape *tape, struct tape_node *node) {
    struct berth_tensor *x = node->in[0], *bias = node->in[1], *y = node->out;
    int64_t rows = x->shape[0], columns = x->shape[1];
    if (rows == 0) return BERTH_OK;
    BERTH_TRY(BERTH_OP(tape->dev, act_backward(y->grad, y->grad, x->data, bias ? bias->data : NULL, rows, columns,
                                               node->u.activation, x->dtype, tape->dev->stream)));
    if (bias && bias->needs_grad) BERTH_TRY(tape_bias_grad(tape, bias, y->grad, rows, columns, y->dtype));
    if (x->needs_grad) BERTH_TRY(tape_grad_pass(tape, x, y));
    return BERTH_OK;
}
