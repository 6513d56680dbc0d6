/* encode_row.c: a row's texts as tokens, the same for packing and for prediction.
 *
 *     single     [CLS] text [SEP]                          segments 0
 *     pair       [CLS] text [SEP] pair [SEP]               segments 0 up to the first [SEP], then 1
 *     separate   [CLS] text [SEP] [CLS] pair [SEP] ...     sequences of their own, one behind the other
 *
 * Cutting to max_length follows the reference's fast tokenizer ("longest first" as its Rust code computes it in
 * one go): the shorter text stays whole while the longer one can give way; when both are too long each gets
 * half the room, the odd token going to the text that was longer, or to the pair when they were equal.
 */
#include "data/data_priv.h"

#include <stdlib.h>
#include <string.h>

void row_encoder_init(struct row_encoder *e, const struct berth_tokenizer *t, int64_t max_length) {
    memset(e, 0, sizeof *e);
    e->tokenizer = t;
    e->max_length = max_length;
    berth_encoding_init(&e->text);
    berth_encoding_init(&e->pair);
    berth_encoding_init(&e->negative);
}

void row_encoder_deinit(struct row_encoder *e) {
    berth_encoding_deinit(&e->text);
    berth_encoding_deinit(&e->pair);
    berth_encoding_deinit(&e->negative);
    free(e->tokens);
    free(e->segments);
    free(e->words);
    free(e->parts);
    memset(e, 0, sizeof *e);
}

void row_cut(size_t *text, size_t *pair, size_t room) {
    if (*text + *pair <= room) return;
    size_t shorter = *text < *pair ? *text : *pair;
    bool text_longer = *text > *pair;
    size_t longer = shorter > room ? shorter : room - shorter > shorter ? room - shorter : shorter;
    if (shorter + longer > room) {
        shorter = room / 2;
        longer = shorter + room % 2;
    }
    *text = text_longer ? longer : shorter;
    *pair = text_longer ? shorter : longer;
}

/* Encodes word by word; e->words[i].token counts from the text's first piece for now. */
static berth_status encode_words(struct row_encoder *e, const char *text, size_t size, bool list) {
    struct word_cursor w = {.text = text, .size = size, .list = list};
    while (word_next(&w)) {
        BERTH_TRY(berth_grow(&e->words, &e->word_capacity, e->word_count + 1, sizeof *e->words));
        struct row_word *word = &e->words[e->word_count];
        size_t before = e->text.count;
        BERTH_TRY(berth_tokenizer_encode_word(e->tokenizer, &e->text, text + w.start, w.end - w.start,
                                              (int32_t)e->word_count));
        word->start = (int32_t)w.start;
        word->end = (int32_t)w.end;
        word->token = e->text.count > before ? (int32_t)before : -1;
        word->cut = false;
        e->word_count++;
    }
    return BERTH_OK;
}

static berth_status encode_text(struct row_encoder *e, struct berth_encoding *out, const char *text) {
    berth_encoding_reset(out);
    if (!text) return BERTH_OK;
    size_t size = strlen(text);
    if (size > INT32_MAX - 1)
        BERTH_FAIL(BERTH_E_FORMAT, "a text of %zu bytes; at most 2 GiB are possible", size);
    return berth_tokenizer_encode(e->tokenizer, out, text, size);
}

berth_status row_begin(struct row_encoder *e, const char *text, const char *pair, const char *negative,
                       enum row_words words) {
    e->length = 0;
    e->word_count = 0;
    e->part_count = 0;
    e->pair_at = e->negative_at = 0;
    e->cut = false;
    BERTH_TRY(encode_text(e, &e->text, words == ROW_WHOLE ? text : NULL));
    if (words != ROW_WHOLE) {
        size_t size = strlen(text);
        if (size > INT32_MAX - 1)
            BERTH_FAIL(BERTH_E_FORMAT, "a text of %zu bytes; at most 2 GiB are possible", size);
        BERTH_TRY(encode_words(e, text, size, words == ROW_BY_LIST));
    }
    BERTH_TRY(encode_text(e, &e->pair, pair));
    return encode_text(e, &e->negative, negative);
}

