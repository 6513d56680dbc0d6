/* test_tape_memory.c: where a step's memory comes from and goes to: the arena alone, then whole graphs in it.
 */
#include "support_tape.h"

#include <string.h>

/* ------------------------------------------------------------------ the arena alone */

enum { SLOTS = 40, ROUNDS = 6000 };

struct slot {
    unsigned char *start;
    size_t bytes;
    unsigned char mark;
};

static void check_marks(const struct slot *s) {
    for (size_t i = 0; i < s->bytes; i++) {
        if (s->start[i] != s->mark)
            fail_msg("byte %zu of %zu is %d, expected %d: ranges overlap", i, s->bytes, s->start[i], s->mark);
    }
}

static size_t holes(const struct step_memory *m) {
    size_t bytes = 0;
    for (size_t i = 0; i < m->hole_count; i++)
        bytes += m->holes[i].size;
    return bytes;
}

/* Ranges of all sizes taken and given back in random order: none overlaps, nothing is lost. */
static void test_ranges_never_overlap(void **state) {
    (void)state;
    struct step_memory m;
    struct slot slots[SLOTS] = {{0}};
    step_memory_init(&m, dev);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        struct slot *s = &slots[berth_random_below(1, BERTH_PURPOSE_TEST, 1, round, SLOTS)];
        if (s->start != NULL) {
            check_marks(s);
            step_memory_free(&m, s->start, s->bytes);
            s->start = NULL;
        } else {
            const uint64_t top = berth_random_below(1, BERTH_PURPOSE_TEST, 2, round, 17);
            s->bytes = berth_random_below(1, BERTH_PURPOSE_TEST, 3, round, (uint64_t)1 << top);
            s->mark = (unsigned char)round;
            check_ok(step_memory_alloc(&m, &s->start, s->bytes));
            assert_int_equal((uintptr_t)s->start % 64, 0);
            memset(s->start, s->mark, s->bytes);
        }
        assert_int_equal(m.used + holes(&m), m.held);
    }
    for (int i = 0; i < SLOTS; i++)
        step_memory_free(&m, slots[i].start, slots[i].bytes);
    assert_int_equal(m.used, 0);
    assert_int_equal(m.live, 0);
    assert_int_equal(m.hole_count, m.block_count); /* each block is one hole again */
    step_memory_deinit(&m);
    assert_int_equal(dev->bytes_now, 0);
}

static void test_a_range_given_back_is_taken_again(void **state) {
    (void)state;
    struct step_memory m;
    void *a = NULL, *b = NULL, *c = NULL, *again = NULL, *front = NULL;
    step_memory_init(&m, dev);
    check_ok(step_memory_alloc(&m, &a, 5000));
    check_ok(step_memory_alloc(&m, &b, 3000));
    check_ok(step_memory_alloc(&m, &c, 5000));
    step_memory_free(&m, b, 3000);
    step_memory_free(&m, a, 5000);
    check_ok(step_memory_alloc(&m, &again, 8000)); /* a and b together */
    assert_ptr_equal(again, a);
    step_memory_free(&m, again, 8000);
    check_ok(step_memory_alloc(&m, &front, 100)); /* the smallest hole that fits, not the rest of the block */
    assert_ptr_equal(front, a);
    step_memory_deinit(&m);
}

/* A step that needs more and more ends in several blocks; the next one has all of it in one. */
static void test_blocks_become_one(void **state) {
    (void)state;
    struct step_memory m;
    void *p = NULL;
    step_memory_init(&m, dev);
    for (int step = 0; step < 4; step++) {
        for (int i = 0; i < 20; i++)
            check_ok(step_memory_alloc(&m, &p, (size_t)1 << 20));
        if (step == 0) {
            assert_true(m.block_count > 1);
        } else {
            assert_int_equal(m.block_count, 1);
        }
        if (step == 1) assert_true(m.held <= (size_t)26 << 20);
        step_memory_reset(&m);
    }
    const int64_t requests = m.requests;
    for (int i = 0; i < 20; i++)
        check_ok(step_memory_alloc(&m, &p, (size_t)1 << 20));
    assert_int_equal(m.requests, requests);
    step_memory_deinit(&m);
    assert_int_equal(dev->bytes_now, 0);
}

static void give_back_twice(void *user) {
    struct step_memory *m = user;
    void *p = NULL, *q = NULL;
    check_ok(step_memory_alloc(m, &p, 5000));
    check_ok(step_memory_alloc(m, &q, 5000));
    step_memory_free(m, p, 5000);
    step_memory_free(m, p, 5000);
}

static void give_back_a_stranger(void *user) {
    static unsigned char stranger[1000];
    step_memory_free(user, stranger, sizeof stranger);
}

