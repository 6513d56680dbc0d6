/* base_priv.h: what the files of base share: the YAML tree with positions, and the parts of the configuration.
 *
 *     yaml_tree.c, yaml_gaps.c   text -> tree    config_override.c   key=value into the tree
 *     config_check.c      tree against table     config.c            load and getters
 *     config_table.c      paths against patterns config_dump.c, config_explain.c   tree and table -> text
 */
#ifndef BERTH_BASE_PRIV_H
#define BERTH_BASE_PRIV_H

#include "berth/config.h"

/* ------------------------------------------------------------------ YAML tree */

/* Control characters of a message become '?', in place. */
void status_show_controls(char *text);

enum ytree_kind { YTREE_SCALAR, YTREE_MAP, YTREE_LIST };

struct ytree_node {
    enum ytree_kind kind;
    bool plain;       /* a scalar written without quotes */
    const char *text; /* of a scalar; "" otherwise */
    const char *key;  /* in a map; NULL otherwise */
    int line, column; /* of the value, from 1 */
    int key_line, key_column;
    const char *origin;                     /* the override it came from, NULL: the file */
    struct ytree_node *first, *last, *next; /* children in the order of the text; next sibling */
    size_t count;                           /* children */
};

/* Where a text comes from, for messages: a file's name, or an override's text. */
struct ytree_source {
    const char *name;
    const char *origin;
};

enum { YTREE_DEPTH = 32, YTREE_ENTRIES = 4096, YTREE_BYTES = 1 << 20 };

/* yaml_gaps.c: a cursor over what stands between events; places are characters, not bytes. */
struct ytree_gaps {
    const char *text;
    size_t size;
    size_t byte, character; /* the same place */
};
void ytree_gaps_init(struct ytree_gaps *g, const char *text, size_t size);
/* Checks what stands between the cursor and an event's begin, and moves the cursor behind the event's end. What
 * is wrong, with the cursor there, or NULL. */
const char *ytree_gaps_check(struct ytree_gaps *g, size_t begin, size_t end);

/* The one document of `text`; *out is NULL when there is none (empty, or comments alone). Nodes and texts are
 * owned by the arena. BERTH_E_USAGE with the position for everything that is refused. */
berth_status ytree_parse(struct ytree_node **out, struct berth_arena *arena, const struct ytree_source *source,
                         const char *text, size_t size) BERTH_CHECKED;
struct ytree_node *ytree_child(const struct ytree_node *map, const char *key); /* NULL when there is none */
struct ytree_node *ytree_entry(const struct ytree_node *node, size_t index);   /* NULL when there is none */
void ytree_append(struct ytree_node *parent, struct ytree_node *child);
/* A plain `null` or `~`: as if the key were not there. */
bool ytree_is_null(const struct ytree_node *node);
/* A plain scalar without a byte ("key:"). */
bool ytree_is_empty(const struct ytree_node *node);

/* ------------------------------------------------------------------ configuration */

struct berth_config {
    struct berth_arena arena;
    const char *name;
    struct ytree_node *root;
};

enum { CONF_PATH = 512 }; /* bytes of the longest path that a checked tree can have */

berth_status conf_override(struct berth_config *c, const char *text) BERTH_CHECKED;
/* All errors as one text, one line each; BERTH_E_USAGE. */
berth_status conf_check(const struct berth_config *c) BERTH_CHECKED;
/* "FILE:LINE:COLUMN: " or "command line: 'text': "; at_key: of the key rather than the value. */
void conf_add_place(struct berth_str *out, const char *name, const struct ytree_node *node, bool at_key);

/* printf into a path; one that does not fit is a mistake of ours (names have at most 64 letters). */
void conf_format_path(char out[CONF_PATH], const char *fmt, ...) BERTH_PRINTF(2, 3);
/* The row of a concrete path or pattern; NULL when there is none. */
const struct berth_key *conf_key(const char *path);
/* Whether a stage of `stages` may hold this section of the top. */
bool conf_in_stages(const char *section, size_t length);
/* True when `pattern` is the row's section: "train" of "train.lr", "" of "seed", "tasks.*" of "tasks.*.type".
 */
bool conf_is_child(const struct berth_key *row, const char *pattern);
/* "lr" of "train.lr". */
const char *conf_last_name(const char *path);
/* "a whole number from 1 to 96": what a row takes, for messages and the reference page. */
void conf_expected(struct berth_str *out, const struct berth_key *row);
bool conf_parse_bool(const char *text, bool *out);
/* False with a reason for the message in *hint (static storage). */
bool conf_parse_duration(const char *text, struct berth_duration *out, const char **hint);
bool conf_is_index(const char *text); /* digits alone */
/* True when word is one of "a|b|c". */
bool conf_has_choice(const char *choices, const char *word);

/* The node of a concrete path, NULL when the user did not give it. */
const struct ytree_node *conf_find(const struct berth_config *c, const char *path);
/* The default that holds at a concrete path: NULL when the row has none, or its section is absent, or the key
 * that excludes it is given. */
const char *conf_default(const struct berth_config *c, const struct berth_key *row, const char *path);

#endif /* BERTH_BASE_PRIV_H */
