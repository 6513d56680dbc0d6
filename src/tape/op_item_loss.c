/* op_item_loss.c: item losses of other kinds than cross-entropy; formulas in kernels.h.
 *
 *     focal   y[r] from logits [R, K]        saves logits, keeps lse [R]
 *     bce     y[r] from logits [R, K]        saves logits
 *     error   y[r] from numbers [R, 1]       saves them
 *     cosent  y[r] from numbers [R, 1]       saves them, keeps lse [1]
 *
 * Each writes a whole contribution to its input's gradient. */
#include "tape/tape_priv.h"

struct loss_arguments {
    const float *targets;
    const int32_t *labels;
    const float *weight;
    float smoothing, gamma, delta, scale;
    enum berth_error_kind kind;
};

enum { KEPT_LSE };

static const struct loss_arguments *arguments(const struct tape_node *node) {
    return (const void *)node->arguments;
}

/* Records an operation over one input whose data backward reads; lse may be NULL. */
static berth_status record_loss(struct berth_tape *tape, enum tape_op op, struct berth_tensor *y,
                                struct berth_tensor *x, const struct loss_arguments *a, void *lse,
                                size_t lse_bytes) {
    struct tape_node *node = NULL;
    if (!tape_needs(tape, &x, 1)) {
        step_memory_free(&tape->memory, lse, lse_bytes);
        return BERTH_OK;
    }
    BERTH_TRY(tape_record(tape, &node, op, y, &x, 1));
    tape_set_arguments(node, a, sizeof *a);
    tape_save(node, x);
    if (lse != NULL) tape_keep(node, KEPT_LSE, lse, lse_bytes);
    return BERTH_OK;
}

static void check_matrix(const struct berth_tensor *x, const char *op, int64_t columns) {
    tensor_check_input(x, op, "x");
    BERTH_ASSERT_MSG(x->rank == 2 && x->shape[1] > 0 && (columns == 0 || x->shape[1] == columns), "%s: x %s",
                     op, tensor_describe(x).text);
}

berth_status berth_op_focal(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *logits,
                            const int32_t *labels, const float *class_weight, float gamma) {
    const struct loss_arguments a = {.labels = labels, .weight = class_weight, .gamma = gamma};
    struct berth_tensor *y = NULL;
    void *lse = NULL;
    check_matrix(logits, "focal", 0);
    const int64_t rows = logits->shape[0];
    const size_t lse_bytes = (size_t)rows * sizeof(float);
    BERTH_TRY(tensor_output(tape, &y, BERTH_F32, 1, rows, 0));
    BERTH_TRY(step_memory_alloc(&tape->memory, &lse, lse_bytes));
    if (rows > 0)
        BERTH_TRY(
            BERTH_OP(tape->dev, focal_forward(y->data, lse, logits->data, labels, class_weight, rows,
                                              logits->shape[1], gamma, logits->dtype, tape->dev->stream)));
    *out = y;
    return record_loss(tape, TAPE_FOCAL, y, logits, &a, lse, lse_bytes);
}

berth_status op_focal_backward(struct berth_tape *tape, struct tape_node *node) {
    struct berth_tensor *x = node->in[0];
    const struct loss_arguments *a = arguments(node);
    void *dx = NULL;
    BERTH_TRY(step_memory_alloc(&tape->memory, &dx, tensor_bytes(x)));
    BERTH_TRY(BERTH_OP(tape->dev, focal_backward(dx, node->out->grad, x->data, node->kept[KEPT_LSE].data,
                                                 a->labels, a->weight, x->shape[0], x->shape[1], a->gamma,
                                                 x->dtype, tape->dev->stream)));
    return tape_give_gradient(tape, x, dx);
}

