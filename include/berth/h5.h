/* h5.h: berth's own HDF5 files: packed data, checkpoints, caches, exported embeddings.
 *
 *     | user block, 4096 bytes                          | HDF5 file (any HDF5 tool reads it) ... |
 *     | "BERTHH5\n", version, size of rest, XXH3-128    |
 *
 * The user block is checked before the HDF5 library sees a byte: a truncated or changed file is one clear
 * error. Datasets are contiguous, without filters and aligned to 4096 bytes; the reader asks the library for
 * their offsets once, closes it, and hands out views of a memory map. A text dataset "meta" holds JSON.
 *
 *     struct berth_h5_writer *w;                         struct berth_h5 *f;
 *     berth_h5_create(&w, path);                         berth_h5_open(&f, path);
 *     berth_h5_put(w, "tokens", BERTH_H5_I32, 1, &n, t); berth_h5_view(f, "tokens", BERTH_H5_I32, &p, &n);
 *     berth_h5_put_text(w, "meta", json);                ...
 *     berth_h5_commit(&w);                               berth_h5_close(f);
 *
 * One writer is used by one thread, several writers and readers by several. A reader's views may be read by several
 * threads.
 */
#ifndef BERTH_H5_H
#define BERTH_H5_H

#include "berth/base.h"

enum berth_h5_type { BERTH_H5_F32, BERTH_H5_I32, BERTH_H5_I64, BERTH_H5_U8, BERTH_H5_U16, BERTH_H5_F64 };

struct berth_h5_writer;
struct berth_h5;

/* `kind` names the content ("pack", "checkpoint", "embeddings"), `version` its layout; both are stored. */
berth_status berth_h5_create(struct berth_h5_writer **out, const char *path, const char *kind,
                             int version) BERTH_CHECKED;
/* data[product of dims] in row-major order. Folders in the name ("labels/intent") become HDF5 groups. */
berth_status berth_h5_put(struct berth_h5_writer *w, const char *name, enum berth_h5_type type, int rank,
                          const int64_t *dims, const void *data) BERTH_CHECKED;
berth_status berth_h5_put_text(struct berth_h5_writer *w, const char *name, const char *text) BERTH_CHECKED;
/* In pieces, for data larger than memory: begin with the whole shape, then parts of the flat array in any order. */
berth_status berth_h5_begin(struct berth_h5_writer *w, const char *name, enum berth_h5_type type, int rank,
                            const int64_t *dims) BERTH_CHECKED;
berth_status berth_h5_part(struct berth_h5_writer *w, const char *name, int64_t first, int64_t count,
                           const void *data) BERTH_CHECKED;
/* Closes, writes the digest, flushes, renames. Frees *w and sets it to NULL, on failure too. */
berth_status berth_h5_commit(struct berth_h5_writer **w) BERTH_CHECKED;
/* Throws away; NULL is allowed. */
void berth_h5_abort(struct berth_h5_writer **w);

/* Opens and checks the digest of the whole file. `kind` NULL takes any kind. A file of another kind, a wrong digest or
 * a truncated file is BERTH_E_FORMAT naming the file; a whole file of a newer version, of the layout or of the user
 * block, is BERTH_E_VERSION. */
berth_status berth_h5_open(struct berth_h5 **out, const char *path, const char *kind,
                           int max_version) BERTH_CHECKED;
void berth_h5_close(struct berth_h5 *f); /* NULL is allowed */

struct berth_h5_dataset {
    const char *name; /* borrowed from the file */
    enum berth_h5_type type;
    bool is_text;
    int rank;
    int64_t dims[8];
    int64_t count; /* elements */
    const void *data;
};
const char *berth_h5_kind(const struct berth_h5 *f);
int berth_h5_version(const struct berth_h5 *f);
struct berth_hash128 berth_h5_digest(const struct berth_h5 *f); /* of all behind the user block */
size_t berth_h5_dataset_count(const struct berth_h5 *f);
const struct berth_h5_dataset *berth_h5_dataset(const struct berth_h5 *f, size_t index);
/* NULL when there is none of that name. */
const struct berth_h5_dataset *berth_h5_find(const struct berth_h5 *f, const char *name);
/* A view of a named dataset of the type; missing or of another type is BERTH_E_FORMAT. */
berth_status berth_h5_view(const struct berth_h5 *f, const char *name, enum berth_h5_type type,
                           const void *out_pointer, int64_t *out_count) BERTH_CHECKED;
/* A text dataset; borrowed, ended by a zero byte. */
berth_status berth_h5_text(const struct berth_h5 *f, const char *name, const char **out) BERTH_CHECKED;
size_t berth_h5_type_size(enum berth_h5_type type);

#endif /* BERTH_H5_H */
