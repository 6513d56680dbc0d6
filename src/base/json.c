/* json.c: typed reading of JSON documents; jansson parses, this file finds, checks and words the errors.
 *
 * A path is looked up from its longest key to its shortest, so a key that itself holds dots or brackets
 * ("id2label.B-per.x", "[UNK]") is found as well. Nesting is limited to 128 before the parser sees a byte. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "berth/file.h"
#include "berth/json.h"

enum { JSON_DEPTH = 128 };

struct berth_json {
    json_t *root;
    char *name;
};

/* Brackets outside strings; anything else about the text is the parser's to judge. */
static berth_status check_depth(const char *name, const char *text, size_t size) {
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < size; i++) {
        char ch = text[i];
        if (in_string) {
            if (ch == '\\') i++;
            if (ch == '"') in_string = false;
        } else if (ch == '"') {
            in_string = true;
        } else if (ch == '[' || ch == '{') {
            if (++depth > JSON_DEPTH)
                BERTH_FAIL(BERTH_E_FORMAT, "%s: nested deeper than %d levels (byte %zu)", name, JSON_DEPTH, i);
        } else if (ch == ']' || ch == '}') {
            depth--;
        }
    }
    return BERTH_OK;
}

berth_status berth_json_parse(struct berth_json **out, const char *name, const char *text, size_t size) {
    berth_status status = BERTH_OK;
    struct berth_json *j = NULL;
    size_t blank = 0;
    while (blank < size && strchr(" \t\r\n", text[blank]) != NULL && text[blank] != '\0')
        blank++;
    if (blank == size) BERTH_FAIL(BERTH_E_FORMAT, "%s: the file is empty, expected a JSON document", name);
    if (memchr(text, 0, size) != NULL) /* jansson takes one behind the document for its end */
        BERTH_FAIL(BERTH_E_FORMAT, "%s: not valid JSON: a zero byte in the text", name);
    BERTH_TRY(check_depth(name, text, size));
    BERTH_TRY_OUT(berth_calloc(&j, 1, sizeof *j));
    BERTH_TRY_OUT(berth_strdup(&j->name, name));
    json_error_t error;
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY;
    j->root = json_loadb(text, size, flags, &error);
    /* A whole number of 64 bits or more is a number all the same: "model_max_length" of real tokenizers is
     * 10^30. */
    if (j->root == NULL && json_error_code(&error) == json_error_numeric_overflow)
        j->root = json_loadb(text, size, flags | JSON_DECODE_INT_AS_REAL, &error);
    if (j->root == NULL)
        BERTH_FAIL_OUT(json_error_code(&error) == json_error_out_of_memory ? BERTH_E_MEMORY : BERTH_E_FORMAT,
                       "%s:%d:%d: not valid JSON: %s", name, error.line, error.column, error.text);
    *out = j;
    j = NULL;
out:
    berth_json_free(j);
    return status;
}

berth_status berth_json_load(struct berth_json **out, const char *path) {
    char *text = NULL;
    size_t size = 0;
    BERTH_TRY(berth_file_read(&text, &size, path));
    berth_status status = berth_json_parse(out, path, text, size);
    free(text);
    return status;
}

void berth_json_free(struct berth_json *j) {
    if (j == NULL) return;
    json_decref(j->root);
    free(j->name);
    free(j);
}

/* Length of the number in "[12]..." with the brackets, 0 when it is none; *index receives it. */
static size_t parse_index(const char *path, size_t *index) {
    if (path[0] != '[') return 0;
    size_t i = 1, value = 0;
    for (; path[i] >= '0' && path[i] <= '9' && i < 12; i++)
        value = value * 10 + (size_t)(path[i] - '0');
    if (i == 1 || path[i] != ']') return 0;
    *index = value;
    return i + 1;
}

static json_t *find(json_t *node, const char *path) {
    if (node == NULL || path[0] == '\0') return node;
    size_t index = 0, used = 0;
    if (json_is_array(node)) {
        used = parse_index(path, &index);
        if (used == 0) return NULL;
        path += used;
        return find(json_array_get(node, index), path[0] == '.' ? path + 1 : path);
    }
    if (!json_is_object(node)) return NULL;
    for (size_t length = strlen(path); length > 0; length--) {
        char end = path[length];
        if (end != '\0' && end != '.' && end != '[') continue;
        json_t *child = json_object_getn(node, path, length);
        if (child == NULL) continue;
        json_t *found = find(child, end == '.' ? path + length + 1 : path + length);
        if (found != NULL) return found;
    }
    return NULL;
}

static bool is_absent(const json_t *node) {
    return node == NULL || json_is_null(node);
}

/* "the text 'abc'", "an array": what stands there, for messages. */
static const char *describe(const json_t *node, char out[80]) {
    switch (json_typeof(node)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_TRUE:
        return "true";
    case JSON_FALSE:
        return "false";
    case JSON_NULL:
        return "null";
    case JSON_INTEGER:
        snprintf(out, 80, "%lld", (long long)json_integer_value(node));
        break;
    case JSON_REAL:
        snprintf(out, 80, "%g", json_real_value(node));
        break;
    case JSON_STRING:
        snprintf(out, 80, "the text '%.40s'", json_string_value(node));
        break;
    }
    return out;
}

