/* checkpoint.c: the exact state of a run between two steps: RUN/checkpoints/step-N.h5, kind "checkpoint".
 *
 * What it holds: checkpoint_state.c and the parts that others add (checkpoint_parts.c). How it is written while
 * training goes on: checkpoint_writer.c. The file is written whole or not at all and carries a digest (h5.h),
 * so a good file is a whole state; a damaged one is named and the one before it is taken. Where files are there
 * and none can be read, the run does not begin anew over them. */
#include <stdlib.h>
#include <string.h>

#include "berth/file.h"
#include "berth/json.h"
#include "train/checkpoint_priv.h"

/* ---- files */

int64_t checkpoint_step_of(const char *name, size_t length) {
    char digits[24];
    int64_t step = -1;
    if (length < 9 || length >= sizeof digits + 8 || strncmp(name, "step-", 5) != 0) return -1;
    if (strncmp(name + length - 3, ".h5", 3) != 0) return -1;
    snprintf(digits, sizeof digits, "%.*s", (int)(length - 8), name + 5);
    if (strspn(digits, "0123456789") != strlen(digits)) return -1;
    return berth_parse_int64(digits, &step) ? step : -1;
}

berth_status checkpoint_path(char **out, const char *folder, int64_t step) {
    char name[48];
    snprintf(name, sizeof name, "step-%lld.h5", (long long)step);
    return berth_path_join(out, folder, name);
}

