/* head_body.c: what heads of all kinds share, between the hidden states and their outputs.
 *
 *     h   = the last layer's states, a named layer's, or g Σ_l softmax(w)_l h_l
 *     x   = rows of h: pooled sequences, or the items' rows
 *     x   = act(dropout(x) W_iᵀ + b_i)            hidden_layers times
 *     out = dropout(x) weightᵀ + bias
 *
 * Parameters of a head, in their flat order: mix.weight [L+1], mix.gamma [1]; hidden.I.weight, hidden.I.bias;
 * weight, bias; what a kind adds. Dropout before layer i of head n has the site 0x800 + 0x200 i + n. */
#include <string.h>

#include "model/model_priv.h"

enum { SITE_HEADS = 0x800, SITE_DEPTH = 0x200 };

int64_t head_features_width(const struct berth_model *m, const struct berth_head *head) {
    return head->hidden_layers > 0 && head->hidden_size > 0 ? head->hidden_size : m->config.hidden;
}

berth_status head_parameters_body(struct spec_builder *b, const struct berth_model *m,
                                  struct berth_head *head) {
    int unused = 0;
    if (head->reads == BERTH_READS_MIX) {
        BERTH_TRY(spec_head_parameter(b, head, "mix.weight", m->config.layers + 1, 0, BERTH_INIT_ZERO,
                                      &head->first_mix));
        BERTH_TRY(spec_head_parameter(b, head, "mix.gamma", 1, 0, BERTH_INIT_ONE, &unused));
    }
    int64_t columns = m->config.hidden;
    for (int i = 0; i < head->hidden_layers; i++) {
        char suffix[32];
        int index = 0;
        const int64_t rows = head_features_width(m, head);
        snprintf(suffix, sizeof suffix, "hidden.%d.weight", i);
        BERTH_TRY(spec_head_parameter(b, head, suffix, rows, columns, BERTH_INIT_NORMAL, &index));
        if (i == 0) head->first_hidden = index;
        snprintf(suffix, sizeof suffix, "hidden.%d.bias", i);
        BERTH_TRY(spec_head_parameter(b, head, suffix, rows, 0, BERTH_INIT_ZERO, &unused));
        columns = rows;
    }
    return BERTH_OK;
}

berth_status head_parameters_linear(struct spec_builder *b, const struct berth_model *m,
                                    struct berth_head *head, int64_t outputs) {
    BERTH_TRY(head_parameters_body(b, m, head));
    BERTH_TRY(spec_head_parameter(b, head, "weight", outputs, head_features_width(m, head), BERTH_INIT_NORMAL,
                                  &head->weight));
    return spec_head_parameter(b, head, "bias", outputs, 0, BERTH_INIT_ZERO, &head->bias);
}

/* ---- the hidden states */

berth_status head_source(struct forward_run *run, int head, struct berth_tensor **hidden) {
    const struct berth_head *h = &run->m->heads[head];
    if (h->reads == BERTH_READS_LAST) return BERTH_OK;
    if (h->reads == BERTH_READS_LAYER) {
        *hidden = run->m->layers[h->layer];
        return BERTH_OK;
    }
    struct berth_tensor *weight = NULL, *gamma = NULL, *sum = NULL;
    BERTH_TRY(forward_parameter(run, h->first_mix, &weight));
    BERTH_TRY(forward_parameter(run, h->first_mix + 1, &gamma));
    for (int64_t layer = 0; layer <= run->m->config.layers; layer++) {
        struct berth_tensor *next = NULL;
        BERTH_TRY(berth_op_mix(run->tape, &next, sum, run->m->layers[layer], weight, gamma, layer));
        berth_tape_drop(run->tape, sum);
        sum = next;
    }
    *hidden = sum;
    return BERTH_OK;
}

void head_release(struct forward_run *run, int head, struct berth_tensor *hidden) {
    if (run->m->heads[head].reads == BERTH_READS_MIX) berth_tape_drop(run->tape, hidden);
}

/* ---- rows */

static bool same_source(const struct berth_head *a, const struct berth_head *b) {
    return a->reads == b->reads && (a->reads != BERTH_READS_LAYER || a->layer == b->layer) &&
           a->reads != BERTH_READS_MIX;
}

/* What an earlier head of this pass pooled from the same sequences, or NULL. */
static struct berth_tensor *pooled_before(const struct forward_run *run, int head) {
    const struct berth_items *mine = &run->batch->items[head];
    if (run->m->split != NULL) return NULL; /* each task has its own way down */
    for (int i = 0; i < head; i++) {
        const struct berth_items *other = &run->batch->items[i];
        if (run->m->pooled[i] == NULL || run->m->heads[i].pooling != run->m->heads[head].pooling ||
            !same_source(&run->m->heads[i], &run->m->heads[head]))
            continue;
        if (other->count == mine->count &&
            memcmp(other->index, mine->index, (size_t)mine->count * sizeof *mine->index) == 0)
            return run->m->pooled[i];
    }
    return NULL;
}

