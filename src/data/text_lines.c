/* text_lines.c: the lines of a file.
 *
 * A line ends in LF or CRLF; the last one may lack its end. Each must be valid UTF-8 without zero bytes.
 */
#include "data/data_priv.h"

#include <stdlib.h>
#include <string.h>

void line_cursor_init(struct line_cursor *l, const struct text_file *file) {
    memset(l, 0, sizeof *l);
    l->file = file;
    if (file->map.size >= 3 && memcmp(file->map.data, "\xEF\xBB\xBF", 3) == 0) l->at = 3;
}

void line_cursor_deinit(struct line_cursor *l) {
    free(l->text);
    memset(l, 0, sizeof *l);
}

berth_status line_next(struct line_cursor *l, bool *more) {
    const struct berth_file_map *map = &l->file->map;
    *more = l->at < map->size;
    if (!*more) return BERTH_OK;
    const char *start = (const char *)map->data + l->at;
    const char *end = memchr(start, '\n', map->size - l->at);
    size_t length = end ? (size_t)(end - start) : map->size - l->at;
    size_t first = l->at;
    l->at += length + (end ? 1 : 0);
    l->line++;
    if (length > 0 && start[length - 1] == '\r') length--;
    const char *zero = memchr(start, 0, length);
    if (zero)
        BERTH_FAIL(BERTH_E_FORMAT, "%s:%lld: found a zero byte at offset %zu of the file, expected text",
                   l->file->path, (long long)l->line, first + (size_t)(zero - start));
    size_t good = berth_utf8_check(start, length);
    if (good < length)
        BERTH_FAIL(BERTH_E_FORMAT, "%s:%lld: found byte 0x%02X at offset %zu of the file, expected valid UTF-8",
                   l->file->path, (long long)l->line, (unsigned char)start[good], first + good);
    BERTH_TRY(berth_grow(&l->text, &l->capacity, length + 1, 1));
    memcpy(l->text, start, length);
    l->text[length] = 0;
    l->length = length;
    return BERTH_OK;
}
