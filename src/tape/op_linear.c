/* op_linear.c: y[T, N] = x[T, H] w[N, H]ᵀ + b[N]
 *
 *   dw[N, H] += dyᵀ x      db[N] += Σ_t dy[t]      dx[T, H] = dy w
 *
 * x is kept only when w learns: below a frozen layer nothing is saved. */
#include "tape/tape_priv.h"

berth_status berth_op_linear(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                             struct berth_tensor *w, struct berth_tensor *bias) {
    BERTH_ASSERT_MSG(x->rank == 2 && w->rank == 2 && x->shape[1] == w->shape[1], "x %s, w %s",
                     tensor_shape_text(x), tensor_shape_text(w));
    BERTH_ASSERT_MSG(!bias || tensor_count(bias) == w->shape[0], "bias %s, w %s", tensor_shape_text(bias),
                     tensor_shape_text(w));
    int64_t rows = x->shape[0], in = x->shape[1], columns = w->shape[0];
    struct berth_tensor *y = NULL;
    BERTH_TRY(berth_tape_tensor(tape, &y, x->dtype, 2, (int64_t[]){rows, columns}));
    if (rows > 0)
        BERTH_TRY(BERTH_OP(tape->dev, gemm(y->data, x->data, w->data, bias ? bias->data : NULL, rows, columns, in,
                                           in, in, columns, BERTH_GEMM_NT, 0, y->dtype, x->dtype,
                                           tape->dev->stream)));
    if (tape_needs_grad(tape, (struct berth_tensor *[]){x, w, bias}, 3)) {
        struct tape_node *node = NULL;
        BERTH_TRY(tape_record(tape, &node, TAPE_OP_linear, y));
        node->in[0] = x;
        node->in[1] = w;
        node->in[2] = bias;
        if (w->needs_grad) tape_save(node, 0, x);
    }
    *out = y;
    return BERTH_OK;
}

berth_status tape_backward_linear(struct berth_tape *tape, struct tape_node *node) {
    struct berth_device *dev = tape->dev;
    struct berth_tensor *x = node->in[0], *w = node->in[1], *bias = node->in[2], *y = node->out;
    int64_t rows = x->shape[0], in = x->shape[1], columns = w->shape[0];
    if (rows == 0) return BERTH_OK;
    int accumulate = 0;
    if (w->needs_grad) {
        BERTH_TRY(tape_grad(tape, w, &accumulate));
        BERTH_TRY(BERTH_OP(dev, gemm(w->grad, y->grad, x->data, NULL, columns, in, rows, columns, in, in,
                                     BERTH_GEMM_TN, accumulate, BERTH_F32, x->dtype, dev->stream)));
    }
    if (bias && bias->needs_grad) BERTH_TRY(tape_bias_grad(tape, bias, y->grad, rows, columns, y->dtype));
    if (x->needs_grad) {
        BERTH_TRY(tape_grad(tape, x, &accumulate));
        BERTH_TRY(BERTH_OP(dev, gemm(x->grad, y->grad, w->data, NULL, rows, in, columns, columns, in, in,
                                     BERTH_GEMM_NN, accumulate, x->dtype, x->dtype, dev->stream)));
    }
    return BERTH_OK;
}
