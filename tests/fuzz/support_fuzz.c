/* support_fuzz.c: files in memory, checks of error texts. */
#include "fuzz/support_fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

static berth_status answer(berth_status status, int lines) {
    if (status == BERTH_OK) return status;
    const char *text = berth_error_text();
    FUZZ_CHECK(text[0] != '\0');
    for (; *text != '\0'; text++) {
        lines -= *text == '\n';
        FUZZ_CHECK(((unsigned char)*text >= 0x20 && *text != 0x7F) || (*text == '\n' && lines > 0));
    }
    return status;
}

berth_status fuzz_answer(berth_status status) {
    return answer(status, 1);
}

berth_status fuzz_answer_lines(berth_status status) {
    return answer(status, 100);
}

const char *fuzz_file(const uint8_t *data, size_t size) {
    static int fd = -1;
    static char path[40];
    if (fd < 0) {
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        FUZZ_CHECK(fd >= 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    FUZZ_CHECK(ftruncate(fd, 0) == 0);
    for (size_t at = 0; at < size;) {
        ssize_t n = pwrite(fd, data + at, size - at, (off_t)at);
        FUZZ_CHECK(n > 0);
        at += (size_t)n;
    }
    return path;
}

const char *fuzz_source_path(const char *name) {
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s", FUZZ_SOURCE_DIR, name);
    return path;
}
