/* data_json.c: `berth data --json`: all counts as one object. */
#include <math.h>

#include "cli/cli_priv.h"
#include "cli/data_view_priv.h"

static const char *const COMPARES[BERTH_CENSUS_COMPARES] = {"exact", "folded"};

static void add_number(struct berth_str *s, double x) {
    if (isfinite(x))
        berth_str_addf(s, "%.9g", x);
    else
        berth_str_add(s, "null");
}

static void add_named(struct berth_str *s, const char *key, const struct berth_labels *names,
                      const int64_t *counts) {
    berth_str_addf(s, ",\"%s\":{", key);
    for (size_t i = 0; i < names->count; i++) {
        berth_str_add(s, i ? "," : "");
        berth_str_add_json(s, names->names[i]);
        berth_str_addf(s, ":%lld", (long long)counts[i]);
    }
    berth_str_add(s, "}");
}

static void add_task(struct berth_str *s, const struct berth_task *task, const struct berth_census_labels *l) {
    berth_str_add_json(s, task->name);
    berth_str_addf(s, ":{\"labelled\":%lld,\"missing\":%lld", (long long)l->rows, (long long)l->missing);
    if (l->counts) add_named(s, "labels", &task->labels, l->counts);
    if (l->counts) add_named(s, "unseen", &l->unseen, l->unseen_counts);
    if (task->kind == BERTH_TASK_TAGGING) {
        berth_str_addf(s, ",\"words\":%lld,\"words_missing\":%lld,\"odd_tags\":%lld,\"odd_first\":",
                       (long long)l->words, (long long)l->words_missing, (long long)l->odd);
        if (l->odd_first)
            berth_str_add_json(s, l->odd_first);
        else
            berth_str_add(s, "null");
        add_named(s, "entities", &l->types, l->type_counts);
    }
    if (task->kind == BERTH_TASK_REGRESSION || task->kind == BERTH_TASK_SIMILARITY) {
        const double numbers[] = {l->mean, l->deviation, l->least, l->most};
        static const char *const names[] = {"mean", "deviation", "least", "most"};
        for (int i = 0; i < 4; i++) {
            berth_str_addf(s, ",\"%s\":", names[i]);
            add_number(s, numbers[i]);
        }
    }
    berth_str_add(s, "}");
}

static void add_lengths(struct berth_str *s, const struct berth_census_split *split) {
    bool first = true;
    berth_str_addf(s, ",\"tokens\":%lld,\"rows_cut\":%lld,\"length\":{\"mean\":", (long long)split->tokens,
                   (long long)split->rows_cut);
    add_number(s, split->rows > 0 ? (double)split->tokens / (double)split->rows : (double)NAN);
    static const int percents[] = {50, 90, 95, 99};
    for (size_t i = 0; i < sizeof percents / sizeof percents[0]; i++)
        berth_str_addf(s, ",\"p%d\":%lld", percents[i],
                       (long long)berth_census_percentile(split, percents[i] / 100.0));
    berth_str_addf(s, ",\"longest\":%lld,\"rows\":{", (long long)split->longest);
    for (int64_t length = 0; length <= split->longest; length++) {
        if (split->lengths[length] == 0) continue;
        berth_str_addf(s, "%s\"%lld\":%lld", first ? "" : ",", (long long)length,
                       (long long)split->lengths[length]);
        first = false;
    }
    berth_str_add(s, "}}");
}

static void add_split(struct berth_str *s, const struct data_view *v, const struct berth_census_split *split) {
    bool first = true;
    berth_str_addf(s, "{\"rows\":%lld", (long long)split->rows);
    add_lengths(s, split);
    berth_str_addf(s, ",\"replaced\":%lld,\"repeats\":{", (long long)split->replaced);
    for (int k = 0; k < BERTH_CENSUS_COMPARES; k++)
        berth_str_addf(s, "%s\"%s\":%lld", k ? "," : "", COMPARES[k], (long long)split->repeats[k]);
    berth_str_add(s, "},\"also_in\":{");
    for (int other = 0; other < BERTH_SPLIT_COUNT; other++) {
        berth_str_addf(s, "%s\"%s\":{", other ? "," : "", berth_split_name((enum berth_split)other));
        for (int k = 0; k < BERTH_CENSUS_COMPARES; k++)
            berth_str_addf(s, "%s\"%s\":%lld", k ? "," : "", COMPARES[k], (long long)split->shared[k][other]);
        berth_str_add(s, "}");
    }
    berth_str_add(s, "},\"tasks\":{");
    for (size_t t = 0; t < v->census->task_count; t++) {
        if (!split->tasks[t].there) continue;
        berth_str_add(s, first ? "" : ",");
        first = false;
        add_task(s, berth_data_task(v->data, t), &split->tasks[t]);
    }
    berth_str_add(s, "}}");
}

void data_add_json(struct berth_str *s, const struct data_view *v) {
    berth_str_addf(s, "{\"max_length\":%lld,\"sources\":{", (long long)v->max_length);
    for (size_t i = 0; i < v->census->source_count; i++) {
        bool first = true;
        berth_str_add(s, i ? "," : "");
        berth_str_add_json(s, berth_data_source(v->data, i)->name);
        berth_str_add(s, ":{");
        for (int split = 0; split < BERTH_SPLIT_COUNT; split++) {
            if (!data_split(v, i, split)->there) continue;
            berth_str_addf(s, "%s\"%s\":", first ? "" : ",", berth_split_name((enum berth_split)split));
            first = false;
            add_split(s, v, data_split(v, i, split));
        }
        berth_str_add(s, "}");
    }
    berth_str_add(s, "},\"leaks\":[");
    for (size_t i = 0; i < v->census->leak_count; i++) {
        const struct berth_census_leak *leak = &v->census->leaks[i];
        berth_str_add(s, i ? ",{\"source\":" : "{\"source\":");
        berth_str_add_json(s, berth_data_source(v->data, leak->source)->name);
        berth_str_addf(s, ",\"split\":\"%s\",\"training\":", berth_split_name(leak->split));
        berth_str_add_json(s, berth_data_source(v->data, leak->training)->name);
        for (int k = 0; k < BERTH_CENSUS_COMPARES; k++)
            berth_str_addf(s, ",\"%s\":%lld", COMPARES[k], (long long)leak->rows[k]);
        berth_str_add(s, "}");
    }
    berth_str_add(s, "]}\n");
}
