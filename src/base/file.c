/* file.c: files written whole or not at all, and files read checked.
 *
 *     open PATH.tmp.PID-RANDOM -> write -> fsync -> close -> rename to PATH -> fsync of the folder
 *
 * The rename is the instant at which the new file exists; all before it may be lost without harm, and the
 * last fsync makes the rename itself survive a power cut. Process numbers alone do not tell writers apart: two
 * containers or hosts on one file system count them each on its own. The 64 random bits do, and whoever still
 * meets a name that is taken draws another. They name files only; no result depends on them. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "berth/file.h"

static berth_status write_all(int fd, const void *data, size_t size, const char *path) {
    const char *p = data;
    while (size > 0) {
        ssize_t n = write(fd, p, size < ((size_t)1 << 30) ? size : ((size_t)1 << 30));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) BERTH_FAIL(BERTH_E_IO, "%s: cannot be written: %s", path, strerror(n < 0 ? errno : ENOSPC));
        p += n;
        size -= (size_t)n;
    }
    return BERTH_OK;
}

/* Flushes the folder that holds `path`. File systems that cannot flush a folder say EINVAL; nothing is to be
 * done about it. */
static berth_status sync_folder_of(const char *path) {
    berth_status status = BERTH_OK;
    int fd = -1;
    char *folder = NULL;
    const char *slash = strrchr(path, '/');
    if (slash == NULL) {
        BERTH_TRY_OUT(berth_strdup(&folder, "."));
    } else {
        BERTH_TRY_OUT(berth_strndup(&folder, path, slash == path ? 1 : (size_t)(slash - path)));
    }
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) BERTH_FAIL_OUT(BERTH_E_IO, "%s: the folder cannot be opened: %s", folder, strerror(errno));
    if (fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP)
        BERTH_FAIL_OUT(BERTH_E_IO, "%s: the folder cannot be flushed: %s", folder, strerror(errno));
out:
    if (fd >= 0) close(fd);
    free(folder);
    return status;
}

berth_status berth_file_tmp_name(char **out, const char *path) {
    struct berth_str s;
    uint64_t bits = 0;
    ssize_t n = 0;
    do
        n = getrandom(&bits, sizeof bits, 0);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof bits) /* requests of up to 256 bytes are never cut short */
        BERTH_FAIL(BERTH_E_IO, "%s: no random bits for a temporary name: %s", path, strerror(errno));
    berth_str_init(&s);
    berth_str_addf(&s, "%s.tmp.%ld-%016llx", path, (long)getpid(), (unsigned long long)bits);
    return berth_str_take(&s, out);
}

/* A name is taken once in 2^64; a hundred in a row are a broken source of random bits. */
#define TMP_ATTEMPTS 100

