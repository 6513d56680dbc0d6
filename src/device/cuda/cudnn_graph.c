/* cudnn_graph.c: descriptors of cuDNN's backend API behind the few calls that berth's graphs need.
 *
 * Every descriptor is made, filled and finalised in one place (describe); the graph owns them all and destroys
 * them in the reverse order. The first failing call is kept in `status` and told by cudnn_graph_finish. */
#include "device/cuda/cudnn_graph.h"

#include <stdlib.h>
#include <string.h>

#define MAX_ENGINES 16

struct cudnn_graph {
    const struct cudnn_api *api;
    cudnnBackendDescriptor_t *all; /* [count] in the order of making */
    size_t count, capacity;
    cudnnBackendDescriptor_t *tensors; /* [tensor_count] borrowed from all */
    size_t tensor_count, tensor_capacity;
    cudnnBackendDescriptor_t *operations; /* [operation_count] borrowed from all */
    size_t operation_count, operation_capacity;
    cudnnBackendDescriptor_t graph; /* borrowed from all */
    berth_status status;
};

struct attribute {
    cudnnBackendAttributeName_t name;
    cudnnBackendAttributeType_t type;
    int64_t count; /* 0: not set */
    const void *value;
};

berth_status cudnn_graph_create(struct cudnn_graph **out, const struct cudnn_api *api) {
    BERTH_TRY(berth_calloc(out, 1, sizeof **out));
    (*out)->api = api;
    return BERTH_OK;
}

void cudnn_graph_free(struct cudnn_graph *g) {
    if (g == NULL) return;
    while (g->count > 0)
        g->api->BackendDestroyDescriptor(g->all[--g->count]);
    free(g->all);
    free(g->tensors);
    free(g->operations);
    free(g);
}

/* Makes, fills and finalises a descriptor that the graph then owns. */
static berth_status describe(struct cudnn_graph *g, cudnnBackendDescriptor_t *out,
                             cudnnBackendDescriptorType_t type, const struct attribute *list, size_t count) {
    cudnnBackendDescriptor_t d = NULL;
    BERTH_TRY(berth_grow(&g->all, &g->capacity, g->count + 1, sizeof *g->all));
    BERTH_TRY(CUDNN_CALL(g->api, BackendCreateDescriptor(type, &d)));
    g->all[g->count++] = d;
    for (size_t i = 0; i < count; i++) {
        if (list[i].count == 0) continue;
        BERTH_TRY(CUDNN_CALL(g->api,
                             BackendSetAttribute(d, list[i].name, list[i].type, list[i].count, list[i].value)));
    }
    BERTH_TRY(CUDNN_CALL(g->api, BackendFinalize(d)));
    *out = d;
    return BERTH_OK;
}
#define DESCRIBE(g, out, type, list) describe((g), (out), (type), (list), sizeof(list) / sizeof(list)[0])

static void fail(struct cudnn_graph *g, berth_status status) {
    if (g->status == BERTH_OK) g->status = status;
}

/* The descriptor of a tensor; NULL for CUDNN_NONE. */
static cudnnBackendDescriptor_t tensor_at(const struct cudnn_graph *g, int tensor) {
    if (tensor == CUDNN_NONE) return NULL;
    BERTH_ASSERT_MSG(tensor >= 0 && (size_t)tensor < g->tensor_count, "tensor %d of %zu", tensor,
                     g->tensor_count);
    return g->tensors[tensor];
}

static berth_status add_tensor(struct cudnn_graph *g, const struct cudnn_tensor *t, int64_t uid) {
    const bool is_virtual = t->uid == 0;
    const int64_t alignment = 16;
    const cudnnBackendDescriptor_t ragged = tensor_at(g, t->ragged);
    cudnnBackendDescriptor_t d = NULL;
    const struct attribute list[] = {
        {CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid},
        {CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &t->type},
        {CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, t->rank, t->dims},
        {CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, t->rank, t->strides},
        {CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment},
        {CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual},
        {CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, t->by_value, &t->by_value},
        {CUDNN_ATTR_TENSOR_RAGGED_OFFSET_DESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, ragged != NULL, &ragged},
    };
    BERTH_TRY(DESCRIBE(g, &d, CUDNN_BACKEND_TENSOR_DESCRIPTOR, list));
    BERTH_TRY(berth_grow(&g->tensors, &g->tensor_capacity, g->tensor_count + 1, sizeof *g->tensors));
    g->tensors[g->tensor_count++] = d;
    return BERTH_OK;
}

