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
