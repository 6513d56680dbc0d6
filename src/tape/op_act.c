/* op_act.c: y[T, N] = f(x + bias[N]), f an activation or none
 *
 *     d = dy f'(x + bias)        dbias += Σ_t d        dx (+)= d
 *
 * x is saved, not y. d is computed in dy's memory, which becomes dx. */
#include "tape/tape_priv.h"

enum { ACT_X, ACT_BIAS, ACT_INPUTS };

berth_status berth_op_bias_act(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                               struct berth_tensor *bias, enum berth_activation kind) {
    struct berth_tensor *y = NULL;
    struct berth_tensor *const inputs[ACT_INPUTS] = {x, bias};
    tensor_check_input(x, "bias_act", "x");
    BERTH_ASSERT_MSG(x->rank == 2 && (bias == NULL || tensor_is_vector(bias, x->shape[1])),
                     "bias_act: x %s, bias %s", tensor_describe(x).text, tensor_describe(bias).text);
    const int64_t rows = x->shape[0], columns = x->shape[1];
    BERTH_TRY(tensor_output(tape, &y, x->dtype, 2, rows, columns));
    if (rows > 0)
        BERTH_TRY(BERTH_OP(tape->dev, act_forward(y->data, x->data, bias == NULL ? NULL : bias->data, rows,
                                                  columns, kind, x->dtype, tape->dev->stream)));
    *out = y;
    if (!tape_needs(tape, inputs, ACT_INPUTS)) return BERTH_OK;
    struct tape_node *node = NULL;
    BERTH_TRY(tape_record(tape, &node, TAPE_BIAS_ACT, y, inputs, ACT_INPUTS));
    tape_set_arguments(node, &kind, sizeof kind);
    if (kind != BERTH_ACT_NONE) tape_save(node, x);
    return BERTH_OK;
}

berth_status op_bias_act_backward(struct berth_tape *tape, struct tape_node *node) {
    struct berth_tensor *x = node->in[ACT_X], *bias = node->in[ACT_BIAS];
    const enum berth_activation kind = *(const enum berth_activation *)(const void *)node->arguments;
    const int64_t rows = x->shape[0], columns = x->shape[1];
    void *d = node->out->grad;
    if (kind != BERTH_ACT_NONE) {
        BERTH_TRY(BERTH_OP(tape->dev, act_backward(d, d, x->data, bias == NULL ? NULL : bias->data, rows,
                                                   columns, kind, x->dtype, tape->dev->stream)));
        tape_release_saved(tape, node, x);
    }
    if (tensor_wants(bias)) {
        BERTH_ASSERT_MSG(bias->is_parameter, "bias_act: a bias that is no parameter");
        BERTH_TRY(tape_add_columns(tape, node, bias, d, rows, columns, x->dtype));
    }
    if (!tensor_wants(x)) return BERTH_OK;
    return tape_give_gradient(tape, x, tape_take_gradient(node->out));
}
