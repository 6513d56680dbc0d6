/* sampling_config.c: the section `sampling` of the configuration, and the registry of schemes. */
#include <stdlib.h>
#include <string.h>

#include "data/sample_priv.h"

static const struct sampling_scheme *const SCHEMES[] = {&sample_proportional, &sample_uniform,
                                                        &sample_temperature, &sample_shares};

/* The place of a word among those of a choice; the table of keys has checked it. */
static int choice(const char *word, const char *const *words) {
    int i = 0;
    while (words[i] && strcmp(words[i], word) != 0)
        i++;
    BERTH_ASSERT_MSG(words[i] != NULL, "'%s'", word);
    return i;
}

static berth_status read_unit(struct unit_options *u, const struct berth_config *c, const char *name,
                              const struct sampling *s) {
    static const char *const of[] = {"own", "smallest", "largest", NULL};
    char key[160];
    BERTH_TRY(berth_strdup(&u->name, name));
    u->share = -1;
    if (berth_config_has_f(c, "sampling.units.%s.share", name)) {
        snprintf(key, sizeof key, "sampling.units.%s.share", name);
        if (!s->scheme->takes_shares)
            return berth_config_fail(c, key,
                                     "shares are given, but the scheme is '%s', which works them out: choose "
                                     "'scheme: shares' or leave them out",
                                     s->scheme->name);
        u->share = berth_config_number(c, key);
    }
    if (berth_config_has_f(c, "sampling.units.%s.rows", name))
        u->rows = berth_config_int_f(c, "sampling.units.%s.rows", name);
    if (berth_config_has_f(c, "sampling.units.%s.ratio", name))
        u->ratio = berth_config_number_f(c, "sampling.units.%s.ratio", name);
    u->of = (enum size_of)choice(berth_config_string_f(c, "sampling.units.%s.ratio_of", name), of);
    u->fixed = strcmp(berth_config_string_f(c, "sampling.units.%s.fewer", name), "fixed") == 0;
    u->altered = strcmp(berth_config_string_f(c, "sampling.units.%s.more", name), "augmentation") == 0;
    if (berth_config_has_f(c, "sampling.units.%s.balance", name))
        BERTH_TRY(berth_strdup(&u->balance, berth_config_string_f(c, "sampling.units.%s.balance", name)));
    return BERTH_OK;
}

/* A unit is a source, or with mix: step a task: a name that is neither is a mistake. */
static berth_status check_name(const struct berth_config *c, const char *name, enum sampling_mix mix) {
    const char *section = mix == MIX_STEP ? "tasks" : "data";
    const char *names[64];
    char key[160];
    size_t count = berth_config_count(c, section);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(berth_config_name(c, section, i), name) == 0) return BERTH_OK;
        if (i < 64) names[i] = berth_config_name(c, section, i);
    }
    const char *nearest = berth_nearest(name, names, count < 64 ? count : 64);
    snprintf(key, sizeof key, "sampling.units.%s", name);
    return berth_config_fail(c, key, "no %s is named '%s'%s%s%s (with mix: %s the units are %s)",
                             mix == MIX_STEP ? "task" : "source", name, nearest ? "; did you mean '" : "",
                             nearest ? nearest : "", nearest ? "'?" : "",
                             mix == MIX_STEP  ? "step"
                             : mix == MIX_ALL ? "all"
                                              : "batch",
                             mix == MIX_STEP ? "tasks" : "sources");
}

berth_status sampling_read(struct sampling *out, const struct berth_config *c) {
    static const char *const mixes[] = {"batch", "step", "all", NULL};
    static const char *const epochs[] = {"all", "smallest", "largest", "steps", NULL};
    memset(out, 0, sizeof *out);
    const char *scheme = berth_config_string(c, "sampling.scheme");
    for (size_t i = 0; i < sizeof SCHEMES / sizeof SCHEMES[0]; i++)
        if (strcmp(SCHEMES[i]->name, scheme) == 0) out->scheme = SCHEMES[i];
    if (!out->scheme) return berth_config_fail(c, "sampling.scheme", "'%s' is not built in", scheme);
    out->temperature = berth_config_number(c, "sampling.temperature");
    if (berth_config_has(c, "sampling.cap")) out->cap = berth_config_int(c, "sampling.cap");
    out->mix = (enum sampling_mix)choice(berth_config_string(c, "sampling.mix"), mixes);
    out->epoch = (enum sampling_epoch)choice(berth_config_string(c, "sampling.epoch"), epochs);
    if (out->epoch == EPOCH_STEPS) {
        if (!berth_config_has(c, "sampling.epoch_steps"))
            return berth_config_fail(c, "sampling.epoch", "'steps' needs the key 'epoch_steps' beside it");
        out->epoch_steps = berth_config_int(c, "sampling.epoch_steps");
    }
    size_t count = berth_config_count(c, "sampling.units");
    BERTH_TRY(berth_calloc(&out->units, count, sizeof *out->units));
    for (size_t i = 0; i < count; i++) {
        const char *name = berth_config_name(c, "sampling.units", i);
        BERTH_TRY(check_name(c, name, out->mix));
        out->unit_count = i + 1;
        BERTH_TRY(read_unit(&out->units[i], c, name, out));
    }
    return BERTH_OK;
}

void sampling_deinit(struct sampling *s) {
    for (size_t i = 0; i < s->unit_count; i++) {
        free(s->units[i].name);
        free(s->units[i].balance);
    }
    free(s->units);
    memset(s, 0, sizeof *s);
}
