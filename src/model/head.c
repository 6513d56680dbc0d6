/* head.c: the registry of head kinds, losses by name, and the list of a model's heads.
 *
 * A new kind of head is one file with a struct head_kind and one row of KINDS. */
#include <stdlib.h>
#include <string.h>

#include "model/model_priv.h"

static const struct head_kind *const KINDS[] = {
    &head_kind_classification, &head_kind_tagging,     &head_kind_multilabel, &head_kind_regression,
    &head_kind_similarity,     &head_kind_contrastive, &head_kind_mlm,
};

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

bool berth_task_kind_has_labels(enum berth_task_kind kind) {
    const struct head_kind *k = head_kind_find(kind);
    return k != NULL && k->labels;
}

/* ---- losses */

static const char *const LOSS_NAMES[] = {"own", "cross_entropy", "focal",  "bce",    "mse",
                                         "l1",  "huber",         "cosent", "ranking"};

const char *berth_loss_name(enum berth_loss loss) {
    BERTH_ASSERT((size_t)loss < sizeof LOSS_NAMES / sizeof LOSS_NAMES[0]);
    return LOSS_NAMES[loss];
}

bool berth_loss_parse(const char *text, enum berth_loss *out) {
    for (size_t i = 1; i < sizeof LOSS_NAMES / sizeof LOSS_NAMES[0]; i++) {
        if (strcmp(LOSS_NAMES[i], text) != 0) continue;
        *out = (enum berth_loss)i;
        return true;
    }
    return false;
}

bool berth_task_kind_takes(enum berth_task_kind kind, enum berth_loss loss) {
    const struct head_kind *k = head_kind_find(kind);
    return k != NULL && (loss == BERTH_LOSS_OWN || (k->losses >> loss & 1u) != 0);
}

enum berth_loss head_loss_of(const struct berth_head *head) {
    return head->loss != BERTH_LOSS_OWN ? head->loss : head_kind_of(head)->own_loss;
}

/* ---- the list */

void head_deinit(struct berth_head *head) {
    berth_task_deinit(&head->task);
    free(head->shares);
    free(head->class_weights);
    head->shares = NULL;
    head->class_weights = NULL;
}

/* What a configuration may change of a head that came with a folder; owned by `to`. */
static berth_status copy_settings(struct berth_head *to, const struct berth_head *from) {
    float *weights = NULL;
    char *shares = NULL;
    berth_status status = BERTH_OK;
    if (from->class_weights != NULL) {
        BERTH_TRY(berth_calloc(&weights, from->task.labels.count, sizeof *weights));
        memcpy(weights, from->class_weights, from->task.labels.count * sizeof *weights);
    }
    if (from->shares != NULL) BERTH_TRY_OUT(berth_strdup(&shares, from->shares));
    free(to->shares);
    free(to->class_weights);
    to->shares = shares;
    to->class_weights = weights;
    to->pooling = from->pooling;
    to->reads = from->reads;
    to->layer = from->layer;
    to->dropout = from->dropout;
    to->activation = from->activation;
    to->loss = from->loss;
    to->label_smoothing = from->label_smoothing;
    to->focal_gamma = from->focal_gamma;
    to->huber_delta = from->huber_delta;
    to->scale = from->scale;
    to->symmetric = from->symmetric;
    to->task.scheme = from->task.scheme;
    shares = NULL;
    weights = NULL;
out:
    free(shares);
    free(weights);
    return status;
}

