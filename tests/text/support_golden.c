/* support_golden.c: golden rows against the tokenizer. */
#include "text/support_golden.h"

#include <stdio.h>

enum { MAX_IDS = 4096 };

struct checker {
    golden_lookup *lookup;
    void *user;
    struct golden_counts counts;
};

void golden_each_row(const char *file, void (*visit)(struct golden_row *, void *), void *user) {
    char name[128];
    snprintf(name, sizeof name, "tests/golden/%s", file);
    char *path = text_source_path(name);
    size_t size = 0;
    char *text = text_read(path, &size), *rest = text, *line = NULL;
    for (int number = 1; (line = strsep(&rest, "\n")) != NULL; number++) {
        struct golden_row row = {.file = file, .line = number};
        if (line[0] == '#' || line[0] == '\0') continue;
        for (size_t i = 0; i < GOLDEN_FIELDS && line != NULL; i++)
            row.fields[i] = strsep(&line, "\t");
        visit(&row, user);
    }
    free(text);
    free(path);
}

static void compare(const struct golden_row *row, const char *what, const int32_t *got, size_t count,
                    const char *text) {
    int32_t want[MAX_IDS];
    size_t wanted = text_numbers(text, want, MAX_IDS);
    for (size_t i = 0; i < count && i < wanted; i++)
        if (got[i] != want[i])
            fail_msg("%s:%d: %s %zu is %d, expected %d (%s)", row->file, row->line, what, i, got[i], want[i],
                     row->fields[1]);
    if (count != wanted)
        fail_msg("%s:%d: %zu %s, expected %zu (%s)", row->file, row->line, count, what, wanted, row->fields[1]);
}

static void check_text(const struct berth_tokenizer *t, struct golden_row *row) {
    size_t size = text_unescape(row->fields[2]);
    char *exact = malloc(size + 1); /* a copy that ends where the text ends, for the sanitizer */
    assert_non_null(exact);
    memcpy(exact, row->fields[2], size);
    exact = realloc(exact, size > 0 ? size : 1);
    struct berth_encoding e;
    berth_encoding_init(&e);
    if (strcmp(row->fields[0], "word") == 0) {
        assert_done(berth_tokenizer_encode_word(t, &e, exact, size, 0));
    } else {
        assert_done(berth_tokenizer_encode(t, &e, exact, size));
    }
    compare(row, "ids", e.ids, e.count, row->fields[3]);
    compare(row, "starts", e.start, e.count, row->fields[4]);
    compare(row, "ends", e.end, e.count, row->fields[5]);
    compare(row, "words", e.word, e.count, row->fields[6]);
    berth_encoding_deinit(&e);
    free(exact);
}

static void check_decode(const struct berth_tokenizer *t, struct golden_row *row, bool skip_special) {
    int32_t ids[MAX_IDS];
    size_t count = text_numbers(row->fields[3], ids, MAX_IDS), size = text_unescape(row->fields[2]);
    struct berth_str out;
    berth_str_init(&out);
    assert_done(berth_tokenizer_decode(t, &out, ids, count, skip_special));
    if (out.length != size || (size > 0 && memcmp(out.data, row->fields[2], size) != 0))
        fail_msg("%s:%d: decoded to '%s', expected '%s'", row->file, row->line, out.data, row->fields[2]);
    berth_str_deinit(&out);
}

static void check(struct golden_row *row, void *user) {
    struct checker *c = user;
    const char *kind = row->fields[0];
    if (strcmp(kind, "text") == 0 || strcmp(kind, "word") == 0) {
        check_text(c->lookup(c->user, row->fields[1]), row);
        c->counts.texts++;
    } else if (strcmp(kind, "decode") == 0 || strcmp(kind, "skip") == 0) {
        check_decode(c->lookup(c->user, row->fields[1]), row, kind[0] == 's');
        c->counts.decoded++;
    }
}

struct golden_counts golden_check_rows(const char *file, golden_lookup *lookup, void *user) {
    struct checker c = {.lookup = lookup, .user = user};
    golden_each_row(file, check, &c);
    return c.counts;
}
