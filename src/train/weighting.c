/* weighting.c: the methods, and what they share: settings, values that are learnt, memory.
 *
 * To add a method: src/train/weight_NAME.c, its row in `kinds` and its name in weighting_priv.h, its word in
 * the choices of weighting.method (config_keys.c), a test against its formula in tests/train/test_weighting.c.
 */
#include <stdlib.h>
#include <string.h>

#include "train/train_priv.h"

static const struct weighting_kind *const kinds[] = {
    &weighting_fixed, &weighting_equal,    &weighting_uncertainty,
    &weighting_dwa,   &weighting_gradnorm, &weighting_pcgrad,
};

static const struct weighting_kind *find(const char *method) {
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i]->name, method) == 0) return kinds[i];
    }
    BERTH_ASSERT_MSG(false, "weighting.method '%s' has no row", method);
    return NULL;
}

bool weighting_needs_gradients(const struct berth_config *c) {
    return find(berth_config_string(c, "weighting.method"))->gradients;
}

static berth_status make_learnt(struct weighting *w) {
    size_t bytes = w->task_count * sizeof(float);
    const float one = 1.0f;
    BERTH_TRY(berth_calloc(&w->host, w->task_count, sizeof *w->host));
    BERTH_TRY(berth_calloc(&w->steps, w->task_count, sizeof *w->steps));
    float **buffers[] = {&w->values, &w->gradients, &w->state[0], &w->state[1]};
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++) {
        BERTH_TRY(berth_device_alloc(w->device, buffers[i], bytes));
        BERTH_TRY(berth_device_zero(w->device, *buffers[i], bytes));
    }
    BERTH_TRY(berth_device_alloc(w->device, &w->one, sizeof one));
    BERTH_TRY(berth_device_upload(w->device, w->one, &one, sizeof one));
    for (size_t i = 0; i < w->task_count; i++)
        w->host[i] = (float)w->kind->first;
    return berth_device_upload(w->device, w->values, w->host, bytes);
}

/* Whether a key has another value than the table's own. */
static bool is_set(const struct berth_config *c, const char *path) {
    const struct berth_key *row = berth_config_keys;
    while (strcmp(row->path, path) != 0)
        row++;
    if (row->type == BERTH_KEY_CHOICE) return strcmp(berth_config_string(c, path), row->default_value) != 0;
    const double value =
        row->type == BERTH_KEY_INT ? (double)berth_config_int(c, path) : berth_config_number(c, path);
    return value != strtod(row->default_value, NULL);
}

/* A key that the method does not read changes nothing: who sets it means something else. In stages a key may
 * stand for another stage's method. */
static berth_status check_keys(const struct weighting *w, const struct berth_config *c) {
    static const struct {
        unsigned key;
        const char *path;
    } keys[] = {{WEIGHTING_RATE, "weighting.rate"},
                {WEIGHTING_GRADIENTS, "weighting.gradients"},
                {WEIGHTING_ALPHA, "weighting.alpha"},
                {WEIGHTING_TEMPERATURE, "weighting.temperature"},
                {WEIGHTING_WINDOW, "weighting.window"}};
    if (berth_config_count(c, "stages") > 0) return BERTH_OK;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if ((w->kind->keys & keys[i].key) || !is_set(c, keys[i].path)) continue;
        return berth_config_fail(c, keys[i].path, "weighting.method %s does not read it", w->kind->name);
    }
    return BERTH_OK;
}

/* What cannot go together, each in one line. */
static berth_status check_settings(const struct weighting *w, const struct berth_config *c) {
    const char *method = w->kind->name;
    BERTH_TRY(check_keys(w, c));
    for (size_t i = 0; i < w->task_count; i++) {
        char path[128];
        snprintf(path, sizeof path, "tasks.%s.weight", berth_config_name(c, "tasks", i));
        if (w->fixed[i] != 1.0 && !w->kind->takes_fixed)
            return berth_config_fail(c, path, "%g: weights belong to weighting.method fixed; '%s' sets its own",
                                     w->fixed[i], method);
    }
    if (w->kind->gradients && strcmp(berth_config_string(c, "sampling.mix"), "step") == 0)
        return berth_config_fail(
            c, "sampling.mix",
            "step: a step of one task has nothing for weighting.method %s to balance: batch or all", method);
    if (w->kind->combine != NULL && w->representation)
        return berth_config_fail(
            c, "weighting.gradients",
            "representation: weighting.method %s puts the shared parameters' gradients together: "
            "parameters",
            method);
    return BERTH_OK;
}

