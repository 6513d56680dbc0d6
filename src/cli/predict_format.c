/* predict_format.c: one row's answers as a TSV or a JSON line; what a head of a kind says stands in its row of
 * KINDS.
 *
 *     TSV    intent  0.9912  O O B-city I-city
 *     JSON   {"text": "...", "heads": {"intent": {"label": "flight", "probability": 0.9912},
 *             "slots": {"tags": [...], "entities": [{"type": "city", "text": "new york", "start": 9, "end":
 * 17}]}}}
 *
 * Entities are read off the tags as they are scored (berth/tags.h). start and end count characters (code
 * points) of the text, end excluded; words of a row that came apart have one space between. A word behind the
 * cut is tagged "O". */
#include <math.h>
#include <string.h>

#include "cli/predict_priv.h"

static void add_name(struct berth_str *out, const char *name) {
    cli_add_cell(out, name, strlen(name));
}

/* ---- kinds: what is printed of a row that the head was asked of */

struct answer_kind {
    enum berth_task_kind kind;
    void (*header)(struct berth_str *out, const struct berth_head *head, bool all);
    void (*tsv)(struct berth_str *out, const struct berth_head *head, const struct predict_row *r,
                const struct cli_said *said, const struct predict_style *style);
    void (*json)(struct berth_str *out, const struct berth_head *head, const struct predict_row *r,
                 const struct cli_said *said, const struct predict_style *style);
};

static void name_header(struct berth_str *out, const struct berth_head *head, bool all) {
    (void)all;
    berth_str_add(out, head->task.name);
}

/* A column for each class. */
static void classes_header(struct berth_str *out, const struct berth_head *head) {
    for (size_t k = 0; k < head->task.labels.count; k++) {
        berth_str_addf(out, "\t%s.", head->task.name);
        add_name(out, head->task.labels.names[k]);
    }
}

static void classes_tsv(struct berth_str *out, const struct cli_said *said) {
    for (int64_t k = 0; k < said->width; k++)
        berth_str_addf(out, "\t%.4f", (double)said->scores[k]);
}

/* {"flight": 0.99, ...} */
static void classes_json(struct berth_str *out, const struct berth_head *head, const struct cli_said *said) {
    berth_str_add(out, ", \"classes\": {");
    for (int64_t k = 0; k < said->width; k++) {
        if (k > 0) berth_str_add(out, ", ");
        berth_str_add_json(out, head->task.labels.names[k]);
        berth_str_add(out, ": ");
        cli_add_json_number(out, (double)said->scores[k]);
    }
    berth_str_add(out, "}");
}

static void class_header(struct berth_str *out, const struct berth_head *head, bool all) {
    berth_str_addf(out, "%s\t%s.probability", head->task.name, head->task.name);
    if (all) classes_header(out, head);
}

static void class_tsv(struct berth_str *out, const struct berth_head *head, const struct predict_row *r,
                      const struct cli_said *said, const struct predict_style *style) {
    (void)r;
    add_name(out, head->task.labels.names[said->label[0]]);
    berth_str_addf(out, "\t%.4f", (double)said->score[0]);
    if (style->all) classes_tsv(out, said);
}

static void class_json(struct berth_str *out, const struct berth_head *head, const struct predict_row *r,
                       const struct cli_said *said, const struct predict_style *style) {
    (void)r;
    berth_str_add(out, "{\"label\": ");
    berth_str_add_json(out, head->task.labels.names[said->label[0]]);
    berth_str_add(out, ", \"probability\": ");
    cli_add_json_number(out, (double)said->score[0]);
    if (style->all) classes_json(out, head, said);
    berth_str_add(out, "}");
}

static void tags_header(struct berth_str *out, const struct berth_head *head, bool all) {
    berth_str_add(out, head->task.name);
    if (all) berth_str_addf(out, "\t%s.probability", head->task.name);
}

