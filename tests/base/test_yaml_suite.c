/* test_yaml_suite.c: the YAML reader against the public YAML test suite, case by case.
 *
 *     the suite says error     refused, or in `lenient` with the reason
 *     the suite says valid     read, with the values of its in.json; or refused for one of the `features` that
 * berth refuses by design, which the case must show and which berth's message must name; or in `not_read` with
 * the reason
 *
 * Every case with such a feature must be refused, and every case that is named below must still need it, so
 * nothing is listed for longer than it holds. libyaml 0.2.5 is what the lists were written for. Without
 * BERTH_TEST_DATA the program is skipped. */
#include <jansson.h>
#include <stdio.h>

#include "base/base_priv.h"
#include "base/support_base.h"
#include "berth/file.h"

enum { CASES = 402, NAME = 100 };

struct yaml_case {
    char name[NAME + 1];
    const char *yaml, *json, *events; /* in the archive; NULL: none */
    size_t yaml_size, json_size, events_size;
    bool error;
};

struct known {
    const char *name, *why;
};

/* What the suite calls an error and berth reads: the meaning is clear, and libyaml, as other readers, takes it.
 */
static const struct known lenient[] = {
    {"9C9N", "a bracket that closes at the column of its key: common in hand-written files"},
    {"QB6E", "quoted lines at the column of their key"},
    {"DK95/01", "a quoted line indented by a tab"},
    {"Y79Y/003", "a line within brackets indented by a tab"},
    {"G5U8", "[-]: the text '-'"},
    {"YJV2", "[-, -]: the texts '-'"},
    {"S98Z", "blank lines before a block scalar longer than its first line"},
    {"MUS6/00", "a comment without a space behind a directive"},
};

#define TABS "libyaml wants spaces, not tabs, here"
#define COLON                                                                                                  \
    "libyaml wants a flow key's colon in its line and a space behind it, and no text to begin with one"
#define EMPTY "libyaml wants keys to have a text"
#define DIRECTIVE "libyaml knows %YAML 1.1 and 1.2 and %TAG alone"
#define BARE "libyaml wants more indentation behind '---', and '---' behind '...'"
#define SIGNS "libyaml takes '%' at a line's begin for a directive"
#define NAMES "an anchor, whose name libyaml does not take"
#define QUESTION "libyaml would drop the '?' that the text begins with: refused by berth"

/* Valid texts that libyaml cannot read: each is refused with its place. */
static const struct known not_read[] = {
    {"6BCT", TABS},         {"6CA3", TABS},         {"96NN/00", TABS},   {"96NN/01", TABS},
    {"A2M4", TABS},         {"DK95/00", TABS},      {"DK95/03", TABS},   {"DK95/04", TABS},
    {"Q5MG", TABS},         {"R4YG", TABS},         {"Y79Y/001", TABS},  {"Y79Y/010", TABS},
    {"4ABK", COLON},        {"4MUZ/00", COLON},     {"4MUZ/01", COLON},  {"4MUZ/02", COLON},
    {"58MP", COLON},        {"5MUD", COLON},        {"5T43", COLON},     {"9SA2", COLON},
    {"DBG4", COLON},        {"HM87/00", COLON},     {"K3WX", COLON},     {"NJ66", COLON},
    {"VJP3/01", COLON},     {"2JQS", EMPTY},        {"CFD4", EMPTY},     {"FRK4", EMPTY},
    {"NHX8", EMPTY},        {"NKF9", EMPTY},        {"S3PD", EMPTY},     {"SM9W/01", EMPTY},
    {"UKK6/00", EMPTY},     {"2LFX", DIRECTIVE},    {"6LVF", DIRECTIVE}, {"BEC7", DIRECTIVE},
    {"MUS6/05", DIRECTIVE}, {"MUS6/06", DIRECTIVE}, {"7Z25", BARE},      {"DK3J", BARE},
    {"FP8R", BARE},         {"HWV9", BARE},         {"M7A3", BARE},      {"QT73", BARE},
    {"UT92", SIGNS},        {"W4TN", SIGNS},        {"8XYN", NAMES},     {"W5VH", NAMES},
    {"652Z", QUESTION},     {"HM87/01", QUESTION},
};

/* What berth refuses by design: the words of its message, and how the suite's events show it. */
enum feature { MORE_DOCUMENTS, ALIASES, ANCHORS, TAGS, KEYS, FEATURES };
static const char *const feature_words[FEATURES] = {
    "a second document is not allowed", "aliases ('*name') are not allowed",
    "anchors ('&name') are not allowed", "tags ('", "a key must be a text"};

/* ------------------------------------------------------------------ the archive */

