/* op_norm.c: pre = dropout(x) + residual,  y = (pre - mean) rstd gamma + beta
 *
 *   dgamma += Σ_t dy xhat   dbeta += Σ_t dy   dpre by the chain rule   dresidual (+)= dpre   dx = mask dpre
 *
 * x is the output of a product that nobody else reads: its memory becomes `pre`, which backward needs, so a layer
 * norm costs one tensor, not three. dx takes dy's place. */
#include "tape/tape_priv.h"

/* x's own memory where the tape owns it and no node reads it, else fresh. */
static berth_status place_pre(struct berth_tape *tape, struct tape_node *node, struct berth_tensor *x,
                              void **pre) {
    if (x->bytes > 0 && x->references == 0) {
        *pre = node->mem[0] = x->data;
        node->mem_bytes[0] = x->bytes;
        return BERTH_OK;
    }
    BERTH_TRY(tape_node_memory(tape, node, 0, tensor_bytes(x)));
    *pre = node->mem[0];
    return BERTH_OK;
}

berth_status berth_op_layernorm(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                                struct berth_tensor *residual, struct berth_tensor *gamma,
                                struct berth_tensor *beta, float eps, const struct berth_tape_dropout *dropout) {
    BERTH_ASSERT_MSG(x->rank == 2 && tensor_count(gamma) == x->shape[1] && tensor_count(beta) == x->shape[1],
                     "x %s, gamma %s, beta %s", tensor_shape_text(x), tensor_shape_text(gamma),
                     tensor_shape_text(beta));
    BERTH_ASSERT_MSG(!residual || tensor_count(residual) == tensor_count(x), "x %s, residual %s",
                     tensor_shape_text(x), tensor_shape_text(residual));
    int64_t rows = x->shape[0], hidden = x->shape[1];
    struct berth_dropout mask;
    bool masked = tape_dropout_set(&mask, dropout);
    struct berth_tensor *y = NULL;
    BERTH_TRY(berth_tape_tensor(tape, &y, x->dtype, 2, x->shape));
    struct tape_node *node = NULL;
    void *pre = NULL;
    float *mean = NULL, *rstd = NULL;
    if (tape_needs_grad(tape, (struct berth_tensor *[]){x, residual, gamma, beta}, 4)) {
        BERTH_TRY(tape_record(tape, &node, TAPE_OP_layernorm, y));
        node->in[0] = x;
        node->in[1] = residual;
        node->in[2] = gamma;
        node->in[3] = beta;
        node->dropout = mask;
        node->has_dropout = masked;
        BERTH_TRY(place_pre(tape, node, x, &pre));
        BERTH_TRY(tape_node_memory(tape, node, 1, (size_t)rows * sizeof(float)));
        BERTH_TRY(tape_node_memory(tape, node, 2, (size_t)rows * sizeof(float)));
        mean = node->mem[1];
        rstd = node->mem[2];
    }
    BERTH_TRY(BERTH_OP(tape->dev, layernorm_forward(y->data, pre, mean, rstd, x->data,
                                                    residual ? residual->data : NULL, gamma->data, beta->data, rows,
                                                    hidden, eps, masked ? &mask : NULL, x->dtype,
                                                    tape->dev->stream)));
    if (pre == x->data) x->data = NULL; /* the node's now */
    *out = y;
    return BERTH_OK;
}

berth_status tape_backward_layernorm(struct berth_tape *tape, struct tape_node *node) {
    struct berth_device *dev = tape->dev;
    struct berth_tensor *x = node->in[0], *residual = node->in[1], *gamma = node->in[2], *beta = node->in[3];
    struct berth_tensor *y = node->out;
    int64_t rows = x->shape[0], hidden = x->shape[1];
    const float *mean = node->mem[1], *rstd = node->mem[2];
    if (rows == 0) return BERTH_OK;
    if (gamma->needs_grad || beta->needs_grad) {
        size_t bytes = dev->ops.layernorm_param_workspace(rows, hidden);
        void *workspace = NULL;
        BERTH_TRY(step_memory_take(&tape->memory, &workspace, bytes));
        BERTH_TRY(BERTH_OP(dev, layernorm_param_backward(gamma->grad, beta->grad, y->grad, node->mem[0], mean, rstd,
                                                         workspace, rows, hidden, y->dtype, dev->stream)));
        step_memory_give(&tape->memory, workspace, bytes);
    }
    bool residual_learns = residual && residual->needs_grad;
    if (!x->needs_grad && !residual_learns) return BERTH_OK;
    int accumulate = 0;
    if (residual_learns) BERTH_TRY(tape_grad(tape, residual, &accumulate));
    BERTH_TRY(BERTH_OP(dev, layernorm_backward(x->needs_grad ? y->grad : NULL,
                                               residual_learns ? residual->grad : NULL, y->grad, node->mem[0], mean,
                                               rstd, gamma->data, rows, hidden, accumulate,
                                               node->has_dropout ? &node->dropout : NULL, y->dtype, dev->stream)));
    return x->needs_grad ? tape_grad_pass(tape, x, y) : BERTH_OK;
}
