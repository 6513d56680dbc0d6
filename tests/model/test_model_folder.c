/* test_model_folder.c: model folders: what is saved is loaded to the bit, under the reference's names; folders
 * of strangers and damaged ones are understood or refused by name; nothing half-written stays. */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "berth/file.h"
#include "model/support_model.h"

static struct berth_device *device;
static struct berth_tokenizer *tokenizer;
static char *root, *folder;

static int setup(void **state) {
    (void)state;
    struct berth_str vocab;
    berth_str_init(&vocab);
    berth_str_add(&vocab, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n");
    for (int i = 5; i < 50; i++)
        berth_str_addf(&vocab, "w%d\n", i);
    check_ok(berth_device_open(&device, "cpu"));
    root = model_temp_folder();
    folder = model_path(root, "model");
    model_put_text(root, "vocab.txt", vocab.data);
    char *path = model_path(root, "vocab.txt");
    check_ok(berth_tokenizer_load_vocab(&tokenizer, path, NULL));
    free(path);
    berth_str_deinit(&vocab);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    berth_tokenizer_free(tokenizer);
    berth_device_close(device);
    free(folder);
    model_temp_remove(root);
    return 0;
}

/* ---- helpers */

/* Allocated, with derived values. heads: "c" classification on the pooler, "m" on the mean, "l" several labels
 * on the pooler, "t" tagging. */
static struct berth_model *make(const char *model_type, const char *heads) {
    struct berth_model *m = small_model(device, model_type);
    for (int i = 0; heads[i] != '\0'; i++) {
        char name[16];
        snprintf(name, sizeof name, "head%d", i);
        small_add_head(m, name,
                       heads[i] == 't'   ? BERTH_TASK_TAGGING
                       : heads[i] == 'l' ? BERTH_TASK_MULTILABEL
                                         : BERTH_TASK_CLASSIFICATION,
                       heads[i] == 'm' ? BERTH_POOL_MEAN : BERTH_POOL_POOLER, 3 + i);
    }
    check_ok(berth_model_allocate(m, 1));
    derive_values(m, 9, 0.3);
    return m;
}

static void check_equal_values(const struct berth_model *a, const struct berth_model *b) {
    assert_int_equal(a->parameter_count, b->parameter_count);
    for (int i = 0; i < a->parameter_count; i++) {
        const char *name = a->parameters[i].name;
        float *x = values_of(a, name), *y = values_of(b, name);
        assert_string_equal(name, b->parameters[i].name);
        if (memcmp(x, y, (size_t)a->parameters[i].count * sizeof *x) != 0) fail_msg("%s differs", name);
        assert_true(b->parameters[i].loaded);
        free(x);
        free(y);
    }
}

/* Writes the folder's tensors anew: `from` gets the name `to` (NULL: it is left out), or all names a prefix. */
static void rewrite(const char *from, const char *to, const char *prefix) {
    char *path = model_path(folder, "model.safetensors");
    struct berth_safetensors *f = NULL;
    struct berth_safetensor_out out[64];
    char *names[64] = {NULL};
    size_t count = 0;
    bool found = from == NULL;
    check_ok(berth_safetensors_open(&f, path));
    assert_true(berth_safetensors_count(f) <= 64);
    for (size_t i = 0; i < berth_safetensors_count(f); i++) {
        const struct berth_safetensor *t = berth_safetensors_at(f, i);
        const bool hit = from != NULL && strcmp(t->name, from) == 0;
        found = found || hit;
        if (hit && to == NULL) continue;
        char name[256];
        snprintf(name, sizeof name, "%s%s", prefix == NULL ? "" : prefix, hit ? to : t->name);
        check_ok(berth_strdup(&names[count], name));
        out[count] = (struct berth_safetensor_out){
            .name = names[count], .rank = t->rank, .shape = t->shape, .data = t->data};
        count++;
    }
    if (!found) fail_msg("there is no tensor '%s' to rename", from);
    check_ok(berth_safetensors_write(path, out, count));
    berth_safetensors_close(f);
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(path);
}

static void check_load_fails(berth_status code, const char *said) {
    struct berth_model *m = NULL;
    check_fails(berth_model_load(&m, device, folder), code, said);
    if (strstr(berth_error_text(), folder) == NULL) fail_msg("no folder is named: %s", berth_error_text());
    assert_null(m);
}

/* Nothing but the named things lies in the root folder. */
static void check_root(const char *const *expected, size_t expected_count) {
    char **names = NULL;
    size_t count = 0;
    check_ok(berth_list_folder(&names, &count, root));
    for (size_t i = 0; i < count; i++) {
        if (i >= expected_count || strcmp(names[i], expected[i]) != 0)
            fail_msg("'%s' was left behind", names[i]);
    }
    assert_int_equal(count, expected_count);
    berth_names_free(names, count);
}

static void save(const struct berth_model *m) {
    static const char *const NAMES[] = {"model", "vocab.txt"};
    check_ok(berth_model_save(m, tokenizer, folder));
    check_root(NAMES, 2);
}

/* ---- what is saved is loaded */

static const struct {
    const char *type, *heads, *class_name, *has, *has_not;
} FORMS[] = {
    {"bert", "", "BertModel", "pooler.dense.weight", "bert.pooler.dense.weight"},
    {"bert", "c", "BertForSequenceClassification", "bert.pooler.dense.bias", "heads.head0.weight"},
    {"bert", "t", "BertForTokenClassification", "bert.pooler.dense.weight", "heads.head0.weight"},
    {"bert", "l", "BertForSequenceClassification", "classifier.weight", "heads.head0.weight"},
    {"bert", "m", "BertModel", "heads.head0.bias", "classifier.bias"},
    {"bert", "ctm", "BertModel", "encoder.layer.0.attention.self.key.bias", "classifier.weight"},
    {"distilbert", "", "DistilBertModel", "transformer.layer.1.attention.q_lin.weight", "heads.head0.weight"},
    {"distilbert", "t", "DistilBertForTokenClassification", "distilbert.transformer.layer.0.ffn.lin2.bias",
     "heads.head0.weight"},
    {"distilbert", "tm", "DistilBertModel", "transformer.layer.0.sa_layer_norm.weight",
     "encoder.layer.0.attention.output.LayerNorm.weight"},
};

static void check_written_names(size_t form) {
    char *path = model_path(folder, "model.safetensors"), *config = model_read_text(folder, "config.json");
    char architectures[96];
    struct berth_safetensors *f = NULL;
    check_ok(berth_safetensors_open(&f, path));
    if (berth_safetensors_find(f, FORMS[form].has) == NULL) fail_msg("%s is not written", FORMS[form].has);
    if (berth_safetensors_find(f, FORMS[form].has_not) != NULL) fail_msg("%s is written", FORMS[form].has_not);
    snprintf(architectures, sizeof architectures, "\"architectures\": [\"%s\"]", FORMS[form].class_name);
    if (strstr(config, architectures) == NULL) fail_msg("no %s in %s", architectures, config);
    const bool classifier = strstr(FORMS[form].class_name, "For") != NULL;
    assert_int_equal(berth_safetensors_find(f, "classifier.weight") != NULL, classifier);
    assert_int_equal(strstr(config, "\"id2label\": {\"0\": \"l0\"") != NULL, classifier);
    assert_int_equal(strstr(config, "\"label2id\": {\"l0\": 0") != NULL, classifier);
    berth_safetensors_close(f);
    free(config);
    free(path);
}

static void keep_form(size_t form, struct berth_model *m) {
    static const int64_t LENGTHS[] = {5, 1, 20, 8};
    const char *forms = getenv("BERTH_WRITE_FORMS");
    if (forms == NULL || forms[0] == '\0') return;
    char name[64], names[8][64];
    struct berth_tape *tape = NULL;
    struct berth_batch batch;
    struct berth_tensor *hidden = NULL, *logits[8] = {NULL};
    struct berth_safetensor_out out[8];
    float numbers[2][34];
    const struct berth_forward_options options = {.training = false};
    snprintf(name, sizeof name, "%zu-%s", form, FORMS[form].class_name);
    char *path = model_path(forms, name);
    check_ok(berth_model_save(m, tokenizer, path));
    free(path);
    check_ok(berth_tape_create(&tape, device));
    berth_batch_init(&batch);
    small_batch(&batch, m, LENGTHS, 4);
    berth_tape_reset(tape, false);
    check_ok(berth_model_hidden(m, tape, &batch, &options, &hidden));
    check_ok(berth_model_forward(m, tape, &batch, &options, logits));
    for (int i = 0; i < 34; i++) {
        numbers[0][i] = (float)batch.tokens[i];
        numbers[1][i] = (float)batch.segments[i];
    }
    static const int64_t SHAPE[1] = {34};
    out[0] = (struct berth_safetensor_out){.name = "tokens", .rank = 1, .shape = SHAPE, .data = numbers[0]};
    out[1] = (struct berth_safetensor_out){.name = "segments", .rank = 1, .shape = SHAPE, .data = numbers[1]};
    out[2] = (struct berth_safetensor_out){
        .name = "hidden", .rank = 2, .shape = hidden->shape, .data = hidden->data};
    for (int h = 0; h < m->head_count; h++) {
        snprintf(names[h], sizeof names[h], "logits.%s", m->heads[h].task.name);
        out[3 + h] = (struct berth_safetensor_out){
            .name = names[h], .rank = 2, .shape = logits[h]->shape, .data = logits[h]->data};
    }
    snprintf(name, sizeof name, "%zu.safetensors", form);
    path = model_path(forms, name);
    check_ok(berth_safetensors_write(path, out, 3 + (size_t)m->head_count));
    free(path);
    berth_batch_deinit(&batch);
    berth_tape_free(tape);
}

static void what_is_saved_is_loaded(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof FORMS / sizeof FORMS[0]; i++) {
        struct berth_model *m = make(FORMS[i].type, FORMS[i].heads), *loaded = NULL;
        save(m);
        check_written_names(i);
        keep_form(i, m);
        log_capture_begin();
        check_ok(berth_model_load(&loaded, device, folder));
        check_ok(berth_model_allocate(loaded, 77));
        char *logged = log_capture_end();
        assert_string_equal(logged, "");
        free(logged);
        assert_int_equal(loaded->head_count, m->head_count);
        for (int h = 0; h < m->head_count; h++) {
            const struct berth_head *a = &m->heads[h], *b = &loaded->heads[h];
            assert_string_equal(a->task.name, b->task.name);
            assert_int_equal(a->task.kind, b->task.kind);
            assert_int_equal(a->pooling, b->pooling);
            assert_true(a->dropout == b->dropout && a->label_smoothing == b->label_smoothing);
            assert_true(berth_labels_equal(&a->task.labels, &b->task.labels));
        }
        assert_int_equal(loaded->config.pooler,
                         m->config.pooler); /* a tagger's too: it may be a backbone yet */
        check_equal_values(m, loaded);
        struct berth_tokenizer *t = NULL;
        check_ok(berth_tokenizer_load(&t, folder));
        assert_int_equal(berth_tokenizer_size(t), 50);
        berth_tokenizer_free(t);
        berth_model_free(loaded);
        berth_model_free(m);
    }
}

