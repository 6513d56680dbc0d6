/* read_lines.c: one row a line, without columns.
 *
 *     lines  "LABEL text": the label is all up to the first space or tab
 *     text   the text alone; lines without a word part documents and are no rows
 */
#include "data/data_priv.h"

#include <string.h>

static berth_status lines_check(struct source_spec *spec) {
    for (size_t i = 0; i < spec->label_count; i++) {
        const struct label_spec *label = &spec->labels[i];
        if (label->kind == BERTH_TASK_TAGGING)
            return spec_fail(
                spec, label->column.key,
                "format lines holds one label a row, no tags: a tagging task needs conll, seqfiles, "
                "tsv, csv or jsonl");
        if (label->column.name && strcmp(label->column.name, "label") != 0)
            return spec_fail(spec, label->column.key,
                             "found '%s', expected 'label', the only one that format lines holds",
                             label->column.name);
    }
    return BERTH_OK;
}

static berth_status lines_next(struct reader *r, bool *more) {
    struct line_cursor *l = &r->lines[0];
    BERTH_TRY(line_next(l, more));
    if (!*more) return BERTH_OK;
    size_t label = strcspn(l->text, " \t");
    if (label == 0 || l->text[label] == 0)
        BERTH_FAIL(BERTH_E_FORMAT, "%s:%lld: found %s, expected a label, a space and the text",
                   r->files[0].path, (long long)l->line,
                   l->length == 0 ? "an empty line"
                   : label == 0   ? "no label in front of the first space"
                                  : "no space");
    l->text[label] = 0;
    r->line = l->line;
    field_set(&r->fields[FIELD_OF_TEXT], l->text + label + 1, l->length - label - 1);
    for (size_t i = FIELD_OF_LABELS; i < r->field_count; i++)
        field_set(&r->fields[i], l->text, label);
    return BERTH_OK;
}

const struct reader_format reader_lines = {.name = "lines", .check = lines_check, .next = lines_next};

static berth_status text_check(struct source_spec *spec) {
    for (size_t i = 0; i < spec->label_count; i++)
        if (kind_has_label(spec->labels[i].kind))
            return spec_fail(spec, spec->labels[i].column.key,
                             "format text holds no labels: only an mlm task can read source '%s'", spec->name);
    return BERTH_OK;
}

static berth_status text_next(struct reader *r, bool *more) {
    struct line_cursor *l = &r->lines[0];
    do {
        BERTH_TRY(line_next(l, more));
        if (!*more) return BERTH_OK;
    } while (!r->spec->keep_empty && word_total(l->text, l->length, false) == 0);
    r->line = l->line;
    field_set(&r->fields[FIELD_OF_TEXT], l->text, l->length);
    return BERTH_OK;
}

const struct reader_format reader_text = {.name = "text", .check = text_check, .next = text_next};
