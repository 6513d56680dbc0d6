/* evaluate.c: scores of every task on one split: the pass over the rows, and the list of scores. What a kind of
 * task counts stands in its eval_*.c.
 *
 *   a sentence         without a label: left out; with a label that training never saw: a row that is wrong
 *   a loss             the mean over the items that carry a known label
 *   frame_accuracy     of a source that several tasks read: the rows where all of them are right, of those that
 * all are labelled for (intent and slots together: the sentence accuracy of that field) the mean           over
 * the tasks' own metrics, without those on no common scale (perplexity, squared error)
 *
 * Nothing is drawn at random. */
#include "train/evaluate_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct eval_kind *const KINDS[] = {
    &eval_classification, &eval_tagging,     &eval_multilabel, &eval_regression,
    &eval_similarity,     &eval_contrastive, &eval_mlm,
};

static const struct eval_kind *kind_find(enum berth_task_kind kind) {
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        if (KINDS[i]->kind == kind) return KINDS[i];
    }
    BERTH_ASSERT_MSG(false, "no evaluation of task kind %d", (int)kind);
    return NULL;
}

const char *berth_metric_of(enum berth_task_kind kind, const char *own, const char **list) {
    const char *names = kind_find(kind)->metrics;
    const size_t wanted = own == NULL ? strcspn(names, "|") : strlen(own);
    const char *name = own == NULL ? names : own;
    *list = names;
    for (const char *p = names; *p != '\0'; p += strspn(p, "|")) {
        const size_t n = strcspn(p, "|");
        char text[32];
        if (n == wanted && strncmp(p, name, n) == 0) {
            snprintf(text, sizeof text, "%.*s", (int)n, p);
            return scores_metric_name(text);
        }
        p += n;
    }
    return NULL;
}

/* ---- scores */

void berth_scores_init(struct berth_scores *s) {
    memset(s, 0, sizeof *s);
}

void berth_scores_deinit(struct berth_scores *s) {
    free(s->list);
    free(s->details);
    memset(s, 0, sizeof *s);
}

double berth_scores_find(const struct berth_scores *s, const char *task, const char *metric) {
    for (size_t i = 0; i < s->count; i++) {
        if (strcmp(s->list[i].task, task) == 0 && strcmp(s->list[i].metric, metric) == 0)
            return s->list[i].value;
    }
    return (double)NAN;
}

const char *scores_metric_name(const char *name) {
    const struct metric *metric = metric_find(name);
    return metric != NULL ? metric->name : NULL;
}

bool scores_lower_is_better(const char *metric) {
    const struct metric *m = metric_find(metric);
    return m != NULL && m->scale == METRIC_LOW;
}

berth_status scores_add(struct berth_scores *s, const char *task, enum berth_split split, const char *metric,
                        double value) {
    BERTH_TRY(berth_grow(&s->list, &s->capacity, s->count + 1, sizeof *s->list));
    const char *known = scores_metric_name(metric);
    BERTH_ASSERT_MSG(known != NULL, "metric '%s'", metric);
    s->list[s->count++] =
        (struct berth_score){.task = task, .split = berth_split_name(split), .metric = known, .value = value};
    return BERTH_OK;
}

void eval_put(struct eval_task *t, const char *metric, double value) {
    BERTH_ASSERT_MSG(t->value_count < EVAL_VALUES, "more than %d scores of a task", EVAL_VALUES);
    t->values[t->value_count].name = metric;
    t->values[t->value_count++].value = value;
}

/* ---- the pass */

struct evaluator {
    struct berth_model *model;
    struct berth_tape *tape;
    const struct berth_data *data;
    enum berth_split split;
    struct eval_task *tasks;      /* [tasks] */
    double *frames;               /* [sources] frame accuracy; NaN: none */
    struct berth_tensor **logits; /* [tasks] */
    float *numbers;               /* host copy of outputs or losses */
    size_t number_capacity;
    bool ran; /* a pass of this evaluation: the values stay the same */
};

static berth_status fetch(struct evaluator *e, const struct berth_tensor *t, size_t count) {
    BERTH_TRY(berth_grow(&e->numbers, &e->number_capacity, count, sizeof *e->numbers));
    BERTH_TRY(berth_device_download(e->model->device, e->numbers, t->data, count * sizeof *e->numbers));
    return berth_device_synchronize(e->model->device);
}

/* Adds the item losses; e->numbers is overwritten. */
static berth_status add_loss(struct evaluator *e, struct eval_task *t, const struct berth_batch *b) {
    struct berth_tensor *losses = NULL;
    const struct berth_items *items = &b->items[t->head];
    BERTH_TRY(berth_model_head_loss(e->model, e->tape, t->head, e->logits[t->head], b, &losses));
    BERTH_TRY(fetch(e, losses, (size_t)items->count));
    for (int64_t i = 0; i < items->count; i++) {
        t->loss += (double)e->numbers[i]; /* 0 where it is masked */
        t->loss_items += items->label[i] >= 0;
    }
    return BERTH_OK;
}

