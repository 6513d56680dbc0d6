/* read_seqfiles.c: a folder of three files that belong together line by line (the form of SNIPS and ATIS):
 *
 *     seq.in   book a table for two        words, split at any run of white space
 *     seq.out  O O O O B-people            one tag a word; read only where a tagging task asks
 *     label    BookRestaurant              one label a row; read only where another task asks
 */
#include "data/data_priv.h"

#include <stdlib.h>
#include <string.h>

struct seqfiles_state {
    size_t tags, label;     /* index among the files; 0: not read (file 0 is seq.in) */
    struct berth_str words; /* of seq.in, as a list */
};

static berth_status seqfiles_check(struct source_spec *spec) {
    for (size_t i = 0; i < spec->label_count; i++) {
        const struct label_spec *label = &spec->labels[i];
        if (!label->column.name) continue;
        const char *expected = label->kind == BERTH_TASK_TAGGING ? "seq.out" : "label";
        if (strcmp(label->column.name, expected) != 0)
            return spec_fail(spec, label->column.key,
                             "found '%s', expected '%s', which is what a %s task reads of seqfiles",
                             label->column.name, expected, berth_task_kind_name(label->kind));
    }
    spec->text.name = "seq.in"; /* for messages */
    spec->text.number = -1;
    spec->by_words = true;
    return BERTH_OK;
}

static bool wants(const struct source_spec *spec, bool tags) {
    for (size_t i = 0; i < spec->label_count; i++)
        if (spec->labels[i].column.name && (spec->labels[i].kind == BERTH_TASK_TAGGING) == tags) return true;
    return false;
}

static size_t seqfiles_members(const struct source_spec *spec, const char *names[READER_MAX_FILES]) {
    size_t count = 0;
    names[count++] = "seq.in";
    if (wants(spec, true)) names[count++] = "seq.out";
    if (wants(spec, false)) names[count++] = "label";
    return count;
}

static berth_status seqfiles_open(struct reader *r) {
    struct seqfiles_state *s = NULL;
    BERTH_TRY(berth_calloc(&s, 1, sizeof *s));
    r->state = s;
    berth_str_init(&s->words);
    if (wants(r->spec, true)) s->tags = 1;
    if (wants(r->spec, false)) s->label = s->tags + 1;
    return BERTH_OK;
}

static berth_status seqfiles_next(struct reader *r, bool *more) {
    struct seqfiles_state *s = r->state;
    BERTH_TRY(line_next(&r->lines[0], more));
    for (size_t i = 1; i < r->file_count; i++) {
        bool here = false;
        int64_t line = r->lines[i].line + 1;
        BERTH_TRY(line_next(&r->lines[i], &here));
        if (here == *more) continue;
        BERTH_FAIL(BERTH_E_FORMAT, "%s:%lld: found %s, expected %s as in seq.in", r->files[i].path,
                   (long long)line, here ? "a further line" : "the end of the file",
                   here ? "the end of the file" : "a further line");
    }
    if (!*more) return BERTH_OK;
    r->line = r->lines[0].line;
    BERTH_TRY(field_set_words(&r->fields[FIELD_OF_TEXT], &s->words, r->lines[0].text, r->lines[0].length));
    for (size_t i = 0; i < r->spec->label_count; i++) {
        if (!r->spec->labels[i].column.name) continue;
        size_t file = r->spec->labels[i].kind == BERTH_TASK_TAGGING ? s->tags : s->label;
        field_set(&r->fields[FIELD_OF_LABELS + i], r->lines[file].text, r->lines[file].length);
        r->fields[FIELD_OF_LABELS + i].file = file;
    }
    return BERTH_OK;
}

static void seqfiles_close(struct reader *r) {
    struct seqfiles_state *s = r->state;
    berth_str_deinit(&s->words);
}

const struct reader_format reader_seqfiles = {.name = "seqfiles",
                                              .check = seqfiles_check,
                                              .members = seqfiles_members,
                                              .open = seqfiles_open,
                                              .next = seqfiles_next,
                                              .close = seqfiles_close};
