/* probe_kernels.h: small kernels that show the execution layer: what it must compute, and what it must find. */
#ifndef BERTH_TESTS_PROBE_KERNELS_H
#define BERTH_TESTS_PROBE_KERNELS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Kernels with a mistake each; x has 256 floats. */
enum bad_kernel {
    BAD_DIVERGENT_BARRIER, /* two halves of a block wait at two barriers */
    BAD_EARLY_RETURN,      /* a thread returns before a barrier */
    BAD_LATE_RETURN,       /* a thread returns while the others wait */
    BAD_DIVERGENT_WARP,    /* lanes of one mask call two operations */
    BAD_MASK,              /* a lane calls with a mask that leaves it out */
    BAD_SOURCE_LANE,       /* a shuffle reads a lane outside the mask */
    BAD_DEADLOCK,          /* lanes wait for one that never comes */
    BAD_MISSING_BARRIER,   /* shared memory written by one warp, read by another */
    BAD_MISSING_SYNCWARP,  /* and by other lanes of the same warp */
    BAD_MISSING_LAST,      /* a loop that refills its buffer without a barrier at its end */
    BAD_UNWRITTEN,         /* shared memory that nobody wrote is read */
    BAD_WEAK_WAIT,         /* an asynchronous copy is read before it has landed */
    BAD_NO_WAIT,           /* a thread returns with a copy outstanding */
    BAD_MISALIGNED,        /* float4 at an address that is no multiple of 16 */
    BAD_MISALIGNED_COPY,
    BAD_MISALIGNED_ROW, /* of ldmatrix */
    BAD_STATIC_BOUNDS,  /* one element behind a static shared array is written */
    BAD_DYNAMIC_BOUNDS,
    BAD_GLOBAL_BOUNDS, /* one element behind x is read (found by the address sanitizer alone) */
    BAD_GRID,          /* an invalid launch */
    BAD_SHARED_SIZE,
    BAD_COUNT
};
int bad_launch(enum bad_kernel which, float *x);

/* out[lane, 6]: what each kind of shuffle brings of value 10 * lane; then out[192..195]: votes. */
int probe_shuffles(float *out /* [196] */);
/* d[16, 8] = a[16, 16] b[8, 16]ᵀ through ldmatrix and mma; b as [n, k], or as [k, n] where trans. */
int probe_mma(float *d, const float *a, const float *b, int trans);
/* y = bf16 rounding of x, by the kernels' own conversions, singly and in packs of eight */
int probe_bf16(float *y, const float *x, int count);
/* out[block] = 3-dimensional thread and block numbers put together: 1 where all are as CUDA says */
int probe_indices(float *out /* [2 * 3 * 2] */);
/* the order in which blocks and threads ran: out[i] = block * 1000 + thread */
int probe_order(float *out /* [4 * 64] */);
/* x copied through shared memory by asynchronous copies in two stages; every second row zero-filled */
int probe_copies(float *y /* [64, 4] */, const float *x /* [64, 4] */);

#ifdef __cplusplus
}
#endif

#endif /* BERTH_TESTS_PROBE_KERNELS_H */