static void settings_of_heads_are_kept(void **state) {
    (void)state;
    struct berth_model *m = small_model(device, "bert"), *loaded = NULL;
    struct berth_head h = {.task.kind = BERTH_TASK_CLASSIFICATION,
                           .pooling = BERTH_POOL_MEAN,
                           .dropout = 0.3f,
                           .label_smoothing = 0.1f};
    static const char *const LABELS[] = {"a \"quoted\" one", "\xC3\xA9t\xC3\xA9", "x.y[0]", "", "{}"};
    berth_labels_init(&h.task.labels);
    check_ok(berth_strdup(&h.task.name, "H-1_\xC3\xA9"));
    for (size_t i = 0; i < sizeof LABELS / sizeof LABELS[0]; i++)
        check_ok(berth_labels_add(&h.task.labels, LABELS[i], NULL));
    check_ok(berth_model_add_head(m, &h));
    check_ok(berth_model_allocate(m, 1));
    save(m);
    check_ok(berth_model_load(&loaded, device, folder));
    assert_int_equal(loaded->head_count, 1);
    assert_string_equal(loaded->heads[0].task.name, h.task.name);
    assert_true(berth_labels_equal(&loaded->heads[0].task.labels, &h.task.labels));
    assert_true(loaded->heads[0].dropout == 0.3f && loaded->heads[0].label_smoothing == 0.1f);
    assert_int_equal(loaded->heads[0].pooling, BERTH_POOL_MEAN);
    berth_task_deinit(&h.task);
    berth_model_free(loaded);
    berth_model_free(m);
}

