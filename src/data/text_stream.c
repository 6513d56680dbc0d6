/* text_stream.c: the bytes of a file, decompressed on the way; what a file is, its first bytes say.
 *
 *     plain   [at .................... end]               the map itself, or what a pipe has given so far
 *     gzip    buffer [ read | at ..... end | free ]       members one behind the other
 *     zstd    the same                                    frames one behind the other
 *
 * Memory holds what is between `at` and `end`, so it is bounded by the longest line.
 */
#include "data/data_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zlib.h>
#include <zstd.h>

#define STREAM_STEP ((size_t)256 << 10)
#define STREAM_INPUT ((size_t)64 << 10) /* read from a pipe at a time */
#define GZIP_MAGIC "\x1F\x8B\x08"
#define ZSTD_MAGIC "\x28\xB5\x2F\xFD"

struct stream_decoder {
    z_stream gzip;
    ZSTD_DStream *zstd;
    bool in_frame; /* the member or frame has begun and has not ended */
};

/* ---- input: the mapped file, or a pipe */

/* At least one byte in [input, input + input_size), or input_ended. */
static berth_status need_input(struct text_stream *s) {
    if (s->input_size > 0 || s->input_ended) return BERTH_OK;
    if (!s->file->piped) {
        s->input_ended = true;
        return BERTH_OK;
    }
    ssize_t n;
    do {
        n = read(s->file->fd, s->pipe_buffer, STREAM_INPUT);
    } while (n < 0 && errno == EINTR);
    if (n < 0) BERTH_FAIL(BERTH_E_IO, "%s: cannot be read: %s", s->file->path, strerror(errno));
    s->input = s->pipe_buffer;
    s->input_size = (size_t)n;
    s->input_ended = n == 0;
    return BERTH_OK;
}

static void use_input(struct text_stream *s, size_t n) {
    s->input += n;
    s->input_size -= n;
    s->input_used += (int64_t)n;
}

/* ---- decoders: each adds what fits to [end, buffer + capacity) */

static berth_status more_plain(struct text_stream *s, size_t room, size_t *added) {
    *added = s->input_size < room ? s->input_size : room;
    memcpy(s->buffer + s->used, s->input, *added);
    use_input(s, *added);
    return BERTH_OK;
}

static berth_status fail_damaged(const struct text_stream *s, const char *name, const char *reason) {
    BERTH_FAIL(BERTH_E_FORMAT, "%s: the %s file is damaged behind byte %lld: %s", s->file->path, name,
               (long long)s->input_used, reason);
}

static berth_status more_gzip(struct text_stream *s, size_t room, size_t *added) {
    z_stream *z = &s->decoder->gzip;
    z->next_in = (unsigned char *)(uintptr_t)s->input;
    z->avail_in = s->input_size > UINT32_MAX ? UINT32_MAX : (unsigned)s->input_size;
    z->next_out = s->buffer + s->used;
    z->avail_out = room > UINT32_MAX ? UINT32_MAX : (unsigned)room;
    unsigned in_before = z->avail_in, out_before = z->avail_out;
    if (!s->decoder->in_frame) {
        if (s->input[0] == 0) { /* tapes and block devices pad with zero bytes */
            while (s->input_size > 0 && s->input[0] == 0)
                use_input(s, 1);
            return BERTH_OK;
        }
        if (inflateReset(z) != Z_OK) return fail_damaged(s, "gzip", "the decoder cannot begin");
        s->decoder->in_frame = true;
    }
    int status = inflate(z, Z_NO_FLUSH);
    if (status == Z_MEM_ERROR) BERTH_FAIL(BERTH_E_MEMORY, "%s: out of memory", s->file->path);
    *added = out_before - z->avail_out;
    use_input(s, in_before - z->avail_in);
    if (status == Z_STREAM_END)
        s->decoder->in_frame = false;
    else if (status != Z_OK && status != Z_BUF_ERROR)
        return fail_damaged(s, "gzip", z->msg ? z->msg : "not a gzip stream");
    return BERTH_OK;
}

static berth_status more_zstd(struct text_stream *s, size_t room, size_t *added) {
    ZSTD_inBuffer in = {s->input, s->input_size, 0};
    ZSTD_outBuffer out = {s->buffer + s->used, room, 0};
    size_t left = ZSTD_decompressStream(s->decoder->zstd, &out, &in);
    use_input(s, in.pos);
    if (ZSTD_isError(left)) return fail_damaged(s, "zstd", ZSTD_getErrorName(left));
    s->decoder->in_frame = left != 0;
    *added = out.pos;
    return BERTH_OK;
}

berth_status stream_more(struct text_stream *s) {
    if (s->ended) return BERTH_OK;
    size_t kept = (size_t)(s->end - s->at);
    if (kept > 0 && s->at != s->buffer) memmove(s->buffer, s->at, kept);
    if (kept + STREAM_STEP > s->capacity)
        BERTH_TRY(berth_grow(&s->buffer, &s->capacity, kept + STREAM_STEP, 1));
    s->used = kept;
    size_t added = 0;
    berth_status status = BERTH_OK;
    while (added == 0 && status == BERTH_OK) {
        status = need_input(s);
        bool drained = s->input_size == 0 && !(s->kind != STREAM_PLAIN && s->decoder->in_frame);
        if (status != BERTH_OK || (s->input_ended && drained)) break;
        size_t room = s->capacity - s->used;
        int64_t used_before = s->input_used;
        status = s->kind == STREAM_GZIP   ? more_gzip(s, room, &added)
                 : s->kind == STREAM_ZSTD ? more_zstd(s, room, &added)
                                          : more_plain(s, room, &added);
        if (status == BERTH_OK && added == 0 && s->input_ended && used_before == s->input_used &&
            s->decoder->in_frame)
            status =
                berth_error_set(BERTH_E_FORMAT, __FILE__, __LINE__,
                                "%s: the %s file ends early, at byte %lld: it has been cut off", s->file->path,
                                s->kind == STREAM_GZIP ? "gzip" : "zstd", (long long)s->input_used);
    }
    s->used += added;
    s->at = s->buffer;
    s->end = s->buffer + s->used;
    s->ended = added == 0;
    return status;
}

