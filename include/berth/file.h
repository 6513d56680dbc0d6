/* file.h: reading checked, writing whole or not at all.
 *
 * A file is written to "PATH.tmp.PID-RANDOM" in the same directory, flushed, closed and renamed over PATH, then
 * the directory is flushed: a crash at any instant leaves the old file or the new one. Writers of one PATH, in
 * one process or on several hosts, never share a temporary file: the last rename stands, whole.
 *
 *     struct berth_file_writer w;
 *     BERTH_TRY(berth_file_begin(&w, path));
 *     BERTH_TRY_OUT(berth_file_write(&w, bytes, n));
 *     BERTH_TRY_OUT(berth_file_commit(&w));
 *   out:
 *     berth_file_abort(&w);      // after a commit it does nothing
 */
#ifndef BERTH_FILE_H
#define BERTH_FILE_H

#include "berth/base.h"

struct berth_file_writer {
    int fd;
    char *path;     /* owned */
    char *tmp_path; /* owned */
};

berth_status berth_file_begin(struct berth_file_writer *w, const char *path) BERTH_CHECKED;
berth_status berth_file_write(struct berth_file_writer *w, const void *data, size_t size) BERTH_CHECKED;
berth_status berth_file_commit(struct berth_file_writer *w) BERTH_CHECKED;
void berth_file_abort(struct berth_file_writer *w);
/* Begin, write, commit in one call. */
berth_status berth_file_put(const char *path, const void *data, size_t size) BERTH_CHECKED;
/* Flushes and renames a file that somebody else (a library) wrote to tmp_path; removes it on failure. */
berth_status berth_file_publish(const char *tmp_path, const char *path) BERTH_CHECKED;
/* "PATH.tmp.PID-RANDOM", RANDOM being 64 bits in hexadecimal, another at each call; owned by the caller. */
berth_status berth_file_tmp_name(char **out, const char *path) BERTH_CHECKED;
/* Creates a file of a new temporary name (never one that is there), open for `access` (O_WRONLY or O_RDWR). *out
 * and *fd are the caller's; NULL and -1 after a failure. */
berth_status berth_file_open_tmp(char **out, int *fd, const char *path, int access) BERTH_CHECKED;
/* Makes an empty folder of a new temporary name; *out is owned by the caller, NULL after a failure. */
berth_status berth_file_make_tmp_folder(char **out, const char *path) BERTH_CHECKED;

/* The whole file with a zero byte behind it; *out is owned by the caller. Directories, missing and unreadable
 * files are BERTH_E_IO with the system's reason. */
berth_status berth_file_read(char **out, size_t *out_size, const char *path) BERTH_CHECKED;

/* A read-only map of a whole file; an empty file maps to data = NULL, size = 0. */
struct berth_file_map {
    const unsigned char *data;
    size_t size;
};
berth_status berth_file_map(struct berth_file_map *out, const char *path) BERTH_CHECKED;
void berth_file_unmap(struct berth_file_map *map);

bool berth_file_exists(const char *path); /* file, folder or link target */
bool berth_is_folder(const char *path);
berth_status berth_make_folders(const char *path) BERTH_CHECKED; /* like mkdir -p */
/* folder/name, or name alone when it is absolute or the folder is empty; owned by the caller. */
berth_status berth_path_join(char **out, const char *folder, const char *name) BERTH_CHECKED;
/* Names in a folder without "." and "..", sorted bytewise; names and array owned by the caller
 * (berth_names_free). */
berth_status berth_list_folder(char ***out, size_t *out_count, const char *folder) BERTH_CHECKED;
void berth_names_free(char **names, size_t count);
/* Removes a file, a link (not what it names) or a folder with all it holds; what is not there is no error. */
berth_status berth_remove_tree(const char *path) BERTH_CHECKED;

/* Adds bytes, or one line, at the end of a log-like file, in one write; the file is made when it is not there. */
berth_status berth_file_append(const char *path, const void *data, size_t size) BERTH_CHECKED;
berth_status berth_file_append_line(const char *path, const char *line) BERTH_CHECKED;
/* Cuts a file to a size (metrics are cut back to a checkpoint's step). */
berth_status berth_file_truncate(const char *path, int64_t size) BERTH_CHECKED;

#endif /* BERTH_FILE_H */
