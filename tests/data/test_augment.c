/* test_augment.c: rows altered on their way into a batch: tags stay with their words and fit the scheme, pieces
 * with their word; what is altered, and how, depends on (seed, epoch, row, occurrence) alone. */
#include "data/support_data.h"

#include <math.h>
#include <stdio.h>

#include "berth/tags.h"
#include "data/data_priv.h"

/* Words are two letters that follow each other, so that a word out of place is seen: by the first one a word is
 * of the type city (a..e) or food (f..j), or outside (k..y). Ids: a..z 5..30, ##a..##z 31..56, [MASK] 4. */
#define ROWS 60
#define MASK 4

static const char *const TYPES[] = {"city", "food"};

static void add_tag(struct berth_str *s, const char *scheme, int type, int at, int count, bool again) {
    const char *kind = strcmp(scheme, "io") == 0     ? "I"
                       : strcmp(scheme, "bio") == 0  ? (at == 0 ? "B" : "I")
                       : strcmp(scheme, "iob1") == 0 ? (at == 0 && again ? "B" : "I")
                                                     : NULL;
    const char *letters = strcmp(scheme, "bilou") == 0 ? "BILU" : "BIES";
    if (kind)
        berth_str_add(s, kind);
    else
        berth_str_addn(s, &letters[count == 1 ? 3 : at == 0 ? 0 : at + 1 == count ? 2 : 1], 1);
    berth_str_addf(s, "-%s ", TYPES[type]);
}

/* Rows of 1..9 words, with entities of 1..3 words, some side by side. */
static void put_rows(const struct data_world *w, const char *name, const char *scheme) {
    struct berth_str s = {0};
    berth_str_add(&s, "text\tlabel\ttags\n");
    for (int i = 0; i < ROWS; i++) {
        struct berth_str tags = {0};
        int words = 1 + i % 9, last = -1;
        for (int k = 0; k < words;) {
            int what = (i + 2 * k) % 5; /* 0, 1: city; 2: food; else outside */
            int type = what < 2 ? 0 : 1, count = what < 3 ? 1 + (i + k) % 3 : 1;
            if (count > words - k) count = words - k;
            for (int n = 0; n < count; n++) {
                char letter = (char)(what < 3 ? 'a' + 5 * type + (i + k + n) % 5 : 'k' + (i + k) % 15);
                berth_str_addf(&s, "%c%c ", letter, letter + 1);
                if (what < 3)
                    add_tag(&tags, scheme, type, n, count, last == type);
                else
                    berth_str_add(&tags, "O ");
            }
            last = what < 3 ? type : -1;
            k += count;
        }
        berth_str_addf(&s, "\t%s\t%s\n", i % 3 == 0 ? "x" : "y", tags.data);
        berth_str_deinit(&tags);
    }
    world_put(w, name, s.data);
    berth_str_deinit(&s);
}

#define TASKS                                                                                                  \
    "tasks: {c: {type: classification, source: r, label: label},\n"                                            \
    "        t: {type: tagging, source: r, label: tags}}\n"

static struct berth_data *open_with(const struct data_world *w, const char *scheme, const char *augment,
                                    const char *rest) {
    char body[1024];
    put_rows(w, "r.tsv", scheme);
    snprintf(body, sizeof body,
             "data: {r: {format: tsv, text: text, train: r.tsv, augment: {%s}}}\n" TASKS "%s", augment, rest);
    return world_open(w, body);
}

static struct berth_feeder *feeder_of(const struct berth_data *d, struct berth_feeder_options o) {
    struct berth_feeder *f = NULL;
    if (o.seed == 0) o.seed = 3;
    if (o.accumulate == 0) o.accumulate = 1;
    if (o.batch_size == 0) o.batch_size = 8;
    assert_ok(berth_feeder_create(&f, d, &o));
    return f;
}

struct seen { /* of an epoch */
    int64_t sequences, altered, words, masked, shorter, longer, moved;
};

