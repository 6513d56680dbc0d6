/* batcher.c: one row of a data set as sequences of a batch, with the items of the tasks that learn from it. A
 * training row may be altered on the way (augment.c).
 *
 *     a row of one sequence      its sequence, unless mlm alone wants it
 *     separate sequences         text, pair, negative: one sequence each
 *     mlm                        one sequence more for each, with corrupted tokens: other tasks see whole ones
 *
 * A row's sequences have ordinals that follow one another. */
#include "data/data_priv.h"

#include <stdlib.h>
#include <string.h>

void row_buffers_deinit(struct row_buffers *r) {
    free(r->segments);
    free(r->tokens);
    free(r->labels);
    free(r->target);
    augment_row_free(r->augment);
    memset(r, 0, sizeof *r);
}

static bool has_words(const struct berth_dataset *set, size_t task, int64_t row) {
    const int32_t *labels = set->labels[task];
    for (int64_t w = set->word_offset[row]; w < set->word_offset[row + 1]; w++)
        if (labels[w] >= 0 && set->word_token[w] >= 0) return true;
    return false;
}

bool row_feeds_task(const struct berth_data *d, size_t task, size_t source, int64_t row) {
    const struct berth_dataset *set = &d->sources[source].view.split[BERTH_TRAIN];
    if (!data_task_of(d, task, source)) return false;
    switch (d->tasks[task].task.kind) {
    case BERTH_TASK_TAGGING:
        return has_words(set, task, row);
    case BERTH_TASK_MLM:
        return true;
    default:
        return set->labels[task][row] >= 0;
    }
}

/* How many sequences a row adds. */
static int row_parts(const struct berth_dataset *set, int64_t row) {
    return 1 + (set->pair_at && set->pair_at[row] > 0) + (set->negative_at && set->negative_at[row] > 0);
}

int32_t row_sequence_count(const struct berth_data *d, size_t source, enum berth_split split, int64_t row,
                           const struct task_choice *choice) {
    int parts = row_parts(&d->sources[source].view.split[split], row);
    int32_t count = 0;
    bool plain = false;
    for (size_t t = 0; t < d->task_count; t++) {
        if (!data_task_of(d, t, source) || !task_chosen(choice, t)) continue;
        if (d->tasks[t].task.kind == BERTH_TASK_MLM)
            count += parts;
        else
            plain = true;
    }
    return count + (plain ? parts : 0);
}

bool task_chosen(const struct task_choice *choice, size_t task) {
    if (choice->only >= 0) return (size_t)choice->only == task;
    return !choice->tasks || choice->tasks[task];
}

berth_status batcher_begin(struct berth_batch *b, const struct berth_data *d) {
    BERTH_TRY(berth_batch_reset(b, (int)d->task_count));
    for (size_t t = 0; t < d->task_count; t++) {
        const struct berth_task *task = &d->tasks[t].task;
        bool number = task->kind == BERTH_TASK_REGRESSION || task->kind == BERTH_TASK_SIMILARITY;
        if (number) berth_batch_set_width(b, (int)t, 1);
        if (task->kind == BERTH_TASK_MULTILABEL) berth_batch_set_width(b, (int)t, (int64_t)task->labels.count);
    }
    return BERTH_OK;
}

/* One row on its way into a batch. */
struct feed {
    struct berth_batch *b;
    const struct berth_data *d;
    const struct row_draw *draw;
    const struct berth_dataset *set;
    struct row_buffers *buffers;
    bool keep_unlabelled;
    int32_t ordinal;     /* of the next sequence */
    int32_t sequence[3]; /* text, pair, negative in the batch; -1: none */
    int64_t first_row;   /* packed row of the text's first token */
    struct fed_row row;  /* the pack's or an altered one; its labels are NULL where they are the pack's */
};

