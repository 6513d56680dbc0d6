/* param_store.c: which parameters are trained, where their gradients and moments lie, and what is stepped
 * together.
 *
 *   values   | word emb | ... | query | key | value | ... | head 0 | head 1 |      the model's flat buffer
 *   trained         no            yes    yes    no             yes      yes
 *   grads                     | query | key | (room)| ... | head 0 | head 1 |      packed, same order
 *   segments                  [------------]         [---] [------] [------]       same owner, decay and rate
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

static void cut_segments(struct berth_store *s, const int64_t *offsets, double head_lr_scale) {
    const struct berth_model *m = s->model;
    s->segment_count = 0;
    for (int i = 0; i < m->parameter_count; i++) {
        const struct berth_parameter *p = &m->parameters[i];
        if (!s->trainable[i]) continue;
        struct berth_segment *last = s->segment_count > 0 ? &s->segments[s->segment_count - 1] : NULL;
        bool joins = last != NULL && last->owner == p->owner && last->decays == p->decays &&
                     last->value_offset + last->count == p->offset &&
                     last->grad_offset + last->count == offsets[i];
        if (joins) {
            last->count += p->count;
            continue;
        }
        s->segments[s->segment_count++] = (struct berth_segment){
            .value_offset = p->offset,
            .grad_offset = offsets[i],
            .count = p->count,
            .owner = p->owner,
            .decays = p->decays,
            .lr_scale = p->owner > 0 ? (float)head_lr_scale : 1.0f,
        };
    }
}

static size_t grad_bytes(const struct berth_store *s) {
    return (size_t)s->grad_total * sizeof(float);
}

static size_t square_bytes(const struct berth_store *s) {
    return (size_t)s->segment_count * sizeof(double);
}

static berth_status allocate(struct berth_store *s) {
    struct berth_device *dev = s->model->device;
    BERTH_TRY(berth_device_alloc(dev, &s->grad_scale, sizeof *s->grad_scale));
    if (s->grad_total == 0) return BERTH_OK;
    float **buffers[] = {&s->grads, &s->m, &s->v};
    for (int i = 0; i < 3; i++) {
        BERTH_TRY(berth_device_alloc(dev, buffers[i], grad_bytes(s)));
        BERTH_TRY(berth_device_zero(dev, *buffers[i], grad_bytes(s)));
    }
    return berth_device_alloc(dev, &s->squares, square_bytes(s));
}

berth_status berth_store_create(struct berth_store **out, struct berth_model *model, const bool *frozen,
                                double head_lr_scale) {
    berth_status status = BERTH_OK;
    struct berth_store *s = NULL;
    int64_t *offsets = NULL;
    size_t count = (size_t)model->parameter_count;
    *out = NULL;
    BERTH_TRY_OUT(berth_calloc(&s, 1, sizeof *s));
    s->model = model;
    BERTH_TRY_OUT(berth_calloc(&s->trainable, count, sizeof *s->trainable));
    BERTH_TRY_OUT(berth_calloc(&s->gradients, count, sizeof *s->gradients));
    BERTH_TRY_OUT(berth_calloc(&s->segments, count, sizeof *s->segments));
    BERTH_TRY_OUT(berth_calloc(&s->owner_steps, (size_t)model->head_count + 1, sizeof *s->owner_steps));
    BERTH_TRY_OUT(berth_calloc(&offsets, count, sizeof *offsets));
    for (size_t i = 0; i < count; i++)
        s->trainable[i] = !frozen[i];
    lay_out(s, offsets);
    cut_segments(s, offsets, head_lr_scale);
    BERTH_TRY_OUT(berth_calloc(&s->host_squares, (size_t)s->segment_count, sizeof *s->host_squares));
    BERTH_TRY_OUT(allocate(s));
    for (size_t i = 0; i < count; i++)
        s->gradients[i] = offsets[i] < 0 ? NULL : s->grads + offsets[i];
    *out = s;
    s = NULL;
out:
    free(offsets);
    berth_store_free(s);
    return status;
}

void berth_store_free(struct berth_store *s) {
    if (s == NULL) return;
    struct berth_device *dev = s->model->device;
    berth_device_free(dev, s->grads, grad_bytes(s));
    berth_device_free(dev, s->m, grad_bytes(s));
    berth_device_free(dev, s->v, grad_bytes(s));
    berth_device_free(dev, s->squares, square_bytes(s));
    berth_device_free(dev, s->grad_scale, sizeof *s->grad_scale);
    free(s->trainable);
    free(s->gradients);
    free(s->segments);
    free(s->owner_steps);
    free(s->host_squares);
    free(s);
}
