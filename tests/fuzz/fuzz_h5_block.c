/* fuzz_h5_block.c: a berth HDF5 file whose first block is damaged is refused before the HDF5 library sees it.
 *
 * The input is laid over a block that is right, then its digests are made right again, so that changes get past
 * them to the checks behind; the bytes behind the block are what is left of the input. Only files that begin
 * with an HDF5 signature behind the block would reach the library, and those are left out: it is not what is
 * tested here. */
#include "base/h5_priv.h"
#include "fuzz/support_fuzz.h"

enum { HEAD = 72 }; /* bytes of the block that mean something */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t file[H5_BLOCK_SIZE + 65536];
    struct berth_h5 *f = NULL;
    if (size < HEAD + 1 || size > HEAD + 65536) { /* short files as they are */
        FUZZ_CHECK(fuzz_answer(berth_h5_open(&f, fuzz_file(data, size), "packed", 1)) != BERTH_OK && f == NULL);
        return 0;
    }
    size_t rest = size - HEAD - 1;
    uint8_t repair = data[0];
    struct h5_block block = {.block_version = H5_BLOCK_VERSION};
    memcpy(&block, data + 1, HEAD);
    if (repair & 1) memcpy(block.magic, H5_BLOCK_MAGIC, sizeof block.magic);
    if (repair & 2) block.rest_size = rest;
    struct berth_hash128 hash = berth_hash(data + 1 + HEAD, rest);
    if (repair & 4) block.rest_hash[0] = hash.low, block.rest_hash[1] = hash.high;
    hash = h5_block_digest(&block);
    if (repair & 8) block.block_hash[0] = hash.low, block.block_hash[1] = hash.high;
    memcpy(file, &block, sizeof block);
    memcpy(file + sizeof block, data + 1 + HEAD, rest);
    if (rest >= 4 && memcmp(file + sizeof block, "\x89HDF", 4) == 0) return 0;
    const char *path = fuzz_file(file, sizeof block + rest);
    FUZZ_CHECK(fuzz_answer(berth_h5_open(&f, path, "packed", 1)) != BERTH_OK && f == NULL);
    return 0;
}
