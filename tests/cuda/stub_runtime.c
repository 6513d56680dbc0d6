/* stub_runtime.c: the runtime of stub_cuda.h: devices, memory, one queue for all streams, events. */
#include <stdlib.h>
#include <string.h>

#include "berth/kernels_cuda.h"
#include "cuda/stub_cuda.h"
#include "device/cuda/cuda_libs.h"
#include "device/cuda_host_memory.h"

struct stub_gpu stub;

/* The table of a GPU's kernels is that of cuda-host's. */
#define FORWARD(family)                                                                                        \
    void berth_cuda_table_##family(struct berth_ops *ops) {                                                    \
        berth_cuda_host_table_##family(ops);                                                                   \
    }
BERTH_CUDA_FAMILY_MAP(FORWARD)
const char *berth_cuda_launch_error(void) {
    return "";
}
const char *berth_cuda_last_launch(void) {
    return "stub_kernel";
}
int berth_cuda_attention_ragged(const struct berth_cuda_ragged *to, const int32_t *cu_seqlens,
                                int64_t sequences, int64_t bucket, int64_t tokens, int64_t heads,
                                int64_t head_size, const struct berth_dropout *dropout, berth_stream *stream) {
    return berth_cuda_host_attention_ragged(to, cu_seqlens, sequences, bucket, tokens, heads, head_size,
                                            dropout, stream);
}

/* ------------------------------------------------------------------ memory */

enum place { PLACE_PAGEABLE, PLACE_PINNED, PLACE_DEVICE };
struct block {
    char *start;
    size_t bytes;
    enum place place;
};
static struct block blocks[1024];
static size_t block_count;

static enum place place_of(const void *p, size_t bytes) {
    for (size_t i = 0; i < block_count; i++) {
        const struct block *b = &blocks[i];
        if ((const char *)p >= b->start && (const char *)p + bytes <= b->start + b->bytes) return b->place;
    }
    return PLACE_PAGEABLE;
}

static bool add_block(void *p, size_t bytes, enum place place) {
    if (block_count == sizeof blocks / sizeof blocks[0]) return false;
    blocks[block_count++] = (struct block){p, bytes, place};
    return true;
}

/* Bytes of the block that began at p; 0: there is none. */
static size_t drop_block(const void *p, enum place place) {
    for (size_t i = 0; i < block_count; i++) {
        if (blocks[i].start != p || blocks[i].place != place) continue;
        const size_t bytes = blocks[i].bytes;
        blocks[i] = blocks[--block_count];
        return bytes;
    }
    return 0;
}

/* ------------------------------------------------------------------ the queue */

struct work {
    char *to;
    const char *from; /* NULL: zeros */
    char *copy;       /* of pageable memory, which was read when the call was made; owned */
    size_t bytes;
};
static struct work queue[256];
static int64_t queued, done; /* works so far */

static void run_until(int64_t ticket) {
    cuda_host_memory_open();
    for (; done < ticket; done++) {
        struct work *w = &queue[done % 256];
        const char *from = w->copy != NULL ? w->copy : w->from;
        if (from != NULL)
            memcpy(w->to, from, w->bytes);
        else
            memset(w->to, 0, w->bytes);
        free(w->copy);
    }
    cuda_host_memory_close();
}

void stub_flush(void) {
    run_until(queued);
}

static void add_work(struct work w) {
    if (queued - done == 256) run_until(done + 1);
    queue[queued++ % 256] = w;
}

/* While a stream is captured nothing may wait or be asked for. */
#define NOT_IN_CAPTURE                                                                                         \
    if (berth_cuda_host_recording()) return cudaErrorStreamCaptureUnsupported

static int run_work(void *argument) {
    add_work(*(struct work *)argument);
    return BERTH_CUDA_OK;
}

static void before_kernel(void) {
    stub.kernels++;
    stub_flush();
    cuda_host_memory_open();
}

bool stub_fails(void) {
    stub.failed_calls += ++stub.calls == stub.fail_at;
    return stub.calls == stub.fail_at;
}

#define FAILS_SOMETIMES                                                                                        \
    if (stub_fails()) return cudaErrorUnknown;                                                                 \
    if (stub.fault_at > 0 && stub.kernels >= stub.fault_at) return cudaErrorIllegalAddress

