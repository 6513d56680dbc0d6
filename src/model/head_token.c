/* head_token.c: a tag for a word: the hidden state of its first piece, dropout, one linear layer.
 *
 * Items are packed rows; rows that are no item (later pieces, [CLS], [SEP]) are never computed. */
#include "model/model_priv.h"

static berth_status forward(struct forward_run *run, int head, struct berth_tensor *hidden,
                            struct berth_tensor **logits) {
    const struct berth_items *items = &run->batch->items[head];
    const int32_t *rows = NULL;
    struct berth_tensor *features = NULL;
    for (int64_t i = 0; i < items->count; i++)
        BERTH_ASSERT_MSG(items->index[i] >= 0 && items->index[i] < run->batch->tokens_count,
                         "item %lld is row %d of %lld", (long long)i, items->index[i],
                         (long long)run->batch->tokens_count);
    BERTH_TRY(forward_put(run, &rows, items->index, items->count));
    BERTH_TRY(berth_op_gather_rows(run->tape, &features, hidden, rows, items->count));
    BERTH_TRY(head_output(run, head, features, logits));
    berth_tape_drop(run->tape, features);
    return BERTH_OK;
}

const struct head_kind head_kind_tagging = {
    .kind = BERTH_TASK_TAGGING,
    .pools = false,
    .reference_class = "ForTokenClassification",
    .width = head_width_labels,
    .parameters = head_parameters_linear,
    .forward = forward,
    .loss = loss_cross_entropy,
    .answer = answer_softmax,
};
