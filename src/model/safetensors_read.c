/* safetensors_read.c: safetensors files, believed only after every claim was checked.
 *
 *     8 bytes: header length N, little-endian | N bytes: JSON | the tensors' bytes
 *
 * N is at most 100 MB and lies within the file; every dtype is known; a tensor's shape takes exactly the bytes
 * of its range; ranges lie one after the other from 0 to the end of the file without holes or overlaps; no name
 * comes twice. The file is mapped: opening costs the header alone. */
#include <stdlib.h>
#include <string.h>

#include "berth/bf16.h"
#include "berth/file.h"
#include "model/model_priv.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "safetensors are little-endian, and so is this reader"
#endif

#define HEADER_MOST 100000000u

struct berth_safetensors {
    struct berth_file_map map;
    struct header_tensors header;           /* owns the names */
    struct berth_safetensor *tensors;       /* [count] in the order of the bytes */
    const struct berth_safetensor **sorted; /* [count] by name */
    size_t count;
};

static const struct {
    const char *name;
    unsigned bytes;
} DTYPES[] = {{"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1},
              {"I16", 2},  {"U16", 2}, {"F16", 2}, {"BF16", 2},    {"I32", 4},
              {"U32", 4},  {"F32", 4}, {"F64", 8}, {"I64", 8},     {"U64", 8}};

static int compare_ranges(const void *a, const void *b) {
    const struct header_tensor *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end) return x->end < y->end ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int compare_names(const void *a, const void *b) {
    return strcmp((*(const struct berth_safetensor *const *)a)->name,
                  (*(const struct berth_safetensor *const *)b)->name);
}

/* Elements and bytes of a shape. */
static berth_status measure(const char *path, const struct header_tensor *t, int64_t *count, uint64_t *bytes) {
    unsigned size = 0;
    for (size_t i = 0; i < sizeof DTYPES / sizeof DTYPES[0]; i++) {
        if (strcmp(DTYPES[i].name, t->dtype) == 0) size = DTYPES[i].bytes;
    }
    if (size == 0) BERTH_FAIL(BERTH_E_FORMAT, "%s: tensor '%s': unknown dtype '%s'", path, t->name, t->dtype);
    uint64_t product = 1;
    for (int i = 0; i < t->rank; i++) {
        if (__builtin_mul_overflow(product, (uint64_t)t->shape[i], &product))
            BERTH_FAIL(BERTH_E_FORMAT, "%s: tensor '%s': its shape has more than 2^64 elements", path, t->name);
    }
    if (__builtin_mul_overflow(product, (uint64_t)size, bytes) || product > INT64_MAX)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: tensor '%s': its shape takes more than 2^64 bytes", path, t->name);
    *count = (int64_t)product;
    return BERTH_OK;
}

/* Walks the ranges in the order of their bytes. */
static berth_status check_ranges(struct berth_safetensors *f, const char *path, const unsigned char *data,
                                 uint64_t size) {
    uint64_t next = 0;
    for (size_t i = 0; i < f->count; i++) {
        const struct header_tensor *t = &f->header.list[i];
        struct berth_safetensor *out = &f->tensors[i];
        uint64_t bytes = 0;
        BERTH_TRY(measure(path, t, &out->count, &bytes));
        if (t->end < t->begin || t->end > size)
            BERTH_FAIL(BERTH_E_FORMAT,
                       "%s: tensor '%s': bytes %llu to %llu, but the file has %llu bytes of tensors%s", path,
                       t->name, (unsigned long long)t->begin, (unsigned long long)t->end,
                       (unsigned long long)size, t->end > size ? " (was it cut short?)" : "");
        if (t->end - t->begin != bytes)
            BERTH_FAIL(BERTH_E_FORMAT, "%s: tensor '%s': its shape takes %llu bytes, its range has %llu", path,
                       t->name, (unsigned long long)bytes, (unsigned long long)(t->end - t->begin));
        if (t->begin != next)
            BERTH_FAIL(BERTH_E_FORMAT, "%s: tensor '%s' begins at byte %llu, the one before ends at %llu: %s",
                       path, t->name, (unsigned long long)t->begin, (unsigned long long)next,
                       t->begin < next ? "they overlap" : "a hole");
        next = t->end;
        out->name = t->name;
        out->dtype = t->dtype;
        out->rank = t->rank;
        memcpy(out->shape, t->shape, sizeof out->shape);
        out->data = data + t->begin;
        out->bytes = (size_t)bytes;
        f->sorted[i] = out;
    }
    if (next != size)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: the tensors end at byte %llu, the file has %llu bytes of tensors", path,
                   (unsigned long long)next, (unsigned long long)size);
    return BERTH_OK;
}

