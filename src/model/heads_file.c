/* heads_file.c: berth_heads.json: what a model folder says of its heads, beside what the reference library
 * reads.
 *
 *     {"format": 1,
 *      "heads": [{"name": "intent", "type": "classification", "pooling": "mean", "dropout": 0.1,
 *                 "label_smoothing": 0, "labels": ["a", "b"],
 *                 "tensors": {"weight": "heads.intent.weight", "bias": "heads.intent.bias"}}]}
 *
 * dropout is absent where the backbone's is meant; labels stand in the order of their classes. Other settings
 * stand there where they differ from what a head has without them (SETTINGS). */
#include <stdlib.h>
#include <string.h>

#include "model/model_priv.h"

/* Numbers and switches of a head, by their key. Written where they are not 0. */
static const struct {
    const char *key;
    size_t offset;
    enum { SETTING_FLOAT, SETTING_BOOL, SETTING_INT, SETTING_INT64 } type;
} SETTINGS[] = {
    {"layer", offsetof(struct berth_head, layer), SETTING_INT64},
    {"hidden_layers", offsetof(struct berth_head, hidden_layers), SETTING_INT},
    {"hidden_size", offsetof(struct berth_head, hidden_size), SETTING_INT64},
    {"focal_gamma", offsetof(struct berth_head, focal_gamma), SETTING_FLOAT},
    {"huber_delta", offsetof(struct berth_head, huber_delta), SETTING_FLOAT},
    {"scale", offsetof(struct berth_head, scale), SETTING_FLOAT},
    {"symmetric", offsetof(struct berth_head, symmetric), SETTING_BOOL},
    {"crf", offsetof(struct berth_head, crf), SETTING_BOOL},
    {"threshold", offsetof(struct berth_head, threshold), SETTING_FLOAT},
};
enum { SETTING_COUNT = sizeof SETTINGS / sizeof SETTINGS[0] };

static const char *const READS[] = {"last", "layer", "mix"};
static const char *const ACTIVATIONS[] = {"none", "gelu", "gelu_new", "relu", "silu", "tanh"};

void heads_file_free(struct heads_file_entry *entries, int count) {
    for (int i = 0; entries != NULL && i < count; i++) {
        head_deinit(&entries[i].head);
        for (size_t k = 0; k < entries[i].tensor_count; k++) {
            free(entries[i].tensors[k].part);
            free(entries[i].tensors[k].name);
        }
        free(entries[i].tensors);
    }
    free(entries);
}

berth_status heads_file_add_tensor(struct heads_file_entry *e, const char *part, const char *name) {
    BERTH_TRY(berth_grow(&e->tensors, &e->tensor_capacity, e->tensor_count + 1, sizeof *e->tensors));
    struct heads_file_tensor *t = &e->tensors[e->tensor_count];
    *t = (struct heads_file_tensor){NULL, NULL};
    e->tensor_count++;
    BERTH_TRY(berth_strdup(&t->part, part));
    return berth_strdup(&t->name, name);
}

static berth_status visit_tensor(void *user, const char *part, const char *name) {
    return heads_file_add_tensor(user, part, name);
}

/* "heads[3].FIELD" into a buffer of the caller. */
static const char *at(char path[64], int index, const char *field) {
    snprintf(path, 64, "heads[%d].%s", index, field);
    return path;
}

static berth_status read_kind(enum berth_task_kind *out, const struct berth_json *j, int index,
                              const char *file) {
    char path[64];
    const char *type = NULL;
    BERTH_TRY(berth_json_string(&type, j, at(path, index, "type")));
    *out = berth_task_kind_find(type);
    if (*out != BERTH_TASK_KIND_COUNT && head_kind_find(*out) != NULL) return BERTH_OK;
    struct berth_str known;
    berth_str_init(&known);
    head_kind_list(&known);
    berth_status status = berth_error_set(BERTH_E_FORMAT, __FILE__, __LINE__, "%s: '%s' is '%s', expected %s",
                                          file, path, type, known.length > 0 ? known.data : "");
    berth_str_deinit(&known);
    return status;
}

