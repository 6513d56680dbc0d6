/* yaml_tree.c: YAML text -> a tree with line and column, from libyaml's events.
 *
 * Scalars stay texts: the table of keys gives them their types, so YAML 1.1's rules about booleans, octal
 * numbers and dates never apply. Refused, each with its position: text that is not UTF-8, aliases, anchors and
 * tags (a few bytes could stand for gigabytes, or for types we do not know), keys that are not plain texts,
 * a key twice in a map, more than one document, and sizes beyond the limits in base_priv.h. */
#include <string.h>
#include <yaml.h>

#include "base/base_priv.h"

struct ytree_parser {
    yaml_parser_t yaml;
    struct berth_arena *arena;
    const struct ytree_source *source;
    const char *text;
    size_t size;
    struct ytree_gaps gaps;
};

/* "FILE:LINE:COLUMN: " or the override, then the message. */
static berth_status refuse(const struct ytree_source *source, size_t line, size_t column, const char *what) {
    if (source->origin != NULL) BERTH_FAIL(BERTH_E_USAGE, "command line: '%s': %s", source->origin, what);
    BERTH_FAIL(BERTH_E_USAGE, "%s:%zu:%zu: %s", source->name, line, column, what);
}

static berth_status refuse_mark(const struct ytree_source *source, yaml_mark_t mark, const char *what) {
    return refuse(source, mark.line + 1, mark.column + 1, what);
}

static berth_status refuse_offset(const struct ytree_source *source, const char *text, size_t offset,
                                  const char *what) {
    size_t line = 1, column = 1;
    for (size_t i = 0; i < offset; i++) {
        if (text[i] == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)text[i] & 0xC0) != 0x80) {
            column++;
        }
    }
    return refuse(source, line, column, what);
}

/* Bytes of the UTF-8 sequence at p, 0 when it is none (Unicode 15, table 3-7: no overlong forms, no halves of
 * pairs, nothing past U+10FFFF). */
static size_t utf8_length(const unsigned char *p, size_t left) {
    if (p[0] < 0x80) return 1;
    size_t n = p[0] >= 0xC2 && p[0] <= 0xDF   ? 2
               : (p[0] & 0xF0) == 0xE0        ? 3
               : p[0] >= 0xF0 && p[0] <= 0xF4 ? 4
                                              : 0;
    if (n == 0 || n > left) return 0;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80) return 0;
    }
    if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F) || (p[0] == 0xF0 && p[1] < 0x90) ||
        (p[0] == 0xF4 && p[1] > 0x8F))
        return 0;
    return n;
}

static berth_status check_bytes(const struct ytree_source *source, const char *text, size_t size) {
    if (size > YTREE_BYTES) {
        char what[96];
        snprintf(what, sizeof what, "the text has %zu bytes, more than the %d allowed", size, YTREE_BYTES);
        return refuse(source, 1, 1, what);
    }
    for (size_t i = 0; i < size;) {
        size_t n = utf8_length((const unsigned char *)text + i, size - i);
        if (n == 0) return refuse_offset(source, text, i, "the text is not UTF-8");
        i += n;
    }
    return BERTH_OK;
}

static berth_status next_event(struct ytree_parser *p, yaml_event_t *event) {
    if (yaml_parser_parse(&p->yaml, event)) {
        const char *wrong = ytree_gaps_check(&p->gaps, event->start_mark.index, event->end_mark.index);
        if (wrong == NULL) return BERTH_OK;
        yaml_event_delete(event);
        return refuse_offset(p->source, p->text, p->gaps.byte, wrong);
    }
    const yaml_parser_t *yaml = &p->yaml;
    char what[256];
    switch (yaml->error) {
    case YAML_MEMORY_ERROR:
        BERTH_FAIL(BERTH_E_MEMORY, "out of memory while reading YAML");
    case YAML_READER_ERROR:
        snprintf(what, sizeof what, "not valid YAML: %s", yaml->problem);
        return refuse_offset(p->source, p->text,
                             yaml->problem_offset < p->size ? yaml->problem_offset : p->size, what);
    default:
        snprintf(what, sizeof what, "not valid YAML: %s%s%s%s",
                 yaml->problem != NULL ? yaml->problem : "it cannot be understood",
                 yaml->context != NULL ? " (" : "", yaml->context != NULL ? yaml->context : "",
                 yaml->context != NULL ? ")" : "");
        return refuse_mark(p->source, yaml->problem_mark, what);
    }
}

