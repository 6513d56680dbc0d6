/* test_task_gradients.c: the gradients of each task from one walk back are those of a walk a task. */
#include <math.h>
#include <stdio.h>

#include "model/support_model.h"

enum { MOST = 5, SEQUENCES = 12 };

/* What the heads and the frozen parts are. */
enum setting { PLAIN, TIED, SHARED, MIXED, FROZEN, PAIRS, HALF, SETTINGS };
static const char *const NAMES[SETTINGS] = {"plain",  "tied mlm", "shared head", "mix of layers",
                                            "frozen", "pairs",    "bf16"};

struct world {
    enum setting setting;
    struct berth_device *device;
    struct berth_model *model;
    struct berth_tape *tape;
    struct berth_batch batch;
    int heads;
    float *flat;              /* gradients laid out as the values are, in host memory */
    float *grads, **pointers; /* the same where the device has them: flat itself, or its own memory */
    bool *trained;
    struct berth_task_gradients *split;
};

static void add_head(struct world *w, const char *name, enum berth_task_kind kind, enum berth_pooling pooling,
                     int classes, const struct berth_head *more) {
    struct berth_head h;
    small_head(&h, name, kind, pooling, classes);
    h.reads = more->reads;
    h.crf = more->crf;
    h.scale = 4;
    if (more->shares != NULL) check_ok(berth_strdup(&h.shares, more->shares));
    check_ok(berth_model_add_head(w->model, &h));
    free(h.shares);
    berth_task_deinit(&h.task);
    w->heads++;
}

/* Which heads have items of which sequence: two of several, one of nobody. */
static const char *const OWNERS[SEQUENCES] = {"0", "0", "0", "013", "01", "1", "1", "", "2", "23", "3", "34"};

static bool owned(int sequence, int head) {
    return strchr(OWNERS[sequence], '0' + head) != NULL;
}

static void add_items(struct world *w, int head) {
    struct berth_batch *b = &w->batch;
    const enum berth_task_kind kind = w->model->heads[head].task.kind;
    const int64_t classes = berth_head_width(w->model, head);
    uint32_t n = 0;
    int32_t anchor = -1;
    for (int s = 0; s < SEQUENCES; s++) {
        if (!owned(s, head)) continue;
        const bool rows = kind == BERTH_TASK_TAGGING || kind == BERTH_TASK_MLM;
        if (kind == BERTH_TASK_CONTRASTIVE) { /* two neighbours of the task's are a pair */
            const struct berth_item item = {.index = anchor, .label = 0, .pair = s, .negative = -1};
            if (anchor >= 0) check_ok(berth_batch_put_item(b, head, &item));
            anchor = anchor >= 0 ? -1 : s;
            continue;
        }
        for (int32_t i = rows ? b->cu_seqlens[s] : s; i < (rows ? b->cu_seqlens[s + 1] : s + 1); i++, n++) {
            const uint32_t word = berth_random_u32(4, BERTH_PURPOSE_TEST, (uint32_t)head, n);
            if (kind == BERTH_TASK_MLM && word % 3 == 0) continue;
            check_ok(berth_batch_add_item(b, head, i, n % 7 == 6 ? -1 : (int32_t)(word % (uint32_t)classes)));
        }
    }
}

static void make_batch(struct world *w) {
    static const int64_t LENGTHS[SEQUENCES] = {5, 1, 20, 8, 3, 7, 2, 9, 4, 11, 6, 3};
    struct berth_batch *b = &w->batch;
    int32_t tokens[20], segments[20];
    berth_batch_init(b);
    check_ok(berth_batch_reset(b, w->heads));
    for (int s = 0; s < SEQUENCES; s++) {
        for (int64_t i = 0; i < LENGTHS[s]; i++) {
            const uint32_t word = berth_random_u32(3, BERTH_PURPOSE_TEST, (uint32_t)s, (uint64_t)i);
            tokens[i] =
                (int32_t)(word % (uint32_t)(w->model->config.vocab_size - 10)); /* ten that nobody meets */
            segments[i] = (int32_t)(word >> 16 & 1);
        }
        check_ok(berth_batch_add_sequence(b, tokens, segments, LENGTHS[s], s, 0, s));
    }
    for (int head = 0; head < w->heads; head++)
        add_items(w, head);
    check_ok(berth_batch_finish(b));
}

