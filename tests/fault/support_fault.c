/* support_fault.c: see support_fault.h. The counters are atomic: a checkpoint is written by a thread of its
 * own. */
#include "support_fault.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/types.h>

static atomic_int armed;
static atomic_llong counted, failing;

void faults_arm(enum fault_kind kind, int64_t n) {
    atomic_store(&counted, 0);
    atomic_store(&failing, n);
    atomic_store(&armed, kind);
}

bool faults_disarm(int64_t *count) {
    atomic_store(&armed, FAULT_NONE);
    long long n = atomic_load(&counted);
    if (count != NULL) *count = n;
    return atomic_load(&failing) > 0 && n >= atomic_load(&failing);
}

static char failed_thread[16]; /* written by the one thread whose operation fails, read when the run is over */

const char *faults_thread(void) {
    return failed_thread;
}

static bool fails(enum fault_kind kind) {
    if (atomic_load(&armed) != (int)kind) return false;
    if (atomic_fetch_add(&counted, 1) + 1 != atomic_load(&failing)) return false;
    prctl(PR_GET_NAME, failed_thread);
    if (getenv("FAULTS_ABORT") != NULL) abort(); /* for a debugger: who asked */
    return true;
}

/* ---- file operations: the program's definitions come before the C library's, for shared libraries, too */

#define EXPORTED __attribute__((visibility("default")))
#define NEXT(name)                                                                                             \
    static __typeof__(&name) next;                                                                             \
    if (next == NULL) *(void **)&next = dlsym(RTLD_NEXT, #name);
#define REFUSE(kind, reason)                                                                                   \
    if (fails(kind)) {                                                                                         \
        errno = reason;                                                                                        \
        return -1;                                                                                             \
    }

ssize_t write(int fd, const void *data, size_t size);
ssize_t pwrite(int fd, const void *data, size_t size, off_t at);
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at);
int fsync(int fd);
int ftruncate(int fd, off_t size);
int ftruncate64(int fd, off64_t size);
int truncate(const char *path, off_t size);
int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags);

/* Standard output and error are the test's own. */
EXPORTED ssize_t write(int fd, const void *data, size_t size) {
    NEXT(write)
    if (fd > 2) REFUSE(FAULT_WRITE, ENOSPC)
    return next(fd, data, size);
}
EXPORTED ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    NEXT(pwrite)
    REFUSE(FAULT_WRITE, ENOSPC)
    return next(fd, data, size, at);
}
EXPORTED ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    NEXT(pwrite64)
    REFUSE(FAULT_WRITE, ENOSPC)
    return next(fd, data, size, at);
}
EXPORTED int fsync(int fd) {
    NEXT(fsync)
    REFUSE(FAULT_FLUSH, EIO)
    return next(fd);
}
EXPORTED int ftruncate(int fd, off_t size) {
    NEXT(ftruncate)
    REFUSE(FAULT_CUT, EIO)
    return next(fd, size);
}
EXPORTED int ftruncate64(int fd, off64_t size) {
    NEXT(ftruncate64)
    REFUSE(FAULT_CUT, EIO)
    return next(fd, size);
}
EXPORTED int truncate(const char *path, off_t size) {
    NEXT(truncate)
    REFUSE(FAULT_CUT, EIO)
    return next(path, size);
}
EXPORTED int rename(const char *from, const char *to) {
    NEXT(rename)
    REFUSE(FAULT_RENAME, EIO)
    return next(from, to);
}
EXPORTED int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
    NEXT(renameat2)
    REFUSE(FAULT_RENAME, EIO)
    return next(from_folder, from, to_folder, to, flags);
}

/* ---- allocations of berth's own code */

void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

void *__wrap_calloc(size_t count, size_t size) {
    return fails(FAULT_ALLOCATION) ? NULL : __real_calloc(count, size);
}
void *__wrap_realloc(void *old, size_t size) {
    return fails(FAULT_ALLOCATION) ? NULL : __real_realloc(old, size);
}
void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    return fails(FAULT_ALLOCATION) ? NULL : __real_aligned_alloc(alignment, size);
}
