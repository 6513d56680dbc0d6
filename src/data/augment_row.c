/* augment_row.c: a packed row as words that operations work on, and back.
 *
 *     one sequence    [CLS] text [SEP] (pair [SEP])            words of parts 0 and 1
 *     separate        [CLS] text [SEP] [CLS] pair [SEP] ...    words of parts 0, 1, 2
 *
 * Back it is cut to max_length as rows are when they are packed; words whose first piece is cut off are left
 * out, and so are those that had none before: nothing is learnt from them. */
#include "data/augment_priv.h"

#include <string.h>

static berth_status add_tokens(struct augment_row *r, const int32_t *tokens, int64_t count, int32_t *first) {
    BERTH_TRY(berth_grow(&r->tokens, &r->token_capacity, r->token_count + (size_t)count, sizeof *r->tokens));
    memcpy(r->tokens + r->token_count, tokens, (size_t)count * sizeof *tokens);
    *first = (int32_t)r->token_count;
    r->token_count += (size_t)count;
    return BERTH_OK;
}

static berth_status add_word(struct augment_row *r, int64_t first, int64_t end, int part, bool fixed,
                             int32_t tags) {
    struct augment_word word = {
        .count = (int32_t)(end - first), .tags = tags, .part = (int8_t)part, .fixed = fixed};
    if (end == first) return BERTH_OK;
    BERTH_TRY(add_tokens(r, r->set->tokens + first, end - first, &word.first));
    BERTH_TRY(berth_grow(&r->words, &r->word_capacity, r->word_count + 1, sizeof *r->words));
    r->words[r->word_count++] = word;
    return BERTH_OK;
}

/* Tokens [first, end) of the set where no words are kept: a word is a piece and those that continue it. */
static berth_status load_pieces(struct augment_row *r, int64_t first, int64_t end, int part) {
    const uint8_t *continues = r->augmenter->data->continues;
    for (int64_t at = first, next; at < end; at = next) {
        for (next = at + 1; next < end && continues[r->set->tokens[next]];)
            next++;
        BERTH_TRY(add_word(r, at, next, part, false, -1));
    }
    return BERTH_OK;
}

/* The tags of a row's words: tags[base + word * tagging_count + k]. */
static berth_status load_tags(struct augment_row *r, int64_t row, size_t *base) {
    size_t taggings = r->source->tagging_count;
    int64_t first = r->set->word_offset[row];
    size_t words = (size_t)(r->set->word_offset[row + 1] - first);
    *base = r->tag_count;
    BERTH_TRY(berth_grow(&r->tags, &r->tag_capacity, r->tag_count + words * taggings, sizeof *r->tags));
    r->tag_count += words * taggings;
    for (size_t k = 0; k < taggings; k++) {
        BERTH_TRY(augment_find_entities(r, k, row));
        for (size_t w = 0; w < words; w++)
            r->tags[*base + w * taggings + k] =
                (struct augment_tag){.label = r->set->labels[r->source->taggings[k].task][first + (int64_t)w],
                                     .entity = r->entity_of[w]};
    }
    return BERTH_OK;
}

/* The first token behind word w of the row, whose text ends before `end` (both within the row). */
static int64_t word_end(const struct berth_dataset *set, int64_t row, int64_t w, int64_t end) {
    for (int64_t k = w + 1; k < set->word_offset[row + 1]; k++)
        if (set->word_token[k] >= 0) return set->word_token[k];
    return end;
}

/* The text by the words that the pack keeps. */
static berth_status load_words(struct augment_row *r, int64_t first, int64_t end) {
    const struct berth_dataset *set = r->set;
    int64_t row = r->draw->row, start = set->offset[row], from = first - start, to = end - start;
    bool goes_on = set->origin && row + 1 < set->rows && set->origin[row + 1] == set->origin[row];
    size_t base = 0, taggings = r->source->tagging_count;
    bool any = false;
    BERTH_TRY(load_tags(r, row, &base));
    for (int64_t w = set->word_offset[row]; w < set->word_offset[row + 1]; w++) {
        if (set->word_token[w] < 0) continue;
        int64_t at = set->word_token[w], next = word_end(set, row, w, to);
        if (!any) BERTH_TRY(add_word(r, start + from, start + at, 0, true, -1)); /* another window's words */
        any = true;
        int32_t tags = (int32_t)(base + (size_t)(w - set->word_offset[row]) * taggings);
        BERTH_TRY(add_word(r, start + at, start + next, 0, goes_on && next == to, taggings > 0 ? tags : -1));
    }
    return any ? BERTH_OK : add_word(r, first, end, 0, true, -1);
}

