/* attention.cu: the launchers of attention; see attention.cuh. */
#include "attention.cuh"

enum { DELTA_THREADS = 128, MOST_HEAD = 128, MOST_HEADS = 65535 };

/* delta[t, a] = Σ_d dout out, one thread each */
template <class T>
static __global__ void attention_delta_kernel(float *delta, const T *dout, const T *out, int64_t count,
                                              int head_size, bool wide) {
    const int64_t i = (int64_t)blockIdx.x * DELTA_THREADS + threadIdx.x;
    if (i >= count) return;
    float sum = 0.0f;
    for (int c = 0; c < head_size; c += PACK) {
        const int n = head_size - c < PACK ? head_size - c : PACK;
        pack x, y;
        load_any(x, dout + i * head_size + c, n, wide);
        load_any(y, out + i * head_size + c, n, wide);
#pragma unroll
        for (int k = 0; k < PACK; k++)
            sum += x.v[k] * y.v[k];
    }
    delta[i] = sum;
}

static size_t attention_workspace(int64_t tokens, int64_t sequences, int64_t max_length, int64_t heads,
                                  int64_t head_size, int backward) {
    (void)sequences, (void)head_size;
    return backward && max_length > SHORT ? (size_t)(tokens * heads) * sizeof(float) : 0;
}

static attention_args args_of(const int32_t *cu_seqlens, int64_t sequences, int64_t max_length, int64_t heads,
                              int64_t head_size, float scale, bool wide, const struct berth_dropout *dropout) {
    attention_args a = {
        cu_seqlens, sequences, max_length, (int)heads, (int)head_size, scale, wide, dropout_value(dropout),
        1.0f};
    a.keep_scale = berth_dropout_scale(a.dropout.threshold);
    return a;
}

static int check(int64_t heads, int64_t head_size, enum berth_dtype dtype) {
    if (dtype != BERTH_F32 && dtype != BERTH_BF16) return BERTH_CUDA_E_DTYPE;
    return head_size > MOST_HEAD || heads > MOST_HEADS ? BERTH_CUDA_E_SHAPE : BERTH_CUDA_OK;
}

static int attention_forward(void *out, float *lse, const void *qkv, const int32_t *cu_seqlens, void *workspace,
                             int64_t tokens, int64_t sequences, int64_t max_length, int64_t heads,
                             int64_t head_size, float scale, const struct berth_dropout *dropout,
                             enum berth_dtype dtype, berth_stream *stream) {
    (void)workspace;
    const attention_args a = args_of(cu_seqlens, sequences, max_length, heads, head_size, scale,
                                     wide_rows(head_size, qkv, out), dropout);
    const attention_forward_in in = {out, lse, qkv};
    const int error = check(heads, head_size, dtype);
    if (error != 0 || tokens == 0) return error;
    return dtype == BERTH_F32 ? ATTENTION(f32_forward)(in, a, stream) : ATTENTION(bf16_forward)(in, a, stream);
}

template <class T>
static int make_delta(float *delta, const void *dout, const void *out, int64_t count, const attention_args &a,
                      berth_stream *stream) {
    return launch(attention_delta_kernel<T>, dim3((unsigned)ceil_div(count, DELTA_THREADS)),
                  dim3(DELTA_THREADS), 0, stream, delta, (const T *)dout, (const T *)out, count, a.head_size,
                  a.wide);
}

static int attention_backward(void *dqkv, const void *dout, const void *qkv, const void *out, const float *lse,
                              const int32_t *cu_seqlens, void *workspace, int64_t tokens, int64_t sequences,
                              int64_t max_length, int64_t heads, int64_t head_size, float scale,
                              const struct berth_dropout *dropout, enum berth_dtype dtype,
                              berth_stream *stream) {
    const attention_args a = args_of(cu_seqlens, sequences, max_length, heads, head_size, scale,
                                     wide_rows(head_size, dqkv, dout, qkv, out), dropout);
    const attention_backward_in in = {dqkv, dout, qkv, out, lse, (float *)workspace};
    int error = check(heads, head_size, dtype);
    if (error != 0 || tokens == 0) return error;
    if (max_length > SHORT)
        error = dtype == BERTH_F32 ? make_delta<float>(in.delta, dout, out, tokens * heads, a, stream)
                                   : make_delta<bf16>(in.delta, dout, out, tokens * heads, a, stream);
    if (error != 0) return error;
    return dtype == BERTH_F32 ? ATTENTION(f32_backward)(in, a, stream)
                              : ATTENTION(bf16_backward)(in, a, stream);
}

BERTH_CUDA_TABLE(attention)(struct berth_ops *ops) {
    ops->attention_workspace = attention_workspace;
    ops->attention_forward = attention_forward;
    ops->attention_backward = attention_backward;
}
