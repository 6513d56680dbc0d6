/* inputs.c: what a run is made from beside its configuration, each with a value that changes when it does:
 *
 *   tokenizer            digest of vocabulary and settings
 *   model.layers, ...    the backbone's configuration, which may come from a folder
 *   data.SOURCE.SPLIT    name of the packed file, which is the digest of the rows, their columns and the
 * tokenizer labels.TASK          digest of the labels in their order, which is the order of the head's rows
 *
 * A checkpoint and RUN/finished.json carry the list as "inputs": [{"name": "model.layers", "value": "6"}, ...].
 * Names that only one side knows are passed over, so that a later version may list more. */
#include <stdlib.h>
#include <string.h>

#include "berth/json.h"
#include "train/train_priv.h"

struct input {
    const char *name;
    const char *what; /* the subject of the message: "the tokenizer" */
    const char *value;
    bool is_digest; /* the value tells a reader nothing */
};
typedef berth_status (*input_visit)(void *context, const struct input *input);

static berth_status visit_number(input_visit visit, void *context, const char *name, double value) {
    char full[64], what[64], text[40];
    snprintf(full, sizeof full, "model.%s", name);
    snprintf(what, sizeof what, "the backbone's %s", name);
    snprintf(text, sizeof text, "%.9g", value);
    return visit(context, &(struct input){.name = full, .what = what, .value = text});
}

static berth_status visit_model(const struct berth_model_config *c, input_visit visit, void *context) {
    const struct {
        const char *name;
        double value;
    } list[] = {
        {"layers", (double)c->layers},
        {"hidden", (double)c->hidden},
        {"heads", (double)c->heads},
        {"intermediate", (double)c->intermediate},
        {"vocab_size", (double)c->vocab_size},
        {"positions", (double)c->positions},
        {"segments", (double)c->segments},
        {"activation", (double)c->activation},
        {"layer_norm_eps", (double)c->layer_norm_eps},
        {"hidden_dropout", (double)c->hidden_dropout},
        {"attention_dropout", (double)c->attention_dropout},
        {"pooler", (double)c->pooler},
        {"pad_token", (double)c->pad_token},
    };
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        BERTH_TRY(visit_number(visit, context, list[i].name, list[i].value));
    return BERTH_OK;
}

static berth_status visit_data(const struct berth_data *data, input_visit visit, void *context) {
    for (size_t i = 0; i < berth_data_source_count(data); i++) {
        const struct berth_source *source = berth_data_source(data, i);
        for (int split = 0; split < BERTH_SPLIT_COUNT; split++) {
            char name[160], what[192];
            const char *split_name = berth_split_name((enum berth_split)split);
            if (!source->has[split]) continue;
            const char *path = berth_data_file(data, i, (enum berth_split)split), *slash = strrchr(path, '/');
            snprintf(name, sizeof name, "data.%s.%s", source->name, split_name);
            snprintf(what, sizeof what, "source '%s', split %s: the data", source->name, split_name);
            BERTH_TRY(visit(context, &(struct input){.name = name,
                                                     .what = what,
                                                     .value = slash != NULL ? slash + 1 : path,
                                                     .is_digest = true}));
        }
    }
    return BERTH_OK;
}

static berth_status visit_labels(const struct berth_data *data, input_visit visit, void *context) {
    for (size_t i = 0; i < berth_data_task_count(data); i++) {
        const struct berth_task *task = berth_data_task(data, i);
        struct berth_hasher *hasher = NULL;
        char name[160], what[192], digest[33];
        BERTH_TRY(berth_hasher_create(&hasher));
        for (size_t k = 0; k < task->labels.count; k++)
            berth_hasher_add(hasher, task->labels.names[k], strlen(task->labels.names[k]) + 1);
        berth_hash_hex(berth_hasher_end(hasher), digest);
        snprintf(name, sizeof name, "labels.%s", task->name);
        snprintf(what, sizeof what, "task '%s': the list of labels", task->name);
        BERTH_TRY(
            visit(context, &(struct input){.name = name, .what = what, .value = digest, .is_digest = true}));
    }
    return BERTH_OK;
}

/* Causes come before what follows from them: another tokenizer packs the data anew, other data has other
 * labels. */
static berth_status visit_all(const struct berth_trainer *t, input_visit visit, void *context) {
    char digest[33];
    berth_hash_hex(berth_tokenizer_digest(t->tokenizer), digest);
    BERTH_TRY(visit(
        context,
        &(struct input){.name = "tokenizer", .what = "the tokenizer", .value = digest, .is_digest = true}));
    BERTH_TRY(visit_model(&t->model->config, visit, context));
    BERTH_TRY(visit_data(t->data, visit, context));
    return visit_labels(t->data, visit, context);
}

/* ---- writing */

static berth_status add_one(void *context, const struct input *input) {
    struct berth_str *out = context;
    if (out->length > 0 && out->data[out->length - 1] == '}') berth_str_add(out, ",");
    berth_str_add(out, "{\"name\":");
    berth_str_add_json(out, input->name);
    berth_str_add(out, ",\"value\":");
    berth_str_add_json(out, input->value);
    berth_str_add(out, "}");
    return BERTH_OK;
}

berth_status inputs_add_json(struct berth_str *out, const struct berth_trainer *t) {
    berth_str_add(out, "[");
    BERTH_TRY(visit_all(t, add_one, out));
    berth_str_add(out, "]");
    return BERTH_OK;
}

/* ---- comparing */

struct comparison {
    const struct berth_json *stored;
    const char *file;
    size_t count;
};

static berth_status compare_one(void *context, const struct input *input) {
    const struct comparison *c = context;
    for (size_t i = 0; i < c->count; i++) {
        const char *name = NULL, *value = NULL;
        char at[48];
        snprintf(at, sizeof at, "inputs[%zu].name", i);
        BERTH_TRY(berth_json_string(&name, c->stored, at));
        if (strcmp(name, input->name) != 0) continue;
        snprintf(at, sizeof at, "inputs[%zu].value", i);
        BERTH_TRY(berth_json_string(&value, c->stored, at));
        if (strcmp(value, input->value) == 0) return BERTH_OK;
        if (input->is_digest)
            BERTH_FAIL(BERTH_E_USAGE, "%s changed since this run began (%s); start another run with output=DIR",
                       input->what, c->file);
        BERTH_FAIL(BERTH_E_USAGE,
                   "%s changed since this run began: there %s, here %s (%s); start another run with output=DIR",
                   input->what, value, input->value, c->file);
    }
    return BERTH_OK;
}

berth_status inputs_check(const struct berth_trainer *t, const struct berth_json *j, const char *file) {
    struct comparison c = {.stored = j, .file = file, .count = berth_json_count(j, "inputs")};
    if (c.count == 0)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: has no list 'inputs' of what the run was made from", file);
    return visit_all(t, compare_one, &c);
}