/* ---- parts of a backbone */

/* The lower layers alone: their values, and the outputs of the whole one's layer there. */
static void lower_layers_are_kept(void **state) {
    (void)state;
    struct berth_model *m = make("bert", "c"), *half = NULL, *again = NULL;
    save(m);
    check_ok(berth_model_load(&half, device, folder));
    check_fails(berth_model_keep_layers(half, 3), BERTH_E_USAGE, "this backbone has 2");
    check_fails(berth_model_keep_layers(half, 0), BERTH_E_USAGE, "0 layers cannot be kept");
    check_ok(berth_model_keep_layers(half, 1));
    check_ok(berth_model_allocate(half, 4));
    assert_int_equal(half->config.layers, 1);
    assert_int_equal(half->parameter_count, m->parameter_count - 16);
    for (int i = 0; i < half->parameter_count; i++) {
        const struct berth_parameter *p = &half->parameters[i];
        float *x = values_of(m, p->name), *y = values_of(half, p->name);
        if (memcmp(x, y, (size_t)p->count * sizeof *x) != 0) fail_msg("%s differs", p->name);
        free(x);
        free(y);
    }
    save(half);
    check_ok(berth_model_load(&again, device, folder));
    assert_int_equal(again->config.layers, 1);
    berth_model_free(again);
    berth_model_free(half);
    berth_model_free(m);
}

