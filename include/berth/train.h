/* train.h: parameter store, freezing, optimizer, schedule, metrics, evaluation, checkpoints, the loop.
 *
 *     struct berth_trainer *t;
 *     BERTH_TRY(berth_trainer_create(&t, config, &observer));   // model, data, parameters; nothing is written
 * yet BERTH_TRY(berth_trainer_start(t, resume));                // the run folder; resume: newest good
 * checkpoint BERTH_TRY(berth_trainer_run(t));                          // trains, evaluates, checkpoints,
 * exports berth_trainer_free(t);
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
#include "berth/dist.h"
#include "berth/model.h"

/* ---- optimizers: one row each in src/train/optimizer.c */
enum berth_optimizer_kind {
    BERTH_OPTIMIZER_ADAMW,
    BERTH_OPTIMIZER_SGD,
    BERTH_OPTIMIZER_LION,
    BERTH_OPTIMIZER_COUNT
};
struct berth_optimizer {
    enum berth_optimizer_kind kind;
    double beta1, beta2, eps; /* adamw; lion: beta1, beta2 */
    double momentum;          /* sgd */
    bool nesterov;            /* sgd */
    double clip_norm;         /* 0: no clipping */
    double ema;               /* decay of the average of the values; 0: none is kept */
};
const char *berth_optimizer_name(enum berth_optimizer_kind kind);
/* BERTH_OPTIMIZER_COUNT: no such optimizer. */
enum berth_optimizer_kind berth_optimizer_find(const char *name);
int berth_optimizer_states(enum berth_optimizer_kind kind); /* buffers of the size of the gradients */

/* ---- parameter store: gradients and optimizer state of the trainable parameters, each one flat buffer.
 *
 *   values   | embeddings | layer 0 | layer 1 | ... | heads |     the model's, all parameters
 *   grads              | layer 1 | ... | heads |                  trainable ones only, same order
 *   state              | layer 1 | ... | heads |                  adamw two (m, v), sgd and lion one
 *   average  | embeddings | layer 0 | layer 1 | ... | heads |     where one is kept: as values, so that the two
 * can be exchanged
 *
 * Query, key and value of a layer are one product, so their gradients lie together: where one of the three is
 * trained all three have room in grads, but only the trained ones have a segment.
 */
struct berth_rule { /* what is done to one parameter */
    bool frozen;
    double lr;           /* peak */
    double weight_decay; /* adamw, lion: decoupled, times the rate; sgd: added to the gradient (L2) */
};
struct berth_segment { /* a run of neighbouring parameters that are stepped alike */
    int64_t value_offset, grad_offset, count;
    int owner;                  /* berth_parameter.owner */
    int first, parameter_count; /* parameters [first, first + parameter_count) */
    double lr, weight_decay;
};
struct berth_store {
    struct berth_model *model; /* borrowed */
    struct berth_optimizer optimizer;
    bool *trainable;   /* [parameter_count] */
    float **gradients; /* [parameter_count] into grads; NULL: no gradient wanted */
    float *grads;      /* [grad_total] device memory */
    float *state[2];   /* [grad_total] device memory; NULL: the optimizer has no such buffer */
    float *average;    /* [model->total] device memory; NULL: none is kept */
    int64_t grad_total;
    struct berth_segment *segments;
    int segment_count;
    int64_t
        *steps; /* [parameter_count] optimizer steps a parameter took part in since it is trained: AdamW's t */
    double *squares;   /* [parameters + 1] device memory: sums of squares of a step's segments; last the norm */
    float *grad_scale; /* [1] device memory */
};
/* rules: [parameter_count] */
berth_status berth_store_create(struct berth_store **out, struct berth_model *model,
                                const struct berth_rule *rules,
                                const struct berth_optimizer *optimizer) BERTH_CHECKED;
void berth_store_free(struct berth_store *s);
/* Lays the store out anew for other rules. What was trained and is trained keeps its state and step count; what
 * thaws begins with zeros; what freezes gives its memory back. The average stays. On failure the store is as it
 * was. */
berth_status berth_store_change(struct berth_store **s, const struct berth_rule *rules) BERTH_CHECKED;
/* Cuts the segments anew, after steps[] was replaced. rules: those that the store was laid out for. */
void berth_store_cut(struct berth_store *s, const struct berth_rule *rules);
/* Exchanges the model's values with their average: before an evaluation or an export and again after it.
 * Nothing happens where no average is kept. */
void berth_store_exchange(struct berth_store *s);

/* One step over the active owners with rates lr * factor; *grad_norm is the norm before clipping. The clipped
 * gradient is g min(1, clip / (norm + 1e-6)). An owner that is not active keeps values, state and step count. A
 * norm that is not finite leaves everything untouched and is BERTH_E_NUMERIC. */
