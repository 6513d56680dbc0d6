/* trainer.c: what a run is made of, put together in the order in which each part needs the one before:
 *
 *   recipe  ->  device  ->  model and tokenizer  ->  data (labels)  ->  heads  ->  parameters  ->  store, tape,
 * feeder
 *
 * Making a trainer writes nothing but the data's cache; berth_trainer_start touches the run folder. */
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "berth/file.h"
#include "train/train_priv.h"

static size_t loss_bytes(const struct berth_trainer *t) {
    return t->task_count * (size_t)t->most_parts * sizeof *t->losses;
}

static berth_status allocate_state(struct berth_trainer *t) {
    size_t n = t->task_count;
    struct run_state *s = &t->state;
    BERTH_TRY(berth_calloc(&t->active, n + 1, sizeof *t->active));
    BERTH_TRY(berth_calloc(&t->owners, n + 1, sizeof *t->owners));
    BERTH_TRY(berth_calloc(&t->weights, n, sizeof *t->weights));
    BERTH_TRY(berth_calloc(&t->share, n, sizeof *t->share));
    BERTH_TRY(berth_calloc(&t->items, n, sizeof *t->items));
    BERTH_TRY(berth_calloc(&t->task_loss, n, sizeof *t->task_loss));
    BERTH_TRY(berth_calloc(&t->host_losses, n * (size_t)t->most_parts, sizeof *t->host_losses));
    BERTH_TRY(berth_calloc(&t->numbers, n * (size_t)t->most_parts + 2, sizeof *t->numbers));
    BERTH_TRY(berth_calloc(&t->gram, n * n, sizeof *t->gram));
    BERTH_TRY(berth_calloc(&t->coefficients, n, sizeof *t->coefficients));
    BERTH_TRY(berth_calloc(&t->logits, n, sizeof *t->logits));
    BERTH_TRY(berth_calloc(&t->frozen, (size_t)t->model->parameter_count, sizeof *t->frozen));
    BERTH_TRY(berth_calloc(&t->digests, (size_t)t->model->parameter_count, sizeof *t->digests));
    BERTH_TRY(berth_calloc(&s->last_loss, n, sizeof *s->last_loss));
    BERTH_TRY(berth_calloc(&s->window.task_loss, n, sizeof *s->window.task_loss));
    BERTH_TRY(berth_calloc(&s->window.task_steps, n, sizeof *s->window.task_steps));
    BERTH_TRY(berth_device_alloc(t->device, &t->losses, loss_bytes(t)));
    for (size_t i = 0; i < n; i++)
        s->last_loss[i] = (double)NAN;
    return BERTH_OK;
}

static berth_status build_model(struct berth_trainer *t) {
    berth_status status = BERTH_OK;
    struct berth_task *known = NULL, *shared = NULL;
    size_t known_count = 0;
    BERTH_TRY_OUT(berth_model_from_config(&t->model, &t->tokenizer, t->device, t->config));
    BERTH_TRY_OUT(model_build_known(&known, &known_count, t->model, t->config));
    if (!ranks_first(t))
        BERTH_TRY_OUT(berth_comm_barrier(t->comm)); /* rank 0 packs, the others read what it packed */
    BERTH_TRY_OUT(berth_data_open(&t->data, t->config, t->tokenizer, known, known_count,
                                  1u << BERTH_TRAIN | 1u << BERTH_DEV));
    BERTH_TRY_OUT(shared_tasks(&shared, t->config, t->data, known, known_count));
    if (shared != NULL) { /* what was packed is there: the rows are read under the joined labels */
        berth_data_free(t->data);
        t->data = NULL;
        BERTH_TRY_OUT(berth_data_open(&t->data, t->config, t->tokenizer, shared, t->task_count,
                                      1u << BERTH_TRAIN | 1u << BERTH_DEV));
    }
    if (ranks_first(t)) BERTH_TRY_OUT(berth_comm_barrier(t->comm));
    BERTH_TRY_OUT(model_build_heads(t->model, t->config, t->data));
    BERTH_TRY_OUT(berth_model_allocate(t->model, t->recipe.seed));
    BERTH_TRY_OUT(berth_precision_from_config(t->model, t->config));
    BERTH_TRY_OUT(berth_attention_from_config(t->model, t->config, true));
    BERTH_TRY_OUT(berth_calloc(&t->task_names, t->task_count, sizeof *t->task_names));
    for (size_t i = 0; i < t->task_count; i++)
        t->task_names[i] = berth_data_task(t->data, i)->name;
out:
    shared_tasks_free(shared, t->task_count);
    free(known);
    return status;
}

/* Threads of a rank: the configuration's, or its share of the machine's. */
static int thread_count(const struct berth_trainer *t) {
    int64_t threads = berth_config_int(t->config, "threads");
    int all = berth_thread_count();
    if (threads > 0) return (int)threads;
    return all > t->comm->size ? all / t->comm->size : 1;
}

berth_status berth_trainer_create(struct berth_trainer **out, const struct berth_config *c,
                                  const struct berth_observer *observer) {
    return berth_trainer_create_rank(out, c, observer, berth_comm_one());
}