static berth_status run_batch(struct evaluator *e, const struct berth_batch *b) {
    const struct berth_forward_options options = {.training = false, .same_values = e->ran};
    e->ran = true;
    berth_tape_reset(e->tape, false);
    BERTH_TRY(berth_model_forward(e->model, e->tape, b, &options, e->logits));
    for (size_t i = 0; i < berth_data_task_count(e->data); i++) {
        struct eval_task *t = &e->tasks[i];
        if (e->logits[i] == NULL || b->items[i].count == 0 || t->kind == NULL) continue;
        BERTH_TRY(fetch(e, e->logits[i], (size_t)(e->logits[i]->shape[0] * e->logits[i]->shape[1])));
        BERTH_TRY(t->kind->add(t, b, e->numbers));
        BERTH_TRY(add_loss(e, t, b));
    }
    return BERTH_OK;
}

/* Text rows of a set: packed ones, or with windows one for all windows of a text. */
static int64_t text_rows(const struct berth_dataset *set) {
    int64_t rows = set->origin == NULL ? set->rows : 0;
    for (int64_t r = 0; set->origin != NULL && r < set->rows; r++)
        if (set->origin[r] >= rows) rows = set->origin[r] + 1;
    return rows;
}

static berth_status begin_task(struct evaluator *e, size_t task, const char *metric, bool tune) {
    struct eval_task *t = &e->tasks[task];
    bool any = false;
    t->model = e->model;
    t->head = (int)task;
    t->metric = metric;
    t->tune = tune;
    t->scheme = berth_data_task(e->data, task)->scheme;
    t->source_count = berth_data_source_count(e->data);
    berth_answers_init(&t->answers);
    berth_str_init(&t->details);
    BERTH_TRY(berth_calloc(&t->sources, t->source_count, sizeof *t->sources));
    for (size_t s = 0; s < t->source_count; s++) {
        const struct berth_source *source = berth_data_source(e->data, s);
        if (!berth_data_task_reads(e->data, task, s) || !source->has[e->split]) continue;
        t->sources[s] = (struct eval_source){
            .set = &source->split[e->split], .row_base = t->row_count, .word_base = t->word_count};
        t->row_count += text_rows(t->sources[s].set);
        t->word_count += t->sources[s].set->word_count;
        any = true;
    }
    if (!any) return BERTH_OK;
    t->kind = kind_find(berth_data_task(e->data, task)->kind);
    if (t->kind->has_verdict) BERTH_TRY(berth_calloc(&t->verdict, (size_t)t->row_count, sizeof *t->verdict));
    return t->kind->begin(t);
}

static void end_task(struct eval_task *t) {
    berth_answers_deinit(&t->answers);
    berth_str_deinit(&t->details);
    free(t->sources);
    free(t->verdict);
    free(t->outputs);
    free(t->parts);
    free(t->label);
    free(t->target);
    free(t->words);
}

static berth_status finish_task(struct eval_task *t) {
    BERTH_TRY(t->kind->finish(t));
    if (t->details.failed)
        BERTH_FAIL(BERTH_E_MEMORY, "out of memory: what stands behind the scores of task '%s'",
                   t->model->heads[t->head].task.name);
    eval_put(t, "loss", t->loss_items > 0 ? t->loss / (double)t->loss_items : (double)NAN);
    eval_put(t, "rows", (double)t->rows);
    return BERTH_OK;
}

static double frame_accuracy(const struct evaluator *e, size_t source) {
    int64_t all = 0, right = 0, rows = 0;
    for (size_t i = 0; i < berth_data_task_count(e->data); i++)
        if (e->tasks[i].kind != NULL && e->tasks[i].sources[source].set != NULL)
            rows = text_rows(e->tasks[i].sources[source].set);
    for (int64_t row = 0; row < rows; row++) {
        int judged = 0;
        bool complete = true, good = true;
        for (size_t i = 0; i < berth_data_task_count(e->data); i++) {
            const struct eval_task *t = &e->tasks[i];
            if (t->verdict == NULL || t->sources[source].set == NULL) continue;
            const uint8_t verdict = t->verdict[t->sources[source].row_base + row];
            judged++;
            complete = complete && verdict != VERDICT_NONE;
            good = good && verdict == VERDICT_RIGHT;
        }
        if (judged < 2) return (double)NAN;
        all += complete;
        right += complete && good;
    }
    return all > 0 ? (double)right / (double)all : (double)NAN;
}

static berth_status run_source(struct evaluator *e, size_t source, int64_t batch_size) {
    berth_status status = BERTH_OK;
    struct berth_scan *scan = NULL;
    const struct berth_batch *batch = NULL;
    BERTH_TRY_OUT(berth_scan_create(&scan, e->data, source, e->split, batch_size));
    for (;;) {
        BERTH_TRY_OUT(berth_scan_next(scan, &batch));
        if (batch == NULL) break;
        BERTH_TRY_OUT(run_batch(e, batch));
    }
out:
    berth_scan_free(scan);
    return status;
}

/* ---- the report */

