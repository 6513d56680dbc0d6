/* test_demo_data.c: what data/README.md says of the demo's data: sizes, tags, splits that share no template,
 * and that a bag of words does not solve it. */
#include "data/support_data.h"

#include <math.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SPLITS = 3, MAX_ROWS = 4000 };
static const char *const split_names[SPLITS] = {"train", "dev", "test"};

struct rows {
    char *text[MAX_ROWS], *tags[MAX_ROWS],
        *label[MAX_ROWS]; /* into the files below; tags only of the assistant */
    int count;
    char *files[3];
};

static void generate(const char *folder, const char *seed) {
    const char *program = getenv("BERTH_DEMO_DATA");
    assert_non_null(program);
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        execl(program, program, folder, "--seed", seed, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static char *read_file(const struct data_world *w, const char *folder, const char *split, const char *name) {
    char path[256], *text = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "%s/%s%s", folder, split, name);
    assert_ok(berth_file_read(&text, &size, world_path(w, path)));
    return text;
}

/* Cuts a text at line ends. */
static int cut_lines(char *text, char **lines) {
    int count = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        assert_in_range(count, 0, MAX_ROWS);
        if (count < MAX_ROWS) lines[count] = line;
        count++;
    }
    return count;
}

static void load_assistant(struct rows *r, const struct data_world *w, int split) {
    memset(r, 0, sizeof *r);
    r->files[0] = read_file(w, "demo/assistant", split_names[split], "/seq.in");
    r->files[1] = read_file(w, "demo/assistant", split_names[split], "/seq.out");
    r->files[2] = read_file(w, "demo/assistant", split_names[split], "/label");
    r->count = cut_lines(r->files[0], r->text);
    assert_int_equal(cut_lines(r->files[1], r->tags), r->count);
    assert_int_equal(cut_lines(r->files[2], r->label), r->count);
}

static void load_reviews(struct rows *r, const struct data_world *w, int split) {
    memset(r, 0, sizeof *r);
    r->files[0] = read_file(w, "demo/reviews", split_names[split], ".tsv");
    char *body = strchr(r->files[0], '\n');
    assert_non_null(body);
    *body++ = 0;
    assert_string_equal(r->files[0], "sentence\tlabel");
    r->count = cut_lines(body, r->text);
    for (int i = 0; i < r->count; i++) {
        char *tab = strchr(r->text[i], '\t');
        assert_non_null(tab);
        *tab = 0;
        r->label[i] = tab + 1;
    }
}

static void free_rows(struct rows *r) {
    for (int i = 0; i < 3; i++)
        free(r->files[i]);
}

static const char *const class_words[][20] = {
    {"<aspect>", "food", "service", "room", "view", "coffee", "music", "staff", "bed", "soup", "film", "story",
     "ending", "pool", "price", NULL},
    {"<good>", "good", "great", "lovely", "excellent", "charming", "fresh", "pleasant", "superb", NULL},
    {"<bad>", "bad", "awful", "dull", "terrible", "boring", "dirty", "noisy", "poor", NULL}};

static const char *word_class(const char *word) {
    for (size_t c = 0; c < 3; c++)
        for (size_t i = 1; class_words[c][i]; i++)
            if (strcmp(class_words[c][i], word) == 0) return class_words[c][0];
    return word;
}

/* What a reader of the words alone can know of an entity: that it is a name, a date, a place. */
static const char *without_role(const char *kind) {
    if (strcmp(kind, "contact") == 0) return "person";
    return strncmp(kind, "from_", 5) == 0 ? kind + 5 : strncmp(kind, "to_", 3) == 0 ? kind + 3 : kind;
}

/* The sentence with its entities' words (assistant) or its lists' words (reviews) replaced by what they stand
 * for. */
static char *template_of(const struct rows *r, int row, bool roles) {
    struct berth_str s = {0};
    char *words = strdup(r->text[row]), *tags = r->tags[row] ? strdup(r->tags[row]) : NULL, *w_at = NULL,
         *t_at = NULL;
    char *tag = tags ? strtok_r(tags, " ", &t_at) : NULL;
    for (char *word = strtok_r(words, " ", &w_at); word; word = strtok_r(NULL, " ", &w_at)) {
        if (tags) assert_non_null(tag);
        if (!tag)
            berth_str_addf(&s, "%s ", word_class(word));
        else if (tag[0] == 'O')
            berth_str_addf(&s, "%s ", word);
        else if (tag[0] == 'B')
            berth_str_addf(&s, "<%s> ", roles ? tag + 2 : without_role(tag + 2));
        if (tag) tag = strtok_r(NULL, " ", &t_at);
    }
    assert_null(tag);
    assert_false(s.failed);
    free(words);
    free(tags);
    return s.data;
}

