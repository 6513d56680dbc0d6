/* attention_cuda.c: plans of cuDNN's attention, and how they are run.
 *
 *     memory   [lengths][qkv offsets][out offsets][lse offsets][seed, position][lse of nobody][workspace]
 *
 * The lists are made from cu_seqlens by a kernel before each plan: they are of the bucket's size, and the seed
 * is another one for each dropout of the network. */
#include "device/cuda/attention_cuda.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "berth/kernels_cuda.h"

enum which { FORWARD, FORWARD_DROP, BACKWARD, BACKWARD_DROP, WHICH };
static const char *const which_names[WHICH] = {"forward", "forward-dropout", "backward", "backward-dropout"};

struct one_plan {
    struct cudnn_graph *graph;
    struct cudnn_plan *plan; /* NULL: not needed */
};
struct bucket_plans {
    struct attention_bucket bucket;
    struct one_plan plans[WHICH];
};

struct attention_cuda {
    const struct cudnn_api *api;
    struct cudnn_device device;
    struct berth_attention_use use;
    struct berth_cuda_ragged lists; /* device memory */
    float *spare_lse;
    void *workspace;
    float scale, minus, keep, keep_inverse; /* numbers of the graphs */
    struct bucket_plans *buckets;
    int count;
};

static bool is_backward(enum which which) {
    return which == BACKWARD || which == BACKWARD_DROP;
}

static bool drops(enum which which) {
    return which == FORWARD_DROP || which == BACKWARD_DROP;
}

static void free_plan(struct one_plan *p) {
    cudnn_plan_free(p->plan);
    cudnn_graph_free(p->graph);
    *p = (struct one_plan){0};
}

void attention_cuda_close(struct attention_cuda *a) {
    if (a == NULL) return;
    for (int i = 0; i < a->count; i++)
        for (int w = 0; w < WHICH; w++)
            free_plan(&a->buckets[i].plans[w]);
    free(a->buckets);
    free(a);
}

/* engine -1: the heuristics' first. */
static berth_status compile(const struct attention_cuda *a, struct one_plan *out,
                            struct attention_bucket bucket, enum which which, int64_t engine) {
    berth_status status = BERTH_OK;
    struct one_plan p = {0};
    const struct cudnn_attention graph = {.sequences = bucket.sequences,
                                          .length = bucket.length,
                                          .heads = a->use.heads,
                                          .head_size = a->use.head_size,
                                          .scale = a->scale,
                                          .keep = drops(which) ? (double)a->keep : 1.0};
    if (is_backward(which))
        BERTH_TRY_OUT(cudnn_attention_backward_graph(&p.graph, a->api, a->device.handle, &graph));
    else
        BERTH_TRY_OUT(cudnn_attention_forward_graph(&p.graph, a->api, a->device.handle, &graph));
    BERTH_TRY_OUT(cudnn_plan_create_with(&p.plan, p.graph, &a->device, true, engine));
    free_plan(out);
    *out = p;
    p = (struct one_plan){0};
out:
    free_plan(&p);
    if (status == BERTH_OK) return BERTH_OK;
    return berth_error_context(status, "attention: cudnn: %s of up to %lld sequences of up to %lld tokens",
                               which_names[which], (long long)bucket.sequences, (long long)bucket.length);
}

static bool is_needed(const struct berth_attention_use *use, enum which which) {
    if (drops(which)) return use->training && use->dropout > 0;
    return !is_backward(which) || (use->training && use->dropout <= 0);
}

static berth_status compile_all(struct attention_cuda *a) {
    for (int i = 0; i < a->count; i++)
        for (int w = 0; w < WHICH; w++)
            if (is_needed(&a->use, (enum which)w))
                BERTH_TRY(compile(a, &a->buckets[i].plans[w], a->buckets[i].bucket, (enum which)w, -1));
    return BERTH_OK;
}

berth_status attention_cuda_open(struct attention_cuda **out, const struct cudnn_api *api,
                                 const struct cudnn_device *device, const struct berth_attention_use *use) {
    berth_status status = BERTH_OK;
    struct attention_bucket *list = NULL;
    struct attention_cuda *a = NULL;
    *out = NULL;
    const int count = attention_buckets(NULL, 0, use->max_sequences, use->max_length);
    BERTH_TRY_OUT(berth_calloc(&list, (size_t)count, sizeof *list));
    BERTH_TRY_OUT(berth_calloc(&a, 1, sizeof *a));
    BERTH_TRY_OUT(berth_calloc(&a->buckets, (size_t)count, sizeof *a->buckets));
    a->api = api;
    a->device = *device;
    a->use = *use;
    a->count = attention_buckets(list, count, use->max_sequences, use->max_length);
    const uint32_t threshold = berth_dropout_threshold((float)use->dropout);
    a->scale = 1.0f / sqrtf((float)use->head_size);
    a->minus = -INFINITY;
    a->keep = (float)(65536u - threshold) / 65536.0f;
    a->keep_inverse = 1.0f / a->keep;
    for (int i = 0; i < count; i++)
        a->buckets[i].bucket = list[i];
    BERTH_TRY_OUT(compile_all(a));
    *out = a;
    a = NULL;
out:
    attention_cuda_close(a);
    free(list);
    return status;
}

