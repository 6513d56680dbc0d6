/* backend_cuda.c: the device `cuda`: one GPU, one stream, memory, copies; operations are the kernels of
 * kernels/FAMILY.cu and cuBLASLt's products.
 *
 * Everything is asynchronous on one stream, in the order of the calls. Uploads go through pinned memory in two
 * halves: while the GPU copies from one, the host fills the other, and the caller's memory is free again when
 * the call returns.
 *
 *     stage   | half 0: copied by the GPU | half 1: being filled |      STAGE_BYTES each, an event a half
 *
 * A download waits for the stream. NOTE: cudaMalloc and cudaFree wait for the GPU; the step's memory is one
 * block that the tape keeps, so that a step calls neither. */
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "berth/kernels_cuda.h"
#include "device/cuda/attention_slot.h"
#include "device/cuda/gemm_cuda.h"
#include "device/device_priv.h"

#define STAGE_BYTES ((size_t)4 << 20)
#define OLDEST_CAPABILITY 80 /* bf16 tensor cores, asynchronous copies */

struct cuda_stream {
    struct berth_cuda_stream head; /* first: what the kernels know */
    struct gemm_cuda *gemm;
    struct attention_slot attention;
    struct berth_ops kernels; /* the table as the kernels fill it */
    void *workspace;
    char *stage[2]; /* pinned */
    cudaEvent_t copied[2];
    int half; /* the one to fill next */
    struct cudaDeviceProp properties;
};

static berth_status check(cudaError_t error, const char *call, const char *file, int line) {
    if (error == cudaSuccess) return BERTH_OK;
    const bool fault = error == cudaErrorIllegalAddress || error == cudaErrorLaunchFailure ||
                       error == cudaErrorMisalignedAddress || error == cudaErrorAssert;
    char hint[256] = "";
    if (fault)
        snprintf(hint, sizeof hint,
                 "; an operation before it failed (the last kernel: %.120s): BERTH_SYNC=1 in the "
                 "environment names it",
                 berth_cuda_last_launch());
    return berth_error_set(BERTH_E_DEVICE, file, line, "%.*s: %s (%s)%s", (int)strcspn(call, "("), call,
                           cudaGetErrorString(error), cudaGetErrorName(error), hint);
}
#define BERTH_CUDA(call) check((call), #call, __FILE__, __LINE__)

static struct cuda_stream *stream_of(const struct berth_device *dev) {
    return (struct cuda_stream *)dev->state;
}

/* ------------------------------------------------------------------ memory */

static berth_status cuda_alloc(struct berth_device *dev, void **out, size_t bytes) {
    size_t free_bytes = 0, total = 0;
    char name[32];
    cudaError_t error = cudaMalloc(out, bytes > 0 ? bytes : 1);
    if (error == cudaSuccess) return BERTH_OK;
    *out = NULL;
    if (error != cudaErrorMemoryAllocation) return check(error, "cudaMalloc", __FILE__, __LINE__);
    cudaGetLastError(); /* a refusal of memory is not a fault: later launches must not see it */
    if (cudaMemGetInfo(&free_bytes, &total) != cudaSuccess) free_bytes = total = 0;
    snprintf(name, sizeof name, "cuda:%d", dev->index);
    return device_out_of_memory(name, bytes, free_bytes, total, dev->bytes_now);
}

static void cuda_free(struct berth_device *dev, void *pointer, size_t bytes) {
    (void)dev;
    (void)bytes;
    cudaFree(pointer);
}

static berth_status cuda_upload(struct berth_device *dev, void *to, const void *from, size_t bytes) {
    struct cuda_stream *s = stream_of(dev);
    cudaStream_t stream = (cudaStream_t)s->head.stream;
    for (size_t at = 0; at < bytes;) {
        const size_t part = bytes - at < STAGE_BYTES ? bytes - at : STAGE_BYTES;
        BERTH_TRY(BERTH_CUDA(cudaEventSynchronize(s->copied[s->half])));
        memcpy(s->stage[s->half], (const char *)from + at, part);
        BERTH_TRY(BERTH_CUDA(
            cudaMemcpyAsync((char *)to + at, s->stage[s->half], part, cudaMemcpyHostToDevice, stream)));
        BERTH_TRY(BERTH_CUDA(cudaEventRecord(s->copied[s->half], stream)));
        s->half ^= 1;
        at += part;
    }
    return BERTH_OK;
}

