/* test_feeder.c: what an epoch draws, how steps are cut and split, and that two integers restore it all. */
#include "data/support_data.h"

#include <stdio.h>

#include "data/data_priv.h"

#define TALK_ROWS 137
#define MOOD_ROWS 61
#define BODY                                                                                                   \
    "data: {talk: {format: seqfiles, train: talk}, r: {format: tsv, text: text, train: r.tsv}}\n"              \
    "tasks: {intent: {type: classification, source: talk, label: label},\n"                                    \
    "        mood: {type: classification, source: r, label: label},\n"                                         \
    "        slots: {type: tagging, source: talk, label: seq.out}}\n"

static uint64_t draw(uint64_t position, uint64_t bound) {
    return berth_random_below(9, BERTH_PURPOSE_TEST, 0, position, bound);
}

/* talk: rows of 1..12 words, each 7th without an intent, each 5th without tags (an empty line cannot be one of
 * seqfiles), so tags there are O; r: each 10th row has no label, hence nothing to learn. */
static struct berth_data *make_data(struct data_world *w) {
    struct berth_str in = {0}, out = {0}, label = {0}, tsv = {0};
    uint64_t position = 0;
    berth_str_add(&tsv, "text\tlabel\n");
    for (int i = 0; i < TALK_ROWS; i++) {
        uint64_t words = 1 + draw(position++, 12);
        for (uint64_t k = 0; k < words; k++) {
            berth_str_addf(&in, "%s%c", k ? " " : "", 'a' + (int)draw(position++, 26));
            berth_str_addf(&out, "%s%s", k ? " " : "", draw(position++, 3) ? "O" : "B-x");
        }
        berth_str_add(&in, "\n");
        berth_str_add(&out, "\n");
        berth_str_addf(&label, "%s\n", i % 7 == 0 ? "" : i % 2 ? "odd" : "even");
    }
    for (int i = 0; i < MOOD_ROWS; i++) {
        for (uint64_t k = draw(position++, 9); k-- > 0;)
            berth_str_addf(&tsv, "%c ", 'a' + (int)draw(position++, 26));
        berth_str_addf(&tsv, "\t%s\n", i % 10 == 0 ? "" : i % 2 ? "good" : "bad");
    }
    assert_false(in.failed || out.failed || label.failed || tsv.failed);
    world_put(w, "talk/seq.in", in.data);
    world_put(w, "talk/seq.out", out.data);
    world_put(w, "talk/label", label.data);
    world_put(w, "r.tsv", tsv.data);
    berth_str_deinit(&in);
    berth_str_deinit(&out);
    berth_str_deinit(&label);
    berth_str_deinit(&tsv);
    return world_open(w, BODY);
}

static struct berth_feeder *make_feeder(const struct berth_data *d, struct berth_feeder_options options) {
    struct berth_feeder *f = NULL;
    assert_ok(berth_feeder_create(&f, d, &options));
    return f;
}

static const struct berth_dataset *training(const struct berth_data *d, size_t source) {
    return &berth_data_source(d, source)->split[BERTH_TRAIN];
}

/* A sequence is its row: tokens, segments, and the items of its tasks. */
static void check_sequence(const struct berth_data *d, const struct berth_batch *b, int64_t s) {
    const struct berth_dataset *set = training(d, (size_t)b->source[s]);
    int64_t first = set->offset[b->source_row[s]], length = b->cu_seqlens[s + 1] - b->cu_seqlens[s];
    assert_int_equal(length, set->offset[b->source_row[s] + 1] - first);
    assert_memory_equal(b->tokens + b->cu_seqlens[s], set->tokens + first, (size_t)length * sizeof(int32_t));
}

