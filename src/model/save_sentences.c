/* save_sentences.c: what sentence-transformers reads to embed with a model folder, beside the model itself:
 *
 *     modules.json                    Transformer -> Pooling (-> Dense) (-> Normalize), a folder each
 *     sentence_bert_config.json       max_seq_length
 *     1_Pooling/config.json           cls or mean
 *     2_Dense/                        BERT's pooler, tanh(W cls + b), as the module that computes the same
 *     2_Normalize/ or 3_Normalize/    empty but for its name */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "berth/file.h"
#include "model/model_priv.h"

#define MODULE "sentence_transformers.models."

static void add_module(struct berth_str *s, int number, const char *type, const char *suffix) {
    berth_str_addf(s, "%s\n  {\"idx\": %d, \"name\": \"%d\", \"path\": \"", number == 0 ? "" : ",", number,
                   number);
    if (number > 0) berth_str_addf(s, "%d_%s", number, suffix);
    berth_str_addf(s, "\", \"type\": \"" MODULE "%s\"}", type);
}

/* Makes folder/name and writes config.json there. */
static berth_status put_module(const char *folder, const char *name, const char *config) {
    berth_status status = BERTH_OK;
    char *path = NULL;
    BERTH_TRY(berth_path_join(&path, folder, name));
    if (mkdir(path, 0777) != 0) BERTH_FAIL_OUT(BERTH_E_IO, "%s: cannot be made: %s", path, strerror(errno));
    BERTH_TRY_OUT(save_text(path, "config.json", config));
out:
    free(path);
    return status;
}

static berth_status put_text(const char *folder, const char *name, struct berth_str *s) {
    char *text = NULL;
    BERTH_TRY(berth_str_take(s, &text));
    berth_status status = save_text(folder, name, text);
    free(text);
    return status;
}

static berth_status put_pooling(const struct berth_model *m, enum berth_pooling pooling, const char *folder) {
    char config[512];
    const bool mean = pooling == BERTH_POOL_MEAN;
    snprintf(config, sizeof config,
             "{\n  \"word_embedding_dimension\": %lld,\n  \"pooling_mode_cls_token\": %s,\n"
             "  \"pooling_mode_mean_tokens\": %s,\n  \"pooling_mode_max_tokens\": false,\n"
             "  \"pooling_mode_mean_sqrt_len_tokens\": false\n}\n",
             (long long)m->config.hidden, mean ? "false" : "true", mean ? "true" : "false");
    return put_module(folder, "1_Pooling", config);
}

static berth_status put_dense(const struct berth_model *m, const struct berth_save_options *options,
                              const char *folder) {
    berth_status status = BERTH_OK;
    char config[256], *path = NULL;
    float *values = NULL;
    const long long hidden = m->config.hidden;
    const struct berth_parameter *weight = &m->parameters[berth_model_find(m, "pooler.dense.weight")],
                                 *bias = weight + 1;
    snprintf(config, sizeof config,
             "{\"in_features\": %lld, \"out_features\": %lld, \"bias\": true, "
             "\"activation_function\": \"torch.nn.modules.activation.Tanh\"}\n",
             hidden, hidden);
    BERTH_TRY_OUT(put_module(folder, "2_Dense", config));
    BERTH_TRY_OUT(berth_calloc(&values, (size_t)(weight->count + bias->count), sizeof *values));
    BERTH_TRY_OUT(berth_model_get(m, (int)(weight - m->parameters), values));
    BERTH_TRY_OUT(berth_model_get(m, (int)(bias - m->parameters), values + weight->count));
    const struct berth_safetensor_out out[] = {
        {.name = "linear.weight", .rank = 2, .shape = weight->shape, .data = values, .dtype = options->dtype},
        {.name = "linear.bias",
         .rank = 1,
         .shape = bias->shape,
         .data = values + weight->count,
         .dtype = options->dtype},
    };
    BERTH_TRY_OUT(berth_path_join(&path, folder, "2_Dense/model.safetensors"));
    BERTH_TRY_OUT(berth_safetensors_write(path, out, 2));
out:
    free(path);
    free(values);
    return status;
}

berth_status save_sentences(const struct berth_model *m, const struct berth_save_options *options,
                            const char *folder) {
    berth_status status = BERTH_OK;
    struct berth_str modules, settings;
    int number = 0;
    berth_str_init(&modules);
    berth_str_init(&settings);
    BERTH_TRY_OUT(pooling_check(m, options->pooling, "a folder for sentence-transformers"));
    berth_str_add(&modules, "[");
    add_module(&modules, number++, "Transformer", "");
    add_module(&modules, number++, "Pooling", "Pooling");
    BERTH_TRY_OUT(put_pooling(m, options->pooling, folder));
    if (options->pooling == BERTH_POOL_POOLER) {
        add_module(&modules, number++, "Dense", "Dense");
        BERTH_TRY_OUT(put_dense(m, options, folder));
    }
    if (options->normalize) {
        char name[32];
        snprintf(name, sizeof name, "%d_Normalize", number);
        BERTH_TRY_OUT(put_module(folder, name, "{}\n"));
        add_module(&modules, number++, "Normalize", "Normalize");
    }
    berth_str_add(&modules, "\n]\n");
    BERTH_TRY_OUT(put_text(folder, "modules.json", &modules));
    berth_str_addf(&settings, "{\n  \"max_seq_length\": %lld,\n  \"do_lower_case\": false\n}\n",
                   (long long)(options->max_length > 0 ? options->max_length : m->config.positions));
    BERTH_TRY_OUT(put_text(folder, "sentence_bert_config.json", &settings));
out:
    berth_str_deinit(&modules);
    berth_str_deinit(&settings);
    return status;
}
