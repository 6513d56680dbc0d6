/* kernels.h: the table of operations that a backend implements, over plain pointers, sizes and a stream.
 *
 * The alphabet of sizes, the same everywhere in berth:
 *     T packed tokens   B sequences   H hidden   A attention heads   D head size (H/A)   F feed-forward
 *     L layers   V vocabulary   K classes   M longest length   R selected rows   N columns of a matrix
 *
 * Sequences lie back to back: sequence b is rows cu_seqlens[b] .. cu_seqlens[b+1]-1 of a [T, H] array. There is
 * no padding. The gradient of x is called dx. Arguments: outputs, inputs, saved for backward, sizes, scalars,
 * stream last. Unless said otherwise an output is written (=), not added to (+=), and does not overlap an
 * input. Arrays of activations are `void *` of one element type, `dtype`; parameters, their gradients and
 * statistics are float. Sums are accumulated in fp32 or wider, in an order fixed by the sizes alone, so results
 * are the same for any number of threads.
 *
 * A kernel file knows nothing of the framework and allocates nothing: an operation that needs memory has a
 * `*_workspace` query beside it, the caller passes that many bytes (64-byte aligned). Operations return 0, or
 * the backend's own error number (berth_backend.error_text); those of the CPU are enum berth_cpu_error.
 *
 * How a table is filled: each kernels/FAMILY.c is compiled once an instruction set and defines one function
 * BERTH_CPU_TABLE(FAMILY)(struct berth_ops *) that enters its static functions; FAMILY.cu does the same with
 * berth_cuda_table_FAMILY. Matrix products are entered by the backend (a library's), over kernels/gemm_ref.c.
 */
#ifndef BERTH_KERNELS_H
#define BERTH_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "berth/philox.h"

