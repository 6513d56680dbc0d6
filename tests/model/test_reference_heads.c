/* test_reference_heads.c: folders that the reference's classes with a head wrote
 * (scripts/make_head_folder_golden.py) become models with one head and give the reference's logits; written
 * again they are the same files to the reference. */
#include <math.h>
#include <stdio.h>

#include "berth/file.h"
#include "model/support_model.h"

static const int64_t LENGTHS[] = {5, 1, 12, 8};
static struct berth_device *device;
static struct berth_tape *tape;
static struct berth_json *classes;
static struct berth_safetensors *expected;
static char *root, *temp;

static int setup(void **state) {
    (void)state;
    const char *source = getenv("BERTH_SOURCE_DIR");
    root = model_path(source != NULL ? source : ".", "tests/golden/reference_heads");
    char *list = model_path(root, "classes.json"), *numbers = model_path(root, "expected.safetensors");
    check_ok(berth_json_load(&classes, list));
    check_ok(berth_safetensors_open(&expected, numbers));
    check_ok(berth_device_open(&device, "cpu"));
    check_ok(berth_tape_create(&tape, device));
    temp = model_temp_folder();
    free(list);
    free(numbers);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    model_temp_remove(temp);
    berth_tape_free(tape);
    berth_device_close(device);
    berth_safetensors_close(expected);
    berth_json_free(classes);
    free(root);
    return 0;
}

static const char *class_text(const char *name, const char *key) {
    char path[96];
    const char *text = NULL;
    snprintf(path, sizeof path, "classes.%s.%s", name, key);
    check_ok(berth_json_string(&text, classes, path));
    return text;
}

static const struct berth_safetensor *number(const char *name) {
    const struct berth_safetensor *t = berth_safetensors_find(expected, name);
    if (t == NULL) fail_msg("no '%s' in expected.safetensors", name);
    return t;
}

static struct berth_model *load(const char *folder) {
    struct berth_model *m = NULL;
    check_ok(berth_model_load(&m, device, folder));
    check_ok(berth_model_allocate(m, 1));
    return m;
}

/* Outputs of the only head, an item a sequence or a row; freed by the caller. */
static float *outputs_of(struct berth_model *m, int64_t *count) {
    struct berth_batch b;
    struct berth_tensor *logits = NULL;
    const struct berth_forward_options inference = {.training = false};
    const int32_t *tokens = number("tokens")->data, *segments = number("segments")->data;
    int64_t begin = 0;
    berth_batch_init(&b);
    check_ok(berth_batch_reset(&b, 1));
    for (int i = 0; i < 4; begin += LENGTHS[i++])
        check_ok(berth_batch_add_sequence(&b, tokens + begin, segments + begin, LENGTHS[i], i, 0, i));
    const bool rows = !head_kind_of(&m->heads[0])->pools;
    for (int32_t i = 0; i < (rows ? begin : 4); i++)
        check_ok(berth_batch_add_item(&b, 0, i, 0));
    check_ok(berth_batch_finish(&b));
    berth_tape_reset(tape, false);
    check_ok(berth_model_forward(m, tape, &b, &inference, &logits));
    *count = logits->shape[0] * logits->shape[1];
    float *copy = malloc((size_t)*count * sizeof *copy);
    memcpy(copy, logits->data, (size_t)*count * sizeof *copy);
    berth_batch_deinit(&b);
    return copy;
}

static void check_logits(const char *name, const float *x, int64_t count) {
    char key[64];
    double square = 0.0, distance = 0.0;
    snprintf(key, sizeof key, "%s.logits", name);
    const struct berth_safetensor *r = number(key);
    assert_int_equal(r->count, count);
    for (int64_t i = 0; i < count; i++) {
        double value = 0.0;
        memcpy(&value, (const char *)r->data + i * 8, sizeof value);
        square += value * value;
        distance += ((double)x[i] - value) * ((double)x[i] - value);
    }
    if (!(sqrt(distance) <= 2e-6 * sqrt(square)))
        fail_msg("%s: logits differ by %.3g of %.3g", name, sqrt(distance), sqrt(square));
}

