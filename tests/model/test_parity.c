/* test_parity.c: the reference's numbers on small models: fp32, 20 steps of AdamW, bf16; and that a test of
 * them can fail.
 */
#include <math.h>
#include <omp.h>

#include "berth/train.h"
#include "model/support_golden.h"

static void check_case(const char *name) {
    struct golden g;
    golden_open(&g, name, NULL);
    parity_check(&g, name);
    golden_close(&g);
}

static void bert_is_the_reference(void **state) {
    (void)state;
    check_case("bert32");
}

static void gelu_new_and_a_hidden_size_off_sixteen_are_the_reference(void **state) {
    (void)state;
    check_case("bert40");
}

static void relu_is_the_reference(void **state) {
    (void)state;
    check_case("relu24");
}

static void silu_is_the_reference(void **state) {
    (void)state;
    check_case("silu24");
}

static void distilbert_is_the_reference(void **state) {
    (void)state;
    check_case("distil24");
}

/* One weight of any kind a thousandth off its value of order one: some tensor is off. */
static void a_changed_weight_is_seen(void **state) {
    (void)state;
    static const char *const NAMES[] = {"embeddings.position_embeddings.weight",
                                        "encoder.layer.0.attention.self.query.weight",
                                        "encoder.layer.0.attention.output.LayerNorm.weight",
                                        "encoder.layer.1.intermediate.dense.bias",
                                        "encoder.layer.1.output.dense.weight",
                                        "heads.slots.weight"};
    struct golden g;
    struct parity p;
    golden_open(&g, "bert32", NULL);
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        const int parameter = berth_model_find(g.model, NAMES[i]);
        assert_true(parameter >= 0);
        float *value = g.model->values + g.model->parameters[parameter].offset, before = value[0];
        value[0] += 1e-3f;
        parity_run(&p, &g);
        if (p.broken == 0)
            fail_msg("nobody saw that %s[0] is %g, not %g", NAMES[i], (double)value[0], (double)before);
        value[0] = before;
    }
    parity_run(&p, &g);
    assert_int_equal(p.broken, 0);
    golden_close(&g);
}

/* ---- steps of AdamW: gradients, clipping, moments, decay of what decays */

/* Trains as the case says; *worst: of the losses, relative; *values: of all values behind the steps, key biases
 * left out (Adam makes steps of the full rate out of what is rounding alone). */
static void train_case(struct golden *g, double *worst, double *values) {
    const struct berth_optimizer optimizer = {.kind = BERTH_OPTIMIZER_ADAMW,
                                              .beta1 = 0.9,
                                              .beta2 = 0.999,
                                              .eps = 1e-8,
                                              .clip_norm = golden_number(g, "adamw.clip_norm")};
    struct berth_rule rules[128];
    struct berth_store *store = NULL;
    bool active[9];
    float losses[32];
    double difference = 0.0, norm = 0.0;
    const int steps = (int)golden_number(g, "adamw.steps");
    assert_true(steps <= 32 && g->model->parameter_count <= 128 && g->model->head_count < 9);
    for (int i = 0; i < g->model->parameter_count; i++)
        rules[i] = (struct berth_rule){
            .lr = golden_number(g, "adamw.lr"),
            .weight_decay = g->model->parameters[i].decays ? golden_number(g, "adamw.weight_decay") : 0.0};
    for (int i = 0; i < 9; i++)
        active[i] = true;
    check_ok(berth_store_create(&store, g->model, rules, &optimizer));
    const struct berth_forward_options options = {.training = false, .gradients = store->gradients};
    for (int step = 0; step < steps; step++) {
        struct berth_tensor *logits[8], *parts[8], *loss = NULL;
        double grad_norm = 0.0;
        check_ok(berth_device_zero(g->device, store->grads, (size_t)store->grad_total * sizeof(float)));
        berth_tape_reset(g->tape, true);
        check_ok(total_loss(g->model, g->tape, &g->batch, &options, parts, logits, &loss));
        losses[step] = *(const float *)loss->data;
        check_ok(berth_tape_backward(g->tape, loss));
        check_ok(berth_store_step(store, 1.0, active, &grad_norm));
    }
    *worst = golden_worst(g, "adamw.losses", losses, steps);
    for (int i = 0; i < g->model->parameter_count; i++) {
        const struct berth_parameter *p = &g->model->parameters[i];
        char name[160];
        if (strstr(p->name, "key.bias") != NULL) continue;
        snprintf(name, sizeof name, "adamw.%s", p->name);
        const struct golden_distance d = golden_compare(g, name, g->model->values + p->offset, p->count);
        difference += d.distance * d.distance;
        norm += d.norm * d.norm;
    }
    *values = sqrt(difference / norm);
    berth_store_free(store);
}

