/* support_train.c: see support_train.h. */
#include "support_train.h"

#include <stdlib.h>
#include <string.h>

#include "berth/file.h"
#include "support/temp_folder.h"

static const char *const VOCAB =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nplay\nsome\nmusic\nbook\na\ntable\nin\nparis\n"
    "rome\noslo\nweather\nwill\nit\nrain\nthe\nfilm\nwas\ngood\nbad\nnot\nfood\nvery\n"
    "tomorrow\n##s\nat\nnoon\n";

static const char *const CONFIG =
    "seed: 11\n"
    "threads: 1\n"
    "model:\n"
    "  new: {layers: 2, hidden: 32, heads: 2, intermediate: 64, positions: 32}\n"
    "  max_length: 16\n"
    "  dropout: 0.1\n"
    "  attention_dropout: 0.1\n"
    "data:\n"
    "  talk: {format: seqfiles, train: talk, dev: talk, test: talk}\n"
    "  mood: {format: tsv, text: sentence, train: mood.tsv, dev: mood.tsv, test: mood.tsv}\n"
    "tasks:\n"
    "  intent: {type: classification, source: talk, label: label, pooling: pooler}\n"
    "  slots: {type: tagging, source: talk, label: seq.out}\n"
    "  feeling: {type: classification, source: mood, label: label, pooling: mean}\n"
    "train: {steps: 12, batch_size: 8, lr: 2.0e-3, warmup: 2}\n"
    "evaluate: {every: 5 steps, batch_size: 7}\n"
    "checkpoint: {every: 4 steps, keep: 3}\n"
    "log: {every: 3 steps}\n";

static void check(berth_status status) {
    if (status != BERTH_OK) fail_msg("%s", berth_error_text());
}

const char *world_path(const struct world *w, const char *name) {
    static char paths[8][512];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", w->folder, name);
    return path;
}

void world_write(const struct world *w, const char *name, const char *text) {
    check(berth_file_put(world_path(w, name), text, strlen(text)));
}

static void write_talk(const struct world *w) {
    static const char *const cities[] = {"paris", "rome", "oslo"}, *const times[] = {"tomorrow", "at noon"};
    static const char *const time_tags[] = {"B-time", "B-time I-time"};
    struct berth_str in, out, label;
    berth_str_init(&in);
    berth_str_init(&out);
    berth_str_init(&label);
    for (int i = 0; i < 24; i++) {
        const char *city = cities[i % 3], *when = times[i % 2], *tags = time_tags[i % 2];
        switch (i % 4) {
        case 0:
            berth_str_addf(&in, "book a table in %s %s\n", city, when);
            berth_str_addf(&out, "O O O O B-city %s\n", tags);
            berth_str_add(&label, "book\n");
            break;
        case 1:
            berth_str_addf(&in, "play some music %s\n", when);
            berth_str_addf(&out, "O O O %s\n", tags);
            berth_str_add(&label, "play\n");
            break;
        default:
            berth_str_addf(&in, "will it rain %s in %s\n", when, city);
            berth_str_addf(&out, "O O O %s O B-city\n", tags);
            berth_str_add(&label, "weather\n");
        }
    }
    check(berth_make_folders(world_path(w, "talk")));
    world_write(w, "talk/seq.in", in.data);
    world_write(w, "talk/seq.out", out.data);
    world_write(w, "talk/label", label.data);
    berth_str_deinit(&in);
    berth_str_deinit(&out);
    berth_str_deinit(&label);
}

int world_setup(void **state) {
    static struct world world;
    struct world *w = &world;
    char *folder = test_folder_make("train");
    snprintf(w->folder, sizeof w->folder, "%s", folder);
    free(folder);
    snprintf(w->config, sizeof w->config, "%.270s/world.yaml", w->folder);
    write_talk(w);
    world_write(
        w, "mood.tsv",
        "sentence\tlabel\nthe film was good\tgood\nthe film was bad\tbad\nthe food was very good\tgood\n"
        "the food was not good\tbad\nnot bad\tgood\nvery bad food\tbad\na good table\tgood\nbad music\tbad\n");
    world_write(w, "vocab.txt", VOCAB);
    world_write(w, "world.yaml", CONFIG);
    *state = w;
    return 0;
}

int world_teardown(void **state) {
    struct world *w = *state;
    test_folder_remove(strdup(w->folder));
    return 0;
}

