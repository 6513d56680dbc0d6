/* attention_choice.h: which implementation of attention serves, and the buckets that cuDNN's plans are compiled
 * for. Knows no CUDA: a pure function of the configuration and of what a device is. */
#ifndef BERTH_ATTENTION_CHOICE_H
#define BERTH_ATTENTION_CHOICE_H

#include "berth/device.h"

/* What decides, of a device. */
struct attention_device {
    const char *name;        /* "NVIDIA H200", for messages */
    int major, minor;        /* compute capability */
    const char *cudnn_lacks; /* why cuDNN cannot be loaded; NULL: it is there */
};

enum { ATTENTION_LONG = 256 }; /* tokens: from here `auto` takes cuDNN. Not measured on a GPU yet. */

/* *cudnn: it serves. kind own: never; cudnn: BERTH_E_UNSUPPORTED or BERTH_E_USAGE says what it lacks; auto:
 * where it can serve, the sequences are long, and there is no dropout, whose masks would differ from other
 * devices'. `told`: what serves and why, a line. */
berth_status attention_choose(bool *cudnn, struct berth_str *told, const struct berth_attention_use *use,
                              const struct attention_device *device) BERTH_CHECKED;

/* A bucket: sequences and tokens of the longest, both rounded up. Empty sequences fill it. */
struct attention_bucket {
    int64_t sequences, length;
};
struct attention_bucket attention_bucket_of(int64_t sequences, int64_t max_length);
/* All buckets of batches of up to so many sequences and tokens a sequence, the smallest first. Returns their
 * number, which may exceed `most`. */
int attention_buckets(struct attention_bucket *out, int most, int64_t max_sequences, int64_t max_length);

#endif /* BERTH_ATTENTION_CHOICE_H */
