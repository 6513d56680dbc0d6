/* The configuration: values, defaults, overrides, and the text of every error. */
#include "base/support_base.h"

#include <stdio.h>

#include "berth/config.h"

static const char sample[] = "seed: 5\n"
                             "output: runs/assistant\n"
                             "model:\n"
                             "  backbone: models/mini   # a folder\n"
                             "  dropout: 0.2\n"
                             "data:\n"
                             "  snips: {format: seqfiles, train: data/train, dev: [a, \"b c\"]}\n"
                             "  reviews:\n"
                             "    format: tsv\n"
                             "    text: sentence\n"
                             "    text_pair: \"1\"\n"
                             "    header: no\n"
                             "    train: x.tsv\n"
                             "tasks:\n"
                             "  intent: {type: classification, source: snips, label: label}\n"
                             "  mood: {type: classification, source: reviews, label: 2, weight: 0.5}\n"
                             "freeze:\n"
                             "  - {select: embeddings}\n"
                             "  - select: layers.0-2\n"
                             "train: {lr: 3.0e-5, steps: 10}\n"
                             "evaluate: {every: 0.5 epochs}\n"
                             "checkpoint: {every: 10 min}\n";

/* The least that is a configuration, on which errors are put. */
#define LEAST "data: {d: {format: tsv}}\ntasks: {t: {type: tagging, source: d, label: 1}}\n"

static struct berth_config *parse(const char *text, size_t count, const char *const *overrides) {
    struct berth_config *c = NULL;
    assert_ok(berth_config_parse(&c, "x.yaml", text, strlen(text), overrides, count));
    return c;
}

static berth_status try_parse(const char *text, const char *override) {
    struct berth_config *c = NULL;
    berth_status status = berth_config_parse(&c, "x.yaml", text, strlen(text), &override, override != NULL);
    if (status == BERTH_OK) berth_config_free(c);
    return status;
}

static void values_and_defaults(void **state) {
    (void)state;
    struct berth_config *c = parse(sample, 0, NULL);
    assert_int_equal(berth_config_int(c, "seed"), 5);
    assert_string_equal(berth_config_string(c, "model.backbone"), "models/mini");
    assert_true(berth_config_number(c, "model.dropout") == 0.2);
    assert_true(berth_config_number(c, "train.lr") == 3e-5);
    assert_true(berth_config_number(c, "train.beta2") == 0.999);
    assert_int_equal(berth_config_int(c, "train.batch_size"), 32);
    assert_true(berth_config_bool(c, "model.lowercase"));
    assert_false(berth_config_bool(c, "frozen_dropout"));
    assert_false(berth_config_bool_f(c, "data.%s.header", "reviews"));
    assert_string_equal(berth_config_string(c, "train.schedule"), "linear");
    assert_true(berth_config_number_f(c, "tasks.%s.weight", "mood") == 0.5);
    assert_true(berth_config_number_f(c, "tasks.%s.weight", "intent") == 1.0);
    assert_string_equal(berth_config_string_f(c, "tasks.%s.layer", "mood"), "last");
    assert_string_equal(berth_config_string(c, "freeze[1].select"), "layers.0-2");
    berth_config_free(c);
    berth_config_free(NULL);
}

