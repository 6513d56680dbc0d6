/* census.c: rows, their lengths, and texts that come more than once.
 *
 * The rows of a split are walked in the order in which they were packed, so that packed rows tell the lengths
 * of all but those that may have been cut: these are encoded again. Digests of the texts are sorted, and two
 * sorted lists are compared by walking down both. */
#include "data/census_priv.h"

#include <stdlib.h>
#include <string.h>

struct digests {
    uint64_t *list[BERTH_CENSUS_COMPARES]; /* [count] sorted in the end */
    size_t capacity[BERTH_CENSUS_COMPARES];
    size_t count;
};

struct walker {
    const struct berth_data *data;
    const struct specs *specs;
    struct row_encoder encoder;
    struct digests (*digests)[BERTH_SPLIT_COUNT]; /* [sources] */
    size_t length_capacity;
    struct berth_str work;
};

/* ---- lengths */

/* Of packed row r: what it is when surely nothing was cut, else 0. */
static int64_t known_length(const struct berth_dataset *set, int64_t r, int64_t max_length) {
    int64_t length = set->offset[r + 1] - set->offset[r];
    int64_t pair = set->pair_at ? set->pair_at[r] : 0, negative = set->negative_at ? set->negative_at[r] : 0;
    if (set->origin && ((r + 1 < set->rows && set->origin[r + 1] == set->origin[r]))) return 0;
    if (pair > 0 || negative > 0) {
        int64_t second = pair > 0 ? pair : negative, third = negative > 0 ? negative : length;
        int64_t parts[] = {second, third - second, length - third};
        length = parts[0];
        for (int i = 1; i < 3; i++)
            length = parts[i] > length ? parts[i] : length;
    }
    return length < max_length ? length : 0;
}

static berth_status encode_again(struct walker *w, const struct source_spec *spec, const struct berth_row *row,
                                 int64_t *length) {
    enum row_words words = row->pre_split ? ROW_BY_LIST : spec->by_words ? ROW_BY_SPACE : ROW_WHOLE;
    if (spec->separate)
        BERTH_TRY(row_encode_separate(&w->encoder, row->text, row->text_pair, row->text_negative, words));
    else
        BERTH_TRY(row_encode(&w->encoder, row->text, row->text_pair, words));
    *length = (int64_t)w->encoder.whole;
    return BERTH_OK;
}

static berth_status add_length(struct walker *w, struct berth_census_split *split, int64_t length) {
    if (length > split->longest || !split->lengths) {
        size_t had = split->lengths ? (size_t)split->longest + 1 : 0;
        BERTH_TRY(berth_grow(&split->lengths, &w->length_capacity, (size_t)length + 1, sizeof *split->lengths));
        memset(split->lengths + had, 0, ((size_t)length + 1 - had) * sizeof *split->lengths);
        split->longest = length;
    }
    split->lengths[length]++;
    split->rows++;
    split->tokens += length;
    split->rows_cut += length > w->specs->max_length;
    return BERTH_OK;
}

int64_t berth_census_percentile(const struct berth_census_split *split, double share) {
    int64_t seen = 0;
    for (int64_t length = 0; length <= split->longest && split->rows > 0; length++) {
        seen += split->lengths[length];
        if ((double)seen >= share * (double)split->rows) return length;
    }
    return split->longest;
}

/* ---- texts */

static void add_text(struct berth_str *s, const char *text, enum berth_census_compare compare) {
    if (!text) return;
    if (compare == BERTH_CENSUS_FOLDED)
        berth_text_fold_words(s, text, strlen(text));
    else
        berth_str_add(s, text);
}

static berth_status add_digests(struct walker *w, struct digests *d, const struct berth_row *row) {
    const char *const texts[] = {row->text, row->text_pair, row->text_negative};
    for (int k = 0; k < BERTH_CENSUS_COMPARES; k++) {
        berth_str_reset(&w->work);
        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
            if (i > 0) berth_str_add(&w->work, "\x1E");
            add_text(&w->work, texts[i], (enum berth_census_compare)k);
        }
        if (w->work.failed) BERTH_FAIL(BERTH_E_MEMORY, "out of memory");
        BERTH_TRY(berth_grow(&d->list[k], &d->capacity[k], d->count + 1, sizeof *d->list[k]));
        d->list[k][d->count] = berth_hash(w->work.data, w->work.length).low;
    }
    d->count++;
    return BERTH_OK;
}

static int by_value(const void *pa, const void *pb) {
    uint64_t a = *(const uint64_t *)pa, b = *(const uint64_t *)pb;
    return a < b ? -1 : a > b;
}

static int64_t count_repeats(const uint64_t *list, size_t count) {
    int64_t repeats = 0;
    for (size_t i = 1; i < count; i++)
        repeats += list[i] == list[i - 1];
    return repeats;
}

/* How many of a's entries stand in b. */
static int64_t count_shared(const uint64_t *a, size_t a_count, const uint64_t *b, size_t b_count) {
    int64_t shared = 0;
    for (size_t i = 0, k = 0; i < a_count; i++) {
        while (k < b_count && b[k] < a[i])
            k++;
        shared += k < b_count && b[k] == a[i];
    }
    return shared;
}

/* ---- a split */

static berth_status walk_rows(struct walker *w, struct berth_census_split *split, struct digests *digests,
                              struct row_walk *walk, const struct berth_dataset *set) {
    int64_t packed = 0;
    w->length_capacity = 0;
    for (;;) {
        bool more = false;
        BERTH_TRY(row_walk_next(walk, &more));
        if (!more) break;
        if (packed >= set->rows) break;
        int64_t length = known_length(set, packed, w->specs->max_length);
        if (length == 0) BERTH_TRY(encode_again(w, walk->spec, &walk->reader.row, &length));
        for (packed++; set->origin && packed < set->rows && set->origin[packed] == set->origin[packed - 1];)
            packed++;
        BERTH_TRY(add_length(w, split, length));
        BERTH_TRY(add_digests(w, digests, &walk->reader.row));
    }
    if (split->rows != set->source_rows || packed != set->rows)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: the files have changed while they were read", walk->spec->name);
    return BERTH_OK;
}