static int64_t length_of(const struct berth_batch *b, int64_t s) {
    return b->cu_seqlens[s + 1] - b->cu_seqlens[s];
}

/* [CLS] words [SEP], each piece behind its own first one, or both masked. */
static void check_pieces(const struct berth_batch *b, int64_t s, struct seen *t) {
    const int32_t *tokens = b->tokens + b->cu_seqlens[s];
    int64_t length = length_of(b, s);
    assert_true(length >= 4 && length % 2 == 0); /* at least one word */
    assert_int_equal(tokens[0], 2);
    assert_int_equal(tokens[length - 1], 3);
    for (int64_t i = 1; i < length - 1; i += 2) {
        t->words++;
        t->masked += tokens[i] == MASK;
        if (tokens[i] == MASK)
            assert_int_equal(tokens[i + 1], MASK);
        else
            assert_int_equal(tokens[i + 1], tokens[i] - 5 + 1 + 31);
    }
}

/* The tag of each word is of the word's type, and may stand where it stands. */
static void check_tags(const struct berth_batch *b, int64_t s, const struct berth_task *task) {
    const struct berth_items *items = &b->items[1];
    const char *before = NULL;
    int64_t words = 0;
    for (int64_t i = 0; i < items->count; i++) {
        if (items->index[i] < b->cu_seqlens[s] || items->index[i] >= b->cu_seqlens[s + 1]) continue;
        int32_t token = b->tokens[items->index[i]];
        const char *tag = task->labels.names[items->label[i]];
        struct berth_tag read = berth_tag_read(tag);
        if (token != MASK) {
            int letter = token - 5;
            assert_true(letter >= 0 && letter < 26);
            if (letter >= 10)
                assert_string_equal(tag, "O");
            else
                assert_string_equal(read.type, TYPES[letter / 5]);
        }
        assert_true(berth_tag_allowed(task->scheme, before, tag));
        before = tag;
        words++;
    }
    assert_true(berth_tag_allowed(task->scheme, before, NULL));
    assert_int_equal(words, (length_of(b, s) - 2) / 2); /* every word has its item */
}

static int compare_tokens(const void *a, const void *b) {
    return *(const int32_t *)a - *(const int32_t *)b;
}

/* How the sequence differs from the row that it came from. */
static void compare(const struct berth_batch *b, int64_t s, const struct berth_dataset *set, struct seen *t) {
    int64_t row = b->source_row[s], length = length_of(b, s), own = set->offset[row + 1] - set->offset[row];
    const int32_t *now = b->tokens + b->cu_seqlens[s], *was = set->tokens + set->offset[row];
    bool same = length == own && memcmp(now, was, (size_t)own * sizeof *now) == 0;
    t->sequences++;
    t->altered += !same;
    t->shorter += length < own;
    t->longer += length > own;
    if (length != own || same) return;
    int32_t sorted[2][64];
    for (int64_t i = 0; i < own; i++) {
        sorted[0][i] = now[i];
        sorted[1][i] = was[i];
    }
    qsort(sorted[0], (size_t)own, sizeof(int32_t), compare_tokens);
    qsort(sorted[1], (size_t)own, sizeof(int32_t), compare_tokens);
    t->moved += memcmp(sorted[0], sorted[1], (size_t)own * sizeof(int32_t)) == 0;
}

static struct seen run(const struct berth_data *d, struct berth_feeder *f, int64_t epoch) {
    struct seen t = {0};
    int64_t steps = 0;
    assert_ok(berth_feeder_restore(f, epoch, 0));
    assert_ok(berth_feeder_epoch_steps(f, epoch, &steps));
    while (steps-- > 0) {
        assert_ok(berth_feeder_next(f));
        const struct berth_batch *b = berth_feeder_batch(f, 0);
        assert_int_equal(b->items[0].count, b->sequence_count);
        for (int64_t s = 0; s < b->sequence_count; s++) {
            assert_int_equal(b->items[0].label[s], b->source_row[s] % 3 != 0);
            check_pieces(b, s, &t);
            check_tags(b, s, berth_data_task(d, 1));
            compare(b, s, &berth_data_source(d, 0)->split[BERTH_TRAIN], &t);
        }
    }
    return t;
}

