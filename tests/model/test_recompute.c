/* test_recompute.c: layers that are computed again in backward: the same bits, less memory, frozen layers once.
 */
#include <math.h>
#include <stdio.h>

#include "model/support_model.h"
#include "tape/tape_priv.h"

enum { LAYERS = 5, HEADS = 3 };

enum setting { PLAIN, FROZEN, BIASES, MIXED, LOWER, HALF, SPLIT, DISTIL, SETTINGS };
static const char *const NAMES[SETTINGS] = {
    "plain", "frozen lower layers", "biases alone", "mix of layers", "a lower layer's",
    "bf16",  "gradients by task",   "distilbert"};

struct world {
    enum setting setting;
    struct berth_device *device;
    struct berth_model *model;
    struct berth_tape *tape;
    struct berth_batch batch;
    float *flat;              /* gradients, in host memory */
    float *grads, **pointers; /* the same where the device has them: flat itself, or its own memory */
    struct berth_task_gradients *split;
    float loss;
};

static bool trains(const struct world *w, const struct berth_parameter *p) {
    if (w->setting == FROZEN) return p->stage > 2; /* embeddings, layers 0 and 1 */
    return w->setting != BIASES || p->is_bias || p->owner > 0;
}

static void add_heads(struct world *w) {
    static const enum berth_task_kind KINDS[HEADS] = {BERTH_TASK_CLASSIFICATION, BERTH_TASK_TAGGING,
                                                      BERTH_TASK_CLASSIFICATION};
    for (int i = 0; i < HEADS; i++) {
        struct berth_head h;
        small_head(&h, (const char[]){(char)('a' + i), '\0'}, KINDS[i],
                   i == 2 ? BERTH_POOL_MEAN : BERTH_POOL_CLS, 3);
        if (w->setting == MIXED && i == 0) h.reads = BERTH_READS_MIX;
        if (w->setting == LOWER) h.reads = BERTH_READS_LAYER;
        h.layer = w->setting == LOWER ? 2 + i : 0;
        check_ok(berth_model_add_head(w->model, &h));
        berth_task_deinit(&h.task);
    }
}

static size_t grad_bytes(const struct world *w) {
    return (size_t)w->model->total * sizeof *w->flat;
}

static void world_open_on(struct world *w, enum setting setting, const int64_t *lengths, int count,
                          const char *device) {
    struct berth_model_config c;
    *w = (struct world){.setting = setting};
    check_ok(berth_device_open(&w->device, device));
    check_ok(berth_tape_create(&w->tape, w->device));
    small_config(&c, setting == DISTIL ? "distilbert" : "bert");
    c.layers = LAYERS;
    c.positions = 512;
    check_ok(berth_model_create(&w->model, w->device, &c));
    berth_model_config_deinit(&c);
    add_heads(w);
    check_ok(berth_model_allocate(w->model, 1));
    derive_values(w->model, 3, 0.4);
    berth_batch_init(&w->batch);
    small_batch(&w->batch, w->model, lengths, count);
    check_ok(berth_calloc(&w->flat, (size_t)w->model->total, sizeof *w->flat));
    w->grads = w->flat;
    if (!w->device->backend->host_memory) check_ok(berth_device_alloc(w->device, &w->grads, grad_bytes(w)));
    check_ok(berth_calloc(&w->pointers, (size_t)w->model->parameter_count, sizeof *w->pointers));
    for (int i = 0; i < w->model->parameter_count; i++)
        if (trains(w, &w->model->parameters[i])) w->pointers[i] = w->grads + w->model->parameters[i].offset;
    const struct berth_task_gradient_options options = {.gradients = w->pointers};
    if (setting == SPLIT) check_ok(berth_task_gradients_create(&w->split, w->model, &options));
}

static void world_open(struct world *w, enum setting setting, const int64_t *lengths, int count) {
    world_open_on(w, setting, lengths, count, "cpu");
}