static void tags_tsv(struct berth_str *out, const struct berth_head *head, const struct predict_row *r,
                     const struct cli_said *said, const struct predict_style *style) {
    int64_t item = 0;
    (void)head;
    for (size_t w = 0; w < r->added.word_count; w++) {
        berth_str_add(out, w ? " " : "");
        add_name(out, said->tags[w]);
    }
    if (style->all) berth_str_add(out, "\t");
    for (size_t w = 0; style->all && w < r->added.word_count; w++) {
        if (r->added.words[w].token >= 0)
            berth_str_addf(out, "%s%.4f", w ? " " : "", (double)said->score[item++]);
        else
            berth_str_add(out, w ? " -" : "-");
    }
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

static void add_entity(struct berth_str *out, const struct predict_row *r, const struct berth_entity *e,
                       bool comma) {
    const char *text = r->row->text;
    int32_t start = r->added.words[e->begin].start, end = r->added.words[e->end - 1].end;
    berth_str_add(out, comma ? ", {\"type\": " : "{\"type\": ");
    cli_add_json_text(out, e->type, strlen(e->type));
    berth_str_add(out, ", \"text\": ");
    cli_add_json_text(out, text + start, (size_t)(end - start));
    berth_str_addf(out, ", \"start\": %lld, \"end\": %lld}", (long long)characters(text, (size_t)start),
                   (long long)characters(text, (size_t)end));
}

static void tags_json(struct berth_str *out, const struct berth_head *head, const struct predict_row *r,
                      const struct cli_said *said, const struct predict_style *style) {
    struct berth_entity_cursor c;
    struct berth_entity e;
    int64_t item = 0;
    (void)head;
    berth_str_add(out, "{\"tags\": [");
    for (size_t w = 0; w < r->added.word_count; w++) {
        if (w > 0) berth_str_add(out, ", ");
        berth_str_add_json(out, said->tags[w]);
    }
    if (style->all) berth_str_add(out, "], \"probabilities\": [");
    for (size_t w = 0; style->all && w < r->added.word_count; w++) {
        berth_str_add(out, w ? ", " : "");
        cli_add_json_number(out, r->added.words[w].token >= 0 ? (double)said->score[item++] : (double)NAN);
    }
    berth_str_add(out, "], \"entities\": [");
    berth_entities_begin(&c, said->tags, r->added.word_count, BERTH_SPANS_DEFAULT);
    for (bool comma = false; berth_entity_next(&c, &e); comma = true)
        add_entity(out, r, &e, comma);
    berth_str_add(out, "]}");
}

static void labels_header(struct berth_str *out, const struct berth_head *head, bool all) {
    berth_str_add(out, head->task.name);
    if (all) classes_header(out, head);
}

/* The labels whose probability reaches the head's threshold, in their order. */
static void labels_tsv(struct berth_str *out, const struct berth_head *head, const struct predict_row *r,
                       const struct cli_said *said, const struct predict_style *style) {
    bool first = true;
    (void)r;
    for (int64_t k = 0; k < said->width; k++) {
        if (said->scores[k] < berth_head_threshold(head)) continue;
        berth_str_add(out, first ? "" : ",");
        add_name(out, head->task.labels.names[k]);
        first = false;
    }
    if (style->all) classes_tsv(out, said);
}

static void labels_json(struct berth_str *out, const struct berth_head *head, const struct predict_row *r,
                        const struct cli_said *said, const struct predict_style *style) {
    (void)r;
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
                cli_add_json_number(out, (double)said->scores[k]);
        }
    }
    berth_str_add(out, "]");
    if (style->all) classes_json(out, head, said);
    berth_str_add(out, "}");
}

static void number_tsv(struct berth_str *out, const struct berth_head *head, const struct predict_row *r,
                       const struct cli_said *said, const struct predict_style *style) {
    (void)head;
    (void)r;
    (void)style;
    if (said->count > 0) berth_str_addf(out, "%.6g", (double)said->score[0]);
}

static void number_json(struct berth_str *out, const struct berth_head *head, const struct predict_row *r,
                        const struct cli_said *said, const struct predict_style *style) {
    (void)r;
    (void)style;
    berth_str_add(out, head->task.kind == BERTH_TASK_REGRESSION ? "{\"value\": " : "{\"similarity\": ");
    cli_add_json_number(out, said->count > 0 ? (double)said->score[0] : (double)NAN);
    berth_str_add(out, "}");
}

/* "" where the table of embeddings is longer than the vocabulary. */
static const char *token_text(const struct predict_style *style, int32_t token) {
    const char *text = berth_tokenizer_token(style->m->tokenizer, token);
    return text != NULL ? text : "";
}

static void words_tsv(struct berth_str *out, const struct berth_head *head, const struct predict_row *r,
                      const struct cli_said *said, const struct predict_style *style) {
    (void)head;
    (void)r;
    for (int64_t i = 0; i < said->count; i++)
        berth_str_addf(out, "%s%s", i > 0 ? " " : "", token_text(style, said->label[i]));
}