static void add_heads(struct world *w) {
    const struct berth_head none = {0}, crf = {.crf = true}, shared = {.shares = "b", .crf = true},
                            mixed = {.reads = BERTH_READS_MIX};
    add_head(w, "a", BERTH_TASK_CLASSIFICATION, BERTH_POOL_POOLER, 3, w->setting == MIXED ? &mixed : &none);
    add_head(w, "b", BERTH_TASK_TAGGING, BERTH_POOL_CLS, 4, w->setting == SHARED ? &crf : &none);
    add_head(w, "c", BERTH_TASK_CLASSIFICATION, BERTH_POOL_MEAN, 2, &none);
    if (w->setting == TIED) add_head(w, "d", BERTH_TASK_MLM, BERTH_POOL_CLS, 0, &none);
    if (w->setting == SHARED) add_head(w, "d", BERTH_TASK_TAGGING, BERTH_POOL_CLS, 4, &shared);
    if (w->setting == PAIRS) add_head(w, "d", BERTH_TASK_CONTRASTIVE, BERTH_POOL_MEAN, 0, &none);
}

/* Embeddings and the lower layer; of the upper one the key, whose gradient is made beside its neighbours'. */
static bool is_frozen(const struct world *w, const struct berth_parameter *p) {
    return w->setting == FROZEN && (p->stage < 2 || strstr(p->name, "attention.self.key") != NULL);
}

static void open_split(struct world *w, bool representation, const bool *wanted) {
    const struct berth_task_gradient_options options = {
        .gradients = w->pointers, .trained = w->trained, .wanted = wanted, .representation = representation};
    berth_task_gradients_free(w->split);
    w->split = NULL;
    check_ok(berth_task_gradients_create(&w->split, w->model, &options));
    check_ok(berth_task_gradients_begin(w->split));
}

static size_t grad_bytes(const struct world *w) {
    return (size_t)w->model->total * sizeof(float);
}

static void clear(struct world *w) {
    memset(w->flat, 0, grad_bytes(w));
    check_ok(berth_device_zero(w->device, w->grads, grad_bytes(w)));
}

static float *copy(const struct world *w) {
    float *out = NULL;
    check_ok(berth_calloc(&out, (size_t)w->model->total, sizeof *out));
    memcpy(out, w->flat, (size_t)w->model->total * sizeof *out);
    return out;
}

/* False where the setting cannot be had on this machine. */
static bool world_open_on(struct world *w, enum setting setting, const char *device) {
    *w = (struct world){.setting = setting};
    check_ok(berth_device_open(&w->device, device));
    check_ok(berth_tape_create(&w->tape, w->device));
    w->model = small_model(w->device, "bert");
    add_heads(w);
    check_ok(berth_model_allocate(w->model, 1));
    derive_values(w->model, 3, 0.4);
    make_batch(w);
    check_ok(berth_calloc(&w->flat, (size_t)w->model->total, sizeof *w->flat));
    w->grads = w->flat;
    if (!w->device->backend->host_memory) check_ok(berth_device_alloc(w->device, &w->grads, grad_bytes(w)));
    clear(w);
    check_ok(berth_calloc(&w->pointers, (size_t)w->model->parameter_count, sizeof *w->pointers));
    check_ok(berth_calloc(&w->trained, (size_t)w->model->parameter_count, sizeof *w->trained));
    for (int i = 0; i < w->model->parameter_count; i++) {
        const struct berth_parameter *p = &w->model->parameters[i];
        const bool room = strstr(p->name, "layer.1.attention.self.key") != NULL;
        w->trained[i] = !is_frozen(w, p);
        w->pointers[i] = w->trained[i] || room ? w->grads + p->offset : NULL;
    }
    open_split(w, false, NULL);
    if (setting != HALF) return true;
    return berth_model_set_precision(w->model, BERTH_BF16) == BERTH_OK;
}