static berth_status fail_missing(const struct berth_json *j, const char *path, const char *expected) {
    BERTH_FAIL(BERTH_E_FORMAT, "%s: '%s' is missing, expected %s", j->name, path, expected);
}

static berth_status fail_type(const struct berth_json *j, const char *path, const char *expected,
                              const json_t *node) {
    char text[80];
    BERTH_FAIL(BERTH_E_FORMAT, "%s: '%s': expected %s, found %s", j->name, path, expected,
               describe(node, text));
}

bool berth_json_has(const struct berth_json *j, const char *path) {
    return !is_absent(find(j->root, path));
}

static berth_status read_int(int64_t *out, const struct berth_json *j, const char *path, const json_t *node,
                             int64_t min, int64_t max) {
    int64_t value = 0;
    char expected[96];
    snprintf(expected, sizeof expected, "a whole number from %lld to %lld", (long long)min, (long long)max);
    if (json_is_integer(node)) {
        value = json_integer_value(node);
    } else if (json_is_real(node) && fabs(json_real_value(node)) <= 0x1p53 &&
               json_real_value(node) == trunc(json_real_value(node))) {
        value = (int64_t)json_real_value(node); /* 768.0 */
    } else {
        return fail_type(j, path, expected, node);
    }
    if (value < min || value > max) return fail_type(j, path, expected, node);
    *out = value;
    return BERTH_OK;
}

berth_status berth_json_int(int64_t *out, const struct berth_json *j, const char *path, int64_t min,
                            int64_t max) {
    json_t *node = find(j->root, path);
    if (is_absent(node)) return fail_missing(j, path, "a whole number");
    return read_int(out, j, path, node, min, max);
}

berth_status berth_json_int_or(int64_t *out, const struct berth_json *j, const char *path,
                               int64_t default_value, int64_t min, int64_t max) {
    json_t *node = find(j->root, path);
    if (!is_absent(node)) return read_int(out, j, path, node, min, max);
    *out = default_value;
    return BERTH_OK;
}

berth_status berth_json_number(double *out, const struct berth_json *j, const char *path) {
    json_t *node = find(j->root, path);
    if (is_absent(node)) return fail_missing(j, path, "a number");
    if (!json_is_number(node)) return fail_type(j, path, "a number", node);
    *out = json_number_value(node);
    return BERTH_OK;
}

berth_status berth_json_number_or(double *out, const struct berth_json *j, const char *path,
                                  double default_value) {
    if (berth_json_has(j, path)) return berth_json_number(out, j, path);
    *out = default_value;
    return BERTH_OK;
}

berth_status berth_json_bool_or(bool *out, const struct berth_json *j, const char *path, bool default_value) {
    json_t *node = find(j->root, path);
    if (is_absent(node)) {
        *out = default_value;
        return BERTH_OK;
    }
    if (!json_is_boolean(node)) return fail_type(j, path, "true or false", node);
    *out = json_is_true(node);
    return BERTH_OK;
}

berth_status berth_json_string(const char **out, const struct berth_json *j, const char *path) {
    json_t *node = find(j->root, path);
    if (is_absent(node)) return fail_missing(j, path, "a text");
    if (!json_is_string(node)) return fail_type(j, path, "a text", node);
    *out = json_string_value(node);
    return BERTH_OK;
}

berth_status berth_json_string_or(const char **out, const struct berth_json *j, const char *path,
                                  const char *default_value) {
    if (berth_json_has(j, path)) return berth_json_string(out, j, path);
    *out = default_value;
    return BERTH_OK;
}

size_t berth_json_count(const struct berth_json *j, const char *path) {
    json_t *node = find(j->root, path);
    if (json_is_array(node)) return json_array_size(node);
    return json_is_object(node) ? json_object_size(node) : 0;
}

const char *berth_json_key(const struct berth_json *j, const char *path, size_t index) {
    json_t *node = find(j->root, path);
    if (!json_is_object(node)) return NULL;
    void *entry = json_object_iter(node);
    while (entry != NULL && index-- > 0)
        entry = json_object_iter_next(node, entry);
    return entry == NULL ? NULL : json_object_iter_key(entry);
}

berth_status berth_json_each_text(const struct berth_json *j, const char *path, berth_json_text_visit *visit,
                                  void *user) {
    json_t *node = find(j->root, path), *value = NULL;
    const char *key = NULL;
    if (is_absent(node)) return fail_missing(j, path, "an object of texts");
    if (!json_is_object(node)) return fail_type(j, path, "an object of texts", node);
    json_object_foreach(node, key, value) {
        if (!json_is_string(value)) return fail_type(j, key, "a text", value);
        BERTH_TRY(visit(user, key, json_string_value(value)));
    }
    return BERTH_OK;
}

berth_status berth_json_each_int(const struct berth_json *j, const char *path, int64_t min, int64_t max,
                                 berth_json_int_visit *visit, void *user) {
    json_t *node = find(j->root, path);
    if (is_absent(node)) return fail_missing(j, path, "an object of whole numbers");
    if (!json_is_object(node)) return fail_type(j, path, "an object of whole numbers", node);
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(node, key, value) {
        int64_t number = 0;
        BERTH_TRY(read_int(&number, j, key, value, min, max));
        BERTH_TRY(visit(user, key, number));
    }
    return BERTH_OK;
}
