/* truncate.c: which pieces of one or two texts stay, and the windows over what is cut off.
 *
 * As the reference's fast tokenizer computes it in one go. Longest first: the shorter text stays whole while
 * the longer one can give way; when both are too long each gets half the room, the odd token going to the text
 * that was longer, or to the second when they were equal. Only first, only second: that text alone gives way,
 * and must keep a piece.
 *
 *     windows of 4 with stride 1 of 8 pieces    [0 1 2 3]            from the left end:           [4 5 6 7]
 *                                                     [3 4 5 6]                             [1 2 3 4]
 *                                                           [6 7]                       [0 1]
 */
#include "text/text_priv.h"

static void longest_first(size_t *text, size_t *pair, size_t room) {
    size_t shorter = *text < *pair ? *text : *pair;
    bool text_longer = *text > *pair;
    size_t longer = shorter > room ? shorter : room - shorter > shorter ? room - shorter : shorter;
    if (shorter + longer > room) {
        shorter = room / 2;
        longer = shorter + room % 2;
    }
    *text = text_longer ? longer : shorter;
    *pair = text_longer ? shorter : longer;
}

berth_status truncate_lengths(size_t *text, size_t *pair, size_t room, enum berth_truncation truncation) {
    size_t total = *text + (pair != NULL ? *pair : 0);
    if (truncation == BERTH_TRUNCATE_NEVER || total <= room) return BERTH_OK;
    if (truncation == BERTH_LONGEST_FIRST) {
        if (pair != NULL) {
            longest_first(text, pair, room);
        } else {
            *text = room;
        }
        return BERTH_OK;
    }
    size_t *target = truncation == BERTH_ONLY_FIRST ? text : pair, remove = total - room;
    if (target == NULL)
        BERTH_FAIL(BERTH_E_FORMAT, "%zu tokens too long and only the second text may be cut, but there is none",
                   remove);
    if (*target <= remove)
        BERTH_FAIL(BERTH_E_FORMAT, "%zu tokens too long, but the %s text, which alone may be cut, has only %zu",
                   remove, target == text ? "first" : "second", *target);
    *target -= remove;
    return BERTH_OK;
}

berth_status truncate_windows(struct text_spans *out, size_t length, size_t kept,
                              const struct berth_encode_options *o) {
    size_t stride = (size_t)o->stride;
    out->count = 0;
    if (kept < length && o->windows && kept <= stride)
        BERTH_FAIL(BERTH_E_FORMAT,
                   "a stride of %zu, but only %zu tokens of a text of %zu fit beside the rest; expected "
                   "a stride smaller than that",
                   stride, kept, length);
    for (size_t at = 0;; at += kept - stride) {
        BERTH_TRY(berth_grow(&out->list, &out->capacity, out->count + 1, sizeof *out->list));
        size_t end = at + kept < length ? at + kept : length;
        out->list[out->count++] =
            o->from_left ? (struct text_span){length - end, length - at} : (struct text_span){at, end};
        if (end == length || !o->windows) return BERTH_OK;
    }
}
