/* data_text.c: `berth data` for a reader: tables of at most 100 signs a line.
 *
 * Long names are cut in the middle of a line, lists are cut after MOST entries; --json has all. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli_priv.h"
#include "cli/data_view_priv.h"

enum { MOST = 24, BINS = 12, BAR = 40, NAME = 34 };

static double share(int64_t part, int64_t whole) {
    return whole > 0 ? 100.0 * (double)part / (double)whole : 0.0;
}

/* A name in `width` columns of the terminal; characters are counted, not bytes. */
static void add_name(struct berth_str *s, const char *name, int width) {
    int columns = 0;
    for (size_t at = 0, length, size = strlen(name); at < size; at += length, columns++) {
        bool valid = false;
        (void)berth_utf8_decode(name + at, size - at, &length, &valid);
        if (columns == width - 1 && at + length < size) {
            berth_str_add(s, "~");
            return;
        }
        berth_str_addn(s, name + at, length);
    }
    berth_str_addf(s, "%*s", width - columns, "");
}

/* ---- rows and lengths */

static void add_rows(struct berth_str *s, const struct data_view *v, size_t source) {
    berth_str_add(
        s, "  split       rows      tokens    mean  median    90 %    99 % longest       cut    replaced\n");
    for (int k = 0; k < BERTH_SPLIT_COUNT; k++) {
        const struct berth_census_split *split = data_split(v, source, k);
        if (!split->there) continue;
        berth_str_addf(s, "  %-5s %10lld %11lld %7.1f %7lld %7lld %7lld %7lld %7.2f %% %11lld\n",
                       berth_split_name((enum berth_split)k), (long long)split->rows, (long long)split->tokens,
                       split->rows > 0 ? (double)split->tokens / (double)split->rows : 0.0,
                       (long long)berth_census_percentile(split, 0.5),
                       (long long)berth_census_percentile(split, 0.9),
                       (long long)berth_census_percentile(split, 0.99), (long long)split->longest,
                       share(split->rows_cut, split->rows), (long long)split->replaced);
    }
}

static int64_t rows_between(const struct berth_census_split *split, int64_t first, int64_t last) {
    int64_t rows = 0;
    for (int64_t length = first; length <= last && length <= split->longest; length++)
        rows += split->lengths[length];
    return rows;
}

/* Bins of equal width up to the length that 99.5 % of all rows do not exceed, and one for the rest. The bar is
 * that of the first split. */
static void add_histogram(struct berth_str *s, const struct data_view *v, size_t source) {
    int64_t most = 0, longest = 0, high = 1, shown = -1;
    for (int k = 0; k < BERTH_SPLIT_COUNT; k++) {
        const struct berth_census_split *split = data_split(v, source, k);
        if (!split->there) continue;
        int64_t at = berth_census_percentile(split, 0.995);
        most = at > most ? at : most;
        longest = split->longest > longest ? split->longest : longest;
        if (shown < 0) shown = k;
    }
    if (shown < 0) return;
    const int64_t width = most / BINS + 1;
    const struct berth_census_split *bars = data_split(v, source, (int)shown);
    for (int64_t first = 0; first <= most; first += width) {
        int64_t rows = rows_between(bars, first, first + width - 1);
        high = rows > high ? rows : high;
    }
    berth_str_add(s, "\n  tokens     ");
    for (int k = 0; k < BERTH_SPLIT_COUNT; k++)
        if (data_split(v, source, k)->there) berth_str_addf(s, "%10s", berth_split_name((enum berth_split)k));
    berth_str_add(s, "\n");
    for (int64_t first = 0; first <= longest; first += width) {
        bool rest = first > most;
        char range[48];
        int64_t last = rest ? longest : first + width - 1, rows = rows_between(bars, first, last);
        snprintf(range, sizeof range, "%lld-%lld", (long long)first, (long long)last);
        berth_str_addf(s, "  %11s", range);
        for (int k = 0; k < BERTH_SPLIT_COUNT; k++)
            if (data_split(v, source, k)->there)
                berth_str_addf(s, "%10lld", (long long)rows_between(data_split(v, source, k), first, last));
        int bar = rest ? 0 : (int)((rows * BAR + high - 1) / high);
        berth_str_add(s, bar > 0 ? "  " : "");
        for (int i = 0; i < bar; i++)
            berth_str_add(s, "#");
        berth_str_add(s, "\n");
        if (rest) break;
    }
}

