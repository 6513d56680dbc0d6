/* cli_progress.c: what a person sees of a run: the plan, progress, scores.
 *
 *     terminal   [########............] 160/400  loss 0.41  intent 0.30 entities 0.52  5321 tokens/s  0:42 left
 *     log file   step 160/400  epoch 1  loss 0.4100  intent 0.3000 entities 0.5200  lr 3.1e-04  5321 tokens/s
 * 0:42 left
 *
 * A number that is not there yet (a task absent from the steps since the last report) is printed as "-". */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli_priv.h"

enum { BAR_CELLS = 20 };

static void add_duration(struct berth_str *s, double seconds) {
    if (!isfinite(seconds) || seconds < 0) {
        berth_str_add(s, "-");
        return;
    }
    int64_t t = (int64_t)(seconds + 0.5);
    if (t >= 3600)
        berth_str_addf(s, "%lld:%02d:%02d", (long long)(t / 3600), (int)(t / 60 % 60), (int)(t % 60));
    else
        berth_str_addf(s, "%d:%02d", (int)(t / 60), (int)(t % 60));
}

static void add_losses(struct berth_str *s, const struct berth_progress *p) {
    berth_str_addf(s, "  loss %.4f ", p->loss);
    for (int i = 0; i < p->task_count; i++) {
        if (isnan(p->task_losses[i]))
            berth_str_addf(s, " %s -", p->task_names[i]);
        else
            berth_str_addf(s, " %s %.4f", p->task_names[i], p->task_losses[i]);
    }
}

static void add_speed(struct berth_str *s, const struct berth_progress *p) {
    berth_str_addf(s, "  %.0f tokens/s", p->tokens_per_second);
    if (!isnan(p->utilisation))
        berth_str_addf(s, " %.*f%% of peak", p->utilisation < 0.0995, 100 * p->utilisation);
    berth_str_add(s, "  ");
    add_duration(s, p->seconds_left);
    berth_str_add(s, " left");
}

/* The bar of a terminal of `width` columns: of what does not fit, tasks give way first, then the
 * bar's cells, the speed, the time left. */
static void add_bar(struct berth_str *s, const struct berth_progress *p, size_t width) {
    struct berth_str head, tail, cells;
    berth_str_init(&head);
    berth_str_init(&tail);
    berth_str_init(&cells);
    int64_t full = p->total_steps > 0 ? p->step * BAR_CELLS / p->total_steps : 0;
    berth_str_add(&cells, "[");
    for (int64_t i = 0; i < BAR_CELLS; i++)
        berth_str_add(&cells, i < full ? "#" : ".");
    berth_str_add(&cells, "] ");
    berth_str_addf(&head, "%lld/%lld  loss %.2f", (long long)p->step, (long long)p->total_steps, p->loss);
    add_speed(&tail, p);
    if (head.length + tail.length > width) { /* the time left alone */
        berth_str_reset(&tail);
        berth_str_add(&tail, "  ");
        add_duration(&tail, p->seconds_left);
        berth_str_add(&tail, " left");
    }
    size_t used = head.length + tail.length;
    if (used + cells.length <= width) {
        berth_str_add(s, cells.data);
        used += cells.length;
    }
    berth_str_add(s, head.data);
    for (int i = 0; i < p->task_count; i++) {
        char text[96];
        const bool last = i + 1 == p->task_count;
        int n = isnan(p->task_losses[i])
                    ? snprintf(text, sizeof text, "%s%s -", i == 0 ? "  " : " ", p->task_names[i])
                    : snprintf(text, sizeof text, "%s%s %.2f", i == 0 ? "  " : " ", p->task_names[i],
                               p->task_losses[i]);
        if (n < 0 || (size_t)n >= sizeof text || used + (size_t)n + (last ? 0 : 4) > width) {
            if (used + 4 <= width) berth_str_add(s, " ...");
            break;
        }
        berth_str_add(s, text);
        used += (size_t)n;
    }
    if (head.length + tail.length <= width) berth_str_add(s, tail.data);
    s->failed = s->failed || head.failed || tail.failed || cells.failed;
    berth_str_deinit(&head);
    berth_str_deinit(&tail);
    berth_str_deinit(&cells);
}

static void on_progress(void *user, const struct berth_progress *p) {
    (void)user;
    struct berth_str s;
    berth_str_init(&s);
    if (cli_console_is_terminal()) {
        add_bar(&s, p, (size_t)cli_console_width() - 1); /* the last column stays free: no line is wrapped */
        if (!s.failed) cli_console_bar(s.data);
    } else {
        berth_str_addf(&s, "step %lld/%lld  epoch %lld", (long long)p->step, (long long)p->total_steps,
                       (long long)p->epoch + 1);
        add_losses(&s, p);
        berth_str_addf(&s, "  lr %.2e", p->lr);
        add_speed(&s, p);
        if (!s.failed) cli_console_line("%s", s.data);
    }
    berth_str_deinit(&s);
}

static void on_plan(void *user, const char *text) {
    (void)user;
    cli_console_text(text);
}

static void on_note(void *user, const char *line) {
    (void)user;
    cli_console_line("%s", line);
}

static void on_scores(void *user, int64_t step, const struct berth_scores *scores, bool best) {
    (void)user;
    size_t widest = 4;
    for (size_t i = 0; i < scores->count; i++) {
        size_t n = strlen(scores->list[i].task);
        if (n > widest) widest = n;
    }
    struct berth_str s;
    berth_str_init(&s);
    const char *split = scores->count > 0 ? scores->list[0].split : "";
    berth_str_addf(&s, "step %lld: %s%s\n", (long long)step, split, best ? ", the best so far" : "");
    for (size_t i = 0; i < scores->count; i++) {
        const struct berth_score *score = &scores->list[i];
        berth_str_addf(&s, "  %-*s  %-14s ", (int)widest, score->task, score->metric);
        if (isnan(score->value))
            berth_str_addf(&s, "%10s\n", "-");
        else
            berth_str_addf(&s, "%10.*f\n", strcmp(score->metric, "rows") == 0 ? 0 : 4, score->value);
    }
    if (!s.failed) cli_console_text(s.data);
    berth_str_deinit(&s);
}

struct berth_observer cli_observer(bool (*stop_requested)(void *user)) {
    return (struct berth_observer){
        .plan = on_plan,
        .progress = on_progress,
        .scores = on_scores,
        .note = on_note,
        .stop_requested = stop_requested,
    };
}

berth_status cli_scores_print(const struct berth_scores *scores) {
    for (size_t i = 0; i < scores->count; i++) {
        const struct berth_score *score = &scores->list[i];
        BERTH_TRY(cli_out_f("%s\t%s\t%s\t%.6g\n", score->task, score->split, score->metric, score->value));
    }
    return BERTH_OK;
}
