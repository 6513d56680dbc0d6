/* freeze.c: the configuration's freeze rules -> which parameters keep their values. */
#include <stdlib.h>
#include <string.h>

#include "train/train_priv.h"

/* The error of a selector, said again at its place in the configuration. */
static berth_status fail_at(const struct berth_config *c, size_t rule) {
    char path[64], text[1024];
    snprintf(path, sizeof path, "freeze[%zu].select", rule);
    snprintf(text, sizeof text, "%s", berth_error_text());
    return berth_config_fail(c, path, "%s", text);
}

berth_status berth_freeze_resolve(const struct berth_config *c, const struct berth_model *m, bool *frozen) {
    berth_status status = BERTH_OK;
    bool *chosen = NULL;
    size_t total = (size_t)m->parameter_count, left = 0;
    size_t rules = berth_config_count(c, "freeze");
    BERTH_TRY_OUT(berth_calloc(&chosen, total, sizeof *chosen));
    for (size_t i = 0; i < rules; i++) {
        const char *selector = berth_config_string_f(c, "freeze[%zu].select", i);
        int count = 0;
        status = berth_model_select(m, selector, chosen, &count);
        if (status == BERTH_E_USAGE) status = fail_at(c, i);
        BERTH_TRY_OUT(status);
        if (count == 0) {
            char path[64];
            snprintf(path, sizeof path, "freeze[%zu].select", i);
            status = berth_config_fail(c, path, "'%s' selects no parameter of this model", selector);
            goto out;
        }
    }
    for (size_t i = 0; i < total; i++)
        left += !chosen[i];
    if (left == 0) berth_log(BERTH_LOG_WARN, "every parameter is frozen: nothing will be learnt");
    memcpy(frozen, chosen, total * sizeof *frozen);
out:
    free(chosen);
    return status;
}
