/* read_conll.c: a word a line with its tags in columns, an empty line behind each sentence.
 *
 *     # intent: BookFlight          labels of the sentence, by key
 *     fly     VB   O
 *     to      TO   O
 *     Rome    NNP  B-city
 *
 * Columns lie between runs of spaces and tabs, or at each tab where the source says `delimiter: tab` (then a
 * word may hold spaces, and an empty tag is missing). Every line has as many as the first. A line "-DOCSTART-
 * ..." parts documents and ends the sentence.
 *
 * In front of a sentence's first word a line that begins with '#' is a comment where it reads "# KEY: value" or
 * "# KEY = value", or where it is not built as the first line of words is: another number of columns, or tabs
 * in one of them alone. So the word "#" stays a word, and where tabs part the columns so does "#news:", a '#'
 * that no space follows; parted by spaces such a line is a comment.
 */
#include "data/data_priv.h"

#include <stdlib.h>
#include <string.h>

struct conll_column {
    const char *text;
    size_t size;
};

struct conll_state {
    char delimiter;             /* 0: runs of white space */
    size_t columns;             /* of a line of words; 0: not known yet */
    bool tabs;                  /* the first line of words has some */
    struct conll_column *cells; /* of the line at hand */
    size_t cell_count, cell_capacity;
    /* of the sentence; [field_count] */
    struct berth_str *values; /* words and tags as lists, labels of comments as texts */
    bool *has_value;
};

static berth_status conll_check(struct source_spec *spec) {
    for (size_t i = 0; i < FIELD_OF_LABELS + spec->label_count; i++) {
        const struct column *column = spec_column(spec, i);
        const struct label_spec *label = i < FIELD_OF_LABELS ? NULL : &spec->labels[i - FIELD_OF_LABELS];
        if (!column || (label && label->from_comment)) continue;
        if (i == FIELD_OF_PAIR || i == FIELD_OF_NEGATIVE)
            return spec_fail(spec, column->key, "format conll has one text a sentence: leave this key out");
        if (label && label->kind != BERTH_TASK_TAGGING)
            return spec_fail(
                spec, column->key,
                "found a column, but a %s task has one label a sentence, which conll files carry in "
                "comment lines: `comment: KEY` reads '# KEY: label'",
                berth_task_kind_name(label->kind));
        if (column->number < 0)
            return spec_fail(spec, column->key, "found the name '%s', expected a column's number from 0",
                             column->name);
    }
    return BERTH_OK;
}

/* Cuts a line into columns. */
static berth_status split(struct conll_state *s, const char *text, size_t size) {
    const char *at = text, *end = text + size;
    s->cell_count = 0;
    for (;;) {
        if (!s->delimiter)
            while (at < end && (*at == ' ' || *at == '\t'))
                at++;
        if (!s->delimiter && at == end) return BERTH_OK;
        const char *stop = at;
        while (stop < end && (s->delimiter ? *stop != s->delimiter : *stop != ' ' && *stop != '\t'))
            stop++;
        if (s->cell_count == s->cell_capacity)
            BERTH_TRY(berth_grow(&s->cells, &s->cell_capacity, s->cell_count + 1, sizeof *s->cells));
        s->cells[s->cell_count++] = (struct conll_column){at, (size_t)(stop - at)};
        if (stop == end) return BERTH_OK;
        at = stop + 1;
    }
}

static bool is_blank(const struct line_cursor *l) {
    return strspn(l->text, " \t") == l->length;
}

