/* checkpoint_writer.c: a snapshot becomes a file, in a thread of its own, and old files go.
 *
 *     the run      step  step  [copy] step  step  step  step  [copy waits for the file before it]
 *     the thread                [flush metrics, datasets, digests, fsync, rename, drop old files]
 *
 * The thread takes no signals: they are the run's. Whatever fails is put into the job, and the run finds it
 * when it joins the thread: after the next step, or before the next snapshot. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "berth/file.h"
#include "train/checkpoint_priv.h"

/* A checkpoint knows the size of metrics and events, so those bytes must outlive a power cut, too. */
static berth_status flush_file(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) return BERTH_OK;
    if (fd < 0) BERTH_FAIL(BERTH_E_IO, "%s: cannot be opened: %s", path, strerror(errno));
    int failed = fsync(fd) != 0 ? errno : 0;
    close(fd);
    if (failed != 0) BERTH_FAIL(BERTH_E_IO, "%s: cannot be flushed: %s", path, strerror(failed));
    return BERTH_OK;
}

static berth_status digests_json(char **out, const struct snapshot *s) {
    struct berth_str text;
    berth_str_init(&text);
    berth_str_add(&text, "{\"list\":[");
    for (size_t i = 0; i < s->count; i++) {
        const struct snapshot_piece *piece = &s->pieces[i];
        char hex[33];
        berth_hash_hex(berth_hash(s->bytes + piece->offset, snapshot_piece_bytes(piece)), hex);
        berth_str_add(&text, i > 0 ? ",{\"name\":" : "{\"name\":");
        berth_str_add_json(&text, piece->name);
        if (piece->is_tensor) {
            berth_str_add(&text, ",\"in\":");
            berth_str_add_json(&text, s->pieces[piece->whole].name);
            berth_str_addf(&text, ",\"first\":%lld,\"count\":%lld", (long long)piece->first,
                           (long long)piece->count);
        }
        berth_str_addf(&text, ",\"xxh3\":\"%s\"}", hex);
    }
    berth_str_add(&text, "]}");
    return berth_str_take(&text, out);
}

static berth_status write_file(const struct checkpoint_job *job) {
    berth_status status = BERTH_OK;
    const struct snapshot *s = job->snapshot;
    struct berth_h5_writer *w = NULL;
    char *digests = NULL;
    BERTH_TRY_OUT(digests_json(&digests, s));
    BERTH_TRY_OUT(berth_h5_create(&w, job->path, CHECKPOINT_KIND, CHECKPOINT_VERSION));
    for (size_t i = 0; i < s->count; i++) {
        const struct snapshot_piece *piece = &s->pieces[i];
        const unsigned char *data = s->bytes + piece->offset;
        if (piece->is_tensor) continue;
        if (piece->is_text)
            BERTH_TRY_OUT(berth_h5_put_text(w, piece->name, (const char *)data));
        else
            BERTH_TRY_OUT(berth_h5_put(w, piece->name, piece->type, 1, &piece->count, data));
    }
    BERTH_TRY_OUT(berth_h5_put_text(w, "digests", digests));
    BERTH_TRY_OUT(berth_h5_commit(&w));
out:
    berth_h5_abort(&w);
    free(digests);
    return status;
}

/* What a later resume would read is what the run held. */
static berth_status read_back(const struct checkpoint_job *job) {
    berth_status status = BERTH_OK;
    struct berth_h5 *file = NULL;
    const struct snapshot *s = job->snapshot;
    BERTH_TRY(berth_h5_open(&file, job->path, CHECKPOINT_KIND, CHECKPOINT_VERSION));
    for (size_t i = 0; i < s->count; i++) {
        const struct snapshot_piece *piece = &s->pieces[i];
        if (piece->is_tensor) continue;
        const struct berth_h5_dataset *d = berth_h5_find(file, piece->name);
        size_t bytes = snapshot_piece_bytes(piece);
        if (d == NULL || d->count != piece->count || d->type != piece->type ||
            (bytes > 0 && memcmp(d->data, s->bytes + piece->offset, bytes) != 0))
            BERTH_FAIL_OUT(BERTH_E_IO, "%s: read back, '%s' is not what was written", job->path, piece->name);
    }
out:
    berth_h5_close(file);
    return status;
}

/* Of the files up to this step stay: the newest `keep`, that of the best model, the one that on_nan
 * goes back to, multiples of keep_every. A file
 * that cannot be removed is told of and stays. */
static berth_status drop_old(struct checkpoint_job *job) {
    berth_status status = BERTH_OK;
    int64_t *steps = NULL, newest = 0;
    size_t count = 0;
    BERTH_TRY(checkpoint_list(&steps, &count, job->folder));
    for (size_t i = 0; i < count; i++) {
        char *path = NULL;
        if (steps[i] > job->step || newest++ < job->keep || steps[i] == job->best_step) continue;
        if (steps[i] == job->rewind_step) continue;
        if (job->keep_every > 0 && steps[i] % job->keep_every == 0) continue;
        BERTH_TRY_OUT(checkpoint_path(&path, job->folder, steps[i]));
        if (unlink(path) != 0)
            snprintf(job->warning, sizeof job->warning, "%s: the old checkpoint cannot be removed: %s", path,
                     strerror(errno));
        free(path);
    }
out:
    free(steps);
    return status;
}

static berth_status run_job(struct checkpoint_job *job) {
    for (size_t i = 0; i < sizeof job->flush / sizeof job->flush[0]; i++)
        if (job->flush[i] != NULL) BERTH_TRY(flush_file(job->flush[i]));
    BERTH_TRY(write_file(job));
    if (job->read_back) BERTH_TRY(read_back(job));
    return drop_old(job);
}

static void *thread_main(void *user) {
    struct checkpoint_job *job = user;
    double begin = berth_time_seconds();
    job->status = run_job(job);
    if (job->status != BERTH_OK) snprintf(job->text, sizeof job->text, "%s", berth_error_text());
    job->seconds = berth_time_seconds() - begin;
    atomic_store_explicit(&job->ended, true, memory_order_release);
    return NULL;
}

berth_status checkpointer_start(struct checkpointer *c) {
    sigset_t all, before;
    struct checkpoint_job *job = &c->job;
    BERTH_ASSERT(!c->running);
    job->status = BERTH_OK;
    job->text[0] = job->warning[0] = '\0';
    atomic_store(&job->ended, false);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&c->thread, NULL, thread_main, job);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0)
        BERTH_FAIL(BERTH_E_MEMORY, "%s: no thread could be started to write it: %s", job->path,
                   strerror(error));
    pthread_setname_np(c->thread, "berth-save"); /* what `top -H` and debuggers show */
    c->running = true;
    return BERTH_OK;
}
