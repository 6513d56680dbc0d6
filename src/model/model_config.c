/* model_config.c: config.json of the two families whose encoder is the same code.
 *
 *     bert                            distilbert           here
 *     num_hidden_layers               n_layers             layers
 *     hidden_size                     dim                  hidden
 *     num_attention_heads             n_heads              heads
 *     intermediate_size               hidden_dim           intermediate
 *     max_position_embeddings         the same             positions
 *     type_vocab_size                 none                 segments
 *     hidden_act                      activation           activation
 *     hidden_dropout_prob             dropout              hidden_dropout
 *     attention_probs_dropout_prob    attention_dropout    attention_dropout
 *     layer_norm_eps                  always 1e-12         layer_norm_eps
 *
 * A setting that would change the arithmetic and is not built here (relative positions, a decoder) is refused:
 * a model that runs must be the model that was meant. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/model_priv.h"

static const struct {
    const char *name; /* the reference's */
    enum berth_activation kind;
} ACTIVATIONS[] = {
    /* the first name of a kind is the one written */
    {"gelu", BERTH_ACT_GELU}, {"gelu_new", BERTH_ACT_GELU_TANH}, {"gelu_pytorch_tanh", BERTH_ACT_GELU_TANH},
    {"relu", BERTH_ACT_RELU}, {"silu", BERTH_ACT_SILU},          {"swish", BERTH_ACT_SILU},
};

static const char *activation_name(enum berth_activation kind) {
    for (size_t i = 0; i < sizeof ACTIVATIONS / sizeof ACTIVATIONS[0]; i++) {
        if (ACTIVATIONS[i].kind == kind) return ACTIVATIONS[i].name;
    }
    return NULL;
}

void berth_model_config_init(struct berth_model_config *c) {
    *c = (struct berth_model_config){
        .model_type = NULL, /* "bert" */
        .layers = 12,
        .hidden = 768,
        .heads = 12,
        .intermediate = 3072,
        .vocab_size = 30522,
        .positions = 512,
        .segments = 2,
        .activation = BERTH_ACT_GELU,
        .layer_norm_eps = 1e-12f,
        .hidden_dropout = 0.1f,
        .attention_dropout = 0.1f,
        .init_range = 0.02f,
        .pooler = true,
        .pad_token = 0,
    };
}

berth_status berth_model_config_copy(struct berth_model_config *to, const struct berth_model_config *from) {
    char *model_type = NULL;
    BERTH_TRY(berth_strdup(&model_type, from->model_type == NULL ? "bert" : from->model_type));
    *to = *from;
    to->model_type = model_type;
    return BERTH_OK;
}

void berth_model_config_deinit(struct berth_model_config *c) {
    free(c->model_type);
    c->model_type = NULL;
}

bool model_is_distilbert(const struct berth_model_config *c) {
    return c->model_type != NULL && strcmp(c->model_type, "distilbert") == 0;
}

berth_status model_config_check(const struct berth_model_config *c, berth_status code, const char *name) {
    const struct {
        const char *what;
        int64_t value, min, max;
    } sizes[] = {
        {"layers", c->layers, 1, 512},
        {"hidden size", c->hidden, 1, 65536},
        {"attention heads", c->heads, 1, 4096},
        {"intermediate size", c->intermediate, 1, 1 << 20},
        {"vocabulary size", c->vocab_size, 1, 1 << 24},
        {"positions", c->positions, 1, 65536}, /* dropout's counters give a position 16 bits */
        {"segment kinds", c->segments, 0, 1024},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (sizes[i].value < sizes[i].min || sizes[i].value > sizes[i].max)
            BERTH_FAIL(code, "%s: %s %lld is outside %lld .. %lld", name, sizes[i].what,
                       (long long)sizes[i].value, (long long)sizes[i].min, (long long)sizes[i].max);
    }
    if (c->hidden % c->heads != 0)
        BERTH_FAIL(code, "%s: hidden size %lld is not a multiple of the %lld attention heads", name,
                   (long long)c->hidden, (long long)c->heads);
    const struct {
        const char *what;
        float value;
    } rates[] = {{"hidden dropout", c->hidden_dropout}, {"attention dropout", c->attention_dropout}};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        if (!(rates[i].value >= 0.0f && rates[i].value < 1.0f))
            BERTH_FAIL(code, "%s: %s %g is outside 0 .. 1 (1 excluded)", name, rates[i].what,
                       (double)rates[i].value);
    }
    if (!(c->layer_norm_eps > 0.0f) || !isfinite(c->layer_norm_eps))
        BERTH_FAIL(code, "%s: layer_norm_eps %g is not above 0", name, (double)c->layer_norm_eps);
    if (!(c->init_range >= 0.0f) || !isfinite(c->init_range))
        BERTH_FAIL(code, "%s: initializer_range %g is below 0", name, (double)c->init_range);
    if (c->pad_token < 0 || c->pad_token >= c->vocab_size)
        BERTH_FAIL(code, "%s: pad_token_id %d is outside the vocabulary of %lld", name, c->pad_token,
                   (long long)c->vocab_size);
    if (activation_name(c->activation) == NULL)
        BERTH_FAIL(code, "%s: activation number %d is none of a backbone's", name, (int)c->activation);
    if (model_is_distilbert(c)) {
        if (c->segments != 0) BERTH_FAIL(code, "%s: a distilbert backbone has no segments", name);
        if (c->layer_norm_eps != 1e-12f)
            BERTH_FAIL(code, "%s: layer_norm_eps %g; a distilbert backbone has 1e-12", name,
                       (double)c->layer_norm_eps);
    } else if (c->segments == 0) {
        BERTH_FAIL(code, "%s: a bert backbone has at least 1 kind of segment (type_vocab_size)", name);
    }
    return BERTH_OK;
}

