/* sample_priv.h: which rows an epoch draws, and in which steps.
 *
 *     unit      what a scheme shares the draws between: a source, or with mix: step a task
 *     stream    the rows of a unit (of one class of it, where classes are balanced), drawn over and over:
 *               pass after pass, each a permutation; an epoch takes the next `draws` of them
 *     plan      an epoch: its draws in order, cut into steps
 *
 * A row is one number over all sources: base[source] + row. Memory is 4 bytes a draw of the plan, two more
 * where rows repeat, and 4 a row of units that leave rows out or draw a part of a pass. */
#ifndef BERTH_SAMPLE_PRIV_H
#define BERTH_SAMPLE_PRIV_H

#include "data/data_priv.h"

/* One scheme a file: sizes (all > 0) -> shares that add up to 1. given: the units' own shares, -1: none. */
struct sampling_scheme {
    const char *name;
    bool takes_shares; /* uses the key share of a unit */
    berth_status (*shares)(double *out, const struct sampling *options, const int64_t *sizes,
                           const double *given, const char *const *names, size_t count);
};
extern const struct sampling_scheme sample_proportional, sample_uniform, sample_temperature, sample_shares;

struct stream {
    uint32_t *rows; /* [count] row numbers, owned; NULL: first, first + 1, ... */
    uint32_t first;
    int64_t count;
    int64_t draws; /* an epoch */
};

struct unit {
    const char *name; /* borrowed */
    int task;         /* with mix: step; else -1 */
    struct stream *streams;
    size_t stream_count;
    int64_t all_rows;  /* that feed a task */
    int64_t rows;      /* of them those that may be drawn: all, or a fixed part */
    int64_t size;      /* rows that count: after up- and down-sampling */
    int64_t draws;     /* an epoch */
    int64_t step_rows; /* mix: all: rows of each step */
    double share;
    int64_t *fed; /* [tasks] of its rows, those that feed the task */
};

struct plan_step {
    int64_t first; /* into order */
    int32_t count;
    int32_t unit; /* mix: step; else -1 */
    uint32_t key;
};

struct plan {                /* an epoch */
    uint32_t *order;         /* [draw_count] rows, step after step in the order of `first` */
    uint16_t *occurrence;    /* [draw_count] how often the row came before in the epoch (65,535: that or more);
                                NULL:    always 0 */
    struct plan_step *steps; /* [step_count] in the order of training */
    size_t step_capacity;
    int64_t step_count;
    int64_t epoch; /* -1: not made */
    /* work space */
    uint32_t *permutation; /* [longest stream] where a stream draws parts of a pass */
    uint32_t *window;      /* rows of a window, sorted */
    uint16_t *window_occurrence;
    size_t window_capacity, window_occurrence_capacity;
    uint32_t *mixed; /* [draw_count] mix: all */
    uint16_t *mixed_occurrence;
    uint8_t *came;   /* [longest stream] 1: in the part of a pass that the epoch begins with */
    int64_t *counts; /* [max_length + 2] */
};

struct sampler {
    const struct berth_data *data; /* borrowed */
    struct berth_feeder_options options;
    const struct sampling *sampling; /* the data's, or own */
    struct sampling own;
    enum sampling_mix mix;
    bool *tasks;        /* [tasks] that train; owned */
    int64_t *base;      /* [sources + 1] */
    struct unit *units; /* [unit_count] */
    size_t unit_count;
    int64_t draw_count;   /* an epoch */
    int64_t longest_part; /* rows of the longest stream that draws parts of a pass */
    bool repeats;
    int32_t max_length;          /* tokens of a row */
    struct augmenter *augmenter; /* owned; NULL: rows stay as they are */
    bool *source_altered;        /* [sources] more: augmentation of the unit */
    bool *task_altered;          /* [tasks] the same with mix: step */
};
/* Deinit after a failure too. */
berth_status sampler_init(struct sampler *s, const struct berth_data *d,
                          const struct berth_feeder_options *options) BERTH_CHECKED;