berth_status head_copy(struct berth_head *to, const struct berth_head *from) {
    berth_status status = BERTH_OK;
    *to = *from;
    to->task.name = to->shares = NULL;
    to->class_weights = NULL;
    to->weight = to->bias = to->first_mix = to->first_hidden = to->first_extra = -1;
    berth_labels_init(&to->task.labels);
    BERTH_TRY_OUT(copy_settings(to, from));
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

static berth_status check_settings(const struct berth_head *head) {
    const char *name = head->task.name;
    const struct head_kind *kind = head_kind_find(head->task.kind);
    if (kind == NULL)
        BERTH_FAIL(BERTH_E_UNSUPPORTED, "head '%s': no head for tasks of type %s", name,
                   berth_task_kind_name(head->task.kind));
    if (kind->labels && head->task.labels.count == 0)
        BERTH_FAIL(BERTH_E_USAGE, "head '%s' has no labels", name);
    if (head->dropout >= 1.0f)
        BERTH_FAIL(BERTH_E_USAGE, "head '%s': dropout %g, expected below 1", name, (double)head->dropout);
    if (!(head->label_smoothing >= 0.0f && head->label_smoothing < 1.0f))
        BERTH_FAIL(BERTH_E_USAGE, "head '%s': label_smoothing %g is outside 0 .. 1 (1 excluded)", name,
                   (double)head->label_smoothing);
    if (!berth_task_kind_takes(head->task.kind, head->loss))
        BERTH_FAIL(BERTH_E_USAGE, "head '%s': a %s head has no loss '%s'", name,
                   berth_task_kind_name(head->task.kind), berth_loss_name(head->loss));
    if (head->hidden_layers < 0 || head->hidden_layers > 3 || head->hidden_size < 0)
        BERTH_FAIL(BERTH_E_USAGE, "head '%s': %d hidden layers of %lld columns, expected at most 3", name,
                   head->hidden_layers, (long long)head->hidden_size);
    if (head->crf &&
        (head->loss == BERTH_LOSS_FOCAL || head->label_smoothing > 0 || head->class_weights != NULL))
        BERTH_FAIL(
            BERTH_E_USAGE,
            "head '%s': a crf scores whole sentences: it has no focal loss, label smoothing or class weights",
            name);
    if (head->label_smoothing > 0 && head->loss == BERTH_LOSS_FOCAL && head->task.kind != BERTH_TASK_MULTILABEL)
        BERTH_FAIL(BERTH_E_USAGE, "head '%s': label smoothing belongs to cross-entropy, not to the focal loss",
                   name);
    return BERTH_OK;
}

berth_status head_append(struct berth_model *m, const struct berth_head *head) {
    BERTH_ASSERT_MSG(m->values == NULL, "heads are added before berth_model_allocate");
    BERTH_TRY(check_name(head->task.name));
    BERTH_TRY(check_settings(head));
    if (m->head_count >= 512) /* dropout sites 0x800 .. 0xFFF, four a head */
        BERTH_FAIL(BERTH_E_UNSUPPORTED, "more than 512 heads");
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
    if (kept.crf != head->crf || kept.hidden_layers != head->hidden_layers ||
        kept.hidden_size != head->hidden_size ||
        (kept.reads == BERTH_READS_MIX) != (head->reads == BERTH_READS_MIX) ||
        (kept.shares == NULL) != (head->shares == NULL))
        BERTH_FAIL(
            BERTH_E_USAGE,
            "head '%s': the model's has other parameters (crf, hidden_layers, hidden_size, layer: mix, head); "
            "train it as it is, or under another name",
            name);
    BERTH_TRY(check_settings(head));
    BERTH_TRY(copy_settings(&kept, head));
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

berth_status berth_model_order_heads(struct berth_model *m, const char *const *names, size_t count) {
    if ((size_t)m->head_count != count)
        BERTH_FAIL(BERTH_E_FORMAT, "the model has %d heads, expected %zu", m->head_count, count);
    for (size_t i = 0; i < count; i++) {
        int at = berth_model_find_head(m, names[i]);
        if (at < 0) BERTH_FAIL(BERTH_E_FORMAT, "the model has no head '%s'", names[i]);
        struct berth_head moved = m->heads[at];
        m->heads[at] = m->heads[i];
        m->heads[i] = moved;
    }
    return BERTH_OK;
}

int berth_head_owner(const struct berth_model *m, int head) {
    const char *shares = m->heads[head].shares;
    const int owner = shares == NULL ? head : berth_model_find_head(m, shares);
    return owner < 0 ? head : owner;
}

berth_status head_check_all(const struct berth_model *m) {
    for (int i = 0; i < m->head_count; i++) {
        const struct berth_head *h = &m->heads[i];
        if (h->reads == BERTH_READS_LAYER && (h->layer < 0 || h->layer > m->config.layers))
            BERTH_FAIL(BERTH_E_USAGE,
                       "head '%s' reads layer %lld, but the backbone has layers 0 (embeddings) to %lld",
                       h->task.name, (long long)h->layer, (long long)m->config.layers);
        if (h->shares == NULL) continue;
        const int owner = berth_model_find_head(m, h->shares);
        if (owner < 0)
            BERTH_FAIL(BERTH_E_USAGE, "head '%s' shares the head '%s', which is not there", h->task.name,
                       h->shares);
        const struct berth_head *o = &m->heads[owner];
        if (owner == i || o->shares != NULL)
            BERTH_FAIL(BERTH_E_USAGE, "head '%s' shares the head '%s', which has no parameters of its own",
                       h->task.name, h->shares);
        if (o->task.kind != h->task.kind || !berth_labels_equal(&o->task.labels, &h->task.labels) ||
            o->crf != h->crf || o->hidden_layers != h->hidden_layers || o->hidden_size != h->hidden_size ||
            o->reads != h->reads)
            BERTH_FAIL(
                BERTH_E_USAGE,
                "head '%s' shares the head '%s', which is of another type, labels, depth, layer or decoding",
                h->task.name, h->shares);
    }
    return BERTH_OK;
}

int berth_model_find_head(const struct berth_model *m, const char *name) {
    for (int i = 0; i < m->head_count; i++) {
        if (strcmp(m->heads[i].task.name, name) == 0) return i;
    }
    return -1;
}
