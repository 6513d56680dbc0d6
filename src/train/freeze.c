/* freeze.c: the configuration's freeze rules -> which parameters keep their values at a point of a stage.
 *
 *     freeze:
 *       - {select: backbone, until: 1 epoch}     frozen before it
 *       - {select: heads.intent, from: 2 epochs} frozen from it on
 *       - {select: norms, frozen: false}         an exception: trained
 *
 * The last rule that selects a parameter decides of it, alone. A point is (steps, epochs) done of the stage; a
 * rule is a pure function of it, so a resumed run freezes the same at the same steps. */
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

/* until and from as durations; amount 0: not given. */
static berth_status read_times(struct freeze_rule *r, const struct berth_config *c, size_t i) {
    struct berth_duration *times[] = {&r->until, &r->from};
    static const char *const names[] = {"until", "from"};
    char path[64];
    for (int k = 0; k < 2; k++) {
        snprintf(path, sizeof path, "freeze[%zu].%s", i, names[k]);
        if (!berth_config_has(c, path)) continue;
        *times[k] = berth_config_duration(c, path);
        if (times[k]->unit == BERTH_SECONDS)
            return berth_config_fail(c, path,
                                     "'%s': by the clock a run could not be repeated; name steps or epochs",
                                     berth_config_string(c, path));
        if (!r->frozen) return berth_config_fail(c, path, "a rule with frozen: false holds always");
    }
    if (r->until.amount > 0 && r->from.amount > 0) {
        snprintf(path, sizeof path, "freeze[%zu].from", i);
        return berth_config_fail(c, path, "until and from exclude each other; write two rules");
    }
    return BERTH_OK;
}

berth_status freeze_read(struct freeze *f, const struct berth_config *c, const struct berth_model *m) {
    size_t total = (size_t)m->parameter_count;
    memset(f, 0, sizeof *f);
    size_t count = berth_config_count(c, "freeze");
    BERTH_TRY(berth_calloc(&f->rules, count, sizeof *f->rules));
    f->count = count;
    f->parameter_count = total;
    for (size_t i = 0; i < count; i++) {
        struct freeze_rule *r = &f->rules[i];
        const char *selector = berth_config_string_f(c, "freeze[%zu].select", i);
        int selected = 0;
        r->frozen = berth_config_bool_f(c, "freeze[%zu].frozen", i);
        BERTH_TRY(read_times(r, c, i));
        BERTH_TRY(berth_calloc(&r->selected, total, sizeof *r->selected));
        berth_status status = berth_model_select(m, selector, r->selected, &selected);
        if (status == BERTH_E_USAGE) return fail_at(c, i);
        BERTH_TRY(status);
        if (selected == 0) {
            char path[64];
            snprintf(path, sizeof path, "freeze[%zu].select", i);
            return berth_config_fail(c, path, "'%s' selects no parameter of this model", selector);
        }
    }
    return BERTH_OK;
}

void freeze_deinit(struct freeze *f) {
    for (size_t i = 0; i < f->count; i++)
        free(f->rules[i].selected);
    free(f->rules);
    memset(f, 0, sizeof *f);
}

static bool reached(struct berth_duration at, int64_t steps, double epochs) {
    return at.unit == BERTH_STEPS ? (double)steps >= at.amount : epochs >= at.amount - 1e-9;
}

static bool rule_freezes(const struct freeze_rule *r, int64_t steps, double epochs) {
    if (!r->frozen) return false;
    if (r->until.amount > 0) return !reached(r->until, steps, epochs);
    return r->from.amount <= 0 || reached(r->from, steps, epochs);
}

void freeze_at(const struct freeze *f, int64_t steps, double epochs, bool *frozen) {
    memset(frozen, 0, f->parameter_count * sizeof *frozen);
    for (size_t i = 0; i < f->count; i++) {
        bool now = rule_freezes(&f->rules[i], steps, epochs);
        for (size_t p = 0; p < f->parameter_count; p++) {
            if (f->rules[i].selected[p]) frozen[p] = now;
        }
    }
}

const struct freeze_rule *freeze_rule_of(const struct freeze *f, int parameter) {
    const struct freeze_rule *found = NULL;
    for (size_t i = 0; i < f->count; i++) {
        if (f->rules[i].selected[parameter]) found = &f->rules[i];
    }
    return found;
}