static void test_wrong_give_back_aborts(void **state) {
    (void)state;
    struct step_memory m;
    step_memory_init(&m, dev);
    check_abort(give_back_twice, &m, "given back twice");
    check_abort(give_back_a_stranger, &m, "is not memory of the tape");
    step_memory_deinit(&m);
}

/* ------------------------------------------------------------------ whole graphs */

enum { MOST = 240, LONGEST = 30 };

static const struct encoder_sizes two_layers = {
    .layers = 2, .hidden = 48, .heads = 4, .inner = 96, .most_tokens = MOST, .rate = 0.1f};

/* One step: its loss; the peak of step memory in *peak unless NULL. */
static float step(struct berth_tape *tape, struct tape_encoder *e, bool train, size_t *peak) {
    struct berth_tensor *loss = NULL;
    float value = 0;
    encoder_zero_gradients(e);
    berth_tape_reset(tape, train);
    check_ok(encoder_build(tape, &loss, e));
    if (train) check_ok(berth_tape_backward(tape, loss));
    check_ok(berth_device_download(dev, &value, loss->data, sizeof value));
    berth_tape_drop(tape, loss);
    if (peak != NULL) *peak = tape->memory.peak;
    if (tape->memory.used != 0) fail_msg("%zu bytes are still out at the end of a step", tape->memory.used);
    return value;
}

static void test_no_requests_after_the_largest_batch(void **state) {
    (void)state;
    struct tape_encoder e;
    struct berth_tape *tape = NULL;
    int64_t requests = 0;
    encoder_open(&e, two_layers);
    check_ok(berth_tape_create(&tape, dev));
    for (int i = 1; i <= 12; i++) {
        int64_t tokens = MOST;
        if (i > 2) tokens = 1 + (int64_t)berth_random_below(3, BERTH_PURPOSE_TEST, 0, (uint64_t)i, MOST);
        if (i == 8) tokens = MOST;
        encoder_batch_of(&e, tokens, LONGEST);
        (void)step(tape, &e, i % 4 != 0, NULL);
        if (i == 2) requests = berth_tape_allocations(tape);
        if (i > 2 && berth_tape_allocations(tape) != requests)
            fail_msg("step %d (%d tokens) asked the device for memory", i, (int)tokens);
    }
    assert_int_equal(berth_tape_memory(tape), dev->bytes_now);
    berth_tape_free(tape);
    assert_int_equal(dev->bytes_now, 0);
    encoder_close(&e);
}

static size_t peak_of(struct encoder_sizes sizes, bool train) {
    struct tape_encoder e;
    struct berth_tape *tape = NULL;
    size_t peak = 0;
    encoder_open(&e, sizes);
    encoder_batch_of(&e, MOST, LONGEST);
    check_ok(berth_tape_create(&tape, dev));
    (void)step(tape, &e, train, &peak);
    berth_tape_free(tape);
    encoder_close(&e);
    return peak;
}

/* Inference needs the tensors of about one layer however many there are; training keeps them all. */
static void test_peaks(void **state) {
    (void)state;
    struct encoder_sizes sizes = two_layers;
    const size_t row = (size_t)MOST * sizeof(float), hidden = (size_t)sizes.hidden, inner = (size_t)sizes.inner;
    const size_t infer2 = peak_of(sizes, false), train2 = peak_of(sizes, true);
    sizes.layers = 12;
    const size_t infer12 = peak_of(sizes, false), train12 = peak_of(sizes, true);
    sizes.frozen = 1 + 10;
    const size_t frozen = peak_of(sizes, true);
    print_message(
        "peak KiB, 2 and 12 layers: inference %zu %zu, training %zu %zu, all but 2 of 12 frozen %zu\n",
        infer2 >> 10, infer12 >> 10, train2 >> 10, train12 >> 10, frozen >> 10);
    assert_int_equal(infer12, infer2);
    /* a layer in use: x, qkv, context or x, up, active; twice that with attention's workspace */
    if (infer12 > 2 * row * (5 * hidden + 2 * inner)) fail_msg("inference of 12 layers: %zu bytes", infer12);
    assert_true(train12 > 4 * train2);
    /* what training keeps of a layer: qkv, context, pre, y twice; up, active (float rows of statistics beside)
     */
    const size_t layer = row * (8 * hidden + 2 * inner);
    if (train12 - train2 > 10 * (layer + layer / 8))
        fail_msg("10 more layers need %zu bytes, expected about %zu", train12 - train2, 10 * layer);
    /* a frozen prefix saves nothing: as two layers of training */
    if (frozen > train2 + train2 / 8)
        fail_msg("10 of 12 layers frozen: %zu bytes, 2 layers alone: %zu", frozen, train2);
}

