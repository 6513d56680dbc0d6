/* host_types.h: CUDA's built-in types and words for the C++ compiler: dim3, vectors, bf16, qualifiers. */
#ifndef BERTH_KERNELS_HOST_TYPES_H
#define BERTH_KERNELS_HOST_TYPES_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {
    }
};
struct uint3 {
    unsigned x, y, z;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};

/* The same rounding as the hardware's cvt.rn.bf16.f32: to nearest, ties to even; a NaN is 0x7fff. */
struct __nv_bfloat16 {
    uint16_t bits;
};

static inline __nv_bfloat16 __float2bfloat16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return __nv_bfloat16{0x7FFF};
    return __nv_bfloat16{(uint16_t)((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16)};
}

static inline float __uint_as_float(unsigned bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float __bfloat162float(__nv_bfloat16 value) {
    return __uint_as_float((uint32_t)value.bits << 16);
}

static inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 value) {
    return value.bits;
}

#endif /* BERTH_KERNELS_HOST_TYPES_H */
