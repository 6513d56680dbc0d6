/* cli_console.c: standard error (lines, log, one bar) and standard output (results, with every write checked).
 *
 * The bar is the last line of a terminal, redrawn in place: "\r TEXT ESC[K". A line that is printed while it
 * stands there takes its place; the next progress report draws it again below. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/cli_priv.h"

static struct {
    bool is_terminal;
    bool bar_shown;
    bool out_closed;
} console;

void cli_console_init(void) {
    const char *term = getenv("TERM");
    console.is_terminal = isatty(STDERR_FILENO) && !(term && strcmp(term, "dumb") == 0);
}

bool cli_console_is_terminal(void) {
    return console.is_terminal;
}

static void clear_bar(void) {
    if (!console.bar_shown) return;
    fputs("\r\x1b[K", stderr);
    console.bar_shown = false;
}

void cli_console_line(const char *fmt, ...) {
    clear_bar();
    va_list list;
    va_start(list, fmt);
    vfprintf(stderr, fmt, list);
    va_end(list);
    fputc('\n', stderr);
    fflush(stderr);
}

void cli_console_text(const char *text) {
    clear_bar();
    fputs(text, stderr);
    size_t n = strlen(text);
    if (n > 0 && text[n - 1] != '\n') fputc('\n', stderr);
    fflush(stderr);
}

int cli_console_width(void) {
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20) return size.ws_col;
    return 80;
}

void cli_console_bar(const char *text) {
    if (!console.is_terminal) return;
    fprintf(stderr, "\r%.*s\x1b[K", cli_console_width() - 1, text);
    fflush(stderr);
    console.bar_shown = true;
}

void cli_console_log(void *user, enum berth_log_level level, const char *line) {
    (void)user;
    static const char *const names[] = {"error", "warning", "note", "debug"};
    cli_console_line("berth: %s: %s", names[level], line);
}

/* ---- results */

static berth_status out_failed(void) {
    int error = errno;
    if (error == EPIPE) console.out_closed = true;
    BERTH_FAIL(BERTH_E_IO, "standard output: %s", strerror(error));
}

berth_status cli_out(const char *data, size_t size) {
    if (size > 0 && fwrite(data, 1, size, stdout) != size) return out_failed();
    return BERTH_OK;
}

berth_status cli_out_f(const char *fmt, ...) {
    va_list list;
    va_start(list, fmt);
    int n = vfprintf(stdout, fmt, list);
    va_end(list);
    return n < 0 ? out_failed() : BERTH_OK;
}

berth_status cli_out_str(struct berth_str *s) {
    if (s->failed) BERTH_FAIL(BERTH_E_MEMORY, "out of memory while writing the results");
    BERTH_TRY(cli_out(s->data, s->length));
    berth_str_reset(s);
    return BERTH_OK;
}

berth_status cli_out_flush(void) {
    return fflush(stdout) != 0 ? out_failed() : BERTH_OK;
}

bool cli_out_closed(void) {
    return console.out_closed;
}
