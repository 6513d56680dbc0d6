/* test_row_sets.c: which rows a split holds (split, limit), what becomes of long ones (overflow), and that
 * packing takes no more memory for more rows. */
#include "data/support_data.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data/data_priv.h"

#define PARTS                                                                                                  \
    "data: {r: {format: tsv, text: text, train: r.tsv, split: {dev: 0.2, test: 0.1}}}\n"                       \
    "tasks: {t: {type: classification, source: r, label: label}}\n"

static const struct berth_dataset *set_of(const struct berth_data *d, enum berth_split split) {
    return &berth_data_source(d, 0)->split[split];
}

/* Row i says a number in letters; i % 4 gives its class. */
static void put_numbers(const struct data_world *w, const char *name, int rows, bool backwards) {
    struct berth_str s = {0};
    berth_str_add(&s, "text\tlabel\n");
    for (int k = 0; k < rows; k++) {
        int i = backwards ? rows - 1 - k : k;
        berth_str_addf(&s, "film %c %c %c\t%s\n", 'a' + i % 26, 'a' + i / 26 % 26, 'a' + i / 676,
                       i % 4 ? "much" : "little");
    }
    world_put(w, name, s.data);
    berth_str_deinit(&s);
}

/* The number a row says. */
static int number_of(const struct berth_dataset *set, int64_t row) {
    const int32_t *t = set->tokens + set->offset[row] + 2;
    return (t[0] - 5) + 26 * (t[1] - 5) + 676 * (t[2] - 5);
}

static void fill_sides(int *side, int rows, const struct berth_data *d) {
    for (int i = 0; i < rows; i++)
        side[i] = -1;
    for (int split = 0; split < BERTH_SPLIT_COUNT; split++) {
        const struct berth_dataset *set = set_of(d, (enum berth_split)split);
        for (int64_t r = 0; r < set->rows; r++) {
            int i = number_of(set, r);
            assert_int_equal(side[i], -1); /* on one side only */
            side[i] = split;
        }
    }
    for (int i = 0; i < rows; i++)
        assert_true(side[i] >= 0); /* and on one at all */
}

static void splits_are_stable(void **state) {
    (void)state;
    struct data_world w;
    int before[2000], after[3000], count[3] = {0};
    world_make(&w);
    put_numbers(&w, "r.tsv", 2000, false);
    struct berth_data *d = world_open(&w, PARTS);
    fill_sides(before, 2000, d);
    berth_data_free(d);
    put_numbers(&w, "r.tsv", 3000, true); /* more rows, another order */
    d = world_open(&w, PARTS);
    fill_sides(after, 3000, d);
    berth_data_free(d);
    for (int i = 0; i < 2000; i++) {
        assert_int_equal(before[i], after[i]);
        count[before[i]]++;
    }
    assert_in_range(count[BERTH_DEV], 330, 470); /* 400, four deviations of 17.9 */
    assert_in_range(count[BERTH_TEST], 145, 255);
    d = world_open(&w, "seed: 18\n" PARTS);
    int moved = 0, other[3000];
    fill_sides(other, 3000, d);
    for (int i = 0; i < 3000; i++)
        moved += other[i] != after[i];
    assert_true(moved > 500); /* another seed, another split */
    berth_data_free(d);
    world_remove(&w);
}

static void duplicates_fall_on_one_side(void **state) {
    (void)state;
    struct data_world w;
    struct berth_str s = {0};
    world_make(&w);
    berth_str_add(&s, "text\tlabel\n");
    for (int i = 0; i < 300; i++) /* as it is, in capitals, with other spaces; labels differ */
        berth_str_addf(&s, "film %c %c\tx\nFILM %c %c\ty\n film   %c  %c \tz\n", 'a' + i % 26, 'a' + i / 26,
                       'A' + i % 26, 'A' + i / 26, 'a' + i % 26, 'A' + i / 26);
    world_put(&w, "r.tsv", s.data);
    berth_str_deinit(&s);
    struct berth_data *d = world_open(&w, PARTS);
    int side[700];
    memset(side, -1, sizeof side);
    for (int split = 0; split < BERTH_SPLIT_COUNT; split++) {
        const struct berth_dataset *set = set_of(d, (enum berth_split)split);
        assert_int_equal(set->rows % 3, 0);
        for (int64_t r = 0; r < set->rows; r++) {
            const int32_t *t = set->tokens + set->offset[r] + 2;
            int i = (t[0] - 5) + 26 * (t[1] - 5);
            assert_true(side[i] < 0 || side[i] == split);
            side[i] = split;
        }
    }
    berth_data_free(d);
    world_remove(&w);
}

