/* head_config.c: a task's head as the configuration describes it (tasks.NAME.*), and what of it comes from the
 * training rows: class weights, labels of tasks that share a head.
 *
 *     balanced   w_c = n / (K n_c)                                      multilabel: (n - n_c) / n_c of the
 * positive side effective  w_c ∝ (1 - beta) / (1 - beta^n_c), their mean 1        (Cui et al., arXiv
 * 1901.05555)
 *
 * n_c counts rows (tagging: words; multilabel: rows with the label) of the training splits of all the task's
 * sources. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/train_priv.h"

enum { PATH = 160 };

static const char *key(char path[PATH], const char *task, const char *name) {
    snprintf(path, PATH, "tasks.%s.%s", task, name);
    return path;
}

/* ---- counts of the training rows */

static bool begins_row(const struct berth_dataset *set, int64_t row) {
    return set->origin == NULL || row == 0 || set->origin[row] != set->origin[row - 1];
}

/* Adds one set's labels; *total: labelled rows, or words. */
static void count_set(const struct berth_dataset *set, size_t task, enum berth_task_kind kind, int64_t *counts,
                      int64_t *total) {
    const int32_t *labels = set->labels[task];
    const int64_t n = kind == BERTH_TASK_TAGGING ? set->word_count : set->rows;
    for (int64_t i = 0; i < n; i++) {
        if (labels[i] < 0 || (kind != BERTH_TASK_TAGGING && !begins_row(set, i))) continue;
        ++*total;
        if (kind != BERTH_TASK_MULTILABEL) counts[labels[i]]++;
        for (int64_t k = 0;
             kind == BERTH_TASK_MULTILABEL && k < set->set_offset[task][i + 1] - set->set_offset[task][i];
             k++) {
            const int32_t label = set->set_values[task][set->set_offset[task][i] + k];
            if (label >= 0) counts[label]++;
        }
    }
}

/* The training set of the task's n-th source; NULL: it has none. */
static const struct berth_dataset *training_set(const struct berth_data *data, size_t task, size_t n) {
    const struct berth_source *source = berth_data_source(data, berth_data_task_source_at(data, task, n));
    return source->has[BERTH_TRAIN] ? &source->split[BERTH_TRAIN] : NULL;
}

static float balanced_weight(enum berth_task_kind kind, int64_t count, int64_t total, size_t classes) {
    if (count == 0) return 1.0f; /* a label of a loaded head that these rows do not have */
    if (kind == BERTH_TASK_MULTILABEL)
        return count == total ? 1.0f : (float)((double)(total - count) / (double)count);
    return (float)((double)total / ((double)classes * (double)count));
}

static void effective_weights(float *out, const int64_t *counts, size_t classes, double beta) {
    double sum = 0;
    for (size_t k = 0; k < classes; k++) {
        const double n = counts[k] > 0 ? (double)counts[k] : 1.0;
        const double weight = beta < 1 ? (1 - beta) / (1 - pow(beta, n)) : 1 / n;
        out[k] = (float)weight;
        sum += weight;
    }
    for (size_t k = 0; k < classes; k++)
        out[k] = (float)((double)out[k] * (double)classes / sum);
}

/* "LABEL=NUMBER"; labels that are not named keep 1. */
static berth_status given_weight(float *out, const struct berth_config *c, const char *path, const char *text,
                                 const struct berth_task *task) {
    const char *equals = strrchr(text, '=');
    double weight = 0;
    char *name = NULL;
    if (equals == NULL || !berth_parse_double(equals + 1, &weight) || !(weight >= 0))
        return berth_config_fail(
            c, path, "found '%s', expected balanced, effective, or LABEL=NUMBER for some labels", text);
    BERTH_TRY(berth_strndup(&name, text, (size_t)(equals - text)));
    const int32_t label = berth_labels_find(&task->labels, name);
    berth_status status = BERTH_OK;
    if (label < 0)
        status = berth_config_fail(c, path, "'%s' is no label of task '%s'", name, task->name);
    else
        out[label] = (float)weight;
    free(name);
    return status;
}

