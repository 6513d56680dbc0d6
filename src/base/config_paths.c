/* config_paths.c: the getters whose paths are formatted. A path that does not fit is a mistake of ours: names
 * have at most 64 letters. */
#include "base/base_priv.h"

#define FORMAT_PATH(path, fmt)                                                                                 \
    char path[CONF_PATH];                                                                                      \
    do {                                                                                                       \
        va_list path_args;                                                                                     \
        va_start(path_args, fmt);                                                                              \
        int path_length = vsnprintf(path, sizeof path, fmt, path_args);                                        \
        va_end(path_args);                                                                                     \
        BERTH_ASSERT_MSG(path_length >= 0 && path_length < CONF_PATH, "%s", fmt);                              \
    } while (0)

bool berth_config_has_f(const struct berth_config *c, const char *fmt, ...) {
    FORMAT_PATH(path, fmt);
    return berth_config_has(c, path);
}

bool berth_config_given_f(const struct berth_config *c, const char *fmt, ...) {
    FORMAT_PATH(path, fmt);
    return berth_config_given(c, path);
}

bool berth_config_bool_f(const struct berth_config *c, const char *fmt, ...) {
    FORMAT_PATH(path, fmt);
    return berth_config_bool(c, path);
}

int64_t berth_config_int_f(const struct berth_config *c, const char *fmt, ...) {
    FORMAT_PATH(path, fmt);
    return berth_config_int(c, path);
}

double berth_config_number_f(const struct berth_config *c, const char *fmt, ...) {
    FORMAT_PATH(path, fmt);
    return berth_config_number(c, path);
}

const char *berth_config_string_f(const struct berth_config *c, const char *fmt, ...) {
    FORMAT_PATH(path, fmt);
    return berth_config_string(c, path);
}

size_t berth_config_count_f(const struct berth_config *c, const char *fmt, ...) {
    FORMAT_PATH(path, fmt);
    return berth_config_count(c, path);
}

const char *berth_config_item_f(const struct berth_config *c, size_t index, const char *fmt, ...) {
    FORMAT_PATH(path, fmt);
    return berth_config_item(c, path, index);
}
