/* cudnn_graph.h: graphs of cuDNN operations by its C backend API: built, finalised, matched with an engine,
 * run.
 *
 *     struct cudnn_graph *g;
 *     BERTH_TRY(cudnn_graph_create(&g, api));
 *     int a = cudnn_graph_tensor(g, &(struct cudnn_tensor){...}), ...;
 *     cudnn_graph_matmul(g, c, a, b, CUDNN_NONE, CUDNN_NONE, CUDNN_NONE);
 *     BERTH_TRY(cudnn_graph_finish(g, handle));            // the first mistake of the calls above comes out
 * here BERTH_TRY(cudnn_plan_create(&plan, g, &device, true)); BERTH_TRY(cudnn_plan_run(plan, handle, uids,
 * pointers, count, workspace));
 *
 * A device may be a handle's or a recorded description (JSON), so graphs can be checked where there is no GPU
 * (CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, cuDNN 9.8 and later). Sums and products inside a graph are fp32.
 */
#ifndef BERTH_CUDNN_GRAPH_H
#define BERTH_CUDNN_GRAPH_H

#include "device/cuda/cuda_libs.h"

#define CUDNN_NONE (-1)

struct cudnn_tensor {
    int64_t uid; /* > 0, of the graph's own choosing: names the memory when the plan is run; 0: virtual (inside
                    only) */
    cudnnDataType_t type;
    int rank;                    /* 3 or 4 */
    int64_t dims[4], strides[4]; /* [rank] elements */
    int ragged;                  /* tensor of offsets [B+1, 1, 1, 1]; CUDNN_NONE: none */
    bool by_value;               /* a number in host memory */
};
struct cudnn_graph;
berth_status cudnn_graph_create(struct cudnn_graph **out, const struct cudnn_api *api) BERTH_CHECKED;
void cudnn_graph_free(struct cudnn_graph *g); /* NULL is allowed */

/* Each returns or takes numbers of tensors; after a mistake they do nothing. */
int cudnn_graph_tensor(struct cudnn_graph *g, const struct cudnn_tensor *t);
/* A virtual tensor of these dims, contiguous. */
int cudnn_graph_inner(struct cudnn_graph *g, cudnnDataType_t type, int rank, const int64_t *dims);
/* y = mode(x, b), or with t: t ? x : b */
void cudnn_graph_pointwise(struct cudnn_graph *g, cudnnPointwiseMode_t mode, int y, int x, int b, int t);
/* dx = dy mode'(x): mode is one of the _BWD ones */
void cudnn_graph_pointwise_backward(struct cudnn_graph *g, cudnnPointwiseMode_t mode, int dx, int dy, int x);
/* y = the index along `axis` at each element of x's shape */
void cudnn_graph_index(struct cudnn_graph *g, int y, int x, int64_t axis);
/* y = x reduced along the axes where y has 1; deterministic: asks for a fixed order of a sum over blocks */
void cudnn_graph_reduce(struct cudnn_graph *g, cudnnReduceTensorOp_t op, int y, int x, bool deterministic);
/* c = a b over the last two axes; m, n, k: tensors [B, 1, 1, 1] of each batch entry's own sizes, or CUDNN_NONE
 */
void cudnn_graph_matmul(struct cudnn_graph *g, int c, int a, int b, int m, int n, int k);
/* y = 1 with probability `keep`, else 0 */
void cudnn_graph_bernoulli(struct cudnn_graph *g, int y, int seed, int offset, double keep);
/* y = x with other strides: a transposed view */
void cudnn_graph_reshape(struct cudnn_graph *g, int y, int x);
int cudnn_graph_operations(const struct cudnn_graph *g);
/* handle NULL: for a recorded device. */
berth_status cudnn_graph_finish(struct cudnn_graph *g, cudnnHandle_t handle) BERTH_CHECKED;
/* Made, filled by body(graph, user), finished; *out is NULL after a mistake. */
berth_status cudnn_graph_build(struct cudnn_graph **out, const struct cudnn_api *api, cudnnHandle_t handle,
                               void (*body)(struct cudnn_graph *g, const void *user),
                               const void *user) BERTH_CHECKED;

/* ---- plans */
struct cudnn_device {
    cudnnHandle_t handle;    /* NULL: the description */
    const char *description; /* JSON */
};
struct cudnn_plan;
/* The first engine of the heuristics (mode A, then fallback) that finalises; deterministic: and that cuDNN does
 * not call non-deterministic. BERTH_E_UNSUPPORTED when there is none, with how many were refused. Borrows the
 * graph: free the plan first. */
berth_status cudnn_plan_create(struct cudnn_plan **out, struct cudnn_graph *g,
                               const struct cudnn_device *device, bool deterministic) BERTH_CHECKED;
/* The same with the engine of this number alone; -1: any. */
berth_status cudnn_plan_create_with(struct cudnn_plan **out, struct cudnn_graph *g,
                                    const struct cudnn_device *device, bool deterministic,
                                    int64_t engine) BERTH_CHECKED;
void cudnn_plan_free(struct cudnn_plan *p); /* NULL is allowed */
/* False: made for a recorded device, compiled but not loaded on any; it cannot be run. */
bool cudnn_plan_loaded(const struct cudnn_plan *p);
int64_t cudnn_plan_engine(const struct cudnn_plan *p);    /* cuDNN's number of it: recorded with a run */
int64_t cudnn_plan_workspace(const struct cudnn_plan *p); /* bytes */
berth_status cudnn_plan_run(const struct cudnn_plan *p, cudnnHandle_t handle, const int64_t *uids,
                            void *const *pointers, int64_t count, void *workspace) BERTH_CHECKED;

#endif /* BERTH_CUDNN_GRAPH_H */
