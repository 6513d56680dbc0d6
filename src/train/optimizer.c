/* optimizer.c: one step of AdamW (Loshchilov & Hutter, arXiv 1711.05101) over the store's segments.
 *
 *   norm   = sqrt(sum over the active segments of sum g^2)         each segment's sum in double on the device,
 * added up scale  = min(1, clip / (norm + 1e-6))                           here in the order of segments t_o +=
 * 1 for each active owner o;  c1 = 1 - b1^t_o, c2 = 1 - b2^t_o
 *
 * An owner is the backbone or one head. A head whose task is absent from a step is not touched: a moment that
 * decays without a gradient, or a decayed weight, would make a rare task's head shrink between its own steps.
 */
#include <math.h>

#include "train/train_priv.h"

static berth_status gradient_norm(struct berth_store *s, const bool *active_owner, double *norm) {
    struct berth_device *dev = s->model->device;
    double sum = 0;
    size_t bytes = (size_t)s->segment_count * sizeof *s->squares;
    for (int i = 0; i < s->segment_count; i++) {
        const struct berth_segment *g = &s->segments[i];
        if (!active_owner[g->owner]) continue;
        BERTH_TRY(BERTH_OP(dev, sum_squares(s->squares + i, s->grads + g->grad_offset, g->count, dev->stream)));
    }
    if (bytes > 0) BERTH_TRY(berth_device_download(dev, s->host_squares, s->squares, bytes));
    for (int i = 0; i < s->segment_count; i++) {
        if (active_owner[s->segments[i].owner]) sum += s->host_squares[i];
    }
    *norm = sqrt(sum);
    return BERTH_OK;
}

berth_status berth_store_step(struct berth_store *s, const struct berth_adamw *o, double lr,
                              const bool *active_owner, double *grad_norm) {
    struct berth_device *dev = s->model->device;
    double norm = 0;
    BERTH_TRY(gradient_norm(s, active_owner, &norm));
    *grad_norm = norm;
    if (!isfinite(norm)) BERTH_FAIL(BERTH_E_NUMERIC, "the gradient's norm is %g", norm);
    double clip = o->clip_norm > 0 ? o->clip_norm / (norm + 1e-6) : 1.0;
    float scale = clip < 1.0 ? (float)clip : 1.0f;
    BERTH_TRY(berth_device_upload(dev, s->grad_scale, &scale, sizeof scale));
    for (int i = 0; i <= s->model->head_count; i++)
        s->owner_steps[i] += active_owner[i];
    for (int i = 0; i < s->segment_count; i++) {
        const struct berth_segment *g = &s->segments[i];
        if (!active_owner[g->owner]) continue;
        double t = (double)s->owner_steps[g->owner];
        float correction1 = (float)(1.0 - pow(o->beta1, t)), correction2 = (float)(1.0 - pow(o->beta2, t));
        BERTH_TRY(BERTH_OP(dev, adamw(s->model->values + g->value_offset, s->m + g->grad_offset,
                                      s->v + g->grad_offset, s->grads + g->grad_offset, s->grad_scale, g->count,
                                      (float)(lr * g->lr_scale), (float)o->beta1, (float)o->beta2,
                                      (float)o->eps, g->decays ? (float)o->weight_decay : 0.0f, correction1,
                                      correction2, dev->stream)));
    }
    return BERTH_OK;
}