static void bad_splits_are_refused(void **state) {
    (void)state;
    struct data_world w;
    world_make(&w);
    put_numbers(&w, "r.tsv", 3, false);
#define TASK "tasks: {t: {type: classification, source: r, label: label}}\n"
    world_refuses(&w,
                  "data: {r: {format: tsv, text: text, train: r.tsv, dev: r.tsv, split: {dev: 0.5}}}\n" TASK,
                  BERTH_E_USAGE,
                  "test.yaml:1:70: data.r.split: dev is a part of the train rows here and has paths of its own "
                  "too; leave one "
                  "out");
    world_refuses(&w, "data: {r: {format: tsv, text: text, dev: r.tsv, split: {test: 0.5}}}\n" TASK,
                  BERTH_E_USAGE,
                  "test.yaml:1:56: data.r.split: there are no rows to split: the source has no key 'train'");
    world_refuses(&w, "data: {r: {format: tsv, text: text, train: r.tsv, split: {dev: 0.5, test: 0.5}}}\n" TASK,
                  BERTH_E_USAGE,
                  "test.yaml:1:58: data.r.split: the shares of dev and test leave no row for train");
    world_refuses(&w, "data: {r: {format: tsv, text: text, train: r.tsv, split: {dev: 0.001}}}\n" TASK,
                  BERTH_E_USAGE,
                  "test.yaml:1:58: data.r.split: no row of the train paths falls to dev: the shares are too "
                  "small for so few "
                  "rows");
    world_remove(&w);
}

/* Which rows a limit keeps, as flags. */
static void kept_rows(bool *kept, int rows, const struct data_world *w, int limit, bool backwards,
                      int64_t seed) {
    char body[512];
    put_numbers(w, "r.tsv", rows, backwards);
    snprintf(body, sizeof body,
             "seed: %lld\ndata: {r: {format: tsv, text: text, train: r.tsv, dev: r.tsv, limit: %d, limit_eval: "
             "7}}\n" TASK,
             (long long)seed, limit);
    struct berth_data *d = world_open(w, body);
    const struct berth_dataset *set = set_of(d, BERTH_TRAIN);
    assert_int_equal(set->rows, limit < rows ? limit : rows);
    assert_int_equal(set_of(d, BERTH_DEV)->rows, 7);
    memset(kept, 0, (size_t)rows * sizeof *kept);
    int64_t little = 0;
    for (int64_t r = 0; r < set->rows; r++) {
        int i = number_of(set, r);
        kept[i] = true;
        little += i % 4 == 0;
        assert_int_equal(set->labels[0][r], i % 4 ? 1 : 0);
    }
    assert_int_equal(little, (set->rows + 2) / 4); /* a quarter, rounded */
    berth_data_free(d);
}

static void limits_keep_the_balance(void **state) {
    (void)state;
    struct data_world w;
    bool some[1000], again[1000], more[1000], other[1000];
    int same = 0, differ = 0;
    world_make(&w);
    kept_rows(some, 1000, &w, 100, false, 17);
    kept_rows(again, 1000, &w, 100, true, 17);
    kept_rows(more, 1000, &w, 200, false, 17);
    kept_rows(other, 1000, &w, 100, false, 4);
    assert_memory_equal(some, again, sizeof some); /* the rows' order is of no matter */
    for (int i = 0; i < 1000; i++) {
        if (some[i]) assert_true(more[i]); /* a larger limit adds rows */
        same += some[i] && other[i];
        differ += some[i] && !other[i];
    }
    assert_true(differ > 50 && same < 50); /* another seed, other rows */
    kept_rows(some, 1000, &w, 5000, false, 17);
    world_remove(&w);
}

