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
    BERTH_TRY(berth_calloc(&t->words, (size_t)t->word_count, sizeof *t->words));
    for (int64_t w = 0; w < t->word_count; w++)
        t->words[w] = -1;
    return BERTH_OK;
}

/* A sequence's items stand in the order of the words that have a first piece in it. */
static berth_status add(struct eval_task *t, const struct berth_batch *b, const float *outputs) {
    const struct berth_items *items = &b->items[t->head];
    int64_t item = 0;
    BERTH_TRY(berth_model_answer(t->model, t->head, outputs, items->count, b, &t->answers));
    for (int64_t s = 0; s < b->sequence_count; s++) {
        const struct eval_source *source = &t->sources[b->source[s]];
        const struct berth_dataset *set = source->set;
        const int64_t row = b->source_row[s];
        if (set == NULL) continue;
        for (int64_t w = set->word_offset[row]; w < set->word_offset[row + 1] && item < items->count; w++) {
            if (set->word_token[w] < 0 || items->index[item] != b->cu_seqlens[s] + set->word_token[w]) continue;
            t->words[source->word_base + w] = t->answers.label[item++];
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

/* Of one type of entity: types are named as they come, counts in the same order. */
struct type_counts {
    struct berth_labels types;
    struct berth_span_counts *counts;
    size_t capacity;
};

static berth_status type_of(struct type_counts *c, const char *type, struct berth_span_counts **out) {
    int32_t at = 0;
    const size_t known = c->types.count;
    BERTH_TRY(berth_labels_add(&c->types, type, &at));
    BERTH_TRY(berth_grow(&c->counts, &c->capacity, c->types.count, sizeof *c->counts));
    if (c->types.count > known) c->counts[at] = (struct berth_span_counts){0, 0, 0};
    *out = &c->counts[at];
    return BERTH_OK;
}

static berth_status count_types(struct type_counts *c, const char *const *gold, const char *const *answer,
                                size_t words) {
    struct berth_entity_cursor a, b, again;
    struct berth_entity x, y;
    struct berth_span_counts *at = NULL;
    berth_entities_begin(&a, gold, words, BERTH_SPANS_DEFAULT);
    berth_entities_begin(&b, answer, words, BERTH_SPANS_DEFAULT);
    again = b;
    while (berth_entity_next(&b, &y)) {
        BERTH_TRY(type_of(c, y.type, &at));
        at->predicted++;
    }
    bool has = berth_entity_next(&again, &y);
    while (berth_entity_next(&a, &x)) {
        BERTH_TRY(type_of(c, x.type, &at));
        at->gold++;
        while (has && y.end < x.end)
            has = berth_entity_next(&again, &y);
        at->correct += has && y.begin == x.begin && y.end == x.end && strcmp(x.type, y.type) == 0;
    }
    return BERTH_OK;
}

static void put_details(struct eval_task *t, const struct type_counts *c) {
    bool first = true;
    berth_str_add(&t->details, "{\"entities\": [");
    for (size_t i = 0; i < c->types.count; i++) {
        const char *name = c->types.names[i];
        if (name[0] == '\x01') continue; /* the type of unknown tags */
        berth_str_add(&t->details, first ? "" : ", ");
        first = false;
        details_counts(&t->details, "type", name, c->counts[i].gold, c->counts[i].predicted,
                       c->counts[i].correct);
    }
    berth_str_add(&t->details, "]}");
}

/* One text row: packed rows first .. last (its windows), whose words lie one behind the other. */
static berth_status count_row(struct eval_task *t, const struct eval_source *source, int64_t first,
                              int64_t last, const char **gold, const char **answer, struct tag_counts *c,
                              struct type_counts *types) {
    const struct berth_head *head = &t->model->heads[t->head];
    const struct berth_dataset *set = source->set;
    const struct berth_labels *labels = &head->task.labels;
    const int64_t begin = set->word_offset[first], words = set->word_offset[last + 1] - begin;
    const int64_t row = source->row_base + (set->origin != NULL ? set->origin[first] : first);
    const bool closes = t->scheme == BERTH_TAGS_BIOES || t->scheme == BERTH_TAGS_BILOU;
    bool any = false, right = true;
    for (int64_t w = 0; w < words; w++) {
        const int32_t label = set->labels[t->head][begin + w], said = t->words[source->word_base + begin + w];
        gold[w] = answer[w] = NULL;
        if (label == BERTH_LABEL_MISSING) continue;
        gold[w] = label == BERTH_LABEL_UNKNOWN ? UNKNOWN_TAG : labels->names[label];
        if (said >= 0) answer[w] = labels->names[said];
        const bool same = said >= 0 && said == label;
        c->words++;
        c->words_right += same;
        c->tags_gold += !is_outside(gold[w]);
        c->tags_answered += !is_outside(answer[w]);
        c->tags_right += same && !is_outside(gold[w]);
        right = right && (same || (said < 0 && is_outside(gold[w])));
        any = true;
    }
    if (!any) return BERTH_OK;
    t->rows++;
    t->verdict[row] = right ? VERDICT_RIGHT : VERDICT_WRONG;
    berth_span_count(&c->spans, gold, answer, (size_t)words, BERTH_SPANS_DEFAULT);
    berth_span_count(&c->strict, gold, answer, (size_t)words, closes ? BERTH_SPANS_BIOES : BERTH_SPANS_BIO);
    return count_types(types, gold, answer, (size_t)words);
}

static berth_status count_source(struct eval_task *t, const struct eval_source *source, struct tag_counts *c,
                                 struct type_counts *types) {
    berth_status status = BERTH_OK;
    const struct berth_dataset *set = source->set;
    const char **gold = NULL, **answer = NULL;
    size_t gold_capacity = 0, answer_capacity = 0;
    for (int64_t first = 0, last; first < set->rows; first = last + 1) {
        for (last = first;
             set->origin != NULL && last + 1 < set->rows && set->origin[last + 1] == set->origin[first];)
            last++;
        const size_t words = (size_t)(set->word_offset[last + 1] - set->word_offset[first]);
        BERTH_TRY_OUT(berth_grow(&gold, &gold_capacity, words, sizeof *gold));
        BERTH_TRY_OUT(berth_grow(&answer, &answer_capacity, words, sizeof *answer));
        BERTH_TRY_OUT(count_row(t, source, first, last, gold, answer, c, types));
    }
out:
    free(gold);
    free(answer);
    return status;
}

static double share(int64_t part, int64_t whole) {
    return whole > 0 ? (double)part / (double)whole : (double)NAN;
}

static berth_status finish(struct eval_task *t) {
    berth_status status = BERTH_OK;
    struct tag_counts c = {.words = 0};
    struct type_counts types = {.counts = NULL};
    berth_labels_init(&types.types);
    for (size_t i = 0; i < t->source_count; i++)
        if (t->sources[i].set != NULL) BERTH_TRY_OUT(count_source(t, &t->sources[i], &c, &types));
    eval_put(t, "span_f1", c.words > 0 ? berth_span_f1(&c.spans) : (double)NAN);
    eval_put(t, "span_precision", share(c.spans.correct, c.spans.predicted));
    eval_put(t, "span_recall", share(c.spans.correct, c.spans.gold));
    eval_put(t, "strict_span_f1", c.words > 0 ? berth_span_f1(&c.strict) : (double)NAN);
    eval_put(t, "token_f1", share(2 * c.tags_right, c.tags_gold + c.tags_answered));
    eval_put(t, strcmp(t->metric, "accuracy") == 0 ? "accuracy" : "word_accuracy",
             share(c.words_right, c.words));
    put_details(t, &types);
out:
    berth_labels_deinit(&types.types);
    free(types.counts);
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
