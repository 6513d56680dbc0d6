/* head.c: the registry of head kinds, the list of a model's heads, and the linear layer that ends each of them.
 *
 *     logits[R, K] = dropout(features[R, H]) weightᵀ + bias
 *
 * A new kind of head is one file with a struct head_kind and one row of KINDS. */
#include <stdlib.h>
#include <string.h>

#include "model/model_priv.h"

static const struct head_kind *const KINDS[] = {&head_kind_classification, &head_kind_tagging};

const struct head_kind *head_kind_find(enum berth_task_kind kind) {
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        if (KINDS[i]->kind == kind) return KINDS[i];
    }
    return NULL;
}

const struct head_kind *head_kind_of(const struct berth_head *head) {
    const struct head_kind *kind = head_kind_find(head->task.kind);
    BERTH_ASSERT_MSG(kind != NULL, "no head for task kind %d", (int)head->task.kind);
    return kind;
}

void head_kind_list(struct berth_str *out) {
    const size_t count = sizeof KINDS / sizeof KINDS[0];
    for (size_t i = 0; i < count; i++)
        berth_str_addf(out, "%s%s",
                       i == 0          ? ""
                       : i + 1 < count ? ", "
                                       : " or ",
                       berth_task_kind_name(KINDS[i]->kind));
}

bool berth_task_kind_pools(enum berth_task_kind kind) {
    const struct head_kind *k = head_kind_find(kind);
    return k != NULL && k->pools;
}

int64_t berth_head_width(const struct berth_model *m, int head) {
    return head_kind_of(&m->heads[head])->width(m, &m->heads[head]);
}

int64_t head_width_labels(const struct berth_model *m, const struct berth_head *head) {
    (void)m;
    return (int64_t)head->task.labels.count;
}

berth_status head_parameters_linear(struct spec_builder *b, const struct berth_model *m,
                                    struct berth_head *head) {
    const int64_t classes = (int64_t)head->task.labels.count;
    BERTH_TRY(spec_head_parameter(b, head, "weight", classes, m->config.hidden, &head->weight));
    return spec_head_parameter(b, head, "bias", classes, 0, &head->bias);
}

void head_deinit(struct berth_head *head) {
    berth_task_deinit(&head->task);
}

berth_status head_copy(struct berth_head *to, const struct berth_head *from) {
    berth_status status = BERTH_OK;
    *to = *from;
    to->task.name = NULL;
    to->weight = to->bias = -1;
    berth_labels_init(&to->task.labels);
    BERTH_TRY_OUT(berth_strdup(&to->task.name, from->task.name));
    BERTH_TRY_OUT(berth_labels_copy(&to->task.labels, &from->task.labels));
out:
    if (status != BERTH_OK) head_deinit(to);
    return status;
}

/* A name becomes part of parameters' names and of selectors. */
static berth_status check_name(const char *name) {
    if (name == NULL || name[0] == '\0') BERTH_FAIL(BERTH_E_USAGE, "a head has no name");
    size_t length = strlen(name);
    if (length > 100)
        BERTH_FAIL(BERTH_E_USAGE, "head '%.40s...': a name of %zu bytes, at most 100", name, length);
    for (const char *p = name; *p != '\0'; p++) {
        unsigned char ch = (unsigned char)*p;
        if (ch <= ' ' || ch == 0x7F || strchr(".*?[]/\\\"'", ch) != NULL)
            BERTH_FAIL(BERTH_E_USAGE, "head '%s': the name may not have spaces or any of . * ? [ ] / \\ \" '",
                       name);
    }
    return BERTH_OK;
}

berth_status head_append(struct berth_model *m, const struct berth_head *head) {
    BERTH_ASSERT_MSG(m->values == NULL, "heads are added before berth_model_allocate");
    BERTH_TRY(check_name(head->task.name));
    if (head->task.labels.count == 0) BERTH_FAIL(BERTH_E_USAGE, "head '%s' has no labels", head->task.name);
    if (head->dropout >= 1.0f)
        BERTH_FAIL(BERTH_E_USAGE, "head '%s': dropout %g, expected below 1", head->task.name,
                   (double)head->dropout);
    if (!(head->label_smoothing >= 0.0f && head->label_smoothing < 1.0f))
        BERTH_FAIL(BERTH_E_USAGE, "head '%s': label_smoothing %g is outside 0 .. 1 (1 excluded)",
                   head->task.name, (double)head->label_smoothing);
    if (m->head_count >= 2047) /* dropout sites 0x800 .. 0xFFF */
        BERTH_FAIL(BERTH_E_UNSUPPORTED, "more than 2047 heads");
    BERTH_TRY(berth_realloc(&m->heads, (size_t)m->head_count + 1, sizeof *m->heads));
    BERTH_TRY(head_copy(&m->heads[m->head_count], head));
    m->head_count++;
    return BERTH_OK;
}

