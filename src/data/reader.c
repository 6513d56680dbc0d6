/* reader.c: what all formats share: the registry, mapped files, lines, and the check of what they hold.
 *
 * A line ends in LF or CRLF; the last one may lack its end. Each must be valid UTF-8 without zero bytes.
 * Messages read FILE:LINE: found ..., expected ... .
 */
#include "data/data_priv.h"

#include <stdlib.h>
#include <string.h>

static const struct reader_format *const FORMATS[] = {&reader_tsv, &reader_lines, &reader_seqfiles};

const struct reader_format *reader_find(const char *name) {
    for (size_t i = 0; i < sizeof FORMATS / sizeof FORMATS[0]; i++)
        if (strcmp(FORMATS[i]->name, name) == 0) return FORMATS[i];
    return NULL;
}

berth_status reader_map_files(struct text_file *files, size_t *count, const struct source_spec *spec,
                              const char *path) {
    const char *names[READER_MAX_FILES];
    size_t members = spec->format->members ? spec->format->members(spec, names) : 0;
    *count = members ? members : 1;
    for (size_t i = 0; i < *count; i++) {
        if (members)
            BERTH_TRY(berth_path_join(&files[i].path, path, names[i]));
        else
            BERTH_TRY(berth_strdup(&files[i].path, path));
        BERTH_TRY(berth_file_map(&files[i].map, files[i].path));
        if (files[i].map.size == 0)
            BERTH_FAIL(BERTH_E_FORMAT, "%s:1: found an empty file, expected at least one row", files[i].path);
    }
    return BERTH_OK;
}

void reader_unmap_file(struct text_file *file) {
    berth_file_unmap(&file->map);
    free(file->path);
    memset(file, 0, sizeof *file);
}

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

berth_status reader_open(struct reader *r, const struct source_spec *spec, const struct text_file *files,
                         size_t file_count) {
    memset(r, 0, sizeof *r);
    r->spec = spec;
    r->files = files;
    r->file_count = file_count;
    for (size_t i = 0; i < file_count; i++)
        line_cursor_init(&r->lines[i], &files[i]);
    r->row.label_count = spec->label_count;
    BERTH_TRY(berth_calloc(&r->row.labels, spec->label_count, sizeof *r->row.labels));
    return spec->format->open ? spec->format->open(r) : BERTH_OK;
}

berth_status reader_next(struct reader *r, bool *more) {
    return r->spec->format->next(r, more);
}

void reader_close(struct reader *r) {
    if (r->spec && r->spec->format->close) r->spec->format->close(r);
    free(r->state);
    free(r->row.labels);
    for (size_t i = 0; i < r->file_count; i++)
        line_cursor_deinit(&r->lines[i]);
    memset(r, 0, sizeof *r);
}

char *reader_trim(char *cell) {
    while (*cell == ' ' || *cell == '\t')
        cell++;
    size_t length = strlen(cell);
    while (length > 0 && (cell[length - 1] == ' ' || cell[length - 1] == '\t'))
        length--;
    cell[length] = 0;
    return length > 0 ? cell : NULL;
}
