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

/* "# NAME: answer", and with all probabilities "# NAME.probability: 0.98": the cells of the TSV line. */
static void add_answer(struct berth_str *out, const struct predict_style *style, const struct predict_row *r,
                       int head) {
    struct berth_str cells;
    berth_str_init(&cells);
    predict_cells(&cells, style, r, head);
    const char *text = cells.length > 0 ? cells.data : "", *name = style->m->tasks[head].name;
    const size_t first = strcspn(text, "\t");
    berth_str_addf(out, "# %s: %.*s\n", name, (int)first, text);
    if (style->all && style->m->tasks[head].kind == BERTH_TASK_CLASSIFICATION) {
        text += first + 1;
        berth_str_addf(out, "# %s.probability: %.*s\n", name, (int)strcspn(text, "\t"), text);
    }
    out->failed = out->failed || cells.failed;
    berth_str_deinit(&cells);
}

static void add_comments(struct berth_str *out, const struct predict_style *style,
                         const struct predict_row *r) {
    for (size_t i = 0; i < style->keep_count; i++) {
        const char *text = r->row->row.labels[i];
        if (!text || style->columns[i] == PREDICT_COLUMN_WORDS) continue;
        berth_str_addf(out, "# %s: ", style->keep[i]);
        cli_add_cell(out, text, strlen(text));
        berth_str_add(out, "\n");
    }
    for (int i = 0; i < style->m->model->head_count; i++) {
        const struct berth_task *task = &style->m->tasks[i];
        if (!style->wanted[i] || task->kind == BERTH_TASK_TAGGING || r->said[i].count == 0) continue;
        add_answer(out, style, r, i);
    }
}

void predict_conll(struct berth_str *out, const struct predict_style *style, const struct predict_row *r) {
    const char *kept[CLI_MOST_KEPT];
    size_t lists = 0;
    add_comments(out, style, r);
    for (size_t i = 0; i < style->keep_count; i++) {
        const char *text = r->row->row.labels[i];
        if (style->columns[i] == PREDICT_COLUMN_WORDS) kept[lists++] = text ? text : "";
    }
    int64_t item = 0;
    for (size_t w = 0; w < r->added.word_count; w++) {
        const struct berth_word_span *word = &r->added.words[w];
        const bool has_item = word->token >= 0;
        if (word->end > word->start)
            cli_add_cell(out, r->row->row.text + word->start, (size_t)(word->end - word->start));
        else
            berth_str_add(out, "_");
        for (size_t i = 0; i < lists; i++) {
            const char *text = NULL;
            size_t n = next_item(&kept[i], &text);
            berth_str_add(out, "\t");
            cli_add_cell(out, n > 0 ? text : "_", n > 0 ? n : 1);
        }
        for (int h = 0; h < style->m->model->head_count; h++) {
            const struct cli_said *said = &r->said[h];
            if (!style->wanted[h] || !said->tags) continue;
            berth_str_add(out, "\t");
            cli_add_cell(out, said->tags[w], strlen(said->tags[w]));
            if (style->all && has_item) berth_str_addf(out, "\t%.4f", (double)said->score[item]);
            if (style->all && !has_item) berth_str_add(out, "\t-");
        }
        item += has_item;
        berth_str_add(out, "\n");
    }
    berth_str_add(out, "\n");
}
