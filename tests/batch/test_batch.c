/* test_batch.c: the layout of a batch, its orders against a plain sort, and that memory is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "berth/batch.h"

#define assert_done(expr) assert_int_equal(expr, BERTH_OK)

static uint32_t draw(uint64_t position, uint32_t bound) {
    return (uint32_t)berth_random_below(3, BERTH_PURPOSE_TEST, 1, position, bound);
}

static void sequences_lie_back_to_back(void **state) {
    (void)state;
    struct berth_batch b;
    const int32_t first[] = {2, 7, 7, 3}, second[] = {2, 5, 3}, segments[] = {0, 0, 1};
    berth_batch_init(&b);
    assert_done(berth_batch_reset(&b, 2));
    assert_done(berth_batch_add_sequence(&b, first, NULL, 4, 11, 0, 100));
    assert_done(berth_batch_add_sequence(&b, second, segments, 3, 12, 1, 200));
    assert_done(berth_batch_add_item(&b, 0, 1, 5));
    assert_done(berth_batch_add_item(&b, 1, 6, -1));
    assert_done(berth_batch_add_item(&b, 1, 2, 0));
    assert_done(berth_batch_finish(&b));
    assert_int_equal(b.tokens_count, 7);
    assert_int_equal(b.sequence_count, 2);
    assert_int_equal(b.max_length, 4);
    const int32_t tokens[] = {2, 7, 7, 3, 2, 5, 3}, positions[] = {0, 1, 2, 3, 0, 1, 2}, cu[] = {0, 4, 7},
                  segment[] = {0, 0, 0, 0, 0, 0, 1}, row_ordinal[] = {11, 11, 11, 11, 12, 12, 12},
                  token_order[] = {0, 4, 3, 6, 5, 1, 2}, position_order[] = {0, 4, 1, 5, 2, 6, 3},
                  segment_order[] = {0, 1, 2, 3, 4, 5, 6};
    assert_memory_equal(b.tokens, tokens, sizeof tokens);
    assert_memory_equal(b.positions, positions, sizeof positions);
    assert_memory_equal(b.segments, segment, sizeof segment);
    assert_memory_equal(b.cu_seqlens, cu, sizeof cu);
    assert_memory_equal(b.row_ordinal, row_ordinal, sizeof row_ordinal);
    assert_memory_equal(b.token_order, token_order, sizeof token_order);
    assert_memory_equal(b.position_order, position_order, sizeof position_order);
    assert_memory_equal(b.segment_order, segment_order, sizeof segment_order);
    assert_int_equal(b.source[1], 1);
    assert_int_equal(b.source_row[1], 200);
    assert_int_equal(b.items[0].count, 1);
    assert_int_equal(b.items[1].index[1], 2);
    assert_int_equal(b.items[1].label[0], -1);
    berth_batch_deinit(&b);
}

/* (key, row) rises strictly along the order, which holds every row once. */
static void check_order(const int32_t *order, const int32_t *keys, int64_t n) {
    bool *seen = calloc((size_t)n + 1, sizeof *seen);
    for (int64_t i = 0; i < n; i++) {
        assert_in_range(order[i], 0, n - 1);
        assert_false(seen[order[i]]);
        seen[order[i]] = true;
        if (i > 0 && keys[order[i - 1]] >= keys[order[i]]) {
            assert_int_equal(keys[order[i - 1]], keys[order[i]]);
            assert_true(order[i - 1] < order[i]);
        }
    }
    free(seen);
}

static void orders_are_sorted_and_stable(void **state) {
    (void)state;
    /* bounds on both sides of one, two and three passes of the radix sort */
    const uint32_t bounds[] = {1, 2, 2047, 2048, 2049, 30522, 1u << 22, (1u << 22) + 1, INT32_MAX};
    struct berth_batch b;
    uint64_t position = 0;
    berth_batch_init(&b);
    for (size_t k = 0; k < sizeof bounds / sizeof bounds[0]; k++) {
        int32_t tokens[700], segments[700];
        assert_done(berth_batch_reset(&b, 0));
        for (int s = 0; s < 20; s++) {
            int64_t length = 1 + draw(position++, 700);
            for (int64_t i = 0; i < length; i++) {
                tokens[i] = (int32_t)draw(position++, bounds[k]);
                segments[i] = (int32_t)draw(position++, 2);
            }
            if (s == 0) tokens[0] = (int32_t)(bounds[k] - 1);
            assert_done(berth_batch_add_sequence(&b, tokens, segments, length, s, 0, s));
        }
        assert_done(berth_batch_finish(&b));
        check_order(b.token_order, b.tokens, b.tokens_count);
        check_order(b.position_order, b.positions, b.tokens_count);
        check_order(b.segment_order, b.segments, b.tokens_count);
    }
    berth_batch_deinit(&b);
}

