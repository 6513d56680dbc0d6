/* op_tap.c: y = x, the same memory        gradient = dy        dx (+)= dy
 *
 * For a look at the gradient of an activation. y borrows x's data, which x's reference keeps alive. */
#include "tape/tape_priv.h"

berth_status berth_op_tap(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                          float *gradient) {
    struct berth_tensor *y = NULL;
    struct tape_node *node = NULL;
    tensor_check_input(x, "tap", "x");
    BERTH_ASSERT_MSG(!x->is_parameter, "tap: %s is a parameter", tensor_describe(x).text);
    *out = x;
    if (!tape->recording) return BERTH_OK;
    BERTH_TRY(tensor_view(tape, &y, x));
    BERTH_TRY(tape_record(tape, &node, TAPE_TAP, y, &x, 1));
    tape_set_arguments(node, &gradient, sizeof gradient);
    tape_save(node, x);
    *out = y;
    return BERTH_OK;
}

berth_status op_tap_backward(struct berth_tape *tape, struct tape_node *node) {
    float *gradient = *(float *const *)(const void *)node->arguments;
    struct berth_tensor *x = node->in[0], *y = node->out;
    if (y->dtype == BERTH_F32)
        BERTH_TRY(berth_device_copy(tape->dev, gradient, y->grad, tensor_bytes(y)));
    else
        BERTH_TRY(BERTH_OP(tape->dev,
                           cast(gradient, y->grad, tensor_count(y), BERTH_F32, y->dtype, tape->dev->stream)));
    return tensor_wants(x) ? tape_give_gradient(tape, x, tape_take_gradient(y)) : BERTH_OK;
}
