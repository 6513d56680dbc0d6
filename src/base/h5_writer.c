/* h5_writer.c: writes an HDF5 file to a temporary name and puts it in its place whole.
 *
 *     create -> datasets -> close -> digest of bytes 4096..end -> user block -> fsync -> rename -> fsync of
 * folder
 *
 * Datasets are contiguous and allocated when they are made, so their bytes lie in the file as they lie in
 * memory and a reader can map them. The library keeps the structure alone; elements are written at the
 * dataset's offset by pwrite, in any order and size, with the system's own reason when that fails, and without
 * holding the library's one lock. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/h5_priv.h"
#include "berth/file.h"

struct berth_h5_writer {
    hid_t file;
    int fd;              /* of the same file: data, digest and user block go past the library */
    hid_t link_plist;    /* makes folders in names */
    hid_t dataset_plist; /* contiguous, allocated at once, never filled */
    char *path;
    char *tmp_path;
    char kind[H5_KIND_SIZE];
    int version;
};

/* Called outside h5_enter. */
static void writer_free(struct berth_h5_writer *w) {
    h5_enter();
    if (w->file >= 0) H5Fclose(w->file);
    if (w->link_plist >= 0) H5Pclose(w->link_plist);
    if (w->dataset_plist >= 0) H5Pclose(w->dataset_plist);
    h5_leave();
    if (w->tmp_path != NULL && w->fd >= 0) unlink(w->tmp_path);
    if (w->fd >= 0) close(w->fd);
    free(w->tmp_path);
    free(w->path);
    free(w);
}

static berth_status make_properties(struct berth_h5_writer *w) {
    w->link_plist = H5Pcreate(H5P_LINK_CREATE);
    w->dataset_plist = H5Pcreate(H5P_DATASET_CREATE);
    if (w->link_plist < 0 || w->dataset_plist < 0 || H5Pset_create_intermediate_group(w->link_plist, 1) < 0 ||
        H5Pset_layout(w->dataset_plist, H5D_CONTIGUOUS) < 0 ||
        H5Pset_alloc_time(w->dataset_plist, H5D_ALLOC_TIME_EARLY) < 0 ||
        H5Pset_fill_time(w->dataset_plist, H5D_FILL_TIME_NEVER) < 0 ||
        H5Pset_obj_track_times(w->dataset_plist, false) < 0) /* equal content, equal bytes */
        BERTH_FAIL(BERTH_E_IO, "%s: HDF5 properties: %s", w->path, h5_reason());
    return BERTH_OK;
}

static berth_status open_in_library(struct berth_h5_writer *w) {
    berth_status status = BERTH_OK;
    hid_t creation = H5I_INVALID_HID, access_list = H5I_INVALID_HID;
    BERTH_TRY_OUT(make_properties(w));
    creation = H5Pcreate(H5P_FILE_CREATE);
    access_list = h5_access();
    if (creation < 0 || access_list < 0 || H5Pset_userblock(creation, H5_BLOCK_SIZE) < 0)
        BERTH_FAIL_OUT(BERTH_E_IO, "%s: HDF5 properties: %s", w->path, h5_reason());
    w->file = H5Fcreate(w->tmp_path, H5F_ACC_TRUNC, creation, access_list);
    if (w->file < 0) BERTH_FAIL_OUT(BERTH_E_IO, "%s: cannot be created: %s", w->path, h5_reason());
out:
    if (creation >= 0) H5Pclose(creation);
    if (access_list >= 0) H5Pclose(access_list);
    return status;
}

berth_status berth_h5_create(struct berth_h5_writer **out, const char *path, const char *kind, int version) {
    berth_status status = BERTH_OK;
    struct berth_h5_writer *w = NULL;
    BERTH_ASSERT_MSG(strlen(kind) < H5_KIND_SIZE && version >= 0, "kind '%s', version %d", kind, version);
    BERTH_TRY(berth_calloc(&w, 1, sizeof *w));
    w->file = w->link_plist = w->dataset_plist = H5I_INVALID_HID;
    w->fd = -1;
    memcpy(w->kind, kind, strlen(kind));
    w->version = version;
    BERTH_TRY_OUT(berth_strdup(&w->path, path));
    BERTH_TRY_OUT(berth_file_open_tmp(&w->tmp_path, &w->fd, path, O_RDWR)); /* the library opens our own file */
    h5_enter();
    status = open_in_library(w);
    h5_leave();
    BERTH_TRY_OUT(status);
    *out = w;
    w = NULL;
out:
    if (w != NULL) writer_free(w);
    return status;
}

/* Makes a dataset; *offset is where its elements lie in the file, the user block included, HADDR_UNDEF when it
 * has none. Called between h5_enter and h5_leave. */
