/* sentence_settings.c: how a folder of sentence-transformers wants its embeddings made: the other direction of
 * save_sentences.c.
 *
 *     modules.json                  the modules in their order: Transformer, Pooling, (Dense,) (Normalize)
 *     N_Pooling/config.json         pooling_mode_cls_token, pooling_mode_mean_tokens, ...; or "pooling_mode":
 * "mean" N_Dense/                      BERT's pooler where it is that: tanh, and the weights of pooler.dense
 *     sentence_bert_config.json     max_seq_length
 *
 * Anything else would give other numbers than the library's: it is refused, not passed over. */
#include <stdlib.h>
#include <string.h>

#include "berth/file.h"
#include "model/model_priv.h"

/* FOLDER/SUB/NAME; sub may be "". */
static berth_status join(char **out, const char *folder, const char *sub, const char *name) {
    char *inner = NULL;
    if (sub[0] == '\0') return berth_path_join(out, folder, name);
    if (strstr(sub, "..") != NULL || sub[0] == '/')
        BERTH_FAIL(BERTH_E_FORMAT, "%s/modules.json: the path '%.60s' leads out of the folder", folder, sub);
    BERTH_TRY(berth_path_join(&inner, folder, sub));
    berth_status status = berth_path_join(out, inner, name);
    free(inner);
    return status;
}

/* The words of 1_Pooling/config.json for what is switched on; one of ours, or a refusal. */
static berth_status read_mode(enum berth_pooling *out, const struct berth_json *j, const char *path) {
    static const struct {
        const char *key, *word;
    } MODES[] = {{"pooling_mode_cls_token", "cls"},
                 {"pooling_mode_mean_tokens", "mean"},
                 {"pooling_mode_max_tokens", "max"},
                 {"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens"},
                 {"pooling_mode_weightedmean_tokens", "weightedmean"},
                 {"pooling_mode_lasttoken", "lasttoken"}};
    const char *word = NULL;
    int modes = 0;
    if (berth_json_count(j, "pooling_mode") > 1) modes = 2; /* a list: several vectors side by side */
    if (modes == 0 && berth_json_has(j, "pooling_mode")) {
        const bool listed = berth_json_has(j, "pooling_mode[0]");
        BERTH_TRY(berth_json_string(&word, j, listed ? "pooling_mode[0]" : "pooling_mode"));
        modes = 1;
    }
    for (size_t i = 0; !berth_json_has(j, "pooling_mode") && i < sizeof MODES / sizeof MODES[0]; i++) {
        bool on = false;
        BERTH_TRY(berth_json_bool_or(&on, j, MODES[i].key, false));
        if (!on) continue;
        modes++;
        word = MODES[i].word;
    }
    if (modes != 1)
        BERTH_FAIL(BERTH_E_UNSUPPORTED, "%s: %s, berth pools by one of them: cls or mean", path,
                   modes == 0 ? "no pooling mode is on" : "several pooling modes are on");
    if (strcmp(word, "cls") != 0 && strcmp(word, "mean") != 0)
        BERTH_FAIL(BERTH_E_UNSUPPORTED, "%s: the pooling mode is '%.40s', berth has cls and mean", path, word);
    *out = strcmp(word, "cls") == 0 ? BERTH_POOL_CLS : BERTH_POOL_MEAN;
    return BERTH_OK;
}

static berth_status read_pooling(enum berth_pooling *out, const char *folder, const char *sub) {
    berth_status status = BERTH_OK;
    struct berth_json *j = NULL;
    char *path = NULL;
    BERTH_TRY_OUT(join(&path, folder, sub, "config.json"));
    BERTH_TRY_OUT(berth_json_load(&j, path));
    BERTH_TRY_OUT(read_mode(out, j, path));
out:
    free(path);
    berth_json_free(j);
    return status;
}

static bool same_bytes(const struct berth_safetensor *a, const struct berth_safetensor *b) {
    return a != NULL && b != NULL && a->bytes == b->bytes && strcmp(a->dtype, b->dtype) == 0 &&
           memcmp(a->data, b->data, a->bytes) == 0;
}

/* The tensor of the folder that berth reads as `name`. */
static berth_status find_tensor(const struct berth_safetensor **out, const struct model_weights *w,
                                const char *name) {
    struct berth_str read;
    berth_str_init(&read);
    *out = NULL;
    for (size_t i = 0; i < w->count && *out == NULL; i++) {
        berth_str_reset(&read);
        if (tensor_name_read(w->tensors[i]->name, &read) == TENSOR_WANTED && !read.failed &&
            strcmp(read.data, name) == 0)
            *out = w->tensors[i];
    }
    berth_str_deinit(&read);
    return BERTH_OK;
}

