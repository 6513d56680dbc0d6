/* test_tag_census.c: schemes told from tags, tags that do not fit, conversion between schemes. */
#include "data/support_data.h"

#include "berth/json.h"
#include "data/data_priv.h"

/* "B-x I-x . O" as a list; "." is a word without a tag. */
static char *list_of(const char *tags) {
    struct berth_str s;
    char *out = NULL;
    berth_str_init(&s);
    berth_str_add(&s, "");
    for (const char *at = tags; *at;) {
        size_t n = strcspn(at, " ");
        if (n != 1 || *at != '.') berth_str_addn(&s, at, n);
        berth_str_addf(&s, "%c", BERTH_LIST_END);
        at += n + (at[n] == ' ');
    }
    assert_ok(berth_str_take(&s, &out));
    return out;
}

/* Sentences are parted by " | "; the n-th is line n. */
static void census_of(struct read_report *r, const char *sentences) {
    char copy[512];
    assert_ok(read_report_init(r, 1));
    snprintf(copy, sizeof copy, "%s", sentences);
    int64_t line = 1;
    for (char *at = copy; at; line++) {
        char *end = strstr(at, " | ");
        if (end) *end = 0;
        char *list = list_of(at);
        assert_ok(read_report_tags(r, 0, "f", line, list));
        free(list);
        at = end ? end + 3 : NULL;
    }
}

