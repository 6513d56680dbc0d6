/* eval_tags.c: tagging: entities and words.
 *
 *     a word     that was cut off (the sentence was longer than max_length): predicted as outside, so it is
 * missed an entity  berth_span_count; a tag that training never saw is of a type of its own, which nothing
 * matches span_*     entities as conlleval and seqeval's default count them; strict_span_f1 by the labels' own
 * scheme token_f1   micro F1 over the words' tags, O left out: not the entities' */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/evaluate_priv.h"

#define UNKNOWN_TAG "I-\x01unknown" /* neighbours join into one entity; no label map can hold this name */

static berth_status begin(struct eval_task *t) {
    BERTH_TRY(berth_calloc(&t->words, (size_t)t->set->word_count, sizeof *t->words));
    for (int64_t w = 0; w < t->set->word_count; w++)
        t->words[w] = -1;
    return BERTH_OK;
}

/* A sequence's items stand in the order of the words that have a first piece in it. */
static berth_status add(struct eval_task *t, const struct berth_batch *b, const float *outputs) {
    const struct berth_items *items = &b->items[t->head];
    const struct berth_dataset *set = t->set;
    int64_t item = 0;
    BERTH_TRY(berth_model_answer(t->model, t->head, outputs, items->count, b, &t->answers));
    for (int64_t s = 0; s < b->sequence_count; s++) {
        const int64_t row = b->source_row[s];
        for (int64_t w = set->word_offset[row]; w < set->word_offset[row + 1] && item < items->count; w++) {
            if (set->word_token[w] < 0 || items->index[item] != b->cu_seqlens[s] + set->word_token[w]) continue;
            t->words[w] = t->answers.label[item++];
        }
    }
    BERTH_ASSERT_EQ(item, items->count);
    return BERTH_OK;
}

struct tag_counts {
    struct berth_span_counts spans, strict;
    int64_t words, words_right;
    int64_t tags_gold, tags_answered, tags_right; /* without O */
};

static bool is_outside(const char *tag) {
    return tag == NULL || berth_tag_read(tag).kind == 'O';
}

static void count_row(struct eval_task *t, int64_t row, const char **gold, const char **answer,
                      enum berth_spans strict, struct tag_counts *c) {
    const struct berth_labels *labels = &t->model->heads[t->head].task.labels;
    const int64_t first = t->set->word_offset[row], words = t->set->word_offset[row + 1] - first;
    bool any = false, right = true;
    for (int64_t w = 0; w < words; w++) {
        const int32_t label = t->set->labels[t->head][first + w], said = t->words[first + w];
        gold[w] = answer[w] = NULL;
        if (label == BERTH_LABEL_MISSING) continue;
        gold[w] = label == BERTH_LABEL_UNKNOWN ? UNKNOWN_TAG : labels->names[label];
        if (said >= 0) answer[w] = labels->names[said];
        const bool same = said >= 0 ? said == label : false;
        c->words++;
        c->words_right += same;
        c->tags_gold += !is_outside(gold[w]);
        c->tags_answered += !is_outside(answer[w]);
        c->tags_right += same && !is_outside(gold[w]);
        right = right && (same || (said < 0 && is_outside(gold[w])));
        any = true;
    }
    if (!any) return;
    t->rows++;
    t->verdict[row] = right ? VERDICT_RIGHT : VERDICT_WRONG;
    berth_span_count(&c->spans, gold, answer, (size_t)words, BERTH_SPANS_DEFAULT);
    berth_span_count(&c->strict, gold, answer, (size_t)words, strict);
}

static double share(int64_t part, int64_t whole) {
    return whole > 0 ? (double)part / (double)whole : (double)NAN;
}

static berth_status finish(struct eval_task *t) {
    berth_status status = BERTH_OK;
    struct tag_counts c = {.words = 0};
    const char **gold = NULL, **answer = NULL;
    size_t gold_capacity = 0, answer_capacity = 0;
    const enum berth_scheme scheme = berth_scheme_of(&t->model->heads[t->head].task.labels);
    for (int64_t row = 0; row < t->set->rows; row++) {
        const size_t words = (size_t)(t->set->word_offset[row + 1] - t->set->word_offset[row]);
        BERTH_TRY_OUT(berth_grow(&gold, &gold_capacity, words, sizeof *gold));
        BERTH_TRY_OUT(berth_grow(&answer, &answer_capacity, words, sizeof *answer));
        count_row(t, row, gold, answer, scheme == BERTH_SCHEME_BIOES ? BERTH_SPANS_BIOES : BERTH_SPANS_BIO, &c);
    }
    eval_put(t, "span_f1", c.words > 0 ? berth_span_f1(&c.spans) : (double)NAN);
    eval_put(t, "span_precision", share(c.spans.correct, c.spans.predicted));
    eval_put(t, "span_recall", share(c.spans.correct, c.spans.gold));
    eval_put(t, "strict_span_f1", c.words > 0 ? berth_span_f1(&c.strict) : (double)NAN);
    eval_put(t, "token_f1", share(2 * c.tags_right, c.tags_gold + c.tags_answered));
    eval_put(t, strcmp(t->metric, "accuracy") == 0 ? "accuracy" : "word_accuracy",
             share(c.words_right, c.words));
out:
    free(gold);
    free(answer);
    return status;
}

const struct eval_kind eval_tagging = {
    .kind = BERTH_TASK_TAGGING,
    .metrics = "span_f1|span_precision|span_recall|strict_span_f1|token_f1|accuracy|word_accuracy",
    .has_verdict = true,
    .begin = begin,
    .add = add,
    .finish = finish,
};
