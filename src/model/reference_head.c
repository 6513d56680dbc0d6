/* reference_head.c: the reference library's classes with a head on top, and berth's head that is the same
 * arithmetic.
 *
 *     BertForSequenceClassification        classification, several labels or a number on the pooler
 *     DistilBertForSequenceClassification  the same on cls, behind one hidden layer as wide as the backbone
 * with ReLU
 *     ...ForTokenClassification            tagging, tags decided one by one
 *     ...ForMaskedLM, BertForPreTraining   masked language modelling, tied decoder
 *
 * A folder of such a class becomes a model with one head, named "classifier" or "mlm"; a model with one such
 * head is written as that class. The reference drops out between pre_classifier and classifier alone; berth
 * before each. */
#include <stdlib.h>
#include <string.h>

#include "model/model_priv.h"

static const struct reference_part SEQUENCE_BERT[] = {
    {"weight", "classifier.weight"}, {"bias", "classifier.bias"}, {NULL, NULL}};
static const struct reference_part SEQUENCE_DISTILBERT[] = {{"hidden.0.weight", "pre_classifier.weight"},
                                                            {"hidden.0.bias", "pre_classifier.bias"},
                                                            {"weight", "classifier.weight"},
                                                            {"bias", "classifier.bias"},
                                                            {NULL, NULL}};
static const struct reference_part MLM_BERT[] = {{"transform.weight", "cls.predictions.transform.dense.weight"},
                                                 {"transform.bias", "cls.predictions.transform.dense.bias"},
                                                 {"norm.weight", "cls.predictions.transform.LayerNorm.weight"},
                                                 {"norm.bias", "cls.predictions.transform.LayerNorm.bias"},
                                                 {"bias", "cls.predictions.bias"},
                                                 {NULL, NULL}};
static const struct reference_part MLM_DISTILBERT[] = {{"transform.weight", "vocab_transform.weight"},
                                                       {"transform.bias", "vocab_transform.bias"},
                                                       {"norm.weight", "vocab_layer_norm.weight"},
                                                       {"norm.bias", "vocab_layer_norm.bias"},
                                                       {"bias", "vocab_projector.bias"},
                                                       {NULL, NULL}};

static const struct reference_form FORMS[] = {
    /* of those of one family and suffix the first is the one written */
    {"BertForSequenceClassification", false, REFERENCE_SEQUENCE, SEQUENCE_BERT, NULL},
    {"BertForTokenClassification", false, REFERENCE_TOKENS, SEQUENCE_BERT, NULL},
    {"BertForMaskedLM", false, REFERENCE_MLM, MLM_BERT, "cls.predictions.decoder.weight"},
    {"BertForPreTraining", false, REFERENCE_MLM, MLM_BERT, "cls.predictions.decoder.weight"},
    {"DistilBertForSequenceClassification", true, REFERENCE_SEQUENCE, SEQUENCE_DISTILBERT, NULL},
    {"DistilBertForTokenClassification", true, REFERENCE_TOKENS, SEQUENCE_BERT, NULL},
    {"DistilBertForMaskedLM", true, REFERENCE_MLM, MLM_DISTILBERT, "vocab_projector.weight"},
};
enum { FORM_COUNT = sizeof FORMS / sizeof FORMS[0] };

const char *reference_part_name(const struct reference_form *form, const char *part) {
    for (const struct reference_part *p = form->parts; p->part != NULL; p++) {
        if (strcmp(p->part, part) == 0) return p->tensor;
    }
    return NULL;
}

/* ---- berth's head -> the reference's class */

/* Whether the head is one of that form's arithmetic. */
static bool fits(const struct berth_model *m, const struct berth_head *head,
                 const struct reference_form *form) {
    const struct head_kind *kind = head_kind_of(head);
    if (kind->reference != form->place || head->reads != BERTH_READS_LAST || head->crf || head->shares != NULL)
        return false;
    if (form->place != REFERENCE_SEQUENCE) return head->hidden_layers == 0;
    if (!form->distilbert) return head->hidden_layers == 0 && head->pooling == BERTH_POOL_POOLER;
    return head->hidden_layers == 1 && head->activation == BERTH_ACT_RELU && head->pooling == BERTH_POOL_CLS &&
           head_features_width(m, head) == m->config.hidden;
}

