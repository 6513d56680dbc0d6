/* checkpoint.c: the exact state of a run between two steps: RUN/checkpoints/step-N.h5, kind "checkpoint".
 *
 *   values        f32 [total]            all parameters, trained or not, in the model's flat order
 *   adam/m, v     f32 [grad_total]       moments in the store's order
 *   owner_steps   i64 [owners]           AdamW's t of the backbone and of each head
 *   trainable     u8  [parameters]
 *   state         i64 [STATE_COUNT]      enum state_field below
 *   numbers       f64 [NUMBER_COUNT + 3 tasks]   enum number_field, then last loss, window loss, window steps a
 * task layout        JSON: names, shapes and offsets of the parameters meta          JSON: version, device,
 * dev scores, inputs.c's list of what the run was made from; the configuration itself is RUN/config.yaml
 *
 * There is no random state: every draw is keyed by seed and step. The file is written whole or not at all and
 * carries a digest (h5.h), so a good file is a whole state; a damaged one is named and the one before it is
 * taken. Where files are there and none can be read, the run does not begin anew over them. */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "berth/file.h"
#include "berth/h5.h"
#include "berth/json.h"
#include "train/train_priv.h"

#define KIND "checkpoint"
enum { VERSION = 1 };

enum state_field {
    STATE_STEP,
    STATE_EPOCH,
    STATE_EPOCH_STEPS_DONE,
    STATE_BEST_STEP,
    STATE_BAD,
    STATE_EVALUATED_STEP,
    STATE_METRICS_SIZE,
    STATE_WINDOW_STEPS,
    STATE_WINDOW_TOKENS,
    STATE_COUNT
};
enum number_field { NUMBER_BEST_SCORE, NUMBER_WINDOW_LOSS, NUMBER_COUNT };

/* ---- names */

int64_t checkpoint_step_of(const char *name, size_t length) {
    char digits[24];
    int64_t step = -1;
    if (length < 9 || length >= sizeof digits + 8 || strncmp(name, "step-", 5) != 0) return -1;
    if (strncmp(name + length - 3, ".h5", 3) != 0) return -1;
    snprintf(digits, sizeof digits, "%.*s", (int)(length - 8), name + 5);
    if (strspn(digits, "0123456789") != strlen(digits)) return -1;
    return berth_parse_int64(digits, &step) ? step : -1;
}

static berth_status path_of(char **out, const char *folder, int64_t step) {
    char name[48];
    snprintf(name, sizeof name, "step-%lld.h5", (long long)step);
    return berth_path_join(out, folder, name);
}

