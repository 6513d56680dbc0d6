/* augment.c: the registry of operations, data.*.augment of the configuration, and the way of a row through
 * them.
 *
 * Which draws are altered: with `sampling.units.*.more: augmentation` those of a row that came before in the
 * epoch, and of the others the share that data.*.augment.share gives (without the key none); else the share of
 * all (without the key all).
 *
 * The key of a row's draws is 64 bits of Philox: purpose AUGMENT, stream of source and epoch, position =
 * occurrence and row; with it as seed each operation draws from a stream of its own. */
#include "data/augment_priv.h"

#include <stdlib.h>
#include <string.h>

/* In this order, so that what was masked stays in place. */
static const struct augment_op *const OPS[AUGMENT_OPS] = {&augment_entity, &augment_replace, &augment_delete,
                                                          &augment_swap, &augment_mask};
enum { STREAM_SHARE = 0 }; /* no operation's */

/* Whether the source has what the operation needs. */
static berth_status check_op(const struct augment_op *op, const struct source_spec *spec,
                             const struct berth_tokenizer *t) {
    char key[192];
    bool tags = false;
    snprintf(key, sizeof key, "data.%s.augment.%s", spec->name, op->name);
    for (size_t k = 0; k < spec->label_count; k++)
        tags = tags || spec->labels[k].kind == BERTH_TASK_TAGGING;
    if (op->needs_mask && berth_tokenizer_special(t).mask < 0)
        return berth_config_fail(spec->config, key,
                                 "masking needs the token [MASK], which the vocabulary lacks");
    if (op->prepare && !tags)
        return berth_config_fail(spec->config, key, "no tagging task reads source '%s': its words have no tags",
                                 spec->name);
    return BERTH_OK;
}

berth_status augment_read(struct augment_options *out, const struct source_spec *spec,
                          const struct berth_tokenizer *t) {
    const struct berth_config *c = spec->config;
    char key[192];
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < AUGMENT_OPS; i++) {
        out->probability[i] = berth_config_number_f(c, "data.%s.augment.%s", spec->name, OPS[i]->name);
        if (out->probability[i] <= 0) continue;
        BERTH_TRY(check_op(OPS[i], spec, t));
        out->on = true;
    }
    out->share_given = berth_config_has_f(c, "data.%s.augment.share", spec->name);
    if (!out->share_given) return BERTH_OK;
    snprintf(key, sizeof key, "data.%s.augment.share", spec->name);
    out->share = berth_config_number(c, key);
    if (!out->on)
        return berth_config_fail(c, key,
                                 "no operation beside it has a probability above 0: there is nothing to do");
    return BERTH_OK;
}

berth_status augment_continues(uint8_t **out, const struct berth_tokenizer *t) {
    size_t size = berth_tokenizer_size(t);
    BERTH_TRY(berth_calloc(out, size, 1));
    for (size_t i = 0; i < size; i++)
        (*out)[i] = strncmp(berth_tokenizer_token(t, (int32_t)i), "##", 2) == 0;
    return BERTH_OK;
}

const char *berth_augmentation_name(size_t index) {
    return index < AUGMENT_OPS ? OPS[index]->name : NULL;
}

/* ---- the augmenter */

static void row_deinit(struct augment_row *r) {
    free(r->words);
    free(r->other);
    free(r->tokens);
    free(r->tags);
    free(r->entities);
    free(r->names);
    free(r->entity_of);
    free(r->labelled);
    free(r->blocks);
    free(r->out_tokens);
    free(r->out_words);
    free(r->out_labels);
    free(r->out_segments);
    free(r->label_of);
}

void augment_row_free(struct augment_row *r) {
    if (r) row_deinit(r);
    free(r);
}

static berth_status init_source(struct augmenter *a, size_t index) {
    struct augment_source *s = &a->sources[index];
    const struct data_source *source = &a->data->sources[index];
    berth_status status = BERTH_OK;
    s->on = source->augment.on && source->view.has[BERTH_TRAIN];
    if (!s->on) return BERTH_OK;
    BERTH_TRY(berth_calloc(&s->taggings, a->data->task_count, sizeof *s->taggings));
    for (size_t t = 0; t < a->data->task_count; t++) {
        if (a->data->tasks[t].task.kind != BERTH_TASK_TAGGING || !data_task_of(a->data, t, index)) continue;
        BERTH_TRY(augment_tagging_init(&s->taggings[s->tagging_count++], a->data, t));
    }
    const struct row_draw draw = {.source = index, .split = BERTH_TRAIN};
    struct augment_row r = {
        .augmenter = a, .source = s, .set = &source->view.split[BERTH_TRAIN], .draw = &draw};
    for (size_t i = 0; i < AUGMENT_OPS; i++)
        for (size_t k = 0; status == BERTH_OK && k < s->tagging_count; k++)
            if (OPS[i]->prepare && source->augment.probability[i] > 0)
                status = OPS[i]->prepare(&r, &s->taggings[k], k);
    row_deinit(&r);
    return status;
}