/* Names the first difference between the labels a folder's head has and those wanted. */
static berth_status fail_labels(const char *name, const struct berth_labels *has,
                                const struct berth_labels *wanted) {
    for (size_t i = 0; i < has->count || i < wanted->count; i++) {
        const char *a = i < has->count ? has->names[i] : NULL, *b = i < wanted->count ? wanted->names[i] : NULL;
        if (a != NULL && b != NULL && strcmp(a, b) == 0) continue;
        BERTH_FAIL(
            BERTH_E_USAGE,
            "head '%s': the model has %zu labels, the data %zu; the first that differs is number %zu: '%s' in "
            "the model, '%s' in the data",
            name, has->count, wanted->count, i, a == NULL ? "(none)" : a, b == NULL ? "(none)" : b);
    }
    BERTH_ASSERT_MSG(false, "labels of '%s' are equal", name);
    return BERTH_OK;
}

/* A head that came with the folder keeps its weights and takes the given settings; it moves to the end, so that
 * heads stand in the order in which they were asked for. */
static berth_status keep_loaded(struct berth_model *m, int index, const struct berth_head *head) {
    struct berth_head kept = m->heads[index];
    const char *name = kept.task.name;
    if (kept.task.kind != head->task.kind)
        BERTH_FAIL(BERTH_E_USAGE, "head '%s' is a %s head in the model, %s is asked for", name,
                   berth_task_kind_name(kept.task.kind), berth_task_kind_name(head->task.kind));
    if (!berth_labels_equal(&kept.task.labels, &head->task.labels))
        return fail_labels(name, &kept.task.labels, &head->task.labels);
    if (kept.pooling != head->pooling && head_kind_of(&kept)->pools)
        berth_log(BERTH_LOG_WARN, "head '%s' was trained with pooling %s and goes on with %s", name,
                  berth_pooling_name(kept.pooling), berth_pooling_name(head->pooling));
    kept.pooling = head->pooling;
    kept.dropout = head->dropout;
    kept.label_smoothing = head->label_smoothing;
    memmove(&m->heads[index], &m->heads[index + 1], (size_t)(m->head_count - 1 - index) * sizeof *m->heads);
    m->heads[m->head_count - 1] = kept;
    return BERTH_OK;
}

berth_status berth_model_add_head(struct berth_model *m, const struct berth_head *head) {
    BERTH_ASSERT_MSG(m->values == NULL, "heads are added before berth_model_allocate");
    int index = head->task.name == NULL ? -1 : berth_model_find_head(m, head->task.name);
    if (index >= 0) {
        BERTH_TRY(keep_loaded(m, index, head));
    } else {
        BERTH_TRY(head_append(m, head));
    }
    return param_spec_build(m);
}

berth_status berth_model_keep_heads(struct berth_model *m, const char *const *names, size_t count) {
    BERTH_ASSERT_MSG(m->values == NULL, "heads are dropped before berth_model_allocate");
    int kept = 0;
    for (int i = 0; i < m->head_count; i++) {
        bool named = false;
        for (size_t k = 0; k < count; k++)
            named = named || strcmp(names[k], m->heads[i].task.name) == 0;
        if (named) {
            m->heads[kept++] = m->heads[i];
        } else {
            head_deinit(&m->heads[i]);
        }
    }
    m->head_count = kept;
    return param_spec_build(m);
}

int berth_model_find_head(const struct berth_model *m, const char *name) {
    for (int i = 0; i < m->head_count; i++) {
        if (strcmp(m->heads[i].task.name, name) == 0) return i;
    }
    return -1;
}

/* Ordinals and positions of a head's items in step memory. A sentence has one row: its position is 0. */
static berth_status put_dropout_rows(struct forward_run *run, int head, struct berth_tape_dropout *dropout) {
    const struct berth_batch *b = run->batch;
    const struct berth_items *items = &b->items[head];
    const bool pools = head_kind_of(&run->m->heads[head])->pools;
    int32_t *host = NULL;
    BERTH_TRY(forward_scratch(run, 2 * items->count, &host));
    for (int64_t i = 0; i < items->count; i++) {
        const int32_t at = items->index[i];
        host[i] = pools ? b->ordinal[at] : b->row_ordinal[at];
        host[items->count + i] = pools ? 0 : b->positions[at];
    }
    BERTH_TRY(forward_put(run, &dropout->ordinal, host, items->count));
    return forward_put(run, &dropout->position, host + items->count, items->count);
}

berth_status head_output(struct forward_run *run, int head, struct berth_tensor *features,
                         struct berth_tensor **logits) {
    const struct berth_head *h = &run->m->heads[head];
    const float rate = h->dropout < 0.0f ? run->m->config.hidden_dropout : h->dropout;
    struct berth_tensor *x = features, *weight = NULL, *bias = NULL;
    if (forward_drops(run, model_stage_heads(run->m), rate)) {
        struct berth_tape_dropout dropout = {.rate = rate, .site = 0x800u + (uint32_t)head, .key = run->key};
        BERTH_TRY(put_dropout_rows(run, head, &dropout));
        BERTH_TRY(berth_op_dropout(run->tape, &x, features, &dropout));
    }
    BERTH_TRY(forward_parameter(run, h->weight, &weight));
    BERTH_TRY(forward_parameter(run, h->bias, &bias));
    BERTH_TRY(berth_op_linear(run->tape, logits, x, weight, bias));
    if (x != features) berth_tape_drop(run->tape, x);
    return BERTH_OK;
}
