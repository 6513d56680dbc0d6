/* host_cuda.h: CUDA's device functions, as far as the kernels use them, over host_run.h.
 *
 * A caller's file and line come as separate default arguments (nested in a braced default g++ 12 reports the
 * header's line): two barriers on one source line look the same to the detector of divergence. */
#ifndef BERTH_KERNELS_HOST_CUDA_H
#define BERTH_KERNELS_HOST_CUDA_H

#include "berth/kernels_cuda.h"
#include "host_run.h"
#include "launch.cuh"

#define threadIdx (host::run.current->index)
#define blockIdx (host::run.block_index)
#define blockDim (host::run.block)
#define gridDim (host::run.grid)

#define HOST_SITE const char *host_file = __builtin_FILE(), int host_line = __builtin_LINE()
#define HOST_HERE                                                                                              \
    host::site {                                                                                               \
        host_file, host_line                                                                                   \
    }

/* ------------------------------------------------------------------ launch, shared memory */

template <class... P, class... A>
static inline int launch_named(const launch_site &site, void (*kernel)(P...), dim3 grid, dim3 block,
                               size_t dynamic_bytes, berth_stream *, A... arguments) {
    auto body = [=] { kernel(arguments...); };
    void (*const run)(void *) = [](void *p) { (*(decltype(body) *)p)(); };
    const int error = host::refused(site) ? BERTH_CUDA_E_HOST
                      : host::keeps()
                          ? host::keep_launch(grid, block, dynamic_bytes, run, &body, sizeof body)
                          : host::launch_body(grid, block, dynamic_bytes, run, &body);
    if (error == BERTH_CUDA_OK) return error;
    launch_numbers numbers = {};
    char what[400];
    (add_launch_argument(numbers, arguments), ...);
    describe_launch(what, sizeof what, site, grid, block, dynamic_bytes, numbers);
    host::name_error(what);
    return error;
}

#define BERTH_SHARED(type, name, ...)                                                                          \
    static char host_declaration_##name;                                                                       \
    typedef type host_type_##name __VA_ARGS__;                                                                 \
    host_type_##name &name =                                                                                   \
        *(host_type_##name *)host::shared_array(&host_declaration_##name, sizeof(host_type_##name))
#define BERTH_DYNAMIC_SHARED(type, name) type *name = (type *)host::run.arena

/* ------------------------------------------------------------------ barriers, warp operations */

enum host_operation { HOST_SYNC = 1, HOST_SHUFFLE, HOST_BALLOT, HOST_LDMATRIX, HOST_LDMATRIX_TRANS, HOST_MMA };

static inline void __syncthreads(HOST_SITE) {
    host::sync_block(HOST_HERE);
}

void __syncwarp(unsigned mask = 0xFFFFFFFFu, HOST_SITE);
unsigned __ballot_sync(unsigned mask, int predicate, HOST_SITE);

static inline int __any_sync(unsigned mask, int predicate, HOST_SITE) {
    return __ballot_sync(mask, predicate, host_file, host_line) != 0;
}

static inline int __all_sync(unsigned mask, int predicate, HOST_SITE) {
    return __ballot_sync(mask, !predicate, host_file, host_line) == 0;
}

/* What lane `from` brings, to every lane. */
void host_shuffle(void *out, const void *in, size_t bytes, unsigned mask, unsigned from, const char *name,
                  host::site where);

template <class T> static inline T __shfl_sync(unsigned mask, T value, int from, int width = 32, HOST_SITE) {
    const unsigned lane = host::run.current->lane, segment = ~((unsigned)width - 1);
    T out;
    host_shuffle(&out, &value, sizeof value, mask, (lane & segment) | ((unsigned)from & ~segment),
                 "__shfl_sync", HOST_HERE);
    return out;
}

template <class T>
static inline T __shfl_xor_sync(unsigned mask, T value, int with, int width = 32, HOST_SITE) {
    const unsigned lane = host::run.current->lane, other = lane ^ (unsigned)with;
    T out;
    host_shuffle(&out, &value, sizeof value, mask,
                 other / (unsigned)width > lane / (unsigned)width ? lane : other, "__shfl_xor_sync", HOST_HERE);
    return out;
}

template <class T>
static inline T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32, HOST_SITE) {
    const unsigned lane = host::run.current->lane, other = lane + by;
    T out;
    host_shuffle(&out, &value, sizeof value, mask,
                 other / (unsigned)width != lane / (unsigned)width ? lane : other, "__shfl_down_sync",
                 HOST_HERE);
    return out;
}

template <class T>
static inline T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, HOST_SITE) {
    const unsigned lane = host::run.current->lane, inside = lane & ((unsigned)width - 1);
    T out;
    host_shuffle(&out, &value, sizeof value, mask, inside < by ? lane : lane - by, "__shfl_up_sync", HOST_HERE);
    return out;
}

/* ------------------------------------------------------------------ memory, arithmetic */

/* A vector of 8 or 16 bytes must lie on its own size. */
template <class V> static inline V vector_load(const void *from, HOST_SITE) {
    if ((uintptr_t)from % sizeof(V) != 0)
        host::fail("%s:%d: misaligned vector load of %zu bytes at %p", host_file, host_line, sizeof(V), from);
    return *(const V *)from;
}

template <class V> static inline void vector_store(void *to, V value, HOST_SITE) {
    if ((uintptr_t)to % sizeof(V) != 0)
        host::fail("%s:%d: misaligned vector store of %zu bytes at %p", host_file, host_line, sizeof(V), to);
    *(V *)to = value;
}

static inline float fast_exp2(float x) {
    return exp2f(x);
}

/* ------------------------------------------------------------------ tensor cores, asynchronous copies */

void async_copy16(void *to_shared, const void *from, bool valid, HOST_SITE);
void async_copy_commit();
/* Of this thread's groups all but the newest `left` have landed. */
void host_copy_wait(int left);

template <int LEFT> static inline void async_copy_wait() {
    host_copy_wait(LEFT);
}

void ldmatrix_x4(uint32_t (&r)[4], const void *row, HOST_SITE);
void ldmatrix_x4_trans(uint32_t (&r)[4], const void *row, HOST_SITE);
void mma_bf16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, HOST_SITE);

#endif /* BERTH_KERNELS_HOST_CUDA_H */
