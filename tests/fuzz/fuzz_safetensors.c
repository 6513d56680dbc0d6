/* fuzz_safetensors.c: the header of a safetensors file: refused in one line, or a list of named tensors. */
#include "fuzz/support_fuzz.h"
#include "model/model_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct header_tensors h;
    if (fuzz_answer(safetensors_header_parse(&h, "x.safetensors", (const char *)data, size)) != BERTH_OK) {
        FUZZ_CHECK(h.list == NULL && h.count == 0);
        return 0;
    }
    for (size_t i = 0; i < h.count; i++) {
        FUZZ_CHECK(h.list[i].name != NULL && h.list[i].rank >= 0 && h.list[i].rank <= 8);
        for (int k = 0; k < h.list[i].rank; k++)
            FUZZ_CHECK(h.list[i].shape[k] >= 0);
    }
    header_tensors_deinit(&h);
    return 0;
}
