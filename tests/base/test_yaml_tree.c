/* The YAML tree: positions, everything that is refused, damaged texts. The public suite: test_yaml_suite.c. */
#include "base/support_base.h"

#include <stdio.h>

#include "base/base_priv.h"
#include "berth/file.h"

static berth_status parse(const char *text, size_t size) {
    struct berth_arena arena;
    struct ytree_source source = {.name = "x.yaml"};
    struct ytree_node *root = NULL;
    berth_arena_init(&arena);
    berth_status status = ytree_parse(&root, &arena, &source, text, size);
    berth_arena_deinit(&arena);
    return status;
}

static void positions_and_styles(void **state) {
    (void)state;
    const char text[] =
        "# head\na: plain text\n\"b\": 'it''s'\nc:\n  - x\n  - {d: 1, e: [2, 3]}\nf:\ng: |\n  two\n  lines\n"
        "\xC3\xA9: 1\n";
    struct berth_arena arena;
    struct ytree_source source = {.name = "x.yaml"};
    struct ytree_node *root = NULL;
    berth_arena_init(&arena);
    assert_ok(ytree_parse(&root, &arena, &source, text, strlen(text)));
    assert_int_equal(root->kind, YTREE_MAP);
    assert_int_equal(root->count, 6);
    const struct ytree_node *n = ytree_child(root, "a");
    assert_true(n->plain && n->key_line == 2 && n->key_column == 1 && n->line == 2 && n->column == 4);
    assert_string_equal(n->text, "plain text");
    n = ytree_child(root, "b");
    assert_string_equal(n->text, "it's");
    assert_false(n->plain);
    n = ytree_child(ytree_entry(ytree_child(root, "c"), 1), "e");
    assert_true(n->kind == YTREE_LIST && n->count == 2 && n->line == 6 && n->key_column == 12 &&
                n->column == 15);
    assert_true(ytree_is_empty(ytree_child(root, "f")));
    assert_string_equal(ytree_child(root, "g")->text, "two\nlines\n");
    assert_non_null(ytree_child(root, "\xC3\xA9"));
    assert_null(ytree_child(root, "z"));
    assert_null(ytree_entry(root, 6));
    assert_ok(ytree_parse(&root, &arena, &source, "", 0));
    assert_null(root);
    assert_ok(ytree_parse(&root, &arena, &source, "---\n# x\n", 8));
    assert_null(root);
    berth_arena_deinit(&arena);
}

static void refused(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"a: &x 1", "x.yaml:1:4: anchors ('&name') are not allowed"},
        {"a: *x", "x.yaml:1:4: aliases ('*name') are not allowed; quote the text"},
        {"*x : 1", "x.yaml:1:1: aliases ('*name') are not allowed; quote the text"},
        {"a: !!str 1", "x.yaml:1:4: tags ('!name') are not allowed"},
        {"a: ! x", "x.yaml:1:4: tags ('!name') are not allowed"},
        {"!x a: 1", "x.yaml:1:1: tags ('!name') are not allowed"},
        {"%TAG ! tag:x,2000:\n---\na: 1", "x.yaml:1:1: tags ('%TAG') are not allowed"},
        {"? [a]\n: 1", "x.yaml:1:3: a key must be a text"},
        {"a: 1\nb: 2\na: 3", "x.yaml:3:1: key 'a' is given twice; the first is in line 1"},
        {"a: {x: 1,\n x: 2}", "x.yaml:2:2: key 'x' is given twice; the first is in line 1"},
        {"a: 1\n---\nb: 1", "x.yaml:2:1: a second document is not allowed"},
        {"a: \"x\\0y\"", "x.yaml:1:4: a text with a zero byte is not allowed"},
        {"a: 1\nb: \xFF", "x.yaml:2:4: the text is not UTF-8"},
        {"a: \xC0\x80", "x.yaml:1:4: the text is not UTF-8"},
        {"\xC3\xA9: \xED\xA0\x80", "x.yaml:1:4: the text is not UTF-8"},
        {"a: \xF4\x90\x80\x80", "x.yaml:1:4: the text is not UTF-8"},
        {"a: \xE2\x82", "x.yaml:1:4: the text is not UTF-8"},
        {"\xFF\xFE", "x.yaml:1:1: the text is not UTF-8"},
        {"a: b\x01", "x.yaml:1:5: not valid YAML: control characters are not allowed"},
        {"a: \"x\"#y", "x.yaml:1:7: a comment needs a space before its '#'"},
        {"\xC3\xA9: [1,#y\n 2]", "x.yaml:1:7: a comment needs a space before its '#'"},
        {"a: [1]#y", "x.yaml:1:7: a comment needs a space before its '#'"},
        {"a: |-2#y\n   z", "x.yaml:1:4: a comment needs a space before its '#'"},
        {"a: {?b: 1}", "x.yaml:1:5: a text that begins with '?' must be quoted"},
        {"a: [?b]", "x.yaml:1:5: a text that begins with '?' must be quoted"},
        {"a: [1, 2",
         "x.yaml:2:1: not valid YAML: did not find expected ',' or ']' (while parsing a flow sequence)"},
        {"a: b: c", "x.yaml:1:5: not valid YAML: mapping values are not allowed in this context"},
        {"a: 1\n\tb: 2", "x.yaml:2:1: not valid YAML: found a tab character that violates indentation (while "
                         "scanning a plain scalar)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_error(parse(cases[i][0], strlen(cases[i][0])), BERTH_E_USAGE, cases[i][1]);
    assert_error_has(parse("a: \0", 4), BERTH_E_USAGE, "x.yaml:1:4: not valid YAML: control characters");
}

