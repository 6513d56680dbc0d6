/* head_token.c: a tag for a word: the hidden state of its first piece, dropout, one linear layer; with crf a
 * linear-chain CRF over a sentence's words.
 *
 * Items are packed rows; rows that are no item (later pieces, [CLS], [SEP]) are never computed. Decisions are
 * the best path of a sentence by outputs and, with crf, transitions; what the scheme forbids is left out. The
 * scheme holds for decisions alone: in training a path that breaks it is one among the others, which learns to
 * be unlikely. */
#include <math.h>
#include <stdlib.h>

#include "model/model_priv.h"

enum { CRF_TRANSITIONS, CRF_START, CRF_END }; /* behind first_extra */

static berth_status parameters(struct spec_builder *b, const struct berth_model *m, struct berth_head *head) {
    const int64_t classes = (int64_t)head->task.labels.count;
    int unused = 0;
    BERTH_TRY(head_parameters_linear(b, m, head, classes));
    if (!head->crf) return BERTH_OK;
    BERTH_TRY(spec_head_parameter(b, head, "crf.transitions", classes, classes, BERTH_INIT_NORMAL,
                                  &head->first_extra));
    BERTH_TRY(spec_head_parameter(b, head, "crf.start", classes, 0, BERTH_INIT_NORMAL, &unused));
    return spec_head_parameter(b, head, "crf.end", classes, 0, BERTH_INIT_NORMAL, &unused);
}

static berth_status forward(struct forward_run *run, int head, struct berth_tensor *hidden,
                            struct berth_tensor **outputs) {
    const struct berth_head *h = &run->m->heads[head];
    struct berth_tensor *features = NULL;
    for (int i = 0; h->crf && i < 3; i++)
        BERTH_TRY(forward_parameter(run, h->first_extra + i, &run->m->tables[3 * head + i]));
    BERTH_TRY(head_gather_items(run, head, hidden, &features));
    BERTH_TRY(head_output(run, head, features, outputs));
    berth_tape_drop(run->tape, features);
    return BERTH_OK;
}

static berth_status loss(struct berth_model *m, struct berth_tape *tape, int head, struct berth_tensor *outputs,
                         const struct berth_batch *batch, struct berth_tensor **item_losses) {
    const struct berth_head *h = &m->heads[head];
    const struct berth_items *items = &batch->items[head];
    const int32_t *labels = NULL, *cu_items = NULL;
    int64_t groups = 0;
    if (!h->crf) return loss_classes(m, tape, head, outputs, batch, item_losses);
    BERTH_TRY(
        berth_grow(&m->scratch, &m->scratch_capacity, (size_t)batch->sequence_count + 1, sizeof *m->scratch));
    head_item_groups(batch, head, m->scratch, &groups);
    BERTH_TRY(loss_labels(tape, items, h->task.name, (int64_t)h->task.labels.count, &labels));
    BERTH_TRY(loss_put(m, tape, m->scratch, groups + 1, &cu_items));
    struct berth_tensor *const *table = m->tables + 3 * head; /* of the pass that made the outputs */
    return berth_op_crf(tape, item_losses, outputs, table[CRF_TRANSITIONS], table[CRF_START], table[CRF_END],
                        labels, cu_items, groups);
}

/* ---- decisions */

struct tables { /* in double, forbidden ones -INFINITY; transitions [K, K], start and end [K] */
    double *transitions, *start, *end;
};

static berth_status read_tables(const struct berth_model *m, const struct berth_head *h, struct tables *t) {
    const size_t k = h->task.labels.count;
    char *const *names = h->task.labels.names;
    float *values = NULL;
    double *const to[3] = {t->transitions, t->start, t->end};
    BERTH_TRY(berth_calloc(&values, k * k, sizeof *values));
    for (int i = 0; i < 3; i++) {
        const size_t count = i == CRF_TRANSITIONS ? k * k : k;
        berth_status status = h->crf ? berth_model_get(m, h->first_extra + i, values) : BERTH_OK;
        for (size_t j = 0; j < count; j++) {
            const char *from = i == CRF_TRANSITIONS ? names[j / k] : i == CRF_START ? NULL : names[j];
            const char *next = i == CRF_TRANSITIONS ? names[j % k] : i == CRF_START ? names[j] : NULL;
            to[i][j] = berth_tag_allowed(h->task.scheme, from, next) ? (double)values[j] : -(double)INFINITY;
        }
        if (status == BERTH_OK) continue;
        free(values);
        return status;
    }
    free(values);
    return BERTH_OK;
}

static berth_status answer(const struct berth_model *m, int head, const float *outputs, int64_t count,
                           const int32_t *cu_items, int64_t groups, struct berth_answers *out) {
    const struct berth_head *h = &m->heads[head];
    const size_t k = h->task.labels.count;
    struct tables t = {NULL, NULL, NULL};
    berth_status status = BERTH_OK;
    BERTH_TRY(answer_softmax(m, head, outputs, count, cu_items, groups, out));
    if (!h->crf && h->task.scheme == BERTH_TAGS_PLAIN) return BERTH_OK;
    BERTH_TRY_OUT(berth_calloc(&t.transitions, k * k + 2 * k, sizeof *t.transitions));
    t.start = t.transitions + k * k;
    t.end = t.start + k;
    BERTH_TRY_OUT(read_tables(m, h, &t));
    for (int64_t g = 0; g < groups; g++) {
        const int64_t first = cu_items[g], words = cu_items[g + 1] - first;
        BERTH_TRY_OUT(viterbi_decode(out->label + first, outputs + first * (int64_t)k, t.transitions, t.start,
                                     t.end, words, (int64_t)k));
        for (int64_t i = first; i < first + words; i++)
            out->score[i] = out->scores[i * (int64_t)k + out->label[i]];
    }
out:
    free(t.transitions);
    return status;
}

const struct head_kind head_kind_tagging = {
    .kind = BERTH_TASK_TAGGING,
    .pools = false,
    .reference = REFERENCE_TOKENS,
    .labels = true,
    .losses = 1u << BERTH_LOSS_CROSS_ENTROPY | 1u << BERTH_LOSS_FOCAL,
    .own_loss = BERTH_LOSS_CROSS_ENTROPY,
    .width = head_width_labels,
    .parameters = parameters,
    .forward = forward,
    .loss = loss,
    .answer = answer,
};
