/* params.c: the flat buffer of values: filled from a loaded folder, or drawn.
 *
 * A drawn value is a pure function of (seed, parameter's name, place in the parameter):
 *
 *     z = normal(seed, BERTH_PURPOSE_INIT, stream = berth_hash_name(name), position = i)
 *
 * and becomes (float)(init_range * z). So a backbone keeps its first values when heads are added, and heads
 * theirs when others join. The distribution is the reference library's: a plain normal, 0 for biases and for
 * the padding token's row, 1 for norm gains. (Devlin et al.'s own code cut the normal at two deviations.) */
#include <stdlib.h>
#include <string.h>

#include "model/model_priv.h"

enum { FILL_CHUNK = 1 << 20 }; /* values made on the host before they are sent */

static void draw_normal(float *to, int64_t first, int64_t count, uint64_t seed, const char *name,
                        double deviation) {
    const uint32_t stream = berth_hash_name(name);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < count; i++)
        to[i] =
            (float)(deviation * berth_random_normal(seed, BERTH_PURPOSE_INIT, stream, (uint64_t)(first + i)));
}

/* Zeroes the part of row `row` that lies in values first .. first+count-1. */
static void clear_row(float *to, int64_t first, int64_t count, int64_t row, int64_t columns) {
    for (int64_t i = row * columns; i < (row + 1) * columns; i++) {
        if (i >= first && i < first + count) to[i - first] = 0.0f;
    }
}

static void draw(float *to, int64_t first, int64_t count, const struct berth_model *m,
                 const struct berth_parameter *p, uint64_t seed) {
    if (p->init == BERTH_INIT_NORMAL && m->config.init_range > 0.0f) {
        draw_normal(to, first, count, seed, p->name, (double)m->config.init_range);
        if (p == &m->parameters[0]) clear_row(to, first, count, m->config.pad_token, m->config.hidden);
        return;
    }
    const float value = p->init == BERTH_INIT_ONE ? 1.0f : 0.0f;
    for (int64_t i = 0; i < count; i++)
        to[i] = value;
}

static berth_status fill_parameter(struct berth_model *m, struct berth_parameter *p, uint64_t seed,
                                   float *chunk) {
    const struct model_source *source = model_pending_find(m->pending, p->name);
    if (source == NULL && p->owner > 0) source = head_mlm_source(m, p);
    for (int64_t first = 0; first < p->count; first += FILL_CHUNK) {
        int64_t count = p->count - first < FILL_CHUNK ? p->count - first : FILL_CHUNK;
        if (source != NULL) {
            tensor_to_float(chunk, source->tensor, first, count);
        } else {
            draw(chunk, first, count, m, p, seed);
        }
        BERTH_TRY(berth_device_upload(m->device, m->values + p->offset + first, chunk,
                                      (size_t)count * sizeof(float)));
    }
    p->loaded = source != NULL;
    return BERTH_OK;
}

/* A BERT folder without a pooler gets one when a head asks for it; DistilBERT's class has none, there it must
 * be wished for (berth_model_new_pooler). */
static berth_status settle_pooler(struct berth_model *m) {
    for (int i = 0; i < m->head_count; i++) {
        const struct berth_head *head = &m->heads[i];
        if (!head_kind_of(head)->pools || head->pooling != BERTH_POOL_POOLER) continue;
        if (m->config.pooler) return BERTH_OK;
        char what[160];
        snprintf(what, sizeof what, "head '%.100s'", head->task.name);
        if (model_is_distilbert(&m->config)) return pooling_check(m, head->pooling, what);
        berth_log(BERTH_LOG_WARN, "%s: the backbone has no pooler.dense; a fresh one is drawn", what);
        m->config.pooler = true;
    }
    return BERTH_OK;
}

berth_status berth_model_new_pooler(struct berth_model *m) {
    BERTH_ASSERT_MSG(m->values == NULL, "the parameters are already there");
    if (m->pending != NULL) model_pending_forget(m->pending, "pooler."); /* the folder's own is not wanted */
    m->config.pooler = true;
    return param_spec_build(m);
}

berth_status berth_model_keep_layers(struct berth_model *m, int64_t count) {
    BERTH_ASSERT_MSG(m->values == NULL, "the parameters are already there");
    if (count < 1 || count > m->config.layers)
        BERTH_FAIL(BERTH_E_USAGE, "%lld layers cannot be kept: this backbone has %lld", (long long)count,
                   (long long)m->config.layers);
    m->config.layers = count;
    return param_spec_build(m);
}

