/* test_model_forward.c: what a pass promises: one for all heads, slopes, dropout, freezing, refusals. */
#include <math.h>
#include <omp.h>
#include <stdio.h>

#include "model/support_model.h"

static void freeze_below(struct gradients *g, const struct berth_model *m, int stage) {
    for (int i = 0; i < m->parameter_count; i++)
        g->pointers[i] = m->parameters[i].stage < stage ? NULL : g->buffer + m->parameters[i].offset;
}

/* ---- a small model with a head of each kind */

struct small {
    struct berth_device *device;
    struct berth_tape *tape;
    struct berth_model *model;
    struct berth_batch batch;
    struct gradients grads;
    struct berth_forward_options options;
};

static void small_begin(struct small *s) {
    static const int64_t LENGTHS[] = {5, 1, 20, 8};
    *s = (struct small){0};
    check_ok(berth_device_open(&s->device, "cpu"));
    check_ok(berth_tape_create(&s->tape, s->device));
    s->model = small_model(s->device, "bert");
    small_add_head(s->model, "intent", BERTH_TASK_CLASSIFICATION, BERTH_POOL_POOLER, 4);
    small_add_head(s->model, "slots", BERTH_TASK_TAGGING, BERTH_POOL_CLS, 5);
    small_add_head(s->model, "mood", BERTH_TASK_CLASSIFICATION, BERTH_POOL_POOLER, 3);
    small_add_head(s->model, "topic", BERTH_TASK_CLASSIFICATION, BERTH_POOL_MEAN, 2);
    check_ok(berth_model_allocate(s->model, 5));
    derive_values(s->model, 6, 0.6);
    berth_batch_init(&s->batch);
    small_batch(&s->batch, s->model, LENGTHS, 4);
    gradients_init(&s->grads, s->model);
    s->options = (struct berth_forward_options){
        .training = true, .seed = 0x123456789ABCull, .step = 7, .gradients = s->grads.pointers};
}

static void small_end(struct small *s) {
    gradients_deinit(&s->grads, s->model);
    berth_batch_deinit(&s->batch);
    berth_model_free(s->model);
    berth_tape_free(s->tape);
    berth_device_close(s->device);
}

static void one_pass_serves_all_heads(void **state) {
    (void)state;
    struct small s;
    struct berth_tensor *logits[4];
    small_begin(&s);
    const struct berth_forward_options inference = {.training = false};
    assert_int_equal(s.model->backbone_passes, 0);
    berth_tape_reset(s.tape, false);
    check_ok(berth_model_forward(s.model, s.tape, &s.batch, &inference, logits));
    assert_int_equal(s.model->backbone_passes, 1);
    static const int64_t SHAPES[4][2] = {{4, 4}, {34, 5}, {4, 3}, {4, 2}};
    for (int i = 0; i < 4; i++) {
        assert_non_null(logits[i]);
        assert_int_equal(logits[i]->shape[0], SHAPES[i][0]);
        assert_int_equal(logits[i]->shape[1], SHAPES[i][1]);
    }
    /* heads alone give the same bits as heads together */
    float together[12];
    memcpy(together, logits[2]->data, sizeof together);
    const bool wanted[4] = {false, false, true, false};
    const struct berth_forward_options alone = {.training = false, .wanted = wanted};
    berth_tape_reset(s.tape, false);
    check_ok(berth_model_forward(s.model, s.tape, &s.batch, &alone, logits));
    assert_null(logits[0]);
    assert_null(logits[1]);
    assert_null(logits[3]);
    assert_memory_equal(logits[2]->data, together, sizeof together);
    assert_int_equal(s.model->backbone_passes, 2);
    small_end(&s);
}

static berth_status rebuild(struct berth_tape *tape, struct berth_tensor **loss, void *user) {
    struct small *s = user;
    struct berth_tensor *logits[4], *losses[4];
    berth_tape_reset(tape, true);
    return total_loss(s->model, tape, &s->batch, &s->options, losses, logits, loss);
}

