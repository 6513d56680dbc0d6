/* support_text.c: temporary folders and files for the tests of text. */
#include "text/support_text.h"

#include <stdio.h>

#include "support/temp_folder.h"

char *text_folder_make(void) {
    return test_folder_make("text");
}

void text_folder_remove(char *folder) {
    test_folder_remove(folder);
}

char *text_path(const char *folder, const char *name) {
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%s", folder, name) > 0);
    return path;
}

char *text_source_path(const char *name) {
    const char *folder = getenv("BERTH_SOURCE_DIR");
    if (folder == NULL) fail_msg("BERTH_SOURCE_DIR is not set");
    return text_path(folder, name);
}

char *text_data_path(const char *name) {
    const char *folder = getenv("BERTH_TEST_DATA");
    return folder == NULL || folder[0] == '\0' ? NULL : text_path(folder, name);
}

char *text_read(const char *path, size_t *size) {
    char *text = NULL;
    assert_done(berth_file_read(&text, size, path));
    return text;
}

char *text_write(const char *folder, const char *name, const char *bytes, size_t size) {
    char *path = text_path(folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    if (size > 0) assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
    return path;
}

size_t text_unescape(char *text) {
    size_t n = 0;
    for (const char *p = text; *p != '\0'; n++) {
        unsigned byte = 0;
        if (p[0] == '\\' && sscanf(p, "\\x%2x", &byte) == 1) {
            text[n] = (char)byte;
            p += 4;
        } else {
            text[n] = *p++;
        }
    }
    text[n] = '\0';
    return n;
}

size_t text_numbers(const char *text, int32_t *out, size_t most) {
    size_t count = 0;
    char *end = NULL;
    for (const char *p = text; *p != '\0'; p = *end == ' ' ? end + 1 : end) {
        assert_true(count < most);
        out[count++] = (int32_t)strtol(p, &end, 10);
        assert_true(end > p);
    }
    return count;
}

struct berth_tokenizer_options text_options(bool lowercase, int strip_accents, bool split_cjk) {
    return (struct berth_tokenizer_options){lowercase, strip_accents, split_cjk, 100};
}

struct berth_tokenizer *text_golden_tokenizer(int setting) {
    static const int settings[4][3] = {{1, -1, 1}, {0, -1, 1}, {1, 0, 1}, {0, 1, 0}};
    assert_in_range(setting, 0, 3);
    const int *s = settings[setting];
    struct berth_tokenizer_options options = text_options(s[0], s[1], s[2]);
    struct berth_tokenizer *t = NULL;
    char *path = text_source_path("tests/golden/tokenizer_vocab.txt");
    assert_done(berth_tokenizer_load_vocab(&t, path, &options));
    free(path);
    return t;
}