static berth_status make_dataset(struct berth_h5_writer *w, const char *name, hid_t type, int rank,
                                 const int64_t *dims, haddr_t *offset) {
    hsize_t sizes[H5_MAX_RANK] = {0};
    BERTH_ASSERT_MSG(rank >= 0 && rank <= H5_MAX_RANK, "%s: rank %d", name, rank);
    for (int i = 0; i < rank; i++) {
        BERTH_ASSERT_MSG(dims[i] >= 0, "%s: dimension %d is %lld", name, i, (long long)dims[i]);
        sizes[i] = (hsize_t)dims[i];
    }
    hid_t space = rank == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(rank, sizes, NULL);
    hid_t dataset = H5I_INVALID_HID;
    if (space >= 0)
        dataset = H5Dcreate2(w->file, name, type, space, w->link_plist, w->dataset_plist, H5P_DEFAULT);
    berth_status status = BERTH_OK;
    if (dataset < 0)
        status = berth_error_set(BERTH_E_IO, __FILE__, __LINE__, "%s: dataset '%s' cannot be made: %s", w->path,
                                 name, h5_reason());
    *offset = HADDR_UNDEF;
    if (dataset >= 0) {
        *offset = H5Dget_offset(dataset);
        H5Dclose(dataset);
    }
    if (space >= 0) H5Sclose(space);
    return status;
}

berth_status berth_h5_begin(struct berth_h5_writer *w, const char *name, enum berth_h5_type type, int rank,
                            const int64_t *dims) {
    haddr_t offset = HADDR_UNDEF;
    h5_enter();
    berth_status status = make_dataset(w, name, h5_file_type(type), rank, dims, &offset);
    h5_leave();
    return status;
}

/* Writes `bytes` bytes `skip` bytes behind a dataset's begin; past the library, so outside h5_enter. */
static berth_status write_elements(struct berth_h5_writer *w, const char *name, haddr_t offset, size_t skip,
                                   size_t bytes, const void *data) {
    if (bytes == 0) return BERTH_OK;
    if (offset == HADDR_UNDEF)
        BERTH_FAIL(BERTH_E_IO, "%s: dataset '%s' has no place in the file", w->path, name);
    const char *p = data;
    off_t at = (off_t)offset + (off_t)skip;
    while (bytes > 0) {
        ssize_t n = pwrite(w->fd, p, bytes < ((size_t)1 << 30) ? bytes : ((size_t)1 << 30), at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            BERTH_FAIL(BERTH_E_IO, "%s: dataset '%s' cannot be written: %s", w->path, name,
                       strerror(n < 0 ? errno : ENOSPC));
        p += n;
        bytes -= (size_t)n;
        at += n;
    }
    return BERTH_OK;
}

/* Place, element size and number of elements of a dataset that was begun; between h5_enter and h5_leave. */
static berth_status find_dataset(struct berth_h5_writer *w, const char *name, haddr_t *offset,
                                 size_t *type_size, int64_t *total) {
    berth_status status = BERTH_OK;
    hid_t type = H5I_INVALID_HID, space = H5I_INVALID_HID;
    hid_t dataset = H5Dopen2(w->file, name, H5P_DEFAULT);
    if (dataset >= 0) {
        type = H5Dget_type(dataset);
        space = H5Dget_space(dataset);
    }
    if (dataset < 0 || type < 0 || space < 0)
        BERTH_FAIL_OUT(BERTH_E_IO, "%s: dataset '%s' cannot be opened: %s", w->path, name, h5_reason());
    *offset = H5Dget_offset(dataset);
    *type_size = H5Tget_size(type);
    *total = (int64_t)H5Sget_simple_extent_npoints(space);
out:
    if (type >= 0) H5Tclose(type);
    if (space >= 0) H5Sclose(space);
    if (dataset >= 0) H5Dclose(dataset);
    return status;
}

berth_status berth_h5_part(struct berth_h5_writer *w, const char *name, int64_t first, int64_t count,
                           const void *data) {
    haddr_t offset = HADDR_UNDEF;
    size_t type_size = 0;
    int64_t total = 0;
    h5_enter();
    berth_status status = find_dataset(w, name, &offset, &type_size, &total);
    h5_leave();
    BERTH_TRY(status);
    BERTH_ASSERT_MSG(first >= 0 && count >= 0 && first <= total && count <= total - first,
                     "%s: %lld elements from %lld of %lld", name, (long long)count, (long long)first,
                     (long long)total);
    return write_elements(w, name, offset, (size_t)first * type_size, (size_t)count * type_size, data);
}

berth_status berth_h5_put(struct berth_h5_writer *w, const char *name, enum berth_h5_type type, int rank,
                          const int64_t *dims, const void *data) {
    haddr_t offset = HADDR_UNDEF;
    int64_t count = 1;
    h5_enter();
    berth_status status = make_dataset(w, name, h5_file_type(type), rank, dims, &offset);
    h5_leave();
    BERTH_TRY(status);
    for (int i = 0; i < rank; i++)
        count *= dims[i];
    return write_elements(w, name, offset, 0, (size_t)count * berth_h5_type_size(type), data);
}

/* A text is a scalar of HDF5's string type, ended by a zero byte: readable in any HDF5 tool. */
berth_status berth_h5_put_text(struct berth_h5_writer *w, const char *name, const char *text) {
    berth_status status = BERTH_OK;
    size_t size = strlen(text) + 1;
    haddr_t offset = HADDR_UNDEF;
    h5_enter();
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type < 0 || H5Tset_size(type, size) < 0 || H5Tset_strpad(type, H5T_STR_NULLTERM) < 0 ||
        H5Tset_cset(type, H5T_CSET_UTF8) < 0)
        status = berth_error_set(BERTH_E_IO, __FILE__, __LINE__, "%s: text '%s' cannot be made: %s", w->path,
                                 name, h5_reason());
    if (status == BERTH_OK) status = make_dataset(w, name, type, 0, NULL, &offset);
    if (type >= 0) H5Tclose(type);
    h5_leave();
    return status == BERTH_OK ? write_elements(w, name, offset, 0, size, text) : status;
}

