/* device.c: opens a device by name; checks and counts what passes through to its backend. */
#include <stdlib.h>
#include <string.h>

#include "device/device_priv.h"

/* Backends of this build by name. "auto" is the first that is present. */
static const struct berth_backend *const backends[] = {
#if defined(BERTH_HAVE_CUDA)
    &backend_cuda,
#endif
    &backend_cpu,
#if defined(BERTH_CUDA_HOST)
    &backend_cuda_host,
#endif
};

/* "NAME" or, for cuda, "NAME:INDEX" */
static bool names_backend(const char *name, const char *backend, int *index) {
    const size_t length = strlen(backend);
    int64_t number = 0;
    *index = 0;
    if (strncmp(name, backend, length) != 0) return false;
    if (name[length] == '\0') return true;
    if (strcmp(backend, "cuda") != 0 || name[length] != ':') return false;
    if (!berth_parse_int64(name + length + 1, &number) || number < 0 || number > INT32_MAX) return false;
    *index = (int)number;
    return true;
}

static berth_status find_backend(const struct berth_backend **out, int *index, const char *name) {
    const bool any = strcmp(name, "auto") == 0;
    *index = 0;
    for (size_t i = 0; i < sizeof backends / sizeof backends[0]; i++) {
        if (any ? backends[i]->present != NULL && !backends[i]->present()
                : !names_backend(name, backends[i]->name, index))
            continue;
        *out = backends[i];
        return BERTH_OK;
    }
    if (strcmp(name, "cuda-host") == 0)
        BERTH_FAIL(BERTH_E_UNSUPPORTED, "device cuda-host: this build had no C++ compiler; use device: cpu");
    if (names_backend(name, "cuda", index))
        BERTH_FAIL(
            BERTH_E_UNSUPPORTED,
            "device %s: this build has no CUDA; use device: cpu, or build it with the CUDA toolkit installed "
            "(cmake --preset cuda)",
            name);
    BERTH_FAIL(BERTH_E_USAGE, "device %s: no such device; expected auto, cpu, cuda, cuda:N or cuda-host", name);
}

berth_status device_out_of_memory(const char *device, size_t asked, size_t free_bytes, size_t total,
                                  size_t held) {
    const double mib = 1048576.0;
    BERTH_FAIL(BERTH_E_MEMORY,
               "device %s: out of device memory: %.1f MiB were asked for, %.1f of %.1f MiB are free, %.1f MiB "
               "are held by "
               "this run; lower train.batch_size or train.batch_tokens, raise train.accumulate, or lower "
               "evaluate.batch_size",
               device, (double)asked / mib, (double)free_bytes / mib, (double)total / mib, (double)held / mib);
}

berth_status berth_device_open(struct berth_device **out, const char *name) {
    berth_status status = BERTH_OK;
    struct berth_device *dev = NULL;
    const struct berth_backend *backend = NULL;
    int index = 0;
    BERTH_TRY_OUT(find_backend(&backend, &index, name));
    BERTH_TRY_OUT(berth_calloc(&dev, 1, sizeof *dev));
    dev->backend = backend;
    const char *waits = getenv("BERTH_SYNC");
    dev->waits = waits != NULL && strcmp(waits, "1") == 0;
    BERTH_TRY_OUT(backend->open(dev, index));
out:
    if (status != BERTH_OK) {
        free(dev);
        dev = NULL;
    }
    *out = dev;
    return status;
}

void berth_device_close(struct berth_device *dev) {
    if (dev == NULL) return;
    dev->backend->close(dev);
    free(dev);
}

berth_status berth_device_alloc(struct berth_device *dev, void *out_pointer, size_t bytes) {
    if (dev->keeps)
        BERTH_FAIL(BERTH_E_MEMORY, "device %s: %zu bytes are asked for while a graph is kept; take graphs: off",
                   dev->backend->name, bytes);
    void *pointer = NULL;
    BERTH_TRY(dev->backend->alloc(dev, &pointer, bytes));
    memcpy(out_pointer, &pointer, sizeof pointer);
    dev->allocations++;
    dev->bytes_now += bytes;
    if (dev->bytes_now > dev->bytes_peak) dev->bytes_peak = dev->bytes_now;
    return BERTH_OK;
}

void berth_device_free(struct berth_device *dev, void *pointer, size_t bytes) {
    if (pointer == NULL) return;
    BERTH_ASSERT_MSG(bytes <= dev->bytes_now, "%zu freed of %zu", bytes, dev->bytes_now);
    dev->bytes_now -= bytes;
    dev->backend->free(dev, pointer, bytes);
}

berth_status berth_device_upload(struct berth_device *dev, void *to, const void *from, size_t bytes) {
    BERTH_ASSERT_MSG(!dev->keeps, "not while a graph is kept");
    return dev->backend->upload(dev, to, from, bytes);
}

