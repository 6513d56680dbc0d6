/* fuzz_conll.c: sentences in columns, with tags and a label in comment lines. */
#include "fuzz/support_reader.h"

int LLVMFuzzerInitialize(int *count, char ***arguments) {
    (void)count;
    (void)arguments;
    fuzz_reader_setup(
        "format: conll, text: 0",
        "x: {type: classification, source: s, comment: x}, y: {type: tagging, source: s, label: 1}");
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_reader_run(data, size);
    return 0;
}
