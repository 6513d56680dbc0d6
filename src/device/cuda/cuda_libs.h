/* cuda_libs.h: NVIDIA's libraries, loaded when first used, so that one program runs with and without them.
 *
 *     const struct cudnn_api *dnn;
 *     BERTH_TRY(cudnn_load(&dnn));                        // BERTH_E_UNSUPPORTED: which library, and how it is
 * found BERTH_TRY(CUDNN_CALL(dnn, Finalize(descriptor)));
 *
 * A library is looked for by its soname: as the loader does (LD_LIBRARY_PATH, ld.so.cache), then in the folder
 * of the toolkit that berth was built with. It stays loaded until the process ends. Loading is safe from
 * several threads. */
#ifndef BERTH_CUDA_LIBS_H
#define BERTH_CUDA_LIBS_H

#include <cublasLt.h>
#include <cudnn.h>

#include "berth/base.h"

/* Each entry of a table is the library's function of that name behind its prefix. */
#define CUDNN_FUNCTIONS(X)                                                                                     \
    X(GetVersion)                                                                                              \
    X(GetErrorString)                                                                                          \
    X(GetLastErrorString)                                                                                      \
    X(Create) X(Destroy) X(SetStream) X(BackendCreateDescriptor) X(BackendDestroyDescriptor)                   \
        X(BackendSetAttribute) X(BackendGetAttribute) X(BackendFinalize) X(BackendExecute)

#define CUBLASLT_FUNCTIONS(X)                                                                                  \
    X(GetVersion)                                                                                              \
    X(GetStatusString)                                                                                         \
    X(Create)                                                                                                  \
    X(Destroy) X(Matmul) X(MatmulDescCreate) X(MatmulDescDestroy) X(MatmulDescSetAttribute)                    \
        X(MatrixLayoutCreate) X(MatrixLayoutDestroy) X(MatrixLayoutSetAttribute) X(MatmulPreferenceCreate)     \
            X(MatmulPreferenceDestroy) X(MatmulPreferenceSetAttribute) X(MatmulAlgoGetHeuristic)               \
                X(MatmulAlgoCheck) X(MatmulAlgoConfigGetAttribute)

#define CUDNN_MEMBER(name) __typeof__(&cudnn##name) name;
struct cudnn_api {
    CUDNN_FUNCTIONS(CUDNN_MEMBER)
};
#define CUBLASLT_MEMBER(name) __typeof__(&cublasLt##name) name;
struct cublaslt_api {
    CUBLASLT_FUNCTIONS(CUBLASLT_MEMBER)
};

/* The table is the process's own; never freed. BERTH_E_UNSUPPORTED when the library, or a function of it, is
 * not there, or its version is older than the headers' major one. */
berth_status cudnn_load(const struct cudnn_api **out) BERTH_CHECKED;
berth_status cublaslt_load(const struct cublaslt_api **out) BERTH_CHECKED;

/* A library's status as berth's, naming the call. */
berth_status cudnn_check(const struct cudnn_api *api, cudnnStatus_t status, const char *call, const char *file,
                         int line) BERTH_CHECKED;
berth_status cublaslt_check(const struct cublaslt_api *api, cublasStatus_t status, const char *call,
                            const char *file, int line) BERTH_CHECKED;
#define CUDNN_CALL(api, call) cudnn_check((api), (api)->call, "cudnn" #call, __FILE__, __LINE__)
#define CUBLASLT_CALL(api, call) cublaslt_check((api), (api)->call, "cublasLt" #call, __FILE__, __LINE__)

#endif /* BERTH_CUDA_LIBS_H */
