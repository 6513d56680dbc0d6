/* sample_shares.c: p as the configuration gives it, scaled so that the shares add up to 1. */
#include "data/sample_priv.h"

static berth_status shares(double *out, const struct sampling *options, const int64_t *sizes,
                           const double *given, const char *const *names, size_t count) {
    double sum = 0;
    (void)options, (void)sizes;
    for (size_t i = 0; i < count; i++) {
        if (given[i] < 0)
            BERTH_FAIL(
                BERTH_E_USAGE,
                "sampling.units.%s.share: missing, expected a number: with 'scheme: shares' every part has one",
                names[i]);
        sum += given[i];
    }
    if (sum <= 0) BERTH_FAIL(BERTH_E_USAGE, "sampling.units: the shares add up to 0, expected more");
    for (size_t i = 0; i < count; i++)
        out[i] = given[i] / sum;
    return BERTH_OK;
}

const struct sampling_scheme sample_shares = {.name = "shares", .takes_shares = true, .shares = shares};
