/* common.h: what the CPU kernels share: the table macro, vectors, exp/erf/tanh, dropout bits.
 *
 * Functions here are inline and free of branches, so that loops over them turn into vector code; glibc's exp
 * and erf are one call an element. Their errors below were found by trying every float (exp, tanh) or a fine
 * grid (erf) against double precision. Nothing is reassociated by the compiler (no -ffast-math): a result
 * depends on the instruction set the file was compiled for and on the sizes, not on threads or addresses. */
#ifndef BERTH_KERNELS_COMMON_H
#define BERTH_KERNELS_COMMON_H

/* Without this a comparison guards the arithmetic behind it (it might raise a flag of the processor), and exp
 * becomes masked code, a fifth slower. It changes no value. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-trapping-math")
#endif

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "berth/bf16.h"
#include "berth/kernels.h"

#ifndef BERTH_CPU_ISA
#define BERTH_CPU_ISA base
#endif

/* The function of a family that enters its operations: berth_cpu_table_FAMILY_ISA. */
#define BERTH_CPU_TABLE(family) BERTH_CPU_TABLE_EXPAND(family, BERTH_CPU_ISA)
#define BERTH_CPU_TABLE_EXPAND(family, isa) BERTH_CPU_TABLE_PASTE(family, isa)
#define BERTH_CPU_TABLE_PASTE(family, isa) berth_cpu_table_##family##_##isa

