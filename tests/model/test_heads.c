/* test_heads.c: heads of every kind in one forward: alone and together the same, gradients against slopes,
 * settings saved and read back, decisions against all paths. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/support_heads.h"

/* ---- one pass, all kinds */

static void all_kinds_in_one_pass(void **state) {
    (void)state;
    struct bench b;
    bench_begin(&b);
    bench_inference(&b, NULL);
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
        bench_inference(&b, wanted);
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
    bench_inference(&b, wanted);
    memcpy(before, b.outputs[TOPIC]->data, sizeof before);
    for (int i = 0; i < b.model->parameter_count; i++) {
        const struct berth_parameter *p = &b.model->parameters[i];
        for (int64_t k = 0; p->stage == 2 && k < p->count; k++)
            b.model->values[p->offset + k] = NAN;
    }
    bench_inference(&b, wanted);
    assert_memory_equal(before, b.outputs[TOPIC]->data, sizeof before);
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
            check_ok(berth_tape_check_direction(b.tape, bench_rebuild, &b, b.model->values + p->offset,
                                                b.pointers[i], p->count, (uint64_t)i, h, &analytic, &numeric));
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
    bench_inference(&b, NULL);
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
        bench_inference(&b, NULL);
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
        cmocka_unit_test(gradients_are_slopes),        cmocka_unit_test(settings_and_values_come_back),
        cmocka_unit_test(viterbi_finds_the_best_path), cmocka_unit_test(answers_keep_to_the_scheme),
        cmocka_unit_test(heads_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