berth_status berth_op_bce(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *logits,
                          const float *targets, const int32_t *labels, const float *positive_weight,
                          float smoothing, float gamma) {
    const struct loss_arguments a = {.targets = targets,
                                     .labels = labels,
                                     .weight = positive_weight,
                                     .smoothing = smoothing,
                                     .gamma = gamma};
    struct berth_tensor *y = NULL;
    check_matrix(logits, "bce", 0);
    const int64_t rows = logits->shape[0];
    BERTH_TRY(tensor_output(tape, &y, BERTH_F32, 1, rows, 0));
    if (rows > 0)
        BERTH_TRY(BERTH_OP(tape->dev,
                           bce_forward(y->data, logits->data, targets, labels, positive_weight, rows,
                                       logits->shape[1], smoothing, gamma, logits->dtype, tape->dev->stream)));
    *out = y;
    return record_loss(tape, TAPE_BCE, y, logits, &a, NULL, 0);
}

berth_status op_bce_backward(struct berth_tape *tape, struct tape_node *node) {
    struct berth_tensor *x = node->in[0];
    const struct loss_arguments *a = arguments(node);
    void *dx = NULL;
    BERTH_TRY(step_memory_alloc(&tape->memory, &dx, tensor_bytes(x)));
    BERTH_TRY(BERTH_OP(tape->dev,
                       bce_backward(dx, node->out->grad, x->data, a->targets, a->labels, a->weight, x->shape[0],
                                    x->shape[1], a->smoothing, a->gamma, x->dtype, tape->dev->stream)));
    return tape_give_gradient(tape, x, dx);
}

berth_status berth_op_error(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *y,
                            const float *target, const int32_t *labels, enum berth_error_kind kind,
                            float delta) {
    const struct loss_arguments a = {.targets = target, .labels = labels, .kind = kind, .delta = delta};
    struct berth_tensor *loss = NULL;
    check_matrix(y, "error", 1);
    const int64_t rows = y->shape[0];
    BERTH_TRY(tensor_output(tape, &loss, BERTH_F32, 1, rows, 0));
    if (rows > 0)
        BERTH_TRY(BERTH_OP(tape->dev, error_forward(loss->data, y->data, target, labels, rows, kind, delta,
                                                    y->dtype, tape->dev->stream)));
    *out = loss;
    return record_loss(tape, TAPE_ERROR, loss, y, &a, NULL, 0);
}

berth_status op_error_backward(struct berth_tape *tape, struct tape_node *node) {
    struct berth_tensor *x = node->in[0];
    const struct loss_arguments *a = arguments(node);
    void *dx = NULL;
    BERTH_TRY(step_memory_alloc(&tape->memory, &dx, tensor_bytes(x)));
    BERTH_TRY(BERTH_OP(tape->dev, error_backward(dx, node->out->grad, x->data, a->targets, a->labels,
                                                 x->shape[0], a->kind, a->delta, x->dtype, tape->dev->stream)));
    return tape_give_gradient(tape, x, dx);
}

berth_status berth_op_cosent(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *y,
                             const float *target, const int32_t *labels, float scale) {
    const struct loss_arguments a = {.targets = target, .labels = labels, .scale = scale};
    struct berth_tensor *loss = NULL;
    void *lse = NULL;
    check_matrix(y, "cosent", 1);
    BERTH_ASSERT_MSG(y->dtype == BERTH_F32, "cosent: y %s", tensor_describe(y).text);
    const int64_t rows = y->shape[0];
    BERTH_TRY(tensor_output(tape, &loss, BERTH_F32, 1, rows, 0));
    BERTH_TRY(step_memory_alloc(&tape->memory, &lse, sizeof(float)));
    if (rows > 0)
        BERTH_TRY(BERTH_OP(tape->dev, cosent_forward(loss->data, lse, y->data, target, labels, rows, scale,
                                                     tape->dev->stream)));
    *out = loss;
    return record_loss(tape, TAPE_COSENT, loss, y, &a, lse, sizeof(float));
}

berth_status op_cosent_backward(struct berth_tape *tape, struct tape_node *node) {
    struct berth_tensor *x = node->in[0];
    const struct loss_arguments *a = arguments(node);
    void *dx = NULL;
    BERTH_TRY(step_memory_alloc(&tape->memory, &dx, tensor_bytes(x)));
    BERTH_TRY(BERTH_OP(tape->dev,
                       cosent_backward(dx, node->out->grad, x->data, a->targets, a->labels,
                                       node->kept[KEPT_LSE].data, x->shape[0], a->scale, tape->dev->stream)));
    return tape_give_gradient(tape, x, dx);
}