/* A DistilBERT has no pooler: it can be given one, which is then saved and loaded like the rest. */
static void a_new_pooler_may_be_wished_for(void **state) {
    (void)state;
    static const char *const TYPES[] = {"bert", "distilbert"};
    for (int i = 0; i < 2; i++) {
        struct berth_model *m = make(TYPES[i], ""), *with = NULL, *again = NULL;
        save(m);
        check_ok(berth_model_load(&with, device, folder));
        check_ok(berth_model_new_pooler(with));
        small_add_head(with, "intent", BERTH_TASK_CLASSIFICATION, BERTH_POOL_POOLER, 3);
        check_ok(berth_model_allocate(with, 4));
        const int pooler = berth_model_find(with, "pooler.dense.weight");
        assert_true(pooler >= 0 && !with->parameters[pooler].loaded && with->parameters[0].loaded);
        save(with);
        check_ok(berth_model_load(&again, device, folder));
        check_ok(berth_model_allocate(again, 5));
        check_equal_values(with, again);
        berth_model_free(again);
        berth_model_free(with);
        berth_model_free(m);
    }
}

/* Multilingual BERT's vocabulary; other sizes stay small. */
static void a_big_vocabulary_is_no_matter(void **state) {
    (void)state;
    struct berth_model_config c;
    struct berth_model *m = NULL, *loaded = NULL;
    small_config(&c, "bert");
    c.vocab_size = 119547;
    c.activation = BERTH_ACT_RELU;
    check_ok(berth_model_create(&m, device, &c));
    check_ok(berth_model_allocate(m, 1));
    check_ok(berth_model_save(m, NULL, folder));
    check_ok(berth_model_load(&loaded, device, folder));
    check_ok(berth_model_allocate(loaded, 2));
    assert_int_equal(loaded->config.activation, BERTH_ACT_RELU);
    check_equal_values(m, loaded);
    berth_model_free(loaded);
    berth_model_free(m);
    berth_model_config_deinit(&c);
}

/* ---- folders of others */

static void old_names_and_prefixes_are_understood(void **state) {
    (void)state;
    struct berth_model *m = make("bert", ""), *loaded = NULL;
    save(m);
    rewrite("embeddings.LayerNorm.weight", "embeddings.LayerNorm.gamma", NULL);
    rewrite("embeddings.LayerNorm.bias", "embeddings.LayerNorm.beta", NULL);
    rewrite("encoder.layer.1.output.LayerNorm.weight", "encoder.layer.1.output.LayerNorm.gamma", NULL);
    rewrite(NULL, NULL, "bert.");
    check_ok(berth_model_load(&loaded, device, folder));
    check_ok(berth_model_allocate(loaded, 2));
    check_equal_values(m, loaded);
    berth_model_free(loaded);
    berth_model_free(m);
}

