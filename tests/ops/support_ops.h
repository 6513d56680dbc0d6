/* support_ops.h: the frame of test_ops: a kind of operation, its cases, and what a case computes on.
 *
 * A kind says how to build a case's tensors from its sizes, how to compute them in double (forward, backward),
 * and which calls of the table do the same in float. The driver then does everything else for every case:
 *
 *   - compares each output with the double reference (2-norm and largest error);
 *   - checks the double backward against central differences of the double forward;
 *   - runs every instruction set of this processor, and the device as opened (with the library's products);
 *   - wants the same bits with 1, 2 and 4 threads;
 *   - surrounds every tensor by guard bands of NaN: a write there is reported, a read poisons the result.
 *
 * On the devices cuda-host and cuda a case runs in fp32 and in bf16 (its activations rounded first, so the
 * reference sees the same values); instead of several threads, with the threads of a block in forward, reverse
 * and random order, or on a GPU three times.
 *
 * An example, complete: `scale` in cases_flat.c. Tensors: inputs are drawn in [-1, 1) unless filled otherwise;
 * an output begins as NaN, or as random values where the operation adds to it. */
#ifndef BERTH_TESTS_SUPPORT_OPS_H
#define BERTH_TESTS_SUPPORT_OPS_H

#include "berth/device.h"

enum { OP_SIZES = 6, OP_TENSORS = 24, OP_STEPS = 4, OP_INTS = 8, OP_BLOCKS = 8 };

struct op_tensor {
    const char *name;
    int64_t rows, columns;
    float *f;         /* the operation's memory, between guards */
    float *start;     /* what f holds before each run */
    double *d;        /* inputs: the same values; outputs: the reference */
    double *first;    /* outputs: start in double */
    double tolerance; /* of the 2-norm; the largest error may be 10 times that of the largest value */
    double absolute;  /* error allowed besides, an element */
    double bf16;      /* tolerance where activations are bf16 */
    uint16_t *half;   /* activation in bf16: the operation's memory, between guards; NULL in fp32 */
    bool output;
    bool adds;       /* starts with values that the operation adds to */
    bool activation; /* of x->dtype; others are float always */
};

struct op_ctx;
typedef int op_call(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream);

/* One call of the table, and its work for perf. */
struct op_step {
    const char *name;
    op_call *call;
    double (*flops)(const struct op_ctx *x); /* or NULL */
    double (*bytes)(const struct op_ctx *x); /* or NULL */
};

/* y and dy: an output and its cotangent. x and dx: an input and the gradient that backward gives it. */
struct op_pair {
    const char *value, *gradient;
};

struct op_kind {
    const char *name;
    const char *sizes;                  /* "T H": letters of s[], in order, one space apart */
    const char *flags;                  /* "dp res": names of the bits of flags, from the lowest */
    void (*build)(struct op_ctx *x);    /* declares tensors */
    void (*forward)(struct op_ctx *x);  /* reference */
    void (*backward)(struct op_ctx *x); /* reference, or NULL */
    struct op_step steps[OP_STEPS];     /* run in order */
    struct op_pair outputs[3];          /* for the gradient check */
    struct op_pair inputs[5];
    /* (optional) a further property: true, or false with the reason in x->message */
    bool (*property)(struct op_ctx *x, const struct berth_ops *ops, berth_stream *stream);
};

struct op_case {
    const struct op_kind *kind;
    int64_t s[OP_SIZES];
    unsigned flags;
};

struct op_ctx {
    const struct op_case *c;
    struct op_tensor tensor[OP_TENSORS];
    int tensors;
    int32_t *ints[OP_INTS]; /* a kind's own meaning */
    int int_count;
    void *workspace; /* of the call that runs now, exact in size and guarded */
    size_t workspace_bytes;
    bool reference;         /* tensors have doubles (not in perf) */
    enum berth_dtype dtype; /* of activations */
    uint32_t seed;
    struct berth_dropout dropout;
    uint32_t *key;          /* [3] */
    void *block[OP_BLOCKS]; /* of op_block */
    int blocks;
    char message[256];
};

