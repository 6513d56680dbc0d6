/* augment_tags.c: entities of altered rows, and tags that fit what is left of them.
 *
 * Entities are read off the row's tags before anything is altered (as evaluation counts them, tags.h) and go
 * with their words. What of one lies together afterwards is an entity of its type and gets the tags of the
 * task's scheme for it; an entity that is whole keeps the tags that it has. Tasks whose tags mark no entities
 * have none here. */
#include "data/augment_priv.h"

#include <stdlib.h>
#include <string.h>

#include "berth/tags.h"

berth_status augment_tagging_init(struct augment_tagging *t, const struct berth_data *d, size_t task) {
    const struct berth_task *of = &d->tasks[task].task;
    t->task = task;
    t->scheme = of->scheme;
    t->labels = &of->labels;
    berth_labels_init(&t->types);
    if (t->scheme == BERTH_TAGS_PLAIN) return BERTH_OK;
    for (size_t k = 0; k < of->labels.count; k++) {
        struct berth_tag tag = berth_tag_read(of->labels.names[k]);
        if (tag.kind != 'O') BERTH_TRY(berth_labels_add(&t->types, tag.type, NULL));
    }
    BERTH_TRY(berth_calloc(&t->of_type, t->types.count, sizeof *t->of_type));
    for (size_t k = 0; k < t->types.count; k++)
        for (int kind = 0; kind < TAG_KINDS; kind++)
            t->of_type[k][kind] = -1;
    for (size_t k = 0; k < of->labels.count; k++) {
        struct berth_tag tag = berth_tag_read(of->labels.names[k]);
        const char *kind = strchr("BIES", tag.kind);
        if (kind && tag.kind != 0)
            t->of_type[berth_labels_find(&t->types, tag.type)][kind - "BIES"] = (int32_t)k;
    }
    return BERTH_OK;
}

static void donors_free(struct augment_donors *donors, size_t count) {
    for (size_t k = 0; donors && k < count; k++)
        free(donors[k].list);
    free(donors);
}

void augment_tagging_deinit(struct augment_tagging *t) {
    donors_free(t->entities, t->types.count);
    donors_free(t->words, t->labels ? t->labels->count : 0);
    free(t->of_type);
    berth_labels_deinit(&t->types);
}

/* Words of the windows beside a row that are read with it: 1 where there is one on that side. */
static void find_neighbours(const struct berth_dataset *set, int64_t row, size_t *before, size_t *behind) {
    bool windows = set->origin != NULL;
    int64_t first = set->word_offset[row], end = set->word_offset[row + 1];
    *before = windows && row > 0 && set->origin[row - 1] == set->origin[row] && first > 0;
    *behind =
        windows && row + 1 < set->rows && set->origin[row + 1] == set->origin[row] && end < set->word_count;
}

static berth_status add_entity(struct augment_row *r, const struct augment_tagging *t,
                               const struct berth_entity *entity, int64_t row, size_t before) {
    int64_t first = r->set->word_offset[row];
    size_t words = (size_t)(r->set->word_offset[row + 1] - first);
    struct augment_entity added = {.type = berth_labels_find(&t->types, entity->type)};
    BERTH_TRY(berth_grow(&r->entities, &r->entity_capacity, r->entity_count + 1, sizeof *r->entities));
    for (size_t at = entity->begin; at < entity->end; at++) {
        if (at < before || at - before >= words) {
            added.open = true;
            continue;
        }
        size_t w = at - before;
        r->entity_of[w] = (int32_t)r->entity_count;
        added.words += r->set->word_token[first + (int64_t)w] >= 0;
    }
    r->entities[r->entity_count++] = added;
    return BERTH_OK;
}

berth_status augment_find_entities(struct augment_row *r, size_t tagging, int64_t row) {
    const struct augment_tagging *t = &r->source->taggings[tagging];
    int64_t first = r->set->word_offset[row];
    size_t words = (size_t)(r->set->word_offset[row + 1] - first), before = 0, behind = 0;
    struct berth_entity_cursor cursor;
    struct berth_entity entity;
    BERTH_TRY(berth_grow(&r->entity_of, &r->entity_of_capacity, words, sizeof *r->entity_of));
    for (size_t w = 0; w < words; w++)
        r->entity_of[w] = -1;
    if (t->scheme == BERTH_TAGS_PLAIN) return BERTH_OK;
    find_neighbours(r->set, row, &before, &behind);
    const int32_t *labels = r->set->labels[t->task] + first - (int64_t)before;
    size_t all = before + words + behind;
    BERTH_TRY(berth_grow(&r->names, &r->name_capacity, all, sizeof *r->names));
    for (size_t w = 0; w < all; w++)
        r->names[w] = labels[w] >= 0 ? t->labels->names[labels[w]] : NULL;
    berth_entities_begin(&cursor, r->names, all, BERTH_SPANS_DEFAULT);
    while (berth_entity_next(&cursor, &entity))
        BERTH_TRY(add_entity(r, t, &entity, row, before));
    return BERTH_OK;
}

/* Which kind the scheme gives to word `at` of an entity of `count` words. again: the word before it belongs to
 * another entity of the type. */
static int kind_of(enum berth_tag_scheme scheme, size_t at, size_t count, bool again) {
    switch (scheme) {
    case BERTH_TAGS_IO:
        return TAG_I;
    case BERTH_TAGS_IOB1:
        return at == 0 && again ? TAG_B : TAG_I;
    case BERTH_TAGS_BIOES:
    case BERTH_TAGS_BILOU:
        if (count == 1) return TAG_S;
        return at == 0 ? TAG_B : at + 1 == count ? TAG_E : TAG_I;
    default:
        return at == 0 ? TAG_B : TAG_I;
    }
}

/* One run of words [first, end) of one entity. */
static bool mend_run(struct augment_row *r, size_t tagging, size_t first, size_t end) {
    const struct augment_tagging *t = &r->source->taggings[tagging];
    int32_t entity = augment_tags_of(r, first)[tagging].entity;
    bool whole = r->entities[entity].words == (int32_t)(end - first);
    if (r->entities[entity].open || (whole && t->scheme != BERTH_TAGS_IOB1)) return true;
    int32_t type = r->entities[entity].type;
    const struct augment_tag *before = first > 0 ? augment_tags_of(r, first - 1) : NULL;
    bool again = before && before[tagging].entity >= 0 && r->entities[before[tagging].entity].type == type;
    for (size_t i = first; i < end; i++) {
        int32_t label = t->of_type[type][kind_of(t->scheme, i - first, end - first, again)];
        if (label < 0) return false;
        augment_tags_of(r, i)[tagging].label = label;
    }
    return true;
}

int64_t augment_labelled(const struct augment_row *r, size_t tagging) {
    int64_t count = 0;
    for (size_t i = 0; i < r->word_count; i++) {
        const struct augment_tag *tags = augment_tags_of(r, i);
        count += tags && tags[tagging].label >= 0;
    }
    return count;
}

void augment_mend_tags(struct augment_row *r, bool *good) {
    *good = true;
    for (size_t k = 0; *good && k < r->source->tagging_count; k++) {
        for (size_t first = 0, end; *good && first < r->word_count; first = end) {
            const struct augment_tag *tags = augment_tags_of(r, first);
            end = first + 1;
            if (!tags || tags[k].entity < 0) continue;
            while (end < r->word_count && augment_tags_of(r, end) &&
                   augment_tags_of(r, end)[k].entity == tags[k].entity)
                end++;
            *good = mend_run(r, k, first, end);
        }
    }
}
