/* test_payload.c: what a row carries for each kind of task comes out of the packed file and into the batch:
 * sets, numbers, separate sequences, several sources a task, and masked copies. */
#include "data/support_data.h"

#include <math.h>

#include "data/data_priv.h"

static const struct berth_dataset *set_of(const struct berth_data *d, size_t source, enum berth_split split) {
    return &berth_data_source(d, source)->split[split];
}

/* The whole split as one batch, rows longest first. */
static const struct berth_batch *scan_all(struct berth_scan **scan, const struct berth_data *d, size_t source,
                                          enum berth_split split) {
    const struct berth_batch *b = NULL;
    assert_ok(berth_scan_create(scan, d, source, split, 100));
    assert_ok(berth_scan_next(*scan, &b));
    assert_non_null(b);
    return b;
}

static void sets_of_labels(void **state) {
    (void)state;
    struct data_world w;
    world_make(&w);
    world_put(&w, "a.tsv", "text\ttags\ngood film\tz, a ,z\nbad\t\nnot good\tm\n");
    world_put(&w, "dev.tsv", "text\ttags\ngood\tm,q,a\n");
    struct berth_data *d = world_open(&w, "data: {r: {format: tsv, text: text, train: a.tsv, dev: dev.tsv}}\n"
                                          "tasks: {t: {type: multilabel, source: r, label: tags}}\n");
    const struct berth_dataset *set = set_of(d, 0, BERTH_TRAIN), *dev = set_of(d, 0, BERTH_DEV);
    assert_int_equal(berth_data_task(d, 0)->labels.count, 3);
    const int32_t labelled[] = {0, -1, 0};
    const int64_t offset[] = {0, 2, 2, 3};
    assert_memory_equal(set->labels[0], labelled, sizeof labelled);
    assert_memory_equal(set->set_offset[0], offset, sizeof offset);
    assert_true((set->set_values[0][0] == 0 && set->set_values[0][1] == 2) || /* a, z: once each */
                (set->set_values[0][0] == 2 && set->set_values[0][1] == 0));
    assert_int_equal(dev->unknown_labels[0], 1);
    struct berth_scan *scan = NULL;
    const struct berth_batch *b = scan_all(&scan, d, 0, BERTH_TRAIN);
    const struct berth_items *items = &b->items[0];
    assert_int_equal(items->count, 3);
    assert_int_equal(items->width, 3);
    assert_int_equal(items->task_items, 2);
    for (int64_t i = 0; i < 3; i++) {
        static const float wanted[3][3] = {{1, 0, 1}, {0, 0, 0}, {0, 1, 0}};
        int64_t row = b->source_row[items->index[i]];
        assert_int_equal(items->label[i], labelled[row]);
        assert_memory_equal(items->target + 3 * i, wanted[row], sizeof wanted[row]);
    }
    berth_scan_free(scan);
    berth_data_free(d);
    world_remove(&w);
}

static void numbers(void **state) {
    (void)state;
    struct data_world w;
    world_make(&w);
    world_put(&w, "a.tsv", "text\ty\ngood film\t-2.5\nbad\t\nnot good\t1e2\n");
    struct berth_data *d = world_open(&w, "data: {r: {format: tsv, text: text, train: a.tsv}}\n"
                                          "tasks: {t: {type: regression, source: r, label: y}}\n");
    const struct berth_dataset *set = set_of(d, 0, BERTH_TRAIN);
    assert_int_equal(berth_data_task(d, 0)->labels.count, 0);
    assert_true(set->numbers[0][0] == -2.5f && set->numbers[0][2] == 100.0f && set->labels[0][1] == -1);
    struct berth_feeder *f = NULL;
    const struct berth_feeder_options options = {.seed = 1, .batch_size = 8, .accumulate = 1};
    assert_ok(berth_feeder_create(&f, d, &options));
    assert_ok(berth_feeder_next(f));
    const struct berth_batch *b = berth_feeder_batch(f, 0);
    assert_int_equal(b->items[0].count, 2); /* the row without a number is not drawn */
    assert_int_equal(b->items[0].width, 1);
    for (int64_t i = 0; i < 2; i++)
        assert_true(b->items[0].target[i] == set->numbers[0][b->source_row[b->items[0].index[i]]]);
    berth_feeder_free(f);
    berth_data_free(d);
    world_remove(&w);
}

