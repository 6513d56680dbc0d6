/* safetensors_header.c: the header of a safetensors file: a parser for this one grammar.
 *
 *     header  = { "NAME": { "dtype": "F32", "shape": [d, ...], "data_offsets": [begin, end] }, ...,
 *                 "__metadata__": { "KEY": "VALUE", ... } }
 *
 * A header is up to 100 MB from a stranger, so it is read in one pass without a tree: memory is what the
 * tensors take, nesting is what the grammar has. Names are valid UTF-8; what the offsets claim is judged by
 * safetensors_read.c. */
#include <stdlib.h>
#include <string.h>

#include "model/model_priv.h"

struct header_parser {
    const char *file; /* for messages */
    const char *text;
    size_t size, at;
    struct berth_str string; /* the last string read */
};

void header_tensors_deinit(struct header_tensors *h) {
    for (size_t i = 0; i < h->count; i++)
        free(h->list[i].name);
    free(h->list);
    *h = (struct header_tensors){0};
}

static berth_status fail(const struct header_parser *p, const char *expected) {
    if (p->at >= p->size)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: the header ends at its byte %zu, expected %s", p->file, p->at,
                   expected);
    unsigned char ch = (unsigned char)p->text[p->at];
    char found[8];
    snprintf(found, sizeof found, ch > ' ' && ch < 0x7F ? "'%c'" : "0x%02x", ch);
    BERTH_FAIL(BERTH_E_FORMAT, "%s: header byte %zu: expected %s, found %s", p->file, p->at, expected, found);
}

static void skip_space(struct header_parser *p) {
    while (p->at < p->size && p->text[p->at] != '\0' && strchr(" \t\r\n", p->text[p->at]) != NULL)
        p->at++;
}

/* Takes one character after white space when it is there. */
static bool take(struct header_parser *p, char ch) {
    skip_space(p);
    if (p->at >= p->size || p->text[p->at] != ch) return false;
    p->at++;
    return true;
}

static bool read_hex4(struct header_parser *p, uint32_t *out) {
    uint32_t value = 0;
    if (p->size - p->at < 4) return false;
    for (int i = 0; i < 4; i++) {
        char ch = p->text[p->at + (size_t)i];
        int digit = ch >= '0' && ch <= '9'   ? ch - '0'
                    : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10
                    : ch >= 'A' && ch <= 'F' ? ch - 'A' + 10
                                             : -1;
        if (digit < 0) return false;
        value = value * 16 + (uint32_t)digit;
    }
    p->at += 4;
    *out = value;
    return true;
}

/* Behind "\u": one code point, of one or two halves. A zero byte is refused: names are C strings here. */
static berth_status read_unicode_escape(struct header_parser *p) {
    uint32_t code = 0, low = 0;
    char bytes[4];
    if (!read_hex4(p, &code)) return fail(p, "four hexadecimal digits");
    if (code >= 0xD800 && code < 0xDC00) {
        if (p->size - p->at < 2 || p->text[p->at] != '\\' || p->text[p->at + 1] != 'u')
            return fail(p, "the second half of a surrogate pair");
        p->at += 2;
        if (!read_hex4(p, &low) || low < 0xDC00 || low > 0xDFFF)
            return fail(p, "the second half of a surrogate pair");
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    } else if (code == 0 || (code >= 0xDC00 && code < 0xE000)) {
        return fail(p, "a character other than \\u0000 or half a surrogate pair");
    }
    berth_str_addn(&p->string, bytes, berth_utf8_encode(bytes, code));
    return BERTH_OK;
}

/* A string into p->string. */
static berth_status read_string(struct header_parser *p, const char *expected) {
    if (!take(p, '"')) return fail(p, expected);
    berth_str_reset(&p->string);
    berth_str_add(&p->string, "");
    for (;;) {
        size_t run = p->at;
        while (run < p->size && (unsigned char)p->text[run] >= ' ' && p->text[run] != '"' &&
               p->text[run] != '\\')
            run++;
        size_t good = berth_utf8_check(p->text + p->at, run - p->at);
        berth_str_addn(&p->string, p->text + p->at, good);
        bool valid = p->at + good == run;
        p->at += good;
        if (!valid) return fail(p, "valid UTF-8");
        if (p->at >= p->size || (unsigned char)p->text[p->at] < ' ') return fail(p, "the end of a text");
        if (p->text[p->at++] == '"') break;
        static const char ESCAPES[] = "\"\\/bfnrt", VALUES[] = "\"\\/\b\f\n\r\t";
        const char *escape = p->at < p->size && p->text[p->at] != '\0' ? strchr(ESCAPES, p->text[p->at]) : NULL;
        if (escape != NULL) {
            berth_str_addn(&p->string, &VALUES[escape - ESCAPES], 1);
            p->at++;
        } else if (p->at < p->size && p->text[p->at] == 'u') {
            p->at++;
            BERTH_TRY(read_unicode_escape(p));
        } else {
            return fail(p, "an escape of JSON");
        }
    }
    if (p->string.failed) BERTH_FAIL(BERTH_E_MEMORY, "%s: out of memory: a text of the header", p->file);
    return BERTH_OK;
}

/* A whole number from 0 to 2^63 - 1, without sign, fraction or leading zeros. */
static berth_status read_number(struct header_parser *p, uint64_t *out) {
    skip_space(p);
    size_t start = p->at;
    uint64_t value = 0;
    while (p->at < p->size && p->text[p->at] >= '0' && p->text[p->at] <= '9') {
        uint64_t digit = (uint64_t)(p->text[p->at] - '0');
        if (value > (INT64_MAX - digit) / 10) return fail(p, "a number below 2^63");
        value = value * 10 + digit;
        p->at++;
    }
    if (p->at == start) return fail(p, "a whole number");
    if (p->text[start] == '0' && p->at > start + 1) {
        p->at = start;
        return fail(p, "a number without leading zeros");
    }
    *out = value;
    return BERTH_OK;
}