static void check_items(const struct berth_data *d, const struct berth_batch *b, int task) {
    const struct berth_dataset *set = training(d, berth_data_task_source(d, (size_t)task));
    const struct berth_items *items = &b->items[task];
    for (int64_t i = 0; i < items->count; i++) {
        assert_true(items->label[i] >= 0);
        if (i > 0) assert_true(items->index[i] > items->index[i - 1]); /* distinct */
        if (berth_data_task(d, (size_t)task)->kind == BERTH_TASK_CLASSIFICATION) {
            int64_t s = items->index[i];
            assert_int_equal(b->source[s], berth_data_task_source(d, (size_t)task));
            assert_int_equal(items->label[i], set->labels[task][b->source_row[s]]);
            continue;
        }
        int64_t s = 0, word = -1;
        while (b->cu_seqlens[s + 1] <= items->index[i])
            s++;
        int64_t row = b->source_row[s];
        for (int64_t k = set->word_offset[row]; k < set->word_offset[row + 1]; k++)
            if (set->word_token[k] == items->index[i] - b->cu_seqlens[s]) word = k;
        assert_true(word >= 0);
        assert_int_equal(items->label[i], set->labels[task][word]);
    }
}

struct tally {
    int talk[TALK_ROWS], mood[MOOD_ROWS];
    int64_t rows, steps, tokens, items[3], short_steps;
    int64_t length_spread; /* sum over steps of longest - shortest row */
};

/* Runs an epoch and checks every step on the way. */
static void run_epoch(struct berth_feeder *f, const struct berth_data *d, const struct berth_feeder_options *o,
                      struct tally *t) {
    int64_t steps = 0, epoch = berth_feeder_epoch(f), done = 0;
    memset(t, 0, sizeof *t);
    berth_feeder_state(f, &epoch, &done);
    assert_ok(berth_feeder_epoch_steps(f, done ? ++epoch : epoch, &steps));
    for (t->steps = 0; t->steps < steps; t->steps++) {
        assert_ok(berth_feeder_next(f));
        assert_int_equal(berth_feeder_epoch(f), epoch);
        int batches = berth_feeder_batch_count(f);
        assert_in_range(batches, 1, o->accumulate);
        int64_t rows = 0, tokens = 0, shortest = INT64_MAX, longest = 0, items[3] = {0}, task_rows[3] = {0};
        bool ordinals[4096] = {false};
        for (int i = 0; i < batches; i++) {
            const struct berth_batch *b = berth_feeder_batch(f, i);
            assert_int_equal(b->one_task, o->one_task);
            assert_true(b->sequence_count > 0);
            for (int64_t s = 0; s < b->sequence_count; s++) {
                check_sequence(d, b, s);
                if (s > 0) assert_true(b->source[s] >= b->source[s - 1]); /* rows of a source together */
                (*(b->source[s] == 0 ? &t->talk[b->source_row[s]] : &t->mood[b->source_row[s]]))++;
                assert_false(ordinals[b->ordinal[s]]);
                ordinals[b->ordinal[s]] = true;
                int64_t length = b->cu_seqlens[s + 1] - b->cu_seqlens[s];
                if (length < shortest) shortest = length;
                if (length > longest) longest = length;
            }
            rows += b->sequence_count;
            tokens += b->tokens_count;
            for (int k = 0; k < 3; k++) {
                check_items(d, b, k);
                items[k] += b->items[k].count;
            }
        }
        for (int64_t i = 0; i < rows; i++)
            assert_true(ordinals[i]);
        int active = 0;
        for (int k = 0; k < 3; k++) {
            const struct berth_batch *b = berth_feeder_batch(f, 0);
            task_rows[k] = b->items[k].task_rows;
            active += items[k] > 0;
            t->items[k] += items[k];
            for (int i = 0; i < batches; i++) {
                assert_int_equal(berth_feeder_batch(f, i)->step_rows, rows);
                assert_int_equal(berth_feeder_batch(f, i)->items[k].task_items, items[k]);
                assert_int_equal(berth_feeder_batch(f, i)->items[k].task_rows, task_rows[k]);
            }
            if (k < 2) assert_int_equal(task_rows[k], items[k]);
        }
        if (o->one_task) {
            assert_int_equal(active, 1);
            assert_int_equal(task_rows[0] + task_rows[1] + task_rows[2], rows);
        }
        if (o->batch_size) assert_true(rows <= o->batch_size);
        if (o->batch_tokens) assert_true(tokens <= o->batch_tokens || rows == 1);
        if (o->batch_size && rows < o->batch_size) t->short_steps++;
        t->rows += rows;
        t->tokens += tokens;
        t->length_spread += longest - shortest;
    }
    int64_t after = 0;
    berth_feeder_state(f, &after, &done);
    assert_int_equal(after, epoch);
    assert_int_equal(done, steps);
}

