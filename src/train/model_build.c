/* model_build.c: from the configuration's `model:` and `tasks:` to a model and its tokenizer.
 *
 * Head i of the model is task i of the configuration: batches carry the items of task i as items[i]. */
#include <stdlib.h>
#include <string.h>

#include "berth/file.h"
#include "train/train_priv.h"

/* model.vocab: a vocab.txt, or a folder that holds one. */
static berth_status load_vocab(struct berth_tokenizer **out, const struct berth_config *c) {
    const char *path = berth_config_string(c, "model.vocab");
    if (berth_is_folder(path)) return berth_tokenizer_load(out, path);
    const struct berth_tokenizer_options options = {
        .lowercase = berth_config_bool(c, "model.lowercase"),
        .strip_accents = -1,
        .split_cjk = true,
        .max_word_chars = 100,
    };
    return berth_tokenizer_load_vocab(out, path, &options);
}

berth_status berth_tokenizer_from_config(struct berth_tokenizer **out, const struct berth_config *c) {
    if (!berth_config_given(c, "model.new")) {
        if (berth_config_given(c, "model.backbone"))
            return berth_tokenizer_load(out, berth_config_string(c, "model.backbone"));
        return berth_config_fail(c, "model.backbone",
                                 "no backbone is given: name a folder with weights, or the sizes "
                                 "of a new one in model.new");
    }
    if (!berth_config_given(c, "model.vocab"))
        return berth_config_fail(c, "model.vocab", "a model from scratch (model.new) needs a vocabulary");
    return load_vocab(out, c);
}

static berth_status build_new(struct berth_model **model, struct berth_tokenizer **tokenizer,
                              struct berth_device *dev, const struct berth_config *c) {
    berth_status status = BERTH_OK;
    struct berth_model_config config;
    berth_model_config_init(&config);
    BERTH_TRY_OUT(berth_tokenizer_from_config(tokenizer, c));
    config.layers = berth_config_int(c, "model.new.layers");
    config.hidden = berth_config_int(c, "model.new.hidden");
    config.heads = berth_config_int(c, "model.new.heads");
    config.intermediate = berth_config_int(c, "model.new.intermediate");
    config.positions = berth_config_int(c, "model.new.positions");
    if (config.hidden % config.heads != 0) {
        status = berth_config_fail(c, "model.new.hidden", "%lld is not a multiple of model.new.heads, %lld",
                                   (long long)config.hidden, (long long)config.heads);
        goto out;
    }
    config.vocab_size = (int64_t)berth_tokenizer_size(*tokenizer);
    int32_t pad = berth_tokenizer_special(*tokenizer).pad;
    config.pad_token = pad >= 0 ? pad : 0;
    BERTH_TRY_OUT(berth_model_create(model, dev, &config));
out:
    berth_model_config_deinit(&config);
    return status;
}

static berth_status build_loaded(struct berth_model **model, struct berth_tokenizer **tokenizer,
                                 struct berth_device *dev, const struct berth_config *c) {
    const char *folder = berth_config_string(c, "model.backbone");
    if (!berth_is_folder(folder))
        return berth_config_fail(c, "model.backbone",
                                 "'%s' is not a folder; expected one with config.json, weights "
                                 "and vocab.txt",
                                 folder);
    BERTH_TRY(berth_model_load(model, dev, folder));
    BERTH_TRY(berth_tokenizer_from_config(tokenizer, c));
    return berth_model_check_tokenizer(*model, *tokenizer, folder);
}

/* model.layers: "0-5", the lower part of the backbone. */
static berth_status keep_layers(struct berth_model *m, const struct berth_config *c) {
    const char *range = berth_config_string(c, "model.layers");
    int64_t last = 0;
    const bool from_zero = strncmp(range, "0-", 2) == 0 && berth_parse_int64(range + 2, &last);
    if (strcmp(range, "0") != 0 && (!from_zero || last < 0))
        return berth_config_fail(
            c, "model.layers",
            "'%s': expected 0-N, the lower layers up to N, counted from 0: upper layers are "
            "nothing without those below",
            range);
    if (last >= m->config.layers)
        return berth_config_fail(c, "model.layers", "'%s': this backbone has layers 0 to %lld", range,
                                 (long long)m->config.layers - 1);
    return berth_model_keep_layers(m, last + 1);
}