static void check_training(const char *name) {
    struct golden g;
    double worst = 0.0, values = 0.0;
    golden_open(&g, name, NULL);
    train_case(&g, &worst, &values);
    print_message("%s: losses of 20 steps %.2g, values behind them %.2g\n", name, worst, values);
    assert_true(worst <= 1e-4 && values <= 1e-4);
    golden_close(&g);
}

static void twenty_steps_are_the_reference(void **state) {
    (void)state;
    check_training("bert32");
    check_training("distil24");
}

/* The same in bf16 against the same losses: 2e-2. */
static void twenty_steps_in_bf16_are_near_the_reference(void **state) {
    (void)state;
    struct golden g;
    double worst = 0.0, values = 0.0;
    golden_open(&g, "bert32", NULL);
    if (!berth_device_supports(g.device, "gemm", BERTH_BF16)) {
        golden_close(&g);
        skip();
    }
    check_ok(berth_model_set_precision(g.model, BERTH_BF16));
    train_case(&g, &worst, &values);
    print_message("bert32 in bf16: losses of 20 steps %.2g, values behind them %.2g\n", worst, values);
    assert_true(worst <= 2e-2 && values <= 2e-2 && worst > 1e-5);
    golden_close(&g);
}

/* ---- bf16: a number rounded to it is off by up to 2^-9 of it, and every layer rounds its activations about
 * ten times */

static void bf16_is_near_the_reference(void **state) {
    (void)state;
    static const struct half_bounds MOST = {
        .hidden = 1e-2, .logits = 2e-2, .loss = 3e-3, .all = 1.5e-2, .one = 4e-2};
    static const char *const NAMES[] = {"bert32", "bert40", "relu24", "silu24", "distil24"};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        struct golden g;
        golden_open(&g, NAMES[i], NULL);
        parity_check_half(&g, NAMES[i], &MOST);
        golden_close(&g);
    }
}

/* In bf16 too: the same bits for any number of threads, and the values' own precision back again. */
static void bf16_does_not_see_threads(void **state) {
    (void)state;
    struct golden g;
    struct gradients grads[2];
    struct berth_tensor *logits[8], *losses[8], *loss = NULL;
    golden_open(&g, "bert32", NULL);
    if (!berth_device_supports(g.device, "gemm", BERTH_BF16)) {
        golden_close(&g);
        skip();
    }
    const int threads = omp_get_max_threads();
    for (int run = 0; run < 2; run++) {
        gradients_init(&grads[run], g.model);
        check_ok(berth_model_set_precision(g.model, BERTH_BF16));
        const struct berth_forward_options options = {
            .training = true, .seed = 3, .step = 1, .gradients = grads[run].pointers};
        omp_set_num_threads(run + 1);
        berth_tape_reset(g.tape, true);
        check_ok(total_loss(g.model, g.tape, &g.batch, &options, losses, logits, &loss));
        check_ok(berth_tape_backward(g.tape, loss));
        check_ok(berth_model_set_precision(g.model, BERTH_F32));
        assert_null(g.model->half);
    }
    omp_set_num_threads(threads);
    assert_memory_equal(grads[0].buffer, grads[1].buffer, (size_t)g.model->total * sizeof(float));
    for (int run = 0; run < 2; run++)
        gradients_deinit(&grads[run], g.model);
    golden_close(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bert_is_the_reference),
        cmocka_unit_test(gelu_new_and_a_hidden_size_off_sixteen_are_the_reference),
        cmocka_unit_test(relu_is_the_reference),
        cmocka_unit_test(silu_is_the_reference),
        cmocka_unit_test(distilbert_is_the_reference),
        cmocka_unit_test(a_changed_weight_is_seen),
        cmocka_unit_test(twenty_steps_are_the_reference),
        cmocka_unit_test(twenty_steps_in_bf16_are_near_the_reference),
        cmocka_unit_test(bf16_is_near_the_reference),
        cmocka_unit_test(bf16_does_not_see_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