static berth_status read_labels(struct berth_labels *out, const struct berth_json *j, int index,
                                const char *file) {
    char path[64], label_path[96];
    const size_t count = berth_json_count(j, at(path, index, "labels"));
    for (size_t i = 0; i < count; i++) {
        const char *label = NULL;
        int32_t class = 0;
        snprintf(label_path, sizeof label_path, "%s[%zu]", path, i);
        BERTH_TRY(berth_json_string(&label, j, label_path));
        BERTH_TRY(berth_labels_add(out, label, &class));
        if ((size_t) class != i)
            BERTH_FAIL(BERTH_E_FORMAT, "%s: '%s': the label '%s' comes twice", file, label_path, label);
    }
    if (count == 0)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: '%s' is missing or empty, expected a list of texts", file, path);
    return BERTH_OK;
}

/* A word of a list; absent: its first. */
static berth_status read_word(int *out, const struct berth_json *j, int index, const char *key,
                              const char *const *words, int count, const char *file) {
    char path[64];
    const char *text = NULL;
    BERTH_TRY(berth_json_string_or(&text, j, at(path, index, key), words[0]));
    for (*out = 0; *out < count; (*out)++) {
        if (strcmp(words[*out], text) == 0) return BERTH_OK;
    }
    BERTH_FAIL(BERTH_E_FORMAT, "%s: '%s' is '%s', which this berth does not know", file, path, text);
}

static berth_status read_settings(struct berth_head *h, const struct berth_json *j, int index,
                                  const char *file) {
    char path[64];
    const char *text = NULL;
    int word = 0;
    for (int i = 0; i < SETTING_COUNT; i++) {
        char *to = (char *)h + SETTINGS[i].offset;
        double number = 0;
        int64_t whole = 0;
        bool flag = false;
        at(path, index, SETTINGS[i].key);
        if (SETTINGS[i].type == SETTING_BOOL) {
            BERTH_TRY(berth_json_bool_or(&flag, j, path, false));
            memcpy(to, &flag, sizeof flag);
        } else if (SETTINGS[i].type == SETTING_FLOAT) {
            BERTH_TRY(berth_json_number_or(&number, j, path, 0));
            memcpy(to, &(float){(float)number}, sizeof(float));
        } else {
            BERTH_TRY(berth_json_int_or(&whole, j, path, 0, 0, INT32_MAX));
            if (SETTINGS[i].type == SETTING_INT) memcpy(to, &(int){(int)whole}, sizeof(int));
            if (SETTINGS[i].type == SETTING_INT64) memcpy(to, &whole, sizeof whole);
        }
    }
    BERTH_TRY(read_word(&word, j, index, "reads", READS, 3, file));
    h->reads = (enum berth_head_reads)word;
    BERTH_TRY(read_word(&word, j, index, "activation", ACTIVATIONS, 6, file));
    h->activation = (enum berth_activation)word;
    BERTH_TRY(berth_json_string_or(&text, j, at(path, index, "scheme"), "plain"));
    h->task.scheme = berth_tag_scheme_find(text);
    if (h->task.scheme == BERTH_TAG_SCHEME_COUNT)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: '%s' is '%s', which is no scheme of tags", file, path, text);
    BERTH_TRY(berth_json_string_or(&text, j, at(path, index, "loss"), ""));
    if (text[0] != '\0' && !berth_loss_parse(text, &h->loss))
        BERTH_FAIL(BERTH_E_FORMAT, "%s: '%s' is '%s', which is no loss", file, path, text);
    BERTH_TRY(berth_json_string_or(&text, j, at(path, index, "head"), ""));
    return text[0] != '\0' ? berth_strdup(&h->shares, text) : BERTH_OK;
}

/* Weights of the classes, one a label; absent: none. */
static berth_status read_weights(struct berth_head *h, const struct berth_json *j, int index,
                                 const char *file) {
    char path[64], item[96];
    const size_t count = berth_json_count(j, at(path, index, "class_weights"));
    if (count == 0) return BERTH_OK;
    if (count != h->task.labels.count)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: '%s' has %zu numbers, but there are %zu labels", file, path, count,
                   h->task.labels.count);
    BERTH_TRY(berth_calloc(&h->class_weights, count, sizeof *h->class_weights));
    for (size_t i = 0; i < count; i++) {
        double number = 0;
        snprintf(item, sizeof item, "%s[%zu]", path, i);
        BERTH_TRY(berth_json_number(&number, j, item));
        h->class_weights[i] = (float)number;
    }
    return BERTH_OK;
}

