/* Allocation errors, the arena, growing strings, number parsing, nearest names, patterns, machine facts. */
#include "base/support_base.h"

#include <locale.h>

static void allocation(void **state) {
    (void)state;
    int32_t *p = NULL;
    assert_ok(berth_calloc(&p, 4, sizeof *p));
    assert_int_equal(p[0] | p[1] | p[2] | p[3], 0);
    p[3] = 9;
    assert_ok(berth_realloc(&p, 8, sizeof *p));
    assert_int_equal(p[3], 9);
    int32_t *before = p;
    assert_int_equal(berth_realloc(&p, SIZE_MAX / 2, 4), BERTH_E_MEMORY);
    assert_ptr_equal(p, before);
    free(p);
    assert_ok(berth_calloc(&p, 0, 4));
    free(p);
    assert_error_has(berth_calloc(&p, SIZE_MAX / 2, 4), BERTH_E_MEMORY, "elements of 4 bytes");
    char *text = NULL;
    assert_ok(berth_strndup(&text, "abcdef", 3));
    assert_string_equal(text, "abc");
    free(text);
}

static void growing(void **state) {
    (void)state;
    int64_t *p = NULL;
    size_t capacity = 0;
    assert_ok(berth_grow(&p, &capacity, 1, sizeof *p));
    assert_int_equal(capacity, 16);
    assert_ok(berth_grow(&p, &capacity, 17, sizeof *p));
    assert_int_equal(capacity, 32);
    assert_ok(berth_grow(&p, &capacity, 1000, sizeof *p));
    assert_int_equal(capacity, 1024);
    p[999] = 1;
    assert_int_equal(berth_grow(&p, &capacity, SIZE_MAX, sizeof *p), BERTH_E_MEMORY);
    assert_int_equal(p[999], 1);
    free(p);
}

/* Pieces of many sizes: aligned, zeroed, apart from each other. */
static void arena_pieces(void **state) {
    (void)state;
    struct berth_arena arena;
    berth_arena_init(&arena);
    unsigned char *pieces[600];
    size_t sizes[600];
    for (size_t i = 0; i < 600; i++) {
        sizes[i] = i % 50 == 49 ? 40000 * (i / 50 + 1) : i;
        assert_ok(berth_arena_alloc(&arena, &pieces[i], sizes[i], 1));
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        for (size_t k = 0; k < sizes[i]; k++)
            assert_int_equal(pieces[i][k], 0);
        memset(pieces[i], (int)(i & 0xFF), sizes[i]);
    }
    for (size_t i = 0; i < 600; i++) {
        for (size_t k = 0; k < sizes[i]; k++)
            assert_int_equal(pieces[i][k], i & 0xFF);
    }
    char *text = NULL;
    assert_ok(berth_arena_strndup(&arena, &text, "name.rest", 4));
    assert_string_equal(text, "name");
    assert_int_equal(berth_arena_alloc(&arena, &text, SIZE_MAX / 2, 4), BERTH_E_MEMORY);
    assert_int_equal(berth_arena_alloc(&arena, &text, SIZE_MAX - 3, 1), BERTH_E_MEMORY);
    berth_arena_deinit(&arena);
    assert_int_equal(arena.used, 0);
}

static void strings(void **state) {
    (void)state;
    struct berth_str s;
    berth_str_init(&s);
    char *text = NULL;
    assert_ok(berth_str_take(&s, &text));
    assert_string_equal(text, "");
    free(text);
    for (int i = 0; i < 1000; i++)
        berth_str_addf(&s, "%d,", i);
    assert_int_equal(s.length, 3890);
    assert_int_equal(strlen(s.data), 3890);
    berth_str_reset(&s);
    berth_str_addn(&s, "a\0b", 3);
    assert_int_equal(s.length, 3);
    berth_str_reset(&s);
    berth_str_add_json(&s, "a\"b\\c\n\t\r\x01\x7F\xC3\xA9");
    assert_string_equal(s.data, "\"a\\\"b\\\\c\\n\\t\\r\\u0001\\u007f\xC3\xA9\"");
    s.failed = true; /* as after a failed add */
    berth_str_add(&s, "more");
    assert_error_has(berth_str_take(&s, &text), BERTH_E_MEMORY, "out of memory");
    assert_null(s.data);
    assert_false(s.failed);
}

