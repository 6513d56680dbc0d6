/* kernels_cuda.h: the CUDA kernels of kernels/FAMILY.cu as a table of operations, on two devices.
 *
 * The same files are compiled twice: by nvcc for the device `cuda`, and by the C++ compiler for the device
 * `cuda-host`, whose execution layer (kernels/host/) runs them on the CPU and finds mistakes that a GPU would
 * not forgive. Launchers are the functions of struct berth_ops: plain pointers, sizes, a stream; they allocate
 * nothing and never wait for the device. */
#ifndef BERTH_KERNELS_CUDA_H
#define BERTH_KERNELS_CUDA_H

#include "berth/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The families with CUDA kernels; products come from a library. */
#define BERTH_CUDA_FAMILY_MAP(X)                                                                               \
    X(layernorm)                                                                                               \
    X(elementwise)                                                                                             \
    X(dropout)                                                                                                 \
    X(gelu)                                                                                                    \
    X(reduce) X(embedding) X(gather) X(softmax_ce) X(optim) X(attention) X(item_loss) X(similarity) X(crf)     \
        X(mix)
#define BERTH_CUDA_DECLARE(family)                                                                             \
    void berth_cuda_table_##family(struct berth_ops *ops);                                                     \
    void berth_cuda_host_table_##family(struct berth_ops *ops);
BERTH_CUDA_FAMILY_MAP(BERTH_CUDA_DECLARE)

/* What a CUDA device's berth_stream begins with. */
struct berth_cuda_stream {
    void *stream;  /* cudaStream_t; unused by cuda-host */
    void *scratch; /* BERTH_CUDA_SCRATCH bytes of device memory for partial sums of one operation */
};
#define BERTH_CUDA_SCRATCH ((size_t)64 << 10)

/* ---- attention_ragged.cu: packed sequences as the lists that cuDNN's attention wants; no operation of the table.
 * bucket: sequences of the plan, at least as many as there are; empty ones fill it up. */
struct berth_cuda_ragged { /* device memory; elements: offsets of sequences in arrays of A D or A columns */
    int32_t *lengths;      /* [bucket] */
    int32_t *qkv_offset, *out_offset, *lse_offset; /* [bucket + 1] */
    int64_t *seed, *position;                      /* [1] written with dropout alone */
};
/* BERTH_CUDA_E_SHAPE where an offset exceeds 32 bits. */
int berth_cuda_attention_ragged(const struct berth_cuda_ragged *to, const int32_t *cu_seqlens /* [B+1] */,
                                int64_t sequences, int64_t bucket, int64_t tokens, int64_t heads, int64_t head_size,
                                const struct berth_dropout *dropout, berth_stream *stream);
int berth_cuda_host_attention_ragged(const struct berth_cuda_ragged *to, const int32_t *cu_seqlens, int64_t sequences,
                                     int64_t bucket, int64_t tokens, int64_t heads, int64_t head_size,
                                     const struct berth_dropout *dropout, berth_stream *stream);

/* What the launchers return. */
enum berth_cuda_error {
    BERTH_CUDA_OK = 0,
    BERTH_CUDA_E_DTYPE = 1,     /* this operation does not take the element type */
    BERTH_CUDA_E_SHAPE = 2,     /* a size beyond what the kernels hold */
    BERTH_CUDA_E_LIBRARY = 3,   /* the matrix product library refused */
    BERTH_CUDA_E_HOST = 4,      /* the execution layer found a mistake: berth_cuda_host_error() */
    BERTH_CUDA_E_RUNTIME = 1000 /* plus the cudaError of the launch: berth_cuda_launch_error() */
};

/* The last launch that failed, in words: kernel, launcher, grid, block, sizes, reason; "" where none did. */
const char *berth_cuda_launch_error(void);
/* The kernel of the last launch: where a wait fails, that one or one before it is guilty (BERTH_SYNC=1 in
 * the environment waits for each, which names it). */
const char *berth_cuda_last_launch(void);

/* ---- the execution layer. One launch at a time in a process. */

/* In which order the threads and blocks of a launch run; results must not depend on it. Random orders follow
 * from the seed. At program start BERTH_CUDA_HOST_ORDER=forward|reverse|random[:SEED] of the environment. */
enum berth_cuda_host_order { BERTH_CUDA_HOST_FORWARD, BERTH_CUDA_HOST_REVERSE, BERTH_CUDA_HOST_RANDOM };
void berth_cuda_host_set_order(enum berth_cuda_host_order order, uint64_t seed);
/* Called before and after the blocks of each launch, to open and close memory that the host may not touch;
 * NULL: none. */
void berth_cuda_host_set_hooks(void (*before)(void), void (*after)(void));
/* What was wrong with the last launch, or "". */
const char *berth_cuda_host_error(void);
/* "NAME" or "NAME:N": the N-th launch from now of a kernel whose name holds NAME fails; NULL: none does. At
 * program start BERTH_CUDA_HOST_FAIL of the environment. */
void berth_cuda_host_fail_launch(const char *which);
/* ---- work kept instead of done, to be done many times (host_record.cpp). Functions return a number of the launchers'. */
struct berth_cuda_host_list;
int berth_cuda_host_list_new(struct berth_cuda_host_list **out);
void berth_cuda_host_list_free(struct berth_cuda_host_list *list); /* NULL is allowed */
size_t berth_cuda_host_list_count(const struct berth_cuda_host_list *list);
/* From now on launches go to the end of the list; NULL: they are run again. */
void berth_cuda_host_record(struct berth_cuda_host_list *list);
int berth_cuda_host_recording(void);
/* Work other than launches: run(argument), with a copy of the argument, which must not point into itself. */
int berth_cuda_host_keep(int (*run)(void *argument), const void *argument, size_t bytes);
int berth_cuda_host_replay(const struct berth_cuda_host_list *list);

/* Whether this build's kernels report accesses to the race detector. */
int berth_cuda_host_detects_races(void);

#ifdef __cplusplus
}
#endif

#endif /* BERTH_KERNELS_CUDA_H */