berth_status berth_model_allocate(struct berth_model *m, uint64_t seed) {
    berth_status status = BERTH_OK;
    float *chunk = NULL;
    BERTH_ASSERT_MSG(m->values == NULL, "the parameters are already there");
    BERTH_TRY_OUT(settle_pooler(m));
    BERTH_TRY_OUT(param_spec_build(m));
    BERTH_TRY_OUT(berth_calloc(&chunk, FILL_CHUNK, sizeof *chunk));
    BERTH_TRY_OUT(head_check_all(m));
    free(m->pooled);
    free(m->layers);
    free(m->tables);
    m->pooled = m->layers = m->tables = NULL;
    BERTH_TRY_OUT(berth_calloc(&m->tables, 3 * (size_t)m->head_count, sizeof *m->tables));
    BERTH_TRY_OUT(berth_calloc(&m->pooled, (size_t)m->head_count, sizeof *m->pooled));
    BERTH_TRY_OUT(berth_calloc(&m->layers, (size_t)m->config.layers + 1, sizeof *m->layers));
    const size_t bytes = (size_t)m->total * sizeof(float);
    BERTH_TRY_OUT(berth_device_alloc(m->device, &m->values, bytes));
    BERTH_TRY_OUT(
        berth_device_zero(m->device, m->values, bytes)); /* gaps too: the buffer is hashed and stored whole */
    for (int i = 0; i < m->parameter_count; i++)
        BERTH_TRY_OUT(fill_parameter(m, &m->parameters[i], seed, chunk));
    BERTH_TRY_OUT(berth_device_synchronize(m->device));
    model_pending_free(m->pending);
    m->pending = NULL;
out:
    free(chunk);
    if (status != BERTH_OK && m->values != NULL) {
        berth_device_free(m->device, m->values, (size_t)m->total * sizeof(float));
        m->values = NULL;
    }
    return status;
}

berth_status berth_model_set_precision(struct berth_model *m, enum berth_dtype precision) {
    const size_t bytes = (size_t)m->total * 2;
    BERTH_ASSERT_MSG(m->values != NULL, "the model has no values yet: berth_model_allocate");
    if (precision == BERTH_F32) {
        berth_device_free(m->device, m->half, bytes);
        m->half = NULL;
        return BERTH_OK;
    }
    if (!berth_device_supports(m->device, "gemm", BERTH_BF16))
        BERTH_FAIL(BERTH_E_UNSUPPORTED,
                   "device %s (%s) has no bf16 units (a processor: AVX512_BF16 or AMX); take fp32, or let "
                   "precision_fallback: fp32 do so where they are missing",
                   m->device->backend->name, berth_cpu_name());
    return m->half != NULL ? BERTH_OK : berth_device_alloc(m->device, &m->half, bytes);
}

static const struct berth_parameter *parameter_at(const struct berth_model *m, int parameter) {
    BERTH_ASSERT_MSG(parameter >= 0 && parameter < m->parameter_count, "parameter %d of %d", parameter,
                     m->parameter_count);
    BERTH_ASSERT_MSG(m->values != NULL, "the model has no values yet: berth_model_allocate");
    return &m->parameters[parameter];
}

berth_status berth_model_get(const struct berth_model *m, int parameter, float *to) {
    const struct berth_parameter *p = parameter_at(m, parameter);
    BERTH_TRY(berth_device_download(m->device, to, m->values + p->offset, (size_t)p->count * sizeof(float)));
    return berth_device_synchronize(m->device);
}

berth_status berth_model_set(struct berth_model *m, int parameter, const float *from) {
    const struct berth_parameter *p = parameter_at(m, parameter);
    BERTH_TRY(berth_device_upload(m->device, m->values + p->offset, from, (size_t)p->count * sizeof(float)));
    return berth_device_synchronize(m->device);
}

berth_status berth_model_create(struct berth_model **out, struct berth_device *dev,
                                const struct berth_model_config *config) {
    berth_status status = BERTH_OK;
    struct berth_model *m = NULL;
    BERTH_TRY(model_config_check(config, BERTH_E_USAGE, "the new backbone"));
    BERTH_TRY(berth_calloc(&m, 1, sizeof *m));
    m->device = dev;
    BERTH_TRY_OUT(berth_model_config_copy(&m->config, config));
    BERTH_TRY_OUT(param_spec_build(m));
    *out = m;
    m = NULL;
out:
    berth_model_free(m);
    return status;
}

void berth_model_free(struct berth_model *m) {
    if (m == NULL) return;
    berth_device_free(m->device, m->half, (size_t)m->total * 2);
    berth_device_free(m->device, m->values, (size_t)m->total * sizeof(float));
    param_spec_clear(m);
    for (int i = 0; i < m->head_count; i++)
        head_deinit(&m->heads[i]);
    free(m->heads);
    free(m->scratch);
    free(m->pooled);
    free(m->layers);
    free(m->tables);
    free(m->pairs);
    free(m->pass);
    model_pending_free(m->pending);
    berth_model_config_deinit(&m->config);
    free(m);
}
