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

/* A store with what the selectors (ended by NULL) choose frozen. */
static struct berth_store *make_store(const struct fixture *f, double head_lr_scale,
                                      const char *const *selectors) {
    struct berth_store *s = NULL;
    bool *frozen = calloc((size_t)f->model->parameter_count, sizeof *frozen);
    int count = 0;
    for (; *selectors != NULL; selectors++)
        assert_done(berth_model_select(f->model, *selectors, frozen, &count));
    assert_done(berth_store_create(&s, f->model, frozen, head_lr_scale));
    free(frozen);
    return s;
}
#define STORE(f, scale, ...) make_store((f), (scale), (const char *const[]){__VA_ARGS__, NULL})

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
    const struct berth_adamw o = {
        .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-7, .weight_decay = 0.05, .clip_norm = 1.5};
    const bool active[3] = {true, true, true};
    const double lr = 1e-3;
    float *start = model_values(m, NULL);
    double squares = 0, norm = 0, worst = 0;
    for (int pass = 1; pass <= 2; pass++) {
        fill_gradients(s, 0.1f);
        assert_done(berth_store_step(s, &o, lr, active, &norm));
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
        double rate = p->owner > 0 ? lr * 20.0 : lr, decay = p->decays ? o.weight_decay : 0.0;
        for (int64_t k = 0; k < p->count; k++) {
            double x = start[p->offset + k], mean = 0, square = 0;
            for (int t = 1; s->trainable[i] && t <= 2; t++) {
                double g = clip * s->gradients[i][k];
                mean = 0.9 * mean + 0.1 * g;
                square = 0.99 * square + 0.01 * g * g;
                x -=
                    rate * (mean / (1 - pow(0.9, t)) / (sqrt(square / (1 - pow(0.99, t))) + o.eps) + decay * x);
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
    const struct berth_adamw o = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.1};
    const bool both[3] = {true, true, true}, first[3] = {true, true, false};
    double norm = 0, all = 0;
    fill_gradients(s, 1.0f);
    assert_done(berth_store_step(s, &o, 1e-3, both, &all));
    float *values = model_values(m, NULL);
    float *moments = malloc((size_t)s->grad_total * sizeof *moments);
    memcpy(moments, s->m, (size_t)s->grad_total * sizeof *moments);
    assert_done(berth_store_step(s, &o, 1e-3, first, &norm));
    assert_true(norm < all); /* the idle head's gradient does not count */
    for (int i = 0; i < m->parameter_count; i++) {
        const struct berth_parameter *p = &m->parameters[i];
        size_t bytes = (size_t)p->count * sizeof(float);
        bool idle = p->owner == 2;
        bool same = memcmp(values + p->offset, m->values + p->offset, bytes) == 0;
        bool same_moment =
            memcmp(moments + (s->gradients[i] - s->grads), s->m + (s->gradients[i] - s->grads), bytes) == 0;
        if (same != idle || same_moment != idle)
            fail_msg("%s: values same %d, moments same %d", p->name, same, same_moment);
    }
    assert_int_equal(s->owner_steps[0], 2);
    assert_int_equal(s->owner_steps[1], 2);
    assert_int_equal(s->owner_steps[2], 1);
    free(values);
    free(moments);
    berth_store_free(s);
}

static void test_bad_gradient_changes_nothing(void **state) {
    const struct fixture *f = *state;
    struct berth_store *s = STORE(f, 1.0, NULL);
    const struct berth_adamw o = {
        .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.1, .clip_norm = 1};
    const bool active[3] = {true, true, true};
    const float bad[2] = {NAN, INFINITY};
    float *before = model_values(f->model, NULL);
    double norm = 0;
    for (int i = 0; i < 2; i++) {
        fill_gradients(s, 1.0f);
        s->gradients[f->model->parameter_count - 1][0] = bad[i];
        assert_int_equal(berth_store_step(s, &o, 1e-3, active, &norm), BERTH_E_NUMERIC);
        assert_memory_equal(before, f->model->values, (size_t)f->model->total * sizeof *before);
        assert_int_equal(s->owner_steps[0], 0);
        for (int64_t k = 0; k < s->grad_total; k++)
            assert_true(s->m[k] == 0 && s->v[k] == 0);
    }
    free(before);
    berth_store_free(s);
}

/* ---- rules of the configuration */

static struct berth_config *freeze_config(const char *rules) {
    struct berth_config *c = NULL;
    struct berth_str s;
    berth_str_init(&s);
    berth_str_addf(&s,
                   "data: {d: {format: lines, train: x}}\n"
                   "tasks: {intent: {type: classification, source: d, label: label}}\nfreeze: %s\n",
                   rules);
    assert_done(berth_config_parse(&c, "rules.yaml", s.data, s.length, NULL, 0));
    berth_str_deinit(&s);
    return c;
}

static void test_freeze_rules(void **state) {
    const struct fixture *f = *state;
    int n = f->model->parameter_count;
    bool *frozen = calloc((size_t)n, sizeof *frozen);
    struct berth_config *c = freeze_config("[{select: embeddings}, {select: layers.0}, {select: heads.slots}]");
    assert_done(berth_freeze_resolve(c, f->model, frozen));
    for (int i = 0; i < n; i++) {
        const struct berth_parameter *p = &f->model->parameters[i];
        assert_int_equal(frozen[i], p->stage <= 1 || p->owner == 2);
    }
    berth_config_free(c);
    static const struct {
        const char *rules, *text;
    } bad[] = {
        {"[{select: embeddings}, {select: layers.0-9}]", "rules.yaml:3:41: freeze[1].select"},
        {"[{select: heads.mood}]", "mood"},
        {"[{select: embedings}]", "embeddings"},
        {"[{select: \"*.nothing.*\"}]", "selects no parameter"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        memset(frozen, 0, (size_t)n);
        c = freeze_config(bad[i].rules);
        assert_int_equal(berth_freeze_resolve(c, f->model, frozen), BERTH_E_USAGE);
        if (strstr(berth_error_text(), bad[i].text) == NULL)
            fail_msg("%s: %s", bad[i].rules, berth_error_text());
        for (int k = 0; k < n; k++)
            assert_false(frozen[k]); /* nothing was applied */
        berth_config_free(c);
    }
    free(frozen);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_layout_all_trained, setup, teardown),
        cmocka_unit_test_setup_teardown(test_frozen_owns_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_query_key_value_stay_neighbours, setup, teardown),
        cmocka_unit_test_setup_teardown(test_step_is_adamw, setup, teardown),
        cmocka_unit_test_setup_teardown(test_idle_head_is_untouched, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_gradient_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_freeze_rules, setup, teardown),
    };
    return cmocka_run_group_tests_name("param_store", tests, NULL, NULL);
}
