/* host_race.cpp: finds races in shared memory. Linked only into the race build, whose kernels are compiled with
 * -fsanitize=thread: the compiler then calls __tsan_read4 and the like before each access, and these are ours.
 *
 * Two accesses of different threads to the same bytes, one of them a write, must be ordered: by a block barrier
 * between them, or, within a warp, by a __syncwarp of the whole warp (a shuffle orders nothing). The shadow
 * keeps, for every two bytes of the arena, the last writer and the last readers with the epochs of both
 * barriers.
 *
 * It also reports the read of bytes that nobody wrote in this block, and any access to the destination of an
 * asynchronous copy that was not waited for. */
#include "host_run.h"

#include <stdlib.h>

using host::fail;
using host::run;

namespace {

enum { NOBODY = 0xFFFF };

struct shadow {
    uint32_t block;                   /* the block this entry speaks of */
    uint32_t write_epoch, write_warp; /* epochs of the block and of the writer's warp at the last write */
    uint32_t read_epoch, read_warp;   /* and at the last read */
    uint16_t writer, reader;          /* threads */
    bool readers_of_warps;            /* since read_epoch: threads of several warps */
    bool readers_of_lanes;            /* since read_warp: several lanes of the reader's warp */
    bool written, pending;
};

shadow table[host::ARENA_BYTES / 2];

shadow *shadow_of(size_t unit) {
    shadow *s = &table[unit];
    if (s->block != run.block_count) {
        memset(s, 0, sizeof *s);
        s->block = run.block_count;
        s->writer = s->reader = NOBODY;
    }
    return s;
}

[[noreturn]] void race(const char *kind, unsigned other, const void *at, const void *code) {
    fail("race in shared memory: %s with thread %u at byte %zu, no barrier between; code address %p", kind,
         other, (size_t)((const unsigned char *)at - run.arena), code);
}

void check_write(const shadow *s, unsigned id, uint32_t warp_epoch, const void *at, const void *code) {
    if (s->reader == NOBODY || s->read_epoch != run.epoch) return;
    const bool other_warp = s->readers_of_warps || s->reader / 32 != id / 32;
    const bool other_lane = s->read_warp == warp_epoch && (s->reader != id || s->readers_of_lanes);
    if (other_warp || other_lane) race("write after read", s->reader, at, code);
}

void note_read(shadow *s, unsigned id, uint32_t warp_epoch) {
    if (s->read_epoch != run.epoch || s->reader == NOBODY)
        s->readers_of_warps = s->readers_of_lanes = false;
    else if (s->reader / 32 != id / 32)
        s->readers_of_warps = true;
    else if (s->read_warp != warp_epoch)
        s->readers_of_lanes = false;
    else if (s->reader != id)
        s->readers_of_lanes = true;
    s->reader = (uint16_t)id;
    s->read_epoch = run.epoch;
    s->read_warp = warp_epoch;
}

void touch(const void *at, size_t bytes, bool write, const void *code) {
    const size_t offset = (size_t)((const unsigned char *)at - run.arena);
    if (run.current == nullptr || offset >= host::ARENA_BYTES) return;
    const unsigned id = run.current->id;
    const uint32_t warp_epoch = run.warps[id / 32].epoch;
    for (size_t unit = offset / 2; unit < (offset + bytes + 1) / 2; unit++) {
        shadow *s = shadow_of(unit);
        if (s->pending)
            fail("%s of shared byte %zu, whose asynchronous copy was not waited for; code address %p",
                 write ? "write" : "read", offset, code);
        const bool same_warp_later = s->writer / 32 == id / 32 && s->write_warp != warp_epoch;
        if (s->writer != NOBODY && s->writer != id && s->write_epoch == run.epoch && !same_warp_later)
            race(write ? "write after write" : "read after write", s->writer, at, code);
        if (!write && !s->written)
            fail("read of shared byte %zu that nobody wrote; code address %p", offset, code);
        if (write) {
            check_write(s, id, warp_epoch, at, code);
            s->writer = (uint16_t)id;
            s->write_epoch = run.epoch;
            s->write_warp = warp_epoch;
            s->written = true;
        } else {
            note_read(s, id, warp_epoch);
        }
    }
}

void copy_issued(const void *at, size_t bytes, bool done) {
    const size_t offset = (size_t)((const unsigned char *)at - run.arena);
    for (size_t unit = offset / 2; unit < (offset + bytes) / 2; unit++)
        shadow_of(unit)->pending = !done;
}

__attribute__((constructor)) void enter(void) {
    run.touch = touch;
    run.copy_issued = copy_issued;
}

} // namespace

/* What the compiler calls. */
#define CODE __builtin_return_address(0)
#define ACCESS(bytes)                                                                                          \
    void __tsan_read##bytes(void *at) {                                                                        \
        touch(at, bytes, false, CODE);                                                                         \
    }                                                                                                          \
    void __tsan_write##bytes(void *at) {                                                                       \
        touch(at, bytes, true, CODE);                                                                          \
    }                                                                                                          \
    void __tsan_volatile_read##bytes(void *at) {                                                               \
        touch(at, bytes, false, CODE);                                                                         \
    }                                                                                                          \
    void __tsan_volatile_write##bytes(void *at) {                                                              \
        touch(at, bytes, true, CODE);                                                                          \
    }                                                                                                          \
    void __tsan_unaligned_read##bytes(void *at) {                                                              \
        touch(at, bytes, false, CODE);                                                                         \
    }                                                                                                          \
    void __tsan_unaligned_write##bytes(void *at) {                                                             \
        touch(at, bytes, true, CODE);                                                                          \
    }
extern "C" {
void __tsan_init() {
}
void __tsan_func_entry(void *) {
}
void __tsan_func_exit() {
}
void __tsan_read_range(void *at, size_t bytes) {
    touch(at, bytes, false, CODE);
}
void __tsan_write_range(void *at, size_t bytes) {
    touch(at, bytes, true, CODE);
}
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)
}
