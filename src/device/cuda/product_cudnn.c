/* product_cudnn.c: the two graphs of product_cudnn.h. */
#include "device/cuda/product_cudnn.h"

/* A matrix of memory as [1, rows, columns]. */
static int matrix(struct cudnn_graph *g, int64_t uid, cudnnDataType_t type, int64_t rows, int64_t columns,
                  int64_t row_stride, int64_t column_stride) {
    const struct cudnn_tensor t = {.uid = uid,
                                   .type = type,
                                   .rank = 3,
                                   .dims = {1, rows, columns},
                                   .strides = {rows * columns, row_stride, column_stride},
                                   .ragged = CUDNN_NONE};
    return cudnn_graph_tensor(g, &t);
}

static int stored(struct cudnn_graph *g, int64_t uid, int64_t rows, int64_t columns) {
    return matrix(g, uid, CUDNN_DATA_BFLOAT16, rows, columns, columns, 1);
}

static void build_forward(struct cudnn_graph *g, const void *user) {
    const struct cudnn_product *p = user;
    const int64_t dims[3] = {1, p->rows, p->columns};
    int a = stored(g, PRODUCT_A, p->rows, p->inner);
    int w = matrix(g, PRODUCT_B, CUDNN_DATA_BFLOAT16, p->inner, p->columns, 1,
                   p->inner); /* [N, K] as its transpose */
    int bias = stored(g, PRODUCT_BIAS, 1, p->columns);
    int pre = stored(g, PRODUCT_PRE, p->rows, p->columns), out = stored(g, PRODUCT_OUT, p->rows, p->columns);
    int product = cudnn_graph_inner(g, CUDNN_DATA_FLOAT, 3, dims);
    cudnn_graph_matmul(g, product, a, w, CUDNN_NONE, CUDNN_NONE, CUDNN_NONE);
    cudnn_graph_pointwise(g, CUDNN_POINTWISE_ADD, pre, product, bias, CUDNN_NONE);
    cudnn_graph_pointwise(g, CUDNN_POINTWISE_GELU_FWD, out, pre, CUDNN_NONE, CUDNN_NONE);
}

static void build_backward(struct cudnn_graph *g, const void *user) {
    const struct cudnn_product *p = user;
    const int64_t dims[3] = {1, p->rows, p->columns};
    int a = stored(g, PRODUCT_A, p->rows, p->inner), w = stored(g, PRODUCT_B, p->inner, p->columns);
    int pre = stored(g, PRODUCT_PRE, p->rows, p->columns), out = stored(g, PRODUCT_OUT, p->rows, p->columns);
    int sum = matrix(g, PRODUCT_SUM, CUDNN_DATA_FLOAT, 1, p->columns, p->columns, 1);
    int product = cudnn_graph_inner(g, CUDNN_DATA_FLOAT, 3, dims);
    cudnn_graph_matmul(g, product, a, w, CUDNN_NONE, CUDNN_NONE, CUDNN_NONE);
    cudnn_graph_pointwise_backward(g, CUDNN_POINTWISE_GELU_BWD, out, product, pre);
    cudnn_graph_reduce(g, CUDNN_REDUCE_TENSOR_ADD, sum, out, true);
}

berth_status cudnn_product_forward_graph(struct cudnn_graph **out, const struct cudnn_api *api,
                                         cudnnHandle_t handle, const struct cudnn_product *p) {
    return cudnn_graph_build(out, api, handle, build_forward, p);
}

berth_status cudnn_product_backward_graph(struct cudnn_graph **out, const struct cudnn_api *api,
                                          cudnnHandle_t handle, const struct cudnn_product *p) {
    return cudnn_graph_build(out, api, handle, build_backward, p);
}
