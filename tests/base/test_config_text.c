/* The configuration as text: dumps that load back, explanations, the reference page, and the table's own rules.
 */
#include "base/support_base.h"

#include <stdio.h>

#include "base/base_priv.h"
#include "berth/file.h"

#define LEAST "data: {d: {format: tsv}}\ntasks: {t: {type: tagging, source: d, label: 1}}\n"

/* Values that a careless dump would change. */
static const char awkward[] =
    "seed: 0\n"
    "output: \"a: b # c\"\n"
    "cache: \" padded \"\n"
    "data_folder: \"tab\\t line\\n quote\\\" back\\\\ bell\\a del\\x7f nel\\x85 ls\\u2028 bom\\uFEFF "
    "\xC3\xA9\"\n"
    "device: \"null\"\n"
    "model: {backbone: \"on\", max_length: +64, dropout: 1e-1}\n"
    "data:\n"
    "  \"123\": {format: tsv, text: \"7\", text_pair: 7, train: [\"-\", \"~\", \"[x]\", 'it''s', \"\\\"\"]}\n"
    "  \"on\": {format: lines, train: \"- x\", dev: \"...\", test: \"a  b\"}\n"
    "  \"-\": {format: seqfiles}\n"
    "tasks: {t: {type: tagging, source: \"123\", label: \"*\", weight: .5}}\n"
    "freeze: [{select: \"*.bias\"}, {select: layers.0-2}]\n"
    "train: {batch_tokens: 4096, epochs: 0.5}\n"
    "frozen_dropout: yes\n";

static void assert_same_after_dump(const char *text, bool changed_only) {
    struct berth_config *a = NULL, *b = NULL;
    char *first = NULL, *second = NULL;
    assert_ok(berth_config_parse(&a, "a", text, strlen(text), NULL, 0));
    assert_ok(berth_config_dump(&first, a, changed_only));
    assert_ok(berth_config_parse(&b, first, first, strlen(first), NULL, 0));
    assert_ok(berth_config_dump(&second, b, changed_only));
    assert_string_equal(first, second);
    for (size_t i = 0; i < berth_config_count(a, "data"); i++) {
        const char *name = berth_config_name(a, "data", i);
        char path[128];
        assert_string_equal(name, berth_config_name(b, "data", i));
        snprintf(path, sizeof path, "data.%s.text", name);
        assert_int_equal(berth_config_is_number(a, path), berth_config_is_number(b, path));
        assert_int_equal(berth_config_count_f(a, "data.%s.train", name),
                         berth_config_count_f(b, "data.%s.train", name));
        for (size_t k = 0; k < berth_config_count_f(a, "data.%s.train", name); k++)
            assert_string_equal(berth_config_item_f(a, k, "data.%s.train", name),
                                berth_config_item_f(b, k, "data.%s.train", name));
    }
    static const char *const texts[] = {"output", "cache", "data_folder", "device", "model.backbone"};
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(berth_config_has(a, texts[i]), berth_config_has(b, texts[i]));
        if (berth_config_has(a, texts[i]))
            assert_string_equal(berth_config_string(a, texts[i]), berth_config_string(b, texts[i]));
    }
    for (size_t i = 0; i < berth_config_key_count; i++) { /* what has a value has it again */
        const char *path = berth_config_keys[i].path;
        enum berth_key_type type = berth_config_keys[i].type;
        bool section = type == BERTH_KEY_SECTION || type == BERTH_KEY_NAMED || type == BERTH_KEY_LIST;
        if (section || strpbrk(path, "*[") != NULL) continue;
        if (berth_config_has(a, path) != berth_config_has(b, path)) fail_msg("'%s' comes or goes", path);
    }
    free(first);
    free(second);
    berth_config_free(a);
    berth_config_free(b);
}

static const char stages[] =
    "data: {d: {format: lines, train: x}}\ntasks: {t: {type: classification, source: d, label: label}}\n"
    "train: {epochs: 3, lr: 1.0e-3}\nfreeze: [{select: pooler}]\n"
    "stages:\n"
    "  - {name: one, tasks: [t], train: {steps: 7}}\n"
    "  - {name: 'two', freeze: [{select: 'layers.0-1', until: 1 epoch}, {select: \"*.bias\"}], train: {lr: "
    "0.5}}\n"
    "  - {name: three, freeze: []}\n";

