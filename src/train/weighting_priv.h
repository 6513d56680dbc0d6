/* weighting_priv.h: how the tasks' losses, or their gradients, are put together in a step.
 *
 *     loss of a step = sum over tasks of share_t (w_t m_t + r_t),  m_t the mean of the task's items
 *
 * A method is one file (weight_*.c) and one row in weighting.c. In the order of a step:
 *
 *     weights     w_t, from what the method remembers              every method
 *     gram        the trainer walks each task's gradient by itself, where the method asks for it (`gradients`)
 *     combine     (optional) the shared parameters' gradient as a sum c_t g_t of the tasks' own
 *     slopes      (optional) the method's own gradient, for values that the run's optimizer trains (`learns`)
 *     settle      (optional) the values after it, where they have to obey something
 *     remember    (optional) what it keeps of the step
 *
 * What a method keeps is one value a task in device memory with optimizer state (`learns`), and `memory`
 * doubles; both are in a checkpoint's part "weighting" (state_parts.c), so a resumed run goes on with the same
 * bits. Random choices are keyed by (seed, purpose, step): nothing of them is kept. */
#ifndef WEIGHTING_PRIV_H
#define WEIGHTING_PRIV_H

#include "berth/train.h"

/* What is known of the step at hand. */
struct weighting_step {
    const bool *active;      /* [task_count] the step holds labelled items of the task */
    const double *share;     /* [task_count] */
    const double *task_loss; /* [task_count] m_t; from combine on */
    const double
        *gram; /* [task_count, task_count] products of the gradients of share_t w_t m_t; NULL: not asked for */
    int64_t step, epoch; /* of the stage, from 0 */
    uint64_t seed;       /* of the run */
    uint32_t run_step;   /* of the run */
};

struct weighting {
    const struct weighting_kind *kind;
    size_t task_count;
    bool *trained; /* [task_count] in this stage */
    double trained_count;
    double *fixed;                    /* [task_count] the configuration's tasks.NAME.weight */
    double lr;                        /* peak rate of what a method learns */
    double temperature, alpha;        /* weighting.temperature, .alpha */
    int64_t window;                   /* steps; 0: an epoch */
    bool representation;              /* weighting.gradients */
    struct berth_optimizer optimizer; /* the run's */
    struct berth_device *device; /* borrowed; of the buffers below, which are NULL where nothing is learnt */
    float *values, *gradients, *state[2], *one; /* [task_count], one: [1]; device memory */
    float *host;                                /* [task_count] the values */
    int64_t *steps;                             /* [task_count] */
    double *memory;                             /* [memory_count] zeros as it begins */
    size_t memory_count;
    double *scratch; /* [task_count] */
    int64_t *order;  /* [task_count] */
};

/* Keys of `weighting` beside `method`. */
enum {
    WEIGHTING_RATE = 1,
    WEIGHTING_GRADIENTS = 2,
    WEIGHTING_ALPHA = 4,
    WEIGHTING_TEMPERATURE = 8,
    WEIGHTING_WINDOW = 16
};

struct weighting_kind {
    const char *name; /* weighting.method */
    unsigned keys;    /* those it reads; others with a value of their own are refused */
    bool takes_fixed; /* tasks.NAME.weight belongs to it */
    bool learns;      /* one value a task, trained with the optimizer */
    double first;     /* its first value */
    bool gradients;   /* asks for gram; steps of one task alone (sampling.mix: step) have nothing for it */
    size_t memory, memory_a_task; /* doubles it keeps: some, and some a task */
    void (*weights)(struct weighting *w, const struct weighting_step *step, double *out /* [task_count] */);
    double (*term)(double value); /* (optional) r_t at a value */
    /* (optional: gradients by the shared parameters alone) */
    void (*combine)(struct weighting *w, const struct weighting_step *step, double *out /* [task_count] */);
    void (*slopes)(struct weighting *w, const struct weighting_step *step, double *out /* [task_count] */);
    void (*settle)(struct weighting *w, float *values /* [task_count] */);
    void (*remember)(struct weighting *w, const struct weighting_step *step);
};
extern const struct weighting_kind weighting_fixed, weighting_equal; /* weight_fixed.c */
extern const struct weighting_kind weighting_uncertainty;            /* weight_uncertainty.c */
extern const struct weighting_kind weighting_dwa;                    /* weight_dwa.c */
extern const struct weighting_kind weighting_gradnorm;               /* weight_gradnorm.c */
extern const struct weighting_kind weighting_pcgrad;                 /* weight_pcgrad.c */

/* Reads weighting.* and tasks.*.weight in the order of the configuration's tasks. trained: [tasks] those of the
 * stage. */
berth_status weighting_init(struct weighting *w, const struct berth_config *c,
                            const struct berth_optimizer *optimizer, const bool *trained,
                            struct berth_device *dev) BERTH_CHECKED;
/* Whether the method of a configuration asks for gradients of each task. */
bool weighting_needs_gradients(const struct berth_config *c);
void weighting_deinit(struct weighting *w);
/* What the terms r_t add to the step's loss. */
double weighting_terms(const struct weighting *w, const struct weighting_step *step);
/* Once the parameters were stepped: an optimizer step of what is learnt, for the active tasks (factor: the
 * schedule's), and what is remembered. */
berth_status weighting_learn(struct weighting *w, const struct weighting_step *step,
                             double factor) BERTH_CHECKED;
/* After the values were replaced in device memory. */
berth_status weighting_restored(struct weighting *w) BERTH_CHECKED;

#endif /* WEIGHTING_PRIV_H */
