/* test_param_store.c: the layout of gradients and segments, freezing, and the optimizer's step over a small
 * model. */
#include "support_train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "berth/file.h"

struct fixture {
    struct berth_device *dev;
    struct berth_model *model;
};

static int setup(void **state) {
    static struct fixture f;
    struct berth_model_config c;
    static const char *const names[] = {"intent", "slots"};
    assert_done(berth_device_open(&f.dev, "cpu"));
    berth_model_config_init(&c);
    c.layers = 2, c.hidden = 24, c.heads = 2, c.intermediate = 40, c.vocab_size = 30, c.positions = 16;
    assert_done(berth_model_create(&f.model, f.dev, &c));
    berth_model_config_deinit(&c);
    for (int i = 0; i < 2; i++) {
        struct berth_head head = {.dropout = -1.0f, .pooling = BERTH_POOL_MEAN};
        head.task.kind = i == 0 ? BERTH_TASK_CLASSIFICATION : BERTH_TASK_TAGGING;
        assert_done(berth_strdup(&head.task.name, names[i]));
        berth_labels_init(&head.task.labels);
        assert_done(berth_labels_add(&head.task.labels, "O", NULL));
        assert_done(berth_labels_add(&head.task.labels, "B-x", NULL));
        assert_done(berth_labels_add(&head.task.labels, "I-x", NULL));
        assert_done(berth_model_add_head(f.model, &head));
        berth_task_deinit(&head.task);
    }
    assert_done(berth_model_allocate(f.model, 7));
    *state = &f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    berth_model_free(f->model);
    berth_device_close(f->dev);
    return 0;
}

static const struct berth_optimizer adamw = {
    .kind = BERTH_OPTIMIZER_ADAMW, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-7, .clip_norm = 1.5};

/* Rate 1e-3, times head_lr_scale for heads; decay 0.05; what the selectors (ended by NULL) choose is frozen. */
static struct berth_rule *make_rules(const struct fixture *f, double head_lr_scale,
                                     const char *const *selectors) {
    bool *frozen = calloc((size_t)f->model->parameter_count, sizeof *frozen);
    struct berth_rule *rules = calloc((size_t)f->model->parameter_count, sizeof *rules);
    int count = 0;
    for (; *selectors != NULL; selectors++)
        assert_done(berth_model_select(f->model, *selectors, frozen, &count));
    for (int i = 0; i < f->model->parameter_count; i++) {
        const struct berth_parameter *p = &f->model->parameters[i];
        rules[i] = (struct berth_rule){.frozen = frozen[i],
                                       .lr = p->owner > 0 ? 1e-3 * head_lr_scale : 1e-3,
                                       .weight_decay = p->decays ? 0.05 : 0.0};
    }
    free(frozen);
    return rules;
}

static struct berth_store *make_store(const struct fixture *f, const struct berth_optimizer *optimizer,
                                      double head_lr_scale, const char *const *selectors) {
    struct berth_store *s = NULL;
    struct berth_rule *rules = make_rules(f, head_lr_scale, selectors);
    assert_done(berth_store_create(&s, f->model, rules, optimizer));
    free(rules);
    return s;
}
#define STORE(f, scale, ...) make_store((f), &adamw, (scale), (const char *const[]){__VA_ARGS__, NULL})

/* Every trained element is in exactly one segment, at its own gradient; frozen and padding ones are in none. */
static void check_segments(const struct berth_store *s) {
    const struct berth_model *m = s->model;
    int64_t *gradient_of = malloc((size_t)m->total * sizeof *gradient_of);
    int64_t *expected = malloc((size_t)m->total * sizeof *expected);
    for (int64_t i = 0; i < m->total; i++)
        gradient_of[i] = expected[i] = -1;
    for (int i = 0; i < m->parameter_count; i++) {
        const struct berth_parameter *p = &m->parameters[i];
        for (int64_t k = 0; s->trainable[i] && k < p->count; k++)
            expected[p->offset + k] = s->gradients[i] - s->grads + k;
    }
    for (int i = 0; i < s->segment_count; i++) {
        const struct berth_segment *g = &s->segments[i];
        assert_true(g->grad_offset >= 0 && g->grad_offset + g->count <= s->grad_total);
        for (int64_t k = 0; k < g->count; k++) {
            assert_int_equal(gradient_of[g->value_offset + k], -1);
            gradient_of[g->value_offset + k] = g->grad_offset + k;
        }
    }
    for (int64_t i = 0; i < m->total; i++) {
        if (gradient_of[i] != expected[i])
            fail_msg("element %lld: stepped with gradient %lld, expected %lld", (long long)i,
                     (long long)gradient_of[i], (long long)expected[i]);
    }
    free(gradient_of);
    free(expected);
}