static berth_status check_names(const struct berth_safetensors *f, const char *path) {
    for (size_t i = 1; i < f->count; i++) {
        if (strcmp(f->sorted[i - 1]->name, f->sorted[i]->name) == 0)
            BERTH_FAIL(BERTH_E_FORMAT, "%s: tensor '%s' twice", path, f->sorted[i]->name);
    }
    return BERTH_OK;
}

static berth_status read_header(struct berth_safetensors *f, const char *path) {
    uint64_t length = 0;
    if (f->map.size < sizeof length)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: %zu bytes, expected a safetensors file", path, f->map.size);
    memcpy(&length, f->map.data, sizeof length);
    if (length > HEADER_MOST)
        BERTH_FAIL(BERTH_E_FORMAT,
                   "%s: a header of %llu bytes is claimed, at most %u are allowed: not a safetensors file",
                   path, (unsigned long long)length, HEADER_MOST);
    if (length > f->map.size - sizeof length)
        BERTH_FAIL(BERTH_E_FORMAT,
                   "%s: a header of %llu bytes is claimed, but only %zu follow: the file was cut short", path,
                   (unsigned long long)length, f->map.size - sizeof length);
    const char *text = (const char *)f->map.data + sizeof length;
    BERTH_TRY(safetensors_header_parse(&f->header, path, text, (size_t)length));
    f->count = f->header.count;
    BERTH_TRY(berth_calloc(&f->tensors, f->count, sizeof *f->tensors));
    BERTH_TRY(berth_calloc(&f->sorted, f->count, sizeof *f->sorted));
    if (f->count > 0) qsort(f->header.list, f->count, sizeof *f->header.list, compare_ranges);
    BERTH_TRY(
        check_ranges(f, path, f->map.data + sizeof length + length, f->map.size - sizeof length - length));
    if (f->count > 0) qsort(f->sorted, f->count, sizeof *f->sorted, compare_names);
    return check_names(f, path);
}

berth_status berth_safetensors_open(struct berth_safetensors **out, const char *path) {
    berth_status status = BERTH_OK;
    struct berth_safetensors *f = NULL;
    BERTH_TRY_OUT(berth_calloc(&f, 1, sizeof *f));
    BERTH_TRY_OUT(berth_file_map(&f->map, path));
    BERTH_TRY_OUT(read_header(f, path));
    *out = f;
    f = NULL;
out:
    berth_safetensors_close(f);
    return status;
}

void berth_safetensors_close(struct berth_safetensors *f) {
    if (f == NULL) return;
    berth_file_unmap(&f->map);
    header_tensors_deinit(&f->header);
    free(f->tensors);
    free(f->sorted);
    free(f);
}

size_t berth_safetensors_count(const struct berth_safetensors *f) {
    return f->count;
}

const struct berth_safetensor *berth_safetensors_at(const struct berth_safetensors *f, size_t index) {
    BERTH_ASSERT_MSG(index < f->count, "tensor %zu of %zu", index, f->count);
    return &f->tensors[index];
}

const struct berth_safetensor *berth_safetensors_find(const struct berth_safetensors *f, const char *name) {
    const struct berth_safetensor wanted = {.name = name}, *key = &wanted;
    if (f->count == 0) return NULL;
    const struct berth_safetensor **found =
        bsearch(&key, f->sorted, f->count, sizeof *f->sorted, compare_names);
    return found == NULL ? NULL : *found;
}

/* IEEE half precision: 1 sign, 5 exponent (bias 15), 10 fraction bits. Exact in single precision. */
static float half_to_float(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = h >> 10 & 31u, fraction = h & 1023u, bits = 0;
    float value = 0.0f;
    if (exponent == 0) { /* zero or subnormal: fraction * 2^-24 */
        value = (float)fraction * 0x1p-24f;
        return sign != 0 ? -value : value;
    }
    bits = sign | (exponent == 31 ? 255u : exponent + 112u) << 23 | fraction << 13;
    memcpy(&value, &bits, sizeof value);
    return value;
}

void tensor_to_float(float *to, const struct berth_safetensor *t, int64_t first, int64_t count) {
    const unsigned char *from = t->data; /* may lie at any address */
    if (strcmp(t->dtype, "F32") == 0) {
        memcpy(to, from + first * 4, (size_t)count * 4);
        return;
    }
    const bool half = strcmp(t->dtype, "F16") == 0;
    BERTH_ASSERT_MSG(half || strcmp(t->dtype, "BF16") == 0, "tensor '%s' of type %s", t->name, t->dtype);
    for (int64_t i = 0; i < count; i++) {
        uint16_t word = 0;
        memcpy(&word, from + (first + i) * 2, sizeof word);
        to[i] = half ? half_to_float(word) : berth_float_of_bf16(word);
    }
}
