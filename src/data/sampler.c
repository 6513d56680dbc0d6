/* sampler.c: the order of an epoch's rows and how they are cut into steps; a pure function of (seed, epoch).
 *
 *     1. each stream gives its draws of the epoch: draws e*c .. (e+1)*c of its endless row of passes; a pass
 * that is taken whole needs no order of its own, of another the part of its permutation (Philox: purpose ROWS,
 * stream = pass)
 *     2. all draws are shuffled (purpose ORDER, stream = epoch), with mix: step and all each unit's for itself
 *     3. they are cut in windows of 64 steps; inside a window rows are sorted by length (stable), so a step
 * holds rows of near length, and cut into steps of batch_size rows or of up to batch_tokens tokens
 *     4. the steps are shuffled by a key a step (purpose SAMPLER, stream = epoch): inside their window, so that
 *        lengths come in no order; with mix: step over the whole epoch, so that tasks interleave.
 *
 * A row that is longer than batch_tokens is a step of its own. With batch_size a mixed epoch's last step takes
 * what is left over, and stays last. */
#include <stdlib.h>
#include <string.h>

#include "data/sample_priv.h"

#define WINDOW_STEPS 64

berth_status sampler_init(struct sampler *s, const struct berth_data *d,
                          const struct berth_feeder_options *options) {
    memset(s, 0, sizeof *s);
    s->data = d;
    s->options = *options;
    s->sampling = options->config ? &s->own : &d->sampling;
    if (options->config) BERTH_TRY(sampling_read(&s->own, options->config));
    s->mix = options->one_task ? MIX_STEP : s->sampling->mix;
    BERTH_ASSERT(options->batch_size > 0 || options->batch_tokens > 0);
    BERTH_TRY(berth_calloc(&s->tasks, d->task_count, sizeof *s->tasks));
    for (size_t t = 0; t < d->task_count; t++) {
        s->tasks[t] = !options->tasks || options->tasks[t];
        if (s->tasks[t]) BERTH_TRY(sampler_check_task(d, t));
    }
    s->options.tasks = s->tasks;
    BERTH_TRY(sampler_make_units(s));
    BERTH_TRY(augmenter_create(&s->augmenter, d, options->seed));
    BERTH_TRY(sampler_check_altered(s));
    return sampler_share_out(s);
}

void sampler_deinit(struct sampler *s) {
    for (size_t i = 0; i < s->unit_count; i++) {
        for (size_t k = 0; k < s->units[i].stream_count; k++)
            free(s->units[i].streams[k].rows);
        free(s->units[i].streams);
        free(s->units[i].fed);
    }
    free(s->units);
    sampling_deinit(&s->own);
    augmenter_free(s->augmenter);
    free(s->source_altered);
    free(s->task_altered);
    free(s->base);
    free(s->tasks);
    memset(s, 0, sizeof *s);
}

berth_status plan_init(struct plan *p, const struct sampler *s) {
    memset(p, 0, sizeof *p);
    p->epoch = -1;
    size_t n = (size_t)s->draw_count;
    BERTH_TRY(berth_calloc(&p->order, n, sizeof *p->order));
    BERTH_TRY(berth_calloc(&p->counts, (size_t)s->max_length + 2, sizeof *p->counts));
    if (s->longest_part > 0)
        BERTH_TRY(berth_calloc(&p->permutation, (size_t)s->longest_part, sizeof *p->permutation));
    if (s->longest_part > 0) BERTH_TRY(berth_calloc(&p->came, (size_t)s->longest_part, 1));
    if (s->repeats) BERTH_TRY(berth_calloc(&p->occurrence, n, sizeof *p->occurrence));
    if (s->mix != MIX_ALL) return BERTH_OK;
    BERTH_TRY(berth_calloc(&p->mixed, n, sizeof *p->mixed));
    return s->repeats ? berth_calloc(&p->mixed_occurrence, n, sizeof *p->mixed_occurrence) : BERTH_OK;
}

void plan_deinit(struct plan *p) {
    free(p->order);
    free(p->occurrence);
    free(p->steps);
    free(p->permutation);
    free(p->window);
    free(p->window_occurrence);
    free(p->mixed);
    free(p->mixed_occurrence);
    free(p->came);
    free(p->counts);
    memset(p, 0, sizeof *p);
}

void permute_rows(uint64_t seed, enum berth_purpose purpose, uint32_t stream, uint64_t offset, uint32_t *values,
                  uint16_t *companion, size_t count) {
    for (size_t i = count; i > 1; i--) {
        size_t j = (size_t)berth_random_below(seed, purpose, stream, offset + i - 1, i);
        uint32_t held = values[i - 1];
        values[i - 1] = values[j];
        values[j] = held;
        if (!companion) continue;
        uint16_t other = companion[i - 1];
        companion[i - 1] = companion[j];
        companion[j] = other;
    }
}

static uint32_t stream_row(const struct stream *s, int64_t i) {
    return s->rows ? s->rows[i] : s->first + (uint32_t)i;
}

