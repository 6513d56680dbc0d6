/* launch.cuh: what a launch was, in words, for the message when it fails.
 *
 *     layernorm_forward_warp_kernel<T, 3> in forward_wide: grid (33,1,1), block (128,1,1), 0 bytes of shared
 * memory, numbers 130 768
 *
 * launch() is a macro that hands over its own text; the kernel is the first argument of it. Numbers are the
 * integers among the kernel's arguments, in their order. Included by cuda.cuh and by the execution layer. */
#ifndef BERTH_KERNELS_LAUNCH_CUH
#define BERTH_KERNELS_LAUNCH_CUH

#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct launch_site {
    const char *call, *function; /* the text of the arguments; the launcher */
};

struct launch_numbers {
    char text[128];
    size_t used;
};

inline void add_launch_number(launch_numbers &n, long long value) {
    if (n.used + 24 > sizeof n.text) return;
    const int length = snprintf(n.text + n.used, sizeof n.text - n.used, " %lld", value);
    n.used += length > 0 ? (size_t)length : 0;
}

template <class A> inline void add_launch_argument(launch_numbers &, const A &) {
}
inline void add_launch_argument(launch_numbers &n, const int &value) {
    add_launch_number(n, value);
}
inline void add_launch_argument(launch_numbers &n, const int64_t &value) {
    add_launch_number(n, value);
}

/* The first argument of a call's text: up to the comma outside of all brackets. */
inline int launch_kernel_length(const char *call) {
    int depth = 0, i = 0;
    for (; call[i] != '\0' && (depth > 0 || call[i] != ','); i++) {
        if (call[i] == '<' || call[i] == '(') depth++;
        if (call[i] == '>' || call[i] == ')') depth--;
    }
    return i;
}

/* Whether the launch is of a kernel whose text holds `name`. */
inline bool launch_is_of(const launch_site &site, const char *name) {
    const char *found = strstr(site.call, name);
    return found != nullptr && found - site.call < launch_kernel_length(site.call);
}

/* GRID: dim3 of the target */
template <class GRID>
inline void describe_launch(char *text, size_t size, const launch_site &site, const GRID &grid,
                            const GRID &block, size_t dynamic_bytes, const launch_numbers &numbers) {
    snprintf(text, size, "%.*s in %s: grid (%u,%u,%u), block (%u,%u,%u), %zu bytes of shared memory%s%s",
             launch_kernel_length(site.call), site.call, site.function, grid.x, grid.y, grid.z, block.x,
             block.y, block.z, dynamic_bytes, numbers.used > 0 ? ", numbers" : "", numbers.text);
}

#endif /* BERTH_KERNELS_LAUNCH_CUH */
