/* param_spec.c: names, shapes, places and first values of every parameter, from a configuration and its heads.
 *
 * The flat buffer, in the order of the forward pass (offsets in elements):
 *
 *     | word | position | segment | norm |  layer 0  |  layer 1  | ... | pooler | head 0 | head 1 | ... |
 *
 *     a layer:  | Wq Wk Wv | bq bk bv | Wo | bo | norm gain | norm bias | W1 | b1 | W2 | b2 | gain | bias |
 *
 * Each begins at a multiple of 16 elements (64 bytes, a cache line), but key and value begin exactly where
 * query and key end: the three are read as one matrix [3H, H] and one bias [3H], whatever H is. */
#include <stdlib.h>
#include <string.h>

#include "model/model_priv.h"

enum { OFFSET_ALIGNMENT = 16 };

struct spec_builder {
    struct berth_model *m;
    struct berth_str name;
    int capacity;
    int owner, stage;
};

void param_spec_clear(struct berth_model *m) {
    for (int i = 0; i < m->parameter_count; i++)
        free(m->parameters[i].name);
    free(m->parameters);
    m->parameters = NULL;
    m->parameter_count = 0;
    m->total = 0;
}

enum spec_kind { SPEC_MATRIX, SPEC_BIAS, SPEC_NORM_GAIN, SPEC_NORM_BIAS };

/* columns 0: a vector. adjacent: no gap to the parameter before. */
static berth_status add(struct spec_builder *b, enum spec_kind kind, int64_t rows, int64_t columns,
                        bool adjacent) {
    struct berth_model *m = b->m;
    if (m->parameter_count == b->capacity) {
        int capacity = b->capacity == 0 ? 64 : 2 * b->capacity;
        BERTH_TRY(berth_realloc(&m->parameters, (size_t)capacity, sizeof *m->parameters));
        b->capacity = capacity;
    }
    char *name = NULL;
    BERTH_TRY(berth_str_take(&b->name, &name));
    int64_t count = rows * (columns > 0 ? columns : 1);
    int64_t offset = m->total;
    if (!adjacent) offset = (offset + OFFSET_ALIGNMENT - 1) / OFFSET_ALIGNMENT * OFFSET_ALIGNMENT;
    static const enum berth_init INITS[] = {BERTH_INIT_NORMAL, BERTH_INIT_ZERO, BERTH_INIT_ONE,
                                            BERTH_INIT_ZERO};
    m->parameters[m->parameter_count++] = (struct berth_parameter){
        .name = name,
        .rank = columns > 0 ? 2 : 1,
        .shape = {rows, columns > 0 ? columns : 1},
        .count = count,
        .offset = offset,
        .owner = b->owner,
        .stage = b->stage,
        .decays = kind == SPEC_MATRIX,
        .is_bias = kind == SPEC_BIAS || kind == SPEC_NORM_BIAS,
        .is_norm = kind == SPEC_NORM_GAIN || kind == SPEC_NORM_BIAS,
        .init = INITS[kind],
    };
    m->total = offset + count;
    return BERTH_OK;
}

static berth_status add_norm(struct spec_builder *b, const char *prefix) {
    berth_str_addf(&b->name, "%sLayerNorm.weight", prefix);
    BERTH_TRY(add(b, SPEC_NORM_GAIN, b->m->config.hidden, 0, false));
    berth_str_addf(&b->name, "%sLayerNorm.bias", prefix);
    return add(b, SPEC_NORM_BIAS, b->m->config.hidden, 0, false);
}

static berth_status add_dense(struct spec_builder *b, const char *prefix, int64_t rows, int64_t columns) {
    berth_str_addf(&b->name, "%sweight", prefix);
    BERTH_TRY(add(b, SPEC_MATRIX, rows, columns, false));
    berth_str_addf(&b->name, "%sbias", prefix);
    return add(b, SPEC_BIAS, rows, 0, false);
}

static berth_status add_embeddings(struct spec_builder *b) {
    const struct berth_model_config *c = &b->m->config;
    berth_str_add(&b->name, "embeddings.word_embeddings.weight");
    BERTH_TRY(add(b, SPEC_MATRIX, c->vocab_size, c->hidden, false));
    berth_str_add(&b->name, "embeddings.position_embeddings.weight");
    BERTH_TRY(add(b, SPEC_MATRIX, c->positions, c->hidden, false));
    if (c->segments > 0) {
        berth_str_add(&b->name, "embeddings.token_type_embeddings.weight");
        BERTH_TRY(add(b, SPEC_MATRIX, c->segments, c->hidden, false));
    }
    return add_norm(b, "embeddings.");
}

