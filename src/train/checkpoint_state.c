/* checkpoint_state.c: the parts of every run, and what a checkpoint says of its making.
 *
 *   state         i64 [STATE_COUNT]      enum state_field below
 *   numbers       f64 [NUMBER_COUNT + 3 tasks]   enum number_field, then last loss, window loss, window steps a
 * task trainable     u8  [parameters] owner_steps   i64 [owners]           AdamW's t of the backbone and of
 * each head values        f32 [total]            all parameters, trained or not, in the model's flat order
 *   adam/m, v     f32 [grad_total]       moments in the store's order
 *   layout        JSON: names, shapes and offsets of the parameters
 *   meta          JSON: version, device, machine, dev scores, inputs.c's list of what the run was made from;
 * the configuration itself is RUN/config.yaml digests       JSON: {"list": [{"name": "values/encoder...",
 * "xxh3": "..."}, ...]}, one for each tensor of values and each other dataset
 *
 * There is no random state: every draw is keyed by seed and step. */
#include <gnu/libc-version.h>
#include <stdlib.h>
#include <string.h>

#include "berth/json.h"
#include "train/checkpoint_priv.h"

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
    STATE_EVENTS_SIZE,
    STATE_TOKENS,
    STATE_REWIND_STEP,
    STATE_COUNT
};
enum number_field { NUMBER_BEST_SCORE, NUMBER_WINDOW_LOSS, NUMBER_COUNT };

/* ---- state */

static berth_status fields_from_run(int64_t fields[STATE_COUNT], const struct berth_trainer *t) {
    const struct run_state *s = &t->state;
    fields[STATE_STEP] = s->step;
    berth_feeder_state(t->feeder, &fields[STATE_EPOCH], &fields[STATE_EPOCH_STEPS_DONE]);
    fields[STATE_BEST_STEP] = s->best_step;
    fields[STATE_BAD] = s->bad;
    fields[STATE_EVALUATED_STEP] = s->evaluated_step;
    fields[STATE_WINDOW_STEPS] = s->window.steps;
    fields[STATE_WINDOW_TOKENS] = s->window.tokens;
    fields[STATE_TOKENS] = s->tokens;
    fields[STATE_REWIND_STEP] = s->rewind_step;
    BERTH_TRY(run_file_size(&fields[STATE_METRICS_SIZE], t->folder.metrics));
    return run_file_size(&fields[STATE_EVENTS_SIZE], t->folder.events);
}

static berth_status fields_to_run(struct berth_trainer *t, const int64_t fields[STATE_COUNT]) {
    struct run_state *s = &t->state;
    s->step = fields[STATE_STEP];
    s->best_step = fields[STATE_BEST_STEP];
    s->bad = fields[STATE_BAD];
    s->evaluated_step = fields[STATE_EVALUATED_STEP];
    s->window.steps = fields[STATE_WINDOW_STEPS];
    s->window.tokens = fields[STATE_WINDOW_TOKENS];
    s->tokens = fields[STATE_TOKENS];
    s->rewind_step = fields[STATE_REWIND_STEP];
    t->checkpointer->metrics_size = fields[STATE_METRICS_SIZE];
    t->checkpointer->events_size = fields[STATE_EVENTS_SIZE];
    return berth_feeder_restore(t->feeder, fields[STATE_EPOCH], fields[STATE_EPOCH_STEPS_DONE]);
}

static void move_numbers(struct berth_trainer *t, double *numbers, bool to_run) {
    struct run_state *s = &t->state;
    struct {
        double *run;
        size_t count;
    } list[] = {
        {&s->best_score, 1},
        {&s->window.loss, 1},
        {s->last_loss, t->task_count},
        {s->window.task_loss, t->task_count},
        {s->window.task_steps, t->task_count},
    };
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        memcpy(to_run ? list[i].run : numbers, to_run ? numbers : list[i].run, list[i].count * sizeof *numbers);
        numbers += list[i].count;
    }
}

berth_status checkpoint_state_pieces(struct berth_trainer *t, struct checkpoint_pieces *p) {
    berth_status status = BERTH_OK;
    int64_t fields[STATE_COUNT] = {0};
    bool restoring = checkpoint_pieces_restoring(p);
    size_t count = NUMBER_COUNT + 3 * t->task_count;
    double *numbers = NULL;
    BERTH_TRY(berth_calloc(&numbers, count, sizeof *numbers));
    if (!restoring) {
        BERTH_TRY_OUT(fields_from_run(fields, t));
        move_numbers(t, numbers, false);
    }
    BERTH_TRY_OUT(checkpoint_piece(p, "state", BERTH_H5_I64, STATE_COUNT, fields));
    BERTH_TRY_OUT(checkpoint_piece(p, "numbers", BERTH_H5_F64, (int64_t)count, numbers));
    if (restoring) {
        move_numbers(t, numbers, true);
        BERTH_TRY_OUT(fields_to_run(t, fields));
    }
out:
    free(numbers);
    return status;
}

