/* h5_reader.c: opens an HDF5 file of berth's: checks first, asks the library for offsets once, then maps.
 *
 *     map -> magic, sizes, digests -> H5Fopen, one walk over the links, H5Fclose -> views into the map
 *
 * The library sees a file only after its digest was right: damaged metadata can make it return wrong data
 * without an error, or loop. What the library then says is still checked against the size of the map. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/h5_priv.h"
#include "berth/file.h"

struct berth_h5 {
    struct berth_file_map map;
    struct berth_arena arena; /* names */
    char *path;
    struct h5_block block;
    struct berth_h5_dataset *datasets; /* sorted by name */
    size_t count;
    size_t capacity;
    berth_status status; /* of the walk: the library hands on only "failed" */
};

static bool hash_equals(struct berth_hash128 hash, const uint64_t words[2]) {
    return hash.low == words[0] && hash.high == words[1];
}

/* Everything that can be said without the library. */
static berth_status check_block(struct berth_h5 *f, const char *kind, int max_version) {
    struct h5_block *block = &f->block;
    if (f->map.size < sizeof *block)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: truncated: %zu bytes, a berth HDF5 file has at least %zu", f->path,
                   f->map.size, sizeof *block);
    memcpy(block, f->map.data, sizeof *block);
    if (memcmp(block->magic, H5_BLOCK_MAGIC, sizeof block->magic) != 0)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: not a berth HDF5 file: it does not begin with BERTHH5", f->path);
    if (!hash_equals(h5_block_digest(block), block->block_hash))
        BERTH_FAIL(BERTH_E_FORMAT, "%s: damaged: the digest of its first 4096 bytes is wrong", f->path);
    if (block->block_version != H5_BLOCK_VERSION)
        BERTH_FAIL(BERTH_E_VERSION,
                   "%s: written by a newer berth: block version %" PRIu32 ", this one reads %d", f->path,
                   block->block_version, H5_BLOCK_VERSION);
    if (block->kind[H5_KIND_SIZE - 1] != '\0')
        BERTH_FAIL(BERTH_E_FORMAT, "%s: the kind is not a text", f->path);
    if (kind != NULL && strcmp(kind, block->kind) != 0)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: holds '%s', expected '%s'", f->path, block->kind, kind);
    if (max_version < 0 || block->version > (uint32_t)max_version)
        BERTH_FAIL(BERTH_E_VERSION,
                   "%s: written by a newer berth: version %" PRIu32 " of '%s', this one reads up to %d",
                   f->path, block->version, block->kind, max_version);
    size_t rest = f->map.size - sizeof *block;
    if (rest != block->rest_size)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: %s: %zu bytes behind the first block, expected %" PRIu64, f->path,
                   rest < block->rest_size ? "truncated" : "too long", rest, block->rest_size);
    if (!hash_equals(berth_hash(f->map.data + sizeof *block, rest), block->rest_hash))
        BERTH_FAIL(BERTH_E_FORMAT, "%s: damaged: the digest of its contents is wrong", f->path);
    return BERTH_OK;
}

/* Our type for the file's; texts are U8 with is_text. */
static bool find_type(hid_t type, struct berth_h5_dataset *d) {
    for (int t = BERTH_H5_F32; t <= BERTH_H5_F64; t++) {
        if (H5Tequal(type, h5_file_type((enum berth_h5_type)t)) <= 0) continue;
        d->type = (enum berth_h5_type)t;
        return true;
    }
    d->type = BERTH_H5_U8;
    d->is_text = H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0;
    return d->is_text;
}

/* Shape and number of elements; false when the numbers do not fit. */
static bool find_shape(hid_t space, size_t type_size, struct berth_h5_dataset *d) {
    hsize_t dims[H5S_MAX_RANK];
    if (H5Sis_simple(space) <= 0) return false;
    d->rank = H5Sget_simple_extent_ndims(space);
    if (d->rank < 0 || d->rank > H5_MAX_RANK || H5Sget_simple_extent_dims(space, dims, NULL) < 0) return false;
    d->count = 1;
    for (int i = 0; i < d->rank; i++) {
        if (dims[i] > INT64_MAX) return false;
        d->dims[i] = (int64_t)dims[i];
        if (__builtin_mul_overflow(d->count, d->dims[i], &d->count)) return false;
    }
    int64_t bytes = 0;
    return !__builtin_mul_overflow(d->count, (int64_t)type_size, &bytes);
}