const struct reference_form *reference_form_of(const struct berth_model *m) {
    if (m->head_count != 1) return NULL;
    for (int i = 0; i < FORM_COUNT; i++) {
        if (FORMS[i].distilbert == model_is_distilbert(&m->config) && fits(m, &m->heads[0], &FORMS[i]))
            return &FORMS[i];
    }
    return NULL;
}

const struct reference_form *reference_mlm_form(bool distilbert) {
    int i = 0;
    while (FORMS[i].place != REFERENCE_MLM || FORMS[i].distilbert != distilbert)
        i++;
    return &FORMS[i];
}

/* ---- the reference's class -> berth's head */

struct reader {
    const struct berth_json *j;
    const char *path; /* of config.json */
    const struct model_weights *weights;
    const struct reference_form *form;
};

/* Names of the classes, as many as the last layer has rows. */
static berth_status read_labels(struct berth_labels *out, const struct reader *r, int64_t rows) {
    const size_t named = berth_json_count(r->j, "id2label");
    if (named > 0 && (int64_t)named != rows)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: id2label names %zu classes, but 'classifier.weight' has %lld rows",
                   r->path, named, (long long)rows);
    for (int64_t i = 0; i < rows; i++) {
        char key[48], absent[32];
        const char *name = NULL;
        int32_t class = 0;
        snprintf(key, sizeof key, "id2label.%lld", (long long)i);
        snprintf(absent, sizeof absent, "LABEL_%lld", (long long)i);
        if (named > 0)
            BERTH_TRY(berth_json_string(&name, r->j, key));
        else
            name = absent;
        BERTH_TRY(berth_labels_add(out, name, &class));
        if (class != i)
            BERTH_FAIL(BERTH_E_FORMAT, "%s: id2label gives the classes %d and %lld the same name '%.60s'",
                       r->path, class, (long long)i, name);
    }
    return BERTH_OK;
}

/* Which kind the sequence class is: by problem_type, and as the reference where it is not said. */
static berth_status read_problem(enum berth_task_kind *out, const struct reader *r, int64_t rows) {
    static const enum berth_task_kind KINDS[] = {BERTH_TASK_CLASSIFICATION, BERTH_TASK_MULTILABEL,
                                                 BERTH_TASK_REGRESSION};
    const char *problem = NULL;
    BERTH_TRY(berth_json_string_or(&problem, r->j, "problem_type", ""));
    *out = rows == 1 ? BERTH_TASK_REGRESSION : BERTH_TASK_CLASSIFICATION;
    if (problem[0] == '\0') return BERTH_OK;
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        *out = KINDS[i];
        if (strcmp(head_kind_find(KINDS[i])->problem_type, problem) == 0) return BERTH_OK;
    }
    BERTH_FAIL(BERTH_E_FORMAT,
               "%s: problem_type is '%.60s', expected single_label_classification, "
               "multi_label_classification or regression",
               r->path, problem);
}

static berth_status read_rate(float *out, const struct reader *r, const char *key, double absent) {
    double rate = 0;
    BERTH_TRY(berth_json_number_or(&rate, r->j, key, absent));
    *out = (float)rate;
    return BERTH_OK;
}

