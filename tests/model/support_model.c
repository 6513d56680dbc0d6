/* support_model.c: derived weights, batches, losses and folders for the tests of the model. */
#include "model/support_model.h"

#include <math.h>
#include <stdio.h>

#include "berth/file.h"
#include "support/temp_folder.h"

char *model_path(const char *folder, const char *name) {
    char *path = NULL;
    check_ok(berth_path_join(&path, folder, name));
    return path;
}

char *model_temp_folder(void) {
    return test_folder_make("model");
}

void model_temp_remove(char *folder) {
    test_folder_remove(folder);
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

/* ---- derived values: scripts/model_reference.py, `derived` */

static void derive(float *to, const struct berth_parameter *p, uint64_t seed, uint32_t number, double scale) {
    const bool gain = p->init == BERTH_INIT_ONE;
    const double offset = gain ? 1.0 : 0.0, factor = gain ? 0.5 : p->is_bias ? 0.2 : scale;
#pragma omp parallel for schedule(static)
    for (int64_t block = 0; block < (p->count + 3) / 4; block++) {
        const struct berth_philox_block r =
            berth_philox((uint32_t)seed, (uint32_t)(seed >> 32), (uint32_t)block, (uint32_t)(block >> 32),
                         number, berth_philox_word3(BERTH_PURPOSE_TEST, 0, 0));
        for (int64_t i = 4 * block; i < 4 * block + 4 && i < p->count; i++)
            to[i] = (float)(offset + factor * ((double)(r.w[i % 4] >> 8) * 0x1p-24 - 0.5));
    }
}

void derive_some(struct berth_model *m, uint64_t seed, double scale, int first_owner) {
    for (int i = 0; i < m->parameter_count; i++) {
        const struct berth_parameter *p = &m->parameters[i];
        if (p->owner < first_owner) continue;
        float *values = NULL;
        check_ok(berth_calloc(&values, (size_t)p->count, sizeof *values));
        derive(values, p, seed, (uint32_t)i, scale);
        check_ok(berth_model_set(m, i, values));
        free(values);
    }
}

void derive_values(struct berth_model *m, uint64_t seed, double scale) {
    derive_some(m, seed, scale, 0);
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

/* ---- gradients and the loss */

void gradients_init(struct gradients *g, const struct berth_model *m) {
    check_ok(berth_device_alloc(m->device, &g->buffer, (size_t)m->total * sizeof(float)));
    check_ok(berth_device_zero(m->device, g->buffer, (size_t)m->total * sizeof(float)));
    check_ok(berth_calloc(&g->pointers, (size_t)m->parameter_count, sizeof *g->pointers));
    for (int i = 0; i < m->parameter_count; i++)
        g->pointers[i] = g->buffer + m->parameters[i].offset;
}

void gradients_deinit(struct gradients *g, const struct berth_model *m) {
    berth_device_free(m->device, g->buffer, (size_t)m->total * sizeof(float));
    free(g->pointers);
}

berth_status total_loss(struct berth_model *m, struct berth_tape *tape, const struct berth_batch *b,
                        const struct berth_forward_options *options, struct berth_tensor **losses,
                        struct berth_tensor **logits, struct berth_tensor **out) {
    BERTH_TRY(berth_model_forward(m, tape, b, options, logits));
    *out = NULL;
    for (int i = 0; i < m->head_count; i++) {
        struct berth_tensor *mean = NULL, *sum = NULL;
        int64_t labelled = 0;
        for (int64_t k = 0; k < b->items[i].count; k++)
            labelled += b->items[i].label[k] >= 0;
        BERTH_TRY(berth_model_head_loss(m, tape, i, logits[i], b, &losses[i]));
        BERTH_TRY(berth_op_scaled_sum(tape, &mean, losses[i], 1.0f / (float)labelled));
        if (*out == NULL) {
            *out = mean;
            continue;
        }
        BERTH_TRY(berth_op_add(tape, &sum, *out, mean));
        *out = sum;
    }
    return BERTH_OK;
}