static void whole_numbers(void **state) {
    (void)state;
    int64_t v = 5;
    static const char *const bad[] = {"",
                                      "-",
                                      "+",
                                      " 1",
                                      "1 ",
                                      "1.0",
                                      "0x1",
                                      "1e3",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "99999999999999999999999",
                                      "--1",
                                      "1_000"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (berth_parse_int64(bad[i], &v)) fail_msg("'%s' was taken as %lld", bad[i], (long long)v);
    }
    assert_int_equal(v, 5);
    assert_true(berth_parse_int64("9223372036854775807", &v) && v == INT64_MAX);
    assert_true(berth_parse_int64("-9223372036854775808", &v) && v == INT64_MIN);
    assert_true(berth_parse_int64("+42", &v) && v == 42);
    assert_true(berth_parse_int64("-0", &v) && v == 0);
    assert_true(berth_parse_int64("007", &v) && v == 7);
}

static void decimal_numbers(void **state) {
    (void)state;
    double v = 5;
    static const char *const bad[] = {"",   ".",  "e5",   "1e",    "1e+",    "inf",  "nan", "0x1p3", "1,5",
                                      " 1", "1 ", "1.5f", "1e999", "-1e999", "1..2", "+-1", "1e5.0"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (berth_parse_double(bad[i], &v)) fail_msg("'%s' was taken as %g", bad[i], v);
    }
    assert_true(v == 5);
    static const struct {
        const char *text;
        double value;
    } good[] = {{"5.0e-5", 5e-5}, {"3e-5", 3e-5}, {".5", 0.5}, {"5.", 5.0},     {"-0.25", -0.25},
                {"1E+2", 100.0},  {"0", 0.0},     {"+1", 1.0}, {"1e-999", 0.0}, {"0.1", 0.1}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (!berth_parse_double(good[i].text, &v) || v != good[i].value)
            fail_msg("'%s' gave %g", good[i].text, v);
    }
    /* A locale with decimal commas changes nothing. Not every machine has one; the grammar is the same. */
    if (setlocale(LC_NUMERIC, "de_DE.UTF-8") != NULL) {
        assert_true(berth_parse_double("1.5", &v) && v == 1.5);
        assert_false(berth_parse_double("1,5", &v));
        setlocale(LC_NUMERIC, "C");
    }
}

static void nearest_names(void **state) {
    (void)state;
    const char *const names[] = {"lr", "batch_size", "batch_tokens", "epochs", "steps", "warmup"};
    assert_string_equal(berth_nearest("bach_size", names, 6), "batch_size");
    assert_string_equal(berth_nearest("batchsize", names, 6), "batch_size");
    assert_string_equal(berth_nearest("Epochs", names, 6), "epochs");
    assert_string_equal(berth_nearest("epohcs", names, 6), "epochs");
    assert_string_equal(berth_nearest("warm_up", names, 6), "warmup");
    assert_null(berth_nearest("xyzzy", names, 6));
    assert_null(berth_nearest("", names, 6));
    assert_null(berth_nearest("ab", names, 6));
    assert_null(berth_nearest("a", names, 0));
    char text[300];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_null(berth_nearest(text, names, 6));
}

static void patterns(void **state) {
    (void)state;
    assert_true(berth_glob("*", ""));
    assert_true(berth_glob("*.bias", "encoder.layer.0.output.dense.bias"));
    assert_true(berth_glob("encoder.layer.?.*.weight", "encoder.layer.3.output.dense.weight"));
    assert_false(berth_glob("encoder.layer.?.*", "encoder.layer.10.output"));
    assert_true(berth_glob("a*b*c", "aXbXbYc"));
    assert_false(berth_glob("a*b*c", "aXbXbY"));
    assert_false(berth_glob("", "a"));
    assert_true(berth_glob("a**", "a"));
    char text[2001]; /* no growth by powers: 30 stars against a text that does not match */
    memset(text, 'a', 2000);
    text[2000] = '\0';
    assert_false(berth_glob("a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", text));
}

static void machine_facts(void **state) {
    (void)state;
    unsetenv("OMP_NUM_THREADS");
    int all = berth_thread_count();
    assert_true(all >= 1);
    setenv("OMP_NUM_THREADS", "3,2", 1);
    assert_int_equal(berth_thread_count(), 3);
    setenv("OMP_NUM_THREADS", "many", 1);
    assert_int_equal(berth_thread_count(), all);
    unsetenv("OMP_NUM_THREADS");
    assert_non_null(strstr(berth_cpu_name(), "thread"));
    assert_true(berth_peak_memory() > 1 << 20);
    double t = berth_time_seconds();
    assert_true(berth_time_seconds() >= t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocation),    cmocka_unit_test(growing),       cmocka_unit_test(arena_pieces),
        cmocka_unit_test(strings),       cmocka_unit_test(whole_numbers), cmocka_unit_test(decimal_numbers),
        cmocka_unit_test(nearest_names), cmocka_unit_test(patterns),      cmocka_unit_test(machine_facts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
