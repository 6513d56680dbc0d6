/* stub_cuda.h: a machine with one GPU that is none: CUDA's runtime and cuBLASLt, as far as src/device/cuda uses
 * them, on the CPU. For tests of the device `cuda` where there is no GPU; they need the headers of both, no
 * library.
 *
 * A stream is a queue whose work is done as late as CUDA allows: a copy from pinned memory reads it when a
 * kernel, a product, a synchronisation or an event that is waited for comes behind it, so memory that is filled
 * again too early shows in the result. Device memory is that of cuda-host, closed to the host. Kernels are
 * those of cuda-host. Products are computed in double precision from the descriptors, by cuBLASLt's
 * documentation, columns first. */
#ifndef BERTH_STUB_CUDA_H
#define BERTH_STUB_CUDA_H

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stdint.h>

struct stub_gpu {
    const char *name;
    int devices, major, minor, multiprocessors;
    cudaError_t count_error; /* of cudaGetDeviceCount */
    size_t memory;           /* bytes; cudaMalloc refuses more */
    size_t cublaslt_version;
    int64_t refused;  /* columns that no algorithm made for others takes; 0: none */
    int64_t fail_at;  /* this call, from 1, fails; 0: none */
    int64_t fault_at; /* this kernel, from 1, reads where it may not: what waits for it fails, and all that
                         comes later */

    /* counted */
    int64_t kernels, calls, heuristics, matmuls, failed_calls;
    int64_t graph_launches;
    int64_t events, streams, pinned, blocks, descriptors, graphs; /* alive */
    size_t held;
    cublasComputeType_t last_compute;
};
extern struct stub_gpu stub;

/* An H200's numbers, nothing counted. */
void stub_reset(void);
/* Does what is queued. */
void stub_flush(void);
/* Counts a call; true where it is the one that fails. */
bool stub_fails(void);

#endif /* BERTH_STUB_CUDA_H */
