/* config_table.c: paths against the patterns of the table, and the small grammars of its types. */
#include <math.h>
#include <string.h>

#include "base/base_priv.h"

void conf_format_path(char out[CONF_PATH], const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    int length = vsnprintf(out, CONF_PATH, fmt, args);
    va_end(args);
    BERTH_ASSERT_MSG(length >= 0 && length < CONF_PATH, "path of %d bytes by %s", length, fmt);
}

/* One step of a path: a name up to '.', '[' or the end; or "[...]". */
static size_t step_length(const char *p) {
    if (p[0] == '[') {
        size_t n = strcspn(p, "]");
        return p[n] == ']' ? n + 1 : n;
    }
    return strcspn(p, ".[");
}

static bool path_matches(const char *pattern, const char *path) {
    while (*pattern != '\0' && *path != '\0') {
        size_t a = step_length(pattern), b = step_length(path);
        bool same = a == b && strncmp(pattern, path, a) == 0;
        bool any_name = a == 1 && pattern[0] == '*' && path[0] != '[' && b > 0;
        bool any_index = a == 2 && pattern[0] == '[' && path[0] == '[';
        if (!same && !any_name && !any_index) return false;
        pattern += a;
        path += b;
        if ((*pattern == '.') != (*path == '.')) return false;
        if (*pattern == '.') {
            pattern++;
            path++;
        }
    }
    return *pattern == '\0' && *path == '\0';
}

/* "stages[2].train.lr" -> "train.lr": sections of the top within a stage; other paths as they are. */
static const char *without_stage(const char *path) {
    if (strncmp(path, "stages[", 7) != 0) return path;
    const char *end = strchr(path, ']');
    if (end == NULL || end[1] != '.') return path;
    return conf_in_stages(end + 2, strcspn(end + 2, ".[")) ? end + 2 : path;
}

const struct berth_key *conf_key(const char *path) {
    path = without_stage(path);
    for (size_t i = 0; i < berth_config_key_count; i++) {
        if (path_matches(berth_config_keys[i].path, path)) return &berth_config_keys[i];
    }
    return NULL;
}

bool conf_is_child(const struct berth_key *row, const char *pattern) {
    size_t length = strlen(pattern);
    const char *rest = row->path;
    if (length > 0) {
        if (strncmp(rest, pattern, length) != 0 || rest[length] != '.') return false;
        rest += length + 1;
    }
    return strpbrk(rest, ".[") == NULL;
}

const char *conf_last_name(const char *path) {
    const char *dot = strrchr(path, '.');
    return dot == NULL ? path : dot + 1;
}

static void add_number(struct berth_str *out, double value) {
    if (value == trunc(value) && fabs(value) < 1e16)
        berth_str_addf(out, "%.0f", value);
    else
        berth_str_addf(out, "%g", value);
}

static void add_range(struct berth_str *out, const struct berth_key *row) {
    if (row->min > row->max) return;
    berth_str_add(out, " from ");
    add_number(out, row->min);
    berth_str_add(out, " to ");
    add_number(out, row->max);
}

static void add_words(struct berth_str *out, const char *before, const char *choices) {
    if (choices == NULL) return;
    berth_str_add(out, before);
    while (*choices != '\0') {
        size_t n = strcspn(choices, "|");
        const char *rest = choices + n;
        berth_str_addf(out, "'%.*s'", (int)n, choices);
        if (*rest == '\0') break;
        choices = rest + 1;
        berth_str_add(out, strchr(choices, '|') != NULL ? ", " : " or ");
    }
}

