/* attention_cuda.h: cuDNN's attention behind the operations attention_forward and attention_backward: a plan
 * for each bucket of batches, compiled before the first step, and the memory that plans run with.
 *
 * One workspace and one set of lists serve the one stream. Which engine a plan took can be written as text and
 * asked for again when a run resumes. */
#ifndef BERTH_ATTENTION_CUDA_H
#define BERTH_ATTENTION_CUDA_H

#include "device/attention_choice.h"
#include "device/cuda/attention_cudnn.h"

struct attention_cuda;

/* Compiles the plans of all buckets for the device (a handle, or a description: such plans cannot be run).
 * Deterministic engines alone: BERTH_E_UNSUPPORTED names the bucket that has none. */
berth_status attention_cuda_open(struct attention_cuda **out, const struct cudnn_api *api,
                                 const struct cudnn_device *device,
                                 const struct berth_attention_use *use) BERTH_CHECKED;
void attention_cuda_close(struct attention_cuda *a); /* NULL is allowed */
int attention_cuda_plans(const struct attention_cuda *a);
/* Bytes of device memory that it runs with, and where they are: borrowed, 256-byte aligned. */
size_t attention_cuda_bytes(const struct attention_cuda *a);
void attention_cuda_memory(struct attention_cuda *a, void *memory);

/* The arguments of the operation, forward and backward. */
struct attention_cuda_call {
    void *out;  /* backward: read */
    float *lse; /* backward: read; forward: NULL where nobody needs it */
    const void *qkv;
    void *dqkv; /* NULL: forward */
    const void *dout;
    const int32_t *cu_seqlens;
    int64_t tokens, sequences, max_length, heads, head_size;
    float scale;
    const struct berth_dropout *dropout;
    enum berth_dtype dtype;
};
/* Whether a plan serves the call: it does for every batch within what `use` said. */
bool attention_cuda_serves(const struct attention_cuda *a, const struct attention_cuda_call *call);
berth_status attention_cuda_run(struct attention_cuda *a, const struct attention_cuda_call *call,
                                berth_stream *stream) BERTH_CHECKED;

/* A line a plan: "cudnn SEQUENCES LENGTH WHICH ENGINE". */
void attention_cuda_choices(const struct attention_cuda *a, struct berth_str *out);
/* Makes the engines those of the text's lines; lines of buckets that are not here are passed over.
 * BERTH_E_FORMAT for text that is not such a list, BERTH_E_UNSUPPORTED where cuDNN does not offer the engine
 * any more. */
berth_status attention_cuda_restore(struct attention_cuda *a, const char *text) BERTH_CHECKED;

#endif /* BERTH_ATTENTION_CUDA_H */