static int compare_steps(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

berth_status checkpoint_list(int64_t **out, size_t *count, const char *folder) {
    berth_status status = BERTH_OK;
    char **names = NULL;
    int64_t *steps = NULL;
    size_t total = 0;
    *out = NULL;
    *count = 0;
    if (!berth_is_folder(folder)) return BERTH_OK;
    BERTH_TRY_OUT(berth_list_folder(&names, &total, folder));
    BERTH_TRY_OUT(berth_calloc(&steps, total, sizeof *steps));
    for (size_t i = 0; i < total; i++) {
        int64_t step = checkpoint_step_of(names[i], strlen(names[i]));
        if (step >= 0) steps[(*count)++] = step;
    }
    qsort(steps, *count, sizeof *steps, compare_steps);
    *out = steps;
    steps = NULL;
out:
    berth_names_free(names, total);
    free(steps);
    return status;
}

/* The newest file that is whole, opened, with its path; *file NULL when there is none. reason: why the newest
 * of all cannot be read, "" when it can or there is none. A file of a newer version is not damaged: nothing may
 * be taken in its place. */
static berth_status open_newest(struct berth_h5 **file, char **path, int64_t *step, const char *folder,
                                char reason[1024]) {
    berth_status status = BERTH_OK;
    int64_t *steps = NULL;
    size_t count = 0;
    *file = NULL;
    *path = NULL;
    reason[0] = '\0';
    BERTH_TRY_OUT(checkpoint_list(&steps, &count, folder));
    for (size_t i = 0; i < count && *file == NULL; i++) {
        BERTH_TRY_OUT(checkpoint_path(path, folder, steps[i]));
        *step = steps[i];
        status = berth_h5_open(file, *path, CHECKPOINT_KIND, CHECKPOINT_VERSION);
        if (status == BERTH_OK) break;
        if (status != BERTH_E_FORMAT) goto out;
        if (i == 0) snprintf(reason, 1024, "%s", berth_error_text());
        berth_log(BERTH_LOG_WARN, "a damaged checkpoint is passed over: %s", berth_error_text());
        status = BERTH_OK;
        free(*path);
        *path = NULL;
    }
out:
    free(steps);
    if (status != BERTH_OK) {
        free(*path);
        *path = NULL;
    }
    return status;
}

berth_status berth_checkpoint_newest(const char *run_folder, int64_t *step) {
    berth_status status = BERTH_OK;
    char *folder = NULL, *path = NULL;
    struct berth_h5 *file = NULL;
    int64_t found = -1;
    char reason[1024];
    *step = -1;
    BERTH_TRY(berth_path_join(&folder, run_folder, "checkpoints"));
    status = open_newest(&file, &path, &found, folder, reason);
    if (status == BERTH_OK && file != NULL) *step = found;
    berth_h5_close(file);
    free(path);
    free(folder);
    return status;
}

/* ---- writing */

berth_status checkpointer_create(struct berth_trainer *t) {
    return berth_calloc(&t->checkpointer, 1, sizeof *t->checkpointer);
}

void checkpointer_free(struct berth_trainer *t) {
    struct checkpointer *c = t->checkpointer;
    if (c == NULL) return;
    if (c->running) pthread_join(c->thread, NULL);
    free(c->job.path);
    free(c->parts);
    snapshot_deinit(&c->snapshot);
    free(c);
    t->checkpointer = NULL;
}

berth_status checkpoint_wait(struct berth_trainer *t) {
    struct checkpointer *c = t->checkpointer;
    struct checkpoint_job *job = &c->job;
    if (!c->running) return BERTH_OK;
    pthread_join(c->thread, NULL);
    c->running = false;
    if (job->warning[0] != '\0') berth_log(BERTH_LOG_WARN, "%s", job->warning);
    if (job->status != BERTH_OK)
        return berth_error_set(job->status, __FILE__, __LINE__, "writing the checkpoint of step %lld: %s",
                               (long long)job->step, job->text);
    c->proved = true;
    free(t->checkpoint);
    t->checkpoint = job->path;
    job->path = NULL;
    record_note(t, "checkpoint written: %s (held the run for %.1f ms, written in %.1f ms)", t->checkpoint,
                1e3 * c->stall, 1e3 * job->seconds);
    return BERTH_OK;
}

berth_status checkpoint_poll(struct berth_trainer *t) {
    struct checkpointer *c = t->checkpointer;
    if (!c->running || !atomic_load_explicit(&c->job.ended, memory_order_acquire)) return BERTH_OK;
    return checkpoint_wait(t);
}

/* Everything of the file, in memory. */
static berth_status take_all(struct berth_trainer *t) {
    berth_status status = BERTH_OK;
    struct snapshot *s = &t->checkpointer->snapshot;
    char *layout = NULL, *meta = NULL;
    BERTH_TRY_OUT(snapshot_take(s, t));
    BERTH_TRY_OUT(checkpoint_meta(&meta, t));
    BERTH_TRY_OUT(checkpoint_layout(&layout, t->model));
    BERTH_TRY_OUT(snapshot_add_text(s, "meta", meta));
    BERTH_TRY_OUT(snapshot_add_text(s, "layout", layout));
out:
    free(layout);
    free(meta);
    return status;
}

berth_status checkpoint_write(struct berth_trainer *t) {
    struct checkpointer *c = t->checkpointer;
    struct checkpoint_job *job = &c->job;
    double begin = berth_time_seconds();
    BERTH_TRY(ranks_check_same(t));
    if (!ranks_first(t)) {
        c->proved = true;
        t->last_checkpoint = t->clock;
        return BERTH_OK;
    }
    BERTH_TRY(checkpoint_wait(t));
    berth_status status = take_all(t);
    free(job->path);
    job->path = NULL;
    if (status == BERTH_OK) status = checkpoint_path(&job->path, t->folder.checkpoints, t->state.step);
    job->snapshot = &c->snapshot;
    job->folder = t->folder.checkpoints;
    job->flush[0] = t->folder.metrics;
    job->flush[1] = t->folder.events;
    job->step = t->state.step;
    job->best_step = t->recipe.keep_best ? t->state.best_step : -1;
    job->rewind_step = t->state.rewind_step;
    job->keep = t->recipe.keep;
    job->keep_every = t->recipe.keep_every;
    job->read_back = !c->proved;
    if (status == BERTH_OK) status = checkpointer_start(c);
    if (status != BERTH_OK)
        return berth_error_context(status, "writing the checkpoint of step %lld", (long long)t->state.step);
    t->last_checkpoint = t->clock;
    c->stall = berth_time_seconds() - begin;
    return c->proved ? BERTH_OK : checkpoint_wait(t);
}

bool checkpoint_due(const struct berth_trainer *t) {
    if (!t->checkpointer->proved || checkpoint_scheduled(t)) return true;
    return position_due(t, t->recipe.checkpoint_every, t->last_checkpoint);
}

bool checkpoint_scheduled(const struct berth_trainer *t) {
    const struct recipe *r = &t->recipe;
    int64_t step = t->state.step;
    if (r->keep_every > 0 && step % r->keep_every == 0) return true;
    if (r->keep_best && t->state.best_step == step) return true;
    return r->checkpoint_every.unit != BERTH_SECONDS &&
           position_due(t, r->checkpoint_every, t->last_checkpoint);
}

/* ---- reading */

/* Cuts metrics and events back to where a checkpoint knew them, 0: to nothing. */
static berth_status cut_files(const struct berth_trainer *t, int64_t metrics, int64_t events) {
    if (!ranks_first(t)) return BERTH_OK;
    BERTH_TRY(run_file_cut(t->folder.metrics, metrics));
    return run_file_cut(t->folder.events, events);
}

/* The checkpoint to go on from: rank 0 chooses, so that all take the same. *file NULL: there is none. */
static berth_status choose(struct berth_h5 **file, char **path, struct berth_trainer *t) {
    char reason[1024] = "";
    int64_t step = -1;
    *file = NULL;
    if (ranks_first(t)) BERTH_TRY(open_newest(file, path, &step, t->folder.checkpoints, reason));
    if (*file == NULL && reason[0] != '\0')
        BERTH_FAIL(BERTH_E_FORMAT,
                   "no checkpoint can be read, the newest: %s; remove the files in %s to begin anew", reason,
                   t->folder.checkpoints);
    if (*file == NULL) step = -1;
    BERTH_TRY(berth_comm_broadcast(t->comm, &step, sizeof step));
    if (ranks_first(t) || step < 0) return BERTH_OK;
    BERTH_TRY(checkpoint_path(path, t->folder.checkpoints, step));
    return berth_h5_open(file, *path, CHECKPOINT_KIND, CHECKPOINT_VERSION);
}

berth_status checkpoint_restore(struct berth_trainer *t, bool *found) {
    berth_status status = BERTH_OK;
    struct berth_h5 *f = NULL;
    struct berth_json *meta = NULL;
    char *path = NULL;
    const char *text = NULL;
    *found = false;
    BERTH_TRY_OUT(checkpoint_wait(t));
    BERTH_TRY_OUT(choose(&f, &path, t));
    if (f == NULL) {
        BERTH_TRY_OUT(cut_files(t, 0, 0));
        goto out;
    }
    BERTH_TRY_OUT(berth_h5_text(f, "meta", &text));
    BERTH_TRY_OUT(berth_json_parse(&meta, path, text, strlen(text)));
    BERTH_TRY_OUT(checkpoint_check_fits(t, f, path, meta));
    BERTH_TRY_OUT(scores_read_json(&t->dev_scores, meta, "dev", BERTH_DEV, t->data));
    BERTH_TRY_OUT(parts_restore(t, f, path, true));
    BERTH_TRY_OUT(cut_files(t, t->checkpointer->metrics_size, t->checkpointer->events_size));
    *found = true;
    free(t->checkpoint);
    t->checkpoint = path;
    path = NULL;
out:
    berth_h5_close(f);
    berth_json_free(meta);
    free(path);
    return status;
}

berth_status checkpoint_restore_parts(struct berth_trainer *t, int64_t step) {
    berth_status status = BERTH_OK;
    struct berth_h5 *f = NULL;
    char *path = NULL;
    BERTH_TRY_OUT(checkpoint_wait(t));
    BERTH_TRY_OUT(checkpoint_path(&path, t->folder.checkpoints, step));
    BERTH_TRY_OUT(berth_h5_open(&f, path, CHECKPOINT_KIND, CHECKPOINT_VERSION));
    BERTH_TRY_OUT(parts_restore(t, f, path, false));
out:
    berth_h5_close(f);
    free(path);
    return status;
}
