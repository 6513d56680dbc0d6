/* report_page.c: the page: head, style, and the order of what it shows. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "berth/text.h"
#include "cli/report_priv.h"

void html_add(struct berth_str *out, const char *text) {
    size_t size = strlen(text);
    for (size_t at = 0; at < size;) {
        size_t length = 1;
        bool valid = false;
        unsigned char c = (unsigned char)text[at];
        berth_utf8_decode(text + at, size - at, &length, &valid);
        if (!valid || (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
            berth_str_add(out, "\xEF\xBF\xBD");
        else if (c == '<')
            berth_str_add(out, "&lt;");
        else if (c == '>')
            berth_str_add(out, "&gt;");
        else if (c == '&')
            berth_str_add(out, "&amp;");
        else if (c == '"')
            berth_str_add(out, "&quot;");
        else if (c == '\'')
            berth_str_add(out, "&#39;");
        else
            berth_str_addn(out, text + at, length);
        at += length;
    }
}

void html_addf(struct berth_str *out, const char *fmt, ...) {
    char text[1024];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (n >= 0) html_add(out, text);
}

static const char STYLE[] =
    ":root{--paper:#fff;--ink:#1c2126;--soft:#5c6670;--line:#d9dee3;--panel:#f6f8fa;--good:30 125 75;--bad:190 "
    "60 50;"
    "--c0:#2563a8;--c1:#c2571a;--c2:#2e8b57;--c3:#8a4fb0;--c4:#b8860b;--c5:#0f8f9e;--c6:#c0397b;--c7:#6b6f76}"
    "@media(prefers-color-scheme:dark){:root{--paper:#14181c;--ink:#e4e8ec;--soft:#98a3ad;--line:#303840;--"
    "panel:#1b2126;"
    "--good:70 175 120;--bad:225 105 95;"
    "--c0:#6aa9ee;--c1:#ee9358;--c2:#62c08c;--c3:#bd8be0;--c4:#ddb84f;--c5:#52c3d1;--c6:#ec7fb1;--c7:#a3a8af}}"
    "*{box-sizing:border-box}"
    "body{margin:0 auto;max-width:1400px;padding:1.2rem 1.4rem 4rem;background:var(--paper);color:var(--ink);"
    "font:15px/1.45 system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif}"
    "h1{font-size:1.6rem;margin:.2rem 0 .1rem}h2{font-size:1.15rem;margin:2.2rem 0 .6rem;padding-bottom:.25rem;"
    "border-bottom:1px solid var(--line)}h3{font-size:1rem;margin:1.2rem 0 .4rem}"
    ".sub{color:var(--soft);margin:0 0 1rem}"
    ".charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,420px),1fr));gap:1rem}"
    "figure{margin:0;padding:.7rem .8rem .4rem;background:var(--panel);border:1px solid "
    "var(--line);border-radius:8px}"
    "figcaption{font-weight:600}small{color:var(--soft);font-weight:400}"
    "svg{display:block;width:100%;height:auto;overflow:visible}"
    "svg text{font-size:12px;fill:var(--soft);font-variant-numeric:tabular-nums}"
    ".grid{stroke:var(--line);stroke-width:1}.axis{stroke:var(--soft);stroke-width:1}"
    "polyline{fill:none;stroke-width:2;stroke-linejoin:round}polyline.dashed{stroke-dasharray:5 4}"
    "circle{stroke:var(--panel);stroke-width:1}"
    ".legend{list-style:none;display:flex;flex-wrap:wrap;gap:.1rem .9rem;margin:.15rem 0 .3rem;padding:0;"
    "font-size:.85rem;color:var(--soft)}"
    ".legend i{display:inline-block;width:1.1rem;border-top:3px "
    "solid;margin-right:.35rem;vertical-align:middle}"
    ".legend i.dashed{border-top-style:dashed}"
    "i.key{display:inline-block;width:.7rem;height:.7rem;border-radius:3px;margin-right:.4rem;background:"
    "currentColor}"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}"
    "th,td{padding:.28rem .6rem;border-bottom:1px solid var(--line);text-align:left;white-space:nowrap}"
    "th{font-weight:600;color:var(--soft)}td.n,th.n{text-align:right}"
    "tr.sum td{border-top:2px solid var(--line);font-weight:600}.zebra tr:nth-child(odd) "
    "td{background:var(--panel)}"
    "tr.own td{font-weight:600;border-top:2px solid var(--line)}td.again{opacity:.4}"
    "@media(max-width:520px){body{padding:.8rem .7rem 3rem}th,td{padding:.2rem .32rem}table{font-size:.8rem}"
    "th{white-space:normal}}"
    ".scroll{margin:.5rem 0}td.none{color:var(--soft);opacity:.55}"
    ".matrix td{min-width:2.6rem}.matrix td.good{background:rgb(var(--good)/var(--a))}"
    ".matrix td.bad{background:rgb(var(--bad)/var(--a))}"
    ".turned{vertical-align:bottom}.turned "
    "span{writing-mode:vertical-rl;transform:rotate(180deg);max-height:12rem}"
    "pre{background:var(--panel);border:1px solid var(--line);border-radius:8px;padding:.7rem "
    ".9rem;overflow-x:auto;"
    "font:13px/1.4 ui-monospace,'DejaVu Sans Mono',Menlo,monospace;margin:.4rem 0}"
    "details{margin:.5rem 0}summary{cursor:pointer;font-weight:600}"
    "@media print{details>*{display:block}}";

static void add_style(struct berth_str *out) {
    berth_str_add(out, "<style>");
    berth_str_add(out, STYLE);
    for (int i = 0; i < 8; i++)
        berth_str_addf(
            out,
            "polyline.c%d{stroke:var(--c%d)}circle.c%d{fill:var(--c%d)}i.c%d{color:var(--c%d);border-color:"
            "var(--c%d)}",
            i, i, i, i, i, i, i);
    berth_str_add(out, "</style>");
}

static void add_head(struct berth_str *out, const struct report_run *runs, size_t count) {
    berth_str_add(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>"
                       "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"/>"
                       "<meta name=\"color-scheme\" content=\"light dark\"/><title>");
    html_add(out, count == 1 ? runs[0].name : "berth: runs side by side");
    berth_str_add(out, "</title>");
    add_style(out);
    berth_str_add(out, "</head><body><h1>");
    if (count == 1) {
        html_add(out, runs[0].name);
    } else {
        berth_str_addf(out, "%zu runs side by side", count);
    }
    berth_str_add(out, "</h1><p class=\"sub\">");
    for (size_t i = 0; i < count; i++)
        html_addf(out, "%s%s", i > 0 ? " · " : "", runs[i].path);
    berth_str_add(out, "</p>\n");
}

/* One chart with a line a run; of a single run with its tasks' lines where there are several. */
static void add_charts_by_run(struct berth_str *out, const struct report_run *runs, size_t count,
                              const char *title, const char *series, bool dots, bool log_y) {
    struct report_line lines[64];
    size_t n = 0;
    for (size_t i = 0; i < count && n < 64; i++)
        lines[n++] = (struct report_line){.series = report_find(&runs[i], "%s", series),
                                          .label = runs[i].name,
                                          .colour = (int)(i % 8),
                                          .dots = dots};
    chart_add(out, title, lines, n, log_y);
}