berth_status augmenter_create(struct augmenter **out, const struct berth_data *d, uint64_t seed) {
    berth_status status = BERTH_OK;
    struct augmenter *a = NULL;
    bool any = false;
    *out = NULL;
    for (size_t i = 0; i < d->source_count; i++)
        any = any || (d->sources[i].augment.on && d->sources[i].view.has[BERTH_TRAIN]);
    if (!any) return BERTH_OK;
    BERTH_TRY(berth_calloc(&a, 1, sizeof *a));
    a->data = d;
    a->seed = seed;
    BERTH_TRY_OUT(berth_calloc(&a->sources, d->source_count, sizeof *a->sources));
    for (size_t i = 0; i < d->source_count; i++)
        BERTH_TRY_OUT(init_source(a, i));
    *out = a;
    a = NULL;
out:
    augmenter_free(a);
    return status;
}

void augmenter_free(struct augmenter *a) {
    if (!a) return;
    for (size_t i = 0; a->sources && i < a->data->source_count; i++) {
        for (size_t k = 0; k < a->sources[i].tagging_count; k++)
            augment_tagging_deinit(&a->sources[i].taggings[k]);
        free(a->sources[i].taggings);
    }
    free(a->sources);
    free(a);
}

/* ---- one row */

double augment_unit(const struct augment_row *r, const struct augment_op *op, uint64_t position) {
    return berth_random_unit(r->key, BERTH_PURPOSE_AUGMENT, op->stream, position);
}

uint64_t augment_below(const struct augment_row *r, const struct augment_op *op, uint64_t position,
                       uint64_t bound) {
    return berth_random_below(r->key, BERTH_PURPOSE_AUGMENT, op->stream, position, bound);
}

berth_status augment_keep_donor(const struct augment_row *r, struct augment_donors *d,
                                const struct augment_donor *donor, size_t most, uint64_t key) {
    uint64_t at = d->seen++;
    if (at < most) {
        BERTH_TRY(berth_grow(&d->list, &d->capacity, d->kept + 1, sizeof *d->list));
        d->list[d->kept++] = *donor;
        return BERTH_OK;
    }
    uint32_t stream = r->augmenter->data->sources[r->draw->source].stream;
    at = berth_random_below(r->augmenter->seed ^ key, BERTH_PURPOSE_AUGMENT, stream, 1ull << 63 | at, at + 1);
    if (at < most) d->list[at] = *donor;
    return BERTH_OK;
}

void augment_take_other(struct augment_row *r, size_t count) {
    struct augment_word *words = r->words;
    size_t capacity = r->word_capacity;
    r->words = r->other;
    r->word_capacity = r->other_capacity;
    r->word_count = count;
    r->other = words;
    r->other_capacity = capacity;
}

static uint64_t row_key(const struct augmenter *a, const struct row_draw *draw) {
    uint32_t stream = a->data->sources[draw->source].stream + draw->epoch * 0x9E3779B9u;
    uint64_t position = (uint64_t)draw->occurrence << 40 | (uint64_t)draw->row;
    return (uint64_t)berth_random_u32(a->seed, BERTH_PURPOSE_AUGMENT, stream, position) << 32 |
           berth_random_u32(a->seed, BERTH_PURPOSE_AUGMENT, ~stream, position);
}

double augment_share(const struct augment_options *o, bool repeats_altered, bool again) {
    if (!o->on) return 0;
    if (repeats_altered && again) return 1;
    return o->share_given ? o->share : repeats_altered ? 0 : 1;
}

static bool is_wanted(const struct augment_options *o, const struct row_draw *draw, uint64_t key) {
    double share = augment_share(o, draw->repeats_altered, draw->occurrence > 0);
    return berth_random_unit(key, BERTH_PURPOSE_AUGMENT, STREAM_SHARE, 0) < share;
}

/* Whether the row as it would be fed has a labelled word for the task. */
static bool keeps_label(const struct augment_row *r, size_t task) {
    for (int64_t w = 0; w < r->fed.word_count; w++)
        if (r->fed.labels[task][w] >= 0) return true;
    return false;
}

berth_status augment_row_make(const struct fed_row **out, struct augment_row **work,
                              const struct row_draw *draw) {
    const struct augmenter *a = draw->augmenter;
    *out = NULL;
    if (!a || !a->sources[draw->source].on) return BERTH_OK;
    const struct augment_source *source = &a->sources[draw->source];
    const struct augment_options *options = &a->data->sources[draw->source].augment;
    uint64_t key = row_key(a, draw);
    if (!is_wanted(options, draw, key)) return BERTH_OK;
    if (!*work) BERTH_TRY(berth_calloc(work, 1, sizeof **work));
    struct augment_row *r = *work;
    r->augmenter = a;
    r->source = source;
    r->set = &a->data->sources[draw->source].view.split[draw->split];
    r->draw = draw;
    r->key = key;
    BERTH_TRY(augment_load(r));
    for (size_t i = 0; i < AUGMENT_OPS; i++)
        if (options->probability[i] > 0) BERTH_TRY(OPS[i]->apply(r, OPS[i], options->probability[i]));
    bool good = true;
    augment_mend_tags(r, &good);
    if (!good) return BERTH_OK; /* no tags for what it would be: it stays as it is */
    BERTH_TRY(augment_store(r));
    for (size_t k = 0; k < source->tagging_count; k++) /* cut to max_length, too */
        if (r->labelled[k] > 0 && !keeps_label(r, source->taggings[k].task)) return BERTH_OK;
    *out = &r->fed;
    return BERTH_OK;
}