/* Places a dataset in the map. `offset` counts from the start of the file, the user block included. */
static berth_status place(struct berth_h5 *f, struct berth_h5_dataset *d, hid_t dataset, size_t type_size) {
    static const char nothing[8];
    size_t bytes = (size_t)d->count * type_size;
    haddr_t offset = H5Dget_offset(dataset);
    if (bytes == 0) {
        d->data = nothing;
    } else if (offset == HADDR_UNDEF || offset < H5_BLOCK_SIZE || offset > f->map.size ||
               bytes > f->map.size - offset || offset % berth_h5_type_size(d->type) != 0) {
        BERTH_FAIL(BERTH_E_FORMAT, "%s: dataset '%s' of %zu bytes does not lie within the file", f->path,
                   d->name, bytes);
    } else {
        d->data = f->map.data + offset;
    }
    if (!d->is_text) return BERTH_OK;
    if (d->rank != 0 || bytes == 0 || memchr(d->data, 0, bytes) != (const char *)d->data + bytes - 1)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: text '%s' does not end in its only zero byte", f->path, d->name);
    d->rank = 1;
    d->count = d->dims[0] = (int64_t)bytes - 1;
    return BERTH_OK;
}

static berth_status read_dataset(struct berth_h5 *f, hid_t dataset, const char *name) {
    berth_status status = BERTH_OK;
    struct berth_h5_dataset d = {0};
    char *held = NULL;
    hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    hid_t plist = H5Dget_create_plist(dataset);
    BERTH_TRY_OUT(berth_arena_strndup(&f->arena, &held, name, strlen(name)));
    d.name = held;
    if (type < 0 || space < 0 || plist < 0)
        BERTH_FAIL_OUT(BERTH_E_FORMAT, "%s: dataset '%s': %s", f->path, name, h5_reason());
    if (H5Pget_layout(plist) != H5D_CONTIGUOUS || H5Pget_nfilters(plist) != 0 ||
        H5Pget_external_count(plist) != 0)
        BERTH_FAIL_OUT(BERTH_E_FORMAT, "%s: dataset '%s' is not one run of bytes in the file", f->path, name);
    if (!find_type(type, &d))
        BERTH_FAIL_OUT(BERTH_E_FORMAT, "%s: dataset '%s' has a type that berth does not write", f->path, name);
    if (!find_shape(space, H5Tget_size(type), &d))
        BERTH_FAIL_OUT(BERTH_E_FORMAT, "%s: dataset '%s' has a shape that berth does not write", f->path, name);
    BERTH_TRY_OUT(place(f, &d, dataset, H5Tget_size(type)));
    BERTH_TRY_OUT(berth_grow(&f->datasets, &f->capacity, f->count + 1, sizeof *f->datasets));
    f->datasets[f->count++] = d;
out:
    if (type >= 0) H5Tclose(type);
    if (space >= 0) H5Sclose(space);
    if (plist >= 0) H5Pclose(plist);
    return status;
}

static berth_status read_link(struct berth_h5 *f, hid_t group, const char *name, H5L_type_t link) {
    if (link != H5L_TYPE_HARD)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: '%s' is a link to somewhere else", f->path, name);
    hid_t object = H5Oopen(group, name, H5P_DEFAULT);
    if (object < 0) BERTH_FAIL(BERTH_E_FORMAT, "%s: '%s' cannot be opened: %s", f->path, name, h5_reason());
    berth_status status = BERTH_OK;
    if (H5Iget_type(object) == H5I_DATASET) status = read_dataset(f, object, name);
    H5Oclose(object);
    return status;
}

static herr_t visit(hid_t group, const char *name, const H5L_info_t *info, void *user) {
    struct berth_h5 *f = user;
    f->status = read_link(f, group, name, info->type);
    return f->status == BERTH_OK ? 0 : 1; /* 1 ends the walk without an error of the library */
}

static int compare_datasets(const void *a, const void *b) {
    return strcmp(((const struct berth_h5_dataset *)a)->name, ((const struct berth_h5_dataset *)b)->name);
}