static void note_member(struct yaml_case *cases, size_t *count, const char *name, const char *data,
                        size_t size) {
    const char *base = strrchr(name, '/');
    if (base == NULL || base == name) return;
    size_t folder = (size_t)(base - name);
    struct yaml_case *c = *count > 0 ? &cases[*count - 1] : NULL;
    if (c == NULL || strlen(c->name) != folder || memcmp(c->name, name, folder) != 0) {
        if (base[1] == '\0') return; /* a folder of folders */
        assert_true(*count < CASES + 64);
        c = &cases[(*count)++];
        memcpy(c->name, name, folder);
    }
    if (strcmp(base, "/error") == 0) c->error = true;
    if (strcmp(base, "/in.yaml") == 0) c->yaml = data, c->yaml_size = size;
    if (strcmp(base, "/in.json") == 0) c->json = data, c->json_size = size;
    if (strcmp(base, "/test.event") == 0) c->events = data, c->events_size = size;
}

static size_t read_archive(struct yaml_case *cases, const char *tar, size_t size) {
    size_t count = 0;
    for (size_t at = 0; at + 512 <= size && tar[at] != '\0';) {
        char name[NAME + 1] = "";
        memcpy(name, tar + at, NAME);
        size_t length = strtoul(tar + at + 124, NULL, 8);
        assert_true(at + 512 + length <= size);
        if (tar[at + 156] == '0') note_member(cases, &count, name, tar + at + 512, length);
        at += 512 + (length + 511) / 512 * 512;
    }
    return count;
}

/* ------------------------------------------------------------------ features */

/* The events of a case, a line each: "+MAP", "=VAL &a <tag> :text". */
struct event {
    char kind[5];
    bool anchor, tag;
};

static bool next_event(const char **at, const char *end, struct event *e) {
    if (*at >= end) return false;
    const char *stop = memchr(*at, '\n', (size_t)(end - *at));
    if (stop == NULL) stop = end;
    memset(e, 0, sizeof *e);
    memcpy(e->kind, *at, stop - *at < 4 ? (size_t)(stop - *at) : 4);
    for (const char *p = *at + 4; p < stop && *p == ' '; p++) {
        if (p[1] == ':' || p[1] == '"' || p[1] == '\'' || p[1] == '|' || p[1] == '>') break; /* the text */
        e->anchor |= p[1] == '&';
        e->tag |= p[1] == '<';
        for (p++; p + 1 < stop && p[1] != ' ';)
            p++;
    }
    *at = stop + 1;
    return true;
}

static void find_features(const struct yaml_case *c, bool found[FEATURES]) {
    const char *at = c->events;
    struct event e;
    int documents = 0, depth = 0, items[64] = {0};
    bool maps[64] = {false};
    while (next_event(&at, c->events + c->events_size, &e)) {
        bool begin = strcmp(e.kind, "+MAP") == 0 || strcmp(e.kind, "+SEQ") == 0;
        if (strcmp(e.kind, "+DOC") == 0) found[MORE_DOCUMENTS] |= documents++ > 0;
        if (strcmp(e.kind, "=ALI") == 0) found[ALIASES] = true;
        found[ANCHORS] |= e.anchor;
        found[TAGS] |= e.tag;
        if (begin || strcmp(e.kind, "=VAL") == 0 || strcmp(e.kind, "=ALI") == 0) {
            bool key = maps[depth] && items[depth] % 2 == 0;
            found[KEYS] |= key && begin;
            items[depth]++;
        }
        if (begin) {
            assert_true(++depth < 64);
            maps[depth] = e.kind[1] == 'M';
            items[depth] = 0;
        }
        if (strcmp(e.kind, "-MAP") == 0 || strcmp(e.kind, "-SEQ") == 0) depth--;
    }
}

/* ------------------------------------------------------------------ values */

static bool same_scalar(const struct ytree_node *n, const json_t *j) {
    double value = 0;
    if (json_is_null(j)) return ytree_is_null(n) || ytree_is_empty(n);
    if (json_is_string(j)) return strcmp(n->text, json_string_value(j)) == 0;
    if (!n->plain) return false;
    if (json_is_boolean(j)) return strcmp(n->text, json_is_true(j) ? "true" : "false") == 0;
    if (json_is_number(j))
        return berth_parse_double(n->text, &value) ? value == json_number_value(j)
                                                   : strtod(n->text, NULL) == json_number_value(j);
    return false;
}

static bool same_value(const struct ytree_node *n, const json_t *j) {
    if (n->kind == YTREE_SCALAR) return same_scalar(n, j);
    if (n->kind == YTREE_LIST) {
        if (!json_is_array(j) || json_array_size(j) != n->count) return false;
        for (size_t i = 0; i < n->count; i++)
            if (!same_value(ytree_entry(n, i), json_array_get(j, i))) return false;
        return true;
    }
    if (!json_is_object(j) || json_object_size(j) != n->count) return false;
    for (const struct ytree_node *child = n->first; child != NULL; child = child->next) {
        const json_t *value = json_object_get(j, child->key);
        if (value == NULL || !same_value(child, value)) return false;
    }
    return true;
}

