/* tensor_names.c: the names that model folders give to tensors, and berth's.
 *
 *     a prefix "bert." or "distilbert."      dropped (classes with a head on top put it there)
 *     ....gamma, ....beta                    ....weight, ....bias (the first folders' names of the norms)
 *     transformer.layer.N.attention.q_lin    encoder.layer.N.attention.self.query      DistilBERT's, by the
 * table
 *
 * Left out without a word: position_ids (a buffer 0, 1, 2, ...), and the heads of pre-training. */
#include <string.h>

#include "model/model_priv.h"

/* What follows "transformer.layer.N." in DistilBERT, "encoder.layer.N." in BERT. */
static const struct {
    const char *distilbert, *bert;
} LAYER_NAMES[] = {
    {"attention.q_lin.", "attention.self.query."},
    {"attention.k_lin.", "attention.self.key."},
    {"attention.v_lin.", "attention.self.value."},
    {"attention.out_lin.", "attention.output.dense."},
    {"sa_layer_norm.", "attention.output.LayerNorm."},
    {"ffn.lin1.", "intermediate.dense."},
    {"ffn.lin2.", "output.dense."},
    {"output_layer_norm.", "output.LayerNorm."},
};

static const char *const PREFIXES[] = {"bert.", "distilbert."};
/* Of a folder's masked language model: taken where a head asks for them (head_mlm.c). */
static const char *const SPARE[] = {
    "cls.predictions.transform.", "cls.predictions.bias", "vocab_transform.", "vocab_layer_norm.",
    "vocab_projector.bias",
};
static const char *const IGNORED[] = {
    "cls.",
    "vocab_transform.",
    "vocab_layer_norm.",
    "vocab_projector.",
    "embeddings.position_ids",
    "embeddings.token_type_ids",
};

static bool starts(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

/* Length of "LAYERS<digits>." at the start of name, 0 when it is not there. */
static size_t layer_part(const char *name, const char *layers) {
    if (!starts(name, layers)) return 0;
    size_t digits = strlen(layers), end = digits;
    while (name[end] >= '0' && name[end] <= '9')
        end++;
    return end > digits && name[end] == '.' ? end + 1 : 0;
}

/* The last part of a name, with the norms' old names replaced. */
static void add_ending(struct berth_str *out, const char *rest) {
    const char *dot = strrchr(rest, '.');
    const char *last = dot == NULL ? rest : dot + 1;
    berth_str_addn(out, rest, (size_t)(last - rest));
    berth_str_add(out, strcmp(last, "gamma") == 0 ? "weight" : strcmp(last, "beta") == 0 ? "bias" : last);
}

enum tensor_use tensor_name_read(const char *file_name, struct berth_str *out) {
    const char *name = file_name;
    for (size_t i = 0; i < sizeof PREFIXES / sizeof PREFIXES[0]; i++) {
        if (starts(file_name, PREFIXES[i])) name = file_name + strlen(PREFIXES[i]);
    }
    for (size_t i = 0; i < sizeof SPARE / sizeof SPARE[0]; i++) {
        if (!starts(name, SPARE[i])) continue;
        add_ending(out, name);
        return TENSOR_SPARE;
    }
    for (size_t i = 0; i < sizeof IGNORED / sizeof IGNORED[0]; i++) {
        if (starts(name, IGNORED[i])) return TENSOR_IGNORED;
    }
    size_t layer = layer_part(name, "transformer.layer.");
    if (layer > 0) {
        static const size_t HEAD = sizeof "transformer." - 1;
        for (size_t i = 0; i < sizeof LAYER_NAMES / sizeof LAYER_NAMES[0]; i++) {
            if (!starts(name + layer, LAYER_NAMES[i].distilbert)) continue;
            berth_str_add(out, "encoder.");
            berth_str_addn(out, name + HEAD, layer - HEAD);
            berth_str_add(out, LAYER_NAMES[i].bert);
            add_ending(out, name + layer + strlen(LAYER_NAMES[i].distilbert));
            return TENSOR_WANTED;
        }
        return TENSOR_UNKNOWN;
    }
    if (!starts(name, "embeddings.") && layer_part(name, "encoder.layer.") == 0 &&
        !starts(name, "pooler.dense."))
        return TENSOR_UNKNOWN;
    add_ending(out, name);
    return TENSOR_WANTED;
}

void tensor_name_write(const char *name, bool distilbert, const char *prefix, struct berth_str *out) {
    berth_str_add(out, prefix);
    size_t layer = distilbert ? layer_part(name, "encoder.layer.") : 0;
    for (size_t i = 0; layer > 0 && i < sizeof LAYER_NAMES / sizeof LAYER_NAMES[0]; i++) {
        if (!starts(name + layer, LAYER_NAMES[i].bert)) continue;
        static const size_t HEAD = sizeof "encoder." - 1;
        berth_str_add(out, "transformer.");
        berth_str_addn(out, name + HEAD, layer - HEAD);
        berth_str_add(out, LAYER_NAMES[i].distilbert);
        berth_str_add(out, name + layer + strlen(LAYER_NAMES[i].bert));
        return;
    }
    berth_str_add(out, name);
}