/* ---- duplicates */

static bool any_duplicates(const struct data_view *v, size_t source) {
    for (int k = 0; k < BERTH_SPLIT_COUNT; k++) {
        const struct berth_census_split *split = data_split(v, source, k);
        if (split->repeats[BERTH_CENSUS_FOLDED] > 0) return true;
        for (int other = 0; other < BERTH_SPLIT_COUNT; other++)
            if (split->shared[BERTH_CENSUS_FOLDED][other] > 0) return true;
    }
    return false;
}

static void add_duplicates(struct berth_str *s, const struct data_view *v, size_t source) {
    if (!any_duplicates(v, source)) {
        berth_str_add(s, "\n  no text comes twice, neither within a split nor between splits\n");
        return;
    }
    berth_str_add(s, "\n  rows whose text also stands       above  in train    in dev   in test\n");
    for (int k = 0; k < BERTH_SPLIT_COUNT; k++) {
        const struct berth_census_split *split = data_split(v, source, k);
        if (!split->there) continue;
        for (int how = 0; how < BERTH_CENSUS_COMPARES; how++) {
            berth_str_addf(s, "  %-5s %-23s %9lld", how == 0 ? berth_split_name((enum berth_split)k) : "",
                           how == BERTH_CENSUS_EXACT ? "the same bytes" : "but for case, spaces, .",
                           (long long)split->repeats[how]);
            for (int other = 0; other < BERTH_SPLIT_COUNT; other++) {
                if (other == k || !data_split(v, source, other)->there)
                    berth_str_addf(s, "%10s", "-");
                else
                    berth_str_addf(s, "%10lld", (long long)split->shared[how][other]);
            }
            berth_str_add(s, "\n");
        }
    }
}

/* ---- tasks */

/* A line of a count a split: NAME  n p % ...; whole 0: without shares. */
static void add_counts(struct berth_str *s, const struct data_view *v, size_t source, const char *name,
                       const int64_t counts[BERTH_SPLIT_COUNT], const int64_t wholes[BERTH_SPLIT_COUNT]) {
    berth_str_add(s, "    ");
    add_name(s, name, NAME);
    for (int k = 0; k < BERTH_SPLIT_COUNT; k++) {
        if (!data_split(v, source, k)->there) continue;
        berth_str_addf(s, " %9lld", (long long)counts[k]);
        if (wholes)
            berth_str_addf(s, " %6.2f %%", share(counts[k], wholes[k]));
        else
            berth_str_add(s, "         ");
    }
    while (s->length > 0 && s->data[s->length - 1] == ' ')
        s->data[--s->length] = 0;
    berth_str_add(s, "\n");
}

struct entry {
    const char *name;
    int64_t counts[BERTH_SPLIT_COUNT];
};

static int64_t total_of(const struct entry *e) {
    return e->counts[0] + e->counts[1] + e->counts[2];
}

static int by_count(const void *pa, const void *pb) {
    const struct entry *a = pa, *b = pb;
    if (a->counts[0] != b->counts[0]) return a->counts[0] > b->counts[0] ? -1 : 1;
    int64_t x = total_of(a), y = total_of(b);
    if (x != y) return x > y ? -1 : 1;
    return strcmp(a->name, b->name);
}

/* Sorted by the count in training; what is left out is told. */
static void add_entries(struct berth_str *s, const struct data_view *v, size_t source, struct entry *list,
                        size_t count, const int64_t wholes[BERTH_SPLIT_COUNT]) {
    struct entry rest = {.name = NULL};
    char name[64];
    qsort(list, count, sizeof *list, by_count);
    size_t shown = count > MOST ? MOST - 1 : count;
    for (size_t i = 0; i < count; i++) {
        if (i < shown) add_counts(s, v, source, list[i].name, list[i].counts, wholes);
        for (int k = 0; i >= shown && k < BERTH_SPLIT_COUNT; k++)
            rest.counts[k] += list[i].counts[k];
    }
    if (shown == count) return;
    snprintf(name, sizeof name, "(%zu others)", count - shown);
    add_counts(s, v, source, name, rest.counts, wholes);
}

