/* read_jsonl.c: one JSON object a line. A column is the name of a member; where no member has the whole name,
 * its dots lead into nested objects: "a.b" is the member b of the object a.
 *
 *     text      a string, or a list of strings: words that came apart already
 *     a label   a string; a number, true or false (as written); a list for multilabel and tagging tasks, where
 * null within a tagging list is a word without a label null and a member that is not there are the same:
 * missing. Lines of white space are left out.
 */
#include "data/data_priv.h"

#include <stdlib.h>
#include <string.h>

struct jsonl_state {
    struct json_scan scan;
    const char **rest;       /* [levels, field_count] of each field, what is left of its path at each level of
                                nesting;       NULL: not looked for there */
    bool *is_here;           /* [field_count] its value comes now */
    struct berth_str *lists; /* [field_count] */
};

static berth_status jsonl_check(struct source_spec *spec) {
    for (size_t i = 0; i < FIELD_OF_LABELS + spec->label_count; i++) {
        const struct column *column = spec_column(spec, i);
        if (column && column->number >= 0)
            return spec_fail(spec, column->key,
                             "found the number %s, expected a member's name, since jsonl has no "
                             "columns by number (a quoted name may be digits)",
                             column->name);
    }
    return BERTH_OK;
}

static berth_status jsonl_open(struct reader *r) {
    struct jsonl_state *s = NULL;
    BERTH_TRY(berth_calloc(&s, 1, sizeof *s));
    r->state = s;
    s->scan.replace = r->spec->encoding == ENCODING_REPLACE;
    size_t levels = 1;
    for (size_t i = 0; i < r->field_count; i++) {
        const struct column *column = spec_column(r->spec, i);
        size_t dots = 0;
        for (const char *p = column ? column->name : ""; *p; p++)
            dots += *p == '.';
        if (dots + 1 > levels) levels = dots + 1;
    }
    BERTH_TRY(berth_calloc(&s->rest, levels * r->field_count, sizeof *s->rest));
    BERTH_TRY(berth_calloc(&s->is_here, r->field_count, sizeof *s->is_here));
    BERTH_TRY(berth_calloc(&s->lists, r->field_count, sizeof *s->lists));
    return BERTH_OK;
}

static void jsonl_close(struct reader *r) {
    struct jsonl_state *s = r->state;
    for (size_t i = 0; s->lists && i < r->field_count; i++)
        berth_str_deinit(&s->lists[i]);
    free(s->lists);
    free(s->rest);
    free(s->is_here);
}

/* "FILE:LINE:COLUMN: found ..., expected ..." at the place where the scan is. */
static berth_status fail_scan(const struct reader *r, const char *found, const char *expected) {
    const struct jsonl_state *s = r->state;
    char sign[32];
    const unsigned char *at = (const unsigned char *)s->scan.at;
    size_t length = 0;
    bool valid;
    berth_utf8_decode((const char *)at, (size_t)(s->scan.end - s->scan.at), &length, &valid);
    if (s->scan.at >= s->scan.end)
        snprintf(sign, sizeof sign, "the end of the line");
    else if (*at < 0x20)
        snprintf(sign, sizeof sign, "byte 0x%02X", *at);
    else
        snprintf(sign, sizeof sign, "'%.*s'", (int)length, (const char *)at);
    BERTH_FAIL(BERTH_E_FORMAT, "%s:%lld:%zu: found %s, expected %s", r->files[0].path, (long long)r->line,
               (size_t)(s->scan.at - r->lines[0].text) + 1, found ? found : sign, expected);
}

static berth_status fail_here(const struct reader *r) {
    const struct jsonl_state *s = r->state;
    return fail_scan(r, s->scan.found, s->scan.expected);
}

/* One item of a list; `words` says what the list is asked for. */
static berth_status add_item(struct reader *r, struct berth_str *list, bool null_allowed) {
    struct jsonl_state *s = r->state;
    static const char end[] = {BERTH_LIST_END};
    enum json_type type;
    char *text = NULL;
    size_t size = 0;
    if (!json_peek(&s->scan, &type)) return fail_here(r);
    if (type == JSON_ARRAY || type == JSON_OBJECT)
        return fail_scan(r, type == JSON_ARRAY ? "a list within a list" : "an object within a list",
                         "a string");
    if (type == JSON_NULL && !null_allowed) return fail_scan(r, "null within a list", "a string");
    bool good = type == JSON_STRING ? json_string(&s->scan, &text, &size) : json_word(&s->scan, &text, &size);
    if (!good) return fail_here(r);
    if (memchr(text, BERTH_LIST_END, size))
        BERTH_FAIL(BERTH_E_FORMAT,
                   "%s:%lld: found the character U+001F in an item of a list, expected text without it",
                   r->files[0].path, (long long)r->line);
    if (type != JSON_NULL) berth_str_addn(list, text, size);
    berth_str_addn(list, end, 1);
    return BERTH_OK;
}

static berth_status take_list(struct reader *r, struct berth_str *list, bool null_allowed) {
    struct jsonl_state *s = r->state;
    berth_str_reset(list);
    berth_str_add(list, "");
    s->scan.at++;
    json_space(&s->scan);
    if (*s->scan.at == ']') {
        s->scan.at++;
        return BERTH_OK;
    }
    for (;;) {
        BERTH_TRY(add_item(r, list, null_allowed));
        json_space(&s->scan);
        if (*s->scan.at == ']') break;
        if (!json_sign(&s->scan, ',', "',' or ']'")) return fail_here(r);
    }
    s->scan.at++;
    if (list->failed) BERTH_FAIL(BERTH_E_MEMORY, "out of memory");
    return BERTH_OK;
}

