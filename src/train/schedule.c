/* schedule.c: the learning rate over the steps of a run. */
#include "train/train_priv.h"

double berth_schedule_factor(enum berth_schedule_kind kind, int64_t step, int64_t total, int64_t warmup) {
    if (step < warmup) return (double)(step + 1) / (double)warmup;
    if (kind == BERTH_SCHEDULE_CONSTANT) return 1.0;
    if (step >= total) return 0.0;
    return (double)(total - step) / (double)(total - warmup);
}
