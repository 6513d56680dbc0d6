/* loss.c: item losses of a head's outputs; what each kind's is stands in its row. Items without a label (-1),
 * or with one the head does not know (-2), are masked: loss 0, gradient 0. */
#include "model/model_priv.h"

berth_status berth_model_head_loss(struct berth_model *m, struct berth_tape *tape, int head,
                                   struct berth_tensor *outputs, const struct berth_batch *batch,
                                   struct berth_tensor **item_losses) {
    BERTH_ASSERT_MSG(head >= 0 && head < m->head_count && head < batch->task_count, "head %d of %d, %d tasks",
                     head, m->head_count, batch->task_count);
    return head_kind_of(&m->heads[head])->loss(m, tape, head, outputs, batch, item_losses);
}

berth_status loss_cross_entropy(struct berth_model *m, struct berth_tape *tape, int head,
                                struct berth_tensor *outputs, const struct berth_batch *batch,
                                struct berth_tensor **item_losses) {
    const struct berth_items *items = &batch->items[head];
    const int64_t classes = (int64_t)m->heads[head].task.labels.count;
    BERTH_ASSERT_EQ(outputs->shape[0], items->count);
    BERTH_ASSERT_EQ(outputs->shape[1], classes);
    for (int64_t i = 0; i < items->count; i++)
        BERTH_ASSERT_MSG(items->label[i] >= -2 && items->label[i] < classes,
                         "head '%s': label %d of %lld classes", m->heads[head].task.name, items->label[i],
                         (long long)classes);
    const void *labels = NULL;
    BERTH_TRY(berth_tape_upload(tape, &labels, items->label, (size_t)items->count * sizeof *items->label));
    return berth_op_cross_entropy(tape, item_losses, outputs, labels, NULL, m->heads[head].label_smoothing);
}