static inline int64_t berth_min(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static inline int64_t berth_max(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static inline int64_t berth_round_up(int64_t n, int64_t unit) {
    return (n + unit - 1) / unit * unit;
}

/* ------------------------------------------------------------------ the two element types */

/* bf16 (bf16.h): loads are exact, stores round to nearest; sums and functions are computed in float between them. Functions that read or write either type take `half`
 * as a constant where they are inlined, so there is one source of a loop and two compilations of it. */
#define BERTH_INLINE static inline __attribute__((always_inline))

BERTH_INLINE float berth_get(const void *x, int64_t j, const int half) {
    return half ? berth_float_of_bf16(((const uint16_t *)x)[j]) : ((const float *)x)[j];
}

BERTH_INLINE void berth_put(void *y, int64_t j, float value, const int half) {
    if (half)
        ((uint16_t *)y)[j] = berth_bf16_of_float(value);
    else
        ((float *)y)[j] = value;
}

/* Where element j lies. */
BERTH_INLINE const void *berth_at(const void *x, int64_t j, const int half) {
    return (const char *)x + j * (half ? 2 : 4);
}

BERTH_INLINE void *berth_to(void *y, int64_t j, const int half) {
    return (char *)y + j * (half ? 2 : 4);
}

/* Whole rows between the types. */
static inline void berth_widen(float *to, const void *from, int64_t n, const int half) {
    if (!half) {
        memcpy(to, from, (size_t)n * sizeof(float));
        return;
    }
#pragma omp simd
    for (int64_t j = 0; j < n; j++)
        to[j] = berth_get(from, j, 1);
}

static inline void berth_narrow(void *to, const float *from, int64_t n, const int half) {
    if (!half) {
        memcpy(to, from, (size_t)n * sizeof(float));
        return;
    }
#pragma omp simd
    for (int64_t j = 0; j < n; j++)
        berth_put(to, j, from[j], 1);
}

/* ------------------------------------------------------------------ exp, Φ, tanh */

static inline float berth_float_of_bits(uint32_t bits) {
    union {
        uint32_t bits;
        float value;
    } u = {bits};
    return u.value;
}

static inline uint32_t berth_bits_of_float(float value) {
    union {
        float value;
        uint32_t bits;
    } u = {value};
    return u.bits;
}

/* e^x, relative error below 2e-7 (two units in the last place); 0 and infinity at the ends, NaN stays NaN.
 * x = n ln 2 + r, |r| <= ln 2 / 2: a polynomial for e^r, and 2^n in two factors so that results below the
 * smallest normal number round gradually. Adding 1.5 * 2^23 rounds n into the low bits of the sum. */
static inline float berth_exp(float x) {
    const float shift = 12582912.0f;
    x = x < -104.0f ? -104.0f : x;
    x = x > 89.0f ? 89.0f : x;
    const float sum = x * 1.44269504f + shift;
    const float n = sum - shift;
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float q = 1.38145898e-3f;
    q = q * r + 8.36872228e-3f;
    q = q * r + 4.16683886e-2f;
    q = q * r + 1.66665206e-1f;
    q = q * r + 4.99999934e-1f;
    const float y = (q * r) * r + (r + 1.0f);
    const int32_t k = (int32_t)(berth_bits_of_float(sum) - 0x4B400000u);
    const int32_t half = k >> 1;
    return y * berth_float_of_bits((uint32_t)(half + 127) << 23) *
           berth_float_of_bits((uint32_t)(k - half + 127) << 23);
}

/* ln x for normal positive x, relative error below 3e-7 away from 1 and absolute below 1e-7 near it. x = 2^k f
 * with f in [√½, √2): ln f = 2 artanh(s), s = (f - 1) / (f + 1), by its series. */
static inline float berth_log(float x) {
    const uint32_t bits = berth_bits_of_float(x) - 0x3F3504F3u; /* the bits of √½ */
    const int32_t k = (int32_t)bits >> 23;
    const float f = berth_float_of_bits((bits & 0x007FFFFFu) + 0x3F3504F3u);
    const float s = (f - 1.0f) / (f + 1.0f), t = s * s;
    float q = 0.111111111f;
    q = q * t + 0.142857143f;
    q = q * t + 0.2f;
    q = q * t + 0.333333333f;
    return (float)k * 0.693147181f + (2.0f * s + (2.0f * s) * (t * q));
}

/* Φ(-z) e^(z²/2) for z >= 0, relative error below 1.5e-7: t P(t) with t = 1 / (1 + 0.28 z), the form of
 * Hastings (Abramowitz & Stegun 7.1.26), P fitted here by least squares reweighted towards the largest relative
 * error. */
static inline float berth_normal_tail(float z) {
    const float t = 1.0f / (0.28f * z + 1.0f);
    float q = 2.27908839e-2f;
    q = q * t - 8.33633641e-2f;
    q = q * t + 6.97768307e-2f;
    q = q * t + 2.08438413e-2f;
    q = q * t + 5.32614478e-2f;
    q = q * t + 9.20777794e-2f;
    q = q * t + 1.00930522e-1f;
    q = q * t + 1.11994819e-1f;
    q = q * t + 1.11687266e-1f;
    return q * t;
}

/* tanh x, relative error below 4e-7. Near 0 an odd polynomial, since 1 - e^(-2x) cancels there. */
static inline float berth_tanh(float x) {
    const float z = x < 0.0f ? -x : x;
    const float e = berth_exp(-2.0f * z);
    const float far = (1.0f - e) / (1.0f + e);
    const float s = x * x;
    float q = -5.70481643e-3f;
    q = q * s + 2.06389431e-2f;
    q = q * s - 5.37396737e-2f;
    q = q * s + 1.33314417e-1f;
    q = q * s - 3.33332819e-1f;
    const float near = (q * s) * x + x;
    const float signed_far = x < 0.0f ? -far : far;
    return z < 0.625f ? near : signed_far;
}

/* ------------------------------------------------------------------ dropout bits */

#define BERTH_DROPOUT_UNIT 16 /* blocks of eight decisions drawn together: a vector of AVX-512 */

static inline int berth_dropout_active(const struct berth_dropout *dropout) {
    return dropout != NULL && dropout->threshold != 0;
}

/* The eight 16-bit decisions of each of `count` blocks, given by their counter words 0 (row << 16 | block): the
 * same words as berth_dropout_keep8 of philox.h, one block a vector lane. Decision i of a block is half i of
 * its four words, lower half first, which on a little-endian machine is their order in memory. The loop runs to
 * a multiple of BERTH_DROPOUT_UNIT blocks, so word0 and halves have room for that many. */
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the order of dropout decisions in memory needs a little-endian machine"
#endif
static inline void berth_dropout_draw(uint16_t *halves, const uint32_t *word0, int64_t count,
                                      const struct berth_dropout *dropout, uint32_t ordinal, uint32_t head) {
    const uint32_t word3 = berth_philox_word3(BERTH_PURPOSE_DROPOUT, dropout->site, head);
    const uint32_t seed0 = dropout->key[0], seed1 = dropout->key[1], step = dropout->key[2];
    for (int64_t first = 0; first < count; first += BERTH_DROPOUT_UNIT) {
        uint32_t words[BERTH_DROPOUT_UNIT][4];
#pragma omp simd
        for (int64_t i = 0; i < BERTH_DROPOUT_UNIT; i++) {
            uint32_t c0 = word0[first + i], c1 = ordinal, c2 = step, c3 = word3, k0 = seed0, k1 = seed1;
#pragma GCC unroll 10
            for (int round = 0; round < 10; round++) {
                const uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
                const uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
                c1 = (uint32_t)p1;
                c3 = (uint32_t)p0;
                c0 = n0;
                c2 = n2;
                k0 += 0x9E3779B9u;
                k1 += 0xBB67AE85u;
            }
            words[i][0] = c0;
            words[i][1] = c1;
            words[i][2] = c2;
            words[i][3] = c3;
        }
        memcpy(halves + 8 * first, words, sizeof words);
    }
}

/* y[j] = x[j] dropped or scaled, for one whole row of n elements of a hidden activation. y may be x. */
BERTH_INLINE void berth_dropout_row(void *y, const void *x, int64_t n, const struct berth_dropout *dropout,
                                    uint32_t ordinal, uint32_t row, const int half) {
    const uint32_t threshold = dropout->threshold;
    const float scale = berth_dropout_scale(threshold);
    uint16_t halves[BERTH_DROPOUT_UNIT * 8];
    uint32_t word0[BERTH_DROPOUT_UNIT];
    for (int64_t first = 0; first < n; first += BERTH_DROPOUT_UNIT * 8) {
        const int64_t width = berth_min(BERTH_DROPOUT_UNIT * 8, n - first);
        for (uint32_t i = 0; i < BERTH_DROPOUT_UNIT; i++)
            word0[i] = (row << 16) | (((uint32_t)(first / 8) + i) & 0xFFFFu);
        berth_dropout_draw(halves, word0, BERTH_DROPOUT_UNIT, dropout, ordinal, 0);
#pragma omp simd
        for (int64_t j = 0; j < width; j++) {
            const float factor = halves[j] >= threshold ? scale : 0.0f;
            berth_put(y, first + j, berth_get(x, first + j, half) * factor, half);
        }
    }
}

#endif /* BERTH_KERNELS_COMMON_H */
