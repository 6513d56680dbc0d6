/* folder.c: folders, paths and what lies in them. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "berth/file.h"

bool berth_file_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0;
}

bool berth_is_folder(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

berth_status berth_make_folders(const char *path) {
    berth_status status = BERTH_OK;
    char *copy = NULL;
    if (path[0] == '\0') BERTH_FAIL(BERTH_E_IO, "the name of a folder is empty");
    BERTH_TRY_OUT(berth_strdup(&copy, path));
    for (char *p = copy + 1;; p++) {
        if (*p != '/' && *p != '\0') continue;
        char held = *p;
        *p = '\0';
        if (mkdir(copy, 0777) != 0) {
            int reason = errno; /* EEXIST, and what parents outside our rights say */
            if (!berth_file_exists(copy))
                BERTH_FAIL_OUT(BERTH_E_IO, "%s: the folder cannot be made: %s", copy, strerror(reason));
            if (!berth_is_folder(copy)) BERTH_FAIL_OUT(BERTH_E_IO, "%s: exists and is not a folder", copy);
        }
        *p = held;
        if (held == '\0') break;
    }
out:
    free(copy);
    return status;
}

berth_status berth_path_join(char **out, const char *folder, const char *name) {
    struct berth_str s;
    berth_str_init(&s);
    size_t length = strlen(folder);
    if (length > 0 && name[0] != '/') {
        berth_str_add(&s, folder);
        if (folder[length - 1] != '/') berth_str_add(&s, "/");
    }
    berth_str_add(&s, name);
    return berth_str_take(&s, out);
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

berth_status berth_list_folder(char ***out, size_t *out_count, const char *folder) {
    berth_status status = BERTH_OK;
    char **names = NULL;
    size_t count = 0, capacity = 0;
    DIR *dir = opendir(folder);
    if (dir == NULL) BERTH_FAIL_OUT(BERTH_E_IO, "%s: the folder cannot be opened: %s", folder, strerror(errno));
    BERTH_TRY_OUT(berth_grow(&names, &capacity, 1, sizeof *names));
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            if (errno != 0)
                BERTH_FAIL_OUT(BERTH_E_IO, "%s: the folder cannot be read: %s", folder, strerror(errno));
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        BERTH_TRY_OUT(berth_grow(&names, &capacity, count + 1, sizeof *names));
        BERTH_TRY_OUT(berth_strdup(&names[count], entry->d_name));
        count++;
    }
    qsort(names, count, sizeof *names, compare_names);
    *out = names;
    *out_count = count;
    names = NULL;
    count = 0;
out:
    if (dir != NULL) closedir(dir);
    berth_names_free(names, count);
    return status;
}

berth_status berth_remove_tree(const char *path) {
    berth_status status = BERTH_OK;
    char **names = NULL;
    size_t count = 0;
    struct stat st;
    if (lstat(path, &st) != 0) return BERTH_OK;
    if (S_ISDIR(st.st_mode)) {
        BERTH_TRY_OUT(berth_list_folder(&names, &count, path));
        for (size_t i = 0; i < count; i++) {
            char *child = NULL;
            BERTH_TRY_OUT(berth_path_join(&child, path, names[i]));
            status = berth_remove_tree(child);
            free(child);
            if (status != BERTH_OK) goto out;
        }
        if (rmdir(path) != 0) BERTH_FAIL_OUT(BERTH_E_IO, "%s: cannot be removed: %s", path, strerror(errno));
    } else if (unlink(path) != 0) {
        BERTH_FAIL_OUT(BERTH_E_IO, "%s: cannot be removed: %s", path, strerror(errno));
    }
out:
    berth_names_free(names, count);
    return status;
}

void berth_names_free(char **names, size_t count) {
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}