static void each_row_is_drawn_once_an_epoch(void **state) {
    (void)state;
    static const struct berth_feeder_options options[] = {
        {.seed = 1, .batch_size = 8, .accumulate = 1},
        {.seed = 2, .batch_size = 8, .accumulate = 3},
        {.seed = 3, .batch_size = 1, .accumulate = 4},
        {.seed = 4, .batch_size = 500, .accumulate = 2},
        {.seed = 5, .batch_tokens = 64, .accumulate = 1},
        {.seed = 6, .batch_tokens = 64, .accumulate = 4},
        {.seed = 7, .batch_tokens = 3, .accumulate = 2},
        {.seed = 8, .batch_tokens = 40, .batch_size = 5, .accumulate = 1}};
    struct data_world w;
    struct tally t;
    world_make(&w);
    struct berth_data *d = make_data(&w);
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        struct berth_feeder *f = make_feeder(d, options[i]);
        for (int epoch = 0; epoch < 3; epoch++) {
            run_epoch(f, d, &options[i], &t);
            for (int r = 0; r < TALK_ROWS; r++)
                assert_int_equal(t.talk[r], 1); /* each carries tags */
            for (int r = 0; r < MOOD_ROWS; r++)
                assert_int_equal(t.mood[r], r % 10 == 0 ? 0 : 1);
            assert_int_equal(t.items[0], TALK_ROWS - (TALK_ROWS + 6) / 7);
            assert_int_equal(t.items[1], MOOD_ROWS - (MOOD_ROWS + 9) / 10);
            assert_int_equal(t.items[2], training(d, 0)->word_count);
            if (options[i].batch_size && !options[i].batch_tokens) assert_true(t.short_steps <= 1);
        }
        berth_feeder_free(f);
    }
    berth_data_free(d);
    world_remove(&w);
}

static void one_task_a_step_draws_each_tasks_rows(void **state) {
    (void)state;
    static const struct berth_feeder_options options[] = {
        {.seed = 1, .one_task = true, .batch_size = 8, .accumulate = 2},
        {.seed = 2, .one_task = true, .batch_tokens = 50, .accumulate = 1}};
    struct data_world w;
    struct tally t;
    world_make(&w);
    struct berth_data *d = make_data(&w);
    for (size_t i = 0; i < 2; i++) {
        struct berth_feeder *f = make_feeder(d, options[i]);
        run_epoch(f, d, &options[i], &t);
        for (int r = 0; r < TALK_ROWS; r++) /* once for slots, and for intent where it has one */
            assert_int_equal(t.talk[r], r % 7 == 0 ? 1 : 2);
        for (int r = 0; r < MOOD_ROWS; r++)
            assert_int_equal(t.mood[r], r % 10 == 0 ? 0 : 1);
        assert_int_equal(t.items[2], training(d, 0)->word_count);
        /* Tasks interleave: there are more changes of task than tasks. */
        int changes = 0, last = -1;
        assert_ok(berth_feeder_restore(f, 0, 0));
        for (int64_t s = 0; s < t.steps; s++) {
            assert_ok(berth_feeder_next(f));
            int task = 0;
            while (berth_feeder_batch(f, 0)->items[task].count == 0)
                task++;
            changes += task != last;
            last = task;
        }
        assert_true(changes > 6);
        berth_feeder_free(f);
    }
    berth_data_free(d);
    world_remove(&w);
}

static void rows_of_near_length_share_a_step(void **state) {
    (void)state;
    struct data_world w;
    struct tally t;
    world_make(&w);
    struct berth_data *d = make_data(&w);
    const struct berth_feeder_options options = {.seed = 1, .batch_size = 8, .accumulate = 1};
    struct berth_feeder *f = make_feeder(d, options);
    run_epoch(f, d, &options, &t);
    /* One window holds all 24 steps, so lengths 2..14 are sorted through: each step spans one or two of them.
     */
    assert_true(t.length_spread < t.steps * 2);
    /* ... and steps come in no order of length. */
    int64_t rises = 0, before = 0;
    assert_ok(berth_feeder_restore(f, 0, 0));
    for (int64_t s = 0; s < t.steps; s++) {
        assert_ok(berth_feeder_next(f));
        rises += berth_feeder_batch(f, 0)->tokens_count >= before;
        before = berth_feeder_batch(f, 0)->tokens_count;
    }
    assert_in_range(rises, t.steps / 4, 3 * t.steps / 4 + 1);
    berth_feeder_free(f);
    berth_data_free(d);
    world_remove(&w);
}

