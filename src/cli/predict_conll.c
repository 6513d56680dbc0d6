/* predict_conll.c: one row's answers as a sentence of CoNLL lines, which berth reads again.
 *
 *     # intent: BookFlight             sentence-level heads, and kept columns that are texts
 *     fly     VB    O                  the word, kept columns of words, each tagging head's tag
 *     Rome    NNP   B-city
 *                                      an empty line behind each sentence
 *
 * Columns lie between tabs (`delimiter: tab`), so a word may hold spaces. */
#include <string.h>

#include "cli/predict_priv.h"

/* The next item of a list; *list moves behind it. */
static size_t next_item(const char **list, const char **item) {
    size_t n = strcspn(*list, "\x1F");
    *item = *list;
    *list += n + ((*list)[n] != '\0');
    return n;
}

static bool is_list(const char *text) {
    return strchr(text, BERTH_LIST_END) != NULL;
}

static void add_comments(struct berth_str *out, const struct predict_style *style,
                         const struct predict_row *r) {
    for (size_t i = 0; i < style->keep_count; i++) {
        const char *text = r->row->row.labels[i];
        if (!text || is_list(text)) continue;
        berth_str_addf(out, "# %s: ", style->keep[i]);
        predict_cell(out, text, strlen(text));
        berth_str_add(out, "\n");
    }
    for (int i = 0; i < style->m->model->head_count; i++) {
        const struct berth_head *head = &style->m->model->heads[i];
        const struct cli_said *said = &r->said[i];
        if (!style->wanted[i] || head->task.kind == BERTH_TASK_TAGGING || said->count == 0) continue;
        berth_str_addf(out, "# %s: ", head->task.name);
        if (head->task.kind == BERTH_TASK_CLASSIFICATION)
            predict_cell(out, head->task.labels.names[said->label[0]],
                         strlen(head->task.labels.names[said->label[0]]));
        bool first = true;
        for (int64_t k = 0; head->task.kind == BERTH_TASK_MULTILABEL && k < said->width; k++) {
            if (said->scores[k] < berth_head_threshold(head)) continue;
            berth_str_add(out, first ? "" : ",");
            predict_cell(out, head->task.labels.names[k], strlen(head->task.labels.names[k]));
            first = false;
        }
        for (int64_t k = 0; head->task.kind == BERTH_TASK_MLM && k < said->count; k++) {
            const char *text = berth_tokenizer_token(style->m->tokenizer, said->label[k]);
            berth_str_addf(out, "%s%s", k > 0 ? " " : "", text != NULL ? text : "");
        }
        if (!berth_task_kind_has_labels(head->task.kind) && head->task.kind != BERTH_TASK_MLM)
            berth_str_addf(out, "%.6g", (double)said->score[0]);
        berth_str_add(out, "\n");
        if (style->all && head->task.kind == BERTH_TASK_CLASSIFICATION)
            berth_str_addf(out, "# %s.probability: %.4f\n", head->task.name, (double)said->score[0]);
    }
}

void predict_conll(struct berth_str *out, const struct predict_style *style, const struct predict_row *r) {
    const char *kept[CLI_MOST_KEPT];
    size_t lists = 0;
    add_comments(out, style, r);
    for (size_t i = 0; i < style->keep_count; i++) {
        const char *text = r->row->row.labels[i];
        if (text && is_list(text) && lists < CLI_MOST_KEPT) kept[lists++] = text;
    }
    int64_t item = 0;
    for (size_t w = 0; w < r->added.word_count; w++) {
        const struct berth_word_span *word = &r->added.words[w];
        const bool has_item = word->token >= 0;
        if (word->end > word->start)
            predict_cell(out, r->row->row.text + word->start, (size_t)(word->end - word->start));
        else
            berth_str_add(out, "_");
        for (size_t i = 0; i < lists; i++) {
            const char *text = NULL;
            size_t n = next_item(&kept[i], &text);
            berth_str_add(out, "\t");
            predict_cell(out, n > 0 ? text : "_", n > 0 ? n : 1);
        }
        for (int h = 0; h < style->m->model->head_count; h++) {
            const struct cli_said *said = &r->said[h];
            if (!style->wanted[h] || !said->tags) continue;
            berth_str_add(out, "\t");
            predict_cell(out, said->tags[w], strlen(said->tags[w]));
            if (style->all && has_item) berth_str_addf(out, "\t%.4f", (double)said->score[item]);
            if (style->all && !has_item) berth_str_add(out, "\t-");
        }
        item += has_item;
        berth_str_add(out, "\n");
    }
    berth_str_add(out, "\n");
}
