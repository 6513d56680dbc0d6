/* train_priv.h: what the files of the train part share.
 *
 *     trainer        everything of one run; trainer.c makes it, loop.c runs it
 *     recipe         what the configuration says of a run, as numbers
 *     run_state      what, beside parameters and moments, a run is between two steps; a checkpoint holds all of
 * *     weighting      from what a step holds of each task to each task's factor run_folder     the folder:
 * lock, config.yaml, log.txt, metrics.jsonl record         what is told of a run: to the observer, the log and
 * the metrics
 */
#ifndef BERTH_TRAIN_PRIV_H
#define BERTH_TRAIN_PRIV_H

#include "berth/h5.h"
#include "berth/train.h"

/* ---- weighting: w_t of the loss of a step, sum over tasks of w_t share_t m_t */
struct weighting_step {
    int64_t step;       /* 0-based */
    const bool *active; /* [task_count] the step holds labelled items of the task */
    const double
        *last_loss; /* [task_count] mean item loss of the step that held the task last; NaN: none yet */
};
struct weighting {
    const struct weighting_kind *kind;
    size_t task_count;
    double *fixed; /* [task_count] the configuration's tasks.NAME.weight */
};
struct weighting_kind {
    const char *name; /* weighting.method */
    void (*weights)(const struct weighting *w, const struct weighting_step *step,
                    double *out /* [task_count] */);
};
/* Reads weighting.method and tasks.*.weight in the order of the configuration's tasks. */
berth_status weighting_init(struct weighting *w, const struct berth_config *c) BERTH_CHECKED;
void weighting_deinit(struct weighting *w);

/* ---- the recipe */
struct recipe {
    uint64_t seed;
    bool frozen_dropout;
    struct berth_adamw adamw;
    double lr, head_lr;
    enum berth_schedule_kind schedule;
    int64_t total_steps, warmup_steps;
    int64_t evaluate_batch;
    int best_task;      /* index of the task whose metric chooses the best; -1: the mean */
    int64_t patience;   /* evaluations; 0: never */
    int64_t keep;       /* newest checkpoints */
    int64_t keep_every; /* steps whose multiples are kept; 0: none */
    bool tensorboard;
    bool keep_best; /* the checkpoint of the best model is written and kept */
    struct berth_duration evaluate_every, checkpoint_every, log_every;
    const char **metric_of; /* [task_count] each task's own metric; owned, the texts are not */
};

/* ---- the state of a run between two steps */
struct run_window { /* since the last report */
    int64_t steps, tokens;
    double loss;        /* sum over steps */
    double *task_loss;  /* [task_count] sum over the steps that held the task */
    double *task_steps; /* [task_count] */
};
struct run_state {
    int64_t step;      /* optimizer steps done */
    int64_t best_step; /* -1: none yet */
    double best_score;
    int64_t bad;            /* evaluations since the best one */
    int64_t evaluated_step; /* of the last evaluation; -1: none yet */
    double *last_loss;      /* [task_count] */
    int64_t tokens;         /* trained on, of all steps */
    int64_t rewind_step;    /* the checkpoint that on_nan: rewind would take, kept among the files; -1: none */
    struct run_window window;
};

/* ---- the run folder */
struct run_folder {
    char *path, *config, *log, *metrics, *events, *checkpoints, *best, *finished; /* owned */
    int lock; /* descriptor of the locked file; -1: none */
};
berth_status run_folder_init(struct run_folder *f, const char *path) BERTH_CHECKED;
void run_folder_deinit(struct run_folder *f); /* gives the lock back */
/* Makes the folder and locks it. resume false: BERTH_E_EXISTS when it is there already. A folder that another
 * process holds is BERTH_E_EXISTS, too, and so is one that holds something and is not a run's. */
berth_status run_folder_open(struct run_folder *f, bool resume) BERTH_CHECKED;
/* Once the folder is known to be this run's: makes what is missing, removes what a killed process left half
 * written, and nothing else. */
