/* read_seqfiles.c: a folder of three files that belong together line by line (the form of SNIPS and ATIS):
 *
 *     seq.in   book a table for two        words, split at any run of white space
 *     seq.out  O O O O B-people            one tag a word; read only where a tagging task asks
 *     label    BookRestaurant              one label a row; read only where a classification task asks
 */
#include "data/data_priv.h"

#include <stdlib.h>
#include <string.h>

struct seqfiles_state {
    size_t tags, label; /* index among the files; 0: not read (file 0 is seq.in) */
};

static berth_status seqfiles_check(struct source_spec *spec) {
    for (size_t i = 0; i < spec->label_count; i++) {
        const struct label_spec *label = &spec->labels[i];
        const char *expected = label->kind == BERTH_TASK_TAGGING ? "seq.out" : "label";
        if (strcmp(label->column.name, expected) != 0)
            return berth_config_fail(spec->config, label->column.key,
                                     "found '%s', expected '%s', which is what a %s task reads of seqfiles",
                                     label->column.name, expected, berth_task_kind_name(label->kind));
    }
    spec->by_words = true;
    return BERTH_OK;
}

static bool wants(const struct source_spec *spec, enum berth_task_kind kind) {
    for (size_t i = 0; i < spec->label_count; i++)
        if (spec->labels[i].kind == kind) return true;
    return false;
}

static size_t seqfiles_members(const struct source_spec *spec, const char *names[READER_MAX_FILES]) {
    size_t count = 0;
    names[count++] = "seq.in";
    if (wants(spec, BERTH_TASK_TAGGING)) names[count++] = "seq.out";
    if (wants(spec, BERTH_TASK_CLASSIFICATION)) names[count++] = "label";
    return count;
}

static berth_status seqfiles_open(struct reader *r) {
    struct seqfiles_state *s = NULL;
    BERTH_TRY(berth_calloc(&s, 1, sizeof *s));
    r->state = s;
    if (wants(r->spec, BERTH_TASK_TAGGING)) s->tags = 1;
    if (wants(r->spec, BERTH_TASK_CLASSIFICATION)) s->label = s->tags + 1;
    return BERTH_OK;
}

/* Joins the words of a line by single spaces, in place; returns how many there are. */
static int64_t join_words(struct line_cursor *l) {
    struct word_cursor w = {.text = l->text, .size = l->length};
    int64_t words = 0;
    size_t to = 0;
    while (word_next(&w)) {
        if (words++ > 0) l->text[to++] = ' ';
        memmove(l->text + to, l->text + w.start, w.end - w.start);
        to += w.end - w.start;
    }
    l->text[to] = 0;
    l->length = to;
    return words;
}

static berth_status seqfiles_next(struct reader *r, bool *more) {
    const struct seqfiles_state *s = r->state;
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
    int64_t words = join_words(&r->lines[0]);
    r->row.line = r->lines[0].line;
    r->row.text = r->lines[0].text;
    r->row.text_pair = NULL;
    r->row.pre_split = true;
    if (s->tags) {
        int64_t tags = join_words(&r->lines[s->tags]);
        if (tags != words)
            BERTH_FAIL(BERTH_E_FORMAT, "%s:%lld: found %lld tag%s, expected %lld (words of seq.in)",
                       r->files[s->tags].path, (long long)r->row.line, (long long)tags, tags == 1 ? "" : "s",
                       (long long)words);
    }
    const char *label = s->label ? reader_trim(r->lines[s->label].text) : NULL;
    for (size_t i = 0; i < r->row.label_count; i++)
        r->row.labels[i] = r->spec->labels[i].kind == BERTH_TASK_TAGGING ? r->lines[s->tags].text : label;
    return BERTH_OK;
}

const struct reader_format reader_seqfiles = {.name = "seqfiles",
                                              .check = seqfiles_check,
                                              .members = seqfiles_members,
                                              .open = seqfiles_open,
                                              .next = seqfiles_next};
