/* task_gradients.c: the buffers of each task's gradients, and how a pass fills them; picture in
 * task_gradients_priv.h. */
#include <stdlib.h>
#include <string.h>

#include "model/task_gradients_priv.h"

enum { ALIGNMENT = 16 }; /* floats */

static bool in_span(const struct berth_task_gradients *g, int parameter) {
    return g->shared[parameter] && (parameter > 0 || g->dense);
}

static size_t row_bytes(const struct berth_task_gradients *g) {
    return (size_t)(g->groups * g->capacity * g->m->config.hidden) * sizeof(float);
}

static size_t span_bytes(const struct berth_task_gradients *g) {
    return (size_t)(g->groups * g->span) * sizeof(float);
}

static size_t product_bytes(const struct berth_task_gradients *g) {
    return (size_t)(g->groups * g->groups * 2) * sizeof(double);
}

static bool is_wanted(const bool *wanted, int head) {
    return wanted == NULL || wanted[head];
}

/* Whether a masked language model among the wanted heads is tied to the token table. */
static bool tied(const struct berth_model *m, const bool *wanted) {
    for (int i = 0; i < m->head_count; i++)
        if (is_wanted(wanted, i) && m->heads[i].task.kind == BERTH_TASK_MLM) return true;
    return false;
}

/* The backbone's, or those of a head that several wanted tasks use. */
static bool is_shared(const struct berth_model *m, const bool *wanted, int parameter) {
    const int owner = m->parameters[parameter].owner;
    int users = 0;
    for (int i = 0; owner > 0 && i < m->head_count; i++)
        users += is_wanted(wanted, i) && berth_head_owner(m, i) + 1 == owner;
    return owner == 0 || users > 1;
}

int64_t berth_task_gradients_floats(const struct berth_model *m, const bool *trained, const bool *wanted,
                                    int64_t rows) {
    int64_t count = 0, groups = 0;
    for (int i = 0; i < m->head_count; i++)
        groups += is_wanted(wanted, i);
    for (int i = 0; i < m->parameter_count; i++) {
        if (!trained[i] || !is_shared(m, wanted, i)) continue;
        const bool as_rows = i == 0 && !tied(m, wanted) && rows < m->config.vocab_size;
        count += as_rows ? rows * m->config.hidden : m->parameters[i].count;
    }
    return groups * count;
}

/* ---- life */

static berth_status check_representation(const struct berth_model *m, const bool *wanted) {
    for (int i = 0; i < m->head_count; i++) {
        if (!is_wanted(wanted, i) || m->heads[i].reads == BERTH_READS_LAST) continue;
        BERTH_FAIL(BERTH_E_USAGE,
                   "gradients by the shared representation: head '%s' reads %s, not the last layer alone; take "
                   "those by "
                   "the shared parameters",
                   m->heads[i].task.name,
                   m->heads[i].reads == BERTH_READS_MIX ? "a mix of layers" : "a layer of its own");
    }
    return BERTH_OK;
}

