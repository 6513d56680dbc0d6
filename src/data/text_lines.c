/* text_lines.c: the lines of a file as UTF-8.
 *
 * A line ends in LF or CRLF; the last one may lack its end. By encoding:
 *     strict        must be UTF-8; the first bad byte is an error
 *     replace       each bad sequence, and each zero byte, becomes U+FFFD; counted
 *     windows-1252  each byte is a character; the five that stand for none are an error
 */
#include "data/data_priv.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MOST ((size_t)256 << 20)

static const uint16_t WINDOWS_1252[32] = {
    /* 0x80 */ 0x20AC, 0,      0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021,
    /* 0x88 */ 0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0,      0x017D, 0,
    /* 0x90 */ 0,      0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
    /* 0x98 */ 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0,      0x017E, 0x0178};

berth_status line_cursor_init(struct line_cursor *l, const struct text_file *file,
                              enum text_encoding encoding) {
    memset(l, 0, sizeof *l);
    l->encoding = encoding;
    BERTH_TRY(stream_open(&l->stream, file));
    struct text_stream *s = &l->stream;
    while (!s->ended && s->end - s->at < 3 && (s->at == s->end || s->at[0] == 0xEF))
        BERTH_TRY(stream_more(s));
    if (s->end - s->at < 3 || memcmp(s->at, "\xEF\xBB\xBF", 3) != 0) return BERTH_OK;
    if (encoding == ENCODING_WINDOWS_1252)
        BERTH_FAIL(BERTH_E_FORMAT, "%s:1: found the byte order mark of UTF-8, expected windows-1252",
                   file->path);
    s->at += 3;
    return BERTH_OK;
}

void line_cursor_deinit(struct line_cursor *l) {
    stream_close(&l->stream);
    free(l->text);
    memset(l, 0, sizeof *l);
}

/* Length of the run of bytes 1..127 at the start: eight at a time. */
static size_t ascii_run(const unsigned char *text, size_t size) {
    const uint64_t high = 0x8080808080808080u, ones = 0x0101010101010101u;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t word;
        memcpy(&word, text + i, 8);
        if (((word | (word - ones)) & high) != 0) break;
    }
    while (i < size && text[i] > 0 && text[i] < 0x80)
        i++;
    return i;
}

static berth_status fail_byte(const struct line_cursor *l, const unsigned char *start, size_t at,
                              const char *expected) {
    if (start[at] == 0) expected = "text";
    BERTH_FAIL(BERTH_E_FORMAT, "%s:%lld:%zu: found %s 0x%02X, expected %s", l->stream.file->path,
               (long long)l->line, at + 1, start[at] == 0 ? "the zero byte" : "byte", start[at], expected);
}

static berth_status room(struct line_cursor *l, size_t size) {
    return size + 1 > l->capacity ? berth_grow(&l->text, &l->capacity, size + 1, 1) : BERTH_OK;
}

static berth_status take_strict(struct line_cursor *l, const unsigned char *start, size_t size, size_t ascii) {
    const unsigned char *zero = memchr(start + ascii, 0, size - ascii);
    size_t good = ascii + berth_utf8_check((const char *)start + ascii, size - ascii);
    if (zero && (size_t)(zero - start) < good) good = (size_t)(zero - start);
    if (good < size) return fail_byte(l, start, good, "valid UTF-8");
    BERTH_TRY(room(l, size));
    memcpy(l->text, start, size);
    l->length = size;
    return BERTH_OK;
}

static berth_status take_replace(struct line_cursor *l, const unsigned char *start, size_t size) {
    BERTH_TRY(room(l, 3 * size)); /* a bad byte becomes three */
    l->length = 0;
    for (size_t at = 0, step = 0; at < size; at += step) {
        bool valid = false;
        berth_utf8_decode((const char *)start + at, size - at, &step, &valid);
        if (valid && start[at] != 0) {
            memcpy(l->text + l->length, start + at, step);
            l->length += step;
            continue;
        }
        memcpy(l->text + l->length, "\xEF\xBF\xBD", 3);
        l->length += 3;
        if (l->replaced++ == 0) l->replaced_line = l->line;
    }
    return BERTH_OK;
}

static berth_status take_windows_1252(struct line_cursor *l, const unsigned char *start, size_t size) {
    BERTH_TRY(room(l, 3 * size));
    l->length = 0;
    for (size_t at = 0; at < size; at++) {
        uint32_t c = start[at] >= 0x80 && start[at] < 0xA0 ? WINDOWS_1252[start[at] - 0x80] : start[at];
        if (c == 0) return fail_byte(l, start, at, "a character of windows-1252");
        l->length += berth_utf8_encode(l->text + l->length, c);
    }
    return BERTH_OK;
}

berth_status line_next(struct line_cursor *l, bool *more) {
    struct text_stream *s = &l->stream;
    const unsigned char *newline = NULL;
    size_t seen = 0;
    for (;;) {
        size_t ready = (size_t)(s->end - s->at);
        if (ready > seen) newline = memchr(s->at + seen, '\n', ready - seen);
        if (newline || s->ended) break;
        seen = ready;
        if (ready > LINE_MOST)
            BERTH_FAIL(BERTH_E_FORMAT,
                       "%s:%lld: found a line of more than %zu MiB, expected text with line ends",
                       s->file->path, (long long)l->line + 1, LINE_MOST >> 20);
        BERTH_TRY(stream_more(s));
    }
    *more = s->at < s->end;
    if (!*more) return BERTH_OK;
    const unsigned char *start = s->at;
    size_t size = (size_t)((newline ? newline : s->end) - start);
    s->at += size + (newline ? 1 : 0);
    l->line++;
    l->end_size = newline ? 1 : 0;
    if (newline && size > 0 && start[size - 1] == '\r') {
        size--;
        l->end_size = 2;
    }
    size_t ascii = ascii_run(start, size);
    berth_status status = ascii == size || l->encoding == ENCODING_STRICT ? take_strict(l, start, size, ascii)
                          : l->encoding == ENCODING_REPLACE               ? take_replace(l, start, size)
                                                                          : take_windows_1252(l, start, size);
    if (status == BERTH_OK) l->text[l->length] = 0;
    return status;
}

bool line_is_ready(const struct line_cursor *l) {
    const struct text_stream *s = &l->stream;
    if (s->ended || !s->file->piped || memchr(s->at, '\n', (size_t)(s->end - s->at))) return true;
    struct pollfd p = {.fd = s->file->fd, .events = POLLIN};
    return poll(&p, 1, 0) != 0;
}