/* The gradient of every parameter along a random direction, with dropout on: the masks are fixed by the step.
 */
static void the_gradient_is_the_slope(void **state) {
    (void)state;
    struct small s;
    small_begin(&s);
    s.model->config.hidden_dropout = 0.2f;
    s.model->config.attention_dropout = 0.1f;
    double worst = 0.0;
    for (int i = 0; i < s.model->parameter_count; i++) {
        const struct berth_parameter *p = &s.model->parameters[i];
        double analytic = 0.0, numeric = 0.0, best = INFINITY;
        for (float h = 4e-3f; h >= 2.5e-4f; h /= 4.0f) { /* truncation shrinks with h, rounding grows */
            check_ok(berth_tape_check_direction(s.tape, rebuild, &s, s.model->values + p->offset,
                                                s.grads.pointers[i], p->count, (uint64_t)i, h, &analytic,
                                                &numeric));
            double error = fabs(analytic - numeric) / (fabs(analytic) + fabs(numeric) + 0.05);
            if (error < best) best = error;
        }
        if (!(best < 0.01))
            fail_msg("%s: the gradient says %.6g, the slope is %.6g (best error %.3g)", p->name, analytic,
                     numeric, best);
        if (best > worst) worst = best;
    }
    print_message("worst of %d directions: %.2g\n", s.model->parameter_count, worst);
    small_end(&s);
}

static void copy_hidden(struct small *s, const struct berth_batch *b, float *to) {
    struct berth_tensor *hidden = NULL;
    berth_tape_reset(s->tape, true);
    check_ok(berth_model_hidden(s->model, s->tape, b, &s->options, &hidden));
    memcpy(to, hidden->data, (size_t)b->tokens_count * (size_t)s->model->config.hidden * sizeof(float));
}

/* Dropout is keyed by the sequence's ordinal, not by where it lies in the batch. */
static void dropout_does_not_see_the_packing(void **state) {
    (void)state;
    struct small s;
    struct berth_batch alone;
    float all[34 * 24], one[8 * 24], again[34 * 24];
    small_begin(&s);
    copy_hidden(&s, &s.batch, all);
    berth_batch_init(&alone);
    check_ok(berth_batch_reset(&alone, 4));
    const int64_t first = s.batch.cu_seqlens[3];
    check_ok(berth_batch_add_sequence(&alone, s.batch.tokens + first, s.batch.segments + first, 8, 3, 0, 0));
    check_ok(berth_batch_finish(&alone));
    copy_hidden(&s, &alone, one);
    for (int i = 0; i < 8 * 24; i++) {
        if (!(fabsf(all[first * 24 + i] - one[i]) <= 1e-5f))
            fail_msg("element %d: %g in the batch, %g alone", i, (double)all[first * 24 + i], (double)one[i]);
    }
    berth_batch_deinit(&alone);
    s.options.step++;
    copy_hidden(&s, &s.batch, again);
    assert_memory_not_equal(all, again, sizeof all);
    s.options.step--;
    copy_hidden(&s, &s.batch, again);
    assert_memory_equal(all, again, sizeof all);
    small_end(&s);
}

static void a_frozen_prefix_runs_without_dropout(void **state) {
    (void)state;
    struct small s;
    float plain[34 * 24], frozen[34 * 24], half[34 * 24], noisy[34 * 24];
    small_begin(&s);
    s.options.training = false;
    copy_hidden(&s, &s.batch, plain);
    s.options.training = true;
    freeze_below(&s.grads, s.model, model_stage_pooler(s.model));
    copy_hidden(&s, &s.batch, frozen);
    assert_memory_equal(plain, frozen, sizeof plain);
    assert_int_equal(berth_tape_recorded(s.tape), 0);
    s.options.frozen_dropout = true;
    copy_hidden(&s, &s.batch, noisy);
    assert_memory_not_equal(plain, noisy, sizeof plain);
    assert_int_equal(berth_tape_recorded(s.tape), 0);
    s.options.frozen_dropout = false;
    freeze_below(&s.grads, s.model, 2); /* the last layer learns */
    copy_hidden(&s, &s.batch, half);
    assert_memory_not_equal(plain, half, sizeof plain);
    assert_true(berth_tape_recorded(s.tape) > 0);
    const int64_t recorded = berth_tape_recorded(s.tape);
    freeze_below(&s.grads, s.model, 0);
    copy_hidden(&s, &s.batch, half);
    assert_true(berth_tape_recorded(s.tape) > recorded);
    small_end(&s);
}

