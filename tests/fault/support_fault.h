/* support_fault.h: makes the n-th write, flush, rename or allocation of the program fail, once.
 *
 *     faults_arm(FAULT_WRITE, 3);      // the third write from here on is refused
 *     ... what is tested ...
 *     fired = faults_disarm(&count);   // whether there was a third; how many there were
 *
 * File operations are caught wherever they come from (berth's own files, the HDF5 library): the program's
 * functions stand before the C library's. Allocations are those of berth's own code (calloc, realloc and
 * aligned_alloc, by the linker's --wrap): what other libraries do without memory is theirs. */
#ifndef SUPPORT_FAULT_H
#define SUPPORT_FAULT_H

#include <stdbool.h>
#include <stdint.h>

enum fault_kind { FAULT_NONE, FAULT_WRITE, FAULT_FLUSH, FAULT_RENAME, FAULT_CUT, FAULT_ALLOCATION };

/* n from 1; 0: none fails, they are counted. */
void faults_arm(enum fault_kind kind, int64_t n);
bool faults_disarm(int64_t *count);
/* The name of the thread whose operation failed last. */
const char *faults_thread(void);

#endif
