/* read_report.c: what reading tells beside the rows: the tags' scheme, tags that do not fit it, replaced
 * characters.
 *
 * A file that nobody declared is read once, so every scheme is followed at the same time: how often each letter
 * came, and how often a tag stood where the scheme has no place for it, with the first such place. At the end
 * the scheme is told: a tag that is none of B I E S L U with a type, nor O     plain E or S bioes     (L or U:
 * bilou; letters of both: plain) B and I                                                  bio, or iob1 when
 * fewer tags are out of place there B alone: bio     I alone: io
 */
#include "data/data_priv.h"

#include <stdlib.h>
#include <string.h>

#include "berth/json.h"

static const char LETTERS[CENSUS_LETTERS + 1] = "BIESLU?"; /* ?: any other tag but O */
enum { ODD_BIO, ODD_IOB1, ODD_CLOSED };                    /* CLOSED: bioes and bilou */

berth_status read_report_init(struct read_report *r, size_t label_count) {
    memset(r, 0, sizeof *r);
    BERTH_TRY(berth_calloc(&r->tags, label_count, sizeof *r->tags));
    r->label_count = label_count;
    return BERTH_OK;
}

void read_report_deinit(struct read_report *r) {
    for (size_t i = 0; i < r->label_count; i++) {
        for (int k = 0; k < CENSUS_LETTERS; k++)
            free(r->tags[i].letters[k].first);
        for (int k = 0; k < CENSUS_ODD; k++)
            free(r->tags[i].odd[k].first);
    }
    free(r->tags);
    free(r->replaced.first);
    memset(r, 0, sizeof *r);
}

/* ---- counting */

static void add_tag(struct berth_str *s, const char *tag, size_t size, const char *none) {
    if (tag && size > 0)
        berth_str_addn(s, tag, size);
    else
        berth_str_add(s, tag ? "a word without a tag" : none);
}

static berth_status count_at(struct counted *c, const char *path, int64_t line, int64_t word, const char *tag,
                             size_t size, const char *before, size_t before_size) {
    if (c->count++ > 0) return BERTH_OK;
    struct berth_str s;
    berth_str_init(&s);
    berth_str_addf(&s, "%s:%lld: word %lld: ", path, (long long)line, (long long)word + 1);
    add_tag(&s, tag, size, "the end of the sentence");
    berth_str_add(&s, " behind ");
    add_tag(&s, before, before_size, "the beginning of the sentence");
    return berth_str_take(&s, &c->first);
}

struct tag_at {
    const char *text; /* NULL: the beginning or end of the sentence */
    size_t size;
    char letter; /* 'O' outside or missing, '?' none of a scheme */
};

static struct tag_at look_at(const char *text, size_t size) {
    struct tag_at t = {text, size, '?'};
    if (size == 0 || (size == 1 && text[0] == 'O'))
        t.letter = 'O';
    else if ((size == 1 || text[1] == '-') && memchr(LETTERS, text[0], CENSUS_LETTERS - 1))
        t.letter = text[0];
    return t;
}

static bool same_type(const struct tag_at *a, const struct tag_at *b) {
    return a->size == b->size && (a->size < 2 || memcmp(a->text + 1, b->text + 1, a->size - 1) == 0);
}

static bool is_one_of(char letter, const char *letters) {
    return letter != 0 && strchr(letters, letter) != NULL;
}

berth_status read_report_tags(struct read_report *r, size_t label, const char *path, int64_t line,
                              const char *tags) {
    struct tag_census *census = &r->tags[label];
    struct word_cursor w = {.text = tags, .size = strlen(tags), .list = true};
    struct tag_at before = {NULL, 0, 'O'};
    int64_t word = 0;
    for (bool more = true; more; word++) {
        more = word_next(&w);
        struct tag_at now = more ? look_at(tags + w.start, w.end - w.start) : (struct tag_at){NULL, 0, 'O'};
        bool open = is_one_of(before.letter, "BI"), goes_on = is_one_of(now.letter, "IEL");
        bool follows = open && same_type(&before, &now);
        bool odd[CENSUS_ODD];
        odd[ODD_BIO] = now.letter == 'I' && !follows;
        odd[ODD_IOB1] = now.letter == 'B' && !follows;
        odd[ODD_CLOSED] = goes_on ? !follows : open;
        for (int k = 0; k < CENSUS_ODD; k++)
            if (odd[k])
                BERTH_TRY(
                    count_at(&census->odd[k], path, line, word, now.text, now.size, before.text, before.size));
        const char *letter = more ? memchr(LETTERS, now.letter, CENSUS_LETTERS) : NULL;
        if (letter)
            BERTH_TRY(count_at(&census->letters[letter - LETTERS], path, line, word, now.text, now.size,
                               before.text, before.size));
        census->words += more && now.size > 0;
        before = now;
    }
    return BERTH_OK;
}

berth_status read_report_replaced(struct read_report *r, const char *path, int64_t line, int64_t count) {
    struct berth_str s;
    if (count == 0) return BERTH_OK;
    bool first = r->replaced.count == 0;
    r->replaced.count += count;
    if (!first) return BERTH_OK;
    berth_str_init(&s);
    berth_str_addf(&s, "%s:%lld", path, (long long)line);
    return berth_str_take(&s, &r->replaced.first);
}

/* ---- what it says */

static int64_t came(const struct tag_census *c, const char *letters) {
    int64_t total = 0;
    for (int k = 0; k < CENSUS_LETTERS; k++)
        if (is_one_of(LETTERS[k], letters)) total += c->letters[k].count;
    return total;
}

