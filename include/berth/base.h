/* base.h: what every part stands on: status and errors, log, arena, strings, random numbers, threads.
 *
 * Errors. A mistake of the world (a file, a configuration, memory, a device) travels as a berth_status;
 * its text, with the place it was raised, lies in a record of the calling thread. A mistake of berth's own
 * is BERTH_ASSERT: it prints both values and aborts, in release builds too.
 *
 *     berth_status read_head(struct head *h, const char *path) {
 *         berth_status status = BERTH_OK;
 *         char *text = NULL;
 *         size_t size = 0;
 *         BERTH_TRY_OUT(berth_file_read(&text, &size, path));
 *         if (size < 8)
 *             BERTH_FAIL_OUT(BERTH_E_FORMAT, "%s: %zu bytes, expected at least 8", path, size);
 *         ...
 *     out:
 *         free(text);
 *         return status;
 *     }
 *
 * Nothing below the commands prints, or ends the process. Messages say what was read, what was expected,
 * and where it helps what to do. All functions are safe to call from several threads unless said otherwise.
 */
#ifndef BERTH_BASE_H
#define BERTH_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "berth/philox.h"

/* ------------------------------------------------------------------ status and errors */

/* name, exit code of the program, text */
#define BERTH_STATUS_MAP(X)                                                                                  \
    X(OK, 0, "done")                                                                                         \
    X(E_USAGE, 2, "wrong usage or configuration")                                                            \
    X(E_IO, 1, "input or output failed")                                                                     \
    X(E_FORMAT, 1, "bad file or data")                                                                       \
    X(E_MEMORY, 1, "out of memory")                                                                          \
    X(E_EXISTS, 2, "already exists")                                                                         \
    X(E_UNSUPPORTED, 1, "not supported")                                                                     \
    X(E_DEVICE, 1, "device failed")                                                                          \
    X(E_VERSION, 1, "written by a newer version")                                                            \
    X(E_NUMERIC, 1, "not a finite number")                                                                   \
    X(E_STOPPED, 75, "stopped with a checkpoint written")

typedef enum berth_status {
#define X(name, exit_code, text) BERTH_##name,
    BERTH_STATUS_MAP(X)
#undef X
} berth_status;

#define BERTH_CHECKED __attribute__((warn_unused_result))
#define BERTH_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

const char *berth_status_name(berth_status status);
const char *berth_status_text(berth_status status);
int berth_status_exit_code(berth_status status);

/* Records code and text with the place in the source; returns code. Later calls of the same thread replace it. The
 * text is one line: control characters in it (from a file's bytes) become '?'. */
berth_status berth_error_set(berth_status code, const char *file, int line, const char *fmt, ...)
    BERTH_PRINTF(4, 5);
/* The same for a text of several lines, taken as it is. */
berth_status berth_error_set_lines(berth_status code, const char *file, int line, const char *text);
/* Puts "context: " before the recorded text; returns code unchanged. */
berth_status berth_error_context(berth_status code, const char *fmt, ...) BERTH_PRINTF(2, 3);
/* The recorded text of this thread; "" when there is none. Valid until the next call of the family. */
const char *berth_error_text(void);
/* "src/base/file.c:42": where it was raised, for logs of level debug. */
const char *berth_error_place(void);
void berth_error_clear(void);

#define BERTH_FAIL(code, ...) return berth_error_set((code), __FILE__, __LINE__, __VA_ARGS__)
#define BERTH_TRY(expr)                                                                                      \
    do {                                                                                                     \
        berth_status berth_try_ = (expr);                                                                    \
        if (berth_try_ != BERTH_OK) return berth_try_;                                                       \
    } while (0)
#define BERTH_TRY_CTX(expr, ...)                                                                             \
    do {                                                                                                     \
        berth_status berth_try_ = (expr);                                                                    \
        if (berth_try_ != BERTH_OK) return berth_error_context(berth_try_, __VA_ARGS__);                     \
    } while (0)
/* The same for functions with a clean-up label: they own a variable `status` and a label `out`. */
#define BERTH_FAIL_OUT(code, ...)                                                                            \
    do {                                                                                                     \
        status = berth_error_set((code), __FILE__, __LINE__, __VA_ARGS__);                                   \
        goto out;                                                                                            \
    } while (0)
#define BERTH_TRY_OUT(expr)                                                                                  \
    do {                                                                                                     \
        status = (expr);                                                                                     \
        if (status != BERTH_OK) goto out;                                                                    \
    } while (0)

_Noreturn void berth_assert_fail(const char *file, int line, const char *what, const char *fmt, ...)
    BERTH_PRINTF(4, 5);
