/* op_embed.c: y[t] = token[ids[t]] + position[pos[t]] (+ segment[seg[t]]); each table's gradient sums the rows of dy
 * that used an entry, in the order of `*_order`. */
#include "tape/tape_priv.h"

berth_status berth_op_embedding(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *token,
                                struct berth_tensor *position, struct berth_tensor *segment,
                                const struct berth_embedding_rows *rows) {
    int64_t hidden = token->shape[1];
    BERTH_ASSERT_MSG(position->shape[1] == hidden && (!segment || segment->shape[1] == hidden),
                     "token %s, position %s", tensor_shape_text(token), tensor_shape_text(position));
    BERTH_ASSERT(!segment || rows->segments);
    struct berth_tensor *y = NULL;
    BERTH_TRY(berth_tape_tensor(tape, &y, BERTH_F32, 2, (int64_t[]){rows->count, hidden}));
    BERTH_TRY(BERTH_OP(tape->dev, embedding_forward(y->data, token->data, position->data,
                                                    segment ? segment->data : NULL, rows->tokens, rows->positions,
                                                    segment ? rows->segments : NULL, rows->count, hidden, y->dtype,
                                                    tape->dev->stream)));
    if (tape_needs_grad(tape, (struct berth_tensor *[]){token, position, segment}, 3)) {
        struct tape_node *node = NULL;
        BERTH_TRY(tape_record(tape, &node, TAPE_OP_embedding, y));
        node->in[0] = token;
        node->in[1] = position;
        node->in[2] = segment;
        node->u.embedding = *rows;
    }
    *out = y;
    return BERTH_OK;
}

berth_status tape_backward_embedding(struct berth_tape *tape, struct tape_node *node) {
    const struct berth_embedding_rows *r = &node->u.embedding;
    const int32_t *ids[3] = {r->tokens, r->positions, r->segments};
    const int32_t *order[3] = {r->token_order, r->position_order, r->segment_order};
    for (int i = 0; i < 3; i++) {
        struct berth_tensor *table = node->in[i];
        if (!table || !table->needs_grad) continue;
        BERTH_TRY(BERTH_OP(tape->dev, embedding_backward(table->grad, node->out->grad, ids[i], order[i], r->count,
                                                         table->shape[1], node->out->dtype, tape->dev->stream)));
    }
    return BERTH_OK;
}
