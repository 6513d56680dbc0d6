/* augment_entity.c: entities replaced, each with the probability, by another one of their type from the
 * training rows of the source, with its tags (mention replacement: Dai and Adel, "An analysis of simple data
 * augmentation for named entity recognition", 2020). Where several tagging tasks read the source, the words
 * bring the tags of all.
 *
 * Of each type at most DONORS entities are kept, each with the same chance (reservoir sampling, Vitter's
 * algorithm R): memory does not grow with the rows. */
#include "data/augment_priv.h"

enum { DONORS = 65536, STREAM = 4 };

static berth_status find_in_row(struct augment_row *r, struct augment_tagging *t, size_t tagging, int64_t row) {
    const struct berth_dataset *set = r->set;
    int64_t first = set->word_offset[row], words = set->word_offset[row + 1] - first, last = -1;
    r->entity_count = 0;
    BERTH_TRY(augment_find_entities(r, tagging, row));
    for (int64_t w = 0; w < words; w++)
        if (set->word_token[first + w] >= 0) last = w;
    for (int64_t w = 0, end; w < words; w = end) {
        int32_t entity = r->entity_of[w];
        bool whole = true;
        for (end = w; end < words && r->entity_of[end] == entity; end++)
            whole = whole && set->word_token[first + end] >= 0;
        if (entity < 0 || !whole || r->entities[entity].open || (end - 1 >= last && augment_is_open(set, row)))
            continue;
        const struct augment_donor donor = {.row = row, .word = (int32_t)w, .count = (int32_t)(end - w)};
        int32_t type = r->entities[entity].type;
        BERTH_TRY(augment_keep_donor(r, &t->entities[type], &donor, DONORS,
                                     (uint64_t)STREAM << 56 | (uint64_t)tagging << 32 | (uint64_t)type));
    }
    return BERTH_OK;
}

static berth_status prepare(struct augment_row *r, struct augment_tagging *t, size_t tagging) {
    bool any = false;
    for (size_t k = 0; k < r->source->tagging_count; k++)
        any = any || r->source->taggings[k].types.count > 0;
    if (!any)
        BERTH_FAIL(
            BERTH_E_USAGE,
            "data.%s.augment.entity: the tags of source '%s' mark no entities (scheme plain): there is none to "
            "replace",
            r->augmenter->data->sources[r->draw->source].name,
            r->augmenter->data->sources[r->draw->source].name);
    if (t->types.count == 0) return BERTH_OK;
    BERTH_TRY(berth_calloc(&t->entities, t->types.count, sizeof *t->entities));
    for (int64_t row = 0; row < r->set->rows; row++)
        BERTH_TRY(find_in_row(r, t, tagging, row));
    return BERTH_OK;
}

/* Whether the entity of a task stands whole and unbroken at words [at, *end). */
static bool stands_whole(const struct augment_row *r, size_t at, size_t tagging, size_t *end) {
    int32_t entity = augment_tags_of(r, at)[tagging].entity;
    bool fixed = false;
    for (*end = at; *end < r->word_count; ++*end) {
        const struct augment_tag *tags = augment_tags_of(r, *end);
        if (!tags || tags[tagging].entity != entity) break;
        fixed = fixed || r->words[*end].fixed;
    }
    return !fixed && (int32_t)(*end - at) == r->entities[entity].words;
}

/* One task's entities. */
static berth_status replace(struct augment_row *r, const struct augment_op *self, double probability,
                            size_t tagging) {
    const struct augment_tagging *t = &r->source->taggings[tagging];
    size_t to = 0;
    for (size_t at = 0, end; at < r->word_count; at = end) {
        const struct augment_tag *tags = augment_tags_of(r, at);
        uint64_t position = (uint64_t)tagging << 32 | 2 * at;
        end = at + 1;
        const struct augment_donors *donors = NULL;
        if (tags && tags[tagging].entity >= 0 && stands_whole(r, at, tagging, &end))
            donors = &t->entities[r->entities[tags[tagging].entity].type];
        if (donors && donors->kept > 0 && augment_unit(r, self, position) < probability) {
            const struct augment_donor *from =
                &donors->list[augment_below(r, self, position + 1, donors->kept)];
            BERTH_TRY(augment_copy_words(r, to, from));
            to += (size_t)from->count;
            continue;
        }
        BERTH_TRY(berth_grow(&r->other, &r->other_capacity, to + end - at, sizeof *r->other));
        for (size_t i = at; i < end; i++)
            r->other[to++] = r->words[i];
    }
    augment_take_other(r, to);
    return BERTH_OK;
}

static berth_status apply(struct augment_row *r, const struct augment_op *self, double probability) {
    for (size_t k = 0; k < r->source->tagging_count; k++)
        if (r->source->taggings[k].entities) BERTH_TRY(replace(r, self, probability, k));
    return BERTH_OK;
}

const struct augment_op augment_entity = {
    .name = "entity", .stream = STREAM, .prepare = prepare, .apply = apply};
