/* host_run.cpp: fibers, their order, barriers and warp operations, launches. See host_run.h.
 *
 * Switching costs about 10 ns: six registers are saved by hand; other processors take ucontext, several times
 * slower. Each fiber's stack begins at another offset (STACK_COLOUR a lane), or all would share the same few
 * sets of the cache. */
#include "host_run.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "berth/kernels_cuda.h"

#if !defined(__x86_64__)
#include <ucontext.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define STACK_BYTES ((size_t)256 << 10)
#else
#define STACK_BYTES ((size_t)64 << 10)
#endif
#define STACK_COLOUR 192
#define GUARD_PAGE ((size_t)4096)

namespace host {

state run;

namespace {

enum { SHARED_ARRAYS = 32 };

/* What only the engine needs. */
struct engine {
    fiber *fibers;
    int threads, live, arrived;
    uint32_t warps_runnable;
    site barrier;
    void *main_pointer;
    const void *main_stack;
    size_t main_bytes;
    void *main_fake;
    void (*body)(void *);
    void *argument;
    size_t arena_end; /* of what this block uses */
    struct {
        const void *declaration;
        size_t offset, bytes;
    } shared[SHARED_ARRAYS];
    int shared_count;
    enum berth_cuda_host_order order;
    uint64_t seed, random;
    bool failed;
    char text[1200];
    char fail_name[64];                   /* of the launches that are to fail; "": none */
    uint64_t fail_count;                  /* of them, before the first that does */
    void (*before)(void), (*after)(void); /* of berth_cuda_host_set_hooks; or NULL */
} own;

uint32_t next_random() {
    own.random ^= own.random << 13;
    own.random ^= own.random >> 7;
    own.random ^= own.random << 17;
    return (uint32_t)(own.random >> 11);
}

/* ------------------------------------------------------------------ the switch */

#if defined(__x86_64__)
extern "C" void berth_host_switch(void **save, void *load);
extern "C" void berth_host_enter(void);
__asm__(".text\n.p2align 4\n.type berth_host_switch,@function\nberth_host_switch:\n"
        "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
        "  movq %rsp,(%rdi)\n  movq %rsi,%rsp\n"
        "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n  ret\n"
        ".size berth_host_switch,.-berth_host_switch\n"
        ".type berth_host_enter,@function\nberth_host_enter:\n  xorl %ebp,%ebp\n  callq *%rbx\n  ud2\n"
        ".size berth_host_enter,.-berth_host_enter\n");

void prepare_stack(fiber *f, void (*entry)()) {
    void **top = (void **)(f->stack + STACK_BYTES - 64 - STACK_COLOUR * f->lane);
    *--top = (void *)berth_host_enter;
    *--top = nullptr;       /* rbp */
    *--top = (void *)entry; /* rbx */
    for (int i = 0; i < 4; i++)
        *--top = nullptr;
    f->stack_pointer = top;
}
#else
ucontext_t contexts[MOST_THREADS];

void berth_host_switch(void **save, void *load) {
    ucontext_t here;
    *save = &here;
    swapcontext(&here, (ucontext_t *)load);
}

void prepare_stack(fiber *f, void (*entry)()) {
    ucontext_t *c = &contexts[f->id];
    getcontext(c);
    c->uc_stack.ss_sp = f->stack;
    c->uc_stack.ss_size = STACK_BYTES;
    c->uc_link = nullptr;
    makecontext(c, entry, 0);
    f->stack_pointer = c;
}
#endif

/* The address sanitizer follows the stacks: before and after each switch. */
void leaving([[maybe_unused]] void **fake, [[maybe_unused]] const void *stack, [[maybe_unused]] size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(fake, stack, bytes);
#endif
}

void arrived_back([[maybe_unused]] void *fake) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

[[noreturn]] void leave_block(fiber *from) {
    run.current = nullptr;
    leaving(nullptr, own.main_stack, own.main_bytes);
    berth_host_switch(&from->stack_pointer, own.main_pointer);
    __builtin_trap();
}

void go(fiber *next, bool dying) {
    fiber *old = run.current;
    if (next == old) return;
    run.current = next;
    leaving(dying ? nullptr : &old->fake_stack, next->stack, STACK_BYTES);
    berth_host_switch(&old->stack_pointer, next->stack_pointer);
    arrived_back(old->fake_stack);
}

/* ------------------------------------------------------------------ who runs next */

int lowest(uint32_t bits) {
    return __builtin_ctz(bits);
}

int highest(uint32_t bits) {
    return 31 - __builtin_clz(bits);
}

int any_of(uint32_t bits) {
    uint32_t skip = next_random() % (uint32_t)__builtin_popcount(bits);
    while (skip-- > 0)
        bits &= bits - 1;
    return lowest(bits);
}

fiber *pick() {
    if (own.warps_runnable == 0) return nullptr;
    if (own.order == BERTH_CUDA_HOST_RANDOM) {
        const int w = any_of(own.warps_runnable);
        return &own.fibers[w * 32 + any_of(run.warps[w].runnable)];
    }
    const bool reverse = own.order == BERTH_CUDA_HOST_REVERSE;
    int w = run.current != nullptr ? run.current->warp : -1;
    if (w < 0 || !(own.warps_runnable >> w & 1))
        w = reverse ? highest(own.warps_runnable) : lowest(own.warps_runnable);
    const uint32_t lanes = run.warps[w].runnable;
    return &own.fibers[w * 32 + (reverse ? highest(lanes) : lowest(lanes))];
}

void block_thread(fiber *f, const char *what, site where) {
    warp *w = &run.warps[f->warp];
    w->runnable &= ~(1u << f->lane);
    if (w->runnable == 0) own.warps_runnable &= ~(1u << f->warp);
    f->wait = where;
    f->wait_what = what;
}

[[noreturn]] void deadlock() {
    char list[400] = "";
    size_t used = 0;
    const fiber *last = nullptr;
    for (int t = 0; t < own.threads && used < 300; t++) {
        const fiber *f = &own.fibers[t];
        if (!(run.warps[f->warp].alive >> f->lane & 1)) continue;
        if (last != nullptr && last->wait.line == f->wait.line && last->wait_what == f->wait_what) continue;
        last = f;
        used += (size_t)snprintf(list + used, sizeof list - used, " [thread %d in %s at %s:%d]", t,
                                 f->wait_what, f->wait.file, f->wait.line);
    }
    fail("deadlock: %d of %d threads live, none can run:%s", own.live, own.threads, list);
}

void run_another() {
    fiber *next = pick();
    if (next == nullptr) deadlock();
    go(next, false);
}

void release_block() {
    own.arrived = 0;
    own.warps_runnable = 0;
    run.epoch++;
    for (int w = 0; w * 32 < own.threads; w++) {
        run.warps[w].runnable = run.warps[w].alive;
        if (run.warps[w].alive != 0) own.warps_runnable |= 1u << w;
    }
}

/* The body of a fiber. */
void thread_main() {
#if defined(__SANITIZE_ADDRESS__)
    {
        const void *stack;
        size_t bytes;
        __sanitizer_finish_switch_fiber(nullptr, &stack, &bytes);
        if (own.main_stack == nullptr) { /* the very first comes from the program's own stack */
            own.main_stack = stack;
            own.main_bytes = bytes;
        }
    }
#endif
    own.body(own.argument);
    fiber *f = run.current;
    if (own.arrived > 0)
        fail("returned while %d threads wait in __syncthreads at %s:%d", own.arrived, own.barrier.file,
             own.barrier.line);
    if (f->copy_count > 0) fail("returned with %d asynchronous copies not waited for", f->copy_count);
    run.warps[f->warp].alive &= ~(1u << f->lane);
    block_thread(f, "exit", site{"", 0});
    if (--own.live == 0) leave_block(f);
    fiber *next = pick();
    if (next == nullptr) deadlock();
    go(next, true);
    __builtin_trap();
}

/* ------------------------------------------------------------------ a block */

void poison([[maybe_unused]] size_t offset, [[maybe_unused]] size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
    __asan_poison_memory_region(run.arena + offset, bytes);
#endif
}

void unpoison([[maybe_unused]] size_t offset, [[maybe_unused]] size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(run.arena + offset, bytes);
#endif
}

size_t whole_lines(size_t bytes) {
    return (bytes + 127) & ~(size_t)127;
}

void begin_thread(int t) {
    fiber *f = &own.fibers[t];
#if defined(__SANITIZE_ADDRESS__)
    /* The frames of the last block's fibers never returned: their red zones are wiped. */
    if (f->started) {
        char *low = (char *)f->stack_pointer - 4096;
        if (low < f->stack) low = f->stack;
        __asan_unpoison_memory_region(low, (size_t)(f->stack + STACK_BYTES - low));
    }
#endif
    const unsigned id = (unsigned)t, bx = run.block.x, by = run.block.y;
    f->started = true;
    f->id = (uint16_t)t;
    f->warp = (uint16_t)(t / 32);
    f->lane = (uint16_t)(t % 32);
    f->index = uint3{id % bx, id / bx % by, id / (bx * by)};
    f->wait_what = "its start";
    f->copy_count = f->copy_group = 0;
    prepare_stack(f, thread_main);
}

void begin_block() {
    own.live = own.threads;
    own.arrived = own.shared_count = 0;
    own.warps_runnable = 0;
    own.arena_end = whole_lines(run.dynamic_bytes + RED_ZONE);
    run.epoch = 1;
    run.block_count++;
    memset(run.arena, 0xFF, own.arena_end < ARENA_BYTES ? own.arena_end : ARENA_BYTES);
    poison(run.dynamic_bytes, ARENA_BYTES - run.dynamic_bytes);
    for (int w = 0; w * 32 < own.threads; w++) {
        const int lanes = own.threads - w * 32;
        warp *p = &run.warps[w];
        p->exist = p->alive = p->runnable = lanes >= 32 ? 0xFFFFFFFFu : (1u << lanes) - 1;
        p->epoch = 1;
        p->meetings = 0;
        own.warps_runnable |= 1u << w;
    }
    for (int t = 0; t < own.threads; t++)
        begin_thread(t);
}

/* The bytes between the arrays are as they were. */
void check_red_zones() {
    size_t from = run.dynamic_bytes;
    for (int i = 0; i <= own.shared_count && !own.failed; i++) {
        const size_t to = i < own.shared_count ? own.shared[i].offset : own.arena_end;
        for (size_t at = from; at < to && at < ARENA_BYTES; at++) {
            if (run.arena[at] == 0xFF) continue;
            own.failed = true;
            snprintf(own.text, sizeof own.text,
                     "block (%u,%u,%u): shared memory was written out of bounds, %zu bytes behind %s array",
                     run.block_index.x, run.block_index.y, run.block_index.z, at - from,
                     i == 0 ? "the dynamic" : "a static");
            return;
        }
        if (i < own.shared_count) from = own.shared[i].offset + own.shared[i].bytes;
    }
}

void run_block() {
    begin_block();
    run.current = nullptr;
    fiber *first = pick();
    run.current = first;
    leaving(&own.main_fake, first->stack, STACK_BYTES);
    berth_host_switch(&own.main_pointer, first->stack_pointer);
    arrived_back(own.main_fake);
    unpoison(0, ARENA_BYTES);
    check_red_zones();
}

void set_order(enum berth_cuda_host_order order, uint64_t seed) {
    own.order = order;
    own.seed = seed;
    own.random = seed * 0x9E3779B97F4A7C15ull + 88172645463325252ull;
}

/* forward, reverse, random or random:SEED */
void order_from_environment() {
    const char *text = getenv("BERTH_CUDA_HOST_ORDER");
    if (text == nullptr) return;
    if (strcmp(text, "reverse") == 0) set_order(BERTH_CUDA_HOST_REVERSE, 0);
    if (strncmp(text, "random", 6) == 0)
        set_order(BERTH_CUDA_HOST_RANDOM, text[6] == ':' ? strtoull(text + 7, nullptr, 10) : 1);
}

/* NAME or NAME:N; NULL: none */
void set_failure(const char *text) {
    own.fail_count = 0;
    if (text == nullptr) return;
    const char *colon = strrchr(text, ':');
    const size_t length = colon == nullptr ? strlen(text) : (size_t)(colon - text);
    snprintf(own.fail_name, sizeof own.fail_name, "%.*s", (int)length, text);
    own.fail_count = colon == nullptr ? 1 : strtoull(colon + 1, nullptr, 10);
}

bool make_memory() {
    if (run.arena != nullptr) return true;
    const size_t step = STACK_BYTES + GUARD_PAGE;
    void *arena = mmap(nullptr, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *stacks = mmap(nullptr, step * MOST_THREADS, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    own.fibers = (fiber *)calloc(MOST_THREADS, sizeof *own.fibers);
    if (arena == MAP_FAILED || stacks == MAP_FAILED || own.fibers == nullptr) return false;
    for (int t = 0; t < MOST_THREADS; t++) {
        char *base = (char *)stacks + step * (size_t)t;
        if (mprotect(base, GUARD_PAGE, PROT_NONE) != 0) return false; /* below the stack: an overflow stops */
        own.fibers[t].stack = base + GUARD_PAGE;
    }
    run.arena = (unsigned char *)arena;
    return true;
}

uint64_t common_divisor(uint64_t a, uint64_t b) {
    while (b != 0) {
        const uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* The i-th block to run of n: i * step + start covers all when step and n have no common factor. */
struct block_order {
    uint64_t n, step, start;
};

block_order order_of_blocks(uint64_t n) {
    if (own.order == BERTH_CUDA_HOST_FORWARD) return {n, 1, 0};
    if (own.order == BERTH_CUDA_HOST_REVERSE) return {n, n - 1, n - 1};
    uint64_t step = 1 + next_random() % n;
    while (common_divisor(step, n) != 1)
        step++;
    return {n, step, next_random() % n};
}

} // namespace

/* ------------------------------------------------------------------ what kernels call */

void fail(const char *format, ...) {
    const fiber *f = run.current;
    va_list arguments;
    const int used = snprintf(own.text, sizeof own.text, "block (%u,%u,%u) thread %u: ", run.block_index.x,
                              run.block_index.y, run.block_index.z, f == nullptr ? 0u : f->id);
    va_start(arguments, format);
    vsnprintf(own.text + used, sizeof own.text - (size_t)used, format, arguments);
    va_end(arguments);
    if (own.order == BERTH_CUDA_HOST_RANDOM) {
        const size_t length = strlen(own.text);
        snprintf(own.text + length, sizeof own.text - length, " (order random:%llu)",
                 (unsigned long long)own.seed);
    }
    own.failed = true;
    if (f == nullptr) __builtin_trap();
    leave_block(run.current);
}

void sync_block(site where) {
    fiber *f = run.current;
    if (own.live != own.threads)
        fail("%s:%d: __syncthreads after %d of %d threads returned", where.file, where.line,
             own.threads - own.live, own.threads);
    if (own.arrived == 0)
        own.barrier = where;
    else if (own.barrier.line != where.line || strcmp(own.barrier.file, where.file) != 0)
        fail("divergent barrier: __syncthreads at %s:%d while others wait at %s:%d", where.file, where.line,
             own.barrier.file, own.barrier.line);
    if (++own.arrived < own.live) {
        block_thread(f, "__syncthreads", where);
        run_another();
        return;
    }
    release_block();
    if (own.order == BERTH_CUDA_HOST_RANDOM) run_another();
}

static meeting *find_meeting(warp *w, uint32_t mask) {
    int i = 0;
    while (i < w->meetings && w->meet[i].mask != mask)
        i++;
    if (i < w->meetings) return &w->meet[i];
    if (w->meetings < MEETINGS)
        w->meetings++;
    else
        for (i = 0; i < MEETINGS && w->meet[i].arrived != 0;)
            i++;
    if (i == MEETINGS) fail("more than %d groups of lanes meet in one warp", MEETINGS);
    w->meet[i].mask = mask;
    w->meet[i].arrived = 0;
    w->meet[i].turn = 0;
    return &w->meet[i];
}

slot_row *meet(uint32_t mask, int operation, const char *name, site where, const void *in, size_t bytes,
               meeting_end *end) {
    fiber *f = run.current;
    warp *w = &run.warps[f->warp];
    const uint32_t bit = 1u << f->lane, need = mask & w->exist;
    if (!(mask & bit))
        fail("%s:%d: %s: the calling lane %u is not in the mask %08x", where.file, where.line, name, f->lane,
             mask);
    if (need & ~w->alive)
        fail("%s:%d: %s: the mask %08x names lanes that returned (%08x)", where.file, where.line, name, mask,
             need & ~w->alive);
    meeting *m = find_meeting(w, mask);
    if (m->arrived == 0) {
        m->operation = operation;
        m->where = where;
    } else if (m->operation != operation || m->where.line != where.line) {
        fail("divergent warp operation: %s at %s:%d while others wait at %s:%d", name, where.file, where.line,
             m->where.file, m->where.line);
    }
    slot_row *slot = m->slot[m->turn];
    memcpy(slot[f->lane], in, bytes);
    m->arrived |= bit;
    if ((m->arrived & need) != need) {
        block_thread(f, name, where);
        run_another();
        return slot;
    }
    if (end != nullptr) end(slot, need);
    m->arrived = 0;
    m->turn ^= 1;
    w->runnable |= need;
    own.warps_runnable |= 1u << f->warp;
    if (own.order == BERTH_CUDA_HOST_RANDOM) run_another();
    return slot;
}

void *shared_array(const void *declaration, size_t bytes) {
    for (int i = 0; i < own.shared_count; i++)
        if (own.shared[i].declaration == declaration) return run.arena + own.shared[i].offset;
    const size_t offset = own.arena_end, end = whole_lines(offset + bytes + RED_ZONE);
    if (own.shared_count == SHARED_ARRAYS || end > ARENA_BYTES)
        fail("shared memory is used up: %zu bytes taken, %zu more asked for", offset, bytes);
    own.shared[own.shared_count].declaration = declaration;
    own.shared[own.shared_count].offset = offset;
    own.shared[own.shared_count++].bytes = bytes;
    own.arena_end = end;
    unpoison(offset, end - offset);
    memset(run.arena + offset, 0xFF, end - offset);
    poison(offset + bytes, end - offset - bytes);
    return run.arena + offset;
}

bool refused(const launch_site &site) {
    if (own.fail_count == 0 || !launch_is_of(site, own.fail_name)) return false;
    if (--own.fail_count > 0) return false;
    snprintf(own.text, sizeof own.text, "emulated failure");
    return true;
}

void name_error(const char *what) {
    char text[sizeof own.text];
    snprintf(text, sizeof text, "%s: %.600s", what, own.text);
    memcpy(own.text, text, sizeof own.text);
}

int launch_body(dim3 grid, dim3 block, size_t dynamic_bytes, void (*body)(void *), void *argument) {
    const uint64_t threads = (uint64_t)block.x * block.y * block.z;
    const uint64_t blocks = (uint64_t)grid.x * grid.y * grid.z;
    own.failed = false;
    own.text[0] = '\0';
    if (threads < 1 || threads > MOST_THREADS || dynamic_bytes + RED_ZONE > ARENA_BYTES || blocks < 1 ||
        grid.x > 0x7FFFFFFFu || grid.y > 65535 || grid.z > 65535 || block.z > 64) {
        snprintf(own.text, sizeof own.text,
                 "invalid launch: grid (%u,%u,%u), block (%u,%u,%u), %zu bytes of shared memory", grid.x,
                 grid.y, grid.z, block.x, block.y, block.z, dynamic_bytes);
        return BERTH_CUDA_E_HOST;
    }
    if (!make_memory()) {
        snprintf(own.text, sizeof own.text, "no memory for the stacks of a block");
        return BERTH_CUDA_E_HOST;
    }
    run.grid = grid;
    run.block = block;
    run.dynamic_bytes = dynamic_bytes;
    own.threads = (int)threads;
    own.body = body;
    own.argument = argument;
    own.main_stack = nullptr;
    const block_order order = order_of_blocks(blocks);
    uint64_t b = order.start;
    if (own.before != nullptr) own.before();
    for (uint64_t i = 0; i < blocks && !own.failed; i++, b = (b + order.step) % order.n) {
        run.block_index = uint3{(unsigned)(b % grid.x), (unsigned)(b / grid.x % grid.y),
                                (unsigned)(b / ((uint64_t)grid.x * grid.y))};
        run_block();
    }
    if (own.after != nullptr) own.after();
    return own.failed ? BERTH_CUDA_E_HOST : BERTH_CUDA_OK;
}

} // namespace host

/* ------------------------------------------------------------------ the control of berth/kernels_cuda.h */

__attribute__((constructor)) static void read_environment(void) {
    host::order_from_environment();
    host::set_failure(getenv("BERTH_CUDA_HOST_FAIL"));
}

void berth_cuda_host_set_order(enum berth_cuda_host_order order, uint64_t seed) {
    host::set_order(order, seed);
}

void berth_cuda_host_set_hooks(void (*before)(void), void (*after)(void)) {
    host::own.before = before;
    host::own.after = after;
}

void berth_cuda_host_fail_launch(const char *which) {
    host::set_failure(which);
}

const char *berth_cuda_host_error(void) {
    return host::own.text;
}

int berth_cuda_host_detects_races(void) {
    return host::run.touch != nullptr;
}