/* A stage's keys lie over those of the top: maps are merged, lists replaced, what is excluded goes. */
static void stages_lie_over(void **state) {
    (void)state;
    struct berth_config *c = NULL, *s = NULL;
    assert_ok(berth_config_parse(&c, "s.yaml", stages, strlen(stages), NULL, 0));
    assert_ok(berth_config_stage(&s, c, 0));
    assert_int_equal(berth_config_int(s, "train.steps"), 7);
    assert_false(berth_config_has(s, "train.epochs"));
    assert_true(berth_config_number(s, "train.lr") == 1.0e-3);
    assert_int_equal(berth_config_count(s, "freeze"), 1);
    assert_int_equal(berth_config_count(s, "stages"), 0);
    berth_config_free(s);
    assert_ok(berth_config_stage(&s, c, 1));
    assert_true(berth_config_number(s, "train.epochs") == 3 && berth_config_number(s, "train.lr") == 0.5);
    assert_int_equal(berth_config_count(s, "freeze"), 2);
    assert_string_equal(berth_config_string(s, "freeze[1].select"), "*.bias");
    assert_int_equal(berth_config_fail(s, "freeze[1].select", "bad"), BERTH_E_USAGE);
    assert_string_equal(berth_error_text(), "s.yaml:7:77: freeze[1].select: bad"); /* where the user wrote it */
    berth_config_free(s);
    assert_ok(berth_config_stage(&s, c, 2));
    assert_int_equal(berth_config_count(s, "freeze"), 0);
    berth_config_free(s);
    berth_config_free(c);
}

static void dumps_load_back(void **state) {
    (void)state;
    assert_same_after_dump(LEAST, false);
    assert_same_after_dump(LEAST, true);
    assert_same_after_dump(stages, false);
    assert_same_after_dump(stages, true);
    assert_same_after_dump(awkward, false);
    assert_same_after_dump(awkward, true);
    assert_same_after_dump(
        LEAST "train: {steps: 5}\nmodel: {new: {layers: 1, hidden: 8, heads: 1, intermediate: 8}}", false);
}

static void dumped_text(void **state) {
    (void)state;
    struct berth_config *c = NULL;
    char *text = NULL;
    const char source[] =
        "train: {lr: 3.0e-5, steps: 5}\nfreeze: [{select: \"*.bias\"}]\ntasks: {t: {label: \"1\", type: "
        "tagging, source: d}}\ndata: {d: {dev: [a, b], format: tsv}, \"2\": {format: lines}}\n";
    assert_ok(berth_config_parse(&c, "a", source, strlen(source), NULL, 0));
    assert_ok(berth_config_dump(&text, c, true));
    assert_string_equal(
        text, "data:\n  d:\n    format: tsv\n    dev:\n      - a\n      - b\n  2:\n    format: lines\n"
              "tasks:\n  t:\n    type: tagging\n    source: d\n    label: \"1\"\n"
              "freeze:\n  - select: \"*.bias\"\n"
              "train:\n  steps: 5\n  lr: 3.0e-5\n");
    free(text);
    assert_ok(berth_config_dump(&text, c, false));
    assert_non_null(strstr(text, "seed: 17\n"));
    assert_non_null(strstr(text, "\n  batch_size: 32\n"));
    assert_null(strstr(text, "epochs:"));    /* steps exclude it */
    assert_null(strstr(text, "positions:")); /* model.new is absent */
    free(text);
    berth_config_free(c);
}

static char *explain(const char *path) {
    struct berth_str s;
    char *text = NULL;
    berth_str_init(&s);
    assert_ok(berth_config_explain(&s, path));
    assert_ok(berth_str_take(&s, &text));
    return text;
}

static void explanations(void **state) {
    (void)state;
    char *text = explain("train.lr");
    assert_string_equal(text,
                        "train.lr\n  Peak learning rate of the backbone.\n  value:   a number from 0 to 10\n"
                        "  default: 5e-5\n");
    free(text);
    text = explain("tasks.ner.source");
    assert_non_null(strstr(text, "tasks.NAME.source\n"));
    assert_non_null(strstr(text, "\n  required\n"));
    free(text);
    text = explain("freeze");
    assert_non_null(strstr(text, "freeze[].select\n"));
    free(text);
    static const char *const entries[][2] = {{"tasks.ner", "tasks.NAME.weight\n"},
                                             {"freeze[3]", "freeze[].select\n"},
                                             {"tasks.*", "tasks.NAME.type\n"},
                                             {"model.new", "model.new.heads\n"},
                                             {"freeze[].select", "freeze[].select\n"}};
    for (size_t i = 0; i < 5; i++) {
        text = explain(entries[i][0]);
        if (strstr(text, entries[i][1]) == NULL) fail_msg("'%s' explains '%s'", entries[i][0], text);
        free(text);
    }
    struct berth_str s;
    berth_str_init(&s);
    assert_error(berth_config_explain(&s, "train.bach_size"), BERTH_E_USAGE,
                 "key 'train.bach_size' is not known; did you mean 'train.batch_size'?");
    assert_error(berth_config_explain(&s, "epochs"), BERTH_E_USAGE,
                 "key 'epochs' is not known; did you mean 'train.epochs'?");
    /* the table's last key, too, however long the table is */
    char wrong[CONF_PATH], expected[2 * CONF_PATH + 64];
    const char *last = berth_config_keys[berth_config_key_count - 1].path;
    snprintf(wrong, sizeof wrong, "%sx", last);
    snprintf(expected, sizeof expected, "key '%s' is not known; did you mean '%s'?", wrong, last);
    assert_error(berth_config_explain(&s, wrong), BERTH_E_USAGE, expected);
    assert_error_has(berth_config_explain(&s, "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqq"), BERTH_E_USAGE, "is not known");
    berth_str_deinit(&s);
}

