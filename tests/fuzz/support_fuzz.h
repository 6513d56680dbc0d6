/* support_fuzz.h: what the fuzz targets share. A target is one file fuzz_NAME.c with LLVMFuzzerTestOneInput,
 * which calls berth's code with the bytes given and checks with FUZZ_CHECK what must hold for any bytes. An
 * error status is a right answer; a crash, a sanitizer's report, a leak, a hang and a failed check are
 * findings. */
#ifndef SUPPORT_FUZZ_H
#define SUPPORT_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "berth/base.h"

int LLVMFuzzerInitialize(int *count, char ***arguments);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(cond)                                                                                       \
    do {                                                                                                       \
        if (!(cond)) {                                                                                         \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #cond);                          \
            abort();                                                                                           \
        }                                                                                                      \
    } while (0)

/* Sets up, or ends the program with the error's text. */
#define FUZZ_SETUP(expr)                                                                                       \
    do {                                                                                                       \
        if ((expr) != BERTH_OK) {                                                                              \
            fprintf(stderr, "%s: %s\n", #expr, berth_error_text());                                            \
            abort();                                                                                           \
        }                                                                                                      \
    } while (0)

/* An error must come with a text of one line; the status is handed on. */
berth_status fuzz_answer(berth_status status);
/* The same for a configuration, whose error may be several lines, one a mistake. */
berth_status fuzz_answer_lines(berth_status status);

/* A file in memory that holds these bytes; the path stays valid and the same (/proc/self/fd/N). */
const char *fuzz_file(const uint8_t *data, size_t size);

/* "SOURCE/name" in static storage: files of the checkout. */
const char *fuzz_source_path(const char *name);

#endif /* SUPPORT_FUZZ_H */
