/* support_model.c: golden cases, derived weights, batches and folders for the tests of the model. */
#include "model/support_model.h"

#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "berth/file.h"

char *model_path(const char *folder, const char *name) {
    char *path = NULL;
    check_ok(berth_path_join(&path, folder, name));
    return path;
}

char *model_temp_folder(void) {
    const char *root = getenv("TMPDIR");
    char *path = model_path(root != NULL && root[0] != '\0' ? root : "/tmp", "berth-model-XXXXXX");
    assert_non_null(mkdtemp(path));
    return path;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void model_temp_remove(char *folder) {
    assert_int_equal(nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
    free(folder);
}

void model_put_text(const char *folder, const char *name, const char *text) {
    char *path = model_path(folder, name);
    check_ok(berth_file_put(path, text, strlen(text)));
    free(path);
}

char *model_read_text(const char *folder, const char *name) {
    char *path = model_path(folder, name), *text = NULL;
    check_ok(berth_file_read(&text, NULL, path));
    free(path);
    return text;
}

static struct berth_str captured;

static void capture(void *user, enum berth_log_level level, const char *line) {
    (void)user;
    (void)level;
    berth_str_addf(&captured, "%s\n", line);
}

void log_capture_begin(void) {
    berth_str_init(&captured);
    berth_str_add(&captured, "");
    berth_log_set(capture, NULL, BERTH_LOG_DEBUG);
}

char *log_capture_end(void) {
    char *text = NULL;
    berth_log_set(NULL, NULL, BERTH_LOG_ERROR);
    check_ok(berth_str_take(&captured, &text));
    return text;
}

/* ---- derived values: scripts/make_model_golden.py, `derived` */

static void derive(float *to, const struct berth_parameter *p, uint64_t seed, uint32_t number, double scale) {
    const double offset = p->is_norm && !p->is_bias ? 1.0 : 0.0;
    const double factor = p->is_bias ? 0.2 : p->is_norm ? 0.5 : scale;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < p->count; i++) {
        uint32_t word = berth_random_u32(seed, BERTH_PURPOSE_TEST, number, (uint64_t)i);
        to[i] = (float)(offset + factor * ((double)(word >> 8) * 0x1p-24 - 0.5));
    }
}

void derive_values(struct berth_model *m, uint64_t seed, double scale) {
    for (int i = 0; i < m->parameter_count; i++) {
        const struct berth_parameter *p = &m->parameters[i];
        float *values = NULL;
        check_ok(berth_calloc(&values, (size_t)p->count, sizeof *values));
        derive(values, p, seed, (uint32_t)i, scale);
        check_ok(berth_model_set(m, i, values));
        free(values);
    }
}

float *values_of(const struct berth_model *m, const char *name) {
    float *values = NULL;
    int index = berth_model_find(m, name);
    if (index < 0) fail_msg("the model has no parameter '%s'", name);
    check_ok(berth_calloc(&values, (size_t)m->parameters[index].count, sizeof *values));
    check_ok(berth_model_get(m, index, values));
    return values;
}

/* ---- small models */

void small_config(struct berth_model_config *c, const char *model_type) {
    berth_model_config_init(c);
    check_ok(berth_strdup(&c->model_type, model_type));
    c->layers = 2;
    c->hidden = 24;
    c->heads = 3;
    c->intermediate = 40;
    c->vocab_size = 50;
    c->positions = 20;
    if (model_is_distilbert(c)) {
        c->segments = 0;
        c->pooler = false;
    }
}

struct berth_model *small_model(struct berth_device *dev, const char *model_type) {
    struct berth_model_config c;
    struct berth_model *m = NULL;
    small_config(&c, model_type);
    check_ok(berth_model_create(&m, dev, &c));
    berth_model_config_deinit(&c);
    return m;
}

void small_head(struct berth_head *h, const char *name, enum berth_task_kind kind, enum berth_pooling pooling,
                int classes) {
    *h = (struct berth_head){.task.kind = kind, .pooling = pooling, .dropout = -1.0f};
    berth_labels_init(&h->task.labels);
    check_ok(berth_strdup(&h->task.name, name));
    for (int k = 0; k < classes; k++) {
        char label[16];
        snprintf(label, sizeof label, "l%d", k);
        check_ok(berth_labels_add(&h->task.labels, label, NULL));
    }
}

void small_add_head(struct berth_model *m, const char *name, enum berth_task_kind kind,
                    enum berth_pooling pooling, int classes) {
    struct berth_head h;
    small_head(&h, name, kind, pooling, classes);
    check_ok(berth_model_add_head(m, &h));
    berth_task_deinit(&h.task);
}

void small_batch(struct berth_batch *b, const struct berth_model *m, const int64_t *lengths, int count) {
    int32_t tokens[256], segments[256];
    check_ok(berth_batch_reset(b, m->head_count));
    for (int s = 0; s < count; s++) {
        assert_true(lengths[s] <= 256);
        for (int64_t i = 0; i < lengths[s]; i++) {
            uint32_t word = berth_random_u32(3, BERTH_PURPOSE_TEST, (uint32_t)s, (uint64_t)i);
            tokens[i] = (int32_t)(word % (uint32_t)m->config.vocab_size);
            segments[i] = m->config.segments > 1 ? (int32_t)(word >> 16 & 1) : 0;
        }
        check_ok(berth_batch_add_sequence(b, tokens, segments, lengths[s], s, 0, s));
    }
    for (int head = 0; head < m->head_count; head++) {
        const bool rows = m->heads[head].task.kind == BERTH_TASK_TAGGING;
        const int64_t items = rows ? b->tokens_count : b->sequence_count;
        for (int64_t i = 0; i < items; i++) {
            uint32_t word = berth_random_u32(4, BERTH_PURPOSE_TEST, (uint32_t)head, (uint64_t)i);
            int32_t label = (int32_t)(word % (uint32_t)m->heads[head].task.labels.count);
            check_ok(berth_batch_add_item(b, head, (int32_t)i, label));
        }
    }
    check_ok(berth_batch_finish(b));
}

/* ---- golden cases */

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

static double case_number(const struct golden *g, const char *key) {
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

static void make_model(struct golden *g) {
    struct berth_model_config c;
    const char *activation = case_text(g, "activation");
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
    c.activation = strcmp(activation, "gelu_new") == 0 ? BERTH_ACT_GELU_TANH : BERTH_ACT_GELU;
    check_ok(berth_model_create(&g->model, g->device, &c));
    berth_model_config_deinit(&c);
    char key[64];
    for (int i = 0; i < (int)berth_json_count(g->cases, case_path(g, (char[96]){0}, "tasks")); i++) {
        struct berth_head h;
        enum berth_pooling pooling = BERTH_POOL_CLS;
        snprintf(key, sizeof key, "tasks[%d].pooling", i);
        assert_true(berth_pooling_parse(case_text(g, key), &pooling));
        snprintf(key, sizeof key, "tasks[%d].type", i);
        const bool tagging = strcmp(case_text(g, key), "tagging") == 0;
        snprintf(key, sizeof key, "tasks[%d].classes", i);
        const int classes = (int)case_int(g, key);
        snprintf(key, sizeof key, "tasks[%d].name", i);
        small_head(&h, case_text(g, key), tagging ? BERTH_TASK_TAGGING : BERTH_TASK_CLASSIFICATION, pooling,
                   classes);
        snprintf(key, sizeof key, "tasks[%d].smoothing", i);
        h.label_smoothing = (float)case_number(g, key);
        check_ok(berth_model_add_head(g->model, &h));
        berth_task_deinit(&h.task);
    }
    check_ok(berth_model_allocate(g->model, 1));
}

/* The order of parameters is the order of their random streams, and the table's own. */
static void check_parameters(const struct golden *g) {
    char path[96];
    assert_int_equal(berth_json_count(g->cases, case_path(g, path, "parameters")), g->model->parameter_count);
    for (int i = 0; i < g->model->parameter_count; i++) {
        char key[64];
        snprintf(key, sizeof key, "parameters[%d]", i);
        assert_string_equal(g->model->parameters[i].name, case_text(g, key));
    }
}

static void make_batch(struct golden *g) {
    const int32_t *tokens = golden_tensor(g, "tokens")->data, *segments = golden_tensor(g, "segments")->data;
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
    for (int head = 0; head < g->model->head_count; head++) {
        const char *name = g->model->heads[head].task.name;
        const struct berth_safetensor *index = golden_tensor(g, "%s.index", name);
        const int32_t *rows = index->data, *labels = golden_tensor(g, "%s.label", name)->data;
        for (int64_t i = 0; i < index->count; i++)
            check_ok(berth_batch_add_item(&g->batch, head, rows[i], labels[i]));
    }
    check_ok(berth_batch_finish(&g->batch));
}

void golden_open(struct golden *g, const char *name) {
    *g = (struct golden){0};
    open_files(g, name);
    check_ok(berth_device_open(&g->device, "cpu"));
    check_ok(berth_tape_create(&g->tape, g->device));
    make_model(g);
    check_parameters(g);
    derive_values(g->model, (uint64_t)case_int(g, "seed"), case_number(g, "scale"));
    make_batch(g);
}

void golden_close(struct golden *g) {
    berth_batch_deinit(&g->batch);
    berth_tape_free(g->tape);
    berth_model_free(g->model);
    berth_device_close(g->device);
    berth_safetensors_close(g->file);
    berth_json_free(g->cases);
}

const struct berth_safetensor *golden_tensor(const struct golden *g, const char *fmt, ...) {
    char name[160];
    va_list args;
    va_start(args, fmt);
    vsnprintf(name, sizeof name, fmt, args);
    va_end(args);
    const struct berth_safetensor *t = berth_safetensors_find(g->file, name);
    if (t == NULL) fail_msg("the golden file has no '%s'", name);
    return t;
}

void golden_distance(const float *x, const struct berth_safetensor *r, double *distance, double *norm) {
    double difference = 0.0, square = 0.0;
    for (int64_t i = 0; i < r->count; i++) {
        float value = 0.0f;
        memcpy(&value, (const unsigned char *)r->data + i * 4, sizeof value);
        difference += ((double)x[i] - (double)value) * ((double)x[i] - (double)value);
        square += (double)value * (double)value;
    }
    *distance = sqrt(difference);
    *norm = sqrt(square);
}