void ytree_append(struct ytree_node *parent, struct ytree_node *child) {
    child->next = NULL;
    if (parent->last != NULL)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
    parent->count++;
}

struct ytree_node *ytree_child(const struct ytree_node *map, const char *key) {
    if (map->kind != YTREE_MAP) return NULL;
    for (struct ytree_node *n = map->first; n != NULL; n = n->next) {
        if (strcmp(n->key, key) == 0) return n;
    }
    return NULL;
}

struct ytree_node *ytree_entry(const struct ytree_node *node, size_t index) {
    struct ytree_node *n = node->first;
    while (n != NULL && index-- > 0)
        n = n->next;
    return n;
}

bool ytree_is_null(const struct ytree_node *node) {
    return node->kind == YTREE_SCALAR && node->plain &&
           (strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0);
}

bool ytree_is_empty(const struct ytree_node *node) {
    return node->kind == YTREE_SCALAR && node->plain && node->text[0] == '\0';
}

static berth_status check_scalar(const struct ytree_parser *p, const yaml_event_t *event) {
    if (memchr(event->data.scalar.value, 0, event->data.scalar.length) != NULL)
        return refuse_mark(p->source, event->start_mark, "a text with a zero byte is not allowed");
    return BERTH_OK;
}

/* Anchors and tags of the three kinds of nodes. */
static berth_status check_properties(const struct ytree_parser *p, const yaml_event_t *event) {
    const yaml_char_t *anchor = NULL, *tag = NULL;
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    }
    if (anchor != NULL) return refuse_mark(p->source, event->start_mark, "anchors ('&name') are not allowed");
    if (tag != NULL) return refuse_mark(p->source, event->start_mark, "tags ('!name') are not allowed");
    return BERTH_OK;
}

static berth_status parse_value(struct ytree_parser *p, struct ytree_node **out, const yaml_event_t *event,
                                int depth);

static berth_status parse_key(struct ytree_parser *p, const struct ytree_node *map, const yaml_event_t *event,
                              char **out_key) {
    if (event->type == YAML_ALIAS_EVENT)
        return refuse_mark(p->source, event->start_mark, "aliases ('*name') are not allowed; quote the text");
    if (event->type != YAML_SCALAR_EVENT)
        return refuse_mark(p->source, event->start_mark, "a key must be a text");
    BERTH_TRY(check_properties(p, event));
    BERTH_TRY(check_scalar(p, event));
    BERTH_TRY(berth_arena_strndup(p->arena, out_key, (const char *)event->data.scalar.value,
                                  event->data.scalar.length));
    const struct ytree_node *twice = ytree_child(map, *out_key);
    if (twice == NULL) return BERTH_OK;
    char what[192];
    snprintf(what, sizeof what, "key '%.80s' is given twice; the first is in line %d", *out_key,
             twice->key_line);
    return refuse_mark(p->source, event->start_mark, what);
}

/* The children of a map or list that has just begun, up to its end. */
static berth_status parse_children(struct ytree_parser *p, struct ytree_node *parent, int depth) {
    bool is_map = parent->kind == YTREE_MAP;
    for (;;) {
        berth_status status = BERTH_OK;
        yaml_event_t event;
        char *key = NULL;
        BERTH_TRY(next_event(p, &event));
        yaml_mark_t mark = event.start_mark;
        bool end = event.type == YAML_MAPPING_END_EVENT || event.type == YAML_SEQUENCE_END_EVENT;
        if (!end && parent->count == YTREE_ENTRIES) {
            status = refuse_mark(p->source, mark, "a map or list with more than 4096 entries is not allowed");
        } else if (!end && is_map) {
            status = parse_key(p, parent, &event, &key);
            yaml_event_delete(&event);
            if (status == BERTH_OK) status = next_event(p, &event);
            if (status != BERTH_OK) return status;
        }
        struct ytree_node *child = NULL;
        if (status == BERTH_OK && !end) status = parse_value(p, &child, &event, depth);
        yaml_event_delete(&event);
        if (status != BERTH_OK) return status;
        if (end) return BERTH_OK;
        child->key = key;
        child->key_line = (int)mark.line + 1;
        child->key_column = (int)mark.column + 1;
        ytree_append(parent, child);
    }
}

