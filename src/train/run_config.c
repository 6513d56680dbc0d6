/* run_config.c: the configuration in a run folder, and whether another one is the same run.
 *
 * Keys that change nothing of the result (where things lie, how often something is written, threads) are set to
 * one value on both sides before they are compared. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "berth/file.h"
#include "train/train_priv.h"

static const char *const same_result[] = {
    "output=RUN",        "cache=CACHE",        "threads=0", "checkpoint.every=1 epoch",
    "checkpoint.keep=2", "log.every=20 steps",
};

/* The effective configuration without what does not change the result. */
static berth_status canonical(char **out, const struct berth_config *c) {
    berth_status status = BERTH_OK;
    char *text = NULL;
    struct berth_config *copy = NULL;
    BERTH_TRY_OUT(berth_config_dump(&text, c, false));
    BERTH_TRY_OUT(berth_config_parse(&copy, "configuration", text, strlen(text), same_result,
                                     sizeof same_result / sizeof same_result[0]));
    BERTH_TRY_OUT(berth_config_dump(out, copy, false));
out:
    berth_config_free(copy);
    free(text);
    return status;
}

berth_status run_config_digest(const struct berth_config *c, char out[33]) {
    char *text = NULL;
    BERTH_TRY(canonical(&text, c));
    berth_hash_hex(berth_hash(text, strlen(text)), out);
    free(text);
    return BERTH_OK;
}

/* ---- the first difference of two canonical texts */

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

static berth_status fail_different(const struct run_folder *f, struct key_stack *stack, struct line stored,
                                   struct line given) {
    struct berth_str path;
    berth_str_init(&path);
    stack_enter(stack, given.length > 0 ? given : stored);
    for (int i = 0; i < stack->depth; i++) {
        int n = (int)strcspn(stack->keys[i].text, ":\n");
        berth_str_addf(&path, "%s%.*s", i > 0 ? "." : "", n, stack->keys[i].text);
    }
    berth_status status = berth_error_set(BERTH_E_USAGE, __FILE__, __LINE__,
                                          "run folder '%s' was made with another configuration; the first "
                                          "difference is '%s': there '%.*s', here '%.*s'",
                                          f->path, path.failed || path.data == NULL ? "?" : path.data,
                                          stored.length, stored.text, given.length, given.text);
    berth_str_deinit(&path);
    return status;
}

static berth_status compare(const struct run_folder *f, const char *stored_text, const char *given_text) {
    struct key_stack stack = {.depth = 0};
    for (;;) {
        if (*stored_text == '\0' && *given_text == '\0') return BERTH_OK;
        struct line stored = next_line(&stored_text), given = next_line(&given_text);
        if (!same_line(stored, given)) return fail_different(f, &stack, stored, given);
        stack_enter(&stack, given);
    }
}

static berth_status check_same(const struct run_folder *f, const struct berth_config *c) {
    berth_status status = BERTH_OK;
    struct berth_config *stored = NULL;
    char *stored_text = NULL, *given_text = NULL;
    BERTH_TRY_OUT(berth_config_load(&stored, f->config, NULL, 0));
    BERTH_TRY_OUT(canonical(&stored_text, stored));
    BERTH_TRY_OUT(canonical(&given_text, c));
    BERTH_TRY_OUT(compare(f, stored_text, given_text));
out:
    free(stored_text);
    free(given_text);
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