static berth_status cuda_download(struct berth_device *dev, void *to, const void *from, size_t bytes) {
    cudaStream_t stream = (cudaStream_t)stream_of(dev)->head.stream;
    BERTH_TRY(BERTH_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream)));
    return BERTH_CUDA(cudaStreamSynchronize(stream));
}

static berth_status cuda_copy(struct berth_device *dev, void *to, const void *from, size_t bytes) {
    return BERTH_CUDA(
        cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, (cudaStream_t)stream_of(dev)->head.stream));
}

static berth_status cuda_zero(struct berth_device *dev, void *pointer, size_t bytes) {
    return BERTH_CUDA(cudaMemsetAsync(pointer, 0, bytes, (cudaStream_t)stream_of(dev)->head.stream));
}

static berth_status cuda_synchronize(struct berth_device *dev) {
    return BERTH_CUDA(cudaStreamSynchronize((cudaStream_t)stream_of(dev)->head.stream));
}

/* ------------------------------------------------------------------ operations */

static const char *cuda_error_text(int error) {
    switch (error) {
    case BERTH_CUDA_E_DTYPE:
        return "this operation does not take the element type";
    case BERTH_CUDA_E_SHAPE:
        return "a size beyond what the kernels hold";
    case BERTH_CUDA_E_LIBRARY:
        return berth_error_text(); /* recorded by gemm_cuda.c */
    default:
        if (error >= BERTH_CUDA_E_RUNTIME && berth_cuda_launch_error()[0] != '\0')
            return berth_cuda_launch_error();
        if (error >= BERTH_CUDA_E_RUNTIME)
            return cudaGetErrorString((cudaError_t)(error - BERTH_CUDA_E_RUNTIME));
        return "unknown error";
    }
}

static int cuda_gemm(void *c, const void *a, const void *b, const float *bias, int64_t m, int64_t n, int64_t k,
                     int64_t lda, int64_t ldb, int64_t ldc, enum berth_gemm_form form, int accumulate,
                     enum berth_dtype c_dtype, enum berth_dtype ab_dtype, berth_stream *stream) {
    struct cuda_stream *s = (struct cuda_stream *)(void *)stream;
    const void *typed_bias = bias;
    if (bias != NULL && c_dtype == BERTH_BF16) { /* the library's epilogue wants the bias in c's type */
        if ((size_t)n * 2 > BERTH_CUDA_SCRATCH) return BERTH_CUDA_E_SHAPE;
        const int error = s->kernels.cast(s->head.scratch, bias, n, BERTH_BF16, BERTH_F32, stream);
        if (error != BERTH_CUDA_OK) return error;
        typed_bias = s->head.scratch;
    }
    const struct gemm_cuda_product p = {.c = c,
                                        .a = a,
                                        .b = b,
                                        .bias = typed_bias,
                                        .m = m,
                                        .n = n,
                                        .k = k,
                                        .lda = lda,
                                        .ldb = ldb,
                                        .ldc = ldc,
                                        .form = form,
                                        .accumulate = accumulate != 0,
                                        .c_dtype = c_dtype,
                                        .ab_dtype = ab_dtype};
    return gemm_cuda_run(s->gemm, &p, s->head.stream) == BERTH_OK ? BERTH_CUDA_OK : BERTH_CUDA_E_LIBRARY;
}

static int cuda_attention_forward(void *out, float *lse, const void *qkv, const int32_t *cu_seqlens,
                                  void *workspace, int64_t tokens, int64_t sequences, int64_t max_length,
                                  int64_t heads, int64_t head_size, float scale,
                                  const struct berth_dropout *dropout, enum berth_dtype dtype,
                                  berth_stream *stream) {
    const struct attention_cuda_call call = {.out = out,
                                             .lse = lse,
                                             .qkv = qkv,
                                             .cu_seqlens = cu_seqlens,
                                             .tokens = tokens,
                                             .sequences = sequences,
                                             .max_length = max_length,
                                             .heads = heads,
                                             .head_size = head_size,
                                             .scale = scale,
                                             .dropout = dropout,
                                             .dtype = dtype};
    return attention_slot_run(&((struct cuda_stream *)(void *)stream)->attention, &call, workspace, stream);
}