/* Digest and size of what lies behind the user block. */
static berth_status digest_rest(struct berth_h5_writer *w, struct berth_hash128 *out_hash, uint64_t *out_size) {
    berth_status status = BERTH_OK;
    enum { PIECE = 1 << 20 };
    unsigned char *piece = NULL;
    struct berth_hasher *hasher = NULL;
    off_t at = H5_BLOCK_SIZE;
    BERTH_TRY_OUT(berth_calloc(&piece, PIECE, 1));
    BERTH_TRY_OUT(berth_hasher_create(&hasher));
    for (;;) {
        ssize_t n = pread(w->fd, piece, PIECE, at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) BERTH_FAIL_OUT(BERTH_E_IO, "%s: cannot be read back: %s", w->path, strerror(errno));
        if (n == 0) break;
        berth_hasher_add(hasher, piece, (size_t)n);
        at += n;
    }
    *out_size = (uint64_t)(at - H5_BLOCK_SIZE);
out:
    if (hasher != NULL) {
        struct berth_hash128 hash = berth_hasher_end(hasher);
        if (status == BERTH_OK) *out_hash = hash;
    }
    free(piece);
    return status;
}

static berth_status write_block(struct berth_h5_writer *w) {
    struct h5_block block = {.block_version = H5_BLOCK_VERSION, .version = (uint32_t)w->version};
    struct berth_hash128 hash = {0};
    BERTH_TRY(digest_rest(w, &hash, &block.rest_size));
    memcpy(block.magic, H5_BLOCK_MAGIC, sizeof block.magic);
    memcpy(block.kind, w->kind, sizeof block.kind);
    block.rest_hash[0] = hash.low;
    block.rest_hash[1] = hash.high;
    hash = h5_block_digest(&block);
    block.block_hash[0] = hash.low;
    block.block_hash[1] = hash.high;
    ssize_t n = pwrite(w->fd, &block, sizeof block, 0);
    if (n != (ssize_t)sizeof block)
        BERTH_FAIL(BERTH_E_IO, "%s: cannot be written: %s", w->path, strerror(n < 0 ? errno : ENOSPC));
    return BERTH_OK;
}

berth_status berth_h5_commit(struct berth_h5_writer **inout) {
    berth_status status = BERTH_OK;
    struct berth_h5_writer *w = *inout;
    *inout = NULL;
    h5_enter();
    if (H5Fflush(w->file, H5F_SCOPE_GLOBAL) < 0) /* its reason, before closing adds its own */
        status =
            berth_error_set(BERTH_E_IO, __FILE__, __LINE__, "%s: cannot be written: %s", w->path, h5_reason());
    if (H5Fclose(w->file) < 0 && status == BERTH_OK)
        status =
            berth_error_set(BERTH_E_IO, __FILE__, __LINE__, "%s: cannot be closed: %s", w->path, h5_reason());
    w->file = H5I_INVALID_HID;
    h5_leave();
    BERTH_TRY_OUT(status);
    BERTH_TRY_OUT(write_block(w));
    BERTH_TRY_OUT(berth_file_publish(w->tmp_path, w->path));
    free(w->tmp_path); /* nothing is left to remove */
    w->tmp_path = NULL;
out:
    writer_free(w);
    return status;
}

void berth_h5_abort(struct berth_h5_writer **w) {
    if (w == NULL || *w == NULL) return;
    writer_free(*w);
    *w = NULL;
}