static void add_task_charts(struct berth_str *out, const struct report_run *runs, size_t count) {
    for (size_t t = 0; t < runs[0].task_count; t++) {
        const char *task = runs[0].tasks[t], *metric = runs[0].own_metric[t];
        struct report_line lines[64];
        char title[200];
        size_t n = 0;
        for (size_t i = 0; i < count && n + 2 <= 64; i++) {
            int colour = (int)(count == 1 ? t % 8 : i % 8);
            lines[n++] = (struct report_line){.series = report_find(&runs[i], "train/%s/loss", task),
                                              .label = count == 1 ? "training" : runs[i].name,
                                              .colour = colour};
            lines[n++] = (struct report_line){.series = report_find(&runs[i], "dev/%s/loss", task),
                                              .label = count == 1 ? "dev" : "dev",
                                              .colour = colour,
                                              .dashed = true,
                                              .dots = true};
        }
        snprintf(title, sizeof title, "%s: loss", task);
        chart_add(out, title, lines, n, false);
        if (metric == NULL) continue;
        for (n = 0; n < count && n < 64; n++)
            lines[n] = (struct report_line){.series = report_find(&runs[n], "dev/%s/%s", task, metric),
                                            .label = count == 1 ? "dev" : runs[n].name,
                                            .colour = (int)(count == 1 ? t % 8 : n % 8),
                                            .dots = true};
        snprintf(title, sizeof title, "%s: %s", task, metric);
        chart_add(out, title, lines, n, false);
    }
}

