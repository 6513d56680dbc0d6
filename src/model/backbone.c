/* backbone.c: one pass of the encoder over a packed batch, and of every head over its items.
 *
 *     x = dropout_0(norm(word + position + segment))
 *     for each layer l:                                                      post-norm, arXiv 1810.04805
 *         a = attention(x Wqkvᵀ + bqkv)                                      dropout 1+3l on the probabilities
 *         x = norm(dropout_{2+3l}(a Woᵀ + bo) + x)
 *         x = norm(dropout_{3+3l}(act(x W1ᵀ + b1) W2ᵀ + b2) + x)
 *
 * In bf16 (berth_model_set_precision) the embeddings and their norm are float, x is cast to bf16 below the
 * first layer and back to float above the last: the heads see float either way.
 *
 * A frozen prefix (all stages below the first with a gradient) runs without dropout unless asked: then its
 * output for a sentence is always the same. Tensors are dropped as soon as the pass no longer names them: where
 * nothing records them (inference, frozen prefix) their memory is used again at once. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "model/model_priv.h"

/* Parameters of a layer, in the order of param_spec.c. */
enum layer_parameter {
    LAYER_QUERY,
    LAYER_KEY,
    LAYER_VALUE,
    LAYER_QUERY_BIAS,
    LAYER_KEY_BIAS,
    LAYER_VALUE_BIAS,
    LAYER_OUTPUT,
    LAYER_OUTPUT_BIAS,
    LAYER_ATTENTION_GAIN,
    LAYER_ATTENTION_SHIFT,
    LAYER_UP,
    LAYER_UP_BIAS,
    LAYER_DOWN,
    LAYER_DOWN_BIAS,
    LAYER_GAIN,
    LAYER_SHIFT,
    LAYER_PARAMETERS
};

bool forward_drops(const struct forward_run *run, int stage, float rate) {
    if (!run->options->training || rate <= 0.0f) return false;
    return run->options->frozen_dropout || stage >= run->first_trainable;
}

berth_status forward_put(struct forward_run *run, const int32_t **out, const int32_t *host, int64_t count) {
    _Static_assert(sizeof(int32_t) == sizeof(float), "step memory is asked for as floats");
    struct berth_tensor *t = NULL;
    BERTH_TRY(berth_tape_tensor(run->tape, &t, BERTH_F32, 1, &count));
    BERTH_TRY(berth_device_upload(run->m->device, t->data, host, (size_t)count * sizeof *host));
    *out = t->data;
    return BERTH_OK;
}

berth_status forward_scratch(struct forward_run *run, int64_t count, int32_t **out) {
    struct berth_model *m = run->m;
    BERTH_TRY(berth_grow(&m->scratch, &m->scratch_capacity, (size_t)count, sizeof *m->scratch));
    *out = m->scratch;
    return BERTH_OK;
}

static float *gradient_of(const struct forward_run *run, int parameter) {
    float *whole = run->options->gradients == NULL ? NULL : run->options->gradients[parameter];
    return task_gradient_place(run->m->split, parameter, whole);
}

/* The bf16 copy of the values from `offset` on, or NULL in float. */
static const void *half_of(const struct forward_run *run, int64_t offset) {
    return run->m->half == NULL ? NULL : (const uint16_t *)run->m->half + offset;
}

berth_status forward_parameter(struct forward_run *run, int parameter, struct berth_tensor **out) {
    const struct berth_parameter *p = &run->m->parameters[parameter];
    BERTH_TRY(berth_tape_parameter(run->tape, out, run->m->values + p->offset, gradient_of(run, parameter),
                                   p->rank, p->shape));
    berth_tape_parameter_half(*out, half_of(run, p->offset));
    berth_tape_parameter_split(*out, task_gradient_stride(run->m->split, parameter));
    return BERTH_OK;
}

/* Query, key and value as one: [3H, H] or [3H]. */
static berth_status fused_parameter(struct forward_run *run, int query, struct berth_tensor **out) {
    const struct berth_parameter *p = &run->m->parameters[query];
    float *grad = gradient_of(run, query);
    for (int part = 1; part < 3; part++) {
        float *expected = grad == NULL ? NULL : grad + part * p->count;
        BERTH_ASSERT_EQ(run->m->parameters[query + part].offset, p->offset + part * p->count);
        BERTH_ASSERT_MSG(gradient_of(run, query + part) == expected,
                         "%s: query, key and value must have neighbouring gradients, or none of them one",
                         p->name);
    }
    const int64_t shape[2] = {3 * p->shape[0], p->shape[1]};
    BERTH_TRY(berth_tape_parameter(run->tape, out, run->m->values + p->offset, grad, p->rank, shape));
    berth_tape_parameter_half(*out, half_of(run, p->offset));
    berth_tape_parameter_split(*out, task_gradient_stride(run->m->split, query));
    return BERTH_OK;
}