static void test_frozen_prefix_is_not_recorded(void **state) {
    (void)state;
    struct encoder_sizes sizes = two_layers;
    /* embedding, norm, dropout; a layer: 4 products, attention, activation, 2 norms; two heads and their sum */
    static const int64_t expected[] = {3 + 8 + 8 + 9, 8 + 8 + 9, 8 + 9, 6 + 1, 0};
    for (sizes.frozen = 0; sizes.frozen <= 4; sizes.frozen++) {
        struct tape_encoder e;
        struct berth_tape *tape = NULL;
        struct berth_tensor *loss = NULL;
        encoder_open(&e, sizes);
        encoder_batch_of(&e, 50, LONGEST);
        check_ok(berth_tape_create(&tape, dev));
        berth_tape_reset(tape, true);
        check_ok(encoder_build(tape, &loss, &e));
        const int64_t recorded = berth_tape_recorded(tape);
        if (recorded != expected[sizes.frozen])
            fail_msg("%d stages frozen: %d operations recorded, expected %d", (int)sizes.frozen, (int)recorded,
                     (int)expected[sizes.frozen]);
        check_ok(berth_tape_backward(tape, loss));
        berth_tape_free(tape);
        encoder_close(&e);
    }
}

/* ------------------------------------------------------------------ a device that refuses, a device far away
 */

static int64_t requests_left;

static berth_status refuse(struct berth_device *d, void **out, size_t bytes) {
    (void)d, (void)out;
    if (requests_left-- > 0) return dev->backend->alloc(dev, out, bytes);
    BERTH_FAIL(BERTH_E_MEMORY, "out of memory: %zu bytes", bytes);
}

/* The n-th request fails, n = 1, 2, ...: an error that says so; the next step works and gives the same loss. */
static void test_refused_memory_is_an_error(void **state) {
    (void)state;
    struct berth_device weak = *dev;
    struct berth_backend backend = *dev->backend;
    struct encoder_sizes sizes = two_layers;
    struct tape_encoder e;
    int failures = 0;
    backend.alloc = refuse;
    weak.backend = &backend;
    sizes.hidden = 192;
    sizes.inner = 768;
    encoder_open(&e, sizes);
    encoder_batch_of(&e, MOST, LONGEST);
    struct berth_tape *tape = NULL;
    check_ok(berth_tape_create(&tape, dev));
    const float expected = step(tape, &e, true, NULL);
    berth_tape_free(tape);
    for (int64_t n = 0;; n++) {
        struct berth_tensor *loss = NULL;
        check_ok(berth_tape_create(&tape, &weak));
        requests_left = n;
        berth_tape_reset(tape, true);
        berth_status status = encoder_build(tape, &loss, &e);
        if (status == BERTH_OK) status = berth_tape_backward(tape, loss);
        const bool failed = status != BERTH_OK;
        if (failed) {
            assert_int_equal(status, BERTH_E_MEMORY);
            assert_non_null(strstr(berth_error_text(), "out of memory"));
            failures++;
        }
        requests_left = INT64_MAX;
        assert_true(step(tape, &e, true, NULL) == expected);
        berth_tape_free(tape);
        assert_int_equal(weak.bytes_now, 0);
        if (!failed) break;
    }
    assert_true(failures >= 3);
    encoder_close(&e);
}

/* Where device memory is not the host's, an upload is a copy in step memory. */
static void test_upload(void **state) {
    (void)state;
    struct berth_device far = *dev;
    struct berth_backend backend = *dev->backend;
    struct berth_tape *tape = NULL;
    const int32_t host[3] = {4, 5, 6};
    const void *p = NULL;
    check_ok(berth_tape_create(&tape, dev));
    berth_tape_reset(tape, true);
    check_ok(berth_tape_upload(tape, &p, host, sizeof host));
    assert_ptr_equal(p, host);
    assert_int_equal(berth_tape_memory(tape), 0);
    berth_tape_free(tape);
    backend.host_memory = false;
    far.backend = &backend;
    check_ok(berth_tape_create(&tape, &far));
    berth_tape_reset(tape, true);
    check_ok(berth_tape_upload(tape, &p, host, sizeof host));
    assert_ptr_not_equal(p, host);
    assert_memory_equal(p, host, sizeof host);
    check_ok(berth_tape_upload(tape, &p, host, 0));
    assert_non_null(p);
    berth_tape_free(tape);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges_never_overlap),
        cmocka_unit_test(test_a_range_given_back_is_taken_again),
        cmocka_unit_test(test_blocks_become_one),
        cmocka_unit_test(test_wrong_give_back_aborts),
        cmocka_unit_test(test_no_requests_after_the_largest_batch),
        cmocka_unit_test(test_peaks),
        cmocka_unit_test(test_frozen_prefix_is_not_recorded),
        cmocka_unit_test(test_refused_memory_is_an_error),
        cmocka_unit_test(test_upload),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