static void measure_span(struct berth_task_gradients *g) {
    float *end = NULL;
    for (int i = 0; i < g->m->parameter_count; i++) {
        float *first = g->gradients[i];
        if (!in_span(g, i)) continue;
        if (g->base == NULL || first < g->base) g->base = first;
        if (first + g->m->parameters[i].count > end) end = first + g->m->parameters[i].count;
    }
    g->span = g->base == NULL ? 0 : (end - g->base + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void choose(struct berth_task_gradients *g, const struct berth_task_gradient_options *o) {
    const struct berth_model *m = g->m;
    for (int i = 0; i < m->head_count; i++) {
        g->wanted[i] = is_wanted(o->wanted, i);
        g->items_are_rows[i] = !head_kind_of(&m->heads[i])->pools;
        g->group_of[i] = g->wanted[i] ? g->groups : -1;
        if (g->wanted[i]) g->head_of[g->groups++] = i;
    }
    for (int i = 0; i < m->parameter_count; i++) {
        g->gradients[i] = o->gradients[i];
        g->shared[i] = !o->representation && o->gradients[i] != NULL && is_shared(m, g->wanted, i);
        g->trained[i] = g->shared[i] && (o->trained == NULL || o->trained[i]);
    }
    g->dense = g->shared[0] && (o->dense || tied(m, g->wanted));
    g->as_rows = g->shared[0] && !g->dense;
    measure_span(g);
}

static berth_status allocate(struct berth_task_gradients *g) {
    struct berth_device *dev = g->m->device;
    const size_t tokens = (size_t)g->m->config.vocab_size, cells = (size_t)g->groups * (size_t)g->groups;
    BERTH_TRY(berth_calloc(&g->starts, (size_t)g->groups + 1, sizeof *g->starts));
    BERTH_TRY(berth_calloc(&g->host_products, 2 * cells, sizeof *g->host_products));
    BERTH_TRY(berth_calloc(&g->gram, cells, sizeof *g->gram));
    if (g->groups > 0) BERTH_TRY(berth_device_alloc(dev, &g->products, product_bytes(g)));
    if (g->as_rows) {
        BERTH_TRY(berth_calloc(&g->row_of, tokens, sizeof *g->row_of));
        BERTH_TRY(berth_calloc(&g->tokens, tokens, sizeof *g->tokens));
        memset(g->row_of, -1, tokens * sizeof *g->row_of);
    }
    if (span_bytes(g) == 0) return BERTH_OK;
    BERTH_TRY(berth_device_alloc(dev, &g->buffer, span_bytes(g)));
    return berth_device_zero(dev, g->buffer, span_bytes(g));
}

berth_status berth_task_gradients_create(struct berth_task_gradients **out, struct berth_model *m,
                                         const struct berth_task_gradient_options *options) {
    berth_status status = BERTH_OK;
    struct berth_task_gradients *g = NULL;
    const size_t parameters = (size_t)m->parameter_count, heads = (size_t)m->head_count;
    *out = NULL;
    if (options->representation) BERTH_TRY(check_representation(m, options->wanted));
    BERTH_TRY_OUT(berth_calloc(&g, 1, sizeof *g));
    g->m = m;
    g->representation = options->representation;
    berth_arrangement_init(&g->arranged);
    BERTH_TRY_OUT(berth_calloc(&g->gradients, parameters, sizeof *g->gradients));
    BERTH_TRY_OUT(berth_calloc(&g->shared, parameters, sizeof *g->shared));
    BERTH_TRY_OUT(berth_calloc(&g->trained, parameters, sizeof *g->trained));
    BERTH_TRY_OUT(berth_calloc(&g->head_of, heads, sizeof *g->head_of));
    BERTH_TRY_OUT(berth_calloc(&g->group_of, heads, sizeof *g->group_of));
    BERTH_TRY_OUT(berth_calloc(&g->wanted, heads, sizeof *g->wanted));
    BERTH_TRY_OUT(berth_calloc(&g->items_are_rows, heads, sizeof *g->items_are_rows));
    choose(g, options);
    BERTH_TRY_OUT(allocate(g));
    *out = g;
    g = NULL;
out:
    berth_task_gradients_free(g);
    return status;
}

void berth_task_gradients_free(struct berth_task_gradients *g) {
    if (g == NULL) return;
    struct berth_device *dev = g->m->device;
    if (g->m->split == g) g->m->split = NULL;
    berth_device_free(dev, g->buffer, span_bytes(g));
    berth_device_free(dev, g->rows, row_bytes(g));
    berth_device_free(dev, g->products, product_bytes(g));
    berth_arrangement_deinit(&g->arranged);
    free(g->gradients);
    free(g->shared);
    free(g->trained);
    free(g->head_of);
    free(g->group_of);
    free(g->row_of);
    free(g->tokens);
    free(g->starts);
    free(g->wanted);
    free(g->items_are_rows);
    free(g->lists);
    free(g->scratch);
    free(g->host_products);
    free(g->gram);
    free(g);
}

size_t berth_task_gradients_memory(const struct berth_task_gradients *g) {
    return span_bytes(g) + row_bytes(g);
}

float *berth_task_gradients_buffer(const struct berth_task_gradients *g, int64_t *count) {
    *count = g->groups * g->span;
    return g->buffer;
}

berth_status berth_task_gradients_begin(struct berth_task_gradients *g) {
    struct berth_device *dev = g->m->device;
    for (int64_t i = 0; i < g->used; i++)
        g->row_of[g->tokens[i]] = -1;
    g->used = 0;
    memset(g->gram, 0, (size_t)g->groups * (size_t)g->groups * sizeof *g->gram);
    if (g->capacity > 0) BERTH_TRY(berth_device_zero(dev, g->rows, row_bytes(g)));
    return g->buffer == NULL ? BERTH_OK : berth_device_zero(dev, g->buffer, span_bytes(g));
}

/* ---- a batch */

/* Room for `needed` rows a group; what is there moves along. */
static berth_status grow_rows(struct berth_task_gradients *g, int64_t needed, int64_t filled) {
    struct berth_device *dev = g->m->device;
    struct berth_task_gradients old = *g;
    const int64_t hidden = g->m->config.hidden, most = g->m->config.vocab_size;
    const int64_t wanted = needed > 2 * g->capacity ? needed : 2 * g->capacity;
    if (needed <= g->capacity) return BERTH_OK;
    g->capacity = wanted < most ? wanted : most;
    g->rows = NULL;
    berth_status status = berth_device_alloc(dev, &g->rows, row_bytes(g));
    if (status == BERTH_OK) status = berth_device_zero(dev, g->rows, row_bytes(g));
    for (int k = 0; status == BERTH_OK && k < g->groups && filled > 0; k++)
        status =
            berth_device_copy(dev, g->rows + k * g->capacity * hidden, old.rows + k * old.capacity * hidden,
                              (size_t)(filled * hidden) * sizeof(float));
    if (status == BERTH_OK) {
        berth_device_free(dev, old.rows, row_bytes(&old));
        return BERTH_OK;
    }
    berth_device_free(dev, g->rows, row_bytes(g));
    g->rows = old.rows;
    g->capacity = old.capacity;
    return status;
}

/* Gives each token of the batch its row. */
static berth_status place_tokens(struct berth_task_gradients *g, int32_t *token_rows) {
    const struct berth_batch *b = &g->arranged.batch;
    const int64_t before = g->used;
    for (int64_t t = 0; t < b->tokens_count; t++) {
        const int32_t token = b->tokens[t];
        token_rows[t] = 0;
        if (token >= g->m->config.vocab_size) continue; /* the pass refuses it by name */
        if (g->row_of[token] < 0) {
            g->tokens[g->used] = token;
            g->row_of[token] = (int32_t)g->used++;
        }
        token_rows[t] = g->row_of[token];
    }
    return g->used > 0 ? grow_rows(g, g->used, before) : BERTH_OK;
}

/* to = the rows of `order`, those of one group together, each group's in their order. */
static void part_order(const struct berth_task_gradients *g, int32_t *to, const int32_t *order) {
    for (int k = 0; k < g->groups; k++) {
        int64_t at = g->starts[k];
        for (int64_t i = 0; i < g->arranged.batch.tokens_count; i++) {
            if (order[i] >= g->starts[k] && order[i] < g->starts[k + 1]) to[at++] = order[i];
        }
    }
}

berth_status berth_task_gradients_arrange(struct berth_task_gradients *g, const struct berth_batch *in,
                                          const struct berth_batch **out) {
    const struct berth_batch *b = &g->arranged.batch;
    BERTH_ASSERT_EQ(in->task_count, g->m->head_count);
    *out = in;
    if (g->representation) return BERTH_OK;
    BERTH_TRY(berth_arrangement_make(&g->arranged, in, g->wanted, g->items_are_rows));
    for (int k = 0; k < g->groups; k++)
        g->starts[k] = g->arranged.starts[g->head_of[k]];
    g->starts[g->groups] = b->tokens_count;
    BERTH_TRY(berth_grow(&g->lists, &g->list_capacity, (size_t)(4 * b->tokens_count), sizeof *g->lists));
    if (g->as_rows) BERTH_TRY(place_tokens(g, g->lists));
    part_order(g, g->lists + b->tokens_count, b->token_order);
    part_order(g, g->lists + 2 * b->tokens_count, b->position_order);
    part_order(g, g->lists + 3 * b->tokens_count, b->segment_order);
    *out = b;
    return BERTH_OK;
}

/* ---- the pass asks */

float *task_gradient_place(const struct berth_task_gradients *g, int parameter, float *whole) {
    if (g == NULL || whole == NULL || !g->shared[parameter]) return whole;
    if (parameter == 0 && g->as_rows) return g->rows;
    return g->buffer + (whole - g->base);
}

int64_t task_gradient_stride(const struct berth_task_gradients *g, int parameter) {
    if (g == NULL || !g->shared[parameter]) return 0;
    return parameter == 0 && g->as_rows ? g->capacity * g->m->config.hidden : g->span;
}

berth_status task_gradient_pass(struct berth_task_gradients *g, struct berth_tape *tape, int64_t tokens) {
    struct berth_tensor *t = NULL;
    if (!g->representation) {
        berth_tape_split(tape, g->starts, g->groups);
        return BERTH_OK;
    }
    const int64_t count = g->groups * tokens * g->m->config.hidden;
    BERTH_TRY(berth_tape_tensor(tape, &t, BERTH_F32, 1, &count));
    BERTH_TRY(berth_device_zero(g->m->device, t->data, (size_t)count * sizeof(float)));
    g->hidden = t->data;
    g->hidden_count = tokens * g->m->config.hidden;
    return BERTH_OK;
}

void task_gradient_head(const struct berth_task_gradients *g, struct berth_tape *tape, int head) {
    if (g != NULL && !g->representation) berth_tape_group(tape, head < 0 ? -1 : g->group_of[head]);
}

void task_gradient_lists(const struct berth_task_gradients *g, const int32_t *lists[4]) {
    if (g->representation) return;
    for (int i = 0; i < 4; i++)
        lists[i] = i == 0 && !g->as_rows ? NULL : g->lists + i * g->arranged.batch.tokens_count;
}

berth_status task_gradient_tap(const struct berth_task_gradients *g, struct berth_tape *tape, int head,
                               struct berth_tensor **hidden) {
    if (g == NULL || !g->representation || g->group_of[head] < 0) return BERTH_OK;
    return berth_op_tap(tape, hidden, *hidden, g->hidden + g->group_of[head] * g->hidden_count);
}