void stub_reset(void) {
    stub_flush();
    stub = (struct stub_gpu){.name = "Stub H200",
                             .devices = 1,
                             .major = 9,
                             .minor = 0,
                             .multiprocessors = 132,
                             .memory = (size_t)8 << 30,
                             .cublaslt_version = 130100};
    berth_cuda_host_set_hooks(before_kernel, cuda_host_memory_close);
}

/* ------------------------------------------------------------------ the runtime's functions */

const char *cudaGetErrorString(cudaError_t error) {
    if (error == cudaErrorIllegalAddress) return "an illegal memory access was encountered";
    return error == cudaErrorMemoryAllocation ? "out of memory" : "an error of the stub";
}
const char *cudaGetErrorName(cudaError_t error) {
    if (error == cudaErrorIllegalAddress) return "cudaErrorIllegalAddress";
    return error == cudaErrorMemoryAllocation ? "cudaErrorMemoryAllocation" : "cudaErrorUnknown";
}
cudaError_t cudaGetLastError(void) {
    return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int *version) {
    *version = 13000;
    return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int *count) {
    *count = stub.count_error == cudaSuccess ? stub.devices : 0;
    return stub.count_error;
}
cudaError_t cudaSetDevice(int device) {
    FAILS_SOMETIMES;
    return device < stub.devices ? cudaSuccess : cudaErrorInvalidDevice;
}
cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device) {
    if (attribute != cudaDevAttrComputeCapabilityMajor || device >= stub.devices) return cudaErrorInvalidValue;
    *value = stub.major;
    return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *out, int device) {
    FAILS_SOMETIMES;
    memset(out, 0, sizeof *out);
    strncpy(out->name, stub.name, sizeof out->name - 1);
    out->major = stub.major, out->minor = stub.minor;
    out->multiProcessorCount = stub.multiprocessors;
    out->totalGlobalMem = stub.memory;
    return device < stub.devices ? cudaSuccess : cudaErrorInvalidDevice;
}

