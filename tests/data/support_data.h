/* support_data.h: what the tests of data share: a world of a folder, a small vocabulary and configurations. */
#ifndef SUPPORT_DATA_H
#define SUPPORT_DATA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "berth/data.h"
#include "berth/file.h"

struct data_world {
    char *folder; /* temporary; cache/ lies in it */
    struct berth_tokenizer *tokenizer;
    int64_t max_length;
    char log[8192]; /* lines logged since the world was made */
    int warnings;   /* of them */
};

/* Vocabulary: [PAD] [UNK] [CLS] [SEP] [MASK] (ids 0..4), a..z (5..30), ##a..##z (31..56), then some words. Logs
 * at level info are gathered in w->log. */
void world_make(struct data_world *w);
void world_remove(struct data_world *w);
/* Writes FOLDER/name, with the folders above it. */
void world_put(const struct data_world *w, const char *name, const char *text);
void world_put_bytes(const struct data_world *w, const char *name, const void *data, size_t size);
/* folder/name in storage that the next call but three overwrites. */
const char *world_path(const struct data_world *w, const char *name);
/* `body` holds the sections data and tasks. */
struct berth_config *world_config(const struct data_world *w, const char *body);
/* Opens all splits; must succeed. The configuration is freed. */
struct berth_data *world_open(const struct data_world *w, const char *body);
/* Must fail with the code and exactly this text; "@" in it stands for the world's folder. */
void world_refuses(const struct data_world *w, const char *body, berth_status code, const char *text);
/* How many names in FOLDER/cache. */
size_t world_cached(const struct data_world *w);

/* A file of the public test data in storage of its own; skips the test when there is none. */
const char *public_data(const char *name);

#define assert_ok(expr)                                                                                        \
    do {                                                                                                       \
        berth_status ok_status_ = (expr);                                                                      \
        if (ok_status_ != BERTH_OK)                                                                            \
            fail_msg("%s: %s: %s", #expr, berth_status_name(ok_status_), berth_error_text());                  \
    } while (0)

#endif /* SUPPORT_DATA_H */
