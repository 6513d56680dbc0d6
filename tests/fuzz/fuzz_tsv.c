/* fuzz_tsv.c: rows of a table of two texts and two labels, with a header line. */
#include "fuzz/support_reader.h"

int LLVMFuzzerInitialize(int *count, char ***arguments) {
    (void)count;
    (void)arguments;
    fuzz_reader_setup(
        "format: tsv, text: a, text_pair: b",
        "x: {type: classification, source: s, label: x}, y: {type: classification, source: s, label: 3}");
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_reader_run(data, size);
    return 0;
}
