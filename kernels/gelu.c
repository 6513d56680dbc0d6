/* gelu.c: activations of a feed-forward block and of heads, with the bias of the layer before.
 *
 *     y = f(x + bias)          dx = dy f'(x + bias)
 *
 *     GELU       f = x Φ(x)                        f' = Φ(x) + x φ(x)
 *     GELU_TANH  f = x/2 (1 + tanh u)              f' = (1 + tanh u)/2 + x/2 (1 - tanh²u) u'
 *                u = √(2/π) (x + 0.044715 x³)
 *     RELU       f = max(x, 0)                     f' = 1 where x > 0, else 0
 *     SILU       f = x σ(x)                        f' = σ(x) (1 + x (1 - σ(x)))
 *     TANH       f = tanh x                        f' = 1 - tanh²x
 *
 * Φ is taken from its tail, Φ(-|x|) = e^(-x²/2) t P(t), so it keeps relative precision far out on the left,
 * where (1 + erf(x/√2))/2 has none, and the density φ of backward comes from the same exponential. */
#include "common.h"

#define BLOCK 4096 /* columns of a work item */

static inline float gelu(float x) {
    const float z = x < 0.0f ? -x : x;
    const float tail = berth_normal_tail(z) * berth_exp(-0.5f * x * x);
    return x * (x < 0.0f ? tail : 1.0f - tail);
}

static inline float gelu_slope(float x) {
    const float z = x < 0.0f ? -x : x;
    const float e = berth_exp(-0.5f * x * x);
    const float tail = berth_normal_tail(z) * e;
    return (x < 0.0f ? tail : 1.0f - tail) + x * (0.398942280f * e);
}

static inline float gelu_tanh(float x) {
    const float t = berth_tanh(0.797884561f * (x + 0.044715f * x * x * x));
    return 0.5f * x * (1.0f + t);
}

static inline float gelu_tanh_slope(float x) {
    const float t = berth_tanh(0.797884561f * (x + 0.044715f * x * x * x));
    const float inner = 0.797884561f * (1.0f + 0.134145f * x * x);
    return 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * inner;
}

static inline float silu(float x) {
    return x / (1.0f + berth_exp(-x));
}

static inline float silu_slope(float x) {
    const float s = 1.0f / (1.0f + berth_exp(-x));
    return s * (1.0f + x * (1.0f - s));
}

static inline float relu(float x) {
    return x > 0.0f ? x : 0.0f * x; /* keeps NaN */
}

static inline float relu_slope(float x) {
    return x > 0.0f ? 1.0f : 0.0f;
}

static inline float identity(float x) {
    return x;
}

static inline float one(float x) {
    (void)x;
    return 1.0f;
}

static inline float hyperbolic_slope(float x) {
    const float t = berth_tanh(x);
    return 1.0f - t * t;
}

/* The loops over one piece of a row, one function a kind: `f` must be known where the loop is compiled. */
#define ACT_FORWARD(f)                                                                                         \
    do {                                                                                                       \
        if (bias == NULL) {                                                                                    \
            _Pragma("omp simd") for (int64_t j = 0; j < n; j++)                                                \
                berth_put(y, j, f(berth_get(x, j, half)), half);                                               \
        } else {                                                                                               \
            _Pragma("omp simd") for (int64_t j = 0; j < n; j++)                                                \
                berth_put(y, j, f(berth_get(x, j, half) + bias[j]), half);                                     \
        }                                                                                                      \
    } while (0)

#define ACT_BACKWARD(slope)                                                                                    \
    do {                                                                                                       \
        if (bias == NULL) {                                                                                    \
            _Pragma("omp simd") for (int64_t j = 0; j < n; j++)                                                \
                berth_put(dx, j, berth_get(dy, j, half) * slope(berth_get(x, j, half)), half);                 \
        } else {                                                                                               \
            _Pragma("omp simd") for (int64_t j = 0; j < n; j++)                                                \
                berth_put(dx, j, berth_get(dy, j, half) * slope(berth_get(x, j, half) + bias[j]), half);       \
        }                                                                                                      \
    } while (0)

