/* head_pairs.c: sequences compared with sequences, by the cosine of their pooled vectors (behind hidden layers,
 * where there are: a projection).
 *
 *     similarity    item: two sequences and a number; output: their cosine
 *     contrastive   item: an anchor, its positive, and a hard negative or none; outputs: the vectors, of length
 * one. Multiple negatives ranking (Henderson et al., arXiv 1705.00652): each anchor's positive among all
 *                   positives and hard negatives of the task in the batch, by cross-entropy over scale ·
 * cosine: m = mean of -log softmax(scale u_i·c_j)[j = i] symmetric: and each positive's anchor among all
 * anchors, half and half.
 *
 * The rows that are compared are those of the batch, whatever tasks stand beside them; where a step is split in
 * several batches, a part sees its own alone. Sequences of a task's items are distinct. */
#include "model/model_priv.h"

static int64_t width_one(const struct berth_model *m, const struct berth_head *head) {
    (void)m;
    (void)head;
    return 1;
}

/* m->pairs: all anchors, all positives, the hard negatives; *count of them. */
static berth_status list_sequences(struct berth_model *m, const struct berth_batch *b, int head,
                                   int64_t *count) {
    const struct berth_items *items = &b->items[head];
    const int64_t n = items->count, most = 3 * n;
    BERTH_TRY(berth_grow(&m->pairs, &m->pairs_capacity, (size_t)(most + b->sequence_count), sizeof *m->pairs));
    int32_t *list = m->pairs, *seen = m->pairs + most;
    int64_t total = 2 * n;
    for (int64_t i = 0; i < n; i++) {
        list[i] = items->index[i];
        list[n + i] = items->pair[i];
        if (items->negative[i] >= 0) list[total++] = items->negative[i];
    }
    for (int64_t s = 0; s < b->sequence_count; s++)
        seen[s] = 0;
    for (int64_t i = 0; i < total; i++) {
        BERTH_ASSERT_MSG(list[i] >= 0 && list[i] < b->sequence_count && !seen[list[i]],
                         "head '%s': sequence %d of %lld is compared twice, or not there",
                         m->heads[head].task.name, list[i], (long long)b->sequence_count);
        seen[list[i]] = 1;
    }
    *count = total;
    return BERTH_OK;
}

/* Vectors of length one of all sequences that the head compares, in their order in m->pairs. */
static berth_status vectors(struct forward_run *run, int head, struct berth_tensor *hidden,
                            struct berth_tensor **out) {
    struct berth_tensor *pooled = NULL, *features = NULL;
    int64_t count = 0;
    BERTH_TRY(list_sequences(run->m, run->batch, head, &count));
    const struct head_rows rows = {run->m->pairs, count};
    BERTH_TRY(pooling_forward(run, run->m->heads[head].pooling, hidden, rows.sequences, count, &pooled));
    BERTH_TRY(head_features(run, head, pooled, &rows, &features));
    BERTH_TRY(berth_op_normalize(run->tape, out, features, 1.0f));
    if (features != pooled) berth_tape_drop(run->tape, features);
    berth_tape_drop(run->tape, pooled);
    return BERTH_OK;
}

/* Rows first .. first + count - 1 of x. */
static berth_status take_rows(struct berth_model *m, struct berth_tape *tape, struct berth_tensor *x,
                              int64_t first, int64_t count, struct berth_tensor **out) {
    const int32_t *rows = NULL;
    BERTH_TRY(berth_grow(&m->scratch, &m->scratch_capacity, (size_t)count, sizeof *m->scratch));
    for (int64_t i = 0; i < count; i++)
        m->scratch[i] = (int32_t)(first + i);
    BERTH_TRY(loss_put(m, tape, m->scratch, count, &rows));
    return berth_op_gather_rows(tape, out, x, rows, count);
}

static berth_status forward_similarity(struct forward_run *run, int head, struct berth_tensor *hidden,
                                       struct berth_tensor **outputs) {
    const int64_t n = run->batch->items[head].count;
    struct berth_tensor *all = NULL, *a = NULL, *b = NULL;
    BERTH_TRY(vectors(run, head, hidden, &all));
    BERTH_TRY(take_rows(run->m, run->tape, all, 0, n, &a));
    BERTH_TRY(take_rows(run->m, run->tape, all, n, n, &b));
    BERTH_TRY(berth_op_row_dot(run->tape, outputs, a, b));
    berth_tape_drop(run->tape, all);
    berth_tape_drop(run->tape, a);
    berth_tape_drop(run->tape, b);
    return BERTH_OK;
}