void sampler_deinit(struct sampler *s);
/* sampler_checks.c: a task that trains has training rows, and labels that its head has. */
berth_status sampler_check_task(const struct berth_data *d, size_t task) BERTH_CHECKED;
/* Which units' repeats are altered; every source behind such a unit must say how. */
berth_status sampler_check_altered(struct sampler *s) BERTH_CHECKED;
/* sampling_units.c: the rows of units, their sizes and draws. */
berth_status sampler_make_units(struct sampler *s) BERTH_CHECKED;
berth_status sampler_share_out(struct sampler *s) BERTH_CHECKED;
/* total parted by shares: largest remainder, ties to the first. */
void share_whole(int64_t *out, const double *shares, size_t count, int64_t total);
/* Fisher-Yates as berth_random_permute, positions from `offset` on. */
void permute_rows(uint64_t seed, enum berth_purpose purpose, uint32_t stream, uint64_t offset, uint32_t *values,
                  uint16_t *companion, size_t count);

berth_status plan_init(struct plan *p, const struct sampler *s) BERTH_CHECKED;
void plan_deinit(struct plan *p);
/* Makes the plan of an epoch: a pure function of the sampler and the epoch. */
berth_status plan_make(struct plan *p, const struct sampler *s, int64_t epoch) BERTH_CHECKED;

static inline int32_t row_source(const struct sampler *s, uint32_t row) {
    int32_t source = 0;
    while ((int64_t)row >= s->base[source + 1])
        source++;
    return source;
}
static inline int32_t row_length(const struct sampler *s, uint32_t row) {
    int32_t source = row_source(s, row);
    const int64_t *offset =
        s->data->sources[source].view.split[BERTH_TRAIN].offset + ((int64_t)row - s->base[source]);
    return (int32_t)(offset[1] - offset[0]);
}

/* ---- steps as batches */

struct prepared {                /* one optimizer step */
    struct berth_batch *batches; /* [parts] */
    int parts;
    int *filled; /* [filled_count] which of them hold rows that are this rank's, ascending */
    int filled_count;
    int64_t epoch, steps_done; /* after this step */
    /* work space */
    int *part; /* [part_capacity] the part of each row of the step */
    int32_t *ordinal;
    size_t part_capacity, ordinal_capacity;
    struct row_buffers buffers;
};
berth_status prepared_init(struct prepared *p, int parts) BERTH_CHECKED;
void prepared_deinit(struct prepared *p);
/* Fills in a step of the plan. */
berth_status prepare_step(struct prepared *p, const struct sampler *s, const struct plan *plan,
                          int64_t step) BERTH_CHECKED;

/* Where the preparing stands: what the thread owns while it runs. */
struct producer {
    const struct sampler *sampler;
    struct plan plan; /* of `epoch` */
    int64_t epoch, steps_done;
};
/* The step that follows, the first of the next epoch behind the last. */
berth_status producer_next(struct producer *p, struct prepared *out) BERTH_CHECKED;

#define PREFETCH_SLOTS 3
struct prefetch;
/* `next` prepares the step that follows, on the thread, with `user`, which is borrowed. */
typedef berth_status prefetch_next(void *user, struct prepared *out);
berth_status prefetch_create(struct prefetch **out, prefetch_next *next, void *user, int parts) BERTH_CHECKED;
/* Ends the thread first. */
void prefetch_free(struct prefetch *f);
/* Stops the thread, so that `user` may be changed; steps prepared ahead are thrown away. */
void prefetch_stop(struct prefetch *f);
/* The next step, borrowed until the next call; starts the thread where it does not run. An error of `next` comes
 * out here, in its place behind the steps before it, and again until the thread is stopped. *waited: seconds. */
berth_status prefetch_take(struct prefetch *f, const struct prepared **out, double *waited) BERTH_CHECKED;

#endif /* BERTH_SAMPLE_PRIV_H */