int attention_cuda_plans(const struct attention_cuda *a) {
    int plans = 0;
    for (int i = 0; i < a->count; i++)
        for (int w = 0; w < WHICH; w++)
            plans += a->buckets[i].plans[w].plan != NULL;
    return plans;
}

/* ------------------------------------------------------------------ memory */

static size_t rounded(size_t bytes) {
    return (bytes + 255) / 256 * 256;
}

/* Lays the memory out from `start`, which may be NULL; returns its size. */
static size_t lay_out(struct attention_cuda *a, char *start) {
    const size_t list = rounded(((size_t)a->buckets[a->count - 1].bucket.sequences + 1) * sizeof(int32_t));
    size_t at = 0;
    int32_t **const lists[] = {&a->lists.lengths, &a->lists.qkv_offset, &a->lists.out_offset,
                               &a->lists.lse_offset};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++, at += list)
        if (start != NULL) *lists[i] = (int32_t *)(void *)(start + at);
    if (start != NULL) {
        a->lists.seed = (int64_t *)(void *)(start + at);
        a->lists.position = a->lists.seed + 16; /* each aligned to 128 bytes */
        a->spare_lse = (float *)(void *)(start + at + 256);
    }
    at += 256 + rounded((size_t)(a->use.max_tokens * a->use.heads) * sizeof(float));
    if (start != NULL) a->workspace = start + at;
    return at;
}

size_t attention_cuda_bytes(const struct attention_cuda *a) {
    struct attention_cuda copy = *a;
    int64_t most = 0;
    for (int i = 0; i < a->count; i++)
        for (int w = 0; w < WHICH; w++) {
            const struct cudnn_plan *plan = a->buckets[i].plans[w].plan;
            if (plan != NULL && cudnn_plan_workspace(plan) > most) most = cudnn_plan_workspace(plan);
        }
    return lay_out(&copy, NULL) + rounded((size_t)most);
}

void attention_cuda_memory(struct attention_cuda *a, void *memory) {
    (void)lay_out(a, memory);
}

/* ------------------------------------------------------------------ running */

static enum which which_of(const struct attention_cuda_call *call) {
    const bool drop = call->dropout != NULL && call->dropout->threshold != 0;
    if (call->dqkv == NULL) return drop ? FORWARD_DROP : FORWARD;
    return drop ? BACKWARD_DROP : BACKWARD;
}

static const struct bucket_plans *find_bucket(const struct attention_cuda *a,
                                              const struct attention_cuda_call *call) {
    const struct attention_bucket wanted = attention_bucket_of(call->sequences, call->max_length);
    for (int i = 0; i < a->count; i++) {
        const struct attention_bucket b = a->buckets[i].bucket;
        if (b.sequences == wanted.sequences && b.length == wanted.length) return &a->buckets[i];
    }
    return NULL;
}

/* A batch beyond what was said is the own kernels', forward and backward alike: both see the same sizes. */
bool attention_cuda_serves(const struct attention_cuda *a, const struct attention_cuda_call *call) {
    const struct berth_attention_use *use = &a->use;
    const bool drop = call->dropout != NULL && call->dropout->threshold != 0;
    if (call->dtype != BERTH_BF16 || call->heads != use->heads || call->head_size != use->head_size)
        return false;
    if (call->scale != a->scale || call->tokens > use->max_tokens) return false;
    if (call->tokens * 3 * call->heads * call->head_size > INT32_MAX) return false; /* offsets */
    if (use->training && drop != (use->dropout > 0) && call->dqkv != NULL) return false;
    const struct bucket_plans *b = find_bucket(a, call);
    return b != NULL && b->plans[which_of(call)].plan != NULL;
}

struct pack {
    int64_t uids[24];
    void *pointers[24];
    int64_t count;
};

static void put(struct pack *p, int64_t uid, const void *pointer) {
    BERTH_ASSERT(p->count < 24);
    p->uids[p->count] = uid;
    memcpy(&p->pointers[p->count++], &pointer, sizeof pointer);
}