/* ---- what a file is */

static bool begins(const struct text_stream *s, const char *magic, size_t size) {
    return s->input_size >= size && memcmp(s->input, magic, size) == 0;
}

static berth_status refuse_archives(const struct text_stream *s) {
    static const struct {
        const char *magic;
        size_t size;
        const char *name;
    } others[] = {{"BZh", 3, "bzip2"},
                  {"\xFD"
                   "7zXZ\0",
                   6, "xz"},
                  {"PK\3\4", 4, "zip"},
                  {"7z\xBC\xAF", 4, "7z"},
                  {"PAR1", 4, "Parquet"},
                  {"\x89HDF\r\n\x1A\n", 8, "HDF5"}};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (begins(s, others[i].magic, others[i].size))
            BERTH_FAIL(BERTH_E_FORMAT,
                       "%s: found a file of type %s, expected text, plain or compressed by gzip or zstd",
                       s->file->path, others[i].name);
    return BERTH_OK;
}

/* A pipe may give the first bytes one by one. */
static bool is_magic_prefix(const struct text_stream *s) {
    return s->input_size > 0 && s->input_size < 4 &&
           (memcmp(s->input, GZIP_MAGIC, s->input_size) == 0 ||
            memcmp(s->input, ZSTD_MAGIC, s->input_size) == 0);
}

static berth_status more_of_magic(struct text_stream *s) {
    ssize_t n = read(s->file->fd, s->pipe_buffer + s->input_size, STREAM_INPUT - s->input_size);
    if (n < 0 && errno == EINTR) return BERTH_OK;
    if (n < 0) BERTH_FAIL(BERTH_E_IO, "%s: cannot be read: %s", s->file->path, strerror(errno));
    s->input_size += (size_t)n;
    s->input_ended = n == 0;
    return BERTH_OK;
}

static berth_status open_decoder(struct text_stream *s) {
    BERTH_TRY(berth_calloc(&s->decoder, 1, sizeof *s->decoder));
    if (s->kind == STREAM_GZIP) {
        if (inflateInit2(&s->decoder->gzip, 15 + 16) != Z_OK)
            BERTH_FAIL(BERTH_E_MEMORY, "%s: out of memory for the decoder", s->file->path);
    } else if (s->kind == STREAM_ZSTD) {
        s->decoder->zstd = ZSTD_createDStream();
        if (!s->decoder->zstd) BERTH_FAIL(BERTH_E_MEMORY, "%s: out of memory for the decoder", s->file->path);
    }
    return BERTH_OK;
}

static berth_status refuse_utf16(struct text_stream *s) {
    if (!s->ended && s->at == s->end) BERTH_TRY(stream_more(s));
    size_t size = (size_t)(s->end - s->at);
    bool little = size >= 2 && s->at[0] == 0xFF && s->at[1] == 0xFE;
    bool big = size >= 2 && s->at[0] == 0xFE && s->at[1] == 0xFF;
    if (!little && !big) return BERTH_OK;
    bool wide = little && size >= 4 && s->at[2] == 0 && s->at[3] == 0;
    BERTH_FAIL(BERTH_E_FORMAT,
               "%s:1: found the byte order mark of UTF-%s, expected UTF-8 (iconv -f UTF-%s -t UTF-8)",
               s->file->path, wide ? "32" : "16", wide ? "32" : "16");
}

berth_status stream_open(struct text_stream *s, const struct text_file *file) {
    memset(s, 0, sizeof *s);
    s->file = file;
    s->input = file->map.data;
    s->input_size = file->map.size;
    if (file->piped) BERTH_TRY(berth_calloc(&s->pipe_buffer, STREAM_INPUT, 1));
    BERTH_TRY(need_input(s));
    while (file->piped && is_magic_prefix(s) && !s->input_ended)
        BERTH_TRY(more_of_magic(s));
    BERTH_TRY(refuse_archives(s));
    if (begins(s, GZIP_MAGIC, 3)) s->kind = STREAM_GZIP;
    if (begins(s, ZSTD_MAGIC, 4)) s->kind = STREAM_ZSTD;
    BERTH_TRY(open_decoder(s));
    if (s->kind == STREAM_PLAIN && !file->piped) { /* nothing is copied */
        s->at = file->map.data;
        s->end = s->at + file->map.size;
        s->ended = true;
    }
    return refuse_utf16(s);
}

void stream_close(struct text_stream *s) {
    if (s->decoder) {
        if (s->kind == STREAM_GZIP) inflateEnd(&s->decoder->gzip);
        ZSTD_freeDStream(s->decoder->zstd);
    }
    free(s->decoder);
    free(s->buffer);
    free(s->pipe_buffer);
    memset(s, 0, sizeof *s);
}
