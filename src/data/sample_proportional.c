/* sample_proportional.c: p = n / sum of n: every row comes equally often. */
#include "data/sample_priv.h"

static berth_status shares(double *out, const struct sampling *options, const int64_t *sizes,
                           const double *given, const char *const *names, size_t count) {
    int64_t sum = 0;
    (void)options, (void)given, (void)names;
    for (size_t i = 0; i < count; i++)
        sum += sizes[i];
    for (size_t i = 0; i < count; i++)
        out[i] = (double)sizes[i] / (double)sum;
    return BERTH_OK;
}

const struct sampling_scheme sample_proportional = {.name = "proportional", .shares = shares};
