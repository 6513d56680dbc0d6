/* op_norm.c: y[T, H] = norm(pre) gamma + beta, pre = dropout(x) + residual
 *
 *     dgamma += Σ_t dy xhat    dbeta += Σ_t dy    dresidual (+)= dpre    dx (+)= dropout mask of dpre
 *
 * pre is saved with its row statistics. It takes x's memory, so x is dropped here; where x is still read by
 * another node, or is the caller's, pre gets memory of its own. dx is computed in dy's memory, which becomes
 * dx; where x needs none, it becomes the residual's gradient. */
#include "tape/tape_priv.h"

enum { NORM_X, NORM_RESIDUAL, NORM_GAMMA, NORM_BETA, NORM_INPUTS };
enum { KEPT_PRE, KEPT_MEAN, KEPT_RSTD };

static void check_norm(const struct berth_tensor *x, const struct berth_tensor *residual,
                       const struct berth_tensor *gamma, const struct berth_tensor *beta) {
    tensor_check_input(x, "layernorm", "x");
    tensor_check_input(gamma, "layernorm", "gamma");
    tensor_check_input(beta, "layernorm", "beta");
    BERTH_ASSERT_MSG(x->rank == 2 && tensor_is_vector(gamma, x->shape[1]) &&
                         tensor_is_vector(beta, x->shape[1]),
                     "layernorm: x %s, gamma %s, beta %s", tensor_describe(x).text, tensor_describe(gamma).text,
                     tensor_describe(beta).text);
    BERTH_ASSERT_MSG(gamma->is_parameter && beta->is_parameter, "layernorm: gamma or beta is no parameter");
    if (residual == NULL) return;
    tensor_check_input(residual, "layernorm", "residual");
    BERTH_ASSERT_MSG(residual != x && tensor_same_shape(x, residual), "layernorm: x %s, residual %s",
                     tensor_describe(x).text, tensor_describe(residual).text);
}

/* Memory for pre: x's, which x then has no more, or new. */
static berth_status take_pre(struct berth_tape *tape, struct berth_tensor *x, struct tape_kept *pre) {
    pre->bytes = tensor_bytes(x);
    if (x->bytes == 0 || x->references > 0) return step_memory_alloc(&tape->memory, &pre->data, pre->bytes);
    pre->data = x->data;
    x->data = NULL;
    x->bytes = 0;
    return BERTH_OK;
}

berth_status op_layernorm_record(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                                 struct berth_tensor *residual, struct berth_tensor *gamma,
                                 struct berth_tensor *beta, const struct berth_tape_dropout *dropout,
                                 struct norm_saved *saved) {
    struct berth_tensor *const inputs[NORM_INPUTS] = {x, residual, gamma, beta};
    const struct berth_dropout mask = tape_dropout(dropout);
    struct tape_kept pre = {0}, mean = {0}, rstd = {0};
    check_norm(x, residual, gamma, beta);
    const int64_t rows = x->shape[0];
    const bool needs = tape_needs(tape, inputs, NORM_INPUTS);
    *saved = (struct norm_saved){.x = x->data};
    BERTH_TRY(tensor_output(tape, out, x->dtype, 2, rows, x->shape[1]));
    if (!needs) return BERTH_OK;
    mean.bytes = rstd.bytes = (size_t)rows * sizeof(float);
    BERTH_TRY(step_memory_alloc(&tape->memory, &mean.data, mean.bytes));
    BERTH_TRY(step_memory_alloc(&tape->memory, &rstd.data, rstd.bytes));
    BERTH_TRY(take_pre(tape, x, &pre));
    struct tape_node *node = NULL;
    BERTH_TRY(tape_record(tape, &node, TAPE_LAYERNORM, *out, inputs, NORM_INPUTS));
    tape_set_arguments(node, &mask, sizeof mask);
    tape_keep(node, KEPT_PRE, pre.data, pre.bytes);
    tape_keep(node, KEPT_MEAN, mean.data, mean.bytes);
    tape_keep(node, KEPT_RSTD, rstd.data, rstd.bytes);
    saved->pre = pre.data;
    saved->mean = mean.data;
    saved->rstd = rstd.data;
    return BERTH_OK;
}

