/* evaluate.c: scores of every task on one split.
 *
 * What counts:
 *   a sentence    without a label: left out; with a label that training never saw: a row that is wrong
 *   a word        that was cut off (the sentence was longer than max_length): predicted as outside, so it is
 * missed an entity     berth_span_count; a tag that training never saw is of a type of its own, which nothing
 * matches Losses are means over the items that carry a known label. Nothing is drawn at random. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/train_priv.h"

#define UNKNOWN_TAG "I-\x01unknown" /* neighbours join into one entity; no label map can hold this name */

/* ---- scores */

void berth_scores_init(struct berth_scores *s) {
    memset(s, 0, sizeof *s);
}

void berth_scores_deinit(struct berth_scores *s) {
    free(s->list);
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
    static const char *const names[] = {"accuracy",      "span_f1", "span_precision", "span_recall",
                                        "word_accuracy", "loss",    "rows",           "metric"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], name) == 0) return names[i];
    }
    return NULL;
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

/* ---- counting */

struct tally { /* of one task */
    int64_t rows, rows_right;
    int64_t words, words_right;
    struct berth_span_counts spans;
    double loss;
    int64_t loss_items;
};

struct counter {
    struct berth_model *model;
    struct berth_tape *tape;
    const struct berth_data *data;
    enum berth_split split;
    struct tally *tallies;        /* [tasks] */
    struct berth_tensor **logits; /* [tasks] */
    float *numbers;               /* host copy of logits or losses */
    size_t number_capacity;
    int32_t *predicted; /* [T] class at a packed row, -1: no item there */
    size_t predicted_capacity;
    const char **gold, **answer; /* [words of a sentence] */
    size_t gold_capacity, answer_capacity;
};

static berth_status fetch(struct counter *k, const struct berth_tensor *t, size_t count) {
    BERTH_TRY(berth_grow(&k->numbers, &k->number_capacity, count, sizeof *k->numbers));
    return berth_device_download(k->model->device, k->numbers, t->data, count * sizeof *k->numbers);
}

static void count_sentences(struct counter *k, size_t task, const struct berth_batch *b,
                            const struct berth_dataset *set) {
    struct tally *tally = &k->tallies[task];
    const struct berth_items *items = &b->items[task];
    int64_t classes = (int64_t)k->model->heads[task].task.labels.count;
    for (int64_t i = 0; i < items->count; i++) {
        int32_t gold = set->labels[task][b->source_row[items->index[i]]];
        int32_t best = 0;
        if (gold == BERTH_LABEL_MISSING) continue;
        berth_argmax_softmax(k->numbers + i * classes, classes, &best, NULL);
        tally->rows++;
        tally->rows_right += best == gold;
    }
}

/* One sentence's tags into k->gold and k->answer; false when it carries none. */
static bool read_tags(struct counter *k, size_t task, const struct berth_batch *b, int64_t sequence,
                      const struct berth_dataset *set) {
    const struct berth_labels *labels = &k->model->heads[task].task.labels;
    struct tally *tally = &k->tallies[task];
    int64_t row = b->source_row[sequence], first = set->word_offset[row];
    int64_t words = set->word_offset[row + 1] - first;
    bool any = false;
    for (int64_t w = 0; w < words; w++) {
        int32_t gold = set->labels[task][first + w], token = set->word_token[first + w];
        k->gold[w] = k->answer[w] = NULL;
        if (gold == BERTH_LABEL_MISSING) continue;
        int32_t best = token < 0 ? -1 : k->predicted[b->cu_seqlens[sequence] + token];
        k->gold[w] = gold == BERTH_LABEL_UNKNOWN ? UNKNOWN_TAG : labels->names[gold];
        if (best >= 0) k->answer[w] = labels->names[best];
        tally->words++;
        tally->words_right += best >= 0 && best == gold;
        any = true;
    }
    return any;
}

static berth_status count_words(struct counter *k, size_t task, const struct berth_batch *b,
                                const struct berth_dataset *set) {
    struct tally *tally = &k->tallies[task];
    const struct berth_items *items = &b->items[task];
    int64_t classes = (int64_t)k->model->heads[task].task.labels.count;
    BERTH_TRY(berth_grow(&k->predicted, &k->predicted_capacity, (size_t)b->tokens_count, sizeof *k->predicted));
    for (int64_t i = 0; i < b->tokens_count; i++)
        k->predicted[i] = -1;
    for (int64_t i = 0; i < items->count; i++)
        berth_argmax_softmax(k->numbers + i * classes, classes, &k->predicted[items->index[i]], NULL);
    for (int64_t s = 0; s < b->sequence_count; s++) {
        int64_t row = b->source_row[s];
        size_t words = (size_t)(set->word_offset[row + 1] - set->word_offset[row]);
        BERTH_TRY(berth_grow(&k->gold, &k->gold_capacity, words, sizeof *k->gold));
        BERTH_TRY(berth_grow(&k->answer, &k->answer_capacity, words, sizeof *k->answer));
        if (!read_tags(k, task, b, s, set)) continue;
        tally->rows++;
        berth_span_count(&tally->spans, k->gold, k->answer, words);
    }
    return BERTH_OK;
}

/* Adds the item losses; k->numbers is overwritten. */
static berth_status count_loss(struct counter *k, size_t task, const struct berth_batch *b) {
    struct berth_tensor *losses = NULL;
    const struct berth_items *items = &b->items[task];
    BERTH_TRY(berth_model_head_loss(k->model, k->tape, (int)task, k->logits[task], b, &losses));
    BERTH_TRY(fetch(k, losses, (size_t)items->count));
    for (int64_t i = 0; i < items->count; i++) {
        if (items->label[i] < 0) continue;
        k->tallies[task].loss += (double)k->numbers[i];
        k->tallies[task].loss_items++;
    }
    return BERTH_OK;
}

