/* head_class.c: a class for a sequence: pool its tokens to one vector, dropout, one linear layer.
 *
 * Items are sequences. Heads that pool the same sequences in the same way share the pooled vectors (and the
 * pooler's product), so a sentence asked of all heads is pooled once. Dropout's position is 0: a sentence has
 * one row. */
#include <stdlib.h>
#include <string.h>

#include "model/model_priv.h"

/* What an earlier head of this pass pooled from the same sequences, or NULL. */
static struct berth_tensor *shared(const struct forward_run *run, int head) {
    const struct berth_items *mine = &run->batch->items[head];
    for (int i = 0; i < head; i++) {
        const struct berth_items *other = &run->batch->items[i];
        if (run->pooled[i] == NULL || run->m->heads[i].pooling != run->m->heads[head].pooling) continue;
        if (other->count == mine->count &&
            memcmp(other->index, mine->index, (size_t)mine->count * sizeof *mine->index) == 0)
            return run->pooled[i];
    }
    return NULL;
}

static berth_status forward(struct forward_run *run, int head, struct berth_tensor *hidden,
                            struct berth_tensor **logits) {
    berth_status status = BERTH_OK;
    const struct berth_items *items = &run->batch->items[head];
    int32_t *ordinal = NULL, *position = NULL;
    BERTH_TRY_OUT(berth_calloc(&ordinal, (size_t)items->count, sizeof *ordinal));
    BERTH_TRY_OUT(berth_calloc(&position, (size_t)items->count, sizeof *position));
    for (int64_t i = 0; i < items->count; i++) {
        BERTH_ASSERT_MSG(items->index[i] >= 0 && items->index[i] < run->batch->sequence_count,
                         "item %lld is sequence %d of %lld", (long long)i, items->index[i],
                         (long long)run->batch->sequence_count);
        ordinal[i] = run->batch->ordinal[items->index[i]];
    }
    run->pooled[head] = shared(run, head);
    if (run->pooled[head] == NULL)
        BERTH_TRY_OUT(pooling_forward(run, run->m->heads[head].pooling, hidden, items->index, items->count,
                                      &run->pooled[head]));
    BERTH_TRY_OUT(head_output(run, head, run->pooled[head], ordinal, position, logits));
out:
    free(ordinal);
    free(position);
    return status;
}

const struct head_kind head_kind_classification = {
    .kind = BERTH_TASK_CLASSIFICATION,
    .sentence_level = true,
    .reference_class = "ForSequenceClassification",
    .forward = forward,
};
