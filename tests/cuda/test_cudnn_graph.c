/* cuDNN's graphs without a GPU: each is built, finalised, matched with a deterministic engine for an H200 by
 * its description (h200.json), and compiled up to the loading of its code, which only a driver can do.
 *
 * Skipped (77) where cuDNN or the driver's library (its stub serves) cannot be loaded. */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "berth/file.h"
#include "device/cuda/attention_cuda.h"
#include "device/cuda/product_cudnn.h"

static const struct cudnn_api *api;
static char *h200;

static void done(berth_status status) {
    if (status != BERTH_OK) fail_msg("%s (%s)", berth_error_text(), berth_error_place());
}

static void compile(struct cudnn_graph *g, int operations, const char *what) {
    const struct cudnn_device device = {.description = h200};
    struct cudnn_plan *plan = NULL;
    assert_int_equal(cudnn_graph_operations(g), operations);
    done(cudnn_plan_create(&plan, g, &device, true));
    print_message("%s: engine %lld\n", what, (long long)cudnn_plan_engine(plan));
    cudnn_plan_free(plan);
    cudnn_graph_free(g);
}

static void compile_attention(int64_t length, int64_t head_size, double keep) {
    const struct cudnn_attention a = {
        .sequences = 64, .length = length, .heads = 12, .head_size = head_size, .scale = 0.125f, .keep = keep};
    struct cudnn_graph *g = NULL;
    char what[96];
    snprintf(what, sizeof what, "attention forward, length %lld, head size %lld, keep %g", (long long)length,
             (long long)head_size, keep);
    done(cudnn_attention_forward_graph(&g, api, NULL, &a));
    compile(g, keep < 1.0 ? 19 : 16, what);
    snprintf(what, sizeof what, "attention backward, length %lld, head size %lld, keep %g", (long long)length,
             (long long)head_size, keep);
    done(cudnn_attention_backward_graph(&g, api, NULL, &a));
    compile(g, keep < 1.0 ? 27 : 21, what);
}

static void attention_has_engines_for_every_head_size(void **state) {
    (void)state;
    compile_attention(128, 32, 0.9);
    compile_attention(128, 64, 0.9);
    compile_attention(128, 128, 0.9);
}

static void attention_has_engines_for_short_and_long_sequences(void **state) {
    (void)state;
    compile_attention(2, 64, 0.9);
    compile_attention(512, 64, 0.9);
    compile_attention(16, 32, 1.0);
}

static struct attention_cuda *compile_all(const struct berth_attention_use *use) {
    const struct cudnn_device device = {.description = h200};
    struct attention_cuda *a = NULL;
    done(attention_cuda_open(&a, api, &device, use));
    return a;
}

static char *choices_of(const struct attention_cuda *a) {
    struct berth_str text;
    char *out = NULL;
    berth_str_init(&text);
    attention_cuda_choices(a, &text);
    done(berth_str_take(&text, &out));
    return out;
}

/* Every bucket that batches of up to 16 sequences of up to 512 tokens can have, with dropout; and the choices
 * made. */
static void every_bucket_of_a_run_has_plans(void **state) {
    (void)state;
    struct berth_attention_use use = {.kind = BERTH_ATTENTION_CUDNN,
                                      .dtype = BERTH_BF16,
                                      .heads = 12,
                                      .head_size = 64,
                                      .max_sequences = 16,
                                      .max_length = 512,
                                      .max_tokens = 16384,
                                      .dropout = 0.1,
                                      .training = true};
    struct attention_cuda *a = compile_all(&use);
    assert_int_equal(attention_cuda_plans(a), 5 * 3); /* forward with and without, and backward with dropout */
    char *text = choices_of(a);
    assert_non_null(strstr(text, "cudnn 16 32 forward "));
    assert_non_null(strstr(text, "cudnn 16 512 backward-dropout "));
    done(attention_cuda_restore(a, text));
    char *again = choices_of(a);
    assert_string_equal(text, again);
    assert_int_equal(attention_cuda_restore(a, "cudnn 16 32 forward 987654\n"), BERTH_E_UNSUPPORTED);
    assert_non_null(
        strstr(berth_error_text(), "attention: cudnn: forward of up to 16 sequences of up to 32 tokens"));
    assert_int_equal(attention_cuda_restore(a, "cudnn 16 32\n"), BERTH_E_FORMAT);
    done(attention_cuda_restore(a, "cudnn 1024 32 forward 987654\n")); /* a bucket that is not here */
    /* lists of 17 numbers, seed and position, lse of the longest batch */
    assert_true(attention_cuda_bytes(a) >= 4 * 17 * 4 + 256 + 16384 * 12 * 4);
    free(text);
    free(again);
    attention_cuda_close(a);
}

