/* weighting.c: the factor of each task's loss in a step: sum over tasks of w_t share_t m_t.
 *
 * To add a method: a function and a row in `kinds`, and its word in the choices of weighting.method
 * (config_keys.c). What a method remembers between steps is part of a run's state: it goes into struct
 * run_state and checkpoint.c. */
#include <stdlib.h>
#include <string.h>

#include "train/train_priv.h"

static void fixed_weights(const struct weighting *w, const struct weighting_step *step, double *out) {
    for (size_t i = 0; i < w->task_count; i++)
        out[i] = step->active[i] ? w->fixed[i] : 0.0;
}

static const struct weighting_kind kinds[] = {
    {"fixed", fixed_weights},
};

berth_status weighting_init(struct weighting *w, const struct berth_config *c) {
    const char *method = berth_config_string(c, "weighting.method");
    memset(w, 0, sizeof *w);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i].name, method) == 0) w->kind = &kinds[i];
    }
    BERTH_ASSERT_MSG(w->kind != NULL, "weighting.method '%s' has no row", method);
    w->task_count = berth_config_count(c, "tasks");
    BERTH_TRY(berth_calloc(&w->fixed, w->task_count, sizeof *w->fixed));
    for (size_t i = 0; i < w->task_count; i++)
        w->fixed[i] = berth_config_number_f(c, "tasks.%s.weight", berth_config_name(c, "tasks", i));
    return BERTH_OK;
}

void weighting_deinit(struct weighting *w) {
    free(w->fixed);
    memset(w, 0, sizeof *w);
}