static void check_head(const char *name, const struct berth_model *m) {
    char path[96];
    assert_int_equal(m->head_count, 1);
    const struct berth_head *h = &m->heads[0];
    assert_string_equal(berth_task_kind_name(h->task.kind), class_text(name, "kind"));
    assert_string_equal(h->task.name, h->task.kind == BERTH_TASK_MLM ? "mlm" : "classifier");
    snprintf(path, sizeof path, "classes.%s.labels", name);
    assert_int_equal(berth_json_count(classes, path), h->task.labels.count);
    for (size_t i = 0; i < h->task.labels.count; i++) {
        snprintf(path, sizeof path, "labels[%zu]", i);
        assert_string_equal(h->task.labels.names[i], class_text(name, path));
    }
    for (int i = 0; i < m->parameter_count; i++) {
        if (!m->parameters[i].loaded)
            fail_msg("%s: '%s' did not come from the folder", name, m->parameters[i].name);
    }
}

/* Every tensor of the reference's file stands in ours, with its name and bits. */
static void check_written(const char *name, const char *theirs, const char *ours) {
    struct berth_safetensors *a = NULL, *b = NULL;
    struct berth_json *j = NULL;
    char *path = model_path(theirs, "model.safetensors");
    check_ok(berth_safetensors_open(&a, path));
    free(path);
    path = model_path(ours, "model.safetensors");
    check_ok(berth_safetensors_open(&b, path));
    free(path);
    for (size_t i = 0; i < berth_safetensors_count(a); i++) {
        const struct berth_safetensor *t = berth_safetensors_at(a, i), *u = berth_safetensors_find(b, t->name);
        if (strncmp(t->name, "cls.seq_relationship", 20) == 0) continue; /* pre-training's second head */
        if (u == NULL || u->bytes != t->bytes || memcmp(u->data, t->data, t->bytes) != 0)
            fail_msg("%s: '%s' is not written as it was", name, t->name);
    }
    path = model_path(ours, "config.json");
    const char *class_name = NULL, *before = class_text(name, "class");
    check_ok(berth_json_load(&j, path));
    check_ok(berth_json_string(&class_name, j, "architectures[0]"));
    assert_string_equal(class_name, strcmp(before, "BertForPreTraining") == 0 ? "BertForMaskedLM" : before);
    free(path);
    berth_json_free(j);
    berth_safetensors_close(a);
    berth_safetensors_close(b);
}

/* For scripts/check_reference_load.py: a copy stays in the folder of BERTH_WRITE_FORMS. */
static void keep(const char *name, const struct berth_model *m) {
    const char *forms = getenv("BERTH_WRITE_FORMS");
    if (forms == NULL || forms[0] == '\0') return;
    char *path = model_path(forms, name);
    check_ok(berth_model_save(m, NULL, path));
    free(path);
}

static void the_references_folders_go_in_and_out(void **state) {
    (void)state;
    const size_t names = berth_json_count(classes, "names");
    assert_int_equal(names, 11);
    for (size_t i = 0; i < names; i++) {
        char path[32];
        const char *name = NULL;
        int64_t count = 0, again = 0;
        snprintf(path, sizeof path, "names[%zu]", i);
        check_ok(berth_json_string(&name, classes, path));
        char *folder = model_path(root, name), *copy = model_path(temp, name), *heads = NULL;
        struct berth_model *m = load(folder);
        check_head(name, m);
        float *x = outputs_of(m, &count);
        check_logits(name, x, count);
        check_ok(berth_model_save(m, NULL, copy));
        keep(name, m);
        check_written(name, folder, copy);
        berth_model_free(m);
        m = load(copy); /* by berth_heads.json */
        float *y = outputs_of(m, &again);
        assert_int_equal(count, again);
        assert_memory_equal(x, y, (size_t)count * sizeof *x);
        berth_model_free(m);
        heads = model_path(copy, "berth_heads.json");
        assert_int_equal(remove(heads), 0);
        m = load(copy); /* by config.json */
        check_head(name, m);
        free(y);
        y = outputs_of(m, &again);
        assert_memory_equal(x, y, (size_t)count * sizeof *x);
        berth_model_free(m);
        free(x);
        free(y);
        free(heads);
        free(folder);
        free(copy);
    }
}

