/* census_labels.c: what each task finds in a split: labels, those that training lacks, entities, numbers. */
#include <math.h>
#include <stdlib.h>

#include "berth/tags.h"
#include "data/census_priv.h"

void census_labels_deinit(struct berth_census_labels *l) {
    berth_labels_deinit(&l->unseen);
    berth_labels_deinit(&l->types);
    free(l->counts);
    free(l->unseen_counts);
    free(l->type_counts);
    free(l->odd_first);
}

static bool begins_row(const struct berth_dataset *set, int64_t row) {
    return !set->origin || row == 0 || set->origin[row] != set->origin[row - 1];
}

struct counted_names { /* counts in the order in which names came */
    struct berth_labels *names;
    int64_t **counts;
    size_t capacity;
};

static berth_status count_name(struct counted_names *c, const char *name) {
    int32_t at = 0;
    size_t known = c->names->count;
    BERTH_TRY(berth_labels_add(c->names, name, &at));
    BERTH_TRY(berth_grow(c->counts, &c->capacity, c->names->count, sizeof **c->counts));
    if (c->names->count > known) (*c->counts)[at] = 0;
    (*c->counts)[at]++;
    return BERTH_OK;
}

/* One label: of the task, or one that training lacks, whose name the pack knows. */
static berth_status count_label(struct berth_census_labels *l, struct counted_names *unseen, int32_t label,
                                int32_t in_pack, const struct pack_labels *pack) {
    if (label >= 0) l->counts[label]++;
    return label == BERTH_LABEL_UNKNOWN ? count_name(unseen, pack->names.names[in_pack]) : BERTH_OK;
}

static berth_status count_rows(struct berth_census_labels *l, const struct berth_dataset *set, size_t task,
                               enum berth_task_kind kind, const struct pack_labels *pack) {
    struct counted_names unseen = {.names = &l->unseen, .counts = &l->unseen_counts};
    for (int64_t row = 0; row < set->rows; row++) {
        if (!begins_row(set, row)) continue;
        bool labelled = kind == BERTH_TASK_MLM || set->labels[task][row] != BERTH_LABEL_MISSING;
        l->rows += labelled;
        l->missing += !labelled;
        if (!labelled) continue;
        if (kind == BERTH_TASK_CLASSIFICATION)
            BERTH_TRY(count_label(l, &unseen, set->labels[task][row], pack->values[row], pack));
        for (int64_t k = kind == BERTH_TASK_MULTILABEL ? set->set_offset[task][row] : 0;
             kind == BERTH_TASK_MULTILABEL && k < set->set_offset[task][row + 1]; k++)
            BERTH_TRY(count_label(l, &unseen, set->set_values[task][k], pack->set_values[k], pack));
    }
    return BERTH_OK;
}

/* Words [first, end) are those of one text row, whatever windows it has. */
static berth_status count_words(struct berth_census_labels *l, struct counted_names *unseen,
                                struct counted_names *types, const struct berth_dataset *set, size_t task,
                                const struct berth_task *of, const struct pack_labels *pack, const char **names,
                                int64_t first, int64_t end) {
    struct berth_entity_cursor cursor;
    struct berth_entity entity;
    int64_t tagged = 0;
    for (int64_t w = first; w < end; w++) {
        int32_t label = set->labels[task][w];
        names[w - first] = NULL;
        if (label == BERTH_LABEL_MISSING) continue;
        names[w - first] = label >= 0 ? of->labels.names[label] : pack->names.names[pack->values[w]];
        BERTH_TRY(count_label(l, unseen, label, pack->values[w], pack));
        tagged++;
    }
    l->words += tagged;
    l->words_missing += end - first - tagged;
    l->rows += tagged > 0;
    l->missing += tagged == 0;
    if (of->scheme == BERTH_TAGS_PLAIN) return BERTH_OK;
    berth_entities_begin(&cursor, names, (size_t)(end - first), BERTH_SPANS_DEFAULT);
    while (berth_entity_next(&cursor, &entity))
        BERTH_TRY(count_name(types, entity.type));
    return BERTH_OK;
}

