/* item_loss.cu: yes/no answers, and a number against its target; formulas in item_loss.c. A warp does a row of
 * answers, a thread a number. In double, as on the CPU: heads are narrow. */
#include "common.cuh"

enum { ROW_WARPS = 4 };

static __device__ __forceinline__ double softplus(double z) {
    return z > 0 ? z + log1p(exp(-z)) : log1p(exp(z));
}

static __device__ __forceinline__ double power(double base, double exponent) {
    return exponent == 0 ? 1 : pow(base, exponent);
}

struct answer_args {
    const float *targets, *positive_weight;
    const int32_t *labels;
    int64_t rows, classes;
    double smoothing, gamma;
};

/* Loss of one answer and its slope; target negative never comes here. */
static __device__ __forceinline__ double answer_loss(double z, double given, double weight,
                                                     const answer_args &a, double *slope) {
    const double target = given * (1 - a.smoothing) + a.smoothing / 2;
    const double p = 1 / (1 + exp(-z)), miss = 1 / (1 + exp(z)); /* 1 - p */
    const double yes = softplus(-z), no = softplus(z);           /* -log p, -log (1 - p) */
    const double yes_scale = weight * target * power(miss, a.gamma),
                 no_scale = (1 - target) * power(p, a.gamma);
    *slope = no_scale * (p + a.gamma * miss * no) - yes_scale * (miss + a.gamma * p * yes);
    return yes_scale * yes + no_scale * no;
}

static __device__ __forceinline__ double weight_of(const answer_args &a, int64_t k) {
    return a.positive_weight == nullptr ? 1.0 : (double)a.positive_weight[k];
}

/* Loss (dlogits NULL) or gradient of the rows. */
template <class T>
static __global__ void bce_kernel(float *loss, T *dlogits, const float *dloss, const T *logits, answer_args a) {
    const int lane = (int)threadIdx.x % WARP;
    const int64_t row = (int64_t)blockIdx.x * ROW_WARPS + threadIdx.x / WARP;
    if (row >= a.rows) return; /* a whole warp, and no block barrier follows */
    const float *t = a.targets + row * a.classes;
    const T *z = logits + row * a.classes;
    double sum = 0, known = 0, slope = 0;
    for (int64_t k = lane; k < a.classes; k += WARP) {
        if (t[k] < 0) continue;
        known += 1;
        if (dlogits == nullptr && a.labels[row] >= 0)
            sum += answer_loss((double)to_float(z[k]), (double)t[k], weight_of(a, k), a, &slope);
    }
    known = warp_sum(known);
    if (dlogits == nullptr) {
        sum = warp_sum(sum);
        if (lane == 0) loss[row] = known > 0 ? (float)(sum / known) : 0.0f;
        return;
    }
    for (int64_t k = lane; k < a.classes; k += WARP) {
        slope = 0;
        if (a.labels[row] >= 0 && t[k] >= 0)
            answer_loss((double)to_float(z[k]), (double)t[k], weight_of(a, k), a, &slope);
        from_float(dlogits + row * a.classes + k,
                   known > 0 ? (float)((double)dloss[row] * slope / known) : 0.0f);
    }
}

template <class T>
static int bce(float *loss, void *dlogits, const float *dloss, const void *logits, const answer_args &a,
               berth_stream *stream) {
    return launch(bce_kernel<T>, dim3((unsigned)ceil_div(a.rows, ROW_WARPS)), dim3(ROW_WARPS * WARP), 0, stream,
                  loss, (T *)dlogits, dloss, (const T *)logits, a);
}

static int any_bce(float *loss, void *dlogits, const float *dloss, const void *logits, const answer_args &a,
                   enum berth_dtype dtype, berth_stream *stream) {
    if (a.rows == 0) return BERTH_CUDA_OK;
    if (dtype == BERTH_F32) return bce<float>(loss, dlogits, dloss, logits, a, stream);
    return dtype == BERTH_BF16 ? bce<bf16>(loss, dlogits, dloss, logits, a, stream) : BERTH_CUDA_E_DTYPE;
}