static void test_layout_all_trained(void **state) {
    const struct fixture *f = *state;
    struct berth_store *s = STORE(f, 1.0, NULL);
    check_segments(s);
    for (int i = 0; i < f->model->parameter_count; i++)
        assert_non_null(s->gradients[i]);
    assert_true(s->segment_count < f->model->parameter_count); /* neighbours were joined */
    berth_store_free(s);
}

static void test_frozen_owns_nothing(void **state) {
    const struct fixture *f = *state;
    size_t before = f->dev->bytes_now;
    struct berth_store *s = STORE(f, 1.0, "backbone", "heads.slots");
    int weight = berth_model_find(f->model, "heads.intent.weight"),
        bias = berth_model_find(f->model, "heads.intent.bias");
    check_segments(s);
    for (int i = 0; i < f->model->parameter_count; i++)
        assert_true((s->gradients[i] != NULL) == (i == weight || i == bias));
    int64_t own = f->model->parameters[weight].count + f->model->parameters[bias].count;
    if (s->grad_total < own || s->grad_total > own + 32) fail_msg("grad_total %lld", (long long)s->grad_total);
    assert_true(f->dev->bytes_now - before <= 3 * 4 * (size_t)(own + 32) + 1024);
    berth_store_free(s);
    assert_int_equal(f->dev->bytes_now, before);
}

static void test_query_key_value_stay_neighbours(void **state) {
    const struct fixture *f = *state;
    const struct berth_model *m = f->model;
    struct berth_store *s = STORE(f, 1.0, "embeddings", "*.query.*", "*.1.attention.self.value.bias");
    check_segments(s);
    for (int layer = 0; layer < 2; layer++) {
        static const char *const kinds[] = {"weight", "bias"};
        for (int k = 0; k < 2; k++) {
            char name[96];
            snprintf(name, sizeof name, "encoder.layer.%d.attention.self.query.%s", layer, kinds[k]);
            int q = berth_model_find(m, name);
            assert_true(q >= 0 && !s->trainable[q]);
            assert_non_null(s->gradients[q]);
            for (int j = 1; j < 3; j++)
                assert_ptr_equal(s->gradients[q + j],
                                 s->gradients[q] + (m->parameters[q + j].offset - m->parameters[q].offset));
        }
    }
    berth_store_free(s);
    s = STORE(f, 1.0, "*.attention.self.*"); /* all three frozen: no room */
    for (int i = 0; i < m->parameter_count; i++)
        assert_true((s->gradients[i] == NULL) == (strstr(m->parameters[i].name, ".attention.self.") != NULL));
    check_segments(s);
    berth_store_free(s);
}

/* ---- the step, against the formula in double */

static void fill_gradients(struct berth_store *s, float scale) {
    for (int64_t i = 0; i < s->grad_total; i++)
        s->grads[i] = scale * (float)berth_random_normal(5, BERTH_PURPOSE_TEST, 1, (uint64_t)i);
}

