/* test_model_config.c: config.json of both families in and out; what berth does not build is refused by name.
 */
#include <stdio.h>

#include "model/support_model.h"

static char *folder, *path;

static int setup(void **state) {
    (void)state;
    folder = model_temp_folder();
    path = model_path(folder, "config.json");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    model_temp_remove(folder);
    free(path);
    return 0;
}

#define BERT_SIZES                                                                                             \
    "\"vocab_size\": 100, \"max_position_embeddings\": 20, \"num_hidden_layers\": 3, \"hidden_size\": 24, "    \
    "\"num_attention_heads\": 4, \"intermediate_size\": 48"
#define DISTIL_SIZES                                                                                           \
    "\"model_type\": \"distilbert\", \"vocab_size\": 100, \"max_position_embeddings\": 20, \"n_layers\": 3, "  \
    "\"dim\": 24, \"n_heads\": 4, \"hidden_dim\": 48"

static void bert_is_read(void **state) {
    (void)state;
    struct berth_model_config c;
    model_put_text(
        folder, "config.json",
        "{\"model_type\": \"bert\", " BERT_SIZES ", \"hidden_act\": \"gelu_new\", \"type_vocab_size\": 3, "
        "\"hidden_dropout_prob\": 0.25, \"attention_probs_dropout_prob\": 0, \"layer_norm_eps\": 1e-5, "
        "\"initializer_range\": 0.5, \"pad_token_id\": 7, \"unknown\": [1, 2]}");
    check_ok(model_config_read(&c, path));
    assert_string_equal(c.model_type, "bert");
    assert_int_equal(c.vocab_size, 100);
    assert_int_equal(c.positions, 20);
    assert_int_equal(c.layers, 3);
    assert_int_equal(c.hidden, 24);
    assert_int_equal(c.heads, 4);
    assert_int_equal(c.intermediate, 48);
    assert_int_equal(c.segments, 3);
    assert_int_equal(c.activation, BERTH_ACT_GELU_TANH);
    assert_true(c.hidden_dropout == 0.25f && c.attention_dropout == 0.0f);
    assert_true(c.layer_norm_eps == 1e-5f && c.init_range == 0.5f);
    assert_int_equal(c.pad_token, 7);
    assert_true(c.pooler);
    berth_model_config_deinit(&c);
}

static void absent_fields_are_the_reference_defaults(void **state) {
    (void)state;
    struct berth_model_config c;
    model_put_text(folder, "config.json", "{" BERT_SIZES "}");
    check_ok(model_config_read(&c, path));
    assert_string_equal(c.model_type, "bert");
    assert_int_equal(c.segments, 2);
    assert_int_equal(c.activation, BERTH_ACT_GELU);
    assert_true(c.hidden_dropout == 0.1f && c.attention_dropout == 0.1f);
    assert_true(c.layer_norm_eps == 1e-12f && c.init_range == 0.02f);
    berth_model_config_deinit(&c);
    model_put_text(folder, "config.json", "{" DISTIL_SIZES ", \"activation\": \"relu\", \"dropout\": 0.3}");
    check_ok(model_config_read(&c, path));
    assert_string_equal(c.model_type, "distilbert");
    assert_int_equal(c.segments, 0);
    assert_int_equal(c.layers, 3);
    assert_int_equal(c.intermediate, 48);
    assert_int_equal(c.activation, BERTH_ACT_RELU);
    assert_true(c.hidden_dropout == 0.3f && c.attention_dropout == 0.1f && c.layer_norm_eps == 1e-12f);
    assert_false(c.pooler);
    berth_model_config_deinit(&c);
}

static void what_is_written_is_read(void **state) {
    (void)state;
    static const char *const TYPES[] = {"bert", "distilbert"};
    static const enum berth_activation ACTIVATIONS[] = {BERTH_ACT_GELU, BERTH_ACT_GELU_TANH, BERTH_ACT_RELU,
                                                        BERTH_ACT_SILU};
    for (int i = 0; i < 8; i++) {
        struct berth_model_config c, read;
        struct berth_str s;
        small_config(&c, TYPES[i % 2]);
        c.activation = ACTIVATIONS[i / 2];
        c.hidden_dropout = 0.1f + 0.01f * (float)i;
        c.attention_dropout = 0.3f / 7.0f;
        c.init_range = 0.02f;
        if (i % 2 == 0) c.layer_norm_eps = 1e-6f;
        berth_str_init(&s);
        berth_str_add(&s, "{\"x\": 0");
        model_config_write(&c, &s);
        berth_str_add(&s, "}");
        model_put_text(folder, "config.json", s.data);
        check_ok(model_config_read(&read, path));
        assert_string_equal(read.model_type, c.model_type);
        assert_int_equal(read.layers, c.layers);
        assert_int_equal(read.hidden, c.hidden);
        assert_int_equal(read.heads, c.heads);
        assert_int_equal(read.intermediate, c.intermediate);
        assert_int_equal(read.vocab_size, c.vocab_size);
        assert_int_equal(read.positions, c.positions);
        assert_int_equal(read.segments, c.segments);
        assert_int_equal(read.activation, c.activation);
        assert_true(read.hidden_dropout == c.hidden_dropout && read.attention_dropout == c.attention_dropout);
        assert_true(read.layer_norm_eps == c.layer_norm_eps && read.init_range == c.init_range);
        assert_int_equal(read.pooler, c.pooler);
        berth_str_deinit(&s);
        berth_model_config_deinit(&c);
        berth_model_config_deinit(&read);
    }
}