static berth_status parse_value(struct ytree_parser *p, struct ytree_node **out, const yaml_event_t *event,
                                int depth) {
    if (event->type == YAML_ALIAS_EVENT)
        return refuse_mark(p->source, event->start_mark, "aliases ('*name') are not allowed; quote the text");
    if (depth > YTREE_DEPTH) return refuse_mark(p->source, event->start_mark, "nested deeper than 32 levels");
    BERTH_TRY(check_properties(p, event));
    struct ytree_node *node = NULL;
    BERTH_TRY(berth_arena_alloc(p->arena, &node, 1, sizeof *node));
    node->line = node->key_line = (int)event->start_mark.line + 1;
    node->column = node->key_column = (int)event->start_mark.column + 1;
    node->origin = p->source->origin;
    node->text = "";
    *out = node;
    if (event->type == YAML_SCALAR_EVENT) {
        char *text = NULL;
        node->kind = YTREE_SCALAR;
        node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        BERTH_TRY(check_scalar(p, event));
        BERTH_TRY(berth_arena_strndup(p->arena, &text, (const char *)event->data.scalar.value,
                                      event->data.scalar.length));
        node->text = text;
        return BERTH_OK;
    }
    node->kind = event->type == YAML_MAPPING_START_EVENT ? YTREE_MAP : YTREE_LIST;
    return parse_children(p, node, depth + 1);
}

/* Reads events up to the next one that is not of the wanted kind's frame: stream start, document start. */
static berth_status parse_stream(struct ytree_parser *p, struct ytree_node **out) {
    bool done = false;
    while (!done) {
        yaml_event_t event;
        berth_status status = BERTH_OK;
        BERTH_TRY(next_event(p, &event));
        switch (event.type) {
        case YAML_STREAM_END_EVENT:
            done = true;
            break;
        case YAML_DOCUMENT_START_EVENT:
            if (*out != NULL)
                status = refuse_mark(p->source, event.start_mark, "a second document is not allowed");
            else if (event.data.document_start.tag_directives.start !=
                     event.data.document_start.tag_directives.end)
                status = refuse_mark(p->source, event.start_mark, "tags ('%TAG') are not allowed");
            break;
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_END_EVENT:
            break;
        default:
            status = parse_value(p, out, &event, 1);
        }
        yaml_event_delete(&event);
        if (status != BERTH_OK) return status;
    }
    return BERTH_OK;
}

/* libyaml drops a last line of spaces alone that lacks its line end, also where it is a block scalar's. */
static berth_status end_last_line(struct berth_arena *arena, const char **text, size_t *size) {
    size_t at = *size;
    while (at > 0 && (*text)[at - 1] == ' ')
        at--;
    if (at == *size || at == 0 || ((*text)[at - 1] != '\n' && (*text)[at - 1] != '\r')) return BERTH_OK;
    char *copy = NULL;
    BERTH_TRY(berth_arena_alloc(arena, &copy, *size + 1, 1));
    memcpy(copy, *text, *size);
    copy[(*size)++] = '\n';
    *text = copy;
    return BERTH_OK;
}

berth_status ytree_parse(struct ytree_node **out, struct berth_arena *arena, const struct ytree_source *source,
                         const char *text, size_t size) {
    *out = NULL;
    BERTH_TRY(check_bytes(source, text, size));
    BERTH_TRY(end_last_line(arena, &text, &size));
    struct ytree_parser p = {.arena = arena, .source = source, .text = text, .size = size};
    if (!yaml_parser_initialize(&p.yaml)) BERTH_FAIL(BERTH_E_MEMORY, "out of memory while reading YAML");
    ytree_gaps_init(&p.gaps, text, size);
    yaml_parser_set_encoding(&p.yaml, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&p.yaml, (const unsigned char *)text, size);
    struct ytree_node *root = NULL;
    berth_status status = parse_stream(&p, &root);
    yaml_parser_delete(&p.yaml);
    if (status == BERTH_OK && root != NULL && !ytree_is_empty(root)) *out = root;
    return status;
}
