/* fold.c: a text without case and with white space collapsed: for telling duplicates. */
#include "text/text_priv.h"
#include "text/unicode_tables.h"

static bool is_blank(uint32_t c, uint8_t flags) {
    return c == 0x1F || (c < 0x110000 && (unicode_kind_of(c).flags & flags));
}

static void fold(struct berth_str *out, const char *text, size_t size, uint8_t blank) {
    bool space = false, any = false;
    for (size_t at = 0; at < size;) {
        size_t length = 0;
        bool valid = false;
        char bytes[4];
        uint32_t c = berth_utf8_decode(text + at, size - at, &length, &valid);
        at += length;
        if (is_blank(c, blank)) {
            space = any;
            continue;
        }
        if (space) berth_str_add(out, " ");
        space = false;
        any = true;
        const uint32_t *lower = unicode_lower_of(c);
        if (!lower) {
            berth_str_addn(out, bytes, berth_utf8_encode(bytes, c));
            continue;
        }
        for (uint32_t i = 1; i <= lower[0]; i++)
            berth_str_addn(out, bytes, berth_utf8_encode(bytes, lower[i]));
    }
}

void berth_text_fold(struct berth_str *out, const char *text, size_t size) {
    fold(out, text, size, UNICODE_WHITE);
}

void berth_text_fold_words(struct berth_str *out, const char *text, size_t size) {
    fold(out, text, size, UNICODE_WHITE | UNICODE_PUNCT);
}
