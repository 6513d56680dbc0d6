/* fuzz_pickle.c: a pickle is refused in one line, or names tensors of sound shapes. */
#include "fuzz/support_fuzz.h"
#include "model/model_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct torch_tensors tensors;
    const char *text = (const char *)data;
    if (fuzz_answer(torch_pickle_read(&tensors, "x.bin", data, size)) != BERTH_OK) {
        FUZZ_CHECK(tensors.count == 0 && tensors.list == NULL);
        return 0;
    }
    for (size_t i = 0; i < tensors.count; i++) {
        const struct torch_tensor *t = &tensors.list[i];
        int64_t count = 1;
        for (int d = 0; d < t->rank; d++)
            count *= t->shape[d];
        FUZZ_CHECK(t->rank <= 8 && count == t->count && t->offset >= 0 && t->name[0] != '\0');
        FUZZ_CHECK(t->storage_key >= text && t->storage_key + t->storage_key_length <= text + size);
    }
    torch_tensors_deinit(&tensors);
    return 0;
}
