/* normalize.c: one stretch of text as the reference's BertNormalizer leaves it, character by character, with the
 * bytes each character came from.
 *
 * Order of the steps: clean (drop controls, white space to U+0020), CJK characters between spaces, canonical
 * decomposition (Unicode standard, section 3.11; Hangul 3.12) and dropping of non-spacing marks. Lower-casing
 * follows when a word is written out.
 *
 * Places. In canonical ordering a mark may move in front of another. The reference then hands out places in
 * order of output: a character that begins a source character's decomposition takes the next source place, a
 * later one ("joined") the place of the character before it. So offsets stay ascending, whatever moved. */
#include <stdlib.h>
#include <string.h>

#include "text/text_priv.h"
#include "text/unicode_tables.h"

berth_status scratch_get(struct berth_encoding *e) {
    if (e->scratch != NULL) return BERTH_OK;
    return berth_calloc(&e->scratch, 1, sizeof *e->scratch);
}

void scratch_free(struct berth_text_scratch *scratch) {
    if (scratch == NULL) return;
    free(scratch->chars);
    free(scratch->sorted);
    free(scratch->bytes);
    free(scratch->byte_start);
    free(scratch->byte_end);
    free(scratch);
}

static void push(struct berth_text_scratch *s, uint32_t code, uint8_t combining_class, bool joined,
                 int32_t start, int32_t end) {
    s->chars[s->count++] = (struct text_char){code, start, end, combining_class, joined};
}

enum { HANGUL_FIRST = 0xAC00, HANGUL_LAST = 0xD7A3, HANGUL_VOWELS = 21, HANGUL_FINALS = 28 };

/* At most UNICODE_MAX_NFD characters. */
static void push_decomposed(struct berth_text_scratch *s, uint32_t code, uint8_t combining_class, int32_t start,
                            int32_t end) {
    const uint32_t *parts = unicode_nfd_of(code);
    if (parts != NULL) {
        for (uint32_t i = 1; i <= parts[0]; i++)
            push(s, parts[i], unicode_kind_of(parts[i]).combining_class, i > 1, start, end);
    } else if (code >= HANGUL_FIRST && code <= HANGUL_LAST) {
        uint32_t index = code - HANGUL_FIRST, final = index % HANGUL_FINALS;
        push(s, 0x1100 + index / (HANGUL_VOWELS * HANGUL_FINALS), 0, false, start, end);
        push(s, 0x1161 + index / HANGUL_FINALS % HANGUL_VOWELS, 0, true, start, end);
        if (final > 0) push(s, 0x11A7 + final, 0, true, start, end);
    } else {
        push(s, code, combining_class, false, start, end);
    }
}

/* chars[first, last) are all marks: stable sort by class (counting sort), then places again in order. */
static berth_status order_run(struct berth_text_scratch *s, size_t first, size_t last) {
    size_t count = last - first, starts[257] = {0};
    struct text_char *run = s->chars + first;
    BERTH_TRY(berth_grow(&s->sorted, &s->sorted_capacity, count, sizeof *s->sorted));
    for (size_t i = 0; i < count; i++)
        starts[run[i].combining_class + 1]++;
    for (size_t c = 1; c < 257; c++)
        starts[c] += starts[c - 1];
    for (size_t i = 0; i < count; i++)
        s->sorted[starts[run[i].combining_class]++] = run[i];
    size_t source = 0;
    int32_t start = first > 0 ? run[-1].start : 0, end = first > 0 ? run[-1].end : 0;
    for (size_t i = 0; i < count; i++) {
        if (!s->sorted[i].joined) {
            while (run[source].joined)
                source++;
            start = run[source].start;
            end = run[source].end;
            source++;
        }
        s->sorted[i].start = start;
        s->sorted[i].end = end;
    }
    memcpy(run, s->sorted, count * sizeof *run);
    return BERTH_OK;
}

static berth_status order_marks(struct berth_text_scratch *s) {
    for (size_t i = 0; i < s->count;) {
        size_t first = i;
        bool sorted = true;
        for (; i < s->count && s->chars[i].combining_class != 0; i++)
            if (i > first && s->chars[i].combining_class < s->chars[i - 1].combining_class) sorted = false;
        if (!sorted) BERTH_TRY(order_run(s, first, i));
        if (i == first) i++;
    }
    return BERTH_OK;
}

static void drop_marks(struct berth_text_scratch *s) {
    size_t kept = 0;
    for (size_t i = 0; i < s->count; i++) {
        if (unicode_kind_of(s->chars[i].code).flags & UNICODE_MARK) continue;
        s->chars[kept++] = s->chars[i];
    }
    s->count = kept;
}

berth_status normalize_part(const struct berth_tokenizer *t, struct berth_text_scratch *scratch,
                            const char *text, size_t from, size_t to) {
    bool marks = false;
    scratch->count = 0;
    for (size_t at = from; at < to;) {
        size_t length = 0;
        bool valid = false;
        uint32_t code = berth_utf8_decode(text + at, to - at, &length, &valid);
        int32_t start = (int32_t)at, end = (int32_t)(at + length);
        at += length;
        struct unicode_kind kind = unicode_kind_of(code);
        if (kind.flags & UNICODE_REMOVE) continue;
        BERTH_TRY(berth_grow(&scratch->chars, &scratch->capacity, scratch->count + UNICODE_MAX_NFD + 2,
                             sizeof *scratch->chars));
        bool apart = (kind.flags & UNICODE_CJK) != 0 && t->options.split_cjk;
        if (kind.flags & UNICODE_WHITE) {
            push(scratch, ' ', 0, false, start, end);
            continue;
        }
        if (apart) push(scratch, ' ', 0, false, start, end);
        if (t->strip && code >= 0x80) {
            marks |= kind.combining_class != 0 || (kind.flags & UNICODE_MARK) != 0 ||
                     unicode_nfd_of(code) != NULL;
            push_decomposed(scratch, code, kind.combining_class, start, end);
        } else {
            push(scratch, code, 0, false, start, end);
        }
        if (apart) push(scratch, ' ', 0, false, start, end);
    }
    if (t->strip && marks) {
        BERTH_TRY(order_marks(scratch));
        drop_marks(scratch);
    }
    return BERTH_OK;
}
