/* probe_kernels.cu: see probe_kernels.h. */
#include "common.cuh"
#include "probe_kernels.h"

/* ------------------------------------------------------------------ mistakes */

static __global__ void divergent_barrier(float *x) {
    if (threadIdx.x < 32)
        __syncthreads();
    else
        __syncthreads();
    x[threadIdx.x] = 1;
}

static __global__ void early_return(float *x) {
    if (threadIdx.x == 0) return;
    __syncthreads();
    x[threadIdx.x] = 1;
}

static __global__ void late_return(float *x) {
    if (threadIdx.x != 63) __syncthreads();
    x[threadIdx.x] = 1;
}

static __global__ void divergent_warp(float *x) {
    if (threadIdx.x & 1)
        __syncwarp();
    else
        x[threadIdx.x] = __shfl_xor_sync(ALL_LANES, 1.0f, 2);
}

static __global__ void bad_mask(float *x) {
    x[threadIdx.x] = __shfl_xor_sync(0x55555555u, 1.0f, 2);
}

static __global__ void source_lane(float *x) {
    if (threadIdx.x < 16) x[threadIdx.x] = __shfl_sync(0x0000FFFFu, 1.0f, 20);
}

static __global__ void dead_lock(float *x) {
    if (threadIdx.x >= 32 && threadIdx.x < 40) __syncwarp(0xFFFFu);
    __syncthreads();
    x[0] = 1;
}

static __global__ void missing_barrier(float *x) {
    BERTH_SHARED(float, s, [64]);
    s[threadIdx.x] = (float)threadIdx.x;
    x[threadIdx.x] = s[63 - threadIdx.x];
}

static __global__ void missing_syncwarp(float *x) {
    BERTH_SHARED(float, s, [32]);
    s[threadIdx.x] = (float)threadIdx.x;
    x[threadIdx.x] = s[threadIdx.x ^ 1];
}

static __global__ void missing_last(float *x) {
    BERTH_SHARED(float, s, [64]);
    float sum = 0;
    for (int i = 0; i < 3; i++) {
        s[threadIdx.x] = (float)(i * 64 + (int)threadIdx.x);
        __syncthreads();
        sum += s[63 - threadIdx.x];
    }
    x[threadIdx.x] = sum;
}

static __global__ void unwritten(float *x) {
    BERTH_SHARED(float, s, [64]);
    if (threadIdx.x < 63) s[threadIdx.x] = 1;
    __syncthreads();
    x[threadIdx.x] = s[63 - threadIdx.x];
}

static __global__ void weak_wait(float *x) {
    BERTH_DYNAMIC_SHARED(float, s);
    async_copy16(s + threadIdx.x * 4, x + threadIdx.x * 4, true);
    async_copy_commit();
    async_copy_wait<1>();
    const float mine = s[threadIdx.x * 4];
    async_copy_wait<0>();
    x[128 + threadIdx.x] = mine;
}

static __global__ void no_wait(float *x) {
    BERTH_DYNAMIC_SHARED(float, s);
    async_copy16(s + threadIdx.x * 4, x + threadIdx.x * 4, true);
    async_copy_commit();
}

static __global__ void misaligned(float *x) {
    const float4 v = vector_load<float4>(x + 1);
    x[0] = v.x;
}

static __global__ void misaligned_copy(float *x) {
    BERTH_DYNAMIC_SHARED(float, s);
    async_copy16(s + 1, x, true);
    async_copy_wait<0>();
}

static __global__ void misaligned_row(float *x) {
    BERTH_DYNAMIC_SHARED(bf16, s);
    uint32_t r[4];
    ldmatrix_x4(r, s + threadIdx.x * 8 + 4);
    x[threadIdx.x] = (float)r[0];
}

static __global__ void static_bounds(float *x) {
    BERTH_SHARED(float, s, [32]);
    s[threadIdx.x + 1] = 1;
    __syncthreads();
    x[threadIdx.x] = threadIdx.x == 0 ? 0 : s[threadIdx.x];
}

static __global__ void dynamic_bounds(float *x) {
    BERTH_DYNAMIC_SHARED(float, s);
    s[threadIdx.x + 1] = 1;
    __syncthreads();
    x[threadIdx.x] = threadIdx.x == 0 ? 0 : s[threadIdx.x];
}

static __global__ void global_bounds(float *x) {
    x[threadIdx.x] = x[threadIdx.x + 256 - 31];
}

int bad_launch(enum bad_kernel which, float *x) {
    struct {
        void (*kernel)(float *);
        unsigned threads;
        size_t bytes;
    } const list[BAD_COUNT] = {
        {divergent_barrier, 64, 0}, {early_return, 64, 0},    {late_return, 64, 0},
        {divergent_warp, 32, 0},    {bad_mask, 32, 0},        {source_lane, 32, 0},
        {dead_lock, 64, 0},         {missing_barrier, 64, 0}, {missing_syncwarp, 32, 0},
        {missing_last, 64, 0},      {unwritten, 64, 0},       {weak_wait, 32, 512},
        {no_wait, 32, 512},         {misaligned, 1, 0},       {misaligned_copy, 1, 512},
        {misaligned_row, 32, 1024}, {static_bounds, 32, 0},   {dynamic_bounds, 32, 128},
        {global_bounds, 32, 0},     {global_bounds, 2048, 0}, {global_bounds, 32, (size_t)1 << 20}};
    return launch(list[which].kernel, dim3(1), dim3(list[which].threads), list[which].bytes, nullptr, x);
}

/* ------------------------------------------------------------------ what it computes */

