/* run_folder.c: the folder of a run: who may write in it, its configuration, its metrics file.
 *
 *   RUN/.lock             held (flock) by the process that trains; freed by the system when that process ends
 *       config.yaml       the effective configuration; comments say version, device and time
 *       log.txt           what was told
 *       metrics.jsonl     record.c
 *       events.out.tfevents.berth   events.c
 *       checkpoints/      checkpoint.c
 *       best/             the best model, a model folder
 *       plan.txt          what was about to be done, of the last start
 *       evaluation-*.json scores of the best model and what stands behind them (eval_details.c)
 *       finished.json     finished.c
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "berth/file.h"
#include "train/train_priv.h"

berth_status run_folder_init(struct run_folder *f, const char *path) {
    memset(f, 0, sizeof *f);
    f->lock = -1;
    BERTH_TRY(berth_strdup(&f->path, path));
    BERTH_TRY(berth_path_join(&f->config, path, "config.yaml"));
    BERTH_TRY(berth_path_join(&f->log, path, "log.txt"));
    BERTH_TRY(berth_path_join(&f->metrics, path, "metrics.jsonl"));
    BERTH_TRY(berth_path_join(&f->events, path, "events.out.tfevents.berth"));
    BERTH_TRY(berth_path_join(&f->checkpoints, path, "checkpoints"));
    BERTH_TRY(berth_path_join(&f->best, path, "best"));
    BERTH_TRY(berth_path_join(&f->plan, path, "plan.txt"));
    return berth_path_join(&f->finished, path, "finished.json");
}

void run_folder_deinit(struct run_folder *f) {
    if (f->path != NULL && f->lock >= 0) close(f->lock);
    char *texts[] = {f->path, f->config, f->log, f->metrics, f->events, f->checkpoints, f->best, f->finished, f->plan};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        free(texts[i]);
    memset(f, 0, sizeof *f);
    f->lock = -1;
}

/* Makes the folder itself; its parents may be there. Of two processes one makes it and the other is refused. */
static berth_status make_new(const struct run_folder *f) {
    berth_status status = BERTH_OK;
    char *parent = NULL;
    BERTH_TRY(berth_strdup(&parent, f->path));
    for (size_t n = strlen(parent); n > 1 && parent[n - 1] == '/'; n--)
        parent[n - 1] = '\0';
    char *slash = strrchr(parent, '/');
    if (slash != NULL && slash != parent) {
        *slash = '\0';
        BERTH_TRY_OUT(berth_make_folders(parent));
    }
    if (mkdir(f->path, 0777) != 0) {
        if (errno == EEXIST)
            BERTH_FAIL_OUT(
                BERTH_E_EXISTS,
                "run folder '%s' already exists; continue it with --resume, or name another with output=DIR",
                f->path);
        BERTH_FAIL_OUT(BERTH_E_IO, "run folder '%s' cannot be made: %s", f->path, strerror(errno));
    }
out:
    free(parent);
    return status;
}

static berth_status take_lock(struct run_folder *f) {
    berth_status status = BERTH_OK;
    char *path = NULL;
    BERTH_TRY(berth_path_join(&path, f->path, ".lock"));
    f->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (f->lock < 0) BERTH_FAIL_OUT(BERTH_E_IO, "%s: cannot be opened: %s", path, strerror(errno));
    if (flock(f->lock, LOCK_EX | LOCK_NB) != 0) {
        int reason = errno;
        close(f->lock);
        f->lock = -1;
        if (reason == EWOULDBLOCK)
            BERTH_FAIL_OUT(BERTH_E_EXISTS, "run folder '%s' is in use by another process", f->path);
        BERTH_FAIL_OUT(BERTH_E_IO, "%s: cannot be locked: %s", path, strerror(reason));
    }
out:
    free(path);
    return status;
}

/* Whether the name is of what a killed process of ours was writing (file.h): "NAME.tmp.ANY", NAME being one
 * that a run writes whole: in RUN itself three, in RUN/checkpoints those of checkpoints. */
static bool is_left_over(const char *name, bool in_checkpoints) {
    static const char *const ours[] = {"config.yaml",         "finished.json",        "best", "plan.txt",
                                       "evaluation-dev.json", "evaluation-test.json", "report.html"};
    const char *end = strstr(name, ".tmp.");
    if (end == NULL) return false;
    size_t length = (size_t)(end - name);
    if (in_checkpoints) return checkpoint_step_of(name, length) >= 0;
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        if (strlen(ours[i]) == length && strncmp(name, ours[i], length) == 0) return true;
    }
    return false;
}