/* Into weights [K]; *any: there are some. */
static berth_status read_class_weights(float *weights, bool *any, const struct berth_config *c,
                                       const struct berth_data *data, size_t index) {
    const struct berth_task *task = berth_data_task(data, index);
    const size_t classes = task->labels.count;
    char path[PATH];
    int64_t *counts = NULL, total = 0;
    const size_t items = berth_config_count(c, key(path, task->name, "class_weights"));
    const char *first = items > 0 ? berth_config_item(c, path, 0) : "none";
    *any = strcmp(first, "none") != 0;
    if (!*any) return BERTH_OK;
    if (!berth_task_kind_has_labels(task->kind))
        return berth_config_fail(c, path, "a %s task has no classes to weigh",
                                 berth_task_kind_name(task->kind));
    BERTH_TRY(berth_calloc(&counts, classes, sizeof *counts));
    for (size_t n = 0; n < berth_data_task_source_count(data, index); n++) {
        const struct berth_dataset *set = training_set(data, index, n);
        if (set != NULL) count_set(set, index, task->kind, counts, &total);
    }
    berth_status status = BERTH_OK;
    for (size_t k = 0; k < classes; k++)
        weights[k] =
            strcmp(first, "balanced") == 0 ? balanced_weight(task->kind, counts[k], total, classes) : 1.0f;
    if (strcmp(first, "effective") == 0)
        effective_weights(weights, counts, classes,
                          berth_config_number_f(c, "tasks.%s.effective_beta", task->name));
    else if (strcmp(first, "balanced") != 0)
        for (size_t i = 0; status == BERTH_OK && i < items; i++)
            status = given_weight(weights, c, path, berth_config_item(c, path, i), task);
    free(counts);
    return status;
}

/* ---- the head */

static enum berth_activation read_activation(const char *text) {
    static const char *const NAMES[] = {"none", "gelu", "gelu_new", "relu", "silu", "tanh"};
    int i = 0;
    while (strcmp(NAMES[i], text) != 0) /* the table of keys has no other words */
        i++;
    return (enum berth_activation)i;
}

static berth_status read_pooling(struct berth_head *head, const struct berth_model *m,
                                 const struct berth_config *c) {
    const struct berth_task *task = &head->task;
    const bool pairs = task->kind == BERTH_TASK_SIMILARITY || task->kind == BERTH_TASK_CONTRASTIVE;
    char path[PATH];
    head->pooling = pairs ? BERTH_POOL_MEAN : BERTH_POOL_POOLER;
    if (berth_config_has(c, key(path, task->name, "pooling")))
        BERTH_ASSERT(berth_pooling_parse(berth_config_string(c, path), &head->pooling));
    if (!berth_task_kind_pools(task->kind) || head->pooling != BERTH_POOL_POOLER || m->config.pooler)
        return BERTH_OK;
    return berth_config_fail(c, path,
                             "this %s backbone has no pooler; take mean or cls, or give it a fresh one: "
                             "model.pooler: new",
                             m->config.model_type);
}

static berth_status read_layer(struct berth_head *head, const struct berth_model *m,
                               const struct berth_config *c) {
    char path[PATH];
    const char *text = berth_config_string(c, key(path, head->task.name, "layer"));
    if (strcmp(text, "last") == 0) return BERTH_OK;
    head->reads = strcmp(text, "mix") == 0 ? BERTH_READS_MIX : BERTH_READS_LAYER;
    if (head->reads == BERTH_READS_MIX) return BERTH_OK;
    if (!berth_parse_int64(text, &head->layer) || head->layer < 0 || head->layer > m->config.layers)
        return berth_config_fail(c, path,
                                 "found '%s', expected last, mix, or a layer from 0 (the embeddings) to %lld",
                                 text, (long long)m->config.layers);
    return BERTH_OK;
}

static berth_status read_loss(struct berth_head *head, const struct berth_config *c) {
    const char *name = head->task.name;
    const enum berth_task_kind kind = head->task.kind;
    char path[PATH];
    if (berth_config_has(c, key(path, name, "loss"))) {
        BERTH_ASSERT(berth_loss_parse(berth_config_string(c, path), &head->loss));
        if (!berth_task_kind_takes(kind, head->loss))
            return berth_config_fail(c, path, "a %s task has no loss '%s'", berth_task_kind_name(kind),
                                     berth_loss_name(head->loss));
    }
    if (head->loss == BERTH_LOSS_FOCAL)
        head->focal_gamma = (float)berth_config_number(c, key(path, name, "focal_gamma"));
    if (head->loss == BERTH_LOSS_HUBER)
        head->huber_delta = (float)berth_config_number(c, key(path, name, "huber_delta"));
    if (head->loss == BERTH_LOSS_COSENT || kind == BERTH_TASK_CONTRASTIVE)
        head->scale = (float)berth_config_number(c, key(path, name, "scale"));
    if (kind == BERTH_TASK_CONTRASTIVE) head->symmetric = berth_config_bool(c, key(path, name, "symmetric"));
    head->label_smoothing = (float)berth_config_number(c, key(path, name, "label_smoothing"));
    return BERTH_OK;
}