static berth_status walk_split(struct walker *w, struct berth_census *census, size_t source,
                               enum berth_split which) {
    berth_status status = BERTH_OK;
    const struct source_spec *spec = &w->specs->sources[source];
    const struct berth_dataset *set = &w->data->sources[source].view.split[which];
    struct berth_census_split *split = &census->sources[source][which];
    struct digests *digests = &w->digests[source][which];
    struct source_files files = {0};
    struct row_walk walk;
    uint8_t *kept = NULL;
    split->there = true;
    row_walk_begin(&walk, spec, which, &files, NULL);
    BERTH_TRY_OUT(source_files_map(&files, spec, which));
    BERTH_TRY_OUT(limit_choose(&kept, spec, which, &files));
    walk.kept = kept;
    BERTH_TRY_OUT(walk_rows(w, split, digests, &walk, set));
    split->replaced = w->data->sources[source].packs[which].report.replaced.count;
    for (int k = 0; k < BERTH_CENSUS_COMPARES; k++) {
        qsort(digests->list[k], digests->count, sizeof *digests->list[k], by_value);
        split->repeats[k] = count_repeats(digests->list[k], digests->count);
    }
    BERTH_TRY_OUT(census_labels(split, w->data, w->specs, source, which));
out:
    row_walk_end(&walk);
    source_files_unmap(&files, spec, which);
    free(kept);
    return status;
}

/* ---- between splits */

static void compare_splits(struct walker *w, struct berth_census *census, size_t source) {
    for (int a = 0; a < BERTH_SPLIT_COUNT; a++)
        for (int b = 0; b < BERTH_SPLIT_COUNT; b++)
            for (int k = 0; a != b && k < BERTH_CENSUS_COMPARES; k++) {
                const struct digests *x = &w->digests[source][a], *y = &w->digests[source][b];
                census->sources[source][a].shared[k][b] =
                    count_shared(x->list[k], x->count, y->list[k], y->count);
            }
}

static berth_status compare_sources(struct walker *w, struct berth_census *census, size_t *capacity) {
    for (size_t a = 0; a < census->source_count; a++)
        for (size_t b = 0; b < census->source_count; b++)
            for (int split = BERTH_DEV; a != b && split < BERTH_SPLIT_COUNT; split++) {
                const struct digests *x = &w->digests[a][split], *y = &w->digests[b][BERTH_TRAIN];
                struct berth_census_leak leak = {.source = a, .training = b, .split = (enum berth_split)split};
                for (int k = 0; k < BERTH_CENSUS_COMPARES; k++)
                    leak.rows[k] = count_shared(x->list[k], x->count, y->list[k], y->count);
                if (leak.rows[BERTH_CENSUS_FOLDED] == 0) continue; /* what is the same is the same folded */
                BERTH_TRY(berth_grow(&census->leaks, capacity, census->leak_count + 1, sizeof *census->leaks));
                census->leaks[census->leak_count++] = leak;
            }
    return BERTH_OK;
}

static berth_status take(struct berth_census *census, struct walker *w) {
    size_t capacity = 0;
    BERTH_TRY(berth_calloc(&census->sources, census->source_count, sizeof *census->sources));
    BERTH_TRY(berth_calloc(&w->digests, census->source_count, sizeof *w->digests));
    for (size_t s = 0; s < census->source_count; s++) {
        for (int split = 0; split < BERTH_SPLIT_COUNT; split++)
            if (w->data->sources[s].view.has[split])
                BERTH_TRY(walk_split(w, census, s, (enum berth_split)split));
        compare_splits(w, census, s);
    }
    return compare_sources(w, census, &capacity);
}

berth_status berth_census_take(struct berth_census **out, const struct berth_data *d,
                               const struct berth_config *c, const struct berth_tokenizer *t) {
    berth_status status = BERTH_OK;
    struct berth_census *census = NULL;
    struct specs specs;
    struct walker w = {.data = d, .specs = &specs};
    *out = NULL;
    berth_str_init(&w.work);
    BERTH_TRY_OUT(specs_read(&specs, c));
    row_encoder_init(&w.encoder, t, specs.max_length);
    BERTH_TRY_OUT(berth_calloc(&census, 1, sizeof *census));
    census->source_count = d->source_count;
    census->task_count = d->task_count;
    BERTH_TRY_OUT(take(census, &w));
    *out = census;
    census = NULL;
out:
    for (size_t s = 0; w.digests && s < d->source_count; s++)
        for (int split = 0; split < BERTH_SPLIT_COUNT; split++)
            for (int k = 0; k < BERTH_CENSUS_COMPARES; k++)
                free(w.digests[s][split].list[k]);
    free(w.digests);
    berth_str_deinit(&w.work);
    row_encoder_deinit(&w.encoder);
    specs_deinit(&specs);
    berth_census_free(census);
    return status;
}

void berth_census_free(struct berth_census *census) {
    if (!census) return;
    for (size_t s = 0; census->sources && s < census->source_count; s++)
        for (int k = 0; k < BERTH_SPLIT_COUNT; k++) {
            struct berth_census_split *split = &census->sources[s][k];
            for (size_t t = 0; split->tasks && t < census->task_count; t++)
                census_labels_deinit(&split->tasks[t]);
            free(split->tasks);
            free(split->lengths);
        }
    free(census->sources);
    free(census->leaks);
    free(census);
}
