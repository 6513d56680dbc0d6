/* support_golden.c: golden cases: opened, run, and compared. */
#include "model/support_golden.h"

#include <math.h>
#include <stdio.h>

enum { SKETCH_SEED = 2026, SKETCH_STREAM = 64, SKETCH_SIZE = 64 }; /* scripts/model_reference.py */

static const char *case_path(const struct golden *g, char out[96], const char *key) {
    snprintf(out, 96, "cases[%d].%s", g->index, key);
    return out;
}

static int64_t case_int(const struct golden *g, const char *key) {
    char path[96];
    int64_t value = 0;
    check_ok(berth_json_int(&value, g->cases, case_path(g, path, key), 0, 1 << 24));
    return value;
}

double golden_number(const struct golden *g, const char *key) {
    char path[96];
    double value = 0.0;
    check_ok(berth_json_number(&value, g->cases, case_path(g, path, key)));
    return value;
}

static const char *case_text(const struct golden *g, const char *key) {
    char path[96];
    const char *value = NULL;
    check_ok(berth_json_string(&value, g->cases, case_path(g, path, key)));
    return value;
}

static const struct berth_safetensor *find(const struct golden *g, const char *fmt, ...) BERTH_PRINTF(2, 3);
static const struct berth_safetensor *find(const struct golden *g, const char *fmt, ...) {
    char name[160];
    va_list args;
    va_start(args, fmt);
    vsnprintf(name, sizeof name, fmt, args);
    va_end(args);
    return berth_safetensors_find(g->file, name);
}

static const struct berth_safetensor *need(const struct golden *g, const char *name, const char *part) {
    const struct berth_safetensor *t = find(g, "%s.%s", name, part);
    if (t == NULL) fail_msg("the golden file has no '%s.%s'", name, part);
    return t;
}

static double double_at(const struct berth_safetensor *t, int64_t i) {
    double value = 0.0;
    memcpy(&value, (const unsigned char *)t->data + i * 8, sizeof value);
    return value;
}

/* ---- opening */

static void open_files(struct golden *g, const char *name) {
    const char *root = getenv("BERTH_SOURCE_DIR");
    char *folder = model_path(root != NULL ? root : ".", "tests/golden");
    char file[64];
    snprintf(file, sizeof file, "model_%s.safetensors", name);
    char *cases = model_path(folder, "model_cases.json"), *weights = model_path(folder, file);
    check_ok(berth_json_load(&g->cases, cases));
    check_ok(berth_safetensors_open(&g->file, weights));
    g->index = -1;
    for (int i = 0; i < (int)berth_json_count(g->cases, "cases") && g->index < 0; i++) {
        char path[96];
        const char *other = NULL;
        snprintf(path, sizeof path, "cases[%d].name", i);
        check_ok(berth_json_string(&other, g->cases, path));
        if (strcmp(name, other) == 0) g->index = i;
    }
    if (g->index < 0) fail_msg("%s has no case '%s'", cases, name);
    free(folder);
    free(cases);
    free(weights);
}

static void make_backbone(struct golden *g) {
    static const struct {
        const char *name;
        enum berth_activation kind;
    } ACTIVATIONS[] = {{"gelu", BERTH_ACT_GELU},
                       {"gelu_new", BERTH_ACT_GELU_TANH},
                       {"relu", BERTH_ACT_RELU},
                       {"silu", BERTH_ACT_SILU}};
    struct berth_model_config c;
    berth_model_config_init(&c);
    check_ok(berth_strdup(&c.model_type, case_text(g, "model_type")));
    c.layers = case_int(g, "layers");
    c.hidden = case_int(g, "hidden");
    c.heads = case_int(g, "heads");
    c.intermediate = case_int(g, "intermediate");
    c.vocab_size = case_int(g, "vocab_size");
    c.positions = case_int(g, "positions");
    c.segments = case_int(g, "segments");
    c.pooler = !model_is_distilbert(&c);
    c.init_range = 0.0f; /* derived values follow */
    size_t i = 0;
    while (strcmp(ACTIVATIONS[i].name, case_text(g, "activation")) != 0)
        assert_true(++i < sizeof ACTIVATIONS / sizeof ACTIVATIONS[0]);
    c.activation = ACTIVATIONS[i].kind;
    check_ok(berth_model_create(&g->model, g->device, &c));
    berth_model_config_deinit(&c);
}

