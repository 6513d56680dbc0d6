/* head_class.c: a class for a sequence: its pooled vector, dropout, one linear layer (more with hidden_layers).
 */
#include "model/model_priv.h"

static berth_status parameters(struct spec_builder *b, const struct berth_model *m, struct berth_head *head) {
    return head_parameters_linear(b, m, head, (int64_t)head->task.labels.count);
}

const struct head_kind head_kind_classification = {
    .kind = BERTH_TASK_CLASSIFICATION,
    .pools = true,
    .reference = REFERENCE_SEQUENCE,
    .problem_type = "single_label_classification",
    .labels = true,
    .losses = 1u << BERTH_LOSS_CROSS_ENTROPY | 1u << BERTH_LOSS_FOCAL,
    .own_loss = BERTH_LOSS_CROSS_ENTROPY,
    .width = head_width_labels,
    .parameters = parameters,
    .forward = head_forward_pooled,
    .loss = loss_classes,
    .answer = answer_softmax,
};
