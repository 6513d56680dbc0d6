/* safetensors_write.c: float tensors into a safetensors file, whole or not at all. The header is padded with
 * spaces so that the tensors begin at a multiple of 8; __metadata__ says "pt", without which the reference
 * library refuses to read the file. */
#include <string.h>

#include "berth/file.h"
#include "model/model_priv.h"

static berth_status make_header(struct berth_str *s, const struct berth_safetensor_out *tensors, size_t count) {
    uint64_t offset = 0;
    berth_str_add(s, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (size_t i = 0; i < count; i++) {
        uint64_t bytes = sizeof(float);
        berth_str_add(s, ",");
        berth_str_add_json(s, tensors[i].name);
        berth_str_add(s, ":{\"dtype\":\"F32\",\"shape\":[");
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
        BERTH_TRY_OUT(berth_file_write(&w, tensors[i].data, elements * sizeof(float)));
    }
    BERTH_TRY_OUT(berth_file_commit(&w));
out:
    berth_file_abort(&w);
    berth_str_deinit(&header);
    return status;
}