int cudnn_graph_tensor(struct cudnn_graph *g, const struct cudnn_tensor *t) {
    /* Virtual tensors get numbers of their own, far from those that callers choose. */
    int64_t uid = t->uid != 0 ? t->uid : 1000 + (int64_t)g->tensor_count;
    if (g->status != BERTH_OK) return CUDNN_NONE;
    BERTH_ASSERT_MSG(t->uid >= 0 && t->uid < 1000, "uid %lld", (long long)t->uid);
    fail(g, add_tensor(g, t, uid));
    return g->status == BERTH_OK ? (int)g->tensor_count - 1 : CUDNN_NONE;
}

int cudnn_graph_inner(struct cudnn_graph *g, cudnnDataType_t type, int rank, const int64_t *dims) {
    struct cudnn_tensor t = {.type = type, .rank = rank, .ragged = CUDNN_NONE};
    int64_t stride = 1;
    for (int i = rank - 1; i >= 0; i--) {
        t.dims[i] = dims[i];
        t.strides[i] = stride;
        stride *= dims[i];
    }
    return cudnn_graph_tensor(g, &t);
}

static berth_status add_operation(struct cudnn_graph *g, cudnnBackendDescriptorType_t type,
                                  const struct attribute *list, size_t count) {
    cudnnBackendDescriptor_t d = NULL;
    BERTH_TRY(describe(g, &d, type, list, count));
    BERTH_TRY(
        berth_grow(&g->operations, &g->operation_capacity, g->operation_count + 1, sizeof *g->operations));
    g->operations[g->operation_count++] = d;
    return BERTH_OK;
}
#define ADD_OPERATION(g, type, list) add_operation((g), (type), (list), sizeof(list) / sizeof(list)[0])

/* What a pointwise operation computes in: positions and comparisons of positions are whole numbers. */
static cudnnDataType_t pointwise_math(cudnnPointwiseMode_t mode) {
    if (mode == CUDNN_POINTWISE_GEN_INDEX || mode == CUDNN_POINTWISE_CMP_LT) return CUDNN_DATA_INT32;
    if (mode == CUDNN_POINTWISE_LOGICAL_AND) return CUDNN_DATA_BOOLEAN;
    return CUDNN_DATA_FLOAT;
}

static berth_status add_pointwise(struct cudnn_graph *g, cudnnPointwiseMode_t mode, int64_t axis, int y, int x,
                                  int b, int t) {
    const cudnnDataType_t math = pointwise_math(mode);
    const cudnnBackendDescriptor_t ty = tensor_at(g, y), tx = tensor_at(g, x), tb = tensor_at(g, b),
                                   tt = tensor_at(g, t);
    cudnnBackendDescriptor_t what = NULL;
    const struct attribute desc[] = {
        {CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode},
        {CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &math},
        {CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, mode == CUDNN_POINTWISE_GEN_INDEX, &axis},
    };
    BERTH_TRY(DESCRIBE(g, &what, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, desc));
    const struct attribute list[] = {
        {CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &what},
        {CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &tx},
        {CUDNN_ATTR_OPERATION_POINTWISE_BDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, tb != NULL, &tb},
        {CUDNN_ATTR_OPERATION_POINTWISE_TDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, tt != NULL, &tt},
        {CUDNN_ATTR_OPERATION_POINTWISE_YDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &ty},
    };
    return ADD_OPERATION(g, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, list);
}

void cudnn_graph_pointwise(struct cudnn_graph *g, cudnnPointwiseMode_t mode, int y, int x, int b, int t) {
    if (g->status == BERTH_OK) fail(g, add_pointwise(g, mode, 0, y, x, b, t));
}