/* Frozen parameters have no gradient to write to; the others' is what it is with all of them trained. */
static void freezing_leaves_other_gradients_alone(void **state) {
    (void)state;
    struct small s;
    struct berth_tensor *logits[4], *losses[4], *loss = NULL;
    small_begin(&s);
    s.options.training = false;
    const size_t bytes = (size_t)s.model->total * sizeof(float);
    float *all = NULL;
    check_ok(berth_calloc(&all, (size_t)s.model->total, sizeof *all));
    berth_tape_reset(s.tape, true);
    check_ok(total_loss(s.model, s.tape, &s.batch, &s.options, losses, logits, &loss));
    check_ok(berth_tape_backward(s.tape, loss));
    memcpy(all, s.grads.buffer, bytes);
    for (int stage = 1; stage <= model_stage_heads(s.model); stage++) {
        memset(s.grads.buffer, 0, bytes);
        freeze_below(&s.grads, s.model, stage);
        berth_tape_reset(s.tape, true);
        check_ok(total_loss(s.model, s.tape, &s.batch, &s.options, losses, logits, &loss));
        check_ok(berth_tape_backward(s.tape, loss));
        for (int i = 0; i < s.model->parameter_count; i++) {
            const struct berth_parameter *p = &s.model->parameters[i];
            for (int64_t k = p->offset; k < p->offset + p->count; k++) {
                float expected = p->stage < stage ? 0.0f : all[k];
                if (s.grads.buffer[k] != expected)
                    fail_msg("frozen below %d: %s[%lld] is %g, expected %g", stage, p->name,
                             (long long)(k - p->offset), (double)s.grads.buffer[k], (double)expected);
            }
        }
    }
    free(all);
    small_end(&s);
}

static void what_does_not_fit_is_refused(void **state) {
    (void)state;
    struct small s;
    struct berth_tensor *t = NULL;
    small_begin(&s);
    const struct berth_forward_options inference = {.training = false};
    berth_tape_reset(s.tape, false);
    s.batch.tokens[3] = 50;
    check_fails(berth_model_hidden(s.model, s.tape, &s.batch, &inference, &t), BERTH_E_USAGE,
                "token 50 is outside this backbone's vocabulary of 50");
    s.batch.tokens[3] = 0;
    s.batch.segments[3] = 2;
    check_fails(berth_model_hidden(s.model, s.tape, &s.batch, &inference, &t), BERTH_E_USAGE,
                "segment 2, but this backbone has 2 kinds");
    s.batch.segments[3] = 0;
    static const int64_t LONG[] = {21};
    small_batch(&s.batch, s.model, LONG, 1);
    check_fails(berth_model_hidden(s.model, s.tape, &s.batch, &inference, &t), BERTH_E_USAGE,
                "a sequence of 21 tokens, but this backbone has 20 positions");
    struct berth_model *distil = small_model(s.device, "distilbert");
    check_ok(berth_model_allocate(distil, 1));
    check_fails(berth_model_embed(distil, s.tape, &s.batch, BERTH_POOL_POOLER, &t), BERTH_E_USAGE,
                "use mean or cls");
    berth_model_free(distil);
    small_end(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_pass_serves_all_heads),
        cmocka_unit_test(the_gradient_is_the_slope),
        cmocka_unit_test(dropout_does_not_see_the_packing),
        cmocka_unit_test(a_frozen_prefix_runs_without_dropout),
        cmocka_unit_test(freezing_leaves_other_gradients_alone),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
