/* fuzz_torch.c: pytorch_model.bin: a file is refused in one line, or every byte that its tensors claim can be read. */
#include "fuzz/support_fuzz.h"
#include "model/model_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct berth_torch *f = NULL;
    unsigned sum = 0;
    if (fuzz_answer(berth_torch_open(&f, fuzz_file(data, size))) != BERTH_OK) {
        FUZZ_CHECK(f == NULL);
        return 0;
    }
    for (size_t i = 0; i < berth_torch_count(f); i++) {
        const struct berth_safetensor *t = berth_torch_at(f, i);
        FUZZ_CHECK(t->bytes <= size && t->count >= 0 && t->name[0] != '\0');
        for (size_t b = 0; b < t->bytes; b++)
            sum += ((const unsigned char *)t->data)[b];
    }
    berth_torch_close(f);
    return sum == 0xFFFFFFFFu; /* the sum is used */
}