/* The tensors of the folder and some of a stranger's. */
static void add_tensors(const char *const *names, size_t added) {
    char *path = model_path(folder, "model.safetensors");
    struct berth_safetensors *f = NULL;
    struct berth_safetensor_out out[80];
    static const float VALUES[24] = {0};
    static const int64_t SHAPE[1] = {24};
    check_ok(berth_safetensors_open(&f, path));
    size_t count = berth_safetensors_count(f);
    assert_true(count + added <= 80);
    for (size_t i = 0; i < count; i++) {
        const struct berth_safetensor *t = berth_safetensors_at(f, i);
        out[i] =
            (struct berth_safetensor_out){.name = t->name, .rank = t->rank, .shape = t->shape, .data = t->data};
    }
    for (size_t i = 0; i < added; i++)
        out[count + i] =
            (struct berth_safetensor_out){.name = names[i], .rank = 1, .shape = SHAPE, .data = VALUES};
    check_ok(berth_safetensors_write(path, out, count + added));
    berth_safetensors_close(f);
    free(path);
}

static void surplus_tensors_are_named_in_the_log(void **state) {
    (void)state;
    struct berth_model *m = make("bert", ""), *loaded = NULL;
    save(m);
    static const char *const QUIET[] = {"embeddings.position_ids", "bert.embeddings.position_ids",
                                        "cls.predictions.bias", "cls.seq_relationship.weight",
                                        "vocab_projector.weight"};
    add_tensors(QUIET, 5);
    log_capture_begin();
    check_ok(berth_model_load(&loaded, device, folder));
    char *logged = log_capture_end();
    assert_string_equal(logged, "");
    free(logged);
    berth_model_free(loaded);
    static const char *const TOLD[] = {"classifier.weight", "classifier.bias",
                                       "encoder.layer.2.output.dense.bias"};
    add_tensors(TOLD, 3);
    log_capture_begin();
    check_ok(berth_model_load(&loaded, device, folder));
    logged = log_capture_end();
    if (strstr(logged, "2 tensors are not used: classifier.bias, classifier.weight") == NULL ||
        strstr(logged, "the tensor 'encoder.layer.2.output.dense.bias' is not used") == NULL)
        fail_msg("logged: %s", logged);
    free(logged);
    assert_int_equal(loaded->head_count, 0);
    berth_model_free(loaded);
    static const char *const TWICE[] = {"bert.pooler.dense.bias"};
    add_tensors(TWICE, 1);
    check_load_fails(BERTH_E_FORMAT, "are both pooler.dense.bias");
    berth_model_free(m);
}

static void a_missing_pooler_is_drawn_when_a_head_asks(void **state) {
    (void)state;
    struct berth_model *m = make("bert", ""), *loaded = NULL;
    save(m);
    rewrite("pooler.dense.weight", NULL, NULL);
    rewrite("pooler.dense.bias", NULL, NULL);
    check_ok(berth_model_load(&loaded, device, folder));
    assert_false(loaded->config.pooler);
    small_add_head(loaded, "intent", BERTH_TASK_CLASSIFICATION, BERTH_POOL_POOLER, 2);
    log_capture_begin();
    check_ok(berth_model_allocate(loaded, 3));
    char *logged = log_capture_end();
    if (strstr(logged, "a fresh one is drawn") == NULL) fail_msg("logged: '%s'", logged);
    free(logged);
    assert_true(loaded->config.pooler);
    assert_false(loaded->parameters[berth_model_find(loaded, "pooler.dense.weight")].loaded);
    assert_true(loaded->parameters[berth_model_find(loaded, "encoder.layer.1.output.dense.bias")].loaded);
    assert_false(loaded->parameters[berth_model_find(loaded, "heads.intent.weight")].loaded);
    berth_model_free(loaded);
    berth_model_free(m);
}

