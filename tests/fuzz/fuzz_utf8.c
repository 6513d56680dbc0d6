/* fuzz_utf8.c: decoding never reads past the end, and agrees with checking and encoding. */
#include "berth/text.h"
#include "fuzz/support_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data;
    size_t good = berth_utf8_check(text, size), at = 0;
    FUZZ_CHECK(good <= size);
    while (at < size) {
        size_t length = 0;
        bool valid = false;
        char back[4];
        uint32_t code = berth_utf8_decode(text + at, size - at, &length, &valid);
        FUZZ_CHECK(length >= 1 && length <= 4 && length <= size - at);
        FUZZ_CHECK(code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF));
        FUZZ_CHECK(valid == (at < good) || at > good); /* the first bad part begins at `good` */
        size_t written = berth_utf8_encode(back, code);
        if (valid) FUZZ_CHECK(written == length && memcmp(back, text + at, length) == 0);
        if (!valid) FUZZ_CHECK(code == 0xFFFD && length <= 3);
        at += length;
    }
    FUZZ_CHECK(at == size);
    return 0;
}
