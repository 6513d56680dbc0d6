/* encoder_graph.c: the encoder's passes of training as graphs: kept once a key, launched from then on.
 *
 *     batch of T tokens, B sequences
 *     filled up to T' with sequences of one dead token, to B' with empty ones        both ends of buckets: the
 * key
 *
 *     inputs   [tokens][positions]...[cu_seqlens][key]    one block, filled on the host, one upload a pass
 *     pass     1st of its key: run    2nd: kept, launched    later: launched          the same bits each time
 *     heads    read the last hidden states as a parameter of their own tape, whose gradient the backward graph
 * takes
 *
 * No kernel knows of dead rows: heads read none of them, so their gradient is zero in every layer, and they add
 * zeros to the parameters' sums. A dead token has the greatest token id, position and segment of its batch: the
 * sorted orders of the embedding's backward pass go on at their end.
 *
 * All graphs use one step arena in turn; the same requests in the same order have the same addresses. What else
 * a graph holds (parameters, their gradients, dropout) is in the stamp: when that changes, all of them go. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/model_priv.h"

enum input {
    IN_TOKENS,
    IN_POSITIONS,
    IN_SEGMENTS,
    IN_TOKEN_ORDER,
    IN_POSITION_ORDER,
    IN_SEGMENT_ORDER,
    IN_ROW_ORDINAL,
    IN_ORDINAL,
    IN_CU_SEQLENS,
    IN_KEY,
    INPUTS
};

struct kept_pass {
    int64_t tokens, sequences;
    int layers;
    int64_t runs;
    void *forward, *backward;    /* NULL: not kept yet */
    struct berth_tensor *hidden; /* of the tape; valid in the pass that ran or kept it */
    void *hidden_data;
};

struct berth_model_graphs {
    struct berth_model *m;
    struct berth_graph_limits limits;
    struct berth_tape *tape; /* of the encoder alone */
    int32_t *host, *device;  /* [words] the inputs */
    size_t words, first[INPUTS];
    struct berth_batch batch; /* views of host: the batch as it was filled up */
    float *gradient;          /* [T', H] of the last hidden states */
    size_t gradient_bytes;
    struct kept_pass *list;
    size_t count, capacity;
    struct kept_pass *open; /* its backward is due */
    struct berth_hash128 stamp;
    int64_t allocations; /* of the tape, when the graphs were kept */
    int64_t launches, kept;
    struct berth_forward_options options; /* of the pass at hand */
    bool told;                            /* that a pass was not served */
    bool keeps_none;                      /* tests */
};

static int64_t token_step(int64_t tokens) {
    int64_t step = 64;
    while (step * 16 <= tokens)
        step *= 2;
    return step;
}

static int64_t token_bucket(int64_t tokens) {
    const int64_t step = token_step(tokens);
    return (tokens + step - 1) / step * step;
}

static int64_t sequence_bucket(int64_t sequences) {
    int64_t n = 16;
    while (n < sequences)
        n *= 2;
    return n;
}

void berth_graph_filled(int64_t *tokens, int64_t *sequences) {
    *sequences = sequence_bucket(*sequences + token_step(*tokens));
    *tokens = token_bucket(*tokens);
}

/* ------------------------------------------------------------------ making */

static void drop_graphs(struct berth_model_graphs *g) {
    for (size_t i = 0; i < g->count; i++) {
        berth_graph_free(g->m->device, g->list[i].forward);
        berth_graph_free(g->m->device, g->list[i].backward);
    }
    g->count = 0;
    g->open = NULL;
}

void berth_model_graphs_free(struct berth_model_graphs *g) {
    if (g == NULL) return;
    drop_graphs(g);
    berth_tape_free(g->tape);
    berth_device_free(g->m->device, g->gradient, g->gradient_bytes);
    berth_device_free(g->m->device, g->device, g->words * sizeof *g->device);
    free(g->host);
    free(g->list);
    free(g);
}

/* Where each input begins; all have room for the largest bucket. */
static void lay_out(struct berth_model_graphs *g, int64_t tokens, int64_t sequences) {
    for (int i = 0; i < INPUTS; i++) {
        const int64_t count = i == IN_KEY          ? 3
                              : i == IN_CU_SEQLENS ? sequences + 1
                              : i == IN_ORDINAL    ? sequences
                                                   : tokens;
        g->first[i] = g->words;
        g->words += ((size_t)count + 63) / 64 * 64;
    }
}