static struct seen run_with(struct data_world *w, const char *scheme, const char *augment, const char *rest) {
    struct berth_data *d = open_with(w, scheme, augment, rest);
    struct berth_feeder *f = feeder_of(d, (struct berth_feeder_options){.synchronous = true});
    struct seen t = run(d, f, 0);
    berth_feeder_free(f);
    berth_data_free(d);
    return t;
}

static void operations_do_what_they_say(void **state) {
    (void)state;
    struct data_world w;
    world_make(&w);
    w.max_length = 64;
    struct seen t = run_with(&w, "bio", "delete: 0.2", "");
    assert_int_equal(t.sequences, ROWS);
    assert_int_equal(t.altered, t.shorter);
    assert_true(t.altered > 30 && t.altered < 55); /* rows of 1 word stay */
    assert_true(4 * t.words > 3 * 291 && 100 * t.words < 88 * 291);
    t = run_with(&w, "bio", "delete: 1", "");
    assert_int_equal(t.words, ROWS); /* one word of each row stays */
    t = run_with(&w, "bio", "swap: 0.3", "");
    assert_true(t.altered > 20);
    assert_int_equal(t.altered, t.moved); /* the same words in another order */
    t = run_with(&w, "bio", "mask: 0.2", "");
    assert_int_equal(t.shorter + t.longer, 0);
    assert_true(t.masked > 40 && t.masked < 80);
    t = run_with(&w, "bio", "mask: 1", "");
    assert_int_equal(t.masked, t.words);
    t = run_with(&w, "bio", "entity: 1", "");
    assert_true(t.shorter > 5 && t.longer > 5 && t.altered > 40);
    t = run_with(&w, "bio", "replace: 0.3", "");
    assert_int_equal(t.shorter + t.longer, 0);
    assert_true(t.altered > 30 && t.words == 291);
    t = run_with(&w, "bio", "share: 0.25, mask: 1", "");
    assert_true(t.altered > 6 && t.altered < 26); /* 15 on average */
    t = run_with(&w, "bio", "share: 0, mask: 1", "");
    assert_int_equal(t.altered, 0);
    world_remove(&w);
}

static void every_scheme_stays_valid(void **state) {
    (void)state;
    static const char *const schemes[] = {"io", "bio", "iob1", "bioes", "bilou"};
    struct data_world w;
    world_make(&w);
    w.max_length = 64;
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        struct berth_data *d =
            open_with(&w, schemes[i], "entity: 0.5, replace: 0.2, delete: 0.2, swap: 0.3, mask: 0.1", "");
        struct berth_feeder *f = feeder_of(d, (struct berth_feeder_options){.synchronous = true});
        assert_string_equal(berth_tag_scheme_name(berth_data_task(d, 1)->scheme), schemes[i]);
        for (int64_t epoch = 0; epoch < 20; epoch++) {
            struct seen t = run(d, f, epoch);
            assert_true(t.altered > 45);
        }
        berth_feeder_free(f);
        berth_data_free(d);
    }
    world_remove(&w);
}

/* ---- the same whatever prepares it */

/* Sequences of two epochs by their place: digests that depend on tokens and labels. */
struct trace {
    uint64_t digest[4096];
    size_t count;
};

static void add_batch(struct trace *t, const struct berth_batch *b) {
    for (int64_t s = 0; s < b->sequence_count; s++) {
        struct berth_hasher *h = NULL;
        assert_ok(berth_hasher_create(&h));
        int64_t first = b->cu_seqlens[s], key[] = {b->source[s], b->source_row[s], b->ordinal[s]};
        berth_hasher_add(h, key, sizeof key);
        berth_hasher_add(h, b->tokens + first, (size_t)length_of(b, s) * sizeof *b->tokens);
        for (int task = 0; task < b->task_count; task++)
            for (int64_t i = 0; i < b->items[task].count; i++) {
                int64_t at = b->items[task].index[i] - (task == 1 ? first : s);
                if (task == 1 ? at < 0 || at >= length_of(b, s) : at != 0) continue;
                int32_t item[] = {task, (int32_t)at, b->items[task].label[i]};
                berth_hasher_add(h, item, sizeof item);
            }
        assert_true(t->count < 4096);
        t->digest[t->count++] = berth_hasher_end(h).low;
    }
}

