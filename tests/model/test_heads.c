/* test_heads.c: heads of every kind in one forward: outputs against closed forms in double, gradients against
 * slopes, settings saved and read back, decisions against all paths. */
#include "support_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/model_priv.h"

/* Sequences 0..3 are alone, 4..9 three pairs of the contrastive task (the middle one with the hard negative
 * 10), 11..14 two pairs of the similarity tasks. */
enum { SEQUENCES = 15, HEADS = 13 };
static const int64_t LENGTHS[SEQUENCES] = {5, 1, 12, 8, 4, 6, 3, 7, 5, 2, 9, 4, 3, 6, 5};
enum { INTENT, TOPIC, LABELS, NUMBER, HUBER, SLOTS, CHAIN, ALIKE, ORDER, SEARCH, WORDS, MIXED, SECOND };

struct bench {
    struct berth_device *device;
    struct berth_tape *tape;
    struct berth_model *model;
    struct berth_batch batch;
    float *grads, **pointers;
    struct berth_forward_options options;
    struct berth_tensor *outputs[HEADS], *losses[HEADS];
    int only; /* the one head whose loss counts; -1: all */
};

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

static void put(struct berth_batch *b, int head, int32_t index, int32_t label, int32_t pair, int32_t negative,
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
        put(b, INTENT, s, s == 1 ? -1 : s, -1, -1, NULL);
        put(b, TOPIC, s, s % 3, -1, -1, NULL);
        put(b, LABELS, s, s == 3 ? -1 : 0, -1, -1, targets[s]);
        put(b, NUMBER, s, 0, -1, -1, &numbers[s]);
        put(b, HUBER, s, s == 0 ? -1 : 0, -1, -1, &numbers[s]);
        put(b, MIXED, s, s % 2, -1, -1, NULL);
        put(b, SECOND, s, 3 - s, -1, -1, NULL);
        for (int32_t row = b->cu_seqlens[s] + 1; row < b->cu_seqlens[s + 1] - 1; row++) {
            put(b, SLOTS, row, row % 7 == 3 ? -1 : row % 5, -1, -1, NULL);
            put(b, CHAIN, row, row % 7 == 3 ? -1 : row % 5, -1, -1, NULL);
            if (row % 4 == 1) put(b, WORDS, row, (row * 11) % (int32_t)m->config.vocab_size, -1, -1, NULL);
        }
    }
    put(b, SEARCH, 4, 0, 5, -1, NULL);
    put(b, SEARCH, 6, 0, 7, 10, NULL);
    put(b, SEARCH, 8, 0, 9, -1, NULL);
    for (int32_t k = 0; k < 2; k++) {
        put(b, ALIKE, 11 + 2 * k, 0, 12 + 2 * k, -1, &cosines[k]);
        put(b, ORDER, 11 + 2 * k, 0, 12 + 2 * k, -1, &cosines[k]);
    }
}

static void fill_batch(struct berth_batch *b, const struct berth_model *m) {
    int32_t tokens[32];
    check_ok(berth_batch_reset(b, m->head_count));
    for (int s = 0; s < SEQUENCES; s++) {
        for (int64_t i = 0; i < LENGTHS[s]; i++)
            tokens[i] = (int32_t)(berth_random_u32(3, BERTH_PURPOSE_TEST, (uint32_t)s, (uint64_t)i) %
                                  (uint32_t)m->config.vocab_size);
        check_ok(berth_batch_add_sequence(b, tokens, NULL, LENGTHS[s], s, 0, s));
    }
    fill_items(b, m);
    check_ok(berth_batch_finish(b));
}