static void test_step_is_adamw(void **state) {
    const struct fixture *f = *state;
    const struct berth_model *m = f->model;
    struct berth_store *s = STORE(f, 20.0, "embeddings");
    const bool active[3] = {true, true, true};
    const double lr = 0.5e-3;
    float *start = model_values(m, NULL);
    double squares = 0, norm = 0, worst = 0;
    for (int pass = 1; pass <= 2; pass++) {
        fill_gradients(s, 0.1f);
        assert_done(berth_store_step(s, 0.5, active, &norm));
    }
    for (int i = 0; i < m->parameter_count; i++) {
        for (int64_t k = 0; s->trainable[i] && k < m->parameters[i].count; k++)
            squares += (double)s->gradients[i][k] * s->gradients[i][k];
    }
    assert_true(fabs(norm - sqrt(squares)) < 1e-12 * norm);
    double clip = 1.5 / (norm + 1e-6);
    assert_true(clip < 1.0);
    for (int i = 0; i < m->parameter_count; i++) {
        const struct berth_parameter *p = &m->parameters[i];
        double rate = p->owner > 0 ? lr * 20.0 : lr, decay = p->decays ? 0.05 : 0.0;
        for (int64_t k = 0; k < p->count; k++) {
            double x = start[p->offset + k], mean = 0, square = 0;
            for (int t = 1; s->trainable[i] && t <= 2; t++) {
                double g = clip * s->gradients[i][k];
                mean = 0.9 * mean + 0.1 * g;
                square = 0.99 * square + 0.01 * g * g;
                x -= rate *
                     (mean / (1 - pow(0.9, t)) / (sqrt(square / (1 - pow(0.99, t))) + adamw.eps) + decay * x);
            }
            double error = fabs(x - m->values[p->offset + k]);
            if (!s->trainable[i] && error != 0)
                fail_msg("%s[%lld] is frozen and changed", p->name, (long long)k);
            if (error > worst) worst = error;
        }
    }
    if (worst > 2e-6) fail_msg("largest difference from the formula: %g", worst);
    free(start);
    berth_store_free(s);
}

static void test_idle_head_is_untouched(void **state) {
    const struct fixture *f = *state;
    const struct berth_model *m = f->model;
    struct berth_store *s = STORE(f, 1.0, NULL);
    const bool both[3] = {true, true, true}, first[3] = {true, true, false};
    double norm = 0, all = 0;
    fill_gradients(s, 1.0f);
    assert_done(berth_store_step(s, 1.0, both, &all));
    float *values = model_values(m, NULL);
    float *moments = malloc((size_t)s->grad_total * sizeof *moments);
    memcpy(moments, s->state[0], (size_t)s->grad_total * sizeof *moments);
    assert_done(berth_store_step(s, 1.0, first, &norm));
    assert_true(norm < all); /* the idle head's gradient does not count */
    for (int i = 0; i < m->parameter_count; i++) {
        const struct berth_parameter *p = &m->parameters[i];
        size_t bytes = (size_t)p->count * sizeof(float);
        bool idle = p->owner == 2;
        bool same = memcmp(values + p->offset, m->values + p->offset, bytes) == 0;
        bool same_moment = memcmp(moments + (s->gradients[i] - s->grads),
                                  s->state[0] + (s->gradients[i] - s->grads), bytes) == 0;
        if (same != idle || same_moment != idle)
            fail_msg("%s: values same %d, moments same %d", p->name, same, same_moment);
    }
    for (int i = 0; i < m->parameter_count; i++)
        assert_int_equal(s->steps[i], m->parameters[i].owner == 2 ? 1 : 2);
    free(values);
    free(moments);
    berth_store_free(s);
}

static void test_bad_gradient_changes_nothing(void **state) {
    const struct fixture *f = *state;
    struct berth_store *s = STORE(f, 1.0, NULL);
    const bool active[3] = {true, true, true};
    const float bad[2] = {NAN, INFINITY};
    float *before = model_values(f->model, NULL);
    double norm = 0;
    for (int i = 0; i < 2; i++) {
        fill_gradients(s, 1.0f);
        s->gradients[f->model->parameter_count - 1][0] = bad[i];
        assert_int_equal(berth_store_step(s, 1.0, active, &norm), BERTH_E_NUMERIC);
        assert_memory_equal(before, f->model->values, (size_t)f->model->total * sizeof *before);
        assert_int_equal(s->steps[0], 0);
        for (int64_t k = 0; k < s->grad_total; k++)
            assert_true(s->state[0][k] == 0 && s->state[1][k] == 0);
    }
    free(before);
    berth_store_free(s);
}

