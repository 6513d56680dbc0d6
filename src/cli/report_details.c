/* report_details.c: what stands behind the scores of an evaluation: classes, confusion matrices, entities, the
 * spread of numbers. Read from the JSON that an evaluation leaves (berth/train.h: berth_scores.details); what
 * is not there is not shown. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/report_priv.h"

enum { MOST_MATRIX = 40, MOST_ROWS = 200, MOST_MISTAKES = 20, PATH_SIZE = 400 };

/* One task's object. */
struct details {
    const struct berth_json *json;
    const char *task;
};

static double number_at(const struct details *d, const char *fmt, ...) BERTH_PRINTF(2, 3);
static const char *text_at(const struct details *d, const char *fmt, ...) BERTH_PRINTF(2, 3);

static void path_of(char path[PATH_SIZE], const struct details *d, const char *fmt, va_list args) {
    int n = snprintf(path, PATH_SIZE, "details.%s.", d->task);
    if (n >= 0 && n < PATH_SIZE) vsnprintf(path + n, (size_t)(PATH_SIZE - n), fmt, args);
}

/* NaN: not there, or null. */
static double number_at(const struct details *d, const char *fmt, ...) {
    char path[PATH_SIZE];
    double value = (double)NAN;
    va_list args;
    va_start(args, fmt);
    path_of(path, d, fmt, args);
    va_end(args);
    return berth_json_number_or(&value, d->json, path, (double)NAN) == BERTH_OK ? value : (double)NAN;
}

static const char *text_at(const struct details *d, const char *fmt, ...) {
    char path[PATH_SIZE];
    const char *text = "?";
    va_list args;
    va_start(args, fmt);
    path_of(path, d, fmt, args);
    va_end(args);
    return berth_json_string_or(&text, d->json, path, "?") == BERTH_OK ? text : "?";
}

static size_t count_at(const struct details *d, const char *name) {
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "details.%s.%s", d->task, name);
    return berth_json_count(d->json, path);
}

/* ---- classes and entities: precision, recall, F1 */

static void add_counts(struct berth_str *out, const struct details *d, const char *list, const char *key,
                       const char *title) {
    size_t count = count_at(d, list);
    if (count == 0) return;
    berth_str_add(out, "<div class=\"scroll\"><table class=\"zebra\"><tr><th>");
    html_add(out, title);
    berth_str_add(
        out, "</th><th class=\"n\">support</th><th class=\"n\">predicted</th><th class=\"n\">correct</th>"
             "<th class=\"n\">precision %</th><th class=\"n\">recall %</th><th class=\"n\">F1 %</th></tr>");
    double support = 0, predicted = 0, correct = 0;
    for (size_t i = 0; i < count; i++) {
        const double n = number_at(d, "%s[%zu].support", list, i),
                     p = number_at(d, "%s[%zu].predicted", list, i);
        const double c = number_at(d, "%s[%zu].correct", list, i);
        support += n;
        predicted += p;
        correct += c;
        if (i >= MOST_ROWS) continue;
        berth_str_add(out, "<tr>");
        html_cell(out, "td", text_at(d, "%s[%zu].%s", list, i, key));
        html_number_cell(out, n, "%.0f");
        html_number_cell(out, p, "%.0f");
        html_number_cell(out, c, "%.0f");
        html_number_cell(out, 100 * number_at(d, "%s[%zu].precision", list, i), "%.2f");
        html_number_cell(out, 100 * number_at(d, "%s[%zu].recall", list, i), "%.2f");
        html_number_cell(out, 100 * number_at(d, "%s[%zu].f1", list, i), "%.2f");
        berth_str_add(out, "</tr>");
    }
    berth_str_add(out, "<tr class=\"sum\"><td>all</td>");
    html_number_cell(out, support, "%.0f");
    html_number_cell(out, predicted, "%.0f");
    html_number_cell(out, correct, "%.0f");
    html_number_cell(out, predicted > 0 ? 100 * correct / predicted : (double)NAN, "%.2f");
    html_number_cell(out, support > 0 ? 100 * correct / support : (double)NAN, "%.2f");
    html_number_cell(out, support + predicted > 0 ? 200 * correct / (support + predicted) : (double)NAN,
                     "%.2f");
    berth_str_add(out, "</tr></table></div>\n");
    if (count > MOST_ROWS) berth_str_addf(out, "<p>The first %d of %zu.</p>\n", MOST_ROWS, count);
}

/* ---- which class was taken for which */

static void add_matrix(struct berth_str *out, const struct details *d, size_t classes) {
    berth_str_add(out, "<div class=\"scroll\"><table class=\"matrix\"><tr><th>gold \\ predicted</th>");
    for (size_t c = 0; c < classes; c++) {
        berth_str_add(out, "<th class=\"turned\"><span>");
        html_add(out, text_at(d, "labels[%zu]", c));
        berth_str_add(out, "</span></th>");
    }
    berth_str_add(out, "</tr>");
    for (size_t r = 0; r < classes; r++) {
        double sum = 0;
        for (size_t c = 0; c < classes; c++)
            sum += number_at(d, "confusion[%zu][%zu]", r, c);
        berth_str_add(out, "<tr>");
        html_cell(out, "th", text_at(d, "labels[%zu]", r));
        for (size_t c = 0; c < classes; c++) {
            const double value = number_at(d, "confusion[%zu][%zu]", r, c), part = sum > 0 ? value / sum : 0;
            if (value > 0)
                berth_str_addf(out, "<td class=\"n %s\" style=\"--a:%.2f\">%.0f</td>", r == c ? "good" : "bad",
                               0.10 + 0.50 * part, value);
            else
                berth_str_add(out, "<td class=\"n none\">0</td>");
        }
        berth_str_add(out, "</tr>");
    }
    berth_str_add(out, "</table></div>\n");
}