static berth_status read_head(struct berth_head *h, const struct reader *r) {
    const enum reference_place place = r->form->place;
    const struct berth_safetensor *last = weights_find(r->weights, "classifier.weight");
    h->dropout = -1.0f;
    h->pooling = r->form->distilbert ? BERTH_POOL_CLS : BERTH_POOL_POOLER;
    BERTH_TRY(berth_strdup(&h->task.name, place == REFERENCE_MLM ? "mlm" : "classifier"));
    if (place == REFERENCE_MLM) {
        h->task.kind = BERTH_TASK_MLM;
        return BERTH_OK;
    }
    const int64_t rows = last->rank == 2 ? last->shape[0] : 0;
    h->task.kind = BERTH_TASK_TAGGING;
    if (place == REFERENCE_SEQUENCE) BERTH_TRY(read_problem(&h->task.kind, r, rows));
    if (place == REFERENCE_SEQUENCE && r->form->distilbert) {
        h->hidden_layers = 1;
        h->activation = BERTH_ACT_RELU;
        BERTH_TRY(read_rate(&h->dropout, r, "seq_classif_dropout", 0.2));
    }
    if (!r->form->distilbert) BERTH_TRY(read_rate(&h->dropout, r, "classifier_dropout", -1.0));
    return head_kind_of(h)->labels ? read_labels(&h->task.labels, r, rows) : BERTH_OK;
}

static berth_status add_tensors(struct heads_file_entry *e, const struct reference_form *form) {
    for (const struct reference_part *p = form->parts; p->part != NULL; p++)
        BERTH_TRY(heads_file_add_tensor(e, p->part, p->tensor));
    return BERTH_OK;
}

/* A decoder that is not the token embeddings is another model than berth's. */
static bool is_tied(const struct reader *r) {
    const struct berth_safetensor *decoder = weights_find(r->weights, r->form->decoder), *words = NULL;
    static const char *const PREFIXES[] = {"", "bert.", "distilbert."};
    for (size_t i = 0; i < sizeof PREFIXES / sizeof PREFIXES[0] && words == NULL; i++) {
        char name[80];
        snprintf(name, sizeof name, "%sembeddings.word_embeddings.weight", PREFIXES[i]);
        words = weights_find(r->weights, name);
    }
    if (decoder == NULL || words == NULL) return true;
    return decoder->bytes == words->bytes && memcmp(decoder->data, words->data, words->bytes) == 0;
}

/* Whether the tensors are there that make a head; a class without them is told, and is a backbone. */
static bool is_whole(const struct reader *r) {
    for (const struct reference_part *p = r->form->parts; p->part != NULL; p++) {
        if (weights_find(r->weights, p->tensor) != NULL) continue;
        berth_log(BERTH_LOG_WARN, "%s: the class is %s, but the weights have no '%s': no head is taken",
                  r->path, r->form->class_name, p->tensor);
        return false;
    }
    if (r->form->place == REFERENCE_MLM && !is_tied(r)) {
        berth_log(BERTH_LOG_WARN, "%s: '%s' is not the token embeddings, berth's decoder is: no head is taken",
                  r->path, r->form->decoder);
        return false;
    }
    return true;
}

berth_status reference_head_read(struct heads_file_entry **out, int *count, const char *path,
                                 const struct model_weights *weights) {
    berth_status status = BERTH_OK;
    struct berth_json *j = NULL;
    struct heads_file_entry *entry = NULL;
    struct reader r = {.path = path, .weights = weights};
    const char *class_name = NULL;
    *out = NULL;
    *count = 0;
    BERTH_TRY_OUT(berth_json_load(&j, path));
    r.j = j;
    if (!berth_json_has(j, "architectures[0]")) goto out;
    BERTH_TRY_OUT(berth_json_string(&class_name, j, "architectures[0]"));
    for (int i = 0; i < FORM_COUNT && r.form == NULL; i++)
        if (strcmp(FORMS[i].class_name, class_name) == 0) r.form = &FORMS[i];
    if (r.form == NULL || !is_whole(&r)) goto out;
    BERTH_TRY_OUT(berth_calloc(&entry, 1, sizeof *entry));
    berth_labels_init(&entry->head.task.labels);
    BERTH_TRY_OUT(read_head(&entry->head, &r));
    BERTH_TRY_OUT(add_tensors(entry, r.form));
    *out = entry;
    *count = 1;
    entry = NULL;
out:
    heads_file_free(entry, 1);
    berth_json_free(j);
    return status;
}