static int bce_forward(float *loss, const void *logits, const float *targets, const int32_t *labels,
                       const float *positive_weight, int64_t rows, int64_t classes, float smoothing,
                       float gamma, enum berth_dtype dtype, berth_stream *stream) {
    return any_bce(loss, nullptr, nullptr, logits,
                   {targets, positive_weight, labels, rows, classes, (double)smoothing, (double)gamma}, dtype,
                   stream);
}

static int bce_backward(void *dlogits, const float *dloss, const void *logits, const float *targets,
                        const int32_t *labels, const float *positive_weight, int64_t rows, int64_t classes,
                        float smoothing, float gamma, enum berth_dtype dtype, berth_stream *stream) {
    return any_bce(nullptr, dlogits, dloss, logits,
                   {targets, positive_weight, labels, rows, classes, (double)smoothing, (double)gamma}, dtype,
                   stream);
}

/* ------------------------------------------------------------------ a number against its target */

struct error_args {
    const float *target;
    const int32_t *labels;
    int64_t rows;
    enum berth_error_kind kind;
    float delta;
};

template <class T>
static __global__ void error_kernel(float *loss, T *dy, const float *dloss, const T *y, error_args a) {
    const int64_t r = (int64_t)blockIdx.x * FLAT_THREADS + threadIdx.x;
    if (r >= a.rows) return;
    const float e = to_float(y[r]) - a.target[r], size = fabsf(e);
    const float sign = (float)((e > 0) - (e < 0));
    float value = size, slope = sign;
    if (a.kind == BERTH_ERROR_SQUARED) {
        value = e * e;
        slope = 2 * e;
    } else if (a.kind == BERTH_ERROR_HUBER) {
        value = size <= a.delta ? 0.5f * e * e : a.delta * (size - 0.5f * a.delta);
        slope = size <= a.delta ? e : a.delta * sign;
    }
    const bool masked = a.labels[r] < 0;
    if (loss != nullptr) loss[r] = masked ? 0.0f : value;
    if (dy != nullptr) from_float(dy + r, masked ? 0.0f : dloss[r] * slope);
}

static int any_error(float *loss, void *dy, const float *dloss, const void *y, const error_args &a,
                     enum berth_dtype dtype, berth_stream *stream) {
    const dim3 grid((unsigned)ceil_div(a.rows, FLAT_THREADS)), block(FLAT_THREADS);
    if (a.rows == 0) return BERTH_CUDA_OK;
    if (dtype == BERTH_F32)
        return launch(error_kernel<float>, grid, block, 0, stream, loss, (float *)dy, dloss, (const float *)y,
                      a);
    if (dtype != BERTH_BF16) return BERTH_CUDA_E_DTYPE;
    return launch(error_kernel<bf16>, grid, block, 0, stream, loss, (bf16 *)dy, dloss, (const bf16 *)y, a);
}

static int error_forward(float *loss, const void *y, const float *target, const int32_t *labels, int64_t rows,
                         enum berth_error_kind kind, float delta, enum berth_dtype dtype,
                         berth_stream *stream) {
    return any_error(loss, nullptr, nullptr, y, {target, labels, rows, kind, delta}, dtype, stream);
}

static int error_backward(void *dy, const float *dloss, const void *y, const float *target,
                          const int32_t *labels, int64_t rows, enum berth_error_kind kind, float delta,
                          enum berth_dtype dtype, berth_stream *stream) {
    return any_error(nullptr, dy, dloss, y, {target, labels, rows, kind, delta}, dtype, stream);
}

BERTH_CUDA_TABLE(item_loss)(struct berth_ops *ops) {
    ops->bce_forward = bce_forward;
    ops->bce_backward = bce_backward;
    ops->error_forward = error_forward;
    ops->error_backward = error_backward;
}