berth_status berth_file_open_tmp(char **out, int *fd, const char *path, int access) {
    berth_status status = BERTH_OK;
    char *name = NULL;
    *out = NULL;
    *fd = -1;
    for (int i = 0; i < TMP_ATTEMPTS && *fd < 0; i++) {
        free(name);
        name = NULL;
        BERTH_TRY_OUT(berth_file_tmp_name(&name, path));
        *fd = open(name, access | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (*fd < 0 && errno != EEXIST) break;
    }
    if (*fd < 0) BERTH_FAIL_OUT(BERTH_E_IO, "%s: cannot be created: %s", path, strerror(errno));
    *out = name;
    name = NULL;
out:
    free(name);
    return status;
}

berth_status berth_file_make_tmp_folder(char **out, const char *path) {
    berth_status status = BERTH_OK;
    char *name = NULL;
    bool made = false;
    *out = NULL;
    for (int i = 0; i < TMP_ATTEMPTS && !made; i++) {
        free(name);
        name = NULL;
        BERTH_TRY_OUT(berth_file_tmp_name(&name, path));
        made = mkdir(name, 0777) == 0;
        if (!made && errno != EEXIST) break;
    }
    if (!made) BERTH_FAIL_OUT(BERTH_E_IO, "%s: the folder cannot be made: %s", path, strerror(errno));
    *out = name;
    name = NULL;
out:
    free(name);
    return status;
}

berth_status berth_file_begin(struct berth_file_writer *w, const char *path) {
    berth_status status = BERTH_OK;
    *w = (struct berth_file_writer){.fd = -1};
    BERTH_TRY_OUT(berth_strdup(&w->path, path));
    BERTH_TRY_OUT(berth_file_open_tmp(&w->tmp_path, &w->fd, path, O_WRONLY));
out:
    if (status != BERTH_OK) berth_file_abort(w);
    return status;
}

berth_status berth_file_write(struct berth_file_writer *w, const void *data, size_t size) {
    BERTH_ASSERT(w->fd >= 0);
    return write_all(w->fd, data, size, w->path);
}

berth_status berth_file_commit(struct berth_file_writer *w) {
    berth_status status = BERTH_OK;
    BERTH_ASSERT(w->fd >= 0);
    if (fsync(w->fd) != 0) BERTH_FAIL_OUT(BERTH_E_IO, "%s: cannot be flushed: %s", w->path, strerror(errno));
    int closed = close(w->fd);
    w->fd = -1;
    if (closed != 0) BERTH_FAIL_OUT(BERTH_E_IO, "%s: cannot be closed: %s", w->path, strerror(errno));
    if (rename(w->tmp_path, w->path) != 0)
        BERTH_FAIL_OUT(BERTH_E_IO, "%s: cannot be put in its place: %s", w->path, strerror(errno));
    free(w->tmp_path); /* nothing is left to remove */
    w->tmp_path = NULL;
    BERTH_TRY_OUT(sync_folder_of(w->path));
out:
    berth_file_abort(w);
    return status;
}

void berth_file_abort(struct berth_file_writer *w) {
    if (w->fd >= 0) {
        close(w->fd);
        unlink(w->tmp_path);
    } else if (w->tmp_path != NULL && w->path != NULL) {
        unlink(w->tmp_path);
    }
    free(w->path);
    free(w->tmp_path);
    *w = (struct berth_file_writer){.fd = -1};
}

berth_status berth_file_put(const char *path, const void *data, size_t size) {
    berth_status status = BERTH_OK;
    struct berth_file_writer w;
    BERTH_TRY(berth_file_begin(&w, path));
    BERTH_TRY_OUT(berth_file_write(&w, data, size));
    BERTH_TRY_OUT(berth_file_commit(&w));
out:
    berth_file_abort(&w);
    return status;
}

berth_status berth_file_publish(const char *tmp_path, const char *path) {
    berth_status status = BERTH_OK;
    int fd = open(tmp_path, O_RDWR | O_CLOEXEC);
    if (fd < 0) BERTH_FAIL_OUT(BERTH_E_IO, "%s: cannot be opened: %s", tmp_path, strerror(errno));
    if (fsync(fd) != 0) BERTH_FAIL_OUT(BERTH_E_IO, "%s: cannot be flushed: %s", tmp_path, strerror(errno));
    int closed = close(fd);
    fd = -1;
    if (closed != 0) BERTH_FAIL_OUT(BERTH_E_IO, "%s: cannot be closed: %s", tmp_path, strerror(errno));
    if (rename(tmp_path, path) != 0)
        BERTH_FAIL_OUT(BERTH_E_IO, "%s: cannot be put in its place: %s", path, strerror(errno));
    return sync_folder_of(path);
out:
    if (fd >= 0) close(fd);
    unlink(tmp_path);
    return status;
}

berth_status berth_file_read(char **out, size_t *out_size, const char *path) {
    berth_status status = BERTH_OK;
    char *data = NULL;
    size_t size = 0, capacity = 0;
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) BERTH_FAIL_OUT(BERTH_E_IO, "%s: cannot be opened: %s", path, strerror(errno));
    if (fstat(fd, &st) != 0) BERTH_FAIL_OUT(BERTH_E_IO, "%s: cannot be read: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode)) BERTH_FAIL_OUT(BERTH_E_IO, "%s: is a folder, expected a file", path);
    /* one byte more than the file has, so that the end is seen without growing; pipes have no size */
    BERTH_TRY_OUT(berth_grow(&data, &capacity, st.st_size > 0 ? (size_t)st.st_size + 2 : 65536, 1));
    for (;;) {
        if (size + 1 >= capacity) BERTH_TRY_OUT(berth_grow(&data, &capacity, capacity + 1, 1));
        ssize_t n = read(fd, data + size, capacity - size - 1);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) BERTH_FAIL_OUT(BERTH_E_IO, "%s: cannot be read: %s", path, strerror(errno));
        if (n == 0) break;
        size += (size_t)n;
    }
    data[size] = '\0';
    *out = data;
    data = NULL;
    if (out_size != NULL) *out_size = size;
out:
    if (fd >= 0) close(fd);
    free(data);
    return status;
}

berth_status berth_file_map(struct berth_file_map *out, const char *path) {
    berth_status status = BERTH_OK;
    struct stat st;
    *out = (struct berth_file_map){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) BERTH_FAIL_OUT(BERTH_E_IO, "%s: cannot be opened: %s", path, strerror(errno));
    if (fstat(fd, &st) != 0) BERTH_FAIL_OUT(BERTH_E_IO, "%s: cannot be read: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode)) BERTH_FAIL_OUT(BERTH_E_IO, "%s: is a folder, expected a file", path);
    if (!S_ISREG(st.st_mode)) BERTH_FAIL_OUT(BERTH_E_IO, "%s: is not a plain file", path);
    if (st.st_size > 0) {
        void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (data == MAP_FAILED) BERTH_FAIL_OUT(BERTH_E_IO, "%s: cannot be mapped: %s", path, strerror(errno));
        out->data = data;
        out->size = (size_t)st.st_size;
    }
out:
    if (fd >= 0) close(fd);
    return status;
}

void berth_file_unmap(struct berth_file_map *map) {
    if (map->data != NULL) munmap((void *)(uintptr_t)map->data, map->size);
    *map = (struct berth_file_map){0};
}

berth_status berth_file_append(const char *path, const void *data, size_t size) {
    berth_status status = BERTH_OK;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0) BERTH_FAIL_OUT(BERTH_E_IO, "%s: cannot be opened: %s", path, strerror(errno));
    BERTH_TRY_OUT(write_all(fd, data, size, path)); /* one write: a reader sees whole lines */
    int closed = close(fd);
    fd = -1;
    if (closed != 0) BERTH_FAIL_OUT(BERTH_E_IO, "%s: cannot be closed: %s", path, strerror(errno));
out:
    if (fd >= 0) close(fd);
    return status;
}

berth_status berth_file_append_line(const char *path, const char *line) {
    berth_status status = BERTH_OK;
    struct berth_str s;
    berth_str_init(&s);
    berth_str_add(&s, line);
    berth_str_add(&s, "\n");
    if (s.failed)
        status = berth_error_set(BERTH_E_MEMORY, __FILE__, __LINE__, "%s: out of memory: a line of %zu bytes",
                                 path, strlen(line));
    else
        status = berth_file_append(path, s.data, s.length);
    berth_str_deinit(&s);
    return status;
}

berth_status berth_file_truncate(const char *path, int64_t size) {
    if (truncate(path, (off_t)size) != 0)
        BERTH_FAIL(BERTH_E_IO, "%s: cannot be cut to %lld bytes: %s", path, (long long)size, strerror(errno));
    return BERTH_OK;
}