static berth_status linear(struct forward_run *run, struct berth_tensor **out, struct berth_tensor *x,
                           int weight, int bias) {
    struct berth_tensor *w = NULL, *b = NULL;
    BERTH_TRY(forward_parameter(run, weight, &w));
    if (bias >= 0) BERTH_TRY(forward_parameter(run, bias, &b));
    return berth_op_linear(run->tape, out, x, w, b);
}

/* y = norm(dropout(x) + residual); gain and the shift behind it. */
static berth_status norm(struct forward_run *run, struct berth_tensor **out, struct berth_tensor *x,
                         struct berth_tensor *residual, int gain, uint32_t site) {
    struct berth_tensor *gamma = NULL, *beta = NULL;
    const struct berth_model_config *c = &run->m->config;
    BERTH_TRY(forward_parameter(run, gain, &gamma));
    BERTH_TRY(forward_parameter(run, gain + 1, &beta));
    const struct berth_tape_dropout dropout = {.rate = c->hidden_dropout,
                                               .site = site,
                                               .key = run->key,
                                               .ordinal = run->row_ordinal,
                                               .position = run->positions};
    const bool drops =
        residual != NULL && forward_drops(run, run->m->parameters[gain].stage, c->hidden_dropout);
    return berth_op_layernorm(run->tape, out, x, residual, gamma, beta, c->layer_norm_eps,
                              drops ? &dropout : NULL);
}

/* Whether the layers compute in bf16 here. */
static bool in_half(const struct forward_run *run) {
    return run->m->half != NULL && run->layers > 0;
}

static berth_status attention(struct forward_run *run, struct berth_tensor *x, int first, int layer,
                              struct berth_tensor **out) {
    struct berth_tape *tape = run->tape;
    const struct berth_model_config *c = &run->m->config;
    struct berth_tensor *w = NULL, *b = NULL, *qkv = NULL, *context = NULL, *projected = NULL;
    BERTH_TRY(fused_parameter(run, first + LAYER_QUERY, &w));
    BERTH_TRY(fused_parameter(run, first + LAYER_QUERY_BIAS, &b));
    BERTH_TRY(berth_op_linear(tape, &qkv, x, w, b));
    const struct berth_tape_dropout dropout = {.rate = c->attention_dropout,
                                               .site = 1u + 3u * (uint32_t)layer,
                                               .key = run->key,
                                               .ordinal = run->ordinal};
    const bool drops = forward_drops(run, layer + 1, c->attention_dropout);
    BERTH_TRY(berth_op_attention(tape, &context, qkv, run->cu_seqlens, run->batch->sequence_count,
                                 run->batch->max_length, c->heads, drops ? &dropout : NULL));
    berth_tape_drop(tape, qkv);
    BERTH_TRY(linear(run, &projected, context, first + LAYER_OUTPUT, first + LAYER_OUTPUT_BIAS));
    berth_tape_drop(tape, context);
    BERTH_TRY(norm(run, out, projected, x, first + LAYER_ATTENTION_GAIN, 2u + 3u * (uint32_t)layer));
    berth_tape_drop(tape, projected);
    if (!run->keeps || in_half(run)) berth_tape_drop(tape, x); /* in bf16 what is kept is another tensor */
    return BERTH_OK;
}

static berth_status feed_forward(struct forward_run *run, struct berth_tensor *x, int first, int layer,
                                 struct berth_tensor **out) {
    struct berth_tape *tape = run->tape;
    struct berth_tensor *up = NULL, *bias = NULL, *active = NULL, *down = NULL;
    BERTH_TRY(linear(run, &up, x, first + LAYER_UP, -1));
    BERTH_TRY(forward_parameter(run, first + LAYER_UP_BIAS, &bias));
    BERTH_TRY(berth_op_bias_act(tape, &active, up, bias, run->m->config.activation));
    berth_tape_drop(tape, up);
    BERTH_TRY(linear(run, &down, active, first + LAYER_DOWN, first + LAYER_DOWN_BIAS));
    berth_tape_drop(tape, active);
    BERTH_TRY(norm(run, out, down, x, first + LAYER_GAIN, 3u + 3u * (uint32_t)layer));
    berth_tape_drop(tape, down);
    berth_tape_drop(tape, x);
    return BERTH_OK;
}

