/* cuda.cuh: the two targets of a CUDA kernel file: nvcc, and the execution layer of host/.
 *
 * A kernel uses CUDA's own words (threadIdx, __syncthreads, __shfl_xor_sync, ...) and, for what the two targets
 * write differently, the words of this file:
 *
 *     launch(kernel, grid, block, dynamic_bytes, stream, arguments...)    0 or a BERTH_CUDA_E_* number; a
 * launch that fails is named: launch.cuh BERTH_SHARED(float, name, [8][33]);     BERTH_DYNAMIC_SHARED(bf16,
 * name); vector_load<uint4>(p), vector_store(p, v)                           aligned to the vector's size
 *     async_copy16, async_copy_commit, async_copy_wait<N>                 cp.async (sm_80)
 *     ldmatrix_x4, ldmatrix_x4_trans, mma_bf16                            ldmatrix, mma.sync.m16n8k16 (sm_80)
 *     fast_exp2(x)                                                        ex2.approx: relative error 2^-22
 *     BERTH_CUDA_TABLE(family)(struct berth_ops *ops)                     the family's function
 *
 * An instruction that host/ does not have may stand only in a kernel that has a twin without it. */
#ifndef BERTH_KERNELS_CUDA_CUH
#define BERTH_KERNELS_CUDA_CUH

#if defined(__CUDACC__)

#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <stdint.h>
#include <stdlib.h>

#include "berth/kernels_cuda.h"
#include "launch.cuh"

#define BERTH_CUDA_TABLE(family) extern "C" void berth_cuda_table_##family
#define BERTH_SHARED(type, name, ...) __shared__ type name __VA_ARGS__
#define BERTH_DYNAMIC_SHARED(type, name)                                                                       \
    extern __shared__ __align__(128) unsigned char berth_dynamic_shared[];                                     \
    type *name = reinterpret_cast<type *>(berth_dynamic_shared)

/* Of the last launch that failed; one device is used by one thread at a time. */
struct launch_record {
    char failed[640];
    launch_site last; /* the last one that was started */
};
inline launch_record &launches() {
    static launch_record record;
    return record;
}

/* Whether each launch is waited for, so that the one that fails is named and not a later one:
 * BERTH_SYNC=1. */
inline bool launch_waits() {
    static const bool waits = getenv("BERTH_SYNC") != nullptr && getenv("BERTH_SYNC")[0] == '1';
    return waits;
}

inline cudaError_t wait_for_launch(cudaStream_t stream) {
    cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
    cudaError_t error = cudaStreamIsCapturing(stream, &capturing);
    if (error == cudaSuccess && capturing == cudaStreamCaptureStatusNone) error = cudaStreamSynchronize(stream);
    return error;
}

/* More than 48 KiB of dynamic shared memory must be asked for, once a kernel. */
template <class... P, class... A>
static int launch_named(const launch_site &site, void (*kernel)(P...), dim3 grid, dim3 block,
                        size_t dynamic_bytes, berth_stream *stream, A... arguments) {
    const struct berth_cuda_stream *s = reinterpret_cast<const struct berth_cuda_stream *>(stream);
    const cudaStream_t at = s == nullptr ? nullptr : (cudaStream_t)s->stream;
    cudaError_t error = cudaSuccess;
    if (dynamic_bytes > 48 * 1024)
        error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)dynamic_bytes);
    if (error == cudaSuccess) {
        kernel<<<grid, block, dynamic_bytes, at>>>(arguments...);
        error = cudaGetLastError();
    }
    if (error == cudaSuccess && launch_waits()) error = wait_for_launch(at);
    launches().last = site;
    if (error == cudaSuccess) return BERTH_CUDA_OK;
    launch_numbers numbers = {};
    (add_launch_argument(numbers, arguments), ...);
    char *text = launches().failed;
    describe_launch(text, sizeof launches().failed, site, grid, block, dynamic_bytes, numbers);
    const size_t used = strlen(text);
    snprintf(text + used, sizeof launches().failed - used, ": %s (%s)", cudaGetErrorString(error),
             cudaGetErrorName(error));
    return BERTH_CUDA_E_RUNTIME + (int)error;
}

template <class V> static __device__ __forceinline__ V vector_load(const void *from) {
    return *reinterpret_cast<const V *>(from);
}

template <class V> static __device__ __forceinline__ void vector_store(void *to, V value) {
    *reinterpret_cast<V *>(to) = value;
}

static __device__ __forceinline__ float fast_exp2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

static __device__ __forceinline__ unsigned shared_address(const void *p) {
    return (unsigned)__cvta_generic_to_shared(p);
}

/* 16 bytes from global to shared memory, or zeros where not valid (from must be an address all the same). */
static __device__ __forceinline__ void async_copy16(void *to_shared, const void *from, bool valid) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to_shared)), "l"(from),
                 "r"(valid ? 16 : 0)
                 : "memory");
}

static __device__ __forceinline__ void async_copy_commit() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}

template <int LEFT> static __device__ __forceinline__ void async_copy_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
}

static __device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

static __device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&r)[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

/* d += a b for 16 x 16 (rows) times 16 x 8 (columns), fp32 sums. */
static __device__ __forceinline__ void mma_bf16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                                uint32_t b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

#else

#include "host/host_cuda.h"

#define BERTH_CUDA_TABLE(family) extern "C" void berth_cuda_host_table_##family

#endif

#define launch(...) launch_named(launch_site{#__VA_ARGS__, __func__}, __VA_ARGS__)

typedef __nv_bfloat16 bf16;

#endif /* BERTH_KERNELS_CUDA_CUH */
