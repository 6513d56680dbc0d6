/* op_embed.c: y[T, H] = token[ids[t]] + position[pos[t]] (+ segment[seg[t]])
 *
 *     dtable[i] += Σ_{t: ids[t] = i} dy[t]     for each of the three tables
 *
 * Nothing is saved. The arrays of rows are the caller's and live until the step's end. */
#include "tape/tape_priv.h"

enum { EMBED_TOKEN, EMBED_POSITION, EMBED_SEGMENT, EMBED_INPUTS };

static void check_table(const struct berth_tensor *table, const struct berth_tensor *token, const char *name) {
    tensor_check_input(table, "embedding", name);
    BERTH_ASSERT_MSG(table->rank == 2 && token->rank == 2 && table->shape[1] == token->shape[1],
                     "embedding: token %s, %s %s", tensor_describe(token).text, name,
                     tensor_describe(table).text);
    BERTH_ASSERT_MSG(table->is_parameter, "embedding: %s is no parameter", name);
}

/* The output and its node, not yet computed. */
static berth_status record(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *token,
                           struct berth_tensor *position, struct berth_tensor *segment,
                           const struct berth_embedding_rows *rows) {
    struct berth_tensor *const inputs[EMBED_INPUTS] = {token, position, segment};
    tensor_check_input(token, "embedding", "token");
    check_table(token, token, "token");
    check_table(position, token, "position");
    if (segment != NULL) check_table(segment, token, "segment");
    BERTH_ASSERT_MSG(rows->count >= 0, "embedding: %lld rows", (long long)rows->count);
    BERTH_TRY(tensor_output(tape, out, BERTH_F32, 2, rows->count, token->shape[1]));
    if (!tape_needs(tape, inputs, EMBED_INPUTS)) return BERTH_OK;
    struct tape_node *node = NULL;
    BERTH_TRY(tape_record(tape, &node, TAPE_EMBEDDING, *out, inputs, EMBED_INPUTS));
    tape_set_arguments(node, rows, sizeof *rows);
    return BERTH_OK;
}

berth_status berth_op_embedding(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *token,
                                struct berth_tensor *position, struct berth_tensor *segment,
                                const struct berth_embedding_rows *rows) {
    BERTH_TRY(record(tape, out, token, position, segment, rows));
    if (rows->count == 0) return BERTH_OK;
    return BERTH_OP(tape->dev,
                    embedding_forward((*out)->data, token->data, position->data,
                                      segment == NULL ? NULL : segment->data, rows->tokens, rows->positions,
                                      segment == NULL ? NULL : rows->segments, rows->count, (*out)->shape[1],
                                      (*out)->dtype, tape->dev->stream));
}

/* Recorded as the three operations that it is, so their backward serves; computed in one pass. */
berth_status berth_op_embedding_norm(struct berth_tape *tape, struct berth_tensor **out,
                                     struct berth_tensor *token, struct berth_tensor *position,
                                     struct berth_tensor *segment, struct berth_tensor *gamma,
                                     struct berth_tensor *beta, const struct berth_embedding_rows *rows,
                                     float eps, const struct berth_tape_dropout *dropout) {
    struct berth_tensor *sum = NULL, *normed = NULL;
    struct norm_saved saved = {0};
    const struct berth_dropout mask = tape_dropout(dropout);
    BERTH_TRY(record(tape, &sum, token, position, segment, rows));
    BERTH_TRY(op_layernorm_record(tape, &normed, sum, NULL, gamma, beta, NULL, &saved));
    berth_tape_drop(tape, sum); /* its memory is pre's, or nobody's */
    *out = normed;
    if (dropout != NULL) BERTH_TRY(op_dropout_record(tape, out, normed, dropout));
    if (rows->count > 0)
        BERTH_TRY(BERTH_OP(
            tape->dev, embedding_norm_forward((*out)->data, saved.pre, saved.mean, saved.rstd, token->data,
                                              position->data, segment == NULL ? NULL : segment->data,
                                              gamma->data, beta->data, rows->tokens, rows->positions,
                                              segment == NULL ? NULL : rows->segments, rows->count,
                                              (*out)->shape[1], eps, &mask, (*out)->dtype, tape->dev->stream)));
    if (dropout != NULL) berth_tape_drop(tape, normed);
    return BERTH_OK;
}

berth_status op_embedding_backward(struct berth_tape *tape, struct tape_node *node) {
    const struct berth_embedding_rows *rows = (const void *)node->arguments;
    const struct berth_tensor *y = node->out;
    const int32_t *const ids[EMBED_INPUTS] = {rows->token_rows != NULL ? rows->token_rows : rows->tokens,
                                              rows->positions, rows->segments};
    struct tape_part part;
    const int32_t *const order[EMBED_INPUTS] = {rows->token_order, rows->position_order, rows->segment_order};
    for (int i = 0; i < EMBED_INPUTS; i++) {
        const struct berth_tensor *table = node->in[i];
        if (!tensor_wants(table)) continue;
        for (int p = 0; tape_part(tape, node, table, rows->count, p, &part); p++) {
            BERTH_TRY(BERTH_OP(tape->dev, embedding_backward((float *)table->grad + part.offset, y->grad,
                                                             ids[i], order[i] + part.first, part.rows,
                                                             y->shape[1], y->dtype, tape->dev->stream)));
        }
    }
    return BERTH_OK;
}
