/* test_select.c: selectors, and the table of parameters that they select from. */
#include <math.h>
#include <stdio.h>

#include "model/support_model.h"

static struct berth_device *device;
static struct berth_model *model;

static int setup(void **state) {
    (void)state;
    check_ok(berth_device_open(&device, "cpu"));
    model = small_model(device, "bert");
    small_add_head(model, "intent", BERTH_TASK_CLASSIFICATION, BERTH_POOL_POOLER, 4);
    small_add_head(model, "slots", BERTH_TASK_TAGGING, BERTH_POOL_CLS, 5);
    check_ok(berth_model_allocate(model, 5));
    return 0;
}

static int teardown(void **state) {
    (void)state;
    berth_model_free(model);
    berth_device_close(device);
    return 0;
}

/* Everything but the selected is left as it was. */
static void check_selects(const char *selector, int count, const char *const *some, int some_count) {
    bool selected[64] = {false};
    int said = -1, found = 0;
    assert_true(model->parameter_count <= 64);
    check_ok(berth_model_select(model, selector, selected, &said));
    for (int i = 0; i < model->parameter_count; i++)
        found += selected[i];
    if (said != count || found != count)
        fail_msg("%s: said %d, found %d, expected %d", selector, said, found, count);
    for (int i = 0; i < some_count; i++) {
        int index = berth_model_find(model, some[i]);
        if (index < 0 || !selected[index]) fail_msg("%s: '%s' is not selected", selector, some[i]);
    }
}

static void selectors_select(void **state) {
    (void)state;
    static const struct {
        const char *selector;
        int count;
        const char *some[2];
    } CASES[] = {
        {"backbone", 39, {"embeddings.word_embeddings.weight", "pooler.dense.bias"}},
        {"embeddings", 5, {"embeddings.LayerNorm.bias", "embeddings.token_type_embeddings.weight"}},
        {"layers.0",
         16,
         {"encoder.layer.0.attention.self.query.weight", "encoder.layer.0.output.LayerNorm.bias"}},
        {"layers.1-1",
         16,
         {"encoder.layer.1.attention.self.value.bias", "encoder.layer.1.output.dense.weight"}},
        {"layers.0-1", 32, {"encoder.layer.0.output.dense.weight", "encoder.layer.1.output.dense.weight"}},
        {"pooler", 2, {"pooler.dense.weight", "pooler.dense.bias"}},
        {"heads.slots", 2, {"heads.slots.weight", "heads.slots.bias"}},
        {"heads.*", 4, {"heads.slots.weight", "heads.intent.bias"}},
        {"norms", 10, {"embeddings.LayerNorm.weight", "encoder.layer.1.output.LayerNorm.bias"}},
        {"biases", 20, {"embeddings.LayerNorm.bias", "heads.intent.bias"}},
        {"encoder.layer.?.attention.self.key.*",
         4,
         {"encoder.layer.0.attention.self.key.weight", "encoder.layer.1.attention.self.key.bias"}},
        {"pooler.dense.weight", 1, {"pooler.dense.weight", "pooler.dense.weight"}},
        {"*nothing*", 0, {NULL, NULL}},
        {"*", 43, {"heads.slots.bias", "embeddings.word_embeddings.weight"}},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++)
        check_selects(CASES[i].selector, CASES[i].count, CASES[i].some, CASES[i].some[0] == NULL ? 0 : 2);
}

static void unknown_selectors_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *selector, *said;
    } CASES[] = {
        {"backbon", "did you mean 'backbone'?"},
        {"", "selector '' is none of"},
        {"heads.slot", "there is no head 'slot'; there is: intent, slots"},
        {"heads.", "there is no head ''"},
        {"layers.2", "there is no layer 2; this backbone has layers 0 to 1"},
        {"layers.0-2", "there is no layer 2"},
        {"layers.1-0", "expected layers.N or layers.A-B"},
        {"layers.x", "expected layers.N or layers.A-B"},
        {"layers.-1", "expected layers.N or layers.A-B"},
        {"layers.", "expected layers.N or layers.A-B"},
        {"layers.0-", "expected layers.N or layers.A-B"},
        {"layers.99999999999999999999999999", "expected layers.N or layers.A-B"},
        {"layers", "is none of"},
        {"pooler.dense", "is none of"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        bool selected[64] = {false};
        int count = 0;
        berth_status status = berth_model_select(model, CASES[i].selector, selected, &count);
        if (status != BERTH_E_USAGE || strstr(berth_error_text(), CASES[i].said) == NULL)
            fail_msg("'%s': expected '%s', got %s '%s'", CASES[i].selector, CASES[i].said,
                     berth_status_name(status), berth_error_text());
    }
    struct berth_model *distil = small_model(device, "distilbert");
    bool selected[64] = {false};
    int count = 0;
    check_fails(berth_model_select(distil, "pooler", selected, &count), BERTH_E_USAGE, "has no pooler");
    berth_model_free(distil);
}

