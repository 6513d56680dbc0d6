/* words.c: words are what lies between white space, and white space is Unicode's property White_Space
 * (PropList.txt: 25 characters), so a no-break space parts words as a space does. Words that
 * came apart already are a list: each is followed by BERTH_LIST_END. */
#include "data/data_priv.h"

#include <string.h>

static bool is_white(uint32_t c) {
    if (c == 0x20 || (c >= 0x09 && c <= 0x0D)) return true;
    if (c < 0x85) return false;
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
           c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

static bool item_next(struct word_cursor *w) {
    if (w->at >= w->size) return false;
    const char *end = memchr(w->text + w->at, BERTH_LIST_END, w->size - w->at);
    w->start = w->at;
    w->end = end ? (size_t)(end - w->text) : w->size;
    w->at = w->end + 1;
    return true;
}

bool word_next(struct word_cursor *w) {
    size_t length = 0;
    bool valid, inside = false;
    if (w->list) return item_next(w);
    while (w->at < w->size) {
        uint32_t c = berth_utf8_decode(w->text + w->at, w->size - w->at, &length, &valid);
        bool white = is_white(c);
        if (white && inside) break;
        if (!white && !inside) {
            w->start = w->at;
            inside = true;
        }
        w->at += length;
    }
    w->end = w->at;
    return inside;
}

int64_t word_total(const char *text, size_t size, bool list) {
    struct word_cursor w = {.text = text, .size = size, .list = list};
    int64_t total = 0;
    while (word_next(&w))
        total++;
    return total;
}