BERTH_INLINE void forward_any(void *y, const void *x, const float *bias, int64_t n, enum berth_activation kind,
                              const int half) {
    switch (kind) {
    case BERTH_ACT_NONE:
        ACT_FORWARD(identity);
        break;
    case BERTH_ACT_GELU:
        ACT_FORWARD(gelu);
        break;
    case BERTH_ACT_GELU_TANH:
        ACT_FORWARD(gelu_tanh);
        break;
    case BERTH_ACT_RELU:
        ACT_FORWARD(relu);
        break;
    case BERTH_ACT_SILU:
        ACT_FORWARD(silu);
        break;
    case BERTH_ACT_TANH:
        ACT_FORWARD(berth_tanh);
        break;
    }
}

BERTH_INLINE void backward_any(void *dx, const void *dy, const void *x, const float *bias, int64_t n,
                               enum berth_activation kind, const int half) {
    switch (kind) {
    case BERTH_ACT_NONE:
        ACT_BACKWARD(one);
        break;
    case BERTH_ACT_GELU:
        ACT_BACKWARD(gelu_slope);
        break;
    case BERTH_ACT_GELU_TANH:
        ACT_BACKWARD(gelu_tanh_slope);
        break;
    case BERTH_ACT_RELU:
        ACT_BACKWARD(relu_slope);
        break;
    case BERTH_ACT_SILU:
        ACT_BACKWARD(silu_slope);
        break;
    case BERTH_ACT_TANH:
        ACT_BACKWARD(hyperbolic_slope);
        break;
    }
}

static void forward_piece(void *y, const void *x, int64_t at, const float *bias, int64_t n,
                          enum berth_activation kind, int half) {
    if (half)
        forward_any(berth_to(y, at, 1), berth_at(x, at, 1), bias, n, kind, 1);
    else
        forward_any(berth_to(y, at, 0), berth_at(x, at, 0), bias, n, kind, 0);
}

static void backward_piece(void *dx, const void *dy, const void *x, int64_t at, const float *bias, int64_t n,
                           enum berth_activation kind, int half) {
    if (half)
        backward_any(berth_to(dx, at, 1), berth_at(dy, at, 1), berth_at(x, at, 1), bias, n, kind, 1);
    else
        backward_any(berth_to(dx, at, 0), berth_at(dy, at, 0), berth_at(x, at, 0), bias, n, kind, 0);
}

/* Without a bias rows do not matter: the array is cut as one long row, which also suits few columns. */
static int64_t piece_rows(int64_t rows, int64_t columns, const float *bias, int64_t *width) {
    *width = bias == NULL ? rows * columns : columns;
    return bias == NULL ? (rows * columns > 0 ? 1 : 0) : rows;
}

static int act_forward(void *y, const void *x, const float *bias, int64_t rows, int64_t columns,
                       enum berth_activation kind, enum berth_dtype dtype, berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32 && dtype != BERTH_BF16) return BERTH_CPU_E_DTYPE;
    const int half = dtype == BERTH_BF16;
    int64_t width;
    const int64_t count = piece_rows(rows, columns, bias, &width), blocks = (width + BLOCK - 1) / BLOCK;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t t = 0; t < count; t++) {
        for (int64_t block = 0; block < blocks; block++) {
            const int64_t first = block * BLOCK, at = t * width + first;
            forward_piece(y, x, at, bias == NULL ? NULL : bias + first, berth_min(BLOCK, width - first), kind,
                          half);
        }
    }
    return BERTH_CPU_OK;
}

static int act_backward(void *dx, const void *dy, const void *x, const float *bias, int64_t rows,
                        int64_t columns, enum berth_activation kind, enum berth_dtype dtype,
                        berth_stream *stream) {
    (void)stream;
    if (dtype != BERTH_F32 && dtype != BERTH_BF16) return BERTH_CPU_E_DTYPE;
    const int half = dtype == BERTH_BF16;
    int64_t width;
    const int64_t count = piece_rows(rows, columns, bias, &width), blocks = (width + BLOCK - 1) / BLOCK;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t t = 0; t < count; t++) {
        for (int64_t block = 0; block < blocks; block++) {
            const int64_t first = block * BLOCK, at = t * width + first;
            backward_piece(dx, dy, x, at, bias == NULL ? NULL : bias + first, berth_min(BLOCK, width - first),
                           kind, half);
        }
    }
    return BERTH_CPU_OK;
}

void BERTH_CPU_TABLE(gelu)(struct berth_ops *ops) {
    ops->act_forward = act_forward;
    ops->act_backward = act_backward;
}
