/* record.c: what is told of a run: to the observer, to RUN/log.txt, and as numbers to RUN/metrics.jsonl.
 *
 *   {"type":"step","step":40,"epoch":1.25,"loss":0.61,"lr":3e-05,"grad_norm":1.2,"tokens":10240,"tokens_total":99000,
 *    "tokens_per_second":5120,"utilisation":0.31,"input_wait":0.001,"tasks":{"intent":{"loss":0.3,"weight":1,"share":0.5,"steps":20},...}}
 *                                        losses: means over the steps since the line before; tokens: their sum
 *      and in a task, where the weighting asks for its gradient: "gradient", its length in the last step, and
 *      "coefficient", its factor in the shared parameters' gradient where that is put together (pcgrad)
 *   {"type":"eval","split":"dev","step":40,"scores":{"intent":{"accuracy":0.97,...},...},"best":true}
 *
 * The same numbers go to events.c, for TensorBoard. A number that is not finite is null. input_wait: the
 * share of the steps' time that they waited for input. Only tokens_per_second, utilisation and input_wait
 * depend on the clock: the other fields of a resumed run are those of a run never stopped, so what a window has
 * gathered is part of a checkpoint (struct run_window). */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "berth/file.h"
#include "train/train_priv.h"

/* A failed log line does not end a run: the log is for reading; what counts is in metrics.jsonl and
 * checkpoints. */