static berth_status add_pointwise_backward(struct cudnn_graph *g, cudnnPointwiseMode_t mode, int dx, int dy,
                                           int x) {
    const cudnnDataType_t math = CUDNN_DATA_FLOAT;
    const cudnnBackendDescriptor_t tdx = tensor_at(g, dx), tdy = tensor_at(g, dy), tx = tensor_at(g, x);
    cudnnBackendDescriptor_t what = NULL;
    const struct attribute desc[] = {
        {CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode},
        {CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &math},
    };
    BERTH_TRY(DESCRIBE(g, &what, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, desc));
    const struct attribute list[] = {
        {CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &what},
        {CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &tx},
        {CUDNN_ATTR_OPERATION_POINTWISE_DYDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &tdy},
        {CUDNN_ATTR_OPERATION_POINTWISE_DXDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &tdx},
    };
    return ADD_OPERATION(g, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, list);
}

void cudnn_graph_pointwise_backward(struct cudnn_graph *g, cudnnPointwiseMode_t mode, int dx, int dy, int x) {
    if (g->status == BERTH_OK) fail(g, add_pointwise_backward(g, mode, dx, dy, x));
}

void cudnn_graph_index(struct cudnn_graph *g, int y, int x, int64_t axis) {
    if (g->status == BERTH_OK)
        fail(g, add_pointwise(g, CUDNN_POINTWISE_GEN_INDEX, axis, y, x, CUDNN_NONE, CUDNN_NONE));
}

static berth_status add_reduce(struct cudnn_graph *g, cudnnReduceTensorOp_t op, int y, int x,
                               bool deterministic) {
    const cudnnDataType_t math = CUDNN_DATA_FLOAT;
    const cudnnBackendDescriptor_t ty = tensor_at(g, y), tx = tensor_at(g, x);
    cudnnBackendDescriptor_t what = NULL;
    const struct attribute desc[] = {
        {CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &op},
        {CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &math},
        {CUDNN_ATTR_REDUCTION_IS_DETERMINISTIC, CUDNN_TYPE_BOOLEAN, deterministic, &deterministic},
    };
    BERTH_TRY(DESCRIBE(g, &what, CUDNN_BACKEND_REDUCTION_DESCRIPTOR, desc));
    const struct attribute list[] = {
        {CUDNN_ATTR_OPERATION_REDUCTION_XDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &tx},
        {CUDNN_ATTR_OPERATION_REDUCTION_YDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &ty},
        {CUDNN_ATTR_OPERATION_REDUCTION_DESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &what},
    };
    return ADD_OPERATION(g, CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR, list);
}

void cudnn_graph_reduce(struct cudnn_graph *g, cudnnReduceTensorOp_t op, int y, int x, bool deterministic) {
    if (g->status == BERTH_OK) fail(g, add_reduce(g, op, y, x, deterministic));
}

static berth_status add_matmul(struct cudnn_graph *g, int c, int a, int b, const int sizes[3]) {
    const cudnnDataType_t math = CUDNN_DATA_FLOAT;
    const cudnnBackendDescriptor_t tc = tensor_at(g, c), ta = tensor_at(g, a), tb = tensor_at(g, b);
    const cudnnBackendDescriptor_t m = tensor_at(g, sizes[0]), n = tensor_at(g, sizes[1]),
                                   k = tensor_at(g, sizes[2]);
    cudnnBackendDescriptor_t what = NULL;
    const struct attribute desc[] = {{CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &math}};
    BERTH_TRY(DESCRIBE(g, &what, CUDNN_BACKEND_MATMUL_DESCRIPTOR, desc));
    const struct attribute list[] = {
        {CUDNN_ATTR_OPERATION_MATMUL_ADESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &ta},
        {CUDNN_ATTR_OPERATION_MATMUL_BDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &tb},
        {CUDNN_ATTR_OPERATION_MATMUL_CDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &tc},
        {CUDNN_ATTR_OPERATION_MATMUL_DESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &what},
        {CUDNN_ATTR_OPERATION_MATMUL_GEMM_M_OVERRIDE_DESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, m != NULL, &m},
        {CUDNN_ATTR_OPERATION_MATMUL_GEMM_N_OVERRIDE_DESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, n != NULL, &n},
        {CUDNN_ATTR_OPERATION_MATMUL_GEMM_K_OVERRIDE_DESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, k != NULL, &k},
    };
    return ADD_OPERATION(g, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR, list);
}

