/* eval_details.c: what an evaluation tells beside its scores, as JSON: pieces that several kinds of task share,
 * and the whole of an evaluation as one object.
 *
 *   {"split":"dev","step":818,"scores":{"intent":{"accuracy":0.98,...},...},"details":{"intent":{...},...}}
 *
 * A share that has no value (0 of 0) is null. The object is RUN/evaluation-SPLIT.json, and what `berth eval
 * --json` prints. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "berth/file.h"
#include "train/evaluate_priv.h"

static void add_number(struct berth_str *s, double value) {
    if (isfinite(value))
        berth_str_addf(s, "%.9g", value);
    else
        berth_str_add(s, "null");
}

static double share(double part, double whole) {
    return whole > 0 ? part / whole : (double)NAN;
}

void details_counts(struct berth_str *s, const char *key, const char *name, int64_t support, int64_t predicted,
                    int64_t correct) {
    berth_str_addf(s, "{\"%s\": ", key);
    berth_str_add_json(s, name);
    berth_str_addf(s, ", \"support\": %lld, \"predicted\": %lld, \"correct\": %lld, \"precision\": ",
                   (long long)support, (long long)predicted, (long long)correct);
    add_number(s, share((double)correct, (double)predicted));
    berth_str_add(s, ", \"recall\": ");
    add_number(s, share((double)correct, (double)support));
    berth_str_add(s, ", \"f1\": ");
    add_number(s, share(2 * (double)correct, (double)(support + predicted)));
    berth_str_add(s, "}");
}

/* ---- mistakes: pairs of classes, those that were confused most first */

static int by_pair(const void *a, const void *b) {
    const struct details_mistake *x = a, *y = b;
    if (x->gold != y->gold) return x->gold < y->gold ? -1 : 1;
    return (x->answered > y->answered) - (x->answered < y->answered);
}

static int by_count(const void *a, const void *b) {
    const struct details_mistake *x = a, *y = b;
    if (x->count != y->count) return x->count < y->count ? 1 : -1;
    return by_pair(a, b);
}

void details_mistakes(struct berth_str *s, struct details_mistake *list, int64_t count,
                      const struct berth_labels *labels) {
    enum { MOST = 100 };
    int64_t kept = 0;
    if (count > 1) qsort(list, (size_t)count, sizeof *list, by_pair);
    for (int64_t i = 0; i < count; i++) {
        if (kept > 0 && by_pair(&list[kept - 1], &list[i]) == 0)
            list[kept - 1].count += list[i].count;
        else
            list[kept++] = list[i];
    }
    if (kept > 1) qsort(list, (size_t)kept, sizeof *list, by_count);
    berth_str_add(s, "\"mistakes\": [");
    for (int64_t i = 0; i < kept && i < MOST; i++) {
        berth_str_add(s, i > 0 ? ", {\"gold\": " : "{\"gold\": ");
        berth_str_add_json(s, labels->names[list[i].gold]);
        berth_str_add(s, ", \"answered\": ");
        berth_str_add_json(s, labels->names[list[i].answered]);
        berth_str_addf(s, ", \"count\": %lld}", (long long)list[i].count);
    }
    berth_str_add(s, "]");
}

/* ---- the spread of numbers */

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Linear between neighbours: type 7 of Hyndman and Fan (1996), the usual default. */
static double quantile(const double *sorted, int64_t count, double q) {
    double at = q * (double)(count - 1);
    int64_t below = (int64_t)floor(at);
    double part = at - (double)below;
    return below + 1 < count ? sorted[below] + part * (sorted[below + 1] - sorted[below]) : sorted[count - 1];
}

void details_spread(struct berth_str *s, const char *name, double *values, int64_t count) {
    static const struct {
        const char *name;
        double q;
    } quantiles[] = {{"min", 0},    {"q05", 0.05}, {"q25", 0.25}, {"median", 0.5},
                     {"q75", 0.75}, {"q95", 0.95}, {"max", 1}};
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < count; i++)
        sum += values[i];
    const double mean = share(sum, (double)count);
    for (int64_t i = 0; i < count; i++)
        squares += (values[i] - mean) * (values[i] - mean);
    if (count > 1) qsort(values, (size_t)count, sizeof *values, ascending);
    berth_str_addf(s, "\"%s\": {\"mean\": ", name);
    add_number(s, mean);
    berth_str_add(s, ", \"deviation\": ");
    add_number(s, sqrt(share(squares, (double)(count - 1))));
    for (size_t i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++) {
        berth_str_addf(s, ", \"%s\": ", quantiles[i].name);
        add_number(s, count > 0 ? quantile(values, count, quantiles[i].q) : (double)NAN);
    }
    berth_str_add(s, "}");
}

/* ---- the whole */

void scores_add_by_task(struct berth_str *s, const struct berth_scores *scores) {
    const char *task = NULL;
    berth_str_add(s, "{");
    for (size_t i = 0; i < scores->count; i++) {
        const struct berth_score *score = &scores->list[i];
        if (task == NULL || strcmp(task, score->task) != 0) {
            berth_str_add(s, task == NULL ? "" : "},");
            berth_str_add_json(s, score->task);
            berth_str_add(s, ":{");
        } else {
            berth_str_add(s, ",");
        }
        task = score->task;
        berth_str_addf(s, "\"%s\":", score->metric);
        add_number(s, score->value);
    }
    berth_str_add(s, task == NULL ? "}" : "}}");
}

void berth_scores_add_json(struct berth_str *s, const struct berth_scores *scores, int64_t step) {
    berth_str_add(s, "{\"split\":");
    berth_str_add_json(s, scores->count > 0 ? scores->list[0].split : "");
    if (step >= 0) berth_str_addf(s, ",\"step\":%lld", (long long)step);
    berth_str_add(s, ",\"scores\":");
    scores_add_by_task(s, scores);
    berth_str_addf(s, ",\"details\":%s}\n", scores->details != NULL ? scores->details : "{}");
}

berth_status details_write(const struct berth_trainer *t, const struct berth_scores *scores) {
    berth_status status = BERTH_OK;
    char name[64], *path = NULL, *text = NULL;
    struct berth_str s;
    if (scores->count == 0) return BERTH_OK;
    berth_str_init(&s);
    berth_scores_add_json(&s, scores, t->state.best_step);
    snprintf(name, sizeof name, "evaluation-%s.json", scores->list[0].split);
    BERTH_TRY_OUT(berth_path_join(&path, t->folder.path, name));
    BERTH_TRY_OUT(berth_str_take(&s, &text));
    BERTH_TRY_OUT(berth_file_put(path, text, strlen(text)));
out:
    berth_str_deinit(&s);
    free(path);
    free(text);
    return status;
}
