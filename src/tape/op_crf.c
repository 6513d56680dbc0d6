/* op_crf.c: the log-likelihood of tags under a linear-chain CRF; formulas in kernels.h.
 *
 * Saves the logits, keeps the messages alpha [2, R, K]; the three tables of transitions are parameters, their
 * gradients are added to. */
#include "tape/tape_priv.h"

enum { CRF_LOGITS, CRF_TRANSITIONS, CRF_START, CRF_END, CRF_INPUTS };
enum { KEPT_ALPHA };

struct crf_arguments {
    const int32_t *labels, *cu_items;
    int64_t sequences;
};

berth_status berth_op_crf(struct berth_tape *tape, struct berth_tensor **out, struct berth_tensor *logits,
                          struct berth_tensor *transitions, struct berth_tensor *start,
                          struct berth_tensor *end, const int32_t *labels, const int32_t *cu_items,
                          int64_t sequences) {
    struct berth_tensor *y = NULL, *const inputs[CRF_INPUTS] = {logits, transitions, start, end};
    const struct crf_arguments a = {labels, cu_items, sequences};
    struct tape_node *node = NULL;
    void *alpha = NULL, *workspace = NULL;
    tensor_check_input(logits, "crf", "logits");
    BERTH_ASSERT_MSG(logits->rank == 2, "crf: logits %s", tensor_describe(logits).text);
    const int64_t rows = logits->shape[0], classes = logits->shape[1];
    BERTH_ASSERT_MSG(transitions->rank == 2 && transitions->shape[0] == classes &&
                         transitions->shape[1] == classes && tensor_is_vector(start, classes) &&
                         tensor_is_vector(end, classes),
                     "crf: logits %s, transitions %s, start %s, end %s", tensor_describe(logits).text,
                     tensor_describe(transitions).text, tensor_describe(start).text, tensor_describe(end).text);
    const size_t alpha_bytes = (size_t)(2 * rows * classes) * sizeof(float);
    const size_t bytes = tape->dev->ops.crf_workspace(rows, sequences, classes, 0);
    BERTH_TRY(tensor_output(tape, &y, BERTH_F32, 1, rows, 0));
    BERTH_TRY(step_memory_alloc(&tape->memory, &alpha, alpha_bytes));
    BERTH_TRY(step_memory_alloc(&tape->memory, &workspace, bytes));
    if (rows > 0)
        BERTH_TRY(BERTH_OP(tape->dev, crf_forward(y->data, alpha, logits->data, transitions->data, start->data,
                                                  end->data, labels, cu_items, workspace, rows, sequences,
                                                  classes, logits->dtype, tape->dev->stream)));
    step_memory_free(&tape->memory, workspace, bytes);
    *out = y;
    if (!tape_needs(tape, inputs, CRF_INPUTS)) {
        step_memory_free(&tape->memory, alpha, alpha_bytes);
        return BERTH_OK;
    }
    BERTH_TRY(tape_record(tape, &node, TAPE_CRF, y, inputs, CRF_INPUTS));
    tape_set_arguments(node, &a, sizeof a);
    tape_save(node, logits);
    tape_keep(node, KEPT_ALPHA, alpha, alpha_bytes);
    return BERTH_OK;
}

berth_status op_crf_backward(struct berth_tape *tape, struct tape_node *node) {
    struct berth_tensor *logits = node->in[CRF_LOGITS];
    const struct berth_tensor *const *in = (const struct berth_tensor *const *)node->in;
    const struct crf_arguments *a = (const void *)node->arguments;
    const int64_t rows = logits->shape[0], classes = logits->shape[1];
    const size_t bytes = tape->dev->ops.crf_workspace(rows, a->sequences, classes, 1);
    void *dlogits = NULL, *workspace = NULL;
    BERTH_TRY(step_memory_alloc(&tape->memory, &dlogits, tensor_bytes(logits)));
    BERTH_TRY(step_memory_alloc(&tape->memory, &workspace, bytes));
    BERTH_TRY(BERTH_OP(tape->dev,
                       crf_backward(dlogits, tape_parameter_gradient(node, in[CRF_TRANSITIONS], "crf"),
                                    tape_parameter_gradient(node, in[CRF_START], "crf"),
                                    tape_parameter_gradient(node, in[CRF_END], "crf"), node->out->grad,
                                    logits->data, node->kept[KEPT_ALPHA].data, in[CRF_TRANSITIONS]->data,
                                    in[CRF_START]->data, in[CRF_END]->data, a->labels, a->cu_items, workspace,
                                    rows, a->sequences, classes, logits->dtype, tape->dev->stream)));
    step_memory_free(&tape->memory, workspace, bytes);
    if (tensor_wants(logits)) return tape_give_gradient(tape, logits, dlogits);
    tape_discard(tape, logits, dlogits);
    return BERTH_OK;
}
