/* batch.c: a batch's memory, and the orders by which embedding gradients are summed.
 *
 * token_order lists the packed rows sorted by (token, row), so that the gradient of one embedding row is the
 * sum over one run of neighbours, always in the same order. Keys are small whole numbers, so it is a stable
 * radix sort of 11 bits a pass (one pass below 2048, two for any usual vocabulary), starting from the
 * identity: rows of equal key stay in their order.
 *
 * Memory grows by doubling and is kept by a reset: a training loop soon allocates nothing.
 */
#include "berth/batch.h"

#include <stdlib.h>
#include <string.h>

#define RADIX_BITS 11
#define RADIX_SIZE (1 << RADIX_BITS)

static const char *const TASK_KIND_NAMES[BERTH_TASK_KIND_COUNT] = {
    [BERTH_TASK_CLASSIFICATION] = "classification",
    [BERTH_TASK_TAGGING] = "tagging",
    [BERTH_TASK_MULTILABEL] = "multilabel",
    [BERTH_TASK_REGRESSION] = "regression",
    [BERTH_TASK_SIMILARITY] = "similarity",
    [BERTH_TASK_CONTRASTIVE] = "contrastive",
    [BERTH_TASK_MLM] = "mlm",
};

const char *berth_task_kind_name(enum berth_task_kind kind) {
    BERTH_ASSERT((size_t)kind < BERTH_TASK_KIND_COUNT);
    return TASK_KIND_NAMES[kind];
}

enum berth_task_kind berth_task_kind_find(const char *name) {
    int kind = 0;
    while (kind < BERTH_TASK_KIND_COUNT && strcmp(TASK_KIND_NAMES[kind], name) != 0)
        kind++;
    return (enum berth_task_kind)kind;
}

void berth_task_deinit(struct berth_task *task) {
    free(task->name);
    task->name = NULL;
    berth_labels_deinit(&task->labels);
}

void berth_batch_init(struct berth_batch *b) {
    memset(b, 0, sizeof *b);
}

void berth_batch_deinit(struct berth_batch *b) {
    free(b->tokens);
    free(b->positions);
    free(b->segments);
    free(b->token_order);
    free(b->position_order);
    free(b->segment_order);
    free(b->row_ordinal);
    free(b->scratch);
    free(b->cu_seqlens);
    free(b->ordinal);
    free(b->source);
    free(b->source_row);
    for (int i = 0; i < b->task_capacity; i++) {
        free(b->items[i].index);
        free(b->items[i].label);
        free(b->items[i].pair);
        free(b->items[i].negative);
        free(b->items[i].target);
    }
    free(b->items);
    memset(b, 0, sizeof *b);
}

static int64_t doubled(int64_t capacity, int64_t needed) {
    int64_t wanted = capacity > 0 ? capacity : 16;
    while (wanted < needed)
        wanted *= 2;
    return wanted;
}

/* A capacity is raised only after all its arrays have grown, so a refusal half-way leaves a valid batch. */
static berth_status reserve_tokens(struct berth_batch *b, int64_t needed) {
    if (needed <= b->token_capacity) return BERTH_OK;
    int64_t capacity = doubled(b->token_capacity, needed);
    int32_t **const arrays[] = {&b->tokens,         &b->positions,     &b->segments,    &b->token_order,
                                &b->position_order, &b->segment_order, &b->row_ordinal, &b->scratch};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        BERTH_TRY(berth_realloc(arrays[i], (size_t)capacity, sizeof(int32_t)));
    b->token_capacity = capacity;
    return BERTH_OK;
}

static berth_status reserve_sequences(struct berth_batch *b, int64_t needed) {
    if (needed <= b->sequence_capacity) return BERTH_OK;
    int64_t capacity = doubled(b->sequence_capacity, needed);
    BERTH_TRY(berth_realloc(&b->cu_seqlens, (size_t)capacity + 1, sizeof *b->cu_seqlens));
    BERTH_TRY(berth_realloc(&b->ordinal, (size_t)capacity, sizeof *b->ordinal));
    BERTH_TRY(berth_realloc(&b->source, (size_t)capacity, sizeof *b->source));
    BERTH_TRY(berth_realloc(&b->source_row, (size_t)capacity, sizeof *b->source_row));
    b->sequence_capacity = capacity;
    return BERTH_OK;
}

static berth_status reserve_tasks(struct berth_batch *b, int task_count) {
    if (task_count <= b->task_capacity) return BERTH_OK;
    BERTH_TRY(berth_realloc(&b->items, (size_t)task_count, sizeof *b->items));
    memset(b->items + b->task_capacity, 0, (size_t)(task_count - b->task_capacity) * sizeof *b->items);
    b->task_capacity = task_count;
    return BERTH_OK;
}

berth_status berth_batch_reset(struct berth_batch *b, int task_count) {
    BERTH_ASSERT(task_count >= 0);
    BERTH_TRY(reserve_tasks(b, task_count));
    BERTH_TRY(reserve_sequences(b, 1));
    b->tokens_count = 0;
    b->sequence_count = 0;
    b->max_length = 0;
    b->step_rows = 0;
    b->one_task = false;
    b->one_share = false;
    b->task_count = task_count;
    b->cu_seqlens[0] = 0;
    for (int i = 0; i < task_count; i++) {
        b->items[i].count = 0;
        b->items[i].width = 0;
        b->items[i].task_rows = 0;
        b->items[i].task_items = 0;
    }
    return BERTH_OK;
}

