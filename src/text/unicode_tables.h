/* unicode_tables.h: what the reference's normaliser does with a character, by generated two-stage tables.
 *
 *     code point c -> block number unicode_x_block[c >> 6] -> entry unicode_x_entry[block * 64 + (c & 63)]
 *
 * The tables come from scripts/make_unicode_tables.py, which asks the reference library itself. They follow the
 * Unicode versions built into that library (three different ones), hence not those of the operating system.
 */
#ifndef BERTH_TEXT_UNICODE_TABLES_H
#define BERTH_TEXT_UNICODE_TABLES_H

#include <stdint.h>

enum {
    UNICODE_REMOVE = 1, /* control, format, private use, U+0000, U+FFFD: dropped by cleaning */
    UNICODE_WHITE = 2,  /* white space: becomes U+0020 */
    UNICODE_CJK = 4,    /* stands alone: a space on both sides */
    UNICODE_MARK = 8,   /* non-spacing mark: dropped where accents are stripped */
    UNICODE_PUNCT = 16, /* a word of its own */
    UNICODE_WORD = 32   /* \w of regular expressions: an added token with single_word does not stand beside it */
};

struct unicode_kind {
    uint8_t flags;
    uint8_t combining_class; /* canonical; 0 for starters and for characters that decompose */
};

extern const char unicode_tables_source[];
extern const struct unicode_kind unicode_kinds[];
extern const uint16_t unicode_kind_block[];
extern const uint8_t unicode_kind_entry[];
extern const uint16_t unicode_nfd_block[];
extern const uint16_t unicode_nfd_entry[]; /* place in the pool; 0: none */
extern const uint16_t unicode_lower_block[];
extern const uint16_t unicode_lower_entry[];
extern const uint32_t unicode_pool[]; /* at each place: count, then so many code points */

enum { UNICODE_MAX_NFD = 4, UNICODE_MAX_LOWER = 2 };

static inline struct unicode_kind unicode_kind_of(uint32_t c) {
    return unicode_kinds[unicode_kind_entry[(uint32_t)unicode_kind_block[c >> 6] * 64 + (c & 63)]];
}

/* The full canonical decomposition (Hangul syllables aside); NULL: the character itself. */
static inline const uint32_t *unicode_nfd_of(uint32_t c) {
    uint32_t place = unicode_nfd_entry[(uint32_t)unicode_nfd_block[c >> 6] * 64 + (c & 63)];
    return place == 0 ? (const uint32_t *)0 : &unicode_pool[place];
}

/* The lower-case form, one character at a time (no final sigma); NULL: the character itself. */
static inline const uint32_t *unicode_lower_of(uint32_t c) {
    uint32_t place = unicode_lower_entry[(uint32_t)unicode_lower_block[c >> 6] * 64 + (c & 63)];
    return place == 0 ? (const uint32_t *)0 : &unicode_pool[place];
}

#endif /* BERTH_TEXT_UNICODE_TABLES_H */
