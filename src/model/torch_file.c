/* torch_file.c: pytorch_model.bin: a zip archive of a pickled dictionary and of raw storages.
 *
 *     STEM/data.pkl      which tensors there are, and where in which storage (torch_pickle.c)
 *     STEM/data/KEY      the bytes of a storage
 *     STEM/byteorder     "little"; absent in older files
 *
 * The file is mapped and its tensors are views of the map. Files from before version 1.6 of the library (no zip
 * archive) are told apart and refused. */
#include <stdlib.h>
#include <string.h>

#include "berth/file.h"
#include "model/model_priv.h"

struct berth_torch {
    struct berth_file_map map;
    struct torch_tensors read; /* owns the names */
    struct berth_safetensor *tensors;
};

/* The path in front of "data.pkl" in the archive. */
static berth_status find_stem(const struct zip_members *z, const char *path, const struct zip_member **pickle,
                              size_t *stem) {
    static const char NAME[] = "/data.pkl";
    const size_t length = sizeof NAME - 1;
    *pickle = NULL;
    for (size_t i = 0; i < z->count; i++) {
        const struct zip_member *m = &z->list[i];
        if (m->name_length <= length || memcmp(m->name + m->name_length - length, NAME, length) != 0) continue;
        if (*pickle != NULL) BERTH_FAIL(BERTH_E_FORMAT, "%s: two members named data.pkl, expected one", path);
        *pickle = m;
        *stem = m->name_length - length + 1;
    }
    if (*pickle == NULL)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: a zip archive without data.pkl: not the weights of a PyTorch model",
                   path);
    if (!(*pickle)->stored)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: data.pkl is compressed or encrypted, expected a stored member", path);
    return BERTH_OK;
}

static const struct zip_member *find_member(const struct zip_members *z, const struct zip_member *pickle,
                                            size_t stem, const char *folder, const char *name, size_t length) {
    const struct zip_member *found = NULL;
    struct berth_str full;
    berth_str_init(&full);
    berth_str_addn(&full, pickle->name, stem);
    berth_str_add(&full, folder);
    berth_str_addn(&full, name, length);
    if (!full.failed) found = zip_members_find(z, full.data, full.length);
    berth_str_deinit(&full);
    return found;
}

static berth_status place_tensor(struct berth_safetensor *out, const struct torch_tensor *t,
                                 const struct zip_member *storage, const char *path) {
    uint64_t bytes = 0;
    if (storage == NULL)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: tensor '%s': its storage '%.*s' is not in the archive", path, t->name,
                   (int)(t->storage_key_length < 40 ? t->storage_key_length : 40), t->storage_key);
    if (!storage->stored)
        BERTH_FAIL(BERTH_E_FORMAT,
                   "%s: tensor '%s': its bytes are compressed or encrypted, expected a stored member", path,
                   t->name);
    if (__builtin_mul_overflow((uint64_t)t->storage_elements, (uint64_t)t->element_bytes, &bytes) ||
        bytes != storage->size)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: tensor '%s': a storage of %lld elements of %s, but %zu bytes are there",
                   path, t->name, (long long)t->storage_elements, t->dtype, storage->size);
    if (t->count > 0 && (t->offset > t->storage_elements || t->count > t->storage_elements - t->offset))
        BERTH_FAIL(
            BERTH_E_FORMAT,
            "%s: tensor '%s': %lld elements from number %lld, but its storage has %lld (was it cut short?)",
            path, t->name, (long long)t->count, (long long)t->offset, (long long)t->storage_elements);
    if (!t->contiguous)
        BERTH_FAIL(
            BERTH_E_UNSUPPORTED,
            "%s: tensor '%s' is not stored row after row; save it again as contiguous(), or as safetensors",
            path, t->name);
    const int64_t first = t->count > 0 ? t->offset : 0;
    *out = (struct berth_safetensor){.name = t->name,
                                     .dtype = t->dtype,
                                     .rank = t->rank,
                                     .count = t->count,
                                     .data = storage->data + (size_t)first * (size_t)t->element_bytes,
                                     .bytes = (size_t)t->count * (size_t)t->element_bytes};
    memcpy(out->shape, t->shape, sizeof out->shape);
    return BERTH_OK;
}

static berth_status check_order(const struct zip_member *order, const char *path) {
    if (order == NULL || (order->stored && order->size == 6 && memcmp(order->data, "little", 6) == 0))
        return BERTH_OK;
    BERTH_FAIL(BERTH_E_UNSUPPORTED, "%s: its numbers are not little-endian; save it again on such a machine",
               path);
}

static berth_status read_archive(struct berth_torch *f, const char *path) {
    berth_status status = BERTH_OK;
    struct zip_members z = {0};
    const struct zip_member *pickle = NULL;
    size_t stem = 0;
    BERTH_TRY_OUT(zip_members_read(&z, path, f->map.data, f->map.size));
    BERTH_TRY_OUT(find_stem(&z, path, &pickle, &stem));
    BERTH_TRY_OUT(check_order(find_member(&z, pickle, stem, "byteorder", "", 0), path));
    BERTH_TRY_OUT(torch_pickle_read(&f->read, path, pickle->data, pickle->size));
    BERTH_TRY_OUT(berth_calloc(&f->tensors, f->read.count, sizeof *f->tensors));
    for (size_t i = 0; i < f->read.count; i++) {
        const struct torch_tensor *t = &f->read.list[i];
        BERTH_TRY_OUT(
            place_tensor(&f->tensors[i], t,
                         find_member(&z, pickle, stem, "data/", t->storage_key, t->storage_key_length), path));
    }
out:
    zip_members_deinit(&z);
    return status;
}

berth_status berth_torch_open(struct berth_torch **out, const char *path) {
    berth_status status = BERTH_OK;
    struct berth_torch *f = NULL;
    BERTH_TRY_OUT(berth_calloc(&f, 1, sizeof *f));
    BERTH_TRY_OUT(berth_file_map(&f->map, path));
    static const unsigned char LEGACY[] = {0x8a, 0x0a, 0x6c, 0xfc,
                                           0x9c, 0x46, 0xf9, 0x20}; /* its magic number */
    if (f->map.size > 10 && f->map.data[0] == 0x80 && memcmp(f->map.data + 2, LEGACY, sizeof LEGACY) == 0)
        BERTH_FAIL_OUT(
            BERTH_E_UNSUPPORTED,
            "%s: written in the form before PyTorch 1.6 (no zip archive); load the model there and save it "
            "again, as safetensors",
            path);
    BERTH_TRY_OUT(read_archive(f, path));
    *out = f;
    f = NULL;
out:
    berth_torch_close(f);
    return status;
}

void berth_torch_close(struct berth_torch *f) {
    if (f == NULL) return;
    torch_tensors_deinit(&f->read);
    free(f->tensors);
    berth_file_unmap(&f->map);
    free(f);
}

size_t berth_torch_count(const struct berth_torch *f) {
    return f->read.count;
}

const struct berth_safetensor *berth_torch_at(const struct berth_torch *f, size_t index) {
    BERTH_ASSERT_MSG(index < f->read.count, "tensor %zu of %zu", index, f->read.count);
    return &f->tensors[index];
}