berth_status berth_batch_add_sequence(struct berth_batch *b, const int32_t *tokens, const int32_t *segments,
                                      int64_t length, int32_t ordinal, int32_t source, int64_t source_row) {
    BERTH_ASSERT_MSG(length >= 1, "a sequence of %lld tokens", (long long)length);
    int64_t first = b->tokens_count, end = first + length;
    if (end > INT32_MAX)
        BERTH_FAIL(BERTH_E_UNSUPPORTED, "a batch of %lld tokens; at most %d are possible: lower the batch size",
                   (long long)end, INT32_MAX);
    BERTH_TRY(reserve_tokens(b, end));
    BERTH_TRY(reserve_sequences(b, b->sequence_count + 1));
    for (int64_t i = 0; i < length; i++) {
        BERTH_ASSERT_MSG(tokens[i] >= 0, "token %d", tokens[i]);
        b->tokens[first + i] = tokens[i];
        b->positions[first + i] = (int32_t)i;
        b->segments[first + i] = segments ? segments[i] : 0;
        b->row_ordinal[first + i] = ordinal;
    }
    int64_t s = b->sequence_count++;
    b->ordinal[s] = ordinal;
    b->source[s] = source;
    b->source_row[s] = source_row;
    b->cu_seqlens[s + 1] = (int32_t)end;
    b->tokens_count = end;
    if (length > b->max_length) b->max_length = length;
    return BERTH_OK;
}

void berth_batch_set_width(struct berth_batch *b, int task, int64_t width) {
    BERTH_ASSERT_MSG(task >= 0 && task < b->task_count, "task %d of %d", task, b->task_count);
    BERTH_ASSERT_MSG(b->items[task].count == 0 && width >= 0, "width %lld over %lld items", (long long)width,
                     (long long)b->items[task].count);
    b->items[task].width = width;
}

static berth_status reserve_items(struct berth_items *items) {
    if (items->count == items->capacity) {
        int64_t capacity = doubled(items->capacity, items->count + 1);
        int32_t **const arrays[] = {&items->index, &items->label, &items->pair, &items->negative};
        for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
            BERTH_TRY(berth_realloc(arrays[i], (size_t)capacity, sizeof(int32_t)));
        items->capacity = capacity;
    }
    int64_t targets = (items->count + 1) * items->width;
    if (targets > items->target_capacity) {
        int64_t capacity = doubled(items->target_capacity, targets);
        BERTH_TRY(berth_realloc(&items->target, (size_t)capacity, sizeof *items->target));
        items->target_capacity = capacity;
    }
    return BERTH_OK;
}

berth_status berth_batch_put_item(struct berth_batch *b, int task, const struct berth_item *item) {
    BERTH_ASSERT_MSG(task >= 0 && task < b->task_count, "task %d of %d", task, b->task_count);
    BERTH_ASSERT_MSG(item->index >= 0 && item->index < b->tokens_count, "index %d of %lld rows", item->index,
                     (long long)b->tokens_count);
    struct berth_items *items = &b->items[task];
    BERTH_TRY(reserve_items(items));
    int64_t i = items->count++;
    items->index[i] = item->index;
    items->label[i] = item->label;
    items->pair[i] = item->pair;
    items->negative[i] = item->negative;
    for (int64_t k = 0; k < items->width; k++)
        items->target[i * items->width + k] = item->target != NULL ? item->target[k] : 0.0f;
    return BERTH_OK;
}

berth_status berth_batch_add_item(struct berth_batch *b, int task, int32_t index, int32_t label) {
    const struct berth_item item = {.index = index, .label = label, .pair = -1, .negative = -1};
    return berth_batch_put_item(b, task, &item);
}

/* order[0..n) = rows sorted by (key, row). Passes alternate between the two arrays, so that the last one writes
 * into `order`. */
static void sort_rows(int32_t *order, int32_t *scratch, const int32_t *keys, int64_t n) {
    int32_t max_key = 0;
    for (int64_t i = 0; i < n; i++) {
        BERTH_ASSERT_MSG(keys[i] >= 0, "key %d of row %lld", keys[i], (long long)i);
        if (keys[i] > max_key) max_key = keys[i];
    }
    int passes = 1;
    while (passes * RADIX_BITS < 31 && (max_key >> (passes * RADIX_BITS)) > 0)
        passes++;
    int32_t *from = passes % 2 ? scratch : order;
    int32_t *to = passes % 2 ? order : scratch;
    for (int64_t i = 0; i < n; i++)
        from[i] = (int32_t)i;
    for (int pass = 0; pass < passes; pass++) {
        int shift = pass * RADIX_BITS;
        int32_t first[RADIX_SIZE + 1] = {0};
        for (int64_t i = 0; i < n; i++)
            first[((keys[i] >> shift) & (RADIX_SIZE - 1)) + 1]++;
        for (int d = 0; d < RADIX_SIZE; d++)
            first[d + 1] += first[d];
        for (int64_t i = 0; i < n; i++)
            to[first[(keys[from[i]] >> shift) & (RADIX_SIZE - 1)]++] = from[i];
        int32_t *swap = from;
        from = to;
        to = swap;
    }
}

berth_status berth_batch_finish(struct berth_batch *b) {
    sort_rows(b->token_order, b->scratch, b->tokens, b->tokens_count);
    sort_rows(b->position_order, b->scratch, b->positions, b->tokens_count);
    sort_rows(b->segment_order, b->scratch, b->segments, b->tokens_count);
    return BERTH_OK;
}