/* The row as the pack has it, or altered. */
static berth_status find_row(struct feed *f) {
    const struct berth_dataset *set = f->set;
    const struct fed_row *altered = NULL;
    int64_t row = f->draw->row, first = set->offset[row], word = set->word_offset[row];
    BERTH_TRY(augment_row_make(&altered, &f->buffers->augment, f->draw));
    f->row = altered ? *altered
                     : (struct fed_row){.tokens = set->tokens + first,
                                        .segments = set->segments + first,
                                        .length = set->offset[row + 1] - first,
                                        .pair_at = set->pair_at ? set->pair_at[row] : 0,
                                        .negative_at = set->negative_at ? set->negative_at[row] : 0,
                                        .word_token = set->word_token ? set->word_token + word : NULL,
                                        .word_count = set->word_offset[row + 1] - word};
    return BERTH_OK;
}

static berth_status add_sequence(struct feed *f, const int32_t *tokens, int64_t first, int64_t length) {
    struct row_buffers *k = f->buffers;
    BERTH_TRY(berth_grow(&k->segments, &k->segment_capacity, (size_t)length, sizeof *k->segments));
    for (int64_t i = 0; i < length; i++)
        k->segments[i] = f->row.segments[first + i];
    return berth_batch_add_sequence(f->b, tokens, k->segments, length, f->ordinal++, (int32_t)f->draw->source,
                                    f->draw->row);
}

/* Where the row's sequences lie: first[i] .. first[i] + length[i], length 0: none. */
static void find_parts(const struct feed *f, int64_t first[3], int64_t length[3]) {
    int64_t pair = f->row.pair_at, negative = f->row.negative_at, end = f->row.length;
    first[0] = 0;
    first[1] = pair;
    first[2] = negative;
    length[2] = negative > 0 ? end - negative : 0;
    int64_t before = negative > 0 ? negative : end;
    length[1] = pair > 0 ? before - pair : 0;
    length[0] = pair > 0 ? pair : before;
}

static berth_status add_plain(struct feed *f) {
    int64_t first[3], length[3];
    find_parts(f, first, length);
    f->first_row = f->b->tokens_count;
    for (int i = 0; i < 3; i++) {
        f->sequence[i] = -1;
        if (length[i] == 0) continue;
        f->sequence[i] = (int32_t)f->b->sequence_count;
        BERTH_TRY(add_sequence(f, f->row.tokens + first[i], first[i], length[i]));
    }
    return BERTH_OK;
}

/* Counts the row towards its task only where it has a labelled item. */
static void count_items(struct feed *f, size_t task, int64_t labelled) {
    f->b->items[task].task_rows += labelled > 0;
    f->b->items[task].task_items += labelled;
}

static berth_status add_masked(struct feed *f, size_t task) {
    int64_t first[3], length[3], labelled = 0;
    struct row_buffers *k = f->buffers;
    const struct mask_key key = {
        .seed = f->d->seed,
        .stream = f->d->sources[f->draw->source].stream + f->draw->epoch * 0x9E3779B9u,
        .row = (uint64_t)f->draw->occurrence << 40 | (uint64_t)f->draw->row,
    };
    find_parts(f, first, length);
    int64_t total = f->row.length;
    BERTH_TRY(berth_grow(&k->tokens, &k->token_capacity, (size_t)total, sizeof *k->tokens));
    BERTH_TRY(berth_grow(&k->labels, &k->label_capacity, (size_t)total, sizeof *k->labels));
    mask_tokens(k->tokens, k->labels, f->row.tokens, total, &key, f->d->tasks[task].mask, &f->d->special,
                f->d->vocabulary);
    for (int p = 0; p < 3; p++) {
        int64_t at = first[p], row = f->b->tokens_count;
        if (length[p] == 0) continue;
        BERTH_TRY(add_sequence(f, k->tokens + at, at, length[p]));
        for (int64_t i = 0; i < length[p]; i++) {
            if (k->labels[at + i] < 0) continue;
            BERTH_TRY(berth_batch_add_item(f->b, (int)task, (int32_t)(row + i), k->labels[at + i]));
            labelled++;
        }
    }
    count_items(f, task, labelled);
    return BERTH_OK;
}