static bool null_allowed(const struct reader *r) {
    const struct jsonl_state *s = r->state;
    for (size_t i = 0; i < r->field_count; i++)
        if (s->is_here[i] &&
            (i < FIELD_OF_LABELS || r->spec->labels[i - FIELD_OF_LABELS].kind != BERTH_TASK_TAGGING))
            return false;
    return true;
}

/* The value at hand for the fields that is_here marks. */
static berth_status take_value(struct reader *r, size_t first) {
    struct jsonl_state *s = r->state;
    struct field value = {.kind = FIELD_TEXT};
    enum json_type type;
    if (!json_peek(&s->scan, &type)) return fail_here(r);
    if (type == JSON_OBJECT)
        return fail_scan(r, "an object", "a text, a number or a list (a path such as a.b leads into it)");
    if (type == JSON_ARRAY) {
        BERTH_TRY(take_list(r, &s->lists[first], null_allowed(r)));
        value =
            (struct field){.kind = FIELD_LIST, .text = s->lists[first].data, .size = s->lists[first].length};
    } else if (type == JSON_STRING) {
        if (!json_string(&s->scan, &value.text, &value.size)) return fail_here(r);
    } else {
        if (!json_word(&s->scan, &value.text, &value.size)) return fail_here(r);
        if (type == JSON_NULL) value.kind = FIELD_MISSING;
    }
    for (size_t i = first; i < r->field_count; i++) {
        if (!s->is_here[i]) continue;
        if (type != JSON_STRING && type != JSON_NULL && type != JSON_ARRAY && i < FIELD_OF_LABELS)
            return fail_scan(r, type == JSON_NUMBER ? "a number" : "a truth value", "a text in quotes");
        r->fields[i] = value;
        s->is_here[i] = false;
    }
    return BERTH_OK;
}

static berth_status take_object(struct reader *r, size_t level);

/* What is left of a path behind the name: "" at its end; NULL: it leads elsewhere. */
static const char *behind_name(const char *rest, const char *name, size_t size) {
    if (!rest || strlen(rest) < size || memcmp(rest, name, size) != 0) return NULL;
    if (rest[size] == 0) return rest + size;
    return rest[size] == '.' ? rest + size + 1 : NULL;
}

/* The value of the member `name`: for fields whose path ends here; else fields whose path leads on look inside.
 */
static berth_status take_member(struct reader *r, const char *name, size_t size, size_t level) {
    struct jsonl_state *s = r->state;
    size_t first = r->field_count;
    bool leads_on = false;
    enum json_type type;
    for (size_t i = 0; i < r->field_count; i++) {
        const char *rest = behind_name(s->rest[level * r->field_count + i], name, size);
        leads_on = leads_on || (rest && rest[0] != 0);
        if (!rest || rest[0] != 0) continue;
        if (r->fields[i].kind != FIELD_MISSING)
            BERTH_FAIL(BERTH_E_FORMAT, "%s:%lld: found the member '%s' twice, expected it once",
                       r->files[0].path, (long long)r->line, spec_column(r->spec, i)->name);
        s->is_here[i] = true;
        if (i < first) first = i;
    }
    if (first < r->field_count) return take_value(r, first);
    if (!json_peek(&s->scan, &type)) return fail_here(r);
    if (!leads_on || type != JSON_OBJECT) return json_skip(&s->scan, (int)level) ? BERTH_OK : fail_here(r);
    const char **outer = s->rest + level * r->field_count, **inner = outer + r->field_count;
    for (size_t i = 0; i < r->field_count; i++) {
        const char *rest = behind_name(outer[i], name, size);
        inner[i] = rest && rest[0] != 0 ? rest : NULL;
    }
    return take_object(r, level + 1);
}

static berth_status take_object(struct reader *r, size_t level) {
    struct jsonl_state *s = r->state;
    if (!json_sign(&s->scan, '{', "an object in braces")) return fail_here(r);
    json_space(&s->scan);
    if (*s->scan.at == '}') {
        s->scan.at++;
        return BERTH_OK;
    }
    for (;;) {
        char *name = NULL;
        size_t size = 0;
        if (!json_name(&s->scan, &name, &size)) return fail_here(r);
        BERTH_TRY(take_member(r, name, size, level));
        json_space(&s->scan);
        if (*s->scan.at == '}') break;
        if (!json_sign(&s->scan, ',', "',' or '}'")) return fail_here(r);
    }
    s->scan.at++;
    return BERTH_OK;
}

static berth_status jsonl_next(struct reader *r, bool *more) {
    struct jsonl_state *s = r->state;
    struct line_cursor *l = &r->lines[0];
    do {
        BERTH_TRY(line_next(l, more));
        if (!*more) return BERTH_OK;
    } while (strspn(l->text, " \t\r") == l->length);
    r->line = l->line;
    s->scan.at = l->text;
    s->scan.end = l->text + l->length;
    for (size_t i = 0; i < r->field_count; i++) {
        const struct column *column = spec_column(r->spec, i);
        s->rest[i] = column ? column->name : NULL;
        s->is_here[i] = false;
    }
    BERTH_TRY(take_object(r, 0));
    json_space(&s->scan);
    if (s->scan.at != s->scan.end) return fail_scan(r, NULL, "the end of the line behind the object");
    for (size_t i = 0; i < r->field_count;
         i++) /* words and numbers: what stood behind them has been read by now */
        if (r->fields[i].kind == FIELD_TEXT) r->fields[i].text[r->fields[i].size] = 0;
    return BERTH_OK;
}

const struct reader_format reader_jsonl = {.name = "jsonl",
                                           .has_columns = true,
                                           .has_lists = true,
                                           .check = jsonl_check,
                                           .open = jsonl_open,
                                           .next = jsonl_next,
                                           .close = jsonl_close};
