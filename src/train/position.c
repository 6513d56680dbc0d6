/* position.c: where in its stage a run stands, and what is due there.
 *
 * A duration in steps, tokens or epochs is due when the last step completed a multiple of it: a pure function
 * of the step, so a resumed run does the same things at the same steps. Half an epoch is half of that epoch's
 * own steps. */
#include <math.h>

#include "train/train_priv.h"

berth_status position_update(struct berth_trainer *t) {
    int64_t epoch = 0, taken = 0;
    berth_feeder_state(t->feeder, &epoch, &taken);
    if (epoch != t->epoch || t->epoch_steps == 0)
        BERTH_TRY(berth_feeder_epoch_steps(t->feeder, epoch, &t->epoch_steps));
    t->epoch = epoch;
    t->epochs_before = t->epochs;
    t->epochs = (double)epoch + (t->epoch_steps > 0 ? (double)taken / (double)t->epoch_steps : 0.0);
    return BERTH_OK;
}

bool position_due(const struct berth_trainer *t, struct berth_duration every, double last) {
    if (every.unit == BERTH_SECONDS) return t->clock - last >= every.amount;
    if (every.unit == BERTH_STEPS) return stage_step(t) % (int64_t)every.amount == 0;
    if (every.unit == BERTH_TOKENS) {
        int64_t amount = (int64_t)every.amount;
        int64_t now = t->state.tokens - t->state.stage_tokens,
                before = t->tokens_before - t->state.stage_tokens;
        return now / amount > before / amount;
    }
    return floor(t->epochs / every.amount + 1e-9) > floor(t->epochs_before / every.amount + 1e-9);
}