static void put(struct row_encoder *e, int32_t token, int32_t segment) {
    e->tokens[e->length] = token;
    e->segments[e->length] = segment;
    e->length++;
}

berth_status row_put(struct row_encoder *e, const int32_t *first, size_t first_count, const int32_t *second,
                     size_t second_count, bool has_second) {
    const struct berth_special_tokens ids = berth_tokenizer_special(e->tokenizer);
    size_t length = e->length + first_count + second_count + (has_second ? 3 : 2);
    BERTH_TRY(berth_grow(&e->tokens, &e->token_capacity, length, sizeof *e->tokens));
    BERTH_TRY(berth_grow(&e->segments, &e->segment_capacity, length, sizeof *e->segments));
    put(e, ids.cls, 0);
    for (size_t i = 0; i < first_count; i++)
        put(e, first[i], 0);
    put(e, ids.sep, 0);
    for (size_t i = 0; has_second && i < second_count; i++)
        put(e, second[i], 1);
    if (has_second) put(e, ids.sep, 1);
    return BERTH_OK;
}

/* Words of the text's first `kept` pieces, in a sequence that begins with [CLS]; all tokens are one part. */
static berth_status finish_row(struct row_encoder *e, size_t kept) {
    for (size_t i = 0; i < e->word_count; i++) {
        struct row_word *word = &e->words[i];
        word->cut = word->token >= (int32_t)kept;
        word->token = word->token < 0 || word->cut ? -1 : word->token + 1;
    }
    BERTH_TRY(berth_grow(&e->parts, &e->part_capacity, 1, sizeof *e->parts));
    e->parts[0] = (struct row_part){.token_count = e->length, .word_count = e->word_count};
    e->part_count = 1;
    return BERTH_OK;
}

berth_status row_encode(struct row_encoder *e, const char *text, const char *pair, enum row_words words) {
    BERTH_TRY(row_begin(e, text, pair, NULL, words));
    int64_t special = pair ? 3 : 2;
    BERTH_ASSERT_MSG(e->max_length >= special, "max_length %lld", (long long)e->max_length);
    size_t kept = e->text.count, kept_pair = e->pair.count;
    size_t room = (size_t)(e->max_length - special);
    e->whole = kept + kept_pair + (size_t)special;
    e->cut = kept + kept_pair > room;
    if (pair)
        row_cut(&kept, &kept_pair, room);
    else if (kept > room)
        kept = room;
    BERTH_TRY(row_put(e, e->text.ids, kept, e->pair.ids, kept_pair, pair != NULL));
    return finish_row(e, kept);
}

berth_status row_encode_separate(struct row_encoder *e, const char *text, const char *pair,
                                 const char *negative, enum row_words words) {
    BERTH_TRY(row_begin(e, text, pair, negative, words));
    size_t room = (size_t)(e->max_length - 2);
    struct {
        const struct berth_encoding *encoding;
        bool there;
        size_t *at;
    } sequences[] = {{&e->text, true, NULL},
                     {&e->pair, pair != NULL, &e->pair_at},
                     {&e->negative, negative != NULL, &e->negative_at}};
    e->whole = 0;
    for (size_t i = 0; i < sizeof sequences / sizeof sequences[0]; i++) {
        if (!sequences[i].there) continue;
        size_t count = sequences[i].encoding->count;
        if (sequences[i].at) *sequences[i].at = e->length;
        if (count + 2 > e->whole) e->whole = count + 2; /* of the longest */
        e->cut |= count > room;
        BERTH_TRY(row_put(e, sequences[i].encoding->ids, count < room ? count : room, NULL, 0, false));
    }
    return finish_row(e, e->text.count < room ? e->text.count : room);
}
