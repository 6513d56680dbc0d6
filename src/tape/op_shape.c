/* op_shape.c: from tokens to heads: y = x[rows]; y[r] = mean of sequence seqs[r]. Backward adds into dx, which is
 * zeroed when nothing was there. */
#include "tape/tape_priv.h"

static berth_status begin(struct berth_tape *tape, struct berth_tensor **y, struct tape_node **node,
                          enum tape_op op, struct berth_tensor *x, const int32_t *rows, const int32_t *cu_seqlens,
                          int64_t count) {
    BERTH_ASSERT_MSG(x->rank == 2, "x %s", tensor_shape_text(x));
    *node = NULL;
    BERTH_TRY(berth_tape_tensor(tape, y, x->dtype, 2, (int64_t[]){count, x->shape[1]}));
    if (!tape_needs_grad(tape, &x, 1)) return BERTH_OK;
    BERTH_TRY(tape_record(tape, node, op, *y));
    (*node)->in[0] = x;
    (*node)->u.rows.rows = rows;
    (*node)->u.rows.cu_seqlens = cu_seqlens;
    (*node)->u.rows.count = count;
    return BERTH_OK;
}

berth_status berth_op_gather_rows(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                                  const int32_t *rows, int64_t count) {
    struct berth_tensor *y = NULL;
    struct tape_node *node = NULL;
    BERTH_TRY(begin(tape, &y, &node, TAPE_OP_gather_rows, x, rows, NULL, count));
    BERTH_TRY(BERTH_OP(tape->dev, gather_rows(y->data, x->data, rows, count, x->shape[1], x->dtype,
                                              tape->dev->stream)));
    *out = y;
    return BERTH_OK;
}

berth_status tape_backward_gather_rows(struct berth_tape *tape, struct tape_node *node) {
    struct berth_tensor *x = node->in[0];
    BERTH_TRY(tape_grad_zeroed(tape, x));
    return BERTH_OP(tape->dev, scatter_add_rows(x->grad, node->out->grad, node->u.rows.rows, node->u.rows.count,
                                                x->shape[1], x->dtype, tape->dev->stream));
}

berth_status berth_op_mean_pool(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                                const int32_t *seqs, const int32_t *cu_seqlens, int64_t count) {
    struct berth_tensor *y = NULL;
    struct tape_node *node = NULL;
    BERTH_TRY(begin(tape, &y, &node, TAPE_OP_mean_pool, x, seqs, cu_seqlens, count));
    BERTH_TRY(BERTH_OP(tape->dev, mean_pool_forward(y->data, x->data, seqs, cu_seqlens, count, x->shape[1],
                                                    x->dtype, tape->dev->stream)));
    *out = y;
    return BERTH_OK;
}

berth_status tape_backward_mean_pool(struct berth_tape *tape, struct tape_node *node) {
    struct berth_tensor *x = node->in[0];
    BERTH_TRY(tape_grad_zeroed(tape, x));
    return BERTH_OP(tape->dev, mean_pool_backward(x->grad, node->out->grad, node->u.rows.rows,
                                                  node->u.rows.cu_seqlens, node->u.rows.count, x->shape[1],
                                                  x->dtype, tape->dev->stream));
}