static bool world_open(struct world *w, enum setting setting) {
    return world_open_on(w, setting, "cpu");
}

static void world_close(struct world *w) {
    berth_task_gradients_free(w->split);
    if (w->grads != w->flat) berth_device_free(w->device, w->grads, grad_bytes(w));
    free(w->flat);
    free(w->pointers);
    free(w->trained);
    berth_batch_deinit(&w->batch);
    berth_model_free(w->model);
    berth_tape_free(w->tape);
    berth_device_close(w->device);
}

/* The sum of the heads' item losses, each times its number + 1; NULL: no head ran. */
static struct berth_tensor *sum_losses(struct world *w, const struct berth_batch *b,
                                       struct berth_tensor **logits) {
    struct berth_tensor *loss = NULL;
    for (int i = 0; i < w->heads; i++) {
        struct berth_tensor *rows = NULL, *part = NULL, *sum = NULL;
        if (logits[i] == NULL) continue;
        check_ok(berth_model_head_loss(w->model, w->tape, i, logits[i], b, &rows));
        check_ok(berth_op_scaled_sum(w->tape, &part, rows, (float)(i + 1)));
        if (loss != NULL) check_ok(berth_op_add(w->tape, &sum, loss, part));
        loss = loss != NULL ? sum : part;
    }
    return loss;
}

static struct berth_forward_options full(const struct world *w, struct berth_forward_options options) {
    options.training = true; /* with dropout */
    options.seed = 5;
    options.step = 2;
    options.gradients = w->pointers;
    return options;
}

static void walk(struct world *w, const struct berth_batch *b, struct berth_forward_options options) {
    struct berth_tensor *logits[MOST], *loss = NULL;
    options = full(w, options);
    berth_tape_reset(w->tape, true);
    check_ok(berth_model_forward(w->model, w->tape, b, &options, logits));
    loss = sum_losses(w, b, logits);
    check_ok(berth_tape_backward(w->tape, loss));
}

/* Task k's own walk over the batch as it came: into w->flat, which is cleared first. */
static void walk_alone(struct world *w, int k) {
    bool wanted[MOST] = {false};
    wanted[k] = true;
    clear(w);
    walk(w, &w->batch, (struct berth_forward_options){.wanted = wanted});
}

static void walk_split(struct world *w, int times) {
    const struct berth_batch *arranged = NULL;
    for (int i = 0; i < times; i++) {
        check_ok(berth_task_gradients_arrange(w->split, &w->batch, &arranged));
        walk(w, arranged, (struct berth_forward_options){.task_gradients = w->split});
        check_ok(berth_task_gradients_walked(w->split));
    }
}

static bool is_shared(const struct world *w, int i) {
    const int owner = w->model->parameters[i].owner;
    return owner == 0 || (w->setting == SHARED && owner == 2); /* head b is d's, too */
}

static double distance(const float *a, const float *b, int64_t count, double *norm) {
    double off = 0, size = 0;
    for (int64_t i = 0; i < count; i++) {
        off += pow((double)a[i] - (double)b[i], 2);
        size += pow((double)b[i], 2);
    }
    *norm = sqrt(size);
    return sqrt(off);
}

