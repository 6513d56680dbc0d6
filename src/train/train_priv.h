/* train_priv.h: what the files of the train part share.
 *
 *     trainer        everything of one run; trainer.c makes it, loop.c runs it
 *     recipe         what the configuration says of a run, as numbers
 *     run_state      what, beside parameters and moments, a run is between two steps; a checkpoint holds it all
 *     weighting      from what a step holds of each task to each task's factor: weighting_priv.h
 *     run_folder     the folder: lock, config.yaml, log.txt, metrics.jsonl
 *     record         what is told of a run: to the observer, the log and the metrics
 *     ranks          what the ranks of a run tell each other
 */
#ifndef BERTH_TRAIN_PRIV_H
#define BERTH_TRAIN_PRIV_H

#include "berth/dist.h"
#include "berth/h5.h"
#include "berth/task_gradients.h"
#include "train/weighting_priv.h"

/* ---- optimizer.c: one step of `n` neighbours; t: their step count, this step included */
berth_status optimizer_apply(struct berth_device *dev, const struct berth_optimizer *o, float *p,
                             float *const state[2], const float *g, const float *grad_scale, int64_t n,
                             double lr, double decay, int64_t t) BERTH_CHECKED;

/* ---- freeze.c */
struct freeze_rule {
    bool *selected;                    /* [parameter_count] */
    bool frozen;                       /* false: an exception from the rules before */
    struct berth_duration until, from; /* amount 0: not given */
};
struct freeze {
    struct freeze_rule *rules;
    size_t count, parameter_count;
};
/* Reads and checks the rules; on failure, too, freeze_deinit follows. */
berth_status freeze_read(struct freeze *f, const struct berth_config *c,
                         const struct berth_model *m) BERTH_CHECKED;
void freeze_deinit(struct freeze *f);
/* What is frozen after so many steps and epochs of the stage: a pure function of them. */
void freeze_at(const struct freeze *f, int64_t steps, double epochs, bool *frozen /* [parameter_count] */);
/* The rule that decides of a parameter; NULL: none, it is trained. */
const struct freeze_rule *freeze_rule_of(const struct freeze *f, int parameter);

/* ---- the recipe of a stage */
enum on_nan { ON_NAN_STOP, ON_NAN_SKIP, ON_NAN_REWIND };
struct recipe {
    uint64_t seed;
    bool frozen_dropout, recompute;
    struct berth_optimizer optimizer;
    double lr, head_lr, layer_decay, weight_decay;
    struct berth_schedule schedule;
    int64_t total_steps; /* of the stage */
    int64_t evaluate_batch;
    int best_task;      /* index of the task whose metric chooses the best; -1: the mean */
    int64_t patience;   /* evaluations; 0: never */
    int64_t keep;       /* newest checkpoints */
    int64_t keep_every; /* steps whose multiples are kept; 0: none */
    bool tensorboard;
    bool keep_best; /* the checkpoint of the best model is written and kept */
    enum on_nan on_nan;
    int64_t nan_limit; /* bad steps in a row that end the run */
    struct berth_duration evaluate_every, checkpoint_every, log_every;
    const char **metric_of; /* [task_count] each task's own metric; owned, the texts are not */
};

/* ---- param_rules.c: rates and decay -> rules[parameter_count]; nothing is frozen yet */
berth_status param_rules_read(struct berth_rule *rules, const struct recipe *r, const struct berth_config *c,
                              const struct berth_model *m) BERTH_CHECKED;

/* ---- stage.c: a run is one stage, or those of `stages`, each starting from the one before */
struct stage {
    const char *name;                  /* "" where the configuration has no stages; borrowed */
    const struct berth_config *config; /* what holds in it */
    struct berth_config *own;          /* the same, owned; NULL: the run's own configuration */
    bool *tasks;                       /* [task_count] train in it */
    bool from_best; /* it starts from the best model of the stage before, not from its last */
    struct recipe recipe;
    struct freeze freeze;
    struct berth_rule *rules; /* [parameter_count] peak rates and decay */
};

