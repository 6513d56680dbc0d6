/* param_store.c: which parameters are trained, where their gradients and optimizer state lie, and what is
 * stepped together.
 *
 *   values   | word emb | ... | query | key | value | ... | head 0 | head 1 |      the model's flat buffer
 *   trained         no            yes    yes    no             yes      yes
 *   grads                     | query | key | (room)| ... | head 0 | head 1 |      packed, same order
 *   segments                  [------------]         [---] [------] [------]       same owner, decay, rate,
 * steps
 *
 * Parameters that are neighbours in values and both have room keep their distance in grads, so what is one
 * matrix there
 * ([3H, H] of query, key, value) is one here. Segments never cover padding: every element stepped is a
 * parameter's. */
#include <stdlib.h>
#include <string.h>

#include "train/train_priv.h"

enum { ALIGNMENT = 16 }; /* elements: 64 bytes */

/* "encoder.layer.3.attention.self.query.weight": the part behind query, key or value; NULL for other names. */
static const char *projection_suffix(const char *name) {
    static const char *const kinds[] = {"query.", "key.", "value."};
    const char *at = strstr(name, ".attention.self.");
    if (at == NULL) return NULL;
    at += strlen(".attention.self.");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t n = strlen(kinds[i]);
        if (strncmp(at, kinds[i], n) == 0) return at + n;
    }
    return NULL;
}