#define PAIRS                                                                                                  \
    "data: {p: {format: tsv, text: a, text_pair: b, negative: c, train: p.tsv}}\n"                             \
    "tasks: {near: {type: similarity, source: p, label: y}, like: {type: contrastive, source: p}}\n"

static void put_pairs(const struct data_world *w) {
    world_put(w, "p.tsv",
              "a\tb\tc\ty\ngood film\tgreat film\tawful book\t0.9\nthe book\tmusic\t\t\n"
              "play music for two but not in paris the table\tbad\ta film\t0.25\n");
}

static void separate_sequences(void **state) {
    (void)state;
    struct data_world w;
    world_make(&w);
    w.max_length = 8;
    put_pairs(&w);
    struct berth_data *d = world_open(&w, PAIRS);
    const struct berth_dataset *set = set_of(d, 0, BERTH_TRAIN);
    const int32_t pair_at[] = {4, 4, 8}, negative_at[] = {8, 0, 11};
    assert_memory_equal(set->pair_at, pair_at, sizeof pair_at);
    assert_memory_equal(set->negative_at, negative_at, sizeof negative_at);
    assert_int_equal(set->rows_cut, 1);
    struct berth_scan *scan = NULL;
    const struct berth_batch *b = scan_all(&scan, d, 0, BERTH_TRAIN);
    assert_int_equal(b->sequence_count, 8);
    assert_int_equal(b->items[0].count, 3);
    assert_int_equal(b->items[1].count, 3);
    for (int64_t s = 0; s < b->sequence_count; s++) {
        assert_int_equal(b->ordinal[s], s); /* distinct */
        assert_int_equal(b->tokens[b->cu_seqlens[s]], 2);
        assert_int_equal(b->tokens[b->cu_seqlens[s + 1] - 1], 3);
    }
    for (int task = 0; task < 2; task++) {
        const struct berth_items *items = &b->items[task];
        for (int64_t i = 0; i < 3; i++) {
            int64_t row = b->source_row[items->index[i]], first = set->offset[row];
            assert_int_equal(b->source_row[items->pair[i]], row);
            assert_int_equal(b->tokens[b->cu_seqlens[items->pair[i]] + 1],
                             set->tokens[first + pair_at[row] + 1]);
            assert_int_equal(items->negative[i] < 0, negative_at[row] == 0);
            if (negative_at[row] > 0)
                assert_int_equal(b->tokens[b->cu_seqlens[items->negative[i]] + 1],
                                 set->tokens[first + negative_at[row] + 1]);
            assert_int_equal(items->label[i], task == 0 && row == 1 ? -1 : 0);
            if (task == 0 && row != 1) assert_true(items->target[i] == set->numbers[0][row]);
        }
    }
    berth_scan_free(scan);
    berth_data_free(d);
    world_refuses(
        &w,
        "data: {p: {format: tsv, text: a, text_pair: b, train: p.tsv}}\n"
        "tasks: {same: {type: classification, source: p, label: c}, "
        "near: {type: similarity, source: p, label: y}}\n",
        BERTH_E_USAGE,
        "test.yaml:2:103: tasks.near.label: source 'p': task 'near' (similarity) reads text and text_pair as "
        "two sequences, task 'same' (classification) as one; name the files as two sources");
    world_remove(&w);
}