berth_status head_forward_pooled(struct forward_run *run, int head, struct berth_tensor *hidden,
                                 struct berth_tensor **outputs) {
    const struct berth_items *items = &run->batch->items[head];
    struct berth_tensor **pooled = &run->m->pooled[head];
    for (int64_t i = 0; i < items->count; i++)
        BERTH_ASSERT_MSG(items->index[i] >= 0 && items->index[i] < run->batch->sequence_count,
                         "item %lld is sequence %d of %lld", (long long)i, items->index[i],
                         (long long)run->batch->sequence_count);
    *pooled = pooled_before(run, head);
    if (*pooled == NULL)
        BERTH_TRY(
            pooling_forward(run, run->m->heads[head].pooling, hidden, items->index, items->count, pooled));
    return head_output(run, head, *pooled, outputs);
}

berth_status head_gather_items(struct forward_run *run, int head, struct berth_tensor *hidden,
                               struct berth_tensor **out) {
    const struct berth_items *items = &run->batch->items[head];
    const int32_t *rows = NULL;
    for (int64_t i = 0; i < items->count; i++)
        BERTH_ASSERT_MSG(items->index[i] >= 0 && items->index[i] < run->batch->tokens_count,
                         "item %lld is row %d of %lld", (long long)i, items->index[i],
                         (long long)run->batch->tokens_count);
    BERTH_TRY(forward_put(run, &rows, items->index, items->count));
    return berth_op_gather_rows(run->tape, out, hidden, rows, items->count);
}

/* ---- dropout and linear layers */

/* Ordinals and positions of a head's rows in step memory. A sequence has one row: its position is 0. */
static berth_status put_dropout_rows(struct forward_run *run, int head, const struct head_rows *rows,
                                     struct berth_tape_dropout *dropout) {
    const struct berth_batch *b = run->batch;
    const struct berth_items *items = &b->items[head];
    const bool sequences = rows != NULL || head_kind_of(&run->m->heads[head])->pools;
    const int32_t *index = rows != NULL ? rows->sequences : items->index;
    const int64_t count = rows != NULL ? rows->count : items->count;
    int32_t *host = NULL;
    BERTH_TRY(forward_scratch(run, 2 * count, &host));
    for (int64_t i = 0; i < count; i++) {
        host[i] = sequences ? b->ordinal[index[i]] : b->row_ordinal[index[i]];
        host[count + i] = sequences ? 0 : b->positions[index[i]];
    }
    BERTH_TRY(forward_put(run, &dropout->ordinal, host, count));
    return forward_put(run, &dropout->position, host + count, count);
}

/* Dropout before layer number `depth` of the head; *out is x where there is none. */
static berth_status drop_rows(struct forward_run *run, int head, int depth, struct berth_tensor *x,
                              const struct head_rows *rows, struct berth_tensor **out) {
    const struct berth_head *h = &run->m->heads[head];
    const float rate = h->dropout < 0.0f ? run->m->config.hidden_dropout : h->dropout;
    *out = x;
    if (!forward_drops(run, model_stage_heads(run->m), rate)) return BERTH_OK;
    struct berth_tape_dropout dropout = {
        .rate = rate, .site = (uint32_t)(SITE_HEADS + SITE_DEPTH * depth + head), .key = run->key};
    BERTH_TRY(put_dropout_rows(run, head, rows, &dropout));
    return berth_op_dropout(run->tape, out, x, &dropout);
}

berth_status head_features(struct forward_run *run, int head, struct berth_tensor *features,
                           const struct head_rows *rows, struct berth_tensor **out) {
    const struct berth_head *h = &run->m->heads[head];
    struct berth_tensor *x = features;
    for (int i = 0; i < h->hidden_layers; i++) {
        struct berth_tensor *dry = NULL, *weight = NULL, *bias = NULL, *product = NULL, *active = NULL;
        BERTH_TRY(drop_rows(run, head, i, x, rows, &dry));
        BERTH_TRY(forward_parameter(run, h->first_hidden + 2 * i, &weight));
        BERTH_TRY(forward_parameter(run, h->first_hidden + 2 * i + 1, &bias));
        BERTH_TRY(berth_op_linear(run->tape, &product, dry, weight, NULL));
        if (dry != x) berth_tape_drop(run->tape, dry);
        BERTH_TRY(berth_op_bias_act(run->tape, &active, product, bias, h->activation));
        berth_tape_drop(run->tape, product);
        if (x != features) berth_tape_drop(run->tape, x);
        x = active;
    }
    *out = x;
    return BERTH_OK;
}

berth_status head_output(struct forward_run *run, int head, struct berth_tensor *features,
                         struct berth_tensor **outputs) {
    const struct berth_head *h = &run->m->heads[head];
    struct berth_tensor *x = NULL, *dry = NULL, *weight = NULL, *bias = NULL;
    BERTH_TRY(head_features(run, head, features, NULL, &x));
    BERTH_TRY(drop_rows(run, head, h->hidden_layers, x, NULL, &dry));
    BERTH_TRY(forward_parameter(run, h->weight, &weight));
    BERTH_TRY(forward_parameter(run, h->bias, &bias));
    BERTH_TRY(berth_op_linear(run->tape, outputs, dry, weight, bias));
    if (dry != x) berth_tape_drop(run->tape, dry);
    if (x != features) berth_tape_drop(run->tape, x);
    return BERTH_OK;
}
