/* h5_priv.h: the user block of berth's HDF5 files, shared by their writer and reader.
 *
 *     byte   0  8   "BERTHH5\n"
 *            8  4   version of this block (1)
 *           12  4   version of the content's layout
 *           16  8   bytes behind the block
 *           24  16  XXH3-128 of these bytes (low word, high word)
 *           40  16  kind of content, ended and filled with zero bytes
 *           56  16  XXH3-128 of the whole block with these 16 bytes as zero
 *           72      zero bytes up to 4096
 *
 * All numbers are little-endian. The block's own digest makes a changed kind or version as visible as changed
 * data. */
#ifndef BERTH_H5_PRIV_H
#define BERTH_H5_PRIV_H

#include <hdf5.h>

#include "berth/h5.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "berth maps little-endian files as they are; this machine is big-endian"
#endif

enum { H5_BLOCK_SIZE = 4096, H5_BLOCK_VERSION = 1, H5_KIND_SIZE = 16, H5_MAX_RANK = 8 };

struct h5_block {
    char magic[8];
    uint32_t block_version;
    uint32_t version;
    uint64_t rest_size;
    uint64_t rest_hash[2];
    char kind[H5_KIND_SIZE];
    uint64_t block_hash[2];
    char zeros[H5_BLOCK_SIZE - 72];
};
_Static_assert(sizeof(struct h5_block) == H5_BLOCK_SIZE, "the user block is 4096 bytes");
_Static_assert(offsetof(struct h5_block, kind) == 40, "layout of the user block");
_Static_assert(offsetof(struct h5_block, block_hash) == 56, "layout of the user block");

#define H5_BLOCK_MAGIC "BERTHH5\n"

/* The digest that block_hash must hold. */
struct berth_hash128 h5_block_digest(const struct h5_block *block);
/* The file's type for one of ours; a library constant, not to be closed. */
hid_t h5_file_type(enum berth_h5_type type);
/* The library is not made for threads (as the distributions build it), so one thread at a time is inside: every
 * function that calls it begins with h5_enter and ends with h5_leave. h5_enter also switches the library's own
 * printing off for this thread. The functions below are called between the two. Elements are not written
 * through the library, so a long write of one thread does not hold up another. */
void h5_enter(void);
void h5_leave(void);
/* The library's reason for the last failure, from its error stack, which is then cleared. Thread storage. */
const char *h5_reason(void);
/* File access properties of both sides; negative on failure. Closed by the caller. */
hid_t h5_access(void);

#endif /* BERTH_H5_PRIV_H */
