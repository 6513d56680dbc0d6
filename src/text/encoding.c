/* encoding.c: the growing result of a tokenization, four arrays of one length. */
#include <stdlib.h>

#include "text/text_priv.h"

void berth_encoding_init(struct berth_encoding *e) {
    *e = (struct berth_encoding){0};
}

void berth_encoding_deinit(struct berth_encoding *e) {
    free(e->ids);
    free(e->start);
    free(e->end);
    free(e->word);
    scratch_free(e->scratch);
    berth_encoding_init(e);
}

void berth_encoding_reset(struct berth_encoding *e) {
    e->count = 0;
}

berth_status encoding_reserve(struct berth_encoding *e, size_t more) {
    size_t needed = e->count + more;
    if (needed <= e->capacity) return BERTH_OK;
    size_t capacity = e->capacity < 32 ? 32 : e->capacity * 2;
    if (capacity < needed) capacity = needed;
    BERTH_TRY(berth_realloc(&e->ids, capacity, sizeof *e->ids));
    BERTH_TRY(berth_realloc(&e->start, capacity, sizeof *e->start));
    BERTH_TRY(berth_realloc(&e->end, capacity, sizeof *e->end));
    BERTH_TRY(berth_realloc(&e->word, capacity, sizeof *e->word));
    e->capacity = capacity;
    return BERTH_OK;
}

/* Both offsets ascend over the pieces (a piece's end may lie behind the next one's start, where a character
 * gave several pieces), so one walk over the text serves all starts and another all ends. */
void berth_encoding_to_characters(struct berth_encoding *e, size_t first, const char *text, size_t size) {
    for (int32_t *offsets = e->start;; offsets = e->end) {
        size_t byte = 0;
        int32_t characters = 0;
        for (size_t i = first; i < e->count; i++) {
            while (byte < (size_t)offsets[i]) {
                size_t length = 0;
                bool valid = false;
                berth_utf8_decode(text + byte, size - byte, &length, &valid);
                byte += length;
                characters++;
            }
            offsets[i] = characters;
        }
        if (offsets == e->end) break;
    }
}