/* Mistakes of berth's own; kept in release builds. The second form prints values. */
#define BERTH_ASSERT(cond)                                                                                   \
    do {                                                                                                     \
        if (!(cond)) berth_assert_fail(__FILE__, __LINE__, #cond, "%s", "");                                 \
    } while (0)
#define BERTH_ASSERT_MSG(cond, ...)                                                                          \
    do {                                                                                                     \
        if (!(cond)) berth_assert_fail(__FILE__, __LINE__, #cond, __VA_ARGS__);                              \
    } while (0)
#define BERTH_ASSERT_EQ(a, b)                                                                                \
    do {                                                                                                     \
        long long berth_a_ = (long long)(a), berth_b_ = (long long)(b);                                      \
        if (berth_a_ != berth_b_)                                                                            \
            berth_assert_fail(__FILE__, __LINE__, #a " == " #b, "%lld and %lld", berth_a_, berth_b_);        \
    } while (0)

/* ------------------------------------------------------------------ memory */

/* Zeroed memory of count*size bytes; an overflow or a refusal is BERTH_E_MEMORY naming the bytes asked.
 * A count of 0 gives a pointer that may be freed. Freed with free(). */
berth_status berth_calloc(void *out_pointer, size_t count, size_t size) BERTH_CHECKED;
/* Grows or shrinks *pointer; on failure it is untouched. New bytes are not zeroed. */
berth_status berth_realloc(void *inout_pointer, size_t count, size_t size) BERTH_CHECKED;
berth_status berth_strdup(char **out, const char *text) BERTH_CHECKED;
berth_status berth_strndup(char **out, const char *text, size_t length) BERTH_CHECKED;

/* Makes room for one more element: capacity doubles, starting at 16. */
berth_status berth_grow(void *inout_pointer, size_t *inout_capacity, size_t needed, size_t size) BERTH_CHECKED;

/* A bump arena: many small things that die together (trees, tables, names).
 *
 *     block 1 [used......|free]  block 2 [used..|free.......]      alignment 16
 *
 * Not for several threads at once. Ownership: the arena owns what it hands out. */
struct berth_arena {
    struct berth_arena_block *head;
    size_t used;
};
void berth_arena_init(struct berth_arena *arena);
void berth_arena_deinit(struct berth_arena *arena);
berth_status berth_arena_alloc(struct berth_arena *arena, void *out_pointer, size_t count,
                               size_t size) BERTH_CHECKED; /* zeroed */
berth_status berth_arena_strndup(struct berth_arena *arena, char **out, const char *text,
                                 size_t length) BERTH_CHECKED;

/* ------------------------------------------------------------------ strings */

/* A growing string, always ended by a zero byte once something was added. Errors stick: after a failed add,
 * `failed` is set and later adds do nothing, so a chain of adds is checked once at its end. */
struct berth_str {
    char *data;
    size_t length;
    size_t capacity;
    bool failed;
};
void berth_str_init(struct berth_str *s);
void berth_str_deinit(struct berth_str *s);
void berth_str_reset(struct berth_str *s);
void berth_str_add(struct berth_str *s, const char *text);
void berth_str_addn(struct berth_str *s, const char *text, size_t length);
void berth_str_addf(struct berth_str *s, const char *fmt, ...) BERTH_PRINTF(2, 3);
void berth_str_add_json(struct berth_str *s, const char *text); /* quoted and escaped */
berth_status berth_str_take(struct berth_str *s, char **out) BERTH_CHECKED; /* moves the text out */

/* Whole-string number parsing: no spaces, nothing behind, range checked. False when it is no such number. */
bool berth_parse_int64(const char *text, int64_t *out);
bool berth_parse_double(const char *text, double *out); /* finite decimal numbers; independent of the locale */

/* The candidate nearest to `text` by edit distance, or NULL when none is near enough to be meant. */
const char *berth_nearest(const char *text, const char *const *candidates, size_t count);
/* Shell-style match of `*` and `?`; `*` also matches dots. */
bool berth_glob(const char *pattern, const char *text);

/* ------------------------------------------------------------------ log */

enum berth_log_level { BERTH_LOG_ERROR, BERTH_LOG_WARN, BERTH_LOG_INFO, BERTH_LOG_DEBUG };
typedef void berth_log_sink(void *user, enum berth_log_level level, const char *line);
/* The one sink of the process (NULL: drop everything). Set once by the program before threads start. */
void berth_log_set(berth_log_sink *sink, void *user, enum berth_log_level max_level);
void berth_log(enum berth_log_level level, const char *fmt, ...) BERTH_PRINTF(2, 3);

/* ------------------------------------------------------------------ random numbers, hash, time */

/* A keyed stream: value number `position` of (seed, purpose, stream). Pure functions. */
uint32_t berth_random_u32(uint64_t seed, enum berth_purpose purpose, uint32_t stream, uint64_t position);
uint64_t berth_random_below(uint64_t seed, enum berth_purpose purpose, uint32_t stream, uint64_t position,
                            uint64_t bound); /* unbiased, 0 <= r < bound, bound > 0 */
double berth_random_unit(uint64_t seed, enum berth_purpose purpose, uint32_t stream,
                         uint64_t position); /* [0, 1), 53 bits */
/* Normal, mean 0, deviation 1 (Box-Muller in double, one value a position). */
double berth_random_normal(uint64_t seed, enum berth_purpose purpose, uint32_t stream, uint64_t position);
/* Fisher-Yates shuffle of values[0..count), the same for the same key. */
void berth_random_permute(uint64_t seed, enum berth_purpose purpose, uint32_t stream, int64_t *values,
                          size_t count);

struct berth_hash128 {
    uint64_t low, high;
};
struct berth_hash128 berth_hash(const void *data, size_t size); /* XXH3-128 */
/* Streaming form: create, add, end (which frees). */
struct berth_hasher;
berth_status berth_hasher_create(struct berth_hasher **out) BERTH_CHECKED;
void berth_hasher_add(struct berth_hasher *hasher, const void *data, size_t size);
struct berth_hash128 berth_hasher_end(struct berth_hasher *hasher);
void berth_hash_hex(struct berth_hash128 hash, char out[33]);
uint32_t berth_hash_name(const char *name); /* 32 bits of XXH3-64: stream numbers for names */

double berth_time_seconds(void); /* monotonic */

/* ------------------------------------------------------------------ machine */

/* Threads that parallel loops use: OMP_NUM_THREADS or all processors of the process's affinity mask. */
int berth_thread_count(void);
/* "AMD EPYC 9R14 (2 threads)": for logs and benchmark tables. Static storage. */
const char *berth_cpu_name(void);
/* Peak resident set of this process in bytes; 0 when unknown. */
int64_t berth_peak_memory(void);
#define BERTH_VERSION "0.1.0"

#endif /* BERTH_BASE_H */
