/* param_rules.c: the peak rate and the decay of each parameter.
 *
 *     backbone   train.lr * layer_decay^(L + 1 - stage)     stage: 0 embeddings, l+1 layer l, L+1 pooler;
 * ELECTRA's rule (Clark et al., arXiv 2003.10555): 1 at the top heads      train.head_lr, or train.lr groups
 * train.groups: the last that selects a parameter and gives a rate sets it, without layer decay; likewise its
 * decay
 *
 * Biases and norms never decay. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/train_priv.h"

static double base_rate(const struct recipe *r, const struct berth_model *m, const struct berth_parameter *p) {
    if (p->owner > 0) return r->head_lr;
    return r->lr * pow(r->layer_decay, (double)(m->config.layers + 1 - p->stage));
}

static berth_status apply_group(struct berth_rule *rules, bool *selected, const struct berth_config *c,
                                size_t i, const struct berth_model *m) {
    const char *selector = berth_config_string_f(c, "train.groups[%zu].select", i);
    char path[64];
    int count = 0;
    snprintf(path, sizeof path, "train.groups[%zu].select", i);
    memset(selected, 0, (size_t)m->parameter_count * sizeof *selected);
    berth_status status = berth_model_select(m, selector, selected, &count);
    if (status == BERTH_E_USAGE) {
        char text[1024];
        snprintf(text, sizeof text, "%s", berth_error_text());
        return berth_config_fail(c, path, "%s", text);
    }
    BERTH_TRY(status);
    if (count == 0) return berth_config_fail(c, path, "'%s' selects no parameter of this model", selector);
    for (int p = 0; p < m->parameter_count; p++) {
        if (!selected[p]) continue;
        if (berth_config_has_f(c, "train.groups[%zu].lr", i))
            rules[p].lr = berth_config_number_f(c, "train.groups[%zu].lr", i);
        if (berth_config_has_f(c, "train.groups[%zu].weight_decay", i) && m->parameters[p].decays)
            rules[p].weight_decay = berth_config_number_f(c, "train.groups[%zu].weight_decay", i);
    }
    return BERTH_OK;
}

berth_status param_rules_read(struct berth_rule *rules, const struct recipe *r, const struct berth_config *c,
                              const struct berth_model *m) {
    berth_status status = BERTH_OK;
    bool *selected = NULL;
    for (int p = 0; p < m->parameter_count; p++) {
        rules[p] = (struct berth_rule){
            .lr = base_rate(r, m, &m->parameters[p]),
            .weight_decay = m->parameters[p].decays ? r->weight_decay : 0.0,
        };
    }
    BERTH_TRY(berth_calloc(&selected, (size_t)m->parameter_count, sizeof *selected));
    for (size_t i = 0; i < berth_config_count(c, "train.groups"); i++)
        BERTH_TRY_OUT(apply_group(rules, selected, c, i, m));
out:
    free(selected);
    return status;
}
