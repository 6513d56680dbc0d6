/* predict_format.c: one line's answers as a TSV or a JSON line.
 *
 *     TSV    intent  0.9912  O O B-city I-city
 *     JSON   {"text": "...", "heads": {"intent": {"label": "flight", "probability": 0.9912},
 *             "slots": {"tags": [...], "entities": [{"type": "city", "text": "new york", "start": 9, "end":
 * 17}]}}}
 *
 * Entities are read off the tags as they are scored, by the rule that src/train/metrics.c states (conlleval's, with
 * the kinds B I E S O; of BIO tags: one begins at B-X, or at an I-X that does not continue an X). start and end
 * count characters (code points) of the text, end excluded. A word behind the cut is tagged
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

/* The type of a tag: what stands behind the first '-', or behind the kind; "_" when nothing does. */
static const char *tag_type(const char *tag) {
    if (tag[0] == '\0') return "_";
    const char *dash = strchr(tag + 1, '-');
    const char *type = dash ? dash + 1 : tag + 1;
    return type[0] != '\0' ? type : "_";
}

static char tag_kind(const char *tag) {
    return tag[0] != '\0' ? tag[0] : 'O';
}

static bool is_one_of(char kind, const char *kinds) {
    return strchr(kinds, kind) != NULL;
}

static bool entity_ends(const char *before, const char *now) {
    char kind = tag_kind(before);
    if (kind == 'O') return false;
    if (is_one_of(kind, "ES") || (is_one_of(kind, "BI") && is_one_of(tag_kind(now), "BSO"))) return true;
    return strcmp(tag_type(before), tag_type(now)) != 0;
}

static bool entity_begins(const char *before, const char *now) {
    char kind = tag_kind(now);
    if (kind == 'O') return false;
    if (is_one_of(kind, "BS") || (is_one_of(kind, "EI") && is_one_of(tag_kind(before), "ESO"))) return true;
    return strcmp(tag_type(before), tag_type(now)) != 0;
}

static void add_entities(struct berth_str *out, const struct berth_task *task, const struct cli_answer *a,
                         const int32_t *best) {
    const char *before = "O";
    size_t first = 0;
    bool comma = false;
    for (size_t w = 0; w <= a->word_count; w++) {
        const char *now = w < a->word_count ? tag_name(task, best[w]) : "O";
        if (entity_ends(before, now)) {
            add_entity(out, a, tag_type(before), first, w - 1, comma);
            comma = true;
        }
        if (entity_begins(before, now)) first = w;
        before = now;
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