static berth_status add_layer(struct spec_builder *b, int64_t layer) {
    static const char *const PARTS[] = {"query", "key", "value"};
    const int64_t hidden = b->m->config.hidden, intermediate = b->m->config.intermediate;
    for (int part = 0; part < 3; part++) {
        berth_str_addf(&b->name, "encoder.layer.%lld.attention.self.%s.weight", (long long)layer, PARTS[part]);
        BERTH_TRY(add(b, SPEC_MATRIX, hidden, hidden, part > 0));
    }
    for (int part = 0; part < 3; part++) {
        berth_str_addf(&b->name, "encoder.layer.%lld.attention.self.%s.bias", (long long)layer, PARTS[part]);
        BERTH_TRY(add(b, SPEC_BIAS, hidden, 0, part > 0));
    }
    char prefix[64];
    snprintf(prefix, sizeof prefix, "encoder.layer.%lld.attention.output.dense.", (long long)layer);
    BERTH_TRY(add_dense(b, prefix, hidden, hidden));
    snprintf(prefix, sizeof prefix, "encoder.layer.%lld.attention.output.", (long long)layer);
    BERTH_TRY(add_norm(b, prefix));
    snprintf(prefix, sizeof prefix, "encoder.layer.%lld.intermediate.dense.", (long long)layer);
    BERTH_TRY(add_dense(b, prefix, intermediate, hidden));
    snprintf(prefix, sizeof prefix, "encoder.layer.%lld.output.dense.", (long long)layer);
    BERTH_TRY(add_dense(b, prefix, hidden, intermediate));
    snprintf(prefix, sizeof prefix, "encoder.layer.%lld.output.", (long long)layer);
    return add_norm(b, prefix);
}

berth_status spec_head_parameter(struct spec_builder *b, const struct berth_head *head, const char *suffix,
                                 int64_t rows, int64_t columns, enum berth_init init, int *index) {
    *index = b->m->parameter_count;
    berth_str_addf(&b->name, "heads.%s.%s", head->task.name, suffix);
    BERTH_TRY(add(b, columns > 0 ? SPEC_MATRIX : SPEC_BIAS, rows, columns, false));
    b->m->parameters[*index].init = init;
    return BERTH_OK;
}

/* Heads with parameters of their own, then those that share: these take the numbers over. */
static berth_status add_heads(struct spec_builder *b) {
    struct berth_model *m = b->m;
    for (int i = 0; i < m->head_count; i++) {
        struct berth_head *h = &m->heads[i];
        h->weight = h->bias = h->first_mix = h->first_hidden = h->first_extra = -1;
        if (h->shares != NULL) continue;
        b->owner = i + 1;
        BERTH_TRY(head_kind_of(h)->parameters(b, m, h));
    }
    for (int i = 0; i < m->head_count; i++) {
        struct berth_head *h = &m->heads[i];
        if (h->shares == NULL) continue;
        const int owner = berth_head_owner(m, i);
        if (owner == i) continue; /* not there yet: berth_model_allocate looks again */
        const struct berth_head *from = &m->heads[owner];
        h->weight = from->weight;
        h->bias = from->bias;
        h->first_mix = from->first_mix;
        h->first_hidden = from->first_hidden;
        h->first_extra = from->first_extra;
    }
    return BERTH_OK;
}

berth_status param_spec_build(struct berth_model *m) {
    berth_status status = BERTH_OK;
    struct spec_builder b = {.m = m};
    berth_str_init(&b.name);
    param_spec_clear(m);
    BERTH_TRY_OUT(add_embeddings(&b));
    for (int64_t layer = 0; layer < m->config.layers; layer++) {
        b.stage = (int)layer + 1;
        BERTH_TRY_OUT(add_layer(&b, layer));
    }
    if (m->config.pooler) {
        b.stage = model_stage_pooler(m);
        BERTH_TRY_OUT(add_dense(&b, "pooler.dense.", m->config.hidden, m->config.hidden));
    }
    b.stage = model_stage_heads(m);
    BERTH_TRY_OUT(add_heads(&b));
    m->total = (m->total + OFFSET_ALIGNMENT - 1) / OFFSET_ALIGNMENT * OFFSET_ALIGNMENT;
out:
    berth_str_deinit(&b.name);
    if (status != BERTH_OK) param_spec_clear(m);
    return status;
}

int berth_model_find(const struct berth_model *m, const char *name) {
    for (int i = 0; i < m->parameter_count; i++) {
        if (strcmp(m->parameters[i].name, name) == 0) return i;
    }
    return -1;
}