berth_status berth_store_step(struct berth_store *s, double factor, const bool *active_owner,
                              double *grad_norm) BERTH_CHECKED;
/* average += (1 - d) (values - average) over the trained parameters, d = min(ema, (1 + n) / (10 + n)) with n
 * steps done before: the first values soon weigh nothing. */
berth_status berth_store_average(struct berth_store *s, int64_t steps_before) BERTH_CHECKED;

/* ---- schedule: the factor of every peak rate at optimizer step `step` (0-based) of `total`. While step <
 * warmup it is (step+1)/warmup; then, with x = (step - warmup) / (total - warmup) from 0 to 1 and r =
 * min_ratio: linear      r + (1-r) (1 - x)              cosine      r + (1-r) (1 + cos(pi x)) / 2 polynomial  r
 * + (1-r) (1 - x)^power        constant    1 inverse_sqrt  max(r, sqrt(w / (step + w - warmup))), w = warmup,
 * or 10,000 where there is none */
enum berth_schedule_kind {
    BERTH_SCHEDULE_LINEAR,
    BERTH_SCHEDULE_COSINE,
    BERTH_SCHEDULE_CONSTANT,
    BERTH_SCHEDULE_INVERSE_SQRT,
    BERTH_SCHEDULE_POLYNOMIAL,
    BERTH_SCHEDULE_COUNT
};
struct berth_schedule {
    enum berth_schedule_kind kind;
    int64_t total, warmup;
    double min_ratio, power;
};
const char *berth_schedule_name(enum berth_schedule_kind kind);
enum berth_schedule_kind berth_schedule_find(const char *name); /* BERTH_SCHEDULE_COUNT: no such schedule */
double berth_schedule_factor(const struct berth_schedule *schedule, int64_t step);

/* ---- evaluation */
struct berth_score {  /* one number of an evaluation */
    const char *task; /* borrowed; "mean" for the mean over tasks */
    const char *split;
    const char *metric; /* a name of src/train/metrics.c; "metric" of mean */
    double value;
};
struct berth_scores {
    struct berth_score *list;
    size_t count, capacity;
    char *details; /* JSON, owned; NULL: none. {TASK: {...}}, by kind of task, where COUNTS are "support",
                      "predicted", "correct", "precision", "recall", "f1" and a SPREAD is "mean", "deviation",
                      "min", "q05", "q25", "median", "q75", "q95", "max": classification         "classes":
                      [{"label", COUNTS}], "unknown": rows whose label training never saw, "mistakes": [{"gold",
                      "answered", "count"}]; of at most 100 classes "labels": [...], "confusion": [[...]] gold
                      by answered tagging                "entities": [{"type", COUNTS}] multilabel "classes":
                      [{"label", COUNTS}], "threshold" regression, similarity "targets", "answers", "residuals"
                      (answer - target): each a SPREAD contrastive            "ranks": [{"at": 1, "share"},
                      ...]: the positive is among the nearest */
};
void berth_scores_init(struct berth_scores *s);
void berth_scores_deinit(struct berth_scores *s);
/* Adds the whole as one JSON object and a line's end: {"split", "step" (left out below 0), "scores": {TASK:
 * {METRIC: value}}, "details": {TASK: {...}}}. */
void berth_scores_add_json(struct berth_str *s, const struct berth_scores *scores, int64_t step);
double berth_scores_find(const struct berth_scores *s, const char *task, const char *metric); /* NaN: none */

/* Evaluates every task whose source has the split; the first score of a task is its own metric; then "mean"
 * metric over the tasks of which a row is labelled. metric_of[i]: name of task i's own metric ("accuracy",
 * "span_f1"). Words cut off count as missed, unknown labels as wrong. Outputs of several sequences of one row
 * (windows of a long text) are averaged before anything is decided by them. */
/* A kind's metrics. own: the configuration's tasks.NAME.metric, or NULL: the kind's first. NULL: the kind has
 * none of that name; then *list is the names it has. */
const char *berth_metric_of(enum berth_task_kind kind, const char *own, const char **list);
struct berth_evaluate_options {
    const char *const *metric_of; /* [tasks] */
    int64_t batch_size; /* sequences; it changes the loss of contrastive tasks and CoSENT, nothing else */
    bool tune;          /* choose the thresholds of multi-label heads by these rows and set them in the model */
};
berth_status berth_evaluate(struct berth_scores *out, struct berth_model *model, struct berth_tape *tape,
                            const struct berth_data *data, enum berth_split split,
                            const struct berth_evaluate_options *options) BERTH_CHECKED;

