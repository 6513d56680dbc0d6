/* softmax_ce.cu: softmax cross-entropy and focal loss with class weights, smoothing and masked rows; formulas
 * in softmax_ce.c.
 *
 * Up to 1,024 classes a warp does a row, beyond (masked language modelling: 30,522) a block of eight warps. The
 * row is read again for each pass, from the cache. */
#include "common.cuh"

enum { BLOCK_WARPS = 8, BLOCK_THREADS = BLOCK_WARPS * WARP, WARP_CLASSES = 1024 };

struct loss_args {
    const int32_t *labels;
    const float *class_weight;
    int64_t rows, classes;
    float smoothing, gamma;
    bool focal;
};

/* Sum and largest over the threads of a row: a warp's, or a whole block's. */
template <bool BLOCK> static __device__ __forceinline__ float row_sum(float x, float *met) {
    if constexpr (BLOCK) return block_sum<BLOCK_WARPS>(x, met);
    return warp_sum(x);
}

template <bool BLOCK> static __device__ __forceinline__ float row_max(float x, float *met) {
    x = warp_max(x);
    if constexpr (BLOCK) {
        __syncthreads();
        if (threadIdx.x % WARP == 0) met[threadIdx.x / WARP] = x;
        __syncthreads();
#pragma unroll
        for (int w = 0; w < BLOCK_WARPS; w++)
            x = fmaxf(x, met[w]);
    }
    return x;
}

template <bool BLOCK> static __device__ __forceinline__ int64_t row_of() {
    return BLOCK ? (int64_t)blockIdx.x : (int64_t)blockIdx.x * BLOCK_WARPS + threadIdx.x / WARP;
}

static __device__ __forceinline__ float weight_of(const loss_args &a, int64_t k) {
    return a.class_weight == nullptr ? 1.0f : a.class_weight[k];
}

/* log p and 1 - p of the labelled class; 1 - p without cancellation near p = 1 */
static __device__ __forceinline__ double row_miss(float z, float lse, double *log_p) {
    *log_p = (double)z - (double)lse;
    if (*log_p > 0) *log_p = 0;
    return -expm1(*log_p);
}

template <class T, bool BLOCK>
static __global__ void loss_forward_kernel(float *loss, float *lse, const T *logits, loss_args a) {
    BERTH_SHARED(float, met, [BLOCK_WARPS]);
    constexpr int STEP = BLOCK ? (int)BLOCK_THREADS : (int)WARP;
    const int64_t row = row_of<BLOCK>();
    if (row >= a.rows) return; /* a whole warp, without block barriers */
    const int first = BLOCK ? (int)threadIdx.x : (int)threadIdx.x % WARP;
    const T *z = logits + row * a.classes;
    const int32_t y = a.labels[row];
    float top = -INFINITY, sum = 0.0f, spread = 0.0f;
    for (int64_t k = first; k < a.classes; k += STEP)
        top = fmaxf(top, to_float(z[k]));
    top = row_max<BLOCK>(top, met);
    for (int64_t k = first; k < a.classes; k += STEP)
        sum += expf(to_float(z[k]) - top);
    const float log_sum = top + logf(row_sum<BLOCK>(sum, met));
    if (a.smoothing != 0.0f) {
        for (int64_t k = first; k < a.classes; k += STEP)
            spread += weight_of(a, k) * (log_sum - to_float(z[k]));
        spread = row_sum<BLOCK>(spread, met);
    }
    if (first != 0) return;
    lse[row] = log_sum;
    if (y < 0) {
        loss[row] = 0.0f;
    } else if (a.focal) {
        double log_p;
        const double miss = row_miss(to_float(z[y]), log_sum, &log_p);
        loss[row] = (float)(-(double)weight_of(a, y) * pow(miss, (double)a.gamma) * log_p);
    } else {
        loss[row] = (1.0f - a.smoothing) * weight_of(a, y) * (log_sum - to_float(z[y])) +
                    a.smoothing / (float)a.classes * spread;
    }
}

/* dz[k] = scale p[k] - flat w[k] - [k = y] less */
struct row_slopes {
    float scale, flat, less;
};

static __device__ __forceinline__ row_slopes focal_slopes(const loss_args &a, float dloss, float z, float lse,
                                                          int32_t y) {
    const double g = (double)a.gamma;
    double log_p;
    const double miss = row_miss(z, lse, &log_p);
    const double bend = miss > 0 ? g * exp(log_p) * pow(miss, g - 1) * log_p : 0;
    const float slope = (float)((double)dloss * (double)weight_of(a, y) * (pow(miss, g) - bend));
    return row_slopes{slope, 0.0f, slope * (float)miss};
}

