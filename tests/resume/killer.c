/* killer.c: starts a program and kills it (SIGKILL) at a random instant, for test_kill_resume.sh.
 *
 *     killer SEED MOST_MS [FROM_TEXT] -- PROGRAM ARGUMENTS...
 *
 * The instant lies within MOST_MS milliseconds, in microseconds, after the start, or after the program has
 * written FROM_TEXT to its standard error. Standard error goes on to killer's own. Prints "killed", or "ended
 * STATUS" where the program was over before. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Hands on what the program says, until `until` (negative: for ever) or until it has said `text`; false at its
 * end. */
static int hand_on(int fd, const char *text, double until) {
    static char seen[1 << 16];
    static size_t size;
    for (;;) {
        double left = until - now();
        if (until >= 0 && left <= 0) return 1;
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int ready = poll(&p, 1, until < 0 ? -1 : left > 0.002 ? (int)(left * 1e3) - 1 : 0);
        if (ready < 0 && errno != EINTR) return 0;
        if (ready <= 0) continue;
        if (size > sizeof seen / 2) size = 0;
        ssize_t n = read(fd, seen + size, sizeof seen - size - 1);
        if (n <= 0) return 0;
        if (write(STDERR_FILENO, seen + size, (size_t)n) != n) return 0;
        size += (size_t)n;
        seen[size] = '\0';
        if (text != NULL && strstr(seen, text) != NULL) return 1;
    }
}

int main(int argc, char **argv) {
    int first = 3, fds[2];
    const char *text = NULL;
    if (argc > 4 && strcmp(argv[3], "--") != 0) text = argv[first++];
    if (argc < first + 2 || strcmp(argv[first], "--") != 0 || pipe(fds) != 0) return 2;
    srand48(atol(argv[1]));
    double delay = drand48() * atof(argv[2]) / 1e3;
    pid_t child = fork();
    if (child < 0) return 2;
    if (child == 0) {
        dup2(fds[1], STDERR_FILENO);
        close(fds[0]);
        close(fds[1]);
        execv(argv[first + 1], argv + first + 1);
        _exit(127);
    }
    close(fds[1]);
    int alive = text == NULL || hand_on(fds[0], text, -1);
    if (alive) hand_on(fds[0], NULL, now() + delay);
    kill(child, SIGKILL);
    int status = 0;
    if (waitpid(child, &status, 0) != child) return 2;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        puts("killed");
    else
        printf("ended %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    return 0;
}
