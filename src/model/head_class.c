/* head_class.c: a class for a sequence: pool its tokens to one vector, dropout, one linear layer.
 *
 * Items are sequences. Heads that pool the same sequences in the same way share the pooled vectors (and the
 * pooler's product), so a sentence asked of all heads is pooled once. Dropout's position is 0: a sentence has
 * one row. */
#include <string.h>

#include "model/model_priv.h"

/* What an earlier head of this pass pooled from the same sequences, or NULL. */
static struct berth_tensor *shared(const struct forward_run *run, int head) {
    const struct berth_items *mine = &run->batch->items[head];
    for (int i = 0; i < head; i++) {
        const struct berth_items *other = &run->batch->items[i];
        if (run->m->pooled[i] == NULL || run->m->heads[i].pooling != run->m->heads[head].pooling) continue;
        if (other->count == mine->count &&
            memcmp(other->index, mine->index, (size_t)mine->count * sizeof *mine->index) == 0)
            return run->m->pooled[i];
    }
    return NULL;
}

static berth_status forward(struct forward_run *run, int head, struct berth_tensor *hidden,
                            struct berth_tensor **logits) {
    const struct berth_items *items = &run->batch->items[head];
    struct berth_tensor **pooled = &run->m->pooled[head];
    for (int64_t i = 0; i < items->count; i++)
        BERTH_ASSERT_MSG(items->index[i] >= 0 && items->index[i] < run->batch->sequence_count,
                         "item %lld is sequence %d of %lld", (long long)i, items->index[i],
                         (long long)run->batch->sequence_count);
    *pooled = shared(run, head);
    if (*pooled == NULL)
        BERTH_TRY(
            pooling_forward(run, run->m->heads[head].pooling, hidden, items->index, items->count, pooled));
    return head_output(run, head, *pooled, logits);
}

const struct head_kind head_kind_classification = {
    .kind = BERTH_TASK_CLASSIFICATION,
    .pools = true,
    .reference_class = "ForSequenceClassification",
    .problem_type = "single_label_classification",
    .width = head_width_labels,
    .parameters = head_parameters_linear,
    .forward = forward,
    .loss = loss_cross_entropy,
    .answer = answer_softmax,
};
