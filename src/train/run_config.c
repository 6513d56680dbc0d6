/* run_config.c: the configuration in a run folder, and whether another one is the same run.
 *
 * Keys that change nothing of the result (where things lie, how often something is written, threads) are set to
 * one value on both sides before they are compared. Values are compared as what the table of keys says they
 * are: 7e-4 and 0.0007 are one number. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "berth/file.h"
#include "train/train_priv.h"

static const char *const same_result[] = {
    "output=RUN",
    "cache=CACHE",
    "threads=0",
    "checkpoint.keep=2",
    "log.every=20 steps",
    "deterministic=on", /* strict sums the parts of a step in another order: within rounding, too */
    "train.recompute=none",
    "log.tensorboard=true",
    "attention=own",
    "graphs=off",
    "device=auto", /* a checkpoint moves between devices; results agree within rounding, not to the bit */
    /* these last: with train.on_nan: rewind they say which checkpoint is gone back to */
    "checkpoint.every=1 epoch",
    "checkpoint.keep_every=0",
    "checkpoint.best=true",
};
enum { OF_REWIND = 3 };

static bool rewinds(const struct berth_config *c) {
    bool any = strcmp(berth_config_string(c, "train.on_nan"), "rewind") == 0;
    for (size_t i = 0; i < berth_config_count(c, "stages"); i++)
        any |= berth_config_has_f(c, "stages[%zu].train.on_nan", i) &&
               strcmp(berth_config_string_f(c, "stages[%zu].train.on_nan", i), "rewind") == 0;
    return any;
}

/* The effective configuration without what does not change the result, and its text; owned by the caller. */
struct canonical {
    struct berth_config *config;
    char *text;
};

static berth_status canonical_make(struct canonical *out, const struct berth_config *c) {
    berth_status status = BERTH_OK;
    char *text = NULL;
    BERTH_TRY_OUT(berth_config_dump(&text, c, false));
    BERTH_TRY_OUT(
        berth_config_parse(&out->config, "configuration", text, strlen(text), same_result,
                           sizeof same_result / sizeof same_result[0] - (rewinds(c) ? OF_REWIND : 0)));
    BERTH_TRY_OUT(berth_config_dump(&out->text, out->config, false));
out:
    free(text);
    return status;
}

static void canonical_deinit(struct canonical *c) {
    berth_config_free(c->config);
    free(c->text);
}

/* ---- the first difference of two canonical configurations */

struct line {
    const char *text; /* behind the indent; "" at the end of the text */
    int length, indent;
};

static struct line next_line(const char **rest) {
    const char *begin = *rest;
    struct line line = {.indent = (int)strspn(begin, " -"), .length = (int)strcspn(begin, "\n")};
    *rest = begin + line.length + (begin[line.length] == '\n');
    if (line.indent > line.length) line.indent = line.length;
    line.text = begin + line.indent;
    line.length -= line.indent;
    return line;
}

static bool same_line(struct line a, struct line b) {
    return a.indent == b.indent && a.length == b.length && strncmp(a.text, b.text, (size_t)a.length) == 0;
}

#define MAX_DEPTH 32
struct key_stack { /* the keys that lead to a line, outermost first */
    struct line keys[MAX_DEPTH];
    int depth;
};

static void stack_enter(struct key_stack *s, struct line line) {
    while (s->depth > 0 && s->keys[s->depth - 1].indent >= line.indent)
        s->depth--;
    if (s->depth < MAX_DEPTH) s->keys[s->depth++] = line;
}

#define MAX_PATH_TEXT 512
static void stack_path(char out[MAX_PATH_TEXT], const struct key_stack *s) {
    size_t at = 0;
    out[0] = '\0';
    for (int i = 0; i < s->depth && at < MAX_PATH_TEXT; i++) {
        int n = (int)strcspn(s->keys[i].text, ":\n");
        at += (size_t)snprintf(out + at, MAX_PATH_TEXT - at, "%s%.*s", i > 0 ? "." : "", n, s->keys[i].text);
    }
}

/* The row of a path whose named entries the pattern writes as `*`; NULL: none. Entries of lists have no path of
 * their own here and find none. */
static const struct berth_key *find_key(const char *path) {
    for (size_t i = 0; i < berth_config_key_count; i++) {
        const char *p = berth_config_keys[i].path, *at = path;
        while (*p != '\0' && *at != '\0') {
            if (*p == '*') {
                p++;
                at += strcspn(at, ".");
            } else if (*p == *at) {
                p++;
                at++;
            } else {
                break;
            }
        }
        if (*p == '\0' && *at == '\0') return &berth_config_keys[i];
    }
    return NULL;
}

