/* gemm_cuda.h: matrix products on a GPU by cuBLASLt: the operation `gemm` of kernels.h.
 *
 * Sums in fp32 whatever the element type. An algorithm is chosen once a shape, by the library's heuristics and
 * never by time, and kept: the choices can be written as text, and read again when a run resumes, so that the
 * same binary, libraries and GPU repeat a run's bits. One workspace of fixed size and alignment serves the one
 * stream. */
#ifndef BERTH_GEMM_CUDA_H
#define BERTH_GEMM_CUDA_H

#include "berth/kernels.h"
#include "device/cuda/cuda_libs.h"

#define GEMM_CUDA_WORKSPACE ((size_t)32 << 20) /* bytes; what cuBLAS itself takes on Hopper */

struct gemm_cuda_product {
    void *c;
    const void *a, *b;
    const void *bias; /* [n] of c's type; NULL: none */
    int64_t m, n, k, lda, ldb, ldc;
    enum berth_gemm_form form;
    bool accumulate;
    enum berth_dtype c_dtype, ab_dtype;
};

struct gemm_cuda;
/* workspace: GEMM_CUDA_WORKSPACE bytes of device memory, borrowed. tf32: fp32 factors are rounded to tf32.
 * Needs a device: BERTH_E_DEVICE without one, BERTH_E_UNSUPPORTED without the library. */
berth_status gemm_cuda_open(struct gemm_cuda **out, void *workspace, bool tf32) BERTH_CHECKED;
/* Another way to round factors of floats: all choices made so far are dropped. */
void gemm_cuda_set_tf32(struct gemm_cuda *g, bool tf32);
void gemm_cuda_close(struct gemm_cuda *g); /* NULL is allowed */
berth_status gemm_cuda_run(struct gemm_cuda *g, const struct gemm_cuda_product *p, void *stream) BERTH_CHECKED;

/* The choices made so far, a line each, the library's version first. */
berth_status gemm_cuda_choices(const struct gemm_cuda *g, struct berth_str *out) BERTH_CHECKED;
/* Takes over choices written by the same version; *used is false, and nothing is taken, for another version's.
 * Text that is not such a list is BERTH_E_FORMAT. */
berth_status gemm_cuda_restore(struct gemm_cuda *g, const char *text, bool *used) BERTH_CHECKED;

#endif /* BERTH_GEMM_CUDA_H */
