/* cuda_host_memory.h: the device memory of cuda-host: memory that the host may not touch.
 *
 * As on a GPU, only kernels, products and copies reach it: it is open while one of them runs and closed
 * otherwise, so an access by the host's own code is a segmentation fault at the access. Fresh memory holds
 * NaNs. All devices of a process share it; one thread at a time. */
#ifndef BERTH_CUDA_HOST_MEMORY_H
#define BERTH_CUDA_HOST_MEMORY_H

#include "berth/base.h"

/* 256-byte aligned, as cudaMalloc. BERTH_E_MEMORY, naming device, request and free bytes, beyond the memory that the device
 * has: BERTH_CUDA_HOST_MEMORY MiB of the environment, or 64 GiB of addresses. */
berth_status cuda_host_memory_take(void **out, size_t bytes) BERTH_CHECKED;
void cuda_host_memory_give(void *pointer); /* NULL is allowed */
/* Pairs, which may be nested. */
void cuda_host_memory_open(void);
void cuda_host_memory_close(void);

#endif /* BERTH_CUDA_HOST_MEMORY_H */