berth_status berth_model_graphs_create(struct berth_model_graphs **out, struct berth_model *m,
                                       const struct berth_graph_limits *limits) {
    berth_status status = BERTH_OK;
    struct berth_model_graphs *g = NULL;
    *out = NULL;
    if (!berth_device_has_graphs(m->device))
        BERTH_FAIL(BERTH_E_UNSUPPORTED, "device %s has no graphs (NVIDIA GPUs have)", m->device->backend->name);
    BERTH_TRY_OUT(berth_calloc(&g, 1, sizeof *g));
    g->m = m;
    g->limits = *limits;
    int64_t tokens = limits->max_tokens, sequences = limits->max_sequences;
    berth_graph_filled(&tokens, &sequences);
    lay_out(g, tokens, sequences);
    BERTH_TRY_OUT(berth_calloc(&g->host, g->words, sizeof *g->host));
    BERTH_TRY_OUT(berth_device_alloc(m->device, &g->device, g->words * sizeof *g->device));
    const size_t bytes = (size_t)(tokens * m->config.hidden) * sizeof *g->gradient;
    BERTH_TRY_OUT(berth_device_alloc(m->device, &g->gradient, bytes));
    g->gradient_bytes = bytes;
    BERTH_TRY_OUT(berth_tape_create(&g->tape, m->device));
    berth_tape_open(g->tape);
    berth_tape_reserve(g->tape, limits->bytes);
    *out = g;
    g = NULL;
out:
    berth_model_graphs_free(g);
    return status;
}

const int32_t *graph_device_of(const struct berth_model_graphs *g, const int32_t *host) {
    BERTH_ASSERT_MSG(host >= g->host && host < g->host + g->words, "an input that is not the graph's");
    return g->device + (host - g->host);
}

const uint32_t *graph_device_key(const struct berth_model_graphs *g) {
    return (const uint32_t *)(g->device + g->first[IN_KEY]);
}

/* ------------------------------------------------------------------ inputs */

/* Copies T values and repeats the last of `order`, or counts rows on. */
static void fill_rows(int32_t *to, const int32_t *from, const int32_t *order, int64_t count, int64_t end) {
    memcpy(to, from, (size_t)count * sizeof *to);
    for (int64_t t = count; t < end; t++)
        to[t] = order != NULL ? from[order[count - 1]] : (int32_t)t;
}

static void fill_inputs(struct berth_model_graphs *g, const struct berth_batch *b,
                        const struct berth_forward_options *options, int64_t tokens, int64_t sequences) {
    int32_t *in[INPUTS];
    for (int i = 0; i < INPUTS; i++)
        in[i] = g->host + g->first[i];
    const int64_t dead = tokens - b->tokens_count;
    fill_rows(in[IN_TOKENS], b->tokens, b->token_order, b->tokens_count, tokens);
    fill_rows(in[IN_POSITIONS], b->positions, b->position_order, b->tokens_count, tokens);
    fill_rows(in[IN_SEGMENTS], b->segments, b->segment_order, b->tokens_count, tokens);
    fill_rows(in[IN_TOKEN_ORDER], b->token_order, NULL, b->tokens_count, tokens);
    fill_rows(in[IN_POSITION_ORDER], b->position_order, NULL, b->tokens_count, tokens);
    fill_rows(in[IN_SEGMENT_ORDER], b->segment_order, NULL, b->tokens_count, tokens);
    memcpy(in[IN_ROW_ORDINAL], b->row_ordinal, (size_t)b->tokens_count * sizeof *in[0]);
    memset(in[IN_ROW_ORDINAL] + b->tokens_count, 0, (size_t)dead * sizeof *in[0]);
    memcpy(in[IN_ORDINAL], b->ordinal, (size_t)b->sequence_count * sizeof *in[0]);
    memset(in[IN_ORDINAL] + b->sequence_count, 0, (size_t)(sequences - b->sequence_count) * sizeof *in[0]);
    memcpy(in[IN_CU_SEQLENS], b->cu_seqlens, (size_t)(b->sequence_count + 1) * sizeof *in[0]);
    for (int64_t s = b->sequence_count + 1; s <= sequences; s++)
        in[IN_CU_SEQLENS][s] =
            (int32_t)(s - b->sequence_count < dead ? b->tokens_count + s - b->sequence_count : tokens);
    const uint32_t key[3] = {(uint32_t)options->seed, (uint32_t)(options->seed >> 32), options->step};
    memcpy(in[IN_KEY], key, sizeof key);
    g->batch = (struct berth_batch){.tokens_count = tokens,
                                    .sequence_count = sequences,
                                    .max_length = g->limits.max_length,
                                    .tokens = in[IN_TOKENS],
                                    .positions = in[IN_POSITIONS],
                                    .segments = in[IN_SEGMENTS],
                                    .token_order = in[IN_TOKEN_ORDER],
                                    .position_order = in[IN_POSITION_ORDER],
                                    .segment_order = in[IN_SEGMENT_ORDER],
                                    .row_ordinal = in[IN_ROW_ORDINAL],
                                    .ordinal = in[IN_ORDINAL],
                                    .cu_seqlens = in[IN_CU_SEQLENS]};
}

