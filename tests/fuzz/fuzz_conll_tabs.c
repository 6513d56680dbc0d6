/* fuzz_conll_tabs.c: the same with columns at each tab and bad bytes replaced. */
#include "fuzz/support_reader.h"

int LLVMFuzzerInitialize(int *count, char ***arguments) {
    (void)count;
    (void)arguments;
    fuzz_reader_setup("format: conll, text: 1, delimiter: tab, encoding: replace",
                      "y: {type: tagging, source: s, label: 0}");
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_reader_run(data, size);
    return 0;
}
