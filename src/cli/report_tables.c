/* report_tables.c: what a report shows as tables: the runs, their scores, confusion matrices, spans, what was
 * frozen. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/report_priv.h"

enum { MOST_CLASSES = 40, MOST_PAIRS = 20 };

static void add_number_cell(struct berth_str *out, double value, const char *format) {
    if (isnan(value)) {
        berth_str_add(out, "<td class=\"n\">–</td>");
        return;
    }
    char text[64];
    snprintf(text, sizeof text, format, value);
    berth_str_addf(out, "<td class=\"n\">%s</td>", text);
}

static void add_cell(struct berth_str *out, const char *tag, const char *text) {
    berth_str_addf(out, "<%s>", tag);
    html_add(out, text);
    berth_str_addf(out, "</%s>", tag);
}

static double mean_of(const struct report_series *s) {
    double sum = 0;
    for (size_t i = 0; s != NULL && i < s->count; i++)
        sum += s->y[i];
    return s != NULL && s->count > 0 ? sum / (double)s->count : (double)NAN;
}

static double score_at(const struct report_series *s, double step) {
    for (size_t i = 0; s != NULL && i < s->count; i++)
        if (s->x[i] == step) return s->y[i];
    return (double)NAN;
}

static void add_duration(struct berth_str *out, double seconds) {
    int64_t t = (int64_t)(seconds + 0.5);
    if (t < 60)
        berth_str_addf(out, "<td class=\"n\">%.1f s</td>", seconds);
    else
        berth_str_addf(out, "<td class=\"n\">%lld:%02d:%02d</td>", (long long)(t / 3600), (int)(t / 60 % 60),
                       (int)(t % 60));
}

void tables_summary(struct berth_str *out, const struct report_run *runs, size_t count) {
    berth_str_add(
        out,
        "<div class=\"scroll\"><table><tr><th>run</th><th>state</th><th>steps</th><th>best step</th><th>dev "
        "mean at best</th><th>test mean</th><th>tokens</th><th>time in "
        "steps</th><th>tokens/s</th><th>FLOP utilisation</th></tr>");
    for (size_t i = 0; i < count; i++) {
        const struct report_run *r = &runs[i];
        const struct report_series *test = report_find(r, "test/mean/metric");
        berth_str_addf(out, "<tr><td><i class=\"key c%d\"></i>", (int)(i % 8));
        html_add(out, r->name);
        berth_str_addf(out, "</td><td>%s</td>", r->finished != NULL ? "finished" : "not finished");
        add_number_cell(out, r->last_step, "%.0f");
        add_number_cell(out, r->best_step, "%.0f");
        add_number_cell(out, score_at(report_find(r, "dev/mean/metric"), r->best_step), "%.4f");
        add_number_cell(out, test != NULL && test->count > 0 ? test->y[test->count - 1] : (double)NAN, "%.4f");
        add_number_cell(out, r->total_tokens, "%.0f");
        add_duration(out, r->seconds);
        add_number_cell(out, r->seconds > 0 ? r->total_tokens / r->seconds : (double)NAN, "%.0f");
        add_number_cell(out, 100 * mean_of(report_find(r, "train/utilisation")), "%.1f %%");
        berth_str_add(out, "</tr>");
    }
    berth_str_add(out, "</table></div>\n");
}

/* ---- scores: one row a task and metric, dev at the best step and test, for each run */

static void add_score_rows(struct berth_str *out, const struct report_run *runs, size_t count,
                           const char *task) {
    const struct report_run *first = &runs[0];
    char prefix[200];
    for (size_t k = 0; k < first->series_count; k++) {
        const char *name = first->series[k].name;
        snprintf(prefix, sizeof prefix, "dev/%s/", task);
        if (strncmp(name, prefix, strlen(prefix)) != 0) {
            snprintf(prefix, sizeof prefix, "test/%s/", task);
            if (strncmp(name, prefix, strlen(prefix)) != 0) continue;
            if (report_find(first, "dev%s", name + 4) != NULL) continue; /* shown with dev */
        }
        const char *metric = name + strlen(prefix);
        berth_str_add(out, "<tr>");
        add_cell(out, "td", task);
        add_cell(out, "td", metric);
        for (size_t i = 0; i < count; i++) {
            const struct report_series *test = report_find(&runs[i], "test/%s/%s", task, metric);
            add_number_cell(out, score_at(report_find(&runs[i], "dev/%s/%s", task, metric), runs[i].best_step),
                            "%.4g");
            add_number_cell(out, test != NULL && test->count > 0 ? test->y[test->count - 1] : (double)NAN,
                            "%.4g");
        }
        berth_str_add(out, "</tr>");
    }
}