static void given_and_has(void **state) {
    (void)state;
    struct berth_config *c = parse(sample, 0, NULL);
    assert_true(berth_config_given(c, "seed") && berth_config_has(c, "seed"));
    assert_true(!berth_config_given(c, "device") && berth_config_has(c, "device"));
    assert_true(!berth_config_has(c, "train.head_lr"));
    assert_true(berth_config_given(c, "model") && !berth_config_given(c, "model.new"));
    /* an absent section with required keys takes its defaults with it */
    assert_false(berth_config_has(c, "model.new"));
    assert_false(berth_config_has(c, "model.new.positions"));
    /* steps are given, so the default of epochs is off; not so for tokens */
    assert_true(berth_config_given(c, "train.steps"));
    assert_false(berth_config_has(c, "train.epochs"));
    assert_true(berth_config_has(c, "train.batch_size"));
    assert_true(berth_config_has_f(c, "tasks.%s.weight", "intent"));
    assert_false(berth_config_given_f(c, "tasks.%s.weight", "intent"));
    assert_false(berth_config_has_f(c, "tasks.%s.weight", "nobody"));
    assert_false(berth_config_has(c, "freeze[2].select"));
    assert_false(berth_config_has(c, "no.such.key"));
    berth_config_free(c);
    const char *const overrides[] = {"model.backbone=null",
                                     "model.new={layers: 2, hidden: 64, heads: 2, intermediate: 128}"};
    c = parse(sample, 2, overrides);
    assert_int_equal(berth_config_int(c, "model.new.positions"), 512);
    assert_false(berth_config_has(c, "model.backbone"));
    berth_config_free(c);
}

static void lists_names_and_columns(void **state) {
    (void)state;
    struct berth_config *c = parse(sample, 0, NULL);
    assert_int_equal(berth_config_count(c, "tasks"), 2);
    assert_string_equal(berth_config_name(c, "tasks", 0), "intent"); /* the file's order */
    assert_string_equal(berth_config_name(c, "tasks", 1), "mood");
    assert_int_equal(berth_config_count(c, "freeze"), 2);
    assert_int_equal(berth_config_count(c, "data.snips.train"), 1);
    assert_string_equal(berth_config_item(c, "data.snips.train", 0), "data/train");
    assert_int_equal(berth_config_count_f(c, "data.%s.dev", "snips"), 2);
    assert_string_equal(berth_config_item_f(c, 1, "data.%s.dev", "snips"), "b c");
    assert_int_equal(berth_config_count(c, "data.snips.test"), 0);
    assert_false(berth_config_is_number(c, "data.reviews.text"));
    assert_false(berth_config_is_number(c, "data.reviews.text_pair")); /* quoted: a name */
    assert_string_equal(berth_config_string(c, "data.reviews.text_pair"), "1");
    assert_true(berth_config_is_number(c, "data.snips.text")); /* the default */
    assert_true(berth_config_is_number(c, "tasks.mood.label"));
    assert_false(berth_config_is_number(c, "tasks.intent.label"));
    berth_config_free(c);
}

