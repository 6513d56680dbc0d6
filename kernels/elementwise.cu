/* elementwise.cu: one value in, one value out, nothing shared between elements. A thread a pack of eight. */
#include "common.cuh"

static __global__ void fill_kernel(pack_grid g, float *x, float value) {
    EACH_PACK (i, g) {
        const pack_place at = place_of(g, i);
        pack p;
#pragma unroll
        for (int j = 0; j < PACK; j++)
            p.v[j] = value;
        store_any(x + at.at, p, at.n, g.wide);
    }
}

/* y[i] = dloss[0] * factor */
static __global__ void broadcast_kernel(pack_grid g, float *y, const float *dloss, float factor) {
    const float value = dloss[0] * factor;
    EACH_PACK (i, g) {
        const pack_place at = place_of(g, i);
        pack p;
#pragma unroll
        for (int j = 0; j < PACK; j++)
            p.v[j] = value;
        store_any(y + at.at, p, at.n, g.wide);
    }
}

template <class T> static __global__ void add_kernel(pack_grid g, T *y, const T *x) {
    EACH_PACK (i, g) {
        const pack_place at = place_of(g, i);
        pack a, b;
        load_any(a, y + at.at, at.n, g.wide);
        load_any(b, x + at.at, at.n, g.wide);
#pragma unroll
        for (int j = 0; j < PACK; j++)
            a.v[j] += b.v[j];
        store_any(y + at.at, a, at.n, g.wide);
    }
}

template <class Y, class X> static __global__ void cast_kernel(pack_grid g, Y *y, const X *x) {
    EACH_PACK (i, g) {
        const pack_place at = place_of(g, i);
        pack p;
        load_any(p, x + at.at, at.n, g.wide);
        store_any(y + at.at, p, at.n, g.wide);
    }
}

static __global__ void scale_kernel(pack_grid g, float *x, float factor) {
    EACH_PACK (i, g) {
        const pack_place at = place_of(g, i);
        pack p;
        load_any(p, x + at.at, at.n, g.wide);
#pragma unroll
        for (int j = 0; j < PACK; j++)
            p.v[j] *= factor;
        store_any(x + at.at, p, at.n, g.wide);
    }
}

static int fill(float *x, float value, int64_t n, berth_stream *stream) {
    return launch_packs(fill_kernel, flat_packs(n, wide_flat(x)), stream, x, value);
}

static int add(void *y, const void *x, int64_t n, enum berth_dtype dtype, berth_stream *stream) {
    const pack_grid g = flat_packs(n, wide_flat(y, x));
    if (dtype == BERTH_F32) return launch_packs(add_kernel<float>, g, stream, (float *)y, (const float *)x);
    if (dtype != BERTH_BF16) return BERTH_CUDA_E_DTYPE;
    return launch_packs(add_kernel<bf16>, g, stream, (bf16 *)y, (const bf16 *)x);
}

template <class Y, class X> static int cast_as(void *y, const void *x, int64_t n, berth_stream *stream) {
    return launch_packs(cast_kernel<Y, X>, flat_packs(n, wide_flat((Y *)y, (const X *)x)), stream, (Y *)y,
                        (const X *)x);
}

static int cast(void *y, const void *x, int64_t n, enum berth_dtype y_dtype, enum berth_dtype x_dtype,
                berth_stream *stream) {
    if (y_dtype == BERTH_F32 && x_dtype == BERTH_F32) return cast_as<float, float>(y, x, n, stream);
    if (y_dtype == BERTH_F32 && x_dtype == BERTH_BF16) return cast_as<float, bf16>(y, x, n, stream);
    if (y_dtype == BERTH_BF16 && x_dtype == BERTH_F32) return cast_as<bf16, float>(y, x, n, stream);
    if (y_dtype == BERTH_BF16 && x_dtype == BERTH_BF16) return cast_as<bf16, bf16>(y, x, n, stream);
    return BERTH_CUDA_E_DTYPE;
}

static int scale(float *x, float factor, int64_t n, berth_stream *stream) {
    return launch_packs(scale_kernel, flat_packs(n, wide_flat(x)), stream, x, factor);
}

static int broadcast(float *y, const float *dloss, int64_t n, float factor, berth_stream *stream) {
    return launch_packs(broadcast_kernel, flat_packs(n, wide_flat(y)), stream, y, dloss, factor);
}

#if defined(__CUDACC__)
extern "C" const char *berth_cuda_launch_error(void) {
    return launches().failed;
}

extern "C" const char *berth_cuda_last_launch(void) {
    static char name[160];
    const launch_site &site = launches().last;
    if (site.call == nullptr) return "";
    snprintf(name, sizeof name, "%.*s", launch_kernel_length(site.call), site.call);
    return name;
}
#endif

BERTH_CUDA_TABLE(elementwise)(struct berth_ops *ops) {
    ops->fill = fill;
    ops->add = add;
    ops->cast = cast;
    ops->scale = scale;
    ops->broadcast = broadcast;
}