/* ---- overflow */

static void put_long(const struct data_world *w, int words) {
    struct berth_str text = {0}, tags = {0}, s = {0};
    for (int i = 0; i < words; i++) { /* some words have several pieces */
        berth_str_addf(&text, "%s%s%c", i ? " " : "", i % 5 == 3 ? "qqqq" : "", 'a' + i % 26);
        berth_str_addf(&tags, "%s%s", i ? " " : "", i % 3 ? "O" : "B-x");
    }
    berth_str_addf(&s, "text\ttags\tlabel\n%s\t%s\tx\ngood film\tO O\ty\n", text.data, tags.data);
    world_put(w, "r.tsv", s.data);
    berth_str_deinit(&text);
    berth_str_deinit(&tags);
    berth_str_deinit(&s);
}

#define LONG(overflow)                                                                                         \
    "data: {r: {format: tsv, text: text, train: r.tsv, " overflow "}}\n"                                       \
    "tasks: {t: {type: tagging, source: r, label: tags}, c: {type: classification, source: r, label: "         \
    "label}}\n"

static void long_rows_stop_packing(void **state) {
    (void)state;
    struct data_world w;
    world_make(&w);
    put_long(&w, 20);
    world_refuses(&w, LONG("overflow: error"), BERTH_E_FORMAT,
                  "@/r.tsv:2: found a row of 38 tokens, expected at most 16 (model.max_length; data.r.overflow "
                  "is error)");
    world_remove(&w);
}

/* By the definition: of the windows that hold the word's first piece the one with the greatest smaller
 * distance. */
static int64_t owner_of(int64_t first, int64_t last, int64_t pieces, int64_t room, int64_t step,
                        int64_t windows) {
    int64_t best = -1, best_context = INT64_MIN;
    for (int64_t k = 0; k < windows; k++) {
        int64_t start = k * step, end = start + room < pieces ? start + room : pieces;
        if (first < start || first >= end) continue;
        int64_t left = first - start, right = end - 1 - last, context = left < right ? left : right;
        if (context > best_context) {
            best_context = context;
            best = k;
        }
    }
    return best;
}

static void check_windows(struct data_world *w, int words, int stride) {
    char body[512];
    put_long(w, words);
    snprintf(body, sizeof body,
             "data: {r: {format: tsv, text: text, train: r.tsv, overflow: windows, stride: %d}}\n"
             "tasks: {t: {type: tagging, source: r, label: tags}, c: {type: classification, source: r, label: "
             "label}}\n",
             stride);
    struct berth_data *d = world_open(w, body);
    const struct berth_dataset *set = set_of(d, BERTH_TRAIN);
    int64_t windows = set->rows - 1, room = w->max_length - 2, step = room - stride, pieces = 0, at = 0,
            word = 0;
    assert_int_equal(set->source_rows, 2);
    assert_int_equal(set->rows_cut + set->words_cut, 0);
    assert_int_equal(set->word_count, words + 2); /* each word once */
    int64_t first[300], last[300];
    for (int i = 0; i < words; i++) {
        first[i] = pieces;
        pieces += i % 5 == 3 ? 5 : 1;
        last[i] = pieces - 1;
    }
    for (int64_t k = 0; k < windows; k++) {
        assert_int_equal(set->origin[k], 0);
        assert_int_equal(set->labels[1][k], 0); /* each window carries the row's label */
        for (int64_t i = set->word_offset[k]; i < set->word_offset[k + 1]; i++, word++) {
            assert_int_equal(owner_of(first[word], last[word], pieces, room, step, windows), k);
            assert_int_equal(set->word_token[i], first[word] - k * step + 1);
            assert_int_equal(set->labels[0][i], word % 3 ? 0 : 1);
            assert_true(set->tokens[set->offset[k] + set->word_token[i]] >= 5);
        }
        at += set->offset[k + 1] - set->offset[k];
    }
    assert_int_equal(word, words);
    assert_int_equal(set->origin[windows], 1);
    /* the windows are those of the tokenizer's own truncation */
    char *bytes = NULL;
    size_t size = 0;
    assert_ok(berth_file_read(&bytes, &size, world_path(w, "r.tsv")));
    char *text = strchr(bytes, '\n') + 1;
    const struct berth_text one = {.text = text, .size = (size_t)(strchr(text, '\t') - text)};
    const struct berth_text_input input = {.first = &one, .first_count = 1};
    const struct berth_encode_options options = {
        .truncation = BERTH_LONGEST_FIRST, .max_length = w->max_length, .windows = true, .stride = stride};
    struct berth_encoded e;
    berth_encoded_init(&e);
    assert_ok(berth_tokenizer_encode_batch(w->tokenizer, &e, &input, 1, &options));
    assert_int_equal(e.rows, windows);
    assert_int_equal(e.count, at);
    assert_memory_equal(e.ids, set->tokens, (size_t)at * sizeof *e.ids);
    berth_encoded_deinit(&e);
    free(bytes);
    berth_data_free(d);
}

