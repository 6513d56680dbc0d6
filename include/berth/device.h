/* device.h: devices: memory, copies, the table of operations, and what each operation is made of.
 *
 *     struct berth_device *dev;
 *     BERTH_TRY(berth_device_open(&dev, "auto"));
 *     BERTH_TRY(berth_device_alloc(dev, &p, bytes));
 *     BERTH_TRY(BERTH_OP(dev, fill(p, 0.0f, n, dev->stream)));
 *
 * A backend is one implementation of struct berth_backend (src/device/backend_cpu.c). On the CPU, device
 * memory is host memory. One device is used by one thread at a time; operations run on all of its threads.
 */
#ifndef BERTH_DEVICE_H
#define BERTH_DEVICE_H

#include "berth/base.h"
#include "berth/kernels.h"

struct berth_device;

/* ---- which implementation of attention serves: `attention: own|cudnn|auto` */
enum berth_attention_kind { BERTH_ATTENTION_OWN, BERTH_ATTENTION_CUDNN, BERTH_ATTENTION_AUTO };
struct berth_attention_use { /* and what it will be asked for */
    enum berth_attention_kind kind;
    enum berth_dtype dtype;
    int64_t heads, head_size;
    int64_t max_sequences, max_length, max_tokens; /* of a batch; the longest of a sequence */
    double dropout;                                /* its rate in training */
    bool training;                                 /* backward runs, too */
};

struct berth_backend {
    const char *name; /* "cpu" */
    bool host_memory; /* device pointers may be read and written by the host: uploads copy nothing */
    /* (optional; NULL: always) whether this machine has such a device: what "auto" asks */
    bool (*present)(void);
    berth_status (*open)(struct berth_device *dev, int index);
    void (*close)(struct berth_device *dev);
    berth_status (*alloc)(struct berth_device *dev, void **out, size_t bytes); /* 64-byte aligned, not zeroed */
    void (*free)(struct berth_device *dev, void *pointer, size_t bytes);
    berth_status (*upload)(struct berth_device *dev, void *to_device, const void *from_host, size_t bytes);
    berth_status (*download)(struct berth_device *dev, void *to_host, const void *from_device, size_t bytes);
    berth_status (*copy)(struct berth_device *dev, void *to, const void *from, size_t bytes);
    berth_status (*zero)(struct berth_device *dev, void *pointer, size_t bytes);
    berth_status (*synchronize)(struct berth_device *dev);
    const char *(*error_text)(int error);
    /* (optional; NULL: everything) whether an operation of the table takes this element type */
    bool (*supports)(const struct berth_device *dev, const char *op, enum berth_dtype dtype);
    /* (optional; NULL: the device has no tf32) whether products of floats round their factors to tf32 */
    berth_status (*set_tf32)(struct berth_device *dev, bool on);
    /* (optional; NULL: own kernels alone) */
    berth_status (*set_attention)(struct berth_device *dev, const struct berth_attention_use *use);
    /* (optional; NULL: it keeps no work) see berth_graph_begin */
    berth_status (*graph_begin)(struct berth_device *dev);
    berth_status (*graph_end)(struct berth_device *dev, void **out);
    berth_status (*graph_launch)(struct berth_device *dev, void *graph);
    void (*graph_free)(struct berth_device *dev, void *graph);
    /* (optional; NULL: there are none) choices of algorithms, see berth_device_choices */
    berth_status (*choices)(const struct berth_device *dev, struct berth_str *out);
    berth_status (*restore_choices)(struct berth_device *dev, const char *text, bool *used);
    /* "matrix products: oneDNN 2.6.3 (avx512_core)": lines for `berth doctor` and the run's record */
    void (*describe)(const struct berth_device *dev, struct berth_str *out);
};

struct berth_device {
    const struct berth_backend *backend;
    struct berth_ops ops;
    berth_stream *stream;
    void *state; /* the backend's own */
    int index;
    size_t bytes_now, bytes_peak; /* of berth_device_alloc */
    int64_t allocations;          /* its calls so far */
    bool keeps; /* between berth_graph_begin and berth_graph_end */
    bool waits; /* BERTH_SYNC=1 in the environment: after each operation for its end, so that a failing one is named */
};

