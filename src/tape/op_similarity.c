/* op_similarity.c: rows of one length, products of rows, a factor.
 *
 *     normalize   y[r] = s x[r] / n[r], n = |x[r]|     dx (+)= s/n (dy - u (u·dy)), u = y/s       saves y,
 * keeps n row_dot     y[r] = a[r]·b[r]                     da (+)= dy b, db (+)= dy a                saves a
 * and b scale       y = f x                              dx (+)= f dy                              in dy's
 * memory */
#include "tape/tape_priv.h"

enum { KEPT_NORM };

berth_status berth_op_normalize(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                                float scale) {
    struct berth_tensor *y = NULL;
    struct tape_node *node = NULL;
    void *norm = NULL;
    tensor_check_input(x, "normalize", "x");
    BERTH_ASSERT_MSG(x->rank == 2, "normalize: x %s", tensor_describe(x).text);
    const int64_t rows = x->shape[0];
    const size_t norm_bytes = (size_t)rows * sizeof(float);
    BERTH_TRY(tensor_output(tape, &y, x->dtype, 2, rows, x->shape[1]));
    BERTH_TRY(step_memory_alloc(&tape->memory, &norm, norm_bytes));
    if (rows > 0)
        BERTH_TRY(BERTH_OP(tape->dev, normalize_forward(y->data, norm, x->data, rows, x->shape[1], scale,
                                                        x->dtype, tape->dev->stream)));
    *out = y;
    if (!tape_needs(tape, &x, 1)) {
        step_memory_free(&tape->memory, norm, norm_bytes);
        return BERTH_OK;
    }
    BERTH_TRY(tape_record(tape, &node, TAPE_NORMALIZE, y, &x, 1));
    tape_set_arguments(node, &scale, sizeof scale);
    tape_save(node, y);
    tape_keep(node, KEPT_NORM, norm, norm_bytes);
    return BERTH_OK;
}

berth_status op_normalize_backward(struct berth_tape *tape, struct tape_node *node) {
    struct berth_tensor *x = node->in[0], *y = node->out;
    const float *scale = (const void *)node->arguments;
    void *dx = NULL;
    BERTH_TRY(step_memory_alloc(&tape->memory, &dx, tensor_bytes(x)));
    BERTH_TRY(
        BERTH_OP(tape->dev, normalize_backward(dx, y->grad, y->data, node->kept[KEPT_NORM].data, x->shape[0],
                                               x->shape[1], *scale, x->dtype, tape->dev->stream)));
    return tape_give_gradient(tape, x, dx);
}

berth_status berth_op_row_dot(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *a,
                              struct berth_tensor *b) {
    struct berth_tensor *y = NULL, *const inputs[2] = {a, b};
    struct tape_node *node = NULL;
    tensor_check_input(a, "row_dot", "a");
    tensor_check_input(b, "row_dot", "b");
    BERTH_ASSERT_MSG(a->rank == 2 && tensor_same_shape(a, b) && a->dtype == b->dtype, "row_dot: a %s, b %s",
                     tensor_describe(a).text, tensor_describe(b).text);
    BERTH_TRY(tensor_output(tape, &y, BERTH_F32, 2, a->shape[0], 1));
    if (a->shape[0] > 0)
        BERTH_TRY(BERTH_OP(tape->dev, row_dot_forward(y->data, a->data, b->data, a->shape[0], a->shape[1],
                                                      a->dtype, tape->dev->stream)));
    *out = y;
    if (!tape_needs(tape, inputs, 2)) return BERTH_OK;
    BERTH_TRY(tape_record(tape, &node, TAPE_ROW_DOT, y, inputs, 2));
    if (tensor_wants(b)) tape_save(node, a);
    if (tensor_wants(a)) tape_save(node, b);
    return BERTH_OK;
}

berth_status op_row_dot_backward(struct berth_tape *tape, struct tape_node *node) {
    struct berth_tensor *a = node->in[0], *b = node->in[1];
    void *da = NULL, *db = NULL;
    if (tensor_wants(a)) BERTH_TRY(step_memory_alloc(&tape->memory, &da, tensor_bytes(a)));
    if (tensor_wants(b)) BERTH_TRY(step_memory_alloc(&tape->memory, &db, tensor_bytes(b)));
    BERTH_TRY(BERTH_OP(tape->dev, row_dot_backward(da, db, node->out->grad, a->data, b->data, a->shape[0],
                                                   a->shape[1], a->dtype, tape->dev->stream)));
    if (da != NULL) BERTH_TRY(tape_give_gradient(tape, a, da));
    return db != NULL ? tape_give_gradient(tape, b, db) : BERTH_OK;
}

berth_status berth_op_scale(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                            float factor) {
    struct berth_tensor *y = NULL;
    struct tape_node *node = NULL;
    tensor_check_input(x, "scale", "x");
    BERTH_ASSERT_MSG(x->dtype == BERTH_F32, "scale: x %s", tensor_describe(x).text);
    BERTH_TRY(berth_tape_tensor(tape, &y, x->dtype, x->rank, x->shape));
    BERTH_TRY(berth_device_copy(tape->dev, y->data, x->data, tensor_bytes(x)));
    if (tensor_count(x) > 0)
        BERTH_TRY(BERTH_OP(tape->dev, scale(y->data, factor, tensor_count(x), tape->dev->stream)));
    *out = y;
    if (!tape_needs(tape, &x, 1)) return BERTH_OK;
    BERTH_TRY(tape_record(tape, &node, TAPE_SCALE, y, &x, 1));
    tape_set_arguments(node, &factor, sizeof factor);
    return BERTH_OK;
}

berth_status op_scale_backward(struct berth_tape *tape, struct tape_node *node) {
    const float *factor = (const void *)node->arguments;
    const int64_t n = tensor_count(node->out);
    BERTH_TRY(BERTH_OP(tape->dev, scale(node->out->grad, *factor, n, tape->dev->stream)));
    return tape_give_gradient(tape, node->in[0], tape_take_gradient(node->out));
}