berth_status run_folder_tidy(const struct run_folder *f) BERTH_CHECKED;
/* Writes config.yaml, or where it is there compares it: a key that changes the result and differs is
 * BERTH_E_USAGE. */
berth_status run_folder_config(const struct run_folder *f, const struct berth_config *c,
                               const struct berth_device *dev) BERTH_CHECKED;
/* Bytes of metrics.jsonl or the events; 0 when the file is not there. */
berth_status run_file_size(int64_t *out, const char *path) BERTH_CHECKED;
/* Cuts it back; one that is shorter already is told of and left alone. */
berth_status run_file_cut(const char *path, int64_t size) BERTH_CHECKED;

/* ---- the trainer */
struct berth_trainer {
    const struct berth_config *config; /* borrowed */
    struct berth_observer observer;
    struct recipe recipe;
    struct berth_device *device;
    struct berth_model *model;
    struct berth_tokenizer *tokenizer;
    struct berth_tape *tape;
    struct berth_data *data;
    struct berth_feeder *feeder;
    struct berth_store *store;
    struct weighting weighting;
    size_t task_count; /* tasks of the configuration = heads of the model, same order */
    const char **task_names;
    bool *active;       /* [task_count + 1] owners that take part in the step at hand: 0 backbone, i+1 head i */
    double *weights;    /* [task_count] w_t of the step at hand */
    double *share;      /* [task_count] */
    int64_t *items;     /* [task_count] labelled items of the step at hand */
    double *task_loss;  /* [task_count] m_t of the step at hand; NaN: absent */
    float *losses;      /* [task_count] device memory: the sums behind m_t */
    float *host_losses; /* [task_count] */
    struct berth_tensor **logits; /* [task_count] of the batch at hand; NULL: head not run */
    double loss, lr, grad_norm;   /* of the step at hand */
    int64_t epoch, epoch_steps;   /* where the feeder stands, and how long that epoch is */
    double epochs, epochs_before; /* epochs done with their fraction: now, and before the last step */
    struct run_state state;
    struct run_folder folder;
    bool started, finished, stopped_early;
    struct checkpointer *checkpointer;
    char *checkpoint;                 /* path of the newest that stands; NULL: none */
    double last_log, last_checkpoint; /* times, for durations in seconds */
    double speed_seconds; /* of the steps since the last report that this process took: for the speed */
    int64_t speed_tokens, speed_steps;
    double speed_flops; /* of those steps */
    double peak_flops;  /* a second, measured; 0: not measured */
    struct berth_scores dev_scores, test_scores;
};

/* ---- recipe.c */
berth_status recipe_read(struct recipe *r, const struct berth_config *c) BERTH_CHECKED;
void recipe_deinit(struct recipe *r);
/* Total and warm-up steps; the feeder knows how long epochs are. */
berth_status recipe_plan_steps(struct recipe *r, const struct berth_config *c,
                               struct berth_feeder *f) BERTH_CHECKED;

/* ---- position.c: where in the epochs a run stands, and what is due */
/* Reads the feeder after a step or a restore. */
berth_status position_update(struct berth_trainer *t) BERTH_CHECKED;
/* Whether the step just done completes a multiple of the duration; last: time of the last event, for seconds.
 */
bool position_due(const struct berth_trainer *t, struct berth_duration every, double last);

/* ---- the step: zero, forward, backward, check, optimizer */
berth_status train_step(struct berth_trainer *t) BERTH_CHECKED;

/* ---- inputs.c: what a run is made from beside its configuration */
struct berth_json;
berth_status inputs_add_json(struct berth_str *out, const struct berth_trainer *t) BERTH_CHECKED;
/* Compares the list "inputs" of a document that `file` holds: BERTH_E_USAGE names the first that differs. */
berth_status inputs_check(const struct berth_trainer *t, const struct berth_json *j,
                          const char *file) BERTH_CHECKED;

