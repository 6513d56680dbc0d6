/* test_parity_base.c: the reference's numbers at full size: bert-base, DistilBERT and MiniLM with a vocabulary
 * of 30,522, fp32 and bf16, by norms and projections of every tensor. Each needs up to 1 GB of memory. */
#include "model/support_golden.h"

/* What bf16 may be off by; 12 layers round more often than 2. */
static const struct half_bounds HALF = {.hidden = 2e-2, .logits = 2e-2, .loss = 3e-3, .all = 3e-2, .one = 6e-2};

static void check_case(const char *name) {
    struct golden g;
    golden_open(&g, name, NULL);
    parity_check(&g, name);
    parity_check_half(&g, name, &HALF);
    golden_close(&g);
}

/* Three sentences give embeddings (3, 768) among the rest. */
static void bert_base_is_the_reference(void **state) {
    (void)state;
    check_case("base");
}

static void distilbert_is_the_reference(void **state) {
    (void)state;
    check_case("distilbert");
}

static void minilm_is_the_reference(void **state) {
    (void)state;
    check_case("minilm_shape");
}

/* One of 22 million weights: seen through the projections too. */
static void a_changed_weight_is_seen(void **state) {
    (void)state;
    struct golden g;
    struct parity p;
    golden_open(&g, "minilm_shape", NULL);
    const int parameter = berth_model_find(g.model, "encoder.layer.3.attention.output.dense.weight");
    g.model->values[g.model->parameters[parameter].offset + 777] += 1e-2f;
    parity_run(&p, &g);
    print_message("minilm_shape with one changed weight: %d of %d tensors are off\n", p.broken, p.tensors);
    assert_true(p.broken > 0);
    golden_close(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bert_base_is_the_reference),
        cmocka_unit_test(distilbert_is_the_reference),
        cmocka_unit_test(minilm_is_the_reference),
        cmocka_unit_test(a_changed_weight_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