static berth_status load_text(struct augment_row *r, int64_t first, int64_t end) {
    bool words = r->set->word_offset[r->draw->row + 1] > r->set->word_offset[r->draw->row];
    return words ? load_words(r, first, end) : load_pieces(r, first, end, 0);
}

/* What goes on in a neighbouring window stays where and what it is. */
static void fix_open(struct augment_row *r) {
    for (size_t i = 0; i < r->word_count; i++) {
        const struct augment_tag *tags = augment_tags_of(r, i);
        for (size_t k = 0; tags && k < r->source->tagging_count; k++)
            if (tags[k].entity >= 0 && r->entities[tags[k].entity].open) r->words[i].fixed = true;
    }
}

berth_status augment_load(struct augment_row *r) {
    const struct berth_dataset *set = r->set;
    int64_t row = r->draw->row, first = set->offset[row], end = set->offset[row + 1];
    int64_t pair = set->pair_at ? set->pair_at[row] : 0,
            negative = set->negative_at ? set->negative_at[row] : 0;
    r->word_count = r->token_count = r->tag_count = r->entity_count = 0;
    if (pair > 0 || negative > 0) {
        int64_t second = pair > 0 ? first + pair : first + negative;
        int64_t third = negative > 0 ? first + negative : end;
        BERTH_TRY(load_text(r, first + 1, second - 1));
        if (pair > 0) BERTH_TRY(load_pieces(r, second + 1, third - 1, 1));
        if (negative > 0) BERTH_TRY(load_pieces(r, third + 1, end - 1, 2));
    } else {
        int64_t middle = end; /* behind the text's [SEP] */
        while (middle > first && set->segments[middle - 1] == 1)
            middle--;
        BERTH_TRY(load_text(r, first + 1, middle - 1));
        if (middle < end) BERTH_TRY(load_pieces(r, middle, end - 1, 1));
    }
    fix_open(r);
    BERTH_TRY(berth_grow(&r->labelled, &r->labelled_capacity, r->source->tagging_count, sizeof *r->labelled));
    for (size_t k = 0; k < r->source->tagging_count; k++)
        r->labelled[k] = augment_labelled(r, k);
    return BERTH_OK;
}

bool augment_is_open(const struct berth_dataset *set, int64_t row) {
    int64_t first = set->word_offset[row], end = set->word_offset[row + 1];
    if (set->origin && row + 1 < set->rows && set->origin[row + 1] == set->origin[row]) return true;
    return end > first && set->word_token[end - 1] < 0;
}

/* Behind the last token of a row's text, from the row's start. */
static int64_t text_end(const struct berth_dataset *set, int64_t row) {
    int64_t start = set->offset[row], end = set->offset[row + 1];
    int64_t pair = set->pair_at ? set->pair_at[row] : 0,
            negative = set->negative_at ? set->negative_at[row] : 0;
    if (pair > 0 || negative > 0) end = start + (pair > 0 ? pair : negative);
    while (end > start && set->segments[end - 1] == 1)
        end--;
    return end - 1 - start;
}

berth_status augment_copy_tokens(struct augment_row *r, struct augment_word *word, int64_t row, int64_t from) {
    const struct berth_dataset *set = r->set;
    int64_t at = set->word_offset[row] + from, token = set->word_token[at];
    int64_t count = word_end(set, row, at, text_end(set, row)) - token;
    word->count = (int32_t)count;
    return add_tokens(r, set->tokens + set->offset[row] + token, count, &word->first);
}

berth_status augment_copy_words(struct augment_row *r, size_t at, const struct augment_donor *from) {
    size_t base = 0, taggings = r->source->tagging_count;
    BERTH_TRY(load_tags(r, from->row, &base));
    BERTH_TRY(berth_grow(&r->other, &r->other_capacity, at + (size_t)from->count, sizeof *r->other));
    for (int32_t i = 0; i < from->count; i++) {
        struct augment_word *word = &r->other[at + (size_t)i];
        *word = (struct augment_word){.tags = (int32_t)(base + (size_t)(from->word + i) * taggings)};
        BERTH_TRY(augment_copy_tokens(r, word, from->row, from->word + i));
    }
    return BERTH_OK;
}

