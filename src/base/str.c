/* str.c: growing strings, strict number parsing, nearest names, shell-style patterns.
 *
 * Numbers: the grammar is checked here, byte by byte, and only then handed to strtod in the "C" locale, so a
 * program that runs under a locale with decimal commas reads the same files. */
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "berth/base.h"

void berth_str_init(struct berth_str *s) {
    memset(s, 0, sizeof *s);
}

void berth_str_deinit(struct berth_str *s) {
    free(s->data);
    berth_str_init(s);
}

void berth_str_reset(struct berth_str *s) {
    s->length = 0;
    s->failed = false;
    if (s->data != NULL) s->data[0] = '\0';
}

/* Room for `more` bytes and the zero byte; false (and `failed`) when there is none. */
static bool str_reserve(struct berth_str *s, size_t more) {
    if (s->failed) return false;
    size_t needed = 0;
    if (__builtin_add_overflow(s->length, more, &needed) || __builtin_add_overflow(needed, 1, &needed) ||
        berth_grow(&s->data, &s->capacity, needed, 1) != BERTH_OK) {
        s->failed = true;
        return false;
    }
    return true;
}

void berth_str_add(struct berth_str *s, const char *text) {
    berth_str_addn(s, text, strlen(text));
}

void berth_str_addn(struct berth_str *s, const char *text, size_t length) {
    if (!str_reserve(s, length)) return;
    if (length > 0) memcpy(s->data + s->length, text, length);
    s->length += length;
    s->data[s->length] = '\0';
}

void berth_str_addf(struct berth_str *s, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (length < 0) {
        s->failed = true;
    } else if (str_reserve(s, (size_t)length)) {
        vsnprintf(s->data + s->length, (size_t)length + 1, fmt, again);
        s->length += (size_t)length;
    }
    va_end(again);
}

void berth_str_add_json(struct berth_str *s, const char *text) {
    berth_str_add(s, "\"");
    const char *run = text;
    for (const char *p = text;; p++) {
        unsigned char ch = (unsigned char)*p;
        if (ch >= 0x20 && ch != '"' && ch != '\\' && ch != 0x7F) continue;
        berth_str_addn(s, run, (size_t)(p - run));
        run = p + 1;
        if (ch == '\0') break;
        switch (ch) {
        case '"':
            berth_str_add(s, "\\\"");
            break;
        case '\\':
            berth_str_add(s, "\\\\");
            break;
        case '\n':
            berth_str_add(s, "\\n");
            break;
        case '\r':
            berth_str_add(s, "\\r");
            break;
        case '\t':
            berth_str_add(s, "\\t");
            break;
        default:
            berth_str_addf(s, "\\u%04x", ch);
        }
    }
    berth_str_add(s, "\"");
}

berth_status berth_str_take(struct berth_str *s, char **out) {
    if (s->data == NULL) berth_str_add(s, "");
    if (s->failed) {
        size_t length = s->length;
        berth_str_deinit(s);
        BERTH_FAIL(BERTH_E_MEMORY, "out of memory: a text of more than %zu bytes", length);
    }
    *out = s->data;
    s->data = NULL;
    berth_str_init(s);
    return BERTH_OK;
}

static bool is_digit(char ch) {
    return ch >= '0' && ch <= '9';
}

bool berth_parse_int64(const char *text, int64_t *out) {
    const char *p = text;
    bool negative = *p == '-';
    if (*p == '-' || *p == '+') p++;
    if (!is_digit(*p)) return false;
    int64_t value = 0; /* kept negative: the range of int64 is one larger there */
    for (; is_digit(*p); p++) {
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_sub_overflow(value, *p - '0', &value))
            return false;
    }
    if (*p != '\0') return false;
    if (!negative && __builtin_sub_overflow((int64_t)0, value, &value)) return false;
    *out = value;
    return true;
}

bool berth_parse_double(const char *text, double *out) {
    const char *p = text;
    if (*p == '-' || *p == '+') p++;
    size_t digits = 0;
    for (; is_digit(*p); p++)
        digits++;
    if (*p == '.') {
        p++;
        for (; is_digit(*p); p++)
            digits++;
    }
    if (digits == 0) return false;
    if (*p == 'e' || *p == 'E') {
        p++;
        if (*p == '-' || *p == '+') p++;
        if (!is_digit(*p)) return false;
        while (is_digit(*p))
            p++;
    }
    if (*p != '\0') return false;
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (c_locale == (locale_t)0) return false;
    double value = strtod_l(text, NULL, c_locale);
    freelocale(c_locale);
    if (!isfinite(value)) return false;
    *out = value;
    return true;
}

enum { NEAREST_LONGEST = 96 };

static char lower(char ch) {
    return ch >= 'A' && ch <= 'Z' ? (char)(ch - 'A' + 'a') : ch;
}

/* Optimal string alignment distance (insert, delete, replace, swap neighbours), letters' case ignored. */
static size_t edit_distance(const char *a, size_t na, const char *b, size_t nb) {
    size_t rows[3][NEAREST_LONGEST + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= nb; j++)
        last[j] = j;
    for (size_t i = 1; i <= na; i++) {
        now[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            bool same = lower(a[i - 1]) == lower(b[j - 1]);
            size_t best = last[j - 1] + (same ? 0 : 1);
            if (last[j] + 1 < best) best = last[j] + 1;
            if (now[j - 1] + 1 < best) best = now[j - 1] + 1;
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]) &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
        size_t *oldest = before;
        before = last;
        last = now;
        now = oldest;
    }
    return last[nb];
}

const char *berth_nearest(const char *text, const char *const *candidates, size_t count) {
    size_t length = strlen(text);
    if (length == 0 || length > NEAREST_LONGEST) return NULL;
    const char *best = NULL;
    size_t best_distance = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        size_t other = strlen(candidates[i]);
        if (other > NEAREST_LONGEST) continue;
        size_t distance = edit_distance(text, length, candidates[i], other);
        size_t longer = length > other ? length : other;
        /* one mistake in three letters, and never all of a short name */
        if (distance <= (longer + 1) / 3 && distance < longer && distance < best_distance) {
            best_distance = distance;
            best = candidates[i];
        }
    }
    return best;
}

bool berth_glob(const char *pattern, const char *text) {
    const char *star = NULL, *resume = NULL;
    while (*text != '\0') {
        if (*pattern == '*') {
            star = pattern++;
            resume = text;
        } else if (*pattern == '?' || *pattern == *text) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star + 1;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}
