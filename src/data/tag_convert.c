/* tag_convert.c: the tags of a sentence written in another scheme.
 *
 * Entities are read by the rule of conlleval, which is right for every scheme: an entity begins at B and S, at
 * any tag behind O, E or S, and where the type changes; it ends before such a tag, before O, and behind E and S
 * (L and U of bilou). A tag that is none of a scheme, and a word without a tag, stay as they are and part
 * entities.
 */
#include "data/data_priv.h"

#include <string.h>

struct word_tag {
    const char *text;
    size_t size;
    char kind; /* O B I E S; 0: none of a scheme, or missing */
};

static bool read_tag(struct word_cursor *w, struct word_tag *out) {
    static const char letters[] = "BIESLU", kinds[] = "BIESES";
    if (!word_next(w)) return false;
    *out = (struct word_tag){w->text + w->start, w->end - w->start, 0};
    const char *letter = out->size > 0 ? strchr(letters, out->text[0]) : NULL;
    if (out->size == 1 && out->text[0] == 'O')
        out->kind = 'O';
    else if (letter && (out->size == 1 || out->text[1] == '-'))
        out->kind = kinds[letter - letters];
    return true;
}

static bool same_type(const struct word_tag *a, const struct word_tag *b) {
    return a->size == b->size && (a->size < 2 || memcmp(a->text + 1, b->text + 1, a->size - 1) == 0);
}

static bool is_inside(const struct word_tag *t) {
    return t->kind != 0 && t->kind != 'O';
}

/* Whether `now` goes on with the entity that `before` is in. */
static bool continues(const struct word_tag *before, const struct word_tag *now) {
    return (before->kind == 'B' || before->kind == 'I') && (now->kind == 'I' || now->kind == 'E') &&
           same_type(before, now);
}

static char letter_of(enum berth_tag_scheme to, bool begins, bool ends, bool touches) {
    switch (to) {
    case BERTH_TAGS_BIO:
        return begins ? 'B' : 'I';
    case BERTH_TAGS_IOB1:
        return begins && touches ? 'B' : 'I';
    case BERTH_TAGS_BIOES:
        return begins ? (ends ? 'S' : 'B') : ends ? 'E' : 'I';
    case BERTH_TAGS_BILOU:
        return begins ? (ends ? 'U' : 'B') : ends ? 'L' : 'I';
    default:
        return 'I';
    }
}

void tags_convert(struct berth_str *out, const char *tags, enum berth_tag_scheme to) {
    struct word_cursor w = {.text = tags, .size = strlen(tags), .list = true};
    static const char end[] = {BERTH_LIST_END};
    struct word_tag before = {"", 0, 0}, now, after;
    berth_str_reset(out);
    berth_str_add(out, "");
    for (bool more = read_tag(&w, &now); more; before = now, now = after) {
        more = read_tag(&w, &after);
        if (!more) after = (struct word_tag){"", 0, 0};
        if (is_inside(&now)) {
            bool touches = is_inside(&before) && same_type(&before, &now);
            char letter = letter_of(to, !continues(&before, &now), !continues(&now, &after), touches);
            berth_str_addn(out, &letter, 1);
            berth_str_addn(out, now.text + 1, now.size - 1);
        } else {
            berth_str_addn(out, now.text, now.size);
        }
        berth_str_addn(out, end, 1);
    }
}
