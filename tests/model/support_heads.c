/* support_heads.c: see support_heads.h. */
#include "model/support_heads.h"

#include <stdlib.h>
#include <string.h>

const int64_t BENCH_LENGTHS[SEQUENCES] = {5, 1, 12, 8, 4, 6, 3, 7, 5, 2, 9, 4, 3, 6, 5};

static struct berth_head *add(struct berth_model *m, const char *name, enum berth_task_kind kind,
                              enum berth_pooling pooling, int classes, struct berth_head settings) {
    struct berth_head h = settings;
    struct berth_head base;
    small_head(&base, name, kind, pooling, classes);
    h.task = base.task;
    h.pooling = pooling;
    h.dropout = -1.0f;
    check_ok(berth_model_add_head(m, &h));
    berth_task_deinit(&h.task);
    return &m->heads[m->head_count - 1];
}

static void add_tags(struct berth_model *m, const char *name, bool crf) {
    static const char *const TAGS[] = {"O", "B-a", "I-a", "B-b", "I-b"};
    struct berth_head h;
    small_head(&h, name, BERTH_TASK_TAGGING, BERTH_POOL_CLS, 0);
    for (int i = 0; i < 5; i++)
        check_ok(berth_labels_add(&h.task.labels, TAGS[i], NULL));
    h.task.scheme = BERTH_TAGS_BIO;
    h.crf = crf;
    check_ok(berth_model_add_head(m, &h));
    berth_task_deinit(&h.task);
}

static void add_heads(struct berth_model *m) {
    static float weights[4] = {0.5f, 1.0f, 2.0f, 1.5f}, positive[3] = {2.0f, 1.0f, 0.5f};
    static char shared[] = "intent";
    add(m, "intent", BERTH_TASK_CLASSIFICATION, BERTH_POOL_POOLER, 4,
        (struct berth_head){.class_weights = weights, .label_smoothing = 0.1f});
    add(m, "topic", BERTH_TASK_CLASSIFICATION, BERTH_POOL_MEAN, 3,
        (struct berth_head){.loss = BERTH_LOSS_FOCAL,
                            .focal_gamma = 2.0f,
                            .hidden_layers = 2,
                            .hidden_size = 10,
                            .activation = BERTH_ACT_TANH,
                            .reads = BERTH_READS_LAYER,
                            .layer = 1});
    add(m, "labels", BERTH_TASK_MULTILABEL, BERTH_POOL_CLS, 3,
        (struct berth_head){.class_weights = positive, .label_smoothing = 0.1f});
    add(m, "number", BERTH_TASK_REGRESSION, BERTH_POOL_MEAN, 0,
        (struct berth_head){.hidden_layers = 1, .activation = BERTH_ACT_GELU});
    add(m, "huber", BERTH_TASK_REGRESSION, BERTH_POOL_CLS, 0,
        (struct berth_head){.loss = BERTH_LOSS_HUBER, .huber_delta = 4.0f});
    add_tags(m, "slots", false);
    add_tags(m, "chain", true);
    add(m, "alike", BERTH_TASK_SIMILARITY, BERTH_POOL_MEAN, 0, (struct berth_head){.reads = BERTH_READS_LAST});
    add(m, "order", BERTH_TASK_SIMILARITY, BERTH_POOL_CLS, 0,
        (struct berth_head){.loss = BERTH_LOSS_COSENT,
                            .scale = 20.0f,
                            .hidden_layers = 1,
                            .hidden_size = 6,
                            .activation = BERTH_ACT_NONE});
    add(m, "search", BERTH_TASK_CONTRASTIVE, BERTH_POOL_MEAN, 0,
        (struct berth_head){.scale = 5.0f, .symmetric = true});
    add(m, "words", BERTH_TASK_MLM, BERTH_POOL_CLS, 0, (struct berth_head){.reads = BERTH_READS_LAST});
    add(m, "mixed", BERTH_TASK_CLASSIFICATION, BERTH_POOL_MEAN, 2,
        (struct berth_head){.reads = BERTH_READS_MIX});
    add(m, "second", BERTH_TASK_CLASSIFICATION, BERTH_POOL_POOLER, 4, (struct berth_head){.shares = shared});
}

void bench_put(struct berth_batch *b, int head, int32_t index, int32_t label, int32_t pair, int32_t negative,
               const float *target) {
    const struct berth_item item = {
        .index = index, .label = label, .pair = pair, .negative = negative, .target = target};
    check_ok(berth_batch_put_item(b, head, &item));
}

