/* op_attention.c: softmax attention within each sequence, from one [T, 3H] product of query, key and value.
 *
 * Kept for backward: qkv, out, and lse[T, A]; the probabilities are computed again. */
#include <math.h>

#include "tape/tape_priv.h"

berth_status berth_op_attention(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *qkv,
                                const int32_t *cu_seqlens, int64_t sequences, int64_t max_length, int64_t heads,
                                const struct berth_tape_dropout *dropout) {
    BERTH_ASSERT_MSG(qkv->rank == 2 && qkv->shape[1] % (3 * heads) == 0, "qkv %s, %lld heads",
                     tensor_shape_text(qkv), (long long)heads);
    struct berth_device *dev = tape->dev;
    int64_t tokens = qkv->shape[0], hidden = qkv->shape[1] / 3, size = hidden / heads;
    float scale = (float)(1.0 / sqrt((double)size));
    struct berth_dropout mask;
    bool masked = tape_dropout_set(&mask, dropout);
    struct berth_tensor *y = NULL;
    BERTH_TRY(berth_tape_tensor(tape, &y, qkv->dtype, 2, (int64_t[]){tokens, hidden}));
    float *lse = NULL;
    if (tape_needs_grad(tape, &qkv, 1)) {
        struct tape_node *node = NULL;
        BERTH_TRY(tape_record(tape, &node, TAPE_OP_attention, y));
        node->in[0] = qkv;
        node->dropout = mask;
        node->has_dropout = masked;
        node->u.attention.cu_seqlens = cu_seqlens;
        node->u.attention.sequences = sequences;
        node->u.attention.max_length = max_length;
        node->u.attention.heads = heads;
        node->u.attention.scale = scale;
        tape_save(node, 0, qkv);
        tape_save(node, 1, y);
        BERTH_TRY(tape_node_memory(tape, node, 0, (size_t)(tokens * heads) * sizeof(float)));
        lse = node->mem[0];
    }
    void *workspace = NULL;
    size_t bytes = dev->ops.attention_workspace(tokens, sequences, max_length, heads, size, 0);
    BERTH_TRY(step_memory_take(&tape->memory, &workspace, bytes));
    BERTH_TRY(BERTH_OP(dev, attention_forward(y->data, lse, qkv->data, cu_seqlens, workspace, tokens, sequences,
                                              max_length, heads, size, scale, masked ? &mask : NULL, qkv->dtype,
                                              dev->stream)));
    step_memory_give(&tape->memory, workspace, bytes);
    *out = y;
    return BERTH_OK;
}

berth_status tape_backward_attention(struct berth_tape *tape, struct tape_node *node) {
    struct berth_device *dev = tape->dev;
    struct berth_tensor *qkv = node->in[0], *y = node->out;
    int64_t tokens = qkv->shape[0], heads = node->u.attention.heads, size = y->shape[1] / heads;
    int64_t sequences = node->u.attention.sequences, max_length = node->u.attention.max_length;
    BERTH_ASSERT_MSG(!qkv->grad_written, "qkv %s feeds one attention", tensor_shape_text(qkv));
    int accumulate = 0;
    BERTH_TRY(tape_grad(tape, qkv, &accumulate));
    void *workspace = NULL;
    size_t bytes = dev->ops.attention_workspace(tokens, sequences, max_length, heads, size, 1);
    BERTH_TRY(step_memory_take(&tape->memory, &workspace, bytes));
    BERTH_TRY(BERTH_OP(dev, attention_backward(qkv->grad, y->grad, qkv->data, y->data, node->mem[0],
                                               node->u.attention.cu_seqlens, workspace, tokens, sequences,
                                               max_length, heads, size, node->u.attention.scale,
                                               node->has_dropout ? &node->dropout : NULL, qkv->dtype,
                                               dev->stream)));
    step_memory_give(&tape->memory, workspace, bytes);
    return BERTH_OK;
}
