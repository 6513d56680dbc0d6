/* rng.c: random numbers as pure functions of (seed, purpose, stream, position), from Philox4x32-10.
 *
 *     key     = seed
 *     counter = (position low, position high, stream, purpose << 24 | attempt << 12)      see philox.h
 *
 * `attempt` is 0 but for draws below a bound that were rejected, so a position always costs one call and
 * never takes from its neighbours. */
#include <math.h>

#include "berth/base.h"

static struct berth_philox_block draw(uint64_t seed, enum berth_purpose purpose, uint32_t stream,
                                      uint64_t position, uint32_t attempt) {
    return berth_philox((uint32_t)seed, (uint32_t)(seed >> 32), (uint32_t)position, (uint32_t)(position >> 32),
                        stream, berth_philox_word3((uint32_t)purpose, attempt, 0));
}

static uint64_t join(uint32_t low, uint32_t high) {
    return (uint64_t)high << 32 | low;
}

uint32_t berth_random_u32(uint64_t seed, enum berth_purpose purpose, uint32_t stream, uint64_t position) {
    return draw(seed, purpose, stream, position, 0).w[0];
}

/* Lemire, "Fast random integer generation in an interval" (2019): the high half of a 128-bit product; the low
 * half says whether the draw lies in the uneven rest and is thrown away. 4096 attempts of two draws each:
 * the chance of needing more is below 2^-8192 and would only cost evenness. */
uint64_t berth_random_below(uint64_t seed, enum berth_purpose purpose, uint32_t stream, uint64_t position,
                            uint64_t bound) {
    BERTH_ASSERT(bound > 0);
    uint64_t uneven = (0 - bound) % bound;
    __uint128_t product = 0;
    for (uint32_t attempt = 0; attempt < 4096; attempt++) {
        struct berth_philox_block r = draw(seed, purpose, stream, position, attempt);
        product = (__uint128_t)join(r.w[0], r.w[1]) * bound;
        if ((uint64_t)product >= uneven) break;
        product = (__uint128_t)join(r.w[2], r.w[3]) * bound;
        if ((uint64_t)product >= uneven) break;
    }
    return (uint64_t)(product >> 64);
}

double berth_random_unit(uint64_t seed, enum berth_purpose purpose, uint32_t stream, uint64_t position) {
    struct berth_philox_block r = draw(seed, purpose, stream, position, 0);
    return (double)(join(r.w[0], r.w[1]) >> 11) * 0x1p-53;
}

double berth_random_normal(uint64_t seed, enum berth_purpose purpose, uint32_t stream, uint64_t position) {
    struct berth_philox_block r = draw(seed, purpose, stream, position, 0);
    double u = ((double)(join(r.w[0], r.w[1]) >> 11) + 1.0) * 0x1p-53; /* (0, 1]: the logarithm is finite */
    double angle = 6.283185307179586 * ((double)(join(r.w[2], r.w[3]) >> 11) * 0x1p-53);
    return sqrt(-2.0 * log(u)) * cos(angle);
}

void berth_random_permute(uint64_t seed, enum berth_purpose purpose, uint32_t stream, int64_t *values,
                          size_t count) {
    for (size_t i = count; i > 1; i--) {
        size_t j = (size_t)berth_random_below(seed, purpose, stream, i - 1, i);
        int64_t held = values[i - 1];
        values[i - 1] = values[j];
        values[j] = held;
    }
}
