/* sampling_units.c: the rows of each unit, the size it counts as, and how many of its rows an epoch draws.
 *
 *     rows    that feed a task which trains
 *     size    rows, or what sampling.units says: `rows`, or `ratio` times the rows of ratio_of
 *     share   by the scheme, from the sizes
 *     draws   share times the epoch's total, by largest remainder
 *
 * The total is the sum of sizes (epoch: all), the most that draws no row of any unit twice (smallest), the
 * least that draws every row of all (largest), or steps times rows a step. With mix: all each step has a fixed
 * number of rows of each unit, at least one. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/sample_priv.h"

/* ---- rows */

static bool feeds_unit(const struct sampler *s, const struct unit *u, size_t source, int64_t row) {
    for (size_t t = 0; t < s->data->task_count; t++) {
        if (!s->tasks[t] || (u->task >= 0 && (size_t)u->task != t)) continue;
        if (row_feeds_task(s->data, t, source, row)) return true;
    }
    return false;
}

static void count_fed(const struct sampler *s, struct unit *u, size_t source, int64_t row) {
    for (size_t t = 0; t < s->data->task_count; t++)
        if (s->tasks[t] && (u->task < 0 || (size_t)u->task == t))
            u->fed[t] += row_feeds_task(s->data, t, source, row);
}

/* Adds the rows of a source. A stream stays a run of numbers as long as no row is left out. */
static berth_status add_rows(struct sampler *s, struct unit *u, size_t source, size_t *capacity) {
    struct stream *stream = &u->streams[0];
    const struct berth_dataset *set = &s->data->sources[source].view.split[BERTH_TRAIN];
    for (int64_t row = 0; row < set->rows; row++) {
        if (!feeds_unit(s, u, source, row)) continue;
        uint32_t number = (uint32_t)(s->base[source] + row);
        count_fed(s, u, source, row);
        int32_t length = (int32_t)(set->offset[row + 1] - set->offset[row]);
        if (length > s->max_length) s->max_length = length;
        if (stream->count == 0) stream->first = number;
        if (!stream->rows && number != stream->first + (uint32_t)stream->count) {
            BERTH_TRY(berth_grow(&stream->rows, capacity, (size_t)stream->count + 1, sizeof *stream->rows));
            for (int64_t i = 0; i < stream->count; i++)
                stream->rows[i] = stream->first + (uint32_t)i;
        }
        if (stream->rows) {
            BERTH_TRY(berth_grow(&stream->rows, capacity, (size_t)stream->count + 1, sizeof *stream->rows));
            stream->rows[stream->count] = number;
        }
        stream->count++;
    }
    return BERTH_OK;
}

static uint32_t stream_row(const struct stream *s, int64_t i) {
    return s->rows ? s->rows[i] : s->first + (uint32_t)i;
}

/* A unit's rows as one stream a class of the task; rows without a class of it are a stream of their own. */
static berth_status balance_unit(struct sampler *s, struct unit *u, const char *name) {
    berth_status status = BERTH_OK;
    size_t task = 0, classes = 0;
    struct stream *streams = NULL;
    struct stream all = u->streams[0];
    while (task < s->data->task_count && strcmp(s->data->tasks[task].task.name, name) != 0)
        task++;
    if (task == s->data->task_count || s->data->tasks[task].task.kind != BERTH_TASK_CLASSIFICATION ||
        u->fed[task] == 0)
        BERTH_FAIL(
            BERTH_E_USAGE,
            "sampling.units.%s.balance: found '%s', expected a classification task that rows of '%s' feed",
            u->name, name, u->name);
    classes = s->data->tasks[task].task.labels.count;
    BERTH_TRY(berth_calloc(&streams, classes + 1, sizeof *streams));
    free(u->streams);
    u->streams = streams;
    u->stream_count = classes + 1;
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t i = 0; i < all.count; i++) {
            uint32_t row = stream_row(&all, i);
            int32_t source = row_source(s, row);
            const int32_t *labels = s->data->sources[source].view.split[BERTH_TRAIN].labels[task];
            int32_t label = labels ? labels[(int64_t)row - s->base[source]] : -1;
            size_t k = label >= 0 ? (size_t)label : classes;
            if (pass == 1) streams[k].rows[streams[k].count] = row;
            streams[k].count++;
        }
        for (size_t k = 0; pass == 0 && k <= classes; k++) {
            BERTH_TRY_OUT(berth_calloc(&streams[k].rows, (size_t)streams[k].count, sizeof *streams[k].rows));
            streams[k].count = 0;
        }
    }
