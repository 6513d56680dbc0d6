/* answer.c: from a head's outputs on the host to what it says; what each kind's is stands in its row.
 *
 * The words of a sentence are decided together: items of a token-level head are grouped by their sequence,
 * which they stand in one after the other. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/model_priv.h"

void berth_answers_init(struct berth_answers *a) {
    memset(a, 0, sizeof *a);
}

void berth_answers_deinit(struct berth_answers *a) {
    free(a->label);
    free(a->score);
    free(a->scores);
    memset(a, 0, sizeof *a);
}

void head_item_groups(const struct berth_batch *batch, int head, int32_t *cu_items, int64_t *groups) {
    const struct berth_items *items = &batch->items[head];
    int64_t sequence = 0, count = 0;
    for (int64_t i = 0; i < items->count; i++) {
        const int32_t row = items->index[i];
        if (i > 0 && row >= batch->cu_seqlens[sequence] && row < batch->cu_seqlens[sequence + 1]) continue;
        if (row < batch->cu_seqlens[sequence]) sequence = 0; /* sequences may come in any order */
        while (row >= batch->cu_seqlens[sequence + 1])
            sequence++;
        BERTH_ASSERT_MSG(count < batch->sequence_count, "head %d: items of one sequence do not lie together",
                         head);
        cu_items[count++] = (int32_t)i;
    }
    cu_items[count] = (int32_t)items->count;
    *groups = count;
}

berth_status berth_model_answer(const struct berth_model *m, int head, const float *outputs, int64_t count,
                                const struct berth_batch *batch, struct berth_answers *out) {
    const struct head_kind *kind = head_kind_of(&m->heads[head]);
    int32_t *cu_items = NULL;
    int64_t groups = 0;
    out->count = count;
    out->width = berth_head_width(m, head);
    BERTH_TRY(berth_grow(&out->label, &out->label_capacity, (size_t)count, sizeof *out->label));
    BERTH_TRY(berth_grow(&out->score, &out->score_capacity, (size_t)count, sizeof *out->score));
    BERTH_TRY(
        berth_grow(&out->scores, &out->scores_capacity, (size_t)(count * out->width), sizeof *out->scores));
    if (!kind->pools) {
        BERTH_ASSERT_MSG(batch != NULL && batch->items[head].count == count, "head %d: %lld items", head,
                         (long long)count);
        BERTH_TRY(berth_calloc(&cu_items, (size_t)batch->sequence_count + 1, sizeof *cu_items));
        head_item_groups(batch, head, cu_items, &groups);
    }
    berth_status status = kind->answer(m, head, outputs, count, cu_items, groups, out);
    free(cu_items);
    return status;
}

void berth_argmax_softmax(const float *logits, int64_t classes, int32_t *best, float *probability) {
    int64_t at = 0;
    double sum = 0;
    for (int64_t k = 1; k < classes; k++) {
        if (logits[k] > logits[at]) at = k;
    }
    for (int64_t k = 0; k < classes; k++)
        sum += exp((double)logits[k] - (double)logits[at]);
    *best = (int32_t)at;
    if (probability != NULL) *probability = (float)(1.0 / sum);
}

berth_status answer_softmax(const struct berth_model *m, int head, const float *outputs, int64_t count,
                            const int32_t *cu_items, int64_t groups, struct berth_answers *out) {
    const int64_t classes = out->width;
    (void)m;
    (void)head;
    (void)cu_items;
    (void)groups;
    for (int64_t i = 0; i < count; i++) {
        const float *z = outputs + i * classes;
        berth_argmax_softmax(z, classes, &out->label[i], &out->score[i]);
        for (int64_t k = 0; k < classes; k++)
            out->scores[i * classes + k] = out->score[i] * (float)exp((double)z[k] - (double)z[out->label[i]]);
    }
    return BERTH_OK;
}

berth_status answer_number(const struct berth_model *m, int head, const float *outputs, int64_t count,
                           const int32_t *cu_items, int64_t groups, struct berth_answers *out) {
    (void)m;
    (void)head;
    (void)cu_items;
    (void)groups;
    for (int64_t i = 0; i < count; i++) {
        out->label[i] = -1;
        out->score[i] = out->scores[i] = outputs[i];
    }
    return BERTH_OK;
}