/* ------------------------------------------------------------------ keys */

/* Everything that the graphs hold and that is not of the batch. */
static struct berth_hash128 stamp_of(const struct berth_model *m, const struct berth_forward_options *o) {
    const struct berth_hash128 gradients =
        berth_hash(o->gradients, (size_t)m->parameter_count * sizeof *o->gradients);
    const struct { /* without padding: compared as bytes */
        struct berth_hash128 gradients;
        const void *values, *half;
        uint64_t frozen_dropout;
        float hidden, attention;
    } all = {gradients,
             m->values,
             m->half,
             o->frozen_dropout,
             m->config.hidden_dropout,
             m->config.attention_dropout};
    return berth_hash(&all, sizeof all);
}

static berth_status find_pass(struct berth_model_graphs *g, int64_t tokens, int64_t sequences, int layers) {
    for (size_t i = 0; i < g->count; i++) {
        struct kept_pass *p = &g->list[i];
        if (p->tokens == tokens && p->sequences == sequences && p->layers == layers) {
            g->open = p;
            return BERTH_OK;
        }
    }
    BERTH_TRY(berth_grow(&g->list, &g->capacity, g->count + 1, sizeof *g->list));
    g->list[g->count] = (struct kept_pass){.tokens = tokens, .sequences = sequences, .layers = layers};
    g->open = &g->list[g->count++];
    return BERTH_OK;
}

/* With BERTH_SYNC=1 operations go one by one, so that a failing one is named. */
bool graph_serves(const struct forward_run *run) {
    const struct berth_forward_options *o = run->options;
    struct berth_model_graphs *g = o->graphs;
    const struct berth_batch *b = run->batch;
    if (g == NULL || !o->training || o->gradients == NULL || run->layers == 0) return false;
    const char *why = run->m->device->waits   ? "BERTH_SYNC=1"
                      : o->recompute          ? "layers are computed again in backward"
                      : run->m->split != NULL ? "gradients of each task are asked for"
                      : run->keeps            ? "a head reads a lower layer"
                      : b->tokens_count > g->limits.max_tokens || b->max_length > g->limits.max_length ||
                              b->sequence_count > g->limits.max_sequences
                          ? "a batch is larger than was planned"
                          : NULL;
    if (why != NULL && !g->told)
        berth_log(BERTH_LOG_WARN, "graphs: on has no effect on passes of this run where %s", why);
    g->told |= why != NULL;
    return why == NULL;
}

/* ------------------------------------------------------------------ passes */

/* The encoder over the filled batch, on the graphs' tape: run, or kept. */
static berth_status encode(struct berth_model_graphs *g) {
    struct forward_run run = {
        .m = g->m, .tape = g->tape, .batch = &g->batch, .options = &g->options, .graphs = g};
    BERTH_TRY(forward_begin(&run));
    run.layers = g->open->layers;
    BERTH_TRY(forward_backbone(&run, &g->open->hidden));
    g->open->hidden_data = g->open->hidden->data;
    return BERTH_OK;
}

/* Ends what is being kept; a failure on the way keeps its error. */
static berth_status end_graph(struct berth_model_graphs *g, berth_status status, void **graph) {
    if (status == BERTH_OK) return berth_graph_end(g->m->device, graph);
    void *half_done = NULL;
    char text[1024];
    snprintf(text, sizeof text, "%s", berth_error_text());
    if (berth_graph_end(g->m->device, &half_done) == BERTH_OK) berth_graph_free(g->m->device, half_done);
    return berth_error_set(status, __FILE__, __LINE__, "%s", text);
}

static berth_status keep_forward(struct berth_model_graphs *g) {
    BERTH_TRY(berth_graph_begin(g->m->device));
    BERTH_TRY(end_graph(g, encode(g), &g->open->forward));
    g->kept++;
    return BERTH_OK;
}

/* The arena has moved: what was kept is kept anew. */
static void forget_graphs(struct berth_model_graphs *g) {
    for (size_t i = 0; i < g->count; i++) {
        berth_graph_free(g->m->device, g->list[i].forward);
        berth_graph_free(g->m->device, g->list[i].backward);
        g->list[i].forward = g->list[i].backward = NULL;
    }
}