cudaError_t cudaMalloc(void **out, size_t bytes) {
    *out = NULL;
    NOT_IN_CAPTURE;
    FAILS_SOMETIMES;
    if (bytes > stub.memory - stub.held) return cudaErrorMemoryAllocation;
    if (cuda_host_memory_take(out, bytes) != BERTH_OK || !add_block(*out, bytes, PLACE_DEVICE))
        return cudaErrorMemoryAllocation;
    stub.held += bytes;
    stub.blocks++;
    return cudaSuccess;
}
cudaError_t cudaFree(void *p) {
    if (p == NULL) return cudaSuccess;
    stub_flush(); /* as CUDA does */
    const size_t bytes = drop_block(p, PLACE_DEVICE);
    if (bytes == 0) return cudaErrorInvalidValue;
    stub.held -= bytes;
    stub.blocks--;
    cuda_host_memory_give(p);
    return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total) {
    *free_bytes = stub.memory - stub.held;
    *total = stub.memory;
    return cudaSuccess;
}
cudaError_t cudaMallocHost(void **out, size_t bytes) {
    *out = NULL;
    NOT_IN_CAPTURE;
    FAILS_SOMETIMES;
    *out = malloc(bytes);
    if (*out == NULL || !add_block(*out, bytes, PLACE_PINNED)) return cudaErrorMemoryAllocation;
    stub.pinned++;
    return cudaSuccess;
}
cudaError_t cudaFreeHost(void *p) {
    stub_flush();
    if (drop_block(p, PLACE_PINNED) == 0) return cudaErrorInvalidValue;
    stub.pinned--;
    free(p);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream) {
    const bool to_device = kind != cudaMemcpyDeviceToHost, from_device = kind != cudaMemcpyHostToDevice;
    struct work w = {.to = to, .from = from, .bytes = bytes};
    FAILS_SOMETIMES;
    if (stream == NULL || bytes == 0) return stream == NULL ? cudaErrorInvalidResourceHandle : cudaSuccess;
    if ((place_of(to, bytes) == PLACE_DEVICE) != to_device ||
        (place_of(from, bytes) == PLACE_DEVICE) != from_device)
        return cudaErrorInvalidValue;
    if (berth_cuda_host_recording() && (!to_device || !from_device)) return cudaErrorStreamCaptureUnsupported;
    if (berth_cuda_host_recording())
        return berth_cuda_host_keep(run_work, &w, sizeof w) == 0 ? cudaSuccess : cudaErrorMemoryAllocation;
    if (!from_device && place_of(from, bytes) == PLACE_PAGEABLE) {
        w.copy = malloc(bytes);
        if (w.copy == NULL) return cudaErrorMemoryAllocation;
        memcpy(w.copy, from, bytes);
    }
    add_work(w);
    if (!to_device && place_of(to, bytes) == PLACE_PAGEABLE) stub_flush();
    return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream) {
    FAILS_SOMETIMES;
    if (stream == NULL || value != 0 || (bytes > 0 && place_of(to, bytes) != PLACE_DEVICE))
        return cudaErrorInvalidValue;
    const struct work w = {.to = to, .bytes = bytes};
    if (berth_cuda_host_recording())
        return berth_cuda_host_keep(run_work, &w, sizeof w) == 0 ? cudaSuccess : cudaErrorMemoryAllocation;
    if (bytes > 0) add_work(w);
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags) {
    (void)flags;
    FAILS_SOMETIMES;
    *out = malloc(1);
    stub.streams++;
    return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    NOT_IN_CAPTURE;
    FAILS_SOMETIMES;
    if (stream == NULL) return cudaErrorInvalidResourceHandle;
    stub_flush();
    return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    stub_flush();
    free(stream);
    stub.streams--;
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags) {
    (void)flags;
    FAILS_SOMETIMES;
    *out = calloc(1, sizeof(int64_t)); /* the ticket that it waits for */
    stub.events++;
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    NOT_IN_CAPTURE;
    FAILS_SOMETIMES;
    if (event == NULL || stream == NULL) return cudaErrorInvalidResourceHandle;
    *(int64_t *)(void *)event = queued;
    return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    NOT_IN_CAPTURE;
    FAILS_SOMETIMES;
    if (event == NULL) return cudaErrorInvalidResourceHandle;
    run_until(*(int64_t *)(void *)event);
    return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
    free(event);
    stub.events--;
    return cudaSuccess;
}

/* ------------------------------------------------------------------ graphs */

struct stub_graph {
    struct berth_cuda_host_list *list;
};
static struct berth_cuda_host_list *captured;

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode) {
    (void)mode;
    NOT_IN_CAPTURE;
    FAILS_SOMETIMES;
    if (stream == NULL || berth_cuda_host_list_new(&captured) != BERTH_CUDA_OK) return cudaErrorInvalidValue;
    berth_cuda_host_record(captured);
    return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out) {
    struct stub_graph *graph = malloc(sizeof *graph);
    *out = NULL;
    berth_cuda_host_record(NULL);
    if (graph == NULL || stream == NULL || stub_fails()) {
        free(graph);
        berth_cuda_host_list_free(captured);
        return cudaErrorStreamCaptureInvalidated;
    }
    graph->list = captured;
    stub.graphs++;
    *out = (cudaGraph_t)(void *)graph;
    return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long flags) {
    struct stub_graph *g = (struct stub_graph *)(void *)graph;
    (void)flags;
    *out = NULL;
    FAILS_SOMETIMES;
    *out = (cudaGraphExec_t)(void *)g->list;
    g->list = NULL;
    stub.graphs++;
    return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    struct stub_graph *g = (struct stub_graph *)(void *)graph;
    berth_cuda_host_list_free(g->list);
    free(g);
    stub.graphs--;
    return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
    FAILS_SOMETIMES;
    if (stream == NULL) return cudaErrorInvalidResourceHandle;
    stub.graph_launches++;
    return berth_cuda_host_replay((const struct berth_cuda_host_list *)(void *)graph) == 0
               ? cudaSuccess
               : cudaErrorLaunchFailure;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
    berth_cuda_host_list_free((struct berth_cuda_host_list *)(void *)graph);
    stub.graphs--;
    return cudaSuccess;
}