out:
    free(all.rows);
    return status;
}

static const struct unit_options *options_of(const struct sampler *s, const char *name) {
    for (size_t i = 0; i < s->sampling->unit_count; i++)
        if (strcmp(s->sampling->units[i].name, name) == 0) return &s->sampling->units[i];
    return NULL;
}

static berth_status add_unit(struct sampler *s, const char *name, int task) {
    struct unit *u = &s->units[s->unit_count++];
    size_t capacity = 0;
    u->name = name;
    u->task = task;
    BERTH_TRY(berth_calloc(&u->streams, 1, sizeof *u->streams));
    u->stream_count = 1; /* what sampler_deinit walks over is there */
    BERTH_TRY(berth_calloc(&u->fed, s->data->task_count, sizeof *u->fed));
    for (size_t i = 0; i < s->data->source_count; i++) {
        const struct data_source *source = &s->data->sources[i];
        bool own = task < 0 ? source->name == name : data_task_of(s->data, (size_t)task, i) != NULL;
        if (own && source->view.has[BERTH_TRAIN]) BERTH_TRY(add_rows(s, u, i, &capacity));
    }
    u->all_rows = u->rows = u->size = u->streams[0].count;
    if (u->rows == 0) { /* nothing of it can be drawn */
        free(u->streams[0].rows);
        free(u->streams);
        free(u->fed);
        s->unit_count--;
        memset(u, 0, sizeof *u);
        return BERTH_OK;
    }
    const struct unit_options *o = options_of(s, name);
    return o && o->balance ? balance_unit(s, u, o->balance) : BERTH_OK;
}

berth_status sampler_make_units(struct sampler *s) {
    const struct berth_data *d = s->data;
    size_t most = s->mix == MIX_STEP ? d->task_count : d->source_count;
    BERTH_TRY(berth_calloc(&s->base, d->source_count + 1, sizeof *s->base));
    for (size_t i = 0; i < d->source_count; i++)
        s->base[i + 1] =
            s->base[i] + (d->sources[i].view.has[BERTH_TRAIN] ? d->sources[i].view.split[BERTH_TRAIN].rows : 0);
    if (s->base[d->source_count] > UINT32_MAX)
        BERTH_FAIL(BERTH_E_UNSUPPORTED, "found %lld training rows, at most %u are possible",
                   (long long)s->base[d->source_count], UINT32_MAX);
    BERTH_TRY(berth_calloc(&s->units, most, sizeof *s->units));
    for (size_t i = 0; i < most; i++) {
        if (s->mix != MIX_STEP)
            BERTH_TRY(add_unit(s, d->sources[i].name, -1));
        else if (s->tasks[i])
            BERTH_TRY(add_unit(s, d->tasks[i].task.name, (int)i));
    }
    if (s->unit_count == 0) BERTH_FAIL(BERTH_E_USAGE, "no training row carries a label of any task");
    return BERTH_OK;
}

/* ---- sizes and draws */

/* A fixed part of a unit's rows, drawn by the seed and kept in their order. */
static berth_status keep_fixed(struct sampler *s, struct unit *u, int64_t keep) {
    int64_t *part = NULL;
    double *weight = NULL;
    berth_status status = BERTH_OK;
    BERTH_TRY_OUT(berth_calloc(&part, u->stream_count, sizeof *part));
    BERTH_TRY_OUT(berth_calloc(&weight, u->stream_count, sizeof *weight));
    for (size_t k = 0; k < u->stream_count; k++)
        weight[k] = (double)u->streams[k].count / (double)u->rows;
    share_whole(part, weight, u->stream_count, keep);
    for (size_t k = 0; k < u->stream_count; k++) {
        struct stream *stream = &u->streams[k];
        uint32_t *rows = NULL, *chosen = NULL;
        BERTH_TRY_OUT(berth_calloc(&rows, (size_t)stream->count, sizeof *rows));
        for (int64_t i = 0; i < stream->count; i++)
            rows[i] = (uint32_t)i;
        permute_rows(s->options.seed, BERTH_PURPOSE_ROWS, UINT32_MAX,
                     (uint64_t)(u - s->units) << 48 | (uint64_t)k << 40, rows, NULL, (size_t)stream->count);
        uint8_t *kept = NULL;
        status = berth_calloc(&kept, (size_t)stream->count, 1);
        if (status == BERTH_OK) status = berth_calloc(&chosen, (size_t)part[k], sizeof *chosen);
        for (int64_t i = 0; status == BERTH_OK && i < part[k]; i++)
            kept[rows[i]] = 1;
        int64_t count = 0;
        for (int64_t i = 0; status == BERTH_OK && i < stream->count; i++)
            if (kept[i]) chosen[count++] = stream_row(stream, i);
        free(rows);
        free(kept);
        if (status != BERTH_OK) {
            free(chosen);
            goto out;
        }
        free(stream->rows);
        stream->rows = chosen;
        stream->count = count;
    }
out:
    free(part);
    free(weight);
    return status;
}