/* ---- back */

static size_t part_length(const struct augment_row *r, int part) {
    size_t length = 0;
    for (size_t i = 0; i < r->word_count; i++)
        if (r->words[i].part == part) length += (size_t)r->words[i].count;
    return length;
}

static void put(struct augment_row *r, int32_t token, uint8_t segment) {
    r->out_tokens[r->fed.length] = token;
    r->out_segments[r->fed.length++] = segment;
}

static void put_words(struct augment_row *r, int part, size_t kept, uint8_t segment) {
    for (size_t i = 0, done = 0; i < r->word_count && done < kept; i++) {
        const struct augment_word *word = &r->words[i];
        const struct augment_tag *tags = augment_tags_of(r, i);
        if (word->part != part) continue;
        if (tags) {
            for (size_t k = 0; k < r->source->tagging_count; k++)
                r->out_labels[k * r->word_count + (size_t)r->fed.word_count] = tags[k].label;
            r->out_words[r->fed.word_count++] = (int32_t)r->fed.length;
        }
        for (int32_t k = 0; k < word->count && done < kept; k++, done++)
            put(r, r->tokens[word->first + k], segment);
    }
}

static berth_status reserve(struct augment_row *r, size_t tokens) {
    size_t tasks = r->augmenter->data->task_count, words = r->word_count;
    BERTH_TRY(berth_grow(&r->out_tokens, &r->out_token_capacity, tokens, sizeof *r->out_tokens));
    BERTH_TRY(berth_grow(&r->out_segments, &r->out_segment_capacity, tokens, sizeof *r->out_segments));
    BERTH_TRY(berth_grow(&r->out_words, &r->out_word_capacity, words, sizeof *r->out_words));
    BERTH_TRY(berth_grow(&r->out_labels, &r->out_label_capacity, words * r->source->tagging_count,
                         sizeof *r->out_labels));
    BERTH_TRY(berth_grow(&r->label_of, &r->label_of_capacity, tasks, sizeof *r->label_of));
    for (size_t t = 0; t < tasks; t++)
        r->label_of[t] = NULL;
    for (size_t k = 0; k < r->source->tagging_count; k++)
        r->label_of[r->source->taggings[k].task] = r->out_labels + k * words;
    return BERTH_OK;
}

berth_status augment_store(struct augment_row *r) {
    const struct berth_special_tokens *special = &r->augmenter->data->special;
    const struct berth_dataset *set = r->set;
    int64_t row = r->draw->row;
    bool separate = set->pair_at && (set->pair_at[row] > 0 || set->negative_at[row] > 0);
    bool there[3] = {true, separate ? set->pair_at[row] > 0 : set->segments[set->offset[row + 1] - 1] == 1,
                     separate && set->negative_at[row] > 0};
    size_t kept[3] = {part_length(r, 0), part_length(r, 1), part_length(r, 2)};
    size_t most = (size_t)r->augmenter->data->max_length;
    for (int part = 0; separate && part < 3; part++)
        kept[part] = kept[part] < most - 2 ? kept[part] : most - 2;
    if (!separate) row_cut(&kept[0], &kept[1], most - (there[1] ? 3 : 2));
    r->fed = (struct fed_row){0};
    BERTH_TRY(reserve(r, kept[0] + kept[1] + kept[2] + 6));
    for (int part = 0; part < 3; part++) {
        uint8_t segment = separate ? 0 : (uint8_t)part;
        if (!there[part]) continue;
        if (part == 1) r->fed.pair_at = separate ? r->fed.length : 0;
        if (part == 2) r->fed.negative_at = r->fed.length;
        if (part == 0 || separate) put(r, special->cls, segment);
        put_words(r, part, kept[part], segment);
        put(r, special->sep, segment);
    }
    r->fed.tokens = r->out_tokens;
    r->fed.segments = r->out_segments;
    r->fed.word_token = r->out_words;
    r->fed.labels = r->label_of;
    return BERTH_OK;
}
