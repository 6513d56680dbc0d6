/* predict_rows.c: a typed text as a row of a batch, encoded as training rows are. */
#include "data/data_priv.h"

#include <stdlib.h>

static bool any_tagging(const struct berth_task *tasks, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (tasks[i].kind == BERTH_TASK_TAGGING) return true;
    return false;
}

static berth_status add_items(struct berth_batch *b, const struct row_encoder *e,
                              const struct berth_task *tasks, size_t task_count, int64_t first_row) {
    for (size_t t = 0; t < task_count; t++) {
        if (tasks[t].kind == BERTH_TASK_CLASSIFICATION) {
            BERTH_TRY(berth_batch_add_item(b, (int)t, (int32_t)(b->sequence_count - 1), BERTH_LABEL_MISSING));
            continue;
        }
        for (size_t w = 0; w < e->word_count; w++)
            if (e->words[w].token >= 0)
                BERTH_TRY(berth_batch_add_item(b, (int)t, (int32_t)(first_row + e->words[w].token),
                                               BERTH_LABEL_MISSING));
    }
    return BERTH_OK;
}

berth_status berth_data_add_text(struct berth_batch *b, const struct berth_tokenizer *t, int64_t max_length,
                                 const char *text, const char *pair, const struct berth_task *tasks,
                                 size_t task_count, int32_t ordinal, struct berth_word_span **words,
                                 size_t *word_count) {
    berth_status status = BERTH_OK;
    struct row_encoder e;
    struct berth_word_span *spans = NULL;
    row_encoder_init(&e, t, max_length);
    BERTH_TRY_OUT(row_encode(&e, text, pair, any_tagging(tasks, task_count) ? ROW_BY_SPACE : ROW_WHOLE));
    int64_t first_row = b->tokens_count;
    BERTH_TRY_OUT(berth_batch_add_sequence(b, e.tokens, e.segments, (int64_t)e.length, ordinal, 0, ordinal));
    BERTH_TRY_OUT(add_items(b, &e, tasks, task_count, first_row));
    if (words) {
        BERTH_TRY_OUT(berth_calloc(&spans, e.word_count, sizeof *spans));
        for (size_t w = 0; w < e.word_count; w++) {
            spans[w].start = e.words[w].start;
            spans[w].end = e.words[w].end;
            spans[w].token = e.words[w].token;
            spans[w].cut = e.words[w].cut;
        }
        *words = spans;
        spans = NULL;
    }
    if (word_count) *word_count = e.word_count;
out:
    free(spans);
    row_encoder_deinit(&e);
    return status;
}