static void world_close(struct world *w) {
    berth_task_gradients_free(w->split);
    if (w->grads != w->flat) berth_device_free(w->device, w->grads, grad_bytes(w));
    free(w->flat);
    free(w->pointers);
    berth_batch_deinit(&w->batch);
    berth_model_free(w->model);
    berth_tape_free(w->tape);
    berth_device_close(w->device);
}

/* A step with dropout; gradients into w->flat, the loss into w->loss. */
static void walk(struct world *w, bool recompute) {
    struct berth_tensor *logits[HEADS], *loss = NULL;
    const struct berth_batch *b = &w->batch;
    const struct berth_forward_options options = {.training = true,
                                                  .seed = 5,
                                                  .step = 2,
                                                  .gradients = w->pointers,
                                                  .task_gradients = w->split,
                                                  .recompute = recompute};
    check_ok(berth_device_zero(w->device, w->grads, grad_bytes(w)));
    if (w->split != NULL) check_ok(berth_task_gradients_begin(w->split));
    if (w->split != NULL) check_ok(berth_task_gradients_arrange(w->split, b, &b));
    berth_tape_reset(w->tape, true);
    check_ok(berth_model_forward(w->model, w->tape, b, &options, logits));
    for (int i = 0; i < HEADS; i++) {
        struct berth_tensor *rows = NULL, *part = NULL, *sum = NULL;
        check_ok(berth_model_head_loss(w->model, w->tape, i, logits[i], b, &rows));
        check_ok(berth_op_scaled_sum(w->tape, &part, rows, (float)(i + 1)));
        if (loss != NULL) check_ok(berth_op_add(w->tape, &sum, loss, part));
        loss = loss != NULL ? sum : part;
    }
    check_ok(berth_device_download(w->device, &w->loss, loss->data, sizeof w->loss));
    check_ok(berth_tape_backward(w->tape, loss));
    if (w->split != NULL)
        check_ok(berth_task_gradients_combine(w->split, (const double[HEADS]){0.5, -2, 0.25}));
}

static void the_same_bits(void **state) {
    (void)state;
    static const int64_t LENGTHS[] = {5, 1, 20, 8, 3, 7};
    for (int s = 0; s < SETTINGS; s++) {
        struct world w;
        float *kept = NULL;
        world_open(&w, (enum setting)s, LENGTHS, 6);
        if (s == HALF && berth_model_set_precision(w.model, BERTH_BF16) != BERTH_OK) {
            print_message("no bf16 here\n");
            world_close(&w);
            continue;
        }
        const size_t bytes = (size_t)w.model->total * sizeof *w.flat;
        check_ok(berth_calloc(&kept, (size_t)w.model->total, sizeof *kept));
        walk(&w, false);
        memcpy(kept, w.flat, bytes);
        const float loss = w.loss;
        for (int again = 0; again < 2; again++) {
            walk(&w, true);
            assert_memory_equal(&loss, &w.loss, sizeof loss);
            for (int i = 0; i < w.model->parameter_count; i++) {
                const struct berth_parameter *p = &w.model->parameters[i];
                if (memcmp(kept + p->offset, w.flat + p->offset, (size_t)p->count * sizeof *kept) != 0)
                    fail_msg("%s: %s differs", NAMES[s], p->name);
            }
        }
        free(kept);
        world_close(&w);
    }
}

