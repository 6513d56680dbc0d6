/* train.h: parameter store, freezing, optimizer, schedule, metrics, evaluation, checkpoints, the loop.
 *
 *     struct berth_trainer *t;
 *     BERTH_TRY(berth_trainer_create(&t, config, &observer));   // model, data, parameters; nothing is written yet
 *     BERTH_TRY(berth_trainer_start(t, resume));                // the run folder; resume: newest good checkpoint
 *     BERTH_TRY(berth_trainer_run(t));                          // trains, evaluates, checkpoints, exports
 *     berth_trainer_free(t);
 *
 * Loss of an optimizer step, over all its batches, with m_t the mean over task t's labelled items:
 *     mix: batch   Σ_t w_t (rows labelled for t / rows) m_t          mix: step   w_t m_t
 * The state of a run between two steps is: parameters, moments, step counts, the feeder's two integers, early
 * stopping, and nothing else; so a run that was killed and resumed ends with the same bits as one never killed.
 * Nothing here prints: what happens is told to the observer.
 */
#ifndef BERTH_TRAIN_H
#define BERTH_TRAIN_H

#include "berth/config.h"
#include "berth/data.h"
#include "berth/model.h"

/* ---- parameter store: gradients and moments of the trainable parameters, each one flat buffer.
 *
 *   values   | embeddings | layer 0 | layer 1 | ... | heads |     the model's, all parameters
 *   grads              | layer 1 | ... | heads |                  trainable ones only, same order
 *   m, v               | layer 1 | ... | heads |
 *
 * Query, key and value of a layer are one product, so their gradients lie together: where one of the three is trained
 * all three have room in grads, but only the trained ones have a segment.
 */
struct berth_segment { /* a run of neighbouring parameters that are stepped alike */
    int64_t value_offset, grad_offset, count;
    int owner;   /* berth_parameter.owner */
    bool decays;
    float lr_scale; /* times the schedule's rate */
};
struct berth_store {
    struct berth_model *model; /* borrowed */
    bool *trainable;           /* [parameter_count] */
    float **gradients;         /* [parameter_count] into grads; NULL: no gradient wanted */
    float *grads, *m, *v;      /* [grad_total] device memory */
    int64_t grad_total;
    struct berth_segment *segments;
    int segment_count;
    int64_t *owner_steps; /* [head_count + 1] optimizer steps an owner took part in: AdamW's t */
    double *squares;      /* [segment_count] device memory: sums of squares of a step */
    double *host_squares; /* [segment_count] */
    float *grad_scale;    /* [1] device memory */
};
/* frozen[i]: parameter i is not trained. head_lr_scale multiplies the rate of head parameters. */
berth_status berth_store_create(struct berth_store **out, struct berth_model *model, const bool *frozen,
                                double head_lr_scale) BERTH_CHECKED;
void berth_store_free(struct berth_store *s);

/* Freeze rules of the configuration -> frozen[parameter_count]. All rules are checked before any applies. */
berth_status berth_freeze_resolve(const struct berth_config *c, const struct berth_model *m,
                                  bool *frozen) BERTH_CHECKED;

/* ---- optimizer and schedule */
struct berth_adamw {
    double beta1, beta2, eps, weight_decay, clip_norm;
};
/* One step over the active owners; *grad_norm is the norm before clipping. The clipped gradient is
 * g min(1, clip / (norm + 1e-6)); clip 0: no clipping. An owner that is not active keeps values, moments and step
 * count. A norm that is not finite leaves everything untouched and is BERTH_E_NUMERIC. */
berth_status berth_store_step(struct berth_store *s, const struct berth_adamw *o, double lr,
                              const bool *active_owner, double *grad_norm) BERTH_CHECKED;
enum berth_schedule_kind { BERTH_SCHEDULE_LINEAR, BERTH_SCHEDULE_CONSTANT };
/* The factor of the base rate at optimizer step `step` (0-based) of `total`, after `warmup` steps of linear warm-up:
 * (step+1)/warmup while step < warmup; then linear: (total-step)/(total-warmup), constant: 1. */
double berth_schedule_factor(enum berth_schedule_kind kind, int64_t step, int64_t total, int64_t warmup);

/* ---- evaluation */
struct berth_score { /* one number of an evaluation */
    const char *task;   /* borrowed; "mean" for the mean over tasks */
    const char *split;
    const char *metric; /* a name of src/train/metrics.c; "metric" of mean */
    double value;
};
struct berth_scores {
    struct berth_score *list;
    size_t count, capacity;
};
void berth_scores_init(struct berth_scores *s);
void berth_scores_deinit(struct berth_scores *s);
double berth_scores_find(const struct berth_scores *s, const char *task, const char *metric); /* NaN: none */