/* ---- the run */
struct berth_progress {
    int64_t step, total_steps; /* done */
    int64_t epoch;
    int64_t tokens; /* since the last report */
    double tokens_per_second;
    double utilisation; /* model FLOP/s over peak_flops; NaN: not known */
    double peak_flops;  /* a second: one large matrix product, measured on this device before the first step */
    double seconds_left;
    double loss, lr, grad_norm; /* loss: mean of the steps since the last report */
    int task_count;
    const char *const *task_names;
    const double *task_losses; /* mean item loss since the last report; NaN: absent */
};
struct berth_observer {
    void *user;
    void (*plan)(void *user, const char *text);                   /* before the first step */
    void (*progress)(void *user, const struct berth_progress *p); /* by log.every */
    void (*scores)(void *user, int64_t step, const struct berth_scores *s, bool best);
    void (*note)(void *user, const char *line); /* "checkpoint written: ..." */
    bool (*stop_requested)(void *user);         /* asked between steps: finish, write a checkpoint, E_STOPPED */
};

struct berth_trainer;
berth_status berth_trainer_create(struct berth_trainer **out, const struct berth_config *c,
                                  const struct berth_observer *observer) BERTH_CHECKED;
/* The same as one of several ranks (dist.h; borrowed), which all call the same functions: each trains on its
 * part of every step, and rank 0 alone evaluates, writes the run folder and tells the observer, of which the
 * others' is asked for stop_requested only. A rank that fails has told the others when these functions return.
 */
berth_status berth_trainer_create_rank(struct berth_trainer **out, const struct berth_config *c,
                                       const struct berth_observer *observer,
                                       struct berth_comm *comm) BERTH_CHECKED;
/* What will be done, as text: tasks, rows, shares, parameters by group, steps. Owned by the caller. */
berth_status berth_trainer_plan(struct berth_trainer *t, char **out) BERTH_CHECKED;
/* resume false: the run folder must not exist (BERTH_E_EXISTS). resume true: continues from the newest good
 * checkpoint, starts anew where there is none; a damaged checkpoint is named and the one before is taken,
 * BERTH_E_FORMAT where none is good; a run folder made with another configuration is BERTH_E_USAGE naming the
 * first key that differs, one made from other data, labels, tokenizer or backbone configuration names that. A
 * folder that holds something and is not a run's is BERTH_E_EXISTS and stays as it is. */
berth_status berth_trainer_start(struct berth_trainer *t, bool resume) BERTH_CHECKED;
/* Runs to the end: best model exported to RUN/best, test scores read once after the end. BERTH_E_STOPPED when
 * asked to stop (checkpoint written), BERTH_E_NUMERIC on a loss that is not finite (names step, task, last
 * checkpoint). A run that is already finished returns BERTH_OK at once. */
berth_status berth_trainer_run(struct berth_trainer *t) BERTH_CHECKED;
void berth_trainer_free(struct berth_trainer *t);
/* Of the finished run: last dev and test scores. Borrowed. */
const struct berth_scores *berth_trainer_dev_scores(const struct berth_trainer *t);
const struct berth_scores *berth_trainer_test_scores(const struct berth_trainer *t);

/* Builds a model and its tokenizer as `model:` and `tasks:` say, without training: for train and eval. The
 * heads' labels come from `tasks` ([count], by name). */
berth_status berth_model_from_config(struct berth_model **model, struct berth_tokenizer **tokenizer,
                                     struct berth_device *dev, const struct berth_config *c) BERTH_CHECKED;

/* Sets what an allocated model computes in, as `precision` and `precision_fallback` say. */
berth_status berth_precision_from_config(struct berth_model *m, const struct berth_config *c) BERTH_CHECKED;

/* Chooses the implementation of attention, as `attention` says, for all batches that the configuration can have; after
 * the precision. training: backward runs, too. */
berth_status berth_attention_from_config(struct berth_model *m, const struct berth_config *c,
                                         bool training) BERTH_CHECKED;

/* The tokenizer alone, without the weights: model.backbone's, or model.vocab with model.new. */
berth_status berth_tokenizer_from_config(struct berth_tokenizer **out,
                                         const struct berth_config *c) BERTH_CHECKED;

/* ---- checkpoints: RUN/checkpoints/step-N.h5 (h5.h, kind "checkpoint") */
/* The newest step whose file is good; -1: none. Damaged ones are logged; one of a newer berth is BERTH_E_USAGE.
 */
berth_status berth_checkpoint_newest(const char *run_folder, int64_t *step) BERTH_CHECKED;

#endif /* BERTH_TRAIN_H */