/* "best.old.ANY" is the model that a new one was about to replace where two folders cannot be exchanged: it
 * comes back when the new one did not arrive. */
static berth_status tidy_one(const struct run_folder *f, const char *folder, const char *name) {
    berth_status status = BERTH_OK;
    char *path = NULL;
    bool in_checkpoints = folder == f->checkpoints;
    bool old = !in_checkpoints && strncmp(name, "best.old.", 9) == 0;
    if (!old && !is_left_over(name, in_checkpoints)) return BERTH_OK;
    BERTH_TRY(berth_path_join(&path, folder, name));
    if (old && !berth_file_exists(f->best) && rename(path, f->best) != 0)
        status = berth_error_set(BERTH_E_IO, __FILE__, __LINE__, "%s: cannot be renamed to %s: %s", path,
                                 f->best, strerror(errno));
    else
        status = berth_remove_tree(path);
    free(path);
    return status;
}

static berth_status remove_left_overs(const struct run_folder *f, const char *folder) {
    berth_status status = BERTH_OK;
    char **names = NULL;
    size_t count = 0;
    BERTH_TRY(berth_list_folder(&names, &count, folder));
    for (size_t i = 0; i < count && status == BERTH_OK; i++)
        status = tidy_one(f, folder, names[i]);
    berth_names_free(names, count);
    return status;
}

/* What a run leaves that was killed before its config.yaml was there: the lock, an empty folder, half a file.
 */
static berth_status check_beginning(const struct run_folder *f, const char *name) {
    char **names = NULL;
    size_t count = 0;
    bool fits = strcmp(name, ".lock") == 0 || strncmp(name, "config.yaml.tmp.", 16) == 0;
    if (strcmp(name, "checkpoints") == 0 && berth_is_folder(f->checkpoints)) {
        BERTH_TRY(berth_list_folder(&names, &count, f->checkpoints));
        berth_names_free(names, count);
        fits = count == 0;
    }
    if (fits) return BERTH_OK;
    BERTH_FAIL(BERTH_E_EXISTS,
               "'%s' is not the folder of a run that could be resumed: it holds '%s' and no config.yaml; name "
               "another folder with output=DIR",
               f->path, name);
}

/* A folder that may be resumed is a run's, or as good as empty; nothing in it is changed here. */
static berth_status check_ours(const struct run_folder *f) {
    berth_status status = BERTH_OK;
    char **names = NULL;
    size_t count = 0;
    bool is_run = false;
    if (!berth_is_folder(f->path)) return BERTH_OK;
    BERTH_TRY(berth_list_folder(&names, &count, f->path));
    for (size_t i = 0; i < count; i++)
        is_run |= strcmp(names[i], "config.yaml") == 0;
    for (size_t i = 0; i < count && !is_run && status == BERTH_OK; i++)
        status = check_beginning(f, names[i]);
    berth_names_free(names, count);
    return status;
}

berth_status run_folder_open(struct run_folder *f, bool resume) {
    if (!resume) {
        BERTH_TRY(make_new(f));
    } else {
        BERTH_TRY(check_ours(f));
        BERTH_TRY(berth_make_folders(f->path));
    }
    return take_lock(f);
}

berth_status run_folder_tidy(const struct run_folder *f) {
    BERTH_TRY(berth_make_folders(f->checkpoints));
    BERTH_TRY(remove_left_overs(f, f->path));
    return remove_left_overs(f, f->checkpoints);
}

berth_status run_file_size(int64_t *out, const char *path) {
    struct stat st;
    *out = 0;
    if (stat(path, &st) == 0)
        *out = st.st_size;
    else if (errno != ENOENT)
        BERTH_FAIL(BERTH_E_IO, "%s: cannot be looked at: %s", path, strerror(errno));
    return BERTH_OK;
}

berth_status run_file_cut(const char *path, int64_t size) {
    int64_t now = 0;
    BERTH_TRY(run_file_size(&now, path));
    if (now < size) {
        berth_log(BERTH_LOG_WARN, "%s: %lld bytes, the checkpoint knew %lld: the rest is missing", path,
                  (long long)now, (long long)size);
        return BERTH_OK;
    }
    return now > size ? berth_file_truncate(path, size) : BERTH_OK;
}