static berth_status upload(struct forward_run *run, const int32_t **out, const int32_t *host, int64_t count) {
    const void *p = NULL;
    if (run->graphs != NULL) {
        *out = graph_device_of(run->graphs, host);
        return BERTH_OK;
    }
    BERTH_TRY(berth_tape_upload(run->tape, &p, host, (size_t)count * sizeof *host));
    *out = p;
    return BERTH_OK;
}

static berth_status embeddings(struct forward_run *run, struct berth_tensor **out) {
    const struct berth_batch *b = run->batch;
    const struct berth_model_config *c = &run->m->config;
    struct berth_tensor *word = NULL, *position = NULL, *segment = NULL, *gamma = NULL, *beta = NULL;
    struct berth_embedding_rows rows = {.count = b->tokens_count, .positions = run->positions};
    int next = 0;
    const int32_t *lists[4] = {NULL, b->token_order, b->position_order, b->segment_order};
    if (run->m->split != NULL) task_gradient_lists(run->m->split, lists);
    BERTH_TRY(upload(run, &rows.tokens, b->tokens, rows.count));
    if (lists[0] != NULL) BERTH_TRY(upload(run, &rows.token_rows, lists[0], rows.count));
    BERTH_TRY(upload(run, &rows.token_order, lists[1], rows.count));
    BERTH_TRY(upload(run, &rows.position_order, lists[2], rows.count));
    BERTH_TRY(forward_parameter(run, next++, &word));
    BERTH_TRY(forward_parameter(run, next++, &position));
    if (c->segments > 0) {
        BERTH_TRY(upload(run, &rows.segments, b->segments, rows.count));
        BERTH_TRY(upload(run, &rows.segment_order, lists[3], rows.count));
        BERTH_TRY(forward_parameter(run, next++, &segment));
    }
    BERTH_TRY(forward_parameter(run, next++, &gamma));
    BERTH_TRY(forward_parameter(run, next++, &beta));
    const struct berth_tape_dropout dropout = {.rate = c->hidden_dropout,
                                               .site = 0,
                                               .key = run->key,
                                               .ordinal = run->row_ordinal,
                                               .position = run->positions};
    return berth_op_embedding_norm(run->tape, out, word, position, segment, gamma, beta, &rows,
                                   c->layer_norm_eps,
                                   forward_drops(run, 0, c->hidden_dropout) ? &dropout : NULL);
}

/* Keeps x, in float, as what layer `layer` gives. */
static berth_status keep_layer(struct forward_run *run, int layer, struct berth_tensor *x) {
    return run->keeps ? berth_op_cast(run->tape, &run->m->layers[layer], x, BERTH_F32) : BERTH_OK;
}

/* The encoder's values in bf16, as they are now. */
static berth_status refresh_half(const struct forward_run *run) {
    struct berth_model *m = run->m;
    const struct berth_parameter *first = &m->parameters[m->config.segments > 0 ? 5 : 4];
    const struct berth_parameter *last = first + m->config.layers * LAYER_PARAMETERS - 1;
    const int64_t begin = first->offset, count = last->offset + last->count - begin;
    if (m->half == NULL || run->options->same_values) return BERTH_OK;
    return BERTH_OP(m->device, cast((uint16_t *)m->half + begin, m->values + begin, count, BERTH_BF16,
                                    BERTH_F32, m->device->stream));
}

/* One layer; in backward again, where its activations were not kept. */
static berth_status run_layer(void *user, struct berth_tensor *x, struct berth_tensor **out) {
    const struct layer_call *call = user;
    struct forward_run *run = &call->pass->run;
    struct berth_tensor *attended = NULL;
    BERTH_ASSERT_MSG(call->pass->number == run->m->backbone_passes, "layer %d of a pass that is over",
                     call->layer);
    BERTH_TRY(attention(run, x, call->first, call->layer, &attended));
    return feed_forward(run, attended, call->first, call->layer, out);
}

static bool layer_trains(const struct forward_run *run, int first) {
    for (int i = 0; i < LAYER_PARAMETERS; i++)
        if (gradient_of(run, first + i) != NULL) return true;
    return false;
}

/* A copy of the pass that stays until the next one. */
static berth_status keep_pass(const struct forward_run *run) {
    struct berth_model *m = run->m;
    const size_t bytes = sizeof *m->pass + (size_t)m->config.layers * sizeof *m->pass->layers;
    if (m->pass == NULL) BERTH_TRY(berth_calloc(&m->pass, 1, bytes));
    m->pass->number = m->backbone_passes;
    m->pass->run = *run;
    m->pass->options = *run->options;
    m->pass->run.options = &m->pass->options;
    return BERTH_OK;
}