void cudnn_graph_matmul(struct cudnn_graph *g, int c, int a, int b, int m, int n, int k) {
    const int sizes[3] = {m, n, k};
    if (g->status == BERTH_OK) fail(g, add_matmul(g, c, a, b, sizes));
}

static berth_status add_bernoulli(struct cudnn_graph *g, int y, int seed, int offset, double keep) {
    const cudnnRngDistribution_t distribution = CUDNN_RNG_DISTRIBUTION_BERNOULLI;
    const cudnnBackendDescriptor_t ty = tensor_at(g, y), ts = tensor_at(g, seed), to = tensor_at(g, offset);
    cudnnBackendDescriptor_t what = NULL;
    const struct attribute desc[] = {
        {CUDNN_ATTR_RNG_DISTRIBUTION, CUDNN_TYPE_RNG_DISTRIBUTION, 1, &distribution},
        {CUDNN_ATTR_RNG_BERNOULLI_DIST_PROBABILITY, CUDNN_TYPE_DOUBLE, 1, &keep},
    };
    BERTH_TRY(DESCRIBE(g, &what, CUDNN_BACKEND_RNG_DESCRIPTOR, desc));
    const struct attribute list[] = {
        {CUDNN_ATTR_OPERATION_RNG_YDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &ty},
        {CUDNN_ATTR_OPERATION_RNG_SEED, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &ts},
        {CUDNN_ATTR_OPERATION_RNG_OFFSET_DESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &to},
        {CUDNN_ATTR_OPERATION_RNG_DESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &what},
    };
    return ADD_OPERATION(g, CUDNN_BACKEND_OPERATION_RNG_DESCRIPTOR, list);
}

void cudnn_graph_bernoulli(struct cudnn_graph *g, int y, int seed, int offset, double keep) {
    if (g->status == BERTH_OK) fail(g, add_bernoulli(g, y, seed, offset, keep));
}

static berth_status add_reshape(struct cudnn_graph *g, int y, int x) {
    const cudnnBackendDescriptor_t ty = tensor_at(g, y), tx = tensor_at(g, x);
    const struct attribute list[] = {
        {CUDNN_ATTR_OPERATION_RESHAPE_XDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &tx},
        {CUDNN_ATTR_OPERATION_RESHAPE_YDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &ty},
    };
    return ADD_OPERATION(g, CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR, list);
}

void cudnn_graph_reshape(struct cudnn_graph *g, int y, int x) {
    if (g->status == BERTH_OK) fail(g, add_reshape(g, y, x));
}

int cudnn_graph_operations(const struct cudnn_graph *g) {
    return (int)g->operation_count;
}

berth_status cudnn_graph_finish(struct cudnn_graph *g, cudnnHandle_t handle) {
    if (g->status != BERTH_OK) return g->status;
    const struct attribute list[] = {
        {CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, (int64_t)g->operation_count,
         g->operations},
        {CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, handle != NULL, &handle},
    };
    return g->status = DESCRIBE(g, &g->graph, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, list);
}

berth_status cudnn_graph_build(struct cudnn_graph **out, const struct cudnn_api *api, cudnnHandle_t handle,
                               void (*body)(struct cudnn_graph *g, const void *user), const void *user) {
    berth_status status = BERTH_OK;
    struct cudnn_graph *g = NULL;
    *out = NULL;
    BERTH_TRY_OUT(cudnn_graph_create(&g, api));
    body(g, user);
    BERTH_TRY_OUT(cudnn_graph_finish(g, handle));
    *out = g;
    g = NULL;
out:
    cudnn_graph_free(g);
    return status;
}

/* ------------------------------------------------------------------ plans */

struct cudnn_plan {
    struct cudnn_graph *graph;                     /* borrowed */
    cudnnBackendDescriptor_t device;               /* owned; NULL: the handle's */
    cudnnBackendDescriptor_t heuristic;            /* owned */
    cudnnBackendDescriptor_t configs[MAX_ENGINES]; /* owned */
    cudnnBackendDescriptor_t plan;                 /* owned */
    int64_t engine, workspace;
    bool loaded;
    int refused;
};

