/* h5_common.c: what the writer and the reader of HDF5 files share: types, properties, error texts. */
#include <pthread.h>
#include <string.h>

#include "base/h5_priv.h"

struct berth_hash128 h5_block_digest(const struct h5_block *block) {
    struct h5_block copy = *block;
    memset(copy.block_hash, 0, sizeof copy.block_hash);
    return berth_hash(&copy, sizeof copy);
}

size_t berth_h5_type_size(enum berth_h5_type type) {
    switch (type) {
    case BERTH_H5_U8:
        return 1;
    case BERTH_H5_U16:
        return 2;
    case BERTH_H5_F32:
    case BERTH_H5_I32:
        return 4;
    case BERTH_H5_I64:
    case BERTH_H5_F64:
        return 8;
    }
    return 0;
}

hid_t h5_file_type(enum berth_h5_type type) {
    switch (type) {
    case BERTH_H5_F32:
        return H5T_IEEE_F32LE;
    case BERTH_H5_F64:
        return H5T_IEEE_F64LE;
    case BERTH_H5_I32:
        return H5T_STD_I32LE;
    case BERTH_H5_I64:
        return H5T_STD_I64LE;
    case BERTH_H5_U8:
        return H5T_STD_U8LE;
    case BERTH_H5_U16:
        return H5T_STD_U16LE;
    }
    return H5I_INVALID_HID;
}

/* Lock rule: taken by h5_enter, given back by h5_leave; nothing else is locked and no callback of a user runs
 * while it is held. It guards the library's global state, not our structs: those belong to one thread each. */
static pthread_mutex_t library_lock = PTHREAD_MUTEX_INITIALIZER;

void h5_enter(void) {
    static bool seen;
    pthread_mutex_lock(&library_lock);
    /* No work at the end of the process: after a close that failed (a full disk), version 1.10 crashes there. Files of
     * ours are closed by then or not wanted. */
    if (!seen) H5dont_atexit();
    seen = true;
    /* The stack that collects errors is the thread's own, and so is its printing. */
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

void h5_leave(void) {
    pthread_mutex_unlock(&library_lock);
}

struct reason {
    char text[512];
};
static _Thread_local struct reason reason;

/* The walk begins where the error arose; the first entry says most. */
static herr_t take_first(unsigned n, const H5E_error2_t *error, void *user) {
    (void)user;
    if (n == 0 && error->desc != NULL) snprintf(reason.text, sizeof reason.text, "%s", error->desc);
    return 0;
}

const char *h5_reason(void) {
    snprintf(reason.text, sizeof reason.text, "the HDF5 library gives no reason");
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_first, NULL);
    H5Eclear2(H5E_DEFAULT);
    return reason.text;
}

/* Every object is aligned to a page, so that any element type can be read from a map in place. Formats that
 * HDF5 1.10 reads; no locks, which some cluster file systems refuse and which an atomic rename does not need.
 */
hid_t h5_access(void) {
    hid_t fapl = H5Pcreate(H5P_FILE_ACCESS);
    if (fapl < 0) return fapl;
    bool good = H5Pset_alignment(fapl, 1, H5_BLOCK_SIZE) >= 0 &&
                H5Pset_libver_bounds(fapl, H5F_LIBVER_EARLIEST, H5F_LIBVER_V110) >= 0 &&
                H5Pset_fclose_degree(fapl, H5F_CLOSE_STRONG) >= 0;
#if H5_VERSION_GE(1, 10, 7)
    good = good && H5Pset_file_locking(fapl, false, true) >= 0;
#endif
    if (good) return fapl;
    H5Pclose(fapl);
    return H5I_INVALID_HID;
}
