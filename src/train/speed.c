/* speed.c: how much of the processor a run uses: its model's floating-point operations against a measured peak.
 *
 *   forward, a layer    T (8 H² + 4 H F) for the products + 4 H Σ n² for attention, n the length of each
 * sequence backward            twice the forward of a layer that is trained or lies above one: once for the
 * activations, and once for the weights where they are trained; nothing below the lowest trained layer
 *
 * Heads, embeddings and element-wise work are left out, as usual for "model FLOP utilisation": they count as
 * lost time. The peak is what this device's own product reaches here and now on one large square, the best of
 * five. */
#include <string.h>

#include "train/train_priv.h"

enum { SMALLEST = 256, LARGEST = 8192, ATTEMPTS = 5 };
#define LONG_ENOUGH 2e-3 /* seconds of one product */

/* Products of two squares of this side; *seconds is the shortest of the attempts. */
static berth_status time_product(struct berth_device *dev, int64_t n, double *seconds) {
    berth_status status = BERTH_OK;
    size_t bytes = (size_t)(n * n) * sizeof(float);
    float *a = NULL, *b = NULL, *c = NULL;
    *seconds = 1e9;
    BERTH_TRY_OUT(berth_device_alloc(dev, &a, bytes));
    BERTH_TRY_OUT(berth_device_alloc(dev, &b, bytes));
    BERTH_TRY_OUT(berth_device_alloc(dev, &c, bytes));
    BERTH_TRY_OUT(BERTH_OP(dev, fill(a, 0.5f, n * n, dev->stream)));
    BERTH_TRY_OUT(BERTH_OP(dev, fill(b, 0.25f, n * n, dev->stream)));
    for (int i = 0; i < ATTEMPTS; i++) {
        BERTH_TRY_OUT(berth_device_synchronize(dev));
        double begin = berth_time_seconds();
        BERTH_TRY_OUT(BERTH_OP(
            dev, gemm(c, a, b, NULL, n, n, n, n, n, n, BERTH_GEMM_NT, 0, BERTH_F32, BERTH_F32, dev->stream)));
        BERTH_TRY_OUT(berth_device_synchronize(dev));
        double took = berth_time_seconds() - begin;
        if (took < *seconds) *seconds = took;
    }
out:
    berth_device_free(dev, a, bytes);
    berth_device_free(dev, b, bytes);
    berth_device_free(dev, c, bytes);
    return status;
}

berth_status speed_measure_peak(struct berth_trainer *t) {
    double seconds = 0;
    for (int64_t n = SMALLEST; n <= LARGEST && seconds < LONG_ENOUGH; n *= 2) {
        BERTH_TRY(time_product(t->device, n, &seconds));
        double rate = 2.0 * (double)n * (double)n * (double)n / (seconds > 0 ? seconds : 1e-9);
        if (rate > t->peak_flops) t->peak_flops = rate;
    }
    return berth_comm_sum_host(t->comm, &t->peak_flops, 1); /* all ranks measured at the same time */
}

/* Whether a layer's weights are trained, in part at least. */
static bool layer_trained(const struct berth_trainer *t, int64_t layer) {
    char prefix[48];
    int length = snprintf(prefix, sizeof prefix, "encoder.layer.%lld.", (long long)layer);
    for (int i = 0; i < t->model->parameter_count; i++) {
        if (t->store->trainable[i] && strncmp(t->model->parameters[i].name, prefix, (size_t)length) == 0)
            return true;
    }
    return false;
}

static bool embeddings_trained(const struct berth_trainer *t) {
    for (int i = 0; i < t->model->parameter_count; i++) {
        if (t->store->trainable[i] && strncmp(t->model->parameters[i].name, "embeddings.", 11) == 0)
            return true;
    }
    return false;
}

double speed_step_flops(const struct berth_trainer *t) {
    const struct berth_model_config *c = &t->model->config;
    double hidden = (double)c->hidden, tokens = 0, squares = 0, total = 0;
    for (int b = 0; b < berth_feeder_batch_count(t->feeder); b++) {
        const struct berth_batch *batch = berth_feeder_batch(t->feeder, b);
        for (int64_t s = 0; s < batch->sequence_count; s++) {
            double n = (double)(batch->cu_seqlens[s + 1] - batch->cu_seqlens[s]);
            tokens += n;
            squares += n * n;
        }
    }
    double products = tokens * (8 * hidden * hidden + 4 * hidden * (double)c->intermediate);
    double attention = 4 * hidden * squares;
    bool below = embeddings_trained(t); /* something at or below the layer is trained */
    for (int64_t l = 0; l < c->layers; l++) {
        bool trained = layer_trained(t, l);
        total += products + attention;
        if (trained || below) total += products * (trained && below ? 2 : 1) + 2 * attention;
        below |= trained;
    }
    return total;
}