static berth_status set_sizes(struct sampler *s) {
    int64_t smallest = INT64_MAX, largest = 0;
    for (size_t i = 0; i < s->unit_count; i++) {
        smallest = s->units[i].rows < smallest ? s->units[i].rows : smallest;
        largest = s->units[i].rows > largest ? s->units[i].rows : largest;
    }
    for (size_t i = 0; i < s->unit_count; i++) {
        struct unit *u = &s->units[i];
        const struct unit_options *o = options_of(s, u->name);
        if (!o) continue;
        int64_t of = o->of == SIZE_OWN ? u->rows : o->of == SIZE_SMALLEST ? smallest : largest;
        if (o->rows > 0) u->size = o->rows;
        if (o->ratio > 0) u->size = (int64_t)llround(o->ratio * (double)of);
        if (u->size < 1) u->size = 1;
        if (o->fixed && u->size < u->rows) {
            BERTH_TRY(keep_fixed(s, u, u->size));
            u->rows = u->size;
        }
    }
    return BERTH_OK;
}

/* Rows of an epoch. */
static berth_status total_draws(const struct sampler *s, int64_t *out) {
    double smallest = INFINITY, largest = 0;
    int64_t sum = 0;
    for (size_t i = 0; i < s->unit_count; i++) {
        const struct unit *u = &s->units[i];
        sum += u->size;
        if (u->share <= 0) continue;
        double through = (double)u->size / u->share;
        smallest = through < smallest ? through : smallest;
        largest = through > largest ? through : largest;
    }
    *out = sum;
    if (s->sampling->epoch == EPOCH_SMALLEST) *out = (int64_t)floor(smallest + 1e-6);
    if (s->sampling->epoch == EPOCH_LARGEST) *out = (int64_t)ceil(largest - 1e-6);
    if (s->sampling->epoch == EPOCH_STEPS) {
        if (s->options.batch_size == 0)
            BERTH_FAIL(BERTH_E_USAGE,
                       "sampling.epoch: 'steps' counts rows: it needs train.batch_size, not batch_tokens");
        *out = s->sampling->epoch_steps * s->options.batch_size;
    }
    if (*out < 1) *out = 1;
    return BERTH_OK;
}

/* mix: all: the rows of each unit in a step. */
static berth_status share_steps(struct sampler *s, const double *shares, int64_t total) {
    int64_t batch = s->options.batch_size;
    int64_t *rows = NULL;
    if (batch == 0)
        BERTH_FAIL(BERTH_E_USAGE,
                   "sampling.mix: 'all' counts rows: it needs train.batch_size, not batch_tokens");
    if (batch < (int64_t)s->unit_count)
        BERTH_FAIL(
            BERTH_E_USAGE,
            "sampling.mix: 'all' puts rows of all %zu sources in every step; train.batch_size is only %lld",
            s->unit_count, (long long)batch);
    BERTH_TRY(berth_calloc(&rows, s->unit_count, sizeof *rows));
    share_whole(rows, shares, s->unit_count, batch);
    for (size_t i = 0; i < s->unit_count; i++) { /* at least one each, taken from the largest */
        size_t most = 0;
        if (rows[i] > 0) continue;
        for (size_t k = 0; k < s->unit_count; k++)
            if (rows[k] > rows[most]) most = k;
        rows[most]--;
        rows[i] = 1;
    }
    int64_t steps = (total + batch - 1) / batch;
    for (size_t i = 0; i < s->unit_count; i++) {
        s->units[i].step_rows = rows[i];
        s->units[i].draws = steps * rows[i];
    }
    free(rows);
    return BERTH_OK;
}

