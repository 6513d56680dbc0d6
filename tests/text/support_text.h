/* support_text.h: what the tests of text share: cmocka in its order, temporary folders, files, errors. */
#ifndef SUPPORT_TEXT_H
#define SUPPORT_TEXT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "berth/base.h"
#include "berth/file.h"
#include "berth/json.h"
#include "berth/text.h"

/* A new folder under $TMPDIR or /tmp; removed with the files in it by text_folder_remove. */
char *text_folder_make(void);
void text_folder_remove(char *folder);
/* "folder/name", freed by the caller. */
char *text_path(const char *folder, const char *name);
/* The same in the checkout, and in the public test data (NULL when BERTH_TEST_DATA is not set: skip). */
char *text_source_path(const char *name);
char *text_data_path(const char *name);
/* The whole file, freed by the caller. */
char *text_read(const char *path, size_t *size);
/* A file in the folder with these bytes; its path, freed by the caller. */
char *text_write(const char *folder, const char *name, const char *bytes, size_t size);

/* Of golden files: \xNN to bytes, in place, and the size; numbers separated by spaces, and how many. */
size_t text_unescape(char *text);
size_t text_numbers(const char *text, int32_t *out, size_t most);

struct berth_tokenizer_options text_options(bool lowercase, int strip_accents, bool split_cjk);
/* The golden vocabulary with one of the four settings of the golden file. */
struct berth_tokenizer *text_golden_tokenizer(int setting);

#define assert_done(expr)                                                                                      \
    do {                                                                                                       \
        berth_status done_status_ = (expr);                                                                    \
        if (done_status_ != BERTH_OK)                                                                          \
            fail_msg("%s: %s: %s", #expr, berth_status_name(done_status_), berth_error_text());                \
    } while (0)
/* The call fails with this state and a text that holds this one. */
#define assert_fails(expr, code, part)                                                                         \
    do {                                                                                                       \
        assert_string_equal(berth_status_name(expr), berth_status_name(code));                                 \
        if (strstr(berth_error_text(), part) == NULL)                                                          \
            fail_msg("expected an error with '%s', got '%s'", part, berth_error_text());                       \
    } while (0)

#endif /* SUPPORT_TEXT_H */
