/* labels.c: the labels of every row in the numbering of the task's own map.
 *
 * A pack numbers its labels sorted, as a map from the training split does; where the two agree the pack's
 * mapped vectors serve as they are and nothing is copied. Else each row's label takes 4 bytes of memory. */
#include "data/data_priv.h"

#include <stdlib.h>
#include <string.h>

void split_labels_deinit(struct split_labels *m, size_t task_count) {
    for (size_t t = 0; t < task_count; t++) {
        if (m->owned) free(m->owned[t]);
        if (m->owned_sets) free(m->owned_sets[t]);
    }
    free(m->owned);
    free(m->owned_sets);
    free(m->labels);
    free(m->numbers);
    free(m->set_offset);
    free(m->set_values);
    memset(m, 0, sizeof *m);
}

static berth_status split_labels_init(struct split_labels *m, size_t n) {
    BERTH_TRY(berth_calloc(&m->labels, n, sizeof *m->labels));
    BERTH_TRY(berth_calloc(&m->numbers, n, sizeof *m->numbers));
    BERTH_TRY(berth_calloc(&m->set_offset, n, sizeof *m->set_offset));
    BERTH_TRY(berth_calloc(&m->set_values, n, sizeof *m->set_values));
    BERTH_TRY(berth_calloc(&m->owned, n, sizeof *m->owned));
    return berth_calloc(&m->owned_sets, n, sizeof *m->owned_sets);
}

/* The pack's numbers -> the task's; *same: they are equal. */
static berth_status make_map(int32_t **map, bool *same, const char **example, const struct berth_labels *from,
                             const struct berth_labels *to) {
    *same = true;
    *example = NULL;
    BERTH_TRY(berth_calloc(map, from->count + 1, sizeof **map));
    for (size_t i = 0; i < from->count; i++) {
        int32_t found = berth_labels_find(to, from->names[i]);
        (*map)[i] = found >= 0 ? found : BERTH_LABEL_UNKNOWN;
        *same = *same && found == (int32_t)i;
        if (found < 0 && !*example) *example = from->names[i];
    }
    return BERTH_OK;
}

static berth_status renumber(int32_t **owned, const int32_t **out, const int32_t *values, int64_t count,
                             const int32_t *map, bool same) {
    if (same) {
        *out = values;
        return BERTH_OK;
    }
    BERTH_TRY(berth_calloc(owned, (size_t)count, sizeof **owned));
    for (int64_t i = 0; i < count; i++)
        (*owned)[i] = values[i] < 0 ? BERTH_LABEL_MISSING : map[values[i]];
    *out = *owned;
    return BERTH_OK;
}

/* The windows of a row repeat its labels: its first one counts. */
static bool begins_row(const struct berth_dataset *set, int64_t row) {
    return !set->origin || row == 0 || set->origin[row] != set->origin[row - 1];
}

static int64_t count_unknown(const struct berth_dataset *set, enum berth_task_kind kind, size_t t) {
    int64_t unknown = 0;
    if (kind == BERTH_TASK_TAGGING)
        for (int64_t i = 0; i < set->word_count; i++)
            unknown += set->labels[t][i] == BERTH_LABEL_UNKNOWN;
    for (int64_t r = 0; kind == BERTH_TASK_CLASSIFICATION && r < set->rows; r++)
        unknown += begins_row(set, r) && set->labels[t][r] == BERTH_LABEL_UNKNOWN;
    for (int64_t r = 0; kind == BERTH_TASK_MULTILABEL && r < set->rows; r++)
        for (int64_t k = set->set_offset[t][r]; begins_row(set, r) && k < set->set_offset[t][r + 1]; k++)
            unknown += set->set_values[t][k] == BERTH_LABEL_UNKNOWN;
    return unknown;
}

static berth_status map_task(struct data_source *s, enum berth_split split, size_t t, size_t label,
                             const struct berth_task *task) {
    berth_status status = BERTH_OK;
    struct split_labels *m = &s->mapped[split];
    struct berth_dataset *set = &s->view.split[split];
    const struct pack_labels *from = &s->packs[split].labels[label];
    const char *example = NULL;
    int32_t *map = NULL;
    bool same = true, sets = task->kind == BERTH_TASK_MULTILABEL;
    if (task->kind == BERTH_TASK_MLM) return BERTH_OK;
    m->numbers[t] = from->numbers;
    m->set_offset[t] = from->set_offset;
    BERTH_TRY_OUT(make_map(&map, &same, &example, &from->names, &task->labels));
    int64_t count = task->kind == BERTH_TASK_TAGGING ? set->word_count : set->rows;
    BERTH_TRY_OUT(renumber(&m->owned[t], &m->labels[t], from->values, count, map, same || sets));
    if (sets)
        BERTH_TRY_OUT(renumber(&m->owned_sets[t], &m->set_values[t], from->set_values,
                               from->set_offset[set->rows], map, same));
    int64_t unknown = same ? 0 : count_unknown(set, task->kind, t);
    set->unknown_labels[t] = unknown;
    if (unknown > 0)
        berth_log(
            BERTH_LOG_WARN,
            "task '%s': %lld label%s of %s %s %s not among the %zu known ones (the first: '%s') and count%s "
            "as wrong",
            task->name, (long long)unknown, unknown == 1 ? "" : "s", s->name, berth_split_name(split),
            unknown == 1 ? "is" : "are", task->labels.count, example, unknown == 1 ? "s" : "");
out:
    free(map);
    return status;
}

berth_status labels_lay_over(struct berth_data *d, size_t source) {
    struct data_source *s = &d->sources[source];
    for (int split = 0; split < BERTH_SPLIT_COUNT; split++) {
        if (!s->view.has[split]) continue;
        struct berth_dataset *set = &s->view.split[split];
        struct split_labels *m = &s->mapped[split];
        BERTH_TRY(split_labels_init(m, d->task_count));
        BERTH_TRY(berth_calloc(&set->unknown_labels, d->task_count, sizeof *set->unknown_labels));
        set->labels = m->labels;
        set->numbers = m->numbers;
        set->set_offset = m->set_offset;
        set->set_values = m->set_values;
        for (size_t t = 0; t < d->task_count; t++) {
            const struct task_source *at = data_task_of(d, t, source);
            if (at) BERTH_TRY(map_task(s, (enum berth_split)split, t, at->label, &d->tasks[t].task));
        }
    }
    return BERTH_OK;
}
