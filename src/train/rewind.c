/* rewind.c: train.on_nan: rewind. Values, optimizer state, averages and what the weighting learnt become those
 * of the newest checkpoint that steps or epochs called for; the position stays, so the rows since then are not
 * seen again (as Chowdhery et al., arXiv 2204.02311, section 5.1, went on behind a spike of the loss).
 *
 * A checkpoint that a signal or the clock called for is never taken: a run that was stopped there and resumed
 * goes back to the same one as a run never stopped. Where the checkpoint lies in another phase (phase.c) the
 * store is laid out for that one, filled, and laid out again for the phase at hand. */
#include "train/train_priv.h"

berth_status rewind_parameters(struct berth_trainer *t) {
    int64_t from = t->state.rewind_step, step = t->state.step;
    double epochs = t->epochs;
    if (from < 0)
        return berth_error_context(BERTH_E_NUMERIC, "on_nan: rewind: there is no checkpoint to go back to yet");
    BERTH_TRY(checkpoint_wait(t));
    BERTH_TRY(berth_comm_barrier(t->comm)); /* the file stands */
    t->rewinding = true;
    berth_status status = checkpoint_restore_parts(t, from);
    t->rewinding = false;
    t->state.step = step;
    t->epochs = epochs;
    BERTH_TRY(status);
    BERTH_TRY(phase_update(t));
    record_note(t, "parameters and optimizer state are those of step %lld again", (long long)from);
    return BERTH_OK;
}