static __global__ void shuffles(float *out) {
    const int lane = (int)threadIdx.x;
    const float value = 10.0f * (float)lane;
    out[lane * 6 + 0] = __shfl_sync(ALL_LANES, value, 3);
    out[lane * 6 + 1] = __shfl_sync(ALL_LANES, value, 3, 8);
    out[lane * 6 + 2] = __shfl_xor_sync(ALL_LANES, value, 5);
    out[lane * 6 + 3] = __shfl_down_sync(ALL_LANES, value, 4);
    out[lane * 6 + 4] = __shfl_up_sync(ALL_LANES, value, 4);
    out[lane * 6 + 5] = __shfl_down_sync(ALL_LANES, value, 3, 16);
    const unsigned ballot = __ballot_sync(ALL_LANES, lane % 3 == 0);
    const int any = __any_sync(ALL_LANES, lane == 31), none = __any_sync(ALL_LANES, lane == 32);
    const int all = __all_sync(ALL_LANES, lane < 32), not_all = __all_sync(ALL_LANES, lane < 31);
    if (lane == 0) {
        out[192] = ballot == 0x49249249u;
        out[193] = any && !none;
        out[194] = all && !not_all;
        out[195] = warp_sum(1.0f);
    } else {
        warp_sum(1.0f);
    }
}

int probe_shuffles(float *out) {
    return launch(shuffles, dim3(1), dim3(32), 0, nullptr, out);
}

static __global__ void mma_probe(float *d, const float *a, const float *b, int trans) {
    BERTH_SHARED(bf16, sa, [16 * 16]);
    BERTH_SHARED(bf16, sb, [16 * 16]);
    const int lane = (int)threadIdx.x;
    for (int i = lane; i < 256; i += 32) {
        from_float(&sa[i], a[i]);
        from_float(&sb[i], trans ? (i % 16 < 8 ? b[i / 16 * 8 + i % 16] : 0.0f) : (i < 128 ? b[i] : 0.0f));
    }
    __syncwarp();
    uint32_t fa[4], fb[4];
    float out[4] = {0, 0, 0, 0};
    ldmatrix_x4(fa, sa + lane % 16 * 16 + lane / 16 * 8);
    if (trans)
        ldmatrix_x4_trans(fb, sb + lane % 16 * 16 + lane / 16 * 8);
    else
        ldmatrix_x4(fb, sb + (lane % 8 + lane / 16 * 8) * 16 + lane / 8 % 2 * 8);
    mma_bf16(out, fa, fb[0], fb[1]);
    for (int i = 0; i < 4; i++)
        d[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = out[i];
}

int probe_mma(float *d, const float *a, const float *b, int trans) {
    return launch(mma_probe, dim3(1), dim3(32), 0, nullptr, d, a, b, trans);
}

static __global__ void bf16_probe(float *y, const float *x, int count) {
    BERTH_SHARED(uint4, held, [32]);
    for (int first = 0; first < count; first += 32 * PACK) {
        const int at = first + (int)threadIdx.x * PACK;
        pack p;
        load_pack<false>(p, x + at, count - at);
        store_pack<true>((bf16 *)&held[threadIdx.x], p, PACK);
        load_pack<true>(p, (const bf16 *)&held[threadIdx.x], PACK);
        for (int i = 0; i < PACK && at + i < count; i++) {
            const float alone = rounded(x[at + i], (const bf16 *)nullptr);
            y[at + i] = alone == p.v[i] || (alone != alone && p.v[i] != p.v[i]) ? alone : 12345.0f;
        }
    }
}

int probe_bf16(float *y, const float *x, int count) {
    return launch(bf16_probe, dim3(1), dim3(32), 0, nullptr, y, x, count);
}

static __global__ void indices(float *out) {
    BERTH_SHARED(float, seen, [24]);
    const unsigned id = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    seen[id] = (float)(threadIdx.x + 10 * threadIdx.y + 100 * threadIdx.z);
    __syncthreads();
    if (id != 0) return;
    bool good = gridDim.x == 2 && gridDim.y == 3 && gridDim.z == 2;
    for (unsigned i = 0; i < 24; i++)
        good = good && seen[i] == (float)(i % 4 + 10 * (i / 4 % 3) + 100 * (i / 12));
    out[blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z)] = good ? 1.0f : 0.0f;
}

int probe_indices(float *out) {
    return launch(indices, dim3(2, 3, 2), dim3(4, 3, 2), 0, nullptr, out);
}

/* The first element counts; one CPU thread runs all, so this is no race there. */
static __global__ void order_probe(float *out) {
    const int at = (int)out[0];
    out[0] = (float)(at + 1);
    out[1 + at] = (float)(blockIdx.x * 1000 + threadIdx.x);
}

int probe_order(float *out) {
    out[0] = 0;
    return launch(order_probe, dim3(4), dim3(64), 0, nullptr, out);
}

static __global__ void copies(float *y, const float *x) {
    BERTH_DYNAMIC_SHARED(float, s);
    const int t = (int)threadIdx.x;
    async_copy16(s + t * 4, x + t * 4, t % 2 == 0);
    async_copy_commit();
    async_copy16(s + (t + 32) * 4, x + (t + 32) * 4, t % 2 == 0);
    async_copy_commit();
    async_copy_wait<1>();
    __syncthreads();
    for (int i = 0; i < 4; i++)
        y[(31 - t) * 4 + i] = s[(31 - t) * 4 + i];
    async_copy_wait<0>();
    __syncthreads();
    for (int i = 0; i < 4; i++)
        y[(63 - t) * 4 + i] = s[(63 - t) * 4 + i];
}

int probe_copies(float *y, const float *x) {
    return launch(copies, dim3(1), dim3(32), 64 * 16, nullptr, y, x);
}
