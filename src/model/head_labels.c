/* head_labels.c: any number of labels for a sequence: K independent yes/no answers from its pooled vector.
 *
 *     p[k] = sigmoid(z[k])        label k is answered where p[k] >= threshold
 *
 * An item's target holds 1 or 0 for each label, a negative number where it is not known. */
#include <math.h>

#include "model/model_priv.h"

static berth_status parameters(struct spec_builder *b, const struct berth_model *m, struct berth_head *head) {
    return head_parameters_linear(b, m, head, (int64_t)head->task.labels.count);
}

static berth_status loss(struct berth_model *m, struct berth_tape *tape, int head, struct berth_tensor *outputs,
                         const struct berth_batch *batch, struct berth_tensor **item_losses) {
    const struct berth_head *h = &m->heads[head];
    const struct berth_items *items = &batch->items[head];
    const int32_t *labels = NULL;
    const float *weights = NULL;
    const void *targets = NULL;
    const float gamma = head_loss_of(h) == BERTH_LOSS_FOCAL ? h->focal_gamma : 0.0f;
    BERTH_ASSERT_MSG(items->width == (int64_t)h->task.labels.count,
                     "head '%s': targets of %lld numbers, %zu labels", h->task.name, (long long)items->width,
                     h->task.labels.count);
    BERTH_TRY(loss_labels(tape, items, h->task.name, 1, &labels));
    BERTH_TRY(loss_weights(tape, h, &weights));
    BERTH_TRY(berth_tape_upload(tape, &targets, items->target,
                                (size_t)(items->count * items->width) * sizeof *items->target));
    return berth_op_bce(tape, item_losses, outputs, targets, labels, weights, h->label_smoothing, gamma);
}

static berth_status answer(const struct berth_model *m, int head, const float *outputs, int64_t count,
                           const int32_t *cu_items, int64_t groups, struct berth_answers *out) {
    (void)m;
    (void)head;
    (void)cu_items;
    (void)groups;
    for (int64_t i = 0; i < count; i++) {
        int64_t best = 0;
        for (int64_t k = 0; k < out->width; k++) {
            out->scores[i * out->width + k] = (float)(1 / (1 + exp(-(double)outputs[i * out->width + k])));
            if (out->scores[i * out->width + k] > out->scores[i * out->width + best]) best = k;
        }
        out->label[i] = -1;
        out->score[i] = out->scores[i * out->width + best];
    }
    return BERTH_OK;
}

float berth_head_threshold(const struct berth_head *head) {
    return head->threshold > 0 ? head->threshold : 0.5f;
}

const struct head_kind head_kind_multilabel = {
    .kind = BERTH_TASK_MULTILABEL,
    .pools = true,
    .reference = REFERENCE_SEQUENCE,
    .problem_type = "multi_label_classification",
    .labels = true,
    .losses = 1u << BERTH_LOSS_BCE | 1u << BERTH_LOSS_FOCAL,
    .own_loss = BERTH_LOSS_BCE,
    .width = head_width_labels,
    .parameters = parameters,
    .forward = head_forward_pooled,
    .loss = loss,
    .answer = answer,
};