static berth_status read_head(struct heads_file_entry *e, const struct berth_json *j, int index,
                              const char *file) {
    char path[64];
    const char *text = NULL;
    double number = 0.0;
    struct berth_head *h = &e->head;
    BERTH_TRY(berth_json_string(&text, j, at(path, index, "name")));
    BERTH_TRY(berth_strdup(&h->task.name, text));
    BERTH_TRY(read_kind(&h->task.kind, j, index, file));
    BERTH_TRY(berth_json_string_or(&text, j, at(path, index, "pooling"), "cls"));
    if (!berth_pooling_parse(text, &h->pooling))
        BERTH_FAIL(BERTH_E_FORMAT, "%s: '%s' is '%s', expected pooler, cls or mean", file, path, text);
    BERTH_TRY(berth_json_number_or(&number, j, at(path, index, "dropout"), -1.0));
    h->dropout = (float)number;
    BERTH_TRY(berth_json_number_or(&number, j, at(path, index, "label_smoothing"), 0.0));
    h->label_smoothing = (float)number;
    if (head_kind_find(h->task.kind)->labels) BERTH_TRY(read_labels(&h->task.labels, j, index, file));
    BERTH_TRY(read_settings(h, j, index, file));
    BERTH_TRY(read_weights(h, j, index, file));
    if (!berth_json_has(j, at(path, index, "tensors"))) return BERTH_OK;
    return berth_json_each_text(j, path, visit_tensor, e);
}

berth_status heads_file_read(struct heads_file_entry **out, int *count, const char *path) {
    berth_status status = BERTH_OK;
    struct berth_json *j = NULL;
    struct heads_file_entry *entries = NULL;
    int64_t format = 0;
    int found = 0;
    BERTH_TRY_OUT(berth_json_load(&j, path));
    BERTH_TRY_OUT(berth_json_int(&format, j, "format", 1, INT32_MAX));
    if (format != HEADS_FILE_FORMAT)
        BERTH_FAIL_OUT(BERTH_E_UNSUPPORTED, "%s: format %lld, this berth reads format %d", path,
                       (long long)format, HEADS_FILE_FORMAT);
    found = (int)berth_json_count(j, "heads");
    BERTH_TRY_OUT(berth_calloc(&entries, (size_t)found, sizeof *entries));
    for (int i = 0; i < found; i++)
        berth_labels_init(&entries[i].head.task.labels);
    for (int i = 0; i < found; i++)
        BERTH_TRY_OUT(read_head(&entries[i], j, i, path));
    *out = entries;
    *count = found;
    entries = NULL;
out:
    heads_file_free(entries, found);
    berth_json_free(j);
    return status;
}

static void write_rate(struct berth_str *s, const char *key, float value) {
    berth_str_addf(s, ", \"%s\": %.9g", key, (double)value);
}