static void half_precision_is_loaded(void **state) {
    (void)state;
    struct berth_model *m = make("bert", ""), *loaded = NULL;
    save(m);
    /* the folder's file again, every tensor as BF16: the upper half of its floats */
    char *path = model_path(folder, "model.safetensors");
    struct berth_safetensors *f = NULL;
    struct berth_str header;
    size_t total = 0;
    check_ok(berth_safetensors_open(&f, path));
    berth_str_init(&header);
    berth_str_add(&header, "{");
    for (size_t i = 0; i < berth_safetensors_count(f); i++) {
        const struct berth_safetensor *t = berth_safetensors_at(f, i);
        berth_str_addf(&header, "%s\"%s\":{\"dtype\":\"BF16\",\"shape\":[%lld", i == 0 ? "" : ",", t->name,
                       (long long)t->shape[0]);
        if (t->rank == 2) berth_str_addf(&header, ",%lld", (long long)t->shape[1]);
        berth_str_addf(&header, "],\"data_offsets\":[%zu,%zu]}", total, total + t->bytes / 2);
        total += t->bytes / 2;
    }
    berth_str_add(&header, "}");
    struct berth_file_writer w;
    const uint64_t length = header.length;
    check_ok(berth_file_begin(&w, path));
    check_ok(berth_file_write(&w, &length, 8));
    check_ok(berth_file_write(&w, header.data, header.length));
    for (size_t i = 0; i < berth_safetensors_count(f); i++) {
        const struct berth_safetensor *t = berth_safetensors_at(f, i);
        for (int64_t k = 0; k < t->count; k++)
            check_ok(berth_file_write(&w, (const unsigned char *)t->data + 4 * k + 2, 2));
    }
    check_ok(berth_file_commit(&w));
    berth_safetensors_close(f);
    berth_str_deinit(&header);
    free(path);
    check_ok(berth_model_load(&loaded, device, folder));
    check_ok(berth_model_allocate(loaded, 2));
    float *x = values_of(m, "pooler.dense.weight"), *y = values_of(loaded, "pooler.dense.weight");
    for (int i = 0; i < 24 * 24; i++) {
        uint32_t bits = 0;
        memcpy(&bits, &x[i], 4);
        bits &= 0xFFFF0000u;
        assert_memory_equal(&bits, &y[i], 4);
    }
    free(x);
    free(y);
    berth_model_free(loaded);
    berth_model_free(m);
}

/* ---- what is wrong is told */

static void replace_text(const char *name, const char *from, const char *to) {
    char *text = model_read_text(folder, name);
    struct berth_str s;
    char *at = strstr(text, from);
    if (at == NULL) fail_msg("%s has no %s: %s", name, from, text);
    berth_str_init(&s);
    berth_str_addn(&s, text, (size_t)(at - text));
    berth_str_add(&s, to);
    berth_str_add(&s, at + strlen(from));
    model_put_text(folder, name, s.data);
    berth_str_deinit(&s);
    free(text);
}