/* Whether a Dense module is the backbone's own pooler. */
static berth_status is_pooler(bool *out, const char *folder, const char *sub) {
    berth_status status = BERTH_OK;
    struct berth_json *j = NULL;
    struct berth_safetensors *dense = NULL;
    struct model_weights weights = {0};
    const struct berth_safetensor *weight = NULL, *bias = NULL;
    const char *activation = NULL;
    char *config = NULL, *path = NULL;
    *out = false;
    BERTH_TRY_OUT(join(&config, folder, sub, "config.json"));
    BERTH_TRY_OUT(berth_json_load(&j, config));
    BERTH_TRY_OUT(berth_json_string_or(&activation, j, "activation_function", ""));
    BERTH_TRY_OUT(join(&path, folder, sub, "model.safetensors"));
    if (strcmp(activation, "torch.nn.modules.activation.Tanh") != 0 || !berth_file_exists(path)) goto out;
    BERTH_TRY_OUT(berth_safetensors_open(&dense, path));
    BERTH_TRY_OUT(weights_open(&weights, folder));
    BERTH_TRY_OUT(find_tensor(&weight, &weights, "pooler.dense.weight"));
    BERTH_TRY_OUT(find_tensor(&bias, &weights, "pooler.dense.bias"));
    *out = same_bytes(berth_safetensors_find(dense, "linear.weight"), weight) &&
           same_bytes(berth_safetensors_find(dense, "linear.bias"), bias);
out:
    free(config);
    free(path);
    berth_json_free(j);
    berth_safetensors_close(dense);
    weights_close(&weights);
    return status;
}

/* The last word of "sentence_transformers.models.Pooling". */
static const char *last_word(const char *type) {
    const char *dot = strrchr(type, '.');
    return dot == NULL ? type : dot + 1;
}

static berth_status read_module(struct berth_sentence_settings *s, const struct berth_json *j, const char *path,
                                int number, const char *folder) {
    char at[32];
    const char *type = NULL, *sub = NULL;
    bool pooler = false;
    snprintf(at, sizeof at, "[%d].type", number);
    BERTH_TRY(berth_json_string(&type, j, at));
    snprintf(at, sizeof at, "[%d].path", number);
    BERTH_TRY(berth_json_string_or(&sub, j, at, ""));
    const char *word = last_word(type);
    if (number == 0 && strcmp(word, "Transformer") == 0) {
        if (sub[0] == '\0') return BERTH_OK;
        BERTH_FAIL(BERTH_E_UNSUPPORTED, "%s: the model lies in the folder '%.60s': give that one", path, sub);
    }
    if (number == 1 && strcmp(word, "Pooling") == 0) return read_pooling(&s->pooling, folder, sub);
    if (number == 2 && strcmp(word, "Dense") == 0 && s->pooling == BERTH_POOL_CLS) {
        BERTH_TRY(is_pooler(&pooler, folder, sub));
        if (pooler) s->pooling = BERTH_POOL_POOLER;
        if (pooler) return BERTH_OK;
    }
    if (number >= 2 && !s->normalize && strcmp(word, "Normalize") == 0) {
        s->normalize = true;
        return BERTH_OK;
    }
    BERTH_FAIL(
        BERTH_E_UNSUPPORTED,
        "%s: module %d is '%.80s'; berth embeds by Transformer, Pooling, BERT's pooler as Dense, and Normalize",
        path, number, type);
}

static berth_status read_length(struct berth_sentence_settings *s, const char *folder) {
    berth_status status = BERTH_OK;
    struct berth_json *j = NULL;
    char *path = NULL;
    BERTH_TRY_OUT(berth_path_join(&path, folder, "sentence_bert_config.json"));
    if (!berth_file_exists(path)) goto out;
    BERTH_TRY_OUT(berth_json_load(&j, path));
    BERTH_TRY_OUT(berth_json_int_or(&s->max_length, j, "max_seq_length", 0, 0, INT32_MAX));
out:
    free(path);
    berth_json_free(j);
    return status;
}

berth_status berth_model_sentence_settings(struct berth_sentence_settings *out, const char *folder) {
    berth_status status = BERTH_OK;
    struct berth_json *j = NULL;
    char *path = NULL;
    *out = (struct berth_sentence_settings){.pooling = BERTH_POOL_MEAN};
    BERTH_TRY_OUT(berth_path_join(&path, folder, "modules.json"));
    if (!berth_file_exists(path)) goto out;
    BERTH_TRY_OUT(berth_json_load(&j, path));
    const int count = (int)berth_json_count(j, "");
    if (count < 2)
        BERTH_FAIL_OUT(BERTH_E_UNSUPPORTED, "%s: %d modules, expected a Transformer and a Pooling at least",
                       path, count);
    for (int i = 0; i < count; i++)
        BERTH_TRY_OUT(read_module(out, j, path, i, folder));
    BERTH_TRY_OUT(read_length(out, folder));
    out->found = true;
out:
    free(path);
    berth_json_free(j);
    return status;
}