static berth_status apply_settings(struct berth_model *m, const struct berth_config *c) {
    int64_t longest = berth_config_int(c, "model.max_length");
    if (longest > m->config.positions)
        return berth_config_fail(c, "model.max_length", "%lld is more than the backbone's %lld positions",
                                 (long long)longest, (long long)m->config.positions);
    if (berth_config_has(c, "model.dropout"))
        m->config.hidden_dropout = (float)berth_config_number(c, "model.dropout");
    if (berth_config_has(c, "model.attention_dropout"))
        m->config.attention_dropout = (float)berth_config_number(c, "model.attention_dropout");
    if (berth_config_has(c, "model.layers")) BERTH_TRY(keep_layers(m, c));
    return strcmp(berth_config_string(c, "model.pooler"), "new") == 0 ? berth_model_new_pooler(m) : BERTH_OK;
}

berth_status berth_model_from_config(struct berth_model **model, struct berth_tokenizer **tokenizer,
                                     struct berth_device *dev, const struct berth_config *c) {
    berth_status status = BERTH_OK;
    *model = NULL;
    *tokenizer = NULL;
    if (berth_config_given(c, "model.new"))
        BERTH_TRY_OUT(build_new(model, tokenizer, dev, c));
    else if (berth_config_given(c, "model.backbone"))
        BERTH_TRY_OUT(build_loaded(model, tokenizer, dev, c));
    else
        BERTH_TRY_OUT(berth_tokenizer_from_config(tokenizer, c)); /* says that neither is given */
    status = apply_settings(*model, c);
out:
    if (status != BERTH_OK) {
        berth_model_free(*model);
        berth_tokenizer_free(*tokenizer);
        *model = NULL;
        *tokenizer = NULL;
    }
    return status;
}

berth_status berth_precision_from_config(struct berth_model *m, const struct berth_config *c) {
    char *reason = NULL;
    const char *precision = berth_config_string(c, "precision");
    berth_status status = berth_device_set_tf32(m->device, strcmp(precision, "tf32") == 0);
    if (status == BERTH_OK && strcmp(precision, "bf16") == 0) status = berth_model_set_precision(m, BERTH_BF16);
    if (status != BERTH_E_UNSUPPORTED) return status;
    BERTH_TRY(berth_strdup(&reason, berth_error_text()));
    if (strcmp(berth_config_string(c, "precision_fallback"), "fp32") == 0) {
        berth_log(BERTH_LOG_WARN, "%s: going on in fp32", reason);
        status = BERTH_OK;
    } else {
        status = berth_config_fail(c, "precision", "%s", reason);
    }
    free(reason);
    return status;
}

berth_status model_build_known(struct berth_task **out, size_t *count, struct berth_model *m,
                               const struct berth_config *c) {
    berth_status status = BERTH_OK;
    struct berth_task *known = NULL;
    const char **names = NULL;
    size_t tasks = berth_config_count(c, "tasks"), kept = 0;
    BERTH_TRY_OUT(berth_calloc(&names, tasks, sizeof *names));
    BERTH_TRY_OUT(berth_calloc(&known, tasks, sizeof *known));
    for (size_t i = 0; i < tasks; i++) {
        const char *name = berth_config_name(c, "tasks", i);
        if (berth_model_find_head(m, name) >= 0) names[kept++] = name;
    }
    BERTH_TRY_OUT(berth_model_keep_heads(m, names, kept));
    for (size_t i = 0; i < kept; i++)
        known[i] = m->heads[berth_model_find_head(m, names[i])].task;
    *out = known;
    *count = kept;
    known = NULL;
out:
    free(names);
    free(known);
    return status;
}

berth_status model_build_heads(struct berth_model *m, const struct berth_config *c,
                               const struct berth_data *data) {
    berth_status status = BERTH_OK;
    size_t count = berth_data_task_count(data), most = 1;
    const char **names = NULL;
    float *weights = NULL; /* of the head at hand */
    for (size_t i = 0; i < count; i++)
        if (berth_data_task(data, i)->labels.count > most) most = berth_data_task(data, i)->labels.count;
    BERTH_TRY_OUT(berth_calloc(&names, count, sizeof *names));
    BERTH_TRY_OUT(berth_calloc(&weights, most, sizeof *weights));
    for (size_t i = 0; i < count; i++) {
        struct berth_head head; /* views of the data's names and labels */
        names[i] = berth_data_task(data, i)->name;
        BERTH_TRY_OUT(head_from_config(&head, weights, m, c, data, i));
        BERTH_TRY_OUT(berth_model_add_head(m, &head));
    }
    BERTH_TRY_OUT(berth_model_order_heads(m, names, count));
out:
    free(names);
    free(weights);
    return status;
}