static void damaged_folders_are_refused(void **state) {
    (void)state;
    struct berth_model *m = make("bert", "cm");
    save(m);
    rewrite("encoder.layer.1.attention.self.key.bias", NULL, NULL);
    check_load_fails(BERTH_E_FORMAT, "the tensor 'encoder.layer.1.attention.self.key.bias' is missing");
    save(m);
    rewrite("heads.head0.weight", NULL, NULL);
    check_load_fails(BERTH_E_FORMAT, "names the tensor 'heads.head0.weight' for head 'head0'");
    save(m);
    replace_text("config.json", "\"intermediate_size\": 40", "\"intermediate_size\": 44");
    check_load_fails(BERTH_E_FORMAT,
                     "'encoder.layer.0.intermediate.dense.weight' has shape [40, 24], expected [44, 24]");
    save(m);
    replace_text("config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
    check_load_fails(BERTH_E_FORMAT, "16 tensors are missing: 'encoder.layer.2.attention.self.query.weight', ");
    if (strstr(berth_error_text(), "'encoder.layer.2.attention.output.dense.bias', ...") == NULL)
        fail_msg("not eight of them are named: %s", berth_error_text());
    save(m);
    replace_text("config.json", "\"hidden_size\": 24", "\"hidden_size\": 27");
    check_load_fails(BERTH_E_FORMAT,
                     "tensors do not have config.json's shapes: 'embeddings.word_embeddings.weight' has shape "
                     "[50, 24], expected [50, 27], ");
    save(m);
    replace_text("config.json", "\"vocab_size\": 50", "\"vocab_size\": 49");
    check_load_fails(BERTH_E_FORMAT, "vocab.txt: 50 tokens, but config.json says vocab_size 49");
    save(m);
    replace_text("berth_heads.json", "\"l1\"", "\"l0\"");
    check_load_fails(BERTH_E_FORMAT, "'heads[0].labels[1]': the label 'l0' comes twice");
    save(m);
    replace_text("berth_heads.json", "\"head1\"", "\"head0\"");
    check_load_fails(BERTH_E_FORMAT, "head 'head0' comes twice");
    save(m);
    replace_text("berth_heads.json", "\"classification\"", "\"parsing\"");
    check_load_fails(BERTH_E_FORMAT,
                     "'heads[0].type' is 'parsing', expected classification, tagging, multilabel");
    save(m);
    replace_text("berth_heads.json", "\"mean\"", "\"max\"");
    check_load_fails(BERTH_E_FORMAT, "'heads[1].pooling' is 'max', expected pooler, cls or mean");
    save(m);
    replace_text("berth_heads.json", "\"format\": 1", "\"format\": 2");
    check_load_fails(BERTH_E_UNSUPPORTED, "format 2, this berth reads format 1");
    save(m);
    replace_text("berth_heads.json", "\"name\": \"head0\"", "\"name\": \"a.b\"");
    check_load_fails(BERTH_E_USAGE, "head 'a.b': the name may not have");
    save(m);
    char *path = model_path(folder, "model.safetensors");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(path, st.st_size - 10), 0);
    check_load_fails(BERTH_E_FORMAT, "(was it cut short?)");
    assert_int_equal(truncate(path, 100), 0);
    check_load_fails(BERTH_E_FORMAT, "the file was cut short");
    assert_int_equal(unlink(path), 0);
    check_load_fails(BERTH_E_IO, "no model.safetensors in this folder");
    model_put_text(folder, "pytorch_model.bin", "PK");
    check_load_fails(BERTH_E_FORMAT, "pytorch_model.bin: the archive's end is missing");
    model_put_text(folder, "model.safetensors.index.json", "{}");
    check_load_fails(BERTH_E_FORMAT, "model.safetensors.index.json: 'weight_map' is missing");
    free(path);
    path = model_path(folder, "config.json");
    assert_int_equal(unlink(path), 0);
    check_load_fails(BERTH_E_IO, "config.json: cannot be opened");
    model_put_text(folder, "config.json",
                   "{}"); /* or it would be no model folder that the next test may replace */
    free(path);
    berth_model_free(m);
    m = NULL;
    check_fails(berth_model_load(&m, device, "/nowhere/at/all"), BERTH_E_IO, "there is no such model folder");
    path = model_path(root, "vocab.txt");
    check_fails(berth_model_load(&m, device, path), BERTH_E_IO, "is a file, expected a model folder");
    free(path);
}

static void a_real_mismatch_is_told(void **state) {
    (void)state;
    const char *data = getenv("BERTH_TEST_DATA");
    if (data == NULL || data[0] == '\0') skip();
    char *path = model_path(data, "weights/camphr-ner-bert-tiny");
    struct berth_model *m = NULL;
    check_fails(berth_model_load(&m, device, path), BERTH_E_FORMAT,
                "vocab.txt: 405 tokens, but config.json says vocab_size 402");
    free(path);
}

/* ---- heads of a loaded folder and those that are asked for */

