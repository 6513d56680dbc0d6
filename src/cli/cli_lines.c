/* cli_lines.c: lines of a file or of standard input, a window at a time.
 *
 *     buffer   [ used | line\nline\nli |      free ]
 *                     ^begin        ^end
 *
 * A window waits for its first line only: what else has already arrived goes along. So a file is read in full
 * windows, and a program that sends one line and waits is answered at once. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli_priv.h"

enum { READ_SIZE = 65536 };

berth_status cli_lines_open(struct cli_lines *in, const char *path) {
    memset(in, 0, sizeof *in);
    in->fd = STDIN_FILENO;
    in->name = "standard input";
    if (!path || strcmp(path, "-") == 0) return BERTH_OK;
    in->name = path;
    in->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (in->fd < 0) BERTH_FAIL(BERTH_E_IO, "%s: %s", path, strerror(errno));
    struct stat st;
    if (fstat(in->fd, &st) == 0 && S_ISDIR(st.st_mode))
        BERTH_FAIL(BERTH_E_IO, "%s: a folder, expected a file", path);
    return BERTH_OK;
}

void cli_lines_close(struct cli_lines *in) {
    if (in->fd > STDIN_FILENO) close(in->fd);
    free(in->buffer);
    memset(in, 0, sizeof *in);
}

static berth_status fill_buffer(struct cli_lines *in) {
    if (in->begin > 0) {
        memmove(in->buffer, in->buffer + in->begin, in->end - in->begin);
        in->end -= in->begin;
        in->begin = 0;
    }
    BERTH_TRY(berth_grow(&in->buffer, &in->capacity, in->end + READ_SIZE, 1));
    ssize_t n;
    do {
        n = read(in->fd, in->buffer + in->end, READ_SIZE);
    } while (n < 0 && errno == EINTR);
    if (n < 0) BERTH_FAIL(BERTH_E_IO, "%s: %s", in->name, strerror(errno));
    if (n == 0) in->at_end = true;
    in->end += (size_t)n;
    return BERTH_OK;
}

static bool would_wait(const struct cli_lines *in) {
    struct pollfd p = {.fd = in->fd, .events = POLLIN};
    return poll(&p, 1, 0) == 0;
}

/* Cuts the next line off the buffer; *got false: there is none (the end, or `wait` false and it is not there
 * yet). */
static berth_status next_line(struct cli_lines *in, bool wait, bool *got, char **line, size_t *size) {
    size_t seen = 0; /* bytes of the line already searched for its end */
    *got = false;
    for (;;) {
        size_t have = in->end - in->begin;
        const char *from = have > 0 ? in->buffer + in->begin : "";
        const char *newline = memchr(from + seen, '\n', have - seen);
        if (newline || (in->at_end && have > 0)) {
            size_t n = newline ? (size_t)(newline - from) : have;
            size_t used = newline ? n + 1 : n;
            if (n > 0 && from[n - 1] == '\r') n--;
            BERTH_TRY(berth_calloc(line, n + 1, 1));
            memcpy(*line, from, n);
            *size = n;
            in->begin += used;
            *got = true;
            return BERTH_OK;
        }
        if (in->at_end || (!wait && would_wait(in))) return BERTH_OK;
        seen = have;
        BERTH_TRY(fill_buffer(in));
    }
}

static void window_empty(struct cli_window *w) {
    for (size_t i = 0; i < w->count; i++)
        free(w->lines[i]);
    w->count = 0;
}

berth_status cli_lines_window(struct cli_lines *in, struct cli_window *w, size_t most) {
    window_empty(w);
    while (w->count < most) {
        BERTH_TRY(berth_grow(&w->lines, &w->capacity, w->count + 1, sizeof w->lines[0]));
        BERTH_TRY(berth_grow(&w->sizes, &w->size_capacity, w->count + 1, sizeof w->sizes[0]));
        bool got = false;
        char *line = NULL;
        size_t size = 0;
        BERTH_TRY(next_line(in, w->count == 0, &got, &line, &size));
        if (!got) break;
        for (size_t i = 0; i < size; i++)
            if (line[i] == '\0') line[i] = '\x01';
        w->lines[w->count] = line;
        w->sizes[w->count++] = size;
    }
    return BERTH_OK;
}

void cli_window_deinit(struct cli_window *w) {
    window_empty(w);
    free(w->lines);
    free(w->sizes);
    memset(w, 0, sizeof *w);
}

void cli_split_pair(char *line, const char **pair) {
    char *tab = strchr(line, '\t');
    *pair = NULL;
    if (!tab) return;
    *tab = '\0';
    *pair = tab + 1;
}