#ifdef __cplusplus
extern "C" {
#endif

enum berth_dtype { BERTH_F32, BERTH_BF16 };

/* How a product's factors are stored, all row-major:
 *   NT  c[m,n] = Σ_k a[m,k] b[n,k]     a layer's forward:          Y = X Wᵀ
 *   NN  c[m,n] = Σ_k a[m,k] b[k,n]     gradient of its input:     dX = dY W
 *   TN  c[m,n] = Σ_k a[k,m] b[k,n]     gradient of its weight:    dW = dYᵀ X */
enum berth_gemm_form { BERTH_GEMM_NT, BERTH_GEMM_NN, BERTH_GEMM_TN };

enum berth_activation {
    BERTH_ACT_NONE,
    BERTH_ACT_GELU,      /* x Φ(x), Φ by erf (Hendrycks & Gimpel, arXiv 1606.08415): BERT's "gelu" */
    BERTH_ACT_GELU_TANH, /* its tanh approximation: "gelu_new" */
    BERTH_ACT_RELU,
    BERTH_ACT_SILU,
    BERTH_ACT_TANH
};

/* Dropout of rows; NULL or threshold 0 means none. Layout of the counters: philox.h. */
struct berth_dropout {
    uint32_t threshold;      /* berth_dropout_threshold(p) */
    uint32_t site;           /* which dropout of the network; 12 bits */
    const uint32_t *key;     /* [3] seed low, seed high, step; in device memory */
    const int32_t *ordinal;  /* [rows] (attention: [B]) the example's ordinal in the global batch */
    const int32_t *position; /* [rows] position in its sequence; unused by attention */
};

/* Losses of a number y against its target, e = y - target. */
enum berth_error_kind {
    BERTH_ERROR_SQUARED,  /* e² */
    BERTH_ERROR_ABSOLUTE, /* |e| */
    BERTH_ERROR_HUBER     /* e²/2 where |e| <= delta, else delta (|e| - delta/2) */
};

typedef struct berth_stream berth_stream; /* the backend's own: pass the device's to every operation */

struct berth_ops {
    /* ---- matrix product: c = op(a) op(b) (+ bias[n] on each row) (+ c where accumulate) */
    int (*gemm)(void *c, const void *a, const void *b, const float *bias /* [n] or NULL */, int64_t m,
                int64_t n, int64_t k, int64_t lda, int64_t ldb, int64_t ldc, enum berth_gemm_form form,
                int accumulate, enum berth_dtype c_dtype, enum berth_dtype ab_dtype, berth_stream *stream);

    /* ---- reduce: out[j] (+)= Σ_t x[t, j]: bias gradients */
    size_t (*column_sum_workspace)(int64_t rows, int64_t columns);
    int (*column_sum)(float *out /* [N] */, const void *x /* [T, N] */, void *workspace, int64_t rows,
                      int64_t columns, int accumulate, enum berth_dtype dtype, berth_stream *stream);
    /* out[0] = Σ x², in double */
    int (*sum_squares)(double *out /* [1] */, const float *x /* [n] */, int64_t n, berth_stream *stream);
    /* out[0] = Σ x y, in double */
    int (*dot)(double *out /* [1] */, const float *x /* [n] */, const float *y /* [n] */, int64_t n,
               berth_stream *stream);
    /* out[0] (+)= scale Σ x */
    int (*scaled_sum)(float *out /* [1] */, const float *x /* [n] */, int64_t n, float scale, int accumulate,
                      berth_stream *stream);

    /* ---- elementwise */
    int (*fill)(float *x /* [n] */, float value, int64_t n, berth_stream *stream);
    int (*add)(void *y /* [n] += */, const void *x /* [n] */, int64_t n, enum berth_dtype dtype,
               berth_stream *stream);
    /* y[i] = x[i] in another element type: float to bf16 rounds to nearest, ties to even */
    int (*cast)(void *y /* [n] */, const void *x /* [n] */, int64_t n, enum berth_dtype y_dtype,
                enum berth_dtype x_dtype, berth_stream *stream);
    int (*scale)(float *x /* [n] *= */, float factor, int64_t n, berth_stream *stream);
    /* y[i] = dloss[0] * scale for all i: backward of scaled_sum */
    int (*broadcast)(float *y /* [n] */, const float *dloss /* [1] */, int64_t n, float scale,
                     berth_stream *stream);

    /* ---- activation: y = f(x + bias); dx = dy f'(x + bias). y may be x's memory, dx may be dy's. */
    int (*act_forward)(void *y /* [T, N] */, const void *x /* [T, N] */, const float *bias /* [N] or NULL */,
                       int64_t rows, int64_t columns, enum berth_activation kind, enum berth_dtype dtype,
                       berth_stream *stream);
    int (*act_backward)(void *dx /* [T, N] */, const void *dy /* [T, N] */, const void *x /* [T, N] */,
                        const float *bias /* [N] or NULL */, int64_t rows, int64_t columns,
                        enum berth_activation kind, enum berth_dtype dtype, berth_stream *stream);

    /* ---- embedding: y[t] = token[ids[t]] + position[pos[t]] (+ segment[seg[t]] unless segment is NULL) */
    int (*embedding_forward)(void *y /* [T, H] */, const float *token /* [V, H] */,
                             const float *position /* [P, H] */, const float *segment /* [S, H] or NULL */,
                             const int32_t *ids /* [T] */, const int32_t *pos /* [T] */,
                             const int32_t *seg /* [T] or NULL */, int64_t rows, int64_t hidden,
                             enum berth_dtype dtype, berth_stream *stream);
    /* dtable[ids[t]] += dy[t]. order: 0..T-1 sorted by (ids[t], t), so each table row is summed in one fixed
     * order without atomics. */
    int (*embedding_backward)(float *dtable /* [V, H] += */, const void *dy /* [T, H] */,
                              const int32_t *ids /* [T] */, const int32_t *order /* [T] */, int64_t rows,
                              int64_t hidden, enum berth_dtype dtype, berth_stream *stream);

    /* ---- layer normalisation (Ba et al., arXiv 1607.06450), fused with dropout and residual:
     *   pre = dropout(x) + residual,  y = (pre - mean) rstd gamma + beta,  rstd = 1/sqrt(var + eps)
     * residual NULL: pre = dropout(x). pre NULL: not saved (then mean and rstd may be NULL as well).
     * pre may be x's memory. Variance in two passes. */
    int (*layernorm_forward)(void *y /* [T, H] */, void *pre /* [T, H] or NULL */, float *mean /* [T] */,
                             float *rstd /* [T] */, const void *x /* [T, H] */,
                             const void *residual /* [T, H] or NULL */, const float *gamma /* [H] */,
                             const float *beta /* [H] */, int64_t rows, int64_t hidden, float eps,
                             const struct berth_dropout *dropout, enum berth_dtype dtype, berth_stream *stream);
    /* embedding_forward, normalised, with dropout of the result, in one pass (Devlin et al., arXiv 1810.04805):
     *   pre = token[ids[t]] + position[pos[t]] (+ segment[seg[t]]),  y = dropout((pre - mean) rstd gamma +
     * beta) pre NULL: not saved (then mean and rstd may be NULL as well). Backward: dropout of dy,
     * layernorm_backward, layernorm_param_backward, embedding_backward of each table. */
    int (*embedding_norm_forward)(void *y /* [T, H] */, void *pre /* [T, H] or NULL */, float *mean /* [T] */,
                                  float *rstd /* [T] */, const float *token /* [V, H] */,
                                  const float *position /* [P, H] */, const float *segment /* [S, H] or NULL */,
                                  const float *gamma /* [H] */, const float *beta /* [H] */,
                                  const int32_t *ids /* [T] */, const int32_t *pos /* [T] */,
                                  const int32_t *seg /* [T] or NULL */, int64_t rows, int64_t hidden, float eps,
                                  const struct berth_dropout *dropout, enum berth_dtype dtype,
                                  berth_stream *stream);
    /* dpre by the chain rule; dresidual (+)= dpre unless NULL; dx = dropout mask of dpre unless NULL.
     * dx may be dy's memory. */
    int (*layernorm_backward)(void *dx /* [T, H] or NULL */, void *dresidual /* [T, H] or NULL */,
                              const void *dy /* [T, H] */, const void *pre /* [T, H] */,
                              const float *mean /* [T] */, const float *rstd /* [T] */,
                              const float *gamma /* [H] */, int64_t rows, int64_t hidden,
                              int accumulate_residual, const struct berth_dropout *dropout,
                              enum berth_dtype dtype, berth_stream *stream);
    size_t (*layernorm_param_workspace)(int64_t rows, int64_t hidden);
    /* dgamma += Σ_t dy xhat, dbeta += Σ_t dy; either may be NULL */
    int (*layernorm_param_backward)(float *dgamma /* [H] += or NULL */, float *dbeta /* [H] += or NULL */,
                                    const void *dy /* [T, H] */, const void *pre /* [T, H] */,
                                    const float *mean /* [T] */, const float *rstd /* [T] */, void *workspace,
                                    int64_t rows, int64_t hidden, enum berth_dtype dtype, berth_stream *stream);

    /* ---- dropout alone; forward and backward are the same map. y may be x's memory. */
    int (*dropout)(void *y /* [T, H] */, const void *x /* [T, H] */, int64_t rows, int64_t hidden,
                   const struct berth_dropout *dropout, enum berth_dtype dtype, berth_stream *stream);

    /* ---- attention within each sequence: P = softmax(scale Q Kᵀ), out = dropout(P) V; lse = log Σ exp(scale
     * QKᵀ). Nothing of size length² is stored: backward recomputes P from lse (Dao et al., arXiv 2205.14135).
     */
    /* (CPU: room for as many threads as OpenMP would use at the time of asking.) */
    size_t (*attention_workspace)(int64_t tokens, int64_t sequences, int64_t max_length, int64_t heads,
                                  int64_t head_size, int backward);
    int (*attention_forward)(void *out /* [T, A, D] */, float *lse /* [T, A] or NULL */,
                             const void *qkv /* [T, 3, A, D] */, const int32_t *cu_seqlens /* [B+1] */,
                             void *workspace, int64_t tokens, int64_t sequences, int64_t max_length,
                             int64_t heads, int64_t head_size, float scale, const struct berth_dropout *dropout,
                             enum berth_dtype dtype, berth_stream *stream);
    int (*attention_backward)(void *dqkv /* [T, 3, A, D] */, const void *dout /* [T, A, D] */,
                              const void *qkv /* [T, 3, A, D] */, const void *out /* [T, A, D] */,
                              const float *lse /* [T, A] */, const int32_t *cu_seqlens /* [B+1] */,
                              void *workspace, int64_t tokens, int64_t sequences, int64_t max_length,
                              int64_t heads, int64_t head_size, float scale,
                              const struct berth_dropout *dropout, enum berth_dtype dtype,
                              berth_stream *stream);

    /* ---- between tokens and heads. Rows within one call are distinct. */
    int (*gather_rows)(void *y /* [R, H] */, const void *x /* [T, H] */, const int32_t *rows /* [R] */,
                       int64_t count, int64_t hidden, enum berth_dtype dtype, berth_stream *stream);
    int (*scatter_add_rows)(void *dx /* [T, H] += at rows */, const void *dy /* [R, H] */,
                            const int32_t *rows /* [R] */, int64_t count, int64_t hidden,
                            enum berth_dtype dtype, berth_stream *stream);
    /* y[r] = mean of the tokens of sequence seqs[r] */
    int (*mean_pool_forward)(void *y /* [R, H] */, const void *x /* [T, H] */, const int32_t *seqs /* [R] */,
                             const int32_t *cu_seqlens /* [B+1] */, int64_t count, int64_t hidden,
                             enum berth_dtype dtype, berth_stream *stream);
    int (*mean_pool_backward)(void *dx /* [T, H] += */, const void *dy /* [R, H] */,
                              const int32_t *seqs /* [R] */, const int32_t *cu_seqlens /* [B+1] */,
                              int64_t count, int64_t hidden, enum berth_dtype dtype, berth_stream *stream);

    /* ---- softmax cross-entropy, a row at a time; label -1 is masked: loss 0, gradient 0.
     *   loss = (1-s) w[y] (lse - z[y]) + s/K Σ_k w[k] (lse - z[k])    w: class weights or 1, s: smoothing */
    int (*cross_entropy_forward)(float *loss /* [R] */, float *lse /* [R] */, const void *logits /* [R, K] */,
                                 const int32_t *labels /* [R] */, const float *class_weight /* [K] or NULL */,
                                 int64_t rows, int64_t classes, float smoothing, enum berth_dtype dtype,
                                 berth_stream *stream);
    int (*cross_entropy_backward)(void *dlogits /* [R, K] */, const float *dloss /* [R] */,
                                  const void *logits /* [R, K] */, const float *lse /* [R] */,
                                  const int32_t *labels /* [R] */, const float *class_weight /* [K] or NULL */,
                                  int64_t rows, int64_t classes, float smoothing, enum berth_dtype dtype,
                                  berth_stream *stream);

    /* focal (Lin et al., arXiv 1708.02002): loss = -w[y] (1 - p[y])^gamma log p[y],  p = softmax(z) */
    int (*focal_forward)(float *loss /* [R] */, float *lse /* [R] */, const void *logits /* [R, K] */,
                         const int32_t *labels /* [R] */, const float *class_weight /* [K] or NULL */,
                         int64_t rows, int64_t classes, float gamma, enum berth_dtype dtype,
                         berth_stream *stream);
    int (*focal_backward)(void *dlogits /* [R, K] */, const float *dloss /* [R] */,
                          const void *logits /* [R, K] */, const float *lse /* [R] */,
                          const int32_t *labels /* [R] */, const float *class_weight /* [K] or NULL */,
                          int64_t rows, int64_t classes, float gamma, enum berth_dtype dtype,
                          berth_stream *stream);

    /* ---- binary cross-entropy of K answers a row: loss = 1/n Σ_k l[k] over the n targets that are not
     * negative, l = w t' (1-p)^gamma softplus(-z) + (1-t') p^gamma softplus(z),  p = sigmoid(z),  t' = t (1-s)
     * + s/2 w: weights of the positive side, or 1. label negative: the row is masked; so is one with n = 0. */
    int (*bce_forward)(float *loss /* [R] */, const void *logits /* [R, K] */,
                       const float *targets /* [R, K] */, const int32_t *labels /* [R] */,
                       const float *positive_weight /* [K] or NULL */, int64_t rows, int64_t classes,
                       float smoothing, float gamma, enum berth_dtype dtype, berth_stream *stream);
    int (*bce_backward)(void *dlogits /* [R, K] */, const float *dloss /* [R] */,
                        const void *logits /* [R, K] */, const float *targets /* [R, K] */,
                        const int32_t *labels /* [R] */, const float *positive_weight /* [K] or NULL */,
                        int64_t rows, int64_t classes, float smoothing, float gamma, enum berth_dtype dtype,
                        berth_stream *stream);

    /* ---- a number against its target; label negative: masked */
    int (*error_forward)(float *loss /* [R] */, const void *y /* [R] */, const float *target /* [R] */,
                         const int32_t *labels /* [R] */, int64_t rows, enum berth_error_kind kind, float delta,
                         enum berth_dtype dtype, berth_stream *stream);
    int (*error_backward)(void *dy /* [R] */, const float *dloss /* [R] */, const void *y /* [R] */,
                          const float *target /* [R] */, const int32_t *labels /* [R] */, int64_t rows,
                          enum berth_error_kind kind, float delta, enum berth_dtype dtype,
                          berth_stream *stream);

    /* ---- similarity. y = scale x / norm, norm = max(|x|, 1e-12) of each row */
    int (*normalize_forward)(void *y /* [R, H] */, float *norm /* [R] */, const void *x /* [R, H] */,
                             int64_t rows, int64_t hidden, float scale, enum berth_dtype dtype,
                             berth_stream *stream);
    int (*normalize_backward)(void *dx /* [R, H] */, const void *dy /* [R, H] */, const void *y /* [R, H] */,
                              const float *norm /* [R] */, int64_t rows, int64_t hidden, float scale,
                              enum berth_dtype dtype, berth_stream *stream);
    /* y[r] = Σ_j a[r, j] b[r, j] */
    int (*row_dot_forward)(float *y /* [R] */, const void *a /* [R, H] */, const void *b /* [R, H] */,
                           int64_t rows, int64_t hidden, enum berth_dtype dtype, berth_stream *stream);
    int (*row_dot_backward)(void *da /* [R, H] or NULL */, void *db /* [R, H] or NULL */,
                            const float *dy /* [R] */, const void *a /* [R, H] */, const void *b /* [R, H] */,
                            int64_t rows, int64_t hidden, enum berth_dtype dtype, berth_stream *stream);
    /* CoSENT: one number for all rows, lse = log(1 + Σ e^(scale (y[j] - y[i]))) over the pairs with target[i] >
     * target[j]; it is the loss of each row that is not masked (label negative), so their mean is it. */
    int (*cosent_forward)(float *loss /* [R] */, float *lse /* [1] */, const float *y /* [R] */,
                          const float *target /* [R] */, const int32_t *labels /* [R] */, int64_t rows,
                          float scale, berth_stream *stream);
    int (*cosent_backward)(float *dy /* [R] */, const float *dloss /* [R] */, const float *y /* [R] */,
                           const float *target /* [R] */, const int32_t *labels /* [R] */,
                           const float *lse /* [1] */, int64_t rows, float scale, berth_stream *stream);

    /* ---- linear-chain CRF (Lafferty et al. 2001). Sequence s is rows cu_items[s] .. cu_items[s+1]-1 of the
     * logits; a path y scores start[y_0] + Σ_t z[t, y_t] + Σ_t transitions[y_{t-1}, y_t] + end[y_last]. loss =
     * log Σ_paths e^score - log Σ_{paths that agree with the labels} e^score label negative: any tag agrees, so
     * a missing one is summed over. The loss stands at a sequence's first row, the other rows have 0. alpha:
     * messages of both sums, saved for backward. */
    size_t (*crf_workspace)(int64_t rows, int64_t sequences, int64_t classes, int backward);
    int (*crf_forward)(float *loss /* [R] */, float *alpha /* [2, R, K] */, const void *logits /* [R, K] */,
                       const float *transitions /* [K from, K to] */, const float *start /* [K] */,
                       const float *end /* [K] */, const int32_t *labels /* [R] */,
                       const int32_t *cu_items /* [S+1] */, void *workspace, int64_t rows, int64_t sequences,
                       int64_t classes, enum berth_dtype dtype, berth_stream *stream);
    /* dloss is read at a sequence's first row. */
    int (*crf_backward)(void *dlogits /* [R, K] */, float *dtransitions /* [K, K] += or NULL */,
                        float *dstart /* [K] += or NULL */, float *dend /* [K] += or NULL */,
                        const float *dloss /* [R] */, const void *logits /* [R, K] */,
                        const float *alpha /* [2, R, K] */, const float *transitions, const float *start,
                        const float *end, const int32_t *labels /* [R] */, const int32_t *cu_items /* [S+1] */,
                        void *workspace, int64_t rows, int64_t sequences, int64_t classes,
                        enum berth_dtype dtype, berth_stream *stream);

    /* The best path of each sequence (Viterbi 1967), in double; of equal ones the lower tag. A sequence without
     * a path of finite score keeps what stands in path. */
    size_t (*viterbi_workspace)(int64_t rows, int64_t sequences, int64_t classes);
    int (*viterbi)(int32_t *path /* [R] */, const void *logits /* [R, K] */,
                   const float *transitions /* [K from, K to] */, const float *start /* [K] */,
                   const float *end /* [K] */, const int32_t *cu_items /* [S+1] */, void *workspace,
                   int64_t rows, int64_t sequences, int64_t classes, enum berth_dtype dtype,
                   berth_stream *stream);

    /* ---- a learnt mix of layers (Peters et al., arXiv 1802.05365), one layer a call:
     *   y = prior + gamma[0] s[layer] x,  s = softmax(w)       prior NULL: 0; y may be prior's memory */
    int (*mix_forward)(void *y /* [n] */, const void *prior /* [n] or NULL */, const void *x /* [n] */,
                       const float *w /* [layers] */, const float *gamma /* [1] */, int64_t n, int64_t layers,
                       int64_t layer, enum berth_dtype dtype, berth_stream *stream);
    size_t (*mix_workspace)(int64_t n);
    int (*mix_backward)(void *dx /* [n] (+)= or NULL */, float *dw /* [layers] += or NULL */,
                        float *dgamma /* [1] += or NULL */, const void *dy /* [n] */, const void *x /* [n] */,
                        const float *w /* [layers] */, const float *gamma /* [1] */, void *workspace, int64_t n,
                        int64_t layers, int64_t layer, int accumulate, enum berth_dtype dtype,
                        berth_stream *stream);

    /* Optimizers: grad_scale[0] NaN: nothing is changed. */
    /* ---- AdamW (Loshchilov & Hutter, arXiv 1711.05101), g' = grad_scale[0] g:
     *   m = b1 m + (1-b1) g',  v = b2 v + (1-b2) g'²,
     *   p -= lr (m / c1 / (sqrt(v / c2) + eps) + decay p),  c = 1 - b^t by the caller */
    int (*adamw)(float *p /* [n] */, float *m /* [n] */, float *v /* [n] */, const float *g /* [n] */,
                 const float *grad_scale /* [1] */, int64_t n, float lr, float beta1, float beta2, float eps,
                 float decay, float correction1, float correction2, berth_stream *stream);

    /* The same, and half = p rounded to bf16, in the same pass */
    int (*adamw_half)(float *p /* [n] */, void *half /* [n] bf16 */, float *m /* [n] */, float *v /* [n] */,
                      const float *g /* [n] */, const float *grad_scale /* [1] */, int64_t n, float lr,
                      float beta1, float beta2, float eps, float decay, float correction1, float correction2,
                      berth_stream *stream);

    /* ---- clipping by the norm of all gradients (Pascanu et al., arXiv 1211.5063), from sum_squares of their
     * parts: norm = √(Σ squares),  scale = min(1, most / (norm + 1e-6)),  or 1 where most <= 0 A norm that is
     * not finite gives a scale of NaN, with which the optimizers change nothing. */
    int (*clip)(float *scale /* [1] */, double *norm /* [1] */, const double *squares /* [count] */,
                int64_t count, double most, berth_stream *stream);

    /* ---- SGD with momentum (as torch.optim.SGD, dampening 0), g' = grad_scale[0] g + decay p:
     *   m = momentum m + g',  p -= lr (nesterov ? g' + momentum m : m) */
    int (*sgd)(float *p /* [n] */, float *m /* [n] */, const float *g /* [n] */,
               const float *grad_scale /* [1] */, int64_t n, float lr, float momentum, int nesterov,
               float decay, berth_stream *stream);

    /* ---- Lion (Chen et al., arXiv 2302.06675), g' = grad_scale[0] g:
     *   p -= lr (sign(b1 m + (1-b1) g') + decay p),  m = b2 m + (1-b2) g';  sign(0) = 0 */
    int (*lion)(float *p /* [n] */, float *m /* [n] */, const float *g /* [n] */,
                const float *grad_scale /* [1] */, int64_t n, float lr, float beta1, float beta2, float decay,
                berth_stream *stream);

    /* ---- moving average: e += rate (p - e) */
    int (*average)(float *e /* [n] */, const float *p /* [n] */, int64_t n, float rate, berth_stream *stream);
};

/* ---- what the CPU's functions return */
enum berth_cpu_error {
    BERTH_CPU_OK = 0,
    BERTH_CPU_E_DTYPE = 1,   /* this operation does not take the element type */
    BERTH_CPU_E_LIBRARY = 2, /* the matrix product library refused */
    BERTH_CPU_E_STREAM = 3   /* gemm was called without the device's stream */
};

/* ---- the CPU's families: one compilation an instruction set, see kernels/README.md */
#define BERTH_CPU_ISA_MAP(X) X(base) X(avx2) X(avx512)
#define BERTH_CPU_FAMILY_MAP(X, isa)                                                                           \
    X(isa, attention)                                                                                          \
    X(isa, layernorm) X(isa, gelu) X(isa, embedding) X(isa, softmax_ce) X(isa, dropout) X(isa, item_loss)      \
        X(isa, similarity) X(isa, crf) X(isa, mix) X(isa, gather) X(isa, reduce) X(isa, optim)                 \
            X(isa, elementwise) X(isa, gemm_ref)
#define BERTH_CPU_DECLARE(isa, family) void berth_cpu_table_##family##_##isa(struct berth_ops *ops);
#define BERTH_CPU_DECLARE_ISA(isa) BERTH_CPU_FAMILY_MAP(BERTH_CPU_DECLARE, isa)
BERTH_CPU_ISA_MAP(BERTH_CPU_DECLARE_ISA)

#ifdef __cplusplus
}
#endif

#endif /* BERTH_KERNELS_H */