/* Whether parameters i and j are two of one layer's query, key and value (both weights or both biases). */
static bool one_product(const struct berth_model *m, int i, int j) {
    if (j < 0 || j >= m->parameter_count || m->parameters[i].stage != m->parameters[j].stage) return false;
    const char *a = projection_suffix(m->parameters[i].name), *b = projection_suffix(m->parameters[j].name);
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static bool needs_room(const struct berth_store *s, int i) {
    if (s->trainable[i]) return true;
    for (int j = i - 2; j <= i + 2; j++) {
        if (one_product(s->model, i, j) && s->trainable[j]) return true;
    }
    return false;
}

/* Offsets in grads, -1 where a parameter has no room; sets grad_total. */
static void lay_out(struct berth_store *s, int64_t *offsets) {
    const struct berth_model *m = s->model;
    int64_t end = 0;
    for (int i = 0; i < m->parameter_count; i++) {
        const struct berth_parameter *p = &m->parameters[i];
        offsets[i] = -1;
        if (!needs_room(s, i)) continue;
        if (i > 0 && offsets[i - 1] >= 0)
            offsets[i] = offsets[i - 1] + (p->offset - p[-1].offset);
        else
            offsets[i] = (end + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        end = offsets[i] + p->count;
    }
    s->grad_total = (end + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

void berth_store_cut(struct berth_store *s, const struct berth_rule *rules) {
    const struct berth_model *m = s->model;
    s->segment_count = 0;
    for (int i = 0; i < m->parameter_count; i++) {
        const struct berth_parameter *p = &m->parameters[i];
        if (!s->trainable[i]) continue;
        struct berth_segment *last = s->segment_count > 0 ? &s->segments[s->segment_count - 1] : NULL;
        bool joins = last != NULL && last->first + last->parameter_count == i && last->owner == p->owner &&
                     last->lr == rules[i].lr && last->weight_decay == rules[i].weight_decay &&
                     s->steps[last->first] == s->steps[i] && last->value_offset + last->count == p->offset &&
                     s->gradients[last->first] + last->count == s->gradients[i];
        if (joins) {
            last->count += p->count;
            last->parameter_count++;
            continue;
        }
        s->segments[s->segment_count++] = (struct berth_segment){
            .value_offset = p->offset,
            .grad_offset = s->gradients[i] - s->grads,
            .count = p->count,
            .owner = p->owner,
            .first = i,
            .parameter_count = 1,
            .lr = rules[i].lr,
            .weight_decay = rules[i].weight_decay,
        };
    }
}

static size_t grad_bytes(const struct berth_store *s) {
    return (size_t)s->grad_total * sizeof(float);
}

static size_t square_bytes(const struct berth_store *s) {
    return (size_t)(s->model->parameter_count + 1) * sizeof(double); /* any number of segments, and the norm */
}

static berth_status allocate(struct berth_store *s) {
    struct berth_device *dev = s->model->device;
    BERTH_TRY(berth_device_alloc(dev, &s->grad_scale, sizeof *s->grad_scale));
    BERTH_TRY(berth_device_alloc(dev, &s->squares, square_bytes(s)));
    if (s->grad_total == 0) return BERTH_OK;
    float **buffers[] = {&s->grads, &s->state[0], &s->state[1]};
    for (int i = 0; i < 1 + berth_optimizer_states(s->optimizer.kind); i++) {
        BERTH_TRY(berth_device_alloc(dev, buffers[i], grad_bytes(s)));
        BERTH_TRY(berth_device_zero(dev, *buffers[i], grad_bytes(s)));
    }
    return BERTH_OK;
}

/* old: whose state and counts go on where a parameter is trained in both; NULL: none. */
static berth_status make(struct berth_store **out, struct berth_model *model, const struct berth_rule *rules,
                         const struct berth_optimizer *optimizer, const struct berth_store *old) {
    berth_status status = BERTH_OK;
    struct berth_store *s = NULL;
    int64_t *offsets = NULL;
    size_t count = (size_t)model->parameter_count;
    *out = NULL;
    BERTH_TRY_OUT(berth_calloc(&s, 1, sizeof *s));
    s->model = model;
    s->optimizer = *optimizer;
    BERTH_TRY_OUT(berth_calloc(&s->trainable, count, sizeof *s->trainable));
    BERTH_TRY_OUT(berth_calloc(&s->gradients, count, sizeof *s->gradients));
    BERTH_TRY_OUT(berth_calloc(&s->segments, count, sizeof *s->segments));
    BERTH_TRY_OUT(berth_calloc(&s->steps, count, sizeof *s->steps));
    BERTH_TRY_OUT(berth_calloc(&offsets, count, sizeof *offsets));
    for (size_t i = 0; i < count; i++) {
        s->trainable[i] = !rules[i].frozen;
        if (old != NULL && old->trainable[i] && s->trainable[i]) s->steps[i] = old->steps[i];
    }
    lay_out(s, offsets);
    BERTH_TRY_OUT(allocate(s));
    for (size_t i = 0; i < count; i++)
        s->gradients[i] = offsets[i] < 0 ? NULL : s->grads + offsets[i];
    berth_store_cut(s, rules);
    *out = s;
    s = NULL;
out:
    free(offsets);
    berth_store_free(s);
    return status;
}

berth_status berth_store_create(struct berth_store **out, struct berth_model *model,
                                const struct berth_rule *rules, const struct berth_optimizer *optimizer) {
    berth_status status = BERTH_OK;
    struct berth_store *s = NULL;
    size_t bytes = (size_t)model->total * sizeof(float);
    *out = NULL;
    BERTH_TRY(make(&s, model, rules, optimizer, NULL));
    if (optimizer->ema > 0) {
        BERTH_TRY_OUT(berth_device_alloc(model->device, &s->average, bytes));
        BERTH_TRY_OUT(berth_device_copy(model->device, s->average, model->values, bytes));
    }
    *out = s;
    s = NULL;
out:
    berth_store_free(s);
    return status;
}

static berth_status copy_state(struct berth_store *to, const struct berth_store *from) {
    struct berth_device *dev = to->model->device;
    for (int k = 0; k < berth_optimizer_states(to->optimizer.kind); k++) {
        for (int i = 0; i < to->model->parameter_count; i++) {
            size_t bytes = (size_t)to->model->parameters[i].count * sizeof(float);
            if (!to->trainable[i] || !from->trainable[i]) continue;
            BERTH_TRY(berth_device_copy(dev, to->state[k] + (to->gradients[i] - to->grads),
                                        from->state[k] + (from->gradients[i] - from->grads), bytes));
        }
    }
    return BERTH_OK;
}

berth_status berth_store_change(struct berth_store **store, const struct berth_rule *rules) {
    struct berth_store *s = NULL;
    BERTH_TRY(make(&s, (*store)->model, rules, &(*store)->optimizer, *store));
    berth_status status = copy_state(s, *store);
    if (status == BERTH_OK) {
        s->average = (*store)->average;
        (*store)->average = NULL;
        struct berth_store *old = *store;
        *store = s;
        s = old;
    }
    berth_store_free(s);
    return status;
}

void berth_store_exchange(struct berth_store *s) {
    if (s->average == NULL) return;
    float *values = s->model->values;
    s->model->values = s->average;
    s->average = values;
}

void berth_store_free(struct berth_store *s) {
    if (s == NULL) return;
    struct berth_device *dev = s->model->device;
    berth_device_free(dev, s->grads, grad_bytes(s));
    berth_device_free(dev, s->state[0], grad_bytes(s));
    berth_device_free(dev, s->state[1], grad_bytes(s));
    berth_device_free(dev, s->average, (size_t)s->model->total * sizeof(float));
    berth_device_free(dev, s->squares, square_bytes(s));
    berth_device_free(dev, s->grad_scale, sizeof *s->grad_scale);
    free(s->trainable);
    free(s->gradients);
    free(s->segments);
    free(s->steps);
    free(s);
}
