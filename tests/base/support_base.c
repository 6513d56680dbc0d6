/* support_base.c: temporary folders for the tests of base. */
#include "base/support_base.h"

#include <stdio.h>

#include "support/temp_folder.h"

char *temp_folder_make(void) {
    return test_folder_make("base");
}

void temp_folder_remove(char *folder) {
    test_folder_remove(folder);
}

char *temp_path(const char *folder, const char *name) {
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%s", folder, name) > 0);
    return path;
}

void write_bytes(const char *path, const void *data, size_t size) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    if (size > 0) assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

char *test_data_path(const char *name) {
    const char *folder = getenv("BERTH_TEST_DATA");
    return folder == NULL || folder[0] == '\0' ? NULL : temp_path(folder, name);
}
