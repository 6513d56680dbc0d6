/* utf8.c: decoding with maximal-subpart replacement.
 *
 * Well-formed sequences are those of table 3-7 of the Unicode standard; a bad sequence is cut after its longest
 * prefix that begins a well-formed one (section 3.9, "U+FFFD substitution of maximal subparts"). */
#include <string.h>

#include "berth/text.h"

uint32_t berth_utf8_decode(const char *text, size_t size, size_t *length, bool *valid) {
    const uint8_t *s = (const uint8_t *)text;
    *valid = true;
    *length = 1;
    if (size == 0) {
        *length = 0;
        *valid = false;
        return 0xFFFD;
    }
    uint32_t lead = s[0];
    if (lead < 0x80) return lead;
    /* The second byte has the narrow range, the later ones are 80..BF. */
    uint8_t low = 0x80, high = 0xBF;
    size_t need = 0;
    uint32_t code = 0;
    if (lead >= 0xC2 && lead <= 0xDF) {
        need = 1;
        code = lead & 0x1F;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
        need = 2;
        code = lead & 0x0F;
        if (lead == 0xE0) low = 0xA0; /* overlong */
        if (lead == 0xED) high = 0x9F; /* surrogates */
    } else if (lead >= 0xF0 && lead <= 0xF4) {
        need = 3;
        code = lead & 0x07;
        if (lead == 0xF0) low = 0x90; /* overlong */
        if (lead == 0xF4) high = 0x8F; /* beyond U+10FFFF */
    }
    size_t i = 1;
    for (; i <= need && i < size && s[i] >= low && s[i] <= high; i++) {
        code = code << 6 | (s[i] & 0x3F);
        low = 0x80;
        high = 0xBF;
    }
    *length = i;
    if (need > 0 && i == need + 1) return code;
    *valid = false;
    return 0xFFFD;
}

size_t berth_utf8_encode(char out[4], uint32_t code_point) {
    if (code_point < 0x80) {
        out[0] = (char)code_point;
        return 1;
    }
    if (code_point < 0x800) {
        out[0] = (char)(0xC0 | code_point >> 6);
        out[1] = (char)(0x80 | (code_point & 0x3F));
        return 2;
    }
    if (code_point > 0x10FFFF || (code_point >= 0xD800 && code_point <= 0xDFFF)) code_point = 0xFFFD;
    if (code_point < 0x10000) {
        out[0] = (char)(0xE0 | code_point >> 12);
        out[1] = (char)(0x80 | (code_point >> 6 & 0x3F));
        out[2] = (char)(0x80 | (code_point & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | code_point >> 18);
    out[1] = (char)(0x80 | (code_point >> 12 & 0x3F));
    out[2] = (char)(0x80 | (code_point >> 6 & 0x3F));
    out[3] = (char)(0x80 | (code_point & 0x3F));
    return 4;
}

size_t berth_utf8_check(const char *text, size_t size) {
    size_t i = 0;
    while (i < size) {
        uint64_t eight = 0;
        if (size - i >= 8) {
            memcpy(&eight, text + i, 8);
            if ((eight & 0x8080808080808080u) == 0) {
                i += 8;
                continue;
            }
        }
        size_t length = 0;
        bool valid = false;
        berth_utf8_decode(text + i, size - i, &length, &valid);
        if (!valid) return i;
        i += length;
    }
    return size;
}
