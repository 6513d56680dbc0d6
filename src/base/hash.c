/* hash.c: XXH3 digests. They notice accidents (a cut file, a flipped bit), not forgers. */
#include <stdlib.h>
#include <xxhash.h>

#include "berth/base.h"

struct berth_hasher {
    XXH3_state_t *state;
};

static struct berth_hash128 from_xxh(XXH128_hash_t h) {
    return (struct berth_hash128){.low = h.low64, .high = h.high64};
}

struct berth_hash128 berth_hash(const void *data, size_t size) {
    return from_xxh(XXH3_128bits(size == 0 ? "" : data, size));
}

berth_status berth_hasher_create(struct berth_hasher **out) {
    struct berth_hasher *hasher = NULL;
    BERTH_TRY(berth_calloc(&hasher, 1, sizeof *hasher));
    hasher->state = XXH3_createState();
    if (hasher->state == NULL) {
        free(hasher);
        BERTH_FAIL(BERTH_E_MEMORY, "out of memory: the state of a digest");
    }
    BERTH_ASSERT(XXH3_128bits_reset(hasher->state) == XXH_OK);
    *out = hasher;
    return BERTH_OK;
}

void berth_hasher_add(struct berth_hasher *hasher, const void *data, size_t size) {
    if (size > 0) BERTH_ASSERT(XXH3_128bits_update(hasher->state, data, size) == XXH_OK);
}

struct berth_hash128 berth_hasher_end(struct berth_hasher *hasher) {
    struct berth_hash128 hash = from_xxh(XXH3_128bits_digest(hasher->state));
    XXH3_freeState(hasher->state);
    free(hasher);
    return hash;
}

void berth_hash_hex(struct berth_hash128 hash, char out[33]) {
    snprintf(out, 33, "%016llx%016llx", (unsigned long long)hash.high, (unsigned long long)hash.low);
}

uint32_t berth_hash_name(const char *name) {
    size_t length = 0;
    while (name[length] != '\0')
        length++;
    return (uint32_t)XXH3_64bits(name, length);
}
