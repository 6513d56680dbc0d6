/* config.h: strict YAML configuration with positions, overrides by path, and one table of keys.
 *
 * Every key that berth reads is one row of berth_config_keys (src/base/config_keys.c): its path pattern,
 * type, range, default, unit and help. The same table checks files, fills defaults, explains keys and
 * generates docs/configuration.md. A default is written there and nowhere else.
 *
 *     struct berth_config *c;
 *     BERTH_TRY(berth_config_load(&c, "configs/demo.yaml", overrides, n));   // parsed, overridden, checked
 *     int64_t size = berth_config_int(c, "train.batch_size");                // default filled in
 *     for (size_t i = 0; i < berth_config_count(c, "tasks"); i++) {
 *         const char *name = berth_config_name(c, "tasks", i);
 *         double w = berth_config_number_f(c, "tasks.%s.weight", name);
 *     }
 *
 * Path patterns: "tasks.*.type" (`*`: any name that the user chose), "freeze[].select" (each list entry).
 * Concrete paths name an entry by number: "freeze[0].select". Unknown keys, wrong types and values out of
 * range are BERTH_E_USAGE, "FILE:LINE:COLUMN: key 'train.bach_size' is not known; did you mean
 * 'train.batch_size'?"; all errors of a file are reported, one line each. Paths in values are relative to
 * the current directory (data files: to `data_folder`). `null` or `~` is the same as leaving the key out, so
 * the override "train.epochs=null" takes back what the file says. A loaded configuration is read-only and may be
 * shared by threads. Limits: 1 MiB a file, depth 32, 4096 entries a map or list, no aliases, anchors or tags,
 * UTF-8 only. What of the public YAML test suite is read and what is not, and why: tests/base/test_yaml_suite.c.
 */
#ifndef BERTH_CONFIG_H
#define BERTH_CONFIG_H

#include "berth/base.h"

enum berth_key_type {
    BERTH_KEY_SECTION,  /* a map whose keys are in the table */
    BERTH_KEY_NAMED,    /* a map from the user's own names to what the rows "path.*" say */
    BERTH_KEY_LIST,     /* a list of maps, rows "path[].key" */
    BERTH_KEY_BOOL,     /* true/false (also on/off, yes/no) */
    BERTH_KEY_INT,      /* whole number in [min, max] */
    BERTH_KEY_NUMBER,   /* finite number in [min, max] */
    BERTH_KEY_STRING,   /* text, not empty */
    BERTH_KEY_CHOICE,   /* one of choices, separated by | */
    BERTH_KEY_STRINGS,  /* a text or a list of texts */
    BERTH_KEY_NUMBERS,  /* a number or a list of numbers */
    BERTH_KEY_COLUMN,   /* a column's name, or its number from 0 */
    BERTH_KEY_COLUMNS,  /* a column or a list of columns */
    BERTH_KEY_DURATION  /* "3 steps", "1 epoch", "20000 tokens", "10 min", "30 s" */
};

struct berth_key {
    const char *path; /* pattern */
    enum berth_key_type type;
    double min, max;           /* INT, NUMBER, NUMBERS: both included; min > max: no limit */
    const char *choices;       /* CHOICE; also further words that an INT, NUMBER or STRINGS key may hold */
    const char *default_value; /* YAML scalar; NULL: no default, see berth_config_has */
    const char *unit;          /* "" where there is none */
    const char *help;          /* one or two sentences */
    bool required;             /* within its section; a section with required keys that is not given is absent */
    const char *unless;        /* a key (same pattern depth) that excludes this one and its default; or NULL */
};
extern const struct berth_key berth_config_keys[];
extern const size_t berth_config_key_count;

struct berth_config;

/* overrides: "path=value" texts; the value is read as YAML (so lists and maps are possible); an override may
 * add an entry to a named map. Takes nothing; *out owned by the caller. */
berth_status berth_config_load(struct berth_config **out, const char *path, const char *const *overrides,
                               size_t override_count) BERTH_CHECKED;