/* A stream's draws of the epoch at order[at..]; returns the place behind them. */
static int64_t draw_stream(struct plan *p, const struct sampler *s, const struct stream *stream, uint64_t key,
                           int64_t epoch, int64_t at) {
    int64_t n = stream->count, from = epoch * stream->draws, to = from + stream->draws;
    int64_t began = 0; /* 1: the epoch began within a pass, whose rows `came` holds */
    if (stream->draws == 0) return at;
    if (from % n != 0) memset(p->came, 0, (size_t)n);
    for (int64_t pass = from / n; pass * n < to; pass++) {
        int64_t low = pass * n < from ? from - pass * n : 0, high = (pass + 1) * n > to ? to - pass * n : n;
        bool whole = low == 0 && high == n;
        for (int64_t i = 0; !whole && i < n; i++)
            p->permutation[i] = (uint32_t)i;
        if (!whole)
            permute_rows(s->options.seed, BERTH_PURPOSE_ROWS, (uint32_t)pass, key, p->permutation, NULL,
                         (size_t)n);
        int64_t repeat = pass - from / n - began;
        for (int64_t i = low; i < high; i++, at++) {
            int64_t row = whole ? i : p->permutation[i], before = repeat;
            if (pass == from / n && low > 0) p->came[row] = 1;
            if (pass > from / n && began) before += p->came[row];
            p->order[at] = stream_row(stream, row);
            if (p->occurrence) p->occurrence[at] = (uint16_t)(before < UINT16_MAX ? before : UINT16_MAX);
        }
        if (pass == from / n && low > 0) began = 1;
    }
    return at;
}

static uint16_t *occurrence_at(const struct plan *p, int64_t at) {
    return p->occurrence ? p->occurrence + at : NULL;
}

/* All draws of the epoch, unit after unit, shuffled. */
static void draw_epoch(struct plan *p, const struct sampler *s, int64_t epoch) {
    int64_t at = 0;
    for (size_t u = 0; u < s->unit_count; u++) {
        int64_t first = at;
        for (size_t k = 0; k < s->units[u].stream_count; k++)
            at = draw_stream(p, s, &s->units[u].streams[k], (uint64_t)u << 48 | (uint64_t)k << 40, epoch, at);
        if (s->mix != MIX_BATCH)
            permute_rows(s->options.seed, BERTH_PURPOSE_ORDER, (uint32_t)epoch, (uint64_t)(u + 1) << 48,
                         p->order + first, occurrence_at(p, first), (size_t)(at - first));
    }
    BERTH_ASSERT_EQ(at, s->draw_count);
    if (s->mix == MIX_BATCH)
        permute_rows(s->options.seed, BERTH_PURPOSE_ORDER, (uint32_t)epoch, 0, p->order, p->occurrence,
                     (size_t)at);
}

/* How many rows the next window takes. */
static int64_t window_length(const struct sampler *s, const uint32_t *order, int64_t left) {
    int64_t rows = s->options.batch_size > 0 ? WINDOW_STEPS * s->options.batch_size : INT64_MAX;
    int64_t tokens = s->options.batch_tokens > 0 ? WINDOW_STEPS * s->options.batch_tokens : INT64_MAX;
    int64_t count = 0, sum = 0;
    if (tokens == INT64_MAX) return left < rows ? left : rows;
    while (count < left && count < rows && sum < tokens)
        sum += row_length(s, order[count++]);
    return count;
}

/* Stable counting sort of order[at .. at + count) by length, shortest first. */
static berth_status sort_window(struct plan *p, const struct sampler *s, int64_t at, int64_t count) {
    uint32_t *order = p->order + at;
    uint16_t *occurrence = occurrence_at(p, at);
    BERTH_TRY(berth_grow(&p->window, &p->window_capacity, (size_t)count, sizeof *p->window));
    if (occurrence)
        BERTH_TRY(berth_grow(&p->window_occurrence, &p->window_occurrence_capacity, (size_t)count,
                             sizeof *p->window_occurrence));
    memset(p->counts, 0, ((size_t)s->max_length + 2) * sizeof *p->counts);
    for (int64_t i = 0; i < count; i++)
        p->counts[row_length(s, order[i]) + 1]++;
    for (int32_t k = 0; k <= s->max_length; k++)
        p->counts[k + 1] += p->counts[k];
    for (int64_t i = 0; i < count; i++) {
        int64_t to = p->counts[row_length(s, order[i])]++;
        p->window[to] = order[i];
        if (occurrence) p->window_occurrence[to] = occurrence[i];
    }
    memcpy(order, p->window, (size_t)count * sizeof *order);
    if (occurrence) memcpy(occurrence, p->window_occurrence, (size_t)count * sizeof *occurrence);
    return BERTH_OK;
}

/* How many of a sorted window's rows make the next step. */
static int64_t step_length(const struct sampler *s, const uint32_t *order, int64_t left) {
    int64_t rows = s->options.batch_size > 0 ? s->options.batch_size : INT64_MAX;
    int64_t tokens = s->options.batch_tokens > 0 ? s->options.batch_tokens : INT64_MAX;
    int64_t count = 0, sum = 0;
    if (tokens == INT64_MAX) return left < rows ? left : rows;
    while (count < left && count < rows) {
        sum += row_length(s, order[count]);
        if (count > 0 && sum > tokens) break;
        count++;
    }
    return count;
}

