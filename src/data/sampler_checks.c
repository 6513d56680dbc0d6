/* sampler_checks.c: what makes training impossible, told before it starts. */
#include <string.h>

#include "data/sample_priv.h"

/* The task's labels in a pack that its map lacks, at most ten of them. */
static void list_unknown(struct berth_str *out, const struct berth_labels *names,
                         const struct berth_labels *known) {
    size_t count = 0;
    for (size_t i = 0; i < names->count; i++) {
        if (berth_labels_find(known, names->names[i]) >= 0) continue;
        if (count < 10) berth_str_addf(out, "%s'%s'", count ? ", " : "", names->names[i]);
        count++;
    }
    if (count > 10) berth_str_addf(out, " and %zu more", count - 10);
}

/* Training rows whose label a saved head does not have would be left out in silence: they are refused. */
static berth_status check_labels(const struct berth_data *d, size_t index, const struct task_source *at) {
    const struct data_task *task = &d->tasks[index];
    const struct data_source *source = &d->sources[at->source];
    const struct berth_dataset *set = &source->view.split[BERTH_TRAIN];
    if (!source->view.has[BERTH_TRAIN] || set->unknown_labels[index] == 0) return BERTH_OK;
    int64_t i = 0, row = 0;
    bool sets = task->task.kind == BERTH_TASK_MULTILABEL, tags = task->task.kind == BERTH_TASK_TAGGING;
    const int32_t *values = sets ? set->set_values[index] : set->labels[index];
    const int64_t *first = sets ? set->set_offset[index] : set->word_offset;
    while (values[i] != BERTH_LABEL_UNKNOWN)
        i++;
    row = i;
    if (sets || tags)
        for (row = 0; first[row + 1] <= i;)
            row++;
    if (set->origin) row = set->origin[row];
    struct berth_str unknown;
    berth_str_init(&unknown);
    list_unknown(&unknown, &source->packs[BERTH_TRAIN].labels[at->label].names, &task->task.labels);
    berth_status status = berth_error_set(
        BERTH_E_USAGE, __FILE__, __LINE__,
        "data.%s.train: row %lld: task '%s': the label%s %s %s not among the %zu of the model's head of that "
        "name (%lld such label%s in all); to learn other labels give the task another name: it gets a new "
        "head",
        source->name, (long long)row + 1, task->task.name,
        strstr(unknown.data ? unknown.data : "", "', '") ? "s" : "", unknown.data ? unknown.data : "",
        strstr(unknown.data ? unknown.data : "", "', '") ? "are" : "is", task->task.labels.count,
        (long long)set->unknown_labels[index], set->unknown_labels[index] == 1 ? "" : "s");
    berth_str_deinit(&unknown);
    return status;
}

/* A task needs training rows in one of its sources, and labels that its head has. */
berth_status sampler_check_task(const struct berth_data *d, size_t index) {
    const struct data_task *task = &d->tasks[index];
    bool any = false;
    for (size_t i = 0; i < task->source_count; i++) {
        BERTH_TRY(check_labels(d, index, &task->sources[i]));
        any |= d->sources[task->sources[i].source].view.has[BERTH_TRAIN];
    }
    if (any) return BERTH_OK;
    BERTH_FAIL(BERTH_E_USAGE,
               "data.%s.train: task '%s' is to be trained, but its source has no training "
               "split",
               d->sources[task->sources[0].source].name, task->task.name);
}

static berth_status fail_altered(const char *unit, const char *source) {
    BERTH_FAIL(
        BERTH_E_USAGE,
        "sampling.units.%s.more: found 'augmentation', but nothing says how rows of source '%s' are altered: "
        "give data.%s.augment",
        unit, source, source);
}

berth_status sampler_check_altered(struct sampler *s) {
    const struct berth_data *d = s->data;
    BERTH_TRY(berth_calloc(&s->source_altered, d->source_count, sizeof *s->source_altered));
    BERTH_TRY(berth_calloc(&s->task_altered, d->task_count, sizeof *s->task_altered));
    for (size_t i = 0; i < s->sampling->unit_count; i++) {
        const struct unit_options *o = &s->sampling->units[i];
        if (!o->altered) continue;
        for (size_t t = 0; s->mix == MIX_STEP && t < d->task_count; t++)
            if (strcmp(d->tasks[t].task.name, o->name) == 0) s->task_altered[t] = true;
        for (size_t k = 0; k < d->source_count; k++) {
            const struct data_source *source = &d->sources[k];
            bool of_unit = s->mix != MIX_STEP && strcmp(source->name, o->name) == 0;
            for (size_t t = 0; s->mix == MIX_STEP && t < d->task_count; t++)
                of_unit =
                    of_unit || (strcmp(d->tasks[t].task.name, o->name) == 0 && data_task_of(d, t, k) != NULL);
            if (!of_unit || !source->view.has[BERTH_TRAIN]) continue;
            if (!source->augment.on) return fail_altered(o->name, source->name);
            s->source_altered[k] = s->mix != MIX_STEP;
        }
    }
    return BERTH_OK;
}
