/* head_number.c: a number for a sequence: its pooled vector, dropout, one linear layer of one output. */
#include "model/model_priv.h"

static int64_t width(const struct berth_model *m, const struct berth_head *head) {
    (void)m;
    (void)head;
    return 1;
}

static berth_status parameters(struct spec_builder *b, const struct berth_model *m, struct berth_head *head) {
    return head_parameters_linear(b, m, head, 1);
}

const struct head_kind head_kind_regression = {
    .kind = BERTH_TASK_REGRESSION,
    .pools = true,
    .reference = REFERENCE_SEQUENCE,
    .problem_type = "regression",
    .losses = 1u << BERTH_LOSS_MSE | 1u << BERTH_LOSS_L1 | 1u << BERTH_LOSS_HUBER,
    .own_loss = BERTH_LOSS_MSE,
    .width = width,
    .parameters = parameters,
    .forward = head_forward_pooled,
    .loss = loss_numbers,
    .answer = answer_number,
};
