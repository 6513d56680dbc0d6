/* eval_mlm.c: masked language modelling: perplexity, e to the mean loss of the hidden tokens, and how many of
 * them are told right. rows counts the tokens. */
#include <math.h>

#include "train/evaluate_priv.h"

static berth_status begin(struct eval_task *t) {
    t->width = berth_head_width(t->model, t->head);
    return BERTH_OK;
}

static berth_status add(struct eval_task *t, const struct berth_batch *b, const float *outputs) {
    const struct berth_items *items = &b->items[t->head];
    for (int64_t i = 0; i < items->count; i++) {
        const float *z = outputs + i * t->width;
        int64_t best = 0;
        if (items->label[i] < 0) continue;
        for (int64_t k = 1; k < t->width; k++)
            if (z[k] > z[best]) best = k;
        t->rows++;
        t->right += best == items->label[i];
    }
    return BERTH_OK;
}

static berth_status finish(struct eval_task *t) {
    const bool any = t->loss_items > 0;
    eval_put(t, "perplexity", any ? exp(t->loss / (double)t->loss_items) : (double)NAN);
    eval_put(t, "accuracy", any ? (double)t->right / (double)t->rows : (double)NAN);
    return BERTH_OK;
}

const struct eval_kind eval_mlm = {
    .kind = BERTH_TASK_MLM,
    .metrics = "perplexity|accuracy",
    .begin = begin,
    .add = add,
    .finish = finish,
};
