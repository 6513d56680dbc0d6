/* predict_format.c: one line's answers as a TSV or a JSON line; what a head of a kind says stands in its row of
 * KINDS.
 *
 *     TSV    intent  0.9912  O O B-city I-city
 *     JSON   {"text": "...", "heads": {"intent": {"label": "flight", "probability": 0.9912},
 *             "slots": {"tags": [...], "entities": [{"type": "city", "text": "new york", "start": 9, "end":
 * 17}]}}}
 *
 * Entities are read off the tags as they are scored (berth/tags.h). start and end count characters (code
 * points) of the text, end excluded. A word behind the cut is tagged "O". */
#include <string.h>

#include "cli/cli_priv.h"

void cli_add_json_text(struct berth_str *out, const char *text, size_t size) {
    struct berth_str clean;
    berth_str_init(&clean);
    size_t at = 0;
    while (at < size) {
        size_t good = berth_utf8_check(text + at, size - at);
        if (good > 0) berth_str_addn(&clean, text + at, good);
        at += good;
        if (at == size) break;
        size_t length = 1;
        bool valid = false;
        berth_utf8_decode(text + at, size - at, &length, &valid);
        berth_str_add(&clean, "\xEF\xBF\xBD");
        at += length;
    }
    berth_str_add_json(out, clean.length > 0 ? clean.data : "");
    out->failed |= clean.failed;
    berth_str_deinit(&clean);
}

/* ---- kinds: what is printed of a line that the head was asked of */

struct answer_kind {
    enum berth_task_kind kind;
    void (*header)(struct berth_str *out, const struct berth_head *head);
    void (*tsv)(struct berth_str *out, const struct berth_head *head, const struct cli_answer *a,
                const struct cli_said *said, const struct cli_model *m);
    void (*json)(struct berth_str *out, const struct berth_head *head, const struct cli_answer *a,
                 const struct cli_said *said, const struct cli_model *m);
};

static void class_header(struct berth_str *out, const struct berth_head *head) {
    berth_str_addf(out, "%s\t%s.probability", head->task.name, head->task.name);
}

static void class_tsv(struct berth_str *out, const struct berth_head *head, const struct cli_answer *a,
                      const struct cli_said *said, const struct cli_model *m) {
    (void)m;
    (void)a;
    berth_str_addf(out, "%s\t%.4f", head->task.labels.names[said->label[0]], (double)said->score[0]);
}

static void class_json(struct berth_str *out, const struct berth_head *head, const struct cli_answer *a,
                       const struct cli_said *said, const struct cli_model *m) {
    (void)m;
    (void)a;
    berth_str_add(out, "{\"label\": ");
    berth_str_add_json(out, head->task.labels.names[said->label[0]]);
    berth_str_addf(out, ", \"probability\": %.6g}", (double)said->score[0]);
}

static void name_header(struct berth_str *out, const struct berth_head *head) {
    berth_str_add(out, head->task.name);
}

static void tags_tsv(struct berth_str *out, const struct berth_head *head, const struct cli_answer *a,
                     const struct cli_said *said, const struct cli_model *m) {
    (void)m;
    (void)head;
    for (size_t w = 0; w < a->word_count; w++)
        berth_str_addf(out, "%s%s", w ? " " : "", said->tags[w]);
}

/* Characters of the first `bytes` bytes. */
static int64_t characters(const char *text, size_t bytes) {
    int64_t n = 0;
    for (size_t at = 0; at < bytes; n++) {
        size_t length = 1;
        bool valid = false;
        berth_utf8_decode(text + at, bytes - at, &length, &valid);
        at += length;
    }
    return n;
}

static void add_entity(struct berth_str *out, const struct cli_answer *a, const struct berth_entity *e,
                       bool comma) {
    int32_t start = a->words[e->begin].start, end = a->words[e->end - 1].end;
    berth_str_add(out, comma ? ", {\"type\": " : "{\"type\": ");
    cli_add_json_text(out, e->type, strlen(e->type));
    berth_str_add(out, ", \"text\": ");
    cli_add_json_text(out, a->text + start, (size_t)(end - start));
    berth_str_addf(out, ", \"start\": %lld, \"end\": %lld}", (long long)characters(a->text, (size_t)start),
                   (long long)characters(a->text, (size_t)end));
}

static void tags_json(struct berth_str *out, const struct berth_head *head, const struct cli_answer *a,
                      const struct cli_said *said, const struct cli_model *m) {
    (void)m;
    struct berth_entity_cursor c;
    struct berth_entity e;
    (void)head;
    berth_str_add(out, "{\"tags\": [");
    for (size_t w = 0; w < a->word_count; w++) {
        if (w > 0) berth_str_add(out, ", ");
        berth_str_add_json(out, said->tags[w]);
    }
    berth_str_add(out, "], \"entities\": [");
    berth_entities_begin(&c, said->tags, a->word_count, BERTH_SPANS_DEFAULT);
    for (bool comma = false; berth_entity_next(&c, &e); comma = true)
        add_entity(out, a, &e, comma);
    berth_str_add(out, "]}");
}

/* The labels whose probability reaches the head's threshold, in their order. */
static void labels_tsv(struct berth_str *out, const struct berth_head *head, const struct cli_answer *a,
                       const struct cli_said *said, const struct cli_model *m) {
    bool first = true;
    (void)a;
    (void)m;
    for (int64_t k = 0; k < said->width; k++) {
        if (said->scores[k] < berth_head_threshold(head)) continue;
        berth_str_addf(out, "%s%s", first ? "" : ",", head->task.labels.names[k]);
        first = false;
    }
}