/* Offsets rise without overlap, at multiples of 16 but for keys and values, which begin where the one before
 * ends. */
static void check_layout(const struct berth_model *m) {
    int64_t end = 0;
    for (int i = 0; i < m->parameter_count; i++) {
        const struct berth_parameter *p = &m->parameters[i];
        const bool adjacent = strstr(p->name, ".self.key.") != NULL || strstr(p->name, ".self.value.") != NULL;
        if (adjacent ? p->offset != end : p->offset % 16 != 0 || p->offset < end || p->offset >= end + 16)
            fail_msg("%s: offset %lld, the one before ends at %lld", p->name, (long long)p->offset,
                     (long long)end);
        assert_int_equal(p->count, p->shape[0] * (p->rank == 2 ? p->shape[1] : 1));
        end = p->offset + p->count;
        const bool norm = strstr(p->name, "LayerNorm") != NULL;
        const bool bias = strlen(p->name) > 5 && strcmp(p->name + strlen(p->name) - 5, ".bias") == 0;
        assert_int_equal(p->is_norm, norm);
        assert_int_equal(p->is_bias, bias);
        assert_int_equal(p->decays, !norm && !bias);
        assert_int_equal(p->owner > 0, strncmp(p->name, "heads.", 6) == 0);
        if (i > 0) assert_true(p->stage >= m->parameters[i - 1].stage);
    }
    assert_true(m->total >= end && m->total % 16 == 0);
}

static void the_layout_is_flat(void **state) {
    (void)state;
    check_layout(model);
    struct berth_model_config c;
    small_config(&c, "bert");
    c.hidden = 15; /* neither H nor H*H a multiple of 16 */
    c.intermediate = 7;
    struct berth_model *odd = NULL;
    check_ok(berth_model_create(&odd, device, &c));
    check_layout(odd);
    berth_model_free(odd);
    berth_model_config_deinit(&c);
}

/* The rule of params.c, again: element i is position i of the stream of the name. */
static void first_values_follow_the_rule(void **state) {
    (void)state;
    const char *name = "encoder.layer.1.intermediate.dense.weight";
    float *values = values_of(model, name);
    const int64_t count = model->parameters[berth_model_find(model, name)].count;
    for (int64_t i = 0; i < count; i++) {
        double z = berth_random_normal(5, BERTH_PURPOSE_INIT, berth_hash_name(name), (uint64_t)i);
        if (values[i] != (float)((double)0.02f * z))
            fail_msg("%s[%lld]: %g", name, (long long)i, (double)values[i]);
    }
    free(values);
    for (int i = 0; i < model->parameter_count; i++) {
        const struct berth_parameter *p = &model->parameters[i];
        if (p->decays) continue;
        values = values_of(model, p->name);
        for (int64_t k = 0; k < p->count; k++)
            assert_true(values[k] == (p->is_norm && !p->is_bias ? 1.0f : 0.0f));
        free(values);
    }
}

/* The reference draws a plain normal of config.json's initializer_range for matrices and embeddings, 0 for the
 * row of the padding token: moments and tails of 98,304 values. */