void tables_scores(struct berth_str *out, const struct report_run *runs, size_t count) {
    berth_str_add(out,
                  "<div class=\"scroll\"><table><tr><th rowspan=\"2\">task</th><th rowspan=\"2\">metric</th>");
    for (size_t i = 0; i < count; i++) {
        berth_str_addf(out, "<th colspan=\"2\"><i class=\"key c%d\"></i>", (int)(i % 8));
        html_add(out, runs[i].name);
        berth_str_add(out, "</th>");
    }
    berth_str_add(out, "</tr><tr>");
    for (size_t i = 0; i < count; i++)
        berth_str_add(out, "<th>dev, best step</th><th>test</th>");
    berth_str_add(out, "</tr>");
    for (size_t i = 0; i < runs[0].task_count; i++)
        add_score_rows(out, runs, count, runs[0].tasks[i]);
    add_score_rows(out, runs, count, "mean");
    berth_str_add(out, "</table></div>\n");
}

/* ---- confusion matrices */

static double cell(const struct berth_json *j, const char *task, size_t row, size_t column) {
    char at[200];
    double value = 0;
    snprintf(at, sizeof at, "%s.confusion[%zu][%zu]", task, row, column);
    return berth_json_number_or(&value, j, at, 0) == BERTH_OK ? value : 0;
}

static const char *label(const struct berth_json *j, const char *task, size_t index) {
    char at[200];
    const char *text = "?";
    snprintf(at, sizeof at, "%s.labels[%zu]", task, index);
    return berth_json_string_or(&text, j, at, "?") == BERTH_OK ? text : "?";
}

static void add_matrix(struct berth_str *out, const struct berth_json *j, const char *task, size_t classes) {
    berth_str_add(out, "<div class=\"scroll\"><table class=\"matrix\"><tr><th>gold \\ predicted</th>");
    for (size_t c = 0; c < classes; c++) {
        berth_str_add(out, "<th class=\"turned\"><span>");
        html_add(out, label(j, task, c));
        berth_str_add(out, "</span></th>");
    }
    berth_str_add(out, "<th>recall</th></tr>");
    for (size_t r = 0; r < classes; r++) {
        double sum = 0;
        for (size_t c = 0; c < classes; c++)
            sum += cell(j, task, r, c);
        berth_str_add(out, "<tr>");
        add_cell(out, "th", label(j, task, r));
        for (size_t c = 0; c < classes; c++) {
            double value = cell(j, task, r, c), part = sum > 0 ? value / sum : 0;
            berth_str_addf(out, "<td class=\"n %s\" style=\"--a:%.2f\">%.0f</td>", r == c ? "good" : "bad",
                           value > 0 ? 0.12 + 0.78 * part : 0, value);
        }
        add_number_cell(out, sum > 0 ? 100 * cell(j, task, r, r) / sum : (double)NAN, "%.1f %%");
        berth_str_add(out, "</tr>");
    }
    berth_str_add(out, "</table></div>\n");
}

struct pair {
    size_t gold, predicted;
    double count;
};

static int more_first(const void *a, const void *b) {
    double x = ((const struct pair *)a)->count, y = ((const struct pair *)b)->count;
    return (x < y) - (x > y);
}

/* Of many classes only the pairs that are mistaken most. */
static void add_pairs(struct berth_str *out, const struct berth_json *j, const char *task, size_t classes) {
    struct pair *pairs = NULL;
    size_t count = 0, capacity = 0;
    for (size_t r = 0; r < classes; r++) {
        for (size_t c = 0; c < classes; c++) {
            double value = r == c ? 0 : cell(j, task, r, c);
            if (value <= 0) continue;
            if (berth_grow(&pairs, &capacity, count + 1, sizeof *pairs) != BERTH_OK) {
                out->failed = true;
                break;
            }
            pairs[count++] = (struct pair){r, c, value};
        }
    }
    if (count > 0) qsort(pairs, count, sizeof *pairs, more_first);
    berth_str_addf(out, "<p>%zu classes; the pairs that were mistaken most:</p><div class=\"scroll\"><table>",
                   classes);
    berth_str_add(out, "<tr><th>gold</th><th>predicted</th><th>times</th></tr>");
    for (size_t i = 0; i < count && i < MOST_PAIRS; i++) {
        berth_str_add(out, "<tr>");
        add_cell(out, "td", label(j, task, pairs[i].gold));
        add_cell(out, "td", label(j, task, pairs[i].predicted));
        berth_str_addf(out, "<td class=\"n\">%.0f</td></tr>", pairs[i].count);
    }
    berth_str_add(out, "</table></div>\n");
    free(pairs);
}

/* ---- spans */

static double entity_number(const struct berth_json *j, const char *task, size_t i, const char *key) {
    char at[200];
    double value = 0;
    snprintf(at, sizeof at, "%s.entities[%zu].%s", task, i, key);
    return berth_json_number_or(&value, j, at, 0) == BERTH_OK ? value : 0;
}

