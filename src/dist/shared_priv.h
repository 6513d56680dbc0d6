/* shared_priv.h: what ranks of one machine share: a stretch of memory that all of them see.
 *
 *     counters, the first failure | half 0: slot of rank 0, rank 1, ... | half 1: slot of rank 0, rank 1, ...
 *
 * An exchange goes in pieces of a slot. Piece k uses half k % 2:
 *     each rank copies its numbers into its slot          barrier
 *     each rank adds up its own stretch of all slots      barrier
 *     each rank copies the result, in slot 0, back
 * The next piece uses the other half, so nobody writes where another may still read: who is two pieces ahead
 * has passed a barrier that the slowest has passed too.
 *
 * Lock rule: there are no locks. A slot belongs to its rank up to the first barrier, stretch r of all slots to
 * rank r up to the second, and is read-only afterwards. The text of the failure belongs to the rank that turned
 * `failing` from 0, until it sets `failed`; then it is read-only. If that rank died in between, it is rank 0's.
 */
#ifndef BERTH_DIST_SHARED_PRIV_H
#define BERTH_DIST_SHARED_PRIV_H

#include <stdatomic.h>
#include <sys/types.h>

#include "berth/dist.h"

enum { SHARED_SLOT = 1 << 20 }; /* bytes */

struct shared {
    _Atomic uint32_t arrived, generation; /* of the barrier; generation is a futex */
    _Atomic uint32_t left;                /* ranks that closed */
    _Atomic uint32_t failing, failed;     /* failing: 1 + the rank that writes the failure; 0: none */
    _Atomic bool gone[BERTH_COMM_MAX];    /* ranks that closed: what becomes of them then is no failure */
    int status, rank;                     /* of the failure */
    char text[2000];
    _Alignas(64) unsigned char slots[]; /* [2][size][SHARED_SLOT] */
};

struct shared_rank { /* berth_comm.own */
    struct shared *shared;
    size_t bytes;       /* of the mapping */
    int half;           /* of the next piece */
    bool told;          /* this rank has failed itself, with an error of its own */
    pid_t *children;    /* [size - 1] of rank 0 of a forked group, 0: ended already; NULL: none */
    _Atomic int *users; /* of a group of threads: who is last unmaps; NULL: a group of processes */
};

/* The mapping, empty. */
berth_status shared_create(struct shared **out, size_t *bytes, int size) BERTH_CHECKED;
void shared_destroy(struct shared *s, size_t bytes);
/* A communicator of one rank over it. */
berth_status shared_attach(struct berth_comm **out, struct shared *s, size_t bytes, int rank,
                           int size) BERTH_CHECKED;
/* Records a failure, if it is the first, and wakes whoever waits. died: rank 0 says it of a dead one, which may
 * have been writing one itself. */
void shared_fail(struct shared *s, int rank, berth_status status, const char *text, bool died);
/* Looks for children that died, without waiting (fork.c); records the failure. */
void shared_watch(struct berth_comm *c);
/* Waits for the children of rank 0; what the first that died leaves unsaid is recorded (fork.c). */
void shared_gather(struct berth_comm *c);

#endif /* BERTH_DIST_SHARED_PRIV_H */