static void windows_share_the_words(void **state) {
    (void)state;
    struct data_world w;
    world_make(&w);
    for (int words = 1; words < 120; words = words < 30 ? words + 1 : words + 17)
        for (int stride = 0; stride <= 12; stride += 3)
            check_windows(&w, words, stride);
    world_refuses(&w, LONG("overflow: windows, stride: 13"), BERTH_E_USAGE,
                  "test.yaml:1:78: data.r.stride: windows would share more than they hold; model.max_length is "
                  "at least 4 more");
    world_remove(&w);
}

/* An evaluation sees each window once, and all windows' words are all words. */
static void windows_are_evaluated(void **state) {
    (void)state;
    struct data_world w;
    struct berth_scan *scan = NULL;
    const struct berth_batch *b = NULL;
    world_make(&w);
    put_long(&w, 60);
    struct berth_data *d = world_open(&w, LONG("overflow: windows, stride: 4"));
    const struct berth_dataset *set = set_of(d, BERTH_TRAIN);
    int64_t words = 0, sequences = 0;
    assert_ok(berth_scan_create(&scan, d, 0, BERTH_TRAIN, 3));
    for (;;) {
        assert_ok(berth_scan_next(scan, &b));
        if (!b) break;
        words += b->items[0].count;
        sequences += b->sequence_count;
        assert_int_equal(b->items[1].count, b->sequence_count);
    }
    assert_int_equal(words, 62);
    assert_int_equal(sequences, set->rows);
    berth_scan_free(scan);
    berth_data_free(d);
    world_remove(&w);
}

/* ---- memory */

static void put_many(const struct data_world *w, int rows) {
    struct berth_str s = {0};
    berth_str_add(&s, "text\tlabel\n");
    for (int i = 0; i < rows; i++)
        berth_str_addf(&s, "the film was %s but not %c %c for two in paris\t%s\n", i % 2 ? "good" : "awful",
                       'a' + i % 26, 'a' + i / 26 % 26, i % 3 ? "x" : "y");
    world_put(w, "r.tsv", s.data);
    berth_str_deinit(&s);
}

/* What the program does when it is called with a folder: packs in memory that may grow by 14 MB from here. (A
 * child of a process that ran parallel loops cannot run others, hence a process of its own.) */
