/* report_read.c: what a run folder tells: metrics.jsonl line by line, finished.json, evaluation details, texts.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "berth/file.h"
#include "cli/report_priv.h"

/* ---- series */

static const struct report_series *find(const struct report_run *r, const char *name) {
    for (size_t i = 0; i < r->series_count; i++)
        if (strcmp(r->series[i].name, name) == 0) return &r->series[i];
    return NULL;
}

const struct report_series *report_find(const struct report_run *r, const char *fmt, ...) {
    char name[256];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(name, sizeof name, fmt, args);
    va_end(args);
    return n < 0 ? NULL : find(r, name);
}

static berth_status add_point(struct report_run *r, double x, double y, const char *fmt, ...) {
    char name[256];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(name, sizeof name, fmt, args);
    va_end(args);
    if (n < 0 || !isfinite(y)) return BERTH_OK;
    struct report_series *s = (struct report_series *)(uintptr_t)find(r, name);
    if (s == NULL) {
        BERTH_TRY(berth_grow(&r->series, &r->series_capacity, r->series_count + 1, sizeof *r->series));
        s = &r->series[r->series_count];
        memset(s, 0, sizeof *s);
        BERTH_TRY(berth_strdup(&s->name, name));
        r->series_count++;
    }
    BERTH_TRY(berth_grow(&s->x, &s->x_capacity, s->count + 1, sizeof *s->x));
    BERTH_TRY(berth_grow(&s->y, &s->y_capacity, s->count + 1, sizeof *s->y));
    s->x[s->count] = x;
    s->y[s->count++] = y;
    return BERTH_OK;
}

/* Remembers a task in the order in which the file names it; *out is its index. */
static berth_status note_task(struct report_run *r, const char *task, size_t *out) {
    for (*out = 0; *out < r->task_count; (*out)++)
        if (strcmp(r->tasks[*out], task) == 0) return BERTH_OK;
    BERTH_TRY(berth_grow(&r->tasks, &r->task_capacity, r->task_count + 1, sizeof *r->tasks));
    BERTH_TRY(berth_grow(&r->own_metric, &r->metric_capacity, r->task_count + 1, sizeof *r->own_metric));
    r->own_metric[r->task_count] = NULL;
    BERTH_TRY(berth_strdup(&r->tasks[r->task_count], task));
    r->task_count++;
    return BERTH_OK;
}

/* ---- lines of metrics.jsonl */

/* Every number of {"intent": {"loss": 0.3, ...}, ...} at `at`, as PREFIX/intent/loss. */
static berth_status read_tasks(struct report_run *r, const struct berth_json *j, const char *at,
                               const char *prefix, double step) {
    for (size_t i = 0; i < berth_json_count(j, at); i++) {
        const char *task = berth_json_key(j, at, i);
        char path[200];
        size_t index = 0;
        bool own = strcmp(task, "mean") != 0;
        snprintf(path, sizeof path, "%s.%s", at, task);
        if (own) BERTH_TRY(note_task(r, task, &index));
        for (size_t k = 0; k < berth_json_count(j, path); k++) {
            const char *key = berth_json_key(j, path, k);
            char full[300];
            double value = (double)NAN;
            snprintf(full, sizeof full, "%s.%s", path, key);
            BERTH_TRY(berth_json_number_or(&value, j, full, (double)NAN));
            if (own && k == 0 && strcmp(prefix, "train") != 0 && r->own_metric[index] == NULL)
                BERTH_TRY(berth_strdup(&r->own_metric[index], key));
            BERTH_TRY(add_point(r, step, value, "%s/%s/%s", prefix, task, key));
        }
    }
    return BERTH_OK;
}

static berth_status read_step(struct report_run *r, const struct berth_json *j, double step) {
    static const char *const keys[] = {"loss", "lr", "grad_norm", "epoch", "tokens_per_second", "utilisation"};
    double tokens = 0, rate = (double)NAN;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        double value = (double)NAN;
        BERTH_TRY(berth_json_number_or(&value, j, keys[i], (double)NAN));
        BERTH_TRY(add_point(r, step, value, "train/%s", keys[i]));
    }
    BERTH_TRY(berth_json_number_or(&tokens, j, "tokens", 0));
    BERTH_TRY(berth_json_number_or(&rate, j, "tokens_per_second", (double)NAN));
    r->last_step = step;
    r->total_tokens += tokens;
    if (rate > 0) r->seconds += tokens / rate;
    return read_tasks(r, j, "tasks", "train", step);
}