/* Whether two texts of one key mean the same value. */
static bool same_value(const char *path, const struct berth_config *a, const struct berth_config *b) {
    const struct berth_key *key = find_key(path);
    if (key == NULL || !berth_config_has(a, path) || !berth_config_has(b, path)) return false;
    if (key->type == BERTH_KEY_INT) return berth_config_int(a, path) == berth_config_int(b, path);
    if (key->type == BERTH_KEY_NUMBER) return berth_config_number(a, path) == berth_config_number(b, path);
    if (key->type == BERTH_KEY_BOOL) return berth_config_bool(a, path) == berth_config_bool(b, path);
    if (key->type != BERTH_KEY_DURATION) return false;
    struct berth_duration x = berth_config_duration(a, path), y = berth_config_duration(b, path);
    return x.unit == y.unit && x.amount == y.amount;
}

static bool same_key(struct line a, struct line b) {
    size_t n = strcspn(a.text, ":\n");
    return a.indent == b.indent && n == strcspn(b.text, ":\n") && strncmp(a.text, b.text, n) == 0;
}

static berth_status compare(const struct run_folder *f, const struct canonical *there,
                            const struct canonical *here) {
    struct key_stack stack = {.depth = 0};
    const char *there_text = there->text, *here_text = here->text;
    char path[MAX_PATH_TEXT];
    while (*there_text != '\0' || *here_text != '\0') {
        struct line stored = next_line(&there_text), given = next_line(&here_text);
        stack_enter(&stack, given.length > 0 ? given : stored);
        if (same_line(stored, given)) continue;
        stack_path(path, &stack);
        if (same_key(stored, given) && same_value(path, there->config, here->config)) continue;
        BERTH_FAIL(BERTH_E_USAGE,
                   "run folder '%s' was made with another configuration; the first difference is '%s': there "
                   "'%.*s', here '%.*s'",
                   f->path, path, stored.length, stored.text, given.length, given.text);
    }
    return BERTH_OK;
}

static berth_status check_same(const struct run_folder *f, const struct berth_config *c) {
    berth_status status = BERTH_OK;
    struct berth_config *stored = NULL;
    struct canonical there = {NULL, NULL}, here = {NULL, NULL};
    BERTH_TRY_OUT(berth_config_load(&stored, f->config, NULL, 0));
    BERTH_TRY_OUT(canonical_make(&there, stored));
    BERTH_TRY_OUT(canonical_make(&here, c));
    BERTH_TRY_OUT(compare(f, &there, &here));
out:
    canonical_deinit(&there);
    canonical_deinit(&here);
    berth_config_free(stored);
    return status;
}

/* ---- config.yaml */

static void add_comments(struct berth_str *out, const struct berth_device *dev) {
    struct berth_str device;
    char stamp[32];
    time_t now = time(NULL);
    struct tm parts;
    if (localtime_r(&now, &parts) == NULL || strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", &parts) == 0)
        stamp[0] = '\0';
    berth_str_init(&device);
    berth_device_describe(dev, &device);
    berth_str_addf(out, "# berth %s; the effective configuration of this run, started %s\n", BERTH_VERSION,
                   stamp);
    for (const char *p = device.data != NULL ? device.data : ""; *p != '\0';) {
        int n = (int)strcspn(p, "\n");
        berth_str_addf(out, "# %.*s\n", n, p);
        p += n + (p[n] == '\n');
    }
    out->failed |= device.failed;
    berth_str_deinit(&device);
}

static berth_status write_new(const struct run_folder *f, const struct berth_config *c,
                              const struct berth_device *dev) {
    berth_status status = BERTH_OK;
    char *dump = NULL, *text = NULL;
    struct berth_str s;
    berth_str_init(&s);
    BERTH_TRY_OUT(berth_config_dump(&dump, c, false));
    add_comments(&s, dev);
    berth_str_add(&s, dump);
    BERTH_TRY_OUT(berth_str_take(&s, &text));
    BERTH_TRY_OUT(berth_file_put(f->config, text, strlen(text)));
out:
    berth_str_deinit(&s);
    free(dump);
    free(text);
    return status;
}

berth_status run_folder_config(const struct run_folder *f, const struct berth_config *c,
                               const struct berth_device *dev) {
    return berth_file_exists(f->config) ? check_same(f, c) : write_new(f, c, dev);
}
