/* data.c: opening what a configuration names: packs, and one label map a task (given, or from the training
 * splits of its sources: sorted bytewise, "O" first). labels.c lays the map over the packs. */
#include "data/data_priv.h"

#include <stdlib.h>
#include <string.h>

static void source_deinit(struct data_source *s, size_t task_count) {
    for (int split = 0; split < BERTH_SPLIT_COUNT; split++) {
        split_labels_deinit(&s->mapped[split], task_count);
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
    for (size_t t = 0; t < d->task_count; t++) {
        berth_task_deinit(&d->tasks[t].task);
        free(d->tasks[t].sources);
    }
    sampling_deinit(&d->sampling);
    free(d->continues);
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
    s->stream = berth_hash_name(spec->name);
    s->separate = spec->separate;
    BERTH_TRY(augment_read(&s->augment, spec, t));
    if (spec->label_count == 0) {
        berth_log(BERTH_LOG_INFO, "data.%s: no task reads this source; it is left out", spec->name);
        return BERTH_OK;
    }
    for (int split = 0; split < BERTH_SPLIT_COUNT; split++) {
        if (!(splits & (1u << split)) || !split_is_there(spec, (enum berth_split)split)) continue;
        BERTH_TRY(pack_obtain(&s->packs[split], &s->paths[split], &s->made[split], spec,
                              (enum berth_split)split, cache, t, specs->max_length));
        s->view.has[split] = true;
        s->view.split[split] = s->packs[split].view;
        split_log_report(s->name, (enum berth_split)split, &s->packs[split].report);
    }
    return BERTH_OK;
}

static const struct berth_task *find_known(const char *name, const struct berth_task *known, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(known[i].name, name) == 0) return &known[i];
    return NULL;
}

/* Why a task has no label map: no source of it has a training split here. */
static berth_status fail_without_training(const struct specs *specs, size_t task, unsigned splits) {
    const struct task_spec *spec = &specs->tasks[task];
    const struct source_spec *source = &specs->sources[spec->sources[0].source];
    const struct column *column = &source->labels[spec->sources[0].label].column;
    if (!(splits & (1u << BERTH_TRAIN)))
        return berth_config_fail(
            source->config, column->key,
            "task '%s' has no label map: the model does not know the task, and the training "
            "split is not read here",
            spec->name);
    if (spec->source_count > 1)
        return berth_config_fail(
            source->config, column->key,
            "task '%s' has no labels to learn: none of its %zu sources names a training split", spec->name,
            spec->source_count);
    return berth_config_fail(source->config, column->key,
                             "task '%s' has no labels to learn: source '%s' names no training split "
                             "(data.%s.train)",
                             spec->name, source->name, source->name);
}

static bool kind_has_map(enum berth_task_kind kind) {
    return kind == BERTH_TASK_CLASSIFICATION || kind == BERTH_TASK_TAGGING || kind == BERTH_TASK_MULTILABEL;
}

/* Labels that rows of the training splits of all its sources carry; the packs' names are exactly those. */
static berth_status labels_from_training(struct berth_labels *out, const struct berth_data *d,
                                         const struct specs *specs, size_t task, unsigned splits) {
    const struct task_spec *spec = &specs->tasks[task];
    const struct source_spec *first = &specs->sources[spec->sources[0].source];
    const char *key = first->labels[spec->sources[0].label].column.key;
    bool any = false;
    for (size_t i = 0; i < spec->source_count; i++) {
        const struct data_source *source = &d->sources[spec->sources[i].source];
        if (!source->view.has[BERTH_TRAIN]) continue;
        any = true;
        const struct berth_labels *names = &source->packs[BERTH_TRAIN].labels[spec->sources[i].label].names;
        for (size_t k = 0; k < names->count; k++)
            BERTH_TRY(berth_labels_add(out, names->names[k], NULL));
    }
    if (!any) return fail_without_training(specs, task, splits);
    if (out->count == 0)
        return berth_config_fail(first->config, key, "task '%s': no row of the training split carries a label",
                                 spec->name);
    if (out->count == 1 && spec->kind != BERTH_TASK_MULTILABEL)
        berth_log(BERTH_LOG_WARN, "task '%s': all training rows carry the same label '%s'", spec->name,
                  out->names[0]);
    return berth_labels_sort(out);
}

