/* sampler.c: the order of an epoch's rows and how they are cut into steps; a pure function of (seed, epoch).
 *
 *     entries   the rows that may be drawn, in groups: one group (mixed batches), or one a task (one_task)
 *     1. all entries are shuffled (Philox: purpose ORDER, stream = epoch), then parted by group in that order
 *     2. each group is cut in windows of 64 steps; inside a window rows are sorted by length (stable), so a
 * step holds rows of near length, and cut into steps of batch_size rows or of up to batch_tokens tokens
 *     3. the steps are shuffled by a key a step (Philox: purpose SAMPLER, stream = epoch): inside their window,
 * so that lengths come in no order; with one_task over the whole epoch, so that tasks interleave.
 *
 * Rows that no task could learn from are no entries. A row that is longer than batch_tokens is a step of its
 * own. With batch_size a mixed epoch's last step takes what is left over, and stays last. Everything is counted
 * into arrays made once: an epoch's plan allocates nothing.
 */
#include "data/data_priv.h"

#include <stdlib.h>
#include <string.h>

#define WINDOW_STEPS 64

static bool is_trained(const struct sampler *s, size_t task) {
    return s->options.tasks == NULL || s->options.tasks[task];
}

static berth_status add_entries(struct sampler *s, const struct berth_data *d, size_t *capacity, size_t source,
                                int task) {
    const struct berth_dataset *set = &d->sources[source].view.split[BERTH_TRAIN];
    for (int64_t row = 0; row < set->rows; row++) {
        bool feeds = false;
        for (size_t t = 0; t < d->task_count && !feeds; t++)
            feeds = (task < 0 || (size_t)task == t) && is_trained(s, t) && row_feeds_task(d, t, source, row);
        if (!feeds) continue;
        BERTH_TRY(berth_grow(&s->entries, capacity, (size_t)s->entry_count + 1, sizeof *s->entries));
        struct plan_entry *entry = &s->entries[s->entry_count++];
        entry->row = row;
        entry->source = (int32_t)source;
        entry->length = (int32_t)(set->offset[row + 1] - set->offset[row]);
        if (entry->length > s->max_length) s->max_length = entry->length;
    }
    return BERTH_OK;
}

static berth_status make_groups(struct sampler *s, const struct berth_data *d) {
    size_t capacity = 0;
    s->group_count = s->options.one_task ? d->task_count : 1;
    BERTH_TRY(berth_calloc(&s->group_first, s->group_count + 1, sizeof *s->group_first));
    if (s->options.one_task) {
        for (size_t t = 0; t < d->task_count; t++) {
            s->group_first[t] = s->entry_count;
            for (size_t i = 0; i < d->tasks[t].source_count; i++)
                if (d->sources[d->tasks[t].sources[i].source].view.has[BERTH_TRAIN])
                    BERTH_TRY(add_entries(s, d, &capacity, d->tasks[t].sources[i].source, (int)t));
        }
    } else {
        for (size_t i = 0; i < d->source_count; i++)
            if (d->sources[i].view.has[BERTH_TRAIN]) BERTH_TRY(add_entries(s, d, &capacity, i, -1));
    }
    s->group_first[s->group_count] = s->entry_count;
    return BERTH_OK;
}

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
static berth_status check_task(const struct berth_data *d, size_t index) {
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

berth_status sampler_init(struct sampler *s, const struct berth_data *d,
                          const struct berth_feeder_options *options) {
    memset(s, 0, sizeof *s);
    s->options = *options;
    BERTH_ASSERT(options->batch_size > 0 || options->batch_tokens > 0);
    for (size_t t = 0; t < d->task_count; t++)
        if (is_trained(s, t)) BERTH_TRY(check_task(d, t));
    BERTH_TRY(make_groups(s, d));
    if (s->entry_count == 0) BERTH_FAIL(BERTH_E_USAGE, "no training row carries a label of any task");
    size_t n = (size_t)s->entry_count;
    BERTH_TRY(berth_calloc(&s->scratch, n, sizeof *s->scratch));
    BERTH_TRY(berth_calloc(&s->step_first, n + 1, sizeof *s->step_first));
    BERTH_TRY(berth_calloc(&s->step_group, n, sizeof *s->step_group));
    BERTH_TRY(berth_calloc(&s->step_keys, n, sizeof *s->step_keys));
    BERTH_TRY(berth_calloc(&s->group_at, s->group_count, sizeof *s->group_at));
    BERTH_TRY(berth_calloc(&s->counts, (size_t)s->max_length + 2, sizeof *s->counts));
    return BERTH_OK;
}

void sampler_deinit(struct sampler *s) {
    free(s->entries);
    free(s->group_first);
    free(s->scratch);
    free(s->step_first);
    free(s->step_group);
    free(s->step_keys);
    free(s->group_at);
    free(s->counts);
    memset(s, 0, sizeof *s);
}

berth_status plan_init(struct plan *p, const struct sampler *s) {
    size_t n = (size_t)s->entry_count;
    memset(p, 0, sizeof *p);
    p->epoch = -1;
    BERTH_TRY(berth_calloc(&p->order, n, sizeof *p->order));
    BERTH_TRY(berth_calloc(&p->step_first, n + 1, sizeof *p->step_first));
    BERTH_TRY(berth_calloc(&p->step_group, n, sizeof *p->step_group));
    return BERTH_OK;
}

void plan_deinit(struct plan *p) {
    free(p->order);
    free(p->step_first);
    free(p->step_group);
    memset(p, 0, sizeof *p);
}

/* order = all entries shuffled, the groups one after the other. */
static void shuffle_entries(int64_t *order, struct sampler *s, int64_t epoch) {
    for (int64_t i = 0; i < s->entry_count; i++)
        s->scratch[i] = i;
    berth_random_permute(s->options.seed, BERTH_PURPOSE_ORDER, (uint32_t)epoch, s->scratch,
                         (size_t)s->entry_count);
    for (size_t g = 0; g < s->group_count; g++)
        s->group_at[g] = s->group_first[g];
    for (int64_t i = 0; i < s->entry_count; i++) {
        size_t g = 0;
        while (s->scratch[i] >= s->group_first[g + 1])
            g++;
        order[s->group_at[g]++] = s->scratch[i];
    }
}

/* How many entries the next window takes. */
static int64_t window_length(const struct sampler *s, const int64_t *order, int64_t left) {
    int64_t rows = s->options.batch_size > 0 ? WINDOW_STEPS * s->options.batch_size : INT64_MAX;
    int64_t tokens = s->options.batch_tokens > 0 ? WINDOW_STEPS * s->options.batch_tokens : INT64_MAX;
    int64_t count = 0, sum = 0;
    while (count < left && count < rows && sum < tokens)
        sum += s->entries[order[count++]].length;
    return count;
}

/* Stable counting sort of one window by length, shortest first. */
static void sort_window(int64_t *order, struct sampler *s, int64_t count) {
    memset(s->counts, 0, ((size_t)s->max_length + 2) * sizeof *s->counts);
    for (int64_t i = 0; i < count; i++)
        s->counts[s->entries[order[i]].length + 1]++;
    for (int32_t k = 0; k <= s->max_length; k++)
        s->counts[k + 1] += s->counts[k];
    for (int64_t i = 0; i < count; i++)
        s->scratch[s->counts[s->entries[order[i]].length]++] = order[i];
    memcpy(order, s->scratch, (size_t)count * sizeof *order);
}

/* How many of a sorted window's entries make the next step. */
static int64_t step_length(const struct sampler *s, const int64_t *order, int64_t left) {
    int64_t rows = s->options.batch_size > 0 ? s->options.batch_size : INT64_MAX;
    int64_t tokens = s->options.batch_tokens > 0 ? s->options.batch_tokens : INT64_MAX;
    int64_t count = 0, sum = 0;
    while (count < left && count < rows) {
        sum += s->entries[order[count]].length;
        if (count > 0 && sum > tokens) break;
        count++;
    }
    return count;
}

static int compare_keys(const void *pa, const void *pb) {
    const struct step_key *a = pa, *b = pb;
    if (a->key != b->key) return a->key < b->key ? -1 : 1;
    return a->step < b->step ? -1 : 1;
}

/* Heap sort: the C library's sort asks for memory. */
static void sift(struct step_key *keys, int64_t at, int64_t count) {
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= count) return;
        if (child + 1 < count && compare_keys(&keys[child], &keys[child + 1]) < 0) child++;
        if (compare_keys(&keys[at], &keys[child]) >= 0) return;
        struct step_key swap = keys[at];
        keys[at] = keys[child];
        keys[child] = swap;
        at = child;
    }
}

