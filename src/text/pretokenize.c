/* pretokenize.c: a text into added tokens and words, and each word to wordpiece.c.
 *
 *     text  --added tokens, the special ones among them-->  stretches  --white space, punctuation-->  words
 *
 * A run of plain ASCII word bytes between ASCII white space or punctuation is a word as it stands; its capitals
 * are folded while it is looked up. Anything else (another alphabet, a control character) sends the part up to
 * the next ASCII white space or punctuation through normalize.c. Where added tokens are to be found in the
 * normalised text, each stretch goes through normalize.c as a whole instead. */
#include <string.h>

#include "text/text_priv.h"
#include "text/unicode_tables.h"

/* One call of encode, encode_word or pretokenize_words. */
struct cut {
    const struct berth_tokenizer *t;
    struct berth_encoding *e;
    const char *text;
    int32_t word;     /* index of the next word */
    int32_t step;     /* 1; 0 for a given word, whose index stays */
    text_word_fn *fn; /* words go here instead of into e */
    void *user;
};

static const uint8_t *unfolded(void) {
    static const uint8_t same[256] = {
#define ROW(r)                                                                                                 \
    r, r + 1, r + 2, r + 3, r + 4, r + 5, r + 6, r + 7, r + 8, r + 9, r + 10, r + 11, r + 12, r + 13, r + 14,  \
        r + 15
        ROW(0),   ROW(16),  ROW(32),  ROW(48),  ROW(64),  ROW(80),  ROW(96),  ROW(112),
        ROW(128), ROW(144), ROW(160), ROW(176), ROW(192), ROW(208), ROW(224), ROW(240),
#undef ROW
    };
    return same;
}

static berth_status room_for_bytes(struct berth_text_scratch *s, size_t needed) {
    BERTH_TRY(berth_grow(&s->bytes, &s->bytes_capacity, needed, 1));
    BERTH_TRY(berth_grow(&s->byte_start, &s->start_capacity, needed, sizeof *s->byte_start));
    return berth_grow(&s->byte_end, &s->end_capacity, needed, sizeof *s->byte_end);
}

/* chars[first, last) lower-cased in UTF-8, with the place of every byte. */
static berth_status write_word(const struct cut *c, struct berth_text_scratch *s, size_t first, size_t last,
                               size_t *out_size) {
    size_t size = 0;
    BERTH_TRY(room_for_bytes(s, (last - first) * 4 * UNICODE_MAX_LOWER));
    for (size_t i = first; i < last; i++) {
        const struct text_char *x = &s->chars[i];
        const uint32_t *lower = c->t->options.lowercase ? unicode_lower_of(x->code) : NULL;
        size_t before = size;
        if (lower == NULL) size += berth_utf8_encode(s->bytes + size, x->code);
        for (uint32_t k = 1; lower != NULL && k <= lower[0]; k++)
            size += berth_utf8_encode(s->bytes + size, lower[k]);
        for (size_t b = before; b < size; b++) {
            s->byte_start[b] = x->start;
            s->byte_end[b] = x->end;
        }
    }
    *out_size = size;
    return BERTH_OK;
}

/* The word scratch->bytes[first, last). */
static berth_status written_word(struct cut *c, const struct berth_text_scratch *s, size_t first, size_t last) {
    if (c->fn != NULL) return c->fn(c->user, s->bytes + first, last - first);
    BERTH_TRY(encoding_reserve(c->e, last - first));
    size_t from = c->e->count;
    wordpiece_append(c->t, c->e, s->bytes + first, last - first, unfolded(), (int32_t)first, c->word);
    for (size_t i = from; i < c->e->count; i++) {
        c->e->start[i] = s->byte_start[c->e->start[i]];
        c->e->end[i] = s->byte_end[c->e->end[i] - 1];
    }
    c->word += c->step;
    return BERTH_OK;
}

static berth_status normalized_word(struct cut *c, struct berth_text_scratch *s, size_t first, size_t last) {
    size_t size = 0;
    BERTH_TRY(write_word(c, s, first, last, &size));
    return written_word(c, s, 0, size);
}

static berth_status slow_part(struct cut *c, size_t from, size_t to) {
    BERTH_TRY(scratch_get(c->e));
    struct berth_text_scratch *s = c->e->scratch;
    BERTH_TRY(normalize_part(c->t, s, c->text, from, to));
    size_t first = 0;
    for (size_t i = 0; i <= s->count; i++) {
        uint8_t flags = i < s->count ? unicode_kind_of(s->chars[i].code).flags : UNICODE_WHITE;
        if ((flags & (UNICODE_WHITE | UNICODE_PUNCT)) == 0) continue;
        if (i > first) BERTH_TRY(normalized_word(c, s, first, i));
        if (flags & UNICODE_PUNCT) BERTH_TRY(normalized_word(c, s, i, i + 1));
        first = i + 1;
    }
    return BERTH_OK;
}

static berth_status plain_word(struct cut *c, size_t from, size_t to) {
    size_t size = to - from;
    if (c->fn != NULL) {
        BERTH_TRY(scratch_get(c->e));
        struct berth_text_scratch *s = c->e->scratch;
        BERTH_TRY(room_for_bytes(s, size));
        for (size_t i = 0; i < size; i++)
            s->bytes[i] = (char)c->t->fold[(uint8_t)c->text[from + i]];
        return c->fn(c->user, s->bytes, size);
    }
    if (c->e->count + size > c->e->capacity) BERTH_TRY(encoding_reserve(c->e, size));
    wordpiece_append(c->t, c->e, c->text + from, size, c->t->fold, (int32_t)from, c->word);
    c->word += c->step;
    return BERTH_OK;
}