/* ---- the state of a run between two steps */
struct run_window { /* since the last report */
    int64_t steps, tokens;
    double loss;        /* sum over steps */
    double *task_loss;  /* [task_count] sum over the steps that held the task */
    double *task_steps; /* [task_count] */
};
struct run_state {
    int64_t step;         /* optimizer steps done, over all stages */
    int64_t stage;        /* index of the stage at hand */
    int64_t stage_begin;  /* the step that it began at */
    int64_t bad_steps;    /* in a row whose loss or gradient was not finite */
    int64_t stage_tokens; /* trained on before it */
    int64_t best_step;    /* -1: none yet */
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
    char *path, *config, *log, *metrics, *events, *checkpoints, *best, *finished, *plan; /* owned */
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
struct ranks_spare { /* ranks.c */
    float *data[16]; /* [levels] device memory, count floats each */
    int levels;
    int64_t count;
};
struct berth_trainer {
    const struct berth_config *config; /* borrowed */
    struct berth_comm *comm;           /* borrowed */
    struct berth_observer observer;
    struct stage *stages; /* [stage_count] */
    size_t stage_count;
    struct recipe recipe;                     /* a view of the stage's at hand */
    const struct berth_config *recipe_config; /* of the stage at hand */
    int parts;                                /* that a step of it is split in, over all ranks */
    int64_t
        total_steps; /* of the run as planned: steps done before the stage at hand, its own, and later ones */
    struct berth_device *device;
    struct berth_model *model;
    struct berth_tokenizer *tokenizer;
    struct berth_tape *tape;
    struct berth_data *data;      /* train and dev: test rows are opened when the run is over */
    struct berth_data *test_data; /* NULL until then */
    struct berth_feeder *feeder;
    struct berth_store *store;
    struct weighting weighting;
    struct berth_task_gradients
        *split;           /* each task's gradients, where the weighting asks for them; NULL: not made yet */
    double *gram;         /* [task_count, task_count] their products in the step at hand */
    double *coefficients; /* [task_count] what the weighting made of them */
    bool *frozen;         /* [parameter_count] at the point at hand */
    uint64_t *digests;    /* [parameter_count] of the frozen ones, as they were when they froze; 0: trained */
    size_t task_count;    /* tasks of the configuration = heads of the model, same order */
    const char **task_names;
    bool *active; /* [task_count + 1] what takes part in the step at hand: 0 anything, i+1 task i */
    bool *owners; /* [task_count + 1] whose parameters: 0 the backbone's, i+1 head i's, which tasks may share */
    double *weights;    /* [task_count] w_t of the step at hand */
    double *share;      /* [task_count] */
    int64_t *items;     /* [task_count] labelled items of the step at hand */
    double *task_loss;  /* [task_count] m_t of the step at hand; NaN: absent */
    float *losses;      /* [parts][task_count] device memory: the sums behind m_t, part by part of the step */
    float *host_losses; /* [parts][task_count] */
    double *numbers;    /* [parts][task_count] and two more: ranks_numbers */
    int most_parts;     /* of any stage: room in the three */
    struct ranks_spare spare;
    int64_t step_tokens;          /* of the step at hand, on all ranks */
    double step_flops;            /* and its floating-point operations */
    bool asked_to_stop;           /* some rank was */
    double clock;                 /* of rank 0, after the step at hand */
    struct berth_tensor **logits; /* [task_count] of the batch at hand; NULL: head not run */
    double loss, lr, grad_norm;   /* of the step at hand */
    int64_t epoch, epoch_steps;   /* where the feeder stands, and how long that epoch is */
    double epochs, epochs_before; /* epochs done with their fraction: now, and before the last step */
    int64_t tokens_before;        /* tokens trained on before the last step */
    struct run_state state;
    struct run_folder folder;
    bool started, finished, stopped_early;
    bool rewinding; /* a restore that leaves the position as it is (rewind.c) */
    struct checkpointer *checkpointer;
    char *checkpoint;                                  /* path of the newest that stands; NULL: none */
    struct berth_model_graphs *graphs; /* NULL: none */
    char *choices; /* of algorithms, as the run folder has them; NULL: none yet */
    double last_log, last_checkpoint, last_evaluation; /* times, for durations in seconds */
    double speed_seconds; /* of the steps since the last report that this process took: for the speed */
    int64_t speed_tokens, speed_steps;
    double speed_flops; /* of those steps */
    double speed_waited; /* of those seconds: for input */
    double input_seen;   /* berth_feeder_waited of the feeder at the last step */
    double run_seconds, run_waited; /* of all steps of this process */
    int64_t run_steps;
    double peak_flops;  /* a second, measured; 0: not measured */
    struct berth_scores dev_scores, test_scores;
};

/* ---- recipe.c */
berth_status recipe_read(struct recipe *r, const struct berth_config *c) BERTH_CHECKED;
void recipe_deinit(struct recipe *r);
/* Total and warm-up steps; the feeder knows how long epochs are. */
berth_status recipe_plan_steps(struct recipe *r, const struct berth_config *c,
                               struct berth_feeder *f) BERTH_CHECKED;

/* ---- stage.c */
/* Names, tasks and configurations of the stages: before the model is there. */
berth_status stages_read(struct berth_trainer *t) BERTH_CHECKED;
/* Recipes, rules and steps of every stage: all of them are checked before the first begins. */
berth_status stages_plan(struct berth_trainer *t) BERTH_CHECKED;
void stages_deinit(struct berth_trainer *t);
/* Makes weighting, feeder and store of stage t->state.stage at its beginning. */
berth_status stage_enter(struct berth_trainer *t) BERTH_CHECKED;
/* Ends the stage at hand and enters the next one. */
berth_status stage_next(struct berth_trainer *t) BERTH_CHECKED;
static inline const struct stage *stage_now(const struct berth_trainer *t) {
    return &t->stages[t->state.stage];
}
static inline int64_t stage_step(const struct berth_trainer *t) {
    return t->state.step - t->state.stage_begin;
}
/* Where the stage's best model goes: RUN/best of the last, else RUN/stages/NAME. Owned by the caller. */
berth_status stage_best_folder(char **out, const struct berth_trainer *t) BERTH_CHECKED;
berth_status stage_feeder(struct berth_feeder **out, const struct berth_trainer *t, size_t stage) BERTH_CHECKED;

/* ---- plan_parameters.c */
/* Which parameters a stage trains at some step of it -> trained[parameter_count]. */
void plan_trained(const struct berth_trainer *t, size_t stage, bool *trained);
berth_status plan_add_parameters(struct berth_str *s, const struct berth_trainer *t, size_t stage,
                                 int width) BERTH_CHECKED;

/* ---- plan_sizes.c */
struct plan_sizes {                                  /* bytes */
    int64_t task_gradients, parts;                   /* device memory: of each task by itself; sums that wait */
    int64_t values, gradients, state, average, step; /* device memory; step: activations and their gradients */
    int64_t snapshot;                                /* host memory in which a checkpoint waits for the disk */
    int64_t checkpoint, model;                       /* files */
    int64_t tokens;                                  /* of the largest batch */
    int64_t needed;                                  /* on the disk, for all files that are there at one time */
};
/* The largest of all stages and phases. */
berth_status plan_sizes_estimate(struct plan_sizes *out, const struct berth_trainer *t) BERTH_CHECKED;
berth_status plan_add_sizes(struct berth_str *s, const struct berth_trainer *t) BERTH_CHECKED;
/* BERTH_E_IO naming both numbers where the files do not fit into `free` bytes. */
berth_status plan_check_disk(const struct berth_trainer *t, int64_t free_bytes) BERTH_CHECKED;
/* Free bytes where the run folder is or will be; -1: unknown. */
int64_t plan_free_disk(const struct berth_trainer *t);

/* ---- state_parts.c: the parts of a checkpoint that stage, store, weighting and freezing are */
berth_status state_parts_add(struct berth_trainer *t) BERTH_CHECKED;

/* ---- phase.c: what is frozen now */
/* Lays the store out for what is frozen at the position at hand; without a store makes it. Parameters that stay
 * frozen were compared with their digests: BERTH_E_NUMERIC names one that changed. */
berth_status phase_update(struct berth_trainer *t) BERTH_CHECKED;
/* The parameters that are frozen now hold what they held when they froze: else BERTH_E_NUMERIC. */
berth_status phase_check_digests(const struct berth_trainer *t) BERTH_CHECKED;
/* XXH3 of a parameter's values. */
berth_status phase_digest(const struct berth_trainer *t, int parameter, uint64_t *out) BERTH_CHECKED;
/* Number of frozen parameters' elements and one digest over all of them. */
void phase_frozen(const struct berth_trainer *t, int64_t *elements, char hex[33]);

/* ---- position.c: where in the epochs a run stands, and what is due */
/* Reads the feeder after a step or a restore. */
berth_status position_update(struct berth_trainer *t) BERTH_CHECKED;
/* Whether the step just done completes a multiple of the duration; last: time of the last event, for seconds.
 */
bool position_due(const struct berth_trainer *t, struct berth_duration every, double last);

/* ---- rewind.c: parameters and all that is learnt of checkpoint t->state.rewind_step; the position stays.
 * Without such a checkpoint BERTH_E_NUMERIC. */
berth_status rewind_parameters(struct berth_trainer *t) BERTH_CHECKED;

struct ranks_buffer {
    float *data;
    int64_t count;
};

/* ---- task_walk.c: gradients of each task, for weightings that ask for them; else nothing happens */
berth_status task_walk_begin(struct berth_trainer *t) BERTH_CHECKED; /* of a step */
/* The batch that is passed through the model instead, and where its gradients go. */
berth_status task_walk_batch(struct berth_trainer *t, const struct berth_batch **batch,
                             struct berth_forward_options *options) BERTH_CHECKED;
berth_status task_walk_after(struct berth_trainer *t) BERTH_CHECKED; /* a batch's backward */
/* The tasks' gradients that are summed over parts and ranks; of 0 elements where there are none, or they stay. */
struct ranks_buffer task_walk_buffer(const struct berth_trainer *t);
/* After the step's batches: the products, and the shared parameters' gradient as the weighting wants it. */
berth_status task_walk_end(struct berth_trainer *t) BERTH_CHECKED;
/* Before the store is laid out anew. */
void task_walk_forget(struct berth_trainer *t);
/* A stage's weighting asks for gradients of what it does not train: BERTH_E_USAGE. */
berth_status task_walk_check(const struct berth_trainer *t, size_t stage,
                             const struct weighting *w) BERTH_CHECKED;
/* ---- ranks.c */
/* Parts that a step is split in, over all ranks. */
int ranks_parts(const struct berth_trainer *t, const struct berth_config *c);
int ranks_parts_of(const struct berth_config *c, int ranks);
/* BERTH_E_USAGE where `deterministic: strict` cannot keep its word with so many parts and ranks. */
berth_status ranks_check(const struct berth_trainer *t, const struct berth_config *c) BERTH_CHECKED;
/* How many sums wait for their other half where a step is summed part by part; else 0. */
int ranks_levels(const struct berth_trainer *t, const struct berth_config *c);
/* Whether a step is summed part by part. */
bool ranks_by_parts(const struct berth_trainer *t);
/* Device memory becomes its sum over all ranks. */
berth_status ranks_sum(struct berth_trainer *t, float *data, int64_t n) BERTH_CHECKED;
/* Zeroes the buffers (device memory), calls `run` for each of this rank's batches of the step, which adds to
 * them, and leaves the sum over all parts and ranks in them. The loop's gradients; a method that keeps one
 * buffer a task lists those. */
typedef berth_status ranks_run(struct berth_trainer *t, const struct berth_batch *batch, int part);
berth_status ranks_accumulate(struct berth_trainer *t, const struct ranks_buffer *list, size_t n,
                              ranks_run *run) BERTH_CHECKED;
void ranks_free_spare(struct berth_trainer *t);
/* The sums of t->losses over all parts, step_tokens and step_flops. */
berth_status ranks_numbers(struct berth_trainer *t, double *task_sums /* [task_count] */) BERTH_CHECKED;
/* Sets asked_to_stop and clock, the same on all ranks. */
berth_status ranks_agree(struct berth_trainer *t) BERTH_CHECKED;
/* BERTH_E_NUMERIC where a rank's values are not those of rank 0. */
berth_status ranks_check_same(struct berth_trainer *t) BERTH_CHECKED;
/* Rank 0 keeps the run folder, evaluates and speaks. */
static inline bool ranks_first(const struct berth_trainer *t) {
    return t->comm->rank == 0;
}

/* ---- the step: zero, forward, backward, check, optimizer */
struct weighting_step weighting_step_of(const struct berth_trainer *t);
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
/* Evaluates dev and tells, and changes nothing of the run's state: for evaluations by the clock. */
berth_status selection_show(struct berth_trainer *t) BERTH_CHECKED;
bool selection_done(const struct berth_trainer *t); /* all steps of the stage taken, or patience is out */
/* After a stage's last step: evaluates where that was not done, exports the model where there was no dev split.
 */
berth_status selection_end_stage(struct berth_trainer *t) BERTH_CHECKED;
/* Scores test with RUN/best, marks the run as finished. */
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
/* Whether that follows from the step alone: not from the clock, nor from a process's beginning. */
bool checkpoint_scheduled(const struct berth_trainer *t);
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
/* A text of any length. Taking: *text is stored. Restoring: *text is a copy, the caller's; NULL: the file has none. */
berth_status checkpoint_piece_text(struct checkpoint_pieces *p, const char *name, char **text) BERTH_CHECKED;
bool checkpoint_pieces_restoring(const struct checkpoint_pieces *p);

/* ---- device_setup.c: the part of a checkpoint that holds the device's choices of algorithms */
berth_status device_part_add(struct berth_trainer *t) BERTH_CHECKED;
/* Makes t->graphs where `graphs` is on. */
berth_status device_graphs(struct berth_trainer *t) BERTH_CHECKED;

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
/* At the end of a run: how much of their time its steps waited for input. */
void record_input(struct berth_trainer *t);
void record_plan(struct berth_trainer *t, const char *text);
void record_step(struct berth_trainer *t, double seconds);         /* adds the step to the window */
berth_status record_report(struct berth_trainer *t) BERTH_CHECKED; /* tells the window, empties it */
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

/* ---- eval_details.c */
/* {"intent":{"accuracy":0.98,...},...} */
void scores_add_by_task(struct berth_str *s, const struct berth_scores *scores);
/* RUN/evaluation-SPLIT.json: scores and details of the best model. */
berth_status details_write(const struct berth_trainer *t, const struct berth_scores *scores) BERTH_CHECKED;

/* ---- evaluate.c */
berth_status scores_add(struct berth_scores *s, const char *task, enum berth_split split, const char *metric,
                        double value) BERTH_CHECKED;
/* The static text equal to a metric's name; NULL: no such metric. */
const char *scores_metric_name(const char *name);
bool scores_lower_is_better(const char *metric);

/* ---- head_config.c */
/* A task's head as the configuration describes it: views of the data's texts and labels; class weights, where
 * there are, in `weights` [K], which is the caller's. */
berth_status head_from_config(struct berth_head *head, float *weights, const struct berth_model *m,
                              const struct berth_config *c, const struct berth_data *data,
                              size_t index) BERTH_CHECKED;
/* Where tasks share heads: all tasks, those of one head with the labels of all of them (or those of the known
 * head). *out NULL: no task shares. Owned by the caller. */
berth_status shared_tasks(struct berth_task **out, const struct berth_config *c, const struct berth_data *data,
                          const struct berth_task *known, size_t known_count) BERTH_CHECKED;
void shared_tasks_free(struct berth_task *tasks, size_t count);

/* ---- model_build.c */
/* Gives the model the configuration's heads, in its order, with the data's labels. */
berth_status model_build_heads(struct berth_model *m, const struct berth_config *c,
                               const struct berth_data *data) BERTH_CHECKED;
/* Tasks of heads that came with a loaded model and that the configuration names: views, the array is owned by
 * the caller. The model's other heads are dropped. */
berth_status model_build_known(struct berth_task **out, size_t *count, struct berth_model *m,
                               const struct berth_config *c) BERTH_CHECKED;

#endif /* BERTH_TRAIN_PRIV_H */
