/* host_record.cpp: work kept instead of done, to be done many times: the execution layer's answer to CUDA
 * graphs.
 *
 *     list   [launch: grid, block, bytes, kernel and its arguments by value] [product] [copy] ...
 *
 * What a kernel is given by value is what it was when it was kept; what lies in device memory is read anew each
 * time. */
#include <stdlib.h>
#include <string.h>

#include "berth/kernels_cuda.h"
#include "host_run.h"

struct host_work {
    int (*run)(void *argument);
    void *argument; /* owned */
};

struct berth_cuda_host_list {
    host_work *works;
    size_t count, capacity;
};

namespace {

berth_cuda_host_list *recording;

struct kept_launch {
    dim3 grid, block;
    size_t dynamic_bytes;
    void (*body)(void *);
};

int run_launch(void *argument) {
    const kept_launch *l = (const kept_launch *)argument;
    return host::launch_body(l->grid, l->block, l->dynamic_bytes, l->body, (char *)argument + 64);
}
static_assert(sizeof(kept_launch) <= 64, "the arguments begin behind it");

/* Takes `argument`. */
bool append(int (*run)(void *), void *argument) {
    berth_cuda_host_list *l = recording;
    if (argument == nullptr) return false;
    if (l->count == l->capacity) {
        const size_t capacity = l->capacity > 0 ? 2 * l->capacity : 256;
        host_work *works = (host_work *)realloc(l->works, capacity * sizeof *works);
        if (works == nullptr) {
            free(argument);
            return false;
        }
        l->works = works;
        l->capacity = capacity;
    }
    l->works[l->count++] = host_work{run, argument};
    return true;
}

} // namespace

bool host::keeps() {
    return recording != nullptr;
}

int host::keep_launch(dim3 grid, dim3 block, size_t dynamic_bytes, void (*body)(void *), const void *argument,
                      size_t bytes) {
    char *kept = (char *)malloc(64 + bytes);
    if (kept != nullptr) {
        const kept_launch l = {grid, block, dynamic_bytes, body};
        memcpy(kept, &l, sizeof l);
        memcpy(kept + 64, argument, bytes);
    }
    return append(run_launch, kept) ? BERTH_CUDA_OK : BERTH_CUDA_E_HOST;
}

int berth_cuda_host_list_new(struct berth_cuda_host_list **out) {
    *out = (berth_cuda_host_list *)calloc(1, sizeof **out);
    return *out != nullptr ? BERTH_CUDA_OK : BERTH_CUDA_E_HOST;
}

void berth_cuda_host_list_free(struct berth_cuda_host_list *list) {
    if (list == nullptr) return;
    for (size_t i = 0; i < list->count; i++)
        free(list->works[i].argument);
    free(list->works);
    free(list);
}

size_t berth_cuda_host_list_count(const struct berth_cuda_host_list *list) {
    return list->count;
}

void berth_cuda_host_record(struct berth_cuda_host_list *list) {
    recording = list;
}

int berth_cuda_host_recording(void) {
    return recording != nullptr;
}

int berth_cuda_host_keep(int (*run)(void *argument), const void *argument, size_t bytes) {
    void *kept = malloc(bytes);
    if (kept != nullptr) memcpy(kept, argument, bytes);
    return append(run, kept) ? BERTH_CUDA_OK : BERTH_CUDA_E_HOST;
}

int berth_cuda_host_replay(const struct berth_cuda_host_list *list) {
    int error = BERTH_CUDA_OK;
    for (size_t i = 0; i < list->count && error == BERTH_CUDA_OK; i++)
        error = list->works[i].run(list->works[i].argument);
    return error;
}