/* c: the gradients combined against the same sum of the tasks' own walks. */
static void check_combination(struct world *w, const double *c, int times) {
    const int64_t total = w->model->total;
    const double each = w->setting == HALF ? 2e-2 : 1e-6, small = w->setting == HALF ? 5e-3 : 1e-7;
    float *expected = NULL;
    double all = 0, norm = 0;
    check_ok(berth_calloc(&expected, (size_t)total, sizeof *expected));
    for (int k = 0; k < w->heads; k++) {
        walk_alone(w, k);
        for (int i = 0; i < w->model->parameter_count; i++) {
            const struct berth_parameter *p = &w->model->parameters[i];
            const double factor = is_shared(w, i) ? c[k] : 1; /* a task's own head has the loss's gradient */
            for (int64_t j = p->offset; w->pointers[i] != NULL && j < p->offset + p->count; j++)
                expected[j] += (float)(factor * (double)w->flat[j] * times);
        }
    }
    clear(w);
    check_ok(berth_task_gradients_begin(w->split));
    walk_split(w, times);
    for (int i = 0; i < w->model->parameter_count; i++) { /* nothing but the heads' was written so far */
        for (int64_t j = 0; is_shared(w, i) && w->pointers[i] != NULL && j < w->model->parameters[i].count; j++)
            assert_true(w->pointers[i][j] == 0.0f);
    }
    check_ok(berth_task_gradients_combine(w->split, c));
    (void)distance(expected, expected, total, &all);
    assert_true(all > 0);
    for (int i = 0; i < w->model->parameter_count; i++) {
        const struct berth_parameter *p = &w->model->parameters[i];
        const double off = distance(w->flat + p->offset, expected + p->offset, p->count, &norm);
        if (w->trained[i] && off > each * norm && off > small * all)
            fail_msg("%s: %s: off by %.3g of %.3g", NAMES[w->setting], p->name, off, norm);
    }
    free(expected);
}

static void combinations_are_the_sums_of_walks(void **state) {
    (void)state;
    static const double COEFFICIENTS[][MOST] = {{1, 1, 1, 1}, {0, 1, 0, 0}, {0, 0, 0, 1}, {0.5, -2, 0.25, 3}};
    for (int s = 0; s < SETTINGS; s++) {
        struct world w;
        const bool there = world_open(&w, (enum setting)s);
        for (int i = 0; there && i < 4; i++)
            check_combination(&w, COEFFICIENTS[i], i == 3 ? 2 : 1); /* accumulation as well */
        world_close(&w);
    }
}

static void check_gram(const struct world *w, const double *gram, int a, int b, double expected, double size) {
    const double tolerance = w->setting == HALF ? 1e-2 : 1e-6, got = gram[a * w->heads + b];
    if (fabs(got - expected) > tolerance * size)
        fail_msg("%s: gram[%d, %d]: %.9g, expected %.9g of %.3g", NAMES[w->setting], a, b, got, expected, size);
    assert_true(got == gram[b * w->heads + a]);
}

static void the_gram_matrix_is_that_of_walks(void **state) {
    (void)state;
    for (int s = 0; s < SETTINGS; s++) {
        struct world w;
        float *own[MOST] = {NULL};
        double gram[MOST * MOST];
        const bool there = world_open(&w, (enum setting)s);
        for (int k = 0; there && k < w.heads; k++) {
            walk_alone(&w, k);
            own[k] = copy(&w);
        }
        if (there) walk_split(&w, 1);
        if (there) check_ok(berth_task_gradients_gram(w.split, gram));
        for (int a = 0; there && a < w.heads; a++) {
            for (int b = 0; b < w.heads; b++) {
                double expected = 0, size = 0;
                for (int i = 0; i < w.model->parameter_count; i++) {
                    const struct berth_parameter *p = &w.model->parameters[i];
                    for (int64_t j = p->offset; is_shared(&w, i) && w.trained[i] && j < p->offset + p->count;
                         j++) {
                        expected += (double)own[a][j] * (double)own[b][j];
                        size += fabs((double)own[a][j] * (double)own[b][j]);
                    }
                }
                check_gram(&w, gram, a, b, expected, size);
            }
        }
        for (int k = 0; k < MOST; k++)
            free(own[k]);
        world_close(&w);
    }
}

/* A task gets the same bits whether the others' losses are there or not: nothing of them reaches its buffer,
 * and its sums have an order of their own. */
static void a_task_does_not_see_the_others(void **state) {
    (void)state;
    struct world w;
    world_open(&w, PLAIN);
    for (int task = 0; task < w.heads; task++) {
        double only[MOST] = {0};
        bool wanted[MOST] = {false};
        float *among = NULL;
        only[task] = 1;
        wanted[task] = true;
        for (int alone = 0; alone < 2; alone++) {
            const struct berth_batch *arranged = NULL;
            clear(&w);
            check_ok(berth_task_gradients_begin(w.split));
            check_ok(berth_task_gradients_arrange(w.split, &w.batch, &arranged));
            walk(&w, arranged,
                 (struct berth_forward_options){.task_gradients = w.split, .wanted = alone ? wanted : NULL});
            check_ok(berth_task_gradients_combine(w.split, only));
            if (!alone) among = copy(&w);
        }
        for (int i = 0; i < w.model->parameter_count; i++) {
            const struct berth_parameter *p = &w.model->parameters[i];
            if (p->owner == 0 && memcmp(among + p->offset, w.flat + p->offset, (size_t)p->count * 4) != 0)
                fail_msg("task %d: %s differs", task, p->name);
        }
        free(among);
    }
    world_close(&w);
}