/* The same from text; `name` stands in messages for the file. */
berth_status berth_config_parse(struct berth_config **out, const char *name, const char *text, size_t size,
                                const char *const *overrides, size_t override_count) BERTH_CHECKED;
void berth_config_free(struct berth_config *c);

/* True when the user gave a value (file or override), or the key has a default. */
bool berth_config_has(const struct berth_config *c, const char *path);
/* True only when the user gave it. */
bool berth_config_given(const struct berth_config *c, const char *path);

/* Getters. The path must be of the matching type and have a value (asserted): the table guarantees it for keys
 * with a default or `required`. Strings are borrowed from the configuration. */
bool berth_config_bool(const struct berth_config *c, const char *path);
int64_t berth_config_int(const struct berth_config *c, const char *path);
double berth_config_number(const struct berth_config *c, const char *path);
const char *berth_config_string(const struct berth_config *c, const char *path);
/* printf-style paths. */
bool berth_config_has_f(const struct berth_config *c, const char *fmt, ...) BERTH_PRINTF(2, 3);
bool berth_config_given_f(const struct berth_config *c, const char *fmt, ...) BERTH_PRINTF(2, 3);
bool berth_config_bool_f(const struct berth_config *c, const char *fmt, ...) BERTH_PRINTF(2, 3);
int64_t berth_config_int_f(const struct berth_config *c, const char *fmt, ...) BERTH_PRINTF(2, 3);
double berth_config_number_f(const struct berth_config *c, const char *fmt, ...) BERTH_PRINTF(2, 3);
const char *berth_config_string_f(const struct berth_config *c, const char *fmt, ...) BERTH_PRINTF(2, 3);

/* Entries of a named map, a list of maps, or a list of texts, numbers or columns (a single value counts as one). 0
 * when absent. Order is the file's. */
size_t berth_config_count(const struct berth_config *c, const char *path);
size_t berth_config_count_f(const struct berth_config *c, const char *fmt, ...) BERTH_PRINTF(2, 3);
const char *berth_config_name(const struct berth_config *c, const char *path, size_t index);
const char *berth_config_item(const struct berth_config *c, const char *path, size_t index); /* STRINGS, NUMBERS, COLUMNS */
const char *berth_config_item_f(const struct berth_config *c, size_t index, const char *fmt, ...)
    BERTH_PRINTF(3, 4);
/* True when a COLUMN (or an item: "label[0]") was written as a plain number. */
bool berth_config_is_number(const struct berth_config *c, const char *path);

enum berth_duration_unit { BERTH_STEPS, BERTH_EPOCHS, BERTH_SECONDS, BERTH_TOKENS };
struct berth_duration {
    double amount;
    enum berth_duration_unit unit;
};
struct berth_duration berth_config_duration(const struct berth_config *c, const char *path);

/* What holds in entry `index` of `stages`: the configuration with the entry's keys laid over it, and without `stages`.
 * Borrows texts of c. Owned by the caller. */
berth_status berth_config_stage(struct berth_config **out, const struct berth_config *c, size_t index) BERTH_CHECKED;

/* An error of meaning at a key: BERTH_E_USAGE "FILE:LINE:COLUMN: KEY: text" (the override's text when the value
 * came from one; the file alone when the key was not given). */
berth_status berth_config_fail(const struct berth_config *c, const char *path, const char *fmt, ...)
    BERTH_PRINTF(3, 4);

/* The effective configuration as YAML, defaults filled in, keys in table order; reading it again gives the same.
 * `changed_only` leaves defaults out. Owned by the caller. */
berth_status berth_config_dump(char **out, const struct berth_config *c, bool changed_only) BERTH_CHECKED;
/* Explains one key (pattern or concrete path) or, for a section, all below it. BERTH_E_USAGE when unknown, with
 * the nearest known key. */
berth_status berth_config_explain(struct berth_str *out, const char *path) BERTH_CHECKED;
/* The whole reference page in Markdown. */
berth_status berth_config_reference(struct berth_str *out) BERTH_CHECKED;

#endif /* BERTH_CONFIG_H */
