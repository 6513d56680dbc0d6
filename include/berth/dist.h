/* dist.h: ranks: several processes (or threads) that train one model, each on its part of every step.
 *
 *     struct berth_comm *comm;
 *     BERTH_TRY(berth_comm_fork(&comm, 2));              // from here on there are two of us
 *     BERTH_TRY(berth_comm_sum(comm, dev, grads, n));    // on every rank: the sum over all of them
 *     ...
 *     if (status != BERTH_OK) berth_comm_fail(comm, status, berth_error_text());
 *     status = berth_comm_close(comm);
 *
 * Every rank calls the same operations in the same order. What an operation gives is the same, bit for bit, on
 * every rank. Sums go in a fixed order, halves of the ranks first: ((0+1)+(2+3)); so the same number of ranks
 * gives the same bits every time.
 *
 * A rank that fails says so with berth_comm_fail, or just dies: every other rank that waits for it comes back
 * with the status and the text "rank 1: ..." of the first that failed. Nobody waits for ever.
 *
 * One communicator is used by one thread at a time. A backend is one table (struct berth_comm_table): one rank
 * (comm_one.c) and ranks of one machine over shared memory (comm_shared.c). Others (MPI, NCCL) are another
 * table and another function that makes it.
 */
#ifndef BERTH_DIST_H
#define BERTH_DIST_H

#include "berth/base.h"
#include "berth/device.h"

struct berth_comm;
struct berth_comm_table {
    const char *name; /* "shared memory" */
    berth_status (*sum)(struct berth_comm *c, struct berth_device *dev, float *data, int64_t n);
    berth_status (*sum_host)(struct berth_comm *c, double *data, int64_t n);
    berth_status (*broadcast)(struct berth_comm *c, void *data, size_t bytes);
    berth_status (*barrier)(struct berth_comm *c);
    void (*fail)(struct berth_comm *c, berth_status status, const char *text);
    berth_status (*close)(struct berth_comm *c);
};
struct berth_comm {
    const struct berth_comm_table *table;
    int rank, size; /* 0 <= rank < size */
    void *own;      /* the backend's */
};

enum { BERTH_COMM_MAX = 256 }; /* ranks */

/* One rank: every operation is done at once. Never closed. */
struct berth_comm *berth_comm_one(void);
/* Makes this process rank 0 of `size` and starts the others as its children, which return from this call, too.
 * To be called before anything has started a thread (OpenMP's are threads). Children end with their parent and
 * take no signal of a terminal: stopping is agreed (a sum of wishes). size 1 gives berth_comm_one. */
berth_status berth_comm_fork(struct berth_comm **out, int size) BERTH_CHECKED;
/* `size` communicators of one process, one for each of its threads: for tests. */
berth_status berth_comm_threads(struct berth_comm **out /* [size] */, int size) BERTH_CHECKED;
/* Leaves. Rank 0 of a forked group waits for its children and ends those that do not come to an end; where one
 * failed or died and rank 0 has not failed itself, that is returned. The communicator is freed. NULL is
 * allowed. */
berth_status berth_comm_close(struct berth_comm *c);

/* data[i] = the sum over ranks of data[i]; device memory. */
berth_status berth_comm_sum(struct berth_comm *c, struct berth_device *dev, float *data,
                            int64_t n) BERTH_CHECKED;
/* The same for host memory, in double. */
berth_status berth_comm_sum_host(struct berth_comm *c, double *data, int64_t n) BERTH_CHECKED;
/* Everybody's data become those of rank 0; host memory. */
berth_status berth_comm_broadcast(struct berth_comm *c, void *data, size_t bytes) BERTH_CHECKED;
/* Returns when all ranks have come here. */
berth_status berth_comm_barrier(struct berth_comm *c) BERTH_CHECKED;
/* Tells the others that this rank goes no further. The first to say so is heard. */
void berth_comm_fail(struct berth_comm *c, berth_status status, const char *text);

#endif /* BERTH_DIST_H */
