/* support_base.h: what the tests of base share: cmocka in its order, temporary folders, texts of errors. */
#ifndef SUPPORT_BASE_H
#define SUPPORT_BASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "berth/base.h"

/* A new folder under $TMPDIR or /tmp; removed with all in it by temp_folder_remove. */
char *temp_folder_make(void);
void temp_folder_remove(char *folder);
/* "folder/name", freed by the caller. */
char *temp_path(const char *folder, const char *name);
void write_bytes(const char *path, const void *data, size_t size);
/* A file of the public test data, or NULL (the caller skips) when BERTH_TEST_DATA is not set. */
char *test_data_path(const char *name);

#define assert_ok(expr)                                                                                        \
    do {                                                                                                       \
        berth_status ok_status_ = (expr);                                                                      \
        if (ok_status_ != BERTH_OK)                                                                            \
            fail_msg("%s: %s: %s", #expr, berth_status_name(ok_status_), berth_error_text());                  \
    } while (0)
/* The call fails with this state and exactly this text. */
#define assert_error(expr, code, text)                                                                         \
    do {                                                                                                       \
        assert_string_equal(berth_status_name(expr), berth_status_name(code));                                 \
        assert_string_equal(berth_error_text(), text);                                                         \
    } while (0)
/* The call fails with this state and a text that holds this one. */
#define assert_error_has(expr, code, part)                                                                     \
    do {                                                                                                       \
        assert_string_equal(berth_status_name(expr), berth_status_name(code));                                 \
        if (strstr(berth_error_text(), part) == NULL)                                                          \
            fail_msg("expected an error with '%s', got '%s'", part, berth_error_text());                       \
    } while (0)

#endif /* SUPPORT_BASE_H */