static void labels_json(struct berth_str *out, const struct berth_head *head, const struct cli_answer *a,
                        const struct cli_said *said, const struct cli_model *m) {
    (void)a;
    (void)m;
    for (int pass = 0; pass < 2; pass++) {
        bool first = true;
        berth_str_add(out, pass == 0 ? "{\"labels\": [" : "], \"probabilities\": [");
        for (int64_t k = 0; k < said->width; k++) {
            if (said->scores[k] < berth_head_threshold(head)) continue;
            if (!first) berth_str_add(out, ", ");
            first = false;
            if (pass == 0)
                berth_str_add_json(out, head->task.labels.names[k]);
            else
                berth_str_addf(out, "%.6g", (double)said->scores[k]);
        }
    }
    berth_str_add(out, "]}");
}

static void number_tsv(struct berth_str *out, const struct berth_head *head, const struct cli_answer *a,
                       const struct cli_said *said, const struct cli_model *m) {
    (void)head;
    (void)a;
    (void)m;
    if (said->count > 0) berth_str_addf(out, "%.6g", (double)said->score[0]);
}

static void number_json(struct berth_str *out, const struct berth_head *head, const struct cli_answer *a,
                        const struct cli_said *said, const struct cli_model *m) {
    (void)a;
    (void)m;
    berth_str_add(out, head->task.kind == BERTH_TASK_REGRESSION ? "{\"value\": " : "{\"similarity\": ");
    if (said->count > 0)
        berth_str_addf(out, "%.6g}", (double)said->score[0]);
    else
        berth_str_add(out, "null}");
}

/* "" where the table of embeddings is longer than the vocabulary. */
static const char *token_text(const struct cli_model *m, int32_t token) {
    const char *text = berth_tokenizer_token(m->tokenizer, token);
    return text != NULL ? text : "";
}

static void words_tsv(struct berth_str *out, const struct berth_head *head, const struct cli_answer *a,
                      const struct cli_said *said, const struct cli_model *m) {
    (void)head;
    (void)a;
    for (int64_t i = 0; i < said->count; i++)
        berth_str_addf(out, "%s%s", i > 0 ? " " : "", token_text(m, said->label[i]));
}

static void words_json(struct berth_str *out, const struct berth_head *head, const struct cli_answer *a,
                       const struct cli_said *said, const struct cli_model *m) {
    (void)head;
    (void)a;
    berth_str_add(out, "{\"tokens\": [");
    for (int64_t i = 0; i < said->count; i++) {
        berth_str_add(out, i > 0 ? ", " : "");
        berth_str_add_json(out, token_text(m, said->label[i]));
    }
    berth_str_add(out, "], \"probabilities\": [");
    for (int64_t i = 0; i < said->count; i++)
        berth_str_addf(out, "%s%.6g", i > 0 ? ", " : "", (double)said->score[i]);
    berth_str_add(out, "]}");
}

static const struct answer_kind KINDS[] = {
    {BERTH_TASK_CLASSIFICATION, class_header, class_tsv, class_json},
    {BERTH_TASK_TAGGING, name_header, tags_tsv, tags_json},
    {BERTH_TASK_MULTILABEL, name_header, labels_tsv, labels_json},
    {BERTH_TASK_REGRESSION, name_header, number_tsv, number_json},
    {BERTH_TASK_SIMILARITY, name_header, number_tsv, number_json},
    {BERTH_TASK_CONTRASTIVE, name_header, number_tsv, number_json},
    {BERTH_TASK_MLM, name_header, words_tsv, words_json},
};

static const struct answer_kind *kind_of(const struct berth_head *head) {
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        if (KINDS[i].kind == head->task.kind) return &KINDS[i];
    }
    BERTH_ASSERT_MSG(false, "no answers of task kind %d", (int)head->task.kind);
    return NULL;
}

/* ---- lines */

void cli_answer_header(struct berth_str *out, const struct cli_model *m, const bool *wanted) {
    bool first = true;
    for (int i = 0; i < m->model->head_count; i++) {
        const struct berth_head *head = &m->model->heads[i];
        if (!wanted[i]) continue;
        if (!first) berth_str_add(out, "\t");
        first = false;
        kind_of(head)->header(out, head);
    }
    berth_str_add(out, "\n");
}

void cli_answer_tsv(struct berth_str *out, const struct cli_model *m, const bool *wanted,
                    const struct cli_answer *a) {
    bool first = true;
    for (int i = 0; i < m->model->head_count; i++) {
        const struct berth_head *head = &m->model->heads[i];
        if (!wanted[i]) continue;
        if (!first) berth_str_add(out, "\t");
        first = false;
        kind_of(head)->tsv(out, head, a, &a->said[i], m);
    }
    berth_str_add(out, "\n");
}

void cli_answer_json(struct berth_str *out, const struct cli_model *m, const bool *wanted,
                     const struct cli_answer *a) {
    bool first = true;
    berth_str_add(out, "{\"text\": ");
    cli_add_json_text(out, a->text, strlen(a->text));
    if (a->pair) {
        berth_str_add(out, ", \"text_pair\": ");
        cli_add_json_text(out, a->pair, strlen(a->pair));
    }
    if (a->words_cut > 0) berth_str_addf(out, ", \"words_cut\": %lld", (long long)a->words_cut);
    berth_str_add(out, ", \"heads\": {");
    for (int i = 0; i < m->model->head_count; i++) {
        const struct berth_head *head = &m->model->heads[i];
        if (!wanted[i]) continue;
        if (!first) berth_str_add(out, ", ");
        first = false;
        berth_str_add_json(out, head->task.name);
        berth_str_add(out, ": ");
        kind_of(head)->json(out, head, a, &a->said[i], m);
    }
    berth_str_add(out, "}}\n");
}
