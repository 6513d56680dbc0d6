/* op_linear.c: y[T, N] = x[T, H] w[N, H]ᵀ (+ bias[N])
 *
 *     dw += dyᵀ x        dbias += Σ_t dy        dx (+)= dy w
 *
 * With bf16 activations the products take w's bf16 copy and sum in float; dw and dbias are float.
 * x is saved where the weight needs a gradient. dw comes first: after it x may go, and dx takes its memory. */
#include "tape/tape_priv.h"

enum { LINEAR_X, LINEAR_W, LINEAR_BIAS, LINEAR_INPUTS };

/* The weight in the activations' element type. */
static const void *factor(const struct berth_tensor *w, const struct berth_tensor *x) {
    if (x->dtype == w->dtype) return w->data;
    BERTH_ASSERT_MSG(x->dtype == BERTH_BF16 && w->half != NULL, "linear: x %s, w %s without a bf16 copy",
                     tensor_describe(x).text, tensor_describe(w).text);
    return w->half;
}

berth_status berth_op_linear(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                             struct berth_tensor *w, struct berth_tensor *bias) {
    struct berth_tensor *y = NULL;
    struct berth_tensor *const inputs[LINEAR_INPUTS] = {x, w, bias};
    tensor_check_input(x, "linear", "x");
    tensor_check_input(w, "linear", "w");
    BERTH_ASSERT_MSG(x->rank == 2 && w->rank == 2 && x->shape[1] == w->shape[1], "linear: x %s, w %s",
                     tensor_describe(x).text, tensor_describe(w).text);
    BERTH_ASSERT_MSG(bias == NULL || tensor_is_vector(bias, w->shape[0]), "linear: w %s, bias %s",
                     tensor_describe(w).text, tensor_describe(bias).text);
    const int64_t rows = x->shape[0], hidden = x->shape[1], columns = w->shape[0];
    BERTH_TRY(tensor_output(tape, &y, x->dtype, 2, rows, columns));
    if (rows > 0)
        BERTH_TRY(BERTH_OP(tape->dev, gemm(y->data, x->data, factor(w, x), bias == NULL ? NULL : bias->data,
                                           rows, columns, hidden, hidden, hidden, columns, BERTH_GEMM_NT, 0,
                                           y->dtype, x->dtype, tape->dev->stream)));
    *out = y;
    if (!tape_needs(tape, inputs, LINEAR_INPUTS)) return BERTH_OK;
    struct tape_node *node = NULL;
    BERTH_TRY(tape_record(tape, &node, TAPE_LINEAR, y, inputs, LINEAR_INPUTS));
    if (tensor_wants(w)) tape_save(node, x);
    if (tensor_wants(x)) tape_save(node, w);
    return BERTH_OK;
}

/* dw += dyᵀ x, a group of rows at a time where w is split. */
static berth_status weight_gradient(struct berth_tape *tape, const struct tape_node *node, const void *dy,
                                    enum berth_dtype dtype) {
    struct berth_tensor *x = node->in[LINEAR_X], *w = node->in[LINEAR_W];
    const int64_t rows = x->shape[0], hidden = x->shape[1], columns = w->shape[0];
    const size_t size = berth_dtype_size(dtype);
    struct tape_part part;
    void *to = NULL;
    int accumulate = 0;
    BERTH_TRY(tape_gradient(tape, w, &to, &accumulate));
    for (int i = 0; tape_part(tape, node, w, rows, i, &part); i++) {
        if (part.rows == 0) continue;
        const void *a = (const char *)dy + (size_t)(part.first * columns) * size;
        const void *b = (const char *)x->data + (size_t)(part.first * hidden) * size;
        BERTH_TRY(BERTH_OP(tape->dev, gemm((float *)to + part.offset, a, b, NULL, columns, hidden, part.rows,
                                           columns, hidden, hidden, BERTH_GEMM_TN, accumulate, w->dtype, dtype,
                                           tape->dev->stream)));
    }
    return BERTH_OK;
}

berth_status op_linear_backward(struct berth_tape *tape, struct tape_node *node) {
    struct berth_tensor *x = node->in[LINEAR_X], *w = node->in[LINEAR_W], *bias = node->in[LINEAR_BIAS];
    const void *dy = node->out->grad;
    const enum berth_dtype dtype = node->out->dtype;
    const int64_t rows = x->shape[0], hidden = x->shape[1], columns = w->shape[0];
    void *to = NULL;
    int accumulate = 0;
    if (tensor_wants(bias)) {
        BERTH_ASSERT_MSG(bias->is_parameter, "linear: a bias that is no parameter");
        BERTH_TRY(tape_add_columns(tape, node, bias, dy, rows, columns, dtype));
    }
    if (tensor_wants(w)) {
        BERTH_TRY(weight_gradient(tape, node, dy, dtype));
        tape_release_saved(tape, node, x);
    }
    if (!tensor_wants(x)) return BERTH_OK;
    BERTH_TRY(tape_gradient(tape, x, &to, &accumulate));
    return BERTH_OP(tape->dev, gemm(to, dy, factor(w, x), NULL, rows, hidden, columns, columns, hidden, hidden,
                                    BERTH_GEMM_NN, accumulate, x->dtype, dtype, tape->dev->stream));
}