/* Labels of a task, or with entities the types of its entities, which each split numbers for itself. */
static berth_status add_labels(struct berth_str *s, const struct data_view *v, size_t source, size_t task,
                               bool entities) {
    berth_status status = BERTH_OK;
    const struct berth_task *of = berth_data_task(v->data, task);
    struct berth_labels all;
    struct entry *list = NULL;
    int64_t wholes[BERTH_SPLIT_COUNT] = {0};
    berth_labels_init(&all);
    for (int k = 0; k < BERTH_SPLIT_COUNT; k++) {
        const struct berth_census_split *split = data_split(v, source, k);
        const struct berth_labels *names = entities && split->there ? &split->tasks[task].types : &of->labels;
        for (size_t i = 0; split->there && i < names->count; i++)
            BERTH_TRY_OUT(berth_labels_add(&all, names->names[i], NULL));
    }
    BERTH_TRY_OUT(berth_calloc(&list, all.count, sizeof *list));
    for (size_t i = 0; i < all.count; i++)
        list[i].name = all.names[i];
    for (int k = 0; k < BERTH_SPLIT_COUNT; k++) {
        const struct berth_census_split *split = data_split(v, source, k);
        if (!split->there) continue;
        const struct berth_census_labels *l = &split->tasks[task];
        const struct berth_labels *names = entities ? &l->types : &of->labels;
        const int64_t *counts = entities ? l->type_counts : l->counts;
        for (size_t i = 0; i < names->count; i++) {
            list[berth_labels_find(&all, names->names[i])].counts[k] = counts[i];
            wholes[k] += counts[i];
        }
        if (!entities) wholes[k] = of->kind == BERTH_TASK_TAGGING ? l->words : l->rows;
    }
    add_entries(s, v, source, list, all.count, wholes);
out:
    berth_labels_deinit(&all);
    free(list);
    return status;
}

static void add_unseen(struct berth_str *s, const struct data_view *v, size_t source, size_t task) {
    for (int k = 0; k < BERTH_SPLIT_COUNT; k++) {
        const struct berth_census_split *split = data_split(v, source, k);
        if (!split->there || split->tasks[task].unseen.count == 0) continue;
        const struct berth_census_labels *l = &split->tasks[task];
        berth_str_addf(s, "    %s has %zu label%s that training lacks:", berth_split_name((enum berth_split)k),
                       l->unseen.count, l->unseen.count == 1 ? "" : "s");
        for (size_t i = 0; i < l->unseen.count && i < 5; i++)
            berth_str_addf(s, "%s %s (%lld)", i ? "," : "", l->unseen.names[i], (long long)l->unseen_counts[i]);
        berth_str_add(s, l->unseen.count > 5 ? ", ...\n" : "\n");
    }
}

static void add_odd(struct berth_str *s, const struct data_view *v, size_t source, size_t task) {
    for (int k = 0; k < BERTH_SPLIT_COUNT; k++) {
        const struct berth_census_split *split = data_split(v, source, k);
        if (!split->there || split->tasks[task].odd == 0) continue;
        berth_str_addf(s, "    %s: %lld tag%s not fit the scheme; the first: %s\n",
                       berth_split_name((enum berth_split)k), (long long)split->tasks[task].odd,
                       split->tasks[task].odd == 1 ? " does" : "s do",
                       split->tasks[task].odd_first ? split->tasks[task].odd_first : "");
    }
}

static void add_numbers(struct berth_str *s, const struct data_view *v, size_t source, size_t task) {
    for (int k = 0; k < BERTH_SPLIT_COUNT; k++) {
        const struct berth_census_split *split = data_split(v, source, k);
        if (!split->there) continue;
        const struct berth_census_labels *l = &split->tasks[task];
        berth_str_addf(s, "    %-5s mean %.4g, standard deviation %.4g, from %.4g to %.4g\n",
                       berth_split_name((enum berth_split)k), l->mean, l->deviation, l->least, l->most);
    }
}

