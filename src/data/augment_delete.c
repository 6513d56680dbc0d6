/* augment_delete.c: words left out, each with the probability (random deletion: Wei and Zou, "EDA", 2019). A
 * text that would lose all of its words keeps one of them. */
#include "data/augment_priv.h"

static berth_status apply(struct augment_row *r, const struct augment_op *self, double probability) {
    size_t kept = 0;
    BERTH_TRY(berth_grow(&r->other, &r->other_capacity, r->word_count, sizeof *r->other));
    for (size_t first = 0, end; first < r->word_count; first = end) {
        size_t before = kept;
        for (end = first; end < r->word_count && r->words[end].part == r->words[first].part; end++) {
            bool stays = r->words[end].fixed || augment_unit(r, self, end) >= probability;
            if (stays) r->other[kept++] = r->words[end];
        }
        if (kept == before) /* positions behind those of the words */
            r->other[kept++] = r->words[first + augment_below(r, self, r->word_count + first, end - first)];
    }
    augment_take_other(r, kept);
    return BERTH_OK;
}

const struct augment_op augment_delete = {.name = "delete", .stream = 1, .apply = apply};