static berth_status add_words(struct feed *f, size_t task) {
    const int32_t *labels =
        f->row.labels ? f->row.labels[task] : f->set->labels[task] + f->set->word_offset[f->draw->row];
    int64_t labelled = 0;
    for (int64_t w = 0; w < f->row.word_count; w++) {
        int32_t token = f->row.word_token[w];
        if (token < 0 || (labels[w] < 0 && !f->keep_unlabelled)) continue;
        BERTH_TRY(berth_batch_add_item(f->b, (int)task, (int32_t)(f->first_row + token), labels[w]));
        labelled += labels[w] >= 0;
    }
    count_items(f, task, labelled);
    return BERTH_OK;
}

/* The targets of a row's set: 1 at its labels. */
static berth_status fill_set(struct feed *f, size_t task, struct berth_item *item) {
    struct row_buffers *k = f->buffers;
    size_t classes = f->d->tasks[task].task.labels.count;
    const int64_t *offset = f->set->set_offset[task] + f->draw->row;
    BERTH_TRY(berth_grow(&k->target, &k->target_capacity, classes, sizeof *k->target));
    memset(k->target, 0, classes * sizeof *k->target);
    for (int64_t i = offset[0]; i < offset[1]; i++)
        if (f->set->set_values[task][i] >= 0) k->target[f->set->set_values[task][i]] = 1;
    item->target = k->target;
    return BERTH_OK;
}

static berth_status add_sentence(struct feed *f, size_t task) {
    enum berth_task_kind kind = f->d->tasks[task].task.kind;
    int32_t label = f->set->labels[task][f->draw->row];
    struct berth_item item = {.index = f->sequence[0], .label = label, .pair = -1, .negative = -1};
    count_items(f, task, label >= 0);
    if (label < 0 && !f->keep_unlabelled) return BERTH_OK;
    if (kind == BERTH_TASK_MULTILABEL && label >= 0) BERTH_TRY(fill_set(f, task, &item));
    if (kind == BERTH_TASK_REGRESSION || kind == BERTH_TASK_SIMILARITY)
        item.target = label >= 0 ? &f->set->numbers[task][f->draw->row] : NULL;
    if (kind == BERTH_TASK_SIMILARITY || kind == BERTH_TASK_CONTRASTIVE) {
        item.pair = f->sequence[1];
        item.negative = f->sequence[2];
        if (item.pair < 0) return BERTH_OK; /* nothing to compare with: the reader left it unlabelled */
    }
    return berth_batch_put_item(f->b, (int)task, &item);
}

berth_status batcher_add_row(struct berth_batch *b, const struct berth_data *d, const struct row_draw *draw,
                             int32_t *ordinal, const struct task_choice *choice, bool keep_unlabelled,
                             struct row_buffers *buffers) {
    struct feed f = {.b = b,
                     .d = d,
                     .draw = draw,
                     .set = &d->sources[draw->source].view.split[draw->split],
                     .buffers = buffers,
                     .keep_unlabelled = keep_unlabelled,
                     .ordinal = *ordinal};
    bool plain = false;
    BERTH_TRY(find_row(&f));
    for (size_t t = 0; t < d->task_count; t++) {
        enum berth_task_kind kind = d->tasks[t].task.kind;
        if (!data_task_of(d, t, draw->source) || !task_chosen(choice, t) || kind == BERTH_TASK_MLM) continue;
        if (!plain) BERTH_TRY(add_plain(&f));
        plain = true;
        BERTH_TRY(kind == BERTH_TASK_TAGGING ? add_words(&f, t) : add_sentence(&f, t));
    }
    for (size_t t = 0; t < d->task_count; t++)
        if (data_task_of(d, t, draw->source) && task_chosen(choice, t) &&
            d->tasks[t].task.kind == BERTH_TASK_MLM)
            BERTH_TRY(add_masked(&f, t));
    *ordinal = f.ordinal;
    return BERTH_OK;
}