/* Cross-entropy of scale x cᵀ against the diagonal. */
static berth_status rank_rows(struct berth_model *m, struct berth_tape *tape, int head, struct berth_tensor *x,
                              struct berth_tensor *c, const int32_t *labels, struct berth_tensor **out) {
    struct berth_tensor *cosines = NULL, *scores = NULL;
    BERTH_TRY(berth_op_linear(tape, &cosines, x, c, NULL));
    BERTH_TRY(berth_op_scale(tape, &scores, cosines, m->heads[head].scale));
    berth_tape_drop(tape, cosines);
    BERTH_TRY(berth_op_cross_entropy(tape, out, scores, labels, NULL, m->heads[head].label_smoothing));
    berth_tape_drop(tape, scores);
    return BERTH_OK;
}

static berth_status loss_ranking(struct berth_model *m, struct berth_tape *tape, int head,
                                 struct berth_tensor *outputs, const struct berth_batch *batch,
                                 struct berth_tensor **item_losses) {
    const struct berth_items *items = &batch->items[head];
    const int64_t n = items->count, candidates = outputs->shape[0] - n;
    const int32_t *labels = NULL;
    struct berth_tensor *anchors = NULL, *others = NULL, *positives = NULL, *to = NULL, *from = NULL,
                        *both = NULL;
    BERTH_TRY(berth_grow(&m->scratch, &m->scratch_capacity, (size_t)n, sizeof *m->scratch));
    for (int64_t i = 0; i < n; i++)
        m->scratch[i] = items->label[i] < 0 ? -1 : (int32_t)i;
    BERTH_TRY(loss_put(m, tape, m->scratch, n, &labels));
    BERTH_TRY(take_rows(m, tape, outputs, 0, n, &anchors));
    BERTH_TRY(take_rows(m, tape, outputs, n, candidates, &others));
    BERTH_TRY(rank_rows(m, tape, head, anchors, others, labels, &to));
    berth_tape_drop(tape, others);
    *item_losses = to;
    if (m->heads[head].symmetric) {
        BERTH_TRY(take_rows(m, tape, outputs, n, n, &positives));
        BERTH_TRY(rank_rows(m, tape, head, positives, anchors, labels, &from));
        BERTH_TRY(berth_op_add(tape, &both, to, from));
        BERTH_TRY(berth_op_scale(tape, item_losses, both, 0.5f));
        struct berth_tensor *const gone[] = {positives, to, from, both};
        for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++)
            berth_tape_drop(tape, gone[i]);
    }
    berth_tape_drop(tape, anchors);
    return BERTH_OK;
}

/* outputs hold the vectors of all anchors, then of all positives: score is a pair's cosine, scores the anchor's vector. */
static berth_status answer_cosine(const struct berth_model *m, int head, const float *outputs, int64_t count,
                                  const int32_t *cu_items, int64_t groups, struct berth_answers *out) {
    const int64_t size = out->width;
    (void)m;
    (void)head;
    (void)cu_items;
    (void)groups;
    for (int64_t i = 0; i < count; i++) {
        double sum = 0;
        for (int64_t k = 0; k < size; k++) {
            sum += (double)outputs[i * size + k] * (double)outputs[(count + i) * size + k];
            out->scores[i * size + k] = outputs[i * size + k];
        }
        out->label[i] = -1;
        out->score[i] = (float)sum;
    }
    return BERTH_OK;
}

const struct head_kind head_kind_similarity = {
    .kind = BERTH_TASK_SIMILARITY,
    .pools = true,
    .losses = 1u << BERTH_LOSS_MSE | 1u << BERTH_LOSS_L1 | 1u << BERTH_LOSS_HUBER | 1u << BERTH_LOSS_COSENT,
    .own_loss = BERTH_LOSS_MSE,
    .width = width_one,
    .parameters = head_parameters_body,
    .forward = forward_similarity,
    .loss = loss_numbers,
    .answer = answer_number,
};

const struct head_kind head_kind_contrastive = {
    .kind = BERTH_TASK_CONTRASTIVE,
    .pools = true,
    .losses = 1u << BERTH_LOSS_RANKING,
    .own_loss = BERTH_LOSS_RANKING,
    .width = head_features_width,
    .parameters = head_parameters_body,
    .forward = vectors,
    .loss = loss_ranking,
    .answer = answer_cosine,
};