/* ---- parameters */

berth_status checkpoint_parameter_pieces(struct berth_trainer *t, struct checkpoint_pieces *p) {
    BERTH_TRY(checkpoint_piece_device(p, "values", t->model->total, t->model->values));
    for (int i = 0; i < t->model->parameter_count; i++) {
        const struct berth_parameter *parameter = &t->model->parameters[i];
        BERTH_TRY(checkpoint_tensor(p, parameter->name, parameter->offset, parameter->count));
    }
    return BERTH_OK;
}

/* ---- texts */

berth_status checkpoint_layout(char **out, const struct berth_model *m) {
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

/* What decides about bits beside the configuration: program, C library, device, instruction set, products. The
 * number of threads does not, so it is left out. */
static berth_status machine_text(char **out, const struct berth_trainer *t) {
    struct berth_str s, device;
    berth_str_init(&s);
    berth_str_init(&device);
    berth_device_describe(t->device, &device);
    berth_str_addf(&s, "berth %s, compiler %s, C library %s", BERTH_VERSION, __VERSION__,
                   gnu_get_libc_version());
    for (const char *p = device.data != NULL ? device.data : ""; *p != '\0';) {
        size_t n = strcspn(p, "\n"), used = n;
        const char *threads = memmem(p, n, " (", 2);
        if (strncmp(p, "processor: ", 11) == 0 && threads != NULL) used = (size_t)(threads - p);
        if (strncmp(p, "threads: ", 9) != 0) berth_str_addf(&s, "; %.*s", (int)used, p);
        p += n + (p[n] == '\n');
    }
    s.failed |= device.failed;
    berth_str_deinit(&device);
    return berth_str_take(&s, out);
}

berth_status checkpoint_meta(char **out, const struct berth_trainer *t) {
    berth_status status = BERTH_OK;
    char *machine = NULL;
    struct berth_str s;
    berth_str_init(&s);
    BERTH_TRY_OUT(machine_text(&machine, t));
    berth_str_addf(
        &s, "{\"berth\":\"%s\",\"step\":%lld,\"ranks\":%d,\"deterministic\":\"%s\",\"machine\":", BERTH_VERSION,
        (long long)t->state.step, t->comm->size, berth_config_string(t->config, "deterministic"));
    berth_str_add_json(&s, machine);
    berth_str_add(&s, ",\"dev\":");
    scores_add_json(&s, &t->dev_scores);
    berth_str_add(&s, ",\"inputs\":");
    BERTH_TRY_OUT(inputs_add_json(&s, t));
    berth_str_add(&s, "}");
    BERTH_TRY_OUT(berth_str_take(&s, out));
out:
    berth_str_deinit(&s);
    free(machine);
    return status;
}

/* ---- whether a file fits */

static berth_status check_machine(struct berth_trainer *t, const char *path, const struct berth_json *meta) {
    berth_status status = BERTH_OK;
    const char *there = NULL;
    char *here = NULL;
    BERTH_TRY_OUT(berth_json_string(&there, meta, "machine"));
    BERTH_TRY_OUT(machine_text(&here, t));
    if (strcmp(there, here) == 0) goto out;
    if (strcmp(berth_config_string(t->config, "deterministic"), "strict") == 0)
        BERTH_FAIL_OUT(
            BERTH_E_USAGE,
            "%s: written on another machine or by another program (there: %s; here: %s), so that the same "
            "bits cannot be promised; deterministic: strict refuses, deterministic=on goes on",
            path, there, here);
    record_note(t, "going on elsewhere, bits may differ from a run not moved: there %s; here %s", there, here);
out:
    free(here);
    return status;
}

/* Losses that compare the rows of a part with each other are others where parts are. */
static berth_status check_parts(struct berth_trainer *t, const char *path, int there) {
    for (size_t s = 0; s < t->stage_count; s++) {
        const struct stage *stage = &t->stages[s];
        int before = ranks_parts_of(stage->config, there), now = ranks_parts(t, stage->config);
        for (size_t i = 0; i < t->task_count && before != now; i++) {
            const struct berth_head *head = &t->model->heads[i];
            if (!stage->tasks[i] ||
                (head->task.kind != BERTH_TASK_CONTRASTIVE && head->loss != BERTH_LOSS_COSENT))
                continue;
            BERTH_FAIL(BERTH_E_USAGE,
                       "%s: made by %d ranks, %d parts a step, here %d: task '%s' compares the rows of a part "
                       "with each "
                       "other, so that would be another run; go on with --ranks %d",
                       path, there, before, now, t->task_names[i], there);
        }
    }
    return BERTH_OK;
}

/* How a step is summed; where it is of one part nothing differs. */
static berth_status check_sums(struct berth_trainer *t, const char *path, const struct berth_json *meta) {
    const char *there = NULL, *here = berth_config_string(t->config, "deterministic");
    BERTH_TRY(berth_json_string_or(&there, meta, "deterministic", "on"));
    if (strcmp(there, here) == 0 || t->most_parts == 1) return BERTH_OK;
    if (strcmp(here, "strict") == 0)
        BERTH_FAIL(
            BERTH_E_USAGE,
            "%s: made with deterministic: %s, which sums a step's parts in another order: strict refuses, "
            "deterministic=%s goes on",
            path, there, there);
    record_note(t,
                "going on with deterministic: %s, the checkpoint is of %s: sums go in another order, so bits "
                "may differ",
                here, there);
    return BERTH_OK;
}

/* Any number of ranks goes on from any other; only `deterministic: strict` has the same bits then. */
static berth_status check_ranks(struct berth_trainer *t, const char *path, const struct berth_json *meta) {
    int64_t there = 1;
    BERTH_TRY(check_sums(t, path, meta));
    BERTH_TRY(berth_json_int_or(&there, meta, "ranks", 1, 1, BERTH_COMM_MAX));
    BERTH_TRY(check_parts(t, path, (int)there));
    if (there == t->comm->size || strcmp(berth_config_string(t->config, "deterministic"), "strict") == 0)
        return BERTH_OK;
    record_note(
        t, "going on with %d ranks, the checkpoint is of %lld: sums go in another order, so bits may differ",
        t->comm->size, (long long)there);
    return BERTH_OK;
}

/* The digest of a tensor or dataset of the file against entry `i` of the list it carries. */
static berth_status check_digest(const struct berth_h5 *file, const char *path, const struct berth_json *list,
                                 size_t i) {
    const char *name = NULL, *expected = NULL, *whole = NULL;
    char at[48], found[33];
    int64_t first = 0, count = 0;
    snprintf(at, sizeof at, "list[%zu].name", i);
    BERTH_TRY(berth_json_string(&name, list, at));
    snprintf(at, sizeof at, "list[%zu].xxh3", i);
    BERTH_TRY(berth_json_string(&expected, list, at));
    snprintf(at, sizeof at, "list[%zu].in", i);
    BERTH_TRY(berth_json_string_or(&whole, list, at, name));
    const struct berth_h5_dataset *d = berth_h5_find(file, whole);
    if (d == NULL) BERTH_FAIL(BERTH_E_FORMAT, "%s: damaged: '%s' is not there", path, whole);
    snprintf(at, sizeof at, "list[%zu].first", i);
    BERTH_TRY(berth_json_int_or(&first, list, at, 0, 0, d->count));
    snprintf(at, sizeof at, "list[%zu].count", i);
    BERTH_TRY(berth_json_int_or(&count, list, at, d->count - first, 0, d->count - first));
    size_t size = berth_h5_type_size(d->type);
    berth_hash_hex(berth_hash((const unsigned char *)d->data + (size_t)first * size, (size_t)count * size),
                   found);
    if (strcmp(found, expected) != 0)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: damaged: the digest of '%s' is %s, expected %s", path, name, found,
                   expected);
    return BERTH_OK;
}