static void schemes_are_told_and_odd_tags_counted(void **state) {
    static const struct {
        const char *sentences;
        enum berth_tag_scheme scheme;
        int64_t odd;
        const char *first;
    } cases[] = {
        {"O O I-a I-a O I-b", BERTH_TAGS_IO, 0, NULL},
        {"O O", BERTH_TAGS_IO, 0, NULL},
        {"B-a O B-b B-b", BERTH_TAGS_BIO, 0, NULL},
        {"O B-a I-a O | B-b I-b B-b", BERTH_TAGS_BIO, 0, NULL},
        {"B-a I-a | O I-b O I-b B-a", BERTH_TAGS_BIO, 2, "f:2: word 2: I-b behind O"},
        {"B-a I-b | B-b", BERTH_TAGS_BIO, 1, "f:1: word 2: I-b behind B-a"},
        {"B-a . I-a | B-b", BERTH_TAGS_BIO, 1, "f:1: word 3: I-a behind a word without a tag"},
        {"I-a I-a B-a I-a O | I-b", BERTH_TAGS_IOB1, 0, NULL},
        {"I-a B-a | I-b O I-c | O B-c", BERTH_TAGS_IOB1, 1, "f:3: word 2: B-c behind O"},
        {"B-a E-a O S-b | B-a I-a E-a", BERTH_TAGS_BIOES, 0, NULL},
        {"S-b O | B-a O E-a | B-a", BERTH_TAGS_BIOES, 3, "f:2: word 2: O behind B-a"},
        {"S-b B-a", BERTH_TAGS_BIOES, 1, "f:1: word 3: the end of the sentence behind B-a"},
        {"O E-a", BERTH_TAGS_BIOES, 1, "f:1: word 2: E-a behind O"},
        {"B-a L-a O U-b", BERTH_TAGS_BILOU, 0, NULL},
        {"U-b I-a", BERTH_TAGS_BILOU, 2, "f:1: word 2: I-a behind U-b"},
        {"DET NOUN O", BERTH_TAGS_PLAIN, 0, NULL},
        {"B-a I-a NOUN", BERTH_TAGS_PLAIN, 0, NULL},
        {"B-a L-a E-a", BERTH_TAGS_PLAIN, 0, NULL},
        {"B I O B", BERTH_TAGS_BIO, 0, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct read_report r, copy;
        struct berth_json *j = NULL;
        struct berth_str s;
        const char *first = NULL;
        census_of(&r, cases[i].sentences);
        /* what is written and read back says the same */
        berth_str_init(&s);
        berth_str_add(&s, "{\"report\":");
        read_report_add_json(&s, &r);
        berth_str_add(&s, "}");
        assert_ok(read_report_init(&copy, 1));
        assert_ok(berth_json_parse(&j, "test", s.data, s.length));
        assert_ok(read_report_read_json(&copy, j, "report"));
        enum berth_tag_scheme scheme = tag_census_scheme(&copy.tags[0]);
        int64_t odd = tag_census_odd(&copy.tags[0], scheme, &first);
        if (scheme != cases[i].scheme || odd != cases[i].odd || !first != !cases[i].first ||
            (first && strcmp(first, cases[i].first) != 0))
            fail_msg("'%s': found %s with %lld odd (%s), expected %s with %lld (%s)", cases[i].sentences,
                     berth_tag_scheme_name(scheme), (long long)odd, first ? first : "none",
                     berth_tag_scheme_name(cases[i].scheme), (long long)cases[i].odd,
                     cases[i].first ? cases[i].first : "none");
        berth_json_free(j);
        berth_str_deinit(&s);
        read_report_deinit(&copy);
        read_report_deinit(&r);
    }
}

static void declared_schemes_know_foreign_letters(void **state) {
    struct read_report r;
    const char *first = NULL;
    (void)state;
    census_of(&r, "B-a E-a | O S-b NOUN");
    assert_int_equal(tag_census_odd(&r.tags[0], BERTH_TAGS_BIO, &first), 3);
    assert_string_equal(first, "f:1: word 2: E-a behind B-a");
    assert_int_equal(tag_census_odd(&r.tags[0], BERTH_TAGS_PLAIN, &first), 0);
    read_report_deinit(&r);
}

static void reports_of_files_add_up(void **state) {
    struct read_report a, b;
    const char *first = NULL;
    (void)state;
    census_of(&a, "I-a I-a");
    census_of(&b, "O | B-a I-a | O I-b");
    assert_ok(tag_census_merge(&b.tags[0], &a.tags[0]));
    assert_int_equal(b.tags[0].words, 7);
    assert_int_equal(tag_census_odd(&b.tags[0], BERTH_TAGS_BIO, &first), 2);
    assert_string_equal(first, "f:3: word 2: I-b behind O");
    assert_ok(read_report_replaced(&a, "f", 3, 2));
    assert_ok(read_report_replaced(&a, "g", 1, 5));
    assert_int_equal(a.replaced.count, 7);
    assert_string_equal(a.replaced.first, "f:3");
    read_report_deinit(&a);
    read_report_deinit(&b);
}

/* Every scheme to every other: the same entities. BIO is what all rows have in common. */
static void conversion_keeps_entities(void **state) {
    static const char *const forms[][BERTH_TAG_SCHEME_COUNT] = {
        /* plain, io, bio, iob1, bioes, bilou; NULL: io cannot say it */
        {NULL, "O I-a I-a O", "O B-a I-a O", "O I-a I-a O", "O B-a E-a O", "O B-a L-a O"},
        {NULL, "I-a I-b I-b I-b", "B-a B-b I-b I-b", "I-a I-b I-b I-b", "S-a B-b I-b E-b", "U-a B-b I-b L-b"},
        {NULL, NULL, "B-a B-a I-a B-a", "I-a B-a I-a B-a", "S-a B-a E-a S-a", "U-a B-a L-a U-a"},
        {NULL, "I-a . I-a NOUN I-a", "B-a . B-a NOUN B-a", "I-a . I-a NOUN I-a", "S-a . S-a NOUN S-a",
         "U-a . U-a NOUN U-a"},
        {NULL, "I I O", "B I O", "I I O", "B E O", "B L O"},
        {NULL, "", "", "", "", ""},
    };
    struct berth_str out;
    (void)state;
    berth_str_init(&out);
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        for (int from = BERTH_TAGS_IO; from < BERTH_TAG_SCHEME_COUNT; from++) {
            for (int to = BERTH_TAGS_IO; to < BERTH_TAG_SCHEME_COUNT; to++) {
                if (!forms[i][from] || !forms[i][to]) continue;
                char *tags = list_of(forms[i][from]), *expected = list_of(forms[i][to]);
                tags_convert(&out, tags, (enum berth_tag_scheme)to);
                if (strcmp(out.data, expected) != 0)
                    fail_msg("'%s' to %s: found '%s'", forms[i][from],
                             berth_tag_scheme_name((enum berth_tag_scheme)to), out.data);
                free(tags);
                free(expected);
            }
        }
    }
    char *lost = list_of("B-a B-a O I-b"), *io = list_of("I-a I-a O I-b"), *bio = list_of("B-a B-a O B-b");
    tags_convert(&out, lost, BERTH_TAGS_IO); /* neighbours run together: io has no word for them */
    assert_string_equal(out.data, io);
    tags_convert(&out, lost, BERTH_TAGS_BIO); /* and a stray I becomes an entity */
    assert_string_equal(out.data, bio);
    free(lost);
    free(io);
    free(bio);
    berth_str_deinit(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schemes_are_told_and_odd_tags_counted),
        cmocka_unit_test(declared_schemes_know_foreign_letters),
        cmocka_unit_test(reports_of_files_add_up),
        cmocka_unit_test(conversion_keeps_entities),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
