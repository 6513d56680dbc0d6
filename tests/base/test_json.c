/* Typed reading of JSON, its errors, and (with BERTH_TEST_DATA) the public JSON parsing test suite. */
#include "base/support_base.h"

#include "berth/file.h"
#include "berth/json.h"

static const char document[] = "{\"hidden_size\": 768, \"eps\": 1e-12, \"whole\": 2.0, \"name\": \"bert\",\n"
                               " \"flag\": true, \"none\": null, \"big\": 1e300,\n"
                               " \"heads\": [{\"name\": \"a\", \"sizes\": [1, [2, 3]]}, {\"name\": \"b\"}],\n"
                               " \"ids\": {\"[UNK]\": 100, \"a.b\": {\"c\": 5}, \"a\": {\"b\": 6}}}";

static struct berth_json *parse(const char *text) {
    struct berth_json *j = NULL;
    assert_ok(berth_json_parse(&j, "config.json", text, strlen(text)));
    return j;
}

static void values(void **state) {
    (void)state;
    struct berth_json *j = parse(document);
    int64_t v = 0;
    double d = 0;
    bool flag = false;
    const char *text = NULL;
    assert_ok(berth_json_int(&v, j, "hidden_size", 1, 65536));
    assert_int_equal(v, 768);
    assert_ok(berth_json_int(&v, j, "whole", 0, 2));
    assert_int_equal(v, 2);
    assert_ok(berth_json_number(&d, j, "eps"));
    assert_true(d == 1e-12);
    assert_ok(berth_json_number(&d, j, "hidden_size"));
    assert_true(d == 768.0);
    assert_ok(berth_json_bool_or(&flag, j, "flag", false));
    assert_true(flag);
    assert_ok(berth_json_string(&text, j, "heads[1].name"));
    assert_string_equal(text, "b");
    assert_ok(berth_json_int(&v, j, "heads[0].sizes[1][0]", 0, 9));
    assert_int_equal(v, 2);
    assert_ok(berth_json_int(&v, j, "ids.[UNK]", 0, 100));
    assert_int_equal(v, 100);
    assert_ok(berth_json_int(&v, j, "ids.a.b.c", 0, 100));
    assert_int_equal(v, 5);
    /* the longest key wins, and here it is no number */
    assert_int_equal(berth_json_int(&v, j, "ids.a.b", 0, 100), BERTH_E_FORMAT);
    berth_json_free(j);
}

static void whole_numbers_beyond_64_bits(void **state) {
    (void)state;
    struct berth_json *j =
        parse("{\"model_max_length\": 1000000000000000019884624838656, \"n\": 512, \"x\": -7}");
    int64_t v = 0;
    double d = 0;
    assert_ok(berth_json_number(&d, j, "model_max_length"));
    assert_true(d == 1e30);
    assert_ok(berth_json_int(&v, j, "n", 0, 512));
    assert_int_equal(v, 512);
    assert_ok(berth_json_int(&v, j, "x", -7, 0));
    assert_int_equal(v, -7);
    assert_error(berth_json_int(&v, j, "model_max_length", 0, 5), BERTH_E_FORMAT,
                 "config.json: 'model_max_length': expected a whole number from 0 to 5, found 1e+30");
    berth_json_free(j);
}

static void absent_and_null(void **state) {
    (void)state;
    struct berth_json *j = parse(document);
    int64_t v = 0;
    double d = 0;
    bool flag = false;
    const char *text = NULL;
    assert_false(berth_json_has(j, "none"));
    assert_false(berth_json_has(j, "heads[2]"));
    assert_false(berth_json_has(j, "name.x"));
    assert_true(berth_json_has(j, "heads[0].sizes"));
    assert_ok(berth_json_int_or(&v, j, "none", 2, 0, 64));
    assert_int_equal(v, 2);
    assert_ok(berth_json_number_or(&d, j, "no", 0.5));
    assert_true(d == 0.5);
    assert_ok(berth_json_bool_or(&flag, j, "no", true));
    assert_true(flag);
    assert_ok(berth_json_string_or(&text, j, "no", "x"));
    assert_string_equal(text, "x");
    assert_error(berth_json_int(&v, j, "no", 0, 1), BERTH_E_FORMAT,
                 "config.json: 'no' is missing, expected a whole number");
    assert_error(berth_json_string(&text, j, "none"), BERTH_E_FORMAT,
                 "config.json: 'none' is missing, expected a text");
    berth_json_free(j);
}

