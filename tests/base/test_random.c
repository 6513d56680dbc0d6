/* Philox known answers, the draws made from it, permutations, digests. */
#include "base/support_base.h"

#include <math.h>

/* Known answers of Philox4x32-10 as published with Random123 (Salmon et al., SC 2011). */
static void known_answers(void **state) {
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct berth_philox_block b =
            berth_philox(cases[i].key[0], cases[i].key[1], cases[i].counter[0], cases[i].counter[1],
                         cases[i].counter[2], cases[i].counter[3]);
        for (int w = 0; w < 4; w++) {
            if (b.w[w] != cases[i].out[w])
                fail_msg("case %zu word %d: %08x, expected %08x", i, w, b.w[w], cases[i].out[w]);
        }
    }
}

/* The counter's layout is fixed for ever: (position, stream, purpose) at their places. */
static void counter_layout(void **state) {
    (void)state;
    uint64_t seed = 0x0123456789abcdefu, position = 0xfedcba9876543210u;
    struct berth_philox_block b = berth_philox(0x89abcdefu, 0x01234567u, 0x76543210u, 0xfedcba98u, 77,
                                               (uint32_t)BERTH_PURPOSE_TEST << 24);
    assert_int_equal(berth_random_u32(seed, BERTH_PURPOSE_TEST, 77, position), b.w[0]);
    double unit = (double)(((uint64_t)b.w[1] << 32 | b.w[0]) >> 11) / 9007199254740992.0;
    assert_true(berth_random_unit(seed, BERTH_PURPOSE_TEST, 77, position) == unit);
    assert_int_not_equal(berth_random_u32(seed, BERTH_PURPOSE_INIT, 77, position), b.w[0]);
    assert_int_not_equal(berth_random_u32(seed, BERTH_PURPOSE_TEST, 78, position), b.w[0]);
    assert_int_not_equal(berth_random_u32(seed + 1, BERTH_PURPOSE_TEST, 77, position), b.w[0]);
}

static void below_is_even(void **state) {
    (void)state;
    enum { DRAWS = 60000 };
    static const uint64_t bounds[] = {1, 2, 3, 7, 10};
    for (size_t k = 0; k < 5; k++) {
        size_t counts[10] = {0};
        for (uint64_t i = 0; i < DRAWS; i++) {
            uint64_t r = berth_random_below(1, BERTH_PURPOSE_TEST, 0, i, bounds[k]);
            assert_true(r < bounds[k]);
            counts[r]++;
        }
        double expected = (double)DRAWS / (double)bounds[k], chi = 0;
        for (size_t r = 0; r < bounds[k]; r++)
            chi += pow((double)counts[r] - expected, 2) / expected;
        /* 9 degrees of freedom at most: beyond 33.7 once in 10,000 */
        if (chi > 33.7) fail_msg("bound %llu: chi square %g", (unsigned long long)bounds[k], chi);
    }
    /* near 2^64 half of all draws are rejected; the result stays in range and uses both halves */
    uint64_t bound = ((uint64_t)1 << 63) + 1;
    size_t high = 0;
    for (uint64_t i = 0; i < 4000; i++) {
        uint64_t r = berth_random_below(1, BERTH_PURPOSE_TEST, 1, i, bound);
        assert_true(r < bound);
        high += r >= (uint64_t)1 << 62;
    }
    assert_in_range(high, 1850, 2150);
}

static void unit_and_normal_moments(void **state) {
    (void)state;
    enum { DRAWS = 100000 };
    double sum = 0, sum_n = 0, squares_n = 0, fourth_n = 0;
    for (uint64_t i = 0; i < DRAWS; i++) {
        double u = berth_random_unit(3, BERTH_PURPOSE_TEST, 0, i);
        double n = berth_random_normal(3, BERTH_PURPOSE_TEST, 1, i);
        assert_true(u >= 0 && u < 1 && isfinite(n));
        sum += u;
        sum_n += n;
        squares_n += n * n;
        fourth_n += n * n * n * n;
    }
    /* five standard errors each */
    assert_true(fabs(sum / DRAWS - 0.5) < 5 * sqrt(1.0 / 12 / DRAWS));
    assert_true(fabs(sum_n / DRAWS) < 5 * sqrt(1.0 / DRAWS));
    assert_true(fabs(squares_n / DRAWS - 1) < 5 * sqrt(2.0 / DRAWS));
    assert_true(fabs(fourth_n / DRAWS - 3) < 5 * sqrt(96.0 / DRAWS));
}

static void permutations(void **state) {
    (void)state;
    enum { N = 1000 };
    int64_t a[N], b[N];
    bool seen[N] = {false};
    for (int i = 0; i < N; i++)
        a[i] = b[i] = i;
    berth_random_permute(17, BERTH_PURPOSE_ORDER, 0, a, N);
    berth_random_permute(17, BERTH_PURPOSE_ORDER, 0, b, N);
    assert_memory_equal(a, b, sizeof a);
    size_t fixed = 0;
    for (int i = 0; i < N; i++) {
        assert_in_range(a[i], 0, N - 1);
        assert_false(seen[a[i]]);
        seen[a[i]] = true;
        fixed += a[i] == i;
    }
    assert_true(fixed < 10);
    for (int i = 0; i < N; i++)
        b[i] = i;
    berth_random_permute(17, BERTH_PURPOSE_ORDER, 1, b, N);
    assert_memory_not_equal(a, b, sizeof a);
    /* all 6 orders of three, evenly */
    size_t counts[27] = {0};
    for (uint32_t stream = 0; stream < 6000; stream++) {
        int64_t c[3] = {0, 1, 2};
        berth_random_permute(17, BERTH_PURPOSE_TEST, stream, c, 3);
        counts[c[0] * 9 + c[1] * 3 + c[2]]++;
    }
    static const int orders[] = {5, 7, 11, 15, 19, 21};
    for (int i = 0; i < 6; i++)
        assert_in_range(counts[orders[i]], 850, 1150);
    berth_random_permute(17, BERTH_PURPOSE_TEST, 0, a, 0);
}

static void digests(void **state) {
    (void)state;
    char hex[33];
    berth_hash_hex(berth_hash("", 0), hex); /* published: XXH3-128 of nothing, seed 0 */
    assert_string_equal(hex, "99aa06d3014798d86001c324468d497f");
    unsigned char data[5000];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 7);
    struct berth_hash128 whole = berth_hash(data, sizeof data);
    struct berth_hasher *hasher = NULL;
    assert_ok(berth_hasher_create(&hasher));
    for (size_t at = 0, n = 0; at < sizeof data; at += n) {
        n = at % 700 + 1;
        if (n > sizeof data - at) n = sizeof data - at;
        berth_hasher_add(hasher, data + at, n);
    }
    berth_hasher_add(hasher, NULL, 0);
    struct berth_hash128 pieces = berth_hasher_end(hasher);
    assert_true(pieces.low == whole.low && pieces.high == whole.high);
    data[4999] ^= 1;
    assert_true(berth_hash(data, sizeof data).low != whole.low);
    assert_int_equal(berth_hash_name("pooler.dense.weight"), berth_hash_name("pooler.dense.weight"));
    assert_int_not_equal(berth_hash_name("pooler.dense.weight"), berth_hash_name("pooler.dense.bias"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers), cmocka_unit_test(counter_layout),
        cmocka_unit_test(below_is_even), cmocka_unit_test(unit_and_normal_moments),
        cmocka_unit_test(permutations),  cmocka_unit_test(digests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