/* All that a step holds, as one digest. */
static struct berth_hash128 step_digest(const struct berth_feeder *f) {
    struct berth_hasher *h = NULL;
    assert_ok(berth_hasher_create(&h));
    for (int i = 0; i < berth_feeder_batch_count(f); i++) {
        const struct berth_batch *b = berth_feeder_batch(f, i);
        size_t tokens = (size_t)b->tokens_count * sizeof(int32_t), rows = (size_t)b->sequence_count;
        const int32_t *const per_token[] = {b->tokens,         b->positions,     b->segments,   b->token_order,
                                            b->position_order, b->segment_order, b->row_ordinal};
        for (size_t k = 0; k < sizeof per_token / sizeof per_token[0]; k++)
            berth_hasher_add(h, per_token[k], tokens);
        berth_hasher_add(h, b->cu_seqlens, (rows + 1) * sizeof(int32_t));
        berth_hasher_add(h, b->ordinal, rows * sizeof(int32_t));
        berth_hasher_add(h, b->source, rows * sizeof(int32_t));
        berth_hasher_add(h, b->source_row, rows * sizeof(int64_t));
        berth_hasher_add(h, &b->step_rows, sizeof b->step_rows);
        for (int t = 0; t < b->task_count; t++) {
            const struct berth_items *items = &b->items[t];
            berth_hasher_add(h, items->index, (size_t)items->count * sizeof(int32_t));
            berth_hasher_add(h, items->label, (size_t)items->count * sizeof(int32_t));
            berth_hasher_add(h, &items->task_rows, sizeof items->task_rows);
            berth_hasher_add(h, &items->task_items, sizeof items->task_items);
        }
    }
    return berth_hasher_end(h);
}

static bool same(struct berth_hash128 a, struct berth_hash128 b) {
    return a.low == b.low && a.high == b.high;
}

static void two_integers_restore_the_order(void **state) {
    (void)state;
    static const struct berth_feeder_options options[] = {
        {.seed = 11, .batch_size = 8, .accumulate = 2},
        {.seed = 11, .batch_tokens = 64, .accumulate = 3},
        {.seed = 11, .one_task = true, .batch_size = 8, .accumulate = 1}};
    enum { STEPS = 80 };
    struct berth_hash128 digests[STEPS];
    int64_t epochs[STEPS + 1], done[STEPS + 1];
    struct data_world w;
    world_make(&w);
    struct berth_data *d = make_data(&w);
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        struct berth_feeder *f = make_feeder(d, options[i]);
        for (int s = 0; s < STEPS; s++) {
            berth_feeder_state(f, &epochs[s], &done[s]);
            assert_ok(berth_feeder_next(f));
            digests[s] = step_digest(f);
            if (s > 0) assert_false(same(digests[s], digests[s - 1]));
        }
        assert_true(berth_feeder_epoch(f) >= 1);
        berth_feeder_free(f);
        for (int start = 0; start < STEPS;
             start += 7) { /* a new feeder from each state goes on with the same bytes */
            f = make_feeder(d, options[i]);
            int64_t steps = 0;
            assert_ok(berth_feeder_epoch_steps(f, 5, &steps)); /* asking of another epoch changes nothing */
            assert_ok(berth_feeder_restore(f, epochs[start], done[start]));
            for (int s = start; s < STEPS && s < start + 30; s++) {
                if (s == start + 3) assert_ok(berth_feeder_epoch_steps(f, 7, &steps));
                assert_ok(berth_feeder_next(f));
                assert_true(same(step_digest(f), digests[s]));
            }
            berth_feeder_free(f);
        }
        f = make_feeder(d, options[i]);
        assert_int_equal(berth_feeder_restore(f, 0, 100000), BERTH_E_FORMAT);
        assert_int_equal(berth_feeder_restore(f, -1, 0), BERTH_E_FORMAT);
        berth_feeder_free(f);
    }
    berth_data_free(d);
    world_remove(&w);
}

