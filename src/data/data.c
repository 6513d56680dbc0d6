/* data.c: opening what a configuration names: packs, label maps, and the labels of every row in them.
 *
 * A pack numbers labels on its own; here each task gets one map (given, or from the training split: sorted
 * bytewise, "O" first) and each split an array of int32 with the labels in the task's numbering.
 */
#include "data/data_priv.h"

#include <stdlib.h>
#include <string.h>

static void source_deinit(struct data_source *s, size_t task_count) {
    for (int split = 0; split < BERTH_SPLIT_COUNT; split++) {
        for (size_t t = 0; s->mapped[split] && t < task_count; t++)
            free(s->mapped[split][t]);
        free(s->mapped[split]);
        free(s->view.split[split].unknown_labels);
        free(s->paths[split]);
        pack_close(&s->packs[split]);
    }
    free(s->name);
}

void berth_data_free(struct berth_data *d) {
    if (!d) return;
    for (size_t i = 0; i < d->source_count; i++)
        source_deinit(&d->sources[i], d->task_count);
    for (size_t t = 0; t < d->task_count; t++)
        berth_task_deinit(&d->tasks[t].task);
    free(d->sources);
    free(d->tasks);
    free(d);
}

/* Packs or reuses the splits asked for of one source. */
static berth_status open_source(struct data_source *s, const struct specs *specs, size_t index,
                                const struct berth_tokenizer *t, unsigned splits) {
    const struct source_spec *spec = &specs->sources[index];
    const char *cache = berth_config_string(spec->config, "cache");
    BERTH_TRY(berth_strdup(&s->name, spec->name));
    s->view.name = s->name;
    if (spec->label_count == 0) {
        berth_log(BERTH_LOG_INFO, "data.%s: no task reads this source; it is left out", spec->name);
        return BERTH_OK;
    }
    for (int split = 0; split < BERTH_SPLIT_COUNT; split++) {
        if (!(splits & (1u << split)) || spec->path_count[split] == 0) continue;
        BERTH_TRY(pack_obtain(&s->packs[split], &s->paths[split], &s->made[split], spec,
                              (enum berth_split)split, cache, t, specs->max_length));
        s->view.has[split] = true;
        s->view.split[split] = s->packs[split].view;
    }
    return BERTH_OK;
}

static const struct berth_task *find_known(const char *name, const struct berth_task *known, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(known[i].name, name) == 0) return &known[i];
    return NULL;
}

/* Labels that rows of the training split carry; the pack's names are exactly those. */
static berth_status labels_from_training(struct berth_labels *out, const struct berth_data *d,
                                         const struct specs *specs, size_t task, unsigned splits) {
    const struct task_spec *spec = &specs->tasks[task];
    const struct task_source *first = &spec->sources[0];
    const struct data_source *source = &d->sources[first->source];
    const struct source_spec *source_spec = &specs->sources[first->source];
    const struct column *column = &source_spec->labels[first->label].column;
    if (!source->view.has[BERTH_TRAIN]) {
        if (splits & (1u << BERTH_TRAIN))
            return berth_config_fail(source_spec->config, column->key,
                                     "task '%s' has no labels to learn: source '%s' names no training split "
                                     "(data.%s.train)",
                                     spec->name, source_spec->name, source_spec->name);
        return berth_config_fail(
            source_spec->config, column->key,
            "task '%s' has no label map: the model does not know the task, and the training "
            "split is not read here",
            spec->name);
    }
    BERTH_TRY(berth_labels_copy(out, &source->packs[BERTH_TRAIN].names[first->label]));
    if (out->count == 0)
        return berth_config_fail(source_spec->config, column->key,
                                 "task '%s': no row of the training split carries a label", spec->name);
    if (out->count == 1)
        berth_log(BERTH_LOG_WARN, "task '%s': all training rows carry the same label '%s'", spec->name,
                  out->names[0]);
    return berth_labels_sort(out);
}

static berth_status open_task(struct berth_data *d, const struct specs *specs, size_t index,
                              const struct berth_task *known, size_t known_count, unsigned splits) {
    const struct task_spec *spec = &specs->tasks[index];
    struct data_task *task = &d->tasks[index];
    BERTH_TRY(berth_strdup(&task->task.name, spec->name));
    task->task.kind = spec->kind;
    if (spec->source_count > 1 || spec->kind > BERTH_TASK_TAGGING)
        BERTH_FAIL(BERTH_E_UNSUPPORTED,
                   "task '%s': several sources, and types but classification and tagging, "
                   "cannot be packed yet",
                   spec->name);
    task->source = spec->sources[0].source;
    task->label = spec->sources[0].label;
    const struct berth_task *given = find_known(spec->name, known, known_count);
    if (!given) return labels_from_training(&task->task.labels, d, specs, index, splits);
    if (given->kind != spec->kind) {
        const struct source_spec *source = &specs->sources[task->source];
        return berth_config_fail(source->config, source->labels[task->label].column.key,
                                 "task '%s' is of type %s, but the model's head of that name is of type %s",
                                 spec->name, berth_task_kind_name(spec->kind),
                                 berth_task_kind_name(given->kind));
    }
    return berth_labels_copy(&task->task.labels, &given->labels);
}