void conf_expected(struct berth_str *out, const struct berth_key *row) {
    switch (row->type) {
    case BERTH_KEY_SECTION:
        berth_str_add(out, "a map of keys");
        break;
    case BERTH_KEY_NAMED:
        berth_str_add(out, "a map from names to maps of keys");
        break;
    case BERTH_KEY_LIST:
        berth_str_add(out, "a list of maps");
        break;
    case BERTH_KEY_BOOL:
        berth_str_add(out, "true or false");
        break;
    case BERTH_KEY_STRING:
        berth_str_add(out, "a text");
        break;
    case BERTH_KEY_STRINGS:
        berth_str_add(out, "a text or a list of texts");
        break;
    case BERTH_KEY_COLUMN:
        berth_str_add(out, "a column's name or its number from 0");
        break;
    case BERTH_KEY_COLUMNS:
        berth_str_add(out, "a column's name or its number from 0, or a list of them");
        break;
    case BERTH_KEY_DURATION:
        if (row->unit[0] != '\0') /* not all units */
            berth_str_addf(out, "a duration in %s, such as '500 steps' or '1 epoch'", row->unit);
        else
            berth_str_add(out, "a duration such as '500 steps', '1 epoch' or '10 min'");
        break;
    case BERTH_KEY_INT:
        berth_str_add(out, "a whole number");
        add_range(out, row);
        break;
    case BERTH_KEY_NUMBER:
        berth_str_add(out, "a number");
        add_range(out, row);
        break;
    case BERTH_KEY_NUMBERS:
        berth_str_add(out, "a number or a list of numbers, each");
        add_range(out, row);
        break;
    case BERTH_KEY_CHOICE:
        add_words(out, "", row->choices);
        return;
    }
    add_words(out, ", or ", row->choices);
}

bool conf_has_choice(const char *choices, const char *word) {
    size_t length = strlen(word);
    while (choices != NULL && *choices != '\0') {
        size_t n = strcspn(choices, "|");
        if (n == length && strncmp(choices, word, n) == 0) return true;
        choices += n + (choices[n] == '|' ? 1 : 0);
    }
    return false;
}

bool conf_parse_bool(const char *text, bool *out) {
    static const char *const words[2][9] = {
        {"false", "False", "FALSE", "off", "Off", "OFF", "no", "No", "NO"},
        {"true", "True", "TRUE", "on", "On", "ON", "yes", "Yes", "YES"},
    };
    for (int value = 0; value < 2; value++) {
        for (int i = 0; i < 9; i++) {
            if (strcmp(words[value][i], text) != 0) continue;
            *out = value == 1;
            return true;
        }
    }
    return false;
}

bool conf_is_index(const char *text) {
    return text[0] != '\0' && strspn(text, "0123456789") == strlen(text);
}

bool conf_parse_duration(const char *text, struct berth_duration *out, const char **hint) {
    static const struct {
        const char *word;
        enum berth_duration_unit unit;
        double seconds;
    } units[] = {
        {"step", BERTH_STEPS, 1},      {"steps", BERTH_STEPS, 1},      {"epoch", BERTH_EPOCHS, 1},
        {"epochs", BERTH_EPOCHS, 1},   {"s", BERTH_SECONDS, 1},        {"sec", BERTH_SECONDS, 1},
        {"second", BERTH_SECONDS, 1},  {"seconds", BERTH_SECONDS, 1},  {"min", BERTH_SECONDS, 60},
        {"minute", BERTH_SECONDS, 60}, {"minutes", BERTH_SECONDS, 60}, {"h", BERTH_SECONDS, 3600},
        {"hour", BERTH_SECONDS, 3600}, {"hours", BERTH_SECONDS, 3600}, {"token", BERTH_TOKENS, 1},
        {"tokens", BERTH_TOKENS, 1},
    };
    char number[64];
    size_t n = strspn(text, "0123456789.+-eE");
    if (n > 0 && (text[n - 1] == 'e' || text[n - 1] == 'E')) n--; /* "1epoch" */
    *hint = "";
    if (n == 0 || n >= sizeof number) return false;
    memcpy(number, text, n);
    number[n] = '\0';
    double amount = 0;
    if (!berth_parse_double(number, &amount)) return false;
    const char *word = text + n + strspn(text + n, " ");
    if (*word == '\0') {
        *hint = "; a number alone has no unit";
        return false;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(units[i].word, word) != 0) continue;
        out->unit = units[i].unit;
        out->amount = amount * units[i].seconds;
        if (amount <= 0)
            *hint = "; it must be more than 0";
        else if (units[i].unit == BERTH_STEPS && amount != trunc(amount))
            *hint = "; steps are whole";
        else if (units[i].unit == BERTH_TOKENS && amount != trunc(amount))
            *hint = "; tokens are whole";
        return **hint == '\0';
    }
    *hint = "; known units are steps, epochs, tokens, s, min and h";
    return false;
}
