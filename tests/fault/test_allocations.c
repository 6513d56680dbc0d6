/* test_allocations.c: once a run is warm, its loop asks for no memory: not in a step, not between steps, not on
 * the thread that prepares input.
 *
 * The program's allocation functions stand before the C library's, so calls are seen wherever they come from,
 * on all threads. Left out are steps at which something is reported, evaluated or written, and what two
 * libraries do within their own calls, which is counted apart and shown: OpenMP's (a team, some parallel
 * loops), oneDNN's (its arguments, each product). The counting begins after WARM steps (some epochs), when the
 * largest step of the data was met: until then the memory of batches grows, by doubling. */
#include "train/support_train.h"

#include <execinfo.h>
#include <link.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#ifndef __has_feature
#define __has_feature(x) 0 /* clang's way to ask */
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || __has_feature(address_sanitizer) ||       \
    __has_feature(thread_sanitizer)
#define SANITIZED 1 /* the sanitizer's allocator stands there already */
#else
#define SANITIZED 0
#endif

enum { WARM = 100, COUNTED = 50, CALLERS = 8 };

static atomic_bool counting;
static atomic_int counted;
static atomic_int of_libraries;
static void *callers[CALLERS][12];
static int depths[CALLERS];
static __thread bool inside; /* backtrace may allocate itself */

/* Where the libraries lie whose own allocations are theirs. */
static struct { uintptr_t first, end; } theirs[16];
static int their_count;

static int find_libraries(struct dl_phdr_info *info, size_t size, void *user) {
    static const char *const names[] = {"libgomp", "libomp", "libdnnl", "libstdc++"}; /* the last is oneDNN's */
    (void)size, (void)user;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strstr(info->dlpi_name, names[i]) == NULL) continue;
        for (int p = 0; p < info->dlpi_phnum && their_count < 16; p++) {
            if (info->dlpi_phdr[p].p_type != PT_LOAD || (info->dlpi_phdr[p].p_flags & PF_X) == 0) continue;
            theirs[their_count].first = info->dlpi_addr + info->dlpi_phdr[p].p_vaddr;
            theirs[their_count].end = theirs[their_count].first + info->dlpi_phdr[p].p_memsz;
            their_count++;
        }
    }
    return 0;
}

static __attribute__((unused)) void count(const void *caller) { /* with a sanitizer nobody calls it */
    if (!atomic_load(&counting) || inside) return;
    for (int i = 0; i < their_count; i++) {
        if ((uintptr_t)caller < theirs[i].first || (uintptr_t)caller >= theirs[i].end) continue;
        atomic_fetch_add(&of_libraries, 1);
        return;
    }
    inside = true;
    int n = atomic_fetch_add(&counted, 1);
    if (n < CALLERS) depths[n] = backtrace(callers[n], 12);
    inside = false;
}

#if !SANITIZED
#define EXPORTED __attribute__((visibility("default")))
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

EXPORTED void *malloc(size_t size) {
    count(__builtin_return_address(0));
    return __libc_malloc(size);
}
EXPORTED void *calloc(size_t n, size_t size) {
    count(__builtin_return_address(0));
    return __libc_calloc(n, size);
}
EXPORTED void *realloc(void *old, size_t size) {
    count(__builtin_return_address(0));
    return __libc_realloc(old, size);
}
EXPORTED void *aligned_alloc(size_t alignment, size_t size) {
    count(__builtin_return_address(0));
    return __libc_memalign(alignment, size);
}
EXPORTED void *memalign(size_t alignment, size_t size) {
    count(__builtin_return_address(0));
    return __libc_memalign(alignment, size);
}
EXPORTED int posix_memalign(void **out, size_t alignment, size_t size) {
    count(__builtin_return_address(0));
    *out = __libc_memalign(alignment, size);
    return *out != NULL ? 0 : 12;
}
#endif

static int warming; /* allocations before: the first checkpoint is among them, so that there are some */

