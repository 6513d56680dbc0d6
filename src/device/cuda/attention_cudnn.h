/* attention_cudnn.h: fused attention over packed sequences by cuDNN's graphs: the second implementation of
 * attention_forward and attention_backward of kernels.h, with the same memory: qkv [T, 3, A, D], out [T, A, D],
 * lse [T, A].
 *
 * cuDNN knows B sequences of at most M tokens, each found by its offset ("ragged") and its length; nothing is
 * computed on what lies beyond a length. Empty sequences fill B up to the bucket's size. Dropout's masks are
 * cuDNN's own: the same for a seed and an offset, but not those of berth's kernels. */
#ifndef BERTH_ATTENTION_CUDNN_H
#define BERTH_ATTENTION_CUDNN_H

#include "device/cuda/cudnn_graph.h"

struct cudnn_attention {
    int64_t sequences; /* B of the bucket */
    int64_t length;    /* M of the bucket; at least 2 (the backward graph refuses 1) */
    int64_t heads, head_size;
    float scale;
    double keep; /* share of probabilities that dropout keeps; 1: no dropout */
};

/* Names of the memory that a plan is run with. */
enum cudnn_attention_uid {
    ATTENTION_QUERY = 1, /* qkv, and the same pointer A*D and 2*A*D elements further for key and value */
    ATTENTION_KEY,
    ATTENTION_VALUE,
    ATTENTION_OUT,
    ATTENTION_LSE,        /* float */
    ATTENTION_LENGTHS,    /* [B] int32 */
    ATTENTION_QKV_OFFSET, /* [B+1] int32: cu_seqlens times 3*A*D */
    ATTENTION_OUT_OFFSET, /* [B+1] int32: cu_seqlens times A*D */
    ATTENTION_LSE_OFFSET, /* [B+1] int32: cu_seqlens times A */
    ATTENTION_SEED,       /* int64, device memory */
    ATTENTION_POSITION,   /* int64, device memory: cuDNN's offset into its random numbers */
    ATTENTION_DOUT,
    ATTENTION_DQUERY, /* dqkv, as qkv */
    ATTENTION_DKEY,
    ATTENTION_DVALUE,
    ATTENTION_KEY_ROWS,    /* backward: the key once more, for a view that is not transposed */
    ATTENTION_SCALE,       /* float, host memory: the numbers of cudnn_attention_numbers */
    ATTENTION_MINUS,       /* -infinity */
    ATTENTION_KEEP,        /* keep */
    ATTENTION_KEEP_INVERSE /* 1 / keep */
};

/* softmax(scale Q Kᵀ) V and its logarithm of the sum: 19 operations with dropout, 16 without. BF16 in and out.
 */
berth_status cudnn_attention_forward_graph(struct cudnn_graph **out, const struct cudnn_api *api,
                                           cudnnHandle_t handle, const struct cudnn_attention *a) BERTH_CHECKED;
/* dQ, dK, dV in the deterministic form: dQ straight from its product, no sum over blocks in global memory. */
berth_status cudnn_attention_backward_graph(struct cudnn_graph **out, const struct cudnn_api *api,
                                            cudnnHandle_t handle,
                                            const struct cudnn_attention *a) BERTH_CHECKED;

#endif /* BERTH_ATTENTION_CUDNN_H */
