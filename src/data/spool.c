/* spool.c: vectors of unknown length in bounded memory, on their way into a packed file.
 *
 *     add ─▶ [ buffer, at most SPOOL_BYTES ] ─ full ─▶ a nameless temporary file beside the packed one
 *
 * An HDF5 dataset needs its length before its first element, and a source's rows are counted only when all are
 * read. So each vector of a pack gathers here first; a small one never leaves memory. */
#include "data/data_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void spool_init(struct spool *s, enum berth_h5_type type, const char *beside) {
    memset(s, 0, sizeof *s);
    s->type = type;
    s->size = berth_h5_type_size(type);
    s->beside = beside;
    s->fd = -1;
}

void spool_deinit(struct spool *s) {
    if (s->beside && s->fd >= 0) close(s->fd);
    free(s->buffer);
    memset(s, 0, sizeof *s);
    s->fd = -1;
}

static berth_status make_file(struct spool *s) {
    char *name = NULL;
    BERTH_TRY(berth_file_open_tmp(&name, &s->fd, s->beside, O_RDWR));
    unlink(name); /* the descriptor alone holds it: nothing is left behind by a crash */
    free(name);
    return BERTH_OK;
}

static berth_status flush(struct spool *s) {
    if (s->fd < 0) BERTH_TRY(make_file(s));
    for (size_t at = 0; at < s->used;) {
        ssize_t n = write(s->fd, s->buffer + at, s->used - at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            BERTH_FAIL(BERTH_E_IO, "%s: its parts cannot be written: %s", s->beside,
                       strerror(n < 0 ? errno : ENOSPC));
        at += (size_t)n;
    }
    s->used = 0;
    return BERTH_OK;
}

berth_status spool_add(struct spool *s, const void *data, size_t count) {
    const char *p = data;
    size_t left = count * s->size;
    while (left > 0) {
        if (s->used == SPOOL_BYTES) BERTH_TRY(flush(s));
        size_t n = left < SPOOL_BYTES - s->used ? left : SPOOL_BYTES - s->used;
        BERTH_TRY(berth_grow(&s->buffer, &s->capacity, s->used + n, 1));
        memcpy(s->buffer + s->used, p, n);
        s->used += n;
        p += n;
        left -= n;
    }
    s->count += (int64_t)count;
    return BERTH_OK;
}

static void renumber(int32_t *values, size_t count, const int32_t *map) {
    for (size_t i = 0; i < count; i++)
        if (values[i] >= 0) values[i] = map[values[i]];
}

/* From the file piece by piece through the buffer, which is then empty. */
static berth_status put_file(struct spool *s, struct berth_h5_writer *w, const char *name, const int32_t *map) {
    int64_t dims[1] = {s->count};
    BERTH_TRY(flush(s));
    BERTH_TRY(berth_h5_begin(w, name, s->type, 1, dims));
    off_t at = 0;
    for (int64_t first = 0; first < s->count;) {
        int64_t most = SPOOL_BYTES / (int64_t)s->size,
                count = s->count - first < most ? s->count - first : most;
        size_t bytes = (size_t)count * s->size, got = 0;
        while (got < bytes) {
            ssize_t n = pread(s->fd, s->buffer + got, bytes - got, at + (off_t)got);
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0)
                BERTH_FAIL(BERTH_E_IO, "%s: its parts cannot be read back: %s", s->beside,
                           strerror(n < 0 ? errno : EIO));
            got += (size_t)n;
        }
        if (map) renumber((int32_t *)(void *)s->buffer, (size_t)count, map);
        BERTH_TRY(berth_h5_part(w, name, first, count, s->buffer));
        at += (off_t)bytes;
        first += count;
    }
    return BERTH_OK;
}

berth_status spool_put(struct spool *s, struct berth_h5_writer *w, const char *name, const int32_t *map) {
    if (s->count == 0) return BERTH_OK;
    BERTH_ASSERT(!map || s->type == BERTH_H5_I32);
    if (s->fd >= 0) return put_file(s, w, name, map);
    if (map) renumber((int32_t *)(void *)s->buffer, (size_t)s->count, map);
    int64_t dims[1] = {s->count};
    return berth_h5_put(w, name, s->type, 1, dims, s->buffer);
}