static void durations(void **state) {
    (void)state;
    static const struct {
        const char *text;
        double amount;
        enum berth_duration_unit unit;
    } cases[] = {
        {"500 steps", 500, BERTH_STEPS}, {"1 step", 1, BERTH_STEPS},     {"1 epoch", 1, BERTH_EPOCHS},
        {"2epochs", 2, BERTH_EPOCHS},    {"30 s", 30, BERTH_SECONDS},    {"10 min", 600, BERTH_SECONDS},
        {"2 h", 7200, BERTH_SECONDS},    {"1.5 h", 5400, BERTH_SECONDS}, {"1e2 steps", 100, BERTH_STEPS}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char override[64];
        const char *list[1] = {override};
        snprintf(override, sizeof override, "log.every=%s", cases[i].text);
        struct berth_config *c = parse(LEAST, 1, list);
        struct berth_duration d = berth_config_duration(c, "log.every");
        if (d.amount != cases[i].amount || d.unit != cases[i].unit)
            fail_msg("'%s': %g in unit %d", cases[i].text, d.amount, (int)d.unit);
        berth_config_free(c);
    }
#define DURATION                                                                                               \
    "command line: 'log.every=%s': 'log.every': expected a duration such as '500 steps', '1 epoch' or '10 "    \
    "min', found '%s'%s"
    static const char *const bad[][2] = {{"500", "; a number alone has no unit"},
                                         {"0 steps", "; it must be more than 0"},
                                         {"1.5 steps", "; steps are whole"},
                                         {"3 days", "; known units are steps, epochs, tokens, s, min and h"},
                                         {"soon", ""},
                                         {"-1 epoch", "; it must be more than 0"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char override[64], expected[256];
        snprintf(override, sizeof override, "log.every=%s", bad[i][0]);
        snprintf(expected, sizeof expected, DURATION, bad[i][0], bad[i][0], bad[i][1]);
        assert_error(try_parse(LEAST, override), BERTH_E_USAGE, expected);
    }
}

static void overrides(void **state) {
    (void)state;
    const char *const list[] = {"train.lr=1e-3",
                                "tasks.new.type=tagging",
                                "tasks.new.source=snips",
                                "tasks.new.label=seq.out",
                                "freeze[0].select=pooler",
                                "freeze[2].select=\"*bias\"",
                                "data.snips.train=[p, q]",
                                "train.steps=null",
                                "model.dropout=~",
                                "seed=6",
                                "seed=7",
                                "sampling={mix: step}"};
    struct berth_config *c = parse(sample, sizeof list / sizeof list[0], list);
    assert_true(berth_config_number(c, "train.lr") == 1e-3);
    assert_int_equal(berth_config_count(c, "tasks"), 3);
    assert_string_equal(berth_config_name(c, "tasks", 2), "new");
    assert_string_equal(berth_config_string(c, "tasks.new.label"), "seq.out");
    assert_int_equal(berth_config_count(c, "freeze"), 3);
    assert_string_equal(berth_config_string(c, "freeze[0].select"), "pooler");
    assert_string_equal(berth_config_string(c, "freeze[2].select"), "*bias");
    assert_int_equal(berth_config_count(c, "data.snips.train"), 2);
    assert_false(berth_config_given(c, "train.steps"));
    assert_true(berth_config_number(c, "train.epochs") == 3);
    assert_false(berth_config_has(c, "model.dropout"));
    assert_int_equal(berth_config_int(c, "seed"), 7); /* the last wins */
    assert_string_equal(berth_config_string(c, "sampling.mix"), "step");
    berth_config_free(c);
}

static void errors_of_overrides(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"seed", "command line: 'seed': expected key=value, as in train.lr=3e-5"},
        {"=3", "command line: '=3': expected key=value, as in train.lr=3e-5"},
        {"seed=", "command line: 'seed=': there is no value; key=null takes the default"},
        {"seed=x",
         "command line: 'seed=x': 'seed': expected a whole number from 0 to 9007199254740992, found 'x'"},
        {"train..lr=1", "command line: 'train..lr=1': the key has an empty step"},
        {"train.=1", "command line: 'train.=1': the key has an empty step"},
        {"seed.x=1", "command line: 'seed.x=1': 'seed' is a value, not a map"},
        {"train[0]=1", "command line: 'train[0]=1': 'train' is a map, not a list"},
        {"freeze[5].select=pooler",
         "command line: 'freeze[5].select=pooler': there is no entry 5; the list has 2, the next is [2]"},
        {"freeze[x].select=a",
         "command line: 'freeze[x].select=a': expected the number of an entry in brackets, as "
         "in freeze[0].select=..."},
        {"freeze[0]select=a", "command line: 'freeze[0]select=a': expected '.' after ']'"},
        {"seed=*a", "command line: 'seed=*a': aliases ('*name') are not allowed; quote the text"},
        {"seed=[1",
         "command line: 'seed=[1': not valid YAML: did not find expected ',' or ']' (while parsing a "
         "flow sequence)"},
        {"train.bach_size=3",
         "command line: 'train.bach_size=3': key 'train.bach_size' is not known; did you mean "
         "'train.batch_size'?"},
        {"tasks.new.type=tagging",
         "command line: 'tasks.new.type=tagging': 'tasks.new': the required key 'source' is missing: a text "
         "or a list of texts"},
        {"train.epochs=2",
         "command line: 'train.epochs=2': 'train.epochs' and 'train.steps' exclude each other; "
         "leave one out"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_error(try_parse(sample, cases[i][0]), BERTH_E_USAGE, cases[i][1]);
    char deep[300] = "a";
    for (int i = 0; i < 40; i++)
        strcat(deep, ".a");
    strcat(deep, "=1");
    assert_error_has(try_parse(sample, deep), BERTH_E_USAGE, "the key has more than 32 steps");
}

static void errors_of_the_table(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"sede: 3\n", "x.yaml:3:1: key 'sede' is not known; did you mean 'seed'?"},
        {"lr: 3\n", "x.yaml:3:1: key 'lr' is not known; did you mean 'train.lr'?"},
        {"train:\n  bach_size: 3\n",
         "x.yaml:4:3: key 'train.bach_size' is not known; did you mean 'train.batch_size'?"},
        {"log: {x: 1}\n", "x.yaml:3:7: key 'log.x' is not known; known in 'log': every, tensorboard"},
        {"seed: 1.5\n", "x.yaml:3:7: 'seed': expected a whole number from 0 to 9007199254740992, found '1.5'"},
        {"seed: \"1\"\n",
         "x.yaml:3:7: 'seed': expected a whole number from 0 to 9007199254740992, found the quoted text '1'"},
        {"seed:\n", "x.yaml:3:6: 'seed': expected a whole number from 0 to 9007199254740992, found nothing"},
        {"seed: [1]\n", "x.yaml:3:7: 'seed': expected a whole number from 0 to 9007199254740992, found a list"},
        {"train: {lr: 11}\n", "x.yaml:3:13: 'train.lr': expected a number from 0 to 10, found '11'"},
        {"train: {lr: fast}\n", "x.yaml:3:13: 'train.lr': expected a number from 0 to 10, found 'fast'"},
        {"train: {schedule: liner}\n", "x.yaml:3:19: 'train.schedule': expected 'linear', 'cosine', 'constant', "
                                       "'inverse_sqrt' or 'polynomial', found 'liner'; did you mean 'linear'?"},
        {"train: 3\n", "x.yaml:3:8: 'train': expected a map of keys, found '3'"},
        {"freeze: {select: a}\n", "x.yaml:3:9: 'freeze': expected a list of maps, found a map"},
        {"freeze: [backbone]\n", "x.yaml:3:10: 'freeze[0]': expected a map of keys, found 'backbone'"},
        {"freeze: [{}]\n", "x.yaml:3:10: 'freeze[0]': the required key 'select' is missing: a text"},
        {"frozen_dropout: maybe\n", "x.yaml:3:17: 'frozen_dropout': expected true or false, found 'maybe'"},
        {"output: \"\"\n", "x.yaml:3:9: 'output': expected a text, found the quoted text ''"},
        {"model: {backbone: b, new: {layers: 1, hidden: 8, heads: 1, intermediate: 8}}\n",
         "x.yaml:3:22: 'model.backbone' and 'model.new' exclude each other; leave one out"},
        {"model: {new: {layers: 0, hidden: 8, heads: 1}}\n",
         "x.yaml:3:23: 'model.new.layers': expected a whole number from 1 to 96, found '0'\n"
         "x.yaml:3:9: 'model.new': the required key 'intermediate' is missing: a whole number from 8 to 65536"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[512];
        snprintf(text, sizeof text, "%s%s", LEAST, cases[i][0]);
        assert_error(try_parse(text, NULL), BERTH_E_USAGE, cases[i][1]);
    }
}

