/* texts.c: the texts of a file, or of standard input, through the readers of training files, without labels. */
#include "data/data_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct berth_texts {
    struct source_spec spec;
    struct text_file files[READER_MAX_FILES];
    size_t file_count;
    struct reader reader;
    bool own_fd;
};

/* Digits are a column's number, where the format has columns by number. */
static void set_column(struct column *c, const char *key, const char *text, bool by_name) {
    c->key = key;
    c->name = text;
    if (by_name || strspn(text, "0123456789") != strlen(text) || !berth_parse_int64(text, &c->number))
        c->number = -1;
}

static berth_status fail_option(const struct source_spec *spec, const char *option, const char *has) {
    BERTH_FAIL(BERTH_E_USAGE, "%s: format %s has %s", option, spec->format->name, has);
}

/* The columns to keep, as labels of no task. In conll a number is a column of the words, a name a comment's
 * key; of seqfiles there are seq.out and label. */
static berth_status keep_columns(struct source_spec *spec, const struct berth_texts_options *o, bool by_name) {
    const bool conll = spec->format->has_comments, seqfiles = spec->format->members != NULL;
    if (o->keep_count == 0) return BERTH_OK;
    if (!spec->format->has_columns && !conll && !seqfiles)
        return fail_option(spec, "--keep", "no columns beside the text");
    BERTH_TRY(berth_calloc(&spec->labels, o->keep_count, sizeof *spec->labels));
    spec->label_count = o->keep_count;
    for (size_t i = 0; i < o->keep_count; i++) {
        struct label_spec *label = &spec->labels[i];
        label->kept = true;
        label->scheme = label->convert_to = BERTH_TAG_SCHEME_COUNT;
        set_column(&label->column, "--keep", o->keep[i], by_name);
        const bool of_words = conll ? label->column.number >= 0 : strcmp(o->keep[i], "seq.out") == 0;
        label->kind = (conll || seqfiles) && of_words ? BERTH_TASK_TAGGING : BERTH_TASK_CLASSIFICATION;
        label->from_comment = conll && !of_words;
    }
    return BERTH_OK;
}

static berth_status make_spec(struct source_spec *spec, const struct berth_texts_options *o) {
    const char *format = o->format ? o->format : "text";
    spec->name = "";
    spec->separator = ",";
    spec->keep_empty = true;
    spec->format = reader_find(format);
    if (!spec->format)
        BERTH_FAIL(BERTH_E_USAGE,
                   "--input: found '%s', expected one of tsv, csv, jsonl, conll, seqfiles, lines, text",
                   format);
    bool by_name = spec->format->has_lists; /* jsonl */
    if (!spec->format->has_columns && o->text) return fail_option(spec, "--column", "no columns");
    if (!spec->format->has_columns && o->text_pair) return fail_option(spec, "--pair-column", "no columns");
    if (!spec->format->has_delimiter && o->delimiter)
        return fail_option(spec, "--delimiter", "no delimiter to choose");
    spec->header = spec->format->has_header && !o->no_header;
    if (spec->format->has_columns) {
        set_column(&spec->text, "--column", o->text ? o->text : by_name ? "text" : "0", by_name);
        spec->has_pair = o->text_pair != NULL;
        if (spec->has_pair) set_column(&spec->text_pair, "--pair-column", o->text_pair, by_name);
    }
    BERTH_TRY(keep_columns(spec, o, by_name));
    if (o->delimiter) BERTH_TRY(spec_set_delimiter(spec, "--delimiter", o->delimiter));
    if (!spec_set_encoding(spec, o->encoding ? o->encoding : "strict"))
        BERTH_FAIL(BERTH_E_USAGE, "--encoding: found '%s', expected strict, replace or windows-1252",
                   o->encoding);
    return spec->format->check(spec);
}

/* A file is mapped; what cannot be (a pipe, a terminal) is read as it comes. */
static berth_status open_file(struct berth_texts *t, const char *path) {
    struct text_file *file = &t->files[0];
    struct stat st;
    bool input = !path || strcmp(path, "-") == 0;
    t->file_count = 1;
    BERTH_TRY(berth_strdup(&file->path, input ? "standard input" : path));
    if (!input && stat(path, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
        return berth_file_map(&file->map, path); /* a folder is refused there */
    file->piped = true;
    file->fd = STDIN_FILENO;
    if (input) return BERTH_OK;
    file->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (file->fd < 0) BERTH_FAIL(BERTH_E_IO, "%s: cannot be opened: %s", path, strerror(errno));
    t->own_fd = true;
    return BERTH_OK;
}

berth_status berth_texts_open(struct berth_texts **out, const char *path,
                              const struct berth_texts_options *options) {
    berth_status status = BERTH_OK;
    struct berth_texts *t = NULL;
    *out = NULL;
    BERTH_TRY(berth_calloc(&t, 1, sizeof *t));
    BERTH_TRY_OUT(make_spec(&t->spec, options));
    if (t->spec.format->members)
        BERTH_TRY_OUT(reader_map_files(t->files, &t->file_count, &t->spec, path ? path : "-"));
    else
        BERTH_TRY_OUT(open_file(t, path));
    BERTH_TRY_OUT(reader_open(&t->reader, &t->spec, t->files, t->file_count));
    *out = t;
    t = NULL;
out:
    berth_texts_close(t);
    return status;
}

berth_status berth_texts_next(struct berth_texts *t, const struct berth_row **row) {
    bool more = false;
    *row = NULL;
    BERTH_TRY(reader_next(&t->reader, &more));
    if (more) *row = &t->reader.row;
    return BERTH_OK;
}

bool berth_texts_ready(const struct berth_texts *t) {
    return line_is_ready(&t->reader.lines[0]);
}

int64_t berth_texts_replaced(const struct berth_texts *t) {
    return t->reader.lines[0].replaced;
}

void berth_texts_close(struct berth_texts *t) {
    if (!t) return;
    if (t->reader.spec) reader_close(&t->reader);
    if (t->own_fd) close(t->files[0].fd);
    for (size_t i = 0; i < READER_MAX_FILES; i++)
        reader_unmap_file(&t->files[i]);
    free(t->spec.labels);
    free(t);
}
