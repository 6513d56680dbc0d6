/* support_random_text.c: seeded random Unicode; the twin of the generator in scripts/make_tokenizer_golden.py.
 *
 * splitmix64 (Steele et al., OOPSLA 2014) from state seed + line * constant; a line is up to 19 pieces of 16
 * kinds. Change both sides together, then make the golden file again. */
#include "text/support_random_text.h"

static const struct {
    uint32_t low, count;
} ranges[12] = {
    {0x20, 0x5f}, {0x61, 0x1a}, {0x61, 0x1a}, {0x80, 0x4b0}, {0x300, 0x70}, {0x530, 0xad0},
    {0x1E00, 0x1300}, {0x4E00, 0x100}, {0xAC00, 0x2ba4}, {0xF900, 0x700}, {0x0, 0x10000},
    {0x0, 0x110000},
};
static const uint32_t hard[] = {
    0x0, 0x9, 0xA, 0xB, 0xD, 0x1C, 0x7F, 0x85, 0xA0, 0xAD, 0x130, 0x131, 0x149, 0x1C5, 0x1F0, 0x344,
    0x345, 0x3A3, 0x3C2, 0x587, 0x61C, 0x93C, 0xE33, 0xF71, 0xF72, 0xF73, 0xF81, 0x1100, 0x1161, 0x11A8,
    0x1680, 0x180E, 0x1E9E, 0x2000, 0x200B, 0x200D, 0x2028, 0x202E, 0x2060, 0x2126, 0x212B, 0x3000,
    0x302E, 0x3099, 0x9FFF, 0xA953, 0xAC00, 0xD7A3, 0xE000, 0xFB01, 0xFE0F, 0xFEFF, 0xFFFD, 0xFFFF,
    0x10400, 0x1D15E, 0x1D165, 0x1D16D, 0x1F600, 0x1F1E9, 0x20000, 0x2A6DE, 0x2F800, 0xE0001, 0x10FFFF,
    0x327, 0x301, 0x5B0, 0x16FF0,
};
static const char *const words[] = {
    "[CLS]", "[SEP]", "[MASK]", "[PAD]", "[UNK]", "[cls]", "[SEP", "##ing", "the", "playing",
    "unaffable", "don't", " ", ".", "...", "Stra\303\237e", "na\303\257ve", "\303\200\303\211\303\216",
    "\316\243\316\212\316\243\316\245\316\246\316\237\316\243", "\304\260stanbul",
    "\344\270\255\346\226\207", "\355\225\234\352\265\255\354\226\264", "e\314\201\314\247",
};

#define COUNT(a) (sizeof(a) / sizeof *(a))

static uint64_t next(uint64_t *state) {
    *state += 0x9E3779B97F4A7C15u;
    uint64_t z = *state;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* By hand, so that the tokenizer's own encoder is not tested against itself; surrogates are written as they are. */
static void add_code(struct berth_str *out, uint32_t c) {
    char b[4];
    size_t n = 0;
    if (c < 0x80) {
        b[n++] = (char)c;
    } else if (c < 0x800) {
        b[n++] = (char)(0xC0 | c >> 6);
    } else if (c < 0x10000) {
        b[n++] = (char)(0xE0 | c >> 12);
        b[n++] = (char)(0x80 | (c >> 6 & 63));
    } else {
        b[n++] = (char)(0xF0 | c >> 18);
        b[n++] = (char)(0x80 | (c >> 12 & 63));
        b[n++] = (char)(0x80 | (c >> 6 & 63));
    }
    if (c >= 0x80) b[n++] = (char)(0x80 | (c & 63));
    berth_str_addn(out, b, n);
}

void random_text_line(struct berth_str *out, uint64_t seed, uint64_t line) {
    uint64_t state = seed + line * 0xD1B54A32D192ED03u;
    uint64_t pieces = next(&state) % 20;
    for (uint64_t i = 0; i < pieces; i++) {
        uint64_t kind = next(&state) % 16, r = next(&state);
        if (kind < 12) {
            add_code(out, ranges[kind].low + (uint32_t)(r % ranges[kind].count));
        } else if (kind == 12) {
            add_code(out, hard[r % COUNT(hard)]);
        } else if (kind == 13) {
            berth_str_add(out, words[r % COUNT(words)]);
        } else if (kind == 14) {
            char byte = (char)(0x80 + (r >> 8) % 128);
            berth_str_addn(out, r % 16 == 0 ? &byte : " ", 1);
        } else {
            char letter = (char)(0x61 + r % 26);
            uint64_t count = 1 + (r >> 8) % ((r >> 20) % 8 == 0 ? 110 : 6);
            for (uint64_t k = 0; k < count; k++)
                berth_str_addn(out, &letter, 1);
        }
    }
}