/* "# KEY: value" or "# KEY = value". */
static bool parse_comment(const struct line_cursor *l, struct conll_column *key, struct conll_column *value) {
    const char *at = l->text + 1, *end = l->text + l->length;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    key->text = at;
    while (at < end && *at != ' ' && *at != '\t' && *at != ':' && *at != '=')
        at++;
    key->size = (size_t)(at - key->text);
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    if (key->size == 0 || at == end || (*at != ':' && *at != '=')) return false;
    at++;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    while (end > at && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *value = (struct conll_column){at, (size_t)(end - at)};
    return true;
}

static berth_status take_comment(struct reader *r, const struct line_cursor *l, const struct conll_column *key,
                                 const struct conll_column *value) {
    struct conll_state *s = r->state;
    for (size_t i = FIELD_OF_LABELS; i < r->field_count; i++) {
        const struct label_spec *label = &r->spec->labels[i - FIELD_OF_LABELS];
        const char *name = label->column.name;
        if (!label->from_comment || strlen(name) != key->size || memcmp(name, key->text, key->size) != 0)
            continue;
        if (s->has_value[i])
            BERTH_FAIL(BERTH_E_FORMAT,
                       "%s:%lld: found the comment '%s' twice for one sentence, expected it once",
                       r->files[0].path, (long long)l->line, name);
        berth_str_addn(&s->values[i], value->text, value->size);
        s->has_value[i] = true;
    }
    return BERTH_OK;
}

/* The columns of the file's first line of words, so that comments in front of it can be told. */
static berth_status find_columns(struct reader *r) {
    struct conll_state *s = r->state;
    struct line_cursor look;
    berth_status status = BERTH_OK;
    bool more = true;
    if (r->files[0].piped) return BERTH_OK; /* it cannot be read twice: there all such lines are comments */
    BERTH_TRY_OUT(line_cursor_init(&look, &r->files[0], r->spec->encoding));
    while (s->columns == 0) {
        BERTH_TRY_OUT(line_next(&look, &more));
        if (!more) break;
        if (is_blank(&look) || look.text[0] == '#' || strncmp(look.text, "-DOCSTART-", 10) == 0) continue;
        BERTH_TRY_OUT(split(s, look.text, look.length));
        s->columns = s->cell_count;
        s->tabs = memchr(look.text, '\t', look.length) != NULL;
    }
out:
    line_cursor_deinit(&look);
    return status;
}

static berth_status conll_open(struct reader *r) {
    struct conll_state *s = NULL;
    BERTH_TRY(berth_calloc(&s, 1, sizeof *s));
    r->state = s;
    s->delimiter = r->spec->delimiter ? r->spec->delimiter[0] : 0;
    BERTH_TRY(berth_calloc(&s->values, r->field_count, sizeof *s->values));
    BERTH_TRY(berth_calloc(&s->has_value, r->field_count, sizeof *s->has_value));
    return find_columns(r);
}

static void conll_close(struct reader *r) {
    struct conll_state *s = r->state;
    for (size_t i = 0; s->values && i < r->field_count; i++)
        berth_str_deinit(&s->values[i]);
    free(s->values);
    free(s->has_value);
    free(s->cells);
}

/* A line of words: the word and its tags go to the ends of their lists. */
static berth_status take_word(struct reader *r, const struct line_cursor *l) {
    struct conll_state *s = r->state;
    static const char end[] = {BERTH_LIST_END};
    if (s->columns == 0) s->columns = s->cell_count;
    if (s->cell_count != s->columns)
        BERTH_FAIL(BERTH_E_FORMAT, "%s:%lld: found %zu column%s, expected %zu", r->files[0].path,
                   (long long)l->line, s->cell_count, s->cell_count == 1 ? "" : "s", s->columns);
    for (size_t i = 0; i < r->field_count; i++) {
        const struct column *column = spec_column(r->spec, i);
        if (!column || column->number < 0) continue; /* by name: a comment's */
        if ((size_t)column->number >= s->columns)
            BERTH_FAIL(BERTH_E_FORMAT,
                       "%s:%lld: found %zu column%s, expected at least %lld for column %lld (%s)",
                       r->files[0].path, (long long)l->line, s->columns, s->columns == 1 ? "" : "s",
                       (long long)column->number + 1, (long long)column->number, column->key);
        const struct conll_column *cell = &s->cells[column->number];
        if (memchr(cell->text, BERTH_LIST_END, cell->size))
            BERTH_FAIL(BERTH_E_FORMAT,
                       "%s:%lld: found the character U+001F in a column, expected text without it",
                       r->files[0].path, (long long)l->line);
        if (i == FIELD_OF_TEXT && cell->size == 0)
            BERTH_FAIL(BERTH_E_FORMAT, "%s:%lld: found an empty word, expected one in column %lld",
                       r->files[0].path, (long long)l->line, (long long)column->number);
        berth_str_addn(&s->values[i], cell->text, cell->size);
        berth_str_addn(&s->values[i], end, 1);
        s->has_value[i] = s->has_value[i] || cell->size > 0;
    }
    return BERTH_OK;
}

/* Comment lines in front of a sentence; *is_word false when the line was one. */
static berth_status look_at_comment(struct reader *r, const struct line_cursor *l, bool *is_word) {
    struct conll_state *s = r->state;
    struct conll_column key, value;
    *is_word = l->text[0] != '#';
    if (*is_word) return BERTH_OK;
    bool tabs = memchr(l->text, '\t', l->length) != NULL;
    bool fits = s->columns != 0 && s->cell_count == s->columns && tabs == s->tabs;
    *is_word = fits && tabs && l->text[1] != ' ' && l->text[1] != '\t'; /* "#news:", a tab and its tag */
    if (*is_word) return BERTH_OK;
    if (parse_comment(l, &key, &value)) return take_comment(r, l, &key, &value);
    *is_word = fits;
    return BERTH_OK;
}

static void begin_sentence(struct reader *r) {
    struct conll_state *s = r->state;
    for (size_t i = 0; i < r->field_count; i++) {
        berth_str_reset(&s->values[i]);
        berth_str_add(&s->values[i], "");
        s->has_value[i] = false;
    }
}

static berth_status give_row(struct reader *r) {
    struct conll_state *s = r->state;
    for (size_t i = 0; i < r->field_count; i++) {
        if (s->values[i].failed) BERTH_FAIL(BERTH_E_MEMORY, "out of memory");
        if (!s->has_value[i]) continue; /* a tagging field without any tag is missing whole */
        field_set(&r->fields[i], s->values[i].data, s->values[i].length);
        bool comment = i >= FIELD_OF_LABELS && r->spec->labels[i - FIELD_OF_LABELS].from_comment;
        if (!comment) r->fields[i].kind = FIELD_LIST;
    }
    return BERTH_OK;
}

static berth_status conll_next(struct reader *r, bool *more) {
    struct conll_state *s = r->state;
    struct line_cursor *l = &r->lines[0];
    bool here = true, in_sentence = false, is_word = true;
    begin_sentence(r);
    for (;;) {
        BERTH_TRY(line_next(l, &here));
        if (!here || is_blank(l)) {
            if (in_sentence || !here) break;
            begin_sentence(r); /* comments that stand alone belong to no sentence */
            continue;
        }
        BERTH_TRY(split(s, l->text, l->length));
        if (s->cells[0].size == 10 && memcmp(s->cells[0].text, "-DOCSTART-", 10) == 0) {
            if (in_sentence) break;
            begin_sentence(r);
            continue;
        }
        if (!in_sentence) BERTH_TRY(look_at_comment(r, l, &is_word));
        if (!is_word) continue;
        BERTH_TRY(take_word(r, l));
        if (!in_sentence) r->line = l->line;
        in_sentence = true;
    }
    *more = in_sentence;
    return in_sentence ? give_row(r) : BERTH_OK;
}

const struct reader_format reader_conll = {.name = "conll",
                                           .has_columns = true,
                                           .has_delimiter = true,
                                           .has_comments = true,
                                           .check = conll_check,
                                           .open = conll_open,
                                           .next = conll_next,
                                           .close = conll_close};