berth_status head_from_config(struct berth_head *head, float *weights, const struct berth_model *m,
                              const struct berth_config *c, const struct berth_data *data, size_t index) {
    const struct berth_task *task = berth_data_task(data, index);
    char path[PATH];
    bool weighted = false;
    memset(head, 0, sizeof *head);
    head->task = *task;
    head->dropout = -1.0f;
    if (berth_config_has(c, key(path, task->name, "dropout")))
        head->dropout = (float)berth_config_number(c, path);
    head->hidden_layers = (int)berth_config_int(c, key(path, task->name, "hidden_layers"));
    if (head->hidden_layers > 0) {
        if (berth_config_has(c, key(path, task->name, "hidden_size")))
            head->hidden_size = berth_config_int(c, path);
        head->activation = read_activation(berth_config_string(c, key(path, task->name, "activation")));
    }
    if (berth_config_has(c, key(path, task->name, "head"))) head->shares = (char *)berth_config_string(c, path);
    BERTH_TRY(read_pooling(head, m, c));
    BERTH_TRY(read_layer(head, m, c));
    BERTH_TRY(read_loss(head, c));
    BERTH_TRY(read_class_weights(weights, &weighted, c, data, index));
    head->class_weights = weighted ? weights : NULL;
    head->crf = berth_config_bool(c, key(path, task->name, "crf"));
    if (head->crf && task->kind != BERTH_TASK_TAGGING)
        return berth_config_fail(c, path, "a crf is for tagging, this is a %s task",
                                 berth_task_kind_name(task->kind));
    if (!berth_config_bool(c, key(path, task->name, "constrained"))) head->task.scheme = BERTH_TAGS_PLAIN;
    return BERTH_OK;
}

/* ---- labels of tasks that share a head */

static berth_status find_owner(size_t *out, const struct berth_config *c, size_t task) {
    const char *name = berth_config_name(c, "tasks", task);
    char path[PATH];
    const char *wanted = berth_config_string(c, key(path, name, "head"));
    for (size_t i = 0; i < berth_config_count(c, "tasks"); i++) {
        if (strcmp(berth_config_name(c, "tasks", i), wanted) != 0) continue;
        if (i == task || berth_config_has_f(c, "tasks.%s.head", wanted))
            return berth_config_fail(c, path, "'%s' has no head of its own to share", wanted);
        if (strcmp(berth_config_string_f(c, "tasks.%s.type", wanted),
                   berth_config_string_f(c, "tasks.%s.type", name)) != 0)
            return berth_config_fail(c, path, "'%s' is of another type: their heads cannot be one", wanted);
        *out = i;
        return BERTH_OK;
    }
    return berth_config_fail(c, path, "no task is named '%s'", wanted);
}

void shared_tasks_free(struct berth_task *tasks, size_t count) {
    for (size_t i = 0; tasks != NULL && i < count; i++)
        berth_task_deinit(&tasks[i]);
    free(tasks);
}

berth_status shared_tasks(struct berth_task **out, const struct berth_config *c, const struct berth_data *data,
                          const struct berth_task *known, size_t known_count) {
    berth_status status = BERTH_OK;
    const size_t count = berth_data_task_count(data);
    struct berth_task *tasks = NULL;
    bool any = false;
    *out = NULL;
    BERTH_TRY_OUT(berth_calloc(&tasks, count, sizeof *tasks));
    for (size_t i = 0; i < count; i++) {
        const struct berth_task *task = berth_data_task(data, i);
        tasks[i].kind = task->kind;
        tasks[i].scheme = task->scheme;
        BERTH_TRY_OUT(berth_strdup(&tasks[i].name, task->name));
        BERTH_TRY_OUT(berth_labels_copy(&tasks[i].labels, &task->labels));
        any = any || berth_config_has_f(c, "tasks.%s.head", task->name);
    }
    for (int pass = 0; any && pass < 2; pass++) { /* all into the owner's, then the owner's to all */
        for (size_t i = 0; i < count; i++) {
            size_t owner = 0;
            bool fixed = false;
            if (!berth_config_has_f(c, "tasks.%s.head", tasks[i].name)) continue;
            BERTH_TRY_OUT(find_owner(&owner, c, i));
            for (size_t k = 0; k < known_count; k++)
                fixed = fixed || strcmp(known[k].name, tasks[owner].name) == 0;
            for (size_t k = 0; pass == 0 && !fixed && k < tasks[i].labels.count; k++)
                BERTH_TRY_OUT(berth_labels_add(&tasks[owner].labels, tasks[i].labels.names[k], NULL));
            if (pass == 0 && !fixed) BERTH_TRY_OUT(berth_labels_sort(&tasks[owner].labels));
            if (pass == 1) BERTH_TRY_OUT(berth_labels_copy(&tasks[i].labels, &tasks[owner].labels));
        }
    }
    if (any) {
        *out = tasks;
        tasks = NULL;
    }
out:
    shared_tasks_free(tasks, count);
    return status;
}