static berth_status read_line(struct report_run *r, const char *file, const char *line, size_t size) {
    berth_status status = BERTH_OK;
    struct berth_json *j = NULL;
    const char *type = NULL, *split = NULL;
    double step = 0;
    bool best = false;
    BERTH_TRY(berth_json_parse(&j, file, line, size));
    BERTH_TRY_OUT(berth_json_string_or(&type, j, "type", ""));
    BERTH_TRY_OUT(berth_json_number(&step, j, "step"));
    if (strcmp(type, "step") == 0) {
        BERTH_TRY_OUT(read_step(r, j, step));
    } else if (strcmp(type, "eval") == 0) {
        BERTH_TRY_OUT(berth_json_string(&split, j, "split"));
        BERTH_TRY_OUT(berth_json_bool_or(&best, j, "best", false));
        if (best) r->best_step = step;
        BERTH_TRY_OUT(read_tasks(r, j, "scores", split, step));
    }
out:
    berth_json_free(j);
    return status;
}

/* The last line may be cut off where the run goes on or was killed. */
static berth_status read_metrics(struct report_run *r, const char *path) {
    berth_status status = BERTH_OK;
    char *text = NULL;
    BERTH_TRY_CTX(berth_file_read(&text, NULL, path), "report");
    int64_t number = 1;
    for (char *line = text; *line != '\0'; number++) {
        size_t n = strcspn(line, "\n");
        if (line[n] == '\0') break;
        line[n] = '\0';
        status = read_line(r, path, line, n);
        if (status != BERTH_OK) {
            status = berth_error_context(status, "line %lld", (long long)number);
            break;
        }
        line += n + 1;
    }
    free(text);
    return status;
}

/* ---- the folder */

static berth_status read_text(char **out, const char *folder, const char *name) {
    char *path = NULL;
    BERTH_TRY(berth_path_join(&path, folder, name));
    berth_status status = berth_file_exists(path) ? berth_file_read(out, NULL, path) : berth_strdup(out, "");
    free(path);
    return status;
}

static berth_status read_json(struct berth_json **out, const char *folder, const char *name) {
    char *path = NULL;
    BERTH_TRY(berth_path_join(&path, folder, name));
    berth_status status = berth_file_exists(path) ? berth_json_load(out, path) : BERTH_OK;
    free(path);
    return status;
}

/* "runs/a/" -> "a" */
static berth_status last_name(char **out, const char *path) {
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    return berth_strndup(out, path + begin, end - begin);
}

berth_status report_read(struct report_run *r, const char *path) {
    berth_status status = BERTH_OK;
    char *metrics = NULL;
    memset(r, 0, sizeof *r);
    r->best_step = r->last_step = (double)NAN;
    BERTH_TRY_OUT(berth_strdup(&r->path, path));
    BERTH_TRY_OUT(last_name(&r->name, path));
    BERTH_TRY_OUT(berth_path_join(&metrics, path, "metrics.jsonl"));
    if (!berth_is_folder(path)) BERTH_FAIL_OUT(BERTH_E_IO, "%s: no such folder; expected a run folder", path);
    if (!berth_file_exists(metrics))
        BERTH_FAIL_OUT(BERTH_E_IO, "%s: not a run folder with something to report: it has no metrics.jsonl",
                       path);
    BERTH_TRY_OUT(read_metrics(r, metrics));
    BERTH_TRY_OUT(read_text(&r->config, path, "config.yaml"));
    BERTH_TRY_OUT(read_text(&r->plan, path, "plan.txt"));
    BERTH_TRY_OUT(read_text(&r->log, path, "log.txt"));
    BERTH_TRY_OUT(read_json(&r->finished, path, "finished.json"));
    BERTH_TRY_OUT(read_json(&r->details[0], path, "evaluation-dev.json"));
    BERTH_TRY_OUT(read_json(&r->details[1], path, "evaluation-test.json"));
out:
    free(metrics);
    if (status != BERTH_OK) report_run_deinit(r);
    return status;
}

void report_run_deinit(struct report_run *r) {
    for (size_t i = 0; i < r->series_count; i++) {
        free(r->series[i].name);
        free(r->series[i].x);
        free(r->series[i].y);
    }
    for (size_t i = 0; i < r->task_count; i++) {
        free(r->tasks[i]);
        free(r->own_metric[i]);
    }
    free(r->series);
    free(r->tasks);
    free(r->own_metric);
    free(r->path);
    free(r->name);
    free(r->config);
    free(r->plan);
    free(r->log);
    berth_json_free(r->finished);
    berth_json_free(r->details[0]);
    berth_json_free(r->details[1]);
    memset(r, 0, sizeof *r);
}
