/* checkpoint_priv.h: what the files of checkpoints share.
 *
 *     checkpoint_state.c   the parts of every run: state, parameters, moments; what the file says of its making
 *     checkpoint_parts.c   parts -> snapshot (bytes in memory), file -> parts
 *     checkpoint_writer.c  snapshot -> file, by a thread; which files stay
 *     checkpoint.c         the files of a folder; write, restore
 */
#ifndef BERTH_CHECKPOINT_PRIV_H
#define BERTH_CHECKPOINT_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "berth/h5.h"
#include "train/train_priv.h"

#define CHECKPOINT_KIND "checkpoint"
enum { CHECKPOINT_VERSION = 2, CHECKPOINT_NAME = 192 };

/* ---- checkpoint_parts.c */

/* Either a dataset of the file, or a named tensor within one, which has a digest of its own. */
struct snapshot_piece {
    char name[CHECKPOINT_NAME]; /* "adam/m" */
    enum berth_h5_type type;
    bool is_text;   /* ended by a zero byte */
    bool is_tensor; /* lies within a dataset */
    int64_t count;
    size_t offset; /* into the snapshot's bytes */
    size_t whole;  /* of a tensor: index of its dataset, */
    int64_t first; /* and its first element there */
};
/* The state of one instant. The memory is kept from checkpoint to checkpoint. */
struct snapshot {
    unsigned char *bytes;
    size_t size, capacity;
    struct snapshot_piece *pieces;
    size_t count, piece_capacity;
};
void snapshot_deinit(struct snapshot *s);
/* Names `count` floats from element `first` of the dataset that was added last. */
berth_status snapshot_add_tensor(struct snapshot *s, const char *name, int64_t first,
                                 int64_t count) BERTH_CHECKED;
berth_status snapshot_add_text(struct snapshot *s, const char *name, const char *text) BERTH_CHECKED;
/* Empties the snapshot and copies what every part holds now. */
berth_status snapshot_take(struct snapshot *s, struct berth_trainer *t) BERTH_CHECKED;
/* The bytes of a piece that is no text, or of a text with its zero byte left out. */
size_t snapshot_piece_bytes(const struct snapshot_piece *piece);
/* Copies the file's pieces into the parts, part after part, and calls their `restored`; run_state and feeder
 * after them where `state`; parameters last. */
berth_status parts_restore(struct berth_trainer *t, const struct berth_h5 *file, const char *path,
                           bool state) BERTH_CHECKED;

/* ---- checkpoint_state.c */

struct berth_json;
berth_status checkpoint_state_pieces(struct berth_trainer *t, struct checkpoint_pieces *p) BERTH_CHECKED;
berth_status checkpoint_parameter_pieces(struct berth_trainer *t, struct checkpoint_pieces *p) BERTH_CHECKED;
/* Names, shapes and offsets of the parameters, as JSON; owned by the caller. */
berth_status checkpoint_layout(char **out, const struct berth_model *m) BERTH_CHECKED;
berth_status checkpoint_meta(char **out, const struct berth_trainer *t) BERTH_CHECKED;
/* The file must be of these inputs and this model; another machine is noted, or refused by `deterministic:
 * strict`. */
berth_status checkpoint_check_fits(struct berth_trainer *t, const struct berth_h5 *file, const char *path,
                                   const struct berth_json *meta) BERTH_CHECKED;

/* ---- checkpoint_writer.c */

/* One file to be written.
 *
 * Lock rule: there is no lock, because there is one owner at a time. The run fills job and snapshot, starts the
 * thread, and does not touch them until it has joined the thread; the thread touches nothing else of the run.
 * `ended` alone is read and written by both meanwhile. */
struct checkpoint_job {
    const struct snapshot *snapshot;
    char *path;                           /* of the file; owned */
    const char *folder;                   /* checkpoints/ */
    const char *flush[2];                 /* files that the state counts bytes of, flushed first */
    int64_t step, best_step, rewind_step; /* -1: none */
    int64_t keep, keep_every;             /* keep_every 0: no multiples are kept */
    bool read_back;                       /* open the file again and compare it with the snapshot */
    berth_status status;
    char text[2048];   /* of the error */
    char warning[512]; /* "": none */
    double seconds;
    atomic_bool ended;
};

struct checkpointer {
    struct checkpoint_part *parts;
    size_t part_count, part_capacity;
    struct snapshot snapshot;
    struct checkpoint_job job;
    pthread_t thread;
    bool running;                      /* the thread was started and not yet joined */
    bool proved;                       /* a file of this process was read back */
    double stall;                      /* seconds the run was held for the snapshot at hand */
    int64_t metrics_size, events_size; /* of the files, as a restored checkpoint knew them */
};

/* Runs one job to its end, in the calling thread. */
void checkpoint_job_run(struct checkpoint_job *job);
/* Starts the thread of c->job. */
berth_status checkpointer_start(struct checkpointer *c) BERTH_CHECKED;

/* ---- checkpoint.c */

/* Steps of the files in a folder, newest first; owned by the caller. */
berth_status checkpoint_list(int64_t **out, size_t *count, const char *folder) BERTH_CHECKED;
berth_status checkpoint_path(char **out, const char *folder, int64_t step) BERTH_CHECKED;

#endif /* BERTH_CHECKPOINT_PRIV_H */
