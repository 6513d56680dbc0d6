/* yaml_gaps.c: what stands between the events of a YAML text: white space, comments, the signs of structure.
 * libyaml takes there what YAML does not ("value"#no comment, [a,#no comment), or takes it as something else
 * ({?foo: 1} as the key "foo"): refused, since its author may have meant another thing.
 *
 * Places are characters, as libyaml counts them; a cursor keeps their byte. */
#include <string.h>

#include "base/base_priv.h"

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

void ytree_gaps_init(struct ytree_gaps *g, const char *text, size_t size) {
    *g = (struct ytree_gaps){.text = text, .size = size};
}

/* Moves on by one character. */
static void step(struct ytree_gaps *g) {
    g->byte++;
    while (g->byte < g->size && ((unsigned char)g->text[g->byte] & 0xC0) == 0x80)
        g->byte++;
    g->character++;
}

static void move_to(struct ytree_gaps *g, size_t character) {
    while (g->character < character && g->byte < g->size)
        step(g);
}

/* The character behind the cursor is white space, or the text ends there. */
static bool blank_behind(const struct ytree_gaps *g) {
    return g->byte + 1 >= g->size || is_blank(g->text[g->byte + 1]);
}

static const char question_mark[] = "a text that begins with '?' must be quoted";

const char *ytree_gaps_check(struct ytree_gaps *g, size_t begin, size_t end) {
    while (g->character < begin && g->byte < g->size) {
        char c = g->text[g->byte];
        bool first = g->byte == 0 || is_blank(g->text[g->byte - 1]);
        if (c == '#' && !first) return "a comment needs a space before its '#'";
        if (c == '?' && !blank_behind(g)) return question_mark;
        if (c == '#')
            while (g->character < begin && g->byte < g->size && g->text[g->byte] != '\n' &&
                   g->text[g->byte] != '\r')
                step(g);
        else
            step(g);
    }
    if (g->character == begin && end == begin + 1 && g->text[g->byte] == '?' && !blank_behind(g))
        return question_mark;
    /* The head of a block scalar, "|2-": what follows it in its line is a comment. */
    if (g->character == begin && end > begin && (g->text[g->byte] == '|' || g->text[g->byte] == '>')) {
        size_t at = g->byte + 1;
        while (at < g->size && strchr("+-0123456789", g->text[at]) != NULL && g->text[at] != '\0')
            at++;
        if (at < g->size && g->text[at] == '#') return "a comment needs a space before its '#'";
    }
    move_to(g, end);
    return NULL;
}
