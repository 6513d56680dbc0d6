/* product_cudnn.h: matrix products of the feed-forward layers fused with what follows them, by cuDNN's graphs:
 * a second way beside cuBLASLt and berth's own GELU kernel. BF16 in and out, sums in fp32, GELU by erf. */
#ifndef BERTH_PRODUCT_CUDNN_H
#define BERTH_PRODUCT_CUDNN_H

#include "device/cuda/cudnn_graph.h"

struct cudnn_product {
    int64_t rows, columns, inner; /* M, N, K of the product */
};
enum cudnn_product_uid {
    PRODUCT_A = 1, /* [M, K]: x, or the gradient of the layer's output */
    PRODUCT_B,     /* forward W [N, K]; backward W [K, N] */
    PRODUCT_BIAS,  /* [N] bf16 */
    PRODUCT_PRE,   /* [M, N]: what GELU is taken of */
    PRODUCT_OUT,   /* [M, N]: forward GELU(pre), backward the gradient of pre */
    PRODUCT_SUM    /* [N] float: backward, the gradient of the bias */
};
/* pre = A Wᵀ + bias, out = GELU(pre): 3 operations. */
berth_status cudnn_product_forward_graph(struct cudnn_graph **out, const struct cudnn_api *api,
                                         cudnnHandle_t handle, const struct cudnn_product *p) BERTH_CHECKED;
/* out = (A W) GELU'(pre), sum = Σ_rows out: 3 operations. */
berth_status cudnn_product_backward_graph(struct cudnn_graph **out, const struct cudnn_api *api,
                                          cudnnHandle_t handle, const struct cudnn_product *p) BERTH_CHECKED;

#endif /* BERTH_PRODUCT_CUDNN_H */
