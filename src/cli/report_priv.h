/* report_priv.h: the parts of `berth report`: one self-contained HTML page out of run folders.
 *
 *     report_read.c     RUN -> struct report_run: series of numbers, last scores, texts
 *     report_chart.c    series -> one line chart (inline SVG)
 *     report_tables.c   runs, scores, timing, what was frozen
 *     report_details.c  classes, confusion matrices, entities, residuals
 *     report_page.c     head, style, the order of the sections
 *
 * Everything that comes from a run (names of tasks and labels, paths, texts) goes through html_add. The page
 * loads nothing: no script, no font, no picture of elsewhere. */
#ifndef BERTH_REPORT_PRIV_H
#define BERTH_REPORT_PRIV_H

#include "berth/json.h"
#include "cli/cli_priv.h"

struct report_series {
    char *name; /* "train/loss", "train/TASK/loss", "train/TASK/weight", "train/lr", ..., "dev/TASK/METRIC" */
    double *x, *y;
    size_t count, x_capacity, y_capacity;
};

struct report_run {
    char *path, *name; /* as given; its last folder */
    struct report_series *series;
    size_t series_count, series_capacity;
    char *config, *plan, *log;                 /* texts; "" when not there */
    struct berth_json *finished;               /* NULL: not over */
    struct berth_json *details[2];             /* of dev and test evaluation; NULL: none */
    double best_step, last_step, total_tokens; /* NaN: none */
    double seconds;                            /* spent in steps */
    char **tasks;                              /* [task_count] in the order of the metrics */
    char **own_metric;                         /* [task_count] each task's own metric; NULL: never evaluated */
    size_t task_count, task_capacity, metric_capacity;
};

berth_status report_read(struct report_run *out, const char *path) BERTH_CHECKED;
void report_run_deinit(struct report_run *r);
const struct report_series *report_find(const struct report_run *r, const char *fmt, ...) BERTH_PRINTF(2, 3);

/* Text with <, >, &, quotes escaped and bad UTF-8 and control characters replaced. */
void html_add(struct berth_str *out, const char *text);
/* A cell of a table: text, or a number (NaN: a dash). */
void html_cell(struct berth_str *out, const char *tag, const char *text);
void html_number_cell(struct berth_str *out, double value, const char *format);
void html_addf(struct berth_str *out, const char *fmt, ...) BERTH_PRINTF(2, 3);

/* ---- charts */
struct report_line {
    const struct report_series *series; /* NULL: left out */
    const char *label;
    int colour; /* 0..7 */
    bool dashed, dots;
};
/* A figure with title and legend; nothing where no line has a point. log_y: decades, where all numbers are
 * positive. */
void chart_add(struct berth_str *out, const char *title, const struct report_line *lines, size_t count,
               bool log_y);

/* ---- tables */
void tables_summary(struct berth_str *out, const struct report_run *runs, size_t count);
void tables_scores(struct berth_str *out, const struct report_run *runs, size_t count);
void tables_details(struct berth_str *out, const struct report_run *run, bool with_name);
void tables_frozen(struct berth_str *out, const struct report_run *run, bool with_name);

berth_status report_page(struct berth_str *out, const struct report_run *runs, size_t count) BERTH_CHECKED;

#endif /* BERTH_REPORT_PRIV_H */
