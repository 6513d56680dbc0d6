/* cuda_libs.c: dlopen and dlsym behind the tables of cuda_libs.h. */
#include "device/cuda/cuda_libs.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

/* Lock: held while a table is filled; a filled table never changes. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static berth_status open_library(void **out, const char *soname, const char *what) {
    void *handle = dlopen(soname, RTLD_NOW | RTLD_LOCAL);
    char first[256] = "";
    if (handle == NULL) {
        const char *why = dlerror();
        struct berth_str path;
        snprintf(first, sizeof first, "%s", why != NULL ? why : "no reason given");
        berth_str_init(&path);
        berth_str_addf(&path, "%s/%s", BERTH_CUDA_LIBRARY_FOLDER, soname);
        if (!path.failed) handle = dlopen(path.data, RTLD_NOW | RTLD_LOCAL);
        berth_str_deinit(&path);
    }
    if (handle == NULL)
        BERTH_FAIL(BERTH_E_UNSUPPORTED,
                   "%s: cannot load %s (%s), nor from %s; install it or let LD_LIBRARY_PATH name its folder",
                   what, soname, first, BERTH_CUDA_LIBRARY_FOLDER);
    *out = handle;
    return BERTH_OK;
}

struct symbol {
    const char *name;
    size_t offset; /* of the pointer in the table */
};

static berth_status fill_table(void *table, void *handle, const struct symbol *symbols, size_t count,
                               const char *what) {
    for (size_t i = 0; i < count; i++) {
        void *address = dlsym(handle, symbols[i].name);
        if (address == NULL)
            BERTH_FAIL(BERTH_E_UNSUPPORTED, "%s: the library has no function %s; a newer one is needed", what,
                       symbols[i].name);
        memcpy((char *)table + symbols[i].offset, &address, sizeof address);
    }
    return BERTH_OK;
}

#define CUDNN_SYMBOL(n) {"cudnn" #n, offsetof(struct cudnn_api, n)},
static berth_status load_cudnn(struct cudnn_api *api) {
    static const struct symbol symbols[] = {CUDNN_FUNCTIONS(CUDNN_SYMBOL)};
    char soname[32];
    void *handle = NULL;
    snprintf(soname, sizeof soname, "libcudnn.so.%d", CUDNN_MAJOR);
    BERTH_TRY(open_library(&handle, soname, "cuDNN"));
    return fill_table(api, handle, symbols, sizeof symbols / sizeof symbols[0], "cuDNN");
}

berth_status cudnn_load(const struct cudnn_api **out) {
    static struct cudnn_api api;
    static bool loaded;
    berth_status status = BERTH_OK;
    pthread_mutex_lock(&lock);
    if (!loaded) status = load_cudnn(&api);
    loaded = loaded || status == BERTH_OK;
    pthread_mutex_unlock(&lock);
    *out = status == BERTH_OK ? &api : NULL;
    return status;
}

#define CUBLASLT_SYMBOL(n) {"cublasLt" #n, offsetof(struct cublaslt_api, n)},
static berth_status load_cublaslt(struct cublaslt_api *api) {
    static const struct symbol symbols[] = {CUBLASLT_FUNCTIONS(CUBLASLT_SYMBOL)};
    char soname[32];
    void *handle = NULL;
    snprintf(soname, sizeof soname, "libcublasLt.so.%d", CUBLAS_VER_MAJOR);
    BERTH_TRY(open_library(&handle, soname, "cuBLASLt"));
    return fill_table(api, handle, symbols, sizeof symbols / sizeof symbols[0], "cuBLASLt");
}

berth_status cublaslt_load(const struct cublaslt_api **out) {
    static struct cublaslt_api api;
    static bool loaded;
    berth_status status = BERTH_OK;
    pthread_mutex_lock(&lock);
    if (!loaded) status = load_cublaslt(&api);
    loaded = loaded || status == BERTH_OK;
    pthread_mutex_unlock(&lock);
    *out = status == BERTH_OK ? &api : NULL;
    return status;
}

berth_status cudnn_check(const struct cudnn_api *api, cudnnStatus_t status, const char *call, const char *file,
                         int line) {
    char detail[512] = "";
    if (status == CUDNN_STATUS_SUCCESS) return BERTH_OK;
    api->GetLastErrorString(detail, sizeof detail);
    detail[strcspn(detail, "\n")] = '\0';
    return berth_error_set(BERTH_E_DEVICE, file, line, "%.*s: %s (%s)", (int)strcspn(call, "("), call,
                           api->GetErrorString(status), detail);
}

berth_status cublaslt_check(const struct cublaslt_api *api, cublasStatus_t status, const char *call,
                            const char *file, int line) {
    if (status == CUBLAS_STATUS_SUCCESS) return BERTH_OK;
    return berth_error_set(BERTH_E_DEVICE, file, line, "%.*s: %s", (int)strcspn(call, "("), call,
                           api->GetStatusString(status));
}
