/* test_tag_scheme.c: which tag may follow which, in every scheme. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "berth/batch.h"

static void names_are_found(void **state) {
    (void)state;
    for (int s = 0; s < BERTH_TAG_SCHEME_COUNT; s++)
        assert_int_equal(berth_tag_scheme_find(berth_tag_scheme_name((enum berth_tag_scheme)s)), s);
    assert_int_equal(berth_tag_scheme_find("bio2"), BERTH_TAG_SCHEME_COUNT);
}

static void tags_are_parsed(void **state) {
    static const struct {
        const char *tag;
        char kind; /* 0: none */
        const char *type;
    } cases[] = {
        {"O", 'O', ""},    {"B-PER", 'B', "PER"}, {"I-PER", 'I', "PER"}, {"E-a-b", 'E', "a-b"},
        {"L-x", 'E', "x"}, {"S-x", 'S', "x"},     {"U-x", 'S', "x"},     {"B", 'B', ""},
        {"B-", 'B', ""},   {"O-x", 0, ""},        {"NOUN", 0, ""},       {"", 0, ""},
        {"b-x", 0, ""},    {"BPER", 0, ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char kind = 0;
        const char *type = "";
        bool good = berth_tag_parse(cases[i].tag, &kind, &type);
        if (good != (cases[i].kind != 0) ||
            (good && (kind != cases[i].kind || strcmp(type, cases[i].type) != 0)))
            fail_msg("'%s': %d, kind %c, type '%s'", cases[i].tag, good, kind ? kind : '-', type);
    }
}

/* One row a scheme: pairs "from to" that are not allowed, of all pairs over the tags of the scheme and the two
 * ends of a sentence ("^"). */
static void transitions_are_those_of_the_scheme(void **state) {
    static const struct {
        enum berth_tag_scheme scheme;
        const char *tags[9];
        const char *refused; /* "from>to" joined by spaces, with one in front and behind */
    } cases[] = {
        {BERTH_TAGS_PLAIN, {"^", "O", "NOUN", "I-a"}, " "},
        {BERTH_TAGS_IO, {"^", "O", "I-a", "I-b"}, " "},
        {BERTH_TAGS_BIO,
         {"^", "O", "B-a", "I-a", "B-b", "I-b", "odd"},
         " ^>I-a ^>I-b O>I-a O>I-b B-a>I-b I-a>I-b B-b>I-a I-b>I-a "},
        {BERTH_TAGS_IOB1,
         {"^", "O", "B-a", "I-a", "B-b", "I-b"},
         " ^>B-a ^>B-b O>B-a O>B-b B-a>B-b I-a>B-b B-b>B-a I-b>B-a "},
        {BERTH_TAGS_BIOES,
         {"^", "O", "B-a", "I-a", "E-a", "S-a", "I-b", "E-b"},
         " ^>I-a ^>E-a ^>I-b ^>E-b O>I-a O>E-a O>I-b O>E-b B-a>^ B-a>O B-a>B-a B-a>S-a B-a>I-b B-a>E-b"
         " I-a>^ I-a>O I-a>B-a I-a>S-a I-a>I-b I-a>E-b E-a>I-a E-a>E-a E-a>I-b E-a>E-b"
         " S-a>I-a S-a>E-a S-a>I-b S-a>E-b I-b>^ I-b>O I-b>B-a I-b>I-a I-b>E-a I-b>S-a"
         " E-b>I-a E-b>E-a E-b>I-b E-b>E-b "},
        {BERTH_TAGS_BILOU,
         {"^", "O", "B-a", "L-a", "U-a"},
         " ^>L-a O>L-a B-a>^ B-a>O B-a>B-a B-a>U-a L-a>L-a U-a>L-a "},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int refused = 0, wanted = 0;
        for (const char *p = cases[i].refused; *p; p++)
            wanted += *p == '>';
        for (size_t a = 0; a < 9 && cases[i].tags[a]; a++) {
            for (size_t b = 0; b < 9 && cases[i].tags[b]; b++) {
                const char *from = cases[i].tags[a], *to = cases[i].tags[b];
                char pair[64];
                snprintf(pair, sizeof pair, " %s>%s ", from, to);
                bool expected = strstr(cases[i].refused, pair) == NULL;
                bool allowed =
                    berth_tag_allowed(cases[i].scheme, from[0] == '^' ? NULL : from, to[0] == '^' ? NULL : to);
                refused += !allowed;
                if (allowed != expected)
                    fail_msg("%s:%sallowed: %d, expected %d", berth_tag_scheme_name(cases[i].scheme), pair,
                             allowed, expected);
            }
        }
        assert_int_equal(refused, wanted);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_found),
        cmocka_unit_test(tags_are_parsed),
        cmocka_unit_test(transitions_are_those_of_the_scheme),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
