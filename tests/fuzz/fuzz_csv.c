/* fuzz_csv.c: quoted records, with a header line, a label and tags. */
#include "fuzz/support_reader.h"

int LLVMFuzzerInitialize(int *count, char ***arguments) {
    (void)count;
    (void)arguments;
    fuzz_reader_setup(
        "format: csv, text: a, text_pair: b, delimiter: semicolon",
        "x: {type: classification, source: s, label: x}, y: {type: tagging, source: s, label: 3}");
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_reader_run(data, size);
    return 0;
}
