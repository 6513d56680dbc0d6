/* predict_rows.c: a typed text as a row of a batch, encoded as training rows are. */
#include "data/data_priv.h"

#include <stdlib.h>
#include <string.h>

static bool any_tagging(const struct berth_task *tasks, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (tasks[i].kind == BERTH_TASK_TAGGING) return true;
    return false;
}

/* Whether any task reads the texts as separate sequences; and any as one. */
static void find_uses(const struct berth_task *tasks, size_t count, bool *apart, bool *joined) {
    *apart = *joined = false;
    for (size_t i = 0; i < count; i++) {
        bool separate = tasks[i].kind == BERTH_TASK_SIMILARITY || tasks[i].kind == BERTH_TASK_CONTRASTIVE;
        *apart |= separate;
        *joined |= !separate;
    }
}

/* One item a task of the joined sequence that was added last: part `part` of the row. */
static berth_status add_items(struct berth_batch *b, const struct row_encoder *e, size_t part,
                              const struct berth_task *tasks, size_t task_count, int64_t first_row) {
    const struct row_part *p = &e->parts[part];
    for (size_t t = 0; t < task_count; t++) {
        switch (tasks[t].kind) {
        case BERTH_TASK_TAGGING:
            for (size_t w = p->word_first; w < p->word_first + p->word_count; w++)
                if (e->words[w].token >= 0)
                    BERTH_TRY(berth_batch_add_item(b, (int)t, (int32_t)(first_row + e->words[w].token),
                                                   BERTH_LABEL_MISSING));
            break;
        case BERTH_TASK_CLASSIFICATION:
        case BERTH_TASK_MULTILABEL:
        case BERTH_TASK_REGRESSION:
            BERTH_TRY(berth_batch_add_item(b, (int)t, (int32_t)(b->sequence_count - 1), BERTH_LABEL_MISSING));
            break;
        case BERTH_TASK_MLM:
            for (size_t i = 0; part == 0 && i < p->token_count; i++)
                if (e->tokens[i] == berth_tokenizer_special(e->tokenizer).mask)
                    BERTH_TRY(berth_batch_add_item(b, (int)t, (int32_t)(first_row + (int64_t)i),
                                                   BERTH_LABEL_MISSING));
            break;
        default: /* compares two sequences */
            break;
        }
    }
    return BERTH_OK;
}

/* Text and pair as sequences of their own, and the items of the tasks that compare them. */
static berth_status add_apart(struct berth_batch *b, struct row_encoder *e, const struct berth_row *row,
                              const struct berth_task *tasks, size_t task_count, int32_t ordinal) {
    enum row_words words = row->pre_split ? ROW_BY_LIST : ROW_WHOLE;
    BERTH_TRY(row_encode_separate(e, row->text, row->text_pair, NULL, words));
    size_t first = e->pair_at;
    struct berth_item item = {.index = (int32_t)b->sequence_count,
                              .label = BERTH_LABEL_MISSING,
                              .pair = (int32_t)b->sequence_count + 1,
                              .negative = -1};
    BERTH_TRY(berth_batch_add_sequence(b, e->tokens, e->segments, (int64_t)first, ordinal, 0, ordinal));
    BERTH_TRY(berth_batch_add_sequence(b, e->tokens + first, e->segments + first, (int64_t)(e->length - first),
                                       ordinal, 0, ordinal));
    for (size_t t = 0; t < task_count; t++)
        if (tasks[t].kind == BERTH_TASK_SIMILARITY || tasks[t].kind == BERTH_TASK_CONTRASTIVE)
            BERTH_TRY(berth_batch_put_item(b, (int)t, &item));
    return BERTH_OK;
}

static enum row_words words_of(const struct berth_row *row, const struct berth_task *tasks, size_t task_count) {
    if (row->pre_split) return ROW_BY_LIST;
    return any_tagging(tasks, task_count) ? ROW_BY_SPACE : ROW_WHOLE;
}