static void add_heads(struct golden *g) {
    char path[96], key[64];
    for (int i = 0; i < (int)berth_json_count(g->cases, case_path(g, path, "tasks")); i++) {
        struct berth_head h;
        enum berth_pooling pooling = BERTH_POOL_CLS;
        snprintf(key, sizeof key, "tasks[%d].pooling", i);
        assert_true(berth_pooling_parse(case_text(g, key), &pooling));
        snprintf(key, sizeof key, "tasks[%d].type", i);
        const enum berth_task_kind kind = berth_task_kind_find(case_text(g, key));
        assert_int_not_equal(kind, BERTH_TASK_KIND_COUNT);
        snprintf(key, sizeof key, "tasks[%d].classes", i);
        const int classes = berth_task_kind_has_labels(kind) ? (int)case_int(g, key) : 0;
        snprintf(key, sizeof key, "tasks[%d].name", i);
        small_head(&h, case_text(g, key), kind, pooling, classes);
        snprintf(key, sizeof key, "tasks[%d].smoothing", i);
        if (berth_json_has(g->cases, case_path(g, path, key))) h.label_smoothing = (float)golden_number(g, key);
        check_ok(berth_model_add_head(g->model, &h));
        berth_task_deinit(&h.task);
    }
}

/* The order of parameters is the order of their random streams, and the table's own. */
static void check_parameters(const struct golden *g) {
    char path[96];
    const int listed = (int)berth_json_count(g->cases, case_path(g, path, "parameters"));
    assert_int_equal(listed > 0 ? listed : case_int(g, "parameters"), g->model->parameter_count);
    for (int i = 0; i < listed; i++) {
        char key[64];
        snprintf(key, sizeof key, "parameters[%d]", i);
        assert_string_equal(g->model->parameters[i].name, case_text(g, key));
    }
}

static void put_items(struct golden *g, int head) {
    const char *name = g->model->heads[head].task.name;
    const struct berth_safetensor *index = need(g, name, "index"), *target = find(g, "%s.target", name);
    const int32_t *rows = index->data, *labels = need(g, name, "label")->data;
    const int64_t width = target != NULL ? target->shape[1] : 0;
    if (target != NULL) berth_batch_set_width(&g->batch, head, width);
    for (int64_t i = 0; i < index->count; i++) {
        float targets[16] = {0};
        assert_true(width <= 16);
        if (target != NULL)
            memcpy(targets, (const float *)target->data + i * width, (size_t)width * sizeof(float));
        const struct berth_item item = {.index = rows[i],
                                        .label = labels[i],
                                        .pair = -1,
                                        .negative = -1,
                                        .target = target != NULL ? targets : NULL};
        check_ok(berth_batch_put_item(&g->batch, head, &item));
    }
}

static void make_batch(struct golden *g) {
    const int32_t *tokens = find(g, "tokens")->data, *segments = find(g, "segments")->data;
    int64_t begin = 0;
    char path[96];
    const int sequences = (int)berth_json_count(g->cases, case_path(g, path, "lengths"));
    berth_batch_init(&g->batch);
    check_ok(berth_batch_reset(&g->batch, g->model->head_count));
    for (int i = 0; i < sequences; i++) {
        char key[32];
        snprintf(key, sizeof key, "lengths[%d]", i);
        int64_t length = case_int(g, key);
        check_ok(berth_batch_add_sequence(&g->batch, tokens + begin, segments + begin, length, i, 0, i));
        begin += length;
    }
    for (int head = 0; head < g->model->head_count; head++)
        put_items(g, head);
    check_ok(berth_batch_finish(&g->batch));
}

void golden_open(struct golden *g, const char *name, const char *folder) {
    golden_open_on(g, "cpu", name, folder);
}

