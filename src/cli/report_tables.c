/* report_tables.c: what a report shows as tables: the runs, their scores, what was frozen. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/report_priv.h"

void html_number_cell(struct berth_str *out, double value, const char *format) {
    if (isnan(value)) {
        berth_str_add(out, "<td class=\"n\">–</td>");
        return;
    }
    char text[64];
    snprintf(text, sizeof text, format, value);
    berth_str_addf(out, "<td class=\"n\">%s</td>", text);
}

void html_cell(struct berth_str *out, const char *tag, const char *text) {
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
        out, "<div class=\"scroll\"><table><tr><th>run</th><th>state</th><th class=\"n\">steps</th><th "
             "class=\"n\">best step</th>"
             "<th class=\"n\">dev mean at best</th><th class=\"n\">test mean</th><th class=\"n\">tokens</th>"
             "<th class=\"n\">time in steps</th><th class=\"n\">tokens/s</th><th class=\"n\">FLOP "
             "utilisation</th></tr>");
    for (size_t i = 0; i < count; i++) {
        const struct report_run *r = &runs[i];
        const struct report_series *test = report_find(r, "test/mean/metric");
        berth_str_addf(out, "<tr><td><i class=\"key c%d\"></i>", (int)(i % 8));
        html_add(out, r->name);
        berth_str_addf(out, "</td><td>%s</td>", r->finished != NULL ? "finished" : "not finished");
        html_number_cell(out, r->last_step, "%.0f");
        html_number_cell(out, r->best_step, "%.0f");
        html_number_cell(out, score_at(report_find(r, "dev/mean/metric"), r->best_step), "%.4f");
        html_number_cell(out, test != NULL && test->count > 0 ? test->y[test->count - 1] : (double)NAN, "%.4f");
        html_number_cell(out, r->total_tokens, "%.0f");
        add_duration(out, r->seconds);
        html_number_cell(out, r->seconds > 0 ? r->total_tokens / r->seconds : (double)NAN, "%.0f");
        html_number_cell(out, 100 * mean_of(report_find(r, "train/utilisation")), "%.1f %%");
        berth_str_add(out, "</tr>");
    }
    berth_str_add(out, "</table></div>\n");
}

/* ---- scores: one row a task and metric, dev at the best step and test, for each run */

static void add_score_rows(struct berth_str *out, const struct report_run *runs, size_t count,
                           const char *task) {
    const struct report_run *first = &runs[0];
    char prefix[200];
    bool begun = false; /* a task's own metric stands first */
    for (size_t k = 0; k < first->series_count; k++) {
        const char *name = first->series[k].name;
        snprintf(prefix, sizeof prefix, "dev/%s/", task);
        if (strncmp(name, prefix, strlen(prefix)) != 0) {
            snprintf(prefix, sizeof prefix, "test/%s/", task);
            if (strncmp(name, prefix, strlen(prefix)) != 0) continue;
            if (report_find(first, "dev%s", name + 4) != NULL) continue; /* shown with dev */
        }
        const char *metric = name + strlen(prefix);
        berth_str_addf(out, "<tr%s><td%s>", begun ? "" : " class=\"own\"", begun ? " class=\"again\"" : "");
        begun = true;
        html_add(out, task);
        berth_str_add(out, "</td>");
        html_cell(out, "td", metric);
        for (size_t i = 0; i < count; i++) {
            const struct report_series *test = report_find(&runs[i], "test/%s/%s", task, metric);
            html_number_cell(out, score_at(report_find(&runs[i], "dev/%s/%s", task, metric), runs[i].best_step),
                             "%.4g");
            html_number_cell(out, test != NULL && test->count > 0 ? test->y[test->count - 1] : (double)NAN,
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
        berth_str_add(out, "<th class=\"n\">dev, best step</th><th class=\"n\">test</th>");
    berth_str_add(out, "</tr>");
    for (size_t i = 0; i < runs[0].task_count; i++)
        add_score_rows(out, runs, count, runs[0].tasks[i]);
    add_score_rows(out, runs, count, "mean");
    berth_str_add(out, "</table></div>\n");
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
