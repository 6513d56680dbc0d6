/* backward.c: the walk back over the record.
 *
 *     for each node, last first:  dinputs (+)= (d out / d inputs)ᵀ dout;  free dout, and what only this node
 * held
 *
 * The record is in the order of computation, so when a node's turn comes, every consumer of its output has
 * contributed. A node whose output got no contribution (a head without items, a tensor nobody used) contributes
 * nothing and is only released. Contributions to one tensor are added in the reverse order of its uses: the
 * same bits each time. */
#include "tape/tape_priv.h"

static berth_status node_backward(struct berth_tape *tape, struct tape_node *node) {
    switch (node->op) {
#define X(upper, name)                                                                                         \
    case TAPE_##upper:                                                                                         \
        return op_##name##_backward(tape, node);
        TAPE_OP_MAP(X)
#undef X
    case TAPE_OPS:
        break;
    }
    BERTH_ASSERT_MSG(false, "operation %d", (int)node->op);
    return BERTH_OK;
}

static berth_status walk(struct berth_tape *tape) {
    tape->recording = false;
    tape->walked = true;
    while (tape->node_count > 0) {
        struct tape_node node =
            tape->nodes[--tape->node_count]; /* off the record: a segment puts others in its place */
        if (node.out->grad_written && tensor_count(node.out) > 0)
            BERTH_TRY_CTX(node_backward(tape, &node), "backward of %s", tape_op_name(node.op));
        tape_release(tape, &node);
    }
    return BERTH_OK;
}

berth_status berth_tape_backward(struct berth_tape *tape, struct berth_tensor *loss) {
    void *to = NULL;
    int accumulate = 0;
    BERTH_ASSERT_MSG(!tape->walked, "the record was walked back before: one backward a step");
    BERTH_ASSERT_MSG(tensor_count(loss) == 1 && loss->dtype == BERTH_F32, "a loss is one float, this is %s",
                     tensor_describe(loss).text);
    if (!loss->needs_grad) return BERTH_OK;
    BERTH_ASSERT_MSG(!loss->is_parameter, "a loss that is a parameter");
    BERTH_TRY(tape_gradient(tape, loss, &to, &accumulate));
    BERTH_TRY(BERTH_OP(tape->dev, fill(to, 1.0f, 1, tape->dev->stream)));
    return walk(tape);
}

berth_status berth_tape_backward_from(struct berth_tape *tape, struct berth_tensor *const *outputs,
                                      const void *const *gradients, int count) {
    BERTH_ASSERT_MSG(!tape->walked, "the record was walked back before: one backward a step");
    for (int i = 0; i < count; i++) {
        if (!outputs[i]->needs_grad || tensor_count(outputs[i]) == 0) continue;
        BERTH_TRY(tape_copy_gradient(tape, outputs[i], gradients[i]));
    }
    return walk(tape);
}