static void first_values_are_distributed_as_the_reference(void **state) {
    (void)state;
    struct berth_model_config c;
    struct berth_model *m = NULL;
    small_config(&c, "bert");
    c.hidden = 96;
    c.vocab_size = 1024;
    c.pad_token = 3;
    c.init_range = 0.05f;
    check_ok(berth_model_create(&m, device, &c));
    check_ok(berth_model_allocate(m, 8));
    const int64_t count = 1024 * 96;
    float *values = values_of(m, "embeddings.word_embeddings.weight");
    double sum = 0.0, square = 0.0, fourth = 0.0, beyond = 0.0;
    for (int64_t i = 0; i < count; i++) {
        const double z = (double)values[i] / 0.05;
        if (i / 96 == 3) {
            assert_true(values[i] == 0.0f);
            continue;
        }
        sum += z;
        square += z * z;
        fourth += z * z * z * z;
        beyond += fabs(z) > 2.0;
    }
    const double n = (double)count - 96.0;
    assert_true(fabs(sum / n) < 0.015);
    assert_true(fabs(square / n - 1.0) < 0.02);
    assert_true(fabs(fourth / n - 3.0) < 0.15);
    assert_true(fabs(beyond / n - 0.0455) < 0.003);
    free(values);
    berth_model_free(m);
    berth_model_config_deinit(&c);
}

/* A parameter's first values do not depend on its neighbours, only on the seed and its name. */
static void first_values_do_not_see_other_heads(void **state) {
    (void)state;
    static const char *const NAMES[] = {"heads.slots.weight", "embeddings.word_embeddings.weight"};
    for (uint64_t seed = 5; seed <= 6; seed++) {
        struct berth_model *other = small_model(device, "bert");
        small_add_head(other, "slots", BERTH_TASK_TAGGING, BERTH_POOL_CLS, 5);
        check_ok(berth_model_allocate(other, seed));
        for (int i = 0; i < 2; i++) {
            float *a = values_of(model, NAMES[i]), *b = values_of(other, NAMES[i]);
            const size_t bytes =
                (size_t)model->parameters[berth_model_find(model, NAMES[i])].count * sizeof(float);
            assert_int_equal(memcmp(a, b, bytes) == 0, seed == 5);
            free(a);
            free(b);
        }
        berth_model_free(other);
    }
}

static void heads_are_checked(void **state) {
    (void)state;
    struct berth_model *m = small_model(device, "bert");
    struct berth_head h;
    static const char *const NAMES[] = {"a.b", "a b", "a*", "a/b", "", "a\"b", "a\nb"};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        small_head(&h, NAMES[i], BERTH_TASK_CLASSIFICATION, BERTH_POOL_CLS, 2);
        check_fails(berth_model_add_head(m, &h), BERTH_E_USAGE,
                    NAMES[i][0] == '\0' ? "has no name" : "may not have");
        berth_task_deinit(&h.task);
    }
    small_head(&h, "empty", BERTH_TASK_CLASSIFICATION, BERTH_POOL_CLS, 0);
    check_fails(berth_model_add_head(m, &h), BERTH_E_USAGE, "head 'empty' has no labels");
    berth_task_deinit(&h.task);
    small_head(&h, "smooth", BERTH_TASK_CLASSIFICATION, BERTH_POOL_CLS, 2);
    h.label_smoothing = 1.0f;
    check_fails(berth_model_add_head(m, &h), BERTH_E_USAGE, "label_smoothing 1");
    h.label_smoothing = 0.0f;
    h.dropout = 1.0f;
    check_fails(berth_model_add_head(m, &h), BERTH_E_USAGE, "dropout 1, expected below 1");
    berth_task_deinit(&h.task);
    assert_int_equal(m->head_count, 0);
    berth_model_free(m);
    m = small_model(device, "distilbert");
    small_add_head(m, "intent", BERTH_TASK_CLASSIFICATION, BERTH_POOL_POOLER, 2);
    check_fails(berth_model_allocate(m, 1), BERTH_E_USAGE,
                "head 'intent': pooling 'pooler', but this distilbert backbone has no pooler; use mean or cls");
    berth_model_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(selectors_select),
        cmocka_unit_test(unknown_selectors_are_refused),
        cmocka_unit_test(the_layout_is_flat),
        cmocka_unit_test(first_values_follow_the_rule),
        cmocka_unit_test(first_values_are_distributed_as_the_reference),
        cmocka_unit_test(first_values_do_not_see_other_heads),
        cmocka_unit_test(heads_are_checked),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