void cudnn_plan_free(struct cudnn_plan *p) {
    if (p == NULL) return;
    const struct cudnn_api *api = p->graph->api;
    if (p->plan != NULL) api->BackendDestroyDescriptor(p->plan);
    for (int i = 0; i < MAX_ENGINES; i++)
        if (p->configs[i] != NULL) api->BackendDestroyDescriptor(p->configs[i]);
    if (p->heuristic != NULL) api->BackendDestroyDescriptor(p->heuristic);
    if (p->device != NULL) api->BackendDestroyDescriptor(p->device);
    free(p);
}

static berth_status describe_device(struct cudnn_plan *p, const struct cudnn_device *device) {
    const struct cudnn_api *api = p->graph->api;
    if (device->handle != NULL) return BERTH_OK;
    BERTH_TRY(CUDNN_CALL(api, BackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &p->device)));
    BERTH_TRY(CUDNN_CALL(api, BackendSetAttribute(p->device, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                                                  CUDNN_TYPE_CHAR, (int64_t)strlen(device->description),
                                                  device->description)));
    return CUDNN_CALL(api, BackendFinalize(p->device));
}

/* Asks the heuristics; *count configurations are in p->configs. */
static berth_status ask_heuristics(struct cudnn_plan *p, cudnnBackendHeurMode_t mode, int64_t *count) {
    const struct cudnn_api *api = p->graph->api;
    *count = 0;
    if (p->heuristic != NULL) api->BackendDestroyDescriptor(p->heuristic);
    p->heuristic = NULL;
    BERTH_TRY(CUDNN_CALL(api, BackendCreateDescriptor(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &p->heuristic)));
    BERTH_TRY(CUDNN_CALL(api, BackendSetAttribute(p->heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH,
                                                  CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &p->graph->graph)));
    BERTH_TRY(CUDNN_CALL(
        api, BackendSetAttribute(p->heuristic, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode)));
    if (p->device != NULL)
        BERTH_TRY(CUDNN_CALL(api, BackendSetAttribute(p->heuristic, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP,
                                                      CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &p->device)));
    if (api->BackendFinalize(p->heuristic) != CUDNN_STATUS_SUCCESS) return BERTH_OK; /* it knows no engine */
    for (int i = 0; i < MAX_ENGINES; i++)
        if (p->configs[i] == NULL)
            BERTH_TRY(
                CUDNN_CALL(api, BackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &p->configs[i])));
    return CUDNN_CALL(api, BackendGetAttribute(p->heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                               CUDNN_TYPE_BACKEND_DESCRIPTOR, MAX_ENGINES, count, p->configs));
}

/* The engine's number, and whether cuDNN calls it non-deterministic. */
static berth_status read_engine(const struct cudnn_plan *p, cudnnBackendDescriptor_t config, int64_t *index,
                                bool *wavers) {
    const struct cudnn_api *api = p->graph->api;
    berth_status status = BERTH_OK;
    cudnnBackendDescriptor_t engine = NULL;
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    int64_t count = 0;
    BERTH_TRY(CUDNN_CALL(api, BackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine)));
    BERTH_TRY_OUT(CUDNN_CALL(api, BackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE,
                                                      CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine)));
    BERTH_TRY_OUT(CUDNN_CALL(
        api, BackendGetAttribute(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &count, index)));
    BERTH_TRY_OUT(
        CUDNN_CALL(api, BackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                            CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count, notes)));
    *wavers = false;
    for (int64_t i = 0; i < count; i++)
        *wavers = *wavers || notes[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
out:
    api->BackendDestroyDescriptor(engine);
    return status;
}

