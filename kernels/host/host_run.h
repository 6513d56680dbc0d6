/* host_run.h: the execution layer's engine: a block's threads as fibers of one CPU thread.
 *
 * A launch runs its blocks one after another. The threads of a block are fibers: each runs until it waits (a
 * barrier, a warp operation, the end), then the next one that can run is taken. Three orders: `forward` (lowest
 * warp and lane first), `reverse`, `random` (warp, lane and block drawn from a seed): code that lacks a barrier
 * gives other results in one of them.
 *
 *     arena (shared memory, 227 KiB)
 *     [dynamic part][red zone][static array][red zone][static array] ...        all bytes 0xFF at block start
 *
 * 0xFF bytes are a NaN, in fp32 and in bf16, so what nobody wrote shows in the result. A red zone that is not
 * 0xFF at the end of a block was written out of bounds; the address sanitizer's build says so at the access.
 *
 * A mistake found (fail) ends the launch: the text, with block and thread in front, is kept for
 * berth_cuda_host_error(), and the launch returns BERTH_CUDA_E_HOST. Nothing here may be used by two CPU
 * threads at the same time. */
#ifndef BERTH_KERNELS_HOST_RUN_H
#define BERTH_KERNELS_HOST_RUN_H

#include "host_types.h"
#include "launch.cuh"

namespace host {

constexpr size_t ARENA_BYTES = 232448; /* the most that a block may ask for on sm_90 */
constexpr size_t RED_ZONE = 64;
constexpr int MOST_THREADS = 1024;
constexpr int SLOT_BYTES = 64; /* of a lane in a warp operation */

/* A place in a kernel's source. */
struct site {
    const char *file;
    int line;
};

/* An asynchronous copy that was issued and not waited for. */
struct pending_copy {
    void *to;
    const void *from;
    bool valid; /* false: zeros are written */
    int group;
};

struct fiber {
    void *stack_pointer;
    char *stack;
    void *fake_stack; /* the address sanitizer's */
    bool started;
    uint3 index; /* threadIdx */
    uint16_t id, warp, lane;
    site wait; /* where it waits, and in what; for the report of a deadlock */
    const char *wait_what;
    pending_copy *copies;
    int copy_count, copy_room, copy_group;
};

typedef unsigned char slot_row[SLOT_BYTES];

/* A warp operation in progress among the lanes of `mask`. Two rows of slots in turn: a fast lane may enter the
 * next operation while a slow one still reads this one's. */
struct meeting {
    uint32_t mask, arrived;
    int operation, turn;
    site where;
    alignas(64) slot_row slot[2][32];
};

enum { MEETINGS = 8 };

struct warp {
    uint32_t exist, alive, runnable; /* lanes */
    uint32_t epoch;                  /* full __syncwarp so far */
    int meetings;
    meeting meet[MEETINGS];
};

/* What kernels, wrappers and the race detector read. */
struct state {
    fiber *current; /* NULL between blocks */
    dim3 grid, block;
    uint3 block_index;
    unsigned char *arena;
    size_t dynamic_bytes;
    uint32_t epoch;       /* block barriers so far in this block */
    uint32_t block_count; /* blocks run since the start of the program */
    warp warps[MOST_THREADS / 32];
    /* Race detector of the build that has one: an access of the running thread. */
    void (*touch)(const void *at, size_t bytes, bool write, const void *code);
    void (*copy_issued)(const void *at, size_t bytes, bool done);
};
extern state run;

/* Ends the launch with this text, block and thread in front. */
[[noreturn]] void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

typedef void meeting_end(slot_row *slot, uint32_t lanes);

/* Waits for the lanes of `mask`, each bringing `bytes` at `in`; the last to come runs `end` (or NULL) over all
 * slots. Returns the slots, one a lane. */
slot_row *meet(uint32_t mask, int operation, const char *name, site where, const void *in, size_t bytes,
               meeting_end *end);
void sync_block(site where);

/* The block's array of this declaration, from the arena. */
void *shared_array(const void *declaration, size_t bytes);

/* Whether this launch is to fail: berth_cuda_host_fail_launch. */
bool refused(const launch_site &site);
/* Puts what the launch was before the text of its mistake. */
void name_error(const char *what);

int launch_body(dim3 grid, dim3 block, size_t dynamic_bytes, void (*body)(void *), void *argument);

/* host_record.cpp: whether work is kept instead of done; keeps a launch with a copy of `argument`. */
bool keeps();
int keep_launch(dim3 grid, dim3 block, size_t dynamic_bytes, void (*body)(void *), const void *argument,
                size_t bytes);

} // namespace host

#endif /* BERTH_KERNELS_HOST_RUN_H */