/* add false: no row of r is among those seen; add true: they are from now on. */
static void check_new(struct berth_labels *seen, const struct rows *r, bool templates, bool add) {
    for (int i = 0; i < r->count; i++) {
        char *text = templates ? template_of(r, i, true) : strdup(r->text[i]);
        if (add)
            assert_ok(berth_labels_add(seen, text, NULL));
        else if (berth_labels_find(seen, text) >= 0)
            fail_msg("an earlier split holds the %s '%s' too", templates ? "template" : "sentence", text);
        free(text);
    }
}

static void splits_share_no_template(void **state) {
    struct data_world *w = *state;
    for (int reviews = 0; reviews < 2; reviews++) {
        for (int templates = 0; templates < 2; templates++) {
            struct berth_labels seen;
            berth_labels_init(&seen);
            for (int split = 0; split < SPLITS; split++) {
                struct rows r;
                (reviews ? load_reviews : load_assistant)(&r, w, split);
                check_new(&seen, &r, templates, false);
                check_new(&seen, &r, templates, true);
                free_rows(&r);
            }
            assert_true(seen.count > 200);
            berth_labels_deinit(&seen);
        }
    }
}

static void sizes_and_tags_are_as_said(void **state) {
    struct data_world *w = *state;
    static const int assistant[SPLITS] = {4000, 500, 500}, review[SPLITS] = {600, 300, 300};
    struct berth_labels intents, kinds, long_kinds;
    berth_labels_init(&intents);
    berth_labels_init(&kinds);
    berth_labels_init(&long_kinds);
    for (int split = 0; split < SPLITS; split++) {
        struct rows r;
        load_assistant(&r, w, split);
        assert_int_equal(r.count, assistant[split]);
        for (int i = 0; i < r.count; i++) {
            int64_t words = 1, tags = 0;
            for (const char *p = r.text[i]; *p; p++)
                words += *p == ' ';
            assert_ok(berth_labels_add(&intents, r.label[i], NULL));
            char last[64] = "";
            for (char *at = NULL, *tag = strtok_r(r.tags[i], " ", &at); tag; tag = strtok_r(NULL, " ", &at)) {
                tags++;
                assert_true(strcmp(tag, "O") == 0 || strncmp(tag, "B-", 2) == 0 || strncmp(tag, "I-", 2) == 0);
                if (tag[0] == 'I') { /* continues an entity of its kind */
                    assert_string_equal(last, tag + 2);
                    assert_ok(berth_labels_add(&long_kinds, tag + 2, NULL));
                }
                if (tag[0] == 'B') assert_ok(berth_labels_add(&kinds, tag + 2, NULL));
                snprintf(last, sizeof last, "%s", tag[0] == 'O' ? "" : tag + 2);
            }
            assert_int_equal(tags, words);
        }
        free_rows(&r);
        load_reviews(&r, w, split);
        assert_int_equal(r.count, review[split]);
        for (int i = 0; i < r.count; i++)
            assert_true(strcmp(r.label[i], "positive") == 0 || strcmp(r.label[i], "negative") == 0);
        free_rows(&r);
    }
    assert_int_equal(intents.count, 10);
    assert_int_equal(kinds.count, 13);
    assert_int_equal(long_kinds.count, 13);
    berth_labels_deinit(&intents);
    berth_labels_deinit(&kinds);
    berth_labels_deinit(&long_kinds);
}

/* Multinomial naive Bayes with add-one smoothing: the share of test rows it gets right from the words alone. */
static double bag_of_words_accuracy(const struct rows *train, const struct rows *test) {
    struct berth_labels classes, words;
    enum { MAX_CLASSES = 16, MAX_WORDS = 2000 };
    static double counts[MAX_CLASSES][MAX_WORDS], totals[MAX_CLASSES], rows[MAX_CLASSES];
    memset(counts, 0, sizeof counts);
    memset(totals, 0, sizeof totals);
    memset(rows, 0, sizeof rows);
    berth_labels_init(&classes);
    berth_labels_init(&words);
    int right = 0;
    for (int pass = 0; pass < 2; pass++) {
        const struct rows *r = pass ? test : train;
        for (int i = 0; i < r->count; i++) {
            double score[MAX_CLASSES];
            int32_t class = berth_labels_find(&classes, r->label[i]);
            if (pass == 0) assert_ok(berth_labels_add(&classes, r->label[i], &class));
            assert_in_range(class, 0, MAX_CLASSES - 1);
            rows[class] += pass == 0;
            for (size_t c = 0; c < classes.count; c++)
                score[c] = log(rows[c]);
            char *text = strdup(r->text[i]);
            for (char *at = NULL, *word = strtok_r(text, " ", &at); word; word = strtok_r(NULL, " ", &at)) {
                int32_t id = berth_labels_find(&words, word);
                if (pass == 0) {
                    assert_ok(berth_labels_add(&words, word, &id));
                    assert_in_range(id, 0, MAX_WORDS - 1);
                    counts[class][id]++;
                    totals[class]++;
                } else if (id >= 0) {
                    for (size_t c = 0; c < classes.count; c++)
                        score[c] += log((counts[c][id] + 1) / (totals[c] + (double)words.count));
                }
            }
            free(text);
            size_t best = 0;
            for (size_t c = 1; c < classes.count; c++)
                if (score[c] > score[best]) best = c;
            right += pass == 1 && (int32_t)best == class;
        }
    }
    berth_labels_deinit(&classes);
    berth_labels_deinit(&words);
    return (double)right / test->count;
}