/* A call is served within what was said, forward and backward alike, and nothing else. */
static void calls_beyond_the_plans_are_not_served(void **state) {
    (void)state;
    const struct berth_attention_use use = {.kind = BERTH_ATTENTION_CUDNN,
                                            .dtype = BERTH_BF16,
                                            .heads = 2,
                                            .head_size = 32,
                                            .max_sequences = 8,
                                            .max_length = 32,
                                            .max_tokens = 200,
                                            .dropout = 0.1,
                                            .training = true};
    struct attention_cuda *a = compile_all(&use);
    const struct berth_dropout dropout = {.threshold = berth_dropout_threshold(0.1f)};
    const struct attention_cuda_call good = {.tokens = 200,
                                             .sequences = 8,
                                             .max_length = 31,
                                             .heads = 2,
                                             .head_size = 32,
                                             .scale = 0.17677669f,
                                             .dropout = &dropout,
                                             .dtype = BERTH_BF16};
    struct attention_cuda_call bad[6];
    for (int i = 0; i < 6; i++)
        bad[i] = good;
    bad[0].tokens = 201, bad[1].sequences = 17, bad[2].max_length = 33;
    bad[3].dtype = BERTH_F32, bad[4].heads = 4, bad[5].scale = 1.0f;
    for (int backward = 0; backward < 2; backward++) {
        struct attention_cuda_call call = good;
        call.dqkv = backward ? &call : NULL; /* not read */
        assert_true(attention_cuda_serves(a, &call));
        for (int i = 0; i < 6; i++) {
            bad[i].dqkv = call.dqkv;
            if (attention_cuda_serves(a, &bad[i])) fail_msg("call %d, backward %d", i, backward);
        }
    }
    struct attention_cuda_call plain = good; /* evaluation */
    plain.dropout = NULL;
    assert_true(attention_cuda_serves(a, &plain));
    attention_cuda_close(a);
}

static void products_fused_with_gelu_have_engines(void **state) {
    (void)state;
    const struct cudnn_product p = {.rows = 16384, .columns = 3072, .inner = 768};
    struct cudnn_graph *g = NULL;
    done(cudnn_product_forward_graph(&g, api, NULL, &p));
    compile(g, 3, "product, bias, GELU");
    done(cudnn_product_backward_graph(&g, api, NULL, &p));
    compile(g, 3, "product, backward of GELU, column sum");
}

/* A graph that no engine takes is one line, not a crash. */
static void a_graph_without_an_engine_says_so(void **state) {
    (void)state;
    const struct cudnn_attention a = {
        .sequences = 4, .length = 64, .heads = 2, .head_size = 72, .scale = 0.1f, .keep = 0.9};
    const struct cudnn_device device = {.description = h200};
    struct cudnn_graph *g = NULL;
    struct cudnn_plan *plan = NULL;
    berth_status status = cudnn_attention_backward_graph(&g, api, NULL, &a);
    if (status == BERTH_OK) status = cudnn_plan_create(&plan, g, &device, true);
    if (status == BERTH_OK) { /* a newer library may take it */
        cudnn_plan_free(plan);
    } else {
        assert_null(plan);
        assert_non_null(strstr(berth_error_text(), "cuDNN"));
    }
    cudnn_graph_free(g);
}

static void a_description_that_is_not_json_is_refused(void **state) {
    (void)state;
    const struct cudnn_product p = {.rows = 64, .columns = 64, .inner = 64};
    const struct cudnn_device device = {.description = "H200"};
    struct cudnn_graph *g = NULL;
    struct cudnn_plan *plan = NULL;
    done(cudnn_product_forward_graph(&g, api, NULL, &p));
    assert_int_equal(cudnn_plan_create(&plan, g, &device, true), BERTH_E_DEVICE);
    assert_null(plan);
    cudnn_graph_free(g);
}

int main(void) {
    size_t size = 0;
    char path[4096];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_has_engines_for_every_head_size),
        cmocka_unit_test(attention_has_engines_for_short_and_long_sequences),
        cmocka_unit_test(every_bucket_of_a_run_has_plans),
        cmocka_unit_test(calls_beyond_the_plans_are_not_served),
        cmocka_unit_test(products_fused_with_gelu_have_engines),
        cmocka_unit_test(a_graph_without_an_engine_says_so),
        cmocka_unit_test(a_description_that_is_not_json_is_refused),
    };
    if (cudnn_load(&api) != BERTH_OK) {
        print_message("skipped: %s\n", berth_error_text());
        return 77;
    }
    if (!dlopen("libcuda.so.1", RTLD_NOW)) {
        print_message("skipped: cuDNN asks the driver's library for its version: %s\n", dlerror());
        return 77;
    }
    snprintf(path, sizeof path, "%s/tests/cuda/h200.json", getenv("BERTH_SOURCE_DIR"));
    if (berth_file_read(&h200, &size, path) != BERTH_OK) {
        print_error("%s\n", berth_error_text());
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(h200);
    return failed;
}