/* The arena that the pass at hand begins with: one block of what passes have needed so far. */
static void begin_arena(struct berth_model_graphs *g) {
    berth_tape_reset(g->tape, true);
    berth_tape_reserve(g->tape, g->limits.bytes);
    if (berth_tape_allocations(g->tape) != g->allocations) forget_graphs(g);
    g->allocations = berth_tape_allocations(g->tape);
}

static void note_memory(struct berth_model_graphs *g) {
    if (berth_tape_memory(g->tape) > g->limits.bytes) g->limits.bytes = berth_tape_memory(g->tape);
}

/* A pass that could not be kept for want of arena is run instead, in a larger one; a later pass of its key is
 * kept. */
static berth_status run_instead(struct berth_model_graphs *g) {
    berth_error_clear();
    g->limits.bytes += g->limits.bytes / 4 + 1;
    forget_graphs(g);
    begin_arena(g);
    return encode(g);
}

/* The pass at hand has no graph yet: it is run, or kept. */
static berth_status begin_pass(struct berth_model_graphs *g) {
    begin_arena(g);
    berth_status status = g->open->runs > 0 && !g->keeps_none ? keep_forward(g) : encode(g);
    if (status == BERTH_E_MEMORY && g->open->forward == NULL && g->open->runs > 0) status = run_instead(g);
    note_memory(g);
    return status;
}

berth_status graph_forward(struct forward_run *run, struct berth_tensor **hidden) {
    struct berth_model *m = run->m;
    struct berth_model_graphs *g = run->options->graphs;
    const int64_t tokens = token_bucket(run->batch->tokens_count);
    const int64_t sequences = sequence_bucket(run->batch->sequence_count + tokens - run->batch->tokens_count);
    const struct berth_hash128 stamp = stamp_of(m, run->options);
    const bool trained = run->first_trainable <= run->layers;
    const int64_t shape[2] = {tokens, m->config.hidden};
    if (memcmp(&stamp, &g->stamp, sizeof stamp) != 0) drop_graphs(g);
    g->stamp = stamp;
    fill_inputs(g, run->batch, run->options, tokens, sequences);
    BERTH_TRY(berth_device_upload(m->device, g->device, g->host, g->words * sizeof *g->host));
    BERTH_TRY(find_pass(g, tokens, sequences, run->layers));
    g->options = *run->options;
    struct kept_pass *p = g->open;
    if (trained && p->forward != NULL &&
        p->backward == NULL) { /* nobody asked for its backward: its record is gone */
        berth_graph_free(m->device, p->forward);
        p->forward = NULL;
    }
    if (p->forward == NULL)
        BERTH_TRY(begin_pass(g));
    else
        m->backbone_passes++;
    if (p->forward != NULL) {
        BERTH_TRY(berth_graph_launch(m->device, p->forward));
        g->launches++;
    }
    p->runs++;
    if (!trained) g->open = NULL;
    BERTH_TRY(
        berth_device_zero(m->device, g->gradient, (size_t)(tokens * m->config.hidden) * sizeof *g->gradient));
    return berth_tape_parameter(run->tape, hidden, p->hidden_data, trained ? g->gradient : NULL, 2, shape);
}

static berth_status walk_back(struct berth_model_graphs *g) {
    const void *gradient = g->gradient;
    return berth_tape_backward_from(g->tape, &g->open->hidden, &gradient, 1);
}

berth_status berth_model_graphs_backward(struct berth_model_graphs *g) {
    struct kept_pass *p = g == NULL ? NULL : g->open;
    if (p == NULL) return BERTH_OK;
    if (p->forward == NULL) { /* the first of its key */
        berth_status status = walk_back(g);
        note_memory(g);
        g->open = NULL;
        return status;
    }
    if (p->backward == NULL) {
        BERTH_TRY(berth_graph_begin(g->m->device));
        berth_status status = end_graph(g, walk_back(g), &p->backward);
        if (status ==
            BERTH_E_MEMORY) { /* nothing was done yet: the pass once more, to the same bits, and back */
            BERTH_TRY(run_instead(g));
            BERTH_TRY(walk_back(g));
            note_memory(g);
            g->open = NULL;
            return BERTH_OK;
        }
        BERTH_TRY(status);
        g->kept++;
    }
    g->open = NULL;
    g->launches++;
    return berth_graph_launch(g->m->device, p->backward);
}

void graph_keep_none(struct berth_model_graphs *g) {
    g->keeps_none = true;
}

void berth_model_graphs_count(const struct berth_model_graphs *g, int64_t *kept, int64_t *launches) {
    *kept = g->kept;
    *launches = g->launches;
}