static void a_bag_of_words_does_not_solve_it(void **state) {
    struct data_world *w = *state;
    static const double most[2] = {0.85, 0.7};
    for (int reviews = 0; reviews < 2; reviews++) {
        struct rows train, test;
        (reviews ? load_reviews : load_assistant)(&train, w, 0);
        (reviews ? load_reviews : load_assistant)(&test, w, 2);
        double accuracy = bag_of_words_accuracy(&train, &test);
        if (!(accuracy < most[reviews]))
            fail_msg("%s: naive Bayes reaches %.3f, expected less than %.2f", reviews ? "reviews" : "assistant",
                     accuracy, most[reviews]);
        assert_true(accuracy > 0.3);
        free_rows(&train);
        free_rows(&test);
    }
}

static int compare_words(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The words in bytewise order. */
static char *sorted_words(const char *text) {
    char *copy = strdup(text), *words[64];
    size_t count = 0;
    struct berth_str s = {0};
    for (char *at = NULL, *word = strtok_r(copy, " ", &at); word; word = strtok_r(NULL, " ", &at)) {
        assert_in_range(count, 0, 63);
        words[count++] = word;
    }
    qsort(words, count, sizeof words[0], compare_words);
    for (size_t i = 0; i < count; i++)
        berth_str_addf(&s, "%s ", words[i]);
    assert_false(s.failed);
    free(copy);
    return s.data;
}

/* Rows of test whose template has the words of a training template of another label: no bag of words, however
 * clever, tells the two apart but by the values in the slots, which say nothing. */
static void many_rows_have_a_twin_of_another_label(void **state) {
    struct data_world *w = *state;
    struct rows part[SPLITS];
    struct berth_labels bags;
    char *first_label[4096] = {NULL};
    bool several[4096] = {false};
    int twins = 0;
    berth_labels_init(&bags);
    for (int pass = 0; pass < 2; pass++) {
        for (int split = 0; split < SPLITS; split++) {
            if (pass == 0) load_assistant(&part[split], w, split);
            const struct rows *r = &part[split];
            for (int i = 0; i < r->count; i++) {
                char *template = template_of(r, i, false), *bag = sorted_words(template);
                int32_t id = 0;
                assert_ok(berth_labels_add(&bags, bag, &id));
                assert_in_range(id, 0, 4095);
                if (!first_label[id]) first_label[id] = r->label[i];
                several[id] = several[id] || strcmp(first_label[id], r->label[i]) != 0;
                twins += pass == 1 && split == 2 && several[id];
                free(template);
                free(bag);
            }
        }
    }
    if (twins < part[2].count / 10)
        fail_msg("%d of %d test rows have a twin, expected a tenth at least", twins, part[2].count);
    for (int split = 0; split < SPLITS; split++)
        free_rows(&part[split]);
    berth_labels_deinit(&bags);
}

static void a_seed_is_a_data_set(void **state) {
    struct data_world *w = *state;
    generate(world_path(w, "again"), "17");
    generate(world_path(w, "other"), "18");
    for (int split = 0; split < SPLITS; split++) {
        char *text[3] = {read_file(w, "demo/assistant", split_names[split], "/seq.in"),
                         read_file(w, "again/assistant", split_names[split], "/seq.in"),
                         read_file(w, "other/assistant", split_names[split], "/seq.in")};
        assert_string_equal(text[0], text[1]);
        assert_string_not_equal(text[0], text[2]);
        for (int i = 0; i < 3; i++)
            free(text[i]);
    }
}

static int make(void **state) {
    static struct data_world w;
    world_make(&w);
    generate(world_path(&w, "demo"), "17");
    *state = &w;
    return 0;
}

static int clear(void **state) {
    world_remove(*state);
    return 0;
}

/* Lines of a table behind its header, each with so many tabs. */
static int table_lines(const struct data_world *w, const char *folder, int split, const char *header, int tabs,
                       char **lines, char **file) {
    *file = read_file(w, folder, split_names[split], ".tsv");
    const int count = cut_lines(*file, lines);
    assert_string_equal(lines[0], header);
    for (int i = 1; i < count; i++) {
        int found = 0;
        for (const char *p = lines[i]; *p != '\0'; p++)
            found += *p == '\t';
        if (found != tabs)
            fail_msg("%s, %s: line %d has %d tabs: %s", folder, split_names[split], i + 1, found, lines[i]);
    }
    return count - 1;
}

/* The words that two texts share, as a share of the longer one's. */
static double shared_words(const char *a, const char *b) {
    char x[256], y[256], *words[2][64];
    int count[2] = {0, 0}, same = 0;
    snprintf(x, sizeof x, "%s", a);
    snprintf(y, sizeof y, "%s", b);
    for (int side = 0; side < 2; side++) {
        char *rest = NULL;
        for (char *p = strtok_r(side == 0 ? x : y, " ", &rest); p != NULL && count[side] < 64;
             p = strtok_r(NULL, " ", &rest))
            words[side][count[side]++] = p;
        qsort(words[side], (size_t)count[side], sizeof *words[side], compare_words);
    }
    for (int i = 0, k = 0; i < count[0] && k < count[1];) {
        const int order = strcmp(words[0][i], words[1][k]);
        same += order == 0;
        i += order <= 0;
        k += order >= 0;
    }
    return (double)same / (count[0] > count[1] ? count[0] : count[1]);
}

static void sets_of_other_heads_are_as_said(void **state) {
    const struct data_world *w = *state;
    static const int rows[SPLITS] = {2000, 300, 300};
    char **lines = calloc(MAX_ROWS, sizeof *lines), *file = NULL;
    for (int split = 0; split < SPLITS; split++) {
        int scores[4] = {0}, several = 0;
        assert_int_equal(table_lines(w, "demo/items", split, "sentence\ttopics\tstars", 2, lines, &file),
                         rows[split]);
        for (int i = 1; i <= rows[split]; i++) {
            const char *topics = strchr(lines[i], '\t') + 1, *stars = strchr(topics, '\t') + 1;
            several += memchr(topics, ',', (size_t)(stars - topics)) != NULL;
            if (topics[0] == '\t' || strlen(stars) != 1 || strchr("1245", stars[0]) == NULL)
                fail_msg("%s", lines[i]);
        }
        assert_in_range(several, rows[split] / 5, rows[split] * 3 / 5);
        free(file);
        assert_int_equal(table_lines(w, "demo/pairs", split, "a\tb\tscore", 2, lines, &file), rows[split]);
        for (int i = 1; i <= rows[split]; i++) {
            const char *score = strrchr(lines[i], '\t') + 1, *const known[] = {"1", "0.6", "0.3", "0"};
            int k = 0;
            while (k < 4 && strcmp(score, known[k]) != 0)
                k++;
            if (k == 4) fail_msg("%s", lines[i]);
            scores[k]++;
        }
        for (int k = 0; k < 4; k++)
            assert_in_range(scores[k], rows[split] / 10, rows[split] * 2 / 5);
        free(file);
        double right = 0, wrong = 0;
        assert_int_equal(table_lines(w, "demo/search", split, "question\tanswer\twrong", 2, lines, &file),
                         rows[split]);
        for (int i = 1; i <= rows[split]; i++) {
            char *answer = strchr(lines[i], '\t'), *other = strrchr(lines[i], '\t');
            *answer++ = *other++ = '\0';
            assert_string_not_equal(answer, other);
            right += shared_words(lines[i], answer);
            wrong += shared_words(lines[i], other);
        }
        right /= rows[split];
        wrong /= rows[split];
        assert_true(right > 0.6 && wrong > 0.35 && right > wrong); /* the wrong ones are near */
        free(file);
    }
    free(lines);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_and_tags_are_as_said),
        cmocka_unit_test(splits_share_no_template),
        cmocka_unit_test(a_bag_of_words_does_not_solve_it),
        cmocka_unit_test(many_rows_have_a_twin_of_another_label),
        cmocka_unit_test(sets_of_other_heads_are_as_said),
        cmocka_unit_test(a_seed_is_a_data_set),
    };
    return cmocka_run_group_tests(tests, make, clear);
}
