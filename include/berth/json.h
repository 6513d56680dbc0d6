/* json.h: typed reading of JSON documents (jansson) with the path in every error, and nothing more.
 *
 *     struct berth_json *j;
 *     BERTH_TRY(berth_json_load(&j, "model/config.json"));
 *     BERTH_TRY_OUT(berth_json_int(&hidden, j, "hidden_size", 1, 65536));   // required
 *     BERTH_TRY_OUT(berth_json_int_or(&types, j, "type_vocab_size", 2, 0, 64)); // absent or null: 2
 *
 * Paths: keys separated by dots, "heads[2].name". Depth is limited, duplicate keys are refused.
 */
#ifndef BERTH_JSON_H
#define BERTH_JSON_H

#include "berth/base.h"

struct berth_json; /* a document */

berth_status berth_json_load(struct berth_json **out, const char *path) BERTH_CHECKED;
berth_status berth_json_parse(struct berth_json **out, const char *name, const char *text,
                              size_t size) BERTH_CHECKED;
void berth_json_free(struct berth_json *j);

bool berth_json_has(const struct berth_json *j, const char *path); /* present and not null */
berth_status berth_json_int(int64_t *out, const struct berth_json *j, const char *path, int64_t min,
                            int64_t max) BERTH_CHECKED;
berth_status berth_json_int_or(int64_t *out, const struct berth_json *j, const char *path,
                               int64_t default_value, int64_t min, int64_t max) BERTH_CHECKED;
berth_status berth_json_number(double *out, const struct berth_json *j, const char *path) BERTH_CHECKED;
berth_status berth_json_number_or(double *out, const struct berth_json *j, const char *path,
                                  double default_value) BERTH_CHECKED;
berth_status berth_json_bool_or(bool *out, const struct berth_json *j, const char *path,
                                bool default_value) BERTH_CHECKED;
/* Borrowed from the document. */
berth_status berth_json_string(const char **out, const struct berth_json *j, const char *path) BERTH_CHECKED;
berth_status berth_json_string_or(const char **out, const struct berth_json *j, const char *path,
                                  const char *default_value) BERTH_CHECKED;
/* Entries of an array or object at `path` ("" is the whole document); 0 when absent. */
size_t berth_json_count(const struct berth_json *j, const char *path);
/* The index-th key of an object, in the file's order; NULL when there is none. */
const char *berth_json_key(const struct berth_json *j, const char *path, size_t index);
/* Calls visit with every entry of an object of whole numbers from min to max, in the file's order. */
typedef berth_status berth_json_int_visit(void *user, const char *key, int64_t value);
berth_status berth_json_each_int(const struct berth_json *j, const char *path, int64_t min, int64_t max,
                                 berth_json_int_visit *visit, void *user) BERTH_CHECKED;
/* Calls visit with every entry of an object of texts, in the file's order; its first failure ends the walk. */
typedef berth_status berth_json_text_visit(void *user, const char *key, const char *value);
berth_status berth_json_each_text(const struct berth_json *j, const char *path, berth_json_text_visit *visit,
                                  void *user) BERTH_CHECKED;

#endif /* BERTH_JSON_H */