static berth_status check_digests(const struct berth_h5 *file, const char *path) {
    berth_status status = BERTH_OK;
    struct berth_json *list = NULL;
    const char *text = NULL;
    BERTH_TRY(berth_h5_text(file, "digests", &text));
    BERTH_TRY(berth_json_parse(&list, path, text, strlen(text)));
    size_t count = berth_json_count(list, "list");
    if (count == 0) BERTH_FAIL_OUT(BERTH_E_FORMAT, "%s: damaged: the list of digests is empty", path);
    for (size_t i = 0; i < count; i++)
        BERTH_TRY_OUT(check_digest(file, path, list, i));
out:
    berth_json_free(list);
    return status;
}

berth_status checkpoint_check_fits(struct berth_trainer *t, const struct berth_h5 *file, const char *path,
                                   const struct berth_json *meta) {
    berth_status status = BERTH_OK;
    char *layout = NULL;
    const char *stored = NULL;
    BERTH_TRY_OUT(inputs_check(t, meta, path));
    BERTH_TRY_OUT(checkpoint_layout(&layout, t->model));
    BERTH_TRY_OUT(berth_h5_text(file, "layout", &stored));
    if (strcmp(stored, layout) != 0)
        BERTH_FAIL_OUT(BERTH_E_USAGE,
                       "%s: its parameters are not those of this model; has the backbone's folder changed?",
                       path);
    BERTH_TRY_OUT(check_digests(file, path));
    BERTH_TRY_OUT(check_machine(t, path, meta));
    BERTH_TRY_OUT(check_ranks(t, path, meta));
out:
    free(layout);
    return status;
}