static int cuda_attention_backward(void *dqkv, const void *dout, const void *qkv, const void *out,
                                   const float *lse, const int32_t *cu_seqlens, void *workspace, int64_t tokens,
                                   int64_t sequences, int64_t max_length, int64_t heads, int64_t head_size,
                                   float scale, const struct berth_dropout *dropout, enum berth_dtype dtype,
                                   berth_stream *stream) {
    const struct attention_cuda_call call = {.out = (void *)(uintptr_t)out, /* only read, as lse */
                                             .lse = (float *)(uintptr_t)lse,
                                             .qkv = qkv,
                                             .dqkv = dqkv,
                                             .dout = dout,
                                             .cu_seqlens = cu_seqlens,
                                             .tokens = tokens,
                                             .sequences = sequences,
                                             .max_length = max_length,
                                             .heads = heads,
                                             .head_size = head_size,
                                             .scale = scale,
                                             .dropout = dropout,
                                             .dtype = dtype};
    return attention_slot_run(&((struct cuda_stream *)(void *)stream)->attention, &call, workspace, stream);
}

static void fill_table(struct cuda_stream *s, struct berth_ops *ops) {
#define FILL(family) berth_cuda_table_##family(&s->kernels);
    BERTH_CUDA_FAMILY_MAP(FILL)
    s->attention.own = &s->kernels;
    *ops = s->kernels;
    ops->gemm = cuda_gemm;
    ops->attention_forward = cuda_attention_forward;
    ops->attention_backward = cuda_attention_backward;
}

/* ------------------------------------------------------------------ opening */

/* Whether there is a device to open, or one line that says what is missing. */
static berth_status find_device(int index) {
    int count = 0;
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaErrorInsufficientDriver || error == cudaErrorNoDevice ||
        (error == cudaSuccess && count == 0))
        BERTH_FAIL(BERTH_E_UNSUPPORTED, "device cuda: %s; use device: cpu, or auto",
                   error == cudaErrorInsufficientDriver
                       ? "no NVIDIA driver, or one too old for this build's CUDA"
                       : "no NVIDIA GPU is visible (see nvidia-smi, CUDA_VISIBLE_DEVICES)");
    BERTH_TRY(BERTH_CUDA(error));
    if (index >= count && count == 1)
        BERTH_FAIL(BERTH_E_USAGE, "device cuda:%d: there is one GPU, cuda:0", index);
    if (index >= count)
        BERTH_FAIL(BERTH_E_USAGE, "device cuda:%d: there are %d GPUs, cuda:0 to cuda:%d", index, count,
                   count - 1);
    return BERTH_OK;
}

static bool cuda_present(void) {
    int count = 0, major = 0;
    return cudaGetDeviceCount(&count) == cudaSuccess && count > 0 &&
           cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0) == cudaSuccess &&
           major * 10 >= OLDEST_CAPABILITY;
}

static void cuda_close(struct berth_device *dev) {
    struct cuda_stream *s = stream_of(dev);
    if (s == NULL) return;
    if (s->head.stream != NULL)
        cudaStreamSynchronize((cudaStream_t)s->head.stream); /* nothing runs over what goes now */
    attention_slot_clear(&s->attention, dev);
    gemm_cuda_close(s->gemm);
    for (int i = 0; i < 2; i++) {
        if (s->copied[i] != NULL) cudaEventDestroy(s->copied[i]);
        if (s->stage[i] != NULL) cudaFreeHost(s->stage[i]);
    }
    if (s->workspace != NULL) cudaFree(s->workspace);
    if (s->head.scratch != NULL) cudaFree(s->head.scratch);
    if (s->head.stream != NULL) cudaStreamDestroy((cudaStream_t)s->head.stream);
    free(s);
    dev->state = NULL;
}