berth_status weighting_init(struct weighting *w, const struct berth_config *c,
                            const struct berth_optimizer *optimizer, const bool *trained,
                            struct berth_device *dev) {
    const char *method = berth_config_string(c, "weighting.method");
    memset(w, 0, sizeof *w);
    w->kind = find(method);
    w->optimizer = *optimizer;
    w->device = dev;
    w->lr = berth_config_number(c, "weighting.rate");
    w->temperature = berth_config_number(c, "weighting.temperature");
    w->alpha = berth_config_number(c, "weighting.alpha");
    w->window = berth_config_int(c, "weighting.window");
    w->representation = strcmp(berth_config_string(c, "weighting.gradients"), "representation") == 0;
    w->task_count = berth_config_count(c, "tasks");
    w->memory_count = w->kind->memory + w->kind->memory_a_task * w->task_count;
    BERTH_TRY(berth_calloc(&w->fixed, w->task_count, sizeof *w->fixed));
    BERTH_TRY(berth_calloc(&w->trained, w->task_count, sizeof *w->trained));
    BERTH_TRY(berth_calloc(&w->scratch, w->task_count, sizeof *w->scratch));
    BERTH_TRY(berth_calloc(&w->order, w->task_count, sizeof *w->order));
    if (w->memory_count > 0) BERTH_TRY(berth_calloc(&w->memory, w->memory_count, sizeof *w->memory));
    for (size_t i = 0; i < w->task_count; i++) {
        w->fixed[i] = berth_config_number_f(c, "tasks.%s.weight", berth_config_name(c, "tasks", i));
        w->trained[i] = trained[i];
        w->trained_count += trained[i];
    }
    BERTH_TRY(check_settings(w, c));
    return w->kind->learns ? make_learnt(w) : BERTH_OK;
}

void weighting_deinit(struct weighting *w) {
    size_t bytes = w->task_count * sizeof(float);
    float *buffers[] = {w->values, w->gradients, w->state[0], w->state[1]};
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++)
        if (buffers[i] != NULL) berth_device_free(w->device, buffers[i], bytes);
    if (w->one != NULL) berth_device_free(w->device, w->one, sizeof *w->one);
    free(w->fixed);
    free(w->trained);
    free(w->host);
    free(w->steps);
    free(w->memory);
    free(w->scratch);
    free(w->order);
    memset(w, 0, sizeof *w);
}

double weighting_terms(const struct weighting *w, const struct weighting_step *step) {
    double sum = 0;
    for (size_t i = 0; w->kind->term != NULL && i < w->task_count; i++)
        if (step->active[i]) sum += step->share[i] * w->kind->term((double)w->host[i]);
    return sum;
}

/* One step of the values of the active tasks. */
static berth_status step_values(struct weighting *w, const struct weighting_step *step, double factor) {
    const size_t bytes = w->task_count * sizeof(float);
    w->kind->slopes(w, step, w->scratch);
    for (size_t i = 0; i < w->task_count; i++)
        w->host[i] = (float)(step->active[i] ? w->scratch[i] : 0.0); /* the values come back below */
    BERTH_TRY(berth_device_upload(w->device, w->gradients, w->host, bytes));
    for (size_t i = 0; i < w->task_count; i++) {
        if (!step->active[i]) continue;
        float *const state[2] = {w->state[0] + i, w->state[1] + i};
        BERTH_TRY(optimizer_apply(w->device, &w->optimizer, w->values + i, state, w->gradients + i, w->one, 1,
                                  w->lr * factor, 0.0, ++w->steps[i]));
    }
    BERTH_TRY(weighting_restored(w));
    if (w->kind->settle == NULL) return BERTH_OK;
    w->kind->settle(w, w->host);
    return berth_device_upload(w->device, w->values, w->host, bytes);
}

berth_status weighting_learn(struct weighting *w, const struct weighting_step *step, double factor) {
    if (w->kind->learns) BERTH_TRY(step_values(w, step, factor));
    if (w->kind->remember != NULL) w->kind->remember(w, step);
    return BERTH_OK;
}

berth_status weighting_restored(struct weighting *w) {
    if (!w->kind->learns) return BERTH_OK;
    return berth_device_download(w->device, w->host, w->values, w->task_count * sizeof(float));
}