static void one_task_of_several_sources(void **state) {
    (void)state;
    struct data_world w;
    world_make(&w);
    world_put(&w, "a.tsv", "text\tlabel\ngood film\tz\nbad\ty\n");
    world_put(&w, "b.tsv", "text\tkind\nmusic\tx\nthe table\tz\n");
    world_put(&w, "c.tsv", "text\tlabel\nbook\tx\nparis\tv\n");
    struct berth_data *d = world_open(
        &w, "data: {a: {format: tsv, text: text, train: a.tsv}, b: {format: tsv, text: text, train: b.tsv},\n"
            "       c: {format: tsv, text: text, dev: c.tsv}}\n"
            "tasks: {t: {type: classification, source: [a, b, c], label: [label, kind, label]}}\n");
    const struct berth_task *task = berth_data_task(d, 0);
    assert_int_equal(task->labels.count, 3); /* x y z: one map over the training rows of all */
    assert_int_equal(berth_data_task_source_count(d, 0), 3);
    assert_int_equal(berth_data_task_source_at(d, 0, 2), 2);
    assert_true(berth_data_task_reads(d, 0, 1));
    const int32_t a[] = {2, 1}, b[] = {0, 2}, c[] = {0, BERTH_LABEL_UNKNOWN};
    assert_memory_equal(set_of(d, 0, BERTH_TRAIN)->labels[0], a, sizeof a);
    assert_memory_equal(set_of(d, 1, BERTH_TRAIN)->labels[0], b, sizeof b);
    assert_memory_equal(set_of(d, 2, BERTH_DEV)->labels[0], c, sizeof c);
    for (int one_task = 0; one_task < 2; one_task++) { /* rows of both sources feed it */
        struct berth_feeder *f = NULL;
        const struct berth_feeder_options options = {
            .seed = 1, .batch_size = 8, .accumulate = 1, .one_task = one_task};
        assert_ok(berth_feeder_create(&f, d, &options));
        assert_ok(berth_feeder_next(f));
        assert_int_equal(berth_feeder_batch(f, 0)->items[0].count, 4);
        berth_feeder_free(f);
    }
    berth_data_free(d);
    world_remove(&w);
}

#define MASKED                                                                                                 \
    "data: {r: {format: tsv, text: text, train: r.tsv}}\n"                                                     \
    "tasks: {told: {type: mlm, source: r}, t: {type: classification, source: r, label: label}}\n"

struct masked {
    int64_t items, tokens, as_mask, as_other, as_before;
    uint64_t digest;
};

/* One epoch of the feeder, every batch checked. */
static struct masked count_masked(const struct berth_data *d, struct berth_feeder *f, int64_t epoch) {
    struct masked m = {0};
    int64_t steps = 0;
    const struct berth_dataset *set = set_of(d, 0, BERTH_TRAIN);
    assert_ok(berth_feeder_restore(f, epoch, 0));
    assert_ok(berth_feeder_epoch_steps(f, epoch, &steps));
    for (int64_t i = 0; i < steps; i++) {
        assert_ok(berth_feeder_next(f));
        const struct berth_batch *b = berth_feeder_batch(f, 0);
        assert_int_equal(b->sequence_count, 2 * b->items[1].count); /* a whole copy and a corrupted one */
        for (int64_t s = 0; s < b->sequence_count; s++)
            m.tokens += b->cu_seqlens[s + 1] - b->cu_seqlens[s] - 2;
        for (int64_t k = 0; k < b->items[1].count; k++) { /* what other tasks see is not corrupted */
            int64_t s = b->items[1].index[k], first = set->offset[b->source_row[s]];
            assert_memory_equal(b->tokens + b->cu_seqlens[s], set->tokens + first,
                                (size_t)(b->cu_seqlens[s + 1] - b->cu_seqlens[s]) * sizeof(int32_t));
        }
        for (int64_t k = 0; k < b->items[0].count; k++) {
            int64_t at = b->items[0].index[k], s = 0;
            while (b->cu_seqlens[s + 1] <= at)
                s++;
            int32_t now = b->tokens[at], before = b->items[0].label[k];
            assert_int_equal(before, set->tokens[set->offset[b->source_row[s]] + at - b->cu_seqlens[s]]);
            assert_true(before > 4); /* never a special token */
            assert_true(now == 4 || now > 4);
            m.items++;
            m.as_mask += now == 4;
            m.as_before += now == before;
            m.as_other += now != 4 && now != before;
            m.digest = m.digest * 31 + (uint64_t)at * 7 + (uint64_t)now;
        }
    }
    m.tokens /= 2;
    return m;
}