/* ---- other optimizers, averages, another layout */

/* Two steps of sgd or lion against the formula in double. */
static void check_formula(const struct fixture *f, const struct berth_optimizer *o) {
    const struct berth_model *m = f->model;
    struct berth_store *s = make_store(f, o, 1.0, (const char *const[]){NULL});
    const bool active[3] = {true, true, true};
    float *start = model_values(m, NULL);
    double norm = 0, worst = 0;
    assert_null(s->state[1]);
    for (int pass = 1; pass <= 2; pass++) {
        fill_gradients(s, 0.1f);
        assert_done(berth_store_step(s, 1.0, active, &norm));
    }
    for (int i = 0; i < m->parameter_count; i++) {
        const struct berth_parameter *p = &m->parameters[i];
        for (int64_t k = 0; k < p->count; k++) {
            double x = start[p->offset + k], mean = 0, decay = p->decays ? 0.05 : 0.0;
            for (int t = 1; t <= 2; t++) {
                double g = s->gradients[i][k];
                if (o->kind == BERTH_OPTIMIZER_SGD) {
                    g += decay * x;
                    mean = o->momentum * mean + g;
                    x -= 1e-3 * (o->nesterov ? g + o->momentum * mean : mean);
                } else {
                    double ahead = o->beta1 * mean + (1 - o->beta1) * g;
                    mean = o->beta2 * mean + (1 - o->beta2) * g;
                    x -= 1e-3 * ((ahead > 0) - (ahead < 0) + decay * x);
                }
            }
            double error = fabs(x - m->values[p->offset + k]);
            if (error > worst) worst = error;
        }
    }
    if (worst > 2e-6) fail_msg("%s: largest difference %g", berth_optimizer_name(o->kind), worst);
    free(start);
    berth_store_free(s);
}

static void test_sgd_and_lion(void **state) {
    const struct berth_optimizer list[] = {
        {.kind = BERTH_OPTIMIZER_SGD, .momentum = 0.9},
        {.kind = BERTH_OPTIMIZER_SGD, .momentum = 0.8, .nesterov = true},
        {.kind = BERTH_OPTIMIZER_LION, .beta1 = 0.9, .beta2 = 0.99},
    };
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        check_formula(*state, &list[i]);
}

/* What was trained and is trained keeps state and count; what thaws begins with zeros and a count of its own;
 * what freezes owns nothing; and the values of nothing change. */
static void test_another_layout(void **state) {
    const struct fixture *f = *state;
    const struct berth_model *m = f->model;
    const bool active[3] = {true, true, true};
    double norm = 0;
    struct berth_store *s = STORE(f, 1.0, "embeddings", "layers.0");
    struct berth_rule *rules = make_rules(f, 1.0, (const char *const[]){"layers.1", NULL});
    fill_gradients(s, 0.1f);
    for (int i = 0; i < 3; i++)
        assert_done(berth_store_step(s, 1.0, active, &norm));
    int head = berth_model_find(m, "heads.slots.weight"),
        layer = berth_model_find(m, "encoder.layer.1.output.dense.weight");
    int low = berth_model_find(m, "encoder.layer.0.output.dense.weight");
    size_t bytes = (size_t)m->parameters[head].count * sizeof(float);
    float *kept = malloc(bytes), *values = model_values(m, NULL);
    memcpy(kept, s->state[1] + (s->gradients[head] - s->grads), bytes);
    assert_null(s->gradients[low]);
    assert_done(berth_store_change(&s, rules));
    check_segments(s);
    assert_memory_equal(kept, s->state[1] + (s->gradients[head] - s->grads), bytes);
    assert_memory_equal(values, m->values, (size_t)m->total * sizeof *values);
    assert_int_equal(s->steps[head], 3);
    assert_int_equal(s->steps[low], 0);
    assert_null(s->gradients[layer]);
    for (int64_t k = 0; k < m->parameters[low].count; k++)
        assert_true(s->state[0][s->gradients[low] - s->grads + k] == 0);
    fill_gradients(s, 0.1f);
    assert_done(berth_store_step(s, 1.0, active, &norm));
    assert_int_equal(s->steps[head], 4);
    assert_int_equal(s->steps[low], 1);
    /* the first step of AdamW moves by the rate, whatever the gradient's size: the count began anew */
    double moved = fabs(m->values[m->parameters[low].offset] - values[m->parameters[low].offset]);
    if (!(moved > 0.9e-3 && moved < 1.1e-3)) fail_msg("moved by %g", moved);
    free(kept);
    free(values);
    free(rules);
    berth_store_free(s);
}