static berth_status read_activation(struct berth_model_config *c, const struct berth_json *j, const char *key,
                                    const char *path) {
    const char *name = NULL;
    BERTH_TRY(berth_json_string_or(&name, j, key, "gelu"));
    for (size_t i = 0; i < sizeof ACTIVATIONS / sizeof ACTIVATIONS[0]; i++) {
        if (strcmp(ACTIVATIONS[i].name, name) == 0) {
            c->activation = ACTIVATIONS[i].kind;
            return BERTH_OK;
        }
    }
    BERTH_FAIL(BERTH_E_UNSUPPORTED, "%s: '%s' is '%s'; berth has gelu, gelu_new, relu and silu", path, key,
               name);
}

/* true, where berth only has false */
static berth_status refuse_flag(const struct berth_json *j, const char *key, const char *path) {
    bool on = false;
    BERTH_TRY(berth_json_bool_or(&on, j, key, false));
    if (on) BERTH_FAIL(BERTH_E_UNSUPPORTED, "%s: '%s' is true; berth has encoders only", path, key);
    return BERTH_OK;
}

static berth_status read_float(float *out, const struct berth_json *j, const char *key, double default_value) {
    double value = 0.0;
    BERTH_TRY(berth_json_number_or(&value, j, key, default_value));
    *out = (float)value;
    return BERTH_OK;
}

static berth_status read_family(struct berth_model_config *c, const struct berth_json *j, const char *path) {
    const char *type = NULL;
    BERTH_TRY(berth_json_string_or(&type, j, "model_type", "bert")); /* BERT's first folders do not say */
    if (strcmp(type, "bert") != 0 && strcmp(type, "distilbert") != 0)
        BERTH_FAIL(BERTH_E_UNSUPPORTED, "%s: 'model_type' is '%s'; berth has bert and distilbert", path, type);
    return berth_strdup(&c->model_type, type);
}