static berth_status open_stream(struct berth_device *dev, struct cuda_stream *s, int index) {
    cudaStream_t stream = NULL;
    BERTH_TRY(BERTH_CUDA(cudaSetDevice(index)));
    BERTH_TRY(BERTH_CUDA(cudaGetDeviceProperties(&s->properties, index)));
    if (s->properties.major * 10 + s->properties.minor < OLDEST_CAPABILITY)
        BERTH_FAIL(BERTH_E_UNSUPPORTED,
                   "device cuda:%d: %s has compute capability %d.%d, expected 8.0 or newer", index,
                   s->properties.name, s->properties.major, s->properties.minor);
    BERTH_TRY(BERTH_CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking)));
    s->head.stream = stream;
    BERTH_TRY(cuda_alloc(dev, &s->head.scratch, BERTH_CUDA_SCRATCH));
    BERTH_TRY(cuda_alloc(dev, &s->workspace, GEMM_CUDA_WORKSPACE));
    for (int i = 0; i < 2; i++) {
        void *half = NULL;
        BERTH_TRY(BERTH_CUDA(cudaMallocHost(&half, STAGE_BYTES)));
        s->stage[i] = half;
        BERTH_TRY(BERTH_CUDA(cudaEventCreateWithFlags(&s->copied[i], cudaEventDisableTiming)));
    }
    return gemm_cuda_open(&s->gemm, s->workspace, false);
}

static berth_status cuda_open(struct berth_device *dev, int index) {
    berth_status status = BERTH_OK;
    struct cuda_stream *s = NULL;
    BERTH_TRY(find_device(index));
    BERTH_TRY(berth_calloc(&s, 1, sizeof *s));
    dev->state = s;
    dev->stream = (berth_stream *)(void *)s;
    dev->index = index;
    BERTH_TRY_OUT(open_stream(dev, s, index));
    fill_table(s, &dev->ops);
out:
    if (status != BERTH_OK) cuda_close(dev);
    return status;
}

static berth_status cuda_set_attention(struct berth_device *dev, const struct berth_attention_use *use) {
    struct cuda_stream *s = stream_of(dev);
    const struct attention_device device = {
        .name = s->properties.name, .major = s->properties.major, .minor = s->properties.minor};
    return attention_slot_set(&s->attention, dev, use, device);
}

/* ------------------------------------------------------------------ graphs: the stream's capture */

static berth_status cuda_graph_begin(struct berth_device *dev) {
    return BERTH_CUDA(
        cudaStreamBeginCapture((cudaStream_t)stream_of(dev)->head.stream, cudaStreamCaptureModeThreadLocal));
}

static berth_status cuda_graph_end(struct berth_device *dev, void **out) {
    cudaGraph_t graph = NULL;
    cudaGraphExec_t ready = NULL;
    BERTH_TRY(BERTH_CUDA(cudaStreamEndCapture((cudaStream_t)stream_of(dev)->head.stream, &graph)));
    berth_status status = BERTH_CUDA(cudaGraphInstantiate(&ready, graph, 0));
    cudaGraphDestroy(graph);
    *out = status == BERTH_OK ? ready : NULL;
    return status;
}

static berth_status cuda_graph_launch(struct berth_device *dev, void *graph) {
    return BERTH_CUDA(cudaGraphLaunch((cudaGraphExec_t)graph, (cudaStream_t)stream_of(dev)->head.stream));
}

static void cuda_graph_free(struct berth_device *dev, void *graph) {
    cudaStreamSynchronize((cudaStream_t)stream_of(dev)->head.stream); /* it may be running */
    cudaGraphExecDestroy((cudaGraphExec_t)graph);
}

/* ------------------------------------------------------------------ choices of algorithms
 *
 *     gpu NVIDIA H200, compute capability 9.0, 132 multiprocessors
 *     libraries cublasLt 130100, cudnn 91900                          cudnn 0: not in use
 *     cudnn SEQUENCES LENGTH WHICH ENGINE                             attention_cuda.h, a line a plan
 *     cublasLt 130100 tf32 0 ...                                      gemm_cuda.h, to the end */

static void add_makers(const struct cuda_stream *s, struct berth_str *out) {
    const struct cublaslt_api *blas = NULL;
    const bool loaded = cublaslt_load(&blas) == BERTH_OK;
    berth_str_addf(out, "gpu %s, compute capability %d.%d, %d multiprocessors\n", s->properties.name,
                   s->properties.major, s->properties.minor, s->properties.multiProcessorCount);
    berth_str_addf(out, "libraries cublasLt %zu, cudnn %zu\n", loaded ? blas->GetVersion() : 0,
                   s->attention.plans != NULL ? s->attention.api->GetVersion() : 0);
}