/* Where operations' arguments live, and how to wait for results. Host and device both read and write it: plain
 * memory for devices on the host; for a GPU the driver of the tests puts in pinned memory that the GPU sees,
 * and a wait for the stream. */
struct op_memory {
    void *(*alloc)(size_t bytes); /* 64-byte aligned; NULL: none left */
    void (*free)(void *pointer);
    const char *(*wait)(void); /* NULL, or what is wrong with the device */
};
extern struct op_memory op_memory;

/* ---- declaring (build) */
struct op_tensor *op_input(struct op_ctx *x, const char *name, int64_t rows, int64_t columns);
struct op_tensor *op_output(struct op_ctx *x, const char *name, int64_t rows, int64_t columns);
struct op_tensor *op_added(struct op_ctx *x, const char *name, int64_t rows, int64_t columns);
/* Says which tensors declared so far have x->dtype: names, one space apart. After their values are set. */
void op_activations(struct op_ctx *x, const char *names);
int32_t *op_ints(struct op_ctx *x, int64_t count); /* the next of x->ints */
int64_t op_below(struct op_ctx *x, int64_t bound); /* a draw */
/* Overwrites an input's values: low + (high - low) u. */
void op_range(struct op_ctx *x, struct op_tensor *t, double low, double high);
/* Lengths of `sequences` summing to what it returns; lengths in 1..most, the first one most. cu has B+1. */
int64_t op_lengths(struct op_ctx *x, int32_t *cu, int64_t sequences, int64_t most);
/* x->dropout for rows: ordinals and positions of sequences cu, or one ordinal a sequence (attention). */
void op_dropout_rows(struct op_ctx *x, const int32_t *cu, int64_t sequences, float p, bool attention);

/* ---- using (reference and calls) */
struct op_tensor *op_find(struct op_ctx *x, const char *name);
double *op_d(struct op_ctx *x, const char *name); /* reference values; of an added output: at their start */
float *op_f(struct op_ctx *x, const char *name);
void *op_a(struct op_ctx *x, const char *name); /* an activation, of x->dtype */
/* to = from for two activations of one shape, before an operation in place */
void op_copy(struct op_ctx *x, const char *to, const char *from);
void *op_workspace(struct op_ctx *x, size_t bytes);
/* Zeros for a call's further arguments (a property's, a double); until the next op_restart. */
void *op_block(struct op_ctx *x, size_t bytes);
/* Until what was called is done: before a kind reads results itself. False: x->message says what failed. */
bool op_wait(struct op_ctx *x);
/* Whether the element is kept, by philox.h read plainly. */
bool op_kept(const struct op_ctx *x, uint32_t ordinal, uint32_t head, uint32_t row, uint32_t column);

/* ---- driving */
void op_open(struct op_ctx *x, const struct op_case *c, bool reference, enum berth_dtype dtype);
void op_close(struct op_ctx *x);
void op_restart(struct op_ctx *x); /* outputs to their start */
void op_collect(struct op_ctx *x); /* bf16 outputs to f */
bool op_guards(struct op_ctx *x);  /* false: message says where */
bool op_compare(struct op_ctx *x, struct op_tensor *t);
void op_title(const struct op_case *c, char *text, size_t size);

/* ---- the lists, one a family; ended by a case without a kind */
extern const struct op_case cases_gemm[], cases_norm[], cases_attention[], cases_embed[], cases_loss[],
    cases_heads[], cases_flat[], cases_act[], cases_optim[], cases_fused[];
extern const struct op_case perf_gemm[], perf_norm[], perf_attention[], perf_embed[], perf_loss[], perf_heads[],
    perf_flat[], perf_act[], perf_optim[], perf_fused[];

#endif /* BERTH_TESTS_SUPPORT_OPS_H */
