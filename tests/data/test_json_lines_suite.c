/* test_json_lines_suite.c: JSONTestSuite's parsing files through the scanner of JSON lines: y_ is taken, n_ is
 * refused, i_ may be either. Each file as one value; those of one line also as a member of a row, by the
 * reader. Without BERTH_TEST_DATA the program is skipped. */
#include <stdio.h>

#include "data/data_priv.h"
#include "data/support_data.h"

struct seen {
    int taken, refused, either, rows;
};

/* As the reader of lines hands it on: valid UTF-8 without zero bytes. */
static bool scan_takes(char *text, size_t size) {
    struct json_scan s = {.at = text, .end = text + size};
    if (memchr(text, 0, size) || berth_utf8_check(text, size) != size) return false;
    if (!json_skip(&s, 0)) {
        assert_non_null(s.expected);
        assert_true(s.at >= text && s.at <= s.end);
        return false;
    }
    json_space(&s);
    return s.at == s.end;
}

/* {"text": "t", "other": FILE} as the only line of a file. */
static bool reader_takes(const struct data_world *w, const char *text, size_t size) {
    const struct berth_texts_options options = {.format = "jsonl"};
    struct berth_texts *texts = NULL;
    const struct berth_row *row = NULL;
    char *line = malloc(size + 64);
    size_t head = (size_t)sprintf(line, "{\"text\": \"t\", \"other\": ");
    memcpy(line + head, text, size);
    memcpy(line + head + size, "}\n", 2);
    world_put_bytes(w, "line.jsonl", line, head + size + 2);
    free(line);
    assert_ok(berth_texts_open(&texts, world_path(w, "line.jsonl"), &options));
    berth_status status = berth_texts_next(texts, &row);
    if (status != BERTH_OK && (status != BERTH_E_FORMAT || !strstr(berth_error_text(), "line.jsonl:1:") ||
                               strchr(berth_error_text(), '\n')))
        fail_msg("not one line with a place: %s", berth_error_text());
    if (status == BERTH_OK) assert_string_equal(row->text, "t");
    berth_texts_close(texts);
    return status == BERTH_OK;
}

static void check_file(const struct data_world *w, const char *folder, const char *name, struct seen *seen) {
    char path[2048];
    char *text = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_ok(berth_file_read(&text, &size, path));
    bool one_line = !memchr(text, '\n', size) && !memchr(text, '\r', size);
    bool in_row = one_line && reader_takes(w, text, size);
    bool taken = scan_takes(text, size);
    if (name[0] == 'y' && !taken) fail_msg("%s must be taken", name);
    if (name[0] == 'n' && taken) fail_msg("%s must be refused", name);
    if (one_line && name[0] != 'i' && in_row != taken)
        fail_msg("%s: %s as a member of a row", name, in_row ? "taken" : "refused");
    seen->taken += name[0] == 'y';
    seen->refused += name[0] == 'n';
    seen->either += name[0] == 'i';
    seen->rows += one_line;
    free(text);
}

static void parsing_files(void **state) {
    (void)state;
    char **names = NULL;
    size_t count = 0;
    struct seen seen = {0};
    struct data_world w;
    const char *folder = public_data("JSONTestSuite/test_parsing");
    world_make(&w);
    assert_ok(berth_list_folder(&names, &count, folder));
    for (size_t i = 0; i < count; i++)
        check_file(&w, folder, names[i], &seen);
    berth_names_free(names, count);
    world_remove(&w);
    assert_int_equal(seen.taken, 95);
    assert_int_equal(seen.refused, 188);
    assert_int_equal(seen.either, 35);
    assert_true(seen.rows > 280);
}

int main(void) {
    const char *data = getenv("BERTH_TEST_DATA");
    if (!data || !data[0]) {
        printf("skipped: BERTH_TEST_DATA names no folder of public data\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(parsing_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
