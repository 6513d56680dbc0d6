/* heads_file.c: berth_heads.json: what a model folder says of its heads, beside what the reference library
 * reads.
 *
 *     {"format": 1,
 *      "heads": [{"name": "intent", "type": "classification", "pooling": "mean", "dropout": 0.1,
 *                 "label_smoothing": 0, "labels": ["a", "b"],
 *                 "tensors": {"weight": "heads.intent.weight", "bias": "heads.intent.bias"}}]}
 *
 * dropout is absent where the backbone's is meant; labels stand in the order of their classes. */
#include <stdlib.h>
#include <string.h>

#include "model/model_priv.h"

void heads_file_free(struct heads_file_entry *entries, int count) {
    for (int i = 0; entries != NULL && i < count; i++) {
        head_deinit(&entries[i].head);
        free(entries[i].weight);
        free(entries[i].bias);
    }
    free(entries);
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
    BERTH_TRY(read_labels(&h->task.labels, j, index, file));
    BERTH_TRY(berth_json_string(&text, j, at(path, index, "tensors.weight")));
    BERTH_TRY(berth_strdup(&e->weight, text));
    BERTH_TRY(berth_json_string(&text, j, at(path, index, "tensors.bias")));
    return berth_strdup(&e->bias, text);
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

static void write_head(struct berth_str *s, const struct berth_head *h, bool as_reference) {
    berth_str_add(s, "    {\"name\": ");
    berth_str_add_json(s, h->task.name);
    berth_str_addf(s, ", \"type\": \"%s\", \"pooling\": \"%s\"", berth_task_kind_name(h->task.kind),
                   berth_pooling_name(h->pooling));
    if (h->dropout >= 0.0f) write_rate(s, "dropout", h->dropout);
    write_rate(s, "label_smoothing", h->label_smoothing);
    berth_str_add(s, ",\n     \"labels\": [");
    for (size_t i = 0; i < h->task.labels.count; i++) {
        berth_str_add(s, i == 0 ? "" : ", ");
        berth_str_add_json(s, h->task.labels.names[i]);
    }
    berth_str_add(s, "],\n     \"tensors\": {");
    static const char *const PARTS[] = {"weight", "bias"};
    for (int part = 0; part < 2; part++) {
        struct berth_str name;
        berth_str_init(&name);
        if (as_reference) {
            berth_str_addf(&name, "classifier.%s", PARTS[part]);
        } else {
            berth_str_addf(&name, "heads.%s.%s", h->task.name, PARTS[part]);
        }
        berth_str_addf(s, "%s\"%s\": ", part == 0 ? "" : ", ", PARTS[part]);
        s->failed = s->failed || name.failed;
        if (!name.failed) berth_str_add_json(s, name.data);
        berth_str_deinit(&name);
    }
    berth_str_add(s, "}}");
}

berth_status heads_file_text(const struct berth_model *m, bool as_reference, char **out) {
    struct berth_str s;
    berth_str_init(&s);
    berth_str_addf(&s, "{\n  \"format\": %d,\n  \"heads\": [", HEADS_FILE_FORMAT);
    for (int i = 0; i < m->head_count; i++) {
        berth_str_add(&s, i == 0 ? "\n" : ",\n");
        write_head(&s, &m->heads[i], as_reference);
    }
    berth_str_add(&s, m->head_count == 0 ? "]\n}\n" : "\n  ]\n}\n");
    return berth_str_take(&s, out);
}
