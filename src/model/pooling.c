/* pooling.c: one vector for a sequence.
 *
 *     cls     the hidden state of its first token
 *     mean    the mean of the hidden states of all its tokens, [CLS] and [SEP] among them
 *     pooler  tanh(W cls + b): BERT's own, made for its next-sentence task */
#include <string.h>

#include "model/model_priv.h"

static const char *const POOLING_NAMES[] = {"pooler", "cls", "mean"};

const char *berth_pooling_name(enum berth_pooling pooling) {
    BERTH_ASSERT((size_t)pooling < sizeof POOLING_NAMES / sizeof POOLING_NAMES[0]);
    return POOLING_NAMES[pooling];
}

bool berth_pooling_parse(const char *text, enum berth_pooling *out) {
    for (size_t i = 0; i < sizeof POOLING_NAMES / sizeof POOLING_NAMES[0]; i++) {
        if (strcmp(POOLING_NAMES[i], text) == 0) {
            *out = (enum berth_pooling)i;
            return true;
        }
    }
    return false;
}

berth_status pooling_check(const struct berth_model *m, enum berth_pooling pooling, const char *what) {
    if (pooling == BERTH_POOL_POOLER && !m->config.pooler)
        BERTH_FAIL(
            BERTH_E_USAGE,
            "%s: pooling 'pooler', but this %s backbone has no pooler; use mean or cls, or give it a fresh one "
            "to train (model.pooler: new)",
            what, m->config.model_type);
    return BERTH_OK;
}

static berth_status gather_cls(struct forward_run *run, struct berth_tensor *hidden, const int32_t *seqs,
                               int64_t count, struct berth_tensor **out) {
    const int32_t *device_rows = NULL;
    int32_t *rows = NULL;
    BERTH_TRY(forward_scratch(run, count, &rows));
    for (int64_t i = 0; i < count; i++)
        rows[i] = run->batch->cu_seqlens[seqs[i]];
    BERTH_TRY(forward_put(run, &device_rows, rows, count));
    return berth_op_gather_rows(run->tape, out, hidden, device_rows, count);
}

static berth_status pooler(struct forward_run *run, struct berth_tensor *cls, struct berth_tensor **out) {
    struct berth_tensor *weight = NULL, *bias = NULL, *product = NULL;
    int index = berth_model_find(run->m, "pooler.dense.weight");
    BERTH_ASSERT_MSG(index >= 0, "the backbone has no pooler");
    BERTH_TRY(forward_parameter(run, index, &weight));
    BERTH_TRY(forward_parameter(run, index + 1, &bias));
    BERTH_TRY(berth_op_linear(run->tape, &product, cls, weight, NULL));
    berth_tape_drop(run->tape, cls);
    BERTH_TRY(berth_op_bias_act(run->tape, out, product, bias, BERTH_ACT_TANH));
    berth_tape_drop(run->tape, product);
    return BERTH_OK;
}

berth_status pooling_forward(struct forward_run *run, enum berth_pooling pooling, struct berth_tensor *hidden,
                             const int32_t *seqs, int64_t count, struct berth_tensor **out) {
    if (pooling == BERTH_POOL_MEAN) {
        const int32_t *device_seqs = NULL;
        BERTH_TRY(forward_put(run, &device_seqs, seqs, count));
        return berth_op_mean_pool(run->tape, out, hidden, device_seqs, run->cu_seqlens, count);
    }
    struct berth_tensor *cls = NULL;
    BERTH_TRY(gather_cls(run, hidden, seqs, count, &cls));
    if (pooling == BERTH_POOL_POOLER) return pooler(run, cls, out);
    *out = cls;
    return BERTH_OK;
}