static void add_mistakes(struct berth_str *out, const struct details *d) {
    size_t count = count_at(d, "mistakes");
    if (count == 0) return;
    berth_str_add(out,
                  "<p>Mistaken most often:</p><div class=\"scroll\"><table class=\"zebra\"><tr><th>gold</th>"
                  "<th>predicted</th><th class=\"n\">times</th></tr>");
    for (size_t i = 0; i < count && i < MOST_MISTAKES; i++) {
        berth_str_add(out, "<tr>");
        html_cell(out, "td", text_at(d, "mistakes[%zu].gold", i));
        html_cell(out, "td", text_at(d, "mistakes[%zu].answered", i));
        html_number_cell(out, number_at(d, "mistakes[%zu].count", i), "%.0f");
        berth_str_add(out, "</tr>");
    }
    berth_str_add(out, "</table></div>\n");
}

/* ---- numbers */

static void add_spreads(struct berth_str *out, const struct details *d) {
    static const char *const rows[] = {"targets", "answers", "residuals"};
    static const char *const columns[] = {"mean",   "deviation", "min", "q05", "q25",
                                          "median", "q75",       "q95", "max"};
    static const char *const titles[] = {"mean",   "deviation", "least", "5 %",     "25 %",
                                         "median", "75 %",      "95 %",  "greatest"};
    enum { COLUMNS = sizeof columns / sizeof columns[0] };
    if (count_at(d, "residuals") == 0) return;
    berth_str_add(out, "<div class=\"scroll\"><table class=\"zebra\"><tr><th></th>");
    for (size_t c = 0; c < COLUMNS; c++)
        berth_str_addf(out, "<th class=\"n\">%s</th>", titles[c]);
    berth_str_add(out, "</tr>");
    for (size_t r = 0; r < 3; r++) {
        berth_str_add(out, "<tr>");
        html_cell(out, "td", r == 2 ? "residuals (answer - target)" : rows[r]);
        for (size_t c = 0; c < COLUMNS; c++)
            html_number_cell(out, number_at(d, "%s.%s", rows[r], columns[c]), "%.4g");
        berth_str_add(out, "</tr>");
    }
    berth_str_add(out, "</table></div>\n");
}

static void add_ranks(struct berth_str *out, const struct details *d) {
    size_t count = count_at(d, "ranks");
    if (count == 0) return;
    berth_str_add(
        out, "<div class=\"scroll\"><table class=\"zebra\"><tr><th>the positive is among the nearest</th>");
    for (size_t i = 0; i < count; i++)
        berth_str_addf(out, "<th class=\"n\">%.0f</th>", number_at(d, "ranks[%zu].at", i));
    berth_str_add(out, "</tr><tr><td>share of rows, %</td>");
    for (size_t i = 0; i < count; i++)
        html_number_cell(out, 100 * number_at(d, "ranks[%zu].share", i), "%.2f");
    berth_str_add(out, "</tr></table></div>\n");
}

/* ---- a task, a run */

static void add_task(struct berth_str *out, const struct details *d) {
    const double unknown = number_at(d, "unknown"), threshold = number_at(d, "threshold");
    size_t matrix = count_at(d, "confusion");
    if (matrix > 0 && matrix <= MOST_MATRIX) add_matrix(out, d, matrix);
    add_counts(out, d, "classes", "label", "class");
    add_counts(out, d, "entities", "type", "entity type");
    if (unknown > 0)
        berth_str_addf(out, "<p>%.0f rows carry a label that training never saw; they count as wrong.</p>\n",
                       unknown);
    if (!isnan(threshold))
        berth_str_addf(out, "<p>A label is answered from a probability of %.2f on.</p>\n", threshold);
    if (matrix == 0 || matrix > 8) add_mistakes(out, d);
    add_spreads(out, d);
    add_ranks(out, d);
}

void tables_details(struct berth_str *out, const struct report_run *run, bool with_name) {
    static const char *const splits[] = {"dev, best step", "test"};
    for (int split = 0; split < 2; split++) {
        const struct berth_json *j = run->details[split];
        for (size_t i = 0; j != NULL && i < berth_json_count(j, "details"); i++) {
            const struct details d = {.json = j, .task = berth_json_key(j, "details", i)};
            char test[PATH_SIZE]; /* dev is folded away where test tells of the same task */
            snprintf(test, sizeof test, "details.%s", d.task);
            const bool folded = split == 0 && run->details[1] != NULL && berth_json_has(run->details[1], test);
            berth_str_addf(out, "<details%s><summary>", folded ? "" : " open=\"\"");
            if (with_name) html_addf(out, "%s: ", run->name);
            html_addf(out, "%s, %s", d.task, splits[split]);
            berth_str_add(out, "</summary>\n");
            add_task(out, &d);
            berth_str_add(out, "</details>\n");
        }
    }
}