static void fill_items(struct berth_batch *b, const struct berth_model *m) {
    static const float targets[4][3] = {{1, 0, 1}, {0, 0, -1}, {1, 1, 0}, {0, 1, 0}};
    static const float numbers[4] = {0.5f, -1.0f, 2.0f, 0.25f}, cosines[2] = {0.8f, -0.3f};
    berth_batch_set_width(b, LABELS, 3);
    berth_batch_set_width(b, NUMBER, 1);
    berth_batch_set_width(b, HUBER, 1);
    berth_batch_set_width(b, ALIKE, 1);
    berth_batch_set_width(b, ORDER, 1);
    for (int32_t s = 0; s < 4; s++) {
        bench_put(b, INTENT, s, s == 1 ? -1 : s, -1, -1, NULL);
        bench_put(b, TOPIC, s, s % 3, -1, -1, NULL);
        bench_put(b, LABELS, s, s == 3 ? -1 : 0, -1, -1, targets[s]);
        bench_put(b, NUMBER, s, 0, -1, -1, &numbers[s]);
        bench_put(b, HUBER, s, s == 0 ? -1 : 0, -1, -1, &numbers[s]);
        bench_put(b, MIXED, s, s % 2, -1, -1, NULL);
        bench_put(b, SECOND, s, 3 - s, -1, -1, NULL);
        for (int32_t row = b->cu_seqlens[s] + 1; row < b->cu_seqlens[s + 1] - 1; row++) {
            bench_put(b, SLOTS, row, row % 7 == 3 ? -1 : row % 5, -1, -1, NULL);
            bench_put(b, CHAIN, row, row % 7 == 3 ? -1 : row % 5, -1, -1, NULL);
            if (row % 4 == 1)
                bench_put(b, WORDS, row, (row * 11) % (int32_t)m->config.vocab_size, -1, -1, NULL);
        }
    }
    bench_put(b, SEARCH, 4, 0, 5, -1, NULL);
    bench_put(b, SEARCH, 6, 0, 7, 10, NULL);
    bench_put(b, SEARCH, 8, 0, 9, -1, NULL);
    for (int32_t k = 0; k < 2; k++) {
        bench_put(b, ALIKE, 11 + 2 * k, 0, 12 + 2 * k, -1, &cosines[k]);
        bench_put(b, ORDER, 11 + 2 * k, 0, 12 + 2 * k, -1, &cosines[k]);
    }
}

static void fill_batch(struct berth_batch *b, const struct berth_model *m) {
    int32_t tokens[32];
    check_ok(berth_batch_reset(b, m->head_count));
    for (int s = 0; s < SEQUENCES; s++) {
        for (int64_t i = 0; i < BENCH_LENGTHS[s]; i++)
            tokens[i] = (int32_t)(berth_random_u32(3, BERTH_PURPOSE_TEST, (uint32_t)s, (uint64_t)i) %
                                  (uint32_t)m->config.vocab_size);
        check_ok(berth_batch_add_sequence(b, tokens, NULL, BENCH_LENGTHS[s], s, 0, s));
    }
    fill_items(b, m);
    check_ok(berth_batch_finish(b));
}

void bench_begin(struct bench *b) {
    *b = (struct bench){.only = -1};
    check_ok(berth_device_open(&b->device, "cpu"));
    check_ok(berth_tape_create(&b->tape, b->device));
    b->model = small_model(b->device, "bert");
    add_heads(b->model);
    check_ok(berth_model_allocate(b->model, 5));
    derive_values(b->model, 6, 0.5);
    berth_batch_init(&b->batch);
    fill_batch(&b->batch, b->model);
    b->grads = calloc((size_t)b->model->total, sizeof *b->grads);
    b->pointers = calloc((size_t)b->model->parameter_count, sizeof *b->pointers);
    for (int i = 0; i < b->model->parameter_count; i++)
        b->pointers[i] = b->grads + b->model->parameters[i].offset;
    b->options =
        (struct berth_forward_options){.training = true, .seed = 9, .step = 3, .gradients = b->pointers};
}

void bench_end(struct bench *b) {
    free(b->grads);
    free(b->pointers);
    berth_batch_deinit(&b->batch);
    berth_model_free(b->model);
    berth_tape_free(b->tape);
    berth_device_close(b->device);
}

/* The mean of each head's labelled items, added up. */
berth_status bench_rebuild(struct berth_tape *tape, struct berth_tensor **loss, void *user) {
    struct bench *b = user;
    *loss = NULL;
    BERTH_TRY(berth_model_forward(b->model, tape, &b->batch, &b->options, b->outputs));
    for (int i = 0; i < HEADS; i++) {
        struct berth_tensor *part = NULL, *sum = NULL;
        int64_t labelled = 0;
        if (b->only >= 0 && b->only != i) continue;
        for (int64_t k = 0; k < b->batch.items[i].count; k++)
            labelled += b->batch.items[i].label[k] >= 0;
        BERTH_TRY(berth_model_head_loss(b->model, tape, i, b->outputs[i], &b->batch, &b->losses[i]));
        BERTH_TRY(berth_op_scaled_sum(tape, &part, b->losses[i], 1.0f / (float)labelled));
        if (*loss != NULL) BERTH_TRY(berth_op_add(tape, &sum, *loss, part));
        *loss = *loss != NULL ? sum : part;
    }
    return BERTH_OK;
}

void bench_inference(struct bench *b, const bool *wanted) {
    const struct berth_forward_options inference = {.training = false, .wanted = wanted};
    berth_tape_reset(b->tape, false);
    check_ok(berth_model_forward(b->model, b->tape, &b->batch, &inference, b->outputs));
}
