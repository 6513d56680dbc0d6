/* comm_shared.c: ranks of one machine over shared memory (shared_priv.h): barrier, sums, broadcast. */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "dist/shared_priv.h"

enum { SPINS = 2000, NAP_NS = 20 * 1000 * 1000 };

static struct shared_rank *own(const struct berth_comm *c) {
    return c->own;
}

/* ---- waiting */

static void wake(struct shared *s) {
    syscall(SYS_futex, (uint32_t *)&s->generation, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void shared_fail(struct shared *s, int rank, berth_status status, const char *text, bool died) {
    uint32_t none = 0, own_mark = (uint32_t)rank + 1;
    if (!atomic_compare_exchange_strong(&s->failing, &none, own_mark)) {
        if (!died || none != own_mark || atomic_load(&s->failed)) return;
    }
    s->status = (int)status;
    s->rank = rank;
    snprintf(s->text, sizeof s->text, "%s", text);
    atomic_store(&s->failed, 1);
    wake(s);
}

/* Whether a rank can no longer come to the barrier: then the recorded error is the others'. */
static berth_status check_alive(struct berth_comm *c) {
    struct shared *s = own(c)->shared;
    shared_watch(c);
    if (atomic_load(&s->failed))
        return berth_error_set((berth_status)s->status, __FILE__, __LINE__, "rank %d: %s", s->rank, s->text);
    if (atomic_load(&s->left) > 0)
        BERTH_FAIL(BERTH_E_IO, "another rank has come to its end while rank %d waits for it", c->rank);
    return BERTH_OK;
}

static berth_status barrier(struct berth_comm *c) {
    struct shared *s = own(c)->shared;
    const struct timespec nap = {.tv_nsec = NAP_NS};
    uint32_t generation = atomic_load(&s->generation);
    if (atomic_load(&s->failed)) return check_alive(c);
    if (atomic_fetch_add(&s->arrived, 1) + 1 == (uint32_t)c->size) {
        atomic_store(&s->arrived, 0);
        atomic_fetch_add(&s->generation, 1);
        wake(s);
        return BERTH_OK;
    }
    for (int i = 0; i < SPINS; i++)
        if (atomic_load(&s->generation) != generation) return BERTH_OK;
    for (;;) {
        syscall(SYS_futex, (uint32_t *)&s->generation, FUTEX_WAIT, generation, &nap, NULL, 0);
        if (atomic_load(&s->generation) != generation) return BERTH_OK;
        berth_status status = check_alive(c);
        if (status == BERTH_OK) continue;
        /* the last may have come, and gone on to its end, between the two looks */
        return atomic_load(&s->generation) != generation ? BERTH_OK : status;
    }
}

/* ---- sums */

static unsigned char *slot(const struct berth_comm *c, int half, int rank) {
    return own(c)->shared->slots + ((size_t)half * (size_t)c->size + (size_t)rank) * SHARED_SLOT;
}

/* Adds the stretch [first, first + n) of ranks [low, high) into that of rank `low`, halves first. */
static void add_floats(const struct berth_comm *c, int half, int low, int high, int64_t first, int64_t n) {
    if (high - low == 1) return;
    int middle = low + (high - low) / 2;
    add_floats(c, half, low, middle, first, n);
    add_floats(c, half, middle, high, first, n);
    float *to = (float *)slot(c, half, low) + first;
    const float *from = (const float *)slot(c, half, middle) + first;
    for (int64_t i = 0; i < n; i++)
        to[i] += from[i];
}

static void add_doubles(const struct berth_comm *c, int half, int low, int high, int64_t first, int64_t n) {
    if (high - low == 1) return;
    int middle = low + (high - low) / 2;
    add_doubles(c, half, low, middle, first, n);
    add_doubles(c, half, middle, high, first, n);
    double *to = (double *)slot(c, half, low) + first;
    const double *from = (const double *)slot(c, half, middle) + first;
    for (int64_t i = 0; i < n; i++)
        to[i] += from[i];
}

/* Between the copies in and out of `n` numbers that lie in the slots. */
static berth_status add_up(struct berth_comm *c, int half, int64_t n, bool doubles) {
    int64_t first = n * c->rank / c->size, end = n * (c->rank + 1) / c->size;
    BERTH_TRY(barrier(c));
    if (doubles)
        add_doubles(c, half, 0, c->size, first, end - first);
    else
        add_floats(c, half, 0, c->size, first, end - first);
    return barrier(c);
}

static berth_status sum(struct berth_comm *c, struct berth_device *dev, float *data, int64_t n) {
    const int64_t most = SHARED_SLOT / sizeof *data;
    for (int64_t at = 0; at < n; at += most) {
        int64_t count = n - at < most ? n - at : most;
        size_t bytes = (size_t)count * sizeof *data;
        int half = own(c)->half;
        BERTH_TRY(berth_device_download(dev, slot(c, half, c->rank), data + at, bytes));
        BERTH_TRY(add_up(c, half, count, false));
        BERTH_TRY(berth_device_upload(dev, data + at, slot(c, half, 0), bytes));
        own(c)->half = 1 - half;
    }
    return BERTH_OK;
}

static berth_status sum_host(struct berth_comm *c, double *data, int64_t n) {
    const int64_t most = SHARED_SLOT / sizeof *data;
    for (int64_t at = 0; at < n; at += most) {
        int64_t count = n - at < most ? n - at : most;
        size_t bytes = (size_t)count * sizeof *data;
        int half = own(c)->half;
        memcpy(slot(c, half, c->rank), data + at, bytes);
        BERTH_TRY(add_up(c, half, count, true));
        memcpy(data + at, slot(c, half, 0), bytes);
        own(c)->half = 1 - half;
    }
    return BERTH_OK;
}

static berth_status broadcast(struct berth_comm *c, void *data, size_t bytes) {
    for (size_t at = 0; at < bytes; at += SHARED_SLOT) {
        size_t count = bytes - at < SHARED_SLOT ? bytes - at : SHARED_SLOT;
        int half = own(c)->half;
        if (c->rank == 0) memcpy(slot(c, half, 0), (unsigned char *)data + at, count);
        BERTH_TRY(barrier(c));
        if (c->rank != 0) memcpy((unsigned char *)data + at, slot(c, half, 0), count);
        own(c)->half = 1 - half;
    }
    return BERTH_OK;
}

/* ---- life */

static void fail(struct berth_comm *c, berth_status status, const char *text) {
    own(c)->told = true;
    shared_fail(own(c)->shared, c->rank, status, text, false);
}

static berth_status leave(struct berth_comm *c) {
    berth_status status = BERTH_OK;
    struct shared_rank *r = own(c);
    atomic_store(&r->shared->gone[c->rank], true);
    atomic_fetch_add(&r->shared->left, 1);
    wake(r->shared);
    if (r->children != NULL) shared_gather(c);
    if (!r->told && r->children != NULL && atomic_load(&r->shared->failed))
        status = berth_error_set((berth_status)r->shared->status, __FILE__, __LINE__, "rank %d: %s",
                                 r->shared->rank, r->shared->text);
    bool last = r->users == NULL || atomic_fetch_sub(r->users, 1) == 1;
    if (last) shared_destroy(r->shared, r->bytes);
    if (last) free((void *)r->users);
    free(r->children);
    free(r);
    free(c);
    return status;
}

berth_status shared_create(struct shared **out, size_t *bytes, int size) {
    BERTH_ASSERT_MSG(size > 1 && size <= BERTH_COMM_MAX, "%d ranks", size);
    *bytes = sizeof(struct shared) + 2 * (size_t)size * SHARED_SLOT;
    void *memory = mmap(NULL, *bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        BERTH_FAIL(BERTH_E_MEMORY, "%zu bytes that %d ranks share cannot be had: %s", *bytes, size,
                   strerror(errno));
    *out = memory;
    return BERTH_OK;
}

void shared_destroy(struct shared *s, size_t bytes) {
    munmap(s, bytes);
}

berth_status shared_attach(struct berth_comm **out, struct shared *s, size_t bytes, int rank, int size) {
    static const struct berth_comm_table table = {
        .name = "shared memory",
        .sum = sum,
        .sum_host = sum_host,
        .broadcast = broadcast,
        .barrier = barrier,
        .fail = fail,
        .close = leave,
    };
    struct berth_comm *c = NULL;
    struct shared_rank *r = NULL;
    *out = NULL;
    BERTH_TRY(berth_calloc(&c, 1, sizeof *c));
    berth_status status = berth_calloc(&r, 1, sizeof *r);
    if (status != BERTH_OK) {
        free(c);
        return status;
    }
    *r = (struct shared_rank){.shared = s, .bytes = bytes};
    *c = (struct berth_comm){.table = &table, .rank = rank, .size = size, .own = r};
    *out = c;
    return BERTH_OK;
}

berth_status berth_comm_threads(struct berth_comm **out, int size) {
    berth_status status = BERTH_OK;
    struct shared *s = NULL;
    _Atomic int *users = NULL;
    size_t bytes = 0;
    int made = 0;
    BERTH_TRY_OUT(berth_calloc(&users, 1, sizeof *users));
    BERTH_TRY_OUT(shared_create(&s, &bytes, size));
    for (; made < size; made++) {
        BERTH_TRY_OUT(shared_attach(&out[made], s, bytes, made, size));
        own(out[made])->users = users;
    }
    atomic_store(users, size);
    return BERTH_OK;
out:
    for (int i = 0; i < made; i++) {
        free(out[i]->own);
        free(out[i]);
    }
    if (s != NULL) shared_destroy(s, bytes);
    free((void *)users);
    return status;
}