static void bad_files_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *text;
        berth_status status;
        const char *said;
    } CASES[] = {
        {"", BERTH_E_FORMAT, "the file is empty"},
        {"{", BERTH_E_FORMAT, "not valid JSON"},
        {"{}", BERTH_E_FORMAT, "'num_hidden_layers' is missing, expected a whole number"},
        {"{\"model_type\": \"distilbert\"}", BERTH_E_FORMAT, "'n_layers' is missing"},
        {"{\"model_type\": \"roberta\", " BERT_SIZES "}", BERTH_E_UNSUPPORTED,
         "'model_type' is 'roberta'; berth has bert and distilbert"},
        {"{" BERT_SIZES ", \"pruned_heads\": {\"0\": [1]}}", BERTH_E_UNSUPPORTED,
         "'pruned_heads' is not empty"},
        {"{\"model_type\": 3, " BERT_SIZES "}", BERTH_E_FORMAT, "'model_type': expected a text, found 3"},
        {"{" BERT_SIZES ", \"hidden_act\": \"mish\"}", BERTH_E_UNSUPPORTED,
         "'hidden_act' is 'mish'; berth has gelu"},
        {"{" DISTIL_SIZES ", \"activation\": \"tanhshrink\"}", BERTH_E_UNSUPPORTED,
         "'activation' is 'tanhshrink'"},
        {"{" BERT_SIZES ", \"position_embedding_type\": \"relative_key\"}", BERTH_E_UNSUPPORTED,
         "'position_embedding_type' is 'relative_key'; berth has absolute positions"},
        {"{" BERT_SIZES ", \"is_decoder\": true}", BERTH_E_UNSUPPORTED, "'is_decoder' is true"},
        {"{" BERT_SIZES ", \"add_cross_attention\": true}", BERTH_E_UNSUPPORTED,
         "'add_cross_attention' is true"},
        {"{" BERT_SIZES ", \"is_encoder_decoder\": true}", BERTH_E_UNSUPPORTED, "'is_encoder_decoder' is true"},
        {"{" BERT_SIZES ", \"type_vocab_size\": 0}", BERTH_E_FORMAT, "'type_vocab_size'"},
        {"{" BERT_SIZES ", \"hidden_dropout_prob\": 1.0}", BERTH_E_FORMAT, "hidden dropout 1 is outside"},
        {"{" BERT_SIZES ", \"attention_probs_dropout_prob\": -0.1}", BERTH_E_FORMAT, "attention dropout -0.1"},
        {"{" BERT_SIZES ", \"layer_norm_eps\": 0}", BERTH_E_FORMAT, "layer_norm_eps 0 is not above 0"},
        {"{" BERT_SIZES ", \"initializer_range\": -1}", BERTH_E_FORMAT, "initializer_range -1"},
        {"{" BERT_SIZES ", \"pad_token_id\": 100}", BERTH_E_FORMAT, "'pad_token_id'"},
        {"{\"vocab_size\": 100, \"max_position_embeddings\": 20, \"num_hidden_layers\": 3, \"hidden_size\": "
         "25, "
         "\"num_attention_heads\": 4, \"intermediate_size\": 48}",
         BERTH_E_FORMAT, "hidden size 25 is not a multiple of the 4 attention heads"},
        {"{\"num_hidden_layers\": 1e9}", BERTH_E_FORMAT,
         "'num_hidden_layers': expected a whole number from 1 to 512"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct berth_model_config c;
        model_put_text(folder, "config.json", CASES[i].text);
        berth_status status = model_config_read(&c, path);
        if (status != CASES[i].status || strstr(berth_error_text(), CASES[i].said) == NULL)
            fail_msg("%s: expected %s '%s', got %s '%s'", CASES[i].text, berth_status_name(CASES[i].status),
                     CASES[i].said, berth_status_name(status), berth_error_text());
        if (strstr(berth_error_text(), path) == NULL) fail_msg("no file is named: %s", berth_error_text());
    }
}

static void new_backbones_are_checked(void **state) {
    (void)state;
    struct berth_device *dev = NULL;
    struct berth_model *m = NULL;
    struct berth_model_config c;
    check_ok(berth_device_open(&dev, "cpu"));
    small_config(&c, "bert");
    c.heads = 5;
    check_fails(berth_model_create(&m, dev, &c), BERTH_E_USAGE,
                "the new backbone: hidden size 24 is not a multiple of the 5 attention heads");
    c.heads = 3;
    c.segments = 0;
    check_fails(berth_model_create(&m, dev, &c), BERTH_E_USAGE, "at least 1 kind of segment");
    c.segments = 2;
    c.activation = BERTH_ACT_NONE;
    check_fails(berth_model_create(&m, dev, &c), BERTH_E_USAGE, "activation number 0");
    berth_model_config_deinit(&c);
    small_config(&c, "distilbert");
    c.layer_norm_eps = 1e-5f;
    check_fails(berth_model_create(&m, dev, &c), BERTH_E_USAGE, "a distilbert backbone has 1e-12");
    berth_model_config_deinit(&c);
    berth_device_close(dev);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bert_is_read),
        cmocka_unit_test(absent_fields_are_the_reference_defaults),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(bad_files_are_refused),
        cmocka_unit_test(new_backbones_are_checked),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