static void wrong_types(void **state) {
    (void)state;
    struct berth_json *j = parse(document);
    int64_t v = 0;
    double d = 0;
    bool flag = false;
    const char *text = NULL;
    assert_error(berth_json_int(&v, j, "hidden_size", 1, 512), BERTH_E_FORMAT,
                 "config.json: 'hidden_size': expected a whole number from 1 to 512, found 768");
    assert_error(berth_json_int_or(&v, j, "name", 1, 1, 512), BERTH_E_FORMAT,
                 "config.json: 'name': expected a whole number from 1 to 512, found the text 'bert'");
    assert_error(berth_json_int(&v, j, "eps", 0, 1), BERTH_E_FORMAT,
                 "config.json: 'eps': expected a whole number from 0 to 1, found 1e-12");
    assert_error(berth_json_int(&v, j, "big", 0, INT64_MAX), BERTH_E_FORMAT,
                 "config.json: 'big': expected a whole number from 0 to 9223372036854775807, found 1e+300");
    assert_error(berth_json_number_or(&d, j, "flag", 1), BERTH_E_FORMAT,
                 "config.json: 'flag': expected a number, found true");
    assert_error(berth_json_bool_or(&flag, j, "heads", false), BERTH_E_FORMAT,
                 "config.json: 'heads': expected true or false, found an array");
    assert_error(berth_json_string_or(&text, j, "ids", NULL), BERTH_E_FORMAT,
                 "config.json: 'ids': expected a text, found an object");
    berth_json_free(j);
}

static void counting(void **state) {
    (void)state;
    struct berth_json *j = parse(document);
    assert_int_equal(berth_json_count(j, ""), 9);
    assert_int_equal(berth_json_count(j, "heads"), 2);
    assert_int_equal(berth_json_count(j, "ids"), 3);
    assert_int_equal(berth_json_count(j, "name"), 0);
    assert_int_equal(berth_json_count(j, "no"), 0);
    assert_string_equal(berth_json_key(j, "", 0), "hidden_size"); /* the file's order */
    assert_string_equal(berth_json_key(j, "ids", 2), "a");
    assert_null(berth_json_key(j, "ids", 3));
    assert_null(berth_json_key(j, "heads", 0));
    berth_json_free(j);
    berth_json_free(NULL);
}

static berth_status try_parse(const char *text) {
    struct berth_json *j = NULL;
    berth_status status = berth_json_parse(&j, "x.json", text, strlen(text));
    if (status == BERTH_OK) berth_json_free(j);
    return status;
}

static void refused_documents(void **state) {
    (void)state;
    assert_error(try_parse(""), BERTH_E_FORMAT, "x.json: the file is empty, expected a JSON document");
    assert_error(try_parse(" \n"), BERTH_E_FORMAT, "x.json: the file is empty, expected a JSON document");
    assert_error_has(try_parse("{\"a\": 1,\n \"a\": 2}"), BERTH_E_FORMAT, "x.json:2:");
    assert_error_has(try_parse("{\"a\": 1} x"), BERTH_E_FORMAT, "x.json:1:");
    assert_error_has(try_parse("{\"a\": [1, 2"), BERTH_E_FORMAT, "not valid JSON");
    assert_error_has(try_parse("\"\xFF\""), BERTH_E_FORMAT, "not valid JSON");
    char deep[400];
    memset(deep, '[', 129);
    memset(deep + 129, ']', 129);
    deep[258] = '\0';
    assert_error(try_parse(deep), BERTH_E_FORMAT, "x.json: nested deeper than 128 levels (byte 128)");
    deep[257] = '\0';
    assert_ok(try_parse(deep + 1));
    assert_ok(try_parse("[\"[[[[\\\"{{{\"]")); /* brackets in texts do not count */
    struct berth_json *j = NULL;
    assert_error_has(berth_json_load(&j, "/nonexistent.json"), BERTH_E_IO,
                     "/nonexistent.json: cannot be opened");
    const char exact[3] = {'[', '1', ']'}; /* no zero byte behind */
    assert_ok(berth_json_parse(&j, "x", exact, 3));
    berth_json_free(j);
}

/* y_: must be accepted; n_: must be refused; i_: must not crash. Three y_ cases are refused on purpose: a key
 * twice (two cases), and texts with a zero byte, which C strings cannot hold. */
static bool refused_on_purpose(const char *name) {
    return strstr(name, "duplicated_key") != NULL || strstr(name, "null_escape") != NULL ||
           strstr(name, "escaped_null") != NULL;
}

static void public_suite(void **state) {
    (void)state;
    char *folder = test_data_path("JSONTestSuite/test_parsing");
    if (folder == NULL) skip();
    char **names = NULL;
    size_t count = 0, accepted = 0, refused = 0;
    assert_ok(berth_list_folder(&names, &count, folder));
    for (size_t i = 0; i < count; i++) {
        char *path = temp_path(folder, names[i]);
        struct berth_json *j = NULL;
        berth_status status = berth_json_load(&j, path);
        bool good = status == BERTH_OK;
        if (good) berth_json_free(j);
        bool expected = names[i][0] == 'y' && !refused_on_purpose(names[i]);
        if (names[i][0] != 'i' && good != expected)
            fail_msg("%s: %s", names[i], good ? "was accepted" : berth_error_text());
        if (good)
            accepted++;
        else
            refused++;
        free(path);
    }
    print_message("%zu accepted, %zu refused\n", accepted, refused);
    assert_true(accepted > 80 && refused > 180);
    berth_names_free(names, count);
    free(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),          cmocka_unit_test(whole_numbers_beyond_64_bits),
        cmocka_unit_test(absent_and_null), cmocka_unit_test(wrong_types),
        cmocka_unit_test(counting),        cmocka_unit_test(refused_documents),
        cmocka_unit_test(public_suite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
