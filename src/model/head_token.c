/* head_token.c: a tag for a word: the hidden state of its first piece, dropout, one linear layer.
 *
 * Items are packed rows; rows that are no item (later pieces, [CLS], [SEP]) are never computed. */
#include <stdlib.h>

#include "model/model_priv.h"

static berth_status forward(struct forward_run *run, int head, struct berth_tensor *hidden,
                            struct berth_tensor **logits) {
    berth_status status = BERTH_OK;
    const struct berth_items *items = &run->batch->items[head];
    const int32_t *rows = NULL;
    struct berth_tensor *features = NULL;
    int32_t *ordinal = NULL, *position = NULL;
    BERTH_TRY_OUT(berth_calloc(&ordinal, (size_t)items->count, sizeof *ordinal));
    BERTH_TRY_OUT(berth_calloc(&position, (size_t)items->count, sizeof *position));
    for (int64_t i = 0; i < items->count; i++) {
        int32_t row = items->index[i];
        BERTH_ASSERT_MSG(row >= 0 && row < run->batch->tokens_count, "item %lld is row %d of %lld",
                         (long long)i, row, (long long)run->batch->tokens_count);
        ordinal[i] = run->batch->row_ordinal[row];
        position[i] = run->batch->positions[row];
    }
    BERTH_TRY_OUT(forward_put(run, &rows, items->index, items->count));
    BERTH_TRY_OUT(berth_op_gather_rows(run->tape, &features, hidden, rows, items->count));
    BERTH_TRY_OUT(head_output(run, head, features, ordinal, position, logits));
    berth_tape_drop(run->tape, features);
out:
    free(ordinal);
    free(position);
    return status;
}

const struct head_kind head_kind_tagging = {
    .kind = BERTH_TASK_TAGGING,
    .sentence_level = false,
    .reference_class = "ForTokenClassification",
    .forward = forward,
};