/* A task that is not wanted has no buffer, no rows in the batch and a product of zero. */
static void unwanted_tasks_cost_nothing(void **state) {
    (void)state;
    struct world w;
    double gram[MOST * MOST];
    const bool wanted[MOST] = {true, false, true};
    const struct berth_batch *arranged = NULL;
    world_open(&w, PLAIN);
    walk_split(&w, 1);
    const size_t all = berth_task_gradients_memory(w.split);
    open_split(&w, false, wanted);
    check_ok(berth_task_gradients_arrange(w.split, &w.batch, &arranged));
    assert_int_equal(arranged->items[1].count, 0);
    assert_int_equal(arranged->sequence_count, 5 + 2);
    walk_split(&w, 1);
    check_ok(berth_task_gradients_gram(w.split, gram));
    for (int i = 0; i < w.heads; i++)
        assert_true(gram[i * w.heads + 1] == 0 && (i == 1 || gram[i * w.heads + i] > 0));
    assert_in_range(berth_task_gradients_memory(w.split), all / 2, all * 2 / 3); /* and fewer tokens are met */
    world_close(&w);
}

/* The token table takes the rows that were met, not the whole of it a task; tied to a decoder, the whole. */
static void memory_is_as_stated(void **state) {
    (void)state;
    static const enum setting SOME[] = {PLAIN, TIED, SHARED, FROZEN};
    for (size_t i = 0; i < sizeof SOME / sizeof SOME[0]; i++) {
        struct world w;
        bool seen[50] = {false};
        int64_t met = 0, needed = 0;
        const struct berth_batch *arranged = NULL;
        world_open(&w, SOME[i]);
        walk_split(&w, 1);
        check_ok(berth_task_gradients_arrange(w.split, &w.batch, &arranged));
        for (int64_t t = 0; t < arranged->tokens_count; t++) {
            met += !seen[arranged->tokens[t]];
            seen[arranged->tokens[t]] = true;
        }
        assert_in_range(met, 20, 40);
        needed = 4 * berth_task_gradients_floats(w.model, w.trained, NULL, met);
        const size_t got = berth_task_gradients_memory(w.split);
        if (got < (size_t)needed ||
            (double)got > 1.3 * (double)needed) /* gaps between parameters, frozen neighbours */
            fail_msg("%s: %zu bytes, expected about %lld", NAMES[w.setting], got, (long long)needed);
        world_close(&w);
    }
}

/* ---- the cost: each kind of backward is called as often as for one loss, sums of parameters once a task */

static struct berth_ops real;
static int attention_calls, activation_calls, down_calls, weight_calls;

static int count_attention(void *dqkv, const void *dout, const void *qkv, const void *out, const float *lse,
                           const int32_t *cu, void *workspace, int64_t tokens, int64_t sequences, int64_t most,
                           int64_t heads, int64_t size, float scale, const struct berth_dropout *mask,
                           enum berth_dtype dtype, berth_stream *stream) {
    attention_calls++;
    return real.attention_backward(dqkv, dout, qkv, out, lse, cu, workspace, tokens, sequences, most, heads,
                                   size, scale, mask, dtype, stream);
}

static int count_activation(void *dx, const void *dy, const void *x, const float *bias, int64_t rows,
                            int64_t columns, enum berth_activation kind, enum berth_dtype dtype,
                            berth_stream *stream) {
    activation_calls++;
    return real.act_backward(dx, dy, x, bias, rows, columns, kind, dtype, stream);
}