/* The highest layer is always kept: its activations are the first that backward asks for. */
static berth_status encoder_layer(struct forward_run *run, struct berth_tensor *x, int index, int first,
                                  struct berth_tensor **out) {
    struct model_pass *pass = run->m->pass;
    struct berth_tensor *attended = NULL;
    if (run->options->recompute && index + 1 < run->layers) {
        pass->layers[index] = (struct layer_call){pass, index, first};
        return berth_op_segment(run->tape, out, x, layer_trains(run, first), run_layer, &pass->layers[index]);
    }
    BERTH_TRY(attention(run, x, first, index, &attended));
    return feed_forward(run, attended, first, index, out);
}

berth_status forward_backbone(struct forward_run *run, struct berth_tensor **hidden) {
    struct berth_model *m = run->m;
    struct berth_tensor *x = NULL;
    int first = m->config.segments > 0 ? 5 : 4; /* parameters of the embeddings */
    run->m->backbone_passes++;
    BERTH_TRY(embeddings(run, &x));
    BERTH_TRY(keep_layer(run, 0, x));
    if (in_half(run)) {
        struct berth_tensor *below = x;
        BERTH_TRY(berth_op_cast(run->tape, &x, below, BERTH_BF16));
        if (!run->keeps) berth_tape_drop(run->tape, below);
    }
    if (run->options->recompute) BERTH_TRY(keep_pass(run));
    for (int i = 0; i < run->layers; i++, first += LAYER_PARAMETERS) {
        BERTH_ASSERT_EQ(m->parameters[first].stage, i + 1);
        BERTH_TRY(encoder_layer(run, x, i, first, &x));
        BERTH_TRY(keep_layer(run, i + 1, x));
    }
    *hidden = x;
    if (!in_half(run)) return BERTH_OK;
    if (run->keeps)
        *hidden = m->layers[run->layers];
    else
        BERTH_TRY(berth_op_cast(run->tape, hidden, x, BERTH_F32));
    berth_tape_drop(run->tape, x);
    return BERTH_OK;
}

/* Ids outside the tables would read strangers' memory: one look at the batch costs nothing beside a pass. */
static berth_status check_batch(const struct berth_model *m, const struct berth_batch *b) {
    const struct berth_model_config *c = &m->config;
    BERTH_ASSERT_MSG(b->sequence_count >= 1, "an empty batch");
    if (b->max_length > c->positions)
        BERTH_FAIL(BERTH_E_USAGE,
                   "a sequence of %lld tokens, but this backbone has %lld positions: lower max_length",
                   (long long)b->max_length, (long long)c->positions);
    for (int64_t t = 0; t < b->tokens_count; t++) {
        if (b->tokens[t] < 0 || b->tokens[t] >= c->vocab_size)
            BERTH_FAIL(BERTH_E_USAGE, "token %d is outside this backbone's vocabulary of %lld", b->tokens[t],
                       (long long)c->vocab_size);
        if (c->segments > 0 && (b->segments[t] < 0 || b->segments[t] >= c->segments))
            BERTH_FAIL(BERTH_E_USAGE, "segment %d, but this backbone has %lld kinds of segment", b->segments[t],
                       (long long)c->segments);
    }
    return BERTH_OK;
}

/* Batch arrays in device memory, the first trainable stage, dropout's key. */
berth_status forward_begin(struct forward_run *run) {
    const struct berth_batch *b = run->batch;
    struct berth_model *m = run->m;
    BERTH_ASSERT_MSG(m->values != NULL, "the model has no values yet: berth_model_allocate");
    BERTH_TRY(check_batch(m, b));
    if (run->options->graphs == NULL || run->graphs != NULL) BERTH_TRY(refresh_half(run));
    m->split = run->options->task_gradients;
    if (m->split != NULL) BERTH_TRY(task_gradient_pass(m->split, run->tape, b->tokens_count));
    run->first_trainable = INT_MAX;
    run->layers = (int)m->config.layers;
    for (int i = 0; i < m->parameter_count; i++) {
        if (gradient_of(run, i) != NULL && m->parameters[i].stage < run->first_trainable)
            run->first_trainable = m->parameters[i].stage;
    }
    BERTH_TRY(upload(run, &run->cu_seqlens, b->cu_seqlens, b->sequence_count + 1));
    BERTH_TRY(upload(run, &run->positions, b->positions, b->tokens_count));
    if (!run->options->training) return BERTH_OK;
    BERTH_TRY(upload(run, &run->row_ordinal, b->row_ordinal, b->tokens_count));
    BERTH_TRY(upload(run, &run->ordinal, b->ordinal, b->sequence_count));
    if (run->graphs != NULL) {
        run->key = graph_device_key(run->graphs);
        return BERTH_OK;
    }
    const uint32_t key[3] = {(uint32_t)run->options->seed, (uint32_t)(run->options->seed >> 32),
                             run->options->step};
    int32_t words[3];
    const int32_t *device_key = NULL;
    memcpy(words, key, sizeof words);
    BERTH_TRY(forward_put(run, &device_key, words, 3));
    run->key = (const uint32_t *)device_key;
    return BERTH_OK;
}

