/* ranks.c: what the ranks of a run (dist.h) tell each other, and in which order a step is summed up.
 *
 *   a step's rows   | part 0 | part 1 | part 2 | part 3 |       parts: train.accumulate, rounded up to a
 * multiple of ranks           |     rank 0      |     rank 1      |       the ranks
 *
 * A rank adds its parts up one after the other, in place; then the ranks' sums are added, halves of the ranks
 * first. So the bits depend on the number of ranks, as they do on `accumulate`. With `deterministic: strict`
 * the sum is a tree over parts, whoever computes them: ((0+1)+(2+3)), each part by itself. Ranks that are a
 * power of two and divide the number of parts hold whole branches of it, so every such number of ranks gives
 * the same bits; others are refused.
 *
 * All that steers a run is equal on all ranks: losses, gradients and counts are sums over all; the clock and
 * the wish to stop are agreed on after every step; scores are rank 0's, who evaluates alone, keeps the run
 * folder and speaks. At every checkpoint the values of all ranks are compared. */
#include <stdlib.h>
#include <string.h>

#include "train/train_priv.h"

static bool is_strict(const struct berth_config *c) {
    return strcmp(berth_config_string(c, "deterministic"), "strict") == 0;
}

int ranks_parts_of(const struct berth_config *c, int ranks) {
    int parts = (int)berth_config_int(c, "train.accumulate");
    return (parts + ranks - 1) / ranks * ranks;
}

int ranks_parts(const struct berth_trainer *t, const struct berth_config *c) {
    return ranks_parts_of(c, t->comm->size);
}

berth_status ranks_check(const struct berth_trainer *t, const struct berth_config *c) {
    int64_t parts = berth_config_int(c, "train.accumulate");
    int ranks = t->comm->size;
    if (!is_strict(c) || ranks == 1) return BERTH_OK;
    if (weighting_needs_gradients(c) &&
        strcmp(berth_config_string(c, "weighting.gradients"), "representation") == 0)
        return berth_config_fail(
            c, "weighting.gradients",
            "representation: its products are summed rank by rank, which deterministic: strict "
            "does not allow: parameters");
    if ((ranks & (ranks - 1)) == 0 && parts % ranks == 0) return BERTH_OK;
    return berth_config_fail(
        c, "train.accumulate",
        "%lld parts of a step on %d ranks: deterministic: strict sums a step part by part, and "
        "takes a number of ranks that is a power of two and divides train.accumulate",
        (long long)parts, ranks);
}

int ranks_levels(const struct berth_trainer *t, const struct berth_config *c) {
    int parts = ranks_parts(t, c) / t->comm->size, levels = 0;
    while (is_strict(c) && 1 << levels < parts)
        levels++;
    return levels;
}

bool ranks_by_parts(const struct berth_trainer *t) {
    return is_strict(t->recipe_config) && t->parts > 1;
}

berth_status ranks_sum(struct berth_trainer *t, float *data, int64_t n) {
    return n > 0 ? berth_comm_sum(t->comm, t->device, data, n) : BERTH_OK;
}

/* ---- a step's gradients */

static berth_status zero(const struct berth_trainer *t, const struct ranks_buffer *list, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (list[i].count > 0)
            BERTH_TRY(BERTH_OP(t->device, fill(list[i].data, 0.0f, list[i].count, t->device->stream)));
    return BERTH_OK;
}

static int64_t total_of(const struct ranks_buffer *list, size_t n) {
    int64_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += list[i].count;
    return total;
}

/* Memory for the sums that wait for their other half: one a level of the tree, kept from step to step. */
static berth_status make_spare(struct berth_trainer *t, int levels, int64_t count) {
    struct ranks_spare *s = &t->spare;
    if (levels <= s->levels && count == s->count) return BERTH_OK;
    ranks_free_spare(t);
    BERTH_ASSERT(levels <= (int)(sizeof s->data / sizeof s->data[0]));
    s->count = count;
    for (; s->levels < levels; s->levels++)
        BERTH_TRY(berth_device_alloc(t->device, &s->data[s->levels], (size_t)count * sizeof(float)));
    return BERTH_OK;
}

void ranks_free_spare(struct berth_trainer *t) {
    struct ranks_spare *s = &t->spare;
    for (int i = 0; i < s->levels; i++)
        berth_device_free(t->device, s->data[i], (size_t)s->count * sizeof(float));
    memset(s, 0, sizeof *s);
}

struct tree {
    struct berth_trainer *t;
    const struct ranks_buffer *list;
    size_t n;
    ranks_run *run;
};