static berth_status count_tags(struct berth_census_labels *l, const struct berth_dataset *set, size_t task,
                               const struct berth_task *of, const struct pack_labels *pack) {
    berth_status status = BERTH_OK;
    struct counted_names unseen = {.names = &l->unseen, .counts = &l->unseen_counts};
    struct counted_names types = {.names = &l->types, .counts = &l->type_counts};
    const char **names = NULL;
    size_t capacity = 0;
    for (int64_t row = 0, last; row < set->rows; row = last) {
        for (last = row + 1; last < set->rows && !begins_row(set, last);)
            last++;
        int64_t first = set->word_offset[row], end = set->word_offset[last];
        BERTH_TRY_OUT(berth_grow(&names, &capacity, (size_t)(end - first), sizeof *names));
        BERTH_TRY_OUT(count_words(l, &unseen, &types, set, task, of, pack, names, first, end));
    }
out:
    free(names);
    return status;
}

static void measure_numbers(struct berth_census_labels *l, const struct berth_dataset *set, size_t task) {
    double sum = 0, squares = 0;
    l->least = (double)INFINITY;
    l->most = -(double)INFINITY;
    for (int64_t row = 0; row < set->rows; row++) {
        if (!begins_row(set, row) || set->labels[task][row] == BERTH_LABEL_MISSING) continue;
        double x = (double)set->numbers[task][row];
        sum += x;
        l->least = x < l->least ? x : l->least;
        l->most = x > l->most ? x : l->most;
    }
    if (l->rows == 0) {
        l->least = l->most = l->mean = l->deviation = (double)NAN;
        return;
    }
    l->mean = sum / (double)l->rows;
    for (int64_t row = 0; row < set->rows; row++) {
        if (!begins_row(set, row) || set->labels[task][row] == BERTH_LABEL_MISSING) continue;
        double x = (double)set->numbers[task][row] - l->mean;
        squares += x * x;
    }
    l->deviation = sqrt(squares / (double)l->rows);
}

/* Tags out of place, by the scheme that the files have. */
static berth_status find_odd(struct berth_census_labels *l, const struct berth_data *d,
                             const struct specs *specs, size_t task, const struct tag_census *tags) {
    enum berth_tag_scheme scheme = BERTH_TAGS_PLAIN;
    const char *first = NULL;
    BERTH_TRY(task_scheme_in_files(&scheme, d, specs, task, NULL));
    l->odd = tag_census_odd(tags, scheme, &first);
    return l->odd > 0 && first ? berth_strdup(&l->odd_first, first) : BERTH_OK;
}

berth_status census_labels(struct berth_census_split *split, const struct berth_data *d,
                           const struct specs *specs, size_t source, enum berth_split which) {
    const struct data_source *from = &d->sources[source];
    const struct berth_dataset *set = &from->view.split[which];
    BERTH_TRY(berth_calloc(&split->tasks, d->task_count, sizeof *split->tasks));
    for (size_t t = 0; t < d->task_count; t++) {
        const struct berth_task *of = &d->tasks[t].task;
        const struct task_source *at = data_task_of(d, t, source);
        struct berth_census_labels *l = &split->tasks[t];
        berth_labels_init(&l->unseen);
        berth_labels_init(&l->types);
        if (!at) continue;
        l->there = true;
        if (of->labels.count > 0) BERTH_TRY(berth_calloc(&l->counts, of->labels.count, sizeof *l->counts));
        const struct pack_labels *pack = &from->packs[which].labels[at->label];
        if (of->kind == BERTH_TASK_TAGGING) {
            BERTH_TRY(count_tags(l, set, t, of, pack));
            BERTH_TRY(find_odd(l, d, specs, t, &from->packs[which].report.tags[at->label]));
            continue;
        }
        BERTH_TRY(count_rows(l, set, t, of->kind, pack));
        if (of->kind == BERTH_TASK_REGRESSION || of->kind == BERTH_TASK_SIMILARITY) measure_numbers(l, set, t);
    }
    return BERTH_OK;
}
