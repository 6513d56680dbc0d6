/* state_parts.c: what of stage, store, freezing and weighting a checkpoint holds.
 *
 *   stage/position   i64 [5]   stage, the step it began at, tokens before it, step, bad steps in a row
 *        /epochs     f64 [1]   epochs of the stage done
 *        /trainable  u8        the phase's mask, to be compared
 *   optimizer/steps  i64 [parameters]    state0, state1: f32 [grad_total] in the store's order
 *   average/values   f32 [total]         where one is kept
 *   frozen/digests   i64 [parameters]    phase.c
 *   weighting/...    what the method learns, with its optimizer state; memory: what it keeps beside
 * (weighting_priv.h)
 *
 * "stage" comes first: its position says which recipe, rows and store the others belong to. */
#include <stdlib.h>
#include <string.h>

#include "train/train_priv.h"

enum { FIELDS = 5 };

/* The stage of a checkpoint, with the store as it was at that position. */
static berth_status take_position(struct berth_trainer *t, const int64_t fields[FIELDS], double epochs) {
    struct run_state *s = &t->state;
    if (fields[0] < 0 || fields[0] >= (int64_t)t->stage_count || fields[1] < 0 || fields[3] < fields[1])
        BERTH_FAIL(BERTH_E_FORMAT, "found stage %lld from step %lld at step %lld of a run of %zu stages",
                   (long long)fields[0], (long long)fields[1], (long long)fields[3], t->stage_count);
    if (!t->rewinding) {
        s->stage = fields[0];
        s->step = s->stage_begin = fields[1];
        s->stage_tokens = fields[2];
        berth_feeder_free(t->feeder);
        t->feeder = NULL;
        BERTH_TRY(stage_enter(t));
        s->bad_steps = fields[4];
    }
    s->step = fields[3];
    t->epochs = epochs;
    return phase_update(t);
}

static berth_status check_trainable(const struct berth_trainer *t, const bool *mask) {
    for (int i = 0; i < t->model->parameter_count; i++) {
        if (mask[i] == t->store->trainable[i]) continue;
        BERTH_FAIL(BERTH_E_USAGE, "'%s' is %s in the checkpoint and %s here", t->model->parameters[i].name,
                   mask[i] ? "trained" : "frozen", t->store->trainable[i] ? "trained" : "frozen");
    }
    return BERTH_OK;
}

static berth_status stage_pieces(void *user, struct checkpoint_pieces *p) {
    berth_status status = BERTH_OK;
    struct berth_trainer *t = user;
    const struct run_state *s = &t->state;
    int64_t fields[FIELDS] = {s->stage, s->stage_begin, s->stage_tokens, s->step, s->bad_steps};
    int64_t count = t->model->parameter_count;
    double epochs = t->epochs;
    bool *mask = NULL;
    _Static_assert(sizeof(bool) == 1, "the mask is stored as bytes");
    BERTH_TRY_OUT(checkpoint_piece(p, "position", BERTH_H5_I64, FIELDS, fields));
    BERTH_TRY_OUT(checkpoint_piece(p, "epochs", BERTH_H5_F64, 1, &epochs));
    BERTH_TRY_OUT(berth_calloc(&mask, (size_t)count, sizeof *mask));
    memcpy(mask, t->store->trainable, (size_t)count);
    BERTH_TRY_OUT(checkpoint_piece(p, "trainable", BERTH_H5_U8, count, mask));
    if (!checkpoint_pieces_restoring(p)) goto out;
    BERTH_TRY_OUT(take_position(t, fields, epochs));
    BERTH_TRY_OUT(check_trainable(t, mask));
out:
    free(mask);
    return status;
}

static berth_status optimizer_pieces(void *user, struct checkpoint_pieces *p) {
    const struct berth_trainer *t = user;
    struct berth_store *s = t->store;
    static const char *const names[] = {"state0", "state1"};
    BERTH_TRY(checkpoint_piece(p, "steps", BERTH_H5_I64, t->model->parameter_count, s->steps));
    for (int k = 0; k < berth_optimizer_states(s->optimizer.kind); k++)
        BERTH_TRY(checkpoint_piece_device(p, names[k], s->grad_total, s->state[k]));
    return BERTH_OK;
}

/* Segments go by step counts, which have just come back. */
static berth_status optimizer_restored(void *user) {
    const struct berth_trainer *t = user;
    berth_store_cut(t->store, stage_now(t)->rules);
    return BERTH_OK;
}

static berth_status average_pieces(void *user, struct checkpoint_pieces *p) {
    const struct berth_trainer *t = user;
    if (t->store->average == NULL) return BERTH_OK;
    return checkpoint_piece_device(p, "values", t->model->total, t->store->average);
}

static berth_status frozen_pieces(void *user, struct checkpoint_pieces *p) {
    const struct berth_trainer *t = user;
    return checkpoint_piece(p, "digests", BERTH_H5_I64, t->model->parameter_count, t->digests);
}

static berth_status weighting_pieces(void *user, struct checkpoint_pieces *p) {
    const struct berth_trainer *t = user;
    const struct weighting *w = &t->weighting;
    int64_t n = (int64_t)w->task_count;
    if (w->memory_count > 0)
        BERTH_TRY(checkpoint_piece(p, "memory", BERTH_H5_F64, (int64_t)w->memory_count, w->memory));
    if (!w->kind->learns) return BERTH_OK;
    BERTH_TRY(checkpoint_piece(p, "steps", BERTH_H5_I64, n, w->steps));
    BERTH_TRY(checkpoint_piece_device(p, "values", n, w->values));
    BERTH_TRY(checkpoint_piece_device(p, "state0", n, w->state[0]));
    return checkpoint_piece_device(p, "state1", n, w->state[1]);
}

static berth_status weighting_back(void *user) {
    struct berth_trainer *t = user;
    return weighting_restored(&t->weighting);
}

berth_status state_parts_add(struct berth_trainer *t) {
    const struct checkpoint_part parts[] = {
        {.name = "stage", .user = t, .pieces = stage_pieces},
        {.name = "optimizer", .user = t, .pieces = optimizer_pieces, .restored = optimizer_restored},
        {.name = "average", .user = t, .pieces = average_pieces},
        {.name = "frozen", .user = t, .pieces = frozen_pieces},
        {.name = "weighting", .user = t, .pieces = weighting_pieces, .restored = weighting_back},
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        BERTH_TRY(checkpoint_add_part(t, &parts[i]));
    return BERTH_OK;
}
