/* schedule.c: the learning rate over the steps of a run; the formulas stand in train.h. Cosine: Loshchilov &
 * Hutter, arXiv 1608.03983; inverse square root: Vaswani et al., arXiv 1706.03762. */
#include <math.h>
#include <string.h>

#include "train/train_priv.h"

static const char *const NAMES[BERTH_SCHEDULE_COUNT] = {
    [BERTH_SCHEDULE_LINEAR] = "linear",         [BERTH_SCHEDULE_COSINE] = "cosine",
    [BERTH_SCHEDULE_CONSTANT] = "constant",     [BERTH_SCHEDULE_INVERSE_SQRT] = "inverse_sqrt",
    [BERTH_SCHEDULE_POLYNOMIAL] = "polynomial",
};

const char *berth_schedule_name(enum berth_schedule_kind kind) {
    BERTH_ASSERT(kind < BERTH_SCHEDULE_COUNT);
    return NAMES[kind];
}

enum berth_schedule_kind berth_schedule_find(const char *name) {
    int kind = 0;
    while (kind < BERTH_SCHEDULE_COUNT && strcmp(NAMES[kind], name) != 0)
        kind++;
    return (enum berth_schedule_kind)kind;
}

double berth_schedule_factor(const struct berth_schedule *s, int64_t step) {
    const double pi = 3.14159265358979323846, least = s->min_ratio;
    if (step < s->warmup) return (double)(step + 1) / (double)s->warmup;
    if (s->kind == BERTH_SCHEDULE_CONSTANT) return 1.0;
    if (s->kind == BERTH_SCHEDULE_INVERSE_SQRT) {
        double scale = s->warmup > 0 ? (double)s->warmup : 1e4;
        return fmax(least, sqrt(scale / ((double)(step - s->warmup) + scale)));
    }
    double left = step >= s->total ? 0.0 : (double)(s->total - step) / (double)(s->total - s->warmup);
    if (s->kind == BERTH_SCHEDULE_COSINE) left = (1.0 + cos(pi * (1.0 - left))) / 2.0;
    if (s->kind == BERTH_SCHEDULE_POLYNOMIAL) left = pow(left, s->power);
    return least + (1.0 - least) * left;
}
