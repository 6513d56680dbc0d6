/* op_shape.c: from the tokens [T, H] to a head's rows [R, H].
 *
 *     gather_rows   y[r] = x[rows[r]]                            dx[rows[r]] += dy[r]
 *     mean_pool     y[r] = 1/n Σ_{t in sequence seqs[r]} x[t]    dx[t] += dy[r] / n
 *
 * Both reach only some rows of dx, so a dx that holds nothing yet is zeroed first. Nothing is saved. */
#include "tape/tape_priv.h"

struct row_arguments {
    const int32_t *rows;       /* [R]: rows or sequences */
    const int32_t *cu_seqlens; /* [B+1]; mean_pool */
};

static berth_status begin_rows(struct berth_tape *tape, struct berth_tensor **y, const struct berth_tensor *x,
                               int64_t count, const char *op) {
    tensor_check_input(x, op, "x");
    BERTH_ASSERT_MSG(x->rank == 2 && count >= 0, "%s: x %s, %lld rows", op, tensor_describe(x).text,
                     (long long)count);
    return tensor_output(tape, y, x->dtype, 2, count, x->shape[1]);
}

static berth_status record_rows(struct berth_tape *tape, enum tape_op op, struct berth_tensor *y,
                                struct berth_tensor *x, const struct row_arguments *a) {
    struct tape_node *node = NULL;
    if (!tape_needs(tape, &x, 1)) return BERTH_OK;
    BERTH_TRY(tape_record(tape, &node, op, y, &x, 1));
    tape_set_arguments(node, a, sizeof *a);
    return BERTH_OK;
}

/* Where to add rows to: x's gradient, zeroed where it holds nothing. */
static berth_status open_rows(struct berth_tape *tape, struct berth_tensor *x, void **dx) {
    int accumulate = 0;
    BERTH_TRY(tape_gradient(tape, x, dx, &accumulate));
    return accumulate ? BERTH_OK : berth_device_zero(tape->dev, *dx, tensor_bytes(x));
}

berth_status berth_op_gather_rows(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                                  const int32_t *rows, int64_t count) {
    const struct row_arguments a = {rows, NULL};
    struct berth_tensor *y = NULL;
    BERTH_TRY(begin_rows(tape, &y, x, count, "gather_rows"));
    if (count > 0)
        BERTH_TRY(BERTH_OP(
            tape->dev, gather_rows(y->data, x->data, rows, count, x->shape[1], x->dtype, tape->dev->stream)));
    *out = y;
    return record_rows(tape, TAPE_GATHER_ROWS, y, x, &a);
}

berth_status op_gather_rows_backward(struct berth_tape *tape, struct tape_node *node) {
    const struct row_arguments *a = (const void *)node->arguments;
    const struct berth_tensor *y = node->out;
    void *dx = NULL;
    BERTH_TRY(open_rows(tape, node->in[0], &dx));
    return BERTH_OP(tape->dev, scatter_add_rows(dx, y->grad, a->rows, y->shape[0], y->shape[1], y->dtype,
                                                tape->dev->stream));
}

berth_status berth_op_mean_pool(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                                const int32_t *seqs, const int32_t *cu_seqlens, int64_t count) {
    const struct row_arguments a = {seqs, cu_seqlens};
    struct berth_tensor *y = NULL;
    BERTH_TRY(begin_rows(tape, &y, x, count, "mean_pool"));
    if (count > 0)
        BERTH_TRY(BERTH_OP(tape->dev, mean_pool_forward(y->data, x->data, seqs, cu_seqlens, count, x->shape[1],
                                                        x->dtype, tape->dev->stream)));
    *out = y;
    return record_rows(tape, TAPE_MEAN_POOL, y, x, &a);
}

berth_status op_mean_pool_backward(struct berth_tape *tape, struct tape_node *node) {
    const struct row_arguments *a = (const void *)node->arguments;
    const struct berth_tensor *y = node->out;
    void *dx = NULL;
    BERTH_TRY(open_rows(tape, node->in[0], &dx));
    return BERTH_OP(tape->dev, mean_pool_backward(dx, y->grad, a->rows, a->cu_seqlens, y->shape[0], y->shape[1],
                                                  y->dtype, tape->dev->stream));
}