static char *value_of(struct berth_arena *arena, const char *text, const char *key) {
    struct ytree_source source = {.name = "x.yaml"};
    struct ytree_node *root = NULL;
    assert_ok(ytree_parse(&root, arena, &source, text, strlen(text)));
    assert_non_null(ytree_child(root, key));
    return (char *)(uintptr_t)ytree_child(root, key)->text;
}

/* What looks like what is refused, and is right. */
static void comments_signs_and_last_lines(void **state) {
    (void)state;
    struct berth_arena arena;
    berth_arena_init(&arena);
    assert_string_equal(value_of(&arena, "c: x#y", "c"), "x#y");
    assert_string_equal(value_of(&arena, "? d\n: '?z' #z\n#end", "d"), "?z");
    assert_string_equal(value_of(&arena, "f: ?g", "f"), "?g");
    assert_string_equal(value_of(&arena, "\xC3\xA9: [1, # one\n  # two\n  2]\nb: \"#x\" # y", "b"), "#x");
    assert_string_equal(value_of(&arena, "f: |\n  x\n   ", "f"), "x\n \n");
    assert_string_equal(value_of(&arena, "f: |\n  x", "f"), "x");
    berth_arena_deinit(&arena);
}

static void limits(void **state) {
    (void)state;
    char *text = malloc(YTREE_BYTES + 2);
    memset(text, '[', 40);
    memset(text + 40, ']', 40);
    assert_error(parse(text, 80), BERTH_E_USAGE, "x.yaml:1:33: nested deeper than 32 levels");
    assert_ok(parse(text + 8, 64));
    memset(text, '[', 100000); /* no deep recursion on hostile text */
    assert_int_equal(parse(text, 100000), BERTH_E_USAGE);
    memset(text, '#', YTREE_BYTES + 1);
    assert_error(parse(text, YTREE_BYTES + 1), BERTH_E_USAGE,
                 "x.yaml:1:1: the text has 1048577 bytes, more than the 1048576 allowed");
    assert_ok(parse(text, YTREE_BYTES));
    free(text);
    struct berth_str s;
    berth_str_init(&s);
    for (int i = 0; i <= YTREE_ENTRIES; i++)
        berth_str_addf(&s, "k%d: 1\n", i);
    assert_error(parse(s.data, s.length), BERTH_E_USAGE,
                 "x.yaml:4097:1: a map or list with more than 4096 entries is not allowed");
    berth_str_deinit(&s);
}

/* Thousands of damaged configurations: each is read or refused in one clear text, with no mistake of memory. */
static void damaged_texts(void **state) {
    (void)state;
    const char good[] =
        "seed: 5\nmodel: {backbone: b, dropout: 0.1}\ndata:\n  d: {format: tsv, train: [a, \"b\"]}\n"
        "tasks:\n  t: {type: tagging, source: d, label: 1}\nfreeze:\n  - select: layers.0-2\n"
        "log: {every: 20 steps}\n";
    static const char marks[] = "{}[]:,-?&*!|>'\"%@`# \n\t\\\x80\xC3";
    char text[sizeof good];
    size_t accepted = 0;
    for (uint32_t round = 0; round < 4000; round++) {
        memcpy(text, good, sizeof good);
        uint64_t changes = 1 + berth_random_below(1, BERTH_PURPOSE_TEST, round, 0, 3);
        for (uint64_t k = 0; k < changes; k++) {
            uint64_t at = berth_random_below(1, BERTH_PURPOSE_TEST, round, 2 * k + 1, sizeof good - 1);
            uint64_t mark = berth_random_below(1, BERTH_PURPOSE_TEST, round, 2 * k + 2, sizeof marks - 1);
            text[at] = marks[mark];
        }
        struct berth_config *c = NULL;
        berth_status status = berth_config_parse(&c, "x.yaml", text, sizeof good - 1, NULL, 0);
        if (status == BERTH_OK) {
            char *dump = NULL;
            assert_ok(berth_config_dump(&dump, c, false));
            free(dump);
            berth_config_free(c);
            accepted++;
        } else if (status != BERTH_E_USAGE || strncmp(berth_error_text(), "x.yaml:", 7) != 0) {
            fail_msg("round %u: %s: %s", round, berth_status_name(status), berth_error_text());
        }
    }
    assert_in_range(accepted, 100, 2000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(positions_and_styles),
        cmocka_unit_test(refused),
        cmocka_unit_test(limits),
        cmocka_unit_test(damaged_texts),
        cmocka_unit_test(comments_signs_and_last_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
