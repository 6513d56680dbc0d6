/* augment_replace.c: words replaced, each with the probability, by another word of the training rows that has
 * the same tag (label-wise token replacement: Dai and Adel, "An analysis of simple data augmentation for named
 * entity recognition", 2020). Tags stay as they are; where several tagging tasks read the source, a word whose
 * tags of the others differ is passed over.
 *
 * Of each tag at most WORDS words are kept, each with the same chance. */
#include "data/augment_priv.h"

enum { WORDS = 16384, STREAM = 5 };

static berth_status prepare(struct augment_row *r, struct augment_tagging *t, size_t tagging) {
    const struct berth_dataset *set = r->set;
    if (tagging > 0) return BERTH_OK; /* words are found by their tags of the first task */
    BERTH_TRY(berth_calloc(&t->words, t->labels->count, sizeof *t->words));
    for (int64_t row = 0; row < set->rows; row++) {
        int64_t first = set->word_offset[row], last = -1;
        for (int64_t w = first; w < set->word_offset[row + 1]; w++)
            if (set->word_token[w] >= 0) last = w;
        for (int64_t w = first; w <= last; w++) {
            int32_t label = set->labels[t->task][w];
            if (label < 0 || set->word_token[w] < 0 || (w == last && augment_is_open(set, row))) continue;
            const struct augment_donor donor = {.row = row, .word = (int32_t)(w - first), .count = 1};
            BERTH_TRY(augment_keep_donor(r, &t->words[label], &donor, WORDS,
                                         (uint64_t)STREAM << 56 | (uint64_t)label));
        }
    }
    return BERTH_OK;
}

static bool same_tags(const struct augment_row *r, const struct augment_tag *tags,
                      const struct augment_donor *from) {
    int64_t word = r->set->word_offset[from->row] + from->word;
    for (size_t k = 1; k < r->source->tagging_count; k++)
        if (r->set->labels[r->source->taggings[k].task][word] != tags[k].label) return false;
    return true;
}

static berth_status apply(struct augment_row *r, const struct augment_op *self, double probability) {
    for (size_t i = 0; i < r->word_count; i++) {
        const struct augment_tag *tags = augment_tags_of(r, i);
        if (!tags || r->words[i].fixed || tags[0].label < 0) continue;
        const struct augment_donors *words = &r->source->taggings[0].words[tags[0].label];
        if (words->kept == 0 || augment_unit(r, self, 2 * i) >= probability) continue;
        const struct augment_donor *from = &words->list[augment_below(r, self, 2 * i + 1, words->kept)];
        if (same_tags(r, tags, from)) BERTH_TRY(augment_copy_tokens(r, &r->words[i], from->row, from->word));
    }
    return BERTH_OK;
}

const struct augment_op augment_replace = {
    .name = "replace", .stream = STREAM, .prepare = prepare, .apply = apply};
