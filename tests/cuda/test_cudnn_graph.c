/* cuDNN's graphs without a GPU: each is built, finalised, matched with a deterministic engine for an H200 by
 * its description (h200.json), and compiled up to the loading of its code, which only a driver can do.
 *
 * Skipped (77) where cuDNN cannot be loaded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "berth/file.h"
#include "device/cuda/attention_cudnn.h"
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
        cmocka_unit_test(products_fused_with_gelu_have_engines),
        cmocka_unit_test(a_graph_without_an_engine_says_so),
        cmocka_unit_test(a_description_that_is_not_json_is_refused),
    };
    if (cudnn_load(&api) != BERTH_OK) {
        print_message("skipped: %s\n", berth_error_text());
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
