/* support_train.h: a small world on disk for the tests of training: data of two sources, a vocabulary, a
 * configuration, and helpers that run a trainer in it. */
#ifndef SUPPORT_TRAIN_H
#define SUPPORT_TRAIN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "train/train_priv.h"

struct world {
    char folder[256];
    char config[288]; /* world.yaml */
};

/* Fails the test with the recorded error when a status is not BERTH_OK. */
#define assert_done(expr)                                                                                      \
    do {                                                                                                       \
        berth_status done_ = (expr);                                                                           \
        if (done_ != BERTH_OK) fail_msg("%s: %s: %s", #expr, berth_status_name(done_), berth_error_text());    \
    } while (0)

/* Fails the test unless `part` stands in the text. */
#define assert_text_has(text, part)                                                                            \
    do {                                                                                                       \
        if (strstr(text, part) == NULL) fail_msg("'%s' is not in: %s", part, text);                            \
    } while (0)

/* talk: 24 commands with intent and slots; mood: 8 reviews. Training rows stand in for dev and test as well. */
int world_setup(void **state);
int world_teardown(void **state);
/* A path in the world; valid until the eighth call after it. */
const char *world_path(const struct world *w, const char *name);
void world_write(const struct world *w, const char *name, const char *text);

/* The world's configuration with overrides "path=value", ended by NULL. Freed by the caller. */
struct berth_config *world_config(const struct world *w, const char *override, ...);
struct berth_config *world_config_list(const struct world *w, const char *const *overrides, size_t count);

/* A run of the world in folder `run` (below the world's). stop_at: asks to stop after that step (0: never). */
struct world_run {
    struct berth_config *config;
    struct berth_trainer *trainer;
    int64_t stop_at;
    double first_loss, last_loss; /* of reports */
    int64_t reports, evaluations, notes;
    char note[512]; /* the last */
};
/* Makes config and trainer with overrides ended by NULL, output=WORLD/run first. */
void run_make(struct world_run *r, const struct world *w, const char *run, const char *override, ...);
void run_free(struct world_run *r);
/* Makes, starts, runs, frees; returns the status of the run. */
berth_status run_whole(const struct world *w, const char *run, bool resume, int64_t stop_at,
                       const char *override, ...);

/* Values of all parameters of a trainer's model, host memory; freed by the caller. */
float *model_values(const struct berth_model *m, int64_t *count);
void assert_same_file(const char *a, const char *b);
/* A text file with "tokens_per_second" numbers taken out; freed by the caller. */
char *read_metrics(const char *path);

#endif /* SUPPORT_TRAIN_H */