enum berth_tag_scheme tag_census_scheme(const struct tag_census *c) {
    int64_t bioes = came(c, "ES"), bilou = came(c, "LU"), b = came(c, "B"), i = came(c, "I");
    if (came(c, "?") > 0 || (bioes > 0 && bilou > 0)) return BERTH_TAGS_PLAIN;
    if (bioes > 0) return BERTH_TAGS_BIOES;
    if (bilou > 0) return BERTH_TAGS_BILOU;
    if (b == 0) return BERTH_TAGS_IO;
    if (i == 0) return BERTH_TAGS_BIO;
    return c->odd[ODD_IOB1].count < c->odd[ODD_BIO].count ? BERTH_TAGS_IOB1 : BERTH_TAGS_BIO;
}

int64_t tag_census_odd(const struct tag_census *c, enum berth_tag_scheme scheme, const char **first) {
    static const char *const foreign[BERTH_TAG_SCHEME_COUNT] = {
        [BERTH_TAGS_PLAIN] = "",     [BERTH_TAGS_IO] = "BESLU?", [BERTH_TAGS_BIO] = "ESLU?",
        [BERTH_TAGS_IOB1] = "ESLU?", [BERTH_TAGS_BIOES] = "LU?", [BERTH_TAGS_BILOU] = "ES?"};
    const struct counted *odd = scheme == BERTH_TAGS_BIO                                   ? &c->odd[ODD_BIO]
                                : scheme == BERTH_TAGS_IOB1                                ? &c->odd[ODD_IOB1]
                                : scheme == BERTH_TAGS_BIOES || scheme == BERTH_TAGS_BILOU ? &c->odd[ODD_CLOSED]
                                                                                           : NULL;
    int64_t total = odd ? odd->count : 0;
    *first = odd ? odd->first : NULL;
    for (int k = 0; k < CENSUS_LETTERS; k++) {
        if (!is_one_of(LETTERS[k], foreign[scheme])) continue;
        total += c->letters[k].count;
        if (!*first) *first = c->letters[k].first;
    }
    return total;
}

/* ---- kept with the packed rows, so that they say the same when they are used again */

static void add_counted(struct berth_str *s, const struct counted *c, const char *before) {
    berth_str_addf(s, "%s{\"count\":%lld,\"first\":", before, (long long)c->count);
    berth_str_add_json(s, c->first ? c->first : "");
    berth_str_add(s, "}");
}

void read_report_add_json(struct berth_str *s, const struct read_report *r) {
    berth_str_add(s, "{\"replaced\":");
    add_counted(s, &r->replaced, "");
    berth_str_add(s, ",\"tags\":[");
    for (size_t i = 0; i < r->label_count; i++) {
        const struct tag_census *c = &r->tags[i];
        berth_str_addf(s, "%s{\"words\":%lld,\"letters\":[", i ? "," : "", (long long)c->words);
        for (int k = 0; k < CENSUS_LETTERS; k++)
            add_counted(s, &c->letters[k], k ? "," : "");
        berth_str_add(s, "],\"odd\":[");
        for (int k = 0; k < CENSUS_ODD; k++)
            add_counted(s, &c->odd[k], k ? "," : "");
        berth_str_add(s, "]}");
    }
    berth_str_add(s, "]}");
}

static berth_status read_counted(struct counted *c, const struct berth_json *j, const char *path) {
    char at[160];
    const char *first = NULL;
    snprintf(at, sizeof at, "%s.count", path);
    BERTH_TRY(berth_json_int(&c->count, j, at, 0, INT64_MAX / 2));
    snprintf(at, sizeof at, "%s.first", path);
    BERTH_TRY(berth_json_string(&first, j, at));
    return first[0] ? berth_strdup(&c->first, first) : BERTH_OK;
}

berth_status read_report_read_json(struct read_report *r, const struct berth_json *j, const char *path) {
    char at[128];
    snprintf(at, sizeof at, "%s.replaced", path);
    BERTH_TRY(read_counted(&r->replaced, j, at));
    for (size_t i = 0; i < r->label_count; i++) {
        struct tag_census *c = &r->tags[i];
        snprintf(at, sizeof at, "%s.tags[%zu].words", path, i);
        BERTH_TRY(berth_json_int(&c->words, j, at, 0, INT64_MAX / 2));
        for (int k = 0; k < CENSUS_LETTERS; k++) {
            snprintf(at, sizeof at, "%s.tags[%zu].letters[%d]", path, i, k);
            BERTH_TRY(read_counted(&c->letters[k], j, at));
        }
        for (int k = 0; k < CENSUS_ODD; k++) {
            snprintf(at, sizeof at, "%s.tags[%zu].odd[%d]", path, i, k);
            BERTH_TRY(read_counted(&c->odd[k], j, at));
        }
    }
    return BERTH_OK;
}

static berth_status merge_counted(struct counted *to, const struct counted *from) {
    if (to->count == 0 && from->first) BERTH_TRY(berth_strdup(&to->first, from->first));
    to->count += from->count;
    return BERTH_OK;
}

berth_status tag_census_merge(struct tag_census *to, const struct tag_census *from) {
    to->words += from->words;
    for (int k = 0; k < CENSUS_LETTERS; k++)
        BERTH_TRY(merge_counted(&to->letters[k], &from->letters[k]));
    for (int k = 0; k < CENSUS_ODD; k++)
        BERTH_TRY(merge_counted(&to->odd[k], &from->odd[k]));
    return BERTH_OK;
}