/* Weights of the tasks, where they move. */
static void add_weights(struct berth_str *out, const struct report_run *run, bool with_name) {
    struct report_line lines[64];
    char title[200];
    size_t n = 0;
    bool moves = false;
    for (size_t t = 0; t < run->task_count && n < 64; t++) {
        const struct report_series *s = report_find(run, "train/%s/weight", run->tasks[t]);
        for (size_t i = 1; s != NULL && i < s->count; i++)
            moves |= s->y[i] != s->y[0];
        lines[n++] = (struct report_line){.series = s, .label = run->tasks[t], .colour = (int)(t % 8)};
    }
    snprintf(title, sizeof title, "%s%sweights of the losses", with_name ? run->name : "",
             with_name ? ": " : "");
    if (moves) chart_add(out, title, lines, n, false);
}

static void add_text(struct berth_str *out, const char *title, const char *name, const char *text) {
    if (text[0] == '\0') return;
    berth_str_add(out, "<details><summary>");
    html_addf(out, "%s%s%s", title, name[0] != '\0' ? ": " : "", name);
    berth_str_add(out, "</summary><pre>");
    html_add(out, text);
    berth_str_add(out, "</pre></details>\n");
}

berth_status report_page(struct berth_str *out, const struct report_run *runs, size_t count) {
    bool several = count > 1;
    add_head(out, runs, count);
    tables_summary(out, runs, count);
    berth_str_add(out, "<h2>Tasks</h2><div class=\"charts\">\n");
    add_task_charts(out, runs, count);
    add_charts_by_run(out, runs, count, "mean of the tasks' metrics, dev", "dev/mean/metric", true, false);
    berth_str_add(out, "</div>\n<h2>Training</h2><div class=\"charts\">\n");
    add_charts_by_run(out, runs, count, "loss of a step", "train/loss", false, false);
    add_charts_by_run(out, runs, count, "learning rate", "train/lr", false, false);
    add_charts_by_run(out, runs, count, "gradient norm", "train/grad_norm", false, true);
    for (size_t i = 0; i < count; i++)
        add_weights(out, &runs[i], several);
    add_charts_by_run(out, runs, count, "tokens a second", "train/tokens_per_second", false, false);
    add_charts_by_run(out, runs, count, "model FLOP utilisation", "train/utilisation", false, false);
    berth_str_add(out, "</div>\n<h2>Scores</h2>\n");
    tables_scores(out, runs, count);
    bool details = false;
    for (size_t i = 0; i < count; i++) {
        if (!details && (runs[i].details[0] != NULL || runs[i].details[1] != NULL)) {
            berth_str_add(out, "<h2>Mistakes</h2>\n");
            details = true;
        }
        tables_details(out, &runs[i], several);
    }
    berth_str_add(out, "<h2>Frozen</h2>\n");
    for (size_t i = 0; i < count; i++)
        tables_frozen(out, &runs[i], several);
    berth_str_add(out, "<h2>Plan and configuration</h2>\n");
    for (size_t i = 0; i < count; i++) {
        add_text(out, "plan", several ? runs[i].name : "", runs[i].plan);
        add_text(out, "configuration, versions, device", several ? runs[i].name : "", runs[i].config);
    }
    berth_str_addf(out, "<p class=\"sub\">berth %s</p></body></html>\n", BERTH_VERSION);
    if (out->failed) BERTH_FAIL(BERTH_E_MEMORY, "out of memory while writing the report");
    return BERTH_OK;
}
