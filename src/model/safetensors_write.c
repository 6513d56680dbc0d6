/* safetensors_write.c: float tensors into a safetensors file, whole or not at all, as F32, F16 or BF16. The
 * header is padded with spaces so that the tensors begin at a multiple of 8; __metadata__ says "pt", without
 * which the reference library refuses to read the file. */
#include <math.h>
#include <string.h>

#include "berth/bf16.h"
#include "berth/file.h"
#include "model/model_priv.h"

static berth_status make_header(struct berth_str *s, const struct berth_safetensor_out *tensors, size_t count) {
    static const char *const NAMES[] = {"F32", "F16", "BF16"};
    uint64_t offset = 0;
    berth_str_add(s, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (size_t i = 0; i < count; i++) {
        uint64_t bytes = tensors[i].dtype == BERTH_WEIGHTS_F32 ? 4 : 2;
        berth_str_add(s, ",");
        berth_str_add_json(s, tensors[i].name);
        berth_str_addf(s, ":{\"dtype\":\"%s\",\"shape\":[", NAMES[tensors[i].dtype]);
        for (int d = 0; d < tensors[i].rank; d++) {
            berth_str_addf(s, "%s%lld", d == 0 ? "" : ",", (long long)tensors[i].shape[d]);
            bytes *= (uint64_t)tensors[i].shape[d];
        }
        berth_str_addf(s, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)offset,
                       (unsigned long long)(offset + bytes));
        offset += bytes;
    }
    berth_str_add(s, "}");
    while (s->length % 8 != 0 && !s->failed)
        berth_str_add(s, " ");
    if (s->failed) BERTH_FAIL(BERTH_E_MEMORY, "out of memory: the header of a safetensors file");
    return BERTH_OK;
}

/* IEEE half precision, rounded to nearest, ties to even: 10 bits of fraction, subnormal below 2^-14. */
static uint16_t to_half(float value) {
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) return (uint16_t)(sign | 0x7E00u);
    if (magnitude >= 0x47800000u) return (uint16_t)(sign | 0x7C00u); /* 2^16 and above */
    if (magnitude < 0x38800000u) {                                   /* below 2^-14: a multiple of 2^-24 */
        memcpy(&value, &magnitude, sizeof value);
        return (uint16_t)(sign | (uint32_t)nearbyintf(value * 0x1p24f));
    }
    const uint32_t rebased = magnitude - 0x38000000u; /* exponents 112 less */
    return (uint16_t)(sign | (rebased + 0xFFFu + (rebased >> 13 & 1u)) >> 13);
}

static berth_status write_values(struct berth_file_writer *w, const struct berth_safetensor_out *t,
                                 size_t count, const char *path) {
    uint16_t words[4096];
    if (t->dtype == BERTH_WEIGHTS_F32) return berth_file_write(w, t->data, count * sizeof(float));
    for (size_t first = 0; first < count; first += 4096) {
        const size_t n = count - first < 4096 ? count - first : 4096;
        for (size_t i = 0; i < n; i++) {
            const float value = t->data[first + i];
            words[i] = t->dtype == BERTH_WEIGHTS_BF16 ? berth_bf16_of_float(value) : to_half(value);
            if (t->dtype == BERTH_WEIGHTS_F16 && (words[i] & 0x7FFFu) == 0x7C00u && isfinite(value))
                BERTH_FAIL(BERTH_E_NUMERIC,
                           "%s: tensor '%s' holds %g, but F16 ends at 65504; bf16 has the range of f32", path,
                           t->name, (double)value);
        }
        BERTH_TRY(berth_file_write(w, words, n * sizeof *words));
    }
    return BERTH_OK;
}

berth_status berth_safetensors_write(const char *path, const struct berth_safetensor_out *tensors,
                                     size_t count) {
    berth_status status = BERTH_OK;
    struct berth_str header;
    struct berth_file_writer w = {.fd = -1};
    berth_str_init(&header);
    BERTH_TRY_OUT(make_header(&header, tensors, count));
    BERTH_TRY_OUT(berth_file_begin(&w, path));
    const uint64_t length = header.length; /* little-endian: safetensors_read.c refuses other machines */
    BERTH_TRY_OUT(berth_file_write(&w, &length, sizeof length));
    BERTH_TRY_OUT(berth_file_write(&w, header.data, header.length));
    for (size_t i = 0; i < count; i++) {
        size_t elements = 1;
        for (int d = 0; d < tensors[i].rank; d++)
            elements *= (size_t)tensors[i].shape[d];
        BERTH_TRY_OUT(write_values(&w, &tensors[i], elements, path));
    }
    BERTH_TRY_OUT(berth_file_commit(&w));
out:
    berth_file_abort(&w);
    berth_str_deinit(&header);
    return status;
}