static void words_json(struct berth_str *out, const struct berth_head *head, const struct predict_row *r,
                       const struct cli_said *said, const struct predict_style *style) {
    (void)head;
    (void)r;
    berth_str_add(out, "{\"tokens\": [");
    for (int64_t i = 0; i < said->count; i++) {
        berth_str_add(out, i > 0 ? ", " : "");
        berth_str_add_json(out, token_text(style, said->label[i]));
    }
    berth_str_add(out, "], \"probabilities\": [");
    for (int64_t i = 0; i < said->count; i++) {
        berth_str_add(out, i > 0 ? ", " : "");
        cli_add_json_number(out, (double)said->score[i]);
    }
    berth_str_add(out, "]}");
}

static const struct answer_kind KINDS[] = {
    {BERTH_TASK_CLASSIFICATION, class_header, class_tsv, class_json},
    {BERTH_TASK_TAGGING, tags_header, tags_tsv, tags_json},
    {BERTH_TASK_MULTILABEL, labels_header, labels_tsv, labels_json},
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

void predict_tsv_header(struct berth_str *out, const struct predict_style *style) {
    bool first = true;
    for (size_t i = 0; i < style->keep_count; i++) {
        if (!first) berth_str_add(out, "\t");
        first = false;
        add_name(out, style->keep[i]);
    }
    for (int i = 0; i < style->m->model->head_count; i++) {
        const struct berth_head *head = &style->m->model->heads[i];
        if (!style->wanted[i]) continue;
        if (!first) berth_str_add(out, "\t");
        first = false;
        kind_of(head)->header(out, head, style->all);
    }
    berth_str_add(out, "\n");
}

void predict_cells(struct berth_str *out, const struct predict_style *style, const struct predict_row *r,
                   int head) {
    const struct berth_head *h = &style->m->model->heads[head];
    kind_of(h)->tsv(out, h, r, &r->said[head], style);
}

void predict_tsv(struct berth_str *out, const struct predict_style *style, const struct predict_row *r) {
    bool first = true;
    for (size_t i = 0; i < style->keep_count; i++) {
        const char *text = r->row->row.labels[i];
        if (!first) berth_str_add(out, "\t");
        first = false;
        if (text) add_name(out, text);
    }
    for (int i = 0; i < style->m->model->head_count; i++) {
        if (!style->wanted[i]) continue;
        if (!first) berth_str_add(out, "\t");
        first = false;
        predict_cells(out, style, r, i);
    }
    berth_str_add(out, "\n");
}

/* Items of a list, or the text. */
static void add_kept(struct berth_str *out, const char *text) {
    if (!strchr(text, BERTH_LIST_END)) {
        cli_add_json_text(out, text, strlen(text));
        return;
    }
    berth_str_add(out, "[");
    for (bool first = true; *text; first = false) {
        size_t n = strcspn(text, "\x1F");
        if (!first) berth_str_add(out, ", ");
        cli_add_json_text(out, text, n);
        text += n + (text[n] != '\0');
    }
    berth_str_add(out, "]");
}

static void add_columns(struct berth_str *out, const struct predict_style *style, const struct predict_row *r) {
    if (style->keep_count == 0) return;
    berth_str_add(out, ", \"columns\": {");
    for (size_t i = 0; i < style->keep_count; i++) {
        if (i > 0) berth_str_add(out, ", ");
        berth_str_add_json(out, style->keep[i]);
        berth_str_add(out, ": ");
        if (r->row->row.labels[i])
            add_kept(out, r->row->row.labels[i]);
        else
            berth_str_add(out, "null");
    }
    berth_str_add(out, "}");
}

void predict_json(struct berth_str *out, const struct predict_style *style, const struct predict_row *r) {
    const struct cli_row *row = r->row;
    bool first = true;
    berth_str_add(out, "{\"text\": ");
    cli_add_json_text(out, row->text, strlen(row->text));
    if (row->row.text_pair) {
        berth_str_add(out, ", \"text_pair\": ");
        cli_add_json_text(out, row->row.text_pair, strlen(row->row.text_pair));
    }
    if (row->row.pre_split && *row->row.text) {
        berth_str_add(out, ", \"words\": ");
        add_kept(out, row->row.text);
    }
    add_columns(out, style, r);
    if (r->words_cut > 0) berth_str_addf(out, ", \"words_cut\": %lld", (long long)r->words_cut);
    berth_str_add(out, ", \"heads\": {");
    for (int i = 0; i < style->m->model->head_count; i++) {
        const struct berth_head *head = &style->m->model->heads[i];
        if (!style->wanted[i]) continue;
        if (!first) berth_str_add(out, ", ");
        first = false;
        berth_str_add_json(out, head->task.name);
        berth_str_add(out, ": ");
        kind_of(head)->json(out, head, r, &r->said[i], style);
    }
    berth_str_add(out, "}}\n");
}
