/* gradcheck.c: a whole graph's gradient along a random direction u (entries of sign ±1):
 *     Σ grad·u   against   (loss(x + h u) - loss(x - h u)) / 2h */
#include <stdlib.h>

#include "tape/tape_priv.h"

static berth_status loss_at(struct berth_tape *tape, berth_rebuild *rebuild, void *user, float *data,
                            const float *values, int64_t count, double *loss) {
    size_t bytes = (size_t)count * sizeof(float);
    BERTH_TRY(berth_device_upload(tape->dev, data, values, bytes));
    struct berth_tensor *t = NULL;
    float value = 0.0f;
    BERTH_TRY(rebuild(tape, &t, user));
    BERTH_TRY(berth_device_download(tape->dev, &value, t->data, sizeof value));
    *loss = (double)value;
    return BERTH_OK;
}

berth_status berth_tape_check_direction(struct berth_tape *tape, berth_rebuild *rebuild, void *user, float *data,
                                        float *grad, int64_t count, uint64_t seed, float h, double *analytic,
                                        double *numeric) {
    berth_status status = BERTH_OK;
    size_t bytes = (size_t)count * sizeof(float);
    float *values = NULL, *moved = NULL, *host_grad = NULL;
    struct berth_tensor *loss = NULL;
    double above = 0.0, below = 0.0;
    BERTH_TRY_OUT(berth_calloc(&values, (size_t)count, sizeof *values));
    BERTH_TRY_OUT(berth_calloc(&moved, (size_t)count, sizeof *moved));
    BERTH_TRY_OUT(berth_calloc(&host_grad, (size_t)count, sizeof *host_grad));
    BERTH_TRY_OUT(berth_device_download(tape->dev, values, data, bytes));
    BERTH_TRY_OUT(berth_device_zero(tape->dev, grad, bytes));
    BERTH_TRY_OUT(rebuild(tape, &loss, user));
    BERTH_TRY_OUT(berth_tape_backward(tape, loss));
    BERTH_TRY_OUT(berth_device_download(tape->dev, host_grad, grad, bytes));
    *analytic = 0.0;
    for (int64_t i = 0; i < count; i++) {
        float sign = berth_random_u32(seed, BERTH_PURPOSE_TEST, 0, (uint64_t)i) & 1 ? 1.0f : -1.0f;
        *analytic += (double)host_grad[i] * (double)sign;
        moved[i] = values[i] + h * sign;
    }
    BERTH_TRY_OUT(loss_at(tape, rebuild, user, data, moved, count, &above));
    for (int64_t i = 0; i < count; i++) moved[i] = values[i] - (moved[i] - values[i]);
    BERTH_TRY_OUT(loss_at(tape, rebuild, user, data, moved, count, &below));
    *numeric = (above - below) / (2.0 * (double)h);
    status = berth_device_upload(tape->dev, data, values, bytes);
out:
    free(values);
    free(moved);
    free(host_grad);
    return status;
}
