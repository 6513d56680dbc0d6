/* head_mlm.c: masked language modelling (Devlin et al., arXiv 1810.04805): the token that stood at a row before
 * it was masked, over the whole vocabulary.
 *
 *     x = norm(act(h W_dᵀ + b_d))          logits = x Eᵀ + bias,  E the token embeddings (tied)
 *
 * Items are the rows that are asked for; the decoder is never run on others. A folder's own head
 * (cls.predictions of BERT, vocab_* of DistilBERT) gives the first values. */
#include <string.h>

#include "model/model_priv.h"

enum { MLM_DENSE, MLM_DENSE_BIAS, MLM_GAIN, MLM_SHIFT, MLM_PARTS };

static const char *const PARTS[] = {"transform.weight", "transform.bias", "norm.weight", "norm.bias", "bias"};

static int64_t width(const struct berth_model *m, const struct berth_head *head) {
    (void)head;
    return m->config.vocab_size;
}

static berth_status parameters(struct spec_builder *b, const struct berth_model *m, struct berth_head *head) {
    const int64_t hidden = m->config.hidden;
    int unused = 0;
    if (head->hidden_layers > 0)
        BERTH_FAIL(BERTH_E_USAGE,
                   "head '%s': an mlm head has one hidden layer of its own; hidden_layers is for others",
                   head->task.name);
    BERTH_TRY(head_parameters_body(b, m, head));
    BERTH_TRY(spec_head_parameter(b, head, PARTS[0], hidden, hidden, BERTH_INIT_NORMAL, &head->first_extra));
    BERTH_TRY(spec_head_parameter(b, head, PARTS[1], hidden, 0, BERTH_INIT_ZERO, &unused));
    BERTH_TRY(spec_head_parameter(b, head, PARTS[2], hidden, 0, BERTH_INIT_ONE, &unused));
    BERTH_TRY(spec_head_parameter(b, head, PARTS[3], hidden, 0, BERTH_INIT_ZERO, &unused));
    return spec_head_parameter(b, head, PARTS[4], m->config.vocab_size, 0, BERTH_INIT_ZERO, &head->bias);
}

const struct model_source *head_mlm_source(const struct berth_model *m, const struct berth_parameter *p) {
    const struct berth_head *head = &m->heads[p->owner - 1];
    if (head->task.kind != BERTH_TASK_MLM) return NULL;
    const char *suffix = p->name + strlen("heads.") + strlen(head->task.name) + 1;
    const char *tensor = reference_part_name(reference_mlm_form(model_is_distilbert(&m->config)), suffix);
    const struct model_source *s = tensor == NULL ? NULL : model_pending_find(m->pending, tensor);
    if (s == NULL || s->tensor->count == p->count) return s;
    berth_log(BERTH_LOG_WARN, "head '%s': the folder's tensor '%s' has another size and is not taken",
              head->task.name, s->tensor->name);
    return NULL;
}

static berth_status forward(struct forward_run *run, int head, struct berth_tensor *hidden,
                            struct berth_tensor **outputs) {
    const struct berth_head *h = &run->m->heads[head];
    struct berth_tensor *part[MLM_PARTS] = {NULL}, *rows = NULL, *product = NULL, *active = NULL, *x = NULL;
    struct berth_tensor *words = NULL, *bias = NULL;
    for (int i = 0; i < MLM_PARTS; i++)
        BERTH_TRY(forward_parameter(run, h->first_extra + i, &part[i]));
    BERTH_TRY(forward_parameter(run, 0, &words)); /* embeddings.word_embeddings.weight stands first */
    BERTH_TRY(forward_parameter(run, h->bias, &bias));
    BERTH_TRY(head_gather_items(run, head, hidden, &rows));
    BERTH_TRY(berth_op_linear(run->tape, &product, rows, part[MLM_DENSE], NULL));
    berth_tape_drop(run->tape, rows);
    BERTH_TRY(berth_op_bias_act(run->tape, &active, product, part[MLM_DENSE_BIAS], run->m->config.activation));
    berth_tape_drop(run->tape, product);
    BERTH_TRY(berth_op_layernorm(run->tape, &x, active, NULL, part[MLM_GAIN], part[MLM_SHIFT],
                                 run->m->config.layer_norm_eps, NULL));
    berth_tape_drop(run->tape, active);
    BERTH_TRY(berth_op_linear(run->tape, outputs, x, words, bias));
    berth_tape_drop(run->tape, x);
    return BERTH_OK;
}

const struct head_kind head_kind_mlm = {
    .kind = BERTH_TASK_MLM,
    .pools = false,
    .reference = REFERENCE_MLM,
    .losses = 1u << BERTH_LOSS_CROSS_ENTROPY,
    .own_loss = BERTH_LOSS_CROSS_ENTROPY,
    .width = width,
    .parameters = parameters,
    .forward = forward,
    .loss = loss_classes,
    .answer = answer_softmax,
};
