/* test_sentence_settings.c: what a folder of sentence-transformers says of its embeddings, written by others,
 * by older versions and by berth; and what berth cannot do is refused. */
#include <stdio.h>

#include "berth/file.h"
#include "model/support_model.h"

#define MODULE "sentence_transformers.models."
#define TRANSFORMER "{\"idx\": 0, \"name\": \"0\", \"path\": \"\", \"type\": \"" MODULE "Transformer\"}"
#define POOLING ", {\"idx\": 1, \"name\": \"1\", \"path\": \"1_Pooling\", \"type\": \"" MODULE "Pooling\"}"
#define NORMALIZE                                                                                              \
    ", {\"idx\": 2, \"name\": \"2\", \"path\": \"2_Normalize\", \"type\": \"" MODULE "Normalize\"}"

static char *root;

static int setup(void **state) {
    (void)state;
    root = model_temp_folder();
    char *pooling = model_path(root, "1_Pooling");
    check_ok(berth_make_folders(pooling));
    free(pooling);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    model_temp_remove(root);
    return 0;
}

static void put(const char *modules, const char *pooling) {
    model_put_text(root, "modules.json", modules);
    model_put_text(root, "1_Pooling/config.json", pooling);
}

static void expect(enum berth_pooling pooling, bool normalize, int64_t max_length) {
    struct berth_sentence_settings s;
    check_ok(berth_model_sentence_settings(&s, root));
    assert_true(s.found);
    assert_int_equal(s.pooling, pooling);
    assert_int_equal(s.normalize, normalize);
    assert_int_equal(s.max_length, max_length);
}

static void refuse(berth_status code, const char *line) {
    struct berth_sentence_settings s;
    check_fails(berth_model_sentence_settings(&s, root), code, line);
}

static void folders_of_others(void **state) {
    (void)state;
    struct berth_sentence_settings s;
    check_ok(berth_model_sentence_settings(&s, root));
    assert_false(s.found); /* a plain model folder */
    assert_int_equal(s.pooling, BERTH_POOL_MEAN);
    put("[" TRANSFORMER POOLING NORMALIZE "]",
        "{\"word_embedding_dimension\": 384, \"pooling_mode_cls_token\": false, \"pooling_mode_mean_tokens\": "
        "true,"
        " \"pooling_mode_max_tokens\": false}");
    expect(BERTH_POOL_MEAN, true, 0);
    model_put_text(root, "sentence_bert_config.json", "{\"max_seq_length\": 256, \"do_lower_case\": false}");
    expect(BERTH_POOL_MEAN, true, 256);
    model_put_text(root, "sentence_bert_config.json", "{\"max_seq_length\": null}");
    put("[" TRANSFORMER POOLING "]", "{\"pooling_mode_cls_token\": true, \"pooling_mode_mean_tokens\": false}");
    expect(BERTH_POOL_CLS, false, 0);
    put("[" TRANSFORMER POOLING "]",
        "{\"embedding_dimension\": 384, \"pooling_mode\": \"cls\"}"); /* newer ones */
    expect(BERTH_POOL_CLS, false, 0);
    put("[" TRANSFORMER POOLING "]", "{\"embedding_dimension\": 384, \"pooling_mode\": [\"mean\"]}");
    expect(BERTH_POOL_MEAN, false, 0);
}

static void what_berth_cannot_do(void **state) {
    (void)state;
    put("[" TRANSFORMER POOLING "]", "{\"pooling_mode_max_tokens\": true}");
    refuse(BERTH_E_UNSUPPORTED, "1_Pooling/config.json: the pooling mode is 'max', berth has cls and mean");
    put("[" TRANSFORMER POOLING "]", "{\"pooling_mode_cls_token\": true, \"pooling_mode_mean_tokens\": true}");
    refuse(BERTH_E_UNSUPPORTED, "several pooling modes are on");
    put("[" TRANSFORMER POOLING "]", "{\"pooling_mode\": [\"cls\", \"mean\"]}");
    refuse(BERTH_E_UNSUPPORTED, "several pooling modes are on");
    put("[" TRANSFORMER POOLING "]", "{\"pooling_mode_cls_token\": false}");
    refuse(BERTH_E_UNSUPPORTED, "no pooling mode is on");
    put("[" TRANSFORMER POOLING ", {\"path\": \"2_LSTM\", \"type\": \"" MODULE "LSTM\"}]",
        "{\"pooling_mode\": \"mean\"}");
    refuse(BERTH_E_UNSUPPORTED, "modules.json: module 2 is 'sentence_transformers.models.LSTM'");
    put("[" TRANSFORMER "]", "{}");
    refuse(BERTH_E_UNSUPPORTED, "1 modules, expected a Transformer and a Pooling");
    put("[" TRANSFORMER ", {\"path\": \"../../1_Pooling\", \"type\": \"" MODULE "Pooling\"}]", "{}");
    refuse(BERTH_E_FORMAT, "leads out of the folder");
    put("[" TRANSFORMER POOLING, "{}");
    refuse(BERTH_E_FORMAT, "modules.json");
    put("[" TRANSFORMER POOLING "]", "{\"pooling_mode_cls_token\": 1}");
    refuse(BERTH_E_FORMAT, "pooling_mode_cls_token");
}

/* What save_sentences.c writes is read back, the pooler as a Dense module among it. */
static void berths_own_folders(void **state) {
    (void)state;
    static const enum berth_pooling POOLINGS[] = {BERTH_POOL_MEAN, BERTH_POOL_CLS, BERTH_POOL_POOLER};
    struct berth_device *device = NULL;
    check_ok(berth_device_open(&device, "cpu"));
    struct berth_model *m = small_model(device, "bert");
    check_ok(berth_model_allocate(m, 1));
    derive_values(m, 3, 0.5);
    for (int i = 0; i < 6; i++) {
        const struct berth_save_options options = {.dtype = i == 5 ? BERTH_WEIGHTS_BF16 : BERTH_WEIGHTS_F32,
                                                   .sentences = true,
                                                   .pooling = POOLINGS[i % 3],
                                                   .normalize = i >= 3,
                                                   .max_length = 16};
        struct berth_sentence_settings s;
        char name[16];
        snprintf(name, sizeof name, "own%d", i);
        char *folder = model_path(root, name);
        check_ok(berth_model_save_as(m, NULL, &options, folder));
        check_ok(berth_model_sentence_settings(&s, folder));
        assert_true(s.found && s.pooling == POOLINGS[i % 3] && s.normalize == (i >= 3) && s.max_length == 16);
        if (POOLINGS[i % 3] == BERTH_POOL_POOLER) { /* another Dense is not the pooler */
            struct berth_safetensors *dense = NULL;
            char *path = model_path(folder, "2_Dense/model.safetensors"), *bytes = NULL;
            size_t size = 0;
            check_ok(berth_safetensors_open(&dense, path));
            berth_safetensors_close(dense);
            check_ok(berth_file_read(&bytes, &size, path));
            bytes[size - 1] ^= 1;
            check_ok(berth_file_put(path, bytes, size));
            check_fails(berth_model_sentence_settings(&s, folder), BERTH_E_UNSUPPORTED, "module 2 is");
            free(path);
            free(bytes);
        }
        free(folder);
    }
    berth_model_free(m);
    berth_device_close(device);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_of_others),
        cmocka_unit_test(what_berth_cannot_do),
        cmocka_unit_test(berths_own_folders),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