/* Rules of the table itself: every row complete, sorted under its section, defaults that pass their own check.
 */
static void table_is_sound(void **state) {
    (void)state;
    for (size_t i = 0; i < berth_config_key_count; i++) {
        const struct berth_key *row = &berth_config_keys[i];
        size_t length = strlen(row->help);
        if (length < 10 || row->help[length - 1] != '.') fail_msg("%s: help is not a sentence", row->path);
        if (row->unit == NULL) fail_msg("%s: no unit", row->path);
        if ((row->type == BERTH_KEY_CHOICE) != (row->choices != NULL)) fail_msg("%s: choices", row->path);
        if (row->required && row->default_value != NULL) fail_msg("%s: required with a default", row->path);
        for (size_t k = 0; k < i; k++) {
            if (strcmp(berth_config_keys[k].path, row->path) == 0) fail_msg("%s: twice", row->path);
        }
        if (row->unless != NULL && conf_key(row->unless) == NULL)
            fail_msg("%s: unless '%s'", row->path, row->unless);
        /* the section has a row, or is an entry of one that has */
        char section[CONF_PATH];
        snprintf(section, sizeof section, "%s", row->path);
        for (char *cut = strrchr(section, '.'); cut != NULL; cut = strrchr(section, '.')) {
            *cut = '\0';
            size_t n = strlen(section);
            if (section[n - 1] == '*') continue;
            if (section[n - 1] == ']') section[n - 2] = '\0';
            if (conf_key(section) == NULL) fail_msg("%s: section '%s' has no row", row->path, section);
        }
        if (row->default_value == NULL) continue;
        char text[2 * CONF_PATH], path[CONF_PATH];
        size_t at = 0;
        for (const char *p = row->path; *p != '\0'; p++)
            path[at++] = *p == '*' ? (row->path[0] == 'd' ? 'd' : 't') : *p;
        path[at] = '\0';
        char *entry = strstr(path, "[].");
        if (entry == NULL) {
            snprintf(text, sizeof text, "%s=%s", path, row->default_value);
        } else { /* of a list: in an entry that has what it must have */
            char list[CONF_PATH];
            snprintf(list, sizeof list, "%.*s", (int)(entry - path + 2), path);
            int used = snprintf(text, sizeof text, "%.*s=[{%s: %s", (int)(entry - path), path, entry + 3,
                                row->default_value);
            for (size_t k = 0; k < berth_config_key_count; k++) {
                const struct berth_key *other = &berth_config_keys[k];
                if (conf_is_child(other, list) && other->required)
                    used += snprintf(text + used, sizeof text - (size_t)used, ", %s: x",
                                     conf_last_name(other->path));
            }
            snprintf(text + used, sizeof text - (size_t)used, "}]");
        }
        const char *overrides[2] = {text, "model.new={layers: 1, hidden: 8, heads: 1, intermediate: 8}"};
        struct berth_config *c = NULL;
        assert_ok(berth_config_parse(&c, row->path, LEAST, strlen(LEAST), overrides,
                                     strcmp(row->path, "model.new.positions") == 0 ? 0 : 1));
        berth_config_free(c);
    }
}

static void reference_page_is_current(void **state) {
    (void)state;
    const char *root = getenv("BERTH_SOURCE_DIR");
    if (root == NULL) skip();
    struct berth_str s;
    berth_str_init(&s);
    assert_ok(berth_config_reference(&s));
    char *path = temp_path(root, "docs/configuration.md"), *page = NULL;
    assert_ok(berth_file_read(&page, NULL, path));
    if (strcmp(page, s.data) != 0)
        fail_msg("%s is not what the table says; write it anew: build/berth config --reference > %s", path,
                 path);
    assert_int_equal(strncmp(page, "<!-- generated from src/base/config_keys.c", 42), 0);
    for (size_t i = 0; i < berth_config_key_count; i++) {
        if (strstr(page, berth_config_keys[i].help) == NULL)
            fail_msg("%s is missing", berth_config_keys[i].path);
    }
    berth_str_deinit(&s);
    free(page);
    free(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stages_lie_over), cmocka_unit_test(dumps_load_back),
        cmocka_unit_test(dumped_text),     cmocka_unit_test(explanations),
        cmocka_unit_test(table_is_sound),  cmocka_unit_test(reference_page_is_current),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