/* ---- selection.c: the best model, early stopping, the end */
/* Before training: warns of tasks without a labelled row in dev or test; when dev is there and the score that
 * chooses cannot exist: BERTH_E_USAGE. */
berth_status selection_check(const struct berth_trainer *t) BERTH_CHECKED;
/* Evaluates dev, keeps the best; without a dev split it only marks the step as evaluated. */
berth_status selection_evaluate(struct berth_trainer *t) BERTH_CHECKED;
bool selection_done(const struct berth_trainer *t); /* all steps taken, or patience is out */
/* Exports the final model where there was no dev split, scores test with RUN/best, marks the run as finished.
 */
berth_status selection_finish(struct berth_trainer *t) BERTH_CHECKED;

/* ---- checkpoint.c: the state between two steps, written by a thread while training goes on */
berth_status checkpointer_create(struct berth_trainer *t) BERTH_CHECKED;
void checkpointer_free(struct berth_trainer *t); /* waits for the thread; NULL is allowed */
/* Takes the state of now and has a thread write it. Waits for the file before it; an error of that file is
 * returned here. The first file of a process is waited for, read back and compared. */
berth_status checkpoint_write(struct berth_trainer *t) BERTH_CHECKED;
/* Waits until the last file stands; its error is returned here. */
berth_status checkpoint_wait(struct berth_trainer *t) BERTH_CHECKED;
/* As checkpoint_wait where the thread has ended, else nothing. Asked after every step. */
berth_status checkpoint_poll(struct berth_trainer *t) BERTH_CHECKED;
/* Whether a checkpoint is due after the step just done: by checkpoint.every or keep_every, at this process's
 * first step, and where an evaluation found a new best model (checkpoint.best). */
bool checkpoint_due(const struct berth_trainer *t);
/* N of "step-N.h5", the name being `length` bytes long; -1 for other names. */
int64_t checkpoint_step_of(const char *name, size_t length);
/* The newest good one; *found false when there is no file. Files of which none can be read are BERTH_E_FORMAT,
 * one of a newer version is BERTH_E_VERSION, one of other inputs BERTH_E_USAGE. Metrics and events are cut back
 * to it. */
berth_status checkpoint_restore(struct berth_trainer *t, bool *found) BERTH_CHECKED;
/* Parts and parameters of the checkpoint of that step; the position of the run, its files and early stopping
 * stay. */
berth_status checkpoint_restore_parts(struct berth_trainer *t, int64_t step) BERTH_CHECKED;

/* ---- checkpoint_parts.c: what a checkpoint holds beside parameters, moments and run_state.
 *
 * A part (average of weights, weighting, stage, sampler) is added once, while the trainer is made. `pieces`
 * tells of all memory that makes up its state, the same names and sizes in both directions: a checkpoint copies
 * out of it, a restore into it. Small values go through locals: fill, tell, and where
 * checkpoint_pieces_restoring take them back.
 *
 *     static berth_status ema_pieces(void *user, struct checkpoint_pieces *p) {
 *         struct ema *e = user;
 *         BERTH_TRY(checkpoint_piece(p, "updates", BERTH_H5_I64, 1, &e->updates));
 *         return checkpoint_piece_device(p, "values", e->count, e->values);
 *     }
 *     BERTH_TRY(checkpoint_add_part(t, &(struct checkpoint_part){.name = "ema", .user = e, .pieces =
 * ema_pieces}));
 *
 * Restoring goes: the parts in the order they were added, then run_state and feeder, then parameters and
 * moments; so a `restored` that rebuilds feeder and store (another stage, another freezing) comes before what
 * they hold. */
struct checkpoint_pieces;
struct checkpoint_part {
    const char *name; /* the folder of its datasets */
    void *user;
    berth_status (*pieces)(void *user, struct checkpoint_pieces *p);
    berth_status (*restored)(void *user); /* (optional) after its pieces were filled */
};
berth_status checkpoint_add_part(struct berth_trainer *t, const struct checkpoint_part *part) BERTH_CHECKED;
berth_status checkpoint_piece(struct checkpoint_pieces *p, const char *name, enum berth_h5_type type,
                              int64_t count, void *data) BERTH_CHECKED;
