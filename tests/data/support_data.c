/* support_data.c: worlds for the tests of data. */
#include "data/support_data.h"

#include <stdio.h>

#include "support/temp_folder.h"

static void gather(void *user, enum berth_log_level level, const char *line) {
    struct data_world *w = user;
    size_t used = strlen(w->log);
    w->warnings += level == BERTH_LOG_WARN;
    snprintf(w->log + used, sizeof w->log - used, "%s\n", line);
}

static void write_vocabulary(const struct data_world *w) {
    static const char *const words[] = {"the", "film",  "was",  "good",  "bad",   "not",
                                        "but", "book",  "a",    "table", "for",   "two",
                                        "in",  "paris", "play", "music", "great", "awful"};
    struct berth_str s;
    berth_str_init(&s);
    berth_str_add(&s, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n");
    for (char c = 'a'; c <= 'z'; c++)
        berth_str_addf(&s, "%c\n", c);
    for (char c = 'a'; c <= 'z'; c++)
        berth_str_addf(&s, "##%c\n", c);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strlen(words[i]) > 1) berth_str_addf(&s, "%s\n", words[i]);
    assert_false(s.failed);
    world_put(w, "vocab.txt", s.data);
    berth_str_deinit(&s);
}

void world_make(struct data_world *w) {
    memset(w, 0, sizeof *w);
    w->max_length = 16;
    w->folder = test_folder_make("data");
    write_vocabulary(w);
    assert_ok(berth_tokenizer_load_vocab(&w->tokenizer, world_path(w, "vocab.txt"), NULL));
    berth_log_set(gather, w, BERTH_LOG_INFO);
}

void world_remove(struct data_world *w) {
    berth_log_set(NULL, NULL, BERTH_LOG_ERROR);
    berth_tokenizer_free(w->tokenizer);
    test_folder_remove(w->folder);
}

const char *world_path(const struct data_world *w, const char *name) {
    static char paths[4][1024];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", w->folder, name);
    return path;
}

void world_put_bytes(const struct data_world *w, const char *name, const void *data, size_t size) {
    char path[1024];
    snprintf(path, sizeof path, "%s", world_path(w, name));
    char *slash = strrchr(path, '/');
    *slash = 0;
    assert_ok(berth_make_folders(path));
    *slash = '/';
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    if (size > 0) assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

void world_put(const struct data_world *w, const char *name, const char *text) {
    world_put_bytes(w, name, text, strlen(text));
}

struct berth_config *world_config(const struct data_world *w, const char *body) {
    struct berth_config *c = NULL;
    struct berth_str s;
    berth_str_init(&s);
    berth_str_addf(&s, "%s\noutput: %s/run\ncache: %s/cache\ndata_folder: %s\n", body, w->folder, w->folder,
                   w->folder);
    berth_str_addf(&s, "model: {backbone: none, max_length: %lld}\n", (long long)w->max_length);
    assert_false(s.failed);
    assert_ok(berth_config_parse(&c, "test.yaml", s.data, s.length, NULL, 0));
    berth_str_deinit(&s);
    return c;
}

struct berth_data *world_open(const struct data_world *w, const char *body) {
    struct berth_data *d = NULL;
    struct berth_config *c = world_config(w, body);
    assert_ok(berth_data_open(&d, c, w->tokenizer, NULL, 0, BERTH_ALL_SPLITS));
    berth_config_free(c);
    return d;
}

void world_refuses(const struct data_world *w, const char *body, berth_status code, const char *text) {
    struct berth_data *d = NULL;
    struct berth_config *c = world_config(w, body);
    struct berth_str expected;
    berth_str_init(&expected);
    for (const char *p = text; *p; p++)
        berth_str_addn(&expected, *p == '@' ? w->folder : p, *p == '@' ? strlen(w->folder) : 1);
    berth_status status = berth_data_open(&d, c, w->tokenizer, NULL, 0, BERTH_ALL_SPLITS);
    assert_string_equal(berth_error_text(), expected.data);
    assert_string_equal(berth_status_name(status), berth_status_name(code));
    assert_null(d);
    berth_str_deinit(&expected);
    berth_config_free(c);
}

size_t world_cached(const struct data_world *w) {
    char **names = NULL;
    size_t count = 0;
    if (!berth_file_exists(world_path(w, "cache"))) return 0;
    assert_ok(berth_list_folder(&names, &count, world_path(w, "cache")));
    berth_names_free(names, count);
    return count;
}

const char *public_data(const char *name) {
    static char path[1024];
    const char *folder = getenv("BERTH_TEST_DATA");
    if (!folder || !folder[0]) skip();
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (!berth_file_exists(path)) skip();
    return path;
}
