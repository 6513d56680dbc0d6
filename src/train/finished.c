/* finished.c: RUN/finished.json, written whole as the very last act of a run: its presence means the run is
 * over.
 *
 *   {"step":1227,"best_step":818,"best_score":0.98,"dev":[{"task":"intent","metric":"accuracy","value":0.99},...],
 *    "test":[...],"inputs":[...]}    inputs.c: a run of other data is not this one */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "berth/file.h"
#include "berth/json.h"
#include "train/train_priv.h"

static void add_number(struct berth_str *out, double value) {
    if (isfinite(value))
        berth_str_addf(out, "%.17g", value);
    else
        berth_str_add(out, "null");
}

void scores_add_json(struct berth_str *out, const struct berth_scores *s) {
    berth_str_add(out, "[");
    for (size_t i = 0; i < s->count; i++) {
        berth_str_addf(out, "%s{\"task\":", i > 0 ? "," : "");
        berth_str_add_json(out, s->list[i].task);
        berth_str_add(out, ",\"metric\":");
        berth_str_add_json(out, s->list[i].metric);
        berth_str_add(out, ",\"value\":");
        add_number(out, s->list[i].value);
        berth_str_add(out, "}");
    }
    berth_str_add(out, "]");
}

/* The text that lives as long as the data; NULL: no such task. */
static const char *task_name(const struct berth_data *data, const char *name) {
    if (strcmp(name, "mean") == 0) return "mean";
    for (size_t i = 0; i < berth_data_task_count(data); i++) {
        if (strcmp(berth_data_task(data, i)->name, name) == 0) return berth_data_task(data, i)->name;
    }
    for (size_t i = 0; i < berth_data_source_count(data); i++) { /* frame accuracy is a source's */
        if (strcmp(berth_data_source(data, i)->name, name) == 0) return berth_data_source(data, i)->name;
    }
    return NULL;
}

berth_status scores_read_json(struct berth_scores *out, const struct berth_json *j, const char *path,
                              enum berth_split split, const struct berth_data *data) {
    out->count = 0;
    for (size_t i = 0; i < berth_json_count(j, path); i++) {
        char at[64];
        const char *task = NULL, *metric = NULL;
        double value = (double)NAN;
        snprintf(at, sizeof at, "%s[%zu].task", path, i);
        BERTH_TRY(berth_json_string(&task, j, at));
        snprintf(at, sizeof at, "%s[%zu].metric", path, i);
        BERTH_TRY(berth_json_string(&metric, j, at));
        snprintf(at, sizeof at, "%s[%zu].value", path, i);
        BERTH_TRY(berth_json_number_or(&value, j, at, (double)NAN));
        const char *known = task_name(data, task);
        if (known == NULL || scores_metric_name(metric) == NULL)
            BERTH_FAIL(BERTH_E_FORMAT, "%s[%zu]: '%s' of '%s' is not known", path, i, metric, task);
        BERTH_TRY(scores_add(out, known, split, metric, value));
    }
    return BERTH_OK;
}

berth_status finished_write(const struct berth_trainer *t) {
    berth_status status = BERTH_OK;
    char *text = NULL;
    struct berth_str s;
    berth_str_init(&s);
    berth_str_addf(&s, "{\"step\":%lld,\"best_step\":%lld,\"best_score\":", (long long)t->state.step,
                   (long long)t->state.best_step);
    add_number(&s, t->state.best_score);
    berth_str_add(&s, ",\"dev\":");
    scores_add_json(&s, &t->dev_scores);
    berth_str_add(&s, ",\"test\":");
    scores_add_json(&s, &t->test_scores);
    berth_str_add(&s, ",\"inputs\":");
    BERTH_TRY_OUT(inputs_add_json(&s, t));
    berth_str_add(&s, "}\n");
    BERTH_TRY_OUT(berth_str_take(&s, &text));
    BERTH_TRY_OUT(berth_file_put(t->folder.finished, text, strlen(text)));
out:
    berth_str_deinit(&s);
    free(text);
    return status;
}

berth_status finished_read(struct berth_trainer *t) {
    berth_status status = BERTH_OK;
    struct berth_json *j = NULL;
    if (!berth_file_exists(t->folder.finished)) return BERTH_OK;
    BERTH_TRY(berth_json_load(&j, t->folder.finished));
    status = inputs_check(t, j, t->folder.finished);
    if (status != BERTH_OK) { /* it names the file */
        berth_json_free(j);
        return status;
    }
    BERTH_TRY_OUT(berth_json_int(&t->state.step, j, "step", 0, INT64_MAX));
    BERTH_TRY_OUT(berth_json_int(&t->state.best_step, j, "best_step", -1, INT64_MAX));
    BERTH_TRY_OUT(scores_read_json(&t->dev_scores, j, "dev", BERTH_DEV, t->data));
    BERTH_TRY_OUT(scores_read_json(&t->test_scores, j, "test", BERTH_TEST, t->data));
    t->finished = true;
out:
    berth_json_free(j);
    if (status != BERTH_OK) return berth_error_context(status, "%s", t->folder.finished);
    return BERTH_OK;
}