static void write_settings(struct berth_str *s, const struct berth_head *h) {
    for (int i = 0; i < SETTING_COUNT; i++) {
        const char *from = (const char *)h + SETTINGS[i].offset;
        double value = 0;
        float number = 0;
        bool flag = false;
        int small = 0;
        int64_t whole = 0;
        if (SETTINGS[i].type == SETTING_FLOAT)
            value = (double)*(const float *)memcpy(&number, from, sizeof number);
        if (SETTINGS[i].type == SETTING_BOOL) value = *(const bool *)memcpy(&flag, from, sizeof flag);
        if (SETTINGS[i].type == SETTING_INT) value = *(const int *)memcpy(&small, from, sizeof small);
        if (SETTINGS[i].type == SETTING_INT64)
            value = (double)*(const int64_t *)memcpy(&whole, from, sizeof whole);
        if (value == 0) continue;
        if (SETTINGS[i].type == SETTING_BOOL)
            berth_str_addf(s, ", \"%s\": true", SETTINGS[i].key);
        else
            berth_str_addf(s, ", \"%s\": %.9g", SETTINGS[i].key, value);
    }
    if (h->reads != BERTH_READS_LAST) berth_str_addf(s, ", \"reads\": \"%s\"", READS[h->reads]);
    if (h->hidden_layers > 0) berth_str_addf(s, ", \"activation\": \"%s\"", ACTIVATIONS[h->activation]);
    if (h->task.scheme != BERTH_TAGS_PLAIN)
        berth_str_addf(s, ", \"scheme\": \"%s\"", berth_tag_scheme_name(h->task.scheme));
    if (h->loss != BERTH_LOSS_OWN) berth_str_addf(s, ", \"loss\": \"%s\"", berth_loss_name(h->loss));
    if (h->shares != NULL) {
        berth_str_add(s, ", \"head\": ");
        berth_str_add_json(s, h->shares);
    }
    for (size_t k = 0; h->class_weights != NULL && k < h->task.labels.count; k++)
        berth_str_addf(s, "%s%.9g%s", k == 0 ? ",\n     \"class_weights\": [" : ", ",
                       (double)h->class_weights[k], k + 1 == h->task.labels.count ? "]" : "");
}

static void write_labels(struct berth_str *s, const struct berth_labels *labels) {
    berth_str_add(s, ",\n     \"labels\": [");
    for (size_t i = 0; i < labels->count; i++) {
        berth_str_add(s, i == 0 ? "" : ", ");
        berth_str_add_json(s, labels->names[i]);
    }
    berth_str_add(s, "]");
}

static void write_tensor(struct berth_str *s, const char *part, const char *name, bool first) {
    berth_str_addf(s, "%s\"%s\": ", first ? "" : ", ", part);
    berth_str_add_json(s, name);
}

/* Names of the tensors in the reference's form; else of the last layer's, others are always heads.NAME.PART. */
static void write_tensors(struct berth_str *s, const struct berth_head *h, const struct reference_form *form) {
    static const char *const PARTS[] = {"weight", "bias"};
    bool first = true;
    berth_str_add(s, ",\n     \"tensors\": {");
    for (int i = 0; form != NULL && form->parts[i].part != NULL; i++)
        write_tensor(s, form->parts[i].part, form->parts[i].tensor, i == 0);
    for (int part = 0; form == NULL && part < 2; part++) {
        struct berth_str name;
        if ((part == 0 ? h->weight : h->bias) < 0 || h->shares != NULL) continue;
        berth_str_init(&name);
        berth_str_addf(&name, "heads.%s.%s", h->task.name, PARTS[part]);
        s->failed = s->failed || name.failed;
        if (!name.failed) write_tensor(s, PARTS[part], name.data, first);
        first = false;
        berth_str_deinit(&name);
    }
    berth_str_add(s, "}");
}

static void write_head(struct berth_str *s, const struct berth_head *h, const struct reference_form *form) {
    berth_str_add(s, "    {\"name\": ");
    berth_str_add_json(s, h->task.name);
    berth_str_addf(s, ", \"type\": \"%s\", \"pooling\": \"%s\"", berth_task_kind_name(h->task.kind),
                   berth_pooling_name(h->pooling));
    if (h->dropout >= 0.0f) write_rate(s, "dropout", h->dropout);
    write_rate(s, "label_smoothing", h->label_smoothing);
    write_settings(s, h);
    if (h->task.labels.count > 0) write_labels(s, &h->task.labels);
    write_tensors(s, h, form);
    berth_str_add(s, "}");
}

berth_status heads_file_text(const struct berth_model *m, const struct reference_form *form, char **out) {
    struct berth_str s;
    berth_str_init(&s);
    berth_str_addf(&s, "{\n  \"format\": %d,\n  \"heads\": [", HEADS_FILE_FORMAT);
    for (int i = 0; i < m->head_count; i++) {
        berth_str_add(&s, i == 0 ? "\n" : ",\n");
        write_head(&s, &m->heads[i], form);
    }
    berth_str_add(&s, m->head_count == 0 ? "]\n}\n" : "\n  ]\n}\n");
    return berth_str_take(&s, out);
}
