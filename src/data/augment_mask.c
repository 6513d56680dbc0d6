/* augment_mask.c: words hidden, each with the probability: every piece of one becomes [MASK], and its tag
 * stays. */
#include "data/augment_priv.h"

static berth_status apply(struct augment_row *r, const struct augment_op *self, double probability) {
    int32_t mask = r->augmenter->data->special.mask;
    for (size_t i = 0; i < r->word_count; i++) {
        const struct augment_word *word = &r->words[i];
        if (word->fixed || augment_unit(r, self, i) >= probability) continue;
        for (int32_t k = 0; k < word->count; k++)
            r->tokens[word->first + k] = mask;
    }
    return BERTH_OK;
}

const struct augment_op augment_mask = {.name = "mask", .stream = 3, .needs_mask = true, .apply = apply};