/* Splitting a step changes neither its rows nor their ordinals; the parts are near equal. */
static void accumulation_splits_the_same_step(void **state) {
    (void)state;
    struct data_world w;
    world_make(&w);
    struct berth_data *d = make_data(&w);
    for (int by_tokens = 0; by_tokens < 2; by_tokens++) {
        struct berth_feeder_options options = {
            .seed = 3, .batch_size = by_tokens ? 0 : 12, .batch_tokens = by_tokens ? 120 : 0, .accumulate = 1};
        struct berth_feeder *whole = make_feeder(d, options);
        options.accumulate = 4;
        struct berth_feeder *parts = make_feeder(d, options);
        for (int step = 0; step < 12; step++) {
            int32_t row_of[500];
            int64_t rows = 0;
            assert_ok(berth_feeder_next(whole));
            assert_ok(berth_feeder_next(parts));
            const struct berth_batch *b = berth_feeder_batch(whole, 0);
            assert_int_equal(berth_feeder_batch_count(whole), 1);
            for (int64_t s = 0; s < b->sequence_count; s++)
                row_of[b->ordinal[s]] = b->source[s] * 1000 + (int32_t)b->source_row[s];
            int32_t next = 0;
            for (int i = 0; i < berth_feeder_batch_count(parts); i++) {
                const struct berth_batch *p = berth_feeder_batch(parts, i);
                for (int64_t s = 0; s < p->sequence_count; s++) {
                    assert_int_equal(row_of[p->ordinal[s]], p->source[s] * 1000 + (int32_t)p->source_row[s]);
                    assert_in_range(p->ordinal[s], next, next + p->sequence_count - 1);
                }
                next += (int32_t)p->sequence_count;
                rows += p->sequence_count;
                if (b->sequence_count == 12 && !by_tokens) assert_int_equal(p->sequence_count, 3);
                if (by_tokens && b->tokens_count > 100) assert_in_range(p->tokens_count, 14, 44);
            }
            assert_int_equal(rows, b->sequence_count);
        }
        berth_feeder_free(whole);
        berth_feeder_free(parts);
    }
    berth_data_free(d);
    world_remove(&w);
}

/* The rows of source 0 that share a step with its row `row`, as a digest that does not see their order. */
static uint64_t companions(struct berth_feeder *f, int64_t row) {
    for (;;) {
        assert_ok(berth_feeder_next(f));
        const struct berth_batch *b = berth_feeder_batch(f, 0);
        bool here = false;
        uint64_t sum = 0;
        for (int64_t s = 0; s < b->sequence_count; s++) {
            if (b->source[s] != 0) continue;
            here = here || b->source_row[s] == row;
            sum += berth_hash(&b->source_row[s], sizeof b->source_row[s]).low;
        }
        if (here) return sum;
    }
}

/* Not only the order of steps: rows come together with other rows. */
static void seeds_and_epochs_differ(void **state) {
    (void)state;
    struct data_world w;
    enum { ROWS = 20 };
    uint64_t found[4][ROWS];
    world_make(&w);
    struct berth_data *d = make_data(&w);
    for (int i = 0; i < 4; i++) {
        struct berth_feeder *f = make_feeder(
            d, (struct berth_feeder_options){.seed = 20 + (uint64_t)i / 2, .batch_size = 8, .accumulate = 1});
        for (int row = 0; row < ROWS; row++) {
            assert_ok(berth_feeder_restore(f, i % 2, 0));
            found[i][row] = companions(f, row);
        }
        for (int k = 0; k < i; k++) {
            int equal = 0;
            for (int row = 0; row < ROWS; row++)
                equal += found[i][row] == found[k][row];
            assert_in_range(equal, 0, ROWS / 4);
        }
        berth_feeder_free(f);
    }
    berth_data_free(d);
    world_remove(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_is_drawn_once_an_epoch),
        cmocka_unit_test(one_task_a_step_draws_each_tasks_rows),
        cmocka_unit_test(rows_of_near_length_share_a_step),
        cmocka_unit_test(two_integers_restore_the_order),
        cmocka_unit_test(accumulation_splits_the_same_step),
        cmocka_unit_test(seeds_and_epochs_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