berth_status checkpoint_piece_device(struct checkpoint_pieces *p, const char *name, int64_t count,
                                     float *data) BERTH_CHECKED;
/* Gives count elements from `first` of the piece told last (of floats) a digest of their own. */
berth_status checkpoint_tensor(struct checkpoint_pieces *p, const char *name, int64_t first,
                               int64_t count) BERTH_CHECKED;
bool checkpoint_pieces_restoring(const struct checkpoint_pieces *p);

/* ---- events.c: RUN/events.out.tfevents.berth */
/* Adds one scalar to a summary; a number that is not finite is left out. */
void event_add(struct berth_str *summary, double value, const char *fmt, ...) BERTH_PRINTF(3, 4);
/* Appends the summary as one event; nothing where it is empty. */
berth_status event_write(const char *path, int64_t step, struct berth_str *summary) BERTH_CHECKED;
uint32_t event_crc32c(const void *data, size_t size);

/* ---- speed.c */
/* Sets t->peak_flops: what the device's product reaches on one large square. */
berth_status speed_measure_peak(struct berth_trainer *t) BERTH_CHECKED;
/* The model's floating-point operations of the step that the feeder prepared, forward and backward. */
double speed_step_flops(const struct berth_trainer *t);

/* ---- record.c */
void record_note(struct berth_trainer *t, const char *fmt, ...) BERTH_PRINTF(2, 3);
/* Writes the recorded error into the log file; keeps it. */
void record_failure(const struct berth_trainer *t);
/* A text of several lines: the plan. */
void record_plan(struct berth_trainer *t, const char *text);
void record_step(struct berth_trainer *t, int64_t tokens, double seconds); /* adds the step to the window */
berth_status record_report(struct berth_trainer *t) BERTH_CHECKED;         /* tells the window, empties it */
berth_status record_scores(struct berth_trainer *t, int64_t step, const struct berth_scores *s,
                           bool best) BERTH_CHECKED;

/* ---- finished.c: RUN/finished.json and the scores in a checkpoint */
/* [{"task": "intent", "metric": "accuracy", "value": 0.98}, ...] */
void scores_add_json(struct berth_str *out, const struct berth_scores *s);
/* Reads the list at `path`; tasks are found by name in the data, unknown ones are BERTH_E_FORMAT. */
berth_status scores_read_json(struct berth_scores *out, const struct berth_json *j, const char *path,
                              enum berth_split split, const struct berth_data *data) BERTH_CHECKED;
berth_status finished_write(const struct berth_trainer *t) BERTH_CHECKED;
/* Sets t->finished and the scores when the run's marker is there. */
berth_status finished_read(struct berth_trainer *t) BERTH_CHECKED;

/* ---- evaluate.c */
berth_status scores_add(struct berth_scores *s, const char *task, enum berth_split split, const char *metric,
                        double value) BERTH_CHECKED;
/* The static text equal to a metric's name; NULL: no such metric. */
const char *scores_metric_name(const char *name);
bool scores_lower_is_better(const char *metric);

/* ---- model_build.c */
/* Gives the model the configuration's heads, in its order, with the data's labels. */
berth_status model_build_heads(struct berth_model *m, const struct berth_config *c,
                               const struct berth_data *data) BERTH_CHECKED;
/* Tasks of heads that came with a loaded model and that the configuration names: views, the array is owned by
 * the caller. The model's other heads are dropped. */
berth_status model_build_known(struct berth_task **out, size_t *count, struct berth_model *m,
                               const struct berth_config *c) BERTH_CHECKED;
/* Puts the heads in the order of names; a model whose heads are not exactly these is BERTH_E_FORMAT. */
berth_status model_build_order(struct berth_model *m, const char *const *names, size_t count) BERTH_CHECKED;

#endif /* BERTH_TRAIN_PRIV_H */