/* "auto", "cpu", "cuda", "cuda:1", "cuda-host" (the CUDA kernels executed on the CPU, for tests). A device this
 * build or machine lacks is BERTH_E_UNSUPPORTED, saying how to get it. */
berth_status berth_device_open(struct berth_device **out, const char *name) BERTH_CHECKED;
void berth_device_close(struct berth_device *dev); /* NULL is allowed */

berth_status berth_device_alloc(struct berth_device *dev, void *out_pointer, size_t bytes) BERTH_CHECKED;
void berth_device_free(struct berth_device *dev, void *pointer, size_t bytes); /* NULL is allowed */
berth_status berth_device_upload(struct berth_device *dev, void *to, const void *from,
                                 size_t bytes) BERTH_CHECKED;
berth_status berth_device_download(struct berth_device *dev, void *to, const void *from,
                                   size_t bytes) BERTH_CHECKED;
berth_status berth_device_copy(struct berth_device *dev, void *to, const void *from,
                               size_t bytes) BERTH_CHECKED;
berth_status berth_device_zero(struct berth_device *dev, void *pointer, size_t bytes) BERTH_CHECKED;
berth_status berth_device_synchronize(struct berth_device *dev) BERTH_CHECKED;
void berth_device_names(struct berth_str *out); /* the backends of this build, one space apart */
/* Whether an operation of the table ("gemm") takes this element type on this device. */
bool berth_device_supports(const struct berth_device *dev, const char *op, enum berth_dtype dtype);
/* precision: tf32. on: products of floats take their factors rounded to tf32 (10 bits of fraction) and sum in fp32;
 * BERTH_E_UNSUPPORTED on a device that has no such units. */
berth_status berth_device_set_tf32(struct berth_device *dev, bool on) BERTH_CHECKED;
/* Before the first step: chooses the implementation of attention and prepares it for all batches within what `use` says;
 * batches beyond are the own kernels'. BERTH_E_UNSUPPORTED or BERTH_E_USAGE: cudnn is asked for and cannot serve. */
berth_status berth_device_set_attention(struct berth_device *dev, const struct berth_attention_use *use) BERTH_CHECKED;
/* ---- graphs: operations, copies and zeros of one device, kept instead of done, and done again and again with one launch.
 * Arguments are those of the time when they were kept; memory is read anew each time. Between begin and end nothing is
 * asked of the device, uploaded, downloaded or waited for. */
bool berth_device_has_graphs(const struct berth_device *dev);
berth_status berth_graph_begin(struct berth_device *dev) BERTH_CHECKED;
/* Ends it after a failure, too: then *out is NULL and the first error stays recorded. */
berth_status berth_graph_end(struct berth_device *dev, void **out) BERTH_CHECKED;
berth_status berth_graph_launch(struct berth_device *dev, void *graph) BERTH_CHECKED;
void berth_graph_free(struct berth_device *dev, void *graph); /* NULL is allowed */
/* Algorithms that libraries' heuristics chose so far (never by time), as text: the device and the libraries' versions
 * in the first lines, then a line a choice. Nothing is written where the device chooses by fixed rules (the CPU). */
berth_status berth_device_choices(const struct berth_device *dev, struct berth_str *out) BERTH_CHECKED;
/* Takes over choices of the same device model and libraries, so that a resumed run repeats bits. *used false: they are of
 * others, and nothing was taken. BERTH_E_FORMAT: no such text. */
berth_status berth_device_restore_choices(struct berth_device *dev, const char *text, bool *used) BERTH_CHECKED;
void berth_device_describe(const struct berth_device *dev, struct berth_str *out);

/* Turns an operation's return into a status naming the operation. */
berth_status berth_device_check(struct berth_device *dev, int error, const char *call, const char *file,
                                int line) BERTH_CHECKED;
#define BERTH_OP(dev, call) berth_device_check((dev), (dev)->ops.call, #call, __FILE__, __LINE__)

size_t berth_dtype_size(enum berth_dtype dtype);
const char *berth_dtype_name(enum berth_dtype dtype);

#endif /* BERTH_DEVICE_H */
