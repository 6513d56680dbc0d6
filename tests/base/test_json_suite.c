/* test_json_suite.c: the JSON reader against JSONTestSuite: of its parsing files y_ is taken, n_ is refused
 * with a text, i_ may be either, as may the files of test_transform. Without BERTH_TEST_DATA the program is
 * skipped. */
#include <stdio.h>

#include "base/support_base.h"
#include "berth/file.h"
#include "berth/json.h"

struct seen {
    int taken, refused, either;
};

/* Valid files that berth refuses all the same, and with which words: of two values for one key neither is
 * surely the one that was meant; a zero character would end a text early. */
static const char *refused_on_purpose(const char *name) {
    static const char *const files[][2] = {
        {"y_object_duplicated_key.json", "duplicate object key"},
        {"y_object_duplicated_key_and_value.json", "duplicate object key"},
        {"y_object_escaped_null_in_key.json", "NUL byte"},
        {"y_string_null_escape.json", "\\u0000"},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (strcmp(files[i][0], name) == 0) return files[i][1];
    return NULL;
}

static void check_file(const char *folder, const char *name, struct seen *seen) {
    char path[2048];
    char *text = NULL;
    size_t size = 0;
    struct berth_json *j = NULL;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (berth_file_read(&text, &size, path) != BERTH_OK) fail_msg("%s", berth_error_text());
    berth_status status = berth_json_parse(&j, name, text, size);
    char kind = name[1] == '_' ? name[0] : 't'; /* t: of test_transform */
    const char *why = refused_on_purpose(name);
    if (why != NULL && (status != BERTH_E_FORMAT || strstr(berth_error_text(), why) == NULL))
        fail_msg("%s must be refused with '%s': %s", name, why, berth_error_text());
    if (kind == 'y' && status != BERTH_OK && why == NULL)
        fail_msg("%s must be taken: %s", name, berth_error_text());
    if (kind == 'n' && status == BERTH_OK) fail_msg("%s must be refused", name);
    if (status != BERTH_OK &&
        (strstr(berth_error_text(), name) == NULL || strchr(berth_error_text(), '\n') != NULL))
        fail_msg("%s: the message is not one line with the file's name: %s", name, berth_error_text());
    seen->taken += kind == 'y';
    seen->refused += kind == 'n';
    seen->either += kind == 'i';
    berth_json_free(j);
    free(text);
}

static void parsing_files(void **state) {
    (void)state;
    char folder[1024], **names = NULL;
    size_t count = 0;
    struct seen seen = {0};
    snprintf(folder, sizeof folder, "%s/JSONTestSuite/test_parsing", getenv("BERTH_TEST_DATA"));
    if (berth_list_folder(&names, &count, folder) != BERTH_OK) fail_msg("%s", berth_error_text());
    for (size_t i = 0; i < count; i++)
        check_file(folder, names[i], &seen);
    berth_names_free(names, count);
    snprintf(folder, sizeof folder, "%s/JSONTestSuite/test_transform", getenv("BERTH_TEST_DATA"));
    if (berth_list_folder(&names, &count, folder) != BERTH_OK) fail_msg("%s", berth_error_text());
    assert_int_equal(count, 22);
    for (size_t i = 0; i < count; i++)
        check_file(folder, names[i], &seen);
    berth_names_free(names, count);
    assert_int_equal(seen.taken, 95);
    assert_int_equal(seen.refused, 188);
    assert_int_equal(seen.either, 35);
}

int main(void) {
    const char *data = getenv("BERTH_TEST_DATA");
    if (data == NULL || data[0] == '\0') {
        printf("skipped: BERTH_TEST_DATA names no folder of public data\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(parsing_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