static berth_status cuda_choices(const struct berth_device *dev, struct berth_str *out) {
    const struct cuda_stream *s = stream_of(dev);
    add_makers(s, out);
    if (s->attention.plans != NULL) attention_cuda_choices(s->attention.plans, out);
    return gemm_cuda_choices(s->gemm, out);
}

static berth_status cuda_restore_choices(struct berth_device *dev, const char *text, bool *used) {
    berth_status status = BERTH_OK;
    struct cuda_stream *s = stream_of(dev);
    const char *products = strstr(text, "\ncublasLt ");
    char *plans = NULL;
    struct berth_str makers;
    *used = false;
    berth_str_init(&makers);
    add_makers(s, &makers);
    if (strncmp(text, "gpu ", 4) != 0 || products == NULL)
        BERTH_FAIL_OUT(BERTH_E_FORMAT, "choices of algorithms: found '%.40s', expected 'gpu NAME, ...'", text);
    if (makers.failed) BERTH_FAIL_OUT(BERTH_E_MEMORY, "out of memory");
    const size_t length = strlen(makers.data);
    if (strncmp(text, makers.data, length) != 0 || products + 1 < text + length) goto out;
    BERTH_TRY_OUT(berth_strndup(&plans, text + length, (size_t)(products + 1 - text) - length));
    if (s->attention.plans != NULL) {
        status = attention_cuda_restore(s->attention.plans, plans);
        berth_status fits = attention_slot_fit(&s->attention, dev); /* what was restored before may want more */
        if (status ==
            BERTH_E_UNSUPPORTED) { /* cuDNN does not offer the engine any more: the caller chooses anew */
            berth_error_clear();
            status = fits;
            goto out;
        }
        BERTH_TRY_OUT(status);
        BERTH_TRY_OUT(fits);
    }
    BERTH_TRY_OUT(gemm_cuda_restore(s->gemm, products + 1, used));
out:
    free(plans);
    berth_str_deinit(&makers);
    return status;
}

static berth_status cuda_set_tf32(struct berth_device *dev, bool on) {
    gemm_cuda_set_tf32(stream_of(dev)->gemm, on);
    return BERTH_OK;
}

static void cuda_describe(const struct berth_device *dev, struct berth_str *out) {
    const struct cuda_stream *s = stream_of(dev);
    const struct cublaslt_api *blas = NULL;
    int driver = 0;
    cudaDriverGetVersion(&driver);
    berth_str_addf(out, "GPU: %s, compute capability %d.%d, %d multiprocessors, %.1f GiB\n", s->properties.name,
                   s->properties.major, s->properties.minor, s->properties.multiProcessorCount,
                   (double)s->properties.totalGlobalMem / 1073741824.0);
    berth_str_addf(out, "CUDA: runtime %d.%d, driver %d.%d\n", CUDART_VERSION / 1000, CUDART_VERSION / 10 % 100,
                   driver / 1000, driver / 10 % 100);
    if (cublaslt_load(&blas) == BERTH_OK)
        berth_str_addf(out, "matrix products: cuBLASLt %zu\n", blas->GetVersion());
    if (s->attention.told.data != NULL && s->attention.told.data[0] != '\0')
        berth_str_addf(out, "%s\n", s->attention.told.data);
}

const struct berth_backend backend_cuda = {
    .name = "cuda",
    .host_memory = false,
    .present = cuda_present,
    .open = cuda_open,
    .close = cuda_close,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .upload = cuda_upload,
    .download = cuda_download,
    .copy = cuda_copy,
    .zero = cuda_zero,
    .synchronize = cuda_synchronize,
    .error_text = cuda_error_text,
    .set_tf32 = cuda_set_tf32,
    .set_attention = cuda_set_attention,
    .graph_begin = cuda_graph_begin,
    .graph_end = cuda_graph_end,
    .graph_launch = cuda_graph_launch,
    .graph_free = cuda_graph_free,
    .choices = cuda_choices,
    .restore_choices = cuda_restore_choices,
    .describe = cuda_describe,
};