static bool is_asked(const struct forward_run *run, int head) {
    const bool wanted = run->options->wanted == NULL || run->options->wanted[head];
    return wanted && head < run->batch->task_count && run->batch->items[head].count > 0;
}

/* Layers above the highest that a head reads are not run; those below it are kept where one is read. */
static void choose_layers(struct forward_run *run) {
    const struct berth_model *m = run->m;
    int highest = 0;
    for (int i = 0; i < m->head_count; i++) {
        const struct berth_head *head = &m->heads[i];
        if (!is_asked(run, i)) continue;
        const int layer = head->reads == BERTH_READS_LAYER ? (int)head->layer : (int)m->config.layers;
        if (layer > highest) highest = layer;
        run->keeps |= head->reads != BERTH_READS_LAST;
    }
    run->layers = highest;
}

berth_status berth_model_forward(struct berth_model *m, struct berth_tape *tape,
                                 const struct berth_batch *batch, const struct berth_forward_options *options,
                                 struct berth_tensor **logits) {
    struct forward_run run = {.m = m, .tape = tape, .batch = batch, .options = options};
    struct berth_tensor *hidden = NULL;
    BERTH_TRY(forward_begin(&run));
    choose_layers(&run);
    if (graph_serves(&run)) {
        BERTH_TRY(graph_forward(&run, &hidden));
    } else {
        if (options->graphs != NULL) BERTH_TRY(refresh_half(&run));
        BERTH_TRY(forward_backbone(&run, &hidden));
    }
    for (int i = 0; i < m->head_count; i++) {
        struct berth_tensor *source = hidden;
        task_gradient_head(m->split, tape, i);
        logits[i] = m->pooled[i] = NULL;
        if (!is_asked(&run, i)) continue;
        BERTH_TRY(head_source(&run, i, &source));
        BERTH_TRY(task_gradient_tap(m->split, tape, i, &source));
        BERTH_TRY(head_kind_of(&m->heads[i])->forward(&run, i, source, &logits[i]));
        head_release(&run, i, source);
    }
    for (int layer = 0; run.keeps && layer < run.layers; layer++)
        berth_tape_drop(tape, m->layers[layer]);
    task_gradient_head(m->split, tape, -1);
    berth_tape_drop(tape, hidden);
    return BERTH_OK;
}

berth_status berth_model_hidden(struct berth_model *m, struct berth_tape *tape, const struct berth_batch *batch,
                                const struct berth_forward_options *options, struct berth_tensor **hidden) {
    struct forward_run run = {.m = m, .tape = tape, .batch = batch, .options = options};
    BERTH_TRY(forward_begin(&run));
    return forward_backbone(&run, hidden);
}

berth_status berth_model_embed(struct berth_model *m, struct berth_tape *tape, const struct berth_batch *batch,
                               enum berth_pooling pooling, struct berth_tensor **out) {
    berth_status status = BERTH_OK;
    const struct berth_forward_options options = {.training = false};
    struct forward_run run = {.m = m, .tape = tape, .batch = batch, .options = &options};
    struct berth_tensor *hidden = NULL;
    int32_t *seqs = NULL;
    BERTH_TRY_OUT(pooling_check(m, pooling, "embedding"));
    BERTH_TRY_OUT(berth_calloc(&seqs, (size_t)batch->sequence_count, sizeof *seqs));
    for (int64_t i = 0; i < batch->sequence_count; i++)
        seqs[i] = (int32_t)i;
    BERTH_TRY_OUT(forward_begin(&run));
    BERTH_TRY_OUT(forward_backbone(&run, &hidden));
    BERTH_TRY_OUT(pooling_forward(&run, pooling, hidden, seqs, batch->sequence_count, out));
    berth_tape_drop(tape, hidden);
out:
    free(seqs);
    return status;
}