/* The average follows the values with the early rate, stays over a change of layout, and changes places with
 * them. */
static void test_average(void **state) {
    const struct fixture *f = *state;
    struct berth_model *m = f->model;
    const struct berth_optimizer o = {
        .kind = BERTH_OPTIMIZER_SGD, .momentum = 0.5, .ema = 0.15}; /* min(0.15, 1/10, 2/11 ...) */
    const bool active[3] = {true, true, true};
    struct berth_store *s = make_store(f, &o, 1.0, (const char *const[]){NULL});
    struct berth_rule *rules = make_rules(f, 1.0, (const char *const[]){"backbone", NULL});
    double norm = 0, worst = 0;
    float *a = model_values(m, NULL), *b, *c;
    fill_gradients(s, 0.1f);
    assert_done(berth_store_step(s, 1.0, active, &norm));
    assert_done(berth_store_average(s, 0));
    b = model_values(m, NULL);
    assert_done(berth_store_step(s, 1.0, active, &norm));
    assert_done(berth_store_average(s, 1));
    c = model_values(m, NULL);
    for (int64_t i = 0; i < m->total; i++) {
        double e = a[i] + 0.9 * ((double)b[i] - a[i]);
        e += 0.85 * (c[i] - e);
        if (fabs(e - s->average[i]) > worst) worst = fabs(e - s->average[i]);
    }
    if (worst > 1e-6) fail_msg("largest difference from the formula: %g", worst);
    float *average = s->average;
    assert_done(berth_store_change(&s, rules));
    assert_ptr_equal(s->average, average);
    berth_store_exchange(s);
    assert_ptr_equal(m->values, average);
    berth_store_exchange(s);
    assert_memory_equal(c, m->values, (size_t)m->total * sizeof *c);
    free(a), free(b), free(c), free(rules);
    berth_store_free(s);
}

/* ---- rules of the configuration */

static struct berth_config *freeze_config(const char *rules) {
    struct berth_config *c = NULL;
    struct berth_str s;
    berth_str_init(&s);
    berth_str_addf(&s,
                   "data: {d: {format: lines, train: x}}\n"
                   "tasks: {intent: {type: classification, source: d, label: label}}\n%s\n",
                   rules);
    assert_done(berth_config_parse(&c, "rules.yaml", s.data, s.length, NULL, 0));
    berth_str_deinit(&s);
    return c;
}

