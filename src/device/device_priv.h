/* device_priv.h: between the files of src/device. */
#ifndef BERTH_DEVICE_PRIV_H
#define BERTH_DEVICE_PRIV_H

#include "berth/device.h"

extern const struct berth_backend backend_cpu;
extern const struct berth_backend backend_cuda;      /* of a build with BERTH_HAVE_CUDA */
extern const struct berth_backend backend_cuda_host; /* of a build with BERTH_CUDA_HOST */
/* Fills a table with the plain kernels of one instruction set ("base", "avx2", "avx512"); false where this
 * processor or build lacks it. For tests, which run every set. */
bool cpu_isa_fill(const char *name, struct berth_ops *ops);

/* BERTH_E_MEMORY in words: what was asked, what is free of what is there, what the device holds, which settings
 * to lower. */
berth_status device_out_of_memory(const char *device, size_t asked, size_t free_bytes, size_t total,
                                  size_t held) BERTH_CHECKED;

/* ---- matrix products on the CPU (gemm_cpu.c). On the CPU a berth_stream is the store of prepared products. */
berth_status gemm_cpu_open(berth_stream **out, const struct berth_ops *reference, bool has_bf16) BERTH_CHECKED;
void gemm_cpu_close(berth_stream *stream); /* NULL is allowed */
/* The operation of the table; errors are enum berth_cpu_error. */
int gemm_cpu(void *c, const void *a, const void *b, const float *bias, int64_t m, int64_t n, int64_t k,
             int64_t lda, int64_t ldb, int64_t ldc, enum berth_gemm_form form, int accumulate,
             enum berth_dtype c_dtype, enum berth_dtype ab_dtype, berth_stream *stream);
/* Count of products prepared so far. */
int64_t gemm_cpu_prepared(berth_stream *stream);

#endif /* BERTH_DEVICE_PRIV_H */
