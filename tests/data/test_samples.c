/* test_samples.c: the files in good/ and bad/ through the readers.
 *
 * Beside a file NAME (or a folder NAME, for seqfiles) stands NAME.want:
 *
 *     {format: csv, text: sentence}                   the source, without its path
 *     {type: classification, label: mood}             one line a task, without its source
 *     ...
 *     the exact message, "@" standing for the path    bad/
 *     2|good film|-|-|pos                             good/: each row: line, text, pair, negative, labels
 *
 * In rows "-" is a field that is missing, "^" ends each item of a list, and \n, \r, \t, \\, \| are written so.
 */
#include "data/support_data.h"

#include "data/data_priv.h"

#define MANY 64

static const char *samples(void) {
    static char folder[1024];
    const char *root = getenv("BERTH_SOURCE_DIR");
    if (!root) fail_msg("BERTH_SOURCE_DIR is not set: run this by ctest");
    snprintf(folder, sizeof folder, "%s/tests/data", root);
    return folder;
}

static void add_escaped(struct berth_str *out, const char *text) {
    if (!text) {
        berth_str_add(out, "-");
        return;
    }
    for (const char *p = text; *p; p++) {
        static const char from[] = "\n\r\t\\|\x1F";
        static const char *const to[] = {"\\n", "\\r", "\\t", "\\\\", "\\|", "^"};
        const char *found = strchr(from, *p);
        if (found)
            berth_str_add(out, to[found - from]);
        else
            berth_str_addn(out, p, 1);
    }
}

static void add_row(struct berth_str *out, const struct berth_row *row) {
    berth_str_addf(out, "%lld|%s", (long long)row->line, row->pre_split ? "words:" : "");
    add_escaped(out, row->text);
    berth_str_add(out, "|");
    add_escaped(out, row->text_pair);
    berth_str_add(out, "|");
    add_escaped(out, row->text_negative);
    for (size_t i = 0; i < row->label_count; i++) {
        berth_str_add(out, "|");
        add_escaped(out, row->labels[i]);
    }
    berth_str_add(out, "\n");
}

/* Reads what the configuration's first source names into lines of rows. */
static berth_status read_rows(struct berth_str *out, const struct berth_config *c) {
    berth_status status = BERTH_OK;
    struct specs specs;
    struct text_file files[READER_MAX_FILES] = {0};
    struct reader r = {0};
    size_t count = 0;
    bool more = true;
    BERTH_TRY_OUT(specs_read(&specs, c));
    BERTH_TRY_OUT(reader_map_files(files, &count, &specs.sources[0], specs.sources[0].paths[BERTH_TRAIN][0]));
    BERTH_TRY_OUT(reader_open(&r, &specs.sources[0], files, count));
    for (;;) {
        BERTH_TRY_OUT(reader_next(&r, &more));
        if (!more) break;
        add_row(out, &r.row);
    }
out:
    if (r.spec) reader_close(&r);
    for (size_t i = 0; i < READER_MAX_FILES; i++)
        reader_unmap_file(&files[i]);
    specs_deinit(&specs);
    return status;
}

/* A line of the .want file; moves behind it. */
static const char *next_line(char **at) {
    char *line = *at, *end = strchr(line, '\n');
    if (end) *end = 0;
    *at = end ? end + 1 : line + strlen(line);
    return line;
}

/* One sample; true when it came out as written beside it. */
static bool try_sample(const char *folder, const char *want_name, bool good) {
    char *want = NULL, path[1300], want_path[1400];
    size_t size = 0;
    struct berth_str config, expected, found;
    struct berth_config *c = NULL;
    snprintf(want_path, sizeof want_path, "%s/%s", folder, want_name);
    snprintf(path, sizeof path, "%.*s", (int)(strlen(want_path) - 5), want_path);
    assert_ok(berth_file_read(&want, &size, want_path));
    berth_str_init(&config);
    berth_str_init(&expected);
    berth_str_init(&found);
    char *at = want;
    const char *source = next_line(&at);
    berth_str_addf(&config, "data: {s: {train: %s, %s}\noutput: o\nmodel: {backbone: b}\ntasks:\n", path,
                   source + 1);
    for (int i = 0; at[0] == '{'; i++)
        berth_str_addf(&config, "  t%d: {source: s, %s\n", i, next_line(&at) + 1);
    for (const char *p = at; *p; p++) /* in rows "@" is a sign like others */
        berth_str_addn(&expected, *p == '@' && !good ? path : p, *p == '@' && !good ? strlen(path) : 1);
    if (!good && expected.length > 0 && expected.data[expected.length - 1] == '\n')
        expected.data[expected.length - 1] = 0;
    assert_ok(berth_config_parse(&c, "want", config.data, config.length, NULL, 0));
    berth_status status = read_rows(&found, c);
    const char *result = status == BERTH_OK ? (found.data ? found.data : "") : berth_error_text();
    bool same = (status == BERTH_OK) == good && expected.data && strcmp(result, expected.data) == 0;
    if (!same)
        print_error("%s: found\n%s\nexpected\n%s\n", want_path, result, expected.data ? expected.data : "");
    berth_error_clear();
    berth_config_free(c);
    berth_str_deinit(&config);
    berth_str_deinit(&expected);
    berth_str_deinit(&found);
    free(want);
    return same;
}

static void try_folder(const char *name, bool good, size_t least) {
    char folder[1100];
    char **names = NULL;
    size_t count = 0, tried = 0, wrong = 0;
    snprintf(folder, sizeof folder, "%s/%s", samples(), name);
    assert_ok(berth_list_folder(&names, &count, folder));
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(names[i]);
        if (length <= 5 || strcmp(names[i] + length - 5, ".want") != 0) {
            char beside[1400];
            snprintf(beside, sizeof beside, "%s/%s.want", folder, names[i]);
            if (!berth_file_exists(beside)) fail_msg("%s/%s has no .want beside it", folder, names[i]);
            continue;
        }
        tried++;
        wrong += !try_sample(folder, names[i], good);
    }
    berth_names_free(names, count);
    print_message("%s: %zu samples\n", name, tried);
    if (wrong > 0) fail_msg("%zu of %zu samples came out otherwise than written", wrong, tried);
    if (tried < least) fail_msg("%zu samples, expected at least %zu", tried, least);
}

static void good_files_give_the_rows_beside_them(void **state) {
    (void)state;
    try_folder("good", true, MANY / 4);
}

static void bad_files_give_the_message_beside_them(void **state) {
    (void)state;
    try_folder("bad", false, MANY / 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_files_give_the_rows_beside_them),
        cmocka_unit_test(bad_files_give_the_message_beside_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
