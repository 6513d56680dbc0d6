/* gradcheck.c: the analytic gradient of a whole graph against a difference of its losses.
 *
 * Every value of the parameter moves at once, up or down: p± = p ± h s, s_i = ±1 drawn from the seed. Then
 *
 *     analytic = Σ_i g_i (p+_i - p-_i) / 2h        numeric = (loss(p+) - loss(p-)) / 2h
 *
 * where p± are the floats that the graph really saw, so their rounding does not count as an error. What is left
 * is the loss's own rounding, about 1e-7 loss / h, and the curvature, of order h²: choose h between. */
#include <stdlib.h>
#include <string.h>

#include "tape/tape_priv.h"

struct direction {
    float *start, *up, *down, *gradient; /* [count], host */
};

static berth_status open_direction(struct direction *d, struct berth_device *dev, const float *data,
                                   int64_t count, uint64_t seed, float h) {
    BERTH_TRY(berth_calloc(&d->start, (size_t)count, sizeof *d->start));
    BERTH_TRY(berth_calloc(&d->up, (size_t)count, sizeof *d->up));
    BERTH_TRY(berth_calloc(&d->down, (size_t)count, sizeof *d->down));
    BERTH_TRY(berth_calloc(&d->gradient, (size_t)count, sizeof *d->gradient));
    BERTH_TRY(berth_device_download(dev, d->start, data, (size_t)count * sizeof *data));
    for (int64_t i = 0; i < count; i++) {
        const bool rises = berth_random_u32(seed, BERTH_PURPOSE_TEST, 0, (uint64_t)i) & 1u;
        d->up[i] = d->start[i] + (rises ? h : -h);
        d->down[i] = d->start[i] - (rises ? h : -h);
    }
    return BERTH_OK;
}

static void close_direction(struct direction *d) {
    free(d->start);
    free(d->up);
    free(d->down);
    free(d->gradient);
}

/* Builds the graph with these values. */
static berth_status build_at(struct berth_tape *tape, berth_rebuild *rebuild, void *user, float *data,
                             const float *values, int64_t count, bool record, struct berth_tensor **loss) {
    BERTH_TRY(berth_device_upload(tape->dev, data, values, (size_t)count * sizeof *values));
    berth_tape_reset(tape, record);
    return rebuild(tape, loss, user);
}

static berth_status loss_at(struct berth_tape *tape, berth_rebuild *rebuild, void *user, float *data,
                            const float *values, int64_t count, double *out) {
    struct berth_tensor *loss = NULL;
    float value = 0;
    BERTH_TRY(build_at(tape, rebuild, user, data, values, count, false, &loss));
    BERTH_TRY(berth_device_synchronize(tape->dev));
    BERTH_TRY(berth_device_download(tape->dev, &value, loss->data, sizeof value));
    *out = (double)value;
    return BERTH_OK;
}

berth_status berth_tape_check_direction(struct berth_tape *tape, berth_rebuild *rebuild, void *user,
                                        float *data, float *grad, int64_t count, uint64_t seed, float h,
                                        double *analytic, double *numeric) {
    berth_status status = BERTH_OK;
    struct direction d = {0};
    struct berth_tensor *loss = NULL;
    double up = 0, down = 0, slope = 0;
    const size_t bytes = (size_t)count * sizeof(float);
    BERTH_ASSERT_MSG(h > 0 && count > 0 && grad != NULL, "h %g, %lld values", (double)h, (long long)count);
    BERTH_TRY_OUT(open_direction(&d, tape->dev, data, count, seed, h));
    BERTH_TRY_OUT(berth_device_zero(tape->dev, grad, bytes));
    BERTH_TRY_OUT(build_at(tape, rebuild, user, data, d.start, count, true, &loss));
    BERTH_TRY_OUT(berth_tape_backward(tape, loss));
    BERTH_TRY_OUT(berth_device_synchronize(tape->dev));
    BERTH_TRY_OUT(berth_device_download(tape->dev, d.gradient, grad, bytes));
    BERTH_TRY_OUT(loss_at(tape, rebuild, user, data, d.up, count, &up));
    BERTH_TRY_OUT(loss_at(tape, rebuild, user, data, d.down, count, &down));
    BERTH_TRY_OUT(berth_device_upload(tape->dev, data, d.start, bytes));
    for (int64_t i = 0; i < count; i++)
        slope += (double)d.gradient[i] * ((double)d.up[i] - (double)d.down[i]);
    *analytic = slope / (2.0 * (double)h);
    *numeric = (up - down) / (2.0 * (double)h);
out:
    close_direction(&d);
    return status;
}
