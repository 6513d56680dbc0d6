/* philox.h: the counter-based random generator and the layout of its counters.
 *
 * Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a 64-bit key
 * and a 128-bit counter give four 32-bit words. Nothing is stored between calls, so a random choice is a
 * pure function of what it is for. This header is freestanding and compiles as C and as CUDA C: the host,
 * the CPU kernels and the CUDA kernels draw the same bits from it.
 *
 * Counter layout (fixed for ever: a resumed run, another backend and another rank must agree):
 *
 *     key     = seed (low word, high word)
 *     word 0  = row (16 bits, high) | block (16 bits, low)     dropout;   position, low word    elsewhere
 *     word 1  = example's ordinal in the global batch          dropout;   position, high word   elsewhere
 *     word 2  = optimizer step                                 dropout;   stream                elsewhere
 *     word 3  = purpose (8 bits, high) | site (12 bits) | head (12 bits, low)
 *
 * Dropout: one call decides eight neighbouring elements. A hidden activation's element is (position in its
 * sequence, column): row = position, block = column / 8, head = 0. An attention probability's element is
 * (head, query, key): row = query, block = key / 8. Decision i of a call is the 16-bit half i (low half of
 * word 0 first); the element is kept where the half is >= threshold. So a mask depends on the seed, the
 * step, the site, the example and the element, never on where the row happens to lie.
 */
#ifndef BERTH_PHILOX_H
#define BERTH_PHILOX_H

#include <stdint.h>

#if defined(__CUDACC__)
#define BERTH_HD __host__ __device__ __forceinline__
#else
#define BERTH_HD static inline
#endif

/* What a draw is for. Values are part of the file format: append, never renumber. */
enum berth_purpose {
    BERTH_PURPOSE_DROPOUT = 1,
    BERTH_PURPOSE_INIT = 2,    /* initial values: stream = hash of the parameter's name */
    BERTH_PURPOSE_ORDER = 3,   /* order of rows: stream = epoch */
    BERTH_PURPOSE_SAMPLER = 4, /* choice of source or task */
    BERTH_PURPOSE_AUGMENT = 5,
    BERTH_PURPOSE_LIBRARY = 16, /* seeds of a library's own generator: site as in dropout */
    BERTH_PURPOSE_SPLIT = 6, /* rows of a split, and those that a limit keeps */
    BERTH_PURPOSE_ROWS = 8,  /* which rows of a source an epoch draws: stream = pass over it */
    BERTH_PURPOSE_MASK = 7,  /* masked language modelling: stream of source and epoch */
    BERTH_PURPOSE_WEIGHTING = 9, /* order in which a weighting takes the tasks: stream = optimizer step */
    BERTH_PURPOSE_TEST = 255
};

struct berth_philox_block {
    uint32_t w[4];
};

BERTH_HD struct berth_philox_block berth_philox(uint32_t key0, uint32_t key1, uint32_t c0, uint32_t c1,
                                                uint32_t c2, uint32_t c3) {
    struct berth_philox_block out;
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ key0;
        uint32_t n2 = (uint32_t)(p0 >> 32) ^ c3 ^ key1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    out.w[0] = c0;
    out.w[1] = c1;
    out.w[2] = c2;
    out.w[3] = c3;
    return out;
}

BERTH_HD uint32_t berth_philox_word3(uint32_t purpose, uint32_t site, uint32_t head) {
    return (purpose << 24) | ((site & 0xFFFu) << 12) | (head & 0xFFFu);
}

/* The eight dropout decisions of one block as a bit mask: bit i is 1 where element block*8+i is kept.
 * threshold is in 0..65535 (0 keeps all); see berth_dropout_threshold. */
BERTH_HD uint32_t berth_dropout_keep8(uint32_t seed_lo, uint32_t seed_hi, uint32_t step, uint32_t ordinal,
                                      uint32_t site, uint32_t head, uint32_t row, uint32_t block,
                                      uint32_t threshold) {
    struct berth_philox_block r =
        berth_philox(seed_lo, seed_hi, (row << 16) | (block & 0xFFFFu), ordinal, step,
                     berth_philox_word3(BERTH_PURPOSE_DROPOUT, site, head));
    uint32_t keep = 0;
    for (int i = 0; i < 8; i++) {
        uint32_t half = (r.w[i >> 1] >> (16 * (i & 1))) & 0xFFFFu;
        keep |= (uint32_t)(half >= threshold) << i;
    }
    return keep;
}

/* Drop probability p in [0, 1) as an integer threshold; the exact share kept is (65536 - threshold) / 65536. */
BERTH_HD uint32_t berth_dropout_threshold(float p) {
    float t = p * 65536.0f + 0.5f;
    return t <= 0.0f ? 0u : t >= 65535.0f ? 65535u : (uint32_t)t;
}

/* The factor that keeps the mean: the reciprocal of the exact share kept. */
BERTH_HD float berth_dropout_scale(uint32_t threshold) {
    return 65536.0f / (float)(65536u - threshold);
}

#endif /* BERTH_PHILOX_H */
