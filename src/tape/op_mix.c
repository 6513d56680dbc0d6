/* op_mix.c: one layer's part of a learnt mix of layers; a mix of n layers is a chain of n of these.
 *
 *     y = prior + g softmax(w)[layer] x
 *     dw, dg += (kernels.h)        dx (+)= g softmax(w)[layer] dy        dprior (+)= dy, in dy's memory
 *
 * x is saved where w or g needs a gradient. */
#include "tape/tape_priv.h"

enum { MIX_PRIOR, MIX_X, MIX_W, MIX_GAMMA, MIX_INPUTS };

berth_status berth_op_mix(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *prior,
                          struct berth_tensor *x, struct berth_tensor *w, struct berth_tensor *gamma,
                          int64_t layer) {
    struct berth_tensor *y = NULL, *const inputs[MIX_INPUTS] = {prior, x, w, gamma};
    struct tape_node *node = NULL;
    tensor_check_input(x, "mix", "x");
    if (prior != NULL) tensor_check_input(prior, "mix", "prior");
    BERTH_ASSERT_MSG(prior == NULL || tensor_same_shape(prior, x), "mix: prior %s, x %s",
                     tensor_describe(prior).text, tensor_describe(x).text);
    const int64_t layers = tensor_count(w);
    BERTH_ASSERT_MSG(layer >= 0 && layer < layers && tensor_count(gamma) == 1, "mix: layer %lld of %lld",
                     (long long)layer, (long long)layers);
    BERTH_TRY(berth_tape_tensor(tape, &y, x->dtype, x->rank, x->shape));
    if (tensor_count(x) > 0)
        BERTH_TRY(BERTH_OP(tape->dev, mix_forward(y->data, prior == NULL ? NULL : prior->data, x->data, w->data,
                                                  gamma->data, tensor_count(x), layers, layer, x->dtype,
                                                  tape->dev->stream)));
    *out = y;
    if (!tape_needs(tape, inputs, MIX_INPUTS)) return BERTH_OK;
    BERTH_TRY(tape_record(tape, &node, TAPE_MIX, y, inputs, MIX_INPUTS));
    tape_set_arguments(node, &layer, sizeof layer);
    if (tensor_wants(w) || tensor_wants(gamma)) tape_save(node, x);
    return BERTH_OK;
}

berth_status op_mix_backward(struct berth_tape *tape, struct tape_node *node) {
    struct berth_tensor *prior = node->in[MIX_PRIOR], *x = node->in[MIX_X];
    const struct berth_tensor *w = node->in[MIX_W], *gamma = node->in[MIX_GAMMA];
    const int64_t layer = *(const int64_t *)(const void *)node->arguments, n = tensor_count(x);
    const size_t bytes = tape->dev->ops.mix_workspace(n);
    void *dx = NULL, *workspace = NULL;
    int accumulate = 0;
    BERTH_TRY(step_memory_alloc(&tape->memory, &workspace, bytes));
    if (tensor_wants(x)) BERTH_TRY(tape_gradient(tape, x, &dx, &accumulate));
    BERTH_TRY(BERTH_OP(tape->dev, mix_backward(dx, tape_parameter_gradient(node, w, "mix"),
                                               tape_parameter_gradient(node, gamma, "mix"), node->out->grad,
                                               x->data, w->data, gamma->data, workspace, n, tensor_count(w),
                                               layer, accumulate, x->dtype, tape->dev->stream)));
    step_memory_free(&tape->memory, workspace, bytes);
    return tensor_wants(prior) ? tape_give_gradient(tape, prior, tape_take_gradient(node->out)) : BERTH_OK;
}