berth_status berth_trainer_create_rank(struct berth_trainer **out, const struct berth_config *c,
                                       const struct berth_observer *observer, struct berth_comm *comm) {
    berth_status status = BERTH_OK;
    struct berth_trainer *t = NULL;
    *out = NULL;
    BERTH_TRY_OUT(berth_calloc(&t, 1, sizeof *t));
    t->config = c;
    t->comm = comm;
    t->folder.lock = -1;
    if (observer != NULL) t->observer = *observer;
    t->task_count = berth_config_count(c, "tasks");
    berth_scores_init(&t->dev_scores);
    berth_scores_init(&t->test_scores);
    BERTH_TRY_OUT(checkpointer_create(t));
    BERTH_TRY_OUT(stages_read(t));
    omp_set_num_threads(thread_count(t));
    BERTH_TRY_OUT(berth_device_open(&t->device, berth_config_string(c, "device")));
    if (comm->size > 1 && strcmp(t->device->backend->name, "cuda") == 0)
        BERTH_FAIL_OUT(BERTH_E_USAGE,
                       "%d ranks would share one GPU and its memory: ranks are for the device cpu as yet", comm->size);
    BERTH_TRY_OUT(build_model(t));
    BERTH_TRY_OUT(selection_check(t));
    BERTH_TRY_OUT(allocate_state(t));
    BERTH_TRY_OUT(stages_plan(t));
    BERTH_TRY_OUT(stage_enter(t));
    BERTH_TRY_OUT(state_parts_add(t));
    BERTH_TRY_OUT(device_part_add(t));
    BERTH_TRY_OUT(device_graphs(t));
    BERTH_TRY_OUT(berth_tape_create(&t->tape, t->device));
    *out = t;
    t = NULL;
out:
    berth_trainer_free(t);
    if (status != BERTH_OK) berth_comm_fail(comm, status, berth_error_text());
    return status;
}

void berth_trainer_free(struct berth_trainer *t) {
    if (t == NULL) return;
    checkpointer_free(t);
    berth_scores_deinit(&t->dev_scores);
    berth_scores_deinit(&t->test_scores);
    run_folder_deinit(&t->folder);
    free(t->checkpoint);
    free(t->choices);
    free(t->active);
    free(t->owners);
    free(t->weights);
    free(t->share);
    free(t->items);
    free(t->task_loss);
    free(t->host_losses);
    free(t->gram);
    free(t->coefficients);
    free(t->numbers);
    free(t->logits);
    free(t->frozen);
    free(t->digests);
    free(t->state.last_loss);
    free(t->state.window.task_loss);
    free(t->state.window.task_steps);
    free(t->task_names);
    if (t->losses != NULL) berth_device_free(t->device, t->losses, loss_bytes(t));
    ranks_free_spare(t);
    task_walk_forget(t);
    berth_tape_free(t->tape);
    berth_feeder_free(t->feeder);
    berth_store_free(t->store);
    weighting_deinit(&t->weighting);
    stages_deinit(t);
    berth_model_graphs_free(t->graphs);
    berth_model_free(t->model);
    berth_data_free(t->data);
    berth_data_free(t->test_data);
    berth_tokenizer_free(t->tokenizer);
    berth_device_close(t->device);
    free(t);
}

/* The folder is rank 0's; the others know its paths. */
static berth_status take_folder(struct berth_trainer *t, bool resume) {
    BERTH_TRY(run_folder_init(&t->folder, berth_config_string(t->config, "output")));
    if (ranks_first(t)) {
        if (!resume) BERTH_TRY(plan_check_disk(t, plan_free_disk(t)));
        BERTH_TRY(run_folder_open(&t->folder, resume));
        BERTH_TRY(run_folder_config(&t->folder, t->config, t->device));
        BERTH_TRY(run_folder_tidy(&t->folder));
    }
    return berth_comm_barrier(t->comm);
}

static berth_status start(struct berth_trainer *t, bool resume) {
    bool found = false;
    BERTH_ASSERT_MSG(!t->started, "a trainer is started once");
    if (!berth_config_given(t->config, "output"))
        return berth_config_fail(t->config, "output",
                                 "the run needs a folder; name one here or with output=DIR");
    BERTH_TRY(take_folder(t, resume));
    t->started = true;
    BERTH_TRY(finished_read(t));
    if (t->finished) {
        if (t->observer.note != NULL &&
            ranks_first(t)) /* the observer alone: nothing in the folder changes any more */
            t->observer.note(t->observer.user, "this run is finished already");
        return BERTH_OK;
    }
    BERTH_TRY(checkpoint_restore(t, &found));
    if (found) {
        BERTH_TRY(position_update(t));
        record_note(t, "going on from %s", t->checkpoint);
    } else if (resume) {
        record_note(t, "no checkpoint in %s yet: starting from the beginning", t->folder.checkpoints);
    }
    return BERTH_OK;
}

berth_status berth_trainer_start(struct berth_trainer *t, bool resume) {
    berth_status status = start(t, resume);
    if (status != BERTH_OK) berth_comm_fail(t->comm, status, berth_error_text());
    return status;
}

const struct berth_scores *berth_trainer_dev_scores(const struct berth_trainer *t) {
    return &t->dev_scores;
}

const struct berth_scores *berth_trainer_test_scores(const struct berth_trainer *t) {
    return &t->test_scores;
}