static void bench_begin(struct bench *b) {
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

static void bench_end(struct bench *b) {
    free(b->grads);
    free(b->pointers);
    berth_batch_deinit(&b->batch);
    berth_model_free(b->model);
    berth_tape_free(b->tape);
    berth_device_close(b->device);
}

/* The mean of each head's labelled items, added up. */
static berth_status rebuild(struct berth_tape *tape, struct berth_tensor **loss, void *user) {
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

static void run_inference(struct bench *b, const bool *wanted) {
    const struct berth_forward_options inference = {.training = false, .wanted = wanted};
    berth_tape_reset(b->tape, false);
    check_ok(berth_model_forward(b->model, b->tape, &b->batch, &inference, b->outputs));
}

/* ---- one pass, all kinds */

static void all_kinds_in_one_pass(void **state) {
    (void)state;
    struct bench b;
    bench_begin(&b);
    run_inference(&b, NULL);
    assert_int_equal(b.model->backbone_passes, 1);
    static const int64_t SHAPES[HEADS][2] = {{4, 4}, {4, 3}, {4, 3},  {4, 1},  {4, 1}, {19, 5}, {19, 5},
                                             {2, 1}, {2, 1}, {7, 24}, {4, 50}, {4, 2}, {4, 4}};
    float *kept[HEADS];
    for (int i = 0; i < HEADS; i++) {
        if (b.outputs[i] == NULL || b.outputs[i]->shape[0] != SHAPES[i][0] ||
            b.outputs[i]->shape[1] != SHAPES[i][1])
            fail_msg("head %s: outputs [%lld, %lld]", b.model->heads[i].task.name,
                     b.outputs[i] ? (long long)b.outputs[i]->shape[0] : -1,
                     b.outputs[i] ? (long long)b.outputs[i]->shape[1] : -1);
        const size_t bytes = (size_t)(SHAPES[i][0] * SHAPES[i][1]) * sizeof(float);
        kept[i] = memcpy(malloc(bytes), b.outputs[i]->data, bytes);
    }
    for (int i = 0; i < HEADS; i++) { /* alone it says the same bits */
        bool wanted[HEADS] = {false};
        wanted[i] = true;
        run_inference(&b, wanted);
        assert_memory_equal(b.outputs[i]->data, kept[i], (size_t)(SHAPES[i][0] * SHAPES[i][1]) * sizeof(float));
        free(kept[i]);
    }
    bench_end(&b);
}

/* A head that reads layer 1 alone runs one layer: the outputs do not know of the second. */
static void a_lower_layer_alone_is_enough(void **state) {
    (void)state;
    struct bench b;
    float before[12];
    bench_begin(&b);
    bool wanted[HEADS] = {false};
    wanted[TOPIC] = true;
    run_inference(&b, wanted);
    memcpy(before, b.outputs[TOPIC]->data, sizeof before);
    for (int i = 0; i < b.model->parameter_count; i++) {
        const struct berth_parameter *p = &b.model->parameters[i];
        for (int64_t k = 0; p->stage == 2 && k < p->count; k++)
            b.model->values[p->offset + k] = NAN;
    }
    run_inference(&b, wanted);
    assert_memory_equal(before, b.outputs[TOPIC]->data, sizeof before);
    bench_end(&b);
}

/* ---- losses in double from the outputs */

static double value_of(const struct berth_tensor *t, int64_t i) {
    return (double)((const float *)t->data)[i];
}

static void expect_loss(struct bench *b, int head, int64_t item, double expected) {
    const double found = value_of(b->losses[head], item);
    if (!(fabs(found - expected) <= 2e-6 * (1 + fabs(expected))))
        fail_msg("head %s, item %lld: loss %.9g, expected %.9g", b->model->heads[head].task.name,
                 (long long)item, found, expected);
}

static double log_softmax(const struct berth_tensor *z, int64_t row, int64_t k) {
    double sum = 0;
    for (int64_t j = 0; j < z->shape[1]; j++)
        sum += exp(value_of(z, row * z->shape[1] + j));
    return value_of(z, row * z->shape[1] + k) - log(sum);
}

static void check_class_losses(struct bench *b) {
    const float *w = b->model->heads[INTENT].class_weights;
    for (int32_t s = 0; s < 4; s++) {
        double smooth = 0, p = exp(log_softmax(b->outputs[TOPIC], s, s % 3));
        for (int k = 0; k < 4; k++)
            smooth -= 0.1 / 4 * (double)w[k] * log_softmax(b->outputs[INTENT], s, k);
        expect_loss(b, INTENT, s,
                    s == 1 ? 0 : smooth - 0.9 * (double)w[s] * log_softmax(b->outputs[INTENT], s, s));
        expect_loss(b, TOPIC, s, -(1 - p) * (1 - p) * log(p));
        expect_loss(b, MIXED, s, -log_softmax(b->outputs[MIXED], s, s % 2));
        expect_loss(b, SECOND, s, -log_softmax(b->outputs[SECOND], s, 3 - s));
    }
    for (int64_t i = 0; i < b->batch.items[WORDS].count; i++)
        expect_loss(b, WORDS, i, -log_softmax(b->outputs[WORDS], i, b->batch.items[WORDS].label[i]));
}

static void check_label_losses(struct bench *b) {
    const float *w = b->model->heads[LABELS].class_weights, *t = b->batch.items[LABELS].target;
    for (int64_t s = 0; s < 4; s++) {
        double sum = 0, known = 0;
        for (int64_t k = 0; k < 3; k++) {
            const double z = value_of(b->outputs[LABELS], s * 3 + k), soft = 0.9 * (double)t[s * 3 + k] + 0.05;
            if (t[s * 3 + k] < 0) continue;
            known += 1;
            sum += (double)w[k] * soft * log1p(exp(-z)) + (1 - soft) * log1p(exp(z));
        }
        expect_loss(b, LABELS, s, s == 3 ? 0 : sum / known);
    }
}

static void check_number_losses(struct bench *b) {
    for (int64_t s = 0; s < 4; s++) {
        const double t = (double)b->batch.items[NUMBER].target[s];
        const double e = value_of(b->outputs[NUMBER], s) - t, h = fabs(value_of(b->outputs[HUBER], s) - t);
        expect_loss(b, NUMBER, s, e * e);
        expect_loss(b, HUBER, s, s == 0 ? 0 : h <= 4 ? h * h / 2 : 4 * (h - 2));
    }
    double cosent = 1; /* the first pair should be the more alike */
    for (int64_t k = 0; k < 2; k++) {
        const double e = value_of(b->outputs[ALIKE], k) - (double)b->batch.items[ALIKE].target[k];
        expect_loss(b, ALIKE, k, e * e);
    }
    cosent += exp(20 * (value_of(b->outputs[ORDER], 1) - value_of(b->outputs[ORDER], 0)));
    expect_loss(b, ORDER, 0, log(cosent));
    expect_loss(b, ORDER, 1, log(cosent));
}

/* Anchors are rows 0..2 of the outputs, positives 3..5, the hard negative 6. */
static double dot(const struct berth_tensor *u, int64_t a, int64_t c) {
    double sum = 0;
    for (int64_t j = 0; j < u->shape[1]; j++)
        sum += value_of(u, a * u->shape[1] + j) * value_of(u, c * u->shape[1] + j);
    return sum;
}

static void check_ranking_loss(struct bench *b) {
    const struct berth_tensor *u = b->outputs[SEARCH];
    for (int64_t i = 0; i < 3; i++) {
        double to = 0, from = 0;
        assert_true(fabs(dot(u, i, i) - 1) < 1e-6);
        for (int64_t c = 3; c < 7; c++)
            to += exp(5 * (dot(u, i, c) - dot(u, i, 3 + i)));
        for (int64_t a = 0; a < 3; a++)
            from += exp(5 * (dot(u, 3 + i, a) - dot(u, 3 + i, i)));
        expect_loss(b, SEARCH, i, (log(to) + log(from)) / 2);
    }
}

/* Every path of a sentence alone, those that agree with the labels against all. */
static void check_chain_loss(struct bench *b) {
    const struct berth_items *items = &b->batch.items[CHAIN];
    float *t = values_of(b->model, "heads.chain.crf.transitions"),
          *s = values_of(b->model, "heads.chain.crf.start");
    float *e = values_of(b->model, "heads.chain.crf.end");
    const int64_t words[] = {3, 10, 6}; /* of sequences 0, 2, 3; sequence 1 has none */
    int64_t first = 0;
    for (int g = 0; g < 3; first += words[g++]) {
        if (words[g] > 6) continue; /* 5^10 paths are many */
        double all = 0, agreeing = 0;
        int64_t paths = 1;
        for (int64_t w = 0; w < words[g]; w++)
            paths *= 5;
        for (int64_t code = 0; code < paths; code++) {
            int64_t rest = code, before = -1;
            double score = 0;
            bool agrees = true;
            for (int64_t w = 0; w < words[g]; w++, rest /= 5) {
                const int64_t tag = rest % 5;
                const int32_t label = items->label[first + w];
                score += value_of(b->outputs[CHAIN], (first + w) * 5 + tag);
                score += (double)(w == 0 ? s[tag] : t[before * 5 + tag]);
                if (w == words[g] - 1) score += (double)e[tag];
                agrees = agrees && (label < 0 || label == tag);
                before = tag;
            }
            all += exp(score);
            if (agrees) agreeing += exp(score);
        }
        expect_loss(b, CHAIN, first, log(all) - log(agreeing));
        for (int64_t w = 1; w < words[g]; w++)
            expect_loss(b, CHAIN, first + w, 0);
    }
    free(t);
    free(s);
    free(e);
}

static void losses_are_their_formulas(void **state) {
    (void)state;
    struct bench b;
    struct berth_tensor *loss = NULL;
    bench_begin(&b);
    b.options.training = false;
    berth_tape_reset(b.tape, false);
    check_ok(rebuild(b.tape, &loss, &b));
    check_class_losses(&b);
    check_label_losses(&b);
    check_number_losses(&b);
    check_ranking_loss(&b);
    check_chain_loss(&b);
    bench_end(&b);
}

/* Sequences of other tasks in the batch do not count: the loss of the contrastive task alone has the same bits.
 */
static void negatives_are_the_tasks_own(void **state) {
    (void)state;
    struct bench b;
    struct berth_tensor *loss = NULL;
    float mixed[3], alone[3];
    bench_begin(&b);
    b.options.training = false;
    berth_tape_reset(b.tape, false);
    check_ok(rebuild(b.tape, &loss, &b));
    memcpy(mixed, b.losses[SEARCH]->data, sizeof mixed);
    struct berth_batch small;
    berth_batch_init(&small);
    check_ok(berth_batch_reset(&small, HEADS));
    for (int s = 4; s <= 10; s++) {
        const int32_t begin = b.batch.cu_seqlens[s];
        check_ok(berth_batch_add_sequence(&small, b.batch.tokens + begin, NULL, LENGTHS[s], s, 0, s));
    }
    put(&small, SEARCH, 0, 0, 1, -1, NULL);
    put(&small, SEARCH, 2, 0, 3, 6, NULL);
    put(&small, SEARCH, 4, 0, 5, -1, NULL);
    check_ok(berth_batch_finish(&small));
    const struct berth_forward_options inference = {.training = false};
    berth_tape_reset(b.tape, false);
    check_ok(berth_model_forward(b.model, b.tape, &small, &inference, b.outputs));
    check_ok(berth_model_head_loss(b.model, b.tape, SEARCH, b.outputs[SEARCH], &small, &b.losses[SEARCH]));
    memcpy(alone, b.losses[SEARCH]->data, sizeof alone);
    for (int i = 0; i < 3; i++)
        assert_true(fabsf(mixed[i] - alone[i]) <= 1e-6f);
    berth_batch_deinit(&small);
    bench_end(&b);
}

/* ---- gradients */

static void gradients_are_slopes(void **state) {
    (void)state;
    struct bench b;
    bench_begin(&b);
    b.model->config.hidden_dropout = 0.1f;
    double worst = 0.0;
    int checked = 0;
    for (int i = 0; i < b.model->parameter_count; i++) {
        const struct berth_parameter *p = &b.model->parameters[i];
        double analytic = 0.0, numeric = 0.0, best = INFINITY;
        if (p->owner == 0 && p->stage != 0 && p->stage != 2) continue; /* some of the backbone's */
        b.only = p->owner == 0 ? i % HEADS : p->owner - 1;
        if (b.only == INTENT && i % 2 == 1) b.only = SECOND; /* shares these parameters */
        for (float h = 4e-3f; h >= 2.5e-4f; h /= 4.0f) {
            check_ok(berth_tape_check_direction(b.tape, rebuild, &b, b.model->values + p->offset, b.pointers[i],
                                                p->count, (uint64_t)i, h, &analytic, &numeric));
            const double error = fabs(analytic - numeric) / (fabs(analytic) + fabs(numeric) + 0.02);
            if (error < best) best = error;
        }
        if (!(best < 0.01))
            fail_msg("%s, head %s: the gradient says %.6g, the slope is %.6g (best error %.3g)", p->name,
                     b.model->heads[b.only].task.name, analytic, numeric, best);
        if (best > worst) worst = best;
        checked++;
    }
    print_message("worst of %d directions: %.2g\n", checked, worst);
    bench_end(&b);
}

/* ---- saved and read back */

static void settings_and_values_come_back(void **state) {
    (void)state;
    struct bench b;
    struct berth_model *loaded = NULL;
    struct berth_tensor *outputs[HEADS];
    bench_begin(&b);
    b.model->heads[LABELS].threshold = 0.375f;
    char *folder = model_temp_folder(), *target = model_path(folder, "model");
    check_ok(berth_model_save(b.model, NULL, target));
    check_ok(berth_model_load(&loaded, b.device, target));
    check_ok(berth_model_allocate(loaded, 99));
    assert_int_equal(loaded->head_count, HEADS);
    for (int i = 0; i < HEADS; i++) {
        const struct berth_head *x = &b.model->heads[i], *y = &loaded->heads[i];
        assert_string_equal(x->task.name, y->task.name);
        assert_int_equal(x->task.kind, y->task.kind);
        assert_true(berth_labels_equal(&x->task.labels, &y->task.labels));
        assert_true(x->pooling == y->pooling && x->reads == y->reads && x->layer == y->layer &&
                    x->hidden_layers == y->hidden_layers && x->hidden_size == y->hidden_size &&
                    x->loss == y->loss);
        assert_true(x->focal_gamma == y->focal_gamma && x->huber_delta == y->huber_delta &&
                    x->scale == y->scale && x->symmetric == y->symmetric && x->crf == y->crf &&
                    x->task.scheme == y->task.scheme && x->threshold == y->threshold &&
                    x->label_smoothing == y->label_smoothing);
        assert_true(x->hidden_layers == 0 || x->activation == y->activation);
        assert_true((x->shares == NULL) == (y->shares == NULL) &&
                    (x->class_weights == NULL) == (y->class_weights == NULL));
        if (x->class_weights != NULL)
            assert_memory_equal(x->class_weights, y->class_weights, x->task.labels.count * sizeof(float));
    }
    assert_int_equal(loaded->total, b.model->total);
    assert_memory_equal(loaded->values, b.model->values, (size_t)loaded->total * sizeof(float));
    run_inference(&b, NULL);
    struct berth_tape *tape = NULL;
    check_ok(berth_tape_create(&tape, b.device));
    const struct berth_forward_options inference = {.training = false};
    berth_tape_reset(tape, false);
    check_ok(berth_model_forward(loaded, tape, &b.batch, &inference, outputs));
    for (int i = 0; i < HEADS; i++)
        assert_memory_equal(outputs[i]->data, b.outputs[i]->data,
                            (size_t)(outputs[i]->shape[0] * outputs[i]->shape[1]) * sizeof(float));
    berth_tape_free(tape);
    berth_model_free(loaded);
    free(target);
    model_temp_remove(folder);
    bench_end(&b);
}

/* ---- decisions */

static double path_score(const int64_t *path, const float *z, const double *t, const double *s, const double *e,
                         int64_t words, int64_t k) {
    double score = s[path[0]] + e[path[words - 1]];
    for (int64_t w = 0; w < words; w++)
        score += (double)z[w * k + path[w]] + (w > 0 ? t[path[w - 1] * k + path[w]] : 0);
    return score;
}

static void viterbi_finds_the_best_path(void **state) {
    (void)state;
    for (uint32_t trial = 0; trial < 200; trial++) {
        const int64_t words = 1 + trial % 5, k = 2 + trial % 4;
        float z[40];
        double t[36], s[6], e[6], best = -INFINITY;
        for (int64_t i = 0; i < words * k; i++)
            z[i] = (float)berth_random_normal(trial, BERTH_PURPOSE_TEST, 1, (uint64_t)i);
        for (int64_t i = 0; i < k * k; i++)
            t[i] = berth_random_u32(trial, BERTH_PURPOSE_TEST, 2, (uint64_t)i) % 4 == 0
                       ? -INFINITY
                       : berth_random_normal(trial, BERTH_PURPOSE_TEST, 3, (uint64_t)i);
        for (int64_t i = 0; i < k; i++) {
            s[i] = i == 1 ? -INFINITY : 0.1 * (double)i;
            e[i] = -0.2 * (double)i;
        }
        int64_t path[5] = {0}, paths = 1;
        for (int64_t w = 0; w < words; w++)
            paths *= k;
        for (int64_t code = 0; code < paths; code++) {
            int64_t rest = code;
            for (int64_t w = 0; w < words; w++, rest /= k)
                path[w] = rest % k;
            best = fmax(best, path_score(path, z, t, s, e, words, k));
        }
        int32_t found[5] = {-1, -1, -1, -1, -1};
        check_ok(viterbi_decode(found, z, t, s, e, words, k));
        if (best == -INFINITY) {
            assert_int_equal(found[0], -1); /* no path: nothing is touched */
            continue;
        }
        for (int64_t w = 0; w < words; w++)
            path[w] = found[w];
        const double score = path_score(path, z, t, s, e, words, k);
        if (!(fabs(score - best) < 1e-9)) fail_msg("trial %u: %.12g, the best is %.12g", trial, score, best);
    }
}

/* Whatever the weights say, no answer breaks the scheme. */
static void answers_keep_to_the_scheme(void **state) {
    (void)state;
    struct bench b;
    struct berth_answers a;
    bench_begin(&b);
    berth_answers_init(&a);
    int broken = 0, free_choice = 0;
    for (uint64_t trial = 0; trial < 20; trial++) {
        derive_values(b.model, trial + 100, 2.0);
        run_inference(&b, NULL);
        for (int head = SLOTS; head <= CHAIN; head++) {
            const struct berth_head *h = &b.model->heads[head];
            const float *z = b.outputs[head]->data;
            const int64_t count = b.batch.items[head].count;
            int32_t cu[SEQUENCES + 1];
            int64_t groups = 0;
            check_ok(berth_model_answer(b.model, head, z, count, &b.batch, &a));
            head_item_groups(&b.batch, head, cu, &groups);
            assert_int_equal(groups, 3);
            for (int64_t g = 0; g < groups; g++) {
                for (int32_t i = cu[g]; i < cu[g + 1]; i++) {
                    int32_t plain = 0;
                    const char *before = i > cu[g] ? h->task.labels.names[a.label[i - 1]] : NULL;
                    broken += !berth_tag_allowed(BERTH_TAGS_BIO, before, h->task.labels.names[a.label[i]]);
                    berth_argmax_softmax(z + i * 5, 5, &plain, NULL);
                    free_choice += plain != a.label[i];
                }
            }
        }
    }
    assert_int_equal(broken, 0);
    assert_true(free_choice > 20); /* the constraint did something */
    berth_answers_deinit(&a);
    bench_end(&b);
}

/* ---- refusals */

static void heads_that_cannot_be(void **state) {
    (void)state;
    struct berth_device *device = NULL;
    struct berth_head h;
    static char nobody[] = "nobody";
    check_ok(berth_device_open(&device, "cpu"));
    struct berth_model *m = small_model(device, "bert");
    small_head(&h, "a", BERTH_TASK_REGRESSION, BERTH_POOL_CLS, 0);
    h.loss = BERTH_LOSS_FOCAL;
    check_fails(berth_model_add_head(m, &h), BERTH_E_USAGE, "head 'a': a regression head has no loss 'focal'");
    h.loss = BERTH_LOSS_OWN;
    h.hidden_layers = 4;
    check_fails(berth_model_add_head(m, &h), BERTH_E_USAGE, "at most 3");
    berth_task_deinit(&h.task);
    small_head(&h, "b", BERTH_TASK_TAGGING, BERTH_POOL_CLS, 3);
    h.crf = true;
    h.label_smoothing = 0.1f;
    check_fails(berth_model_add_head(m, &h), BERTH_E_USAGE, "a crf scores whole sentences");
    h.crf = false;
    h.label_smoothing = 0;
    h.shares = nobody;
    check_ok(berth_model_add_head(m, &h));
    check_fails(berth_model_allocate(m, 1), BERTH_E_USAGE, "shares the head 'nobody', which is not there");
    berth_task_deinit(&h.task);
    berth_model_free(m);
    m = small_model(device, "bert");
    small_head(&h, "c", BERTH_TASK_CLASSIFICATION, BERTH_POOL_CLS, 3);
    h.reads = BERTH_READS_LAYER;
    h.layer = 3;
    check_ok(berth_model_add_head(m, &h));
    check_fails(berth_model_allocate(m, 1), BERTH_E_USAGE, "layers 0 (embeddings) to 2");
    berth_task_deinit(&h.task);
    berth_model_free(m);
    berth_device_close(device);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_kinds_in_one_pass),       cmocka_unit_test(a_lower_layer_alone_is_enough),
        cmocka_unit_test(losses_are_their_formulas),   cmocka_unit_test(negatives_are_the_tasks_own),
        cmocka_unit_test(gradients_are_slopes),        cmocka_unit_test(settings_and_values_come_back),
        cmocka_unit_test(viterbi_finds_the_best_path), cmocka_unit_test(answers_keep_to_the_scheme),
        cmocka_unit_test(heads_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