static berth_status copy_words(struct berth_word_span **out, const struct row_encoder *e) {
    struct berth_word_span *spans = NULL;
    BERTH_TRY(berth_calloc(&spans, e->word_count, sizeof *spans));
    for (size_t w = 0; w < e->word_count; w++) {
        const struct row_word *word = &e->words[w];
        spans[w] = (struct berth_word_span){
            .start = word->start, .end = word->end, .token = word->token, .cut = word->cut};
    }
    *out = spans;
    return BERTH_OK;
}

/* The row's parts as sequences, one behind the other. */
static berth_status add_parts(struct berth_batch *b, const struct row_encoder *e,
                              const struct berth_task *tasks, size_t task_count, int32_t ordinal) {
    for (size_t k = 0; k < e->part_count; k++) {
        const struct row_part *p = &e->parts[k];
        int64_t first_row = b->tokens_count;
        BERTH_TRY(berth_batch_add_sequence(b, e->tokens + p->token_first, e->segments + p->token_first,
                                           (int64_t)p->token_count, ordinal, 0, ordinal));
        BERTH_TRY(add_items(b, e, k, tasks, task_count, first_row));
    }
    return BERTH_OK;
}

berth_status berth_data_add_long_row(struct berth_batch *b, const struct berth_tokenizer *t,
                                     const struct berth_row_limits *limits, const struct berth_row *row,
                                     const struct berth_task *tasks, size_t task_count, int32_t ordinal,
                                     struct berth_added_row *out) {
    berth_status status = BERTH_OK;
    struct row_encoder e;
    enum row_words words = words_of(row, tasks, task_count);
    bool apart = false, joined = false;
    memset(out, 0, sizeof *out);
    find_uses(tasks, task_count, &apart, &joined);
    apart = apart && row->text_pair != NULL;
    row_encoder_init(&e, t, limits->max_length);
    if (apart) {
        BERTH_TRY_OUT(add_apart(b, &e, row, tasks, task_count, ordinal));
        out->cut = e.cut;
    }
    if (limits->windows && !apart)
        BERTH_TRY_OUT(row_encode_windows(&e, row->text, row->text_pair, words, limits->stride));
    else
        BERTH_TRY_OUT(row_encode(&e, row->text, row->text_pair, words));
    if (limits->windows && (int64_t)e.part_count > limits->max_windows)
        BERTH_FAIL_OUT(BERTH_E_FORMAT, "found a text of %zu tokens, %zu windows, expected at most %lld windows",
                       e.whole, e.part_count, (long long)limits->max_windows);
    out->tokens = (int64_t)e.whole;
    out->cut = out->cut || e.cut;
    if (joined || !apart) BERTH_TRY_OUT(add_parts(b, &e, tasks, task_count, ordinal));
    BERTH_TRY_OUT(copy_words(&out->words, &e));
    out->word_count = e.word_count;
out:
    row_encoder_deinit(&e);
    return status;
}

berth_status berth_data_add_row(struct berth_batch *b, const struct berth_tokenizer *t, int64_t max_length,
                                const struct berth_row *row, const struct berth_task *tasks, size_t task_count,
                                int32_t ordinal, struct berth_word_span **words, size_t *word_count) {
    const struct berth_row_limits limits = {.max_length = max_length};
    struct berth_added_row added;
    BERTH_TRY(berth_data_add_long_row(b, t, &limits, row, tasks, task_count, ordinal, &added));
    if (word_count) *word_count = added.word_count;
    if (words)
        *words = added.words;
    else
        free(added.words);
    return BERTH_OK;
}

berth_status berth_data_add_text(struct berth_batch *b, const struct berth_tokenizer *t, int64_t max_length,
                                 const char *text, const char *pair, const struct berth_task *tasks,
                                 size_t task_count, int32_t ordinal, struct berth_word_span **words,
                                 size_t *word_count) {
    const struct berth_row row = {.text = text, .text_pair = pair};
    return berth_data_add_row(b, t, max_length, &row, tasks, task_count, ordinal, words, word_count);
}