static int pack_within_limit(const char *folder) {
    char line[256];
    long pages = 0;
    struct data_world w = {.folder = (char *)folder, .max_length = 16};
    assert_ok(berth_tokenizer_load_vocab(&w.tokenizer, world_path(&w, "vocab.txt"), NULL));
    struct berth_config *c = world_config(&w, "data: {r: {format: tsv, text: text, train: r.tsv}}\n" TASK);
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || !fgets(line, sizeof line, f) || sscanf(line, "%*d %*d %*d %*d %*d %ld", &pages) != 1) return 3;
    fclose(f);
    const struct rlimit limit = {.rlim_cur = (rlim_t)pages * 4096 + (14 << 20), .rlim_max = RLIM_INFINITY};
    if (setrlimit(RLIMIT_DATA, &limit) != 0) return 4;
    struct berth_data *d = NULL;
    berth_status status = berth_data_open(&d, c, w.tokenizer, NULL, 0, BERTH_ALL_SPLITS);
    if (status != BERTH_OK) fprintf(stderr, "%s\n", berth_error_text());
    berth_data_free(d);
    berth_config_free(c);
    berth_tokenizer_free(w.tokenizer);
    return status == BERTH_OK ? 0 : 1;
}

static int run_child(const struct data_world *w) {
    int result = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setenv("OMP_NUM_THREADS", "1", 1); /* threads' stacks are not what is measured */
        execl("/proc/self/exe", "test_row_sets", w->folder, (char *)NULL);
        _exit(5);
    }
    assert_int_equal(waitpid(child, &result, 0), child);
    return WIFEXITED(result) ? WEXITSTATUS(result) : -1;
}

/* 200,000 rows make a packed file of 18 MB; 14 MB of memory more than before must do, and would not hold its
 * tokens and what they came from. The file is then read through a map. */
static void packing_takes_bounded_memory(void **state) {
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* the sanitizers' own memory is not bounded */
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    skip();
#endif
#endif
    struct data_world w;
    world_make(&w);
    put_many(&w, 200000);
    assert_int_equal(run_child(&w), 0);
    struct berth_data *d = world_open(&w, "data: {r: {format: tsv, text: text, train: r.tsv}}\n" TASK);
    assert_false(berth_data_was_packed(d, 0, BERTH_TRAIN)); /* the child's file */
    assert_int_equal(set_of(d, BERTH_TRAIN)->rows, 200000);
    assert_true(set_of(d, BERTH_TRAIN)->token_count * 5 > 12000000);
    assert_int_equal(world_cached(&w), 1); /* no part was left behind */
    berth_data_free(d);
    world_remove(&w);
}

/* A spool that went through its file gives what one in memory gives. */
static void spools_keep_what_they_took(void **state) {
    (void)state;
    struct data_world w;
    world_make(&w);
    struct berth_h5_writer *h = NULL;
    struct berth_h5 *file = NULL;
    const char *path = world_path(&w, "x.h5");
    const int64_t count = 700001; /* more than two buffers of i32 */
    const int32_t *values = NULL, map[3] = {2, 0, 1};
    int64_t got = 0;
    struct spool s;
    spool_init(&s, BERTH_H5_I32, path);
    for (int64_t i = 0; i < count; i++) {
        int32_t value = i % 4 == 3 ? -1 : (int32_t)(i % 4);
        assert_ok(spool_add(&s, &value, 1));
    }
    assert_true(s.capacity <= 2 * SPOOL_BYTES && s.fd >= 0);
    assert_ok(berth_h5_create(&h, path, "test", 1));
    assert_ok(spool_put(&s, h, "v", map));
    assert_ok(berth_h5_commit(&h));
    spool_deinit(&s);
    assert_ok(berth_h5_open(&file, path, "test", 1));
    assert_ok(berth_h5_view(file, "v", BERTH_H5_I32, &values, &got));
    assert_int_equal(got, count);
    for (int64_t i = 0; i < count; i++)
        assert_int_equal(values[i], i % 4 == 3 ? -1 : map[i % 4]);
    berth_h5_close(file);
    world_remove(&w);
}

int main(int argc, char **argv) {
    if (argc == 2) return pack_within_limit(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_are_stable),          cmocka_unit_test(duplicates_fall_on_one_side),
        cmocka_unit_test(bad_splits_are_refused),     cmocka_unit_test(limits_keep_the_balance),
        cmocka_unit_test(long_rows_stop_packing),     cmocka_unit_test(windows_share_the_words),
        cmocka_unit_test(windows_are_evaluated),      cmocka_unit_test(packing_takes_bounded_memory),
        cmocka_unit_test(spools_keep_what_they_took),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
