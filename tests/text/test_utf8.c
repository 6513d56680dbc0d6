/* test_utf8.c: decoding, encoding, the place of the first bad byte. */
#include <stdio.h>

#include "text/support_text.h"

static void every_character_comes_back(void **state) {
    (void)state;
    for (uint32_t c = 0; c < 0x110000; c++) {
        if (c >= 0xD800 && c < 0xE000) continue;
        char bytes[4];
        size_t n = berth_utf8_encode(bytes, c), length = 0;
        bool valid = false;
        if (n != 1u + (c >= 0x80) + (c >= 0x800) + (c >= 0x10000)) fail_msg("U+%04X: %zu bytes", c, n);
        uint32_t back = berth_utf8_decode(bytes, n, &length, &valid);
        if (back != c || !valid || length != n)
            fail_msg("U+%04X came back as U+%04X, valid %d, %zu of %zu bytes", c, back, valid, length, n);
        if (n > 1) { /* cut short: one bad part of what is there */
            back = berth_utf8_decode(bytes, n - 1, &length, &valid);
            if (back != 0xFFFD || valid || length != n - 1)
                fail_msg("U+%04X cut by a byte: U+%04X, valid %d, %zu bytes", c, back, valid, length);
        }
    }
}

static void impossible_characters_are_replaced(void **state) {
    (void)state;
    static const uint32_t bad[] = {0xD800, 0xDFFF, 0x110000, 0xFFFFFFFF};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char bytes[4];
        assert_int_equal(berth_utf8_encode(bytes, bad[i]), 3);
        assert_memory_equal(bytes, "\xEF\xBF\xBD", 3);
    }
}

/* The text with each bad part replaced by U+FFFD. */
static void replace(struct berth_str *out, const char *text, size_t size) {
    berth_str_reset(out);
    for (size_t at = 0; at < size;) {
        size_t length = 0;
        bool valid = false;
        char bytes[4];
        uint32_t c = berth_utf8_decode(text + at, size - at, &length, &valid);
        assert_true(length > 0 && length <= size - at);
        berth_str_addn(out, bytes, berth_utf8_encode(bytes, c));
        at += length;
    }
    assert_false(out->failed);
}

static void bad_parts_are_maximal(void **state) {
    (void)state;
    /* Of the Unicode standard, tables 3-8 to 3-11: text, number of U+FFFD, first bad byte. */
    static const struct {
        const char *text;
        int count;
        size_t first;
    } cases[] = {
        {"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", 8, 0}, {"\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", 8, 0},
        {"\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", 7, 0}, {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", 4, 0},
        {"a\xC3", 1, 1},                                {"ab\xE2\x82z", 1, 2},
        {"\xF0\x9F\x98", 1, 0},                         {"abcdefgh\xF8\x88\x80\x80\x80", 5, 8},
        {"abcdefghijklmnop", 0, 16},                    {"\xE2\x82\xAC", 0, 3},
        {"", 0, 0},                                     {"\xF4\x90\x80\x80", 4, 0},
    };
    struct berth_str out;
    berth_str_init(&out);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size = strlen(cases[i].text);
        replace(&out, cases[i].text, size);
        int count = 0;
        for (size_t k = 0; k + 2 < out.length; k++)
            count += memcmp(out.data + k, "\xEF\xBF\xBD", 3) == 0;
        if (count != cases[i].count) fail_msg("case %zu: %d replacements, expected %d", i, count, cases[i].count);
        assert_int_equal(berth_utf8_check(cases[i].text, size), cases[i].first);
    }
    berth_str_deinit(&out);
}

/* "EF BF BD" or "nothing" to bytes. */
static size_t from_hex(char *out, const char *text) {
    size_t n = 0;
    unsigned value = 0;
    int used = 0;
    if (strcmp(text, "nothing") == 0) return 0;
    for (const char *p = text; sscanf(p, " %2x%n", &value, &used) == 1; p += used)
        out[n++] = (char)value;
    return n;
}

/* num:valid:text, num:valid hex:HEX, num:invalid hex:HEX:skipped:replaced */
static bool check_public_line(char *line, struct berth_str *out) {
    char *fields[5] = {NULL}, bytes[256], expected[256], *rest = line;
    size_t count = 0;
    while (count < 5 && rest != NULL)
        fields[count++] = strsep(&rest, ":");
    if (line[0] == '#' || count < 3) return false;
    fields[1] += strspn(fields[1], " ");
    bool plain = strcmp(fields[1], "valid") == 0, invalid = strcmp(fields[1], "invalid hex") == 0;
    size_t size = plain ? strlen(fields[2]) : from_hex(bytes, fields[2]);
    if (plain) memcpy(bytes, fields[2], size);
    size_t want = size;
    if (invalid) want = from_hex(expected, fields[4]);
    else memcpy(expected, bytes, size);
    replace(out, bytes, size);
    if (out->length != want || (want > 0 && memcmp(out->data, expected, want) != 0))
        fail_msg("case %s: replaced text differs: %zu bytes, expected %zu", fields[0], out->length, want);
    if ((berth_utf8_check(bytes, size) == size) == invalid) fail_msg("case %s: validity is wrong", fields[0]);
    return true;
}

static void public_cases(void **state) {
    (void)state;
    char *path = text_data_path("tokenizer-stress/utf8/utf8tests.txt");
    if (path == NULL) skip();
    size_t size = 0;
    char *text = text_read(path, &size), *rest = text, *line = NULL;
    struct berth_str out;
    berth_str_init(&out);
    int cases = 0;
    while ((line = strsep(&rest, "\n")) != NULL)
        cases += check_public_line(line, &out);
    print_message("%d cases of utf8tests.txt\n", cases);
    assert_true(cases > 100);
    berth_str_deinit(&out);
    free(text);
    free(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_character_comes_back),
        cmocka_unit_test(impossible_characters_are_replaced),
        cmocka_unit_test(bad_parts_are_maximal),
        cmocka_unit_test(public_cases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
