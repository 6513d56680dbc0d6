/* attention_ragged.cu: packed sequences as cuDNN's attention knows them: a list of lengths and lists of where
 * each sequence begins, in elements, of a bucket's size; empty sequences at the packed rows' end fill it up.
 * And a seed for its dropout: another one for each seed of the run, step and dropout of the network.
 *
 *     lengths[b] = cu[b+1] - cu[b], 0 from B on     offset[b] = cu[min(b, B)] * elements of a row
 *     seed = 63 bits of philox(seed; purpose, step, site)     position = 0 */
#include "common.cuh"

enum { LIST_THREADS = 128 };

static __global__ void ragged_kernel(struct berth_cuda_ragged to, const int32_t *cu_seqlens, int64_t sequences,
                                     int64_t bucket, int32_t width, int32_t heads, struct berth_dropout d) {
    const int64_t b = (int64_t)blockIdx.x * LIST_THREADS + threadIdx.x;
    if (b > bucket) return;
    const int32_t first = cu_seqlens[b < sequences ? b : sequences];
    to.qkv_offset[b] = 3 * width * first;
    to.out_offset[b] = width * first;
    to.lse_offset[b] = heads * first;
    if (b < bucket) to.lengths[b] = b < sequences ? cu_seqlens[b + 1] - first : 0;
    if (b != 0 || d.threshold == 0) return;
    const struct berth_philox_block r =
        berth_philox(d.key[0], d.key[1], 0, 0, d.key[2], berth_philox_word3(BERTH_PURPOSE_LIBRARY, d.site, 0));
    to.seed[0] = (int64_t)(((uint64_t)(r.w[1] & 0x7FFFFFFFu) << 32) | r.w[0]);
    to.position[0] = 0;
}

#if defined(__CUDACC__)
#define RAGGED berth_cuda_attention_ragged
#else
#define RAGGED berth_cuda_host_attention_ragged
#endif

extern "C" int RAGGED(const struct berth_cuda_ragged *to, const int32_t *cu_seqlens, int64_t sequences,
                      int64_t bucket, int64_t tokens, int64_t heads, int64_t head_size,
                      const struct berth_dropout *dropout, berth_stream *stream) {
    if (sequences > bucket || tokens * 3 * heads * head_size > INT32_MAX) return BERTH_CUDA_E_SHAPE;
    return launch(ragged_kernel, dim3((unsigned)ceil_div(bucket + 1, LIST_THREADS)), dim3(LIST_THREADS), 0,
                  stream, *to, cu_seqlens, sequences, bucket, (int32_t)(heads * head_size), (int32_t)heads,
                  dropout_value(dropout));
}
