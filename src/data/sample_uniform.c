/* sample_uniform.c: p = 1 / number of units: a small one comes as often as a large one. */
#include "data/sample_priv.h"

static berth_status shares(double *out, const struct sampling *options, const int64_t *sizes,
                           const double *given, const char *const *names, size_t count) {
    (void)options, (void)sizes, (void)given, (void)names;
    for (size_t i = 0; i < count; i++)
        out[i] = 1.0 / (double)count;
    return BERTH_OK;
}

const struct sampling_scheme sample_uniform = {.name = "uniform", .shares = shares};