static int count_gemm(void *c, const void *a, const void *b, const float *bias, int64_t m, int64_t n, int64_t k,
                      int64_t lda, int64_t ldb, int64_t ldc, enum berth_gemm_form form, int accumulate,
                      enum berth_dtype c_dtype, enum berth_dtype ab_dtype, berth_stream *stream) {
    down_calls += form == BERTH_GEMM_NN;
    weight_calls += form == BERTH_GEMM_TN;
    return real.gemm(c, a, b, bias, m, n, k, lda, ldb, ldc, form, accumulate, c_dtype, ab_dtype, stream);
}

static void activations_are_walked_once(void **state) {
    (void)state;
    struct world w;
    int joint[4] = {0};
    world_open(&w, PLAIN);
    real = w.device->ops;
    w.device->ops.attention_backward = count_attention;
    w.device->ops.act_backward = count_activation;
    w.device->ops.gemm = count_gemm;
    for (int way = 0; way < 3; way++) { /* all in one, by the representation, by the parameters */
        const int64_t passes = w.model->backbone_passes;
        if (way > 0) open_split(&w, way == 1, NULL);
        attention_calls = activation_calls = down_calls = weight_calls = 0;
        if (way > 0)
            walk_split(&w, 1);
        else
            walk(&w, &w.batch, (struct berth_forward_options){0});
        assert_int_equal(w.model->backbone_passes, passes + 1);
        const int now[4] = {attention_calls, activation_calls, down_calls, weight_calls};
        if (way == 0) memcpy(joint, now, sizeof joint);
        assert_int_equal(attention_calls, w.model->config.layers);
        for (int i = 0; i < (way == 2 ? 3 : 4); i++)
            assert_int_equal(now[i], joint[i]);
    }
    /* four products a layer, for each task; the pooler's and the heads' are of one task */
    assert_int_equal(weight_calls, joint[3] + (w.heads - 1) * 4 * w.model->config.layers);
    w.device->ops = real;
    world_close(&w);
}

/* ---- by the shared representation */

/* dloss_k / dhidden [T, H] over the batch as it came. */
static float *hidden_gradient(struct world *w, int k) {
    const int64_t count = w->batch.tokens_count * w->model->config.hidden;
    float *out = NULL;
    struct berth_tensor *logits[MOST] = {NULL}, *hidden = NULL, *seen = NULL;
    struct berth_forward_options options = full(w, (struct berth_forward_options){0});
    struct forward_run run = {.m = w->model, .tape = w->tape, .batch = &w->batch, .options = &options};
    check_ok(berth_calloc(&out, (size_t)count, sizeof *out));
    berth_tape_reset(w->tape, true);
    check_ok(forward_begin(&run));
    for (int i = 0; i < w->heads; i++)
        w->model->pooled[i] = NULL;
    check_ok(forward_backbone(&run, &hidden));
    check_ok(berth_op_tap(w->tape, &seen, hidden, out));
    check_ok(head_kind_of(&w->model->heads[k])->forward(&run, k, seen, &logits[k]));
    check_ok(berth_tape_backward(w->tape, sum_losses(w, &w->batch, logits)));
    return out;
}

static void the_representation_has_products(void **state) {
    (void)state;
    static const enum setting SOME[] = {PLAIN, TIED, SHARED, FROZEN, PAIRS};
    for (size_t i = 0; i < sizeof SOME / sizeof SOME[0]; i++) {
        struct world w;
        float *own[MOST] = {NULL};
        double gram[MOST * MOST];
        world_open(&w, SOME[i]);
        for (int k = 0; k < w.heads; k++)
            own[k] = hidden_gradient(&w, k);
        open_split(&w, true, NULL);
        walk_split(&w, 2);
        check_ok(berth_task_gradients_gram(w.split, gram));
        assert_int_equal(berth_task_gradients_memory(w.split), 0); /* but step memory */
        for (int a = 0; a < w.heads; a++) {
            for (int b = 0; b < w.heads; b++) {
                double expected = 0, size = 0;
                for (int64_t j = 0; j < w.batch.tokens_count * w.model->config.hidden; j++) {
                    expected += 2 * (double)own[a][j] * (double)own[b][j];
                    size += fabs(2 * (double)own[a][j] * (double)own[b][j]);
                }
                assert_true(a != b || size > 0);
                check_gram(&w, gram, a, b, expected, size);
            }
        }
        for (int k = 0; k < MOST; k++)
            free(own[k]);
        world_close(&w);
    }
}