static void add_entity(struct berth_str *out, const char *name, double gold, double predicted, double correct) {
    double precision = predicted > 0 ? correct / predicted : (double)NAN,
           recall = gold > 0 ? correct / gold : (double)NAN;
    berth_str_add(out, "<tr>");
    add_cell(out, "td", name);
    add_number_cell(out, gold, "%.0f");
    add_number_cell(out, predicted, "%.0f");
    add_number_cell(out, correct, "%.0f");
    add_number_cell(out, 100 * precision, "%.2f");
    add_number_cell(out, 100 * recall, "%.2f");
    add_number_cell(out, gold + predicted > 0 ? 200 * correct / (gold + predicted) : (double)NAN, "%.2f");
    berth_str_add(out, "</tr>");
}

static void add_entities(struct berth_str *out, const struct berth_json *j, const char *task, size_t count) {
    double gold = 0, predicted = 0, correct = 0;
    berth_str_add(out, "<div class=\"scroll\"><table><tr><th>entity "
                       "type</th><th>gold</th><th>predicted</th><th>correct</th><th>precision "
                       "%</th><th>recall %</th><th>F1 %</th></tr>");
    for (size_t i = 0; i < count; i++) {
        char at[200];
        const char *type = "?";
        snprintf(at, sizeof at, "%s.entities[%zu].type", task, i);
        if (berth_json_string_or(&type, j, at, "?") != BERTH_OK) type = "?";
        double g = entity_number(j, task, i, "gold"), p = entity_number(j, task, i, "predicted");
        double c = entity_number(j, task, i, "correct");
        add_entity(out, type, g, p, c);
        gold += g;
        predicted += p;
        correct += c;
    }
    add_entity(out, "all", gold, predicted, correct);
    berth_str_add(out, "</table></div>\n");
}

void tables_details(struct berth_str *out, const struct report_run *run, bool with_name) {
    static const char *const splits[] = {"dev, best step", "test"};
    for (int split = 0; split < 2; split++) {
        const struct berth_json *j = run->details[split];
        for (size_t i = 0; j != NULL && i < berth_json_count(j, ""); i++) {
            const char *task = berth_json_key(j, "", i);
            char at[200];
            snprintf(at, sizeof at, "%s.confusion", task);
            size_t classes = berth_json_count(j, at);
            snprintf(at, sizeof at, "%s.entities", task);
            size_t entities = berth_json_count(j, at);
            if (classes == 0 && entities == 0) continue;
            berth_str_add(out, "<h3>");
            if (with_name) html_addf(out, "%s: ", run->name);
            html_addf(out, "%s, %s", task, splits[split]);
            berth_str_add(out, "</h3>");
            if (entities > 0) add_entities(out, j, task, entities);
            if (classes > 0 && classes <= MOST_CLASSES) add_matrix(out, j, task, classes);
            if (classes > MOST_CLASSES) add_pairs(out, j, task, classes);
        }
    }
}

/* ---- what was frozen: the configuration's own words, and what the plan counts */

static void add_section(struct berth_str *out, const char *yaml, const char *key) {
    size_t length = strlen(key);
    for (const char *line = yaml; *line != '\0';) {
        size_t n = strcspn(line, "\n");
        if (strncmp(line, key, length) == 0 && line[length] == ':') {
            const char *end = line + n + (line[n] == '\n');
            while (*end == ' ' || *end == '-') {
                size_t more = strcspn(end, "\n");
                end += more + (end[more] == '\n');
            }
            char *text = NULL;
            if (berth_strndup(&text, line, (size_t)(end - line)) == BERTH_OK) html_add(out, text);
            out->failed |= text == NULL;
            free(text);
            return;
        }
        line += n + (line[n] == '\n');
    }
    berth_str_addf(out, "%s: nothing\n", key);
}

/* Lines of the log that tell of freezing while it ran ("unfrozen: ..."). */
static void add_log_lines(struct berth_str *out, const char *log) {
    for (const char *line = log; *line != '\0';) {
        size_t n = strcspn(line, "\n");
        if (memmem(line, n, "frozen", 6) != NULL || memmem(line, n, "stage", 5) != NULL) {
            char *text = NULL;
            if (berth_strndup(&text, line, n + (line[n] == '\n')) == BERTH_OK) html_add(out, text);
            out->failed |= text == NULL;
            free(text);
        }
        line += n + (line[n] == '\n');
    }
}

void tables_frozen(struct berth_str *out, const struct report_run *run, bool with_name) {
    if (with_name) {
        berth_str_add(out, "<h3>");
        html_add(out, run->name);
        berth_str_add(out, "</h3>");
    }
    berth_str_add(out, "<pre>");
    add_section(out, run->config, "freeze");
    add_log_lines(out, run->log);
    berth_str_add(out, "</pre>\n");
}