/* Tries to finalise a plan with a configuration; a refusal is not an error. */
static berth_status try_config(struct cudnn_plan *p, const struct cudnn_device *device,
                               cudnnBackendDescriptor_t config, bool deterministic, int64_t engine,
                               bool *done) {
    const struct cudnn_api *api = p->graph->api;
    bool wavers = false;
    int64_t count = 0;
    BERTH_TRY(read_engine(p, config, &p->engine, &wavers));
    if ((wavers && deterministic) || (engine >= 0 && p->engine != engine)) return BERTH_OK;
    BERTH_TRY(CUDNN_CALL(api, BackendCreateDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &p->plan)));
    BERTH_TRY(CUDNN_CALL(api, BackendSetAttribute(p->plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG,
                                                  CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &config)));
    if (p->device != NULL) {
        BERTH_TRY(CUDNN_CALL(api, BackendSetAttribute(p->plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP,
                                                      CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &p->device)));
    } else {
        BERTH_TRY(CUDNN_CALL(api, BackendSetAttribute(p->plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE,
                                                      CUDNN_TYPE_HANDLE, 1, &device->handle)));
    }
    const cudnnStatus_t status = api->BackendFinalize(p->plan);
    p->loaded = status == CUDNN_STATUS_SUCCESS;
    /* For a recorded device the code is generated and compiled; only the driver, which loads it, is missing. */
    *done = p->loaded || (p->device != NULL && status == CUDNN_STATUS_EXECUTION_FAILED_CUDA_DRIVER);
    if (p->loaded)
        return CUDNN_CALL(api, BackendGetAttribute(p->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                                   CUDNN_TYPE_INT64, 1, &count, &p->workspace));
    api->BackendDestroyDescriptor(p->plan);
    p->plan = NULL;
    return BERTH_OK;
}

bool cudnn_plan_loaded(const struct cudnn_plan *p) {
    return p->loaded;
}

berth_status cudnn_plan_create(struct cudnn_plan **out, struct cudnn_graph *g,
                               const struct cudnn_device *device, bool deterministic) {
    return cudnn_plan_create_with(out, g, device, deterministic, -1);
}

berth_status cudnn_plan_create_with(struct cudnn_plan **out, struct cudnn_graph *g,
                                    const struct cudnn_device *device, bool deterministic, int64_t engine) {
    static const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK};
    berth_status status = BERTH_OK;
    struct cudnn_plan *p = NULL;
    bool done = false;
    *out = NULL;
    BERTH_ASSERT_MSG(g->graph != NULL, "cudnn_graph_finish comes first");
    BERTH_TRY_OUT(berth_calloc(&p, 1, sizeof *p));
    p->graph = g;
    BERTH_TRY_OUT(describe_device(p, device));
    for (size_t m = 0; m < sizeof modes / sizeof modes[0] && !done; m++) {
        int64_t count = 0;
        BERTH_TRY_OUT(ask_heuristics(p, modes[m], &count));
        for (int64_t i = 0; i < count && !done; i++) {
            BERTH_TRY_OUT(try_config(p, device, p->configs[i], deterministic, engine, &done));
            p->refused += !done;
        }
    }
    if (!done)
        BERTH_FAIL_OUT(BERTH_E_UNSUPPORTED,
                       "cuDNN has no %sengine for this graph of %d operations (%d were refused)",
                       deterministic ? "deterministic " : "", cudnn_graph_operations(g), p->refused);
    *out = p;
    p = NULL;
out:
    cudnn_plan_free(p);
    return status;
}

int64_t cudnn_plan_engine(const struct cudnn_plan *p) {
    return p->engine;
}

int64_t cudnn_plan_workspace(const struct cudnn_plan *p) {
    return p->workspace;
}

berth_status cudnn_plan_run(const struct cudnn_plan *p, cudnnHandle_t handle, const int64_t *uids,
                            void *const *pointers, int64_t count, void *workspace) {
    const struct cudnn_api *api = p->graph->api;
    berth_status status = BERTH_OK;
    cudnnBackendDescriptor_t pack = NULL;
    BERTH_ASSERT_MSG(p->loaded, "a plan for a recorded device is not run");
    BERTH_TRY(CUDNN_CALL(api, BackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack)));
    BERTH_TRY_OUT(CUDNN_CALL(
        api, BackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, uids)));
    BERTH_TRY_OUT(CUDNN_CALL(api, BackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS,
                                                      CUDNN_TYPE_VOID_PTR, count, pointers)));
    BERTH_TRY_OUT(CUDNN_CALL(
        api, BackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace)));
    BERTH_TRY_OUT(CUDNN_CALL(api, BackendFinalize(pack)));
    BERTH_TRY_OUT(CUDNN_CALL(api, BackendExecute(handle, p->plan, pack)));
out:
    api->BackendDestroyDescriptor(pack);
    return status;
}