/* Words of scratch->bytes[from, to), normalised text. */
static berth_status cut_written(struct cut *c, const struct berth_text_scratch *s, size_t from, size_t to) {
    size_t first = from, at = from;
    while (at < to) {
        size_t length = 0;
        bool valid = false;
        uint8_t flags = unicode_kind_of(berth_utf8_decode(s->bytes + at, to - at, &length, &valid)).flags;
        if (flags & (UNICODE_WHITE | UNICODE_PUNCT)) {
            if (at > first) BERTH_TRY(written_word(c, s, first, at));
            if (flags & UNICODE_PUNCT) BERTH_TRY(written_word(c, s, at, at + length));
            first = at + length;
        }
        at += length;
    }
    return at > first ? written_word(c, s, first, at) : BERTH_OK;
}

static berth_status put_added(struct cut *c, const struct added_token *token, int32_t start, int32_t end) {
    if (c->fn != NULL) return BERTH_OK;
    BERTH_TRY(encoding_reserve(c->e, 1));
    encoding_push(c->e, token->id, start, end, c->word);
    c->word += c->step;
    return BERTH_OK;
}

/* A stretch in which added tokens are looked for once it is normalised. */
static berth_status normalized_stretch(struct cut *c, size_t from, size_t to) {
    size_t size = 0, done = 0, scan = 0;
    struct added_match m;
    BERTH_TRY(scratch_get(c->e));
    struct berth_text_scratch *s = c->e->scratch;
    BERTH_TRY(normalize_part(c->t, s, c->text, from, to));
    BERTH_TRY(write_word(c, s, 0, s->count, &size));
    while (added_next(&c->t->normalized_added, s->bytes, size, done, &scan, &m)) {
        if (done < m.start) BERTH_TRY(cut_written(c, s, done, m.start));
        BERTH_TRY(put_added(c, m.token, s->byte_start[m.start], s->byte_end[m.stop - 1]));
        done = m.stop;
    }
    return done < size ? cut_written(c, s, done, size) : BERTH_OK;
}

/* A stretch without added tokens. */
static berth_status cut_stretch(struct cut *c, size_t from, size_t to) {
    const uint8_t *text = (const uint8_t *)c->text, *kinds = c->t->byte_class;
    for (size_t i = from; i < to;) {
        uint8_t kind = kinds[text[i]];
        if (kind == BYTE_SPACE) {
            i++;
            continue;
        }
        size_t end = i + 1;
        if (kind == BYTE_WORD)
            while (end < to && kinds[text[end]] == BYTE_WORD)
                end++;
        if (kind == BYTE_OTHER || (kind == BYTE_WORD && end < to && kinds[text[end]] == BYTE_OTHER)) {
            while (end < to && (kinds[text[end]] == BYTE_WORD || kinds[text[end]] == BYTE_OTHER))
                end++;
            BERTH_TRY(slow_part(c, i, end));
        } else {
            BERTH_TRY(plain_word(c, i, end));
        }
        i = end;
    }
    return BERTH_OK;
}

static berth_status cut_text(struct cut *c, size_t size) {
    if (size > INT32_MAX - 8)
        BERTH_FAIL(BERTH_E_UNSUPPORTED, "a text of %zu bytes, at most 2^31 can be tokenized at once", size);
    berth_status (*stretch)(struct cut *, size_t, size_t) =
        c->t->normalized_added.count > 0 ? normalized_stretch : cut_stretch;
    size_t from = 0, scan = 0;
    struct added_match m;
    while (added_next(&c->t->raw_added, c->text, size, from, &scan, &m)) {
        if (from < m.start) BERTH_TRY(stretch(c, from, m.start));
        BERTH_TRY(put_added(c, m.token, (int32_t)m.start, (int32_t)m.stop));
        from = m.stop;
    }
    return from < size ? stretch(c, from, size) : BERTH_OK;
}

berth_status berth_tokenizer_encode(const struct berth_tokenizer *t, struct berth_encoding *e, const char *text,
                                    size_t size) {
    struct cut c = {.t = t, .e = e, .text = text, .step = 1};
    return cut_text(&c, size);
}

berth_status berth_tokenizer_encode_word(const struct berth_tokenizer *t, struct berth_encoding *e,
                                         const char *word, size_t size, int32_t word_index) {
    struct cut c = {.t = t, .e = e, .text = word, .word = word_index};
    return cut_text(&c, size);
}

berth_status pretokenize_words(const struct berth_tokenizer *t, struct berth_encoding *scratch_owner,
                               const char *text, size_t size, text_word_fn *fn, void *user) {
    struct cut c = {.t = t, .e = scratch_owner, .text = text, .fn = fn, .user = user};
    return cut_text(&c, size);
}

berth_status pretokenize_normalized(const struct berth_tokenizer *t, struct berth_encoding *scratch_owner,
                                    const char *text, size_t size, struct berth_str *out) {
    struct cut c = {.t = t, .e = scratch_owner, .text = text};
    size_t written = 0;
    BERTH_TRY(scratch_get(scratch_owner));
    struct berth_text_scratch *s = scratch_owner->scratch;
    BERTH_TRY(normalize_part(t, s, text, 0, size));
    BERTH_TRY(write_word(&c, s, 0, s->count, &written));
    berth_str_addn(out, s->bytes, written);
    return BERTH_OK;
}
