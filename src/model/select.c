/* select.c: selectors: which parameters a rule of the configuration means.
 *
 *     backbone | embeddings | layers.N | layers.A-B | pooler | heads.NAME | norms | biases
 *     anything with * or ? is a pattern over names; anything else must be a parameter's whole name */
#include <stdlib.h>
#include <string.h>

#include "model/model_priv.h"

/* What a selector was resolved to; a parameter is meant when all conditions hold. */
struct selection {
    int first_stage, last_stage;
    int owner; /* -1: any */
    bool norms, biases;
    const char *pattern; /* NULL: any name */
};

static bool matches(const struct selection *s, const struct berth_parameter *p) {
    return p->stage >= s->first_stage && p->stage <= s->last_stage && (s->owner < 0 || p->owner == s->owner) &&
           (!s->norms || p->is_norm) && (!s->biases || p->is_bias) &&
           (s->pattern == NULL || berth_glob(s->pattern, p->name));
}

/* "4" or "0-3" */
static berth_status parse_layers(const struct berth_model *m, const char *selector, const char *range,
                                 struct selection *s) {
    char first_text[24], last_text[24];
    int64_t first = 0, last = 0;
    const char *dash = strchr(range, '-');
    size_t length = dash == NULL ? strlen(range) : (size_t)(dash - range);
    snprintf(first_text, sizeof first_text, "%.*s", (int)(length < 23 ? length : 23), range);
    snprintf(last_text, sizeof last_text, "%.23s", dash == NULL ? first_text : dash + 1);
    if (!berth_parse_int64(first_text, &first) || !berth_parse_int64(last_text, &last) || first < 0 ||
        last < first)
        BERTH_FAIL(BERTH_E_USAGE, "selector '%s': expected layers.N or layers.A-B with A <= B, counted from 0",
                   selector);
    if (last >= m->config.layers)
        BERTH_FAIL(BERTH_E_USAGE, "selector '%s': there is no layer %lld; this backbone has layers 0 to %lld",
                   selector, (long long)last, (long long)m->config.layers - 1);
    s->first_stage = (int)first + 1;
    s->last_stage = (int)last + 1;
    return BERTH_OK;
}

static berth_status parse_head(const struct berth_model *m, const char *selector, const char *name,
                               struct selection *s) {
    int head = berth_model_find_head(m, name);
    if (head < 0) {
        struct berth_str names;
        berth_str_init(&names);
        for (int i = 0; i < m->head_count; i++)
            berth_str_addf(&names, "%s%s", i == 0 ? "" : ", ", m->heads[i].task.name);
        berth_status status = berth_error_set(BERTH_E_USAGE, __FILE__, __LINE__,
                                              "selector '%s': there is no head '%s'; there is: %s", selector,
                                              name, names.length == 0 ? "none" : names.data);
        berth_str_deinit(&names);
        return status;
    }
    s->owner = head + 1;
    return BERTH_OK;
}

static berth_status fail_unknown(const char *selector) {
    static const char *const FORMS[] = {"backbone", "embeddings", "layers.0", "layers.0-1", "layers",
                                        "pooler",   "heads",      "norms",    "biases"};
    const char *near = berth_nearest(selector, FORMS, sizeof FORMS / sizeof FORMS[0]);
    BERTH_FAIL(BERTH_E_USAGE,
               "selector '%s' is none of backbone, embeddings, layers.N, layers.A-B, pooler, heads.NAME, "
               "norms, biases, "
               "a pattern with * or ?, a parameter's name%s%s%s",
               selector, near == NULL ? "" : "; did you mean '", near == NULL ? "" : near,
               near == NULL ? "" : "'?");
}

static berth_status parse(const struct berth_model *m, const char *selector, struct selection *s) {
    *s = (struct selection){.first_stage = 0, .last_stage = model_stage_heads(m), .owner = -1};
    if (strpbrk(selector, "*?") != NULL || berth_model_find(m, selector) >= 0) {
        s->pattern = selector;
    } else if (strcmp(selector, "backbone") == 0) {
        s->owner = 0;
    } else if (strcmp(selector, "embeddings") == 0) {
        s->last_stage = 0;
    } else if (strcmp(selector, "pooler") == 0) {
        if (!m->config.pooler) BERTH_FAIL(BERTH_E_USAGE, "selector 'pooler': this backbone has no pooler");
        s->first_stage = s->last_stage = model_stage_pooler(m);
    } else if (strcmp(selector, "norms") == 0) {
        s->norms = true;
    } else if (strcmp(selector, "biases") == 0) {
        s->biases = true;
    } else if (strncmp(selector, "layers.", 7) == 0) {
        return parse_layers(m, selector, selector + 7, s);
    } else if (strncmp(selector, "heads.", 6) == 0) {
        return parse_head(m, selector, selector + 6, s);
    } else {
        return fail_unknown(selector);
    }
    return BERTH_OK;
}

berth_status berth_model_select(const struct berth_model *m, const char *selector, bool *selected, int *count) {
    struct selection s;
    BERTH_TRY(parse(m, selector, &s));
    *count = 0;
    for (int i = 0; i < m->parameter_count; i++) {
        if (!matches(&s, &m->parameters[i])) continue;
        selected[i] = true;
        (*count)++;
    }
    return BERTH_OK;
}