template <class T, bool BLOCK>
static __global__ void loss_backward_kernel(T *dlogits, const float *dloss, const T *logits, const float *lse,
                                            loss_args a) {
    BERTH_SHARED(float, met, [BLOCK_WARPS]);
    constexpr int STEP = BLOCK ? (int)BLOCK_THREADS : (int)WARP;
    const int64_t row = row_of<BLOCK>();
    if (row >= a.rows) return;
    const int first = BLOCK ? (int)threadIdx.x : (int)threadIdx.x % WARP;
    const T *z = logits + row * a.classes;
    T *dz = dlogits + row * a.classes;
    const int32_t y = a.labels[row];
    float total = 0.0f;
    if (a.class_weight != nullptr && a.smoothing != 0.0f) {
        for (int64_t k = first; k < a.classes; k += STEP)
            total += a.class_weight[k];
        total = row_sum<BLOCK>(total, met);
    }
    if (y < 0) {
        for (int64_t k = first; k < a.classes; k += STEP)
            from_float(dz + k, 0.0f);
        return;
    }
    const float share = a.smoothing / (float)a.classes, shift = lse[row], up = dloss[row];
    const float hard = (1.0f - a.smoothing) * weight_of(a, y);
    row_slopes s = {up * (hard + share * (a.class_weight == nullptr ? (float)a.classes : total)), up * share,
                    up * hard};
    if (a.focal) s = focal_slopes(a, up, to_float(z[y]), shift, y);
    for (int64_t k = first; k < a.classes; k += STEP) {
        float d = s.scale * expf(to_float(z[k]) - shift) - s.flat * weight_of(a, k);
        if (k == y) d = a.focal ? -s.less : d - s.less;
        from_float(dz + k, d);
    }
}

template <class T>
static int forward(float *loss, float *lse, const void *logits, const loss_args &a, berth_stream *stream) {
    if (a.classes > WARP_CLASSES)
        return launch(loss_forward_kernel<T, true>, dim3((unsigned)a.rows), dim3(BLOCK_THREADS), 0, stream,
                      loss, lse, (const T *)logits, a);
    return launch(loss_forward_kernel<T, false>, dim3((unsigned)ceil_div(a.rows, BLOCK_WARPS)),
                  dim3(BLOCK_THREADS), 0, stream, loss, lse, (const T *)logits, a);
}

template <class T>
static int backward(void *dlogits, const float *dloss, const void *logits, const float *lse, const loss_args &a,
                    berth_stream *stream) {
    if (a.classes > WARP_CLASSES)
        return launch(loss_backward_kernel<T, true>, dim3((unsigned)a.rows), dim3(BLOCK_THREADS), 0, stream,
                      (T *)dlogits, dloss, (const T *)logits, lse, a);
    return launch(loss_backward_kernel<T, false>, dim3((unsigned)ceil_div(a.rows, BLOCK_WARPS)),
                  dim3(BLOCK_THREADS), 0, stream, (T *)dlogits, dloss, (const T *)logits, lse, a);
}

static int any_forward(float *loss, float *lse, const void *logits, const loss_args &a, enum berth_dtype dtype,
                       berth_stream *stream) {
    if (a.rows == 0) return BERTH_CUDA_OK;
    if (dtype == BERTH_F32) return forward<float>(loss, lse, logits, a, stream);
    return dtype == BERTH_BF16 ? forward<bf16>(loss, lse, logits, a, stream) : BERTH_CUDA_E_DTYPE;
}

static int any_backward(void *dlogits, const float *dloss, const void *logits, const float *lse,
                        const loss_args &a, enum berth_dtype dtype, berth_stream *stream) {
    if (a.rows == 0) return BERTH_CUDA_OK;
    if (dtype == BERTH_F32) return backward<float>(dlogits, dloss, logits, lse, a, stream);
    return dtype == BERTH_BF16 ? backward<bf16>(dlogits, dloss, logits, lse, a, stream) : BERTH_CUDA_E_DTYPE;
}

static int cross_entropy_forward(float *loss, float *lse, const void *logits, const int32_t *labels,
                                 const float *class_weight, int64_t rows, int64_t classes, float smoothing,
                                 enum berth_dtype dtype, berth_stream *stream) {
    return any_forward(loss, lse, logits, {labels, class_weight, rows, classes, smoothing, 0.0f, false}, dtype,
                       stream);
}

static int cross_entropy_backward(void *dlogits, const float *dloss, const void *logits, const float *lse,
                                  const int32_t *labels, const float *class_weight, int64_t rows,
                                  int64_t classes, float smoothing, enum berth_dtype dtype,
                                  berth_stream *stream) {
    return any_backward(dlogits, dloss, logits, lse,
                        {labels, class_weight, rows, classes, smoothing, 0.0f, false}, dtype, stream);
}

static int focal_forward(float *loss, float *lse, const void *logits, const int32_t *labels,
                         const float *class_weight, int64_t rows, int64_t classes, float gamma,
                         enum berth_dtype dtype, berth_stream *stream) {
    return any_forward(loss, lse, logits, {labels, class_weight, rows, classes, 0.0f, gamma, true}, dtype,
                       stream);
}

static int focal_backward(void *dlogits, const float *dloss, const void *logits, const float *lse,
                          const int32_t *labels, const float *class_weight, int64_t rows, int64_t classes,
                          float gamma, enum berth_dtype dtype, berth_stream *stream) {
    return any_backward(dlogits, dloss, logits, lse, {labels, class_weight, rows, classes, 0.0f, gamma, true},
                        dtype, stream);
}

BERTH_CUDA_TABLE(softmax_ce)(struct berth_ops *ops) {
    ops->cross_entropy_forward = cross_entropy_forward;
    ops->cross_entropy_backward = cross_entropy_backward;
    ops->focal_forward = focal_forward;
    ops->focal_backward = focal_backward;
}