static void test_freeze_rules(void **state) {
    const struct fixture *f = *state;
    int n = f->model->parameter_count;
    bool *frozen = calloc((size_t)n, sizeof *frozen);
    struct freeze freeze;
    struct berth_config *c = freeze_config(
        "freeze: [{select: embeddings}, {select: layers.0, until: 1 epoch}, {select: heads.slots, from: 3 "
        "steps}, {select: embeddings.LayerNorm.*, frozen: false}]");
    assert_done(freeze_read(&freeze, c, f->model));
    static const struct {
        int64_t steps;
        double epochs;
        bool layer, head;
    } at[] = {{0, 0, true, false}, {2, 0.99, true, false}, {3, 1, false, true}, {9, 3, false, true}};
    for (size_t k = 0; k < sizeof at / sizeof at[0]; k++) {
        freeze_at(&freeze, at[k].steps, at[k].epochs, frozen);
        for (int i = 0; i < n; i++) {
            const struct berth_parameter *p = &f->model->parameters[i];
            bool expected = (p->stage == 0 && !p->is_norm) || (p->stage == 1 && at[k].layer) ||
                            (p->owner == 2 && at[k].head);
            if (frozen[i] != expected) fail_msg("case %zu: %s is %d", k, p->name, frozen[i]);
        }
    }
    freeze_deinit(&freeze);
    berth_config_free(c);
    static const struct {
        const char *rules, *text;
    } bad[] = {
        {"freeze: [{select: embeddings}, {select: layers.0-9}]", "rules.yaml:3:41: freeze[1].select"},
        {"freeze: [{select: heads.mood}]", "mood"},
        {"freeze: [{select: embedings}]", "embeddings"},
        {"freeze: [{select: \"*.nothing.*\"}]", "selects no parameter"},
        {"freeze: [{select: pooler, until: 10 min}]", "by the clock"},
        {"freeze: [{select: pooler, until: 1 epoch, from: 2 epochs}]", "exclude each other"},
        {"freeze: [{select: pooler, until: 1 epoch, frozen: false}]", "holds always"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        c = freeze_config(bad[i].rules);
        assert_int_equal(freeze_read(&freeze, c, f->model), BERTH_E_USAGE);
        if (strstr(berth_error_text(), bad[i].text) == NULL)
            fail_msg("%s: %s", bad[i].rules, berth_error_text());
        freeze_deinit(&freeze);
        berth_config_free(c);
    }
    free(frozen);
}

/* Layer decay below the top, groups over it, heads at their own rate; biases and norms never decay. */
static void test_rates(void **state) {
    const struct fixture *f = *state;
    const struct berth_model *m = f->model;
    struct berth_rule *rules = calloc((size_t)m->parameter_count, sizeof *rules);
    struct recipe r = {.lr = 1e-4, .head_lr = 1e-3, .layer_decay = 0.5, .weight_decay = 0.1};
    struct berth_config *c =
        freeze_config("train: {groups: [{select: layers.1, lr: 7.0e-4}, {select: heads.slots, "
                      "weight_decay: 0.3}]}");
    assert_done(param_rules_read(rules, &r, c, m));
    for (int i = 0; i < m->parameter_count; i++) {
        const struct berth_parameter *p = &m->parameters[i];
        static const double by_stage[] = {1e-4 / 8, 1e-4 / 4, 7e-4,
                                          1e-4}; /* of two layers; layer 1 by its group */
        double lr = p->owner > 0 ? 1e-3 : by_stage[p->stage];
        double decay = !p->decays ? 0 : p->owner == 2 ? 0.3 : 0.1;
        if (fabs(rules[i].lr - lr) > 1e-12 || rules[i].weight_decay != decay)
            fail_msg("%s: rate %g, decay %g", p->name, rules[i].lr, rules[i].weight_decay);
    }
    berth_config_free(c);
    c = freeze_config("train: {groups: [{select: layers.7}]}");
    assert_int_equal(param_rules_read(rules, &r, c, m), BERTH_E_USAGE);
    assert_text_has(berth_error_text(), "train.groups[0].select");
    berth_config_free(c);
    free(rules);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_layout_all_trained, setup, teardown),
        cmocka_unit_test_setup_teardown(test_frozen_owns_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_query_key_value_stay_neighbours, setup, teardown),
        cmocka_unit_test_setup_teardown(test_step_is_adamw, setup, teardown),
        cmocka_unit_test_setup_teardown(test_idle_head_is_untouched, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_gradient_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sgd_and_lion, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_layout, setup, teardown),
        cmocka_unit_test_setup_teardown(test_average, setup, teardown),
        cmocka_unit_test_setup_teardown(test_freeze_rules, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rates, setup, teardown),
    };
    return cmocka_run_group_tests_name("param_store", tests, NULL, NULL);
}
