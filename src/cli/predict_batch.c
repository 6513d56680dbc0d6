/* predict_batch.c: rows of text -> one pass through the backbone -> what each head says of each row.
 *
 *     rows        line 7        line 2       line 9
 *     sequences   w0 w1 w2      w0           w0 w1          windows of a text that is longer than max_length
 *     items       i0 i1 i2      i0           i0 i1          of a sentence-level head: their mean is the row's
 * output a b c | d e   a b          a | b c d      of a tagging head: each word stands in one window
 *
 * A head's items lie in the order of the rows, so each row's are one run of them. Outputs of several windows
 * are averaged before anything is decided by them, as an evaluation does (src/train/eval_rows.c). */
#include <stdlib.h>
#include <string.h>

#include "cli/predict_priv.h"

berth_status predict_batch_init(struct predict_batch *p, struct cli_model *m) {
    memset(p, 0, sizeof *p);
    const size_t heads = (size_t)m->model->head_count;
    p->m = m;
    berth_batch_init(&p->batch);
    BERTH_TRY(berth_calloc(&p->wanted, heads, sizeof p->wanted[0]));
    BERTH_TRY(berth_calloc(&p->logits, heads, sizeof p->logits[0]));
    BERTH_TRY(berth_calloc(&p->answers, heads, sizeof p->answers[0]));
    for (size_t h = 0; h < heads; h++)
        berth_answers_init(&p->answers[h]);
    return BERTH_OK;
}

static void forget_rows(struct predict_batch *p) {
    for (size_t i = 0; i < p->row_count; i++) {
        struct predict_row *r = &p->rows[i];
        for (int h = 0; r->said && h < p->m->model->head_count; h++)
            free(r->said[h].tags);
        free(r->said);
        free(r->added.words);
    }
    p->row_count = 0;
}

void predict_batch_deinit(struct predict_batch *p) {
    if (!p->m) return;
    forget_rows(p);
    for (int h = 0; p->answers && h < p->m->model->head_count; h++)
        berth_answers_deinit(&p->answers[h]);
    berth_batch_deinit(&p->batch);
    free(p->rows);
    free(p->wanted);
    free(p->logits);
    free(p->answers);
    free(p->host);
    memset(p, 0, sizeof *p);
}

static berth_status add_row(struct predict_batch *p, const struct cli_row *row) {
    const size_t heads = (size_t)p->m->model->head_count;
    BERTH_TRY(berth_grow(&p->rows, &p->row_capacity, p->row_count + 1, sizeof p->rows[0]));
    struct predict_row *r = &p->rows[p->row_count++];
    memset(r, 0, sizeof *r);
    r->row = row;
    BERTH_TRY(berth_calloc(&r->said, heads, sizeof r->said[0]));
    BERTH_TRY(berth_data_add_long_row(&p->batch, p->m->tokenizer, &p->limits, &row->row, p->m->tasks, heads,
                                      (int32_t)p->row_count - 1, &r->added));
    for (size_t w = 0; w < r->added.word_count; w++)
        r->words_cut += r->added.words[w].cut;
    return BERTH_OK;
}

/* The row that an item belongs to: rows number their sequences. */
static int32_t row_of(const struct predict_batch *p, int head, int64_t item) {
    const int32_t at = p->batch.items[head].index[item];
    return berth_task_kind_pools(p->m->tasks[head].kind) ? p->batch.ordinal[at] : p->batch.row_ordinal[at];
}

/* Finds each row's run of the head's items; where `join`, the outputs of a run become their mean and one item.
 */
static int64_t share_items(struct predict_batch *p, int head, int64_t items, int64_t width, bool join) {
    int64_t kept = 0;
    for (int64_t first = 0, end; first < items; first = end) {
        const int32_t row = row_of(p, head, first);
        BERTH_ASSERT_MSG((size_t)row < p->row_count, "row %d of %zu", row, p->row_count);
        for (end = first + 1; end < items && row_of(p, head, end) == row; end++) {
        }
        struct cli_said *said = &p->rows[row].said[head];
        said->first = join ? kept : first;
        said->count = join ? 1 : end - first;
        if (!join) continue;
        for (int64_t k = 0; k < width; k++) {
            float sum = 0;
            for (int64_t i = first; i < end; i++)
                sum += p->host[i * width + k];
            p->host[kept * width + k] = end - first > 1 ? sum / (float)(end - first) : sum;
        }
        kept++;
    }
    return join ? kept : items;
}

/* A tag for each word: items stand in the order of the words that have a first piece. */
static berth_status read_tags(const struct berth_task *task, const struct predict_row *r,
                              struct cli_said *said) {
    int64_t item = 0;
    BERTH_TRY(berth_calloc(&said->tags, r->added.word_count, sizeof said->tags[0]));
    for (size_t w = 0; w < r->added.word_count; w++) {
        const bool has_item = r->added.words[w].token >= 0;
        BERTH_ASSERT_MSG(!has_item || item < said->count, "head %s: %lld items", task->name,
                         (long long)said->count);
        said->tags[w] = has_item ? task->labels.names[said->label[item++]] : "O";
    }
    return BERTH_OK;
}

static berth_status read_head(struct predict_batch *p, int head) {
    const struct berth_task *task = &p->m->tasks[head];
    struct berth_answers *answers = &p->answers[head];
    int64_t items = p->batch.items[head].count;
    if (items > 0) {
        const struct berth_tensor *outputs = p->logits[head];
        const int64_t width = outputs->shape[1];
        const size_t elements = (size_t)(outputs->shape[0] * width);
        BERTH_TRY(berth_grow(&p->host, &p->host_capacity, elements, sizeof p->host[0]));
        BERTH_TRY(berth_device_download(p->m->device, p->host, outputs->data, elements * sizeof p->host[0]));
        BERTH_TRY(berth_device_synchronize(p->m->device));
        const bool join = berth_task_kind_pools(task->kind) && outputs->shape[0] == items;
        items = share_items(p, head, items, width, join);
        BERTH_TRY(berth_model_answer(p->m->model, head, p->host, items, &p->batch, answers));
    }
    for (size_t i = 0; i < p->row_count; i++) {
        struct cli_said *said = &p->rows[i].said[head];
        if (said->count > 0) {
            said->width = answers->width;
            said->label = answers->label + said->first;
            said->score = answers->score + said->first;
            said->scores = answers->scores + said->first * answers->width;
        }
        if (task->kind == BERTH_TASK_TAGGING) BERTH_TRY(read_tags(task, &p->rows[i], said));
    }
    return BERTH_OK;
}

berth_status predict_batch_run(struct predict_batch *p, struct cli_row *const *rows, size_t most,
                               size_t *used) {
    const int heads = p->m->model->head_count;
    forget_rows(p);
    BERTH_TRY(berth_batch_reset(&p->batch, heads));
    for (*used = 0; *used < most && p->row_count < CLI_BATCH && p->batch.sequence_count < 4 * CLI_BATCH;
         ++*used)
        BERTH_TRY(add_row(p, rows[*used]));
    BERTH_TRY(berth_batch_finish(&p->batch));
    const struct berth_forward_options options = {.wanted = p->wanted, .same_values = p->batches > 0};
    berth_tape_reset(p->m->tape, false);
    BERTH_TRY(berth_model_forward(p->m->model, p->m->tape, &p->batch, &options, p->logits));
    p->batches++;
    for (int h = 0; h < heads; h++)
        if (p->wanted[h]) BERTH_TRY(read_head(p, h));
    return BERTH_OK;
}
