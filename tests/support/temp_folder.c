/* temp_folder.c: by the C library alone, so that the tests of berth's own folders can stand on it. */
#include "support/temp_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <ftw.h>

char *test_folder_make(const char *part) {
    const char *root = getenv("TMPDIR");
    char *path = NULL;
    assert_true(asprintf(&path, "%s/berth-%s-XXXXXX", root != NULL && root[0] != '\0' ? root : "/tmp", part) >
                0);
    assert_non_null(mkdtemp(path));
    return path;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void test_folder_remove(char *folder) {
    assert_int_equal(nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
    free(folder);
}