/* A look at the representation takes the batch as it is, and changes no bit of the parameters' gradients. */
static void a_look_changes_nothing(void **state) {
    (void)state;
    struct world w;
    const struct berth_batch *arranged = NULL;
    world_open(&w, PLAIN);
    open_split(&w, true, NULL);
    check_ok(berth_task_gradients_arrange(w.split, &w.batch, &arranged));
    assert_ptr_equal(arranged, &w.batch);
    clear(&w);
    walk_split(&w, 1);
    float *with = copy(&w);
    clear(&w);
    walk(&w, &w.batch, (struct berth_forward_options){0});
    assert_memory_equal(with, w.flat, (size_t)w.model->total * sizeof *with);
    free(with);
    world_close(&w);
}

static void other_layers_have_no_one_representation(void **state) {
    (void)state;
    struct world w;
    struct berth_task_gradients *g = NULL;
    world_open(&w, MIXED);
    const struct berth_task_gradient_options options = {.gradients = w.pointers, .representation = true};
    check_fails(berth_task_gradients_create(&g, w.model, &options), BERTH_E_USAGE,
                "head 'a' reads a mix of layers");
    assert_null(g);
    world_close(&w);
}

/* On the device that executes the CUDA kernels, whose memory the host cannot touch: the same numbers. */
static void another_device_agrees(void **state) {
    (void)state;
    static const enum setting SOME[] = {PLAIN, TIED};
    static const double COEFFICIENTS[MOST] = {0.5, -2, 0.25, 3};
    struct berth_device *probe = NULL;
    if (berth_device_open(&probe, "cuda-host") != BERTH_OK) skip();
    berth_device_close(probe);
    for (int i = 0; i < 4; i++) {
        const bool representation = i >= 2;
        double gram[2][MOST * MOST], norm = 0;
        float *found[2] = {NULL, NULL};
        int64_t total = 0;
        int heads = 0;
        for (int d = 0; d < 2; d++) {
            struct world w;
            world_open_on(&w, SOME[i % 2], d == 0 ? "cpu" : "cuda-host");
            open_split(&w, representation, NULL);
            walk_split(&w, 1);
            check_ok(berth_task_gradients_gram(w.split, gram[d]));
            if (!representation) check_ok(berth_task_gradients_combine(w.split, COEFFICIENTS));
            check_ok(berth_device_download(w.device, w.flat, w.grads, grad_bytes(&w)));
            check_ok(berth_device_synchronize(w.device));
            found[d] = copy(&w);
            total = w.model->total;
            heads = w.heads;
            world_close(&w);
        }
        const double off = distance(found[1], found[0], total, &norm);
        if (!(off < 1e-5 * norm)) fail_msg("off by %g of %g", off, norm);
        for (int k = 0; k < heads * heads; k++) {
            const double size = sqrt(gram[0][k / heads * (heads + 1)] * gram[0][k % heads * (heads + 1)]);
            if (!(fabs(gram[1][k] - gram[0][k]) <= 1e-5 * size))
                fail_msg("gram %d: %g, %g", k, gram[1][k], gram[0][k]);
        }
        free(found[0]);
        free(found[1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(combinations_are_the_sums_of_walks),
        cmocka_unit_test(the_gram_matrix_is_that_of_walks),
        cmocka_unit_test(a_task_does_not_see_the_others),
        cmocka_unit_test(unwanted_tasks_cost_nothing),
        cmocka_unit_test(memory_is_as_stated),
        cmocka_unit_test(activations_are_walked_once),
        cmocka_unit_test(the_representation_has_products),
        cmocka_unit_test(a_look_changes_nothing),
        cmocka_unit_test(other_layers_have_no_one_representation),
        cmocka_unit_test(another_device_agrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
