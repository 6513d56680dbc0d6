/* loss.c: item losses of a head's outputs; what each kind's is stands in its row, what several share here.
 * Items without a label (-1), or with one the head does not know (-2), are masked: loss 0, gradient 0. */
#include "model/model_priv.h"

int64_t head_width_labels(const struct berth_model *m, const struct berth_head *head) {
    (void)m;
    return (int64_t)head->task.labels.count;
}

berth_status berth_model_head_loss(struct berth_model *m, struct berth_tape *tape, int head,
                                   struct berth_tensor *outputs, const struct berth_batch *batch,
                                   struct berth_tensor **item_losses) {
    BERTH_ASSERT_MSG(head >= 0 && head < m->head_count && head < batch->task_count, "head %d of %d, %d tasks",
                     head, m->head_count, batch->task_count);
    task_gradient_head(m->split, tape, head);
    BERTH_TRY(head_kind_of(&m->heads[head])->loss(m, tape, head, outputs, batch, item_losses));
    task_gradient_head(m->split, tape, -1);
    return BERTH_OK;
}

berth_status loss_put(const struct berth_model *m, struct berth_tape *tape, const int32_t *host, int64_t count,
                      const int32_t **out) {
    _Static_assert(sizeof(int32_t) == sizeof(float), "step memory is asked for as floats");
    struct berth_tensor *t = NULL;
    BERTH_TRY(berth_tape_tensor(tape, &t, BERTH_F32, 1, &count));
    BERTH_TRY(berth_device_upload(m->device, t->data, host, (size_t)count * sizeof *host));
    *out = t->data;
    return BERTH_OK;
}

berth_status loss_labels(struct berth_tape *tape, const struct berth_items *items, const char *name,
                         int64_t classes, const int32_t **out) {
    const void *labels = NULL;
    for (int64_t i = 0; i < items->count; i++)
        BERTH_ASSERT_MSG(items->label[i] >= -2 && items->label[i] < classes,
                         "head '%s': label %d of %lld classes", name, items->label[i], (long long)classes);
    BERTH_TRY(berth_tape_upload(tape, &labels, items->label, (size_t)items->count * sizeof *items->label));
    *out = labels;
    return BERTH_OK;
}

berth_status loss_weights(struct berth_tape *tape, const struct berth_head *head, const float **out) {
    const void *weights = NULL;
    *out = NULL;
    if (head->class_weights == NULL) return BERTH_OK;
    BERTH_TRY(berth_tape_upload(tape, &weights, head->class_weights,
                                head->task.labels.count * sizeof *head->class_weights));
    *out = weights;
    return BERTH_OK;
}

berth_status loss_classes(struct berth_model *m, struct berth_tape *tape, int head,
                          struct berth_tensor *outputs, const struct berth_batch *batch,
                          struct berth_tensor **item_losses) {
    const struct berth_head *h = &m->heads[head];
    const struct berth_items *items = &batch->items[head];
    const int64_t classes = berth_head_width(m, head);
    const int32_t *labels = NULL;
    const float *weights = NULL;
    BERTH_ASSERT_EQ(outputs->shape[0], items->count);
    BERTH_ASSERT_EQ(outputs->shape[1], classes);
    BERTH_TRY(loss_labels(tape, items, h->task.name, classes, &labels));
    BERTH_TRY(loss_weights(tape, h, &weights));
    if (head_loss_of(h) == BERTH_LOSS_FOCAL)
        return berth_op_focal(tape, item_losses, outputs, labels, weights, h->focal_gamma);
    return berth_op_cross_entropy(tape, item_losses, outputs, labels, weights, h->label_smoothing);
}

berth_status loss_numbers(struct berth_model *m, struct berth_tape *tape, int head,
                          struct berth_tensor *outputs, const struct berth_batch *batch,
                          struct berth_tensor **item_losses) {
    const struct berth_head *h = &m->heads[head];
    const struct berth_items *items = &batch->items[head];
    const enum berth_loss loss = head_loss_of(h);
    const int32_t *labels = NULL;
    const void *targets = NULL;
    BERTH_ASSERT_MSG(items->width == 1, "head '%s': targets of %lld numbers", h->task.name,
                     (long long)items->width);
    BERTH_TRY(loss_labels(tape, items, h->task.name, 1, &labels));
    BERTH_TRY(berth_tape_upload(tape, &targets, items->target, (size_t)items->count * sizeof *items->target));
    if (loss == BERTH_LOSS_COSENT)
        return berth_op_cosent(tape, item_losses, outputs, targets, labels, h->scale);
    const enum berth_error_kind kind = loss == BERTH_LOSS_L1      ? BERTH_ERROR_ABSOLUTE
                                       : loss == BERTH_LOSS_HUBER ? BERTH_ERROR_HUBER
                                                                  : BERTH_ERROR_SQUARED;
    return berth_op_error(tape, item_losses, outputs, targets, labels, kind, h->huber_delta);
}