/* On the device that executes the CUDA kernels, too. */
static void the_same_bits_on_another_device(void **state) {
    (void)state;
    static const int64_t LENGTHS[] = {5, 1, 8};
    struct berth_device *probe = NULL;
    if (berth_device_open(&probe, "cuda-host") != BERTH_OK) skip();
    berth_device_close(probe);
    for (int half = 0; half < 2; half++) {
        struct world w;
        float *kept = NULL, loss = 0;
        world_open_on(&w, PLAIN, LENGTHS, 3, "cuda-host");
        if (half) check_ok(berth_model_set_precision(w.model, BERTH_BF16));
        check_ok(berth_calloc(&kept, (size_t)w.model->total, sizeof *kept));
        for (int recompute = 0; recompute < 2; recompute++) {
            walk(&w, recompute);
            check_ok(berth_device_download(w.device, w.flat, w.grads, grad_bytes(&w)));
            check_ok(berth_device_synchronize(w.device));
            if (recompute) assert_memory_equal(kept, w.flat, grad_bytes(&w));
            if (recompute) assert_memory_equal(&loss, &w.loss, sizeof loss);
            memcpy(kept, w.flat, grad_bytes(&w));
            loss = w.loss;
        }
        free(kept);
        world_close(&w);
    }
}

/* ---- how often a layer runs */

static struct berth_ops real;
static int attention_calls;

static int count_attention(void *out, float *lse, const void *qkv, const int32_t *cu, void *workspace,
                           int64_t tokens, int64_t sequences, int64_t most, int64_t heads, int64_t size,
                           float scale, const struct berth_dropout *mask, enum berth_dtype dtype,
                           berth_stream *stream) {
    attention_calls++;
    return real.attention_forward(out, lse, qkv, cu, workspace, tokens, sequences, most, heads, size, scale,
                                  mask, dtype, stream);
}

static int attentions(enum setting setting, bool recompute) {
    static const int64_t LENGTHS[] = {5, 3};
    struct world w;
    world_open(&w, setting, LENGTHS, 2);
    real = w.device->ops;
    w.device->ops.attention_forward = count_attention;
    attention_calls = 0;
    walk(&w, recompute);
    w.device->ops = real;
    world_close(&w);
    return attention_calls;
}

static void frozen_layers_run_once(void **state) {
    (void)state;
    assert_int_equal(attentions(PLAIN, false), LAYERS);
    assert_int_equal(attentions(PLAIN, true), LAYERS + LAYERS - 1); /* the highest layer is kept */
    assert_int_equal(attentions(FROZEN, true), LAYERS + LAYERS - 2 - 1);
    assert_int_equal(attentions(LOWER, true), 4 + 4 - 1); /* layers above the highest that is read do not run */
}

/* ---- memory */

static size_t peak(bool recompute, int64_t *requests) {
    static const int64_t LENGTHS[] = {256, 256, 256, 256};
    struct world w;
    world_open(&w, PLAIN, LENGTHS, 4);
    for (int step = 0; step < 4; step++) /* until one block holds all of a step */
        walk(&w, recompute);
    *requests = berth_tape_allocations(w.tape);
    walk(&w, recompute);
    *requests = berth_tape_allocations(w.tape) - *requests;
    const size_t bytes = w.tape->memory.peak;
    world_close(&w);
    return bytes;
}

/* What a layer keeps, and its input alone, in floats a token: plan_sizes.c says the same. */
static void memory_falls_as_stated(void **state) {
    (void)state;
    struct berth_model_config c;
    int64_t requests = 0;
    small_config(&c, "bert");
    const double kept = 8.0 * (double)c.hidden + 2.0 * (double)c.intermediate + (double)c.heads + 4.0,
                 tokens = 1024;
    const double expected = (LAYERS - 1) * (kept - (double)c.hidden) * tokens * sizeof(float);
    const size_t whole = peak(false, &requests);
    assert_int_equal(requests, 0);
    const size_t less = peak(true, &requests);
    assert_int_equal(requests, 0); /* nothing is asked of the device any more */
    const double saved = (double)whole - (double)less;
    if (fabs(saved - expected) > 0.1 * expected)
        fail_msg("%zu bytes with, %zu without: %.0f less, expected %.0f", less, whole, saved, expected);
    berth_model_config_deinit(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_bits),
        cmocka_unit_test(the_same_bits_on_another_device),
        cmocka_unit_test(frozen_layers_run_once),
        cmocka_unit_test(memory_falls_as_stated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
