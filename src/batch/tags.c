/* tags.c: entities of tags.
 *
 * The default rule is conlleval's. With the kind and the type of a tag and of the tag before it:
 *
 *     an entity ends before a tag   when the one before is E or S, or is B or I and this one is B, S or O,
 *                                   or the types differ (and the one before is not O)
 *     an entity begins at a tag     when it is B or S, or is E or I and the one before is E, S or O,
 *                                   or the types differ (and this one is not O)
 *
 * The strict rules read whole entities from their first tag: BIO "B I*", BIOES "B I* E" or "S", all of one
 * type; what does not fit is outside. */
#include "berth/tags.h"

#include <string.h>

struct berth_tag berth_tag_read(const char *text) {
    struct berth_tag tag = {.kind = 'O', .type = "_"};
    if (text == NULL || text[0] == '\0') return tag;
    tag.kind = text[0];
    if (text[1] == '-' || text[1] == '\0') tag.kind = text[0] == 'L' ? 'E' : text[0] == 'U' ? 'S' : text[0];
    const char *dash = strchr(text + 1, '-');
    const char *type = dash != NULL ? dash + 1 : text + 1;
    if (type[0] != '\0') tag.type = type;
    return tag;
}

static bool is_one_of(char kind, const char *kinds) {
    return kind != '\0' && strchr(kinds, kind) != NULL;
}

static bool same_type(struct berth_tag a, struct berth_tag b) {
    return strcmp(a.type, b.type) == 0;
}

static bool entity_ends(struct berth_tag before, struct berth_tag now) {
    if (before.kind == 'O') return false;
    if (is_one_of(before.kind, "ES")) return true;
    if (is_one_of(before.kind, "BI") && is_one_of(now.kind, "BSO")) return true;
    return !same_type(before, now);
}

static bool entity_begins(struct berth_tag before, struct berth_tag now) {
    if (now.kind == 'O') return false;
    if (is_one_of(now.kind, "BS")) return true;
    if (is_one_of(now.kind, "EI") && is_one_of(before.kind, "ESO")) return true;
    return !same_type(before, now);
}

void berth_entities_begin(struct berth_entity_cursor *c, const char *const *tags, size_t words,
                          enum berth_spans spans) {
    *c = (struct berth_entity_cursor){.tags = tags, .words = words, .spans = spans};
}

static struct berth_tag tag_at(const struct berth_entity_cursor *c, size_t word) {
    return berth_tag_read(word < c->words ? c->tags[word] : NULL);
}

static bool next_default(struct berth_entity_cursor *c, struct berth_entity *out) {
    while (c->at <= c->words) {
        const size_t at = c->at++;
        const struct berth_tag before = at > 0 ? tag_at(c, at - 1) : berth_tag_read(NULL), now = tag_at(c, at);
        const bool ends = entity_ends(before, now);
        *out = (struct berth_entity){.begin = c->begin, .end = at, .type = before.type};
        if (entity_begins(before, now)) c->begin = at;
        if (ends) return true;
    }
    return false;
}

static bool next_strict(struct berth_entity_cursor *c, struct berth_entity *out) {
    const bool closes = c->spans == BERTH_SPANS_BIOES; /* an entity of several words ends with E */
    while (c->at < c->words) {
        const size_t begin = c->at++;
        const struct berth_tag first = tag_at(c, begin);
        if (first.kind != 'B' && !(closes && first.kind == 'S')) continue;
        *out = (struct berth_entity){.begin = begin, .end = begin + 1, .type = first.type};
        if (first.kind == 'S') return true;
        struct berth_tag now = tag_at(c, c->at);
        while (now.kind == 'I' && same_type(now, first))
            now = tag_at(c, ++c->at);
        out->end = c->at;
        if (!closes) return true;
        if (now.kind != 'E' || !same_type(now, first)) continue;
        out->end = ++c->at;
        return true;
    }
    return false;
}

bool berth_entity_next(struct berth_entity_cursor *c, struct berth_entity *out) {
    return c->spans == BERTH_SPANS_DEFAULT ? next_default(c, out) : next_strict(c, out);
}

void berth_span_count(struct berth_span_counts *counts, const char *const *gold, const char *const *predicted,
                      size_t words, enum berth_spans spans) {
    struct berth_entity_cursor a, b;
    struct berth_entity x, y;
    berth_entities_begin(&a, gold, words, spans);
    berth_entities_begin(&b, predicted, words, spans);
    bool has_x = berth_entity_next(&a, &x), has_y = berth_entity_next(&b, &y);
    while (has_x || has_y) { /* both come in the order of their ends */
        const bool take_x = has_x && (!has_y || x.end <= y.end), take_y = has_y && (!has_x || y.end <= x.end);
        counts->gold += take_x;
        counts->predicted += take_y;
        counts->correct += take_x && take_y && x.begin == y.begin && strcmp(x.type, y.type) == 0;
        if (take_x) has_x = berth_entity_next(&a, &x);
        if (take_y) has_y = berth_entity_next(&b, &y);
    }
}

double berth_span_f1(const struct berth_span_counts *counts) {
    int64_t both = counts->gold + counts->predicted;
    return both > 0 ? 2.0 * (double)counts->correct / (double)both : 0.0;
}