static void settings_of_the_class_are_taken(void **state) {
    (void)state;
    char *folder = model_path(root, "bert_plain");
    struct berth_model *m = load(folder);
    assert_true(m->heads[0].dropout == 0.25f && m->heads[0].pooling == BERTH_POOL_POOLER);
    assert_string_equal(m->heads[0].task.labels.names[1], "LABEL_1");
    berth_model_free(m);
    free(folder);
    folder = model_path(root, "distilbert_class");
    m = load(folder);
    assert_true(m->heads[0].dropout == 0.3f && m->heads[0].pooling == BERTH_POOL_CLS &&
                m->heads[0].hidden_layers == 1 && m->heads[0].activation == BERTH_ACT_RELU);
    berth_model_free(m);
    free(folder);
}

/* A head of another name asks for the masked language model that came with the folder. */
static void an_mlm_head_begins_with_the_folders_values(void **state) {
    (void)state;
    static const char *const FOLDERS[] = {"bert_pretraining", "distilbert_words"};
    for (int i = 0; i < 2; i++) {
        char *folder = model_path(root, FOLDERS[i]);
        struct berth_model *m = NULL, *plain = load(folder);
        check_ok(berth_model_load(&m, device, folder));
        check_ok(berth_model_keep_heads(m, NULL, 0));
        small_add_head(m, "words", BERTH_TASK_MLM, BERTH_POOL_CLS, 0);
        check_ok(berth_model_allocate(m, 7));
        assert_int_equal(m->total, plain->total);
        assert_memory_equal(m->values, plain->values, (size_t)m->total * sizeof(float));
        berth_model_free(m);
        berth_model_free(plain);
        free(folder);
    }
}

/* ---- folders whose class is not what it says */

/* A copy of a folder with other text in config.json. */
static char *altered(const char *name, const char *from, const char *to) {
    char *folder = model_path(root, name), *copy = model_path(temp, "altered"), *weights = NULL, *bytes = NULL;
    struct berth_str s;
    size_t size = 0;
    check_ok(berth_make_folders(copy));
    char *config = model_read_text(folder, "config.json"), *at = strstr(config, from);
    if (at == NULL) fail_msg("%s: no '%s' in config.json", name, from);
    berth_str_init(&s);
    berth_str_addn(&s, config, (size_t)(at - config));
    berth_str_addf(&s, "%s%s", to, at + strlen(from));
    model_put_text(copy, "config.json", s.data);
    weights = model_path(folder, "model.safetensors");
    check_ok(berth_file_read(&bytes, &size, weights));
    free(weights);
    weights = model_path(copy, "model.safetensors");
    check_ok(berth_file_put(weights, bytes, size));
    berth_str_deinit(&s);
    free(weights);
    free(bytes);
    free(config);
    free(folder);
    return copy;
}

static void check_no_head(char *folder, const char *line) {
    struct berth_model *m = NULL;
    log_capture_begin();
    check_ok(berth_model_load(&m, device, folder));
    char *log = log_capture_end();
    assert_int_equal(m->head_count, 0);
    if (line[0] != '\0' && strstr(log, line) == NULL)
        fail_msg("expected '%s' in the log, found: %s", line, log);
    free(log);
    berth_model_free(m);
    free(folder);
}

static void check_refused(char *folder, const char *line) {
    struct berth_model *m = NULL;
    check_fails(berth_model_load(&m, device, folder), BERTH_E_FORMAT, line);
    free(folder);
}

static void classes_that_lie_are_told(void **state) {
    (void)state;
    check_no_head(altered("bert_words", "BertForMaskedLM", "BertModel"), "");
    check_no_head(altered("bert_words", "BertForMaskedLM", "BertForTokenClassification"),
                  "the class is BertForTokenClassification, but the weights have no 'classifier.weight'");
    check_refused(altered("bert_class", "\"1\": \"glad\",", ""),
                  "id2label names 2 classes, but 'classifier.weight' has 3 rows");
    check_refused(altered("bert_class", "\"1\": \"glad\"", "\"1\": \"calm\""),
                  "gives the classes 0 and 1 the same name 'calm'");
    check_refused(altered("bert_class", "single_label_classification", "ranking"),
                  "problem_type is 'ranking', expected single_label_classification");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_references_folders_go_in_and_out),
        cmocka_unit_test(settings_of_the_class_are_taken),
        cmocka_unit_test(an_mlm_head_begins_with_the_folders_values),
        cmocka_unit_test(classes_that_lie_are_told),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