static bool on_step(void *user) {
    const struct berth_trainer *const *t = user;
    int64_t step = (*t)->state.step;
    if (step == WARM) warming = atomic_exchange(&counted, 0);
    atomic_store(&counting, step < WARM + COUNTED);
    return false;
}

/* A run with these settings on top; the number of allocations is shown with their callers where it is not 0. */
static void run_counted(const struct world *w, const char *name, const char *const *settings, size_t n) {
    char output[600], steps[40];
    const char *list[24] = {output,
                            steps,
                            "threads=2",
                            "log.every=100000 steps",
                            "evaluate.every=100000 steps",
                            "checkpoint.every=100000 steps"};
    struct berth_trainer *t = NULL;
    const struct berth_observer observer = {.user = &t, .stop_requested = on_step};
    snprintf(output, sizeof output, "output=%s/%s", w->folder, name);
    snprintf(steps, sizeof steps, "train.steps=%d", WARM + COUNTED + 2);
    for (size_t i = 0; i < n; i++)
        list[6 + i] = settings[i];
    struct berth_config *c = world_config_list(w, list, 6 + n);
    atomic_store(&counted, 0);
    atomic_store(&of_libraries, 0);
    assert_done(berth_trainer_create(&t, c, &observer));
    assert_done(berth_trainer_start(t, false));
    assert_done(berth_trainer_run(t));
    berth_trainer_free(t);
    berth_config_free(c);
    int found = atomic_load(&counted);
    assert_true(warming > 0);
    for (int i = 0; i < found && i < CALLERS; i++) {
        fprintf(stderr, "%s: allocation %d:\n", name, i + 1);
        backtrace_symbols_fd(callers[i], depths[i], STDERR_FILENO);
    }
    fprintf(stderr, "%s: %d allocations in %d warm steps, and %d within OpenMP and oneDNN\n", name, found,
            COUNTED, atomic_load(&of_libraries));
    if (found > 0) fail_msg("%s: %d allocations in %d warm steps", name, found, COUNTED);
}
#define COUNT(w, name, ...)                                                                                    \
    run_counted(w, name, (const char *const[]){__VA_ARGS__},                                                   \
                sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void test_plain(void **state) {
    COUNT(*state, "mixed", "sampling.mix=batch");
    COUNT(*state, "one task", "sampling.mix=step");
    COUNT(*state, "all", "sampling.mix=all");
}

static void test_rich(void **state) {
    COUNT(*state, "rich", "train.accumulate=2", "train.ema=0.9", "weighting.method=uncertainty",
          "freeze=[{select: embeddings}, {select: layers.0, until: 10 steps}]");
    COUNT(*state, "parts", "train.accumulate=4", "deterministic=strict");
    COUNT(*state, "tokens", "train={steps: 152, batch_tokens: 40, lr: 2.0e-3}");
    COUNT(*state, "by task", "weighting.method=pcgrad", "train.accumulate=2", "train.recompute=layers");
    COUNT(*state, "representation", "weighting={method: gradnorm, gradients: representation}");
}

/* The counter counts: the shim is where it should be. */
static void test_shim(void **state) {
    (void)state;
    atomic_store(&counted, 0);
    atomic_store(&counting, true);
    void *volatile p = malloc(100);
    p = realloc(p, 200);
    free(p);
    p = calloc(3, 5);
    free(p);
    atomic_store(&counting, false);
    assert_int_equal(atomic_load(&counted), 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shim), cmocka_unit_test(test_plain),
                                       cmocka_unit_test(test_rich)};
    if (SANITIZED) {
        fputs("skipped: the sanitizer's allocator cannot be counted; the optimised build counts\n", stderr);
        return 77;
    }
    void *warm[2];
    (void)backtrace(warm, 2); /* loads a library */
    dl_iterate_phdr(find_libraries, NULL);
    return cmocka_run_group_tests_name("allocations", tests, world_setup, world_teardown);
}
