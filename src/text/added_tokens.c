/* added_tokens.c: tokens that are looked for in the text before words are cut.
 *
 * Matches do not overlap, go from left to right, and at one place the longest pattern is taken; one that
 * single_word rules out is passed over as a whole. White space that lstrip and rstrip take along widens the
 * place but does not move the search (so do the reference's). */
#include <stdlib.h>
#include <string.h>

#include "text/text_priv.h"
#include "text/unicode_tables.h"

/* White_Space of the Unicode standard (PropList.txt; stable since version 6.3): \s of regular expressions. The
 * flag UNICODE_WHITE lacks those that cleaning removes. */
static bool is_white_space(uint32_t c) {
    return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
           c == 0x3000;
}

/* The character in front of text[at], at > 0. Bad UTF-8 is U+FFFD a byte here, which is neither white nor \w.
 */
static uint32_t char_before(const char *text, size_t at, size_t *length) {
    for (size_t n = 1; n <= 4 && n <= at; n++) {
        bool valid = false;
        uint32_t code = berth_utf8_decode(text + at - n, n, length, &valid);
        if (valid && *length == n) return code;
    }
    *length = 1;
    return 0xFFFD;
}

static size_t skip_white(const char *text, size_t size, size_t at) {
    while (at < size) {
        size_t length = 0;
        bool valid = false;
        if (!is_white_space(berth_utf8_decode(text + at, size - at, &length, &valid))) break;
        at += length;
    }
    return at;
}

static size_t skip_white_back(const char *text, size_t at) {
    size_t length = 0;
    while (at > 0 && is_white_space(char_before(text, at, &length)))
        at -= length;
    return at;
}

static bool beside_word(const char *text, size_t size, size_t start, size_t stop) {
    size_t length = 0;
    bool valid = false;
    if (start > 0 && (unicode_kind_of(char_before(text, start, &length)).flags & UNICODE_WORD)) return true;
    if (stop == size) return false;
    return (unicode_kind_of(berth_utf8_decode(text + stop, size - stop, &length, &valid)).flags &
            UNICODE_WORD) != 0;
}

/* The next place from `at` where a pattern may begin; `size`: none. */
static size_t next_lead(const struct added_set *set, const char *text, size_t size, size_t at) {
    if (set->single_lead >= 0) {
        const char *found = at < size ? memchr(text + at, set->single_lead, size - at) : NULL;
        return found == NULL ? size : (size_t)(found - text);
    }
    while (at < size && !set->lead[(uint8_t)text[at]])
        at++;
    return at;
}

static const struct added_token *longest_at(const struct added_set *set, const char *text, size_t size,
                                            size_t at, size_t *stop) {
    int32_t node = 0, best = -1;
    for (size_t i = at; i < size; i++) {
        node = vocab_trie_step(&set->trie, node, (uint8_t)text[i]);
        if (node < 0) break;
        if (set->trie.nodes[node].id < 0) continue;
        best = set->trie.nodes[node].id;
        *stop = i + 1;
    }
    return best < 0 ? NULL : set->tokens[best];
}

bool added_next(const struct added_set *set, const char *text, size_t size, size_t from, size_t *scan,
                struct added_match *match) {
    if (set->count == 0) return false;
    for (size_t at = *scan; (at = next_lead(set, text, size, at)) < size;) {
        size_t stop = 0;
        const struct added_token *token = longest_at(set, text, size, at, &stop);
        if (token == NULL) {
            at++;
            continue;
        }
        if (!token->single_word || !beside_word(text, size, at, stop)) {
            size_t start = token->lstrip ? skip_white_back(text, at) : at;
            if (token->lstrip && start < from) start = from;
            *scan = stop;
            *match = (struct added_match){token, start, token->rstrip ? skip_white(text, size, stop) : stop};
            return true;
        }
        at = stop;
    }
    *scan = size;
    return false;
}

/* ------------------------------------------------------------------ building */

struct by_pattern {
    char *const *patterns;
    const struct added_token *const *tokens;
};

static int compare_patterns(const void *a, const void *b, void *user) {
    const struct by_pattern *by = user;
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    int order = strcmp(by->patterns[x], by->patterns[y]);
    if (order != 0) return order;
    if (by->tokens[x]->special != by->tokens[y]->special) return by->tokens[x]->special ? -1 : 1;
    return (by->tokens[x]->id > by->tokens[y]->id) - (by->tokens[x]->id < by->tokens[y]->id);
}

berth_status added_set_build(struct added_set *set, const struct added_token *const *tokens,
                             char *const *patterns, size_t count) {
    berth_status status = BERTH_OK;
    int32_t *order = NULL;
    size_t kept = 0;
    int leads = 0;
    set->single_lead = -1;
    if (count == 0) return BERTH_OK;
    struct by_pattern by = {patterns, tokens};
    BERTH_TRY_OUT(berth_calloc(&order, count, sizeof *order));
    BERTH_TRY_OUT(berth_calloc(&set->tokens, count, sizeof *set->tokens));
    memcpy(set->tokens, tokens, count * sizeof *set->tokens);
    for (size_t i = 0; i < count; i++)
        order[i] = (int32_t)i;
    qsort_r(order, count, sizeof *order, compare_patterns, &by);
    for (size_t i = 0; i < count; i++) {
        if (kept > 0 && strcmp(patterns[order[kept - 1]], patterns[order[i]]) == 0) continue;
        order[kept++] = order[i];
        uint8_t lead = (uint8_t)patterns[order[i]][0];
        if (set->lead[lead]) continue;
        set->lead[lead] = true;
        set->single_lead = leads++ == 0 ? lead : -1;
    }
    BERTH_TRY_OUT(vocab_trie_build(&set->trie, patterns, order, kept, ""));
    set->count = count;
out:
    free(order);
    return status;
}

void added_set_deinit(struct added_set *set) {
    vocab_trie_deinit(&set->trie);
    free(set->tokens);
    *set = (struct added_set){0};
}