static void add_total(struct berth_str *s, const struct data_view *v, size_t source, size_t task,
                      const char *name, int64_t (*value)(const struct berth_census_labels *l)) {
    int64_t counts[BERTH_SPLIT_COUNT] = {0};
    for (int k = 0; k < BERTH_SPLIT_COUNT; k++)
        if (data_split(v, source, k)->there) counts[k] = value(&data_split(v, source, k)->tasks[task]);
    add_counts(s, v, source, name, counts, NULL);
}

static int64_t labelled_rows(const struct berth_census_labels *l) {
    return l->rows;
}
static int64_t missing_rows(const struct berth_census_labels *l) {
    return l->missing;
}
static int64_t missing_words(const struct berth_census_labels *l) {
    return l->words_missing;
}
static int64_t all_entities(const struct berth_census_labels *l) {
    int64_t sum = 0;
    for (size_t i = 0; i < l->types.count; i++)
        sum += l->type_counts[i];
    return sum;
}

static berth_status add_task(struct berth_str *s, const struct data_view *v, size_t source, size_t task) {
    const struct berth_task *of = berth_data_task(v->data, task);
    bool tags = of->kind == BERTH_TASK_TAGGING, entities = tags && of->scheme != BERTH_TAGS_PLAIN;
    berth_str_addf(s, "\n  %s: %s", of->name, berth_task_kind_name(of->kind));
    if (tags) berth_str_addf(s, ", scheme %s", berth_tag_scheme_name(of->scheme));
    if (of->labels.count > 0) berth_str_addf(s, ", %zu labels", of->labels.count);
    berth_str_add(s, "\n    ");
    add_name(s, entities ? "entities" : tags ? "words with the tag" : "rows", NAME);
    for (int k = 0; k < BERTH_SPLIT_COUNT; k++)
        if (data_split(v, source, k)->there)
            berth_str_addf(s, " %9s%s", berth_split_name((enum berth_split)k), "         ");
    while (s->length > 0 && s->data[s->length - 1] == ' ')
        s->data[--s->length] = 0;
    berth_str_add(s, "\n");
    if (of->labels.count > 0) BERTH_TRY(add_labels(s, v, source, task, entities));
    if (entities) add_total(s, v, source, task, "all entities", all_entities);
    add_total(s, v, source, task, "labelled rows", labelled_rows);
    add_total(s, v, source, task, "rows without a label", missing_rows);
    if (tags) add_total(s, v, source, task, "words without a tag", missing_words);
    if (of->kind == BERTH_TASK_REGRESSION || of->kind == BERTH_TASK_SIMILARITY) add_numbers(s, v, source, task);
    add_unseen(s, v, source, task);
    add_odd(s, v, source, task);
    return BERTH_OK;
}

berth_status data_add_text(struct berth_str *s, const struct data_view *v) {
    for (size_t i = 0; i < v->census->source_count; i++) {
        bool any = false;
        for (int k = 0; k < BERTH_SPLIT_COUNT; k++)
            any = any || data_split(v, i, k)->there;
        berth_str_addf(s, "%s%s\n", i ? "\n" : "", berth_data_source(v->data, i)->name);
        if (!any) {
            berth_str_add(s, "  no task reads this source\n");
            continue;
        }
        add_rows(s, v, i);
        berth_str_addf(
            s, "  (tokens before cutting, [CLS] and [SEP] included; cut: longer than model.max_length %lld)\n",
            (long long)v->max_length);
        add_histogram(s, v, i);
        add_duplicates(s, v, i);
        for (size_t t = 0; t < v->census->task_count; t++)
            if (berth_data_task_reads(v->data, t, i)) BERTH_TRY(add_task(s, v, i, t));
    }
    for (size_t i = 0; i < v->census->leak_count; i++) {
        const struct berth_census_leak *leak = &v->census->leaks[i];
        berth_str_addf(
            s, "\n%s %s: %lld rows are training rows of %s (%lld but for case, spaces, punctuation)\n",
            berth_data_source(v->data, leak->source)->name, berth_split_name(leak->split),
            (long long)leak->rows[BERTH_CENSUS_EXACT], berth_data_source(v->data, leak->training)->name,
            (long long)leak->rows[BERTH_CENSUS_FOLDED]);
    }
    return BERTH_OK;
}