berth_status berth_device_download(struct berth_device *dev, void *to, const void *from, size_t bytes) {
    BERTH_ASSERT_MSG(!dev->keeps, "not while a graph is kept");
    return dev->backend->download(dev, to, from, bytes);
}

berth_status berth_device_copy(struct berth_device *dev, void *to, const void *from, size_t bytes) {
    return dev->backend->copy(dev, to, from, bytes);
}

berth_status berth_device_zero(struct berth_device *dev, void *pointer, size_t bytes) {
    return dev->backend->zero(dev, pointer, bytes);
}

berth_status berth_device_synchronize(struct berth_device *dev) {
    BERTH_ASSERT_MSG(!dev->keeps, "not while a graph is kept");
    return dev->backend->synchronize(dev);
}

void berth_device_names(struct berth_str *out) {
    for (size_t i = 0; i < sizeof backends / sizeof backends[0]; i++)
        berth_str_addf(out, "%s%s", i > 0 ? " " : "", backends[i]->name);
}

berth_status berth_device_set_tf32(struct berth_device *dev, bool on) {
    if (dev->backend->set_tf32 != NULL) return dev->backend->set_tf32(dev, on);
    if (!on) return BERTH_OK;
    BERTH_FAIL(BERTH_E_UNSUPPORTED,
               "device %s has no tf32 (NVIDIA GPUs have); take fp32, or let precision_fallback: fp32 do so "
               "where it is "
               "missing",
               dev->backend->name);
}

berth_status berth_device_set_attention(struct berth_device *dev, const struct berth_attention_use *use) {
    if (dev->backend->set_attention != NULL) return dev->backend->set_attention(dev, use);
    if (use->kind != BERTH_ATTENTION_CUDNN) return BERTH_OK;
    BERTH_FAIL(BERTH_E_UNSUPPORTED, "device %s has no cuDNN (NVIDIA GPUs have); take attention: own or auto",
               dev->backend->name);
}

bool berth_device_has_graphs(const struct berth_device *dev) {
    return dev->backend->graph_begin != NULL;
}

berth_status berth_graph_begin(struct berth_device *dev) {
    BERTH_ASSERT_MSG(berth_device_has_graphs(dev) && !dev->keeps, "no graph can begin");
    BERTH_TRY(dev->backend->graph_begin(dev));
    dev->keeps = true;
    return BERTH_OK;
}

berth_status berth_graph_end(struct berth_device *dev, void **out) {
    BERTH_ASSERT_MSG(dev->keeps, "no graph was begun");
    dev->keeps = false;
    *out = NULL;
    return dev->backend->graph_end(dev, out);
}

berth_status berth_graph_launch(struct berth_device *dev, void *graph) {
    BERTH_ASSERT_MSG(!dev->keeps, "a graph within a graph");
    return dev->backend->graph_launch(dev, graph);
}

void berth_graph_free(struct berth_device *dev, void *graph) {
    if (graph != NULL) dev->backend->graph_free(dev, graph);
}

berth_status berth_device_choices(const struct berth_device *dev, struct berth_str *out) {
    return dev->backend->choices != NULL ? dev->backend->choices(dev, out) : BERTH_OK;
}

berth_status berth_device_restore_choices(struct berth_device *dev, const char *text, bool *used) {
    *used = false;
    return dev->backend->restore_choices != NULL ? dev->backend->restore_choices(dev, text, used) : BERTH_OK;
}

bool berth_device_supports(const struct berth_device *dev, const char *op, enum berth_dtype dtype) {
    return dev->backend->supports == NULL || dev->backend->supports(dev, op, dtype);
}

void berth_device_describe(const struct berth_device *dev, struct berth_str *out) {
    berth_str_addf(out, "device: %s\n", dev->backend->name);
    if (dev->backend->describe != NULL) dev->backend->describe(dev, out);
}

berth_status berth_device_check(struct berth_device *dev, int error, const char *call, const char *file,
                                int line) {
    const char *text = NULL;
    if (error != 0)
        text = dev->backend->error_text(error);
    else if (dev->waits && !dev->keeps && dev->backend->synchronize(dev) != BERTH_OK)
        text = berth_error_text();
    if (text == NULL) return BERTH_OK;
    return berth_error_set(BERTH_E_DEVICE, file, line, "%.*s on %s: %s", (int)strcspn(call, "("), call,
                           dev->backend->name, text);
}

size_t berth_dtype_size(enum berth_dtype dtype) {
    switch (dtype) {
    case BERTH_F32:
        return 4;
    case BERTH_BF16:
        return 2;
    }
    BERTH_ASSERT_MSG(false, "element type %d", (int)dtype);
    return 0;
}

const char *berth_dtype_name(enum berth_dtype dtype) {
    switch (dtype) {
    case BERTH_F32:
        return "f32";
    case BERTH_BF16:
        return "bf16";
    }
    BERTH_ASSERT_MSG(false, "element type %d", (int)dtype);
    return "";
}