static berth_status share_streams(struct sampler *s, struct unit *u) {
    berth_status status = BERTH_OK;
    double *shares = NULL;
    int64_t *draws = NULL;
    size_t classes = 0;
    BERTH_TRY_OUT(berth_calloc(&shares, u->stream_count, sizeof *shares));
    BERTH_TRY_OUT(berth_calloc(&draws, u->stream_count, sizeof *draws));
    for (size_t k = 0; k < u->stream_count; k++)
        classes += u->streams[k].count > 0;
    for (size_t k = 0; k < u->stream_count; k++)
        shares[k] = u->streams[k].count > 0 ? 1.0 / (double)classes : 0;
    share_whole(draws, shares, u->stream_count, u->draws);
    for (size_t k = 0; k < u->stream_count; k++) {
        struct stream *stream = &u->streams[k];
        stream->draws = draws[k];
        s->repeats |= stream->draws > stream->count;
        if (stream->count > 0 && stream->draws % stream->count != 0) {
            s->repeats = true; /* the end of one pass and the start of the next may hold the same row */
            s->longest_part = stream->count > s->longest_part ? stream->count : s->longest_part;
        }
    }
out:
    free(shares);
    free(draws);
    return status;
}

void share_whole(int64_t *out, const double *shares, size_t count, int64_t total) {
    int64_t left = total;
    for (size_t i = 0; i < count; i++) {
        out[i] = (int64_t)floor(shares[i] * (double)total);
        left -= out[i];
    }
    while (left > 0) { /* largest remainder first; a share of 0 gets nothing */
        size_t best = count;
        double most = -INFINITY;
        for (size_t i = 0; i < count; i++) {
            double rest = shares[i] * (double)total - (double)out[i];
            if (shares[i] <= 0 || rest <= most) continue;
            most = rest;
            best = i;
        }
        BERTH_ASSERT(best < count);
        out[best]++;
        left--;
    }
}

berth_status sampler_share_out(struct sampler *s) {
    berth_status status = BERTH_OK;
    size_t n = s->unit_count;
    int64_t *sizes = NULL, *draws = NULL, total = 0;
    double *shares = NULL, *given = NULL;
    const char **names = NULL;
    BERTH_TRY_OUT(set_sizes(s));
    BERTH_TRY_OUT(berth_calloc(&sizes, n, sizeof *sizes));
    BERTH_TRY_OUT(berth_calloc(&draws, n, sizeof *draws));
    BERTH_TRY_OUT(berth_calloc(&shares, n, sizeof *shares));
    BERTH_TRY_OUT(berth_calloc(&given, n, sizeof *given));
    BERTH_TRY_OUT(berth_calloc(&names, n, sizeof *names));
    for (size_t i = 0; i < n; i++) {
        const struct unit_options *o = options_of(s, s->units[i].name);
        sizes[i] = s->units[i].size;
        names[i] = s->units[i].name;
        given[i] = o ? o->share : -1;
    }
    BERTH_TRY_OUT(s->sampling->scheme->shares(shares, s->sampling, sizes, given, names, n));
    for (size_t i = 0; i < n; i++)
        s->units[i].share = shares[i];
    BERTH_TRY_OUT(total_draws(s, &total));
    share_whole(draws, shares, n, total);
    for (size_t i = 0; i < n; i++)
        s->units[i].draws = draws[i];
    if (s->mix == MIX_ALL) BERTH_TRY_OUT(share_steps(s, shares, total));
    s->draw_count = 0;
    for (size_t i = 0; i < n; i++) {
        BERTH_TRY_OUT(share_streams(s, &s->units[i]));
        s->draw_count += s->units[i].draws;
    }
    if (s->draw_count > UINT32_MAX)
        BERTH_FAIL_OUT(BERTH_E_UNSUPPORTED, "an epoch of %lld rows; at most %u are possible",
                       (long long)s->draw_count, UINT32_MAX);
out:
    free(sizes);
    free(draws);
    free(shares);
    free(given);
    free(names);
    return status;
}
