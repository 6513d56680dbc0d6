/* op_attention.c: out[T, H] = dropout(softmax(Q Kᵀ / √D)) V within each sequence and head, D = H / A
 *
 * Saved: qkv, out, and lse [T, A], the logarithm of each softmax's sum; backward computes the probabilities
 * again from them. Nothing of size length² is kept. */
#include <math.h>

#include "tape/tape_priv.h"

struct attention_arguments {
    struct berth_dropout mask;
    const int32_t *cu_seqlens; /* [B+1] */
    int64_t sequences, max_length, heads;
};

enum { KEPT_LSE };

static float attention_scale(int64_t head_size) {
    return 1.0f / sqrtf((float)head_size);
}

/* dqkv NULL: forward. */
static berth_status run_attention(struct berth_tape *tape, void *dqkv, struct berth_tensor *out, float *lse,
                                  const struct berth_tensor *qkv, const struct attention_arguments *a) {
    void *workspace = NULL;
    const int64_t tokens = out->shape[0], size = out->shape[1] / a->heads;
    const struct berth_ops *ops = &tape->dev->ops;
    const size_t bytes =
        ops->attention_workspace(tokens, a->sequences, a->max_length, a->heads, size, dqkv != NULL);
    BERTH_TRY(step_memory_alloc(&tape->memory, &workspace, bytes));
    if (dqkv == NULL)
        BERTH_TRY(BERTH_OP(tape->dev,
                           attention_forward(out->data, lse, qkv->data, a->cu_seqlens, workspace, tokens,
                                             a->sequences, a->max_length, a->heads, size, attention_scale(size),
                                             &a->mask, out->dtype, tape->dev->stream)));
    else
        BERTH_TRY(BERTH_OP(tape->dev,
                           attention_backward(dqkv, out->grad, qkv->data, out->data, lse, a->cu_seqlens,
                                              workspace, tokens, a->sequences, a->max_length, a->heads, size,
                                              attention_scale(size), &a->mask, out->dtype, tape->dev->stream)));
    step_memory_free(&tape->memory, workspace, bytes);
    return BERTH_OK;
}

berth_status berth_op_attention(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *qkv,
                                const int32_t *cu_seqlens, int64_t sequences, int64_t max_length, int64_t heads,
                                const struct berth_tape_dropout *dropout) {
    struct berth_tensor *y = NULL;
    void *lse = NULL;
    const struct attention_arguments a = {tape_dropout(dropout), cu_seqlens, sequences, max_length, heads};
    tensor_check_input(qkv, "attention", "qkv");
    BERTH_ASSERT_MSG(qkv->rank == 2 && heads > 0 && qkv->shape[1] % (3 * heads) == 0,
                     "attention: qkv %s, %lld heads", tensor_describe(qkv).text, (long long)heads);
    BERTH_ASSERT_MSG(sequences >= 0 && max_length <= qkv->shape[0],
                     "attention: qkv %s, %lld sequences up to %lld", tensor_describe(qkv).text,
                     (long long)sequences, (long long)max_length);
    const int64_t tokens = qkv->shape[0];
    const size_t lse_bytes = (size_t)(tokens * heads) * sizeof(float);
    const bool needs = tape_needs(tape, &qkv, 1);
    BERTH_TRY(tensor_output(tape, &y, qkv->dtype, 2, tokens, qkv->shape[1] / 3));
    if (needs) BERTH_TRY(step_memory_alloc(&tape->memory, &lse, lse_bytes));
    if (tokens > 0) BERTH_TRY(run_attention(tape, NULL, y, lse, qkv, &a));
    *out = y;
    if (!needs) return BERTH_OK;
    struct tape_node *node = NULL;
    BERTH_TRY(tape_record(tape, &node, TAPE_ATTENTION, y, &qkv, 1));
    tape_set_arguments(node, &a, sizeof a);
    tape_save(node, qkv);
    tape_save(node, y);
    tape_keep(node, KEPT_LSE, lse, lse_bytes);
    return BERTH_OK;
}

berth_status op_attention_backward(struct berth_tape *tape, struct tape_node *node) {
    struct berth_tensor *qkv = node->in[0];
    const struct attention_arguments *a = (const void *)node->arguments;
    void *dqkv = NULL;
    BERTH_TRY(step_memory_alloc(&tape->memory, &dqkv, tensor_bytes(qkv)));
    BERTH_TRY(run_attention(tape, dqkv, node->out, node->kept[KEPT_LSE].data, qkv, a));
    return tape_give_gradient(tape, qkv, dqkv);
}