/* [n, n, ...] of at most `most` numbers. */
static berth_status read_numbers(struct header_parser *p, uint64_t *out, int most, int *count) {
    *count = 0;
    if (!take(p, '[')) return fail(p, "'['");
    if (take(p, ']')) return BERTH_OK;
    do {
        uint64_t value = 0;
        BERTH_TRY(read_number(p, &value));
        if (*count == most)
            BERTH_FAIL(BERTH_E_FORMAT, "%s: header byte %zu: more than %d numbers in a list", p->file, p->at,
                       most);
        out[(*count)++] = value;
    } while (take(p, ','));
    return take(p, ']') ? BERTH_OK : fail(p, "',' or ']'");
}

static berth_status read_field(struct header_parser *p, struct header_tensor *t, unsigned *seen) {
    static const char *const FIELDS[] = {"dtype", "shape", "data_offsets"};
    uint64_t numbers[8];
    int count = 0, field = 0;
    BERTH_TRY(read_string(p, "a field's name"));
    while (field < 3 && strcmp(FIELDS[field], p->string.data) != 0)
        field++;
    if (field == 3)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: tensor '%s': field '%.40s' is none of dtype, shape, data_offsets",
                   p->file, t->name, p->string.data);
    if (*seen & 1u << field)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: tensor '%s': %s twice", p->file, t->name, FIELDS[field]);
    *seen |= 1u << field;
    if (!take(p, ':')) return fail(p, "':'");
    if (field == 0) {
        BERTH_TRY(read_string(p, "a dtype's name"));
        if (p->string.length >= sizeof t->dtype)
            BERTH_FAIL(BERTH_E_FORMAT, "%s: tensor '%s': unknown dtype '%.40s'", p->file, t->name,
                       p->string.data);
        memcpy(t->dtype, p->string.data, p->string.length + 1);
        return BERTH_OK;
    }
    BERTH_TRY_CTX(read_numbers(p, numbers, field == 1 ? 8 : 2, &count), "tensor '%s'", t->name);
    if (field == 1) {
        t->rank = count;
        for (int i = 0; i < count; i++)
            t->shape[i] = (int64_t)numbers[i];
        return BERTH_OK;
    }
    if (count != 2)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: tensor '%s': data_offsets are not two numbers", p->file, t->name);
    t->begin = numbers[0];
    t->end = numbers[1];
    return BERTH_OK;
}

static berth_status read_tensor(struct header_parser *p, struct header_tensor *t) {
    unsigned seen = 0;
    if (!take(p, '{')) return fail(p, "'{'");
    if (!take(p, '}')) {
        do {
            BERTH_TRY(read_field(p, t, &seen));
        } while (take(p, ','));
        if (!take(p, '}')) return fail(p, "',' or '}'");
    }
    if (seen != 7)
        BERTH_FAIL(BERTH_E_FORMAT, "%s: tensor '%s': %s is missing", p->file, t->name,
                   !(seen & 1)   ? "dtype"
                   : !(seen & 2) ? "shape"
                                 : "data_offsets");
    return BERTH_OK;
}

static berth_status read_metadata(struct header_parser *p) {
    if (!take(p, '{')) return fail(p, "'{' after __metadata__");
    if (take(p, '}')) return BERTH_OK;
    do {
        BERTH_TRY(read_string(p, "a key of __metadata__"));
        if (!take(p, ':')) return fail(p, "':'");
        BERTH_TRY(read_string(p, "a text: __metadata__ holds texts alone"));
    } while (take(p, ','));
    return take(p, '}') ? BERTH_OK : fail(p, "',' or '}'");
}

static berth_status read_entry(struct header_parser *p, struct header_tensors *out, bool *metadata) {
    BERTH_TRY(read_string(p, "a tensor's name"));
    if (strcmp(p->string.data, "__metadata__") == 0) {
        if (*metadata) BERTH_FAIL(BERTH_E_FORMAT, "%s: __metadata__ twice", p->file);
        *metadata = true;
        if (!take(p, ':')) return fail(p, "':'");
        return read_metadata(p);
    }
    BERTH_TRY(berth_grow(&out->list, &out->capacity, out->count + 1, sizeof *out->list));
    struct header_tensor *t = &out->list[out->count];
    *t = (struct header_tensor){0};
    BERTH_TRY(berth_strdup(&t->name, p->string.data));
    out->count++;
    if (!take(p, ':')) return fail(p, "':'");
    return read_tensor(p, t);
}

berth_status safetensors_header_parse(struct header_tensors *out, const char *file, const char *text,
                                      size_t size) {
    berth_status status = BERTH_OK;
    struct header_parser p = {.file = file, .text = text, .size = size};
    bool metadata = false;
    *out = (struct header_tensors){0};
    berth_str_init(&p.string);
    if (size == 0 || text[0] != '{') { /* the format wants it as the very first byte */
        status = fail(&p, "'{'");
        goto out;
    }
    take(&p, '{');
    if (!take(&p, '}')) {
        do {
            BERTH_TRY_OUT(read_entry(&p, out, &metadata));
        } while (take(&p, ','));
        if (!take(&p, '}')) {
            status = fail(&p, "',' or '}'");
            goto out;
        }
    }
    while (p.at < p.size && p.text[p.at] == ' ') /* padding */
        p.at++;
    if (p.at != p.size) status = fail(&p, "the end of the header");
out:
    berth_str_deinit(&p.string);
    if (status != BERTH_OK) header_tensors_deinit(out);
    return status;
}
