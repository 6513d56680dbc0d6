/* fuzz_text_1252.c: a table in windows-1252. */
#include "fuzz/support_reader.h"

int LLVMFuzzerInitialize(int *count, char ***arguments) {
    (void)count;
    (void)arguments;
    fuzz_reader_setup("format: tsv, text: 0, header: false, encoding: windows-1252",
                      "x: {type: classification, source: s, label: 1}");
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_reader_run(data, size);
    return 0;
}