void golden_open_on(struct golden *g, const char *device, const char *name, const char *folder) {
    *g = (struct golden){0};
    open_files(g, name);
    check_ok(berth_device_open(&g->device, device));
    check_ok(berth_tape_create(&g->tape, g->device));
    if (folder != NULL)
        check_ok(berth_model_load(&g->model, g->device, folder));
    else
        make_backbone(g);
    add_heads(g);
    check_ok(berth_model_allocate(g->model, 1));
    check_parameters(g);
    derive_some(g->model, (uint64_t)case_int(g, "seed"), golden_number(g, "scale"), folder == NULL ? 0 : 1);
    make_batch(g);
    double square = 0.0;
    for (int i = 0; i < g->model->parameter_count; i++) {
        const struct berth_safetensor *facts = find(g, "grad.%s.facts", g->model->parameters[i].name);
        assert_non_null(facts);
        square += double_at(facts, 0) * double_at(facts, 0);
    }
    g->all_gradients = sqrt(square);
}

void golden_close(struct golden *g) {
    berth_batch_deinit(&g->batch);
    berth_tape_free(g->tape);
    berth_model_free(g->model);
    berth_device_close(g->device);
    berth_safetensors_close(g->file);
    berth_json_free(g->cases);
}

/* ---- comparing */

enum { CHUNK = 1 << 16 }; /* elements of one partial sum */

/* Adds elements first .. first+count-1, first a multiple of 8. */
static void sketch_chunk(double sums[SKETCH_SIZE], const float *x, int64_t first, int64_t count) {
    for (int64_t i = first; i < first + count; i += 8) {
        const struct berth_philox_block r =
            berth_philox(SKETCH_SEED, 0, (uint32_t)(i / 8), (uint32_t)((uint64_t)(i / 8) >> 32), SKETCH_STREAM,
                         berth_philox_word3(BERTH_PURPOSE_TEST, 0, 0));
        for (int k = 0; k < 8 && i + k < first + count; k++) {
            const uint32_t half = r.w[k >> 1] >> (16 * (k & 1)) & 0xFFFFu;
            sums[half & 63] += half >> 15 != 0 ? -(double)x[i + k] : (double)x[i + k];
        }
    }
}

static void sketch(double sums[SKETCH_SIZE], const float *x, int64_t count) {
    const int64_t chunks = (count + CHUNK - 1) / CHUNK;
    double *parts = NULL;
    check_ok(berth_calloc(&parts, (size_t)chunks * SKETCH_SIZE, sizeof *parts));
#pragma omp parallel for schedule(static)
    for (int64_t c = 0; c < chunks; c++)
        sketch_chunk(parts + c * SKETCH_SIZE, x, c * CHUNK,
                     count - c * CHUNK < CHUNK ? count - c * CHUNK : CHUNK);
    memset(sums, 0, SKETCH_SIZE * sizeof *sums);
    for (int64_t i = 0; i < chunks * SKETCH_SIZE; i++)
        sums[i % SKETCH_SIZE] += parts[i];
    free(parts);
}

struct golden_distance golden_compare(const struct golden *g, const char *name, const float *x, int64_t count) {
    const struct berth_safetensor *facts = need(g, name, "facts"), *whole = find(g, "%s", name);
    struct golden_distance d = {.norm = double_at(facts, 0), .error = double_at(facts, 1)};
    double sums[SKETCH_SIZE], square = 0.0;
    assert_int_equal((int64_t)double_at(facts, 2), count);
    d.estimated = whole == NULL;
    if (d.estimated) sketch(sums, x, count);
    const struct berth_safetensor *kept = whole != NULL ? whole : need(g, name, "sketch");
    assert_string_equal(kept->dtype, "F64");
    for (int64_t i = 0; i < kept->count; i++) {
        const double difference = (whole != NULL ? (double)x[i] : sums[i]) - double_at(kept, i);
        square += difference * difference;
    }
    d.distance = sqrt(square);
    return d;
}