static berth_status read_sizes(struct berth_model_config *c, const struct berth_json *j) {
    const bool distil = model_is_distilbert(c);
    const struct {
        int64_t *to;
        const char *bert, *distilbert;
        int64_t max;
    } sizes[] = {
        {&c->layers, "num_hidden_layers", "n_layers", 512},
        {&c->hidden, "hidden_size", "dim", 65536},
        {&c->heads, "num_attention_heads", "n_heads", 4096},
        {&c->intermediate, "intermediate_size", "hidden_dim", 1 << 20},
        {&c->vocab_size, "vocab_size", "vocab_size", 1 << 24},
        {&c->positions, "max_position_embeddings", "max_position_embeddings", 65536},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        BERTH_TRY(
            berth_json_int(sizes[i].to, j, distil ? sizes[i].distilbert : sizes[i].bert, 1, sizes[i].max));
    if (distil) {
        c->segments = 0;
        return BERTH_OK;
    }
    return berth_json_int_or(&c->segments, j, "type_vocab_size", 2, 1, 1024);
}

berth_status model_config_read(struct berth_model_config *c, const char *path) {
    berth_status status = BERTH_OK;
    struct berth_json *j = NULL;
    berth_model_config_init(c);
    BERTH_TRY_OUT(berth_json_load(&j, path));
    BERTH_TRY_OUT(read_family(c, j, path));
    const bool distil = model_is_distilbert(c);
    BERTH_TRY_OUT(read_sizes(c, j));
    BERTH_TRY_OUT(read_activation(c, j, distil ? "activation" : "hidden_act", path));
    BERTH_TRY_OUT(read_float(&c->hidden_dropout, j, distil ? "dropout" : "hidden_dropout_prob", 0.1));
    BERTH_TRY_OUT(read_float(&c->attention_dropout, j,
                             distil ? "attention_dropout" : "attention_probs_dropout_prob", 0.1));
    BERTH_TRY_OUT(read_float(&c->init_range, j, "initializer_range", 0.02));
    if (!distil) BERTH_TRY_OUT(read_float(&c->layer_norm_eps, j, "layer_norm_eps", 1e-12));
    int64_t pad = 0;
    BERTH_TRY_OUT(berth_json_int_or(&pad, j, "pad_token_id", 0, 0, c->vocab_size - 1));
    c->pad_token = (int32_t)pad;
    const char *positions = NULL;
    BERTH_TRY_OUT(berth_json_string_or(&positions, j, "position_embedding_type", "absolute"));
    if (strcmp(positions, "absolute") != 0)
        BERTH_FAIL_OUT(BERTH_E_UNSUPPORTED,
                       "%s: 'position_embedding_type' is '%s'; berth has absolute positions", path, positions);
    BERTH_TRY_OUT(refuse_flag(j, "is_decoder", path));
    BERTH_TRY_OUT(refuse_flag(j, "add_cross_attention", path));
    BERTH_TRY_OUT(refuse_flag(j, "is_encoder_decoder", path));
    if (berth_json_count(j, "pruned_heads") > 0)
        BERTH_FAIL_OUT(BERTH_E_UNSUPPORTED,
                       "%s: 'pruned_heads' is not empty; berth's layers have all their heads", path);
    c->pooler = !distil; /* until the weights are looked at */
    BERTH_TRY_OUT(model_config_check(c, BERTH_E_FORMAT, path));
out:
    berth_json_free(j);
    if (status != BERTH_OK) berth_model_config_deinit(c);
    return status;
}

static void write_int(struct berth_str *out, const char *key, int64_t value) {
    berth_str_addf(out, ",\n  \"%s\": %lld", key, (long long)value);
}

/* The shortest decimal that reads back as the same float. */
static void write_float(struct berth_str *out, const char *key, float value) {
    char text[40];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value) break;
    }
    berth_str_addf(out, ",\n  \"%s\": %s", key, text);
}

void model_config_write(const struct berth_model_config *c, struct berth_str *out) {
    const bool distil = model_is_distilbert(c);
    berth_str_addf(out, ",\n  \"model_type\": \"%s\"", distil ? "distilbert" : "bert");
    write_int(out, "vocab_size", c->vocab_size);
    write_int(out, "max_position_embeddings", c->positions);
    write_int(out, distil ? "n_layers" : "num_hidden_layers", c->layers);
    write_int(out, distil ? "dim" : "hidden_size", c->hidden);
    write_int(out, distil ? "n_heads" : "num_attention_heads", c->heads);
    write_int(out, distil ? "hidden_dim" : "intermediate_size", c->intermediate);
    berth_str_addf(out, ",\n  \"%s\": \"%s\"", distil ? "activation" : "hidden_act",
                   activation_name(c->activation));
    write_float(out, distil ? "dropout" : "hidden_dropout_prob", c->hidden_dropout);
    write_float(out, distil ? "attention_dropout" : "attention_probs_dropout_prob", c->attention_dropout);
    write_float(out, "initializer_range", c->init_range);
    write_int(out, "pad_token_id", c->pad_token);
    if (distil) {
        berth_str_add(out, ",\n  \"sinusoidal_pos_embds\": false,\n  \"tie_weights_\": true");
    } else {
        write_int(out, "type_vocab_size", c->segments);
        write_float(out, "layer_norm_eps", c->layer_norm_eps);
        berth_str_add(out, ",\n  \"position_embedding_type\": \"absolute\"");
    }
}