/* The list becomes the sum of the parts [low, high); a part without rows adds zeros. */
static berth_status sum_parts(const struct tree *tree, int low, int high, int level) {
    struct berth_trainer *t = tree->t;
    struct berth_device *dev = t->device;
    int64_t at = 0;
    if (high - low == 1) {
        BERTH_TRY(zero(t, tree->list, tree->n));
        for (int b = 0; b < berth_feeder_batch_count(t->feeder); b++)
            if (berth_feeder_batch_part(t->feeder, b) == low)
                BERTH_TRY(tree->run(t, berth_feeder_batch(t->feeder, b), low));
        return BERTH_OK;
    }
    int middle = low + (high - low) / 2;
    BERTH_TRY(sum_parts(tree, low, middle, level + 1));
    for (size_t i = 0; i < tree->n; at += tree->list[i++].count)
        BERTH_TRY(berth_device_copy(dev, t->spare.data[level] + at, tree->list[i].data,
                                    (size_t)tree->list[i].count * sizeof(float)));
    BERTH_TRY(sum_parts(tree, middle, high, level + 1));
    at = 0;
    for (size_t i = 0; i < tree->n; at += tree->list[i++].count)
        if (tree->list[i].count > 0)
            BERTH_TRY(BERTH_OP(dev, add(tree->list[i].data, t->spare.data[level] + at, tree->list[i].count,
                                        BERTH_F32, dev->stream)));
    return BERTH_OK;
}

berth_status ranks_accumulate(struct berth_trainer *t, const struct ranks_buffer *list, size_t n,
                              ranks_run *run) {
    int parts = t->parts / t->comm->size;
    if (ranks_by_parts(t)) {
        const struct tree tree = {.t = t, .list = list, .n = n, .run = run};
        BERTH_TRY(make_spare(t, ranks_levels(t, t->recipe_config), total_of(list, n)));
        BERTH_TRY(sum_parts(&tree, t->comm->rank * parts, (t->comm->rank + 1) * parts, 0));
    } else {
        BERTH_TRY(zero(t, list, n));
        for (int b = 0; b < berth_feeder_batch_count(t->feeder); b++)
            BERTH_TRY(run(t, berth_feeder_batch(t->feeder, b), berth_feeder_batch_part(t->feeder, b)));
    }
    for (size_t i = 0; i < n; i++)
        BERTH_TRY(ranks_sum(t, list[i].data, list[i].count));
    return BERTH_OK;
}

/* ---- a step's numbers */

berth_status ranks_numbers(struct berth_trainer *t, double *task_sums) {
    size_t tasks = t->task_count, count = (size_t)t->parts * tasks;
    double *numbers = t->numbers; /* [parts][tasks] losses, tokens, operations */
    BERTH_TRY(berth_device_download(t->device, t->host_losses, t->losses, count * sizeof *t->losses));
    for (size_t i = 0; i < count; i++)
        numbers[i] = (double)t->host_losses[i];
    numbers[count] = 0;
    for (int b = 0; b < berth_feeder_batch_count(t->feeder); b++)
        numbers[count] += (double)berth_feeder_batch(t->feeder, b)->tokens_count;
    numbers[count + 1] = speed_step_flops(t);
    BERTH_TRY(berth_comm_sum_host(t->comm, numbers, (int64_t)count + 2));
    for (size_t i = 0; i < tasks; i++) {
        task_sums[i] = 0;
        for (int p = 0; p < t->parts; p++)
            task_sums[i] += numbers[(size_t)p * tasks + i];
    }
    t->step_tokens = (int64_t)numbers[count];
    t->step_flops = numbers[count + 1];
    return BERTH_OK;
}

berth_status ranks_agree(struct berth_trainer *t) {
    bool wish = t->observer.stop_requested != NULL && t->observer.stop_requested(t->observer.user);
    double said[2] = {wish ? 1 : 0, t->comm->rank == 0 ? berth_time_seconds() : 0};
    BERTH_TRY(berth_comm_sum_host(t->comm, said, 2));
    t->asked_to_stop = said[0] > 0;
    t->clock = said[1];
    return BERTH_OK;
}

/* ---- all ranks are alike */

static berth_status digest_values(const struct berth_trainer *t, uint64_t *out) {
    berth_status status = BERTH_OK;
    size_t count = (size_t)t->model->parameter_count;
    uint64_t *list = NULL;
    BERTH_TRY(berth_calloc(&list, count + 3, sizeof *list));
    for (size_t p = 0; p < count; p++)
        BERTH_TRY_OUT(phase_digest(t, (int)p, &list[p]));
    list[count] = berth_hash(t->store->steps, count * sizeof *t->store->steps).low;
    if (t->weighting.host != NULL)
        list[count + 1] = berth_hash(t->weighting.host, t->task_count * sizeof *t->weighting.host).low;
    if (t->weighting.memory != NULL)
        list[count + 2] =
            berth_hash(t->weighting.memory, t->weighting.memory_count * sizeof *t->weighting.memory).low;
    *out = berth_hash(list, (count + 3) * sizeof *list).low;
out:
    free(list);
    return status;
}

berth_status ranks_check_same(struct berth_trainer *t) {
    uint64_t own = 0, first = 0;
    if (t->comm->size == 1) return BERTH_OK;
    BERTH_TRY(digest_values(t, &own));
    first = own;
    BERTH_TRY(berth_comm_broadcast(t->comm, &first, sizeof first));
    if (own != first)
        BERTH_FAIL(BERTH_E_NUMERIC, "step %lld: the values of rank %d are not those of rank 0",
                   (long long)t->state.step, t->comm->rank);
    return berth_comm_barrier(t->comm); /* one that differs is heard before the file of rank 0 is written */
}