static void errors_of_sources_and_tasks(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"data: {a b: {format: tsv}}\ntasks: {t: {type: tagging, source: d, label: 1}}",
         "x.yaml:1:8: 'data': the name 'a b' is not allowed: 1 to 64 letters, digits, '_' and '-'"},
        {"data: {d: {format: tsv, train: []}}\ntasks: {t: {type: tagging, source: d, label: -1}}",
         "x.yaml:1:32: 'data.d.train': expected a text or a list of texts, found a list without entries\n"
         "x.yaml:2:46: 'tasks.t.label': expected a column's name or its number from 0, or a list of them, "
         "found '-1'"},
        {"data: {d: {format: tsv, train: [a, {b: c}]}}\ntasks: {t: {type: tag, source: d, label: 1}}",
         "x.yaml:1:36: 'data.d.train[1]': expected a text or a list of texts, found a map\n"
         "x.yaml:2:19: 'tasks.t.type': expected 'classification', 'tagging', "
         "'multilabel', 'regression', 'similarity', 'contrastive' or 'mlm', found 'tag'"},
        {"data: {}\ntasks: {t: }",
         "x.yaml:1:7: 'data': expected a map from names to maps of keys, found a map without entries\n"
         "x.yaml:2:9: 'tasks.t': the required key 'type' is missing: 'classification', 'tagging', "
         "'multilabel', 'regression', 'similarity', 'contrastive' or 'mlm'\n"
         "x.yaml:2:9: 'tasks.t': the required key 'source' is missing: a text or a list of texts"},
        {"seed: 1", "x.yaml: the required key 'data' is missing: a map from names to maps of keys\n"
                    "x.yaml: the required key 'tasks' is missing: a map from names to maps of keys"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_error(try_parse(cases[i][0], NULL), BERTH_E_USAGE, cases[i][1]);
    /* a file full of errors stays readable */
    struct berth_str s;
    berth_str_init(&s);
    for (int i = 0; i < 70; i++)
        berth_str_addf(&s, "unknown%d: 1\n", i);
    assert_error_has(try_parse(s.data, NULL), BERTH_E_USAGE, "x.yaml: 22 more errors");
    berth_str_deinit(&s);
}