static int compare_digests(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void trace_epochs(struct trace *t, const struct berth_data *d, struct berth_feeder_options o,
                         bool jumps) {
    struct berth_feeder *f = feeder_of(d, o);
    for (int64_t epoch = 0; epoch < 2; epoch++) {
        int64_t steps = 0;
        assert_ok(berth_feeder_epoch_steps(f, epoch, &steps));
        for (int64_t i = 0; i < steps; i++) {
            int64_t step = jumps ? steps - 1 - i : i;
            if (jumps || i == 0) assert_ok(berth_feeder_restore(f, epoch, step));
            assert_ok(berth_feeder_next(f));
            for (int k = 0; k < berth_feeder_batch_count(f); k++)
                add_batch(t, berth_feeder_batch(f, k));
        }
    }
    berth_feeder_free(f);
}

static void assert_same(struct trace *a, struct trace *b) {
    assert_int_equal(a->count, b->count);
    qsort(a->digest, a->count, sizeof a->digest[0], compare_digests);
    qsort(b->digest, b->count, sizeof b->digest[0], compare_digests);
    assert_memory_equal(a->digest, b->digest, a->count * sizeof a->digest[0]);
    b->count = 0;
}

static void nothing_else_decides(void **state) {
    (void)state;
    static struct trace one, other;
    struct data_world w;
    world_make(&w);
    w.max_length = 64;
    struct berth_data *d = open_with(&w, "bio", "entity: 0.5, replace: 0.2, delete: 0.2, swap: 0.3, mask: 0.1",
                                     "sampling: {units: {r: {ratio: 2.5}}}\n");
    one.count = other.count = 0;
    trace_epochs(&one, d, (struct berth_feeder_options){.synchronous = true, .accumulate = 4}, false);
    assert_int_equal(one.count, 2 * ROWS * 5 / 2);
    trace_epochs(&other, d, (struct berth_feeder_options){.accumulate = 4}, false); /* a thread ahead of us */
    assert_same(&one, &other);
    trace_epochs(&other, d, (struct berth_feeder_options){.accumulate = 1},
                 true); /* each step reached by itself */
    assert_same(&one, &other);
    for (int rank = 0; rank < 4; rank++)
        trace_epochs(&other, d, (struct berth_feeder_options){.accumulate = 4, .rank = rank, .ranks = 4},
                     false);
    assert_same(&one, &other);
    size_t different = 0; /* draws of one row in one epoch differ, and so do the epochs and the seeds */
    for (size_t i = 1; i < one.count; i++)
        different += one.digest[i] != one.digest[i - 1];
    assert_true(different > one.count * 9 / 10); /* rows of one word have not many ways to differ */
    trace_epochs(&other, d, (struct berth_feeder_options){.seed = 4}, false);
    qsort(other.digest, other.count, sizeof other.digest[0], compare_digests);
    assert_int_not_equal(memcmp(one.digest, other.digest, sizeof one.digest), 0);
    berth_data_free(d);
    world_remove(&w);
}

/* ---- which draws */

/* Draws of an epoch that are as the pack has them, and the others. */
static void count_draws(const struct berth_data *d, struct berth_feeder *f, int64_t epoch, int own[ROWS],
                        int altered[ROWS]) {
    int64_t steps = 0;
    const struct berth_dataset *set = &berth_data_source(d, 0)->split[BERTH_TRAIN];
    memset(own, 0, ROWS * sizeof *own);
    memset(altered, 0, ROWS * sizeof *altered);
    assert_ok(berth_feeder_restore(f, epoch, 0));
    assert_ok(berth_feeder_epoch_steps(f, epoch, &steps));
    while (steps-- > 0) {
        assert_ok(berth_feeder_next(f));
        const struct berth_batch *b = berth_feeder_batch(f, 0);
        for (int64_t s = 0; s < b->sequence_count; s++) {
            struct seen t = {0};
            compare(b, s, set, &t);
            (*(t.altered ? &altered[b->source_row[s]] : &own[b->source_row[s]]))++;
        }
    }
}

static void repeats_are_altered(void **state) {
    (void)state;
    static const char *const samplings[] = {"units: {r: {ratio: 2.5, more: augmentation}}",
                                            "mix: step, units: {c: {ratio: 2.5, more: augmentation}}",
                                            "mix: all, units: {r: {ratio: 2.5, more: augmentation}}"};
    struct data_world w;
    world_make(&w);
    w.max_length = 64;
    for (size_t i = 0; i < 3; i++) {
        char sampling[160];
        int own[ROWS], altered[ROWS], total = 0;
        bool only[] = {true, false};
        snprintf(sampling, sizeof sampling, "sampling: {%s}\n", samplings[i]);
        struct berth_data *d = open_with(&w, "bio", "mask: 1", sampling);
        struct berth_feeder *f =
            feeder_of(d, (struct berth_feeder_options){.synchronous = true, .tasks = only});
        assert_true(fabs(berth_feeder_unit(f, 0).altered - 1.5 / 2.5) < 0.01); /* what the plan prints */
        for (int64_t epoch = 0; epoch < 5; epoch++) {
            count_draws(d, f, epoch, own, altered);
            for (int row = 0; row < ROWS; row++) {
                assert_int_equal(own[row],
                                 1); /* each comes at least twice: the first as it is, all others altered */
                total += own[row] + altered[row];
            }
        }
        assert_int_equal(total, 5 * ROWS * 5 / 2 + (i == 2 ? 5 * 2 : 0)); /* mix: all: whole steps */
        berth_feeder_free(f);
        berth_data_free(d);
    }
    /* fewer draws than rows: none comes twice, so none is altered; share adds first draws */
    int own[ROWS], altered[ROWS];
    struct berth_data *d =
        open_with(&w, "bio", "mask: 1", "sampling: {units: {r: {ratio: 0.7, more: augmentation}}}\n");
    struct berth_feeder *f = feeder_of(d, (struct berth_feeder_options){.synchronous = true});
    for (int64_t epoch = 0; epoch < 7; epoch++) {
        int twice = 0;
        count_draws(d, f, epoch, own, altered);
        for (int row = 0; row < ROWS; row++) {
            assert_true(own[row] <= 1);
            assert_true(altered[row] == 0 || own[row] == 1); /* where a pass ended and the next one began */
            twice += altered[row];
        }
        assert_true(twice < 42);
    }
    berth_feeder_free(f);
    berth_data_free(d);
    world_remove(&w);
}

/* ---- other shapes of rows */

static struct berth_data *open_rows(const struct data_world *w, const char *text, const char *source,
                                    const char *tasks) {
    char body[1024];
    world_put(w, "p.tsv", text);
    snprintf(body, sizeof body,
             "data: {p: {format: tsv, text: a, text_pair: b, train: p.tsv, %s}}\ntasks: {%s}\n", source, tasks);
    return world_open(w, body);
}

static const struct berth_batch *first_batch(struct berth_feeder **f, const struct berth_data *d) {
    *f = feeder_of(d, (struct berth_feeder_options){.synchronous = true, .batch_size = 100});
    assert_ok(berth_feeder_next(*f));
    return berth_feeder_batch(*f, 0);
}

static void pairs_keep_their_parts(void **state) {
    (void)state;
    struct data_world w;
    struct berth_feeder *f = NULL;
    world_make(&w);
    struct berth_data *d = open_rows(&w, "a\tb\tl\nab bc\tuv vw wx\tx\nab bc cd\t\ty\n", "augment: {delete: 1}",
                                     "c: {type: classification, source: p, label: l}");
    const struct berth_batch *b = first_batch(&f, d);
    for (int64_t s = 0; s < 2; s++) { /* [CLS] one word [SEP] one word [SEP], segments by part */
        const int32_t *tokens = b->tokens + b->cu_seqlens[s], *segments = b->segments + b->cu_seqlens[s];
        bool full = b->source_row[s] == 0;
        assert_int_equal(length_of(b, s), full ? 7 : 5);
        assert_true(tokens[1] >= 5 && tokens[1] <= 7);
        assert_int_equal(tokens[3], 3);
        assert_int_equal(segments[3], 0);
        assert_int_equal(segments[4], 1);
        if (full) assert_true(tokens[4] >= 25 && tokens[4] <= 27);
        assert_int_equal(tokens[length_of(b, s) - 1], 3);
    }
    berth_feeder_free(f);
    berth_data_free(d);
    d = open_rows(&w, "a\tb\tl\nab bc\tuv vw wx\t0.5\nab bc cd\tuv\t1\n", "augment: {delete: 1, mask: 1}",
                  "s: {type: similarity, source: p, label: l}, m: {type: mlm, source: p}");
    b = first_batch(&f, d);
    assert_int_equal(b->sequence_count, 8); /* two texts each, and their masked copies */
    for (int64_t s = 0; s < 8; s++) {
        const int32_t *tokens = b->tokens + b->cu_seqlens[s];
        assert_int_equal(length_of(b, s), 4);
        assert_int_equal(tokens[0], 2);
        assert_int_equal(tokens[1], MASK);
        assert_int_equal(tokens[2], MASK);
        assert_int_equal(tokens[3], 3);
    }
    assert_int_equal(b->items[0].count, 2);
    assert_int_equal(b->items[1].count, 0); /* [MASK] is not to be told */
    berth_feeder_free(f);
    berth_data_free(d);
    world_remove(&w);
}

/* What is longer than max_length afterwards is cut as rows are; windows leave other windows' words alone. */
static void long_rows_fit(void **state) {
    (void)state;
    struct data_world w;
    struct berth_feeder *f = NULL;
    world_make(&w);
    w.max_length = 9; /* room for 7 pieces */
    static const char rows[] =
        "a\tb\nab kl lm mn\tB-x O O O\nab bc cd\tB-x I-x I-x\nbc\tB-x\nkl lm mn no op pq qr\tO O O O O O O\n";
    world_put(&w, "p.tsv", rows);
    struct berth_data *d =
        world_open(&w, "data: {p: {format: tsv, text: a, train: p.tsv, augment: {entity: 1}}}\n"
                       "tasks: {t: {type: tagging, source: p, label: b}}\n");
    const struct berth_dataset *set = &berth_data_source(d, 0)->split[BERTH_TRAIN];
    int cut = 0;
    f = feeder_of(d, (struct berth_feeder_options){.synchronous = true});
    for (int epoch = 0; epoch < 40; epoch++) {
        assert_ok(berth_feeder_next(f));
        const struct berth_batch *b = berth_feeder_batch(f, 0);
        for (int64_t s = 0; s < b->sequence_count; s++) {
            assert_true(length_of(b, s) <= 9);
            cut += b->source_row[s] == 0 && length_of(b, s) == 9 && b->tokens[b->cu_seqlens[s] + 3] != 5 + 10;
        }
    }
    assert_true(cut > 5); /* the entity of three words does not fit in front of the other three */
    berth_feeder_free(f);
    berth_data_free(d);
    d = world_open(
        &w,
        "data: {p: {format: tsv, text: a, train: p.tsv, overflow: windows, stride: 2, augment: {delete: 1}}}\n"
        "tasks: {t: {type: tagging, source: p, label: b}}\n");
    set = &berth_data_source(d, 0)->split[BERTH_TRAIN];
    assert_int_equal(set->rows, 7); /* two windows of the first row, three of the last */
    const struct berth_batch *b = first_batch(&f, d);
    for (int64_t s = 0; s < b->sequence_count; s++) {
        int64_t row = b->source_row[s], words = 0, kept = 0, outside = 0;
        const int32_t *was = set->tokens + set->offset[row];
        for (int64_t k = set->word_offset[row]; k < set->word_offset[row + 1]; k++)
            words += set->word_token[k] >= 0;
        for (int64_t i = 0; i < b->items[0].count; i++)
            kept += b->items[0].index[i] >= b->cu_seqlens[s] && b->items[0].index[i] < b->cu_seqlens[s + 1];
        assert_true(words > 0);
        bool goes_on = row + 1 < set->rows && set->origin[row + 1] == set->origin[row];
        assert_int_equal(kept, 1);
        outside = set->word_token[set->word_offset[row]] - 1; /* pieces of the window before */
        for (int64_t i = 0; i < outside; i++)
            assert_int_equal(b->tokens[b->cu_seqlens[s] + 1 + i], was[1 + i]);
        if (goes_on) /* the last word stays, with what lies behind it */
            assert_int_equal(b->tokens[b->cu_seqlens[s + 1] - 2],
                             was[set->offset[row + 1] - set->offset[row] - 2]);
    }
    berth_feeder_free(f);
    berth_data_free(d);
    world_remove(&w);
}

/* An entity that crosses windows stays as it is in each of them, and is never put elsewhere. */
static void entities_across_windows_stay(void **state) {
    (void)state;
    struct data_world w;
    world_make(&w);
    w.max_length = 8; /* three words */
    world_put(&w, "p.tsv",
              "a\tb\n"
              "kl ab bc cd de ab lm\tO B-x I-x I-x I-x I-x O\n"
              "ab kl\tB-x O\n"
              "bc cd\tB-x I-x\n");
    struct berth_data *d =
        world_open(&w, "data: {p: {format: tsv, text: a, train: p.tsv, overflow: windows, stride: 2,\n"
                       "           augment: {entity: 1, delete: 0.4, swap: 0.5}}}\n"
                       "tasks: {t: {type: tagging, source: p, label: b}}\n");
    const struct berth_dataset *set = &berth_data_source(d, 0)->split[BERTH_TRAIN];
    const struct berth_task *task = berth_data_task(d, 0);
    struct berth_feeder *f = feeder_of(d, (struct berth_feeder_options){.synchronous = true, .batch_size = 20});
    assert_true(set->rows > 4);
    int changed = 0;
    for (int epoch = 0; epoch < 60; epoch++) {
        assert_ok(berth_feeder_next(f));
        const struct berth_batch *b = berth_feeder_batch(f, 0);
        for (int64_t s = 0; s < b->sequence_count; s++) {
            int64_t row = b->source_row[s], inside = 0, wanted = 0;
            const char *before = NULL;
            bool crossing = set->origin[row] == 0;
            for (int64_t k = set->word_offset[row]; k < set->word_offset[row + 1]; k++)
                wanted += strcmp(task->labels.names[set->labels[0][k]], "O") != 0;
            for (int64_t i = 0; i < b->items[0].count; i++) {
                if (b->items[0].index[i] < b->cu_seqlens[s] || b->items[0].index[i] >= b->cu_seqlens[s + 1])
                    continue;
                const char *tag = task->labels.names[b->items[0].label[i]];
                inside += strcmp(tag, "O") != 0;
                if (!crossing || before) assert_true(berth_tag_allowed(BERTH_TAGS_BIO, before, tag));
                before = tag;
            }
            if (crossing) assert_int_equal(inside, wanted); /* its words are all there, none is another's */
            changed += !crossing && inside != wanted;
            assert_true(crossing || inside <= 2); /* the long one is no donor */
        }
    }
    assert_true(changed > 10);
    berth_feeder_free(f);
    berth_data_free(d);
    world_remove(&w);
}

/* A row that would lose the last labelled word of a task when it is cut stays as it is. */
static void no_task_loses_its_row(void **state) {
    (void)state;
    struct data_world w;
    world_make(&w);
    w.max_length = 6; /* two words */
    world_put(&w, "p.jsonl",
              "{\"w\": [\"ab\", \"kl\"], \"t\": [\"B-x\", \"O\"], \"u\": [\"\", \"N\"]}\n"
              "{\"w\": [\"bc\", \"cd\"], \"t\": [\"B-x\", \"I-x\"], \"u\": [\"\", \"\"]}\n");
    struct berth_data *d =
        world_open(&w, "data: {p: {format: jsonl, text: w, train: p.jsonl, augment: {entity: 1}}}\n"
                       "tasks: {t: {type: tagging, source: p, label: t},\n"
                       "        u: {type: tagging, source: p, label: u}}\n");
    struct berth_feeder *f = feeder_of(d, (struct berth_feeder_options){.synchronous = true, .batch_size = 2});
    for (int epoch = 0; epoch < 20; epoch++) {
        assert_ok(berth_feeder_next(f));
        assert_int_equal(berth_feeder_batch(f, 0)->items[1].count, 1);
    }
    berth_feeder_free(f);
    berth_data_free(d);
    world_remove(&w);
}

static void mistakes_are_told(void **state) {
    (void)state;
    struct data_world w;
    struct berth_feeder *f = NULL;
    world_make(&w);
    world_put(&w, "p.tsv", "a\tb\nab\tx\nbc\ty\n");
#define AUGMENT(what)                                                                                          \
    "data: {p: {format: tsv, text: a, train: p.tsv, augment: {" what "}}}\n"                                   \
    "tasks: {c: {type: classification, source: p, label: b}}\n"
    world_refuses(
        &w, AUGMENT("entity: 0.1"), BERTH_E_USAGE,
        "test.yaml:1:66: data.p.augment.entity: no tagging task reads source 'p': its words have no tags");
    world_refuses(
        &w, AUGMENT("share: 0.1"), BERTH_E_USAGE,
        "test.yaml:1:65: data.p.augment.share: no operation beside it has a probability above 0: there is "
        "nothing to do");
    struct berth_data *d = world_open(&w, "data: {p: {format: tsv, text: a, train: p.tsv}}\n"
                                          "tasks: {c: {type: classification, source: p, label: b}}\n"
                                          "sampling: {units: {p: {ratio: 2, more: augmentation}}}\n");
    const struct berth_feeder_options o = {.seed = 1, .batch_size = 8, .accumulate = 1};
    assert_int_equal(berth_feeder_create(&f, d, &o), BERTH_E_USAGE);
    assert_string_equal(
        berth_error_text(),
        "sampling.units.p.more: found 'augmentation', but nothing says how rows of source 'p' are "
        "altered: give data.p.augment");
    berth_data_free(d);
    world_put(&w, "p.tsv", "a\tb\nab cd\tNOUN VERB\nbc\tNOUN\n");
    d = world_open(&w, "data: {p: {format: tsv, text: a, train: p.tsv, augment: {entity: 0.1}}}\n"
                       "tasks: {c: {type: tagging, source: p, label: b}}\n");
    assert_int_equal(berth_feeder_create(&f, d, &o), BERTH_E_USAGE);
    assert_string_equal(berth_error_text(),
                        "data.p.augment.entity: the tags of source 'p' mark no entities (scheme "
                        "plain): there is none to replace");
    berth_data_free(d);
    world_remove(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_do_what_they_say),
        cmocka_unit_test(every_scheme_stays_valid),
        cmocka_unit_test(nothing_else_decides),
        cmocka_unit_test(repeats_are_altered),
        cmocka_unit_test(pairs_keep_their_parts),
        cmocka_unit_test(long_rows_fit),
        cmocka_unit_test(entities_across_windows_stay),
        cmocka_unit_test(no_task_loses_its_row),
        cmocka_unit_test(mistakes_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