/* Query, key and value lie A D elements of bf16 apart. */
static void put_qkv(struct pack *p, int64_t query, const void *qkv, int64_t width) {
    for (int64_t i = 0; i < 3; i++)
        put(p, query + i, (const uint16_t *)qkv + i * width);
}

static void fill_pack(struct pack *p, const struct attention_cuda *a, const struct attention_cuda_call *call,
                      enum which which) {
    const int64_t width = call->heads * call->head_size;
    put_qkv(p, ATTENTION_QUERY, call->qkv, width);
    put(p, ATTENTION_OUT, call->out);
    put(p, ATTENTION_LSE, call->lse != NULL ? call->lse : a->spare_lse);
    put(p, ATTENTION_LENGTHS, a->lists.lengths);
    put(p, ATTENTION_QKV_OFFSET, a->lists.qkv_offset);
    put(p, ATTENTION_OUT_OFFSET, a->lists.out_offset);
    put(p, ATTENTION_LSE_OFFSET, a->lists.lse_offset);
    put(p, ATTENTION_SCALE, &a->scale);
    put(p, ATTENTION_MINUS, &a->minus);
    if (drops(which)) {
        put(p, ATTENTION_SEED, a->lists.seed);
        put(p, ATTENTION_POSITION, a->lists.position);
        put(p, ATTENTION_KEEP_INVERSE, &a->keep_inverse);
    }
    if (!is_backward(which)) return;
    put(p, ATTENTION_DOUT, call->dout);
    put_qkv(p, ATTENTION_DQUERY, call->dqkv, width);
    put(p, ATTENTION_KEY_ROWS, (const uint16_t *)call->qkv + width);
    if (drops(which)) put(p, ATTENTION_KEEP, &a->keep);
}

berth_status attention_cuda_run(struct attention_cuda *a, const struct attention_cuda_call *call,
                                berth_stream *stream) {
    const struct bucket_plans *b = find_bucket(a, call);
    const enum which which = which_of(call);
    const struct berth_cuda_stream *s = (const struct berth_cuda_stream *)(const void *)stream;
    struct pack pack = {.count = 0};
    BERTH_ASSERT_MSG(b != NULL && b->plans[which].plan != NULL && a->workspace != NULL,
                     "attention_cuda_serves comes first");
    const int error =
        berth_cuda_attention_ragged(&a->lists, call->cu_seqlens, call->sequences, b->bucket.sequences,
                                    call->tokens, call->heads, call->head_size, call->dropout, stream);
    if (error != 0) BERTH_FAIL(BERTH_E_DEVICE, "lists for cuDNN's attention: error %d", error);
    fill_pack(&pack, a, call, which);
    BERTH_TRY(CUDNN_CALL(a->api, SetStream(a->device.handle, (cudaStream_t)s->stream)));
    return cudnn_plan_run(b->plans[which].plan, a->device.handle, pack.uids, pack.pointers, pack.count,
                          a->workspace);
}

/* ------------------------------------------------------------------ choices */

void attention_cuda_choices(const struct attention_cuda *a, struct berth_str *out) {
    for (int i = 0; i < a->count; i++)
        for (int w = 0; w < WHICH; w++) {
            const struct bucket_plans *b = &a->buckets[i];
            if (b->plans[w].plan == NULL) continue;
            berth_str_addf(out, "cudnn %lld %lld %s %lld\n", (long long)b->bucket.sequences,
                           (long long)b->bucket.length, which_names[w],
                           (long long)cudnn_plan_engine(b->plans[w].plan));
        }
}

static berth_status restore_line(struct attention_cuda *a, const char *line) {
    long long sequences = 0, length = 0, engine = 0;
    char name[24] = "";
    if (sscanf(line, "cudnn %lld %lld %23s %lld", &sequences, &length, name, &engine) != 4)
        BERTH_FAIL(BERTH_E_FORMAT,
                   "choices of cuDNN: found '%.40s', expected 'cudnn SEQUENCES LENGTH WHICH ENGINE'", line);
    for (int i = 0; i < a->count; i++)
        for (int w = 0; w < WHICH; w++) {
            struct bucket_plans *b = &a->buckets[i];
            struct one_plan *p = &b->plans[w];
            if (p->plan == NULL || b->bucket.sequences != sequences || b->bucket.length != length ||
                strcmp(name, which_names[w]) != 0 || cudnn_plan_engine(p->plan) == engine)
                continue;
            BERTH_TRY(compile(a, p, b->bucket, (enum which)w, engine));
        }
    return BERTH_OK;
}

berth_status attention_cuda_restore(struct attention_cuda *a, const char *text) {
    while (text != NULL && *text != '\0') {
        BERTH_TRY(restore_line(a, text));
        text = strchr(text, '\n');
        if (text != NULL) text++;
    }
    return BERTH_OK;
}
