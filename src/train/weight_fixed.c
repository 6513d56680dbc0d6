/* weight_fixed.c: weights that do not change.
 *
 *     fixed   w = tasks.NAME.weight          equal   w = 1 */
#include "train/weighting_priv.h"

static void fixed_weights(struct weighting *w, const struct weighting_step *step, double *out) {
    for (size_t i = 0; i < w->task_count; i++)
        out[i] = step->active[i] ? w->fixed[i] : 0.0;
}

static void equal_weights(struct weighting *w, const struct weighting_step *step, double *out) {
    for (size_t i = 0; i < w->task_count; i++)
        out[i] = step->active[i] ? 1.0 : 0.0;
}

const struct weighting_kind weighting_fixed = {.name = "fixed", .takes_fixed = true, .weights = fixed_weights};
const struct weighting_kind weighting_equal = {.name = "equal", .weights = equal_weights};
