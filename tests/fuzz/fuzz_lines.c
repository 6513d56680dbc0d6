/* fuzz_lines.c: a label and a text a line; the first bytes may say gzip or zstd. */
#include "fuzz/support_reader.h"

int LLVMFuzzerInitialize(int *count, char ***arguments) {
    (void)count;
    (void)arguments;
    fuzz_reader_setup("format: lines", "x: {type: classification, source: s, label: label}");
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_reader_run(data, size);
    return 0;
}
