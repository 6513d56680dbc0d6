/* read_lines.c: "LABEL text", one row a line: the label is all up to the first space or tab. */
#include "data/data_priv.h"

#include <string.h>

static berth_status lines_check(struct source_spec *spec) {
    for (size_t i = 0; i < spec->label_count; i++) {
        const struct label_spec *label = &spec->labels[i];
        if (label->kind == BERTH_TASK_TAGGING)
            return berth_config_fail(spec->config, label->column.key,
                                     "format lines holds one label a row, no tags: a tagging task needs "
                                     "seqfiles or tsv");
        if (strcmp(label->column.name, "label") != 0)
            return berth_config_fail(spec->config, label->column.key,
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
    r->row.line = l->line;
    r->row.text = l->text + label + 1;
    r->row.text_pair = NULL;
    r->row.pre_split = false;
    for (size_t i = 0; i < r->row.label_count; i++)
        r->row.labels[i] = l->text;
    return BERTH_OK;
}

const struct reader_format reader_lines = {.name = "lines", .check = lines_check, .next = lines_next};