static int compare_steps(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

/* Steps of the files in a folder, newest first. */
static berth_status list_steps(int64_t **out, size_t *count, const char *folder) {
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

/* A file that is whole; BERTH_E_FORMAT when it is damaged. One of a newer version is not: nothing may be taken
 * in its place. */
static berth_status open_whole(struct berth_h5 **file, const char *path) {
    BERTH_TRY(berth_h5_open(file, path, KIND, INT_MAX));
    int version = berth_h5_version(*file);
    if (version <= VERSION) return BERTH_OK;
    berth_h5_close(*file);
    *file = NULL;
    BERTH_FAIL(
        BERTH_E_USAGE,
        "%s: written by a newer berth: version %d of checkpoints, this one reads up to %d; go on with that "
        "version",
        path, version, VERSION);
}

/* The newest file that is whole, opened, with its path; *file NULL when there is none. reason: why the newest
 * of all cannot be read, "" when it can or there is none. */
static berth_status open_newest(struct berth_h5 **file, char **path, int64_t *step, const char *folder,
                                char reason[1024]) {
    berth_status status = BERTH_OK;
    int64_t *steps = NULL;
    size_t count = 0;
    *file = NULL;
    *path = NULL;
    reason[0] = '\0';
    BERTH_TRY_OUT(list_steps(&steps, &count, folder));
    for (size_t i = 0; i < count && *file == NULL; i++) {
        BERTH_TRY_OUT(path_of(path, folder, steps[i]));
        *step = steps[i];
        status = open_whole(file, *path);
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

static berth_status layout_json(char **out, const struct berth_model *m) {
    struct berth_str s;
    berth_str_init(&s);
    berth_str_add(&s, "[");
    for (int i = 0; i < m->parameter_count; i++) {
        const struct berth_parameter *p = &m->parameters[i];
        berth_str_addf(&s, "%s{\"name\":", i > 0 ? "," : "");
        berth_str_add_json(&s, p->name);
        berth_str_addf(&s, ",\"shape\":[%lld", (long long)p->shape[0]);
        if (p->rank > 1) berth_str_addf(&s, ",%lld", (long long)p->shape[1]);
        berth_str_addf(&s, "],\"offset\":%lld}", (long long)p->offset);
    }
    berth_str_add(&s, "]");
    return berth_str_take(&s, out);
}

static berth_status meta_json(char **out, const struct berth_trainer *t) {
    struct berth_str s, device;
    berth_str_init(&s);
    berth_str_init(&device);
    berth_device_describe(t->device, &device);
    berth_str_addf(&s, "{\"berth\":\"%s\",\"device\":", BERTH_VERSION);
    berth_str_add_json(&s, device.data != NULL ? device.data : "");
    berth_str_deinit(&device);
    berth_str_add(&s, ",\"dev\":");
    scores_add_json(&s, &t->dev_scores);
    berth_str_add(&s, ",\"inputs\":");
    berth_status status = inputs_add_json(&s, t);
    berth_str_add(&s, "}");
    if (status == BERTH_OK) return berth_str_take(&s, out);
    berth_str_deinit(&s);
    return status;
}

/* Floats in device memory, through a copy where the host cannot read them. */
static berth_status put_device(struct berth_h5_writer *w, const char *name, struct berth_device *dev,
                               const float *data, int64_t count) {
    float *copy = NULL;
    if (dev->backend->host_memory || count == 0) return berth_h5_put(w, name, BERTH_H5_F32, 1, &count, data);
    BERTH_TRY(berth_calloc(&copy, (size_t)count, sizeof *copy));
    berth_status status = berth_device_download(dev, copy, data, (size_t)count * sizeof *copy);
    if (status == BERTH_OK) status = berth_h5_put(w, name, BERTH_H5_F32, 1, &count, copy);
    free(copy);
    return status;
}

static berth_status put_state(struct berth_h5_writer *w, const struct berth_trainer *t) {
    berth_status status = BERTH_OK;
    const struct run_state *s = &t->state;
    int64_t fields[STATE_COUNT] = {0}, count = STATE_COUNT, tasks = (int64_t)t->task_count;
    double *numbers = NULL;
    fields[STATE_STEP] = s->step;
    berth_feeder_state(t->feeder, &fields[STATE_EPOCH], &fields[STATE_EPOCH_STEPS_DONE]);
    fields[STATE_BEST_STEP] = s->best_step;
    fields[STATE_BAD] = s->bad;
    fields[STATE_EVALUATED_STEP] = s->evaluated_step;
    fields[STATE_WINDOW_STEPS] = s->window.steps;
    fields[STATE_WINDOW_TOKENS] = s->window.tokens;
    BERTH_TRY(run_folder_metrics_size(&t->folder, &fields[STATE_METRICS_SIZE]));
    BERTH_TRY(berth_h5_put(w, "state", BERTH_H5_I64, 1, &count, fields));
    count = NUMBER_COUNT + 3 * tasks;
    BERTH_TRY(berth_calloc(&numbers, (size_t)count, sizeof *numbers));
    numbers[NUMBER_BEST_SCORE] = s->best_score;
    numbers[NUMBER_WINDOW_LOSS] = s->window.loss;
    memcpy(numbers + NUMBER_COUNT, s->last_loss, t->task_count * sizeof *numbers);
    memcpy(numbers + NUMBER_COUNT + tasks, s->window.task_loss, t->task_count * sizeof *numbers);
    memcpy(numbers + NUMBER_COUNT + 2 * tasks, s->window.task_steps, t->task_count * sizeof *numbers);
    status = berth_h5_put(w, "numbers", BERTH_H5_F64, 1, &count, numbers);
    free(numbers);
    return status;
}

static berth_status put_all(struct berth_h5_writer *w, const struct berth_trainer *t) {
    berth_status status = BERTH_OK;
    const struct berth_store *s = t->store;
    char *layout = NULL, *meta = NULL;
    int64_t owners = t->model->head_count + 1, parameters = t->model->parameter_count;
    _Static_assert(sizeof(bool) == 1, "the mask is stored as bytes");
    BERTH_TRY_OUT(meta_json(&meta, t));
    BERTH_TRY_OUT(layout_json(&layout, t->model));
    BERTH_TRY_OUT(berth_h5_put_text(w, "meta", meta));
    BERTH_TRY_OUT(berth_h5_put_text(w, "layout", layout));
    BERTH_TRY_OUT(put_state(w, t));
    BERTH_TRY_OUT(berth_h5_put(w, "owner_steps", BERTH_H5_I64, 1, &owners, s->owner_steps));
    BERTH_TRY_OUT(berth_h5_put(w, "trainable", BERTH_H5_U8, 1, &parameters, s->trainable));
    BERTH_TRY_OUT(put_device(w, "values", t->device, t->model->values, t->model->total));
    BERTH_TRY_OUT(put_device(w, "adam/m", t->device, s->m, s->grad_total));
    BERTH_TRY_OUT(put_device(w, "adam/v", t->device, s->v, s->grad_total));
out:
    free(layout);
    free(meta);
    return status;
}

/* Removes all but the newest `keep` of the files up to this step. */
static berth_status drop_old(const struct berth_trainer *t) {
    berth_status status = BERTH_OK;
    int64_t *steps = NULL, kept = 0;
    size_t count = 0;
    BERTH_TRY(list_steps(&steps, &count, t->folder.checkpoints));
    for (size_t i = 0; i < count; i++) {
        char *path = NULL;
        if (steps[i] > t->state.step || kept++ < t->recipe.keep) continue;
        BERTH_TRY_OUT(path_of(&path, t->folder.checkpoints, steps[i]));
        if (unlink(path) != 0) berth_log(BERTH_LOG_WARN, "%s: the old checkpoint cannot be removed", path);
        free(path);
    }
out:
    free(steps);
    return status;
}

berth_status checkpoint_write(struct berth_trainer *t) {
    berth_status status = BERTH_OK;
    struct berth_h5_writer *w = NULL;
    char *path = NULL;
    BERTH_TRY_OUT(path_of(&path, t->folder.checkpoints, t->state.step));
    BERTH_TRY_OUT(berth_h5_create(&w, path, KIND, VERSION));
    BERTH_TRY_OUT(put_all(w, t));
    BERTH_TRY_OUT(berth_h5_commit(&w));
    BERTH_TRY_OUT(drop_old(t));
    free(t->checkpoint);
    t->checkpoint = path;
    path = NULL;
    t->last_checkpoint = berth_time_seconds();
    record_note(t, "checkpoint written: %s", t->checkpoint);
out:
    berth_h5_abort(&w);
    free(path);
    if (status != BERTH_OK)
        return berth_error_context(status, "writing the checkpoint of step %lld", (long long)t->state.step);
    return BERTH_OK;
}

/* ---- reading */

/* A dataset of exactly `count` elements. */
static berth_status view(const struct berth_h5 *f, const char *path, const char *name, enum berth_h5_type type,
                         int64_t count, const void *out_pointer) {
    int64_t found = 0;
    BERTH_TRY(berth_h5_view(f, name, type, out_pointer, &found));
    if (found != count)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: '%s' has %lld elements, expected %lld", path, name, (long long)found,
                   (long long)count);
    return BERTH_OK;
}

/* The file must be of these inputs, this model and these trained parameters; the configuration was compared
 * when the folder was opened. */
static berth_status check_fits(const struct berth_trainer *t, const struct berth_h5 *f, const char *path,
                               const struct berth_json *meta) {
    berth_status status = BERTH_OK;
    char *layout = NULL;
    const char *stored = NULL;
    const uint8_t *trainable = NULL;
    BERTH_TRY_OUT(inputs_check(t, meta, path));
    BERTH_TRY_OUT(layout_json(&layout, t->model));
    BERTH_TRY_OUT(berth_h5_text(f, "layout", &stored));
    if (strcmp(stored, layout) != 0)
        BERTH_FAIL_OUT(BERTH_E_USAGE,
                       "%s: its parameters are not those of this model; has the backbone's folder changed?",
                       path);
    BERTH_TRY_OUT(view(f, path, "trainable", BERTH_H5_U8, t->model->parameter_count, &trainable));
    for (int i = 0; i < t->model->parameter_count; i++) {
        if ((trainable[i] != 0) == t->store->trainable[i]) continue;
        BERTH_FAIL_OUT(BERTH_E_USAGE, "%s: '%s' is %s there and %s here", path, t->model->parameters[i].name,
                       trainable[i] ? "trained" : "frozen", t->store->trainable[i] ? "trained" : "frozen");
    }
out:
    free(layout);
    return status;
}

static berth_status restore_state(struct berth_trainer *t, const struct berth_h5 *f, const char *path) {
    struct run_state *s = &t->state;
    const int64_t *fields = NULL;
    const double *numbers = NULL;
    size_t tasks = t->task_count;
    BERTH_TRY(view(f, path, "state", BERTH_H5_I64, STATE_COUNT, &fields));
    BERTH_TRY(view(f, path, "numbers", BERTH_H5_F64, NUMBER_COUNT + 3 * (int64_t)tasks, &numbers));
    s->step = fields[STATE_STEP];
    s->best_step = fields[STATE_BEST_STEP];
    s->bad = fields[STATE_BAD];
    s->evaluated_step = fields[STATE_EVALUATED_STEP];
    s->window.steps = fields[STATE_WINDOW_STEPS];
    s->window.tokens = fields[STATE_WINDOW_TOKENS];
    s->best_score = numbers[NUMBER_BEST_SCORE];
    s->window.loss = numbers[NUMBER_WINDOW_LOSS];
    memcpy(s->last_loss, numbers + NUMBER_COUNT, tasks * sizeof *numbers);
    memcpy(s->window.task_loss, numbers + NUMBER_COUNT + tasks, tasks * sizeof *numbers);
    memcpy(s->window.task_steps, numbers + NUMBER_COUNT + 2 * tasks, tasks * sizeof *numbers);
    BERTH_TRY(run_folder_metrics_cut(&t->folder, fields[STATE_METRICS_SIZE]));
    return berth_feeder_restore(t->feeder, fields[STATE_EPOCH], fields[STATE_EPOCH_STEPS_DONE]);
}

static berth_status restore_parameters(struct berth_trainer *t, const struct berth_h5 *f, const char *path) {
    struct berth_store *s = t->store;
    const float *values = NULL, *m = NULL, *v = NULL;
    const int64_t *owner_steps = NULL;
    size_t owners = (size_t)t->model->head_count + 1, bytes = (size_t)s->grad_total * sizeof(float);
    BERTH_TRY(view(f, path, "values", BERTH_H5_F32, t->model->total, &values));
    BERTH_TRY(view(f, path, "adam/m", BERTH_H5_F32, s->grad_total, &m));
    BERTH_TRY(view(f, path, "adam/v", BERTH_H5_F32, s->grad_total, &v));
    BERTH_TRY(view(f, path, "owner_steps", BERTH_H5_I64, (int64_t)owners, &owner_steps));
    BERTH_TRY(
        berth_device_upload(t->device, t->model->values, values, (size_t)t->model->total * sizeof(float)));
    if (bytes > 0) BERTH_TRY(berth_device_upload(t->device, s->m, m, bytes));
    if (bytes > 0) BERTH_TRY(berth_device_upload(t->device, s->v, v, bytes));
    memcpy(s->owner_steps, owner_steps, owners * sizeof *owner_steps);
    return BERTH_OK;
}

berth_status checkpoint_restore(struct berth_trainer *t, bool *found) {
    berth_status status = BERTH_OK;
    struct berth_h5 *f = NULL;
    struct berth_json *meta = NULL;
    char *path = NULL;
    const char *text = NULL;
    char reason[1024];
    int64_t step = 0;
    *found = false;
    BERTH_TRY_OUT(open_newest(&f, &path, &step, t->folder.checkpoints, reason));
    if (f == NULL) {
        if (reason[0] != '\0')
            BERTH_FAIL_OUT(BERTH_E_FORMAT,
                           "no checkpoint can be read, the newest: %s; remove the files in %s to begin anew",
                           reason, t->folder.checkpoints);
        BERTH_TRY_OUT(run_folder_metrics_cut(&t->folder, 0));
        goto out;
    }
    BERTH_TRY_OUT(berth_h5_text(f, "meta", &text));
    BERTH_TRY_OUT(berth_json_parse(&meta, path, text, strlen(text)));
    BERTH_TRY_OUT(check_fits(t, f, path, meta));
    BERTH_TRY_OUT(scores_read_json(&t->dev_scores, meta, "dev", BERTH_DEV, t->data));
    BERTH_TRY_OUT(restore_parameters(t, f, path));
    BERTH_TRY_OUT(restore_state(t, f, path));
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