static void masked_copies(void **state) {
    (void)state;
    struct data_world w;
    struct berth_str s = {0};
    world_make(&w);
    berth_str_add(&s, "text\tlabel\n");
    for (int i = 0; i < 2000; i++)
        berth_str_addf(&s, "the film was %s but not %c\t%s\n", i % 2 ? "good" : "bad", 'a' + i % 26,
                       i % 2 ? "x" : "y");
    world_put(&w, "r.tsv", s.data);
    berth_str_deinit(&s);
    struct berth_data *d = world_open(&w, MASKED);
    struct berth_feeder *f = NULL;
    const struct berth_feeder_options options = {.seed = 17, .batch_size = 64, .accumulate = 1};
    assert_ok(berth_feeder_create(&f, d, &options));
    struct masked first = count_masked(d, f, 0), second = count_masked(d, f, 1), again = count_masked(d, f, 0);
    assert_int_equal(first.tokens, 7 * 2000);
    double told = (double)first.items / (double)first.tokens, n = (double)first.items;
    /* within five standard deviations */
    assert_true(fabs(told - 0.15) < 5 * sqrt(0.15 * 0.85 / (double)first.tokens));
    assert_true(fabs((double)first.as_mask / n - 0.8) < 5 * sqrt(0.8 * 0.2 / n));
    assert_true(fabs((double)first.as_other / n - 0.1) <
                5 * sqrt(0.1 * 0.9 / n) + 0.02); /* may draw the same */
    assert_true(first.digest != second.digest && first.digest == again.digest);
    berth_feeder_free(f);
    struct berth_scan *scan = NULL; /* an evaluation has one draw, always the same */
    uint64_t digests[2] = {0};
    for (int k = 0; k < 2; k++) {
        const struct berth_batch *b = scan_all(&scan, d, 0, BERTH_TRAIN);
        assert_true(b->items[0].count > 0);
        for (int64_t i = 0; i < b->tokens_count; i++)
            digests[k] = digests[k] * 31 + (uint64_t)b->tokens[i];
        berth_scan_free(scan);
    }
    assert_true(digests[0] == digests[1]);
    berth_data_free(d);
    world_remove(&w);
}

/* Typed text: joined for the heads that read one sequence, apart for those that compare two. */
static void typed_pairs(void **state) {
    (void)state;
    struct data_world w;
    struct berth_batch b;
    const struct berth_task tasks[] = {{.kind = BERTH_TASK_REGRESSION},
                                       {.kind = BERTH_TASK_SIMILARITY},
                                       {.kind = BERTH_TASK_MLM},
                                       {.kind = BERTH_TASK_CONTRASTIVE}};
    world_make(&w);
    berth_batch_init(&b);
    assert_ok(berth_batch_reset(&b, 4));
    assert_ok(berth_data_add_text(&b, w.tokenizer, 16, "good film", "book", tasks, 4, 0, NULL, NULL));
    assert_int_equal(b.sequence_count, 3);
    assert_int_equal(b.items[0].count, 1);
    assert_int_equal(b.items[0].index[0], 2);
    assert_int_equal(b.items[1].count, 1);
    assert_int_equal(b.items[1].index[0], 0);
    assert_int_equal(b.items[1].pair[0], 1);
    assert_ok(berth_data_add_text(&b, w.tokenizer, 16, "good film", NULL, tasks, 4, 1, NULL, NULL));
    assert_int_equal(b.sequence_count, 4);
    assert_int_equal(b.items[0].count, 2);
    assert_int_equal(b.items[1].count, 1);
    assert_int_equal(b.items[2].count, 0); /* no [MASK] */
    assert_int_equal(b.items[3].count, 1);
    assert_ok(berth_data_add_text(&b, w.tokenizer, 16, "good [MASK]", NULL, tasks, 4, 2, NULL, NULL));
    assert_int_equal(b.items[2].count, 1);
    assert_int_equal(b.tokens[b.items[2].index[0]], berth_tokenizer_special(w.tokenizer).mask);
    berth_batch_deinit(&b);
    world_remove(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_of_labels),     cmocka_unit_test(numbers),
        cmocka_unit_test(separate_sequences), cmocka_unit_test(one_task_of_several_sources),
        cmocka_unit_test(masked_copies),      cmocka_unit_test(typed_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
