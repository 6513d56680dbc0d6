/* data_view_priv.h: what the files of `berth data` share. */
#ifndef BERTH_CLI_DATA_VIEW_PRIV_H
#define BERTH_CLI_DATA_VIEW_PRIV_H

#include "berth/census.h"

struct data_view {
    struct berth_data *data;
    struct berth_census *census;
    int64_t max_length;
};
void data_add_json(struct berth_str *s, const struct data_view *v);
berth_status data_add_text(struct berth_str *s, const struct data_view *v) BERTH_CHECKED;

static inline const struct berth_census_split *data_split(const struct data_view *v, size_t source, int split) {
    return &v->census->sources[source][split];
}

#endif /* BERTH_CLI_DATA_VIEW_PRIV_H */