static void sort_keys(struct step_key *keys, int64_t count) {
    for (int64_t i = count / 2; i-- > 0;)
        sift(keys, i, count);
    for (int64_t last = count - 1; last > 0; last--) {
        struct step_key swap = keys[0];
        keys[0] = keys[last];
        keys[last] = swap;
        sift(keys, 0, last);
    }
}

/* Shuffles the steps [first, end) of s->step_keys, which name their step. */
static void shuffle_steps(struct sampler *s, int64_t epoch, int64_t first, int64_t end) {
    for (int64_t i = first; i < end; i++)
        s->step_keys[i].key =
            berth_random_u32(s->options.seed, BERTH_PURPOSE_SAMPLER, (uint32_t)epoch, (uint64_t)i);
    sort_keys(s->step_keys + first, end - first);
}

/* Cuts one group into steps, appended to s->step_first (starts in `order`) and s->step_keys. */
static int64_t cut_group(int64_t *order, struct sampler *s, size_t group, int64_t steps, int64_t epoch) {
    int64_t at = s->group_first[group], end = s->group_first[group + 1];
    while (at < end) {
        int64_t window = window_length(s, order + at, end - at), first_step = steps, last = at + window;
        sort_window(order + at, s, window);
        while (at < last) {
            s->step_first[steps] = at;
            s->step_group[steps] = (int32_t)group;
            s->step_keys[steps].step = steps;
            at += step_length(s, order + at, last - at);
            steps++;
        }
        if (s->options.one_task) continue;
        int64_t short_step = s->options.batch_tokens == 0 && window % s->options.batch_size != 0;
        shuffle_steps(s, epoch, first_step, steps - short_step);
    }
    return steps;
}

void plan_make(struct plan *p, struct sampler *s, int64_t epoch) {
    int64_t *cut = p->order, steps = 0;
    shuffle_entries(cut, s, epoch);
    for (size_t g = 0; g < s->group_count; g++)
        steps = cut_group(cut, s, g, steps, epoch);
    s->step_first[steps] = s->entry_count;
    if (s->options.one_task) shuffle_steps(s, epoch, 0, steps);

    /* Lay the steps out in their final order. */
    memcpy(s->scratch, cut, (size_t)s->entry_count * sizeof *cut);
    p->step_first[0] = 0;
    for (int64_t i = 0; i < steps; i++) {
        int64_t step = s->step_keys[i].step, first = s->step_first[step];
        int64_t count = s->step_first[step + 1] - first;
        memcpy(p->order + p->step_first[i], s->scratch + first, (size_t)count * sizeof *cut);
        p->step_first[i + 1] = p->step_first[i] + count;
        p->step_group[i] = s->step_group[step];
    }
    p->step_count = steps;
    p->epoch = epoch;
}
