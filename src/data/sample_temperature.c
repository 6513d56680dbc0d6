/* sample_temperature.c: p proportional to min(n, cap)^(1/T) (Raffel et al., "Exploring the limits of transfer
 * learning", 2020, 3.5.2). T = 1 without a cap is proportional; as T grows it tends to uniform. */
#include <math.h>

#include "data/sample_priv.h"

static berth_status shares(double *out, const struct sampling *options, const int64_t *sizes,
                           const double *given, const char *const *names, size_t count) {
    double sum = 0;
    (void)given, (void)names;
    for (size_t i = 0; i < count; i++) {
        int64_t n = options->cap > 0 && sizes[i] > options->cap ? options->cap : sizes[i];
        out[i] = pow((double)n, 1.0 / options->temperature);
        sum += out[i];
    }
    for (size_t i = 0; i < count; i++)
        out[i] /= sum;
    return BERTH_OK;
}

const struct sampling_scheme sample_temperature = {.name = "temperature", .shares = shares};