static void log_line(const struct berth_trainer *t, const char *text) {
    if (t->folder.log == NULL || t->folder.lock < 0) return;
    char line[4200], stamp[32];
    time_t now = time(NULL);
    struct tm parts;
    if (localtime_r(&now, &parts) == NULL || strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", &parts) == 0)
        stamp[0] = '\0';
    snprintf(line, sizeof line, "%s  %s", stamp, text);
    if (berth_file_append_line(t->folder.log, line) != BERTH_OK)
        berth_log(BERTH_LOG_WARN, "the log line was not written: %s", berth_error_text());
}

static void log_lines(const struct berth_trainer *t, const char *text) {
    while (*text != '\0') {
        char line[4096];
        size_t n = strcspn(text, "\n");
        snprintf(line, sizeof line, "%.*s", (int)n, text);
        log_line(t, line);
        text += n + (text[n] == '\n');
    }
}

void record_note(struct berth_trainer *t, const char *fmt, ...) {
    char line[4096];
    va_list args;
    if (!ranks_first(t)) return;
    va_start(args, fmt);
    if (vsnprintf(line, sizeof line, fmt, args) < 0) snprintf(line, sizeof line, "%s", fmt);
    va_end(args);
    if (t->observer.note != NULL) t->observer.note(t->observer.user, line);
    log_line(t, line);
}

void record_input(struct berth_trainer *t) {
    if (t->run_seconds <= 0) return;
    record_note(t, "input: the %lld steps of this process waited for it %.2f %% of their time (%.3f of %.1f s)",
                (long long)t->run_steps, 100 * t->run_waited / t->run_seconds, t->run_waited, t->run_seconds);
}

void record_failure(const struct berth_trainer *t) {
    char text[4000];
    snprintf(text, sizeof text, "%s", berth_error_text()); /* writing the line may record an error of its own */
    log_lines(t, text);
}

void record_plan(struct berth_trainer *t, const char *text) {
    if (!ranks_first(t)) return;
    if (t->observer.plan != NULL) t->observer.plan(t->observer.user, text);
    log_lines(t, text);
    if (berth_file_put(t->folder.plan, text, strlen(text)) != BERTH_OK) /* for the report alone */
        berth_log(BERTH_LOG_WARN, "the plan was not written: %s", berth_error_text());
}

static void add_number(struct berth_str *s, double value) {
    if (isfinite(value))
        berth_str_addf(s, "%.9g", value);
    else
        berth_str_add(s, "null");
}

/* The length of the task's gradient in the step at hand, where the weighting asked for it; NaN: absent. */
static double task_gradient_norm(const struct berth_trainer *t, size_t task) {
    return t->active[task + 1] ? sqrt(t->gram[task * t->task_count + task]) : (double)NAN;
}

void record_step(struct berth_trainer *t, double seconds) {
    int64_t tokens = t->step_tokens;
    struct run_window *w = &t->state.window;
    w->steps++;
    w->tokens += tokens;
    t->state.tokens += tokens;
    w->loss += t->loss;
    for (size_t i = 0; i < t->task_count; i++) {
        if (!t->active[i + 1]) continue;
        w->task_loss[i] += t->task_loss[i];
        w->task_steps[i] += 1;
        t->state.last_loss[i] = t->task_loss[i];
    }
    t->speed_steps++;
    t->speed_tokens += tokens;
    t->speed_seconds += seconds;
    const double waited = berth_feeder_waited(t->feeder, NULL) - t->input_seen;
    t->input_seen += waited;
    t->speed_waited += waited;
    t->run_waited += waited;
    t->run_seconds += seconds;
    t->run_steps++;
    t->speed_flops += t->step_flops;
}

static void format_window(struct berth_str *s, const struct berth_trainer *t, const struct berth_progress *p) {
    berth_str_addf(s, "{\"type\":\"step\",\"step\":%lld,\"epoch\":", (long long)p->step);
    add_number(s, t->epochs);
    berth_str_add(s, ",\"loss\":");
    add_number(s, p->loss);
    berth_str_add(s, ",\"lr\":");
    add_number(s, p->lr);
    berth_str_add(s, ",\"grad_norm\":");
    add_number(s, p->grad_norm);
    berth_str_addf(s, ",\"tokens\":%lld,\"tokens_total\":%lld,\"tokens_per_second\":", (long long)p->tokens,
                   (long long)t->state.tokens);
    add_number(s, round(p->tokens_per_second));
    berth_str_add(s, ",\"utilisation\":");
    add_number(s, round(1e4 * p->utilisation) / 1e4);
    berth_str_add(s, ",\"input_wait\":");
    add_number(s, t->speed_seconds > 0 ? round(1e4 * t->speed_waited / t->speed_seconds) / 1e4 : (double)NAN);
    berth_str_add(s, ",\"tasks\":{");
    bool first = true;
    for (size_t i = 0; i < t->task_count; i++) {
        if (isnan(p->task_losses[i])) continue;
        if (!first) berth_str_add(s, ",");
        first = false;
        berth_str_add_json(s, t->task_names[i]);
        berth_str_add(s, ":{\"loss\":");
        add_number(s, p->task_losses[i]);
        berth_str_add(s, ",\"weight\":"); /* of the last step; null where that does not hold the task */
        add_number(s, t->active[i + 1] ? t->weights[i] : (double)NAN);
        berth_str_add(s, ",\"share\":");
        add_number(s, t->share[i]);
        if (t->weighting.kind->gradients) {
            berth_str_add(s, ",\"gradient\":"); /* of the last step, as the weight */
            add_number(s, task_gradient_norm(t, i));
        }
        if (t->weighting.kind->combine != NULL) {
            berth_str_add(s, ",\"coefficient\":");
            add_number(s, t->active[i + 1] ? t->coefficients[i] : (double)NAN);
        }
        berth_str_addf(s, ",\"steps\":%.0f}", t->state.window.task_steps[i]);
    }
    berth_str_add(s, "}}");
}

static void log_progress(const struct berth_trainer *t, const struct berth_progress *p) {
    struct berth_str s;
    berth_str_init(&s);
    berth_str_addf(&s, "step %lld/%lld  epoch %.2f  loss %.4f ", (long long)p->step, (long long)p->total_steps,
                   t->epochs, p->loss);
    for (size_t i = 0; i < t->task_count; i++) {
        if (!isnan(p->task_losses[i])) berth_str_addf(&s, " %s %.4f", t->task_names[i], p->task_losses[i]);
    }
    berth_str_addf(&s, "  lr %.2e  norm %.3f  %.0f tokens/s", p->lr, p->grad_norm, p->tokens_per_second);
    if (!isnan(p->utilisation)) berth_str_addf(&s, "  %.1f %% of peak", 100 * p->utilisation);
    if (s.failed)
        berth_log(BERTH_LOG_WARN, "out of memory: the log lacks a line, of step %lld", (long long)p->step);
    if (!s.failed) log_line(t, s.data);
    berth_str_deinit(&s);
}

/* Appends one line of metrics; unlike the log it must not be lost. */
static berth_status put_metrics(const struct berth_trainer *t, struct berth_str *s) {
    berth_status status = BERTH_OK;
    char *line = NULL;
    BERTH_TRY(berth_str_take(s, &line));
    status = berth_file_append_line(t->folder.metrics, line);
    free(line);
    return status;
}

/* The window's numbers for TensorBoard. */
static berth_status put_event(const struct berth_trainer *t, const struct berth_progress *p) {
    struct berth_str s;
    if (!t->recipe.tensorboard) return BERTH_OK;
    berth_str_init(&s);
    event_add(&s, p->loss, "train/loss");
    for (size_t i = 0; i < t->task_count; i++) {
        event_add(&s, p->task_losses[i], "train/%s/loss", t->task_names[i]);
        if (t->active[i + 1]) event_add(&s, t->weights[i], "train/%s/weight", t->task_names[i]);
        if (t->weighting.kind->gradients)
            event_add(&s, task_gradient_norm(t, i), "train/%s/gradient", t->task_names[i]);
    }
    event_add(&s, p->lr, "train/lr");
    event_add(&s, p->grad_norm, "train/grad_norm");
    event_add(&s, t->epochs, "train/epoch");
    event_add(&s, p->tokens_per_second, "speed/tokens_per_second");
    event_add(&s, p->utilisation, "speed/utilisation");
    if (t->speed_seconds > 0) event_add(&s, t->speed_waited / t->speed_seconds, "speed/input_wait");
    berth_status status = event_write(t->folder.events, p->step, &s);
    berth_str_deinit(&s);
    return status;
}

static berth_status put_score_event(const struct berth_trainer *t, int64_t step,
                                    const struct berth_scores *scores) {
    struct berth_str s;
    if (!t->recipe.tensorboard) return BERTH_OK;
    berth_str_init(&s);
    for (size_t i = 0; i < scores->count; i++) {
        const struct berth_score *score = &scores->list[i];
        event_add(&s, score->value, "%s/%s/%s", score->split, score->task, score->metric);
    }
    berth_status status = event_write(t->folder.events, step, &s);
    berth_str_deinit(&s);
    return status;
}

static void empty_window(struct berth_trainer *t) {
    struct run_window *w = &t->state.window;
    w->steps = w->tokens = 0;
    w->loss = 0;
    memset(w->task_loss, 0, t->task_count * sizeof *w->task_loss);
    memset(w->task_steps, 0, t->task_count * sizeof *w->task_steps);
    t->speed_steps = t->speed_tokens = 0;
    t->speed_seconds = t->speed_flops = t->speed_waited = 0;
    t->last_log = t->clock;
}

berth_status record_report(struct berth_trainer *t) {
    berth_status status = BERTH_OK;
    const struct run_window *w = &t->state.window;
    double *means = NULL;
    struct berth_str s;
    berth_str_init(&s);
    if (w->steps == 0) return BERTH_OK;
    if (!ranks_first(t)) {
        empty_window(t);
        return BERTH_OK;
    }
    BERTH_TRY(berth_calloc(&means, t->task_count, sizeof *means));
    for (size_t i = 0; i < t->task_count; i++)
        means[i] = w->task_steps[i] > 0 ? w->task_loss[i] / w->task_steps[i] : (double)NAN;
    double a_step = t->speed_steps > 0 ? t->speed_seconds / (double)t->speed_steps : (double)NAN;
    const struct berth_progress p = {
        .step = t->state.step,
        .total_steps = t->total_steps,
        .epoch = berth_feeder_epoch(t->feeder),
        .tokens = w->tokens,
        .tokens_per_second = t->speed_seconds > 0 ? (double)t->speed_tokens / t->speed_seconds : (double)NAN,
        .utilisation = t->speed_seconds > 0 && t->peak_flops > 0
                           ? t->speed_flops / t->speed_seconds / t->peak_flops
                           : (double)NAN,
        .peak_flops = t->peak_flops,
        .seconds_left = a_step * (double)(t->total_steps - t->state.step),
        .loss = w->loss / (double)w->steps,
        .lr = t->lr,
        .grad_norm = t->grad_norm,
        .task_count = (int)t->task_count,
        .task_names = t->task_names,
        .task_losses = means,
    };
    format_window(&s, t, &p);
    BERTH_TRY_OUT(put_metrics(t, &s));
    BERTH_TRY_OUT(put_event(t, &p));
    if (t->observer.progress != NULL) t->observer.progress(t->observer.user, &p);
    log_progress(t, &p);
    empty_window(t);
out:
    berth_str_deinit(&s);
    free(means);
    return status;
}

static void format_scores(struct berth_str *s, int64_t step, const struct berth_scores *scores, bool best) {
    berth_str_add(s, "{\"type\":\"eval\",\"split\":");
    berth_str_add_json(s, scores->list[0].split);
    berth_str_addf(s, ",\"step\":%lld,\"scores\":", (long long)step);
    scores_add_by_task(s, scores);
    berth_str_addf(s, ",\"best\":%s}", best ? "true" : "false");
}

berth_status record_scores(struct berth_trainer *t, int64_t step, const struct berth_scores *scores,
                           bool best) {
    struct berth_str s;
    if (scores->count == 0) return BERTH_OK;
    berth_str_init(&s);
    format_scores(&s, step, scores, best);
    berth_status status = put_metrics(t, &s);
    berth_str_deinit(&s);
    BERTH_TRY(status);
    BERTH_TRY(put_score_event(t, step, scores));
    if (t->observer.scores != NULL) t->observer.scores(t->observer.user, step, scores, best);
    for (size_t i = 0; i < scores->count; i++) {
        char line[256];
        const struct berth_score *score = &scores->list[i];
        snprintf(line, sizeof line, "%s at step %lld: %s %s %.6f%s", score->split, (long long)step, score->task,
                 score->metric, score->value, best && i + 1 == scores->count ? ", the best so far" : "");
        log_line(t, line);
    }
    return BERTH_OK;
}
