/* support_random_text.h: the random lines of scripts/make_tokenizer_golden.py, bit for bit. */
#ifndef SUPPORT_RANDOM_TEXT_H
#define SUPPORT_RANDOM_TEXT_H

#include "berth/base.h"

#define RANDOM_TEXT_SEED 20240229u

/* Adds the line to `out` (reset it first); the caller checks out->failed. The line may hold zero bytes. */
void random_text_line(struct berth_str *out, uint64_t seed, uint64_t line);

#endif /* SUPPORT_RANDOM_TEXT_H */
