/* tag_scheme.c: tags of entity schemes: what one says, and which may follow which.
 *
 * With the state of the tag before (outside, or inside an entity of type X):
 *
 *            I-X needs             E-X, L-X need         an entity may be left
 *     BIO    X open                -                     anywhere
 *     BIOES  X open (B-X or I-X)   X open                behind E or S alone
 *     IOB1   -                     -                     anywhere; B-X needs an entity X in front of it
 */
#include "berth/batch.h"

#include <string.h>

static const char *const SCHEME_NAMES[BERTH_TAG_SCHEME_COUNT] = {
    [BERTH_TAGS_PLAIN] = "plain", [BERTH_TAGS_IO] = "io",       [BERTH_TAGS_BIO] = "bio",
    [BERTH_TAGS_IOB1] = "iob1",   [BERTH_TAGS_BIOES] = "bioes", [BERTH_TAGS_BILOU] = "bilou",
};

const char *berth_tag_scheme_name(enum berth_tag_scheme scheme) {
    BERTH_ASSERT((size_t)scheme < BERTH_TAG_SCHEME_COUNT);
    return SCHEME_NAMES[scheme];
}

enum berth_tag_scheme berth_tag_scheme_find(const char *name) {
    int scheme = 0;
    while (scheme < BERTH_TAG_SCHEME_COUNT && strcmp(SCHEME_NAMES[scheme], name) != 0)
        scheme++;
    return (enum berth_tag_scheme)scheme;
}

bool berth_tag_parse(const char *tag, char *kind, const char **type) {
    static const char letters[] = "OBIESLU", kinds[] = "OBIESES";
    const char *letter = tag[0] != '\0' ? strchr(letters, tag[0]) : NULL;
    if (letter == NULL || (tag[1] != '\0' && (tag[1] != '-' || tag[0] == 'O'))) return false;
    *kind = kinds[letter - letters];
    *type = tag[1] == '\0' ? "" : tag + 2;
    return true;
}

/* The kind within the scheme: 0 for a letter that it does not have. */
static char kind_in(enum berth_tag_scheme scheme, const char *tag, const char **type) {
    static const char *const letters[BERTH_TAG_SCHEME_COUNT] = {
        [BERTH_TAGS_PLAIN] = "",   [BERTH_TAGS_IO] = "OI",       [BERTH_TAGS_BIO] = "OBI",
        [BERTH_TAGS_IOB1] = "OBI", [BERTH_TAGS_BIOES] = "OBIES", [BERTH_TAGS_BILOU] = "OBILU",
    };
    char kind = 0;
    *type = "";
    if (tag == NULL) return 'O';
    if (!berth_tag_parse(tag, &kind, type)) return 0;
    return strchr(letters[scheme], tag[0]) != NULL ? kind : 0;
}

bool berth_tag_allowed(enum berth_tag_scheme scheme, const char *from, const char *to) {
    const char *from_type, *to_type;
    BERTH_ASSERT((size_t)scheme < BERTH_TAG_SCHEME_COUNT);
    char before = kind_in(scheme, from, &from_type), now = kind_in(scheme, to, &to_type);
    if (before == 0 || now == 0) return true;
    bool same = before != 'O' && now != 'O' && strcmp(from_type, to_type) == 0;
    bool open = before == 'B' || before == 'I';
    switch (scheme) {
    case BERTH_TAGS_BIO:
        return now != 'I' || (open && same);
    case BERTH_TAGS_IOB1:
        return now != 'B' || (open && same);
    case BERTH_TAGS_BIOES:
    case BERTH_TAGS_BILOU:
        if (now == 'I' || now == 'E') return open && same;
        return !open;
    default:
        return true;
    }
}
