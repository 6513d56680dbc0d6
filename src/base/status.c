/* status.c: the error record of a thread, names and texts of states, and failed assertions.
 *
 * The record is a fixed buffer in thread storage: raising BERTH_E_MEMORY must not need memory, and nothing has
 * to be freed when a thread ends. A text longer than the buffer is cut and ends in "...". New text is
 * formatted into a second buffer first, because its arguments may be the old text.
 *
 * A message is one line, whatever bytes of a file it quotes: control characters become '?', which also keeps
 * them from a terminal. The configuration's check alone records several lines, one a mistake. */
#include <stdlib.h>
#include <string.h>

#include "base/base_priv.h"

enum { ERROR_TEXT_SIZE = 16384 };

struct error_record {
    char text[ERROR_TEXT_SIZE];
    char scratch[ERROR_TEXT_SIZE];
    const char *file;
    int line;
    char place[256];
};

static _Thread_local struct error_record record;

const char *berth_status_name(berth_status status) {
    switch (status) {
#define X(name, exit_code, text)                                                                               \
    case BERTH_##name:                                                                                         \
        return "BERTH_" #name;
        BERTH_STATUS_MAP(X)
#undef X
    }
    return "BERTH_?";
}

const char *berth_status_text(berth_status status) {
    switch (status) {
#define X(name, exit_code, text)                                                                               \
    case BERTH_##name:                                                                                         \
        return text;
        BERTH_STATUS_MAP(X)
#undef X
    }
    return "unknown status";
}

int berth_status_exit_code(berth_status status) {
    switch (status) {
#define X(name, exit_code, text)                                                                               \
    case BERTH_##name:                                                                                         \
        return exit_code;
        BERTH_STATUS_MAP(X)
#undef X
    }
    return 1;
}

void status_show_controls(char *text) {
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7F) *text = '?';
}

/* `written` is what vsnprintf said about a text put at record.scratch + at. */
static void finish_scratch(size_t at, int written) {
    if (written < 0) {
        snprintf(record.scratch + at, sizeof record.scratch - at, "(message could not be formatted)");
    } else if ((size_t)written >= sizeof record.scratch - at) {
        memcpy(record.scratch + sizeof record.scratch - 4, "...", 4);
    }
    memcpy(record.text, record.scratch, strlen(record.scratch) + 1);
}

static void set_place(const char *file, int line) {
    record.file = file;
    record.line = line;
}

berth_status berth_error_set(berth_status code, const char *file, int line, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    int written = vsnprintf(record.scratch, sizeof record.scratch, fmt, args);
    va_end(args);
    finish_scratch(0, written);
    status_show_controls(record.text);
    set_place(file, line);
    return code;
}

berth_status berth_error_set_lines(berth_status code, const char *file, int line, const char *text) {
    finish_scratch(0, snprintf(record.scratch, sizeof record.scratch, "%s", text));
    set_place(file, line);
    return code;
}

berth_status berth_error_context(berth_status code, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    int written = vsnprintf(record.scratch, sizeof record.scratch, fmt, args);
    va_end(args);
    size_t at = strlen(record.scratch);
    status_show_controls(record.scratch);
    if (written >= 0 && (size_t)written < sizeof record.scratch)
        written = snprintf(record.scratch + at, sizeof record.scratch - at, ": %s", record.text);
    finish_scratch(at, written);
    return code;
}

const char *berth_error_text(void) {
    return record.text;
}

const char *berth_error_place(void) {
    if (record.file == NULL) return "";
    snprintf(record.place, sizeof record.place, "%s:%d", record.file, record.line);
    return record.place;
}

void berth_error_clear(void) {
    record.text[0] = '\0';
    record.file = NULL;
    record.line = 0;
}

_Noreturn void berth_assert_fail(const char *file, int line, const char *what, const char *fmt, ...) {
    char text[1024];
    va_list args;
    va_start(args, fmt);
    int written = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (written < 0) text[0] = '\0';
    fprintf(stderr, "%s:%d: mistake inside berth: not true: %s%s%s\n", file, line, what,
            text[0] != '\0' ? ": " : "", text);
    fflush(stderr);
    abort();
}