/* A task's scores, its own metric first; *own is that one. */
static berth_status report_task(struct berth_scores *out, const struct evaluator *e, size_t task, double *own) {
    const struct eval_task *t = &e->tasks[task];
    const char *name = berth_data_task(e->data, task)->name;
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < t->value_count; i++) {
            const bool is_own = strcmp(t->values[i].name, t->metric) == 0;
            if (is_own != (pass == 0)) continue;
            if (is_own) *own = t->values[i].value;
            BERTH_TRY(scores_add(out, name, e->split, t->values[i].name, t->values[i].value));
        }
    }
    return BERTH_OK;
}

static berth_status report_frame(struct berth_scores *out, const struct evaluator *e, size_t source) {
    if (isnan(e->frames[source])) return BERTH_OK;
    return scores_add(out, berth_data_source(e->data, source)->name, e->split, "frame_accuracy",
                      e->frames[source]);
}

/* A source that is named as a task stands with it: the scores of a name lie together. */
static berth_status report(struct berth_scores *out, const struct evaluator *e) {
    const size_t sources = berth_data_source_count(e->data);
    double sum = 0;
    size_t tasks = 0;
    for (size_t i = 0; i < berth_data_task_count(e->data); i++) {
        double own = (double)NAN;
        if (e->tasks[i].kind == NULL) continue;
        BERTH_TRY(report_task(out, e, i, &own));
        for (size_t s = 0; s < sources; s++)
            if (strcmp(berth_data_source(e->data, s)->name, berth_data_task(e->data, i)->name) == 0)
                BERTH_TRY(report_frame(out, e, s));
        if (isnan(own) || metric_find(e->tasks[i].metric)->scale != METRIC_SHARE) continue;
        sum += own;
        tasks++;
    }
    for (size_t s = 0; s < sources; s++) {
        bool told = false;
        for (size_t i = 0; i < berth_data_task_count(e->data); i++)
            told |= e->tasks[i].kind != NULL &&
                    strcmp(berth_data_source(e->data, s)->name, berth_data_task(e->data, i)->name) == 0;
        if (!told) BERTH_TRY(report_frame(out, e, s));
    }
    return tasks > 0 ? scores_add(out, "mean", e->split, "metric", sum / (double)tasks) : BERTH_OK;
}

static bool is_wanted(const struct evaluator *e, size_t source) {
    for (size_t i = 0; i < berth_data_task_count(e->data); i++)
        if (e->tasks[i].kind != NULL && e->tasks[i].sources[source].set != NULL) return true;
    return false;
}

/* {"intent": {...}, "slots": {...}}: what the kinds told. */
static berth_status gather_details(struct berth_scores *out, const struct evaluator *e) {
    struct berth_str s;
    bool first = true;
    berth_str_init(&s);
    berth_str_add(&s, "{");
    for (size_t i = 0; i < berth_data_task_count(e->data); i++) {
        const struct berth_str *details = &e->tasks[i].details;
        if (e->tasks[i].kind == NULL || details->length == 0) continue;
        berth_str_add(&s, first ? "" : ", ");
        first = false;
        berth_str_add_json(&s, berth_data_task(e->data, i)->name);
        berth_str_add(&s, ": ");
        berth_str_add(&s, details->data);
        s.failed = s.failed || details->failed;
    }
    berth_str_add(&s, "}");
    free(out->details);
    out->details = NULL;
    return berth_str_take(&s, &out->details);
}

berth_status berth_evaluate(struct berth_scores *out, struct berth_model *model, struct berth_tape *tape,
                            const struct berth_data *data, enum berth_split split,
                            const struct berth_evaluate_options *options) {
    berth_status status = BERTH_OK;
    const size_t tasks = berth_data_task_count(data), sources = berth_data_source_count(data);
    struct evaluator e = {.model = model, .tape = tape, .data = data, .split = split};
    BERTH_ASSERT_EQ(tasks, model->head_count);
    out->count = 0;
    BERTH_TRY_OUT(berth_calloc(&e.tasks, tasks, sizeof *e.tasks));
    BERTH_TRY_OUT(berth_calloc(&e.logits, tasks, sizeof *e.logits));
    BERTH_TRY_OUT(berth_calloc(&e.frames, sources, sizeof *e.frames));
    for (size_t i = 0; i < tasks; i++)
        BERTH_TRY_OUT(begin_task(&e, i, options->metric_of[i], options->tune));
    for (size_t s = 0; s < sources; s++)
        if (is_wanted(&e, s)) BERTH_TRY_OUT(run_source(&e, s, options->batch_size));
    for (size_t i = 0; i < tasks; i++)
        if (e.tasks[i].kind != NULL) BERTH_TRY_OUT(finish_task(&e.tasks[i]));
    for (size_t s = 0; s < sources; s++)
        e.frames[s] = frame_accuracy(&e, s);
    BERTH_TRY_OUT(report(out, &e));
    BERTH_TRY_OUT(gather_details(out, &e));
out:
    for (size_t i = 0; e.tasks != NULL && i < tasks; i++)
        end_task(&e.tasks[i]);
    free(e.tasks);
    free(e.logits);
    free(e.frames);
    free(e.numbers);
    return status;
}