static berth_status open_task(struct berth_data *d, const struct specs *specs, size_t index,
                              const struct berth_task *known, size_t known_count, unsigned splits) {
    const struct task_spec *spec = &specs->tasks[index];
    const struct berth_config *c = specs->sources[spec->sources[0].source].config;
    struct data_task *task = &d->tasks[index];
    BERTH_TRY(berth_strdup(&task->task.name, spec->name));
    task->task.kind = spec->kind;
    BERTH_TRY(berth_calloc(&task->sources, spec->source_count, sizeof *task->sources));
    memcpy(task->sources, spec->sources, spec->source_count * sizeof *task->sources);
    task->source_count = spec->source_count;
    const char *key = specs->sources[spec->sources[0].source].labels[spec->sources[0].label].column.key;
    if (spec->kind == BERTH_TASK_MLM) {
        task->mask = berth_config_number_f(c, "tasks.%s.mask", spec->name);
        if (d->special.mask < 0)
            return berth_config_fail(
                c, key, "task '%s' (mlm) needs the token [MASK], which the vocabulary lacks", spec->name);
    }
    const struct berth_task *given = find_known(spec->name, known, known_count);
    if (given && given->kind != spec->kind)
        return berth_config_fail(
            c, key, "task '%s' is of type %s, but the model's head of that name is of type %s", spec->name,
            berth_task_kind_name(spec->kind), berth_task_kind_name(given->kind));
    BERTH_TRY(task_find_scheme(&task->task.scheme, d, specs, index, given));
    if (!kind_has_map(spec->kind)) return BERTH_OK;
    if (!given) return labels_from_training(&task->task.labels, d, specs, index, splits);
    return berth_labels_copy(&task->task.labels, &given->labels);
}

const struct task_source *data_task_of(const struct berth_data *d, size_t task, size_t source) {
    for (size_t i = 0; i < d->tasks[task].source_count; i++)
        if (d->tasks[task].sources[i].source == source) return &d->tasks[task].sources[i];
    return NULL;
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
    d->seed = (uint64_t)berth_config_int(c, "seed");
    BERTH_TRY_OUT(sampling_read(&d->sampling, c));
    d->special = berth_tokenizer_special(tokenizer);
    d->vocabulary = (int32_t)berth_tokenizer_size(tokenizer);
    d->max_length = specs.max_length;
    BERTH_TRY_OUT(augment_continues(&d->continues, tokenizer));
    for (size_t i = 0; i < d->source_count; i++)
        BERTH_TRY_OUT(open_source(&d->sources[i], &specs, i, tokenizer, splits));
    for (size_t t = 0; t < d->task_count; t++)
        BERTH_TRY_OUT(open_task(d, &specs, t, known, known_count, splits));
    for (size_t i = 0; i < d->source_count; i++)
        BERTH_TRY_OUT(labels_lay_over(d, i));
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

size_t berth_data_task_source_count(const struct berth_data *d, size_t task) {
    BERTH_ASSERT(task < d->task_count);
    return d->tasks[task].source_count;
}

size_t berth_data_task_source_at(const struct berth_data *d, size_t task, size_t index) {
    BERTH_ASSERT(task < d->task_count && index < d->tasks[task].source_count);
    return d->tasks[task].sources[index].source;
}

bool berth_data_task_reads(const struct berth_data *d, size_t task, size_t source) {
    BERTH_ASSERT(task < d->task_count);
    return data_task_of(d, task, source) != NULL;
}

size_t berth_data_task_source(const struct berth_data *d, size_t task) {
    return berth_data_task_source_at(d, task, 0);
}

const char *berth_data_file(const struct berth_data *d, size_t source, enum berth_split split) {
    BERTH_ASSERT(source < d->source_count && (size_t)split < BERTH_SPLIT_COUNT);
    return d->sources[source].paths[split];
}

bool berth_data_was_packed(const struct berth_data *d, size_t source, enum berth_split split) {
    BERTH_ASSERT(source < d->source_count && (size_t)split < BERTH_SPLIT_COUNT);
    return d->sources[source].made[split];
}