double golden_worst(const struct golden *g, const char *name, const float *x, int64_t count) {
    const struct berth_safetensor *r = find(g, "%s", name);
    double worst = 0.0;
    if (r == NULL || r->count != count) fail_msg("the golden file has no '%s' of %lld", name, (long long)count);
    for (int64_t i = 0; i < count; i++) {
        const double off = fabs((double)x[i] - double_at(r, i)) / fabs(double_at(r, i));
        if (!(off <= worst)) worst = off;
    }
    return worst;
}

/* ---- running */

struct viewer {
    const struct golden *g;
    golden_visit visit;
    void *user;
};

/* `count` floats of the device: a copy of them, as the device may have memory of its own. */
static void show_floats(const struct viewer *v, const char *name, const float *x, int64_t count) {
    float *copy = NULL;
    check_ok(berth_calloc(&copy, (size_t)count, sizeof *copy));
    check_ok(berth_device_download(v->g->device, copy, x, (size_t)count * sizeof *copy));
    v->visit(v->user, name, copy, count);
    free(copy);
}

static void show(const struct viewer *v, const struct berth_tensor *t, const char *fmt, ...) BERTH_PRINTF(3, 4);
static void show(const struct viewer *v, const struct berth_tensor *t, const char *fmt, ...) {
    char name[160];
    int64_t count = 1;
    va_list args;
    va_start(args, fmt);
    vsnprintf(name, sizeof name, fmt, args);
    va_end(args);
    for (int i = 0; i < t->rank; i++)
        count *= t->shape[i];
    show_floats(v, name, t->data, count);
}

static void show_states(struct golden *g, const struct viewer *v) {
    const struct berth_forward_options inference = {.training = false};
    struct berth_tensor *t = NULL;
    struct forward_run run = {.m = g->model, .tape = g->tape, .batch = &g->batch, .options = &inference};
    berth_tape_reset(g->tape, false);
    check_ok(forward_begin(&run));
    run.keeps = true;
    check_ok(forward_backbone(&run, &t));
    for (int layer = 0; layer <= run.layers; layer++)
        show(v, g->model->layers[layer], "hidden.%d", layer);
    for (int pooling = 0; pooling < 3; pooling++) {
        if (pooling == BERTH_POOL_POOLER && !g->model->config.pooler) continue;
        berth_tape_reset(g->tape, false);
        check_ok(berth_model_embed(g->model, g->tape, &g->batch, (enum berth_pooling)pooling, &t));
        assert_int_equal(t->rank, 2);
        assert_int_equal(t->shape[0], g->batch.sequence_count);
        assert_int_equal(t->shape[1], g->model->config.hidden);
        show(v, t, "pooled.%s", berth_pooling_name((enum berth_pooling)pooling));
    }
}

void golden_run(struct golden *g, golden_visit visit, void *user) {
    struct gradients grads;
    struct berth_tensor *logits[8], *losses[8], *loss = NULL;
    char name[160];
    assert_true(g->model->head_count <= 8);
    const struct viewer view = {g, visit, user}, *v = &view;
    show_states(g, v);
    gradients_init(&grads, g->model);
    const struct berth_forward_options options = {.training = false, .gradients = grads.pointers};
    const int64_t passes = g->model->backbone_passes;
    berth_tape_reset(g->tape, true);
    check_ok(total_loss(g->model, g->tape, &g->batch, &options, losses, logits, &loss));
    assert_int_equal(g->model->backbone_passes, passes + 1);
    for (int i = 0; i < g->model->head_count; i++) {
        const char *head = g->model->heads[i].task.name;
        show(v, logits[i], "%s.logits", head);
        show(v, losses[i], "%s.losses", head);
    }
    show(v, loss, "loss");
    check_ok(berth_tape_backward(g->tape, loss));
    for (int i = 0; i < g->model->parameter_count; i++) {
        const struct berth_parameter *p = &g->model->parameters[i];
        snprintf(name, sizeof name, "grad.%s", p->name);
        show_floats(v, name, grads.pointers[i], p->count);
    }
    gradients_deinit(&grads, g->model);
}