static void fill(struct berth_batch *b, int sequences, int64_t length) {
    int32_t tokens[64];
    for (int64_t i = 0; i < length; i++)
        tokens[i] = (int32_t)i;
    assert_done(berth_batch_reset(b, 3));
    for (int s = 0; s < sequences; s++) {
        assert_done(berth_batch_add_sequence(b, tokens, NULL, length, s, 0, s));
        assert_done(berth_batch_add_item(b, s % 3, s, s));
    }
    assert_done(berth_batch_finish(b));
}

static void a_reset_keeps_memory(void **state) {
    (void)state;
    struct berth_batch b;
    berth_batch_init(&b);
    fill(&b, 40, 64);
    const struct berth_batch before = b;
    const int32_t *index = b.items[2].index;
    fill(&b, 7, 5);
    assert_int_equal(b.tokens_count, 35);
    assert_int_equal(b.max_length, 5);
    assert_int_equal(b.items[0].count, 3);
    fill(&b, 40, 64);
    assert_ptr_equal(b.tokens, before.tokens);
    assert_ptr_equal(b.token_order, before.token_order);
    assert_ptr_equal(b.cu_seqlens, before.cu_seqlens);
    assert_ptr_equal(b.items, before.items);
    assert_ptr_equal(b.items[2].index, index);
    assert_int_equal(b.token_capacity, before.token_capacity);
    /* another number of tasks */
    assert_done(berth_batch_reset(&b, 5));
    assert_int_equal(b.items[4].count, 0);
    assert_done(berth_batch_reset(&b, 1));
    assert_int_equal(b.task_count, 1);
    berth_batch_deinit(&b);
}

static void an_empty_batch_is_valid(void **state) {
    (void)state;
    struct berth_batch b;
    berth_batch_init(&b);
    assert_done(berth_batch_reset(&b, 0));
    assert_done(berth_batch_finish(&b));
    assert_int_equal(b.cu_seqlens[0], 0);
    assert_int_equal(b.tokens_count, 0);
    berth_batch_deinit(&b);
    berth_batch_deinit(&b);
    assert_string_equal(berth_task_kind_name(BERTH_TASK_TAGGING), "tagging");
    assert_string_equal(berth_task_kind_name(BERTH_TASK_CLASSIFICATION), "classification");
}

static void items_carry_pairs_and_targets(void **state) {
    (void)state;
    struct berth_batch b;
    const int32_t tokens[] = {2, 3};
    const float first[] = {0.5f, 1.0f};
    berth_batch_init(&b);
    for (int pass = 0; pass < 2; pass++) {
        assert_done(berth_batch_reset(&b, 2));
        assert_done(berth_batch_add_sequence(&b, tokens, NULL, 2, 0, 0, 0));
        berth_batch_set_width(&b, 1, 2);
        for (int32_t i = 0; i < 40; i++) {
            const struct berth_item item = {
                .index = 0, .label = i, .pair = i + 1, .negative = i - 1, .target = i % 2 ? first : NULL};
            assert_done(berth_batch_put_item(&b, 1, &item));
        }
        assert_done(berth_batch_add_item(&b, 0, 1, 7));
        assert_int_equal(b.items[0].pair[0], -1);
        assert_int_equal(b.items[0].negative[0], -1);
        assert_int_equal(b.items[1].pair[39], 40);
        assert_int_equal(b.items[1].negative[39], 38);
        assert_true(b.items[1].target[38 * 2 + 1] == 0.0f && b.items[1].target[39 * 2 + 1] == 1.0f);
        assert_true(b.items[1].target[39 * 2] == 0.5f);
    }
    assert_done(berth_batch_reset(&b, 2));
    assert_int_equal(b.items[1].width, 0);
    berth_batch_deinit(&b);
    for (int kind = 0; kind < BERTH_TASK_KIND_COUNT; kind++)
        assert_int_equal(berth_task_kind_find(berth_task_kind_name((enum berth_task_kind)kind)), kind);
    assert_int_equal(berth_task_kind_find("parsing"), BERTH_TASK_KIND_COUNT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequences_lie_back_to_back),
        cmocka_unit_test(orders_are_sorted_and_stable),
        cmocka_unit_test(a_reset_keeps_memory),
        cmocka_unit_test(an_empty_batch_is_valid),
        cmocka_unit_test(items_carry_pairs_and_targets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