/* The pack's labels of one task in the task's numbering. */
static berth_status map_labels(int32_t **out, int64_t *unknown, const struct pack *pack, size_t label,
                               const struct berth_task *task, const char *source, enum berth_split split) {
    berth_status status = BERTH_OK;
    const struct berth_labels *names = &pack->names[label];
    int64_t count = task->kind == BERTH_TASK_TAGGING ? pack->view.word_count : pack->view.rows;
    const char *example = NULL;
    int32_t *map = NULL;
    BERTH_TRY_OUT(berth_calloc(&map, names->count, sizeof *map));
    for (size_t i = 0; i < names->count; i++) {
        map[i] = berth_labels_find(&task->labels, names->names[i]);
        if (map[i] >= 0) continue;
        map[i] = BERTH_LABEL_UNKNOWN;
        if (!example) example = names->names[i];
    }
    BERTH_TRY_OUT(berth_calloc(out, (size_t)count, sizeof **out));
    *unknown = 0;
    for (int64_t i = 0; i < count; i++) {
        int32_t local = pack->labels[label][i];
        (*out)[i] = local < 0 ? BERTH_LABEL_MISSING : map[local];
        *unknown += (*out)[i] == BERTH_LABEL_UNKNOWN;
    }
    if (*unknown > 0)
        berth_log(
            BERTH_LOG_WARN,
            "task '%s': %lld label%s of %s %s %s not among the %zu known ones (the first: '%s') and count%s "
            "as wrong",
            task->name, (long long)*unknown, *unknown == 1 ? "" : "s", source, berth_split_name(split),
            *unknown == 1 ? "is" : "are", task->labels.count, example, *unknown == 1 ? "s" : "");
out:
    free(map);
    return status;
}

static berth_status map_source(struct berth_data *d, size_t index) {
    struct data_source *s = &d->sources[index];
    for (int split = 0; split < BERTH_SPLIT_COUNT; split++) {
        if (!s->view.has[split]) continue;
        struct berth_dataset *set = &s->view.split[split];
        BERTH_TRY(berth_calloc(&s->mapped[split], d->task_count, sizeof *s->mapped[split]));
        BERTH_TRY(berth_calloc(&set->unknown_labels, d->task_count, sizeof *set->unknown_labels));
        set->labels = (const int32_t *const *)s->mapped[split];
        for (size_t t = 0; t < d->task_count; t++) {
            if (d->tasks[t].source != index) continue;
            BERTH_TRY(map_labels(&s->mapped[split][t], &set->unknown_labels[t], &s->packs[split],
                                 d->tasks[t].label, &d->tasks[t].task, s->name, (enum berth_split)split));
        }
    }
    return BERTH_OK;
}

berth_status berth_data_open(struct berth_data **out, const struct berth_config *c,
                             const struct berth_tokenizer *tokenizer, const struct berth_task *known,
                             size_t known_count, unsigned splits) {
    berth_status status = BERTH_OK;
    struct berth_data *d = NULL;
    struct specs specs;
    *out = NULL;
    BERTH_TRY_OUT(specs_read(&specs, c));
    BERTH_TRY_OUT(berth_calloc(&d, 1, sizeof *d));
    BERTH_TRY_OUT(berth_calloc(&d->sources, specs.source_count, sizeof *d->sources));
    d->source_count = specs.source_count;
    BERTH_TRY_OUT(berth_calloc(&d->tasks, specs.task_count, sizeof *d->tasks));
    d->task_count = specs.task_count;
    for (size_t i = 0; i < d->source_count; i++)
        BERTH_TRY_OUT(open_source(&d->sources[i], &specs, i, tokenizer, splits));
    for (size_t t = 0; t < d->task_count; t++)
        BERTH_TRY_OUT(open_task(d, &specs, t, known, known_count, splits));
    for (size_t i = 0; i < d->source_count; i++)
        BERTH_TRY_OUT(map_source(d, i));
    *out = d;
    d = NULL;
out:
    berth_data_free(d);
    specs_deinit(&specs);
    return status;
}

size_t berth_data_source_count(const struct berth_data *d) {
    return d->source_count;
}

const struct berth_source *berth_data_source(const struct berth_data *d, size_t index) {
    BERTH_ASSERT(index < d->source_count);
    return &d->sources[index].view;
}

size_t berth_data_task_count(const struct berth_data *d) {
    return d->task_count;
}

const struct berth_task *berth_data_task(const struct berth_data *d, size_t index) {
    BERTH_ASSERT(index < d->task_count);
    return &d->tasks[index].task;
}

size_t berth_data_task_source(const struct berth_data *d, size_t task) {
    BERTH_ASSERT(task < d->task_count);
    return d->tasks[task].source;
}

const char *berth_data_file(const struct berth_data *d, size_t source, enum berth_split split) {
    BERTH_ASSERT(source < d->source_count && (size_t)split < BERTH_SPLIT_COUNT);
    return d->sources[source].paths[split];
}

bool berth_data_was_packed(const struct berth_data *d, size_t source, enum berth_split split) {
    BERTH_ASSERT(source < d->source_count && (size_t)split < BERTH_SPLIT_COUNT);
    return d->sources[source].made[split];
}