static void check_value(const struct yaml_case *c, const struct ytree_node *root) {
    json_error_t error;
    if (c->json_size == 0) { /* no document at all */
        if (root != NULL) fail_msg("%s: a value, expected none", c->name);
        return;
    }
    json_t *j = json_loadb(c->json, c->json_size, JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK, &error);
    if (j == NULL) fail_msg("%s: in.json: %s", c->name, error.text);
    if (root == NULL ? !json_is_null(j) : !same_value(root, j)) {
        char *want = json_dumps(j, JSON_ENCODE_ANY);
        fail_msg("%s: another value than %s", c->name, want);
    }
    json_decref(j);
}

/* ------------------------------------------------------------------ the cases */

static bool is_known(const struct known *list, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].name, name) == 0) return true;
    return false;
}

struct tally {
    int refused, lenient, read, compared, by_feature[FEATURES], not_read;
};

static void check_valid(const struct yaml_case *c, berth_status status, const struct ytree_node *root,
                        struct tally *t) {
    bool found[FEATURES] = {false}, any = false, named = false;
    find_features(c, found);
    for (int f = 0; f < FEATURES; f++) {
        any |= found[f];
        if (!found[f] || status == BERTH_OK || named || strstr(berth_error_text(), feature_words[f]) == NULL)
            continue;
        named = true;
        t->by_feature[f]++;
    }
    if (any && status == BERTH_OK) fail_msg("%s: read in spite of what must be refused", c->name);
    if (named) return;
    bool listed = is_known(not_read, sizeof not_read / sizeof *not_read, c->name);
    if (listed != (status != BERTH_OK))
        fail_msg("%s: %s", c->name,
                 status == BERTH_OK ? "is read, although it is listed as not read" : berth_error_text());
    t->not_read += listed;
    t->read += status == BERTH_OK;
    if (status != BERTH_OK || c->json == NULL) return;
    check_value(c, root);
    t->compared++;
}

static void check_case(const struct yaml_case *c, struct tally *t) {
    struct berth_arena arena;
    struct ytree_source source = {.name = "x.yaml"};
    struct ytree_node *root = NULL;
    if (c->yaml == NULL || c->events == NULL) fail_msg("%s: no in.yaml or no test.event", c->name);
    berth_arena_init(&arena);
    berth_status status = ytree_parse(&root, &arena, &source, c->yaml, c->yaml_size);
    if (status != BERTH_OK && (status != BERTH_E_USAGE || strncmp(berth_error_text(), "x.yaml:", 7) != 0 ||
                               strchr(berth_error_text(), '\n') != NULL))
        fail_msg("%s: not one line with a place: %s", c->name, berth_error_text());
    if (c->error) {
        bool listed = is_known(lenient, sizeof lenient / sizeof *lenient, c->name);
        if (status == BERTH_OK && !listed) fail_msg("%s: read, must be refused", c->name);
        if (status != BERTH_OK && listed)
            print_message("%s: refused, although it is listed as read\n", c->name);
        t->lenient += status == BERTH_OK;
        t->refused += status != BERTH_OK;
    } else {
        check_valid(c, status, root, t);
    }
    berth_arena_deinit(&arena);
}

static void every_case(void **state) {
    (void)state;
    char *path = test_data_path("yaml-test-suite/yaml-test-suite-data.tar"), *tar = NULL;
    size_t size = 0;
    struct tally t = {0};
    struct yaml_case *cases = calloc(CASES + 64, sizeof *cases);
    assert_non_null(cases);
    assert_ok(berth_file_read(&tar, &size, path));
    size_t count = read_archive(cases, tar, size);
    assert_int_equal(count, CASES);
    for (size_t i = 0; i < count; i++)
        check_case(&cases[i], &t);
    print_message(
        "errors: %d refused, %d taken; valid: %d read, %d of them compared with in.json, %d not read\n",
        t.refused, t.lenient, t.read, t.compared, t.not_read);
    for (int f = 0; f < FEATURES; f++)
        print_message("%s: %d\n", feature_words[f], t.by_feature[f]);
    assert_int_equal(t.refused + t.lenient, 94);
    assert_true(t.read >= 170 && t.compared >= 170);
    free(cases);
    free(tar);
    free(path);
}

int main(void) {
    const char *data = getenv("BERTH_TEST_DATA");
    if (data == NULL || data[0] == '\0') {
        printf("skipped: BERTH_TEST_DATA names no folder of public data\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_case)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