static void errors_of_meaning(void **state) {
    (void)state;
    const char *const list[] = {"seed=9"};
    struct berth_config *c = parse(sample, 1, list);
    assert_error(berth_config_fail(c, "tasks.mood.label", "column %d is not there", 2), BERTH_E_USAGE,
                 "x.yaml:16:56: tasks.mood.label: column 2 is not there");
    assert_error(berth_config_fail(c, "seed", "unlucky"), BERTH_E_USAGE,
                 "command line: 'seed=9': seed: unlucky");
    assert_error(berth_config_fail(c, "device", "not there"), BERTH_E_USAGE, "x.yaml: device: not there");
    berth_config_free(c);
}

static void files(void **state) {
    (void)state;
    char *folder = temp_folder_make(), *path = temp_path(folder, "run.yaml");
    struct berth_config *c = NULL;
    char expected[512];
    write_bytes(path, sample, strlen(sample));
    assert_ok(berth_config_load(&c, path, NULL, 0));
    assert_int_equal(berth_config_int(c, "seed"), 5);
    berth_config_free(c);
    write_bytes(path, "# nothing\n", 10);
    snprintf(expected, sizeof expected, "%s: the file is empty, expected a configuration", path);
    assert_error(berth_config_load(&c, path, NULL, 0), BERTH_E_USAGE, expected);
    snprintf(expected, sizeof expected, "configuration: %s: is a folder, expected a file", folder);
    assert_error(berth_config_load(&c, folder, NULL, 0), BERTH_E_USAGE, expected);
    free(path);
    temp_folder_remove(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_defaults),
        cmocka_unit_test(given_and_has),
        cmocka_unit_test(lists_names_and_columns),
        cmocka_unit_test(durations),
        cmocka_unit_test(overrides),
        cmocka_unit_test(errors_of_overrides),
        cmocka_unit_test(errors_of_the_table),
        cmocka_unit_test(errors_of_sources_and_tasks),
        cmocka_unit_test(errors_of_meaning),
        cmocka_unit_test(files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