static void loaded_heads_meet_the_asked(void **state) {
    (void)state;
    struct berth_model *m = make("bert", "tm"), *loaded = NULL; /* head0: tagging, head1: on the mean */
    struct berth_head h;
    save(m);
    check_ok(berth_model_load(&loaded, device, folder));
    small_head(&h, "head0", BERTH_TASK_CLASSIFICATION, BERTH_POOL_CLS, 3);
    check_fails(berth_model_add_head(loaded, &h), BERTH_E_USAGE,
                "is a tagging head in the model, classification is");
    berth_task_deinit(&h.task);
    small_head(&h, "head0", BERTH_TASK_TAGGING, BERTH_POOL_CLS, 4);
    check_fails(
        berth_model_add_head(loaded, &h), BERTH_E_USAGE,
        "the model has 3 labels, the data 4; the first that differs is number 3: '(none)' in the model, 'l3'");
    berth_task_deinit(&h.task);
    static const char *const KEPT[] = {"head1", "nobody"};
    small_add_head(loaded, "new", BERTH_TASK_TAGGING, BERTH_POOL_CLS, 2);
    small_head(&h, "head1", BERTH_TASK_CLASSIFICATION, BERTH_POOL_MEAN, 4);
    h.dropout = 0.5f;
    check_ok(berth_model_add_head(loaded, &h));
    berth_task_deinit(&h.task);
    assert_int_equal(loaded->head_count, 3);
    assert_string_equal(loaded->heads[0].task.name, "head0");
    assert_string_equal(loaded->heads[1].task.name, "new");
    assert_string_equal(loaded->heads[2].task.name, "head1");
    assert_true(loaded->heads[2].dropout == 0.5f);
    check_ok(berth_model_allocate(loaded, 3));
    assert_true(loaded->parameters[loaded->heads[0].weight].loaded);
    assert_false(loaded->parameters[loaded->heads[1].weight].loaded);
    assert_true(loaded->parameters[loaded->heads[2].weight].loaded);
    float *x = values_of(m, "heads.head1.weight"), *y = values_of(loaded, "heads.head1.weight");
    assert_memory_equal(x, y, 4 * 24 * sizeof(float));
    free(x);
    free(y);
    berth_model_free(loaded);
    check_ok(berth_model_load(&loaded, device, folder));
    check_ok(berth_model_keep_heads(loaded, KEPT, 2));
    assert_int_equal(loaded->head_count, 1);
    assert_string_equal(loaded->heads[0].task.name, "head1");
    assert_int_equal(berth_model_find(loaded, "heads.head0.weight"), -1);
    check_ok(berth_model_allocate(loaded, 3));
    berth_model_free(loaded);
    berth_model_free(m);
}

/* ---- folders are replaced whole, and only model folders */

static void only_models_are_replaced(void **state) {
    (void)state;
    struct berth_model *m = make("bert", "c");
    char *other = model_path(root, "other"), *deep = model_path(root, "a/b/model//"), *sub = NULL;
    check_ok(berth_make_folders(other));
    check_ok(berth_model_save(m, NULL, other)); /* an empty folder is nobody's */
    check_ok(berth_model_save(m, tokenizer, other));
    sub = model_path(other, "1_Pooling");
    check_ok(berth_make_folders(sub));
    check_fails(berth_model_save(m, tokenizer, other), BERTH_E_EXISTS, "holds the folder '1_Pooling'");
    assert_int_equal(rmdir(sub), 0);
    char *config = model_path(other, "config.json");
    assert_int_equal(unlink(config), 0);
    check_fails(berth_model_save(m, tokenizer, other), BERTH_E_EXISTS, "holds files and no config.json");
    char *file = model_path(root, "vocab.txt");
    check_fails(berth_model_save(m, tokenizer, file), BERTH_E_EXISTS, "is not a folder");
    check_fails(berth_model_save(m, tokenizer, ""), BERTH_E_USAGE, "is empty");
    check_ok(berth_model_save(m, tokenizer, deep));
    struct berth_model *loaded = NULL;
    check_ok(berth_model_load(&loaded, device, deep));
    berth_model_free(loaded);
    static const char *const NAMES[] = {"a", "model", "other", "vocab.txt"};
    check_root(NAMES, 4);
    free(config);
    free(file);
    free(other);
    free(deep);
    free(sub);
    berth_model_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_saved_is_loaded),
        cmocka_unit_test(settings_of_heads_are_kept),
        cmocka_unit_test(lower_layers_are_kept),
        cmocka_unit_test(a_new_pooler_may_be_wished_for),
        cmocka_unit_test(a_big_vocabulary_is_no_matter),
        cmocka_unit_test(old_names_and_prefixes_are_understood),
        cmocka_unit_test(surplus_tensors_are_named_in_the_log),
        cmocka_unit_test(a_missing_pooler_is_drawn_when_a_head_asks),
        cmocka_unit_test(half_precision_is_loaded),
        cmocka_unit_test(damaged_folders_are_refused),
        cmocka_unit_test(a_real_mismatch_is_told),
        cmocka_unit_test(loaded_heads_meet_the_asked),
        cmocka_unit_test(only_models_are_replaced),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