berth_status berth_op_layernorm(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *x,
                                struct berth_tensor *residual, struct berth_tensor *gamma,
                                struct berth_tensor *beta, float eps,
                                const struct berth_tape_dropout *dropout) {
    const struct berth_dropout mask = tape_dropout(dropout);
    struct norm_saved saved = {0};
    BERTH_TRY(op_layernorm_record(tape, out, x, residual, gamma, beta, dropout, &saved));
    if (x->shape[0] > 0)
        BERTH_TRY(BERTH_OP(tape->dev, layernorm_forward((*out)->data, saved.pre, saved.mean, saved.rstd,
                                                        saved.x, residual == NULL ? NULL : residual->data,
                                                        gamma->data, beta->data, x->shape[0], x->shape[1], eps,
                                                        &mask, x->dtype, tape->dev->stream)));
    berth_tape_drop(tape, x);
    return BERTH_OK;
}

static berth_status parameter_gradients(struct berth_tape *tape, const struct tape_node *node) {
    const struct berth_tensor *gamma = node->in[NORM_GAMMA], *beta = node->in[NORM_BETA], *y = node->out;
    const struct berth_tensor *split = gamma->grad != NULL ? gamma : beta;
    const int64_t hidden = y->shape[1];
    const size_t bytes = tape->dev->ops.layernorm_param_workspace(y->shape[0], hidden);
    const size_t size = berth_dtype_size(y->dtype);
    struct tape_part part;
    void *workspace = NULL;
    BERTH_TRY(step_memory_alloc(&tape->memory, &workspace, bytes));
    for (int i = 0; tape_part(tape, node, split, y->shape[0], i, &part); i++) {
        float *dgamma = gamma->grad == NULL ? NULL : (float *)gamma->grad + part.offset;
        float *dbeta = beta->grad == NULL ? NULL : (float *)beta->grad + part.offset;
        const size_t at = (size_t)(part.first * hidden) * size;
        if (part.rows == 0) continue;
        BERTH_TRY(BERTH_OP(
            tape->dev, layernorm_param_backward(dgamma, dbeta, (const char *)y->grad + at,
                                                (const char *)node->kept[KEPT_PRE].data + at,
                                                (const float *)node->kept[KEPT_MEAN].data + part.first,
                                                (const float *)node->kept[KEPT_RSTD].data + part.first,
                                                workspace, part.rows, hidden, y->dtype, tape->dev->stream)));
    }
    step_memory_free(&tape->memory, workspace, bytes);
    return BERTH_OK;
}

berth_status op_layernorm_backward(struct berth_tape *tape, struct tape_node *node) {
    struct berth_tensor *x = node->in[NORM_X], *residual = node->in[NORM_RESIDUAL], *y = node->out;
    const struct berth_tensor *gamma = node->in[NORM_GAMMA];
    const struct berth_dropout *mask = (const void *)node->arguments, none = {0};
    void *dresidual = NULL;
    int accumulate = 0;
    if (tensor_wants(gamma) || tensor_wants(node->in[NORM_BETA])) BERTH_TRY(parameter_gradients(tape, node));
    if (!tensor_wants(x)) {
        if (!tensor_wants(residual)) return BERTH_OK;
        x = residual; /* dpre itself, in dy's memory, is the residual's gradient */
        residual = NULL;
        mask = &none;
    }
    if (tensor_wants(residual)) BERTH_TRY(tape_gradient(tape, residual, &dresidual, &accumulate));
    BERTH_TRY(BERTH_OP(tape->dev, layernorm_backward(y->grad, dresidual, y->grad, node->kept[KEPT_PRE].data,
                                                     node->kept[KEPT_MEAN].data, node->kept[KEPT_RSTD].data,
                                                     gamma->data, y->shape[0], y->shape[1], accumulate, mask,
                                                     y->dtype, tape->dev->stream)));
    return tape_give_gradient(tape, x, tape_take_gradient(y));
}
