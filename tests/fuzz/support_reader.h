/* support_reader.h: a reader of rows over the bytes of one file. */
#ifndef SUPPORT_READER_H
#define SUPPORT_READER_H

#include "data/data_priv.h"
#include "fuzz/support_fuzz.h"

/* Reads `data: {s: {SOURCE}}` and `tasks: {TASKS}` once: the first call's arguments hold. */
void fuzz_reader_setup(const char *source, const char *tasks);
/* All rows of a file with these bytes, each one checked. */
void fuzz_reader_run(const uint8_t *data, size_t size);

#endif /* SUPPORT_READER_H */
