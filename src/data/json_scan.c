/* json_scan.c: a strict scanner of JSON (RFC 8259) for lines of records.
 *
 * It makes no tree: what no field asks for is checked and skipped, strings are unescaped where they lie, and
 * numbers keep the spelling of the file ("1.0" stays a label of its own), which a parser into doubles would
 * lose. Input is valid UTF-8, ended by a zero byte that is not part of it.
 */
#include "data/data_priv.h"

#include <string.h>

#define DEPTH_MOST 256

static bool fail(struct json_scan *s, const char *found, const char *expected) {
    s->found = found;
    s->expected = expected;
    return false;
}

void json_space(struct json_scan *s) {
    while (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r')
        s->at++;
}

bool json_sign(struct json_scan *s, char sign, const char *expected) {
    json_space(s);
    if (*s->at != sign || s->at == s->end) return fail(s, NULL, expected);
    s->at++;
    return true;
}

bool json_peek(struct json_scan *s, enum json_type *type) {
    json_space(s);
    char c = *s->at;
    if (s->at == s->end) return fail(s, NULL, "a value");
    if (c == '"')
        *type = JSON_STRING;
    else if (c == '{')
        *type = JSON_OBJECT;
    else if (c == '[')
        *type = JSON_ARRAY;
    else if (c == '-' || (c >= '0' && c <= '9'))
        *type = JSON_NUMBER;
    else if (c == 't' || c == 'f')
        *type = c == 't' ? JSON_TRUE : JSON_FALSE;
    else if (c == 'n')
        *type = JSON_NULL;
    else
        return fail(s, NULL, "a value");
    return true;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool digits(struct json_scan *s) {
    if (!is_digit(*s->at)) return fail(s, NULL, "a digit");
    while (is_digit(*s->at))
        s->at++;
    return true;
}

static bool number(struct json_scan *s) {
    if (*s->at == '-') s->at++;
    if (*s->at == '0')
        s->at++;
    else if (!digits(s))
        return false;
    if (*s->at == '.') {
        s->at++;
        if (!digits(s)) return false;
    }
    if (*s->at == 'e' || *s->at == 'E') {
        s->at++;
        if (*s->at == '+' || *s->at == '-') s->at++;
        if (!digits(s)) return false;
    }
    return true;
}

bool json_word(struct json_scan *s, char **text, size_t *size) {
    static const char *const words[] = {"null", "false", "true"};
    *text = s->at;
    if (*s->at == '-' || is_digit(*s->at)) {
        if (!number(s)) return false;
    } else {
        const char *word = words[*s->at == 'n' ? 0 : *s->at == 'f' ? 1 : 2];
        size_t n = strlen(word);
        if (strncmp(s->at, word, n) != 0) return fail(s, NULL, "a value");
        s->at += n;
    }
    *size = (size_t)(s->at - *text);
    return true;
}

/* ---- strings */

/* The end of the run that needs no attention: no quote, no backslash, no control character. Eight at a time. */
static char *plain_run(char *p, const char *end) {
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    while (p + 8 <= end) {
        uint64_t w, quote, slash;
        memcpy(&w, p, 8);
        quote = w ^ (ones * '"');
        slash = w ^ (ones * '\\');
        uint64_t hit = ((w - ones * 0x20) & ~w) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash);
        if (hit & high) break;
        p += 8;
    }
    while ((unsigned char)*p >= 0x20 && *p != '"' && *p != '\\')
        p++;
    return p;
}

/* Four hexadecimal digits at p; -1: none. */
static int hex4(const char *p) {
    int value = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit = is_digit(c)            ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* "\uXXXX" at `at`, with a second one where the first is half of a pair. *c is 0xFFFD for a lone half. */
static bool unicode_escape(struct json_scan *s, uint32_t *c, bool *lone) {
    int first = hex4(s->at + 2);
    *lone = false;
    if (first < 0) return fail(s, "a bad escape", "\\u and four hexadecimal digits");
    *c = (uint32_t)first;
    char *behind = s->at + 6;
    if (first >= 0xD800 && first <= 0xDFFF) {
        int second = first < 0xDC00 && behind[0] == '\\' && behind[1] == 'u' ? hex4(behind + 2) : -1;
        *lone = second < 0xDC00 || second > 0xDFFF;
        *c = *lone ? 0xFFFD : 0x10000 + (((uint32_t)first - 0xD800) << 10) + ((uint32_t)second - 0xDC00);
        if (!*lone) behind += 6;
    }
    s->at = behind;
    return true;
}

static bool simple_escape(struct json_scan *s, char *c) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *found = s->at[1] != 0 ? strchr(from, s->at[1]) : NULL;
    if (!found) return fail(s, "a bad escape", "one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u");
    *c = to[found - from];
    s->at += 2;
    return true;
}

/* The string at `at`; out NULL: it is only checked. any_text: zero characters and halves of pairs are let
 * through. */
static bool scan_string(struct json_scan *s, char *out, size_t *size, bool any_text) {
    char *begin = out;
    char *opening = s->at++;
    for (;;) {
        char *stop = plain_run(s->at, s->end);
        size_t n = (size_t)(stop - s->at);
        if (out && out != s->at) memmove(out, s->at, n);
        if (out) out += n;
        s->at = stop;
        if (*stop == '"') break;
        if (*stop != '\\') {
            if (stop != s->end) return fail(s, "a control character inside a string", "an escape such as \\n");
            s->at = opening;
            return fail(s, "a string without an end", "its closing quote");
        }
        if (stop[1] == 'u') {
            uint32_t c = 0;
            bool lone = false;
            char *escape = s->at;
            if (!unicode_escape(s, &c, &lone)) return false;
            if (out && !any_text && ((lone && !s->replace) || c == 0)) {
                s->at = escape;
                return fail(s, lone ? "half of a surrogate pair" : "the zero character", "text");
            }
            if (out) out += berth_utf8_encode(out, c);
        } else {
            char c = 0;
            if (!simple_escape(s, &c)) return false;
            if (out) *out++ = c;
        }
    }
    s->at++;
    if (out) {
        *size = (size_t)(out - begin);
        *out = 0; /* at most where the quote was, which is behind us */
    }
    return true;
}

bool json_string(struct json_scan *s, char **text, size_t *size) {
    if (*s->at != '"') return fail(s, NULL, "a string");
    *text = s->at + 1;
    return scan_string(s, *text, size, false);
}

bool json_name(struct json_scan *s, char **text, size_t *size) {
    json_space(s);
    if (*s->at != '"') return fail(s, NULL, "a name in quotes");
    *text = s->at + 1;
    return scan_string(s, *text, size, true) && json_sign(s, ':', "':'");
}

/* ---- values that nobody asked for */

static bool skip_members(struct json_scan *s, bool object, int depth) {
    const char close = object ? '}' : ']';
    const char *expected = object ? "',' or '}'" : "',' or ']'";
    s->at++;
    json_space(s);
    if (*s->at == close) {
        s->at++;
        return true;
    }
    for (;;) {
        if (object) {
            json_space(s);
            if (*s->at != '"') return fail(s, NULL, "a name in quotes");
            if (!scan_string(s, NULL, NULL, true) || !json_sign(s, ':', "':'")) return false;
        }
        if (!json_skip(s, depth + 1)) return false;
        json_space(s);
        if (*s->at == close) break;
        if (!json_sign(s, ',', expected)) return false;
    }
    s->at++;
    return true;
}

bool json_skip(struct json_scan *s, int depth) {
    enum json_type type;
    char *text;
    size_t size;
    if (!json_peek(s, &type)) return false;
    if (depth > DEPTH_MOST) return fail(s, "lists within lists more than 256 deep", "less");
    if (type == JSON_STRING) return scan_string(s, NULL, NULL, true);
    if (type == JSON_OBJECT || type == JSON_ARRAY) return skip_members(s, type == JSON_OBJECT, depth);
    return json_word(s, &text, &size);
}
