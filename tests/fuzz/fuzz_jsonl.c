/* fuzz_jsonl.c: records with a nested path, a label, and words and tags as texts or lists. */
#include "fuzz/support_reader.h"

int LLVMFuzzerInitialize(int *count, char ***arguments) {
    (void)count;
    (void)arguments;
    fuzz_reader_setup(
        "format: jsonl, text: a, text_pair: b.c",
        "x: {type: classification, source: s, label: b.d}, y: {type: tagging, source: s, label: t}");
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_reader_run(data, size);
    return 0;
}