/* Evaluates every task whose source has the split; the first score of a task is its own metric; then "mean" metric
 * over the tasks of which a row is labelled. metric_of[i]: name of task i's own metric ("accuracy", "span_f1"). Words
 * cut off count as missed, unknown labels as wrong. Outputs of several sequences of one row (windows of a long text)
 * are averaged before anything is decided by them. */
/* A kind's metrics. own: the configuration's tasks.NAME.metric, or NULL: the kind's first. NULL: the kind has none of
 * that name; then *list is the names it has. */
const char *berth_metric_of(enum berth_task_kind kind, const char *own, const char **list);
berth_status berth_evaluate(struct berth_scores *out, struct berth_model *model, struct berth_tape *tape,
                            const struct berth_data *data, enum berth_split split, const char *const *metric_of,
                            int64_t batch_size) BERTH_CHECKED;

/* ---- the run */
struct berth_progress {
    int64_t step, total_steps; /* done */
    int64_t epoch;
    int64_t tokens;            /* since the last report */
    double tokens_per_second;
    double utilisation;        /* model FLOP/s over peak_flops; NaN: not known */
    double peak_flops;         /* a second: one large matrix product, measured on this device before the first step */
    double seconds_left;
    double loss, lr, grad_norm; /* loss: mean of the steps since the last report */
    int task_count;
    const char *const *task_names;
    const double *task_losses; /* mean item loss since the last report; NaN: absent */
};
struct berth_observer {
    void *user;
    void (*plan)(void *user, const char *text);                     /* before the first step */
    void (*progress)(void *user, const struct berth_progress *p);   /* by log.every */
    void (*scores)(void *user, int64_t step, const struct berth_scores *s, bool best);
    void (*note)(void *user, const char *line); /* "checkpoint written: ..." */
    bool (*stop_requested)(void *user);         /* asked between steps: finish, write a checkpoint, E_STOPPED */
};

struct berth_trainer;
berth_status berth_trainer_create(struct berth_trainer **out, const struct berth_config *c,
                                  const struct berth_observer *observer) BERTH_CHECKED;
/* What will be done, as text: tasks, rows, shares, parameters by group, steps. Owned by the caller. */
berth_status berth_trainer_plan(struct berth_trainer *t, char **out) BERTH_CHECKED;
/* resume false: the run folder must not exist (BERTH_E_EXISTS). resume true: continues from the newest good checkpoint,
 * starts anew where there is none; a damaged checkpoint is named and the one before is taken, BERTH_E_FORMAT where none
 * is good; a run folder made with another configuration is BERTH_E_USAGE naming the first key that differs, one made
 * from other data, labels, tokenizer or backbone configuration names that. A folder that holds something and is not a
 * run's is BERTH_E_EXISTS and stays as it is. */
berth_status berth_trainer_start(struct berth_trainer *t, bool resume) BERTH_CHECKED;
/* Runs to the end: best model exported to RUN/best, test scores read once after the end. BERTH_E_STOPPED when asked to
 * stop (checkpoint written), BERTH_E_NUMERIC on a loss that is not finite (names step, task, last checkpoint). A run
 * that is already finished returns BERTH_OK at once. */
berth_status berth_trainer_run(struct berth_trainer *t) BERTH_CHECKED;
void berth_trainer_free(struct berth_trainer *t);
/* Of the finished run: last dev and test scores. Borrowed. */
const struct berth_scores *berth_trainer_dev_scores(const struct berth_trainer *t);
const struct berth_scores *berth_trainer_test_scores(const struct berth_trainer *t);

/* Builds a model and its tokenizer as `model:` and `tasks:` say, without training: for train and eval. The heads'
 * labels come from `tasks` ([count], by name). */
berth_status berth_model_from_config(struct berth_model **model, struct berth_tokenizer **tokenizer,
                                     struct berth_device *dev, const struct berth_config *c) BERTH_CHECKED;

/* The tokenizer alone, without the weights: model.backbone's, or model.vocab with model.new. */
berth_status berth_tokenizer_from_config(struct berth_tokenizer **out, const struct berth_config *c) BERTH_CHECKED;

/* ---- checkpoints: RUN/checkpoints/step-N.h5 (h5.h, kind "checkpoint") */
/* The newest step whose file is good; -1: none. Damaged ones are logged; one of a newer berth is BERTH_E_USAGE. */
berth_status berth_checkpoint_newest(const char *run_folder, int64_t *step) BERTH_CHECKED;

#endif /* BERTH_TRAIN_H */
