/* gradient_products.c: what is done with the gradients of each task: their products, and sums of them.
 *
 *     by parameters        gram[a, b] = Σ over the shared parameters of g_a g_b, once the step's batches were
 * walked by representation    gram[a, b] += Σ over the rows of sequences that a and b both have, after each
 * batch */
#include <string.h>

#include "model/task_gradients_priv.h"

/* Products of two groups lie at [a, b, 0]: the span's, or the representation's, and [a, b, 1]: the rows'. */
static berth_status dot(const struct berth_task_gradients *g, int a, int b, int part, const float *x,
                        const float *y, int64_t count) {
    struct berth_device *dev = g->m->device;
    return BERTH_OP(dev, dot(g->products + 2 * (a * g->groups + b) + part, x, y, count, dev->stream));
}

static berth_status fetch(const struct berth_task_gradients *g) {
    struct berth_device *dev = g->m->device;
    BERTH_TRY(berth_device_download(dev, g->host_products, g->products,
                                    (size_t)(2 * g->groups * g->groups) * sizeof *g->products));
    return berth_device_synchronize(dev);
}

/* ---- by representation */

berth_status berth_task_gradients_walked(struct berth_task_gradients *g) {
    const int64_t count = g->hidden_count;
    if (!g->representation) return BERTH_OK;
    BERTH_ASSERT_MSG(g->hidden != NULL, "a batch that was not passed through the model");
    for (int a = 0; a < g->groups; a++)
        for (int b = a; b < g->groups; b++)
            BERTH_TRY(dot(g, a, b, 0, g->hidden + a * count, g->hidden + b * count, count));
    BERTH_TRY(fetch(g));
    for (int a = 0; a < g->groups; a++)
        for (int b = a; b < g->groups; b++)
            g->gram[a * g->groups + b] += g->host_products[2 * (a * g->groups + b)];
    g->hidden = NULL;
    return BERTH_OK;
}

/* ---- by parameters */

/* Gradients that were made beside those of a trained neighbour (query, key, value) do not count. */
static berth_status clear_untrained(const struct berth_task_gradients *g) {
    struct berth_device *dev = g->m->device;
    for (int i = 0; i < g->m->parameter_count; i++) {
        const int64_t count = g->m->parameters[i].count;
        if (!g->shared[i] || g->trained[i]) continue;
        for (int k = 0; k < g->groups; k++)
            BERTH_TRY(berth_device_zero(dev, g->buffer + k * g->span + (g->gradients[i] - g->base),
                                        (size_t)count * sizeof(float)));
    }
    return BERTH_OK;
}

static berth_status parameter_products(struct berth_task_gradients *g) {
    const int64_t stride = g->capacity * g->m->config.hidden, filled = g->used * g->m->config.hidden;
    BERTH_TRY(clear_untrained(g));
    for (int a = 0; a < g->groups; a++) {
        for (int b = a; b < g->groups; b++) {
            BERTH_TRY(dot(g, a, b, 0, g->buffer + a * g->span, g->buffer + b * g->span, g->span));
            BERTH_TRY(dot(g, a, b, 1, g->rows + a * stride, g->rows + b * stride, filled));
        }
    }
    BERTH_TRY(fetch(g));
    for (int i = 0; i < g->groups * g->groups; i++)
        g->gram[i] = g->host_products[2 * i] + g->host_products[2 * i + 1];
    return BERTH_OK;
}

berth_status berth_task_gradients_gram(struct berth_task_gradients *g, double *gram) {
    const int heads = g->m->head_count;
    memset(gram, 0, (size_t)heads * (size_t)heads * sizeof *gram);
    if (!g->representation) BERTH_TRY(parameter_products(g));
    for (int a = 0; a < g->groups; a++) {
        for (int b = a; b < g->groups; b++) {
            const int i = g->head_of[a], j = g->head_of[b];
            gram[i * heads + j] = gram[j * heads + i] = g->gram[a * g->groups + b];
        }
    }
    return BERTH_OK;
}

/* The caller's token table += a group's rows. Tokens are distinct, so any order will do. */
static berth_status add_rows(struct berth_task_gradients *g, const float *rows, const int32_t *lists) {
    struct berth_device *dev = g->m->device;
    return BERTH_OP(dev, embedding_backward(g->gradients[0], rows, lists, lists + g->used, g->used,
                                            g->m->config.hidden, BERTH_F32, dev->stream));
}

/* Tokens of the rows, and 0 .. used-1, in device memory. */
static berth_status put_lists(struct berth_task_gradients *g, int32_t **lists) {
    struct berth_device *dev = g->m->device;
    const size_t bytes = 2 * (size_t)g->used * sizeof **lists;
    BERTH_TRY(berth_grow(&g->scratch, &g->scratch_capacity, 2 * (size_t)g->used, sizeof *g->scratch));
    memcpy(g->scratch, g->tokens, bytes / 2);
    for (int64_t i = 0; i < g->used; i++)
        g->scratch[g->used + i] = (int32_t)i;
    *lists = g->scratch;
    if (dev->backend->host_memory) return BERTH_OK;
    BERTH_TRY(berth_device_alloc(dev, lists, bytes));
    return berth_device_upload(dev, *lists, g->scratch, bytes);
}

/* The caller's gradients += the span, parameter by parameter: what lies between them is not ours. */
static berth_status add_span(const struct berth_task_gradients *g, const float *part) {
    struct berth_device *dev = g->m->device;
    for (int i = 0; i < g->m->parameter_count; i++) {
        if (!g->shared[i] || (i == 0 && g->as_rows)) continue;
        BERTH_TRY(BERTH_OP(dev, add(g->gradients[i], part + (g->gradients[i] - g->base),
                                    g->m->parameters[i].count, BERTH_F32, dev->stream)));
    }
    return BERTH_OK;
}

static berth_status add_group(struct berth_task_gradients *g, int k, float factor, const int32_t *lists) {
    struct berth_device *dev = g->m->device;
    const int64_t hidden = g->m->config.hidden;
    float *part = g->buffer + k * g->span, *rows = g->rows + k * g->capacity * hidden;
    if (g->span > 0) {
        if (factor != 1.0f) BERTH_TRY(BERTH_OP(dev, scale(part, factor, g->span, dev->stream)));
        BERTH_TRY(add_span(g, part));
    }
    if (g->used == 0) return BERTH_OK;
    if (factor != 1.0f) BERTH_TRY(BERTH_OP(dev, scale(rows, factor, g->used * hidden, dev->stream)));
    return add_rows(g, rows, lists);
}

berth_status berth_task_gradients_combine(struct berth_task_gradients *g, const double *coefficients) {
    struct berth_device *dev = g->m->device;
    berth_status status = BERTH_OK;
    int32_t *lists = NULL;
    BERTH_ASSERT_MSG(!g->representation, "the gradients by the representation are in the parameters' already");
    if (g->used > 0) BERTH_TRY_OUT(put_lists(g, &lists));
    for (int k = 0; k < g->groups; k++)
        BERTH_TRY_OUT(add_group(g, k, (float)coefficients[g->head_of[k]], lists));
out:
    if (lists != g->scratch) {
        if (status == BERTH_OK) status = berth_device_synchronize(dev);
        berth_device_free(dev, lists, 2 * (size_t)g->used * sizeof *lists);
    }
    return status;
}
