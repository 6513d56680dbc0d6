/* plan_parameters.c: the parameters of a stage by group: how many, trained how, until or from when. Stages of
 * the forward pass are the groups; each head is one of its own. */
#include <stdlib.h>
#include <string.h>

#include "train/train_priv.h"

static bool pooler_is_used(const struct berth_trainer *t, const struct stage *stage) {
    for (int i = 0; i < t->model->head_count; i++) {
        const struct berth_head *head = &t->model->heads[i];
        if (stage->tasks[i] && berth_task_kind_pools(head->task.kind) && head->pooling == BERTH_POOL_POOLER)
            return true;
    }
    return false;
}

void plan_trained(const struct berth_trainer *t, size_t index, bool *trained) {
    const struct stage *stage = &t->stages[index];
    bool pooler = pooler_is_used(t, stage);
    for (int p = 0; p < t->model->parameter_count; p++) {
        const struct berth_parameter *q = &t->model->parameters[p];
        const struct freeze_rule *rule = freeze_rule_of(&stage->freeze, p);
        bool always = rule != NULL && rule->frozen && rule->until.amount <= 0 && rule->from.amount <= 0;
        trained[p] = !always && (q->owner == 0 || stage->tasks[q->owner - 1]) &&
                     (pooler || q->owner > 0 || q->stage != t->model->config.layers + 1);
    }
}

static void group_name(char *out, size_t size, const struct berth_trainer *t, const struct berth_parameter *p) {
    if (p->owner > 0)
        snprintf(out, size, "heads.%s", t->task_names[p->owner - 1]);
    else if (p->stage == 0)
        snprintf(out, size, "embeddings");
    else if (p->stage <= t->model->config.layers)
        snprintf(out, size, "layers.%d", p->stage - 1);
    else
        snprintf(out, size, "pooler");
}

struct group {
    int64_t count, trained, late; /* elements; late: of the trained ones under a rule with a time */
    double lowest, highest, decay;
    const struct freeze_rule *rule; /* of the first late one */
};

static void add_to_group(struct group *g, const struct berth_trainer *t, size_t stage, int p, bool trained) {
    const struct berth_rule *rule = &t->stages[stage].rules[p];
    int64_t count = t->model->parameters[p].count;
    g->count += count;
    if (!trained) return;
    if (g->trained == 0 || rule->lr < g->lowest) g->lowest = rule->lr;
    if (g->trained == 0 || rule->lr > g->highest) g->highest = rule->lr;
    if (rule->weight_decay > g->decay) g->decay = rule->weight_decay;
    g->trained += count;
    const struct freeze_rule *freeze = freeze_rule_of(&t->stages[stage].freeze, p);
    if (freeze == NULL || !freeze->frozen) return;
    g->late += count;
    if (g->rule == NULL) g->rule = freeze;
}

static void add_duration(struct berth_str *s, const char *word, struct berth_duration d, bool partly) {
    berth_str_addf(s, "  %s%s %g %s%s", partly ? "partly " : "", word, d.amount,
                   d.unit == BERTH_EPOCHS ? "epoch" : "step", d.amount == 1 ? "" : "s");
}

static void add_group(struct berth_str *s, const struct group *g, const char *name, int width) {
    char rates[32];
    berth_str_addf(s, "%-*s  %12lld  %12lld", width, name, (long long)g->count, (long long)g->trained);
    if (g->trained == 0) {
        berth_str_addf(s, "  %18s  %9s\n", "frozen", "-");
        return;
    }
    if (g->lowest == g->highest)
        snprintf(rates, sizeof rates, "%.2e", g->highest);
    else
        snprintf(rates, sizeof rates, "%.2e-%.2e", g->lowest, g->highest);
    berth_str_addf(s, "  %18s  %9g", rates, g->decay);
    if (g->rule != NULL && g->rule->until.amount > 0)
        add_duration(s, "frozen until", g->rule->until, g->late < g->trained);
    else if (g->rule != NULL)
        add_duration(s, "frozen from", g->rule->from, g->late < g->trained);
    berth_str_add(s, "\n");
}

berth_status plan_add_parameters(struct berth_str *s, const struct berth_trainer *t, size_t stage, int width) {
    const struct berth_model *m = t->model;
    bool *trained = NULL;
    int64_t total = 0, all_trained = 0;
    BERTH_TRY(berth_calloc(&trained, (size_t)m->parameter_count, sizeof *trained));
    plan_trained(t, stage, trained);
    berth_str_addf(s, "%-*s  %12s  %12s  %18s  %9s\n", width, "parameters", "all", "trained", "lr", "decay");
    for (int i = 0; i < m->parameter_count;) {
        const struct berth_parameter *first = &m->parameters[i];
        struct group g = {0};
        char name[96];
        for (; i < m->parameter_count && m->parameters[i].stage == first->stage &&
               m->parameters[i].owner == first->owner;
             i++)
            add_to_group(&g, t, stage, i, trained[i]);
        group_name(name, sizeof name, t, first);
        add_group(s, &g, name, width);
        total += g.count;
        all_trained += g.trained;
    }
    berth_str_addf(s, "%-*s  %12lld  %12lld\n", width, "together", (long long)total, (long long)all_trained);
    free(trained);
    return BERTH_OK;
}
