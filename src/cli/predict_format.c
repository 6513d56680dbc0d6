/* predict_format.c: one line's answers as a TSV or a JSON line.
 *
 *     TSV    intent  0.9912  O O B-city I-city
 *     JSON   {"text": "...", "heads": {"intent": {"label": "flight", "probability": 0.9912},
 *             "slots": {"tags": [...], "entities": [{"type": "city", "text": "new york", "start": 9, "end":
 * 17}]}}}
 *
 * Entities are read off the tags as they are scored: one begins at B-X, or at an I-X that does not continue an
 * X. start and end count characters (code points) of the text, end excluded. A word behind the cut is tagged
 * "O". */
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

size_t cli_answer_slots(const struct cli_model *m, int head, const struct cli_answer *a) {
    return m->tasks[head].kind == BERTH_TASK_TAGGING ? a->word_count : 1;
}

static const char *tag_name(const struct berth_task *task, int32_t best) {
    return best >= 0 ? task->labels.names[best] : "O";
}

void cli_answer_header(struct berth_str *out, const struct cli_model *m, const bool *wanted) {
    bool first = true;
    for (int i = 0; i < m->model->head_count; i++) {
        if (!wanted[i]) continue;
        const char *name = m->tasks[i].name;
        berth_str_addf(out, "%s%s", first ? "" : "\t", name);
        if (m->tasks[i].kind == BERTH_TASK_CLASSIFICATION) berth_str_addf(out, "\t%s.probability", name);
        first = false;
    }
    berth_str_add(out, "\n");
}

void cli_answer_tsv(struct berth_str *out, const struct cli_model *m, const bool *wanted,
                    const struct cli_answer *a) {
    size_t at = 0;
    bool first = true;
    for (int i = 0; i < m->model->head_count; i++) {
        size_t slots = cli_answer_slots(m, i, a);
        if (wanted[i]) {
            if (!first) berth_str_add(out, "\t");
            first = false;
            if (m->tasks[i].kind == BERTH_TASK_CLASSIFICATION) {
                berth_str_addf(out, "%s\t%.4f", m->tasks[i].labels.names[a->best[at]],
                               (double)a->probability[at]);
            } else {
                for (size_t w = 0; w < slots; w++)
                    berth_str_addf(out, "%s%s", w ? " " : "", tag_name(&m->tasks[i], a->best[at + w]));
            }
        }
        at += slots;
    }
    berth_str_add(out, "\n");
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

static void add_entity(struct berth_str *out, const struct cli_answer *a, const char *type, size_t first,
                       size_t last, bool comma) {
    int32_t start = a->words[first].start, end = a->words[last].end;
    berth_str_add(out, comma ? ", {\"type\": " : "{\"type\": ");
    cli_add_json_text(out, type, strlen(type));
    berth_str_add(out, ", \"text\": ");
    cli_add_json_text(out, a->text + start, (size_t)(end - start));
    berth_str_addf(out, ", \"start\": %lld, \"end\": %lld}", (long long)characters(a->text, (size_t)start),
                   (long long)characters(a->text, (size_t)end));
}

/* The type of a BIO tag ("city" of "B-city"), NULL outside; *begins: B. */
static const char *entity_type(const char *tag, bool *begins) {
    *begins = tag[0] == 'B';
    if ((tag[0] != 'B' && tag[0] != 'I') || tag[1] != '-') return NULL;
    return tag + 2;
}

static void add_entities(struct berth_str *out, const struct berth_task *task, const struct cli_answer *a,
                         const int32_t *best) {
    const char *open = NULL; /* type of the entity that is being read */
    size_t first = 0;
    bool comma = false;
    for (size_t w = 0; w <= a->word_count; w++) {
        bool begins = false;
        const char *type = w < a->word_count ? entity_type(tag_name(task, best[w]), &begins) : NULL;
        bool goes_on = open && type && !begins && strcmp(open, type) == 0;
        if (goes_on) continue;
        if (open) {
            add_entity(out, a, open, first, w - 1, comma);
            comma = true;
        }
        open = type;
        first = w;
    }
}

void cli_answer_json(struct berth_str *out, const struct cli_model *m, const bool *wanted,
                     const struct cli_answer *a) {
    size_t at = 0;
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
        size_t slots = cli_answer_slots(m, i, a);
        const struct berth_task *task = &m->tasks[i];
        if (wanted[i]) {
            if (!first) berth_str_add(out, ", ");
            first = false;
            berth_str_add_json(out, task->name);
            if (task->kind == BERTH_TASK_CLASSIFICATION) {
                berth_str_add(out, ": {\"label\": ");
                berth_str_add_json(out, task->labels.names[a->best[at]]);
                berth_str_addf(out, ", \"probability\": %.6g}", (double)a->probability[at]);
            } else {
                berth_str_add(out, ": {\"tags\": [");
                for (size_t w = 0; w < slots; w++) {
                    if (w > 0) berth_str_add(out, ", ");
                    berth_str_add_json(out, tag_name(task, a->best[at + w]));
                }
                berth_str_add(out, "], \"entities\": [");
                add_entities(out, task, a, a->best + at);
                berth_str_add(out, "]}");
            }
        }
        at += slots;
    }
    berth_str_add(out, "}}\n");
}