static bool is_before(const struct plan_step *a, const struct plan_step *b) {
    return a->key != b->key ? a->key < b->key : a->first < b->first;
}

/* Heap sort: the C library's sort asks for memory. */
static void sift(struct plan_step *steps, int64_t at, int64_t count) {
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= count) return;
        if (child + 1 < count && is_before(&steps[child], &steps[child + 1])) child++;
        if (!is_before(&steps[at], &steps[child])) return;
        struct plan_step swap = steps[at];
        steps[at] = steps[child];
        steps[child] = swap;
        at = child;
    }
}

static void sort_steps(struct plan_step *steps, int64_t count) {
    for (int64_t i = count / 2; i-- > 0;)
        sift(steps, i, count);
    for (int64_t last = count - 1; last > 0; last--) {
        struct plan_step swap = steps[0];
        steps[0] = steps[last];
        steps[last] = swap;
        sift(steps, 0, last);
    }
}

/* Shuffles the steps [first, end). */
static void shuffle_steps(struct plan *p, const struct sampler *s, int64_t epoch, int64_t first, int64_t end) {
    for (int64_t i = first; i < end; i++)
        p->steps[i].key =
            berth_random_u32(s->options.seed, BERTH_PURPOSE_SAMPLER, (uint32_t)epoch, (uint64_t)i);
    sort_steps(p->steps + first, end - first);
}

static berth_status add_step(struct plan *p, int64_t first, int64_t count, int32_t unit) {
    BERTH_TRY(berth_grow(&p->steps, &p->step_capacity, (size_t)p->step_count + 1, sizeof *p->steps));
    p->steps[p->step_count++] = (struct plan_step){.first = first, .count = (int32_t)count, .unit = unit};
    return BERTH_OK;
}

/* Cuts order[at .. end) into steps. */
static berth_status cut_rows(struct plan *p, const struct sampler *s, int64_t at, int64_t end, int32_t unit,
                             int64_t epoch) {
    while (at < end) {
        int64_t window = window_length(s, p->order + at, end - at), first_step = p->step_count,
                last = at + window;
        BERTH_TRY(sort_window(p, s, at, window));
        while (at < last) {
            int64_t count = step_length(s, p->order + at, last - at);
            BERTH_TRY(add_step(p, at, count, unit));
            at += count;
        }
        if (s->mix == MIX_STEP) continue;
        int64_t short_step = s->options.batch_tokens == 0 && window % s->options.batch_size != 0;
        shuffle_steps(p, s, epoch, first_step, p->step_count - short_step);
    }
    return BERTH_OK;
}

/* mix: all: each step takes its rows of every unit; a window is 64 steps of all units. */
static berth_status cut_all(struct plan *p, const struct sampler *s, int64_t epoch) {
    int64_t steps = s->units[0].draws / s->units[0].step_rows, batch = s->options.batch_size;
    for (int64_t first = 0; first < steps; first += WINDOW_STEPS) {
        int64_t count = steps - first < WINDOW_STEPS ? steps - first : WINDOW_STEPS, start = 0, place = 0;
        for (size_t u = 0; u < s->unit_count; u++) {
            int64_t rows = s->units[u].step_rows, from = start + first * rows;
            BERTH_TRY(sort_window(p, s, from, count * rows));
            for (int64_t i = 0; i < count; i++) {
                int64_t to = (first + i) * batch + place, at = from + i * rows;
                memcpy(p->mixed + to, p->order + at, (size_t)rows * sizeof *p->mixed);
                if (p->occurrence)
                    memcpy(p->mixed_occurrence + to, p->occurrence + at, (size_t)rows * sizeof *p->occurrence);
            }
            start += s->units[u].draws;
            place += rows;
        }
        for (int64_t i = 0; i < count; i++)
            BERTH_TRY(add_step(p, (first + i) * batch, batch, -1));
        shuffle_steps(p, s, epoch, first, first + count);
    }
    memcpy(p->order, p->mixed, (size_t)s->draw_count * sizeof *p->order);
    if (p->occurrence)
        memcpy(p->occurrence, p->mixed_occurrence, (size_t)s->draw_count * sizeof *p->occurrence);
    return BERTH_OK;
}

berth_status plan_make(struct plan *p, const struct sampler *s, int64_t epoch) {
    p->epoch = -1;
    p->step_count = 0;
    draw_epoch(p, s, epoch);
    if (s->mix == MIX_ALL) {
        BERTH_TRY(cut_all(p, s, epoch));
    } else if (s->mix == MIX_BATCH) {
        BERTH_TRY(cut_rows(p, s, 0, s->draw_count, -1, epoch));
    } else {
        int64_t at = 0;
        for (size_t u = 0; u < s->unit_count; u++) {
            BERTH_TRY(cut_rows(p, s, at, at + s->units[u].draws, (int32_t)u, epoch));
            at += s->units[u].draws;
        }
        shuffle_steps(p, s, epoch, 0, p->step_count);
    }
    p->epoch = epoch;
    return BERTH_OK;
}
