/* test_head_losses.c: the losses of heads against closed forms in double, from their outputs. (Their gradients
 * stand against double references and central differences in tests/ops, and as slopes in test_heads.c.) */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/support_heads.h"

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
    check_ok(bench_rebuild(b.tape, &loss, &b));
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
    check_ok(bench_rebuild(b.tape, &loss, &b));
    memcpy(mixed, b.losses[SEARCH]->data, sizeof mixed);
    struct berth_batch small;
    berth_batch_init(&small);
    check_ok(berth_batch_reset(&small, HEADS));
    for (int s = 4; s <= 10; s++) {
        const int32_t begin = b.batch.cu_seqlens[s];
        check_ok(berth_batch_add_sequence(&small, b.batch.tokens + begin, NULL, BENCH_LENGTHS[s], s, 0, s));
    }
    bench_put(&small, SEARCH, 0, 0, 1, -1, NULL);
    bench_put(&small, SEARCH, 2, 0, 3, 6, NULL);
    bench_put(&small, SEARCH, 4, 0, 5, -1, NULL);
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

/* ---- the same heads with other settings */

static void run_losses(struct bench *b) {
    struct berth_tensor *loss = NULL;
    b->options.training = false;
    berth_tape_reset(b->tape, false);
    check_ok(bench_rebuild(b->tape, &loss, b));
}

static void other_losses_are_their_formulas(void **state) {
    (void)state;
    struct bench b;
    bench_begin(&b);
    struct berth_head *h = b.model->heads;
    h[NUMBER].loss = BERTH_LOSS_L1;
    h[ALIKE].loss = BERTH_LOSS_HUBER;
    h[ALIKE].huber_delta = 0.25f;
    h[HUBER].loss = BERTH_LOSS_MSE;
    h[LABELS].loss = BERTH_LOSS_FOCAL;
    h[LABELS].focal_gamma = 1.5f;
    h[LABELS].label_smoothing = 0.0f;
    h[INTENT].loss = BERTH_LOSS_FOCAL;
    h[INTENT].focal_gamma = 2.0f;
    h[INTENT].label_smoothing = 0.0f;
    run_losses(&b);
    for (int32_t s = 0; s < 4; s++) {
        const double number = (double)b.batch.items[NUMBER].target[s];
        const double p = exp(log_softmax(b.outputs[INTENT], s, s)), e = value_of(b.outputs[HUBER], s) - number;
        expect_loss(&b, NUMBER, s, fabs(value_of(b.outputs[NUMBER], s) - number));
        expect_loss(&b, HUBER, s, s == 0 ? 0 : e * e);
        expect_loss(&b, INTENT, s,
                    s == 1 ? 0 : -(double)h[INTENT].class_weights[s] * (1 - p) * (1 - p) * log(p));
        const float *t = b.batch.items[LABELS].target + s * 3;
        double sum = 0, known = 0;
        for (int k = 0; k < 3; k++) {
            const double q = 1 / (1 + exp(-value_of(b.outputs[LABELS], s * 3 + k)));
            if (t[k] < 0) continue;
            known += 1;
            sum -= t[k] > 0 ? (double)h[LABELS].class_weights[k] * pow(1 - q, 1.5) * log(q)
                            : pow(q, 1.5) * log(1 - q);
        }
        expect_loss(&b, LABELS, s, s == 3 ? 0 : sum / known);
    }
    for (int64_t k = 0; k < 2; k++) {
        const double e = fabs(value_of(b.outputs[ALIKE], k) - (double)b.batch.items[ALIKE].target[k]);
        expect_loss(&b, ALIKE, k, e <= 0.25 ? e * e / 2 : 0.25 * (e - 0.125));
    }
    bench_end(&b);
}

/* One direction alone, with the positives smoothed: each of the four candidates gets its share. */
static void ranking_one_way_and_smoothed(void **state) {
    (void)state;
    struct bench b;
    bench_begin(&b);
    b.model->heads[SEARCH].symmetric = false;
    b.model->heads[SEARCH].label_smoothing = 0.2f;
    run_losses(&b);
    const struct berth_tensor *u = b.outputs[SEARCH];
    for (int64_t i = 0; i < 3; i++) {
        double sum = 0, expected = 0;
        for (int64_t c = 3; c < 7; c++)
            sum += exp(5 * dot(u, i, c));
        for (int64_t c = 3; c < 7; c++)
            expected -= (0.05 + (c == 3 + i ? 0.8 : 0)) * (5 * dot(u, i, c) - log(sum));
        expect_loss(&b, SEARCH, i, expected);
    }
    bench_end(&b);
}

/* A mix whose weights leave one layer alone is a head that reads that layer; gamma is a factor of it. */
static void a_mix_of_one_layer_is_that_layer(void **state) {
    (void)state;
    struct bench b;
    float mixed[8], plain[8];
    bool wanted[HEADS] = {false};
    bench_begin(&b);
    wanted[MIXED] = true;
    for (int64_t layer = 0; layer <= 2; layer++) {
        const int weight = berth_model_find(b.model, "heads.mixed.mix.weight");
        const float only[3] = {layer == 0 ? 0.0f : -200.0f, layer == 1 ? 0.0f : -200.0f,
                               layer == 2 ? 0.0f : -200.0f};
        check_ok(berth_model_set(b.model, weight, only));
        check_ok(berth_model_set(b.model, weight + 1, &(float){1.0f}));
        b.model->heads[MIXED].reads = BERTH_READS_MIX;
        bench_inference(&b, wanted);
        memcpy(mixed, b.outputs[MIXED]->data, sizeof mixed);
        b.model->heads[MIXED].reads = BERTH_READS_LAYER;
        b.model->heads[MIXED].layer = layer;
        bench_inference(&b, wanted);
        memcpy(plain, b.outputs[MIXED]->data, sizeof plain);
        for (int i = 0; i < 8; i++)
            assert_true(fabsf(mixed[i] - plain[i]) <= 1e-6f * (1 + fabsf(plain[i])));
        check_ok(berth_model_set(b.model, weight + 1, &(float){0.0f})); /* nothing is left but the bias */
        b.model->heads[MIXED].reads = BERTH_READS_MIX;
        bench_inference(&b, wanted);
        float *bias = values_of(b.model, "heads.mixed.bias");
        for (int i = 0; i < 8; i++)
            assert_true(fabs(value_of(b.outputs[MIXED], i) - (double)bias[i % 2]) <= 1e-6);
        free(bias);
    }
    bench_end(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_are_their_formulas),        cmocka_unit_test(other_losses_are_their_formulas),
        cmocka_unit_test(ranking_one_way_and_smoothed),     cmocka_unit_test(negatives_are_the_tasks_own),
        cmocka_unit_test(a_mix_of_one_layer_is_that_layer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