struct berth_config *world_config_list(const struct world *w, const char *const *overrides, size_t count) {
    char vocab[600], folder[600], cache[600];
    const char *all[32] = {vocab, folder, cache, "device=cpu"};
    struct berth_config *c = NULL;
    snprintf(vocab, sizeof vocab, "model.vocab=%s/vocab.txt", w->folder);
    snprintf(folder, sizeof folder, "data_folder=%s", w->folder);
    snprintf(cache, sizeof cache, "cache=%s/cache", w->folder);
    for (size_t i = 0; i < count; i++)
        all[4 + i] = overrides[i];
    check(berth_config_load(&c, w->config, all, 4 + count));
    return c;
}

static size_t gather(const char **list, const char *first, va_list rest) {
    size_t count = 0;
    for (const char *o = first; o != NULL && count < 20; o = va_arg(rest, const char *))
        list[count++] = o;
    return count;
}

struct berth_config *world_config(const struct world *w, const char *override, ...) {
    const char *list[24];
    va_list args;
    va_start(args, override);
    size_t count = gather(list, override, args);
    va_end(args);
    return world_config_list(w, list, count);
}

/* ---- runs */

static void on_progress(void *user, const struct berth_progress *p) {
    struct world_run *r = user;
    if (r->reports++ == 0) r->first_loss = p->loss;
    r->last_loss = p->loss;
}

static void on_scores(void *user, int64_t step, const struct berth_scores *s, bool best) {
    struct world_run *r = user;
    (void)step, (void)s, (void)best;
    r->evaluations++;
}

static void on_note(void *user, const char *line) {
    struct world_run *r = user;
    r->notes++;
    snprintf(r->note, sizeof r->note, "%s", line);
}

static bool on_stop(void *user) {
    struct world_run *r = user;
    return r->stop_at > 0 && r->trainer->state.step >= r->stop_at;
}

static void make(struct world_run *r, const struct world *w, const char *run, const char **list, size_t count) {
    char output[600];
    const struct berth_observer observer = {
        .user = r, .progress = on_progress, .scores = on_scores, .note = on_note, .stop_requested = on_stop};
    memset(r, 0, sizeof *r);
    snprintf(output, sizeof output, "output=%s/%s", w->folder, run);
    list[count++] = output;
    r->config = world_config_list(w, list, count);
    check(berth_trainer_create(&r->trainer, r->config, &observer));
}

void run_make(struct world_run *r, const struct world *w, const char *run, const char *override, ...) {
    const char *list[24];
    va_list args;
    va_start(args, override);
    size_t count = gather(list, override, args);
    va_end(args);
    make(r, w, run, list, count);
}

void run_free(struct world_run *r) {
    berth_trainer_free(r->trainer);
    berth_config_free(r->config);
    memset(r, 0, sizeof *r);
}

berth_status run_whole(const struct world *w, const char *run, bool resume, int64_t stop_at,
                       const char *override, ...) {
    const char *list[24];
    struct world_run r;
    va_list args;
    va_start(args, override);
    size_t count = gather(list, override, args);
    va_end(args);
    make(&r, w, run, list, count);
    r.stop_at = stop_at;
    berth_status status = berth_trainer_start(r.trainer, resume);
    if (status == BERTH_OK) status = berth_trainer_run(r.trainer);
    run_free(&r);
    return status;
}

float *model_values(const struct berth_model *m, int64_t *count) {
    float *values = NULL;
    check(berth_calloc(&values, (size_t)m->total, sizeof *values));
    check(berth_device_download(m->device, values, m->values, (size_t)m->total * sizeof *values));
    if (count != NULL) *count = m->total;
    return values;
}

void assert_same_file(const char *a, const char *b) {
    char *x = NULL, *y = NULL;
    size_t n = 0, m = 0, at = 0;
    check(berth_file_read(&x, &n, a));
    check(berth_file_read(&y, &m, b));
    if (n != m) fail_msg("%s has %zu bytes, %s has %zu", a, n, b, m);
    while (at < n && x[at] == y[at])
        at++;
    if (at < n) fail_msg("%s and %s differ at byte %zu of %zu", a, b, at, n);
    free(x);
    free(y);
}

char *read_metrics(const char *path) {
    static const char *const keys[] = {"\"tokens_per_second\":", "\"utilisation\":", "\"input_wait\":"};
    char *text = NULL;
    size_t size = 0;
    check(berth_file_read(&text, &size, path));
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
        for (char *p = text; (p = strstr(p, keys[k])) != NULL;) {
            p += strlen(keys[k]);
            size_t n = strcspn(p, ",");
            memmove(p, p + n, strlen(p + n) + 1);
        }
    }
    return text;
}
