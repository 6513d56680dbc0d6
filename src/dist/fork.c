/* fork.c: ranks as processes: rank 0 is the process that was started, the others are its children.
 *
 * So whoever ends rank 0 ends the run: the kernel kills the children with it (PR_SET_PDEATHSIG), its lock on
 * the run folder goes with it, and its signals and exit code are the run's. Rank 0 looks after its children
 * whenever it waits in a barrier, and gathers them at the end. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "dist/shared_priv.h"

#define PATIENCE 30.0 /* seconds that a child may take to its end once rank 0 is at its own */

/* A child that came to its end without having left: it is missed. known: its status is. */
static void judge(struct shared *s, int rank, bool known, int status) {
    char text[160];
    if (atomic_load(&s->gone[rank])) return;
    if (!known)
        snprintf(text, sizeof text, "the process has gone");
    else if (WIFSIGNALED(status))
        snprintf(text, sizeof text, "the process was ended by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(text, sizeof text, "the process ended with status %d", WEXITSTATUS(status));
    shared_fail(s, rank, BERTH_E_IO, text, true);
}

/* Whether a child is still there. */
static bool look(struct berth_comm *c, int rank) {
    struct shared_rank *r = c->own;
    pid_t *child = &r->children[rank - 1];
    int status = 0;
    if (*child == 0) return false;
    pid_t found = waitpid(*child, &status, WNOHANG);
    if (found == 0 || (found < 0 && errno == EINTR)) return true;
    *child = 0;
    judge(r->shared, rank, found > 0, status);
    return false;
}

void shared_watch(struct berth_comm *c) {
    struct shared_rank *r = c->own;
    for (int rank = 1; r->children != NULL && rank < c->size; rank++)
        look(c, rank);
}

void shared_gather(struct berth_comm *c) {
    struct shared_rank *r = c->own;
    double end = berth_time_seconds() + PATIENCE;
    const struct timespec nap = {.tv_nsec = 2 * 1000 * 1000};
    for (int rank = 1; rank < c->size; rank++) {
        bool killed = false;
        while (look(c, rank)) {
            if (!killed && berth_time_seconds() > end) {
                shared_fail(r->shared, rank, BERTH_E_IO, "the process did not come to its end", true);
                kill(r->children[rank - 1], SIGKILL);
                killed = true;
            }
            nanosleep(&nap, NULL);
        }
    }
}

/* In the child. A parent that is gone already left no signal behind. */
static void begin_child(pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
}

berth_status berth_comm_fork(struct berth_comm **out, int size) {
    berth_status status = BERTH_OK;
    struct shared *s = NULL;
    struct berth_comm *c = NULL;
    pid_t *children = NULL, parent = getpid();
    size_t bytes = 0;
    *out = size == 1 ? berth_comm_one() : NULL;
    if (size == 1) return BERTH_OK;
    BERTH_TRY(shared_create(&s, &bytes, size));
    BERTH_TRY_OUT(berth_calloc(&children, (size_t)size, sizeof *children));
    signal(SIGCHLD, SIG_DFL); /* ignored, as it may have been inherited, a child's end could not be asked for */
    fflush(NULL);             /* what is not written yet would be written by each */
    for (int rank = 1; rank < size; rank++) {
        pid_t child = fork();
        if (child == 0) {
            begin_child(parent);
            free(children);
            return shared_attach(out, s, bytes, rank, size);
        }
        if (child < 0)
            BERTH_FAIL_OUT(BERTH_E_MEMORY, "rank %d of %d cannot be started: %s", rank, size, strerror(errno));
        children[rank - 1] = child;
    }
    BERTH_TRY_OUT(shared_attach(&c, s, bytes, 0, size));
    ((struct shared_rank *)c->own)->children = children;
    *out = c;
    return BERTH_OK;
out:
    for (int i = 0; children != NULL && i < size - 1 && children[i] > 0; i++) {
        kill(children[i], SIGKILL);
        waitpid(children[i], NULL, 0);
    }
    free(children);
    shared_destroy(s, bytes);
    return status;
}