static berth_status count_batch(struct counter *k, const struct berth_batch *b,
                                const struct berth_dataset *set) {
    const struct berth_forward_options options = {.training = false};
    berth_tape_reset(k->tape, false);
    BERTH_TRY(berth_model_forward(k->model, k->tape, b, &options, k->logits));
    for (size_t task = 0; task < berth_data_task_count(k->data); task++) {
        const struct berth_head *head = &k->model->heads[task];
        if (k->logits[task] == NULL || b->items[task].count == 0 || set->labels[task] == NULL) continue;
        BERTH_TRY(fetch(k, k->logits[task], (size_t)b->items[task].count * head->task.labels.count));
        if (head->task.kind == BERTH_TASK_TAGGING)
            BERTH_TRY(count_words(k, task, b, set));
        else
            count_sentences(k, task, b, set);
        BERTH_TRY(count_loss(k, task, b));
    }
    return BERTH_OK;
}

static berth_status count_source(struct counter *k, size_t source, int64_t batch_size) {
    berth_status status = BERTH_OK;
    struct berth_scan *scan = NULL;
    const struct berth_batch *batch = NULL;
    const struct berth_dataset *set = &berth_data_source(k->data, source)->split[k->split];
    BERTH_TRY_OUT(berth_scan_create(&scan, k->data, source, k->split, batch_size));
    for (;;) {
        BERTH_TRY_OUT(berth_scan_next(scan, &batch));
        if (batch == NULL) break;
        BERTH_TRY_OUT(count_batch(k, batch, set));
    }
out:
    berth_scan_free(scan);
    return status;
}

static double ratio(int64_t part, int64_t whole) {
    return whole > 0 ? (double)part / (double)whole : (double)NAN;
}

/* A task's scores, its own metric first; *own is that one. */
static berth_status report_task(struct berth_scores *out, const struct berth_task *task, enum berth_split split,
                                const struct tally *y, const char *metric, double *own) {
    struct {
        const char *metric;
        double value;
    } list[6];
    size_t count = 0;
    bool tagging = task->kind == BERTH_TASK_TAGGING;
    if (tagging) {
        double words = ratio(y->words_right, y->words);
        list[count].metric = "span_f1",
        list[count++].value = y->words > 0 ? berth_span_f1(&y->spans) : (double)NAN;
        list[count].metric = "span_precision",
        list[count++].value = ratio(y->spans.correct, y->spans.predicted);
        list[count].metric = "span_recall", list[count++].value = ratio(y->spans.correct, y->spans.gold);
        list[count].metric = strcmp(metric, "accuracy") == 0 ? "accuracy" : "word_accuracy";
        list[count++].value = words;
    } else {
        list[count].metric = "accuracy", list[count++].value = ratio(y->rows_right, y->rows);
    }
    list[count].metric = "loss";
    list[count++].value = y->loss_items > 0 ? y->loss / (double)y->loss_items : (double)NAN;
    list[count].metric = "rows", list[count++].value = (double)y->rows;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < count; i++) {
            bool is_own = strcmp(list[i].metric, metric) == 0;
            if (is_own != (pass == 0)) continue;
            if (is_own) *own = list[i].value;
            BERTH_TRY(scores_add(out, task->name, split, list[i].metric, list[i].value));
        }
    }
    return BERTH_OK;
}

static berth_status report(struct berth_scores *out, const struct counter *k, const bool *counted,
                           const char *const *metric_of) {
    double sum = 0;
    size_t tasks = 0;
    for (size_t i = 0; i < berth_data_task_count(k->data); i++) {
        double own = (double)NAN;
        if (!counted[i]) continue;
        BERTH_TRY(report_task(out, berth_data_task(k->data, i), k->split, &k->tallies[i], metric_of[i], &own));
        if (isnan(own)) continue; /* no row of the split is labelled for it */
        sum += own;
        tasks++;
    }
    return tasks > 0 ? scores_add(out, "mean", k->split, "metric", sum / (double)tasks) : BERTH_OK;
}

berth_status berth_evaluate(struct berth_scores *out, struct berth_model *model, struct berth_tape *tape,
                            const struct berth_data *data, enum berth_split split, const char *const *metric_of,
                            int64_t batch_size) {
    berth_status status = BERTH_OK;
    size_t tasks = berth_data_task_count(data);
    bool *counted = NULL;
    struct counter k = {.model = model, .tape = tape, .data = data, .split = split};
    BERTH_ASSERT_EQ(tasks, model->head_count);
    out->count = 0;
    BERTH_TRY_OUT(berth_calloc(&k.tallies, tasks, sizeof *k.tallies));
    BERTH_TRY_OUT(berth_calloc(&k.logits, tasks, sizeof *k.logits));
    BERTH_TRY_OUT(berth_calloc(&counted, tasks, sizeof *counted));
    for (size_t s = 0; s < berth_data_source_count(data); s++) {
        const struct berth_source *source = berth_data_source(data, s);
        bool wanted = false;
        for (size_t i = 0; i < tasks; i++) {
            if (berth_data_task_source(data, i) != s || !source->has[split]) continue;
            counted[i] = wanted = true;
        }
        if (wanted) BERTH_TRY_OUT(count_source(&k, s, batch_size));
    }
    BERTH_TRY_OUT(report(out, &k, counted, metric_of));
out:
    free(k.tallies);
    free(k.logits);
    free(k.numbers);
    free(k.predicted);
    free(k.gold);
    free(k.answer);
    free(counted);
    return status;
}