static berth_status read_structure(struct berth_h5 *f) {
    berth_status status = BERTH_OK;
    hid_t file = H5I_INVALID_HID, access_list = H5I_INVALID_HID;
    h5_enter();
    access_list = h5_access();
    if (access_list >= 0) file = H5Fopen(f->path, H5F_ACC_RDONLY, access_list);
    if (file < 0) BERTH_FAIL_OUT(BERTH_E_FORMAT, "%s: cannot be read as HDF5: %s", f->path, h5_reason());
    if (H5Lvisit(file, H5_INDEX_NAME, H5_ITER_INC, visit, f) < 0)
        BERTH_FAIL_OUT(BERTH_E_FORMAT, "%s: cannot be read as HDF5: %s", f->path, h5_reason());
    BERTH_TRY_OUT(f->status);
    if (f->count > 0) qsort(f->datasets, f->count, sizeof *f->datasets, compare_datasets);
out:
    if (file >= 0) H5Fclose(file);
    if (access_list >= 0) H5Pclose(access_list);
    h5_leave();
    return status;
}

berth_status berth_h5_open(struct berth_h5 **out, const char *path, const char *kind, int max_version) {
    berth_status status = BERTH_OK;
    struct berth_h5 *f = NULL;
    BERTH_TRY(berth_calloc(&f, 1, sizeof *f));
    berth_arena_init(&f->arena);
    BERTH_TRY_OUT(berth_strdup(&f->path, path));
    BERTH_TRY_OUT(berth_file_map(&f->map, path));
    BERTH_TRY_OUT(check_block(f, kind, max_version));
    BERTH_TRY_OUT(read_structure(f));
    *out = f;
    f = NULL;
out:
    berth_h5_close(f);
    return status;
}

void berth_h5_close(struct berth_h5 *f) {
    if (f == NULL) return;
    berth_file_unmap(&f->map);
    berth_arena_deinit(&f->arena);
    free(f->datasets);
    free(f->path);
    free(f);
}

const char *berth_h5_kind(const struct berth_h5 *f) {
    return f->block.kind;
}

struct berth_hash128 berth_h5_digest(const struct berth_h5 *f) {
    return (struct berth_hash128){.low = f->block.rest_hash[0], .high = f->block.rest_hash[1]};
}

int berth_h5_version(const struct berth_h5 *f) {
    return (int)f->block.version;
}

size_t berth_h5_dataset_count(const struct berth_h5 *f) {
    return f->count;
}

const struct berth_h5_dataset *berth_h5_dataset(const struct berth_h5 *f, size_t index) {
    BERTH_ASSERT(index < f->count);
    return &f->datasets[index];
}

const struct berth_h5_dataset *berth_h5_find(const struct berth_h5 *f, const char *name) {
    const struct berth_h5_dataset wanted = {.name = name};
    if (f->count == 0) return NULL;
    return bsearch(&wanted, f->datasets, f->count, sizeof *f->datasets, compare_datasets);
}

static const char *type_name(enum berth_h5_type type) {
    static const char *const names[] = {"float32", "int32", "int64", "uint8", "uint16", "float64"};
    return names[type];
}

berth_status berth_h5_view(const struct berth_h5 *f, const char *name, enum berth_h5_type type,
                           const void *out_pointer, int64_t *out_count) {
    const struct berth_h5_dataset *d = berth_h5_find(f, name);
    if (d == NULL) BERTH_FAIL(BERTH_E_FORMAT, "%s: the dataset '%s' is missing", f->path, name);
    if (d->type != type || d->is_text)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: dataset '%s' holds %s, expected %s", f->path, name,
                   d->is_text ? "a text" : type_name(d->type), type_name(type));
    memcpy((void *)(uintptr_t)out_pointer, &d->data, sizeof d->data);
    if (out_count != NULL) *out_count = d->count;
    return BERTH_OK;
}

berth_status berth_h5_text(const struct berth_h5 *f, const char *name, const char **out) {
    const struct berth_h5_dataset *d = berth_h5_find(f, name);
    if (d == NULL) BERTH_FAIL(BERTH_E_FORMAT, "%s: the text '%s' is missing", f->path, name);
    if (!d->is_text) BERTH_FAIL(BERTH_E_FORMAT, "%s: dataset '%s' is not a text", f->path, name);
    *out = d->data;
    return BERTH_OK;
}
