/* vocab_store.c: arrays under a budget of memory. One that would take the whole beyond it moves into a
 * temporary file and is mapped from there for good: shared pages of a file can be written back and dropped by
 * the system, so what the process must hold stays within the budget while the array is used as before.
 *
 * The file's blocks are reserved before they are mapped: a full disk is an error here, not a signal at some
 * later write. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "berth/file.h"
#include "text/vocab_priv.h"

berth_status vocab_temp_file(struct vocab_memory *m, int *out_fd) {
    char *name = NULL;
    BERTH_TRY(berth_file_open_tmp(&name, out_fd, m->temp, O_RDWR));
    unlink(name);
    free(name);
    m->files++;
    return BERTH_OK;
}

void vocab_array_init(struct vocab_array *a, size_t size) {
    *a = (struct vocab_array){.size = size, .fd = -1};
}

void vocab_array_deinit(struct vocab_memory *m, struct vocab_array *a) {
    if (a->fd >= 0) {
        if (a->data != NULL) munmap(a->data, a->capacity * a->size);
        close(a->fd);
    } else {
        free(a->data);
        m->used -= (int64_t)(a->capacity * a->size);
    }
    vocab_array_init(a, a->size);
}

static berth_status reserve(const struct vocab_memory *m, int fd, size_t bytes) {
    int error = 0;
    do {
        error = posix_fallocate(fd, 0, (off_t)bytes);
    } while (error == EINTR);
    if (error != 0)
        BERTH_FAIL(BERTH_E_IO, "%s: a temporary file of %zu bytes cannot be made: %s", m->temp, bytes,
                   strerror(error));
    return BERTH_OK;
}

/* Maps the file's first `bytes`; what was mapped moves. */
static berth_status map_file(struct vocab_memory *m, struct vocab_array *a, size_t bytes) {
    size_t before = a->capacity * a->size;
    BERTH_TRY(reserve(m, a->fd, bytes));
    void *data = a->data != NULL ? mremap(a->data, before, bytes, MREMAP_MAYMOVE)
                                 : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, a->fd, 0);
    if (data == MAP_FAILED)
        BERTH_FAIL(BERTH_E_MEMORY, "%s: a temporary file of %zu bytes cannot be mapped: %s", m->temp, bytes,
                   strerror(errno));
    a->data = data;
    a->capacity = bytes / a->size;
    return BERTH_OK;
}

static berth_status move_to_file(struct vocab_memory *m, struct vocab_array *a, size_t bytes) {
    struct vocab_array moved = {.size = a->size, .fd = -1};
    BERTH_TRY(vocab_temp_file(m, &moved.fd));
    berth_status status = map_file(m, &moved, bytes);
    if (status != BERTH_OK) {
        close(moved.fd);
        return status;
    }
    if (a->capacity > 0) memcpy(moved.data, a->data, a->capacity * a->size);
    vocab_array_deinit(m, a);
    *a = moved;
    return BERTH_OK;
}

berth_status vocab_array_grow(struct vocab_memory *m, struct vocab_array *a, size_t needed) {
    if (needed <= a->capacity) return BERTH_OK;
    size_t capacity = a->capacity < 8 ? 16 : a->capacity * 2, bytes = 0;
    if (capacity < needed) capacity = needed;
    if (__builtin_mul_overflow(capacity, a->size, &bytes) || bytes > INT64_MAX / 4)
        BERTH_FAIL(BERTH_E_MEMORY, "out of memory: %zu elements of %zu bytes were asked for", capacity,
                   a->size);
    if (a->fd >= 0) return map_file(m, a, bytes);
    int64_t more = (int64_t)bytes - (int64_t)(a->capacity * a->size);
    if (m->limit > 0 && m->used + more > m->limit) return move_to_file(m, a, bytes);
    BERTH_TRY(berth_realloc(&a->data, capacity, a->size));
    a->capacity = capacity;
    m->used += more;
    return BERTH_OK;
}
