/* bf16.h: the one conversion between float and bf16. Freestanding: kernels, files and tests round alike.
 *
 * bf16 is the upper half of a float: widening is exact; narrowing rounds to nearest, ties to even. A NaN stays one: its
 * upper half with the first bit of its fraction set, as no payload may round to infinity. */
#ifndef BERTH_BF16_H
#define BERTH_BF16_H

#include <stdint.h>

static inline __attribute__((always_inline)) float berth_float_of_bf16(uint16_t half) {
    union {
        uint32_t bits;
        float value;
    } u = {(uint32_t)half << 16};
    return u.value;
}

static inline __attribute__((always_inline)) uint16_t berth_bf16_of_float(float value) {
    union {
        float value;
        uint32_t bits;
    } u = {value};
    const uint32_t rounded = (u.bits + 0x7FFFu + (u.bits >> 16 & 1u)) >> 16;
    return (uint16_t)((u.bits & 0x7FFFFFFFu) > 0x7F800000u ? u.bits >> 16 | 64u : rounded);
}

#endif /* BERTH_BF16_H */
